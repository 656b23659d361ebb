/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_WORK_H
#define AEROSTAT_PORTS_BAREMETAL_WORK_H

/*
 * What interrupts leave for main() to do: an event that resets itself. work_wait() loses nothing
 * that was raised since the last work_take(), which is what the balloon's loop needs.
 */

#include <stdint.h>

#define WORK_CONSOLE 1u
#define WORK_BALLOON 2u

/* From any context. */
void work_raise(uint32_t what);

/* Sleeps until a time, or until something is or was raised; answers what, and forgets it. */
uint32_t work_wait(uint64_t until_ns);

#endif
