/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_WIRE_VIRTIO_BALLOON_H
#define AEROSTAT_WIRE_VIRTIO_BALLOON_H

/*
 * virtio: the traditional memory balloon, device id 5.
 *
 * A frame on this wire is 4096 bytes whatever page size the guest uses, and a frame number has 32
 * bits: memory from 16 TiB on cannot be ballooned. Tags as in virtio.h: [GUEST] the driver writes,
 * [HOST] the device writes.
 *
 * Source: VIRTIO 1.4, "Traditional Memory Balloon Device"; statistics tags 10-15 as Linux 6.12 and
 * later send them.
 */

#include <stddef.h>
#include <stdint.h>

#ifndef AERO_WIRE_ASSERT
#ifdef __cplusplus
#define AERO_WIRE_ASSERT(cond) static_assert(cond, #cond)
#else
#define AERO_WIRE_ASSERT(cond) _Static_assert(cond, #cond)
#endif
#define AERO_WIRE_SIZE(type, bytes) AERO_WIRE_ASSERT(sizeof(type) == (bytes))
#define AERO_WIRE_FIELD(type, field, offset, bytes) \
	AERO_WIRE_ASSERT(offsetof(type, field) == (offset) && sizeof(((type *)0)->field) == (bytes))
#endif

#define AERO_VIRTIO_BALLOON_PFN_SHIFT 12
#define AERO_VIRTIO_BALLOON_PFN_BYTES 4 /* a request is an array of le32 frame numbers */

/* Feature bits, as numbers. VIRTIO_BALLOON_F_... */
#define AERO_VIRTIO_BALLOON_F_MUST_TELL_HOST 0
#define AERO_VIRTIO_BALLOON_F_STATS_VQ 1
#define AERO_VIRTIO_BALLOON_F_DEFLATE_ON_OOM 2
#define AERO_VIRTIO_BALLOON_F_FREE_PAGE_HINT 3
#define AERO_VIRTIO_BALLOON_F_PAGE_POISON 4
#define AERO_VIRTIO_BALLOON_F_PAGE_REPORTING 5 /* Linux: VIRTIO_BALLOON_F_REPORTING */

/*
 * Queue indices of the specification. A queue whose feature is absent does not exist and the later
 * ones keep their index. Linux instead closes the gaps, over negotiated features; QEMU over offered
 * ones. A device has to serve both.
 */
#define AERO_VIRTIO_BALLOON_VQ_INFLATE 0
#define AERO_VIRTIO_BALLOON_VQ_DEFLATE 1
#define AERO_VIRTIO_BALLOON_VQ_STATS 2
#define AERO_VIRTIO_BALLOON_VQ_HINT 3	   /* free_page_vq */
#define AERO_VIRTIO_BALLOON_VQ_REPORTING 4 /* reporting_vq */
#define AERO_VIRTIO_BALLOON_VQ_COUNT 5

/*
 * Device configuration. Little-endian through the legacy interface as well. 8, 12 or 16 bytes long:
 * the last two fields exist with FREE_PAGE_HINT and PAGE_POISON. A legacy driver writes actual byte
 * by byte, lowest byte first; intermediate values mean nothing.
 */
struct aero_virtio_balloon_wire_config {
	uint32_t num_pages;		/* [HOST] le32 frames the host wants: the target */
	uint32_t actual;		/* [GUEST] le32 frames in the balloon */
	uint32_t free_page_hint_cmd_id; /* [HOST] le32 AERO_VIRTIO_BALLOON_HINT_* or a round */
	uint32_t poison_val;		/* [GUEST] le32 what the guest fills free pages with */
};
AERO_WIRE_SIZE(struct aero_virtio_balloon_wire_config, 16);
AERO_WIRE_FIELD(struct aero_virtio_balloon_wire_config, num_pages, 0, 4);
AERO_WIRE_FIELD(struct aero_virtio_balloon_wire_config, actual, 4, 4);
AERO_WIRE_FIELD(struct aero_virtio_balloon_wire_config, free_page_hint_cmd_id, 8, 4);
AERO_WIRE_FIELD(struct aero_virtio_balloon_wire_config, poison_val, 12, 4);

#define AERO_VIRTIO_BALLOON_CONFIG_BYTES_MIN 8
#define AERO_VIRTIO_BALLOON_CONFIG_BYTES_HINT 12
#define AERO_VIRTIO_BALLOON_CONFIG_BYTES_MAX 16

/* Command ids of free page hinting: in the configuration [HOST], in 4-byte buffers [GUEST]. */
#define AERO_VIRTIO_BALLOON_HINT_STOP 0u      /* VIRTIO_BALLOON_CMD_ID_STOP */
#define AERO_VIRTIO_BALLOON_HINT_DONE 1u      /* VIRTIO_BALLOON_CMD_ID_DONE */
#define AERO_VIRTIO_BALLOON_HINT_ROUND_MIN 2u /* this and above name a round */

/* Statistics ---------------------------------------------------------------------------------- */

/* One entry of a statistics buffer. Packed: 10 bytes, hence byte arrays. */
struct aero_virtio_balloon_wire_stat {
	uint8_t tag[2];	  /* [GUEST] le16 AERO_VIRTIO_BALLOON_S_*, or one unknown to us */
	uint8_t value[8]; /* [GUEST] le64 */
};
AERO_WIRE_SIZE(struct aero_virtio_balloon_wire_stat, 10);
AERO_WIRE_FIELD(struct aero_virtio_balloon_wire_stat, tag, 0, 2);
AERO_WIRE_FIELD(struct aero_virtio_balloon_wire_stat, value, 2, 8);

#define AERO_VIRTIO_BALLOON_S_SWAP_IN 0	     /* bytes */
#define AERO_VIRTIO_BALLOON_S_SWAP_OUT 1     /* bytes */
#define AERO_VIRTIO_BALLOON_S_MAJFLT 2	     /* count */
#define AERO_VIRTIO_BALLOON_S_MINFLT 3	     /* count; Linux counts all faults here */
#define AERO_VIRTIO_BALLOON_S_MEMFREE 4	     /* bytes */
#define AERO_VIRTIO_BALLOON_S_MEMTOT 5	     /* bytes */
#define AERO_VIRTIO_BALLOON_S_AVAIL 6	     /* bytes */
#define AERO_VIRTIO_BALLOON_S_CACHES 7	     /* bytes */
#define AERO_VIRTIO_BALLOON_S_HTLB_PGALLOC 8 /* count */
#define AERO_VIRTIO_BALLOON_S_HTLB_PGFAIL 9  /* count */
/* From here on not in the specification. */
#define AERO_VIRTIO_BALLOON_S_OOM_KILL 10	/* count */
#define AERO_VIRTIO_BALLOON_S_ALLOC_STALL 11	/* count */
#define AERO_VIRTIO_BALLOON_S_ASYNC_SCAN 12	/* bytes */
#define AERO_VIRTIO_BALLOON_S_DIRECT_SCAN 13	/* bytes */
#define AERO_VIRTIO_BALLOON_S_ASYNC_RECLAIM 14	/* bytes */
#define AERO_VIRTIO_BALLOON_S_DIRECT_RECLAIM 15 /* bytes */
#define AERO_VIRTIO_BALLOON_S_COUNT 16

#endif
