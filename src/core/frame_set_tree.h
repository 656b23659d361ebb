/* SPDX-License-Identifier: MIT */
#ifndef AERO_CORE_FRAME_SET_TREE_H
#define AERO_CORE_FRAME_SET_TREE_H

/*
 * The tree above the leaves of a frame set. A frame number of 40 bits is cut as
 *
 *     root 9 | branch 9 | entry 7 | leaf 15
 *
 * root and branch nodes hold pointers; a table node holds 128 entries, one per leaf; a leaf is a
 * bitmap. No node is ever empty. The set remembers the table used last (16 GiB of frames), so that
 * the usual lookup is two loads, and bounds of the leaves it has, so that its ends are found
 * without a search: no leaf is below low, none at or above high.
 */

#include <aerostat/frame_set.h>

#define LEAF_FRAMES ((unsigned int)AERO_FRAME_SET_LEAF_FRAMES)
#define BLOCK_FRAMES ((unsigned int)AERO_FRAME_SET_BLOCK_FRAMES)
#define WORD_BITS 64u
#define LEAF_WORDS (LEAF_FRAMES / WORD_BITS)
#define BLOCK_WORDS (BLOCK_FRAMES / WORD_BITS)
#define BLOCK_BYTES (BLOCK_FRAMES / 8)
#define LEAF_BLOCKS (LEAF_FRAMES / BLOCK_FRAMES)

#define TABLE_ENTRIES 128u
#define BRANCH_SLOTS 512u
#define LEAF_LIMIT (AERO_FRAME_LIMIT / AERO_FRAME_SET_LEAF_FRAMES)

/*
 * One leaf and its summary: bit b of any and full stands for block b of the leaf, count is its
 * frames. The words of a block count only while it is neither empty nor full; before they are
 * written they are made to say what the summary says, see aero_frame_set_open_block(). So blocks
 * that come and go whole cost a bit each, and a leaf is not cleared when it is made. An entry
 * without a leaf is all zeros, but for leaves.
 */
struct aero_frame_set_entry {
	uint64_t any;
	uint64_t full;
	uint64_t *leaf;
	uint32_t count;
	/* In the first entry of a table: how many of the table's entries have a leaf. */
	uint32_t leaves;
};

/* Whether the words of a block count. */
static inline bool aero_frame_set_is_mixed(const struct aero_frame_set_entry *e, unsigned int block)
{
	return (e->any ^ e->full) >> block & 1;
}

/* A word of a leaf, whether it counts or not. */
static inline uint64_t aero_frame_set_word(const struct aero_frame_set_entry *e, unsigned int w)
{
	unsigned int block = w / BLOCK_WORDS;

	return aero_frame_set_is_mixed(e, block) ? e->leaf[w] : 0 - (e->full >> block & 1);
}

/* Make the words of a block that is empty or full count; the caller then makes it neither. */
void aero_frame_set_open_block(struct aero_frame_set_entry *e, unsigned int block);

/* The entry of a frame's leaf, or NULL where its table does not exist. */
struct aero_frame_set_entry *aero_frame_set_find_entry(const struct aero_frame_set *set,
						       aero_frame frame);

/* The same with everything above the leaf, and the leaf, made; NULL without memory. */
struct aero_frame_set_entry *aero_frame_set_make_entry(struct aero_frame_set *set,
						       aero_frame frame);

/* Remember the table of an entry, found for a frame, as the one used last. */
void aero_frame_set_use(struct aero_frame_set *set, aero_frame frame,
			struct aero_frame_set_entry *e);

/* Give the empty leaf of an entry back, and every node above it that has become empty. */
void aero_frame_set_drop_leaf(struct aero_frame_set *set, aero_frame frame,
			      struct aero_frame_set_entry *e);

/* The first entry at or after *leaf (a frame number / 2^15) that holds anything; moves *leaf. */
struct aero_frame_set_entry *aero_frame_set_entry_from(const struct aero_frame_set *set,
						       uint64_t *leaf);

/* The last entry that holds anything, and its number. */
struct aero_frame_set_entry *aero_frame_set_last_entry(struct aero_frame_set *set,
						       uint64_t *out_leaf);

#endif
