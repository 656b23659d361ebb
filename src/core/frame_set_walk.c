/* SPDX-License-Identifier: MIT */
/* Reading a frame set in order and taking from its ends. */
#include "frame_set_near.h"
#include "frame_set_tree.h"
#include "platform.h"

/* The first word that is not zero of a block that is neither empty nor full. */
static inline unsigned int first_word(const struct aero_frame_set_entry *e, unsigned int block)
{
	unsigned int w = block * BLOCK_WORDS;

	while (!e->leaf[w])
		w++;
	return w;
}

/* The first set bit of a leaf in a block after the one given; LEAF_FRAMES where there is none. */
static inline unsigned int first_set_after(const struct aero_frame_set_entry *e, unsigned int block)
{
	uint64_t blocks = e->any & (~1ull << block);
	unsigned int w;

	if (!blocks)
		return LEAF_FRAMES;
	block = aero_low_bit(blocks);
	if (e->full >> block & 1)
		return block * BLOCK_FRAMES;
	w = first_word(e, block);
	return w * WORD_BITS + aero_low_bit(e->leaf[w]);
}

/* The first set bit of a leaf at or after pos; LEAF_FRAMES where there is none. */
static inline unsigned int first_set(const struct aero_frame_set_entry *e, unsigned int pos)
{
	unsigned int block = pos / BLOCK_FRAMES;
	unsigned int w = pos / WORD_BITS;
	uint64_t word;

	if (aero_unlikely(!aero_frame_set_is_mixed(e, block)))
		return e->any >> block & 1 ? pos : first_set_after(e, block);
	word = e->leaf[w] & (~0ull << (pos % WORD_BITS));
	while (!word && ++w % BLOCK_WORDS)
		word = e->leaf[w];
	return word ? w * WORD_BITS + aero_low_bit(word) : first_set_after(e, block);
}

/* The first clear bit of a leaf at or after pos; LEAF_FRAMES where there is none. */
static unsigned int first_clear(const struct aero_frame_set_entry *e, unsigned int pos)
{
	unsigned int block = pos / BLOCK_FRAMES;
	unsigned int w = pos / WORD_BITS;
	uint64_t clear = ~aero_frame_set_word(e, w) & (~0ull << (pos % WORD_BITS));
	uint64_t ragged;

	while (!clear && ++w % BLOCK_WORDS)
		clear = ~aero_frame_set_word(e, w);
	if (!clear) {
		ragged = ~e->full & (~1ull << block);
		if (!ragged)
			return LEAF_FRAMES;
		w = aero_low_bit(ragged) * BLOCK_WORDS;
		while (!(clear = ~aero_frame_set_word(e, w)))
			w++;
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

/* next() wherever the range is and however long. */
static aero_noinline bool next_run(const struct aero_frame_set *set, aero_frame from, uint64_t max,
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

bool aero_frame_set_next(const struct aero_frame_set *set, aero_frame from, uint64_t max,
			 struct aero_range *out_range)
{
	struct aero_frame_set_entry *e = aero_frame_set_near_entry(set, from);
	unsigned int pos = (unsigned int)(from % LEAF_FRAMES);
	unsigned int start;
	uint64_t clear;

	if (aero_unlikely(!e))
		return next_run(set, from, max, out_range);
	start = first_set(e, pos);
	if (aero_unlikely(start == LEAF_FRAMES))
		return next_run(set, from, max, out_range);
	if (aero_unlikely(!aero_frame_set_is_mixed(e, start / BLOCK_FRAMES)))
		return next_run(set, from, max, out_range);
	clear = ~e->leaf[start / WORD_BITS] & (~0ull << (start % WORD_BITS));
	if (aero_unlikely(!clear))
		return next_run(set, from, max, out_range);
	/* Here the range ends within a word, as ranges of scattered frames do. */
	out_range->first = from + (start - pos);
	out_range->count = aero_low_bit(clear) - start % WORD_BITS;
	if (out_range->count > max)
		out_range->count = max;
	return true;
}

/* Where runs that are taken go: room for so many of so many frames each. */
struct takings {
	struct aero_range *out;
	size_t room;
	uint64_t max;
};

/*
 * Take runs out of a word that starts at frame first, as long as they end before it does. Answers
 * what is left of it.
 */
static inline uint64_t take_in_word(uint64_t word, aero_frame first, struct takings *to)
{
	while (word && to->room) {
		/* The carry clears the run and sets the bit after it. */
		uint64_t carried = word + (word & (0 - word));
		unsigned int lo = aero_low_bit(word);
		unsigned int n;

		if (!carried)
			break;
		n = aero_low_bit(carried) - lo;
		if (n > to->max)
			break;
		to->out->first = first + lo;
		to->out->count = n;
		to->out++;
		to->room--;
		word &= carried;
	}
	return word;
}

/*
 * Take runs out of a leaf that starts at frame first, as long as they end before their words do:
 * the scattered frames for which next() and remove() cost several times as much.
 */
static void take_in_leaf(struct aero_frame_set_entry *e, aero_frame first, struct takings *to)
{
	uint64_t blocks = e->any;

	while (blocks && to->room) {
		unsigned int block = aero_low_bit(blocks);
		unsigned int w = block * BLOCK_WORDS;
		unsigned int end = w + BLOCK_WORDS;

		if (e->full >> block & 1)
			break;
		for (; w < end; w++) {
			uint64_t word = e->leaf[w];

			if (!word)
				continue;
			/* Words all of ones stay as they are. */
			word = take_in_word(word, first + w * WORD_BITS, to);
			e->leaf[w] = word;
			if (word)
				goto out;
		}
		blocks &= blocks - 1;
	}
out:
	e->any = blocks;
}

/* Take the first run wherever it is and however long; low is moved up to it. */
static aero_noinline bool take_run(struct aero_frame_set *set, uint64_t max,
				   struct aero_range *out_range)
{
	if (!aero_frame_set_next(set, set->low * LEAF_FRAMES, max, out_range))
		return false;
	set->low = out_range->first / LEAF_FRAMES;
	aero_frame_set_remove(set, *out_range);
	return true;
}

/* Take what is easily taken of the first leaf. */
static void take_near(struct aero_frame_set *set, struct takings *to)
{
	aero_frame first = set->low * LEAF_FRAMES;
	struct aero_frame_set_entry *e = aero_frame_set_near_entry(set, first);
	struct aero_range *run = to->out;
	uint32_t taken = 0;

	if (!e)
		return;
	take_in_leaf(e, first, to);
	for (; run < to->out; run++)
		taken += (uint32_t)run->count;
	set->count -= taken;
	e->count -= taken;
	if (!e->count)
		aero_frame_set_drop_leaf(set, first, e);
}

size_t aero_frame_set_take_runs(struct aero_frame_set *set, uint64_t max, size_t room,
				struct aero_range *out)
{
	struct takings to = { out, room, max };

	while (to.room) {
		size_t before = to.room;

		take_near(set, &to);
		if (to.room != before)
			continue;
		if (!take_run(set, max, to.out))
			break;
		to.out++;
		to.room--;
	}
	return room - to.room;
}

bool aero_frame_set_take_first(struct aero_frame_set *set, uint64_t max,
			       struct aero_range *out_range)
{
	return aero_frame_set_take_runs(set, max, 1, out_range) == 1;
}

/* The last set bit of a leaf that holds something. */
static unsigned int last_set(const struct aero_frame_set_entry *e)
{
	unsigned int w = (aero_high_bit(e->any) + 1) * BLOCK_WORDS - 1;

	while (!aero_frame_set_word(e, w))
		w--;
	return w * WORD_BITS + aero_high_bit(aero_frame_set_word(e, w));
}

/* The first bit of the run that ends at end, inclusive, looking back over at most max bits. */
static unsigned int run_start(const struct aero_frame_set_entry *e, unsigned int end, uint64_t max)
{
	unsigned int w = end / WORD_BITS;
	uint64_t clear = ~aero_frame_set_word(e, w) & (~0ull >> (WORD_BITS - 1 - end % WORD_BITS));
	unsigned int start;

	while (!clear && w && end - w * WORD_BITS < max)
		clear = ~aero_frame_set_word(e, --w);
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
