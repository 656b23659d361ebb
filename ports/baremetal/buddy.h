/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_BUDDY_H
#define AEROSTAT_PORTS_BAREMETAL_BUDDY_H

/*
 * The allocator of physical memory: blocks of 2^0 to 2^10 frames.
 *
 * Its unit is the chunk of 2 MiB, with a bit for each free frame; chunks stand in lists by the
 * largest block that they may have, whole ones and pairs of whole ones included. Many frames are
 * taken and given back at the price of a few words, and free memory is never touched: what is free
 * may be the host's.
 *
 * Not locked; calls are one at a time, with interrupts as they are.
 */

#include <aerostat/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUDDY_ORDER_MAX 10
#define BUDDY_CHUNK_FRAMES 512u
#define BUDDY_CHUNK_WORDS (BUDDY_CHUNK_FRAMES / 64)

/* Private: how a chunk is listed, besides orders 0 to 10. */
#define BUDDY_UNLISTED 0xffu /* it has nothing */
#define BUDDY_SECOND 0xfeu   /* the second of a pair of whole chunks */
#define BUDDY_NONE 0xffffffffu

struct buddy_chunk {
	uint64_t free[BUDDY_CHUNK_WORDS];
	uint32_t next;
	uint32_t prev;
	uint16_t count; /* of free frames */
	uint8_t list;	/* no block is larger than this order */
};

struct buddy {
	struct buddy_chunk *chunk; /* by frame / 512 */
	uint32_t chunk_count;
	uint32_t head[BUDDY_ORDER_MAX + 1];
	uint32_t has; /* bit n: head[n] is not empty */
	uint64_t free_frames;
};

/* Bytes of bookkeeping for frame numbers below an end, and an allocator in which none is free. */
uint64_t buddy_bytes(aero_frame end);
void buddy_init(struct buddy *buddy, void *bookkeeping, aero_frame end);

/* Takes blocks; answers how many there were, at most count. */
size_t buddy_take(struct buddy *buddy, unsigned int order, aero_frame *out, size_t count);

/* Frees blocks, or parts of blocks. A frame that is free already ends the kernel. */
void buddy_give(struct buddy *buddy, unsigned int order, const aero_frame *frames, size_t count);

/* Frees a run of frames. */
void buddy_give_run(struct buddy *buddy, aero_frame first, uint64_t count);

/* What is wrong, or NULL. */
const char *buddy_validate(const struct buddy *buddy);

#endif
