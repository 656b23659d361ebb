/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_COMMANDS_H
#define AEROSTAT_PORTS_BAREMETAL_COMMANDS_H

/*
 * What the host may ask for over the console: the line protocol of hosted/guest_console.h, with
 * answers of the same keys, and more.
 *
 *     report          what the balloon driver counts
 *     resize          how long the last way to a target took: frames, from, to, ns
 *     validate        looks at allocator and balloon; an error says what is wrong
 *     conformance     runs the suite that every port must pass; failed, passed, skipped
 */

#include "text.h"

#include <stdbool.h>

/* Before the first command: places for what they fill. */
struct memory_map;
void commands_init(struct memory_map *map);

/* Says that the kernel is up, and what there is. */
void commands_say_ready(void);

/* Does what a line says, and answers. */
void commands_obey(const char *line);

#endif
