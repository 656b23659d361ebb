/* SPDX-License-Identifier: MIT */
#include "virtio_queue_ring.h"

#define DESC_BYTES sizeof(struct aero_virtio_wire_packed_desc)
#define DESC_LEN offsetof(struct aero_virtio_wire_packed_desc, len)
#define DESC_ID offsetof(struct aero_virtio_wire_packed_desc, id)
#define DESC_FLAGS offsetof(struct aero_virtio_wire_packed_desc, flags)
#define EVENT_OFF_WRAP offsetof(struct aero_virtio_wire_packed_event, off_wrap)
#define EVENT_FLAGS offsetof(struct aero_virtio_wire_packed_event, flags)

static uint8_t *slot(const struct aero_virtio_queue *queue, uint16_t position)
{
	return queue->desc + position * DESC_BYTES;
}

/* Position and wrap bit after some entries; slots is at most the ring's size. */
static void step(const struct aero_virtio_queue *queue, uint32_t slots, uint16_t *position,
		 bool *wrap)
{
	uint32_t next = *position + slots;

	if (next >= queue->config.size) {
		next -= queue->config.size;
		*wrap = !*wrap;
	}
	*position = (uint16_t)next;
}

static bool is_waiting(const struct aero_virtio_queue *queue)
{
	uint16_t flags = aero_virtio_ring_load16(queue, slot(queue, queue->avail) + DESC_FLAGS);
	bool avail = flags & AERO_VIRTIO_PACKED_DESC_F_AVAIL;
	bool used = flags & AERO_VIRTIO_PACKED_DESC_F_USED;

	return avail == queue->avail_wrap && used != queue->avail_wrap;
}

/* Want a kick for the next list; one that came before this was visible brings none. */
static bool arm(struct aero_virtio_queue *queue)
{
	uint16_t off_wrap = queue->avail;

	if (queue->avail_wrap)
		off_wrap |= AERO_VIRTIO_PACKED_EVENT_WRAP;
	aero_virtio_ring_store16(queue, queue->device + EVENT_OFF_WRAP, off_wrap);
	aero_virtio_ring_store16(queue, queue->device + EVENT_FLAGS,
				 AERO_VIRTIO_PACKED_EVENT_FLAG_DESC);
	/* Pairs with the driver's between the flags of a list and its look at our events. */
	aero_fence_full();
	return is_waiting(queue);
}

/*
 * The length of a list and its id, which stands in its last descriptor. The entries are read again
 * by the chain's cursor, which takes nothing but their number from here.
 */
static enum aero_status measure(struct aero_virtio_queue *queue, uint32_t *out_slots,
				uint16_t *out_id)
{
	uint32_t room = queue->config.size - queue->in_flight;
	uint16_t position = queue->avail;
	bool wrap = queue->avail_wrap;
	uint32_t slots = 0;
	uint16_t flags;

	do {
		const uint8_t *desc = slot(queue, position);

		if (slots == room)
			return aero_virtio_queue_break(queue, AERO_VIRTIO_QUEUE_FAULT_LOOP);
		flags = aero_virtio_ring_load16(queue, desc + DESC_FLAGS);
		*out_id = aero_virtio_ring_load16(queue, desc + DESC_ID);
		step(queue, 1, &position, &wrap);
		slots++;
	} while (flags & AERO_VIRTIO_DESC_F_NEXT);
	*out_slots = slots;
	if (*out_id >= queue->config.size)
		return aero_virtio_queue_break(queue, AERO_VIRTIO_QUEUE_FAULT_HEAD);
	return AERO_OK;
}

enum aero_status aero_virtio_packed_pop(struct aero_virtio_queue *queue,
					struct aero_virtio_chain *out_chain)
{
	bool can_arm = queue->config.has_event_idx && !queue->is_kick_off;
	enum aero_status status;
	uint32_t slots;
	uint16_t id;

	if (!is_waiting(queue) && (!can_arm || !arm(queue)))
		return AERO_EAGAIN;
	/* Pairs with the driver's between the list and the flags of its first descriptor. */
	aero_fence_acquire();
	status = measure(queue, &slots, &id);
	if (status != AERO_OK)
		return status;
	*out_chain = (struct aero_virtio_chain){
		.next = queue->avail,
		.left = slots,
		.id = id,
		.ring_slots = (uint16_t)slots,
	};
	/* A used entry may overwrite the first descriptor before it is read. */
	status = aero_virtio_chain_load(queue, out_chain);
	if (status != AERO_OK && status != AERO_ENOENT)
		return status;
	step(queue, slots, &queue->avail, &queue->avail_wrap);
	queue->in_flight += slots;
	return AERO_OK;
}

void aero_virtio_packed_unpop(struct aero_virtio_queue *queue,
			      const struct aero_virtio_chain *chain)
{
	uint16_t position = queue->avail;

	if (position < chain->ring_slots) {
		position = (uint16_t)(position + queue->config.size);
		queue->avail_wrap = !queue->avail_wrap;
	}
	queue->avail = (uint16_t)(position - chain->ring_slots);
}

void aero_virtio_packed_push(struct aero_virtio_queue *queue, const struct aero_virtio_chain *chain,
			     uint32_t written)
{
	uint8_t *desc = slot(queue, queue->used);
	uint16_t flags = 0;

	if (queue->used_wrap)
		flags = AERO_VIRTIO_PACKED_DESC_F_AVAIL | AERO_VIRTIO_PACKED_DESC_F_USED;
	if (written)
		flags |= AERO_VIRTIO_DESC_F_WRITE;
	aero_virtio_ring_put32(queue, desc + DESC_LEN, written);
	aero_virtio_ring_store16(queue, desc + DESC_ID, chain->id);
	/* Pairs with the driver's between the flags and the rest of a used descriptor. */
	aero_fence_release();
	aero_virtio_ring_store16(queue, desc + DESC_FLAGS, flags);
	step(queue, chain->ring_slots, &queue->used, &queue->used_wrap);
}

/* A place on the line of both laps of the ring, the lap with wrap bit 1 first. */
static uint32_t place(const struct aero_virtio_queue *queue, uint32_t position, bool wrap)
{
	return wrap ? position : position + queue->config.size;
}

/* As for split rings: whether the descriptor the driver named is among those used since. */
bool aero_virtio_packed_should_notify(struct aero_virtio_queue *queue)
{
	uint16_t flags = aero_virtio_ring_load16(queue, queue->driver + EVENT_FLAGS);
	uint32_t laps = 2 * queue->config.size;
	uint32_t event;
	uint32_t back;

	flags &= AERO_VIRTIO_PACKED_EVENT_FLAG_MASK;
	if (flags == AERO_VIRTIO_PACKED_EVENT_FLAG_DISABLE)
		return false;
	if (flags != AERO_VIRTIO_PACKED_EVENT_FLAG_DESC || !queue->config.has_event_idx)
		return true;
	if (!queue->has_signalled)
		return true;
	/* Pairs with the driver's between the position and the flags that make it count. */
	aero_fence_acquire();
	event = aero_virtio_ring_load16(queue, queue->driver + EVENT_OFF_WRAP);
	if ((event & AERO_VIRTIO_PACKED_EVENT_OFF_MASK) >= queue->config.size)
		return true;
	event = place(queue, event & AERO_VIRTIO_PACKED_EVENT_OFF_MASK,
		      event & AERO_VIRTIO_PACKED_EVENT_WRAP);
	back = place(queue, queue->used, queue->used_wrap) + laps - event - 1;
	return (back >= laps ? back - laps : back) < queue->pushed;
}

bool aero_virtio_packed_set_kicks(struct aero_virtio_queue *queue)
{
	if (queue->config.has_event_idx && !queue->is_kick_off)
		return arm(queue);
	aero_virtio_ring_store16(queue, queue->device + EVENT_FLAGS,
				 queue->is_kick_off ? AERO_VIRTIO_PACKED_EVENT_FLAG_DISABLE
						    : AERO_VIRTIO_PACKED_EVENT_FLAG_ENABLE);
	/* Pairs with the driver's between the flags of a list and its look at our events. */
	aero_fence_full();
	return is_waiting(queue);
}
