/* SPDX-License-Identifier: MIT */
/*
 * The engine on random channels and kernels: batches answered in any order or never, refusals,
 * resets, failing allocations, reclaim, migration, freezing. Engine, host's book and kernel are
 * compared after each step, and once all is well again the target is reached. AERO_TEST_SEED=N
 * replays one.
 */
#include "test_balloon_case.h"

#include "support/random.h"

#define SEEDS 150
#define STEPS 400
#define ISOLATED 16

struct chaos {
	struct channel_double chan;
	struct test_random random;
	unsigned int refuse_per_mille;
	aero_frame isolated[ISOLATED];
	unsigned int isolated_order[ISOLATED];
	unsigned int isolated_count;
	uint64_t moves;
	uint64_t resets;
};

static uint64_t below(struct chaos *chaos, uint64_t limit)
{
	return test_random_below(&chaos->random, limit);
}

static bool refuses(struct channel_double *chan, unsigned int order, aero_frame first)
{
	struct chaos *chaos = (struct chaos *)chan;

	(void)order;
	(void)first;
	return below(chaos, 1000) < chaos->refuse_per_mille;
}

static const enum aero_status failures[] = { AERO_EREFUSED, AERO_ERESET, AERO_EIO };

static void answer_some(struct chaos *chaos)
{
	struct channel_double *chan = &chaos->chan;
	uint64_t count = below(chaos, chan->flying_count + 1);

	while (count--) {
		unsigned int nth = (unsigned int)below(chaos, chan->flying_count);
		enum aero_status status = AERO_OK;

		if (!below(chaos, 12))
			status = failures[below(chaos, TEST_ARRAY_SIZE(failures))];
		channel_double_answer(chan, nth, status);
	}
}

static void change_host(struct chaos *chaos)
{
	struct channel_double *chan = &chaos->chan;

	switch (below(chaos, 8)) {
	case 0:
		chaos->refuse_per_mille = (unsigned int)below(chaos, 4) * 300;
		break;
	case 1:
		chan->is_async = below(chaos, 4);
		break;
	case 2:
		chan->fail_at = 1 + below(chaos, 4);
		chan->fail_status = failures[below(chaos, TEST_ARRAY_SIZE(failures))];
		break;
	case 3:
		chan->target_status = below(chaos, 3) ? AERO_OK : AERO_EREFUSED;
		break;
	case 4:
		chan->start_status = below(chaos, 3) ? AERO_OK : AERO_EAGAIN;
		break;
	case 5:
		aero_balloon_require_reset(&chan->balloon);
		chaos->resets++;
		break;
	case 6:
		/* Counts from the next start on. */
		chan->are_kept_at_disarm = below(chaos, 2);
		break;
	default:
		chan->target = below(chaos, 3) ? below(chaos, MIB(70)) : 0;
		aero_balloon_notify(&chan->balloon);
	}
}

static void isolate_or_putback(struct chaos *chaos)
{
	struct aero_balloon *balloon = &chaos->chan.balloon;
	struct aero_pages_size *size =
		&balloon->pages.size[below(chaos, balloon->pages.size_count)];
	struct aero_range run;

	if (chaos->isolated_count && below(chaos, 2)) {
		unsigned int nth = --chaos->isolated_count;

		aero_balloon_putback(balloon, chaos->isolated_order[nth], chaos->isolated[nth]);
		return;
	}
	if (chaos->isolated_count == ISOLATED ||
	    !aero_frame_set_next(&size->lent, below(chaos, MIB(64)) >> size->order, 1, &run))
		return;
	if (!aero_balloon_isolate(balloon, size->order, run.first << size->order))
		return;
	chaos->isolated_order[chaos->isolated_count] = size->order;
	chaos->isolated[chaos->isolated_count++] = run.first << size->order;
}

static void move(struct chaos *chaos)
{
	static const enum aero_status answers[] = { AERO_OK, AERO_OK, AERO_ENOENT, AERO_EREFUSED,
						    AERO_ERESET };
	struct channel_double *chan = &chaos->chan;
	struct aero_pages_size *size = &chan->balloon.pages.size[0];
	struct aero_range run;

	chan->exchange_status = answers[below(chaos, TEST_ARRAY_SIZE(answers))];
	if (aero_frame_set_next(&size->lent, below(chaos, MIB(64)), 1, &run))
		chaos->moves += !channel_double_move(chan, 0, run.first);
}

static void change_kernel(struct chaos *chaos)
{
	struct channel_double *chan = &chaos->chan;
	uint64_t came;

	switch (below(chaos, 9)) {
	case 0:
		(void)aero_balloon_reclaim(&chan->balloon, (enum aero_reclaim)below(chaos, 2),
					   below(chaos, MIB(8)), chan->now, &came);
		break;
	case 1:
		sim_port_fail(&chan->sim, SIM_PORT_ALLOC | SIM_PORT_PAGE_GET, 1 + below(chaos, 20),
			      below(chaos, 4) == 0);
		break;
	case 2:
		sim_port_fail(&chan->sim, 0, 0, false);
		break;
	case 3:
		chan->sim.reclaim_floor = below(chaos, MIB(64));
		break;
	case 4:
		(void)aero_balloon_freeze(&chan->balloon);
		break;
	case 5:
		aero_balloon_thaw(&chan->balloon);
		break;
	case 6:
		aero_balloon_inhibit(&chan->balloon, below(chaos, 3) == 0);
		break;
	case 7:
		isolate_or_putback(chaos);
		break;
	default:
		move(chaos);
	}
}

static void one_step(struct chaos *chaos)
{
	struct channel_double *chan = &chaos->chan;
	uint64_t due;

	switch (below(chaos, 8)) {
	case 0:
		change_host(chaos);
		break;
	case 1:
		change_kernel(chaos);
		break;
	case 2:
	case 3:
		answer_some(chaos);
		break;
	default:
		due = aero_balloon_step(&chan->balloon, chan->now);
		assert_true(due >= chan->now);
		/* Sometimes too late, sometimes on time. */
		if (below(chaos, 4) == 0)
			chan->now += below(chaos, 3 * SECOND);
		else if (due != AERO_NEVER && below(chaos, 2))
			chan->now = due;
	}
	channel_double_check(chan);
	good(chan);
}

static bool is_at_target(const struct channel_double *chan)
{
	uint64_t frames = channel_double_frames(chan);

	return !chan->flying_count && !chan->done_count && frames >= chan->target &&
	       frames < chan->target + 512 && channel_double_stall(chan) <= AERO_STALL_SLACK &&
	       channel_double_stall(chan) != AERO_STALL_WORKING;
}

/* The storm is over: all answers come, and the target is reached in bounded time. */
static void calm_down(struct chaos *chaos)
{
	struct channel_double *chan = &chaos->chan;

	chaos->refuse_per_mille = 0;
	chan->fail_at = 0;
	chan->start_status = AERO_OK;
	chan->target_status = AERO_OK;
	chan->are_kept_at_disarm = false;
	chan->sim.reclaim_floor = 0;
	sim_port_fail(&chan->sim, 0, 0, false);
	while (chaos->isolated_count--)
		aero_balloon_putback(&chan->balloon, chaos->isolated_order[chaos->isolated_count],
				     chaos->isolated[chaos->isolated_count]);
	aero_balloon_thaw(&chan->balloon);
	aero_balloon_inhibit(&chan->balloon, false);
	chan->target = below(chaos, MIB(60));
	aero_balloon_notify(&chan->balloon);
	for (unsigned int i = 0; i < 2000 && !is_at_target(chan); i++) {
		channel_double_answer_all(chan);
		channel_double_run(chan, SECOND / 50);
		good(chan);
	}
	assert_in_range(channel_double_frames(chan), chan->target, chan->target + 511);
	assert_in_range(channel_double_stall(chan), AERO_STALL_NONE, AERO_STALL_SLACK);
}

static void run_seed(uint64_t seed)
{
	static const uint32_t in_flight[] = { 1, 2, 5, 16 };
	static const uint32_t orders[] = { ORDER(0), ORDER(0) | ORDER(9),
					   ORDER(0) | ORDER(3) | ORDER(9) };
	struct chaos *chaos = calloc(1, sizeof(*chaos));
	struct channel_double *chan;
	struct aero_balloon_config config = { 0 };
	struct sim_port_config sim = { .seed = seed };
	const char *problem;

	assert_non_null(chaos);
	chan = &chaos->chan;
	chaos->random.state = seed;
	sim.order = (enum sim_order)below(chaos, 3);
	sim.orders = orders[below(chaos, TEST_ARRAY_SIZE(orders))];
	config.rates.is_limited = below(chaos, 4) == 0;
	config.floor_frames = below(chaos, 3) ? 0 : MIB(2);
	assert_int_equal(channel_double_open(chan, &config, &sim), AERO_OK);
	chan->limits.orders = sim.orders;
	chan->limits.in_flight = in_flight[below(chaos, TEST_ARRAY_SIZE(in_flight))];
	chan->limits.batch_blocks = 1 + (uint32_t)below(chaos, 512);
	chan->refuses = refuses;
	chan->is_async = below(chaos, 4);
	if (below(chaos, 2))
		sim_port_fragment(&chan->sim, (unsigned int)below(chaos, 1001));
	for (unsigned int i = 0; i < STEPS; i++)
		one_step(chaos);
	calm_down(chaos);
	chan->is_async = false;
	problem = channel_double_close(chan);
	if (problem)
		fail_msg("%s", problem);
	free(chaos);
}

static void test_random_storms_end_at_the_target(void **state)
{
	uint64_t seed;

	(void)state;
	for (uint64_t n = 1; test_random_seed(n, SEEDS, &seed); n++) {
		print_message("# AERO_TEST_SEED=%llu\n", (unsigned long long)seed);
		run_seed(seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_storms_end_at_the_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
