/* SPDX-License-Identifier: MIT */
#include "hosted/line_reader.h"

#include <stdbool.h>
#include <string.h>

static bool is_closing(const struct aero_line_reader *reader)
{
	return uv_is_closing((const uv_handle_t *)&reader->stream);
}

/* buffer[len] is free for the NUL: reads leave one byte. */
static void hand_over(struct aero_line_reader *reader, char *start, size_t len)
{
	if (len && start[len - 1] == '\r')
		len--;
	start[len] = '\0';
	for (char *at = start; (at = memchr(at, '\0', len - (size_t)(at - start)));)
		*at = '?';
	reader->events.line(reader->events.ctx, start);
}

static void split(struct aero_line_reader *reader)
{
	char *start = reader->buffer;
	char *end = start + reader->len;
	char *newline;

	while (!is_closing(reader) && (newline = memchr(start, '\n', (size_t)(end - start)))) {
		hand_over(reader, start, (size_t)(newline - start));
		start = newline + 1;
	}
	reader->len = (size_t)(end - start);
	memmove(reader->buffer, start, reader->len);
	if (reader->len < sizeof(reader->buffer) - 1 || is_closing(reader))
		return;
	hand_over(reader, reader->buffer, reader->len);
	reader->len = 0;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct aero_line_reader *reader = handle->data;

	(void)suggested;
	*buf = uv_buf_init(reader->buffer + reader->len,
			   (unsigned int)(sizeof(reader->buffer) - 1 - reader->len));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
	struct aero_line_reader *reader = stream->data;

	(void)buf;
	if (got >= 0) {
		reader->len += (size_t)got;
		split(reader);
		return;
	}
	uv_read_stop(stream);
	if (reader->len)
		hand_over(reader, reader->buffer, reader->len);
	reader->len = 0;
	if (!is_closing(reader))
		reader->events.end(reader->events.ctx);
}

static void on_closed(uv_handle_t *handle)
{
	struct aero_line_reader *reader = handle->data;

	reader->events.closed(reader->events.ctx);
}

void aero_line_reader_open(struct aero_line_reader *reader, uv_loop_t *loop, int fd,
			   const struct aero_line_events *events)
{
	reader->len = 0;
	reader->events = *events;
	uv_pipe_init(loop, &reader->stream, 0);
	reader->stream.data = reader;
	uv_pipe_open(&reader->stream, fd);
	uv_read_start((uv_stream_t *)&reader->stream, on_alloc, on_read);
}

void aero_line_reader_close(struct aero_line_reader *reader)
{
	if (!is_closing(reader))
		uv_close((uv_handle_t *)&reader->stream, on_closed);
}
