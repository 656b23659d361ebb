/* SPDX-License-Identifier: MIT */

/* Source: PCI Local Bus Specification 3.0, chapter 6; PCI Express Base Specification, 7.2.2. */

#include "pci.h"
#include "registers.h"

#define BUSES_MAX 256u
#define FUNCTIONS 8u

#define VENDOR 0x00
#define DEVICE 0x02
#define COMMAND 0x04
#define COMMAND_IO 0x0001u
#define COMMAND_MEMORY 0x0002u
#define COMMAND_MASTER 0x0004u
#define COMMAND_NO_PIN 0x0400u
#define STATUS 0x06
#define STATUS_CAPABILITIES 0x10u
#define HEADER 0x0e
#define HEADER_MANY_FUNCTIONS 0x80u
#define HEADER_BRIDGE 0x01u
#define BAR_0 0x10
#define BAR_IO 0x1u
#define BAR_64_BIT 0x4u
#define BRIDGE_SECONDARY 0x19
#define CAPABILITIES 0x34
#define CAPABILITIES_MAX 48
#define LINE 0x3c
#define PIN 0x3d

#define MSIX 0x11
#define MSIX_CONTROL 2
#define MSIX_SIZE 0x07ffu
#define MSIX_ON 0x8000u
#define MSIX_TABLE 4
#define MSIX_TABLE_BAR 0x7u
#define MSIX_ENTRY 16u

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc

static uint64_t ecam_of(const struct pci_device *device, uint32_t offset)
{
	return device->host->ecam + ((uint64_t)device->address << 12) + offset;
}

uint32_t pci_read(const struct pci_device *device, uint32_t offset, unsigned int bytes)
{
	if (device->host->ecam)
		return register_read(ecam_of(device, offset), bytes);
#if defined(__x86_64__)
	port_write(CONFIG_ADDRESS, 4, 0x80000000u | device->address << 8 | (offset & 0xfcu));
	return port_read((uint16_t)(CONFIG_DATA + offset % 4), bytes);
#else
	return 0xffffffffu;
#endif
}

void pci_write(const struct pci_device *device, uint32_t offset, unsigned int bytes, uint32_t value)
{
	if (device->host->ecam) {
		register_write(ecam_of(device, offset), bytes, value);
		return;
	}
#if defined(__x86_64__)
	port_write(CONFIG_ADDRESS, 4, 0x80000000u | device->address << 8 | (offset & 0xfcu));
	port_write((uint16_t)(CONFIG_DATA + offset % 4), bytes, value);
#endif
}

/* Buses behind a bridge are looked at, once firmware has given them a number. */
static void look_at_bridge(struct pci_host *host, const struct pci_device *device)
{
	uint32_t bus = pci_read(device, BRIDGE_SECONDARY, 1);

	if (host->is_configured && bus >= host->bus_count && bus < BUSES_MAX)
		host->bus_count = bus + 1;
}

bool pci_find(struct pci_host *host, uint32_t vendor, uint32_t address, struct pci_device *out)
{
	while (address < host->bus_count * 256) {
		uint32_t header;

		*out = (struct pci_device){ .host = host, .address = address };
		out->vendor = (uint16_t)pci_read(out, VENDOR, 2);
		header = pci_read(out, HEADER, 1);
		/* Without a first function there is none, and most have no other. */
		if (address % FUNCTIONS == 0 &&
		    (out->vendor == 0xffff || !(header & HEADER_MANY_FUNCTIONS)))
			address += FUNCTIONS;
		else
			address++;
		if (out->vendor == 0xffff)
			continue;
		if ((header & 0x7f) == HEADER_BRIDGE)
			look_at_bridge(host, out);
		out->device = (uint16_t)pci_read(out, DEVICE, 2);
		if (out->vendor == vendor)
			return true;
	}
	return false;
}

/* The size that a BAR says it has, by what it keeps of ones. */
static uint64_t bar_size(const struct pci_device *device, uint32_t offset, bool is_64_bit,
			 uint32_t flags)
{
	uint32_t low = pci_read(device, offset, 4);
	uint32_t high = is_64_bit ? pci_read(device, offset + 4, 4) : 0;
	uint64_t mask;

	pci_write(device, offset, 4, 0xffffffffu);
	mask = pci_read(device, offset, 4) & ~flags;
	pci_write(device, offset, 4, low);
	/* None; or a port, of which there are 65536 only. */
	if (!mask)
		return 0;
	if (!is_64_bit)
		return (0u - (uint32_t)mask) & (flags == 3 ? 0xffffu : 0xffffffffu);
	pci_write(device, offset + 4, 4, 0xffffffffu);
	mask |= (uint64_t)pci_read(device, offset + 4, 4) << 32;
	pci_write(device, offset + 4, 4, high);
	return 0 - mask;
}

/* As the bus has it; 0: there is no room. */
static uint64_t assign(struct pci_window *window, uint64_t bytes)
{
	uint64_t at = (window->bus + window->used + bytes - 1) & ~(bytes - 1);

	if (!window->bytes || at - window->bus + bytes > window->bytes)
		return 0;
	window->used = at - window->bus + bytes;
	return at;
}

/* Answers how many of the six registers it takes. */
static unsigned int set_bar(struct pci_device *device, unsigned int index)
{
	uint32_t offset = BAR_0 + 4 * index;
	uint32_t value = pci_read(device, offset, 4);
	bool is_io = value & BAR_IO;
	bool is_64_bit = !is_io && (value & BAR_64_BIT);
	struct pci_window *window = is_io ? &device->host->io : &device->host->memory;
	struct pci_bar *bar = &device->bar[index];
	uint64_t at = value & (is_io ? ~3u : ~15u);

	bar->is_io = is_io;
	bar->bytes = bar_size(device, offset, is_64_bit, is_io ? 3 : 15);
	if (is_64_bit)
		at |= (uint64_t)pci_read(device, offset + 4, 4) << 32;
	if (!device->host->is_configured && bar->bytes) {
		at = assign(window, bar->bytes);
		pci_write(device, offset, 4, (uint32_t)at);
		if (is_64_bit)
			pci_write(device, offset + 4, 4, (uint32_t)(at >> 32));
	}
	if (!at)
		bar->bytes = 0;
	bar->is_port = is_io && !window->bytes;
	bar->address = at + window->processor - window->bus;
	return is_64_bit ? 2 : 1;
}

void pci_enable(struct pci_device *device)
{
	uint32_t command = pci_read(device, COMMAND, 2) & ~(COMMAND_IO | COMMAND_MEMORY);

	/* Nothing answers while the registers hold sizes. */
	pci_write(device, COMMAND, 2, command);
	for (unsigned int i = 0; i < PCI_BARS;)
		i += set_bar(device, i);
	pci_write(device, COMMAND, 2,
		  (command | COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER) & ~COMMAND_NO_PIN);
}

uint32_t pci_bar_read(const struct pci_device *device, unsigned int bar, uint32_t offset,
		      unsigned int bytes)
{
#if defined(__x86_64__)
	if (device->bar[bar].is_port)
		return port_read((uint16_t)(device->bar[bar].address + offset), bytes);
#endif
	return register_read(device->bar[bar].address + offset, bytes);
}

void pci_bar_write(const struct pci_device *device, unsigned int bar, uint32_t offset,
		   unsigned int bytes, uint32_t value)
{
#if defined(__x86_64__)
	if (device->bar[bar].is_port) {
		port_write((uint16_t)(device->bar[bar].address + offset), bytes, value);
		return;
	}
#endif
	register_write(device->bar[bar].address + offset, bytes, value);
}

static uint32_t find_capability(const struct pci_device *device, uint32_t id)
{
	uint32_t at;

	if (!(pci_read(device, STATUS, 2) & STATUS_CAPABILITIES))
		return 0;
	at = pci_read(device, CAPABILITIES, 1) & ~3u;
	for (unsigned int i = 0; at && i < CAPABILITIES_MAX; i++) {
		if (pci_read(device, at, 1) == id)
			return at;
		at = pci_read(device, at + 1, 1) & ~3u;
	}
	return 0;
}

bool pci_msix_enable(struct pci_device *device)
{
	uint32_t at = find_capability(device, MSIX);
	uint32_t control;
	uint32_t table;
	const struct pci_bar *bar;

	if (!at)
		return false;
	control = pci_read(device, at + MSIX_CONTROL, 2);
	table = pci_read(device, at + MSIX_TABLE, 4);
	if ((table & MSIX_TABLE_BAR) >= PCI_BARS)
		return false;
	bar = &device->bar[table & MSIX_TABLE_BAR];
	table &= ~MSIX_TABLE_BAR;
	device->table_len = (control & MSIX_SIZE) + 1;
	if (bar->is_io || bar->bytes < (uint64_t)table + device->table_len * MSIX_ENTRY)
		return false;
	device->table = bar->address + table;
	for (uint32_t i = 0; i < device->table_len; i++)
		register_write(device->table + i * MSIX_ENTRY + 12, 4, 1);
	pci_write(device, at + MSIX_CONTROL, 2, control | MSIX_ON);
	return true;
}

void pci_msix_set(struct pci_device *device, uint32_t vector, const struct arch_message *message)
{
	uint64_t entry = device->table + vector * MSIX_ENTRY;

	register_write(entry, 4, (uint32_t)message->address);
	register_write(entry + 4, 4, (uint32_t)(message->address >> 32));
	register_write(entry + 8, 4, message->data);
	register_write(entry + 12, 4, 0);
}

uint32_t pci_line(const struct pci_device *device)
{
	const struct pci_host *host = device->host;
	uint32_t slot = device->address >> 3 & 0x1f & host->slot_mask;
	uint32_t pin = pci_read(device, PIN, 1);
	uint32_t line = pci_read(device, LINE, 1);

	if (!pin)
		return PCI_NO_LINE;
	if (host->is_configured)
		return line && line != 0xff ? line : PCI_NO_LINE;
	for (size_t i = 0; i < host->route_count; i++) {
		if (host->route[i].slot == slot && host->route[i].pin == pin)
			return host->route[i].line;
	}
	return PCI_NO_LINE;
}
