/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_GUEST_KERNEL_H
#define AEROSTAT_HOSTED_GUEST_KERNEL_H

/*
 * A Linux kernel of this machine that a guest can boot, as a distribution packages it:
 * boot/vmlinuz-RELEASE beside lib/modules/RELEASE, below "/", or below one of the directories into
 * which scripts/guest-kernel unpacks a package where none is installed:
 * /var/cache/aerostat/linux, $XDG_CACHE_HOME/aerostat/linux.
 */

#include "hosted/error.h"

#include <stdbool.h>

#define AERO_GUEST_KERNEL_PATH 512
#define AERO_GUEST_KERNEL_RELEASE 80

struct aero_guest_kernel {
	char path[AERO_GUEST_KERNEL_PATH];    /* of the kernel, absolute */
	char modules[AERO_GUEST_KERNEL_PATH]; /* for aero_module_tree_find() */
	char release[AERO_GUEST_KERNEL_RELEASE];
};

/**
 * aero_guest_kernel_find() - The newest kernel that has a module.
 * @module:     File name below lib/modules/RELEASE, without what it is compressed with.
 * @out_kernel: What was found.
 * @error:      The story of a failure, or NULL.
 *
 * Shape:   the newest by its version, of the first directory that has one.
 * Owner:   a copy.
 * Errors:  AERO_EIO: there is none; the text says how to get one.
 * Context: sleep; blocks on files.
 * Source:  Debian's packages linux-image-*.
 */
enum aero_status aero_guest_kernel_find(const char *module, struct aero_guest_kernel *out_kernel,
					struct aero_error *error);

/**
 * aero_guest_kernel_read() - What a kernel file is.
 * @path:       A bzImage.
 * @out_kernel: path, the release that is written in the file, and lib/modules beside its directory.
 * @error:      The story of a failure, or NULL.
 *
 * Shape:   lib/modules need not exist.
 * Owner:   a copy.
 * Errors:  AERO_EIO: it cannot be read, or is no bzImage.
 * Context: sleep; blocks on files.
 * Source:  Linux, Documentation/x86/boot: magic "HdrS" at 0x202, kernel_version at 0x20e.
 */
enum aero_status aero_guest_kernel_read(const char *path, struct aero_guest_kernel *out_kernel,
					struct aero_error *error);

#endif
