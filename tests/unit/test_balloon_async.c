/* SPDX-License-Identifier: MIT */
/* The engine: several batches in flight, answered late, in any order, in parts, or never. */
#include "test_balloon_case.h"

#define CELLS(chan) ((chan)->balloon.counters.size)

static void open_async(struct channel_double *chan, uint32_t in_flight, uint32_t blocks)
{
	chan->is_async = true;
	chan->limits.in_flight = in_flight;
	chan->limits.batch_blocks = blocks;
	settle(chan);
	channel_double_forget(chan);
}

static void answer(struct channel_double *chan, unsigned int nth, enum aero_status status)
{
	channel_double_answer(chan, nth, status);
	good(chan);
}

static void test_batches_fly_up_to_the_limit(void **state)
{
	struct channel_double *chan = *state;

	open_async(chan, 3, 2);
	aim(chan, MIB(20));
	assert_words(chan, "ask +9x2 +9x2 +9x2");
	assert_frames(chan, 0);
	/* The bound of an answer is when to look again. */
	assert_int_equal(chan->due, chan->now + 2 * SECOND);
	step(chan);
	assert_words(chan, "");
	chan->now = SECOND;
	answer(chan, 1, AERO_OK);
	settle(chan);
	assert_words(chan, "+9x2");
	assert_frames(chan, MIB(4));
	answer(chan, 2, AERO_OK);
	answer(chan, 0, AERO_OK);
	settle(chan);
	assert_words(chan, "+9x2");
	assert_frames(chan, MIB(12));
	/* What is on its way counts: no batch too many. */
	channel_double_answer_all(chan);
	settle(chan);
	assert_frames(chan, MIB(20));
	assert_words(chan, "");
	assert_int_equal(chan->peak_flying, 3);
	assert_events(chan, "target:5120 reached:5120");
}

static void test_batches_out_land_in_any_order(void **state)
{
	struct channel_double *chan = *state;

	sim_port_fragment(&chan->sim, 1000);
	chan->limits.batch_blocks = 100;
	settle(chan);
	aim(chan, 600);
	open_async(chan, 4, 100);
	/* The limits of the first start hold until the next. */
	aim(chan, 0);
	assert_words(chan, "ask -0x100 -0x100 -0x100 -0x100");
	assert_frames(chan, 600);
	answer(chan, 2, AERO_OK);
	answer(chan, 0, AERO_OK);
	settle(chan);
	assert_words(chan, "-0x100 -0x100");
	assert_frames(chan, 400);
	while (chan->flying_count) {
		answer(chan, chan->flying_count - 1, AERO_OK);
		settle(chan);
	}
	assert_frames(chan, 0);
	assert_stall(chan, STALL(NONE));
}

static bool all_large(struct channel_double *chan, unsigned int order, aero_frame first)
{
	(void)chan;
	(void)first;
	return order > 0;
}

/* The stage ends when all of its batches are answered, so that what they refuse is split too. */
static void test_late_refusals_are_split_when_the_stage_ends(void **state)
{
	struct channel_double *chan = *state;

	open_async(chan, 3, 6);
	chan->refuses = all_large;
	aim(chan, MIB(40));
	assert_words(chan, "ask +9x6 +9x6 +9x6");
	answer(chan, 0, AERO_OK);
	settle(chan);
	assert_words(chan, "+9x6");
	answer(chan, 0, AERO_OK);
	answer(chan, 0, AERO_OK);
	settle(chan);
	/* 18 are refused, and six fly: nothing but waiting. */
	assert_words(chan, "");
	assert_int_equal(chan->sim.counters.splits, 0);
	answer(chan, 0, AERO_OK);
	settle(chan);
	assert_int_equal(chan->sim.counters.splits, 24);
	assert_words(chan, "+0x6 +0x6 +0x6");
	chan->refuses = NULL;
	while (chan->flying_count) {
		channel_double_answer_all(chan);
		settle(chan);
	}
	assert_frames(chan, MIB(40));
	assert_stall(chan, STALL(NONE));
	assert_int_equal(CELLS(chan)[1].refused_freed, 0);
}

static void test_one_slot_short_of_memory_splits_what_is_refused_later(void **state)
{
	struct channel_double *chan = *state;

	/* Three whole blocks are left; the last batch flies when that is known. */
	for (aero_frame first = MIB(6); first < MIB(64); first += 512)
		assert_true(sim_port_pin(&chan->sim, first));
	open_async(chan, 1, 8);
	chan->refuse = (struct aero_range){ 513, 1 };
	aim(chan, MIB(20));
	assert_words(chan, "ask +9x3");
	answer(chan, 0, AERO_OK);
	settle(chan);
	assert_words(chan, "+0x8");
	assert_int_equal(chan->sim.counters.splits, 1);
	assert_frames(chan, MIB(4));
	while (chan->flying_count) {
		channel_double_answer_all(chan);
		settle(chan);
	}
	assert_frames(chan, MIB(20));
	assert_int_equal(CELLS(chan)[0].refused, 1);
}

static bool one_of_200(struct channel_double *chan, unsigned int order, aero_frame first)
{
	(void)chan;
	(void)order;
	return first % 200 == 5;
}

static void test_refused_in_parts_out_of_order_add_up(void **state)
{
	struct channel_double *chan = *state;
	uint32_t answers = 0;

	sim_port_fragment(&chan->sim, 1000);
	open_async(chan, 4, 50);
	chan->refuses = one_of_200;
	aim(chan, 1000);
	while (chan->flying_count) {
		answer(chan, chan->flying_count - 1, AERO_OK);
		settle(chan);
		answers++;
	}
	assert_frames(chan, 1000);
	assert_in_range(CELLS(chan)[0].refused, 2, 8);
	assert_int_equal(CELLS(chan)[0].refused_freed, CELLS(chan)[0].refused);
	assert_in_range(answers, 20, 22);
	assert_stall(chan, STALL(NONE));
}

static void test_sixteen_late_refusals_end_the_round(void **state)
{
	struct channel_double *chan = *state;

	sim_port_fragment(&chan->sim, 1000);
	open_async(chan, 4, 8);
	chan->refuse = (struct aero_range){ 0, MIB(64) };
	aim(chan, 1000);
	assert_words(chan, "ask +0x8 +0x8 +0x8 +0x8");
	answer(chan, 3, AERO_OK);
	answer(chan, 0, AERO_OK);
	settle(chan);
	assert_words(chan, "");
	assert_stall(chan, STALL(WORKING));
	channel_double_answer_all(chan);
	settle(chan);
	assert_words(chan, "");
	assert_stall(chan, STALL(REFUSED));
	assert_int_equal(sim_port_lent_frames(&chan->sim), 0);
	assert_int_equal(chan->due, 2 * SECOND);
}

static void test_batch_failed_whole_others_still_count(void **state)
{
	struct channel_double *chan = *state;

	open_async(chan, 3, 2);
	aim(chan, MIB(40));
	answer(chan, 1, AERO_EREFUSED);
	settle(chan);
	/* No more of this round. */
	assert_words(chan, "ask +9x2 +9x2 +9x2");
	assert_stall(chan, STALL(REFUSED));
	answer(chan, 1, AERO_OK);
	answer(chan, 0, AERO_OK);
	settle(chan);
	assert_words(chan, "");
	assert_frames(chan, MIB(8));
	assert_stall(chan, STALL(REFUSED));
	assert_int_equal(sim_port_lent_frames(&chan->sim), MIB(8));
	assert_int_equal(CELLS(chan)[1].refused_freed, 2);
	assert_int_equal(chan->due, 2 * SECOND);
}

static void test_reset_in_flight_takes_all_batches_back(void **state)
{
	struct channel_double *chan = *state;

	open_async(chan, 3, 2);
	run(chan, SECOND);
	channel_double_forget(chan);
	aim(chan, MIB(40));
	answer(chan, 2, AERO_OK);
	answer(chan, 0, AERO_ERESET);
	settle(chan);
	assert_words(chan, "ask +9x2 +9x2 +9x2 disarm start ask +9x2 +9x2 +9x2");
	assert_events(chan, "target:10240 reset:1024 stalled:10 started");
	assert_frames(chan, 0);
	while (chan->flying_count) {
		channel_double_answer_all(chan);
		settle(chan);
	}
	assert_frames(chan, MIB(40));
}

/* A channel that cannot call its batches back: the engine waits for them before it starts anew. */
static void test_reset_waits_for_batches_that_stay_out(void **state)
{
	struct channel_double *chan = *state;

	open_async(chan, 2, 2);
	run(chan, SECOND);
	chan->are_kept_at_disarm = true;
	channel_double_forget(chan);
	aim(chan, MIB(40));
	aero_balloon_require_reset(&chan->balloon);
	settle(chan);
	assert_words(chan, "ask +9x2 +9x2 disarm");
	assert_stall(chan, STALL(RESET));
	/* A doorbell in between is no reason for anything. */
	aero_balloon_notify(&chan->balloon);
	step(chan);
	assert_words(chan, "");
	run(chan, 5 * SECOND);
	assert_stall(chan, STALL(SILENT));
	answer(chan, 1, AERO_ERESET);
	settle(chan);
	assert_words(chan, "");
	answer(chan, 0, AERO_OK);
	settle(chan);
	assert_words(chan, "start ask +9x2 +9x2");
	chan->are_kept_at_disarm = false;
}

static void test_never_answered_is_silent(void **state)
{
	struct channel_double *chan = *state;
	uint64_t since;

	open_async(chan, 2, 2);
	since = chan->now;
	aim(chan, MIB(40));
	run(chan, 2 * SECOND - 1);
	assert_stall(chan, STALL(WORKING));
	assert_events(chan, "target:10240");
	run(chan, 1);
	assert_stall(chan, STALL(SILENT));
	assert_events(chan, "stalled:9");
	assert_int_equal(chan->now, since + 2 * SECOND);
	/* It is looked at now and then, should the word of the answer be lost; told once. */
	run(chan, 20 * SECOND);
	assert_events(chan, "");
	assert_words(chan, "ask +9x2 +9x2");
	assert_true(chan->due > chan->now && chan->due <= chan->now + 2 * SECOND);
	/* One answers: the other one is still overdue, yet it goes on. */
	answer(chan, 0, AERO_OK);
	settle(chan);
	assert_words(chan, "+9x2");
	assert_frames(chan, MIB(4));
	assert_stall(chan, STALL(SILENT));
	channel_double_answer_all(chan);
	settle(chan);
	assert_stall(chan, STALL(WORKING));
}

static void test_silent_after_is_as_configured(void **state)
{
	struct channel_double *chan = *state;

	open_async(chan, 2, 2);
	aim(chan, MIB(40));
	run(chan, 49);
	assert_stall(chan, STALL(WORKING));
	run(chan, 1);
	assert_stall(chan, STALL(SILENT));
}

static void test_target_turns_while_batches_fly(void **state)
{
	struct channel_double *chan = *state;

	open_async(chan, 2, 4);
	aim(chan, MIB(40));
	assert_words(chan, "ask +9x4 +9x4");
	/* Down: what is on its way in is waited for, then some of it leaves. */
	aim(chan, MIB(4));
	assert_words(chan, "ask");
	answer(chan, 1, AERO_OK);
	settle(chan);
	assert_words(chan, "");
	answer(chan, 0, AERO_OK);
	settle(chan);
	assert_words(chan, "-9x4 -9x2");
	/* And up again. */
	aim(chan, MIB(20));
	assert_words(chan, "ask");
	answer(chan, 0, AERO_OK);
	settle(chan);
	assert_words(chan, "");
	answer(chan, 0, AERO_OK);
	settle(chan);
	assert_words(chan, "+9x4 +9x4");
	channel_double_answer_all(chan);
	settle(chan);
	assert_frames(chan, MIB(20));
}

static void test_freeze_waits_for_batches(void **state)
{
	struct channel_double *chan = *state;

	open_async(chan, 2, 4);
	aim(chan, MIB(40));
	assert_int_equal(aero_balloon_freeze(&chan->balloon), AERO_EAGAIN);
	channel_double_forget(chan);
	settle(chan);
	assert_stall(chan, STALL(INHIBITED));
	assert_int_equal(chan->due, AERO_NEVER);
	answer(chan, 1, AERO_OK);
	settle(chan);
	assert_int_equal(aero_balloon_freeze(&chan->balloon), AERO_EAGAIN);
	answer(chan, 0, AERO_OK);
	assert_int_equal(aero_balloon_freeze(&chan->balloon), AERO_EAGAIN);
	settle(chan);
	assert_int_equal(aero_balloon_freeze(&chan->balloon), AERO_OK);
	assert_words(chan, "");
	assert_frames(chan, MIB(16));
	aero_balloon_thaw(&chan->balloon);
	settle(chan);
	assert_words(chan, "ask +9x4 +9x4");
	channel_double_answer_all(chan);
	settle(chan);
	channel_double_answer_all(chan);
	settle(chan);
	assert_frames(chan, MIB(40));
}

static void test_reclaim_flies(void **state)
{
	struct channel_double *chan = *state;
	uint64_t came = 77;

	chan->limits.poll_ns = AERO_NEVER;
	settle(chan);
	aim(chan, MIB(20));
	chan->is_async = true;
	channel_double_forget(chan);
	assert_int_equal(aero_balloon_reclaim(&chan->balloon, AERO_RECLAIM_PRESSURE, 600, chan->now,
					      &came),
			 AERO_OK);
	assert_int_equal(came, 0);
	assert_words(chan, "-9x2");
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(aero_balloon_reclaim(&chan->balloon, AERO_RECLAIM_OOM, 1,
						      chan->now, &came),
				 AERO_OK);
	assert_words(chan, "-9x1 -9x1 -9x1");
	/* All four fly. */
	assert_int_equal(aero_balloon_reclaim(&chan->balloon, AERO_RECLAIM_OOM, 1, chan->now,
					      &came),
			 AERO_EAGAIN);
	/* No round runs, and yet it is noticed that nobody answers. */
	step(chan);
	assert_int_equal(chan->due, chan->balloon.batch[0].since_ns + 2 * SECOND);
	assert_stall(chan, STALL(NONE));
	step(chan);
	assert_stall(chan, STALL(SILENT));
	assert_words(chan, "");
	channel_double_answer_all(chan);
	settle(chan);
	assert_frames(chan, MIB(20) - 5 * 512);
	chan->is_async = false;
	run(chan, 6 * SECOND);
	assert_frames(chan, MIB(20));
}

static void test_stop_takes_batches_back_or_waits(void **state)
{
	struct channel_double *chan = *state;

	open_async(chan, 3, 2);
	aim(chan, MIB(40));
	channel_double_answer(chan, 0, AERO_OK);
	chan->are_kept_at_disarm = true;
	channel_double_forget(chan);
	assert_int_equal(aero_balloon_stop(&chan->balloon), AERO_EAGAIN);
	assert_words(chan, "disarm stop");
	assert_int_equal(aero_balloon_stop(&chan->balloon), AERO_EAGAIN);
	assert_frames(chan, MIB(4));
	answer(chan, 1, AERO_ERESET);
	assert_int_equal(aero_balloon_stop(&chan->balloon), AERO_EAGAIN);
	answer(chan, 0, AERO_ERESET);
	assert_int_equal(aero_balloon_stop(&chan->balloon), AERO_EAGAIN);
	while (aero_balloon_stop(&chan->balloon) == AERO_EAGAIN)
		good(chan);
	assert_words(chan, "");
	assert_int_equal(sim_port_lent_frames(&chan->sim), 0);
	assert_int_equal(aero_balloon_stop(&chan->balloon), AERO_OK);
}

static void test_fewer_in_flight_after_a_reset(void **state)
{
	struct channel_double *chan = *state;

	open_async(chan, 8, 1);
	aim(chan, MIB(40));
	assert_int_equal(chan->flying_count, 8);
	chan->limits.in_flight = 2;
	aero_balloon_require_reset(&chan->balloon);
	run(chan, 2 * SECOND - 1);
	assert_int_equal(chan->flying_count, 2);
	chan->limits.in_flight = 1000;
	aero_balloon_require_reset(&chan->balloon);
	run(chan, SECOND);
	assert_int_equal(chan->flying_count, AERO_BALLOON_BATCHES_MAX);
}

static void test_batches_configured_bound_what_the_channel_can(void **state)
{
	struct channel_double *chan = *state;

	open_async(chan, 8, 1);
	aim(chan, MIB(40));
	assert_int_equal(chan->flying_count, 2);
	assert_int_equal(chan->balloon.batch_count, 2);
}

static void test_without_memory_for_more_slots_one_is_enough(void **state)
{
	struct channel_double *chan = *state;

	sim_port_fail(&chan->sim, SIM_PORT_PAGE_GET, 2, false);
	open_async(chan, 8, 1);
	sim_port_fail(&chan->sim, 0, 0, false);
	aim(chan, MIB(4));
	assert_int_equal(chan->flying_count, 1);
	answer(chan, 0, AERO_OK);
	settle(chan);
	answer(chan, 0, AERO_OK);
	settle(chan);
	assert_frames(chan, MIB(4));
}

static void test_without_memory_for_a_slot_it_does_not_start(void **state)
{
	struct channel_double *chan = *state;

	sim_port_fail(&chan->sim, SIM_PORT_PAGE_GET, 1, true);
	run(chan, 3 * SECOND);
	assert_words(chan, "disarm disarm disarm disarm");
	assert_stall(chan, STALL(NO_MEMORY));
	sim_port_fail(&chan->sim, 0, 0, false);
	run(chan, SECOND);
	assert_stall(chan, STALL(NONE));
}

static void test_frames_in_flight_cannot_be_isolated(void **state)
{
	struct channel_double *chan = *state;

	open_async(chan, 2, 4);
	aim(chan, MIB(16));
	assert_false(aero_balloon_isolate(&chan->balloon, 9, 0));
	answer(chan, 0, AERO_OK);
	settle(chan);
	assert_true(aero_balloon_isolate(&chan->balloon, 9, 0));
	assert_false(aero_balloon_isolate(&chan->balloon, 9, 7 * 512));
	aero_balloon_putback(&chan->balloon, 9, 0);
	aim(chan, 0);
	answer(chan, 0, AERO_OK);
	settle(chan);
	assert_false(aero_balloon_isolate(&chan->balloon, 9, 0));
	channel_double_answer_all(chan);
	settle(chan);
	assert_false(aero_balloon_isolate(&chan->balloon, 9, 0));
	assert_frames(chan, 0);
}

static const struct balloon_options fast_silence = { .config = { .silent_ns = 50 } };
static const struct balloon_options two_batches = { .config = { .batches = 2 } };

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_batches_fly_up_to_the_limit, NULL),
		CASE(test_batches_out_land_in_any_order, NULL),
		CASE(test_late_refusals_are_split_when_the_stage_ends, NULL),
		CASE(test_one_slot_short_of_memory_splits_what_is_refused_later, NULL),
		CASE(test_refused_in_parts_out_of_order_add_up, NULL),
		CASE(test_sixteen_late_refusals_end_the_round, NULL),
		CASE(test_batch_failed_whole_others_still_count, NULL),
		CASE(test_reset_in_flight_takes_all_batches_back, NULL),
		CASE(test_reset_waits_for_batches_that_stay_out, NULL),
		CASE(test_never_answered_is_silent, NULL),
		CASE(test_silent_after_is_as_configured, &fast_silence),
		CASE(test_target_turns_while_batches_fly, NULL),
		CASE(test_freeze_waits_for_batches, NULL),
		CASE(test_reclaim_flies, NULL),
		CASE(test_stop_takes_batches_back_or_waits, NULL),
		CASE(test_fewer_in_flight_after_a_reset, NULL),
		CASE(test_batches_configured_bound_what_the_channel_can, &two_batches),
		CASE(test_without_memory_for_more_slots_one_is_enough, NULL),
		CASE(test_without_memory_for_a_slot_it_does_not_start, NULL),
		CASE(test_frames_in_flight_cannot_be_isolated, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
