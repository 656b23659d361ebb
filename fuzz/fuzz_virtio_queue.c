/* SPDX-License-Identifier: MIT */

/*
 * A hostile driver against the device side virtqueue, compared with a model step by step: answers,
 * faults, bytes read, and every byte of guest memory afterwards.
 *
 * Input: how the ring is set up, then operations; see start_ring() and operations[] below. Bytes
 * that are missing read as 0. The operation FAIL makes the nth translation from there on fail.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/guest_ram.h"
#include "support/virtio_driver.h"
#include "support/virtio_model.h"

#define RING 0x10000u
#define RING_BYTES 0x2000u
#define DATA_BYTES 0x1000u /* one region at 0, one behind it */
#define HELD 256
#define OPERATIONS 1000
#define DRAIN_BYTES 0x20000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct held {
	struct aero_virtio_chain chain;
	uint32_t drained;
};

struct state {
	const uint8_t *data;
	size_t left;
	struct guest_ram ram;
	struct guest_ram shadow; /* the model's */
	struct aero_virtio_queue queue;
	struct virtio_model model;
	struct virtio_model_chain expected;
	struct held held[HELD];
	unsigned int held_count;
	unsigned int can_unpop; /* how many of the held ones may go back */
	uint16_t avail_idx;	/* the driver's, split */
};

/* Input --------------------------------------------------------------------------------------- */

static uint32_t take(struct state *st, unsigned int len)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < len && st->left; i++, st->left--)
		value |= (uint32_t)*st->data++ << 8 * i;
	return value;
}

static void guest_write(struct state *st, aero_gpa gpa, const void *bytes, size_t len)
{
	guest_ram_write(&st->ram, gpa, bytes, len);
	guest_ram_write(&st->shadow, gpa, bytes, len);
}

static void guest_put(struct state *st, aero_gpa gpa, uint64_t value, unsigned int len)
{
	bool is_big_endian = st->model.ring.is_big_endian;

	for (unsigned int i = 0; i < len; i++) {
		uint8_t byte = (uint8_t)(value >> 8 * (is_big_endian ? len - 1 - i : i));

		/* The parts of a ring may be laid to the very end of memory. */
		if (gpa + i - RING < RING_BYTES || gpa + i < 2 * DATA_BYTES)
			guest_write(st, gpa + i, &byte, 1);
	}
}

/* Comparisons --------------------------------------------------------------------------------- */

static void check_memory(struct state *st)
{
	for (unsigned int i = 0; i < st->ram.regions; i++)
		CHECK(!memcmp(st->ram.region[i].host, st->shadow.region[i].host,
			      st->ram.region[i].bytes));
}

static bool has_failed(const struct state *st)
{
	return st->ram.fail_at && st->ram.translations >= st->ram.fail_at;
}

/* A translation failed where the model knows of none: the queue must be broken for that. */
static void check_failed(struct state *st, enum aero_status status)
{
	CHECK(status == AERO_EPROTO);
	CHECK(st->queue.fault == AERO_VIRTIO_QUEUE_FAULT_ADDRESS);
	st->model.fault = st->queue.fault;
}

/* Only those that are nobody's mistake; a fault must have its reason. */
static void check_status(struct state *st, enum aero_status status)
{
	if (status == AERO_EPROTO) {
		CHECK(st->queue.fault != AERO_VIRTIO_QUEUE_FAULT_NONE);
		st->model.fault = st->queue.fault;
	} else {
		CHECK(status == AERO_OK || status == AERO_ENOENT);
		CHECK(st->queue.fault == AERO_VIRTIO_QUEUE_FAULT_NONE);
	}
}

/* Draining ------------------------------------------------------------------------------------ */

/* Where a reader of the model's chain is. */
struct place {
	uint32_t segment;
	uint32_t offset;
};

static bool is_memory(struct state *st, aero_gpa gpa)
{
	(void)st;
	return gpa < 2 * DATA_BYTES || (gpa >= RING && gpa - RING < RING_BYTES);
}

/* The next byte of the readable part: 1, 0 at its end, -1 where the queue breaks. */
static int next_byte(struct state *st, struct place *at, uint8_t *out)
{
	const struct virtio_model_chain *chain = &st->expected;
	const struct aero_virtio_segment *segment = &chain->segment[at->segment];

	if (at->segment == chain->count)
		return chain->fault ? -1 : 0;
	if (segment->is_writable)
		return 0;
	if (!is_memory(st, segment->gpa + at->offset)) {
		st->expected.fault = AERO_VIRTIO_QUEUE_FAULT_ADDRESS;
		return -1;
	}
	guest_ram_read(&st->shadow, segment->gpa + at->offset, out, 1);
	if (++at->offset == segment->len) {
		at->segment++;
		at->offset = 0;
	}
	return 1;
}

/* One read() of both; false when the readable part has ended or the queue is broken. */
static bool drain_read(struct state *st, struct held *held, struct place *at, uint32_t piece)
{
	uint8_t buf[256];
	uint8_t want[256];
	uint32_t len = 0;
	uint32_t want_len = 0;
	int more = 1;
	enum aero_status status;

	status = aero_virtio_queue_read(&st->queue, &held->chain, buf, piece, &len);
	if (has_failed(st)) {
		check_failed(st, status);
		return false;
	}
	while (want_len < piece && (more = next_byte(st, at, &want[want_len])) == 1)
		want_len++;
	if (more < 0) {
		CHECK(status == AERO_EPROTO);
		CHECK(st->queue.fault == st->expected.fault);
		st->model.fault = st->queue.fault;
		return false;
	}
	CHECK(status == AERO_OK);
	CHECK(len == want_len);
	CHECK(!memcmp(buf, want, len));
	held->drained += len;
	return len == piece && held->drained < DRAIN_BYTES;
}

static bool drain_segment(struct state *st, struct held *held, struct place *at)
{
	const struct aero_virtio_segment *want = &st->expected.segment[at->segment];
	struct aero_virtio_segment got;
	enum aero_status status;

	status = aero_virtio_queue_next_segment(&st->queue, &held->chain, &got);
	if (has_failed(st)) {
		check_failed(st, status);
		return false;
	}
	if (at->segment == st->expected.count) {
		CHECK(status == (st->expected.fault ? AERO_EPROTO : AERO_ENOENT));
		CHECK(st->queue.fault == st->expected.fault);
		st->model.fault = st->queue.fault;
		return false;
	}
	CHECK(status == AERO_OK);
	CHECK(got.gpa == want->gpa + at->offset);
	CHECK(got.len == want->len - at->offset);
	CHECK(got.is_writable == want->is_writable);
	at->segment++;
	at->offset = 0;
	return true;
}

/* mode: bits 0-5 length of the pieces, bit 6 by segments alone, bit 7 not at all. */
static void drain(struct state *st, struct held *held, unsigned int mode)
{
	struct place at = { 0, 0 };

	if (mode & 0x80)
		return;
	if (!(mode & 0x40))
		while (drain_read(st, held, &at, 1 + (mode & 0x3f)))
			;
	if (st->queue.fault || held->drained >= DRAIN_BYTES)
		return;
	while (drain_segment(st, held, &at))
		;
}

/* Operations ---------------------------------------------------------------------------------- */

/* Anything anywhere. */
static void op_write(struct state *st)
{
	aero_gpa base = take(st, 1) & 1 ? RING : 0;
	uint32_t offset = take(st, 2) % (2 * DATA_BYTES);
	uint32_t len = take(st, 1);

	for (; len && offset < 2 * DATA_BYTES && st->left; len--, offset++)
		guest_put(st, base + offset, take(st, 1), 1);
}

/* What makes a descriptor of a packed ring available now, seen from the model's position. */
static uint16_t available(struct state *st, uint32_t index)
{
	uint32_t size = st->model.ring.size ? st->model.ring.size : 1;
	bool wrap = st->model.avail < size;

	if (index < st->model.avail % size)
		wrap = !wrap;
	return virtio_driver_packed_flags(wrap);
}

static void put_desc(struct state *st, aero_gpa gpa, const struct virtio_driver_desc *desc)
{
	bool is_packed = st->model.ring.is_packed;

	guest_put(st, gpa, desc->addr, 8);
	guest_put(st, gpa + 8, desc->len, 4);
	guest_put(st, gpa + (is_packed ? 14 : 12), desc->flags, 2);
	guest_put(st, gpa + (is_packed ? 12 : 14), desc->next, 2);
}

/*
 * kind: bit 7 into a table in the data, bits 0-2 where the buffer is, bits 3-4 its length. flags:
 * bits 0-2 as they are; with bit 7, bits 3 and 4 are AVAIL and USED, else what makes it available.
 */
static void op_desc(struct state *st)
{
	static const uint64_t bases[8] = {
		0,
		0xff0,
		0x1ff0,
		RING,
		RING + RING_BYTES - 16,
		0x100000000ull,
		0xffffffffffff0000ull,
		0,
	};
	uint32_t kind = take(st, 1);
	uint32_t index = take(st, 1);
	struct virtio_driver_desc desc = { .addr = bases[kind & 7] };
	uint32_t flags;

	desc.addr += take(st, 2);
	desc.len = take(st, 2);
	flags = take(st, 1);
	desc.next = (uint16_t)take(st, 2);
	if (kind & 8)
		desc.len <<= 16;
	if (kind & 16)
		desc.len |= 0x7fff0000u;
	desc.flags = flags & 7;
	if (flags & 0x80)
		desc.flags |= (uint16_t)((flags & 8) << 4 | (flags & 16) << 11);
	else if (st->model.ring.is_packed)
		desc.flags |= available(st, index);
	put_desc(st, (kind & 0x80 ? 0 : st->model.ring.desc) + 16ull * index, &desc);
}

static void op_publish(struct state *st)
{
	uint32_t size = st->model.ring.size ? st->model.ring.size : 1;
	uint32_t head = take(st, 1);

	guest_put(st, st->model.ring.driver + 4 + 2ull * (st->avail_idx % size), head, 2);
	guest_put(st, st->model.ring.driver + 2, ++st->avail_idx, 2);
}

static void op_avail_idx(struct state *st)
{
	st->avail_idx = (uint16_t)take(st, 2);
	guest_put(st, st->model.ring.driver + 2, st->avail_idx, 2);
}

static void op_driver_event(struct state *st)
{
	const struct aero_virtio_queue_config *ring = &st->model.ring;

	guest_put(st, ring->driver + (ring->is_packed ? 2 : 0), take(st, 1), 2);
	guest_put(st, ring->driver + (ring->is_packed ? 0 : 4 + 2ull * ring->size), take(st, 2), 2);
}

static void op_pop(struct state *st)
{
	unsigned int mode = take(st, 1);
	struct held *held = &st->held[st->held_count];
	enum aero_status status;
	enum aero_status want;

	if (st->held_count == HELD)
		return;
	status = aero_virtio_queue_pop(&st->queue, &held->chain);
	want = virtio_model_pop(&st->model, &st->expected);
	if (has_failed(st)) {
		if (want == AERO_OK)
			virtio_model_unpop(&st->model, st->expected.slots);
		check_failed(st, status);
		return;
	}
	CHECK(status == want);
	CHECK(st->queue.fault == st->model.fault);
	if (status != AERO_OK)
		return;
	CHECK(held->chain.id == st->expected.id);
	CHECK(held->chain.ring_slots == st->expected.slots);
	held->drained = 0;
	st->held_count++;
	st->can_unpop++;
	drain(st, held, mode);
}

/* Later, when the driver may have changed everything: no model, but never out of bounds. */
static void op_read_held(struct state *st)
{
	unsigned int index = take(st, 1);
	unsigned int len = take(st, 1);
	struct aero_virtio_segment segment;
	enum aero_status status;
	struct held *held;
	uint8_t buf[256];
	uint32_t got = 0;

	if (!st->held_count || !st->model.is_started || st->model.fault)
		return;
	held = &st->held[index % st->held_count];
	if (len) {
		status = aero_virtio_queue_read(&st->queue, &held->chain, buf, len, &got);
		CHECK(status != AERO_ENOENT && got <= len);
	} else {
		segment.len = 1;
		status = aero_virtio_queue_next_segment(&st->queue, &held->chain, &segment);
		CHECK(segment.len > 0);
	}
	CHECK(status == AERO_EPROTO || held->chain.total <= 0x100000000ull);
	check_status(st, status);
}

static void op_push(struct state *st)
{
	unsigned int index = take(st, 1);
	uint32_t written = take(st, 2);
	struct held *held;
	enum aero_status status;
	enum aero_status want;

	if (!st->held_count)
		return;
	held = &st->held[index % st->held_count];
	status = aero_virtio_queue_push(&st->queue, &held->chain, written);
	want = virtio_model_push(&st->model, held->chain.id, held->chain.ring_slots, written);
	CHECK(status == want);
	*held = st->held[--st->held_count];
	st->can_unpop = 0;
}

static void op_unpop(struct state *st)
{
	if (!st->can_unpop || st->model.fault)
		return;
	st->can_unpop--;
	st->held_count--;
	aero_virtio_queue_unpop(&st->queue, &st->held[st->held_count].chain);
	virtio_model_unpop(&st->model, st->held[st->held_count].chain.ring_slots);
}

static void op_should_notify(struct state *st)
{
	bool want = virtio_model_should_notify(&st->model);

	CHECK(aero_virtio_queue_should_notify(&st->queue) == want);
}

static void op_set_kicks(struct state *st)
{
	bool is_enabled = take(st, 1) & 1;
	bool want = virtio_model_set_kicks(&st->model, is_enabled);

	CHECK(aero_virtio_queue_set_kicks(&st->queue, is_enabled) == want);
}

static void start(struct state *st, struct aero_virtio_queue_config *ring)
{
	enum aero_status status;
	enum aero_status want = virtio_model_start(&st->model, ring);

	ring->memory = &st->ram.memory;
	status = aero_virtio_queue_start(&st->queue, ring);
	if (has_failed(st) && want == AERO_OK) {
		st->model.is_started = false;
		want = AERO_ERANGE;
	}
	CHECK(status == want);
	CHECK(st->queue.is_started == (status == AERO_OK));
	st->can_unpop = 0;
}

/* Stops it and starts it where it was; with bit 0 anywhere, then held chains are forgotten. */
static void op_restart(struct state *st)
{
	struct aero_virtio_queue_config ring = st->model.ring;
	uint32_t how = take(st, 1);
	uint32_t base = aero_virtio_queue_stop(&st->queue);

	if (st->queue.config.memory) /* it was started once */
		CHECK(base == virtio_model_stop(&st->model));
	ring.base = base;
	if (how & 1) {
		ring.base = take(st, 4);
		st->held_count = 0;
	}
	start(st, &ring);
}

static void op_memory_changed(struct state *st)
{
	uint32_t how = take(st, 1);
	bool was_started = st->queue.is_started;
	enum aero_status status;

	if (how & 1)
		guest_ram_move(&st->ram, RING);
	if (how & 2)
		guest_ram_move(&st->ram, 0);
	status = aero_virtio_queue_memory_changed(&st->queue);
	if (was_started && has_failed(st)) {
		CHECK(status == AERO_ERANGE);
		CHECK(st->queue.fault != AERO_VIRTIO_QUEUE_FAULT_NONE);
		st->model.fault = st->queue.fault;
	} else {
		CHECK(status == AERO_OK);
	}
}

/* The nth translation of the next operation fails. */
static void op_fail(struct state *st)
{
	st->ram.fail_at = st->ram.translations + 1 + (take(st, 1) & 0xf);
}

static void (*const operations[])(struct state *st) = {
	op_write,	   op_desc,	 op_publish,	   op_avail_idx, op_pop,
	op_push,	   op_unpop,	 op_should_notify, op_set_kicks, op_restart,
	op_memory_changed, op_read_held, op_driver_event,  op_fail,
};

/*
 * flags: 1 packed, 2 event index, 4 indirect, 8 big-endian, 16 parts anywhere (3 offsets of 2
 * bytes follow), 32 base (4 bytes follow). The size: packed as it is, split the logarithm of it,
 * or with bit 7 as it is.
 */
static void start_ring(struct state *st)
{
	uint32_t flags = take(st, 1);
	uint32_t size = take(st, 1);
	struct aero_virtio_queue_config ring = {
		.is_packed = flags & 1,
		.has_event_idx = flags & 2,
		.has_indirect = flags & 4,
		.is_big_endian = flags & 8,
		.desc = RING,
		.driver = RING + 0x1000,
		.device = RING + 0x1400,
		.base = flags & 1 ? 0x80008000u : 0,
	};

	ring.size = ring.is_packed ? size : size & 0x80 ? size & 0x7f : 1u << (size & 7);
	if (flags & 16) {
		ring.desc = RING + take(st, 2);
		ring.driver = RING + take(st, 2);
		ring.device = RING + take(st, 2);
	}
	if (flags & 32)
		ring.base = take(st, 4);
	st->avail_idx = (uint16_t)ring.base;
	guest_put(st, ring.driver + 2, ring.is_packed ? 0 : st->avail_idx, 2);
	start(st, &ring);
}

static void init_ram(struct guest_ram *ram)
{
	guest_ram_init(ram);
	guest_ram_add(ram, RING, RING_BYTES);
	guest_ram_add(ram, 0, DATA_BYTES);
	guest_ram_add(ram, DATA_BYTES, DATA_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct state st;

	memset(&st, 0, sizeof(st));
	st.data = data;
	st.left = size;
	init_ram(&st.ram);
	init_ram(&st.shadow);
	st.model.ram = &st.shadow;
	start_ring(&st);
	check_memory(&st);
	for (unsigned int i = 0; i < OPERATIONS && st.left; i++) {
		uint32_t op = take(&st, 1) % (sizeof(operations) / sizeof(operations[0]));

		operations[op](&st);
		if (operations[op] != op_fail)
			st.ram.fail_at = 0;
		check_memory(&st);
	}
	guest_ram_fini(&st.ram);
	guest_ram_fini(&st.shadow);
	return 0;
}
