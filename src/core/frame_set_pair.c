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

/* Blocks of both sets in which the words of whole may be full now: whether those of whole are. */
static aero_noinline bool note_full(struct aero_frame_set_entry *whole,
				    struct aero_frame_set_entry *part, unsigned int block)
{
	if (!aero_frame_set_is_block_full(&whole->leaf[block * BLOCK_WORDS]))
		return false;
	whole->full |= 1ull << block;
	if (aero_frame_set_is_block_full(&part->leaf[block * BLOCK_WORDS]))
		part->full |= 1ull << block;
	return true;
}

/*
 * Before some bits of word w are put into both: false where whole has one of them already, or a
 * leaf is missing.
 */
static inline bool open_blocks(struct aero_frame_set_entry *whole,
			       struct aero_frame_set_entry *part, unsigned int w, uint64_t bits)
{
	unsigned int block = w / BLOCK_WORDS;
	uint64_t bit = 1ull << block;

	if (!whole->leaf || !part->leaf)
		return false;
	if (!(whole->any & bit)) {
		memset(&whole->leaf[block * BLOCK_WORDS], 0, BLOCK_BYTES);
		whole->any |= bit;
	} else if (whole->full & bit || whole->leaf[w] & bits) {
		return false;
	}
	memset(&part->leaf[block * BLOCK_WORDS], 0, BLOCK_BYTES);
	part->any |= bit;
	return true;
}

/*
 * Whether the words of a block count in both sets. What is in part is in whole, what is not full in
 * whole is not in part, and what has no leaf is empty.
 */
static inline bool are_open(const struct aero_frame_set_entry *whole,
			    const struct aero_frame_set_entry *part, unsigned int block)
{
	return (part->any & ~whole->full) >> block & 1;
}

/* Put one frame into the leaves of both; the counts of the sets are the caller's. */
static inline bool put_single(const struct aero_frame_set_pair *pair, uint64_t frame,
			      bool *out_is_full)
{
	unsigned int entry = frame / LEAF_FRAMES % TABLE_ENTRIES;
	unsigned int block = frame / BLOCK_FRAMES % LEAF_BLOCKS;
	unsigned int w = frame / WORD_BITS % LEAF_WORDS;
	struct aero_frame_set_entry *whole = &pair->whole_table[entry];
	struct aero_frame_set_entry *part = &pair->part_table[entry];
	uint64_t bit = 1ull << (frame % WORD_BITS);
	uint64_t held;

	if (aero_unlikely(!are_open(whole, part, block)) && !open_blocks(whole, part, w, bit))
		return false;
	held = whole->leaf[w];
	if (held & bit)
		return false;
	held |= bit;
	whole->leaf[w] = held;
	part->leaf[w] |= bit;
	whole->count++;
	part->count++;
	if (aero_unlikely(!~held))
		*out_is_full = note_full(whole, part, block);
	return true;
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
		if (frames[n] - first >= room ||
		    (n + 1 < count && aero_frame_set_is_near(frames[n], frames[n + 1])) ||
		    !put_single(pair, frames[n], &is_full))
			break;
	}
	pair->whole->count += n;
	pair->part->count += n;
	*out_is_full = is_full;
	return n;
}

/* Whether an address begins a run of so many bytes each with the next, or is the same. */
static inline bool is_near_at(aero_gpa a, aero_gpa b, uint64_t bytes)
{
	return b - a + bytes <= 2 * bytes;
}

size_t aero_frame_set_insert_singles_at(const struct aero_frame_set_pair *pair, const aero_gpa *at,
					size_t count, aero_gpa not_this, bool *out_is_full)
{
	const aero_gpa first = pair->first << AERO_FRAME_SHIFT;
	const uint64_t room = pair->count << AERO_FRAME_SHIFT;
	bool is_full = false;
	size_t n;

	for (n = 0; n < count && !is_full; n++) {
		aero_gpa gpa = at[n];

		if (gpa - first >= room || gpa % AERO_FRAME_BYTES || gpa == not_this ||
		    (n + 1 < count && is_near_at(gpa, at[n + 1], AERO_FRAME_BYTES)) ||
		    !put_single(pair, gpa >> AERO_FRAME_SHIFT, &is_full))
			break;
	}
	pair->whole->count += n;
	pair->part->count += n;
	*out_is_full = is_full;
	return n;
}

static inline void set_block(struct aero_frame_set_entry *e, uint64_t bit)
{
	e->any |= bit;
	e->full |= bit;
	e->count += BLOCK_FRAMES;
}

static inline bool put_block(const struct aero_frame_set_pair *pair, aero_frame frame)
{
	uint64_t bit = 1ull << (frame / BLOCK_FRAMES % LEAF_BLOCKS);
	struct aero_frame_set_entry *whole = aero_frame_set_near_entry(pair->whole, frame);
	struct aero_frame_set_entry *part = aero_frame_set_near_entry(pair->part, frame);

	if (aero_unlikely(!whole))
		whole = aero_frame_set_find_entry(pair->whole, frame);
	if (!whole || !whole->leaf || whole->any & bit)
		return false;
	/* What comes and goes is part; a leaf made for it here is not left empty. */
	if (aero_unlikely(!part))
		part = aero_frame_set_find_entry(pair->part, frame);
	if (aero_unlikely(!part || !part->leaf))
		part = aero_frame_set_make_entry(pair->part, frame);
	if (!part)
		return false;
	set_block(whole, bit);
	set_block(part, bit);
	return true;
}

#define BLOCK_SHIFT (AERO_FRAME_SHIFT + AERO_ORDER_2M)

size_t aero_frame_set_insert_blocks_at(const struct aero_frame_set_pair *pair,
				       struct aero_range bounds, const aero_gpa *at, size_t count,
				       aero_gpa not_this)
{
	const uint64_t bytes = 1ull << BLOCK_SHIFT;
	const uint64_t first = (bounds.first + BLOCK_FRAMES - 1) / BLOCK_FRAMES;
	const uint64_t end = (bounds.first + bounds.count) / BLOCK_FRAMES;
	size_t n;

	if (first >= end)
		return 0;
	for (n = 0; n < count; n++) {
		aero_gpa gpa = at[n];

		if ((gpa >> BLOCK_SHIFT) - first >= end - first || gpa % bytes || gpa == not_this ||
		    (n + 1 < count && is_near_at(gpa, at[n + 1], bytes)) ||
		    !put_block(pair, gpa >> AERO_FRAME_SHIFT))
			break;
	}
	pair->whole->count += n * BLOCK_FRAMES;
	pair->part->count += n * BLOCK_FRAMES;
	return n;
}

/* Set bits of both leaves up to the first word where whole has one already; answers how many. */
static inline unsigned int put_bits(uint64_t *whole, uint64_t *part, unsigned int lo,
				    unsigned int n, uint64_t *out_clear)
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
static inline bool may_be_full(const struct aero_frame_set_entry *e, unsigned int block)
{
	const uint64_t *words = &e->leaf[block * BLOCK_WORDS];

	return !~(words[0] & words[BLOCK_WORDS - 1]);
}

/* Set a part of a block in both leaves, as put_bits() does. */
static inline unsigned int put_in_block(struct aero_frame_set_entry *whole,
					struct aero_frame_set_entry *part, unsigned int lo,
					unsigned int n, bool *out_is_full)
{
	unsigned int block = lo / BLOCK_FRAMES;
	uint64_t clear;

	if (aero_unlikely(!are_open(whole, part, block))) {
		if (n >= BLOCK_FRAMES && !(whole->any >> block & 1) && whole->leaf && part->leaf) {
			whole->any |= 1ull << block;
			whole->full |= 1ull << block;
			part->any |= 1ull << block;
			part->full |= 1ull << block;
			*out_is_full = true;
			return n;
		}
		/* Where more than what is new is looked at, the other ways are as good. */
		if (!open_blocks(whole, part, lo / WORD_BITS, ~0ull << (lo % WORD_BITS)))
			return 0;
	}
	n = put_bits(whole->leaf, part->leaf, lo, n, &clear);
	if (!clear && may_be_full(whole, block) && note_full(whole, part, block))
		*out_is_full = true;
	return n;
}

uint64_t aero_frame_set_insert_run(const struct aero_frame_set_pair *pair, struct aero_range run,
				   bool *out_is_full)
{
	unsigned int lo = (unsigned int)(run.first % LEAF_FRAMES);
	unsigned int left = LEAF_FRAMES - lo;
	unsigned int done = 0;
	struct aero_frame_set_entry *whole;
	struct aero_frame_set_entry *part;

	*out_is_full = false;
	if (run.first - pair->first >= pair->count ||
	    run.count > pair->count - (run.first - pair->first))
		return 0;
	whole = &pair->whole_table[run.first / LEAF_FRAMES % TABLE_ENTRIES];
	part = &pair->part_table[run.first / LEAF_FRAMES % TABLE_ENTRIES];
	if (left > run.count)
		left = (unsigned int)run.count;
	while (left) {
		unsigned int n = BLOCK_FRAMES - lo % BLOCK_FRAMES;
		unsigned int put;

		if (n > left)
			n = left;
		put = put_in_block(whole, part, lo, n, out_is_full);
		done += put;
		if (put < n)
			break;
		lo += n;
		left -= n;
	}
	whole->count += done;
	part->count += done;
	pair->whole->count += done;
	pair->part->count += done;
	return done;
}
