/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_MACHINE_H
#define AEROSTAT_PORTS_BAREMETAL_MACHINE_H

/* What a machine is made of, however it was found out. */

#include "memory_map.h"
#include "pci.h"
#include "uart.h"

#define MACHINE_MMIO_MAX 64
#define MACHINE_COMMAND_LINE_MAX 2048

/* A place where virtio registers may be; an empty one has device id 0. */
struct mmio_slot {
	uint64_t base;
	uint64_t bytes;
	unsigned int line;
	bool is_edge;
};

struct machine {
	struct memory_map memory;
	struct uart uart;
	unsigned int uart_line;
	bool has_uart_line;
	struct mmio_slot mmio[MACHINE_MMIO_MAX];
	size_t mmio_count;
	struct pci_host pci;
	bool has_pci;
	char command_line[MACHINE_COMMAND_LINE_MAX];
};

/* The one that runs. */
extern struct machine machine;

void machine_add_mmio(struct machine *machine, const struct mmio_slot *slot);

#endif
