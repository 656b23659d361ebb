/* SPDX-License-Identifier: MIT */
/* Reading a frame set in order, taking from its ends, and checking it. */
#include "frame_set_tree.h"
#include "platform.h"

/* The first set bit of a leaf at or after pos; LEAF_FRAMES where there is none. */
static unsigned int first_set(const struct aero_frame_set_entry *e, unsigned int pos)
{
	unsigned int block = pos / BLOCK_FRAMES;
	uint64_t blocks = e->any & (~0ull << block);
	uint64_t mask = ~0ull << (pos % WORD_BITS);
	unsigned int w = pos / WORD_BITS;

	for (; blocks; blocks &= blocks - 1) {
		unsigned int b = aero_low_bit(blocks);

		if (b != block) {
			w = b * BLOCK_WORDS;
			mask = ~0ull;
		}
		for (; w < (b + 1) * BLOCK_WORDS; w++) {
			if (e->leaf[w] & mask)
				return w * WORD_BITS + aero_low_bit(e->leaf[w] & mask);
			mask = ~0ull;
		}
	}
	return LEAF_FRAMES;
}

/* The first clear bit of a leaf at or after pos; LEAF_FRAMES where there is none. */
static unsigned int first_clear(const struct aero_frame_set_entry *e, unsigned int pos)
{
	uint64_t mask = ~0ull << (pos % WORD_BITS);
	unsigned int w = pos / WORD_BITS;

	while (w < LEAF_WORDS) {
		uint64_t clear = ~e->leaf[w] & mask;

		if (clear)
			return w * WORD_BITS + aero_low_bit(clear);
		mask = ~0ull;
		w++;
		while (w < LEAF_WORDS && w % BLOCK_WORDS == 0 && (e->full >> (w / BLOCK_WORDS) & 1))
			w += BLOCK_WORDS;
	}
	return LEAF_FRAMES;
}

/* How far the run goes on that reaches the end of a leaf. */
static uint64_t run_into(const struct aero_frame_set *set, uint64_t leaf, uint64_t max)
{
	uint64_t count = 0;

	while (count < max) {
		struct aero_frame_set_entry *e =
			aero_frame_set_find_entry(set, leaf * LEAF_FRAMES);
		unsigned int n = e && e->count ? first_clear(e, 0) : 0;

		count += n;
		if (n < LEAF_FRAMES)
			break;
		leaf++;
	}
	return count;
}

bool aero_frame_set_next(const struct aero_frame_set *set, aero_frame from, uint64_t max,
			 struct aero_range *out_range)
{
	uint64_t leaf = from / LEAF_FRAMES;
	unsigned int pos = (unsigned int)(from % LEAF_FRAMES);
	struct aero_frame_set_entry *e = aero_frame_set_find_entry(set, from);
	unsigned int start = e && e->count ? first_set(e, pos) : LEAF_FRAMES;
	unsigned int end;

	if (start == LEAF_FRAMES) {
		leaf++;
		e = aero_frame_set_entry_from(set, &leaf);
		if (!e)
			return false;
		start = first_set(e, 0);
	}
	end = first_clear(e, start);
	out_range->first = leaf * LEAF_FRAMES + start;
	out_range->count = end - start;
	if (end == LEAF_FRAMES && out_range->count < max)
		out_range->count += run_into(set, leaf + 1, max - out_range->count);
	if (out_range->count > max)
		out_range->count = max;
	return true;
}

bool aero_frame_set_take_first(struct aero_frame_set *set, uint64_t max,
			       struct aero_range *out_range)
{
	if (!aero_frame_set_next(set, 0, max, out_range))
		return false;
	aero_frame_set_remove(set, *out_range);
	return true;
}

/* The last set bit of a leaf that holds something. */
static unsigned int last_set(const struct aero_frame_set_entry *e)
{
	unsigned int w = (aero_high_bit(e->any) + 1) * BLOCK_WORDS;

	while (!e->leaf[w - 1])
		w--;
	return (w - 1) * WORD_BITS + aero_high_bit(e->leaf[w - 1]);
}

/* The first bit of the run that ends at end, inclusive, looking back over at most max bits. */
static unsigned int run_start(const struct aero_frame_set_entry *e, unsigned int end, uint64_t max)
{
	unsigned int w = end / WORD_BITS;
	uint64_t clear = ~e->leaf[w] & (~0ull >> (WORD_BITS - 1 - end % WORD_BITS));
	unsigned int start;

	while (!clear && w && end - w * WORD_BITS < max)
		clear = ~e->leaf[--w];
	start = clear ? w * WORD_BITS + aero_high_bit(clear) + 1 : w * WORD_BITS;
	if (end - start >= max)
		start = end - (unsigned int)max + 1;
	return start;
}

bool aero_frame_set_take_last(struct aero_frame_set *set, uint64_t max,
			      struct aero_range *out_range)
{
	uint64_t leaf = 0;
	struct aero_frame_set_entry *e = aero_frame_set_last_entry(set, &leaf);
	unsigned int start;
	unsigned int end;

	if (!e)
		return false;
	end = last_set(e);
	start = run_start(e, end, max);
	out_range->first = leaf * LEAF_FRAMES + start;
	out_range->count = end - start + 1;
	aero_frame_set_remove(set, *out_range);
	return true;
}

/* Whether a block's summary bits agree with its words; adds what it holds. */
static bool is_block_valid(const struct aero_frame_set_entry *e, unsigned int b, uint64_t *count)
{
	unsigned int held = 0;
	unsigned int w;

	for (w = b * BLOCK_WORDS; w < (b + 1) * BLOCK_WORDS; w++)
		held += aero_popcount(e->leaf[w]);
	*count += held;
	return (e->any >> b & 1) == (held > 0) && (e->full >> b & 1) == (held == BLOCK_FRAMES);
}

static bool is_leaf_valid(const struct aero_frame_set_entry *e)
{
	uint64_t count = 0;
	unsigned int b;

	for (b = 0; b < LEAF_BLOCKS; b++) {
		if (!is_block_valid(e, b, &count))
			return false;
	}
	return count == e->count;
}

enum aero_status aero_frame_set_validate(const struct aero_frame_set *set)
{
	struct aero_frame_set_entry *e;
	uint64_t count = 0;
	uint64_t leaf;

	for (leaf = 0; (e = aero_frame_set_entry_from(set, &leaf)); leaf++) {
		if (!is_leaf_valid(e))
			return AERO_EBUG;
		count += e->count;
	}
	if (count != set->count || (!count && set->node_count))
		return AERO_EBUG;
	return AERO_OK;
}
