/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_LINES_H
#define AEROSTAT_PORTS_BAREMETAL_LINES_H

/* Who asked for which line of a controller that tells its number. */

#include "arch/arch_irq.h"

/* false: there is no room. */
bool lines_add(unsigned int line, irq_handler handler, void *ctx);

/* Calls all who asked for it. */
void lines_call(unsigned int line);

#endif
