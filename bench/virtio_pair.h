/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_BENCH_VIRTIO_PAIR_H
#define AEROSTAT_BENCH_VIRTIO_PAIR_H

/*
 * The virtio-balloon driver against the virtio-balloon device, in one process and with as little
 * else as can be: the port copies block numbers that were made before, memory is where its address
 * says, a discard is counted and nothing more.
 */
#include "bench.h"

#include <aerostat/guest/virtio_balloon.h>

#include "ports/sim/sim_virtio.h"
#include "ports/sim/sim_virtio_record.h"

struct virtio_pair_config {
	uint32_t frames;	 /* in the balloon at most */
	uint32_t request_frames; /* 0: the driver's default */
	bool is_packed;
	bool is_large; /* in blocks of 2 MiB, else single frames */
	bool is_falling;
};

struct virtio_pair {
	struct virtio_pair_config config;
	struct bench_nodes guest_nodes;
	struct bench_nodes host_nodes;
	struct aero_port port;
	struct aero_host_memory memory;
	struct sim_virtio virtio;
	struct sim_virtio_record record;
	struct aero_virtio_balloon_guest drv;
	aero_frame *blocks;
	uint32_t block_count;
	uint32_t taken;
	uint64_t discarded;
	uint64_t now;
};

/* Ends the program where it cannot be; the driver has taken the device. */
void virtio_pair_open(struct virtio_pair *pair, const struct virtio_pair_config *config);

/* Sets the target and works until it is reached; answers the driver's steps. */
uint64_t virtio_pair_move(struct virtio_pair *pair, uint64_t frames);
void virtio_pair_close(struct virtio_pair *pair);

#endif
