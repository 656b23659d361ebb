/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_QEMU_H
#define AEROSTAT_PROGRAMS_RUN_QEMU_H

/*
 * A machine in QEMU with QEMU's own virtio-balloon device. What is booted in it is the kind's: its
 * run_kind.own is a struct run_qemu_guest, and its operations are these.
 */

#include "hosted/qemu.h"
#include "run_machine.h"

/* Files that are booted. */
struct run_qemu_boot {
	char kernel[512];
	char initrd[128]; /* where it may be made; "": there is none */
};

struct run_qemu_guest {
	enum aero_qemu_arch arch;
	const char *append; /* kernel parameters, before those of --append; or NULL */
	/*
	 * Our kernel, with our driver: it can keep memory in use and look whether it is as it was,
	 * look at its books, and tell what its driver counts.
	 */
	bool is_ours;
	/* Finds or makes the files; false with the error filled in. */
	bool (*prepare)(const struct run_qemu_guest *guest, const struct run_options *options,
			struct run_qemu_boot *boot, struct aero_error *error);
};

/* The members of struct run_kind that all these guests share. */
struct run_machine *run_qemu_create(const struct run_machine_setting *setting);
void run_qemu_destroy(struct run_machine *base);
bool run_qemu_start(struct run_machine *base, struct aero_error *error);
void run_qemu_power_off(struct run_machine *base, uint32_t timeout_ms);
void run_qemu_kill(struct run_machine *base);
void run_qemu_close(struct run_machine *base);
void run_qemu_memory(struct run_machine *base);
void run_qemu_dirty(struct run_machine *base, uint64_t bytes);
void run_qemu_inspect(struct run_machine *base, enum run_phase phase);
void run_qemu_set_target(struct run_machine *base, uint64_t frames);
void run_qemu_numbers(struct run_machine *base, struct run_machine_numbers *out_numbers);
const struct aero_guest_memory *run_qemu_guest_memory(const struct run_machine *base);
void run_qemu_report(struct run_machine *base, struct run_result *result);

/* All of them, and what else is the same. */
#define RUN_QEMU_KIND                                                                       \
	.balloon = { .is_share = true, .share = 500000000 }, .memory_unit = 2ull << 20,     \
	.create = run_qemu_create, .destroy = run_qemu_destroy, .start = run_qemu_start,    \
	.power_off = run_qemu_power_off, .kill = run_qemu_kill, .close = run_qemu_close,    \
	.memory = run_qemu_memory, .dirty = run_qemu_dirty, .inspect = run_qemu_inspect,    \
	.inspecting = "Asking the guest for statistics", .set_target = run_qemu_set_target, \
	.numbers = run_qemu_numbers, .guest_memory = run_qemu_guest_memory,                 \
	.report = run_qemu_report

#endif
