/* SPDX-License-Identifier: MIT */
#include "driver.h"

/* What the guest keeps whatever the host wants: choose it for your system. */
#define FLOOR_FRAMES ((64u << 20) >> AERO_FRAME_SHIFT)

bool balloon_driver_init(struct balloon_driver *driver, struct kernel *kernel)
{
	struct aero_vmware_guest_config config = {
		.balloon.port = &driver->port,
		.balloon.floor_frames = FLOOR_FRAMES,
		.bus = &driver->bus,
		.guest_type = AERO_VMWARE_GUEST_LINUX,
	};

	if (!kernel_is_on_vmware(kernel))
		return false;
	driver->kernel = kernel;
	kernel_fill_port(kernel, &driver->port);
	kernel_fill_bus(kernel, &driver->bus);
	return aero_vmware_guest_init(&driver->vmware, &config) == AERO_OK;
}

void balloon_driver_run(struct balloon_driver *driver)
{
	struct aero_balloon *balloon = &driver->vmware.balloon;

	while (!kernel_is_stopping(driver->kernel)) {
		uint64_t now = kernel_now_ns(driver->kernel);
		uint64_t due = aero_balloon_step(balloon, now);

		if (due > now)
			kernel_wait(driver->kernel, due);
	}
	while (aero_balloon_stop(balloon) == AERO_EAGAIN)
		kernel_yield(driver->kernel);
	aero_vmware_guest_fini(&driver->vmware);
}

void balloon_driver_doorbell(struct balloon_driver *driver)
{
	aero_vmware_guest_doorbell(&driver->vmware);
	kernel_wake(driver->kernel);
}

uint64_t balloon_driver_count(struct balloon_driver *driver)
{
	return aero_balloon_frames(&driver->vmware.balloon);
}

/* AERO_EAGAIN is no memory this time: the kernel asks again if it needs any. */
static uint64_t reclaim(struct balloon_driver *driver, enum aero_reclaim kind, uint64_t frames)
{
	uint64_t now = kernel_now_ns(driver->kernel);
	uint64_t came;

	aero_balloon_reclaim(&driver->vmware.balloon, kind, frames, now, &came);
	return came;
}

uint64_t balloon_driver_shrink(struct balloon_driver *driver, uint64_t frames)
{
	return reclaim(driver, AERO_RECLAIM_PRESSURE, frames);
}

uint64_t balloon_driver_oom(struct balloon_driver *driver, uint64_t frames)
{
	return reclaim(driver, AERO_RECLAIM_OOM, frames);
}

bool balloon_driver_isolate(struct balloon_driver *driver, aero_frame frame)
{
	return aero_balloon_isolate(&driver->vmware.balloon, AERO_ORDER_4K, frame);
}

void balloon_driver_putback(struct balloon_driver *driver, aero_frame frame)
{
	aero_balloon_putback(&driver->vmware.balloon, AERO_ORDER_4K, frame);
}

enum aero_status balloon_driver_migrate(struct balloon_driver *driver, aero_frame new_frame,
					aero_frame old_frame, bool *out_is_in)
{
	return aero_balloon_migrate(&driver->vmware.balloon, AERO_ORDER_4K, new_frame, old_frame,
				    out_is_in);
}

/* The thread may be in the middle of a step; it comes to its end. */
void balloon_driver_suspend(struct balloon_driver *driver)
{
	while (aero_balloon_freeze(&driver->vmware.balloon) == AERO_EAGAIN)
		kernel_yield(driver->kernel);
}

void balloon_driver_resume(struct balloon_driver *driver)
{
	aero_balloon_thaw(&driver->vmware.balloon);
	kernel_wake(driver->kernel);
}
