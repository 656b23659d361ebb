/* SPDX-License-Identifier: MIT */
/* What the protocol does not have, and how connections end. */
#include "test_qmp_rig.h"

/* What the protocol does not have -------------------------------------------------------------- */

static void test_unknown_ids_end(void **state)
{
	static const char *const texts[] = {
		"{\"return\": {}, \"id\": 3}\n",
		"{\"return\": {}, \"id\": 0}\n",
		"{\"return\": {}, \"id\": -1}\n",
		"{\"return\": {}, \"id\": \"2\"}\n",
		"{\"return\": {}}\n",
		"{\"return\": {}, \"id\": 1e99}\n",
		"{\"return\": {}, \"id\": 99999999999}\n",
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(texts); i++) {
		struct rig *rig = *state;

		greet(rig);
		ask(rig, 0, "a");
		say(rig, texts[i]);
		expect_end(rig, AERO_EPROTO, "answers what it was not asked");
		expect_reply(&rig->replies[0], AERO_EGONE, "answers what it was not asked");
		teardown(state);
		setup(state);
	}
}

static void test_error_without_id_is_our_fault(void **state)
{
	struct rig *rig = *state;

	greet(rig);
	say(rig, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}\n");
	expect_end(rig, AERO_EPROTO, "does not understand what we say: JSON parse error");
}

static void test_garbage_ends(void **state)
{
	static const struct {
		const char *text;
		const char *story;
	} cases[] = {
		{ "what?\n", "no JSON object" },
		{ "[1, 2]\n", "no JSON object" },
		{ "5\n", "no JSON object" },
		{ "{\"return\": {}, \"id\": 2\n", "no JSON object" },
		{ "{\"return\": {}, \"return\": {}, \"id\": 2}\n", "no JSON object" },
		{ "{\"return\": {\"n\": 1e999}, \"id\": 2}\n", "no JSON object" },
		{ "{\"id\": 2}\n", "neither answer nor event" },
		{ "{\"event\": 7}\n", "event without a name" },
		{ "{\"event\": \"A\", \"data\": 7}\n", "odd data" },
		{ "{\"id\": 2, \"error\": {\"class\": \"GenericError\"}}\n", "does not name" },
		{ "{\"id\": 2, \"error\": \"no\"}\n", "does not name" },
		{ "\xff\xfe{}\n", "no JSON object" },
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		struct rig *rig = *state;

		greet(rig);
		ask(rig, 0, "a");
		say(rig, cases[i].text);
		expect_end(rig, AERO_EPROTO, cases[i].story);
		expect_reply(&rig->replies[0], AERO_EGONE, cases[i].story);
		assert_int_equal(try_ask(rig, 1, "b"), AERO_ESTATE);
		teardown(state);
		setup(state);
	}
}

static void test_zero_bytes_end(void **state)
{
	struct rig *rig = *state;

	greet(rig);
	say_bytes(rig, "\0\0\n", 3);
	expect_end(rig, AERO_EPROTO, "no JSON object");
}

/* Nothing is read after the end: what follows in the same piece is not looked at. */
static void test_nothing_counts_after_the_end(void **state)
{
	struct rig *rig = *state;

	greet(rig);
	say(rig, "what?\nwhat?\n{\"event\": \"A\"}\n");
	assert_int_equal(rig->ends, 1);
	assert_int_equal(rig->events, 0);
}

static void test_longest_message_and_one_too_long(void **state)
{
	static char text[AERO_QMP_MESSAGE_MAX + 1];
	struct rig *rig = *state;

	greet(rig);
	memset(text, ' ', sizeof(text));
	memcpy(text, "{\"event\": \"A\"", 13);
	memcpy(text + AERO_QMP_MESSAGE_MAX - 3, "}\r\n", 3);
	say_bytes(rig, text, AERO_QMP_MESSAGE_MAX);
	assert_int_equal(rig->events, 1);
	text[AERO_QMP_MESSAGE_MAX - 3] = ' ';
	say_bytes(rig, text, AERO_QMP_MESSAGE_MAX - 1);
	say_bytes(rig, " ", 1);
	expect_end(rig, AERO_EPROTO, "more than 65536 bytes");
}

/* Ends ----------------------------------------------------------------------------------------- */

static void test_lost_at_each_point(void **state)
{
	static const char *const said[] = { "",
					    "{\"QMP\"",
					    GREETING,
					    GREETING "{\"ret",
					    GREETING AGREED,
					    GREETING AGREED "{\"event\"" };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(said); i++) {
		struct rig *rig = *state;

		say(rig, said[i]);
		hang_up(rig);
		expect_end(rig, AERO_EGONE, "QEMU has closed the socket of its machine protocol");
		teardown(state);
		setup(state);
	}
}

static void test_lost_with_commands_waiting(void **state)
{
	struct rig *rig = *state;

	greet(rig);
	ask(rig, 0, "a");
	ask(rig, 1, "b");
	say(rig, "{\"return\": {}, \"id\": 2}\n");
	hang_up(rig);
	expect_end(rig, AERO_EGONE, "closed the socket");
	expect_reply(&rig->replies[0], AERO_OK, "");
	expect_reply(&rig->replies[1], AERO_EGONE, "closed the socket");
	wait_ms(rig, 2 * TIMEOUT_MS);
	assert_int_equal(rig->replies[1].count, 1);
}

/* An answer and the end in one piece: both count. */
static void test_last_answer_before_the_end_is_taken(void **state)
{
	static const char text[] = "{\"return\": {}, \"id\": 2}\r\n";
	struct rig *rig = *state;

	greet(rig);
	ask(rig, 0, "quit");
	assert_int_equal(write(rig->server, text, strlen(text)), strlen(text));
	hang_up(rig);
	expect_reply(&rig->replies[0], AERO_OK, "");
	expect_end(rig, AERO_EGONE, "closed");
}

static void test_close_at_each_point(void **state)
{
	static const char *const said[] = { "", "{\"QMP\"", GREETING, GREETING AGREED };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(said); i++) {
		struct rig *rig = *state;

		say(rig, said[i]);
		aero_qmp_close(&rig->qmp);
		assert_int_equal(try_ask(rig, 0, "a"), AERO_ESTATE);
		turn(rig);
		assert_true(rig->is_closed);
		assert_int_equal(rig->ends, 0);
		teardown(state);
		setup(state);
	}
}

static void test_close_answers_what_waits(void **state)
{
	struct rig *rig = *state;

	greet(rig);
	ask(rig, 0, "a");
	aero_qmp_close(&rig->qmp);
	expect_reply(&rig->replies[0], AERO_EGONE, "was closed");
	assert_int_equal(rig->ends, 0);
}

static void test_close_within_callbacks(void **state)
{
	struct rig *rig = *state;

	greet(rig);
	ask(rig, 0, "a");
	ask(rig, 1, "b");
	rig->replies[0].closes = true;
	say(rig, "{\"return\": {}, \"id\": 2}\n{\"event\": \"A\"}\n{\"return\": {}, \"id\": 3}\n");
	expect_reply(&rig->replies[0], AERO_OK, "");
	expect_reply(&rig->replies[1], AERO_EGONE, "was closed");
	assert_int_equal(rig->events, 0);
	assert_true(rig->is_closed);
	teardown(state);
	setup(state);
	rig = *state;
	rig->closes_when_ready = true;
	say(rig, GREETING AGREED);
	assert_true(rig->is_closed);
	teardown(state);
	setup(state);
	/* In the answer that tells of the end. */
	rig = *state;
	greet(rig);
	ask(rig, 0, "a");
	rig->replies[0].closes = true;
	hang_up(rig);
	expect_reply(&rig->replies[0], AERO_EGONE, "closed the socket");
	assert_int_equal(rig->ends, 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_unknown_ids_end),
		CASE(test_error_without_id_is_our_fault),
		CASE(test_garbage_ends),
		CASE(test_zero_bytes_end),
		CASE(test_nothing_counts_after_the_end),
		CASE(test_longest_message_and_one_too_long),
		CASE(test_lost_at_each_point),
		CASE(test_lost_with_commands_waiting),
		CASE(test_last_answer_before_the_end_is_taken),
		CASE(test_close_at_each_point),
		CASE(test_close_answers_what_waits),
		CASE(test_close_within_callbacks),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
