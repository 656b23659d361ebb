/* SPDX-License-Identifier: MIT */
#include "run_frame.h"

#include <stdlib.h>
#include <string.h>

/* Colours that stand out on a dark as well as on a light background. */
static const char *const looks[] = {
	[RUN_LOOK_PLAIN] = "\033[m",	   [RUN_LOOK_BOLD] = "\033[0;1m",
	[RUN_LOOK_FAINT] = "\033[0;2m",	   [RUN_LOOK_CYAN] = "\033[0;36m",
	[RUN_LOOK_MAGENTA] = "\033[0;35m",
};

bool run_frame_open(struct run_frame *frame, unsigned int columns, bool is_rich)
{
	memset(frame, 0, sizeof(*frame));
	frame->columns = columns;
	frame->is_rich = is_rich;
	frame->out = open_memstream(&frame->text, &frame->len);
	return frame->out;
}

static void change_look(struct run_frame *frame, enum run_look look)
{
	if (!frame->is_rich || frame->look == look)
		return;
	fputs(looks[look], frame->out);
	frame->look = look;
}

static unsigned int *line_width(struct run_frame *frame)
{
	if (!frame->lines)
		frame->lines = 1;
	return &frame->width[frame->lines - 1];
}

static size_t code_point_bytes(const char *text)
{
	size_t bytes = 1;

	while ((text[bytes] & 0xc0) == 0x80)
		bytes++;
	return bytes;
}

void run_frame_put(struct run_frame *frame, enum run_look look, const char *text)
{
	unsigned int *width = line_width(frame);
	size_t bytes;

	for (; *text && *width + frame->blanks < frame->columns; text += bytes) {
		bytes = code_point_bytes(text);
		if (*text == ' ') {
			frame->blanks++;
			continue;
		}
		fprintf(frame->out, "%*s", (int)frame->blanks, "");
		change_look(frame, look);
		fwrite(text, 1, bytes, frame->out);
		*width += frame->blanks + 1;
		frame->blanks = 0;
	}
}

void run_frame_skip(struct run_frame *frame, unsigned int column)
{
	unsigned int at = *line_width(frame) + frame->blanks;

	if (column > at)
		frame->blanks += column - at;
}

void run_frame_next(struct run_frame *frame)
{
	(void)line_width(frame);
	frame->blanks = 0;
	change_look(frame, RUN_LOOK_PLAIN);
	if (frame->lines == RUN_FRAME_LINES)
		return;
	fputc('\n', frame->out);
	frame->lines++;
}

bool run_frame_finish(struct run_frame *frame)
{
	bool is_whole;

	change_look(frame, RUN_LOOK_PLAIN);
	is_whole = !ferror(frame->out);
	if (!fclose(frame->out) && is_whole)
		return true;
	free(frame->text);
	frame->text = NULL;
	return false;
}

unsigned int run_frame_rows(const struct run_frame *frame, unsigned int columns)
{
	unsigned int rows = 0, i;

	for (i = 0; i < frame->lines; i++)
		rows += frame->width[i] > columns && columns
				? (frame->width[i] + columns - 1) / columns
				: 1;
	return rows;
}
