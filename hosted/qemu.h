/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_QEMU_H
#define AEROSTAT_HOSTED_QEMU_H

/*
 * A guest in QEMU without hardware virtualisation: a talk with it over its console, its memory, and
 * a line to QEMU itself. One of two machines:
 *
 *   AERO_QEMU_VMWARE   a PC that Linux takes for VMware's. The line is the end of QEMU's debugger,
 *                      which is what vmware_bridge.h needs.
 *   AERO_QEMU_BALLOON  a PC, or the machine "virt", with QEMU's own virtio-balloon-pci as
 *                      AERO_QEMU_BALLOON_PATH. The line is QEMU's machine protocol, see qmp.h.
 *
 * Life: start -> ready -> ended. ended always comes, once, and when it does no process, file or
 * socket of the guest is left; see keeper.h for how. A guest that reboots ends.
 *
 * Under AERO_QEMU_VMWARE the guest loads vmw_vmci and vmw_balloon by itself before it is ready. The
 * text of ready has
 *     driver=bound text=0x... text_bytes=...
 * and after the commands "unload" and "load" (a driver that is loaded again may lie elsewhere)
 * their answers have the same. "read /sys/kernel/debug/vmmemctl" is the driver's own account. Under
 * AERO_QEMU_BALLOON the text has driver=bound, from a Linux also features=..., see guest_console.h.
 */

#include "hosted/guest_process.h"
#include "hosted/vmware_bridge.h"

#include <stdbool.h>
#include <stdint.h>

#define AERO_QEMU_READY_TIMEOUT_MS 120000

/* The balloon device's place in QEMU's object model. */
#define AERO_QEMU_BALLOON_PATH "/machine/peripheral/balloon0"

enum aero_qemu_machine { AERO_QEMU_VMWARE = 0, AERO_QEMU_BALLOON };

/* Other than x86-64 only with AERO_QEMU_BALLOON. */
enum aero_qemu_arch { AERO_QEMU_X86_64 = 0, AERO_QEMU_AARCH64, AERO_QEMU_RISCV64 };

struct aero_qemu_config {
	enum aero_qemu_machine machine;
	enum aero_qemu_arch arch;
	const char *program;   /* NULL: qemu-system-* from PATH */
	const char *kernel;    /* a bzImage as in aero_initrd_info, or without initrd an ELF file */
	const char *initrd;    /* path of the archive made by aero_initrd_build(); NULL: no Linux */
	const char *append;    /* more kernel parameters, separated by spaces; or NULL */
	uint64_t memory_bytes; /* a multiple of 2 MiB */
	/* For QEMU's own files; the keeper removes it at the end with all that is in it. */
	const struct aero_scratch_dir *scratch;
	/*
	 * AERO_QEMU_VMWARE, both or none: where QEMU's debugger listens, and the file that backs
	 * the memory, for a bridge in another process. Without them they are this process's alone,
	 * see aero_qemu_bridge_config().
	 */
	const char *gdb_path;
	const char *memory_path;
	uint32_t ready_timeout_ms; /* 0: AERO_QEMU_READY_TIMEOUT_MS */
	bool is_verbose;	   /* log all that a Linux says while it boots */
};

/* Private to qemu.c, public for its size. */
struct aero_qemu {
	struct aero_guest_process process;
	struct aero_guest_process_events events;
	uint64_t memory_bytes;
	int control_fd; /* our end of the line; -1: given away */
	int memory_fd;
};

/**
 * aero_qemu_start() - Boot a guest.
 * @qemu:   Storage of the caller.
 * @loop:   Event loop for all callbacks.
 * @config: What to boot; nothing in it is used after the call, but the files are.
 * @events: What to call; copied. Every member is needed.
 * @error:  The story of a failure, or NULL.
 *
 * Shape:   answers at once; see events->ready and events->ended. A guest that is up without the
 *          balloon driver ends with AERO_EREFUSED. A Linux has the console as its second serial
 *          line and logs to the first; other kernels have one, which is the console.
 * Owner:   @qemu must stay in place until events->ended. After success the scratch directory is
 *          removed by the keeper; its owner still calls aero_scratch_dir_remove() to free it.
 * Errors:  AERO_EINVAL (a path does not fit on a command line, odd memory size), AERO_EIO (a file
 *          is missing; no QEMU, the text names the package; no descriptors or processes); then no
 *          callback comes.
 * Context: sleep. The loop's thread.
 * Source:  qemu-system-x86_64(1); observed with QEMU 7.2 and Debian's kernel 6.1.
 */
enum aero_status aero_qemu_start(struct aero_qemu *qemu, uv_loop_t *loop,
				 const struct aero_qemu_config *config,
				 const struct aero_guest_process_events *events,
				 struct aero_error *error);

/**
 * aero_qemu_take_control() - Our end of the line to QEMU.
 * @qemu: Started with AERO_QEMU_BALLOON.
 *
 * Shape:   a connected socket for aero_qmp_start(); -1 if it was given away already. Commands are
 *          answered while the guest boots, too.
 * Owner:   the caller's.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
int aero_qemu_take_control(struct aero_qemu *qemu);

/**
 * aero_qemu_memory_fd() - The file that is the guest's memory.
 * @qemu: Started without paths.
 *
 * Shape:   of memory_bytes bytes; the guest's addresses are not those in the file.
 * Owner:   borrowed, until events->ended.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
int aero_qemu_memory_fd(const struct aero_qemu *qemu);

/**
 * aero_qemu_bridge_config() - What a bridge needs to know of this guest.
 * @qemu:   Started with AERO_QEMU_VMWARE.
 * @text:   What events->ready was given, or the answer to "load".
 * @config: gdb_fd, memory_fd, memory_bytes and text are filled in; the rest stays.
 *
 * Shape:   for one bridge in the life of a guest; after later loads see aero_qemu_text().
 * Owner:   gdb_fd is the bridge's. memory_fd stays open until events->ended.
 * Errors:  AERO_ESTATE: the descriptor was given away already, or there is none. AERO_EPROTO:
 *          @text does not say where the driver's code is.
 * Context: the loop's thread.
 * Source:  none.
 */
enum aero_status aero_qemu_bridge_config(struct aero_qemu *qemu, const char *text,
					 struct aero_vmware_bridge_config *config);

/**
 * aero_qemu_text() - Where the guest says that the driver's code is.
 * @text:     What events->ready was given, or an answer to "load".
 * @out_text: For aero_vmware_bridge_locate().
 *
 * Shape:   key=value pairs.
 * Owner:   a copy.
 * Errors:  AERO_EPROTO: it does not say so.
 * Context: any.
 * Source:  guest_machine_vmware.sh.
 */
enum aero_status aero_qemu_text(const char *text, struct aero_vmware_bridge_text *out_text);

/**
 * aero_qemu_console() - Where to send commands.
 * @qemu: Started guest.
 *
 * Shape:   accepts commands from events->ready to events->ended.
 * Owner:   part of @qemu.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
struct aero_guest_console *aero_qemu_console(struct aero_qemu *qemu);

/**
 * aero_qemu_power_off() - Ask the guest to power off.
 * @qemu:       Started guest.
 * @timeout_ms: When to kill it if it has not ended by itself.
 *
 * Shape:   answers at once; the end comes through events->ended. A guest that is not ready is
 *          killed. The bridge must still serve, or be closed before.
 * Owner:   nothing changes.
 * Errors:  none.
 * Context: the loop's thread, not after events->ended.
 * Source:  none.
 */
void aero_qemu_power_off(struct aero_qemu *qemu, uint32_t timeout_ms);

/**
 * aero_qemu_kill() - Kill the guest.
 * @qemu: Started guest.
 *
 * Shape:   answers at once; the end comes through events->ended, as AERO_EGONE.
 * Owner:   nothing changes.
 * Errors:  none.
 * Context: the loop's thread, not after events->ended.
 * Source:  none.
 */
void aero_qemu_kill(struct aero_qemu *qemu);

#endif
