/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOST_VIRTIO_BALLOON_H
#define AEROSTAT_HOST_VIRTIO_BALLOON_H

/*
 * The virtio memory balloon, device id 5, as a VMM embeds it: no threads, no timers, no files.
 *
 * The transport (vhost-user, PCI, MMIO) calls it: features, status, configuration space, queues.
 * The operator calls it: target, statistics, hints, pause. Work is done in step() only, a bounded
 * piece per call; everything else notes what is to be done. All calls on one device are serialised
 * by the caller. The driver is not trusted.
 */

#include <aerostat/host/virtio_balloon_types.h>
#include <aerostat/status.h>
#include <aerostat/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * aero_virtio_balloon_host_features() - Everything the device can offer.
 *
 * Shape:   the six balloon features, indirect descriptors, event index, packed rings, in-order use,
 *          VERSION_1.
 * Owner:   a value.
 * Errors:  none.
 * Context: any.
 * Source:  VIRTIO 1.4, 5.5.3 and 6.
 */
struct aero_virtio_features aero_virtio_balloon_host_features(void);

/**
 * aero_virtio_balloon_host_init() - Make a device.
 * @dev:    Uninitialised.
 * @config: Copied.
 *
 * Shape:   target 0, no driver. offered holds the balloon's bits 0 to 5 and whatever of
 *          INDIRECT_DESC, EVENT_IDX, RING_PACKED, IN_ORDER, VERSION_1 the transport carries.
 * Owner:   the caller owns dev and calls fini().
 * Errors:  AERO_EINVAL: a member that is not optional is missing, config_bytes is not 8, 12 or 16
 *          or too small for the features, or a feature is offered that the device does not have.
 * Context: any.
 * Source:  VIRTIO 1.4, 5.5.
 */
enum aero_status aero_virtio_balloon_host_init(struct aero_virtio_balloon *dev,
					       const struct aero_virtio_balloon_config *config);

/**
 * aero_virtio_balloon_host_fini() - End of a device.
 * @dev: Initialised.
 *
 * Shape:   rings are not touched any more; nothing is acknowledged or discarded.
 * Owner:   all nodes go back.
 * Errors:  none.
 * Context: that of nodes.put().
 * Source:  design of Aerostat.
 */
void aero_virtio_balloon_host_fini(struct aero_virtio_balloon *dev);

/**
 * aero_virtio_balloon_host_accept() - The driver's choice of features.
 * @dev:      Initialised.
 * @features: A subset of those offered.
 *
 * Shape:   replaces an earlier choice.
 * Owner:   nothing changes hands.
 * Errors:  AERO_ENOTSUP: not a subset; the choice stays as it was. AERO_ESTATE: DRIVER_OK is set.
 * Context: any.
 * Source:  VIRTIO 1.4, 2.2.
 */
enum aero_status aero_virtio_balloon_host_accept(struct aero_virtio_balloon *dev,
						 const struct aero_virtio_features *features);

/**
 * aero_virtio_balloon_host_set_status() - The driver writes the device status.
 * @dev:    Initialised.
 * @status: The byte; 0 resets the device.
 *
 * Shape:   answers the status as the driver reads it back. With DRIVER_OK every queue is looked at,
 *          kicked or not. A transport without a status sets DRIVER_OK when the first queue is
 *          enabled.
 * Owner:   after a reset every frame is the guest's; the target stays.
 * Errors:  none.
 * Context: that of nodes.put().
 * Source:  VIRTIO 1.4, 2.1 and 3.1.
 */
uint8_t aero_virtio_balloon_host_set_status(struct aero_virtio_balloon *dev, uint8_t status);

/**
 * aero_virtio_balloon_host_config_read() - Read configuration space.
 * @dev:    Initialised.
 * @offset: Bytes from its start.
 * @buf:    Room for len bytes.
 * @len:    Bytes; any width.
 *
 * Shape:   little-endian, whatever the driver is.
 * Owner:   nothing changes hands.
 * Errors:  AERO_ERANGE: it ends after the space; buf is zeroed.
 * Context: any.
 * Source:  VIRTIO 1.4, 5.5.4.
 */
enum aero_status aero_virtio_balloon_host_config_read(const struct aero_virtio_balloon *dev,
						      uint32_t offset, void *buf, uint32_t len);

/**
 * aero_virtio_balloon_host_config_write() - The driver writes configuration space.
 * @dev:    Initialised.
 * @offset: Bytes from its start.
 * @buf:    The bytes.
 * @len:    How many; any width.
 *
 * Shape:   actual counts when its last byte arrives, so that byte-wise writes never show a value in
 *          between. Writes to the device's own fields are ignored and counted.
 * Owner:   nothing changes hands.
 * Errors:  AERO_ERANGE: it ends after the space; nothing is written.
 * Context: that of ops->event().
 * Source:  VIRTIO 1.4, 5.5.4 and 5.5.4.1 (legacy, byte-wise).
 */
enum aero_status aero_virtio_balloon_host_config_write(struct aero_virtio_balloon *dev,
						       uint32_t offset, const void *buf,
						       uint32_t len);

/**
 * aero_virtio_balloon_host_queue_start() - A ring is set up.
 * @dev:   Initialised.
 * @index: 0 to 4.
 * @ring:  Size, addresses and base; memory and the feature members are filled in by the device.
 *
 * Shape:   it is served when it is enabled as well. Which feature an index above 1 belongs to is
 *          decided from the features accepted and the rings enabled, so that drivers that number by
 *          the specification and drivers that close gaps are both served.
 * Owner:   ring is copied.
 * Errors:  AERO_EINVAL: index or ring; others as of aero_virtio_queue_start().
 * Context: that of memory->translate().
 * Source:  VIRTIO 1.4, 5.5.2; Linux and QEMU number differently.
 */
enum aero_status aero_virtio_balloon_host_queue_start(struct aero_virtio_balloon *dev,
						      unsigned int index,
						      const struct aero_virtio_queue_config *ring);

/**
 * aero_virtio_balloon_host_queue_stop() - Stop serving a ring.
 * @dev:   Initialised.
 * @index: 0 to 4.
 *
 * Shape:   answers the base to start again from. A request being served is finished first; a held
 *          statistics buffer goes back into the ring.
 * Owner:   guest memory is not touched through this ring any more.
 * Errors:  none.
 * Context: that of step().
 * Source:  vhost-user GET_VRING_BASE.
 */
uint32_t aero_virtio_balloon_host_queue_stop(struct aero_virtio_balloon *dev, unsigned int index);

/**
 * aero_virtio_balloon_host_queue_enable() - Let a ring be served, or not.
 * @dev:        Initialised.
 * @index:      0 to 4; others are ignored.
 * @is_enabled: Whether.
 *
 * Shape:   what waits in the ring is seen without a kick.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  vhost-user SET_VRING_ENABLE.
 */
void aero_virtio_balloon_host_queue_enable(struct aero_virtio_balloon *dev, unsigned int index,
					   bool is_enabled);

/**
 * aero_virtio_balloon_host_settle() - The memory map is about to change.
 * @dev: Initialised, its rings stopped.
 *
 * Shape:   discards all that is pending, at once, in the old map; what may not be discarded now is
 *          dropped and counted. Then change the map, tell memory_changed(), start the rings.
 * Owner:   nothing changes hands.
 * Errors:  none; counters tell.
 * Context: that of memory->discard().
 * Source:  pending frames of one memory must not be discarded in another.
 */
void aero_virtio_balloon_host_settle(struct aero_virtio_balloon *dev);

/**
 * aero_virtio_balloon_host_memory_changed() - The memory map changed.
 * @dev: Initialised.
 *
 * Shape:   rings are translated anew; one that is gone is broken.
 * Owner:   nothing of the old map is used after this.
 * Errors:  none; events tell.
 * Context: that of memory->translate().
 * Source:  vhost-user SET_MEM_TABLE, ADD_MEM_REG, REM_MEM_REG.
 */
void aero_virtio_balloon_host_memory_changed(struct aero_virtio_balloon *dev);

/**
 * aero_virtio_balloon_host_detach() - The driver is out of reach; its balloon stays.
 * @dev: Initialised.
 *
 * Shape:   all rings stop and DRIVER_OK is cleared, features and frames are kept: a paused machine,
 *          a front end that will reconnect. Follow with forget() if another driver comes.
 * Owner:   guest memory is not touched until a ring is started again; what is pending waits.
 * Errors:  none.
 * Context: that of step().
 * Source:  vhost-user: QEMU stops rings and clears the status to pause a machine.
 */
void aero_virtio_balloon_host_detach(struct aero_virtio_balloon *dev);

/**
 * aero_virtio_balloon_host_forget() - The balloon of an earlier driver is gone.
 * @dev: Initialised.
 *
 * Shape:   frames, actual, statistics and the hint round are as after a reset; features, rings,
 *          target stay, and the poison value, which the new driver may have written already.
 * Owner:   every frame is the guest's.
 * Errors:  none.
 * Context: that of nodes.put().
 * Source:  a driver that starts its rings afresh has no frames in a balloon.
 */
void aero_virtio_balloon_host_forget(struct aero_virtio_balloon *dev);

/**
 * aero_virtio_balloon_host_kick() - The driver notified a queue.
 * @dev:   Initialised.
 * @index: Any; others than 0 to 4 are ignored.
 *
 * Shape:   only noted; call step().
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  VIRTIO 1.4, 2.3.
 */
void aero_virtio_balloon_host_kick(struct aero_virtio_balloon *dev, unsigned int index);

/**
 * aero_virtio_balloon_host_step() - Do one bounded piece of work.
 * @dev:    Initialised.
 * @now_ns: Monotonic time.
 *
 * Shape:   answers when to call again unless something happens before: now_ns for at once, a later
 *          time, or AERO_NEVER. A piece is at most 512 frames, 64 buffers of a hint, or discards of
 *          32 MiB together.
 * Owner:   nothing changes hands.
 * Errors:  none; events and counters tell.
 * Context: that of memory and ops.
 * Source:  design of Aerostat.
 */
uint64_t aero_virtio_balloon_host_step(struct aero_virtio_balloon *dev, uint64_t now_ns);

/**
 * aero_virtio_balloon_host_set_target() - How many frames the balloon is to hold.
 * @dev:        Initialised.
 * @frames:     Any number.
 * @out_frames: What was set: frames, or the protocol's limit where that is less.
 *
 * Shape:   kept across resets and drivers.
 * Owner:   nothing changes hands.
 * Errors:  AERO_ERANGE: clamped to 2^32 - 1; it is set all the same, out_frames says to what.
 * Context: that of ops->notify_config() and ops->event().
 * Source:  VIRTIO 1.4, 5.5.4: num_pages has 32 bits.
 */
enum aero_status aero_virtio_balloon_host_set_target(struct aero_virtio_balloon *dev,
						     uint64_t frames, uint64_t *out_frames);

/**
 * aero_virtio_balloon_host_request_stats() - Ask the guest for fresh statistics.
 * @dev: Initialised.
 *
 * Shape:   an event tells when they are there; read them with stats().
 * Owner:   the held buffer goes to the driver.
 * Errors:  AERO_ENOTSUP: the driver has no statistics queue. AERO_ESTATE: no driver. AERO_EAGAIN:
 *          the driver has not supplied a buffer yet, or has the last one still; it counts as asked.
 * Context: that of ops->notify_queue().
 * Source:  VIRTIO 1.4, 5.5.6.3.
 */
enum aero_status aero_virtio_balloon_host_request_stats(struct aero_virtio_balloon *dev);

/**
 * aero_virtio_balloon_host_stats() - The statistics that came last.
 * @dev: Initialised.
 *
 * Shape:   never NULL; time_ns is 0 where none came.
 * Owner:   the device's; valid until the next step().
 * Errors:  none.
 * Context: any.
 * Source:  VIRTIO 1.4, 5.5.6.4.
 */
const struct aero_virtio_balloon_stats *aero_virtio_balloon_host_stats(
	const struct aero_virtio_balloon *dev);

/**
 * aero_virtio_balloon_host_hint_start() - Begin a round of free page hinting.
 * @dev: Initialised.
 *
 * Shape:   a new command id; hints of earlier rounds are ignored from now on.
 * Owner:   the driver keeps the pages it hints until hint_done().
 * Errors:  AERO_ENOTSUP: not negotiated. AERO_ESTATE: no driver, or a round is running.
 * Context: that of ops->notify_config().
 * Source:  VIRTIO 1.4, 5.5.6.5.
 */
enum aero_status aero_virtio_balloon_host_hint_start(struct aero_virtio_balloon *dev);

/**
 * aero_virtio_balloon_host_hint_stop() - End a round; the driver keeps the pages.
 * @dev: Initialised.
 *
 * Shape:   hints that still come are ignored.
 * Owner:   the pages stay with the driver's round.
 * Errors:  AERO_ENOTSUP: not negotiated. AERO_ESTATE: no round.
 * Context: that of ops->notify_config().
 * Source:  VIRTIO 1.4, 5.5.6.5: command id 0.
 */
enum aero_status aero_virtio_balloon_host_hint_stop(struct aero_virtio_balloon *dev);

/**
 * aero_virtio_balloon_host_hint_done() - Let the driver use hinted pages again.
 * @dev: Initialised.
 *
 * Shape:   ends a running round as well.
 * Owner:   the pages are the guest's.
 * Errors:  AERO_ENOTSUP: not negotiated. AERO_ESTATE: no driver.
 * Context: that of ops->notify_config().
 * Source:  VIRTIO 1.4, 5.5.6.5: command id 1.
 */
enum aero_status aero_virtio_balloon_host_hint_done(struct aero_virtio_balloon *dev);

/* Operation: pause, inhibit, ask, save. */

/**
 * aero_virtio_balloon_host_quiesce() - Come to rest, for a snapshot.
 * @dev: Initialised.
 *
 * Shape:   no new request is taken. step() finishes those begun and discards what is pending; then
 *          an event says drained, and guest memory is not changed or discarded until resume().
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat, section 4.
 */
void aero_virtio_balloon_host_quiesce(struct aero_virtio_balloon *dev);

/**
 * aero_virtio_balloon_host_resume() - Go on.
 * @dev: Initialised.
 *
 * Shape:   what waits in the rings is seen without a kick.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat, section 4.
 */
void aero_virtio_balloon_host_resume(struct aero_virtio_balloon *dev);

/**
 * aero_virtio_balloon_host_inhibit() - Set the reasons not to discard.
 * @dev:     Initialised.
 * @reasons: Bits of enum aero_inhibit; 0 permits discards again.
 *
 * Shape:   requests are answered, memory stays. What is pending may be discarded later where
 *          MUST_TELL_HOST is negotiated; else it is dropped and counted.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  passthrough devices and postcopy, see docs/protocols/virtio-balloon.md.
 */
void aero_virtio_balloon_host_inhibit(struct aero_virtio_balloon *dev, uint32_t reasons);

/**
 * aero_virtio_balloon_host_flush() - The host needs memory: do not wait for whole blocks.
 * @dev: Initialised.
 *
 * Shape:   step() discards all that is pending.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat, section 2.
 */
void aero_virtio_balloon_host_flush(struct aero_virtio_balloon *dev);

/**
 * aero_virtio_balloon_host_report() - How it is.
 * @dev:        Initialised.
 * @now_ns:     Monotonic time.
 * @out_report: The answer.
 *
 * Shape:   counters are in dev->counters and dev->ledger.counters.
 * Owner:   a copy.
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat, section 3.
 */
void aero_virtio_balloon_host_report(const struct aero_virtio_balloon *dev, uint64_t now_ns,
				     struct aero_virtio_balloon_report *out_report);

#ifdef __cplusplus
}
#endif

#endif
