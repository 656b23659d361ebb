/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/commands.h"

#include <stdio.h>

#include "hosted/size_text.h"
#include "programs/aerostat/arguments.h"
#include "programs/aerostat/client.h"

#define NAME "flush"

static const struct aero_usage usage = {
	.name = NAME,
	.operands = "CONTROL",
	.help = "Discards what the balloon holds and is still being collected into whole blocks,\n"
		"because the host needs memory now. Prints how much that was.\n",
	.operands_min = 1,
	.operands_max = 1,
};

int command_flush(int argc, char **argv)
{
	char text[AERO_SIZE_TEXT_BYTES];
	struct aero_arguments arguments;
	json_t *answer;
	int result = aero_arguments_read(&usage, argc, argv, &arguments);

	if (result != AERO_ARGUMENTS_FINE)
		return result;
	result =
		aero_client_ask(NAME, arguments.operands[0], json_pack("{s:s}", "command", "flush"),
				AERO_CLIENT_TIMEOUT_MS, &answer);
	if (result != AERO_EXIT_OK)
		return result;
	printf("%s pending\n", aero_size_format(aero_client_number(answer, "pending_bytes"), text));
	json_decref(answer);
	return AERO_EXIT_OK;
}
