/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_MEMORY_H
#define AEROSTAT_PORTS_BAREMETAL_MEMORY_H

/* All memory that is not the kernel's itself, and who has which frame of it. */

#include "buddy.h"
#include "memory_map.h"

/* A set of frames with a bit for each. */
struct frame_bits {
	uint64_t *word;
	aero_frame end;
	uint64_t count;
};

struct memory {
	struct buddy buddy;
	uint64_t managed_frames;
	aero_frame end;
	unsigned int page_order; /* the kernel takes pages of 2^n frames for itself: 0, 2 or 4 */
	/* Free memory is filled with poison, and looked at when it is taken. */
	bool has_poison;
	uint32_t poison;
	/* Since boot, for statistics. */
	uint64_t large_blocks; /* taken for use, of 2 MiB */
	uint64_t large_failures;
	uint64_t failures; /* memory that was needed, and was not there */
	uint64_t reclaimed_frames;
};

extern struct memory memory;

/* What the map has becomes free, less what is needed to keep account of it. */
void memory_start(struct memory_map *map);

/* Frames for use, and back. They come with their poison on them, if there is any. */
bool memory_take(unsigned int order, aero_frame *out_first);
void memory_give(aero_frame first, uint64_t count);

/* For who gives frames back in other ways: writes poison where there is to be some. */
void memory_poison(aero_frame first, uint64_t count);

/* An empty set for all frames, made while there is a map to take it from. */
void frame_bits_init(struct frame_bits *bits, struct memory_map *map);

/* Runs of frames, all of them out or in before. A frame that is not as expected ends the kernel. */
void frame_bits_add(struct frame_bits *bits, aero_frame first, uint64_t count);
void frame_bits_remove(struct frame_bits *bits, aero_frame first, uint64_t count);

/* The first run at or behind a frame; false: there is none. */
bool frame_bits_next(const struct frame_bits *bits, aero_frame from, struct aero_range *out_run);

#endif
