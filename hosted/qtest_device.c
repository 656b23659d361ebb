/* SPDX-License-Identifier: MIT */
#include "hosted/qtest_device.h"

#include <string.h>

/* The ports through which PCI configuration space is reached. */
#define CONFIG_ADDRESS 0xcf8u
#define CONFIG_DATA 0xcfcu
#define CONFIG_ENABLE 0x80000000u

#define SLOTS 32
#define HEADER_COMMAND 0x04u
#define HEADER_BAR 0x10u
#define COMMAND_PORT_MEMORY_MASTER 0x0007u
#define BAR_IS_PORT 0x1u
#define BAR_IS_64 0x4u

/* Free on PCs: above what chipsets use, below firmware and interrupt controllers. */
#define PORT_FIRST 0xc000u
#define MEMORY_FIRST 0xe0000000u

/* The PCI to ISA bridge of machine "pc", in slot 1, and its routing of four interrupts. */
#define PIIX3_SLOT 1u
#define PIIX3_ID 0x70008086u
#define PIIX3_ROUTES 0x60u
#define PIIX3_LINES 0x0b0b0a0au

#define MMIO_BASE 0xfeb00000u
#define MMIO_STEP 0x200u
#define MMIO_PLACES 24

static uint32_t select_register(struct aero_qtest *qtest, unsigned int slot, uint32_t offset)
{
	aero_qtest_out(qtest, CONFIG_ADDRESS, 4, CONFIG_ENABLE | slot << 11 | (offset & ~3u));
	return CONFIG_DATA + (offset & 3);
}

static uint32_t slot_read(struct aero_qtest *qtest, unsigned int slot, uint32_t offset,
			  unsigned int bytes)
{
	return aero_qtest_in(qtest, select_register(qtest, slot, offset), bytes);
}

static void slot_write(struct aero_qtest *qtest, unsigned int slot, uint32_t offset,
		       unsigned int bytes, uint32_t value)
{
	aero_qtest_out(qtest, select_register(qtest, slot, offset), bytes, value);
}

static uint32_t config_read(void *ctx, uint32_t offset, unsigned int bytes)
{
	const struct aero_qtest_pci *pci = ctx;

	return slot_read(pci->qtest, pci->slot, offset, bytes);
}

static void config_write(const struct aero_qtest_pci *pci, uint32_t offset, unsigned int bytes,
			 uint32_t value)
{
	slot_write(pci->qtest, pci->slot, offset, bytes, value);
}

static uint32_t bar_read(void *ctx, unsigned int bar, uint32_t offset, unsigned int bytes)
{
	const struct aero_qtest_pci *pci = ctx;

	if (pci->is_port[bar])
		return aero_qtest_in(pci->qtest, pci->bar_base[bar] + offset, bytes);
	return aero_qtest_read(pci->qtest, (uint64_t)pci->bar_base[bar] + offset, bytes);
}

static void bar_write(void *ctx, unsigned int bar, uint32_t offset, unsigned int bytes,
		      uint32_t value)
{
	const struct aero_qtest_pci *pci = ctx;

	if (pci->is_port[bar])
		aero_qtest_out(pci->qtest, pci->bar_base[bar] + offset, bytes, value);
	else
		aero_qtest_write(pci->qtest, (uint64_t)pci->bar_base[bar] + offset, bytes, value);
}

static uint64_t bar_bytes(void *ctx, unsigned int bar)
{
	const struct aero_qtest_pci *pci = ctx;

	return bar < 6 ? pci->bar_bytes[bar] : 0;
}

static bool find_slot(struct aero_qtest_pci *pci, uint16_t vendor, const uint16_t *devices,
		      size_t count)
{
	for (pci->slot = 0; pci->slot < SLOTS; pci->slot++) {
		uint32_t id = slot_read(pci->qtest, pci->slot, 0, 4);

		for (size_t i = 0; i < count; i++) {
			if (id == ((uint32_t)devices[i] << 16 | vendor))
				return true;
		}
	}
	return false;
}

/* Sizes one BAR and gives it a place at *at or behind; answers how many registers it takes. */
static unsigned int place_bar(struct aero_qtest_pci *pci, unsigned int bar, uint32_t at[2])
{
	uint32_t offset = HEADER_BAR + 4 * bar;
	uint32_t low, mask, bytes, *next;

	config_write(pci, offset, 4, UINT32_MAX);
	low = config_read(pci, offset, 4);
	pci->is_port[bar] = low & BAR_IS_PORT;
	mask = pci->is_port[bar] ? low & ~3u : low & ~15u;
	if (!mask || mask == ~15u)
		return 1;
	bytes = mask & -mask;
	next = &at[pci->is_port[bar]];
	*next = (*next + bytes - 1) & ~(bytes - 1);
	pci->bar_base[bar] = *next;
	pci->bar_bytes[bar] = bytes;
	config_write(pci, offset, 4, *next);
	*next += bytes;
	if (pci->is_port[bar] || !(low & BAR_IS_64))
		return 1;
	config_write(pci, offset + 4, 4, 0);
	return 2;
}

static void route_interrupts(struct aero_qtest *qtest)
{
	if (slot_read(qtest, PIIX3_SLOT, 0, 4) == PIIX3_ID)
		slot_write(qtest, PIIX3_SLOT, PIIX3_ROUTES, 4, PIIX3_LINES);
}

enum aero_status aero_qtest_pci_open(struct aero_qtest_pci *pci, struct aero_qtest *qtest,
				     uint16_t vendor, const uint16_t *devices, size_t count)
{
	uint32_t at[2] = { MEMORY_FIRST, PORT_FIRST };

	memset(pci, 0, sizeof(*pci));
	pci->qtest = qtest;
	pci->function =
		(struct aero_pci_function){ pci, config_read, bar_read, bar_write, bar_bytes };
	if (!find_slot(pci, vendor, devices, count))
		return qtest->story.status ? qtest->story.status : AERO_ENOENT;
	for (unsigned int bar = 0; bar < 6;)
		bar += place_bar(pci, bar, at);
	config_write(pci, HEADER_COMMAND, 2, COMMAND_PORT_MEMORY_MASTER);
	route_interrupts(qtest);
	return qtest->story.status;
}

static uint32_t mmio_read(void *ctx, uint32_t offset, unsigned int bytes)
{
	const struct aero_qtest_mmio *mmio = ctx;

	return aero_qtest_read(mmio->qtest, mmio->base + offset, bytes);
}

static void mmio_write(void *ctx, uint32_t offset, unsigned int bytes, uint32_t value)
{
	const struct aero_qtest_mmio *mmio = ctx;

	aero_qtest_write(mmio->qtest, mmio->base + offset, bytes, value);
}

enum aero_status aero_qtest_mmio_open(struct aero_qtest_mmio *mmio, struct aero_qtest *qtest,
				      uint32_t device_id)
{
	mmio->qtest = qtest;
	mmio->registers = (struct aero_virtio_mmio_registers){ mmio, mmio_read, mmio_write };
	for (unsigned int i = 0; i < MMIO_PLACES; i++) {
		mmio->base = MMIO_BASE + i * MMIO_STEP;
		if (mmio_read(mmio, AERO_VIRTIO_MMIO_MAGIC, 4) == AERO_VIRTIO_MMIO_MAGIC_VALUE &&
		    mmio_read(mmio, AERO_VIRTIO_MMIO_DEVICE_ID, 4) == device_id)
			return qtest->story.status;
	}
	return qtest->story.status ? qtest->story.status : AERO_ENOENT;
}
