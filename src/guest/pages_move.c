/* SPDX-License-Identifier: MIT */
/* The page core: the kernel moves a block. And what the core knows of itself. */
#include "pages_internal.h"

static bool is_flying(const struct aero_pages *pages, const struct aero_pages_size *size,
		      aero_frame frame)
{
	const struct aero_pages_list *list;
	uint32_t i;

	for (list = pages->flying; list; list = list->next) {
		if (&pages->size[list->size] != size || frame < list->lowest ||
		    frame > list->highest)
			continue;
		for (i = 0; i < list->count; i++)
			if (list->frames[i] == frame)
				return true;
	}
	return false;
}

static bool has(const struct aero_frame_set *set, const struct aero_pages_size *size,
		aero_frame frame)
{
	struct aero_range one = { aero_pages_block(size, frame), 1 };

	return aero_frame_set_count_in(set, one);
}

static void drop(struct aero_frame_set *set, const struct aero_pages_size *size, aero_frame frame)
{
	struct aero_range one = { aero_pages_block(size, frame), 1 };

	aero_frame_set_remove(set, one);
}

/* The size with an order, NULL where the frame is no block of it. Its constness is the caller's. */
static struct aero_pages_size *find(const struct aero_pages *pages, unsigned int order,
				    aero_frame frame)
{
	unsigned int i;

	if (order >= 32 || (frame & ((1ull << order) - 1)) || frame >= AERO_FRAME_LIMIT)
		return NULL;
	for (i = 0; i < pages->size_count; i++)
		if (pages->size[i].order == order)
			return (struct aero_pages_size *)&pages->size[i];
	return NULL;
}

bool aero_pages_isolate(struct aero_pages *pages, unsigned int order, aero_frame frame)
{
	struct aero_pages_size *size = find(pages, order, frame);
	struct aero_range one = { 0, 1 };
	bool is_done;

	if (!size)
		return false;
	one.first = frame >> order;
	aero_pages_lock(pages);
	is_done = !aero_pages_insert(pages, &size->isolated, one);
	/* Looked at when no memory is needed any more: for that the lock is dropped. */
	if (is_done && (!has(&size->lent, size, frame) || is_flying(pages, size, frame))) {
		drop(&size->isolated, size, frame);
		is_done = false;
	}
	aero_pages_unlock(pages);
	aero_pages_trim(pages);
	return is_done;
}

void aero_pages_putback(struct aero_pages *pages, unsigned int order, aero_frame frame)
{
	struct aero_pages_size *size = find(pages, order, frame);

	if (!size)
		return;
	aero_pages_lock(pages);
	drop(&size->isolated, size, frame);
	aero_pages_unlock(pages);
	aero_pages_trim(pages);
}

/* The old block leaves, and what was counted as an inflation was a migration. */
static void let_go(struct aero_pages *pages, struct aero_pages_size *size, aero_frame frame,
		   bool is_replaced)
{
	aero_pages_lock(pages);
	drop(&size->lent, size, frame);
	drop(&size->isolated, size, frame);
	size->counters.inflated -= is_replaced;
	size->counters.migrated += is_replaced;
	size->counters.deflated += !is_replaced;
	aero_pages_unlock(pages);
	aero_pages_mark(pages, size->order, &frame, 1, false);
	aero_pages_trim(pages);
}

static bool is_isolated(struct aero_pages *pages, const struct aero_pages_size *size,
			aero_frame frame)
{
	bool is_there;

	aero_pages_lock(pages);
	is_there = has(&size->isolated, size, frame);
	aero_pages_unlock(pages);
	return is_there;
}

enum aero_status aero_pages_migrate(struct aero_pages *pages, unsigned int order,
				    aero_frame new_frame, aero_frame old_frame,
				    aero_pages_exchange exchange, void *ctx)
{
	struct aero_pages_size *size = find(pages, order, new_frame | old_frame);
	struct aero_pages_list list;
	enum aero_status status;
	aero_frame frame = new_frame;

	if (!size || !is_isolated(pages, size, old_frame))
		return AERO_EINVAL;
	/* The new block is in flight, so that nothing else touches it while the host is told. */
	aero_pages_list_init(&list, &frame);
	list.size = (unsigned int)(size - pages->size);
	list.count = 1;
	status = aero_pages_join(pages, &list);
	if (status)
		return status == AERO_ENOMEM ? AERO_EAGAIN : status;
	status = exchange(ctx, order, new_frame, old_frame);
	if (status)
		aero_pages_refuse(&list, 0);
	aero_pages_joined(pages, &list);
	if (status && status != AERO_ENOENT)
		return status;
	let_go(pages, size, old_frame, !status);
	return AERO_OK;
}

bool aero_pages_has(const struct aero_pages *pages, unsigned int order, aero_frame frame)
{
	const struct aero_pages_size *size = find(pages, order, frame);

	return size && has(&size->lent, size, frame);
}

uint64_t aero_pages_frames(const struct aero_pages *pages)
{
	uint64_t frames = 0;
	unsigned int i;

	for (i = 0; i < pages->size_count; i++) {
		const struct aero_pages_size *size = &pages->size[i];

		frames += (aero_frame_set_count(&size->lent) - size->joining) << size->order;
	}
	return frames;
}

uint64_t aero_pages_bytes(const struct aero_pages *pages)
{
	uint64_t bytes = (uint64_t)pages->spare_count * AERO_NODE_BYTES;
	unsigned int i;

	for (i = 0; i < pages->size_count; i++)
		bytes += aero_frame_set_bytes(&pages->size[i].lent) +
			 aero_frame_set_bytes(&pages->size[i].isolated);
	return bytes;
}

/* Every block in flight is in the set and not isolated; answers how many join. */
static enum aero_status check_flying(const struct aero_pages *pages,
				     const struct aero_pages_size *size, uint64_t *out_joining)
{
	const struct aero_pages_list *list;
	uint32_t i;

	*out_joining = 0;
	for (list = pages->flying; list; list = list->next) {
		if (list->move == AERO_PAGES_RESTING || list->size >= pages->size_count)
			return AERO_EBUG;
		if (&pages->size[list->size] != size)
			continue;
		for (i = 0; i < list->count; i++)
			if (!has(&size->lent, size, list->frames[i]) ||
			    has(&size->isolated, size, list->frames[i]))
				return AERO_EBUG;
		if (list->move == AERO_PAGES_JOINING)
			*out_joining += list->count;
	}
	return AERO_OK;
}

/* Isolated blocks are lent ones; events add up to what is there. */
static enum aero_status check_size(const struct aero_pages *pages,
				   const struct aero_pages_size *size)
{
	uint64_t lent = aero_frame_set_count(&size->lent), joining;
	struct aero_range run;
	aero_frame from = 0;

	if (aero_frame_set_validate(&size->lent) || aero_frame_set_validate(&size->isolated) ||
	    check_flying(pages, size, &joining) || joining != size->joining ||
	    size->counters.inflated - size->counters.deflated != lent - joining)
		return AERO_EBUG;
	while (aero_frame_set_next(&size->isolated, from, UINT64_MAX, &run)) {
		if (aero_frame_set_count_in(&size->lent, run) != run.count)
			return AERO_EBUG;
		from = run.first + run.count;
	}
	return AERO_OK;
}

/* No frame is in two sets: blocks of one size do not cover frames of another. */
static enum aero_status check_apart(const struct aero_pages *pages, unsigned int large)
{
	const struct aero_pages_size *size = &pages->size[large];
	struct aero_range run;
	aero_frame from = 0;
	unsigned int i;

	while (aero_frame_set_next(&size->lent, from, UINT64_MAX, &run)) {
		for (i = 0; i < large; i++) {
			unsigned int shift = size->order - pages->size[i].order;
			struct aero_range part = { run.first << shift, run.count << shift };

			if (aero_frame_set_count_in(&pages->size[i].lent, part))
				return AERO_EBUG;
		}
		from = run.first + run.count;
	}
	return AERO_OK;
}

enum aero_status aero_pages_validate(const struct aero_pages *pages)
{
	unsigned int i;

	for (i = 0; i < pages->size_count; i++)
		if (check_size(pages, &pages->size[i]) || check_apart(pages, i))
			return AERO_EBUG;
	return AERO_OK;
}
