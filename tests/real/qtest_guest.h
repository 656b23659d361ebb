/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_REAL_QTEST_GUEST_H
#define AEROSTAT_TESTS_REAL_QTEST_GUEST_H

/*
 * A guest without a processor: our driver, on the simulated kernel, in the memory of a machine of
 * QEMU, whose device it drives through the test protocol.
 */

#include <aerostat/guest/virtio_balloon.h>
#include <jansson.h>

#include "ports/sim/sim_port.h"
#include "ports/sim/sim_virtio_record.h"
#include "qtest_transport.h"

struct guest_options {
	const char *socket;
	const char *memory;
	const char *transport; /* pci-modern, pci-legacy or mmio */
	char *stats;	       /* as the command has them */
	uint64_t bytes;
	uint64_t declined;
	uint32_t requests;
	uint32_t request_frames;
	uint32_t orders;
	enum aero_virtio_balloon_numbering numbering;
	bool has_irq; /* interrupts of the machine; else the device is asked now and then */
	bool has_poison;
	bool is_pulling;
	uint32_t poison;
};

struct guest {
	struct sim_port sim; /* first: the port's functions are called with the address of it */
	struct aero_port port;
	struct guest_options options;
	struct aero_qtest qtest;
	struct qtest_transport device;
	struct sim_virtio_record record;
	struct aero_virtio_memory span;
	struct aero_virtio_balloon_guest_config config;
	struct aero_virtio_balloon_guest drv;
	struct aero_memory_stats stats;
	uint8_t *ram;
	uint64_t frames;
	/* Of frames whose content is known, a mark that nobody but their owner may change. */
	uint64_t *marked;
	uint64_t irqs;
	uint64_t steps;
	uint64_t wrong_poison;
	bool is_stopped; /* by a command: suspended, or for good */
	bool is_over;
	const char *problem; /* an invariant that does not hold */
};

/* Connects, finds the device, makes the driver; a text is what failed. */
const char *guest_open(struct guest *guest, const struct guest_options *options);

/* NULL, or what is wrong: frames that are missing, rules that were broken. */
const char *guest_close(struct guest *guest);

/* The machine was reset: a new kernel finds the device anew. */
const char *guest_reboot(struct guest *guest);

/* A step of the driver, or of nothing; answers when the next is due. */
uint64_t guest_step(struct guest *guest);
uint64_t guest_now_ns(void);

/* Marks all memory that nobody uses; answers how many frames. check: how many changed. */
uint64_t guest_mark(struct guest *guest);
uint64_t guest_check_marks(const struct guest *guest);

/* Pairs of a tag and a value, separated by spaces; false if there is no such tag. */
bool guest_set_stats(struct guest *guest, char *text);

/* A line of the command channel, and its answer as an object. */
json_t *guest_command(struct guest *guest, char *line);

#endif
