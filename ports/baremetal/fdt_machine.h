/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_FDT_MACHINE_H
#define AEROSTAT_PORTS_BAREMETAL_FDT_MACHINE_H

/* What a device tree says of a machine, apart from its processor and interrupt controller. */

#include "fdt.h"
#include "machine.h"

/* Lines of interrupts are numbered as the interrupt controller has them. */
void fdt_machine_read(const struct fdt *fdt, struct machine *out_machine);

/* The serial line alone, so that what goes wrong with the rest can be said. */
void fdt_machine_read_uart(const struct fdt *fdt, struct machine *out_machine);

/*
 * A line in the cells of an interrupt controller: one cell is its number; three are kind (0 shared,
 * 1 of a processor), number and trigger, as GICs have them.
 */
struct fdt_line {
	unsigned int number;
	bool is_edge;
};
bool fdt_line(const struct fdt_property *interrupts, uint32_t cell, uint32_t cells,
	      struct fdt_line *out_line);

#endif
