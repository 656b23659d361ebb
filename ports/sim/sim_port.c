/* SPDX-License-Identifier: MIT */
#include "ports/sim/sim_port.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/sim/sim_internal.h"

void sim_port_violate(struct sim_port *sim, const char *what, uint64_t frame)
{
	if (!sim->violations++)
		snprintf(sim->violation, sizeof(sim->violation), "%s: 0x%" PRIx64, what, frame);
}

static void enter(struct sim_port *sim, enum sim_port_call call, const char *name)
{
	if (sim->is_locked)
		sim_port_violate(sim, name, (uint64_t)call);
	if (sim->during)
		sim->during(sim->during_ctx, call);
}

static bool must_fail(struct sim_port *sim, enum sim_port_call call)
{
	if (!sim->fail_at || !(sim->fail_calls & call))
		return false;
	sim->fail_seen++;
	if (sim->fail_seen < sim->fail_at || (sim->fail_seen > sim->fail_at && !sim->is_failing_on))
		return false;
	sim->counters.failures++;
	return true;
}

/* How many blocks there may be, with the memory that is to stay free. */
static size_t limit_blocks(const struct sim_port *sim, unsigned int order, enum aero_effort effort,
			   size_t count)
{
	uint64_t floor = sim->reclaim_floor;
	uint64_t blocks;

	if (effort == AERO_EFFORT_SPARE && sim->spare_floor > floor)
		floor = sim->spare_floor;
	if (sim->buddy.free_frames <= floor)
		return 0;
	blocks = (sim->buddy.free_frames - floor) >> order;
	if (sim->alloc_most && count > sim->alloc_most)
		count = sim->alloc_most;
	return count < blocks ? count : (size_t)blocks;
}

static size_t alloc(void *ctx, unsigned int order, enum aero_effort effort, aero_frame *out,
		    size_t count)
{
	struct sim_port *sim = ctx;
	size_t done;

	enter(sim, SIM_PORT_ALLOC, "alloc() with the lock held");
	sim->counters.alloc_calls++;
	if (sim->is_atomic && effort == AERO_EFFORT_RECLAIM)
		sim_port_violate(sim, "alloc() may sleep here: order", order);
	if (order > SIM_BUDDY_TOP || !(sim->port.orders >> order & 1)) {
		sim_port_violate(sim, "alloc() of an order that there is not", order);
		return 0;
	}
	if (must_fail(sim, SIM_PORT_ALLOC))
		return 0;
	done = sim_buddy_lend(&sim->buddy, order, out, limit_blocks(sim, order, effort, count));
	sim->counters.allocs[order] += done;
	sim->counters.short_allocs += done < count;
	sim->counters.sleeps +=
		effort == AERO_EFFORT_RECLAIM && sim->buddy.free_frames < sim->spare_floor;
	if (sim->buddy.lent_frames > sim->counters.peak_lent_frames)
		sim->counters.peak_lent_frames = sim->buddy.lent_frames;
	return done;
}

static bool is_pending(const struct sim_port *sim, aero_frame frame)
{
	for (unsigned int i = 0; i < sim->pending_count; i++) {
		if (sim->pending[i].old_frame == frame || sim->pending[i].new_frame == frame)
			return true;
	}
	return false;
}

/* The kernel's page: the lowest of the orders. */
static unsigned int page_order(const struct sim_port *sim)
{
	return (unsigned int)__builtin_ctz(sim->config.orders);
}

void sim_port_split_for(struct sim_port *sim, unsigned int order, aero_frame first)
{
	unsigned int page = page_order(sim);
	int whole;

	if (order != page || sim->port.split)
		return;
	whole = sim_buddy_lent_order(&sim->buddy, first);
	if (whole > (int)page)
		sim_buddy_split(&sim->buddy, (unsigned int)whole, first & ~((1ull << whole) - 1),
				page);
}

/* Whether a block of ours is meant; if not, that is noted. */
static bool is_ours(struct sim_port *sim, unsigned int order, aero_frame first, const char *name)
{
	char text[100];
	int lent;

	if (order <= SIM_BUDDY_TOP && sim_buddy_is_lent(&sim->buddy, order, first))
		return true;
	lent = sim_buddy_lent_order(&sim->buddy, first);
	if (lent < 0 && sim_buddy_free_order(&sim->buddy, first) >= 0)
		snprintf(text, sizeof(text), "%s of a free frame, order %u", name, order);
	else if (lent < 0)
		snprintf(text, sizeof(text), "%s of a frame never allocated, order %u", name,
			 order);
	else
		snprintf(text, sizeof(text), "%s with order %u of a block of order %d", name, order,
			 lent);
	sim_port_violate(sim, text, first);
	return false;
}

static bool may_free(struct sim_port *sim, unsigned int order, aero_frame first)
{
	sim_port_split_for(sim, order, first);
	if (!is_ours(sim, order, first, "free()"))
		return false;
	if (sim->pending_count && is_pending(sim, first)) {
		sim_port_violate(sim, "free() of a frame that the kernel is moving", first);
		return false;
	}
	if (sim_buddy_has_mark(&sim->buddy, SIM_MARK_OFFLINE, first)) {
		sim_port_violate(sim, "free() of an offline frame", first);
		sim_buddy_set_mark(&sim->buddy, SIM_MARK_OFFLINE, order, first, false);
	}
	if (sim_buddy_has_mark(&sim->buddy, SIM_MARK_TAKEN, first)) {
		sim_port_violate(sim, "free() of a frame taken from the count", first);
		sim_buddy_set_mark(&sim->buddy, SIM_MARK_TAKEN, order, first, false);
	}
	return true;
}

/* Blocks that lie side by side, ascending, become free together. */
static void give_back(void *ctx, unsigned int order, const aero_frame *frames, size_t count)
{
	struct sim_port *sim = ctx;
	struct aero_range run = { 0, 0 };

	enter(sim, SIM_PORT_FREE, "free() with the lock held");
	sim->counters.free_calls++;
	for (size_t i = 0; i < count; i++) {
		if (!may_free(sim, order, frames[i]))
			continue;
		sim_buddy_unlend(&sim->buddy, order, frames[i]);
		sim->counters.frees[order]++;
		if (frames[i] != run.first + run.count) {
			sim_buddy_free(&sim->buddy, run.first, run.count);
			run.first = frames[i];
			run.count = 0;
		}
		run.count += 1ull << order;
	}
	sim_buddy_free(&sim->buddy, run.first, run.count);
}

static void split(void *ctx, unsigned int order, aero_frame first)
{
	struct sim_port *sim = ctx;

	enter(sim, SIM_PORT_SPLIT, "split() with the lock held");
	sim->counters.splits++;
	if (order <= page_order(sim))
		sim_port_violate(sim, "split() of a single page", first);
	else if (is_ours(sim, order, first, "split()"))
		sim_buddy_split(&sim->buddy, order, first, page_order(sim));
}

struct frame_list {
	const aero_frame *frames;
	size_t count;
};

static void mark(struct sim_port *sim, enum sim_mark which, unsigned int order,
		 const struct frame_list *list, bool is_set)
{
	static const char *const names[] = { "set_offline()", "adjust_managed()" };
	static const char *const twice[] = { "set_offline() twice the same way",
					     "adjust_managed() twice the same way" };

	for (size_t i = 0; i < list->count; i++) {
		aero_frame first = list->frames[i];

		sim_port_split_for(sim, order, first);
		if (!is_ours(sim, order, first, names[which]))
			continue;
		if (sim_buddy_has_mark(&sim->buddy, which, first) == is_set)
			sim_port_violate(sim, twice[which], first);
		else
			sim_buddy_set_mark(&sim->buddy, which, order, first, is_set);
	}
}

static void set_offline(void *ctx, unsigned int order, const aero_frame *frames, size_t count,
			bool is_offline)
{
	struct sim_port *sim = ctx;
	struct frame_list list = { frames, count };

	enter(sim, SIM_PORT_SET_OFFLINE, "set_offline() with the lock held");
	mark(sim, SIM_MARK_OFFLINE, order, &list, is_offline);
}

static void adjust_managed(void *ctx, unsigned int order, const aero_frame *frames, size_t count,
			   bool is_taken)
{
	struct sim_port *sim = ctx;
	struct frame_list list = { frames, count };

	enter(sim, SIM_PORT_ADJUST_MANAGED, "adjust_managed() with the lock held");
	mark(sim, SIM_MARK_TAKEN, order, &list, is_taken);
}

static uint64_t managed_frames(void *ctx)
{
	struct sim_port *sim = ctx;

	enter(sim, SIM_PORT_MANAGED_FRAMES, "managed_frames() with the lock held");
	return sim->config.frames - sim_port_taken_frames(sim);
}

static void *page_get(void *ctx)
{
	struct sim_port *sim = ctx;

	enter(sim, SIM_PORT_PAGE_GET, "page_get() with the lock held");
	sim->counters.page_gets++;
	if (sim->is_atomic)
		sim_port_violate(sim, "page_get() may sleep here: call", sim->counters.page_gets);
	if (must_fail(sim, SIM_PORT_PAGE_GET))
		return NULL;
	return sim_pages_get(sim);
}

static void page_put(void *ctx, void *page)
{
	struct sim_port *sim = ctx;

	enter(sim, SIM_PORT_PAGE_PUT, "page_put() with the lock held");
	if (!sim_pages_put(sim, page))
		sim_port_violate(sim, "page_put() of a page never got", (uintptr_t)page);
}

static aero_frame page_frame(void *ctx, void *page)
{
	struct sim_port *sim = ctx;
	aero_frame frame;

	enter(sim, SIM_PORT_PAGE_FRAME, "page_frame() with the lock held");
	if (!sim_pages_frame(sim, page, &frame))
		sim_port_violate(sim, "page_frame() of a page never got", (uintptr_t)page);
	return frame;
}

void *sim_port_span_get(void *ctx, size_t bytes, aero_gpa *out_gpa)
{
	struct sim_port *sim = ctx;
	void *memory;
	aero_frame first;

	enter(sim, SIM_PORT_PAGE_GET, "span_get() with the lock held");
	sim->counters.page_gets++;
	if (!bytes || must_fail(sim, SIM_PORT_PAGE_GET))
		return NULL;
	memory = sim_pages_get_span(sim, (bytes + AERO_FRAME_BYTES - 1) >> AERO_FRAME_SHIFT);
	if (memory && sim_pages_frame(sim, memory, &first))
		*out_gpa = first << AERO_FRAME_SHIFT;
	return memory;
}

void sim_port_span_put(void *ctx, void *memory, size_t bytes)
{
	struct sim_port *sim = ctx;

	enter(sim, SIM_PORT_PAGE_PUT, "span_put() with the lock held");
	for (size_t at = 0; at < bytes; at += AERO_FRAME_BYTES) {
		if (!sim_pages_put(sim, (uint8_t *)memory + at))
			sim_port_violate(sim, "span_put() of a page never got", at);
	}
}

static uintptr_t lock(void *ctx)
{
	struct sim_port *sim = ctx;

	if (sim->is_locked)
		sim_port_violate(sim, "lock() with the lock held: lock", sim->counters.locks);
	sim->is_locked = true;
	sim->counters.locks++;
	sim->lock_state = (uintptr_t)(sim->counters.locks * 0x9e3779b1u);
	return sim->lock_state;
}

static void unlock(void *ctx, uintptr_t state)
{
	struct sim_port *sim = ctx;

	if (!sim->is_locked)
		sim_port_violate(sim, "unlock() without lock(): lock", sim->counters.locks);
	else if (state != sim->lock_state)
		sim_port_violate(sim, "unlock() with another lock's state", state);
	sim->is_locked = false;
}

static void take_line(void *ctx, enum aero_log_level level, const char *text)
{
	struct sim_port *sim = ctx;

	enter(sim, SIM_PORT_LOG, "log() with the lock held");
	if (level < AERO_LOG_ERROR || level > AERO_LOG_INFO)
		sim_port_violate(sim, "log() of a level that there is not", (uint64_t)level);
	else
		sim->counters.logs[level]++;
	snprintf(sim->last_log, sizeof(sim->last_log), "%s", text);
}

static const struct aero_port table = {
	.alloc = alloc,
	.free = give_back,
	.split = split,
	.set_offline = set_offline,
	.adjust_managed = adjust_managed,
	.managed_frames = managed_frames,
	.page_get = page_get,
	.page_put = page_put,
	.page_frame = page_frame,
	.lock = lock,
	.unlock = unlock,
	.log = take_line,
};

static void fill_table(struct sim_port *sim)
{
	uint32_t without = sim->config.without;

	sim->port = table;
	sim->port.ctx = sim;
	sim->port.orders = sim->config.orders;
	if (without & SIM_PORT_SPLIT)
		sim->port.split = NULL;
	if (without & SIM_PORT_SET_OFFLINE)
		sim->port.set_offline = NULL;
	if (without & SIM_PORT_ADJUST_MANAGED)
		sim->port.adjust_managed = NULL;
	if (without & SIM_PORT_LOG)
		sim->port.log = NULL;
	if (without & SIM_PORT_LOCK) {
		sim->port.lock = NULL;
		sim->port.unlock = NULL;
	}
}

void sim_port_init(struct sim_port *sim, const struct sim_port_config *config)
{
	memset(sim, 0, sizeof(*sim));
	sim->config = *config;
	if (!sim->config.frames)
		sim->config.frames = SIM_PORT_GIB(1) / 16;
	if (!sim->config.orders)
		sim->config.orders = 1u << AERO_ORDER_4K | 1u << AERO_ORDER_2M;
	sim_buddy_init(&sim->buddy, sim->config.frames, sim->config.order, sim->config.seed);
	fill_table(sim);
	sim_pages_init(sim);
	sim_memory_init(sim);
}

void sim_port_fini(struct sim_port *sim)
{
	sim_buddy_fini(&sim->buddy);
	sim_pages_fini(sim);
	free(sim->pinned);
}

void sim_port_fail(struct sim_port *sim, uint32_t calls, uint64_t nth, bool from_then_on)
{
	sim->fail_calls = calls;
	sim->fail_at = nth;
	sim->fail_seen = 0;
	sim->is_failing_on = from_then_on;
	sim->counters.failures = 0;
}
