/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_BUS_H
#define AEROSTAT_PORTS_BAREMETAL_BUS_H

/*
 * Finds the balloon's device, on PCI or among the places for virtio registers, and brings it and
 * its interrupts to where Aerostat's transports can take it.
 */

#include "machine.h"

#include <aerostat/guest/virtio_mmio.h>
#include <aerostat/guest/virtio_pci.h>

/* Bits of AERO_VIRTIO_INTERRUPT_*; from interrupts. */
typedef void (*bus_interrupt)(void *ctx, uint32_t why);

struct bus {
	const struct aero_virtio_transport *transport;
	const char *name;      /* "pci", "pci-legacy", "mmio", "mmio-legacy" */
	const char *interrupt; /* "msix", "line", "poll" */

	/* Private. */
	union {
		struct aero_virtio_pci pci;
		struct aero_virtio_mmio mmio;
	} virtio;
	struct aero_pci_function function;
	struct aero_virtio_mmio_registers registers;
	struct pci_device device;
	bus_interrupt told;
	void *ctx;
};

/*
 * Options of the kernel: transport=pci, pci-legacy or mmio; interrupt=msix, line or poll. Without,
 * the best that there is. false: there is no such device. bus must not move afterwards.
 */
bool bus_find(struct bus *bus, struct machine *where, bus_interrupt told, void *ctx);

#endif
