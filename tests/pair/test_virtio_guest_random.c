/* SPDX-License-Identifier: MIT */
/*
 * virtio's driver against our device on random schedules: an operator who changes his mind, a
 * kernel that is short of memory and moves it, a device that rests, resets or says nothing. After
 * each step three books of every frame are compared; in the end all is as the operator wants it.
 */
#include "support/test.h"

#include <inttypes.h>

#include "support/random.h"
#include "support/virtio_pair.h"

/* Other machines are slow to emulate and sanitizers take their time: they replay the first ones. */
#if defined(__has_feature)
#define HAS_SANITIZER __has_feature(address_sanitizer)
#else
#define HAS_SANITIZER 0
#endif
#if defined(AERO_TEST_PLAIN)
#define SCHEDULES 100
#elif HAS_SANITIZER
#define SCHEDULES 300
#else
#define SCHEDULES 2000
#endif
#define ACTIONS 40
#define SECOND VIRTIO_PAIR_SECOND
#define ISOLATED 4

struct schedule {
	struct virtio_pair pair;
	struct test_random random;
	uint64_t target;
	uint64_t frames; /* of the kernel */
	uint64_t features;
	aero_frame isolated[ISOLATED];
	unsigned int isolated_order[ISOLATED];
	unsigned int isolated_count;
	struct aero_range pushed[4]; /* with the device */
	unsigned int pushed_count;
	uint64_t pushed_calls;
	bool is_suspended;
	uint64_t migrated;
	uint64_t reclaimed;
	uint64_t reentries;
	uint64_t resets;
	uint64_t suspends;
	uint64_t pushes;
};

static uint64_t below(struct schedule *s, uint64_t limit)
{
	return test_random_below(&s->random, limit);
}

static bool chance(struct schedule *s, unsigned int percent)
{
	return below(s, 100) < percent;
}

/* The world ----------------------------------------------------------------------------------- */

static const uint32_t orders[] = { 1u << 0 | 1u << 9, 1u << 0, 1u << 0 | 1u << 4 | 1u << 9,
				   1u << 4 | 1u << 9, 1u << 2 };

static void choose_guest(struct schedule *s, struct virtio_pair_options *options)
{
	struct aero_virtio_balloon_guest_config *guest = &options->guest;

	guest->balloon.backoff_max_ns = SECOND << below(s, 4);
	guest->balloon.cooldown_ns = SECOND * (1 + below(s, 5));
	guest->balloon.floor_frames = chance(s, 10) ? below(s, 500) : 0;
	guest->balloon.batches = chance(s, 70) ? 0 : (uint32_t)(1 + below(s, 16));
	guest->requests = chance(s, 50) ? 0 : (uint32_t)(1 + below(s, 16));
	guest->request_frames = chance(s, 60) ? 0 : (uint32_t)(1 + below(s, 3000));
	guest->numbering = (enum aero_virtio_balloon_numbering)below(s, 3);
	guest->has_poison = chance(s, 50);
	guest->reporting.is_pulling = chance(s, 50);
	guest->reporting.delay_ns = SECOND;
	guest->reporting.budget_bytes = chance(s, 20) ? 0 : below(s, 16) << 18;
}

static void choose_options(struct schedule *s, struct virtio_pair_options *options)
{
	static const uint64_t rings[] = { 0,
					  1ull << 34,
					  1ull << 34 | 1ull << 29,
					  1ull << 29,
					  1ull << 28 | 1ull << 29,
					  1ull << 34 | 1ull << 28,
					  1ull << 35 | 1ull << 29,
					  1ull << 35 | 1ull << 34 };
	uint64_t known = chance(s, 30) ? 63 : test_random_next(&s->random) & 63;

	memset(options, 0, sizeof(*options));
	choose_guest(s, options);
	s->frames = 1024 + below(s, 6) * 512;
	options->sim.frames = s->frames;
	options->sim.orders = orders[below(s, TEST_ARRAY_SIZE(orders))];
	options->sim.order = (enum sim_order)below(s, 3);
	options->sim.seed = test_random_next(&s->random);
	options->sim.without = (chance(s, 20) ? SIM_PORT_LOCK : 0) |
			       (chance(s, 20) ? SIM_PORT_SET_OFFLINE : 0) |
			       (chance(s, 20) ? SIM_PORT_ADJUST_MANAGED : 0) |
			       (chance(s, 20) ? SIM_PORT_SPLIT : 0);
	options->device.is_legacy = chance(s, 15);
	options->device.offered = known;
	if (!options->device.is_legacy)
		options->device.offered |= 1ull << 32 | rings[below(s, TEST_ARRAY_SIZE(rings))];
	options->device.offered |= options->device.is_legacy && !known ? 1ull << 29 : 0;
	options->is_pushing = chance(s, 50);
	options->stats = chance(s, 70) ? 0x30 : 0;
}

static bool has(const struct schedule *s, unsigned int bit)
{
	return s->pair.drv.is_live && s->pair.drv.features >> bit & 1;
}

/* The kernel ---------------------------------------------------------------------------------- */

static void reclaim(struct schedule *s)
{
	uint64_t came;

	(void)aero_virtio_balloon_guest_reclaim(&s->pair.drv, (enum aero_reclaim)below(s, 2),
						1 + below(s, 1000), s->pair.now, &came);
	s->reclaimed += came;
	s->pair.due = s->pair.now;
}

/* Any block of the balloon; false: it is empty. */
static bool choose_block(struct schedule *s, unsigned int *out_order, aero_frame *out_frame)
{
	const struct aero_pages *pages = &s->pair.drv.balloon.pages;
	const struct aero_pages_size *size = &pages->size[below(s, pages->size_count)];
	struct aero_range run;

	if (!aero_frame_set_next(&size->lent, below(s, s->frames) >> size->order, 1, &run))
		return false;
	*out_order = size->order;
	*out_frame = run.first << size->order;
	return true;
}

static void isolate(struct schedule *s)
{
	unsigned int order;
	aero_frame frame;

	if (s->isolated_count == ISOLATED || !choose_block(s, &order, &frame) ||
	    !aero_balloon_isolate(&s->pair.drv.balloon, order, frame))
		return;
	/* The kernel may have come back in the middle of that. */
	if (s->isolated_count == ISOLATED) {
		aero_balloon_putback(&s->pair.drv.balloon, order, frame);
		return;
	}
	s->isolated[s->isolated_count] = frame;
	s->isolated_order[s->isolated_count++] = order;
}

static void put_back(struct schedule *s)
{
	if (!s->isolated_count)
		return;
	s->isolated_count--;
	aero_balloon_putback(&s->pair.drv.balloon, s->isolated_order[s->isolated_count],
			     s->isolated[s->isolated_count]);
	s->pair.due = s->pair.now;
}

static void migrate(struct schedule *s)
{
	unsigned int order;
	aero_frame frame, new_frame;

	/* A device that says nothing in the middle of one costs a million polls. */
	if (s->pair.is_device_still && !chance(s, 2))
		return;
	if (choose_block(s, &order, &frame) &&
	    virtio_pair_migrate(&s->pair, order, frame, &new_frame) == AERO_OK)
		s->migrated++;
}

static void use_memory(struct schedule *s)
{
	struct sim_port *sim = &s->pair.sim;

	switch (below(s, 5)) {
	case 0:
		sim_port_fragment(sim, (unsigned int)below(s, 1000));
		break;
	case 1:
		sim_port_pin_random(sim, below(s, s->frames / 2));
		break;
	case 2:
		sim_port_unpin(sim, below(s, s->frames));
		break;
	case 3:
		sim->reclaim_floor = below(s, s->frames / 2);
		sim->spare_floor = below(s, s->frames / 2);
		break;
	default:
		sim->reclaim_floor = sim->spare_floor = 0;
		sim_port_unpin_all(sim);
		break;
	}
}

static void fail_calls(struct schedule *s)
{
	sim_port_fail(&s->pair.sim,
		      below(s, 2) ? SIM_PORT_ALLOC | SIM_PORT_PAGE_GET : SIM_PORT_PAGE_GET,
		      below(s, 20), chance(s, 30));
}

/* Blocks that the device has answered are the kernel's, who frees them. */
static void free_pushed(struct schedule *s)
{
	struct virtio_pair *pair = &s->pair;

	if (!s->pushed_count || pair->reported_calls == s->pushed_calls)
		return;
	s->pushed_calls = pair->reported_calls;
	while (s->pushed_count) {
		struct aero_range *range = &s->pushed[--s->pushed_count];
		unsigned int order = (unsigned int)__builtin_ctzll(range->count);

		pair->port.free(pair->port.ctx, order, &range->first, 1);
		pair->outside_frames -= range->count;
	}
}

static void push(struct schedule *s)
{
	struct virtio_pair *pair = &s->pair;
	unsigned int page = (unsigned int)__builtin_ctz(pair->sim.config.orders);
	unsigned int want = 1 + (unsigned int)below(s, 4);
	enum aero_status status;

	if (s->pushed_count)
		return;
	while (s->pushed_count < want) {
		struct aero_range *range = &s->pushed[s->pushed_count];

		if (!pair->port.alloc(pair->port.ctx, page, AERO_EFFORT_SPARE, &range->first, 1))
			break;
		range->count = 1ull << page;
		pair->outside_frames += range->count;
		s->pushed_count++;
	}
	s->pushed_calls = pair->reported_calls;
	status = aero_virtio_balloon_guest_report_free(&pair->drv, s->pushed, s->pushed_count);
	s->pushes += !status;
	if (!status)
		return;
	/* Not taken: there is no answer to come. */
	pair->reported_calls++;
	free_pushed(s);
}

static void change_reporting(struct schedule *s)
{
	uint32_t all = s->pair.sim.config.orders;
	struct aero_virtio_balloon_reporting reporting = {
		.is_pulling = chance(s, 60),
		.order = chance(s, 50) ? 0 : 31 - (unsigned int)__builtin_clz(all),
		.delay_ns = SECOND / 2 + below(s, SECOND),
		.budget_bytes = chance(s, 20) ? 0 : below(s, 16) << 18,
	};

	if (aero_virtio_balloon_guest_set_reporting(&s->pair.drv, &reporting))
		virtio_pair_complain(&s->pair, "a change of reporting", reporting.order, all);
	s->pair.due = s->pair.now;
}

/* The kernel comes back while it is asked for something. */
static void reenter(void *ctx, enum sim_port_call call)
{
	struct schedule *s = ctx;
	uint64_t came;

	if ((call != SIM_PORT_ALLOC && call != SIM_PORT_PAGE_GET) || below(s, 64))
		return;
	s->reentries++;
	if (chance(s, 20)) {
		migrate(s);
	} else if (chance(s, 50)) {
		(void)aero_virtio_balloon_guest_reclaim(&s->pair.drv, AERO_RECLAIM_OOM,
							1 + below(s, 100), s->pair.now, &came);
		s->reclaimed += came;
	} else {
		isolate(s);
	}
}

static void suspend(struct schedule *s)
{
	struct virtio_pair *pair = &s->pair;

	while (s->isolated_count)
		put_back(s);
	/* It would wait for frames that are isolated meanwhile. */
	pair->sim.during = NULL;
	s->suspends++;
	if (virtio_pair_suspend(pair, 10 * SECOND))
		virtio_pair_complain(pair, "no suspend: frames", virtio_pair_frames(pair), 0);
	free_pushed(s);
	if (sim_port_lent_frames(&pair->sim) != pair->outside_frames)
		virtio_pair_complain(pair, "asleep with frames", sim_port_lent_frames(&pair->sim),
				     pair->outside_frames);
	(void)virtio_pair_run(pair, below(s, SECOND));
	aero_virtio_balloon_guest_resume(&pair->drv);
	pair->sim.during = reenter;
	pair->due = pair->now;
}

/* The host ------------------------------------------------------------------------------------ */

static void aim(struct schedule *s)
{
	uint64_t told;

	s->target = chance(s, 20) ? 0 : below(s, s->frames + s->frames / 8);
	aero_virtio_balloon_host_set_target(&s->pair.virtio.device, s->target, &told);
}

static void change_device(struct schedule *s)
{
	struct aero_virtio_balloon *dev = &s->pair.virtio.device;

	switch (below(s, 8)) {
	case 0:
		aero_virtio_balloon_host_quiesce(dev);
		break;
	case 1:
		aero_virtio_balloon_host_inhibit(dev, (uint32_t)below(s, 2));
		break;
	case 2:
		s->pair.is_device_still = true;
		break;
	case 3:
		s->pair.is_deaf = true;
		break;
	case 4:
		s->pair.virtio.is_eager = !s->pair.virtio.is_eager;
		break;
	default:
		aero_virtio_balloon_host_resume(dev);
		aero_virtio_balloon_host_inhibit(dev, 0);
		s->pair.is_device_still = s->pair.is_deaf = false;
		break;
	}
}

static void ask_device(struct schedule *s)
{
	struct aero_virtio_balloon *dev = &s->pair.virtio.device;

	switch (below(s, 5)) {
	case 0:
		(void)aero_virtio_balloon_host_request_stats(dev);
		break;
	case 1:
		(void)aero_virtio_balloon_host_hint_start(dev);
		break;
	case 2:
		(void)aero_virtio_balloon_host_hint_stop(dev);
		break;
	case 3:
		(void)aero_virtio_balloon_host_hint_done(dev);
		break;
	default:
		aero_virtio_balloon_host_flush(dev);
		break;
	}
}

static void need_reset(struct schedule *s)
{
	s->resets++;
	sim_virtio_need_reset(&s->pair.virtio);
	s->pair.is_deaf = false;
}

/* A schedule ---------------------------------------------------------------------------------- */

static void act(struct schedule *s)
{
	static void (*const actions[])(struct schedule * s) = {
		aim,	       aim,	      aim,	  aim,	      reclaim, isolate,
		isolate,       put_back,      put_back,	  migrate,    migrate, migrate,
		use_memory,    use_memory,    fail_calls, push,	      push,    change_reporting,
		change_device, change_device, ask_device, ask_device,
	};
	uint64_t rare = below(s, 100);

	if (rare < 2)
		suspend(s);
	else if (rare < 5)
		need_reset(s);
	else
		actions[below(s, TEST_ARRAY_SIZE(actions))](s);
	switch (below(s, 4)) {
	case 0:
		break;
	case 1:
		(void)virtio_pair_step(&s->pair);
		break;
	case 2:
		(void)virtio_pair_settle(&s->pair);
		break;
	default:
		(void)virtio_pair_run(&s->pair, below(s, 3 * SECOND));
		break;
	}
	free_pushed(s);
	(void)virtio_pair_check(&s->pair);
}

/* All is well again; what is left to do gets its time. */
static void calm_down(struct schedule *s)
{
	static const struct aero_virtio_balloon_reporting off = { .is_pulling = false };
	struct virtio_pair *pair = &s->pair;

	pair->sim.during = NULL;
	sim_port_fail(&pair->sim, 0, 0, false);
	pair->sim.reclaim_floor = pair->sim.spare_floor = 0;
	sim_port_unpin_all(&pair->sim);
	while (s->isolated_count)
		put_back(s);
	pair->is_device_still = pair->is_deaf = false;
	aero_virtio_balloon_host_resume(&pair->virtio.device);
	aero_virtio_balloon_host_inhibit(&pair->virtio.device, 0);
	(void)aero_virtio_balloon_guest_set_reporting(&pair->drv, &off);
	aero_virtio_balloon_guest_interrupt(&pair->drv, 3);
	pair->is_interrupted = true;
	(void)virtio_pair_run(pair, 5 * SECOND);
	free_pushed(s);
	if (has(s, 3))
		(void)aero_virtio_balloon_host_hint_done(&pair->virtio.device);
	s->target = below(s, s->frames - 512);
	(void)virtio_pair_target(pair, s->target);
	(void)virtio_pair_run(pair, 40 * SECOND);
	free_pushed(s);
}

static bool is_at_target(struct schedule *s)
{
	uint64_t page = s->pair.sim.config.orders & (0 - s->pair.sim.config.orders);
	uint64_t want = (s->target + page - 1) & ~(page - 1);

	if (virtio_pair_frames(&s->pair) == want && virtio_pair_is_settled(&s->pair))
		return true;
	virtio_pair_complain(&s->pair, aero_stall_str(virtio_pair_stall(&s->pair)), s->target,
			     virtio_pair_frames(&s->pair));
	return false;
}

static const char *run_schedule(struct schedule *s, uint64_t seed)
{
	struct virtio_pair_options options;

	memset(s, 0, sizeof(*s));
	s->random.state = seed;
	choose_options(s, &options);
	virtio_pair_open(&s->pair, &options);
	s->pair.thorough = 200;
	s->pair.is_polled = chance(s, 15);
	s->pair.sim.during = reenter;
	s->pair.sim.during_ctx = s;
	for (unsigned int i = 0; i < ACTIONS && !s->pair.problem[0]; i++)
		act(s);
	if (!s->pair.problem[0])
		calm_down(s);
	if (s->pair.problem[0] || !is_at_target(s))
		return s->pair.problem;
	return virtio_pair_close(&s->pair);
}

static void test_random_schedules_end_at_the_target(void **state)
{
	uint64_t n, seed, migrated = 0, reclaimed = 0, reentries = 0, pushes = 0, passes = 0;
	struct schedule *schedule = malloc(sizeof(*schedule));

	(void)state;
	assert_non_null(schedule);
	for (n = 1; test_random_seed(n, SCHEDULES, &seed); n++) {
		const char *problem = run_schedule(schedule, seed);

		if (problem)
			fail_msg("AERO_TEST_SEED=%" PRIu64 ": %s", seed, problem);
		migrated += schedule->migrated;
		reclaimed += schedule->reclaimed;
		reentries += schedule->reentries;
		pushes += schedule->pushes;
		passes += schedule->pair.drv.counters.report_passes;
	}
	/* Schedules that do nothing would prove nothing. */
	if (!getenv("AERO_TEST_SEED")) {
		print_message("# %d schedules: %" PRIu64 " migrated, %" PRIu64 " frames reclaimed, "
			      "%" PRIu64 " reentries, %" PRIu64 " reports pushed, %" PRIu64
			      " passes\n",
			      SCHEDULES, migrated, reclaimed, reentries, pushes, passes);
		assert_true(migrated > SCHEDULES / 2);
		assert_true(reclaimed > SCHEDULES * 10);
		assert_true(reentries > SCHEDULES);
		assert_true(pushes > SCHEDULES / 4);
		assert_true(passes > SCHEDULES);
	}
	free(schedule);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_schedules_end_at_the_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
