/* SPDX-License-Identifier: MIT */
#include "support/guest_ram.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct guest_ram_region *find(struct guest_ram *ram, aero_gpa gpa)
{
	for (unsigned int i = 0; i < ram->regions; i++) {
		struct guest_ram_region *region = &ram->region[i];

		if (gpa >= region->gpa && gpa - region->gpa < region->bytes)
			return region;
	}
	return NULL;
}

static void *translate(void *ctx, aero_gpa gpa, size_t *len, enum aero_access access)
{
	struct guest_ram *ram = ctx;
	const struct guest_ram_region *region;
	size_t rest;

	ram->translations++;
	if (ram->fail_at && ram->translations >= ram->fail_at &&
	    (ram->is_failing_on || ram->translations == ram->fail_at))
		return NULL;
	region = find(ram, gpa);
	if (!region || (region->is_read_only && access & AERO_ACCESS_WRITE))
		return NULL;
	rest = region->bytes - (size_t)(gpa - region->gpa);
	if (*len > rest)
		*len = rest;
	return region->host + (gpa - region->gpa);
}

void guest_ram_init(struct guest_ram *ram)
{
	memset(ram, 0, sizeof(*ram));
	ram->memory.ctx = ram;
	ram->memory.translate = translate;
}

void guest_ram_fini(struct guest_ram *ram)
{
	while (ram->regions)
		free(ram->region[--ram->regions].host);
}

uint8_t *guest_ram_add(struct guest_ram *ram, aero_gpa gpa, size_t bytes)
{
	struct guest_ram_region *region = &ram->region[ram->regions];

	if (ram->regions == GUEST_RAM_REGIONS)
		abort();
	region->gpa = gpa;
	region->bytes = bytes;
	region->is_read_only = false;
	region->host = calloc(1, bytes);
	if (!region->host)
		abort();
	ram->regions++;
	return region->host;
}

void guest_ram_remove(struct guest_ram *ram, aero_gpa gpa)
{
	struct guest_ram_region *region = find(ram, gpa);

	if (!region)
		abort();
	free(region->host);
	*region = ram->region[--ram->regions];
}

void guest_ram_move(struct guest_ram *ram, aero_gpa gpa)
{
	struct guest_ram_region *region = find(ram, gpa);
	uint8_t *host = region ? malloc(region->bytes) : NULL;

	if (!host)
		abort();
	memcpy(host, region->host, region->bytes);
	free(region->host);
	region->host = host;
}

static uint8_t *at(struct guest_ram *ram, aero_gpa gpa)
{
	const struct guest_ram_region *region = find(ram, gpa);

	if (!region) {
		fprintf(stderr, "test bug: no guest memory at 0x%llx\n", (unsigned long long)gpa);
		abort();
	}
	return region->host + (gpa - region->gpa);
}

void guest_ram_write(struct guest_ram *ram, aero_gpa gpa, const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		*at(ram, gpa + i) = ((const uint8_t *)bytes)[i];
}

void guest_ram_read(struct guest_ram *ram, aero_gpa gpa, void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)bytes)[i] = *at(ram, gpa + i);
}

void guest_ram_put(struct guest_ram *ram, aero_gpa gpa, uint64_t value, unsigned int len,
		   bool is_big_endian)
{
	for (unsigned int i = 0; i < len; i++) {
		unsigned int shift = 8 * (is_big_endian ? len - 1 - i : i);

		*at(ram, gpa + i) = (uint8_t)(value >> shift);
	}
}

uint64_t guest_ram_get(struct guest_ram *ram, aero_gpa gpa, unsigned int len, bool is_big_endian)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < len; i++)
		value = value << 8 | *at(ram, gpa + (is_big_endian ? i : len - 1 - i));
	return value;
}
