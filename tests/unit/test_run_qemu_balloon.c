/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/qemu.h"
#include "programs/aerostat/run_qemu_balloon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

/* QEMU's balloon as the run leads it, against a QEMU of a few lines. */

#define MIB (1ull << 20)
#define MEMORY_BYTES (64 * MIB)
#define PATIENCE_MS 5000

/* What the double does wrong; one thing at a time. */
enum trouble {
	NO_TROUBLE,
	REFUSES,
	TELLS_NONSENSE,
	TELLS_TOO_MUCH,
	SAYS_NOTHING_OF_STATISTICS,
	REFUSES_STATISTICS,
};

struct rig {
	uv_loop_t loop;
	struct run_qemu_balloon balloon;
	int server;
	enum trouble trouble;
	/* The double of QEMU. */
	char input[4096];
	size_t input_len;
	uint64_t left_bytes; /* of the guest's memory */
	uint64_t value;	     /* the last one set */
	int interval;
	unsigned int stats_asked;
	unsigned int queries;
	/* What was told. */
	unsigned int readies, fails, closes, answers;
	struct aero_error story;
	json_t *statistics;
	char why[256];
};

static void on_ready(void *ctx)
{
	((struct rig *)ctx)->readies++;
}

static void on_statistics(void *ctx, json_t *statistics, const char *why)
{
	struct rig *rig = ctx;

	rig->answers++;
	json_decref(rig->statistics);
	rig->statistics = statistics;
	snprintf(rig->why, sizeof(rig->why), "%s", why);
}

static void on_failed(void *ctx, const struct aero_error *story)
{
	struct rig *rig = ctx;

	rig->fails++;
	rig->story = *story;
}

static void on_closed(void *ctx)
{
	((struct rig *)ctx)->closes++;
}

/* The double ----------------------------------------------------------------------------------- */

static void say(struct rig *rig, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct rig *rig, const char *format, ...)
{
	char text[1024];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* Nobody hears it who has hung up. */
	if (write(rig->server, text, (size_t)len) != len)
		assert_true(rig->balloon.is_closing);
}

static void answer_query(struct rig *rig, int id)
{
	rig->queries++;
	if (rig->trouble == TELLS_NONSENSE)
		say(rig, "{\"return\": {\"actual\": \"much\"}, \"id\": %d}\r\n", id);
	else if (rig->trouble == TELLS_TOO_MUCH)
		say(rig, "{\"return\": {\"actual\": %llu}, \"id\": %d}\r\n", MEMORY_BYTES + 4096,
		    id);
	else
		say(rig, "{\"return\": {\"actual\": %llu}, \"id\": %d}\r\n",
		    (unsigned long long)rig->left_bytes, id);
}

/* What came when the driver started is there from the beginning; new ones take a while. */
static void answer_get(struct rig *rig, int id)
{
	bool is_new = rig->interval && rig->stats_asked++ > 1 &&
		      rig->trouble != SAYS_NOTHING_OF_STATISTICS;

	say(rig,
	    "{\"return\": {\"stats\": {\"stat-swap-out\": 18446744073709551615, "
	    "\"stat-free-memory\": %d, \"stat-major-faults\": 7}, \"last-update\": %d}, "
	    "\"id\": %d}\r\n",
	    is_new ? 4096000 : 8192000, is_new ? 1763766001 : 1763766000, id);
}

static void refuse(struct rig *rig, int id)
{
	say(rig,
	    "{\"id\": %d, \"error\": {\"class\": \"DeviceNotActive\", \"desc\": "
	    "\"No balloon device has been activated\"}}\r\n",
	    id);
}

static void answer_command(struct rig *rig, const char *name, const json_t *arguments, int id)
{
	const char *path = json_string_value(json_object_get(arguments, "path"));
	json_int_t value = json_integer_value(json_object_get(arguments, "value"));

	if (path)
		assert_string_equal(path, AERO_QEMU_BALLOON_PATH);
	if (!strcmp(name, "query-balloon")) {
		answer_query(rig, id);
	} else if (!strcmp(name, "qom-get")) {
		answer_get(rig, id);
	} else if ((!strcmp(name, "balloon") && rig->trouble == REFUSES) ||
		   (!strcmp(name, "qom-set") && rig->trouble == REFUSES_STATISTICS)) {
		refuse(rig, id);
	} else {
		if (!strcmp(name, "balloon"))
			rig->value = (uint64_t)value;
		if (!strcmp(name, "qom-set"))
			rig->interval = (int)value;
		say(rig, "{\"return\": {}, \"id\": %d}\r\n", id);
	}
}

static void answer_line(struct rig *rig, const char *line, size_t len)
{
	json_t *json = json_loadb(line, len, 0, NULL);

	assert_non_null(json);
	answer_command(rig, json_string_value(json_object_get(json, "execute")),
		       json_object_get(json, "arguments"),
		       (int)json_integer_value(json_object_get(json, "id")));
	json_decref(json);
}

static void serve(struct rig *rig)
{
	ssize_t got =
		read(rig->server, rig->input + rig->input_len, sizeof(rig->input) - rig->input_len);
	char *newline;

	rig->input_len += got > 0 ? (size_t)got : 0;
	while ((newline = memchr(rig->input, '\n', rig->input_len))) {
		size_t len = (size_t)(newline + 1 - rig->input);

		answer_line(rig, rig->input, len);
		rig->input_len -= len;
		memmove(rig->input, rig->input + len, rig->input_len);
	}
}

/* Both take turns for a while, or until something has been told. */
static void turn(struct rig *rig, int ms)
{
	for (; ms > 0; ms--) {
		uv_run(&rig->loop, UV_RUN_NOWAIT);
		if (rig->server >= 0)
			serve(rig);
		poll(NULL, 0, 1);
	}
	uv_run(&rig->loop, UV_RUN_NOWAIT);
}

static void until(struct rig *rig, const unsigned int *count)
{
	for (int ms = 0; ms < PATIENCE_MS && !*count; ms++)
		turn(rig, 1);
	assert_int_equal(*count, 1);
}

static struct run_machine_numbers numbers(const struct rig *rig)
{
	struct run_machine_numbers out;

	run_qemu_balloon_numbers(&rig->balloon, &out);
	return out;
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	const struct run_qemu_balloon_events events = { on_ready, on_statistics, on_failed,
							on_closed, rig };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	rig->server = ends[1];
	fcntl(rig->server, F_SETFL, O_NONBLOCK);
	rig->left_bytes = MEMORY_BYTES;
	assert_int_equal(uv_loop_init(&rig->loop), 0);
	run_qemu_balloon_open(&rig->balloon, &rig->loop, ends[0], MEMORY_BYTES, &events);
	say(rig, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 0, \"major\": 9}}, "
		 "\"capabilities\": []}}\r\n");
	until(rig, &rig->readies);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	run_qemu_balloon_close(&rig->balloon);
	run_qemu_balloon_close(&rig->balloon);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(rig->closes, 1);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	if (rig->server >= 0)
		close(rig->server);
	json_decref(rig->statistics);
	free(rig);
	return 0;
}

/* The tests ------------------------------------------------------------------------------------ */

static void test_target_is_what_is_left_to_the_guest(void **state)
{
	struct rig *rig = *state;

	turn(rig, 20);
	assert_int_equal(numbers(rig).actual_frames, 0);
	run_qemu_balloon_set_target(&rig->balloon, 16 * MIB / 4096);
	assert_false(numbers(rig).is_reached);
	turn(rig, 30);
	assert_int_equal(rig->value, 48 * MIB);
	assert_int_equal(numbers(rig).target_frames, 16 * MIB / 4096);
	assert_false(numbers(rig).is_reached);
	assert_int_equal(numbers(rig).stall, AERO_HOST_STALL_SILENT);
	rig->left_bytes = 50 * MIB;
	turn(rig, 30);
	assert_int_equal(numbers(rig).actual_frames, 14 * MIB / 4096);
	assert_int_equal(numbers(rig).stall, AERO_HOST_STALL_SHORT);
	rig->left_bytes = 48 * MIB;
	turn(rig, 30);
	assert_true(numbers(rig).is_reached && numbers(rig).is_settled);
	assert_int_equal(numbers(rig).stall, AERO_HOST_STALL_NONE);
	run_qemu_balloon_set_target(&rig->balloon, 0);
	assert_false(numbers(rig).is_reached);
	rig->left_bytes = MEMORY_BYTES;
	turn(rig, 30);
	assert_int_equal(rig->value, MEMORY_BYTES);
	assert_true(numbers(rig).is_reached);
	assert_int_equal(rig->fails, 0);
}

/* Each is told to QEMU after the other, and only the last one counts. */
static void test_target_that_changes_before_it_is_set(void **state)
{
	struct rig *rig = *state;

	run_qemu_balloon_set_target(&rig->balloon, 16);
	run_qemu_balloon_set_target(&rig->balloon, 32);
	run_qemu_balloon_set_target(&rig->balloon, 48);
	rig->left_bytes = MEMORY_BYTES - 16 * 4096;
	turn(rig, 30);
	assert_int_equal(rig->value, MEMORY_BYTES - 48 * 4096);
	assert_false(numbers(rig).is_reached);
	rig->left_bytes = MEMORY_BYTES - 48 * 4096;
	turn(rig, 30);
	assert_true(numbers(rig).is_reached);
	assert_int_equal(rig->fails, 0);
}

/* A target where the balloon is already counts only when QEMU has it. */
static void test_target_that_is_there_already(void **state)
{
	struct rig *rig = *state;

	run_qemu_balloon_set_target(&rig->balloon, 0);
	assert_false(numbers(rig).is_reached);
	turn(rig, 30);
	assert_true(numbers(rig).is_reached);
}

static void test_actual_is_asked_for_often_only_on_the_way(void **state)
{
	struct rig *rig = *state;
	unsigned int before;

	run_qemu_balloon_set_target(&rig->balloon, 16);
	turn(rig, 200);
	before = rig->queries;
	assert_true(before >= 10);
	rig->left_bytes = MEMORY_BYTES - 16 * 4096;
	turn(rig, 50);
	before = rig->queries;
	turn(rig, 200);
	assert_true(rig->queries - before <= 5);
	/* The guest takes memory back by itself: that is seen, too. */
	rig->left_bytes = MEMORY_BYTES;
	turn(rig, 250);
	assert_int_equal(numbers(rig).actual_frames, 0);
	assert_false(numbers(rig).is_reached);
}

static void test_event_tells_before_the_answer(void **state)
{
	struct rig *rig = *state;

	turn(rig, 20);
	say(rig,
	    "{\"event\": \"BALLOON_CHANGE\", \"data\": {\"actual\": %llu}}\r\n"
	    "{\"event\": \"RESUME\"}\r\n",
	    MEMORY_BYTES - 8192);
	uv_run(&rig->loop, UV_RUN_NOWAIT);
	assert_int_equal(numbers(rig).actual_frames, 2);
}

static void test_what_qemu_refuses_is_told(void **state)
{
	struct rig *rig = *state;

	rig->trouble = REFUSES;
	run_qemu_balloon_set_target(&rig->balloon, 16);
	until(rig, &rig->fails);
	assert_int_equal(rig->story.status, AERO_EREFUSED);
	assert_string_equal(rig->story.text,
			    "QEMU refuses 'balloon': No balloon device has been activated "
			    "(DeviceNotActive)");
}

static void test_sizes_that_cannot_be_end_it(void **state)
{
	static const enum trouble troubles[] = { TELLS_NONSENSE, TELLS_TOO_MUCH };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(troubles); i++) {
		struct rig *rig = *state;

		rig->trouble = troubles[i];
		run_qemu_balloon_set_target(&rig->balloon, 16);
		until(rig, &rig->fails);
		assert_int_equal(rig->story.status, AERO_EPROTO);
		teardown(state);
		setup(state);
	}
}

static void test_qemu_that_leaves_is_told_once(void **state)
{
	struct rig *rig = *state;

	run_qemu_balloon_set_target(&rig->balloon, 16);
	run_qemu_balloon_ask_statistics(&rig->balloon, 1000);
	close(rig->server);
	rig->server = -1;
	until(rig, &rig->fails);
	turn(rig, 50);
	assert_int_equal(rig->fails, 1);
	assert_int_equal(rig->story.status, AERO_EGONE);
}

/* By our names; what the guest does not report is not there. The guest is not asked any more. */
static void test_statistics(void **state)
{
	struct rig *rig = *state;
	json_t *wanted = json_pack("{s:{s:i, s:i}, s:{}}", "values", "free_memory_bytes", 4096000,
				   "major_faults", 7, "unknown");

	run_qemu_balloon_ask_statistics(&rig->balloon, PATIENCE_MS);
	assert_int_equal(rig->answers, 0);
	until(rig, &rig->answers);
	assert_true(json_equal(rig->statistics, wanted));
	turn(rig, 30);
	assert_int_equal(rig->interval, 0);
	json_decref(wanted);
}

static void test_statistics_that_do_not_come(void **state)
{
	struct rig *rig = *state;

	rig->trouble = SAYS_NOTHING_OF_STATISTICS;
	run_qemu_balloon_ask_statistics(&rig->balloon, 100);
	until(rig, &rig->answers);
	assert_null(rig->statistics);
	assert_string_equal(rig->why, "the guest sent no statistics in time");
	turn(rig, 30);
	assert_int_equal(rig->interval, 0);
	assert_int_equal(rig->fails, 0);
}

static void test_statistics_refused(void **state)
{
	struct rig *rig = *state;

	rig->trouble = REFUSES_STATISTICS;
	run_qemu_balloon_ask_statistics(&rig->balloon, PATIENCE_MS);
	until(rig, &rig->answers);
	assert_null(rig->statistics);
	assert_non_null(strstr(rig->why, "No balloon device"));
	assert_int_equal(rig->fails, 0);
}

static void test_close_with_all_under_way(void **state)
{
	struct rig *rig = *state;

	run_qemu_balloon_set_target(&rig->balloon, 16);
	run_qemu_balloon_ask_statistics(&rig->balloon, PATIENCE_MS);
	uv_run(&rig->loop, UV_RUN_NOWAIT);
	run_qemu_balloon_close(&rig->balloon);
	turn(rig, 20);
	assert_int_equal(rig->fails + rig->answers, 0);
	assert_int_equal(rig->closes, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_target_is_what_is_left_to_the_guest),
		CASE(test_target_that_changes_before_it_is_set),
		CASE(test_target_that_is_there_already),
		CASE(test_actual_is_asked_for_often_only_on_the_way),
		CASE(test_event_tells_before_the_answer),
		CASE(test_what_qemu_refuses_is_told),
		CASE(test_sizes_that_cannot_be_end_it),
		CASE(test_qemu_that_leaves_is_told_once),
		CASE(test_statistics),
		CASE(test_statistics_that_do_not_come),
		CASE(test_statistics_refused),
		CASE(test_close_with_all_under_way),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
