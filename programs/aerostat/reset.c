/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/commands.h"

#include <stdio.h>

#include "programs/aerostat/arguments.h"
#include "programs/aerostat/client.h"

#define NAME "reset"

static const struct aero_usage usage = {
	.name = NAME,
	.operands = "CONTROL",
	.help = "Makes the guest start its balloon anew: its next request is refused, upon which\n"
		"it takes all of its memory back and begins again towards the same target. For\n"
		"tests of drivers; only where the protocol has it, as VMware's does.\n",
	.operands_min = 1,
	.operands_max = 1,
};

int command_reset(int argc, char **argv)
{
	struct aero_arguments arguments;
	json_t *answer;
	int result = aero_arguments_read(&usage, argc, argv, &arguments);

	if (result != AERO_ARGUMENTS_FINE)
		return result;
	result =
		aero_client_ask(NAME, arguments.operands[0], json_pack("{s:s}", "command", "reset"),
				AERO_CLIENT_TIMEOUT_MS, &answer);
	if (result == AERO_EXIT_OK)
		puts("the guest's next request is refused with a reset");
	json_decref(answer);
	return result;
}
