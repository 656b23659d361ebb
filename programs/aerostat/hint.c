/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/commands.h"

#include <stdio.h>
#include <string.h>

#include "programs/aerostat/arguments.h"
#include "programs/aerostat/client.h"
#include "programs/aerostat/options.h"

#define NAME "hint"

static const char help[] =
	"A round of free page hinting: the guest names pages that are free, so that a copy of\n"
	"its memory can leave them out. Nothing is discarded.\n"
	"\n"
	"  start  begin a round\n"
	"  stop   end it; the guest keeps the pages it hinted aside\n"
	"  done   the guest may use the pages again\n";

static const struct aero_usage usage = {
	.name = NAME,
	.operands = "CONTROL start|stop|done",
	.help = help,
	.operands_min = 2,
	.operands_max = 2,
};

int command_hint(int argc, char **argv)
{
	struct aero_arguments arguments;
	const char *action;
	json_t *answer;
	int result = aero_arguments_read(&usage, argc, argv, &arguments);

	if (result != AERO_ARGUMENTS_FINE)
		return result;
	action = arguments.operands[1];
	if (strcmp(action, "start") && strcmp(action, "stop") && strcmp(action, "done"))
		return aero_usage_error(NAME, "start, stop or done, not \"%s\"", action);
	result = aero_client_ask(NAME, arguments.operands[0],
				 json_pack("{s:s, s:s}", "command", "hint", "action", action),
				 AERO_CLIENT_TIMEOUT_MS, &answer);
	if (result != AERO_EXIT_OK)
		return result;
	printf("hinting %s, command %u\n", aero_client_text(answer, "hint_state"),
	       (unsigned int)aero_client_number(answer, "hint_command"));
	json_decref(answer);
	return AERO_EXIT_OK;
}
