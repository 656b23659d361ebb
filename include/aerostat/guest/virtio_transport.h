/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_GUEST_VIRTIO_TRANSPORT_H
#define AEROSTAT_GUEST_VIRTIO_TRANSPORT_H

/*
 * How a virtio driver reaches its device: one table, whatever lies behind it.
 *
 * Ready-made: PCI, modern and legacy (guest/virtio_pci.h), and MMIO, version 2 and 1
 * (guest/virtio_mmio.h). A kernel with a virtio bus of its own fills the table in itself.
 *
 * No member may fail but those that say so: a device that is gone reads as ones. Context of all
 * members: atomic, one at a time, but for take_interrupts(), which may run beside any of them.
 */

#include <aerostat/status.h>
#include <aerostat/types.h>

/* What an interrupt was for: bits of take_interrupts(). */
#define AERO_VIRTIO_INTERRUPT_QUEUE 1u
#define AERO_VIRTIO_INTERRUPT_CONFIG 2u

/* Where a ring lies. Legacy: the three parts are one area, from desc on. */
struct aero_virtio_ring {
	uint32_t size;
	aero_gpa desc;
	aero_gpa driver;
	aero_gpa device;
};

struct aero_virtio_transport {
	/* Handed back as the first argument of every member. */
	void *ctx;

	/* The interface before VERSION_1: rings in one piece, of the size the device says. */
	bool is_legacy;

	/* Legacy: the used ring is aligned to this in its area; 4096 with PCI. Else 0. */
	uint32_t ring_align;

	/* Offered feature bits 0 to 63. */
	uint64_t (*features)(void *ctx);

	/* Writes the accepted ones; FEATURES_OK is the driver's to set. */
	void (*accept)(void *ctx, uint64_t features);

	/* The device status; writing 0 resets. A device that is gone reads 0xff. */
	uint8_t (*status)(void *ctx);
	void (*set_status)(void *ctx, uint8_t status);

	/*
	 * Configuration space: bytes as they are there. Accesses of 4 bytes at offsets that are
	 * multiples of 4 are one access. generation changes with the contents; 0 for ever where the
	 * transport has none.
	 */
	void (*config_read)(void *ctx, uint32_t offset, void *buf, uint32_t len);
	void (*config_write)(void *ctx, uint32_t offset, const void *buf, uint32_t len);
	uint32_t (*generation)(void *ctx);

	/* Entries of a queue at most; 0: there is none. */
	uint32_t (*queue_size)(void *ctx, unsigned int index);

	/*
	 * Tells the device of a ring; size may be smaller than queue_size() but with legacy.
	 * AERO_EINVAL: the transport cannot say such an address. AERO_EIO: it did not take it.
	 */
	enum aero_status (*queue_start)(void *ctx, unsigned int index,
					const struct aero_virtio_ring *ring);

	/* The device has something to look at in a queue. */
	void (*notify)(void *ctx, unsigned int index);

	/*
	 * Why the device interrupted, and that it was seen. NULL: the kernel knows (MSI-X) and says
	 * it to the driver. Context: any, interrupts as well.
	 */
	uint32_t (*take_interrupts)(void *ctx);
};

#endif
