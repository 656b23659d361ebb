/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_OPTIONS_H
#define AEROSTAT_PORTS_BAREMETAL_OPTIONS_H

/* The kernel's command line: words, key=value or key alone. */

#include <stdbool.h>
#include <stdint.h>

/* Into struct machine's; cut off where it is too long. */
void options_copy(char *command_line, const char *from);

/* Calls found(ctx, value) for each word with that key. */
void options_each(const char *command_line, const char *key,
		  void (*found)(void *ctx, const char *value), void *ctx);

/* The value of the last word with that key; fallback where there is none. */
uint64_t options_number(const char *command_line, const char *key, uint64_t fallback);

bool options_has(const char *command_line, const char *key);

/* Whether the last word with that key has this value. */
bool options_is(const char *command_line, const char *key, const char *value);

#endif
