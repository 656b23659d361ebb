/* SPDX-License-Identifier: MIT */
/*
 * Requests as bytes, written by hand from the specification: descriptors, rings, frame numbers,
 * statistics, command ids and the configuration, for a modern driver and for a legacy driver of a
 * big-endian guest. Nothing here goes through a structure of ours.
 */
#include "support/test.h"

#include <aerostat/host/virtio_balloon.h>

#include "support/host_double.h"

#define DESC 0x100000
#define AVAIL 0x101000
#define USED 0x102000
#define DATA 0x103000
#define FRAMES 256

struct golden {
	struct host_double host;
	struct aero_virtio_balloon dev;
	uint64_t hints;
	struct aero_range hint;
};

static void notify_queue(void *ctx, unsigned int index)
{
	(void)ctx;
	(void)index;
}

static void notify_config(void *ctx)
{
	(void)ctx;
}

static void take_hint(void *ctx, struct aero_range range)
{
	struct golden *g = ctx;

	g->hints++;
	g->hint = range;
}

static const struct aero_virtio_balloon_ops ops = {
	.notify_queue = notify_queue,
	.notify_config = notify_config,
	.hint = take_hint,
};

/* What a case is: the features, and the byte order of the guest. */
struct guest {
	uint64_t features;
	bool is_big;
};

static int open_case(void **state)
{
	const struct guest *guest = *state;
	struct golden *g = calloc(1, sizeof(*g));
	struct aero_virtio_balloon_config config = {
		.ops = &ops,
		.ops_ctx = g,
		.offered = { { guest->features, 0 } },
		.is_big_endian_guest = guest->is_big,
	};

	assert_non_null(g);
	host_double_init(&g->host, FRAMES, (struct aero_backing){ 0, 0 });
	g->host.is_lax = true;
	guest_ram_add(&g->host.ram, DESC, 0x10000);
	config.memory = &g->host.memory;
	config.nodes = g->host.nodes;
	assert_int_equal(aero_virtio_balloon_host_init(&g->dev, &config), AERO_OK);
	assert_int_equal(aero_virtio_balloon_host_accept(&g->dev, &config.offered), AERO_OK);
	*state = g;
	return 0;
}

static int close_case(void **state)
{
	struct golden *g = *state;

	aero_virtio_balloon_host_fini(&g->dev);
	host_double_fini(&g->host);
	free(g);
	return 0;
}

static void put(struct golden *g, aero_gpa gpa, const char *bytes, size_t len)
{
	guest_ram_write(&g->host.ram, gpa, bytes, len);
}

#define PUT(gpa, text) put(g, gpa, text, sizeof(text) - 1)

/* The bytes at an address, compared with text. */
#define EXPECT(gpa, text)                                            \
	do {                                                         \
		char got[sizeof(text) - 1];                          \
		guest_ram_read(&g->host.ram, gpa, got, sizeof(got)); \
		assert_memory_equal(got, text, sizeof(got));         \
	} while (0)

/* A split ring of 4 at the fixed addresses. */
static void run(struct golden *g, unsigned int index)
{
	struct aero_virtio_queue_config ring = {
		.size = 4,
		.desc = DESC,
		.driver = AVAIL,
		.device = USED,
	};
	uint64_t now = 1;

	assert_int_equal(aero_virtio_balloon_host_queue_start(&g->dev, index, &ring), AERO_OK);
	aero_virtio_balloon_host_queue_enable(&g->dev, index, true);
	assert_int_equal(aero_virtio_balloon_host_set_status(&g->dev, 0x0f), 0x0f);
	while (aero_virtio_balloon_host_step(&g->dev, now) <= now)
		;
}

static void test_inflate_little_endian(void **state)
{
	struct golden *g = *state;

	/* Descriptor 2: 12 bytes at 0x103000, device-readable, alone. */
	PUT(DESC + 32, "\x00\x30\x10\x00\x00\x00\x00\x00\x0c\x00\x00\x00\x00\x00\x00\x00");
	/* Frames 0x12, 0x11 and 0xfe. */
	PUT(DATA, "\x12\x00\x00\x00\x11\x00\x00\x00\xfe\x00\x00\x00");
	/* flags 0, idx 1, ring[0] = 2. */
	PUT(AVAIL, "\x00\x00\x01\x00\x02\x00");
	run(g, 0);
	/* flags 0, idx 1, ring[0] = {id 2, len 0}. */
	EXPECT(USED, "\x00\x00\x01\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00");
	assert_int_equal(aero_ledger_held(&g->dev.ledger), 3);
	assert_int_equal(
		aero_frame_set_count_in(&g->dev.ledger.held, (struct aero_range){ 0x11, 2 }), 2);
	assert_int_equal(
		aero_frame_set_count_in(&g->dev.ledger.held, (struct aero_range){ 0xfe, 1 }), 1);
}

/* A legacy driver of a big-endian guest: the ring and the numbers are big-endian. */
static void test_inflate_big_endian(void **state)
{
	struct golden *g = *state;

	PUT(DESC + 32, "\x00\x00\x00\x00\x00\x10\x30\x00\x00\x00\x00\x08\x00\x00\x00\x00");
	PUT(DATA, "\x00\x00\x00\x12\x00\x00\x00\xfe");
	PUT(AVAIL, "\x00\x00\x00\x01\x00\x02");
	run(g, 0);
	EXPECT(USED, "\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00");
	assert_int_equal(
		aero_frame_set_count_in(&g->dev.ledger.held, (struct aero_range){ 0x12, 1 }), 1);
	assert_int_equal(
		aero_frame_set_count_in(&g->dev.ledger.held, (struct aero_range){ 0xfe, 1 }), 1);
}

/* Deflate of two chained buffers, cut in the middle of a number. */
static void test_deflate_of_a_chain(void **state)
{
	struct golden *g = *state;

	/* 0: 6 bytes at 0x103000, NEXT 3; 3: 2 bytes at 0x103100. */
	PUT(DESC, "\x00\x30\x10\x00\x00\x00\x00\x00\x06\x00\x00\x00\x01\x00\x03\x00");
	PUT(DESC + 48, "\x00\x31\x10\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00");
	PUT(DATA, "\x05\x00\x00\x00\x06\x00");
	PUT(DATA + 0x100, "\x00\x00");
	PUT(AVAIL, "\x00\x00\x01\x00\x00\x00");
	run(g, 1);
	EXPECT(USED, "\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00");
	assert_int_equal(g->dev.counters.deflate_frames, 2);
	assert_int_equal(g->dev.ledger.counters.never_given, 2);
}

/* Entries of 10 bytes: le16 tag, le64 value. */
static void test_statistics_little_endian(void **state)
{
	struct golden *g = *state;
	const struct aero_virtio_balloon_stats *stats = aero_virtio_balloon_host_stats(&g->dev);

	PUT(DESC, "\x00\x30\x10\x00\x00\x00\x00\x00\x14\x00\x00\x00\x00\x00\x00\x00");
	PUT(DATA, "\x04\x00\x00\x10\x20\x30\x00\x00\x00\x00"
		  "\x0f\x00\x01\x02\x03\x04\x05\x06\x07\x08");
	PUT(AVAIL, "\x00\x00\x01\x00\x00\x00");
	run(g, 2);
	/* Held: nothing used yet. */
	EXPECT(USED, "\x00\x00\x00\x00");
	assert_int_equal(stats->known, 0x8010);
	assert_int_equal(stats->value[4], 0x30201000);
	assert_int_equal(stats->value[15], 0x0807060504030201ull);
	assert_int_equal(aero_virtio_balloon_host_request_stats(&g->dev), AERO_OK);
	EXPECT(USED, "\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00");
}

/* The first buffer of a legacy driver is not looked at, the second is. */
static void test_statistics_big_endian(void **state)
{
	struct golden *g = *state;
	const struct aero_virtio_balloon_stats *stats = aero_virtio_balloon_host_stats(&g->dev);

	PUT(DESC, "\x00\x00\x00\x00\x00\x10\x30\x00\x00\x00\x00\x0a\x00\x00\x00\x00");
	PUT(DATA, "\x00\x04\x01\x02\x03\x04\x05\x06\x07\x08");
	PUT(AVAIL, "\x00\x00\x00\x01\x00\x00");
	run(g, 2);
	assert_int_equal(stats->known, 0);
	assert_int_equal(aero_virtio_balloon_host_request_stats(&g->dev), AERO_OK);
	PUT(AVAIL, "\x00\x00\x00\x02\x00\x00\x00\x00");
	aero_virtio_balloon_host_kick(&g->dev, 2);
	aero_virtio_balloon_host_step(&g->dev, 2);
	assert_int_equal(stats->known, 0x10);
	assert_int_equal(stats->value[4], 0x0102030405060708ull);
}

/* A command id is 4 bytes to read, a hint a buffer to write that nobody writes to. */
static void hint(struct golden *g, const char *desc_command, const char *desc_buffer,
		 const char *number, const char *avail)
{
	assert_int_equal(aero_virtio_balloon_host_set_status(&g->dev, 0x0f), 0x0f);
	assert_int_equal(aero_virtio_balloon_host_hint_start(&g->dev), AERO_OK);
	put(g, DESC, desc_command, 16);
	put(g, DESC + 16, desc_buffer, 16);
	put(g, DATA, number, 4);
	put(g, AVAIL, avail, 8);
	run(g, 3);
	assert_int_equal(g->hints, 1);
	assert_int_equal(g->hint.first, 0x20);
	assert_int_equal(g->hint.count, 0x40);
	assert_int_equal(g->host.discards, 0);
}

static void test_hint_little_endian(void **state)
{
	struct golden *g = *state;
	uint8_t config[16];

	hint(g, "\x00\x30\x10\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00",
	     "\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x04\x00\x02\x00\x00\x00", "\x02\x00\x00\x00",
	     "\x00\x00\x02\x00\x00\x00\x01\x00");
	EXPECT(USED, "\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00"
		     "\x01\x00\x00\x00\x00\x00\x00\x00");
	aero_virtio_balloon_host_config_read(&g->dev, 0, config, 16);
	assert_memory_equal(config, "\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0", 16);
}

static void test_hint_big_endian(void **state)
{
	struct golden *g = *state;
	uint8_t config[16];

	hint(g, "\x00\x00\x00\x00\x00\x10\x30\x00\x00\x00\x00\x04\x00\x00\x00\x00",
	     "\x00\x00\x00\x00\x00\x02\x00\x00\x00\x04\x00\x00\x00\x02\x00\x00", "\x00\x00\x00\x02",
	     "\x00\x00\x00\x02\x00\x00\x00\x01");
	EXPECT(USED, "\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00"
		     "\x00\x00\x00\x01\x00\x00\x00\x00");
	/* The configuration is little-endian also through the legacy interface. */
	aero_virtio_balloon_host_config_read(&g->dev, 8, config, 4);
	assert_memory_equal(config, "\x02\0\0\0", 4);
}

static void test_configuration_is_little_endian(void **state)
{
	struct golden *g = *state;
	struct aero_virtio_balloon_report report;
	uint8_t config[16];
	uint64_t set;

	assert_int_equal(aero_virtio_balloon_host_set_target(&g->dev, 0x0a0b0c0d, &set), AERO_OK);
	assert_int_equal(aero_virtio_balloon_host_config_write(&g->dev, 4, "\x01\x02\x03\x04", 4),
			 AERO_OK);
	assert_int_equal(aero_virtio_balloon_host_config_write(&g->dev, 12, "\xaa\xab\xac\xad", 4),
			 AERO_OK);
	aero_virtio_balloon_host_config_read(&g->dev, 0, config, 16);
	assert_memory_equal(config, "\x0d\x0c\x0b\x0a\x01\x02\x03\x04\0\0\0\0\xaa\xab\xac\xad", 16);
	aero_virtio_balloon_host_report(&g->dev, 1, &report);
	assert_int_equal(report.actual_frames, 0x04030201);
	assert_int_equal(report.poison_value, 0xadacabaa);
}

int main(void)
{
	/* Bits 0 to 5; bit 32 is VERSION_1. */
	static struct guest modern = { 0x10000003full, false };
	static struct guest legacy = { 0x3f, true };
#define CASE(f, guest) cmocka_unit_test_prestate_setup_teardown(f, open_case, close_case, guest)
	const struct CMUnitTest tests[] = {
		CASE(test_inflate_little_endian, &modern),
		CASE(test_inflate_big_endian, &legacy),
		CASE(test_deflate_of_a_chain, &modern),
		CASE(test_statistics_little_endian, &modern),
		CASE(test_statistics_big_endian, &legacy),
		CASE(test_hint_little_endian, &modern),
		CASE(test_hint_big_endian, &legacy),
		CASE(test_configuration_is_little_endian, &modern),
		CASE(test_configuration_is_little_endian, &legacy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
