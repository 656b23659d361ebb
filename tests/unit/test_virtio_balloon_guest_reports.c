/* SPDX-License-Identifier: MIT */
#include "test_virtio_balloon_guest_reports_case.h"

/* virtio's balloon driver: reports of free pages, pushed by the kernel and pulled by the driver. */

static void test_pushed_blocks_are_one_request(void **state)
{
	struct aero_range ranges[32];

	(void)state;
	for (unsigned int count = 1; count <= 32; count += 31) {
		struct fake_guest *guest = pushing_guest(32, count > 1 ? T(RING_PACKED) : 0);
		uint64_t frames = 0;

		take_blocks(guest, ranges, count);
		assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, ranges, count),
				 AERO_OK);
		assert_int_equal(guest->fake.queue[REPORTS].notified, 1);
		/* One at a time. */
		assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, ranges, 1),
				 AERO_EAGAIN);
		fake_guest_wait(guest, 10 * SECOND);
		assert_int_equal(guest->reported_calls, 0);
		assert_int_equal(take(guest, &frames), count);
		assert_int_equal(frames, 512 * count);
		answer(guest);
		assert_int_equal(guest->reported_calls, 1);
		assert_int_equal(guest->reported_frames, 512 * count);
		assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, ranges, 1),
				 AERO_OK);
		assert_int_equal(take(guest, &frames), 1);
		answer(guest);
		free_blocks(guest, ranges, count);
		assert_int_equal(report_of(guest).counters.reports, 2);
		end_guest(guest);
	}
}

static void test_pushed_ranges_are_below_4_gib_in_all(void **state)
{
	struct fake_guest *guest = pushing_guest(32, 0);
	struct aero_range ranges[] = { { 0x100000, 0xffffe }, { 3, 1 }, { 5, 1 } };
	const struct virtio_device_chain *chain;

	(void)state;
	assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, ranges, 2), AERO_OK);
	chain = virtio_fake_pop(&guest->fake, REPORTS);
	assert_int_equal(chain->buffers[0].gpa, 0x100000000ull);
	assert_int_equal(chain->buffers[0].len, 0xffffe000u);
	assert_int_equal(chain->buffers[1].gpa, 0x3000);
	assert_int_equal(chain->buffers[1].len, 0x1000);
	answer(guest);
	assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, ranges, 3),
			 AERO_EINVAL);
	ranges[0].count = 0x100000;
	assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, ranges, 1),
			 AERO_EINVAL);
	ranges[0].count = 0;
	assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, ranges, 1),
			 AERO_EINVAL);
	assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, ranges + 1, 0),
			 AERO_EINVAL);
	end_guest(guest);
}

static void test_a_ring_of_one_entry_takes_one_block(void **state)
{
	struct fake_guest *guest = pushing_guest(1, 0);
	struct aero_range ranges[2];
	uint64_t frames = 0;

	(void)state;
	take_blocks(guest, ranges, 2);
	assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, ranges, 2),
			 AERO_EINVAL);
	assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, ranges, 1), AERO_OK);
	assert_int_equal(take(guest, &frames), 1);
	answer(guest);
	assert_int_equal(guest->reported_frames, 512);
	free_blocks(guest, ranges, 2);
	end_guest(guest);
}

static void test_pushed_blocks_come_back_at_a_reset(void **state)
{
	struct aero_range range;

	(void)state;
	/* A reset that the device asks for, or the driver's end. */
	for (unsigned int how = 0; how < 3; how++) {
		struct fake_guest *guest = pushing_guest(32, 0);

		take_blocks(guest, &range, 1);
		assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, &range, 1),
				 AERO_OK);
		if (how == 0) {
			guest->fake.extra_status = AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET;
			fake_guest_interrupt(guest, CONFIG_CHANGE);
			fake_guest_settle(guest);
		} else if (how == 1) {
			assert_in_range(fake_guest_suspend(guest), 0, SECOND);
		} else {
			assert_in_range(fake_guest_stop(guest), 0, SECOND);
		}
		assert_int_equal(guest->reported_calls, 1);
		assert_int_equal(guest->unreported_frames, 512);
		if (how)
			assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, &range,
									       1),
					 AERO_ENOTSUP);
		free_blocks(guest, &range, 1);
		end_guest(guest);
	}
}

static void test_push_where_it_is_not_negotiated_is_refused(void **state)
{
	struct fake_guest_options options = {
		.is_pushing = true,
		.guest = { .declined = F(PAGE_REPORTING) },
	};
	struct fake_guest *guest = guest_with(&options, 32, 0);
	struct aero_range range = { 512, 512 };

	(void)state;
	assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, &range, 1),
			 AERO_ENOTSUP);
	end_guest(guest);
	/* And where nobody would hear the answer. */
	guest = pulling_guest(0, 0, 0);
	assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, &range, 1),
			 AERO_ENOTSUP);
	end_guest(guest);
	/* Before the first step. */
	guest = new_guest(&options);
	assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, &range, 1),
			 AERO_ENOTSUP);
	end_guest(guest);
}

static void test_a_pass_reports_all_that_is_free_once(void **state)
{
	static const unsigned int orders[] = { 0, 3, 9 };
	static const uint64_t features[] = { 0, T(EVENT_IDX), T(RING_PACKED) | T(EVENT_IDX) };

	(void)state;
	for (unsigned int i = 0; i < 9; i++) {
		unsigned int order = orders[i / 3];
		struct fake_guest *guest = pulling_guest(0, order, features[i % 3]);

		/* Order 0 means the largest up to 2 MiB. */
		assert_int_equal(guest->drv.report.order, order ? order : 9);
		assert_int_equal(whole_pass(guest), MIB(64));
		fake_guest_target(guest, 700);
		for (unsigned int pass = 2; pass < 5; pass++) {
			uint64_t frames = 0, free = sim_port_free_frames(&guest->sim);

			assert_int_equal(sim_port_lent_frames(&guest->sim), 700);
			assert_in_range(guest->due, guest->now + 1, guest->now + SECOND);
			fake_guest_wait(guest, SECOND);
			frames = whole_pass(guest);
			assert_int_equal(frames, free & ~(order == 3 ? 7ull : 511ull));
			assert_int_equal(report_of(guest).counters.report_passes, pass);
		}
		end_guest(guest);
	}
}

/* A request has 32 bits for its length. */
static void test_blocks_of_a_gigabyte_are_reported_three_at_a_time(void **state)
{
	struct fake_guest_options options = {
		.sim = { .frames = SIM_PORT_GIB(8), .orders = 1u << 0 | 1u << 9 | 1u << 18 },
		.guest = { .reporting = { .is_pulling = true, .order = 18 } },
	};
	struct fake_guest *guest = guest_with(&options, 32, 0);
	uint64_t frames = 0;

	(void)state;
	assert_int_equal(take(guest, &frames), 3);
	answer(guest);
	frames += whole_pass(guest);
	assert_int_equal(frames, SIM_PORT_GIB(8));
	assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
	end_guest(guest);
}

static void test_a_pass_takes_no_more_than_its_budget(void **state)
{
	static const uint64_t budgets[] = {
		1, MIB_BYTES(2) - 1, MIB_BYTES(2), MIB_BYTES(5), MIB_BYTES(64), UINT64_MAX
	};

	(void)state;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(budgets); i++) {
		struct fake_guest *guest = pulling_guest(budgets[i], 9, 0);
		uint64_t want = budgets[i] / MIB_BYTES(2) * 512;

		assert_int_equal(whole_pass(guest), want > MIB(64) ? MIB(64) : want);
		assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
		assert_int_equal(guest->due, guest->now + SECOND);
		end_guest(guest);
	}
}

static void test_reporting_is_changed_while_it_runs(void **state)
{
	struct fake_guest *guest = pulling_guest(MIB_BYTES(8), 9, 0);
	struct aero_virtio_balloon_reporting reporting = { .is_pulling = true, .order = 3 };
	uint64_t frames = 0;

	(void)state;
	/* In the middle of a pass: that one ends as it began. */
	reporting.delay_ns = 5 * SECOND;
	reporting.budget_bytes = MIB_BYTES(1);
	assert_int_equal(take(guest, &frames), 4);
	assert_int_equal(aero_virtio_balloon_guest_set_reporting(&guest->drv, &reporting), AERO_OK);
	fake_guest_settle(guest);
	answer(guest);
	assert_int_equal(frames, 2048);
	assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
	assert_int_equal(guest->due, guest->now + 5 * SECOND);
	fake_guest_wait(guest, 5 * SECOND);
	assert_int_equal(whole_pass(guest), 256);
	/* Between passes: at once. */
	reporting.order = 9;
	reporting.budget_bytes = 0;
	assert_int_equal(aero_virtio_balloon_guest_set_reporting(&guest->drv, &reporting), AERO_OK);
	fake_guest_settle(guest);
	assert_int_equal(whole_pass(guest), MIB(64));
	/* An order that there is not. */
	reporting.order = 5;
	assert_int_equal(aero_virtio_balloon_guest_set_reporting(&guest->drv, &reporting),
			 AERO_EINVAL);
	assert_int_equal(guest->drv.config.reporting.order, 9);
	end_guest(guest);
}

static void test_reporting_that_is_turned_off_gives_everything_back(void **state)
{
	struct aero_virtio_balloon_reporting off = { .is_pulling = false };
	struct aero_virtio_balloon_reporting on = { .is_pulling = true };
	struct fake_guest *guest = pulling_guest(0, 9, 0);
	uint64_t frames = 0;

	(void)state;
	(void)take(guest, &frames);
	assert_int_equal(aero_virtio_balloon_guest_set_reporting(&guest->drv, &off), AERO_OK);
	fake_guest_settle(guest);
	/* The device has them still. */
	assert_int_equal(sim_port_lent_frames(&guest->sim), frames);
	answer(guest);
	assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
	assert_int_equal(guest->due, AERO_NEVER);
	fake_guest_wait(guest, 60 * SECOND);
	assert_int_equal(take(guest, &frames), 0);
	assert_int_equal(aero_virtio_balloon_guest_set_reporting(&guest->drv, &on), AERO_OK);
	guest->due = guest->now;
	fake_guest_settle(guest);
	assert_int_equal(whole_pass(guest), MIB(64));
	end_guest(guest);
}

static void test_reports_in_flight_come_back_at_a_reset(void **state)
{
	struct fake_guest *guest = pulling_guest(0, 3, 0);
	uint64_t frames = 0;

	(void)state;
	assert_int_equal(take(guest, &frames), 32);
	answer(guest);
	assert_int_equal(sim_port_lent_frames(&guest->sim), 512);
	guest->fake.extra_status = AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET;
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	fake_guest_settle(guest);
	assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
	fake_guest_wait(guest, 2 * SECOND);
	assert_int_equal(whole_pass(guest), MIB(64));
	end_guest(guest);
}

static void test_a_device_that_keeps_a_report_keeps_no_more_than_that(void **state)
{
	struct fake_guest *guest = pulling_guest(0, 9, 0);
	uint64_t frames = 0, came;

	(void)state;
	(void)take(guest, &frames);
	fake_guest_target(guest, 1000);
	fake_guest_wait(guest, 60 * SECOND);
	fake_guest_serve(guest);
	/* All of this guest's memory is one report: it fits into 32 blocks. */
	assert_int_equal(frames, MIB(64));
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_SILENT);
	/* What the device has must not be used. */
	assert_int_equal(aero_virtio_balloon_guest_reclaim(&guest->drv, AERO_RECLAIM_OOM, 1,
							   guest->now, &came),
			 AERO_ENOTSUP);
	assert_int_equal(came, 0);
	answer(guest);
	/* What is free goes into the balloon before it is reported again. */
	fake_guest_wait(guest, 20 * SECOND);
	fake_guest_serve(guest);
	assert_int_equal(guest->fake.given_frames, 1000);
	end_guest(guest);
}

static void test_blocks_of_a_pass_are_reclaimed(void **state)
{
	struct fake_guest *guest = pulling_guest(0, 3, 0);
	uint64_t frames = 0, came;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(take(guest, &frames), 32);
		answer(guest);
	}
	assert_int_equal(aero_virtio_balloon_guest_reclaim(&guest->drv, AERO_RECLAIM_PRESSURE, 100,
							   guest->now, &came),
			 AERO_OK);
	assert_int_equal(came, 104);
	assert_null(fake_guest_check(guest));
	end_guest(guest);
}

/* Memory for the record of a pass ends before the pass does. */
static void pass_without_memory(bool is_off, unsigned int order)
{
	struct aero_virtio_balloon_reporting next = { .is_pulling = !is_off, .order = order };
	struct fake_guest *guest = pulling_guest(0, 3, 0);
	uint64_t frames = 0;

	/* The pass has nothing yet, and no page to remember more. */
	(void)take(guest, &frames);
	sim_port_fail(&guest->sim, SIM_PORT_PAGE_GET, 1, true);
	answer(guest);
	sim_port_fail(&guest->sim, 0, 0, false);
	assert_int_equal(aero_virtio_balloon_guest_set_reporting(&guest->drv, &next), AERO_OK);
	guest->due = guest->now;
	fake_guest_settle(guest);
	if (is_off)
		assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
	(void)whole_pass(guest);
	fake_guest_wait(guest, 5 * SECOND);
	(void)whole_pass(guest);
	assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
	end_guest(guest);
}

static void test_a_pass_without_memory_to_remember_blocks_gives_them_back(void **state)
{
	(void)state;
	pass_without_memory(false, 3);
	pass_without_memory(false, 9);
	pass_without_memory(true, 3);
}

/* The same where the record has some of them already: its next leaf is what is missing. */
static void test_a_pass_that_ends_in_the_middle_gives_back_what_it_has(void **state)
{
	for (unsigned int i = 0; i < 3; i++) {
		struct fake_guest_options options = {
			/* A leaf of the record has 2^15 blocks: of single frames, 128 MiB. */
			.sim = { .orders = 1, .frames = MIB(512) },
			.guest = { .reporting = { .is_pulling = true, .delay_ns = SECOND } },
		};
		struct aero_virtio_balloon_reporting next = { .is_pulling = i != 1 };
		struct fake_guest *guest = guest_with(&options, 32, 0);
		unsigned int at = 0;
		uint64_t frames = 0;

		(void)state;
		while (take(guest, &frames)) {
			/* From here on the record can grow no more. */
			if (frames == 1024 * 32)
				sim_port_fail(&guest->sim, SIM_PORT_PAGE_GET, 1, true);
			virtio_fake_push(&guest->fake, REPORTS, 0, 0);
			aero_virtio_balloon_guest_interrupt(&guest->drv, QUEUE_ANSWER);
			for (at = 0; at < 4; at++)
				guest->due =
					aero_virtio_balloon_guest_step(&guest->drv, guest->now);
			if (frames > 1024 * 32 + 32 * 8)
				break;
		}
		sim_port_fail(&guest->sim, 0, 0, false);
		if (i == 1)
			assert_int_equal(aero_virtio_balloon_guest_set_reporting(&guest->drv,
										 &next),
					 AERO_OK);
		fake_guest_interrupt(guest, QUEUE_ANSWER);
		fake_guest_settle(guest);
		if (i == 1)
			assert_int_equal(sim_port_lent_frames(&guest->sim) & ~31ull, 0);
		assert_null(fake_guest_check(guest));
		end_guest(guest);
	}
}

static void test_poison_is_reported_only_where_the_device_knows_of_it(void **state)
{
	struct fake_guest_options options = {
		.guest = { .has_poison = true,
			   .poison = 0xaaaaaaaa,
			   .reporting = { .is_pulling = true, .delay_ns = SECOND } },
	};

	(void)state;
	for (unsigned int known = 0; known < 2; known++) {
		struct fake_guest *guest = guest_with(&options, 32, known ? F(PAGE_POISON) : 0);

		assert_int_equal(whole_pass(guest), known ? MIB(64) : 0);
		assert_int_equal(guest->fake.poison, known ? 0xaaaaaaaa : 0);
		assert_int_equal(guest->fake.poison_writes, known);
		/* Told again after each reset. */
		guest->fake.extra_status = AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET;
		fake_guest_interrupt(guest, CONFIG_CHANGE);
		fake_guest_settle(guest);
		fake_guest_wait(guest, 2 * SECOND);
		assert_int_equal(guest->fake.poison_writes, 2 * known);
		end_guest(guest);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pushed_blocks_are_one_request),
		cmocka_unit_test(test_pushed_ranges_are_below_4_gib_in_all),
		cmocka_unit_test(test_a_ring_of_one_entry_takes_one_block),
		cmocka_unit_test(test_pushed_blocks_come_back_at_a_reset),
		cmocka_unit_test(test_push_where_it_is_not_negotiated_is_refused),
		cmocka_unit_test(test_a_pass_reports_all_that_is_free_once),
		cmocka_unit_test(test_blocks_of_a_gigabyte_are_reported_three_at_a_time),
		cmocka_unit_test(test_a_pass_takes_no_more_than_its_budget),
		cmocka_unit_test(test_reporting_is_changed_while_it_runs),
		cmocka_unit_test(test_reporting_that_is_turned_off_gives_everything_back),
		cmocka_unit_test(test_reports_in_flight_come_back_at_a_reset),
		cmocka_unit_test(test_a_device_that_keeps_a_report_keeps_no_more_than_that),
		cmocka_unit_test(test_blocks_of_a_pass_are_reclaimed),
		cmocka_unit_test(test_a_pass_without_memory_to_remember_blocks_gives_them_back),
		cmocka_unit_test(test_a_pass_that_ends_in_the_middle_gives_back_what_it_has),
		cmocka_unit_test(test_poison_is_reported_only_where_the_device_knows_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
