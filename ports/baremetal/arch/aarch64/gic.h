/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_GIC_H
#define AEROSTAT_PORTS_BAREMETAL_GIC_H

/* Arm's Generic Interrupt Controller, versions 2 and 3. */

#include <stdbool.h>
#include <stdint.h>

struct gic {
	uint64_t distributor;
	uint64_t processor; /* version 2: the processor's interface; 3: its redistributor */
	bool is_v3;
};

void gic_start(const struct gic *gic);

/* Lets a line interrupt this processor; lines below 32 are its own. */
void gic_enable(unsigned int line, bool is_edge);

/* The line that interrupts, at most 1019, or more: none. To be ended. */
unsigned int gic_take(void);
void gic_end(unsigned int line);

#endif
