/* SPDX-License-Identifier: MIT */
/* The driver of virtio's balloon: queues, their numbers, their memory. */
#include "virtio_balloon_internal.h"

/* A ring of this size, with our own record of it, is a page. */
#define PAGE_ENTRIES 64u

_Static_assert(AERO_VIRTIO_SPLIT_DESC_BYTES(PAGE_ENTRIES) +
			       AERO_VIRTIO_SPLIT_AVAIL_BYTES(PAGE_ENTRIES) +
			       AERO_VIRTIO_SPLIT_USED_BYTES(PAGE_ENTRIES) +
			       PAGE_ENTRIES * sizeof(struct aero_virtio_guest_slot) +
			       2 * AERO_VIRTIO_SPLIT_USED_ALIGN <=
		       AERO_FRAME_BYTES,
	       "ring");

/* The feature that brings a queue, of those that are not always there. */
#define BIT_OF(role) (2 * (role)-3)

_Static_assert(BIT_OF(STATS) == AERO_VIRTIO_BALLOON_F_STATS_VQ, "bit");
_Static_assert(BIT_OF(HINT) == AERO_VIRTIO_BALLOON_F_FREE_PAGE_HINT, "bit");
_Static_assert(BIT_OF(REPORTING) == AERO_VIRTIO_BALLOON_F_PAGE_REPORTING, "bit");

bool aero_vb_has_role(uint64_t features, unsigned int role)
{
	return role <= DEFLATE || features >> BIT_OF(role) & 1;
}

static uint32_t size_of(const struct aero_virtio_balloon_guest *drv, unsigned int index)
{
	const struct aero_virtio_transport *transport = drv->config.transport;

	return transport->queue_size(transport->ctx, index);
}

/* By the specification, or without holes: each role takes the next index. */
static void number(bool is_spec, uint64_t features, uint8_t index[AERO_VIRTIO_BALLOON_GUEST_QUEUES])
{
	uint8_t next = 0;
	unsigned int role;

	for (role = 0; role < AERO_VIRTIO_BALLOON_GUEST_QUEUES; role++) {
		index[role] = is_spec ? (uint8_t)role : next;
		next += aero_vb_has_role(features, role);
	}
}

/* Whether the device has a queue for each of these features. */
static bool is_complete(const struct aero_virtio_balloon_guest *drv, uint64_t features,
			const uint8_t index[AERO_VIRTIO_BALLOON_GUEST_QUEUES])
{
	unsigned int role;

	for (role = STATS; role < AERO_VIRTIO_BALLOON_GUEST_QUEUES; role++)
		if (aero_vb_has_role(features, role) && !size_of(drv, index[role]))
			return false;
	return true;
}

/*
 * No device says how it numbers: what it has at an index tells. It may have queues for all that it
 * offers, or for what was accepted. Closed up over what it offers is how most do it; a feature that
 * was declined leaves its index there, so that this comes before a look at what was accepted.
 */
void aero_vb_number_queues(struct aero_virtio_balloon_guest *drv, uint64_t offered,
			   uint8_t index[AERO_VIRTIO_BALLOON_GUEST_QUEUES])
{
	enum aero_virtio_balloon_numbering numbering = drv->config.numbering;
	uint64_t features = numbering ? drv->features : offered;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		if (i == 2)
			features = drv->features;
		drv->is_compact =
			numbering ? numbering == AERO_VIRTIO_BALLOON_NUMBERING_COMPACT : i % 2;
		number(!drv->is_compact, features, index);
		if (numbering || is_complete(drv, features, index))
			return;
	}
}

static void free_queue(struct aero_virtio_balloon_guest *drv,
		       struct aero_virtio_balloon_guest_queue *queue)
{
	const struct aero_port *port = drv->config.balloon.port;
	const struct aero_virtio_memory *memory = drv->config.memory;

	if (queue->ring && queue->ring_bytes)
		memory->put(memory->ctx, queue->ring, queue->ring_bytes);
	else if (queue->ring)
		port->page_put(port->ctx, queue->ring);
	queue->ring = NULL;
}

void aero_vb_free_queues(struct aero_virtio_balloon_guest *drv)
{
	unsigned int role;

	for (role = 0; role < AERO_VIRTIO_BALLOON_GUEST_QUEUES; role++)
		free_queue(drv, &drv->queue[role]);
}

/* Where the parts of a ring are, from its begin on. */
struct layout {
	size_t driver;
	size_t device;
	size_t slots;
	size_t bytes;
};

/* A legacy device knows where the parts are; our own record lies behind them. bytes 0: a page. */
static struct layout lay_out(const struct aero_virtio_transport *transport, size_t size)
{
	size_t rest = AERO_VIRTIO_SPLIT_USED_ALIGN - 1;
	struct layout layout;

	if (transport->is_legacy)
		rest = transport->ring_align - 1;
	layout.driver = AERO_VIRTIO_SPLIT_DESC_BYTES(size);
	layout.device = (layout.driver + AERO_VIRTIO_SPLIT_AVAIL_BYTES(size) + rest) & ~rest;
	layout.slots = (layout.device + AERO_VIRTIO_SPLIT_USED_BYTES(size) + rest) & ~rest;
	layout.bytes = layout.slots + size * sizeof(struct aero_virtio_guest_slot);
	if (!transport->is_legacy)
		layout.bytes = 0;
	return layout;
}

/* Memory for a ring; kept from one start to the next. bytes 0: a page. */
static bool get_ring(struct aero_virtio_balloon_guest *drv,
		     struct aero_virtio_balloon_guest_queue *queue, size_t bytes)
{
	const struct aero_port *port = drv->config.balloon.port;
	const struct aero_virtio_memory *memory = drv->config.memory;

	if (queue->ring && queue->ring_bytes == bytes)
		return true;
	free_queue(drv, queue);
	queue->ring_bytes = bytes;
	if (bytes)
		queue->ring = memory->get(memory->ctx, bytes, &queue->ring_gpa);
	else
		queue->ring = port->page_get(port->ctx);
	if (queue->ring && !bytes)
		queue->ring_gpa = aero_vb_gpa(drv, queue->ring);
	return queue->ring;
}

/* How many entries: what is wanted, or what the device insists on. */
static uint32_t choose_size(const struct aero_virtio_balloon_guest *drv, uint32_t most,
			    uint32_t wanted)
{
	if (drv->config.transport->is_legacy)
		return most & (most - 1) || most > AERO_VIRTIO_SPLIT_SIZE_MAX ? 0 : most;
	while (wanted > most || wanted > PAGE_ENTRIES)
		wanted /= 2;
	return wanted;
}

enum aero_status aero_vb_start_queue(struct aero_virtio_balloon_guest *drv,
				     struct aero_virtio_balloon_guest_queue *queue,
				     unsigned int index, uint32_t wanted)
{
	const struct aero_virtio_transport *transport = drv->config.transport;
	struct aero_virtio_guest_queue_config config = { 0 };
	struct aero_virtio_ring ring = { 0 };
	enum aero_status status;
	struct layout layout;
	uint8_t *at;

	config.size = ring.size = choose_size(drv, size_of(drv, index), wanted);
	if (!config.size)
		return AERO_ENOENT;
	layout = lay_out(transport, config.size);
	if (!get_ring(drv, queue, layout.bytes))
		return AERO_ENOMEM;
	at = queue->ring;
	config.is_packed = aero_vb_has(drv, TRANSPORT(RING_PACKED));
	config.has_event_idx = aero_vb_has(drv, TRANSPORT(EVENT_IDX));
	config.has_indirect = aero_vb_has(drv, TRANSPORT(INDIRECT_DESC));
	config.is_in_order = aero_vb_has(drv, TRANSPORT(IN_ORDER));
	/* What is to be ignored is what old devices say of requests for frames. */
	config.is_length_ignored = transport->is_legacy || queue <= &drv->queue[DEFLATE];
	config.is_big_endian = transport->is_legacy && AERO_HOST_BIG_ENDIAN;
	config.desc = at;
	config.driver = at + layout.driver;
	config.device = at + layout.device;
	config.slots = (void *)(at + layout.slots);
	ring.desc = queue->ring_gpa;
	ring.driver = ring.desc + layout.driver;
	ring.device = ring.desc + layout.device;
	status = aero_virtio_guest_queue_start(&queue->queue, &config);
	if (!status)
		status = transport->queue_start(transport->ctx, index, &ring);
	queue->index = (uint8_t)index;
	queue->is_there = !status;
	return status;
}
