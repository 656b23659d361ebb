/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_SIM_VIRTIO_PCI_H
#define AEROSTAT_PORTS_SIM_VIRTIO_PCI_H

/*
 * A PCI function with the registers of a virtio balloon in front of any device: our own one by
 * sim_virtio.h, or a hostile one. It is a transitional device, a modern one, or a legacy one.
 *
 *	sim_virtio_pci_init(&pci, SIM_VIRTIO_PCI_MODERN, &virtio.transport, text, sizeof(text));
 *	aero_virtio_pci_init(&transport, &(struct aero_virtio_pci_config){ &pci.function, ... });
 *
 * The bytes of configuration space and the sizes of the BARs may be changed before; the registers
 * stay where they are: behind BAR 4, and for the legacy interface behind BAR 0.
 */

#include <aerostat/guest/virtio_pci.h>

#include "ports/sim/sim_registers.h"

#define SIM_VIRTIO_PCI_BAR 4u
#define SIM_VIRTIO_PCI_COMMON 0x0000u
#define SIM_VIRTIO_PCI_ISR 0x1000u
#define SIM_VIRTIO_PCI_DEVICE 0x2000u
#define SIM_VIRTIO_PCI_NOTIFY 0x3000u
#define SIM_VIRTIO_PCI_MULTIPLIER 4u

/* Where each capability lies in configuration space; in the list MSI-X comes first. */
#define SIM_VIRTIO_PCI_CAP_MSIX 0x98u
#define SIM_VIRTIO_PCI_CAP_COMMON 0x84u
#define SIM_VIRTIO_PCI_CAP_ISR 0x74u
#define SIM_VIRTIO_PCI_CAP_DEVICE 0x64u
#define SIM_VIRTIO_PCI_CAP_NOTIFY 0x50u
#define SIM_VIRTIO_PCI_CAP_ACCESS 0x40u

enum sim_virtio_pci_kind {
	SIM_VIRTIO_PCI_MODERN,
	SIM_VIRTIO_PCI_LEGACY,	     /* behind a legacy transport */
	SIM_VIRTIO_PCI_TRANSITIONAL, /* registers of both; behind says which ones work */
};

struct sim_virtio_pci {
	struct aero_pci_function function;
	struct sim_registers registers;
	uint8_t config[256];
	uint64_t bar_bytes[6];
	uint16_t vectors; /* that the device has; 0: none, and MSI-X is off */
	bool is_msix;	  /* on: legacy registers have vectors among them */
};

void sim_virtio_pci_init(struct sim_virtio_pci *pci, enum sim_virtio_pci_kind kind,
			 const struct aero_virtio_transport *behind, char *text, size_t room);

/* Numbers in configuration space. */
void sim_virtio_pci_put(struct sim_virtio_pci *pci, uint32_t offset, unsigned int bytes,
			uint32_t value);
uint32_t sim_virtio_pci_get(const struct sim_virtio_pci *pci, uint32_t offset, unsigned int bytes);

#endif
