/* SPDX-License-Identifier: MIT */
#include "hosted/guest_memory.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hosted/guest_memory_internal.h"

void aero_guest_memory_log(const struct aero_guest_memory *mem, const char *format, ...)
{
	char text[224];
	char line[256];
	va_list args;

	if (!mem->config.log)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(line, sizeof(line), "guest memory: %s", text);
	mem->config.log(mem->config.ctx, line);
}

static aero_gpa end_of(const struct aero_guest_mapping *map)
{
	return map->region.gpa + map->region.bytes;
}

static bool holds(const struct aero_guest_mapping *map, aero_gpa gpa)
{
	return gpa >= map->region.gpa && gpa < end_of(map);
}

/* Index of the region that holds gpa, or else of the first one above it. */
static unsigned int search(const struct aero_guest_memory *mem, aero_gpa gpa)
{
	unsigned int low = 0;
	unsigned int high = mem->count;

	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (end_of(&mem->maps[mid]) <= gpa)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct aero_guest_mapping *aero_guest_memory_find(const struct aero_guest_memory *mem,
							aero_gpa gpa)
{
	unsigned int index = search(mem, gpa);

	if (index == mem->count || !holds(&mem->maps[index], gpa))
		return NULL;
	return &mem->maps[index];
}

/* The table that devices see ------------------------------------------------------------------ */

static void *translate(void *ctx, aero_gpa gpa, size_t *len, enum aero_access access)
{
	struct aero_guest_memory *mem = ctx;
	const struct aero_guest_mapping *map;
	uint64_t left;

	(void)access;
	if (mem->last >= mem->count || !holds(&mem->maps[mem->last], gpa))
		mem->last = search(mem, gpa);
	if (mem->last >= mem->count || !holds(&mem->maps[mem->last], gpa))
		return NULL;
	map = &mem->maps[mem->last];
	left = end_of(map) - gpa;
	if (*len > left)
		*len = (size_t)left;
	return map->host + (gpa - map->region.gpa);
}

static uint64_t is_ram(void *ctx, struct aero_range range)
{
	const struct aero_guest_memory *mem = ctx;
	uint64_t count = 0;
	aero_gpa gpa;
	unsigned int index;

	if (range.first >= AERO_FRAME_LIMIT)
		return 0;
	gpa = range.first << AERO_FRAME_SHIFT;
	for (index = search(mem, gpa); index < mem->count && count < range.count; index++) {
		if (!holds(&mem->maps[index], gpa))
			break;
		count += (end_of(&mem->maps[index]) - gpa) >> AERO_FRAME_SHIFT;
		gpa = end_of(&mem->maps[index]);
	}
	return count < range.count ? count : range.count;
}

/*
 * One answer for all regions: the smallest discard that frees anything anywhere, and the largest
 * block that is worth waiting for anywhere.
 */
static void find_common_backing(struct aero_guest_memory *mem)
{
	struct aero_backing common = { 0, 0 };

	for (unsigned int i = 0; i < mem->count; i++) {
		const struct aero_backing *one = &mem->maps[i].backing;

		if (i == 0 || one->discard_order < common.discard_order)
			common.discard_order = one->discard_order;
		if (one->block_order > common.block_order)
			common.block_order = one->block_order;
	}
	mem->host.backing = common;
}

/* Regions ------------------------------------------------------------------------------------- */

static void note_incongruence(const struct aero_guest_memory *mem,
			      const struct aero_guest_mapping *map)
{
	uint64_t block = AERO_FRAME_BYTES;

	block <<= map->backing.block_order;
	if (map->page_bytes > block)
		aero_guest_memory_log(mem,
				      "region at %#" PRIx64 ": offset %#" PRIx64
				      " does not agree with it, so pages of %" PRIu64
				      " KiB can rarely be given back whole",
				      map->region.gpa, map->region.offset, map->page_bytes >> 10);
}

/* Keeps ascending order. Answers false where it overlaps one that is there. */
static bool insert(struct aero_guest_memory *mem, const struct aero_guest_mapping *map)
{
	unsigned int index = search(mem, map->region.gpa);

	if (index < mem->count && mem->maps[index].region.gpa < end_of(map))
		return false;
	memmove(&mem->maps[index + 1], &mem->maps[index],
		(mem->count - index) * sizeof(mem->maps[0]));
	mem->maps[index] = *map;
	mem->count++;
	return true;
}

static bool overlaps_uva(const struct aero_guest_memory *mem,
			 const struct aero_guest_region *region)
{
	for (unsigned int i = 0; i < mem->count; i++) {
		const struct aero_guest_region *other = &mem->maps[i].region;

		if (other->fd >= 0 && region->uva < other->uva + other->bytes &&
		    other->uva < region->uva + region->bytes)
			return true;
	}
	return false;
}

static enum aero_status add_mapping(struct aero_guest_memory *mem,
				    const struct aero_guest_region *region)
{
	struct aero_guest_mapping map;
	char why[128] = "";
	enum aero_status status;

	if (mem->count == AERO_GUEST_MEMORY_REGIONS_MAX) {
		aero_guest_memory_log(mem, "more than %d regions", AERO_GUEST_MEMORY_REGIONS_MAX);
		return AERO_ENOSPC;
	}
	status = aero_guest_mapping_open(&map, region, why, sizeof(why));
	if (status == AERO_OK && (overlaps_uva(mem, region) || !insert(mem, &map))) {
		snprintf(why, sizeof(why), "overlaps another region");
		aero_guest_mapping_close(&map);
		status = AERO_EINVAL;
	}
	if (status != AERO_OK)
		aero_guest_memory_log(mem, "region at %#" PRIx64 ", %#" PRIx64 " bytes: %s",
				      region->gpa, region->bytes, why);
	else
		note_incongruence(mem, &map);
	return status;
}

static void drop_all(struct aero_guest_memory *mem)
{
	for (unsigned int i = 0; i < mem->count; i++)
		aero_guest_mapping_close(&mem->maps[i]);
	mem->count = 0;
}

void aero_guest_memory_init(struct aero_guest_memory *mem,
			    const struct aero_guest_memory_config *config)
{
	memset(mem, 0, sizeof(*mem));
	mem->config = *config;
	mem->host.ctx = mem;
	mem->host.translate = translate;
	mem->host.is_ram = is_ram;
	mem->host.discard = aero_guest_memory_discard;
	aero_guest_guard_install();
}

void aero_guest_memory_fini(struct aero_guest_memory *mem)
{
	drop_all(mem);
	find_common_backing(mem);
}

enum aero_status aero_guest_memory_set(struct aero_guest_memory *mem,
				       const struct aero_guest_region *regions, unsigned int count)
{
	struct aero_guest_memory fresh = { .config = mem->config };
	enum aero_status status = AERO_OK;

	for (unsigned int i = 0; i < count && status == AERO_OK; i++)
		status = add_mapping(&fresh, &regions[i]);
	if (status != AERO_OK) {
		drop_all(&fresh);
		return status;
	}
	drop_all(mem);
	memcpy(mem->maps, fresh.maps, sizeof(mem->maps));
	mem->count = fresh.count;
	mem->is_lost = false;
	find_common_backing(mem);
	return AERO_OK;
}

enum aero_status aero_guest_memory_add(struct aero_guest_memory *mem,
				       const struct aero_guest_region *region)
{
	enum aero_status status = add_mapping(mem, region);

	find_common_backing(mem);
	return status;
}

enum aero_status aero_guest_memory_add_anonymous(struct aero_guest_memory *mem, aero_gpa gpa,
						 void *addr, uint64_t bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t limit = AERO_FRAME_LIMIT << AERO_FRAME_SHIFT;
	struct aero_guest_mapping map;

	if (mem->count == AERO_GUEST_MEMORY_REGIONS_MAX)
		return AERO_ENOSPC;
	if (!addr || bytes == 0 || bytes > limit || gpa > limit - bytes ||
	    (gpa | bytes | (uintptr_t)addr) % page)
		return AERO_EINVAL;
	aero_guest_mapping_open_anonymous(&map, gpa, addr, bytes);
	if (!insert(mem, &map))
		return AERO_EINVAL;
	find_common_backing(mem);
	return AERO_OK;
}

enum aero_status aero_guest_memory_remove(struct aero_guest_memory *mem,
					  const struct aero_guest_region *region)
{
	unsigned int index = search(mem, region->gpa);
	struct aero_guest_mapping *map = &mem->maps[index];

	if (index == mem->count || map->region.gpa != region->gpa ||
	    map->region.bytes != region->bytes || map->region.uva != region->uva)
		return AERO_ENOENT;
	aero_guest_mapping_close(map);
	mem->count--;
	memmove(map, map + 1, (mem->count - index) * sizeof(*map));
	find_common_backing(mem);
	return AERO_OK;
}

void aero_guest_memory_set_blind(struct aero_guest_memory *mem, bool is_blind)
{
	mem->is_blind = is_blind;
}

/* Questions ----------------------------------------------------------------------------------- */

enum aero_status aero_guest_memory_uva_to_gpa(const struct aero_guest_memory *mem, uint64_t uva,
					      uint64_t len, aero_gpa *out_gpa)
{
	for (unsigned int i = 0; i < mem->count; i++) {
		const struct aero_guest_region *region = &mem->maps[i].region;
		uint64_t into = uva - region->uva;

		if (region->fd < 0 || uva < region->uva || into >= region->bytes)
			continue;
		if (len > region->bytes - into)
			return AERO_ERANGE;
		*out_gpa = region->gpa + into;
		return AERO_OK;
	}
	return AERO_ERANGE;
}

uint64_t aero_guest_memory_bytes(const struct aero_guest_memory *mem)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < mem->count; i++)
		bytes += mem->maps[i].region.bytes;
	return bytes;
}

bool aero_guest_memory_has_lost(struct aero_guest_memory *mem)
{
	for (unsigned int i = 0; i < mem->count && !mem->is_lost; i++) {
		if (!aero_guest_guard_has_lost(mem->maps[i].guard))
			continue;
		mem->is_lost = true;
		aero_guest_memory_log(mem,
				      "region at %#" PRIx64
				      ": a page is gone from its file (truncated?); it reads as "
				      "zeros from now on",
				      mem->maps[i].region.gpa);
	}
	return mem->is_lost;
}

void aero_guest_memory_identify(const struct aero_guest_memory *mem,
				struct aero_guest_memory_identity *out_id)
{
	memset(out_id, 0, sizeof(*out_id));
	for (unsigned int i = 0; i < mem->count; i++) {
		const struct aero_guest_mapping *map = &mem->maps[i];

		if (map->region.fd < 0) {
			out_id->count = 0;
			return;
		}
		out_id->regions[i].gpa = map->region.gpa;
		out_id->regions[i].bytes = map->region.bytes;
		out_id->regions[i].offset = map->region.offset;
		out_id->regions[i].dev = map->dev;
		out_id->regions[i].ino = map->ino;
		out_id->regions[i].born_ns = map->born_ns;
		out_id->count++;
	}
}

bool aero_guest_memory_same(const struct aero_guest_memory_identity *a,
			    const struct aero_guest_memory_identity *b)
{
	return a->count && a->count == b->count &&
	       !memcmp(a->regions, b->regions, a->count * sizeof(a->regions[0]));
}
