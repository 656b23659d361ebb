/* SPDX-License-Identifier: MIT */
#ifndef AERO_CORE_FRAME_SET_PAIR_H
#define AERO_CORE_FRAME_SET_PAIR_H

/*
 * Two sets of which one is part of the other, filled together: what is found once is used for both.
 * Only what is simple is done here, for callers that can do the rest with the sets' own functions:
 * frames new to both sets, inside bounds, where both sets have a leaf already and that in the table
 * they used last.
 */

#include <aerostat/frame_set.h>

struct aero_frame_set_pair {
	struct aero_frame_set *whole;
	struct aero_frame_set *part;
	/* The tables both used last, where they are the same, and the frames these are good for. */
	struct aero_frame_set_entry *whole_table;
	struct aero_frame_set_entry *part_table;
	aero_frame first;
	uint64_t count;
};

/* First of all, and again after other changes. Frames out of bounds are not simple. */
void aero_frame_set_pair_begin(struct aero_frame_set_pair *pair, struct aero_range bounds);

/* Whether a number begins a run with the next, or is the same. */
static inline bool aero_frame_set_is_near(uint32_t a, uint32_t b)
{
	return b - a + 1 <= 2;
}

/*
 * Inserts frames that stand alone: each is neither followed by itself nor by a neighbour. Answers
 * how many, up to the first that is not simple, or to one that fills a block of whole, which
 * *out_is_full then says.
 */
size_t aero_frame_set_insert_singles(const struct aero_frame_set_pair *pair, const uint32_t *frames,
				     size_t count, bool *out_is_full);

/* The same by address, as far as those are of whole frames; not_this is not simple. */
size_t aero_frame_set_insert_singles_at(const struct aero_frame_set_pair *pair, const aero_gpa *at,
					size_t count, aero_gpa not_this, bool *out_is_full);

/*
 * The same for blocks of 2 MiB, of which there is nothing in the sets. They need not be in the
 * tables used last; bounds are frames.
 */
size_t aero_frame_set_insert_blocks_at(const struct aero_frame_set_pair *pair,
				       struct aero_range bounds, const aero_gpa *at, size_t count,
				       aero_gpa not_this);

/*
 * Inserts the start of a run; answers how much of it, at most to the end of its leaf. *out_is_full
 * says whether it filled a block of whole.
 */
uint64_t aero_frame_set_insert_run(const struct aero_frame_set_pair *pair, struct aero_range run,
				   bool *out_is_full);

#endif
