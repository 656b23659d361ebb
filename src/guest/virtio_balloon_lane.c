/* SPDX-License-Identifier: MIT */
/*
 * The driver of virtio's balloon: batches become requests, several in flight.
 *
 *	batch of the engine --> waiting --> written into requests --> all answered --> done
 *
 * A batch may be many requests, and a request is a part of one batch. Without MUST_TELL_HOST a
 * batch that leaves is done when it is written; what is given afterwards waits until the device has
 * seen that, because it may look at its queues in any order.
 */
#include "virtio_balloon_internal.h"

/* The wire has 32 bits for a frame number. */
#define FRAME_END ((aero_frame)1 << 32)
/* A migration waits for its answer this often: some milliseconds. */
#define EXCHANGE_POLLS (1u << 20)

/* Memory for one more; some requests share a page, others have several. */
static bool add_request(struct aero_virtio_balloon_guest *drv,
			struct aero_virtio_balloon_guest_lane *lane)
{
	const struct aero_port *port = drv->config.balloon.port;
	struct aero_virtio_balloon_guest_request *request = &lane->request[lane->count];
	uint32_t i;

	request->is_flying = false;
	if (lane->count % drv->requests_per_page) {
		request->part[0] = request[-1].part[0] +
				   (size_t)drv->request_frames * AERO_VIRTIO_BALLOON_PFN_BYTES;
		lane->count++;
		return true;
	}
	for (i = 0; i < drv->request_pages; i++) {
		request->part[i] = port->page_get(port->ctx);
		if (request->part[i])
			continue;
		while (i--)
			port->page_put(port->ctx, request->part[i]);
		return false;
	}
	lane->count++;
	return true;
}

bool aero_vb_get_requests(struct aero_virtio_balloon_guest *drv,
			  struct aero_virtio_balloon_guest_lane *lane)
{
	uint32_t size = drv->queue[lane->role].queue.config.size, most = drv->config.requests;
	uint32_t entries = aero_vb_has(drv, TRANSPORT(INDIRECT_DESC)) ? 1 : drv->request_pages;

	lane->frames = drv->request_frames;
	/* A ring that is smaller than a request makes that smaller. */
	if (entries > size) {
		entries = size;
		lane->frames = drv->first_room + (size - 1) * AERO_VB_PAGE_FRAMES;
	}
	while (most * entries > size)
		most--;
	while (lane->count < most && add_request(drv, lane))
		;
	/* Of an earlier start there may be more. */
	lane->usable = lane->count < most ? lane->count : most;
	return lane->usable;
}

void aero_vb_put_requests(struct aero_virtio_balloon_guest *drv,
			  struct aero_virtio_balloon_guest_lane *lane)
{
	const struct aero_port *port = drv->config.balloon.port;
	uint32_t share = drv->requests_per_page, i;

	while (lane->count) {
		lane->count--;
		for (i = 0; !(lane->count % share) && i < drv->request_pages; i++)
			port->page_put(port->ctx, lane->request[lane->count].part[i]);
	}
}

/* Requests ----------------------------------------------------------------------------------- */

/* What of a request's memory is filled, as buffers for the device. */
static uint32_t cut(const struct aero_virtio_balloon_guest *drv,
		    const struct aero_virtio_balloon_guest_request *request, uint32_t frames,
		    struct aero_virtio_guest_buffer *out)
{
	uint32_t room = drv->first_room, count = 0;

	while (frames) {
		uint32_t part = frames < room ? frames : room;

		out[count].gpa = aero_vb_gpa(drv, request->part[count]);
		out[count].len = part * AERO_VIRTIO_BALLOON_PFN_BYTES;
		out[count].is_writable = false;
		count++;
		frames -= part;
		room = AERO_VB_PAGE_FRAMES;
	}
	return count;
}

static bool give(struct aero_virtio_balloon_guest *drv, struct aero_virtio_balloon_guest_lane *lane,
		 struct aero_virtio_balloon_guest_request *request, uint32_t frames)
{
	struct aero_virtio_guest_buffer buffers[AERO_VIRTIO_BALLOON_GUEST_REQUEST_PAGES_MAX];
	struct aero_virtio_guest_chain chain = { .buffers = buffers };

	chain.token = (uint16_t)(request - lane->request);
	chain.count = cut(drv, request, frames, buffers);
	if (chain.count > 1 && aero_vb_has(drv, TRANSPORT(INDIRECT_DESC))) {
		chain.table = request->part[0] + AERO_FRAME_BYTES - AERO_VB_TABLE_BYTES;
		chain.table_gpa = aero_vb_gpa(drv, chain.table);
	}
	if (aero_virtio_guest_queue_give(&drv->queue[lane->role].queue, &chain))
		return false;
	request->is_flying = true;
	lane->flying++;
	if (lane->role == INFLATE)
		drv->counters.inflate_requests++;
	else
		drv->counters.deflate_requests++;
	return true;
}

static void finish(struct aero_virtio_balloon_guest *drv, uint8_t batch)
{
	drv->done[drv->done_count++] = batch;
}

static aero_noinline void drop_waiting(struct aero_virtio_balloon_guest_lane *lane)
{
	unsigned int i;

	lane->waiting_count--;
	for (i = 0; i < lane->waiting_count; i++)
		lane->waiting[i] = lane->waiting[i + 1];
	lane->block = 0;
	lane->frame = 0;
}

/* Whether the device has to see something else first. */
static bool is_held_up(const struct aero_virtio_balloon_guest *drv,
		       const struct aero_virtio_balloon_guest_lane *lane)
{
	const struct aero_virtio_balloon_guest_lane *out = &drv->lane[DEFLATE];

	return lane != out && !aero_vb_has(drv, FEATURE(MUST_TELL_HOST)) &&
	       (out->flying || out->waiting_count);
}

/* One request of the oldest batch that waits. False: there is no room for it. */
static bool write_request(struct aero_virtio_balloon_guest *drv,
			  struct aero_virtio_balloon_guest_lane *lane)
{
	uint8_t number = lane->waiting[0];
	struct aero_balloon_batch *batch = &drv->balloon.batch[number];
	bool is_told = lane->role == INFLATE || aero_vb_has(drv, FEATURE(MUST_TELL_HOST));
	struct aero_virtio_balloon_guest_request *request;
	unsigned int order = drv->balloon.pages.size[batch->list.size].order;
	struct aero_vb_writer writer;
	bool is_whole;

	request = aero_vb_open_request(drv, lane, &writer);
	is_whole = aero_vb_write_batch(&writer, lane, &batch->list, order);
	if (writer.written) {
		request->batch = is_told ? number : NO_BATCH;
		/* The ring has an entry for each request; one that has not is broken. */
		if (!give(drv, lane, request, writer.written)) {
			aero_balloon_require_reset(&drv->balloon);
			return false;
		}
		batch->tag += is_told;
	}
	if (is_whole) {
		drop_waiting(lane);
		if (!batch->tag)
			finish(drv, number);
	}
	return true;
}

static void pump(struct aero_virtio_balloon_guest *drv, struct aero_virtio_balloon_guest_lane *lane)
{
	if (!drv->is_live || is_held_up(drv, lane))
		return;
	while (lane->waiting_count && lane->flying < lane->usable)
		if (!write_request(drv, lane))
			break;
	/* Nothing more goes in now: the device is to begin. */
	if (lane->flying == lane->usable)
		aero_vb_kick(drv, lane->role);
}

void aero_vb_release(struct aero_virtio_balloon_guest *drv,
		     struct aero_virtio_balloon_guest_lane *lane, uint32_t number)
{
	struct aero_virtio_balloon_guest_request *request = &lane->request[number];
	uint8_t batch = request->batch;

	request->is_flying = false;
	lane->flying--;
	if (batch == NO_BATCH || --drv->balloon.batch[batch].tag)
		return;
	if (!lane->waiting_count || lane->waiting[0] != batch)
		finish(drv, batch);
}

/* Answers how many requests have come back. */
static uint32_t take_back(struct aero_virtio_balloon_guest *drv,
			  struct aero_virtio_balloon_guest_lane *lane)
{
	uint32_t count = 0;
	uint16_t token;

	for (; aero_vb_take(drv, lane->role, &token); count++)
		aero_vb_release(drv, lane, token);
	return count;
}

static void poll(struct aero_virtio_balloon_guest *drv)
{
	struct aero_virtio_balloon_guest_lane *in = &drv->lane[INFLATE], *out = &drv->lane[DEFLATE];

	take_back(drv, out);
	take_back(drv, in);
	pump(drv, out);
	pump(drv, in);
}

void aero_vb_end_waiting(struct aero_virtio_balloon_guest *drv,
			 struct aero_virtio_balloon_guest_lane *lane)
{
	while (lane->waiting_count) {
		finish(drv, lane->waiting[0]);
		drop_waiting(lane);
	}
}

/* The channel -------------------------------------------------------------------------------- */

/* Marks blocks whose numbers the wire has no room for. */
static void refuse_high(const struct aero_virtio_balloon_guest *drv, struct aero_pages_list *list)
{
	uint64_t frames = (uint64_t)1 << drv->balloon.pages.size[list->size].order;
	uint32_t i;

	if (list->highest + frames <= FRAME_END)
		return;
	for (i = 0; i < list->count; i++)
		if (list->frames[i] + frames > FRAME_END)
			aero_pages_refuse(list, i);
}

enum aero_status aero_vb_submit(void *ctx, struct aero_balloon_batch *batch)
{
	struct aero_virtio_balloon_guest *drv = ctx;
	bool is_joining = batch->list.move == AERO_PAGES_JOINING;
	struct aero_virtio_balloon_guest_lane *lane = &drv->lane[INFLATE];
	uint8_t number = (uint8_t)(batch - drv->balloon.batch);

	if (!drv->is_live)
		return AERO_ERESET;
	if (!is_joining)
		lane = &drv->lane[DEFLATE];
	batch->tag = 0;
	/* A resize begins: it is worth a word of its own only if it lasts. */
	if (aero_balloon_frames(&drv->balloon) == drv->actual)
		drv->actual_due_ns = aero_balloon_later(drv->now_ns, drv->config.actual_ns);
	if (is_joining)
		refuse_high(drv, &batch->list);
	lane->waiting[lane->waiting_count++] = number;
	pump(drv, lane);
	if (!drv->done_count || drv->done[drv->done_count - 1] != number)
		return AERO_EAGAIN;
	drv->done_count--;
	return AERO_OK;
}

struct aero_balloon_batch *aero_vb_complete(void *ctx, enum aero_status *out_status)
{
	struct aero_virtio_balloon_guest *drv = ctx;

	if (!drv->done_count && drv->is_live)
		poll(drv);
	if (!drv->done_count)
		return NULL;
	*out_status = drv->is_live ? AERO_OK : AERO_ERESET;
	return &drv->balloon.batch[drv->done[--drv->done_count]];
}

static void write_actual(struct aero_virtio_balloon_guest *drv)
{
	uint32_t actual = (uint32_t)aero_balloon_frames(&drv->balloon);

	if (drv->is_actual_known && actual == drv->actual)
		return;
	drv->actual = actual;
	drv->is_actual_known = true;
	drv->actual_due_ns = aero_balloon_later(drv->now_ns, drv->config.actual_ns);
	aero_vb_write_field(drv, offsetof(struct aero_virtio_balloon_wire_config, actual), actual);
}

void aero_vb_tell_progress(struct aero_virtio_balloon_guest *drv)
{
	if (drv->is_live && drv->now_ns >= drv->actual_due_ns)
		write_actual(drv);
}

/* Nothing waits and nothing is with the device. */
static aero_noinline bool is_idle(const struct aero_virtio_balloon_guest *drv)
{
	const struct aero_virtio_balloon_guest_lane *in = &drv->lane[INFLATE];
	const struct aero_virtio_balloon_guest_lane *out = &drv->lane[DEFLATE];

	return !in->flying && !out->flying && !in->waiting_count && !out->waiting_count;
}

/* True: answers have come meanwhile. */
static bool flush_lane(struct aero_virtio_balloon_guest *drv,
		       const struct aero_virtio_balloon_guest_lane *lane)
{
	aero_vb_kick(drv, lane->role);
	/* Half of them at a time, so that the device always has something to do. */
	return lane->flying && aero_virtio_guest_queue_interrupt_after(
				       &drv->queue[lane->role].queue, (lane->flying + 1) / 2);
}

bool aero_vb_flush(void *ctx)
{
	struct aero_virtio_balloon_guest *drv = ctx;
	bool is_answered;

	if (!drv->is_live)
		return false;
	is_answered = flush_lane(drv, &drv->lane[INFLATE]);
	is_answered |= flush_lane(drv, &drv->lane[DEFLATE]);
	if (is_idle(drv) || drv->now_ns >= drv->actual_due_ns)
		write_actual(drv);
	return is_answered;
}

/* One request of one block, waited for. */
static enum aero_status send_and_wait(struct aero_virtio_balloon_guest *drv,
				      struct aero_virtio_balloon_guest_lane *lane,
				      unsigned int order, aero_frame frame, bool is_waiting)
{
	struct aero_virtio_balloon_guest_request *request;
	struct aero_vb_writer writer;
	uint32_t polls;

	request = aero_vb_open_request(drv, lane, &writer);
	aero_vb_write_run(&writer, frame, (uint64_t)1 << order);
	request->batch = NO_BATCH;
	if (!give(drv, lane, request, writer.written))
		return AERO_EAGAIN;
	aero_vb_kick(drv, lane->role);
	for (polls = 0; is_waiting && polls < EXCHANGE_POLLS && !drv->balloon.is_reset_required;
	     polls++)
		if (take_back(drv, lane))
			return AERO_OK;
	return is_waiting ? AERO_ETIMEDOUT : AERO_OK;
}

enum aero_status aero_vb_exchange(void *ctx, unsigned int order, aero_frame new_frame,
				  aero_frame old_frame)
{
	struct aero_virtio_balloon_guest *drv = ctx;
	enum aero_status status;

	if (new_frame + ((uint64_t)1 << order) > FRAME_END ||
	    (uint64_t)1 << order > drv->lane[INFLATE].frames ||
	    (uint64_t)1 << order > drv->lane[DEFLATE].frames)
		return AERO_ENOTSUP;
	if (!drv->is_live || !is_idle(drv))
		return AERO_EAGAIN;
	status = send_and_wait(drv, &drv->lane[INFLATE], order, new_frame, true);
	if (!status)
		status = send_and_wait(drv, &drv->lane[DEFLATE], order, old_frame,
				       aero_vb_has(drv, FEATURE(MUST_TELL_HOST)));
	if (!status)
		return AERO_OK;
	/* The device may have both, or none: it is made to let go. */
	drv->counters.exchange_timeouts++;
	aero_vb_disarm(drv);
	return AERO_ERESET;
}

static bool is_lane_sane(const struct aero_virtio_balloon_guest *drv, unsigned int index)
{
	const struct aero_virtio_balloon_guest_lane *lane = &drv->lane[index];
	uint32_t flying = 0, i;

	for (i = 0; i < lane->count; i++)
		flying += lane->request[i].is_flying;
	return flying == lane->flying && lane->usable <= lane->count &&
	       (!drv->queue[index].is_there || drv->queue[index].queue.in_flight == flying);
}

enum aero_status aero_virtio_balloon_guest_validate(const struct aero_virtio_balloon_guest *drv)
{
	unsigned int role;

	if (aero_balloon_validate(&drv->balloon) || !is_lane_sane(drv, INFLATE) ||
	    !is_lane_sane(drv, DEFLATE) || aero_frame_set_validate(&drv->hint.held) ||
	    aero_frame_set_validate(&drv->report.held))
		return AERO_EBUG;
	for (role = 0; role < AERO_VIRTIO_BALLOON_GUEST_QUEUES; role++)
		if (drv->queue[role].is_there &&
		    aero_virtio_guest_queue_validate(&drv->queue[role].queue))
			return AERO_EBUG;
	return AERO_OK;
}
