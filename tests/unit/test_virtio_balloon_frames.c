/* SPDX-License-Identifier: MIT */
/* Inflate and deflate: any length, any cut, what is discarded and when. */
#include "test_virtio_balloon_case.h"

#include "support/random.h"

#define MANY 100000

static const size_t sizes[] = { 0, 1, 255, 256, 257, 511, 512, 513, 1024 };

static void test_requests_of_every_size_are_answered(void **state)
{
	struct balloon_rig *rig = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		balloon_rig_inflate(rig, 100, sizes[i]);
		assert_int_equal(rig->last_used_len, 0);
		balloon_rig_check(rig);
		assert_int_equal(rig->held, sizes[i]);
		balloon_rig_deflate(rig, 100, sizes[i]);
		assert_int_equal(rig->last_used_len, 0);
		balloon_rig_check(rig);
		assert_int_equal(rig->held, 0);
		assert_int_equal(rig->dev.counters.inflate_requests, i + 1);
		assert_int_equal(rig->dev.counters.deflate_requests, i + 1);
	}
	assert_int_equal(rig->dev.counters.inflate_frames, rig->dev.ledger.counters.given);
	assert_int_equal(rig->dev.counters.deflate_frames, rig->dev.ledger.counters.returned);
}

/* The number of buffers, and where they are cut, means nothing. */
static void test_requests_cut_anywhere_are_the_same(void **state)
{
	static const uint32_t cuts[] = { 1, 2, 3, 5, 7, 13, 64, 333, 1021, 4096 };
	struct balloon_rig *rig = *state;
	uint32_t frames[700];

	for (uint32_t i = 0; i < 700; i++)
		frames[i] = (i * 37) % 2000;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(cuts); i++) {
		assert_true(balloon_rig_send_frames(rig, INFLATE, frames, 700, cuts[i]));
		balloon_rig_kick(rig, INFLATE);
		balloon_rig_run(rig);
		balloon_rig_check(rig);
		assert_int_equal(rig->held, 700);
		assert_true(balloon_rig_send_frames(rig, DEFLATE, frames, 700, cuts[i]));
		balloon_rig_kick(rig, DEFLATE);
		balloon_rig_run(rig);
		balloon_rig_check(rig);
		assert_int_equal(rig->held, 0);
	}
	assert_int_equal(rig->dev.counters.ragged_requests, 0);
}

static void test_request_of_100000_frames_is_served_in_pieces(void **state)
{
	struct balloon_rig *rig = *state;
	uint32_t *frames = malloc(MANY * 4);
	struct test_random random = { 7 };
	unsigned int steps;

	assert_non_null(frames);
	for (uint32_t i = 0; i < MANY; i++)
		frames[i] = i;
	for (uint32_t i = MANY - 1; i; i--) {
		uint32_t other = (uint32_t)test_random_below(&random, i + 1);
		uint32_t frame = frames[i];

		frames[i] = frames[other];
		frames[other] = frame;
	}
	assert_true(balloon_rig_send_frames(rig, INFLATE, frames, MANY, 1023));
	balloon_rig_kick(rig, INFLATE);
	steps = balloon_rig_run(rig);
	assert_int_equal(rig->answers[INFLATE], 1);
	assert_true(steps >= MANY / AERO_VIRTIO_BALLOON_CHUNK);
	balloon_rig_check(rig);
	assert_int_equal(rig->held, MANY);
	assert_int_equal(rig->dev.counters.inflate_frames, MANY);
	/* Whole blocks go out by themselves, however the frames were shuffled. */
	assert_int_equal(case_discarded(rig, 0, MANY), MANY / 512 * 512);
	assert_true(balloon_rig_send_frames(rig, DEFLATE, frames, MANY, 77777));
	balloon_rig_kick(rig, DEFLATE);
	balloon_rig_run(rig);
	balloon_rig_check(rig);
	assert_int_equal(rig->held, 0);
	free(frames);
}

/* One step is one piece: 512 frames, or one discard. */
static void test_step_does_a_bounded_piece_of_work(void **state)
{
	struct balloon_rig *rig = *state;
	uint64_t seen = 0;
	uint64_t discards = 0;
	uint64_t next = rig->now;

	balloon_rig_send_run(rig, INFLATE, 100, 20000);
	balloon_rig_send_run(rig, DEFLATE, 20100, 20000);
	while (next <= rig->now) {
		uint64_t frames;

		next = balloon_rig_step(rig);
		frames = rig->dev.counters.inflate_frames + rig->dev.counters.deflate_frames;
		assert_true(frames - seen <= AERO_VIRTIO_BALLOON_CHUNK);
		assert_true(rig->host.discards - discards <= 1);
		assert_true(rig->host.longest <= AERO_LEDGER_DISCARD_FRAMES);
		seen = frames;
		discards = rig->host.discards;
	}
	assert_int_equal(seen, 40000);
}

static void test_ragged_requests_are_counted_and_served(void **state)
{
	static const uint8_t bytes[] = { 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0 };
	struct balloon_rig *rig = *state;

	for (uint32_t len = 0; len <= sizeof(bytes); len++) {
		assert_true(balloon_rig_send(rig, DEFLATE, bytes, len, 3));
		balloon_rig_kick(rig, DEFLATE);
		balloon_rig_run(rig);
		assert_int_equal(rig->answers[DEFLATE], len + 1);
	}
	/* 1, 2, 3; 5, 6, 7; 9, 10, 11. */
	assert_int_equal(rig->dev.counters.ragged_requests, 9);
	assert_int_equal(rig->dev.counters.deflate_frames, 4 * 1 + 4 * 2);
}

/* Buffers the device could write are not part of a request. */
static void test_writable_buffers_are_not_read(void **state)
{
	struct balloon_rig *rig = *state;
	struct aero_range range = { BALLOON_RIG_DATA >> 12, 1 };

	assert_true(balloon_rig_send_ranges(rig, DEFLATE, &range, 1));
	balloon_rig_kick(rig, DEFLATE);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[DEFLATE], 1);
	assert_int_equal(rig->dev.counters.deflate_frames, 0);
}

static void test_frames_outside_memory_are_counted(void **state)
{
	static const uint32_t frames[] = { BALLOON_RIG_FRAMES, UINT32_MAX, 5, UINT32_MAX - 1, 0 };
	struct balloon_rig *rig = *state;

	assert_true(balloon_rig_send_frames(rig, INFLATE, frames, TEST_ARRAY_SIZE(frames), 0));
	balloon_rig_kick(rig, INFLATE);
	balloon_rig_run(rig);
	case_pass(rig, AERO_LEDGER_IDLE_NS_DEFAULT);
	assert_int_equal(rig->dev.ledger.counters.out_of_range, 3);
	assert_int_equal(rig->dev.ledger.counters.given, 2);
	balloon_rig_check(rig);
}

static void test_collect_answers_before_it_discards(void **state)
{
	struct balloon_rig *rig = *state;

	balloon_rig_inflate(rig, 0, 400);
	assert_int_equal(rig->host.discards, 0);
	balloon_rig_inflate(rig, 400, 400);
	assert_int_equal(rig->host.discards, 1);
	assert_int_equal(case_discarded(rig, 0, 512), 512);
}

static void test_collect_waits_for_idle_time_and_says_until_when(void **state)
{
	struct balloon_rig *rig = *state;

	balloon_rig_inflate(rig, 0, 400);
	assert_int_equal(balloon_rig_step(rig), rig->now + AERO_LEDGER_IDLE_NS_DEFAULT);
	case_pass(rig, AERO_LEDGER_IDLE_NS_DEFAULT - 1);
	assert_int_equal(rig->host.discards, 0);
	case_pass(rig, 1);
	assert_int_equal(case_discarded(rig, 0, 400), 400);
	assert_int_equal(balloon_rig_step(rig), AERO_NEVER);
}

static void test_collect_flushes_when_told(void **state)
{
	struct balloon_rig *rig = *state;

	balloon_rig_inflate(rig, 0, 400);
	aero_virtio_balloon_host_flush(&rig->dev);
	balloon_rig_run(rig);
	assert_int_equal(case_discarded(rig, 0, 400), 400);
	/* Told once, not for ever. */
	balloon_rig_inflate(rig, 1000, 5);
	assert_int_equal(case_discarded(rig, 1000, 5), 0);
}

static void test_collect_deflate_before_the_discard_costs_nothing(void **state)
{
	struct balloon_rig *rig = *state;

	balloon_rig_inflate(rig, 0, 500);
	balloon_rig_deflate(rig, 0, 500);
	case_pass(rig, AERO_LEDGER_IDLE_NS_DEFAULT);
	assert_int_equal(rig->host.discards, 0);
	assert_int_equal(rig->dev.ledger.counters.cancelled, 500);
}

/* Many requests in flight must not keep whole blocks from being discarded. */
static void test_collect_discards_under_load(void **state)
{
	struct balloon_rig *rig = *state;
	bool has_discarded_early = false;

	for (uint32_t i = 0; i < 100; i++)
		balloon_rig_send_run(rig, INFLATE, i * 256, 256);
	while (rig->answers[INFLATE] < 100) {
		balloon_rig_step(rig);
		has_discarded_early |= rig->host.discards > 0 && rig->answers[INFLATE] < 90;
	}
	assert_true(has_discarded_early);
}

/* Without MUST_TELL_HOST the guest may use a frame as soon as it is answered. */
static void test_request_mode_discards_before_the_answer(void **state)
{
	struct balloon_rig *rig = *state;

	balloon_rig_inflate(rig, 10, 300);
	assert_int_equal(case_discarded(rig, 10, 300), 300);
	assert_int_equal(rig->host.discards, 1);
	assert_int_equal(aero_ledger_pending(&rig->dev.ledger), 0);
	balloon_rig_inflate(rig, 5000, 20000);
	assert_int_equal(case_discarded(rig, 5000, 20000), 20000);
	assert_int_equal(rig->host.discards, 4);
	balloon_rig_check(rig);
}

static void test_request_mode_leaves_parts_of_huge_pages(void **state)
{
	struct balloon_rig *rig = *state;

	balloon_rig_inflate(rig, 100, 1000);
	assert_int_equal(rig->host.discarded_frames, 512);
	assert_int_equal(rig->dev.ledger.counters.dropped, 488);
	balloon_rig_inflate(rig, 0, 100);
	assert_int_equal(rig->host.discarded_frames, 512);
	balloon_rig_check(rig);
}

static void test_hugetlb_collects_pages_over_requests(void **state)
{
	struct balloon_rig *rig = *state;

	for (uint32_t first = 4096; first > 0; first -= 256)
		balloon_rig_inflate(rig, first - 200, 256);
	case_pass(rig, AERO_LEDGER_IDLE_NS_DEFAULT);
	assert_int_equal(rig->dev.ledger.counters.blocks_whole, 7);
	assert_int_equal(rig->dev.ledger.counters.blocks_split, 0);
	assert_int_equal(rig->host.discarded_frames, 7 * 512);
}

/* They wait for the rest of their page, not for a time: nobody is to wake up for them. */
static void test_hugetlb_parts_of_a_page_ask_for_no_step(void **state)
{
	struct balloon_rig *rig = *state;
	uint64_t due;

	balloon_rig_send_run(rig, INFLATE, 10, 100);
	do
		due = balloon_rig_step(rig);
	while (due == rig->now);
	assert_int_equal(due, rig->now + AERO_LEDGER_IDLE_NS_DEFAULT);
	rig->now = due + 1;
	assert_true(balloon_rig_step(rig) == AERO_NEVER);
	assert_int_equal(aero_ledger_pending(&rig->dev.ledger), 100);
	assert_int_equal(rig->host.discards, 0);
}

static void test_discard_failure_does_not_stop_the_guest(void **state)
{
	struct balloon_rig *rig = *state;

	host_double_fail(&rig->host, HOST_DOUBLE_DISCARD, 1, true);
	balloon_rig_inflate(rig, 0, 2000);
	case_pass(rig, AERO_LEDGER_IDLE_NS_DEFAULT);
	assert_true(rig->dev.ledger.counters.discard_failures > 0);
	assert_int_equal(rig->dev.ledger.counters.discard_freed_bytes, 0);
	balloon_rig_deflate(rig, 0, 2000);
	balloon_rig_check(rig);
}

struct trace {
	struct aero_range runs[8];
	unsigned int count;
	bool is_inflate;
};

static struct trace traced;

static void trace(void *ctx, bool is_inflate, struct aero_range run)
{
	(void)ctx;
	traced.is_inflate = is_inflate;
	if (traced.count < TEST_ARRAY_SIZE(traced.runs))
		traced.runs[traced.count++] = run;
}

static void test_trace_has_runs_as_sent_and_ends_requests(void **state)
{
	static const uint32_t frames[] = { 9, 8, 7, 100, 5000000 };
	static const struct aero_range want[] = { { 7, 3 }, { 100, 1 }, { 5000000, 1 }, { 0, 0 } };
	struct balloon_rig *rig = *state;

	memset(&traced, 0, sizeof(traced));
	rig->ops.trace = trace;
	assert_true(balloon_rig_send_frames(rig, INFLATE, frames, TEST_ARRAY_SIZE(frames), 0));
	balloon_rig_kick(rig, INFLATE);
	balloon_rig_run(rig);
	assert_int_equal(traced.count, TEST_ARRAY_SIZE(want));
	assert_true(traced.is_inflate);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(want); i++) {
		assert_int_equal(traced.runs[i].count, want[i].count);
		if (want[i].count)
			assert_int_equal(traced.runs[i].first, want[i].first);
	}
	case_pass(rig, AERO_LEDGER_IDLE_NS_DEFAULT);
}

int main(void)
{
	static struct balloon_rig_options many = { .frames = 1 << 17, .data_bytes = 1 << 20 };
	static struct balloon_rig_options huge = { .backing = { 9, 9 } };
	static struct balloon_rig_options request = { .mode = AERO_DISCARD_REQUEST,
						      .refused = FEATURE(MUST_TELL_HOST) };
	static struct balloon_rig_options refused = { .refused = FEATURE(MUST_TELL_HOST) };
	static struct balloon_rig_options huge_request = { .backing = { 9, 9 },
							   .refused = FEATURE(MUST_TELL_HOST) };
	static struct balloon_rig_options packed = {
		.offered = FEATURES_USUAL | TRANSPORT(EVENT_IDX) | TRANSPORT(RING_PACKED),
		.ring_size = 37,
	};
	/* A legacy driver of a big-endian guest; and one of a little-endian guest. */
	static struct balloon_rig_options big = { .offered =
							  FEATURES_ALL | TRANSPORT(INDIRECT_DESC),
						  .is_big_endian = true };
	static struct balloon_rig_options legacy = { .offered = FEATURES_ALL |
								TRANSPORT(INDIRECT_DESC) };
	/* Of a big-endian guest, but a modern driver: everything is little-endian again. */
	static struct balloon_rig_options modern_big = { .is_big_endian = true };
	const struct CMUnitTest tests[] = {
		CASE(test_requests_of_every_size_are_answered, NULL),
		CASE(test_requests_of_every_size_are_answered, &request),
		CASE(test_requests_of_every_size_are_answered, &packed),
		CASE(test_requests_of_every_size_are_answered, &big),
		CASE(test_requests_of_every_size_are_answered, &legacy),
		CASE(test_requests_of_every_size_are_answered, &modern_big),
		CASE(test_requests_cut_anywhere_are_the_same, NULL),
		CASE(test_requests_cut_anywhere_are_the_same, &request),
		CASE(test_requests_cut_anywhere_are_the_same, &big),
		CASE(test_request_of_100000_frames_is_served_in_pieces, &many),
		CASE(test_step_does_a_bounded_piece_of_work, &many),
		CASE(test_ragged_requests_are_counted_and_served, NULL),
		CASE(test_writable_buffers_are_not_read, NULL),
		CASE(test_frames_outside_memory_are_counted, NULL),
		CASE(test_frames_outside_memory_are_counted, &request),
		CASE(test_frames_outside_memory_are_counted, &big),
		CASE(test_collect_answers_before_it_discards, NULL),
		CASE(test_collect_waits_for_idle_time_and_says_until_when, NULL),
		CASE(test_collect_flushes_when_told, NULL),
		CASE(test_collect_deflate_before_the_discard_costs_nothing, NULL),
		CASE(test_collect_discards_under_load, NULL),
		CASE(test_request_mode_discards_before_the_answer, &refused),
		CASE(test_request_mode_discards_before_the_answer, &request),
		CASE(test_request_mode_leaves_parts_of_huge_pages, &huge_request),
		CASE(test_hugetlb_collects_pages_over_requests, &huge),
		CASE(test_hugetlb_parts_of_a_page_ask_for_no_step, &huge),
		CASE(test_discard_failure_does_not_stop_the_guest, NULL),
		CASE(test_discard_failure_does_not_stop_the_guest, &request),
		CASE(test_trace_has_runs_as_sent_and_ends_requests, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
