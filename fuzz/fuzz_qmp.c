/* SPDX-License-Identifier: MIT */

/*
 * A hostile QEMU: its machine protocol, and the run that believes what it says of its balloon.
 *
 * Input: operations, see run_operation(): raw bytes, messages as they should be with numbers of the
 * input's choice, and an operator who goes on meanwhile. Whatever it says: no size beyond the
 * guest's memory is believed, a failure is told once, each question is answered at most once, and
 * all ends when it is closed.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "programs/aerostat/run_qemu_balloon.h"
#include "support/check.h"

#define OPERATIONS 300
#define MEMORY_BYTES (64ull << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
	const uint8_t *data;
	size_t left;
	uv_loop_t loop;
	struct run_qemu_balloon balloon;
	int server;
	unsigned int id; /* of the latest command that was seen */
	unsigned int readies, fails, closes;
	unsigned int asked, answered;
};

static uint8_t next(struct state *state)
{
	if (!state->left)
		return 0;
	state->left--;
	return *state->data++;
}

/* Numbers that matter come with one byte. */
static uint64_t next_number(struct state *state)
{
	static const uint64_t numbers[] = {
		0, 1, 4095, 4096, MEMORY_BYTES, MEMORY_BYTES + 1, INT64_MAX, UINT64_MAX
	};
	uint8_t byte = next(state);

	if (byte < 8)
		return numbers[byte];
	return byte < 128 ? (uint64_t)byte << 20 : (uint64_t)next(state) << (byte & 63);
}

static void on_ready(void *ctx)
{
	((struct state *)ctx)->readies++;
}

static void on_statistics(void *ctx, json_t *statistics, const char *why)
{
	struct state *state = ctx;

	CHECK(statistics ? !*why && json_is_object(json_object_get(statistics, "values")) : *why);
	json_decref(statistics);
	CHECK(++state->answered <= state->asked);
}

static void on_failed(void *ctx, const struct aero_error *story)
{
	struct state *state = ctx;

	CHECK(story->status != AERO_OK && story->text[0]);
	CHECK(++state->fails == 1);
}

static void on_closed(void *ctx)
{
	((struct state *)ctx)->closes++;
}

static void say_bytes(struct state *state, const char *bytes, size_t len)
{
	/* Nobody hears it who has hung up. */
	if (write(state->server, bytes, len) < 0)
		state->left = 0;
}

static void say(struct state *state, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct state *state, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say_bytes(state, text, strlen(text));
}

static void say_raw(struct state *state)
{
	char bytes[64];
	size_t len = next(state) % sizeof(bytes), i;

	for (i = 0; i < len; i++)
		bytes[i] = (char)next(state);
	say_bytes(state, bytes, len);
}

/* What the client has sent: the number of its last command is what to answer to. */
static void listen_to(struct state *state)
{
	char text[4096];
	ssize_t got = read(state->server, text, sizeof(text) - 1);
	char *at = text;

	text[got > 0 ? got : 0] = '\0';
	while ((at = strstr(at, "\"id\":"))) {
		at += strlen("\"id\":");
		state->id = (unsigned int)strtoul(at, NULL, 10);
	}
}

static void answer_statistics(struct state *state, unsigned int id)
{
	uint64_t value = next_number(state), update = next_number(state);

	say(state,
	    "{\"return\": {\"stats\": {\"stat-free-memory\": %" PRIu64
	    ", \"stat-swap-in\": 1e%u}, \"last-update\": %" PRIu64 "}, \"id\": %u}\n",
	    value, (unsigned int)next(state), update, id);
}

static void speak(struct state *state, uint8_t operation)
{
	unsigned int id = state->id - next(state) % 4;

	switch (operation) {
	case 0:
		say_raw(state);
		break;
	case 1:
		say(state, "{\"QMP\": {\"version\": {\"qemu\": {\"major\": %" PRIu64 "}}}}\r\n",
		    next_number(state));
		break;
	case 2:
		say(state, "{\"return\": {\"actual\": %" PRIu64 "}, \"id\": %u}\r\n",
		    next_number(state), id);
		break;
	case 3:
		say(state, "{\"event\": \"BALLOON_CHANGE\", \"data\": {\"actual\": %" PRIu64 "}}\n",
		    next_number(state));
		break;
	case 4:
		say(state, "{\"id\": %u, \"error\": {\"class\": \"A\", \"desc\": \"b\"}}\n", id);
		break;
	default:
		answer_statistics(state, id);
		break;
	}
}

static void operate(struct state *state)
{
	if (!state->readies)
		return;
	if (next(state) & 1) {
		run_qemu_balloon_set_target(&state->balloon,
					    next_number(state) % (MEMORY_BYTES >> 12));
	} else if (state->asked == state->answered) {
		/* One question at a time; told also where it cannot be put any more, by the end. */
		state->asked++;
		run_qemu_balloon_ask_statistics(&state->balloon, next(state) & 1);
	}
}

static void check(const struct state *state)
{
	struct run_machine_numbers numbers;

	run_qemu_balloon_numbers(&state->balloon, &numbers);
	CHECK(numbers.actual_frames <= MEMORY_BYTES >> 12);
	CHECK(!numbers.is_reached || numbers.actual_frames == numbers.target_frames);
	CHECK(state->readies <= 1 && !state->closes);
}

static void run_operation(struct state *state)
{
	uint8_t operation = next(state) & 7;

	if (operation < 6)
		speak(state, operation);
	else if (operation == 6)
		operate(state);
	uv_run(&state->loop, UV_RUN_NOWAIT);
	listen_to(state);
	check(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct state state;
	const struct run_qemu_balloon_events events = { on_ready, on_statistics, on_failed,
							on_closed, &state };
	int ends[2], i;

	signal(SIGPIPE, SIG_IGN);
	memset(&state, 0, sizeof(state));
	state.data = data;
	state.left = size;
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	state.server = ends[1];
	fcntl(state.server, F_SETFL, O_NONBLOCK);
	CHECK(!uv_loop_init(&state.loop));
	run_qemu_balloon_open(&state.balloon, &state.loop, ends[0], MEMORY_BYTES, &events);
	for (i = 0; i < OPERATIONS && state.left; i++)
		run_operation(&state);
	run_qemu_balloon_close(&state.balloon);
	uv_run(&state.loop, UV_RUN_DEFAULT);
	CHECK(state.closes == 1 && !uv_loop_close(&state.loop));
	close(state.server);
	return 0;
}
