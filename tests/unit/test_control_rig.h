/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_UNIT_TEST_CONTROL_RIG_H
#define AEROSTAT_TESTS_UNIT_TEST_CONTROL_RIG_H

/*
 * A balloon service without a front end and its control socket, in a folder and a loop of their
 * own; clients are plain sockets. Everything runs in the test's thread: turn() lets the loop work.
 */

#include "support/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "hosted/control_virtio.h"

#define RIG_PATIENCE_MS 5000

struct rig {
	char dir[64];
	char socket_path[96];
	char control_path[96];
	uv_loop_t loop;
	struct aero_balloon_service service;
	struct aero_control control;
	const struct aero_control_ops *ops; /* what is controlled: the service unless changed */
	void *balloon;
	bool has_control;
	unsigned int closed;
	char lines[8192]; /* the log */
	int fds_before;
};

static inline int rig_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static inline void rig_log(void *ctx, const char *line)
{
	struct rig *rig = ctx;
	size_t used = strlen(rig->lines);

	snprintf(rig->lines + used, sizeof(rig->lines) - used, "%s\n", line);
}

static inline void rig_event(void *ctx, const struct aero_balloon_service_event *event)
{
	struct rig *rig = ctx;

	if (rig->has_control && rig->ops == &aero_control_virtio_ops)
		aero_control_virtio_event(&rig->control, event);
}

static inline void rig_closed(void *ctx)
{
	struct rig *rig = ctx;

	rig->closed++;
}

static inline enum aero_status rig_start_control(struct rig *rig, struct aero_error *error)
{
	struct aero_control_config config = {
		.path = rig->control_path,
		.ops = rig->ops,
		.balloon = rig->balloon,
		.log = rig_log,
		.ctx = rig,
	};
	enum aero_status status = aero_control_start(&rig->control, &rig->loop, &config, error);

	rig->has_control = status == AERO_OK;
	return status;
}

/* With a service, and no control socket yet. */
static inline struct rig *rig_new(void)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct aero_balloon_service_config config = {
		.offered = aero_virtio_balloon_host_features(),
		.event = rig_event,
		.log = rig_log,
		.ctx = rig,
	};

	rig->ops = &aero_control_virtio_ops;
	rig->balloon = &rig->service;
	signal(SIGPIPE, SIG_IGN);
	/* libuv keeps descriptors for the process from its first loop on. */
	assert_int_equal(uv_loop_init(&rig->loop), 0);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	rig->fds_before = rig_count_fds();
	strcpy(rig->dir, "/tmp/aerostat-control-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	snprintf(rig->socket_path, sizeof(rig->socket_path), "%s/device", rig->dir);
	snprintf(rig->control_path, sizeof(rig->control_path), "%s/control", rig->dir);
	config.socket_path = rig->socket_path;
	assert_int_equal(uv_loop_init(&rig->loop), 0);
	assert_int_equal(aero_balloon_service_start(&rig->service, &rig->loop, &config), AERO_OK);
	return rig;
}

static inline int rig_setup(void **state)
{
	struct rig *rig = rig_new();
	struct aero_error error;

	if (rig_start_control(rig, &error) != AERO_OK)
		fail_msg("%s", error.text);
	*state = rig;
	return 0;
}

/* Ends everything; nothing may be left: no file, no handle, no descriptor. */
static inline int rig_teardown(void **state)
{
	struct rig *rig = *state;
	unsigned int parts = rig->has_control ? 2 : 1;

	if (rig->has_control)
		aero_control_close(&rig->control, rig_closed, rig);
	aero_balloon_service_close(&rig->service, rig_closed, rig);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(rig->closed, parts);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	assert_int_equal(rmdir(rig->dir), 0);
	assert_int_equal(rig_count_fds(), rig->fds_before);
	free(rig);
	return 0;
}

static inline void rig_turn(struct rig *rig, int times)
{
	while (times--) {
		uv_run(&rig->loop, UV_RUN_NOWAIT);
		usleep(200);
	}
}

/* As turn(), with a device that does not get to work: what waits for it waits. */
static inline void rig_turn_without_device(struct rig *rig, int times)
{
	while (times--) {
		rig_turn(rig, 1);
		uv_idle_stop(&rig->service.idle);
	}
}

static inline int rig_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path);
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

static inline int rig_client(struct rig *rig)
{
	int fd = rig_connect(rig->control_path);

	assert_true(fd >= 0);
	return fd;
}

/* Sends all of it, with the loop running where the socket is full. */
static inline void rig_send_bytes(struct rig *rig, int fd, const char *bytes, size_t len)
{
	uint64_t deadline = uv_hrtime() + RIG_PATIENCE_MS * 1000000ull;

	while (len) {
		ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);

		if (sent < 0)
			assert_int_equal(errno, EAGAIN);
		bytes += sent > 0 ? sent : 0;
		len -= sent > 0 ? (size_t)sent : 0;
		uv_run(&rig->loop, UV_RUN_NOWAIT);
		assert_true(uv_hrtime() < deadline);
	}
}

static inline void rig_send(struct rig *rig, int fd, const char *text)
{
	rig_send_bytes(rig, fd, text, strlen(text));
}

/* One line, or "" where the server closed the connection. Static storage. */
static inline const char *rig_line(struct rig *rig, int fd)
{
	uint64_t deadline = uv_hrtime() + RIG_PATIENCE_MS * 1000000ull;
	static char line[65536];
	size_t len = 0;

	while (len < sizeof(line) - 1) {
		ssize_t got = recv(fd, line + len, 1, 0);

		if (got == 1 && line[len] == '\n')
			break;
		if (got == 0 || (got < 0 && errno == ECONNRESET))
			assert_int_equal(len, 0);
		if (got == 0 || (got < 0 && errno == ECONNRESET))
			break;
		len += got > 0;
		if (got < 0)
			uv_run(&rig->loop, UV_RUN_NOWAIT);
		if (uv_hrtime() > deadline)
			fail_msg("no line came");
	}
	line[len] = '\0';
	return line;
}

/* Fails the test unless the next line has all of a text in it. */
static inline void rig_expect(struct rig *rig, int fd, const char *part)
{
	const char *line = rig_line(rig, fd);

	if (!strstr(line, part))
		fail_msg("\"%s\" is not in: %s", part, line);
}

static inline void rig_ask(struct rig *rig, int fd, const char *request, const char *part)
{
	rig_send(rig, fd, request);
	rig_send(rig, fd, "\n");
	rig_expect(rig, fd, part);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

#endif
