/* SPDX-License-Identifier: MIT */
/* The engine: hosts that refuse blocks or whole batches. */
#include "test_balloon_case.h"

#define COUNTERS(chan, index) (&(chan)->balloon.counters.size[index])

/* One bad frame in each of the first blocks: the block is refused for it. */
static bool seventh_of_block(struct channel_double *chan, unsigned int order, aero_frame first)
{
	(void)chan;
	return first < MIB(32) && (order ? true : first % 512 == 7);
}

static bool all_large(struct channel_double *chan, unsigned int order, aero_frame first)
{
	(void)chan;
	(void)first;
	return order > 0;
}

static bool all(struct channel_double *chan, unsigned int order, aero_frame first)
{
	(void)chan;
	(void)order;
	(void)first;
	return true;
}

static void test_sixteen_refused_blocks_come_back_as_frames(void **state)
{
	struct channel_double *chan = *state;
	char expected[300] = "ask +9x32";

	chan->refuses = seventh_of_block;
	settle(chan);
	channel_double_forget(chan);
	aim(chan, MIB(64));
	for (unsigned int i = 0; i < 16; i++)
		strcat(expected, " +0x512");
	assert_words(chan, expected);
	/* All but the bad ones; these are 16, and that ends the round. */
	assert_frames(chan, MIB(64) - 16);
	assert_stall(chan, STALL(REFUSED));
	assert_int_equal(chan->sim.counters.splits, 16);
	assert_int_equal(COUNTERS(chan, 1)->refused, 16);
	assert_int_equal(COUNTERS(chan, 1)->refused_freed, 0);
	assert_int_equal(COUNTERS(chan, 0)->refused, 16);
	assert_int_equal(COUNTERS(chan, 0)->refused_freed, 16);
	/* Nothing was allocated for them, and the bad ones are free again. */
	assert_int_equal(COUNTERS(chan, 0)->allocs, 0);
	assert_int_equal(sim_port_free_frames(&chan->sim), 16);
	assert_int_equal(sim_port_owner(&chan->sim, 7), SIM_OWNER_FREE);
}

static void test_one_refused_block_then_no_more_memory_is_split(void **state)
{
	struct channel_double *chan = *state;

	/* Four whole blocks are left. */
	for (aero_frame first = MIB(8); first < MIB(64); first += 512)
		assert_true(sim_port_pin(&chan->sim, first));
	chan->refuse = (struct aero_range){ 700, 1 };
	settle(chan);
	channel_double_forget(chan);
	aim(chan, MIB(10));
	assert_words(chan, "ask +9x4 +0x512 +0x512 +0x1");
	assert_frames(chan, MIB(10));
	assert_int_equal(chan->sim.counters.splits, 1);
	assert_int_equal(COUNTERS(chan, 1)->allocs, 5);
	assert_int_equal(COUNTERS(chan, 1)->alloc_failures, 1);
	assert_int_equal(COUNTERS(chan, 0)->refused, 1);
	/* The frames of the split block first, then what the kernel still has. */
	assert_int_equal(COUNTERS(chan, 0)->allocs, 513);
	assert_true(chan->given[699] && chan->given[701] && !chan->given[700]);
}

static bool first_fifteen(struct channel_double *chan, unsigned int order, aero_frame first)
{
	(void)chan;
	return order && first < 15 * 512;
}

static void test_fifteen_refused_blocks_and_the_target_are_freed_unsplit(void **state)
{
	struct channel_double *chan = *state;

	chan->refuses = first_fifteen;
	settle(chan);
	channel_double_forget(chan);
	aim(chan, MIB(20));
	assert_words(chan, "ask +9x10 +9x10 +9x5");
	assert_frames(chan, MIB(20));
	assert_stall(chan, STALL(NONE));
	assert_int_equal(chan->sim.counters.splits, 0);
	assert_int_equal(COUNTERS(chan, 1)->refused, 15);
	assert_int_equal(COUNTERS(chan, 1)->refused_freed, 15);
	assert_int_equal(COUNTERS(chan, 0)->allocs, 0);
	assert_int_equal(sim_port_owner(&chan->sim, 0), SIM_OWNER_FREE);
}

/* Until the round ends the kernel does not get them back, so it cannot offer them again. */
static void test_refused_are_kept_until_the_round_ends(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.batch_blocks = 5;
	chan->refuses = all;
	chan->target = MIB(20);
	step(chan);
	/* Three batches of blocks, none of them twice: 20 refused are over the limit. */
	for (unsigned int i = 0; i < 3; i++) {
		step(chan);
		assert_int_equal(aero_frame_set_count(&chan->balloon.refused[1]), 5 * (i + 1));
		assert_int_equal(chan->sim.counters.frees[9], 0);
	}
	step(chan);
	/* 16 are reached: they are split, and their frames are refused as well. */
	assert_int_equal(chan->sim.counters.splits, 20);
	settle(chan);
	assert_words(chan, "disarm start ask +9x5 +9x5 +9x5 +9x5 +0x5 +0x5 +0x5 +0x5");
	assert_stall(chan, STALL(REFUSED));
	assert_frames(chan, 0);
	assert_int_equal(sim_port_lent_frames(&chan->sim), 0);
	assert_int_equal(COUNTERS(chan, 0)->refused, 20);
	assert_int_equal(COUNTERS(chan, 0)->refused_freed, 20);
	/* The rest of the split blocks was not offered any more. */
	assert_int_equal(chan->sim.counters.frees[0], 20 * 512);
	assert_events(chan, "started target:5120 stalled:7");
	/* Not at once again. */
	assert_int_equal(chan->due, 2 * SECOND);
	chan->refuses = NULL;
	run(chan, SECOND);
	assert_frames(chan, MIB(20));
	assert_events(chan, "reached:5120");
}

static void test_refusal_limit_is_as_configured(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.batch_blocks = 1;
	chan->refuses = all;
	settle(chan);
	channel_double_forget(chan);
	aim(chan, MIB(20));
	assert_words(chan, "ask +9x1 +9x1 +9x1 +0x1 +0x1 +0x1");
	assert_stall(chan, STALL(REFUSED));
}

static void test_four_sizes_each_has_its_limit(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.orders = ORDER(0) | ORDER(2) | ORDER(4) | ORDER(9);
	chan->limits.batch_blocks = 8;
	chan->refuses = all_large;
	settle(chan);
	channel_double_forget(chan);
	aim(chan, MIB(20));
	assert_memory_equal(chan->words, "ask +9x8 +9x8 +4x8 +4x8 +2x8 +2x8 +0x8 +0x8 +0x8", 48);
	assert_frames(chan, MIB(20));
	assert_int_equal(chan->sim.counters.splits, 48);
	assert_stall(chan, STALL(NONE));
}

static void test_batch_refused_whole_ends_the_round(void **state)
{
	static const enum aero_status answers[] = { AERO_EREFUSED, AERO_EIO, AERO_ENOMEM,
						    AERO_EPROTO };
	struct channel_double *chan = *state;

	settle(chan);
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(answers); i++) {
		channel_double_forget(chan);
		chan->fail_at = 1;
		chan->fail_status = answers[i];
		aim(chan, MIB(20));
		assert_words(chan, "ask +9x10");
		assert_frames(chan, 0);
		assert_stall(chan, STALL(REFUSED));
		assert_int_equal(sim_port_lent_frames(&chan->sim), 0);
		assert_int_equal(chan->sim.counters.splits, 0);
		assert_int_equal(COUNTERS(chan, 1)->refused, 10 * (i + 1));
		assert_int_equal(COUNTERS(chan, 1)->refused_freed, 10 * (i + 1));
		run(chan, SECOND);
		assert_frames(chan, MIB(20));
		/* The same on the way out: it stays. */
		channel_double_forget(chan);
		chan->fail_at = 1;
		aim(chan, 0);
		assert_words(chan, "ask -9x10");
		assert_frames(chan, MIB(20));
		assert_stall(chan, STALL(REFUSED));
		run(chan, SECOND);
		assert_frames(chan, 0);
		COUNTERS(chan, 1)->refused -= 10;
	}
}

static void test_refused_on_the_way_out_stay_and_are_not_asked_again(void **state)
{
	struct channel_double *chan = *state;

	sim_port_fragment(&chan->sim, 500);
	settle(chan);
	aim(chan, MIB(60));
	assert_frames(chan, MIB(60));
	channel_double_forget(chan);
	chan->limits.batch_blocks = 512;
	chan->refuse = (struct aero_range){ 0, MIB(20) };
	aim(chan, 0);
	assert_stall(chan, STALL(REFUSED));
	/* Each round goes on behind those that were refused in the one before. */
	run(chan, 30 * SECOND);
	for (aero_frame frame = MIB(20); frame < MIB(64); frame++)
		assert_int_equal(chan->given[frame], 0);
	assert_in_range(channel_double_frames(chan), MIB(20) - 20, MIB(20));
	assert_int_equal(COUNTERS(chan, 0)->refused_freed + COUNTERS(chan, 1)->refused_freed, 0);
	assert_events(chan, "target:0 stalled:7");
	chan->refuse.count = 0;
	run(chan, 2 * SECOND);
	assert_frames(chan, 0);
	assert_stall(chan, STALL(NONE));
}

/* Without memory to remember them they go back at once, and may be offered again. */
static void test_refused_without_memory_are_freed_at_once(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	aim(chan, 512);
	chan->refuses = first_fifteen;
	sim_port_fail(&chan->sim, SIM_PORT_PAGE_GET, 1, true);
	aim(chan, MIB(10));
	/* Spare nodes of the core may do for some; none is lost. */
	assert_int_equal(COUNTERS(chan, 1)->refused,
			 COUNTERS(chan, 1)->refused_freed + chan->sim.counters.splits);
	assert_true(COUNTERS(chan, 1)->refused >= 16);
	sim_port_fail(&chan->sim, 0, 0, false);
	chan->refuses = NULL;
	run(chan, 40 * SECOND);
	assert_frames(chan, MIB(10));
}

static const struct balloon_options largest = {
	.config = { .refusal_limit = 1 },
	.sim = { .frames = SIM_PORT_GIB(2), .orders = ORDER(0) | ORDER(18) },
};
static const struct balloon_options scattered = {
	.sim = { .frames = SIM_PORT_GIB(1), .order = SIM_SHUFFLED, .seed = 1 },
};

/* A leaf for the pool cannot be had: the block is freed whole. */
static void test_split_without_memory_frees_the_block(void **state)
{
	uint64_t nth, freed = 0;

	(void)state;
	for (nth = 1; nth < 14; nth++) {
		void *own = (void *)(uintptr_t)&scattered;
		struct channel_double *chan;

		balloon_open(&own);
		chan = own;
		settle(chan);
		chan->refuses = all_large;
		sim_port_fail(&chan->sim, SIM_PORT_PAGE_GET, nth, true);
		aim(chan, MIB(40));
		assert_int_equal(COUNTERS(chan, 1)->refused,
				 COUNTERS(chan, 1)->refused_freed + chan->sim.counters.splits);
		freed += COUNTERS(chan, 1)->refused_freed;
		sim_port_fail(&chan->sim, 0, 0, false);
		chan->refuses = NULL;
		run(chan, 40 * SECOND);
		assert_frames(chan, MIB(40));
		balloon_close(&own);
	}
	assert_true(freed > 0);
}

/* A block of 1 GiB has frames of eight leaves: without memory for the last ones none is kept. */
static void test_split_without_memory_in_the_middle_frees_the_block(void **state)
{
	uint64_t nth, freed = 0, split = 0;

	(void)state;
	for (nth = 1; nth < 20; nth++) {
		void *own = (void *)(uintptr_t)&largest;
		struct channel_double *chan;

		balloon_open(&own);
		chan = own;
		chan->limits.orders = ORDER(0) | ORDER(18);
		chan->refuses = all_large;
		settle(chan);
		sim_port_fail(&chan->sim, SIM_PORT_PAGE_GET, nth, true);
		chan->target = SIM_PORT_GIB(1);
		aero_balloon_notify(&chan->balloon);
		/* Twice refused, then no more memory; the last step splits. */
		for (unsigned int i = 0; i < 2; i++)
			step(chan);
		freed += COUNTERS(chan, 1)->refused_freed;
		split += chan->sim.counters.splits;
		sim_port_fail(&chan->sim, 0, 0, false);
		if (!chan->sim.counters.splits)
			assert_int_equal(aero_frame_set_count(&chan->balloon.pool), 0);
		chan->target = 0;
		balloon_close(&own);
	}
	assert_true(freed > 3);
	assert_true(split > 3);
}

static void test_reset_by_a_batch_starts_anew(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	aim(chan, MIB(6));
	run(chan, SECOND);
	channel_double_forget(chan);
	chan->fail_at = 1;
	chan->fail_status = AERO_ERESET;
	chan->target = MIB(10);
	aero_balloon_notify(&chan->balloon);
	step(chan);
	/* Those of the batch are refused, those before it wait for the end of the protocol. */
	assert_words(chan, "ask +9x2");
	assert_frames(chan, MIB(6));
	assert_stall(chan, STALL(RESET));
	assert_int_equal(chan->due, chan->now);
	settle(chan);
	assert_words(chan, "disarm start ask +9x5");
	assert_frames(chan, MIB(10));
	assert_events(chan, "target:2560 stalled:10 reset:1536 started reached:2560");
	assert_int_equal(chan->balloon.counters.resets, 2);
	/* And on the way out; a start within a second of the last one waits. */
	chan->fail_at = 1;
	aim(chan, MIB(2));
	assert_words(chan, "ask -9x4 disarm");
	assert_stall(chan, STALL(RESET));
	assert_frames(chan, 0);
	run(chan, SECOND);
	assert_words(chan, "start ask +9x1");
	assert_frames(chan, MIB(2));
}

static void test_target_question_failing_leaves_the_balloon(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	aim(chan, MIB(6));
	channel_double_forget(chan);
	chan->target = MIB(10);
	chan->target_status = AERO_EREFUSED;
	run(chan, 2 * SECOND);
	assert_words(chan, "ask ask");
	assert_frames(chan, MIB(6));
	assert_stall(chan, STALL(REFUSED));
	chan->target_status = AERO_ERANGE;
	run(chan, 2 * SECOND);
	assert_words(chan, "ask ask");
	assert_stall(chan, STALL(LIMIT));
	assert_events(chan, "stalled:7 stalled:12");
	chan->target_status = AERO_ERESET;
	run(chan, SECOND / 2);
	chan->now += SECOND / 2;
	step(chan);
	assert_words(chan, "ask");
	assert_stall(chan, STALL(RESET));
	step(chan);
	assert_int_equal(channel_double_frames(chan), 0);
	chan->target_status = AERO_OK;
	run(chan, SECOND);
	assert_frames(chan, MIB(10));
}

static const struct balloon_options bare = {
	.sim = { .without = SIM_PORT_SPLIT | SIM_PORT_SET_OFFLINE | SIM_PORT_ADJUST_MANAGED |
			    SIM_PORT_LOCK | SIM_PORT_LOG },
};
static const struct balloon_options limit_of_three = { .config = { .refusal_limit = 3 } };
static const struct balloon_options four_sizes = {
	.sim = { .orders = ORDER(0) | ORDER(2) | ORDER(4) | ORDER(9) },
};

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_sixteen_refused_blocks_come_back_as_frames, NULL),
		CASE(test_one_refused_block_then_no_more_memory_is_split, NULL),
		CASE(test_fifteen_refused_blocks_and_the_target_are_freed_unsplit, NULL),
		CASE(test_refused_are_kept_until_the_round_ends, NULL),
		CASE(test_refusal_limit_is_as_configured, &limit_of_three),
		CASE(test_four_sizes_each_has_its_limit, &four_sizes),
		CASE(test_batch_refused_whole_ends_the_round, NULL),
		CASE(test_batch_refused_whole_ends_the_round, &bare),
		CASE(test_refused_on_the_way_out_stay_and_are_not_asked_again, NULL),
		CASE(test_refused_without_memory_are_freed_at_once, NULL),
		cmocka_unit_test(test_split_without_memory_frees_the_block),
		cmocka_unit_test(test_split_without_memory_in_the_middle_frees_the_block),
		CASE(test_reset_by_a_batch_starts_anew, NULL),
		CASE(test_target_question_failing_leaves_the_balloon, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
