/* SPDX-License-Identifier: MIT */
/* The engine: batches on their way out, asked for by the host, by the kernel, or by a reset. */
#include "balloon_internal.h"

static bool is_any_isolated(const struct aero_balloon *balloon)
{
	unsigned int i;

	for (i = 0; i < balloon->pages.size_count; i++)
		if (!aero_frame_set_is_empty(&balloon->pages.size[i].isolated))
			return true;
	return false;
}

void aero_balloon_rewind(struct aero_balloon *balloon)
{
	struct aero_range rest;
	unsigned int i;

	for (i = 0; i < balloon->pages.size_count; i++) {
		struct aero_pages_size *size = &balloon->pages.size[i];

		/* Behind those that were refused there may be others. */
		if (balloon->stall != AERO_STALL_REFUSED ||
		    !aero_frame_set_next(&size->lent, size->cursor, 1, &rest))
			size->cursor = 0;
	}
}

/* More than is to go, and the host wants exactly that much. */
static bool is_block_too_large(const struct aero_balloon *balloon, uint64_t frames)
{
	return balloon->stage && !balloon->limits.slack_frames &&
	       frames >> balloon->pages.size[balloon->stage].order == 0;
}

/* How many blocks of the stage's size are to go: where exactly so much is to go, none too many. */
static uint32_t wanted(const struct aero_balloon *balloon, uint64_t frames)
{
	uint32_t blocks = aero_balloon_blocks(balloon, balloon->stage, frames);
	unsigned int order = balloon->pages.size[balloon->stage].order;

	if (balloon->stage && !balloon->limits.slack_frames && blocks > 1 &&
	    (uint64_t)blocks << order > frames)
		blocks--;
	return blocks;
}

/*
 * Nothing is found any more. Blocks that lie between those in flight were passed over; when these
 * are answered all is looked at once more.
 */
static enum aero_progress look_again(struct aero_balloon *balloon)
{
	if (aero_balloon_flying(balloon, AERO_PAGES_RESTING)) {
		balloon->has_passed_over = true;
		return AERO_PROGRESS_WAIT;
	}
	if (balloon->has_passed_over && !balloon->is_second_look) {
		balloon->is_second_look = true;
		aero_pages_rewind(&balloon->pages);
		balloon->stage = 0;
		return AERO_PROGRESS_MORE;
	}
	balloon->stall = is_any_isolated(balloon) ? AERO_STALL_ISOLATED : AERO_STALL_REFUSED;
	return AERO_PROGRESS_DONE;
}

enum aero_progress aero_balloon_deflate(struct aero_balloon *balloon, uint64_t frames)
{
	struct aero_balloon_batch *batch = aero_balloon_slot(balloon);
	uint32_t blocks = wanted(balloon, frames), found;

	if (!batch)
		return AERO_PROGRESS_WAIT;
	if (is_block_too_large(balloon, frames) &&
	    aero_pages_break(&balloon->pages, &batch->list, balloon->stage)) {
		balloon->stage = 0;
		return AERO_PROGRESS_MORE;
	}
	found = aero_pages_leave(&balloon->pages, &batch->list, balloon->stage, blocks);
	if (found) {
		aero_balloon_submit(balloon, batch);
		if (balloon->is_round_ending)
			return AERO_PROGRESS_DONE;
	}
	if (found == blocks && (batch->is_flying || !batch->list.refused_count))
		return AERO_PROGRESS_MORE;
	if (balloon->stage + 1 < balloon->size_limit) {
		balloon->stage++;
		return AERO_PROGRESS_MORE;
	}
	return look_again(balloon);
}

bool aero_balloon_pop(struct aero_balloon *balloon)
{
	struct aero_balloon_batch *batch = aero_balloon_slot(balloon);
	unsigned int i;

	for (i = 0; batch && i < balloon->pages.size_count; i++) {
		struct aero_pages_list *list = &batch->list;

		if (!aero_pages_dequeue(&balloon->pages, list, i, AERO_PAGES_LIST_MAX))
			continue;
		balloon->counters.size[i].freed += list->count;
		aero_pages_free(&balloon->pages, list);
		return true;
	}
	return false;
}

/* Blocks of one size until enough frames are tried; answers how many frames came. */
static uint64_t reclaim_size(struct aero_balloon *balloon, unsigned int size, uint64_t *frames)
{
	unsigned int order = balloon->pages.size[size].order;
	struct aero_balloon_batch *batch;
	uint64_t freed = 0, tried;
	uint32_t found, blocks;

	while (*frames && !balloon->is_reset_required) {
		batch = aero_balloon_slot(balloon);
		if (!batch)
			break;
		blocks = aero_balloon_blocks(balloon, size, *frames);
		found = aero_pages_leave(&balloon->pages, &batch->list, size, blocks);
		if (!found)
			break;
		freed += (uint64_t)aero_balloon_submit(balloon, batch) << order;
		tried = (uint64_t)found << order;
		*frames -= tried < *frames ? tried : *frames;
		if (found < blocks)
			break;
	}
	return freed;
}

static uint64_t reclaim(struct aero_balloon *balloon, enum aero_reclaim kind, uint64_t frames)
{
	unsigned int i, count = balloon->size_limit;
	bool was_ending = balloon->is_round_ending;
	uint64_t freed = 0;

	balloon->counters.reclaims++;
	aero_pages_rewind(&balloon->pages);
	for (i = 0; i < count; i++)
		freed += reclaim_size(balloon, kind == AERO_RECLAIM_OOM ? count - 1 - i : i,
				      &frames);
	aero_pages_rewind(&balloon->pages);
	balloon->counters.reclaimed_frames += freed;
	balloon->cool_until_ns = aero_balloon_later(balloon->now_ns, balloon->config.cooldown_ns);
	/* What is missing now is fetched again then, without anybody asking. */
	if (balloon->cool_until_ns < balloon->poll_due_ns)
		balloon->poll_due_ns = balloon->cool_until_ns;
	balloon->is_round_ending = was_ending;
	return freed;
}

/* Whether it is of no use to call again after a step: nothing is there, or nothing moves. */
static bool is_in_vain(const struct aero_balloon *balloon, uint64_t now_ns)
{
	return balloon->is_frozen || balloon->is_stopped || aero_balloon_is_empty(balloon) ||
	       now_ns >= aero_balloon_silent_due(balloon);
}

enum aero_status aero_balloon_reclaim_inside(struct aero_balloon *balloon, enum aero_reclaim kind,
					     uint64_t frames, uint64_t now_ns, uint64_t *out_frames)
{
	enum aero_status status = AERO_EAGAIN;

	*out_frames = 0;
	if (aero_balloon_is_open(balloon) && aero_balloon_slot(balloon)) {
		balloon->now_ns = now_ns;
		*out_frames = reclaim(balloon, kind, frames);
		if (aero_balloon_flush(balloon))
			aero_balloon_notify(balloon);
		status = *out_frames || !frames || aero_balloon_flying(balloon, AERO_PAGES_LEAVING)
				 ? AERO_OK
				 : AERO_EREFUSED;
	}
	return frames && !*out_frames && is_in_vain(balloon, now_ns) ? AERO_EREFUSED : status;
}

enum aero_status aero_balloon_reclaim(struct aero_balloon *balloon, enum aero_reclaim kind,
				      uint64_t frames, uint64_t now_ns, uint64_t *out_frames)
{
	enum aero_status status;

	*out_frames = 0;
	if (!aero_balloon_enter(balloon))
		return AERO_EAGAIN;
	status = aero_balloon_reclaim_inside(balloon, kind, frames, now_ns, out_frames);
	aero_balloon_exit(balloon);
	return status;
}

uint64_t aero_balloon_frames(const struct aero_balloon *balloon)
{
	return aero_pages_frames(&balloon->pages);
}
