/* SPDX-License-Identifier: MIT */

/*
 * A hostile host against VMware's driver, on a kernel with a mind of its own and sometimes no
 * memory. After each operation: validate(), the kernel's checks, and a model of which frames should
 * be in the balloon, made of what the driver sent and of the statuses it got: whatever else the
 * host wrote, into registers or the batch page, must not matter.
 *
 * Input: five bytes of configuration, then operations; see operations[] below. What the host
 * answers is read from the end of the input backwards; see answer(). Where the two meet operations
 * end, and from there on the host behaves.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <aerostat/guest/vmware.h>

#include "ports/sim/sim_port.h"
#include "support/check.h"

#define FRAMES 4096u /* of the kernel: 8 blocks */
#define SECOND 1000000000ull
#define STEPS_MAX 64 /* of one operation */
#define CALLS_MAX 8  /* of the host, in one step */
#define ISOLATED 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
	const uint8_t *data;
	size_t front;
	size_t back; /* bytes from front to back are not used yet */
	struct sim_port sim;
	struct aero_vmware_bus bus;
	struct aero_vmware_guest drv;
	uint64_t now;
	uint64_t target;
	uint32_t grants;
	uint64_t calls_left; /* of the host, in this operation */
	unsigned int doorbells;
	bool is_create_failing;
	bool is_stopped;
	/* The model: order + 1 by first frame. */
	uint8_t in[FRAMES];
	uint64_t in_frames;
	aero_frame isolated[ISOLATED];
	unsigned int isolated_order[ISOLATED];
	unsigned int isolated_count;
};

/* Input --------------------------------------------------------------------------------------- */

static uint64_t take(struct state *st, unsigned int len)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < len && st->front < st->back; i++)
		value |= (uint64_t)st->data[st->front++] << 8 * i;
	return value;
}

static uint64_t take_answer(struct state *st, unsigned int len)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < len && st->front < st->back; i++)
		value |= (uint64_t)st->data[--st->back] << 8 * i;
	return value;
}

/* Model --------------------------------------------------------------------------------------- */

static uint64_t get_le64(const uint64_t *word)
{
	const uint8_t *bytes = (const uint8_t *)word;
	uint64_t value = 0;

	for (unsigned int i = 0; i < 8; i++)
		value |= (uint64_t)bytes[i] << 8 * i;
	return value;
}

static void model_move(struct state *st, aero_frame frame, unsigned int order, bool is_out)
{
	/* What the driver offers is a block of the kernel's, and it is not in already. */
	CHECK(frame < FRAMES && !(frame & ((1u << order) - 1)));
	CHECK(sim_port_owner(&st->sim, frame) == SIM_OWNER_LENT);
	CHECK(st->in[frame] == (is_out ? order + 1 : 0));
	st->in[frame] = (uint8_t)(is_out ? 0 : order + 1);
	st->in_frames += is_out ? 0 - (1ull << order) : 1ull << order;
}

static void model_forget(struct state *st)
{
	memset(st->in, 0, sizeof(st->in));
	st->in_frames = 0;
}

/* Checks -------------------------------------------------------------------------------------- */

static void compare_sets(const struct state *st)
{
	const struct aero_pages *pages = &st->drv.balloon.pages;

	for (unsigned int i = 0; i < pages->size_count; i++) {
		const struct aero_pages_size *size = &pages->size[i];
		struct aero_range run;
		aero_frame from = 0;

		while (aero_frame_set_next(&size->lent, from, 1, &run)) {
			CHECK(st->in[run.first << size->order] == size->order + 1);
			from = run.first + 1;
		}
	}
}

/* After each step. */
static void check_counts(const struct state *st)
{
	const struct aero_balloon *balloon = &st->drv.balloon;
	uint64_t frames = aero_balloon_frames(balloon);
	uint64_t more = frames + aero_frame_set_count(&balloon->pool);

	if (st->sim.violations)
		fprintf(stderr, "%s\n", st->sim.violation);
	CHECK(!st->sim.violations && !st->sim.is_locked);
	for (unsigned int i = 0; i < balloon->pages.size_count; i++)
		more += aero_frame_set_count(&balloon->refused[i]) << balloon->pages.size[i].order;
	CHECK(more == sim_port_lent_frames(&st->sim));
	if (st->sim.port.set_offline)
		CHECK(sim_port_offline_frames(&st->sim) == frames);
	if (st->sim.port.adjust_managed)
		CHECK(sim_port_taken_frames(&st->sim) == frames);
	CHECK(st->doorbells == st->drv.has_doorbell);
	/* After a reset frames wait that no host has. */
	if (balloon->is_started && !balloon->is_reset_required && !st->is_stopped)
		CHECK(frames == st->in_frames);
}

/* After each operation. */
static void check_all(const struct state *st)
{
	const struct aero_balloon *balloon = &st->drv.balloon;
	const char *wrong = sim_port_check(&st->sim);

	if (wrong)
		fprintf(stderr, "%s\n", wrong);
	CHECK(!wrong);
	CHECK(!aero_balloon_validate(balloon));
	check_counts(st);
	if (balloon->is_started && !balloon->is_reset_required && !st->is_stopped)
		compare_sets(st);
}

/* The host ------------------------------------------------------------------------------------ */

static uint32_t entries_of(const struct aero_vmware_registers *regs)
{
	bool is_batch = regs->cx >= AERO_VMWARE_CMD_BATCHED_LOCK &&
			regs->cx <= AERO_VMWARE_CMD_BATCHED_2M_UNLOCK;

	return is_batch ? (uint32_t)regs->si : 0;
}

/* What a driver may send at all. */
static void check_call(struct state *st, const struct aero_vmware_registers *regs)
{
	uint32_t count = entries_of(regs);

	CHECK(!st->sim.is_locked);
	CHECK(regs->ax == AERO_VMWARE_MAGIC && regs->dx == AERO_VMWARE_PORT);
	CHECK(regs->cx < AERO_VMWARE_CMD_COUNT && regs->cx != AERO_VMWARE_CMD_UNUSED);
	CHECK(st->calls_left--);
	if (count) {
		CHECK(st->drv.page && regs->bx == st->drv.page_frame && count <= 512);
		CHECK(st->drv.capabilities & AERO_VMWARE_CAP_BATCHED);
		CHECK(regs->cx < AERO_VMWARE_CMD_BATCHED_2M_LOCK ||
		      st->drv.capabilities & AERO_VMWARE_CAP_BATCHED_2M);
	}
	for (uint32_t i = 0; i < count; i++)
		CHECK(!(get_le64(&st->drv.page->entry[i]) & 0xfff));
}

static void behave(struct state *st, struct aero_vmware_registers *regs)
{
	bool is_start = regs->cx == AERO_VMWARE_CMD_START;

	regs->ax = is_start ? AERO_VMWARE_SUCCESS_WITH_CAPABILITIES : AERO_VMWARE_SUCCESS;
	regs->cx = is_start ? st->grants & regs->bx : regs->cx;
	regs->bx = st->target;
}

/* Writes into the page that both see: any word, any bytes, or a pattern of statuses. */
static void scribble(struct state *st, uint8_t how)
{
	uint8_t *bytes = (uint8_t *)st->drv.page;

	if (!bytes)
		return;
	if (how & 0x20) {
		for (uint64_t n = take_answer(st, 1) % 16; n; n--) {
			uint64_t at = take_answer(st, 2) % 4096;

			bytes[at] = (uint8_t)take_answer(st, 1);
		}
	}
	if (how & 0x40) {
		uint8_t pattern = (uint8_t)take_answer(st, 1);

		for (unsigned int i = 0; i < 512; i += pattern % 8 + 1)
			bytes[8 * i] = (uint8_t)(bytes[8 * i] | pattern >> 3);
	}
	if (how & 0x80)
		memset(bytes, (int)take_answer(st, 1), 4096);
}

static void answer(struct state *st, struct aero_vmware_registers *regs)
{
	static const uint64_t statuses[16] = {
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 0xffffffff, UINT64_MAX, 0x03000000, 1ull << 32, 0,
	};
	uint8_t how = (uint8_t)take_answer(st, 1);

	behave(st, regs);
	if (!how)
		return;
	if (how & 15)
		regs->ax = statuses[how & 15];
	if ((how & 15) == 15)
		regs->ax = take_answer(st, 8);
	if (how & 0x10) {
		regs->bx = take_answer(st, 8);
		regs->cx = take_answer(st, 4);
		regs->dx = regs->si = regs->di = regs->bx;
	}
	scribble(st, how);
	if (how == 0xff)
		aero_vmware_guest_doorbell(&st->drv);
}

struct sent {
	uint32_t command;
	uint32_t count;
	aero_frame frames[512];
};

static void note_sent(struct state *st, const struct aero_vmware_registers *regs, struct sent *sent)
{
	sent->command = (uint32_t)regs->cx;
	sent->count = entries_of(regs);
	for (uint32_t i = 0; i < sent->count; i++)
		sent->frames[i] = get_le64(&st->drv.page->entry[i]) >> 12;
	if (sent->command == AERO_VMWARE_CMD_LOCK || sent->command == AERO_VMWARE_CMD_UNLOCK) {
		sent->count = 1;
		sent->frames[0] = regs->bx;
	}
}

/* What a driver that believes statuses and nothing else has in its balloon now. */
static void follow(struct state *st, const struct sent *sent, uint64_t ax)
{
	bool is_batch = sent->command >= AERO_VMWARE_CMD_BATCHED_LOCK;
	unsigned int order = sent->command >= AERO_VMWARE_CMD_BATCHED_2M_LOCK ? 9 : 0;

	for (uint32_t i = 0; !(uint32_t)ax && i < sent->count; i++) {
		if (is_batch && get_le64(&st->drv.page->entry[i]) & AERO_VMWARE_BATCH_STATUS_MASK)
			continue;
		model_move(st, sent->frames[i], order, sent->command & 1);
	}
}

static void call(void *ctx, struct aero_vmware_registers *regs)
{
	struct state *st = ctx;
	struct sent *sent = malloc(sizeof(*sent));

	CHECK(sent);
	check_call(st, regs);
	note_sent(st, regs, sent);
	if (sent->command == AERO_VMWARE_CMD_START) {
		/* To start, or to leave; frames are given back before the first only. */
		CHECK(!regs->bx || !aero_balloon_frames(&st->drv.balloon));
		model_forget(st);
	}
	answer(st, regs);
	follow(st, sent, regs->ax);
	free(sent);
}

static enum aero_status create(void *ctx, uint32_t *out_context, uint32_t *out_resource)
{
	struct state *st = ctx;

	if (st->is_create_failing)
		return AERO_ENOMEM;
	CHECK(!st->doorbells++);
	*out_context = 3;
	*out_resource = 4;
	return AERO_OK;
}

static void destroy(void *ctx, uint32_t context, uint32_t resource)
{
	struct state *st = ctx;

	CHECK(st->doorbells-- == 1 && context == 3 && resource == 4);
}

/* Operations ---------------------------------------------------------------------------------- */

static void step_once(struct state *st, uint64_t *out_due)
{
	st->calls_left = CALLS_MAX;
	*out_due = aero_balloon_step(&st->drv.balloon, st->now);
	CHECK(*out_due >= st->now);
	CHECK(!aero_balloon_validate(&st->drv.balloon));
	check_counts(st);
}

static void op_step(struct state *st)
{
	uint64_t due;

	step_once(st, &due);
}

/* As long as there is more at once; a host may keep it busy for ever. */
static void op_settle(struct state *st)
{
	uint64_t due = st->now;

	for (unsigned int i = 0; due == st->now && i < STEPS_MAX; i++)
		step_once(st, &due);
	if (due != AERO_NEVER)
		st->now = due;
}

static void op_time(struct state *st)
{
	st->now += take(st, 1) * (SECOND / 16);
}

static void op_target(struct state *st)
{
	st->target = take(st, 1) * 24;
	aero_vmware_guest_doorbell(&st->drv);
}

static void op_target_wide(struct state *st)
{
	st->target = take(st, 8);
}

static void op_doorbell(struct state *st)
{
	aero_vmware_guest_doorbell(&st->drv);
}

static void op_reclaim(struct state *st)
{
	uint64_t frames = take(st, 2), came;
	enum aero_status status;

	/* The kernel's to say how much at once. */
	frames %= 1024;
	st->calls_left = frames;
	status = aero_balloon_reclaim(&st->drv.balloon, (enum aero_reclaim)(frames & 1), frames,
				      st->now, &came);
	CHECK(status == AERO_OK || status == AERO_EAGAIN || status == AERO_EREFUSED);
	CHECK(came <= frames + 511);
}

static void op_isolate(struct state *st)
{
	unsigned int index = (unsigned int)take(st, 1) % st->drv.balloon.pages.size_count;
	struct aero_pages_size *size = &st->drv.balloon.pages.size[index];
	aero_frame from = take(st, 2) % FRAMES;
	struct aero_range run;

	if (st->isolated_count == ISOLATED ||
	    !aero_frame_set_next(&size->lent, from >> size->order, 1, &run) ||
	    !aero_balloon_isolate(&st->drv.balloon, size->order, run.first << size->order))
		return;
	st->isolated_order[st->isolated_count] = size->order;
	st->isolated[st->isolated_count++] = run.first << size->order;
}

static void op_putback(struct state *st)
{
	if (!st->isolated_count)
		return;
	st->isolated_count--;
	aero_balloon_putback(&st->drv.balloon, st->isolated_order[st->isolated_count],
			     st->isolated[st->isolated_count]);
}

static void op_migrate(struct state *st)
{
	enum aero_status status;
	aero_frame old_frame, new_frame;
	unsigned int order;
	bool is_in = false;

	if (!st->isolated_count)
		return;
	old_frame = st->isolated[st->isolated_count - 1];
	order = st->isolated_order[st->isolated_count - 1];
	if (!sim_port_migrate_begin(&st->sim, order, old_frame, &new_frame))
		return;
	st->calls_left = CALLS_MAX;
	status = aero_balloon_migrate(&st->drv.balloon, order, new_frame, old_frame, &is_in);
	CHECK(status == AERO_OK || status == AERO_EAGAIN || status == AERO_EREFUSED);
	sim_port_migrate_end(&st->sim, new_frame, !status, is_in);
	if (!status)
		st->isolated_count--;
}

static void op_freeze(struct state *st)
{
	CHECK(!aero_balloon_freeze(&st->drv.balloon));
}

static void op_thaw(struct state *st)
{
	aero_balloon_thaw(&st->drv.balloon);
}

static void op_inhibit(struct state *st)
{
	aero_balloon_inhibit(&st->drv.balloon, take(st, 1) & 1);
}

static void op_fail(struct state *st)
{
	uint8_t how = (uint8_t)take(st, 1);

	sim_port_fail(&st->sim, SIM_PORT_ALLOC | (how & 0x40 ? SIM_PORT_PAGE_GET : 0), how & 0x3f,
		      how & 0x80);
}

static void op_memory(struct state *st)
{
	uint8_t how = (uint8_t)take(st, 1);

	st->sim.reclaim_floor = (how & 15) * 300;
	st->sim.spare_floor = (uint64_t)(how >> 4) * 300;
}

static void op_pin(struct state *st)
{
	uint8_t how = (uint8_t)take(st, 1);

	if (how & 1)
		sim_port_unpin_all(&st->sim);
	else
		sim_port_pin_random(&st->sim, how);
}

static void op_grants(struct state *st)
{
	st->grants = (uint32_t)take(st, 1);
	st->is_create_failing = st->grants & 0x80;
}

static void op_report(struct state *st)
{
	char text[2048];
	size_t room = (size_t)take(st, 2) % sizeof(text);
	size_t len = aero_vmware_guest_report_text(&st->drv, text, room);

	CHECK(len > 1000 && len < sizeof(text));
	CHECK(!room || strlen(text) == (len < room ? len : room - 1));
}

static void op_stop(struct state *st)
{
	if (take(st, 1) != 0x5a)
		return;
	st->is_stopped = true;
	st->calls_left = CALLS_MAX;
	(void)aero_balloon_stop(&st->drv.balloon);
}

static void (*const operations[])(struct state *st) = {
	op_settle,  op_step,	op_time,    op_target, op_doorbell, op_target_wide, op_reclaim,
	op_isolate, op_putback, op_migrate, op_freeze, op_thaw,	    op_inhibit,	    op_fail,
	op_memory,  op_pin,	op_grants,  op_report, op_stop,
};

/* A whole life -------------------------------------------------------------------------------- */

static void open_driver(struct state *st)
{
	uint32_t orders = take(st, 1) & 1 ? 1 : 1u << AERO_ORDER_4K | 1u << AERO_ORDER_2M;
	uint8_t without = (uint8_t)take(st, 1), how = (uint8_t)take(st, 1);
	struct sim_port_config sim = {
		.frames = FRAMES,
		.orders = orders,
		.order = (enum sim_order)(how % 3),
		.seed = how,
		.without = (without & 1 ? SIM_PORT_LOCK : 0) |
			   (without & 2 ? SIM_PORT_SET_OFFLINE : 0) |
			   (without & 4 ? SIM_PORT_ADJUST_MANAGED : 0) |
			   (without & 8 ? SIM_PORT_SPLIT : 0) | (without & 16 ? SIM_PORT_LOG : 0),
	};
	struct aero_vmware_guest_config config = {
		.bus = &st->bus,
		.guest_type = AERO_VMWARE_GUEST_LINUX,
		.capabilities = take(st, 1) & 0x3e,
		.are_stats_late = how & 8,
	};

	sim_port_init(&st->sim, &sim);
	st->grants = (uint32_t)take(st, 1);
	if (how & 0x40)
		sim_port_fragment(&st->sim, 600);
	st->bus.ctx = st;
	st->bus.call = call;
	if (!(without & 0x80)) {
		st->bus.doorbell_create = create;
		st->bus.doorbell_destroy = destroy;
	}
	config.balloon.port = &st->sim.port;
	config.balloon.rates.is_limited = how & 0x10;
	config.balloon.floor_frames = how & 0x20 ? 700 : 0;
	CHECK(!aero_vmware_guest_init(&st->drv, &config));
	st->now = SECOND;
}

static void close_driver(struct state *st)
{
	const char *lost;

	while (st->isolated_count)
		op_putback(st);
	st->is_stopped = true;
	st->calls_left = CALLS_MAX;
	for (unsigned int i = 0; aero_balloon_stop(&st->drv.balloon); i++)
		CHECK(i < 100);
	CHECK(!aero_balloon_frames(&st->drv.balloon) && !st->doorbells);
	aero_vmware_guest_fini(&st->drv);
	lost = sim_port_check_empty(&st->sim);
	if (lost)
		fprintf(stderr, "%s\n", lost);
	CHECK(!lost);
	sim_port_fini(&st->sim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state *st = calloc(1, sizeof(*st));

	CHECK(st);
	st->data = data;
	st->back = size;
	open_driver(st);
	while (st->front < st->back) {
		operations[take(st, 1) % (sizeof(operations) / sizeof(operations[0]))](st);
		check_all(st);
	}
	close_driver(st);
	free(st);
	return 0;
}
