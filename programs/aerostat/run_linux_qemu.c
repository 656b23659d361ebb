/* SPDX-License-Identifier: MIT */
/* Debian's Linux in QEMU, its own virtio_balloon against QEMU's own device. */
#include <stdio.h>

#include "hosted/initrd.h"
#include "run_kinds.h"
#include "run_qemu.h"

static bool prepare(const struct run_qemu_guest *guest, const struct run_options *options,
		    struct run_qemu_boot *boot, struct aero_error *error)
{
	const struct aero_initrd_config config = {
		.kernel = options->kernel,
		.modules = options->modules,
		.machine = AERO_INITRD_QEMU,
	};
	struct aero_initrd_info info;

	(void)guest;
	if (aero_initrd_build(&config, boot->initrd, &info, error) != AERO_OK)
		return false;
	snprintf(boot->kernel, sizeof(boot->kernel), "%s", info.kernel);
	return true;
}

/*
 * Debian's kernel zeroes each page that it hands out, to its balloon, too, which would make it look
 * five times as slow as its driver is.
 */
static const struct run_qemu_guest debian = {
	.arch = AERO_QEMU_X86_64,
	.append = "init_on_alloc=0",
	.prepare = prepare,
};

const struct run_kind run_kind_linux = {
	.name = "linux",
	.title = "Debian's kernel in QEMU, with QEMU's own virtio-balloon",
	.system = "Linux",
	.own = &debian,
	.memory_bytes = 1ull << 30,
	.minimum_bytes = 256ull << 20,
	.takes = RUN_TAKES_MODULES,
	RUN_QEMU_KIND,
};
