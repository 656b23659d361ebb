/* SPDX-License-Identifier: MIT */
#include "frame_set_pair.h"

#include "frame_set_near.h"
#include "platform.h"

#define TABLE_FRAMES ((uint64_t)TABLE_ENTRIES * LEAF_FRAMES)

void aero_frame_set_pair_begin(struct aero_frame_set_pair *pair, struct aero_range bounds)
{
	aero_frame first = pair->whole->hint_index * TABLE_FRAMES;
	aero_frame end = first + TABLE_FRAMES;

	pair->whole_table = pair->whole->hint;
	pair->part_table = pair->part->hint;
	pair->count = 0;
	if (!pair->whole_table || !pair->part_table ||
	    pair->whole->hint_index != pair->part->hint_index)
		return;
	if (end > bounds.first + bounds.count)
		end = bounds.first + bounds.count;
	pair->first = first > bounds.first ? first : bounds.first;
	if (pair->first < end)
		pair->count = end - pair->first;
}

/* Blocks of whole from that of bit lo to that of bit last that are full now: whether any is. */
static aero_noinline bool note_full(struct aero_frame_set_entry *whole,
				    struct aero_frame_set_entry *part, unsigned int lo,
				    unsigned int last)
{
	unsigned int block = lo / BLOCK_FRAMES;
	bool is_any = false;

	for (; block <= last / BLOCK_FRAMES; block++) {
		if (!aero_frame_set_is_block_full(&whole->leaf[block * BLOCK_WORDS]))
			continue;
		whole->full |= 1ull << block;
		is_any = true;
		if (aero_frame_set_is_block_full(&part->leaf[block * BLOCK_WORDS]))
			part->full |= 1ull << block;
	}
	return is_any;
}

size_t aero_frame_set_insert_singles(const struct aero_frame_set_pair *pair, const uint32_t *frames,
				     size_t count, bool *out_is_full)
{
	const uint32_t first = (uint32_t)pair->first;
	const uint32_t room = (uint32_t)pair->count;
	bool is_full = false;
	size_t n;

	if (!room)
		count = 0;
	for (n = 0; n < count && !is_full; n++) {
		uint32_t frame = frames[n];
		unsigned int entry = frame / LEAF_FRAMES % TABLE_ENTRIES;
		unsigned int w = frame / WORD_BITS % LEAF_WORDS;
		struct aero_frame_set_entry *whole = &pair->whole_table[entry];
		struct aero_frame_set_entry *part = &pair->part_table[entry];
		uint64_t bit = 1ull << (frame % WORD_BITS);
		uint64_t block = 1ull << (frame / BLOCK_FRAMES % LEAF_BLOCKS);
		uint64_t held;

		if (frame - first >= room || !whole->leaf || !part->leaf)
			break;
		held = whole->leaf[w];
		if (held & bit || (n + 1 < count && aero_frame_set_is_near(frame, frames[n + 1])))
			break;
		held |= bit;
		whole->leaf[w] = held;
		part->leaf[w] |= bit;
		whole->any |= block;
		part->any |= block;
		whole->count++;
		part->count++;
		if (aero_unlikely(!~held))
			is_full = note_full(whole, part, frame % LEAF_FRAMES, frame % LEAF_FRAMES);
	}
	pair->whole->count += n;
	pair->part->count += n;
	*out_is_full = is_full;
	return n;
}

/* Set bits of both leaves up to the first word where whole has one already; answers how many. */
static unsigned int put_bits(uint64_t *whole, uint64_t *part, unsigned int lo, unsigned int n,
			     uint64_t *out_clear)
{
	unsigned int left = n;

	*out_clear = ~0ull;
	while (left) {
		unsigned int in_word = WORD_BITS - lo % WORD_BITS;
		uint64_t mask;
		uint64_t held;

		if (in_word > left)
			in_word = left;
		mask = aero_bits(lo % WORD_BITS, in_word);
		held = whole[lo / WORD_BITS];
		if (aero_unlikely(held & mask))
			break;
		held |= mask;
		whole[lo / WORD_BITS] = held;
		part[lo / WORD_BITS] |= mask;
		/* Zero once any word is all ones. */
		*out_clear = ~held ? *out_clear : 0;
		lo += in_word;
		left -= in_word;
	}
	return n - left;
}

/* A look at both ends of a block: enough to tell most that are not full. */
static inline bool may_be_full(const struct aero_frame_set_entry *e, unsigned int bit)
{
	const uint64_t *words = &e->leaf[bit / BLOCK_FRAMES * BLOCK_WORDS];

	return !~(words[0] & words[BLOCK_WORDS - 1]);
}

uint64_t aero_frame_set_insert_run(const struct aero_frame_set_pair *pair, struct aero_range run,
				   bool *out_is_full)
{
	unsigned int lo = (unsigned int)(run.first % LEAF_FRAMES);
	unsigned int n = LEAF_FRAMES - lo;
	unsigned int last;
	struct aero_frame_set_entry *whole;
	struct aero_frame_set_entry *part;
	uint64_t blocks;
	uint64_t clear;

	*out_is_full = false;
	if (run.first - pair->first >= pair->count ||
	    run.count > pair->count - (run.first - pair->first))
		return 0;
	whole = &pair->whole_table[run.first / LEAF_FRAMES % TABLE_ENTRIES];
	part = &pair->part_table[run.first / LEAF_FRAMES % TABLE_ENTRIES];
	if (!whole->leaf || !part->leaf)
		return 0;
	if (n > run.count)
		n = (unsigned int)run.count;
	n = put_bits(whole->leaf, part->leaf, lo, n, &clear);
	if (!n)
		return 0;
	last = (lo + n - 1) / BLOCK_FRAMES;
	blocks = aero_bits(0, last + 1) & (~0ull << (lo / BLOCK_FRAMES));
	whole->any |= blocks;
	part->any |= blocks;
	whole->count += n;
	part->count += n;
	pair->whole->count += n;
	pair->part->count += n;
	if (!clear &&
	    (n > BLOCK_FRAMES || may_be_full(whole, lo) || may_be_full(whole, lo + n - 1)))
		*out_is_full = note_full(whole, part, lo, lo + n - 1);
	return n;
}
