/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_DRIVER_H
#define AEROSTAT_PORTS_BAREMETAL_DRIVER_H

/*
 * The balloon in this kernel: Aerostat's driver, its device, its interrupts. All calls come from
 * main(), but for those that interrupts make within.
 */

#include <aerostat/guest/virtio_balloon.h>

#include <stdbool.h>
#include <stdint.h>

enum driver_state {
	DRIVER_ABSENT,	/* there is no device */
	DRIVER_UNBOUND, /* there is one, and it is not at work */
	DRIVER_BOUND,
};

/* The last way to a target. */
struct driver_resize {
	uint64_t from_frames;
	uint64_t to_frames;
	uint64_t ns; /* 0: it goes on */
};

/* Looks for the device, and starts on it. */
void driver_start(void);

/* One step; answers when the next one is due. */
uint64_t driver_step(void);

/* Empties the balloon and leaves the device; starts on it again. false: it does not let go. */
bool driver_unload(void);
bool driver_load(void);

/* Memory is needed: answers how many frames have come back. */
uint64_t driver_reclaim(uint64_t frames);

enum driver_state driver_state(void);

/* As text: where the device is, how it interrupts. */
const char *driver_bus_name(void);
const char *driver_interrupt_name(void);

/* false: it is not loaded. */
bool driver_report(struct aero_virtio_balloon_guest_report *out_report);

const struct driver_resize *driver_resize(void);

/* What is wrong, or NULL. */
const char *driver_validate(void);

#endif
