/* SPDX-License-Identifier: MIT */
#include "virtio_queue_internal.h"

/* What was come by. The sum stands for the set: no two slots for one, no other in place of one. */
struct census {
	const struct aero_virtio_guest_queue *queue;
	uint32_t slots;
	uint32_t chains;
	uint32_t entries;
	uint64_t sum;
};

static uint64_t mix(uint32_t slot)
{
	uint64_t x = (slot + 1ull) * 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9ull;
	return x ^ x >> 32;
}

/* Follows the links of count slots that head no chain, from *at on, which is moved to the last. */
static bool walk(struct census *census, uint32_t count, uint16_t *at)
{
	const struct aero_virtio_guest_queue *queue = census->queue;
	uint16_t next = *at;

	for (; count; count--) {
		if (next >= queue->config.size || queue->config.slots[next].entries ||
		    ++census->slots > queue->config.size)
			return false;
		census->sum += mix(next);
		*at = next;
		next = queue->config.slots[next].next;
	}
	return true;
}

static bool count_chain(struct census *census, uint16_t head)
{
	const struct aero_virtio_guest_queue *queue = census->queue;
	const struct aero_virtio_guest_slot *slot = &queue->config.slots[head];
	uint32_t more = queue->config.is_packed ? 0 : slot->entries - 1u;
	uint16_t at = slot->next;

	census->slots++;
	census->chains++;
	census->entries += slot->entries;
	census->sum += mix(head);
	if (!more)
		return slot->last == head;
	return walk(census, more, &at) && slot->last == at;
}

static bool count_all(struct census *census)
{
	const struct aero_virtio_guest_queue *queue = census->queue;
	uint32_t size = queue->config.size;
	uint16_t at = queue->free_head;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < size; i++) {
		sum += mix(i);
		if (queue->config.slots[i].entries && !count_chain(census, (uint16_t)i))
			return false;
		if (queue->config.is_in_order &&
		    queue->config.slots[i].next != (i + 1 < size ? i + 1 : 0))
			return false;
	}
	return walk(census, queue->config.is_packed ? size - queue->in_flight : queue->free_entries,
		    &at) &&
	       census->sum == sum && census->slots == size && census->chains == queue->in_flight &&
	       census->entries + queue->free_entries == size;
}

/* From the oldest in flight to the next to be given, all are in flight. */
static bool is_order_kept(const struct aero_virtio_guest_queue *queue)
{
	uint32_t size = queue->config.size;
	uint32_t slots = queue->config.is_packed ? queue->in_flight : size - queue->free_entries;
	const struct aero_virtio_guest_slot *last = &queue->config.slots[queue->batch_last];

	if (!queue->config.is_in_order)
		return !queue->has_batch;
	if (queue->has_batch && (!last->entries || queue->batch_len > last->writable))
		return false;
	return (queue->order_head + slots) % size == queue->free_head % size;
}

/* Between the two positions lies what is in flight. */
static bool is_position_kept(const struct aero_virtio_guest_queue *queue)
{
	uint32_t size = queue->config.size;
	uint32_t avail = queue->used + (size - queue->free_entries);
	bool has_wrapped = avail >= size;

	if (!queue->config.is_packed)
		return true;
	return queue->used < size && queue->avail == (has_wrapped ? avail - size : avail) &&
	       queue->avail_wrap == (queue->used_wrap != has_wrapped);
}

static bool is_stop_kept(const struct aero_virtio_guest_queue *queue)
{
	uint32_t chains = 0;

	for (uint32_t i = queue->used; i < queue->config.size; i++)
		chains += queue->config.slots[i].entries != 0;
	return chains == queue->in_flight;
}

enum aero_status aero_virtio_guest_queue_validate(const struct aero_virtio_guest_queue *queue)
{
	struct census census = { .queue = queue };
	bool is_kept;

	if (queue->is_started)
		is_kept = count_all(&census) && is_order_kept(queue) && is_position_kept(queue);
	else
		is_kept = !queue->in_flight || is_stop_kept(queue);
	return is_kept ? AERO_OK : AERO_EBUG;
}
