/* SPDX-License-Identifier: MIT */
/* The statistics queue: one buffer that the device holds until it wants fresh numbers. */
#include "virtio_balloon_internal.h"

#define STAT_BYTES sizeof(struct aero_virtio_balloon_wire_stat)

/* A number of the driver's; a legacy driver writes its own byte order. */
static uint16_t read16(const uint8_t *p, bool is_big)
{
	uint16_t v = aero_get_le16(p);

	return aero_swap16(v, is_big);
}

static uint64_t read64(const uint8_t *p, bool is_big)
{
	uint64_t v = aero_get_le64(p);

	return aero_swap64(v, is_big);
}

static void store_unknown(struct aero_virtio_balloon *dev, uint16_t tag, uint64_t value)
{
	struct aero_virtio_balloon_stats *stats = &dev->stats;

	if (stats->unknown_count == AERO_VIRTIO_BALLOON_STATS_UNKNOWN) {
		dev->counters.stats_unknown_dropped++;
		return;
	}
	stats->unknown[stats->unknown_count].tag = tag;
	stats->unknown[stats->unknown_count].value = value;
	stats->unknown_count++;
}

static void store_stats(struct aero_virtio_balloon *dev, const uint8_t *bytes, uint32_t len)
{
	bool is_big = is_guest_big(dev);
	struct aero_virtio_balloon_stats *stats = &dev->stats;
	uint32_t at;

	/* The driver sends the same subset each time; what is absent now is unknown now. */
	stats->known = 0;
	stats->unknown_count = 0;
	memset(stats->value, 0, sizeof(stats->value));
	for (at = 0; len - at >= STAT_BYTES; at += STAT_BYTES) {
		uint16_t tag = read16(bytes + at, is_big);
		uint64_t value = read64(bytes + at + sizeof(tag), is_big);

		if (tag < AERO_VIRTIO_BALLOON_STATS) {
			stats->known |= 1u << tag;
			stats->value[tag] = value;
		} else {
			store_unknown(dev, tag, value);
		}
	}
	stats->time_ns = dev->now_ns;
	stats->sequence++;
}

static bool is_legacy(const struct aero_virtio_balloon *dev)
{
	return !is_accepted(dev, AERO_VIRTIO_F_VERSION_1);
}

/* A buffer came: read it, keep it. */
void aero_virtio_balloon_serve_stats(struct aero_virtio_balloon *dev,
				     struct aero_virtio_balloon_queue *q)
{
	bool is_garbage = is_legacy(dev) && dev->is_first_stats;
	uint32_t len;

	/* More than the chunk holds is more entries than there are tags: the rest is not read. */
	if (aero_virtio_queue_read(&q->ring, &q->chain, dev->chunk, sizeof(dev->chunk), &len) !=
	    AERO_OK) {
		aero_virtio_balloon_break(dev, q);
		return;
	}
	dev->counters.stats_buffers++;
	dev->is_first_stats = false;
	/* Old drivers sent their first buffer uninitialised. */
	if (!is_garbage) {
		store_stats(dev, (const uint8_t *)dev->chunk, len);
		aero_virtio_balloon_emit(dev, EVENT(STATS), dev->stats.sequence);
	}
	if (dev->are_stats_wanted) {
		dev->are_stats_wanted = false;
		aero_virtio_balloon_answer(dev, q);
	}
}

enum aero_status aero_virtio_balloon_host_request_stats(struct aero_virtio_balloon *dev)
{
	struct aero_virtio_balloon_queue *q;

	if (!is_live(dev))
		return AERO_ESTATE;
	if (!is_accepted(dev, AERO_VIRTIO_BALLOON_F_STATS_VQ))
		return AERO_ENOTSUP;
	q = aero_virtio_balloon_find_role(dev, ROLE(STATS));
	dev->counters.stats_requests++;
	if (!q || !q->has_chain || dev->is_quiesced) {
		dev->are_stats_wanted = true;
		return AERO_EAGAIN;
	}
	aero_virtio_balloon_answer(dev, q);
	return AERO_OK;
}

const struct aero_virtio_balloon_stats *aero_virtio_balloon_host_stats(
	const struct aero_virtio_balloon *dev)
{
	return &dev->stats;
}

static const struct {
	const char *name;
	bool is_bytes;
} tags[AERO_VIRTIO_BALLOON_STATS] = {
	{ "swap-in", true },	      { "swap-out", true },	{ "major-faults", false },
	{ "minor-faults", false },    { "free-memory", true },	{ "total-memory", true },
	{ "available-memory", true }, { "disk-caches", true },	{ "htlb-pgalloc", false },
	{ "htlb-pgfail", false },     { "oom-kills", false },	{ "alloc-stalls", false },
	{ "async-scans", true },      { "direct-scans", true }, { "async-reclaims", true },
	{ "direct-reclaims", true },
};

const char *aero_virtio_balloon_stat_name(uint16_t tag)
{
	return tag < AERO_VIRTIO_BALLOON_STATS ? tags[tag].name : NULL;
}

bool aero_virtio_balloon_stat_is_bytes(uint16_t tag)
{
	return tag < AERO_VIRTIO_BALLOON_STATS && tags[tag].is_bytes;
}
