/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <aerostat/guest/virtio_queue.h>

/*
 * Rings as bytes, written by hand from VIRTIO 1.4, 2.7 and 2.8: every byte that the driver writes,
 * and what it makes of those of the device.
 *
 * Guest memory is 4096 bytes at guest-physical address 0x40000000. The three parts of each ring
 * are at 0x40000000, 0x40000100 and 0x40000200, buffers at ...400, ...480 and ...500, the table at
 * ...600.
 */

#define RAM_GPA 0x40000000ull
#define RAM_BYTES 4096

struct patch {
	size_t offset;
	size_t len;
	const char *bytes;
};

/* A string literal is its bytes and a 0 that does not count. */
#define AT(offset, bytes)                        \
	{                                        \
		offset, sizeof(bytes) - 1, bytes \
	}

static _Alignas(16) uint8_t ram[RAM_BYTES];
static uint8_t expected[RAM_BYTES];
static struct aero_virtio_guest_slot slots[8];

static const struct aero_virtio_guest_buffer buffers[] = {
	{ RAM_GPA + 0x400, 8, false },
	{ RAM_GPA + 0x480, 4, true },
	{ RAM_GPA + 0x500, 16, false },
};

static void apply(uint8_t *image, const struct patch *patches, size_t count)
{
	for (size_t i = 0; i < count; i++)
		memcpy(image + patches[i].offset, patches[i].bytes, patches[i].len);
}

static void begin(struct aero_virtio_guest_queue *queue,
		  const struct aero_virtio_guest_queue_config *ring)
{
	struct aero_virtio_guest_queue_config config = *ring;

	config.desc = ram;
	config.driver = ram + 0x100;
	config.device = ram + 0x200;
	config.slots = slots;
	memset(ram, 0, sizeof(ram));
	memset(expected, 0, sizeof(expected));
	assert_int_equal(aero_virtio_guest_queue_start(queue, &config), AERO_OK);
}

static void give(struct aero_virtio_guest_queue *queue, uint16_t token, size_t first,
		 uint32_t count)
{
	struct aero_virtio_guest_chain chain = {
		.buffers = &buffers[first],
		.count = count,
		.token = token,
		.table = ram + 0x600,
		.table_gpa = RAM_GPA + 0x600,
	};

	assert_int_equal(aero_virtio_guest_queue_give(queue, &chain), AERO_OK);
}

static void take(struct aero_virtio_guest_queue *queue, uint16_t token, uint32_t len)
{
	struct aero_virtio_guest_used used;

	assert_int_equal(aero_virtio_guest_queue_take(queue, &used), AERO_OK);
	assert_int_equal(used.token, token);
	assert_int_equal(used.len, len);
}

/* What the driver has changed since the last time. */
static void check(const struct patch *changes, size_t count)
{
	apply(expected, changes, count);
	assert_memory_equal(ram, expected, sizeof(ram));
}

/* What the device writes. */
static void answer(const struct patch *changes, size_t count)
{
	apply(ram, changes, count);
	apply(expected, changes, count);
}

#define CHECK_CHANGES(...)                           \
	check((const struct patch[]){ __VA_ARGS__ }, \
	      sizeof((const struct patch[]){ __VA_ARGS__ }) / sizeof(struct patch))
#define ANSWER(...)                                   \
	answer((const struct patch[]){ __VA_ARGS__ }, \
	       sizeof((const struct patch[]){ __VA_ARGS__ }) / sizeof(struct patch))

/* Readable and writable, linked; then one alone. Interrupts off and on. */
static void test_split_flags(void **state)
{
	static const struct aero_virtio_guest_queue_config ring = { .size = 4 };
	struct aero_virtio_guest_queue queue;

	(void)state;
	begin(&queue, &ring);
	give(&queue, 7, 0, 2);
	CHECK_CHANGES(AT(0x000, "\x00\x04\x00\x40\x00\x00\x00\x00\x08\x00\x00\x00\x01\x00\x01\x00"),
		      AT(0x010, "\x80\x04\x00\x40\x00\x00\x00\x00\x04\x00\x00\x00\x02\x00\x00\x00"),
		      AT(0x100, "\x00\x00\x01\x00\x00\x00"));
	assert_true(aero_virtio_guest_queue_kick_needed(&queue));
	/* used: no notify, idx 1; id 0, 3 bytes. */
	ANSWER(AT(0x200, "\x01\x00\x01\x00\x00\x00\x00\x00\x03\x00\x00\x00"));
	take(&queue, 7, 3);
	give(&queue, 8, 2, 1);
	assert_false(aero_virtio_guest_queue_kick_needed(&queue));
	CHECK_CHANGES(AT(0x000, "\x00\x05\x00\x40\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00"),
		      AT(0x100, "\x00\x00\x02\x00\x00\x00\x00\x00"));
	assert_false(aero_virtio_guest_queue_interrupt_after(&queue, 0));
	CHECK_CHANGES(AT(0x100, "\x01\x00"));
	assert_false(aero_virtio_guest_queue_interrupt_after(&queue, 1));
	CHECK_CHANGES(AT(0x100, "\x00\x00"));
	ANSWER(AT(0x202, "\x02\x00"), AT(0x20c, "\x00\x00\x00\x00\x00\x00\x00\x00"));
	take(&queue, 8, 0);
	CHECK_CHANGES(AT(0x000, ""));
}

/* Two entries: used_event at 0x108, avail_event at 0x214. */
static void test_split_event(void **state)
{
	static const struct aero_virtio_guest_queue_config ring = { .size = 2,
								    .has_event_idx = true };
	struct aero_virtio_guest_queue queue;

	(void)state;
	begin(&queue, &ring);
	assert_false(aero_virtio_guest_queue_interrupt_after(&queue, 0));
	CHECK_CHANGES(AT(0x108, "\xff\xff"));
	ANSWER(AT(0x214, "\x01\x00"));
	give(&queue, 1, 0, 1);
	assert_false(aero_virtio_guest_queue_kick_needed(&queue));
	give(&queue, 2, 2, 1);
	assert_true(aero_virtio_guest_queue_kick_needed(&queue));
	assert_false(aero_virtio_guest_queue_interrupt_after(&queue, 2));
	CHECK_CHANGES(AT(0x000, "\x00\x04\x00\x40\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00"),
		      AT(0x010, "\x00\x05\x00\x40\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00"),
		      AT(0x100, "\x00\x00\x02\x00\x00\x00\x01\x00\x01\x00"));
	/* The second one first. */
	ANSWER(AT(0x200, "\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00"));
	take(&queue, 2, 0);
	assert_false(aero_virtio_guest_queue_interrupt_after(&queue, 1));
	CHECK_CHANGES(AT(0x108, "\x01\x00"));
	ANSWER(AT(0x202, "\x02\x00"));
	assert_true(aero_virtio_guest_queue_interrupt_after(&queue, 1));
	take(&queue, 1, 0);
	CHECK_CHANGES(AT(0x000, ""));
}

static void test_split_big_endian(void **state)
{
	static const struct aero_virtio_guest_queue_config ring = {
		.size = 2,
		.is_big_endian = true,
		.has_event_idx = true,
		.has_indirect = true,
	};
	struct aero_virtio_guest_queue queue;

	(void)state;
	begin(&queue, &ring);
	give(&queue, 7, 0, 2);
	CHECK_CHANGES(AT(0x000, "\x00\x00\x00\x00\x40\x00\x06\x00\x00\x00\x00\x20\x00\x04\x00\x00"),
		      AT(0x600, "\x00\x00\x00\x00\x40\x00\x04\x00\x00\x00\x00\x08\x00\x01\x00\x01"),
		      AT(0x610, "\x00\x00\x00\x00\x40\x00\x04\x80\x00\x00\x00\x04\x00\x02\x00\x00"),
		      AT(0x100, "\x00\x00\x00\x01\x00\x00"));
	give(&queue, 8, 1, 1);
	CHECK_CHANGES(AT(0x010, "\x00\x00\x00\x00\x40\x00\x04\x80\x00\x00\x00\x04\x00\x02\x00\x00"),
		      AT(0x100, "\x00\x00\x00\x02\x00\x00\x00\x01"));
	ANSWER(AT(0x200, "\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x02"),
	       AT(0x20c, "\x00\x00\x00\x00\x00\x00\x00\x03\x01\x00"));
	/* avail_event 0x0100 is far from 2. */
	assert_false(aero_virtio_guest_queue_kick_needed(&queue));
	take(&queue, 8, 2);
	take(&queue, 7, 3);
	assert_false(aero_virtio_guest_queue_interrupt_after(&queue, 1));
	CHECK_CHANGES(AT(0x108, "\x00\x02"));
}

static void test_split_indirect(void **state)
{
	static const struct aero_virtio_guest_queue_config ring = { .size = 1,
								    .has_indirect = true };
	struct aero_virtio_guest_queue queue;

	(void)state;
	begin(&queue, &ring);
	give(&queue, 7, 0, 2);
	CHECK_CHANGES(AT(0x000, "\x00\x06\x00\x40\x00\x00\x00\x00\x20\x00\x00\x00\x04\x00\x00\x00"),
		      AT(0x600, "\x00\x04\x00\x40\x00\x00\x00\x00\x08\x00\x00\x00\x01\x00\x01\x00"),
		      AT(0x610, "\x80\x04\x00\x40\x00\x00\x00\x00\x04\x00\x00\x00\x02\x00\x00\x00"),
		      AT(0x100, "\x00\x00\x01\x00\x00\x00"));
	ANSWER(AT(0x200, "\x00\x00\x01\x00\x00\x00\x00\x00\x04\x00\x00\x00"));
	take(&queue, 7, 4);
}

/* Two chains answered by the entry of the second; the third goes around the end of the table. */
static void test_split_in_order(void **state)
{
	static const struct aero_virtio_guest_queue_config ring = { .size = 4,
								    .is_in_order = true };
	struct aero_virtio_guest_queue queue;

	(void)state;
	begin(&queue, &ring);
	give(&queue, 7, 1, 1);
	give(&queue, 8, 0, 2);
	CHECK_CHANGES(AT(0x000, "\x80\x04\x00\x40\x00\x00\x00\x00\x04\x00\x00\x00\x02\x00\x00\x00"),
		      AT(0x010, "\x00\x04\x00\x40\x00\x00\x00\x00\x08\x00\x00\x00\x01\x00\x02\x00"),
		      AT(0x020, "\x80\x04\x00\x40\x00\x00\x00\x00\x04\x00\x00\x00\x02\x00\x00\x00"),
		      AT(0x100, "\x00\x00\x02\x00\x00\x00\x01\x00"));
	ANSWER(AT(0x200, "\x00\x00\x02\x00\x01\x00\x00\x00\x01\x00\x00\x00"));
	take(&queue, 7, 4);
	take(&queue, 8, 1);
	give(&queue, 9, 0, 2);
	CHECK_CHANGES(AT(0x030, "\x00\x04\x00\x40\x00\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00"),
		      AT(0x000, "\x80\x04\x00\x40\x00\x00\x00\x00\x04\x00\x00\x00\x02\x00\x00\x00"),
		      AT(0x100, "\x00\x00\x03\x00\x00\x00\x01\x00\x03\x00"));
	/* The next entry is at the place of the third chain, not of the second. */
	ANSWER(AT(0x202, "\x03\x00"), AT(0x214, "\x03\x00\x00\x00\x04\x00\x00\x00"));
	take(&queue, 9, 4);
}

/* Three entries: a list of two and one of one, answered the other way round, then around. */
static void test_packed_lists(void **state)
{
	static const struct aero_virtio_guest_queue_config ring = { .size = 3, .is_packed = true };
	struct aero_virtio_guest_queue queue;

	(void)state;
	begin(&queue, &ring);
	give(&queue, 7, 0, 2);
	give(&queue, 8, 2, 1);
	CHECK_CHANGES(AT(0x000, "\x00\x04\x00\x40\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x81\x00"),
		      AT(0x010, "\x80\x04\x00\x40\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x82\x00"),
		      AT(0x020,
			 "\x00\x05\x00\x40\x00\x00\x00\x00\x10\x00\x00\x00\x01\x00\x80\x00"));
	assert_true(aero_virtio_guest_queue_kick_needed(&queue));
	ANSWER(AT(0x008, "\x00\x00\x00\x00\x01\x00\x80\x80"));
	take(&queue, 8, 0);
	ANSWER(AT(0x018, "\x03\x00\x00\x00\x00\x00\x82\x80"), AT(0x200, "\x00\x00\x01\x00"));
	take(&queue, 7, 3);
	give(&queue, 9, 1, 1);
	assert_false(aero_virtio_guest_queue_kick_needed(&queue));
	CHECK_CHANGES(
		AT(0x000, "\x80\x04\x00\x40\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x02\x80"));
	assert_false(aero_virtio_guest_queue_interrupt_after(&queue, 0));
	CHECK_CHANGES(AT(0x100, "\x00\x00\x01\x00"));
	assert_false(aero_virtio_guest_queue_interrupt_after(&queue, 1));
	CHECK_CHANGES(AT(0x100, "\x00\x00\x00\x00"));
	ANSWER(AT(0x008, "\x04\x00\x00\x00\x00\x00\x02\x00"));
	take(&queue, 9, 4);
	CHECK_CHANGES(AT(0x000, ""));
}

static void test_packed_event(void **state)
{
	static const struct aero_virtio_guest_queue_config ring = { .size = 3,
								    .is_packed = true,
								    .has_event_idx = true };
	struct aero_virtio_guest_queue queue;

	(void)state;
	begin(&queue, &ring);
	/* A kick for what is at 1 in the first lap. */
	ANSWER(AT(0x200, "\x01\x80\x02\x00"));
	give(&queue, 1, 0, 1);
	assert_false(aero_virtio_guest_queue_kick_needed(&queue));
	give(&queue, 2, 0, 1);
	assert_true(aero_virtio_guest_queue_kick_needed(&queue));
	give(&queue, 3, 0, 1);
	assert_false(aero_virtio_guest_queue_kick_needed(&queue));
	CHECK_CHANGES(AT(0x000, "\x00\x04\x00\x40\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x80\x00"),
		      AT(0x010, "\x00\x04\x00\x40\x00\x00\x00\x00\x08\x00\x00\x00\x01\x00\x80\x00"),
		      AT(0x020,
			 "\x00\x04\x00\x40\x00\x00\x00\x00\x08\x00\x00\x00\x02\x00\x80\x00"));
	assert_false(aero_virtio_guest_queue_interrupt_after(&queue, 3));
	CHECK_CHANGES(AT(0x100, "\x02\x80\x02\x00"));
	assert_false(aero_virtio_guest_queue_interrupt_after(&queue, 0));
	CHECK_CHANGES(AT(0x102, "\x01\x00"));
	ANSWER(AT(0x008, "\x00\x00\x00\x00\x00\x00\x80\x80"),
	       AT(0x018, "\x00\x00\x00\x00\x01\x00\x80\x80"));
	take(&queue, 1, 0);
	take(&queue, 2, 0);
	/* The second lap: a kick for what is at 0 with the wrap bit off. */
	ANSWER(AT(0x200, "\x00\x00\x02\x00"));
	give(&queue, 4, 0, 1);
	assert_true(aero_virtio_guest_queue_kick_needed(&queue));
	CHECK_CHANGES(
		AT(0x000, "\x00\x04\x00\x40\x00\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x80"));
	assert_false(aero_virtio_guest_queue_interrupt_after(&queue, 2));
	CHECK_CHANGES(AT(0x100, "\x00\x00\x02\x00"));
}

static void test_packed_indirect(void **state)
{
	static const struct aero_virtio_guest_queue_config ring = { .size = 1,
								    .is_packed = true,
								    .has_indirect = true };
	struct aero_virtio_guest_queue queue;

	(void)state;
	begin(&queue, &ring);
	give(&queue, 7, 0, 2);
	CHECK_CHANGES(AT(0x000, "\x00\x06\x00\x40\x00\x00\x00\x00\x20\x00\x00\x00\x00\x00\x84\x00"),
		      AT(0x600, "\x00\x04\x00\x40\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00"),
		      AT(0x610,
			 "\x80\x04\x00\x40\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x02\x00"));
	ANSWER(AT(0x008, "\x02\x00\x00\x00\x00\x00\x82\x80"));
	take(&queue, 7, 2);
	give(&queue, 8, 0, 1);
	CHECK_CHANGES(
		AT(0x000, "\x00\x04\x00\x40\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x80"));
}

/* One used descriptor for two lists: it is where the first of them was. */
static void test_packed_in_order(void **state)
{
	static const struct aero_virtio_guest_queue_config ring = { .size = 4,
								    .is_packed = true,
								    .is_in_order = true };
	struct aero_virtio_guest_queue queue;

	(void)state;
	begin(&queue, &ring);
	give(&queue, 7, 0, 2);
	give(&queue, 8, 1, 1);
	CHECK_CHANGES(AT(0x000, "\x00\x04\x00\x40\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x81\x00"),
		      AT(0x010, "\x80\x04\x00\x40\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x82\x00"),
		      AT(0x020,
			 "\x80\x04\x00\x40\x00\x00\x00\x00\x04\x00\x00\x00\x01\x00\x82\x00"));
	ANSWER(AT(0x008, "\x03\x00\x00\x00\x01\x00\x82\x80"));
	take(&queue, 7, 4);
	take(&queue, 8, 3);
	give(&queue, 9, 2, 1);
	CHECK_CHANGES(
		AT(0x030, "\x00\x05\x00\x40\x00\x00\x00\x00\x10\x00\x00\x00\x02\x00\x80\x00"));
	ANSWER(AT(0x038, "\x00\x00\x00\x00\x02\x00\x80\x80"));
	take(&queue, 9, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_flags),	 cmocka_unit_test(test_split_event),
		cmocka_unit_test(test_split_big_endian), cmocka_unit_test(test_split_indirect),
		cmocka_unit_test(test_split_in_order),	 cmocka_unit_test(test_packed_lists),
		cmocka_unit_test(test_packed_event),	 cmocka_unit_test(test_packed_indirect),
		cmocka_unit_test(test_packed_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
