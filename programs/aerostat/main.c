/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/commands.h"
#include "programs/aerostat/options.h"

#include <stdio.h>
#include <string.h>

static int show_version(void)
{
	puts("aerostat " AERO_VERSION);
	return AERO_EXIT_OK;
}

int main(int argc, char **argv)
{
	const struct aero_command *command;
	char help[] = "help";
	char *arguments[] = { help, NULL };

	if (argc < 2)
		return aero_usage_error(NULL, "no command given");
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return show_version();
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return command_help(1, arguments);
	command = aero_command_find(argv[1]);
	if (!command)
		return aero_usage_error(NULL, "there is no command \"%s\"", argv[1]);
	return command->run(argc - 1, argv + 1);
}
