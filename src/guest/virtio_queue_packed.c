/* SPDX-License-Identifier: MIT */
#include "virtio_queue_internal.h"

/* Packed rings came with VERSION_1: they are little-endian, and is_swapped says whether we are. */

/* Position and wrap bit after some entries; entries is at most the ring's size. */
static void step(const struct aero_virtio_guest_queue *queue, uint32_t entries, uint16_t *position,
		 bool *wrap)
{
	uint32_t next = *position + entries;

	if (next >= queue->config.size) {
		next -= queue->config.size;
		*wrap = !*wrap;
	}
	*position = (uint16_t)next;
}

/*
 * The recipe of wire/virtio.h. The id goes into each descriptor, the last one counts. All are
 * available at once with the first one's flags.
 */
void aero_virtio_guest_packed_give(struct aero_virtio_guest_queue *queue,
				   const struct aero_virtio_guest_buffer *buffers, uint32_t count,
				   uint16_t flags)
{
	struct aero_virtio_wire_packed_desc *ring = queue->config.desc;
	struct aero_virtio_wire_packed_desc *first = &ring[queue->avail];
	uint16_t id = queue->free_head;
	uint16_t first_flags = 0;

	queue->config.slots[id].last = id;
	queue->free_head = queue->config.slots[id].next;
	queue->given += count;
	do {
		struct aero_virtio_wire_packed_desc *desc = &ring[queue->avail];
		uint16_t all = flags | aero_virtio_guest_write_flag(buffers);

		all |= queue->avail_wrap ? AERO_VIRTIO_PACKED_DESC_F_AVAIL
					 : AERO_VIRTIO_PACKED_DESC_F_USED;
		if (--count)
			all |= AERO_VIRTIO_DESC_F_NEXT;
		aero_virtio_guest_put_desc(queue, desc, buffers++, id);
		if (desc == first)
			first_flags = all;
		else
			aero_virtio_guest_store16(queue, &desc->flags, all);
		step(queue, 1, &queue->avail, &queue->avail_wrap);
	} while (count);
	/* 2. Pairs with the device's between the first one's flags and the list. */
	aero_fence_release();
	aero_virtio_guest_store16(queue, &first->flags, first_flags);
}

/* Whether the entry that the device named is among those given since the last time. */
bool aero_virtio_guest_packed_is_kick_wanted(const struct aero_virtio_guest_queue *queue)
{
	const struct aero_virtio_wire_packed_event *device = queue->config.device;
	uint16_t flags = aero_virtio_guest_load16(queue, &device->flags);
	uint16_t event;
	uint32_t since;

	flags &= AERO_VIRTIO_PACKED_EVENT_FLAG_MASK;
	if (flags != AERO_VIRTIO_PACKED_EVENT_FLAG_DESC || !queue->config.has_event_idx)
		return flags != AERO_VIRTIO_PACKED_EVENT_FLAG_DISABLE;
	/* Pairs with the device's between the position and the flags that make it count. */
	aero_fence_acquire();
	event = aero_virtio_guest_load16(queue, &device->off_wrap);
	since = queue->avail - (event & AERO_VIRTIO_PACKED_EVENT_OFF_MASK) - 1u;
	if (!(event & AERO_VIRTIO_PACKED_EVENT_WRAP) == queue->avail_wrap)
		since += queue->config.size;
	return since < queue->given;
}

static bool is_used(uint16_t flags, bool wrap)
{
	const uint16_t both = AERO_VIRTIO_PACKED_DESC_F_AVAIL | AERO_VIRTIO_PACKED_DESC_F_USED;

	return (flags & both) == (wrap ? both : 0);
}

enum aero_status aero_virtio_guest_packed_look(struct aero_virtio_guest_queue *queue,
					       struct aero_virtio_guest_entry *out_entry)
{
	const struct aero_virtio_wire_packed_desc *desc = queue->config.desc;
	uint16_t flags;

	desc += queue->used;
	flags = aero_virtio_guest_load16(queue, &desc->flags);
	if (!is_used(flags, queue->used_wrap))
		return AERO_EAGAIN;
	/* Pairs with the device's between the rest of a used descriptor and its flags. */
	aero_fence_acquire();
	out_entry->id = aero_virtio_guest_load16(queue, &desc->id);
	out_entry->len = 0;
	if (flags & AERO_VIRTIO_DESC_F_WRITE)
		out_entry->len = aero_swap32(aero_load32(&desc->len), queue->is_swapped);
	return AERO_OK;
}

void aero_virtio_guest_packed_skip(struct aero_virtio_guest_queue *queue, uint32_t entries)
{
	step(queue, entries, &queue->used, &queue->used_wrap);
}

void aero_virtio_guest_packed_interrupt_off(struct aero_virtio_guest_queue *queue)
{
	struct aero_virtio_wire_packed_event *driver = queue->config.driver;

	aero_virtio_guest_store16(queue, &driver->flags, AERO_VIRTIO_PACKED_EVENT_FLAG_DISABLE);
}

/*
 * Whether the device has passed so many entries. What it wrote is only looked at: a fault is told
 * by the take() that an answer of true leads to.
 */
static bool has_passed(const struct aero_virtio_guest_queue *queue, uint32_t entries)
{
	const struct aero_virtio_wire_packed_desc *ring = queue->config.desc;
	uint16_t position = queue->used;
	bool wrap = queue->used_wrap;
	uint32_t passed = 0;

	if (queue->has_batch)
		return true;
	while (is_used(aero_virtio_guest_load16(queue, &ring[position].flags), wrap)) {
		uint16_t id;

		/* As in look(). */
		aero_fence_acquire();
		id = aero_virtio_guest_load16(queue, &ring[position].id);
		if (queue->config.is_in_order || id >= queue->config.size ||
		    !queue->config.slots[id].entries)
			return true;
		passed += queue->config.slots[id].entries;
		if (passed >= entries)
			return true;
		step(queue, queue->config.slots[id].entries, &position, &wrap);
	}
	return false;
}

/* Chains are of one entry at least: the position is passed with the last of count, or before. */
bool aero_virtio_guest_packed_interrupt_after(struct aero_virtio_guest_queue *queue, uint32_t count)
{
	struct aero_virtio_wire_packed_event *driver = queue->config.driver;
	uint16_t flags = AERO_VIRTIO_PACKED_EVENT_FLAG_ENABLE;
	uint16_t position = queue->used;
	bool wrap = queue->used_wrap;

	if (queue->config.has_event_idx) {
		step(queue, count - 1, &position, &wrap);
		if (wrap)
			position |= AERO_VIRTIO_PACKED_EVENT_WRAP;
		flags = AERO_VIRTIO_PACKED_EVENT_FLAG_DESC;
		aero_virtio_guest_store16(queue, &driver->off_wrap, position);
		/* Pairs with the device's between the flags and the position. */
		aero_fence_release();
	}
	aero_virtio_guest_store16(queue, &driver->flags, flags);
	/* Pairs with the device's between the flags of a used entry and its look at ours. */
	aero_fence_full();
	return has_passed(queue, count);
}
