/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_GUEST_INIT_H
#define AEROSTAT_HOSTED_GUEST_INIT_H

/*
 * The texts of guest_init.sh and, for each machine, of guest_machine_*.sh and what goes with it,
 * turned into C at build time by embed.py.
 */

#include <stddef.h>

extern const unsigned char aero_guest_init[];
extern const size_t aero_guest_init_len;
extern const unsigned char aero_guest_machine_qemu[];
extern const size_t aero_guest_machine_qemu_len;
extern const unsigned char aero_guest_machine_uml[];
extern const size_t aero_guest_machine_uml_len;
extern const unsigned char aero_guest_machine_vmware[];
extern const size_t aero_guest_machine_vmware_len;

#endif
