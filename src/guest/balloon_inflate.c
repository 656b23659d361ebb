/* SPDX-License-Identifier: MIT */
/* The engine: one batch on its way in. */
#include "balloon_internal.h"

/* How many blocks of the stage's size to ask for; 0: none fits, smaller ones are to be used. */
static uint32_t wanted(const struct aero_balloon *balloon, uint64_t frames, uint64_t room)
{
	uint64_t block = (uint64_t)1 << balloon->pages.size[balloon->stage].order;
	uint64_t left = aero_balloon_rate_left(balloon);

	if (frames > left)
		frames = left;
	/* The last block may pass the target where an excess is left alone, never the floor. */
	if (balloon->limits.slack_frames < block - 1 || room - frames < block - 1)
		frames &= ~(block - 1);
	return aero_balloon_blocks(balloon, balloon->stage, frames);
}

/* Fills a list: with frames of split blocks, then from the kernel. False: that has no more. */
static bool fill(struct aero_balloon *balloon, struct aero_pages_list *list, uint32_t blocks)
{
	struct aero_balloon_size_counters *counters = &balloon->counters.size[balloon->stage];
	bool is_large = balloon->stage;
	uint32_t asked, got;

	list->size = balloon->stage;
	list->count = is_large ? 0 : aero_balloon_pool_take(balloon, list->frames, blocks);
	asked = blocks - list->count;
	if (!asked)
		return true;
	got = aero_pages_alloc(&balloon->pages, list, balloon->stage,
			       is_large || !balloon->is_sleeping ? AERO_EFFORT_SPARE
								 : AERO_EFFORT_RECLAIM,
			       blocks);
	counters->allocs += got + (got < asked);
	counters->alloc_failures += got < asked;
	balloon->round_frames += (uint64_t)got << balloon->pages.size[balloon->stage].order;
	return got == asked;
}

static void back_off(struct aero_balloon *balloon)
{
	const struct aero_balloon_config *config = &balloon->config;

	balloon->backoff_ns *= 2;
	if (balloon->backoff_ns < config->backoff_min_ns)
		balloon->backoff_ns = config->backoff_min_ns;
	if (balloon->backoff_ns > config->backoff_max_ns)
		balloon->backoff_ns = config->backoff_max_ns;
	balloon->backoff_until_ns = aero_balloon_later(balloon->now_ns, balloon->backoff_ns);
	balloon->counters.backoffs++;
	balloon->stall = AERO_STALL_NO_MEMORY;
}

static bool is_refusing(const struct aero_balloon *balloon)
{
	return balloon->refused_now >= balloon->config.refusal_limit;
}

static void next_stage(struct aero_balloon *balloon)
{
	balloon->stage--;
	balloon->is_short = false;
	balloon->refused_now = 0;
}

/* No more of this size in this round: a smaller one, or its end. */
static enum aero_progress leave_stage(struct aero_balloon *balloon)
{
	if (balloon->is_round_ending)
		return AERO_PROGRESS_DONE;
	/* What is refused of these is to be split as well. */
	if (aero_balloon_flying(balloon, AERO_PAGES_JOINING))
		return AERO_PROGRESS_WAIT;
	if (balloon->stage) {
		aero_balloon_split(balloon, balloon->stage);
		next_stage(balloon);
		return AERO_PROGRESS_MORE;
	}
	if (is_refusing(balloon)) {
		balloon->stall = AERO_STALL_REFUSED;
		return AERO_PROGRESS_DONE;
	}
	balloon->is_short = false;
	if (aero_balloon_rate_failed(balloon))
		return AERO_PROGRESS_MORE;
	back_off(balloon);
	return AERO_PROGRESS_DONE;
}

/* Blocks that the core will not have: they are in the balloon, says its own record. */
static void reject(struct aero_balloon *balloon, struct aero_pages_list *list)
{
	const struct aero_port *port = balloon->config.port;

	if (port->log)
		port->log(
			port->ctx, AERO_LOG_ERROR,
			"balloon: the kernel gave a block twice, or one not aligned; all are lost");
	list->count = 0;
}

/* The core has no memory for a list: it goes back, and the round ends as if the kernel had none. */
static enum aero_progress give_up(struct aero_balloon *balloon, struct aero_pages_list *list)
{
	aero_pages_free(&balloon->pages, list);
	balloon->stage = 0;
	balloon->is_sleeping = true;
	balloon->is_short = true;
	return leave_stage(balloon);
}

/* Takes blocks from the kernel and offers them. */
static enum aero_progress offer(struct aero_balloon *balloon, struct aero_balloon_batch *batch,
				uint32_t blocks)
{
	enum aero_status status;

	balloon->is_short = !fill(balloon, &batch->list, blocks);
	if (batch->list.count) {
		status = aero_pages_join(&balloon->pages, &batch->list);
		if (status == AERO_ENOMEM)
			return give_up(balloon, &batch->list);
		if (status) {
			reject(balloon, &batch->list);
			back_off(balloon);
			return AERO_PROGRESS_DONE;
		}
		aero_balloon_submit(balloon, batch);
	}
	if (!balloon->is_short && !balloon->stage)
		balloon->backoff_ns = 0;
	return balloon->is_short || is_refusing(balloon) || balloon->is_round_ending
		       ? leave_stage(balloon)
		       : AERO_PROGRESS_MORE;
}

enum aero_progress aero_balloon_inflate(struct aero_balloon *balloon, uint64_t frames,
					uint64_t room)
{
	struct aero_balloon_batch *batch = aero_balloon_slot(balloon);
	uint32_t blocks = wanted(balloon, frames, room);

	/* Found out by answers that came late. */
	if (balloon->is_short || is_refusing(balloon))
		return leave_stage(balloon);
	if (!batch)
		return AERO_PROGRESS_WAIT;
	if (blocks)
		return offer(balloon, batch, blocks);
	if (balloon->stage && aero_balloon_rate_left(balloon)) {
		next_stage(balloon);
		return AERO_PROGRESS_MORE;
	}
	balloon->stall = AERO_STALL_RATE;
	return AERO_PROGRESS_DONE;
}
