/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_INITRD_H
#define AEROSTAT_HOSTED_INITRD_H

/*
 * The initial file system of a test guest: busybox, the guest's own balloon module with what it
 * depends on, and an init that obeys the host over a console (guest_init.sh).
 */

#include "hosted/error.h"

#include <stdbool.h>
#include <stddef.h>

/* What the guest is to run in, and whose balloon it has. */
enum aero_initrd_machine {
	AERO_INITRD_UML = 0, /* User Mode Linux: virtio_balloon */
	AERO_INITRD_VMWARE,  /* QEMU in the guise of VMware: vmw_balloon */
	AERO_INITRD_QEMU,    /* QEMU with a virtio-balloon device on PCI: virtio_balloon */
};

struct aero_initrd_config {
	/*
	 * UML: a program; NULL: linux.uml from PATH. The others: a bzImage; NULL: the newest that
	 * has modules in /boot, else the one that scripts/guest-kernel has unpacked.
	 */
	const char *kernel;
	/* See aero_module_tree_find(); NULL: where Debian has those of the kernel. */
	const char *modules;
	const char *busybox; /* static busybox; NULL: /bin/busybox */
	enum aero_initrd_machine machine;
};

struct aero_initrd_info {
	char kernel[512]; /* path of the kernel, absolute */
	char release[80]; /* what the kernel calls itself, as `uname -r` prints it */
	bool is_built_in; /* the balloon driver is part of the kernel */
	size_t module_count;
};

/**
 * aero_initrd_build() - Write the initial file system for a kernel.
 * @config:   What to take.
 * @path:     File to write; replaced if it exists.
 * @out_info: What was found out about the kernel.
 * @error:    The story of a failure, or NULL.
 *
 * Shape:   a newc cpio archive of about 2 MiB, readable by the owner only. A UML kernel is asked
 *          for its version and configuration (`--version`, `--showconfig`), so that a file that is
 *          none, or one without virtio or balloon support, is found here and not by a guest that
 *          stays silent. A bzImage tells its version only.
 * Owner:   the file at @path is the caller's, also the incomplete one after a failure.
 * Errors:  AERO_EIO (a file is missing, unreadable or the wrong kind; the text names it and the
 *          package that has it), AERO_ENOTSUP (the kernel lacks what the guest needs),
 *          AERO_ENOMEM, AERO_ENOSPC, AERO_ETIMEDOUT (the kernel did not answer).
 * Context: sleep; blocks on files and short-lived programs: some 30 ms.
 * Source:  Debian 12's user-mode-linux and linux-image-amd64; kernels from 6.1.
 */
enum aero_status aero_initrd_build(const struct aero_initrd_config *config, const char *path,
				   struct aero_initrd_info *out_info, struct aero_error *error);

#endif
