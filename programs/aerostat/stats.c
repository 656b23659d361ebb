/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/commands.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "hosted/size_text.h"
#include "programs/aerostat/arguments.h"
#include "programs/aerostat/client.h"
#include "programs/aerostat/options.h"

#define NAME "stats"
#define TIMEOUT_MS_DEFAULT 2000
#define TIMEOUT_MS_MAX 600000

static const char help[] =
	"Asks the guest for fresh statistics, waits for them and prints them by name. What is\n"
	"missing is said, and why. Exit status 3 where the guest did not answer in time,\n"
	"after the numbers that came last and their age.\n"
	"\n"
	"  --timeout S  wait at most S seconds (default 2)\n"
	"  --json       as JSON; keys in docs/control.md\n";

static const struct aero_usage usage = {
	.name = NAME,
	.operands = "CONTROL",
	.help = help,
	.takes = AERO_TAKES_JSON | AERO_TAKES_TIMEOUT,
	.operands_min = 1,
	.operands_max = 1,
};

/* "free_memory_bytes" is "free memory" of bytes. */
static bool split_name(const char *key, char *out, size_t size)
{
	size_t len = strlen(key);
	bool is_bytes = len > 6 && !strcmp(key + len - 6, "_bytes");
	char *at;

	snprintf(out, size, "%.*s", (int)(is_bytes ? len - 6 : len), key);
	for (at = out; *at; at++) {
		if (*at == '_')
			*at = ' ';
	}
	return is_bytes;
}

static void print_value(const char *key, const json_t *values)
{
	char size[AERO_SIZE_TEXT_BYTES];
	char name[64];
	uint64_t number = aero_client_number(values, key);

	if (split_name(key, name, sizeof(name)))
		printf("%-20s %20llu  %s\n", name, (unsigned long long)number,
		       aero_size_format(number, size));
	else
		printf("%-20s %20llu\n", name, (unsigned long long)number);
}

static void print_unknown(const json_t *unknown)
{
	const char *tag;
	json_t *value;

	json_object_foreach((json_t *)unknown, tag, value)
	{
		printf("tag %-16s %20llu\n", tag,
		       (unsigned long long)aero_client_number(unknown, tag));
	}
}

static void print_missing(const json_t *missing)
{
	char name[64];
	const char *key;
	json_t *why;

	json_object_foreach((json_t *)missing, key, why)
	{
		split_name(key, name, sizeof(name));
		printf("%-20s %20s  %s\n", name, "-", aero_client_text(why, "text"));
	}
}

static void print_statistics(const json_t *statistics)
{
	json_t *values = json_object_get(statistics, "values");
	const char *key;
	json_t *value;

	json_object_foreach(values, key, value)
	{
		print_value(key, values);
	}
	print_unknown(json_object_get(statistics, "unknown"));
	if (json_object_size(values))
		print_missing(json_object_get(statistics, "missing"));
}

/* Answers the exit status. */
static int judge(const json_t *answer)
{
	const json_t *age = json_object_get(json_object_get(answer, "statistics"), "age_ms");
	const char *reason = aero_client_text(answer, "reason");
	const char *text = aero_client_text(answer, "reason_text");

	if (json_is_true(json_object_get(answer, "is_fresh")))
		return AERO_EXIT_OK;
	if (json_is_integer(age))
		aero_complain(NAME, "%s; the last numbers are %.1f s old", text,
			      (double)json_integer_value(age) / 1000);
	else
		aero_complain(NAME, "%s; there are no earlier numbers", text);
	return strcmp(reason, "timed_out") && strcmp(reason, "no_buffer") ? AERO_EXIT_FAILED
									  : AERO_EXIT_TIMEOUT;
}

int command_stats(int argc, char **argv)
{
	struct aero_arguments arguments;
	uint32_t timeout_ms = TIMEOUT_MS_DEFAULT;
	json_t *answer;
	int result = aero_arguments_read(&usage, argc, argv, &arguments);

	if (result != AERO_ARGUMENTS_FINE)
		return result;
	if (arguments.has_timeout)
		timeout_ms = arguments.timeout_ms;
	if (timeout_ms > TIMEOUT_MS_MAX)
		return aero_usage_error(NAME, "--timeout: at most %d s", TIMEOUT_MS_MAX / 1000);
	result = aero_client_ask(NAME, arguments.operands[0],
				 json_pack("{s:s, s:I}", "command", "stats", "timeout_ms",
					   (json_int_t)timeout_ms),
				 timeout_ms + AERO_CLIENT_TIMEOUT_MS, &answer);
	if (result != AERO_EXIT_OK)
		return result;
	if (arguments.is_json)
		aero_client_print(answer);
	else
		print_statistics(json_object_get(answer, "statistics"));
	result = judge(answer);
	json_decref(answer);
	return result;
}
