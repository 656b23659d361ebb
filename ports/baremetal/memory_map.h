/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_MEMORY_MAP_H
#define AEROSTAT_PORTS_BAREMETAL_MEMORY_MAP_H

/*
 * Which memory there is at boot. Ranges in bytes, ascending, apart from each other; what firmware,
 * kernel and boot data need is cut out before the rest goes to the allocator.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_MAP_MAX 64

struct memory_area {
	uint64_t begin;
	uint64_t end;
};

struct memory_map {
	struct memory_area area[MEMORY_MAP_MAX];
	size_t count;
};

/* Adds usable memory. What overlaps another area or does not fit into the table is left out. */
void memory_map_add(struct memory_map *map, uint64_t begin, uint64_t bytes);

/* Takes a range out. */
void memory_map_remove(struct memory_map *map, uint64_t begin, uint64_t bytes);

/* Takes bytes, aligned to 4096, from the lowest area that has them; NULL: none has. */
void *memory_map_take(struct memory_map *map, uint64_t bytes);

/* The end of the highest area. */
uint64_t memory_map_end(const struct memory_map *map);

#endif
