/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_SIM_VIRTIO_H
#define AEROSTAT_PORTS_SIM_VIRTIO_H

/*
 * Our virtio-balloon device as a driver in the same process sees it: a transport without registers.
 *
 *	struct sim_virtio virtio;
 *	struct sim_virtio_config config = { .memory = &sim.memory };
 *
 *	assert_int_equal(sim_virtio_init(&virtio, &config), AERO_OK);
 *	virtio.interrupt = on_interrupt;		may call the driver's interrupt()
 *	... driver on &virtio.transport ...
 *	aero_virtio_balloon_host_set_target(&virtio.device, 1000, &frames);
 *	virtio.now_ns = now_ns;
 *	sim_virtio_run(&virtio);			the device works until it has nothing to do
 *	sim_virtio_fini(&virtio);
 *
 * Registers in front of it: sim_virtio_pci.h, sim_virtio_mmio.h; a record of what a driver does:
 * sim_virtio_record.h. All of these go in front of any transport, this one or a hostile one.
 */

#include <aerostat/guest/virtio_transport.h>
#include <aerostat/host/virtio_balloon.h>

/* Zeroed but for memory: everything the device can offer, both numberings, 128 entries a queue. */
struct sim_virtio_config {
	const struct aero_host_memory *memory; /* outlives the device */
	struct aero_node_source nodes;	       /* get NULL: malloc */
	uint64_t offered;		       /* feature bits 0 to 63; 0: all */
	bool is_legacy;			       /* offers no bit above 31; rings in one piece */
	bool is_big_endian_guest;
	uint32_t ring_align; /* legacy; 0: 4096 */
	uint32_t config_bytes;
	enum aero_discard_mode mode;
	uint64_t idle_ns;
	/* All 0: every index that either numbering uses for what is offered; else as they are. */
	uint16_t queue_size[AERO_VIRTIO_BALLOON_QUEUES];
};

struct sim_virtio {
	struct aero_virtio_transport transport;
	struct aero_virtio_balloon device;

	/* To be set at any time. */
	uint64_t now_ns;
	bool is_eager;	      /* each notification is served before notify() returns */
	bool is_silent;	      /* notifications are lost, and run() does nothing */
	bool is_gone;	      /* unplugged: all reads are ones, nothing is taken */
	bool is_refusing;     /* does not keep FEATURES_OK */
	uint32_t slow_resets; /* so many reads of the status after writing 0 are still not 0 */
	/*
	 * Optional. An interrupt: AERO_VIRTIO_INTERRUPT_QUEUE with the queue's index, or _CONFIG.
	 * From within the device's work: no call of the device from here.
	 */
	void (*interrupt)(void *ctx, uint32_t why, unsigned int index);
	void (*event)(void *ctx, const struct aero_virtio_balloon_event *event);
	void (*hint)(void *ctx, struct aero_range range);
	void *hooks_ctx;

	/* To be read at any time. */
	uint64_t queue_interrupts[AERO_VIRTIO_BALLOON_QUEUES];
	uint64_t config_interrupts;
	uint64_t resets;
	uint32_t generation;
	uint32_t pending; /* what take_interrupts() answers next */

	/* Private. */
	struct sim_virtio_config config;
	uint8_t extra_status; /* the device's own bits */
	uint8_t old_status;
	uint32_t slow_reads;
	bool has_refused;
};

/* As aero_virtio_balloon_host_init(). virtio must not move. */
enum aero_status sim_virtio_init(struct sim_virtio *virtio, const struct sim_virtio_config *config);
void sim_virtio_fini(struct sim_virtio *virtio);

/* One step of the device: answers when to call again, as aero_virtio_balloon_host_step(). */
uint64_t sim_virtio_step(struct sim_virtio *virtio);

/* Steps until it is idle, at now_ns; answers how many. */
uint64_t sim_virtio_run(struct sim_virtio *virtio);

/* The device sets DEVICE_NEEDS_RESET and says so. */
void sim_virtio_need_reset(struct sim_virtio *virtio);

#endif
