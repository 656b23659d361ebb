/* SPDX-License-Identifier: MIT */
/* The invariants of a frame set: tables, summaries and counts say what the bits say. */
#include "frame_set_tree.h"
#include "platform.h"

/* What a walk over the whole tree has met. */
struct census {
	uint64_t frames;
	uint64_t nodes;
	uint64_t low;
	uint64_t high;
	const struct aero_frame_set_entry *hint;
};

/* Whether a block's summary bits agree with its words, where these count; adds what it holds. */
static bool is_block_valid(const struct aero_frame_set_entry *e, unsigned int b, uint64_t *count)
{
	unsigned int held = 0;
	unsigned int w;

	if (!aero_frame_set_is_mixed(e, b)) {
		*count += e->full >> b & 1 ? BLOCK_FRAMES : 0;
		return true;
	}
	for (w = b * BLOCK_WORDS; w < (b + 1) * BLOCK_WORDS; w++)
		held += aero_popcount(e->leaf[w]);
	*count += held;
	return e->any >> b & 1 && held && held < BLOCK_FRAMES;
}

static bool is_leaf_valid(const struct aero_frame_set_entry *e)
{
	uint64_t count = 0;
	unsigned int b;

	for (b = 0; b < LEAF_BLOCKS; b++) {
		if (!is_block_valid(e, b, &count))
			return false;
	}
	return count && count == e->count;
}

static bool is_table_valid(const struct aero_frame_set_entry *table, uint64_t first_leaf,
			   struct census *census)
{
	uint32_t leaves = 0;
	unsigned int i;

	for (i = 0; i < TABLE_ENTRIES; i++) {
		const struct aero_frame_set_entry *e = &table[i];

		if (!e->leaf && (e->any || e->full || e->count))
			return false;
		if (!e->leaf)
			continue;
		if (!is_leaf_valid(e))
			return false;
		if (first_leaf + i < census->low)
			census->low = first_leaf + i;
		census->high = first_leaf + i + 1;
		census->frames += e->count;
		leaves++;
	}
	census->nodes += 1 + leaves;
	return leaves && leaves == table->leaves;
}

static bool is_branch_valid(const struct aero_frame_set *set, void *const *branch,
			    uint64_t first_table, struct census *census)
{
	uint64_t nodes = census->nodes;
	unsigned int i;

	for (i = 0; i < BRANCH_SLOTS; i++) {
		const struct aero_frame_set_entry *table = branch[i];

		if (!table)
			continue;
		if (!is_table_valid(table, (first_table + i) * TABLE_ENTRIES, census))
			return false;
		if (first_table + i == set->hint_index)
			census->hint = table;
	}
	if (census->nodes == nodes)
		return false;
	census->nodes++;
	return true;
}

enum aero_status aero_frame_set_validate(const struct aero_frame_set *set)
{
	struct census census = { 0, 0, LEAF_LIMIT, 0, NULL };
	void **root = set->root;
	uint64_t i;

	for (i = 0; root && i < BRANCH_SLOTS; i++) {
		if (root[i] && !is_branch_valid(set, root[i], i * BRANCH_SLOTS, &census))
			return AERO_EBUG;
	}
	if (root && !census.nodes++)
		return AERO_EBUG;
	if (census.frames != set->count || census.nodes != set->node_count)
		return AERO_EBUG;
	if (census.hint != set->hint)
		return AERO_EBUG;
	if (set->low > census.low || set->high < census.high || set->high > LEAF_LIMIT)
		return AERO_EBUG;
	return AERO_OK;
}
