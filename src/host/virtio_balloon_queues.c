/* SPDX-License-Identifier: MIT */
/* The five queues: which is for what, starting, stopping, answering. */
#include "virtio_balloon_internal.h"

/* Indices above the deflate queue, where numberings differ. */
#define FIRST_OPTIONAL AERO_VIRTIO_BALLOON_VQ_STATS

/* The features that own an optional queue, in their order, and the role they give it. */
static const struct {
	unsigned char feature;
	unsigned char spec_index;
	unsigned char role;
} optional[] = {
	{ AERO_VIRTIO_BALLOON_F_STATS_VQ, AERO_VIRTIO_BALLOON_VQ_STATS, ROLE(STATS) },
	{ AERO_VIRTIO_BALLOON_F_FREE_PAGE_HINT, AERO_VIRTIO_BALLOON_VQ_HINT, ROLE(HINT) },
	{ AERO_VIRTIO_BALLOON_F_PAGE_REPORTING, AERO_VIRTIO_BALLOON_VQ_REPORTING, ROLE(REPORTING) },
};

/* Roles of all indices by one numbering, and the set of optional indices it uses. */
struct numbering {
	enum aero_virtio_balloon_role role[AERO_VIRTIO_BALLOON_QUEUES];
	unsigned int used;
};

static void number_queues(const struct aero_virtio_balloon *dev, bool is_compact,
			  struct numbering *out)
{
	unsigned int next = FIRST_OPTIONAL;
	size_t i;

	memset(out, 0, sizeof(*out));
	out->role[AERO_VIRTIO_BALLOON_VQ_INFLATE] = ROLE(INFLATE);
	out->role[AERO_VIRTIO_BALLOON_VQ_DEFLATE] = ROLE(DEFLATE);
	for (i = 0; i < sizeof(optional) / sizeof(optional[0]); i++) {
		unsigned int index = is_compact ? next : optional[i].spec_index;

		if (!is_accepted(dev, optional[i].feature))
			continue;
		out->role[index] = (enum aero_virtio_balloon_role)optional[i].role;
		out->used |= 1u << index;
		next++;
	}
}

/* The queue has no chain any more. */
static void end_chain(struct aero_virtio_balloon_queue *q)
{
	q->has_chain = false;
	q->is_finishing = false;
	q->rest.count = 0;
}

/*
 * A chain is not served to its end. Frames it named are in the balloon; what of them was to be
 * discarded before the answer is not.
 */
static void abandon_chain(struct aero_virtio_balloon *dev, struct aero_virtio_balloon_queue *q)
{
	end_chain(q);
	if (q->role == ROLE(INFLATE) && dev->ledger.mode == AERO_DISCARD_REQUEST)
		aero_ledger_drop_rest(&dev->ledger);
}

/* It goes back into the ring, to be read again from its start. */
static void put_back(struct aero_virtio_balloon *dev, struct aero_virtio_balloon_queue *q)
{
	aero_virtio_queue_unpop(&q->ring, &q->chain);
	abandon_chain(dev, q);
}

static void assign_role(struct aero_virtio_balloon *dev, unsigned int index,
			enum aero_virtio_balloon_role role)
{
	struct aero_virtio_balloon_queue *q = &dev->queue[index];

	if (q->has_chain && q->role != role)
		put_back(dev, q);
	q->role = role;
}

void aero_virtio_balloon_assign_roles(struct aero_virtio_balloon *dev)
{
	struct numbering spec;
	struct numbering compact;
	unsigned int i;

	number_queues(dev, false, &spec);
	number_queues(dev, true, &compact);
	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		if (spec.role[i] == compact.role[i] || dev->numbering == NUMBERING_COMPACT)
			assign_role(dev, i, compact.role[i]);
		else if (dev->numbering == NUMBERING_SPEC)
			assign_role(dev, i, spec.role[i]);
		else
			assign_role(dev, i, ROLE(UNDECIDED));
	}
}

/*
 * Decide between the two numberings by which rings are up. Where all of both are up the driver
 * closes gaps: that is what drivers do whose front end starts every ring there is. A ring that goes
 * down says nothing about numbers: rings are stopped one by one. With the last one the driver may
 * have gone, and the next one number differently.
 */
void aero_virtio_balloon_decide_roles(struct aero_virtio_balloon *dev)
{
	struct numbering spec;
	struct numbering compact;
	unsigned int up = 0;
	unsigned int i;

	for (i = FIRST_OPTIONAL; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		if (dev->queue[i].is_started && dev->queue[i].is_enabled)
			up |= 1u << i;
	}
	number_queues(dev, false, &spec);
	number_queues(dev, true, &compact);
	if (!up)
		dev->numbering = NUMBERING_UNDECIDED;
	else if (!(up & ~dev->optional_up))
		;
	else if ((up & compact.used) == compact.used)
		dev->numbering = NUMBERING_COMPACT;
	else if ((up & spec.used) == spec.used)
		dev->numbering = NUMBERING_SPEC;
	dev->optional_up = (uint8_t)up;
	aero_virtio_balloon_assign_roles(dev);
}

struct aero_virtio_balloon_queue *aero_virtio_balloon_find_role(struct aero_virtio_balloon *dev,
								enum aero_virtio_balloon_role role)
{
	unsigned int i;

	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		struct aero_virtio_balloon_queue *q = &dev->queue[i];

		if (q->role == role && q->is_started && q->is_enabled)
			return q;
	}
	return NULL;
}

/* The members of a ring's configuration that follow from the features. */
static void complete_ring(struct aero_virtio_balloon *dev, struct aero_virtio_queue_config *ring)
{
	ring->memory = dev->config.memory;
	ring->is_packed = is_accepted(dev, AERO_VIRTIO_F_RING_PACKED);
	ring->has_event_idx = is_accepted(dev, AERO_VIRTIO_F_EVENT_IDX);
	ring->has_indirect = is_accepted(dev, AERO_VIRTIO_F_INDIRECT_DESC);
	ring->is_big_endian = is_guest_big(dev);
}

enum aero_status aero_virtio_balloon_host_queue_start(struct aero_virtio_balloon *dev,
						      unsigned int index,
						      const struct aero_virtio_queue_config *ring)
{
	struct aero_virtio_queue_config config = *ring;
	enum aero_status status;

	if (index >= AERO_VIRTIO_BALLOON_QUEUES)
		return AERO_EINVAL;
	complete_ring(dev, &config);
	status = aero_virtio_queue_start(&dev->queue[index].ring, &config);
	if (status != AERO_OK)
		return status;
	dev->queue[index].is_started = true;
	dev->queue[index].has_work = true;
	aero_virtio_balloon_decide_roles(dev);
	return AERO_OK;
}

/* Pieces of a request that a stop still waits for: 2^21 frames, 8 GiB. */
#define STOP_PIECES_MAX 4096

/*
 * Serve a request to its end, for a ring that will not be served for a while. One that is longer
 * than any driver's goes back: its frames will then count as given twice.
 */
static void finish_chain(struct aero_virtio_balloon *dev, struct aero_virtio_balloon_queue *q)
{
	unsigned int pieces = 0;

	if (q->role == ROLE(STATS))
		return;
	while (q->has_chain && pieces++ < STOP_PIECES_MAX)
		aero_virtio_balloon_serve(dev, q);
	if (q->has_chain)
		put_back(dev, q);
}

uint32_t aero_virtio_balloon_host_queue_stop(struct aero_virtio_balloon *dev, unsigned int index)
{
	struct aero_virtio_balloon_queue *q;
	uint32_t base;

	if (index >= AERO_VIRTIO_BALLOON_QUEUES)
		return 0;
	q = &dev->queue[index];
	finish_chain(dev, q);
	/* The held statistics buffer. */
	if (q->has_chain)
		put_back(dev, q);
	base = aero_virtio_queue_stop(&q->ring);
	q->is_started = false;
	aero_virtio_balloon_decide_roles(dev);
	return base;
}

void aero_virtio_balloon_host_queue_enable(struct aero_virtio_balloon *dev, unsigned int index,
					   bool is_enabled)
{
	if (index >= AERO_VIRTIO_BALLOON_QUEUES)
		return;
	if (!is_enabled)
		finish_chain(dev, &dev->queue[index]);
	dev->queue[index].is_enabled = is_enabled;
	dev->queue[index].has_work = true;
	aero_virtio_balloon_decide_roles(dev);
}

void aero_virtio_balloon_host_settle(struct aero_virtio_balloon *dev)
{
	struct aero_ledger *ledger = &dev->ledger;

	while (can_collect(dev) &&
	       (aero_ledger_discard_whole(ledger) || aero_ledger_discard_rest(ledger)))
		;
	aero_ledger_drop_rest(ledger);
}

void aero_virtio_balloon_host_memory_changed(struct aero_virtio_balloon *dev)
{
	unsigned int i;

	aero_ledger_memory_changed(&dev->ledger);
	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		struct aero_virtio_balloon_queue *q = &dev->queue[i];

		if (q->is_started && q->ring.fault == AERO_VIRTIO_QUEUE_FAULT_NONE &&
		    aero_virtio_queue_memory_changed(&q->ring) != AERO_OK)
			aero_virtio_balloon_break(dev, q);
	}
}

void aero_virtio_balloon_host_kick(struct aero_virtio_balloon *dev, unsigned int index)
{
	if (index >= AERO_VIRTIO_BALLOON_QUEUES)
		return;
	dev->counters.kicks++;
	dev->queue[index].has_work = true;
}

void aero_virtio_balloon_answer(struct aero_virtio_balloon *dev,
				struct aero_virtio_balloon_queue *q)
{
	end_chain(q);
	if (aero_virtio_queue_push(&q->ring, &q->chain, 0) != AERO_OK) {
		aero_virtio_balloon_break(dev, q);
		return;
	}
	if (!aero_virtio_queue_should_notify(&q->ring))
		return;
	dev->counters.notifications++;
	dev->config.ops->notify_queue(dev->config.ops_ctx, (unsigned int)(q - dev->queue));
}

void aero_virtio_balloon_break(struct aero_virtio_balloon *dev, struct aero_virtio_balloon_queue *q)
{
	/* A request that is never answered: nothing more of it is discarded. */
	abandon_chain(dev, q);
	q->has_work = false;
	dev->counters.broken_queues++;
	dev->status |= AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET;
	aero_virtio_balloon_emit(dev, EVENT(BROKEN), (uint64_t)(q - dev->queue));
	aero_virtio_balloon_notify_config(dev);
}
