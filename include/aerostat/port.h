/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORT_H
#define AEROSTAT_PORT_H

/*
 * What a guest kernel supplies: one table of functions, given to each object at init.
 *
 * Members that may be NULL say what that means. None is called with the lock held but unlock(),
 * and none may call back into the object that called it, except that alloc(), page_get() and
 * split() may end in the kernel's reclaim, which may call aero_balloon_reclaim() and migration:
 * these answer AERO_EAGAIN while the balloon is at work.
 *
 * A bus (backdoor, hypercall, virtio transport) is a table of its own, in the header of its
 * protocol.
 */

#include <aerostat/status.h>
#include <aerostat/types.h>

/* How hard alloc() is to try. */
enum aero_effort {
	AERO_EFFORT_SPARE,   /* only what lies free: no reclaim, no compaction, no reserves */
	AERO_EFFORT_RECLAIM, /* may reclaim once and sleep; no reserves, no killing */
};

enum aero_log_level {
	AERO_LOG_ERROR,
	AERO_LOG_WARNING,
	AERO_LOG_INFO,
};

/* Statistics of memory; since boot where they count or add up. */
enum aero_memory_stat {
	AERO_MEMORY_SWAP_IN = 0,    /* bytes */
	AERO_MEMORY_SWAP_OUT,	    /* bytes */
	AERO_MEMORY_MAJOR_FAULTS,   /* count: those that needed a device */
	AERO_MEMORY_MINOR_FAULTS,   /* count */
	AERO_MEMORY_FREE,	    /* bytes */
	AERO_MEMORY_TOTAL,	    /* bytes */
	AERO_MEMORY_AVAILABLE,	    /* bytes that programs could have without swapping */
	AERO_MEMORY_DISK_CACHES,    /* bytes that can be dropped without a device */
	AERO_MEMORY_HUGE_ALLOCS,    /* count of huge pages */
	AERO_MEMORY_HUGE_FAILURES,  /* count */
	AERO_MEMORY_OOM_KILLS,	    /* count */
	AERO_MEMORY_ALLOC_STALLS,   /* count */
	AERO_MEMORY_ASYNC_SCAN,	    /* bytes looked at by reclaim in the background */
	AERO_MEMORY_DIRECT_SCAN,    /* bytes looked at by whoever allocated */
	AERO_MEMORY_ASYNC_RECLAIM,  /* bytes */
	AERO_MEMORY_DIRECT_RECLAIM, /* bytes */
	AERO_MEMORY_STATS
};

struct aero_memory_stats {
	uint32_t known; /* bit n: value[n] is there. Absent is not zero */
	uint64_t value[AERO_MEMORY_STATS];
};

struct aero_port {
	/* Handed back as the first argument of every member. */
	void *ctx;

	/*
	 * Bit n is set where alloc() has blocks of 2^n frames. The lowest is the kernel's page: 0
	 * for 4 KiB, 4 for 64 KiB.
	 */
	uint32_t orders;

	/*
	 * alloc - Take blocks of 2^order frames out of the kernel's use.
	 *
	 * Writes the first frame of each block to out and answers how many there are, at most
	 * count; fewer means that there is no more now. Each block is aligned to its size. Frames
	 * of the lowest order may be ones that the kernel can move only by asking (isolate,
	 * migrate).
	 * Context: sleep with AERO_EFFORT_RECLAIM, else atomic.
	 */
	size_t (*alloc)(void *ctx, unsigned int order, enum aero_effort effort, aero_frame *out,
			size_t count);

	/*
	 * free - Give blocks back to the kernel.
	 *
	 * order is that of alloc(), of the migration that brought the block, or the lowest after
	 * split().
	 * Not called for a block that left by migration: that one is the kernel's already. Never
	 * fails. Context: atomic.
	 */
	void (*free)(void *ctx, unsigned int order, const aero_frame *frames, size_t count);

	/*
	 * split - From now on the pages of a block are freed one by one.
	 *
	 * NULL: free() takes parts of a block without further ado. Context: atomic.
	 */
	void (*split)(void *ctx, unsigned int order, aero_frame first);

	/*
	 * set_offline - Blocks have left the kernel's use for the host, or come back from it.
	 *
	 * For dump tools, hot-unplug and hibernation. Called once per block and direction while the
	 * block is ours: after alloc() and before free(), or within a migration. NULL: the kernel
	 * keeps no such mark. Context: atomic.
	 */
	void (*set_offline)(void *ctx, unsigned int order, const aero_frame *frames, size_t count,
			    bool is_offline);

	/*
	 * adjust_managed - The kernel's count of its memory falls (is_taken) or rises by blocks.
	 *
	 * Called once per block and direction while the block is ours, as set_offline(); at a
	 * migration the count rises where the old frame lies and falls where the new one does.
	 * NULL: the count stays. Context: atomic.
	 */
	void (*adjust_managed)(void *ctx, unsigned int order, const aero_frame *frames,
			       size_t count, bool is_taken);

	/*
	 * managed_frames - How many frames the kernel manages.
	 *
	 * The limit that hosts are told. With adjust_managed() the frames in the balloon are not
	 * among them. Context: any.
	 */
	uint64_t (*managed_frames)(void *ctx);

	/*
	 * page_get, page_put, page_frame - Pages of our own: metadata, batches.
	 *
	 * page_get answers 4096 bytes of any content, aligned to 4096, that stay where they are, or
	 * NULL; page_put takes them back; page_frame answers their frame number.
	 * Context: page_get sleep, the others any.
	 */
	void *(*page_get)(void *ctx);
	void (*page_put)(void *ctx, void *page);
	aero_frame (*page_frame)(void *ctx, void *page);

	/*
	 * lock, unlock - One leaf lock, held for at most 512 frames of work.
	 *
	 * lock answers what unlock needs (saved interrupt state). Must exclude every context that
	 * calls isolate, putback, reclaim and migrate. Both NULL: all calls come from one context.
	 */
	uintptr_t (*lock)(void *ctx);
	void (*unlock)(void *ctx, uintptr_t state);

	/* log - A line for people, without newline. NULL: silence. Context: any. */
	void (*log)(void *ctx, enum aero_log_level level, const char *text);

	/*
	 * stats - What the kernel knows of its memory, for hosts that ask.
	 *
	 * out_stats is zeroed: fill in value[] and set the bit in known for each. The same ones
	 * each time. NULL: nothing is told. Context: sleep.
	 */
	void (*stats)(void *ctx, struct aero_memory_stats *out_stats);
};

#endif
