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

static void ask(const struct aero_virtio_balloon_guest *drv, struct aero_memory_stats *out)
{
	const struct aero_port *port = drv->config.balloon.port;

	memset(out, 0, sizeof(*out));
	port->stats(port->ctx, out);
	out->known &= (1u << AERO_MEMORY_STATS) - 1;
}

bool aero_vb_stats_prepare(struct aero_virtio_balloon_guest *drv)
{
	const struct aero_port *port = drv->config.balloon.port;
	struct aero_memory_stats stats;

	if (!port->stats)
		return false;
	ask(drv, &stats);
	drv->stats_known = stats.known;
	return stats.known && aero_vb_get_side_page(drv);
}

void aero_vb_stats_give(struct aero_virtio_balloon_guest *drv)
{
	bool is_swapped = aero_vb_is_swapped(drv);
	struct aero_virtio_balloon_wire_stat *entry = drv->side_page;
	struct aero_virtio_guest_buffer buffer = { 0, 0, false };
	struct aero_memory_stats stats;
	unsigned int tag;

	if (!drv->queue[STATS].is_there)
		return;
	ask(drv, &stats);
	/* The same ones in every buffer. */
	for (tag = 0; tag < AERO_MEMORY_STATS; tag++) {
		uint16_t number = aero_swap16((uint16_t)tag, is_swapped);
		uint64_t value = aero_swap64(stats.value[tag], is_swapped);

		if (!(drv->stats_known >> tag & 1))
			continue;
		aero_copy(entry->tag, &number, sizeof(number));
		aero_copy(entry->value, &value, sizeof(value));
		entry++;
		buffer.len += sizeof(*entry);
	}
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
