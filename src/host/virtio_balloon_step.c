/* SPDX-License-Identifier: MIT */
/* One bounded piece of work at a time: requests first, then discards. */
#include "virtio_balloon_internal.h"

static bool can_serve(const struct aero_virtio_balloon_queue *q)
{
	return q->is_started && q->is_enabled && q->ring.fault == AERO_VIRTIO_QUEUE_FAULT_NONE &&
	       q->role != ROLE(NONE) && q->role != ROLE(UNDECIDED);
}

static void trace(struct aero_virtio_balloon *dev, bool is_inflate, struct aero_range run)
{
	if (aero_unlikely(dev->config.ops->trace != NULL))
		dev->config.ops->trace(dev->config.ops_ctx, is_inflate, run);
}

static aero_cold void trace_frames(struct aero_virtio_balloon *dev, size_t count, bool is_inflate)
{
	struct aero_range run;
	size_t at = 0;

	while (at < count) {
		at += aero_ranges_scan(dev->chunk + at, count - at, &run);
		trace(dev, is_inflate, run);
	}
}

/* Hand the frames of one chunk of a request to the ledger. */
static void account_frames(struct aero_virtio_balloon *dev, size_t count, bool is_inflate)
{
	struct aero_range run;
	size_t at = 0;

	if (aero_unlikely(dev->config.ops->trace != NULL))
		trace_frames(dev, count, is_inflate);
	if (is_inflate)
		aero_ledger_give_frames(&dev->ledger, dev->chunk, count, dev->now_ns);
	while (!is_inflate && at < count) {
		at += aero_ranges_scan(dev->chunk + at, count - at, &run);
		(void)aero_ledger_take(&dev->ledger, run);
	}
	if (is_inflate && dev->inhibited)
		dev->counters.inhibited_frames += count;
}

static void swap_chunk(struct aero_virtio_balloon *dev, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		dev->chunk[i] = aero_swap32(dev->chunk[i], true);
}

/* Read the next frames of a request and account for them. */
static void serve_chunk(struct aero_virtio_balloon *dev, struct aero_virtio_balloon_queue *q,
			bool is_inflate)
{
	struct aero_virtio_balloon_counters *counters = &dev->counters;
	uint32_t len;
	size_t count;

	if (aero_virtio_queue_read(&q->ring, &q->chain, dev->chunk, sizeof(dev->chunk), &len) !=
	    AERO_OK) {
		aero_virtio_balloon_break(dev, q);
		return;
	}
	count = len / sizeof(dev->chunk[0]);
	counters->ragged_requests += len % sizeof(dev->chunk[0]) != 0;
	if (aero_unlikely(is_swapped(dev)))
		swap_chunk(dev, count);
	account_frames(dev, count, is_inflate);
	if (is_inflate)
		counters->inflate_frames += count;
	else
		counters->deflate_frames += count;
	/* A short read is the end of the request. */
	q->is_finishing = len < sizeof(dev->chunk);
}

/*
 * What has to happen before an inflate request is answered. Answers whether all of it has. When
 * collecting nothing has to: the guest may use a frame again only after the deflate request that
 * tells us so.
 */
static bool finish_inflate(struct aero_virtio_balloon *dev)
{
	if (dev->ledger.mode != AERO_DISCARD_REQUEST)
		return true;
	if (may_discard(dev) && aero_ledger_discard_rest(&dev->ledger))
		return false;
	aero_ledger_drop_rest(&dev->ledger);
	return true;
}

void aero_virtio_balloon_serve_frames(struct aero_virtio_balloon *dev,
				      struct aero_virtio_balloon_queue *q)
{
	static const struct aero_range end_of_request = { 0, 0 };
	bool is_inflate = q->role == ROLE(INFLATE);

	dev->has_answered = true;
	dev->was_last_deflate = !is_inflate;
	if (!q->is_finishing) {
		serve_chunk(dev, q, is_inflate);
		if (!q->is_finishing) {
			aero_virtio_balloon_note_progress(dev);
			return;
		}
		trace(dev, is_inflate, end_of_request);
		if (is_inflate)
			dev->counters.inflate_requests++;
		else
			dev->counters.deflate_requests++;
	}
	aero_virtio_balloon_note_progress(dev);
	if (!is_inflate || finish_inflate(dev))
		aero_virtio_balloon_answer(dev, q);
}

void aero_virtio_balloon_serve(struct aero_virtio_balloon *dev, struct aero_virtio_balloon_queue *q)
{
	switch (q->role) {
	case ROLE(INFLATE):
	case ROLE(DEFLATE):
		aero_virtio_balloon_serve_frames(dev, q);
		break;
	case ROLE(STATS):
		aero_virtio_balloon_serve_stats(dev, q);
		break;
	case ROLE(HINT):
		aero_virtio_balloon_serve_hint(dev, q);
		break;
	case ROLE(REPORTING):
		aero_virtio_balloon_serve_report(dev, q);
		break;
	default:
		/* Not reached: a queue without a role has no chain. */
		aero_virtio_balloon_answer(dev, q);
		break;
	}
}

/* Whether a queue holds a chain that is being worked on; a held statistics buffer is not. */
static bool is_busy(const struct aero_virtio_balloon_queue *q)
{
	return q->has_chain && q->role != ROLE(STATS);
}

/* Take the next chain of a queue. Answers whether there is one to serve. */
static bool take_chain(struct aero_virtio_balloon *dev, struct aero_virtio_balloon_queue *q)
{
	struct aero_virtio_chain chain;
	enum aero_status status = aero_virtio_queue_pop(&q->ring, &chain);

	if (status == AERO_EAGAIN && aero_virtio_queue_set_kicks(&q->ring, true))
		status = aero_virtio_queue_pop(&q->ring, &chain);
	if (status == AERO_EAGAIN) {
		q->has_work = false;
		return false;
	}
	if (status != AERO_OK) {
		aero_virtio_balloon_break(dev, q);
		return false;
	}
	if (q->has_chain) {
		/* A second statistics buffer: the driver may have one; the older goes back. */
		dev->counters.stats_extra_buffers++;
		aero_virtio_balloon_answer(dev, q);
		if (q->ring.fault != AERO_VIRTIO_QUEUE_FAULT_NONE)
			return false;
	}
	q->chain = chain;
	q->has_chain = true;
	q->is_finishing = false;
	return true;
}

/* Statistics were asked for while the device was paused, and the buffer is there. */
static bool is_stats_request_due(const struct aero_virtio_balloon *dev,
				 const struct aero_virtio_balloon_queue *q)
{
	return dev->are_stats_wanted && q->role == ROLE(STATS) && q->has_chain && !dev->is_quiesced;
}

/* Serve one piece of one queue, the queues taking turns. Answers whether there was any. */
static bool serve_one(struct aero_virtio_balloon *dev)
{
	unsigned int index = dev->turn;
	unsigned int i;

	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++, index++) {
		struct aero_virtio_balloon_queue *q;

		if (index >= AERO_VIRTIO_BALLOON_QUEUES)
			index = 0;
		q = &dev->queue[index];
		if ((!q->has_work && !q->has_chain) || !can_serve(q))
			continue;
		if (aero_unlikely(is_stats_request_due(dev, q))) {
			dev->are_stats_wanted = false;
			aero_virtio_balloon_answer(dev, q);
			return true;
		}
		if (!is_busy(q) && (!q->has_work || dev->is_quiesced))
			continue;
		if (!is_busy(q) && !take_chain(dev, q))
			continue;
		aero_virtio_balloon_serve(dev, q);
		dev->turn = is_busy(q) ? index : index + 1;
		return true;
	}
	return false;
}

/*
 * One discard, of whole blocks if there are any; incomplete ones from due on, or where they are not
 * to wait. Answers whether there was any.
 */
static bool discard_one(struct aero_virtio_balloon *dev, uint64_t due_ns)
{
	if (aero_ledger_discard_whole(&dev->ledger))
		return true;
	if ((dev->now_ns >= due_ns || dev->is_flush_wanted || dev->is_quiesced) &&
	    aero_ledger_discard_rest(&dev->ledger))
		return true;
	dev->is_flush_wanted = false;
	return false;
}

static bool is_drained(const struct aero_virtio_balloon *dev)
{
	unsigned int i;

	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		if (is_busy(&dev->queue[i]))
			return false;
	}
	return !can_collect(dev) || aero_ledger_due_ns(&dev->ledger) == AERO_NEVER;
}

/* Nothing to do while the device is to be at rest: tell once that it is. */
static uint64_t rest(struct aero_virtio_balloon *dev)
{
	if (!dev->is_drained_told && is_drained(dev)) {
		dev->is_drained_told = true;
		aero_virtio_balloon_emit(dev, EVENT(DRAINED), 0);
	}
	return AERO_NEVER;
}

/* Discard something, or say when there will be something to discard. */
static uint64_t collect(struct aero_virtio_balloon *dev)
{
	bool is_allowed = can_collect(dev);
	uint64_t due_ns = is_allowed ? aero_ledger_due_ns(&dev->ledger) : AERO_NEVER;

	if (is_allowed && discard_one(dev, due_ns))
		return dev->now_ns;
	if (dev->is_quiesced)
		return rest(dev);
	/* What was due and could not be discarded waits for other frames, not for a time. */
	return due_ns > dev->now_ns ? due_ns : AERO_NEVER;
}

/* A driver with many requests in flight must not keep us from ever discarding. */
static bool is_backlogged(const struct aero_virtio_balloon *dev)
{
	const struct aero_ledger *ledger = &dev->ledger;

	return (ledger->ready_run.count + aero_frame_set_count(&ledger->ready))
		       << ledger->block_order >=
	       AERO_LEDGER_DISCARD_FRAMES;
}

uint64_t aero_virtio_balloon_host_step(struct aero_virtio_balloon *dev, uint64_t now_ns)
{
	dev->now_ns = now_ns;
	if (dev->has_moved) {
		dev->has_moved = false;
		dev->progress_ns = now_ns;
	}
	if (is_backlogged(dev) && can_collect(dev) && aero_ledger_discard_whole(&dev->ledger))
		return now_ns;
	if (is_live(dev) && serve_one(dev))
		return now_ns;
	return collect(dev);
}

/* Which way the balloon is to go, and does not. */
static enum aero_host_stall why_stalled(const struct aero_virtio_balloon *dev, uint64_t now_ns)
{
	bool is_growing = config_get(dev, CONFIG_TARGET) > dev->actual;

	if (is_growing && dev->has_answered && dev->was_last_deflate)
		return AERO_HOST_STALL_SHRINKING;
	if (dev->has_moved || now_ns < dev->progress_ns + dev->config.silent_ns)
		return AERO_HOST_STALL_WORKING;
	/* A guest can be short of memory to give, not of memory to take. */
	return is_growing && dev->has_answered ? AERO_HOST_STALL_SHORT : AERO_HOST_STALL_SILENT;
}

static enum aero_host_stall find_stall(const struct aero_virtio_balloon *dev, uint64_t now_ns)
{
	if (!is_live(dev))
		return config_get(dev, CONFIG_TARGET) ? AERO_HOST_STALL_NO_DRIVER
						      : AERO_HOST_STALL_NONE;
	if (config_get(dev, CONFIG_TARGET) == dev->actual)
		return AERO_HOST_STALL_NONE;
	if (dev->is_quiesced)
		return AERO_HOST_STALL_PAUSED;
	if (dev->status & AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET)
		return AERO_HOST_STALL_BROKEN;
	return why_stalled(dev, now_ns);
}

void aero_virtio_balloon_host_report(const struct aero_virtio_balloon *dev, uint64_t now_ns,
				     struct aero_virtio_balloon_report *out_report)
{
	memset(out_report, 0, sizeof(*out_report));
	out_report->target_frames = config_get(dev, CONFIG_TARGET);
	out_report->actual_frames = dev->actual;
	out_report->ledger_frames = aero_ledger_held(&dev->ledger);
	out_report->pending_frames = aero_ledger_pending(&dev->ledger);
	out_report->ledger_bytes = aero_ledger_bytes(&dev->ledger);
	out_report->stall = find_stall(dev, now_ns);
	out_report->inhibited = dev->inhibited;
	out_report->is_live = is_live(dev);
	out_report->is_quiesced = dev->is_quiesced;
	out_report->is_drained = dev->is_quiesced && is_drained(dev);
	out_report->mode = dev->ledger.mode;
	out_report->hint_state = dev->hint_state;
	out_report->hint_command = config_get(dev, CONFIG_HINT);
	out_report->poison_value = config_get(dev, CONFIG_POISON);
	out_report->accepted = dev->accepted;
}
