/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_CLIENT_H
#define AEROSTAT_PROGRAMS_CLIENT_H

/*
 * The client's side of a control socket, for commands: one request at a time, and events between.
 * What fails is told on standard error; functions answer an enum aero_exit.
 */

#include <jansson.h>
#include <stdint.h>

#include "programs/aerostat/commands.h"

/* How long a device may take for an answer that it has at hand. */
#define AERO_CLIENT_TIMEOUT_MS 5000

struct aero_client {
	const char *command; /* for messages */
	int fd;
	json_int_t last_id;
	char *in;
	size_t in_len;
	size_t in_room;
	json_t *events; /* those that came before an answer */
};

/**
 * aero_client_open() - Connect to a device.
 * @client:  Uninitialised.
 * @command: Name of the command, for messages.
 * @path:    The control socket.
 *
 * Shape:   close() it whatever the answer.
 * Owner:   the caller's; command stays in use.
 * Errors:  AERO_EXIT_UNREACHABLE: nobody is there.
 * Context: sleep.
 * Source:  docs/control.md.
 */
int aero_client_open(struct aero_client *client, const char *command, const char *path);

/**
 * aero_client_close() - Disconnect.
 * @client: Opened, with whatever result.
 *
 * Shape:   nothing else is to be called.
 * Owner:   everything is freed.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void aero_client_close(struct aero_client *client);

/**
 * aero_client_call() - Send a request and wait for its answer.
 * @client:     Open.
 * @request:    An object with its "command"; the id is added. The reference is taken.
 * @timeout_ms: How long to wait.
 * @out_answer: The answer, without id and ok.
 *
 * Shape:   events that come before the answer are kept for event().
 * Owner:   the caller gets a reference.
 * Errors:  AERO_EXIT_FAILED: the device refused; AERO_EXIT_TIMEOUT: no answer, or the device's own
 *          time was up; AERO_EXIT_UNREACHABLE: it is gone. out_answer is NULL then.
 * Context: sleep.
 * Source:  docs/control.md.
 */
int aero_client_call(struct aero_client *client, json_t *request, uint32_t timeout_ms,
		     json_t **out_answer);

/**
 * aero_client_event() - Wait for an event.
 * @client:     Open and watching.
 * @timeout_ms: How long to wait; UINT32_MAX: for ever.
 * @out_event:  The event.
 *
 * Shape:   in their order.
 * Owner:   the caller gets a reference.
 * Errors:  AERO_EXIT_TIMEOUT: none came, nothing was told; AERO_EXIT_UNREACHABLE: the device is
 *          gone. out_event is NULL then.
 * Context: sleep.
 * Source:  docs/control.md.
 */
int aero_client_event(struct aero_client *client, uint32_t timeout_ms, json_t **out_event);

/**
 * aero_client_forget_events() - Drop the events that came so far.
 * @client: Open.
 *
 * Shape:   those before the last answer.
 * Owner:   they are freed.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void aero_client_forget_events(struct aero_client *client);

/**
 * aero_client_ask() - Connect, call, disconnect.
 * @command:    Name of the command, for messages.
 * @path:       The control socket.
 * @request:    As of call().
 * @timeout_ms: As of call().
 * @out_answer: As of call().
 *
 * Shape:   for commands with a single request.
 * Owner:   as of call().
 * Errors:  those of open() and call().
 * Context: sleep.
 * Source:  docs/control.md.
 */
int aero_client_ask(const char *command, const char *path, json_t *request, uint32_t timeout_ms,
		    json_t **out_answer);

/**
 * aero_client_number() - A number of an answer.
 * @object: The answer.
 * @key:    Its member.
 *
 * Shape:   0 where there is none.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
uint64_t aero_client_number(const json_t *object, const char *key);

/**
 * aero_client_text() - A text of an answer.
 * @object: The answer.
 * @key:    Its member.
 *
 * Shape:   "" where there is none.
 * Owner:   the object's.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
const char *aero_client_text(const json_t *object, const char *key);

/**
 * aero_client_print() - Print an answer as JSON.
 * @answer: The answer.
 *
 * Shape:   indented, on standard output. Answers AERO_EXIT_OK.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
int aero_client_print(const json_t *answer);

/**
 * aero_clock_ms() - Monotonic time.
 *
 * Shape:   milliseconds since some moment.
 * Owner:   a value.
 * Errors:  none.
 * Context: any.
 * Source:  clock_gettime(2).
 */
uint64_t aero_clock_ms(void);

#endif
