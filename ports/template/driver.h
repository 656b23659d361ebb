/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_TEMPLATE_DRIVER_H
#define AEROSTAT_PORTS_TEMPLATE_DRIVER_H

/*
 * A whole driver of VMware's balloon around the engine: a thread's body and the hooks of a kernel.
 * Works as it is once port.c does. tests/port/test_template.c runs it.
 */

#include "kernel.h"

struct balloon_driver {
	struct kernel *kernel;
	struct aero_port port;
	struct aero_vmware_bus bus;
	struct aero_vmware_guest vmware;
};

/* false: no VMware below us, or the port is incomplete. The driver must not move afterwards. */
bool balloon_driver_init(struct balloon_driver *driver, struct kernel *kernel);

/* The body of a thread of low priority. Returns when the kernel is stopping, all memory back. */
void balloon_driver_run(struct balloon_driver *driver);

/* The VMCI doorbell's handler; any context. */
void balloon_driver_doorbell(struct balloon_driver *driver);

/* A shrinker: how much there is, and give so much back. Answers frames that came back. */
uint64_t balloon_driver_count(struct balloon_driver *driver);
uint64_t balloon_driver_shrink(struct balloon_driver *driver, uint64_t frames);

/* Before the kernel kills for memory: the same, in larger pieces. */
uint64_t balloon_driver_oom(struct balloon_driver *driver, uint64_t frames);

/*
 * Compaction: isolate, then migrate or putback. AERO_OK: the old frame is yours, the new one is in
 * the balloon where *out_is_in, else it is yours as well. AERO_EAGAIN: try again, or put back.
 */
bool balloon_driver_isolate(struct balloon_driver *driver, aero_frame frame);
void balloon_driver_putback(struct balloon_driver *driver, aero_frame frame);
enum aero_status balloon_driver_migrate(struct balloon_driver *driver, aero_frame new_frame,
					aero_frame old_frame, bool *out_is_in);

/* Before the machine sleeps, and after. */
void balloon_driver_suspend(struct balloon_driver *driver);
void balloon_driver_resume(struct balloon_driver *driver);

#endif
