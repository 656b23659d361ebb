/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_PORT_CONFORMANCE_H
#define AEROSTAT_TESTS_PORT_CONFORMANCE_H

/*
 * What every port must pass: include/aerostat/port.h as a table of checks.
 *
 * Freestanding: no libc but memset, so that it runs inside a kernel as well, at boot or from a
 * debug command. It takes frames with AERO_EFFORT_SPARE, up to what scratch can hold, and gives
 * everything back. Call it from a context that may sleep, on a machine that is quiet: others who
 * take memory at the same time make "comes back" checks fail. A check that hangs is the one after
 * the last printed.
 */

#include <aerostat/port.h>

/* scratch has room for at least this many. */
#define PORT_CONFORMANCE_ROOM_MIN 1024

/* What a check answers instead of NULL where it has nothing to look at. */
extern const char port_conformance_skipped[];

struct port_conformance {
	const struct aero_port *port;
	aero_frame *scratch;
	size_t room;	      /* of scratch; 0.1 % of all frames and more finds more leaks */
	aero_frame frame_end; /* all frame numbers are below; 0: not known */
	uint32_t may_lack;    /* orders offered that may have no block at the moment */
	/* How often callers of the port have slept so far. NULL: not known. */
	uint64_t (*sleeps)(void *ctx);
	/* After each check. wrong: NULL, port_conformance_skipped, or a phrase. NULL: silence. */
	void (*print)(void *ctx, const char *name, const char *wrong);
	void *ctx;
};

/* One check by itself: its name, and a function that answers what is wrong, or NULL. */
struct port_check {
	const char *name;
	const char *(*run)(const struct port_conformance *suite);
};

extern const struct port_check port_checks[];
extern const size_t port_check_count;

/* Runs all; answers how many failed. After a member that is missing nothing else is run. */
unsigned int port_conformance_run(const struct port_conformance *suite);

#endif
