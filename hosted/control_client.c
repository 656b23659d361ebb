/* SPDX-License-Identifier: MIT */
/* Clients of the control socket: lines in, lines out, within bounds. */
#include "hosted/control_internal.h"

#include <stdlib.h>
#include <string.h>

/* Room that a client begins with; most requests are shorter than 100 bytes. */
#define ROOM_FIRST 1024

/* Requests of one client before the others, and the device, get their turn. */
#define REQUESTS_PER_TURN 16

/* A line on its way out. */
struct outgoing {
	uv_write_t request;
	struct aero_control_client *client;
	uv_buf_t rest;
	char *text;
};

/* Going out ----------------------------------------------------------------------------------- */

static void on_written(uv_write_t *request, int status)
{
	struct outgoing *out = request->data;
	struct aero_control_client *client = out->client;

	free(out->text);
	free(out);
	if (status < 0)
		aero_control_client_close(client);
	else
		aero_control_client_settle(client);
}

static void drop_slow(struct aero_control_client *client, size_t unread)
{
	aero_control_log(client->control, "client %u does not read, %zu bytes wait: disconnected",
			 client->number, unread);
	aero_control_client_close(client);
}

/* Queues what the socket does not take at once. Owns text from here on. */
static void queue_rest(struct aero_control_client *client, char *text, size_t sent, size_t len)
{
	struct outgoing *out = malloc(sizeof(*out));

	if (!out) {
		free(text);
		aero_control_client_close(client);
		return;
	}
	out->client = client;
	out->text = text;
	out->rest = uv_buf_init(text + sent, (unsigned int)(len - sent));
	out->request.data = out;
	if (!uv_write(&out->request, (uv_stream_t *)&client->pipe, &out->rest, 1, on_written))
		return;
	free(text);
	free(out);
	aero_control_client_close(client);
}

/* Owns text, which holds a whole line. */
static void send_line(struct aero_control_client *client, char *text, size_t len)
{
	uv_stream_t *stream = (uv_stream_t *)&client->pipe;
	size_t unread = uv_stream_get_write_queue_size(stream);
	uv_buf_t buf = uv_buf_init(text, (unsigned int)len);
	int sent = unread ? UV_EAGAIN : uv_try_write(stream, &buf, 1);

	if (sent < 0 && sent != UV_EAGAIN) {
		free(text);
		aero_control_client_close(client);
		return;
	}
	if (sent < 0)
		sent = 0;
	if ((size_t)sent == len) {
		free(text);
		return;
	}
	if (unread + len > AERO_CONTROL_UNREAD_MAX) {
		free(text);
		drop_slow(client, unread);
		return;
	}
	queue_rest(client, text, (size_t)sent, len);
}

void aero_control_client_send(struct aero_control_client *client, json_t *message)
{
	size_t len = 0;
	char *text = NULL;

	if (!client->is_closing && message)
		len = json_dumpb(message, NULL, 0, JSON_COMPACT);
	if (len)
		text = malloc(len + 1);
	if (text && json_dumpb(message, text, len, JSON_COMPACT) == len) {
		text[len] = '\n';
		send_line(client, text, len + 1);
	} else {
		free(text);
		aero_control_client_close(client);
	}
	json_decref(message);
}

/* Coming in ----------------------------------------------------------------------------------- */

static void refuse_long_line(struct aero_control_client *client)
{
	struct aero_control_error error;

	aero_control_fail(&error, "line_too_long", "a request has at most %u bytes",
			  AERO_CONTROL_LINE_MAX);
	aero_control_refuse(client, NULL, &error);
	aero_control_log(client->control, "client %u sent a line of more than %u bytes",
			 client->number, AERO_CONTROL_LINE_MAX);
}

static void take_line(struct aero_control_client *client, const char *line, size_t len)
{
	if (client->is_skipping) {
		client->is_skipping = false;
		return;
	}
	if (len && line[len - 1] == '\r')
		len--;
	/* Blank lines are for people with netcat. */
	if (len)
		aero_control_execute(client, line, len);
}

/* Looks at some of the lines that are there. Answers whether there are more. */
static bool serve(struct aero_control_client *client)
{
	unsigned int requests = 0;
	char *at = client->in;
	char *end = at + client->in_len;
	char *newline = NULL;

	while (!client->is_closing && at < end && requests < REQUESTS_PER_TURN &&
	       (newline = memchr(at, '\n', (size_t)(end - at)))) {
		take_line(client, at, (size_t)(newline - at));
		at = newline + 1;
		requests++;
	}
	client->in_len = (size_t)(end - at);
	if (client->in_len)
		memmove(client->in, at, client->in_len);
	return requests == REQUESTS_PER_TURN && client->in_len &&
	       memchr(client->in, '\n', client->in_len);
}

/* No newline in sight: more room, or the end of our patience. */
static void make_room(struct aero_control_client *client)
{
	size_t room = client->in_room ? client->in_room * 2 : ROOM_FIRST;
	char *in;

	if (client->in_len < client->in_room)
		return;
	if (client->in_room == AERO_CONTROL_LINE_MAX) {
		if (!client->is_skipping)
			refuse_long_line(client);
		client->is_skipping = true;
		client->in_len = 0;
		return;
	}
	in = realloc(client->in, room);
	if (!in) {
		aero_control_client_close(client);
		return;
	}
	client->in = in;
	client->in_room = room;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct aero_control_client *client = handle->data;

	(void)suggested;
	make_room(client);
	*buf = uv_buf_init(client->in + client->in_len,
			   client->is_closing ? 0
					      : (unsigned int)(client->in_room - client->in_len));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
	struct aero_control_client *client = stream->data;

	(void)buf;
	if (client->is_closing)
		return;
	if (got == UV_EOF && !client->watched) {
		client->is_ending = true;
		uv_read_stop(stream);
		aero_control_client_settle(client);
		return;
	}
	if (got < 0) {
		aero_control_client_close(client);
		return;
	}
	client->in_len += (size_t)got;
	if (!serve(client))
		return;
	/* Until then it may send no more. */
	client->is_backlogged = true;
	uv_read_stop(stream);
	aero_control_begin_backlog(client->control);
}

bool aero_control_client_go_on(struct aero_control_client *client)
{
	if (serve(client))
		return true;
	client->is_backlogged = false;
	if (!client->is_closing)
		uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read);
	return false;
}

/* Coming and going ---------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
	struct aero_control_client *client = handle->data;
	struct aero_control *control = client->control;

	free(client->in);
	free(client);
	aero_control_handle_closed(control);
}

void aero_control_client_close(struct aero_control_client *client)
{
	if (client->is_closing)
		return;
	client->is_closing = true;
	client->watched = 0;
	aero_control_wait_drop_all(client);
	if (client->slot < AERO_CONTROL_CLIENTS_MAX)
		client->control->clients[client->slot] = NULL;
	uv_close((uv_handle_t *)&client->pipe, on_closed);
}

void aero_control_client_settle(struct aero_control_client *client)
{
	if (client->is_ending && !aero_control_wait_has_any(client) &&
	    !uv_stream_get_write_queue_size((uv_stream_t *)&client->pipe))
		aero_control_client_close(client);
}

static void refuse_client(struct aero_control_client *client)
{
	struct aero_control_error error;

	aero_control_fail(&error, "too_many_clients", "there are %d clients already",
			  AERO_CONTROL_CLIENTS_MAX);
	aero_control_refuse(client, NULL, &error);
	aero_control_log(client->control, "client %u refused: there are %d already", client->number,
			 AERO_CONTROL_CLIENTS_MAX);
	aero_control_client_close(client);
}

static unsigned int find_slot(const struct aero_control *control)
{
	unsigned int slot = 0;

	while (slot < AERO_CONTROL_CLIENTS_MAX && control->clients[slot])
		slot++;
	return slot;
}

static void welcome(struct aero_control_client *client)
{
	if (uv_accept((uv_stream_t *)&client->control->pipe, (uv_stream_t *)&client->pipe)) {
		aero_control_client_close(client);
		return;
	}
	if (client->slot == AERO_CONTROL_CLIENTS_MAX) {
		refuse_client(client);
		return;
	}
	client->control->clients[client->slot] = client;
	if (uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read))
		aero_control_client_close(client);
}

void aero_control_client_accept(struct aero_control *control)
{
	struct aero_control_client *client = calloc(1, sizeof(*client));

	if (!client || uv_pipe_init(control->loop, &client->pipe, 0)) {
		free(client);
		aero_control_log(control, "no memory for a client");
		return;
	}
	client->pipe.data = client;
	client->control = control;
	client->slot = find_slot(control);
	client->number = ++control->client_number;
	control->open_handles++;
	welcome(client);
}
