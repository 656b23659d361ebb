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

bool aero_pages_isolate(struct aero_pages *pages, unsigned int order, aero_frame frame)
{
	struct aero_pages_size *size = aero_pages_find(pages, order, frame);
	enum aero_status status = AERO_OK;
	struct aero_range one;
	bool is_done = false;
	uintptr_t state;
	uint64_t added;

	if (!size)
		return false;
	one.first = aero_pages_block(size, frame);
	one.count = 1;
	do {
		/* Everything is looked at again after memory was fetched without the lock. */
		if (status && aero_pages_refill(pages))
			return false;
		status = AERO_OK;
		state = aero_pages_lock(pages);
		if (has(&size->lent, size, frame) && !is_flying(pages, size, frame)) {
			status = aero_frame_set_insert(&size->isolated, one, &added);
			is_done = !status && added;
		}
		aero_pages_unlock(pages, state);
	} while (status == AERO_ENOMEM);
	return is_done;
}

void aero_pages_putback(struct aero_pages *pages, unsigned int order, aero_frame frame)
{
	struct aero_pages_size *size = aero_pages_find(pages, order, frame);
	uintptr_t state;

	if (!size)
		return;
	state = aero_pages_lock(pages);
	drop(&size->isolated, size, frame);
	aero_pages_unlock(pages, state);
	aero_pages_trim(pages);
}

/* The new block is in flight, so that nothing else touches it while the host is told. */
static enum aero_status prepare(struct aero_pages *pages, struct aero_pages_size *size,
				struct aero_pages_list *list, aero_frame old_frame)
{
	struct aero_range one = { aero_pages_block(size, list->frames[0]), 1 };
	uintptr_t state = aero_pages_lock(pages);
	enum aero_status status = AERO_EINVAL;
	uint64_t done;

	if (has(&size->isolated, size, old_frame) && !has(&size->lent, size, list->frames[0])) {
		aero_pages_fly(pages, list, AERO_PAGES_JOINING);
		list->lowest = list->highest = list->frames[0];
		status = aero_pages_insert(pages, &size->lent, one, &done, &state);
		if (status)
			aero_pages_land(pages, list);
		else
			size->joining++;
	}
	aero_pages_unlock(pages, state);
	return status == AERO_ENOMEM ? AERO_EAGAIN : status;
}

/* What came of it at the host becomes true here. */
static void settle(struct aero_pages *pages, struct aero_pages_size *size,
		   struct aero_pages_list *list, aero_frame old_frame, enum aero_status status)
{
	uintptr_t state = aero_pages_lock(pages);

	if (status)
		drop(&size->lent, size, list->frames[0]);
	if (!status || status == AERO_ENOENT) {
		drop(&size->lent, size, old_frame);
		drop(&size->isolated, size, old_frame);
		size->counters.migrated += !status;
		size->counters.deflated += status == AERO_ENOENT;
	}
	size->joining--;
	aero_pages_land(pages, list);
	aero_pages_unlock(pages, state);
}

enum aero_status aero_pages_migrate(struct aero_pages *pages, unsigned int order,
				    aero_frame new_frame, aero_frame old_frame,
				    aero_pages_exchange exchange, void *ctx)
{
	struct aero_pages_size *size = aero_pages_find(pages, order, new_frame | old_frame);
	struct aero_pages_list list;
	enum aero_status status;

	if (!size)
		return AERO_EINVAL;
	aero_pages_list_init(&list, &new_frame);
	list.size = (unsigned int)(size - pages->size);
	list.count = 1;
	status = prepare(pages, size, &list, old_frame);
	if (status)
		return status;
	status = exchange(ctx, order, new_frame, old_frame);
	/* Marked while nobody else can move it. */
	if (!status)
		aero_pages_mark(pages, order, &new_frame, 1, true);
	settle(pages, size, &list, old_frame, status);
	aero_pages_trim(pages);
	if (status && status != AERO_ENOENT)
		return status;
	aero_pages_mark(pages, order, &old_frame, 1, false);
	return AERO_OK;
}

bool aero_pages_has(const struct aero_pages *pages, unsigned int order, aero_frame frame)
{
	unsigned int i;

	for (i = 0; i < pages->size_count; i++)
		if (pages->size[i].order == order && !(frame & (((aero_frame)1 << order) - 1)))
			return has(&pages->size[i].lent, &pages->size[i], frame);
	return false;
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
