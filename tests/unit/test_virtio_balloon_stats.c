/* SPDX-License-Identifier: MIT */
/* The statistics queue: what a buffer says, and when the device holds it. */
#include "test_virtio_balloon_case.h"

static const struct aero_virtio_balloon_stats *stats(const struct balloon_rig *rig)
{
	return aero_virtio_balloon_host_stats(&rig->dev);
}

static void send_stats(struct balloon_rig *rig, const uint64_t (*entries)[2], uint32_t count)
{
	assert_true(balloon_rig_send_stats(rig, entries, count));
	balloon_rig_kick(rig, 2);
	balloon_rig_run(rig);
}

static void test_stats_before_any_buffer_are_none(void **state)
{
	struct balloon_rig *rig = *state;

	assert_int_equal(stats(rig)->known, 0);
	assert_int_equal(stats(rig)->time_ns, 0);
	assert_int_equal(stats(rig)->sequence, 0);
}

static void test_stats_of_all_tags_in_any_order(void **state)
{
	struct balloon_rig *rig = *state;
	uint64_t entries[16][2];

	for (uint64_t i = 0; i < 16; i++) {
		entries[i][0] = (i * 7 + 3) % 16;
		entries[i][1] = 0x1122334455660000ull + entries[i][0];
	}
	rig->now += 5;
	send_stats(rig, entries, 16);
	assert_int_equal(stats(rig)->known, 0xffff);
	for (uint64_t tag = 0; tag < 16; tag++)
		assert_int_equal(stats(rig)->value[tag], 0x1122334455660000ull + tag);
	assert_int_equal(stats(rig)->time_ns, rig->now);
	assert_int_equal(stats(rig)->sequence, 1);
	assert_int_equal(rig->events[EVENT(STATS)], 1);
	/* The device keeps the buffer until it wants another. */
	assert_int_equal(rig->answers[2], 0);
}

static void test_stats_absent_is_not_zero(void **state)
{
	static const uint64_t first[][2] = { { 4, 0 }, { 5, 99 } };
	static const uint64_t second[][2] = { { 5, 98 } };
	struct balloon_rig *rig = *state;

	send_stats(rig, first, 2);
	assert_int_equal(stats(rig)->known, 1u << 4 | 1u << 5);
	assert_int_equal(stats(rig)->value[4], 0);
	aero_virtio_balloon_host_request_stats(&rig->dev);
	balloon_rig_run(rig);
	send_stats(rig, second, 1);
	assert_int_equal(stats(rig)->known, 1u << 5);
	assert_int_equal(stats(rig)->value[5], 98);
}

static void test_stats_unknown_tags_are_kept_by_number(void **state)
{
	static const uint64_t entries[][2] = { { 16, 1 }, { 4, 7 }, { 65535, UINT64_MAX } };
	struct balloon_rig *rig = *state;

	send_stats(rig, entries, 3);
	assert_int_equal(stats(rig)->known, 1u << 4);
	assert_int_equal(stats(rig)->unknown_count, 2);
	assert_int_equal(stats(rig)->unknown[0].tag, 16);
	assert_int_equal(stats(rig)->unknown[0].value, 1);
	assert_int_equal(stats(rig)->unknown[1].tag, 65535);
	assert_int_equal(stats(rig)->unknown[1].value, UINT64_MAX);
}

static void test_stats_too_many_unknown_are_counted(void **state)
{
	struct balloon_rig *rig = *state;
	uint64_t entries[40][2];

	for (uint64_t i = 0; i < 40; i++) {
		entries[i][0] = i < 39 ? 100 + i : 6;
		entries[i][1] = i;
	}
	send_stats(rig, entries, 40);
	assert_int_equal(stats(rig)->unknown_count, AERO_VIRTIO_BALLOON_STATS_UNKNOWN);
	assert_int_equal(stats(rig)->unknown[15].tag, 115);
	assert_int_equal(rig->dev.counters.stats_unknown_dropped, 39 - 16);
	assert_int_equal(stats(rig)->value[6], 39);
}

static void test_stats_of_an_empty_buffer_are_none(void **state)
{
	static const uint64_t entries[][2] = { { 4, 5 } };
	struct balloon_rig *rig = *state;

	send_stats(rig, entries, 1);
	aero_virtio_balloon_host_request_stats(&rig->dev);
	balloon_rig_run(rig);
	send_stats(rig, entries, 0);
	assert_int_equal(stats(rig)->known, 0);
	assert_int_equal(stats(rig)->sequence, 2);
}

/* A part of an entry at the end is none; 6 bytes an entry, as one sentence says, would be more. */
static void test_stats_ragged_end_is_ignored(void **state)
{
	static const uint8_t bytes[29] = { 4, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 2, 0, 0,
					   0, 0, 0, 0, 0, 6, 0, 3, 0, 0, 0, 0, 0, 0 };
	struct balloon_rig *rig = *state;

	assert_true(balloon_rig_send(rig, 2, bytes, sizeof(bytes), 7));
	balloon_rig_kick(rig, 2);
	balloon_rig_run(rig);
	assert_int_equal(stats(rig)->known, 1u << 4 | 1u << 5);
	assert_int_equal(stats(rig)->value[5], 2);
}

/* A length that the guest chose: what does not fit is not read. */
static void test_stats_of_an_oversized_buffer_are_cut(void **state)
{
	struct balloon_rig *rig = *state;
	uint8_t *bytes = calloc(1, 1 << 20);

	assert_non_null(bytes);
	for (uint32_t i = 0; i < (1 << 20) / 10; i++)
		bytes[10 * i] = (uint8_t)(i % 20);
	assert_true(balloon_rig_send(rig, 2, bytes, 1 << 20, 4096));
	free(bytes);
	balloon_rig_kick(rig, 2);
	balloon_rig_run(rig);
	assert_int_equal(stats(rig)->known, 0xffff);
	assert_int_equal(stats(rig)->unknown_count, AERO_VIRTIO_BALLOON_STATS_UNKNOWN);
	aero_virtio_balloon_host_request_stats(&rig->dev);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[2], 1);
}

static void test_stats_same_tag_twice_last_counts(void **state)
{
	static const uint64_t entries[][2] = { { 4, 5 }, { 4, 6 } };
	struct balloon_rig *rig = *state;

	send_stats(rig, entries, 2);
	assert_int_equal(stats(rig)->value[4], 6);
}

static void test_second_buffer_returns_the_older(void **state)
{
	static const uint64_t first[][2] = { { 4, 5 } };
	static const uint64_t second[][2] = { { 4, 6 } };
	struct balloon_rig *rig = *state;

	send_stats(rig, first, 1);
	send_stats(rig, second, 1);
	assert_int_equal(rig->answers[2], 1);
	assert_int_equal(rig->dev.counters.stats_extra_buffers, 1);
	assert_int_equal(stats(rig)->value[4], 6);
	aero_virtio_balloon_host_request_stats(&rig->dev);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[2], 2);
	assert_int_equal(rig->in_flight, 0);
}

static void test_legacy_first_buffer_is_ignored(void **state)
{
	static const uint64_t junk[][2] = { { 4, 0xdead } };
	static const uint64_t good[][2] = { { 4, 6 } };
	struct balloon_rig *rig = *state;

	send_stats(rig, junk, 1);
	assert_int_equal(stats(rig)->known, 0);
	assert_int_equal(rig->events[EVENT(STATS)], 0);
	assert_int_equal(aero_virtio_balloon_host_request_stats(&rig->dev), AERO_OK);
	balloon_rig_run(rig);
	send_stats(rig, good, 1);
	assert_int_equal(stats(rig)->value[4], 6);
	/* After a reset it is another driver. */
	balloon_rig_reset(rig);
	balloon_rig_connect(rig);
	send_stats(rig, junk, 1);
	assert_int_equal(stats(rig)->known, 0);
}

static void test_request_answers_with_the_held_buffer(void **state)
{
	static const uint64_t entries[][2] = { { 4, 5 } };
	struct balloon_rig *rig = *state;

	send_stats(rig, entries, 1);
	for (uint64_t i = 1; i <= 5; i++) {
		assert_int_equal(aero_virtio_balloon_host_request_stats(&rig->dev), AERO_OK);
		balloon_rig_poll(rig);
		assert_int_equal(rig->answers[2], i);
		assert_int_equal(rig->last_used_len, 0);
		send_stats(rig, entries, 1);
		assert_int_equal(stats(rig)->sequence, i + 1);
	}
	assert_int_equal(rig->dev.counters.stats_requests, 5);
}

static void test_request_without_a_buffer_is_kept(void **state)
{
	static const uint64_t entries[][2] = { { 4, 5 } };
	struct balloon_rig *rig = *state;

	assert_int_equal(aero_virtio_balloon_host_request_stats(&rig->dev), AERO_EAGAIN);
	send_stats(rig, entries, 1);
	/* The buffer that came is older than the request: it goes back for fresh numbers. */
	assert_int_equal(rig->answers[2], 1);
	send_stats(rig, entries, 1);
	assert_int_equal(rig->answers[2], 1);
	assert_int_equal(stats(rig)->sequence, 2);
}

static void test_request_while_paused_is_kept(void **state)
{
	static const uint64_t entries[][2] = { { 4, 5 } };
	struct balloon_rig *rig = *state;

	send_stats(rig, entries, 1);
	aero_virtio_balloon_host_quiesce(&rig->dev);
	balloon_rig_run(rig);
	assert_int_equal(aero_virtio_balloon_host_request_stats(&rig->dev), AERO_EAGAIN);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[2], 0);
	aero_virtio_balloon_host_resume(&rig->dev);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[2], 1);
}

static void test_request_needs_a_driver_and_the_feature(void **state)
{
	struct balloon_rig *rig = *state;

	assert_int_equal(aero_virtio_balloon_host_request_stats(&rig->dev), AERO_ESTATE);
	rig->options.refused = FEATURE(STATS_VQ);
	balloon_rig_connect(rig);
	assert_int_equal(aero_virtio_balloon_host_request_stats(&rig->dev), AERO_ENOTSUP);
}

/* As Linux does: the buffer and its kick come before DRIVER_OK. */
static void test_early_kick_is_kept(void **state)
{
	static const uint64_t entries[][2] = { { 4, 5 } };
	struct balloon_rig *rig = *state;

	balloon_rig_accept(rig);
	balloon_rig_start_ring(rig, 2);
	send_stats(rig, entries, 1);
	assert_int_equal(stats(rig)->known, 0);
	balloon_rig_live(rig);
	balloon_rig_run(rig);
	assert_int_equal(stats(rig)->value[4], 5);
}

/* The ring is found as if the buffer had never been taken, so another device may take it. */
static void test_held_buffer_goes_back_when_the_ring_stops(void **state)
{
	static const uint64_t entries[][2] = { { 4, 5 } };
	struct balloon_rig *rig = *state;
	uint32_t base = rig->drv[2].ring.base;

	send_stats(rig, entries, 1);
	balloon_rig_stop_ring(rig, 2);
	assert_int_equal(rig->drv[2].ring.base, base);
	assert_int_equal(rig->answers[2], 0);
	assert_int_equal(aero_virtio_balloon_host_request_stats(&rig->dev), AERO_EAGAIN);
	balloon_rig_start_ring(rig, 2);
	balloon_rig_run(rig);
	assert_int_equal(stats(rig)->sequence, 2);
	assert_int_equal(rig->answers[2], 1);
}

static void test_held_buffer_stays_while_the_ring_is_disabled(void **state)
{
	static const uint64_t entries[][2] = { { 4, 5 } };
	struct balloon_rig *rig = *state;

	send_stats(rig, entries, 1);
	aero_virtio_balloon_host_queue_enable(&rig->dev, 2, false);
	assert_int_equal(aero_virtio_balloon_host_request_stats(&rig->dev), AERO_EAGAIN);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[2], 0);
	aero_virtio_balloon_host_queue_enable(&rig->dev, 2, true);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[2], 1);
	assert_int_equal(stats(rig)->sequence, 1);
}

static void test_stats_are_forgotten_with_the_driver(void **state)
{
	static const uint64_t entries[][2] = { { 4, 5 } };
	struct balloon_rig *rig = *state;

	send_stats(rig, entries, 1);
	balloon_rig_reset(rig);
	assert_int_equal(stats(rig)->known, 0);
	assert_int_equal(stats(rig)->time_ns, 0);
}

static void test_names_of_tags(void **state)
{
	(void)state;
	for (uint16_t tag = 0; tag < 16; tag++)
		assert_non_null(aero_virtio_balloon_stat_name(tag));
	assert_string_equal(aero_virtio_balloon_stat_name(4), "free-memory");
	assert_string_equal(aero_virtio_balloon_stat_name(10), "oom-kills");
	assert_null(aero_virtio_balloon_stat_name(16));
	assert_null(aero_virtio_balloon_stat_name(65535));
	assert_true(aero_virtio_balloon_stat_is_bytes(0));
	assert_false(aero_virtio_balloon_stat_is_bytes(2));
	assert_false(aero_virtio_balloon_stat_is_bytes(8));
	assert_true(aero_virtio_balloon_stat_is_bytes(12));
	assert_false(aero_virtio_balloon_stat_is_bytes(11));
	assert_false(aero_virtio_balloon_stat_is_bytes(400));
}

int main(void)
{
	static struct balloon_rig_options big = { .offered =
							  FEATURES_ALL | TRANSPORT(INDIRECT_DESC),
						  .is_big_endian = true };
	static struct balloon_rig_options legacy = { .offered = FEATURES_ALL |
								TRANSPORT(INDIRECT_DESC) };
	static struct balloon_rig_options packed = {
		.offered = FEATURES_USUAL | TRANSPORT(RING_PACKED),
		.ring_size = 3,
	};
	static struct balloon_rig_options roomy = { .data_bytes = 1 << 21 };
	static struct balloon_rig_options modern_big = { .is_big_endian = true };
	const struct CMUnitTest tests[] = {
		CASE(test_stats_before_any_buffer_are_none, NULL),
		CASE(test_stats_of_all_tags_in_any_order, NULL),
		CASE(test_stats_of_all_tags_in_any_order, &modern_big),
		CASE(test_stats_of_all_tags_in_any_order, &packed),
		CASE(test_stats_absent_is_not_zero, NULL),
		CASE(test_stats_unknown_tags_are_kept_by_number, NULL),
		CASE(test_stats_too_many_unknown_are_counted, NULL),
		CASE(test_stats_of_an_empty_buffer_are_none, NULL),
		CASE(test_stats_ragged_end_is_ignored, NULL),
		CASE(test_stats_of_an_oversized_buffer_are_cut, &roomy),
		CASE(test_stats_same_tag_twice_last_counts, NULL),
		CASE(test_second_buffer_returns_the_older, NULL),
		CASE(test_second_buffer_returns_the_older, &packed),
		CASE(test_legacy_first_buffer_is_ignored, &legacy),
		CASE(test_legacy_first_buffer_is_ignored, &big),
		CASE(test_request_answers_with_the_held_buffer, NULL),
		CASE(test_request_answers_with_the_held_buffer, &packed),
		CASE(test_request_without_a_buffer_is_kept, NULL),
		CASE(test_request_while_paused_is_kept, NULL),
		CASE_OPEN(test_request_needs_a_driver_and_the_feature, NULL),
		CASE_OPEN(test_early_kick_is_kept, NULL),
		CASE(test_held_buffer_goes_back_when_the_ring_stops, NULL),
		CASE(test_held_buffer_goes_back_when_the_ring_stops, &packed),
		CASE(test_held_buffer_stays_while_the_ring_is_disabled, NULL),
		CASE(test_stats_are_forgotten_with_the_driver, NULL),
		cmocka_unit_test(test_names_of_tags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
