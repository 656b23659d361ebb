/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_CONTROL_INTERNAL_H
#define AEROSTAT_HOSTED_CONTROL_INTERNAL_H

/* What the files of the control socket share: control.c, _client.c, _commands.c and _wait.c. */

#include "hosted/control.h"
#include "hosted/control_request.h"

enum aero_control_wait_kind {
	AERO_CONTROL_WAIT_NONE = 0,
	AERO_CONTROL_WAIT_STATS, /* statistics later than sequence */
	AERO_CONTROL_WAIT_DRAIN, /* the balloon is drained */
};

/* An answer that is owed. */
struct aero_control_wait {
	enum aero_control_wait_kind kind;
	json_t *id; /* owned; NULL where the request had none */
	uint64_t deadline_ns;
	uint64_t sequence;
};

struct aero_control_client {
	uv_pipe_t pipe;
	struct aero_control *control;
	unsigned int slot;
	unsigned int number; /* for the log */
	char *in;	     /* of in_room bytes; grows up to AERO_CONTROL_LINE_MAX */
	size_t in_len;
	size_t in_room;
	bool is_skipping;   /* the rest of a line that was too long */
	bool is_backlogged; /* reads rest until its requests are done */
	bool is_ending;	    /* sends no more; closed when it has the answers it is owed */
	bool is_closing;
	uint32_t watched; /* bit n: the event of that index */
	struct aero_control_wait waits[AERO_CONTROL_WAITS_MAX];
};

/* control.c */
void aero_control_log(struct aero_control *control, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void aero_control_handle_closed(struct aero_control *control);

/* Have aero_control_client_go_on() called for clients that are backlogged. */
void aero_control_begin_backlog(struct aero_control *control);

/* control_client.c: bytes. */

/* Takes the waiting connection; one too many is told so and closed. */
void aero_control_client_accept(struct aero_control *control);

/* Sends an object as a line, if the client is still there; takes the reference. */
void aero_control_client_send(struct aero_control_client *client, json_t *message);

/* An answer went out: if it was the last one of a client that sends no more, close. */
void aero_control_client_settle(struct aero_control_client *client);

/* Nothing is sent or read any more; it is freed later. */
void aero_control_client_close(struct aero_control_client *client);

/* Looks at requests that came in an earlier turn. Answers whether there are still more. */
bool aero_control_client_go_on(struct aero_control_client *client);

/* control_commands.c: what a line asks for. */
void aero_control_execute(struct aero_control_client *client, const char *line, size_t len);

/* Answers; result may hold members already, and its reference is taken. */
void aero_control_succeed(struct aero_control_client *client, const json_t *id, json_t *result);
void aero_control_refuse(struct aero_control_client *client, const json_t *id,
			 const struct aero_control_error *error);

/* control_wait.c: answers that come later. */

/* Answers false, with error filled in, where the client awaits too many. */
bool aero_control_wait_add(struct aero_control_client *client, const struct aero_control_wait *wait,
			   struct aero_control_error *error);
bool aero_control_wait_has_any(const struct aero_control_client *client);
void aero_control_wait_drop_all(struct aero_control_client *client);
/* Those that waited for this get their answers. */
void aero_control_wait_end(struct aero_control *control, enum aero_control_turn turn);

/* Resumed: whoever waits for a drained device is told. */
void aero_control_wait_resumed(struct aero_control *control);

/* What pause and resume answer. */
json_t *aero_control_pause_answer(const struct aero_control *control);

/* Statistics as the answer to a request; reason is NULL where they are fresh. */
json_t *aero_control_stats_answer(const struct aero_control *control, const char *reason,
				  const char *reason_text);

#endif
