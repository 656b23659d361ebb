/* SPDX-License-Identifier: MIT */
#include "virtio_queue_ring.h"

/* Offsets of the fields that both rings begin with. */
#define FLAGS offsetof(struct aero_virtio_wire_avail, flags)
#define IDX offsetof(struct aero_virtio_wire_avail, idx)

void aero_virtio_split_begin(struct aero_virtio_queue *queue)
{
	queue->used = aero_virtio_ring_load16(queue, queue->device + IDX);
}

/* Chains the driver says it has given and nobody has taken. */
static uint16_t count_waiting(const struct aero_virtio_queue *queue)
{
	return (uint16_t)(aero_virtio_ring_load16(queue, queue->driver + IDX) - queue->avail);
}

/* Want a kick for the next chain; a chain that came before this was visible brings none. */
static uint16_t arm(struct aero_virtio_queue *queue)
{
	uint8_t *event = queue->device + AERO_VIRTIO_SPLIT_AVAIL_EVENT(queue->config.size);

	aero_virtio_ring_store16(queue, event, queue->avail);
	/* Pairs with the driver's between avail.idx and its look at avail_event. */
	aero_fence_full();
	return count_waiting(queue);
}

enum aero_status aero_virtio_split_pop(struct aero_virtio_queue *queue,
				       struct aero_virtio_chain *out_chain)
{
	uint32_t size = queue->config.size;
	const uint8_t *entry =
		queue->driver + AERO_VIRTIO_SPLIT_AVAIL_RING(queue->avail & (size - 1));
	uint16_t waiting = count_waiting(queue);
	uint16_t head;

	if (!waiting && queue->config.has_event_idx && !queue->is_kick_off)
		waiting = arm(queue);
	if (!waiting)
		return AERO_EAGAIN;
	if (waiting > size || queue->in_flight >= size)
		return aero_virtio_queue_break(queue, AERO_VIRTIO_QUEUE_FAULT_INDEX);
	/* Pairs with the driver's between the ring's entry and avail.idx. */
	aero_fence_acquire();
	head = aero_virtio_ring_load16(queue, entry);
	if (head >= size)
		return aero_virtio_queue_break(queue, AERO_VIRTIO_QUEUE_FAULT_HEAD);
	*out_chain = (struct aero_virtio_chain){
		.next = head,
		.left = size,
		.id = head,
		.ring_slots = 1,
	};
	queue->avail++;
	queue->in_flight++;
	return AERO_OK;
}

void aero_virtio_split_push(struct aero_virtio_queue *queue, const struct aero_virtio_chain *chain,
			    uint32_t written)
{
	uint8_t *element =
		queue->device + AERO_VIRTIO_SPLIT_USED_RING(queue->used & (queue->config.size - 1));

	aero_virtio_ring_put32(queue, element, chain->id);
	aero_virtio_ring_put32(queue, element + 4, written);
	/* Pairs with the driver's between used.idx and the element. */
	aero_fence_release();
	queue->used++;
	aero_virtio_ring_store16(queue, queue->device + IDX, queue->used);
}

/*
 * used_event names an entry: the interrupt is due when that one is among those written since the
 * last time. After a start nobody knows what the driver was told, so it is told once more.
 */
bool aero_virtio_split_should_notify(struct aero_virtio_queue *queue)
{
	uint16_t event;

	if (!queue->config.has_event_idx)
		return !(aero_virtio_ring_load16(queue, queue->driver + FLAGS) &
			 AERO_VIRTIO_AVAIL_F_NO_INTERRUPT);
	if (!queue->has_signalled)
		return true;
	event = aero_virtio_ring_load16(
		queue, queue->driver + AERO_VIRTIO_SPLIT_USED_EVENT(queue->config.size));
	return (uint16_t)(queue->used - event - 1) < queue->pushed;
}

/* With the event index, kicks end by themselves when the index is not moved. */
bool aero_virtio_split_set_kicks(struct aero_virtio_queue *queue)
{
	bool is_flag_wanted = queue->is_kick_off && !queue->config.has_event_idx;

	aero_virtio_ring_store16(queue, queue->device + FLAGS,
				 is_flag_wanted ? AERO_VIRTIO_USED_F_NO_NOTIFY : 0);
	if (queue->config.has_event_idx && !queue->is_kick_off)
		return arm(queue) != 0;
	/* Pairs with the driver's between avail.idx and its look at used.flags. */
	aero_fence_full();
	return count_waiting(queue) != 0;
}
