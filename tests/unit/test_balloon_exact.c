/* SPDX-License-Identifier: MIT */
#include "test_balloon_case.h"

/*
 * The engine on channels that want exactly what they say: no slack, pages of any size, batches
 * limited in frames, and such that hold batches back until they are told that no more come.
 */

static const struct balloon_options pages_16k = {
	.sim = { .orders = ORDER(2) | ORDER(9), .frames = MIB(64) },
};
static const struct balloon_options pages_64k = {
	.sim = { .orders = ORDER(4), .frames = MIB(64) },
};
static const struct balloon_options scattered = {
	.sim = { .frames = MIB(64), .order = SIM_SHUFFLED, .seed = 5 },
};

static void be_exact(struct channel_double *chan)
{
	chan->limits.orders = ~0u;
	chan->limits.slack_frames = 0;
	chan->limits.poll_ns = AERO_NEVER;
}

static uint64_t whole_pages(const struct channel_double *chan, uint64_t frames)
{
	uint64_t page = chan->sim.config.orders & (0 - chan->sim.config.orders);

	return (frames + page - 1) / page * page;
}

/* Up, down, a little less, a little more: at each target and nowhere else. */
static void test_exact_targets_are_reached(void **state)
{
	static const uint64_t targets[] = { 1,	 511, 512,   513,  5000, 4999, 4488, 4487, 600, 512,
					    511, 510, 12345, 1024, 1023, 3,    0,    2048, 1,	0 };
	struct channel_double *chan = *state;

	be_exact(chan);
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(targets); i++) {
		aim(chan, targets[i]);
		assert_frames(chan, whole_pages(chan, targets[i]));
		assert_stall(chan, STALL(NONE));
		assert_int_equal(chan->due, AERO_NEVER);
	}
}

/* The same with answers that come late, and in the middle. */
static void test_exact_targets_are_reached_with_late_answers(void **state)
{
	static const uint64_t targets[] = { 12000, 77, 9000, 8191, 1, 600, 0 };
	struct channel_double *chan = *state;

	be_exact(chan);
	chan->is_async = true;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(targets); i++) {
		channel_double_forget(chan);
		aim(chan, targets[i]);
		for (unsigned int n = 0; n < 200 && chan->flying_count; n++) {
			channel_double_answer(chan, n % chan->flying_count, AERO_OK);
			aero_balloon_notify(&chan->balloon);
			step(chan);
			settle(chan);
		}
		assert_frames(chan, whole_pages(chan, targets[i]));
		assert_stall(chan, STALL(NONE));
		/* It never looked as if the host had refused: that would cost a second. */
		assert_null(strstr(chan->events, "stalled:7"));
	}
}

/* Two blocks and a part of one: three would be too many, and some would have to come back. */
static void test_exact_deflation_never_goes_below_the_target(void **state)
{
	struct channel_double *chan = *state;

	be_exact(chan);
	for (unsigned int i = 1; i < 9; i++) {
		aim(chan, 0);
		aim(chan, 10 * 512);
		channel_double_forget(chan);
		aim(chan, 5120 - 512 * i - 100);
		assert_null(strchr(chan->words, '+'));
	}
}

static void test_exact_deflation_without_memory_ends_at_the_target(void **state)
{
	struct channel_double *chan = *state;

	be_exact(chan);
	aim(chan, 1024);
	sim_port_fail(&chan->sim, SIM_PORT_PAGE_GET, 1, true);
	/* Whether there are spare nodes or none: it comes out right when there is memory again. */
	aim(chan, 700);
	sim_port_fail(&chan->sim, 0, 0, false);
	run(chan, 20 * SECOND);
	aero_balloon_notify(&chan->balloon);
	settle(chan);
	assert_frames(chan, 700);
}

static void test_batches_are_limited_in_frames(void **state)
{
	struct channel_double *chan = *state;

	be_exact(chan);
	chan->limits.batch_frames = 1024;
	chan->limits.batch_blocks = 256;
	settle(chan);
	channel_double_forget(chan);
	aim(chan, 3 * 512 + 300);
	assert_string_equal(chan->words, "ask +9x2 +9x1 +0x256 +0x44");
	/* A block that is larger than that goes alone. */
	aim(chan, 0);
	chan->limits.batch_frames = 100;
	aero_balloon_require_reset(&chan->balloon);
	settle(chan);
	run(chan, 2 * SECOND);
	channel_double_forget(chan);
	aim(chan, 1024);
	assert_string_equal(chan->words, "ask +9x1 +9x1");
}

static unsigned int flushes;
static bool is_flush_answered;

static bool flush(void *ctx)
{
	(void)ctx;
	flushes++;
	return is_flush_answered;
}

static void test_flush_is_told_when_no_more_comes_for_a_while(void **state)
{
	struct channel_double *chan = *state;

	be_exact(chan);
	chan->ops.flush = flush;
	flushes = 0;
	is_flush_answered = false;
	chan->is_async = true;
	chan->target = 4 * 512;
	while (chan->flying_count < 1)
		step(chan);
	/* A batch after the other, as long as there are some: not a word. */
	assert_int_equal(flushes, 0);
	settle(chan);
	assert_true(flushes > 0);
	/* An answer that was there in that moment is taken at once. */
	flushes = 0;
	is_flush_answered = true;
	chan->due = aero_balloon_step(&chan->balloon, chan->now);
	assert_int_equal(chan->due, chan->now);
	assert_int_equal(flushes, 1);
	is_flush_answered = false;
	channel_double_answer_all(chan);
	settle(chan);
	while (chan->flying_count) {
		channel_double_answer_all(chan);
		settle(chan);
	}
	assert_frames(chan, 4 * 512);
	chan->ops.flush = NULL;
}

static void test_flush_is_told_after_reclaim(void **state)
{
	struct channel_double *chan = *state;
	uint64_t came;

	be_exact(chan);
	aim(chan, 600);
	chan->ops.flush = flush;
	flushes = 0;
	is_flush_answered = false;
	assert_int_equal(aero_balloon_reclaim(&chan->balloon, AERO_RECLAIM_OOM, 10, chan->now,
					      &came),
			 AERO_OK);
	assert_int_equal(flushes, 1);
	chan->ops.flush = NULL;
	settle(chan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_exact_targets_are_reached, NULL),
		CASE(test_exact_targets_are_reached, &pages_16k),
		CASE(test_exact_targets_are_reached, &pages_64k),
		CASE(test_exact_targets_are_reached, &scattered),
		CASE(test_exact_targets_are_reached_with_late_answers, NULL),
		CASE(test_exact_targets_are_reached_with_late_answers, &pages_16k),
		CASE(test_exact_targets_are_reached_with_late_answers, &pages_64k),
		CASE(test_exact_targets_are_reached_with_late_answers, &scattered),
		CASE(test_exact_deflation_never_goes_below_the_target, NULL),
		CASE(test_exact_deflation_without_memory_ends_at_the_target, NULL),
		CASE(test_batches_are_limited_in_frames, NULL),
		CASE(test_flush_is_told_when_no_more_comes_for_a_while, NULL),
		CASE(test_flush_is_told_after_reclaim, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
