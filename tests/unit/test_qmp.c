/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/qmp.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

/* The client against a server that says what the test lets it say, byte by byte. */

#define TIMEOUT_MS 200
/* As QEMU 7.2 says it. */
#define GREETING                                                                           \
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, " \
	"\"package\": \"Debian 1:7.2\"}, \"capabilities\": [\"oob\"]}}\r\n"
#define AGREED "{\"return\": {}, \"id\": 1}\r\n"

/* What a command was answered; ctx of on_answered. */
struct reply {
	struct rig *rig;
	struct aero_qmp_request request;
	unsigned int count;
	enum aero_status status;
	double number; /* "n" of the result */
	char class[64];
	char text[256];
	bool closes;  /* hang up in the answer */
	bool repeats; /* ask again in the answer, with the same request, once */
};

struct rig {
	uv_loop_t loop;
	struct aero_qmp qmp;
	int server; /* -1: closed */
	char sent[65536];
	unsigned int readies;
	char version[32];
	unsigned int events;
	char event[64];
	double actual; /* of the event's data */
	unsigned int ends;
	struct aero_error story;
	bool is_closed;
	bool closes_when_ready;
	struct reply replies[4];
};

static void on_ready(void *ctx, const char *version)
{
	struct rig *rig = ctx;

	rig->readies++;
	snprintf(rig->version, sizeof(rig->version), "%s", version);
	if (rig->closes_when_ready)
		aero_qmp_close(&rig->qmp);
}

static void on_event(void *ctx, const char *name, const json_t *data)
{
	struct rig *rig = ctx;

	rig->events++;
	snprintf(rig->event, sizeof(rig->event), "%s", name);
	rig->actual = data ? json_number_value(json_object_get(data, "actual")) : -1;
}

static void on_ended(void *ctx, const struct aero_error *story)
{
	struct rig *rig = ctx;

	rig->ends++;
	rig->story = *story;
}

static void on_closed(void *ctx)
{
	struct rig *rig = ctx;

	rig->is_closed = true;
}

static void on_answered(void *ctx, const struct aero_qmp_answer *answer)
{
	const struct aero_qmp_command again = { .name = "again" };
	struct reply *reply = ctx;

	reply->count++;
	reply->status = answer->status;
	reply->number = json_number_value(json_object_get(answer->result, "n"));
	assert_true((answer->status == AERO_OK) == (answer->result != NULL));
	snprintf(reply->class, sizeof(reply->class), "%s", answer->error_class);
	snprintf(reply->text, sizeof(reply->text), "%s", answer->text);
	if (reply->closes)
		aero_qmp_close(&reply->rig->qmp);
	if (reply->repeats) {
		reply->repeats = false;
		assert_int_equal(aero_qmp_ask(&reply->rig->qmp, &reply->request, &again,
					      on_answered, reply),
				 AERO_OK);
	}
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	const struct aero_qmp_events events = { on_ready, on_event, on_ended, on_closed, rig };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	rig->server = ends[1];
	fcntl(rig->server, F_SETFL, O_NONBLOCK);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(rig->replies); i++)
		rig->replies[i].rig = rig;
	assert_int_equal(uv_loop_init(&rig->loop), 0);
	aero_qmp_start(&rig->qmp, &rig->loop, ends[0], TIMEOUT_MS, &events);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	aero_qmp_close(&rig->qmp);
	aero_qmp_close(&rig->qmp);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_true(rig->is_closed);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	if (rig->server >= 0)
		close(rig->server);
	free(rig);
	return 0;
}

static void turn(struct rig *rig)
{
	for (int i = 0; i < 5; i++)
		uv_run(&rig->loop, UV_RUN_NOWAIT);
}

static void say_bytes(struct rig *rig, const char *bytes, size_t len)
{
	while (len) {
		ssize_t sent = write(rig->server, bytes, len);

		if (sent > 0) {
			bytes += sent;
			len -= (size_t)sent;
		}
		turn(rig);
	}
}

static void say(struct rig *rig, const char *text)
{
	say_bytes(rig, text, strlen(text));
}

static void hang_up(struct rig *rig)
{
	close(rig->server);
	rig->server = -1;
	turn(rig);
}

/* What the client has sent since the last look is this. */
static void expect_sent(struct rig *rig, const char *text)
{
	ssize_t got = read(rig->server, rig->sent, sizeof(rig->sent) - 1);

	rig->sent[got > 0 ? got : 0] = '\0';
	assert_string_equal(rig->sent, text);
}

static void expect_end(struct rig *rig, enum aero_status status, const char *part)
{
	assert_int_equal(rig->ends, 1);
	if (rig->story.status != status || !strstr(rig->story.text, part))
		fail_msg("'%s' (%s) does not say '%s'", rig->story.text,
			 aero_status_str(rig->story.status), part);
	assert_int_equal(rig->qmp.state, AERO_QMP_ENDED);
}

static void greet(struct rig *rig)
{
	say(rig, GREETING);
	expect_sent(rig, "{\"execute\":\"qmp_capabilities\",\"id\":1}\n");
	assert_int_equal(rig->readies, 0);
	say(rig, AGREED);
	assert_int_equal(rig->readies, 1);
	assert_int_equal(rig->ends, 0);
}

static enum aero_status try_ask(struct rig *rig, unsigned int index, const char *name)
{
	const struct aero_qmp_command command = { .name = name };

	return aero_qmp_ask(&rig->qmp, &rig->replies[index].request, &command, on_answered,
			    &rig->replies[index]);
}

static void ask(struct rig *rig, unsigned int index, const char *name)
{
	assert_int_equal(try_ask(rig, index, name), AERO_OK);
	assert_int_equal(rig->replies[index].count, 0);
}

static void expect_reply(const struct reply *reply, enum aero_status status, const char *part)
{
	assert_int_equal(reply->count, 1);
	if (reply->status != status || !strstr(reply->text, part))
		fail_msg("'%s' (%s) does not say '%s'", reply->text, aero_status_str(reply->status),
			 part);
}

/* Until a timer has had its turn. */
static void wait_ms(struct rig *rig, int ms)
{
	for (; ms > 0; ms -= 10) {
		uv_run(&rig->loop, UV_RUN_NOWAIT);
		poll(NULL, 0, 10);
	}
	uv_run(&rig->loop, UV_RUN_NOWAIT);
}

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
		CASE(test_ask_too_long),
		CASE(test_ask_server_that_does_not_read),
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
