/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_VIRTIO_RIG_H
#define AEROSTAT_TESTS_SUPPORT_VIRTIO_RIG_H

/*
 * A driver, guest memory and our end of a virtqueue, ready to talk, in every ring format.
 *
 * Guest memory: the ring above 4 GiB; data from address 0 on in two regions that meet at
 * VIRTIO_RIG_SEAM, neighbours for the guest only.
 */

#include "support/test.h"
#include "support/virtio_driver.h"

#define VIRTIO_RIG_RING 0x123450000ull
#define VIRTIO_RIG_DATA 0x1000u
#define VIRTIO_RIG_SEAM 0x5000u
#define VIRTIO_RIG_END 0x9000u
#define VIRTIO_RIG_VARIANTS 6

struct virtio_rig {
	struct guest_ram ram;
	struct virtio_driver drv;
	struct aero_virtio_queue queue;
};

/* Zeroed memory and a started queue. ring: format and size; the addresses are the rig's. */
void virtio_rig_open(struct virtio_rig *rig, const struct aero_virtio_queue_config *ring);
void virtio_rig_close(struct virtio_rig *rig);

/* Each case once per ring format, its name extended; the case's *state is the format. */
void virtio_rig_expand(struct CMUnitTest *out, const struct CMUnitTest *cases, size_t count);

/* What a case opens: *state as a ring, with indirect descriptors. */
const struct aero_virtio_queue_config *virtio_rig_ring(void **state);

/* Steps that must succeed. */
uint16_t virtio_rig_give(struct virtio_rig *rig, const struct virtio_driver_buffer *buffers,
			 uint32_t count);
struct aero_virtio_chain virtio_rig_pop(struct virtio_rig *rig);
void virtio_rig_push(struct virtio_rig *rig, const struct aero_virtio_chain *chain,
		     uint32_t written);
uint16_t virtio_rig_take(struct virtio_rig *rig, uint32_t *out_len);

/* Pops and reads everything, and expects that to break the queue for good with this fault. */
void virtio_rig_expect_fault(struct virtio_rig *rig, enum aero_virtio_queue_fault fault);

/* Reads a chain to its end in pieces; answers the first status that is not AERO_OK. */
enum aero_status virtio_rig_drain(struct virtio_rig *rig, struct aero_virtio_chain *chain);

/* len bytes of a pattern that differs at every address, into guest memory. */
void virtio_rig_fill(struct virtio_rig *rig, aero_gpa gpa, size_t len);
uint8_t virtio_rig_byte(aero_gpa gpa);

#endif
