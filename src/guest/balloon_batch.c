/* SPDX-License-Identifier: MIT */
/* The engine: batches on their way, and frames that are held for the length of a round. */
#include "balloon_internal.h"

/* Blocks of one size in a batch at most. */
static uint32_t batch_blocks(const struct aero_balloon *balloon, unsigned int order)
{
	uint32_t most = balloon->limits.batch_blocks;
	uint32_t blocks = balloon->limits.batch_frames >> order;

	if (!balloon->limits.batch_frames || blocks > most)
		return most;
	return blocks ? blocks : 1;
}

uint32_t aero_balloon_blocks(const struct aero_balloon *balloon, unsigned int size, uint64_t frames)
{
	unsigned int order = balloon->pages.size[size].order;
	uint64_t whole = frames >> order, blocks = whole + (whole << order != frames);
	uint32_t most = batch_blocks(balloon, order);

	return blocks < most ? (uint32_t)blocks : most;
}

struct aero_balloon_batch *aero_balloon_slot(struct aero_balloon *balloon)
{
	unsigned int i;

	/* There may be more than this start of the protocol has negotiated. */
	for (i = 0; i < balloon->batch_count && i < balloon->limits.in_flight; i++)
		if (!balloon->batch[i].is_flying)
			return &balloon->batch[i];
	return NULL;
}

bool aero_balloon_add_slots(struct aero_balloon *balloon, uint32_t count)
{
	const struct aero_port *port = balloon->config.port;

	if (count > balloon->config.batches)
		count = balloon->config.batches;
	while (balloon->batch_count < count) {
		void *page = port->page_get(port->ctx);

		if (!page)
			break;
		aero_pages_list_init(&balloon->batch[balloon->batch_count++].list, page);
	}
	return balloon->batch_count;
}

uint64_t aero_balloon_flying(const struct aero_balloon *balloon, enum aero_pages_move move)
{
	uint64_t frames = 0;
	unsigned int i;

	for (i = 0; i < balloon->batch_count; i++) {
		const struct aero_pages_list *list = &balloon->batch[i].list;

		if (balloon->batch[i].is_flying &&
		    (move == AERO_PAGES_RESTING || list->move == move))
			frames += (uint64_t)list->count << balloon->pages.size[list->size].order;
	}
	return frames;
}

bool aero_balloon_is_empty(const struct aero_balloon *balloon)
{
	unsigned int i;

	for (i = 0; i < balloon->pages.size_count; i++)
		if (!aero_frame_set_is_empty(&balloon->refused[i]))
			return false;
	return aero_frame_set_is_empty(&balloon->pool) && !aero_balloon_frames(balloon) &&
	       !aero_balloon_flying(balloon, AERO_PAGES_RESTING);
}

static void free_refused(struct aero_balloon *balloon, struct aero_pages_list *list)
{
	balloon->counters.size[list->size].refused_freed += list->count;
	aero_pages_free(&balloon->pages, list);
}

/* Keeps what the host refused until the round ends, so that the kernel does not offer it again. */
static void keep_refused(struct aero_balloon *balloon, struct aero_pages_list *list)
{
	balloon->refused_now += list->count;
	list->count =
		aero_pages_keep(&balloon->pages, &balloon->refused[list->size],
				balloon->pages.size[list->size].order, list->frames, list->count);
	free_refused(balloon, list);
}

/* The host has answered for a batch. Answers how many of its blocks went. */
static uint32_t finish(struct aero_balloon *balloon, struct aero_balloon_batch *batch,
		       enum aero_status status)
{
	struct aero_pages_list *list = &batch->list;
	struct aero_balloon_size_counters *counters = &balloon->counters.size[list->size];
	uint32_t went, i;

	batch->is_flying = false;
	if (status) {
		balloon->is_round_ending = true;
		balloon->stall = AERO_STALL_REFUSED;
		for (i = 0; i < list->count; i++)
			aero_pages_refuse(list, i);
	}
	if (status == AERO_ERESET) {
		balloon->is_reset_required = true;
		balloon->stall = AERO_STALL_RESET;
	}
	counters->refused += list->refused_count;
	if (list->move == AERO_PAGES_JOINING) {
		went = aero_pages_joined(&balloon->pages, list);
		if (list->count)
			keep_refused(balloon, list);
	} else {
		went = aero_pages_left(&balloon->pages, list);
		counters->freed += went;
		aero_pages_free(&balloon->pages, list);
	}
	return went;
}

uint32_t aero_balloon_submit(struct aero_balloon *balloon, struct aero_balloon_batch *batch)
{
	enum aero_status status;

	batch->since_ns = balloon->now_ns;
	batch->is_flying = true;
	status = balloon->config.channel->submit(balloon->config.channel_ctx, batch);
	return status == AERO_EAGAIN ? 0 : finish(balloon, batch, status);
}

void aero_balloon_collect(struct aero_balloon *balloon)
{
	const struct aero_channel_ops *channel = balloon->config.channel;
	struct aero_balloon_batch *batch;
	enum aero_status status;

	while (channel->complete) {
		batch = channel->complete(balloon->config.channel_ctx, &status);
		if (!batch)
			break;
		finish(balloon, batch, status);
	}
}

uint32_t aero_balloon_pool_take(struct aero_balloon *balloon, aero_frame *out, uint32_t count)
{
	if (aero_frame_set_is_empty(&balloon->pool))
		return 0;
	return aero_pages_take(&balloon->pages, &balloon->pool, balloon->pages.size[0].order, out,
			       count);
}

/* The block's pages, one by one, or false where there is no memory to remember them. */
static bool split_block(struct aero_balloon *balloon, unsigned int order, aero_frame first)
{
	const struct aero_port *port = balloon->config.port;
	unsigned int page = balloon->pages.size[0].order;
	struct aero_range parts = { first >> page, (uint64_t)1 << (order - page) };
	enum aero_status status;

	aero_pages_lock(&balloon->pages);
	status = aero_pages_insert(&balloon->pages, &balloon->pool, parts);
	aero_pages_unlock(&balloon->pages);
	if (!status && port->split)
		port->split(port->ctx, order, first);
	return !status;
}

void aero_balloon_split(struct aero_balloon *balloon, unsigned int size)
{
	const struct aero_port *port = balloon->config.port;
	unsigned int order = balloon->pages.size[size].order;
	aero_frame block;

	while (aero_pages_take(&balloon->pages, &balloon->refused[size], order, &block, 1)) {
		if (split_block(balloon, order, block))
			continue;
		balloon->counters.size[size].refused_freed++;
		port->free(port->ctx, order, &block, 1);
	}
}

bool aero_balloon_release(struct aero_balloon *balloon)
{
	struct aero_balloon_batch *slot = aero_balloon_slot(balloon);
	struct aero_pages_list *list;
	unsigned int i;

	if (!slot)
		return false;
	list = &slot->list;
	for (i = 0; i < balloon->pages.size_count; i++) {
		list->size = i;
		list->count = aero_pages_take(&balloon->pages, &balloon->refused[i],
					      balloon->pages.size[i].order, list->frames,
					      AERO_PAGES_LIST_MAX);
		if (list->count) {
			free_refused(balloon, list);
			return true;
		}
	}
	list->size = 0;
	list->count = aero_balloon_pool_take(balloon, list->frames, AERO_PAGES_LIST_MAX);
	if (!list->count)
		return false;
	aero_pages_free(&balloon->pages, list);
	return true;
}
