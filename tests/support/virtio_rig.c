/* SPDX-License-Identifier: MIT */
#include "support/virtio_rig.h"

static const struct {
	const char *name;
	struct aero_virtio_queue_config ring;
} variants[VIRTIO_RIG_VARIANTS] = {
	{ "split", { .size = 8, .has_indirect = true } },
	{ "split event", { .size = 16, .has_indirect = true, .has_event_idx = true } },
	{ "split big-endian", { .size = 8, .has_indirect = true, .is_big_endian = true } },
	{ "packed", { .size = 8, .has_indirect = true, .is_packed = true } },
	{ "packed odd", { .size = 7, .has_indirect = true, .is_packed = true } },
	{ "packed event",
	  { .size = 11, .has_indirect = true, .is_packed = true, .has_event_idx = true } },
};

void virtio_rig_open(struct virtio_rig *rig, const struct aero_virtio_queue_config *ring)
{
	memset(rig, 0, sizeof(*rig));
	guest_ram_init(&rig->ram);
	guest_ram_add(&rig->ram, VIRTIO_RIG_RING, virtio_driver_ring_bytes(ring->size));
	guest_ram_add(&rig->ram, 0, VIRTIO_RIG_SEAM);
	guest_ram_add(&rig->ram, VIRTIO_RIG_SEAM, VIRTIO_RIG_END - VIRTIO_RIG_SEAM);
	virtio_driver_init(&rig->drv, &rig->ram, ring, VIRTIO_RIG_RING);
	assert_int_equal(aero_virtio_queue_start(&rig->queue, &rig->drv.ring), AERO_OK);
	assert_false(aero_virtio_queue_set_kicks(&rig->queue, true));
}

void virtio_rig_close(struct virtio_rig *rig)
{
	virtio_driver_fini(&rig->drv);
	guest_ram_fini(&rig->ram);
}

void virtio_rig_expand(struct CMUnitTest *out, const struct CMUnitTest *cases, size_t count)
{
	static char names[64 * VIRTIO_RIG_VARIANTS][120];

	assert_true(count <= 64);
	for (size_t i = 0; i < count * VIRTIO_RIG_VARIANTS; i++) {
		size_t variant = i % VIRTIO_RIG_VARIANTS;

		out[i] = cases[i / VIRTIO_RIG_VARIANTS];
		snprintf(names[i], sizeof(names[i]), "%s [%s]", out[i].name,
			 variants[variant].name);
		out[i].name = names[i];
		out[i].initial_state = (void *)&variants[variant].ring;
	}
}

const struct aero_virtio_queue_config *virtio_rig_ring(void **state)
{
	return *state;
}

uint16_t virtio_rig_give(struct virtio_rig *rig, const struct virtio_driver_buffer *buffers,
			 uint32_t count)
{
	uint16_t id = 0xffff;

	assert_true(virtio_driver_give(&rig->drv, buffers, count, &id));
	return id;
}

struct aero_virtio_chain virtio_rig_pop(struct virtio_rig *rig)
{
	struct aero_virtio_chain chain;

	assert_int_equal(aero_virtio_queue_pop(&rig->queue, &chain), AERO_OK);
	return chain;
}

void virtio_rig_push(struct virtio_rig *rig, const struct aero_virtio_chain *chain,
		     uint32_t written)
{
	assert_int_equal(aero_virtio_queue_push(&rig->queue, chain, written), AERO_OK);
}

uint16_t virtio_rig_take(struct virtio_rig *rig, uint32_t *out_len)
{
	uint16_t id = 0xffff;

	assert_int_equal(virtio_driver_take(&rig->drv, &id, out_len), VIRTIO_DRIVER_TAKEN);
	return id;
}

enum aero_status virtio_rig_drain(struct virtio_rig *rig, struct aero_virtio_chain *chain)
{
	struct aero_virtio_segment segment;
	enum aero_status status;
	uint8_t buf[13];
	uint32_t len;

	do {
		status = aero_virtio_queue_read(&rig->queue, chain, buf, sizeof(buf), &len);
		if (status != AERO_OK)
			return status;
	} while (len == sizeof(buf));
	do {
		status = aero_virtio_queue_next_segment(&rig->queue, chain, &segment);
	} while (status == AERO_OK);
	return status;
}

void virtio_rig_expect_fault(struct virtio_rig *rig, enum aero_virtio_queue_fault fault)
{
	struct aero_virtio_chain chain;
	struct aero_virtio_segment segment;
	enum aero_status status = aero_virtio_queue_pop(&rig->queue, &chain);
	uint16_t id;
	uint32_t len;

	if (status == AERO_OK)
		status = virtio_rig_drain(rig, &chain);
	else
		memset(&chain, 0, sizeof(chain));
	assert_int_equal(status, AERO_EPROTO);
	assert_int_equal(rig->queue.fault, fault);

	assert_int_equal(aero_virtio_queue_push(&rig->queue, &chain, 0), AERO_EPROTO);
	assert_int_equal(virtio_driver_take(&rig->drv, &id, &len), VIRTIO_DRIVER_NOTHING);
	assert_int_equal(aero_virtio_queue_pop(&rig->queue, &chain), AERO_EPROTO);
	assert_int_equal(aero_virtio_queue_next_segment(&rig->queue, &chain, &segment),
			 AERO_EPROTO);
	assert_int_equal(aero_virtio_queue_read(&rig->queue, &chain, &id, 1, &len), AERO_EPROTO);
	assert_false(aero_virtio_queue_should_notify(&rig->queue));
	assert_false(aero_virtio_queue_set_kicks(&rig->queue, true));
	assert_int_equal(rig->queue.fault, fault);
}

uint8_t virtio_rig_byte(aero_gpa gpa)
{
	return (uint8_t)((gpa * 2654435761u) >> 11);
}

void virtio_rig_fill(struct virtio_rig *rig, aero_gpa gpa, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t byte = virtio_rig_byte(gpa + i);

		guest_ram_write(&rig->ram, gpa + i, &byte, 1);
	}
}
