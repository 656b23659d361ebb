/* SPDX-License-Identifier: MIT */
#include "test_control_rig.h"

#include <pthread.h>
#include <sys/file.h>

/* The control socket: who may connect, what bytes may come, and that nothing grows or blocks. */

#define FLUSH "{\"command\":\"flush\"}\n"

static mode_t mode_of(const char *path)
{
	struct stat stat;

	assert_int_equal(lstat(path, &stat), 0);
	return stat.st_mode;
}

/* The file ------------------------------------------------------------------------------------ */

static void test_file_is_the_owners_whatever_the_umask(void **state)
{
	static const mode_t masks[] = { 0, 022, 0777 };
	size_t i;

	(void)state;
	for (i = 0; i < TEST_ARRAY_SIZE(masks); i++) {
		struct rig *rig = rig_new();
		mode_t old = umask(masks[i]);
		enum aero_status status = rig_start_control(rig, NULL);

		umask(old);
		assert_int_equal(status, AERO_OK);
		assert_true(S_ISSOCK(mode_of(rig->control_path)));
		assert_int_equal(mode_of(rig->control_path) & 0777, 0600 & ~masks[i]);
		rig_teardown((void **)&rig);
	}
}

static void leave_dead_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(access(path, F_OK), 0);
}

static void test_dead_socket_is_replaced(void **state)
{
	struct rig *rig = rig_new();
	int fd;

	(void)state;
	leave_dead_socket(rig->control_path);
	assert_int_equal(rig_start_control(rig, NULL), AERO_OK);
	fd = rig_client(rig);
	rig_ask(rig, fd, "{\"command\":\"flush\"}", "\"ok\":true");
	close(fd);
	rig_teardown((void **)&rig);
}

static void test_live_socket_is_refused_and_lives(void **state)
{
	struct rig *rig = *state;
	struct aero_unix_listener second;
	struct aero_error error;
	int fd;

	assert_int_equal(aero_unix_listener_open(&second, rig->control_path, 1, &error),
			 AERO_EREFUSED);
	assert_non_null(strstr(error.text, rig->control_path));
	assert_non_null(strstr(error.text, "in use by another process"));
	fd = rig_client(rig);
	rig_ask(rig, fd, "{\"command\":\"flush\"}", "\"ok\":true");
	close(fd);
}

static void test_other_files_are_refused_and_kept(void **state)
{
	struct rig *rig = rig_new();
	struct aero_error error;
	int fd = open(rig->control_path, O_CREAT | O_WRONLY, 0644);

	(void)state;
	assert_int_equal(write(fd, "precious", 8), 8);
	close(fd);
	assert_int_equal(rig_start_control(rig, &error), AERO_EREFUSED);
	assert_non_null(strstr(error.text, "is not a socket"));
	assert_true(S_ISREG(mode_of(rig->control_path)));
	unlink(rig->control_path);
	/* A link to a socket is no socket either: what it points to is somebody else's. */
	assert_int_equal(symlink(rig->socket_path, rig->control_path), 0);
	assert_int_equal(rig_start_control(rig, &error), AERO_EREFUSED);
	unlink(rig->control_path);
	rig_teardown((void **)&rig);
}

static void test_paths_that_cannot_be(void **state)
{
	struct aero_unix_listener listener;
	struct aero_error error;
	char path[200];

	(void)state;
	assert_int_equal(aero_unix_listener_open(&listener, "", 1, &error), AERO_EINVAL);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(aero_unix_listener_open(&listener, path, 1, &error), AERO_EINVAL);
	assert_non_null(strstr(error.text, "107"));
	assert_int_equal(aero_unix_listener_open(&listener, "/nonexistent/x", 1, &error), AERO_EIO);
	assert_non_null(strstr(error.text, "/nonexistent/x"));
}

static void test_file_goes_with_us_and_not_with_others(void **state)
{
	struct aero_unix_listener first, second;
	struct rig *rig = rig_new();

	(void)state;
	assert_int_equal(aero_unix_listener_open(&first, rig->control_path, 1, NULL), AERO_OK);
	unlink(rig->control_path);
	assert_int_equal(aero_unix_listener_open(&second, rig->control_path, 1, NULL), AERO_OK);
	aero_unix_listener_close(&first);
	assert_int_equal(access(rig->control_path, F_OK), 0);
	aero_unix_listener_close(&second);
	assert_int_equal(access(rig->control_path, F_OK), -1);
	rig_teardown((void **)&rig);
}

/* One of those that start at once at the path of a dead process. */
struct starter {
	const char *path;
	pthread_barrier_t *barrier;
	struct aero_unix_listener listener;
	struct aero_error error;
	enum aero_status status;
};

static void *start_at_once(void *arg)
{
	struct starter *starter = arg;

	pthread_barrier_wait(starter->barrier);
	starter->status =
		aero_unix_listener_open(&starter->listener, starter->path, 1, &starter->error);
	return NULL;
}

static void check_one_has_it(struct starter *starters, size_t count)
{
	size_t winner = count;
	struct stat stat;
	size_t i;

	assert_int_equal(lstat(starters[0].path, &stat), 0);
	for (i = 0; i < count; i++) {
		if (starters[i].status == AERO_OK) {
			assert_int_equal(winner, count);
			winner = i;
			continue;
		}
		assert_int_equal(starters[i].status, AERO_EREFUSED);
		assert_non_null(strstr(starters[i].error.text, "in use by another process"));
	}
	assert_true(winner < count);
	assert_int_equal(starters[winner].listener.dev, stat.st_dev);
	assert_int_equal(starters[winner].listener.ino, stat.st_ino);
	aero_unix_listener_close(&starters[winner].listener);
	assert_int_equal(access(starters[0].path, F_OK), -1);
}

static void test_of_those_that_start_at_once_one_gets_the_path(void **state)
{
	struct rig *rig = rig_new();
	struct starter starters[3];
	pthread_t threads[TEST_ARRAY_SIZE(starters)];
	pthread_barrier_t barrier;
	int turn;
	size_t i;

	(void)state;
	assert_int_equal(pthread_barrier_init(&barrier, NULL, TEST_ARRAY_SIZE(starters)), 0);
	for (turn = 0; turn < 50; turn++) {
		leave_dead_socket(rig->control_path);
		for (i = 0; i < TEST_ARRAY_SIZE(starters); i++) {
			starters[i].path = rig->control_path;
			starters[i].barrier = &barrier;
			assert_int_equal(
				pthread_create(&threads[i], NULL, start_at_once, &starters[i]), 0);
		}
		for (i = 0; i < TEST_ARRAY_SIZE(starters); i++)
			assert_int_equal(pthread_join(threads[i], NULL), 0);
		check_one_has_it(starters, TEST_ARRAY_SIZE(starters));
	}
	pthread_barrier_destroy(&barrier);
	rig_teardown((void **)&rig);
}

/* aerostat run holds a lock on its directory all the time. */
static void test_locked_directory_holds_nobody_up(void **state)
{
	struct aero_unix_listener listener;
	struct rig *rig = rig_new();
	char directory[108];
	uint64_t began;
	int fd;

	(void)state;
	snprintf(directory, sizeof(directory), "%s", rig->control_path);
	*strrchr(directory, '/') = '\0';
	fd = open(directory, O_RDONLY | O_DIRECTORY);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	began = uv_hrtime();
	assert_int_equal(aero_unix_listener_open(&listener, rig->control_path, 1, NULL), AERO_OK);
	assert_true(uv_hrtime() - began < 500000000);
	aero_unix_listener_close(&listener);
	close(fd);
	rig_teardown((void **)&rig);
}

/* Lines --------------------------------------------------------------------------------------- */

static void test_answers_repeat_the_id(void **state)
{
	struct rig *rig = *state;
	int fd = rig_client(rig);

	rig_ask(rig, fd, "{\"id\":17,\"command\":\"flush\"}", "{\"id\":17,\"ok\":true,");
	rig_ask(rig, fd, "{\"id\":\"a\\u00e9\",\"command\":\"flush\"}", "{\"id\":\"a\xc3\xa9\",");
	rig_ask(rig, fd, "{\"command\":\"flush\"}", "{\"id\":null,\"ok\":true,");
	rig_ask(rig, fd, "{\"id\":18,\"command\":\"x\"}", "{\"id\":18,\"ok\":false,");
	rig_ask(rig, fd, "{\"id\":19,\"command\":\"status\",\"y\":1}", "{\"id\":19,\"ok\":false,");
	close(fd);
}

static void test_errors_name_what_is_wrong(void **state)
{
	struct rig *rig = *state;
	int fd = rig_client(rig);

	rig_ask(rig, fd, "nonsense", "\"code\":\"malformed\"");
	rig_ask(rig, fd, "{\"command\":\"\\u001b[2J\"}", "\"code\":\"unknown_command\"");
	rig_ask(rig, fd, "{\"command\":\"Status\"}", "no command \\\"Status\\\"");
	rig_ask(rig, fd, "{\"command\":\"target\"}", "\"code\":\"missing_member\"");
	rig_ask(rig, fd, "{\"command\":\"target\",\"bytes\":\"1G\"}", "not a string");
	rig_ask(rig, fd, "{\"command\":\"hint\",\"action\":\"go\"}", "not \\\"go\\\"");
	rig_ask(rig, fd, "{\"command\":\"hint\",\"action\":\"start\"}", "\"code\":\"no_driver\"");
	rig_ask(rig, fd, "{\"command\":\"inhibit\",\"reasons\":[\"x\"]}", "no reason \\\"x\\\"");
	rig_ask(rig, fd, "{\"command\":\"watch\",\"events\":[\"y\"]}", "no event \\\"y\\\"");
	rig_ask(rig, fd, "{\"command\":\"pause\",\"timeout_ms\":600001}", "at most 600000");
	/* A name of many bytes per character, cut off in the middle of one. */
	rig_ask(rig, fd,
		"{\"command\":\"x\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
		"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
		"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
		"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\"}",
		"\"code\":\"unknown_command\"");
	rig_ask(rig, fd, "{\"command\":\"flush\"}", "\"ok\":true");
	close(fd);
}

static void test_bytes_one_by_one(void **state)
{
	static const char request[] = "{\"id\":5,\"command\":\"flush\"}\r\n";
	struct rig *rig = *state;
	int fd = rig_client(rig);
	size_t i;

	for (i = 0; i < sizeof(request) - 1; i++) {
		rig_send_bytes(rig, fd, request + i, 1);
		rig_turn(rig, 1);
	}
	rig_expect(rig, fd, "\"id\":5,\"ok\":true");
	/* Blank lines are nothing. */
	rig_send(rig, fd, "\n\r\n\n");
	rig_ask(rig, fd, "{\"id\":6,\"command\":\"flush\"}", "\"id\":6,\"ok\":true");
	close(fd);
}

/* A request of len bytes with its newline, padded by spaces. */
static char *padded(size_t len)
{
	static const char request[] = "{\"id\":1,\"command\":\"flush\"}";
	char *line = malloc(len);

	memset(line, ' ', len);
	memcpy(line, request, sizeof(request) - 1);
	line[len - 1] = '\n';
	return line;
}

static void test_longest_line_is_taken_and_one_more_refused(void **state)
{
	struct rig *rig = *state;
	int fd = rig_client(rig);
	char *line = padded(AERO_CONTROL_LINE_MAX);

	rig_send_bytes(rig, fd, line, AERO_CONTROL_LINE_MAX);
	rig_expect(rig, fd, "\"ok\":true");
	free(line);
	line = padded(AERO_CONTROL_LINE_MAX + 1);
	rig_send_bytes(rig, fd, line, AERO_CONTROL_LINE_MAX + 1);
	rig_expect(rig, fd, "\"code\":\"line_too_long\"");
	free(line);
	assert_non_null(strstr(rig->lines, "more than 65536 bytes"));
	rig_ask(rig, fd, "{\"id\":2,\"command\":\"flush\"}", "\"id\":2,\"ok\":true");
	close(fd);
}

/* One complaint for a line of megabytes, and none of it is kept. */
static void test_endless_line_is_skipped(void **state)
{
	struct rig *rig = *state;
	int fd = rig_client(rig);
	static char junk[1 << 20];
	int i;

	memset(junk, '[', sizeof(junk));
	for (i = 0; i < 4; i++)
		rig_send_bytes(rig, fd, junk, sizeof(junk));
	rig_send(rig, fd, "\n{\"id\":3,\"command\":\"flush\"}\n");
	rig_expect(rig, fd, "\"code\":\"line_too_long\"");
	rig_expect(rig, fd, "\"id\":3,\"ok\":true");
	close(fd);
}

static void test_client_that_leaves_in_the_middle(void **state)
{
	static const char *const parts[] = { "",
					     "{",
					     "{\"command\":\"sta",
					     "{\"command\":\"status\"}",
					     "{\"command\":\"status\"}\n{\"comm",
					     "{\"command\":\"pause\"}\n",
					     "{\"command\":\"watch\"}\n" };
	struct rig *rig = *state;
	size_t i;
	int fd;

	for (i = 0; i < TEST_ARRAY_SIZE(parts); i++) {
		fd = rig_client(rig);
		rig_turn(rig, 2);
		rig_send(rig, fd, parts[i]);
		close(fd);
		rig_turn(rig, 5);
	}
	/* All slots are free again. */
	for (i = 0; i < AERO_CONTROL_CLIENTS_MAX; i++)
		assert_null(rig->control.clients[i]);
	fd = rig_client(rig);
	rig_ask(rig, fd, "{\"command\":\"resume\"}", "\"ok\":true");
	close(fd);
}

/* printf | nc: the client has said all it will say, and still wants its answers. */
static void test_half_closed_client_gets_its_answers(void **state)
{
	struct rig *rig = *state;
	static const char requests[] = "{\"id\":1,\"command\":\"pause\"}\n"
				       "{\"id\":2,\"command\":\"flush\"}\n";
	int fd = rig_client(rig);

	assert_int_equal(send(fd, requests, sizeof(requests) - 1, 0), sizeof(requests) - 1);
	shutdown(fd, SHUT_WR);
	rig_turn_without_device(rig, 10);
	rig_expect(rig, fd, "\"id\":2,\"ok\":true");
	aero_balloon_service_wake(&rig->service);
	rig_expect(rig, fd, "\"id\":1,\"ok\":true");
	assert_string_equal(rig_line(rig, fd), "");
	close(fd);
}

/* Many ---------------------------------------------------------------------------------------- */

static void test_many_clients_and_one_too_many(void **state)
{
	struct rig *rig = *state;
	int fds[AERO_CONTROL_CLIENTS_MAX];
	unsigned int i;
	int extra;

	for (i = 0; i < AERO_CONTROL_CLIENTS_MAX; i++) {
		fds[i] = rig_client(rig);
		rig_ask(rig, fds[i], "{\"command\":\"flush\"}", "\"ok\":true");
	}
	extra = rig_client(rig);
	rig_expect(rig, extra, "\"code\":\"too_many_clients\"");
	assert_string_equal(rig_line(rig, extra), "");
	close(extra);
	assert_non_null(strstr(rig->lines, "client 17 refused"));
	for (i = 0; i < AERO_CONTROL_CLIENTS_MAX; i++)
		rig_ask(rig, fds[i], "{\"command\":\"flush\"}", "\"ok\":true");
	close(fds[3]);
	rig_turn(rig, 3);
	fds[3] = rig_client(rig);
	rig_ask(rig, fds[3], "{\"command\":\"flush\"}", "\"ok\":true");
	for (i = 0; i < AERO_CONTROL_CLIENTS_MAX; i++)
		close(fds[i]);
}

/* A thousand requests in one piece: all are answered, in order, and others get their turn. */
static void test_pipelined_requests(void **state)
{
	struct rig *rig = *state;
	int busy = rig_client(rig);
	int other = rig_client(rig);
	char request[64];
	char *all = malloc(64000);
	size_t len = 0;
	int i;

	for (i = 0; i < 1000; i++)
		len += (size_t)sprintf(all + len, "{\"id\":%d,\"command\":\"flush\"}\n", i);
	rig_send_bytes(rig, busy, all, len);
	free(all);
	rig_ask(rig, other, "{\"command\":\"flush\"}", "\"ok\":true");
	for (i = 0; i < 1000; i++) {
		snprintf(request, sizeof(request), "{\"id\":%d,\"ok\":true", i);
		rig_expect(rig, busy, request);
	}
	close(busy);
	close(other);
}

/* A turn of the loop looks at 16 requests of a client, however many there are. */
static void test_requests_per_turn_are_bounded(void **state)
{
	struct rig *rig = *state;
	int fd = rig_client(rig);
	char all[64 * (sizeof(FLUSH) - 1)];
	char answers[8192];
	ssize_t got;
	int i;

	rig_turn(rig, 2);
	for (i = 0; i < 64; i++)
		memcpy(all + i * (sizeof(FLUSH) - 1), FLUSH, sizeof(FLUSH) - 1);
	assert_int_equal(send(fd, all, sizeof(all), 0), sizeof(all));
	uv_run(&rig->loop, UV_RUN_NOWAIT);
	got = recv(fd, answers, sizeof(answers) - 1, 0);
	assert_true(got > 0);
	answers[got] = '\0';
	for (i = 0; strchr(answers, '\n'); i++)
		*strchr(answers, '\n') = ' ';
	assert_in_range(i, 16, 32);
	close(fd);
}

/* A client that asks and never reads is dropped, and the process does not grow with it. */
static void test_client_that_does_not_read_is_dropped(void **state)
{
	static const char request[] = "{\"command\":\"status\"}\n";
	struct rig *rig = *state;
	int slow = rig_client(rig);
	int other = rig_client(rig);
	int i = 0;

	while (!strstr(rig->lines, "does not read") && i++ < 20000) {
		if (send(slow, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
			break;
		uv_run(&rig->loop, UV_RUN_NOWAIT);
	}
	assert_non_null(strstr(rig->lines, "client 1 does not read, "));
	rig_ask(rig, other, "{\"command\":\"flush\"}", "\"ok\":true");
	close(slow);
	close(other);
}

/* The same by events, which nobody asked for one by one. */
static void test_watcher_that_does_not_read_is_dropped(void **state)
{
	struct rig *rig = *state;
	int slow = rig_client(rig);
	int other = rig_client(rig);
	char request[64];
	int i;

	rig_ask(rig, slow, "{\"command\":\"watch\"}", "\"ok\":true");
	for (i = 0; i < 20000 && !strstr(rig->lines, "does not read"); i++) {
		snprintf(request, sizeof(request), "{\"command\":\"target\",\"bytes\":%d}",
			 i * 4096);
		rig_ask(rig, other, request, "\"ok\":true");
	}
	assert_non_null(strstr(rig->lines, "client 1 does not read, "));
	close(slow);
	close(other);
}

static void test_answers_awaited_are_bounded(void **state)
{
	struct rig *rig = *state;
	int fd = rig_client(rig);
	int i;

	/* In one piece: the device does not get to drain in between. */
	for (i = 0; i < AERO_CONTROL_WAITS_MAX + 1; i++)
		assert_int_equal(send(fd, "{\"command\":\"pause\"}\n", 20, 0), 20);
	rig_expect(rig, fd, "\"code\":\"too_many_waits\"");
	for (i = 0; i < AERO_CONTROL_WAITS_MAX; i++)
		rig_expect(rig, fd, "\"is_drained\":true");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_is_the_owners_whatever_the_umask),
		cmocka_unit_test(test_dead_socket_is_replaced),
		CASE(test_live_socket_is_refused_and_lives),
		cmocka_unit_test(test_other_files_are_refused_and_kept),
		cmocka_unit_test(test_paths_that_cannot_be),
		cmocka_unit_test(test_file_goes_with_us_and_not_with_others),
		cmocka_unit_test(test_of_those_that_start_at_once_one_gets_the_path),
		cmocka_unit_test(test_locked_directory_holds_nobody_up),
		CASE(test_answers_repeat_the_id),
		CASE(test_errors_name_what_is_wrong),
		CASE(test_bytes_one_by_one),
		CASE(test_longest_line_is_taken_and_one_more_refused),
		CASE(test_endless_line_is_skipped),
		CASE(test_client_that_leaves_in_the_middle),
		CASE(test_half_closed_client_gets_its_answers),
		CASE(test_many_clients_and_one_too_many),
		CASE(test_pipelined_requests),
		CASE(test_requests_per_turn_are_bounded),
		CASE(test_client_that_does_not_read_is_dropped),
		CASE(test_watcher_that_does_not_read_is_dropped),
		CASE(test_answers_awaited_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
