/* SPDX-License-Identifier: MIT */
#include "support/virtio_rig.h"

/* Who is told about what: interrupts to the driver, kicks to the device. */

static const struct virtio_driver_buffer buffer = { VIRTIO_RIG_DATA, 4, false };

static const struct aero_virtio_queue_config split = { .size = 8 };
static const struct aero_virtio_queue_config split_event = { .size = 8, .has_event_idx = true };
static const struct aero_virtio_queue_config packed = { .size = 5, .is_packed = true };
static const struct aero_virtio_queue_config packed_event = { .size = 5,
							      .is_packed = true,
							      .has_event_idx = true };

/* count requests through the ring, one by one; the driver sees them all come back. */
static void serve(struct virtio_rig *rig, unsigned int count)
{
	while (count--) {
		uint16_t id = virtio_rig_give(rig, &buffer, 1);
		struct aero_virtio_chain chain = virtio_rig_pop(rig);
		uint32_t len;

		virtio_rig_push(rig, &chain, 0);
		assert_int_equal(virtio_rig_take(rig, &len), id);
	}
}

static bool notifies(struct virtio_rig *rig)
{
	return aero_virtio_queue_should_notify(&rig->queue);
}

static void test_should_notify_nothing_pushed_false(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	assert_false(notifies(&rig));
	serve(&rig, 1);
	assert_true(notifies(&rig));
	assert_false(notifies(&rig));
	virtio_rig_close(&rig);
}

/* The driver may be owed an interrupt by the device that served the ring before us. */
static void test_should_notify_first_after_start_true(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	serve(&rig, 2);
	if (rig.drv.ring.has_event_idx)
		virtio_driver_interrupt_at(&rig.drv, 3);
	assert_true(notifies(&rig));
	virtio_rig_close(&rig);
}

static void test_should_notify_flag_decides(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	for (unsigned int i = 0; i < 20; i++) {
		bool is_wanted = i % 3 == 0;

		virtio_driver_set_interrupts(&rig.drv, is_wanted);
		serve(&rig, 1 + i % 2);
		assert_int_equal(notifies(&rig), is_wanted);
	}
	virtio_rig_close(&rig);
}

/* Without the feature the event fields do not exist, whatever stands there. */
static void test_should_notify_without_event_idx_ignores_event(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	for (uint16_t i = 0; i < 10; i++) {
		serve(&rig, 1);
		virtio_driver_interrupt_at(&rig.drv, i);
		assert_true(notifies(&rig));
	}
	virtio_rig_close(&rig);
}

/* With it the flag does not count: "the device MUST ignore the lower bit of flags". */
static void test_should_notify_split_event_idx_ignores_flag(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	guest_ram_put(&rig.ram, rig.drv.ring.driver, 1, 2, false);
	for (unsigned int i = 0; i < 5; i++) {
		virtio_driver_interrupt_at(&rig.drv, 0);
		serve(&rig, 1);
		assert_true(notifies(&rig));
	}
	virtio_rig_close(&rig);
}

/*
 * The driver wants the entry that comes "ahead" entries from now: it must be told if and only if
 * fewer than that many were used. On and on around the ring and, split, around 65536.
 */
static void test_should_notify_event_crossing_decides(void **state)
{
	struct virtio_rig rig;
	uint32_t line;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	line = rig.drv.ring.is_packed ? 2 * rig.drv.ring.size : 0x10000;
	serve(&rig, 1);
	assert_true(notifies(&rig));
	for (uint32_t round = 0, passed = 0; passed < 70000; round++) {
		uint32_t count = 1 + round % 9;
		uint32_t ahead = round * 7 % 12;

		if (round % 5 == 0)
			ahead = line - 1 - round % 3;
		if (count >= line)
			count = line - 1;
		if (ahead >= line)
			ahead = line - 1;
		virtio_driver_interrupt_at(&rig.drv, (uint16_t)ahead);
		serve(&rig, count);
		assert_int_equal(notifies(&rig), ahead < count);
		passed += count;
	}
	virtio_rig_close(&rig);
}

/* So many that the index has gone around: the entry asked for was among them. */
static void test_should_notify_event_long_unasked_true(void **state)
{
	static const unsigned int counts[] = { 0xffff, 0x10000, 0x10001, 0x1ffff, 0x20000 };
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	serve(&rig, 1);
	assert_true(notifies(&rig));
	for (size_t i = 0; i < TEST_ARRAY_SIZE(counts); i++) {
		virtio_driver_interrupt_at(&rig.drv, 3);
		serve(&rig, counts[i]);
		assert_true(notifies(&rig));
	}
	virtio_rig_close(&rig);
}

/* A list is one used entry; the position asked for may lie inside of it. */
static void test_should_notify_packed_event_inside_list_true(void **state)
{
	static const struct virtio_driver_buffer list[3] = { { VIRTIO_RIG_DATA, 4, false } };
	struct virtio_rig rig;
	uint32_t len;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	serve(&rig, 1);
	assert_true(notifies(&rig));
	for (uint16_t i = 0; i < 50; i++) {
		struct aero_virtio_chain chain;

		virtio_driver_interrupt_at(&rig.drv, i % 5);
		virtio_rig_give(&rig, list, 3);
		chain = virtio_rig_pop(&rig);
		virtio_rig_push(&rig, &chain, 0);
		virtio_rig_take(&rig, &len);
		assert_int_equal(notifies(&rig), i % 5 < 3);
	}
	virtio_rig_close(&rig);
}

static void test_should_notify_packed_event_outside_ring_true(void **state)
{
	static const uint16_t events[] = { 5, 0x8005, 0x7fff, 0xffff };
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	serve(&rig, 1);
	assert_true(notifies(&rig));
	for (size_t i = 0; i < TEST_ARRAY_SIZE(events); i++) {
		virtio_driver_interrupt_at(&rig.drv, 0);
		guest_ram_put(&rig.ram, rig.drv.ring.driver, events[i], 2, false);
		serve(&rig, 1);
		assert_true(notifies(&rig));
	}
	virtio_rig_close(&rig);
}

/* The value 3 is reserved and the upper bits too: a spurious interrupt is allowed, none is not. */
static void test_should_notify_packed_reserved_flags_true(void **state)
{
	static const struct {
		uint16_t flags;
		bool expected;
	} cases[] = { { 3, true }, { 0xfffc, true }, { 0xffff, true }, { 0xfffd, false } };
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		guest_ram_put(&rig.ram, rig.drv.ring.driver + 2, cases[i].flags, 2, false);
		serve(&rig, 1);
		assert_int_equal(notifies(&rig), cases[i].expected);
	}
	virtio_rig_close(&rig);
}

static void drain_queue(struct virtio_rig *rig)
{
	struct aero_virtio_chain chain;
	uint32_t len;

	while (aero_virtio_queue_pop(&rig->queue, &chain) == AERO_OK) {
		virtio_rig_push(rig, &chain, 0);
		virtio_rig_take(rig, &len);
	}
}

/* After AERO_EAGAIN the next request brings a kick, the ones behind it need not. */
static void test_pop_eagain_means_next_one_kicks(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	for (unsigned int i = 0; i < 70000; i++) {
		virtio_rig_give(&rig, &buffer, 1);
		assert_true(virtio_driver_wants_kick(&rig.drv));
		if (i % 3 == 0) {
			virtio_rig_give(&rig, &buffer, 1);
			assert_int_equal(virtio_driver_wants_kick(&rig.drv),
					 !rig.drv.ring.has_event_idx);
		}
		drain_queue(&rig);
	}
	virtio_rig_close(&rig);
}

static void test_set_kicks_off_no_kick(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	for (unsigned int i = 0; i < 20; i++) {
		virtio_rig_give(&rig, &buffer, 1);
		assert_true(virtio_driver_wants_kick(&rig.drv));
		assert_true(aero_virtio_queue_set_kicks(&rig.queue, false));
		drain_queue(&rig);
		virtio_rig_give(&rig, &buffer, 1);
		assert_false(virtio_driver_wants_kick(&rig.drv));
		drain_queue(&rig);
		virtio_rig_give(&rig, &buffer, 1);
		assert_false(virtio_driver_wants_kick(&rig.drv));
		drain_queue(&rig);
		assert_false(aero_virtio_queue_set_kicks(&rig.queue, true));
	}
	virtio_rig_close(&rig);
}

/* What was given while nobody wanted kicks brings none: the answer says to look. */
static void test_set_kicks_on_with_chain_waiting_true(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	for (unsigned int i = 0; i < 20; i++) {
		assert_false(aero_virtio_queue_set_kicks(&rig.queue, false));
		virtio_rig_give(&rig, &buffer, 1);
		assert_true(aero_virtio_queue_set_kicks(&rig.queue, true));
		drain_queue(&rig);
		assert_false(aero_virtio_queue_set_kicks(&rig.queue, true));
	}
	virtio_rig_close(&rig);
}

/* Start writes nothing; and the device before us may have left with kicks switched off. */
static void test_start_writes_nothing(void **state)
{
	struct virtio_rig rig;
	size_t bytes;
	uint8_t *before;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	serve(&rig, 3);
	(void)virtio_driver_wants_kick(&rig.drv);
	assert_false(aero_virtio_queue_set_kicks(&rig.queue, false));
	bytes = virtio_driver_ring_bytes(rig.drv.ring.size);
	before = malloc(2 * bytes);
	assert_non_null(before);
	guest_ram_read(&rig.ram, VIRTIO_RIG_RING, before, bytes);
	rig.drv.ring.base = aero_virtio_queue_stop(&rig.queue);
	assert_int_equal(aero_virtio_queue_start(&rig.queue, &rig.drv.ring), AERO_OK);
	assert_int_equal(aero_virtio_queue_memory_changed(&rig.queue), AERO_OK);
	guest_ram_read(&rig.ram, VIRTIO_RIG_RING, before + bytes, bytes);
	assert_memory_equal(before, before + bytes, bytes);
	free(before);
	assert_false(aero_virtio_queue_set_kicks(&rig.queue, true));
	virtio_rig_give(&rig, &buffer, 1);
	assert_true(virtio_driver_wants_kick(&rig.drv));
	virtio_rig_close(&rig);
}

#define ON(ring, test) cmocka_unit_test_prestate(test, (void *)&(ring))

int main(void)
{
	static const struct CMUnitTest cases[] = {
		cmocka_unit_test(test_should_notify_nothing_pushed_false),
		cmocka_unit_test(test_should_notify_first_after_start_true),
		cmocka_unit_test(test_pop_eagain_means_next_one_kicks),
		cmocka_unit_test(test_set_kicks_off_no_kick),
		cmocka_unit_test(test_set_kicks_on_with_chain_waiting_true),
		cmocka_unit_test(test_start_writes_nothing),
	};
	static const struct CMUnitTest once[] = {
		ON(split, test_should_notify_flag_decides),
		ON(packed, test_should_notify_flag_decides),
		ON(split, test_should_notify_without_event_idx_ignores_event),
		ON(packed, test_should_notify_without_event_idx_ignores_event),
		ON(split_event, test_should_notify_split_event_idx_ignores_flag),
		ON(split_event, test_should_notify_event_crossing_decides),
		ON(packed_event, test_should_notify_event_crossing_decides),
		ON(split_event, test_should_notify_event_long_unasked_true),
		ON(packed_event, test_should_notify_event_long_unasked_true),
		ON(packed_event, test_should_notify_packed_event_inside_list_true),
		ON(packed_event, test_should_notify_packed_event_outside_ring_true),
		ON(packed, test_should_notify_packed_reserved_flags_true),
	};
	struct CMUnitTest
		tests[TEST_ARRAY_SIZE(cases) * VIRTIO_RIG_VARIANTS + TEST_ARRAY_SIZE(once)];

	virtio_rig_expand(tests, cases, TEST_ARRAY_SIZE(cases));
	memcpy(&tests[TEST_ARRAY_SIZE(cases) * VIRTIO_RIG_VARIANTS], once, sizeof(once));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
