/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_GUEST_MEMORY_INTERNAL_H
#define AEROSTAT_HOSTED_GUEST_MEMORY_INTERNAL_H

/* What the files of guest memory share. Not for its users. */

#include "hosted/guest_memory.h"

/* One line in the log. */
void aero_guest_memory_log(const struct aero_guest_memory *mem, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* guest_memory_map.c: one region, mapped or not at all. The message says why not. */
enum aero_status aero_guest_mapping_open(struct aero_guest_mapping *map,
					 const struct aero_guest_region *region, char *why,
					 size_t size);
void aero_guest_mapping_open_anonymous(struct aero_guest_mapping *map, aero_gpa gpa, void *addr,
				       uint64_t bytes);
void aero_guest_mapping_close(struct aero_guest_mapping *map);

/* The region that holds gpa, or NULL. */
const struct aero_guest_mapping *aero_guest_memory_find(const struct aero_guest_memory *mem,
							aero_gpa gpa);

/* guest_memory_discard.c: members of the table that a device is given. */
enum aero_status aero_guest_memory_discard(void *ctx, struct aero_range range,
					   uint64_t *out_freed_bytes);

/* How many bytes of private memory are resident. */
uint64_t aero_guest_memory_resident_anonymous(void *addr, uint64_t bytes);

/* guest_memory_guard.c: a slot of the SIGBUS handler, or -1 when all are taken. */
void aero_guest_guard_install(void);
int aero_guest_guard_add(void *addr, size_t bytes, size_t page_bytes);
void aero_guest_guard_remove(int guard);
bool aero_guest_guard_has_lost(int guard);

#endif
