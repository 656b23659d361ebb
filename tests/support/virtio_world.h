/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_VIRTIO_WORLD_H
#define AEROSTAT_TESTS_SUPPORT_VIRTIO_WORLD_H

/*
 * A guest's memory, our device, and a driver of a few lines that sends one request through any
 * transport, byte by byte from the specification: proof that a transport reaches the device.
 */

#include "support/test.h"

#include "ports/sim/sim_port.h"
#include "ports/sim/sim_virtio.h"

/* Own pages start here, above 4 GiB: addresses of rings have two halves. */
#define VIRTIO_WORLD_PAGES 0x123456ull
#define VIRTIO_WORLD_RING (VIRTIO_WORLD_PAGES << 12)

struct virtio_world {
	struct sim_port sim;
	struct sim_virtio virtio;
	uint8_t *ring; /* two pages of guest memory from VIRTIO_WORLD_RING on */
	char text[8192];
};

/* is_legacy: an old device, without the features above 31. */
void virtio_world_open(struct virtio_world *world, bool is_legacy);
void virtio_world_close(struct virtio_world *world);

/* Reset to DRIVER_OK by the rules, with queue 0 in the ring, and one request of 3 frames. */
void virtio_world_inflate(struct virtio_world *world,
			  const struct aero_virtio_transport *transport);

/* The same with another ring, where the transport is to refuse it. */
enum aero_status virtio_world_start_queue(const struct aero_virtio_transport *transport,
					  uint32_t size, aero_gpa desc);

#endif
