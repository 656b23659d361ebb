/* SPDX-License-Identifier: MIT */
#include "ports/sim/sim_buddy_internal.h"

/* The places that a tree's blocks cover; false where two of them overlap. */
static bool cover(const struct tree *tree, uint64_t *words)
{
	for (size_t node = find_up(tree->bit, 1, 2 * PLACES); node < 2 * PLACES;
	     node = find_up(tree->bit, node + 1, 2 * PLACES)) {
		unsigned int level = 63 - (unsigned int)__builtin_clzll(node);
		size_t count = PLACES >> level;
		size_t at = (node - ((size_t)1 << level)) * count;

		if (find_up(words, at, at + count) < at + count)
			return false;
		fill(words, at, count, true);
	}
	return true;
}

static uint64_t count_bits(const uint64_t *words)
{
	uint64_t count = 0;

	for (unsigned int i = 0; i < PLACE_WORDS; i++)
		count += (uint64_t)__builtin_popcountll(words[i]);
	return count;
}

/* What is counted anew. */
struct recount {
	uint64_t free;
	uint64_t lent;
	uint64_t marked[SIM_MARKS];
};

static const char *recount_trees(const struct tree *free, const struct tree *lent,
				 const uint64_t (*mark)[PLACE_WORDS], struct recount *out)
{
	uint64_t words[PLACE_WORDS] = { 0 };
	uint64_t lent_places;

	if (!cover(lent, words))
		return "books of the simulation: lent blocks overlap";
	lent_places = count_bits(words);
	out->lent += lent_places;
	for (unsigned int i = 0; i < SIM_MARKS; i++) {
		for (unsigned int j = 0; j < PLACE_WORDS; j++) {
			if (mark[i][j] & ~words[j])
				return "books of the simulation: a mark on what is not lent";
		}
		out->marked[i] += count_bits(mark[i]);
	}
	if (!cover(free, words))
		return "books of the simulation: free blocks overlap others";
	out->free += count_bits(words) - lent_places;
	return NULL;
}

static void scale(struct recount *count)
{
	count->free *= PLACES;
	count->lent *= PLACES;
	for (unsigned int i = 0; i < SIM_MARKS; i++)
		count->marked[i] *= PLACES;
}

/* Whether a section is free or lent as a whole; then it has no leaf. */
static bool is_whole(const struct sim_region *region, unsigned int section)
{
	for (unsigned int i = 0; i <= HEIGHT; i++) {
		if (has_bit(region->free.bit, node_of(i, section)) ||
		    has_bit(region->lent.bit, node_of(i, section)))
			return true;
	}
	return false;
}

static const char *recount_region(const struct sim_region *region, struct recount *total)
{
	struct recount here = { 0 };
	const char *wrong = recount_trees(&region->free, &region->lent, region->mark, &here);

	scale(&here);
	for (unsigned int i = 0; !wrong && i < PLACES; i++) {
		const struct sim_leaf *leaf = region->leaf[i];

		if (leaf && is_whole(region, i))
			wrong = "books of the simulation: a section is whole and in parts";
		else if (leaf)
			wrong = recount_trees(&leaf->free, &leaf->lent, leaf->mark, &here);
	}
	total->free += here.free;
	total->lent += here.lent;
	for (unsigned int i = 0; i < SIM_MARKS; i++)
		total->marked[i] += here.marked[i];
	return wrong;
}

const char *sim_buddy_validate(const struct sim_buddy *buddy)
{
	struct recount total = { 0 };
	const char *wrong = NULL;

	for (size_t i = 0; !wrong && i < buddy->regions; i++) {
		if (has_bit(buddy->has[SIM_BUDDY_TOP], i))
			total.free += 1ull << SIM_BUDDY_TOP;
		else if (buddy->region[i])
			wrong = recount_region(buddy->region[i], &total);
	}
	if (wrong)
		return wrong;
	if (total.free != buddy->free_frames || total.lent != buddy->lent_frames)
		return "books of the simulation: free or lent frames miscounted";
	for (unsigned int i = 0; i < SIM_MARKS; i++) {
		if (total.marked[i] != buddy->marked_frames[i])
			return "books of the simulation: marks miscounted";
	}
	return NULL;
}
