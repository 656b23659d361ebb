/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_VIRTIO_PAIR_H
#define AEROSTAT_TESTS_SUPPORT_VIRTIO_PAIR_H

/*
 * virtio's balloon driver against our device in one process: a simulated kernel, the loopback with
 * a recorder in front of it, guest memory that both ends see at addresses of their own, and an
 * operator. The kernel calls step() only when it is due or after an interrupt, so that a wake-up
 * that is lost is seen.
 *
 * After each step virtio_pair_check() compares what three of them know that share no code: the
 * driver's page core, the device's ledger, and the kernel's own book of every frame.
 */

#include <aerostat/guest/virtio_balloon.h>
#include <aerostat/wire/virtio.h>
#include <aerostat/wire/virtio_balloon.h>

#include "ports/sim/sim_port.h"
#include "ports/sim/sim_virtio.h"
#include "ports/sim/sim_virtio_record.h"
#include "support/nodes.h"

#define VIRTIO_PAIR_MS 1000000ull
#define VIRTIO_PAIR_SECOND (1000 * VIRTIO_PAIR_MS)

/* A feature bit by the end of its name. */
#define VIRTIO_PAIR_F(name) (1ull << AERO_VIRTIO_BALLOON_F_##name)
#define VIRTIO_PAIR_T(name) (1ull << AERO_VIRTIO_F_##name)

/* Zeroed: 64 MiB, every feature offered, the driver's defaults, no statistics. */
struct virtio_pair_options {
	struct sim_port_config sim;
	struct aero_virtio_balloon_guest_config guest; /* port, transport, memory are filled in */
	struct sim_virtio_config device;	       /* memory is filled in */
	bool is_pushing;  /* the kernel reports free blocks by itself */
	uint32_t stats;	  /* tags that the kernel knows; 0: its port has no such entry */
	uint64_t entries; /* of the record; 0: only counts */
};

struct virtio_pair {
	struct sim_port sim; /* first: the port's ctx */
	struct aero_port port;
	struct aero_virtio_memory spans;
	struct aero_host_memory memory;
	uint8_t *guest_side;
	uint8_t *host_side;
	size_t side_bytes;
	struct test_nodes nodes;
	struct sim_virtio virtio;
	struct sim_virtio_record record;
	struct aero_virtio_balloon_guest drv;
	uint64_t now;
	uint64_t due;	     /* as the driver's last step answered */
	uint64_t device_due; /* as the device's did */
	uint64_t steps;
	uint64_t driver_steps;
	unsigned int thorough; /* every so many steps all is compared; else the sums; 1 */
	char problem[200];

	/* To be set at any time. */
	bool is_deaf;		 /* interrupts do not reach the driver */
	bool is_polled;		 /* the kernel has none: it asks before each step, and each 50 ms */
	bool is_device_still;	 /* takes kicks, does no work */
	uint64_t outside_frames; /* that the test itself took from the kernel's port */
	struct aero_memory_stats stats;

	/* What was seen. */
	bool is_interrupted;
	uint64_t driver_interrupts;
	uint64_t hinted_frames; /* in the host's hook */
	unsigned int events[AERO_BALLOON_EVENT_RESET + 1];
	uint64_t event_value[AERO_BALLOON_EVENT_RESET + 1];
	unsigned int device_events[AERO_VIRTIO_BALLOON_EVENT_DRAINED + 1];

	/* Blocks that report_free() has, and answers to it. */
	uint64_t reported_calls;
	uint64_t reported_frames;
	uint64_t unreported_frames;
};

/* options may be NULL. The driver has made no step yet. */
void virtio_pair_open(struct virtio_pair *pair, const struct virtio_pair_options *options);

/* Stops and ends the driver; answers NULL, or what was lost, violated or took too long. */
const char *virtio_pair_close(struct virtio_pair *pair);

/* Notes a problem, if it is the first. */
void virtio_pair_complain(struct virtio_pair *pair, const char *what, uint64_t a, uint64_t b);

/* Whether all agrees; else problem says what does not. */
bool virtio_pair_check(struct virtio_pair *pair);

/* The driver and the device, once each where they have something to do; answers as check() does. */
bool virtio_pair_step(struct virtio_pair *pair);

/* Whether either has something to do at this moment. */
bool virtio_pair_is_busy(const struct virtio_pair *pair);

/* Steps until nobody has anything to do at this moment. */
bool virtio_pair_settle(struct virtio_pair *pair);

/* Steps for so many nanoseconds; time goes from one moment that something is due to the next. */
bool virtio_pair_run(struct virtio_pair *pair, uint64_t ns);

/* The operator's wish, and steps for a tenth of a second. */
bool virtio_pair_target(struct virtio_pair *pair, uint64_t frames);

/* The driver at rest, at its target, and all three books the same, the device's actual too. */
bool virtio_pair_is_settled(struct virtio_pair *pair);

/* Calls stop() or suspend() until it answers something else than AERO_EAGAIN; in ns at most. */
enum aero_status virtio_pair_stop(struct virtio_pair *pair, uint64_t ns);
enum aero_status virtio_pair_suspend(struct virtio_pair *pair, uint64_t ns);

/*
 * The kernel's migration of one block, from isolate() to the end, on a device that answers while it
 * is waited for unless it is still. AERO_ENOENT: it is not there to be isolated.
 */
enum aero_status virtio_pair_migrate(struct virtio_pair *pair, unsigned int order,
				     aero_frame old_frame, aero_frame *out_new);

uint64_t virtio_pair_frames(const struct virtio_pair *pair);
uint64_t virtio_pair_ledger(const struct virtio_pair *pair);
enum aero_stall virtio_pair_stall(const struct virtio_pair *pair);

#endif
