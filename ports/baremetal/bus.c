/* SPDX-License-Identifier: MIT */
#include "bus.h"
#include "options.h"
#include "registers.h"
#include "text.h"

#include <aerostat/wire/virtio.h>

#define MMIO_DEVICE_ID 0x008

/* Vectors of MSI-X, where the device has both. */
#define VECTOR_CONFIG 0
#define VECTOR_QUEUE 1

static uint32_t config_read(void *ctx, uint32_t offset, unsigned int bytes)
{
	return pci_read(ctx, offset, bytes);
}

static uint32_t bar_read(void *ctx, unsigned int bar, uint32_t offset, unsigned int bytes)
{
	return pci_bar_read(ctx, bar, offset, bytes);
}

static void bar_write(void *ctx, unsigned int bar, uint32_t offset, unsigned int bytes,
		      uint32_t value)
{
	pci_bar_write(ctx, bar, offset, bytes, value);
}

static uint64_t bar_bytes(void *ctx, unsigned int bar)
{
	const struct pci_device *device = ctx;

	return bar < PCI_BARS ? device->bar[bar].bytes : 0;
}

static uint32_t mmio_read(void *ctx, uint32_t offset, unsigned int bytes)
{
	const struct mmio_slot *slot = ctx;

	return register_read(slot->base + offset, bytes);
}

static void mmio_write(void *ctx, uint32_t offset, unsigned int bytes, uint32_t value)
{
	const struct mmio_slot *slot = ctx;

	register_write(slot->base + offset, bytes, value);
}

static void on_config(void *ctx)
{
	struct bus *bus = ctx;

	bus->told(bus->ctx, AERO_VIRTIO_INTERRUPT_CONFIG);
}

static void on_queue(void *ctx)
{
	struct bus *bus = ctx;

	bus->told(bus->ctx, AERO_VIRTIO_INTERRUPT_QUEUE);
}

/* A line may be another device's as well. */
static void on_line(void *ctx)
{
	struct bus *bus = ctx;
	uint32_t why = bus->transport->take_interrupts(bus->transport->ctx);

	if (why)
		bus->told(bus->ctx, why);
}

static void on_any(void *ctx)
{
	struct bus *bus = ctx;

	bus->told(bus->ctx, AERO_VIRTIO_INTERRUPT_CONFIG | AERO_VIRTIO_INTERRUPT_QUEUE);
}

static bool allows(const char *options, const char *key, const char *value)
{
	return !options_has(options, key) || options_is(options, key, value);
}

/* Before the transport is made: it must know of the vectors. One alone is for both. */
static bool connect_messages(struct bus *bus, struct aero_virtio_pci_config *config)
{
	struct arch_message config_message;
	struct arch_message queue_message;
	struct arch_message any_message;

	if (!arch_message_connect(on_config, bus, &config_message) ||
	    !arch_message_connect(on_queue, bus, &queue_message) ||
	    !arch_message_connect(on_any, bus, &any_message) || !pci_msix_enable(&bus->device))
		return false;
	config->config_vector = VECTOR_CONFIG;
	config->queue_vector = bus->device.table_len > VECTOR_QUEUE ? VECTOR_QUEUE : VECTOR_CONFIG;
	if (config->queue_vector == VECTOR_CONFIG) {
		pci_msix_set(&bus->device, VECTOR_CONFIG, &any_message);
	} else {
		pci_msix_set(&bus->device, VECTOR_CONFIG, &config_message);
		pci_msix_set(&bus->device, VECTOR_QUEUE, &queue_message);
	}
	bus->interrupt = "msix";
	return true;
}

static void connect_line(struct bus *bus, const char *options, uint32_t line,
			 enum irq_trigger trigger)
{
	bus->interrupt = "poll";
	if (allows(options, "interrupt", "line") && line != PCI_NO_LINE &&
	    arch_irq_connect(line, trigger, on_line, bus))
		bus->interrupt = "line";
}

static bool take_pci(struct bus *bus, const char *options)
{
	struct aero_virtio_pci_config config = {
		.function = &bus->function,
		.is_legacy_wanted = options_is(options, "transport", "pci-legacy"),
		.config_vector = AERO_VIRTIO_PCI_NO_VECTOR,
		.queue_vector = AERO_VIRTIO_PCI_NO_VECTOR,
	};
	bool has_messages;

	bus->function = (struct aero_pci_function){
		&bus->device, config_read, bar_read, bar_write, bar_bytes,
	};
	pci_enable(&bus->device);
	has_messages = allows(options, "interrupt", "msix") && connect_messages(bus, &config);
	if (aero_virtio_pci_init(&bus->virtio.pci, &config) != AERO_OK)
		return false;
	bus->transport = &bus->virtio.pci.transport;
	bus->name = bus->transport->is_legacy ? "pci-legacy" : "pci";
	if (!has_messages)
		connect_line(bus, options, pci_line(&bus->device), IRQ_LEVEL);
	return true;
}

static bool find_pci(struct bus *bus, struct machine *where)
{
	uint32_t at = 0;

	while (where->has_pci && pci_find(&where->pci, AERO_VIRTIO_PCI_VENDOR, at, &bus->device)) {
		at = bus->device.address + 1;
		if (bus->device.device != AERO_VIRTIO_PCI_BALLOON_MODERN &&
		    bus->device.device != AERO_VIRTIO_PCI_BALLOON_TRANSITIONAL)
			continue;
		if (take_pci(bus, where->command_line))
			return true;
	}
	return false;
}

/* Most places are empty: only the one that says it has a balloon is looked at closely. */
static bool find_mmio(struct bus *bus, struct machine *where)
{
	for (size_t i = 0; i < where->mmio_count; i++) {
		const struct mmio_slot *slot = &where->mmio[i];

		if (register_read(slot->base + MMIO_DEVICE_ID, 4) != AERO_VIRTIO_ID_BALLOON)
			continue;
		bus->registers = (struct aero_virtio_mmio_registers){ (void *)(uintptr_t)slot,
								      mmio_read, mmio_write };
		if (aero_virtio_mmio_init(&bus->virtio.mmio, &bus->registers,
					  AERO_VIRTIO_ID_BALLOON) != AERO_OK)
			continue;
		bus->transport = &bus->virtio.mmio.transport;
		bus->name = bus->transport->is_legacy ? "mmio-legacy" : "mmio";
		connect_line(bus, where->command_line, slot->line,
			     slot->is_edge ? IRQ_EDGE : IRQ_LEVEL);
		return true;
	}
	return false;
}

bool bus_find(struct bus *bus, struct machine *where, bus_interrupt told, void *ctx)
{
	const char *options = where->command_line;

	bus->told = told;
	bus->ctx = ctx;
	if ((allows(options, "transport", "pci") || allows(options, "transport", "pci-legacy")) &&
	    find_pci(bus, where))
		return true;
	return allows(options, "transport", "mmio") && find_mmio(bus, where);
}
