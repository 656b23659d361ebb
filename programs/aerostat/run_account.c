/* SPDX-License-Identifier: MIT */
#include "run_account.h"

#include <aerostat/vmware.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "hosted/balloon_json_parts.h"
#include "run_text.h"

#define INDENT 2
#define NAME_WIDTH 22
#define CELL_WIDTH 14

bool run_account_read(struct run_reading *reading, const char *text,
		      const struct aero_vmware_host_counters *asked,
		      const struct aero_vmware_host_counters *now, uint64_t frames)
{
	struct run_vmmemctl guest;

	if (memcmp(asked->calls, now->calls, sizeof(now->calls)) != 0 ||
	    !run_vmmemctl_parse(text, &guest))
		return false;
	reading->is_taken = true;
	reading->guest = guest;
	reading->host = *now;
	reading->ledger_frames = frames;
	return true;
}

void run_account_keep(struct run_account *account, const char *text)
{
	char *at;

	snprintf(account->text, sizeof(account->text), "%s", text);
	for (at = account->text; *at; at++) {
		if (*at == '|')
			*at = '\n';
	}
}

/* Comparing ------------------------------------------------------------------------------------ */

/* What one command's counters grew by, from the first reading to the last. */
struct growth {
	uint64_t guest_calls, guest_failed;
	uint64_t host_calls, host_failed;
};

static struct growth growth_of(const struct run_account *account, uint32_t command)
{
	const struct run_reading *then = &account->before, *now = &account->after;
	struct growth growth = {
		now->guest.calls[command] - then->guest.calls[command],
		now->guest.failed[command] - then->guest.failed[command],
		now->host.calls[command] - then->host.calls[command],
		now->host.failed[command] - then->host.failed[command],
	};

	return growth;
}

__attribute__((format(printf, 2, 3))) static void put_difference(json_t *out, const char *format,
								 ...)
{
	char text[160];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_array_append_new(out, json_string(text));
}

static void compare_frames(json_t *out, const char *when, const struct run_reading *reading)
{
	if (!reading->is_taken)
		put_difference(out, "%s: the guest's account could not be read", when);
	else if (reading->guest.current != reading->ledger_frames)
		put_difference(out, "%s: the guest counts %" PRIu64 " frames, the ledger %" PRIu64,
			       when, reading->guest.current, reading->ledger_frames);
}

static void compare_command(json_t *out, const struct run_account *account, uint32_t command)
{
	struct growth growth = growth_of(account, command);
	const char *name = aero_vmware_command_name(command);

	if (growth.guest_calls != growth.host_calls)
		put_difference(out, "%s: the guest counts %" PRIu64 " calls, the host %" PRIu64,
			       name, growth.guest_calls, growth.host_calls);
	if (growth.guest_failed != growth.host_failed)
		put_difference(out, "%s: the guest counts %" PRIu64 " failures, the host %" PRIu64,
			       name, growth.guest_failed, growth.host_failed);
}

static json_t *list_differences(const struct run_account *account)
{
	json_t *out = json_array();
	uint32_t command;

	compare_frames(out, "before", &account->before);
	compare_frames(out, "inflated", &account->inflated);
	compare_frames(out, "after", &account->after);
	for (command = 0; command < AERO_VMWARE_CMD_COUNT; command++) {
		if (account->before.is_taken && account->after.is_taken &&
		    aero_vmware_command_name(command))
			compare_command(out, account, command);
	}
	return out;
}

bool run_account_is_agreed(const struct run_account *account)
{
	json_t *differences = list_differences(account);
	bool is_agreed = !json_array_size(differences);

	json_decref(differences);
	return is_agreed;
}

/* JSON ----------------------------------------------------------------------------------------- */

static json_t *list_commands(const struct run_account *account)
{
	json_t *out = json_object();
	uint32_t command;

	for (command = 0; command < AERO_VMWARE_CMD_COUNT; command++) {
		struct growth growth = growth_of(account, command);
		json_t *object;

		if (!aero_vmware_command_name(command))
			continue;
		object = json_object();
		aero_json_put_number(object, "guest_calls", growth.guest_calls);
		aero_json_put_number(object, "guest_failed", growth.guest_failed);
		aero_json_put_number(object, "host_calls", growth.host_calls);
		aero_json_put_number(object, "host_failed", growth.host_failed);
		json_object_set_new(out, aero_vmware_command_name(command), object);
	}
	return out;
}

static json_t *describe_frames(const struct run_reading *reading)
{
	return reading->is_taken ? aero_json_number(reading->guest.current) : json_null();
}

json_t *run_account_json(const struct run_account *account)
{
	char clean[sizeof(account->text)];
	json_t *out;

	if (!account->before.is_taken)
		return NULL;
	out = json_object();
	aero_json_put_text(out, "source", RUN_VMMEMCTL_FILE);
	json_object_set_new(out, "frames_inflated", describe_frames(&account->inflated));
	json_object_set_new(out, "frames_after", describe_frames(&account->after));
	json_object_set_new(out, "inflate_seconds", json_null());
	json_object_set_new(out, "deflate_seconds", json_null());
	json_object_set_new(out, "commands",
			    account->after.is_taken ? list_commands(account) : json_null());
	json_object_set_new(out, "differences", list_differences(account));
	aero_json_put_text(out, "text", run_text_clean_lines(account->text, clean, sizeof(clean)));
	return out;
}

/* For people ----------------------------------------------------------------------------------- */

static void put_cell(FILE *out, const json_t *number)
{
	if (number)
		fprintf(out, "%*" JSON_INTEGER_FORMAT, CELL_WIDTH, json_integer_value(number));
	else
		fprintf(out, "%*s", CELL_WIDTH, "-");
}

static void put_call(FILE *out, const char *name, const json_t *call, const json_t *counted)
{
	fprintf(out, "%*s%-*s", INDENT, "", NAME_WIDTH, name);
	put_cell(out, json_object_get(call, "calls"));
	put_cell(out, json_object_get(call, "failed"));
	put_cell(out, json_object_get(counted, "host_calls"));
	put_cell(out, json_object_get(counted, "guest_calls"));
	fputc('\n', out);
}

static void print_calls(FILE *out, json_t *host_calls, const json_t *account)
{
	const json_t *commands = json_object_get(account, "commands");
	const char *name;
	json_t *call;

	fprintf(out, "\n%*s%-*s%*s%*s%*s%*s\n", INDENT, "", NAME_WIDTH, "Host calls", CELL_WIDTH,
		"calls", CELL_WIDTH, "failed", CELL_WIDTH, "since read", CELL_WIDTH,
		"guest counts");
	json_object_foreach(host_calls, name, call)
	{
		if (json_integer_value(json_object_get(call, "calls")))
			put_call(out, name, call, json_object_get(commands, name));
	}
}

static void print_text(FILE *out, const json_t *account)
{
	const char *text = json_string_value(json_object_get(account, "text"));
	const char *source = json_string_value(json_object_get(account, "source"));
	size_t length;

	if (!text || !*text)
		return;
	fprintf(out, "\n%*sThe guest's %s at the end\n", INDENT, "", source);
	for (; *text; text += length + (text[length] != 0)) {
		length = strcspn(text, "\n");
		fprintf(out, "%*s%.*s\n", INDENT * 2, "", (int)length, text);
	}
}

void run_account_print(FILE *out, json_t *host_calls, const json_t *account)
{
	if (host_calls)
		print_calls(out, host_calls, account);
	if (account)
		print_text(out, account);
}

void run_account_print_verdict(FILE *out, const json_t *account)
{
	const json_t *differences = json_object_get(account, "differences");
	size_t i;

	if (!account)
		fputs(": it was never read", out);
	fputc('\n', out);
	for (i = 0; i < json_array_size(differences); i++)
		fprintf(out, "%*s%s\n", INDENT + 5, "",
			json_string_value(json_array_get(differences, i)));
}
