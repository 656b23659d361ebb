/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/commands.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "hosted/size_text.h"
#include "programs/aerostat/arguments.h"
#include "programs/aerostat/client.h"

#define NAME "watch"

static const char help[] =
	"Prints events as they happen, one per line, until it is interrupted or the device\n"
	"ends (exit status 4).\n"
	"\n"
	"  --json  each as one line of JSON; keys in docs/control.md\n";

static const struct aero_usage usage = {
	.name = NAME,
	.operands = "CONTROL",
	.help = help,
	.takes = AERO_TAKES_JSON,
	.operands_min = 1,
	.operands_max = 1,
};

static void print_time(uint64_t time_ms)
{
	time_t seconds = (time_t)(time_ms / 1000);
	struct tm local;
	char text[16];

	localtime_r(&seconds, &local);
	strftime(text, sizeof(text), "%H:%M:%S", &local);
	printf("%s.%03u  ", text, (unsigned int)(time_ms % 1000));
}

/* What is particular about an event, after the amounts. */
static void print_detail(const json_t *event, const char *name)
{
	char size[AERO_SIZE_TEXT_BYTES];

	if (!strcmp(name, "disagree"))
		printf(", the host's ledger says %s",
		       aero_size_format(aero_client_number(event, "ledger_bytes"), size));
	else if (!strcmp(name, "hint"))
		printf(", %s", aero_client_text(event, "hint_state"));
	else if (!strcmp(name, "ready"))
		printf(", %s", json_is_true(json_object_get(event, "is_live"))
				       ? "a driver took the device"
				       : "the driver is gone");
	else if (!strcmp(name, "broken"))
		printf(", queue %u: %s", (unsigned int)aero_client_number(event, "queue"),
		       aero_client_text(event, "fault_text"));
	else if (!strcmp(name, "guest"))
		printf(", it says that it is %s", aero_client_text(event, "guest_type"));
	else if (!strcmp(name, "reset"))
		printf(", in answer to %s", aero_client_text(event, "command"));
	else if (!strcmp(name, "memory"))
		printf(", the guest has %s",
		       aero_size_format(aero_client_number(event, "guest_memory_bytes"), size));
	else if (!strcmp(name, "stats"))
		printf(", %zu numbers", json_object_size(json_object_get(
						json_object_get(event, "statistics"), "values")));
}

static void print_event(const json_t *event)
{
	char actual[AERO_SIZE_TEXT_BYTES], target[AERO_SIZE_TEXT_BYTES];
	const char *name = aero_client_text(event, "event");

	print_time(aero_client_number(event, "time_ms"));
	printf("%-12s  %s of %s", name,
	       aero_size_format(aero_client_number(event, "actual_bytes"), actual),
	       aero_size_format(aero_client_number(event, "target_bytes"), target));
	print_detail(event, name);
	putchar('\n');
}

static void print_json(const json_t *event)
{
	json_dumpf(event, stdout, JSON_COMPACT);
	putchar('\n');
}

static int watch(struct aero_client *client, const struct aero_arguments *arguments)
{
	json_t *event;
	int result = aero_client_call(client, json_pack("{s:s}", "command", "watch"),
				      AERO_CLIENT_TIMEOUT_MS, &event);

	/* For pipes: whoever reads them wants to see it now. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (result == AERO_EXIT_OK) {
		json_decref(event);
		result = aero_client_event(client, UINT32_MAX, &event);
		if (result == AERO_EXIT_OK && arguments->is_json)
			print_json(event);
		else if (result == AERO_EXIT_OK)
			print_event(event);
	}
	return result;
}

int command_watch(int argc, char **argv)
{
	struct aero_arguments arguments;
	struct aero_client client;
	int result = aero_arguments_read(&usage, argc, argv, &arguments);

	if (result != AERO_ARGUMENTS_FINE)
		return result;
	result = aero_client_open(&client, NAME, arguments.operands[0]);
	if (result == AERO_EXIT_OK)
		result = watch(&client, &arguments);
	aero_client_close(&client);
	return result;
}
