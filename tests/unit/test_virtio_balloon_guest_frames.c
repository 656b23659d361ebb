/* SPDX-License-Identifier: MIT */
#include "test_virtio_balloon_guest_case.h"

/* virtio's balloon driver: which numbers go to the device, in which requests, and when. */

#define PLAIN T(VERSION_1)
#define TELL (T(VERSION_1) | F(MUST_TELL_HOST))

/* The target is told and the driver does what it can before the device does anything. */
static void aim(struct fake_guest *guest, uint32_t frames)
{
	virtio_fake_target(&guest->fake, frames);
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	fake_guest_settle(guest);
}

static void expect_request(struct fake_guest *guest, unsigned int index, uint32_t count)
{
	assert_int_equal(virtio_fake_request(&guest->fake, index), count);
}

static void answer(struct fake_guest *guest, unsigned int index, unsigned int count)
{
	while (count--)
		virtio_fake_answer(&guest->fake, index, 0);
	fake_guest_interrupt(guest, QUEUE_ANSWER);
	fake_guest_settle(guest);
}

static void test_requests_have_256_numbers_at_most(void **state)
{
	static const uint32_t sizes[] = { 1, 2, 255, 256, 257, 511 };

	(void)state;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		struct fake_guest *guest = start_guest(NULL, TELL);

		for (unsigned int index = 0; index < 2; index++) {
			aim(guest, index ? 0 : sizes[i]);
			expect_request(guest, index, sizes[i] < 256 ? sizes[i] : 256);
			expect_request(guest, index, sizes[i] > 256 ? sizes[i] - 256 : 0);
			answer(guest, index, sizes[i] > 256 ? 2 : 1);
			assert_int_equal(guest->fake.given_frames, index ? 0 : sizes[i]);
			assert_int_equal(guest->fake.actual, index ? 0 : sizes[i]);
			assert_int_equal(fake_guest_stall(guest), AERO_STALL_NONE);
		}
		end_guest(guest);
	}
}

static void test_used_lengths_of_requests_are_ignored(void **state)
{
	(void)state;
	/* Old devices say how much they have read. */
	for (unsigned int packed = 0; packed < 2; packed++) {
		struct fake_guest *guest = start_guest(NULL, TELL | (packed ? T(RING_PACKED) : 0));

		aim(guest, 200);
		expect_request(guest, 0, 200);
		virtio_fake_answer(&guest->fake, 0, 800);
		fake_guest_interrupt(guest, QUEUE_ANSWER);
		fake_guest_settle(guest);
		aim(guest, 100);
		expect_request(guest, 1, 100);
		virtio_fake_answer(&guest->fake, 1, 0xffffffff);
		fake_guest_interrupt(guest, QUEUE_ANSWER);
		fake_guest_settle(guest);
		assert_int_equal(report_of(guest).counters.broken_queues, 0);
		assert_int_equal(fake_guest_frames(guest), 100);
		end_guest(guest);
	}
}

static void test_a_block_is_a_run_of_numbers(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL);
	uint32_t first;

	(void)state;
	aim(guest, 1024 + 3);
	for (unsigned int block = 0; block < 2; block++) {
		expect_request(guest, 0, 256);
		first = guest->fake.numbers[0];
		assert_int_equal(first % 512, 0);
		for (uint32_t i = 0; i < 256; i++)
			assert_int_equal(guest->fake.numbers[i], first + i);
		expect_request(guest, 0, 256);
		for (uint32_t i = 0; i < 256; i++)
			assert_int_equal(guest->fake.numbers[i], first + 256 + i);
	}
	expect_request(guest, 0, 3);
	answer(guest, 0, 5);
	assert_int_equal(guest->sim.counters.allocs[9], 2);
	end_guest(guest);
}

static void move_long(uint32_t request_frames, uint64_t features)
{
	struct fake_guest_options options = {
		.sim = { .frames = MIB(256) },
		.guest = { .request_frames = request_frames },
	};
	struct fake_guest *guest = start_guest(&options, TELL | features);
	uint32_t total = 20000, longest = 0, left = total, count;
	unsigned int requests = 0;

	aim(guest, total);
	while (left) {
		count = virtio_fake_request(&guest->fake, 0);
		if (!count) {
			assert_true(guest->fake.queue[0].flying_count > 0);
			answer(guest, 0, guest->fake.queue[0].flying_count);
			continue;
		}
		assert_in_range(count, 1, request_frames);
		longest = count > longest ? count : longest;
		left -= count;
		requests++;
	}
	answer(guest, 0, guest->fake.queue[0].flying_count);
	/* None is much shorter than it could be but the last of blocks and that of frames. */
	assert_int_equal(longest, request_frames);
	assert_in_range(requests, 1, total / request_frames + 3);
	assert_int_equal(guest->fake.given_frames, total);
	fake_guest_target(guest, 123);
	assert_int_equal(guest->fake.given_frames, 123);
	end_guest(guest);
}

static void test_long_requests_are_full(void **state)
{
	static const uint32_t sizes[] = { 512, 1000, 1024, 4096, 16320 };

	(void)state;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		move_long(sizes[i], 0);
		move_long(sizes[i], T(INDIRECT_DESC));
		move_long(sizes[i], T(RING_PACKED));
		move_long(sizes[i], T(RING_PACKED) | T(INDIRECT_DESC) | T(EVENT_IDX));
		move_long(sizes[i], T(IN_ORDER) | T(EVENT_IDX));
	}
}

static void move_pipelined(uint64_t features, uint32_t requests)
{
	struct fake_guest_options options = {
		.guest = { .requests = requests },
		.sim = { .orders = 1, .frames = MIB(256) },
	};
	struct fake_guest *guest = start_guest(&options, TELL | features);
	struct virtio_fake_queue *queue = &guest->fake.queue[0];
	uint32_t half = (requests + 1) / 2;

	aim(guest, 40 * 256);
	/* All of them, and one word of it. */
	assert_int_equal(queue->notified, 1);
	for (uint32_t i = 0; i < requests; i++)
		expect_request(guest, 0, 256);
	expect_request(guest, 0, 0);
	/* The driver wants to know when half of them are done, and no sooner if it can say so. */
	for (uint32_t i = 1; i <= half; i++) {
		bool is_wanted;

		virtio_fake_answer(&guest->fake, 0, 0);
		is_wanted = virtio_device_wants_interrupt(&queue->ring);
		assert_int_equal(is_wanted, features & T(EVENT_IDX) ? i == half : true);
	}
	fake_guest_interrupt(guest, QUEUE_ANSWER);
	fake_guest_settle(guest);
	for (uint32_t i = 0; i < half; i++)
		expect_request(guest, 0, 256);
	expect_request(guest, 0, 0);
	assert_int_equal(queue->notified, 2);
	fake_guest_serve(guest);
	assert_int_equal(guest->fake.given_frames, 40 * 256);
	/* With all of them asked and answered at once, a notification for each eight. */
	assert_in_range(queue->notified, 2, 2 + 40 / half + 1);
	end_guest(guest);
}

static void test_requests_are_in_flight_together(void **state)
{
	(void)state;
	move_pipelined(0, 8);
	move_pipelined(T(EVENT_IDX), 8);
	move_pipelined(T(RING_PACKED), 8);
	move_pipelined(T(RING_PACKED) | T(EVENT_IDX), 8);
	move_pipelined(T(EVENT_IDX) | T(IN_ORDER), 3);
	move_pipelined(T(EVENT_IDX), 1);
	move_pipelined(T(RING_PACKED) | T(EVENT_IDX), 16);
}

static void test_answers_in_any_order_are_taken(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL);
	struct virtio_fake_queue *queue = &guest->fake.queue[0];

	(void)state;
	aim(guest, 5 * 512);
	for (unsigned int i = 0; i < 8; i++)
		expect_request(guest, 0, 256);
	/* Without account of frames: that is for the oldest. */
	while (queue->flying_count)
		virtio_fake_push(&guest->fake, 0, queue->flying_count / 2, 0);
	memset(guest->fake.frame, VIRTIO_FAKE_GIVEN, guest->fake.frame_end);
	fake_guest_interrupt(guest, QUEUE_ANSWER);
	while (fake_guest_step(guest) && !guest->drv.lane[0].flying)
		;
	assert_int_equal(fake_guest_frames(guest), 4 * 512);
	memset(guest->fake.frame, VIRTIO_FAKE_GUEST, guest->fake.frame_end);
	fake_guest_serve(guest);
	end_guest(guest);
}

static void test_frames_are_used_after_the_answer_where_the_device_must_be_told(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL);

	(void)state;
	fake_guest_target(guest, 300);
	aim(guest, 0);
	assert_int_equal(sim_port_lent_frames(&guest->sim), 300);
	expect_request(guest, 1, 256);
	expect_request(guest, 1, 44);
	assert_int_equal(sim_port_lent_frames(&guest->sim), 300);
	answer(guest, 1, 2);
	assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
	end_guest(guest);
}

static void test_frames_are_used_at_once_where_it_need_not_be(void **state)
{
	struct fake_guest *guest = start_guest(NULL, PLAIN);

	(void)state;
	fake_guest_target(guest, 300);
	aim(guest, 0);
	assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_NONE);
	/* The device looks at its queues in any order: what left is seen first, then given anew. */
	aim(guest, 300);
	expect_request(guest, 0, 0);
	expect_request(guest, 1, 256);
	expect_request(guest, 1, 44);
	answer(guest, 1, 1);
	expect_request(guest, 0, 0);
	answer(guest, 1, 1);
	expect_request(guest, 0, 256);
	expect_request(guest, 0, 44);
	answer(guest, 0, 2);
	assert_int_equal(guest->fake.given_frames, 300);
	end_guest(guest);
}

static void test_a_deflation_longer_than_the_ring_frees_what_it_could_tell(void **state)
{
	struct fake_guest *guest = start_guest(NULL, PLAIN);

	(void)state;
	fake_guest_target(guest, 20 * 256);
	aim(guest, 0);
	/* Eight requests are with the device; a batch that is not wholly told is not free. */
	assert_in_range(sim_port_lent_frames(&guest->sim), 12 * 256, 12 * 256 + 511);
	for (unsigned int i = 0; i < 8; i++)
		expect_request(guest, 1, 256);
	expect_request(guest, 1, 0);
	answer(guest, 1, 8);
	fake_guest_serve(guest);
	assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
	end_guest(guest);
}

static void test_actual_is_written_once_a_resize(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL);

	(void)state;
	guest->fake.actual_writes = 0;
	for (unsigned int i = 1; i <= 10; i++) {
		/* Long after the last one. */
		guest->now += 100 * SECOND;
		fake_guest_target(guest, i % 2 ? 12000 : 700);
		assert_int_equal(guest->fake.actual, i % 2 ? 12000 : 700);
		assert_int_equal(guest->fake.actual_writes, i);
	}
	end_guest(guest);
}

static void test_actual_is_written_once_a_second_while_it_lasts(void **state)
{
	(void)state;
	/* The device answers each request after a while, or before the driver looks again. */
	for (unsigned int is_fast = 0; is_fast < 2; is_fast++) {
		struct fake_guest_options options = { .sim = { .orders = 1 } };
		struct fake_guest *guest = start_guest(&options, TELL);
		uint64_t begin;

		guest->now += 100 * SECOND;
		begin = guest->now;
		guest->fake.actual_writes = 0;
		virtio_fake_target(&guest->fake, 50 * 256);
		fake_guest_interrupt(guest, CONFIG_CHANGE);
		while (guest->fake.given_frames < 50 * 256) {
			guest->now += 100 * MS;
			(void)fake_guest_step(guest);
			if (is_fast)
				(void)virtio_fake_serve(&guest->fake);
			else if (guest->fake.queue[0].flying_count ||
				 virtio_fake_request(&guest->fake, 0))
				virtio_fake_answer(&guest->fake, 0, 0);
			fake_guest_interrupt(guest, QUEUE_ANSWER);
		}
		assert_true(guest->now - begin > 2 * SECOND);
		assert_in_range(guest->fake.actual_writes, (guest->now - begin) / SECOND - 1,
				(guest->now - begin) / SECOND + 1);
		end_guest(guest);
	}
}

static void test_a_new_target_is_followed_within_two_steps(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL);
	unsigned int steps = 0;

	(void)state;
	fake_guest_wait(guest, 60 * SECOND);
	virtio_fake_target(&guest->fake, 9000);
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	while (!guest->drv.lane[0].flying) {
		(void)fake_guest_step(guest);
		steps++;
	}
	assert_in_range(steps, 1, 2);
	fake_guest_serve(guest);
	steps = 0;
	virtio_fake_target(&guest->fake, 10);
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	while (!guest->drv.lane[1].flying) {
		(void)fake_guest_step(guest);
		steps++;
	}
	assert_in_range(steps, 1, 2);
	end_guest(guest);
}

static void test_a_target_that_changes_on_the_way_is_followed(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL);

	(void)state;
	aim(guest, 16000);
	assert_int_equal(guest->drv.lane[0].flying, 8);
	/* What is in flight comes in first: it must be answered before it can go out again. */
	aim(guest, 100);
	expect_request(guest, 1, 0);
	fake_guest_serve(guest);
	assert_int_equal(guest->fake.given_frames, 100);
	aim(guest, 0);
	aim(guest, 5000);
	fake_guest_serve(guest);
	fake_guest_wait(guest, 2 * SECOND);
	fake_guest_serve(guest);
	assert_int_equal(guest->fake.given_frames, 5000);
	end_guest(guest);
}

static void test_a_target_beyond_memory_takes_what_there_is_and_says_why(void **state)
{
	static const uint32_t targets[] = { MIB(64), MIB(64) + 1, 0x7fffffff, 0xffffffff };

	(void)state;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(targets); i++) {
		struct fake_guest *guest = start_guest(NULL, TELL);

		guest->sim.reclaim_floor = 500;
		fake_guest_target(guest, targets[i]);
		assert_int_equal(guest->fake.given_frames, MIB(64) - 500);
		assert_int_equal(fake_guest_stall(guest), AERO_STALL_NO_MEMORY);
		assert_int_equal(guest->fake.actual, MIB(64) - 500);
		fake_guest_target(guest, 1);
		assert_int_equal(guest->fake.given_frames, 1);
		end_guest(guest);
	}
}

static void test_a_target_that_flaps_does_not_keep_the_guest_busy(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL);
	unsigned int requests = 0;

	(void)state;
	/* A second of a device that changes its mind at each step. */
	for (unsigned int i = 0; i < 2000; i++) {
		virtio_fake_target(&guest->fake, i % 2 ? 15000 : 0);
		fake_guest_interrupt(guest, CONFIG_CHANGE);
		(void)fake_guest_step(guest);
		requests += virtio_fake_serve(&guest->fake);
		guest->now += MS / 2;
	}
	fake_guest_target(guest, 7);
	fake_guest_wait(guest, 2 * SECOND);
	fake_guest_serve(guest);
	assert_int_equal(guest->fake.given_frames, 7);
	print_message("# flapping for 2000 steps: %u requests\n", requests);
	end_guest(guest);
}

/* Kernels with larger pages. */
static void settle_with_page(unsigned int page, unsigned int block, uint64_t features)
{
	/* Its own pages are its first ones: blocks do not lie in the order of their size. */
	struct fake_guest_options options = {
		.sim = { .orders = 1u << page | (block ? 1u << block : 0),
			 .frames = MIB(64),
			 .page_frames = 512 },
	};
	static const uint32_t targets[] = { 1, 15, 16, 17, 255, 257, 1000, 8191, 8192, 8193, 77 };
	uint32_t mask = (1u << page) - 1;
	struct fake_guest *guest = start_guest(&options, PLAIN | features);

	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(targets); i++) {
		uint32_t want = (targets[i] + mask) & ~mask;

		fake_guest_target(guest, targets[i]);
		assert_int_equal(guest->fake.given_frames, want);
		assert_int_equal(guest->fake.actual, want);
		assert_int_equal(fake_guest_stall(guest), AERO_STALL_NONE);
		assert_int_equal(guest->due, AERO_NEVER);
	}
	end_guest(guest);
}

static void test_targets_that_are_no_multiple_of_a_page_settle(void **state)
{
	(void)state;
	for (uint64_t features = 0; features < 2; features++) {
		settle_with_page(0, 9, features);
		settle_with_page(2, 0, features);
		settle_with_page(2, 11, features | T(RING_PACKED));
		settle_with_page(4, 0, features);
		settle_with_page(4, 9, features);
		settle_with_page(4, 13, features | T(EVENT_IDX));
		settle_with_page(9, 0, features);
	}
}

/* A kernel with a little memory above 16 TiB, which its allocator gives first. */
static void test_frames_from_2_to_the_32_on_are_never_sent(void **state)
{
	static const uint32_t orders[] = { 1, 1u << 9 | 1, 1u << 4 };

	(void)state;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(orders); i++) {
		struct fake_guest_options options = {
			.sim = { .frames = (1ull << 32) + 4096,
				 .orders = orders[i],
				 .order = SIM_DESCENDING,
				 .page_first = 1ull << 33,
				 .page_frames = 4096 },
			.guest = { .balloon = { .refusal_limit = 10000 } },
		};
		struct fake_guest *guest = start_guest(&options, TELL);
		struct aero_balloon *balloon = &guest->drv.balloon;
		uint32_t seen = 0, count;

		aim(guest, 6000);
		while ((count = 0, guest->fake.queue[0].flying_count) ||
		       virtio_device_pop(&guest->fake.queue[0].ring,
					 &guest->fake.queue[0].flying[0])) {
			const struct virtio_device_chain *chain = guest->fake.queue[0].flying;

			guest->fake.queue[0].flying_count = 1;
			for (uint32_t at = 0; at < chain->buffers[0].len; at += 4) {
				uint32_t number = virtio_fake_read32(&guest->fake,
								     chain->buffers[0].gpa + at);

				assert_int_equal(sim_port_owner(&guest->sim, number),
						 SIM_OWNER_LENT);
				assert_true(number > 0xff000000);
				count++;
			}
			seen += count;
			virtio_fake_push(&guest->fake, 0, 0, 0);
			fake_guest_interrupt(guest, QUEUE_ANSWER);
			while (fake_guest_step(guest))
				;
		}
		assert_in_range(seen, 6000, 6015);
		assert_int_equal(aero_balloon_frames(balloon), seen);
		/* Refused blocks are given back when the round ends. */
		assert_int_equal(sim_port_lent_frames(&guest->sim), seen);
		assert_true(balloon->counters.size[0].refused || balloon->counters.size[1].refused);
		end_guest(guest);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_have_256_numbers_at_most),
		cmocka_unit_test(test_used_lengths_of_requests_are_ignored),
		cmocka_unit_test(test_a_block_is_a_run_of_numbers),
		cmocka_unit_test(test_long_requests_are_full),
		cmocka_unit_test(test_requests_are_in_flight_together),
		cmocka_unit_test(test_answers_in_any_order_are_taken),
		cmocka_unit_test(
			test_frames_are_used_after_the_answer_where_the_device_must_be_told),
		cmocka_unit_test(test_frames_are_used_at_once_where_it_need_not_be),
		cmocka_unit_test(test_a_deflation_longer_than_the_ring_frees_what_it_could_tell),
		cmocka_unit_test(test_actual_is_written_once_a_resize),
		cmocka_unit_test(test_actual_is_written_once_a_second_while_it_lasts),
		cmocka_unit_test(test_a_new_target_is_followed_within_two_steps),
		cmocka_unit_test(test_a_target_that_changes_on_the_way_is_followed),
		cmocka_unit_test(test_a_target_beyond_memory_takes_what_there_is_and_says_why),
		cmocka_unit_test(test_a_target_that_flaps_does_not_keep_the_guest_busy),
		cmocka_unit_test(test_targets_that_are_no_multiple_of_a_page_settle),
		cmocka_unit_test(test_frames_from_2_to_the_32_on_are_never_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
