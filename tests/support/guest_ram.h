/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_GUEST_RAM_H
#define AEROSTAT_TESTS_SUPPORT_GUEST_RAM_H

/*
 * Guest memory for tests: regions anywhere in guest-physical space, each an allocation of its own,
 * so that neighbours for the guest are strangers for the host and the sanitizer sees an access past
 * the end. The nth translation can be made to fail, once or from then on.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <aerostat/memory.h>

#define GUEST_RAM_REGIONS 4

struct guest_ram_region {
	aero_gpa gpa;
	size_t bytes;
	uint8_t *host;
	bool is_read_only;
};

struct guest_ram {
	struct aero_host_memory memory; /* translate only; a test adds what else it needs */
	struct guest_ram_region region[GUEST_RAM_REGIONS];
	unsigned int regions;
	unsigned long translations; /* asked for so far */
	unsigned long fail_at;	    /* the first to fail, counted from 1; 0: none */
	bool is_failing_on;	    /* and all after it */
};

void guest_ram_init(struct guest_ram *ram);
void guest_ram_fini(struct guest_ram *ram);

/* Zeroed memory; regions must not overlap. Answers the host's address of its first byte. */
uint8_t *guest_ram_add(struct guest_ram *ram, aero_gpa gpa, size_t bytes);

/* Takes a region away, as a VMM does at run time; its host address may be used no more. */
void guest_ram_remove(struct guest_ram *ram, aero_gpa gpa);

/* Gives a region another host address; its bytes move along. */
void guest_ram_move(struct guest_ram *ram, aero_gpa gpa);

/* The guest's own accesses, byte by byte across regions. Outside of memory they end the test. */
void guest_ram_write(struct guest_ram *ram, aero_gpa gpa, const void *bytes, size_t len);
void guest_ram_read(struct guest_ram *ram, aero_gpa gpa, void *bytes, size_t len);

/* Numbers of 2, 4 or 8 bytes in either byte order. */
void guest_ram_put(struct guest_ram *ram, aero_gpa gpa, uint64_t value, unsigned int len,
		   bool is_big_endian);
uint64_t guest_ram_get(struct guest_ram *ram, aero_gpa gpa, unsigned int len, bool is_big_endian);

#endif
