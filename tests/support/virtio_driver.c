/* SPDX-License-Identifier: MIT */
#include "support/virtio_driver.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 4096u

static aero_gpa round_up(aero_gpa gpa)
{
	return (gpa + PAGE - 1) / PAGE * PAGE;
}

size_t virtio_driver_ring_bytes(uint32_t size)
{
	return (size_t)(round_up(16ull * size) + round_up(6 + 2ull * size) +
			round_up(6 + 8ull * size));
}

static void put(struct virtio_driver *drv, aero_gpa gpa, uint64_t value, unsigned int len)
{
	guest_ram_put(drv->ram, gpa, value, len, drv->ring.is_big_endian);
}

static uint64_t get(struct virtio_driver *drv, aero_gpa gpa, unsigned int len)
{
	return guest_ram_get(drv->ram, gpa, len, drv->ring.is_big_endian);
}

static uint16_t *array(uint32_t size)
{
	uint16_t *entries = calloc(size, sizeof(*entries));

	if (!entries)
		abort();
	return entries;
}

void virtio_driver_init(struct virtio_driver *drv, struct guest_ram *ram,
			const struct aero_virtio_queue_config *ring, aero_gpa gpa)
{
	uint32_t size = ring->size;

	memset(drv, 0, sizeof(*drv));
	drv->ram = ram;
	drv->ring = *ring;
	drv->ring.memory = &ram->memory;
	drv->ring.desc = gpa;
	drv->ring.driver = gpa + round_up(16ull * size);
	drv->ring.device = drv->ring.driver + round_up(6 + 2ull * size);
	drv->ring.base = ring->is_packed ? 0x80008000u : 0;
	drv->avail_wrap = true;
	drv->used_wrap = true;
	drv->slots = array(size);
	drv->free = array(size);
	drv->link = array(size);
	drv->free_ids = size;
	drv->free_slots = size;
	/* The last one is given out first: order must not matter to the device. */
	for (uint32_t i = 0; i < size; i++)
		drv->free[i] = (uint16_t)i;
}

void virtio_driver_fini(struct virtio_driver *drv)
{
	free(drv->slots);
	free(drv->free);
	free(drv->link);
}

void virtio_driver_put_desc(struct virtio_driver *drv, aero_gpa gpa,
			    const struct virtio_driver_desc *desc)
{
	put(drv, gpa, desc->addr, 8);
	put(drv, gpa + 8, desc->len, 4);
	put(drv, gpa + (drv->ring.is_packed ? 14 : 12), desc->flags, 2);
	put(drv, gpa + (drv->ring.is_packed ? 12 : 14), desc->next, 2);
}

void virtio_driver_put_ring_desc(struct virtio_driver *drv, uint32_t index,
				 const struct virtio_driver_desc *desc)
{
	virtio_driver_put_desc(drv, drv->ring.desc + 16ull * index, desc);
}

void virtio_driver_put_avail_idx(struct virtio_driver *drv, uint16_t idx)
{
	drv->avail = idx;
	put(drv, drv->ring.driver + 2, idx, 2);
}

void virtio_driver_publish_split(struct virtio_driver *drv, uint16_t head)
{
	put(drv, drv->ring.driver + 4 + 2ull * (drv->avail % drv->ring.size), head, 2);
	virtio_driver_put_avail_idx(drv, (uint16_t)(drv->avail + 1));
}

uint16_t virtio_driver_packed_flags(bool avail_wrap)
{
	return avail_wrap ? VIRTIO_DRIVER_AVAIL : VIRTIO_DRIVER_USED;
}

static struct virtio_driver_desc describe(const struct virtio_driver_buffer *buffer)
{
	struct virtio_driver_desc desc = { .addr = buffer->gpa, .len = buffer->len };

	if (buffer->is_writable)
		desc.flags = VIRTIO_DRIVER_WRITE;
	return desc;
}

/* Descriptors from the free list, linked; the first one is the chain's id. */
static uint16_t give_split(struct virtio_driver *drv, const struct virtio_driver_desc *descs,
			   uint32_t count)
{
	const uint16_t *taken = &drv->free[drv->free_ids - count];

	for (uint32_t i = 0; i < count; i++) {
		struct virtio_driver_desc desc = descs[i];

		if (i + 1 < count) {
			desc.flags |= VIRTIO_DRIVER_NEXT;
			desc.next = taken[i + 1];
		}
		drv->link[taken[i]] = desc.next;
		virtio_driver_put_ring_desc(drv, taken[i], &desc);
	}
	drv->free_ids -= count;
	drv->slots[taken[0]] = (uint16_t)count;
	virtio_driver_publish_split(drv, taken[0]);
	return taken[0];
}

static void step(const struct virtio_driver *drv, uint16_t *position, bool *wrap)
{
	if (++*position == drv->ring.size) {
		*position = 0;
		*wrap = !*wrap;
	}
}

/* The flags of the first descriptor are written last. The id goes into all; the last one counts. */
static uint16_t give_packed(struct virtio_driver *drv, const struct virtio_driver_desc *descs,
			    uint32_t count)
{
	uint16_t id = drv->free[--drv->free_ids];
	aero_gpa first = drv->ring.desc + 16ull * drv->avail;
	uint16_t first_flags = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct virtio_driver_desc desc = descs[i];

		desc.next = i + 1 == count ? id : 0xeeee;
		desc.flags |= virtio_driver_packed_flags(drv->avail_wrap);
		if (i + 1 < count)
			desc.flags |= VIRTIO_DRIVER_NEXT;
		if (!i) {
			first_flags = desc.flags;
			desc.flags = (uint16_t)get(drv, first + 14, 2);
		}
		virtio_driver_put_ring_desc(drv, drv->avail, &desc);
		step(drv, &drv->avail, &drv->avail_wrap);
	}
	put(drv, first + 14, first_flags, 2);
	drv->slots[id] = (uint16_t)count;
	drv->kicked = (uint16_t)(drv->kicked + count);
	return id;
}

static bool give_descs(struct virtio_driver *drv, const struct virtio_driver_desc *descs,
		       uint32_t count, uint16_t *out_id)
{
	if (drv->free_slots < count || !drv->free_ids)
		return false;
	*out_id = drv->ring.is_packed ? give_packed(drv, descs, count)
				      : give_split(drv, descs, count);
	drv->free_slots -= count;
	return true;
}

bool virtio_driver_give(struct virtio_driver *drv, const struct virtio_driver_buffer *buffers,
			uint32_t count, uint16_t *out_id)
{
	struct virtio_driver_desc *descs = calloc(count, sizeof(*descs));
	bool is_given;

	if (!descs)
		abort();
	for (uint32_t i = 0; i < count; i++)
		descs[i] = describe(&buffers[i]);
	is_given = give_descs(drv, descs, count, out_id);
	free(descs);
	return is_given;
}

bool virtio_driver_give_indirect(struct virtio_driver *drv, aero_gpa table,
				 const struct virtio_driver_buffer *buffers, uint32_t count,
				 uint16_t *out_id)
{
	struct virtio_driver_desc head = {
		.addr = table,
		.len = 16 * count,
		.flags = VIRTIO_DRIVER_INDIRECT,
	};

	for (uint32_t i = 0; i < count; i++) {
		struct virtio_driver_desc desc = describe(&buffers[i]);

		if (!drv->ring.is_packed && i + 1 < count) {
			desc.flags |= VIRTIO_DRIVER_NEXT;
			desc.next = (uint16_t)(i + 1);
		}
		virtio_driver_put_desc(drv, table + 16ull * i, &desc);
	}
	return give_descs(drv, &head, 1, out_id);
}

static enum virtio_driver_answer take_back(struct virtio_driver *drv, uint32_t id)
{
	uint16_t count = id < drv->ring.size ? drv->slots[id] : 0;

	if (!count)
		return VIRTIO_DRIVER_BROKEN;
	drv->slots[id] = 0;
	drv->free_slots += count;
	if (drv->ring.is_packed) {
		drv->free[drv->free_ids++] = (uint16_t)id;
		while (count--)
			step(drv, &drv->used, &drv->used_wrap);
		return VIRTIO_DRIVER_TAKEN;
	}
	for (uint32_t i = id; count; count--) {
		drv->free[drv->free_ids++] = (uint16_t)i;
		i = drv->link[i];
	}
	drv->used++;
	return VIRTIO_DRIVER_TAKEN;
}

static enum virtio_driver_answer take_split(struct virtio_driver *drv, uint16_t *out_id,
					    uint32_t *out_len)
{
	aero_gpa element = drv->ring.device + 4 + 8ull * (drv->used % drv->ring.size);
	uint32_t id;

	if ((uint16_t)get(drv, drv->ring.device + 2, 2) == drv->used)
		return VIRTIO_DRIVER_NOTHING;
	id = (uint32_t)get(drv, element, 4);
	*out_len = (uint32_t)get(drv, element + 4, 4);
	*out_id = (uint16_t)id;
	return take_back(drv, id);
}

static enum virtio_driver_answer take_packed(struct virtio_driver *drv, uint16_t *out_id,
					     uint32_t *out_len)
{
	aero_gpa desc = drv->ring.desc + 16ull * drv->used;
	uint16_t flags = (uint16_t)get(drv, desc + 14, 2);
	bool avail = flags & VIRTIO_DRIVER_AVAIL;
	bool used = flags & VIRTIO_DRIVER_USED;

	if (avail != used || used != drv->used_wrap)
		return VIRTIO_DRIVER_NOTHING;
	*out_id = (uint16_t)get(drv, desc + 12, 2);
	*out_len = flags & VIRTIO_DRIVER_WRITE ? (uint32_t)get(drv, desc + 8, 4) : 0;
	return take_back(drv, *out_id);
}

enum virtio_driver_answer virtio_driver_take(struct virtio_driver *drv, uint16_t *out_id,
					     uint32_t *out_len)
{
	return drv->ring.is_packed ? take_packed(drv, out_id, out_len)
				   : take_split(drv, out_id, out_len);
}

static bool split_wants_kick(struct virtio_driver *drv)
{
	uint16_t old = drv->kicked;
	uint16_t event;

	drv->kicked = drv->avail;
	if (!drv->ring.has_event_idx)
		return !(get(drv, drv->ring.device, 2) & 1);
	event = (uint16_t)get(drv, drv->ring.device + 4 + 8ull * drv->ring.size, 2);
	for (uint16_t entry = old; entry != drv->avail; entry++)
		if (entry == event)
			return true;
	return false;
}

/* Walks back over what was given: no arithmetic that could share a mistake with the device. */
static bool packed_wants_kick(struct virtio_driver *drv)
{
	uint16_t flags = get(drv, drv->ring.device + 2, 2) & 3;
	uint16_t event = (uint16_t)get(drv, drv->ring.device, 2);
	uint16_t count = drv->kicked;
	uint16_t position = drv->avail;
	bool wrap = drv->avail_wrap;

	drv->kicked = 0;
	if (flags != 2 || !drv->ring.has_event_idx)
		return flags == 0;
	while (count--) {
		if (!position) {
			position = (uint16_t)drv->ring.size;
			wrap = !wrap;
		}
		position--;
		if (event == (position | (wrap ? 0x8000 : 0)))
			return true;
	}
	return false;
}

bool virtio_driver_wants_kick(struct virtio_driver *drv)
{
	return drv->ring.is_packed ? packed_wants_kick(drv) : split_wants_kick(drv);
}

/* A split ring with the event index has no "never": the entry just gone is the furthest away. */
void virtio_driver_set_interrupts(struct virtio_driver *drv, bool is_enabled)
{
	aero_gpa used_event = drv->ring.driver + 4 + 2ull * drv->ring.size;

	if (drv->ring.is_packed)
		put(drv, drv->ring.driver + 2, !is_enabled, 2);
	else if (drv->ring.has_event_idx)
		put(drv, used_event, (uint16_t)(drv->used - !is_enabled), 2);
	else
		put(drv, drv->ring.driver, !is_enabled, 2);
}

void virtio_driver_interrupt_at(struct virtio_driver *drv, uint16_t entries)
{
	uint16_t position = drv->used;
	bool wrap = drv->used_wrap;

	if (!drv->ring.is_packed) {
		put(drv, drv->ring.driver + 4 + 2ull * drv->ring.size,
		    (uint16_t)(drv->used + entries), 2);
		return;
	}
	while (entries--)
		step(drv, &position, &wrap);
	put(drv, drv->ring.driver, position | (wrap ? 0x8000u : 0), 2);
	put(drv, drv->ring.driver + 2, 2, 2);
}
