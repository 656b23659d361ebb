/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_LINE_READER_H
#define AEROSTAT_HOSTED_LINE_READER_H

/* Text lines from a pipe or socket on an event loop. */

#include "hosted/error.h"

#include <stddef.h>
#include <uv.h>

/* A longer line is handed over in pieces. */
#define AERO_LINE_MAX 16384

struct aero_line_events {
	/* A line without its end, NUL-terminated, valid during the call. The last one may lack its
	 * newline. aero_line_reader_close() may be called in it. */
	void (*line)(void *ctx, const char *line);
	/* The other end is closed; no line follows. Called once, not after close. */
	void (*end)(void *ctx);
	/* The reader may be freed. */
	void (*closed)(void *ctx);
	void *ctx;
};

/* Private to line_reader.c, except that stream may be written to. */
struct aero_line_reader {
	uv_pipe_t stream;
	size_t len;
	char buffer[AERO_LINE_MAX];
	struct aero_line_events events;
};

/**
 * aero_line_reader_open() - Start reading.
 * @reader: Storage of the caller.
 * @loop:   Event loop.
 * @fd:     Pipe or stream socket.
 * @events: What to call; copied. Every member is needed.
 *
 * Shape:   a carriage return before the newline is taken off; NUL bytes become question marks.
 * Owner:   @fd belongs to the reader. @reader must stay in place until events->closed.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_line_reader_open(struct aero_line_reader *reader, uv_loop_t *loop, int fd,
			   const struct aero_line_events *events);

/**
 * aero_line_reader_close() - Stop reading and close.
 * @reader: Open reader; closing again does nothing.
 *
 * Shape:   events->closed is called later, from the loop; nothing else is any more.
 * Owner:   the descriptor is closed.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_line_reader_close(struct aero_line_reader *reader);

#endif
