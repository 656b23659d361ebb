/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "run_account.h"
#include "run_text.h"

#define MIB 1048576.0
#define GIB (MIB * 1024)

#define INDENT 2
#define NAME_WIDTH 22
#define CELL_WIDTH 16
#define COLUMNS 80

/* Of a cell that was not measured, or has no meaning. */
static const char none[] = "-";

/* Text in a cell of its own: no two of them share a buffer. */
struct cell {
	char text[32];
};

static struct cell make_text(const char *text)
{
	struct cell cell;

	snprintf(cell.text, sizeof(cell.text), "%s", text);
	return cell;
}

static struct cell make_real(double number, int decimals, const char *unit)
{
	struct cell cell;

	snprintf(cell.text, sizeof(cell.text), "%.*f %s", decimals, number, unit);
	return cell;
}

static struct cell cell_if(bool is_known, struct cell cell)
{
	return is_known ? cell : make_text(none);
}

/* With a comma between thousands. */
static struct cell make_count(uint64_t number)
{
	char digits[24];
	struct cell cell = { "" };
	size_t count = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, number), i, used = 0;

	for (i = 0; i < count; i++) {
		if (i && (count - i) % 3 == 0)
			cell.text[used++] = ',';
		cell.text[used++] = digits[i];
	}
	cell.text[used] = 0;
	return cell;
}

static struct cell make_bytes(uint64_t bytes)
{
	return make_real((double)bytes / MIB, 1, "MiB");
}

/* Rows ----------------------------------------------------------------------------------------- */

static void put_text_row(FILE *out, const char *name, const char *text)
{
	char clean[512];

	fprintf(out, "%*s%-*s%s\n", INDENT, "", NAME_WIDTH, name,
		run_text_clean(text[0] ? text : none, clean, sizeof(clean)));
}

static void put_row(FILE *out, const char *name, const struct cell *cells, size_t count)
{
	size_t i;

	fprintf(out, "%*s%-*s", INDENT, "", NAME_WIDTH, name);
	for (i = 0; i < count; i++)
		fprintf(out, "%*s", CELL_WIDTH, cells[i].text);
	fputc('\n', out);
}

static void put_pair(FILE *out, const char *name, struct cell inflate, struct cell deflate)
{
	const struct cell cells[] = { inflate, deflate };

	put_row(out, name, cells, 2);
}

/* The setting ---------------------------------------------------------------------------------- */

/* Names one after the other, wrapped. */
static void put_names(FILE *out, const char *label, const json_t *names)
{
	int used = fprintf(out, "%*s%-*s", INDENT, "", NAME_WIDTH - 1, label);
	size_t i;

	for (i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));

		if (used + 1 + (int)strlen(name) > COLUMNS)
			used = fprintf(out, "\n%*s", INDENT + NAME_WIDTH - 1, "") - 1;
		used += fprintf(out, " %s", name);
	}
	fputs(i ? "\n" : " -\n", out);
}

static void put_setting(FILE *out, const struct run_result *result)
{
	put_text_row(out, "Guest kernel", result->guest_kernel);
	put_text_row(out, "Guest memory", make_bytes(result->memory_bytes).text);
	put_text_row(out, "Backed by", result->backing ? result->backing : "");
	put_text_row(out, "Discards", result->discard_mode ? result->discard_mode : "by QEMU");
	if (result->features)
		put_names(out, "Features", result->features);
	if (result->capabilities)
		put_names(out, "Capabilities", result->capabilities);
}

/* What was measured ---------------------------------------------------------------------------- */

static struct cell make_rate(const struct run_way *way)
{
	return make_real(run_way_bytes_per_second(way) / GIB, 2, "GiB/s");
}

static struct cell make_time_per_gib(const struct run_way *way)
{
	return make_real(run_way_seconds_per_gib(way), 3, "s");
}

/* What only a device that is ours counts. */
static void put_counts(FILE *out, const struct run_result *result)
{
	const struct run_way *in = &result->inflate, *back = &result->deflate;
	bool is_in = run_way_is_done(in), is_back = run_way_is_done(back);

	put_pair(out, "Merged runs", cell_if(is_in, make_count(in->runs)), make_text(none));
	put_pair(out, "Discard calls", cell_if(is_in, make_count(in->discards)),
		 cell_if(is_back, make_count(back->discards)));
	put_pair(out, "Discard asked", cell_if(is_in, make_bytes(in->discard_asked_bytes)),
		 cell_if(is_back, make_bytes(back->discard_asked_bytes)));
	put_pair(out, "Really freed", cell_if(is_in, make_bytes(in->discard_freed_bytes)),
		 cell_if(is_back, make_bytes(back->discard_freed_bytes)));
}

static void put_ways(FILE *out, const struct run_result *result)
{
	const struct run_way *in = &result->inflate, *back = &result->deflate;
	bool is_in = run_way_is_done(in), is_back = run_way_is_done(back);

	fputc('\n', out);
	put_pair(out, "", make_text("inflate"), make_text("deflate"));
	put_pair(out, "Time", cell_if(is_in, make_real(in->seconds, 3, "s")),
		 cell_if(is_back, make_real(back->seconds, 3, "s")));
	put_pair(out, "Rate", cell_if(is_in, make_rate(in)), cell_if(is_back, make_rate(back)));
	put_pair(out, "Time per GiB", cell_if(is_in, make_time_per_gib(in)),
		 cell_if(is_back, make_time_per_gib(back)));
	if (result->has_ledger || result->has_requests)
		put_pair(out, "Requests", cell_if(is_in, make_count(in->requests)),
			 cell_if(is_back, make_count(back->requests)));
	put_pair(out, "Frames of 4 KiB", cell_if(is_in, make_count(in->frames)),
		 cell_if(is_back, make_count(back->frames)));
	if (result->has_ledger)
		put_counts(out, result);
}

static struct cell make_guest(const struct run_guest_memory *memory, uint64_t bytes)
{
	return cell_if(memory->total_bytes > 0, make_bytes(bytes));
}

static void put_memory(FILE *out, const struct run_result *result)
{
	const struct run_guest_memory *before = &result->guest_before;
	const struct run_guest_memory *inflated = &result->guest_inflated;
	const struct run_guest_memory *after = &result->guest_after;
	const struct cell head[] = { make_text("before"), make_text("inflated"),
				     make_text("after") };
	const struct cell free_memory[] = { make_guest(before, before->free_bytes),
					    make_guest(inflated, inflated->free_bytes),
					    make_guest(after, after->free_bytes) };
	const struct cell available[] = { make_guest(before, before->available_bytes),
					  make_guest(inflated, inflated->available_bytes),
					  make_guest(after, after->available_bytes) };
	const struct cell resident[] = {
		cell_if(result->reached >= RUN_INFLATING,
			make_bytes(result->resident_before_bytes)),
		cell_if(run_way_is_done(&result->inflate),
			make_bytes(result->resident_inflated_bytes)),
		cell_if(run_way_is_done(&result->deflate),
			make_bytes(result->resident_after_bytes)),
	};

	fputc('\n', out);
	put_row(out, "", head, 3);
	put_row(out, "Guest free", free_memory, 3);
	put_row(out, "Guest available", available, 3);
	put_row(out, "Host-resident", resident, 3);
}

/* One statistic: bytes where its key says so. */
static void put_stat(FILE *out, const char *key, uint64_t value)
{
	static const char suffix[] = "_bytes";
	size_t length = strlen(key), tail = sizeof(suffix) - 1;
	bool is_bytes = length > tail && !strcmp(key + length - tail, suffix);
	struct cell cell = is_bytes ? make_bytes(value) : make_count(value);
	char name[64], *at;

	snprintf(name, sizeof(name), "%.*s", (int)(is_bytes ? length - tail : length), key);
	for (at = name; *at; at++)
		if (*at == '_')
			*at = ' ';
	fprintf(out, "%*s%-*s%*s\n", INDENT, "", NAME_WIDTH, name, CELL_WIDTH, cell.text);
}

static void put_statistics(FILE *out, const json_t *statistics)
{
	json_t *values = json_object_get(statistics, "values"), *value;
	json_t *unknown = json_object_get(statistics, "unknown");
	const char *key;
	char name[32];

	if (!statistics)
		return;
	fprintf(out, "\n%*sGuest statistics while inflated\n", INDENT, "");
	json_object_foreach(values, key, value)
		put_stat(out, key, (uint64_t)json_number_value(value));
	json_object_foreach(unknown, key, value)
	{
		snprintf(name, sizeof(name), "tag %s", key);
		put_stat(out, name, (uint64_t)json_number_value(value));
	}
}

/* The verdict ---------------------------------------------------------------------------------- */

static const char *mark(bool is_passed)
{
	return is_passed ? "ok  " : "NOT ";
}

/* Where what is left is not known, the fall of the whole, as far as it counts. */
static double freed_bytes(const struct run_result *result)
{
	double under = (double)result->resident_under_balloon_bytes;
	double fall =
		(double)result->resident_before_bytes - (double)result->resident_inflated_bytes;

	if (result->is_left_known)
		return under - (double)result->resident_left_bytes;
	return fall < under ? fall : under;
}

static void put_ledger_check(FILE *out, const struct run_result *result)
{
	fprintf(out, "%*s%s the ledger agrees: ", INDENT, "", mark(result->is_ledger_agreed));
	fprintf(out, "%s of ", make_count(result->ledger_bytes / AERO_FRAME_BYTES).text);
	fprintf(out, "%s frames\n", make_count(result->actual_bytes / AERO_FRAME_BYTES).text);
}

static void put_checks(FILE *out, const struct run_result *result)
{
	double under = (double)result->resident_under_balloon_bytes;
	double freed = freed_bytes(result);

	if (!run_way_is_done(&result->inflate))
		return;
	fprintf(out, "%*s%s the guest reports the target: %.1f of %.1f MiB\n", INDENT, "",
		mark(result->is_target_reported), (double)result->actual_bytes / MIB,
		(double)result->target_bytes / MIB);
	if (result->has_ledger)
		put_ledger_check(out, result);
	fprintf(out, "%*s%s the host got memory back: %.1f of %s%.1f MiB under the balloon", INDENT,
		"", mark(result->is_memory_freed), freed / MIB,
		result->has_ledger ? "" : "at least ", under / MIB);
	if (under > 0)
		fprintf(out, " (%.1f %%)", freed / under * 100);
	else if (!result->has_ledger)
		fputs("; to tell, the guest has to dirty more", out);
	fputs(result->is_memory_freed ? "\n" : "; 95 % needed\n", out);
}

/* The account is complete when the balloon is empty again. */
static void put_account_check(FILE *out, const struct run_result *result)
{
	if (!result->has_account || !run_way_is_done(&result->deflate))
		return;
	fprintf(out, "%*s%s the guest's own account agrees with %s", INDENT, "",
		mark(result->is_account_agreed), result->has_ledger ? "ours" : "QEMU's");
	run_account_print_verdict(out, result->account);
}

static void put_ending(FILE *out, const struct run_result *result)
{
	static const char *const doing[RUN_PHASES] = {
		[RUN_BOOTING] = "booting the guest",
		[RUN_DIRTYING] = "the guest dirtied its memory",
		[RUN_INFLATING] = "inflating",
		[RUN_ASKING] = "asking for statistics",
		[RUN_DEFLATING] = "deflating",
		[RUN_ENDING] = "powering the guest off",
		[RUN_OVER] = "cleaning up",
	};
	char clean[sizeof(result->failure)];

	if (run_result_is_good(result))
		fprintf(out,
			"Good: the guest gave %.1f MiB, the host got the memory, "
			"the guest has it back.\n",
			(double)result->actual_bytes / MIB);
	else if (result->failure[0])
		fprintf(out, "Failed while %s: %s\n", doing[result->reached],
			run_text_clean(result->failure, clean, sizeof(clean)));
	else
		fprintf(out, "Failed: not every check above is ok.\n");
}

void run_verdict_print(FILE *out, const struct run_result *result)
{
	put_checks(out, result);
	put_account_check(out, result);
	put_ending(out, result);
	fflush(out);
}

void run_summary_print(FILE *out, const struct run_result *result)
{
	fputc('\n', out);
	put_setting(out, result);
	/* Before that nothing was measured. */
	if (result->reached >= RUN_INFLATING) {
		put_ways(out, result);
		put_memory(out, result);
	}
	put_statistics(out, result->statistics);
	run_account_print(out, result->host_calls, result->account);
	fputc('\n', out);
	run_verdict_print(out, result);
}
