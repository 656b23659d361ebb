/* SPDX-License-Identifier: MIT */
#include "support/virtio_guest_rig.h"

/*
 * What a device must not write, one by one: the queue breaks with the right reason, nothing comes
 * back that should not, and all that is in flight is the caller's again after stop().
 */

/* Three in flight: 1 entry, 2 entries the second of which is writable (32 bytes), 1 entry. */
static void open_with_three(struct virtio_guest_rig *rig, void **state,
			    struct virtio_device_chain *chains)
{
	virtio_guest_rig_open(rig, virtio_guest_rig_ring(state));
	virtio_guest_rig_give(rig, 10, 1, 0);
	virtio_guest_rig_give(rig, 11, 2, 1);
	virtio_guest_rig_give(rig, 12, 1, 0);
	for (int i = 0; i < 3; i++)
		chains[i] = virtio_guest_rig_pop(rig);
}

static void test_id_outside_the_ring(void **state)
{
	struct virtio_device_chain chains[3];
	struct virtio_guest_rig rig;
	const uint32_t ids[] = {
		virtio_guest_rig_ring(state)->size, 0x7fff, 0x8000, 0xffff, 0x10000, 0xffffffff,
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(ids); i++) {
		if (virtio_guest_rig_ring(state)->is_packed && ids[i] > 0xffff)
			break;
		open_with_three(&rig, state, chains);
		virtio_device_put_used(&rig.dev, ids[i], 0);
		virtio_guest_rig_expect_fault(&rig, AERO_VIRTIO_GUEST_QUEUE_FAULT_ID, 3);
		virtio_guest_rig_close(&rig);
	}
}

/* Every id but the three; with split rings the second descriptor of a chain is among them. */
static void test_id_not_in_flight(void **state)
{
	struct virtio_device_chain chains[3];
	struct virtio_guest_rig rig;

	for (uint16_t id = 0; id < virtio_guest_rig_ring(state)->size; id++) {
		open_with_three(&rig, state, chains);
		if (id != chains[0].id && id != chains[1].id && id != chains[2].id) {
			virtio_device_put_used(&rig.dev, id, 0);
			virtio_guest_rig_expect_fault(&rig, AERO_VIRTIO_GUEST_QUEUE_FAULT_TWICE, 3);
		}
		virtio_guest_rig_close(&rig);
	}
}

static void test_id_with_nothing_in_flight(void **state)
{
	struct virtio_guest_rig rig;
	struct virtio_device_chain chain;

	for (int laps = 0; laps < 3; laps++) {
		virtio_guest_rig_open(&rig, virtio_guest_rig_ring(state));
		for (int i = 0; i < laps; i++) {
			virtio_guest_rig_give(&rig, 1, 1, 0);
			chain = virtio_guest_rig_pop(&rig);
			virtio_device_push(&rig.dev, &chain, 0);
			virtio_guest_rig_take(&rig, 1, 0);
		}
		virtio_device_put_used(&rig.dev, 0, 0);
		virtio_guest_rig_expect_fault(&rig,
					      rig.ring.is_packed
						      ? AERO_VIRTIO_GUEST_QUEUE_FAULT_TWICE
						      : AERO_VIRTIO_GUEST_QUEUE_FAULT_INDEX,
					      0);
		virtio_guest_rig_close(&rig);
	}
}

static void test_completed_twice(void **state)
{
	struct virtio_device_chain chains[3];
	struct virtio_guest_rig rig;

	open_with_three(&rig, state, chains);
	virtio_device_push(&rig.dev, &chains[0], 0);
	virtio_device_push(&rig.dev, &chains[0], 0);
	virtio_guest_rig_take(&rig, 10, 0);
	virtio_guest_rig_expect_fault(&rig, AERO_VIRTIO_GUEST_QUEUE_FAULT_TWICE, 2);
	virtio_guest_rig_close(&rig);
}

/* In order: the entry of a chain that the batch before has answered. */
static void test_completed_twice_by_a_batch(void **state)
{
	struct virtio_device_chain chains[3];
	struct virtio_guest_rig rig;

	open_with_three(&rig, state, chains);
	if (rig.ring.is_in_order) {
		virtio_device_push_batch(&rig.dev, chains, 2, 0);
		virtio_device_push(&rig.dev, &chains[1], 0);
		virtio_guest_rig_take(&rig, 10, 0);
		virtio_guest_rig_take(&rig, 11, 0);
		virtio_guest_rig_expect_fault(&rig, AERO_VIRTIO_GUEST_QUEUE_FAULT_TWICE, 1);
	}
	virtio_guest_rig_close(&rig);
}

static void test_length_above_writable(void **state)
{
	static const uint32_t lens[] = { 33, 0x10000, 0x80000000u, 0xffffffff };
	struct virtio_device_chain chains[3];
	struct virtio_guest_rig rig;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(lens); i++) {
		open_with_three(&rig, state, chains);
		virtio_device_push(&rig.dev, &chains[0], 0);
		virtio_device_push(&rig.dev, &chains[1], lens[i]);
		virtio_guest_rig_take(&rig, 10, 0);
		virtio_guest_rig_expect_fault(&rig, AERO_VIRTIO_GUEST_QUEUE_FAULT_LENGTH, 2);
		virtio_guest_rig_close(&rig);
	}
}

static void test_length_of_a_readable_chain(void **state)
{
	struct virtio_device_chain chains[3];
	struct virtio_guest_rig rig;

	open_with_three(&rig, state, chains);
	virtio_device_push(&rig.dev, &chains[0], 1);
	virtio_guest_rig_expect_fault(&rig, AERO_VIRTIO_GUEST_QUEUE_FAULT_LENGTH, 3);
	virtio_guest_rig_close(&rig);
}

/* Who ignores lengths is told of what was writable at most; ids are checked all the same. */
static void test_length_ignored_is_cut(void **state)
{
	struct aero_virtio_guest_queue_config ring = *virtio_guest_rig_ring(state);
	void *ignoring = &ring;
	struct virtio_device_chain chains[3];
	struct virtio_guest_rig rig;

	ring.is_length_ignored = true;
	open_with_three(&rig, &ignoring, chains);
	virtio_device_push(&rig.dev, &chains[0], 0xffffffff);
	virtio_device_push(&rig.dev, &chains[1], 33);
	virtio_guest_rig_take(&rig, 10, 0);
	virtio_guest_rig_take(&rig, 11, 32);
	virtio_guest_rig_give(&rig, 13, 2, 1);
	chains[1] = virtio_guest_rig_pop(&rig);
	virtio_device_push(&rig.dev, &chains[2], 7);
	virtio_device_push(&rig.dev, &chains[1], 31);
	virtio_guest_rig_take(&rig, 12, 0);
	virtio_guest_rig_take(&rig, 13, 31);
	virtio_guest_rig_give(&rig, 14, 1, 0);
	chains[0] = virtio_guest_rig_pop(&rig);
	virtio_device_put_used(&rig.dev, (chains[0].id + 1u) % ring.size, 0);
	virtio_guest_rig_expect_fault(&rig, AERO_VIRTIO_GUEST_QUEUE_FAULT_TWICE, 1);
	virtio_guest_rig_close(&rig);
}

/* A batch whose last chain is said to be longer than it is: none of it comes back. */
static void test_length_of_a_batch(void **state)
{
	struct virtio_device_chain chains[3];
	struct virtio_guest_rig rig;

	open_with_three(&rig, state, chains);
	if (rig.ring.is_in_order) {
		virtio_device_push_batch(&rig.dev, chains, 2, 33);
		virtio_guest_rig_expect_fault(&rig, AERO_VIRTIO_GUEST_QUEUE_FAULT_LENGTH, 3);
	}
	virtio_guest_rig_close(&rig);
}

/* Split: the index leaps over more than is in flight, or back. */
static void test_index_jumps(void **state)
{
	static const uint16_t jumps[] = { 4, 5, 8, 9, 16, 17, 0x7fff, 0x8000, 0x8001, 0xffff };
	struct virtio_device_chain chains[3];
	struct virtio_guest_rig rig;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(jumps); i++) {
		open_with_three(&rig, state, chains);
		if (!rig.ring.is_packed) {
			virtio_device_put(&rig.dev, rig.parts[2] + 2, jumps[i], 2);
			virtio_guest_rig_expect_fault(&rig, AERO_VIRTIO_GUEST_QUEUE_FAULT_INDEX, 3);
		}
		virtio_guest_rig_close(&rig);
	}
}

/* Back after one was taken. */
static void test_index_taken_back(void **state)
{
	struct virtio_device_chain chains[3];
	struct virtio_guest_rig rig;

	open_with_three(&rig, state, chains);
	if (!rig.ring.is_packed) {
		virtio_device_push(&rig.dev, &chains[0], 0);
		virtio_guest_rig_take(&rig, 10, 0);
		virtio_device_put(&rig.dev, rig.parts[2] + 2, 0, 2);
		virtio_guest_rig_expect_fault(&rig, AERO_VIRTIO_GUEST_QUEUE_FAULT_INDEX, 2);
	}
	virtio_guest_rig_close(&rig);
}

/* In order, split: the entry is of the third chain, the index has moved by one only. */
static void test_index_behind_its_batch(void **state)
{
	struct virtio_device_chain chains[3];
	struct virtio_guest_rig rig;

	open_with_three(&rig, state, chains);
	if (rig.ring.is_in_order && !rig.ring.is_packed) {
		virtio_device_put_used(&rig.dev, chains[2].id, 0);
		virtio_guest_rig_take(&rig, 10, 0);
		virtio_guest_rig_take(&rig, 11, 32);
		virtio_guest_rig_take(&rig, 12, 0);
		virtio_guest_rig_expect_fault(&rig, AERO_VIRTIO_GUEST_QUEUE_FAULT_INDEX, 0);
	}
	virtio_guest_rig_close(&rig);
}

/* An entry that changes after it was taken: what was answered counts. */
static void test_entry_changed_after_take(void **state)
{
	struct virtio_device_chain chains[3];
	struct virtio_guest_rig rig;

	open_with_three(&rig, state, chains);
	virtio_device_push(&rig.dev, &chains[0], 0);
	virtio_guest_rig_take(&rig, 10, 0);
	virtio_device_put(&rig.dev, rig.ring.is_packed ? rig.parts[0] + 12 : rig.parts[2] + 4,
			  0xffff, 2);
	virtio_guest_rig_take_none(&rig);
	virtio_device_push(&rig.dev, &chains[1], 32);
	virtio_guest_rig_take(&rig, 11, 32);
	virtio_guest_rig_close(&rig);
}

/* Packed: two bits make a used one, one says that it has a length, the rest means nothing. */
static void test_packed_flags_of_every_value(void **state)
{
	struct aero_virtio_guest_queue_config ring = { .size = 3, .is_packed = true };
	struct virtio_guest_rig rig;

	(void)state;
	for (uint32_t flags = 0; flags < 0x10000; flags++) {
		struct aero_virtio_guest_used used;
		bool is_used = (flags & 0x8080) == 0x8080;

		virtio_guest_rig_open(&rig, &ring);
		virtio_guest_rig_give(&rig, 5, 1, 1);
		virtio_device_put(&rig.dev, rig.parts[0] + 8, 16, 4);
		virtio_device_put(&rig.dev, rig.parts[0] + 14, flags, 2);
		assert_int_equal(aero_virtio_guest_queue_take(&rig.queue, &used),
				 is_used ? AERO_OK : AERO_EAGAIN);
		if (is_used)
			assert_int_equal(used.len, flags & 2 ? 16 : 0);
		virtio_guest_rig_close(&rig);
	}
}

int main(void)
{
	static const struct CMUnitTest each[] = {
		cmocka_unit_test(test_id_outside_the_ring),
		cmocka_unit_test(test_id_not_in_flight),
		cmocka_unit_test(test_id_with_nothing_in_flight),
		cmocka_unit_test(test_completed_twice),
		cmocka_unit_test(test_completed_twice_by_a_batch),
		cmocka_unit_test(test_length_above_writable),
		cmocka_unit_test(test_length_of_a_readable_chain),
		cmocka_unit_test(test_length_ignored_is_cut),
		cmocka_unit_test(test_length_of_a_batch),
		cmocka_unit_test(test_index_jumps),
		cmocka_unit_test(test_index_taken_back),
		cmocka_unit_test(test_index_behind_its_batch),
		cmocka_unit_test(test_entry_changed_after_take),
	};
	static const struct CMUnitTest once[] = {
		cmocka_unit_test(test_packed_flags_of_every_value),
	};
	struct CMUnitTest
		tests[TEST_ARRAY_SIZE(each) * VIRTIO_GUEST_RIG_VARIANTS + TEST_ARRAY_SIZE(once)];

	virtio_guest_rig_expand(tests, each, TEST_ARRAY_SIZE(each));
	memcpy(&tests[TEST_ARRAY_SIZE(each) * VIRTIO_GUEST_RIG_VARIANTS], once, sizeof(once));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
