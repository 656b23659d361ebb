/* SPDX-License-Identifier: MIT */
/* Free memory outside the balloon: hints, which never discard, and reports, which do. */
#include "test_virtio_balloon_case.h"

#define HINTS 3
#define REPORTS 4

static void send_command(struct balloon_rig *rig, uint32_t command)
{
	uint32_t numbers[] = { command };

	assert_true(balloon_rig_send_frames(rig, HINTS, numbers, 1, 0));
	balloon_rig_kick(rig, HINTS);
	balloon_rig_run(rig);
}

static void send_hint(struct balloon_rig *rig, aero_frame first, uint64_t count)
{
	struct aero_range range = { first, count };

	assert_true(balloon_rig_send_ranges(rig, HINTS, &range, 1));
	balloon_rig_kick(rig, HINTS);
	balloon_rig_run(rig);
}

static uint32_t command(const struct balloon_rig *rig)
{
	return case_report(rig).hint_command;
}

static enum aero_hint_state hint_state(const struct balloon_rig *rig)
{
	return case_report(rig).hint_state;
}

static uint32_t start_round(struct balloon_rig *rig)
{
	assert_int_equal(aero_virtio_balloon_host_hint_start(&rig->dev), AERO_OK);
	assert_true(command(rig) >= 2);
	assert_int_equal(case_config(rig, 8), command(rig));
	send_command(rig, command(rig));
	return command(rig);
}

static void test_hint_round_from_start_to_done(void **state)
{
	struct balloon_rig *rig = *state;
	uint64_t notices = rig->config_notified;

	assert_int_equal(aero_virtio_balloon_host_hint_start(&rig->dev), AERO_OK);
	assert_int_equal(hint_state(rig), AERO_HINT_REQUESTED);
	assert_int_equal(rig->config_notified, notices + 1);
	send_command(rig, command(rig));
	assert_int_equal(hint_state(rig), AERO_HINT_ACTIVE);
	send_hint(rig, 1024, 1024);
	assert_int_equal(rig->hints, 1);
	assert_int_equal(rig->last_hint.first, 1024);
	assert_int_equal(rig->last_hint.count, 1024);
	assert_int_equal(rig->dev.counters.hint_bytes, 1024 * 4096);
	send_command(rig, 0);
	assert_int_equal(hint_state(rig), AERO_HINT_ENDED);
	assert_int_equal(aero_virtio_balloon_host_hint_stop(&rig->dev), AERO_OK);
	assert_int_equal(case_config(rig, 8), 0);
	assert_int_equal(hint_state(rig), AERO_HINT_STOPPED);
	assert_int_equal(aero_virtio_balloon_host_hint_done(&rig->dev), AERO_OK);
	assert_int_equal(case_config(rig, 8), 1);
	assert_int_equal(hint_state(rig), AERO_HINT_DONE);
	assert_int_equal(rig->events[EVENT(HINT)], 5);
	assert_int_equal(rig->host.discards, 0);
	assert_int_equal(rig->in_flight, 0);
}

static void test_hint_ids_are_never_used_again(void **state)
{
	struct balloon_rig *rig = *state;
	uint32_t last = 0;

	for (int i = 0; i < 5; i++) {
		uint32_t id = start_round(rig);

		assert_true(id > last);
		last = id;
		assert_int_equal(aero_virtio_balloon_host_hint_stop(&rig->dev), AERO_OK);
	}
	/* Not even by another driver. */
	balloon_rig_reset(rig);
	balloon_rig_connect(rig);
	assert_true(start_round(rig) > last);
}

static void test_hint_id_wraps_past_the_reserved_ones(void **state)
{
	struct balloon_rig *rig = *state;

	rig->dev.hint_command = UINT32_MAX;
	assert_int_equal(start_round(rig), 2);
}

static void test_hints_of_no_round_are_ignored(void **state)
{
	struct balloon_rig *rig = *state;
	uint32_t id;

	send_hint(rig, 0, 512);
	assert_int_equal(aero_virtio_balloon_host_hint_start(&rig->dev), AERO_OK);
	/* The driver has not said yet that it means this round. */
	send_hint(rig, 0, 512);
	id = command(rig);
	send_command(rig, id - 1);
	send_hint(rig, 0, 512);
	send_command(rig, id);
	send_hint(rig, 0, 512);
	assert_int_equal(rig->hints, 1);
	assert_int_equal(aero_virtio_balloon_host_hint_stop(&rig->dev), AERO_OK);
	send_hint(rig, 0, 512);
	assert_int_equal(aero_virtio_balloon_host_hint_start(&rig->dev), AERO_OK);
	send_command(rig, id);
	send_hint(rig, 0, 512);
	assert_int_equal(rig->hints, 1);
	assert_int_equal(rig->dev.counters.hint_stale_buffers, 5);
	assert_int_equal(rig->in_flight, 0);
}

static void test_hint_round_restarted_in_the_middle(void **state)
{
	struct balloon_rig *rig = *state;
	uint32_t id = start_round(rig);

	send_hint(rig, 0, 512);
	assert_int_equal(aero_virtio_balloon_host_hint_start(&rig->dev), AERO_ESTATE);
	assert_int_equal(aero_virtio_balloon_host_hint_stop(&rig->dev), AERO_OK);
	assert_int_equal(aero_virtio_balloon_host_hint_stop(&rig->dev), AERO_ESTATE);
	assert_true(start_round(rig) > id);
	assert_int_equal(rig->dev.counters.hint_bytes, 0);
	send_hint(rig, 512, 512);
	assert_int_equal(rig->hints, 2);
	/* Done ends a running round as well. */
	assert_int_equal(aero_virtio_balloon_host_hint_done(&rig->dev), AERO_OK);
	send_hint(rig, 1024, 512);
	assert_int_equal(rig->hints, 2);
	assert_int_equal(rig->host.discards, 0);
}

static void test_hint_after_the_end_of_a_round_another_begins(void **state)
{
	struct balloon_rig *rig = *state;

	start_round(rig);
	send_command(rig, 0);
	assert_int_equal(hint_state(rig), AERO_HINT_ENDED);
	assert_int_equal(aero_virtio_balloon_host_hint_start(&rig->dev), AERO_OK);
	assert_int_equal(hint_state(rig), AERO_HINT_REQUESTED);
}

static void test_hint_needs_a_driver_and_the_feature(void **state)
{
	struct balloon_rig *rig = *state;

	assert_int_equal(aero_virtio_balloon_host_hint_start(&rig->dev), AERO_ESTATE);
	assert_int_equal(aero_virtio_balloon_host_hint_stop(&rig->dev), AERO_ESTATE);
	assert_int_equal(aero_virtio_balloon_host_hint_done(&rig->dev), AERO_ESTATE);
	rig->options.refused = FEATURE(FREE_PAGE_HINT);
	balloon_rig_connect(rig);
	assert_int_equal(aero_virtio_balloon_host_hint_start(&rig->dev), AERO_ENOTSUP);
	assert_int_equal(aero_virtio_balloon_host_hint_stop(&rig->dev), AERO_ENOTSUP);
	assert_int_equal(aero_virtio_balloon_host_hint_done(&rig->dev), AERO_ENOTSUP);
}

static void test_hint_outside_memory_is_ignored(void **state)
{
	struct balloon_rig *rig = *state;

	start_round(rig);
	send_hint(rig, BALLOON_RIG_FRAMES - 1, 2);
	send_hint(rig, BALLOON_RIG_FRAMES, 512);
	assert_int_equal(rig->hints, 0);
	assert_int_equal(rig->dev.counters.hint_stale_buffers, 2);
	assert_int_equal(rig->dev.ledger.counters.out_of_range, 0);
}

/* A command shorter than 4 bytes is none, one that is longer has 4. */
static void test_hint_command_of_odd_length(void **state)
{
	struct balloon_rig *rig = *state;
	uint8_t bytes[8] = { 0 };

	assert_int_equal(aero_virtio_balloon_host_hint_start(&rig->dev), AERO_OK);
	bytes[0] = (uint8_t)command(rig);
	for (uint32_t len = 0; len < 4; len++) {
		assert_true(balloon_rig_send(rig, HINTS, bytes, len, 0));
		balloon_rig_kick(rig, HINTS);
		balloon_rig_run(rig);
		assert_int_equal(hint_state(rig), AERO_HINT_REQUESTED);
	}
	assert_true(balloon_rig_send(rig, HINTS, bytes, 8, 1));
	balloon_rig_kick(rig, HINTS);
	balloon_rig_run(rig);
	assert_int_equal(hint_state(rig), AERO_HINT_ACTIVE);
	assert_int_equal(rig->in_flight, 0);
}

static void test_hint_of_many_buffers_is_served_in_pieces(void **state)
{
	static struct aero_range ranges[1000];
	struct balloon_rig *rig = *state;
	uint64_t seen = 0;

	start_round(rig);
	for (uint32_t i = 0; i < 1000; i++)
		ranges[i] = (struct aero_range){ i * 8, 4 };
	assert_true(balloon_rig_send_ranges(rig, HINTS, ranges, 1000));
	balloon_rig_kick(rig, HINTS);
	while (balloon_rig_step(rig) <= rig->now) {
		assert_true(rig->hints - seen <= 64);
		seen = rig->hints;
	}
	assert_int_equal(rig->hints, 1000);
	assert_int_equal(rig->hint_frames, 4000);
	assert_int_equal(rig->in_flight, 0);
}

static void report(struct balloon_rig *rig, const struct aero_range *ranges, uint32_t count)
{
	uint64_t answers = rig->answers[REPORTS];

	assert_true(balloon_rig_send_ranges(rig, REPORTS, ranges, count));
	balloon_rig_kick(rig, REPORTS);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[REPORTS], answers + 1);
	assert_int_equal(rig->last_used_len, 0);
}

static void report_one(struct balloon_rig *rig, aero_frame first, uint64_t count)
{
	struct aero_range range = { first, count };

	report(rig, &range, 1);
}

static void test_report_is_discarded_before_the_answer(void **state)
{
	static const struct aero_range ranges[] = { { 512, 1024 }, { 4096, 512 }, { 7, 3 } };
	struct balloon_rig *rig = *state;

	report(rig, ranges, 3);
	assert_int_equal(rig->host.discards, 3);
	assert_int_equal(case_discarded(rig, 512, 1024), 1024);
	assert_int_equal(case_discarded(rig, 7, 3), 3);
	assert_int_equal(rig->dev.counters.reports, 1);
	assert_int_equal(rig->dev.counters.report_ranges, 3);
	assert_int_equal(rig->dev.counters.report_bytes, 1539 * 4096);
	assert_int_equal(rig->dev.counters.report_freed_bytes, 1539 * 4096);
	/* Reported is free, not ballooned. */
	assert_int_equal(aero_ledger_held(&rig->dev.ledger), 0);
}

static void test_report_of_a_huge_range_is_cut(void **state)
{
	struct balloon_rig *rig = *state;

	report_one(rig, 0, BALLOON_RIG_FRAMES);
	assert_int_equal(rig->host.longest, AERO_LEDGER_DISCARD_FRAMES);
	assert_int_equal(rig->host.discarded_frames, BALLOON_RIG_FRAMES);
}

static void test_report_outside_memory_is_skipped(void **state)
{
	struct balloon_rig *rig = *state;

	report_one(rig, BALLOON_RIG_FRAMES - 1, 2);
	report_one(rig, BALLOON_RIG_FRAMES, 1);
	report_one(rig, (1ull << 52) - 2, 1);
	report_one(rig, 1ull << 40, 1);
	assert_int_equal(rig->host.discards, 0);
	assert_int_equal(rig->dev.counters.report_skipped_ranges, 4);
}

/* Buffers as bytes: what is not a whole frame is not discarded; 4 GiB and the end of addresses. */
static void test_report_of_odd_addresses(void **state)
{
	static const struct {
		struct virtio_driver_buffer buffer;
		uint64_t frames;
	} cases[] = {
		{ { 1, 4096, true }, 0 },	{ { 1, 8191, true }, 1 },
		{ { 4096, 4095, true }, 0 },	{ { 4095, 4098, true }, 1 },
		{ { 0, 1, true }, 0 },		{ { 4095, 1, true }, 0 },
		{ { 0, UINT32_MAX, true }, 0 }, { { UINT64_MAX - 4095, 4095, true }, 0 },
		{ { 8192, 4096, false }, 0 },
	};
	struct balloon_rig *rig = *state;
	uint16_t id;
	uint32_t len;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		uint64_t before = rig->host.discarded_frames;

		rig->host.is_lax = true;
		assert_true(virtio_driver_give(&rig->drv[REPORTS], &cases[i].buffer, 1, &id));
		rig->has_ring[REPORTS] = false;
		balloon_rig_kick(rig, REPORTS);
		balloon_rig_run(rig);
		assert_int_equal(virtio_driver_take(&rig->drv[REPORTS], &id, &len),
				 VIRTIO_DRIVER_TAKEN);
		rig->has_ring[REPORTS] = true;
		assert_int_equal(rig->host.discarded_frames - before, cases[i].frames);
	}
}

/* An address that would pass the end of all addresses is not one. */
static void test_report_that_overflows_breaks_the_ring(void **state)
{
	static const struct virtio_driver_buffer buffer = { UINT64_MAX - 100, 4096, true };
	struct balloon_rig *rig = *state;
	uint16_t id;

	assert_true(virtio_driver_give(&rig->drv[REPORTS], &buffer, 1, &id));
	balloon_rig_kick(rig, REPORTS);
	balloon_rig_run(rig);
	assert_int_equal(rig->dev.queue[REPORTS].ring.fault, AERO_VIRTIO_QUEUE_FAULT_ADDRESS);
	assert_int_equal(rig->host.discards, 0);
}

static void test_report_is_cut_to_whole_pages_of_the_backing(void **state)
{
	struct balloon_rig *rig = *state;

	report_one(rig, 100, 1500);
	assert_int_equal(case_discarded(rig, 512, 1024), 1024);
	assert_int_equal(rig->host.discarded_frames, 1024);
	report_one(rig, 100, 500);
	assert_int_equal(rig->host.discards, 1);
}

static void write_poison(struct balloon_rig *rig, uint32_t value)
{
	uint8_t bytes[4];

	for (unsigned int i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
	assert_int_equal(aero_virtio_balloon_host_config_write(&rig->dev, 12, bytes, 4), AERO_OK);
}

static void test_report_keeps_the_poison_promise(void **state)
{
	struct balloon_rig *rig = *state;

	write_poison(rig, 0xaaaaaaaa);
	report_one(rig, 0, 512);
	assert_int_equal(rig->host.discards, 0);
	assert_int_equal(rig->dev.counters.report_skipped_ranges, 1);
	write_poison(rig, 0);
	report_one(rig, 0, 512);
	assert_int_equal(rig->host.discards, 1);
	/* The balloon makes no such promise. */
	write_poison(rig, 0xaaaaaaaa);
	balloon_rig_inflate(rig, 1024, 512);
	assert_int_equal(rig->host.discards, 2);
}

/* Without the feature the value means nothing. */
static void test_report_with_poison_not_negotiated(void **state)
{
	struct balloon_rig *rig = *state;

	write_poison(rig, 0xaaaaaaaa);
	report_one(rig, 0, 512);
	assert_int_equal(rig->host.discards, 1);
}

static void test_report_discard_failure_is_counted(void **state)
{
	struct balloon_rig *rig = *state;

	host_double_fail(&rig->host, HOST_DOUBLE_DISCARD, 1, false);
	report_one(rig, 0, 20000);
	assert_int_equal(rig->dev.counters.report_discards, 3);
	assert_int_equal(rig->dev.counters.report_discard_failures, 1);
	assert_int_equal(rig->dev.counters.report_freed_bytes, (20000ull - 8192) * 4096);
}

/* What was true when the report was read need not be when the rest of it is discarded. */
static void test_report_is_looked_at_again_at_each_discard(void **state)
{
	struct balloon_rig *rig = *state;
	struct aero_range all = { 0, 20000 };
	struct aero_range gone = { 10000, 1 };

	for (int i = 0; i < 3; i++) {
		uint64_t before = rig->host.discards;

		assert_true(balloon_rig_send_ranges(rig, REPORTS, &all, 1));
		balloon_rig_kick(rig, REPORTS);
		while (rig->host.discards == before)
			balloon_rig_step(rig);
		if (i == 0)
			aero_virtio_balloon_host_inhibit(&rig->dev, AERO_INHIBIT_SNAPSHOT);
		if (i == 1)
			write_poison(rig, 5);
		if (i == 2) {
			host_double_clear(&rig->host, gone, HOST_DOUBLE_RAM);
			aero_virtio_balloon_host_memory_changed(&rig->dev);
		}
		balloon_rig_run(rig);
		assert_int_equal(rig->host.discards, before + 1);
		aero_virtio_balloon_host_inhibit(&rig->dev, 0);
		write_poison(rig, 0);
	}
	assert_int_equal(rig->answers[REPORTS], 3);
	assert_int_equal(rig->dev.counters.report_skipped_ranges, 3);
}

/* What a ring that stops in a report leaves behind is not discarded by the next report. */
static void test_report_of_a_reset_driver_is_forgotten(void **state)
{
	struct balloon_rig *rig = *state;
	struct aero_range all = { 0, 20000 };

	assert_true(balloon_rig_send_ranges(rig, REPORTS, &all, 1));
	balloon_rig_kick(rig, REPORTS);
	while (!rig->host.discards)
		balloon_rig_step(rig);
	balloon_rig_reset(rig);
	balloon_rig_connect(rig);
	report_one(rig, 30000, 10);
	assert_int_equal(rig->host.discards, 2);
}

int main(void)
{
	static struct balloon_rig_options big = { .offered =
							  FEATURES_ALL | TRANSPORT(INDIRECT_DESC),
						  .is_big_endian = true };
	static struct balloon_rig_options packed = {
		.offered = FEATURES_USUAL | TRANSPORT(EVENT_IDX) | TRANSPORT(RING_PACKED),
		.ring_size = 33,
	};
	static struct balloon_rig_options huge = { .backing = { 9, 9 } };
	static struct balloon_rig_options no_poison = { .refused = FEATURE(PAGE_POISON) };
	const struct CMUnitTest tests[] = {
		CASE(test_hint_round_from_start_to_done, NULL),
		CASE(test_hint_round_from_start_to_done, &big),
		CASE(test_hint_round_from_start_to_done, &packed),
		CASE(test_hint_ids_are_never_used_again, NULL),
		CASE(test_hint_id_wraps_past_the_reserved_ones, NULL),
		CASE(test_hints_of_no_round_are_ignored, NULL),
		CASE(test_hint_round_restarted_in_the_middle, NULL),
		CASE(test_hint_after_the_end_of_a_round_another_begins, NULL),
		CASE_OPEN(test_hint_needs_a_driver_and_the_feature, NULL),
		CASE(test_hint_outside_memory_is_ignored, NULL),
		CASE(test_hint_command_of_odd_length, NULL),
		CASE(test_hint_of_many_buffers_is_served_in_pieces, NULL),
		CASE(test_report_is_discarded_before_the_answer, NULL),
		CASE(test_report_is_discarded_before_the_answer, &packed),
		CASE(test_report_of_a_huge_range_is_cut, NULL),
		CASE(test_report_outside_memory_is_skipped, NULL),
		CASE(test_report_of_odd_addresses, NULL),
		CASE(test_report_that_overflows_breaks_the_ring, NULL),
		CASE(test_report_is_cut_to_whole_pages_of_the_backing, &huge),
		CASE(test_report_keeps_the_poison_promise, NULL),
		CASE(test_report_with_poison_not_negotiated, &no_poison),
		CASE(test_report_discard_failure_is_counted, NULL),
		CASE(test_report_is_looked_at_again_at_each_discard, NULL),
		CASE(test_report_of_a_reset_driver_is_forgotten, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
