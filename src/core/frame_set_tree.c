/* SPDX-License-Identifier: MIT */
#include "frame_set_tree.h"

#include "platform.h"

_Static_assert(sizeof(struct aero_frame_set_entry) * TABLE_ENTRIES <= AERO_NODE_BYTES,
	       "a table fits into a node");
_Static_assert(sizeof(void *) * BRANCH_SLOTS <= AERO_NODE_BYTES, "a branch fits into a node");
_Static_assert(LEAF_WORDS * sizeof(uint64_t) == AERO_NODE_BYTES, "a leaf is a node");
_Static_assert(LEAF_BLOCKS == 64, "one summary bit per block");

#define NO_HINT UINT64_MAX

static unsigned int root_slot(uint64_t leaf)
{
	return (unsigned int)(leaf / TABLE_ENTRIES / BRANCH_SLOTS);
}

static unsigned int branch_slot(uint64_t leaf)
{
	return (unsigned int)(leaf / TABLE_ENTRIES % BRANCH_SLOTS);
}

/* Forget what was remembered of a tree that has gone; its nodes have been put. */
static aero_noinline void forget(struct aero_frame_set *set)
{
	set->root = NULL;
	set->hint = NULL;
	set->hint_index = NO_HINT;
	set->low = LEAF_LIMIT;
	set->high = 0;
}

void aero_frame_set_init(struct aero_frame_set *set, const struct aero_node_source *nodes)
{
	set->nodes = *nodes;
	set->count = 0;
	set->node_count = 0;
	forget(set);
}

/* A node of any content. */
static aero_noinline void *get_node(struct aero_frame_set *set)
{
	void *node = set->nodes.get(set->nodes.ctx);

	if (node)
		set->node_count++;
	return node;
}

static void put_node(struct aero_frame_set *set, void *node)
{
	set->node_count--;
	set->nodes.put(set->nodes.ctx, node);
}

static struct aero_frame_set_entry *find_table(const struct aero_frame_set *set, uint64_t leaf)
{
	void **root = set->root;
	void **branch = root ? root[root_slot(leaf)] : NULL;

	return branch ? branch[branch_slot(leaf)] : NULL;
}

struct aero_frame_set_entry *aero_frame_set_find_entry(const struct aero_frame_set *set,
						       aero_frame frame)
{
	uint64_t leaf = frame / LEAF_FRAMES;
	struct aero_frame_set_entry *table = set->hint;

	if (aero_unlikely(leaf / TABLE_ENTRIES != set->hint_index)) {
		if (frame >= AERO_FRAME_LIMIT)
			return NULL;
		table = find_table(set, leaf);
	}
	return table ? &table[leaf % TABLE_ENTRIES] : NULL;
}

/* The node in a slot, made where it is missing. */
static void *make_slot(struct aero_frame_set *set, void **slot)
{
	if (*slot)
		return *slot;
	*slot = get_node(set);
	if (*slot)
		memset(*slot, 0, AERO_NODE_BYTES);
	return *slot;
}

static struct aero_frame_set_entry *make_table(struct aero_frame_set *set, uint64_t leaf)
{
	void **root = make_slot(set, &set->root);
	void **branch = root ? make_slot(set, &root[root_slot(leaf)]) : NULL;

	return branch ? make_slot(set, &branch[branch_slot(leaf)]) : NULL;
}

static bool is_node_empty(void *const *slots)
{
	unsigned int i;

	for (i = 0; i < BRANCH_SLOTS; i++) {
		if (slots[i])
			return false;
	}
	return true;
}

/* Give back the nodes above a leaf that hold nothing any more. */
static void prune(struct aero_frame_set *set, uint64_t leaf)
{
	void **root = set->root;
	void **branch = root ? root[root_slot(leaf)] : NULL;
	struct aero_frame_set_entry *table = branch ? branch[branch_slot(leaf)] : NULL;

	if (table && !table->leaves) {
		put_node(set, table);
		branch[branch_slot(leaf)] = NULL;
		table = NULL;
		set->hint = NULL;
		set->hint_index = NO_HINT;
	}
	/* Where the nodes above are all there is, they are empty: no need to look. */
	if (branch && !table && (set->node_count == 2 || is_node_empty(branch))) {
		put_node(set, branch);
		root[root_slot(leaf)] = NULL;
		branch = NULL;
	}
	if (root && !branch && (set->node_count == 1 || is_node_empty(root))) {
		put_node(set, root);
		forget(set);
	}
}

/* The leaf of an entry, which has none yet. */
static uint64_t *make_leaf(struct aero_frame_set *set, uint64_t leaf,
			   struct aero_frame_set_entry *e)
{
	e->leaf = get_node(set);
	if (!e->leaf)
		return NULL;
	set->hint->leaves++;
	if (leaf < set->low)
		set->low = leaf;
	if (leaf >= set->high)
		set->high = leaf + 1;
	return e->leaf;
}

struct aero_frame_set_entry *aero_frame_set_make_entry(struct aero_frame_set *set, aero_frame frame)
{
	uint64_t leaf = frame / LEAF_FRAMES;
	struct aero_frame_set_entry *e;

	if (aero_unlikely(leaf / TABLE_ENTRIES != set->hint_index)) {
		struct aero_frame_set_entry *table = make_table(set, leaf);

		if (!table)
			goto no_memory;
		set->hint = table;
		set->hint_index = leaf / TABLE_ENTRIES;
	}
	e = &set->hint[leaf % TABLE_ENTRIES];
	if (aero_likely(e->leaf) || make_leaf(set, leaf, e))
		return e;
no_memory:
	/* Nodes made on the way may hold nothing. */
	prune(set, leaf);
	return NULL;
}

void aero_frame_set_open_block(struct aero_frame_set_entry *e, unsigned int block)
{
	uint64_t *words = &e->leaf[block * BLOCK_WORDS];

	if (e->full >> block & 1)
		memset(words, 0xff, BLOCK_BYTES);
	else
		memset(words, 0, BLOCK_BYTES);
}

void aero_frame_set_use(struct aero_frame_set *set, aero_frame frame,
			struct aero_frame_set_entry *e)
{
	set->hint = e - frame / LEAF_FRAMES % TABLE_ENTRIES;
	set->hint_index = frame / LEAF_FRAMES / TABLE_ENTRIES;
}

void aero_frame_set_drop_leaf(struct aero_frame_set *set, aero_frame frame,
			      struct aero_frame_set_entry *e)
{
	uint64_t leaf = frame / LEAF_FRAMES;
	struct aero_frame_set_entry *table = e - leaf % TABLE_ENTRIES;

	put_node(set, e->leaf);
	e->any = 0;
	e->full = 0;
	e->leaf = NULL;
	e->count = 0;
	if (leaf == set->low)
		set->low++;
	if (leaf + 1 == set->high)
		set->high--;
	if (!--table->leaves)
		prune(set, leaf);
}

/* The first leaf of what a missing node at leaf would cover: that of a branch or a table. */
static uint64_t gap_start(void *const *branch, uint64_t leaf)
{
	uint64_t span = branch ? TABLE_ENTRIES : (uint64_t)TABLE_ENTRIES * BRANCH_SLOTS;

	return leaf & ~(span - 1);
}

static uint64_t gap_end(void *const *branch, uint64_t leaf)
{
	uint64_t span = branch ? TABLE_ENTRIES : (uint64_t)TABLE_ENTRIES * BRANCH_SLOTS;

	return (leaf | (span - 1)) + 1;
}

struct aero_frame_set_entry *aero_frame_set_entry_from(const struct aero_frame_set *set,
						       uint64_t *leaf)
{
	void **root = set->root;
	uint64_t i = *leaf < set->low ? set->low : *leaf;

	while (i < set->high) {
		void **branch = root[root_slot(i)];
		struct aero_frame_set_entry *table = branch ? branch[branch_slot(i)] : NULL;

		if (table && table[i % TABLE_ENTRIES].leaf) {
			*leaf = i;
			return &table[i % TABLE_ENTRIES];
		}
		i = table ? i + 1 : gap_end(branch, i);
	}
	return NULL;
}

struct aero_frame_set_entry *aero_frame_set_last_entry(struct aero_frame_set *set,
						       uint64_t *out_leaf)
{
	void **root = set->root;
	uint64_t end = set->high;

	while (end > set->low) {
		uint64_t i = end - 1;
		void **branch = root[root_slot(i)];
		struct aero_frame_set_entry *table = branch ? branch[branch_slot(i)] : NULL;

		if (table && table[i % TABLE_ENTRIES].leaf) {
			set->high = end;
			*out_leaf = i;
			return &table[i % TABLE_ENTRIES];
		}
		end = table ? i : gap_start(branch, i);
	}
	return NULL;
}

void aero_frame_set_fini(struct aero_frame_set *set)
{
	struct aero_frame_set_entry *e;
	uint64_t leaf = 0;

	/* With the last leaf goes all that is above it. */
	while ((e = aero_frame_set_entry_from(set, &leaf)) != NULL)
		aero_frame_set_drop_leaf(set, leaf * LEAF_FRAMES, e);
	set->count = 0;
}
