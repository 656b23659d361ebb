/* SPDX-License-Identifier: MIT */

/*
 * A hostile PCI function or MMIO device against the driver's transports. Whatever it says, each
 * access lies in a BAR that is there and within its size, is aligned, and there are few of them.
 *
 * Input: the first byte is the kind: bit 0 MMIO, bit 1 legacy wanted, bits 2 and 3 vectors. PCI:
 * six sizes of BARs, 4 bytes each, then configuration space of 256 bytes. Then what registers read
 * as, each in its width; bytes that are missing read as 0.
 */

#include <aerostat/guest/virtio_mmio.h>
#include <aerostat/guest/virtio_pci.h>
#include <stdint.h>
#include <string.h>

#include "support/check.h"

#define MMIO_BYTES 0x200u
#define CONFIG_BYTES 256u
#define ACCESSES_MAX 4000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
	const uint8_t *data;
	size_t left;
	uint8_t config[CONFIG_BYTES];
	uint32_t bar_bytes[6];
	unsigned int accesses;
};

static uint32_t take(struct state *st, unsigned int bytes)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < bytes && st->left; i++, st->left--)
		value |= (uint32_t)*st->data++ << 8 * i;
	return value;
}

static void check_access(struct state *st, uint64_t offset, unsigned int bytes, uint64_t size)
{
	CHECK(bytes == 1 || bytes == 2 || bytes == 4);
	CHECK(offset % bytes == 0);
	CHECK(offset + bytes <= size);
	CHECK(++st->accesses < ACCESSES_MAX);
}

static uint32_t config_read(void *ctx, uint32_t offset, unsigned int bytes)
{
	struct state *st = ctx;
	uint32_t value = 0;

	check_access(st, offset, bytes, CONFIG_BYTES);
	for (unsigned int i = 0; i < bytes; i++)
		value |= (uint32_t)st->config[offset + i] << 8 * i;
	return value;
}

static uint32_t bar_read(void *ctx, unsigned int bar, uint32_t offset, unsigned int bytes)
{
	struct state *st = ctx;

	CHECK(bar < 6);
	check_access(st, offset, bytes, st->bar_bytes[bar]);
	return take(st, bytes);
}

static void bar_write(void *ctx, unsigned int bar, uint32_t offset, unsigned int bytes,
		      uint32_t value)
{
	struct state *st = ctx;

	CHECK(bar < 6);
	CHECK(bytes == 4 || value < 1u << 8 * bytes);
	check_access(st, offset, bytes, st->bar_bytes[bar]);
}

static uint64_t bar_bytes(void *ctx, unsigned int bar)
{
	const struct state *st = ctx;

	CHECK(bar < 6);
	return st->bar_bytes[bar];
}

static uint32_t mmio_read(void *ctx, uint32_t offset, unsigned int bytes)
{
	check_access(ctx, offset, bytes, MMIO_BYTES);
	CHECK(bytes == 4 || offset >= AERO_VIRTIO_MMIO_CONFIG);
	return take(ctx, bytes);
}

static void mmio_write(void *ctx, uint32_t offset, unsigned int bytes, uint32_t value)
{
	(void)value;
	check_access(ctx, offset, bytes, MMIO_BYTES);
	CHECK(bytes == 4 || offset >= AERO_VIRTIO_MMIO_CONFIG);
}

/* All of the table, as a driver of a balloon calls it and more. */
static void use(const struct aero_virtio_transport *transport)
{
	void *ctx = transport->ctx;
	uint8_t bytes[16];

	CHECK(!transport->is_legacy == !transport->ring_align);
	transport->set_status(ctx, 0);
	(void)transport->status(ctx);
	transport->accept(ctx, transport->features(ctx));
	for (unsigned int index = 0; index < 10; index++) {
		struct aero_virtio_ring ring = { transport->queue_size(ctx, index),
						 0x123456000ull << index, 0x1000, 0x2000 };

		if (transport->queue_start(ctx, index, &ring) == AERO_OK)
			transport->notify(ctx, index);
	}
	(void)transport->generation(ctx);
	for (uint32_t offset = 0; offset < 16; offset++) {
		transport->config_read(ctx, offset, bytes, 16 - offset);
		transport->config_write(ctx, offset, bytes, 16 - offset);
	}
	if (transport->take_interrupts)
		CHECK(transport->take_interrupts(ctx) <= 3);
}

static void use_mmio(struct state *st)
{
	struct aero_virtio_mmio_registers registers = { st, mmio_read, mmio_write };
	struct aero_virtio_mmio mmio;

	if (aero_virtio_mmio_init(&mmio, &registers, 5) == AERO_OK)
		use(&mmio.transport);
}

static void use_pci(struct state *st, uint8_t kind)
{
	struct aero_pci_function function = { st, config_read, bar_read, bar_write, bar_bytes };
	struct aero_virtio_pci_config config = {
		.function = &function,
		.is_legacy_wanted = kind & 2,
		.config_vector = kind & 4 ? 0 : AERO_VIRTIO_PCI_NO_VECTOR,
		.queue_vector = kind & 8 ? 1 : AERO_VIRTIO_PCI_NO_VECTOR,
	};
	struct aero_virtio_pci pci;

	for (unsigned int i = 0; i < 6; i++)
		st->bar_bytes[i] = take(st, 4);
	for (unsigned int i = 0; i < CONFIG_BYTES; i++)
		st->config[i] = (uint8_t)take(st, 1);
	if (aero_virtio_pci_init(&pci, &config) == AERO_OK)
		use(&pci.transport);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state st = { .data = data, .left = size };
	uint8_t kind = (uint8_t)take(&st, 1);

	if (kind & 1)
		use_mmio(&st);
	else
		use_pci(&st, kind);
	return 0;
}
