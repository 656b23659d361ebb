/* SPDX-License-Identifier: MIT */
#include "ports/sim/sim_virtio.h"

#include <aerostat/wire/virtio.h>
#include <aerostat/wire/virtio_balloon.h>

#include <stdlib.h>
#include <string.h>

#define QUEUE_SIZE 128
#define LEGACY_ALIGN 4096u

/* Where a new ring starts, as aero_virtio_queue_config has it. */
#define BASE_PACKED 0x80008000u

static bool has_bit(uint64_t features, unsigned int bit)
{
	return features >> bit & 1;
}

static uint64_t offered_features(void *ctx)
{
	struct sim_virtio *virtio = ctx;

	return virtio->is_gone ? UINT64_MAX : virtio->device.config.offered.word[0];
}

static void accept_features(void *ctx, uint64_t features)
{
	struct sim_virtio *virtio = ctx;
	struct aero_virtio_features accepted = { { features, 0 } };

	if (!virtio->is_gone)
		virtio->has_refused =
			aero_virtio_balloon_host_accept(&virtio->device, &accepted) != AERO_OK;
}

static uint8_t read_status(void *ctx)
{
	struct sim_virtio *virtio = ctx;

	if (virtio->is_gone)
		return 0xff;
	if (virtio->slow_reads) {
		virtio->slow_reads--;
		return virtio->old_status;
	}
	return virtio->device.status | virtio->extra_status;
}

static void reset(struct sim_virtio *virtio)
{
	virtio->old_status = virtio->device.status | virtio->extra_status | 1;
	virtio->slow_reads = virtio->slow_resets;
	virtio->extra_status = 0;
	virtio->has_refused = false;
	virtio->pending = 0;
	virtio->resets++;
}

static void write_status(void *ctx, uint8_t status)
{
	struct sim_virtio *virtio = ctx;

	if (virtio->is_gone)
		return;
	if (!status)
		reset(virtio);
	if (virtio->is_refusing || virtio->has_refused)
		status &= (uint8_t)~AERO_VIRTIO_STATUS_FEATURES_OK;
	(void)aero_virtio_balloon_host_set_status(&virtio->device, status);
}

static void read_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct sim_virtio *virtio = ctx;

	if (virtio->is_gone)
		memset(buf, 0xff, len);
	else
		(void)aero_virtio_balloon_host_config_read(&virtio->device, offset, buf, len);
}

static void write_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	struct sim_virtio *virtio = ctx;

	if (!virtio->is_gone)
		(void)aero_virtio_balloon_host_config_write(&virtio->device, offset, buf, len);
}

static uint32_t read_generation(void *ctx)
{
	struct sim_virtio *virtio = ctx;

	if (virtio->is_gone)
		return UINT32_MAX;
	return virtio->config.is_legacy ? 0 : virtio->generation;
}

static uint32_t queue_size(void *ctx, unsigned int index)
{
	struct sim_virtio *virtio = ctx;

	if (virtio->is_gone)
		return UINT16_MAX;
	return index < AERO_VIRTIO_BALLOON_QUEUES ? virtio->config.queue_size[index] : 0;
}

/* One area: descriptors, the available ring behind them, the used ring at the next boundary. */
static void place_legacy(struct sim_virtio *virtio, struct aero_virtio_queue_config *ring)
{
	uint64_t mask = virtio->transport.ring_align - 1;

	ring->driver = ring->desc + AERO_VIRTIO_SPLIT_DESC_BYTES(ring->size);
	ring->device = (ring->driver + AERO_VIRTIO_SPLIT_AVAIL_BYTES(ring->size) + mask) & ~mask;
}

static enum aero_status start_queue(void *ctx, unsigned int index,
				    const struct aero_virtio_ring *ring)
{
	struct sim_virtio *virtio = ctx;
	bool is_packed = has_bit(virtio->device.accepted.word[0], AERO_VIRTIO_F_RING_PACKED);
	struct aero_virtio_queue_config config = {
		.size = ring->size,
		.desc = ring->desc,
		.driver = ring->driver,
		.device = ring->device,
		.base = is_packed ? BASE_PACKED : 0,
	};

	if (virtio->is_gone || !ring->size || ring->size > queue_size(virtio, index))
		return AERO_EIO;
	if (virtio->config.is_legacy) {
		if (ring->size != queue_size(virtio, index))
			return AERO_EIO;
		place_legacy(virtio, &config);
	}
	if (aero_virtio_balloon_host_queue_start(&virtio->device, index, &config) != AERO_OK)
		return AERO_EIO;
	aero_virtio_balloon_host_queue_enable(&virtio->device, index, true);
	return AERO_OK;
}

static void notify(void *ctx, unsigned int index)
{
	struct sim_virtio *virtio = ctx;

	if (virtio->is_gone || virtio->is_silent)
		return;
	aero_virtio_balloon_host_kick(&virtio->device, index);
	if (virtio->is_eager)
		sim_virtio_run(virtio);
}

static uint32_t take_interrupts(void *ctx)
{
	struct sim_virtio *virtio = ctx;
	uint32_t why = virtio->pending;

	virtio->pending = 0;
	return virtio->is_gone ? UINT32_MAX : why;
}

static const struct aero_virtio_transport loopback = {
	.features = offered_features,
	.accept = accept_features,
	.status = read_status,
	.set_status = write_status,
	.config_read = read_config,
	.config_write = write_config,
	.generation = read_generation,
	.queue_size = queue_size,
	.queue_start = start_queue,
	.notify = notify,
	.take_interrupts = take_interrupts,
};

static void raise_queue(void *ctx, unsigned int index)
{
	struct sim_virtio *virtio = ctx;

	virtio->queue_interrupts[index]++;
	virtio->pending |= AERO_VIRTIO_INTERRUPT_QUEUE;
	if (virtio->interrupt)
		virtio->interrupt(virtio->hooks_ctx, AERO_VIRTIO_INTERRUPT_QUEUE, index);
}

static void raise_config(void *ctx)
{
	struct sim_virtio *virtio = ctx;

	virtio->generation = (virtio->generation + 1) & 0xff;
	virtio->config_interrupts++;
	virtio->pending |= AERO_VIRTIO_INTERRUPT_CONFIG;
	if (virtio->interrupt)
		virtio->interrupt(virtio->hooks_ctx, AERO_VIRTIO_INTERRUPT_CONFIG, 0);
}

static void pass_event(void *ctx, const struct aero_virtio_balloon_event *event)
{
	struct sim_virtio *virtio = ctx;

	if (virtio->event)
		virtio->event(virtio->hooks_ctx, event);
}

static void pass_hint(void *ctx, struct aero_range range)
{
	struct sim_virtio *virtio = ctx;

	if (virtio->hint)
		virtio->hint(virtio->hooks_ctx, range);
}

static const struct aero_virtio_balloon_ops ops = {
	.notify_queue = raise_queue,
	.notify_config = raise_config,
	.event = pass_event,
	.hint = pass_hint,
};

static void *get_node(void *ctx)
{
	void *page;

	(void)ctx;
	return posix_memalign(&page, AERO_NODE_BYTES, AERO_NODE_BYTES) ? NULL : page;
}

static void put_node(void *ctx, void *page)
{
	(void)ctx;
	free(page);
}

/* The specification's index of each optional feature, and the one without gaps before it. */
static void size_queues(struct sim_virtio_config *config)
{
	static const unsigned char optional[] = {
		AERO_VIRTIO_BALLOON_F_STATS_VQ,
		AERO_VIRTIO_BALLOON_F_FREE_PAGE_HINT,
		AERO_VIRTIO_BALLOON_F_PAGE_REPORTING,
	};
	unsigned int count = AERO_VIRTIO_BALLOON_VQ_STATS;

	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		if (config->queue_size[i])
			return;
	}
	for (unsigned int i = 0; i < sizeof(optional); i++) {
		if (!has_bit(config->offered, optional[i]))
			continue;
		config->queue_size[AERO_VIRTIO_BALLOON_VQ_STATS + i] = QUEUE_SIZE;
		count++;
	}
	for (unsigned int i = 0; i < count; i++)
		config->queue_size[i] = QUEUE_SIZE;
}

static void complete_config(struct sim_virtio_config *config)
{
	if (!config->offered)
		config->offered = aero_virtio_balloon_host_features().word[0];
	if (config->is_legacy)
		config->offered &= UINT32_MAX;
	if (!config->ring_align)
		config->ring_align = LEGACY_ALIGN;
	if (!config->nodes.get)
		config->nodes = (struct aero_node_source){ NULL, get_node, put_node };
	size_queues(config);
}

enum aero_status sim_virtio_init(struct sim_virtio *virtio, const struct sim_virtio_config *config)
{
	struct aero_virtio_balloon_config device = { 0 };

	memset(virtio, 0, sizeof(*virtio));
	virtio->config = *config;
	complete_config(&virtio->config);
	virtio->transport = loopback;
	virtio->transport.ctx = virtio;
	virtio->transport.is_legacy = config->is_legacy;
	virtio->transport.ring_align = config->is_legacy ? virtio->config.ring_align : 0;

	device.memory = config->memory;
	device.nodes = virtio->config.nodes;
	device.ops = &ops;
	device.ops_ctx = virtio;
	device.offered.word[0] = virtio->config.offered;
	device.mode = config->mode;
	device.config_bytes = config->config_bytes;
	device.idle_ns = config->idle_ns;
	device.is_big_endian_guest = config->is_big_endian_guest;
	return aero_virtio_balloon_host_init(&virtio->device, &device);
}

void sim_virtio_fini(struct sim_virtio *virtio)
{
	aero_virtio_balloon_host_fini(&virtio->device);
}

uint64_t sim_virtio_step(struct sim_virtio *virtio)
{
	if (virtio->is_gone || virtio->is_silent)
		return AERO_NEVER;
	return aero_virtio_balloon_host_step(&virtio->device, virtio->now_ns);
}

uint64_t sim_virtio_run(struct sim_virtio *virtio)
{
	uint64_t steps = 1;

	while (sim_virtio_step(virtio) <= virtio->now_ns)
		steps++;
	return steps;
}

void sim_virtio_need_reset(struct sim_virtio *virtio)
{
	virtio->extra_status |= AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET;
	raise_config(virtio);
}
