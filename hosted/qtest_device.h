/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_QTEST_DEVICE_H
#define AEROSTAT_HOSTED_QTEST_DEVICE_H

/*
 * virtio devices of a machine that is driven through the test protocol: found, set up as firmware
 * would, and ready for the transports of include/aerostat/guest.
 *
 * Machines "pc" and "q35" have PCI, "microvm" has memory mapped registers.
 */

#include "hosted/qtest.h"

#include <aerostat/guest/virtio_mmio.h>
#include <aerostat/guest/virtio_pci.h>

struct aero_qtest_pci {
	struct aero_pci_function function; /* ctx is this structure */
	struct aero_qtest *qtest;
	unsigned int slot; /* device on bus 0 */
	uint32_t bar_base[6];
	uint32_t bar_bytes[6];
	bool is_port[6];
};

struct aero_qtest_mmio {
	struct aero_virtio_mmio_registers registers; /* ctx is this structure */
	struct aero_qtest *qtest;
	uint64_t base;
};

/**
 * aero_qtest_pci_open() - Find a PCI function on bus 0 and set it up.
 * @pci:     Uninitialised; must not move while used.
 * @qtest:   Open; outlives it.
 * @vendor:  Id.
 * @devices: Ids, any of them.
 * @count:   How many.
 *
 * Shape:   function 0 of the first slot that has one. BARs are assigned and turned on, with bus
 *          mastering; the chipset's interrupt router is told to let INTx through to lines of the
 *          "ioapic". A 64-bit BAR lies below 4 GiB.
 * Owner:   nothing to close.
 * Errors:  AERO_ENOENT: there is none. Those of the connection, then the story says more.
 * Context: sleep.
 * Source:  PCI 3.0; data sheets of Intel's 82371SB (PIRQRC).
 */
enum aero_status aero_qtest_pci_open(struct aero_qtest_pci *pci, struct aero_qtest *qtest,
				     uint16_t vendor, const uint16_t *devices, size_t count);

/**
 * aero_qtest_mmio_open() - Find a virtio device among the memory mapped ones of a microvm.
 * @mmio:      Uninitialised; must not move while used.
 * @qtest:     Open; outlives it.
 * @device_id: As AERO_VIRTIO_ID_BALLOON.
 *
 * Shape:   looks through the places that QEMU has for them; most are empty.
 * Owner:   nothing to close.
 * Errors:  AERO_ENOENT: there is none. Those of the connection.
 * Context: sleep.
 * Source:  observed with QEMU 7.2: registers from 0xfeb00000 on, 512 bytes each, 8 or 24 places.
 */
enum aero_status aero_qtest_mmio_open(struct aero_qtest_mmio *mmio, struct aero_qtest *qtest,
				      uint32_t device_id);

#endif
