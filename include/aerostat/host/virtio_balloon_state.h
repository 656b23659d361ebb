/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOST_VIRTIO_BALLOON_STATE_H
#define AEROSTAT_HOST_VIRTIO_BALLOON_STATE_H

/* A virtio-balloon device written down, read back, checked, and put into words. */

#include <aerostat/host/virtio_balloon_types.h>
#include <aerostat/status.h>
#include <aerostat/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * aero_virtio_balloon_host_save() - Write the device down.
 * @dev:  Quiesced and drained.
 * @sink: Where to.
 *
 * Shape:   everything: features, status, configuration, target, rings, the held statistics buffer,
 *          hints, counters, the ledger.
 * Owner:   nothing changes hands; the device can be resumed.
 * Errors:  AERO_ESTATE: not quiesced or not yet drained; those of the sink.
 * Context: that of the sink.
 * Source:  design of Aerostat, section 4.
 */
enum aero_status aero_virtio_balloon_host_save(struct aero_virtio_balloon *dev,
					       const struct aero_sink *sink);

/**
 * aero_virtio_balloon_host_restore() - Read a device back.
 * @dev:    Fresh from init(), with the same guest memory.
 * @source: What save() wrote, not trusted.
 *
 * Shape:   the device is quiesced, as it was saved; resume() it.
 * Owner:   nodes are taken.
 * Errors:  AERO_EPROTO: no save() wrote this, or it does not fit the offered features or the
 *          memory; AERO_ENOMEM; those of the source. The device is as after init() then.
 * Context: that of the source and memory->translate().
 * Source:  design of Aerostat, section 4.
 */
enum aero_status aero_virtio_balloon_host_restore(struct aero_virtio_balloon *dev,
						  const struct aero_source *source);

/**
 * aero_virtio_balloon_host_validate() - Check every invariant.
 * @dev: Initialised.
 *
 * Shape:   for tests and for doubts; cost grows with the balloon.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EBUG: one does not hold.
 * Context: any.
 * Source:  design of Aerostat.
 */
enum aero_status aero_virtio_balloon_host_validate(const struct aero_virtio_balloon *dev);

/**
 * aero_virtio_balloon_stat_name() - Name of a statistics tag.
 * @tag: Any number.
 *
 * Shape:   a word with dashes, such as "free-memory"; NULL for a tag without a name.
 * Owner:   static storage.
 * Errors:  none.
 * Context: any.
 * Source:  VIRTIO 1.4, 5.5.6.4 and tags 10 to 15 of Linux.
 */
const char *aero_virtio_balloon_stat_name(uint16_t tag);

/**
 * aero_virtio_balloon_stat_is_bytes() - Whether a tag counts bytes.
 * @tag: Any number.
 *
 * Shape:   false for tags that count events, and for unknown ones.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  as above.
 */
bool aero_virtio_balloon_stat_is_bytes(uint16_t tag);

#ifdef __cplusplus
}
#endif

#endif
