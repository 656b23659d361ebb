/* SPDX-License-Identifier: MIT */
#ifndef AERO_CORE_FRAME_SET_NEAR_H
#define AERO_CORE_FRAME_SET_NEAR_H

/*
 * Single frames near the last: the short halves of insert() and remove(), for callers to which the
 * call and the range would cost as much again.
 */

#include "frame_set_tree.h"
#include "platform.h"

/* A call would be longer. */
static inline bool aero_frame_set_is_empty(const struct aero_frame_set *set)
{
	return !set->count;
}

/* The entry of a frame where its table is the one used last and its leaf exists, else NULL. */
static inline struct aero_frame_set_entry *aero_frame_set_near_entry(
	const struct aero_frame_set *set, aero_frame frame)
{
	struct aero_frame_set_entry *e;

	if (aero_unlikely(frame / LEAF_FRAMES / TABLE_ENTRIES != set->hint_index))
		return NULL;
	e = &set->hint[frame / LEAF_FRAMES % TABLE_ENTRIES];
	return aero_likely(e->leaf != NULL) ? e : NULL;
}

/* Whether the eight words of a block are all zeros, all ones. */
static inline bool aero_frame_set_is_block_empty(const uint64_t *w)
{
	return !(w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7]);
}

static inline bool aero_frame_set_is_block_full(const uint64_t *w)
{
	return !~(w[0] & w[1] & w[2] & w[3] & w[4] & w[5] & w[6] & w[7]);
}

/* Insert a frame into the leaf of its entry: whether it is new. */
static inline bool aero_frame_set_insert_near(struct aero_frame_set *set,
					      struct aero_frame_set_entry *e, aero_frame frame)
{
	unsigned int block = frame / BLOCK_FRAMES % LEAF_BLOCKS;
	uint64_t *word = &e->leaf[frame / WORD_BITS % LEAF_WORDS];
	uint64_t held;

	if (aero_unlikely(!aero_frame_set_is_mixed(e, block))) {
		if (e->full >> block & 1)
			return false;
		/* Not by a call, for which the short way would have to save registers. */
		memset(&e->leaf[block * BLOCK_WORDS], 0, BLOCK_BYTES);
		e->any |= 1ull << block;
	}
	held = *word;
	if (aero_unlikely(held >> (frame % WORD_BITS) & 1))
		return false;
	held |= 1ull << (frame % WORD_BITS);
	*word = held;
	e->count++;
	set->count++;
	if (aero_unlikely(!~held) && aero_frame_set_is_block_full(&e->leaf[block * BLOCK_WORDS]))
		e->full |= 1ull << block;
	return true;
}

/* Take a frame out of the leaf of its entry, which may be empty then: whether it was there. */
static inline bool aero_frame_set_remove_near(struct aero_frame_set *set,
					      struct aero_frame_set_entry *e, aero_frame frame)
{
	unsigned int block = frame / BLOCK_FRAMES % LEAF_BLOCKS;
	uint64_t *word = &e->leaf[frame / WORD_BITS % LEAF_WORDS];
	uint64_t held;
	uint64_t rest;

	if (aero_unlikely(!aero_frame_set_is_mixed(e, block))) {
		if (!(e->any >> block & 1))
			return false;
		memset(&e->leaf[block * BLOCK_WORDS], 0xff, BLOCK_BYTES);
		e->full &= ~(1ull << block);
	}
	held = *word;
	rest = held & ~(1ull << (frame % WORD_BITS));
	if (aero_unlikely(rest == held))
		return false;
	*word = rest;
	e->count--;
	set->count--;
	if (!rest && aero_frame_set_is_block_empty(&e->leaf[block * BLOCK_WORDS]))
		e->any &= ~(1ull << block);
	return true;
}

#endif
