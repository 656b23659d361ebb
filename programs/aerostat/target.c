/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/commands.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hosted/size_text.h"
#include "programs/aerostat/arguments.h"
#include "programs/aerostat/client.h"
#include "programs/aerostat/options.h"

#define NAME "target"
#define WAIT_MS_DEFAULT 60000

/* Between two lines of progress. */
#define PROGRESS_MS 1000

static const char help[] =
	"Sets how much memory the balloon is to hold. SIZE is bytes, or a number with K, M,\n"
	"G or T (powers of 1024), or % of guest memory. More than the guest has, or the\n"
	"protocol can say, is lowered and said.\n"
	"\n"
	"  --wait       wait until the guest has done it, and show how far it is\n"
	"  --timeout S  with --wait: at most S seconds (default 60); exit status 3 after it\n";

static const struct aero_usage usage = {
	.name = NAME,
	.operands = "CONTROL SIZE",
	.help = help,
	.takes = AERO_TAKES_WAIT | AERO_TAKES_TIMEOUT,
	.operands_min = 2,
	.operands_max = 2,
};

/* Where the balloon is. */
struct progress {
	uint64_t target_bytes;
	uint64_t actual_bytes;
	uint64_t printed_bytes;
	uint64_t printed_ms; /* 0: never */
	bool is_terminal;
};

static void print_progress(struct progress *progress, bool is_last)
{
	char actual[AERO_SIZE_TEXT_BYTES], target[AERO_SIZE_TEXT_BYTES];

	printf("%s%s of %s%s", progress->is_terminal ? "\r\033[K" : "",
	       aero_size_format(progress->actual_bytes, actual),
	       aero_size_format(progress->target_bytes, target),
	       progress->is_terminal && !is_last ? "" : "\n");
	fflush(stdout);
	progress->printed_ms = aero_clock_ms();
	progress->printed_bytes = progress->actual_bytes;
}

static void show_progress(struct progress *progress)
{
	uint64_t patience = progress->is_terminal ? PROGRESS_MS / 10 : PROGRESS_MS;

	if (progress->printed_ms && (progress->printed_bytes == progress->actual_bytes ||
				     aero_clock_ms() < progress->printed_ms + patience))
		return;
	print_progress(progress, false);
}

static int give_up(struct aero_client *client, const struct progress *progress, uint32_t waited_ms)
{
	char actual[AERO_SIZE_TEXT_BYTES], target[AERO_SIZE_TEXT_BYTES];
	json_t *status;
	int result = aero_client_call(client, json_pack("{s:s}", "command", "status"),
				      AERO_CLIENT_TIMEOUT_MS, &status);

	if (progress->is_terminal)
		putchar('\n');
	if (result != AERO_EXIT_OK)
		return result;
	aero_complain(NAME, "not there in %g s, %s of %s: %s", waited_ms / 1000.0,
		      aero_size_format(aero_client_number(status, "actual_bytes"), actual),
		      aero_size_format(progress->target_bytes, target),
		      aero_client_text(status, "stall_text"));
	json_decref(status);
	return AERO_EXIT_TIMEOUT;
}

/* Somebody else has set another target. */
static int overruled(const struct progress *progress, uint64_t target_bytes)
{
	char ours[AERO_SIZE_TEXT_BYTES], theirs[AERO_SIZE_TEXT_BYTES];

	return aero_complain(NAME, "the target %s was changed to %s by another client",
			     aero_size_format(progress->target_bytes, ours),
			     aero_size_format(target_bytes, theirs));
}

/* One event, or the end of the wait. Answers AERO_ARGUMENTS_FINE to go on. */
static int wait_once(struct aero_client *client, struct progress *progress, uint32_t left_ms,
		     bool *out_is_reached)
{
	uint64_t target_bytes;
	json_t *event;
	int result = aero_client_event(client, left_ms, &event);

	if (result != AERO_EXIT_OK)
		return result;
	progress->actual_bytes = aero_client_number(event, "actual_bytes");
	target_bytes = aero_client_number(event, "target_bytes");
	/* A guest that moves blocks may have gone past it. */
	*out_is_reached = progress->actual_bytes == target_bytes ||
			  !strcmp(aero_client_text(event, "event"), "reached");
	json_decref(event);
	if (target_bytes != progress->target_bytes)
		return overruled(progress, target_bytes);
	show_progress(progress);
	return AERO_ARGUMENTS_FINE;
}

static int await_target(struct aero_client *client, struct progress *progress, bool is_reached,
			uint32_t timeout_ms)
{
	uint64_t begin_ms = aero_clock_ms();
	int result;

	show_progress(progress);
	while (!is_reached) {
		uint64_t waited_ms = aero_clock_ms() - begin_ms;

		if (waited_ms >= timeout_ms)
			return give_up(client, progress, timeout_ms);
		result = wait_once(client, progress, (uint32_t)(timeout_ms - waited_ms),
				   &is_reached);
		if (result == AERO_EXIT_TIMEOUT)
			return give_up(client, progress, timeout_ms);
		if (result != AERO_ARGUMENTS_FINE)
			return result;
	}
	if (progress->is_terminal || progress->printed_bytes != progress->actual_bytes)
		print_progress(progress, true);
	return AERO_EXIT_OK;
}

static void tell_clamped(const json_t *answer)
{
	char wanted[AERO_SIZE_TEXT_BYTES], set[AERO_SIZE_TEXT_BYTES];
	bool is_memory = !strcmp(aero_client_text(answer, "clamped_by"), "guest_memory");

	if (!json_object_get(answer, "clamped_from_bytes"))
		return;
	aero_complain(NAME, "%s is more than %s: lowered to %s",
		      aero_size_format(aero_client_number(answer, "clamped_from_bytes"), wanted),
		      is_memory ? "the guest has" : "the protocol can say",
		      aero_size_format(aero_client_number(answer, "target_bytes"), set));
}

/* A share is of the memory that the guest has now. */
static int resolve(struct aero_client *client, const struct aero_size *size, uint64_t *out_bytes)
{
	uint64_t memory;
	json_t *status;
	int result;

	*out_bytes = aero_size_bytes(size, 0);
	if (!size->is_share)
		return AERO_EXIT_OK;
	result = aero_client_call(client, json_pack("{s:s}", "command", "status"),
				  AERO_CLIENT_TIMEOUT_MS, &status);
	if (result != AERO_EXIT_OK)
		return result;
	memory = aero_client_number(status, "guest_memory_bytes");
	json_decref(status);
	if (!memory)
		return aero_complain(NAME,
				     "a share of guest memory is not known: there is no guest");
	*out_bytes = aero_size_bytes(size, memory);
	return AERO_EXIT_OK;
}

static int set_target(struct aero_client *client, uint64_t bytes,
		      const struct aero_arguments *arguments)
{
	char text[AERO_SIZE_TEXT_BYTES];
	struct progress progress = { .is_terminal = isatty(STDOUT_FILENO) };
	bool is_reached;
	json_t *answer;
	int result;

	result = aero_client_call(
		client, json_pack("{s:s, s:I}", "command", "target", "bytes", (json_int_t)bytes),
		AERO_CLIENT_TIMEOUT_MS, &answer);
	if (result != AERO_EXIT_OK)
		return result;
	/* Those of targets before ours. */
	aero_client_forget_events(client);
	tell_clamped(answer);
	progress.target_bytes = aero_client_number(answer, "target_bytes");
	progress.actual_bytes = aero_client_number(answer, "actual_bytes");
	is_reached = json_is_true(json_object_get(answer, "is_reached"));
	json_decref(answer);
	if (!arguments->is_waiting) {
		printf("target %s\n", aero_size_format(progress.target_bytes, text));
		return AERO_EXIT_OK;
	}
	return await_target(client, &progress, is_reached,
			    arguments->has_timeout ? arguments->timeout_ms : WAIT_MS_DEFAULT);
}

static int watch_balloon(struct aero_client *client)
{
	json_t *answer;
	int result = aero_client_call(client,
				      json_pack("{s:s, s:[s, s, s]}", "command", "watch", "events",
						"actual", "target", "reached"),
				      AERO_CLIENT_TIMEOUT_MS, &answer);

	json_decref(answer);
	return result;
}

int command_target(int argc, char **argv)
{
	struct aero_arguments arguments;
	struct aero_client client;
	struct aero_error error;
	struct aero_size size;
	uint64_t bytes;
	int result = aero_arguments_read(&usage, argc, argv, &arguments);

	if (result != AERO_ARGUMENTS_FINE)
		return result;
	if (arguments.has_timeout && !arguments.is_waiting)
		return aero_usage_error(NAME, "--timeout is for --wait");
	if (aero_size_parse(arguments.operands[1], &size, &error) != AERO_OK)
		return aero_usage_error(NAME, "%s", error.text);
	result = aero_client_open(&client, NAME, arguments.operands[0]);
	if (result == AERO_EXIT_OK)
		result = resolve(&client, &size, &bytes);
	if (result == AERO_EXIT_OK && arguments.is_waiting)
		result = watch_balloon(&client);
	if (result == AERO_EXIT_OK)
		result = set_target(&client, bytes, &arguments);
	aero_client_close(&client);
	return result;
}
