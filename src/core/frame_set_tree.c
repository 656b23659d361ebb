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

void aero_frame_set_init(struct aero_frame_set *set, const struct aero_node_source *nodes)
{
	memset(set, 0, sizeof(*set));
	set->nodes = *nodes;
	set->hint_index = NO_HINT;
}

/* A zeroed node. */
static void *get_node(struct aero_frame_set *set)
{
	void *node = set->nodes.get(set->nodes.ctx);

	if (node) {
		memset(node, 0, AERO_NODE_BYTES);
		set->node_count++;
	}
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
	if (!*slot)
		*slot = get_node(set);
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

static bool is_table_empty(const struct aero_frame_set_entry *table)
{
	unsigned int i;

	for (i = 0; i < TABLE_ENTRIES; i++) {
		if (table[i].leaf)
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

	if (table && is_table_empty(table)) {
		put_node(set, table);
		branch[branch_slot(leaf)] = NULL;
		set->hint = NULL;
		set->hint_index = NO_HINT;
	}
	if (branch && is_node_empty(branch)) {
		put_node(set, branch);
		root[root_slot(leaf)] = NULL;
	}
	if (root && is_node_empty(root)) {
		put_node(set, root);
		set->root = NULL;
	}
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
	if (aero_unlikely(!e->leaf)) {
		e->leaf = get_node(set);
		if (!e->leaf)
			goto no_memory;
	}
	return e;
no_memory:
	/* Nodes made on the way may hold nothing. */
	prune(set, leaf);
	return NULL;
}

void aero_frame_set_drop_leaf(struct aero_frame_set *set, aero_frame frame)
{
	uint64_t leaf = frame / LEAF_FRAMES;
	struct aero_frame_set_entry *e = aero_frame_set_find_entry(set, frame);

	put_node(set, e->leaf);
	memset(e, 0, sizeof(*e));
	prune(set, leaf);
}

struct aero_frame_set_entry *aero_frame_set_entry_from(const struct aero_frame_set *set,
						       uint64_t *leaf)
{
	void **root = set->root;
	uint64_t i = *leaf;

	while (root && i < LEAF_LIMIT) {
		void **branch = root[root_slot(i)];
		struct aero_frame_set_entry *table = branch ? branch[branch_slot(i)] : NULL;

		if (table && table[i % TABLE_ENTRIES].count) {
			*leaf = i;
			return &table[i % TABLE_ENTRIES];
		}
		if (table)
			i++;
		else if (branch)
			i = (i / TABLE_ENTRIES + 1) * TABLE_ENTRIES;
		else
			i = (i / TABLE_ENTRIES / BRANCH_SLOTS + 1) * TABLE_ENTRIES * BRANCH_SLOTS;
	}
	return NULL;
}

/* The highest slot in use; 0 where there is none. */
static unsigned int last_slot(void *const *slots)
{
	unsigned int i = BRANCH_SLOTS - 1;

	while (i && !slots[i])
		i--;
	return i;
}

struct aero_frame_set_entry *aero_frame_set_last_entry(const struct aero_frame_set *set,
						       uint64_t *out_leaf)
{
	/* No node is kept empty, so the last slot of each level leads to the last leaf. */
	void **root = set->root;
	unsigned int r = root ? last_slot(root) : 0;
	void **branch = root ? root[r] : NULL;
	unsigned int b = branch ? last_slot(branch) : 0;
	struct aero_frame_set_entry *table = branch ? branch[b] : NULL;
	unsigned int i = TABLE_ENTRIES;

	if (!table)
		return NULL;
	while (i > 1 && !table[i - 1].leaf)
		i--;
	*out_leaf = ((uint64_t)r * BRANCH_SLOTS + b) * TABLE_ENTRIES + i - 1;
	return &table[i - 1];
}

static void free_table(struct aero_frame_set *set, struct aero_frame_set_entry *table)
{
	unsigned int i;

	for (i = 0; i < TABLE_ENTRIES; i++) {
		if (table[i].leaf)
			put_node(set, table[i].leaf);
	}
	put_node(set, table);
}

static void free_branch(struct aero_frame_set *set, void **branch)
{
	unsigned int i;

	for (i = 0; i < BRANCH_SLOTS; i++) {
		if (branch[i])
			free_table(set, branch[i]);
	}
	put_node(set, branch);
}

void aero_frame_set_fini(struct aero_frame_set *set)
{
	struct aero_node_source nodes = set->nodes;
	void **root = set->root;
	unsigned int i;

	for (i = 0; root && i < BRANCH_SLOTS; i++) {
		if (root[i])
			free_branch(set, root[i]);
	}
	if (root)
		put_node(set, root);
	aero_frame_set_init(set, &nodes);
}
