/* SPDX-License-Identifier: MIT */
#include "ports/sim/sim_virtio_pci.h"

#include <stdio.h>
#include <string.h>

#define WINDOW_BYTES 0x1000u
#define LEGACY_BYTES 0x40u
#define NO_VECTOR 0xffffu

/* The registers of the common configuration: their width, by offset. */
static const uint8_t common_width[56] = {
	[0] = 4,  [4] = 4,  [8] = 4,  [12] = 4, [16] = 2, [18] = 2, [20] = 1,
	[21] = 1, [22] = 2, [24] = 2, [26] = 2, [28] = 2, [30] = 2, [32] = 4,
	[36] = 4, [40] = 4, [44] = 4, [48] = 4, [52] = 4,
};

static const uint8_t legacy_width[24] = {
	[0] = 4,  [4] = 4,  [8] = 4,  [12] = 2, [14] = 2,
	[16] = 2, [18] = 1, [19] = 1, [20] = 2, [22] = 2,
};

void sim_virtio_pci_put(struct sim_virtio_pci *pci, uint32_t offset, unsigned int bytes,
			uint32_t value)
{
	for (unsigned int i = 0; i < bytes; i++)
		pci->config[(offset + i) % sizeof(pci->config)] = (uint8_t)(value >> 8 * i);
}

uint32_t sim_virtio_pci_get(const struct sim_virtio_pci *pci, uint32_t offset, unsigned int bytes)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < bytes; i++)
		value |= (uint32_t)pci->config[(offset + i) % sizeof(pci->config)] << 8 * i;
	return value;
}

static bool is_natural(uint32_t offset, unsigned int bytes)
{
	return (bytes == 1 || bytes == 2 || bytes == 4) && offset % bytes == 0;
}

static uint32_t config_read(void *ctx, uint32_t offset, unsigned int bytes)
{
	struct sim_virtio_pci *pci = ctx;
	uint32_t value = sim_virtio_pci_get(pci, offset, bytes);

	if (!is_natural(offset, bytes) || offset + bytes > sizeof(pci->config))
		sim_registers_violate(&pci->registers, "read of config", offset);
	sim_registers_note(&pci->registers, 'r', bytes, "config", offset, value);
	return value;
}

static uint64_t bar_bytes(void *ctx, unsigned int bar)
{
	struct sim_virtio_pci *pci = ctx;

	if (bar >= 6)
		sim_registers_violate(&pci->registers, "size of no BAR", bar);
	return bar < 6 ? pci->bar_bytes[bar] : 0;
}

static uint16_t allow_vector(const struct sim_virtio_pci *pci, uint32_t vector)
{
	return vector < pci->vectors ? (uint16_t)vector : NO_VECTOR;
}

static uint32_t read_queue(struct sim_registers *registers, uint32_t offset)
{
	struct sim_registers_queue *queue = sim_registers_queue(registers);

	switch (offset) {
	case 24:
		return queue->size ? queue->size : sim_registers_queue_size(registers);
	case 26:
		return queue->vector;
	case 28:
		return queue->is_ready;
	case 30:
		return registers->queue_select;
	default:
		sim_registers_violate(registers, "read of what is the driver's", offset);
		return 0;
	}
}

static uint32_t read_common(struct sim_registers *registers, uint32_t offset)
{
	const struct aero_virtio_transport *behind = registers->behind;

	switch (offset) {
	case 4:
		return sim_registers_features(registers);
	case 16:
		return registers->config_vector;
	case 18:
		return SIM_REGISTERS_QUEUES;
	case 20:
		return behind->status(behind->ctx);
	case 21:
		return behind->generation(behind->ctx) & 0xff;
	default:
		return read_queue(registers, offset);
	}
}

static void write_queue(struct sim_virtio_pci *pci, uint32_t offset, uint32_t value)
{
	struct sim_registers *registers = &pci->registers;
	struct sim_registers_queue *queue = sim_registers_queue(registers);

	if (offset >= 48)
		sim_registers_put_half(&queue->device, offset > 48, value);
	else if (offset >= 40)
		sim_registers_put_half(&queue->driver, offset > 40, value);
	else if (offset >= 32)
		sim_registers_put_half(&queue->desc, offset > 32, value);
	else if (offset == 24)
		queue->size = value;
	else if (offset == 26)
		queue->vector = allow_vector(pci, value);
	else if (offset == 28 && value == 1)
		sim_registers_start(registers);
	else
		sim_registers_violate(registers, "write of what is the device's", offset);
}

static void write_common(struct sim_virtio_pci *pci, uint32_t offset, uint32_t value)
{
	struct sim_registers *registers = &pci->registers;

	switch (offset) {
	case 0:
		registers->device_select = value;
		break;
	case 8:
		registers->driver_select = value;
		break;
	case 12:
		sim_registers_choose(registers, value);
		break;
	case 16:
		registers->config_vector = allow_vector(pci, value);
		break;
	case 20:
		sim_registers_set_status(registers, (uint8_t)value);
		break;
	case 22:
		registers->queue_select = value;
		break;
	default:
		write_queue(pci, offset, value);
	}
}

static uint32_t read_isr(struct sim_registers *registers)
{
	uint32_t isr = sim_registers_isr(registers);

	sim_registers_take(registers, UINT32_MAX);
	return isr & 3;
}

static uint32_t read_modern(struct sim_virtio_pci *pci, uint32_t offset, unsigned int bytes)
{
	struct sim_registers *registers = &pci->registers;
	uint32_t at = offset % WINDOW_BYTES;

	switch (offset - at) {
	case SIM_VIRTIO_PCI_COMMON:
		if (at < sizeof(common_width) && common_width[at] == bytes)
			return read_common(registers, at);
		break;
	case SIM_VIRTIO_PCI_ISR:
		if (!at && bytes == 1)
			return read_isr(registers);
		break;
	case SIM_VIRTIO_PCI_DEVICE:
		if (is_natural(at, bytes))
			return sim_registers_config_read(registers, at, bytes);
		break;
	default:
		break;
	}
	sim_registers_violate(registers, "read of no register", offset);
	return 0;
}

static void write_notify(struct sim_registers *registers, uint32_t at, uint32_t value)
{
	const struct aero_virtio_transport *behind = registers->behind;

	if (at != value * SIM_VIRTIO_PCI_MULTIPLIER)
		sim_registers_violate(registers, "notification of another queue", at);
	behind->notify(behind->ctx, value);
}

static void write_modern(struct sim_virtio_pci *pci, uint32_t offset, unsigned int bytes,
			 uint32_t value)
{
	struct sim_registers *registers = &pci->registers;
	uint32_t at = offset % WINDOW_BYTES;

	if (offset - at == SIM_VIRTIO_PCI_COMMON && at < sizeof(common_width) &&
	    common_width[at] == bytes)
		write_common(pci, at, value);
	else if (offset - at == SIM_VIRTIO_PCI_DEVICE && is_natural(at, bytes))
		sim_registers_config_write(registers, at, bytes, value);
	else if (offset - at == SIM_VIRTIO_PCI_NOTIFY && bytes == 2)
		write_notify(registers, at, value);
	else
		sim_registers_violate(registers, "write of no register", offset);
}

static uint32_t legacy_config(const struct sim_virtio_pci *pci)
{
	return pci->is_msix ? 24 : 20;
}

static uint32_t read_legacy(struct sim_virtio_pci *pci, uint32_t offset, unsigned int bytes)
{
	struct sim_registers *registers = &pci->registers;
	const struct aero_virtio_transport *behind = registers->behind;

	if (offset >= legacy_config(pci))
		return sim_registers_config_read(registers, offset - legacy_config(pci), bytes);
	if (legacy_width[offset] != bytes)
		sim_registers_violate(registers, "read of no register", offset);
	switch (offset) {
	case 0:
		registers->device_select = 0;
		return sim_registers_features(registers);
	case 8:
		return sim_registers_queue(registers)->pfn;
	case 12:
		return sim_registers_queue_size(registers);
	case 18:
		return behind->status(behind->ctx);
	case 19:
		return read_isr(registers);
	case 20:
		return registers->config_vector;
	case 22:
		return sim_registers_queue(registers)->vector;
	default:
		sim_registers_violate(registers, "read of what is the driver's", offset);
		return 0;
	}
}

/* One area; 0 would stop the queue, which a reset does as well. */
static void write_pfn(struct sim_registers *registers, uint32_t pfn)
{
	struct sim_registers_queue *queue = sim_registers_queue(registers);

	queue->desc = (aero_gpa)pfn << 12;
	sim_registers_start(registers);
	queue->pfn = queue->is_ready ? pfn : 0;
}

static void write_legacy(struct sim_virtio_pci *pci, uint32_t offset, unsigned int bytes,
			 uint32_t value)
{
	struct sim_registers *registers = &pci->registers;
	const struct aero_virtio_transport *behind = registers->behind;

	if (offset >= legacy_config(pci)) {
		sim_registers_config_write(registers, offset - legacy_config(pci), bytes, value);
		return;
	}
	if (legacy_width[offset] != bytes)
		sim_registers_violate(registers, "write of no register", offset);
	if (offset == 4) {
		sim_registers_choose(registers, value);
		sim_registers_accept(registers);
	} else if (offset == 8) {
		write_pfn(registers, value);
	} else if (offset == 14) {
		registers->queue_select = value;
	} else if (offset == 16) {
		behind->notify(behind->ctx, value);
	} else if (offset == 18) {
		sim_registers_set_status(registers, (uint8_t)value);
	} else if (offset == 20) {
		registers->config_vector = allow_vector(pci, value);
	} else if (offset == 22) {
		sim_registers_queue(registers)->vector = allow_vector(pci, value);
	} else {
		sim_registers_violate(registers, "write of what is the device's", offset);
	}
}

static const char *bar_name(unsigned int bar)
{
	static const char *const names[] = { "bar0", "bar1", "bar2", "bar3", "bar4", "bar5" };

	return bar < 6 ? names[bar] : "bar?";
}

/* Whether an access lies in a BAR; that it does not is a driver's mistake. */
static bool is_in_bar(struct sim_virtio_pci *pci, unsigned int bar, uint32_t offset,
		      unsigned int bytes)
{
	if ((uint64_t)offset + bytes <= bar_bytes(pci, bar))
		return true;
	sim_registers_violate(&pci->registers, "access outside of a BAR", offset);
	return false;
}

static uint32_t bar_read(void *ctx, unsigned int bar, uint32_t offset, unsigned int bytes)
{
	struct sim_virtio_pci *pci = ctx;
	uint32_t value = UINT32_MAX;

	if (!is_in_bar(pci, bar, offset, bytes))
		;
	else if (bar == SIM_VIRTIO_PCI_BAR)
		value = read_modern(pci, offset, bytes);
	else if (bar == AERO_VIRTIO_PCI_LEGACY_BAR)
		value = read_legacy(pci, offset, bytes);
	if (bytes < 4)
		value &= (1u << 8 * bytes) - 1;
	sim_registers_note(&pci->registers, 'r', bytes, bar_name(bar), offset, value);
	return value;
}

static void bar_write(void *ctx, unsigned int bar, uint32_t offset, unsigned int bytes,
		      uint32_t value)
{
	struct sim_virtio_pci *pci = ctx;

	sim_registers_note(&pci->registers, 'w', bytes, bar_name(bar), offset, value);
	if (!is_in_bar(pci, bar, offset, bytes))
		;
	else if (bar == SIM_VIRTIO_PCI_BAR)
		write_modern(pci, offset, bytes, value);
	else if (bar == AERO_VIRTIO_PCI_LEGACY_BAR)
		write_legacy(pci, offset, bytes, value);
}

static void put_capability(struct sim_virtio_pci *pci, uint32_t at, uint32_t next, uint32_t type,
			   uint32_t offset)
{
	bool is_long = type == 2 || type == 5;

	sim_virtio_pci_put(pci, at, 1, 0x09);
	sim_virtio_pci_put(pci, at + 1, 1, next);
	sim_virtio_pci_put(pci, at + 2, 1, is_long ? 20 : 16);
	sim_virtio_pci_put(pci, at + 3, 1, type);
	sim_virtio_pci_put(pci, at + 4, 1, type == 5 ? 0 : SIM_VIRTIO_PCI_BAR);
	sim_virtio_pci_put(pci, at + 8, 4, offset);
	sim_virtio_pci_put(pci, at + 12, 4, type == 5 ? 0 : WINDOW_BYTES);
	if (type == 2)
		sim_virtio_pci_put(pci, at + 16, 4, SIM_VIRTIO_PCI_MULTIPLIER);
}

static void put_capabilities(struct sim_virtio_pci *pci)
{
	sim_virtio_pci_put(pci, 0x06, 2, 0x0010);
	sim_virtio_pci_put(pci, 0x34, 1, SIM_VIRTIO_PCI_CAP_MSIX);
	sim_virtio_pci_put(pci, SIM_VIRTIO_PCI_CAP_MSIX, 1, 0x11);
	sim_virtio_pci_put(pci, SIM_VIRTIO_PCI_CAP_MSIX + 1, 1, SIM_VIRTIO_PCI_CAP_COMMON);
	put_capability(pci, SIM_VIRTIO_PCI_CAP_COMMON, SIM_VIRTIO_PCI_CAP_ISR, 1,
		       SIM_VIRTIO_PCI_COMMON);
	put_capability(pci, SIM_VIRTIO_PCI_CAP_ISR, SIM_VIRTIO_PCI_CAP_DEVICE, 3,
		       SIM_VIRTIO_PCI_ISR);
	put_capability(pci, SIM_VIRTIO_PCI_CAP_DEVICE, SIM_VIRTIO_PCI_CAP_NOTIFY, 4,
		       SIM_VIRTIO_PCI_DEVICE);
	put_capability(pci, SIM_VIRTIO_PCI_CAP_NOTIFY, SIM_VIRTIO_PCI_CAP_ACCESS, 2,
		       SIM_VIRTIO_PCI_NOTIFY);
	put_capability(pci, SIM_VIRTIO_PCI_CAP_ACCESS, 0, 5, 0);
}

void sim_virtio_pci_init(struct sim_virtio_pci *pci, enum sim_virtio_pci_kind kind,
			 const struct aero_virtio_transport *behind, char *text, size_t room)
{
	bool is_modern = kind == SIM_VIRTIO_PCI_MODERN;

	memset(pci, 0, sizeof(*pci));
	sim_registers_init(&pci->registers, behind, text, room);
	pci->function =
		(struct aero_pci_function){ pci, config_read, bar_read, bar_write, bar_bytes };
	sim_virtio_pci_put(pci, 0x00, 2, 0x1af4);
	sim_virtio_pci_put(pci, 0x02, 2, is_modern ? 0x1045 : 0x1002);
	sim_virtio_pci_put(pci, 0x08, 1, is_modern ? 1 : 0);
	if (kind != SIM_VIRTIO_PCI_LEGACY) {
		put_capabilities(pci);
		pci->bar_bytes[SIM_VIRTIO_PCI_BAR] = 4 * WINDOW_BYTES;
	}
	if (!is_modern)
		pci->bar_bytes[AERO_VIRTIO_PCI_LEGACY_BAR] = LEGACY_BYTES;
}
