/* SPDX-License-Identifier: MIT */
#include "frame_set_drain.h"

#include "frame_set_near.h"
#include "platform.h"

/* Where ranges go. end is the end of the last one. */
struct drain {
	struct aero_range *next;
	size_t room;
	uint64_t left; /* frames that may still be taken */
	aero_frame end;
};

/* Take runs out of a word that starts at a frame; answers what is left of it. */
static inline uint64_t drain_word(uint64_t word, aero_frame first, struct drain *to)
{
	do {
		/* The carry clears the run and sets the bit after it, if there is one. */
		uint64_t carried = word + (word & (0 - word));
		unsigned int lo = aero_low_bit(word);
		unsigned int n = (carried ? aero_low_bit(carried) : WORD_BITS) - lo;

		if (aero_unlikely(n > to->left)) {
			n = (unsigned int)to->left;
			carried = n ? ~aero_bits(lo, n) : word;
		}
		if (first + lo == to->end) {
			to->next[-1].count += n;
		} else {
			if (!to->room)
				break;
			to->room--;
			to->next->first = first + lo;
			to->next->count = n;
			to->next++;
		}
		to->end = first + lo + n;
		to->left -= n;
		word &= carried;
	} while (word && to->left);
	return word;
}

/* Take a full block at once, where that is allowed. */
static inline bool drain_block(aero_frame first, struct drain *to)
{
	if (to->left < BLOCK_FRAMES || (first != to->end && !to->room))
		return false;
	if (first == to->end) {
		to->next[-1].count += BLOCK_FRAMES;
	} else {
		to->room--;
		to->next->first = first;
		to->next->count = BLOCK_FRAMES;
		to->next++;
	}
	to->end = first + BLOCK_FRAMES;
	to->left -= BLOCK_FRAMES;
	return true;
}

/* Take the words of a block; answers whether it is empty then. */
static inline bool drain_words(uint64_t *words, aero_frame first, struct drain *to)
{
	unsigned int w;

	for (w = 0; w < BLOCK_WORDS; w++) {
		if (!words[w])
			continue;
		if (to->left)
			words[w] = drain_word(words[w], first + w * WORD_BITS, to);
		if (words[w])
			return false;
	}
	return true;
}

/* Take what a leaf has, lowest first; answers whether all of it. */
static bool drain_leaf(struct aero_frame_set_entry *e, aero_frame first, struct drain *to)
{
	/* A copy that no pointer leads to stays in registers. */
	struct drain now = *to;
	bool is_empty = true;

	while (e->any && is_empty) {
		unsigned int block = aero_low_bit(e->any);
		uint64_t *words = &e->leaf[block * BLOCK_WORDS];
		uint64_t bit = 1ull << block;

		if (e->full & bit && drain_block(first + block * BLOCK_FRAMES, &now)) {
			e->full &= ~bit;
		} else {
			if (e->full & bit)
				aero_frame_set_open_block(e, block);
			is_empty = drain_words(words, first + block * BLOCK_FRAMES, &now);
			/* What is taken is taken from the first word on. */
			if (~words[0])
				e->full &= ~bit;
		}
		if (is_empty)
			e->any &= ~bit;
	}
	*to = now;
	return is_empty;
}

/* The entry of the lowest leaf; low is moved up to it. */
static struct aero_frame_set_entry *lowest_entry(struct aero_frame_set *set)
{
	struct aero_frame_set_entry *e = aero_frame_set_near_entry(set, set->low * LEAF_FRAMES);
	uint64_t leaf = set->low;

	if (aero_likely(e != NULL) || !set->count)
		return e;
	e = aero_frame_set_entry_from(set, &leaf);
	set->low = leaf;
	aero_frame_set_use(set, leaf * LEAF_FRAMES, e);
	return e;
}

size_t aero_frame_set_drain(struct aero_frame_set *set, uint64_t max, size_t room,
			    struct aero_range *out)
{
	struct drain to = { out, room, max, UINT64_MAX };
	bool is_all = true;

	while (is_all && set->count && to.left) {
		struct aero_frame_set_entry *e = lowest_entry(set);
		aero_frame first = set->low * LEAF_FRAMES;
		uint64_t before = to.left;

		is_all = drain_leaf(e, first, &to);
		set->count -= before - to.left;
		e->count -= (uint32_t)(before - to.left);
		if (!e->count)
			aero_frame_set_drop_leaf(set, first, e);
	}
	return room - to.room;
}

bool aero_frame_set_next_whole(const struct aero_frame_set *set, aero_frame from, aero_frame end,
			       struct aero_range *out_range)
{
	uint64_t leaf = from / LEAF_FRAMES;
	unsigned int block = (unsigned int)(from / BLOCK_FRAMES % LEAF_BLOCKS);
	const struct aero_frame_set_entry *e = aero_frame_set_near_entry(set, from);
	uint64_t full = e ? e->full & (~0ull << block) : 0;
	uint64_t above;

	while (!full) {
		/* Where nothing was near, the leaf of from itself has not been looked at. */
		uint64_t next = leaf + (e != NULL);

		e = aero_frame_set_entry_from(set, &next);
		if (!e || next * LEAF_FRAMES >= end)
			return false;
		full = next == from / LEAF_FRAMES ? e->full & (~0ull << block) : e->full;
		leaf = next;
	}
	block = aero_low_bit(full);
	above = ~(full >> block);
	out_range->first = leaf * LEAF_FRAMES + block * BLOCK_FRAMES;
	out_range->count = BLOCK_FRAMES * (uint64_t)(above ? aero_low_bit(above) : LEAF_BLOCKS);
	return out_range->first < end;
}
