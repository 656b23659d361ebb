/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_BALLOON_RIG_H
#define AEROSTAT_TESTS_SUPPORT_BALLOON_RIG_H

/*
 * A balloon device, a scripted driver on real rings, and the host between them, in one process. The
 * rig keeps its own record, frame by frame, of what the driver has given and what of it the device
 * may discard at this moment; host_double checks every discard against it.
 *
 * Rings and buffers lie at BALLOON_RIG_RINGS and BALLOON_RIG_DATA, which is not memory that can be
 * ballooned; frames 0 to options.frames - 1 are, and have no bytes.
 */

#include <aerostat/host/virtio_balloon.h>
#include <aerostat/host/virtio_balloon_state.h>
#include <aerostat/wire/virtio.h>
#include <aerostat/wire/virtio_balloon.h>

#include "support/host_double.h"
#include "support/virtio_driver.h"

#define BALLOON_RIG_RINGS 0x200000000ull
#define BALLOON_RIG_RING_BYTES 0x20000u
#define BALLOON_RIG_DATA 0x300000000ull
#define BALLOON_RIG_DATA_BYTES 0x40000u
#define BALLOON_RIG_FRAMES 32768
#define BALLOON_RIG_RING_MAX 1024
#define BALLOON_RIG_EVENTS 64

/* Feature bits as a mask of the first word. */
#define FEATURE(name) (1ull << AERO_VIRTIO_BALLOON_F_##name)
#define TRANSPORT(name) (1ull << AERO_VIRTIO_F_##name)
#define FEATURES_ALL 0x3full
#define FEATURES_USUAL (FEATURES_ALL | TRANSPORT(VERSION_1) | TRANSPORT(INDIRECT_DESC))

#define INFLATE 0
#define DEFLATE 1

struct balloon_rig_options {
	uint64_t offered; /* 0: FEATURES_USUAL */
	uint64_t refused; /* of those, what the driver does not accept */
	enum aero_discard_mode mode;
	struct aero_backing backing;
	uint64_t frames;     /* 0: BALLOON_RIG_FRAMES */
	uint32_t ring_size;  /* 0: 256 */
	uint32_t data_bytes; /* for buffers; 0: BALLOON_RIG_DATA_BYTES */
	uint32_t config_bytes;
	bool is_compact; /* the driver numbers queues without holes */
	bool is_big_endian;
};

/* A chain in flight and what it says. */
struct balloon_rig_request {
	uint32_t *frames;
	size_t count;
	bool is_used;
};

struct balloon_rig {
	struct balloon_rig_options options;
	struct host_double host;
	struct aero_virtio_balloon dev;
	struct aero_virtio_balloon_ops ops;
	struct virtio_driver drv[AERO_VIRTIO_BALLOON_QUEUES];
	bool has_ring[AERO_VIRTIO_BALLOON_QUEUES];
	struct balloon_rig_request request[AERO_VIRTIO_BALLOON_QUEUES][BALLOON_RIG_RING_MAX];
	uint32_t in_flight;
	uint32_t stats_in_flight; /* of those */
	uint32_t data_at;
	uint32_t ragged; /* bytes after the numbers of requests of frames, 0 to 3 */
	uint64_t now;

	/* The record: frames in the balloon, and chains in flight that name them. */
	uint8_t *in_balloon;
	uint32_t *named;
	uint64_t held; /* frames in_balloon */

	/* What came back and what was told. */
	uint64_t answers[AERO_VIRTIO_BALLOON_QUEUES];
	uint32_t last_used_len;
	bool is_ring_broken; /* the device answered what it was not asked */
	uint64_t notified[AERO_VIRTIO_BALLOON_QUEUES];
	uint64_t config_notified;
	uint64_t events[16]; /* by kind */
	uint64_t event_value[16];
	uint64_t hints;
	uint64_t hint_frames;
	struct aero_range last_hint;
	void (*on_event)(void *ctx, const struct aero_virtio_balloon_event *event);
	void *on_event_ctx;
};

/* A device and no driver yet. options: NULL is all defaults. Checks nothing but that it can be. */
void balloon_rig_open(struct balloon_rig *rig, const struct balloon_rig_options *options);

/* Checks the device, that no discard was wrong, and that nothing is left over. */
void balloon_rig_close(struct balloon_rig *rig);

/* The driver takes the device: features, rings of all queues it uses, DRIVER_OK. */
void balloon_rig_connect(struct balloon_rig *rig);

/* The parts of that. A ring starts where it stopped. */
void balloon_rig_accept(struct balloon_rig *rig);
void balloon_rig_start_ring(struct balloon_rig *rig, unsigned int index);
enum aero_status balloon_rig_try_ring(struct balloon_rig *rig, unsigned int index);
void balloon_rig_stop_ring(struct balloon_rig *rig, unsigned int index);
void balloon_rig_live(struct balloon_rig *rig);

/* The driver's own half of a reset: all frames are the guest's, rings are empty. */
void balloon_rig_forget(struct balloon_rig *rig);
void balloon_rig_reset(struct balloon_rig *rig);

/* A second device with the same driver and host, not connected; the rig's own is given up. */
void balloon_rig_replace(struct balloon_rig *rig);

/* The index the driver uses for a role. */
unsigned int balloon_rig_index(const struct balloon_rig *rig, enum aero_virtio_balloon_role role);
uint64_t balloon_rig_accepted(const struct balloon_rig *rig);

/*
 * Make a chain of readable buffers of cut bytes each (0: one buffer) available, in an indirect
 * table where it is long and those are accepted. Answers false when the ring is full. No kick.
 */
bool balloon_rig_send(struct balloon_rig *rig, unsigned int index, const void *bytes, uint32_t len,
		      uint32_t cut);
bool balloon_rig_send_frames(struct balloon_rig *rig, unsigned int index, const uint32_t *frames,
			     size_t count, uint32_t cut);

/* The same for a run, and all at once: send, kick, run. The answer has come afterwards. */
void balloon_rig_send_run(struct balloon_rig *rig, unsigned int index, uint32_t first,
			  size_t count);
void balloon_rig_inflate(struct balloon_rig *rig, uint32_t first, size_t count);
void balloon_rig_deflate(struct balloon_rig *rig, uint32_t first, size_t count);

/* Hints and reports: a chain of buffers as they are, or of writable ones of whole frames. */
bool balloon_rig_send_buffers(struct balloon_rig *rig, unsigned int index,
			      const struct virtio_driver_buffer *buffers, uint32_t count);
bool balloon_rig_send_ranges(struct balloon_rig *rig, unsigned int index,
			     const struct aero_range *ranges, uint32_t count);

/* One statistics buffer of count entries {tag, value}. */
bool balloon_rig_send_stats(struct balloon_rig *rig, const uint64_t (*entries)[2], uint32_t count);

/* The driver looks at its rings and writes down what came back. */
void balloon_rig_poll(struct balloon_rig *rig);

/* One step of the device, and the driver looks; answers as the step does. */
uint64_t balloon_rig_step(struct balloon_rig *rig);

/* Steps until the device has nothing to do at once; answers how many. */
unsigned int balloon_rig_run(struct balloon_rig *rig);
void balloon_rig_kick(struct balloon_rig *rig, unsigned int index);

/* The driver writes actual: the truth, or something else. */
void balloon_rig_write_actual(struct balloon_rig *rig, uint32_t actual);

/* Whether ledger and record agree; no request may be half done. */
void balloon_rig_check(struct balloon_rig *rig);

#endif
