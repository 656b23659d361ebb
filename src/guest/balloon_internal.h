/* SPDX-License-Identifier: MIT */
#ifndef AERO_GUEST_BALLOON_INTERNAL_H
#define AERO_GUEST_BALLOON_INTERNAL_H

/* What the files of the engine share. All but enter() is for whoever has entered. */

#include <aerostat/guest/balloon_kernel.h>

#include "pages_internal.h"

/* When to try again where another call is at work. */
#define AERO_BALLOON_BUSY_NS 1000000ull

/* What a piece of work answers. */
enum aero_progress {
	AERO_PROGRESS_MORE, /* go on at once */
	AERO_PROGRESS_WAIT, /* for batches in flight */
	AERO_PROGRESS_DONE, /* nothing more to do in this round */
};

/* Whether frames may be moved at the host: the protocol is in force, and nothing ends or sleeps. */
static inline bool aero_balloon_is_open(const struct aero_balloon *balloon)
{
	return balloon->is_started && !balloon->is_reset_required && !balloon->is_frozen &&
	       !balloon->is_stopped;
}

/* What there is to say of it; what is to be done next goes by the stall itself. */
static inline enum aero_stall aero_balloon_shown(const struct aero_balloon *balloon)
{
	return balloon->is_silent_beside ? AERO_STALL_SILENT : balloon->stall;
}

/* balloon.c */

uint64_t aero_balloon_later(uint64_t now_ns, uint64_t delay_ns);

/* Whether the caller may work on the balloon; false while another does. Pairs with exit(). */
bool aero_balloon_enter(struct aero_balloon *balloon);
void aero_balloon_exit(struct aero_balloon *balloon);

/*
 * step(), reclaim() and stop() of whoever has entered: a driver that has more to do with the device
 * than the engine does all of it inside, so that nobody else is at the device meanwhile.
 */
uint64_t aero_balloon_step_inside(struct aero_balloon *balloon, uint64_t now_ns);
enum aero_status aero_balloon_reclaim_inside(struct aero_balloon *balloon, enum aero_reclaim kind,
					     uint64_t frames, uint64_t now_ns,
					     uint64_t *out_frames);
enum aero_status aero_balloon_stop_inside(struct aero_balloon *balloon);

/* The oldest batch in flight is overdue at this time. */
uint64_t aero_balloon_silent_due(const struct aero_balloon *balloon);

void aero_balloon_tell(struct aero_balloon *balloon, enum aero_balloon_event_kind kind,
		       uint64_t value);

/* balloon_batch.c: batches, and frames held for the length of a round. */

/* Blocks of one size that make up frames, rounded up, at most a batch. */
uint32_t aero_balloon_blocks(const struct aero_balloon *balloon, unsigned int size,
			     uint64_t frames);

struct aero_balloon_batch *aero_balloon_slot(struct aero_balloon *balloon);
bool aero_balloon_add_slots(struct aero_balloon *balloon, uint32_t count);

/* Frames that are on their way in this direction; AERO_PAGES_RESTING: in either. */
uint64_t aero_balloon_flying(const struct aero_balloon *balloon, enum aero_pages_move move);

/* Nothing of the kernel's is left: in the balloon, in flight, or held for the round. */
bool aero_balloon_is_empty(const struct aero_balloon *balloon);

/* Hands a batch to the host. Answers how many of its blocks went, 0 while it is in flight. */
uint32_t aero_balloon_submit(struct aero_balloon *balloon, struct aero_balloon_batch *batch);

/* No more batches come for now. True: an answer is there. */
static inline bool aero_balloon_flush(struct aero_balloon *balloon)
{
	const struct aero_balloon_config *config = &balloon->config;

	return config->channel->flush && config->channel->flush(config->channel_ctx);
}

/* Takes answers of batches that were in flight. */
void aero_balloon_collect(struct aero_balloon *balloon);

/* Up to count frames of split blocks; answers how many. */
uint32_t aero_balloon_pool_take(struct aero_balloon *balloon, aero_frame *out, uint32_t count);

/* Splits what the host refused of a block size; its frames are offered one by one. */
void aero_balloon_split(struct aero_balloon *balloon, unsigned int size);

/* Frees a batch of what is held for the round; false: nothing was. */
bool aero_balloon_release(struct aero_balloon *balloon);

/* balloon_inflate.c: room is how many frames the kernel can spare, at least frames. */

enum aero_progress aero_balloon_inflate(struct aero_balloon *balloon, uint64_t frames,
					uint64_t room);

/* balloon_deflate.c */

/* Before a round: where it begins to look for blocks. */
void aero_balloon_rewind(struct aero_balloon *balloon);

enum aero_progress aero_balloon_deflate(struct aero_balloon *balloon, uint64_t frames);

/* Gives a batch back to the kernel without telling the host; false: there was none. */
bool aero_balloon_pop(struct aero_balloon *balloon);

/* balloon_rate.c */

/* What a zeroed member of a configuration means. */
void aero_balloon_default(uint64_t *value, uint64_t otherwise);
void aero_balloon_default32(uint32_t *value, uint32_t otherwise);

/* False: the numbers are out of order. */
bool aero_balloon_rate_init(struct aero_balloon *balloon);

/* The largest size that this round begins with: those of a slow one are single frames. */
unsigned int aero_balloon_rate_stage(const struct aero_balloon *balloon);

/* At the begin of a round and at its end. */
void aero_balloon_rate_begin(struct aero_balloon *balloon);
void aero_balloon_rate_end(struct aero_balloon *balloon);

/* Frames that this round may still allocate. */
uint64_t aero_balloon_rate_left(const struct aero_balloon *balloon);

/* An allocation of single frames failed; answers whether to go on with a sleeping one. */
bool aero_balloon_rate_failed(struct aero_balloon *balloon);

#endif
