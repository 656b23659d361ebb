/* SPDX-License-Identifier: MIT */
/*
 * The driver of virtio's balloon: reports of free pages.
 *
 * Pushed: the kernel hands free blocks over and gets them back with the answer. Pulled: in a pass
 * the driver borrows free blocks, reports them and keeps them, so that the allocator does not give
 * them again, until nothing is free any more or the budget is used up; then all go back at once.
 */
#include "virtio_balloon_internal.h"

#define ORDER_MAX 19u
/* In one request. */
#define FRAMES_MAX (UINT32_MAX >> AERO_FRAME_SHIFT)

bool aero_vb_report_choose(struct aero_virtio_balloon_guest *drv)
{
	uint32_t orders = drv->config.balloon.port->orders & ((2u << AERO_ORDER_2M) - 1);
	unsigned int order = drv->config.reporting.order;

	/* Where a page is larger than that, pages. */
	if (!orders)
		orders = drv->config.balloon.port->orders & (0 - drv->config.balloon.port->orders);
	drv->report.order = order ? order : aero_high_bit(orders);
	return drv->report.order <= ORDER_MAX;
}

void aero_vb_report_yield(struct aero_virtio_balloon_guest *drv, uint64_t delay_ns)
{
	uint64_t due_ns = aero_balloon_later(drv->now_ns, delay_ns);

	drv->is_report_passing = false;
	drv->report.is_returning = true;
	if (due_ns > drv->report_due_ns)
		drv->report_due_ns = due_ns;
}

/* All that the pass has goes back, what the device still has when that is answered. */
static aero_noinline void end_pass(struct aero_virtio_balloon_guest *drv)
{
	aero_vb_report_yield(drv, drv->config.reporting.delay_ns);
}

/* What the device had is answered, one way or the other. */
static void answer(struct aero_virtio_balloon_guest *drv, bool is_reported)
{
	const struct aero_virtio_balloon_guest_config *config = &drv->config;
	const struct aero_port *port = drv->config.balloon.port;
	unsigned int count = drv->report_count;

	drv->report_count = 0;
	drv->report_frames = 0;
	drv->report_silent_ns = 0;
	drv->balloon.is_silent_beside = false;
	if (drv->is_report_pushed) {
		config->reported(config->reported_ctx, drv->report_range, count, is_reported);
		return;
	}
	if (!is_reported)
		port->free(port->ctx, drv->report.order, drv->report_block, count);
	else if (!aero_vb_loan_add(drv, &drv->report, drv->report_block, count) ||
		 !drv->is_report_passing)
		end_pass(drv);
}

void aero_vb_report_reset(struct aero_virtio_balloon_guest *drv)
{
	if (drv->report_count)
		answer(drv, false);
	aero_vb_report_yield(drv, 0);
}

/* Gives what report_range says to the device, as one chain. */
static enum aero_status send(struct aero_virtio_balloon_guest *drv, uint32_t count, bool is_pushed)
{
	struct aero_virtio_guest_buffer *buffer = drv->report_buffer;
	struct aero_virtio_guest_chain chain = { buffer, count, 0, NULL, 0 };
	const struct aero_range *range = drv->report_range;
	enum aero_status status;
	uint64_t frames = 0;
	uint32_t i;

	for (i = 0; i < count; i++, range++, buffer++) {
		buffer->gpa = range->first << AERO_FRAME_SHIFT;
		/* None is refused, and so is what 32 bits cannot say. */
		buffer->len =
			range->count > FRAMES_MAX ? 0 : (uint32_t)range->count << AERO_FRAME_SHIFT;
		buffer->is_writable = true;
		frames += range->count;
	}
	status = aero_virtio_guest_queue_give(&drv->queue[REPORTING].queue, &chain);
	if (status)
		return status;
	drv->report_count = count;
	drv->report_frames = frames;
	drv->is_report_pushed = is_pushed;
	aero_vb_kick(drv, REPORTING);
	drv->counters.reports++;
	drv->counters.report_blocks += count;
	drv->counters.report_frames += frames;
	return AERO_OK;
}

uint32_t aero_vb_report_capacity(const struct aero_virtio_balloon_guest *drv)
{
	const struct aero_virtio_balloon_guest_queue *queue = &drv->queue[REPORTING];
	uint32_t size = queue->is_there ? queue->queue.config.size : 0;

	return size < AERO_VIRTIO_BALLOON_GUEST_REPORT_MAX ? size
							   : AERO_VIRTIO_BALLOON_GUEST_REPORT_MAX;
}

static enum aero_status push(struct aero_virtio_balloon_guest *drv, const struct aero_range *ranges,
			     size_t count)
{
	uint32_t most = aero_vb_report_capacity(drv);

	if (!most || !drv->config.reported || !drv->is_live)
		return AERO_ENOTSUP;
	if (count > most)
		return AERO_EINVAL;
	if (drv->report_count)
		return AERO_EAGAIN;
	memcpy(drv->report_range, ranges, count * sizeof(*ranges));
	return send(drv, (uint32_t)count, true);
}

enum aero_status aero_virtio_balloon_guest_report_free(struct aero_virtio_balloon_guest *drv,
						       const struct aero_range *ranges,
						       size_t count)
{
	enum aero_status status;

	if (!aero_balloon_enter(&drv->balloon))
		return AERO_EAGAIN;
	status = push(drv, ranges, count);
	aero_balloon_exit(&drv->balloon);
	return status;
}

static void begin_pass(struct aero_virtio_balloon_guest *drv)
{
	uint64_t budget = drv->config.reporting.budget_bytes;

	aero_vb_report_choose(drv);
	drv->is_report_passing = true;
	drv->report_left = budget ? budget >> AERO_FRAME_SHIFT : UINT64_MAX;
	drv->counters.report_passes++;
}

/* The next blocks of a pass; false: its end. */
static bool borrow(struct aero_virtio_balloon_guest *drv)
{
	const struct aero_port *port = drv->config.balloon.port;
	unsigned int order = drv->report.order;
	uint64_t most = drv->report_left < FRAMES_MAX ? drv->report_left : FRAMES_MAX;
	uint32_t count = aero_vb_report_capacity(drv), i;

	most >>= order;
	count = most < count ? (uint32_t)most : count;
	if (count)
		count = (uint32_t)port->alloc(port->ctx, order, AERO_EFFORT_SPARE,
					      drv->report_block, count);
	if (!count)
		return false;
	for (i = 0; i < count; i++) {
		drv->report_range[i].first = drv->report_block[i];
		drv->report_range[i].count = (uint64_t)1 << order;
	}
	drv->report_left -= (uint64_t)count << order;
	if (!send(drv, count, false))
		return true;
	port->free(port->ctx, order, drv->report_block, count);
	return false;
}

/* One request of a pass. */
static void pull(struct aero_virtio_balloon_guest *drv)
{
	bool is_pulling = drv->config.reporting.is_pulling;
	bool is_short = drv->balloon.stall == AERO_STALL_NO_MEMORY;
	/* What is free is the balloon's first. */
	bool is_moving = is_short || drv->balloon.stall == AERO_STALL_WORKING;

	if (drv->report_count || drv->report.is_returning)
		return;
	if (!drv->is_report_passing) {
		if (!is_pulling || drv->now_ns < drv->report_due_ns)
			return;
		if (!is_moving)
			begin_pass(drv);
	}
	if (!drv->is_report_passing || !is_pulling || is_short || !borrow(drv))
		end_pass(drv);
}

bool aero_vb_report_make_way(struct aero_virtio_balloon_guest *drv)
{
	if (drv->is_report_passing)
		end_pass(drv);
	return aero_frame_set_is_empty(&drv->report.held);
}

/*
 * When a report that is with the device is looked at again. One that is not answered in time ends
 * the pass; what the device has may not be used, it may throw it away at any time.
 */
static uint64_t await(struct aero_virtio_balloon_guest *drv)
{
	if (aero_virtio_guest_queue_interrupt_after(&drv->queue[REPORTING].queue, 1))
		return drv->now_ns;
	if (drv->now_ns >= drv->report_silent_ns) {
		if (drv->report_silent_ns) {
			drv->balloon.is_silent_beside = true;
			aero_vb_report_make_way(drv);
		}
		drv->report_silent_ns =
			aero_balloon_later(drv->now_ns, drv->balloon.config.silent_ns);
	}
	return drv->report_silent_ns;
}

uint64_t aero_vb_report_step(struct aero_virtio_balloon_guest *drv)
{
	uint64_t now_ns = drv->now_ns, due = AERO_NEVER;
	uint16_t token;

	if (drv->queue[REPORTING].is_there) {
		if (aero_vb_take(drv, REPORTING, &token))
			answer(drv, true);
		pull(drv);
		if (drv->report_count)
			due = await(drv);
		else if (drv->config.reporting.is_pulling)
			due = drv->report_due_ns;
	}
	if (aero_vb_loan_go_on(drv, &drv->report) || due < now_ns)
		return now_ns;
	return due;
}
