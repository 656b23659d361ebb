/* SPDX-License-Identifier: MIT */
#include "hosted/control_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#define BACKLOG 8

void aero_control_log(struct aero_control *control, const char *format, ...)
{
	char text[256];
	char line[288];
	va_list args;

	if (!control->config.log)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(line, sizeof(line), "control: %s", text);
	control->config.log(control->config.ctx, line);
}

static void on_connection(uv_stream_t *server, int status)
{
	struct aero_control *control = server->data;

	if (status < 0)
		aero_control_log(control, "accepting a client: %s", uv_strerror(status));
	else
		aero_control_client_accept(control);
}

/* A turn of the loop for requests that earlier turns left over. */
static void on_backlog(uv_idle_t *idle)
{
	struct aero_control *control = idle->data;
	bool is_done = true;
	unsigned int i;

	for (i = 0; i < AERO_CONTROL_CLIENTS_MAX; i++) {
		struct aero_control_client *client = control->clients[i];

		if (client && client->is_backlogged && aero_control_client_go_on(client))
			is_done = false;
	}
	if (is_done)
		uv_idle_stop(idle);
}

void aero_control_begin_backlog(struct aero_control *control)
{
	uv_idle_start(&control->backlog, on_backlog);
}

static void init_handles(struct aero_control *control)
{
	uv_pipe_init(control->loop, &control->pipe, 0);
	uv_timer_init(control->loop, &control->deadline);
	uv_idle_init(control->loop, &control->backlog);
	control->pipe.data = control;
	control->deadline.data = control;
	control->backlog.data = control;
	control->open_handles = 3;
}

static enum aero_status watch_socket(struct aero_control *control, struct aero_error *error)
{
	int status = uv_pipe_open(&control->pipe, control->listener.fd);

	if (!status) {
		control->listener.fd = -1;
		status = uv_listen((uv_stream_t *)&control->pipe, BACKLOG, on_connection);
	}
	if (status)
		return aero_error_set(error, AERO_EIO, "%s: %s", control->config.path,
				      uv_strerror(status));
	return AERO_OK;
}

static void nothing(void *ctx)
{
	(void)ctx;
}

enum aero_status aero_control_start(struct aero_control *control, uv_loop_t *loop,
				    const struct aero_control_config *config,
				    struct aero_error *error)
{
	enum aero_status status;

	memset(control, 0, sizeof(*control));
	control->config = *config;
	control->loop = loop;
	status = aero_unix_listener_open(&control->listener, config->path, BACKLOG, error);
	if (status != AERO_OK)
		return status;
	init_handles(control);
	status = watch_socket(control, error);
	if (status == AERO_OK)
		return AERO_OK;
	aero_control_close(control, nothing, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
	return status;
}

static int64_t wall_clock_ms(void)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	return (int64_t)now.tv_sec * 1000 + now.tv_usec / 1000;
}

static bool is_watched(const struct aero_control_client *client, int event)
{
	return client && event >= 0 && (client->watched >> event & 1);
}

void aero_control_tell(struct aero_control *control, const struct aero_control_news *news)
{
	const struct aero_control_config *config = &control->config;
	json_t *message = NULL;
	unsigned int i;

	if (control->closed)
		return;
	for (i = 0; i < AERO_CONTROL_CLIENTS_MAX; i++) {
		if (!is_watched(control->clients[i], news->event))
			continue;
		if (!message) {
			message = config->ops->describe_event(config->balloon, news->detail);
			json_object_set_new(message, "time_ms", json_integer(wall_clock_ms()));
		}
		aero_control_client_send(control->clients[i], json_incref(message));
	}
	json_decref(message);
	aero_control_wait_end(control, news->turn);
}

void aero_control_handle_closed(struct aero_control *control)
{
	if (--control->open_handles == 0)
		control->closed(control->closed_ctx);
}

static void on_handle_closed(uv_handle_t *handle)
{
	aero_control_handle_closed(handle->data);
}

void aero_control_close(struct aero_control *control, void (*closed)(void *ctx), void *ctx)
{
	unsigned int i;

	control->closed = closed;
	control->closed_ctx = ctx;
	for (i = 0; i < AERO_CONTROL_CLIENTS_MAX; i++) {
		if (control->clients[i])
			aero_control_client_close(control->clients[i]);
	}
	aero_unix_listener_close(&control->listener);
	uv_close((uv_handle_t *)&control->pipe, on_handle_closed);
	uv_close((uv_handle_t *)&control->deadline, on_handle_closed);
	uv_close((uv_handle_t *)&control->backlog, on_handle_closed);
}
