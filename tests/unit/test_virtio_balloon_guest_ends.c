/* SPDX-License-Identifier: MIT */
#include "test_virtio_balloon_guest_case.h"

/*
 * virtio's balloon driver: devices that fall silent, need a reset, are taken away, and a kernel
 * that leaves. Every frame comes back, in bounded time, whatever the device does.
 */

#define PLAIN T(VERSION_1)
#define TELL (T(VERSION_1) | F(MUST_TELL_HOST))

static void aim(struct fake_guest *guest, uint32_t frames)
{
	virtio_fake_target(&guest->fake, frames);
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	fake_guest_settle(guest);
}

/* Something of every kind is with the device: frames both ways, a hint, a report. */
static struct fake_guest *busy_guest(uint64_t features, uint32_t inflated)
{
	struct fake_guest_options options = {
		.guest = { .reporting = { .is_pulling = true, .budget_bytes = 4 << 20 } },
		.stats = 0xffff,
	};
	struct fake_guest *guest = start_guest(
		&options, features | F(STATS_VQ) | F(FREE_PAGE_HINT) | F(PAGE_REPORTING));

	fake_guest_target(guest, inflated);
	fake_guest_wait(guest, 3 * SECOND);
	virtio_fake_set_config(&guest->fake, 8, 0x80000000);
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	fake_guest_settle(guest);
	assert_true(report_of(guest).held_frames > 0);
	return guest;
}

static void test_silence_is_seen_in_two_seconds_and_everything_ends(void **state)
{
	static const uint64_t features[] = { PLAIN, TELL, TELL | T(RING_PACKED) | T(EVENT_IDX) };

	(void)state;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(features); i++)
		for (unsigned int how = 0; how < 4; how++) {
			struct fake_guest *guest = busy_guest(features[i], 3000);
			bool is_out = how & 1;

			aim(guest, is_out ? 0 : 9000);
			fake_guest_wait(guest, 2 * SECOND + 10 * MS);
			assert_int_equal(fake_guest_stall(guest), AERO_STALL_SILENT);
			fake_guest_wait(guest, 30 * SECOND);
			assert_int_equal(fake_guest_stall(guest), AERO_STALL_SILENT);
			if (how & 2) {
				assert_in_range(fake_guest_suspend(guest), 0, SECOND);
				assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
			} else {
				assert_in_range(fake_guest_stop(guest), 0, SECOND);
			}
			assert_int_equal(fake_guest_frames(guest), 0);
			end_guest(guest);
		}
}

static void test_stop_on_a_device_that_falls_silent_then_is_bounded(void **state)
{
	static const uint32_t inflated[] = { 1, 256, 2048, 2049, 3000, 16000 };

	(void)state;
	for (unsigned int tell = 0; tell < 2; tell++)
		for (unsigned int i = 0; i < TEST_ARRAY_SIZE(inflated); i++) {
			struct fake_guest *guest = start_guest(NULL, tell ? TELL : PLAIN);

			fake_guest_target(guest, inflated[i]);
			assert_in_range(fake_guest_stop(guest), 0, 3 * SECOND);
			end_guest(guest);
			guest = start_guest(NULL, tell ? TELL : PLAIN);
			fake_guest_target(guest, inflated[i]);
			assert_in_range(fake_guest_suspend(guest), 0, 3 * SECOND);
			assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
			end_guest(guest);
		}
}

static void test_silence_that_ends_goes_on_where_it_was(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL);

	(void)state;
	aim(guest, 9000);
	fake_guest_wait(guest, 60 * SECOND);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_SILENT);
	assert_int_equal(guest->fake.resets, 2);
	fake_guest_serve(guest);
	fake_guest_interrupt(guest, QUEUE_ANSWER);
	fake_guest_serve(guest);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_NONE);
	assert_int_equal(guest->fake.given_frames, 9000);
	end_guest(guest);
}

/* The answers are there, and the interrupt for them was lost. */
static void test_a_lost_interrupt_costs_time_and_nothing_else(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL | T(EVENT_IDX));
	unsigned int rounds = 0;

	(void)state;
	virtio_fake_target(&guest->fake, 5000);
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	fake_guest_settle(guest);
	while (virtio_fake_serve(&guest->fake)) {
		fake_guest_wait(guest, 2 * SECOND + 10 * MS);
		assert_true(++rounds < 20);
	}
	assert_int_equal(guest->fake.given_frames, 5000);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_NONE);
	end_guest(guest);
}

static void test_needs_reset_at_any_step_starts_anew(void **state)
{
	(void)state;
	for (unsigned int at = 0; at < 40; at++) {
		struct fake_guest *guest = busy_guest(at % 2 ? TELL : PLAIN, 4000);
		uint64_t resets;

		virtio_fake_target(&guest->fake, at % 4 < 2 ? 9000 : 100);
		fake_guest_interrupt(guest, CONFIG_CHANGE);
		for (unsigned int i = 0; i < at; i++) {
			(void)fake_guest_step(guest);
			if (i % 3 == 2) {
				(void)virtio_fake_serve(&guest->fake);
				fake_guest_interrupt(guest, QUEUE_ANSWER);
			}
		}
		resets = guest->fake.resets;
		/* Or the round of hints would have all memory again. */
		virtio_fake_set_config(&guest->fake, 8, 1);
		guest->fake.extra_status = AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET;
		fake_guest_interrupt(guest, CONFIG_CHANGE);
		fake_guest_settle(guest);
		assert_true(guest->fake.resets > resets);
		fake_guest_wait(guest, 2 * SECOND);
		fake_guest_serve(guest);
		assert_int_equal(report_of(guest).counters.device_resets, 1);
		assert_int_equal(guest->fake.given_frames, at % 4 < 2 ? 9000 : 100);
		assert_int_equal(guest->fake.actual, guest->fake.given_frames);
		end_guest(guest);
	}
}

static void test_a_device_that_breaks_a_queue_is_reset(void **state)
{
	static const char *const lines[] = {
		"virtio balloon, inflate: bad id", "virtio balloon, deflate: bad id",
		"virtio balloon, stats: bad id",   "virtio balloon, hints: bad id",
		"virtio balloon, reports: bad id",
	};

	(void)state;
	for (unsigned int index = 0; index < 5; index++) {
		struct fake_guest *guest = busy_guest(TELL, 3000);

		aim(guest, index == 1 ? 0 : 9000);
		fake_guest_wait(guest, 3 * SECOND);
		virtio_fake_set_config(&guest->fake, 8, 1);
		virtio_device_put_used(&guest->fake.queue[index].ring, 77, 0);
		fake_guest_interrupt(guest, QUEUE_ANSWER);
		fake_guest_settle(guest);
		assert_int_equal(report_of(guest).counters.broken_queues, 1);
		assert_string_equal(guest->sim.last_log, lines[index]);
		fake_guest_wait(guest, 2 * SECOND);
		fake_guest_serve(guest);
		assert_int_equal(guest->fake.given_frames, index == 1 ? 0 : 9000);
		end_guest(guest);
	}
}

static void test_a_device_that_is_taken_away_leaves_every_frame(void **state)
{
	(void)state;
	for (unsigned int is_told = 0; is_told < 2; is_told++) {
		struct fake_guest *guest = busy_guest(TELL, 5000);

		aim(guest, 12000);
		virtio_fake_unplug(&guest->fake);
		if (is_told)
			fake_guest_interrupt(guest, CONFIG_CHANGE);
		fake_guest_wait(guest, 5 * SECOND);
		assert_int_equal(guest->drv.is_live, !is_told);
		assert_in_range(fake_guest_stop(guest), 0, 100 * MS);
		end_guest(guest);
	}
}

static void test_suspend_empties_and_resume_fills_again(void **state)
{
	struct fake_guest *guest = busy_guest(TELL | F(PAGE_POISON), 7000);
	uint64_t resets, steps;

	(void)state;
	/* A device that answers: nothing is left in the balloon when it is reset. */
	while (aero_virtio_balloon_guest_suspend(&guest->drv, guest->now) == AERO_EAGAIN) {
		if (guest->fake.given_frames)
			assert_int_equal(guest->fake.resets, 2);
		(void)virtio_fake_serve(&guest->fake);
		guest->now += MS;
	}
	assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
	assert_int_equal(guest->fake.status, 0);
	assert_int_equal(guest->fake.actual, 0);
	resets = guest->fake.resets;
	/* Asleep: nothing is touched, whatever happens. */
	steps = guest->record.total;
	aim(guest, 100);
	fake_guest_wait(guest, 100 * SECOND);
	assert_int_equal(guest->record.total, steps);
	assert_int_equal(aero_virtio_balloon_guest_suspend(&guest->drv, guest->now), AERO_OK);
	aero_virtio_balloon_guest_resume(&guest->drv);
	guest->due = guest->now;
	fake_guest_serve(guest);
	assert_int_equal(guest->fake.given_frames, 100);
	assert_in_range(guest->fake.resets, resets + 1, resets + 2);
	end_guest(guest);
}

static void test_suspend_before_the_first_step_and_twice(void **state)
{
	struct fake_guest *guest = new_guest(NULL);

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		assert_in_range(fake_guest_suspend(guest), 0, 3 * SECOND);
		fake_guest_wait(guest, SECOND);
		assert_false(guest->drv.is_live);
		aero_virtio_balloon_guest_resume(&guest->drv);
		guest->due = guest->now;
		fake_guest_target(guest, 600);
		assert_int_equal(guest->fake.given_frames, 600);
	}
	/* And stop while asleep. */
	assert_in_range(fake_guest_suspend(guest), 0, 5 * SECOND);
	assert_in_range(fake_guest_stop(guest), 0, 100 * MS);
	end_guest(guest);
}

static void test_stop_tells_the_device_and_resets_it(void **state)
{
	static const uint32_t inflated[] = { 0, 5, 16384 };

	(void)state;
	for (unsigned int tell = 0; tell < 2; tell++)
		for (unsigned int i = 0; i < TEST_ARRAY_SIZE(inflated); i++) {
			struct fake_guest *guest = start_guest(NULL, tell ? TELL : PLAIN);
			uint64_t begin = guest->now;

			fake_guest_target(guest, inflated[i]);
			assert_int_equal(guest->fake.given_frames, inflated[i]);
			while (aero_virtio_balloon_guest_stop(&guest->drv, guest->now) ==
			       AERO_EAGAIN) {
				assert_null(fake_guest_check(guest));
				(void)virtio_fake_serve(&guest->fake);
				guest->now += MS;
			}
			assert_in_range(guest->now - begin, 0, 500 * MS);
			assert_int_equal(guest->fake.actual, 0);
			assert_int_equal(guest->fake.status, 0);
			assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
			/* For good. */
			fake_guest_interrupt(guest, CONFIG_CHANGE);
			fake_guest_settle(guest);
			fake_guest_wait(guest, 5 * SECOND);
			assert_int_equal(guest->fake.status, 0);
			end_guest(guest);
		}
}

static void test_stop_waits_for_frames_that_are_isolated(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL);
	uint32_t frame;

	(void)state;
	virtio_fake_target(&guest->fake, 100);
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	fake_guest_settle(guest);
	assert_int_equal(virtio_fake_request(&guest->fake, 0), 100);
	frame = guest->fake.numbers[5];
	fake_guest_serve(guest);
	assert_true(aero_balloon_isolate(&guest->drv.balloon, 0, frame));
	for (unsigned int i = 0; i < 3000; i++) {
		assert_int_equal(aero_virtio_balloon_guest_stop(&guest->drv, guest->now),
				 AERO_EAGAIN);
		(void)virtio_fake_serve(&guest->fake);
		guest->now += MS;
	}
	assert_int_equal(sim_port_lent_frames(&guest->sim), 1);
	aero_balloon_putback(&guest->drv.balloon, 0, frame);
	assert_in_range(fake_guest_stop(guest), 0, 5 * SECOND);
	end_guest(guest);
}

static void test_stop_and_suspend_of_a_frozen_balloon_end(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct fake_guest *guest = start_guest(NULL, TELL);

		fake_guest_target(guest, 1000);
		assert_int_equal(aero_balloon_freeze(&guest->drv.balloon), AERO_OK);
		if (i)
			assert_in_range(fake_guest_stop(guest), 0, 3 * SECOND);
		else
			assert_in_range(fake_guest_suspend(guest), 0, 3 * SECOND);
		end_guest(guest);
	}
}

static void change_target(void *ctx, uint32_t offset)
{
	struct fake_guest *guest = ctx;

	/* Between the two fields, for a while. */
	if (offset == 8 && guest->fake.config_reads < 6)
		virtio_fake_target(&guest->fake, (uint32_t)guest->fake.config_reads * 100);
}

static enum aero_status reclaim(struct fake_guest *guest)
{
	uint64_t came = 7;
	enum aero_status status = aero_virtio_balloon_guest_reclaim(&guest->drv, AERO_RECLAIM_OOM,
								    512, guest->now, &came);

	assert_int_equal(came, 0);
	return status;
}

/* A handler that tries again while it is told to would never end. */
static void test_reclaim_is_refused_where_trying_again_is_of_no_use(void **state)
{
	struct fake_guest *guest = new_guest(NULL);

	(void)state;
	guest->fake.offered = TELL | F(DEFLATE_ON_OOM);
	fake_guest_target(guest, 8000);
	/* On their way, until there is no room for more. */
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(reclaim(guest), AERO_OK);
	assert_int_equal(reclaim(guest), AERO_EAGAIN);
	/* The device is silent, and nobody has stepped meanwhile. */
	guest->now += 1990 * MS;
	assert_int_equal(reclaim(guest), AERO_EAGAIN);
	guest->now += 20 * MS;
	assert_int_equal(reclaim(guest), AERO_EREFUSED);
	fake_guest_interrupt(guest, QUEUE_ANSWER);
	fake_guest_serve(guest);
	assert_int_equal(reclaim(guest), AERO_OK);
	fake_guest_serve(guest);
	(void)fake_guest_suspend(guest);
	assert_int_equal(reclaim(guest), AERO_EREFUSED);
	aero_virtio_balloon_guest_resume(&guest->drv);
	(void)fake_guest_stop(guest);
	assert_int_equal(reclaim(guest), AERO_EREFUSED);
	end_guest(guest);
}

static void test_configuration_of_two_moments_is_read_again(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL | F(FREE_PAGE_HINT));

	(void)state;
	guest->fake.config_reads = 0;
	guest->fake.config_read = change_target;
	guest->fake.ctx = guest;
	fake_guest_target(guest, 50);
	/* Two reads of each, as often as it changed. */
	assert_int_equal(guest->fake.given_frames, 400);
	assert_in_range(guest->fake.config_reads, 6, 8);
	end_guest(guest);
}

static void test_configuration_that_never_rests_is_read_a_few_times(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL | F(FREE_PAGE_HINT));

	(void)state;
	guest->fake.config_reads = 0;
	guest->fake.is_restless = true;
	fake_guest_target(guest, 321);
	assert_int_equal(guest->fake.given_frames, 321);
	assert_in_range(guest->fake.config_reads, 2, 32);
	end_guest(guest);
}

static void test_queue_interrupts_do_not_read_the_configuration(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL);
	uint64_t reads;

	(void)state;
	fake_guest_target(guest, 3000);
	reads = guest->fake.config_reads;
	for (unsigned int i = 0; i < 100; i++) {
		fake_guest_interrupt(guest, QUEUE_ANSWER);
		fake_guest_settle(guest);
	}
	assert_int_equal(guest->fake.config_reads, reads);
	assert_int_equal(guest->record.count[SIM_VIRTIO_NOTIFY], guest->fake.queue[0].notified);
	end_guest(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silence_is_seen_in_two_seconds_and_everything_ends),
		cmocka_unit_test(test_stop_on_a_device_that_falls_silent_then_is_bounded),
		cmocka_unit_test(test_silence_that_ends_goes_on_where_it_was),
		cmocka_unit_test(test_a_lost_interrupt_costs_time_and_nothing_else),
		cmocka_unit_test(test_needs_reset_at_any_step_starts_anew),
		cmocka_unit_test(test_a_device_that_breaks_a_queue_is_reset),
		cmocka_unit_test(test_a_device_that_is_taken_away_leaves_every_frame),
		cmocka_unit_test(test_suspend_empties_and_resume_fills_again),
		cmocka_unit_test(test_suspend_before_the_first_step_and_twice),
		cmocka_unit_test(test_stop_tells_the_device_and_resets_it),
		cmocka_unit_test(test_stop_waits_for_frames_that_are_isolated),
		cmocka_unit_test(test_stop_and_suspend_of_a_frozen_balloon_end),
		cmocka_unit_test(test_reclaim_is_refused_where_trying_again_is_of_no_use),
		cmocka_unit_test(test_configuration_of_two_moments_is_read_again),
		cmocka_unit_test(test_configuration_that_never_rests_is_read_a_few_times),
		cmocka_unit_test(test_queue_interrupts_do_not_read_the_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
