/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_VIRTIO_MODEL_H
#define AEROSTAT_TESTS_SUPPORT_VIRTIO_MODEL_H

/*
 * The device's end of a virtqueue, the slow and obvious way, to compare the real one with.
 *
 * It works on guest memory of its own, through the guest's accessors: a test gives the same bytes
 * to both and finds the same answers and the same bytes changed. A chain is expanded at once when
 * it is popped. Positions of a packed ring are counted over two laps, the first with wrap bit 1.
 */

#include <stdbool.h>
#include <stdint.h>

#include <aerostat/host/virtio_queue.h>

#include "support/guest_ram.h"

/* More than the guest memory of the tests that use it can hold. */
#define VIRTIO_MODEL_SEGMENTS 2048

struct virtio_model {
	struct guest_ram *ram;
	struct aero_virtio_queue_config ring;
	uint32_t avail;
	uint32_t used;
	uint32_t in_flight;
	uint32_t pushed;
	bool is_started;
	bool is_kick_off;
	bool has_signalled;
	enum aero_virtio_queue_fault fault;
};

struct virtio_model_chain {
	uint32_t id;
	uint32_t slots;
	uint32_t count; /* of segments, none of them empty */
	struct aero_virtio_segment segment[VIRTIO_MODEL_SEGMENTS];
	enum aero_virtio_queue_fault fault; /* behind them */
};

enum aero_status virtio_model_start(struct virtio_model *model,
				    const struct aero_virtio_queue_config *ring);
uint32_t virtio_model_stop(struct virtio_model *model);
enum aero_status virtio_model_pop(struct virtio_model *model, struct virtio_model_chain *out);
void virtio_model_unpop(struct virtio_model *model, uint32_t slots);
enum aero_status virtio_model_push(struct virtio_model *model, uint32_t id, uint32_t slots,
				   uint32_t written);
bool virtio_model_should_notify(struct virtio_model *model);
bool virtio_model_set_kicks(struct virtio_model *model, bool is_enabled);

#endif
