/* SPDX-License-Identifier: MIT */
#ifndef AERO_HOST_VIRTIO_QUEUE_RING_H
#define AERO_HOST_VIRTIO_QUEUE_RING_H

/*
 * What the parts of the device side virtqueue share. virtio_queue.c owns the life of a queue and
 * chooses the ring format, virtio_queue_split.c and virtio_queue_packed.c are the formats,
 * virtio_queue_chain.c reads a chain once it is taken.
 */

#include <aerostat/host/virtio_queue.h>
#include <aerostat/wire/virtio.h>

#include "../core/platform.h"

/* 16-bit fields at even addresses, each read and written once, whole. */
static inline uint16_t aero_virtio_ring_load16(const struct aero_virtio_queue *queue,
					       const uint8_t *p)
{
	return aero_swap16(aero_load16((const void *)p), queue->is_swapped);
}

static inline void aero_virtio_ring_store16(const struct aero_virtio_queue *queue, uint8_t *p,
					    uint16_t v)
{
	aero_store16((void *)p, aero_swap16(v, queue->is_swapped));
}

/* A field that is published by a later store of another one. */
static inline void aero_virtio_ring_put32(const struct aero_virtio_queue *queue, uint8_t *p,
					  uint32_t v)
{
	v = aero_swap32(v, queue->is_swapped);
	memcpy(p, &v, sizeof(v));
}

/* Break the queue. The first reason counts. */
aero_cold void aero_virtio_queue_note_fault(struct aero_virtio_queue *queue,
					    enum aero_virtio_queue_fault fault);

static inline enum aero_status aero_virtio_queue_break(struct aero_virtio_queue *queue,
						       enum aero_virtio_queue_fault fault)
{
	aero_virtio_queue_note_fault(queue, fault);
	return AERO_EPROTO;
}

static inline enum aero_status aero_virtio_queue_usable(const struct aero_virtio_queue *queue)
{
	if (aero_unlikely(!queue->is_started))
		return AERO_ESTATE;
	return aero_unlikely(queue->fault != AERO_VIRTIO_QUEUE_FAULT_NONE) ? AERO_EPROTO : AERO_OK;
}

/* Make the cursor's segment a non-empty one; AERO_ENOENT at the end of the chain. */
enum aero_status aero_virtio_chain_load(struct aero_virtio_queue *queue,
					struct aero_virtio_chain *chain);

/* The formats. Called for a usable queue only, with what the public function promises. */
void aero_virtio_split_begin(struct aero_virtio_queue *queue);
enum aero_status aero_virtio_split_pop(struct aero_virtio_queue *queue,
				       struct aero_virtio_chain *out_chain);
void aero_virtio_split_push(struct aero_virtio_queue *queue, const struct aero_virtio_chain *chain,
			    uint32_t written);
bool aero_virtio_split_should_notify(struct aero_virtio_queue *queue);
bool aero_virtio_split_set_kicks(struct aero_virtio_queue *queue);

enum aero_status aero_virtio_packed_pop(struct aero_virtio_queue *queue,
					struct aero_virtio_chain *out_chain);
void aero_virtio_packed_unpop(struct aero_virtio_queue *queue,
			      const struct aero_virtio_chain *chain);
void aero_virtio_packed_push(struct aero_virtio_queue *queue, const struct aero_virtio_chain *chain,
			     uint32_t written);
bool aero_virtio_packed_should_notify(struct aero_virtio_queue *queue);
bool aero_virtio_packed_set_kicks(struct aero_virtio_queue *queue);

#endif
