/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_CONTROL_H
#define AEROSTAT_HOSTED_CONTROL_H

/*
 * The operator's side of a balloon: a UNIX socket that takes requests and answers them, one JSON
 * object per line. The protocol is docs/control.md. What is controlled is behind control_ops.h.
 *
 * Clients are the owner of the socket (its file has mode 0600), and still nothing they send, or do
 * not read, blocks the loop or makes the process grow: their number, the length and depth of a
 * line, the requests per turn of the loop, the answers awaited and the bytes unread are bounded.
 */

#include <uv.h>

#include "hosted/control_ops.h"
#include "hosted/error.h"
#include "hosted/unix_listener.h"

#define AERO_CONTROL_CLIENTS_MAX 16
#define AERO_CONTROL_LINE_MAX 65536u	 /* bytes of a request, its newline counted */
#define AERO_CONTROL_DEPTH_MAX 8	 /* nested arrays and objects of a request */
#define AERO_CONTROL_WAITS_MAX 8	 /* answers a client awaits at one time */
#define AERO_CONTROL_UNREAD_MAX 1048576u /* bytes a client leaves unread before it is dropped */

struct aero_control_config {
	const char *path;
	const struct aero_control_ops *ops; /* of what is controlled; outlives the control */
	void *balloon;			    /* its context */
	void (*log)(void *ctx, const char *line);
	void *ctx;
};

struct aero_control_client;

/* Private; public only so that it can be embedded. Must not move while open. */
struct aero_control {
	struct aero_control_config config;
	uv_loop_t *loop;
	struct aero_unix_listener listener;
	uv_pipe_t pipe;
	uv_timer_t deadline; /* of the first answer that is awaited */
	uv_idle_t backlog;   /* runs while a client has requests that were not yet looked at */
	struct aero_control_client *clients[AERO_CONTROL_CLIENTS_MAX];
	unsigned int client_number; /* of the last client, for the log */
	unsigned int open_handles;
	void (*closed)(void *ctx);
	void *closed_ctx;
};

/**
 * aero_control_start() - Listen for clients.
 * @control: Uninitialised.
 * @loop:    The balloon's.
 * @config:  Copied.
 * @error:   What went wrong; may be NULL.
 *
 * Shape:   the balloon may be started before or after, on the same loop, before the loop runs.
 * Owner:   the caller's; close() ends it.
 * Errors:  those of aero_unix_listener_open(); AERO_EIO: the loop cannot watch the socket. Nothing
 *          is left.
 * Context: the loop's thread. The process has to ignore SIGPIPE: libuv writes to clients that left.
 * Source:  docs/control.md.
 */
enum aero_status aero_control_start(struct aero_control *control, uv_loop_t *loop,
				    const struct aero_control_config *config,
				    struct aero_error *error);

/**
 * aero_control_tell() - Something happened with what is controlled.
 * @control: Started; closing is allowed.
 * @news:    What.
 *
 * Shape:   clients that watch are told, and answers that waited for this are sent.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: the loop's thread; from within events of the balloon, too: it is only read.
 * Source:  docs/control.md.
 */
void aero_control_tell(struct aero_control *control, const struct aero_control_news *news);

/**
 * aero_control_close() - End it.
 * @control: Started.
 * @closed:  Called from the loop when @control is no longer used.
 * @ctx:     Handed to @closed.
 *
 * Shape:   the file is removed and clients are disconnected at once.
 * Owner:   @control is the caller's again once @closed is called.
 * Errors:  none.
 * Context: the loop's thread, not from within an event of the balloon.
 * Source:  none.
 */
void aero_control_close(struct aero_control *control, void (*closed)(void *ctx), void *ctx);

#endif
