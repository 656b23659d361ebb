/* SPDX-License-Identifier: MIT */
#include "hosted/guest_console.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK "AEROSTAT "

static void on_timer(uv_timer_t *timer);

/* One timer for all: set to the earliest deadline. */
static void set_timer(struct aero_guest_console *console)
{
	uint64_t now = uv_now(console->timer.loop);
	uint64_t earliest = UINT64_MAX;

	for (struct aero_guest_request *at = console->waiting; at; at = at->next)
		if (at->deadline_ms < earliest)
			earliest = at->deadline_ms;
	if (console->is_closing)
		return;
	if (earliest == UINT64_MAX)
		uv_timer_stop(&console->timer);
	else
		uv_timer_start(&console->timer, on_timer, earliest > now ? earliest - now : 0, 0);
}

/* Takes a request off the list first: its owner may use it again in the call. */
static void answer(struct aero_guest_console *console, struct aero_guest_request *request,
		   enum aero_status status, const char *text)
{
	struct aero_guest_request **link = &console->waiting;

	while (*link != request)
		link = &(*link)->next;
	*link = request->next;
	request->answered(request->ctx, status, text);
}

/* Requests that are added by the callbacks of others are not touched. */
static void answer_all(struct aero_guest_console *console, enum aero_status status,
		       const char *text)
{
	uint32_t limit = console->next_number;

	for (struct aero_guest_request *at = console->waiting; at;) {
		if ((int32_t)(at->number - limit) >= 0) {
			at = at->next;
			continue;
		}
		answer(console, at, status, text);
		at = console->waiting;
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct aero_guest_console *console = timer->data;
	uint64_t now = uv_now(timer->loop);

	for (struct aero_guest_request *at = console->waiting; at;) {
		if (at->deadline_ms > now) {
			at = at->next;
			continue;
		}
		answer(console, at, AERO_ETIMEDOUT, "the guest did not answer in time");
		at = console->waiting;
	}
	set_timer(console);
}

static void take_answer(struct aero_guest_console *console, enum aero_status status,
			const char *rest)
{
	struct aero_guest_request *at = console->waiting;
	char *text;
	unsigned long number = strtoul(rest, &text, 10);

	while (at && at->number != number)
		at = at->next;
	if (!at)
		return;
	answer(console, at, status, *text == ' ' ? text + 1 : text);
	set_timer(console);
}

static void take_ready(struct aero_guest_console *console, const char *text)
{
	answer_all(console, AERO_ERESET, "the guest has rebooted");
	set_timer(console);
	console->is_ready = true;
	console->events.ready(console->events.ctx, text);
}

static void on_line(void *ctx, const char *line)
{
	struct aero_guest_console *console = ctx;

	if (strncmp(line, MARK "ok ", strlen(MARK "ok ")) == 0)
		take_answer(console, AERO_OK, line + strlen(MARK "ok "));
	else if (strncmp(line, MARK "error ", strlen(MARK "error ")) == 0)
		take_answer(console, AERO_EREFUSED, line + strlen(MARK "error "));
	else if (strncmp(line, MARK "ready ", strlen(MARK "ready ")) == 0)
		take_ready(console, line + strlen(MARK "ready "));
	else
		console->events.log(console->events.ctx, line);
}

static void on_end(void *ctx)
{
	struct aero_guest_console *console = ctx;

	console->is_ready = false;
	console->has_ended = true;
	answer_all(console, AERO_EGONE, "the guest has closed its console");
	set_timer(console);
	console->events.end(console->events.ctx);
}

static void count_closed(struct aero_guest_console *console)
{
	if (--console->open_handles == 0)
		console->events.closed(console->events.ctx);
}

static void on_reader_closed(void *ctx)
{
	count_closed(ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
	count_closed(handle->data);
}

void aero_guest_console_open(struct aero_guest_console *console, uv_loop_t *loop, int fd,
			     const struct aero_guest_console_events *events)
{
	const struct aero_line_events lines = {
		.line = on_line, .end = on_end, .closed = on_reader_closed, .ctx = console
	};

	console->waiting = NULL;
	console->next_number = 1;
	console->is_ready = false;
	console->has_ended = false;
	console->is_closing = false;
	console->open_handles = 2;
	console->events = *events;
	uv_timer_init(loop, &console->timer);
	console->timer.data = console;
	aero_line_reader_open(&console->reader, loop, fd, &lines);
}

enum aero_status aero_guest_console_ask(struct aero_guest_console *console,
					struct aero_guest_request *request, const char *command,
					uint32_t timeout_ms, aero_guest_answered answered,
					void *ctx)
{
	char line[AERO_GUEST_COMMAND_MAX];
	struct aero_guest_request **tail = &console->waiting;
	uv_buf_t bytes;
	int len;

	if (console->is_closing || !console->is_ready)
		return AERO_ESTATE;
	len = snprintf(line, sizeof(line), "%u %s\n", console->next_number, command);
	if (len >= (int)sizeof(line) || strpbrk(command, "\r\n"))
		return AERO_EINVAL;
	bytes = uv_buf_init(line, (unsigned int)len);
	/* The socket's buffer holds many commands: one that does not fit is not being read. */
	if (uv_try_write((uv_stream_t *)&console->reader.stream, &bytes, 1) != len) {
		/* Half a command may have been sent, so no other can follow. */
		console->is_ready = false;
		return AERO_EGONE;
	}
	*request = (struct aero_guest_request){
		.number = console->next_number++,
		.deadline_ms = uv_now(console->timer.loop) + timeout_ms,
		.answered = answered,
		.ctx = ctx,
	};
	while (*tail)
		tail = &(*tail)->next;
	*tail = request;
	set_timer(console);
	return AERO_OK;
}

void aero_guest_console_close(struct aero_guest_console *console)
{
	if (console->is_closing)
		return;
	console->is_closing = true;
	aero_line_reader_close(&console->reader);
	uv_close((uv_handle_t *)&console->timer, on_timer_closed);
	answer_all(console, AERO_EGONE, "the console was closed");
}

enum aero_status aero_guest_value(const char *text, const char *key, char *out_value, size_t size)
{
	size_t key_len = strlen(key);

	for (const char *at = text; *at; at = *at ? at + 1 : at) {
		size_t len = strcspn(at, " ");

		if (len > key_len && strncmp(at, key, key_len) == 0 && at[key_len] == '=') {
			len -= key_len + 1;
			if (len >= size)
				return AERO_ENOSPC;
			memcpy(out_value, at + key_len + 1, len);
			out_value[len] = '\0';
			return AERO_OK;
		}
		at += len;
	}
	return AERO_ENOENT;
}

enum aero_status aero_guest_number(const char *text, const char *key, uint64_t *out_number)
{
	char value[32];
	char *end;
	enum aero_status status = aero_guest_value(text, key, value, sizeof(value));
	uint64_t number;

	if (status != AERO_OK)
		return status == AERO_ENOSPC ? AERO_EPROTO : status;
	errno = 0;
	number = strtoull(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end || errno)
		return AERO_EPROTO;
	*out_number = number;
	return AERO_OK;
}
