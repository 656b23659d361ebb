/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_CONFORMANCE_VIRTIO_BALLOON_H
#define AEROSTAT_TESTS_CONFORMANCE_VIRTIO_BALLOON_H

/*
 * What a virtio-balloon driver and a device must do for each other, as named cases that either end
 * can be run against:
 *
 *	 1 the configuration is little-endian		 6 statistics of any shape
 *	 2 requests of 1, 255, 256, 257 frames		 7 hints: ids that change, STOP, DONE
 *	 3 targets that nobody can follow		 8 reports: odd ranges, poison
 *	 4 pages of 64 KiB settle			 9 numbers of queues
 *	 5 a peer that says nothing			10 a reset in the middle
 *
 * A driver under test gets a device that the cases play (support/virtio_fake.h). A device under
 * test gets a driver that the cases play, and is known by its transport, by the memory that both
 * see and by what its operator can do: ours in the same process, or QEMU's behind its test
 * protocol. Nothing here needs a test framework, and nothing aborts.
 */

#include <stdbool.h>
#include <stdint.h>

#include <aerostat/guest/virtio_transport.h>
#include <aerostat/memory.h>

enum conformance_result {
	CONFORMANCE_PASSED = 0,
	CONFORMANCE_FAILED,
	CONFORMANCE_SKIPPED, /* this peer has no such thing, or its operator cannot do that */
};

/* Why a case did not pass. */
struct conformance_outcome {
	enum conformance_result result;
	char why[200];
};

/* A driver under test ------------------------------------------------------------------------- */

/* The kernel that a case wants. Zeroed: pages of 4 KiB, 64 MiB, nothing optional. */
struct conformance_kernel {
	unsigned int page_order;
	bool is_legacy;
	bool has_poison;
	bool is_reporting; /* all free pages are reported, of themselves or by the kernel */
	uint32_t stats;	   /* tags that it knows */
};

/* Why a driver is not where the device wants it. */
enum conformance_stall {
	CONFORMANCE_AT_EASE = 0, /* it is */
	CONFORMANCE_NO_MORE,	 /* the kernel has no more to give, or keeps the rest */
	CONFORMANCE_HOST_SILENT, /* the device does not answer */
	CONFORMANCE_OTHER,
};

/* Time stands still but in pass(). Each case makes one driver, or several one after another. */
struct conformance_driver {
	void *ctx;
	/* A kernel; where a device finds its memory, and where that begins. */
	bool (*open_kernel)(void *ctx, const struct conformance_kernel *kernel,
			    const struct aero_host_memory **out_memory, aero_gpa *out_gpa);
	/* A driver in it, that has said nothing yet; transport outlives it. */
	bool (*open)(void *ctx, const struct aero_virtio_transport *transport);
	void (*interrupt)(void *ctx, uint32_t why); /* AERO_VIRTIO_INTERRUPT_* */
	bool (*step)(void *ctx);		    /* whether there is more to do at once */
	void (*pass)(void *ctx, uint64_t ns);	    /* time, and what is due meanwhile */
	bool (*leave)(void *ctx);		    /* a piece of it; whether it is done */
	uint64_t (*frames)(void *ctx);		    /* in the balloon, as it says */
	enum conformance_stall (*stall)(void *ctx); /* as it says */
	uint64_t (*free)(void *ctx);		    /* frames that the kernel could use now */
	/* What the kernel answers from now on for a tag that it knows. */
	void (*set_stat)(void *ctx, unsigned int tag, uint64_t value);
	/* The end of driver and kernel. NULL, or what was lost or broken. */
	const char *(*close)(void *ctx);
};

/* A device under test ------------------------------------------------------------------------- */

/* Bytes of guest memory for rings and buffers, and frames to give away. */
#define CONFORMANCE_BYTES (1u << 20)
#define CONFORMANCE_FRAMES 2048u

struct conformance_device {
	void *ctx;
	const struct aero_virtio_transport *transport;
	uint8_t *memory;    /* CONFORMANCE_BYTES, as the driver reaches them */
	aero_gpa gpa;	    /* of these; a multiple of 4096 */
	uint32_t first;	    /* of CONFORMANCE_FRAMES that nobody uses; a multiple of 512 */
	uint64_t declined;  /* features that the cases are not to accept */
	bool is_big_endian; /* a legacy driver's order */
	bool serves_both;   /* numbers of queues: with holes, and closed up over what is offered */

	/* The device does what it was notified of. While a case waits this is called 200 times. */
	void (*work)(void *ctx);

	/* The operator. NULL: cases that need it are skipped. */
	void (*set_target)(void *ctx, uint32_t frames);
	uint32_t most_frames;			    /* that a target can be set to; 0: any number */
	bool (*actual)(void *ctx, uint32_t frames); /* whether the device says this now, or soon */
	bool (*ask_stats)(void *ctx);
	bool (*stat)(void *ctx, unsigned int tag, uint64_t *out); /* false: absent */
	bool (*hint)(void *ctx, uint32_t what); /* 0 stop, 1 done, 2 begin a round; false: cannot */
	uint64_t (*hinted)(void *ctx);		/* frames of hints that counted, so far */
	/* How many frames of these the device believes to be in the balloon. */
	uint64_t (*given)(void *ctx, uint32_t first, uint32_t count);
};

/* The cases ----------------------------------------------------------------------------------- */

struct conformance_driver_case {
	const char *name; /* "conformance-4 64K pages settle" */
	void (*run)(const struct conformance_driver *driver, struct conformance_outcome *out);
};

struct conformance_device_case {
	const char *name;
	void (*run)(const struct conformance_device *device, struct conformance_outcome *out);
};

#define CONFORMANCE_CASES 10

extern const struct conformance_driver_case conformance_driver_cases[CONFORMANCE_CASES];
extern const struct conformance_device_case conformance_device_cases[CONFORMANCE_CASES];

#endif
