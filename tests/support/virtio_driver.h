/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_VIRTIO_DRIVER_H
#define AEROSTAT_TESTS_SUPPORT_VIRTIO_DRIVER_H

/*
 * The driver's end of a virtqueue, for tests. Written from the specification alone: it knows none
 * of our wire structures, only offsets and numbers, and it remembers by itself what it has given.
 *
 * give() and take() do what a good driver does. A hostile test builds on the same state with the
 * raw calls, or writes into guest memory.
 */

#include <stdbool.h>
#include <stdint.h>

#include <aerostat/host/virtio_queue.h>

#include "support/guest_ram.h"

/* Flags of a descriptor, as the specification numbers them. */
#define VIRTIO_DRIVER_NEXT 1u
#define VIRTIO_DRIVER_WRITE 2u
#define VIRTIO_DRIVER_INDIRECT 4u
#define VIRTIO_DRIVER_AVAIL 0x80u
#define VIRTIO_DRIVER_USED 0x8000u

struct virtio_driver_buffer {
	aero_gpa gpa;
	uint32_t len;
	bool is_writable;
};

struct virtio_driver_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next; /* split: next; packed: id */
};

struct virtio_driver {
	struct guest_ram *ram;
	struct aero_virtio_queue_config ring; /* what to start the device's end with */
	uint16_t *slots;		      /* by id: descriptors in flight, 0 is free */
	uint16_t *free;			      /* split: descriptors, packed: ids */
	uint32_t free_ids;
	uint32_t free_slots;
	uint16_t *link; /* split: the descriptor after, of those in flight */
	uint16_t avail; /* split: avail.idx; packed: position */
	uint16_t used;
	bool avail_wrap;
	bool used_wrap;
	uint16_t kicked; /* split: avail.idx when a kick was last thought of; packed: slots since */
};

enum virtio_driver_answer {
	VIRTIO_DRIVER_NOTHING,
	VIRTIO_DRIVER_TAKEN,
	VIRTIO_DRIVER_BROKEN, /* the device returned what it was not given */
};

/*
 * Lays a fresh ring out from gpa on, each part at its own 4096 bytes; ring gives the rest of the
 * configuration and is filled in. Memory must be there, and zero.
 */
void virtio_driver_init(struct virtio_driver *drv, struct guest_ram *ram,
			const struct aero_virtio_queue_config *ring, aero_gpa gpa);
void virtio_driver_fini(struct virtio_driver *drv);

/* Bytes of guest memory that init() uses. */
size_t virtio_driver_ring_bytes(uint32_t size);

/* False when the ring has no room. table is where an indirect table goes. */
bool virtio_driver_give(struct virtio_driver *drv, const struct virtio_driver_buffer *buffers,
			uint32_t count, uint16_t *out_id);
bool virtio_driver_give_indirect(struct virtio_driver *drv, aero_gpa table,
				 const struct virtio_driver_buffer *buffers, uint32_t count,
				 uint16_t *out_id);

enum virtio_driver_answer virtio_driver_take(struct virtio_driver *drv, uint16_t *out_id,
					     uint32_t *out_len);

/* Whether the device wants a kick for what was given since the last call. */
bool virtio_driver_wants_kick(struct virtio_driver *drv);

/* Ask for interrupts always or never, or (with the event index) for the nth used entry from now. */
void virtio_driver_set_interrupts(struct virtio_driver *drv, bool is_enabled);
void virtio_driver_interrupt_at(struct virtio_driver *drv, uint16_t entries);

/* Raw: a descriptor anywhere, one of the ring, the index or the flags that publish. */
void virtio_driver_put_desc(struct virtio_driver *drv, aero_gpa gpa,
			    const struct virtio_driver_desc *desc);
void virtio_driver_put_ring_desc(struct virtio_driver *drv, uint32_t index,
				 const struct virtio_driver_desc *desc);
void virtio_driver_publish_split(struct virtio_driver *drv, uint16_t head);
void virtio_driver_put_avail_idx(struct virtio_driver *drv, uint16_t idx);
uint16_t virtio_driver_packed_flags(bool avail_wrap);

#endif
