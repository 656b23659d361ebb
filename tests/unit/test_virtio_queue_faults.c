/* SPDX-License-Identifier: MIT */
#include "support/virtio_rig.h"

/* Drivers that break the rules: each breaks the queue with its reason, and nothing else. */

#define NEXT VIRTIO_DRIVER_NEXT
#define WRITE VIRTIO_DRIVER_WRITE
#define INDIRECT VIRTIO_DRIVER_INDIRECT
#define TABLE (VIRTIO_RIG_DATA + 0x100)

/*
 * Descriptors into the first entries of the ring, given with head 0. For a packed ring the flags
 * that make them available are added; "next" is the next one or the id.
 */
static void give_raw(struct virtio_rig *rig, const struct virtio_driver_desc *descs, uint32_t count)
{
	for (uint32_t i = count; i--;) {
		struct virtio_driver_desc desc = descs[i];

		if (rig->drv.ring.is_packed)
			desc.flags |= virtio_driver_packed_flags(true);
		virtio_driver_put_ring_desc(&rig->drv, i, &desc);
	}
	if (!rig->drv.ring.is_packed)
		virtio_driver_publish_split(&rig->drv, 0);
}

/* The same followed by what must come of it, on a fresh ring. */
static void expect(void **state, const struct virtio_driver_desc *descs, uint32_t count,
		   enum aero_virtio_queue_fault fault)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	give_raw(&rig, descs, count);
	virtio_rig_expect_fault(&rig, fault);
	virtio_rig_close(&rig);
}

static void expect_one(void **state, struct virtio_driver_desc desc,
		       enum aero_virtio_queue_fault fault)
{
	expect(state, &desc, 1, fault);
}

static void test_read_buffer_outside_memory_breaks(void **state)
{
	static const struct virtio_driver_desc bad[] = {
		{ VIRTIO_RIG_END, 1, 0, 0 },		 /* not memory */
		{ VIRTIO_RIG_END - 1, 2, 0, 0 },	 /* runs out of it */
		{ VIRTIO_RIG_DATA, 0x80000000u, 0, 0 },	 /* far out of it */
		{ 0xfffffffffffffff0ull, 0x20, 0, 0 },	 /* past the last address */
		{ 0xffffffffffffffffull, 1, 0, 0 },	 /* up to it */
		{ 0xfffffffffffff000ull, 0x2000, 0, 0 }, /* and around to good memory */
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(bad); i++)
		expect_one(state, bad[i], AERO_VIRTIO_QUEUE_FAULT_ADDRESS);
}

static void test_next_segment_address_overflow_breaks(void **state)
{
	static const struct virtio_driver_desc bad = { 0xfffffffffffff000ull, 0x1000, WRITE, 0 };

	expect_one(state, bad, AERO_VIRTIO_QUEUE_FAULT_ADDRESS);
}

static void test_read_readable_after_writable_breaks(void **state)
{
	static const struct virtio_driver_desc bad[] = {
		{ VIRTIO_RIG_DATA, 4, NEXT, 1 },
		{ VIRTIO_RIG_DATA, 4, NEXT | WRITE, 2 },
		{ VIRTIO_RIG_DATA, 4, 0, 0 },
	};
	static const struct virtio_driver_desc empty[] = {
		{ VIRTIO_RIG_DATA, 0, NEXT | WRITE, 1 },
		{ VIRTIO_RIG_DATA, 4, 0, 0 },
	};

	expect(state, bad, 3, AERO_VIRTIO_QUEUE_FAULT_ORDER);
	expect(state, empty, 2, AERO_VIRTIO_QUEUE_FAULT_ORDER);
}

static void test_read_longer_than_4_gib_breaks(void **state)
{
	static const struct virtio_driver_desc bad[] = {
		{ 0, 0x80000000u, NEXT | WRITE, 1 },
		{ 0, 0x80000000u, NEXT | WRITE, 2 },
		{ 0, 1, WRITE, 0 },
	};

	expect(state, bad, 3, AERO_VIRTIO_QUEUE_FAULT_LENGTH);
}

static void test_read_table_not_negotiated_breaks(void **state)
{
	static const struct virtio_driver_desc bad = { TABLE, 16, INDIRECT, 0 };
	struct aero_virtio_queue_config ring = *virtio_rig_ring(state);
	struct virtio_rig rig;

	ring.has_indirect = false;
	virtio_rig_open(&rig, &ring);
	give_raw(&rig, &bad, 1);
	virtio_rig_expect_fault(&rig, AERO_VIRTIO_QUEUE_FAULT_INDIRECT);
	virtio_rig_close(&rig);
}

static void test_read_table_of_bad_length_breaks(void **state)
{
	static const uint32_t bad[] = { 0,	     1,		 15,	   17,
					24,	     0xffff,	 0x80010u, /* 32769 entries */
					0xfffffff0u, 0xffffffffu };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(bad); i++)
		expect_one(state, (struct virtio_driver_desc){ TABLE, bad[i], INDIRECT, 0 },
			   AERO_VIRTIO_QUEUE_FAULT_INDIRECT);
}

static void test_read_table_outside_memory_breaks(void **state)
{
	static const struct virtio_driver_desc bad[] = {
		{ VIRTIO_RIG_END, 16, INDIRECT, 0 },
		{ VIRTIO_RIG_END - 15, 16, INDIRECT, 0 },
		{ 0xfffffffffffffff0ull, 16, INDIRECT, 0 },
		{ 0xfffffffffffffff8ull, 16, INDIRECT, 0 },
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(bad); i++)
		expect_one(state, bad[i], AERO_VIRTIO_QUEUE_FAULT_ADDRESS);
}

static void test_read_table_that_goes_on_breaks(void **state)
{
	static const struct virtio_driver_desc bad[] = {
		{ TABLE, 16, INDIRECT | NEXT, 1 },
		{ VIRTIO_RIG_DATA, 4, 0, 0 },
	};

	expect(state, bad, 2, AERO_VIRTIO_QUEUE_FAULT_INDIRECT);
}

/* Every translation of a request fails once: the address is bad, whatever it was for. */
static void test_read_translate_fails_breaks(void **state)
{
	static const struct virtio_driver_buffer buffers[] = {
		{ VIRTIO_RIG_SEAM - 4, 8, false },
		{ VIRTIO_RIG_DATA, 8, false },
	};
	enum aero_status status = AERO_EPROTO;
	unsigned long nth;

	for (nth = 1; status == AERO_EPROTO; nth++) {
		struct aero_virtio_chain chain;
		struct virtio_rig rig;
		uint16_t id;

		virtio_rig_open(&rig, virtio_rig_ring(state));
		assert_true(virtio_driver_give_indirect(&rig.drv, VIRTIO_RIG_SEAM - 8, buffers, 2,
							&id));
		rig.ram.fail_at = rig.ram.translations + nth;
		status = aero_virtio_queue_pop(&rig.queue, &chain);
		if (status == AERO_OK)
			status = virtio_rig_drain(&rig, &chain);
		if (status == AERO_EPROTO)
			assert_int_equal(rig.queue.fault, AERO_VIRTIO_QUEUE_FAULT_ADDRESS);
		virtio_rig_close(&rig);
	}
	assert_int_equal(status, AERO_ENOENT);
	assert_in_range(nth, 6, 9); /* table entry 0 in two parts, entry 1, three of data */
}

/* A VMM whose translate() answers nonsense must not make us loop or run over the buffer. */
static size_t nonsense;

static void *translate_nonsense(void *ctx, aero_gpa gpa, size_t *len, enum aero_access access)
{
	const struct guest_ram *ram = ctx;
	void *host = ram->memory.translate(ctx, gpa, len, access);

	*len = nonsense;
	return host;
}

static void test_read_translate_answers_bad_length_breaks(void **state)
{
	static const size_t lengths[] = { 0, 5, SIZE_MAX };
	struct virtio_driver_desc desc = { VIRTIO_RIG_DATA, 4, 0, 0 };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(lengths); i++) {
		struct aero_host_memory memory = { .translate = translate_nonsense };
		struct virtio_rig rig;

		virtio_rig_open(&rig, virtio_rig_ring(state));
		memory.ctx = &rig.ram;
		nonsense = lengths[i];
		rig.queue.config.memory = &memory;
		give_raw(&rig, &desc, 1);
		virtio_rig_expect_fault(&rig, AERO_VIRTIO_QUEUE_FAULT_ADDRESS);
		virtio_rig_close(&rig);
	}
}

/* What has been taken from a descriptor is not looked at again. */
static void test_read_descriptor_changed_meanwhile_keeps_copy(void **state)
{
	struct virtio_driver_desc desc = { VIRTIO_RIG_DATA, 8, 0, 0 };
	struct aero_virtio_chain chain;
	struct virtio_rig rig;
	uint8_t buf[64];
	uint32_t len;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	give_raw(&rig, &desc, 1);
	chain = virtio_rig_pop(&rig);
	assert_int_equal(aero_virtio_queue_read(&rig.queue, &chain, buf, 1, &len), AERO_OK);
	desc = (struct virtio_driver_desc){ VIRTIO_RIG_END, 0xffffffffu, NEXT | INDIRECT, 0xffff };
	virtio_driver_put_ring_desc(&rig.drv, 0, &desc);
	assert_int_equal(aero_virtio_queue_read(&rig.queue, &chain, buf, 64, &len), AERO_OK);
	assert_int_equal(len, 7);
	virtio_rig_push(&rig, &chain, 0);
	assert_int_equal(guest_ram_get(&rig.ram,
				       rig.drv.ring.is_packed ? rig.drv.ring.desc + 12
							      : rig.drv.ring.device + 4,
				       2, false),
			 0);
	virtio_rig_close(&rig);
}

/* Split only ---------------------------------------------------------------------------------- */

static const struct aero_virtio_queue_config split = { .size = 8, .has_indirect = true };

static void test_pop_split_index_jump_breaks(void **state)
{
	static const uint16_t bad[] = { 9, 10, 0x7fff, 0x8000, 0xffff };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(bad); i++) {
		struct virtio_rig rig;

		virtio_rig_open(&rig, virtio_rig_ring(state));
		virtio_driver_put_avail_idx(&rig.drv, bad[i]);
		virtio_rig_expect_fault(&rig, AERO_VIRTIO_QUEUE_FAULT_INDEX);
		virtio_rig_close(&rig);
	}
}

/* All 8 are taken; the driver gives a ninth although none has come back. */
static void test_pop_split_more_than_the_ring_breaks(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	virtio_driver_put_avail_idx(&rig.drv, 8);
	for (int i = 0; i < 8; i++)
		(void)virtio_rig_pop(&rig);
	virtio_driver_put_avail_idx(&rig.drv, 9);
	virtio_rig_expect_fault(&rig, AERO_VIRTIO_QUEUE_FAULT_INDEX);
	virtio_rig_close(&rig);
}

static void test_pop_split_head_outside_breaks(void **state)
{
	static const uint16_t bad[] = { 8, 9, 0x8000, 0xffff };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(bad); i++) {
		struct virtio_rig rig;

		virtio_rig_open(&rig, virtio_rig_ring(state));
		virtio_driver_publish_split(&rig.drv, bad[i]);
		virtio_rig_expect_fault(&rig, AERO_VIRTIO_QUEUE_FAULT_HEAD);
		virtio_rig_close(&rig);
	}
}

static void test_read_split_next_outside_breaks(void **state)
{
	static const uint16_t bad[] = { 8, 9, 0x8000, 0xffff };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(bad); i++)
		expect_one(state, (struct virtio_driver_desc){ VIRTIO_RIG_DATA, 4, NEXT, bad[i] },
			   AERO_VIRTIO_QUEUE_FAULT_HEAD);
}

static void test_read_split_loop_breaks(void **state)
{
	static const struct virtio_driver_desc pair[] = {
		{ VIRTIO_RIG_DATA, 4, NEXT, 1 },
		{ VIRTIO_RIG_DATA, 4, NEXT, 0 },
	};
	static const struct virtio_driver_desc self = { VIRTIO_RIG_DATA, 4, NEXT, 0 };
	static const struct virtio_driver_desc empty = { VIRTIO_RIG_DATA, 0, NEXT, 0 };

	expect(state, pair, 2, AERO_VIRTIO_QUEUE_FAULT_LOOP);
	expect_one(state, self, AERO_VIRTIO_QUEUE_FAULT_LOOP);
	expect_one(state, empty, AERO_VIRTIO_QUEUE_FAULT_LOOP);
}

/* A table of two entries at TABLE, given and read. */
static void expect_table(void **state, const struct virtio_driver_desc *entries,
			 enum aero_virtio_queue_fault fault)
{
	static const struct virtio_driver_desc head = { TABLE, 32, INDIRECT, 0 };
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	for (unsigned int i = 0; i < 2; i++)
		virtio_driver_put_desc(&rig.drv, TABLE + 16 * i, &entries[i]);
	give_raw(&rig, &head, 1);
	virtio_rig_expect_fault(&rig, fault);
	virtio_rig_close(&rig);
}

static void test_read_split_bad_table_breaks(void **state)
{
	static const struct {
		struct virtio_driver_desc entry[2];
		enum aero_virtio_queue_fault fault;
	} bad[] = {
		{ { { TABLE, 16, INDIRECT, 0 } }, AERO_VIRTIO_QUEUE_FAULT_INDIRECT },
		{ { { VIRTIO_RIG_DATA, 4, NEXT, 1 }, { TABLE, 32, INDIRECT, 0 } },
		  AERO_VIRTIO_QUEUE_FAULT_INDIRECT },
		{ { { VIRTIO_RIG_DATA, 4, NEXT, 2 } }, AERO_VIRTIO_QUEUE_FAULT_HEAD },
		{ { { VIRTIO_RIG_DATA, 4, NEXT, 0xffff } }, AERO_VIRTIO_QUEUE_FAULT_HEAD },
		{ { { VIRTIO_RIG_DATA, 4, NEXT, 0 } }, AERO_VIRTIO_QUEUE_FAULT_LOOP },
		{ { { VIRTIO_RIG_DATA, 4, NEXT, 1 }, { VIRTIO_RIG_DATA, 0, NEXT, 0 } },
		  AERO_VIRTIO_QUEUE_FAULT_LOOP },
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(bad); i++)
		expect_table(state, bad[i].entry, bad[i].fault);
}

/* Packed only --------------------------------------------------------------------------------- */

static const struct aero_virtio_queue_config packed = { .size = 5,
							.has_indirect = true,
							.is_packed = true };

static void test_pop_packed_id_outside_breaks(void **state)
{
	static const uint16_t bad[] = { 5, 6, 0x8000, 0xffff };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(bad); i++)
		expect_one(state, (struct virtio_driver_desc){ VIRTIO_RIG_DATA, 4, 0, bad[i] },
			   AERO_VIRTIO_QUEUE_FAULT_HEAD);
}

/* Available means: AVAIL as the lap says and USED not. Both is "used", whoever wrote it. */
static void test_pop_packed_both_flags_eagain(void **state)
{
	static const struct virtio_driver_desc used = {
		VIRTIO_RIG_DATA,
		4,
		VIRTIO_DRIVER_AVAIL | VIRTIO_DRIVER_USED,
		0,
	};
	struct aero_virtio_chain chain;
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	virtio_driver_put_ring_desc(&rig.drv, 0, &used);
	assert_int_equal(aero_virtio_queue_pop(&rig.queue, &chain), AERO_EAGAIN);
	assert_int_equal(rig.queue.fault, AERO_VIRTIO_QUEUE_FAULT_NONE);
	virtio_rig_close(&rig);
}

static void test_pop_packed_list_without_end_breaks(void **state)
{
	struct virtio_driver_desc descs[5];

	for (unsigned int i = 0; i < 5; i++)
		descs[i] = (struct virtio_driver_desc){ VIRTIO_RIG_DATA, 4, NEXT, 0 };
	expect(state, descs, 5, AERO_VIRTIO_QUEUE_FAULT_LOOP);
}

/* Two entries are in flight, and the list would take four more. */
static void test_pop_packed_more_than_the_ring_breaks(void **state)
{
	static const struct virtio_driver_desc first[] = {
		{ VIRTIO_RIG_DATA, 4, NEXT, 1 }, { VIRTIO_RIG_DATA, 4, 0, 1 },
		{ VIRTIO_RIG_DATA, 4, NEXT, 2 }, { VIRTIO_RIG_DATA, 4, NEXT, 2 },
		{ VIRTIO_RIG_DATA, 4, NEXT, 2 },
	};
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	give_raw(&rig, first, 5);
	(void)virtio_rig_pop(&rig);
	virtio_rig_expect_fault(&rig, AERO_VIRTIO_QUEUE_FAULT_LOOP);
	virtio_rig_close(&rig);
}

static void test_read_packed_list_with_table_breaks(void **state)
{
	static const struct virtio_driver_desc bad[] = {
		{ VIRTIO_RIG_DATA, 4, NEXT, 1 },
		{ TABLE, 16, INDIRECT, 0 },
	};

	expect(state, bad, 2, AERO_VIRTIO_QUEUE_FAULT_INDIRECT);
}

/* The list is as long as it was when it was taken. */
static void test_read_packed_list_changed_after_pop_keeps_length(void **state)
{
	static const struct virtio_driver_desc list[] = {
		{ VIRTIO_RIG_DATA, 4, NEXT, 1 },
		{ VIRTIO_RIG_DATA, 4, NEXT, 1 },
		{ VIRTIO_RIG_DATA, 4, 0, 3 },
	};
	static const uint16_t flags[] = { 0, NEXT, NEXT | WRITE, INDIRECT, INDIRECT | NEXT };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(flags); i++) {
		struct virtio_driver_desc desc = { VIRTIO_RIG_DATA, 4, flags[i], 0xffff };
		struct aero_virtio_chain chain;
		struct virtio_rig rig;

		virtio_rig_open(&rig, virtio_rig_ring(state));
		give_raw(&rig, list, 3);
		chain = virtio_rig_pop(&rig);
		virtio_driver_put_ring_desc(&rig.drv, 1, &desc);
		virtio_driver_put_ring_desc(&rig.drv, 2, &desc);
		assert_int_equal(virtio_rig_drain(&rig, &chain),
				 flags[i] & INDIRECT ? AERO_EPROTO : AERO_ENOENT);
		assert_int_equal(chain.id, 3);
		assert_int_equal(chain.ring_slots, 3);
		virtio_rig_close(&rig);
	}
}

/* No chain of this ring is that long: one from elsewhere must not move us out of it. */
static void test_push_packed_chain_of_larger_ring_einval(void **state)
{
	struct aero_virtio_chain chain = { .ring_slots = 6 };
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	assert_int_equal(aero_virtio_queue_push(&rig.queue, &chain, 0), AERO_EINVAL);
	assert_int_equal(aero_virtio_queue_stop(&rig.queue), 0x80008000u);
	virtio_rig_close(&rig);
}

#define SPLIT(test) cmocka_unit_test_prestate(test, (void *)&split)
#define PACKED(test) cmocka_unit_test_prestate(test, (void *)&packed)

int main(void)
{
	static const struct CMUnitTest cases[] = {
		cmocka_unit_test(test_read_buffer_outside_memory_breaks),
		cmocka_unit_test(test_next_segment_address_overflow_breaks),
		cmocka_unit_test(test_read_readable_after_writable_breaks),
		cmocka_unit_test(test_read_longer_than_4_gib_breaks),
		cmocka_unit_test(test_read_table_not_negotiated_breaks),
		cmocka_unit_test(test_read_table_of_bad_length_breaks),
		cmocka_unit_test(test_read_table_outside_memory_breaks),
		cmocka_unit_test(test_read_table_that_goes_on_breaks),
		cmocka_unit_test(test_read_translate_fails_breaks),
		cmocka_unit_test(test_read_translate_answers_bad_length_breaks),
		cmocka_unit_test(test_read_descriptor_changed_meanwhile_keeps_copy),
	};
	static const struct CMUnitTest once[] = {
		SPLIT(test_pop_split_index_jump_breaks),
		SPLIT(test_pop_split_more_than_the_ring_breaks),
		SPLIT(test_pop_split_head_outside_breaks),
		SPLIT(test_read_split_next_outside_breaks),
		SPLIT(test_read_split_loop_breaks),
		SPLIT(test_read_split_bad_table_breaks),
		PACKED(test_pop_packed_id_outside_breaks),
		PACKED(test_pop_packed_both_flags_eagain),
		PACKED(test_pop_packed_list_without_end_breaks),
		PACKED(test_pop_packed_more_than_the_ring_breaks),
		PACKED(test_read_packed_list_with_table_breaks),
		PACKED(test_read_packed_list_changed_after_pop_keeps_length),
		PACKED(test_push_packed_chain_of_larger_ring_einval),
	};
	struct CMUnitTest
		tests[TEST_ARRAY_SIZE(cases) * VIRTIO_RIG_VARIANTS + TEST_ARRAY_SIZE(once)];

	virtio_rig_expand(tests, cases, TEST_ARRAY_SIZE(cases));
	memcpy(&tests[TEST_ARRAY_SIZE(cases) * VIRTIO_RIG_VARIANTS], once, sizeof(once));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
