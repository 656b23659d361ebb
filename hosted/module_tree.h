/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_MODULE_TREE_H
#define AEROSTAT_HOSTED_MODULE_TREE_H

/*
 * Kernel modules of a guest as they lie on the host: which files make up a balloon driver, in the
 * order in which they must be loaded, and their content whatever they are compressed with.
 */

#include "hosted/capture.h"
#include "hosted/error.h"

#include <stddef.h>

#define AERO_MODULES_MAX 16
#define AERO_MODULE_PATH_MAX 512

struct aero_module_list {
	size_t count;
	char path[AERO_MODULES_MAX][AERO_MODULE_PATH_MAX]; /* [0] is loaded first */
};

/**
 * aero_module_tree_find() - A module and what it depends on.
 * @directory: Where modules lie: a directory with modules.dep, the parent of one called @release,
 *             or a flat directory of module files.
 * @release:   Version of the kernel, as `uname -r` prints it.
 * @name:      Name of the module with underscores, without ".ko".
 * @out_list:  The files in the order of loading.
 * @error:     The story of a failure, or NULL.
 *
 * Shape:   in a flat directory the dependencies are those that exist in it: virtio and virtio_ring
 *          of virtio_balloon, vmw_vmci of vmw_balloon, and so on. Modules that modules.dep does
 *          not name are built into the kernel.
 * Owner:   @out_list is the caller's, and undefined after a failure.
 * Errors:  AERO_EIO (no such directory or file, the text names it), AERO_ENOSPC (path too long or
 *          too many dependencies).
 * Context: sleep; blocks on files.
 * Source:  modules.dep(5): "module: dependencies", the last of which is loaded first.
 */
enum aero_status aero_module_tree_find(const char *directory, const char *release, const char *name,
				       struct aero_module_list *out_list, struct aero_error *error);

/**
 * aero_module_load() - The content of a module file, decompressed.
 * @path:      A file that ends in .ko, .ko.gz, .ko.xz or .ko.zst.
 * @out_bytes: Its content.
 * @error:     The story of a failure, or NULL.
 *
 * Shape:   decompressed by gzip, xz or zstd, which must be installed if needed.
 * Owner:   after success the caller frees @out_bytes with aero_bytes_free().
 * Errors:  those of aero_capture_file() and aero_capture_program(); AERO_EIO also for a content
 *          that is no ELF file.
 * Context: sleep; blocks.
 * Source:  kmod's file name endings.
 */
enum aero_status aero_module_load(const char *path, struct aero_bytes *out_bytes,
				  struct aero_error *error);

#endif
