/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_CHANNEL_DOUBLE_H
#define AEROSTAT_TESTS_SUPPORT_CHANNEL_DOUBLE_H

/*
 * The engine on a channel that does what a test says: answers at once or late, in any order,
 * refuses blocks or whole batches, resets, or never answers; on a simulated kernel. The double
 * keeps its own book of frames, written apart from the engine, and check() compares engine, book
 * and kernel.
 *
 * What the engine asks of the channel is kept as text, one word per call:
 *
 *	disarm start stop			those
 *	ask					target() with is_fresh
 *	+9x3 -0x17				submit(): 3 blocks of order 9 in, 17 of order 0 out
 *	~0					exchange() of order 0
 */

#include <aerostat/guest/balloon.h>
#include <aerostat/guest/balloon_kernel.h>

#include "ports/sim/sim_port.h"

#define CHANNEL_DOUBLE_FRAMES (1u << 20) /* the highest number of frames of the kernel: 4 GiB */
#define CHANNEL_DOUBLE_SECOND 1000000000ull

struct channel_double {
	struct aero_channel_ops ops;
	struct aero_balloon balloon;
	struct sim_port sim;
	uint64_t now;
	uint64_t due; /* as the last step answered */

	/* What the channel answers. Set at any time. */
	struct aero_channel_limits limits;
	enum aero_status start_status;
	enum aero_status target_status;
	enum aero_status submit_status;	  /* for whole batches */
	enum aero_status exchange_status; /* AERO_ENOENT: old out, new not in */
	uint64_t target;
	uint64_t fail_at; /* the nth batch from now on, once: fail_status; 0: none */
	enum aero_status fail_status;
	struct aero_range refuse; /* blocks that touch this are refused, both ways */
	bool (*refuses)(struct channel_double *chan, unsigned int order, aero_frame first);
	bool is_async;		 /* batches are answered by channel_double_answer() */
	bool is_reset_raised;	 /* start() raises a reset, as a command of it may */
	bool are_kept_at_disarm; /* batches in flight do not come back by themselves */
	/* Before each call of the channel; word is the one that is written. */
	void (*during)(struct channel_double *chan, const char *word);

	/* What was seen. */
	char words[4096];
	char events[4096]; /* "started target:7 reached:7 stalled:3 reset:7" */
	uint64_t starts;
	uint64_t batches;
	uint64_t peak_flying;
	char problem[200];

	/* Private. */
	struct aero_balloon_batch *flying[AERO_BALLOON_BATCHES_MAX];
	unsigned int flying_count;
	struct aero_balloon_batch *done[AERO_BALLOON_BATCHES_MAX];
	enum aero_status done_status[AERO_BALLOON_BATCHES_MAX];
	unsigned int done_count;
	uint64_t checks;
	uint8_t *given; /* by first frame: 1 + order of the block that the host has */
	uint64_t given_frames;
};

/*
 * config and sim may be NULL: all defaults, 64 MiB. Port, channel and event are filled in. The
 * channel has orders 0 and 9, 512 blocks in a batch, 4 in flight, 512 frames of slack, polls each
 * second; change limits before the first step.
 */
enum aero_status channel_double_open(struct channel_double *chan,
				     const struct aero_balloon_config *config,
				     const struct sim_port_config *sim);

/* Ends without having begun: for configurations that are refused. */
void channel_double_drop(struct channel_double *chan);

/* Stops the balloon, ends all; answers NULL or what was lost or violated. */
const char *channel_double_close(struct channel_double *chan);

/* Whether engine, book and kernel agree; else problem says what does not. */
bool channel_double_check(struct channel_double *chan);

/* One step, and check(). Time goes on to when it is due. */
bool channel_double_step(struct channel_double *chan);

/* Steps for so many nanoseconds, or as long as more is to be done at once. */
bool channel_double_run(struct channel_double *chan, uint64_t ns);
bool channel_double_settle(struct channel_double *chan);

/* The nth batch in flight, the oldest is 0, is answered; collected at the next step. */
void channel_double_answer(struct channel_double *chan, unsigned int nth, enum aero_status status);
void channel_double_answer_all(struct channel_double *chan);

/* The kernel moves a block of the balloon: isolate, migrate, put back if that failed. */
enum aero_status channel_double_move(struct channel_double *chan, unsigned int order,
				     aero_frame frame);

/* Forgets the words, or the events, so far. */
void channel_double_forget(struct channel_double *chan);

uint64_t channel_double_frames(const struct channel_double *chan);
enum aero_stall channel_double_stall(const struct channel_double *chan);

#endif
