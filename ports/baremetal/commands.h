/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_COMMANDS_H
#define AEROSTAT_PORTS_BAREMETAL_COMMANDS_H

/*
 * What the host may ask for over the console: the line protocol of hosted/guest_console.h, with
 * answers of the same keys, and more.
 *
 *     report          how the balloon is, frames, and the stall's number
 *     counters        what the driver has counted
 *     lent FRAME      the first run of frames in the balloon from there on: first, count (0: none);
 *                     with the kernel's option marks=1
 *     stall           why the balloon is not at its target; text, with blanks, up to the end
 *     time            the last way to a target: from_frames, to_frames, ns (0: it goes on)
 *     validate        looks at allocator and balloon; an error says what is wrong
 *     conformance     runs the suite that every port must pass; passed, failed, skipped
 *     panic           ends the kernel as a fault of its own would
 *
 * Of the others "sum" and "check" answer digest instead of md5, check looks at all memory that is
 * in use and says how many frames that are; there is no vmstat, read, and sh.
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
