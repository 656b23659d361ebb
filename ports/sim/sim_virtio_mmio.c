/* SPDX-License-Identifier: MIT */
#include "ports/sim/sim_virtio_mmio.h"

#include <string.h>

#define CONFIG 0x100u
#define WINDOW_BYTES 0x200u

static bool is_legacy(const struct sim_virtio_mmio *mmio)
{
	return mmio->version == 1;
}

static uint32_t read_identity(const struct sim_virtio_mmio *mmio, uint32_t offset)
{
	switch (offset) {
	case 0x000:
		return mmio->magic;
	case 0x004:
		return mmio->version;
	case 0x008:
		return mmio->device_id;
	default:
		return 0x4f524541;
	}
}

static uint32_t read_register(struct sim_virtio_mmio *mmio, uint32_t offset)
{
	struct sim_registers *registers = &mmio->registers;
	const struct aero_virtio_transport *behind = registers->behind;

	if (offset < 0x010)
		return read_identity(mmio, offset);
	if (offset == 0x010)
		return sim_registers_features(registers);
	if (offset == 0x034)
		return sim_registers_queue_size(registers);
	if (offset == 0x040 && is_legacy(mmio))
		return sim_registers_queue(registers)->pfn;
	if (offset == 0x044 && !is_legacy(mmio))
		return sim_registers_queue(registers)->is_ready;
	if (offset == 0x060)
		return sim_registers_isr(registers);
	if (offset == 0x070)
		return behind->status(behind->ctx);
	if (offset == 0x0fc && !is_legacy(mmio))
		return behind->generation(behind->ctx);
	sim_registers_violate(registers, "read of no register", offset);
	return 0;
}

static void write_pfn(struct sim_virtio_mmio *mmio, uint32_t pfn)
{
	struct sim_registers *registers = &mmio->registers;
	struct sim_registers_queue *queue = sim_registers_queue(registers);

	if (mmio->page_bytes != 4096 || mmio->align != registers->behind->ring_align)
		sim_registers_violate(registers, "page size or alignment", mmio->align);
	queue->desc = (aero_gpa)pfn * mmio->page_bytes;
	sim_registers_start(registers);
	queue->pfn = queue->is_ready ? pfn : 0;
}

static bool write_legacy(struct sim_virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case 0x028:
		mmio->page_bytes = value;
		return true;
	case 0x03c:
		mmio->align = value;
		return true;
	case 0x040:
		write_pfn(mmio, value);
		return true;
	default:
		return false;
	}
}

static bool write_modern(struct sim_virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
	struct sim_registers *registers = &mmio->registers;
	struct sim_registers_queue *queue = sim_registers_queue(registers);
	bool is_high = offset % 8 != 0;

	switch (offset) {
	case 0x044:
		if (value == 1)
			sim_registers_start(registers);
		return value == 1;
	case 0x080:
	case 0x084:
		sim_registers_put_half(&queue->desc, is_high, value);
		return true;
	case 0x090:
	case 0x094:
		sim_registers_put_half(&queue->driver, is_high, value);
		return true;
	case 0x0a0:
	case 0x0a4:
		sim_registers_put_half(&queue->device, is_high, value);
		return true;
	default:
		return false;
	}
}

static bool write_shared(struct sim_virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
	struct sim_registers *registers = &mmio->registers;

	switch (offset) {
	case 0x014:
		registers->device_select = value;
		return true;
	case 0x020:
		sim_registers_choose(registers, value);
		if (is_legacy(mmio))
			sim_registers_accept(registers);
		return true;
	case 0x024:
		registers->driver_select = value;
		return true;
	case 0x030:
		registers->queue_select = value;
		return true;
	case 0x038:
		sim_registers_queue(registers)->size = value;
		return true;
	case 0x050:
		registers->behind->notify(registers->behind->ctx, value);
		return true;
	case 0x064:
		sim_registers_take(registers, value);
		return true;
	case 0x070:
		sim_registers_set_status(registers, (uint8_t)value);
		return true;
	default:
		return false;
	}
}

/* Whether an access has the width that the rules want. */
static bool is_allowed(struct sim_virtio_mmio *mmio, uint32_t offset, unsigned int bytes)
{
	bool is_natural = (bytes == 1 || bytes == 2 || bytes == 4) && offset % bytes == 0;

	if (is_natural && offset + bytes <= WINDOW_BYTES && (bytes == 4 || offset >= CONFIG))
		return true;
	sim_registers_violate(&mmio->registers, "access of that width", offset);
	return false;
}

static uint32_t read_window(void *ctx, uint32_t offset, unsigned int bytes)
{
	struct sim_virtio_mmio *mmio = ctx;
	uint32_t value = UINT32_MAX;

	if (!is_allowed(mmio, offset, bytes))
		;
	else if (offset >= CONFIG)
		value = sim_registers_config_read(&mmio->registers, offset - CONFIG, bytes);
	else
		value = read_register(mmio, offset);
	sim_registers_note(&mmio->registers, 'r', bytes, "mmio", offset, value);
	return value;
}

static void write_window(void *ctx, uint32_t offset, unsigned int bytes, uint32_t value)
{
	struct sim_virtio_mmio *mmio = ctx;

	sim_registers_note(&mmio->registers, 'w', bytes, "mmio", offset, value);
	if (!is_allowed(mmio, offset, bytes))
		;
	else if (offset >= CONFIG)
		sim_registers_config_write(&mmio->registers, offset - CONFIG, bytes, value);
	else if (!write_shared(mmio, offset, value) &&
		 !(is_legacy(mmio) ? write_legacy : write_modern)(mmio, offset, value))
		sim_registers_violate(&mmio->registers, "write of no register", offset);
}

void sim_virtio_mmio_init(struct sim_virtio_mmio *mmio, const struct aero_virtio_transport *behind,
			  char *text, size_t room)
{
	memset(mmio, 0, sizeof(*mmio));
	sim_registers_init(&mmio->registers, behind, text, room);
	mmio->window = (struct aero_virtio_mmio_registers){ mmio, read_window, write_window };
	mmio->magic = 0x74726976;
	mmio->version = behind->is_legacy ? 1 : 2;
	mmio->device_id = 5;
}
