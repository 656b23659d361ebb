/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/commands.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "hosted/size_text.h"
#include "programs/aerostat/arguments.h"
#include "programs/aerostat/client.h"

#define NAME "status"
#define WRAP_COLUMNS 60

static const char help[] =
	"Shows how the balloon is: target and actual size, what the host knows and got back,\n"
	"why it is not at its target, the features in use, and what was counted.\n"
	"\n"
	"  --json  everything, as JSON; keys in docs/control.md\n";

static const struct aero_usage usage = {
	.name = NAME,
	.operands = "CONTROL",
	.help = help,
	.takes = AERO_TAKES_JSON,
	.operands_min = 1,
	.operands_max = 1,
};

static void print_label(const char *label)
{
	printf("%-17s", label);
}

__attribute__((format(printf, 2, 3))) static void print_line(const char *label, const char *format,
							     ...)
{
	va_list args;

	print_label(label);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static bool is_true(const json_t *status, const char *key)
{
	return json_is_true(json_object_get(status, key));
}

static void print_peer(const json_t *status, const char *label)
{
	const char *driver = is_true(status, "is_live") ? "driver ready" : "no driver";

	print_line(label, "%s", is_true(status, "is_connected") ? driver : "none is connected");
}

/* Who says what the actual size is differs. */
static void print_amounts(const json_t *status, const char *says)
{
	char first[AERO_SIZE_TEXT_BYTES], second[AERO_SIZE_TEXT_BYTES];

	print_line("target", "%s",
		   aero_size_format(aero_client_number(status, "target_bytes"), first));
	print_line("actual", "%s%s, %s",
		   aero_size_format(aero_client_number(status, "actual_bytes"), first), says,
		   aero_client_text(status, "stall_text"));
	print_line("ledger", "%s as the host knows, %s of it still to be discarded",
		   aero_size_format(aero_client_number(status, "ledger_bytes"), first),
		   aero_size_format(aero_client_number(status, "pending_bytes"), second));
	print_line("guest memory", "%s, %s of it resident on the host",
		   aero_size_format(aero_client_number(status, "guest_memory_bytes"), first),
		   aero_size_format(aero_client_number(status, "resident_bytes"), second));
}

/* Words one after the other, wrapped, with a column for the label. */
struct words {
	size_t column;
	bool has_any;
};

static void print_word(struct words *words, const char *word)
{
	if (words->has_any && words->column + strlen(word) > WRAP_COLUMNS) {
		printf("\n%17s", "");
		words->column = 0;
	}
	printf("%s%s", words->column ? " " : "", word);
	words->column += strlen(word) + 1;
	words->has_any = true;
}

static void end_words(const struct words *words, const char *none)
{
	puts(words->has_any ? "" : none);
}

/* A list of what has a number and perhaps a name. */
static void print_features(const char *label, const json_t *features)
{
	struct words words = { 0, false };
	char number[16];
	size_t i;

	print_label(label);
	for (i = 0; i < json_array_size(features); i++) {
		const json_t *feature = json_array_get(features, i);
		const char *name = aero_client_text(feature, "name");

		snprintf(number, sizeof(number), "%u",
			 (unsigned int)aero_client_number(feature, "bit"));
		print_word(&words, *name ? name : number);
	}
	end_words(&words, "none negotiated");
}

static void print_discards(const json_t *status, const json_t *counters)
{
	const json_t *ledger = json_object_get(counters, "ledger");
	const json_t *reasons = json_object_get(status, "inhibited");
	char asked[AERO_SIZE_TEXT_BYTES], freed[AERO_SIZE_TEXT_BYTES];
	struct words words = { 0, false };
	size_t i;

	print_line("discards", "%s mode, %llu calls, %s asked, %s freed",
		   aero_client_text(status, "discard_mode"),
		   (unsigned long long)aero_client_number(ledger, "discards"),
		   aero_size_format(aero_client_number(ledger, "discard_asked_bytes"), asked),
		   aero_size_format(aero_client_number(ledger, "discard_freed_bytes"), freed));
	print_label("inhibited");
	for (i = 0; i < json_array_size(reasons); i++)
		print_word(&words, json_string_value(json_array_get(reasons, i)));
	end_words(&words, "no");
}

static void print_way(const char *label, const json_t *counters, const char *requests,
		      const char *frames)
{
	char text[AERO_SIZE_TEXT_BYTES];

	print_line(label, "%llu requests, %s",
		   (unsigned long long)aero_client_number(counters, requests),
		   aero_size_format(aero_client_number(counters, frames) * 4096, text));
}

static void print_paused(const json_t *status)
{
	if (is_true(status, "is_paused"))
		print_line("paused", "%s",
			   is_true(status, "is_drained") ? "and drained" : "not yet drained");
}

static void print_device(const json_t *status, const json_t *device)
{
	char text[AERO_SIZE_TEXT_BYTES];

	print_way("inflated", device, "inflate_requests", "inflate_frames");
	print_way("deflated", device, "deflate_requests", "deflate_frames");
	print_line("reported free", "%llu requests, %s freed",
		   (unsigned long long)aero_client_number(device, "reports"),
		   aero_size_format(aero_client_number(device, "report_freed_bytes"), text));
	print_line("hints", "%s", aero_client_text(status, "hint_state"));
	print_paused(status);
}

/* Numbers that are 0 in a good world: those that are not. */
static void print_troubles(const json_t *counters, const char *part)
{
	static const char *const keys[] = {
		"given_twice_frames",	   "returned_twice_frames", "never_given_frames",
		"out_of_range_frames",	   "unrecorded_frames",	    "dropped_frames",
		"discard_failures",	   "ragged_requests",	    "stats_extra_buffers",
		"stats_unknown_dropped",   "hint_stale_buffers",    "broken_queues",
		"report_discard_failures", "inhibited_frames",	    "unknown_calls",
		"foreign_calls",	   "malformed_entries",	    "bad_batches",
	};
	const json_t *object = json_object_get(counters, part);
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		uint64_t number = aero_client_number(object, keys[i]);

		if (number)
			print_line("note", "%llu %s", (unsigned long long)number, keys[i]);
	}
}

static void print_faults(const json_t *queues)
{
	size_t i;

	for (i = 0; i < json_array_size(queues); i++) {
		const json_t *queue = json_array_get(queues, i);
		const char *fault = aero_client_text(queue, "fault_text");

		if (*fault)
			print_line("note", "queue %zu (%s) is broken: %s", i,
				   aero_client_text(queue, "role"), fault);
	}
}

static void print_virtio(const json_t *status, const json_t *counters)
{
	print_peer(status, "front end");
	print_amounts(status, " as the guest says");
	print_features("features", json_object_get(status, "features"));
	print_discards(status, counters);
	print_device(status, json_object_get(counters, "device"));
	print_faults(json_object_get(status, "queues"));
	print_troubles(counters, "ledger");
	print_troubles(counters, "device");
}

/* VMware -------------------------------------------------------------------------------------- */

static void print_guest(const json_t *status)
{
	const json_t *doorbell = json_object_get(status, "doorbell");
	char limit[AERO_SIZE_TEXT_BYTES] = "unknown";

	if (json_is_integer(json_object_get(status, "limit_bytes")))
		aero_size_format(aero_client_number(status, "limit_bytes"), limit);
	print_line("guest type", "%s, manages %s", aero_client_text(status, "guest_type"), limit);
	print_features("capabilities", json_object_get(status, "capabilities"));
	if (json_is_object(doorbell))
		print_line("doorbell", "context %llu, resource %llu",
			   (unsigned long long)aero_client_number(doorbell, "context"),
			   (unsigned long long)aero_client_number(doorbell, "resource"));
	else
		print_line("doorbell", "none");
}

static void print_blocks(const char *label, const json_t *device, const char *small,
			 const char *large)
{
	print_line(label, "%llu frames of 4 KiB, %llu blocks of 2 MiB",
		   (unsigned long long)aero_client_number(device, small),
		   (unsigned long long)aero_client_number(device, large));
}

/* Commands that were used, with those that failed. */
static void print_calls(json_t *commands)
{
	struct words words = { 0, false };
	const char *name;
	char text[80];
	json_t *command;

	print_label("calls");
	json_object_foreach(commands, name, command)
	{
		unsigned long long calls = aero_client_number(command, "calls");
		unsigned long long failed = aero_client_number(command, "failed");

		if (!calls)
			continue;
		if (failed)
			snprintf(text, sizeof(text), "%s %llu (%llu failed)", name, calls, failed);
		else
			snprintf(text, sizeof(text), "%s %llu", name, calls);
		print_word(&words, text);
	}
	end_words(&words, "none");
}

static void print_refused(json_t *refused)
{
	const char *name;
	json_t *number;

	json_object_foreach(refused, name, number)
	{
		if (json_integer_value(number))
			print_line("note", "%llu entries refused: %s",
				   (unsigned long long)json_integer_value(number), name);
	}
}

static void print_vmware(const json_t *status, const json_t *counters)
{
	const json_t *device = json_object_get(counters, "device");

	print_peer(status, "machine");
	print_amounts(status, "");
	print_guest(status);
	print_discards(status, counters);
	print_blocks("locked", device, "locked_4k", "locked_2m");
	print_blocks("unlocked", device, "unlocked_4k", "unlocked_2m");
	print_calls(json_object_get(counters, "commands"));
	print_line("resets", "%llu", (unsigned long long)aero_client_number(device, "resets"));
	print_paused(status);
	print_refused(json_object_get(counters, "refused"));
	print_troubles(counters, "ledger");
	print_troubles(counters, "device");
}

static void print_status(const json_t *status)
{
	const json_t *counters = json_object_get(status, "counters");

	if (!strcmp(aero_client_text(status, "protocol"), "vmware"))
		print_vmware(status, counters);
	else
		print_virtio(status, counters);
}

int command_status(int argc, char **argv)
{
	struct aero_arguments arguments;
	json_t *status;
	int result = aero_arguments_read(&usage, argc, argv, &arguments);

	if (result != AERO_ARGUMENTS_FINE)
		return result;
	result = aero_client_ask(NAME, arguments.operands[0],
				 json_pack("{s:s}", "command", "status"), AERO_CLIENT_TIMEOUT_MS,
				 &status);
	if (result != AERO_EXIT_OK)
		return result;
	if (arguments.is_json)
		aero_client_print(status);
	else
		print_status(status);
	json_decref(status);
	return AERO_EXIT_OK;
}
