/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_GUEST_VIRTIO_MMIO_H
#define AEROSTAT_GUEST_VIRTIO_MMIO_H

/* virtio over memory mapped registers, version 2 and the legacy version 1. */

#include <aerostat/guest/virtio_transport.h>
#include <aerostat/status.h>
#include <aerostat/types.h>
#include <aerostat/wire/virtio_mmio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The registers of one device, as the kernel reaches them: bytes is 1, 2 or 4. */
struct aero_virtio_mmio_registers {
	/* Handed back as the first argument of every member. */
	void *ctx;
	uint32_t (*read)(void *ctx, uint32_t offset, unsigned int bytes);
	void (*write)(void *ctx, uint32_t offset, unsigned int bytes, uint32_t value);
};

/* Private but for transport; public so that it can be embedded. */
struct aero_virtio_mmio {
	struct aero_virtio_transport transport;
	const struct aero_virtio_mmio_registers *registers;
};

/**
 * aero_virtio_mmio_init() - Look at the registers of a device.
 * @mmio:      Uninitialised; must not move while the transport is used.
 * @registers: Outlives the transport.
 * @device_id: Expected, as AERO_VIRTIO_ID_BALLOON.
 *
 * Shape:   fills in transport; version 1 is legacy and is told a page size of 4096 with each queue.
 *          queue_start() answers AERO_EIO where the queue is in use or does not become ready.
 * Owner:   nothing is allocated; there is no fini.
 * Errors:  AERO_ENOTSUP: no virtio registers, another device or none (id 0), or another version.
 * Context: any.
 * Source:  VIRTIO 1.4, Virtio Over MMIO.
 */
enum aero_status aero_virtio_mmio_init(struct aero_virtio_mmio *mmio,
				       const struct aero_virtio_mmio_registers *registers,
				       uint32_t device_id);

#ifdef __cplusplus
}
#endif

#endif
