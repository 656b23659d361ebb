/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_GUEST_VIRTIO_PCI_H
#define AEROSTAT_GUEST_VIRTIO_PCI_H

/*
 * virtio over PCI: the modern interface (capabilities) and the legacy one (BAR 0, port I/O).
 *
 * The kernel enumerates the bus, assigns and maps BARs, turns on memory, I/O and bus mastering,
 * and sets up MSI-X or INTx; this file knows only what is virtio's. MSI-X vectors are numbers of
 * the device's table.
 */

#include <aerostat/guest/virtio_transport.h>
#include <aerostat/status.h>
#include <aerostat/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AERO_VIRTIO_PCI_VENDOR 0x1af4u
#define AERO_VIRTIO_PCI_BALLOON_MODERN 0x1045u
#define AERO_VIRTIO_PCI_BALLOON_TRANSITIONAL 0x1002u

/* No vector: interrupts by INTx, or none. */
#define AERO_VIRTIO_PCI_NO_VECTOR 0xffffu

/* One PCI function, as the kernel reaches it. bytes is 1, 2 or 4, offset a multiple of it. */
struct aero_pci_function {
	/* Handed back as the first argument of every member. */
	void *ctx;
	/* Configuration space; numbers as the processor has them. */
	uint32_t (*config_read)(void *ctx, uint32_t offset, unsigned int bytes);
	void (*config_write)(void *ctx, uint32_t offset, unsigned int bytes, uint32_t value);
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
	/* Of the MSI-X table, which is enabled; both NO_VECTOR: INTx or polling. */
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
	struct aero_virtio_transport transport;
	struct aero_virtio_pci_config config;
	struct aero_virtio_pci_window common;
	struct aero_virtio_pci_window notify;
	struct aero_virtio_pci_window isr;
	struct aero_virtio_pci_window device;
	uint32_t notify_multiplier;
	bool is_msix; /* legacy: the layout of BAR 0 depends on it */
};

/**
 * aero_virtio_pci_init() - Find the virtio registers of a PCI function.
 * @pci:    Uninitialised; must not move while the transport is used.
 * @config: Copied.
 *
 * Shape:   fills in transport. Modern where the capabilities are there and not told otherwise.
 *          touches no virtio register but to look for the old interface.
 * Owner:   nothing is allocated; there is no fini.
 * Errors:  AERO_ENOTSUP: not a virtio device, or the interface wanted is not there. AERO_EPROTO:
 *          the capabilities are a loop, or lie outside of their BARs.
 * Context: any.
 * Source:  VIRTIO 1.4, Virtio Over PCI Bus.
 */
enum aero_status aero_virtio_pci_init(struct aero_virtio_pci *pci,
				      const struct aero_virtio_pci_config *config);

#ifdef __cplusplus
}
#endif

#endif
