/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_GUEST_BALLOON_H
#define AEROSTAT_GUEST_BALLOON_H

/*
 * The engine: inflates and deflates towards what the host wants, on whatever channel.
 *
 * It owns no thread and no timer. The kernel calls step() when the last answer said so, and after
 * notify(); each step is at most one batch and never waits. One call works at a time: others from
 * the kernel (reclaim, migrate, freeze) answer AERO_EAGAIN meanwhile, because they may come from
 * within an allocation that a step has made.
 *
 *	   +--------------------- reset --------------------+
 *	   v						    |
 *	empty the balloon --> start ---- round: ask for the target
 *	 (no host is told)   ^    |		  |	 ^
 *			     +----+		  v	 |  poll, notify
 *			  not now: 1 s	   batch by batch until target, refusals or no memory
 */

#include <aerostat/guest/channel.h>
#include <aerostat/guest/pages.h>
#include <aerostat/port.h>
#include <aerostat/status.h>
#include <aerostat/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AERO_BALLOON_BATCHES_MAX 16

/* Why a balloon is not at its target. */
enum aero_stall {
	AERO_STALL_NONE = 0,	/* it is */
	AERO_STALL_WORKING,	/* it moves */
	AERO_STALL_SLACK,	/* above it by less than is worth a block */
	AERO_STALL_NO_MEMORY,	/* the kernel has none to give; backing off */
	AERO_STALL_FLOOR,	/* the floor is reached */
	AERO_STALL_RATE,	/* the rate limit of this round is reached */
	AERO_STALL_COOLING,	/* frames were reclaimed a moment ago */
	AERO_STALL_REFUSED,	/* the host refuses frames or fails */
	AERO_STALL_ISOLATED,	/* the kernel is moving the frames that are left */
	AERO_STALL_SILENT,	/* the host does not answer */
	AERO_STALL_RESET,	/* the host reset the protocol; starting anew */
	AERO_STALL_UNSUPPORTED, /* the host cannot balloon */
	AERO_STALL_LIMIT,	/* the host cannot serve this much memory */
	AERO_STALL_INHIBITED,	/* frozen, stopped, or inflation is turned off */
};

enum aero_balloon_event_kind {
	AERO_BALLOON_EVENT_STARTED = 1, /* value: 0 */
	AERO_BALLOON_EVENT_TARGET,	/* value: frames wanted now */
	AERO_BALLOON_EVENT_REACHED,	/* value: frames in the balloon */
	AERO_BALLOON_EVENT_STALLED,	/* value: enum aero_stall, changed */
	AERO_BALLOON_EVENT_RESET,	/* value: frames that were in the balloon */
};

struct aero_balloon_event {
	enum aero_balloon_event_kind kind;
	uint64_t value;
};

/*
 * Limits on allocation, as open-vm-tools has them. Zeroed members mean its values.
 *
 * A round begins with allocations that do not reclaim. One that fails turns the next slow_rounds
 * rounds to sleeping ones, of at most rate frames; rate is halved when these fail and raised by
 * step when they do not.
 */
struct aero_balloon_rates {
	bool is_limited;       /* false: none of this, a round runs to the target */
	uint32_t spare_frames; /* in a round that does not reclaim: 16384 */
	uint32_t sleep_min;    /* 512 */
	uint32_t sleep_max;    /* 2048 */
	uint32_t step;	       /* 16 */
	uint32_t slow_rounds;  /* 4 */
};

/* Zeroed members mean the default that is named. */
struct aero_balloon_config {
	const struct aero_port *port;		/* outlives the balloon */
	const struct aero_channel_ops *channel; /* outlives the balloon */
	void *channel_ctx;
	uint32_t orders;	 /* that the channel can ever name; 0: all that the port has */
	uint64_t floor_frames;	 /* that the kernel keeps whatever the host wants: 0 */
	uint64_t cooldown_ns;	 /* without inflation after reclaim(): 5 s */
	uint64_t backoff_min_ns; /* after a failed allocation: 1 s, doubled at each */
	uint64_t backoff_max_ns; /* 16 s */
	uint64_t silent_ns;	 /* a batch unanswered for this long is worth a word: 2 s */
	uint32_t refusal_limit;	 /* refused blocks of a size that end its turn in a round: 16 */
	uint32_t batches;	 /* in flight at most: what the channel can, up to 16 */
	struct aero_balloon_rates rates;
	/* Optional. Called from step(); must not call the balloon. */
	void (*event)(void *ctx, const struct aero_balloon_event *event);
	void *event_ctx;
};

/* Of one block size, in blocks. */
struct aero_balloon_size_counters {
	uint64_t allocs; /* blocks asked for one by one: those that came, and failures */
	uint64_t alloc_failures;
	uint64_t refused;	/* by the host, on the way in or out */
	uint64_t refused_freed; /* of those on the way in: given back to the kernel */
	uint64_t freed;		/* by deflation or emptying */
};

struct aero_balloon_counters {
	struct aero_balloon_size_counters size[AERO_PAGES_SIZES];
	uint64_t rounds;
	uint64_t resets; /* protocols started */
	uint64_t reclaims;
	uint64_t reclaimed_frames;
	uint64_t backoffs;
};

/* One answer to "how is it?". */
struct aero_balloon_report {
	uint64_t target_frames;
	uint64_t actual_frames;
	uint64_t metadata_bytes;
	uint64_t backoff_ns; /* the next wait after a failure; 0: none failed */
	uint32_t rate;	     /* of sleeping rounds; 0: not limited */
	enum aero_stall stall;
	bool is_started; /* the protocol is negotiated */
	bool is_resetting;
};

/* Private; public only so that it can be embedded. */
struct aero_balloon {
	/* What is used most lies first: code that reaches it is shorter. */
	uint64_t target;
	uint64_t now_ns; /* of the call at work */
	uint64_t poll_due_ns;
	uint64_t cool_until_ns;
	uint64_t backoff_until_ns;
	uint64_t backoff_ns;
	uint64_t retry_ns; /* when start() is tried again */
	uint64_t round_frames;
	uint32_t refused_now;
	uint32_t rate;
	uint32_t notified;
	unsigned int size_limit; /* block sizes the channel can name are below this index */
	unsigned int stage;	 /* block size of this round */
	enum aero_stall stall;
	bool is_busy;
	bool is_started;
	bool is_reset_required;
	bool is_disarmed;
	bool is_frozen;
	bool is_stopped;
	bool is_inhibited;
	bool is_silent_beside; /* the host, to what the channel does besides frames */
	bool is_in_round;
	bool is_round_ending;
	bool is_round_out;    /* this round deflates */
	bool has_passed_over; /* blocks between those in flight */
	bool is_second_look;  /* it has begun with the lowest blocks again, because of these */
	bool is_sleeping;
	bool is_short; /* the kernel has no more blocks of the stage's size */
	bool is_reached_told;
	struct aero_balloon_config config;
	uint32_t slow_rounds;
	unsigned int batch_count; /* those with room for frames */
	unsigned int turns;	  /* changes of direction in this round */
	enum aero_stall told;
	struct aero_pages pages;
	struct aero_channel_limits limits;
	struct aero_balloon_batch batch[AERO_BALLOON_BATCHES_MAX];
	struct aero_frame_set refused[AERO_PAGES_SIZES]; /* blocks kept until the round ends */
	struct aero_frame_set pool; /* frames of split blocks, to be offered in this round */
	struct aero_balloon_counters counters;
};

/**
 * aero_balloon_init() - Make an empty balloon.
 * @balloon: Uninitialised.
 * @config:  Copied.
 *
 * Shape:   orders are those that port and pages can have; the first step() starts the protocol.
 * Owner:   the caller owns balloon and calls stop(), then fini().
 * Errors:  AERO_EINVAL: the port or the channel lacks a member that is not optional, or a number is
 *          out of order.
 * Context: any.
 * Source:  design of Aerostat, section 3.
 */
enum aero_status aero_balloon_init(struct aero_balloon *balloon,
				   const struct aero_balloon_config *config);

/**
 * aero_balloon_fini() - End of a balloon.
 * @balloon: Initialised; stopped, or its frames are lost to the kernel.
 *
 * Shape:   tells no host anything.
 * Owner:   all metadata goes back to the port.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void aero_balloon_fini(struct aero_balloon *balloon);

/**
 * aero_balloon_step() - Do one bounded piece of work.
 * @balloon: Initialised.
 * @now_ns:  Monotonic time, never 0.
 *
 * Shape:   answers when to call again unless notify() comes before: now_ns for at once, a later
 *          time, or AERO_NEVER.
 * Owner:   frames move between kernel, balloon and host.
 * Errors:  none; report() and events tell.
 * Context: sleep; one thread.
 * Source:  docs/protocols of the channel.
 */
uint64_t aero_balloon_step(struct aero_balloon *balloon, uint64_t now_ns);

/**
 * aero_balloon_notify() - Something happened: a doorbell, an interrupt, a watch.
 * @balloon: Initialised.
 *
 * Shape:   call step() soon.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any, interrupts as well, also while step() runs.
 * Source:  design of Aerostat, section 3.
 */
void aero_balloon_notify(struct aero_balloon *balloon);

/**
 * aero_balloon_require_reset() - The host said, somewhere, that the protocol is to start anew.
 * @balloon: Initialised.
 *
 * Shape:   for channels, from within their members; the next step() begins with it.
 * Owner:   nothing changes hands yet.
 * Errors:  none.
 * Context: any.
 * Source:  VMware answers RESET to whatever command it likes.
 */
void aero_balloon_require_reset(struct aero_balloon *balloon);

/**
 * aero_balloon_report() - How it is.
 * @balloon:    Initialised.
 * @out_report: The answer.
 *
 * Shape:   counters are in balloon->counters and those of balloon->pages.size[].
 * Owner:   a copy.
 * Errors:  none.
 * Context: any; numbers may be of different moments while step() runs.
 * Source:  design of Aerostat, section 3.
 */
void aero_balloon_report(const struct aero_balloon *balloon,
			 struct aero_balloon_report *out_report);

/**
 * aero_balloon_validate() - Check every invariant.
 * @balloon: Initialised, no call at work.
 *
 * Shape:   each frame in exactly one state, sums agree; for tests and for doubts.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EBUG: one does not hold.
 * Context: any.
 * Source:  design of Aerostat, section 3.
 */
enum aero_status aero_balloon_validate(const struct aero_balloon *balloon);

/**
 * aero_stall_str() - Why a balloon is not at its target, for people.
 * @stall: Any value.
 *
 * Shape:   a static English phrase.
 * Owner:   static storage.
 * Errors:  none.
 * Context: any.
 * Source:  enum aero_stall.
 */
const char *aero_stall_str(enum aero_stall stall);

#ifdef __cplusplus
}
#endif

#endif
