/* SPDX-License-Identifier: MIT */
/* The page core: its lock, and memory for its sets, which is fetched without it. */
#include "pages_internal.h"

/* Spare nodes kept, so that a balloon that moves up and down asks the port for nothing. */
#define SPARES_KEPT 4

void aero_pages_lock(struct aero_pages *pages)
{
	const struct aero_port *port = pages->port;

	if (port->lock)
		pages->lock_state = port->lock(port->ctx);
}

void aero_pages_unlock(struct aero_pages *pages)
{
	const struct aero_port *port = pages->port;

	if (port->unlock)
		port->unlock(port->ctx, pages->lock_state);
}

bool aero_pages_enter(struct aero_pages *pages, bool *is_busy)
{
	bool is_free;

	aero_pages_lock(pages);
	is_free = !*is_busy;
	*is_busy = true;
	aero_pages_unlock(pages);
	return is_free;
}

void aero_pages_exit(struct aero_pages *pages, bool *is_busy)
{
	aero_pages_lock(pages);
	*is_busy = false;
	aero_pages_unlock(pages);
}

static void *spare_get(void *ctx)
{
	struct aero_pages *pages = ctx;
	void *page = pages->spare;

	if (!page)
		return NULL;
	aero_copy(&pages->spare, page, sizeof(pages->spare));
	pages->spare_count--;
	return page;
}

static void spare_put(void *ctx, void *page)
{
	struct aero_pages *pages = ctx;

	aero_copy(page, &pages->spare, sizeof(pages->spare));
	pages->spare = page;
	pages->spare_count++;
}

void aero_pages_set_init(struct aero_pages *pages, struct aero_frame_set *set)
{
	struct aero_node_source nodes = { pages, spare_get, spare_put };

	aero_frame_set_init(set, &nodes);
}

enum aero_status aero_pages_refill(struct aero_pages *pages)
{
	void *page = pages->port->page_get(pages->port->ctx);

	if (!page)
		return AERO_ENOMEM;
	aero_pages_lock(pages);
	spare_put(pages, page);
	aero_pages_unlock(pages);
	return AERO_OK;
}

void aero_pages_trim_to(struct aero_pages *pages, unsigned int kept)
{
	while (pages->spare_count > kept) {
		void *page = NULL;

		aero_pages_lock(pages);
		if (pages->spare_count > kept)
			page = spare_get(pages);
		aero_pages_unlock(pages);
		if (page)
			pages->port->page_put(pages->port->ctx, page);
	}
}

void aero_pages_trim(struct aero_pages *pages)
{
	aero_pages_trim_to(pages, SPARES_KEPT);
}

enum aero_status aero_pages_insert(struct aero_pages *pages, struct aero_frame_set *set,
				   struct aero_range blocks)
{
	enum aero_status status;
	uint64_t done;

	for (;;) {
		/* Of a single block the insertion itself tells whether it was there before. */
		if (blocks.count > 1 && aero_frame_set_count_in(set, blocks))
			return AERO_EINVAL;
		status = aero_frame_set_insert(set, blocks, &done);
		if (aero_likely(done == blocks.count))
			return AERO_OK;
		if (status != AERO_ENOMEM)
			return AERO_EINVAL;
		/* From the beginning: while memory is fetched the lock is not held. */
		aero_frame_set_remove(set, (struct aero_range){ blocks.first, done });
		aero_pages_unlock(pages);
		status = aero_pages_refill(pages);
		aero_pages_lock(pages);
		if (status)
			return status;
	}
}

uint32_t aero_pages_keep(struct aero_pages *pages, struct aero_frame_set *set, unsigned int order,
			 const aero_frame *frames, uint32_t count)
{
	aero_pages_lock(pages);
	while (count) {
		struct aero_range one = { frames[count - 1] >> order, 1 };

		if (aero_pages_insert(pages, set, one))
			break;
		count--;
	}
	aero_pages_unlock(pages);
	return count;
}
