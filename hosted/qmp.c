/* SPDX-License-Identifier: MIT */
#include "hosted/qmp.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Words of the peer that a story quotes. */
#define QUOTE_MAX 120

/* The waiting commands ------------------------------------------------------------------------ */

static void on_timer(uv_timer_t *timer);

static void set_timer(struct aero_qmp *qmp)
{
	uint64_t now = uv_now(qmp->timer.loop);
	uint64_t earliest = UINT64_MAX;

	for (struct aero_qmp_request *at = qmp->waiting; at; at = at->next)
		if (at->deadline_ms < earliest)
			earliest = at->deadline_ms;
	if (qmp->is_closing)
		return;
	if (earliest == UINT64_MAX)
		uv_timer_stop(&qmp->timer);
	else
		uv_timer_start(&qmp->timer, on_timer, earliest > now ? earliest - now : 0, 0);
}

static void add_request(struct aero_qmp *qmp, struct aero_qmp_request *request)
{
	struct aero_qmp_request **tail = &qmp->waiting;

	request->next = NULL;
	request->number = qmp->next_number++;
	request->deadline_ms = uv_now(qmp->timer.loop) + request->timeout_ms;
	while (*tail)
		tail = &(*tail)->next;
	*tail = request;
	set_timer(qmp);
}

static bool is_waiting(const struct aero_qmp *qmp, const struct aero_qmp_request *request)
{
	const struct aero_qmp_request *at = qmp->waiting;

	while (at && at != request)
		at = at->next;
	return at;
}

/* Takes a request off the list first: its owner may use it again in the call. */
static void answer(struct aero_qmp *qmp, struct aero_qmp_request *request,
		   const struct aero_qmp_answer *what)
{
	struct aero_qmp_request **link = &qmp->waiting;

	while (*link != request)
		link = &(*link)->next;
	*link = request->next;
	request->answered(request->ctx, what);
}

/* None can be added meanwhile: the connection is at its end. */
static void answer_all(struct aero_qmp *qmp, const char *text)
{
	const struct aero_qmp_answer gone = { AERO_EGONE, NULL, "", text };

	while (qmp->waiting)
		answer(qmp, qmp->waiting, &gone);
}

/* The end ------------------------------------------------------------------------------------- */

static void end(struct aero_qmp *qmp, enum aero_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void end(struct aero_qmp *qmp, enum aero_status status, const char *format, ...)
{
	struct aero_error story = { .status = status };
	va_list args;

	if (qmp->state == AERO_QMP_ENDED || qmp->is_closing)
		return;
	va_start(args, format);
	vsnprintf(story.text, sizeof(story.text), format, args);
	va_end(args);
	qmp->state = AERO_QMP_ENDED;
	uv_read_stop((uv_stream_t *)&qmp->stream);
	answer_all(qmp, story.text);
	set_timer(qmp);
	/* What was answered may have closed it. */
	if (!qmp->is_closing)
		qmp->events.ended(qmp->events.ctx, &story);
}

static void on_timer(uv_timer_t *timer)
{
	struct aero_qmp *qmp = timer->data;
	uint64_t now = uv_now(timer->loop);
	char text[128];
	const struct aero_qmp_answer late = { AERO_ETIMEDOUT, NULL, "", text };

	for (struct aero_qmp_request *at = qmp->waiting; at;) {
		if (at->deadline_ms > now) {
			at = at->next;
			continue;
		}
		snprintf(text, sizeof(text), "QEMU has not answered '%s' within %" PRIu32 " ms",
			 at->name, at->timeout_ms);
		answer(qmp, at, &late);
		at = qmp->waiting;
	}
	set_timer(qmp);
}

/* Sending ------------------------------------------------------------------------------------- */

static enum aero_status send_line(struct aero_qmp *qmp, const char *line, size_t len)
{
	uv_buf_t bytes = uv_buf_init((char *)line, (unsigned int)len);

	/* The socket's buffer holds many commands: one that does not fit is not being read. */
	if (!qmp->is_mute && uv_try_write((uv_stream_t *)&qmp->stream, &bytes, 1) == (int)len)
		return AERO_OK;
	/* Half a command may have been sent, so no other can follow. */
	qmp->is_mute = true;
	return AERO_EGONE;
}

/* Takes the arguments. */
static enum aero_status send_command(struct aero_qmp *qmp, const char *name, json_t *arguments,
				     uint64_t number)
{
	json_t *json = json_pack("{s:s, s:o*, s:I}", "execute", name, "arguments", arguments, "id",
				 (json_int_t)number);
	char line[AERO_QMP_COMMAND_MAX];
	size_t len;

	/* json_pack() takes what it is given even if it fails. */
	if (!json)
		return AERO_ENOMEM;
	len = json_dumpb(json, line, sizeof(line) - 1, JSON_COMPACT);
	json_decref(json);
	if (!len || len > sizeof(line) - 1)
		return AERO_EINVAL;
	line[len] = '\n';
	return send_line(qmp, line, len + 1);
}

enum aero_status aero_qmp_ask(struct aero_qmp *qmp, struct aero_qmp_request *request,
			      const struct aero_qmp_command *command, aero_qmp_answered answered,
			      void *ctx)
{
	enum aero_status status;

	if (qmp->state != AERO_QMP_READY || qmp->is_closing || is_waiting(qmp, request)) {
		json_decref(command->arguments);
		return AERO_ESTATE;
	}
	status = send_command(qmp, command->name, command->arguments, qmp->next_number);
	if (status != AERO_OK)
		return status;
	request->timeout_ms = command->timeout_ms ? command->timeout_ms : qmp->timeout_ms;
	request->answered = answered;
	request->ctx = ctx;
	snprintf(request->name, sizeof(request->name), "%s", command->name);
	add_request(qmp, request);
	return AERO_OK;
}

/* Messages ------------------------------------------------------------------------------------ */

static void on_hello(void *ctx, const struct aero_qmp_answer *what)
{
	struct aero_qmp *qmp = ctx;

	if (what->status == AERO_OK) {
		qmp->state = AERO_QMP_READY;
		qmp->events.ready(qmp->events.ctx, qmp->version);
	} else if (what->status == AERO_ETIMEDOUT) {
		end(qmp, AERO_ETIMEDOUT, "QEMU has not begun to talk within %" PRIu32 " ms",
		    qmp->timeout_ms);
	} else if (what->status == AERO_EREFUSED) {
		end(qmp, AERO_EPROTO, "QEMU does not agree to talk: %s", what->text);
	}
}

static void take_greeting(struct aero_qmp *qmp, const json_t *greeting)
{
	const json_t *version = json_object_get(json_object_get(greeting, "version"), "qemu");
	const json_t *major = json_object_get(version, "major");

	if (!json_is_number(major)) {
		end(qmp, AERO_EPROTO, "QEMU does not say which version it is");
		return;
	}
	snprintf(qmp->version, sizeof(qmp->version), "%.0f.%.0f.%.0f", json_number_value(major),
		 json_number_value(json_object_get(version, "minor")),
		 json_number_value(json_object_get(version, "micro")));
	qmp->state = AERO_QMP_NEGOTIATING;
	if (send_command(qmp, "qmp_capabilities", NULL, qmp->hello.number) != AERO_OK)
		end(qmp, AERO_EGONE, "QEMU greets and does not read");
}

/* NULL: it was never asked, or has been given up. */
static struct aero_qmp_request *find_request(const struct aero_qmp *qmp, double number)
{
	struct aero_qmp_request *at = qmp->waiting;

	while (at && (double)at->number != number)
		at = at->next;
	return at;
}

static void take_answer(struct aero_qmp *qmp, const json_t *id, const struct aero_qmp_answer *what)
{
	double number = json_number_value(id);
	struct aero_qmp_request *request = find_request(qmp, number);

	if (!id && what->status == AERO_EREFUSED)
		end(qmp, AERO_EPROTO, "QEMU does not understand what we say: %.*s", QUOTE_MAX,
		    what->text);
	else if (!json_is_number(id) || number < 1 || number >= (double)qmp->next_number)
		end(qmp, AERO_EPROTO, "QEMU answers what it was not asked");
	else if (request)
		answer(qmp, request, what);
	set_timer(qmp);
}

static void take_error(struct aero_qmp *qmp, const json_t *id, const json_t *error)
{
	const char *class = json_string_value(json_object_get(error, "class"));
	const char *text = json_string_value(json_object_get(error, "desc"));
	const struct aero_qmp_answer what = { AERO_EREFUSED, NULL, class, text };

	if (class && text)
		take_answer(qmp, id, &what);
	else
		end(qmp, AERO_EPROTO, "QEMU answers with an error that it does not name");
}

static void take_event(struct aero_qmp *qmp, const json_t *name, const json_t *data)
{
	if (!json_is_string(name) || (data && !json_is_object(data)))
		end(qmp, AERO_EPROTO, "QEMU tells of an event without a name, or with odd data");
	/* There are none before, says the specification. */
	else if (qmp->state == AERO_QMP_READY)
		qmp->events.event(qmp->events.ctx, json_string_value(name), data);
}

static void take_message(struct aero_qmp *qmp, const json_t *message)
{
	const json_t *greeting = json_object_get(message, "QMP");
	const json_t *result = json_object_get(message, "return");
	const json_t *error = json_object_get(message, "error");
	const json_t *event = json_object_get(message, "event");
	const json_t *id = json_object_get(message, "id");
	const struct aero_qmp_answer good = { AERO_OK, result, "", "" };

	if (!greeting != (qmp->state != AERO_QMP_GREETING))
		end(qmp, AERO_EPROTO,
		    greeting ? "QEMU greets once more" : "QEMU does not greet first");
	else if (greeting)
		take_greeting(qmp, greeting);
	else if (event)
		take_event(qmp, event, json_object_get(message, "data"));
	else if (result)
		take_answer(qmp, id, &good);
	else if (error)
		take_error(qmp, id, error);
	else
		end(qmp, AERO_EPROTO, "QEMU sends something that is neither answer nor event");
}

/* Statistics that a guest does not report are 2^64 - 1, which Jansson's integers are not. */
static json_t *parse(const char *line, size_t len)
{
	json_error_t error;
	json_t *json = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);

	if (!json && json_error_code(&error) == json_error_numeric_overflow)
		json = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL,
				  &error);
	return json;
}

static bool is_blank(const char *line, size_t len)
{
	while (len && (line[len - 1] == '\r' || line[len - 1] == ' '))
		len--;
	return !len;
}

static void take_line(struct aero_qmp *qmp, const char *line, size_t len)
{
	json_t *message;

	if (is_blank(line, len))
		return;
	message = parse(line, len);
	if (json_is_object(message))
		take_message(qmp, message);
	else
		end(qmp, AERO_EPROTO, "QEMU sends what is no JSON object");
	json_decref(message);
}

/* Reading ------------------------------------------------------------------------------------- */

static bool is_over(const struct aero_qmp *qmp)
{
	return qmp->state == AERO_QMP_ENDED || qmp->is_closing;
}

static void take_lines(struct aero_qmp *qmp)
{
	char *line = qmp->buffer, *newline;
	size_t left = qmp->len;

	while (!is_over(qmp) && (newline = memchr(line, '\n', left))) {
		take_line(qmp, line, (size_t)(newline - line));
		left -= (size_t)(newline + 1 - line);
		line = newline + 1;
	}
	memmove(qmp->buffer, line, left);
	qmp->len = left;
	if (left == sizeof(qmp->buffer))
		end(qmp, AERO_EPROTO, "QEMU sends a message of more than %zu bytes", left);
}

/* There is room: a full buffer is the end. */
static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
	struct aero_qmp *qmp = handle->data;

	(void)size;
	*out = uv_buf_init(qmp->buffer + qmp->len, (unsigned int)(sizeof(qmp->buffer) - qmp->len));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
	struct aero_qmp *qmp = stream->data;

	(void)buf;
	/* Reset: it is gone and had not read all. */
	if (got == UV_EOF || got == UV_ECONNRESET) {
		end(qmp, AERO_EGONE, "QEMU has closed the socket of its machine protocol");
	} else if (got < 0) {
		end(qmp, AERO_EGONE, "QEMU's machine protocol cannot be read: %s",
		    uv_strerror((int)got));
	} else {
		qmp->len += (size_t)got;
		take_lines(qmp);
	}
}

/* Coming and going ---------------------------------------------------------------------------- */

void aero_qmp_start(struct aero_qmp *qmp, uv_loop_t *loop, int fd, uint32_t timeout_ms,
		    const struct aero_qmp_events *events)
{
	memset(qmp, 0, offsetof(struct aero_qmp, buffer));
	qmp->timeout_ms = timeout_ms ? timeout_ms : AERO_QMP_TIMEOUT_MS;
	qmp->next_number = 1;
	qmp->events = *events;
	qmp->open_handles = 2;
	uv_timer_init(loop, &qmp->timer);
	qmp->timer.data = qmp;
	uv_pipe_init(loop, &qmp->stream, 0);
	qmp->stream.data = qmp;
	uv_pipe_open(&qmp->stream, fd);
	uv_read_start((uv_stream_t *)&qmp->stream, on_alloc, on_read);
	qmp->hello = (struct aero_qmp_request){
		.timeout_ms = qmp->timeout_ms,
		.answered = on_hello,
		.ctx = qmp,
		.name = "qmp_capabilities",
	};
	add_request(qmp, &qmp->hello);
}

static void on_closed(uv_handle_t *handle)
{
	struct aero_qmp *qmp = handle->data;

	if (--qmp->open_handles == 0)
		qmp->events.closed(qmp->events.ctx);
}

void aero_qmp_close(struct aero_qmp *qmp)
{
	if (qmp->is_closing)
		return;
	qmp->is_closing = true;
	uv_close((uv_handle_t *)&qmp->stream, on_closed);
	uv_close((uv_handle_t *)&qmp->timer, on_closed);
	answer_all(qmp, "the connection to QEMU was closed");
}
