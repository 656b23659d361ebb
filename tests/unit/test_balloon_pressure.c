/* SPDX-License-Identifier: MIT */
/* The engine on a kernel that is short of memory: floor, back-off, rates, reclaim. */
#include "test_balloon_case.h"

static struct aero_balloon_report report(const struct channel_double *chan)
{
	struct aero_balloon_report answer;

	aero_balloon_report(&chan->balloon, &answer);
	return answer;
}

/* Floor --------------------------------------------------------------------------------------- */

static void test_floor_is_never_passed_also_not_by_a_block(void **state)
{
	struct channel_double *chan = *state;

	/* 64 MiB without 1000 frames: 30 blocks, and frames one by one. */
	settle(chan);
	aim(chan, UINT64_MAX);
	assert_frames(chan, MIB(64) - 1000);
	assert_stall(chan, STALL(FLOOR));
	assert_int_equal(sim_port_free_frames(&chan->sim), 1000);
	assert_events(chan, "started reached:0 target:18446744073709551615 stalled:4");
	/* A target just below it: no block that would pass the floor either. */
	aim(chan, 0);
	channel_double_forget(chan);
	aim(chan, MIB(64) - 1001);
	assert_frames(chan, MIB(64) - 1001);
	assert_stall(chan, STALL(NONE));
	aim(chan, MIB(64) - 1400);
	/* Below by so much that a whole block fits. */
	aim(chan, 0);
	aim(chan, MIB(50) + 1);
	assert_frames(chan, MIB(52));
}

static uint64_t unplugged;

static uint64_t smaller_kernel(void *ctx)
{
	struct sim_port *sim = ctx;

	return sim->config.frames - unplugged - sim_port_taken_frames(sim);
}

/* Memory was unplugged: what the kernel needs comes back, although the host wants it. */
static void test_floor_rises_frames_come_back(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	aim(chan, MIB(50));
	assert_frames(chan, MIB(50));
	unplugged = MIB(24);
	chan->sim.port.managed_frames = smaller_kernel;
	run(chan, SECOND);
	assert_in_range(channel_double_frames(chan), MIB(40) - 1000 - 511, MIB(40) - 1000);
	assert_stall(chan, STALL(FLOOR));
	/* Also by less than what is left alone above a target. */
	for (; unplugged < MIB(25); unplugged += 100) {
		run(chan, SECOND);
		assert_in_range(channel_double_frames(chan), 1,
				chan->sim.config.frames - unplugged - 1000);
	}
}

static void test_floor_above_all_memory_takes_nothing(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	aim(chan, MIB(50));
	assert_frames(chan, 0);
	assert_stall(chan, STALL(FLOOR));
}

/* Without adjust_managed() the count of the kernel does not move, so neither does the end. */
static void test_target_above_all_memory_ends_at_its_end(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	aim(chan, MIB(100));
	assert_frames(chan, MIB(64));
	assert_stall(chan, STALL(FLOOR));
}

/* Back-off ------------------------------------------------------------------------------------ */

static void test_backoff_doubles_is_capped_and_ends(void **state)
{
	static const unsigned int waits[] = { 1, 2, 4, 8, 16, 16, 16 };
	struct channel_double *chan = *state;
	uint64_t failures = 0;

	settle(chan);
	assert_int_equal(report(chan).backoff_ns, 0);
	chan->sim.reclaim_floor = MIB(64);
	aim(chan, MIB(10));
	assert_events(chan, "started reached:0 target:2560 stalled:3");
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(waits); i++) {
		assert_stall(chan, STALL(NO_MEMORY));
		assert_int_equal(report(chan).backoff_ns, waits[i] * SECOND);
		assert_int_equal(chan->balloon.counters.backoffs, i + 1);
		assert_int_equal(chan->balloon.counters.size[0].alloc_failures, i + 1);
		assert_int_equal(chan->balloon.counters.size[1].alloc_failures, i + 1);
		failures = chan->sim.counters.short_allocs;
		/* The host is asked each second, the kernel is not. */
		channel_double_forget(chan);
		run(chan, waits[i] * SECOND - 1);
		assert_int_equal(chan->sim.counters.short_allocs, failures);
		assert_int_equal(strlen(chan->words), waits[i] > 1 ? 4 * (waits[i] - 1) - 1 : 0);
		assert_stall(chan, STALL(NO_MEMORY));
		run(chan, 1);
		assert_int_equal(chan->sim.counters.short_allocs, failures + 2);
	}
	chan->sim.reclaim_floor = 0;
	run(chan, 16 * SECOND);
	assert_frames(chan, MIB(10));
	assert_int_equal(report(chan).backoff_ns, 0);
	chan->sim.reclaim_floor = MIB(64);
	aim(chan, MIB(20));
	assert_int_equal(report(chan).backoff_ns, SECOND);
}

/* Where nobody polls, the end of the back-off is when to call again. */
static void test_backoff_without_polling_is_when_to_come_back(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.poll_ns = AERO_NEVER;
	settle(chan);
	assert_int_equal(chan->due, AERO_NEVER);
	chan->sim.reclaim_floor = MIB(64) - 20;
	aim(chan, 100);
	assert_frames(chan, 20);
	assert_int_equal(chan->due, chan->now + 3);
	chan->sim.reclaim_floor = MIB(64) - 40;
	run(chan, 3);
	assert_frames(chan, 40);
	assert_int_equal(chan->due, chan->now + 5);
	chan->sim.reclaim_floor = 0;
	run(chan, 5);
	assert_frames(chan, 40 + 512);
	assert_int_equal(chan->due, AERO_NEVER);
}

static void test_backoff_deflation_goes_on(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	aim(chan, MIB(10));
	chan->sim.reclaim_floor = MIB(64);
	aim(chan, MIB(20));
	assert_stall(chan, STALL(NO_MEMORY));
	aim(chan, MIB(4));
	assert_frames(chan, MIB(4));
	assert_stall(chan, STALL(NONE));
}

/* Frames twice: nothing is done with them, and it is not tried at once again. */
static bool is_lying;

static size_t lying_alloc(void *ctx, unsigned int order, enum aero_effort effort, aero_frame *out,
			  size_t count)
{
	(void)ctx;
	(void)effort;
	if (!is_lying || order)
		return 0;
	for (size_t i = 0; i < count; i++)
		out[i] = 3;
	return count;
}

static void test_frames_twice_from_the_kernel_back_off(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	is_lying = true;
	chan->sim.port.alloc = lying_alloc;
	aim(chan, 100);
	assert_frames(chan, 0);
	assert_stall(chan, STALL(NO_MEMORY));
	assert_int_equal(chan->balloon.counters.backoffs, 1);
	assert_int_equal(chan->sim.counters.logs[AERO_LOG_ERROR], chan->sim.port.log ? 1 : 0);
	is_lying = false;
}

/* Rates --------------------------------------------------------------------------------------- */

static uint64_t round_of(struct channel_double *chan)
{
	uint64_t before = channel_double_frames(chan);

	run(chan, SECOND);
	return channel_double_frames(chan) - before;
}

/* spec: 16384 a round without sleeping; 2048 sleeping, halved down to 512, raised by 16. */
static void test_rates_are_those_of_open_vm_tools(void **state)
{
	static const unsigned int rates[] = { 2048, 1024, 512, 512 };
	struct channel_double *chan = *state;

	chan->limits.orders = ORDER(0);
	settle(chan);
	assert_int_equal(report(chan).rate, 2048);
	aim(chan, 400000);
	assert_frames(chan, 16384);
	assert_stall(chan, STALL(RATE));
	assert_int_equal(round_of(chan), 16384);
	/* Nothing lies free: within the same round a sleeping try, but the rate is used up. */
	chan->sim.spare_floor = sim_port_free_frames(&chan->sim) - 3000;
	assert_int_equal(round_of(chan), 3000);
	assert_stall(chan, STALL(RATE));
	chan->sim.spare_floor = chan->sim.config.frames;
	/* Four slow rounds, each at the rate; it is at its top. */
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(round_of(chan), 2048);
		assert_int_equal(report(chan).rate, 2048);
	}
	/* Then again without sleeping, which fails, and 2048 in the same round. */
	assert_int_equal(round_of(chan), 2048);
	/* Sleeping fails as well. */
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(rates); i++) {
		assert_int_equal(report(chan).rate, rates[i]);
		chan->sim.reclaim_floor = sim_port_free_frames(&chan->sim) - 100;
		chan->balloon.backoff_until_ns = 0;
		run(chan, SECOND);
		assert_int_equal(report(chan).rate, rates[i] / 2 > 512 ? rates[i] / 2 : 512);
	}
}

static void test_rates_rise_step_by_step_when_reached(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.orders = ORDER(0);
	settle(chan);
	chan->balloon.rate = 512;
	chan->balloon.slow_rounds = 1000;
	aim(chan, 200000);
	assert_frames(chan, 512);
	for (unsigned int i = 1; i < 96; i++) {
		assert_int_equal(report(chan).rate, 512 + 16 * i);
		assert_int_equal(round_of(chan), 512 + 16 * i);
	}
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(report(chan).rate, 2048);
		assert_int_equal(round_of(chan), 2048);
	}
	/* A round that did not need it, or that refusals ended, raises nothing. */
	chan->balloon.rate = 600;
	aim(chan, channel_double_frames(chan) + 10);
	assert_int_equal(report(chan).rate, 600);
	chan->refuse = (struct aero_range){ 0, CHANNEL_DOUBLE_FRAMES };
	aim(chan, channel_double_frames(chan) + 5000);
	assert_stall(chan, STALL(REFUSED));
	assert_int_equal(report(chan).rate, 600);
	chan->refuse.count = 0;
}

/* By a step for each time that the rate fits into what the round has allocated. */
static void test_rates_rise_by_a_step_per_multiple(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.orders = ORDER(0);
	settle(chan);
	chan->balloon.rate = 512;
	chan->sim.spare_floor = sim_port_free_frames(&chan->sim) - 3000;
	aim(chan, 200000);
	/* 3000 without sleeping, then none is left for the rate. */
	assert_frames(chan, 3000);
	assert_stall(chan, STALL(RATE));
	assert_int_equal(report(chan).rate, 512 + 5 * 16);
	assert_int_equal(round_of(chan), 592);
}

/* In a slow round large blocks are not tried: they would not sleep. */
static void test_rates_slow_rounds_are_of_single_frames(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	channel_double_forget(chan);
	chan->balloon.slow_rounds = 2;
	aim(chan, 5000);
	assert_words(chan, "ask +0x512 +0x512 +0x512 +0x512");
	assert_stall(chan, STALL(RATE));
	assert_int_equal(chan->balloon.slow_rounds, 1);
	/* Also where the direction turns within the round. */
	chan->target = 100;
	aero_balloon_notify(&chan->balloon);
	step(chan);
	assert_words(chan, "ask -0x512");
	chan->target = 4000;
	settle(chan);
	assert_words(chan, "+0x512 +0x512 +0x512 +0x512");
	assert_int_equal(chan->balloon.slow_rounds, 0);
	run(chan, SECOND);
	assert_frames(chan, 4096);
}

static void test_rates_not_limited_runs_to_the_target(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.orders = ORDER(0);
	settle(chan);
	aim(chan, 200000);
	assert_frames(chan, 200000);
	assert_int_equal(report(chan).rate, 0);
}

/* Reclaim ------------------------------------------------------------------------------------- */

static void fill_mixed(struct channel_double *chan)
{
	settle(chan);
	aim(chan, MIB(20));
	sim_port_fragment(&chan->sim, 1000);
	aim(chan, MIB(20) + 1000);
	assert_frames(chan, MIB(20) + 1000);
	channel_double_forget(chan);
}

static uint64_t reclaim(struct channel_double *chan, enum aero_reclaim kind, uint64_t frames)
{
	uint64_t before = channel_double_frames(chan), came = 123456;

	assert_int_equal(aero_balloon_reclaim(&chan->balloon, kind, frames, chan->now, &came),
			 AERO_OK);
	channel_double_check(chan);
	good(chan);
	assert_int_equal(before - channel_double_frames(chan), came);
	return came;
}

static void test_reclaim_under_pressure_takes_small_ones_first(void **state)
{
	struct channel_double *chan = *state;

	fill_mixed(chan);
	assert_int_equal(aero_balloon_frames(&chan->balloon), MIB(20) + 1000);
	assert_int_equal(reclaim(chan, AERO_RECLAIM_PRESSURE, 600), 600);
	assert_words(chan, "-0x512 -0x88");
	/* Whole blocks when the small ones are gone: more than was asked for. */
	assert_int_equal(reclaim(chan, AERO_RECLAIM_PRESSURE, 410), 400 + 512);
	assert_words(chan, "-0x400 -9x1");
	assert_int_equal(reclaim(chan, AERO_RECLAIM_PRESSURE, UINT64_MAX), MIB(20) - 512);
	assert_frames(chan, 0);
	assert_int_equal(chan->balloon.counters.reclaims, 3);
	assert_int_equal(chan->balloon.counters.reclaimed_frames, MIB(20) + 1000);
	assert_int_equal(chan->balloon.counters.size[0].freed, 1000);
	assert_int_equal(chan->balloon.counters.size[1].freed, 10);
}

static void test_reclaim_at_oom_takes_large_ones_first(void **state)
{
	struct channel_double *chan = *state;

	fill_mixed(chan);
	assert_int_equal(reclaim(chan, AERO_RECLAIM_OOM, 600), 1024);
	assert_words(chan, "-9x2");
	assert_int_equal(reclaim(chan, AERO_RECLAIM_OOM, MIB(16) + 1), MIB(16) + 1);
	assert_words(chan, "-9x8 -0x1");
}

static void test_reclaim_cools_down_five_seconds(void **state)
{
	struct channel_double *chan = *state;
	uint64_t since;

	fill_mixed(chan);
	run(chan, 300000000);
	since = chan->now;
	assert_int_equal(reclaim(chan, AERO_RECLAIM_PRESSURE, 600), 600);
	channel_double_forget(chan);
	run(chan, 5 * SECOND - 1);
	assert_words(chan, "ask ask ask ask ask");
	assert_stall(chan, STALL(COOLING));
	assert_frames(chan, MIB(20) + 400);
	assert_int_equal(chan->due, since + 5 * SECOND);
	run(chan, 1);
	assert_frames(chan, MIB(20) + 1000);
	assert_stall(chan, STALL(NONE));
	/* Deflation is not affected, and a second one begins anew. */
	reclaim(chan, AERO_RECLAIM_PRESSURE, 1);
	run(chan, 3 * SECOND);
	reclaim(chan, AERO_RECLAIM_PRESSURE, 1);
	run(chan, 3 * SECOND);
	assert_stall(chan, STALL(COOLING));
	aim(chan, 0);
	assert_frames(chan, 0);
}

static void test_reclaim_without_polling_is_made_good(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.poll_ns = AERO_NEVER;
	settle(chan);
	aim(chan, MIB(20));
	assert_int_equal(chan->due, AERO_NEVER);
	reclaim(chan, AERO_RECLAIM_PRESSURE, 600);
	channel_double_forget(chan);
	/* The next step says when to call again; nothing is asked before. */
	step(chan);
	assert_int_equal(chan->due, SECOND + 7);
	assert_words(chan, "");
	chan->now = chan->due;
	settle(chan);
	assert_frames(chan, MIB(20));
}

static void test_reclaim_without_end_of_cooling(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	aim(chan, MIB(20));
	assert_int_equal(reclaim(chan, AERO_RECLAIM_PRESSURE, 600), 1024);
	run(chan, 1000 * SECOND);
	assert_frames(chan, MIB(20) - 1024);
	assert_stall(chan, STALL(COOLING));
	assert_true(chan->due <= chan->now + SECOND);
}

static void test_reclaim_what_the_host_keeps_is_refused(void **state)
{
	struct channel_double *chan = *state;
	uint64_t came = 5;

	fill_mixed(chan);
	chan->refuse = (struct aero_range){ 0, MIB(64) };
	assert_int_equal(aero_balloon_reclaim(&chan->balloon, AERO_RECLAIM_PRESSURE, 100, chan->now,
					      &came),
			 AERO_EREFUSED);
	assert_int_equal(came, 0);
	assert_words(chan, "-0x100");
	chan->refuse.count = 0;
	chan->fail_at = 1;
	chan->fail_status = AERO_EREFUSED;
	assert_int_equal(aero_balloon_reclaim(&chan->balloon, AERO_RECLAIM_OOM, 2048, chan->now,
					      &came),
			 AERO_EREFUSED);
	assert_frames(chan, MIB(20) + 1000);
	/* A reset: nothing more is asked, all comes back by and by. */
	chan->fail_at = 1;
	chan->fail_status = AERO_ERESET;
	channel_double_forget(chan);
	assert_int_equal(aero_balloon_reclaim(&chan->balloon, AERO_RECLAIM_PRESSURE, MIB(60),
					      chan->now, &came),
			 AERO_EREFUSED);
	assert_words(chan, "-0x512");
	assert_int_equal(aero_balloon_reclaim(&chan->balloon, AERO_RECLAIM_PRESSURE, 1, chan->now,
					      &came),
			 AERO_EAGAIN);
	run(chan, SECOND / 2);
	assert_frames(chan, 0);
	run(chan, 10 * SECOND);
	assert_frames(chan, MIB(20) + 1000);
}

static void test_reclaim_of_nothing_and_from_nothing(void **state)
{
	struct channel_double *chan = *state;
	uint64_t came = 5;

	assert_int_equal(aero_balloon_reclaim(&chan->balloon, AERO_RECLAIM_OOM, 1, chan->now,
					      &came),
			 AERO_EREFUSED);
	assert_int_equal(came, 0);
	settle(chan);
	assert_int_equal(reclaim(chan, AERO_RECLAIM_PRESSURE, 0), 0);
	assert_int_equal(aero_balloon_reclaim(&chan->balloon, AERO_RECLAIM_OOM, 1, chan->now,
					      &came),
			 AERO_EREFUSED);
	assert_int_equal(came, 0);
}

/* Reclaim in the middle of a round does not end it, whatever the host answers. */
static void test_reclaim_within_a_round(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.batch_blocks = 2;
	settle(chan);
	aim(chan, MIB(8));
	chan->target = MIB(40);
	aero_balloon_notify(&chan->balloon);
	step(chan);
	step(chan);
	assert_frames(chan, MIB(16));
	chan->fail_at = 1;
	chan->fail_status = AERO_EREFUSED;
	channel_double_forget(chan);
	reclaim(chan, AERO_RECLAIM_PRESSURE, 2000);
	assert_words(chan, "-9x2 -9x2");
	assert_frames(chan, MIB(12));
	settle(chan);
	assert_stall(chan, STALL(COOLING));
	run(chan, 5 * SECOND);
	assert_frames(chan, MIB(40));
}

/* Reentrance: an allocation of ours ends in the kernel's own reclaim and compaction. */
static void reenter(void *ctx, enum sim_port_call call)
{
	struct channel_double *chan = ctx;
	uint64_t came = 9;
	bool is_in;

	if (call != SIM_PORT_ALLOC && call != SIM_PORT_PAGE_GET && call != SIM_PORT_SPLIT &&
	    call != SIM_PORT_FREE && call != SIM_PORT_SET_OFFLINE)
		return;
	assert_int_equal(aero_balloon_reclaim(&chan->balloon, AERO_RECLAIM_PRESSURE, 10, chan->now,
					      &came),
			 AERO_EAGAIN);
	assert_int_equal(came, 0);
	assert_int_equal(aero_balloon_migrate(&chan->balloon, 0, 1, 2, &is_in), AERO_EAGAIN);
	assert_int_equal(aero_balloon_freeze(&chan->balloon), AERO_EAGAIN);
	assert_int_equal(aero_balloon_stop(&chan->balloon), AERO_EAGAIN);
	assert_int_equal(aero_balloon_step(&chan->balloon, chan->now), chan->now + 1000000);
	assert_int_equal(aero_balloon_validate(&chan->balloon), AERO_EBUG);
	aero_balloon_notify(&chan->balloon);
	(void)aero_balloon_frames(&chan->balloon);
}

static bool all_large(struct channel_double *chan, unsigned int order, aero_frame first)
{
	(void)chan;
	(void)first;
	return order > 0;
}

static void test_kernel_calls_from_within_the_port_are_again(void **state)
{
	struct channel_double *chan = *state;
	unsigned int steps = 0;

	chan->refuses = all_large;
	chan->sim.during = reenter;
	chan->sim.during_ctx = chan;
	chan->target = MIB(40);
	/* It notifies itself all the time, so it is never at rest. */
	while (steps++ < 100)
		step(chan);
	assert_true(chan->sim.counters.splits >= 16);
	chan->sim.during = NULL;
	settle(chan);
	assert_frames(chan, MIB(40));
}

static const struct balloon_options floor_of_1000 = { .config = { .floor_frames = 1000 } };
static const struct balloon_options floor_bare = {
	.config = { .floor_frames = 1000 },
	.sim = { .without = SIM_PORT_ADJUST_MANAGED | SIM_PORT_SET_OFFLINE },
};
static const struct balloon_options floor_of_all = { .config = { .floor_frames = UINT64_MAX } };
static const struct balloon_options bare = {
	.sim = { .without = SIM_PORT_SPLIT | SIM_PORT_SET_OFFLINE | SIM_PORT_ADJUST_MANAGED |
			    SIM_PORT_LOCK | SIM_PORT_LOG },
};
static const struct balloon_options limited = {
	.config = { .rates = { .is_limited = true } },
	.sim = { .frames = SIM_PORT_GIB(2) },
};
static const struct balloon_options two_gib = { .sim = { .frames = SIM_PORT_GIB(2) } };
static const struct balloon_options odd_backoff = {
	.config = { .backoff_min_ns = 3, .backoff_max_ns = 5 },
};
static const struct balloon_options short_cooling = { .config = { .cooldown_ns = 7 } };
static const struct balloon_options no_warming = { .config = { .cooldown_ns = UINT64_MAX } };

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_floor_is_never_passed_also_not_by_a_block, &floor_of_1000),
		CASE(test_floor_is_never_passed_also_not_by_a_block, &floor_bare),
		CASE(test_floor_rises_frames_come_back, &floor_of_1000),
		CASE(test_floor_above_all_memory_takes_nothing, &floor_of_all),
		CASE(test_target_above_all_memory_ends_at_its_end, NULL),
		CASE(test_target_above_all_memory_ends_at_its_end, &bare),
		CASE(test_backoff_doubles_is_capped_and_ends, NULL),
		CASE(test_backoff_without_polling_is_when_to_come_back, &odd_backoff),
		CASE(test_backoff_deflation_goes_on, NULL),
		CASE(test_frames_twice_from_the_kernel_back_off, NULL),
		CASE(test_frames_twice_from_the_kernel_back_off, &bare),
		CASE(test_rates_are_those_of_open_vm_tools, &limited),
		CASE(test_rates_rise_step_by_step_when_reached, &limited),
		CASE(test_rates_rise_by_a_step_per_multiple, &limited),
		CASE(test_rates_slow_rounds_are_of_single_frames, &limited),
		CASE(test_rates_not_limited_runs_to_the_target, &two_gib),
		CASE(test_reclaim_under_pressure_takes_small_ones_first, NULL),
		CASE(test_reclaim_at_oom_takes_large_ones_first, NULL),
		CASE(test_reclaim_cools_down_five_seconds, NULL),
		CASE(test_reclaim_without_polling_is_made_good, &short_cooling),
		CASE(test_reclaim_without_end_of_cooling, &no_warming),
		CASE(test_reclaim_what_the_host_keeps_is_refused, NULL),
		CASE(test_reclaim_of_nothing_and_from_nothing, NULL),
		CASE(test_reclaim_within_a_round, NULL),
		CASE(test_kernel_calls_from_within_the_port_are_again, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
