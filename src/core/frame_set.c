/* SPDX-License-Identifier: MIT */
#include <aerostat/frame_set.h>

#include "frame_set_near.h"
#include "frame_set_tree.h"
#include "platform.h"

/* A piece of a range that lies in one leaf: bits lo .. lo + n - 1, n at least 1. */
struct piece {
	unsigned int lo;
	unsigned int n;
};

/* What is done to the part of a leaf's piece that lies in one block; answers how many frames. */
typedef unsigned int (*block_fn)(struct aero_frame_set_entry *e, struct piece p);

/* The same for whole blocks, where the summary says that all are alike; else answers NOT_ALIKE. */
typedef unsigned int (*whole_fn)(struct aero_frame_set_entry *e, unsigned int block,
				 unsigned int n);

#define NOT_ALIKE UINT32_MAX

/* Cut the start of a range off that lies in one leaf. */
static struct piece cut_piece(struct aero_range *range)
{
	struct piece p;

	p.lo = (unsigned int)(range->first % LEAF_FRAMES);
	p.n = LEAF_FRAMES - p.lo;
	if (p.n > range->count)
		p.n = (unsigned int)range->count;
	range->first += p.n;
	range->count -= p.n;
	return p;
}

/* The bits of a word from that of lo on; and those up to that of lo + n - 1. */
static inline uint64_t mask_from(struct piece p)
{
	return ~0ull << (p.lo % WORD_BITS);
}

static inline uint64_t mask_to(struct piece p)
{
	return ~0ull >> (WORD_BITS - 1 - (p.lo + p.n - 1) % WORD_BITS);
}

/* Set bits of a leaf. Answers how many were clear. */
static unsigned int set_bits(uint64_t *leaf, struct piece p)
{
	uint64_t *word = &leaf[p.lo / WORD_BITS];
	uint64_t *last = &leaf[(p.lo + p.n - 1) / WORD_BITS];
	uint64_t mask = mask_from(p);
	unsigned int added = p.n;

	for (;; word++) {
		uint64_t old = *word;

		if (word == last)
			mask &= mask_to(p);
		if (aero_unlikely(old & mask))
			added -= aero_popcount(old & mask);
		*word = old | mask;
		if (word == last)
			return added;
		mask = ~0ull;
	}
}

/* Clear bits of a leaf. Answers how many were set. */
static unsigned int clear_bits(uint64_t *leaf, struct piece p)
{
	uint64_t *word = &leaf[p.lo / WORD_BITS];
	uint64_t *last = &leaf[(p.lo + p.n - 1) / WORD_BITS];
	uint64_t mask = mask_from(p);
	unsigned int removed = p.n;

	for (;; word++) {
		uint64_t old = *word;

		if (word == last)
			mask &= mask_to(p);
		if (aero_unlikely(~old & mask))
			removed -= aero_popcount(~old & mask);
		*word = old & ~mask;
		if (word == last)
			return removed;
		mask = ~0ull;
	}
}

static unsigned int set_in_block(struct aero_frame_set_entry *e, struct piece p)
{
	unsigned int block = p.lo / BLOCK_FRAMES;
	uint64_t bit = 1ull << block;
	unsigned int added;

	if (e->full & bit)
		return 0;
	if (!(e->any & bit))
		aero_frame_set_open_block(e, block);
	added = set_bits(e->leaf, p);
	/* Only a block whose last word set is full may be full: seldom worth a look. */
	if (!~e->leaf[(p.lo + p.n - 1) / WORD_BITS] &&
	    aero_frame_set_is_block_full(&e->leaf[block * BLOCK_WORDS]))
		e->full |= bit;
	e->any |= bit;
	e->count += added;
	return added;
}

static unsigned int clear_in_block(struct aero_frame_set_entry *e, struct piece p)
{
	unsigned int block = p.lo / BLOCK_FRAMES;
	uint64_t bit = 1ull << block;
	unsigned int removed;

	if (!(e->any & bit))
		return 0;
	if (e->full & bit)
		aero_frame_set_open_block(e, block);
	removed = clear_bits(e->leaf, p);
	if (aero_frame_set_is_block_empty(&e->leaf[block * BLOCK_WORDS]))
		e->any &= ~bit;
	e->full &= ~bit;
	e->count -= removed;
	return removed;
}

static unsigned int count_in_block(struct aero_frame_set_entry *e, struct piece p)
{
	uint64_t bit = 1ull << (p.lo / BLOCK_FRAMES);
	unsigned int last = (p.lo + p.n - 1) / WORD_BITS;
	unsigned int w = p.lo / WORD_BITS;
	uint64_t mask = mask_from(p);
	unsigned int count = 0;

	if (e->full & bit)
		return p.n;
	if (!(e->any & bit))
		return 0;
	for (; w < last; w++) {
		count += aero_popcount(e->leaf[w] & mask);
		mask = ~0ull;
	}
	return count + aero_popcount(e->leaf[w] & mask & mask_to(p));
}

static unsigned int set_whole(struct aero_frame_set_entry *e, unsigned int block, unsigned int n)
{
	uint64_t bits = aero_bits(block, n);

	if (e->any & bits)
		return NOT_ALIKE;
	e->any |= bits;
	e->full |= bits;
	e->count += n * BLOCK_FRAMES;
	return n * BLOCK_FRAMES;
}

static unsigned int clear_whole(struct aero_frame_set_entry *e, unsigned int block, unsigned int n)
{
	uint64_t bits = aero_bits(block, n);

	if (~e->full & bits)
		return e->any & bits ? NOT_ALIKE : 0;
	e->any &= ~bits;
	e->full &= ~bits;
	e->count -= n * BLOCK_FRAMES;
	return n * BLOCK_FRAMES;
}

static unsigned int count_whole(struct aero_frame_set_entry *e, unsigned int block, unsigned int n)
{
	uint64_t bits = aero_bits(block, n);

	if (!(e->any & bits))
		return 0;
	return ~e->full & bits ? NOT_ALIKE : n * BLOCK_FRAMES;
}

/* Do one of the three to every block of a piece; to as many as possible at once. */
static inline unsigned int for_each_block(struct aero_frame_set_entry *e, struct piece p,
					  block_fn act, whole_fn act_whole)
{
	unsigned int total = 0;

	while (p.n) {
		struct piece part = { p.lo, BLOCK_FRAMES - p.lo % BLOCK_FRAMES };
		unsigned int whole = NOT_ALIKE;

		if (part.n > p.n)
			part.n = p.n;
		if (part.n == BLOCK_FRAMES)
			whole = act_whole(e, p.lo / BLOCK_FRAMES, p.n / BLOCK_FRAMES);
		if (whole == NOT_ALIKE) {
			total += act(e, part);
		} else {
			total += whole;
			part.n = p.n - p.n % BLOCK_FRAMES;
		}
		p.lo += part.n;
		p.n -= part.n;
	}
	return total;
}

/* Whether a range is one of whole blocks of one leaf. */
static inline bool is_whole(struct aero_range range)
{
	return range.count && !((range.first | range.count) % BLOCK_FRAMES) &&
	       range.count <= LEAF_FRAMES - range.first % LEAF_FRAMES;
}

static inline unsigned int first_block(struct aero_range range)
{
	return (unsigned int)(range.first / BLOCK_FRAMES % LEAF_BLOCKS);
}

static inline unsigned int blocks_of(struct aero_range range)
{
	return (unsigned int)(range.count / BLOCK_FRAMES);
}

static aero_noinline enum aero_status insert_range(struct aero_frame_set *set,
						   struct aero_range range, uint64_t *out_added)
{
	uint64_t before = set->count;
	enum aero_status status = AERO_OK;

	*out_added = 0;
	if (range.first > AERO_FRAME_LIMIT || range.count > AERO_FRAME_LIMIT - range.first)
		return AERO_ERANGE;
	while (range.count) {
		struct aero_frame_set_entry *e = aero_frame_set_make_entry(set, range.first);

		if (!e) {
			status = AERO_ENOMEM;
			break;
		}
		set->count += for_each_block(e, cut_piece(&range), set_in_block, set_whole);
	}
	*out_added = set->count - before;
	return status;
}

enum aero_status aero_frame_set_insert(struct aero_frame_set *set, struct aero_range range,
				       uint64_t *out_added)
{
	struct aero_frame_set_entry *e = aero_frame_set_near_entry(set, range.first);

	unsigned int added;

	if (aero_unlikely(!e))
		return insert_range(set, range, out_added);
	if (range.count == 1) {
		*out_added = aero_frame_set_insert_near(set, e, range.first);
		return AERO_OK;
	}
	added = is_whole(range) ? set_whole(e, first_block(range), blocks_of(range)) : NOT_ALIKE;
	if (added == NOT_ALIKE)
		return insert_range(set, range, out_added);
	set->count += added;
	*out_added = added;
	return AERO_OK;
}

/* Cut a range to what frame numbers can be. */
static aero_noinline struct aero_range clamp_range(struct aero_range range)
{
	if (range.first >= AERO_FRAME_LIMIT)
		range.count = 0;
	else if (range.count > AERO_FRAME_LIMIT - range.first)
		range.count = AERO_FRAME_LIMIT - range.first;
	return range;
}

/* Move a range on to the next leaf; NULL where there is none in it. */
static struct aero_frame_set_entry *skip_to_entry(const struct aero_frame_set *set,
						  struct aero_range *range)
{
	struct aero_frame_set_entry *e = aero_frame_set_near_entry(set, range->first);
	uint64_t leaf = range->first / LEAF_FRAMES;
	uint64_t skip;

	if (e)
		return e;
	e = aero_frame_set_entry_from(set, &leaf);
	if (!e)
		return NULL;
	skip = leaf * LEAF_FRAMES > range->first ? leaf * LEAF_FRAMES - range->first : 0;
	if (skip >= range->count)
		return NULL;
	range->first += skip;
	range->count -= skip;
	return e;
}

static aero_noinline uint64_t remove_range(struct aero_frame_set *set, struct aero_range range)
{
	uint64_t before = set->count;

	range = clamp_range(range);
	while (range.count) {
		struct aero_frame_set_entry *e = skip_to_entry(set, &range);
		aero_frame at = range.first;

		if (!e)
			break;
		aero_frame_set_use(set, at, e);
		set->count -= for_each_block(e, cut_piece(&range), clear_in_block, clear_whole);
		if (!e->count)
			aero_frame_set_drop_leaf(set, at, e);
	}
	return before - set->count;
}

/* The end of removing what a leaf held. */
static aero_noinline uint64_t drop_leaf(struct aero_frame_set *set, aero_frame frame,
					struct aero_frame_set_entry *e, uint64_t removed)
{
	aero_frame_set_drop_leaf(set, frame, e);
	return removed;
}

uint64_t aero_frame_set_remove(struct aero_frame_set *set, struct aero_range range)
{
	struct aero_frame_set_entry *e = aero_frame_set_near_entry(set, range.first);

	unsigned int removed;

	if (aero_unlikely(!e))
		return remove_range(set, range);
	if (range.count == 1) {
		removed = aero_frame_set_remove_near(set, e, range.first);
	} else {
		removed = is_whole(range) ? clear_whole(e, first_block(range), blocks_of(range))
					  : NOT_ALIKE;
		if (removed == NOT_ALIKE)
			return remove_range(set, range);
		set->count -= removed;
	}
	/* A leaf that is there was not empty before. */
	return aero_likely(e->count) ? removed : drop_leaf(set, range.first, e, removed);
}

static aero_noinline uint64_t count_in_range(const struct aero_frame_set *set,
					     struct aero_range range)
{
	uint64_t count = 0;

	range = clamp_range(range);
	while (range.count) {
		struct aero_frame_set_entry *e = skip_to_entry(set, &range);
		struct piece p;

		if (!e)
			break;
		p = cut_piece(&range);
		count += p.n == LEAF_FRAMES ? e->count
					    : for_each_block(e, p, count_in_block, count_whole);
	}
	return count;
}

uint64_t aero_frame_set_count_in(const struct aero_frame_set *set, struct aero_range range)
{
	struct aero_frame_set_entry *e = aero_frame_set_near_entry(set, range.first);
	unsigned int count = NOT_ALIKE;
	unsigned int bit = (unsigned int)(range.first % LEAF_FRAMES);

	if (e && range.count == 1)
		return aero_frame_set_word(e, bit / WORD_BITS) >> (bit % WORD_BITS) & 1;
	if (e && is_whole(range))
		count = count_whole(e, first_block(range), blocks_of(range));
	return count == NOT_ALIKE ? count_in_range(set, range) : count;
}

uint64_t aero_frame_set_count(const struct aero_frame_set *set)
{
	return set->count;
}

bool aero_frame_set_has_block(const struct aero_frame_set *set, aero_frame frame)
{
	struct aero_frame_set_entry *e = aero_frame_set_find_entry(set, frame);

	return e && (e->full >> (frame % LEAF_FRAMES / BLOCK_FRAMES) & 1);
}

uint64_t aero_frame_set_bytes(const struct aero_frame_set *set)
{
	return set->node_count * AERO_NODE_BYTES;
}
