/* SPDX-License-Identifier: MIT */
#include "support/virtio_rig.h"

/* Around the ring: wraps, order of return, taking over, putting back. */

/* One request whose bytes tell its number apart; answers what the device reads of it. */
static struct aero_virtio_chain give_and_pop(struct virtio_rig *rig, uint32_t number,
					     uint32_t buffers, uint16_t *out_id)
{
	struct virtio_driver_buffer list[8] = { { 0 } };
	struct aero_virtio_chain chain;
	uint32_t read[8];
	uint32_t len;

	for (uint32_t i = 0; i < buffers; i++) {
		aero_gpa gpa = VIRTIO_RIG_DATA + 64 * (number % 32) + 4 * i;

		guest_ram_put(&rig->ram, gpa, number ^ i << 24, 4, false);
		list[i] = (struct virtio_driver_buffer){ gpa, 4, false };
	}
	*out_id = virtio_rig_give(rig, list, buffers);
	chain = virtio_rig_pop(rig);
	assert_int_equal(aero_virtio_queue_read(&rig->queue, &chain, read, sizeof(read), &len),
			 AERO_OK);
	assert_int_equal(len, 4 * buffers);
	for (uint32_t i = 0; i < buffers; i++) {
		uint32_t expected = number ^ i << 24;
		const uint8_t bytes[] = { (uint8_t)expected, (uint8_t)(expected >> 8),
					  (uint8_t)(expected >> 16), (uint8_t)(expected >> 24) };

		assert_memory_equal(&read[i], bytes, 4);
	}
	return chain;
}

static void serve_one(struct virtio_rig *rig, uint32_t number, uint32_t buffers)
{
	uint16_t id;
	uint32_t len;
	struct aero_virtio_chain chain = give_and_pop(rig, number, buffers, &id);

	virtio_rig_push(rig, &chain, number);
	assert_int_equal(virtio_rig_take(rig, &len), id);
	assert_int_equal(len, number);
}

static void test_push_70000_requests_all_come_back(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	for (uint32_t number = 0; number < 70000; number++)
		serve_one(&rig, number, 1 + number % 5);
	assert_int_equal(rig.queue.in_flight, 0);
	virtio_rig_close(&rig);
}

static void check_smallest(bool is_packed, uint32_t size)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig,
			&(struct aero_virtio_queue_config){ .size = size, .is_packed = is_packed });
	for (uint32_t number = 0; number < 100; number++)
		serve_one(&rig, number, 1 + number % size);
	virtio_rig_close(&rig);
}

static void test_push_smallest_rings_all_come_back(void **state)
{
	(void)state;
	check_smallest(false, 1);
	check_smallest(false, 2);
	check_smallest(true, 1);
	check_smallest(true, 2);
	check_smallest(true, 3);
}

/* A ring full of requests, returned in an order that differs every time. */
static void test_push_any_order_all_come_back(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	for (uint32_t round = 0; round < 50; round++) {
		struct aero_virtio_chain chains[16];
		uint16_t ids[16];
		uint32_t size = rig.drv.ring.size;
		uint32_t len;

		for (uint32_t i = 0; i < size; i++)
			chains[i] = give_and_pop(&rig, round * size + i, 1, &ids[i]);
		for (uint32_t i = 0; i < size; i++) {
			/* Rotated, and backwards every second time. */
			uint32_t pick = (i + round) % size;

			if (round & 1)
				pick = size - 1 - pick;
			virtio_rig_push(&rig, &chains[pick], 0);
			assert_int_equal(virtio_rig_take(&rig, &len), ids[pick]);
		}
	}
	virtio_rig_close(&rig);
}

/* Lists of several entries, several in flight, in order: what IN_ORDER promises. */
static void test_push_in_order_lists_all_come_back(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	for (uint32_t round = 0; round < 50; round++) {
		struct aero_virtio_chain chains[3];
		uint16_t ids[3];
		uint32_t len;

		for (uint32_t i = 0; i < 3; i++)
			chains[i] = give_and_pop(&rig, round * 3 + i, 1 + (round + i) % 3, &ids[i]);
		for (uint32_t i = 0; i < 3; i++)
			virtio_rig_push(&rig, &chains[i], i);
		for (uint32_t i = 0; i < 3; i++) {
			assert_int_equal(virtio_rig_take(&rig, &len), ids[i]);
			assert_int_equal(len, i);
		}
	}
	virtio_rig_close(&rig);
}

/* Single requests survive that an earlier used entry overwrites their descriptor. */
static void test_read_unread_request_after_push_of_later_ok(void **state)
{
	static const struct virtio_driver_buffer first = { VIRTIO_RIG_DATA, 8, false };
	static const struct virtio_driver_buffer second = { VIRTIO_RIG_SEAM, 4, false };
	struct aero_virtio_chain held;
	struct aero_virtio_chain later;
	struct virtio_rig rig;
	uint8_t buf[16];
	uint32_t len;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	virtio_rig_fill(&rig, 0, VIRTIO_RIG_END);
	virtio_rig_give(&rig, &first, 1);
	virtio_rig_give(&rig, &second, 1);
	held = virtio_rig_pop(&rig);
	later = virtio_rig_pop(&rig);
	virtio_rig_push(&rig, &later, 5);
	assert_int_equal(aero_virtio_queue_read(&rig.queue, &held, buf, 16, &len), AERO_OK);
	assert_int_equal(len, 8);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(buf[i], virtio_rig_byte(VIRTIO_RIG_DATA + i));
	virtio_rig_push(&rig, &held, 0);
	virtio_rig_close(&rig);
}

/* At every position of the ring, read or not: the next pop() answers the same. */
static void test_unpop_then_pop_is_the_same(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	for (uint32_t number = 0; number < 100; number++) {
		uint16_t id;
		uint32_t len;
		struct aero_virtio_chain first = give_and_pop(&rig, number, 1 + number % 3, &id);
		struct aero_virtio_chain again;

		aero_virtio_queue_unpop(&rig.queue, &first);
		assert_int_equal(rig.queue.in_flight, 0);
		again = virtio_rig_pop(&rig);
		assert_int_equal(again.id, first.id);
		assert_int_equal(again.ring_slots, first.ring_slots);
		assert_int_equal(virtio_rig_drain(&rig, &again), AERO_ENOENT);
		assert_int_equal(again.total, 4 * (1 + number % 3));
		virtio_rig_push(&rig, &again, 0);
		assert_int_equal(virtio_rig_take(&rig, &len), id);
	}
	virtio_rig_close(&rig);
}

static void restart(struct virtio_rig *rig)
{
	rig->drv.ring.base = aero_virtio_queue_stop(&rig->queue);
	memset(&rig->queue, 0, sizeof(rig->queue));
	assert_int_equal(aero_virtio_queue_start(&rig->queue, &rig->drv.ring), AERO_OK);
}

static void test_stop_and_start_anywhere_goes_on(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	for (uint32_t number = 0; number < 200; number++) {
		serve_one(&rig, number, 1 + number % 4);
		restart(&rig);
	}
	virtio_rig_close(&rig);
}

/* A held request is put back, the queue stops; who starts it again gets the request. */
static void test_stop_after_unpop_request_comes_again(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	for (uint32_t number = 0; number < 50; number++) {
		uint16_t id;
		uint32_t len;
		struct aero_virtio_chain chain = give_and_pop(&rig, number, 1 + number % 3, &id);

		aero_virtio_queue_unpop(&rig.queue, &chain);
		restart(&rig);
		chain = virtio_rig_pop(&rig);
		virtio_rig_push(&rig, &chain, 0);
		assert_int_equal(virtio_rig_take(&rig, &len), id);
	}
	virtio_rig_close(&rig);
}

/* Or it is kept, as bytes, over the restart, half read. */
static void test_stop_with_chain_kept_can_be_pushed_later(void **state)
{
	static const struct virtio_driver_buffer list[] = {
		{ VIRTIO_RIG_DATA, 8, false },
		{ VIRTIO_RIG_SEAM, 8, false },
	};
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	for (unsigned int i = 0; i < 30; i++) {
		uint8_t saved[sizeof(struct aero_virtio_chain)];
		struct aero_virtio_chain chain;
		uint16_t id = virtio_rig_give(&rig, list, 2);
		uint8_t buf[32];
		uint32_t len;

		chain = virtio_rig_pop(&rig);
		assert_int_equal(aero_virtio_queue_read(&rig.queue, &chain, buf, 3, &len), AERO_OK);
		memcpy(saved, &chain, sizeof(saved));
		restart(&rig);
		memcpy(&chain, saved, sizeof(saved));
		assert_int_equal(aero_virtio_queue_read(&rig.queue, &chain, buf, 32, &len),
				 AERO_OK);
		assert_int_equal(len, 13);
		virtio_rig_push(&rig, &chain, 0);
		assert_int_equal(rig.queue.in_flight, 0);
		assert_int_equal(virtio_rig_take(&rig, &len), id);
	}
	virtio_rig_close(&rig);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		cmocka_unit_test(test_push_70000_requests_all_come_back),
		cmocka_unit_test(test_push_any_order_all_come_back),
		cmocka_unit_test(test_push_in_order_lists_all_come_back),
		cmocka_unit_test(test_read_unread_request_after_push_of_later_ok),
		cmocka_unit_test(test_unpop_then_pop_is_the_same),
		cmocka_unit_test(test_stop_and_start_anywhere_goes_on),
		cmocka_unit_test(test_stop_after_unpop_request_comes_again),
		cmocka_unit_test(test_stop_with_chain_kept_can_be_pushed_later),
	};
	static const struct CMUnitTest once[] = {
		cmocka_unit_test(test_push_smallest_rings_all_come_back),
	};
	struct CMUnitTest
		tests[TEST_ARRAY_SIZE(cases) * VIRTIO_RIG_VARIANTS + TEST_ARRAY_SIZE(once)];

	virtio_rig_expand(tests, cases, TEST_ARRAY_SIZE(cases));
	memcpy(&tests[TEST_ARRAY_SIZE(cases) * VIRTIO_RIG_VARIANTS], once, sizeof(once));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
