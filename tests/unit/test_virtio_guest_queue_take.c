/* SPDX-License-Identifier: MIT */
#include "support/virtio_guest_rig.h"

/* What comes back from a good device: order, lengths, batches, wrap-around. */

static void test_take_order_of_the_device(void **state)
{
	static const uint16_t in_order[] = { 0, 1, 2, 3 };
	static const uint16_t mixed[] = { 2, 0, 3, 1 };
	struct virtio_guest_rig rig;
	struct virtio_device_chain chains[4];
	const uint16_t *order = mixed;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	if (rig.ring.is_in_order)
		order = in_order;
	/* 7 entries each time, so that all laps of all rings differ. */
	for (int lap = 0; lap < 50; lap++) {
		for (uint16_t i = 0; i < 4; i++)
			virtio_guest_rig_give(&rig, i, 1 + (i & 1) + (i == 2), 1);
		for (uint16_t i = 0; i < 4; i++)
			chains[i] = virtio_guest_rig_pop(&rig);
		virtio_guest_rig_take_none(&rig);
		for (int i = 0; i < 4; i++)
			virtio_device_push(&rig.dev, &chains[order[i]], order[i] + 1u);
		for (int i = 0; i < 4; i++)
			virtio_guest_rig_take(&rig, order[i], order[i] + 1u);
		virtio_guest_rig_take_none(&rig);
	}
	virtio_guest_rig_close(&rig);
}

/* Beyond the free-running indices of split rings; chains of 1 to 3 entries. */
static void test_take_70000_chains_all_come_back(void **state)
{
	struct virtio_guest_rig rig;
	struct virtio_device_chain chain;
	struct aero_virtio_guest_used used;
	struct aero_virtio_guest_buffer buffers[3] = { { 0x1000, 4, false },
						       { 0x2000, 8, false },
						       { 0x3000, 100, true } };

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (uint32_t i = 0; i < 70000; i++) {
		struct aero_virtio_guest_chain give = {
			.buffers = buffers + i % 3,
			.count = 3 - i % 3,
			.token = (uint16_t)i,
		};

		assert_int_equal(aero_virtio_guest_queue_give(&rig.queue, &give), AERO_OK);
		chain = virtio_guest_rig_pop(&rig);
		assert_int_equal(chain.count, 3 - i % 3);
		virtio_device_push(&rig.dev, &chain, i % 101);
		assert_int_equal(aero_virtio_guest_queue_take(&rig.queue, &used), AERO_OK);
		assert_int_equal(used.token, (uint16_t)i);
		assert_int_equal(used.len, i % 101);
	}
	virtio_guest_rig_take_none(&rig);
	virtio_guest_rig_close(&rig);
}

static void fill_and_drain(struct virtio_guest_rig *rig)
{
	uint16_t size = (uint16_t)(rig->ring.size - 1);
	struct virtio_device_chain chain;
	struct aero_virtio_guest_used used;
	struct aero_virtio_guest_buffer buffer = { 0x1000, 4, true };
	struct aero_virtio_guest_chain give = { .buffers = &buffer, .count = 1 };

	/* Tokens size .. 0: the last one is number 32767 of 32768. */
	for (uint32_t i = 0; i <= size; i++) {
		give.token = (uint16_t)(size - i);
		assert_int_equal(aero_virtio_guest_queue_give(&rig->queue, &give), AERO_OK);
	}
	assert_int_equal(aero_virtio_guest_queue_give(&rig->queue, &give), AERO_EAGAIN);
	assert_int_equal(aero_virtio_guest_queue_validate(&rig->queue), AERO_OK);
	while (virtio_device_pop(&rig->dev, &chain))
		virtio_device_push(&rig->dev, &chain, 4);
	assert_true(aero_virtio_guest_queue_interrupt_after(&rig->queue, rig->ring.size));
	for (uint32_t i = 0; i <= size; i++) {
		assert_int_equal(aero_virtio_guest_queue_take(&rig->queue, &used), AERO_OK);
		assert_int_equal(used.token, size - i);
	}
	virtio_guest_rig_take_none(rig);
}

static void test_take_every_size_full(void **state)
{
	static const uint32_t sizes[] = { 1, 2, 3, 4, 5, 64, 1000, 32767, 32768 };
	struct virtio_guest_rig rig;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		struct aero_virtio_guest_queue_config ring = *virtio_guest_rig_ring(state);

		ring.size = sizes[i];
		if (!ring.is_packed && ring.size & (ring.size - 1))
			continue;
		virtio_guest_rig_open(&rig, &ring);
		for (int lap = 0; lap < 4; lap++)
			fill_and_drain(&rig);
		virtio_guest_rig_close(&rig);
	}
}

static void test_take_ring_of_one(void **state)
{
	struct aero_virtio_guest_queue_config ring = *virtio_guest_rig_ring(state);
	struct virtio_guest_rig rig;
	struct virtio_device_chain chain;
	struct virtio_device_chain none;

	ring.size = 1;
	virtio_guest_rig_open(&rig, &ring);
	for (uint16_t i = 0; i < 9; i++) {
		assert_false(aero_virtio_guest_queue_interrupt_after(&rig.queue, 1));
		virtio_guest_rig_give(&rig, i, 1, 1);
		assert_int_equal(virtio_guest_rig_try_give(&rig, 99, 1, 1), AERO_EAGAIN);
		assert_true(aero_virtio_guest_queue_kick_needed(&rig.queue));
		chain = virtio_guest_rig_pop(&rig);
		virtio_guest_rig_expect(&chain, i, 1, 1);
		assert_false(virtio_device_pop(&rig.dev, &none));
		virtio_device_set_kicks(&rig.dev, true);
		virtio_guest_rig_take_none(&rig);
		virtio_device_push(&rig.dev, &chain, 16);
		assert_true(virtio_device_wants_interrupt(&rig.dev));
		virtio_guest_rig_take(&rig, i, 16);
		virtio_guest_rig_take_none(&rig);
	}
	virtio_guest_rig_close(&rig);
}

static void test_take_length_up_to_writable(void **state)
{
	static const uint32_t lens[] = { 0, 1, 47, 48 };
	struct virtio_guest_rig rig;
	struct virtio_device_chain chain;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (size_t i = 0; i < TEST_ARRAY_SIZE(lens); i++) {
		virtio_guest_rig_give(&rig, 7, 3, 1);
		chain = virtio_guest_rig_pop(&rig);
		virtio_device_push(&rig.dev, &chain, lens[i]);
		virtio_guest_rig_take(&rig, 7, lens[i]);
	}
	virtio_guest_rig_close(&rig);
}

/* A used descriptor of a packed ring has a length only where its WRITE flag is set. */
static void test_take_packed_length_without_write_flag_ignored(void **state)
{
	struct virtio_guest_rig rig;
	struct virtio_device_chain chain;

	(void)state;
	virtio_guest_rig_open(&rig, &(struct aero_virtio_guest_queue_config){ .size = 4,
									      .is_packed = true });
	virtio_guest_rig_give(&rig, 7, 1, 1);
	chain = virtio_guest_rig_pop(&rig);
	virtio_device_put(&rig.dev, rig.parts[0] + 8, 0xffffffff, 4);
	virtio_device_put(&rig.dev, rig.parts[0] + 12, chain.id, 2);
	virtio_device_put(&rig.dev, rig.parts[0] + 14, 0x8080, 2);
	virtio_guest_rig_take(&rig, 7, 0);
	virtio_guest_rig_close(&rig);
}

static void check_stopped(struct virtio_guest_rig *rig, uint32_t in_flight)
{
	uint16_t token;

	while (in_flight--)
		assert_true(aero_virtio_guest_queue_stop(&rig->queue, &token));
	assert_false(aero_virtio_guest_queue_stop(&rig->queue, &token));
}

/* Batches of every length, by one entry each; chains of 1 and 2 entries and with tables. */
static void test_take_batch_by_one_entry(void **state)
{
	struct virtio_guest_rig rig;
	struct virtio_device_chain chains[4];
	uint16_t given = 0;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (uint32_t lap = 0; lap < 200 && rig.ring.is_in_order; lap++) {
		uint32_t count = 1 + lap % 4;

		for (uint16_t i = 0; i < 4; i++, given++) {
			uint16_t token = given % VIRTIO_GUEST_RIG_TABLE_COUNT;

			assert_int_equal(given % 5 ? virtio_guest_rig_try_give(&rig, token,
									       1 + i % 2, 1)
						   : virtio_guest_rig_try_table(&rig, token, 2, 1),
					 AERO_OK);
			chains[i] = virtio_guest_rig_pop(&rig);
		}
		virtio_device_push_batch(&rig.dev, chains, count, 3);
		if (count < 4)
			virtio_device_push_batch(&rig.dev, chains + count, 4 - count, 5);
		for (uint16_t i = 0; i < 4; i++) {
			uint16_t token = (uint16_t)(given - 4 + i) % VIRTIO_GUEST_RIG_TABLE_COUNT;
			uint32_t all = chains[i].count == 1 ? 16 : 32;

			/* Those without an entry of their own count as written to the end. */
			if (i + 1u == count)
				all = 3;
			else if (i == 3)
				all = 5;
			assert_true(aero_virtio_guest_queue_interrupt_after(&rig.queue, 1));
			virtio_guest_rig_take(&rig, token, all);
		}
		virtio_guest_rig_take_none(&rig);
	}
	check_stopped(&rig, 0);
	virtio_guest_rig_close(&rig);
}

/* What is given and stopped while a batch is taken. */
static void test_take_batch_interrupted(void **state)
{
	struct virtio_guest_rig rig;
	struct virtio_device_chain chains[3];

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	if (rig.ring.is_in_order) {
		for (uint16_t i = 0; i < 3; i++) {
			virtio_guest_rig_give(&rig, i, 1, 0);
			chains[i] = virtio_guest_rig_pop(&rig);
		}
		virtio_device_push_batch(&rig.dev, chains, 3, 0);
		virtio_guest_rig_take(&rig, 0, 0);
		virtio_guest_rig_give(&rig, 3, 2, 0);
		virtio_guest_rig_take(&rig, 1, 0);
		virtio_guest_rig_give(&rig, 4, 2, 0);
		check_stopped(&rig, 3);
	}
	virtio_guest_rig_close(&rig);
}

/* The device may write what it likes into the driver's parts: it is not read again. */
static void scribble(struct virtio_guest_rig *rig, uint8_t byte)
{
	memset(rig->parts[4], byte, (size_t)16 * AERO_VIRTIO_GUEST_CHAIN_MAX);
	memset(rig->parts[1], byte, rig->ring.is_packed ? 4 : 6 + 2 * (size_t)rig->ring.size);
	if (!rig->ring.is_packed)
		memset(rig->parts[0], byte, (size_t)16 * rig->ring.size);
}

static void test_take_driver_parts_scribbled_same_answers(void **state)
{
	struct virtio_guest_rig rig;
	struct virtio_device_chain chains[2];

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (unsigned int lap = 0; lap < 600; lap++) {
		for (uint16_t i = 0; i < 2; i++) {
			assert_int_equal(virtio_guest_rig_try_table(&rig, i, 2 + i, 1), AERO_OK);
			if (!rig.ring.is_packed) {
				/* Its own index was scribbled over: where the driver really is. */
				uint16_t idx = (uint16_t)(2 * lap + i);

				assert_int_equal(virtio_device_get(&rig.dev, rig.parts[1] + 2, 2),
						 (uint16_t)(idx + 1));
			}
			chains[i] = virtio_guest_rig_pop(&rig);
			virtio_guest_rig_expect(&chains[i], i, 2 + i, 1);
		}
		scribble(&rig, (uint8_t)lap);
		virtio_device_push(&rig.dev, &chains[0], 32);
		virtio_device_push(&rig.dev, &chains[1], 48);
		virtio_guest_rig_take(&rig, 0, 32);
		virtio_guest_rig_take(&rig, 1, 48);
		virtio_guest_rig_take_none(&rig);
	}
	virtio_guest_rig_close(&rig);
}

/* Packed: all but the flags of the descriptors that are not used yet. */
static void test_take_packed_descriptors_scribbled_same_answers(void **state)
{
	struct aero_virtio_guest_queue_config ring = { .size = 5, .is_packed = true };
	struct virtio_guest_rig rig;
	struct virtio_device_chain chains[2];

	(void)state;
	virtio_guest_rig_open(&rig, &ring);
	for (unsigned int lap = 0; lap < 600; lap++) {
		for (uint16_t i = 0; i < 2; i++) {
			virtio_guest_rig_give(&rig, i, 2, 1);
			chains[i] = virtio_guest_rig_pop(&rig);
			virtio_guest_rig_expect(&chains[i], i, 2, 1);
		}
		for (size_t i = 0; i < ring.size; i++)
			memset(rig.parts[0] + 16 * i, (int)lap, 14);
		virtio_device_push(&rig.dev, &chains[1], 32);
		virtio_device_push(&rig.dev, &chains[0], 31);
		virtio_guest_rig_take(&rig, 1, 32);
		virtio_guest_rig_take(&rig, 0, 31);
		virtio_guest_rig_take_none(&rig);
	}
	virtio_guest_rig_close(&rig);
}

int main(void)
{
	static const struct CMUnitTest each[] = {
		cmocka_unit_test(test_take_order_of_the_device),
		cmocka_unit_test(test_take_70000_chains_all_come_back),
		cmocka_unit_test(test_take_every_size_full),
		cmocka_unit_test(test_take_ring_of_one),
		cmocka_unit_test(test_take_length_up_to_writable),
		cmocka_unit_test(test_take_batch_by_one_entry),
		cmocka_unit_test(test_take_batch_interrupted),
		cmocka_unit_test(test_take_driver_parts_scribbled_same_answers),
	};
	static const struct CMUnitTest once[] = {
		cmocka_unit_test(test_take_packed_length_without_write_flag_ignored),
		cmocka_unit_test(test_take_packed_descriptors_scribbled_same_answers),
	};
	struct CMUnitTest
		tests[TEST_ARRAY_SIZE(each) * VIRTIO_GUEST_RIG_VARIANTS + TEST_ARRAY_SIZE(once)];

	virtio_guest_rig_expand(tests, each, TEST_ARRAY_SIZE(each));
	memcpy(&tests[TEST_ARRAY_SIZE(each) * VIRTIO_GUEST_RIG_VARIANTS], once, sizeof(once));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
