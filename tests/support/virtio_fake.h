/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_VIRTIO_FAKE_H
#define AEROSTAT_TESTS_SUPPORT_VIRTIO_FAKE_H

/*
 * A virtio-balloon device that a test plays by hand, for drivers behind a transport. Written from
 * the specification alone, on tests/support/virtio_device.h: it answers nothing by itself but
 * registers.
 *
 *	virtio_fake_init(&fake, &memory, ...);		every queue, every feature
 *	... driver on &fake.transport starts ...
 *	virtio_fake_target(&fake, 300);			and tell the driver of the interrupt
 *	n = virtio_fake_request(&fake, 0);		what it inflates: fake.numbers[0 .. n - 1]
 *	virtio_fake_answer(&fake, 0, 0);
 *
 * It keeps account of which frames it was given and of what a driver must not do; the first thing
 * that one did is kept as text. Nothing aborts but for a driver that breaks a ring.
 */

#include <aerostat/guest/virtio_transport.h>
#include <aerostat/memory.h>

#include "support/virtio_device.h"

#define VIRTIO_FAKE_QUEUES 5
#define VIRTIO_FAKE_FLYING 64		    /* requests taken and not answered, of a queue */
#define VIRTIO_FAKE_FRAMES (1u << 17)	    /* numbers below this are kept account of */
#define VIRTIO_FAKE_NUMBERS 20000	    /* in one request */
#define VIRTIO_FAKE_GONE_FOREVER UINT32_MAX /* slow_resets: one that never ends */

/* What became of a frame. */
enum virtio_fake_frame {
	VIRTIO_FAKE_GUEST = 0, /* the guest's */
	VIRTIO_FAKE_ASKED,     /* in an inflate request that is not answered */
	VIRTIO_FAKE_GIVEN,     /* in the balloon */
	VIRTIO_FAKE_LEAVING,   /* in a deflate request that is not answered */
};

struct virtio_fake_queue {
	struct virtio_device ring;
	bool is_up;
	bool is_wild; /* the test writes into the ring itself: nothing can be taken any more */
	uint64_t notified;
	uint64_t answered;
	struct virtio_device_chain flying[VIRTIO_FAKE_FLYING]; /* oldest first */
	unsigned int flying_count;
};

struct virtio_fake {
	struct aero_virtio_transport transport;

	/* What it says; to be set at any time. */
	uint64_t offered;
	uint32_t queue_size[VIRTIO_FAKE_QUEUES];
	uint8_t config[16];
	uint32_t config_bytes;
	uint32_t generation;
	uint8_t extra_status; /* the device's own bits */
	bool is_refusing;     /* does not keep FEATURES_OK */
	bool is_gone;	      /* unplug() says it */
	bool is_another;      /* came in its place, and no driver has reset it yet */
	uint32_t slow_resets; /* so many reads of the status after a reset are not 0 yet */
	bool is_restless;     /* the generation changes at every read of the configuration */
	bool is_closed;	      /* queue_start() answers AERO_EIO */
	void (*config_read)(void *ctx, uint32_t offset); /* before each */
	void *ctx;

	/* What was seen. */
	uint64_t accepted;
	uint8_t status;
	uint32_t actual;
	uint64_t actual_writes;
	uint64_t poison_writes;
	uint32_t poison;
	uint64_t config_reads;
	uint64_t resets;
	uint64_t given_frames;
	uint32_t frame_end;		       /* behind the last number that was ever named */
	uint32_t numbers[VIRTIO_FAKE_NUMBERS]; /* of the request taken last */
	char problem[200];

	struct virtio_fake_queue queue[VIRTIO_FAKE_QUEUES];
	uint8_t frame[VIRTIO_FAKE_FRAMES];

	/* Private. */
	const struct aero_host_memory *memory;
	aero_gpa memory_gpa;
	uint32_t slow_reads;
	uint8_t old_status;
};

/*
 * memory outlives it; memory_gpa is where its one piece begins, in which rings and buffers are.
 * Everything is offered, queues have 128 entries, by the specification's numbers.
 */
void virtio_fake_init(struct virtio_fake *fake, const struct aero_host_memory *memory,
		      aero_gpa memory_gpa, bool is_legacy);

/* Writes a field of the configuration, and changes the generation; raise the interrupt yourself. */
void virtio_fake_set_config(struct virtio_fake *fake, uint32_t offset, uint32_t value);
void virtio_fake_target(struct virtio_fake *fake, uint32_t frames);

/* It is gone; what may come back later knows of nothing. */
void virtio_fake_unplug(struct virtio_fake *fake);

/* Notes what a driver must not do. */
void virtio_fake_complain(struct virtio_fake *fake, const char *what, uint64_t value);

/* The device's address of guest memory; NULL: there is none. */
uint8_t *virtio_fake_at(struct virtio_fake *fake, aero_gpa gpa, size_t len);

/*
 * Takes the next chain of a queue; NULL: none waits, and the device wants to be notified of the
 * next. It is flying until it is answered: push() answers the nth of those flying, in whatever
 * order, with so many bytes written.
 */
struct virtio_device_chain *virtio_fake_pop(struct virtio_fake *fake, unsigned int index);
void virtio_fake_push(struct virtio_fake *fake, unsigned int index, unsigned int nth,
		      uint32_t written);

/* A request for frames: how many numbers it has, 0: none waits. answer() is for the oldest. */
uint32_t virtio_fake_request(struct virtio_fake *fake, unsigned int index);
void virtio_fake_answer(struct virtio_fake *fake, unsigned int index, uint32_t written);
void virtio_fake_answer_nth(struct virtio_fake *fake, unsigned int index, unsigned int nth,
			    uint32_t written);

/* Takes and answers all that waits on inflate and deflate; answers how many requests. */
unsigned int virtio_fake_serve(struct virtio_fake *fake);

/* A number of a buffer that the device reads: 4 bytes in the driver's order. */
uint32_t virtio_fake_read32(struct virtio_fake *fake, aero_gpa gpa);

#endif
