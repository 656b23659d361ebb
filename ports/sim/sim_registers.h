/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_SIM_REGISTERS_H
#define AEROSTAT_PORTS_SIM_REGISTERS_H

/*
 * What the register fronts of a virtio device share: the state behind the registers, a record of
 * every access as text, and the rules of access. The device is any transport, see sim_virtio.h.
 *
 * A line of the record is `r4 bar4 0x0004 0x10000002` or `w2 bar4 0x0016 0x0001`: read or write,
 * bytes, space (config, bar0 to bar5, mmio), offset, value in as many digits as it has.
 */

#include <stdarg.h>
#include <stdint.h>

#include <aerostat/guest/virtio_transport.h>

#define SIM_REGISTERS_QUEUES 8

struct sim_registers_queue {
	uint32_t size; /* as the driver wrote it; 0: not yet */
	aero_gpa desc;
	aero_gpa driver;
	aero_gpa device;
	uint32_t pfn;
	uint16_t vector;
	bool is_ready;
};

struct sim_registers {
	const struct aero_virtio_transport *behind;

	/* To be read at any time. text ends with NUL; clear with sim_registers_clear(). */
	char *text;
	uint64_t reads;
	uint64_t writes;
	uint64_t violations; /* of the rules of access */
	char violation[120]; /* the first one */
	uint64_t accepted;
	uint32_t queue_select;
	uint16_t config_vector;
	struct sim_registers_queue queue[SIM_REGISTERS_QUEUES];

	/* Private. */
	size_t room;
	size_t len;
	uint32_t device_select;
	uint32_t driver_select;
	uint32_t isr;
};

/* text: room for so many bytes, the rest is not kept; NULL: only counts. behind outlives it. */
void sim_registers_init(struct sim_registers *registers, const struct aero_virtio_transport *behind,
			char *text, size_t room);
void sim_registers_clear(struct sim_registers *registers);

/* A line of the record. space: as above. */
void sim_registers_note(struct sim_registers *registers, char what, unsigned int bytes,
			const char *space, uint32_t offset, uint32_t value);
void sim_registers_violate(struct sim_registers *registers, const char *what, uint32_t offset);

/* The selected word of features, and the driver's choice, told to the device by accept(). */
uint32_t sim_registers_features(const struct sim_registers *registers);
void sim_registers_choose(struct sim_registers *registers, uint32_t word);
void sim_registers_accept(struct sim_registers *registers);

/* Writing 0 clears what the driver wrote; FEATURES_OK tells the device its choice. */
void sim_registers_set_status(struct sim_registers *registers, uint8_t status);

/* The selected queue. size: of the device, 0 above the last. start: is_ready says whether. */
struct sim_registers_queue *sim_registers_queue(struct sim_registers *registers);
uint32_t sim_registers_queue_size(const struct sim_registers *registers);
void sim_registers_start(struct sim_registers *registers);

/* Half a 64-bit register. */
void sim_registers_put_half(aero_gpa *gpa, bool is_high, uint32_t value);

/* Interrupts that are not yet taken. take: takes those of mask. */
uint32_t sim_registers_isr(struct sim_registers *registers);
void sim_registers_take(struct sim_registers *registers, uint32_t mask);

/* Configuration space of the device as numbers. */
uint32_t sim_registers_config_read(struct sim_registers *registers, uint32_t offset,
				   unsigned int bytes);
void sim_registers_config_write(struct sim_registers *registers, uint32_t offset,
				unsigned int bytes, uint32_t value);

#endif
