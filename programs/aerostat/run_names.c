/* SPDX-License-Identifier: MIT */
#include "run_names.h"

#include <aerostat/wire/virtio.h>
#include <aerostat/wire/virtio_balloon.h>

static const char *const phases[RUN_PHASES] = {
	[RUN_BOOTING] = "boot",	     [RUN_DIRTYING] = "dirty",	  [RUN_INFLATING] = "inflate",
	[RUN_ASKING] = "statistics", [RUN_DEFLATING] = "deflate", [RUN_ENDING] = "power-off",
	[RUN_OVER] = "over",
};

static const char *const features[128] = {
	[AERO_VIRTIO_BALLOON_F_MUST_TELL_HOST] = "must_tell_host",
	[AERO_VIRTIO_BALLOON_F_STATS_VQ] = "stats_vq",
	[AERO_VIRTIO_BALLOON_F_DEFLATE_ON_OOM] = "deflate_on_oom",
	[AERO_VIRTIO_BALLOON_F_FREE_PAGE_HINT] = "free_page_hint",
	[AERO_VIRTIO_BALLOON_F_PAGE_POISON] = "page_poison",
	[AERO_VIRTIO_BALLOON_F_PAGE_REPORTING] = "page_reporting",
	[AERO_VIRTIO_F_INDIRECT_DESC] = "indirect_desc",
	[AERO_VIRTIO_F_EVENT_IDX] = "event_idx",
	[AERO_VIRTIO_F_VERSION_1] = "version_1",
	[AERO_VIRTIO_F_ACCESS_PLATFORM] = "access_platform",
	[AERO_VIRTIO_F_RING_PACKED] = "ring_packed",
	[AERO_VIRTIO_F_IN_ORDER] = "in_order",
};

static const char *const stats[AERO_VIRTIO_BALLOON_S_COUNT] = {
	[AERO_VIRTIO_BALLOON_S_SWAP_IN] = "swap_in",
	[AERO_VIRTIO_BALLOON_S_SWAP_OUT] = "swap_out",
	[AERO_VIRTIO_BALLOON_S_MAJFLT] = "major_faults",
	[AERO_VIRTIO_BALLOON_S_MINFLT] = "minor_faults",
	[AERO_VIRTIO_BALLOON_S_MEMFREE] = "free_memory",
	[AERO_VIRTIO_BALLOON_S_MEMTOT] = "total_memory",
	[AERO_VIRTIO_BALLOON_S_AVAIL] = "available_memory",
	[AERO_VIRTIO_BALLOON_S_CACHES] = "disk_caches",
	[AERO_VIRTIO_BALLOON_S_HTLB_PGALLOC] = "hugetlb_allocations",
	[AERO_VIRTIO_BALLOON_S_HTLB_PGFAIL] = "hugetlb_failures",
	[AERO_VIRTIO_BALLOON_S_OOM_KILL] = "oom_kills",
	[AERO_VIRTIO_BALLOON_S_ALLOC_STALL] = "alloc_stalls",
	[AERO_VIRTIO_BALLOON_S_ASYNC_SCAN] = "async_scans",
	[AERO_VIRTIO_BALLOON_S_DIRECT_SCAN] = "direct_scans",
	[AERO_VIRTIO_BALLOON_S_ASYNC_RECLAIM] = "async_reclaims",
	[AERO_VIRTIO_BALLOON_S_DIRECT_RECLAIM] = "direct_reclaims",
};

const char *run_phase_str(enum run_phase phase)
{
	return phases[phase];
}

const char *run_feature_str(unsigned int bit)
{
	return bit < sizeof(features) / sizeof(features[0]) ? features[bit] : NULL;
}

const char *run_stat_str(unsigned int tag)
{
	return tag < AERO_VIRTIO_BALLOON_S_COUNT ? stats[tag] : NULL;
}
