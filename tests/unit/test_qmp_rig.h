/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_UNIT_TEST_QMP_RIG_H
#define AEROSTAT_TESTS_UNIT_TEST_QMP_RIG_H

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

static inline void on_ready(void *ctx, const char *version)
{
	struct rig *rig = ctx;

	rig->readies++;
	snprintf(rig->version, sizeof(rig->version), "%s", version);
	if (rig->closes_when_ready)
		aero_qmp_close(&rig->qmp);
}

static inline void on_event(void *ctx, const char *name, const json_t *data)
{
	struct rig *rig = ctx;

	rig->events++;
	snprintf(rig->event, sizeof(rig->event), "%s", name);
	rig->actual = data ? json_number_value(json_object_get(data, "actual")) : -1;
}

static inline void on_ended(void *ctx, const struct aero_error *story)
{
	struct rig *rig = ctx;

	rig->ends++;
	rig->story = *story;
}

static inline void on_closed(void *ctx)
{
	struct rig *rig = ctx;

	rig->is_closed = true;
}

static inline void on_answered(void *ctx, const struct aero_qmp_answer *answer)
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

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

static inline void turn(struct rig *rig)
{
	for (int i = 0; i < 5; i++)
		uv_run(&rig->loop, UV_RUN_NOWAIT);
}

static inline void say_bytes(struct rig *rig, const char *bytes, size_t len)
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

static inline void say(struct rig *rig, const char *text)
{
	say_bytes(rig, text, strlen(text));
}

static inline void hang_up(struct rig *rig)
{
	close(rig->server);
	rig->server = -1;
	turn(rig);
}

/* What the client has sent since the last look is this. */
static inline void expect_sent(struct rig *rig, const char *text)
{
	ssize_t got = read(rig->server, rig->sent, sizeof(rig->sent) - 1);

	rig->sent[got > 0 ? got : 0] = '\0';
	assert_string_equal(rig->sent, text);
}

static inline void expect_end(struct rig *rig, enum aero_status status, const char *part)
{
	assert_int_equal(rig->ends, 1);
	if (rig->story.status != status || !strstr(rig->story.text, part))
		fail_msg("'%s' (%s) does not say '%s'", rig->story.text,
			 aero_status_str(rig->story.status), part);
	assert_int_equal(rig->qmp.state, AERO_QMP_ENDED);
}

static inline void greet(struct rig *rig)
{
	say(rig, GREETING);
	expect_sent(rig, "{\"execute\":\"qmp_capabilities\",\"id\":1}\n");
	assert_int_equal(rig->readies, 0);
	say(rig, AGREED);
	assert_int_equal(rig->readies, 1);
	assert_int_equal(rig->ends, 0);
}

static inline enum aero_status try_ask(struct rig *rig, unsigned int index, const char *name)
{
	const struct aero_qmp_command command = { .name = name };

	return aero_qmp_ask(&rig->qmp, &rig->replies[index].request, &command, on_answered,
			    &rig->replies[index]);
}

static inline void ask(struct rig *rig, unsigned int index, const char *name)
{
	assert_int_equal(try_ask(rig, index, name), AERO_OK);
	assert_int_equal(rig->replies[index].count, 0);
}

static inline void expect_reply(const struct reply *reply, enum aero_status status,
				const char *part)
{
	assert_int_equal(reply->count, 1);
	if (reply->status != status || !strstr(reply->text, part))
		fail_msg("'%s' (%s) does not say '%s'", reply->text, aero_status_str(reply->status),
			 part);
}

/* Until a timer has had its turn. */
static inline void wait_ms(struct rig *rig, int ms)
{
	for (; ms > 0; ms -= 10) {
		uv_run(&rig->loop, UV_RUN_NOWAIT);
		poll(NULL, 0, 10);
	}
	uv_run(&rig->loop, UV_RUN_NOWAIT);
}

#endif
