/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_VIRTIO_FAKE_GUEST_H
#define AEROSTAT_TESTS_SUPPORT_VIRTIO_FAKE_GUEST_H

/*
 * virtio's balloon driver on a simulated kernel, against a device that the test plays by hand.
 * Every step is followed by a check: of the driver, of the kernel's rules, of what a driver may do,
 * and that no frame is lost, or with the device and the kernel at once.
 */

#include <aerostat/guest/virtio_balloon.h>

#include "ports/sim/sim_port.h"
#include "ports/sim/sim_virtio_record.h"
#include "support/virtio_fake.h"

#define FAKE_GUEST_MS 1000000ull
#define FAKE_GUEST_SECOND (1000 * FAKE_GUEST_MS)

/* Zeroed: 64 MiB, the driver's defaults, no statistics. */
struct fake_guest_options {
	struct sim_port_config sim;
	struct aero_virtio_balloon_guest_config guest; /* port, transport, memory are filled in */
	bool is_legacy;
	bool has_no_memory; /* legacy, and the kernel has no contiguous memory */
	bool is_pushing;    /* the kernel reports free blocks by itself */
	uint32_t stats;	    /* tags that the kernel knows; 0: its port has no such entry */
	uint64_t entries;   /* of the record; 0: only counts */
};

struct fake_guest {
	struct sim_port sim; /* first: the port's ctx */
	struct aero_port port;
	struct aero_virtio_memory spans;
	struct virtio_fake fake;
	struct sim_virtio_record record;
	struct aero_virtio_balloon_guest drv;
	struct aero_memory_stats stats;
	uint64_t now;
	uint64_t due;
	uint64_t steps;
	uint64_t outside_frames; /* that the test itself took from the kernel's port */
	char problem[200];

	/* The answer to report_free(). */
	unsigned int reported_calls;
	uint64_t reported_frames;
	uint64_t unreported_frames;
};

/* Answers what init() of the driver did. The fake may be changed before the first step. */
enum aero_status fake_guest_open(struct fake_guest *guest,
				 const struct fake_guest_options *options);

/* Stops, with nobody who answers, and ends the driver; NULL, or what is wrong. */
const char *fake_guest_close(struct fake_guest *guest);

/* NULL, or what is wrong. */
const char *fake_guest_check(struct fake_guest *guest);

void fake_guest_interrupt(struct fake_guest *guest, uint32_t why);

/* One step, and a check that ends the test. Answers whether there is more at once. */
bool fake_guest_step(struct fake_guest *guest);

/* Steps until there is nothing more at once; the device does nothing meanwhile. */
void fake_guest_settle(struct fake_guest *guest);

/* Steps, and the device answers frames, until neither has anything to do. */
void fake_guest_serve(struct fake_guest *guest);

/* Time goes on, from one moment that the driver is due to the next; the device does nothing. */
void fake_guest_wait(struct fake_guest *guest, uint64_t ns);

/* The target, its interrupt, and serve(). */
void fake_guest_target(struct fake_guest *guest, uint32_t frames);

/* Calls stop() or suspend() each millisecond while it answers AERO_EAGAIN; answers how long. */
uint64_t fake_guest_stop(struct fake_guest *guest);
uint64_t fake_guest_suspend(struct fake_guest *guest);

uint64_t fake_guest_frames(const struct fake_guest *guest);
enum aero_stall fake_guest_stall(const struct fake_guest *guest);

#endif
