/* SPDX-License-Identifier: MIT */
#include "hosted/vhost_user_socket.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Messages read before other handles of the loop get their turn. */
#define MESSAGES_PER_TURN 64

/* Between one front end and the next, so that one that comes and goes cannot keep us busy. */
#define PAUSE_MS 10

/* After accept() failed for lack of descriptors or memory. */
#define PAUSE_LONG_MS 200

__attribute__((format(printf, 2, 3))) static void say(struct aero_vhost_user_socket *socket,
						      const char *format, ...)
{
	char text[224];
	char line[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(line, sizeof(line), "vhost-user: %s", text);
	socket->config.log(socket->config.ctx, line);
}

/* Handles ------------------------------------------------------------------------------------- */

static void handle_closed(struct aero_vhost_user_socket *socket)
{
	if (--socket->open_handles == 0 && socket->is_closing)
		socket->closed(socket->closed_ctx);
}

static void on_handle_closed(uv_handle_t *handle)
{
	handle_closed(handle->data);
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct aero_vhost_user_socket *socket = handle->data;

	free(handle);
	handle_closed(socket);
}

/* Answers NULL where the descriptor cannot be watched. */
static uv_poll_t *new_poll(struct aero_vhost_user_socket *socket, int fd)
{
	uv_poll_t *poll = malloc(sizeof(*poll));

	if (!poll)
		return NULL;
	if (uv_poll_init(socket->loop, poll, fd)) {
		free(poll);
		return NULL;
	}
	poll->data = socket;
	socket->open_handles++;
	return poll;
}

static void drop_poll(uv_poll_t **poll)
{
	if (*poll)
		uv_close((uv_handle_t *)*poll, on_poll_closed);
	*poll = NULL;
}

/* The front end ------------------------------------------------------------------------------- */

static void watch_peer(struct aero_vhost_user_socket *socket);
static void watch_listener(struct aero_vhost_user_socket *socket);

static void on_pause_over(uv_timer_t *timer)
{
	watch_listener(timer->data);
}

static void disconnect(struct aero_vhost_user_socket *socket)
{
	aero_vhost_user_fini(&socket->conn);
	drop_poll(&socket->channel);
	drop_poll(&socket->peer);
	close(socket->peer_fd);
	socket->peer_fd = -1;
	socket->out_len = 0;
	socket->out_at = 0;
	socket->config.disconnected(socket->config.ctx);
	uv_poll_stop(&socket->listener);
	if (!socket->is_closing)
		uv_timer_start(&socket->pause, on_pause_over, PAUSE_MS, 0);
}

/* Answers false where the front end is gone. */
static bool flush(struct aero_vhost_user_socket *socket)
{
	while (socket->out_at < socket->out_len) {
		ssize_t n = send(socket->peer_fd, socket->out + socket->out_at,
				 socket->out_len - socket->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0) {
			say(socket, "front end: %s; connection closed", strerror(errno));
			return false;
		}
		socket->out_at += (size_t)n;
	}
	socket->out_len = 0;
	socket->out_at = 0;
	return true;
}

/* A message has one reply, and the next is not read before that is out. */
static enum aero_status send_reply(void *ctx, const void *bytes, size_t len)
{
	struct aero_vhost_user_socket *socket = ctx;

	if (len > sizeof(socket->out) - socket->out_len)
		return AERO_EBUG;
	memcpy(socket->out + socket->out_len, bytes, len);
	socket->out_len += len;
	return flush(socket) ? AERO_OK : AERO_EGONE;
}

struct received {
	uint8_t bytes[AERO_VHOST_USER_MESSAGE_MAX];
	ssize_t len; /* 0: end; -1: errno */
	int fds[AERO_VHOST_USER_FDS_MAX];
	unsigned int fd_count;
	bool is_cut; /* more descriptors than there is room for */
};

static void collect(const struct cmsghdr *c, struct received *out)
{
	size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		if (out->fd_count < AERO_VHOST_USER_FDS_MAX) {
			out->fds[out->fd_count++] = fd;
		} else {
			close(fd);
			out->is_cut = true;
		}
	}
}

static void collect_fds(struct msghdr *msg, struct received *out)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			collect(c, out);
	}
	out->is_cut = out->is_cut || msg->msg_flags & MSG_CTRUNC;
}

static void receive(int fd, size_t wanted, struct received *out)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(int) * AERO_VHOST_USER_FDS_MAX)];
	} control;
	struct iovec iov = { .iov_base = out->bytes, .iov_len = wanted };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};

	out->fd_count = 0;
	out->is_cut = false;
	out->len = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (out->len >= 0)
		collect_fds(&msg, out);
}

/* What one read brought. Answers false where the connection has to end. */
static bool take(struct aero_vhost_user_socket *socket, const struct received *got)
{
	enum aero_status status;

	if (got->len == 0) {
		bool is_mid = socket->conn.have > 0;

		say(socket, "front end disconnected%s", is_mid ? " within a message" : "");
		return false;
	}
	if (got->is_cut) {
		for (unsigned int i = 0; i < got->fd_count; i++)
			close(got->fds[i]);
		say(socket,
		    "more than %d descriptors in a message, or no room for them; "
		    "connection closed",
		    AERO_VHOST_USER_FDS_MAX);
		return false;
	}
	socket->is_busy = true;
	status = aero_vhost_user_feed(&socket->conn, got->bytes, (size_t)got->len, got->fds,
				      got->fd_count);
	socket->is_busy = false;
	return status == AERO_OK;
}

/* Answers false where the connection has to end, sets *out_more where there may be more to read. */
static bool read_once(struct aero_vhost_user_socket *socket, bool *out_more)
{
	struct received got;

	*out_more = false;
	receive(socket->peer_fd, aero_vhost_user_wanted(&socket->conn), &got);
	if (got.len < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (got.len < 0) {
		say(socket, "front end: %s; connection closed", strerror(errno));
		return false;
	}
	*out_more = true;
	return take(socket, &got);
}

static void on_peer(uv_poll_t *poll, int status, int events)
{
	struct aero_vhost_user_socket *socket = poll->data;
	bool is_alive = true;
	bool has_more = true;

	if (socket->out_len)
		is_alive = flush(socket);
	/* It takes nothing and will never send anything: nothing is left to wait for. */
	if (socket->out_len && (status || events & UV_DISCONNECT))
		is_alive = false;
	for (int i = 0; i < MESSAGES_PER_TURN && is_alive && has_more && !socket->out_len; i++)
		is_alive = read_once(socket, &has_more);
	if (is_alive)
		watch_peer(socket);
	else
		disconnect(socket);
}

/* While a reply waits for room, nothing is read. */
static void watch_peer(struct aero_vhost_user_socket *socket)
{
	int events = socket->out_len ? UV_WRITABLE : UV_READABLE;

	uv_poll_start(socket->peer, events | UV_DISCONNECT, on_peer);
}

/* The back-end channel ------------------------------------------------------------------------ */

static void on_channel(uv_poll_t *poll, int status, int events)
{
	struct aero_vhost_user_socket *socket = poll->data;

	(void)status;
	(void)events;
	aero_vhost_user_channel_ready(&socket->conn);
}

static void watch_channel(void *ctx, int fd, bool is_write_wanted)
{
	struct aero_vhost_user_socket *socket = ctx;
	int events = UV_READABLE | (is_write_wanted ? UV_WRITABLE : 0);

	if (fd < 0) {
		drop_poll(&socket->channel);
		return;
	}
	if (!socket->channel)
		socket->channel = new_poll(socket, fd);
	if (socket->channel)
		uv_poll_start(socket->channel, events, on_channel);
	else
		say(socket, "back-end channel: cannot be watched");
}

static void forward_log(void *ctx, const char *line)
{
	struct aero_vhost_user_socket *socket = ctx;

	socket->config.log(socket->config.ctx, line);
}

/* Listening ----------------------------------------------------------------------------------- */

static void connect_peer(struct aero_vhost_user_socket *socket, int fd)
{
	const struct aero_vhost_user_io io = {
		.ctx = socket,
		.send = send_reply,
		.watch = watch_channel,
		.log = forward_log,
	};

	socket->peer = new_poll(socket, fd);
	if (!socket->peer) {
		say(socket, "front end cannot be watched; connection closed");
		close(fd);
		uv_poll_stop(&socket->listener);
		uv_timer_start(&socket->pause, on_pause_over, PAUSE_LONG_MS, 0);
		return;
	}
	socket->peer_fd = fd;
	aero_vhost_user_init(&socket->conn, &socket->config.device, &io);
	say(socket, "front end connected");
	socket->config.connected(socket->config.ctx, &socket->conn);
	watch_peer(socket);
}

static void on_listener(uv_poll_t *poll, int status, int events)
{
	struct aero_vhost_user_socket *socket = poll->data;
	int fd;

	(void)status;
	(void)events;
	if (socket->peer_fd >= 0) {
		say(socket, "another front end waits until the present one leaves");
		uv_poll_stop(&socket->listener);
		return;
	}
	fd = accept4(socket->listening.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		connect_peer(socket, fd);
		return;
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	say(socket, "accepting a front end: %s", strerror(errno));
	uv_poll_stop(&socket->listener);
	uv_timer_start(&socket->pause, on_pause_over, PAUSE_LONG_MS, 0);
}

static void watch_listener(struct aero_vhost_user_socket *socket)
{
	uv_poll_start(&socket->listener, UV_READABLE, on_listener);
}

enum aero_status aero_vhost_user_socket_listen(struct aero_vhost_user_socket *socket,
					       uv_loop_t *loop,
					       const struct aero_vhost_user_socket_config *config)
{
	struct aero_error error;

	memset(socket, 0, sizeof(*socket));
	socket->config = *config;
	socket->config.path = NULL;
	socket->loop = loop;
	socket->peer_fd = -1;
	if (aero_unix_listener_open(&socket->listening, config->path, 1, &error) != AERO_OK) {
		say(socket, "%s", error.text);
		return error.status;
	}
	if (uv_poll_init(loop, &socket->listener, socket->listening.fd)) {
		say(socket, "%s: cannot be watched", config->path);
		aero_unix_listener_close(&socket->listening);
		return AERO_EIO;
	}
	uv_timer_init(loop, &socket->pause);
	socket->listener.data = socket;
	socket->pause.data = socket;
	socket->open_handles = 2;
	watch_listener(socket);
	return AERO_OK;
}

void aero_vhost_user_socket_close(struct aero_vhost_user_socket *socket, void (*closed)(void *ctx),
				  void *ctx)
{
	assert(!socket->is_busy && !socket->is_closing);
	socket->is_closing = true;
	socket->closed = closed;
	socket->closed_ctx = ctx;
	if (socket->peer_fd >= 0)
		disconnect(socket);
	uv_close((uv_handle_t *)&socket->listener, on_handle_closed);
	uv_close((uv_handle_t *)&socket->pause, on_handle_closed);
	aero_unix_listener_close(&socket->listening);
}
