/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_COMMANDS_H
#define AEROSTAT_PROGRAMS_COMMANDS_H

/* The commands of the aerostat program: one function and one file each. */

/* How the program ends. Documented in docs/aerostat.1. */
enum aero_exit {
	AERO_EXIT_OK = 0,
	AERO_EXIT_FAILED = 1,	   /* the command was understood and did not succeed */
	AERO_EXIT_USAGE = 2,	   /* the command line is wrong; nothing was done */
	AERO_EXIT_TIMEOUT = 3,	   /* what was waited for did not happen in time */
	AERO_EXIT_UNREACHABLE = 4, /* nobody answers at the control socket */
};

/**
 * aero_command_fn() - Run one command.
 * @argc: Number of arguments, at least 1.
 * @argv: argv[0] is the command's name; the list ends with NULL.
 *
 * Shape:   answers an enum aero_exit. --help prints what the command does, and answers OK.
 * Owner:   argv stays the caller's; the order of its members may change.
 * Errors:  told on standard error, one line each, beginning with the command's name.
 * Context: the main thread, once per process: getopt_long() and signals are used.
 * Source:  docs/aerostat.1.
 */
typedef int aero_command_fn(int argc, char **argv);

aero_command_fn command_run;
aero_command_fn command_device;
aero_command_fn command_vmware;
aero_command_fn command_target;
aero_command_fn command_status;
aero_command_fn command_stats;
aero_command_fn command_watch;
aero_command_fn command_hint;
aero_command_fn command_pause;
aero_command_fn command_resume;
aero_command_fn command_reset;
aero_command_fn command_flush;
aero_command_fn command_inhibit;
aero_command_fn command_help;

struct aero_command {
	const char *name;
	aero_command_fn *run;
	const char *summary; /* one line for the list of commands */
};

/**
 * aero_command_find() - A command by its name.
 * @name: Any text.
 *
 * Shape:   NULL where there is no such command.
 * Owner:   static storage.
 * Errors:  none.
 * Context: any.
 * Source:  the table in commands.c.
 */
const struct aero_command *aero_command_find(const char *name);

#endif
