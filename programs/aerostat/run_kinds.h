/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_KINDS_H
#define AEROSTAT_PROGRAMS_RUN_KINDS_H

/* The kinds of machine there are, each in a file of its own. */

#include "run_machine.h"

extern const struct run_kind run_kind_uml;    /* Linux in User Mode Linux, virtio */
extern const struct run_kind run_kind_vmware; /* Linux in QEMU, VMware */
extern const struct run_kind run_kind_linux;  /* Linux in QEMU, QEMU's own virtio */
/* Our own small kernel in QEMU, our driver against QEMU's own virtio. */
extern const struct run_kind run_kind_baremetal_x86_64;
extern const struct run_kind run_kind_baremetal_aarch64;
extern const struct run_kind run_kind_baremetal_riscv64;

#endif
