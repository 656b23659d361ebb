/* SPDX-License-Identifier: MIT */
/* The device at rest: pause at every step, inhibition, reset, detach, forget. */
#include "test_virtio_balloon_case.h"

/*
 * A scenario with something of everything in flight: chains on all queues, whole blocks and parts
 * pending, a statistics buffer held and wanted, a hint round, a long report.
 */
static void send_scenario(struct balloon_rig *rig)
{
	static const uint64_t stat[1][2] = { { 4, 5 } };
	static const struct aero_range report[] = { { 20000, 9000 }, { 19000, 3 } };
	static const struct aero_range hints[] = { { 0, 512 }, { 512, 7 } };

	balloon_rig_send_run(rig, INFLATE, 100, 3000);
	balloon_rig_send_run(rig, INFLATE, 5000, 10);
	balloon_rig_send_run(rig, DEFLATE, 150, 900);
	balloon_rig_send_run(rig, INFLATE, 7000, 700);
	assert_true(balloon_rig_send_stats(rig, stat, 1));
	assert_true(balloon_rig_send_ranges(rig, 3, hints, 2));
	assert_true(balloon_rig_send_ranges(rig, 4, report, 2));
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		balloon_rig_kick(rig, i);
}

/* What the scenario comes to in the end, however often it was interrupted. */
static void assert_scenario(struct balloon_rig *rig)
{
	struct aero_ledger_counters *c = &rig->dev.ledger.counters;

	case_pass(rig, AERO_LEDGER_IDLE_NS_DEFAULT);
	balloon_rig_check(rig);
	/* All but the statistics buffer. */
	assert_int_equal(rig->in_flight, 1);
	assert_int_equal(c->given, 3710);
	assert_int_equal(c->given_twice, 0);
	assert_int_equal(rig->held, c->given - c->returned);
	assert_int_equal(c->returned + c->never_given, 900);
	assert_int_equal(aero_ledger_pending(&rig->dev.ledger), 0);
	assert_int_equal(rig->dev.counters.reports, 1);
	assert_int_equal(case_discarded(rig, 20000, 9000), 9000);
	assert_int_equal(rig->dev.counters.stats_buffers, 1);
	assert_int_equal(rig->dev.counters.inflate_requests, 3);
	/* What the guest has back was left alone, or discarded before it got it. */
	assert_int_equal(case_discarded(rig, 5000, 10), 10);
	assert_int_equal(case_discarded(rig, 7000, 700), 700);
}

/* All of guest memory that has bytes, to compare. */
static uint8_t *copy_memory(const struct balloon_rig *rig)
{
	size_t bytes = rig->host.ram.region[0].bytes;
	uint8_t *copy = malloc(bytes);

	assert_non_null(copy);
	memcpy(copy, rig->host.ram.region[0].host, bytes);
	return copy;
}

/* Drained means: no call of the host, no byte of a ring, no interrupt, until resume. */
static void assert_at_rest(struct balloon_rig *rig)
{
	uint8_t *before = copy_memory(rig);
	uint64_t notices = rig->dev.counters.notifications;

	rig->host.is_frozen = true;
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		balloon_rig_kick(rig, i);
	case_pass(rig, 10 * AERO_LEDGER_IDLE_NS_DEFAULT);
	aero_virtio_balloon_host_flush(&rig->dev);
	aero_virtio_balloon_host_inhibit(&rig->dev, AERO_INHIBIT_OPERATOR);
	balloon_rig_run(rig);
	aero_virtio_balloon_host_inhibit(&rig->dev, 0);
	balloon_rig_run(rig);
	(void)aero_virtio_balloon_host_request_stats(&rig->dev);
	balloon_rig_run(rig);
	rig->dev.are_stats_wanted = false;
	assert_memory_equal(before, rig->host.ram.region[0].host, rig->host.ram.region[0].bytes);
	assert_int_equal(rig->dev.counters.notifications, notices);
	assert_string_equal(rig->host.violation, "");
	rig->host.is_frozen = false;
	free(before);
}

static bool pause_at(const struct balloon_rig_options *options, unsigned int step)
{
	struct balloon_rig *rig = calloc(1, sizeof(*rig));
	bool is_over = false;

	assert_non_null(rig);
	balloon_rig_open(rig, options);
	balloon_rig_connect(rig);
	send_scenario(rig);
	for (unsigned int i = 0; i < step; i++)
		is_over = balloon_rig_step(rig) > rig->now;
	aero_virtio_balloon_host_quiesce(&rig->dev);
	balloon_rig_run(rig);
	assert_int_equal(rig->events[EVENT(DRAINED)], 1);
	assert_true(case_report(rig).is_drained);
	assert_int_equal(aero_ledger_pending(&rig->dev.ledger), 0);
	balloon_rig_check(rig);
	assert_at_rest(rig);
	assert_int_equal(rig->events[EVENT(DRAINED)], 1);
	aero_virtio_balloon_host_resume(&rig->dev);
	assert_false(case_report(rig).is_drained);
	balloon_rig_run(rig);
	assert_scenario(rig);
	balloon_rig_close(rig);
	free(rig);
	return is_over;
}

static void test_pause_at_every_step_is_at_rest_and_resume_finishes(void **state)
{
	unsigned int step = 0;

	while (!pause_at(*state, step))
		step++;
	print_message("# paused at each of %u steps\n", step);
	assert_true(step > 15);
}

static void test_pause_begins_nothing_new(void **state)
{
	struct balloon_rig *rig = *state;

	aero_virtio_balloon_host_quiesce(&rig->dev);
	balloon_rig_send_run(rig, INFLATE, 0, 10);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[INFLATE], 0);
	assert_true(case_report(rig).is_drained);
	aero_virtio_balloon_host_resume(&rig->dev);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[INFLATE], 1);
}

static void test_pause_twice_is_told_twice(void **state)
{
	struct balloon_rig *rig = *state;

	for (uint64_t i = 1; i <= 2; i++) {
		aero_virtio_balloon_host_quiesce(&rig->dev);
		balloon_rig_run(rig);
		assert_int_equal(rig->events[EVENT(DRAINED)], i);
		aero_virtio_balloon_host_resume(&rig->dev);
		balloon_rig_run(rig);
	}
}

/* What cannot be discarded while inhibited does not keep the device from coming to rest. */
static void test_pause_while_inhibited_drains_with_frames_pending(void **state)
{
	struct balloon_rig *rig = *state;

	aero_virtio_balloon_host_inhibit(&rig->dev, AERO_INHIBIT_SNAPSHOT);
	balloon_rig_inflate(rig, 0, 600);
	aero_virtio_balloon_host_quiesce(&rig->dev);
	balloon_rig_run(rig);
	assert_int_equal(rig->events[EVENT(DRAINED)], 1);
	assert_int_equal(aero_ledger_pending(&rig->dev.ledger), 600);
	assert_at_rest(rig);
	aero_virtio_balloon_host_resume(&rig->dev);
	case_pass(rig, AERO_LEDGER_IDLE_NS_DEFAULT);
	assert_int_equal(case_discarded(rig, 0, 600), 600);
}

/* Memory that changes while the device is at rest is not discarded before it goes. */
static void test_settle_at_rest_discards_nothing(void **state)
{
	struct balloon_rig *rig = *state;

	aero_virtio_balloon_host_inhibit(&rig->dev, AERO_INHIBIT_SNAPSHOT);
	balloon_rig_inflate(rig, 0, 600);
	aero_virtio_balloon_host_quiesce(&rig->dev);
	balloon_rig_run(rig);
	assert_int_equal(rig->events[EVENT(DRAINED)], 1);
	aero_virtio_balloon_host_inhibit(&rig->dev, 0);
	aero_virtio_balloon_host_settle(&rig->dev);
	assert_int_equal(rig->host.discards, 0);
	assert_int_equal(aero_ledger_pending(&rig->dev.ledger), 0);
	assert_int_equal(rig->dev.ledger.counters.dropped, 600);
	aero_virtio_balloon_host_resume(&rig->dev);
	balloon_rig_run(rig);
	balloon_rig_check(rig);
}

static void test_pause_drains_with_parts_of_huge_pages_pending(void **state)
{
	struct balloon_rig *rig = *state;

	balloon_rig_inflate(rig, 0, 600);
	aero_virtio_balloon_host_quiesce(&rig->dev);
	balloon_rig_run(rig);
	assert_int_equal(rig->events[EVENT(DRAINED)], 1);
	assert_int_equal(aero_ledger_pending(&rig->dev.ledger), 88);
	assert_at_rest(rig);
	aero_virtio_balloon_host_resume(&rig->dev);
	balloon_rig_inflate(rig, 600, 424);
	assert_int_equal(case_discarded(rig, 0, 1024), 1024);
}

static void test_pause_without_a_driver_is_at_rest(void **state)
{
	struct balloon_rig *rig = *state;

	aero_virtio_balloon_host_quiesce(&rig->dev);
	balloon_rig_run(rig);
	assert_int_equal(rig->events[EVENT(DRAINED)], 1);
}

static void test_inhibit_answers_and_keeps_memory(void **state)
{
	struct balloon_rig *rig = *state;
	struct aero_range range = { 4096, 512 };

	aero_virtio_balloon_host_inhibit(&rig->dev,
					 AERO_INHIBIT_OPERATOR | AERO_INHIBIT_PASSTHROUGH);
	balloon_rig_inflate(rig, 0, 1000);
	assert_true(balloon_rig_send_ranges(rig, 4, &range, 1));
	balloon_rig_kick(rig, 4);
	case_pass(rig, AERO_LEDGER_IDLE_NS_DEFAULT);
	assert_int_equal(rig->host.discards, 0);
	assert_int_equal(rig->answers[4], 1);
	assert_int_equal(rig->dev.counters.inhibited_frames, 1000);
	assert_int_equal(rig->dev.counters.report_skipped_ranges, 1);
	assert_int_equal(case_report(rig).inhibited, 3);
	/* Two reasons: one less is not enough. */
	aero_virtio_balloon_host_inhibit(&rig->dev, AERO_INHIBIT_PASSTHROUGH);
	balloon_rig_run(rig);
	assert_int_equal(rig->host.discards, 0);
	aero_virtio_balloon_host_inhibit(&rig->dev, 0);
	balloon_rig_run(rig);
	if (case_report(rig).mode == AERO_DISCARD_COLLECT) {
		assert_int_equal(case_discarded(rig, 0, 1000), 1000);
	} else {
		/* The guest may use the frames by now. */
		assert_int_equal(rig->host.discards, 0);
		assert_int_equal(rig->dev.ledger.counters.dropped, 1000);
	}
}

/* Inhibited means no call at all, also where there is no memory to remember frames by. */
static void test_inhibit_without_memory_discards_nothing(void **state)
{
	struct balloon_rig *rig = *state;

	balloon_rig_inflate(rig, 0, 512);
	aero_virtio_balloon_host_inhibit(&rig->dev, AERO_INHIBIT_OPERATOR);
	rig->host.discards = 0;
	host_double_fail(&rig->host, HOST_DOUBLE_NODE, 1, true);
	balloon_rig_inflate(rig, 1024, 512);
	assert_int_equal(rig->host.discards, 0);
	assert_int_equal(rig->dev.ledger.counters.dropped, 512);
}

static void reset_at(const struct balloon_rig_options *options, unsigned int step, bool *out_over)
{
	struct balloon_rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	balloon_rig_open(rig, options);
	balloon_rig_connect(rig);
	case_target(rig, 4000);
	send_scenario(rig);
	for (unsigned int i = 0; i < step; i++)
		*out_over = balloon_rig_step(rig) > rig->now;
	balloon_rig_reset(rig);
	assert_int_equal(aero_ledger_held(&rig->dev.ledger), 0);
	assert_int_equal(case_config(rig, 0), 4000);
	assert_int_equal(case_config(rig, 4), 0);
	/* Nothing of before is touched any more, with or without another driver. */
	case_pass(rig, AERO_LEDGER_IDLE_NS_DEFAULT);
	balloon_rig_check(rig);
	balloon_rig_connect(rig);
	case_pass(rig, AERO_LEDGER_IDLE_NS_DEFAULT);
	memset(&rig->dev.ledger.counters, 0, sizeof(rig->dev.ledger.counters));
	memset(&rig->dev.counters, 0, sizeof(rig->dev.counters));
	send_scenario(rig);
	balloon_rig_run(rig);
	assert_scenario(rig);
	balloon_rig_close(rig);
	free(rig);
}

static void test_reset_at_every_step_leaves_nothing_behind(void **state)
{
	bool is_over = false;

	for (unsigned int step = 0; !is_over; step++)
		reset_at(*state, step, &is_over);
}

static void detach_at(const struct balloon_rig_options *options, unsigned int step, bool *out_over)
{
	struct balloon_rig *rig = calloc(1, sizeof(*rig));
	uint64_t discards;

	assert_non_null(rig);
	balloon_rig_open(rig, options);
	balloon_rig_connect(rig);
	send_scenario(rig);
	for (unsigned int i = 0; i < step; i++)
		*out_over = balloon_rig_step(rig) > rig->now;
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		balloon_rig_stop_ring(rig, i);
	aero_virtio_balloon_host_detach(&rig->dev);
	balloon_rig_check(rig);
	assert_false(case_report(rig).is_live);
	discards = rig->host.discards;
	assert_at_rest(rig);
	assert_int_equal(rig->host.discards, discards);
	/* The front end comes back with the same driver: the same features, the same rings. */
	balloon_rig_connect(rig);
	balloon_rig_run(rig);
	case_pass(rig, AERO_LEDGER_IDLE_NS_DEFAULT);
	balloon_rig_check(rig);
	assert_int_equal(rig->dev.ledger.counters.given, 3710);
	assert_int_equal(rig->dev.ledger.counters.given_twice, 0);
	assert_int_equal(rig->in_flight, 1);
	balloon_rig_close(rig);
	free(rig);
}

static void test_detach_at_every_step_keeps_the_balloon(void **state)
{
	bool is_over = false;

	for (unsigned int step = 0; !is_over; step++)
		detach_at(*state, step, &is_over);
}

static void test_forget_after_detach_gives_all_frames_back(void **state)
{
	struct balloon_rig *rig = *state;

	balloon_rig_inflate(rig, 0, 700);
	aero_virtio_balloon_host_detach(&rig->dev);
	assert_int_equal(aero_ledger_held(&rig->dev.ledger), 700);
	assert_int_equal(aero_ledger_pending(&rig->dev.ledger), 188);
	aero_virtio_balloon_host_forget(&rig->dev);
	balloon_rig_forget(rig);
	assert_int_equal(aero_ledger_held(&rig->dev.ledger), 0);
	balloon_rig_connect(rig);
	case_pass(rig, AERO_LEDGER_IDLE_NS_DEFAULT);
	assert_int_equal(rig->host.discarded_frames, 512);
	balloon_rig_check(rig);
}

/* The next driver promises less: what waits under the old promise is given up. */
static void test_features_without_the_promise_drop_what_waits(void **state)
{
	struct balloon_rig *rig = *state;
	struct aero_range all = { 0, BALLOON_RIG_FRAMES };

	balloon_rig_inflate(rig, 0, 700);
	aero_virtio_balloon_host_detach(&rig->dev);
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		rig->has_ring[i] = false;
		virtio_driver_fini(&rig->drv[i]);
	}
	rig->options.refused = FEATURE(MUST_TELL_HOST);
	host_double_clear(&rig->host, all, HOST_DOUBLE_MAY);
	balloon_rig_connect(rig);
	assert_int_equal(case_report(rig).mode, AERO_DISCARD_REQUEST);
	assert_int_equal(aero_ledger_pending(&rig->dev.ledger), 0);
	assert_int_equal(rig->dev.ledger.counters.dropped, 188);
	balloon_rig_inflate(rig, 3000, 10);
	assert_int_equal(rig->host.discarded_frames, 522);
}

/* A request that is longer than a stop waits for goes back; what is left of it is not discarded. */
static void test_endless_request_is_put_back_when_the_ring_stops(void **state)
{
	struct balloon_rig *rig = *state;
	uint32_t count = 4200 * AERO_VIRTIO_BALLOON_CHUNK;
	uint32_t *frames = malloc((size_t)count * 4);

	assert_non_null(frames);
	for (uint32_t i = 0; i < count; i++)
		frames[i] = i % 3000;
	/* Named too often for the rig to count: all may be discarded until it is answered. */
	assert_true(balloon_rig_send_frames(rig, INFLATE, frames, count, 0));
	free(frames);
	balloon_rig_kick(rig, INFLATE);
	balloon_rig_step(rig);
	balloon_rig_stop_ring(rig, INFLATE);
	assert_int_equal(rig->answers[INFLATE], 0);
	assert_int_equal(aero_ledger_pending(&rig->dev.ledger), 0);
	assert_int_equal(aero_ledger_held(&rig->dev.ledger), 3000);
	assert_int_equal(aero_virtio_balloon_host_validate(&rig->dev), AERO_OK);
	balloon_rig_start_ring(rig, INFLATE);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[INFLATE], 1);
}

int main(void)
{
	static struct balloon_rig_options usual;
	static struct balloon_rig_options request = { .refused = FEATURE(MUST_TELL_HOST) };
	static struct balloon_rig_options huge = { .backing = { 9, 9 } };
	static struct balloon_rig_options endless = { .refused = FEATURE(MUST_TELL_HOST),
						      .data_bytes = 1 << 24 };
	static struct balloon_rig_options packed = {
		.offered = FEATURES_USUAL | TRANSPORT(EVENT_IDX) | TRANSPORT(RING_PACKED),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_pause_at_every_step_is_at_rest_and_resume_finishes,
					  &usual),
		cmocka_unit_test_prestate(test_pause_at_every_step_is_at_rest_and_resume_finishes,
					  &request),
		cmocka_unit_test_prestate(test_pause_at_every_step_is_at_rest_and_resume_finishes,
					  &packed),
		CASE(test_pause_begins_nothing_new, NULL),
		CASE(test_pause_twice_is_told_twice, NULL),
		CASE(test_pause_while_inhibited_drains_with_frames_pending, NULL),
		CASE(test_settle_at_rest_discards_nothing, NULL),
		CASE(test_pause_drains_with_parts_of_huge_pages_pending, &huge),
		CASE_OPEN(test_pause_without_a_driver_is_at_rest, NULL),
		CASE(test_inhibit_answers_and_keeps_memory, NULL),
		CASE(test_inhibit_answers_and_keeps_memory, &request),
		CASE(test_inhibit_without_memory_discards_nothing, NULL),
		cmocka_unit_test_prestate(test_reset_at_every_step_leaves_nothing_behind, &usual),
		cmocka_unit_test_prestate(test_reset_at_every_step_leaves_nothing_behind, &request),
		cmocka_unit_test_prestate(test_detach_at_every_step_keeps_the_balloon, &usual),
		cmocka_unit_test_prestate(test_detach_at_every_step_keeps_the_balloon, &packed),
		CASE(test_forget_after_detach_gives_all_frames_back, NULL),
		CASE(test_features_without_the_promise_drop_what_waits, NULL),
		CASE(test_endless_request_is_put_back_when_the_ring_stops, &endless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
