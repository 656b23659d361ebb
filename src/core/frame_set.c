/* SPDX-License-Identifier: MIT */
#include <aerostat/frame_set.h>

#include "frame_set_tree.h"
#include "platform.h"

/* A piece of a range that lies in one leaf: bits lo .. lo + n - 1. */
struct piece {
	unsigned int lo;
	unsigned int n;
};

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

/* Cut the start of a piece off that lies in one word of a leaf, as a mask. */
static uint64_t cut_word(struct piece *p, unsigned int *out_n)
{
	unsigned int bit = p->lo % WORD_BITS;
	unsigned int n = WORD_BITS - bit;

	if (n > p->n)
		n = p->n;
	p->lo += n;
	p->n -= n;
	*out_n = n;
	return aero_bits(bit, n);
}

static bool is_block_full(const uint64_t *block)
{
	unsigned int i;

	for (i = 0; i < BLOCK_WORDS; i++) {
		if (~block[i])
			return false;
	}
	return true;
}

static bool is_block_empty(const uint64_t *block)
{
	unsigned int i;

	for (i = 0; i < BLOCK_WORDS; i++) {
		if (block[i])
			return false;
	}
	return true;
}

/* Set the bits of a piece that lies in one block. Answers how many were clear. */
static unsigned int set_in_block(struct aero_frame_set_entry *e, struct piece p)
{
	unsigned int block = p.lo / BLOCK_FRAMES;
	uint64_t bit = 1ull << block;
	unsigned int added = 0;
	bool may_be_full = false;

	e->any |= bit;
	if (e->full & bit)
		return 0;
	while (p.n) {
		uint64_t *word = &e->leaf[p.lo / WORD_BITS];
		unsigned int n;
		uint64_t mask = cut_word(&p, &n);
		uint64_t old = *word;

		*word = old | mask;
		added += old & mask ? aero_popcount(mask & ~old) : n;
		may_be_full = !~*word;
	}
	if (may_be_full && is_block_full(&e->leaf[block * BLOCK_WORDS]))
		e->full |= bit;
	e->count += added;
	return added;
}

/* Clear the bits of a piece that lies in one block. Answers how many were set. */
static unsigned int clear_in_block(struct aero_frame_set_entry *e, struct piece p)
{
	unsigned int block = p.lo / BLOCK_FRAMES;
	uint64_t bit = 1ull << block;
	unsigned int removed = 0;
	bool may_be_empty = false;

	if (!(e->any & bit))
		return 0;
	while (p.n) {
		uint64_t *word = &e->leaf[p.lo / WORD_BITS];
		unsigned int n;
		uint64_t mask = cut_word(&p, &n);
		uint64_t old = *word;

		*word = old & ~mask;
		removed += (old & mask) == mask ? n : aero_popcount(old & mask);
		may_be_empty = !*word;
	}
	if (removed)
		e->full &= ~bit;
	if (may_be_empty && is_block_empty(&e->leaf[block * BLOCK_WORDS]))
		e->any &= ~bit;
	e->count -= removed;
	return removed;
}

/* Do one of the two above to every block of a piece. */
static unsigned int for_each_block(struct aero_frame_set_entry *e, struct piece p,
				   unsigned int (*act)(struct aero_frame_set_entry *, struct piece))
{
	unsigned int total = 0;

	while (p.n) {
		struct piece in_block = { p.lo, BLOCK_FRAMES - p.lo % BLOCK_FRAMES };

		if (in_block.n > p.n)
			in_block.n = p.n;
		total += act(e, in_block);
		p.lo += in_block.n;
		p.n -= in_block.n;
	}
	return total;
}

enum aero_status aero_frame_set_insert(struct aero_frame_set *set, struct aero_range range,
				       uint64_t *out_added)
{
	uint64_t added = 0;
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
		added += for_each_block(e, cut_piece(&range), set_in_block);
	}
	set->count += added;
	*out_added = added;
	return status;
}

/* Cut a range to what frame numbers can be. */
static struct aero_range clamp_range(struct aero_range range)
{
	if (range.first >= AERO_FRAME_LIMIT)
		range.count = 0;
	else if (range.count > AERO_FRAME_LIMIT - range.first)
		range.count = AERO_FRAME_LIMIT - range.first;
	return range;
}

/* Move a range on to the next leaf that holds anything; NULL where there is none in it. */
static struct aero_frame_set_entry *skip_to_entry(const struct aero_frame_set *set,
						  struct aero_range *range)
{
	uint64_t leaf = range->first / LEAF_FRAMES;
	struct aero_frame_set_entry *e = aero_frame_set_find_entry(set, range->first);

	if (e && e->count)
		return e;
	e = aero_frame_set_entry_from(set, &leaf);
	if (!e || leaf * LEAF_FRAMES - range->first >= range->count)
		return NULL;
	range->count -= leaf * LEAF_FRAMES - range->first;
	range->first = leaf * LEAF_FRAMES;
	return e;
}

uint64_t aero_frame_set_remove(struct aero_frame_set *set, struct aero_range range)
{
	uint64_t removed = 0;

	range = clamp_range(range);
	while (range.count) {
		struct aero_frame_set_entry *e = skip_to_entry(set, &range);
		aero_frame at = range.first;

		if (!e)
			break;
		removed += for_each_block(e, cut_piece(&range), clear_in_block);
		if (!e->count)
			aero_frame_set_drop_leaf(set, at);
	}
	set->count -= removed;
	return removed;
}

/* How many bits of a piece of one block are set. */
static unsigned int count_in_block(struct aero_frame_set_entry *e, struct piece p)
{
	uint64_t bit = 1ull << (p.lo / BLOCK_FRAMES);
	unsigned int count = 0;

	if (e->full & bit)
		return p.n;
	if (!(e->any & bit))
		return 0;
	while (p.n) {
		uint64_t word = e->leaf[p.lo / WORD_BITS];
		unsigned int n;

		count += aero_popcount(word & cut_word(&p, &n));
	}
	return count;
}

uint64_t aero_frame_set_count_in(const struct aero_frame_set *set, struct aero_range range)
{
	uint64_t count = 0;

	range = clamp_range(range);
	while (range.count) {
		struct aero_frame_set_entry *e = skip_to_entry(set, &range);
		struct piece p;

		if (!e)
			break;
		p = cut_piece(&range);
		count += p.n == LEAF_FRAMES ? e->count : for_each_block(e, p, count_in_block);
	}
	return count;
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
