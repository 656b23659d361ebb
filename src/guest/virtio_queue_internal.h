/* SPDX-License-Identifier: MIT */
#ifndef AERO_GUEST_VIRTIO_QUEUE_INTERNAL_H
#define AERO_GUEST_VIRTIO_QUEUE_INTERNAL_H

/*
 * What the parts of the driver's side of a virtqueue share. virtio_queue.c keeps the record of what
 * is in flight and chooses the format, virtio_queue_split.c and virtio_queue_packed.c are the
 * formats: they alone touch the ring. virtio_queue_validate.c checks the record.
 *
 * Without IN_ORDER the free slots are a stack through next, and a chain in flight keeps its own
 * links, so that its last slot is all that its return needs. With IN_ORDER the links are one
 * circle through all slots and never change: what is given is taken in the same order.
 */

#include <aerostat/guest/virtio_queue.h>
#include <aerostat/wire/virtio.h>

#include "../core/platform.h"

/* What the device says has come back. */
struct aero_virtio_guest_entry {
	uint32_t id;
	uint32_t len;
};

/* 16-bit fields at even addresses, each read and written once, whole. */
static inline uint16_t aero_virtio_guest_load16(const struct aero_virtio_guest_queue *queue,
						const uint16_t *p)
{
	return aero_swap16(aero_load16(p), queue->is_swapped);
}

static inline void aero_virtio_guest_store16(const struct aero_virtio_guest_queue *queue,
					     uint16_t *p, uint16_t v)
{
	aero_store16(p, aero_swap16(v, queue->is_swapped));
}

/* All of a descriptor but its last two bytes; third: split: flags, packed: id. */
static inline void aero_virtio_guest_put_desc(const struct aero_virtio_guest_queue *queue, void *at,
					      const struct aero_virtio_guest_buffer *buffer,
					      uint16_t third)
{
	struct aero_virtio_wire_desc *desc = at;

	desc->addr = aero_swap64(buffer->gpa, queue->is_swapped);
	desc->len = aero_swap32(buffer->len, queue->is_swapped);
	desc->flags = aero_swap16(third, queue->is_swapped);
}

static inline uint16_t aero_virtio_guest_write_flag(const struct aero_virtio_guest_buffer *buffer)
{
	return buffer->is_writable ? AERO_VIRTIO_DESC_F_WRITE : 0;
}

/*
 * The formats. give() takes slots from free_head on and publishes count descriptors; flags go into
 * each of them. look() answers the next used entry as the device wrote it, not checked, AERO_EAGAIN
 * where there is none, or the fault. skip() passes what a chain took of the used side.
 * interrupt_after() answers whether count have come back; count is 1 to the size.
 */
void aero_virtio_guest_split_give(struct aero_virtio_guest_queue *queue,
				  const struct aero_virtio_guest_buffer *buffers, uint32_t count,
				  uint16_t flags);
bool aero_virtio_guest_split_is_kick_wanted(const struct aero_virtio_guest_queue *queue);
enum aero_status aero_virtio_guest_split_look(struct aero_virtio_guest_queue *queue,
					      struct aero_virtio_guest_entry *out_entry);
void aero_virtio_guest_split_interrupt_off(struct aero_virtio_guest_queue *queue);
bool aero_virtio_guest_split_interrupt_after(struct aero_virtio_guest_queue *queue, uint32_t count);

void aero_virtio_guest_packed_give(struct aero_virtio_guest_queue *queue,
				   const struct aero_virtio_guest_buffer *buffers, uint32_t count,
				   uint16_t flags);
bool aero_virtio_guest_packed_is_kick_wanted(const struct aero_virtio_guest_queue *queue);
enum aero_status aero_virtio_guest_packed_look(struct aero_virtio_guest_queue *queue,
					       struct aero_virtio_guest_entry *out_entry);
void aero_virtio_guest_packed_skip(struct aero_virtio_guest_queue *queue, uint32_t entries);
void aero_virtio_guest_packed_interrupt_off(struct aero_virtio_guest_queue *queue);
bool aero_virtio_guest_packed_interrupt_after(struct aero_virtio_guest_queue *queue,
					      uint32_t count);

#endif
