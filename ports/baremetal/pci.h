/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_PCI_H
#define AEROSTAT_PORTS_BAREMETAL_PCI_H

/*
 * One PCI bus: its functions, their BARs, their interrupts. What lies behind bridges is found where
 * firmware has numbered it.
 */

#include "arch/arch_irq.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCI_BARS 6
#define PCI_ROUTES_MAX 32
#define PCI_NO_LINE 0xffffffffu

/* Addresses that the bus hands on: as the processor and as the bus has them. */
struct pci_window {
	uint64_t processor;
	uint64_t bus;
	uint64_t bytes; /* 0: none */
	uint64_t used;
};

/* Where the pin of a slot goes. */
struct pci_route {
	uint32_t slot;
	uint32_t pin; /* 1 to 4 */
	uint32_t line;
};

struct pci_host {
	/* Configuration space. ecam: where it is mapped; 0: ports of a PC. */
	uint64_t ecam;
	uint32_t bus_count;
	/* Firmware has assigned BARs and says in interrupt_line where a pin goes. */
	bool is_configured;
	struct pci_window memory; /* 32-bit BARs are taken from here */
	struct pci_window io;
	struct pci_route route[PCI_ROUTES_MAX];
	size_t route_count;
	uint32_t slot_mask; /* of slots, in routes */
};

struct pci_bar {
	uint64_t address; /* as the processor has it; a port where is_port */
	uint64_t bytes;	  /* 0: none */
	bool is_io;
	bool is_port;
};

struct pci_device {
	struct pci_host *host;
	uint32_t address; /* bus << 8 | slot << 3 | function */
	uint16_t vendor;
	uint16_t device;
	struct pci_bar bar[PCI_BARS];
	uint64_t table; /* MSI-X, once enabled: the vectors */
	uint32_t table_len;
};

uint32_t pci_read(const struct pci_device *device, uint32_t offset, unsigned int bytes);
void pci_write(const struct pci_device *device, uint32_t offset, unsigned int bytes,
	       uint32_t value);

/*
 * The function behind an address and every one before it, with the next one: start with address 0
 * and go on with the one after that found. false: there are no more.
 */
bool pci_find(struct pci_host *host, uint32_t vendor, uint32_t address, struct pci_device *out);

/* Assigns BARs where nobody has, turns on memory, ports and bus mastering. */
void pci_enable(struct pci_device *device);

/* Registers behind a BAR. */
uint32_t pci_bar_read(const struct pci_device *device, unsigned int bar, uint32_t offset,
		      unsigned int bytes);
void pci_bar_write(const struct pci_device *device, unsigned int bar, uint32_t offset,
		   unsigned int bytes, uint32_t value);

/* Turns MSI-X on, all vectors masked. false: the function has none, or no table that is mapped. */
bool pci_msix_enable(struct pci_device *device);

/* Sets a vector of its table, and unmasks it. */
void pci_msix_set(struct pci_device *device, uint32_t vector, const struct arch_message *message);

/* Where its interrupt pin goes, or PCI_NO_LINE. */
uint32_t pci_line(const struct pci_device *device);

#endif
