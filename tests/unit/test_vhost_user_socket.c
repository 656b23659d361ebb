/* SPDX-License-Identifier: MIT */
#include "test_vhost_user_rig.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "hosted/vhost_user_socket.h"

/* The libuv layer, with a front end that is a plain socket of the same process. */

struct server {
	struct rig rig; /* its engine is not used, its device and log are */
	struct aero_vhost_user_socket socket;
	struct aero_vhost_user_conn *conn;
	uv_loop_t loop;
	uv_timer_t alarm;
	char dir[64];
	char path[96];
	int connects;
	int disconnects;
	bool is_closed;
	bool is_open;
};

static void on_connected(void *ctx, struct aero_vhost_user_conn *conn)
{
	struct server *server = ctx;

	server->conn = conn;
	server->connects++;
}

static void on_disconnected(void *ctx)
{
	struct server *server = ctx;

	server->conn = NULL;
	server->disconnects++;
}

static void on_log(void *ctx, const char *line)
{
	rig_log(&((struct server *)ctx)->rig, line);
}

static void on_closed(void *ctx)
{
	((struct server *)ctx)->is_closed = true;
}

static enum aero_status listen_at(struct server *server, struct aero_vhost_user_socket *socket,
				  const char *path)
{
	struct aero_vhost_user_socket_config config = {
		.path = path,
		.device = {
			.ops = &server->rig.ops,
			.ctx = &server->rig,
			.ring_count = 5,
			.memory_slots = 32,
		},
		.connected = on_connected,
		.disconnected = on_disconnected,
		.log = on_log,
		.ctx = server,
	};

	return aero_vhost_user_socket_listen(socket, &server->loop, &config);
}

static int server_setup(void **state)
{
	struct server *server = calloc(1, sizeof(*server));

	if (!server)
		return -1;
	rig_open(&server->rig);
	assert_int_equal(uv_loop_init(&server->loop), 0);
	uv_timer_init(&server->loop, &server->alarm);
	strcpy(server->dir, "/tmp/aero-test-XXXXXX");
	assert_non_null(mkdtemp(server->dir));
	snprintf(server->path, sizeof(server->path), "%s/s", server->dir);
	assert_int_equal(listen_at(server, &server->socket, server->path), AERO_OK);
	server->is_open = true;
	*state = server;
	return 0;
}

static void close_server(struct server *server)
{
	if (!server->is_open)
		return;
	aero_vhost_user_socket_close(&server->socket, on_closed, server);
	server->is_open = false;
	for (int i = 0; i < 100 && !server->is_closed; i++)
		uv_run(&server->loop, UV_RUN_NOWAIT);
	assert_true(server->is_closed);
	assert_int_equal(server->connects, server->disconnects);
}

/* Nothing is left: no handle, no descriptor, no file. */
static int server_teardown(void **state)
{
	struct server *server = *state;

	close_server(server);
	uv_close((uv_handle_t *)&server->alarm, NULL);
	uv_run(&server->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&server->loop), 0);
	assert_int_equal(access(server->path, F_OK), -1);
	assert_int_equal(rmdir(server->dir), 0);
	rig_close(&server->rig);
	free(server);
	return 0;
}

static void on_alarm(uv_timer_t *timer)
{
	(void)timer;
}

/* Lets the loop work for a while. Answers how often it woke up; a repeating alarm is one reason. */
static unsigned int run_every(struct server *server, uint64_t ms, uint64_t alarm_ms)
{
	uint64_t end = uv_hrtime() + ms * 1000000;
	unsigned int count = 0;

	uv_timer_start(&server->alarm, on_alarm, alarm_ms, alarm_ms);
	for (; uv_hrtime() < end; count++)
		uv_run(&server->loop, UV_RUN_ONCE);
	uv_timer_stop(&server->alarm);
	return count;
}

static void run(struct server *server, uint64_t ms)
{
	(void)run_every(server, ms, 1);
}

/* Runs until text is in the log. */
static void run_until_logged(struct server *server, const char *text)
{
	for (int i = 0; i < 3000 && !strstr(server->rig.lines, text); i++)
		run(server, 1);
	if (!strstr(server->rig.lines, text))
		fail_msg("'%s' is not in '%s'", text, server->rig.lines);
}

static int try_connect(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	strcpy(addr.sun_path, path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		return -1;
	}
	return fd;
}

static int connect_front_end(struct server *server)
{
	int fd = try_connect(server->path);

	assert_true(fd >= 0);
	for (int i = 0; i < 1000 && !server->conn; i++)
		run(server, 1);
	assert_non_null(server->conn);
	return fd;
}

/* Sends bytes with count copies of one descriptor. */
static void send_with(int fd, struct bytes b, int copy, size_t count)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(int) * 32)];
	} control = { .bytes = { 0 } };
	struct iovec iov = { b.at, b.len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (count) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * count);
		for (size_t i = 0; i < count; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &copy, sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), b.len);
}

static void say(int fd, struct bytes b)
{
	send_with(fd, b, -1, 0);
}

static void expect_reply(struct server *server, int fd, struct bytes want)
{
	uint8_t got[512];
	ssize_t n = -1;

	for (int i = 0; i < 3000 && n < 0; i++) {
		run(server, 1);
		n = recv(fd, got, want.len, 0);
	}
	assert_int_equal(n, want.len);
	assert_memory_equal(got, want.at, want.len);
}

/* The same reply, count times. */
static void expect_stream(struct server *server, int fd, struct bytes want, long count)
{
	size_t total = want.len * (size_t)count;
	size_t got = 0;

	for (int idle = 0; got < total && idle < 3000;) {
		uint8_t buf[4096];
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(buf[i], want.at[(got + (size_t)i) % want.len]);
		got += n > 0 ? (size_t)n : 0;
		if (n < 0) {
			run(server, 1);
			idle++;
		}
	}
	assert_int_equal(got, total);
}

/* The server closed the connection. */
static void expect_end(struct server *server, int fd)
{
	uint8_t byte;
	ssize_t n = -1;

	for (int i = 0; i < 3000 && n < 0; i++) {
		run(server, 1);
		n = recv(fd, &byte, 1, 0);
		if (n < 0 && errno == ECONNRESET)
			n = 0;
	}
	assert_int_equal(n, 0);
}

/* A front end is served from the beginning to its end. */
static void expect_service(struct server *server)
{
	int fd = connect_front_end(server);

	say(fd, head(17, 1, 0));
	expect_reply(server, fd, with_u64(17, 5, 5));
	close(fd);
	for (int i = 0; i < 1000 && server->conn; i++)
		run(server, 1);
	assert_null(server->conn);
}

/* Listening ----------------------------------------------------------------------------------- */

static void test_socket_file_is_private(void **state)
{
	struct server *server = *state;
	struct stat stat;

	assert_int_equal(lstat(server->path, &stat), 0);
	assert_true(S_ISSOCK(stat.st_mode));
	assert_int_equal(stat.st_mode & 07777, 0600);
}

static void test_listen_live_socket_refused(void **state)
{
	struct server *server = *state;
	struct aero_vhost_user_socket second;

	assert_int_equal(listen_at(server, &second, server->path), AERO_EREFUSED);
	assert_non_null(strstr(server->rig.lines, "is in use by another process"));
	expect_service(server);
}

static void test_listen_dead_socket_replaced(void **state)
{
	struct server *server = *state;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	close_server(server);
	server->is_closed = false;
	strcpy(addr.sun_path, server->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	assert_int_equal(access(server->path, F_OK), 0);
	assert_int_equal(listen_at(server, &server->socket, server->path), AERO_OK);
	server->is_open = true;
	expect_service(server);
}

static void test_listen_other_file_left_alone(void **state)
{
	struct server *server = *state;
	struct aero_vhost_user_socket second;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/file", server->dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(listen_at(server, &second, path), AERO_EREFUSED);
	assert_non_null(strstr(server->rig.lines, "is not a socket"));
	assert_int_equal(access(path, F_OK), 0);
	close(fd);
	unlink(path);
}

static void test_listen_bad_path_refused(void **state)
{
	struct server *server = *state;
	struct aero_vhost_user_socket second;
	char path[200];

	memset(path, 'x', sizeof(path));
	path[108] = '\0';
	path[0] = '/';
	assert_int_equal(listen_at(server, &second, path), AERO_EINVAL);
	assert_int_equal(listen_at(server, &second, ""), AERO_EINVAL);
	assert_int_equal(listen_at(server, &second, "/nowhere/at/all"), AERO_EIO);
	assert_non_null(strstr(server->rig.lines, "/nowhere/at/all: bind: No such file"));
}

static void test_close_leaves_anothers_socket_file(void **state)
{
	struct server *server = *state;
	int fd;

	unlink(server->path);
	fd = open(server->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close_server(server);
	assert_int_equal(access(server->path, F_OK), 0);
	close(fd);
	unlink(server->path);
}

/* One front end after another ----------------------------------------------------------------- */

static void test_front_ends_one_after_another(void **state)
{
	struct server *server = *state;

	for (int i = 0; i < 5; i++)
		expect_service(server);
	assert_int_equal(server->connects, 5);
	assert_int_equal(server->disconnects, 5);
}

static void test_second_front_end_waits_and_is_served(void **state)
{
	struct server *server = *state;
	int first = connect_front_end(server);
	int second = try_connect(server->path);

	assert_true(second >= 0);
	say(second, head(17, 1, 0));
	run_until_logged(server, "another front end waits until the present one leaves");
	say(first, head(15, 1, 0));
	expect_reply(server, first, with_u64(15, 5, ALL_PROTOCOL_FEATURES));
	assert_int_equal(server->connects, 1);
	close(first);
	expect_reply(server, second, with_u64(17, 5, 5));
	assert_int_equal(server->connects, 2);
	close(second);
	run_until_logged(server, "disconnected");
}

static void test_waiting_front_end_does_not_spin(void **state)
{
	struct server *server = *state;
	int first = connect_front_end(server);
	int second = try_connect(server->path);

	run_until_logged(server, "another front end waits");
	assert_in_range(run_every(server, 200, 10), 1, 60);
	close(first);
	close(second);
	run(server, 50);
}

static void test_front_end_vanishing_mid_message(void **state)
{
	struct server *server = *state;
	struct bytes b = with_table(1, 4);
	int fd = connect_front_end(server);
	int memory = new_fd();

	b.len = 40;
	send_with(fd, b, memory, 4);
	run(server, 20);
	close(fd);
	close(memory);
	run_until_logged(server, "front end disconnected within a message");
	assert_string_equal(server->rig.calls, "");
	expect_service(server);
}

static void test_rings_stop_when_front_end_vanishes(void **state)
{
	struct server *server = *state;
	int fd = connect_front_end(server);
	int event = new_fd();

	send_with(fd, with_table(1, 1), event, 1);
	say(fd, with_state(8, 1, 0, 128));
	say(fd, with_addr(0, 0, 0x1000, 0x3000, 0x2000));
	send_with(fd, with_u64(12, 1, 0), event, 1);
	run(server, 30);
	assert_non_null(strstr(server->rig.calls, "start 0 "));
	close(fd);
	close(event);
	run_until_logged(server, "disconnected");
	assert_non_null(strstr(server->rig.calls, "stop 0\n"));
}

/* What goes over the wire --------------------------------------------------------------------- */

static void test_messages_sent_together_keep_their_descriptors(void **state)
{
	struct server *server = *state;
	int fd = connect_front_end(server);
	int event = new_fd();

	/* All in the socket before the server looks: a plain read would join them. */
	say(fd, with_u64(16, 1, ALL_PROTOCOL_FEATURES));
	say(fd, with_u64(2, 1, 0x100000001 | 1ull << 30));
	send_with(fd, with_table(FLAG_ACK, 2), event, 2);
	say(fd, with_state(8, 1, 0, 128));
	send_with(fd, with_u64(13, 1, 0), event, 1);
	send_with(fd, with_region(37, FLAG_ACK), event, 1);
	expect_reply(server, fd, with_u64(5, 5, 0));
	expect_reply(server, fd, with_u64(37, 5, 0));
	assert_null(strstr(server->rig.lines, "closed"));
	assert_null(strstr(server->rig.calls, "closed"));
	close(fd);
	close(event);
	run_until_logged(server, "disconnected");
}

static void test_message_byte_by_byte(void **state)
{
	struct server *server = *state;
	struct bytes b = with_u64(2, 1, 3);
	int fd = connect_front_end(server);

	for (size_t i = 0; i < b.len; i++) {
		assert_int_equal(send(fd, b.at + i, 1, MSG_NOSIGNAL), 1);
		run(server, 1);
	}
	run(server, 10);
	assert_string_equal(server->rig.calls, "set_features 0x3\n");
	close(fd);
	run_until_logged(server, "disconnected");
}

static void test_too_many_descriptors_end_connection(void **state)
{
	static const size_t counts[] = { 9, 10, 32 };
	struct server *server = *state;
	int event = new_fd();

	for (size_t i = 0; i < TEST_ARRAY_SIZE(counts); i++) {
		int fd = connect_front_end(server);
		int before = rig_count_fds();

		server->rig.lines[0] = '\0';
		send_with(fd, head(1, 1, 0), event, counts[i]);
		expect_end(server, fd);
		assert_non_null(strstr(server->rig.lines, "more than 8 descriptors"));
		assert_true(rig_count_fds() < before);
		close(fd);
		run(server, 30);
	}
	close(event);
	expect_service(server);
}

static void test_violation_ends_connection_not_server(void **state)
{
	struct server *server = *state;
	int fd = connect_front_end(server);

	say(fd, head(77, 1, 0));
	expect_end(server, fd);
	assert_non_null(strstr(server->rig.lines, "message 77: unknown request"));
	close(fd);
	expect_service(server);
}

static void test_garbage_never_ends_server(void **state)
{
	struct server *server = *state;
	uint32_t seed = 12345;

	for (int round = 0; round < 50; round++) {
		struct bytes b = { .len = 600 };
		int fd = connect_front_end(server);

		for (size_t i = 0; i < b.len; i++) {
			seed = seed * 1103515245 + 12345;
			b.at[i] = (uint8_t)(seed >> 16);
		}
		say(fd, b);
		expect_end(server, fd);
		close(fd);
	}
	expect_service(server);
}

/* A front end that asks and never reads must not be read from any more, nor block the loop. */
static void test_reader_that_never_reads_blocks_nothing(void **state)
{
	struct server *server = *state;
	struct bytes b = head(1, 1, 0);
	int fd = connect_front_end(server);
	long sent = 0;
	int idle = 0;

	while (idle < 20 && sent < 100000000) {
		ssize_t n = send(fd, b.at, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			run(server, 2);
			idle++;
			continue;
		}
		assert_int_equal(n, b.len);
		sent += n;
		idle = 0;
	}
	assert_int_equal(idle, 20);
	assert_true(server->socket.out_len > 0);
	/* It reads at last: everything that was asked is answered. */
	expect_stream(server, fd, with_u64(1, 5, 0x53000003f | 1ull << 30), sent / 12);
	close(fd);
	run_until_logged(server, "disconnected");
}

static void test_reader_that_never_reads_and_shuts_down_is_dropped(void **state)
{
	struct server *server = *state;
	struct bytes b = head(1, 1, 0);
	int fd = connect_front_end(server);

	for (int idle = 0; idle < 20;) {
		if (send(fd, b.at, b.len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			continue;
		run(server, 2);
		idle++;
	}
	assert_in_range(run_every(server, 100, 10), 1, 60);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	for (int i = 0; i < 1000 && server->conn; i++)
		run(server, 1);
	assert_null(server->conn);
	close(fd);
	expect_service(server);
}

/* The back-end channel ------------------------------------------------------------------------ */

static void test_channel_is_watched(void **state)
{
	struct server *server = *state;
	int fd = connect_front_end(server);
	struct bytes want = head(2, 1, 0);
	uint8_t got[64];
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	say(fd, with_u64(16, 1, ALL_PROTOCOL_FEATURES));
	send_with(fd, head(21, FLAG_ACK, 0), pair[0], 1);
	expect_reply(server, fd, with_u64(21, 5, 0));
	close(pair[0]);
	assert_int_equal(aero_vhost_user_config_changed(server->conn), AERO_OK);
	assert_int_equal(recv(pair[1], got, sizeof(got), MSG_DONTWAIT), 12);
	assert_memory_equal(got, want.at, 12);
	close(pair[1]);
	run_until_logged(server, "back-end channel: the front end closed it");
	say(fd, head(17, 1, 0));
	expect_reply(server, fd, with_u64(17, 5, 5));
	close(fd);
	run_until_logged(server, "front end disconnected");
}

static void test_channel_full_is_emptied_by_the_loop(void **state)
{
	struct server *server = *state;
	int fd = connect_front_end(server);
	long got = 0;
	long sent = 0;
	uint8_t buf[4096];
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	say(fd, with_u64(16, 1, ALL_PROTOCOL_FEATURES));
	send_with(fd, head(21, FLAG_ACK, 0), pair[0], 1);
	expect_reply(server, fd, with_u64(21, 5, 0));
	close(pair[0]);
	for (; !server->conn->channel.is_write_wanted && sent < 1000000; sent++)
		assert_int_equal(aero_vhost_user_config_changed(server->conn), AERO_OK);
	assert_true(server->conn->channel.is_write_wanted);
	for (int i = 0; i < 1000 && got < sent * 12; i++) {
		ssize_t n = recv(pair[1], buf, sizeof(buf), MSG_DONTWAIT);

		got += n > 0 ? n : 0;
		if (n < 0)
			run(server, 1);
	}
	assert_int_equal(got, sent * 12);
	assert_false(server->conn->channel.is_write_wanted);
	close(pair[1]);
	close(fd);
	run_until_logged(server, "front end disconnected");
}

static void test_close_with_front_end_disconnects_it(void **state)
{
	struct server *server = *state;
	int fd = connect_front_end(server);

	close_server(server);
	assert_int_equal(server->disconnects, 1);
	assert_int_equal(recv(fd, (uint8_t[1]){ 0 }, 1, 0), 0);
	close(fd);
}

#undef CASE
#define CASE(name) cmocka_unit_test_setup_teardown(name, server_setup, server_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_socket_file_is_private),
		CASE(test_listen_live_socket_refused),
		CASE(test_listen_dead_socket_replaced),
		CASE(test_listen_other_file_left_alone),
		CASE(test_listen_bad_path_refused),
		CASE(test_close_leaves_anothers_socket_file),
		CASE(test_front_ends_one_after_another),
		CASE(test_second_front_end_waits_and_is_served),
		CASE(test_waiting_front_end_does_not_spin),
		CASE(test_front_end_vanishing_mid_message),
		CASE(test_rings_stop_when_front_end_vanishes),
		CASE(test_messages_sent_together_keep_their_descriptors),
		CASE(test_message_byte_by_byte),
		CASE(test_too_many_descriptors_end_connection),
		CASE(test_violation_ends_connection_not_server),
		CASE(test_garbage_never_ends_server),
		CASE(test_reader_that_never_reads_blocks_nothing),
		CASE(test_reader_that_never_reads_and_shuts_down_is_dropped),
		CASE(test_channel_is_watched),
		CASE(test_channel_full_is_emptied_by_the_loop),
		CASE(test_close_with_front_end_disconnects_it),
	};

	uv_loop_t loop;

	/* libuv keeps some descriptors of its own from its first loop on. */
	uv_loop_init(&loop);
	uv_loop_close(&loop);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
