/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_TEMPLATE_KERNEL_H
#define AEROSTAT_PORTS_TEMPLATE_KERNEL_H

/*
 * What the driver's loop (driver.c) needs of your kernel. port.c defines all of it; each body there
 * says what to do and traps until you have written it.
 */

#include <aerostat/guest/vmware.h>
#include <aerostat/port.h>

/* Whatever your kernel hangs on to; the driver only hands it back. */
struct kernel;

/* The table of include/aerostat/port.h, and the way to the host. */
void kernel_fill_port(struct kernel *kernel, struct aero_port *out_port);
void kernel_fill_bus(struct kernel *kernel, struct aero_vmware_bus *out_bus);

/* Whether VMware is below us; without, the port must not be touched. */
bool kernel_is_on_vmware(struct kernel *kernel);

/* Monotonic, in nanoseconds, never 0; may stand still while the machine sleeps. */
uint64_t kernel_now_ns(struct kernel *kernel);

/*
 * Sleep until a time (AERO_NEVER: without end) or until kernel_wake(). A wake-up since the last
 * wait ends this one at once, or a doorbell between step and wait would be lost: a semaphore or an
 * event that resets itself does that, a bare condition variable does not.
 */
void kernel_wait(struct kernel *kernel, uint64_t until_ns);

/* Ends a wait. Called from interrupts as well. */
void kernel_wake(struct kernel *kernel);

/* Let others run for a moment. */
void kernel_yield(struct kernel *kernel);

/* Whether the driver is to end: module unload, shutdown. kernel_wake() after setting it. */
bool kernel_is_stopping(struct kernel *kernel);

#endif
