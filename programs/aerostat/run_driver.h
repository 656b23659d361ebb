/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_DRIVER_H
#define AEROSTAT_PROGRAMS_RUN_DRIVER_H

/*
 * What our own driver says about itself, asked over the console of ports/baremetal, and how that
 * compares with what QEMU was told. The commands: report, counters, time; see its commands.h.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct run_driver_reading {
	bool is_taken;
	uint64_t guest_frames; /* in the balloon, as the driver counts */
	uint64_t host_frames;  /* as QEMU was told */
	uint64_t ns;	       /* of the way here, by the guest's clock; 0: it does not say */
};

struct run_driver_account {
	struct run_driver_reading before;
	struct run_driver_reading inflated;
	struct run_driver_reading after;
	char counters[1024]; /* the latest, key=value pairs */
};

/**
 * run_driver_take_report() - Take a reading.
 * @reading:     Where.
 * @text:        The answer to "report". Not trusted.
 * @host_frames: As QEMU was told, at the same moment.
 *
 * Shape:   answers whether it is one.
 * Owner:   copies.
 * Errors:  false: there is no size of the balloon in it.
 * Context: any.
 * Source:  ports/baremetal/commands.h.
 */
bool run_driver_take_report(struct run_driver_reading *reading, const char *text,
			    uint64_t host_frames);

/**
 * run_driver_take_time() - How long the way took, says the guest.
 * @reading: Taken.
 * @text:    The answer to "time". Not trusted.
 *
 * Shape:   from when it saw the target until it had reached it; 0 where it does not say.
 * Owner:   copies.
 * Errors:  none.
 * Context: any.
 * Source:  as above.
 */
void run_driver_take_time(struct run_driver_reading *reading, const char *text);

/**
 * run_driver_counters_json() - What the driver has counted.
 * @account: As far as it was taken.
 *
 * Shape:   an object, name to number; words that are no counters are left out. NULL: not known.
 * Owner:   a new reference.
 * Errors:  none.
 * Context: any.
 * Source:  as above.
 */
json_t *run_driver_counters_json(const struct run_driver_account *account);

/**
 * run_driver_account_json() - The account and how it compares.
 * @account: As far as it was taken.
 *
 * Shape:   keys of docs/run-json.md; "differences" is empty where both agree. NULL before the first
 *          reading.
 * Owner:   a new reference.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
json_t *run_driver_account_json(const struct run_driver_account *account);

/**
 * run_driver_is_agreed() - Whether driver and QEMU speak of the same balloon.
 * @account: As far as it was taken.
 *
 * Shape:   only if all three readings were taken.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
bool run_driver_is_agreed(const struct run_driver_account *account);

#endif
