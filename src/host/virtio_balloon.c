/* SPDX-License-Identifier: MIT */
/* The device itself: life, features, status, target, pause. */
#include "progress.h"
#include "virtio_balloon_internal.h"

/* Bits the device knows how to do. */
static const unsigned char known_features[] = {
	AERO_VIRTIO_BALLOON_F_MUST_TELL_HOST,
	AERO_VIRTIO_BALLOON_F_STATS_VQ,
	AERO_VIRTIO_BALLOON_F_DEFLATE_ON_OOM,
	AERO_VIRTIO_BALLOON_F_FREE_PAGE_HINT,
	AERO_VIRTIO_BALLOON_F_PAGE_POISON,
	AERO_VIRTIO_BALLOON_F_PAGE_REPORTING,
	AERO_VIRTIO_F_INDIRECT_DESC,
	AERO_VIRTIO_F_EVENT_IDX,
	AERO_VIRTIO_F_VERSION_1,
	AERO_VIRTIO_F_RING_PACKED,
	AERO_VIRTIO_F_IN_ORDER,
};

struct aero_virtio_features aero_virtio_balloon_host_features(void)
{
	struct aero_virtio_features features = { { 0, 0 } };
	size_t i;

	for (i = 0; i < sizeof(known_features); i++)
		features.word[known_features[i] / 64] |= 1ull << known_features[i] % 64;
	return features;
}

static bool is_subset(const struct aero_virtio_features *part,
		      const struct aero_virtio_features *whole)
{
	return !(part->word[0] & ~whole->word[0]) && !(part->word[1] & ~whole->word[1]);
}

static uint32_t config_bytes_needed(const struct aero_virtio_features *offered)
{
	if (has_feature(offered, AERO_VIRTIO_BALLOON_F_PAGE_POISON))
		return AERO_VIRTIO_BALLOON_CONFIG_BYTES_MAX;
	if (has_feature(offered, AERO_VIRTIO_BALLOON_F_FREE_PAGE_HINT))
		return AERO_VIRTIO_BALLOON_CONFIG_BYTES_HINT;
	return AERO_VIRTIO_BALLOON_CONFIG_BYTES_MIN;
}

static bool is_config_valid(const struct aero_virtio_balloon_config *config)
{
	struct aero_virtio_features known = aero_virtio_balloon_host_features();
	uint32_t bytes = config->config_bytes;

	if (!config->memory || !config->memory->translate || !config->ops)
		return false;
	if (!config->ops->notify_queue || !config->ops->notify_config || !config->nodes.get ||
	    !config->nodes.put)
		return false;
	if (!is_subset(&config->offered, &known) || config->mode > AERO_DISCARD_NONE)
		return false;
	return !bytes ||
	       (bytes >= config_bytes_needed(&config->offered) && bytes <= 16 && bytes % 4 == 0);
}

enum aero_status aero_virtio_balloon_host_init(struct aero_virtio_balloon *dev,
					       const struct aero_virtio_balloon_config *config)
{
	struct aero_ledger_config ledger = { config->memory, config->nodes, config->idle_ns };

	if (!is_config_valid(config))
		return AERO_EINVAL;
	memset(dev, 0, sizeof(*dev));
	dev->config = *config;
	if (!dev->config.config_bytes)
		dev->config.config_bytes = config_bytes_needed(&config->offered);
	if (!dev->config.silent_ns)
		dev->config.silent_ns = SILENT_NS_DEFAULT;
	dev->is_first_stats = true;
	dev->nearest_frames = UINT64_MAX;
	return aero_ledger_init(&dev->ledger, &ledger);
}

void aero_virtio_balloon_host_fini(struct aero_virtio_balloon *dev)
{
	aero_ledger_fini(&dev->ledger);
	memset(dev->queue, 0, sizeof(dev->queue));
}

void aero_virtio_balloon_emit(struct aero_virtio_balloon *dev,
			      enum aero_virtio_balloon_event_kind kind, uint64_t value)
{
	struct aero_virtio_balloon_event event = { kind, value };

	if (dev->config.ops->event)
		dev->config.ops->event(dev->config.ops_ctx, &event);
}

void aero_virtio_balloon_notify_config(struct aero_virtio_balloon *dev)
{
	/* A driver that is about to go live may look early; there is none without features. */
	if (!is_live(dev) && !dev->accepted.word[0])
		return;
	dev->counters.config_notifications++;
	dev->config.ops->notify_config(dev->config.ops_ctx);
}

void aero_virtio_balloon_choose_mode(struct aero_virtio_balloon *dev)
{
	enum aero_discard_mode mode = dev->config.mode;

	if (mode == AERO_DISCARD_COLLECT && !is_accepted(dev, AERO_VIRTIO_BALLOON_F_MUST_TELL_HOST))
		mode = AERO_DISCARD_REQUEST;
	/* What waits was given under a promise that does not hold from now on. */
	if (mode != AERO_DISCARD_COLLECT && dev->ledger.mode == AERO_DISCARD_COLLECT)
		aero_ledger_drop_rest(&dev->ledger);
	aero_ledger_set_mode(&dev->ledger, mode);
}

enum aero_status aero_virtio_balloon_host_accept(struct aero_virtio_balloon *dev,
						 const struct aero_virtio_features *features)
{
	if (is_live(dev))
		return AERO_ESTATE;
	if (!is_subset(features, &dev->config.offered))
		return AERO_ENOTSUP;
	dev->accepted = *features;
	dev->numbering = NUMBERING_UNDECIDED;
	dev->optional_up = 0;
	aero_virtio_balloon_choose_mode(dev);
	aero_virtio_balloon_decide_roles(dev);
	return AERO_OK;
}

void aero_virtio_balloon_host_forget(struct aero_virtio_balloon *dev)
{
	memset(&dev->stats, 0, sizeof(dev->stats));
	aero_ledger_reset(&dev->ledger);
	dev->hint_state = AERO_HINT_STOPPED;
	dev->is_first_stats = true;
	dev->are_stats_wanted = false;
	dev->has_answered = false;
	dev->was_last_deflate = false;
	dev->nearest_frames = UINT64_MAX;
	dev->is_flush_wanted = false;
	dev->actual = 0;
	config_set(dev, CONFIG_ACTUAL, 0);
	config_set(dev, CONFIG_HINT, AERO_VIRTIO_BALLOON_HINT_STOP);
}

void aero_virtio_balloon_host_detach(struct aero_virtio_balloon *dev)
{
	bool was_live = is_live(dev);
	unsigned int i;

	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		(void)aero_virtio_balloon_host_queue_stop(dev, i);
		dev->queue[i].is_enabled = false;
	}
	dev->status = 0;
	if (was_live)
		aero_virtio_balloon_emit(dev, EVENT(READY), 0);
}

/* What the driver wrote and gave is void; a request being served is not answered. */
static void reset(struct aero_virtio_balloon *dev)
{
	bool was_live = is_live(dev);
	unsigned int i;

	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		aero_virtio_queue_stop(&dev->queue[i].ring);
		memset(&dev->queue[i], 0, sizeof(dev->queue[i]));
	}
	memset(&dev->accepted, 0, sizeof(dev->accepted));
	dev->numbering = NUMBERING_UNDECIDED;
	dev->optional_up = 0;
	aero_virtio_balloon_host_forget(dev);
	aero_virtio_balloon_choose_mode(dev);
	config_set(dev, CONFIG_POISON, 0);
	dev->status = 0;
	dev->counters.resets++;
	if (was_live)
		aero_virtio_balloon_emit(dev, EVENT(READY), 0);
}

/* The driver is there: look into every ring, whether it was kicked or not. */
static void go_live(struct aero_virtio_balloon *dev)
{
	unsigned int i;

	aero_virtio_balloon_decide_roles(dev);
	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		dev->queue[i].has_work = dev->queue[i].is_started;
	dev->has_moved = true;
	aero_virtio_balloon_emit(dev, EVENT(READY), 1);
	if (config_get(dev, CONFIG_TARGET))
		aero_virtio_balloon_notify_config(dev);
}

uint8_t aero_virtio_balloon_host_set_status(struct aero_virtio_balloon *dev, uint8_t status)
{
	bool was_live = is_live(dev);

	if (!status) {
		reset(dev);
		return 0;
	}
	/* The driver never clears a bit but by a reset; the device's own bit stays. */
	dev->status |= status & (uint8_t)~AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET;
	if (!was_live && is_live(dev))
		go_live(dev);
	return dev->status;
}

enum aero_status aero_virtio_balloon_host_config_read(const struct aero_virtio_balloon *dev,
						      uint32_t offset, void *buf, uint32_t len)
{
	if (offset > dev->config.config_bytes || len > dev->config.config_bytes - offset) {
		memset(buf, 0, len);
		return AERO_ERANGE;
	}
	memcpy(buf, dev->config_space + offset, len);
	return AERO_OK;
}

void aero_virtio_balloon_note_progress(struct aero_virtio_balloon *dev)
{
	dev->has_moved |=
		aero_host_is_progress(config_get(dev, CONFIG_TARGET),
				      aero_ledger_held(&dev->ledger), &dev->nearest_frames);
}

static void actual_changed(struct aero_virtio_balloon *dev)
{
	uint32_t actual = config_get(dev, CONFIG_ACTUAL);
	uint64_t held = aero_ledger_held(&dev->ledger);

	dev->actual = actual;
	dev->counters.actual_writes++;
	dev->has_answered = true;
	aero_virtio_balloon_note_progress(dev);
	aero_virtio_balloon_emit(dev, EVENT(ACTUAL), actual);
	if (held != actual) {
		dev->counters.actual_mismatches++;
		aero_virtio_balloon_emit(dev, EVENT(DISAGREE), held);
	}
	if (actual == config_get(dev, CONFIG_TARGET)) {
		dev->is_flush_wanted = true;
		aero_virtio_balloon_emit(dev, EVENT(REACHED), actual);
	}
}

/* Whether a byte of configuration space is the driver's to write. */
static bool is_driver_byte(uint32_t offset)
{
	return offset / 4 == CONFIG_ACTUAL / 4 || offset / 4 == CONFIG_POISON / 4;
}

enum aero_status aero_virtio_balloon_host_config_write(struct aero_virtio_balloon *dev,
						       uint32_t offset, const void *buf,
						       uint32_t len)
{
	const uint8_t *bytes = buf;
	bool is_ignored = false;
	uint32_t i;

	if (offset > dev->config.config_bytes || len > dev->config.config_bytes - offset)
		return AERO_ERANGE;
	for (i = 0; i < len; i++) {
		if (is_driver_byte(offset + i))
			dev->config_space[offset + i] = bytes[i];
		else if (dev->config_space[offset + i] != bytes[i])
			is_ignored = true;
	}
	dev->counters.config_writes_ignored += is_ignored;
	if (offset <= CONFIG_ACTUAL + 3 && offset + len > CONFIG_ACTUAL + 3)
		actual_changed(dev);
	return AERO_OK;
}

enum aero_status aero_virtio_balloon_host_set_target(struct aero_virtio_balloon *dev,
						     uint64_t frames, uint64_t *out_frames)
{
	uint32_t target = frames > UINT32_MAX ? UINT32_MAX : (uint32_t)frames;

	config_set(dev, CONFIG_TARGET, target);
	dev->has_answered = false;
	dev->has_moved = true;
	dev->nearest_frames = UINT64_MAX;
	*out_frames = target;
	aero_virtio_balloon_emit(dev, EVENT(TARGET), target);
	aero_virtio_balloon_notify_config(dev);
	return target == frames ? AERO_OK : AERO_ERANGE;
}

void aero_virtio_balloon_host_quiesce(struct aero_virtio_balloon *dev)
{
	dev->is_quiesced = true;
	dev->is_drained_told = false;
}

void aero_virtio_balloon_host_resume(struct aero_virtio_balloon *dev)
{
	unsigned int i;

	dev->is_quiesced = false;
	dev->has_moved = true;
	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		dev->queue[i].has_work = dev->queue[i].is_started;
}

void aero_virtio_balloon_host_inhibit(struct aero_virtio_balloon *dev, uint32_t reasons)
{
	dev->inhibited = reasons;
	aero_ledger_inhibit(&dev->ledger, reasons != 0);
}

void aero_virtio_balloon_host_flush(struct aero_virtio_balloon *dev)
{
	dev->is_flush_wanted = true;
}
