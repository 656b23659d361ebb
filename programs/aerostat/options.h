/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_OPTIONS_H
#define AEROSTAT_PROGRAMS_OPTIONS_H

/* What every command does with its arguments and its messages. */

#include <aerostat/host/ledger.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * aero_usage_error() - Say what is wrong with a command line.
 * @command: Name of the command; NULL: of none in particular.
 * @format:  printf format of what is wrong, without newline.
 *
 * Shape:   one line on standard error, and one that says where help is. Answers AERO_EXIT_USAGE.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
int aero_usage_error(const char *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * aero_complain() - Say what failed.
 * @command: Name of the command.
 * @format:  printf format, without newline.
 *
 * Shape:   one line on standard error, "aerostat COMMAND: ...". Answers AERO_EXIT_FAILED.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
int aero_complain(const char *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * aero_option_seconds() - A time in seconds from the command line.
 * @text:   What stands there, such as "2" or "0.5".
 * @out_ms: Milliseconds.
 *
 * Shape:   0 to a million seconds, with a fraction.
 * Owner:   nothing changes hands.
 * Errors:  false: not such a number; out_ms is unchanged.
 * Context: any.
 * Source:  none.
 */
bool aero_option_seconds(const char *text, uint32_t *out_ms);

/**
 * aero_option_number() - A whole number from the command line.
 * @text:       What stands there.
 * @max:        The largest that is allowed.
 * @out_number: The number.
 *
 * Shape:   decimal digits only.
 * Owner:   nothing changes hands.
 * Errors:  false: not such a number; out_number is unchanged.
 * Context: any.
 * Source:  none.
 */
bool aero_option_number(const char *text, uint64_t max, uint64_t *out_number);

/**
 * aero_option_discard() - A way of discarding from the command line.
 * @text:     What stands there.
 * @out_mode: The way.
 *
 * Shape:   collect, request, frame or none.
 * Owner:   nothing changes hands.
 * Errors:  false: not such a word; out_mode is unchanged.
 * Context: any.
 * Source:  none.
 */
bool aero_option_discard(const char *text, enum aero_discard_mode *out_mode);

/**
 * aero_bad_option() - Say which option getopt_long() did not take.
 * @command: Name of the command.
 * @argv:    What getopt_long() was given, with ":" as the first short option.
 * @answer:  What it answered: '?' or ':'.
 *
 * Shape:   as of aero_usage_error().
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: right after getopt_long().
 * Source:  getopt(3).
 */
int aero_bad_option(const char *command, char **argv, int answer);

#endif
