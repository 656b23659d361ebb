/* SPDX-License-Identifier: MIT */
#include "memory_map.h"

#define PAGE 4096ull

static uint64_t end_of(uint64_t begin, uint64_t bytes)
{
	return bytes > UINT64_MAX - begin ? UINT64_MAX : begin + bytes;
}

static void add(struct memory_map *map, uint64_t begin, uint64_t end)
{
	size_t at = map->count;

	if (map->count == MEMORY_MAP_MAX || begin >= end)
		return;
	while (at && map->area[at - 1].begin >= end)
		at--;
	if (at && map->area[at - 1].end > begin)
		return;
	for (size_t i = map->count++; i > at; i--)
		map->area[i] = map->area[i - 1];
	map->area[at] = (struct memory_area){ begin, end };
}

/* Whole pages only; the first one is nobody's, so that no pointer to memory is NULL. */
void memory_map_add(struct memory_map *map, uint64_t begin, uint64_t bytes)
{
	uint64_t end = end_of(begin, bytes) & ~(PAGE - 1);

	add(map, begin < PAGE ? PAGE : (begin + PAGE - 1) & ~(PAGE - 1), end);
}

void memory_map_remove(struct memory_map *map, uint64_t begin, uint64_t bytes)
{
	uint64_t end = end_of(begin, bytes);
	struct memory_map old = *map;

	map->count = 0;
	for (size_t i = 0; i < old.count; i++) {
		struct memory_area area = old.area[i];

		if (area.end <= begin || end <= area.begin) {
			add(map, area.begin, area.end);
			continue;
		}
		add(map, area.begin, begin & ~(PAGE - 1));
		add(map, end > area.end ? area.end : (end + PAGE - 1) & ~(PAGE - 1), area.end);
	}
}

void *memory_map_take(struct memory_map *map, uint64_t bytes)
{
	bytes = (bytes + PAGE - 1) & ~(PAGE - 1);
	for (size_t i = 0; i < map->count; i++) {
		uint64_t begin = map->area[i].begin;

		if (map->area[i].end - begin < bytes)
			continue;
		memory_map_remove(map, begin, bytes);
		return (void *)(uintptr_t)begin;
	}
	return NULL;
}

uint64_t memory_map_end(const struct memory_map *map)
{
	return map->count ? map->area[map->count - 1].end : 0;
}
