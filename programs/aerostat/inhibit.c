/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/commands.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "hosted/balloon_json.h"
#include "programs/aerostat/arguments.h"
#include "programs/aerostat/client.h"
#include "programs/aerostat/options.h"

#define NAME "inhibit"

static const char help[] =
	"Sets the reasons for which nothing may be discarded; 'none' permits it again. The\n"
	"balloon goes on, the host's memory stays where it is.\n"
	"\n"
	"  operator     somebody wants it so\n"
	"  passthrough  a device may write to any of the guest's memory\n"
	"  migration    the guest's memory is still arriving\n"
	"  snapshot     the guest's memory is being read\n";

static const struct aero_usage usage = {
	.name = NAME,
	.operands = "CONTROL REASON...|none",
	.help = help,
	.operands_min = 2,
	.operands_max = -1,
};

static bool is_reason(const char *name)
{
	unsigned int bit;

	for (bit = 0; aero_inhibit_name(bit); bit++) {
		if (!strcmp(aero_inhibit_name(bit), name))
			return true;
	}
	return false;
}

/* Answers AERO_ARGUMENTS_FINE, and the list of reasons. */
static int read_reasons(char **names, json_t *out_reasons)
{
	if (!strcmp(names[0], "none") && !names[1])
		return AERO_ARGUMENTS_FINE;
	for (; *names; names++) {
		if (!is_reason(*names))
			return aero_usage_error(NAME,
						"\"%s\" is no reason, which are operator, "
						"passthrough, migration and snapshot",
						*names);
		json_array_append_new(out_reasons, json_string(*names));
	}
	return AERO_ARGUMENTS_FINE;
}

static void print_reasons(const json_t *reasons)
{
	size_t i;

	if (!json_array_size(reasons))
		printf("discards are permitted");
	else
		printf("discards are inhibited:");
	for (i = 0; i < json_array_size(reasons); i++)
		printf(" %s", json_string_value(json_array_get(reasons, i)));
	putchar('\n');
}

int command_inhibit(int argc, char **argv)
{
	struct aero_arguments arguments;
	json_t *reasons;
	json_t *answer;
	int result = aero_arguments_read(&usage, argc, argv, &arguments);

	if (result != AERO_ARGUMENTS_FINE)
		return result;
	reasons = json_array();
	result = read_reasons(arguments.operands + 1, reasons);
	if (result != AERO_ARGUMENTS_FINE) {
		json_decref(reasons);
		return result;
	}
	result = aero_client_ask(NAME, arguments.operands[0],
				 json_pack("{s:s, s:o}", "command", "inhibit", "reasons", reasons),
				 AERO_CLIENT_TIMEOUT_MS, &answer);
	if (result == AERO_EXIT_OK)
		print_reasons(json_object_get(answer, "inhibited"));
	json_decref(answer);
	return result;
}
