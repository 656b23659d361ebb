/* SPDX-License-Identifier: MIT */

/*
 * Source: Devicetree Specification 0.4; bindings of virtio,mmio, pci-host-ecam-generic (PCI Bus
 * Binding to Open Firmware) and arm,gic.
 */

#include "fdt_machine.h"
#include "options.h"
#include "text.h"

#define GIC_SHARED 0
#define GIC_SHARED_FIRST 32u
#define GIC_PRIVATE_FIRST 16u
#define GIC_EDGE 1u

/* "ranges" of a PCI host: three cells on the bus, two of the processor, two of size. */
#define RANGE_CELLS 7u
#define RANGE_KIND_SHIFT 24
#define RANGE_KIND_IO 1u
#define RANGE_KIND_MEMORY 2u
#define RANGES_MAX 8u
/* Of a window that begins with address 0, which means "none" in a BAR. */
#define FIRST_USED 0x1000u

#define SLOT_SHIFT 11

bool fdt_line(const struct fdt_property *interrupts, uint32_t cell, uint32_t cells,
	      struct fdt_line *out_line)
{
	uint64_t number = fdt_cells(interrupts, cell + (cells == 3), 1);

	if (cell + cells > interrupts->bytes / 4 || (cells != 1 && cells != 3))
		return false;
	out_line->is_edge = false;
	if (cells == 3) {
		number += fdt_cells(interrupts, cell, 1) == GIC_SHARED ? GIC_SHARED_FIRST
								       : GIC_PRIVATE_FIRST;
		out_line->is_edge = (fdt_cells(interrupts, cell + 2, 1) & 3) == GIC_EDGE;
	}
	out_line->number = (unsigned int)number;
	return true;
}

/* The first line of a node; one cell or three in all. */
static bool line_of(const struct fdt *fdt, const struct fdt_node *node, struct fdt_line *out_line)
{
	struct fdt_property interrupts;

	return fdt_get(fdt, node, "interrupts", &interrupts) &&
	       fdt_line(&interrupts, 0, interrupts.bytes / 4, out_line);
}

static bool is_usable(const struct fdt *fdt, const struct fdt_node *node)
{
	struct fdt_property status;

	return !fdt_get(fdt, node, "status", &status) || (status.bytes && status.value[0] == 'o');
}

static bool is_memory(const struct fdt *fdt, const struct fdt_node *node)
{
	struct fdt_property type;

	return fdt_get(fdt, node, "device_type", &type) && type.bytes == sizeof("memory") &&
	       !type.value[type.bytes - 1] && text_is_equal((const char *)type.value, "memory");
}

static void read_memory(const struct fdt *fdt, struct memory_map *map)
{
	struct fdt_node node = { 0 };
	uint64_t begin;
	uint64_t bytes;

	while (fdt_next(fdt, &node)) {
		if (!is_memory(fdt, &node) || !is_usable(fdt, &node))
			continue;
		for (uint32_t i = 0; fdt_reg(fdt, &node, i, &begin, &bytes); i++)
			memory_map_add(map, begin, bytes);
	}
}

/* What firmware keeps, and the tree itself. */
static void reserve(const struct fdt *fdt, struct memory_map *map)
{
	struct fdt_node node = { 0 };
	bool is_reserved = false;
	uint64_t begin;
	uint64_t bytes;

	for (uint32_t i = 0; fdt_reservation(fdt, i, &begin, &bytes); i++)
		memory_map_remove(map, begin, bytes);
	while (fdt_next(fdt, &node)) {
		if (node.depth == 2)
			is_reserved = text_is_equal(node.name, "reserved-memory");
		for (uint32_t i = 0; is_reserved && node.depth == 3; i++) {
			if (!fdt_reg(fdt, &node, i, &begin, &bytes))
				break;
			memory_map_remove(map, begin, bytes);
		}
	}
	memory_map_remove(map, (uintptr_t)fdt->blob, fdt->bytes);
}

static void read_command_line(const struct fdt *fdt, struct machine *out)
{
	struct fdt_node node = { 0 };
	struct fdt_property arguments;

	while (fdt_next(fdt, &node)) {
		if (node.depth == 2 && text_is_equal(node.name, "chosen") &&
		    fdt_get(fdt, &node, "bootargs", &arguments) && arguments.bytes &&
		    !arguments.value[arguments.bytes - 1])
			options_copy(out->command_line, (const char *)arguments.value);
	}
}

void fdt_machine_read_uart(const struct fdt *fdt, struct machine *out)
{
	struct fdt_node node = { 0 };
	struct fdt_line line;
	uint64_t bytes;

	while (fdt_next(fdt, &node)) {
		const struct uart_ops *ops = NULL;

		if (fdt_is(fdt, &node, "arm,pl011"))
			ops = &uart_pl011;
		else if (fdt_is(fdt, &node, "ns16550a"))
			ops = &uart_16550;
		if (!ops || !is_usable(fdt, &node) ||
		    !fdt_reg(fdt, &node, 0, &out->uart.base, &bytes))
			continue;
		out->uart.ops = ops;
		out->uart.shift = fdt_number(fdt, &node, "reg-shift", 0);
		out->has_uart_line = line_of(fdt, &node, &line);
		if (out->has_uart_line)
			out->uart_line = line.number;
		return;
	}
}

static void read_mmio(const struct fdt *fdt, struct machine *out)
{
	struct fdt_node node = { 0 };
	struct mmio_slot slot;
	struct fdt_line line;

	while (fdt_next(fdt, &node)) {
		if (!fdt_is(fdt, &node, "virtio,mmio") || !line_of(fdt, &node, &line) ||
		    !fdt_reg(fdt, &node, 0, &slot.base, &slot.bytes))
			continue;
		slot.line = line.number;
		slot.is_edge = line.is_edge;
		machine_add_mmio(out, &slot);
	}
}

static void read_windows(const struct fdt_property *ranges, struct pci_host *host)
{
	for (uint32_t i = 0; i < RANGES_MAX && (i + 1) * RANGE_CELLS <= ranges->bytes / 4; i++) {
		uint32_t at = i * RANGE_CELLS;
		uint64_t kind = fdt_cells(ranges, at, 1) >> RANGE_KIND_SHIFT & 3;
		struct pci_window window = {
			.bus = fdt_cells(ranges, at + 1, 2),
			.processor = fdt_cells(ranges, at + 3, 2),
			.bytes = fdt_cells(ranges, at + 5, 2),
		};

		window.used = window.bus ? 0 : FIRST_USED;
		if (kind == RANGE_KIND_IO)
			host->io = window;
		else if (kind == RANGE_KIND_MEMORY)
			host->memory = window;
	}
}

/* Entries: address on the bus (3 cells), pin, controller, its address, its interrupt. */
static void read_routes(const struct fdt *fdt, const struct fdt_property *map,
			struct pci_host *host)
{
	uint32_t at = 0;

	while (at + 5 < map->bytes / 4 && host->route_count < PCI_ROUTES_MAX) {
		struct pci_route *route = &host->route[host->route_count];
		struct fdt_node controller;
		struct fdt_line line;
		uint32_t cells;

		if (!fdt_find_handle(fdt, (uint32_t)fdt_cells(map, at + 4, 1), &controller))
			return;
		route->slot = (uint32_t)fdt_cells(map, at, 1) >> SLOT_SHIFT & 0x1f;
		route->pin = (uint32_t)fdt_cells(map, at + 3, 1);
		at += 5 + fdt_number(fdt, &controller, "#address-cells", 0);
		cells = fdt_number(fdt, &controller, "#interrupt-cells", 1);
		if (!fdt_line(map, at, cells, &line))
			return;
		route->line = line.number;
		host->route_count++;
		at += cells;
	}
}

static void read_pci(const struct fdt *fdt, struct machine *out)
{
	struct pci_host *host = &out->pci;
	struct fdt_property property;
	struct fdt_node node;
	uint64_t bytes;

	if (!fdt_find(fdt, "pci-host-ecam-generic", &node) ||
	    !fdt_reg(fdt, &node, 0, &host->ecam, &bytes))
		return;
	out->has_pci = true;
	host->bus_count = 1;
	if (fdt_get(fdt, &node, "ranges", &property))
		read_windows(&property, host);
	if (fdt_get(fdt, &node, "interrupt-map-mask", &property))
		host->slot_mask = (uint32_t)fdt_cells(&property, 0, 1) >> SLOT_SHIFT & 0x1f;
	if (fdt_get(fdt, &node, "interrupt-map", &property))
		read_routes(fdt, &property, host);
}

void fdt_machine_read(const struct fdt *fdt, struct machine *out)
{
	read_memory(fdt, &out->memory);
	reserve(fdt, &out->memory);
	read_command_line(fdt, out);
	read_mmio(fdt, out);
	read_pci(fdt, out);
}
