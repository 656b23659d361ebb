/* SPDX-License-Identifier: MIT */
#include "virtio_pair.h"

#include <aerostat/wire/virtio.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 2048

static void must(bool is_good, const char *what)
{
	if (is_good)
		return;
	fprintf(stderr, "virtio_pair: %s\n", what);
	exit(1);
}

static size_t port_alloc(void *ctx, unsigned int order, enum aero_effort effort, aero_frame *out,
			 size_t count)
{
	struct virtio_pair *pair = ctx;

	(void)effort;
	if (pair->config.is_large != !!order)
		return 0;
	if (count > pair->block_count - pair->taken)
		count = pair->block_count - pair->taken;
	memcpy(out, pair->blocks + pair->taken, count * sizeof(*out));
	pair->taken += (uint32_t)count;
	return count;
}

static void port_free(void *ctx, unsigned int order, const aero_frame *frames, size_t count)
{
	struct virtio_pair *pair = ctx;

	(void)order;
	(void)frames;
	pair->taken -= (uint32_t)count;
}

static uint64_t port_managed(void *ctx)
{
	(void)ctx;
	return 1ull << 32;
}

static void *port_page_get(void *ctx)
{
	struct virtio_pair *pair = ctx;

	return pair->guest_nodes.source.get(pair->guest_nodes.source.ctx);
}

static void port_page_put(void *ctx, void *page)
{
	struct virtio_pair *pair = ctx;

	pair->guest_nodes.source.put(pair->guest_nodes.source.ctx, page);
}

/* Pages of the driver are in the device's memory where they are in ours. */
static aero_frame port_page_frame(void *ctx, void *page)
{
	(void)ctx;
	return (uintptr_t)page >> AERO_FRAME_SHIFT;
}

static void *memory_translate(void *ctx, aero_gpa gpa, size_t *len, enum aero_access access)
{
	(void)ctx;
	(void)len;
	(void)access;
	return (void *)(uintptr_t)gpa;
}

static uint64_t memory_is_ram(void *ctx, struct aero_range range)
{
	(void)ctx;
	return range.count;
}

static enum aero_status memory_discard(void *ctx, struct aero_range range,
				       uint64_t *out_freed_bytes)
{
	struct virtio_pair *pair = ctx;

	pair->discarded += range.count;
	*out_freed_bytes = range.count << AERO_FRAME_SHIFT;
	return AERO_OK;
}

static void make_blocks(struct virtio_pair *pair)
{
	unsigned int order = pair->config.is_large ? AERO_ORDER_2M : 0;
	uint32_t i;

	pair->block_count = pair->config.frames >> order;
	pair->blocks = malloc(pair->block_count * sizeof(*pair->blocks));
	must(pair->blocks, "no memory");
	for (i = 0; i < pair->block_count; i++) {
		uint32_t at = pair->config.is_falling ? pair->block_count - 1 - i : i;

		pair->blocks[i] = (aero_frame)at << order;
	}
}

void virtio_pair_open(struct virtio_pair *pair, const struct virtio_pair_config *config)
{
	const uint64_t packed = 1ull << AERO_VIRTIO_F_RING_PACKED;
	struct sim_virtio_config device = { .memory = &pair->memory, .mode = AERO_DISCARD_COLLECT };
	struct aero_virtio_balloon_guest_config driver = { .balloon.port = &pair->port };

	memset(pair, 0, sizeof(*pair));
	pair->config = *config;
	pair->now = 1;
	make_blocks(pair);
	bench_nodes_init(&pair->guest_nodes, NODES);
	bench_nodes_init(&pair->host_nodes, NODES);
	pair->memory = (struct aero_host_memory){
		.ctx = pair,
		.translate = memory_translate,
		.is_ram = memory_is_ram,
		.discard = memory_discard,
		.backing = { .block_order = AERO_ORDER_2M },
	};
	pair->port = (struct aero_port){
		.ctx = pair,
		.orders = 1u << AERO_ORDER_4K | 1u << AERO_ORDER_2M,
		.alloc = port_alloc,
		.free = port_free,
		.managed_frames = port_managed,
		.page_get = port_page_get,
		.page_put = port_page_put,
		.page_frame = port_page_frame,
	};
	device.nodes = pair->host_nodes.source;
	must(!sim_virtio_init(&pair->virtio, &device), "the device cannot be");
	sim_virtio_record_init(&pair->record, &pair->virtio.transport, NULL, 0);
	driver.transport = &pair->record.transport;
	driver.request_frames = config->request_frames;
	driver.declined = config->is_packed ? 0 : packed;
	must(!aero_virtio_balloon_guest_init(&pair->drv, &driver), "the driver cannot be");
	virtio_pair_move(pair, 0);
	must(pair->drv.is_live && !!(pair->drv.features & packed) == config->is_packed,
	     "the driver did not take the device");
}

uint64_t virtio_pair_move(struct virtio_pair *pair, uint64_t frames)
{
	uint64_t steps = 0, due, set;

	must(!aero_virtio_balloon_host_set_target(&pair->virtio.device, frames, &set), "target");
	aero_virtio_balloon_guest_interrupt(&pair->drv, AERO_VIRTIO_INTERRUPT_CONFIG);
	do {
		due = aero_virtio_balloon_guest_step(&pair->drv, pair->now);
		steps++;
		/* The answers of what was asked for are there at the next step. */
	} while (sim_virtio_run(&pair->virtio) > 1 || due == pair->now);
	must(aero_balloon_frames(&pair->drv.balloon) == frames, "the target is not reached");
	return steps;
}

void virtio_pair_close(struct virtio_pair *pair)
{
	while (aero_virtio_balloon_guest_stop(&pair->drv, pair->now) == AERO_EAGAIN)
		sim_virtio_run(&pair->virtio);
	aero_virtio_balloon_guest_fini(&pair->drv);
	sim_virtio_fini(&pair->virtio);
	bench_nodes_fini(&pair->guest_nodes);
	bench_nodes_fini(&pair->host_nodes);
	free(pair->blocks);
}
