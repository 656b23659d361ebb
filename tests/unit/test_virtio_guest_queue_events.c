/* SPDX-License-Identifier: MIT */
#include "support/random.h"
#include "support/virtio_guest_rig.h"

/* Who is told of what: kicks that the device wants, interrupts that the driver wants. */

/* One chain of one entry through both ends. */
static void pass_one(struct virtio_guest_rig *rig)
{
	struct virtio_device_chain chain;

	virtio_guest_rig_give(rig, 1, 1, 0);
	chain = virtio_guest_rig_pop(rig);
	virtio_device_push(&rig->dev, &chain, 0);
	virtio_guest_rig_take(rig, 1, 0);
}

static void push_all(struct virtio_guest_rig *rig)
{
	struct virtio_device_chain chain;
	struct aero_virtio_guest_used used;

	while (virtio_device_pop(&rig->dev, &chain))
		virtio_device_push(&rig->dev, &chain, 0);
	while (aero_virtio_guest_queue_take(&rig->queue, &used) == AERO_OK)
		;
	(void)virtio_device_wants_interrupt(&rig->dev);
	assert_int_equal(rig->queue.fault, AERO_VIRTIO_GUEST_QUEUE_FAULT_NONE);
	assert_int_equal(rig->queue.in_flight, 0);
}

static void test_kick_nothing_given_false(void **state)
{
	struct virtio_guest_rig rig;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	assert_false(aero_virtio_guest_queue_kick_needed(&rig.queue));
	virtio_guest_rig_give(&rig, 1, 1, 0);
	assert_true(aero_virtio_guest_queue_kick_needed(&rig.queue));
	assert_false(aero_virtio_guest_queue_kick_needed(&rig.queue));
	virtio_guest_rig_close(&rig);
}

static void test_kick_off_and_on(void **state)
{
	struct virtio_guest_rig rig;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (int lap = 0; lap < 40; lap++) {
		bool is_on = lap % 3;

		virtio_device_set_kicks(&rig.dev, is_on);
		virtio_guest_rig_give(&rig, 1, 1, 0);
		virtio_guest_rig_give(&rig, 2, 2, 0);
		assert_int_equal(aero_virtio_guest_queue_kick_needed(&rig.queue), is_on);
		assert_false(aero_virtio_guest_queue_kick_needed(&rig.queue));
		push_all(&rig);
	}
	virtio_guest_rig_close(&rig);
}

/* Gives four one by one, or all at once; the device wants to hear of the nth. */
static void kick_at(struct virtio_guest_rig *rig, uint16_t nth, bool is_at_once)
{
	static const struct aero_virtio_guest_buffer buffer = { 0x1000, 4, false };
	struct aero_virtio_guest_chain chain = { .buffers = &buffer, .count = 1 };

	virtio_device_kick_at(&rig->dev, nth);
	for (uint16_t i = 0; i < 4; i++) {
		assert_int_equal(aero_virtio_guest_queue_give(&rig->queue, &chain), AERO_OK);
		if (!is_at_once)
			assert_int_equal(aero_virtio_guest_queue_kick_needed(&rig->queue),
					 i == nth);
	}
	if (is_at_once)
		assert_int_equal(aero_virtio_guest_queue_kick_needed(&rig->queue), nth < 4);
	push_all(rig);
}

/* Beyond the free-running indices. */
static void test_kick_event_at_the_entry_named(void **state)
{
	struct virtio_guest_rig rig;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (uint32_t lap = 0; lap < 18000 && rig.ring.has_event_idx; lap++)
		kick_at(&rig, lap % 5, lap % 3 == 0);
	virtio_guest_rig_close(&rig);
}

/* A descriptor in the middle of a list counts as well, and a full ring is one turn. */
static void test_kick_packed_event_inside_a_list(void **state)
{
	struct virtio_guest_rig rig;
	struct aero_virtio_guest_queue_config ring = {
		.size = 5,
		.is_packed = true,
		.has_event_idx = true,
	};

	(void)state;
	virtio_guest_rig_open(&rig, &ring);
	for (uint16_t lap = 0; lap < 200; lap++) {
		uint16_t nth = lap % 5;

		virtio_device_kick_at(&rig.dev, nth);
		if (lap % 2)
			virtio_guest_rig_give(&rig, 1, 5, 0);
		else
			virtio_guest_rig_give(&rig, 1, 3, 0);
		assert_int_equal(aero_virtio_guest_queue_kick_needed(&rig.queue),
				 nth < (lap % 2 ? 5 : 3));
		push_all(&rig);
	}
	virtio_guest_rig_close(&rig);
}

static void test_kick_packed_flags_without_meaning_kick(void **state)
{
	struct virtio_guest_rig rig;
	struct aero_virtio_guest_queue_config ring = { .size = 5, .is_packed = true };

	(void)state;
	for (int has_event_idx = 0; has_event_idx < 2; has_event_idx++) {
		ring.has_event_idx = has_event_idx;
		virtio_guest_rig_open(&rig, &ring);
		virtio_device_kick_at(&rig.dev, 4); /* not the first one */
		virtio_guest_rig_give(&rig, 1, 1, 0);
		assert_int_equal(aero_virtio_guest_queue_kick_needed(&rig.queue), !has_event_idx);
		virtio_device_put(&rig.dev, rig.parts[2] + 2, 3, 2);
		virtio_guest_rig_give(&rig, 1, 1, 0);
		assert_true(aero_virtio_guest_queue_kick_needed(&rig.queue));
		/* The other bits are reserved. */
		virtio_device_put(&rig.dev, rig.parts[2] + 2, 0xfffd, 2);
		virtio_guest_rig_give(&rig, 1, 1, 0);
		assert_false(aero_virtio_guest_queue_kick_needed(&rig.queue));
		virtio_guest_rig_close(&rig);
	}
}

/* Without the feature the places of the events are nobody's. */
static void test_kick_split_event_without_feature_ignored(void **state)
{
	struct virtio_guest_rig rig;
	struct aero_virtio_guest_queue_config ring = { .size = 4 };

	(void)state;
	virtio_guest_rig_open(&rig, &ring);
	virtio_device_put(&rig.dev, rig.parts[2] + 4 + 8 * 4, 0x1234, 2);
	virtio_guest_rig_give(&rig, 1, 1, 0);
	assert_true(aero_virtio_guest_queue_kick_needed(&rig.queue));
	ring.has_event_idx = true;
	virtio_guest_rig_close(&rig);
	/* And with it the flags are. */
	virtio_guest_rig_open(&rig, &ring);
	virtio_device_put(&rig.dev, rig.parts[2], 1, 2);
	virtio_guest_rig_give(&rig, 1, 1, 0);
	assert_true(aero_virtio_guest_queue_kick_needed(&rig.queue));
	virtio_guest_rig_close(&rig);
}

static void test_interrupt_fresh_ring_wanted(void **state)
{
	struct virtio_guest_rig rig;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	pass_one(&rig);
	assert_true(virtio_device_wants_interrupt(&rig.dev));
	virtio_guest_rig_close(&rig);
}

static void test_interrupt_after_none_not_wanted(void **state)
{
	struct virtio_guest_rig rig;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (int lap = 0; lap < 30; lap++) {
		assert_false(aero_virtio_guest_queue_interrupt_after(&rig.queue, 0));
		for (int i = 0; i < 9; i++) {
			pass_one(&rig);
			assert_false(virtio_device_wants_interrupt(&rig.dev));
		}
		assert_false(aero_virtio_guest_queue_interrupt_after(&rig.queue, 1));
		pass_one(&rig);
		assert_true(virtio_device_wants_interrupt(&rig.dev));
	}
	virtio_guest_rig_close(&rig);
}

/* Off as well where something waits: nobody wants to hear of it. */
static void test_interrupt_after_none_with_some_back_false(void **state)
{
	struct virtio_guest_rig rig;
	struct virtio_device_chain chain;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	virtio_guest_rig_give(&rig, 1, 1, 0);
	chain = virtio_guest_rig_pop(&rig);
	virtio_device_push(&rig.dev, &chain, 0);
	assert_false(aero_virtio_guest_queue_interrupt_after(&rig.queue, 0));
	virtio_guest_rig_take(&rig, 1, 0);
	virtio_guest_rig_close(&rig);
}

/* Chains of one entry: with the event index exactly at the nth, else at each. */
static void test_interrupt_after_at_the_nth(void **state)
{
	struct virtio_guest_rig rig;
	struct virtio_device_chain chain;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (uint32_t lap = 0; lap < 300; lap++) {
		uint32_t nth = 1 + lap % 6;
		uint32_t asked = nth == 6 ? 1000 : nth; /* more than there are: all */

		for (uint16_t i = 0; i < 6; i++)
			virtio_guest_rig_give(&rig, i, 1, 0);
		assert_false(aero_virtio_guest_queue_interrupt_after(&rig.queue, asked));
		for (uint32_t i = 1; i <= 6; i++) {
			chain = virtio_guest_rig_pop(&rig);
			virtio_device_push(&rig.dev, &chain, 0);
			assert_int_equal(virtio_device_wants_interrupt(&rig.dev),
					 !rig.ring.has_event_idx || i == nth);
		}
		push_all(&rig);
	}
	virtio_guest_rig_close(&rig);
}

static void test_interrupt_after_with_none_in_flight_at_the_next(void **state)
{
	struct virtio_guest_rig rig;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (int lap = 0; lap < 30; lap++) {
		assert_false(aero_virtio_guest_queue_interrupt_after(&rig.queue, 5));
		pass_one(&rig);
		assert_true(virtio_device_wants_interrupt(&rig.dev));
	}
	virtio_guest_rig_close(&rig);
}

/* Asked too late: true, once enough are back; the device will not say it again. */
static void test_interrupt_after_when_back_already_true(void **state)
{
	struct virtio_guest_rig rig;
	struct virtio_device_chain chain;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (int lap = 0; lap < 60; lap++) {
		uint32_t enough = rig.ring.is_packed && rig.ring.is_in_order ? 1 : 3;

		for (uint16_t i = 0; i < 5; i++)
			virtio_guest_rig_give(&rig, i, 1, 0);
		for (uint32_t i = 0; i < 5; i++) {
			assert_int_equal(aero_virtio_guest_queue_interrupt_after(&rig.queue, 3),
					 i >= enough);
			chain = virtio_guest_rig_pop(&rig);
			virtio_device_push(&rig.dev, &chain, 0);
		}
		push_all(&rig);
	}
	virtio_guest_rig_close(&rig);
}

struct flight {
	struct virtio_device_chain chains[8];
	uint32_t count;
	uint32_t pushed;
};

static void push_some(struct virtio_guest_rig *rig, struct flight *flight,
		      struct test_random *random, uint32_t count)
{
	for (; count; count--, flight->pushed++) {
		uint32_t left = flight->count - flight->pushed;
		uint32_t pick =
			rig->ring.is_in_order ? 0 : (uint32_t)test_random_below(random, left);
		struct virtio_device_chain *at = &flight->chains[flight->pushed];
		struct virtio_device_chain picked = at[pick];

		at[pick] = at[0];
		at[0] = picked;
		virtio_device_push(&rig->dev, &picked, 0);
	}
}

/*
 * Chains of any length come back in any order: where the answer is false, an interrupt comes with
 * the nth at the latest; where it is true there is something to take.
 */
static void test_interrupt_after_never_later(void **state)
{
	struct test_random random = { 7 };
	struct virtio_guest_rig rig;
	struct aero_virtio_guest_used used;
	struct flight flight;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (int lap = 0; lap < 3000; lap++) {
		uint32_t before;
		uint32_t nth;
		bool is_wanted = false;

		memset(&flight, 0, sizeof(flight));
		for (; flight.count < 8; flight.count++) {
			if (virtio_guest_rig_try_give(&rig, 0,
						      1 + (uint32_t)test_random_below(&random, 3),
						      0) != AERO_OK)
				break;
			flight.chains[flight.count] = virtio_guest_rig_pop(&rig);
		}
		nth = 1 + (uint32_t)test_random_below(&random, flight.count);
		before = (uint32_t)test_random_below(&random, flight.count);
		push_some(&rig, &flight, &random, before);
		(void)virtio_device_wants_interrupt(&rig.dev);
		if (aero_virtio_guest_queue_interrupt_after(&rig.queue, nth)) {
			assert_true(before > 0);
			assert_int_equal(aero_virtio_guest_queue_take(&rig.queue, &used), AERO_OK);
		} else {
			assert_true(before < nth);
			for (; before < nth && !is_wanted; before++) {
				push_some(&rig, &flight, &random, 1);
				is_wanted = virtio_device_wants_interrupt(&rig.dev);
			}
			assert_true(is_wanted);
		}
		push_some(&rig, &flight, &random, flight.count - flight.pushed);
		push_all(&rig);
	}
	virtio_guest_rig_close(&rig);
}

/* Any value of the device's event fields: an answer, and nothing else. */
static void test_kick_event_of_any_value_harmless(void **state)
{
	struct virtio_guest_rig rig;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (uint32_t event = 0; event < 0x10000; event += 37) {
		virtio_device_kick_at(&rig.dev, 0);
		virtio_device_put(&rig.dev,
				  rig.ring.is_packed || !rig.ring.has_event_idx
					  ? rig.parts[2]
					  : rig.parts[2] + 4 + (size_t)8 * rig.ring.size,
				  event, 2);
		virtio_guest_rig_give(&rig, 1, 1, 0);
		(void)aero_virtio_guest_queue_kick_needed(&rig.queue);
		assert_false(aero_virtio_guest_queue_kick_needed(&rig.queue));
		push_all(&rig);
	}
	virtio_guest_rig_close(&rig);
}

int main(void)
{
	static const struct CMUnitTest each[] = {
		cmocka_unit_test(test_kick_nothing_given_false),
		cmocka_unit_test(test_kick_off_and_on),
		cmocka_unit_test(test_kick_event_at_the_entry_named),
		cmocka_unit_test(test_kick_event_of_any_value_harmless),
		cmocka_unit_test(test_interrupt_fresh_ring_wanted),
		cmocka_unit_test(test_interrupt_after_none_not_wanted),
		cmocka_unit_test(test_interrupt_after_none_with_some_back_false),
		cmocka_unit_test(test_interrupt_after_at_the_nth),
		cmocka_unit_test(test_interrupt_after_with_none_in_flight_at_the_next),
		cmocka_unit_test(test_interrupt_after_when_back_already_true),
		cmocka_unit_test(test_interrupt_after_never_later),
	};
	static const struct CMUnitTest once[] = {
		cmocka_unit_test(test_kick_packed_event_inside_a_list),
		cmocka_unit_test(test_kick_packed_flags_without_meaning_kick),
		cmocka_unit_test(test_kick_split_event_without_feature_ignored),
	};
	struct CMUnitTest
		tests[TEST_ARRAY_SIZE(each) * VIRTIO_GUEST_RIG_VARIANTS + TEST_ARRAY_SIZE(once)];

	virtio_guest_rig_expand(tests, each, TEST_ARRAY_SIZE(each));
	memcpy(&tests[TEST_ARRAY_SIZE(each) * VIRTIO_GUEST_RIG_VARIANTS], once, sizeof(once));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
