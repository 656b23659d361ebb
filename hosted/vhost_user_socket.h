/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_VHOST_USER_SOCKET_H
#define AEROSTAT_HOSTED_VHOST_USER_SOCKET_H

/*
 * The vhost-user engine on a listening UNIX socket, in a libuv loop.
 *
 * One front end is served at a time. A second one stays in the kernel's queue, with a line in the
 * log, and is served when the first has left: refusing it would make a front end fail that restarts
 * faster than we notice its end. Nothing a front end does, or leaves undone, blocks the loop: while
 * it does not take our replies, nothing more is read from it.
 */

#include <uv.h>

#include "hosted/unix_listener.h"
#include "hosted/vhost_user.h"

struct aero_vhost_user_socket_config {
	const char *path;		      /* where to listen; not needed after listen() */
	struct aero_vhost_user_config device; /* given to the engine for each front end */

	/* A front end came; conn is valid until disconnected(). */
	void (*connected)(void *ctx, struct aero_vhost_user_conn *conn);

	/* It left, or was thrown out. All rings were stopped before. */
	void (*disconnected)(void *ctx);

	/* One line, without newline. */
	void (*log)(void *ctx, const char *line);

	/* For the three above. */
	void *ctx;
};

/* The engine's surroundings. All private; must not move while open. */
struct aero_vhost_user_socket {
	struct aero_vhost_user_socket_config config;
	struct aero_vhost_user_conn conn;
	uv_loop_t *loop;
	uv_poll_t listener;
	uv_poll_t *peer;    /* one allocation for each: libuv closes in its own time */
	uv_poll_t *channel; /* the back-end channel, if the front end gave one */
	uv_timer_t pause;
	struct aero_unix_listener listening;
	int peer_fd;
	bool is_closing;
	bool is_busy; /* inside feed() */
	uint8_t out[AERO_VHOST_USER_MESSAGE_MAX];
	size_t out_len;
	size_t out_at;
	unsigned int open_handles;
	void (*closed)(void *ctx);
	void *closed_ctx;
};

/**
 * aero_vhost_user_socket_listen() - Offer the device at a path.
 * @socket: Uninitialised.
 * @loop:   The loop everything is called from.
 * @config: Copied.
 *
 * Shape:   the socket file gets mode 0600. A dead one in its place is replaced; a live one, or
 *          another kind of file, is left alone.
 * Owner:   the caller's after AERO_OK until close() has called back.
 * Errors:  AERO_EINVAL: the path is empty or too long for a socket. AERO_EREFUSED: somebody listens
 *          there, or it is no socket. AERO_EIO: the system says no. The log says more; nothing is
 *          left behind.
 * Context: the loop's thread.
 * Source:  unix(7).
 */
enum aero_status aero_vhost_user_socket_listen(struct aero_vhost_user_socket *socket,
					       uv_loop_t *loop,
					       const struct aero_vhost_user_socket_config *config);

/**
 * aero_vhost_user_socket_close() - Throw the front end out and stop listening.
 * @socket: Listening.
 * @closed: Called from the loop when @socket is no longer used.
 * @ctx:    Handed to @closed.
 *
 * Shape:   disconnected() is called before this returns, if there was a front end. The socket file
 *          is removed.
 * Owner:   @socket is the caller's again once @closed is called.
 * Errors:  none.
 * Context: the loop's thread, not from within an operation of the device.
 * Source:  none.
 */
void aero_vhost_user_socket_close(struct aero_vhost_user_socket *socket, void (*closed)(void *ctx),
				  void *ctx);

#endif
