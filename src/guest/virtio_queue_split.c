/* SPDX-License-Identifier: MIT */
#include "virtio_queue_internal.h"

static struct aero_virtio_wire_avail *avail_of(const struct aero_virtio_guest_queue *queue)
{
	return queue->config.driver;
}

static const struct aero_virtio_wire_used *used_of(const struct aero_virtio_guest_queue *queue)
{
	return queue->config.device;
}

/* What stands behind the fixed part of a ring. */
static void *behind(void *ring, size_t offset)
{
	return (uint8_t *)ring + offset;
}

/* The recipe of wire/virtio.h. The links between descriptors are the slots', copied. */
void aero_virtio_guest_split_give(struct aero_virtio_guest_queue *queue,
				  const struct aero_virtio_guest_buffer *buffers, uint32_t count,
				  uint16_t flags)
{
	struct aero_virtio_guest_slot *slots = queue->config.slots;
	struct aero_virtio_wire_desc *table = queue->config.desc;
	uint16_t *ring = behind(queue->config.driver, AERO_VIRTIO_SPLIT_AVAIL_RING(0));
	uint16_t head = queue->free_head;
	uint16_t next = head;
	uint16_t at;

	do {
		uint16_t more = --count ? AERO_VIRTIO_DESC_F_NEXT : 0;

		at = next;
		next = slots[at].next;
		aero_virtio_guest_put_desc(queue, &table[at], buffers,
					   flags | more | aero_virtio_guest_write_flag(buffers));
		aero_virtio_guest_store16(queue, &table[at].next, more ? next : 0);
		buffers++;
	} while (count);
	slots[head].last = at;
	queue->free_head = next;
	aero_virtio_guest_store16(queue, &ring[queue->avail++ & (queue->config.size - 1)], head);
	/* 3. Pairs with the device's between avail.idx and the entry. */
	aero_fence_release();
	aero_virtio_guest_store16(queue, &avail_of(queue)->idx, queue->avail);
	queue->given++;
}

bool aero_virtio_guest_split_is_kick_wanted(const struct aero_virtio_guest_queue *queue)
{
	const uint16_t *avail_event =
		behind(queue->config.device, AERO_VIRTIO_SPLIT_AVAIL_EVENT(queue->config.size));
	uint16_t since;

	if (!queue->config.has_event_idx)
		return !(aero_virtio_guest_load16(queue, &used_of(queue)->flags) &
			 AERO_VIRTIO_USED_F_NO_NOTIFY);
	since = (uint16_t)(queue->avail - aero_virtio_guest_load16(queue, avail_event) - 1);
	return since < queue->given;
}

/* Chains that the device says have come back and that were not taken. */
static uint16_t count_waiting(const struct aero_virtio_guest_queue *queue)
{
	return (uint16_t)(aero_virtio_guest_load16(queue, &used_of(queue)->idx) - queue->used);
}

enum aero_status aero_virtio_guest_split_look(struct aero_virtio_guest_queue *queue,
					      struct aero_virtio_guest_entry *out_entry)
{
	const struct aero_virtio_wire_used_elem *ring =
		behind(queue->config.device, AERO_VIRTIO_SPLIT_USED_RING(0));
	uint16_t waiting = count_waiting(queue);

	if (!waiting)
		return AERO_EAGAIN;
	if (aero_unlikely(waiting > queue->in_flight)) {
		queue->fault = AERO_VIRTIO_GUEST_QUEUE_FAULT_INDEX;
		return AERO_EPROTO;
	}
	/* Pairs with the device's between the element and used.idx. */
	aero_fence_acquire();
	ring += queue->used & (queue->config.size - 1);
	out_entry->id = aero_swap32(aero_load32(&ring->id), queue->is_swapped);
	out_entry->len = aero_swap32(aero_load32(&ring->len), queue->is_swapped);
	return AERO_OK;
}

static uint16_t *used_event_of(const struct aero_virtio_guest_queue *queue)
{
	return behind(queue->config.driver, AERO_VIRTIO_SPLIT_USED_EVENT(queue->config.size));
}

/* With EVENT_IDX there is no "never": the entry just gone is the furthest away. */
void aero_virtio_guest_split_interrupt_off(struct aero_virtio_guest_queue *queue)
{
	if (queue->config.has_event_idx)
		aero_virtio_guest_store16(queue, used_event_of(queue), queue->used - 1);
	else
		aero_virtio_guest_store16(queue, &avail_of(queue)->flags,
					  AERO_VIRTIO_AVAIL_F_NO_INTERRUPT);
}

bool aero_virtio_guest_split_interrupt_after(struct aero_virtio_guest_queue *queue, uint32_t count)
{
	if (queue->config.has_event_idx)
		aero_virtio_guest_store16(queue, used_event_of(queue),
					  (uint16_t)(queue->used + count - 1));
	else
		aero_virtio_guest_store16(queue, &avail_of(queue)->flags, 0);
	/* Pairs with the device's between used.idx and its look at used_event or the flags. */
	aero_fence_full();
	return count_waiting(queue) >= count;
}
