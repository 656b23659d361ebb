/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "support/balloon_rig.h"

#define ENDLESS 10000000u

static const struct {
	enum aero_virtio_balloon_role role;
	unsigned int feature;
	unsigned int index;
} optional[] = {
	{ AERO_VIRTIO_BALLOON_ROLE_STATS, 1, 2 },
	{ AERO_VIRTIO_BALLOON_ROLE_HINT, 3, 3 },
	{ AERO_VIRTIO_BALLOON_ROLE_REPORTING, 5, 4 },
};

uint64_t balloon_rig_accepted(const struct balloon_rig *rig)
{
	return rig->options.offered & ~rig->options.refused;
}

unsigned int balloon_rig_index(const struct balloon_rig *rig, enum aero_virtio_balloon_role role)
{
	unsigned int next = 2;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(optional); i++) {
		if (optional[i].role == role)
			return rig->options.is_compact ? next : optional[i].index;
		next += balloon_rig_accepted(rig) >> optional[i].feature & 1;
	}
	return role == AERO_VIRTIO_BALLOON_ROLE_DEFLATE ? DEFLATE : INFLATE;
}

static bool is_stats(const struct balloon_rig *rig, unsigned int index)
{
	return balloon_rig_accepted(rig) & FEATURE(STATS_VQ) &&
	       index == balloon_rig_index(rig, AERO_VIRTIO_BALLOON_ROLE_STATS);
}

/* Whether frames stay discardable after the request that gave them was answered. */
static bool is_collecting(const struct balloon_rig *rig)
{
	return balloon_rig_accepted(rig) & FEATURE(MUST_TELL_HOST);
}

/* Write down for the host whether a frame may be discarded now. */
static void refresh(struct balloon_rig *rig, uint32_t frame)
{
	struct aero_range range = { frame, 1 };

	if (frame >= rig->host.frames)
		return;
	if (rig->named[frame] || (is_collecting(rig) && rig->in_balloon[frame]))
		host_double_set(&rig->host, range, HOST_DOUBLE_MAY);
	else
		host_double_clear(&rig->host, range, HOST_DOUBLE_MAY);
}

static void name_frame(struct balloon_rig *rig, uint32_t frame, int change)
{
	if (frame >= rig->host.frames)
		return;
	rig->named[frame] += (uint32_t)change;
	refresh(rig, frame);
}

static void put_frame(struct balloon_rig *rig, uint32_t frame, bool is_in)
{
	if (frame >= rig->host.frames || !(rig->host.state[frame] & HOST_DOUBLE_RAM))
		return;
	rig->held += is_in;
	rig->held -= rig->in_balloon[frame];
	rig->in_balloon[frame] = is_in;
	refresh(rig, frame);
}

static void take_answer(struct balloon_rig *rig, unsigned int index, uint16_t id)
{
	struct balloon_rig_request *request = &rig->request[index][id];
	bool is_named = index != DEFLATE;

	for (size_t i = 0; i < request->count; i++) {
		if (is_named)
			name_frame(rig, request->frames[i], -1);
		if (index <= DEFLATE)
			put_frame(rig, request->frames[i], index == INFLATE);
	}
	free(request->frames);
	memset(request, 0, sizeof(*request));
	rig->in_flight--;
	rig->stats_in_flight -= is_stats(rig, index);
	rig->answers[index]++;
}

void balloon_rig_poll(struct balloon_rig *rig)
{
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		enum virtio_driver_answer answer = VIRTIO_DRIVER_TAKEN;
		uint16_t id;
		uint32_t len;

		while (rig->has_ring[i] && answer == VIRTIO_DRIVER_TAKEN) {
			answer = virtio_driver_take(&rig->drv[i], &id, &len);
			if (answer == VIRTIO_DRIVER_BROKEN)
				rig->is_ring_broken = true;
			if (answer != VIRTIO_DRIVER_TAKEN)
				break;
			rig->last_used_len = len;
			take_answer(rig, i, id);
		}
	}
}

static void before_discard(void *ctx)
{
	balloon_rig_poll(ctx);
}

static void notify_queue(void *ctx, unsigned int index)
{
	struct balloon_rig *rig = ctx;

	rig->notified[index]++;
	balloon_rig_poll(rig);
}

static void notify_config(void *ctx)
{
	struct balloon_rig *rig = ctx;

	rig->config_notified++;
}

static void event(void *ctx, const struct aero_virtio_balloon_event *e)
{
	struct balloon_rig *rig = ctx;

	rig->events[e->kind]++;
	rig->event_value[e->kind] = e->value;
	if (rig->on_event)
		rig->on_event(rig->on_event_ctx, e);
}

static void hint(void *ctx, struct aero_range range)
{
	struct balloon_rig *rig = ctx;

	rig->hints++;
	rig->hint_frames += range.count;
	rig->last_hint = range;
}

static void init_device(struct balloon_rig *rig)
{
	struct aero_virtio_balloon_config config = {
		.memory = &rig->host.memory,
		.nodes = rig->host.nodes,
		.ops = &rig->ops,
		.ops_ctx = rig,
		.mode = rig->options.mode,
		.config_bytes = rig->options.config_bytes,
		.is_big_endian_guest = rig->options.is_big_endian,
	};

	config.offered.word[0] = rig->options.offered;
	assert_int_equal(aero_virtio_balloon_host_init(&rig->dev, &config), AERO_OK);
}

void balloon_rig_open(struct balloon_rig *rig, const struct balloon_rig_options *options)
{
	memset(rig, 0, sizeof(*rig));
	if (options)
		rig->options = *options;
	if (!rig->options.offered)
		rig->options.offered = FEATURES_USUAL;
	if (!rig->options.frames)
		rig->options.frames = BALLOON_RIG_FRAMES;
	if (!rig->options.ring_size)
		rig->options.ring_size = 256;
	if (!rig->options.data_bytes)
		rig->options.data_bytes = BALLOON_RIG_DATA_BYTES;
	host_double_init(&rig->host, rig->options.frames, rig->options.backing);
	guest_ram_add(&rig->host.ram, BALLOON_RIG_RINGS,
		      BALLOON_RIG_RING_BYTES * AERO_VIRTIO_BALLOON_QUEUES);
	guest_ram_add(&rig->host.ram, BALLOON_RIG_DATA, rig->options.data_bytes);
	rig->host.before = before_discard;
	rig->host.ctx = rig;
	rig->in_balloon = calloc(1, (size_t)rig->options.frames);
	rig->named = calloc((size_t)rig->options.frames, sizeof(*rig->named));
	assert_non_null(rig->in_balloon);
	assert_non_null(rig->named);
	rig->ops = (struct aero_virtio_balloon_ops){
		.notify_queue = notify_queue,
		.notify_config = notify_config,
		.event = event,
		.hint = hint,
	};
	rig->now = 1000000000;
	init_device(rig);
}

static void drop_requests(struct balloon_rig *rig)
{
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		for (unsigned int id = 0; id < BALLOON_RIG_RING_MAX; id++)
			free(rig->request[i][id].frames);
		if (rig->has_ring[i])
			virtio_driver_fini(&rig->drv[i]);
		rig->has_ring[i] = false;
	}
	memset(rig->request, 0, sizeof(rig->request));
	rig->in_flight = 0;
	rig->stats_in_flight = 0;
	rig->data_at = 0;
}

void balloon_rig_close(struct balloon_rig *rig)
{
	assert_string_equal(rig->host.violation, "");
	assert_false(rig->is_ring_broken);
	assert_int_equal(aero_virtio_balloon_host_validate(&rig->dev), AERO_OK);
	drop_requests(rig);
	aero_virtio_balloon_host_fini(&rig->dev);
	assert_int_equal(rig->host.live_nodes, 0);
	host_double_fini(&rig->host);
	free(rig->in_balloon);
	free(rig->named);
}

void balloon_rig_replace(struct balloon_rig *rig)
{
	aero_virtio_balloon_host_fini(&rig->dev);
	assert_int_equal(rig->host.live_nodes, 0);
	init_device(rig);
}

void balloon_rig_accept(struct balloon_rig *rig)
{
	struct aero_virtio_features accepted = { { balloon_rig_accepted(rig), 0 } };

	assert_int_equal(aero_virtio_balloon_host_accept(&rig->dev, &accepted), AERO_OK);
}

/* A fresh ring in memory that may have held another one. */
static void make_ring(struct balloon_rig *rig, unsigned int index)
{
	uint64_t accepted = balloon_rig_accepted(rig);
	aero_gpa gpa = BALLOON_RIG_RINGS + (aero_gpa)index * BALLOON_RIG_RING_BYTES;
	struct guest_ram *ram = &rig->host.ram;
	size_t bytes = virtio_driver_ring_bytes(rig->options.ring_size);
	struct aero_virtio_queue_config ring = {
		.size = rig->options.ring_size,
		.is_packed = accepted & TRANSPORT(RING_PACKED),
		.has_event_idx = accepted & TRANSPORT(EVENT_IDX),
		.has_indirect = accepted & TRANSPORT(INDIRECT_DESC),
		.is_big_endian = rig->options.is_big_endian && !(accepted & TRANSPORT(VERSION_1)),
	};

	memset(ram->memory.translate(ram, gpa, &bytes, AERO_ACCESS_WRITE), 0, bytes);
	virtio_driver_init(&rig->drv[index], ram, &ring, gpa);
	rig->has_ring[index] = true;
}

enum aero_status balloon_rig_try_ring(struct balloon_rig *rig, unsigned int index)
{
	enum aero_status status;

	if (!rig->has_ring[index])
		make_ring(rig, index);
	status = aero_virtio_balloon_host_queue_start(&rig->dev, index, &rig->drv[index].ring);
	aero_virtio_balloon_host_queue_enable(&rig->dev, index, true);
	return status;
}

void balloon_rig_start_ring(struct balloon_rig *rig, unsigned int index)
{
	assert_int_equal(balloon_rig_try_ring(rig, index), AERO_OK);
}

void balloon_rig_stop_ring(struct balloon_rig *rig, unsigned int index)
{
	rig->drv[index].ring.base = aero_virtio_balloon_host_queue_stop(&rig->dev, index);
	balloon_rig_poll(rig);
}

void balloon_rig_live(struct balloon_rig *rig)
{
	assert_int_equal(aero_virtio_balloon_host_set_status(&rig->dev, 0x0f), 0x0f);
}

void balloon_rig_connect(struct balloon_rig *rig)
{
	balloon_rig_accept(rig);
	balloon_rig_start_ring(rig, INFLATE);
	balloon_rig_start_ring(rig, DEFLATE);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(optional); i++) {
		if (balloon_rig_accepted(rig) >> optional[i].feature & 1)
			balloon_rig_start_ring(rig, balloon_rig_index(rig, optional[i].role));
	}
	balloon_rig_live(rig);
}

void balloon_rig_forget(struct balloon_rig *rig)
{
	struct aero_range all = { 0, rig->options.frames };

	drop_requests(rig);
	memset(rig->in_balloon, 0, (size_t)rig->options.frames);
	memset(rig->named, 0, (size_t)rig->options.frames * sizeof(*rig->named));
	rig->held = 0;
	host_double_clear(&rig->host, all, HOST_DOUBLE_MAY);
}

void balloon_rig_reset(struct balloon_rig *rig)
{
	assert_int_equal(aero_virtio_balloon_host_set_status(&rig->dev, 0), 0);
	balloon_rig_forget(rig);
}

/*
 * All room is free again when no request is in flight. A statistics buffer that the device holds
 * was read already.
 */
static void begin_request(struct balloon_rig *rig)
{
	if (rig->in_flight == rig->stats_in_flight)
		rig->data_at = 0;
}

/* Room for bytes of a request. */
static aero_gpa find_room(struct balloon_rig *rig, uint32_t len)
{
	aero_gpa gpa = BALLOON_RIG_DATA + rig->data_at;

	rig->data_at += (len + 15) & ~15u;
	if (rig->data_at > rig->options.data_bytes)
		fail_msg("test bug: %u bytes of buffers", rig->data_at);
	return gpa;
}

static bool give(struct balloon_rig *rig, unsigned int index,
		 const struct virtio_driver_buffer *buffers, uint32_t count, uint16_t *out_id)
{
	struct virtio_driver *drv = &rig->drv[index];
	bool is_given;

	if (count > 1 && drv->ring.has_indirect)
		is_given = virtio_driver_give_indirect(drv, find_room(rig, 16 * count), buffers,
						       count, out_id);
	else
		is_given = virtio_driver_give(drv, buffers, count, out_id);
	if (is_given) {
		rig->request[index][*out_id].is_used = true;
		rig->in_flight++;
		rig->stats_in_flight += is_stats(rig, index);
	}
	return is_given;
}

static bool send(struct balloon_rig *rig, unsigned int index, const void *bytes, uint32_t len,
		 uint32_t cut, uint16_t *out_id)
{
	uint32_t count = cut && len ? (len + cut - 1) / cut : 1;
	struct virtio_driver_buffer *buffers = calloc(count, sizeof(*buffers));
	bool is_given;
	aero_gpa gpa;

	assert_non_null(buffers);
	begin_request(rig);
	gpa = find_room(rig, len);
	guest_ram_write(&rig->host.ram, gpa, bytes, len);
	for (uint32_t i = 0; i < count; i++) {
		buffers[i].gpa = gpa + (aero_gpa)i * cut;
		buffers[i].len = i + 1 < count ? cut : len - i * cut;
	}
	is_given = give(rig, index, buffers, count, out_id);
	free(buffers);
	return is_given;
}

bool balloon_rig_send(struct balloon_rig *rig, unsigned int index, const void *bytes, uint32_t len,
		      uint32_t cut)
{
	uint16_t id;

	return send(rig, index, bytes, len, cut, &id);
}

static void put_number(const struct balloon_rig *rig, uint8_t *p, uint64_t value, unsigned int len)
{
	bool is_big =
		rig->options.is_big_endian && !(balloon_rig_accepted(rig) & TRANSPORT(VERSION_1));

	for (unsigned int i = 0; i < len; i++)
		p[i] = (uint8_t)(value >> 8 * (is_big ? len - 1 - i : i));
}

bool balloon_rig_send_frames(struct balloon_rig *rig, unsigned int index, const uint32_t *frames,
			     size_t count, uint32_t cut)
{
	uint8_t *bytes = calloc(count + 1, 4);
	uint32_t *copy = calloc(count + 1, 4);
	bool is_given;
	uint16_t id;

	assert_non_null(bytes);
	assert_non_null(copy);
	for (size_t i = 0; i < count; i++)
		put_number(rig, bytes + 4 * i, frames[i], 4);
	is_given = send(rig, index, bytes, (uint32_t)count * 4 + rig->ragged, cut, &id);
	free(bytes);
	if (!is_given || index > DEFLATE) {
		free(copy);
		return is_given;
	}
	memcpy(copy, frames, count * 4);
	rig->request[index][id].frames = copy;
	rig->request[index][id].count = count;
	for (size_t i = 0; i < count && index == INFLATE; i++)
		name_frame(rig, frames[i], 1);
	return true;
}

void balloon_rig_send_run(struct balloon_rig *rig, unsigned int index, uint32_t first, size_t count)
{
	uint32_t *frames = malloc(count * 4 + 1);

	assert_non_null(frames);
	/* Falling, as Linux sends them. */
	for (size_t i = 0; i < count; i++)
		frames[i] = first + (uint32_t)(count - 1 - i);
	assert_true(balloon_rig_send_frames(rig, index, frames, count, 0));
	free(frames);
	balloon_rig_kick(rig, index);
}

void balloon_rig_inflate(struct balloon_rig *rig, uint32_t first, size_t count)
{
	uint64_t answers = rig->answers[INFLATE];

	balloon_rig_send_run(rig, INFLATE, first, count);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[INFLATE], answers + 1);
}

void balloon_rig_deflate(struct balloon_rig *rig, uint32_t first, size_t count)
{
	uint64_t answers = rig->answers[DEFLATE];

	balloon_rig_send_run(rig, DEFLATE, first, count);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[DEFLATE], answers + 1);
}

/* The frames there are that a buffer names whole. */
static struct aero_range whole_frames(const struct balloon_rig *rig,
				      const struct virtio_driver_buffer *buffer)
{
	aero_frame end = (buffer->gpa + buffer->len) >> AERO_FRAME_SHIFT;
	struct aero_range range = { (buffer->gpa + AERO_FRAME_BYTES - 1) >> AERO_FRAME_SHIFT, 0 };

	if (end > rig->host.frames)
		end = rig->host.frames;
	if (buffer->is_writable && end > range.first)
		range.count = end - range.first;
	return range;
}

static void name_buffers(struct balloon_rig *rig, struct balloon_rig_request *request,
			 const struct virtio_driver_buffer *buffers, uint32_t count)
{
	size_t total = 0;

	for (uint32_t i = 0; i < count; i++)
		total += (size_t)whole_frames(rig, &buffers[i]).count;
	request->frames = calloc(total + 1, sizeof(*request->frames));
	assert_non_null(request->frames);
	for (uint32_t i = 0; i < count; i++) {
		struct aero_range range = whole_frames(rig, &buffers[i]);

		for (; range.count; range.count--, range.first++) {
			request->frames[request->count++] = (uint32_t)range.first;
			name_frame(rig, (uint32_t)range.first, 1);
		}
	}
}

bool balloon_rig_send_buffers(struct balloon_rig *rig, unsigned int index,
			      const struct virtio_driver_buffer *buffers, uint32_t count)
{
	uint16_t id;

	begin_request(rig);
	if (!give(rig, index, buffers, count, &id))
		return false;
	/* A hint gives nothing away: it is never a reason to discard. */
	if (!(balloon_rig_accepted(rig) & FEATURE(FREE_PAGE_HINT)) ||
	    index != balloon_rig_index(rig, AERO_VIRTIO_BALLOON_ROLE_HINT))
		name_buffers(rig, &rig->request[index][id], buffers, count);
	return true;
}

bool balloon_rig_send_ranges(struct balloon_rig *rig, unsigned int index,
			     const struct aero_range *ranges, uint32_t count)
{
	struct virtio_driver_buffer *buffers = calloc(count, sizeof(*buffers));
	bool is_given;

	assert_non_null(buffers);
	for (uint32_t i = 0; i < count; i++) {
		buffers[i].gpa = ranges[i].first << AERO_FRAME_SHIFT;
		buffers[i].len = (uint32_t)(ranges[i].count << AERO_FRAME_SHIFT);
		buffers[i].is_writable = true;
	}
	is_given = balloon_rig_send_buffers(rig, index, buffers, count);
	free(buffers);
	return is_given;
}

bool balloon_rig_send_stats(struct balloon_rig *rig, const uint64_t (*entries)[2], uint32_t count)
{
	uint8_t *bytes = calloc(count + 1, 10);
	bool is_given;

	assert_non_null(bytes);
	for (uint32_t i = 0; i < count; i++) {
		put_number(rig, bytes + 10 * i, entries[i][0], 2);
		put_number(rig, bytes + 10 * i + 2, entries[i][1], 8);
	}
	is_given = balloon_rig_send(rig, balloon_rig_index(rig, AERO_VIRTIO_BALLOON_ROLE_STATS),
				    bytes, 10 * count, 0);
	free(bytes);
	return is_given;
}

uint64_t balloon_rig_step(struct balloon_rig *rig)
{
	uint64_t next = aero_virtio_balloon_host_step(&rig->dev, rig->now);

	balloon_rig_poll(rig);
	return next;
}

unsigned int balloon_rig_run(struct balloon_rig *rig)
{
	unsigned int steps = 1;

	while (balloon_rig_step(rig) <= rig->now) {
		if (++steps > ENDLESS)
			fail_msg("the device does not come to rest");
	}
	return steps;
}

void balloon_rig_kick(struct balloon_rig *rig, unsigned int index)
{
	aero_virtio_balloon_host_kick(&rig->dev, index);
}

void balloon_rig_write_actual(struct balloon_rig *rig, uint32_t actual)
{
	uint8_t bytes[4] = { (uint8_t)actual, (uint8_t)(actual >> 8), (uint8_t)(actual >> 16),
			     (uint8_t)(actual >> 24) };

	assert_int_equal(aero_virtio_balloon_host_config_write(&rig->dev, 4, bytes, 4), AERO_OK);
}

void balloon_rig_check(struct balloon_rig *rig)
{
	assert_string_equal(rig->host.violation, "");
	assert_false(rig->is_ring_broken);
	assert_int_equal(aero_virtio_balloon_host_validate(&rig->dev), AERO_OK);
	assert_int_equal(aero_ledger_held(&rig->dev.ledger), rig->held);
}
