/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TYPES_H
#define AEROSTAT_TYPES_H

/*
 * Frame numbers, ranges and orders: the currency of every interface.
 *
 * A frame is 4096 bytes of guest-physical memory whatever page size the guest or the host uses,
 * because that is the unit of every balloon protocol. A frame number is the guest-physical address
 * divided by 4096. A block of order n is 2^n frames, aligned to its size.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AERO_FRAME_SHIFT 12
#define AERO_FRAME_BYTES (1u << AERO_FRAME_SHIFT)

/* Frame numbers are below this: guest-physical addresses have at most 52 bits. */
#define AERO_FRAME_LIMIT (1ull << 40)

/* Orders that have names of their own. */
#define AERO_ORDER_4K 0
#define AERO_ORDER_2M 9
#define AERO_ORDER_1G 18

/* Guest-physical frame number; guest-physical address. */
typedef uint64_t aero_frame;
typedef uint64_t aero_gpa;

/* A run of frames: first, first + 1, ... first + count - 1. count 0 is the empty range. */
struct aero_range {
	aero_frame first;
	uint64_t count;
};

/* A time that never comes: what a step() answers when it waits for an event only. */
#define AERO_NEVER UINT64_MAX

#endif
