/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_GUEST_BALLOON_KERNEL_H
#define AEROSTAT_GUEST_BALLOON_KERNEL_H

/*
 * What a kernel does with a balloon at its own will: memory pressure, compaction, suspend, unload.
 * Every call here may come from any thread; AERO_EAGAIN means that a step is at work.
 */

#include <aerostat/guest/balloon.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How frames are chosen. */
enum aero_reclaim {
	AERO_RECLAIM_PRESSURE = 0, /* a shrinker: small blocks first */
	AERO_RECLAIM_OOM,	   /* nothing is left: large blocks first */
};

/**
 * aero_balloon_reclaim() - The kernel needs memory: give frames back.
 * @balloon:    Initialised.
 * @kind:       How frames are chosen.
 * @frames:     How many.
 * @now_ns:     Monotonic time.
 * @out_frames: How many came back now; with whole blocks it may be more. Written always.
 *
 * Shape:   the host is told. Inflation rests for the cool-down afterwards; call step() soon, whose
 *          answer says when it goes on. AERO_OK with no frames: they are on their way, and come
 *          with a step() when the host has answered.
 * Owner:   the frames are the kernel's.
 * Errors:  AERO_EAGAIN: a step is at work, the protocol starts anew, or all batches are in flight;
 *          nothing came, but may after a step. AERO_EREFUSED: the host let go of none, or will
 *          not: the balloon is empty, frozen or stopped, or silent_ns passed without an answer.
 * Context: atomic, if the channel's bus is; may come from within port->alloc().
 * Source:  Linux's shrinkers and OOM notifiers of balloon drivers.
 */
enum aero_status aero_balloon_reclaim(struct aero_balloon *balloon, enum aero_reclaim kind,
				      uint64_t frames, uint64_t now_ns, uint64_t *out_frames);

/**
 * aero_balloon_frames() - How many frames reclaim() could give at most.
 * @balloon: Initialised.
 *
 * Shape:   frames in the balloon.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  a shrinker's count.
 */
uint64_t aero_balloon_frames(const struct aero_balloon *balloon);

/**
 * aero_balloon_isolate() - The kernel wants to move a block.
 * @balloon: Initialised.
 * @order:   Of the block.
 * @frame:   Its first frame.
 *
 * Shape:   as aero_pages_isolate(); false also while the protocol is not started, is to start
 *          anew, or has ended: nothing could move then, and what is isolated is waited for.
 * Owner:   isolated until putback() or migrate().
 * Errors:  none.
 * Context: that of port->page_get().
 * Source:  balloon page core: isolate.
 */
bool aero_balloon_isolate(struct aero_balloon *balloon, unsigned int order, aero_frame frame);

/**
 * aero_balloon_putback() - The kernel does not move a block after all.
 * @balloon: Initialised.
 * @order:   Of the block.
 * @frame:   Its first frame.
 *
 * Shape:   as aero_pages_putback().
 * Owner:   the balloon's.
 * Errors:  none.
 * Context: any.
 * Source:  balloon page core: putback.
 */
void aero_balloon_putback(struct aero_balloon *balloon, unsigned int order, aero_frame frame);

/**
 * aero_balloon_migrate() - Put a block in the place of an isolated one.
 * @balloon:   Initialised.
 * @order:     Of both.
 * @new_frame: Held by the kernel.
 * @old_frame: Isolated.
 * @out_is_in: Whether the new block is in the balloon; false: the host took none in its place.
 *
 * Shape:   as aero_pages_migrate(); call step() soon where the new one is not in.
 * Owner:   after AERO_OK the old block is the kernel's, and the new one too unless out_is_in.
 * Errors:  AERO_EAGAIN: a step is at work, the protocol is not started, or no memory: try again.
 *          AERO_EREFUSED: the host keeps the old one; put it back. AERO_ENOTSUP: this protocol
 *          moves nothing. AERO_EINVAL: old is not isolated, new is in the balloon, or the
 *          protocol has no blocks of this order.
 * Context: that of the channel's bus and port->page_get().
 * Source:  balloon page core: migrate.
 */
enum aero_status aero_balloon_migrate(struct aero_balloon *balloon, unsigned int order,
				      aero_frame new_frame, aero_frame old_frame, bool *out_is_in);

/**
 * aero_balloon_freeze() - The machine is going to sleep: come to rest.
 * @balloon: Initialised.
 *
 * Shape:   step() does nothing but collect answers until thaw(). Wake-ups are noted.
 * Owner:   frames stay where they are.
 * Errors:  AERO_EAGAIN: a step is at work or a batch in flight; call again after it.
 * Context: any.
 * Source:  Linux freezes the worker at suspend and hibernation.
 */
enum aero_status aero_balloon_freeze(struct aero_balloon *balloon);

/**
 * aero_balloon_thaw() - Go on.
 * @balloon: Initialised.
 *
 * Shape:   call step() soon.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  as freeze().
 */
void aero_balloon_thaw(struct aero_balloon *balloon);

/**
 * aero_balloon_inhibit() - Turn inflation off or on.
 * @balloon:      Initialised.
 * @is_inhibited: Whether it is off; false after init().
 *
 * Shape:   deflation goes on.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  an operator of the guest.
 */
void aero_balloon_inhibit(struct aero_balloon *balloon, bool is_inhibited);

/**
 * aero_balloon_stop() - Leave the protocol and empty the balloon, piece by piece.
 * @balloon: Initialised.
 *
 * Shape:   the first call ends wake-ups and tells the host, who forgets all frames; each call gives
 *          back at most one batch. Call until it answers AERO_OK. step() does nothing from now on.
 * Owner:   after AERO_OK every frame is the kernel's.
 * Errors:  AERO_EAGAIN: there is more, or frames are isolated and must be put back.
 * Context: sleep, not while step() runs.
 * Source:  the host must have forgotten before frames are used, or it would answer with a reset.
 */
enum aero_status aero_balloon_stop(struct aero_balloon *balloon);

#ifdef __cplusplus
}
#endif

#endif
