/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_PLIC_H
#define AEROSTAT_PORTS_BAREMETAL_PLIC_H

/* The platform's interrupt controller. */

#include "fdt.h"

#define PLIC_LINES 1024u

/* For the supervisor mode of a processor. false: there is none that is known. */
bool plic_find(const struct fdt *fdt, uint64_t processor);

void plic_start(void);
void plic_enable(unsigned int line);

/* The line that interrupts, 0: none. To be ended. */
unsigned int plic_take(void);
void plic_end(unsigned int line);

#endif
