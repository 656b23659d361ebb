/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_VIRTIO_GUEST_RIG_H
#define AEROSTAT_TESTS_SUPPORT_VIRTIO_GUEST_RIG_H

/*
 * Our driver's end of a virtqueue and a scripted device, ready to talk, in every ring format. Each
 * part of the ring is an allocation of exactly its size, so that sanitizers see an access past it.
 */

#include "support/test.h"
#include "support/virtio_device.h"

/* Where the device finds buffers and indirect tables; one table for each token of the rig. */
#define VIRTIO_GUEST_RIG_DATA 0x4567890000ull
#define VIRTIO_GUEST_RIG_TABLES 0x123450000ull
#define VIRTIO_GUEST_RIG_TABLE_COUNT 16

#define VIRTIO_GUEST_RIG_VARIANTS 13

struct virtio_guest_rig {
	struct aero_virtio_guest_queue_config ring;
	struct aero_virtio_guest_queue queue;
	struct virtio_device dev;
	uint8_t *parts[5]; /* desc, driver, device, slots, tables */
};

/* Parts for a ring of this format and size, full of rubbish; nothing is started. */
void virtio_guest_rig_make(struct virtio_guest_rig *rig,
			   const struct aero_virtio_guest_queue_config *ring);
/* The same, and started. */
void virtio_guest_rig_open(struct virtio_guest_rig *rig,
			   const struct aero_virtio_guest_queue_config *ring);
void virtio_guest_rig_close(struct virtio_guest_rig *rig);

/* Each case once per ring format, its name extended; the case's *state is the format. */
void virtio_guest_rig_expand(struct CMUnitTest *out, const struct CMUnitTest *cases, size_t count);
const struct aero_virtio_guest_queue_config *virtio_guest_rig_ring(void **state);

/*
 * Gives count buffers, the last writable ones among them writable. Buffer i of a token is at DATA +
 * token * 0x100000 + i * 0x1000 and 16 * (i + 1) bytes long.
 */
enum aero_status virtio_guest_rig_try_give(struct virtio_guest_rig *rig, uint16_t token,
					   uint32_t count, uint32_t writable);
/* In a table of its own; token is below VIRTIO_GUEST_RIG_TABLE_COUNT. */
enum aero_status virtio_guest_rig_try_table(struct virtio_guest_rig *rig, uint16_t token,
					    uint32_t count, uint32_t writable);

/* Steps that must succeed; each checks the queue with validate(). */
void virtio_guest_rig_give(struct virtio_guest_rig *rig, uint16_t token, uint32_t count,
			   uint32_t writable);
struct virtio_device_chain virtio_guest_rig_pop(struct virtio_guest_rig *rig);
void virtio_guest_rig_take(struct virtio_guest_rig *rig, uint16_t token, uint32_t len);
void virtio_guest_rig_take_none(struct virtio_guest_rig *rig);

/* That a chain is what give() said for this token. */
void virtio_guest_rig_expect(const struct virtio_device_chain *chain, uint16_t token,
			     uint32_t count, uint32_t writable);

/* Takes, and expects that to break the queue for good; then all calls, and stop() with tokens. */
void virtio_guest_rig_expect_fault(struct virtio_guest_rig *rig,
				   enum aero_virtio_guest_queue_fault fault, uint32_t in_flight);

#endif
