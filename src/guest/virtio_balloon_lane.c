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

#define PAGE_FRAMES (AERO_FRAME_BYTES / AERO_VIRTIO_BALLOON_PFN_BYTES)
#define TABLE_BYTES (AERO_VIRTIO_BALLOON_GUEST_REQUEST_PAGES_MAX * 16u)
/* The wire has 32 bits for a frame number. */
#define FRAME_END ((aero_frame)1 << 32)
/* A migration waits for its answer this often: some milliseconds. */
#define EXCHANGE_POLLS (1u << 20)

typedef uint64_t __attribute__((may_alias)) frame_pair;

/* Where numbers are written: a request, part by part. */
struct writer {
	uint8_t *const *part;
	uint32_t *at;
	uint32_t room; /* in this part */
	uint32_t rest; /* in all of the request */
	uint32_t written;
};

static uint32_t per_page(const struct aero_virtio_balloon_guest *drv)
{
	return drv->request_pages > 1 ? 1 : PAGE_FRAMES / drv->request_frames;
}

/* Numbers in the first page of a request. */
static uint32_t first_room(const struct aero_virtio_balloon_guest *drv)
{
	return drv->request_pages > 1 ? PAGE_FRAMES - TABLE_BYTES / 4 : PAGE_FRAMES;
}

/* Memory for one more; some requests share a page, others have several. */
static bool add_request(struct aero_virtio_balloon_guest *drv,
			struct aero_virtio_balloon_guest_lane *lane)
{
	const struct aero_port *port = drv->balloon.config.port;
	struct aero_virtio_balloon_guest_request *request = &lane->request[lane->count];
	uint32_t i;

	request->is_flying = false;
	if (lane->count % per_page(drv)) {
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

bool aero_vb_get_requests(struct aero_virtio_balloon_guest *drv, unsigned int index)
{
	struct aero_virtio_balloon_guest_lane *lane = &drv->lane[index];
	uint32_t size = drv->queue[index].queue.config.size, most = drv->config.requests;
	uint32_t entries = aero_vb_has(drv, TRANSPORT(INDIRECT_DESC)) ? 1 : drv->request_pages;

	lane->frames = drv->request_frames;
	/* A ring that is smaller than a request makes that smaller. */
	if (entries > size) {
		entries = size;
		lane->frames = first_room(drv) + (size - 1) * PAGE_FRAMES;
	}
	most = most < size / entries ? most : size / entries;
	while (lane->count < most && add_request(drv, lane))
		;
	/* Of an earlier start there may be more. */
	lane->usable = lane->count < most ? lane->count : most;
	return lane->usable;
}

void aero_vb_put_requests(struct aero_virtio_balloon_guest *drv, unsigned int index)
{
	const struct aero_port *port = drv->balloon.config.port;
	struct aero_virtio_balloon_guest_lane *lane = &drv->lane[index];
	uint32_t share = per_page(drv), i;

	while (lane->count) {
		lane->count--;
		for (i = 0; !(lane->count % share) && i < drv->request_pages; i++)
			port->page_put(port->ctx, lane->request[lane->count].part[i]);
	}
}

/* Numbers ------------------------------------------------------------------------------------ */

static void open_part(struct writer *writer, uint8_t *const *part, uint32_t room)
{
	writer->part = part;
	writer->at = (uint32_t *)(void *)*part;
	writer->room = room < writer->rest ? room : writer->rest;
}

static void open_request(const struct aero_virtio_balloon_guest *drv,
			 const struct aero_virtio_balloon_guest_lane *lane, uint32_t number,
			 struct writer *writer)
{
	writer->rest = lane->frames;
	writer->written = 0;
	open_part(writer, lane->request[number].part, first_room(drv));
}

/* Consecutive numbers, two at a time where the processor's order is the device's. */
static void put_numbers(uint32_t *at, uint32_t first, uint32_t count, bool is_swapped)
{
	uint32_t i = 0;

	if (is_swapped || AERO_HOST_BIG_ENDIAN) {
		for (; i < count; i++)
			at[i] = aero_swap32(first + i, is_swapped);
		return;
	}
	if ((uintptr_t)at & 4 && count)
		at[i++] = first;
	for (; i + 8 <= count; i += 8) {
		frame_pair *pair = (void *)(at + i);
		uint64_t low = first + i, value = (low + 1) << 32 | low;

		pair[0] = value;
		pair[1] = value + 0x0000000200000002ull;
		pair[2] = value + 0x0000000400000004ull;
		pair[3] = value + 0x0000000600000006ull;
	}
	for (; i < count; i++)
		at[i] = first + i;
}

/* As much of a run as fits; answers how much. */
static uint32_t write_run(const struct aero_virtio_balloon_guest *drv, struct writer *writer,
			  aero_frame first, uint64_t count)
{
	uint32_t done = 0, now;

	while (writer->rest && done < count) {
		if (!writer->room)
			open_part(writer, writer->part + 1, PAGE_FRAMES);
		now = count - done < writer->room ? (uint32_t)(count - done) : writer->room;
		put_numbers(writer->at, (uint32_t)(first + done), now, aero_vb_is_swapped(drv));
		writer->at += now;
		writer->room -= now;
		writer->rest -= now;
		writer->written += now;
		done += now;
	}
	return done;
}

/* Single frames of a list, none of them refused; answers how many fit. */
static uint32_t write_singles(const struct aero_virtio_balloon_guest *drv, struct writer *writer,
			      const aero_frame *frames, uint32_t count)
{
	bool is_swapped = aero_vb_is_swapped(drv);
	uint32_t done = 0, i, now;

	while (writer->rest && done < count) {
		if (!writer->room)
			open_part(writer, writer->part + 1, PAGE_FRAMES);
		now = count - done < writer->room ? count - done : writer->room;
		for (i = 0; i < now; i++)
			writer->at[i] = aero_swap32((uint32_t)frames[done + i], is_swapped);
		writer->at += now;
		writer->room -= now;
		writer->rest -= now;
		writer->written += now;
		done += now;
	}
	return done;
}

static bool is_refused(const struct aero_pages_list *list, uint32_t index)
{
	return list->refused[index / 32] >> index % 32 & 1;
}

/* Goes on with a batch where the last request ended; true: it is wholly written. */
static bool write_batch(struct aero_virtio_balloon_guest *drv,
			struct aero_virtio_balloon_guest_lane *lane,
			const struct aero_pages_list *list, struct writer *writer)
{
	unsigned int order = drv->balloon.pages.size[list->size].order;
	uint64_t frames = (uint64_t)1 << order;

	if (!order && !list->refused_count) {
		lane->block += write_singles(drv, writer, list->frames + lane->block,
					     list->count - lane->block);
		return lane->block == list->count;
	}
	for (; lane->block < list->count; lane->block++, lane->frame = 0) {
		if (is_refused(list, lane->block))
			continue;
		lane->frame += write_run(drv, writer, list->frames[lane->block] + lane->frame,
					 frames - lane->frame);
		if (lane->frame < frames)
			return false;
	}
	return true;
}

/* Requests ----------------------------------------------------------------------------------- */

static uint32_t find_free(struct aero_virtio_balloon_guest_lane *lane)
{
	while (lane->request[lane->next].is_flying)
		lane->next = lane->next + 1 < lane->usable ? lane->next + 1 : 0;
	return lane->next;
}

/* What of a request's memory is filled, as buffers for the device. */
static uint32_t cut(const struct aero_virtio_balloon_guest *drv,
		    const struct aero_virtio_balloon_guest_request *request, uint32_t frames,
		    struct aero_virtio_guest_buffer *out)
{
	uint32_t room = first_room(drv), count = 0;

	while (frames) {
		uint32_t part = frames < room ? frames : room;

		out[count].gpa = aero_vb_gpa(drv, request->part[count]);
		out[count].len = part * AERO_VIRTIO_BALLOON_PFN_BYTES;
		out[count].is_writable = false;
		count++;
		frames -= part;
		room = PAGE_FRAMES;
	}
	return count;
}

static bool give(struct aero_virtio_balloon_guest *drv, unsigned int index, uint32_t number,
		 uint32_t frames)
{
	struct aero_virtio_balloon_guest_lane *lane = &drv->lane[index];
	struct aero_virtio_balloon_guest_request *request = &lane->request[number];
	struct aero_virtio_guest_buffer buffers[AERO_VIRTIO_BALLOON_GUEST_REQUEST_PAGES_MAX];
	struct aero_virtio_guest_chain chain = { buffers, 0, (uint16_t)number, NULL, 0 };

	chain.count = cut(drv, request, frames, buffers);
	if (chain.count > 1 && aero_vb_has(drv, TRANSPORT(INDIRECT_DESC))) {
		chain.table = request->part[0] + AERO_FRAME_BYTES - TABLE_BYTES;
		chain.table_gpa = aero_vb_gpa(drv, chain.table);
	}
	if (aero_virtio_guest_queue_give(&drv->queue[index].queue, &chain))
		return false;
	request->is_flying = true;
	lane->flying++;
	if (index == INFLATE)
		drv->counters.inflate_requests++;
	else
		drv->counters.deflate_requests++;
	return true;
}

static void finish(struct aero_virtio_balloon_guest *drv, uint8_t batch)
{
	drv->done[drv->done_count++] = batch;
}

static void drop_waiting(struct aero_virtio_balloon_guest_lane *lane)
{
	unsigned int i;

	lane->waiting_count--;
	for (i = 0; i < lane->waiting_count; i++)
		lane->waiting[i] = lane->waiting[i + 1];
	lane->block = 0;
	lane->frame = 0;
}

/* Whether the device has to see something else first. */
static bool is_held_up(const struct aero_virtio_balloon_guest *drv, unsigned int index)
{
	return index == INFLATE && !aero_vb_has(drv, FEATURE(MUST_TELL_HOST)) &&
	       (drv->lane[DEFLATE].flying || drv->lane[DEFLATE].waiting_count);
}

/* One request of the oldest batch that waits. False: there is no room for it. */
static bool write_request(struct aero_virtio_balloon_guest *drv, unsigned int index)
{
	struct aero_virtio_balloon_guest_lane *lane = &drv->lane[index];
	uint8_t number = lane->waiting[0];
	struct aero_balloon_batch *batch = &drv->balloon.batch[number];
	bool is_told = index == INFLATE || aero_vb_has(drv, FEATURE(MUST_TELL_HOST));
	uint32_t request = find_free(lane);
	struct writer writer;
	bool is_whole;

	open_request(drv, lane, request, &writer);
	is_whole = write_batch(drv, lane, &batch->list, &writer);
	if (writer.written) {
		lane->request[request].batch = is_told ? number : NO_BATCH;
		/* The ring has an entry for each request; one that has not is broken. */
		if (!give(drv, index, request, writer.written)) {
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

static void pump(struct aero_virtio_balloon_guest *drv, unsigned int index)
{
	struct aero_virtio_balloon_guest_lane *lane = &drv->lane[index];

	if (!drv->is_live || is_held_up(drv, index))
		return;
	while (lane->waiting_count && lane->flying < lane->usable)
		if (!write_request(drv, index))
			break;
	/* Nothing more goes in now: the device is to begin. */
	if (lane->flying == lane->usable)
		aero_vb_kick(drv, index);
}

/* A request has come back; its batch may be complete with it. */
static void release(struct aero_virtio_balloon_guest *drv, unsigned int index, uint32_t number)
{
	struct aero_virtio_balloon_guest_lane *lane = &drv->lane[index];
	struct aero_virtio_balloon_guest_request *request = &lane->request[number];
	uint8_t batch = request->batch;

	request->is_flying = false;
	lane->flying--;
	if (batch == NO_BATCH || --drv->balloon.batch[batch].tag)
		return;
	if (!lane->waiting_count || lane->waiting[0] != batch)
		finish(drv, batch);
}

static void poll(struct aero_virtio_balloon_guest *drv)
{
	uint16_t token;

	while (aero_vb_take(drv, DEFLATE, &token))
		release(drv, DEFLATE, token);
	while (aero_vb_take(drv, INFLATE, &token))
		release(drv, INFLATE, token);
	pump(drv, DEFLATE);
	pump(drv, INFLATE);
}

void aero_vb_reset_lane(struct aero_virtio_balloon_guest *drv, unsigned int index)
{
	struct aero_virtio_balloon_guest_lane *lane = &drv->lane[index];
	struct aero_virtio_balloon_guest_queue *queue = &drv->queue[index];
	uint16_t token;

	while (queue->is_there && aero_virtio_guest_queue_stop(&queue->queue, &token))
		release(drv, index, token);
	queue->is_there = false;
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
	unsigned int index = batch->list.move == AERO_PAGES_JOINING ? INFLATE : DEFLATE;
	struct aero_virtio_balloon_guest_lane *lane = &drv->lane[index];
	uint8_t number = (uint8_t)(batch - drv->balloon.batch);

	if (!drv->is_live)
		return AERO_ERESET;
	batch->tag = 0;
	/* A resize begins: it is worth a word of its own only if it lasts. */
	if (aero_pages_frames(&drv->balloon.pages) == drv->actual)
		drv->actual_due_ns = aero_balloon_later(drv->now_ns, drv->config.actual_ns);
	if (index == INFLATE)
		refuse_high(drv, &batch->list);
	lane->waiting[lane->waiting_count++] = number;
	pump(drv, index);
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
	const struct aero_virtio_transport *transport = drv->config.transport;
	uint32_t actual = (uint32_t)aero_pages_frames(&drv->balloon.pages);
	uint8_t value[4];

	if (drv->is_actual_known && actual == drv->actual)
		return;
	drv->actual = actual;
	drv->is_actual_known = true;
	drv->actual_due_ns = aero_balloon_later(drv->now_ns, drv->config.actual_ns);
	aero_put_le32(value, actual);
	transport->config_write(transport->ctx,
				offsetof(struct aero_virtio_balloon_wire_config, actual), value,
				sizeof(value));
	drv->counters.config_writes++;
}

void aero_vb_tell_progress(struct aero_virtio_balloon_guest *drv)
{
	if (drv->is_live && drv->now_ns >= drv->actual_due_ns)
		write_actual(drv);
}

bool aero_vb_flush(void *ctx)
{
	struct aero_virtio_balloon_guest *drv = ctx;
	bool is_answered = false;
	unsigned int index;

	if (!drv->is_live)
		return false;
	for (index = INFLATE; index <= DEFLATE; index++) {
		uint32_t flying = drv->lane[index].flying;

		aero_vb_kick(drv, index);
		/* Half of them at a time, so that the device always has something to do. */
		if (flying && aero_virtio_guest_queue_interrupt_after(&drv->queue[index].queue,
								      (flying + 1) / 2))
			is_answered = true;
	}
	if (aero_vb_is_idle(drv) || drv->now_ns >= drv->actual_due_ns)
		write_actual(drv);
	return is_answered;
}

/* One request of one block, waited for. */
static enum aero_status send_and_wait(struct aero_virtio_balloon_guest *drv, unsigned int index,
				      unsigned int order, aero_frame frame, bool is_waiting)
{
	struct aero_virtio_balloon_guest_lane *lane = &drv->lane[index];
	uint32_t number = find_free(lane), polls;
	struct writer writer;
	uint16_t token;

	open_request(drv, lane, number, &writer);
	write_run(drv, &writer, frame, (uint64_t)1 << order);
	lane->request[number].batch = NO_BATCH;
	if (!give(drv, index, number, writer.written))
		return AERO_EAGAIN;
	aero_vb_kick(drv, index);
	for (polls = 0; is_waiting && polls < EXCHANGE_POLLS; polls++)
		if (aero_vb_take(drv, index, &token)) {
			release(drv, index, token);
			return AERO_OK;
		}
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
	if (!drv->is_live || !aero_vb_is_idle(drv))
		return AERO_EAGAIN;
	status = send_and_wait(drv, INFLATE, order, new_frame, true);
	if (!status)
		status = send_and_wait(drv, DEFLATE, order, old_frame,
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

	if (aero_balloon_validate(&drv->balloon) || drv->is_side_busy ||
	    !is_lane_sane(drv, INFLATE) || !is_lane_sane(drv, DEFLATE) ||
	    aero_frame_set_validate(&drv->hint.held) || aero_frame_set_validate(&drv->report.held))
		return AERO_EBUG;
	for (role = 0; role < AERO_VIRTIO_BALLOON_GUEST_QUEUES; role++)
		if (drv->queue[role].is_there &&
		    aero_virtio_guest_queue_validate(&drv->queue[role].queue))
			return AERO_EBUG;
	return AERO_OK;
}
