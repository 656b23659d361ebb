/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/guest_console.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* What came back for one request. */
struct answer {
	struct aero_guest_request request;
	struct rig *rig;
	unsigned int count;
	enum aero_status status;
	char text[256];
	bool asks_again;
};

struct rig {
	uv_loop_t loop;
	struct aero_guest_console console;
	int guest;
	char ready[256];
	char log[256];
	unsigned int ready_count;
	bool has_ended;
	bool is_closed;
	struct answer answers[3];
};

static void on_ready(void *ctx, const char *text)
{
	struct rig *rig = ctx;

	rig->ready_count++;
	snprintf(rig->ready, sizeof(rig->ready), "%s", text);
}

static void on_log(void *ctx, const char *line)
{
	struct rig *rig = ctx;

	snprintf(rig->log, sizeof(rig->log), "%s", line);
}

static void on_end(void *ctx)
{
	struct rig *rig = ctx;

	rig->has_ended = true;
}

static void on_closed(void *ctx)
{
	struct rig *rig = ctx;

	rig->is_closed = true;
}

static void on_answered(void *ctx, enum aero_status status, const char *text)
{
	struct answer *answer = ctx;

	answer->count++;
	answer->status = status;
	snprintf(answer->text, sizeof(answer->text), "%s", text);
	if (!answer->asks_again)
		return;
	answer->asks_again = false;
	(void)aero_guest_console_ask(&answer->rig->console, &answer->request, "again", 1000,
				     on_answered, answer);
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	const struct aero_guest_console_events events = {
		.ready = on_ready, .log = on_log, .end = on_end, .closed = on_closed, .ctx = rig
	};
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(uv_loop_init(&rig->loop), 0);
	rig->guest = ends[1];
	fcntl(rig->guest, F_SETFL, O_NONBLOCK);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(rig->answers); i++)
		rig->answers[i].rig = rig;
	aero_guest_console_open(&rig->console, &rig->loop, ends[0], &events);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	aero_guest_console_close(&rig->console);
	aero_guest_console_close(&rig->console);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_true(rig->is_closed);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	if (rig->guest >= 0)
		close(rig->guest);
	free(rig);
	return 0;
}

static void say(struct rig *rig, const char *text)
{
	assert_int_equal(write(rig->guest, text, strlen(text)), strlen(text));
	uv_run(&rig->loop, UV_RUN_NOWAIT);
}

static void hear(struct rig *rig, const char *wanted)
{
	char text[256] = "";

	uv_run(&rig->loop, UV_RUN_NOWAIT);
	assert_true(read(rig->guest, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, wanted);
}

static enum aero_status ask(struct rig *rig, int index, const char *command, uint32_t timeout_ms)
{
	return aero_guest_console_ask(&rig->console, &rig->answers[index].request, command,
				      timeout_ms, on_answered, &rig->answers[index]);
}

static void expect(struct rig *rig, int index, enum aero_status status, const char *text)
{
	assert_int_equal(rig->answers[index].count, 1);
	assert_int_equal(rig->answers[index].status, status);
	assert_string_equal(rig->answers[index].text, text);
}

static void test_ask_before_ready_is_refused(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(ask(rig, 0, "memory", 1000), AERO_ESTATE);
	say(rig, "AEROSTAT ready kernel=1 total=2\n");
	assert_string_equal(rig->ready, "kernel=1 total=2");
	assert_int_equal(ask(rig, 0, "memory", 1000), AERO_OK);
	hear(rig, "1 memory\n");
}

static void test_answers_find_their_requests(void **state)
{
	struct rig *rig = *state;

	say(rig, "AEROSTAT ready x=1\r\n");
	assert_int_equal(ask(rig, 0, "one", 1000), AERO_OK);
	assert_int_equal(ask(rig, 1, "two 2", 1000), AERO_OK);
	assert_int_equal(ask(rig, 2, "three", 1000), AERO_OK);
	hear(rig, "1 one\n2 two 2\n3 three\n");
	say(rig, "noise\nAEROSTAT error 2 no such thing\nAEROSTAT ok 1");
	assert_int_equal(rig->answers[0].count, 0);
	say(rig, " a=1 b=2\r\nAEROSTAT ok 3\n");
	expect(rig, 0, AERO_OK, "a=1 b=2");
	expect(rig, 1, AERO_EREFUSED, "no such thing");
	expect(rig, 2, AERO_OK, "");
	assert_string_equal(rig->log, "noise");
}

static void test_answer_unknown_number_is_ignored(void **state)
{
	struct rig *rig = *state;

	say(rig, "AEROSTAT ready x=1\n");
	assert_int_equal(ask(rig, 0, "one", 1000), AERO_OK);
	say(rig, "AEROSTAT ok 77 x\nAEROSTAT ok\nAEROSTAT ok x\nAEROSTAT error 4294967297 x\n");
	assert_int_equal(rig->answers[0].count, 0);
	say(rig, "AEROSTAT ok 1 y\nAEROSTAT ok 1 z\n");
	expect(rig, 0, AERO_OK, "y");
}

static void test_ask_silent_guest_times_out(void **state)
{
	struct rig *rig = *state;

	say(rig, "AEROSTAT ready x=1\n");
	assert_int_equal(ask(rig, 0, "one", 20), AERO_OK);
	assert_int_equal(ask(rig, 1, "two", 60000), AERO_OK);
	while (rig->answers[0].count == 0)
		uv_run(&rig->loop, UV_RUN_ONCE);
	assert_int_equal(rig->answers[0].status, AERO_ETIMEDOUT);
	assert_int_equal(rig->answers[1].count, 0);
	/* The late answer changes nothing, and later ones are still matched. */
	say(rig, "AEROSTAT ok 1 late\nAEROSTAT ok 2 fine\n");
	assert_int_equal(rig->answers[0].count, 1);
	expect(rig, 1, AERO_OK, "fine");
}

static void test_reboot_resets_what_waits(void **state)
{
	struct rig *rig = *state;

	say(rig, "AEROSTAT ready x=1\n");
	assert_int_equal(ask(rig, 0, "one", 1000), AERO_OK);
	rig->answers[0].asks_again = true;
	say(rig, "AEROSTAT ready x=2\n");
	assert_int_equal(rig->ready_count, 2);
	expect(rig, 0, AERO_ERESET, "the guest has rebooted");
	/* What was asked from the callback waits for the new guest. */
	say(rig, "AEROSTAT ok 2 new\n");
	assert_int_equal(rig->answers[0].count, 2);
	assert_int_equal(rig->answers[0].status, AERO_OK);
}

static void test_guest_hangs_up_answers_gone(void **state)
{
	struct rig *rig = *state;

	say(rig, "AEROSTAT ready x=1\n");
	assert_int_equal(ask(rig, 0, "one", 1000), AERO_OK);
	close(rig->guest);
	rig->guest = -1;
	uv_run(&rig->loop, UV_RUN_NOWAIT);
	assert_int_equal(rig->answers[0].status, AERO_EGONE);
	assert_true(rig->has_ended);
	assert_int_equal(ask(rig, 0, "one", 1000), AERO_ESTATE);
}

static void test_close_answers_gone(void **state)
{
	struct rig *rig = *state;

	say(rig, "AEROSTAT ready x=1\n");
	assert_int_equal(ask(rig, 0, "one", 1000), AERO_OK);
	aero_guest_console_close(&rig->console);
	expect(rig, 0, AERO_EGONE, "the console was closed");
	assert_int_equal(ask(rig, 1, "one", 1000), AERO_ESTATE);
}

static void test_ask_impossible_lines_are_refused(void **state)
{
	struct rig *rig = *state;
	char longest[AERO_GUEST_COMMAND_MAX + 1];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	say(rig, "AEROSTAT ready x=1\n");
	assert_int_equal(ask(rig, 0, "two\nlines", 1000), AERO_EINVAL);
	assert_int_equal(ask(rig, 0, longest, 1000), AERO_EINVAL);
	/* "1 " and the newline and the NUL leave this much. */
	assert_int_equal(ask(rig, 0, longest + 5, 1000), AERO_OK);
}

static void test_ask_guest_that_does_not_read_is_gone(void **state)
{
	struct rig *rig = *state;
	static struct answer many[4096];
	char command[1000];
	enum aero_status status = AERO_OK;
	size_t i;

	memset(command, 'x', sizeof(command) - 1);
	command[sizeof(command) - 1] = '\0';
	say(rig, "AEROSTAT ready x=1\n");
	for (i = 0; i < TEST_ARRAY_SIZE(many) && status == AERO_OK; i++)
		status = aero_guest_console_ask(&rig->console, &many[i].request, command, 1000,
						on_answered, &many[i]);
	assert_int_equal(status, AERO_EGONE);
	aero_guest_console_close(&rig->console);
	assert_int_equal(many[0].count, 1);
	assert_int_equal(many[i - 2].count, 1);
	assert_int_equal(many[i - 1].count, 0);
}

static void test_long_and_binary_lines_are_harmless(void **state)
{
	struct rig *rig = *state;
	char flood[4000];

	memset(flood, 'y', sizeof(flood));
	for (int i = 0; i < 10; i++) {
		assert_int_equal(write(rig->guest, flood, sizeof(flood)), sizeof(flood));
		uv_run(&rig->loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(write(rig->guest, "\n\0z\n", 4), 4);
	uv_run(&rig->loop, UV_RUN_NOWAIT);
	assert_string_equal(rig->log, "?z");
	say(rig, "AEROSTAT ready x=1\n");
	assert_int_equal(rig->ready_count, 1);
}

static void test_guest_value_and_number(void **state)
{
	static const char text[] = "kernel=6.1 total=502 totally=1 big=18446744073709551615 "
				   "huge=18446744073709551616 minus=-1 empty= last=9";
	uint64_t number = 0;
	char value[8];

	(void)state;
	assert_int_equal(aero_guest_value(text, "kernel", value, sizeof(value)), AERO_OK);
	assert_string_equal(value, "6.1");
	assert_int_equal(aero_guest_value(text, "empty", value, sizeof(value)), AERO_OK);
	assert_string_equal(value, "");
	assert_int_equal(aero_guest_value(text, "tot", value, sizeof(value)), AERO_ENOENT);
	assert_int_equal(aero_guest_value(text, "big", value, sizeof(value)), AERO_ENOSPC);
	assert_int_equal(aero_guest_value("", "x", value, sizeof(value)), AERO_ENOENT);
	assert_int_equal(aero_guest_number(text, "total", &number), AERO_OK);
	assert_int_equal(number, 502);
	assert_int_equal(aero_guest_number(text, "big", &number), AERO_OK);
	assert_true(number == UINT64_MAX);
	assert_int_equal(aero_guest_number(text, "last", &number), AERO_OK);
	assert_int_equal(number, 9);
	assert_int_equal(aero_guest_number(text, "huge", &number), AERO_EPROTO);
	assert_int_equal(aero_guest_number(text, "minus", &number), AERO_EPROTO);
	assert_int_equal(aero_guest_number(text, "empty", &number), AERO_EPROTO);
	assert_int_equal(aero_guest_number(text, "kernel", &number), AERO_EPROTO);
	assert_int_equal(aero_guest_number(text, "none", &number), AERO_ENOENT);
	assert_int_equal(number, 9);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		CASE(test_ask_before_ready_is_refused),
		CASE(test_answers_find_their_requests),
		CASE(test_answer_unknown_number_is_ignored),
		CASE(test_ask_silent_guest_times_out),
		CASE(test_reboot_resets_what_waits),
		CASE(test_guest_hangs_up_answers_gone),
		CASE(test_close_answers_gone),
		CASE(test_ask_impossible_lines_are_refused),
		CASE(test_ask_guest_that_does_not_read_is_gone),
		CASE(test_long_and_binary_lines_are_harmless),
		cmocka_unit_test(test_guest_value_and_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
