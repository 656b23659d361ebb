/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_ARCH_H
#define AEROSTAT_PORTS_BAREMETAL_ARCH_H

/*
 * What each processor and its machine supply. One processor runs; memory is mapped one to one, all
 * of it and the registers of devices, before any C runs. Interrupts are off until main() turns them
 * on.
 */

#include "arch/arch_irq.h"
#include "machine.h"

#include <stdbool.h>
#include <stdint.h>

extern const char arch_name[];

/* From boot data to a description of the machine. The console is to be started on it first. */
void arch_discover(struct machine *out_machine, uintptr_t boot_data);

/* Traps, interrupt controller, clock. */
void arch_start(void);

/* Monotonic, in nanoseconds, never 0. */
uint64_t arch_now_ns(void);

/*
 * Sleeps until a time, or any interrupt; may return early. Called with interrupts off, so that what
 * was looked at before still holds; those that come meanwhile are handled.
 */
void arch_sleep(uint64_t until_ns);

_Noreturn void arch_power_off(bool has_failed);
_Noreturn void arch_reboot(void);

/* Of C, called by the first code, on a stack, with bss cleared. */
_Noreturn void kernel_main(uintptr_t boot_data);

/* Where the kernel lies, with its stack and tables. */
extern char kernel_begin[];
extern char kernel_end[];

#endif
