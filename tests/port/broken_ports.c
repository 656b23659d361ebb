/* SPDX-License-Identifier: MIT */
#include "port/broken_ports.h"

#include <string.h>

/* The right ones, to build on. */

static size_t alloc(void *ctx, unsigned int order, enum aero_effort effort, aero_frame *out,
		    size_t count)
{
	struct broken_port *broken = ctx;

	return broken->sim.port.alloc(&broken->sim, order, effort, out, count);
}

static void give(void *ctx, unsigned int order, const aero_frame *frames, size_t count)
{
	struct broken_port *broken = ctx;

	broken->sim.port.free(&broken->sim, order, frames, count);
}

static void split(void *ctx, unsigned int order, aero_frame first)
{
	struct broken_port *broken = ctx;

	broken->sim.port.split(&broken->sim, order, first);
}

static void set_offline(void *ctx, unsigned int order, const aero_frame *frames, size_t count,
			bool is_offline)
{
	struct broken_port *broken = ctx;

	broken->sim.port.set_offline(&broken->sim, order, frames, count, is_offline);
}

static void adjust(void *ctx, unsigned int order, const aero_frame *frames, size_t count,
		   bool is_taken)
{
	struct broken_port *broken = ctx;

	broken->sim.port.adjust_managed(&broken->sim, order, frames, count, is_taken);
}

static uint64_t managed(void *ctx)
{
	struct broken_port *broken = ctx;

	return broken->sim.port.managed_frames(&broken->sim);
}

static void *get(void *ctx)
{
	struct broken_port *broken = ctx;

	return broken->sim.port.page_get(&broken->sim);
}

static void put(void *ctx, void *page)
{
	struct broken_port *broken = ctx;

	broken->sim.port.page_put(&broken->sim, page);
}

static aero_frame frame_of(void *ctx, void *page)
{
	struct broken_port *broken = ctx;

	return broken->sim.port.page_frame(&broken->sim, page);
}

static uintptr_t lock(void *ctx)
{
	struct broken_port *broken = ctx;

	return broken->sim.port.lock(&broken->sim);
}

static void unlock(void *ctx, uintptr_t state)
{
	struct broken_port *broken = ctx;

	broken->sim.port.unlock(&broken->sim, state);
}

static void take_line(void *ctx, enum aero_log_level level, const char *text)
{
	struct broken_port *broken = ctx;

	broken->sim.port.log(&broken->sim, level, text);
}

/* The defects. */

static void install_no_free(struct broken_port *broken)
{
	broken->port.free = NULL;
}

static void install_no_page_frame(struct broken_port *broken)
{
	broken->port.page_frame = NULL;
}

static void install_lock_alone(struct broken_port *broken)
{
	broken->port.unlock = NULL;
}

static void install_no_orders(struct broken_port *broken)
{
	broken->port.orders = 0;
}

static size_t alloc_one_more(void *ctx, unsigned int order, enum aero_effort effort,
			     aero_frame *out, size_t count)
{
	return alloc(ctx, order, effort, out, count) + 1;
}

static void install_one_more(struct broken_port *broken)
{
	broken->port.alloc = alloc_one_more;
}

static size_t alloc_and_write_behind(void *ctx, unsigned int order, enum aero_effort effort,
				     aero_frame *out, size_t count)
{
	count = alloc(ctx, order, effort, out, count);
	out[count] = 0;
	return count;
}

static void install_write_behind(struct broken_port *broken)
{
	broken->port.alloc = alloc_and_write_behind;
}

static size_t alloc_unaligned(void *ctx, unsigned int order, enum aero_effort effort,
			      aero_frame *out, size_t count)
{
	count = alloc(ctx, order, effort, out, count);
	for (size_t i = 0; i < count; i++)
		out[i] |= order != 0;
	return count;
}

static void install_unaligned(struct broken_port *broken)
{
	broken->port.alloc = alloc_unaligned;
}

static size_t alloc_addresses(void *ctx, unsigned int order, enum aero_effort effort,
			      aero_frame *out, size_t count)
{
	count = alloc(ctx, order, effort, out, count);
	for (size_t i = 0; i < count; i++)
		out[i] = (out[i] + (1u << 20)) << AERO_FRAME_SHIFT;
	return count;
}

static void install_addresses(struct broken_port *broken)
{
	broken->port.alloc = alloc_addresses;
}

/* The last of every eight is the one before once more. */
static size_t alloc_twice(void *ctx, unsigned int order, enum aero_effort effort, aero_frame *out,
			  size_t count)
{
	count = alloc(ctx, order, effort, out, count);
	for (size_t i = 7; i < count; i += 8)
		out[i] = out[i - 1];
	return count;
}

static void install_twice(struct broken_port *broken)
{
	broken->port.alloc = alloc_twice;
}

/* Each call begins at the same place. */
static size_t alloc_again(void *ctx, unsigned int order, enum aero_effort effort, aero_frame *out,
			  size_t count)
{
	struct broken_port *broken = ctx;
	size_t most = (size_t)(broken->sim.config.frames >> order);

	(void)effort;
	count = count < most ? count : most;
	for (size_t i = 0; i < count; i++)
		out[i] = (aero_frame)i << order;
	return count;
}

static void free_nothing(void *ctx, unsigned int order, const aero_frame *frames, size_t count)
{
	(void)ctx;
	(void)order;
	(void)frames;
	(void)count;
}

static void install_again(struct broken_port *broken)
{
	broken->port.alloc = alloc_again;
	broken->port.free = free_nothing;
}

static void install_order_that_is_not(struct broken_port *broken)
{
	broken->sim.port.orders |= 1u << 15;
	broken->port.orders |= 1u << 15;
}

/* Single frames come out of blocks that are lent as well. */
static size_t alloc_overlapping(void *ctx, unsigned int order, enum aero_effort effort,
				aero_frame *out, size_t count)
{
	return alloc(ctx, order ? order : 3, effort, out, count);
}

static void free_overlapping(void *ctx, unsigned int order, const aero_frame *frames, size_t count)
{
	give(ctx, order ? order : 3, frames, count);
}

/* Two of each size: each has an allocator of its own, over the same memory. */
static size_t alloc_apart(void *ctx, unsigned int order, enum aero_effort effort, aero_frame *out,
			  size_t count)
{
	count = alloc_overlapping(ctx, order, effort, out, count);
	for (size_t i = 0; i < count && !order; i++)
		out[i] ^= 1u << 9;
	return count;
}

static void free_apart(void *ctx, unsigned int order, const aero_frame *frames, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		aero_frame frame = order ? frames[i] : frames[i] ^ 1u << 9;

		free_overlapping(ctx, order, &frame, 1);
	}
}

static void install_overlap(struct broken_port *broken)
{
	broken->port.alloc = alloc_apart;
	broken->port.free = free_apart;
}

static size_t alloc_sleeping(void *ctx, unsigned int order, enum aero_effort effort,
			     aero_frame *out, size_t count)
{
	(void)effort;
	return alloc(ctx, order, AERO_EFFORT_RECLAIM, out, count);
}

static void install_sleeping(struct broken_port *broken)
{
	broken->port.alloc = alloc_sleeping;
}

static void install_leak(struct broken_port *broken)
{
	broken->port.free = free_nothing;
}

static void free_first(void *ctx, unsigned int order, const aero_frame *frames, size_t count)
{
	(void)count;
	give(ctx, order, frames, 1);
}

static void install_free_first(struct broken_port *broken)
{
	broken->port.free = free_first;
}

/* A whole block at a time, whatever the order: the rest of it is lost. */
static void free_order_0(void *ctx, unsigned int order, const aero_frame *frames, size_t count)
{
	struct broken_port *broken = ctx;

	for (size_t i = 0; i < count && order; i++)
		split(broken, order, frames[i]);
	give(ctx, 0, frames, count);
}

static void install_free_order_0(struct broken_port *broken)
{
	broken->port.free = free_order_0;
}

/* Takes it for granted that frames ascend. */
static void free_ascending(void *ctx, unsigned int order, const aero_frame *frames, size_t count)
{
	aero_frame last = 0;

	for (size_t i = 0; i < count && frames[i] >= last; i++) {
		last = frames[i];
		give(ctx, order, &last, 1);
	}
}

static void install_free_ascending(struct broken_port *broken)
{
	broken->port.free = free_ascending;
}

static void split_first(void *ctx, unsigned int order, aero_frame first)
{
	split(ctx, order, first);
	for (aero_frame frame = first + 1; frame < first + (1u << order); frame += 64)
		sim_buddy_unlend(&((struct broken_port *)ctx)->sim.buddy, 0, frame);
}

static void install_split_loses(struct broken_port *broken)
{
	broken->port.split = split_first;
}

static uint64_t managed_none(void *ctx)
{
	(void)ctx;
	return 0;
}

static void install_managed_none(struct broken_port *broken)
{
	broken->port.managed_frames = managed_none;
}

static uint64_t managed_free(void *ctx)
{
	struct broken_port *broken = ctx;

	return sim_port_free_frames(&broken->sim);
}

static void install_managed_free(struct broken_port *broken)
{
	broken->port.managed_frames = managed_free;
}

/* Counts blocks where frames are meant. */
static uint64_t managed_blocks(void *ctx)
{
	struct broken_port *broken = ctx;

	return managed(ctx) - broken->calls;
}

static void adjust_blocks(void *ctx, unsigned int order, const aero_frame *frames, size_t count,
			  bool is_taken)
{
	struct broken_port *broken = ctx;

	(void)order;
	(void)frames;
	broken->calls += is_taken ? count : 0 - count;
}

static void install_adjust_blocks(struct broken_port *broken)
{
	broken->port.adjust_managed = adjust_blocks;
	broken->port.managed_frames = managed_blocks;
}

static void adjust_down(void *ctx, unsigned int order, const aero_frame *frames, size_t count,
			bool is_taken)
{
	struct broken_port *broken = ctx;

	(void)frames;
	broken->calls += is_taken ? count << order : 0;
}

static void install_adjust_down(struct broken_port *broken)
{
	broken->port.adjust_managed = adjust_down;
	broken->port.managed_frames = managed_blocks;
}

static void offline_in_place(void *ctx, unsigned int order, const aero_frame *frames, size_t count,
			     bool is_offline)
{
	set_offline(ctx, order, frames, count, is_offline);
	for (size_t i = 0; i < count && !is_offline; i++)
		((aero_frame *)frames)[i] = 0;
}

static void install_offline_in_place(struct broken_port *broken)
{
	broken->port.set_offline = offline_in_place;
}

/* What goes back while little is free is forgotten. */
static void free_under_pressure(void *ctx, unsigned int order, const aero_frame *frames,
				size_t count)
{
	struct broken_port *broken = ctx;

	if (sim_port_free_frames(&broken->sim) >= 100)
		give(ctx, order, frames, count);
}

static void install_pressure(struct broken_port *broken)
{
	broken->port.free = free_under_pressure;
}

static uint64_t managed_little(void *ctx)
{
	(void)ctx;
	return 16000;
}

static void install_managed_little(struct broken_port *broken)
{
	broken->port.managed_frames = managed_little;
}

static void *get_unaligned(void *ctx)
{
	uint8_t *page = get(ctx);

	return page ? page + 64 : NULL;
}

static void install_page_unaligned(struct broken_port *broken)
{
	broken->port.page_get = get_unaligned;
}

static void *get_same(void *ctx)
{
	struct broken_port *broken = ctx;
	uintptr_t past = (uintptr_t)broken->page % AERO_FRAME_BYTES;

	return broken->page + (past ? AERO_FRAME_BYTES - past : 0);
}

static void put_nothing(void *ctx, void *page)
{
	(void)ctx;
	(void)page;
}

static void install_page_same(struct broken_port *broken)
{
	broken->port.page_get = get_same;
	broken->port.page_put = put_nothing;
}

static void *get_none(void *ctx)
{
	(void)ctx;
	return NULL;
}

static void install_page_none(struct broken_port *broken)
{
	broken->port.page_get = get_none;
}

/* Keeps its list of pages in the pages themselves, also in those that are given out. */
static void put_into_neighbour(void *ctx, void *page)
{
	struct broken_port *broken = ctx;
	uint8_t *before = (uint8_t *)page - AERO_FRAME_BYTES;

	if (before >= broken->sim.config.page_ram)
		memset(before, 0, 64);
	put(ctx, page);
}

static void install_page_scribble(struct broken_port *broken)
{
	broken->port.page_put = put_into_neighbour;
}

static aero_frame frame_is_address(void *ctx, void *page)
{
	return (frame_of(ctx, page) + (1u << 30)) << AERO_FRAME_SHIFT;
}

static void install_page_address(struct broken_port *broken)
{
	broken->port.page_frame = frame_is_address;
}

static aero_frame frame_of_all(void *ctx, void *page)
{
	return frame_of(ctx, page) & ~7ull;
}

static void install_page_one_frame(struct broken_port *broken)
{
	broken->port.page_frame = frame_of_all;
}

static aero_frame frame_that_moves(void *ctx, void *page)
{
	struct broken_port *broken = ctx;

	return frame_of(ctx, page) + 64 * broken->calls++;
}

static void install_page_moves(struct broken_port *broken)
{
	broken->port.page_frame = frame_that_moves;
}

static aero_frame frame_of_a_block(void *ctx, void *page)
{
	struct broken_port *broken = ctx;

	return frame_of(ctx, page) - broken->sim.config.page_first;
}

static void install_page_in_block(struct broken_port *broken)
{
	broken->port.page_frame = frame_of_a_block;
}

static void install_page_leak(struct broken_port *broken)
{
	broken->port.page_put = put_nothing;
}

const struct defect defects[] = {
	{ "free is missing", "members", install_no_free, 0 },
	{ "page_frame is missing", "members", install_no_page_frame, 0 },
	{ "lock without unlock", "members", install_lock_alone, 0 },
	{ "no order is offered", "members", install_no_orders, 0 },
	{ "blocks are not aligned", "alloc: blocks are aligned and inside memory",
	  install_unaligned, 0 },
	{ "addresses instead of frame numbers", "alloc: blocks are aligned and inside memory",
	  install_addresses, 0 },
	{ "answers one more", "alloc: blocks are distinct", install_one_more, 0 },
	{ "writes behind the last", "alloc: never more than asked", install_write_behind, 0 },
	{ "one block twice", "alloc: blocks are distinct", install_twice, 0 },
	{ "the same blocks at each call", "alloc: blocks are distinct", install_again, 0 },
	{ "an order that has no blocks", "alloc: each order that is offered has blocks",
	  install_order_that_is_not, 0 },
	{ "an allocator for each size", "alloc: sizes do not overlap", install_overlap, 0 },
	{ "spare effort sleeps", "alloc: spare effort does not sleep", install_sleeping, 0 },
	{ "free does nothing", "free: blocks come back", install_leak, 0 },
	{ "free takes the first only", "free: blocks come back", install_free_first, 0 },
	{ "free takes one frame of a block", "free: blocks come back", install_free_order_0, 0 },
	{ "free wants ascending frames", "free: in any order", install_free_ascending, 0 },
	{ "split loses frames", "split: pages are freed one by one", install_split_loses, 0 },
	{ "nothing is managed", "managed: as documented", install_managed_none, 0 },
	{ "managed means free", "managed: as documented", install_managed_free, 0 },
	{ "managed means free, without adjust", "managed: as documented", install_managed_free,
	  SIM_PORT_ADJUST_MANAGED },
	{ "adjust counts blocks", "managed: as documented", install_adjust_blocks, 0 },
	{ "adjust only falls", "managed: as documented", install_adjust_down, 0 },
	{ "offline writes to its input", "offline: there and back", install_offline_in_place, 0 },
	{ "free under pressure loses", "exhaustion: all comes back", install_pressure, 0 },
	{ "less is managed than there is", "exhaustion: all comes back", install_managed_little,
	  SIM_PORT_ADJUST_MANAGED },
	{ "there is no page", "pages: aligned and distinct", install_page_none, 0 },
	{ "pages are not aligned", "pages: aligned and distinct", install_page_unaligned, 0 },
	{ "always the same page", "pages: aligned and distinct", install_page_same, 0 },
	{ "pages are written to", "pages: keep their bytes", install_page_scribble, 0 },
	{ "a page's address for its frame", "pages: frame numbers are theirs", install_page_address,
	  0 },
	{ "one frame for many pages", "pages: frame numbers are theirs", install_page_one_frame,
	  0 },
	{ "a page's frame changes", "pages: frame numbers are theirs", install_page_moves, 0 },
	{ "a page's frame is a block's", "pages: frame numbers are theirs", install_page_in_block,
	  0 },
	{ "pages are never taken back", "pages: come back", install_page_leak, 0 },
};
const size_t defect_count = sizeof(defects) / sizeof(defects[0]);

static void fill_table(struct broken_port *broken)
{
	static const struct aero_port right = {
		.alloc = alloc,
		.free = give,
		.split = split,
		.set_offline = set_offline,
		.adjust_managed = adjust,
		.managed_frames = managed,
		.page_get = get,
		.page_put = put,
		.page_frame = frame_of,
		.lock = lock,
		.unlock = unlock,
		.log = take_line,
	};
	const struct aero_port *sim = &broken->sim.port;

	broken->port = right;
	broken->port.ctx = broken;
	broken->port.orders = sim->orders;
	if (!sim->adjust_managed)
		broken->port.adjust_managed = NULL;
}

void broken_port_init(struct broken_port *broken, const struct defect *defect)
{
	struct sim_port_config config = { .frames = 16384, .orders = 0x209 };

	if (defect)
		config.without = defect->without;
	memset(broken, 0, sizeof(*broken));
	sim_port_init(&broken->sim, &config);
	broken->sim.spare_floor = 64;
	fill_table(broken);
	if (defect)
		defect->install(broken);
}

void broken_port_fini(struct broken_port *broken)
{
	sim_port_fini(&broken->sim);
}
