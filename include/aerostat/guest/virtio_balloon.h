/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_GUEST_VIRTIO_BALLOON_H
#define AEROSTAT_GUEST_VIRTIO_BALLOON_H

/*
 * The driver of virtio's balloon, for any kernel.
 *
 * An engine (guest/balloon.h) with a channel, and what else the device offers: statistics, hints
 * and reports of free pages. A kernel calls step() of this header instead of the engine's, and
 * interrupt() when the device has something to say. isolate(), putback(), migrate() and inhibit()
 * of guest/balloon_kernel.h are used directly on drv->balloon; reclaim, suspend and unload are
 * here, because the device has a say in them.
 *
 * Requests are pipelined: several are in flight, one notification is for all that were made since
 * the last. No answer is waited for without end: a silent device is a stall with a reason, and
 * stop() and reset get every frame back.
 *
 * docs/porting.md walks through a port, docs/protocols/virtio-balloon.md tells the protocol.
 */

#include <aerostat/guest/balloon.h>
#include <aerostat/guest/balloon_kernel.h>
#include <aerostat/guest/virtio_balloon_types.h>
#include <aerostat/status.h>
#include <aerostat/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * aero_virtio_balloon_guest_init() - Make a driver.
 * @drv:    Uninitialised; must not move until fini().
 * @config: Copied.
 *
 * Shape:   says nothing to the device; the first step() does. Interrupts may come from now on.
 * Owner:   the caller owns drv, calls stop() until it answers AERO_OK, then fini().
 * Errors:  AERO_EINVAL: port or transport lack a member, a number is out of range, or an order of
 *          reports that the port has not.
 * Context: any.
 * Source:  docs/protocols/virtio-balloon.md.
 */
enum aero_status aero_virtio_balloon_guest_init(
	struct aero_virtio_balloon_guest *drv,
	const struct aero_virtio_balloon_guest_config *config);

/**
 * aero_virtio_balloon_guest_fini() - End of a driver.
 * @drv: Initialised, stopped.
 *
 * Shape:   says nothing to the device.
 * Owner:   rings, requests and all metadata go back to the port.
 * Errors:  none.
 * Context: that of port->page_put() and memory->put().
 * Source:  docs/protocols/virtio-balloon.md.
 */
void aero_virtio_balloon_guest_fini(struct aero_virtio_balloon_guest *drv);

/**
 * aero_virtio_balloon_guest_step() - Do one bounded piece of work.
 * @drv:    Initialised.
 * @now_ns: Monotonic time, never 0.
 *
 * Shape:   answers when to call again unless an interrupt comes before: now_ns for at once, a later
 *          time, or AERO_NEVER. A kernel without interrupts calls interrupt() before each step and
 *          lets no more than its own polling interval pass. The reasons are QUEUE and what
 *          transport->take_interrupts() answers, because QEMU's configuration may only be followed
 *          when it was said to have changed; where that is NULL, both.
 * Owner:   frames move between kernel, balloon and host.
 * Errors:  none; report() and events tell.
 * Context: sleep; one thread.
 * Source:  docs/protocols/virtio-balloon.md.
 */
uint64_t aero_virtio_balloon_guest_step(struct aero_virtio_balloon_guest *drv, uint64_t now_ns);

/**
 * aero_virtio_balloon_guest_interrupt() - The device has something to say.
 * @drv: Initialised.
 * @why: AERO_VIRTIO_INTERRUPT_*, as the vector or transport->take_interrupts() tells.
 *
 * Shape:   call step() soon.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any, interrupts as well.
 * Source:  VIRTIO 1.4, 2.9 Notifications.
 */
void aero_virtio_balloon_guest_interrupt(struct aero_virtio_balloon_guest *drv, uint32_t why);

/**
 * aero_virtio_balloon_guest_reclaim() - The kernel needs memory: give frames back.
 * @drv:        Initialised.
 * @kind:       How frames are chosen.
 * @frames:     How many.
 * @now_ns:     Monotonic time.
 * @out_frames: How many came back now; with whole blocks it may be more. Written always.
 *
 * Shape:   free blocks that the device has for a hint or a report come first, then the balloon. A
 *          pass of reports ends, all that it borrowed comes back with the next steps, and no other
 *          begins before balloon.cooldown_ns is over.
 *          With MUST_TELL_HOST those of the balloon come back when the device has answered: call
 *          step() soon. AERO_OK with no frames means that they are on their way.
 * Owner:   the frames that came are the kernel's.
 * Errors:  AERO_EAGAIN: a step is at work, the device is started anew, or all requests are in
 *          flight; nothing came, but may after a step.
 *          AERO_ENOTSUP: DEFLATE_ON_OOM is not negotiated and nothing else was there.
 *          AERO_EREFUSED: it is, and none can go: the balloon is empty, suspended or stopped, or
 *          the device is silent.
 * Context: that of the transport; may come from within port->alloc().
 * Source:  VIRTIO 1.4, 5.5.6.1; Linux's OOM notifier and shrinker.
 */
enum aero_status aero_virtio_balloon_guest_reclaim(struct aero_virtio_balloon_guest *drv,
						   enum aero_reclaim kind, uint64_t frames,
						   uint64_t now_ns, uint64_t *out_frames);

/**
 * aero_virtio_balloon_guest_report_free() - The kernel has free blocks: report them.
 * @drv:    Initialised.
 * @ranges: Of frames that nobody uses until reported() answers.
 * @count:  1 to report_max of struct aero_virtio_balloon_guest_report: what the device's ring
 *          takes, at most AERO_VIRTIO_BALLOON_GUEST_REPORT_MAX.
 *
 * Shape:   one request; the device may throw their contents away. Call step() soon: from then on a
 *          device that does not answer is AERO_STALL_SILENT after balloon.silent_ns; what it has
 *          comes back with its answer, or with a reset, stop() or suspend(), whichever is first.
 * Owner:   the frames are the driver's until reported(), which comes once after AERO_OK.
 * Errors:  AERO_ENOTSUP: PAGE_REPORTING is not negotiated now, or reported is NULL. AERO_EAGAIN: a
 *          report is with the device, or another call is at work. AERO_EINVAL: count, a range that
 *          is empty, or ranges of 4 GiB and more in all. AERO_ESTATE: the device broke the queue,
 *          and is to be reset.
 * Context: that of the transport.
 * Source:  VIRTIO 1.4, 5.5.6.7.
 */
enum aero_status aero_virtio_balloon_guest_report_free(struct aero_virtio_balloon_guest *drv,
						       const struct aero_range *ranges,
						       size_t count);

/**
 * aero_virtio_balloon_guest_set_reporting() - Change how free pages are reported.
 * @drv:       Initialised.
 * @reporting: Copied.
 *
 * Shape:   from the next step() on; a pass at work ends first. Pulling that was not configured at
 *          init() needs PAGE_REPORTING, which is accepted only where init() knew of reports.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EINVAL: an order that the port has not; nothing has changed.
 * Context: any, not beside step().
 * Source:  users who ask for it at run time.
 */
enum aero_status aero_virtio_balloon_guest_set_reporting(
	struct aero_virtio_balloon_guest *drv,
	const struct aero_virtio_balloon_reporting *reporting);

/**
 * aero_virtio_balloon_guest_suspend() - The machine is going to sleep: empty, and leave the device.
 * @drv:    Initialised.
 * @now_ns: Monotonic time.
 *
 * Shape:   piece by piece: call in place of step() until it answers AERO_OK; then the device is
 *          reset, and step() does nothing until resume(). A device that does not answer is reset
 *          all the same.
 * Owner:   after AERO_OK every frame is the kernel's.
 * Errors:  AERO_EAGAIN: there is more; call again after an interrupt, or a few milliseconds later.
 * Context: sleep, not beside step().
 * Source:  Linux's freeze: the image of a hibernation must not miss what the host threw away.
 */
enum aero_status aero_virtio_balloon_guest_suspend(struct aero_virtio_balloon_guest *drv,
						   uint64_t now_ns);

/**
 * aero_virtio_balloon_guest_resume() - Take the device again.
 * @drv: Initialised.
 *
 * Shape:   call step() soon.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  as suspend().
 */
void aero_virtio_balloon_guest_resume(struct aero_virtio_balloon_guest *drv);

/**
 * aero_virtio_balloon_guest_stop() - Empty the balloon and leave the device, for good.
 * @drv:    Initialised.
 * @now_ns: Monotonic time.
 *
 * Shape:   as suspend(); step() does nothing from now on.
 * Owner:   after AERO_OK every frame is the kernel's.
 * Errors:  AERO_EAGAIN: there is more, or frames are isolated and must be put back; as suspend().
 * Context: sleep, not beside step().
 * Source:  VIRTIO 1.4, 3.3.1 Driver Requirements: Device Cleanup.
 */
enum aero_status aero_virtio_balloon_guest_stop(struct aero_virtio_balloon_guest *drv,
						uint64_t now_ns);

/**
 * aero_virtio_balloon_guest_report() - How it is.
 * @drv:        Initialised.
 * @out_report: The answer.
 *
 * Shape:   counters of the engine are in drv->balloon.counters.
 * Owner:   a copy.
 * Errors:  none.
 * Context: any; numbers may be of different moments while a step runs.
 * Source:  design of Aerostat, section 3.
 */
void aero_virtio_balloon_guest_report(const struct aero_virtio_balloon_guest *drv,
				      struct aero_virtio_balloon_guest_report *out_report);

/**
 * aero_virtio_balloon_guest_validate() - Check every invariant.
 * @drv: Initialised, no call at work.
 *
 * Shape:   that of the engine, of the rings, and of requests and batches.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EBUG: one does not hold.
 * Context: any.
 * Source:  design of Aerostat, section 3.
 */
enum aero_status aero_virtio_balloon_guest_validate(const struct aero_virtio_balloon_guest *drv);

#ifdef __cplusplus
}
#endif

#endif
