/* SPDX-License-Identifier: MIT */
#include "test_virtio_balloon_guest_reports_case.h"

/* virtio's balloon driver: devices that are slow with reports, and kernels that cannot wait. */

#define COOLDOWN (5 * SECOND)

static uint64_t held(const struct fake_guest *guest)
{
	return report_of(guest).held_frames;
}

/* A pass of blocks of 8 frames, so many reports on its way and one more with the device. */
static struct fake_guest *guest_in_a_pass(unsigned int reports, uint64_t features)
{
	struct fake_guest *guest = pulling_guest(0, 3, features);
	uint64_t frames = 0;

	for (unsigned int i = 0; i < reports; i++) {
		assert_int_equal(take(guest, &frames), 32);
		answer(guest);
	}
	assert_int_equal(take(guest, &frames), 32);
	assert_int_equal(held(guest), (reports + 1) * 256);
	return guest;
}

static void test_a_report_that_is_not_answered_ends_the_pass_and_is_a_stall(void **state)
{
	struct fake_guest *guest = guest_in_a_pass(20, 0);
	uint64_t steps, frames = 0;

	(void)state;
	fake_guest_wait(guest, 2 * SECOND - MS);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_NONE);
	assert_int_equal(held(guest), 21 * 256);
	fake_guest_wait(guest, MS);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_SILENT);
	/* What the device has it may still throw away. */
	assert_int_equal(held(guest), 256);
	assert_int_equal(sim_port_lent_frames(&guest->sim), 256);
	steps = guest->steps;
	fake_guest_wait(guest, 600 * SECOND);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_SILENT);
	assert_int_equal(held(guest), 256);
	/* It is looked after, and not more than that. */
	assert_in_range(guest->due, guest->now + 1, guest->now + 2 * SECOND);
	assert_in_range(guest->steps - steps, 300, 310);
	assert_int_equal(report_of(guest).counters.report_passes, 1);
	answer(guest);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_NONE);
	assert_int_equal(held(guest), 0);
	fake_guest_wait(guest, SECOND);
	assert_int_equal(take(guest, &frames), 32);
	end_guest(guest);
}

static void test_an_answer_without_an_interrupt_is_found(void **state)
{
	struct fake_guest *guest = guest_in_a_pass(2, 0);

	(void)state;
	virtio_fake_push(&guest->fake, REPORTS, 0, 0);
	fake_guest_wait(guest, 2 * SECOND);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_NONE);
	assert_int_equal(report_of(guest).counters.reports, 4);
	end_guest(guest);
}

static void test_a_pushed_report_that_is_not_answered_is_a_stall(void **state)
{
	(void)state;
	/* It is answered after all, or the device asks for a reset, or is left. */
	for (unsigned int how = 0; how < 3; how++) {
		struct fake_guest *guest = pushing_guest(32, 0);
		struct aero_range range;
		uint64_t frames = 0;

		take_blocks(guest, &range, 1);
		/* Long after the last step. */
		guest->now += 1000 * SECOND;
		assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, &range, 1),
				 AERO_OK);
		assert_int_equal(take(guest, &frames), 1);
		fake_guest_settle(guest);
		assert_int_equal(fake_guest_stall(guest), AERO_STALL_NONE);
		fake_guest_wait(guest, 2 * SECOND);
		assert_int_equal(fake_guest_stall(guest), AERO_STALL_SILENT);
		fake_guest_wait(guest, 3600 * SECOND);
		assert_int_not_equal(guest->due, AERO_NEVER);
		assert_int_equal(held(guest), 512);
		assert_int_equal(guest->reported_calls, 0);
		if (how == 0) {
			answer(guest);
			assert_int_equal(guest->reported_frames, 512);
			assert_int_equal(fake_guest_stall(guest), AERO_STALL_NONE);
			assert_int_equal(guest->due, AERO_NEVER);
		} else if (how == 1) {
			guest->fake.extra_status = AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET;
			fake_guest_interrupt(guest, CONFIG_CHANGE);
			fake_guest_settle(guest);
			fake_guest_wait(guest, 2 * SECOND);
			assert_int_equal(fake_guest_stall(guest), AERO_STALL_NONE);
		} else {
			assert_in_range(fake_guest_stop(guest), 0, SECOND);
		}
		assert_int_equal(guest->unreported_frames, how ? 512 : 0);
		assert_int_equal(guest->reported_calls, 1);
		assert_int_equal(held(guest), 0);
		free_blocks(guest, &range, 1);
		end_guest(guest);
	}
}

/* The balloon moves meanwhile, and what stalls it is tried again as ever. */
static void test_silence_about_a_report_does_not_stop_the_balloon(void **state)
{
	struct fake_guest *guest = guest_in_a_pass(1, F(DEFLATE_ON_OOM));
	uint64_t came;

	(void)state;
	fake_guest_wait(guest, 3 * SECOND);
	fake_guest_target(guest, 5000);
	assert_int_equal(guest->fake.given_frames, 5000);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_SILENT);
	assert_int_equal(aero_virtio_balloon_guest_reclaim(&guest->drv, AERO_RECLAIM_OOM, 1000,
							   guest->now, &came),
			 AERO_OK);
	fake_guest_serve(guest);
	assert_in_range(guest->fake.given_frames, 1, 4000);
	for (unsigned int i = 0; i < 10; i++) {
		fake_guest_wait(guest, SECOND);
		fake_guest_serve(guest);
	}
	assert_int_equal(guest->fake.given_frames, 5000);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_SILENT);
	answer(guest);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_NONE);
	end_guest(guest);
}

static void test_reclaim_ends_the_pass_until_it_has_cooled_down(void **state)
{
	struct fake_guest *guest = guest_in_a_pass(20, F(DEFLATE_ON_OOM));
	uint64_t came, frames = 0;

	(void)state;
	assert_int_equal(aero_virtio_balloon_guest_reclaim(&guest->drv, AERO_RECLAIM_OOM, 2000,
							   guest->now, &came),
			 AERO_OK);
	assert_int_equal(came, 2000);
	/* And the rest, but what the device has. */
	fake_guest_interrupt(guest, QUEUE_ANSWER);
	fake_guest_settle(guest);
	assert_int_equal(held(guest), 256);
	answer(guest);
	assert_int_equal(held(guest), 0);
	fake_guest_wait(guest, COOLDOWN - MS);
	assert_int_equal(take(guest, &frames), 0);
	assert_int_equal(held(guest), 0);
	fake_guest_wait(guest, MS);
	assert_int_equal(take(guest, &frames), 32);
	end_guest(guest);
}

/* One that gets nothing is short of memory as well. */
static void test_reclaim_between_passes_puts_the_next_one_off(void **state)
{
	struct fake_guest *guest = pulling_guest(0, 9, 0);
	uint64_t came, frames = 0;

	(void)state;
	assert_int_equal(whole_pass(guest), MIB(64));
	assert_int_equal(aero_virtio_balloon_guest_reclaim(&guest->drv, AERO_RECLAIM_PRESSURE, 1,
							   guest->now, &came),
			 AERO_ENOTSUP);
	guest->due = guest->now;
	fake_guest_wait(guest, COOLDOWN - MS);
	assert_int_equal(take(guest, &frames), 0);
	fake_guest_wait(guest, MS);
	assert_int_equal(take(guest, &frames), 32);
	end_guest(guest);
}

/* A kernel knows how many ranges go at once. */
static void test_report_max_is_what_the_ring_takes(void **state)
{
	static const uint32_t sizes[] = { 1, 2, 4, 32, 128 };

	(void)state;
	for (unsigned int i = 0; i < 2 * TEST_ARRAY_SIZE(sizes); i++) {
		struct fake_guest_options options = { .is_pushing = true, .is_legacy = i % 2 };
		uint32_t size = sizes[i / 2], most = size < 32 ? size : 32;
		struct fake_guest *guest = new_guest(&options);
		struct aero_range ranges[33];
		uint64_t frames = 0;

		guest->fake.offered &= i % 2 ? OFFERED & ~T(VERSION_1) : OFFERED;
		guest->fake.queue_size[REPORTS] = size;
		assert_int_equal(report_of(guest).report_max, 0);
		fake_guest_serve(guest);
		assert_int_equal(report_of(guest).report_max, most);
		take_blocks(guest, ranges, 32);
		ranges[32] = ranges[0];
		assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, ranges,
								       most + 1),
				 AERO_EINVAL);
		assert_int_equal(aero_virtio_balloon_guest_report_free(&guest->drv, ranges, most),
				 AERO_OK);
		assert_int_equal(take(guest, &frames), most);
		answer(guest);
		assert_int_equal(guest->reported_frames, 512 * most);
		free_blocks(guest, ranges, 32);
		end_guest(guest);
	}
}

/* Cloud Hypervisor says how much it was given; more than that no device can have written. */
static void test_an_answer_longer_than_the_report_is_a_broken_queue(void **state)
{
	(void)state;
	for (unsigned int more = 0; more < 2; more++) {
		struct fake_guest *guest = guest_in_a_pass(3, more ? T(RING_PACKED) : 0);

		virtio_fake_push(&guest->fake, REPORTS, 0, 256 * 4096);
		fake_guest_interrupt(guest, QUEUE_ANSWER);
		fake_guest_settle(guest);
		assert_int_equal(report_of(guest).counters.broken_queues, 0);
		assert_int_equal(held(guest), 5 * 256);
		assert_non_null(virtio_fake_pop(&guest->fake, REPORTS));
		virtio_fake_push(&guest->fake, REPORTS, 0, 256 * 4096 + 1);
		fake_guest_interrupt(guest, QUEUE_ANSWER);
		fake_guest_settle(guest);
		assert_int_equal(report_of(guest).counters.broken_queues, 1);
		assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
		end_guest(guest);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_report_that_is_not_answered_ends_the_pass_and_is_a_stall),
		cmocka_unit_test(test_an_answer_without_an_interrupt_is_found),
		cmocka_unit_test(test_a_pushed_report_that_is_not_answered_is_a_stall),
		cmocka_unit_test(test_silence_about_a_report_does_not_stop_the_balloon),
		cmocka_unit_test(test_reclaim_ends_the_pass_until_it_has_cooled_down),
		cmocka_unit_test(test_reclaim_between_passes_puts_the_next_one_off),
		cmocka_unit_test(test_an_answer_longer_than_the_report_is_a_broken_queue),
		cmocka_unit_test(test_report_max_is_what_the_ring_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
