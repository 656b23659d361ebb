/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_X86_H
#define AEROSTAT_PORTS_BAREMETAL_X86_H

/* What the files of this processor share. */

#include "arch/arch_irq.h"

#include <stdbool.h>
#include <stdint.h>

/* Vectors of interrupts: 32 to 95, as trap.S has entries for. */
#define VECTOR_FIRST 32u
#define VECTOR_TIMER VECTOR_FIRST
#define VECTOR_SPURIOUS 0x5fu
#define VECTOR_COUNT 96u

void trap_start(void);

/* A free vector that calls a handler; 0: there is none. */
unsigned int trap_vector(irq_handler handler, void *ctx);

/* Local interrupt controller; its timer counts down once. */
void apic_start(void);
void apic_end_of_interrupt(void);
void apic_timer_arm(uint32_t count);
uint32_t apic_timer_left(void);

/* Counts time stamp and timer against the PC's oscillator. */
void clock_start(void);

/* What ACPI's tables say. Defaults are those of a PC. */
#define ACPI_IOAPICS_MAX 4

struct acpi_ioapic {
	uint32_t address;
	uint32_t first_line;
};

struct acpi {
	struct acpi_ioapic ioapic[ACPI_IOAPICS_MAX];
	unsigned int ioapic_count;
	uint16_t control_port;	 /* PM1a_CNT; 0: none */
	uint64_t sleep_register; /* of machines with reduced hardware; 0: none */
	uint64_t reset_register; /* 0: none */
	bool is_reset_port;
	uint8_t reset_value;
};

extern struct acpi acpi;

void acpi_read(uint64_t root);

#endif
