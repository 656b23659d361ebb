/* SPDX-License-Identifier: MIT */
/* The page core: blocks come, go, and are in flight in between. */
#include "pages_internal.h"

static bool is_port_complete(const struct aero_port *port)
{
	return port->alloc && port->free && port->managed_frames && port->page_get &&
	       port->page_put && port->page_frame && !port->lock == !port->unlock;
}

enum aero_status aero_pages_init(struct aero_pages *pages, const struct aero_port *port,
				 uint32_t orders)
{
	if (!is_port_complete(port) || !orders || (orders & ~port->orders))
		return AERO_EINVAL;
	memset(pages, 0, sizeof(*pages));
	pages->port = port;
	for (; orders; orders &= orders - 1) {
		struct aero_pages_size *size = &pages->size[pages->size_count];

		if (pages->size_count == AERO_PAGES_SIZES)
			return AERO_EINVAL;
		size->order = aero_low_bit(orders);
		aero_pages_set_init(pages, &size->lent);
		aero_pages_set_init(pages, &size->isolated);
		pages->size_count++;
	}
	return AERO_OK;
}

void aero_pages_fini(struct aero_pages *pages)
{
	unsigned int i;

	for (i = 0; i < pages->size_count; i++) {
		aero_frame_set_fini(&pages->size[i].lent);
		aero_frame_set_fini(&pages->size[i].isolated);
	}
	aero_pages_trim_to(pages, 0);
}

void aero_pages_list_init(struct aero_pages_list *list, aero_frame *frames)
{
	memset(list, 0, sizeof(*list));
	list->frames = frames;
}

void aero_pages_refuse(struct aero_pages_list *list, uint32_t index)
{
	uint32_t *word = &list->refused[index / 32];
	uint32_t bit = 1u << index % 32;

	list->refused_count += !(*word & bit);
	*word |= bit;
}

uint32_t aero_pages_alloc(struct aero_pages *pages, struct aero_pages_list *list, unsigned int size,
			  enum aero_effort effort, uint32_t count)
{
	const struct aero_port *port = pages->port;
	size_t got;

	if (count > AERO_PAGES_LIST_MAX)
		count = AERO_PAGES_LIST_MAX;
	if (list->count >= count || (list->count && list->size != size))
		return 0;
	list->size = size;
	got = port->alloc(port->ctx, pages->size[size].order, effort, list->frames + list->count,
			  count - list->count);
	list->count += (uint32_t)got;
	return (uint32_t)got;
}

void aero_pages_free(struct aero_pages *pages, struct aero_pages_list *list)
{
	const struct aero_port *port = pages->port;

	if (list->count)
		port->free(port->ctx, pages->size[list->size].order, list->frames, list->count);
	list->count = 0;
}

void aero_pages_mark(const struct aero_pages *pages, unsigned int order, const aero_frame *frames,
		     size_t count, bool is_lent)
{
	const struct aero_port *port = pages->port;

	if (port->set_offline && count)
		port->set_offline(port->ctx, order, frames, count, is_lent);
	if (port->adjust_managed && count && !pages->is_managed_kept)
		port->adjust_managed(port->ctx, order, frames, count, is_lent);
}

void aero_pages_fly(struct aero_pages *pages, struct aero_pages_list *list,
		    enum aero_pages_move move)
{
	/* All frames, until it is known better; what comes after them is a frame number too. */
	list->lowest = 0;
	list->highest = AERO_FRAME_LIMIT - 1;
	list->move = move;
	list->refused_count = 0;
	memset(list->refused, 0, sizeof(list->refused));
	list->next = pages->flying;
	pages->flying = list;
}

void aero_pages_land(struct aero_pages *pages, struct aero_pages_list *list)
{
	struct aero_pages_list **link = &pages->flying;

	while (*link != list)
		link = &(*link)->next;
	*link = list->next;
	list->next = NULL;
	list->move = AERO_PAGES_RESTING;
}

/* Where a run with this step ends, four blocks at a time. */
static uint32_t run_end(const struct aero_pages_list *list, uint32_t from, aero_frame step)
{
	const aero_frame *frames = list->frames;
	aero_frame next = frames[from] + step;
	uint32_t end = from + 1;

	while (end + 4 <= list->count &&
	       !((frames[end] ^ next) | (frames[end + 1] ^ (next + step)) |
		 (frames[end + 2] ^ (next + 2 * step)) | (frames[end + 3] ^ (next + 3 * step)))) {
		end += 4;
		next += 4 * step;
	}
	for (; end < list->count && frames[end] == next; end++)
		next += step;
	return end;
}

/* A run of at least two. */
static aero_noinline uint32_t long_run_at(const struct aero_pages_list *list, unsigned int order,
					  uint32_t from, struct aero_range *out)
{
	const aero_frame *frames = list->frames;
	aero_frame step = (aero_frame)1 << order;
	uint32_t end = list->count;

	if (frames[from + 1] < frames[from])
		step = 0 - step;
	/* Those that leave are sorted, so that the last one tells whether all are one run. */
	if (list->move != AERO_PAGES_LEAVING ||
	    frames[end - 1] - frames[from] != (aero_frame)(end - 1 - from) << order)
		end = run_end(list, from, step);
	out->first = (frames[end - 1] < frames[from] ? frames[end - 1] : frames[from]) >> order;
	out->count = end - from;
	return end;
}

/* The run of blocks that begins with frames[from], in ascending or descending order. */
static inline uint32_t run_at(const struct aero_pages_list *list, unsigned int order, uint32_t from,
			      struct aero_range *out)
{
	aero_frame step = (aero_frame)1 << order, first = list->frames[from];

	if (from + 1 < list->count &&
	    (list->frames[from + 1] == first + step || list->frames[from + 1] == first - step))
		return long_run_at(list, order, from, out);
	out->first = first >> order;
	out->count = 1;
	return from + 1;
}

/* Takes the blocks frames[0 .. count) out of the set again. */
static void remove_blocks(struct aero_pages_size *size, const struct aero_pages_list *list,
			  uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		struct aero_range one = { aero_pages_block(size, list->frames[i]), 1 };

		aero_frame_set_remove(&size->lent, one);
	}
}

/* aero_pages_insert() for where no memory is needed, nearly always, and runs are short. */
static inline enum aero_status insert_run(struct aero_pages *pages, struct aero_frame_set *set,
					  struct aero_range run)
{
	uint64_t done;

	if (run.count == 1) {
		aero_frame_set_insert(set, run, &done);
		if (aero_likely(done))
			return AERO_OK;
	}
	return aero_pages_insert(pages, set, run);
}

/* Adds all blocks of a list to the set, or none. The lock as of aero_pages_insert(). */
static enum aero_status insert_list(struct aero_pages *pages, struct aero_pages_list *list)
{
	struct aero_pages_size *size = &pages->size[list->size];
	aero_frame low = UINT64_MAX, high = 0, unaligned = 0;
	enum aero_status status = AERO_OK;
	uint32_t from = 0, to;

	for (; from < list->count; from = to) {
		struct aero_range run;

		to = run_at(list, size->order, from, &run);
		unaligned |= list->frames[from];
		status = insert_run(pages, &size->lent, run);
		if (status)
			goto undo;
		if (run.first < low)
			low = run.first;
		if (run.first + run.count - 1 > high)
			high = run.first + run.count - 1;
	}
	if (unaligned & (((aero_frame)1 << size->order) - 1) ||
	    high >= AERO_FRAME_LIMIT >> size->order) {
		status = AERO_EINVAL;
		goto undo;
	}
	list->lowest = low << size->order;
	list->highest = high << size->order;
	size->joining += list->count;
	return AERO_OK;
undo:
	remove_blocks(size, list, from);
	return status;
}

enum aero_status aero_pages_join(struct aero_pages *pages, struct aero_pages_list *list)
{
	enum aero_status status;

	if (!list->count)
		return AERO_OK;
	aero_pages_lock(pages);
	aero_pages_fly(pages, list, AERO_PAGES_JOINING);
	status = insert_list(pages, list);
	if (status)
		aero_pages_land(pages, list);
	aero_pages_unlock(pages);
	aero_pages_trim(pages);
	return status;
}

/* Marks those of a list that the host has accepted, in as few calls as there are runs of them. */
static void mark_accepted(const struct aero_pages *pages, const struct aero_pages_list *list)
{
	uint32_t from = 0, to;

	while (from < list->count) {
		if (aero_pages_is_refused(list, from)) {
			from++;
			continue;
		}
		for (to = from + 1; to < list->count && !aero_pages_is_refused(list, to); to++)
			;
		aero_pages_mark(pages, pages->size[list->size].order, list->frames + from,
				to - from, true);
		from = to;
	}
}

/* Keeps those that were refused, or those that were not, in their order. */
static void keep(struct aero_pages_list *list, bool is_refused_kept)
{
	uint32_t i, kept = 0;

	for (i = 0; i < list->count; i++)
		if (aero_pages_is_refused(list, i) == is_refused_kept)
			list->frames[kept++] = list->frames[i];
	list->count = kept;
}

uint32_t aero_pages_joined(struct aero_pages *pages, struct aero_pages_list *list)
{
	uint32_t accepted = list->count - list->refused_count;
	struct aero_pages_size *size = &pages->size[list->size];

	if (!list->count)
		return 0;
	/* Before others can move them: until then they are in flight. */
	if (pages->port->set_offline || pages->port->adjust_managed)
		mark_accepted(pages, list);
	aero_pages_lock(pages);
	if (list->refused_count)
		keep(list, true);
	else
		list->count = 0;
	remove_blocks(size, list, list->count);
	size->joining -= accepted + list->count;
	size->counters.inflated += accepted;
	aero_pages_land(pages, list);
	aero_pages_unlock(pages);
	aero_pages_trim(pages);
	return accepted;
}

/* Shortens a run to the part before what may not leave now; false: nothing, *from is after it. */
static bool clip(const struct aero_pages *pages, unsigned int index, struct aero_range *run,
		 aero_frame *from)
{
	const struct aero_pages_size *size = &pages->size[index];
	const struct aero_pages_list *list;
	struct aero_range isolated;

	for (list = pages->flying; list; list = list->next) {
		aero_frame low = list->lowest >> size->order, high = list->highest >> size->order;

		if (list->size != index || high < run->first || low >= run->first + run->count)
			continue;
		*from = high + 1;
		if (low <= run->first)
			return false;
		run->count = low - run->first;
	}
	if (aero_frame_set_next(&size->isolated, run->first, 1, &isolated)) {
		*from = isolated.first + 1;
		if (isolated.first == run->first)
			return false;
		if (isolated.first < run->first + run->count)
			run->count = isolated.first - run->first;
	}
	return true;
}

/* Writes the blocks of a run, four at a time; answers where they end. */
static aero_frame *put_run(aero_frame *out, struct aero_range run, unsigned int order)
{
	aero_frame step = (aero_frame)1 << order, frame = run.first << order;
	aero_frame *end = out + run.count;

	for (; end - out >= 4; out += 4, frame += 4 * step) {
		out[0] = frame;
		out[1] = frame + step;
		out[2] = frame + 2 * step;
		out[3] = frame + 3 * step;
	}
	for (; out < end; frame += step)
		*out++ = frame;
	return end;
}

uint32_t aero_pages_take(struct aero_pages *pages, struct aero_frame_set *set, unsigned int order,
			 aero_frame *out, uint32_t count)
{
	struct aero_range run = { 0, 0 };
	aero_frame *at = out;

	aero_pages_lock(pages);
	while (at < out + count &&
	       aero_frame_set_next(set, run.first, (uint64_t)(out + count - at), &run)) {
		aero_frame_set_remove(set, run);
		at = put_run(at, run, order);
	}
	aero_pages_unlock(pages);
	aero_pages_trim(pages);
	return (uint32_t)(at - out);
}

uint32_t aero_pages_leave(struct aero_pages *pages, struct aero_pages_list *list, unsigned int size,
			  uint32_t count)
{
	struct aero_pages_size *blocks = &pages->size[size];
	bool has_others;
	struct aero_range run;
	aero_frame from;

	aero_pages_lock(pages);
	has_others = pages->flying || !aero_frame_set_is_empty(&blocks->isolated);
	from = blocks->cursor;
	list->size = size;
	list->count = 0;
	if (count > AERO_PAGES_LIST_MAX)
		count = AERO_PAGES_LIST_MAX;
	while (list->count < count &&
	       aero_frame_set_next(&blocks->lent, from, count - list->count, &run)) {
		if (has_others && !clip(pages, size, &run, &from))
			continue;
		put_run(list->frames + list->count, run, blocks->order);
		list->count += (uint32_t)run.count;
		from = run.first + run.count;
	}
	blocks->cursor = from;
	if (list->count) {
		aero_pages_fly(pages, list, AERO_PAGES_LEAVING);
		list->lowest = list->frames[0];
		list->highest = list->frames[list->count - 1];
	}
	aero_pages_unlock(pages);
	return list->count;
}

/*
 * Takes the blocks of a list out of the set: where the set holds nothing else between the first and
 * the last of them, at once, else run by run.
 */
static void remove_list(struct aero_pages_size *size, const struct aero_pages_list *list)
{
	struct aero_range run = { list->lowest >> size->order, 0 };
	uint32_t from = 0;

	run.count = (list->highest >> size->order) - run.first + 1;
	/* Looking costs a step per 64 blocks, a run of its own some 20 of them. */
	if (run.count <= 64 * AERO_PAGES_LIST_MAX &&
	    aero_frame_set_count_in(&size->lent, run) == list->count)
		from = aero_frame_set_remove(&size->lent, run) ? list->count : 0;
	while (from < list->count) {
		from = run_at(list, size->order, from, &run);
		aero_frame_set_remove(&size->lent, run);
	}
}

uint32_t aero_pages_left(struct aero_pages *pages, struct aero_pages_list *list)
{
	struct aero_pages_size *size = &pages->size[list->size];

	if (!list->count)
		return 0;
	aero_pages_lock(pages);
	if (list->refused_count)
		keep(list, false);
	remove_list(size, list);
	size->counters.deflated += list->count;
	aero_pages_land(pages, list);
	aero_pages_unlock(pages);
	aero_pages_mark(pages, size->order, list->frames, list->count, false);
	aero_pages_trim(pages);
	return list->count;
}

/* What the pages of a block are in the set of pages. */
static struct aero_range pages_of(const struct aero_pages *pages, unsigned int order,
				  aero_frame first)
{
	unsigned int page = pages->size[0].order;
	struct aero_range range = { first >> page, (uint64_t)1 << (order - page) };

	return range;
}

/* The kernel's view follows: a block less, its pages more. */
static void mark_broken(const struct aero_pages *pages, struct aero_pages_list *list,
			unsigned int order, struct aero_range rest)
{
	const struct aero_port *port = pages->port;
	aero_frame block = list->frames[0];

	aero_pages_mark(pages, order, &block, 1, false);
	if (port->split)
		port->split(port->ctx, order, block);
	while (rest.count) {
		struct aero_range part = rest;

		if (part.count > AERO_PAGES_LIST_MAX)
			part.count = AERO_PAGES_LIST_MAX;
		put_run(list->frames, part, pages->size[0].order);
		aero_pages_mark(pages, pages->size[0].order, list->frames, part.count, true);
		rest.first += part.count;
		rest.count -= part.count;
	}
	list->count = 0;
}

bool aero_pages_break(struct aero_pages *pages, struct aero_pages_list *list, unsigned int size)
{
	struct aero_pages_size *blocks = &pages->size[size], *small = &pages->size[0];
	struct aero_range parts;
	enum aero_status status;

	/* In flight nobody else touches it. */
	if (!aero_pages_leave(pages, list, size, 1))
		return false;
	parts = pages_of(pages, blocks->order, list->frames[0]);
	aero_pages_lock(pages);
	status = aero_pages_insert(pages, &small->lent, parts);
	if (!status) {
		remove_blocks(blocks, list, 1);
		blocks->counters.deflated++;
		small->counters.inflated += parts.count;
		if (small->cursor > parts.first)
			small->cursor = parts.first;
	}
	aero_pages_land(pages, list);
	aero_pages_unlock(pages);
	if (!status)
		mark_broken(pages, list, blocks->order, parts);
	aero_pages_trim(pages);
	return !status;
}

void aero_pages_rewind(struct aero_pages *pages)
{
	unsigned int i;

	for (i = 0; i < pages->size_count; i++)
		pages->size[i].cursor = 0;
}

enum aero_status aero_pages_enqueue(struct aero_pages *pages, struct aero_pages_list *list)
{
	enum aero_status status = aero_pages_join(pages, list);

	if (!status)
		aero_pages_joined(pages, list);
	return status;
}

uint32_t aero_pages_dequeue(struct aero_pages *pages, struct aero_pages_list *list,
			    unsigned int size, uint32_t count)
{
	pages->size[size].cursor = 0;
	aero_pages_leave(pages, list, size, count);
	return aero_pages_left(pages, list);
}
