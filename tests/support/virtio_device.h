/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_VIRTIO_DEVICE_H
#define AEROSTAT_TESTS_SUPPORT_VIRTIO_DEVICE_H

/*
 * The device's end of a virtqueue, for tests. Written from the specification alone: it knows none
 * of our wire structures, only offsets and numbers.
 *
 * pop() and push() do what a good device does, and end the test where the driver does not keep to
 * the specification. A hostile test builds on the same state with the raw calls.
 */

#include <stdbool.h>
#include <stdint.h>

#include <aerostat/guest/virtio_queue.h>

struct virtio_device {
	struct aero_virtio_guest_queue_config ring; /* what the driver was started with */
	uint8_t *tables;			    /* indirect tables lie here */
	aero_gpa tables_gpa;
	uint16_t avail; /* split: avail.idx; packed: position */
	uint16_t used;
	uint16_t order; /* IN_ORDER, split: the descriptor that the driver must use next */
	bool avail_wrap;
	bool used_wrap;
	uint32_t
		pushed; /* since an interrupt was last thought of; split: chains, packed: entries */
};

struct virtio_device_chain {
	uint16_t id;
	uint32_t entries; /* of the ring */
	uint32_t count;	  /* buffers */
	bool is_indirect;
	struct aero_virtio_guest_buffer buffers[AERO_VIRTIO_GUEST_CHAIN_MAX];
};

void virtio_device_init(struct virtio_device *dev,
			const struct aero_virtio_guest_queue_config *ring);

/* False when none is available. */
bool virtio_device_pop(struct virtio_device *dev, struct virtio_device_chain *out_chain);

/* Returns a chain; skips are the chains before it that a device in order answers with it. */
void virtio_device_push(struct virtio_device *dev, const struct virtio_device_chain *chain,
			uint32_t written);
void virtio_device_push_batch(struct virtio_device *dev, const struct virtio_device_chain *skips,
			      uint32_t count, uint32_t written);

/* Whether the driver wants an interrupt for what was pushed since the last call. */
bool virtio_device_wants_interrupt(struct virtio_device *dev);

/* Ask for kicks always or never, or (with the event index) for the nth entry from now. */
void virtio_device_set_kicks(struct virtio_device *dev, bool is_enabled);
void virtio_device_kick_at(struct virtio_device *dev, uint16_t entries);

/* Raw: numbers of 2, 4 or 8 bytes in the ring's order. */
void virtio_device_put(const struct virtio_device *dev, uint8_t *at, uint64_t value,
		       unsigned int len);
uint64_t virtio_device_get(const struct virtio_device *dev, const uint8_t *at, unsigned int len);

/* Raw: a used entry of any content where the next one goes, visible at once; nothing is skipped. */
void virtio_device_put_used(struct virtio_device *dev, uint32_t id, uint32_t len);

#endif
