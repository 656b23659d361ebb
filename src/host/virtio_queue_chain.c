/* SPDX-License-Identifier: MIT */
#include "virtio_queue_ring.h"

/* One descriptor in host order, copied before anything of it is looked at. */
struct descriptor {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next; /* split only */
};

/* Guest memory need not be contiguous for the host; false where it ends. */
static bool copy_in(const struct aero_virtio_queue *queue, aero_gpa gpa, uint8_t *buf, size_t len)
{
	const struct aero_host_memory *memory = queue->config.memory;

	while (len) {
		size_t part = len;
		const void *src = memory->translate(memory->ctx, gpa, &part, AERO_ACCESS_READ);

		if (!src || !part || part > len)
			return false;
		aero_copy_from_peer(buf, src, part);
		buf += part;
		gpa += part;
		len -= part;
	}
	return true;
}

/* Both kinds of ring agree on all but the order of the last two fields. */
static void decode(const struct aero_virtio_queue *queue, const uint8_t *raw,
		   struct descriptor *out)
{
	struct aero_virtio_wire_desc wire;
	bool swap = queue->is_swapped;

	memcpy(&wire, raw, sizeof(wire));
	out->addr = aero_swap64(wire.addr, swap);
	out->len = aero_swap32(wire.len, swap);
	out->flags = aero_swap16(queue->config.is_packed ? wire.next : wire.flags, swap);
	out->next = aero_swap16(wire.next, swap);
}

static enum aero_status copy_descriptor(struct aero_virtio_queue *queue,
					const struct aero_virtio_chain *chain,
					struct descriptor *out)
{
	uint32_t limit = chain->table_len ? chain->table_len : queue->config.size;
	size_t offset = (size_t)chain->next * sizeof(struct aero_virtio_wire_desc);
	uint8_t raw[sizeof(struct aero_virtio_wire_desc)];

	if (aero_unlikely(chain->next >= limit))
		return aero_virtio_queue_break(queue, AERO_VIRTIO_QUEUE_FAULT_HEAD);
	if (!chain->table_len)
		aero_copy_from_peer(raw, queue->desc + offset, sizeof(raw));
	else if (!copy_in(queue, chain->table + offset, raw, sizeof(raw)))
		return aero_virtio_queue_break(queue, AERO_VIRTIO_QUEUE_FAULT_ADDRESS);
	decode(queue, raw, out);
	return AERO_OK;
}

/*
 * A packed list is as long as pop() found it to be and a packed table as its length says; only a
 * split chain is followed link by link, and bounded by the size of what it runs through.
 */
static enum aero_status advance(struct aero_virtio_queue *queue, struct aero_virtio_chain *chain,
				const struct descriptor *desc)
{
	chain->left--;
	if (queue->config.is_packed) {
		chain->next++;
		if (!chain->table_len && chain->next == queue->config.size)
			chain->next = 0;
		return AERO_OK;
	}
	if (!(desc->flags & AERO_VIRTIO_DESC_F_NEXT)) {
		chain->left = 0;
		return AERO_OK;
	}
	chain->next = desc->next;
	if (!chain->left)
		return aero_virtio_queue_break(queue, AERO_VIRTIO_QUEUE_FAULT_LOOP);
	return AERO_OK;
}

/*
 * Tables longer than the ring are let through: drivers make them, and the bound of a chain is the
 * largest ring there can be. WRITE is ignored here, as the specification wants.
 */
static enum aero_status enter_table(struct aero_virtio_queue *queue,
				    struct aero_virtio_chain *chain, const struct descriptor *desc)
{
	const uint32_t entry = sizeof(struct aero_virtio_wire_desc);
	uint64_t end;

	if (!queue->config.has_indirect || chain->table_len || chain->ring_slots > 1 ||
	    desc->flags & AERO_VIRTIO_DESC_F_NEXT)
		return aero_virtio_queue_break(queue, AERO_VIRTIO_QUEUE_FAULT_INDIRECT);
	if (!desc->len || desc->len % entry || desc->len / entry > AERO_VIRTIO_SPLIT_SIZE_MAX)
		return aero_virtio_queue_break(queue, AERO_VIRTIO_QUEUE_FAULT_INDIRECT);
	if (!aero_add64(desc->addr, desc->len, &end))
		return aero_virtio_queue_break(queue, AERO_VIRTIO_QUEUE_FAULT_ADDRESS);
	chain->table = desc->addr;
	chain->table_len = desc->len / entry;
	chain->left = chain->table_len;
	chain->next = 0;
	return AERO_OK;
}

static enum aero_status take_segment(struct aero_virtio_queue *queue,
				     struct aero_virtio_chain *chain, const struct descriptor *desc)
{
	bool is_writable = desc->flags & AERO_VIRTIO_DESC_F_WRITE;
	uint64_t end;

	if (chain->was_writable && !is_writable)
		return aero_virtio_queue_break(queue, AERO_VIRTIO_QUEUE_FAULT_ORDER);
	if (!aero_add64(desc->addr, desc->len, &end))
		return aero_virtio_queue_break(queue, AERO_VIRTIO_QUEUE_FAULT_ADDRESS);
	chain->total += desc->len;
	if (chain->total > 1ull << 32)
		return aero_virtio_queue_break(queue, AERO_VIRTIO_QUEUE_FAULT_LENGTH);
	chain->was_writable = is_writable;
	chain->segment.gpa = desc->addr;
	chain->segment.len = desc->len;
	chain->segment.is_writable = is_writable;
	return AERO_OK;
}

/* All flags but WRITE are reserved in a packed table, and to be ignored. */
static bool is_indirect(const struct aero_virtio_queue *queue,
			const struct aero_virtio_chain *chain, const struct descriptor *desc)
{
	if (queue->config.is_packed && chain->table_len)
		return false;
	return desc->flags & AERO_VIRTIO_DESC_F_INDIRECT;
}

enum aero_status aero_virtio_chain_load(struct aero_virtio_queue *queue,
					struct aero_virtio_chain *chain)
{
	struct descriptor desc;
	enum aero_status status;

	while (!chain->segment.len) {
		if (!chain->left)
			return AERO_ENOENT;
		status = copy_descriptor(queue, chain, &desc);
		if (status != AERO_OK)
			return status;
		if (is_indirect(queue, chain, &desc)) {
			status = enter_table(queue, chain, &desc);
		} else {
			status = take_segment(queue, chain, &desc);
			if (status == AERO_OK)
				status = advance(queue, chain, &desc);
		}
		if (status != AERO_OK)
			return status;
	}
	return AERO_OK;
}

enum aero_status aero_virtio_queue_next_segment(struct aero_virtio_queue *queue,
						struct aero_virtio_chain *chain,
						struct aero_virtio_segment *out_segment)
{
	enum aero_status status = aero_virtio_queue_usable(queue);

	if (status == AERO_OK)
		status = aero_virtio_chain_load(queue, chain);
	if (status != AERO_OK)
		return status;
	*out_segment = chain->segment;
	chain->segment.len = 0;
	return AERO_OK;
}

/* Bytes of the current segment, as many as it has and buf takes; 0 outside guest memory. */
static uint32_t read_part(struct aero_virtio_queue *queue, struct aero_virtio_chain *chain,
			  uint8_t *buf, uint32_t room)
{
	uint32_t part = room < chain->segment.len ? room : chain->segment.len;

	if (!copy_in(queue, chain->segment.gpa, buf, part))
		return 0;
	chain->segment.gpa += part;
	chain->segment.len -= part;
	return part;
}

enum aero_status aero_virtio_queue_read(struct aero_virtio_queue *queue,
					struct aero_virtio_chain *chain, void *buf, uint32_t len,
					uint32_t *out_len)
{
	enum aero_status status = aero_virtio_queue_usable(queue);
	uint32_t done = 0;

	if (status != AERO_OK)
		return status;
	while (done < len && (chain->segment.len || chain->left)) {
		uint32_t part;

		status = aero_virtio_chain_load(queue, chain);
		if (status != AERO_OK || chain->segment.is_writable)
			break;
		part = read_part(queue, chain, (uint8_t *)buf + done, len - done);
		if (!part)
			return aero_virtio_queue_break(queue, AERO_VIRTIO_QUEUE_FAULT_ADDRESS);
		done += part;
	}
	if (status == AERO_EPROTO)
		return status;
	*out_len = done;
	return AERO_OK;
}
