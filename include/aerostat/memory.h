/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_MEMORY_H
#define AEROSTAT_MEMORY_H

/*
 * What a VMM supplies: guest memory as the host sees it.
 *
 * Device models reach guest memory through this table only, so that a VMM's own checks (regions,
 * dirty logging, IOMMU) always apply. Every member is called from the context of the device call
 * that needs it, never with a lock of ours held, and must not call back into the device.
 */

#include <aerostat/status.h>
#include <aerostat/types.h>

/* Who touches the bytes that translate() answers with. */
enum aero_access {
	AERO_ACCESS_READ = 1,  /* the device reads guest memory */
	AERO_ACCESS_WRITE = 2, /* the device writes guest memory */
	AERO_ACCESS_BOTH = 3,
};

/*
 * The backing of guest memory, in orders of frames.
 *
 * discard_order is the smallest block whose discard frees anything: 0 for ordinary pages, 9 or 18
 * for hugetlb pages. block_order is the block worth waiting for, because discarding it whole is
 * much cheaper than in parts: 9 for transparent huge pages. discard_order <= block_order.
 */
struct aero_backing {
	unsigned int discard_order;
	unsigned int block_order;
};

struct aero_host_memory {
	/* Handed back as the first argument of every member. */
	void *ctx;

	/*
	 * translate - The host address of guest memory.
	 *
	 * Answers a pointer to guest-physical address gpa that is valid for *len bytes, after
	 * lowering *len where the region ends sooner; NULL where gpa is not guest memory or access
	 * is not allowed. *len is at least 1 on entry and, with an answer, on return. The pointer
	 * stays valid until the VMM calls the device's memory_changed().
	 */
	void *(*translate)(void *ctx, aero_gpa gpa, size_t *len, enum aero_access access);

	/*
	 * is_ram - Whether every frame of a range is guest memory that may be discarded.
	 *
	 * Called for each run a guest names, before anything is recorded. Answers how many frames
	 * from range.first on are such memory, without a hole: range.count means all, 0 means not
	 * even the first.
	 */
	uint64_t (*is_ram)(void *ctx, struct aero_range range);

	/*
	 * discard - Give the host its memory back.
	 *
	 * After AERO_OK the range reads as zeros and holds no host memory (where it is aligned to
	 * the backing's discard_order; unaligned ends may stay). *out_freed_bytes is what the host
	 * really got back, as well as the VMM can tell. AERO_EIO: the host failed, nothing is known
	 * about the range, the device counts it and goes on.
	 */
	enum aero_status (*discard)(void *ctx, struct aero_range range, uint64_t *out_freed_bytes);

	/* Read at init() and again at each memory_changed(). */
	struct aero_backing backing;
};

/*
 * Where sets of frames take their nodes from: pages of 4096 bytes, aligned to 4096.
 *
 * get answers a page of any content or NULL when there is none; put takes one back.
 */
struct aero_node_source {
	void *ctx;
	void *(*get)(void *ctx);
	void (*put)(void *ctx, void *page);
};

#define AERO_NODE_BYTES 4096

#endif
