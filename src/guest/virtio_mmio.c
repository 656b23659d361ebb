/* SPDX-License-Identifier: MIT */
/* virtio over memory mapped registers. The registers are in wire/virtio_mmio.h. */
#include <aerostat/guest/virtio_mmio.h>

#include "virtio_config.h"

#define REG(name) AERO_VIRTIO_MMIO_##name

#define LEGACY_PAGE_BYTES 4096u

static uint32_t get(const struct aero_virtio_mmio *mmio, uint32_t offset)
{
	return mmio->registers->read(mmio->registers->ctx, offset, 4);
}

static void put(const struct aero_virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
	mmio->registers->write(mmio->registers->ctx, offset, 4, value);
}

static uint32_t device_features(const struct aero_virtio_mmio *mmio, uint32_t word)
{
	put(mmio, REG(DEVICE_FEATURES_SELECT), word);
	return get(mmio, REG(DEVICE_FEATURES));
}

static void put_features(const struct aero_virtio_mmio *mmio, uint32_t word, uint32_t features)
{
	put(mmio, REG(DRIVER_FEATURES_SELECT), word);
	put(mmio, REG(DRIVER_FEATURES), features);
}

static uint64_t read_features(void *ctx)
{
	const struct aero_virtio_mmio *mmio = ctx;
	uint64_t features = device_features(mmio, 0);

	if (!mmio->transport.is_legacy)
		features |= (uint64_t)device_features(mmio, 1) << 32;
	return features;
}

static void accept_features(void *ctx, uint64_t features)
{
	const struct aero_virtio_mmio *mmio = ctx;

	put_features(mmio, 0, (uint32_t)features);
	if (!mmio->transport.is_legacy)
		put_features(mmio, 1, (uint32_t)(features >> 32));
}

static uint8_t read_status(void *ctx)
{
	return (uint8_t)get(ctx, REG(STATUS));
}

static void write_status(void *ctx, uint8_t status)
{
	put(ctx, REG(STATUS), status);
}

static void read_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	const struct aero_virtio_mmio_registers *registers =
		((const struct aero_virtio_mmio *)ctx)->registers;

	aero_virtio_config_read(registers->read, registers->ctx, REG(CONFIG) + offset, buf, len);
}

static void write_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	const struct aero_virtio_mmio_registers *registers =
		((const struct aero_virtio_mmio *)ctx)->registers;

	aero_virtio_config_write(registers->write, registers->ctx, REG(CONFIG) + offset, buf, len);
}

static uint32_t read_generation(void *ctx)
{
	const struct aero_virtio_mmio *mmio = ctx;

	return mmio->transport.is_legacy ? 0 : get(mmio, REG(GENERATION));
}

static uint32_t read_queue_size(void *ctx, unsigned int index)
{
	put(ctx, REG(QUEUE_SELECT), index);
	return get(ctx, REG(QUEUE_SIZE_MAX));
}

static void put_address(const struct aero_virtio_mmio *mmio, uint32_t offset, aero_gpa gpa)
{
	put(mmio, offset, (uint32_t)gpa);
	put(mmio, offset + 4, (uint32_t)(gpa >> 32));
}

static enum aero_status start_queue(void *ctx, unsigned int index,
				    const struct aero_virtio_ring *ring)
{
	const struct aero_virtio_mmio *mmio = ctx;

	put(mmio, REG(QUEUE_SELECT), index);
	if (get(mmio, REG(QUEUE_READY)))
		return AERO_EIO;
	put(mmio, REG(QUEUE_SIZE), ring->size);
	put_address(mmio, REG(QUEUE_DESC), ring->desc);
	put_address(mmio, REG(QUEUE_DRIVER), ring->driver);
	put_address(mmio, REG(QUEUE_DEVICE), ring->device);
	put(mmio, REG(QUEUE_READY), 1);
	return get(mmio, REG(QUEUE_READY)) == 1 ? AERO_OK : AERO_EIO;
}

/* The page size is told each time: a reset may have taken it away. */
static enum aero_status start_legacy_queue(void *ctx, unsigned int index,
					   const struct aero_virtio_ring *ring)
{
	const struct aero_virtio_mmio *mmio = ctx;
	uint64_t pfn = ring->desc / LEGACY_PAGE_BYTES;

	if (ring->desc % LEGACY_PAGE_BYTES || !pfn || pfn > UINT32_MAX)
		return AERO_EINVAL;
	put(mmio, REG(GUEST_PAGE_SIZE), LEGACY_PAGE_BYTES);
	put(mmio, REG(QUEUE_SELECT), index);
	if (get(mmio, REG(QUEUE_PFN)))
		return AERO_EIO;
	put(mmio, REG(QUEUE_SIZE), ring->size);
	put(mmio, REG(QUEUE_ALIGN), mmio->transport.ring_align);
	put(mmio, REG(QUEUE_PFN), (uint32_t)pfn);
	return get(mmio, REG(QUEUE_PFN)) == pfn ? AERO_OK : AERO_EIO;
}

static void notify(void *ctx, unsigned int index)
{
	put(ctx, REG(QUEUE_NOTIFY), index);
}

static uint32_t take_interrupts(void *ctx)
{
	uint32_t why =
		get(ctx, REG(INTERRUPT_STATUS)) & (REG(INTERRUPT_QUEUE) | REG(INTERRUPT_CONFIG));

	if (why)
		put(ctx, REG(INTERRUPT_ACK), why);
	return why;
}

static const struct aero_virtio_transport table = {
	.features = read_features,
	.accept = accept_features,
	.status = read_status,
	.set_status = write_status,
	.config_read = read_config,
	.config_write = write_config,
	.generation = read_generation,
	.queue_size = read_queue_size,
	.queue_start = start_queue,
	.notify = notify,
	.take_interrupts = take_interrupts,
};

enum aero_status aero_virtio_mmio_init(struct aero_virtio_mmio *mmio,
				       const struct aero_virtio_mmio_registers *registers,
				       uint32_t device_id)
{
	uint32_t version;

	mmio->registers = registers;
	if (get(mmio, REG(MAGIC)) != REG(MAGIC_VALUE))
		return AERO_ENOTSUP;
	version = get(mmio, REG(VERSION));
	if (version != REG(VERSION_MODERN) && version != REG(VERSION_LEGACY))
		return AERO_ENOTSUP;
	if (!device_id || get(mmio, REG(DEVICE_ID)) != device_id)
		return AERO_ENOTSUP;
	mmio->transport = table;
	mmio->transport.ctx = mmio;
	if (version == REG(VERSION_LEGACY)) {
		mmio->transport.is_legacy = true;
		mmio->transport.ring_align = LEGACY_PAGE_BYTES;
		mmio->transport.queue_start = start_legacy_queue;
	}
	return AERO_OK;
}
