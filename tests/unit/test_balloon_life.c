/* SPDX-License-Identifier: MIT */
/* The engine's life: resets, freezing, migration, its end; and what it says of itself. */
#include "test_balloon_case.h"

#include "src/guest/balloon_internal.h"

static void test_reset_empties_without_a_word_to_the_host(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	aim(chan, MIB(20));
	run(chan, SECOND);
	sim_port_fragment(&chan->sim, 1000);
	aim(chan, MIB(20) + 2000);
	channel_double_forget(chan);
	aero_balloon_require_reset(&chan->balloon);
	assert_frames(chan, MIB(20) + 2000);
	/* Piece by piece: 512 blocks at most in a step. */
	step(chan);
	assert_words(chan, "disarm");
	assert_frames(chan, MIB(20) + 2000 - 512);
	assert_stall(chan, STALL(RESET));
	settle(chan);
	assert_words(chan, "start ask +9x10 +0x512 +0x512 +0x512 +0x464");
	assert_frames(chan, MIB(20) + 2000);
	assert_events(chan, "reset:7120 stalled:10 started reached:7120");
	assert_int_equal(chan->balloon.counters.resets, 2);
	assert_int_equal(chan->balloon.counters.size[0].freed, 2000);
	assert_int_equal(chan->balloon.counters.size[1].freed, 10);
}

static void test_reset_waits_for_isolated_frames(void **state)
{
	struct channel_double *chan = *state;
	bool is_in;

	settle(chan);
	aim(chan, MIB(20));
	run(chan, SECOND);
	assert_true(aero_balloon_isolate(&chan->balloon, 9, 1024));
	channel_double_forget(chan);
	aero_balloon_require_reset(&chan->balloon);
	/* What is isolated now could not be moved. */
	assert_false(aero_balloon_isolate(&chan->balloon, 9, 512));
	assert_int_equal(aero_balloon_migrate(&chan->balloon, 9, MIB(30), 1024, &is_in),
			 AERO_EAGAIN);
	settle(chan);
	assert_frames(chan, 512);
	assert_stall(chan, STALL(ISOLATED));
	assert_words(chan, "disarm");
	assert_events(chan, "reset:5120 stalled:10 stalled:8");
	assert_int_equal(chan->due, chan->now + 10000000);
	run(chan, SECOND);
	assert_words(chan, "");
	assert_events(chan, "");
	aero_balloon_putback(&chan->balloon, 9, 1024);
	run(chan, 10000000);
	assert_words(chan, "start ask +9x10");
	assert_frames(chan, MIB(20));
}

/* A host that resets at each chance costs one start a second. */
static void reset_always(struct channel_double *chan, const char *word)
{
	if (word[0] == '+')
		aero_balloon_require_reset(&chan->balloon);
}

static void test_reset_at_every_batch_is_one_attempt_a_second(void **state)
{
	struct channel_double *chan = *state;

	chan->during = reset_always;
	chan->target = MIB(10);
	run(chan, 10 * SECOND);
	assert_int_equal(chan->starts, 11);
	chan->during = NULL;
	run(chan, SECOND);
	assert_frames(chan, MIB(10));
}

static void test_freeze_rests_until_thaw(void **state)
{
	struct channel_double *chan = *state;
	uint64_t came;
	bool is_in;

	settle(chan);
	aim(chan, MIB(20));
	assert_int_equal(aero_balloon_freeze(&chan->balloon), AERO_OK);
	assert_int_equal(aero_balloon_freeze(&chan->balloon), AERO_OK);
	channel_double_forget(chan);
	chan->target = MIB(10);
	aero_balloon_notify(&chan->balloon);
	run(chan, 10 * SECOND);
	assert_words(chan, "");
	assert_frames(chan, MIB(20));
	assert_stall(chan, STALL(INHIBITED));
	assert_events(chan, "stalled:13");
	assert_int_equal(chan->due, AERO_NEVER);
	assert_int_equal(aero_balloon_reclaim(&chan->balloon, AERO_RECLAIM_PRESSURE, 1, chan->now,
					      &came),
			 AERO_EREFUSED);
	assert_true(aero_balloon_isolate(&chan->balloon, 9, 0));
	assert_int_equal(aero_balloon_migrate(&chan->balloon, 9, MIB(30), 0, &is_in), AERO_EAGAIN);
	aero_balloon_putback(&chan->balloon, 9, 0);
	/* Also a reset waits. */
	aero_balloon_require_reset(&chan->balloon);
	settle(chan);
	assert_words(chan, "");
	aero_balloon_thaw(&chan->balloon);
	run(chan, SECOND);
	assert_frames(chan, MIB(10));
}

static void test_freeze_in_the_middle_of_a_round(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.batch_blocks = 2;
	settle(chan);
	chan->target = MIB(20);
	aero_balloon_notify(&chan->balloon);
	step(chan);
	assert_int_equal(aero_balloon_freeze(&chan->balloon), AERO_OK);
	run(chan, SECOND);
	assert_frames(chan, MIB(4));
	channel_double_forget(chan);
	aero_balloon_thaw(&chan->balloon);
	settle(chan);
	assert_words(chan, "ask +9x2 +9x2 +9x2 +9x2");
	assert_frames(chan, MIB(20));
}

static void test_inhibit_stops_inflation_only(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	aim(chan, MIB(20));
	aero_balloon_inhibit(&chan->balloon, true);
	aim(chan, MIB(30));
	assert_frames(chan, MIB(20));
	assert_stall(chan, STALL(INHIBITED));
	aim(chan, MIB(10));
	assert_frames(chan, MIB(10));
	assert_stall(chan, STALL(NONE));
	aim(chan, MIB(30));
	aero_balloon_inhibit(&chan->balloon, false);
	settle(chan);
	assert_frames(chan, MIB(30));
}

static void test_stop_tells_the_host_first_then_frees_piece_by_piece(void **state)
{
	struct channel_double *chan = *state;
	uint64_t came;
	bool is_in;

	settle(chan);
	sim_port_fragment(&chan->sim, 1000);
	aim(chan, 1500);
	channel_double_forget(chan);
	assert_int_equal(aero_balloon_stop(&chan->balloon), AERO_EAGAIN);
	assert_words(chan, "disarm stop");
	assert_frames(chan, 1500 - 512);
	assert_stall(chan, STALL(INHIBITED));
	assert_false(aero_balloon_isolate(&chan->balloon, 0, 0));
	/* Nothing else works any more. */
	chan->target = MIB(10);
	aero_balloon_notify(&chan->balloon);
	settle(chan);
	assert_int_equal(chan->due, AERO_NEVER);
	assert_words(chan, "");
	assert_int_equal(aero_balloon_reclaim(&chan->balloon, AERO_RECLAIM_PRESSURE, 1, chan->now,
					      &came),
			 AERO_EREFUSED);
	assert_int_equal(aero_balloon_migrate(&chan->balloon, 0, 1, 2, &is_in), AERO_EAGAIN);
	assert_int_equal(aero_balloon_stop(&chan->balloon), AERO_EAGAIN);
	assert_int_equal(aero_balloon_stop(&chan->balloon), AERO_EAGAIN);
	assert_int_equal(aero_balloon_stop(&chan->balloon), AERO_OK);
	assert_words(chan, "");
	assert_frames(chan, 0);
	assert_int_equal(chan->balloon.counters.size[0].freed, 1500);
}

static void test_stop_waits_for_isolated_frames(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	aim(chan, MIB(4));
	assert_true(aero_balloon_isolate(&chan->balloon, 9, 512));
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(aero_balloon_stop(&chan->balloon), AERO_EAGAIN);
	assert_frames(chan, 512);
	aero_balloon_putback(&chan->balloon, 9, 512);
	assert_int_equal(aero_balloon_stop(&chan->balloon), AERO_EAGAIN);
	assert_int_equal(aero_balloon_stop(&chan->balloon), AERO_OK);
}

static void test_stop_before_the_first_step(void **state)
{
	struct channel_double *chan = *state;

	assert_int_equal(aero_balloon_stop(&chan->balloon), AERO_OK);
	assert_words(chan, "disarm stop");
	assert_int_equal(aero_balloon_step(&chan->balloon, chan->now), AERO_NEVER);
	assert_int_equal(aero_balloon_freeze(&chan->balloon), AERO_OK);
	aero_balloon_thaw(&chan->balloon);
}

/* Within a round: blocks that were refused, and frames of split ones, go back too. */
static bool all_large(struct channel_double *chan, unsigned int order, aero_frame first)
{
	(void)chan;
	(void)first;
	return order > 0;
}

static void test_stop_with_frames_held_for_the_round(void **state)
{
	struct channel_double *chan = *state;

	chan->refuses = all_large;
	chan->limits.batch_blocks = 17;
	settle(chan);
	chan->target = MIB(40);
	aero_balloon_notify(&chan->balloon);
	step(chan);
	assert_int_equal(aero_frame_set_count(&chan->balloon.pool), 17 * 512);
	step(chan);
	assert_frames(chan, 17);
	while (aero_balloon_stop(&chan->balloon) == AERO_EAGAIN) {
		channel_double_check(chan);
		good(chan);
	}
	assert_int_equal(sim_port_lent_frames(&chan->sim), 0);
}

/* Without stop(): what is in the balloon is lost, what is held for the round is not. */
static void test_fini_within_a_round_gives_held_frames_back(void **state)
{
	struct channel_double chan;

	(void)state;
	assert_int_equal(channel_double_open(&chan, NULL, NULL), AERO_OK);
	chan.balloon.config.event = NULL;
	chan.refuses = all_large;
	chan.limits.batch_blocks = 17;
	chan.target = MIB(40);
	for (unsigned int i = 0; i < 4; i++)
		channel_double_step(&chan);
	good(&chan);
	assert_frames(&chan, 17 + 17);
	assert_int_equal(aero_frame_set_count(&chan.balloon.pool), 17 * 512 - 34);
	assert_string_equal(chan.events, "");
	aero_balloon_fini(&chan.balloon);
	assert_int_equal(sim_port_lent_frames(&chan.sim), 34);
	assert_int_equal(chan.sim.pages, 0);
	channel_double_drop(&chan);
}

/* Migration ----------------------------------------------------------------------------------- */

static void test_migrate_moves_by_the_channel(void **state)
{
	struct channel_double *chan = *state;

	sim_port_fragment(&chan->sim, 1000);
	settle(chan);
	aim(chan, 300);
	channel_double_forget(chan);
	for (aero_frame frame = 0; chan->balloon.pages.size[0].counters.migrated < 50; frame++)
		if (aero_pages_has(&chan->balloon.pages, 0, frame))
			assert_int_equal(channel_double_move(chan, 0, frame), AERO_OK);
	good(chan);
	assert_frames(chan, 300);
	assert_memory_equal(chan->words, "~0 ~0 ", 6);
	assert_int_equal(chan->given_frames, 300);
	settle(chan);
	assert_stall(chan, STALL(NONE));
}

static void test_migrate_lost_frame_is_made_good(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.poll_ns = AERO_NEVER;
	settle(chan);
	aim(chan, MIB(4));
	assert_int_equal(chan->due, AERO_NEVER);
	chan->exchange_status = AERO_ENOENT;
	assert_int_equal(channel_double_move(chan, 9, 512), AERO_OK);
	good(chan);
	assert_frames(chan, MIB(2));
	assert_int_equal(chan->given_frames, MIB(2));
	settle(chan);
	assert_frames(chan, MIB(4));
}

static void test_migrate_failures_of_the_host(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	aim(chan, MIB(4));
	chan->exchange_status = AERO_EREFUSED;
	assert_int_equal(channel_double_move(chan, 9, 512), AERO_EREFUSED);
	chan->exchange_status = AERO_EAGAIN;
	assert_int_equal(channel_double_move(chan, 9, 512), AERO_EAGAIN);
	good(chan);
	assert_frames(chan, MIB(4));
	assert_int_equal(chan->balloon.pages.size[1].counters.migrated, 0);
	/* A reset is a refusal, and the protocol starts anew. */
	run(chan, SECOND);
	chan->exchange_status = AERO_ERESET;
	channel_double_forget(chan);
	assert_int_equal(channel_double_move(chan, 9, 512), AERO_EREFUSED);
	chan->exchange_status = AERO_OK;
	settle(chan);
	assert_words(chan, "~9 disarm start ask +9x2");
	assert_frames(chan, MIB(4));
}

static void test_migrate_what_cannot_be(void **state)
{
	struct channel_double *chan = *state;
	bool is_in;

	assert_int_equal(aero_balloon_migrate(&chan->balloon, 0, 1, 2, &is_in), AERO_EAGAIN);
	assert_false(aero_balloon_isolate(&chan->balloon, 0, 1));
	chan->limits.orders = ORDER(0);
	settle(chan);
	aim(chan, 10);
#define MIGRATE(order, to, from) aero_balloon_migrate(&chan->balloon, order, to, from, &is_in)
	assert_int_equal(MIGRATE(0, 100, 1), AERO_EINVAL);
	assert_true(aero_balloon_isolate(&chan->balloon, 0, 1));
	assert_int_equal(MIGRATE(0, 2, 1), AERO_EINVAL);
	/* Orders the channel lacks, the port lacks, and no number of bits has. */
	assert_int_equal(MIGRATE(9, 512, 1024), AERO_EINVAL);
	assert_int_equal(MIGRATE(4, 16, 32), AERO_EINVAL);
	assert_int_equal(MIGRATE(32, 0, 0), AERO_EINVAL);
	assert_int_equal(MIGRATE(255, 0, 0), AERO_EINVAL);
	aero_balloon_putback(&chan->balloon, 0, 1);
	chan->ops.exchange = NULL;
	assert_true(aero_balloon_isolate(&chan->balloon, 0, 1));
	assert_int_equal(MIGRATE(0, 100, 1), AERO_ENOTSUP);
	aero_balloon_putback(&chan->balloon, 0, 1);
}

static void test_deflation_around_isolated_frames(void **state)
{
	struct channel_double *chan = *state;

	sim_port_fragment(&chan->sim, 1000);
	chan->limits.poll_ns = AERO_NEVER;
	settle(chan);
	aim(chan, 700);
	for (aero_frame frame = 0, done = 0; done < 200; frame++)
		done += aero_balloon_isolate(&chan->balloon, 0, frame);
	aim(chan, 0);
	assert_frames(chan, 200);
	assert_stall(chan, STALL(ISOLATED));
	/* Although nobody polls it is tried again. */
	assert_int_equal(chan->due, chan->now + SECOND);
	run(chan, 3 * SECOND);
	assert_frames(chan, 200);
	for (aero_frame frame = 0; frame < MIB(64); frame++)
		aero_balloon_putback(&chan->balloon, 0, frame);
	run(chan, SECOND);
	assert_frames(chan, 0);
	assert_stall(chan, STALL(NONE));
	assert_int_equal(chan->due, AERO_NEVER);
}

/* Time and notice ----------------------------------------------------------------------------- */

static void notify_always(struct channel_double *chan, const char *word)
{
	if (!strcmp(word, "ask"))
		aero_balloon_notify(&chan->balloon);
}

static void notify_once(struct channel_double *chan, const char *word)
{
	if (word[0] == '+')
		aero_balloon_notify(&chan->balloon);
}

static void test_notify_within_a_step_is_not_lost(void **state)
{
	struct channel_double *chan = *state;

	settle(chan);
	channel_double_forget(chan);
	chan->during = notify_always;
	chan->target = MIB(4);
	aero_balloon_notify(&chan->balloon);
	for (unsigned int i = 0; i < 5; i++) {
		step(chan);
		assert_int_equal(chan->due, chan->now);
	}
	assert_words(chan, "ask +9x2 ask ask ask ask");
	chan->during = notify_once;
	settle(chan);
	channel_double_forget(chan);
	aim(chan, MIB(6));
	assert_words(chan, "ask +9x1 ask");
	/* A round that runs is asked within, and not counted as another. */
	assert_int_equal(chan->balloon.counters.rounds, 7);
}

static void test_due_is_the_next_poll_or_never(void **state)
{
	struct channel_double *chan = *state;

	chan->limits.poll_ns = 7 * SECOND;
	settle(chan);
	assert_int_equal(chan->due, 8 * SECOND);
	aim(chan, MIB(4));
	chan->now += SECOND;
	settle(chan);
	assert_int_equal(chan->due, 8 * SECOND);
	/* A question that failed is asked again earlier. */
	chan->target_status = AERO_EREFUSED;
	run(chan, 6 * SECOND);
	assert_int_equal(chan->now, 8 * SECOND);
	assert_int_equal(chan->due, 9 * SECOND);
	chan->target_status = AERO_OK;
	run(chan, SECOND);
	assert_int_equal(chan->due, 16 * SECOND);
	chan->limits.poll_ns = AERO_NEVER;
	aero_balloon_require_reset(&chan->balloon);
	settle(chan);
	run(chan, SECOND);
	assert_int_equal(chan->due, AERO_NEVER);
}

static void test_stall_names_differ(void **state)
{
	(void)state;
	for (int a = AERO_STALL_NONE; a <= AERO_STALL_INHIBITED; a++) {
		assert_true(strlen(aero_stall_str((enum aero_stall)a)) > 4);
		assert_string_not_equal(aero_stall_str((enum aero_stall)a), "unknown stall");
		for (int b = AERO_STALL_NONE; b < a; b++)
			assert_string_not_equal(aero_stall_str((enum aero_stall)a),
						aero_stall_str((enum aero_stall)b));
	}
	assert_string_equal(aero_stall_str((enum aero_stall)(AERO_STALL_INHIBITED + 1)),
			    "unknown stall");
	assert_string_equal(aero_stall_str((enum aero_stall) - 1), "unknown stall");
}

static void test_report_metadata_is_what_the_port_gave(void **state)
{
	struct channel_double *chan = *state;
	struct aero_balloon_report report;

	aero_balloon_report(&chan->balloon, &report);
	assert_int_equal(report.metadata_bytes, 0);
	chan->refuses = all_large;
	chan->limits.batch_blocks = 17;
	settle(chan);
	chan->target = MIB(40);
	aero_balloon_notify(&chan->balloon);
	for (unsigned int i = 0; i < 12; i++) {
		step(chan);
		aero_balloon_report(&chan->balloon, &report);
		assert_int_equal(report.metadata_bytes, chan->sim.pages * 4096);
		assert_int_equal(report.target_frames, MIB(40));
		assert_int_equal(report.actual_frames, channel_double_frames(chan));
	}
}

/* What validate() is for: each of these is a bug of ours. */
static void test_validate_sees_what_is_wrong(void **state)
{
	struct channel_double *chan = *state;
	struct aero_balloon *balloon = &chan->balloon;
	struct aero_range one = { 3, 1 };
	uint64_t added;

	settle(chan);
	aim(chan, MIB(4));
	run(chan, SECOND);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(aero_pages_refill(&balloon->pages), AERO_OK);
#define WRONG(spoil, mend)                                                   \
	do {                                                                 \
		spoil;                                                       \
		assert_int_equal(aero_balloon_validate(balloon), AERO_EBUG); \
		mend;                                                        \
		assert_int_equal(aero_balloon_validate(balloon), AERO_OK);   \
	} while (0)
	WRONG(balloon->is_busy = true, balloon->is_busy = false);
	WRONG(balloon->batch[0].is_flying = true, balloon->batch[0].is_flying = false);
	WRONG(balloon->pages.size[1].counters.inflated++,
	      balloon->pages.size[1].counters.inflated--);
	WRONG(balloon->pages.size[1].joining++, balloon->pages.size[1].joining--);
	WRONG(balloon->pages.size[1].lent.count++, balloon->pages.size[1].lent.count--);
	WRONG(aero_frame_set_insert(&balloon->pool, one, &added),
	      aero_frame_set_remove(&balloon->pool, one));
	one.first = MIB(20);
	WRONG(aero_frame_set_insert(&balloon->pool, one, &added),
	      aero_frame_set_remove(&balloon->pool, one));
	one.first = 1;
	WRONG(aero_frame_set_insert(&balloon->refused[1], one, &added),
	      aero_frame_set_remove(&balloon->refused[1], one));
	WRONG(balloon->refused[0].count = 1, balloon->refused[0].count = 0);
	one.first = 30;
	WRONG(aero_frame_set_insert(&balloon->pages.size[1].isolated, one, &added),
	      aero_frame_set_remove(&balloon->pages.size[1].isolated, one));
	/* A frame in a block that is in the balloon as well. */
	one.first = 513;
	WRONG((aero_frame_set_insert(&balloon->pages.size[0].lent, one, &added),
	       balloon->pages.size[0].counters.inflated++),
	      (aero_frame_set_remove(&balloon->pages.size[0].lent, one),
	       balloon->pages.size[0].counters.inflated--));
	WRONG((balloon->batch[1].list.count = 1, balloon->batch[1].list.size = 1,
	       balloon->batch[1].list.frames[0] = MIB(30), balloon->batch[1].is_flying = true,
	       aero_pages_fly(&balloon->pages, &balloon->batch[1].list, AERO_PAGES_LEAVING)),
	      (balloon->batch[1].is_flying = false,
	       aero_pages_land(&balloon->pages, &balloon->batch[1].list)));
	WRONG((balloon->batch[1].list.count = 1, balloon->batch[1].list.size = 9,
	       balloon->batch[1].is_flying = true,
	       aero_pages_fly(&balloon->pages, &balloon->batch[1].list, AERO_PAGES_LEAVING)),
	      (balloon->batch[1].is_flying = false,
	       aero_pages_land(&balloon->pages, &balloon->batch[1].list)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_reset_empties_without_a_word_to_the_host, NULL),
		CASE(test_reset_waits_for_isolated_frames, NULL),
		CASE(test_reset_at_every_batch_is_one_attempt_a_second, NULL),
		CASE(test_freeze_rests_until_thaw, NULL),
		CASE(test_freeze_in_the_middle_of_a_round, NULL),
		CASE(test_inhibit_stops_inflation_only, NULL),
		CASE(test_stop_tells_the_host_first_then_frees_piece_by_piece, NULL),
		CASE(test_stop_waits_for_isolated_frames, NULL),
		CASE(test_stop_before_the_first_step, NULL),
		CASE(test_stop_with_frames_held_for_the_round, NULL),
		cmocka_unit_test(test_fini_within_a_round_gives_held_frames_back),
		CASE(test_migrate_moves_by_the_channel, NULL),
		CASE(test_migrate_lost_frame_is_made_good, NULL),
		CASE(test_migrate_failures_of_the_host, NULL),
		CASE(test_migrate_what_cannot_be, NULL),
		CASE(test_deflation_around_isolated_frames, NULL),
		CASE(test_notify_within_a_step_is_not_lost, NULL),
		CASE(test_due_is_the_next_poll_or_never, NULL),
		cmocka_unit_test(test_stall_names_differ),
		CASE(test_report_metadata_is_what_the_port_gave, NULL),
		CASE(test_validate_sees_what_is_wrong, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
