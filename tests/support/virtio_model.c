/* SPDX-License-Identifier: MIT */
#include "support/virtio_model.h"

#include <stdlib.h>
#include <string.h>

#include "support/virtio_driver.h"

static uint32_t get(const struct virtio_model *model, aero_gpa gpa, unsigned int len)
{
	return (uint32_t)guest_ram_get(model->ram, gpa, len, model->ring.is_big_endian);
}

static void put(struct virtio_model *model, aero_gpa gpa, uint32_t value, unsigned int len)
{
	guest_ram_put(model->ram, gpa, value, len, model->ring.is_big_endian);
}

static enum aero_status break_ring(struct virtio_model *model, enum aero_virtio_queue_fault fault)
{
	model->fault = fault;
	return AERO_EPROTO;
}

static bool is_usable(const struct virtio_model *model)
{
	return model->is_started && !model->fault;
}

/* Start and stop ------------------------------------------------------------------------------ */

static bool is_power_of_two(uint32_t size)
{
	for (uint32_t power = 1; power <= 32768; power *= 2)
		if (power == size)
			return true;
	return false;
}

static bool is_allowed(const struct aero_virtio_queue_config *ring)
{
	if (ring->size < 1 || ring->size > 32768 || ring->desc % 16)
		return false;
	if (ring->is_packed)
		return !ring->is_big_endian && ring->driver % 4 == 0 && ring->device % 4 == 0 &&
		       ring->base % 0x8000 < ring->size && (ring->base >> 16) % 0x8000 < ring->size;
	return is_power_of_two(ring->size) && ring->driver % 2 == 0 && ring->device % 4 == 0 &&
	       ring->base < 0x10000;
}

static bool is_memory(const struct guest_ram *ram, aero_gpa gpa, size_t len)
{
	for (unsigned int i = 0; i < ram->regions; i++) {
		const struct guest_ram_region *region = &ram->region[i];

		if (gpa >= region->gpa && gpa - region->gpa < region->bytes &&
		    len <= region->bytes - (size_t)(gpa - region->gpa))
			return true;
	}
	return false;
}

static bool is_ring_memory(const struct virtio_model *model)
{
	const struct aero_virtio_queue_config *ring = &model->ring;
	uint32_t event = ring->has_event_idx ? 2 : 0;

	return is_memory(model->ram, ring->desc, 16 * ring->size) &&
	       is_memory(model->ram, ring->driver,
			 ring->is_packed ? 4 : 4 + 2 * ring->size + event) &&
	       is_memory(model->ram, ring->device,
			 ring->is_packed ? 4 : 4 + 8 * ring->size + event);
}

/* 15 bits of position and one of wrap, to a place on two laps, and back. */
static uint32_t to_place(const struct virtio_model *model, uint32_t bits)
{
	return bits & 0x8000 ? bits & 0x7fff : (bits & 0x7fff) + model->ring.size;
}

static uint32_t from_place(const struct virtio_model *model, uint32_t place)
{
	return place < model->ring.size ? place | 0x8000 : place - model->ring.size;
}

enum aero_status virtio_model_start(struct virtio_model *model,
				    const struct aero_virtio_queue_config *ring)
{
	if (model->is_started)
		return AERO_ESTATE;
	if (!is_allowed(ring))
		return AERO_EINVAL;
	model->ring = *ring;
	model->avail = ring->base;
	model->used = 0;
	model->in_flight = 0;
	model->pushed = 0;
	model->has_signalled = false;
	model->fault = AERO_VIRTIO_QUEUE_FAULT_NONE;
	if (ring->is_packed) {
		model->avail = to_place(model, ring->base & 0xffff);
		model->used = to_place(model, ring->base >> 16);
	}
	if (!is_ring_memory(model))
		return AERO_ERANGE;
	if (!ring->is_packed)
		model->used = get(model, ring->device + 2, 2);
	model->is_started = true;
	return AERO_OK;
}

uint32_t virtio_model_stop(struct virtio_model *model)
{
	model->is_started = false;
	if (!model->ring.is_packed)
		return model->avail;
	return from_place(model, model->avail) | from_place(model, model->used) << 16;
}

/* Chains -------------------------------------------------------------------------------------- */

struct walk {
	struct virtio_model_chain *chain;
	uint64_t total;
	bool was_writable;
};

static struct virtio_driver_desc get_desc(const struct virtio_model *model, aero_gpa gpa)
{
	bool is_packed = model->ring.is_packed;

	return (struct virtio_driver_desc){
		.addr = guest_ram_get(model->ram, gpa, 8, model->ring.is_big_endian),
		.len = get(model, gpa + 8, 4),
		.flags = (uint16_t)get(model, gpa + (is_packed ? 14 : 12), 2),
		.next = (uint16_t)get(model, gpa + (is_packed ? 12 : 14), 2),
	};
}

static enum aero_virtio_queue_fault add_segment(struct walk *walk,
						const struct virtio_driver_desc *desc)
{
	bool is_writable = desc->flags & VIRTIO_DRIVER_WRITE;

	if (walk->was_writable && !is_writable)
		return AERO_VIRTIO_QUEUE_FAULT_ORDER;
	if (desc->len && desc->addr > UINT64_MAX - desc->len)
		return AERO_VIRTIO_QUEUE_FAULT_ADDRESS;
	walk->total += desc->len;
	if (walk->total > 0x100000000ull)
		return AERO_VIRTIO_QUEUE_FAULT_LENGTH;
	walk->was_writable = is_writable;
	if (!desc->len)
		return AERO_VIRTIO_QUEUE_FAULT_NONE;
	if (walk->chain->count == VIRTIO_MODEL_SEGMENTS)
		abort();
	walk->chain->segment[walk->chain->count++] = (struct aero_virtio_segment){
		.gpa = desc->addr,
		.len = desc->len,
		.is_writable = is_writable,
	};
	return AERO_VIRTIO_QUEUE_FAULT_NONE;
}

/* The last descriptor that fits and still goes on is not served any more. */
static enum aero_virtio_queue_fault end_loop(struct walk *walk,
					     const struct virtio_driver_desc *desc)
{
	if (desc->len)
		walk->chain->count--;
	return AERO_VIRTIO_QUEUE_FAULT_LOOP;
}

static bool is_table_allowed(const struct virtio_model *model,
			     const struct virtio_driver_desc *desc, bool is_alone)
{
	return model->ring.has_indirect && !(desc->flags & VIRTIO_DRIVER_NEXT) && is_alone &&
	       desc->len && desc->len % 16 == 0 && desc->len / 16 <= 32768;
}

static bool is_all_memory(const struct virtio_model *model, aero_gpa gpa, uint32_t len)
{
	while (len--)
		if (!is_memory(model->ram, gpa++, 1))
			return false;
	return true;
}

static enum aero_virtio_queue_fault walk_table(const struct virtio_model *model, struct walk *walk,
					       const struct virtio_driver_desc *head)
{
	uint32_t entries = head->len / 16;
	uint32_t index = 0;

	if (head->addr > UINT64_MAX - head->len)
		return AERO_VIRTIO_QUEUE_FAULT_ADDRESS;
	for (uint32_t seen = 1;; seen++) {
		struct virtio_driver_desc desc;
		enum aero_virtio_queue_fault fault;

		if (index >= entries)
			return AERO_VIRTIO_QUEUE_FAULT_HEAD;
		if (!is_all_memory(model, head->addr + 16ull * index, 16))
			return AERO_VIRTIO_QUEUE_FAULT_ADDRESS;
		desc = get_desc(model, head->addr + 16ull * index);
		if (!model->ring.is_packed && desc.flags & VIRTIO_DRIVER_INDIRECT)
			return AERO_VIRTIO_QUEUE_FAULT_INDIRECT;
		fault = add_segment(walk, &desc);
		if (fault)
			return fault;
		if (model->ring.is_packed) {
			if (++index == entries)
				return AERO_VIRTIO_QUEUE_FAULT_NONE;
			continue;
		}
		if (!(desc.flags & VIRTIO_DRIVER_NEXT))
			return AERO_VIRTIO_QUEUE_FAULT_NONE;
		if (seen == entries)
			return end_loop(walk, &desc);
		index = desc.next;
	}
}

static enum aero_virtio_queue_fault walk_split(const struct virtio_model *model, struct walk *walk,
					       uint32_t head)
{
	uint32_t index = head;

	for (uint32_t seen = 1;; seen++) {
		struct virtio_driver_desc desc;
		enum aero_virtio_queue_fault fault;

		if (index >= model->ring.size)
			return AERO_VIRTIO_QUEUE_FAULT_HEAD;
		desc = get_desc(model, model->ring.desc + 16ull * index);
		if (desc.flags & VIRTIO_DRIVER_INDIRECT)
			return is_table_allowed(model, &desc, true)
				       ? walk_table(model, walk, &desc)
				       : AERO_VIRTIO_QUEUE_FAULT_INDIRECT;
		fault = add_segment(walk, &desc);
		if (fault)
			return fault;
		if (!(desc.flags & VIRTIO_DRIVER_NEXT))
			return AERO_VIRTIO_QUEUE_FAULT_NONE;
		if (seen == model->ring.size)
			return end_loop(walk, &desc);
		index = desc.next;
	}
}

static enum aero_virtio_queue_fault walk_packed(const struct virtio_model *model, struct walk *walk)
{
	for (uint32_t i = 0; i < walk->chain->slots; i++) {
		uint32_t position = (model->avail + i) % model->ring.size;
		struct virtio_driver_desc desc =
			get_desc(model, model->ring.desc + 16ull * position);
		enum aero_virtio_queue_fault fault;

		if (desc.flags & VIRTIO_DRIVER_INDIRECT)
			return is_table_allowed(model, &desc, walk->chain->slots == 1)
				       ? walk_table(model, walk, &desc)
				       : AERO_VIRTIO_QUEUE_FAULT_INDIRECT;
		fault = add_segment(walk, &desc);
		if (fault)
			return fault;
	}
	return AERO_VIRTIO_QUEUE_FAULT_NONE;
}

/* Pop ----------------------------------------------------------------------------------------- */

static uint32_t count_waiting(const struct virtio_model *model)
{
	uint32_t flags;
	bool wrap;

	if (!model->ring.is_packed)
		return (get(model, model->ring.driver + 2, 2) - model->avail) & 0xffff;
	flags = get(model, model->ring.desc + 16ull * (model->avail % model->ring.size) + 14, 2);
	wrap = model->avail < model->ring.size;
	return (flags & 0x8080) == (wrap ? 0x0080u : 0x8000u);
}

/* Where kicks are wanted and nothing waits: name the next entry, and look again. */
static uint32_t arm(struct virtio_model *model)
{
	if (model->ring.is_packed) {
		put(model, model->ring.device, from_place(model, model->avail), 2);
		put(model, model->ring.device + 2, 2, 2);
	} else {
		put(model, model->ring.device + 4 + 8ull * model->ring.size, model->avail, 2);
	}
	return count_waiting(model);
}

static enum aero_status pop_split(struct virtio_model *model, uint32_t waiting, struct walk *walk)
{
	uint32_t entry = model->avail % model->ring.size;
	uint32_t head;

	if (waiting > model->ring.size || model->in_flight >= model->ring.size)
		return break_ring(model, AERO_VIRTIO_QUEUE_FAULT_INDEX);
	head = get(model, model->ring.driver + 4 + 2ull * entry, 2);
	if (head >= model->ring.size)
		return break_ring(model, AERO_VIRTIO_QUEUE_FAULT_HEAD);
	walk->chain->id = head;
	walk->chain->slots = 1;
	walk->chain->fault = walk_split(model, walk, head);
	model->avail = (model->avail + 1) & 0xffff;
	model->in_flight++;
	return AERO_OK;
}

static enum aero_status pop_packed(struct virtio_model *model, struct walk *walk)
{
	struct virtio_driver_desc desc = { .flags = VIRTIO_DRIVER_NEXT };
	uint32_t slots;

	for (slots = 0; desc.flags & VIRTIO_DRIVER_NEXT; slots++) {
		uint32_t position = (model->avail + slots) % model->ring.size;

		if (model->in_flight + slots == model->ring.size)
			return break_ring(model, AERO_VIRTIO_QUEUE_FAULT_LOOP);
		desc = get_desc(model, model->ring.desc + 16ull * position);
	}
	if (desc.next >= model->ring.size)
		return break_ring(model, AERO_VIRTIO_QUEUE_FAULT_HEAD);
	walk->chain->id = desc.next;
	walk->chain->slots = slots;
	walk->chain->fault = walk_packed(model, walk);
	/* The device reads the first buffer's descriptor at once. */
	if (walk->chain->fault && !walk->chain->count)
		return break_ring(model, walk->chain->fault);
	model->avail = (model->avail + slots) % (2 * model->ring.size);
	model->in_flight += slots;
	return AERO_OK;
}

enum aero_status virtio_model_pop(struct virtio_model *model, struct virtio_model_chain *out)
{
	struct walk walk = { .chain = out };
	uint32_t waiting;

	if (!is_usable(model))
		return model->is_started ? AERO_EPROTO : AERO_ESTATE;
	out->count = 0;
	waiting = count_waiting(model);
	if (!waiting && model->ring.has_event_idx && !model->is_kick_off)
		waiting = arm(model);
	if (!waiting)
		return AERO_EAGAIN;
	return model->ring.is_packed ? pop_packed(model, &walk) : pop_split(model, waiting, &walk);
}

void virtio_model_unpop(struct virtio_model *model, uint32_t slots)
{
	uint32_t line = model->ring.is_packed ? 2 * model->ring.size : 0x10000;

	model->avail = (model->avail + line - slots) % line;
	if (model->in_flight >= slots)
		model->in_flight -= slots;
}

/* Push and events ----------------------------------------------------------------------------- */

static void put_used(struct virtio_model *model, uint32_t id, uint32_t written)
{
	aero_gpa at;

	if (model->ring.is_packed) {
		bool wrap = model->used < model->ring.size;

		at = model->ring.desc + 16ull * (model->used % model->ring.size);
		put(model, at + 8, written, 4);
		put(model, at + 12, id, 2);
		put(model, at + 14, (wrap ? 0x8080u : 0) | (written ? 2u : 0), 2);
		return;
	}
	at = model->ring.device + 4 + 8ull * (model->used % model->ring.size);
	put(model, at, id, 4);
	put(model, at + 4, written, 4);
	put(model, model->ring.device + 2, (model->used + 1) & 0xffff, 2);
}

enum aero_status virtio_model_push(struct virtio_model *model, uint32_t id, uint32_t slots,
				   uint32_t written)
{
	uint32_t line = model->ring.is_packed ? 2 * model->ring.size : 0x10000;

	if (!is_usable(model))
		return model->is_started ? AERO_EPROTO : AERO_ESTATE;
	if (slots > model->ring.size)
		return AERO_EINVAL;
	put_used(model, id, written);
	model->used = (model->used + slots) % line;
	model->pushed += slots;
	if (model->in_flight >= slots)
		model->in_flight -= slots;
	return AERO_OK;
}

/* Back over all that was pushed: was the entry the driver named among it? */
static bool was_pushed(const struct virtio_model *model, uint32_t line, uint32_t event)
{
	for (uint32_t back = 1; back <= model->pushed && back <= line; back++)
		if ((model->used + line - back) % line == event)
			return true;
	return false;
}

static bool is_interrupt_due(const struct virtio_model *model)
{
	const struct aero_virtio_queue_config *ring = &model->ring;
	uint32_t event;

	if (!ring->is_packed) {
		if (!ring->has_event_idx)
			return !(get(model, ring->driver, 2) & 1);
		event = get(model, ring->driver + 4 + 2ull * ring->size, 2);
		return !model->has_signalled || was_pushed(model, 0x10000, event);
	}
	switch (get(model, ring->driver + 2, 2) & 3) {
	case 1:
		return false;
	case 2:
		break;
	default:
		return true;
	}
	event = get(model, ring->driver, 2);
	if (!ring->has_event_idx || !model->has_signalled || (event & 0x7fff) >= ring->size)
		return true;
	return was_pushed(model, 2 * ring->size, to_place(model, event));
}

bool virtio_model_should_notify(struct virtio_model *model)
{
	bool is_due;

	if (!is_usable(model) || !model->pushed)
		return false;
	is_due = is_interrupt_due(model);
	model->pushed = 0;
	model->has_signalled = true;
	return is_due;
}

bool virtio_model_set_kicks(struct virtio_model *model, bool is_enabled)
{
	if (!is_usable(model))
		return false;
	model->is_kick_off = !is_enabled;
	if (!model->ring.is_packed)
		put(model, model->ring.device, !is_enabled && !model->ring.has_event_idx, 2);
	else if (!is_enabled || !model->ring.has_event_idx)
		put(model, model->ring.device + 2, !is_enabled, 2);
	if (is_enabled && model->ring.has_event_idx)
		return arm(model) != 0;
	return count_waiting(model) != 0;
}
