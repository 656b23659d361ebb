/* SPDX-License-Identifier: MIT */
#include "support/vmware_host_rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS AERO_VMWARE_BATCH_ENTRIES
#define NOISE 0xa5a5000000000000ull
#define RUN_STEPS 100000

/* Commands by number, as the specification lists them. */
enum { START, GET_TARGET, LOCK, UNLOCK, GUEST_ID, UNUSED, BL, BU, B2L, B2U, DOORBELL, COMMANDS };

static void note(struct vmware_host_rig *rig, const char *what, uint64_t a, uint64_t b)
{
	if (!rig->problem[0])
		snprintf(rig->problem, sizeof(rig->problem), "%s: %#" PRIx64 ", %#" PRIx64, what, a,
			 b);
}

static void expect(struct vmware_host_rig *rig, const char *what, uint64_t is, uint64_t should)
{
	if (is != should)
		note(rig, what, is, should);
}

/* What the VMM sees and decides ------------------------------------------------------------- */

static void on_event(void *ctx, const struct aero_vmware_host_event *event)
{
	struct vmware_host_rig *rig = ctx;

	rig->events[event->kind]++;
	rig->event_value[event->kind] = event->value;
}

static void on_doorbell(void *ctx, uint32_t context, uint32_t resource)
{
	struct vmware_host_rig *rig = ctx;

	rig->rings++;
	rig->ring_context = context;
	rig->ring_resource = resource;
}

static bool is_interposed(const struct vmware_host_rig *rig, uint32_t command)
{
	return rig->interpose_status != AERO_VMWARE_SUCCESS &&
	       (rig->interpose_command == VMWARE_RIG_EVERY_COMMAND ||
		rig->interpose_command == command);
}

static uint32_t on_interpose(void *ctx, uint32_t command)
{
	struct vmware_host_rig *rig = ctx;

	return is_interposed(rig, command) ? rig->interpose_status : AERO_VMWARE_SUCCESS;
}

static uint32_t judgement(const struct vmware_host_rig *rig, struct aero_range block)
{
	return rig->judge_frame - block.first < block.count ? rig->judge_status
							    : AERO_VMWARE_SUCCESS;
}

static uint32_t on_judge(void *ctx, bool is_lock, struct aero_range block)
{
	struct vmware_host_rig *rig = ctx;

	(void)is_lock;
	if (rig->judge_hook)
		rig->judge_hook(rig);
	return judgement(rig, block);
}

static void on_trace(void *ctx, const struct aero_vmware_registers *before,
		     const struct aero_vmware_registers *after)
{
	struct vmware_host_rig *rig = ctx;

	rig->traces++;
	rig->trace_before = *before;
	rig->trace_after = *after;
}

static void on_runs(void *ctx, bool is_lock, struct aero_range run)
{
	struct vmware_host_rig *rig = ctx;

	(void)is_lock;
	rig->runs++;
	rig->last_run = run;
}

void vmware_host_rig_judge(struct vmware_host_rig *rig, uint64_t frame, uint32_t status,
			   void (*hook)(struct vmware_host_rig *rig))
{
	rig->judge_frame = frame;
	rig->judge_status = status;
	rig->judge_hook = hook;
	rig->ops.judge = on_judge;
}

/* Life -------------------------------------------------------------------------------------- */

static void make_host(struct vmware_host_rig *rig)
{
	struct aero_vmware_host_config config = {
		.memory = &rig->host.memory,
		.nodes = rig->host.nodes,
		.ops = &rig->ops,
		.ops_ctx = rig,
		.capabilities = 0x3e & ~rig->options.refused,
		.is_old = rig->options.is_old,
		.mode = rig->options.mode,
	};

	if (aero_vmware_host_init(&rig->dev, &config) != AERO_OK)
		abort();
}

void vmware_host_rig_open(struct vmware_host_rig *rig,
			  const struct vmware_host_rig_options *options)
{
	memset(rig, 0, sizeof(*rig));
	if (options)
		rig->options = *options;
	if (!rig->options.frames)
		rig->options.frames = VMWARE_RIG_FRAMES;
	host_double_init(&rig->host, rig->options.frames, rig->options.backing);
	rig->host.is_lax = rig->options.mode == AERO_DISCARD_FRAME;
	rig->pages = guest_ram_add(&rig->host.ram, VMWARE_RIG_PAGE << 12, VMWARE_RIG_PAGES << 12);
	(void)guest_ram_add(&rig->host.ram, VMWARE_RIG_PAGE_CUT << 12, 5000);
	rig->page = VMWARE_RIG_PAGE;
	rig->held = calloc(1, (size_t)rig->options.frames);
	if (!rig->held)
		abort();
	rig->now = 1000000;
	rig->judge_frame = UINT64_MAX;
	rig->ops = (struct aero_vmware_host_ops){
		.event = on_event,
		.doorbell = rig->options.has_no_doorbell ? NULL : on_doorbell,
		.interpose = on_interpose,
		.trace = on_trace,
		.runs = on_runs,
	};
	make_host(rig);
}

void vmware_host_rig_close(struct vmware_host_rig *rig)
{
	aero_vmware_host_fini(&rig->dev);
	expect(rig, "nodes lost", rig->host.live_nodes, 0);
	host_double_fini(&rig->host);
	free(rig->held);
	if (rig->problem[0]) {
		fprintf(stderr, "%s\n", rig->problem);
		abort();
	}
}

void vmware_host_rig_replace(struct vmware_host_rig *rig)
{
	aero_vmware_host_fini(&rig->dev);
	expect(rig, "nodes lost", rig->host.live_nodes, 0);
	make_host(rig);
}

/* The model --------------------------------------------------------------------------------- */

static uint64_t told_target(const struct vmware_host_rig *rig)
{
	return !(rig->caps & 0x20) && rig->target > 0xffffffff ? 0xffffffff : rig->target;
}

static void lose_all(struct vmware_host_rig *rig)
{
	struct aero_range all = { 0, rig->options.frames };

	if (rig->held_count) {
		memset(rig->held, 0, (size_t)rig->options.frames);
		host_double_clear(&rig->host, all, HOST_DOUBLE_MAY);
	}
	rig->held_count = 0;
	rig->caps = 0;
	rig->is_live = false;
	rig->is_reset_wanted = false;
}

static uint32_t needed_cap(uint32_t command)
{
	switch (command) {
	case LOCK:
	case UNLOCK:
		return 0x02;
	case BL:
	case BU:
		return 0x04;
	case B2L:
	case B2U:
		return 0x08;
	case DOORBELL:
		return 0x10;
	default:
		return 0;
	}
}

static uint32_t grantable(const struct vmware_host_rig *rig)
{
	return 0x3e & ~rig->options.refused & (rig->options.has_no_doorbell ? ~0x10u : ~0u);
}

static uint32_t start_status(struct vmware_host_rig *rig, uint32_t wanted)
{
	lose_all(rig);
	rig->is_live = wanted != 0;
	if (!wanted)
		return rig->options.is_old ? 0 : 0x03000000;
	if (rig->options.is_old) {
		rig->caps = 0x02;
		return 0;
	}
	rig->caps = wanted & grantable(rig);
	return 0x03000000;
}

/* What a command is answered with, as far as frames do not decide it. */
static uint32_t protocol_status(struct vmware_host_rig *rig, uint32_t command, uint64_t bx,
				uint64_t si)
{
	uint32_t needed = command < COMMANDS ? needed_cap(command) : 0;

	if (command >= COMMANDS)
		return 1;
	if (is_interposed(rig, command)) {
		if (rig->interpose_status == 7)
			lose_all(rig);
		return rig->interpose_status;
	}
	if (command == START)
		return start_status(rig, (uint32_t)bx);
	if (command == UNUSED)
		return 1;
	if (!rig->is_live && command == DOORBELL && (uint32_t)bx == 0xffffffff &&
	    (uint32_t)si == 0xffffffff)
		return 1;
	if (!rig->is_live || rig->is_reset_wanted) {
		lose_all(rig);
		return 7;
	}
	if (needed && !(rig->caps & needed))
		return 1;
	return rig->is_quiesced && needed && command != DOORBELL ? 8 : 0;
}

static uint64_t count_held(const struct vmware_host_rig *rig, struct aero_range block)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < block.count; i++)
		count += rig->held[block.first + i];
	return count;
}

/* What a block is answered with, as the model stands. */
static uint32_t block_status(const struct vmware_host_rig *rig, bool is_lock,
			     struct aero_range block, uint64_t own)
{
	uint64_t held;

	if (block.first >= rig->options.frames || block.count > rig->options.frames - block.first ||
	    own - block.first < block.count)
		return 2;
	if (host_double_count(&rig->host, block, HOST_DOUBLE_RAM) != block.count)
		return 2;
	held = count_held(rig, block);
	if (is_lock && held)
		return 3;
	if (!is_lock && held != block.count)
		return 4;
	if (!rig->ops.judge || !judgement(rig, block))
		return 0;
	/* Of no use to a guest are statuses that are not a block's. */
	return judgement(rig, block) >= 2 && judgement(rig, block) <= 6 ? judgement(rig, block) : 5;
}

/* The answer to one block came: it is the model's, or a call of the host had failed. */
static void take_answer(struct vmware_host_rig *rig, bool is_lock, struct aero_range block,
			uint64_t own, uint32_t status)
{
	uint32_t should = block_status(rig, is_lock, block, own);

	if (status != should && rig->host.failures && (status == 2 || (status == 5 && is_lock)))
		should = status;
	expect(rig, "status of a block", status, should);
	if (status || rig->problem[0])
		return;
	memset(rig->held + block.first, is_lock, (size_t)block.count);
	rig->held_count += is_lock ? block.count : 0 - block.count;
	if (is_lock)
		host_double_set(&rig->host, block, HOST_DOUBLE_MAY);
	else
		host_double_clear(&rig->host, block, HOST_DOUBLE_MAY);
}

static bool is_page(uint64_t frame)
{
	return frame - VMWARE_RIG_PAGE < VMWARE_RIG_PAGES || frame == VMWARE_RIG_PAGE_CUT;
}

static uint8_t *page_bytes(const struct vmware_host_rig *rig, uint64_t frame)
{
	if (frame == VMWARE_RIG_PAGE_CUT)
		return rig->host.ram.region[1].host;
	return rig->pages + ((frame - VMWARE_RIG_PAGE) << 12);
}

static uint64_t get_word(const uint8_t *page, unsigned int i)
{
	uint64_t word = 0;

	for (unsigned int b = 0; b < 8; b++)
		word |= (uint64_t)page[8 * i + b] << (8 * b);
	return word;
}

/* A batch was answered: each word has its status, nothing else has changed. */
static void take_batch(struct vmware_host_rig *rig, uint32_t command, const uint8_t *before,
		       uint64_t page, uint32_t count)
{
	bool is_lock = command == BL || command == B2L;
	uint64_t frames = command == B2L || command == B2U ? 512 : 1;

	for (unsigned int i = 0; i < count; i++) {
		uint64_t word = get_word(before, i);
		uint64_t after = get_word(page_bytes(rig, page), i);
		struct aero_range block = { word >> 12, frames };
		uint32_t status = after & 0x1f;

		if (!rig->is_page_loose)
			expect(rig, "word of the batch", after, (word & ~0x1full) | status);
		if (word & 0xfff || block.first % frames)
			expect(rig, "status of a bad word", status, 2);
		else
			take_answer(rig, is_lock, block, page, status);
	}
	if (memcmp(before + 8 * count, page_bytes(rig, page) + 8 * count, 8 * (WORDS - count)))
		note(rig, "words behind the batch", count, 0);
}

/* Whether a batched command has a batch. */
static bool is_batch_good(const struct vmware_host_rig *rig, uint64_t bx, uint64_t si)
{
	return (uint32_t)si && (uint32_t)si <= WORDS && is_page(bx) && bx < rig->options.frames;
}

/* The guest --------------------------------------------------------------------------------- */

/* A command that moves frames was served: what became of them. */
static void take_moves(struct vmware_host_rig *rig, uint32_t command, const uint8_t *before)
{
	struct aero_range one = { rig->trace_before.bx, 1 };
	uint32_t status = (uint32_t)rig->regs.ax;

	if (command == LOCK || command == UNLOCK) {
		take_answer(rig, command == LOCK, one, UINT64_MAX, status);
	} else if (!is_batch_good(rig, rig->trace_before.bx, rig->trace_before.si) ||
		   (rig->host.failures && status == AERO_VMWARE_FAILURE)) {
		expect(rig, "status without a batch", status, 0xffffffff);
	} else {
		expect(rig, "status of a batch", status, 0);
		take_batch(rig, command, before, one.first, (uint32_t)rig->trace_before.si);
	}
}

static bool is_move(uint32_t command)
{
	return command == LOCK || command == UNLOCK || (command >= BL && command <= B2U);
}

/* The registers a call leaves as they are, and those it answers with. */
static void check_registers(struct vmware_host_rig *rig, uint32_t command,
			    const struct aero_vmware_registers *before)
{
	const struct aero_vmware_registers *after = &rig->regs;
	bool has_target = !after->ax && (is_move(command) || command == GET_TARGET);
	bool has_caps = after->ax == 0x03000000 && command == START && !is_interposed(rig, command);

	expect(rig, "BX", after->bx, has_target ? told_target(rig) : before->bx);
	expect(rig, "CX", after->cx,
	       !has_caps	      ? before->cx
	       : (uint32_t)before->bx ? rig->caps
				      : grantable(rig));
	expect(rig, "DX", after->dx, before->dx);
	expect(rig, "SI", after->si, before->si);
	expect(rig, "DI", after->di, before->di);
	if (memcmp(&rig->trace_before, before, sizeof(*before)) ||
	    memcmp(&rig->trace_after, after, sizeof(*after)))
		note(rig, "trace of a call", before->cx, after->ax);
}

uint64_t vmware_host_rig_call(struct vmware_host_rig *rig, uint32_t command, uint64_t bx,
			      uint64_t si)
{
	struct aero_vmware_registers before = {
		.ax = 0x456c6d6f,
		.bx = bx,
		.cx = NOISE | command,
		.dx = NOISE | 0x5670,
		.si = si,
		.di = NOISE,
	};
	uint8_t page[4096] = { 0 };
	uint32_t status;

	if (is_page(bx))
		memcpy(page, page_bytes(rig, bx), sizeof(page));
	rig->host.failures = 0;
	rig->regs = before;
	if (aero_vmware_host_call(&rig->dev, &rig->regs, rig->now) != AERO_OK)
		note(rig, "call() failed", command, 0);
	status = protocol_status(rig, command & 0xffff, bx, si);
	if (status || !is_move(command & 0xffff))
		expect(rig, "AX", rig->regs.ax, status);
	else
		take_moves(rig, command & 0xffff, page);
	check_registers(rig, command & 0xffff, &before);
	return rig->regs.ax;
}

void vmware_host_rig_start(struct vmware_host_rig *rig, uint32_t caps)
{
	(void)vmware_host_rig_call(rig, START, caps, 0);
	if (rig->caps & 0x10)
		(void)vmware_host_rig_call(rig, DOORBELL, VMWARE_RIG_CONTEXT, VMWARE_RIG_RESOURCE);
	(void)vmware_host_rig_call(rig, GUEST_ID, 1, 0);
}

void vmware_host_rig_put(struct vmware_host_rig *rig, unsigned int i, uint64_t word)
{
	uint8_t *page = page_bytes(rig, rig->page);

	for (unsigned int b = 0; b < 8; b++)
		page[8 * i + b] = (uint8_t)(word >> (8 * b));
}

uint64_t vmware_host_rig_word(const struct vmware_host_rig *rig, unsigned int i)
{
	return get_word(page_bytes(rig, rig->page), i);
}

uint32_t vmware_host_rig_status(const struct vmware_host_rig *rig, unsigned int i)
{
	return vmware_host_rig_word(rig, i) & 0x1f;
}

uint64_t vmware_host_rig_batch(struct vmware_host_rig *rig, uint32_t command, uint64_t first,
			       int64_t step, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		vmware_host_rig_put(rig, i, (first + (uint64_t)step * i) << 12);
	return vmware_host_rig_call(rig, command, rig->page, count);
}

void vmware_host_rig_run(struct vmware_host_rig *rig)
{
	unsigned int steps = RUN_STEPS;

	while (aero_vmware_host_step(&rig->dev, rig->now) <= rig->now && --steps)
		;
	if (!steps)
		note(rig, "step() has always more to do", RUN_STEPS, 0);
}

/* The operator ------------------------------------------------------------------------------ */

void vmware_host_rig_target(struct vmware_host_rig *rig, uint64_t frames)
{
	enum aero_status status;
	uint64_t told;

	rig->target = frames < 1ull << 40 ? frames : 1ull << 40;
	status = aero_vmware_host_set_target(&rig->dev, frames, &told);
	expect(rig, "status of a target", status, frames > 1ull << 40 ? AERO_ERANGE : AERO_OK);
	expect(rig, "target told", told, told_target(rig));
}

void vmware_host_rig_reset(struct vmware_host_rig *rig)
{
	enum aero_status should = rig->is_live ? AERO_OK : AERO_ESTATE;

	expect(rig, "status of a reset", aero_vmware_host_reset(&rig->dev), should);
	rig->is_reset_wanted = rig->is_live;
}

void vmware_host_rig_forget(struct vmware_host_rig *rig)
{
	aero_vmware_host_forget(&rig->dev);
	lose_all(rig);
}

void vmware_host_rig_pause(struct vmware_host_rig *rig, bool is_quiesced)
{
	rig->is_quiesced = is_quiesced;
	if (is_quiesced) {
		aero_vmware_host_quiesce(&rig->dev);
		return;
	}
	rig->host.is_frozen = false;
	aero_vmware_host_resume(&rig->dev);
}

/* Checks ------------------------------------------------------------------------------------ */

static void check_ledger(struct vmware_host_rig *rig)
{
	struct aero_range run = { 0, 0 };
	uint64_t count = 0;

	while (aero_frame_set_next(&rig->dev.ledger.held, run.first + run.count, AERO_FRAME_LIMIT,
				   &run)) {
		if (run.first + run.count > rig->options.frames) {
			note(rig, "no guest memory in the ledger", run.first, run.count);
			return;
		}
		if (memchr(rig->held + run.first, 0, (size_t)run.count))
			note(rig, "not given, but in the ledger", run.first, run.count);
		count += run.count;
	}
	expect(rig, "frames in the ledger", count, rig->held_count);
}

static void check_report(struct vmware_host_rig *rig)
{
	struct aero_vmware_host_report report;

	aero_vmware_host_report(&rig->dev, rig->now, &report);
	expect(rig, "target reported", report.target_frames, rig->target);
	expect(rig, "frames reported", report.actual_frames, rig->held_count);
	expect(rig, "capabilities reported", report.capabilities, rig->caps);
	expect(rig, "life reported", report.is_live, rig->is_live);
	expect(rig, "pause reported", report.is_quiesced, rig->is_quiesced);
	if (report.pending_frames > report.actual_frames)
		note(rig, "more pending than held", report.pending_frames, report.actual_frames);
}

bool vmware_host_rig_check(struct vmware_host_rig *rig)
{
	if (rig->host.violation[0] && !rig->problem[0])
		snprintf(rig->problem, sizeof(rig->problem), "%s", rig->host.violation);
	expect(rig, "validate()", aero_vmware_host_validate(&rig->dev), AERO_OK);
	check_ledger(rig);
	check_report(rig);
	return !rig->problem[0];
}

uint64_t vmware_host_rig_discarded(const struct vmware_host_rig *rig, uint64_t first,
				   uint64_t count)
{
	struct aero_range range = { first, count };

	return host_double_count(&rig->host, range, HOST_DOUBLE_DISCARDED);
}
