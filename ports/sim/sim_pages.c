/* SPDX-License-Identifier: MIT */
#include "ports/sim/sim_internal.h"

#include <stdlib.h>
#include <string.h>

/* A set of all of memory has a leaf per 2^15 frames; twice as much is enough for two. */
static uint64_t default_pages(const struct sim_port *sim)
{
	return 64 + (sim->config.frames >> 14);
}

static void place_arena(struct sim_port *sim)
{
	struct sim_port_config *config = &sim->config;

	if (!config->page_frames) {
		config->page_frames = default_pages(sim);
		if (!config->page_first)
			config->page_first = config->frames;
	}
	if (!config->page_ram) {
		void *ram;

		if (posix_memalign(&ram, AERO_FRAME_BYTES,
				   (size_t)config->page_frames << AERO_FRAME_SHIFT))
			abort();
		sim->own_ram = ram;
		config->page_ram = ram;
	}
}

void sim_pages_init(struct sim_port *sim)
{
	const struct sim_port_config *config = &sim->config;

	place_arena(sim);
	sim->page_used = calloc((size_t)(config->page_frames / 64 + 1), sizeof(*sim->page_used));
	if (!sim->page_used)
		abort();
	for (uint64_t i = 0; i < config->page_frames; i++) {
		if (config->page_first + i < config->frames)
			sim_buddy_take(&sim->buddy, config->page_first + i);
	}
}

void sim_pages_fini(struct sim_port *sim)
{
	free(sim->page_used);
	free(sim->own_ram);
}

static bool is_used(const struct sim_port *sim, uint64_t at)
{
	return sim->page_used[at / 64] >> at % 64 & 1;
}

static uint8_t *give_out(struct sim_port *sim, uint64_t at, uint64_t count)
{
	uint8_t *page = sim->config.page_ram + (size_t)(at << AERO_FRAME_SHIFT);

	for (uint64_t i = at; i < at + count; i++)
		sim->page_used[i / 64] |= 1ull << i % 64;
	sim->pages += count;
	if (sim->pages > sim->counters.peak_pages)
		sim->counters.peak_pages = sim->pages;
	memset(page, 0xa5, (size_t)count << AERO_FRAME_SHIFT);
	return page;
}

/* The lowest that is not given out: everything before the hint is. */
void *sim_pages_get(struct sim_port *sim)
{
	uint64_t at = sim->page_hint;

	while (at < sim->config.page_frames && is_used(sim, at))
		at++;
	sim->page_hint = at;
	return at == sim->config.page_frames ? NULL : give_out(sim, at, 1);
}

void *sim_pages_get_span(struct sim_port *sim, uint64_t count)
{
	uint64_t run = 0;

	for (uint64_t at = sim->page_hint; at < sim->config.page_frames; at++) {
		run = is_used(sim, at) ? 0 : run + 1;
		if (run == count)
			return give_out(sim, at + 1 - count, count);
	}
	return NULL;
}

bool sim_pages_frame(const struct sim_port *sim, void *page, aero_frame *out_frame)
{
	uintptr_t offset = (uintptr_t)page - (uintptr_t)sim->config.page_ram;
	uint64_t at = offset >> AERO_FRAME_SHIFT;

	*out_frame = sim->config.page_first + at;
	return offset % AERO_FRAME_BYTES == 0 && at < sim->config.page_frames && is_used(sim, at);
}

bool sim_pages_put(struct sim_port *sim, void *page)
{
	aero_frame frame;
	uint64_t at;

	if (!sim_pages_frame(sim, page, &frame))
		return false;
	at = frame - sim->config.page_first;
	sim->page_used[at / 64] &= ~(1ull << at % 64);
	if (at < sim->page_hint)
		sim->page_hint = at;
	sim->pages--;
	memset(page, 0x5a, AERO_FRAME_BYTES);
	return true;
}

bool sim_pages_has(const struct sim_port *sim, aero_frame frame)
{
	return frame - sim->config.page_first < sim->config.page_frames;
}

bool sim_pages_is_used(const struct sim_port *sim, aero_frame frame)
{
	return sim_pages_has(sim, frame) && is_used(sim, frame - sim->config.page_first);
}

void *sim_port_ram(const struct sim_port *sim, aero_frame frame)
{
	uint64_t at = frame - sim->config.page_first;

	if (!sim_pages_has(sim, frame))
		return NULL;
	return sim->config.page_ram + (size_t)(at << AERO_FRAME_SHIFT);
}
