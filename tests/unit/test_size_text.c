/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/size_text.h"

/* What aero_size_parse() makes of a text; fails the test where it refuses it. */
static struct aero_size parse(const char *text)
{
	struct aero_size size;
	struct aero_error error;

	if (aero_size_parse(text, &size, &error) != AERO_OK)
		fail_msg("\"%s\" refused: %s", text, error.text);
	return size;
}

static void assert_bytes(const char *text, uint64_t bytes)
{
	struct aero_size size = parse(text);

	assert_false(size.is_share);
	assert_int_equal(size.bytes, bytes);
	/* Bytes do not depend on the whole. */
	assert_int_equal(aero_size_bytes(&size, 12345), bytes);
}

static void assert_share(const char *text, uint64_t whole, uint64_t bytes)
{
	struct aero_size size = parse(text);

	assert_true(size.is_share);
	assert_int_equal(aero_size_bytes(&size, whole), bytes);
}

static void assert_refused(const char *text, enum aero_status status, const char *said)
{
	struct aero_size size = { .bytes = 77 };
	struct aero_error error;

	assert_int_equal(aero_size_parse(text, &size, &error), status);
	if (!strstr(error.text, said))
		fail_msg("\"%s\": \"%s\" does not say \"%s\"", text, error.text, said);
	assert_int_equal(size.bytes, 77);
	/* Nobody has to ask for the story. */
	assert_int_equal(aero_size_parse(text, &size, NULL), status);
}

static void test_bytes_and_units(void **state)
{
	(void)state;
	assert_bytes("0", 0);
	assert_bytes("1", 1);
	assert_bytes("268435456", 268435456);
	assert_bytes("1K", 1024);
	assert_bytes("3k", 3072);
	assert_bytes("256M", 268435456);
	assert_bytes("256MiB", 268435456);
	assert_bytes("256mib", 268435456);
	assert_bytes("2G", 2147483648);
	assert_bytes("1T", 1099511627776);
	assert_bytes("007M", 7340032);
	assert_bytes("9223372036854775807", INT64_MAX);
	assert_bytes("8388607T", 8388607ull << 40);
}

static void test_decimals(void **state)
{
	(void)state;
	assert_bytes("1.5G", 1610612736);
	assert_bytes("0.5K", 512);
	assert_bytes("0.000001T", 1099511);
	assert_bytes("1.0M", 1048576);
	assert_bytes("2.25KiB", 2304);
}

static void test_shares(void **state)
{
	(void)state;
	assert_share("0%", 1000, 0);
	assert_share("50%", 1001, 500);
	assert_share("100%", 1ull << 62, 1ull << 62);
	assert_share("12.5%", 800, 100);
	assert_share("0.000001%", 100000000, 1);
	assert_share("33%", 3ull << 30, 1063004405);
	assert_share("100.0%", 4096, 4096);
}

static void test_refusals_name_character_and_position(void **state)
{
	(void)state;
	assert_refused("", AERO_EINVAL, "ends at position 1: a digit is missing");
	assert_refused("abc", AERO_EINVAL, "\"a\" at position 1: a digit is missing");
	assert_refused("-5", AERO_EINVAL, "\"-\" at position 1");
	assert_refused("+5", AERO_EINVAL, "\"+\" at position 1");
	assert_refused(" 5", AERO_EINVAL, "\" \" at position 1");
	assert_refused("12Q", AERO_EINVAL, "\"Q\" at position 3: not a unit");
	assert_refused("12Q", AERO_EINVAL, "\"12Q\"");
	assert_refused("12 M", AERO_EINVAL, "\" \" at position 3: not a unit");
	assert_refused("5Mx", AERO_EINVAL, "\"x\" at position 3");
	assert_refused("5MB", AERO_EINVAL, "\"B\" at position 3");
	assert_refused("5B", AERO_EINVAL, "\"B\" at position 2: not a unit");
	assert_refused("5MiBs", AERO_EINVAL, "\"s\" at position 5");
	assert_refused("5%%", AERO_EINVAL, "\"%\" at position 3");
	assert_refused("1.5", AERO_EINVAL, "position 4: a unit is missing");
	assert_refused("1.", AERO_EINVAL, "position 3: a digit is missing");
	assert_refused("1.M", AERO_EINVAL, "\"M\" at position 3: a digit is missing");
	assert_refused(".5M", AERO_EINVAL, "\".\" at position 1");
	assert_refused("1.2.3M", AERO_EINVAL, "\".\" at position 4");
	assert_refused("1.1234567M", AERO_EINVAL, "position 9: more than 6 decimals");
	assert_refused("1\n", AERO_EINVAL, "character 0x0a at position 2");
	assert_refused("1\xff", AERO_EINVAL, "character 0xff at position 2");
	assert_refused("0x10", AERO_EINVAL, "\"x\" at position 2");
	assert_refused("1e3", AERO_EINVAL, "\"e\" at position 2");
	assert_refused("5`", AERO_EINVAL, "\"`\" at position 2: not a unit");
	assert_refused("5+", AERO_EINVAL, "\"+\" at position 2: not a unit");
}

static void test_too_large_is_refused(void **state)
{
	(void)state;
	assert_refused("9223372036854775808", AERO_ERANGE, "2^63");
	assert_refused("18446744073709551616", AERO_ERANGE, "2^63");
	assert_refused("99999999999999999999999999", AERO_ERANGE, "2^63");
	assert_refused("8388608T", AERO_ERANGE, "2^63");
	assert_refused("16777216T", AERO_ERANGE, "2^63");
	assert_refused("100.000001%", AERO_ERANGE, "more than all");
	assert_refused("101%", AERO_ERANGE, "more than all");
}

static void assert_format(uint64_t bytes, const char *text)
{
	char out[AERO_SIZE_TEXT_BYTES];

	assert_string_equal(aero_size_format(bytes, out), text);
}

static void test_format(void **state)
{
	(void)state;
	assert_format(0, "0 bytes");
	assert_format(1, "1 byte");
	assert_format(1023, "1023 bytes");
	assert_format(1024, "1 KiB");
	assert_format(1536, "1.50 KiB");
	assert_format(268435456, "256 MiB");
	assert_format(1ull << 30, "1 GiB");
	assert_format((1ull << 30) + (1 << 20), "1.00 GiB");
	assert_format(1ull << 60, "1 EiB");
	assert_format(UINT64_MAX, "16.00 EiB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_and_units),
		cmocka_unit_test(test_decimals),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_refusals_name_character_and_position),
		cmocka_unit_test(test_too_large_is_refused),
		cmocka_unit_test(test_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
