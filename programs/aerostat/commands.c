/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/commands.h"

#include "programs/aerostat/options.h"

#include <stdio.h>
#include <string.h>

static const struct aero_command commands[] = {
	{ "run", command_run, "boot a Linux guest and watch its memory come back" },
	{ "device", command_device, "be the balloon of a vhost-user front end" },
	{ "vmware", command_vmware, "be the hypervisor of a VMware guest under QEMU" },
	{ "target", command_target, "set how much memory the balloon is to hold" },
	{ "status", command_status, "show how the balloon is" },
	{ "stats", command_stats, "ask the guest for its memory statistics" },
	{ "watch", command_watch, "print events as they happen" },
	{ "hint", command_hint, "start, stop or end a round of free page hinting" },
	{ "pause", command_pause, "bring the device to rest, for a snapshot" },
	{ "resume", command_resume, "let a paused device go on" },
	{ "reset", command_reset, "make the guest start its balloon anew" },
	{ "flush", command_flush, "discard what is still being collected" },
	{ "inhibit", command_inhibit, "forbid discards, or permit them again" },
	{ "help", command_help, "explain a command" },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const char usage[] = "usage: aerostat COMMAND [ARGUMENT]...\n"
			    "       aerostat help [COMMAND]\n"
			    "       aerostat --version\n"
			    "\n"
			    "Guest memory that moves: balloons of virtio and VMware guests.\n"
			    "\n";

static const char exit_codes[] = "\n"
				 "SIZE is bytes, or a number with K, M, G or T (powers of 1024), "
				 "or % of guest memory.\n"
				 "Exit status: 0 done, 1 failed, 2 wrong usage, 3 not in time, "
				 "4 no answer at CONTROL.\n";

const struct aero_command *aero_command_find(const char *name)
{
	size_t i;

	for (i = 0; i < COMMAND_COUNT; i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

static int list_commands(void)
{
	size_t i;

	fputs(usage, stdout);
	for (i = 0; i < COMMAND_COUNT; i++)
		printf("  %-8s  %s\n", commands[i].name, commands[i].summary);
	fputs(exit_codes, stdout);
	return AERO_EXIT_OK;
}

/* A command explains itself. */
int command_help(int argc, char **argv)
{
	char option[] = "--help";
	char *arguments[] = { argc > 1 ? argv[1] : NULL, option, NULL };
	const struct aero_command *command;

	if (argc > 2)
		return aero_usage_error("help", "one command at a time, not \"%s\" too", argv[2]);
	if (argc == 1 || !strcmp(argv[1], "help") || !strcmp(argv[1], "--help"))
		return list_commands();
	command = aero_command_find(argv[1]);
	if (!command)
		return aero_usage_error(NULL, "there is no command \"%s\"", argv[1]);
	return command->run(2, arguments);
}
