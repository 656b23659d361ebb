/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_ARGUMENTS_H
#define AEROSTAT_PROGRAMS_ARGUMENTS_H

/* The command lines of all commands that talk to a control socket. */

#include <stdbool.h>
#include <stdint.h>

/* Options a command may take. */
#define AERO_TAKES_JSON 1u
#define AERO_TAKES_WAIT 2u
#define AERO_TAKES_TIMEOUT 4u

/* What a command takes. */
struct aero_usage {
	const char *name;
	const char *operands; /* such as "CONTROL SIZE", for people */
	const char *help;     /* all that --help prints after the first line */
	unsigned int takes;   /* AERO_TAKES_* */
	int operands_min;
	int operands_max; /* -1: any number */
};

struct aero_arguments {
	char **operands; /* the first is CONTROL; ends with NULL */
	int operand_count;
	bool is_json;
	bool is_waiting;
	bool has_timeout;
	uint32_t timeout_ms;
};

/* Go on: there is no exit status yet. */
#define AERO_ARGUMENTS_FINE (-1)

/**
 * aero_arguments_read() - Take a command line apart.
 * @usage:         What is allowed.
 * @argc:          As of the command.
 * @argv:          As of the command; reordered.
 * @out_arguments: What was found.
 *
 * Shape:   answers AERO_ARGUMENTS_FINE, or the exit status: help was printed, or the line is wrong
 *          and that was told.
 * Owner:   operands point into argv.
 * Errors:  AERO_EXIT_USAGE.
 * Context: as of the command.
 * Source:  docs/aerostat.1.
 */
int aero_arguments_read(const struct aero_usage *usage, int argc, char **argv,
			struct aero_arguments *out_arguments);

#endif
