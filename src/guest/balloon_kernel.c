/* SPDX-License-Identifier: MIT */
/* The engine: what a kernel does with a balloon, and what a balloon says of itself. */
#include "balloon_internal.h"

bool aero_balloon_isolate(struct aero_balloon *balloon, unsigned int order, aero_frame frame)
{
	/* Nothing moves now, and what is isolated would be waited for. */
	if (!balloon->is_started || balloon->is_reset_required)
		return false;
	return aero_pages_isolate(&balloon->pages, order, frame);
}

void aero_balloon_putback(struct aero_balloon *balloon, unsigned int order, aero_frame frame)
{
	aero_pages_putback(&balloon->pages, order, frame);
}

static enum aero_status migrate(struct aero_balloon *balloon, unsigned int order,
				aero_frame new_frame, aero_frame old_frame)
{
	const struct aero_channel_ops *channel = balloon->config.channel;
	enum aero_status status;

	if (!channel->exchange)
		return AERO_ENOTSUP;
	if (!aero_balloon_is_open(balloon))
		return AERO_EAGAIN;
	if (order >= 32 || !(balloon->limits.orders >> order & 1))
		return AERO_EINVAL;
	status = aero_pages_migrate(&balloon->pages, order, new_frame, old_frame, channel->exchange,
				    balloon->config.channel_ctx);
	if (status != AERO_ERESET)
		return status;
	balloon->is_reset_required = true;
	return AERO_EREFUSED;
}

enum aero_status aero_balloon_migrate(struct aero_balloon *balloon, unsigned int order,
				      aero_frame new_frame, aero_frame old_frame, bool *out_is_in)
{
	enum aero_status status;

	if (!aero_balloon_enter(balloon))
		return AERO_EAGAIN;
	status = migrate(balloon, order, new_frame, old_frame);
	if (!status)
		*out_is_in = aero_pages_has(&balloon->pages, order, new_frame);
	/* One less than there should be, and nobody else knows. */
	if (!status && !*out_is_in)
		balloon->poll_due_ns = 0;
	aero_balloon_exit(balloon);
	return status;
}

enum aero_status aero_balloon_freeze(struct aero_balloon *balloon)
{
	enum aero_status status = AERO_OK;

	if (!aero_balloon_enter(balloon))
		return AERO_EAGAIN;
	balloon->is_frozen = true;
	if (aero_balloon_flying(balloon, AERO_PAGES_RESTING))
		status = AERO_EAGAIN;
	aero_balloon_exit(balloon);
	return status;
}

void aero_balloon_thaw(struct aero_balloon *balloon)
{
	balloon->is_frozen = false;
	aero_balloon_notify(balloon);
}

void aero_balloon_inhibit(struct aero_balloon *balloon, bool is_inhibited)
{
	balloon->is_inhibited = is_inhibited;
	aero_balloon_notify(balloon);
}

enum aero_status aero_balloon_stop_inside(struct aero_balloon *balloon)
{
	const struct aero_balloon_config *config = &balloon->config;

	if (!balloon->is_stopped) {
		balloon->is_stopped = true;
		balloon->is_in_round = false;
		config->channel->disarm(config->channel_ctx);
		aero_balloon_collect(balloon);
		config->channel->stop(config->channel_ctx);
		balloon->is_started = false;
		balloon->stall = AERO_STALL_INHIBITED;
	}
	aero_balloon_collect(balloon);
	if (!aero_balloon_flying(balloon, AERO_PAGES_RESTING) && !aero_balloon_release(balloon) &&
	    !aero_balloon_pop(balloon) && !aero_balloon_frames(balloon))
		return AERO_OK;
	return AERO_EAGAIN;
}

enum aero_status aero_balloon_stop(struct aero_balloon *balloon)
{
	enum aero_status status;

	if (!aero_balloon_enter(balloon))
		return AERO_EAGAIN;
	status = aero_balloon_stop_inside(balloon);
	aero_balloon_exit(balloon);
	return status;
}

void aero_balloon_report(const struct aero_balloon *balloon, struct aero_balloon_report *out_report)
{
	unsigned int i;

	out_report->target_frames = balloon->target;
	out_report->actual_frames = aero_balloon_frames(balloon);
	out_report->metadata_bytes = aero_pages_bytes(&balloon->pages) +
				     (uint64_t)balloon->batch_count * AERO_FRAME_BYTES +
				     aero_frame_set_bytes(&balloon->pool);
	for (i = 0; i < AERO_PAGES_SIZES; i++)
		out_report->metadata_bytes += aero_frame_set_bytes(&balloon->refused[i]);
	out_report->backoff_ns = balloon->backoff_ns;
	out_report->rate = balloon->config.rates.is_limited ? balloon->rate : 0;
	out_report->stall = aero_balloon_shown(balloon);
	out_report->is_started = balloon->is_started;
	out_report->is_resetting = balloon->is_reset_required;
}

/* Nothing of a set that is held for the round is in the balloon. */
static enum aero_status check_held(const struct aero_balloon *balloon,
				   const struct aero_frame_set *set, unsigned int order)
{
	struct aero_range run;
	aero_frame from = 0;
	unsigned int i;

	if (aero_frame_set_validate(set))
		return AERO_EBUG;
	while (aero_frame_set_next(set, from, UINT64_MAX, &run)) {
		for (i = 0; i < balloon->pages.size_count; i++) {
			const struct aero_pages_size *size = &balloon->pages.size[i];
			aero_frame first = run.first << order;
			aero_frame end = ((run.first + run.count) << order) - 1;
			struct aero_range part = { first >> size->order, 0 };

			part.count = (end >> size->order) - part.first + 1;
			if (aero_frame_set_count_in(&size->lent, part))
				return AERO_EBUG;
		}
		from = run.first + run.count;
	}
	return AERO_OK;
}

enum aero_status aero_balloon_validate(const struct aero_balloon *balloon)
{
	unsigned int i, in_flight = 0;
	struct aero_pages_list *list;

	if (aero_pages_validate(&balloon->pages) || balloon->is_busy ||
	    check_held(balloon, &balloon->pool, balloon->pages.size[0].order))
		return AERO_EBUG;
	for (i = 0; i < balloon->pages.size_count; i++)
		if (check_held(balloon, &balloon->refused[i], balloon->pages.size[i].order))
			return AERO_EBUG;
	for (list = balloon->pages.flying; list; list = list->next)
		in_flight++;
	for (i = 0; i < balloon->batch_count; i++) {
		const struct aero_balloon_batch *batch = &balloon->batch[i];

		if (batch->is_flying != (batch->list.move != AERO_PAGES_RESTING))
			return AERO_EBUG;
		in_flight -= batch->is_flying;
	}
	/* Between rounds nothing is held back, and what counts as moving moves in batches. */
	if (in_flight || (!balloon->is_in_round && !balloon->is_reset_required &&
			  !balloon->is_stopped && aero_frame_set_count(&balloon->pool)))
		return AERO_EBUG;
	return AERO_OK;
}

const char *aero_stall_str(enum aero_stall stall)
{
	switch (stall) {
	case AERO_STALL_NONE:
		return "at target";
	case AERO_STALL_WORKING:
		return "moving";
	case AERO_STALL_SLACK:
		return "above the target by less than a block";
	case AERO_STALL_NO_MEMORY:
		return "the kernel has no memory to give, backing off";
	case AERO_STALL_FLOOR:
		return "the floor is reached";
	case AERO_STALL_RATE:
		return "the rate limit is reached";
	case AERO_STALL_COOLING:
		return "cooling down after memory was reclaimed";
	case AERO_STALL_REFUSED:
		return "the host refuses";
	case AERO_STALL_ISOLATED:
		return "the kernel is moving the frames that are left";
	case AERO_STALL_SILENT:
		return "the host does not answer";
	case AERO_STALL_RESET:
		return "the host reset the protocol";
	case AERO_STALL_UNSUPPORTED:
		return "the host cannot balloon";
	case AERO_STALL_LIMIT:
		return "the host cannot serve this much memory";
	case AERO_STALL_INHIBITED:
		return "turned off";
	}
	return "unknown stall";
}
