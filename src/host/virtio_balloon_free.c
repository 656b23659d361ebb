/* SPDX-License-Identifier: MIT */
/*
 * Free memory that is not in the balloon: hints (for a migration to leave out) and reports (to
 * discard). A reported page is the device's until the buffer is used. A hinted page is not: the
 * driver may take it back before the hint is read, so a hint is never a reason to discard.
 */
#include "virtio_balloon_internal.h"

/* The whole frames of a buffer; none where its address cannot be one. */
static struct aero_range segment_frames(const struct aero_virtio_segment *segment)
{
	aero_gpa end = segment->gpa + segment->len;
	struct aero_range range = { 0, 0 };

	if (segment->gpa >> AERO_FRAME_SHIFT >= AERO_FRAME_LIMIT)
		return range;
	range.first = (segment->gpa + AERO_FRAME_BYTES - 1) >> AERO_FRAME_SHIFT;
	if (end >> AERO_FRAME_SHIFT > range.first)
		range.count = (end >> AERO_FRAME_SHIFT) - range.first;
	return range;
}

/* Whether all of a range is guest memory. */
static bool is_all_ram(const struct aero_virtio_balloon *dev, struct aero_range range)
{
	const struct aero_host_memory *memory = dev->config.memory;

	return range.count && range.first < AERO_FRAME_LIMIT &&
	       range.count <= AERO_FRAME_LIMIT - range.first &&
	       memory->is_ram(memory->ctx, range) == range.count;
}

static void set_hint_state(struct aero_virtio_balloon *dev, enum aero_hint_state state)
{
	dev->hint_state = state;
	aero_virtio_balloon_emit(dev, EVENT(HINT), state);
}

/* The driver sent a command id: the round's, or the end of it. */
static void take_hint_command(struct aero_virtio_balloon *dev, uint32_t command)
{
	if (command == dev->hint_command && dev->hint_state == AERO_HINT_REQUESTED)
		set_hint_state(dev, AERO_HINT_ACTIVE);
	else if (command == AERO_VIRTIO_BALLOON_HINT_STOP && dev->hint_state == AERO_HINT_ACTIVE)
		set_hint_state(dev, AERO_HINT_ENDED);
}

static void take_hint(struct aero_virtio_balloon *dev, const struct aero_virtio_segment *segment)
{
	struct aero_range range = segment_frames(segment);

	if (dev->hint_state != AERO_HINT_ACTIVE || !is_all_ram(dev, range)) {
		dev->counters.hint_stale_buffers++;
		return;
	}
	dev->counters.hint_buffers++;
	dev->counters.hint_bytes += range.count << AERO_FRAME_SHIFT;
	if (dev->config.ops->hint)
		dev->config.ops->hint(dev->config.ops_ctx, range);
}

/* Read a command id of 4 bytes. Answers false where the chain has none. */
static bool read_command(struct aero_virtio_balloon *dev, struct aero_virtio_balloon_queue *q,
			 uint32_t *out_command)
{
	uint32_t len;

	if (aero_virtio_queue_read(&q->ring, &q->chain, dev->chunk, 4, &len) != AERO_OK)
		return false;
	*out_command = aero_swap32(aero_get_le32(dev->chunk), is_guest_big(dev));
	return len == 4;
}

/* Buffers of a hint that are looked at in one piece of work. */
#define HINTS_PER_STEP 64

void aero_virtio_balloon_serve_hint(struct aero_virtio_balloon *dev,
				    struct aero_virtio_balloon_queue *q)
{
	struct aero_virtio_segment segment;
	enum aero_status status = AERO_OK;
	unsigned int n;
	uint32_t command;

	if (!q->is_finishing && read_command(dev, q, &command))
		take_hint_command(dev, command);
	q->is_finishing = true;
	for (n = 0; n < HINTS_PER_STEP && status == AERO_OK; n++) {
		status = aero_virtio_queue_next_segment(&q->ring, &q->chain, &segment);
		if (status == AERO_OK && segment.is_writable)
			take_hint(dev, &segment);
	}
	if (status == AERO_ENOENT)
		aero_virtio_balloon_answer(dev, q);
	else if (status != AERO_OK)
		aero_virtio_balloon_break(dev, q);
}

/* A report may be discarded: the guest must not expect to find its own pattern there. */
static bool may_discard_report(const struct aero_virtio_balloon *dev)
{
	if (!may_discard(dev) || dev->config.mode == AERO_DISCARD_NONE)
		return false;
	return !is_accepted(dev, AERO_VIRTIO_BALLOON_F_PAGE_POISON) ||
	       !config_get(dev, CONFIG_POISON);
}

/* Only whole pages of the backing. */
static struct aero_range align_inward(const struct aero_virtio_balloon *dev,
				      struct aero_range range)
{
	uint64_t size = 1ull << dev->config.memory->backing.discard_order;
	aero_frame end = (range.first + range.count) & ~(size - 1);

	range.first = (range.first + size - 1) & ~(size - 1);
	range.count = end > range.first ? end - range.first : 0;
	return range;
}

static void discard_report(struct aero_virtio_balloon *dev, struct aero_virtio_balloon_queue *q)
{
	const struct aero_host_memory *memory = dev->config.memory;
	uint64_t limit = 1ull << memory->backing.discard_order;
	struct aero_range range = q->rest;
	uint64_t asked;
	uint64_t freed = 0;

	if (limit < AERO_LEDGER_DISCARD_FRAMES)
		limit = AERO_LEDGER_DISCARD_FRAMES;
	if (range.count > limit)
		range.count = limit;
	/* Much may have changed since the range was taken. */
	if (!may_discard_report(dev) || !is_all_ram(dev, range)) {
		dev->counters.report_skipped_ranges++;
		q->rest.count = 0;
		return;
	}
	q->rest.first += range.count;
	q->rest.count -= range.count;
	asked = range.count << AERO_FRAME_SHIFT;
	dev->counters.report_discards++;
	if (memory->discard(memory->ctx, range, &freed) != AERO_OK)
		dev->counters.report_discard_failures++;
	else
		dev->counters.report_freed_bytes += freed < asked ? freed : asked;
}

static void take_report(struct aero_virtio_balloon *dev, struct aero_virtio_balloon_queue *q,
			const struct aero_virtio_segment *segment)
{
	struct aero_range range = segment_frames(segment);

	dev->counters.report_ranges++;
	dev->counters.report_bytes += segment->len;
	if (!segment->is_writable || !may_discard_report(dev) || !is_all_ram(dev, range)) {
		dev->counters.report_skipped_ranges++;
		return;
	}
	q->rest = align_inward(dev, range);
}

/* One discard, or one range of the report, per call. */
void aero_virtio_balloon_serve_report(struct aero_virtio_balloon *dev,
				      struct aero_virtio_balloon_queue *q)
{
	struct aero_virtio_segment segment;
	enum aero_status status;

	if (q->rest.count) {
		discard_report(dev, q);
		return;
	}
	status = aero_virtio_queue_next_segment(&q->ring, &q->chain, &segment);
	if (status == AERO_OK) {
		take_report(dev, q, &segment);
	} else if (status == AERO_ENOENT) {
		dev->counters.reports++;
		aero_virtio_balloon_answer(dev, q);
	} else {
		aero_virtio_balloon_break(dev, q);
	}
}

/* Show a command id to the driver. */
static void show_command(struct aero_virtio_balloon *dev, uint32_t command)
{
	config_set(dev, CONFIG_HINT, command);
	aero_virtio_balloon_notify_config(dev);
}

static enum aero_status check_hinting(const struct aero_virtio_balloon *dev)
{
	if (!is_live(dev))
		return AERO_ESTATE;
	return is_accepted(dev, AERO_VIRTIO_BALLOON_F_FREE_PAGE_HINT) ? AERO_OK : AERO_ENOTSUP;
}

enum aero_status aero_virtio_balloon_host_hint_start(struct aero_virtio_balloon *dev)
{
	enum aero_status status = check_hinting(dev);

	if (status != AERO_OK)
		return status;
	if (dev->hint_state == AERO_HINT_REQUESTED || dev->hint_state == AERO_HINT_ACTIVE)
		return AERO_ESTATE;
	/* Ids wrap after 2^32 rounds, far from any that the driver can still be at. */
	dev->hint_command++;
	if (dev->hint_command < AERO_VIRTIO_BALLOON_HINT_ROUND_MIN)
		dev->hint_command = AERO_VIRTIO_BALLOON_HINT_ROUND_MIN;
	dev->counters.hint_rounds++;
	dev->counters.hint_bytes = 0;
	set_hint_state(dev, AERO_HINT_REQUESTED);
	show_command(dev, dev->hint_command);
	return AERO_OK;
}

enum aero_status aero_virtio_balloon_host_hint_stop(struct aero_virtio_balloon *dev)
{
	enum aero_status status = check_hinting(dev);

	if (status != AERO_OK)
		return status;
	if (dev->hint_state == AERO_HINT_STOPPED || dev->hint_state == AERO_HINT_DONE)
		return AERO_ESTATE;
	set_hint_state(dev, AERO_HINT_STOPPED);
	show_command(dev, AERO_VIRTIO_BALLOON_HINT_STOP);
	return AERO_OK;
}

enum aero_status aero_virtio_balloon_host_hint_done(struct aero_virtio_balloon *dev)
{
	enum aero_status status = check_hinting(dev);

	if (status != AERO_OK)
		return status;
	set_hint_state(dev, AERO_HINT_DONE);
	show_command(dev, AERO_VIRTIO_BALLOON_HINT_DONE);
	return AERO_OK;
}
