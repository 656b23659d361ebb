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

/* All that the pass has goes back, what the device still has when that is answered. */
static void end_pass(struct aero_virtio_balloon_guest *drv)
{
	drv->is_report_passing = false;
	drv->report.is_returning = true;
	drv->report_due_ns = aero_balloon_later(drv->now_ns, drv->config.reporting.delay_ns);
}

/* What the device had is answered, one way or the other. */
static void answer(struct aero_virtio_balloon_guest *drv, bool is_reported)
{
	const struct aero_virtio_balloon_guest_config *config = &drv->config;
	const struct aero_port *port = drv->config.balloon.port;
	unsigned int count = drv->report_count;

	drv->report_count = 0;
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
	drv->is_report_passing = false;
	drv->report.is_returning = true;
}

/* Gives what report_range says to the device, as one chain. */
static bool send(struct aero_virtio_balloon_guest *drv)
{
	struct aero_virtio_guest_buffer *buffers = drv->report_buffer;
	struct aero_virtio_guest_chain chain = { buffers, drv->report_count, 0, NULL, 0 };
	uint64_t frames = 0;
	unsigned int i;

	for (i = 0; i < drv->report_count; i++) {
		buffers[i].gpa = drv->report_range[i].first << AERO_FRAME_SHIFT;
		buffers[i].len = (uint32_t)drv->report_range[i].count << AERO_FRAME_SHIFT;
		buffers[i].is_writable = true;
		frames += drv->report_range[i].count;
	}
	if (aero_virtio_guest_queue_give(&drv->queue[REPORTING].queue, &chain))
		return false;
	aero_vb_kick(drv, REPORTING);
	drv->counters.reports++;
	drv->counters.report_blocks += drv->report_count;
	drv->counters.report_frames += frames;
	return true;
}

/* Blocks in one request: a ring entry each. */
static uint32_t capacity(const struct aero_virtio_balloon_guest *drv)
{
	uint32_t size = drv->queue[REPORTING].queue.config.size;

	return size < AERO_VIRTIO_BALLOON_GUEST_REPORT_MAX ? size
							   : AERO_VIRTIO_BALLOON_GUEST_REPORT_MAX;
}

/* Whether ranges can be one request: a chain has 32 bits for its length. */
static bool are_ranges_sane(const struct aero_range *ranges, size_t count)
{
	uint64_t left = FRAMES_MAX;
	size_t i;

	for (i = 0; i < count; i++) {
		if (!ranges[i].count || ranges[i].count > left)
			return false;
		left -= ranges[i].count;
	}
	return true;
}

enum aero_status aero_virtio_balloon_guest_report_free(struct aero_virtio_balloon_guest *drv,
						       const struct aero_range *ranges,
						       size_t count)
{
	size_t i;

	if (!drv->queue[REPORTING].is_there || !drv->config.reported || !drv->is_live)
		return AERO_ENOTSUP;
	if (!count || count > capacity(drv) || !are_ranges_sane(ranges, count))
		return AERO_EINVAL;
	if (drv->report_count)
		return AERO_EAGAIN;
	for (i = 0; i < count; i++)
		drv->report_range[i] = ranges[i];
	drv->report_count = (unsigned int)count;
	drv->is_report_pushed = true;
	if (send(drv))
		return AERO_OK;
	drv->report_count = 0;
	return AERO_EAGAIN;
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
	uint64_t whole = drv->report_left >> drv->report.order;
	uint32_t most = capacity(drv), fitting = FRAMES_MAX >> drv->report.order, i;

	most = fitting < most ? fitting : most;
	most = whole < most ? (uint32_t)whole : most;
	if (!most)
		return false;
	drv->report_count = (unsigned int)port->alloc(port->ctx, drv->report.order,
						      AERO_EFFORT_SPARE, drv->report_block, most);
	if (!drv->report_count)
		return false;
	drv->is_report_pushed = false;
	for (i = 0; i < drv->report_count; i++) {
		drv->report_range[i].first = drv->report_block[i];
		drv->report_range[i].count = (uint64_t)1 << drv->report.order;
	}
	drv->report_left -= (uint64_t)drv->report_count << drv->report.order;
	if (send(drv))
		return true;
	answer(drv, false);
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

uint64_t aero_vb_report_frames(const struct aero_virtio_balloon_guest *drv)
{
	uint64_t frames = aero_vb_loan_frames(&drv->report);
	unsigned int i;

	for (i = 0; i < drv->report_count; i++)
		frames += drv->report_range[i].count;
	return frames;
}

uint64_t aero_vb_report_step(struct aero_virtio_balloon_guest *drv)
{
	struct aero_virtio_balloon_guest_queue *queue = &drv->queue[REPORTING];
	uint64_t now_ns = drv->now_ns;
	uint16_t token;

	if (!queue->is_there)
		return aero_vb_loan_go_on(drv, &drv->report) ? now_ns : AERO_NEVER;
	if (aero_vb_take(drv, REPORTING, &token) && drv->report_count)
		answer(drv, true);
	pull(drv);
	if (aero_vb_loan_go_on(drv, &drv->report))
		return now_ns;
	if (drv->report_count)
		return aero_virtio_guest_queue_interrupt_after(&queue->queue, 1) ? now_ns
										 : AERO_NEVER;
	if (drv->is_report_passing)
		return now_ns;
	if (!drv->config.reporting.is_pulling)
		return AERO_NEVER;
	return drv->report_due_ns < now_ns ? now_ns : drv->report_due_ns;
}
