/* SPDX-License-Identifier: MIT */
#include "virtio_queue_internal.h"

static bool is_aligned(const void *p, unsigned int align)
{
	return p && !((uintptr_t)p & (align - 1));
}

static aero_noinline bool is_config_valid(const struct aero_virtio_guest_queue_config *config)
{
	unsigned int driver_align = AERO_VIRTIO_SPLIT_AVAIL_ALIGN;

	if (!config->size || config->size > AERO_VIRTIO_SPLIT_SIZE_MAX || !config->slots)
		return false;
	if (config->is_packed) {
		driver_align = AERO_VIRTIO_PACKED_EVENT_ALIGN;
		if (config->is_big_endian)
			return false;
	} else if (config->size & (config->size - 1)) {
		return false;
	}
	return is_aligned(config->desc, AERO_VIRTIO_SPLIT_DESC_ALIGN) &&
	       is_aligned(config->driver, driver_align) &&
	       is_aligned(config->device, AERO_VIRTIO_SPLIT_USED_ALIGN);
}

static void clear_ring(const struct aero_virtio_guest_queue_config *config)
{
	size_t driver = AERO_VIRTIO_SPLIT_AVAIL_BYTES(config->size);
	size_t device = AERO_VIRTIO_SPLIT_USED_BYTES(config->size);

	if (config->is_packed) {
		driver = sizeof(struct aero_virtio_wire_packed_event);
		device = sizeof(struct aero_virtio_wire_packed_event);
	}
	memset(config->desc, 0, AERO_VIRTIO_SPLIT_DESC_BYTES(config->size));
	memset(config->driver, 0, driver);
	memset(config->device, 0, device);
}

/* All are free, in a circle. */
static void clear_slots(const struct aero_virtio_guest_queue_config *config)
{
	for (uint32_t i = 0; i < config->size; i++)
		config->slots[i] = (struct aero_virtio_guest_slot){
			.next = (uint16_t)(i + 1 < config->size ? i + 1 : 0),
		};
}

enum aero_status aero_virtio_guest_queue_start(struct aero_virtio_guest_queue *queue,
					       const struct aero_virtio_guest_queue_config *config)
{
	if (!is_config_valid(config))
		return AERO_EINVAL;
	clear_ring(config);
	clear_slots(config);
	memset(queue, 0, sizeof(*queue));
	queue->config = *config;
	queue->free_entries = config->size;
	queue->avail_wrap = true;
	queue->used_wrap = true;
	queue->is_swapped = config->is_big_endian != AERO_HOST_BIG_ENDIAN;
	queue->is_started = true;
	return AERO_OK;
}

bool aero_virtio_guest_queue_stop(struct aero_virtio_guest_queue *queue, uint16_t *out_token)
{
	if (queue->is_started)
		queue->used = 0;
	queue->is_started = false;
	if (!queue->in_flight)
		return false;
	while (!queue->config.slots[queue->used].entries)
		queue->used++;
	*out_token = queue->config.slots[queue->used].token;
	queue->config.slots[queue->used].entries = 0;
	queue->in_flight--;
	return true;
}

/* What the device may write, if the chain is one that may be given. */
static bool measure(const struct aero_virtio_guest_chain *chain, uint32_t *out_writable)
{
	const struct aero_virtio_guest_buffer *buffer = chain->buffers;
	uint64_t readable = 0;
	uint64_t writable = 0;
	uint32_t left = chain->count;

	if (!left || left > AERO_VIRTIO_GUEST_CHAIN_MAX)
		return false;
	do {
		if (!buffer->len)
			return false;
		if (buffer->is_writable)
			writable += buffer->len;
		else if (!writable)
			readable += buffer->len;
		else
			return false;
		buffer++;
	} while (--left);
	*out_writable = (uint32_t)writable;
	return readable + writable <= UINT32_MAX;
}

static void give_buffers(struct aero_virtio_guest_queue *queue,
			 const struct aero_virtio_guest_buffer *buffers, uint32_t count,
			 uint16_t flags)
{
	if (queue->config.is_packed)
		aero_virtio_guest_packed_give(queue, buffers, count, flags);
	else
		aero_virtio_guest_split_give(queue, buffers, count, flags);
}

/* One buffer stands for all in the ring. */
static aero_noinline void give_table(struct aero_virtio_guest_queue *queue,
				     const struct aero_virtio_guest_chain *chain)
{
	struct aero_virtio_wire_desc *table = chain->table;
	struct aero_virtio_guest_buffer all = {
		.gpa = chain->table_gpa,
		.len = (uint32_t)AERO_VIRTIO_SPLIT_DESC_BYTES(chain->count),
	};

	for (uint32_t i = 0; i < chain->count; i++) {
		uint16_t flags = aero_virtio_guest_write_flag(&chain->buffers[i]);
		uint16_t next = 0;

		/* A packed one has its flags last, and no links: the order says it. */
		if (queue->config.is_packed) {
			next = flags;
			flags = 0;
		} else if (i + 1 < chain->count) {
			next = (uint16_t)(i + 1);
			flags |= AERO_VIRTIO_DESC_F_NEXT;
		}
		aero_virtio_guest_put_desc(queue, &table[i], &chain->buffers[i], flags);
		aero_virtio_guest_store16(queue, &table[i].next, next);
	}
	give_buffers(queue, &all, 1, AERO_VIRTIO_DESC_F_INDIRECT);
}

enum aero_status aero_virtio_guest_queue_give(struct aero_virtio_guest_queue *queue,
					      const struct aero_virtio_guest_chain *chain)
{
	uint32_t entries = chain->count;
	struct aero_virtio_guest_slot *slot;
	uint32_t writable;

	if (!queue->is_started || queue->fault)
		return AERO_ESTATE;
	if (!measure(chain, &writable))
		return AERO_EINVAL;
	if (chain->table && queue->config.has_indirect) {
		entries = 1;
		if (((uintptr_t)chain->table | chain->table_gpa) &
		    (AERO_VIRTIO_SPLIT_DESC_ALIGN - 1))
			return AERO_EINVAL;
	}
	if (entries > queue->free_entries)
		return entries > queue->config.size ? AERO_EINVAL : AERO_EAGAIN;
	slot = &queue->config.slots[queue->free_head];
	slot->token = chain->token;
	slot->entries = (uint16_t)entries;
	slot->writable = writable;
	queue->free_entries -= entries;
	queue->in_flight++;
	if (entries < chain->count)
		give_table(queue, chain);
	else
		give_buffers(queue, chain->buffers, entries, 0);
	return AERO_OK;
}

bool aero_virtio_guest_queue_kick_needed(struct aero_virtio_guest_queue *queue)
{
	bool is_wanted;

	if (!queue->is_started || !queue->given)
		return false;
	/* Pairs with the device's between its event field or flags and its look at the ring. */
	aero_fence_full();
	is_wanted = queue->config.is_packed ? aero_virtio_guest_packed_is_kick_wanted(queue)
					    : aero_virtio_guest_split_is_kick_wanted(queue);
	queue->given = 0;
	return is_wanted;
}

/* Whether a used entry is of a chain in flight: its id is the slot of the head then. */
static bool is_entry_valid(struct aero_virtio_guest_queue *queue,
			   struct aero_virtio_guest_entry *entry)
{
	enum aero_virtio_guest_queue_fault fault = AERO_VIRTIO_GUEST_QUEUE_FAULT_ID;

	if (aero_likely(entry->id < queue->config.size)) {
		const struct aero_virtio_guest_slot *slot = &queue->config.slots[entry->id];
		bool is_short = entry->len <= slot->writable;

		if (!is_short && queue->config.is_length_ignored) {
			entry->len = slot->writable;
			is_short = true;
		}
		if (aero_likely(slot->entries && is_short))
			return true;
		fault = slot->entries ? AERO_VIRTIO_GUEST_QUEUE_FAULT_LENGTH
				      : AERO_VIRTIO_GUEST_QUEUE_FAULT_TWICE;
	}
	queue->fault = fault;
	return false;
}

/*
 * With IN_ORDER one entry answers all chains up to its own, and the next entry is where the chain
 * after it would have had its. Those passed over have been used completely.
 */
static void take_oldest(struct aero_virtio_guest_queue *queue,
			struct aero_virtio_guest_entry *entry)
{
	if (!queue->has_batch) {
		queue->batch_last = (uint16_t)entry->id;
		queue->batch_len = entry->len;
	}
	entry->id = queue->order_head;
	queue->has_batch = queue->order_head != queue->batch_last;
	entry->len = queue->has_batch ? queue->config.slots[entry->id].writable : queue->batch_len;
}

/* Out of the record; the circle of IN_ORDER stays as it is. */
static void release(struct aero_virtio_guest_queue *queue, uint16_t head)
{
	struct aero_virtio_guest_slot *slot = &queue->config.slots[head];
	struct aero_virtio_guest_slot *last = &queue->config.slots[slot->last];

	if (queue->config.is_packed)
		aero_virtio_guest_packed_skip(queue, slot->entries);
	else
		queue->used++;
	queue->free_entries += slot->entries;
	queue->in_flight--;
	slot->entries = 0;
	if (queue->config.is_in_order) {
		queue->order_head = last->next;
	} else {
		last->next = queue->free_head;
		queue->free_head = head;
	}
}

enum aero_status aero_virtio_guest_queue_take(struct aero_virtio_guest_queue *queue,
					      struct aero_virtio_guest_used *out_used)
{
	struct aero_virtio_guest_entry entry = { 0, 0 };
	enum aero_status status;

	if (!queue->is_started)
		return AERO_ESTATE;
	if (queue->fault)
		return AERO_EPROTO;
	if (!queue->has_batch) {
		status = queue->config.is_packed ? aero_virtio_guest_packed_look(queue, &entry)
						 : aero_virtio_guest_split_look(queue, &entry);
		if (status != AERO_OK)
			return status;
		if (!is_entry_valid(queue, &entry))
			return AERO_EPROTO;
	}
	if (queue->config.is_in_order)
		take_oldest(queue, &entry);
	out_used->token = queue->config.slots[entry.id].token;
	out_used->len = entry.len;
	release(queue, (uint16_t)entry.id);
	return AERO_OK;
}

bool aero_virtio_guest_queue_interrupt_after(struct aero_virtio_guest_queue *queue, uint32_t count)
{
	if (!queue->is_started)
		return false;
	if (!count) {
		if (queue->config.is_packed)
			aero_virtio_guest_packed_interrupt_off(queue);
		else
			aero_virtio_guest_split_interrupt_off(queue);
		return false;
	}
	if (count > queue->in_flight)
		count = queue->in_flight ? queue->in_flight : 1;
	return queue->config.is_packed ? aero_virtio_guest_packed_interrupt_after(queue, count)
				       : aero_virtio_guest_split_interrupt_after(queue, count);
}
