/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "ports/sim/sim_buddy_internal.h"

uint64_t sim_buddy_random(struct sim_buddy *buddy, uint64_t below)
{
	uint64_t z = buddy->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z ^ (z >> 31)) % below;
}

static size_t find(struct sim_buddy *buddy, const uint64_t *words, size_t at, size_t end)
{
	size_t from;
	size_t found;

	if (buddy->order == SIM_ASCENDING)
		return find_up(words, at, end);
	if (buddy->order == SIM_DESCENDING)
		return find_down(words, at, end);
	from = at + (size_t)sim_buddy_random(buddy, end - at);
	found = find_up(words, from, end);
	return found < end ? found : find_up(words, at, end);
}

static void *zeroed(struct sim_buddy *buddy, size_t count, size_t size)
{
	void *p = calloc(count, size);

	if (!p)
		abort();
	buddy->bytes += count * size;
	return p;
}

static struct sim_region *need_region(struct sim_buddy *buddy, aero_frame frame)
{
	struct sim_region **region = &buddy->region[region_of(frame)];

	if (!*region)
		*region = zeroed(buddy, 1, sizeof(**region));
	return *region;
}

static struct sim_leaf *need_leaf(struct sim_buddy *buddy, aero_frame frame)
{
	struct sim_leaf **leaf = &need_region(buddy, frame)->leaf[section_of(frame)];

	if (*leaf)
		return *leaf;
	if (buddy->spare) {
		*leaf = buddy->spare;
		buddy->spare = (*leaf)->next;
		(*leaf)->next = NULL;
		return *leaf;
	}
	*leaf = zeroed(buddy, 1, sizeof(**leaf));
	return *leaf;
}

/* All of its bits are clear: it is given out again as it is. */
static void drop_leaf(struct sim_buddy *buddy, aero_frame frame)
{
	struct sim_leaf **leaf = &buddy->region[region_of(frame)]->leaf[section_of(frame)];

	if (!*leaf)
		return;
	(*leaf)->next = buddy->spare;
	buddy->spare = *leaf;
	*leaf = NULL;
}

static void drop_region(struct sim_buddy *buddy, aero_frame frame)
{
	struct sim_region **region = &buddy->region[region_of(frame)];

	if (*region)
		buddy->bytes -= sizeof(**region);
	free(*region);
	*region = NULL;
}

static void tell_region(struct sim_buddy *buddy, unsigned int order, size_t region, bool has)
{
	size_t word = region / 64;

	if (!has) {
		clear_bit(buddy->has[order], region);
		return;
	}
	set_bit(buddy->has[order], region);
	if (word < buddy->low[order])
		buddy->low[order] = word;
	if (word >= buddy->high[order])
		buddy->high[order] = word + 1;
}

/* A whole region that is free has no bookkeeping but its bit at the top. */
static bool is_free(const struct sim_buddy *buddy, unsigned int order, aero_frame first)
{
	const struct sim_region *region = buddy->region[region_of(first)];
	const struct sim_leaf *leaf;

	if (order == SIM_BUDDY_TOP)
		return has_bit(buddy->has[order], region_of(first));
	if (!region)
		return false;
	if (order >= HEIGHT)
		return has_bit(region->free.bit, node_of(order - HEIGHT, section_of(first)));
	leaf = region->leaf[section_of(first)];
	return leaf && has_bit(leaf->free.bit, node_of(order, place_of(first)));
}

static void add_to_leaf(struct sim_buddy *buddy, unsigned int order, aero_frame first)
{
	struct sim_leaf *leaf = need_leaf(buddy, first);

	set_bit(leaf->free.bit, node_of(order, place_of(first)));
	if (!leaf->free_count[order]++)
		set_bit(buddy->region[region_of(first)]->has[order], section_of(first));
}

static void add_free(struct sim_buddy *buddy, unsigned int order, aero_frame first)
{
	struct sim_region *region;

	buddy->count[order]++;
	if (order == SIM_BUDDY_TOP) {
		drop_region(buddy, first);
		tell_region(buddy, order, region_of(first), true);
		return;
	}
	region = need_region(buddy, first);
	if (order >= HEIGHT)
		set_bit(region->free.bit, node_of(order - HEIGHT, section_of(first)));
	else
		add_to_leaf(buddy, order, first);
	if (!region->count[order]++)
		tell_region(buddy, order, region_of(first), true);
}

static void remove_from_leaf(struct sim_region *region, unsigned int order, aero_frame first)
{
	struct sim_leaf *leaf = region->leaf[section_of(first)];

	clear_bit(leaf->free.bit, node_of(order, place_of(first)));
	if (!--leaf->free_count[order])
		clear_bit(region->has[order], section_of(first));
}

static void remove_free(struct sim_buddy *buddy, unsigned int order, aero_frame first)
{
	struct sim_region *region = buddy->region[region_of(first)];

	buddy->count[order]--;
	if (order == SIM_BUDDY_TOP) {
		tell_region(buddy, order, region_of(first), false);
		return;
	}
	if (order >= HEIGHT)
		clear_bit(region->free.bit, node_of(order - HEIGHT, section_of(first)));
	else
		remove_from_leaf(region, order, first);
	if (!--region->count[order])
		tell_region(buddy, order, region_of(first), false);
}

/* Of frames that were the kernel's, before they become free in whole sections. */
static void drop_leaves(struct sim_buddy *buddy, unsigned int order, aero_frame first)
{
	if (order < HEIGHT || !buddy->region[region_of(first)])
		return;
	for (uint64_t i = 0; i < 1ull << order; i += PLACES)
		drop_leaf(buddy, first + i);
}

static void free_block(struct sim_buddy *buddy, unsigned int order, aero_frame first)
{
	while (order < SIM_BUDDY_TOP && is_free(buddy, order, first ^ 1ull << order)) {
		remove_free(buddy, order, first ^ 1ull << order);
		first &= ~(1ull << order);
		if (++order == HEIGHT)
			drop_leaf(buddy, first);
	}
	add_free(buddy, order, first);
}

void sim_buddy_free(struct sim_buddy *buddy, aero_frame first, uint64_t count)
{
	buddy->free_frames += count;
	while (count) {
		unsigned int order = first ? (unsigned int)__builtin_ctzll(first) : SIM_BUDDY_TOP;
		unsigned int fits = 63 - (unsigned int)__builtin_clzll(count);

		if (order > fits)
			order = fits;
		if (order > SIM_BUDDY_TOP)
			order = SIM_BUDDY_TOP;
		drop_leaves(buddy, order, first);
		free_block(buddy, order, first);
		first += 1ull << order;
		count -= 1ull << order;
	}
}

void sim_buddy_init(struct sim_buddy *buddy, uint64_t frames, enum sim_order order, uint64_t seed)
{
	memset(buddy, 0, sizeof(*buddy));
	buddy->frames = frames;
	buddy->order = order;
	buddy->random = seed;
	buddy->regions = region_of(frames + (1ull << SIM_BUDDY_TOP) - 1);
	buddy->words = buddy->regions / 64 + 1;
	buddy->region = zeroed(buddy, buddy->regions + 1, sizeof(*buddy->region));
	for (unsigned int i = 0; i < SIM_BUDDY_ORDERS; i++) {
		buddy->has[i] = zeroed(buddy, buddy->words, sizeof(*buddy->has[i]));
		buddy->low[i] = buddy->words;
	}
	sim_buddy_free(buddy, 0, frames);
}

void sim_buddy_fini(struct sim_buddy *buddy)
{
	for (size_t i = 0; i < buddy->regions; i++) {
		for (unsigned int j = 0; buddy->region[i] && j < PLACES; j++)
			free(buddy->region[i]->leaf[j]);
		free(buddy->region[i]);
	}
	for (unsigned int i = 0; i < SIM_BUDDY_ORDERS; i++)
		free(buddy->has[i]);
	while (buddy->spare) {
		struct sim_leaf *leaf = buddy->spare;

		buddy->spare = leaf->next;
		free(leaf);
	}
	free(buddy->region);
}

/* The order to take a block of, at least the one asked for; SIM_BUDDY_ORDERS: there is none. */
static unsigned int choose_order(struct sim_buddy *buddy, unsigned int order)
{
	uint64_t frames = 0;

	if (buddy->order != SIM_SHUFFLED) {
		while (order < SIM_BUDDY_ORDERS && !buddy->count[order])
			order++;
		return order;
	}
	for (unsigned int i = order; i < SIM_BUDDY_ORDERS; i++)
		frames += buddy->count[i] << i;
	if (!frames)
		return SIM_BUDDY_ORDERS;
	frames = sim_buddy_random(buddy, frames);
	while (frames >= buddy->count[order] << order) {
		frames -= buddy->count[order] << order;
		order++;
	}
	return order;
}

static size_t choose_region(struct sim_buddy *buddy, unsigned int order)
{
	const uint64_t *has = buddy->has[order];
	size_t *low = &buddy->low[order];
	size_t *high = &buddy->high[order];

	while (!has[*low])
		++*low;
	while (!has[*high - 1])
		--*high;
	return find(buddy, has, *low * 64, *high * 64);
}

/* A free block of an order that there is. */
static aero_frame choose_block(struct sim_buddy *buddy, unsigned int order)
{
	size_t number = choose_region(buddy, order);
	aero_frame first = (aero_frame)number << SIM_BUDDY_TOP;
	const struct sim_region *region = buddy->region[number];
	unsigned int height = order;
	size_t at;

	if (order == SIM_BUDDY_TOP)
		return first;
	if (order >= HEIGHT) {
		height = order - HEIGHT;
		at = find(buddy, region->free.bit, PLACES >> height, 2 * PLACES >> height);
		return first + ((aero_frame)(at - (PLACES >> height)) << order);
	}
	at = find(buddy, region->has[order], 0, PLACES);
	first += (aero_frame)at << HEIGHT;
	at = find(buddy, region->leaf[at]->free.bit, PLACES >> height, 2 * PLACES >> height);
	return first + ((aero_frame)(at - (PLACES >> height)) << order);
}

/* Frees one half of a block that was taken, answers the other. */
static aero_frame halve(struct sim_buddy *buddy, unsigned int order, aero_frame first)
{
	aero_frame half = 1ull << order;
	bool is_upper = buddy->order == SIM_DESCENDING ||
			(buddy->order == SIM_SHUFFLED && sim_buddy_random(buddy, 2));

	add_free(buddy, order, is_upper ? first : first + half);
	return is_upper ? first + half : first;
}

static void set_lent(struct sim_buddy *buddy, unsigned int order, aero_frame first, size_t count)
{
	unsigned int node;

	buddy->lent_frames += (uint64_t)count << order;
	if (order >= HEIGHT) {
		node = node_of(order - HEIGHT, section_of(first));
		fill(need_region(buddy, first)->lent.bit, node, count, true);
		return;
	}
	node = node_of(order, place_of(first));
	fill(need_leaf(buddy, first)->lent.bit, node, count, true);
	leaf_at(buddy, first)->lent_count += (uint32_t)(count << order);
}

/* Up to count blocks that lie side by side; 0: there is none. */
static size_t lend_run(struct sim_buddy *buddy, unsigned int order, aero_frame *out, size_t count)
{
	unsigned int top = order < HEIGHT ? HEIGHT : SIM_BUDDY_TOP;
	unsigned int found = choose_order(buddy, order);
	bool is_down = buddy->order == SIM_DESCENDING;
	aero_frame first;
	size_t blocks;

	if (found == SIM_BUDDY_ORDERS)
		return 0;
	first = choose_block(buddy, found);
	remove_free(buddy, found, first);
	if (buddy->order == SIM_SHUFFLED)
		count = 1;
	while (found > top || (uint64_t)count < 1ull << (found - order))
		first = halve(buddy, --found, first);
	blocks = (size_t)1 << (found - order);
	buddy->free_frames -= (uint64_t)blocks << order;
	set_lent(buddy, order, first, blocks);
	for (size_t i = 0; i < blocks; i++)
		out[i] = first + ((aero_frame)(is_down ? blocks - 1 - i : i) << order);
	return blocks;
}

size_t sim_buddy_lend(struct sim_buddy *buddy, unsigned int order, aero_frame *out, size_t count)
{
	size_t done = 0;

	while (done < count) {
		size_t run = lend_run(buddy, order, out + done, count - done);

		if (!run)
			break;
		done += run;
	}
	return done;
}

bool sim_buddy_is_lent(const struct sim_buddy *buddy, unsigned int order, aero_frame first)
{
	const struct sim_region *region;
	const struct sim_leaf *leaf;

	if (first >= buddy->frames || first & ((1ull << order) - 1))
		return false;
	region = buddy->region[region_of(first)];
	if (!region)
		return false;
	if (order >= HEIGHT)
		return has_bit(region->lent.bit, node_of(order - HEIGHT, section_of(first)));
	leaf = region->leaf[section_of(first)];
	return leaf && has_bit(leaf->lent.bit, node_of(order, place_of(first)));
}

int sim_buddy_lent_order(const struct sim_buddy *buddy, aero_frame frame)
{
	if (frame >= buddy->frames)
		return -1;
	for (unsigned int i = leaf_at(buddy, frame) ? 0 : HEIGHT; i < SIM_BUDDY_ORDERS; i++) {
		if (sim_buddy_is_lent(buddy, i, frame & ~((1ull << i) - 1)))
			return (int)i;
	}
	return -1;
}

int sim_buddy_free_order(const struct sim_buddy *buddy, aero_frame frame)
{
	if (frame >= buddy->frames)
		return -1;
	for (unsigned int i = leaf_at(buddy, frame) ? 0 : HEIGHT; i < SIM_BUDDY_ORDERS; i++) {
		if (is_free(buddy, i, frame & ~((1ull << i) - 1)))
			return (int)i;
	}
	return -1;
}

void sim_buddy_unlend(struct sim_buddy *buddy, unsigned int order, aero_frame first)
{
	struct sim_region *region = buddy->region[region_of(first)];
	struct sim_leaf *leaf;

	buddy->lent_frames -= 1ull << order;
	if (order >= HEIGHT) {
		clear_bit(region->lent.bit, node_of(order - HEIGHT, section_of(first)));
		return;
	}
	leaf = region->leaf[section_of(first)];
	clear_bit(leaf->lent.bit, node_of(order, place_of(first)));
	leaf->lent_count -= 1u << order;
}

void sim_buddy_relend(struct sim_buddy *buddy, unsigned int order, aero_frame first)
{
	set_lent(buddy, order, first, 1);
}

void sim_buddy_take(struct sim_buddy *buddy, aero_frame frame)
{
	int found = sim_buddy_free_order(buddy, frame);
	unsigned int order = (unsigned int)found;

	if (found < 0)
		abort();
	remove_free(buddy, order, frame & ~((1ull << order) - 1));
	buddy->free_frames--;
	while (order--) {
		aero_frame half = frame & ~((1ull << order) - 1);

		add_free(buddy, order, half ^ 1ull << order);
	}
}

/* Marks a part of what was a block, in the leaf that it has now. */
static void mark_part(struct sim_buddy *buddy, enum sim_mark mark, aero_frame first, uint64_t count,
		      bool is_set)
{
	fill(leaf_at(buddy, first)->mark[mark], place_of(first), (size_t)count, is_set);
	buddy->marked_frames[mark] += is_set ? count : 0;
}

void sim_buddy_split(struct sim_buddy *buddy, unsigned int order, aero_frame first,
		     unsigned int into)
{
	uint64_t count = 1ull << order;
	bool marks[SIM_MARKS];

	for (unsigned int i = 0; i < SIM_MARKS; i++) {
		marks[i] = sim_buddy_has_mark(buddy, (enum sim_mark)i, first);
		if (marks[i])
			sim_buddy_set_mark(buddy, (enum sim_mark)i, order, first, false);
	}
	sim_buddy_unlend(buddy, order, first);
	while (count) {
		uint64_t here = into >= HEIGHT || count < PLACES ? 1ull << into : PLACES;

		set_lent(buddy, into, first, (size_t)(here >> into));
		for (unsigned int i = 0; i < SIM_MARKS; i++) {
			if (into < HEIGHT)
				mark_part(buddy, (enum sim_mark)i, first, here, marks[i]);
			else if (marks[i])
				sim_buddy_set_mark(buddy, (enum sim_mark)i, into, first, true);
		}
		first += here;
		count -= here;
	}
}

bool sim_buddy_has_mark(const struct sim_buddy *buddy, enum sim_mark mark, aero_frame frame)
{
	const struct sim_region *region = buddy->region[region_of(frame)];
	const struct sim_leaf *leaf = leaf_at(buddy, frame);

	if (leaf)
		return has_bit(leaf->mark[mark], place_of(frame));
	return region && has_bit(region->mark[mark], section_of(frame));
}

void sim_buddy_set_mark(struct sim_buddy *buddy, enum sim_mark mark, unsigned int order,
			aero_frame first, bool is_set)
{
	struct sim_region *region = buddy->region[region_of(first)];

	if (is_set)
		buddy->marked_frames[mark] += 1ull << order;
	else
		buddy->marked_frames[mark] -= 1ull << order;
	if (order >= HEIGHT)
		fill(region->mark[mark], section_of(first), (size_t)1 << (order - HEIGHT), is_set);
	else
		fill(leaf_at(buddy, first)->mark[mark], place_of(first), (size_t)1 << order,
		     is_set);
}

uint64_t sim_buddy_lent_run(const struct sim_buddy *buddy, struct aero_range range)
{
	uint64_t done = 0;

	while (done < range.count) {
		aero_frame frame = range.first + done;
		const struct sim_leaf *leaf = frame < buddy->frames ? leaf_at(buddy, frame) : NULL;
		int order;

		if (leaf && leaf->lent_count == PLACES) {
			done += PLACES - place_of(frame);
			continue;
		}
		order = sim_buddy_lent_order(buddy, frame);
		if (order < 0)
			return done;
		done += (1ull << order) - (frame & ((1ull << order) - 1));
	}
	return range.count;
}
