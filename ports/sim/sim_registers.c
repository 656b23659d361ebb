/* SPDX-License-Identifier: MIT */
#include "ports/sim/sim_registers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <aerostat/wire/virtio.h>

#define NO_VECTOR 0xffffu

static void forget_driver(struct sim_registers *registers)
{
	registers->accepted = 0;
	registers->queue_select = 0;
	registers->device_select = 0;
	registers->driver_select = 0;
	registers->isr = 0;
	registers->config_vector = NO_VECTOR;
	memset(registers->queue, 0, sizeof(registers->queue));
	for (unsigned int i = 0; i < SIM_REGISTERS_QUEUES; i++)
		registers->queue[i].vector = NO_VECTOR;
}

void sim_registers_init(struct sim_registers *registers, const struct aero_virtio_transport *behind,
			char *text, size_t room)
{
	memset(registers, 0, sizeof(*registers));
	registers->behind = behind;
	registers->text = text;
	registers->room = text ? room : 0;
	sim_registers_clear(registers);
	forget_driver(registers);
}

void sim_registers_clear(struct sim_registers *registers)
{
	registers->len = 0;
	registers->reads = 0;
	registers->writes = 0;
	if (registers->room)
		registers->text[0] = '\0';
}

void sim_registers_note(struct sim_registers *registers, char what, unsigned int bytes,
			const char *space, uint32_t offset, uint32_t value)
{
	size_t room = registers->room - registers->len;
	int len;

	if (what == 'r')
		registers->reads++;
	else
		registers->writes++;
	if (!room)
		return;
	len = snprintf(registers->text + registers->len, room,
		       "%c%u %s 0x%04" PRIx32 " 0x%0*" PRIx32 "\n", what, bytes, space, offset,
		       (int)(2 * bytes), value);
	if (len < 0 || (size_t)len >= room)
		registers->text[registers->len] = '\0';
	else
		registers->len += (size_t)len;
}

void sim_registers_violate(struct sim_registers *registers, const char *what, uint32_t offset)
{
	if (!registers->violations++)
		snprintf(registers->violation, sizeof(registers->violation), "%s: 0x%" PRIx32, what,
			 offset);
}

uint32_t sim_registers_features(const struct sim_registers *registers)
{
	const struct aero_virtio_transport *behind = registers->behind;

	if (registers->device_select > 1)
		return 0;
	return (uint32_t)(behind->features(behind->ctx) >> 32 * registers->device_select);
}

void sim_registers_choose(struct sim_registers *registers, uint32_t word)
{
	unsigned int shift = 32 * (registers->driver_select & 1);

	if (registers->driver_select > 1)
		return;
	registers->accepted &= ~((uint64_t)UINT32_MAX << shift);
	registers->accepted |= (uint64_t)word << shift;
}

void sim_registers_accept(struct sim_registers *registers)
{
	registers->behind->accept(registers->behind->ctx, registers->accepted);
}

void sim_registers_set_status(struct sim_registers *registers, uint8_t status)
{
	const struct aero_virtio_transport *behind = registers->behind;
	uint8_t old = behind->status(behind->ctx);

	if (!status)
		forget_driver(registers);
	else if (old & ~status & ~(unsigned int)AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET)
		sim_registers_violate(registers, "a bit of the status was cleared", status);
	if (status & ~old & AERO_VIRTIO_STATUS_FEATURES_OK)
		sim_registers_accept(registers);
	behind->set_status(behind->ctx, status);
}

struct sim_registers_queue *sim_registers_queue(struct sim_registers *registers)
{
	return &registers->queue[registers->queue_select % SIM_REGISTERS_QUEUES];
}

uint32_t sim_registers_queue_size(const struct sim_registers *registers)
{
	const struct aero_virtio_transport *behind = registers->behind;

	if (registers->queue_select >= SIM_REGISTERS_QUEUES)
		return 0;
	return behind->queue_size(behind->ctx, registers->queue_select);
}

void sim_registers_start(struct sim_registers *registers)
{
	const struct aero_virtio_transport *behind = registers->behind;
	struct sim_registers_queue *queue = sim_registers_queue(registers);
	struct aero_virtio_ring ring = {
		queue->size ? queue->size : sim_registers_queue_size(registers),
		queue->desc,
		queue->driver,
		queue->device,
	};

	if (registers->queue_select >= SIM_REGISTERS_QUEUES)
		sim_registers_violate(registers, "start of no queue", registers->queue_select);
	else if (queue->is_ready)
		sim_registers_violate(registers, "start of a queue twice", registers->queue_select);
	else
		queue->is_ready =
			behind->queue_start(behind->ctx, registers->queue_select, &ring) == AERO_OK;
}

void sim_registers_put_half(aero_gpa *gpa, bool is_high, uint32_t value)
{
	unsigned int shift = is_high ? 32 : 0;

	*gpa &= ~((uint64_t)UINT32_MAX << shift);
	*gpa |= (uint64_t)value << shift;
}

uint32_t sim_registers_isr(struct sim_registers *registers)
{
	const struct aero_virtio_transport *behind = registers->behind;

	if (behind->take_interrupts)
		registers->isr |= behind->take_interrupts(behind->ctx);
	return registers->isr;
}

void sim_registers_take(struct sim_registers *registers, uint32_t mask)
{
	registers->isr &= ~mask;
}

uint32_t sim_registers_config_read(struct sim_registers *registers, uint32_t offset,
				   unsigned int bytes)
{
	const struct aero_virtio_transport *behind = registers->behind;
	uint8_t buf[4] = { 0 };

	behind->config_read(behind->ctx, offset, buf, bytes);
	return (uint32_t)buf[0] | (uint32_t)buf[1] << 8 | (uint32_t)buf[2] << 16 |
	       (uint32_t)buf[3] << 24;
}

void sim_registers_config_write(struct sim_registers *registers, uint32_t offset,
				unsigned int bytes, uint32_t value)
{
	const struct aero_virtio_transport *behind = registers->behind;
	uint8_t buf[4] = { (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
			   (uint8_t)(value >> 24) };

	behind->config_write(behind->ctx, offset, buf, bytes);
}
