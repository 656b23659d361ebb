/* SPDX-License-Identifier: MIT */
/* Reading a frame set in order and taking from its ends. */
#include "frame_set_tree.h"
#include "platform.h"

/* The first word that is not zero of a block that holds something. */
static inline unsigned int first_word(const uint64_t *leaf, unsigned int block)
{
	unsigned int w = block * BLOCK_WORDS;

	while (!leaf[w])
		w++;
	return w;
}

/* The first set bit of a leaf at or after pos; LEAF_FRAMES where there is none. */
static unsigned int first_set(const struct aero_frame_set_entry *e, unsigned int pos)
{
	unsigned int w = pos / WORD_BITS;
	uint64_t word = e->leaf[w] & (~0ull << (pos % WORD_BITS));
	uint64_t blocks;

	while (!word && ++w % BLOCK_WORDS)
		word = e->leaf[w];
	if (!word) {
		blocks = w < LEAF_WORDS ? e->any & (~0ull << (w / BLOCK_WORDS)) : 0;
		if (!blocks)
			return LEAF_FRAMES;
		w = first_word(e->leaf, aero_low_bit(blocks));
		word = e->leaf[w];
	}
	return w * WORD_BITS + aero_low_bit(word);
}

/* The first clear bit of a leaf at or after pos; LEAF_FRAMES where there is none. */
static unsigned int first_clear(const struct aero_frame_set_entry *e, unsigned int pos)
{
	unsigned int w = pos / WORD_BITS;
	uint64_t clear = ~e->leaf[w] & (~0ull << (pos % WORD_BITS));

	while (!clear) {
		if (++w % BLOCK_WORDS == 0) {
			uint64_t ragged =
				w < LEAF_WORDS ? ~e->full & (~0ull << (w / BLOCK_WORDS)) : 0;

			if (!ragged)
				return LEAF_FRAMES;
			w = aero_low_bit(ragged) * BLOCK_WORDS;
		}
		clear = ~e->leaf[w];
	}
	return w * WORD_BITS + aero_low_bit(clear);
}

/* How far the run goes on that reaches the end of a leaf. */
static uint64_t run_into(const struct aero_frame_set *set, uint64_t leaf, uint64_t max)
{
	uint64_t count = 0;

	while (count < max) {
		struct aero_frame_set_entry *e = aero_frame_set_find_entry(set, leaf * LEAF_FRAMES);
		unsigned int n = e && e->leaf ? first_clear(e, 0) : 0;

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
	struct aero_frame_set_entry *e = aero_frame_set_find_entry(set, from);
	unsigned int start = LEAF_FRAMES;
	unsigned int end;

	if (e && e->leaf)
		start = first_set(e, (unsigned int)(from % LEAF_FRAMES));
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

/* The first entry, and its number; low is moved up to it. The set is not empty. */
static struct aero_frame_set_entry *first_entry(struct aero_frame_set *set, uint64_t *out_leaf)
{
	struct aero_frame_set_entry *e = aero_frame_set_near_entry(set, set->low * LEAF_FRAMES);

	*out_leaf = set->low;
	if (aero_unlikely(!e)) {
		e = aero_frame_set_entry_from(set, out_leaf);
		set->low = *out_leaf;
		aero_frame_set_use(set, *out_leaf * LEAF_FRAMES, e);
	}
	return e;
}

/*
 * Take the first run of a leaf where it ends before its word does: the scattered frames for which
 * next() and remove() would cost twice as much. Answers its length, or 0 with nothing done.
 */
static unsigned int take_in_word(struct aero_frame_set_entry *e, uint64_t max,
				 unsigned int *out_first)
{
	unsigned int block = aero_low_bit(e->any);
	unsigned int w = first_word(e->leaf, block);
	uint64_t word = e->leaf[w];
	/* The carry clears the run and sets the bit after it. */
	uint64_t carried = word + (word & (0 - word));
	unsigned int lo = aero_low_bit(word);
	unsigned int n;

	if (!carried)
		return 0;
	n = aero_low_bit(carried) - lo;
	if (n > max)
		return 0;
	word &= carried;
	e->leaf[w] = word;
	e->full &= ~(1ull << block);
	if (!word && aero_frame_set_is_block_empty(&e->leaf[block * BLOCK_WORDS]))
		e->any &= ~(1ull << block);
	e->count -= n;
	*out_first = w * WORD_BITS + lo;
	return n;
}

bool aero_frame_set_take_first(struct aero_frame_set *set, uint64_t max,
			       struct aero_range *out_range)
{
	struct aero_frame_set_entry *e;
	unsigned int first;
	unsigned int n;
	uint64_t leaf;

	if (!set->count)
		return false;
	e = first_entry(set, &leaf);
	n = take_in_word(e, max, &first);
	if (!n) {
		aero_frame_set_next(set, leaf * LEAF_FRAMES, max, out_range);
		aero_frame_set_remove(set, *out_range);
		return true;
	}
	out_range->first = leaf * LEAF_FRAMES + first;
	out_range->count = n;
	set->count -= n;
	if (aero_unlikely(!e->count))
		aero_frame_set_drop_leaf(set, out_range->first, e);
	return true;
}

/* The last set bit of a leaf that holds something. */
static unsigned int last_set(const struct aero_frame_set_entry *e)
{
	unsigned int w = (aero_high_bit(e->any) + 1) * BLOCK_WORDS - 1;

	while (!e->leaf[w])
		w--;
	return w * WORD_BITS + aero_high_bit(e->leaf[w]);
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
	aero_frame_set_use(set, out_range->first, e);
	aero_frame_set_remove(set, *out_range);
	return true;
}
