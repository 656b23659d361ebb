/* SPDX-License-Identifier: MIT */

/*
 * A hostile device against the driver's end of a virtqueue, compared with a model step by step:
 * statuses, faults, tokens, lengths, kicks, and the driver's own check of its record.
 *
 * Input: how the ring is set up, then operations; see start_ring() and operations[] below. Bytes
 * that are missing read as 0. The device writes what it likes wherever the ring is; each chain is
 * read back at once, so that nothing of that finds its way into what the driver writes.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/virtio_device.h"

#define OPERATIONS 2000
#define SIZE_MAX_TRIED 128
#define BUFFERS_MAX 8
#define TABLES_GPA 0x123450000ull
#define TABLE_BYTES ((size_t)16 * BUFFERS_MAX)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A chain in flight, by the id that the driver has chosen for it. */
struct flight {
	uint16_t token;
	uint32_t entries; /* 0: none */
	uint32_t writable;
};

struct state {
	const uint8_t *data;
	size_t left;
	uint8_t *parts[5]; /* desc, driver, device, slots, tables */
	size_t bytes[5];
	struct aero_virtio_guest_queue_config ring;
	struct aero_virtio_guest_queue queue;
	struct virtio_device dev; /* used, used_wrap: where the driver takes next */
	struct flight flight[SIZE_MAX_TRIED];
	uint16_t order[SIZE_MAX_TRIED]; /* ids in the order they were given */
	uint32_t in_flight;
	uint32_t free_entries;
	uint32_t given;	    /* since the last question; split: chains, packed: entries */
	uint32_t batch;	    /* IN_ORDER: how many more of order[] are answered */
	uint32_t batch_len; /* of the last of them */
	uint16_t next_token;
	enum aero_virtio_guest_queue_fault fault;
};

/* Input --------------------------------------------------------------------------------------- */

static uint32_t take(struct state *st, unsigned int len)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < len && st->left; i++, st->left--)
		value |= (uint32_t)*st->data++ << 8 * i;
	return value;
}

static uint64_t get(const struct state *st, unsigned int part, size_t offset, unsigned int len)
{
	CHECK(offset + len <= st->bytes[part]);
	return virtio_device_get(&st->dev, st->parts[part] + offset, len);
}

static void put(struct state *st, unsigned int part, size_t offset, uint64_t value,
		unsigned int len)
{
	if (offset + len <= st->bytes[part])
		virtio_device_put(&st->dev, st->parts[part] + offset, value, len);
}

/* The model ----------------------------------------------------------------------------------- */

static void step(const struct state *st, uint32_t entries, uint16_t *position, bool *wrap)
{
	while (entries--) {
		if (++*position == st->ring.size) {
			*position = 0;
			*wrap = !*wrap;
		}
	}
}

/* The next used entry; AERO_EAGAIN: there is none. */
static enum aero_status model_look(struct state *st, uint32_t *out_id, uint32_t *out_len)
{
	size_t at = 16 * (size_t)st->dev.used;
	uint16_t flags;
	uint16_t waiting;

	if (!st->ring.is_packed) {
		waiting = (uint16_t)(get(st, 2, 2, 2) - st->dev.used);
		if (!waiting)
			return AERO_EAGAIN;
		if (waiting > st->in_flight) {
			st->fault = AERO_VIRTIO_GUEST_QUEUE_FAULT_INDEX;
			return AERO_EPROTO;
		}
		at = 4 + 8 * (size_t)(st->dev.used % st->ring.size);
		*out_id = (uint32_t)get(st, 2, at, 4);
		*out_len = (uint32_t)get(st, 2, at + 4, 4);
		return AERO_OK;
	}
	flags = (uint16_t)get(st, 0, at + 14, 2);
	if (!(flags & 0x80) == st->dev.used_wrap || !(flags & 0x8000) == st->dev.used_wrap)
		return AERO_EAGAIN;
	*out_id = (uint32_t)get(st, 0, at + 12, 2);
	*out_len = flags & 2 ? (uint32_t)get(st, 0, at + 8, 4) : 0;
	return AERO_OK;
}

static enum aero_status model_check(struct state *st, uint32_t id, uint32_t len)
{
	if (id >= st->ring.size)
		st->fault = AERO_VIRTIO_GUEST_QUEUE_FAULT_ID;
	else if (!st->flight[id].entries)
		st->fault = AERO_VIRTIO_GUEST_QUEUE_FAULT_TWICE;
	else if (len > st->flight[id].writable && !st->ring.is_length_ignored)
		st->fault = AERO_VIRTIO_GUEST_QUEUE_FAULT_LENGTH;
	return st->fault ? AERO_EPROTO : AERO_OK;
}

static uint32_t place_in_order(const struct state *st, uint32_t id)
{
	for (uint32_t i = 0; i < st->in_flight; i++)
		if (st->order[i] == id)
			return i;
	abort();
}

static void model_forget(struct state *st, uint32_t place)
{
	uint16_t id = st->order[place];

	if (st->ring.is_packed)
		step(st, st->flight[id].entries, &st->dev.used, &st->dev.used_wrap);
	else
		st->dev.used++;
	st->free_entries += st->flight[id].entries;
	st->flight[id].entries = 0;
	st->in_flight--;
	memmove(&st->order[place], &st->order[place + 1],
		(st->in_flight - place) * sizeof(st->order[0]));
}

static enum aero_status model_take(struct state *st, struct aero_virtio_guest_used *out_used)
{
	enum aero_status status;
	uint32_t place = 0;
	uint32_t id;
	uint32_t len;

	if (st->fault)
		return AERO_EPROTO;
	if (!st->batch) {
		status = model_look(st, &id, &len);
		if (status == AERO_OK)
			status = model_check(st, id, len);
		if (status != AERO_OK)
			return status;
		place = place_in_order(st, id);
		st->batch_len = len < st->flight[id].writable ? len : st->flight[id].writable;
		st->batch = st->ring.is_in_order ? place + 1 : 1;
	}
	if (st->ring.is_in_order)
		place = 0;
	id = st->order[place];
	out_used->token = st->flight[id].token;
	out_used->len = --st->batch ? st->flight[id].writable : st->batch_len;
	model_forget(st, place);
	return AERO_OK;
}

/* Whether the nth entry before the next one is where the device wants a kick. */
static bool is_event_at(const struct state *st, uint32_t nth)
{
	uint16_t position = st->dev.avail;
	bool wrap = st->dev.avail_wrap;

	if (!st->ring.is_packed)
		return get(st, 2, 4 + 8 * (size_t)st->ring.size, 2) == (uint16_t)(position - nth);
	for (; nth; nth--) {
		if (!position) {
			position = (uint16_t)st->ring.size;
			wrap = !wrap;
		}
		position--;
	}
	return get(st, 2, 0, 2) == (position | (wrap ? 0x8000u : 0));
}

static bool is_event_a_place(const struct state *st)
{
	return !st->ring.is_packed || !st->ring.has_event_idx ||
	       (get(st, 2, 0, 2) & 0x7fff) < st->ring.size;
}

static bool model_kick(const struct state *st)
{
	uint32_t given = st->given;

	if (!given)
		return false;
	if (!st->ring.is_packed && !st->ring.has_event_idx)
		return !(get(st, 2, 0, 2) & 1);
	if (st->ring.is_packed) {
		uint16_t flags = get(st, 2, 2, 2) & 3;

		if (flags != 2 || !st->ring.has_event_idx)
			return flags != 1;
	}
	for (uint32_t nth = 1; nth <= given; nth++)
		if (is_event_at(st, nth))
			return true;
	return false;
}

/* Operations ---------------------------------------------------------------------------------- */

/* part: bits 0-1; offset of 2 bytes, length, bytes. */
static void op_write(struct state *st)
{
	static const unsigned int parts[4] = { 0, 1, 2, 4 };
	unsigned int part = parts[take(st, 1) & 3];
	size_t offset = take(st, 2);
	uint32_t len = take(st, 1);

	offset %= st->bytes[part];
	for (; len && offset < st->bytes[part] && st->left; len--, offset++)
		st->parts[part][offset] = (uint8_t)take(st, 1);
}

/* A used entry as the driver expects the next one; flags: packed, bit 0 changes the wrap bit. */
static void put_entry(struct state *st, uint32_t id, uint32_t len, uint32_t flags)
{
	size_t at = 4 + 8 * (size_t)(st->dev.used % st->ring.size);
	bool wrap = st->dev.used_wrap != (flags & 1);

	if (!st->ring.is_packed) {
		put(st, 2, at, id, 4);
		put(st, 2, at + 4, len, 4);
		return;
	}
	at = 16 * (size_t)st->dev.used;
	put(st, 0, at + 8, len, 4);
	put(st, 0, at + 12, id, 2);
	put(st, 0, at + 14, (wrap ? 0x8080u : 0) | (flags & 0x7f7e) | (len ? 2 : 0), 2);
}

/* id and length as they are, flags; split: the index is moved by as much. */
static void op_entry(struct state *st)
{
	uint32_t id = take(st, 2);
	uint32_t len = take(st, 2);
	uint32_t flags = take(st, 1);

	if (flags & 0x80)
		id |= 0x10000;
	if (flags & 0x40)
		len <<= 16;
	put_entry(st, id, len, flags & 0x3f);
	if (!st->ring.is_packed)
		put(st, 2, 2, (uint16_t)(st->dev.used + (flags & 0x3f)), 2);
}

/* What a good device would write: the nth in flight, with so much of its length. */
static void op_answer(struct state *st)
{
	uint32_t nth = take(st, 1);
	uint32_t part = take(st, 1);
	uint32_t id;

	if (!st->in_flight || st->batch)
		return;
	nth %= st->in_flight;
	id = st->order[nth];
	put_entry(st, id, (uint32_t)((uint64_t)st->flight[id].writable * part / 255), 0);
	if (!st->ring.is_packed)
		put(st, 2, 2, (uint16_t)(st->dev.used + 1 + (st->ring.is_in_order ? nth : 0)), 2);
}

static void op_index(struct state *st)
{
	put(st, 2, 2, take(st, 2), 2);
}

/* Where and whether the device wants kicks; bit 7 of the offset: around the place of the driver. */
static void op_event(struct state *st)
{
	uint32_t flags = take(st, 1);
	uint32_t value = take(st, 2);

	if (flags & 0x80)
		value = (uint16_t)(st->dev.avail - (value & 15)) |
			(st->ring.is_packed && flags & 0x40 ? 0x8000u : 0);
	put(st, 2, st->ring.is_packed ? 2 : 0, flags & 0x3f, 2);
	put(st, 2, st->ring.is_packed ? 0 : 4 + 8 * (size_t)st->ring.size, value, 2);
}

static void enter(struct state *st, const struct aero_virtio_guest_chain *give)
{
	struct virtio_device_chain seen;
	uint32_t writable = 0;

	/* The positions are those of the driver: it must have written just there. */
	CHECK(virtio_device_pop(&st->dev, &seen));
	CHECK(seen.count == give->count);
	for (uint32_t i = 0; i < seen.count; i++) {
		CHECK(seen.buffers[i].gpa == give->buffers[i].gpa);
		CHECK(seen.buffers[i].len == give->buffers[i].len);
		CHECK(seen.buffers[i].is_writable == give->buffers[i].is_writable);
		writable += seen.buffers[i].is_writable ? seen.buffers[i].len : 0;
	}
	CHECK(seen.id < st->ring.size && !st->flight[seen.id].entries);
	st->flight[seen.id].token = give->token;
	st->flight[seen.id].entries = seen.entries;
	st->flight[seen.id].writable = writable;
	st->order[st->in_flight++] = seen.id;
	st->free_entries -= seen.entries;
	st->given += st->ring.is_packed ? seen.entries : 1;
}

/* shape: bits 0-2 buffers less one, 3-5 how many are writable, 6 with a table, 7 an odd length. */
static void op_give(struct state *st)
{
	struct aero_virtio_guest_buffer buffers[BUFFERS_MAX];
	struct aero_virtio_guest_chain chain = { .buffers = buffers, .token = st->next_token };
	uint32_t shape = take(st, 1);
	uint32_t writable = shape >> 3 & 7;
	size_t table = TABLE_BYTES * (st->next_token % SIZE_MAX_TRIED);
	enum aero_status want = AERO_OK;
	uint32_t entries;

	chain.count = 1 + (shape & 7);
	for (uint32_t i = 0; i < chain.count; i++) {
		buffers[i].gpa = 0x1000ull * (i + 1) + ((uint64_t)st->next_token << 32);
		buffers[i].len = shape & 0x80 ? 1 + take(st, 2) : 4096;
		buffers[i].is_writable = i + writable >= chain.count;
	}
	if (shape & 0x40) {
		chain.table = st->parts[4] + table;
		chain.table_gpa = TABLES_GPA + table;
	}
	entries = chain.table && st->ring.has_indirect ? 1 : chain.count;
	if (st->fault)
		want = AERO_ESTATE;
	else if (entries > st->ring.size)
		want = AERO_EINVAL;
	else if (entries > st->free_entries)
		want = AERO_EAGAIN;
	CHECK(aero_virtio_guest_queue_give(&st->queue, &chain) == want);
	if (want != AERO_OK)
		return;
	st->next_token++;
	enter(st, &chain);
}

/* bits 0-4: so many at most. */
static void op_take(struct state *st)
{
	uint32_t count = 1 + (take(st, 1) & 31);
	enum aero_status status = AERO_OK;

	while (count-- && status == AERO_OK) {
		struct aero_virtio_guest_used used = { 0, 0 };
		struct aero_virtio_guest_used want = { 0, 0 };

		status = aero_virtio_guest_queue_take(&st->queue, &used);
		CHECK(status == model_take(st, &want));
		CHECK(st->queue.fault == st->fault);
		CHECK(used.token == want.token && used.len == want.len);
	}
}

static void op_kick(struct state *st)
{
	bool want = model_kick(st);
	bool is_kick = aero_virtio_guest_queue_kick_needed(&st->queue);

	/*
	 * After a lap without a question it may be told of what it asked for long ago; who
	 * names a place that there is not may be told or not.
	 */
	if (st->given <= st->ring.size && is_event_a_place(st))
		CHECK(is_kick == want);
	st->given = 0;
	CHECK(!aero_virtio_guest_queue_kick_needed(&st->queue));
}

/* An answer of true is a take() that does not answer "none". */
static void op_interrupt(struct state *st)
{
	uint32_t count = take(st, 1);
	uint32_t id;
	uint32_t len;

	if (!aero_virtio_guest_queue_interrupt_after(&st->queue, count))
		return;
	CHECK(count);
	CHECK(st->fault || st->batch || model_look(st, &id, &len) != AERO_EAGAIN);
	if (st->fault != st->queue.fault)
		st->fault = AERO_VIRTIO_GUEST_QUEUE_FAULT_NONE; /* only a look */
}

static void start(struct state *st)
{
	struct aero_virtio_guest_queue_config ring = st->ring;

	memset(st->flight, 0, sizeof(st->flight));
	CHECK(aero_virtio_guest_queue_start(&st->queue, &ring) == AERO_OK);
	virtio_device_init(&st->dev, &ring);
	st->dev.tables = st->parts[4];
	st->dev.tables_gpa = TABLES_GPA;
	st->in_flight = 0;
	st->free_entries = ring.size;
	st->given = 0;
	st->batch = 0;
	st->fault = AERO_VIRTIO_GUEST_QUEUE_FAULT_NONE;
}

/* Every token that is in flight comes back once, and no other. */
static void op_restart(struct state *st)
{
	uint16_t token;

	while (aero_virtio_guest_queue_stop(&st->queue, &token)) {
		uint32_t place = 0;

		CHECK(aero_virtio_guest_queue_validate(&st->queue) == AERO_OK);
		while (place < st->in_flight && st->flight[st->order[place]].token != token)
			place++;
		CHECK(place < st->in_flight);
		model_forget(st, place);
	}
	CHECK(!st->in_flight);
	start(st);
}

static void (*const operations[])(struct state *st) = {
	op_write, op_entry, op_answer, op_index,     op_event,
	op_give,  op_take,  op_kick,   op_interrupt, op_restart,
};

/*
 * flags: 1 packed, 2 event index, 4 indirect, 8 big-endian, 16 in order, 32 lengths ignored. The
 * size: packed as it is, split the logarithm of it.
 */
static void start_ring(struct state *st)
{
	uint32_t flags = take(st, 1);
	uint32_t size = take(st, 1);

	st->ring.is_packed = flags & 1;
	st->ring.has_event_idx = flags & 2;
	st->ring.has_indirect = flags & 4;
	st->ring.is_big_endian = flags & 8 && !st->ring.is_packed;
	st->ring.is_in_order = flags & 16;
	st->ring.is_length_ignored = flags & 32;
	st->ring.size = st->ring.is_packed ? 1 + size % SIZE_MAX_TRIED : 1u << (size & 7);
	size = st->ring.size;
	st->bytes[0] = (size_t)16 * size;
	st->bytes[1] = st->ring.is_packed ? 4 : 6 + (size_t)2 * size;
	st->bytes[2] = st->ring.is_packed ? 4 : 6 + (size_t)8 * size;
	st->bytes[3] = size * sizeof(struct aero_virtio_guest_slot);
	st->bytes[4] = SIZE_MAX_TRIED * TABLE_BYTES;
	for (unsigned int i = 0; i < 5; i++) {
		st->parts[i] = malloc(st->bytes[i]);
		CHECK(st->parts[i]);
		memset(st->parts[i], 0xa5, st->bytes[i]);
	}
	st->ring.desc = st->parts[0];
	st->ring.driver = st->parts[1];
	st->ring.device = st->parts[2];
	st->ring.slots = (void *)st->parts[3];
	start(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct state st;

	memset(&st, 0, sizeof(st));
	st.data = data;
	st.left = size;
	start_ring(&st);
	for (unsigned int i = 0; i < OPERATIONS && st.left; i++) {
		operations[take(&st, 1) % (sizeof(operations) / sizeof(operations[0]))](&st);
		CHECK(aero_virtio_guest_queue_validate(&st.queue) == AERO_OK);
		CHECK(st.queue.in_flight == st.in_flight);
		CHECK(st.queue.free_entries == st.free_entries);
	}
	op_restart(&st);
	for (unsigned int i = 0; i < 5; i++)
		free(st.parts[i]);
	return 0;
}
