/* SPDX-License-Identifier: MIT */
#include "virtio_queue_ring.h"

void aero_virtio_queue_note_fault(struct aero_virtio_queue *queue,
				  enum aero_virtio_queue_fault fault)
{
	if (!queue->fault)
		queue->fault = fault;
}

static bool is_aligned(aero_gpa gpa, unsigned int align)
{
	return !(gpa & (align - 1));
}

static bool is_split_valid(const struct aero_virtio_queue_config *config)
{
	return !(config->size & (config->size - 1)) &&
	       is_aligned(config->desc, AERO_VIRTIO_SPLIT_DESC_ALIGN) &&
	       is_aligned(config->driver, AERO_VIRTIO_SPLIT_AVAIL_ALIGN) &&
	       is_aligned(config->device, AERO_VIRTIO_SPLIT_USED_ALIGN) && config->base <= 0xffff;
}

/* Packed rings came with VERSION_1, which made everything little-endian. */
static bool is_packed_valid(const struct aero_virtio_queue_config *config)
{
	return !config->is_big_endian && is_aligned(config->desc, AERO_VIRTIO_PACKED_DESC_ALIGN) &&
	       is_aligned(config->driver, AERO_VIRTIO_PACKED_EVENT_ALIGN) &&
	       is_aligned(config->device, AERO_VIRTIO_PACKED_EVENT_ALIGN) &&
	       (config->base & 0x7fff) < config->size &&
	       (config->base >> 16 & 0x7fff) < config->size;
}

static bool is_config_valid(const struct aero_virtio_queue_config *config)
{
	if (!config->memory || !config->memory->translate)
		return false;
	if (!config->size || config->size > AERO_VIRTIO_SPLIT_SIZE_MAX)
		return false;
	return config->is_packed ? is_packed_valid(config) : is_split_valid(config);
}

/*
 * Fields of 16 bits are read whole, so their host address must be even. Only a VMM that maps
 * memory askew can get here with an odd one.
 */
static uint8_t *find_part(const struct aero_virtio_queue *queue, aero_gpa gpa, size_t bytes,
			  enum aero_access access)
{
	const struct aero_host_memory *memory = queue->config.memory;
	size_t len = bytes;
	uint8_t *part = memory->translate(memory->ctx, gpa, &len, access);

	return part && len == bytes && !((uintptr_t)part & 1) ? part : NULL;
}

static enum aero_status find_ring(struct aero_virtio_queue *queue)
{
	const struct aero_virtio_queue_config *config = &queue->config;
	size_t event = config->has_event_idx ? 2 : 0;
	size_t desc = AERO_VIRTIO_SPLIT_DESC_BYTES(config->size);
	size_t driver = AERO_VIRTIO_SPLIT_AVAIL_RING(config->size) + event;
	size_t device = AERO_VIRTIO_SPLIT_USED_RING(config->size) + event;

	if (config->is_packed) {
		desc = AERO_VIRTIO_PACKED_DESC_BYTES(config->size);
		driver = sizeof(struct aero_virtio_wire_packed_event);
		device = sizeof(struct aero_virtio_wire_packed_event);
	}
	queue->desc = find_part(queue, config->desc, desc,
				config->is_packed ? AERO_ACCESS_BOTH : AERO_ACCESS_READ);
	queue->driver = find_part(queue, config->driver, driver, AERO_ACCESS_READ);
	queue->device = find_part(queue, config->device, device, AERO_ACCESS_BOTH);
	return queue->desc && queue->driver && queue->device ? AERO_OK : AERO_ERANGE;
}

enum aero_status aero_virtio_queue_start(struct aero_virtio_queue *queue,
					 const struct aero_virtio_queue_config *config)
{
	enum aero_status status;

	if (queue->is_started)
		return AERO_ESTATE;
	if (!is_config_valid(config))
		return AERO_EINVAL;
	memset(queue, 0, sizeof(*queue));
	queue->config = *config;
	queue->is_swapped = config->is_big_endian != AERO_HOST_BIG_ENDIAN;
	queue->avail = (uint16_t)config->base;
	if (config->is_packed) {
		queue->avail = config->base & 0x7fff;
		queue->avail_wrap = config->base >> 15 & 1;
		queue->used = config->base >> 16 & 0x7fff;
		queue->used_wrap = config->base >> 31;
	}
	status = find_ring(queue);
	if (status != AERO_OK)
		return status;
	queue->is_started = true;
	if (!config->is_packed)
		aero_virtio_split_begin(queue);
	return AERO_OK;
}

uint32_t aero_virtio_queue_stop(struct aero_virtio_queue *queue)
{
	queue->is_started = false;
	queue->desc = NULL;
	queue->driver = NULL;
	queue->device = NULL;
	if (!queue->config.is_packed)
		return queue->avail;
	return queue->avail | (uint32_t)queue->avail_wrap << 15 | (uint32_t)queue->used << 16 |
	       (uint32_t)queue->used_wrap << 31;
}

enum aero_status aero_virtio_queue_memory_changed(struct aero_virtio_queue *queue)
{
	enum aero_status status;

	if (!queue->is_started)
		return AERO_OK;
	status = find_ring(queue);
	if (status != AERO_OK)
		aero_virtio_queue_break(queue, AERO_VIRTIO_QUEUE_FAULT_RING);
	return status;
}

enum aero_status aero_virtio_queue_pop(struct aero_virtio_queue *queue,
				       struct aero_virtio_chain *out_chain)
{
	enum aero_status status = aero_virtio_queue_usable(queue);

	if (status != AERO_OK)
		return status;
	return queue->config.is_packed ? aero_virtio_packed_pop(queue, out_chain)
				       : aero_virtio_split_pop(queue, out_chain);
}

void aero_virtio_queue_unpop(struct aero_virtio_queue *queue, const struct aero_virtio_chain *chain)
{
	if (queue->config.is_packed)
		aero_virtio_packed_unpop(queue, chain);
	else
		queue->avail--;
	if (queue->in_flight >= chain->ring_slots)
		queue->in_flight -= chain->ring_slots;
}

enum aero_status aero_virtio_queue_push(struct aero_virtio_queue *queue,
					const struct aero_virtio_chain *chain, uint32_t written)
{
	enum aero_status status = aero_virtio_queue_usable(queue);

	if (status != AERO_OK)
		return status;
	if (chain->ring_slots > queue->config.size)
		return AERO_EINVAL;
	if (queue->config.is_packed)
		aero_virtio_packed_push(queue, chain, written);
	else
		aero_virtio_split_push(queue, chain, written);
	queue->pushed += chain->ring_slots;
	/* A chain restored from a saved state was never counted here. */
	if (queue->in_flight >= chain->ring_slots)
		queue->in_flight -= chain->ring_slots;
	return AERO_OK;
}

bool aero_virtio_queue_should_notify(struct aero_virtio_queue *queue)
{
	bool should;

	if (aero_virtio_queue_usable(queue) != AERO_OK || !queue->pushed)
		return false;
	/* Pairs with the driver's between its event field and its look at the ring. */
	aero_fence_full();
	should = queue->config.is_packed ? aero_virtio_packed_should_notify(queue)
					 : aero_virtio_split_should_notify(queue);
	queue->pushed = 0;
	queue->has_signalled = true;
	return should;
}

bool aero_virtio_queue_set_kicks(struct aero_virtio_queue *queue, bool is_enabled)
{
	if (aero_virtio_queue_usable(queue) != AERO_OK)
		return false;
	queue->is_kick_off = !is_enabled;
	return queue->config.is_packed ? aero_virtio_packed_set_kicks(queue)
				       : aero_virtio_split_set_kicks(queue);
}

const char *aero_virtio_queue_fault_str(enum aero_virtio_queue_fault fault)
{
	static const char *const text[] = {
		[AERO_VIRTIO_QUEUE_FAULT_NONE] = "none",
		[AERO_VIRTIO_QUEUE_FAULT_RING] = "the ring is not guest memory",
		[AERO_VIRTIO_QUEUE_FAULT_INDEX] = "more chains available than the ring holds",
		[AERO_VIRTIO_QUEUE_FAULT_HEAD] = "a descriptor index or buffer id out of bounds",
		[AERO_VIRTIO_QUEUE_FAULT_LOOP] = "a chain without end",
		[AERO_VIRTIO_QUEUE_FAULT_INDIRECT] = "an indirect table that is not allowed",
		[AERO_VIRTIO_QUEUE_FAULT_ORDER] = "a readable buffer after a writable one",
		[AERO_VIRTIO_QUEUE_FAULT_ADDRESS] = "a buffer outside guest memory",
		[AERO_VIRTIO_QUEUE_FAULT_LENGTH] = "a chain longer than 2^32 bytes",
	};

	if ((size_t)fault >= sizeof(text) / sizeof(text[0]))
		return "unknown fault";
	return text[fault];
}
