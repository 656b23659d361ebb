/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/control.h"
#include "hosted/control_request.h"

static const struct aero_control_member members[] = {
	{ "bytes", AERO_CONTROL_NUMBER, true },
	{ "action", AERO_CONTROL_TEXT, false },
	{ "names", AERO_CONTROL_TEXTS, false },
	{ NULL, 0, false },
};

/* Answers the code of what a line is refused with, or "". */
static const char *parse(const char *line, size_t len, struct aero_control_error *error)
{
	struct aero_control_request request;
	bool is_good;

	error->code = "";
	is_good = aero_control_request_parse(line, len, &request, error) &&
		  aero_control_request_check(&request, members, error);
	aero_control_request_fini(&request);
	assert_int_equal(is_good, error->code[0] == '\0');
	return error->code;
}

static void assert_refused(const char *line, const char *code, const char *said)
{
	struct aero_control_error error;

	assert_string_equal(parse(line, strlen(line), &error), code);
	if (!strstr(error.text, said))
		fail_msg("%s: \"%s\" does not say \"%s\"", line, error.text, said);
}

static void assert_taken(const char *line)
{
	struct aero_control_error error;

	if (*parse(line, strlen(line), &error))
		fail_msg("%s: %s", line, error.text);
}

static void test_good_requests(void **state)
{
	(void)state;
	assert_taken("{\"command\":\"x\",\"bytes\":0}");
	assert_taken("{\"id\":7,\"command\":\"x\",\"bytes\":9223372036854775807}");
	assert_taken(" {\"id\":\"a\", \"command\":\"x\", \"bytes\":1, \"action\":\"\"} ");
	assert_taken("{\"command\":\"x\",\"bytes\":1,\"names\":[]}");
	assert_taken("{\"command\":\"x\",\"bytes\":1,\"names\":[\"[[[[[[[[[[[{{{\",\"\\\"[\"]}");
}

static void test_malformed_lines(void **state)
{
	(void)state;
	assert_refused("x", "malformed", "byte 1");
	assert_refused("{", "malformed", "byte 1");
	assert_refused("{\"command\":\"x\"", "malformed", "not JSON");
	assert_refused("{\"command\":\"x\"} x", "malformed", "not JSON");
	assert_refused("{\"command\":\"x\"}{}", "malformed", "not JSON");
	assert_refused("{'command':'x'}", "malformed", "not JSON");
	assert_refused("{\"command\":\"x\",}", "malformed", "not JSON");
	assert_refused("{\"bytes\":1,\"bytes\":2}", "malformed", "duplicate");
	assert_refused("{\"bytes\":99999999999999999999}", "malformed", "not JSON");
	assert_refused("{\"command\":\"\xff\"}", "malformed", "not JSON");
	assert_refused("{\"command\":\"\\u0000\"}", "malformed", "not JSON");
	assert_refused("\x1b[A", "malformed", "not JSON");
}

static void test_bytes_of_zero_are_malformed(void **state)
{
	static const char line[] = "{\"command\":\"x\",\"bytes\":1}\0";
	struct aero_control_error error;

	(void)state;
	assert_string_equal(parse(line, sizeof(line) - 2, &error), "");
	assert_string_equal(parse(line, sizeof(line) - 1, &error), "malformed");
}

/* The parser recurses: a line of brackets must not reach it. */
static void test_depth_is_bounded(void **state)
{
	struct aero_control_error error;
	char line[4096];
	size_t i;

	(void)state;
	memset(line, '[', sizeof(line));
	assert_string_equal(parse(line, sizeof(line), &error), "malformed");
	assert_non_null(strstr(error.text, "levels deep"));
	for (i = 0; i < sizeof(line); i += 5)
		memcpy(line + i, "{\"a\":", sizeof(line) - i < 5 ? sizeof(line) - i : 5);
	assert_string_equal(parse(line, sizeof(line), &error), "malformed");
	assert_non_null(strstr(error.text, "levels deep"));
	/* As deep as it may be, and one deeper. */
	assert_refused("{\"a\":[[[[[[[]]]]]]]}", "bad_request", "\"command\" is missing");
	assert_refused("{\"a\":[[[[[[[[]]]]]]]]}", "malformed", "more than 8 levels deep");
	/* A quote that ends in a backslash is not over. */
	assert_refused("\"\\\"[[[[[[[[[[", "malformed", "not JSON");
}

static void test_what_is_no_request(void **state)
{
	(void)state;
	assert_refused("[]", "bad_request", "an object, not an array");
	assert_refused("{}", "bad_request", "\"command\" is missing");
	assert_refused("{\"command\":1}", "bad_request", "not a whole number");
	assert_refused("{\"command\":null}", "bad_request", "not null");
	assert_refused("{\"id\":{},\"command\":\"x\"}", "bad_request", "not an object");
	assert_refused("{\"id\":1.5,\"command\":\"x\"}", "bad_request", "with decimals");
	assert_refused("{\"id\":true,\"command\":\"x\"}", "bad_request", "not a boolean");
}

static void test_members_are_checked(void **state)
{
	(void)state;
	assert_refused("{\"command\":\"x\"}", "missing_member", "\"bytes\"");
	assert_refused("{\"command\":\"x\",\"byte\":1}", "unknown_member", "\"byte\"");
	assert_refused("{\"command\":\"x\",\"bytes\":-1}", "bad_member", "a negative one");
	assert_refused("{\"command\":\"x\",\"bytes\":1.0}", "bad_member", "with decimals");
	assert_refused("{\"command\":\"x\",\"bytes\":\"1\"}", "bad_member", "not a string");
	assert_refused("{\"command\":\"x\",\"bytes\":[1]}", "bad_member", "not an array");
	assert_refused("{\"command\":\"x\",\"bytes\":1,\"action\":2}", "bad_member", "\"action\"");
	assert_refused("{\"command\":\"x\",\"bytes\":1,\"names\":\"a\"}", "bad_member",
		       "array of strings");
	assert_refused("{\"command\":\"x\",\"bytes\":1,\"names\":[\"a\",1]}", "bad_member",
		       "array of strings");
}

/* An answer can name the request even where the rest of it is wrong. */
static void test_id_survives_a_bad_command(void **state)
{
	static const char line[] = "{\"id\":42,\"command\":1}";
	struct aero_control_request request;
	struct aero_control_error error;

	(void)state;
	assert_false(aero_control_request_parse(line, strlen(line), &request, &error));
	assert_int_equal(json_integer_value(request.id), 42);
	aero_control_request_fini(&request);
	assert_null(request.root);
}

static void test_numbers_have_a_fallback(void **state)
{
	static const char line[] = "{\"command\":\"x\",\"bytes\":5}";
	struct aero_control_request request;
	struct aero_control_error error;

	(void)state;
	assert_true(aero_control_request_parse(line, strlen(line), &request, &error));
	assert_int_equal(aero_control_request_number(&request, "bytes", 9), 5);
	assert_int_equal(aero_control_request_number(&request, "other", 9), 9);
	aero_control_request_fini(&request);
}

/* Every beginning of a good line, and the line with each bit flipped: refused or taken. */
static void test_every_prefix_and_flip_is_survived(void **state)
{
	static const char good[] =
		"{\"id\":\"a\\\"b\",\"command\":\"x\",\"bytes\":12,\"names\":[\"y\"]}";
	struct aero_control_error error;
	unsigned int taken = 0;
	char line[sizeof(good)];
	size_t i;
	int bit;

	(void)state;
	for (i = 0; i < sizeof(good) - 1; i++) {
		assert_string_not_equal(parse(good, i, &error), "");
		for (bit = 0; bit < 8; bit++) {
			memcpy(line, good, sizeof(good));
			line[i] ^= (char)(1 << bit);
			taken += !*parse(line, sizeof(good) - 1, &error);
		}
	}
	/* Letters of strings and digits may change; structure may not. */
	assert_in_range(taken, 20, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_requests),
		cmocka_unit_test(test_malformed_lines),
		cmocka_unit_test(test_bytes_of_zero_are_malformed),
		cmocka_unit_test(test_depth_is_bounded),
		cmocka_unit_test(test_what_is_no_request),
		cmocka_unit_test(test_members_are_checked),
		cmocka_unit_test(test_id_survives_a_bad_command),
		cmocka_unit_test(test_numbers_have_a_fallback),
		cmocka_unit_test(test_every_prefix_and_flip_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
