/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/commands.h"

#include <stdio.h>

#include "programs/aerostat/arguments.h"
#include "programs/aerostat/client.h"
#include "programs/aerostat/options.h"

#define TIMEOUT_MS_DEFAULT 10000
#define TIMEOUT_MS_MAX 600000

static const struct aero_usage pause_usage = {
	.name = "pause",
	.operands = "CONTROL",
	.help = "Brings the device to rest, for a snapshot of the guest: it takes no new request,\n"
		"finishes those begun and discards what is pending. Ends when that is done, with\n"
		"exit status 3 where it is not done in time; the device goes on pausing then.\n"
		"\n"
		"  --timeout S  wait at most S seconds (default 10)\n",
	.takes = AERO_TAKES_TIMEOUT,
	.operands_min = 1,
	.operands_max = 1,
};

static const struct aero_usage resume_usage = {
	.name = "resume",
	.operands = "CONTROL",
	.help = "Lets a paused device go on.\n",
	.operands_min = 1,
	.operands_max = 1,
};

int command_pause(int argc, char **argv)
{
	uint32_t timeout_ms = TIMEOUT_MS_DEFAULT;
	struct aero_arguments arguments;
	json_t *answer;
	int result = aero_arguments_read(&pause_usage, argc, argv, &arguments);

	if (result != AERO_ARGUMENTS_FINE)
		return result;
	if (arguments.has_timeout)
		timeout_ms = arguments.timeout_ms;
	if (timeout_ms > TIMEOUT_MS_MAX)
		return aero_usage_error("pause", "--timeout: at most %d s", TIMEOUT_MS_MAX / 1000);
	result = aero_client_ask("pause", arguments.operands[0],
				 json_pack("{s:s, s:I}", "command", "pause", "timeout_ms",
					   (json_int_t)timeout_ms),
				 timeout_ms + AERO_CLIENT_TIMEOUT_MS, &answer);
	if (result == AERO_EXIT_OK)
		puts("paused and drained");
	json_decref(answer);
	return result;
}

int command_resume(int argc, char **argv)
{
	struct aero_arguments arguments;
	json_t *answer;
	int result = aero_arguments_read(&resume_usage, argc, argv, &arguments);

	if (result != AERO_ARGUMENTS_FINE)
		return result;
	result = aero_client_ask("resume", arguments.operands[0],
				 json_pack("{s:s}", "command", "resume"), AERO_CLIENT_TIMEOUT_MS,
				 &answer);
	if (result == AERO_EXIT_OK)
		puts("resumed");
	json_decref(answer);
	return result;
}
