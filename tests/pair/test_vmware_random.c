/* SPDX-License-Identifier: MIT */
/*
 * VMware's driver against VMware's host on random schedules: targets, refusals, resets, failing
 * allocations, migrations, reclaim, pauses of both ends. After every step driver, host and kernel
 * are compared; in the end all humours are taken back and the target must be reached.
 *
 * AERO_TEST_SEED=N replays one schedule.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "support/random.h"
#include "support/test.h"
#include "support/vmware_pair.h"

#define SECOND 1000000000ull
#define MINUTE (60 * SECOND)
#define ACTIONS 100
/* Other machines are slow to emulate and sanitizers take their time: they replay the first ones. */
#if defined(__has_feature)
#define HAS_SANITIZER __has_feature(address_sanitizer)
#else
#define HAS_SANITIZER 0
#endif
#if defined(AERO_TEST_PLAIN)
#define SCHEDULES 60
#elif HAS_SANITIZER
#define SCHEDULES 300
#else
#define SCHEDULES 2000
#endif
#define ISOLATED_MAX 32

struct isolated {
	unsigned int order;
	aero_frame frame;
};

struct schedule {
	struct vmware_pair pair;
	struct test_random random;
	struct isolated isolated[ISOLATED_MAX];
	unsigned int isolated_count;
	uint64_t target;
	uint64_t migrated;
	uint64_t reclaimed;
	uint64_t reentries;
	bool is_frozen;
	bool is_basic;
};

static uint64_t below(struct schedule *s, uint64_t limit)
{
	return test_random_below(&s->random, limit);
}

/* What a kernel under pressure does from within an allocation must be turned away. */
static void reenter(void *ctx, enum sim_port_call call)
{
	struct schedule *s = ctx;
	struct aero_balloon *balloon = &s->pair.drv.balloon;
	uint64_t frames;
	bool is_in;

	if (call != SIM_PORT_ALLOC)
		return;
	s->reentries++;
	if (aero_balloon_reclaim(balloon, AERO_RECLAIM_OOM, 1, s->pair.now, &frames) !=
		    AERO_EAGAIN ||
	    frames)
		sim_port_violate(&s->pair.sim, "reclaimed from within a step", 0);
	if (aero_balloon_migrate(balloon, 0, 1, 2, &is_in) != AERO_EAGAIN)
		sim_port_violate(&s->pair.sim, "migrated from within a step", 0);
	if (aero_balloon_freeze(balloon) != AERO_EAGAIN)
		sim_port_violate(&s->pair.sim, "frozen from within a step", 0);
}

static void act_target(struct schedule *s)
{
	uint64_t frames = s->pair.sim.config.frames, told;

	switch (below(s, 5)) {
	case 0:
		s->target = 0;
		break;
	case 1:
		s->target = below(s, 1024);
		break;
	case 2:
		s->target = below(s, frames / 512) * 512;
		break;
	default:
		s->target = below(s, frames - frames / 8);
		break;
	}
	/* Frame by frame the same is seen in less. */
	if (s->is_basic)
		s->target /= 8;
	aero_vmware_host_set_target(&s->pair.host, s->target, &told);
}

static void act_inject(struct schedule *s)
{
	static const uint32_t statuses[] = { AERO_VMWARE_RESET,	      AERO_VMWARE_RESET,
					     AERO_VMWARE_BUSY,	      AERO_VMWARE_FAILURE,
					     AERO_VMWARE_CMD_INVALID, AERO_VMWARE_PPN_NOTNEEDED };
	uint32_t command =
		below(s, 3) ? (uint32_t)below(s, AERO_VMWARE_CMD_COUNT) : VMWARE_PAIR_ANY;

	vmware_pair_inject(&s->pair, command, statuses[below(s, 6)], 1 + below(s, 4));
}

static void act_refuse(struct schedule *s)
{
	uint64_t frames = s->pair.sim.config.frames;

	s->pair.refuse_status = AERO_VMWARE_PPN_INVALID + (uint32_t)below(s, 5);
	s->pair.refuse.first = below(s, frames);
	s->pair.refuse.count = below(s, 4) ? below(s, 20) : below(s, frames);
	s->pair.refuse_from = below(s, 8) ? 0 : frames / 2;
}

static void act_memory(struct schedule *s)
{
	struct sim_port *sim = &s->pair.sim;

	switch (below(s, 6)) {
	case 0:
		sim_port_fail(sim, SIM_PORT_ALLOC | SIM_PORT_PAGE_GET, 1 + below(s, 6),
			      below(s, 2));
		break;
	case 1:
		sim_port_fail(sim, SIM_PORT_PAGE_GET, 1 + below(s, 3), below(s, 2));
		break;
	case 2:
		sim->spare_floor = below(s, sim->config.frames);
		sim->reclaim_floor = below(s, 2) ? below(s, sim->spare_floor + 1) : 0;
		break;
	case 3:
		sim->alloc_most = below(s, 3) ? 0 : 1 + below(s, 40);
		break;
	case 4:
		sim_port_fragment(sim, (unsigned int)below(s, 1001));
		break;
	default:
		sim_port_unpin(sim, below(s, 64));
		break;
	}
}

/* Any frame of the balloon, or none. */
static bool pick(struct schedule *s, struct isolated *out)
{
	struct aero_pages *pages = &s->pair.drv.balloon.pages;
	struct aero_pages_size *size = &pages->size[below(s, pages->size_count)];
	aero_frame from = below(s, s->pair.sim.config.frames >> size->order);
	struct aero_range run;

	if (!aero_frame_set_next(&size->lent, from, UINT64_MAX, &run) &&
	    !aero_frame_set_next(&size->lent, 0, UINT64_MAX, &run))
		return false;
	out->order = size->order;
	out->frame = (run.first + below(s, run.count)) << size->order;
	return true;
}

static void act_isolate(struct schedule *s)
{
	struct isolated *slot = &s->isolated[s->isolated_count];

	if (s->isolated_count == ISOLATED_MAX || !pick(s, slot))
		return;
	s->isolated_count += aero_balloon_isolate(&s->pair.drv.balloon, slot->order, slot->frame);
}

static void putback(struct schedule *s, unsigned int i)
{
	aero_balloon_putback(&s->pair.drv.balloon, s->isolated[i].order, s->isolated[i].frame);
	s->isolated[i] = s->isolated[--s->isolated_count];
}

static void migrate_one(struct schedule *s)
{
	struct sim_port *sim = &s->pair.sim;
	enum aero_status status;
	struct isolated *old;
	aero_frame new_frame;
	bool is_in = false;
	unsigned int i;

	i = (unsigned int)below(s, s->isolated_count);
	old = &s->isolated[i];
	if (!below(s, 4)) {
		putback(s, i);
		return;
	}
	if (!sim_port_migrate_begin(sim, old->order, old->frame, &new_frame))
		return;
	status = aero_balloon_migrate(&s->pair.drv.balloon, old->order, new_frame, old->frame,
				      &is_in);
	sim_port_migrate_end(sim, new_frame, status == AERO_OK, status == AERO_OK && is_in);
	if (status == AERO_OK) {
		s->migrated++;
		s->isolated[i] = s->isolated[--s->isolated_count];
	} else if (status != AERO_EAGAIN) {
		putback(s, i);
	}
}

static void act_migrate(struct schedule *s)
{
	uint64_t moves = 1 + below(s, ISOLATED_MAX);

	while (moves-- && s->isolated_count)
		migrate_one(s);
}

static void act_reclaim(struct schedule *s)
{
	enum aero_reclaim kind = below(s, 2) ? AERO_RECLAIM_OOM : AERO_RECLAIM_PRESSURE;
	uint64_t before = vmware_pair_frames(&s->pair), came;

	aero_balloon_reclaim(&s->pair.drv.balloon, kind, below(s, 3000), s->pair.now, &came);
	if (before - vmware_pair_frames(&s->pair) != came)
		sim_port_violate(&s->pair.sim, "reclaimed another number than said", came);
	s->reclaimed += came;
}

static void act_operator(struct schedule *s)
{
	/* Both ends rest for a while only, or little else would happen. */
	switch (below(s, 12)) {
	case 0:
		aero_vmware_host_reset(&s->pair.host);
		break;
	case 1:
		aero_vmware_host_quiesce(&s->pair.host);
		break;
	case 2:
		s->is_frozen = !aero_balloon_freeze(&s->pair.drv.balloon);
		break;
	case 3:
		s->pair.is_create_failing = below(s, 2);
		break;
	default:
		aero_vmware_host_resume(&s->pair.host);
		aero_balloon_thaw(&s->pair.drv.balloon);
		break;
	}
}

static bool act(struct schedule *s)
{
	static void (*const actions[])(struct schedule *) = {
		act_target,  act_target,  act_inject,  act_refuse,  act_memory,	  act_isolate,
		act_isolate, act_migrate, act_migrate, act_reclaim, act_operator, act_operator,
	};
	uint64_t steps = below(s, 12);

	actions[below(s, sizeof(actions) / sizeof(*actions))](s);
	if (!vmware_pair_check(&s->pair))
		return false;
	while (steps--)
		if (!vmware_pair_step(&s->pair))
			return false;
	if (!below(s, 8))
		s->pair.now += below(s, 20 * SECOND);
	return true;
}

static void take_humours_back(struct schedule *s)
{
	struct vmware_pair *pair = &s->pair;

	pair->inject_at = 0;
	pair->refuse.count = 0;
	pair->refuse_from = 0;
	pair->is_create_failing = false;
	pair->sim.spare_floor = 0;
	pair->sim.reclaim_floor = 0;
	pair->sim.alloc_most = 0;
	sim_port_fail(&pair->sim, 0, 0, false);
	sim_port_unpin_all(&pair->sim);
	while (s->isolated_count)
		putback(s, s->isolated_count - 1);
	aero_balloon_thaw(&pair->drv.balloon);
	aero_vmware_host_resume(&pair->host);
}

/* The reference: what the balloon must hold when nothing stands in its way. */
static bool is_at_target(const struct schedule *s)
{
	uint64_t frames = vmware_pair_frames(&s->pair);
	enum aero_stall stall = vmware_pair_stall(&s->pair);

	if (frames == s->target)
		return stall == AERO_STALL_NONE;
	return s->target && frames > s->target && frames - s->target < 512 &&
	       stall == AERO_STALL_SLACK;
}

static void choose_options(struct schedule *s, struct vmware_pair_options *options)
{
	static const enum sim_order orders[] = { SIM_ASCENDING, SIM_DESCENDING, SIM_SHUFFLED };

	memset(options, 0, sizeof(*options));
	options->sim.frames = 2048 + below(s, 4) * 2048;
	options->sim.order = orders[below(s, 3)];
	options->sim.seed = test_random_next(&s->random);
	options->sim.without =
		below(s, 2) ? 0 : SIM_PORT_SPLIT | SIM_PORT_SET_OFFLINE | SIM_PORT_ADJUST_MANAGED;
	if (!below(s, 3))
		options->sim.without |= SIM_PORT_LOCK;
	/* A host that lacks BASIC and BATCHED can do nothing; that is another test's. */
	options->lacks = (uint32_t)below(s, 32) << 1;
	if ((options->lacks & 6) == 6)
		options->lacks &= ~2u;
	if (options->lacks & AERO_VMWARE_CAP_BATCHED)
		options->lacks |= AERO_VMWARE_CAP_BATCHED_2M;
	options->is_old = !below(s, 8);
	if (options->is_old)
		options->lacks = 0;
	s->is_basic = options->is_old || options->lacks & AERO_VMWARE_CAP_BATCHED;
	options->has_no_vmci = !below(s, 4);
	options->guest.balloon.rates.is_limited = !below(s, 6);
	options->mode = below(s, 2) ? AERO_DISCARD_COLLECT : AERO_DISCARD_REQUEST;
}

static const char *run_schedule(struct schedule *s, uint64_t seed)
{
	struct vmware_pair_options options;
	unsigned int i;

	memset(s, 0, sizeof(*s));
	s->random.state = seed;
	choose_options(s, &options);
	vmware_pair_open(&s->pair, &options);
	s->pair.sim.during = reenter;
	s->pair.sim.during_ctx = s;
	s->pair.thorough = 8;
	for (i = 0; i < ACTIONS; i++)
		if (!act(s))
			return s->pair.problem;
	take_humours_back(s);
	if (!vmware_pair_run(&s->pair, 2 * MINUTE))
		return s->pair.problem;
	if (!is_at_target(s)) {
		snprintf(s->pair.problem, sizeof(s->pair.problem),
			 "target %" PRIu64 ", frames %" PRIu64 ", %s", s->target,
			 vmware_pair_frames(&s->pair), aero_stall_str(vmware_pair_stall(&s->pair)));
		return s->pair.problem;
	}
	return vmware_pair_close(&s->pair);
}

static void test_random_schedules_end_at_the_target(void **state)
{
	uint64_t n, seed, migrated = 0, reclaimed = 0, reentries = 0;
	static struct schedule schedule;

	(void)state;
	for (n = 1; test_random_seed(n, SCHEDULES, &seed); n++) {
		const char *problem = run_schedule(&schedule, seed);

		if (problem)
			fail_msg("AERO_TEST_SEED=%" PRIu64 ": %s", seed, problem);
		migrated += schedule.migrated;
		reclaimed += schedule.reclaimed;
		reentries += schedule.reentries;
	}
	/* Schedules that do nothing would prove nothing. */
	if (!getenv("AERO_TEST_SEED")) {
		print_message("# %d schedules: %" PRIu64 " migrated, %" PRIu64 " frames reclaimed, "
			      "%" PRIu64 " reentries\n",
			      SCHEDULES, migrated, reclaimed, reentries);
		assert_true(migrated > SCHEDULES / 2);
		assert_true(reclaimed > SCHEDULES * 100);
		assert_true(reentries > SCHEDULES * 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_schedules_end_at_the_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
