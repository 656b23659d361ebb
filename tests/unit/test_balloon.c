/* SPDX-License-Identifier: MIT */
/* The engine: configurations, starting, and the way to a target and back. */
#include "test_balloon_case.h"

static void assert_refused(const struct aero_balloon_config *config,
			   const struct sim_port_config *sim)
{
	struct channel_double chan;

	assert_int_equal(channel_double_open(&chan, config, sim), AERO_EINVAL);
	channel_double_drop(&chan);
}

static void test_init_bad_configurations_are_refused(void **state)
{
	static const struct aero_channel_ops empty;
	struct channel_double chan;
	struct aero_channel_ops ops;
	struct aero_port port;
	struct sim_port_config sim = { .orders = ORDER(0) | ORDER(3) };

	(void)state;
#define REFUSED(...) assert_refused(&(struct aero_balloon_config){ __VA_ARGS__ }, NULL)
	REFUSED(.channel = &empty);
	assert_int_equal(channel_double_open(&chan, NULL, NULL), AERO_OK);
#define LACKS(member)                     \
	do {                              \
		ops = chan.ops;           \
		ops.member = NULL;        \
		REFUSED(.channel = &ops); \
	} while (0)
	LACKS(disarm);
	LACKS(start);
	LACKS(target);
	LACKS(submit);
	LACKS(stop);
	port = chan.sim.port;
	port.alloc = NULL;
	REFUSED(.port = &port);
	port = chan.sim.port;
	port.orders = 0;
	REFUSED(.port = &port);
	aero_balloon_fini(&chan.balloon);
	channel_double_drop(&chan);
	REFUSED(.orders = ORDER(9));
	REFUSED(.backoff_min_ns = 17 * SECOND);
	REFUSED(.backoff_max_ns = SECOND - 1);
	REFUSED(.backoff_min_ns = 3, .backoff_max_ns = 2);
	REFUSED(.batches = AERO_BALLOON_BATCHES_MAX + 1);
	REFUSED(.rates = { .sleep_max = 511 });
	REFUSED(.rates = { .sleep_min = 2049 });
	REFUSED(.rates = { .sleep_min = 9, .sleep_max = 8 });
	assert_refused(&(struct aero_balloon_config){ .orders = ORDER(3) }, &sim);
}

static void test_init_port_and_channel_are_required(void **state)
{
	struct aero_balloon_config config = { 0 };
	struct channel_double chan;
	struct aero_balloon balloon;

	(void)state;
	assert_int_equal(channel_double_open(&chan, NULL, NULL), AERO_OK);
	config.channel = &chan.ops;
	assert_int_equal(aero_balloon_init(&balloon, &config), AERO_EINVAL);
	config.channel = NULL;
	config.port = &chan.sim.port;
	assert_int_equal(aero_balloon_init(&balloon, &config), AERO_EINVAL);
	aero_balloon_fini(&chan.balloon);
	channel_double_drop(&chan);
}

/* More sizes than a balloon has: single frames and the largest ones. */
static void test_init_too_many_orders_keep_the_largest(void **state)
{
	struct sim_port_config sim = { .orders = 0x7ffff };
	struct channel_double chan;

	(void)state;
	assert_int_equal(channel_double_open(&chan, NULL, &sim), AERO_OK);
	assert_int_equal(chan.balloon.pages.size_count, 4);
	assert_int_equal(chan.balloon.pages.size[0].order, 0);
	assert_int_equal(chan.balloon.pages.size[1].order, 16);
	assert_int_equal(chan.balloon.pages.size[3].order, 18);
	chan.limits.orders = 0x7ffff;
	assert_null(channel_double_close(&chan));
	/* The driver knows which ones its protocol has. */
	assert_int_equal(
		channel_double_open(&chan,
				    &(struct aero_balloon_config){ .orders = ORDER(0) | ORDER(9) },
				    &sim),
		AERO_OK);
	assert_int_equal(chan.balloon.pages.size_count, 2);
	assert_int_equal(chan.balloon.pages.size[1].order, 9);
	assert_null(channel_double_close(&chan));
}

static void test_step_first_starts_the_protocol_then_asks(void **state)
{
	struct channel_double *chan = *state;
	struct aero_balloon_report report;

	assert_stall(chan, STALL(RESET));
	aero_balloon_report(&chan->balloon, &report);
	assert_false(report.is_started);
	assert_true(report.is_resetting);
	assert_words(chan, "");
	step(chan);
	assert_words(chan, "disarm start");
	assert_events(chan, "started");
	assert_int_equal(chan->due, chan->now);
	aero_balloon_report(&chan->balloon, &report);
	assert_true(report.is_started);
	assert_false(report.is_resetting);
	step(chan);
	assert_words(chan, "ask");
	assert_stall(chan, STALL(NONE));
	/* Once, although nothing had to be done. */
	assert_events(chan, "reached:0");
	assert_int_equal(chan->due, 2 * SECOND);
	run(chan, 3 * SECOND);
	assert_words(chan, "ask ask ask ask");
	assert_events(chan, "");
	assert_int_equal(chan->balloon.counters.rounds, 5);
	assert_int_equal(chan->balloon.counters.resets, 1);
}

static void test_step_large_blocks_first_and_small_ones_out_first(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	channel_double_forget(chan);
	/* 10 MiB and 3 frames: the last block may pass the target where that is left alone. */
	aim(chan, MIB(10) + 3);
	assert_words(chan, "ask +9x6");
	assert_frames(chan, MIB(12));
	assert_stall(chan, STALL(SLACK));
	assert_events(chan, "target:2563 reached:3072");
	/* Less than a block above it: nothing. */
	aim(chan, MIB(10) + 1);
	assert_words(chan, "ask");
	assert_frames(chan, MIB(12));
	aim(chan, MIB(10));
	assert_words(chan, "ask -9x1");
	assert_frames(chan, MIB(10));
	assert_stall(chan, STALL(NONE));
	/* Fragmented: what comes is small, and goes first. */
	sim_port_fragment(&chan->sim, 1000);
	aim(chan, MIB(10) + 700);
	assert_words(chan, "ask +0x512 +0x188");
	assert_frames(chan, MIB(10) + 700);
	aim(chan, MIB(10));
	assert_words(chan, "ask -0x512");
	assert_frames(chan, MIB(10) + 188);
	assert_stall(chan, STALL(SLACK));
	aim(chan, MIB(10) + 600);
	assert_words(chan, "ask +0x412");
	/* More than the small ones are: then whole blocks. */
	aim(chan, MIB(8));
	assert_words(chan, "ask -0x512 -0x88 -9x1");
	assert_frames(chan, MIB(8));
}

static void test_step_target_zero_empties_all(void **state)
{
	struct channel_double *chan = *state;

	sim_port_fragment(&chan->sim, 100);
	settle(chan);
	aim(chan, MIB(60));
	assert_frames(chan, MIB(60));
	channel_double_forget(chan);
	/* Also what is less than the slack. */
	aim(chan, 300);
	assert_in_range(channel_double_frames(chan), 300, 811);
	aim(chan, 0);
	assert_frames(chan, 0);
	assert_stall(chan, STALL(NONE));
	assert_int_equal(chan->given_frames, 0);
	assert_int_equal(sim_port_lent_frames(&chan->sim), 0);
}

static void test_step_each_is_one_batch(void **state)
{
	struct channel_double *chan = *state;
	uint64_t before;

	sim_port_fragment(&chan->sim, 1000);
	chan->target = MIB(20);
	for (before = 0; chan->due != 2 * SECOND; before = chan->batches) {
		step(chan);
		assert_in_range(chan->batches - before, 0, 1);
	}
	assert_frames(chan, MIB(20));
	assert_int_equal(chan->batches, 10);
	chan->target = 0;
	for (before = chan->batches; chan->due != 3 * SECOND; before = chan->batches) {
		step(chan);
		assert_in_range(chan->batches - before, 0, 1);
	}
	assert_int_equal(chan->batches, 20);
}

static void test_step_batches_are_as_large_as_the_channel_takes(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.batch_blocks = 3;
	sim_port_fragment(&chan->sim, 1000);
	settle(chan);
	channel_double_forget(chan);
	aim(chan, 10);
	assert_words(chan, "ask +0x3 +0x3 +0x3 +0x1");
	aim(chan, 0);
	assert_words(chan, "ask -0x3 -0x3 -0x3 -0x1");
}

static void change_target(struct channel_double *chan, const char *word)
{
	if (!strcmp(word, "+9x4"))
		chan->target = chan->batches == 1 ? MIB(12) : MIB(4);
	if (!strcmp(word, "-9x4"))
		chan->target = MIB(6);
}

/* Each answer of the host may carry another target: it counts from the next batch on. */
static void test_step_follows_a_target_that_moves_within_a_round(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.batch_blocks = 4;
	settle(chan);
	channel_double_forget(chan);
	chan->during = change_target;
	aim(chan, MIB(40));
	/* 40 -> 12 after the first, -> 4 after the second; one block out, and at 6 again. */
	assert_words(chan, "ask +9x4 +9x2");
	assert_events(chan, "target:10240 target:3072 reached:3072");
	chan->during = NULL;
	aim(chan, MIB(40));
	channel_double_forget(chan);
	chan->during = change_target;
	aim(chan, 0);
	assert_words(chan, "ask -9x4 -9x4 -9x4 -9x4 -9x1");
	assert_frames(chan, MIB(6));
}

static void test_step_without_slack_large_blocks_stay_below(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.slack_frames = 0;
	settle(chan);
	channel_double_forget(chan);
	aim(chan, MIB(4) + 5);
	assert_words(chan, "ask +9x2 +0x5");
	assert_frames(chan, MIB(4) + 5);
	aim(chan, MIB(4) + 2);
	assert_words(chan, "ask -0x3");
	aim(chan, MIB(4) - 3);
	/* Two small ones, then a block is broken up. */
	assert_words(chan, "ask -0x2 -0x3");
	assert_frames(chan, MIB(4) - 3);
	assert_stall(chan, STALL(NONE));
}

static void flap(struct channel_double *chan, const char *word)
{
	chan->target = word[0] == '+' ? 0 : MIB(20);
}

/* A host whose every answer turns the target: a few times within a round, then once a poll. */
static void test_step_target_that_flaps_is_left_for_the_next_poll(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	channel_double_forget(chan);
	chan->during = flap;
	aero_balloon_notify(&chan->balloon);
	settle(chan);
	assert_words(chan, "ask +9x10 -9x10 +9x10 -9x10 +9x10");
	assert_stall(chan, STALL(WORKING));
	assert_int_equal(chan->due, 2 * SECOND);
	chan->during = NULL;
	chan->target = MIB(4);
	run(chan, SECOND);
	assert_frames(chan, MIB(4));
}

/* The channel names no block of 2 MiB now, or has a gap in between. */
static void test_step_orders_the_channel_lacks_are_not_used(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.orders = ORDER(0);
	settle(chan);
	aim(chan, MIB(4));
	assert_frames(chan, MIB(4));
	assert_int_equal(chan->sim.counters.allocs[9], 0);
	/* After a reset it does. */
	chan->limits.orders = ORDER(0) | ORDER(5) | ORDER(9);
	aero_balloon_require_reset(&chan->balloon);
	run(chan, SECOND);
	assert_frames(chan, MIB(4));
	assert_int_equal(chan->sim.counters.allocs[9], 2);
	/* Beyond a gap there is none. */
	chan->limits.orders = ORDER(0) | ORDER(9);
	aero_balloon_require_reset(&chan->balloon);
	run(chan, SECOND);
	assert_frames(chan, MIB(4));
	assert_int_equal(chan->sim.counters.allocs[9], 2);
}

static void test_step_four_sizes_fall_back_one_by_one(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.orders = ORDER(0) | ORDER(4) | ORDER(9) | ORDER(18);
	chan->limits.slack_frames = 0;
	settle(chan);
	channel_double_forget(chan);
	aim(chan, SIM_PORT_GIB(1) + MIB(2) + 16 + 1);
	assert_words(chan, "ask +18x1 +9x1 +4x1 +0x1");
	aim(chan, 0);
	assert_words(chan, "ask -0x1 -4x1 -9x1 -18x1");
	assert_frames(chan, 0);
}

static void test_start_failing_is_tried_again_each_second(void **state)
{
	static const enum aero_status answers[] = { AERO_EAGAIN, AERO_EIO, AERO_ERESET, AERO_EINVAL,
						    AERO_EPROTO };
	struct channel_double *chan = *state;

	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(answers); i++) {
		chan->start_status = answers[i];
		settle(chan);
		assert_words(chan, "disarm start");
		assert_int_equal(chan->due, chan->now + SECOND);
		/* Of these two a reset knows nothing. */
		assert_stall(chan, i % 2 ? STALL(REFUSED) : STALL(RESET));
		/* Impatience does not help. */
		aero_balloon_notify(&chan->balloon);
		settle(chan);
		assert_words(chan, "");
		chan->now += SECOND;
	}
	chan->start_status = AERO_OK;
	chan->target = 100;
	settle(chan);
	assert_words(chan, "disarm start ask +9x1");
	assert_events(chan, "stalled:10 stalled:7 stalled:10 stalled:7 stalled:10 started "
			    "target:100 reached:512");
}

static void test_start_a_host_that_cannot_is_unsupported(void **state)
{
	struct channel_double *chan = *state;

	chan->start_status = AERO_EREFUSED;
	run(chan, 10 * SECOND);
	assert_stall(chan, STALL(UNSUPPORTED));
	assert_events(chan, "stalled:11");
	/* Once a second, no more. */
	assert_int_equal(strlen(chan->words), 11 * strlen("disarm start ") - 1);
	chan->start_status = AERO_OK;
	run(chan, SECOND);
	assert_stall(chan, STALL(NONE));
}

static void test_start_a_reset_within_is_a_failure(void **state)
{
	struct channel_double *chan = *state;

	chan->is_reset_raised = true;
	run(chan, 3 * SECOND);
	assert_words(chan, "disarm start disarm start disarm start disarm start");
	assert_stall(chan, STALL(RESET));
	chan->is_reset_raised = false;
	run(chan, SECOND);
	assert_stall(chan, STALL(NONE));
}

static void test_start_bad_limits_are_refused(void **state)
{
	struct channel_double *chan = *state;
	const struct aero_channel_limits fine = chan->limits;

#define BAD(member, value)                              \
	do {                                            \
		chan->limits = fine;                    \
		chan->limits.member = (value);          \
		run(chan, SECOND);                      \
		assert_false(chan->balloon.is_started); \
		assert_stall(chan, STALL(UNSUPPORTED)); \
	} while (0)
	BAD(orders, 0);
	BAD(orders, ORDER(9));
	BAD(batch_blocks, 0);
	BAD(batch_blocks, AERO_PAGES_LIST_MAX + 1);
	BAD(batch_blocks, UINT32_MAX);
	BAD(in_flight, 0);
	BAD(poll_ns, 0);
	chan->limits = fine;
	run(chan, SECOND);
	assert_true(chan->balloon.is_started);
}

static const struct balloon_options four_sizes = {
	.sim = { .frames = SIM_PORT_GIB(4), .orders = ORDER(0) | ORDER(4) | ORDER(9) | ORDER(18) },
};
static const struct balloon_options three_sizes = {
	.sim = { .orders = ORDER(0) | ORDER(5) | ORDER(9) },
};
static const struct balloon_options bare = {
	.sim = { .without = SIM_PORT_SPLIT | SIM_PORT_SET_OFFLINE | SIM_PORT_ADJUST_MANAGED |
			    SIM_PORT_LOCK | SIM_PORT_LOG },
};

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init_bad_configurations_are_refused),
		cmocka_unit_test(test_init_port_and_channel_are_required),
		cmocka_unit_test(test_init_too_many_orders_keep_the_largest),
		CASE(test_step_first_starts_the_protocol_then_asks, NULL),
		CASE(test_step_large_blocks_first_and_small_ones_out_first, NULL),
		CASE(test_step_large_blocks_first_and_small_ones_out_first, &bare),
		CASE(test_step_target_zero_empties_all, NULL),
		CASE(test_step_target_zero_empties_all, &bare),
		CASE(test_step_each_is_one_batch, NULL),
		CASE(test_step_batches_are_as_large_as_the_channel_takes, NULL),
		CASE(test_step_follows_a_target_that_moves_within_a_round, NULL),
		CASE(test_step_without_slack_large_blocks_stay_below, NULL),
		CASE(test_step_target_that_flaps_is_left_for_the_next_poll, NULL),
		CASE(test_step_orders_the_channel_lacks_are_not_used, &three_sizes),
		CASE(test_step_four_sizes_fall_back_one_by_one, &four_sizes),
		CASE(test_start_failing_is_tried_again_each_second, NULL),
		CASE(test_start_a_host_that_cannot_is_unsupported, NULL),
		CASE(test_start_a_reset_within_is_a_failure, NULL),
		CASE(test_start_bad_limits_are_refused, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
