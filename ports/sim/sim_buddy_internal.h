/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_SIM_BUDDY_INTERNAL_H
#define AEROSTAT_PORTS_SIM_BUDDY_INTERNAL_H

/* The trees, and how to find one's way in them. */

#include "ports/sim/sim_buddy.h"

/* A tree over 512 places. Orders of a leaf are 0 .. 9 of frames, of a region 9 .. 18. */
#define PLACES 512u
#define PLACE_WORDS (PLACES / 64)
#define HEIGHT 9

/* Bit PLACES >> h + p stands for the block of 2^h places at p << h: a heap, from 1 on. */
struct tree {
	uint64_t bit[2 * PLACE_WORDS];
};

struct sim_leaf {
	struct tree free;
	struct tree lent;
	uint64_t mark[SIM_MARKS][PLACE_WORDS];
	uint32_t free_count[HEIGHT]; /* blocks by order */
	uint32_t lent_count;	     /* frames */
	struct sim_leaf *next;	     /* of the spare ones */
};

struct sim_region {
	struct tree free;
	struct tree lent;
	uint64_t mark[SIM_MARKS][PLACE_WORDS];
	uint32_t count[SIM_BUDDY_TOP];	   /* free blocks by order */
	uint64_t has[HEIGHT][PLACE_WORDS]; /* leaves with free blocks, by order */
	struct sim_leaf *leaf[PLACES];
};

static inline size_t region_of(aero_frame frame)
{
	return (size_t)(frame >> SIM_BUDDY_TOP);
}

static inline unsigned int section_of(aero_frame frame)
{
	return (unsigned int)(frame >> HEIGHT) % PLACES;
}

static inline unsigned int place_of(aero_frame frame)
{
	return (unsigned int)frame % PLACES;
}

static inline unsigned int node_of(unsigned int height, unsigned int place)
{
	return (PLACES >> height) + (place >> height);
}

static inline bool has_bit(const uint64_t *words, size_t at)
{
	return words[at / 64] >> at % 64 & 1;
}

static inline void set_bit(uint64_t *words, size_t at)
{
	words[at / 64] |= 1ull << at % 64;
}

static inline void clear_bit(uint64_t *words, size_t at)
{
	words[at / 64] &= ~(1ull << at % 64);
}

/* The bits of [at, at + count) that lie in at's word. */
static inline uint64_t mask_of(size_t at, size_t count)
{
	uint64_t mask = count < 64 ? (1ull << count) - 1 : UINT64_MAX;

	return mask << at % 64;
}

static inline void fill(uint64_t *words, size_t at, size_t count, bool is_set)
{
	while (count) {
		size_t here = 64 - at % 64 < count ? 64 - at % 64 : count;
		uint64_t mask = mask_of(at, here);

		if (is_set)
			words[at / 64] |= mask;
		else
			words[at / 64] &= ~mask;
		at += here;
		count -= here;
	}
}

/* The first, or last, set bit of [at, end); end: there is none. */
static inline size_t find_up(const uint64_t *words, size_t at, size_t end)
{
	while (at < end) {
		uint64_t word = words[at / 64] >> at % 64;

		if (word) {
			at += (size_t)__builtin_ctzll(word);
			return at < end ? at : end;
		}
		at += 64 - at % 64;
	}
	return end;
}

static inline size_t find_down(const uint64_t *words, size_t at, size_t end)
{
	size_t last = end;

	while (last > at) {
		size_t base = (last - 1) / 64 * 64;
		uint64_t word = words[base / 64] & mask_of(0, last - base);

		if (word) {
			last = base + 63 - (size_t)__builtin_clzll(word);
			return last >= at ? last : end;
		}
		last = base;
	}
	return end;
}

static inline struct sim_leaf *leaf_at(const struct sim_buddy *buddy, aero_frame frame)
{
	const struct sim_region *region = buddy->region[region_of(frame)];

	return region ? region->leaf[section_of(frame)] : NULL;
}

#endif
