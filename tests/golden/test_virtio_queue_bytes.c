/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <aerostat/host/virtio_queue.h>

/*
 * Rings as bytes, written by hand from VIRTIO 1.4, 2.7 and 2.8: what lies in guest memory before,
 * what the device reads of it, and every byte that it changes.
 *
 * Guest memory is 4096 bytes at guest-physical address 0x40000000. The three parts of each ring
 * are at 0x40000000, 0x40000100 and 0x40000200, buffers and tables above.
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

static void *translate(void *ctx, aero_gpa gpa, size_t *len, enum aero_access access)
{
	(void)ctx;
	(void)access;
	if (gpa < RAM_GPA || gpa - RAM_GPA >= RAM_BYTES)
		return NULL;
	if (*len > RAM_BYTES - (gpa - RAM_GPA))
		*len = (size_t)(RAM_BYTES - (gpa - RAM_GPA));
	return ram + (gpa - RAM_GPA);
}

static const struct aero_host_memory memory = { .translate = translate };

static void apply(uint8_t *image, const struct patch *patches, size_t count)
{
	for (size_t i = 0; i < count; i++)
		memcpy(image + patches[i].offset, patches[i].bytes, patches[i].len);
}

static void begin(struct aero_virtio_queue *queue, const struct aero_virtio_queue_config *ring,
		  const struct patch *before, size_t count)
{
	struct aero_virtio_queue_config config = *ring;

	config.memory = &memory;
	config.desc = RAM_GPA;
	config.driver = RAM_GPA + 0x100;
	config.device = RAM_GPA + 0x200;
	memset(ram, 0, sizeof(ram));
	apply(ram, before, count);
	memset(queue, 0, sizeof(*queue));
	memcpy(expected, ram, sizeof(ram));
	assert_int_equal(aero_virtio_queue_start(queue, &config), AERO_OK);
	/* The driver may not have given the ring yet. */
	assert_memory_equal(ram, expected, sizeof(ram));
	(void)aero_virtio_queue_set_kicks(queue, true);
	memcpy(expected, ram, sizeof(ram));
}

static void serve(struct aero_virtio_queue *queue, const char *readable, size_t len,
		  uint32_t written)
{
	struct aero_virtio_chain chain;
	uint8_t buf[64];
	uint32_t got;

	assert_int_equal(aero_virtio_queue_pop(queue, &chain), AERO_OK);
	assert_int_equal(aero_virtio_queue_read(queue, &chain, buf, sizeof(buf), &got), AERO_OK);
	assert_int_equal(got, len);
	assert_memory_equal(buf, readable, len);
	assert_int_equal(aero_virtio_queue_push(queue, &chain, written), AERO_OK);
}

#define SERVE(queue, readable, written) serve(queue, readable, sizeof(readable) - 1, written)

static void check_changes(const struct patch *changes, size_t count)
{
	apply(expected, changes, count);
	assert_memory_equal(ram, expected, sizeof(ram));
}

/* Head 2 -> 0, two readable buffers of 8 and 4 bytes; four entries. */
static void test_split_request_returned(void **state)
{
	static const struct patch before[] = {
		AT(0x000, "\x80\x04\x00\x40\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00"),
		AT(0x020, "\x00\x04\x00\x40\x00\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00"),
		AT(0x100, "\x00\x00\x01\x00\x02\x00"),
		AT(0x400, "\x11\x22\x33\x44\x55\x66\x77\x88"),
		AT(0x480, "\x99\xaa\xbb\xcc"),
	};
	static const struct patch changes[] = {
		AT(0x200, "\x00\x00\x01\x00\x02\x00\x00\x00\x00\x00\x00\x00"),
	};
	static const struct aero_virtio_queue_config ring = { .size = 4 };
	struct aero_virtio_queue queue;

	(void)state;
	begin(&queue, &ring, before, TEST_ARRAY_SIZE(before));
	SERVE(&queue, "\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc", 0);
	assert_true(aero_virtio_queue_should_notify(&queue));
	check_changes(changes, TEST_ARRAY_SIZE(changes));
	assert_int_equal(aero_virtio_queue_stop(&queue), 1);
}

/* avail.flags = 1: no interrupt. The device switches kicks off and on again. */
static void test_split_flags(void **state)
{
	static const struct patch before[] = {
		AT(0x000, "\x00\x04\x00\x40\x00\x00\x00\x00\x04\x00\x00\x00\x02\x00\x00\x00"),
		AT(0x100, "\x01\x00\x01\x00\x00\x00"),
	};
	static const struct patch off[] = {
		AT(0x200, "\x01\x00\x01\x00\x00\x00\x00\x00\x03\x00\x00\x00"),
	};
	static const struct patch on[] = { AT(0x200, "\x00\x00") };
	static const struct aero_virtio_queue_config ring = { .size = 4 };
	struct aero_virtio_queue queue;

	(void)state;
	begin(&queue, &ring, before, TEST_ARRAY_SIZE(before));
	assert_true(aero_virtio_queue_set_kicks(&queue, false));
	SERVE(&queue, "", 3);
	assert_false(aero_virtio_queue_should_notify(&queue));
	check_changes(off, TEST_ARRAY_SIZE(off));
	assert_false(aero_virtio_queue_set_kicks(&queue, true));
	check_changes(on, TEST_ARRAY_SIZE(on));
}

/*
 * Two entries, taken over at index 0xffff; the entry 0xffff and the entry 0 behind the wrap. The
 * driver wants to hear of entry 0 (used_event, at 0x108). Entry 0xffff is an indirect table with
 * its second descriptor first in memory order: 0 -> 2 -> 1.
 */
static void test_split_indirect_event_idx_over_the_wrap(void **state)
{
	static const struct patch before[] = {
		AT(0x000, "\x00\x03\x00\x40\x00\x00\x00\x00\x30\x00\x00\x00\x04\x00\x00\x00"),
		AT(0x010, "\x00\x04\x00\x40\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00"),
		/* flags 0, idx 1, ring { 1, 0 }, used_event 0 */
		AT(0x100, "\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00"),
		/* flags 0, idx 0xffff */
		AT(0x200, "\x00\x00\xff\xff"),
		AT(0x300, "\x00\x04\x00\x40\x00\x00\x00\x00\x04\x00\x00\x00\x01\x00\x02\x00"
			  "\x08\x04\x00\x40\x00\x00\x00\x00\x20\x00\x00\x00\x02\x00\x00\x00"
			  "\x04\x04\x00\x40\x00\x00\x00\x00\x04\x00\x00\x00\x01\x00\x01\x00"),
		AT(0x400, "\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7"),
	};
	static const struct patch first[] = {
		/* used.ring[1] = { 0, 32 }, idx 0 */
		AT(0x20c, "\x00\x00\x00\x00\x20\x00\x00\x00"),
		AT(0x202, "\x00\x00"),
	};
	static const struct patch second[] = {
		AT(0x204, "\x01\x00\x00\x00\x00\x00\x00\x00"),
		AT(0x202, "\x01\x00"),
	};
	/* avail_event, at 0x214: kicks again from entry 1 on */
	static const struct patch armed[] = { AT(0x214, "\x01\x00") };
	static const struct aero_virtio_queue_config ring = {
		.size = 2, .has_event_idx = true, .has_indirect = true, .base = 0xffff
	};
	struct aero_virtio_queue queue;
	struct aero_virtio_chain chain;

	(void)state;
	begin(&queue, &ring, before, TEST_ARRAY_SIZE(before));
	assert_memory_equal(ram + 0x214, "\xff\xff", 2);
	SERVE(&queue, "\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7", 32);
	(void)aero_virtio_queue_should_notify(&queue);
	check_changes(first, TEST_ARRAY_SIZE(first));
	SERVE(&queue, "\xa0\xa1", 0);
	assert_true(aero_virtio_queue_should_notify(&queue));
	check_changes(second, TEST_ARRAY_SIZE(second));
	assert_int_equal(aero_virtio_queue_pop(&queue, &chain), AERO_EAGAIN);
	check_changes(armed, TEST_ARRAY_SIZE(armed));
	/* "MUST set flags to 0": kicks end because the index moves no more. */
	assert_false(aero_virtio_queue_set_kicks(&queue, false));
	check_changes(armed, TEST_ARRAY_SIZE(armed));
	assert_int_equal(aero_virtio_queue_stop(&queue), 1);
}

/* The first request again, from a big-endian guest of the legacy interface. */
static void test_split_big_endian_request_returned(void **state)
{
	static const struct patch before[] = {
		AT(0x000, "\x00\x00\x00\x00\x40\x00\x04\x80\x00\x00\x00\x04\x00\x00\x00\x00"),
		AT(0x020, "\x00\x00\x00\x00\x40\x00\x04\x00\x00\x00\x00\x08\x00\x01\x00\x00"),
		AT(0x100, "\x00\x00\x00\x01\x00\x02"),
		AT(0x400, "\x11\x22\x33\x44\x55\x66\x77\x88"),
		AT(0x480, "\x99\xaa\xbb\xcc"),
	};
	static const struct patch changes[] = {
		AT(0x200, "\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x01\x02"),
	};
	static const struct aero_virtio_queue_config ring = { .size = 4, .is_big_endian = true };
	struct aero_virtio_queue queue;

	(void)state;
	begin(&queue, &ring, before, TEST_ARRAY_SIZE(before));
	SERVE(&queue, "\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc", 0x102);
	check_changes(changes, TEST_ARRAY_SIZE(changes));
}

/*
 * Three entries. A list of two (id 2, in its second descriptor), then one of one (id 0) that ends
 * the lap, then the first of the second lap. Used entries overwrite the first of each list.
 */
static void test_packed_requests_returned_over_two_laps(void **state)
{
	static const struct patch before[] = {
		/* AVAIL | NEXT; AVAIL | WRITE; AVAIL */
		AT(0x000, "\x00\x04\x00\x40\x00\x00\x00\x00\x04\x00\x00\x00\xee\xee\x81\x00"
			  "\x00\x05\x00\x40\x00\x00\x00\x00\x40\x00\x00\x00\x02\x00\x82\x00"
			  "\x04\x04\x00\x40\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x80\x00"),
		AT(0x400, "\xb0\xb1\xb2\xb3\xb4\xb5"),
	};
	static const struct patch first_lap[] = {
		/* len 0x24, id 2, USED | AVAIL | WRITE; len 0, id 0, USED | AVAIL */
		AT(0x008, "\x24\x00\x00\x00\x02\x00\x82\x80"),
		AT(0x028, "\x00\x00\x00\x00\x00\x00\x80\x80"),
	};
	/* The driver's second lap: USED, not AVAIL. */
	static const struct patch given[] = {
		AT(0x000, "\x02\x04\x00\x40\x00\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x80"),
	};
	/* Used in the second lap: neither. */
	static const struct patch second_lap[] = {
		AT(0x008, "\x00\x00\x00\x00\x01\x00\x00\x00"),
	};
	static const struct aero_virtio_queue_config ring = { .size = 3,
							      .is_packed = true,
							      .base = 0x80008000u };
	struct aero_virtio_queue queue;
	struct aero_virtio_chain chain;

	(void)state;
	begin(&queue, &ring, before, TEST_ARRAY_SIZE(before));
	SERVE(&queue, "\xb0\xb1\xb2\xb3", 0x24);
	SERVE(&queue, "\xb4\xb5", 0);
	assert_int_equal(aero_virtio_queue_pop(&queue, &chain), AERO_EAGAIN);
	check_changes(first_lap, TEST_ARRAY_SIZE(first_lap));
	apply(ram, given, TEST_ARRAY_SIZE(given));
	apply(expected, given, TEST_ARRAY_SIZE(given));
	SERVE(&queue, "\xb2\xb3", 0);
	check_changes(second_lap, TEST_ARRAY_SIZE(second_lap));
	/* Positions 1, wrap bits 0. */
	assert_int_equal(aero_virtio_queue_stop(&queue), 0x00010001);
}

/* The driver's event says: only when position 1 of this lap is used. */
static void test_packed_event_suppression(void **state)
{
	static const struct patch before[] = {
		AT(0x000, "\x00\x03\x00\x40\x00\x00\x00\x00\x20\x00\x00\x00\x01\x00\x84\x00"
			  "\x00\x04\x00\x40\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x80\x00"),
		/* off_wrap 1 | wrap, flags DESC */
		AT(0x100, "\x01\x80\x02\x00"),
		/* an indirect table: its flags NEXT and id mean nothing */
		AT(0x300, "\x00\x04\x00\x40\x00\x00\x00\x00\x01\x00\x00\x00\xff\xff\x01\x00"
			  "\x02\x04\x00\x40\x00\x00\x00\x00\x01\x00\x00\x00\xff\xff\x00\x00"),
		AT(0x400, "\xc0\xc1\xc2"),
	};
	static const struct patch used[] = {
		AT(0x008, "\x00\x00\x00\x00\x01\x00\x80\x80"),
		AT(0x018, "\x00\x00\x00\x00\x00\x00\x80\x80"),
	};
	/* The device wants to hear of position 2 of this lap; then of nothing. */
	static const struct patch armed[] = { AT(0x200, "\x02\x80\x02\x00") };
	static const struct patch off[] = { AT(0x202, "\x01\x00") };
	static const struct aero_virtio_queue_config ring = { .size = 3,
							      .is_packed = true,
							      .has_event_idx = true,
							      .has_indirect = true,
							      .base = 0x80008000u };
	struct aero_virtio_queue queue;
	struct aero_virtio_chain chain;

	(void)state;
	begin(&queue, &ring, before, TEST_ARRAY_SIZE(before));
	assert_memory_equal(ram + 0x200, "\x00\x80\x02\x00", 4);
	SERVE(&queue, "\xc0\xc2", 0);
	(void)aero_virtio_queue_should_notify(&queue);
	SERVE(&queue, "\xc0", 0);
	assert_true(aero_virtio_queue_should_notify(&queue));
	check_changes(used, TEST_ARRAY_SIZE(used));
	assert_int_equal(aero_virtio_queue_pop(&queue, &chain), AERO_EAGAIN);
	check_changes(armed, TEST_ARRAY_SIZE(armed));
	assert_false(aero_virtio_queue_set_kicks(&queue, false));
	check_changes(off, TEST_ARRAY_SIZE(off));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_request_returned),
		cmocka_unit_test(test_split_flags),
		cmocka_unit_test(test_split_indirect_event_idx_over_the_wrap),
		cmocka_unit_test(test_split_big_endian_request_returned),
		cmocka_unit_test(test_packed_requests_returned_over_two_laps),
		cmocka_unit_test(test_packed_event_suppression),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
