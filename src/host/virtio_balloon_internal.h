/* SPDX-License-Identifier: MIT */
#ifndef AERO_HOST_VIRTIO_BALLOON_INTERNAL_H
#define AERO_HOST_VIRTIO_BALLOON_INTERNAL_H

/* What the files of the virtio-balloon device share. */

#include <aerostat/host/virtio_balloon.h>
#include <aerostat/host/virtio_balloon_state.h>
#include <aerostat/ranges.h>
#include <aerostat/wire/virtio.h>
#include <aerostat/wire/virtio_balloon.h>

#include "../core/platform.h"

#define ROLE(name) AERO_VIRTIO_BALLOON_ROLE_##name
#define EVENT(name) AERO_VIRTIO_BALLOON_EVENT_##name

#define CONFIG_TARGET 0
#define CONFIG_ACTUAL 4
#define CONFIG_HINT 8
#define CONFIG_POISON 12

#define SILENT_NS_DEFAULT 2000000000ull

static inline bool has_feature(const struct aero_virtio_features *features, unsigned int bit)
{
	return features->word[bit / 64] >> (bit % 64) & 1;
}

static inline bool is_accepted(const struct aero_virtio_balloon *dev, unsigned int bit)
{
	return has_feature(&dev->accepted, bit);
}

/* Whether a driver has taken the device and may be served. */
static inline bool is_live(const struct aero_virtio_balloon *dev)
{
	return dev->status & AERO_VIRTIO_STATUS_DRIVER_OK;
}

/* Whether rings and numbers in requests are big-endian: legacy guests only. */
static inline bool is_guest_big(const struct aero_virtio_balloon *dev)
{
	return dev->config.is_big_endian_guest && !is_accepted(dev, AERO_VIRTIO_F_VERSION_1);
}

static inline bool is_swapped(const struct aero_virtio_balloon *dev)
{
	return is_guest_big(dev) != (bool)AERO_HOST_BIG_ENDIAN;
}

static inline uint32_t config_get(const struct aero_virtio_balloon *dev, unsigned int offset)
{
	return aero_get_le32(dev->config_space + offset);
}

static inline void config_set(struct aero_virtio_balloon *dev, unsigned int offset, uint32_t value)
{
	aero_put_le32(dev->config_space + offset, value);
}

/* Tell the VMM. */
void aero_virtio_balloon_emit(struct aero_virtio_balloon *dev,
			      enum aero_virtio_balloon_event_kind kind, uint64_t value);
void aero_virtio_balloon_notify_config(struct aero_virtio_balloon *dev);

/* Discards are allowed now: a driver, no reason against, and memory not promised to be stable. */
static inline bool may_discard(const struct aero_virtio_balloon *dev)
{
	return is_live(dev) && !dev->inhibited && !(dev->is_quiesced && dev->is_drained_told);
}

/* Whether frames that wait may be discarded now. */
static inline bool can_collect(const struct aero_virtio_balloon *dev)
{
	return dev->ledger.mode == AERO_DISCARD_COLLECT && may_discard(dev);
}

/* How a driver numbers its queues. */
enum numbering_kind {
	NUMBERING_UNDECIDED = 0,
	NUMBERING_SPEC,	   /* fixed indices with holes */
	NUMBERING_COMPACT, /* no holes, over the features accepted */
};

/* Decide the numbering from the features accepted and the rings that are up; then the roles. */
void aero_virtio_balloon_decide_roles(struct aero_virtio_balloon *dev);

/* Frames came or went: progress, where the balloon is nearer to its target than ever before. */
void aero_virtio_balloon_note_progress(struct aero_virtio_balloon *dev);

/* Roles of all queues by the numbering decided. A chain of a queue whose role changes goes back. */
void aero_virtio_balloon_assign_roles(struct aero_virtio_balloon *dev);

/* Return the chain of a queue to the driver and interrupt it where it wants that. */
void aero_virtio_balloon_answer(struct aero_virtio_balloon *dev,
				struct aero_virtio_balloon_queue *q);

/* The queue broke: tell, and leave it alone. */
void aero_virtio_balloon_break(struct aero_virtio_balloon *dev,
			       struct aero_virtio_balloon_queue *q);

/* One piece of the chain of a queue, by role; they answer it when it is done. */
void aero_virtio_balloon_serve_frames(struct aero_virtio_balloon *dev,
				      struct aero_virtio_balloon_queue *q);
void aero_virtio_balloon_serve_stats(struct aero_virtio_balloon *dev,
				     struct aero_virtio_balloon_queue *q);
void aero_virtio_balloon_serve_hint(struct aero_virtio_balloon *dev,
				    struct aero_virtio_balloon_queue *q);
void aero_virtio_balloon_serve_report(struct aero_virtio_balloon *dev,
				      struct aero_virtio_balloon_queue *q);
void aero_virtio_balloon_serve(struct aero_virtio_balloon *dev,
			       struct aero_virtio_balloon_queue *q);

/* The queue that has a role and can be served, or NULL. */
struct aero_virtio_balloon_queue *aero_virtio_balloon_find_role(struct aero_virtio_balloon *dev,
								enum aero_virtio_balloon_role role);

/* Set the ledger's mode from the configuration and the features accepted. */
void aero_virtio_balloon_choose_mode(struct aero_virtio_balloon *dev);

#endif
