/* SPDX-License-Identifier: MIT */
#include "test_virtio_balloon_guest_case.h"

/* virtio's balloon driver: hints of free pages. The queue has the specification's number. */

#define HINTS 3u
#define OFFERED (T(VERSION_1) | F(MUST_TELL_HOST) | F(FREE_PAGE_HINT))
#define ROUND 0x80000000u
#define NOTHING 0xfffffffeu
#define BLOCK 0xffffffffu /* not an id, but a block */

/* The host says which round it is. */
static void say(struct fake_guest *guest, uint32_t id)
{
	virtio_fake_set_config(&guest->fake, 8, id);
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	fake_guest_settle(guest);
}

static struct fake_guest *hinting_guest(uint32_t size, uint64_t features)
{
	static const struct fake_guest_options options = { .sim = { .frames = MIB(40) } };
	struct fake_guest *guest = new_guest(&options);

	guest->fake.offered = OFFERED | features;
	guest->fake.queue_size[HINTS] = size;
	virtio_fake_set_config(&guest->fake, 8, 1);
	fake_guest_serve(guest);
	assert_true(guest->drv.queue[HINTS].is_there);
	return guest;
}

/* Takes one buffer: an id, or that it is a block, or that there is nothing. */
static uint32_t take(struct fake_guest *guest)
{
	const struct virtio_device_chain *chain = virtio_fake_pop(&guest->fake, HINTS);

	if (!chain)
		return NOTHING;
	assert_int_equal(chain->count, 1);
	if (!chain->buffers[0].is_writable) {
		assert_int_equal(chain->buffers[0].len, 4);
		return virtio_fake_read32(&guest->fake, chain->buffers[0].gpa);
	}
	assert_int_equal(chain->buffers[0].len, 2 << 20);
	assert_int_equal(chain->buffers[0].gpa % (2 << 20), 0);
	return BLOCK;
}

static void answer_all(struct fake_guest *guest)
{
	while (guest->fake.queue[HINTS].flying_count)
		virtio_fake_push(&guest->fake, HINTS, 0, 0);
	fake_guest_interrupt(guest, QUEUE_ANSWER);
	fake_guest_settle(guest);
}

/* Takes and answers what comes until an id; counts the blocks before it. */
static uint32_t take_to_id(struct fake_guest *guest, unsigned int *out_blocks)
{
	for (unsigned int empty = 0; empty < 3;) {
		uint32_t what = take(guest);

		*out_blocks += what == BLOCK;
		if (what != BLOCK && what != NOTHING)
			return what;
		empty = what == NOTHING ? empty + 1 : 0;
		if (what == NOTHING)
			answer_all(guest);
	}
	return NOTHING;
}

static uint64_t held(const struct fake_guest *guest)
{
	return report_of(guest).held_frames;
}

static void whole_round(uint32_t size, uint64_t features)
{
	struct fake_guest *guest = hinting_guest(size, features);
	uint32_t ring = guest->drv.queue[HINTS].queue.config.size;
	unsigned int blocks = 0;

	say(guest, ROUND);
	assert_int_equal(take(guest), ROUND);
	/* An entry is left for the id that ends the round. */
	if (ring > 1)
		assert_true(guest->drv.queue[HINTS].queue.in_flight < ring || ring > 21);
	assert_int_equal(take_to_id(guest, &blocks), 0);
	assert_int_equal(blocks, 20);
	assert_int_equal(held(guest), MIB(40));
	assert_int_equal(take(guest), NOTHING);
	answer_all(guest);
	/* Out of use until the host says so. */
	fake_guest_wait(guest, 10 * SECOND);
	assert_int_equal(sim_port_free_frames(&guest->sim), 0);
	say(guest, 1);
	assert_int_equal(sim_port_free_frames(&guest->sim), MIB(40));
	assert_int_equal(take(guest), NOTHING);
	assert_int_equal(report_of(guest).counters.hint_blocks, 20);
	assert_int_equal(report_of(guest).counters.hint_rounds, 1);
	end_guest(guest);
}

static void test_a_round_is_the_id_all_free_blocks_and_the_end(void **state)
{
	static const uint32_t sizes[] = { 1, 2, 3, 4, 16, 64, 1024 };

	(void)state;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		whole_round(sizes[i], 0);
		whole_round(sizes[i], T(EVENT_IDX));
		whole_round(sizes[i], T(RING_PACKED));
		whole_round(sizes[i], T(RING_PACKED) | T(EVENT_IDX) | T(IN_ORDER));
	}
}

static void test_a_new_id_in_the_middle_begins_a_new_round(void **state)
{
	struct fake_guest *guest = hinting_guest(8, 0);
	unsigned int blocks = 0;

	(void)state;
	say(guest, ROUND);
	assert_int_equal(take(guest), ROUND);
	assert_int_equal(take(guest), BLOCK);
	say(guest, ROUND + 1);
	/* What was given before it is of the old round; the end of that need not be told. */
	assert_int_equal(take_to_id(guest, &blocks), ROUND + 1);
	assert_true(blocks > 0);
	assert_int_equal(take_to_id(guest, &blocks), 0);
	/* Those of the old round are not hinted again. */
	assert_int_equal(blocks + 1, 20);
	assert_int_equal(held(guest), MIB(40));
	answer_all(guest);
	say(guest, 1);
	assert_int_equal(held(guest), 0);
	end_guest(guest);
}

static void test_a_new_id_before_the_old_one_is_answered_waits_for_it(void **state)
{
	struct fake_guest *guest = hinting_guest(8, 0);
	unsigned int blocks = 0;

	(void)state;
	say(guest, ROUND);
	/* The device has not looked: the number it is to read must not change under it. */
	say(guest, ROUND + 1);
	say(guest, ROUND + 2);
	assert_int_equal(take(guest), ROUND);
	assert_int_equal(take_to_id(guest, &blocks), ROUND + 2);
	assert_int_equal(take_to_id(guest, &blocks), 0);
	answer_all(guest);
	say(guest, 1);
	end_guest(guest);
}

static void test_stop_in_the_middle_ends_the_round_and_keeps_the_blocks(void **state)
{
	struct fake_guest *guest = hinting_guest(8, 0);
	unsigned int blocks = 0;
	uint64_t before;

	(void)state;
	say(guest, ROUND);
	assert_int_equal(take(guest), ROUND);
	before = held(guest);
	assert_in_range(before, 512, 7 * 512);
	say(guest, 0);
	assert_int_equal(take_to_id(guest, &blocks), 0);
	answer_all(guest);
	fake_guest_wait(guest, 5 * SECOND);
	assert_int_equal(take(guest), NOTHING);
	assert_int_equal(held(guest), before);
	/* Another round hints what is free now. */
	say(guest, ROUND + 1);
	blocks = 0;
	assert_int_equal(take(guest), ROUND + 1);
	assert_int_equal(take_to_id(guest, &blocks), 0);
	assert_int_equal(blocks, 20 - before / 512);
	answer_all(guest);
	say(guest, 1);
	assert_int_equal(held(guest), 0);
	end_guest(guest);
}

static void test_done_without_stop_frees_the_blocks(void **state)
{
	struct fake_guest *guest = hinting_guest(8, 0);
	unsigned int blocks = 0;

	(void)state;
	say(guest, ROUND);
	assert_int_equal(take(guest), ROUND);
	say(guest, 1);
	assert_int_equal(held(guest), 0);
	assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
	/* The round was running, so that its end is said. */
	assert_int_equal(take_to_id(guest, &blocks), 0);
	answer_all(guest);
	assert_int_equal(take(guest), NOTHING);
	/* And a round that the device never saw begin is still followed by others. */
	say(guest, ROUND + 5);
	say(guest, 1);
	say(guest, ROUND + 6);
	assert_int_equal(take(guest), ROUND + 5);
	assert_int_equal(take_to_id(guest, &blocks), 0);
	assert_int_equal(take_to_id(guest, &blocks), ROUND + 6);
	assert_int_equal(take_to_id(guest, &blocks), 0);
	answer_all(guest);
	say(guest, 1);
	assert_int_equal(held(guest), 0);
	end_guest(guest);
}

/* More blocks than one step gives back, and a new round in between. */
static void test_a_round_after_done_begins_when_the_blocks_are_back(void **state)
{
	struct fake_guest_options options = { .sim = { .frames = MIB(512) } };
	struct fake_guest *guest = new_guest(&options);
	unsigned int blocks = 0, steps = 0;

	(void)state;
	guest->fake.offered = OFFERED;
	fake_guest_serve(guest);
	say(guest, ROUND);
	assert_int_equal(take(guest), ROUND);
	assert_int_equal(take_to_id(guest, &blocks), 0);
	assert_int_equal(blocks, 256);
	answer_all(guest);
	virtio_fake_set_config(&guest->fake, 8, 1);
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	(void)fake_guest_step(guest);
	(void)fake_guest_step(guest);
	assert_in_range(held(guest), 1, MIB(512) - 1);
	virtio_fake_set_config(&guest->fake, 8, ROUND + 1);
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	blocks = 0;
	/* The device is as fast as the driver. */
	for (bool is_ended = false; !is_ended && steps < 5000; steps++) {
		uint32_t what;

		(void)fake_guest_step(guest);
		while ((what = take(guest)) != NOTHING) {
			blocks += what == BLOCK;
			is_ended = !what;
			virtio_fake_push(&guest->fake, HINTS, 0, 0);
		}
		fake_guest_interrupt(guest, QUEUE_ANSWER);
	}
	assert_in_range(steps, 1, 4999);
	assert_int_equal(blocks, 256);
	assert_int_equal(held(guest), MIB(512));
	say(guest, 1);
	assert_int_equal(held(guest), 0);
	end_guest(guest);
}

/* The same, with no interrupt after the new round was told. */
static void test_a_round_after_done_needs_no_other_word(void **state)
{
	struct fake_guest *guest = hinting_guest(64, T(EVENT_IDX));
	unsigned int blocks = 0;

	(void)state;
	say(guest, ROUND);
	(void)take(guest);
	(void)take_to_id(guest, &blocks);
	answer_all(guest);
	virtio_fake_set_config(&guest->fake, 8, 1);
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	(void)fake_guest_step(guest);
	say(guest, ROUND + 1);
	assert_int_equal(take(guest), ROUND + 1);
	answer_all(guest);
	say(guest, 1);
	end_guest(guest);
}

static void test_stop_after_done_keeps_nothing(void **state)
{
	struct fake_guest_options options = { .sim = { .frames = MIB(512) } };
	struct fake_guest *guest = new_guest(&options);
	unsigned int blocks = 0;

	(void)state;
	guest->fake.offered = OFFERED;
	fake_guest_serve(guest);
	say(guest, ROUND);
	(void)take(guest);
	(void)take_to_id(guest, &blocks);
	answer_all(guest);
	virtio_fake_set_config(&guest->fake, 8, 1);
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	(void)fake_guest_step(guest);
	assert_true(held(guest) > 0);
	say(guest, 0);
	assert_int_equal(held(guest), 0);
	end_guest(guest);
}

static void test_the_end_of_a_round_is_said_when_there_is_room(void **state)
{
	struct fake_guest *guest = hinting_guest(4, 0);
	unsigned int blocks = 0;

	(void)state;
	/* Memory for two blocks, and nothing answered: ids and blocks fill the ring. */
	guest->sim.spare_floor = MIB(36);
	say(guest, ROUND);
	assert_int_equal(take(guest), ROUND);
	assert_int_equal(take_to_id(guest, &blocks), 0);
	assert_int_equal(blocks, 2);
	answer_all(guest);
	say(guest, 1);
	/* None at all. */
	guest->sim.spare_floor = MIB(40);
	say(guest, ROUND + 1);
	assert_int_equal(take(guest), ROUND + 1);
	assert_int_equal(take_to_id(guest, &blocks), 0);
	assert_int_equal(blocks, 2);
	answer_all(guest);
	end_guest(guest);
}

/* The ring is full when the round ends, and the host ends it too before there is room. */
static void test_an_end_that_waits_for_room_is_said_after_done(void **state)
{
	struct fake_guest *guest = hinting_guest(2, 0);
	unsigned int blocks = 0;

	(void)state;
	guest->sim.spare_floor = MIB(38);
	say(guest, ROUND);
	assert_int_equal(take(guest), ROUND);
	virtio_fake_push(&guest->fake, HINTS, 0, 0);
	fake_guest_interrupt(guest, QUEUE_ANSWER);
	fake_guest_settle(guest);
	say(guest, 1);
	assert_int_equal(take_to_id(guest, &blocks), 0);
	assert_int_equal(take(guest), NOTHING);
	answer_all(guest);
	end_guest(guest);
}

static void test_hinted_blocks_are_reclaimed_first(void **state)
{
	struct fake_guest *guest = hinting_guest(64, 0);
	uint64_t came;

	(void)state;
	fake_guest_target(guest, 512);
	say(guest, ROUND);
	assert_int_equal(held(guest), MIB(38));
	assert_int_equal(aero_virtio_balloon_guest_reclaim(&guest->drv, AERO_RECLAIM_PRESSURE, 1000,
							   guest->now, &came),
			 AERO_OK);
	assert_int_equal(came, 1024);
	assert_int_equal(sim_port_free_frames(&guest->sim), 1024);
	/* There is no more than that: DEFLATE_ON_OOM is not negotiated. */
	assert_int_equal(aero_virtio_balloon_guest_reclaim(&guest->drv, AERO_RECLAIM_OOM, MIB(40),
							   guest->now, &came),
			 AERO_OK);
	assert_int_equal(came, MIB(38) - 1024);
	assert_int_equal(aero_virtio_balloon_guest_reclaim(&guest->drv, AERO_RECLAIM_OOM, 1,
							   guest->now, &came),
			 AERO_ENOTSUP);
	assert_int_equal(came, 0);
	assert_int_equal(fake_guest_frames(guest), 512);
	end_guest(guest);
}

static void test_a_reset_in_a_round_frees_the_blocks(void **state)
{
	struct fake_guest *guest = hinting_guest(16, 0);
	unsigned int blocks = 0;

	(void)state;
	say(guest, ROUND);
	assert_true(held(guest) > 0);
	guest->fake.extra_status = AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET;
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	fake_guest_settle(guest);
	assert_int_equal(held(guest), 0);
	/* The round is still on after the new start. */
	fake_guest_wait(guest, 2 * SECOND);
	assert_int_equal(take(guest), ROUND);
	assert_int_equal(take_to_id(guest, &blocks), 0);
	assert_int_equal(blocks, 20);
	answer_all(guest);
	end_guest(guest);
}

static void test_a_round_without_memory_to_remember_blocks_ends(void **state)
{
	struct fake_guest *guest = hinting_guest(16, 0);
	unsigned int blocks = 0;

	(void)state;
	sim_port_fail(&guest->sim, SIM_PORT_PAGE_GET, 1, true);
	say(guest, ROUND);
	assert_int_equal(take(guest), ROUND);
	assert_int_equal(take_to_id(guest, &blocks), 0);
	assert_int_equal(blocks, 0);
	assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
	sim_port_fail(&guest->sim, 0, 0, false);
	end_guest(guest);
}

/*
 * QEMU shows STOP once it has the id, and tells nobody: no interrupt, no other generation. A kernel
 * that polls reads that again and again. Answers how many blocks the round had.
 */
static unsigned int round_with_qemu(uint32_t why, bool is_legacy)
{
	struct fake_guest_options options = { .sim = { .frames = MIB(512) },
					      .is_legacy = is_legacy };
	struct fake_guest *guest = new_guest(&options);
	uint32_t what = NOTHING;
	unsigned int blocks = 0;

	guest->fake.offered &= OFFERED;
	virtio_fake_set_config(&guest->fake, 8, 1);
	fake_guest_serve(guest);
	say(guest, ROUND);
	assert_int_equal(take(guest), ROUND);
	memset(guest->fake.config + 8, 0, 4);
	for (unsigned int turn = 0; what && turn < 5000; turn++) {
		if (guest->fake.queue[HINTS].flying_count)
			virtio_fake_push(&guest->fake, HINTS, 0, 0);
		fake_guest_interrupt(guest, why);
		fake_guest_settle(guest);
		what = take(guest);
		blocks += what == BLOCK;
	}
	assert_int_equal(what, 0);
	answer_all(guest);
	say(guest, 1);
	assert_int_equal(held(guest), 0);
	end_guest(guest);
	return blocks;
}

static void test_a_round_goes_on_where_the_kernel_polls(void **state)
{
	(void)state;
	assert_int_equal(round_with_qemu(QUEUE_ANSWER | CONFIG_CHANGE, false), 256);
	assert_int_equal(round_with_qemu(QUEUE_ANSWER, false), 256);
	/* Without generations a change is one that was told of. */
	assert_int_equal(round_with_qemu(QUEUE_ANSWER, true), 256);
	assert_in_range(round_with_qemu(QUEUE_ANSWER | CONFIG_CHANGE, true), 0, 255);
}

/* A STOP that is one: the generation is another, seen by polling or told. */
static void test_a_stop_that_is_seen_by_polling_ends_the_round(void **state)
{
	(void)state;
	for (unsigned int legacy = 0; legacy < 2; legacy++) {
		struct fake_guest_options options = { .is_legacy = legacy };
		struct fake_guest *guest = new_guest(&options);
		unsigned int blocks = 0;

		guest->fake.offered &= OFFERED;
		guest->fake.queue_size[HINTS] = 8;
		virtio_fake_set_config(&guest->fake, 8, 1);
		fake_guest_serve(guest);
		say(guest, ROUND);
		assert_int_equal(take(guest), ROUND);
		if (!legacy) {
			memset(guest->fake.config + 8, 0, 4);
			fake_guest_interrupt(guest, CONFIG_CHANGE);
			fake_guest_settle(guest);
			assert_int_equal(report_of(guest).hint_id, ROUND);
		}
		say(guest, 0);
		assert_int_equal(report_of(guest).hint_id, 0);
		assert_int_equal(take_to_id(guest, &blocks), 0);
		assert_in_range(blocks, 0, 7);
		answer_all(guest);
		say(guest, 1);
		end_guest(guest);
	}
}

/* A device that writes into what it was to read, or beyond the end of a block. */
static void test_an_answer_longer_than_what_may_be_written_is_a_broken_queue(void **state)
{
	(void)state;
	for (unsigned int block = 0; block < 2; block++) {
		struct fake_guest *guest = hinting_guest(16, 0);

		say(guest, ROUND);
		assert_int_equal(take(guest), ROUND);
		if (block) {
			virtio_fake_push(&guest->fake, HINTS, 0, 0);
			assert_int_equal(take(guest), BLOCK);
		}
		virtio_fake_push(&guest->fake, HINTS, 0, block ? (2 << 20) + 1 : 4);
		fake_guest_interrupt(guest, QUEUE_ANSWER);
		fake_guest_settle(guest);
		assert_int_equal(report_of(guest).counters.broken_queues, 1);
		assert_int_equal(held(guest), 0);
		assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
		end_guest(guest);
	}
}

/* A buffer has 32 bits for its length: 1 GiB is hinted, as it is. */
static void test_blocks_of_a_gigabyte_are_hinted(void **state)
{
	struct fake_guest_options options = {
		.sim = { .frames = SIM_PORT_GIB(4), .orders = 1u << 0 | 1u << 9 | 1u << 18 },
	};
	struct fake_guest *guest = new_guest(&options);
	const struct virtio_device_chain *chain;

	(void)state;
	guest->fake.offered = OFFERED;
	fake_guest_serve(guest);
	say(guest, ROUND);
	assert_non_null(virtio_fake_pop(&guest->fake, HINTS));
	for (unsigned int i = 0; i < 4; i++) {
		chain = virtio_fake_pop(&guest->fake, HINTS);
		assert_non_null(chain);
		assert_int_equal(chain->buffers[0].len, 1 << 30);
	}
	end_guest(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_round_is_the_id_all_free_blocks_and_the_end),
		cmocka_unit_test(test_a_new_id_in_the_middle_begins_a_new_round),
		cmocka_unit_test(test_a_new_id_before_the_old_one_is_answered_waits_for_it),
		cmocka_unit_test(test_stop_in_the_middle_ends_the_round_and_keeps_the_blocks),
		cmocka_unit_test(test_done_without_stop_frees_the_blocks),
		cmocka_unit_test(test_a_round_after_done_begins_when_the_blocks_are_back),
		cmocka_unit_test(test_a_round_after_done_needs_no_other_word),
		cmocka_unit_test(test_stop_after_done_keeps_nothing),
		cmocka_unit_test(test_the_end_of_a_round_is_said_when_there_is_room),
		cmocka_unit_test(test_an_end_that_waits_for_room_is_said_after_done),
		cmocka_unit_test(test_hinted_blocks_are_reclaimed_first),
		cmocka_unit_test(test_a_reset_in_a_round_frees_the_blocks),
		cmocka_unit_test(test_a_round_without_memory_to_remember_blocks_ends),
		cmocka_unit_test(test_a_round_goes_on_where_the_kernel_polls),
		cmocka_unit_test(test_a_stop_that_is_seen_by_polling_ends_the_round),
		cmocka_unit_test(test_an_answer_longer_than_what_may_be_written_is_a_broken_queue),
		cmocka_unit_test(test_blocks_of_a_gigabyte_are_hinted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
