/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_ARCH_IRQ_H
#define AEROSTAT_PORTS_BAREMETAL_ARCH_IRQ_H

/* Interrupts of devices: lines and messages. */

#include <stdbool.h>
#include <stdint.h>

/* How a line says that its device wants something. */
enum irq_trigger {
	IRQ_EDGE,
	IRQ_LEVEL, /* active high */
};

/* Called with interrupts off; ends quickly. */
typedef void (*irq_handler)(void *ctx);

/* Calls handler(ctx) at each interrupt of a line. false: there is no such line, or no room. */
bool arch_irq_connect(unsigned int line, enum irq_trigger trigger, irq_handler handler, void *ctx);

/* What a device writes, and where, to interrupt. */
struct arch_message {
	uint64_t address;
	uint32_t data;
};

/* false: this machine knows no such messages. */
bool arch_message_connect(irq_handler handler, void *ctx, struct arch_message *out_message);

/* Interrupts of this processor. save() turns them off and answers what restore() needs. */
uintptr_t arch_irq_save(void);
void arch_irq_restore(uintptr_t state);
void arch_irq_enable(void);

#endif
