/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/gdb_remote_packet.h"

/* Feeds a text and answers the last token that was not AERO_GDB_NOTHING; counts them. */
static enum aero_gdb_token feed(struct aero_gdb_parser *parser, const char *bytes, size_t len,
				unsigned int *out_count)
{
	enum aero_gdb_token last = AERO_GDB_NOTHING;

	*out_count = 0;
	for (size_t i = 0; i < len; i++) {
		enum aero_gdb_token token = aero_gdb_parser_feed(parser, (uint8_t)bytes[i]);

		if (token == AERO_GDB_NOTHING)
			continue;
		last = token;
		++*out_count;
	}
	return last;
}

static void expect(const char *wire, enum aero_gdb_token token, const char *data)
{
	struct aero_gdb_parser parser = { 0 };
	unsigned int count;

	assert_int_equal(feed(&parser, wire, strlen(wire), &count), token);
	assert_int_equal(count, 1);
	assert_int_equal(parser.state, AERO_GDB_OUTSIDE);
	if (data) {
		assert_int_equal(parser.len, strlen(data));
		assert_string_equal(parser.data, data);
	}
}

static void test_feed_packet_is_decoded(void **state)
{
	(void)state;
	expect("$OK#9a", AERO_GDB_PACKET, "OK");
	expect("$#00", AERO_GDB_PACKET, "");
	expect("$OK#9A", AERO_GDB_PACKET, "OK");
	expect("+", AERO_GDB_ACK, NULL);
	expect("-", AERO_GDB_NAK, NULL);
	expect("%Stop:T05#00", AERO_GDB_NOTIFICATION, NULL);
}

/* The example of gdb's manual: "0* " stands for "0000". */
static void test_feed_repetition_is_unrolled(void **state)
{
	(void)state;
	expect("$0* #7a", AERO_GDB_PACKET, "0000");
	expect("$x*\"y#3d", AERO_GDB_PACKET, "xxxxxxy");
}

/* '}' and the byte with bit 5 the other way round: "}\x03" is '#'. */
static void test_feed_escape_is_undone(void **state)
{
	(void)state;
	expect("$a}\x03"
	       "b#43",
	       AERO_GDB_PACKET, "a#b");
	expect("$}]#da", AERO_GDB_PACKET, "}");
}

static void test_feed_wrong_sum_is_corrupt(void **state)
{
	(void)state;
	expect("$OK#9b", AERO_GDB_CORRUPT, NULL);
	expect("$OK#x", AERO_GDB_CORRUPT, NULL);
	expect("$OK#9-", AERO_GDB_CORRUPT, NULL);
}

static void test_feed_nonsense_is_garbage(void **state)
{
	(void)state;
	expect("H", AERO_GDB_GARBAGE, NULL);
	/* A repetition of nothing, and one by a count that is none. */
	expect("$* #4a", AERO_GDB_GARBAGE, NULL);
	expect("$0*\x1f#79", AERO_GDB_GARBAGE, NULL);
}

static void test_feed_dollar_inside_begins_anew(void **state)
{
	(void)state;
	expect("$half$OK#9a", AERO_GDB_PACKET, "OK");
}

static void test_feed_too_much_data_is_garbage(void **state)
{
	struct aero_gdb_parser parser = { 0 };
	enum aero_gdb_token token = AERO_GDB_NOTHING;
	unsigned int count;
	char sum[3];
	uint8_t total = 0;

	(void)state;
	(void)feed(&parser, "$0", 2, &count);
	total = '0';
	/* Each pair is 97 bytes more. */
	for (size_t i = 0; i < AERO_GDB_PACKET_MAX / 97 + 2; i++) {
		assert_int_equal(feed(&parser, "*~", 2, &count), AERO_GDB_NOTHING);
		total = (uint8_t)(total + '*' + '~');
	}
	snprintf(sum, sizeof(sum), "%02x", total);
	(void)feed(&parser, "#", 1, &count);
	token = feed(&parser, sum, 2, &count);
	assert_int_equal(token, AERO_GDB_GARBAGE);
	assert_true(parser.len <= AERO_GDB_PACKET_MAX);
	assert_int_equal(feed(&parser, "$OK#9a", 6, &count), AERO_GDB_PACKET);
}

static void test_feed_endless_packet_is_garbage(void **state)
{
	struct aero_gdb_parser parser = { 0 };
	size_t i;

	(void)state;
	assert_int_equal(aero_gdb_parser_feed(&parser, '$'), AERO_GDB_NOTHING);
	for (i = 0; i < AERO_GDB_WIRE_MAX; i++)
		assert_int_equal(aero_gdb_parser_feed(&parser, 'a'), AERO_GDB_NOTHING);
	assert_int_equal(aero_gdb_parser_feed(&parser, 'a'), AERO_GDB_GARBAGE);
	assert_int_equal(parser.state, AERO_GDB_OUTSIDE);
}

static void test_frame_is_read_back(void **state)
{
	static const char data[] = "m1,2$#}*\0z";
	struct aero_gdb_parser parser = { 0 };
	char wire[64];
	size_t len;
	unsigned int count;

	(void)state;
	assert_int_equal(aero_gdb_frame(data, sizeof(data) - 1, wire, sizeof(wire), &len), AERO_OK);
	assert_int_equal(feed(&parser, wire, len, &count), AERO_GDB_PACKET);
	assert_int_equal(count, 1);
	assert_int_equal(parser.len, sizeof(data) - 1);
	assert_memory_equal(parser.data, data, sizeof(data) - 1);
}

static void test_frame_without_room_is_refused(void **state)
{
	char wire[16];
	size_t len;

	(void)state;
	assert_int_equal(aero_gdb_frame("123456", 6, wire, 16, &len), AERO_OK);
	assert_memory_equal(wire, "$123456#35", 10);
	assert_int_equal(aero_gdb_frame("1234567", 7, wire, 16, &len), AERO_ENOSPC);
	assert_int_equal(aero_gdb_frame("", 0, wire, 3, &len), AERO_ENOSPC);
}

static void test_hex_both_ways(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x9f, 0xed, 0xff };
	uint8_t back[4];
	char text[9];

	(void)state;
	aero_gdb_hex_encode(bytes, 4, text);
	assert_string_equal(text, "009fedff");
	assert_int_equal(aero_gdb_hex_decode("009FedfF", 8, back), AERO_OK);
	assert_memory_equal(back, bytes, 4);
	assert_int_equal(aero_gdb_hex_decode("009", 3, back), AERO_EPROTO);
	assert_int_equal(aero_gdb_hex_decode("xx", 2, back), AERO_EPROTO);
}

static void test_stop_reasons(void **state)
{
	int signal = 99;

	(void)state;
	assert_int_equal(aero_gdb_stop_parse("T05thread:01;", 13, &signal), AERO_OK);
	assert_int_equal(signal, 5);
	assert_int_equal(aero_gdb_stop_parse("S02", 3, &signal), AERO_OK);
	assert_int_equal(signal, 2);
	assert_int_equal(aero_gdb_stop_parse("W00", 3, &signal), AERO_OK);
	assert_int_equal(signal, -1);
	assert_int_equal(aero_gdb_stop_parse("X09", 3, &signal), AERO_OK);
	assert_int_equal(signal, -1);
	assert_int_equal(aero_gdb_stop_parse("T5", 2, &signal), AERO_EPROTO);
	assert_int_equal(aero_gdb_stop_parse("Txx", 3, &signal), AERO_EPROTO);
	assert_int_equal(aero_gdb_stop_parse("", 0, &signal), AERO_ENOENT);
	assert_int_equal(aero_gdb_stop_parse("OK", 2, &signal), AERO_ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_feed_packet_is_decoded),
		cmocka_unit_test(test_feed_repetition_is_unrolled),
		cmocka_unit_test(test_feed_escape_is_undone),
		cmocka_unit_test(test_feed_wrong_sum_is_corrupt),
		cmocka_unit_test(test_feed_nonsense_is_garbage),
		cmocka_unit_test(test_feed_dollar_inside_begins_anew),
		cmocka_unit_test(test_feed_too_much_data_is_garbage),
		cmocka_unit_test(test_feed_endless_packet_is_garbage),
		cmocka_unit_test(test_frame_is_read_back),
		cmocka_unit_test(test_frame_without_room_is_refused),
		cmocka_unit_test(test_hex_both_ways),
		cmocka_unit_test(test_stop_reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
