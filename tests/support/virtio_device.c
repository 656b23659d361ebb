/* SPDX-License-Identifier: MIT */
#include "support/virtio_device.h"

#include <string.h>

#include "support/check.h"

/* As the specification numbers them. */
#define NEXT 1u
#define WRITE 2u
#define INDIRECT 4u
#define AVAIL 0x80u
#define USED 0x8000u

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next; /* split: next; packed: id */
};

void virtio_device_put(const struct virtio_device *dev, uint8_t *at, uint64_t value,
		       unsigned int len)
{
	for (unsigned int i = 0; i < len; i++)
		at[dev->ring.is_big_endian ? len - 1 - i : i] = (uint8_t)(value >> 8 * i);
}

uint64_t virtio_device_get(const struct virtio_device *dev, const uint8_t *at, unsigned int len)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < len; i++)
		value |= (uint64_t)at[dev->ring.is_big_endian ? len - 1 - i : i] << 8 * i;
	return value;
}

static uint8_t *desc_at(const struct virtio_device *dev, uint32_t index)
{
	return (uint8_t *)dev->ring.desc + 16ull * index;
}

static uint8_t *driver_at(const struct virtio_device *dev, size_t offset)
{
	return (uint8_t *)dev->ring.driver + offset;
}

static uint8_t *device_at(const struct virtio_device *dev, size_t offset)
{
	return (uint8_t *)dev->ring.device + offset;
}

void virtio_device_init(struct virtio_device *dev,
			const struct aero_virtio_guest_queue_config *ring)
{
	memset(dev, 0, sizeof(*dev));
	dev->ring = *ring;
	dev->avail_wrap = true;
	dev->used_wrap = true;
}

static void step(const struct virtio_device *dev, uint16_t *position, bool *wrap)
{
	if (++*position == dev->ring.size) {
		*position = 0;
		*wrap = !*wrap;
	}
}

static struct desc get_desc(const struct virtio_device *dev, const uint8_t *at)
{
	struct desc desc = {
		.addr = virtio_device_get(dev, at, 8),
		.len = (uint32_t)virtio_device_get(dev, at + 8, 4),
		.flags = (uint16_t)virtio_device_get(dev, at + (dev->ring.is_packed ? 14 : 12), 2),
		.next = (uint16_t)virtio_device_get(dev, at + (dev->ring.is_packed ? 12 : 14), 2),
	};

	return desc;
}

static void add_buffer(struct virtio_device_chain *chain, const struct desc *desc)
{
	struct aero_virtio_guest_buffer *buffer = &chain->buffers[chain->count++];

	CHECK(chain->count <= AERO_VIRTIO_GUEST_CHAIN_MAX);
	CHECK(desc->len);
	buffer->gpa = desc->addr;
	buffer->len = desc->len;
	buffer->is_writable = desc->flags & WRITE;
	CHECK(buffer->is_writable || chain->count == 1 || !buffer[-1].is_writable);
}

/* In a table the order says it all when packed; split ones are linked as in the ring. */
static void add_table(const struct virtio_device *dev, struct virtio_device_chain *chain,
		      const struct desc *head)
{
	uint32_t count = head->len / 16;

	CHECK(dev->ring.has_indirect && count && !(head->len % 16) && !(head->addr % 16));
	CHECK(!(head->flags & (NEXT | WRITE)) && !chain->is_indirect);
	chain->is_indirect = true;
	for (uint32_t i = 0; i < count; i++) {
		struct desc desc =
			get_desc(dev, dev->tables + (head->addr - dev->tables_gpa) + 16ull * i);
		bool is_last = dev->ring.is_packed || i + 1 == count;

		CHECK(!(desc.flags & ~WRITE) == is_last);
		CHECK(is_last ? !desc.next : (desc.flags & NEXT) && desc.next == i + 1);
		add_buffer(chain, &desc);
	}
}

static void add_desc(const struct virtio_device *dev, struct virtio_device_chain *chain,
		     const struct desc *desc)
{
	chain->entries++;
	CHECK(chain->entries <= dev->ring.size);
	if (desc->flags & INDIRECT)
		add_table(dev, chain, desc);
	else
		add_buffer(chain, desc);
}

/* With IN_ORDER descriptors are used from the first to the last and around. */
static void check_order(struct virtio_device *dev, uint16_t at, const struct desc *desc)
{
	if (!dev->ring.is_in_order)
		return;
	CHECK(at == dev->order);
	dev->order = (uint16_t)(at + 1u == dev->ring.size ? 0 : at + 1);
	CHECK(!(desc->flags & NEXT) || desc->next == dev->order);
}

static bool pop_split(struct virtio_device *dev, struct virtio_device_chain *chain)
{
	uint16_t idx = (uint16_t)virtio_device_get(dev, driver_at(dev, 2), 2);
	uint16_t at;
	struct desc desc;

	if (idx == dev->avail)
		return false;
	CHECK((uint16_t)(idx - dev->avail) <= dev->ring.size);
	at = (uint16_t)virtio_device_get(
		dev, driver_at(dev, 4 + 2ull * (dev->avail++ % dev->ring.size)), 2);
	chain->id = at;
	do {
		CHECK(at < dev->ring.size);
		desc = get_desc(dev, desc_at(dev, at));
		CHECK(!(desc.flags & ~(NEXT | WRITE | INDIRECT)));
		check_order(dev, at, &desc);
		add_desc(dev, chain, &desc);
		at = desc.next;
	} while (desc.flags & NEXT);
	return true;
}

static bool pop_packed(struct virtio_device *dev, struct virtio_device_chain *chain)
{
	struct desc desc = get_desc(dev, desc_at(dev, dev->avail));

	if (!(desc.flags & AVAIL) == dev->avail_wrap || !(desc.flags & USED) != dev->avail_wrap)
		return false;
	do {
		desc = get_desc(dev, desc_at(dev, dev->avail));
		CHECK((desc.flags & (AVAIL | USED)) == (dev->avail_wrap ? AVAIL : USED));
		CHECK(!(desc.flags & ~(NEXT | WRITE | INDIRECT | AVAIL | USED)));
		add_desc(dev, chain, &desc);
		step(dev, &dev->avail, &dev->avail_wrap);
	} while (desc.flags & NEXT);
	chain->id = desc.next;
	return true;
}

bool virtio_device_pop(struct virtio_device *dev, struct virtio_device_chain *out_chain)
{
	memset(out_chain, 0, sizeof(*out_chain));
	return dev->ring.is_packed ? pop_packed(dev, out_chain) : pop_split(dev, out_chain);
}

/* The flags make a packed one visible; for a split one that is the index. */
static void put_entry(struct virtio_device *dev, uint32_t id, uint32_t len)
{
	uint8_t *at = device_at(dev, 4 + 8ull * (dev->used % dev->ring.size));

	if (!dev->ring.is_packed) {
		virtio_device_put(dev, at, id, 4);
		virtio_device_put(dev, at + 4, len, 4);
		return;
	}
	at = desc_at(dev, dev->used);
	virtio_device_put(dev, at + 8, len, 4);
	virtio_device_put(dev, at + 12, id, 2);
	virtio_device_put(dev, at + 14, (dev->used_wrap ? AVAIL | USED : 0) | (len ? WRITE : 0), 2);
}

void virtio_device_put_used(struct virtio_device *dev, uint32_t id, uint32_t len)
{
	put_entry(dev, id, len);
	if (!dev->ring.is_packed)
		virtio_device_put(dev, device_at(dev, 2), (uint16_t)(dev->used + 1), 2);
}

void virtio_device_push_batch(struct virtio_device *dev, const struct virtio_device_chain *skips,
			      uint32_t count, uint32_t written)
{
	uint32_t entries = 0;

	put_entry(dev, skips[count - 1].id, written);
	for (uint32_t i = 0; i < count; i++)
		entries += skips[i].entries;
	if (dev->ring.is_packed) {
		dev->pushed += entries;
		while (entries--)
			step(dev, &dev->used, &dev->used_wrap);
	} else {
		dev->pushed += count;
		dev->used = (uint16_t)(dev->used + count);
		virtio_device_put(dev, device_at(dev, 2), dev->used, 2);
	}
}

void virtio_device_push(struct virtio_device *dev, const struct virtio_device_chain *chain,
			uint32_t written)
{
	virtio_device_push_batch(dev, chain, 1, written);
}

static bool split_wants_interrupt(struct virtio_device *dev, uint32_t pushed)
{
	uint16_t event;

	if (!dev->ring.has_event_idx)
		return pushed && !(virtio_device_get(dev, driver_at(dev, 0), 2) & 1);
	CHECK(!virtio_device_get(dev, driver_at(dev, 0), 2));
	event = (uint16_t)virtio_device_get(dev, driver_at(dev, 4 + 2ull * dev->ring.size), 2);
	for (uint32_t i = 1; i <= pushed; i++)
		if ((uint16_t)(dev->used - i) == event)
			return true;
	return false;
}

/* Walks back over what was pushed: no arithmetic that could share a mistake with the driver. */
static bool packed_wants_interrupt(struct virtio_device *dev, uint32_t pushed)
{
	uint16_t event = (uint16_t)virtio_device_get(dev, driver_at(dev, 0), 2);
	uint16_t flags = (uint16_t)virtio_device_get(dev, driver_at(dev, 2), 2);
	uint16_t position = dev->used;
	bool wrap = dev->used_wrap;

	CHECK(flags <= (dev->ring.has_event_idx ? 2 : 1));
	if (flags != 2)
		return pushed && !flags;
	CHECK((event & 0x7fff) < dev->ring.size);
	while (pushed--) {
		if (!position) {
			position = (uint16_t)dev->ring.size;
			wrap = !wrap;
		}
		position--;
		if (event == (position | (wrap ? 0x8000 : 0)))
			return true;
	}
	return false;
}

bool virtio_device_wants_interrupt(struct virtio_device *dev)
{
	uint32_t pushed = dev->pushed;

	dev->pushed = 0;
	return dev->ring.is_packed ? packed_wants_interrupt(dev, pushed)
				   : split_wants_interrupt(dev, pushed);
}

/* A split ring with the event index has no "never": the entry just gone is the furthest away. */
void virtio_device_set_kicks(struct virtio_device *dev, bool is_enabled)
{
	if (dev->ring.is_packed)
		virtio_device_put(dev, device_at(dev, 2), !is_enabled, 2);
	else if (dev->ring.has_event_idx)
		virtio_device_put(dev, device_at(dev, 4 + 8ull * dev->ring.size),
				  (uint16_t)(dev->avail - !is_enabled), 2);
	else
		virtio_device_put(dev, device_at(dev, 0), !is_enabled, 2);
}

void virtio_device_kick_at(struct virtio_device *dev, uint16_t entries)
{
	uint16_t position = dev->avail;
	bool wrap = dev->avail_wrap;

	if (!dev->ring.is_packed) {
		virtio_device_put(dev, device_at(dev, 4 + 8ull * dev->ring.size),
				  (uint16_t)(dev->avail + entries), 2);
		return;
	}
	while (entries--)
		step(dev, &position, &wrap);
	virtio_device_put(dev, device_at(dev, 0), position | (wrap ? 0x8000u : 0), 2);
	virtio_device_put(dev, device_at(dev, 2), 2, 2);
}
