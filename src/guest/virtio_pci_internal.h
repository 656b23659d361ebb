/* SPDX-License-Identifier: MIT */
#ifndef AERO_GUEST_VIRTIO_PCI_INTERNAL_H
#define AERO_GUEST_VIRTIO_PCI_INTERNAL_H

#include <aerostat/guest/virtio_pci.h>

#include "virtio_config.h"

/* Registers of the common configuration, or of the legacy interface. */
uint32_t aero_virtio_pci_get(const struct aero_virtio_pci *pci, uint32_t offset,
			     unsigned int bytes);
uint32_t aero_virtio_pci_get16(const struct aero_virtio_pci *pci, uint32_t offset);
void aero_virtio_pci_put16(const struct aero_virtio_pci *pci, uint32_t offset, uint32_t value);
void aero_virtio_pci_put32(const struct aero_virtio_pci *pci, uint32_t offset, uint32_t value);

/* Says which vector is for what, in these registers; answers whether the device took it. */
bool aero_virtio_pci_set_vectors(struct aero_virtio_pci *pci, uint32_t config_register,
				 uint32_t queue_register);

/* BAR 0, and what of the modern table is different; AERO_ENOTSUP where it is not there. */
enum aero_status aero_virtio_pci_init_legacy(struct aero_virtio_pci *pci);

#endif
