/* SPDX-License-Identifier: MIT */
#include "test_qmp_rig.h"

/* Beginning ------------------------------------------------------------------------------------ */

static void test_start_greeting_and_agreement_is_ready(void **state)
{
	struct rig *rig = *state;

	expect_sent(rig, "");
	assert_int_equal(try_ask(rig, 0, "stop"), AERO_ESTATE);
	greet(rig);
	assert_string_equal(rig->version, "7.2.22");
	assert_int_equal(rig->qmp.state, AERO_QMP_READY);
}

static void test_start_one_byte_at_a_time(void **state)
{
	static const char text[] = GREETING "\r\n" AGREED;
	struct rig *rig = *state;

	for (size_t i = 0; i + 1 < sizeof(text); i++)
		say_bytes(rig, text + i, 1);
	assert_int_equal(rig->readies, 1);
	assert_int_equal(rig->ends, 0);
}

static void test_start_no_greeting_times_out(void **state)
{
	struct rig *rig = *state;

	wait_ms(rig, 3 * TIMEOUT_MS);
	expect_end(rig, AERO_ETIMEDOUT, "QEMU has not begun to talk within 200 ms");
}

static void test_start_no_agreement_times_out(void **state)
{
	struct rig *rig = *state;

	say(rig, GREETING);
	wait_ms(rig, 3 * TIMEOUT_MS);
	expect_end(rig, AERO_ETIMEDOUT, "within 200 ms");
	assert_int_equal(rig->readies, 0);
}

static void test_start_refused(void **state)
{
	struct rig *rig = *state;

	say(rig, GREETING);
	say(rig, "{\"id\": 1, \"error\": {\"class\": \"GenericError\", \"desc\": \"go away\"}}\n");
	expect_end(rig, AERO_EPROTO, "does not agree to talk: go away");
}

static void test_start_something_else_first(void **state)
{
	static const char *const texts[] = { AGREED, "{\"event\": \"STOP\"}\n", "{}\n" };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(texts); i++) {
		struct rig *rig = *state;

		say(rig, texts[i]);
		expect_end(rig, AERO_EPROTO, "does not greet first");
		teardown(state);
		setup(state);
	}
}

static void test_start_bad_greetings(void **state)
{
	static const char *const texts[] = {
		"{\"QMP\": 5}\n",
		"{\"QMP\": {\"version\": {\"qemu\": {\"major\": \"7\"}}}}\n",
		"{\"QMP\": {}}\n",
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(texts); i++) {
		struct rig *rig = *state;

		say(rig, texts[i]);
		expect_end(rig, AERO_EPROTO, "which version");
		teardown(state);
		setup(state);
	}
}

static void test_start_second_greeting_ends(void **state)
{
	struct rig *rig = *state;

	greet(rig);
	say(rig, GREETING);
	expect_end(rig, AERO_EPROTO, "greets once more");
}

/* Events between greeting and agreement are for nobody. */
static void test_start_early_event_is_passed_by(void **state)
{
	struct rig *rig = *state;

	say(rig, GREETING "{\"event\": \"RESUME\", \"timestamp\": {}}\r\n" AGREED);
	assert_int_equal(rig->events, 0);
	assert_int_equal(rig->readies, 1);
}

/* Commands ------------------------------------------------------------------------------------- */

static void test_ask_arguments_are_sent(void **state)
{
	struct rig *rig = *state;
	const struct aero_qmp_command command = {
		.name = "balloon",
		.arguments = json_pack("{s:I}", "value", (json_int_t)268435456),
	};

	greet(rig);
	assert_int_equal(aero_qmp_ask(&rig->qmp, &rig->replies[0].request, &command, on_answered,
				      &rig->replies[0]),
			 AERO_OK);
	expect_sent(rig, "{\"execute\":\"balloon\",\"arguments\":{\"value\":268435456},"
			 "\"id\":2}\n");
	say(rig, "{\"return\": {}, \"id\": 2}\r\n");
	expect_reply(&rig->replies[0], AERO_OK, "");
}

static void test_ask_two_answers_in_one_read(void **state)
{
	struct rig *rig = *state;

	greet(rig);
	ask(rig, 0, "a");
	ask(rig, 1, "b");
	expect_sent(rig, "{\"execute\":\"a\",\"id\":2}\n{\"execute\":\"b\",\"id\":3}\n");
	say(rig, "{\"return\": {\"n\": 5}, \"id\": 2}\r\n{\"return\": {\"n\": 6}, \"id\": 3}\r\n");
	expect_reply(&rig->replies[0], AERO_OK, "");
	expect_reply(&rig->replies[1], AERO_OK, "");
	assert_true(rig->replies[0].number == 5 && rig->replies[1].number == 6);
}

static void test_ask_answers_in_another_order(void **state)
{
	struct rig *rig = *state;

	greet(rig);
	ask(rig, 0, "a");
	ask(rig, 1, "b");
	say(rig, "{\"return\": {\"n\": 6}, \"id\": 3}\r\n");
	assert_int_equal(rig->replies[0].count, 0);
	say(rig, "{\"return\": {\"n\": 5}, \"id\": 2}\r\n");
	assert_true(rig->replies[0].number == 5 && rig->replies[1].number == 6);
}

static void test_ask_event_between_question_and_answer(void **state)
{
	struct rig *rig = *state;

	greet(rig);
	ask(rig, 0, "a");
	say(rig, "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": "
		 "\"BALLOON_CHANGE\", \"data\": {\"actual\": 4096}}\r\n");
	assert_int_equal(rig->events, 1);
	assert_string_equal(rig->event, "BALLOON_CHANGE");
	assert_true(rig->actual == 4096);
	assert_int_equal(rig->replies[0].count, 0);
	say(rig, "{\"return\": {}, \"id\": 2}\n");
	expect_reply(&rig->replies[0], AERO_OK, "");
	say(rig, "{\"event\": \"SHUTDOWN\"}\n");
	assert_int_equal(rig->events, 2);
	assert_true(rig->actual == -1);
}

static void test_ask_error_has_class_and_text(void **state)
{
	struct rig *rig = *state;

	greet(rig);
	ask(rig, 0, "balloon");
	say(rig, "{\"id\": 2, \"error\": {\"class\": \"DeviceNotActive\", \"desc\": "
		 "\"No balloon device has been activated\"}}\r\n");
	expect_reply(&rig->replies[0], AERO_EREFUSED, "No balloon device");
	assert_string_equal(rig->replies[0].class, "DeviceNotActive");
	/* It goes on. */
	rig->replies[0].count = 0;
	ask(rig, 0, "stop");
	say(rig, "{\"return\": {}, \"id\": 3}\n");
	expect_reply(&rig->replies[0], AERO_OK, "");
}

/* As QEMU tells statistics that the guest does not report. */
static void test_ask_numbers_above_what_json_integers_hold(void **state)
{
	struct rig *rig = *state;

	greet(rig);
	ask(rig, 0, "qom-get");
	say(rig, "{\"return\": {\"n\": 18446744073709551615}, \"id\": 2}\n");
	expect_reply(&rig->replies[0], AERO_OK, "");
	assert_true(rig->replies[0].number == 18446744073709551616.0);
}

static void test_ask_again_in_the_answer(void **state)
{
	struct rig *rig = *state;

	greet(rig);
	ask(rig, 0, "a");
	rig->replies[0].repeats = true;
	say(rig, "{\"return\": {\"n\": 1}, \"id\": 2}\n");
	assert_int_equal(rig->replies[0].count, 1);
	say(rig, "{\"return\": {\"n\": 2}, \"id\": 3}\n");
	assert_int_equal(rig->replies[0].count, 2);
	assert_true(rig->replies[0].number == 2);
}

static void test_ask_time_limit_and_late_answer(void **state)
{
	const struct aero_qmp_command quick = { .name = "quick", .timeout_ms = 50 };
	struct rig *rig = *state;

	greet(rig);
	ask(rig, 0, "slow");
	assert_int_equal(aero_qmp_ask(&rig->qmp, &rig->replies[1].request, &quick, on_answered,
				      &rig->replies[1]),
			 AERO_OK);
	wait_ms(rig, 100);
	assert_int_equal(rig->replies[0].count, 0);
	expect_reply(&rig->replies[1], AERO_ETIMEDOUT, "answered 'quick' within 50 ms");
	wait_ms(rig, 2 * TIMEOUT_MS);
	expect_reply(&rig->replies[0], AERO_ETIMEDOUT, "answered 'slow' within 200 ms");
	say(rig, "{\"return\": {}, \"id\": 3}\n{\"return\": {}, \"id\": 2}\n");
	assert_int_equal(rig->replies[0].count + rig->replies[1].count, 2);
	assert_int_equal(rig->ends, 0);
}

/* Its place in the list is taken: that would be two of it. */
static void test_ask_with_a_request_that_waits(void **state)
{
	struct rig *rig = *state;

	greet(rig);
	ask(rig, 0, "a");
	assert_int_equal(try_ask(rig, 0, "b"), AERO_ESTATE);
	say(rig, "{\"return\": {}, \"id\": 2}\n");
	expect_reply(&rig->replies[0], AERO_OK, "");
}

static void test_ask_too_long(void **state)
{
	struct rig *rig = *state;
	char text[AERO_QMP_COMMAND_MAX];
	struct aero_qmp_command command = { .name = "a" };

	greet(rig);
	expect_sent(rig, "");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	command.arguments = json_pack("{s:s}", "text", text);
	assert_int_equal(aero_qmp_ask(&rig->qmp, &rig->replies[0].request, &command, on_answered,
				      &rig->replies[0]),
			 AERO_EINVAL);
	/* Nothing was sent, and no number is lost. */
	ask(rig, 0, "b");
	expect_sent(rig, "{\"execute\":\"b\",\"id\":2}\n");
}

/* A server that does not read fills the socket, and is not waited for. */
static void test_ask_server_that_does_not_read(void **state)
{
	static struct aero_qmp_request requests[20000];
	const struct aero_qmp_command command = { .name = "query-balloon" };
	enum aero_status status = AERO_OK;
	struct rig *rig = *state;
	size_t i;

	greet(rig);
	for (i = 0; status == AERO_OK && i < TEST_ARRAY_SIZE(requests); i++)
		status = aero_qmp_ask(&rig->qmp, &requests[i], &command, on_answered,
				      &rig->replies[0]);
	assert_int_equal(status, AERO_EGONE);
	assert_int_equal(try_ask(rig, 1, "a"), AERO_EGONE);
	hang_up(rig);
	expect_end(rig, AERO_EGONE, "closed the socket");
	assert_int_equal(rig->replies[0].count, i - 1);
	assert_int_equal(rig->replies[0].status, AERO_EGONE);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_start_greeting_and_agreement_is_ready),
		CASE(test_start_one_byte_at_a_time),
		CASE(test_start_no_greeting_times_out),
		CASE(test_start_no_agreement_times_out),
		CASE(test_start_refused),
		CASE(test_start_something_else_first),
		CASE(test_start_bad_greetings),
		CASE(test_start_second_greeting_ends),
		CASE(test_start_early_event_is_passed_by),
		CASE(test_ask_arguments_are_sent),
		CASE(test_ask_two_answers_in_one_read),
		CASE(test_ask_answers_in_another_order),
		CASE(test_ask_event_between_question_and_answer),
		CASE(test_ask_error_has_class_and_text),
		CASE(test_ask_numbers_above_what_json_integers_hold),
		CASE(test_ask_again_in_the_answer),
		CASE(test_ask_time_limit_and_late_answer),
		CASE(test_ask_with_a_request_that_waits),
		CASE(test_ask_too_long),
		CASE(test_ask_server_that_does_not_read),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
