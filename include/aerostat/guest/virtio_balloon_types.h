/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_GUEST_VIRTIO_BALLOON_TYPES_H
#define AEROSTAT_GUEST_VIRTIO_BALLOON_TYPES_H

/* What the virtio-balloon driver is configured with, says of itself, and consists of. */

#include <aerostat/guest/balloon.h>
#include <aerostat/guest/virtio_queue.h>
#include <aerostat/guest/virtio_transport.h>
#include <aerostat/types.h>

#define AERO_VIRTIO_BALLOON_GUEST_QUEUES 5

/* Requests in flight at most, and pages that one can fill: 1024 frame numbers each. */
#define AERO_VIRTIO_BALLOON_GUEST_REQUESTS_MAX 64
#define AERO_VIRTIO_BALLOON_GUEST_REQUEST_PAGES_MAX 16
#define AERO_VIRTIO_BALLOON_GUEST_REQUEST_FRAMES_MAX 16320

/* Blocks that are reported in one request. */
#define AERO_VIRTIO_BALLOON_GUEST_REPORT_MAX 32

/* How the queues behind deflate are numbered. */
enum aero_virtio_balloon_numbering {
	AERO_VIRTIO_BALLOON_NUMBERING_AUTO = 0, /* by the specification where all are there */
	AERO_VIRTIO_BALLOON_NUMBERING_SPEC,
	AERO_VIRTIO_BALLOON_NUMBERING_COMPACT, /* without holes, as Linux does */
};

/* Memory that stays where it is, contiguous for the device: rings that are more than a page. */
struct aero_virtio_memory {
	/* Handed back as the first argument of both. */
	void *ctx;
	/* bytes of any content, aligned to 4096, or NULL. Context: sleep. */
	void *(*get)(void *ctx, size_t bytes, aero_gpa *out_gpa);
	void (*put)(void *ctx, void *memory, size_t bytes);
};

/* Reports of free pages that the driver collects itself. May be changed while running. */
struct aero_virtio_balloon_reporting {
	bool is_pulling;   /* borrow free blocks from the port, report them, give them back */
	uint32_t order;	   /* of the blocks, one of port.orders; 0: the largest up to 2 MiB */
	uint64_t delay_ns; /* from the end of a pass to the begin of the next; 0: 2 s */
	/*
	 * Of free memory that a pass borrows at most; 0: all that alloc() gives without effort, so
	 * that a kernel whose own allocation fails meanwhile has to call reclaim(), which ends the
	 * pass, and step() until the blocks are back. An allocator that gives first what it got
	 * last shows the same blocks again at the next pass, so that what is beyond a budget may
	 * never be reported.
	 */
	uint64_t budget_bytes;
};

/* Zeroed members mean the default that is named. */
struct aero_virtio_balloon_guest_config {
	const struct aero_virtio_transport *transport; /* outlives the driver */
	/* port is required; channel, channel_ctx are filled in by the driver. */
	struct aero_balloon_config balloon;
	/* Needed with legacy transports; else a ring is a page of the port. */
	const struct aero_virtio_memory *memory;
	uint64_t declined;	 /* feature bits 0 to 63 that the driver is not to accept */
	uint32_t requests;	 /* in flight, of each of inflate and deflate: 8 */
	uint32_t request_frames; /* numbers in one: 256; Firecracker and others refuse more */
	uint64_t actual_ns;	 /* a resize that lasts tells how far it is this often: 1 s */
	enum aero_virtio_balloon_numbering numbering;
	/*
	 * The kernel writes poison to pages that it frees, and relies on finding it there: pages
	 * that come back through port.free() are the port's to fill.
	 */
	bool has_poison;
	uint32_t poison;
	struct aero_virtio_balloon_reporting reporting;
	/*
	 * Optional: the answer to report_free(). The blocks are the kernel's again; is_reported:
	 * the host has taken note. From step(), or what resets the device: stop(), suspend(), a
	 * migration; must not call the driver.
	 */
	void (*reported)(void *ctx, const struct aero_range *ranges, size_t count,
			 bool is_reported);
	void *reported_ctx;
};

struct aero_virtio_balloon_guest_counters {
	uint64_t notifications; /* of the device, by all queues */
	uint64_t config_reads;	/* accesses to configuration space */
	uint64_t config_writes;
	uint64_t interrupts; /* told by the kernel */
	uint64_t inflate_requests;
	uint64_t deflate_requests;
	uint64_t stats_buffers; /* given, the first one as well */
	uint64_t hint_rounds;
	uint64_t hint_blocks;
	uint64_t hint_frames;
	uint64_t reports;
	uint64_t report_blocks;
	uint64_t report_frames;
	uint64_t report_passes;
	uint64_t broken_queues;	    /* the device returned what it was not given */
	uint64_t exchange_timeouts; /* a migration was not answered, and the device was reset */
	uint64_t device_resets;	    /* asked for by the device: DEVICE_NEEDS_RESET */
};

struct aero_virtio_balloon_guest_report {
	struct aero_balloon_report balloon;
	struct aero_virtio_balloon_guest_counters counters;
	uint64_t features;    /* accepted */
	uint64_t held_frames; /* free ones, with the device for a hint or a report */
	uint32_t hint_id;     /* of the round at work, 0 or 1 else */
	uint32_t report_max;  /* ranges that report_free() takes at once; 0: none */
	uint8_t status;	      /* of the device, as last read */
	bool is_compact;      /* queues without holes */
	uint8_t queue_index[AERO_VIRTIO_BALLOON_GUEST_QUEUES]; /* by role; 0xff: none */
};

/* Private: what each of the queues is for; the numbers of the specification. */
enum aero_virtio_balloon_guest_role {
	AERO_VIRTIO_BALLOON_GUEST_INFLATE = 0,
	AERO_VIRTIO_BALLOON_GUEST_DEFLATE,
	AERO_VIRTIO_BALLOON_GUEST_STATS,
	AERO_VIRTIO_BALLOON_GUEST_HINT,
	AERO_VIRTIO_BALLOON_GUEST_REPORTING,
};

/* Private: a queue and its memory. */
struct aero_virtio_balloon_guest_queue {
	struct aero_virtio_guest_queue queue;
	void *ring;
	size_t ring_bytes; /* of contiguous memory; 0: a page of the port */
	aero_gpa ring_gpa;
	uint8_t index;
	bool is_there;
};

/* Private: an array of frame numbers, with the device or free. */
struct aero_virtio_balloon_guest_request {
	uint8_t batch; /* of the engine, whose answer this is a part of; 0xff: nobody waits */
	bool is_flying;
	uint8_t *part[AERO_VIRTIO_BALLOON_GUEST_REQUEST_PAGES_MAX];
};

/* Private: one direction. */
struct aero_virtio_balloon_guest_lane {
	unsigned int role;
	uint32_t count;	 /* of requests that have memory */
	uint32_t usable; /* of those, with the rings of this start */
	uint32_t frames; /* in one, likewise */
	uint32_t flying; /* of those */
	uint32_t next;	 /* where a free one is looked for */
	uint32_t waiting_count;
	uint32_t block;				   /* of the oldest: the next to be written */
	uint64_t frame;				   /* within this block */
	uint8_t waiting[AERO_BALLOON_BATCHES_MAX]; /* batches not wholly written, oldest first */
	struct aero_virtio_balloon_guest_request request[AERO_VIRTIO_BALLOON_GUEST_REQUESTS_MAX];
};

/* Private: free blocks that the device has for a while. */
struct aero_virtio_balloon_guest_loan {
	struct aero_frame_set held; /* of blocks */
	unsigned int order;
	bool is_returning; /* they go back to the kernel */
};

/* Private but for balloon and counters; public so that it can be embedded. */
struct aero_virtio_balloon_guest {
	/* What is used most lies first: code that reaches it is shorter. */
	uint64_t features;
	uint64_t now_ns;     /* of the step at work */
	uint32_t interrupts; /* raised by any context */
	uint32_t config_changed;
	uint8_t status;
	bool is_compact;
	bool is_live;	 /* DRIVER_OK */
	bool is_leaving; /* the target is 0, whatever the device says */
	bool is_suspended;
	bool is_actual_known; /* by the device */
	uint8_t hint_phase;   /* of the round */
	bool is_report_pushed;
	bool is_report_passing;

	/* Frames: inflate and deflate. */
	uint32_t request_frames;
	uint32_t request_pages;
	uint32_t requests_per_page; /* where they are that small, else 1 */
	uint32_t first_room;	    /* numbers in the first page of a request */
	uint32_t done_count;
	uint32_t target;
	uint32_t actual;
	uint64_t actual_due_ns;

	/* Hints: ids that the device reads, as it says, as we know, bits of those it has. */
	void *side_page; /* those, and statistics */
	uint32_t hint_wanted;
	uint32_t hint_id;
	uint32_t hint_ids_flying;

	/* Reports. */
	uint32_t report_count; /* of report_range: with the device */
	uint64_t report_due_ns;

	uint32_t generation; /* of the configuration, as last read */
	uint32_t said;	     /* kinds of complaints that the log has */

	struct aero_virtio_balloon_guest_config config;
	uint64_t report_left;	   /* frames of this pass's budget */
	uint64_t report_frames;	   /* with the device */
	uint64_t report_silent_ns; /* the one in flight should be answered; 0: not begun */
	uint32_t hint_generation;  /* when the id of the round was read */
	struct aero_virtio_balloon_guest_loan hint;
	struct aero_virtio_balloon_guest_loan report;
	uint32_t stats_known;
	uint8_t done[AERO_BALLOON_BATCHES_MAX]; /* batches that are answered */
	struct aero_virtio_balloon_guest_counters counters;
	struct aero_virtio_balloon_guest_queue queue[AERO_VIRTIO_BALLOON_GUEST_QUEUES];
	struct aero_balloon balloon;
	struct aero_range report_range[AERO_VIRTIO_BALLOON_GUEST_REPORT_MAX];
	aero_frame report_block[AERO_VIRTIO_BALLOON_GUEST_REPORT_MAX]; /* the same, pulled */
	struct aero_virtio_guest_buffer report_buffer[AERO_VIRTIO_BALLOON_GUEST_REPORT_MAX];
	struct aero_virtio_balloon_guest_lane lane[2];
};

#endif
