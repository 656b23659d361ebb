/* SPDX-License-Identifier: MIT */
/* The driver of virtio's balloon: statistics. One buffer, which comes back when it is asked for. */
#include "virtio_balloon_internal.h"

/* The port counts by the same numbers as the wire. */
_Static_assert((int)AERO_MEMORY_SWAP_IN == AERO_VIRTIO_BALLOON_S_SWAP_IN, "tag");
_Static_assert((int)AERO_MEMORY_FREE == AERO_VIRTIO_BALLOON_S_MEMFREE, "tag");
_Static_assert((int)AERO_MEMORY_DISK_CACHES == AERO_VIRTIO_BALLOON_S_CACHES, "tag");
_Static_assert((int)AERO_MEMORY_HUGE_ALLOCS == AERO_VIRTIO_BALLOON_S_HTLB_PGALLOC, "tag");
_Static_assert((int)AERO_MEMORY_DIRECT_RECLAIM == AERO_VIRTIO_BALLOON_S_DIRECT_RECLAIM, "tag");
_Static_assert((int)AERO_MEMORY_STATS == AERO_VIRTIO_BALLOON_S_COUNT, "tags");

/*
 * Fills the buffer in; answers its length. All buffers have the same tags, those of the first: a
 * value that the kernel has stopped knowing is the one that the page still has.
 */
static uint32_t fill(struct aero_virtio_balloon_guest *drv, bool is_first)
{
	const struct aero_port *port = drv->config.balloon.port;
	struct aero_virtio_balloon_wire_stat *entry = drv->side_page;
	bool is_swapped = aero_vb_is_swapped(drv);
	struct aero_memory_stats stats;
	uint32_t bytes = 0;
	unsigned int tag;

	memset(&stats, 0, sizeof(stats));
	port->stats(port->ctx, &stats);
	if (is_first)
		drv->stats_known = stats.known;
	for (tag = 0; tag < AERO_MEMORY_STATS; tag++) {
		uint16_t number = aero_swap16((uint16_t)tag, is_swapped);
		uint64_t value = aero_swap64(stats.value[tag], is_swapped);

		if (!(drv->stats_known >> tag & 1))
			continue;
		if (stats.known >> tag & 1) {
			aero_copy(entry->tag, &number, sizeof(number));
			aero_copy(entry->value, &value, sizeof(value));
		}
		entry++;
		bytes += sizeof(*entry);
	}
	return bytes;
}

bool aero_vb_stats_prepare(struct aero_virtio_balloon_guest *drv)
{
	return drv->config.balloon.port->stats && aero_vb_get_side_page(drv) && fill(drv, true);
}

void aero_vb_stats_give(struct aero_virtio_balloon_guest *drv)
{
	struct aero_virtio_guest_buffer buffer = { 0, 0, false };

	if (!drv->queue[STATS].is_there)
		return;
	buffer.len = fill(drv, false);
	buffer.gpa = aero_vb_gpa(drv, drv->side_page);
	if (aero_vb_give_one(drv, STATS, 0, &buffer))
		drv->counters.stats_buffers++;
}

bool aero_vb_stats_step(struct aero_virtio_balloon_guest *drv)
{
	uint16_t token;

	if (!aero_vb_take(drv, STATS, &token))
		return false;
	aero_vb_stats_give(drv);
	return aero_virtio_guest_queue_interrupt_after(&drv->queue[STATS].queue, 1);
}
