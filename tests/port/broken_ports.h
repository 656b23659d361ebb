/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_PORT_BROKEN_PORTS_H
#define AEROSTAT_TESTS_PORT_BROKEN_PORTS_H

/* Ports that are right but for one defect, made from the simulation. */

#include "ports/sim/sim_port.h"

struct broken_port {
	struct sim_port sim;
	struct aero_port port; /* what the suite sees; its ctx is this struct */
	uint64_t calls;	       /* for defects of their own */
	uint8_t page[3 * AERO_FRAME_BYTES];
};

struct defect {
	const char *name;
	const char *check; /* the one that finds it */
	void (*install)(struct broken_port *broken);
	uint32_t without; /* optional members that are NULL */
};

extern const struct defect defects[];
extern const size_t defect_count;

/* 64 MiB, orders 0, 3 and 9; defect NULL: none. */
void broken_port_init(struct broken_port *broken, const struct defect *defect);
void broken_port_fini(struct broken_port *broken);

#endif
