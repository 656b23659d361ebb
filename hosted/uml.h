/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_UML_H
#define AEROSTAT_HOSTED_UML_H

/*
 * A real Linux as an ordinary process: starts a User Mode Linux kernel, whose virtio-balloon
 * device is a vhost-user back end behind a socket, and talks to its init.
 *
 * Life: start -> ready (again after each reboot of the guest) -> ended. ended always comes, once,
 * and when it does no process, file or socket of the guest is left; see keeper.h for how.
 */

#include "hosted/guest_process.h"

#include <stdbool.h>
#include <stdint.h>

#define AERO_UML_READY_TIMEOUT_MS 60000

struct aero_uml_config {
	const char *kernel;    /* path of the kernel, as in aero_initrd_info */
	const char *initrd;    /* path of the archive made by aero_initrd_build() */
	const char *socket;    /* of the vhost-user back end; NULL: a guest without balloon */
	const char *append;    /* more kernel parameters, separated by spaces; or NULL */
	uint64_t memory_bytes; /* rounded down to KiB */
	/* Where the kernel makes its (already unlinked) memory file; NULL: /dev/shm. */
	const char *memory_directory;
	/* For the kernel's own files; the keeper removes it at the end with all that is in it. */
	const struct aero_scratch_dir *scratch;
	uint32_t ready_timeout_ms; /* 0: AERO_UML_READY_TIMEOUT_MS */
	bool is_verbose;	   /* log all that the kernel says while it boots */
};

/* Private to uml.c, public for its size. */
struct aero_uml {
	struct aero_guest_process process;
	bool has_device;
};

/**
 * aero_uml_start() - Boot a guest.
 * @uml:    Storage of the caller.
 * @loop:   Event loop for all callbacks.
 * @config: What to boot; nothing in it is used after the call, but the files are.
 * @events: What to call; copied. Every member is needed.
 * @error:  The story of a failure, or NULL.
 *
 * Shape:   answers at once; see events->ready and events->ended. A guest with a socket that is up
 *          without a driver bound to its device ends with AERO_EREFUSED.
 * Owner:   @uml must stay in place until events->ended. After success the scratch directory is
 *          removed by the keeper; its owner still calls aero_scratch_dir_remove() to free it.
 * Errors:  AERO_EINVAL (a path does not fit on a kernel command line, too many parameters),
 *          AERO_ENOSPC (the memory directory has less room than the guest has memory), AERO_EIO
 *          (a file is missing; no descriptors or processes); then no callback comes.
 * Context: sleep. The loop's thread.
 * Source:  `linux.uml --help`; observed with Debian's kernel 6.1.
 */
enum aero_status aero_uml_start(struct aero_uml *uml, uv_loop_t *loop,
				const struct aero_uml_config *config,
				const struct aero_guest_process_events *events,
				struct aero_error *error);

/**
 * aero_uml_console() - Where to send commands.
 * @uml: Started guest.
 *
 * Shape:   accepts commands from the first events->ready to events->ended.
 * Owner:   part of @uml.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
struct aero_guest_console *aero_uml_console(struct aero_uml *uml);

/**
 * aero_uml_power_off() - Ask the guest to power off.
 * @uml:        Started guest.
 * @timeout_ms: When to kill it if it has not ended by itself.
 *
 * Shape:   answers at once; the end comes through events->ended. A guest that is not ready is
 *          killed. Linux takes its balloon down first, so a back end must still answer.
 * Owner:   nothing changes.
 * Errors:  none.
 * Context: the loop's thread, not after events->ended.
 * Source:  none.
 */
void aero_uml_power_off(struct aero_uml *uml, uint32_t timeout_ms);

/**
 * aero_uml_kill() - Kill the guest.
 * @uml: Started guest.
 *
 * Shape:   answers at once; the end comes through events->ended, as AERO_EGONE.
 * Owner:   nothing changes.
 * Errors:  none.
 * Context: the loop's thread, not after events->ended.
 * Source:  none.
 */
void aero_uml_kill(struct aero_uml *uml);

#endif
