/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_PROGRAM_PATH_H
#define AEROSTAT_HOSTED_PROGRAM_PATH_H

/* Where a program lies. */

#include <stdbool.h>
#include <stddef.h>

/**
 * aero_program_find() - Look a bare name up in PATH, as a shell would.
 * @name: Without a slash.
 * @out:  Room for size bytes: where it was found.
 * @size: Of @out.
 *
 * Shape:   the first that may be executed and whose path fits. Without PATH: /usr/bin and /bin.
 * Owner:   nothing changes hands.
 * Errors:  false: there is none; @out holds anything.
 * Context: sleep.
 * Source:  POSIX: how a shell searches for commands.
 */
bool aero_program_find(const char *name, char *out, size_t size);

#endif
