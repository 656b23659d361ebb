/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <aerostat/wire/virtio.h>
#include <aerostat/wire/virtio_balloon.h>

/*
 * Bytes written by hand from the virtio specification, looked at through our structures. A field is
 * read byte by byte at its own address, so that the tests mean the same on a big-endian machine.
 */

static uint64_t le(const void *field, size_t bytes)
{
	const uint8_t *at = field;
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

#define LE(field) le(&(field), sizeof(field))

static void test_split_descriptor_bytes(void **state)
{
	/* 0x123456000, 4096 bytes, device-writable and chained to descriptor 7 */
	static const uint8_t bytes[] = { 0x00, 0x60, 0x45, 0x23, 0x01, 0x00, 0x00, 0x00,
					 0x00, 0x10, 0x00, 0x00, 0x03, 0x00, 0x07, 0x00 };
	struct aero_virtio_wire_desc desc;

	(void)state;
	assert_int_equal(sizeof(desc), sizeof(bytes));
	memcpy(&desc, bytes, sizeof(desc));
	assert_int_equal(LE(desc.addr), 0x123456000);
	assert_int_equal(LE(desc.len), 4096);
	assert_int_equal(LE(desc.flags), AERO_VIRTIO_DESC_F_NEXT | AERO_VIRTIO_DESC_F_WRITE);
	assert_int_equal(LE(desc.next), 7);
}

static void test_split_rings_bytes(void **state)
{
	/* A ring of 4. avail: no interrupts, idx 0x102, ring 3 1 0 2, used_event 0xabcd. */
	static const uint8_t avail_bytes[] = { 0x01, 0x00, 0x02, 0x01, 0x03, 0x00, 0x01,
					       0x00, 0x00, 0x00, 0x02, 0x00, 0xcd, 0xab };
	/* used: no notifications, idx 1, {3, 0x1000} ..., avail_event 0x1234. */
	static const uint8_t used_bytes[] = { 0x01, 0x00, 0x01, 0x00, 0x03, 0x00, 0x00, 0x00,
					      0x00, 0x10, 0x00, 0x00, 0,    0,	  0,	0,
					      0,    0,	  0,	0,    0,    0,	  0,	0,
					      0,    0,	  0,	0,    0,    0,	  0,	0,
					      0,    0,	  0,	0,    0x34, 0x12 };
	struct aero_virtio_wire_avail avail;
	struct aero_virtio_wire_used used;
	struct aero_virtio_wire_used_elem elem;

	(void)state;
	assert_int_equal(AERO_VIRTIO_SPLIT_AVAIL_BYTES(4), sizeof(avail_bytes));
	assert_int_equal(AERO_VIRTIO_SPLIT_USED_BYTES(4), sizeof(used_bytes));
	assert_int_equal(AERO_VIRTIO_SPLIT_DESC_BYTES(4), 64);
	memcpy(&avail, avail_bytes, sizeof(avail));
	assert_int_equal(LE(avail.flags), AERO_VIRTIO_AVAIL_F_NO_INTERRUPT);
	assert_int_equal(LE(avail.idx), 0x102);
	assert_int_equal(le(avail_bytes + AERO_VIRTIO_SPLIT_AVAIL_RING(0), 2), 3);
	assert_int_equal(le(avail_bytes + AERO_VIRTIO_SPLIT_AVAIL_RING(3), 2), 2);
	assert_int_equal(le(avail_bytes + AERO_VIRTIO_SPLIT_USED_EVENT(4), 2), 0xabcd);
	memcpy(&used, used_bytes, sizeof(used));
	assert_int_equal(LE(used.flags), AERO_VIRTIO_USED_F_NO_NOTIFY);
	assert_int_equal(LE(used.idx), 1);
	memcpy(&elem, used_bytes + AERO_VIRTIO_SPLIT_USED_RING(0), sizeof(elem));
	assert_int_equal(LE(elem.id), 3);
	assert_int_equal(LE(elem.len), 0x1000);
	assert_int_equal(le(used_bytes + AERO_VIRTIO_SPLIT_AVAIL_EVENT(4), 2), 0x1234);
}

static void test_packed_bytes(void **state)
{
	/* 0x8000, 256 bytes, id 9, available in the first round: AVAIL 1, USED 0, INDIRECT */
	static const uint8_t desc_bytes[] = { 0x00, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
					      0x00, 0x01, 0x00, 0x00, 0x09, 0x00, 0x84, 0x00 };
	/* Only at position 5 of the round with wrap bit 1. */
	static const uint8_t event_bytes[] = { 0x05, 0x80, 0x02, 0x00 };
	struct aero_virtio_wire_packed_desc desc;
	struct aero_virtio_wire_packed_event event;

	(void)state;
	assert_int_equal(sizeof(desc), sizeof(desc_bytes));
	memcpy(&desc, desc_bytes, sizeof(desc));
	assert_int_equal(LE(desc.addr), 0x8000);
	assert_int_equal(LE(desc.len), 256);
	assert_int_equal(LE(desc.id), 9);
	assert_int_equal(LE(desc.flags),
			 AERO_VIRTIO_PACKED_DESC_F_AVAIL | AERO_VIRTIO_DESC_F_INDIRECT);
	assert_int_equal(AERO_VIRTIO_PACKED_DESC_F_USED, 1u << 15);
	assert_int_equal(sizeof(event), sizeof(event_bytes));
	memcpy(&event, event_bytes, sizeof(event));
	assert_int_equal(LE(event.off_wrap) & AERO_VIRTIO_PACKED_EVENT_OFF_MASK, 5);
	assert_true(LE(event.off_wrap) & AERO_VIRTIO_PACKED_EVENT_WRAP);
	assert_int_equal(LE(event.flags) & AERO_VIRTIO_PACKED_EVENT_FLAG_MASK,
			 AERO_VIRTIO_PACKED_EVENT_FLAG_DESC);
}

static void test_numbers_of_virtio(void **state)
{
	(void)state;
	assert_int_equal(AERO_VIRTIO_ID_BALLOON, 5);
	assert_int_equal(AERO_VIRTIO_STATUS_ACKNOWLEDGE, 1);
	assert_int_equal(AERO_VIRTIO_STATUS_DRIVER, 2);
	assert_int_equal(AERO_VIRTIO_STATUS_DRIVER_OK, 4);
	assert_int_equal(AERO_VIRTIO_STATUS_FEATURES_OK, 8);
	assert_int_equal(AERO_VIRTIO_STATUS_SUSPEND, 16);
	assert_int_equal(AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET, 64);
	assert_int_equal(AERO_VIRTIO_STATUS_FAILED, 128);
	assert_int_equal(AERO_VIRTIO_F_NOTIFY_ON_EMPTY, 24);
	assert_int_equal(AERO_VIRTIO_F_ANY_LAYOUT, 27);
	assert_int_equal(AERO_VIRTIO_F_INDIRECT_DESC, 28);
	assert_int_equal(AERO_VIRTIO_F_EVENT_IDX, 29);
	assert_int_equal(AERO_VIRTIO_F_VERSION_1, 32);
	assert_int_equal(AERO_VIRTIO_F_ACCESS_PLATFORM, 33);
	assert_int_equal(AERO_VIRTIO_F_RING_PACKED, 34);
	assert_int_equal(AERO_VIRTIO_F_IN_ORDER, 35);
	assert_int_equal(AERO_VIRTIO_F_ORDER_PLATFORM, 36);
	assert_int_equal(AERO_VIRTIO_F_SR_IOV, 37);
	assert_int_equal(AERO_VIRTIO_F_NOTIFICATION_DATA, 38);
	assert_int_equal(AERO_VIRTIO_F_NOTIF_CONFIG_DATA, 39);
	assert_int_equal(AERO_VIRTIO_F_RING_RESET, 40);
	assert_int_equal(AERO_VIRTIO_F_ADMIN_VQ, 41);
	assert_int_equal(AERO_VIRTIO_F_SUSPEND, 43);
	assert_int_equal(AERO_VIRTIO_FEATURE_COUNT, 128);
}

static void test_balloon_config_bytes(void **state)
{
	/* target 0x10000, actual 0x8001, round 0x80000000, poison 0xaaaaaaaa */
	static const uint8_t bytes[] = { 0x00, 0x00, 0x01, 0x00, 0x01, 0x80, 0x00, 0x00,
					 0x00, 0x00, 0x00, 0x80, 0xaa, 0xaa, 0xaa, 0xaa };
	struct aero_virtio_balloon_wire_config config;

	(void)state;
	assert_int_equal(sizeof(config), sizeof(bytes));
	memcpy(&config, bytes, sizeof(config));
	assert_int_equal(LE(config.num_pages), 0x10000);
	assert_int_equal(LE(config.actual), 0x8001);
	assert_int_equal(LE(config.free_page_hint_cmd_id), 0x80000000);
	assert_int_equal(LE(config.poison_val), 0xaaaaaaaa);
}

static void test_balloon_stat_bytes(void **state)
{
	/* MEMFREE 0x12345000, then AVAIL 2^40: entries of 10 bytes, one after the other */
	static const uint8_t bytes[] = {
		0x04, 0x00, 0x00, 0x50, 0x34, 0x12, 0x00, 0x00, 0x00, 0x00,
		0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00
	};
	struct aero_virtio_balloon_wire_stat stats[2];

	(void)state;
	assert_int_equal(sizeof(stats), sizeof(bytes));
	memcpy(stats, bytes, sizeof(stats));
	assert_int_equal(LE(stats[0].tag), AERO_VIRTIO_BALLOON_S_MEMFREE);
	assert_int_equal(LE(stats[0].value), 0x12345000);
	assert_int_equal(LE(stats[1].tag), AERO_VIRTIO_BALLOON_S_AVAIL);
	assert_int_equal(LE(stats[1].value), 1ull << 40);
}

static void test_numbers_of_balloon(void **state)
{
	static const int tags[] = {
		AERO_VIRTIO_BALLOON_S_SWAP_IN,	     AERO_VIRTIO_BALLOON_S_SWAP_OUT,
		AERO_VIRTIO_BALLOON_S_MAJFLT,	     AERO_VIRTIO_BALLOON_S_MINFLT,
		AERO_VIRTIO_BALLOON_S_MEMFREE,	     AERO_VIRTIO_BALLOON_S_MEMTOT,
		AERO_VIRTIO_BALLOON_S_AVAIL,	     AERO_VIRTIO_BALLOON_S_CACHES,
		AERO_VIRTIO_BALLOON_S_HTLB_PGALLOC,  AERO_VIRTIO_BALLOON_S_HTLB_PGFAIL,
		AERO_VIRTIO_BALLOON_S_OOM_KILL,	     AERO_VIRTIO_BALLOON_S_ALLOC_STALL,
		AERO_VIRTIO_BALLOON_S_ASYNC_SCAN,    AERO_VIRTIO_BALLOON_S_DIRECT_SCAN,
		AERO_VIRTIO_BALLOON_S_ASYNC_RECLAIM, AERO_VIRTIO_BALLOON_S_DIRECT_RECLAIM,
	};
	static const int bits[] = {
		AERO_VIRTIO_BALLOON_F_MUST_TELL_HOST, AERO_VIRTIO_BALLOON_F_STATS_VQ,
		AERO_VIRTIO_BALLOON_F_DEFLATE_ON_OOM, AERO_VIRTIO_BALLOON_F_FREE_PAGE_HINT,
		AERO_VIRTIO_BALLOON_F_PAGE_POISON,    AERO_VIRTIO_BALLOON_F_PAGE_REPORTING,
	};
	static const int queues[] = {
		AERO_VIRTIO_BALLOON_VQ_INFLATE,	  AERO_VIRTIO_BALLOON_VQ_DEFLATE,
		AERO_VIRTIO_BALLOON_VQ_STATS,	  AERO_VIRTIO_BALLOON_VQ_HINT,
		AERO_VIRTIO_BALLOON_VQ_REPORTING,
	};

	(void)state;
	for (int i = 0; i < 16; i++)
		assert_int_equal(tags[i], i);
	for (int i = 0; i < 6; i++)
		assert_int_equal(bits[i], i);
	for (int i = 0; i < 5; i++)
		assert_int_equal(queues[i], i);
	assert_int_equal(AERO_VIRTIO_BALLOON_S_COUNT, 16);
	assert_int_equal(AERO_VIRTIO_BALLOON_VQ_COUNT, 5);
	assert_int_equal(AERO_VIRTIO_BALLOON_HINT_STOP, 0);
	assert_int_equal(AERO_VIRTIO_BALLOON_HINT_DONE, 1);
	assert_int_equal(1 << AERO_VIRTIO_BALLOON_PFN_SHIFT, 4096);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_descriptor_bytes),
		cmocka_unit_test(test_split_rings_bytes),
		cmocka_unit_test(test_packed_bytes),
		cmocka_unit_test(test_numbers_of_virtio),
		cmocka_unit_test(test_balloon_config_bytes),
		cmocka_unit_test(test_balloon_stat_bytes),
		cmocka_unit_test(test_numbers_of_balloon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
