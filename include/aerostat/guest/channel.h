/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_GUEST_CHANNEL_H
#define AEROSTAT_GUEST_CHANNEL_H

/*
 * What a protocol supplies to the engine (guest/balloon.h). Kernels do not need this header: they
 * use the driver of a protocol, which is an engine with a channel.
 *
 * The engine calls one member at a time, with no lock held. A member answers at once; what takes
 * longer is answered through complete().
 */

#include <aerostat/guest/pages.h>
#include <aerostat/status.h>
#include <aerostat/types.h>

/* What a negotiated protocol can do. */
struct aero_channel_limits {
	uint32_t orders;       /* blocks that it names; the port's lowest is required */
	uint32_t batch_blocks; /* in one batch; 1 to AERO_PAGES_LIST_MAX */
	uint32_t batch_frames; /* in one batch of more than one block; 0: not limited */
	uint32_t in_flight;    /* batches at one time; at least 1 */
	uint32_t slack_frames; /* above a target other than 0 that are left alone */
	uint64_t poll_ns;      /* ask for the target this often, not 0; AERO_NEVER: when notified */
	bool is_managed_kept;  /* the kernel's count of its memory is not to fall */
};

/* Blocks on their way to the host: list.move says in which direction. */
struct aero_balloon_batch {
	struct aero_pages_list list;
	uint64_t since_ns; /* when it was submitted */
	uint32_t tag;	   /* the channel's */
	bool is_flying;
};

struct aero_channel_ops {
	/* End wake-ups: none comes after it, and batches in flight come back through complete(). */
	void (*disarm)(void *ctx);
	/*
	 * Negotiate; the host knows of no frame. AERO_EREFUSED: this host cannot balloon.
	 * AERO_ETIMEDOUT: it does not answer. Anything else that is not AERO_OK: not now.
	 */
	enum aero_status (*start)(void *ctx, struct aero_channel_limits *out_limits);
	/*
	 * How many frames the host wants, asked anew where is_fresh, else as known from the last
	 * answer. AERO_ERANGE: the host cannot serve so much memory. AERO_ERESET, others: failed.
	 */
	enum aero_status (*target)(void *ctx, bool is_fresh, uint64_t *out_frames);
	/*
	 * Hand a batch over. AERO_OK: answered, with refused blocks marked in the list.
	 * AERO_EAGAIN: in flight. AERO_ERESET and others: the host refused all of it.
	 */
	enum aero_status (*submit)(void *ctx, struct aero_balloon_batch *batch);
	/* A batch that was in flight and is answered now, or NULL. NULL member: none ever is. */
	struct aero_balloon_batch *(*complete)(void *ctx, enum aero_status *out_status);
	/*
	 * No more batches come for a while: send what was held back, and see to it that answers
	 * wake the kernel. True: one has come meanwhile. NULL: nothing is ever held back.
	 */
	bool (*flush)(void *ctx);
	/* The protocol's order of giving new and taking old. NULL: frames do not move. */
	aero_pages_exchange exchange;
	/* Leave: the host forgets all frames. */
	void (*stop)(void *ctx);
};

#endif
