/* SPDX-License-Identifier: MIT */
#include "support/virtio_guest_rig.h"

#define TABLE_BYTES ((size_t)16 * AERO_VIRTIO_GUEST_CHAIN_MAX)

static const struct {
	const char *name;
	struct aero_virtio_guest_queue_config ring;
} variants[VIRTIO_GUEST_RIG_VARIANTS] = {
	{ "split", { .size = 8 } },
	{ "split indirect", { .size = 16, .has_indirect = true } },
	{ "split event", { .size = 16, .has_event_idx = true, .has_indirect = true } },
	{ "split in order", { .size = 8, .is_in_order = true } },
	{ "split event in order",
	  { .size = 8, .has_event_idx = true, .is_in_order = true, .has_indirect = true } },
	{ "split big-endian", { .size = 8, .is_big_endian = true, .has_indirect = true } },
	{ "split big-endian event", { .size = 8, .is_big_endian = true, .has_event_idx = true } },
	{ "packed", { .size = 8, .is_packed = true } },
	{ "packed odd", { .size = 11, .is_packed = true, .has_indirect = true } },
	{ "packed event",
	  { .size = 8, .is_packed = true, .has_event_idx = true, .has_indirect = true } },
	{ "packed odd event", { .size = 13, .is_packed = true, .has_event_idx = true } },
	{ "packed in order",
	  { .size = 8, .is_packed = true, .is_in_order = true, .has_indirect = true } },
	{ "packed odd event in order",
	  { .size = 9, .is_packed = true, .is_in_order = true, .has_event_idx = true } },
};

static uint8_t *make_part(size_t bytes)
{
	uint8_t *part = malloc(bytes);

	if (!part)
		abort();
	memset(part, 0xa5, bytes);
	return part;
}

void virtio_guest_rig_make(struct virtio_guest_rig *rig,
			   const struct aero_virtio_guest_queue_config *ring)
{
	size_t size = ring->size;

	memset(rig, 0, sizeof(*rig));
	rig->parts[0] = make_part(16 * size);
	rig->parts[1] = make_part(ring->is_packed ? 4 : 6 + 2 * size);
	rig->parts[2] = make_part(ring->is_packed ? 4 : 6 + 8 * size);
	rig->parts[3] = make_part(size * sizeof(struct aero_virtio_guest_slot));
	rig->parts[4] = make_part(VIRTIO_GUEST_RIG_TABLE_COUNT * TABLE_BYTES);
	rig->ring = *ring;
	rig->ring.desc = rig->parts[0];
	rig->ring.driver = rig->parts[1];
	rig->ring.device = rig->parts[2];
	rig->ring.slots = (void *)rig->parts[3];
}

static void check(const struct virtio_guest_rig *rig)
{
	assert_int_equal(aero_virtio_guest_queue_validate(&rig->queue), AERO_OK);
}

void virtio_guest_rig_open(struct virtio_guest_rig *rig,
			   const struct aero_virtio_guest_queue_config *ring)
{
	virtio_guest_rig_make(rig, ring);
	assert_int_equal(aero_virtio_guest_queue_start(&rig->queue, &rig->ring), AERO_OK);
	check(rig);
	virtio_device_init(&rig->dev, &rig->ring);
	rig->dev.tables = rig->parts[4];
	rig->dev.tables_gpa = VIRTIO_GUEST_RIG_TABLES;
}

void virtio_guest_rig_close(struct virtio_guest_rig *rig)
{
	for (size_t i = 0; i < TEST_ARRAY_SIZE(rig->parts); i++)
		free(rig->parts[i]);
}

void virtio_guest_rig_expand(struct CMUnitTest *out, const struct CMUnitTest *cases, size_t count)
{
	static char names[32 * VIRTIO_GUEST_RIG_VARIANTS][120];

	assert_true(count <= 32);
	for (size_t i = 0; i < count * VIRTIO_GUEST_RIG_VARIANTS; i++) {
		size_t variant = i % VIRTIO_GUEST_RIG_VARIANTS;

		out[i] = cases[i / VIRTIO_GUEST_RIG_VARIANTS];
		snprintf(names[i], sizeof(names[i]), "%s [%s]", out[i].name,
			 variants[variant].name);
		out[i].name = names[i];
		out[i].initial_state = (void *)&variants[variant].ring;
	}
}

const struct aero_virtio_guest_queue_config *virtio_guest_rig_ring(void **state)
{
	return *state;
}

static struct aero_virtio_guest_buffer buffer_of(uint16_t token, uint32_t i, uint32_t count,
						 uint32_t writable)
{
	struct aero_virtio_guest_buffer buffer = {
		.gpa = VIRTIO_GUEST_RIG_DATA + token * 0x100000ull + i * 0x1000ull,
		.len = 16 * (i + 1),
		.is_writable = i + writable >= count,
	};

	return buffer;
}

static enum aero_status try_give(struct virtio_guest_rig *rig, uint16_t token, uint32_t count,
				 uint32_t writable, bool has_table)
{
	struct aero_virtio_guest_buffer buffers[AERO_VIRTIO_GUEST_CHAIN_MAX + 1];
	struct aero_virtio_guest_chain chain = {
		.buffers = buffers,
		.count = count,
		.token = token,
	};
	enum aero_status status;

	if (has_table) {
		chain.table = rig->parts[4] + token * TABLE_BYTES;
		chain.table_gpa = VIRTIO_GUEST_RIG_TABLES + token * TABLE_BYTES;
	}
	for (uint32_t i = 0; i < count && i <= AERO_VIRTIO_GUEST_CHAIN_MAX; i++)
		buffers[i] = buffer_of(token, i, count, writable);
	status = aero_virtio_guest_queue_give(&rig->queue, &chain);
	/* Copied. */
	memset(buffers, 0xee, sizeof(buffers));
	memset(&chain, 0xee, sizeof(chain));
	check(rig);
	return status;
}

enum aero_status virtio_guest_rig_try_give(struct virtio_guest_rig *rig, uint16_t token,
					   uint32_t count, uint32_t writable)
{
	return try_give(rig, token, count, writable, false);
}

enum aero_status virtio_guest_rig_try_table(struct virtio_guest_rig *rig, uint16_t token,
					    uint32_t count, uint32_t writable)
{
	return try_give(rig, token, count, writable, true);
}

void virtio_guest_rig_give(struct virtio_guest_rig *rig, uint16_t token, uint32_t count,
			   uint32_t writable)
{
	assert_int_equal(try_give(rig, token, count, writable, false), AERO_OK);
}

struct virtio_device_chain virtio_guest_rig_pop(struct virtio_guest_rig *rig)
{
	struct virtio_device_chain chain;

	assert_true(virtio_device_pop(&rig->dev, &chain));
	return chain;
}

void virtio_guest_rig_take(struct virtio_guest_rig *rig, uint16_t token, uint32_t len)
{
	struct aero_virtio_guest_used used = { .token = 0xdead, .len = 0xdeadbeef };

	assert_int_equal(aero_virtio_guest_queue_take(&rig->queue, &used), AERO_OK);
	assert_int_equal(used.token, token);
	assert_int_equal(used.len, len);
	check(rig);
}

void virtio_guest_rig_take_none(struct virtio_guest_rig *rig)
{
	struct aero_virtio_guest_used used = { .token = 0xdead, .len = 0xdeadbeef };

	assert_int_equal(aero_virtio_guest_queue_take(&rig->queue, &used), AERO_EAGAIN);
	assert_int_equal(used.token, 0xdead);
	assert_int_equal(used.len, 0xdeadbeef);
	check(rig);
}

void virtio_guest_rig_expect(const struct virtio_device_chain *chain, uint16_t token,
			     uint32_t count, uint32_t writable)
{
	assert_int_equal(chain->count, count);
	assert_int_equal(chain->entries, chain->is_indirect ? 1 : count);
	for (uint32_t i = 0; i < count; i++) {
		struct aero_virtio_guest_buffer want = buffer_of(token, i, count, writable);

		assert_int_equal(chain->buffers[i].gpa, want.gpa);
		assert_int_equal(chain->buffers[i].len, want.len);
		assert_int_equal(chain->buffers[i].is_writable, want.is_writable);
	}
}

void virtio_guest_rig_expect_fault(struct virtio_guest_rig *rig,
				   enum aero_virtio_guest_queue_fault fault, uint32_t in_flight)
{
	struct aero_virtio_guest_used used = { .token = 0xdead, .len = 0xdeadbeef };
	uint16_t token;

	/* What has come back is to be looked at, be it broken. */
	assert_true(aero_virtio_guest_queue_interrupt_after(&rig->queue, 1));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(aero_virtio_guest_queue_take(&rig->queue, &used), AERO_EPROTO);
		assert_int_equal(rig->queue.fault, fault);
		check(rig);
	}
	assert_int_equal(used.token, 0xdead);
	assert_int_equal(virtio_guest_rig_try_give(rig, 0, 1, 0), AERO_ESTATE);
	(void)aero_virtio_guest_queue_kick_needed(&rig->queue);
	assert_false(aero_virtio_guest_queue_kick_needed(&rig->queue));
	while (in_flight--) {
		assert_true(aero_virtio_guest_queue_stop(&rig->queue, &token));
		check(rig);
	}
	assert_false(aero_virtio_guest_queue_stop(&rig->queue, &token));
	assert_int_equal(aero_virtio_guest_queue_take(&rig->queue, &used), AERO_ESTATE);
	assert_int_equal(rig->queue.fault, fault);
	assert_int_equal(aero_virtio_guest_queue_start(&rig->queue, &rig->ring), AERO_OK);
	assert_int_equal(rig->queue.fault, AERO_VIRTIO_GUEST_QUEUE_FAULT_NONE);
	virtio_guest_rig_take_none(rig);
}
