/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_GUEST_INIT_H
#define AEROSTAT_HOSTED_GUEST_INIT_H

/* The text of guest_init.sh, turned into C at build time by embed.py. */

#include <stddef.h>

extern const unsigned char aero_guest_init[];
extern const size_t aero_guest_init_len;

#endif
