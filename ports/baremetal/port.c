/* SPDX-License-Identifier: MIT */

/*
 * Each function is a line or two around the allocator; docs/porting.md goes through them. Memory is
 * mapped one to one, so a frame number and a pointer are the same thing but for a shift.
 */

#include "port.h"
#include "arch/arch_irq.h"
#include "console.h"
#include "text.h"

struct aero_port port;
static struct frame_bits marks;

/* There is nothing here to reclaim: both efforts are the same. */
static size_t alloc(void *ctx, unsigned int order, enum aero_effort effort, aero_frame *out,
		    size_t count)
{
	(void)ctx;
	(void)effort;
	return buddy_take(&memory.buddy, order, out, count);
}

static void give_back(void *ctx, unsigned int order, const aero_frame *frames, size_t count)
{
	(void)ctx;
	for (size_t i = 0; memory.has_poison && i < count; i++)
		memory_poison(frames[i], 1ull << order);
	buddy_give(&memory.buddy, order, frames, count);
}

static uint64_t managed_frames(void *ctx)
{
	(void)ctx;
	return memory.managed_frames;
}

static void *page_get(void *ctx)
{
	aero_frame frame;

	(void)ctx;
	if (!memory_take(0, &frame))
		return NULL;
	return (void *)(uintptr_t)(frame << AERO_FRAME_SHIFT);
}

static aero_frame page_frame(void *ctx, void *page)
{
	(void)ctx;
	return (uintptr_t)page >> AERO_FRAME_SHIFT;
}

static void page_put(void *ctx, void *page)
{
	memory_give(page_frame(ctx, page), 1);
}

/* One processor: whoever else might call the balloon is an interrupt. */
static uintptr_t lock(void *ctx)
{
	(void)ctx;
	return arch_irq_save();
}

static void unlock(void *ctx, uintptr_t state)
{
	(void)ctx;
	arch_irq_restore(state);
}

static void write_log(void *ctx, enum aero_log_level level, const char *text)
{
	static const char *const words[] = { "error: ", "warning: ", "" };
	char buf[256];
	struct text line;

	(void)ctx;
	text_init(&line, buf, sizeof(buf));
	text_add(&line, "balloon: ");
	text_add(&line, words[level]);
	text_add(&line, text);
	console_say(buf);
}

static void say(struct aero_memory_stats *stats, enum aero_memory_stat which, uint64_t value)
{
	stats->value[which] = value;
	stats->known |= 1u << which;
}

/* What this kernel cannot know is left out: it has no faults, no disk, no reclaim by scanning. */
static void tell_stats(void *ctx, struct aero_memory_stats *out_stats)
{
	uint64_t free = memory.buddy.free_frames << AERO_FRAME_SHIFT;

	(void)ctx;
	say(out_stats, AERO_MEMORY_FREE, free);
	say(out_stats, AERO_MEMORY_TOTAL, memory.managed_frames << AERO_FRAME_SHIFT);
	say(out_stats, AERO_MEMORY_AVAILABLE, free);
	say(out_stats, AERO_MEMORY_HUGE_ALLOCS, memory.large_blocks);
	say(out_stats, AERO_MEMORY_HUGE_FAILURES, memory.large_failures);
	say(out_stats, AERO_MEMORY_OOM_KILLS, memory.failures);
	say(out_stats, AERO_MEMORY_DIRECT_RECLAIM, memory.reclaimed_frames << AERO_FRAME_SHIFT);
}

/* Optional, and for the tests: a frame that leaves twice, or comes back twice, ends the kernel. */
static void set_offline(void *ctx, unsigned int order, const aero_frame *frames, size_t count,
			bool is_offline)
{
	(void)ctx;
	for (size_t i = 0; i < count; i++) {
		if (is_offline)
			frame_bits_add(&marks, frames[i], 1ull << order);
		else
			frame_bits_remove(&marks, frames[i], 1ull << order);
	}
}

uint64_t port_marked_frames(void)
{
	return marks.count;
}

bool port_marked_run(aero_frame from, struct aero_range *out_run)
{
	return frame_bits_next(&marks, from, out_run);
}

void port_init(const struct port_options *options, struct memory_map *map)
{
	/* The lowest is the kernel's page. */
	uint32_t orders = 1u << memory.page_order | 1u << AERO_ORDER_2M;

	port = (struct aero_port){
		.orders = options->orders ? options->orders : orders,
		.alloc = alloc,
		.free = give_back,
		.managed_frames = managed_frames,
		.page_get = page_get,
		.page_put = page_put,
		.page_frame = page_frame,
		.lock = lock,
		.unlock = unlock,
		.log = write_log,
		.stats = tell_stats,
		/*
		 * Without split: the allocator knows no orders of what it has lent. Without
		 * adjust_managed: the total stays, as does Linux's with DEFLATE_ON_OOM.
		 */
	};
	if (!options->has_marks)
		return;
	frame_bits_init(&marks, map);
	port.set_offline = set_offline;
}
