/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <aerostat/vmware.h>

#include "support/vmware_pair.h"

#define SECOND 1000000000ull

static void complain(struct vmware_pair *pair, const char *what, uint64_t a, uint64_t b)
{
	if (!pair->problem[0])
		snprintf(pair->problem, sizeof(pair->problem), "%s: %" PRIu64 ", %" PRIu64, what, a,
			 b);
}

static uint32_t interpose(void *ctx, uint32_t command)
{
	struct vmware_pair *pair = ctx;

	if (!pair->inject_at ||
	    (pair->inject_command != VMWARE_PAIR_ANY && pair->inject_command != command))
		return AERO_VMWARE_SUCCESS;
	return --pair->inject_at ? AERO_VMWARE_SUCCESS : pair->inject_status;
}

static bool touches(struct aero_range block, struct aero_range other)
{
	return block.first < other.first + other.count && other.first < block.first + block.count;
}

static uint32_t judge(void *ctx, bool is_lock, struct aero_range block)
{
	struct vmware_pair *pair = ctx;

	(void)is_lock;
	if (pair->refuse.count && touches(block, pair->refuse))
		return pair->refuse_status;
	if (pair->refuse_from && block.first + block.count > pair->refuse_from)
		return pair->refuse_status;
	return AERO_VMWARE_SUCCESS;
}

static void ring(void *ctx, uint32_t context, uint32_t resource)
{
	struct vmware_pair *pair = ctx;

	if (context != VMWARE_PAIR_CONTEXT || resource != VMWARE_PAIR_RESOURCE || !pair->doorbells)
		complain(pair, "a doorbell that does not exist rang", context, resource);
	else
		aero_vmware_guest_doorbell(&pair->drv);
}

static void write_trace(struct vmware_pair *pair, const struct aero_vmware_registers *before,
			const struct aero_vmware_registers *after)
{
	const char *name = aero_vmware_command_name((uint32_t)before->cx);

	fprintf(pair->trace, "%s %#" PRIx64 " %#" PRIx64 " -> %#" PRIx64 " %#" PRIx64 "\n",
		name ? name : "?", before->bx, before->si, after->ax, after->bx);
}

/* The loopback: the guest's instruction is the host's call. */
static void loopback(void *ctx, struct aero_vmware_registers *regs)
{
	struct vmware_pair *pair = ctx;
	struct aero_vmware_registers before = *regs;

	pair->calls++;
	pair->last_bx = regs->bx;
	if (pair->sim.is_locked)
		complain(pair, "a call of the host with the lock held", before.cx, 0);
	if (aero_vmware_host_call(&pair->host, regs, pair->now))
		complain(pair, "not a call of the balloon", before.cx, before.dx);
	if (pair->tamper)
		pair->tamper(pair, (uint32_t)before.cx, regs);
	if (pair->trace)
		write_trace(pair, &before, regs);
}

static enum aero_status create(void *ctx, uint32_t *out_context, uint32_t *out_resource)
{
	struct vmware_pair *pair = ctx;

	pair->creates++;
	if (pair->is_create_failing)
		return AERO_ENOMEM;
	if (pair->doorbells++)
		complain(pair, "two doorbells", pair->doorbells, 0);
	*out_context = VMWARE_PAIR_CONTEXT;
	*out_resource = VMWARE_PAIR_RESOURCE;
	return AERO_OK;
}

static void destroy(void *ctx, uint32_t context, uint32_t resource)
{
	struct vmware_pair *pair = ctx;

	if (context != VMWARE_PAIR_CONTEXT || resource != VMWARE_PAIR_RESOURCE || !pair->doorbells)
		complain(pair, "destroyed no doorbell of ours", context, resource);
	else
		pair->doorbells--;
}

static void note_event(void *ctx, const struct aero_balloon_event *event)
{
	struct vmware_pair *pair = ctx;

	pair->events[event->kind]++;
	pair->event_value[event->kind] = event->value;
}

static void open_host(struct vmware_pair *pair, const struct vmware_pair_options *options)
{
	struct aero_vmware_host_config config = {
		.memory = &pair->sim.memory,
		.nodes = pair->nodes.source,
		.ops = &pair->ops,
		.ops_ctx = pair,
		.capabilities = AERO_VMWARE_HOST_CAPABILITIES & ~options->lacks,
		.is_old = options->is_old,
		.mode = options->mode,
	};

	pair->ops.doorbell = ring;
	pair->ops.interpose = interpose;
	pair->ops.judge = judge;
	if (aero_vmware_host_init(&pair->host, &config))
		complain(pair, "the host does not begin", config.capabilities, 0);
}

void vmware_pair_open(struct vmware_pair *pair, const struct vmware_pair_options *options)
{
	static const struct vmware_pair_options none;
	struct aero_vmware_guest_config config;

	if (!options)
		options = &none;
	config = options->guest;
	memset(pair, 0, sizeof(*pair));
	pair->now = SECOND;
	pair->thorough = 1;
	sim_port_init(&pair->sim, &options->sim);
	test_nodes_init(&pair->nodes);
	open_host(pair, options);
	pair->bus.ctx = pair;
	pair->bus.call = loopback;
	if (!options->has_no_vmci) {
		pair->bus.doorbell_create = create;
		pair->bus.doorbell_destroy = destroy;
	}
	config.bus = &pair->bus;
	config.balloon.port = &pair->sim.port;
	config.balloon.event = note_event;
	config.balloon.event_ctx = pair;
	if (aero_vmware_guest_init(&pair->drv, &config))
		complain(pair, "the driver does not begin", 0, 0);
}

const char *vmware_pair_close(struct vmware_pair *pair)
{
	unsigned int rounds = 1000000;
	const char *lost;

	while (aero_balloon_stop(&pair->drv.balloon) == AERO_EAGAIN && --rounds)
		;
	if (!rounds)
		complain(pair, "the balloon does not become empty", vmware_pair_frames(pair), 0);
	if (aero_ledger_held(&pair->host.ledger))
		complain(pair, "the host still has frames", aero_ledger_held(&pair->host.ledger),
			 0);
	if (pair->doorbells)
		complain(pair, "a doorbell is left", pair->doorbells, 0);
	aero_vmware_guest_fini(&pair->drv);
	aero_vmware_host_fini(&pair->host);
	if (pair->nodes.live)
		complain(pair, "nodes of the host are left", pair->nodes.live, 0);
	lost = sim_port_check_empty(&pair->sim);
	if (lost && !pair->problem[0])
		snprintf(pair->problem, sizeof(pair->problem), "%s", lost);
	sim_port_fini(&pair->sim);
	return pair->problem[0] ? pair->problem : NULL;
}

/* Every frame of one is in the other; their counts are compared elsewhere. */
static void compare_sets(struct vmware_pair *pair, const struct aero_pages_size *size)
{
	struct aero_range run;
	aero_frame from = 0;

	while (aero_frame_set_next(&size->lent, from, UINT64_MAX, &run)) {
		struct aero_range frames = { run.first << size->order, run.count << size->order };
		uint64_t held = aero_frame_set_count_in(&pair->host.ledger.held, frames);

		if (held != frames.count)
			complain(pair, "lent, but not in the ledger: first, missing", frames.first,
				 frames.count - held);
		if (sim_port_owner(&pair->sim, frames.first) != SIM_OWNER_LENT)
			complain(pair, "in the balloon and not out of the kernel", frames.first, 0);
		from = run.first + run.count;
	}
}

/* What the driver has of the kernel's: in the balloon, or held for the length of a round. */
static uint64_t frames_of_driver(const struct aero_balloon *balloon)
{
	uint64_t frames = aero_balloon_frames(balloon) + aero_frame_set_count(&balloon->pool);
	unsigned int i;

	for (i = 0; i < balloon->pages.size_count; i++)
		frames += aero_frame_set_count(&balloon->refused[i])
			  << balloon->pages.size[i].order;
	return frames;
}

static bool is_in_protocol(const struct aero_balloon *balloon)
{
	return balloon->is_started && !balloon->is_reset_required;
}

/* The sums; enough to see at which step something went wrong. */
static bool check_sums(struct vmware_pair *pair)
{
	const struct aero_balloon *balloon = &pair->drv.balloon;
	uint64_t frames = aero_balloon_frames(balloon), held = aero_ledger_held(&pair->host.ledger);

	if (pair->sim.violations && !pair->problem[0])
		snprintf(pair->problem, sizeof(pair->problem), "%s", pair->sim.violation);
	/* After a reset, or between stop and empty, the host has forgotten frames that wait. */
	if (is_in_protocol(balloon) && frames != held)
		complain(pair, "frames of the driver and of the ledger", frames, held);
	if (frames_of_driver(balloon) != sim_port_lent_frames(&pair->sim))
		complain(pair, "frames the driver has and that the kernel gave",
			 frames_of_driver(balloon), sim_port_lent_frames(&pair->sim));
	return !pair->problem[0];
}

bool vmware_pair_check(struct vmware_pair *pair)
{
	const struct aero_balloon *balloon = &pair->drv.balloon;
	const char *violation = sim_port_check(&pair->sim);
	unsigned int i;

	if (violation && !pair->problem[0])
		snprintf(pair->problem, sizeof(pair->problem), "%s", violation);
	if (aero_balloon_validate(balloon))
		complain(pair, "the balloon is not valid", aero_balloon_frames(balloon), 0);
	if (aero_vmware_host_validate(&pair->host))
		complain(pair, "the host is not valid", aero_ledger_held(&pair->host.ledger), 0);
	for (i = 0; is_in_protocol(balloon) && i < balloon->pages.size_count; i++)
		compare_sets(pair, &balloon->pages.size[i]);
	return check_sums(pair);
}

bool vmware_pair_step(struct vmware_pair *pair)
{
	uint64_t due = aero_balloon_step(&pair->drv.balloon, pair->now);
	uint64_t host_due = aero_vmware_host_step(&pair->host, pair->now);

	if (due < pair->now)
		complain(pair, "due in the past", due, pair->now);
	pair->due = due;
	if (host_due < due)
		due = host_due;
	if (due != AERO_NEVER)
		pair->now = due > pair->now ? due : pair->now;
	return pair->steps++ % pair->thorough ? check_sums(pair) : vmware_pair_check(pair);
}

bool vmware_pair_run(struct vmware_pair *pair, uint64_t ns)
{
	uint64_t end = pair->now + ns, steps = 10000000;

	while (pair->now < end && --steps)
		if (!vmware_pair_step(pair))
			return false;
	if (!steps)
		complain(pair, "steps without end", pair->now, end);
	return steps;
}

bool vmware_pair_target(struct vmware_pair *pair, uint64_t frames)
{
	uint64_t told;

	aero_vmware_host_set_target(&pair->host, frames, &told);
	return vmware_pair_run(pair, 10 * SECOND);
}

void vmware_pair_inject(struct vmware_pair *pair, uint32_t command, uint32_t status, uint64_t nth)
{
	pair->inject_command = command;
	pair->inject_status = status;
	pair->inject_at = nth;
}

uint64_t vmware_pair_frames(const struct vmware_pair *pair)
{
	return aero_balloon_frames(&pair->drv.balloon);
}

enum aero_stall vmware_pair_stall(const struct vmware_pair *pair)
{
	struct aero_balloon_report report;

	aero_balloon_report(&pair->drv.balloon, &report);
	return report.stall;
}
