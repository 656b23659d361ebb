/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/client.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "programs/aerostat/options.h"

#define ROOM_FIRST 16384
#define LINE_MAX (4u << 20) /* no answer comes near it */

uint64_t aero_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int unreachable(const struct aero_client *client, const char *what, const char *why)
{
	aero_complain(client->command, "%s: %s", what, why);
	return AERO_EXIT_UNREACHABLE;
}

/* connect() refuses whatever is no socket with the same words as a socket of a dead process. */
static const char *why_refused(const char *path, int error)
{
	struct stat stat_buf;

	if (error != ECONNREFUSED)
		return strerror(error);
	if (stat(path, &stat_buf) || S_ISSOCK(stat_buf.st_mode))
		return "nobody listens there any more";
	return S_ISDIR(stat_buf.st_mode) ? "a directory, not the control socket of a device"
					 : "not a socket";
}

int aero_client_open(struct aero_client *client, const char *command, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memset(client, 0, sizeof(*client));
	client->command = command;
	client->events = json_array();
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!*path || strlen(path) >= sizeof(address.sun_path))
		return unreachable(client, path, "not a path that a socket can have");
	memcpy(address.sun_path, path, strlen(path));
	if (client->fd < 0 ||
	    connect(client->fd, (const struct sockaddr *)&address, sizeof(address)))
		return unreachable(client, path, why_refused(path, errno));
	return AERO_EXIT_OK;
}

void aero_client_close(struct aero_client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	free(client->in);
	json_decref(client->events);
}

/* Sending ------------------------------------------------------------------------------------- */

static int send_all(struct aero_client *client, const char *text, size_t len)
{
	while (len) {
		ssize_t sent = send(client->fd, text, len, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		/* What it had to say before it closed is still to be read. */
		if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
			return AERO_EXIT_OK;
		if (sent < 0)
			return unreachable(client, "sending a request", strerror(errno));
		text += sent;
		len -= (size_t)sent;
	}
	return AERO_EXIT_OK;
}

static int send_request(struct aero_client *client, json_t *request)
{
	char *text;
	int result;

	json_object_set_new(request, "id", json_integer(++client->last_id));
	text = json_dumps(request, JSON_COMPACT);
	if (!text)
		return aero_complain(client->command, "a text of the request is not UTF-8");
	result = send_all(client, text, strlen(text));
	if (result == AERO_EXIT_OK)
		result = send_all(client, "\n", 1);
	free(text);
	return result;
}

/* Receiving ----------------------------------------------------------------------------------- */

static bool make_room(struct aero_client *client)
{
	size_t room = client->in_room ? client->in_room * 2 : ROOM_FIRST;
	char *in;

	if (client->in_len < client->in_room)
		return true;
	in = room <= LINE_MAX ? realloc(client->in, room) : NULL;
	if (!in)
		return false;
	client->in = in;
	client->in_room = room;
	return true;
}

/* Waits for bytes until a time of aero_clock_ms(). */
static int receive_more(struct aero_client *client, uint64_t deadline_ms)
{
	struct pollfd poll_fd = { .fd = client->fd, .events = POLLIN };
	uint64_t now = aero_clock_ms();
	uint64_t left = deadline_ms > now ? deadline_ms - now : 0;
	int ready = poll(&poll_fd, 1, left > 1000000 ? 1000000 : (int)left);
	ssize_t got;

	if (ready < 0 && errno != EINTR)
		return unreachable(client, "waiting for an answer", strerror(errno));
	if (ready <= 0)
		return left ? AERO_EXIT_OK : AERO_EXIT_TIMEOUT;
	if (!make_room(client))
		return unreachable(client, "reading an answer", "it is too long");
	got = recv(client->fd, client->in + client->in_len, client->in_room - client->in_len, 0);
	if (got < 0 && errno == EINTR)
		return AERO_EXIT_OK;
	if (got <= 0)
		return unreachable(client, "the device ended the connection",
				   got ? strerror(errno) : "it is gone");
	client->in_len += (size_t)got;
	return AERO_EXIT_OK;
}

/* Takes the first line that came, if there is a whole one. */
static json_t *take_line(struct aero_client *client)
{
	char *newline = client->in_len ? memchr(client->in, '\n', client->in_len) : NULL;
	json_t *message;
	size_t len;

	if (!newline)
		return NULL;
	len = (size_t)(newline - client->in);
	message = json_loadb(client->in, len, JSON_REJECT_DUPLICATES, NULL);
	client->in_len -= len + 1;
	memmove(client->in, newline + 1, client->in_len);
	/* Whatever it is, it is neither an event nor our answer. */
	return message ? message : json_object();
}

static int receive(struct aero_client *client, uint64_t deadline_ms, json_t **out_message)
{
	int result = AERO_EXIT_OK;

	*out_message = take_line(client);
	while (!*out_message && result == AERO_EXIT_OK) {
		result = receive_more(client, deadline_ms);
		*out_message = take_line(client);
	}
	return *out_message ? AERO_EXIT_OK : result;
}

/* Calls --------------------------------------------------------------------------------------- */

/* Takes an answer apart: the caller's reference stays, or is dropped with an error told. */
static int judge(struct aero_client *client, json_t *answer, json_t **out_answer)
{
	const json_t *error = json_object_get(answer, "error");
	bool is_late = !strcmp(aero_client_text(error, "code"), "timed_out");

	if (json_is_true(json_object_get(answer, "ok"))) {
		json_object_del(answer, "id");
		json_object_del(answer, "ok");
		*out_answer = answer;
		return AERO_EXIT_OK;
	}
	aero_complain(client->command, "%s", aero_client_text(error, "text"));
	json_decref(answer);
	return is_late ? AERO_EXIT_TIMEOUT : AERO_EXIT_FAILED;
}

/* An answer to nothing is how a device refuses the connection. */
static bool is_answer(const struct aero_client *client, const json_t *message)
{
	const json_t *id = json_object_get(message, "id");

	return json_integer_value(id) == client->last_id ||
	       (json_is_null(id) && json_is_false(json_object_get(message, "ok")));
}

static int await_answer(struct aero_client *client, uint32_t timeout_ms, json_t **out_answer)
{
	uint64_t deadline_ms = aero_clock_ms() + timeout_ms;
	json_t *message;
	int result;

	for (;;) {
		result = receive(client, deadline_ms, &message);
		if (result == AERO_EXIT_TIMEOUT)
			aero_complain(client->command, "no answer in %.1f s", timeout_ms / 1000.0);
		if (result != AERO_EXIT_OK)
			return result;
		if (is_answer(client, message))
			return judge(client, message, out_answer);
		if (json_object_get(message, "event"))
			json_array_append(client->events, message);
		json_decref(message);
	}
}

int aero_client_call(struct aero_client *client, json_t *request, uint32_t timeout_ms,
		     json_t **out_answer)
{
	int result = send_request(client, request);

	*out_answer = NULL;
	json_decref(request);
	return result == AERO_EXIT_OK ? await_answer(client, timeout_ms, out_answer) : result;
}

int aero_client_event(struct aero_client *client, uint32_t timeout_ms, json_t **out_event)
{
	uint64_t deadline_ms = timeout_ms == UINT32_MAX ? UINT64_MAX : aero_clock_ms() + timeout_ms;
	int result;

	*out_event = json_incref(json_array_get(client->events, 0));
	if (*out_event) {
		json_array_remove(client->events, 0);
		return AERO_EXIT_OK;
	}
	for (;;) {
		result = receive(client, deadline_ms, out_event);
		if (result != AERO_EXIT_OK || json_object_get(*out_event, "event"))
			return result;
		json_decref(*out_event);
	}
}

void aero_client_forget_events(struct aero_client *client)
{
	json_array_clear(client->events);
}

int aero_client_ask(const char *command, const char *path, json_t *request, uint32_t timeout_ms,
		    json_t **out_answer)
{
	struct aero_client client;
	int result = aero_client_open(&client, command, path);

	*out_answer = NULL;
	if (result == AERO_EXIT_OK)
		result = aero_client_call(&client, request, timeout_ms, out_answer);
	else
		json_decref(request);
	aero_client_close(&client);
	return result;
}

/* Reading answers ----------------------------------------------------------------------------- */

uint64_t aero_client_number(const json_t *object, const char *key)
{
	const json_t *number = json_object_get(object, key);

	/* Numbers of 2^63 and more come with a decimal point. */
	if (json_is_real(number))
		return json_real_value(number) < 18446744073709549568.0
			       ? (uint64_t)json_real_value(number)
			       : UINT64_MAX;
	return (uint64_t)json_integer_value(number);
}

const char *aero_client_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

int aero_client_print(const json_t *answer)
{
	json_dumpf(answer, stdout, JSON_INDENT(2));
	putchar('\n');
	return AERO_EXIT_OK;
}
