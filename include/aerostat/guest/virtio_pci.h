/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_GUEST_VIRTIO_PCI_H
#define AEROSTAT_GUEST_VIRTIO_PCI_H

/*
 * virtio over PCI: the modern interface (capabilities) and the legacy one (BAR 0, port I/O).
 *
 * The kernel enumerates the bus, assigns and maps BARs, turns on memory, I/O and bus mastering,
 * and sets up MSI-X or INTx; this file knows only what is virtio's. It looks for a function by
 * AERO_VIRTIO_PCI_VENDOR and the ids of wire/virtio_pci.h. MSI-X vectors are numbers of the
 * device's table; they are told to the device with the first queue after a reset.
 */

#include <aerostat/guest/virtio_transport.h>
#include <aerostat/status.h>
#include <aerostat/types.h>
#include <aerostat/wire/virtio_pci.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Queues that can be notified; there are none above. */
#define AERO_VIRTIO_PCI_QUEUES 8

/* One PCI function, as the kernel reaches it. bytes is 1, 2 or 4, offset a multiple of it. */
struct aero_pci_function {
	/* Handed back as the first argument of every member. */
	void *ctx;
	/* Configuration space, which is only read; numbers as the processor has them. */
	uint32_t (*config_read)(void *ctx, uint32_t offset, unsigned int bytes);
	/*
	 * Registers behind BAR 0 to 5, memory or I/O; a 64-bit BAR by its lower number. Numbers as
	 * the processor has them, read from little-endian registers.
	 */
	uint32_t (*bar_read)(void *ctx, unsigned int bar, uint32_t offset, unsigned int bytes);
	void (*bar_write)(void *ctx, unsigned int bar, uint32_t offset, unsigned int bytes,
			  uint32_t value);
	/*
	 * How many bytes of a BAR are mapped, 0 for none; a memory BAR and an I/O BAR alike.
	 * Capabilities that do not fit are passed over.
	 */
	uint64_t (*bar_bytes)(void *ctx, unsigned int bar);
};

struct aero_virtio_pci_config {
	const struct aero_pci_function *function; /* outlives the transport */
	bool is_legacy_wanted; /* the old interface, also where there is a new one */
	/*
	 * Of the MSI-X table, which is enabled: numbers, or AERO_VIRTIO_PCI_NO_VECTOR for one that
	 * is not wanted. Both NO_VECTOR: MSI-X is not enabled; INTx, or polling.
	 */
	uint16_t config_vector;
	uint16_t queue_vector;
};

/* A window into a BAR; private. */
struct aero_virtio_pci_window {
	uint32_t offset;
	uint32_t len; /* 0: not there */
	uint8_t bar;
};

/* Private but for transport; public so that it can be embedded. */
struct aero_virtio_pci {
	/* What is used most lies first: code that reaches it is shorter. */
	struct aero_virtio_pci_config config;
	/* By type of capability, AERO_VIRTIO_PCI_CAP_COMMON to _DEVICE; legacy: in BAR 0. */
	struct aero_virtio_pci_window window[AERO_VIRTIO_PCI_CAP_DEVICE + 1];
	uint32_t status_register;
	uint32_t notify_multiplier;
	uint32_t notify_offset[AERO_VIRTIO_PCI_QUEUES]; /* in the BAR; of started queues */
	bool is_msix;	       /* legacy: the layout of BAR 0 depends on it */
	bool is_config_vector; /* told to the device since its reset */
	struct aero_virtio_transport transport;
};

/**
 * aero_virtio_pci_init() - Find the virtio registers of a PCI function.
 * @pci:    Uninitialised; must not move while the transport is used.
 * @config: Copied.
 *
 * Shape:   fills in transport. Modern where the capabilities are there and not told otherwise, else
 *          legacy where that is there. Reads configuration space only. Of several capabilities of
 *          a type the first that lies within its BAR is taken, as far as BARs are mapped. Bytes of
 *          the device's configuration that are not there read as zero. take_interrupts() is there
 *          without MSI-X. queue_start() answers AERO_EIO also where a vector was refused, or where
 *          the place for notifications is odd or lies outside of its window.
 * Owner:   nothing is allocated; there is no fini.
 * Errors:  AERO_ENOTSUP: not a virtio device, or the interface wanted is not there. AERO_EPROTO:
 *          the list of capabilities does not end, or leaves its place.
 * Context: any.
 * Source:  VIRTIO 1.4, Virtio Over PCI Bus.
 */
enum aero_status aero_virtio_pci_init(struct aero_virtio_pci *pci,
				      const struct aero_virtio_pci_config *config);

#ifdef __cplusplus
}
#endif

#endif
