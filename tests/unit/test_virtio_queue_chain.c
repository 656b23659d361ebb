/* SPDX-License-Identifier: MIT */
#include "support/virtio_rig.h"

/* Reading chains that a good driver made, in every ring format. */

static uint8_t stream[0x10000];

/* Everything readable, in pieces of the given length, and that it is what the buffers hold. */
static void check_stream(struct virtio_rig *rig, struct aero_virtio_chain *chain,
			 const struct virtio_driver_buffer *buffers, uint32_t count, uint32_t piece)
{
	uint32_t total = 0;
	uint32_t len;

	do {
		assert_int_equal(aero_virtio_queue_read(&rig->queue, chain, &stream[total], piece,
							&len),
				 AERO_OK);
		assert_in_range(len, 0, piece);
		total += len;
	} while (len == piece);
	for (uint32_t i = 0, at = 0; i < count && !buffers[i].is_writable; i++)
		for (uint32_t byte = 0; byte < buffers[i].len; byte++, total--)
			assert_int_equal(stream[at++], virtio_rig_byte(buffers[i].gpa + byte));
	assert_int_equal(total, 0);
}

static const struct virtio_driver_buffer mixed[] = {
	{ VIRTIO_RIG_DATA + 1, 1, false },	  { VIRTIO_RIG_DATA + 0x100, 0, false },
	{ VIRTIO_RIG_DATA + 0x201, 1027, false }, { VIRTIO_RIG_SEAM - 3, 7, false },
	{ VIRTIO_RIG_END - 64, 64, false },
};

static void test_pop_empty_eagain(void **state)
{
	struct aero_virtio_chain chain;
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	for (int i = 0; i < 3; i++)
		assert_int_equal(aero_virtio_queue_pop(&rig.queue, &chain), AERO_EAGAIN);
	assert_int_equal(rig.queue.fault, AERO_VIRTIO_QUEUE_FAULT_NONE);
	virtio_rig_close(&rig);
}

static void test_read_any_framing_same_stream(void **state)
{
	static const uint32_t pieces[] = { 1, 7, 64, 1024, 4096 };
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	virtio_rig_fill(&rig, 0, VIRTIO_RIG_END);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(pieces); i++) {
		uint16_t id = virtio_rig_give(&rig, mixed, TEST_ARRAY_SIZE(mixed));
		struct aero_virtio_chain chain = virtio_rig_pop(&rig);
		uint32_t len;

		check_stream(&rig, &chain, mixed, TEST_ARRAY_SIZE(mixed), pieces[i]);
		virtio_rig_push(&rig, &chain, 0);
		assert_int_equal(virtio_rig_take(&rig, &len), id);
		assert_int_equal(len, 0);
	}
	virtio_rig_close(&rig);
}

/* The table lies across the two regions, at an odd address. */
static void test_read_indirect_any_framing_same_stream(void **state)
{
	static const aero_gpa tables[] = { VIRTIO_RIG_DATA + 0x800, VIRTIO_RIG_SEAM - 0x15, 0 };
	struct virtio_rig rig;
	uint16_t id;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	for (size_t i = 0; i < TEST_ARRAY_SIZE(tables); i++) {
		struct virtio_driver_buffer buffers[TEST_ARRAY_SIZE(mixed)];
		struct aero_virtio_chain chain;

		virtio_rig_fill(&rig, 0, VIRTIO_RIG_END);
		memcpy(buffers, mixed, sizeof(mixed));
		buffers[3].gpa = VIRTIO_RIG_SEAM - 0x20; /* clear of the table */
		assert_true(virtio_driver_give_indirect(&rig.drv, tables[i], buffers,
							TEST_ARRAY_SIZE(buffers), &id));
		chain = virtio_rig_pop(&rig);
		assert_int_equal(chain.ring_slots, 1);
		check_stream(&rig, &chain, buffers, TEST_ARRAY_SIZE(buffers), 100);
	}
	virtio_rig_close(&rig);
}

static void test_read_indirect_longer_than_ring_ok(void **state)
{
	struct virtio_driver_buffer buffers[100];
	struct aero_virtio_chain chain;
	struct virtio_rig rig;
	uint16_t id;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	virtio_rig_fill(&rig, 0, VIRTIO_RIG_END);
	for (unsigned int i = 0; i < 100; i++)
		buffers[i] = (struct virtio_driver_buffer){ VIRTIO_RIG_SEAM + 9 * i, 5, false };
	assert_true(virtio_driver_give_indirect(&rig.drv, VIRTIO_RIG_DATA, buffers, 100, &id));
	chain = virtio_rig_pop(&rig);
	check_stream(&rig, &chain, buffers, 100, 11);
	virtio_rig_close(&rig);
}

static void test_read_whole_ring_as_one_chain_ok(void **state)
{
	struct virtio_driver_buffer buffers[16];
	struct virtio_rig rig;
	uint32_t size;
	uint32_t len;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	size = rig.drv.ring.size;
	virtio_rig_fill(&rig, 0, VIRTIO_RIG_END);
	for (unsigned int i = 0; i < size; i++)
		buffers[i] = (struct virtio_driver_buffer){ VIRTIO_RIG_DATA + 9 * i, 5, false };
	for (unsigned int round = 0; round < 5; round++) {
		uint16_t id = virtio_rig_give(&rig, buffers, size);
		struct aero_virtio_chain chain = virtio_rig_pop(&rig);

		check_stream(&rig, &chain, buffers, size, 11);
		virtio_rig_push(&rig, &chain, 0);
		assert_int_equal(virtio_rig_take(&rig, &len), id);
	}
	virtio_rig_close(&rig);
}

/* "Zero or more normal chained descriptors followed by a single one with INDIRECT" */
static void test_read_split_direct_then_indirect_ok(void **state)
{
	static const struct virtio_driver_buffer buffers[] = {
		{ VIRTIO_RIG_DATA, 10, false },
		{ VIRTIO_RIG_DATA + 0x40, 3, false },
		{ VIRTIO_RIG_SEAM - 1, 2, false },
	};
	struct virtio_driver_desc desc = { VIRTIO_RIG_DATA, 10, VIRTIO_DRIVER_NEXT, 5 };
	struct aero_virtio_chain chain;
	struct virtio_rig rig;
	uint16_t id;

	(void)state;
	virtio_rig_open(&rig,
			&(struct aero_virtio_queue_config){ .size = 8, .has_indirect = true });
	virtio_rig_fill(&rig, 0, VIRTIO_RIG_END);
	assert_true(virtio_driver_give_indirect(&rig.drv, VIRTIO_RIG_SEAM + 0x100, &buffers[1], 2,
						&id));
	virtio_driver_put_avail_idx(&rig.drv, 0);
	virtio_driver_put_ring_desc(&rig.drv, 2, &desc);
	desc = (struct virtio_driver_desc){ VIRTIO_RIG_SEAM + 0x100, 32, VIRTIO_DRIVER_INDIRECT,
					    0 };
	virtio_driver_put_ring_desc(&rig.drv, 5, &desc);
	virtio_driver_publish_split(&rig.drv, 2);
	chain = virtio_rig_pop(&rig);
	check_stream(&rig, &chain, buffers, 3, 4);
	virtio_rig_close(&rig);
}

static void test_read_stops_at_writable_part(void **state)
{
	static const struct virtio_driver_buffer buffers[] = {
		{ VIRTIO_RIG_DATA, 6, false },
		{ VIRTIO_RIG_DATA + 0x100, 4, true },
		{ VIRTIO_RIG_END + 0x100, 4, true }, /* nobody touches it */
	};
	struct aero_virtio_segment segment;
	struct aero_virtio_chain chain;
	struct virtio_rig rig;
	uint8_t buf[16];
	uint32_t len;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	virtio_rig_give(&rig, buffers, 3);
	chain = virtio_rig_pop(&rig);
	assert_int_equal(aero_virtio_queue_read(&rig.queue, &chain, buf, 16, &len), AERO_OK);
	assert_int_equal(len, 6);
	assert_int_equal(aero_virtio_queue_read(&rig.queue, &chain, buf, 16, &len), AERO_OK);
	assert_int_equal(len, 0);
	for (unsigned int i = 1; i < 3; i++) {
		assert_int_equal(aero_virtio_queue_next_segment(&rig.queue, &chain, &segment),
				 AERO_OK);
		assert_int_equal(segment.gpa, buffers[i].gpa);
		assert_int_equal(segment.len, 4);
		assert_true(segment.is_writable);
	}
	virtio_rig_push(&rig, &chain, 8);
	virtio_rig_take(&rig, &len);
	assert_int_equal(len, 8);
	virtio_rig_close(&rig);
}

static void test_next_segment_after_read_is_the_rest(void **state)
{
	struct aero_virtio_segment segment;
	struct aero_virtio_chain chain;
	struct virtio_rig rig;
	uint8_t buf[3];
	uint32_t len;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	virtio_rig_give(&rig, mixed, TEST_ARRAY_SIZE(mixed));
	chain = virtio_rig_pop(&rig);
	assert_int_equal(aero_virtio_queue_read(&rig.queue, &chain, buf, 3, &len), AERO_OK);
	assert_int_equal(len, 3);
	assert_int_equal(aero_virtio_queue_next_segment(&rig.queue, &chain, &segment), AERO_OK);
	assert_int_equal(segment.gpa, mixed[2].gpa + 2);
	assert_int_equal(segment.len, mixed[2].len - 2);
	assert_false(segment.is_writable);
	for (unsigned int i = 3; i < 5; i++) {
		assert_int_equal(aero_virtio_queue_next_segment(&rig.queue, &chain, &segment),
				 AERO_OK);
		assert_int_equal(segment.gpa, mixed[i].gpa);
		assert_int_equal(segment.len, mixed[i].len);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(aero_virtio_queue_next_segment(&rig.queue, &chain, &segment),
				 AERO_ENOENT);
	virtio_rig_close(&rig);
}

/* Segments are messages where nobody reads their bytes: also those of 4 GiB in all. */
static void test_next_segment_4_gib_in_all_ok(void **state)
{
	static const struct virtio_driver_buffer buffers[] = {
		{ 0x100000000ull, 0xffffffffu, true },
		{ 0xfffffffffffffff0ull, 1, true },
	};
	struct aero_virtio_segment segment;
	struct aero_virtio_chain chain;
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	virtio_rig_give(&rig, buffers, 2);
	chain = virtio_rig_pop(&rig);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(aero_virtio_queue_next_segment(&rig.queue, &chain, &segment),
				 AERO_OK);
		assert_int_equal(segment.gpa, buffers[i].gpa);
		assert_int_equal(segment.len, buffers[i].len);
	}
	assert_int_equal(aero_virtio_queue_next_segment(&rig.queue, &chain, &segment), AERO_ENOENT);
	virtio_rig_close(&rig);
}

static void test_read_only_empty_buffers_is_empty(void **state)
{
	static const struct virtio_driver_buffer buffers[3] = { { VIRTIO_RIG_END, 0, false } };
	struct aero_virtio_segment segment;
	struct aero_virtio_chain chain;
	struct virtio_rig rig;
	uint8_t buf[4];
	uint32_t len;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	virtio_rig_give(&rig, buffers, 3);
	chain = virtio_rig_pop(&rig);
	assert_int_equal(aero_virtio_queue_read(&rig.queue, &chain, buf, 4, &len), AERO_OK);
	assert_int_equal(len, 0);
	assert_int_equal(aero_virtio_queue_next_segment(&rig.queue, &chain, &segment), AERO_ENOENT);
	virtio_rig_push(&rig, &chain, 0);
	virtio_rig_close(&rig);
}

/* The flag of the descriptor that names the table says nothing about its buffers. */
static void test_read_write_flag_on_table_ignored(void **state)
{
	struct virtio_driver_desc head = { VIRTIO_RIG_DATA, 16,
					   VIRTIO_DRIVER_INDIRECT | VIRTIO_DRIVER_WRITE, 0 };
	struct virtio_driver_desc entry = { VIRTIO_RIG_SEAM, 4, 0, 0 };
	struct aero_virtio_chain chain;
	struct virtio_rig rig;
	uint8_t buf[8];
	uint32_t len;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	virtio_driver_put_desc(&rig.drv, VIRTIO_RIG_DATA, &entry);
	if (rig.drv.ring.is_packed)
		head.flags |= virtio_driver_packed_flags(true);
	virtio_driver_put_ring_desc(&rig.drv, 0, &head);
	if (!rig.drv.ring.is_packed)
		virtio_driver_publish_split(&rig.drv, 0);
	chain = virtio_rig_pop(&rig);
	assert_int_equal(aero_virtio_queue_read(&rig.queue, &chain, buf, 8, &len), AERO_OK);
	assert_int_equal(len, 4);
	virtio_rig_close(&rig);
}

/* "The WRITE flag is the only valid flag in the indirect table. Others are ignored." */
static void test_read_packed_table_other_flags_ignored(void **state)
{
	struct virtio_driver_desc head = { VIRTIO_RIG_DATA, 32, VIRTIO_DRIVER_INDIRECT, 0 };
	struct virtio_driver_desc entry = { VIRTIO_RIG_SEAM, 16, 0xfffd, 0xffff };
	struct aero_virtio_chain chain;
	struct virtio_rig rig;
	uint8_t buf[64];
	uint32_t len;

	(void)state;
	virtio_rig_open(&rig, &(struct aero_virtio_queue_config){
				      .size = 4, .is_packed = true, .has_indirect = true });
	virtio_driver_put_desc(&rig.drv, VIRTIO_RIG_DATA, &entry);
	virtio_driver_put_desc(&rig.drv, VIRTIO_RIG_DATA + 16, &entry);
	head.flags |= virtio_driver_packed_flags(true);
	virtio_driver_put_ring_desc(&rig.drv, 0, &head);
	chain = virtio_rig_pop(&rig);
	assert_int_equal(aero_virtio_queue_read(&rig.queue, &chain, buf, 64, &len), AERO_OK);
	assert_int_equal(len, 32);
	virtio_rig_close(&rig);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		cmocka_unit_test(test_pop_empty_eagain),
		cmocka_unit_test(test_read_any_framing_same_stream),
		cmocka_unit_test(test_read_indirect_any_framing_same_stream),
		cmocka_unit_test(test_read_indirect_longer_than_ring_ok),
		cmocka_unit_test(test_read_whole_ring_as_one_chain_ok),
		cmocka_unit_test(test_read_stops_at_writable_part),
		cmocka_unit_test(test_next_segment_after_read_is_the_rest),
		cmocka_unit_test(test_next_segment_4_gib_in_all_ok),
		cmocka_unit_test(test_read_only_empty_buffers_is_empty),
		cmocka_unit_test(test_read_write_flag_on_table_ignored),
	};
	static const struct CMUnitTest once[] = {
		cmocka_unit_test(test_read_split_direct_then_indirect_ok),
		cmocka_unit_test(test_read_packed_table_other_flags_ignored),
	};
	struct CMUnitTest
		tests[TEST_ARRAY_SIZE(cases) * VIRTIO_RIG_VARIANTS + TEST_ARRAY_SIZE(once)];

	virtio_rig_expand(tests, cases, TEST_ARRAY_SIZE(cases));
	memcpy(&tests[TEST_ARRAY_SIZE(cases) * VIRTIO_RIG_VARIANTS], once, sizeof(once));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
