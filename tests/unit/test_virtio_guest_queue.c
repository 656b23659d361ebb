/* SPDX-License-Identifier: MIT */
#include "support/virtio_guest_rig.h"

/* Start, stop and what may be given. */

static void start_expect(struct virtio_guest_rig *rig,
			 const struct aero_virtio_guest_queue_config *config, bool is_good)
{
	struct aero_virtio_guest_queue queue;
	struct aero_virtio_guest_queue before;

	memset(&queue, 0x5a, sizeof(queue));
	before = queue;
	assert_int_equal(aero_virtio_guest_queue_start(&queue, config),
			 is_good ? AERO_OK : AERO_EINVAL);
	if (is_good)
		return;
	assert_memory_equal(&queue, &before, sizeof(queue));
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(rig->parts[i][0], 0xa5);
}

static void test_start_size_not_allowed_einval(void **state)
{
	static const uint32_t split[] = { 0, 3, 7, 24, 32769, 65536, 0x80000000u, UINT32_MAX };
	static const uint32_t packed[] = { 0, 32769, 65536, UINT32_MAX };
	struct virtio_guest_rig rig;

	(void)state;
	virtio_guest_rig_make(&rig, &(struct aero_virtio_guest_queue_config){ .size = 8 });
	for (size_t i = 0; i < TEST_ARRAY_SIZE(split); i++) {
		rig.ring.size = split[i];
		start_expect(&rig, &rig.ring, false);
	}
	rig.ring.is_packed = true;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(packed); i++) {
		rig.ring.size = packed[i];
		start_expect(&rig, &rig.ring, false);
	}
	virtio_guest_rig_close(&rig);
}

static void test_start_every_size_ok(void **state)
{
	static const uint32_t split[] = { 1, 2, 4, 256, 32768 };
	static const uint32_t packed[] = { 1, 2, 3, 5, 1000, 32767, 32768 };
	struct virtio_guest_rig rig;

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(split); i++) {
		virtio_guest_rig_open(&rig,
				      &(struct aero_virtio_guest_queue_config){ .size = split[i] });
		virtio_guest_rig_close(&rig);
	}
	for (size_t i = 0; i < TEST_ARRAY_SIZE(packed); i++) {
		virtio_guest_rig_open(&rig, &(struct aero_virtio_guest_queue_config){
						    .size = packed[i], .is_packed = true });
		virtio_guest_rig_close(&rig);
	}
}

static void test_start_part_missing_einval(void **state)
{
	struct virtio_guest_rig rig;
	struct aero_virtio_guest_queue_config config;

	virtio_guest_rig_make(&rig, virtio_guest_rig_ring(state));
	for (int part = 0; part < 4; part++) {
		config = rig.ring;
		config.desc = part == 0 ? NULL : config.desc;
		config.driver = part == 1 ? NULL : config.driver;
		config.device = part == 2 ? NULL : config.device;
		config.slots = part == 3 ? NULL : config.slots;
		start_expect(&rig, &config, false);
	}
	virtio_guest_rig_close(&rig);
}

/* Each shift up to the alignment; at it the part would be aligned again. */
static void check_alignment(struct virtio_guest_rig *rig, void **part, unsigned int align)
{
	uint8_t *good = *part;

	for (unsigned int shift = 1; shift < align; shift++) {
		*part = good + shift;
		start_expect(rig, &rig->ring, false);
	}
	*part = good;
}

static void test_start_part_misaligned_einval(void **state)
{
	struct virtio_guest_rig rig;

	virtio_guest_rig_make(&rig, virtio_guest_rig_ring(state));
	check_alignment(&rig, &rig.ring.desc, 16);
	check_alignment(&rig, &rig.ring.driver, rig.ring.is_packed ? 4 : 2);
	check_alignment(&rig, &rig.ring.device, 4);
	start_expect(&rig, &rig.ring, true);
	virtio_guest_rig_close(&rig);
}

/* The available ring needs less than the others. */
static void test_start_split_driver_at_two_ok(void **state)
{
	struct virtio_guest_rig rig;

	(void)state;
	virtio_guest_rig_make(&rig, &(struct aero_virtio_guest_queue_config){ .size = 8 });
	rig.ring.size = 4;
	rig.ring.driver = (uint8_t *)rig.ring.driver + 2;
	start_expect(&rig, &rig.ring, true);
	virtio_guest_rig_close(&rig);
}

static void test_start_packed_big_endian_einval(void **state)
{
	struct virtio_guest_rig rig;

	(void)state;
	virtio_guest_rig_make(&rig, &(struct aero_virtio_guest_queue_config){ .size = 8,
									      .is_packed = true });
	rig.ring.is_big_endian = true;
	start_expect(&rig, &rig.ring, false);
	virtio_guest_rig_close(&rig);
}

static void check_zero(const uint8_t *part, size_t len)
{
	for (size_t i = 0; i < len; i++)
		assert_int_equal(part[i], 0);
}

static void test_start_ring_is_zeroed(void **state)
{
	struct virtio_guest_rig rig;
	size_t size = virtio_guest_rig_ring(state)->size;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	check_zero(rig.parts[0], 16 * size);
	check_zero(rig.parts[1], rig.ring.is_packed ? 4 : 6 + 2 * size);
	check_zero(rig.parts[2], rig.ring.is_packed ? 4 : 6 + 8 * size);
	virtio_guest_rig_close(&rig);
}

static void test_calls_not_started_estate(void **state)
{
	struct aero_virtio_guest_queue queue;
	struct aero_virtio_guest_buffer buffer = { .gpa = 0x1000, .len = 1 };
	struct aero_virtio_guest_chain chain = { .buffers = &buffer, .count = 1 };
	struct aero_virtio_guest_used used;
	uint16_t token;

	(void)state;
	memset(&queue, 0, sizeof(queue));
	assert_int_equal(aero_virtio_guest_queue_give(&queue, &chain), AERO_ESTATE);
	assert_int_equal(aero_virtio_guest_queue_take(&queue, &used), AERO_ESTATE);
	assert_false(aero_virtio_guest_queue_kick_needed(&queue));
	assert_false(aero_virtio_guest_queue_interrupt_after(&queue, 0));
	assert_false(aero_virtio_guest_queue_interrupt_after(&queue, 1));
	assert_false(aero_virtio_guest_queue_stop(&queue, &token));
	assert_int_equal(aero_virtio_guest_queue_validate(&queue), AERO_OK);
}

static void test_stop_answers_each_in_flight_once(void **state)
{
	struct virtio_guest_rig rig;
	struct virtio_device_chain chain;
	bool has_seen[8] = { false };
	uint16_t token = 0xdead;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (uint16_t i = 0; i < 7; i++)
		virtio_guest_rig_give(&rig, i, 1, 0);
	for (uint16_t i = 0; i < 3; i++) {
		chain = virtio_guest_rig_pop(&rig);
		virtio_device_push(&rig.dev, &chain, 0);
	}
	/* The device has returned a third one, which nobody took. */
	virtio_guest_rig_take(&rig, 0, 0);
	virtio_guest_rig_take(&rig, 1, 0);
	for (int i = 0; i < 5; i++) {
		assert_true(aero_virtio_guest_queue_stop(&rig.queue, &token));
		assert_int_equal(aero_virtio_guest_queue_validate(&rig.queue), AERO_OK);
		assert_in_range(token, 2, 6);
		assert_false(has_seen[token]);
		has_seen[token] = true;
		assert_int_equal(virtio_guest_rig_try_give(&rig, 7, 1, 0), AERO_ESTATE);
	}
	token = 0xdead;
	assert_false(aero_virtio_guest_queue_stop(&rig.queue, &token));
	assert_int_equal(token, 0xdead);
	assert_false(aero_virtio_guest_queue_interrupt_after(&rig.queue, 1));
	virtio_guest_rig_close(&rig);
}

static void test_give_every_shape_device_sees_it(void **state)
{
	struct virtio_guest_rig rig;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (uint32_t count = 1; count <= 8; count++) {
		for (uint32_t writable = 0; writable <= count; writable++) {
			uint16_t token = (uint16_t)(count * 16 + writable);
			struct virtio_device_chain chain;

			virtio_guest_rig_give(&rig, token, count, writable);
			chain = virtio_guest_rig_pop(&rig);
			virtio_guest_rig_expect(&chain, token, count, writable);
			assert_false(chain.is_indirect);
			virtio_device_push(&rig.dev, &chain, writable ? 5 : 0);
			virtio_guest_rig_take(&rig, token, writable ? 5 : 0);
			virtio_guest_rig_take_none(&rig);
		}
	}
	virtio_guest_rig_close(&rig);
}

static void give_expect(struct virtio_guest_rig *rig,
			const struct aero_virtio_guest_buffer *buffers, uint32_t count,
			enum aero_status expected)
{
	struct aero_virtio_guest_chain chain = { .buffers = buffers, .count = count };
	struct virtio_device_chain seen;

	assert_int_equal(aero_virtio_guest_queue_give(&rig->queue, &chain), expected);
	assert_int_equal(aero_virtio_guest_queue_validate(&rig->queue), AERO_OK);
	assert_int_equal(virtio_device_pop(&rig->dev, &seen), expected == AERO_OK);
	assert_int_equal(rig->queue.in_flight, expected == AERO_OK);
	if (expected != AERO_OK)
		return;
	virtio_device_push(&rig->dev, &seen, 0);
	virtio_guest_rig_take(rig, 0, 0);
}

static void test_give_buffers_not_allowed_einval(void **state)
{
	static const struct aero_virtio_guest_buffer empty_first[] = { { 0x1000, 0, false },
								       { 0x2000, 8, false } };
	static const struct aero_virtio_guest_buffer empty_last[] = { { 0x1000, 8, false },
								      { 0x2000, 0, true } };
	static const struct aero_virtio_guest_buffer order[] = { { 0x1000, 8, false },
								 { 0x2000, 8, true },
								 { 0x3000, 8, false } };
	struct virtio_guest_rig rig;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	give_expect(&rig, order, 0, AERO_EINVAL);
	give_expect(&rig, empty_first, 2, AERO_EINVAL);
	give_expect(&rig, empty_last, 2, AERO_EINVAL);
	give_expect(&rig, order, 3, AERO_EINVAL);
	give_expect(&rig, order + 1, 2, AERO_EINVAL);
	give_expect(&rig, order, 2, AERO_OK);
	assert_int_equal(virtio_guest_rig_try_give(&rig, 0, rig.ring.size + 1, 0), AERO_EINVAL);
	assert_int_equal(virtio_guest_rig_try_give(&rig, 0, AERO_VIRTIO_GUEST_CHAIN_MAX + 1, 0),
			 AERO_EINVAL);
	assert_int_equal(virtio_guest_rig_try_table(&rig, 0, AERO_VIRTIO_GUEST_CHAIN_MAX + 1, 0),
			 AERO_EINVAL);
	assert_int_equal(virtio_guest_rig_try_give(&rig, 0, UINT32_MAX, 0), AERO_EINVAL);
	virtio_guest_rig_close(&rig);
}

static void test_give_four_gib_einval(void **state)
{
	static const struct aero_virtio_guest_buffer readable[] = { { 0x1000, 0x80000000u, false },
								    { 0x1000, 0x7fffffffu, false },
								    { 0x1000, 1, false } };
	static const struct aero_virtio_guest_buffer writable[] = { { 0x1000, 0x80000000u, true },
								    { 0x1000, 0x80000000u, true },
								    { 0x1000, 1, false } };
	static const struct aero_virtio_guest_buffer mixed[] = { { 0x1000, UINT32_MAX, false },
								 { 0x1000, 1, true } };
	struct virtio_guest_rig rig;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	give_expect(&rig, readable, 2, AERO_OK);
	give_expect(&rig, readable, 3, AERO_EINVAL);
	give_expect(&rig, writable, 1, AERO_OK);
	give_expect(&rig, writable, 2, AERO_EINVAL);
	give_expect(&rig, writable, 3, AERO_EINVAL);
	give_expect(&rig, mixed, 1, AERO_OK);
	give_expect(&rig, mixed, 2, AERO_EINVAL);
	virtio_guest_rig_close(&rig);
}

static void test_give_no_room_eagain(void **state)
{
	struct virtio_guest_rig rig;
	struct virtio_device_chain chain;
	uint16_t size = (uint16_t)virtio_guest_rig_ring(state)->size;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (uint16_t i = 0; i < size - 2; i++)
		virtio_guest_rig_give(&rig, i, 1, 0);
	assert_int_equal(virtio_guest_rig_try_give(&rig, 99, 3, 1), AERO_EAGAIN);
	virtio_guest_rig_give(&rig, 98, 2, 1);
	assert_int_equal(virtio_guest_rig_try_give(&rig, 99, 1, 1), AERO_EAGAIN);
	for (uint16_t i = 0; i < size - 2; i++) {
		chain = virtio_guest_rig_pop(&rig);
		virtio_guest_rig_expect(&chain, i, 1, 0);
		virtio_device_push(&rig.dev, &chain, 0);
	}
	/* Not before they are taken. */
	assert_int_equal(virtio_guest_rig_try_give(&rig, 99, 1, 1), AERO_EAGAIN);
	virtio_guest_rig_take(&rig, 0, 0);
	virtio_guest_rig_give(&rig, 99, 1, 1);
	assert_int_equal(virtio_guest_rig_try_give(&rig, 97, 1, 1), AERO_EAGAIN);
	chain = virtio_guest_rig_pop(&rig);
	virtio_guest_rig_expect(&chain, 98, 2, 1);
	chain = virtio_guest_rig_pop(&rig);
	virtio_guest_rig_expect(&chain, 99, 1, 1);
	virtio_guest_rig_close(&rig);
}

static void test_give_table_takes_one_entry(void **state)
{
	struct virtio_guest_rig rig;
	struct virtio_device_chain chain;
	bool has_indirect = virtio_guest_rig_ring(state)->has_indirect;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (uint16_t token = 0; token < 2; token++)
		assert_int_equal(virtio_guest_rig_try_table(&rig, token, 4, 1), AERO_OK);
	for (uint16_t token = 0; token < 2; token++) {
		chain = virtio_guest_rig_pop(&rig);
		virtio_guest_rig_expect(&chain, token, 4, 1);
		assert_int_equal(chain.is_indirect, has_indirect);
		virtio_device_push(&rig.dev, &chain, 64);
		virtio_guest_rig_take(&rig, token, 64);
	}
	/* A single buffer needs no table. */
	assert_int_equal(virtio_guest_rig_try_table(&rig, 3, 1, 0), AERO_OK);
	chain = virtio_guest_rig_pop(&rig);
	virtio_guest_rig_expect(&chain, 3, 1, 0);
	assert_false(chain.is_indirect);
	virtio_guest_rig_close(&rig);
}

static void test_give_longest_table_in_a_full_ring(void **state)
{
	struct virtio_guest_rig rig;
	struct virtio_device_chain chain;
	uint16_t count = (uint16_t)virtio_guest_rig_ring(state)->size;
	uint32_t max = AERO_VIRTIO_GUEST_CHAIN_MAX;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	if (!rig.ring.has_indirect) {
		assert_int_equal(virtio_guest_rig_try_table(&rig, 0, max, 10), AERO_EINVAL);
		count = 0;
	}
	for (uint16_t token = 0; token < count; token++)
		assert_int_equal(virtio_guest_rig_try_table(&rig, token, max, 10), AERO_OK);
	for (uint16_t token = 0; token < count; token++) {
		chain = virtio_guest_rig_pop(&rig);
		virtio_guest_rig_expect(&chain, token, max, 10);
		virtio_device_push(&rig.dev, &chain, 3);
		virtio_guest_rig_take(&rig, token, 3);
	}
	virtio_guest_rig_close(&rig);
}

static void test_give_table_misaligned_einval(void **state)
{
	struct virtio_guest_rig rig;
	struct aero_virtio_guest_buffer buffers[2] = { { 0x1000, 8, false }, { 0x2000, 8, true } };

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	for (unsigned int shift = 1; shift < 16; shift++) {
		struct aero_virtio_guest_chain host = {
			.buffers = buffers,
			.count = 2,
			.table = rig.parts[4] + shift,
			.table_gpa = VIRTIO_GUEST_RIG_TABLES,
		};
		struct aero_virtio_guest_chain gpa = {
			.buffers = buffers,
			.count = 2,
			.table = rig.parts[4],
			.table_gpa = VIRTIO_GUEST_RIG_TABLES + shift,
		};

		if (!rig.ring.has_indirect)
			break;
		assert_int_equal(aero_virtio_guest_queue_give(&rig.queue, &host), AERO_EINVAL);
		assert_int_equal(aero_virtio_guest_queue_give(&rig.queue, &gpa), AERO_EINVAL);
	}
	assert_int_equal(rig.queue.in_flight, 0);
	assert_false(aero_virtio_guest_queue_kick_needed(&rig.queue));
	virtio_guest_rig_close(&rig);
}

/* Two chains are in flight: of slots 0 and 1, and of 2, 3 and 4; packed: 0 and 1. */
static bool break_record(struct aero_virtio_guest_queue *queue, int defect)
{
	struct aero_virtio_guest_slot *slots = queue->config.slots;
	uint16_t size = (uint16_t)queue->config.size;

	switch (defect) {
	case 0:
		queue->free_entries++;
		return true;
	case 1:
		queue->in_flight--;
		return true;
	case 2:
		queue->free_head = 0;
		return true;
	case 3:
		queue->free_head = size;
		return true;
	case 4:
		queue->has_batch = true;
		queue->batch_last = size - 1;
		return true;
	case 5:
		queue->has_batch = true;
		queue->batch_len = 17; /* of 16 */
		queue->batch_last = queue->config.is_in_order ? 0 : size - 1;
		return true;
	case 6:
		slots[0].entries++;
		return true;
	case 7:
		slots[0].entries--;
		return true;
	case 8:
		slots[queue->free_head].next = queue->free_head;
		return true;
	case 9:
		slots[queue->free_head].next = size;
		return true;
	case 10:
		slots[queue->free_head].next = 0;
		return true;
	case 11:
		slots[0].last++;
		return true;
	case 12:
		slots[queue->config.is_packed ? 1 : 2].last = 0;
		return true;
	case 13:
		slots[size - 1].entries = 1;
		return true;
	default:
		return false;
	}
}

/* What only some formats have. */
static bool break_format(struct aero_virtio_guest_queue *queue, int defect)
{
	struct aero_virtio_guest_slot *slots = queue->config.slots;

	switch (defect) {
	case 0:
		queue->used++;
		return queue->config.is_packed;
	case 1:
		queue->avail++;
		return queue->config.is_packed;
	case 2:
		queue->avail_wrap = !queue->avail_wrap;
		return queue->config.is_packed;
	case 3:
		queue->used = (uint16_t)(queue->used + queue->config.size);
		return queue->config.is_packed;
	case 4:
		queue->order_head++;
		return queue->config.is_in_order;
	case 5:
		slots[0].next = 2;
		return queue->config.is_in_order || !queue->config.is_packed;
	case 6:
		slots[3].next = (uint16_t)queue->config.size;
		return !queue->config.is_packed;
	case 7:
		slots[3].next = 1; /* of the other chain */
		return !queue->config.is_packed;
	default:
		return false;
	}
}

/* Each invariant broken by hand is seen. */
static void test_validate_broken_record_ebug(void **state)
{
	struct virtio_guest_rig rig;
	struct aero_virtio_guest_queue queue;
	struct aero_virtio_guest_slot slots[16];

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	virtio_guest_rig_give(&rig, 0, 2, 0);
	virtio_guest_rig_give(&rig, 1, 3, 0);
	rig.ring.slots[0].writable = 16;
	assert_true(rig.ring.size <= TEST_ARRAY_SIZE(slots));
	for (int defect = 0; defect < 22; defect++) {
		queue = rig.queue;
		queue.config.slots = slots;
		memcpy(slots, rig.ring.slots, rig.ring.size * sizeof(slots[0]));
		assert_int_equal(aero_virtio_guest_queue_validate(&queue), AERO_OK);
		if (defect < 14 ? break_record(&queue, defect) : break_format(&queue, defect - 14))
			assert_int_equal(aero_virtio_guest_queue_validate(&queue), AERO_EBUG);
	}
	virtio_guest_rig_close(&rig);
}

static void test_validate_stopped_lost_chain_ebug(void **state)
{
	struct virtio_guest_rig rig;
	uint16_t token;

	virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
	virtio_guest_rig_give(&rig, 0, 2, 0);
	virtio_guest_rig_give(&rig, 1, 3, 0);
	assert_true(aero_virtio_guest_queue_stop(&rig.queue, &token));
	assert_int_equal(aero_virtio_guest_queue_validate(&rig.queue), AERO_OK);
	rig.queue.in_flight++;
	assert_int_equal(aero_virtio_guest_queue_validate(&rig.queue), AERO_EBUG);
	virtio_guest_rig_close(&rig);
}

int main(void)
{
	static const struct CMUnitTest each[] = {
		cmocka_unit_test(test_start_part_missing_einval),
		cmocka_unit_test(test_start_part_misaligned_einval),
		cmocka_unit_test(test_start_ring_is_zeroed),
		cmocka_unit_test(test_stop_answers_each_in_flight_once),
		cmocka_unit_test(test_give_every_shape_device_sees_it),
		cmocka_unit_test(test_give_buffers_not_allowed_einval),
		cmocka_unit_test(test_give_four_gib_einval),
		cmocka_unit_test(test_give_no_room_eagain),
		cmocka_unit_test(test_give_table_takes_one_entry),
		cmocka_unit_test(test_give_longest_table_in_a_full_ring),
		cmocka_unit_test(test_give_table_misaligned_einval),
		cmocka_unit_test(test_validate_broken_record_ebug),
		cmocka_unit_test(test_validate_stopped_lost_chain_ebug),
	};
	static const struct CMUnitTest once[] = {
		cmocka_unit_test(test_start_size_not_allowed_einval),
		cmocka_unit_test(test_start_every_size_ok),
		cmocka_unit_test(test_start_split_driver_at_two_ok),
		cmocka_unit_test(test_start_packed_big_endian_einval),
		cmocka_unit_test(test_calls_not_started_estate),
	};
	struct CMUnitTest
		tests[TEST_ARRAY_SIZE(each) * VIRTIO_GUEST_RIG_VARIANTS + TEST_ARRAY_SIZE(once)];

	virtio_guest_rig_expand(tests, each, TEST_ARRAY_SIZE(each));
	memcpy(&tests[TEST_ARRAY_SIZE(each) * VIRTIO_GUEST_RIG_VARIANTS], once, sizeof(once));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
