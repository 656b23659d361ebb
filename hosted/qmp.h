/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_QMP_H
#define AEROSTAT_HOSTED_QMP_H

/*
 * A client of QEMU's machine protocol, QMP, on a stream socket and a libuv loop: JSON objects, one
 * a line, the server's as well as ours.
 *
 *     QEMU:  {"QMP": {"version": {"qemu": {"major": 7, ...}, ...}, "capabilities": [...]}}
 *     us:    {"execute": "qmp_capabilities", "id": 1}
 *     QEMU:  {"return": {}, "id": 1}
 *     us:    {"execute": "balloon", "arguments": {"value": 268435456}, "id": 2}
 *     QEMU:  {"event": "BALLOON_CHANGE", "data": {"actual": 536870912}, "timestamp": {...}}
 *            {"return": {}, "id": 2}
 *            {"id": 2, "error": {"class": "DeviceNotActive", "desc": "No balloon device ..."}}
 *
 * Life: start -> ready -> ended -> close -> closed, where ended comes only if the connection breaks
 * and close may come at any time. Several commands may be waiting; each is answered exactly once.
 *
 * The peer is not trusted: the length of a message and the time of an answer are bounded, an answer
 * to what was never asked ends the connection, with a story. An answer that comes too late is
 * passed by.
 */

#include "hosted/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/* Longest message of the server, with its end of line. */
#define AERO_QMP_MESSAGE_MAX 65536
/* Longest command with its arguments: what a socket takes at once. */
#define AERO_QMP_COMMAND_MAX 4096
/* How long an answer, or the greeting, is awaited by default. */
#define AERO_QMP_TIMEOUT_MS 30000

struct aero_qmp_answer {
	/*
	 * AERO_OK. AERO_EREFUSED: QEMU answered with an error. AERO_ETIMEDOUT. AERO_EGONE: the
	 * connection has ended or was closed.
	 */
	enum aero_status status;
	/*
	 * What the command returned; NULL unless AERO_OK. In a message with a number above 2^63 - 1
	 * all numbers are reals, so read them with json_number_value().
	 */
	const json_t *result;
	const char *error_class; /* "" unless AERO_EREFUSED */
	const char *text;	 /* for people, "" if AERO_OK */
};

/* All of the answer is valid during the call. Other commands may be sent from within. */
typedef void (*aero_qmp_answered)(void *ctx, const struct aero_qmp_answer *answer);

/* Private, public for its size: one waiting command. */
struct aero_qmp_request {
	struct aero_qmp_request *next;
	uint64_t number;
	uint64_t deadline_ms;
	uint32_t timeout_ms;
	aero_qmp_answered answered;
	void *ctx;
	char name[48];
};

struct aero_qmp_command {
	const char *name;
	json_t *arguments;   /* an object, or NULL: none */
	uint32_t timeout_ms; /* 0: that of start() */
};

struct aero_qmp_events {
	/* Commands may be sent. version: of QEMU, such as "7.2.22". */
	void (*ready)(void *ctx, const char *version);
	/* Something happened; data may be NULL. Only after ready. */
	void (*event)(void *ctx, const char *name, const json_t *data);
	/* The connection is of no use any more. Not called after close(). */
	void (*ended)(void *ctx, const struct aero_error *story);
	/* After close(): the structure may be freed. */
	void (*closed)(void *ctx);
	void *ctx;
};

enum aero_qmp_state {
	AERO_QMP_GREETING,    /* the server has not said anything yet */
	AERO_QMP_NEGOTIATING, /* what it can is being agreed on */
	AERO_QMP_READY,
	AERO_QMP_ENDED,
};

/* Private to qmp.c, except that state may be read. */
struct aero_qmp {
	uv_pipe_t stream;
	uv_timer_t timer;
	enum aero_qmp_state state;
	uint32_t timeout_ms;
	uint64_t next_number;
	struct aero_qmp_request *waiting;
	struct aero_qmp_request hello; /* greeting and negotiation */
	char version[32];
	bool is_mute; /* it does not read any more */
	bool is_closing;
	unsigned int open_handles;
	struct aero_qmp_events events;
	size_t len;
	char buffer[AERO_QMP_MESSAGE_MAX];
};

/**
 * aero_qmp_start() - Talk to a server.
 * @qmp:        Storage of the caller.
 * @loop:       Event loop.
 * @fd:         Connected stream socket, to a QEMU's -mon mode=control.
 * @timeout_ms: How long greeting and answers may take; 0: AERO_QMP_TIMEOUT_MS.
 * @events:     What to call; copied. Every member is needed.
 *
 * Shape:   answers at once; events->ready or events->ended follows.
 * Owner:   @fd belongs to @qmp, which must stay in place until events->closed.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  QEMU's manual, QEMU Machine Protocol Specification; observed with QEMU 7.2.
 */
void aero_qmp_start(struct aero_qmp *qmp, uv_loop_t *loop, int fd, uint32_t timeout_ms,
		    const struct aero_qmp_events *events);

/**
 * aero_qmp_ask() - Send a command.
 * @qmp:      Ready.
 * @request:  Storage of the caller for as long as the answer is awaited.
 * @command:  What to do; not used after the call.
 * @answered: Called exactly once if this call succeeds, never from within it.
 * @ctx:      Handed to @answered.
 *
 * Shape:   commands are answered in their order. One that timed out is not taken back.
 * Owner:   @command->arguments is taken, whatever happens. @request is @qmp's until @answered.
 * Errors:  AERO_EINVAL (too long), AERO_ESTATE (not ready, closing, or @request is still waiting),
 *          AERO_EGONE (the server does not read any more), AERO_ENOMEM.
 * Context: the loop's thread.
 * Source:  as aero_qmp_start().
 */
enum aero_status aero_qmp_ask(struct aero_qmp *qmp, struct aero_qmp_request *request,
			      const struct aero_qmp_command *command, aero_qmp_answered answered,
			      void *ctx);

/**
 * aero_qmp_close() - Hang up.
 * @qmp: Started; closing again does nothing.
 *
 * Shape:   waiting commands are answered AERO_EGONE from within; then events->closed is called,
 *          from the loop. The machine goes on.
 * Owner:   the descriptor is closed.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_qmp_close(struct aero_qmp *qmp);

#endif
