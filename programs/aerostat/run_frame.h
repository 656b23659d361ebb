/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_FRAME_H
#define AEROSTAT_PROGRAMS_RUN_FRAME_H

/*
 * A picture of text: lines whose widths are known and never exceed the terminal's, so that it can
 * be drawn over in place, also after the terminal has been made narrower.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define RUN_FRAME_LINES 64

/* How a piece of text looks; nothing of it without is_rich. */
enum run_look { RUN_LOOK_PLAIN, RUN_LOOK_BOLD, RUN_LOOK_FAINT, RUN_LOOK_CYAN, RUN_LOOK_MAGENTA };

struct run_frame {
	bool is_rich;	      /* UTF-8 and colours; else ASCII and no escape codes */
	unsigned int columns; /* no line is wider */
	unsigned int lines;   /* begun */
	unsigned int width[RUN_FRAME_LINES];

	/* Private. */
	FILE *out;
	char *text;
	size_t len;
	unsigned int blanks; /* asked for and not yet written: none at the end of a line */
	enum run_look look;
};

/**
 * run_frame_open() - Begin an empty picture.
 * @frame:   Uninitialised.
 * @columns: Of the terminal.
 * @is_rich: Whether it may have more than ASCII.
 *
 * Shape:   nothing is written yet: the first put begins the first line.
 * Owner:   run_frame_finish() and free(frame->text).
 * Errors:  false without memory; nothing is to be freed.
 * Context: any.
 * Source:  none.
 */
bool run_frame_open(struct run_frame *frame, unsigned int columns, bool is_rich);

/**
 * run_frame_put() - Add text to the line.
 * @frame: Open.
 * @look:  How.
 * @text:  Printable; what exceeds the width is left out.
 *
 * Shape:   each code point counts as one column.
 * Owner:   copied.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void run_frame_put(struct run_frame *frame, enum run_look look, const char *text);

/**
 * run_frame_skip() - Leave columns blank.
 * @frame:  Open.
 * @column: Where the next text is to stand; nothing happens if the line is there already.
 *
 * Shape:   blanks at the end of a line are not written.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void run_frame_skip(struct run_frame *frame, unsigned int column);

/**
 * run_frame_next() - End the line and begin another.
 * @frame: Open.
 *
 * Shape:   up to RUN_FRAME_LINES; further text continues the last line.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void run_frame_next(struct run_frame *frame);

/**
 * run_frame_finish() - End the last line.
 * @frame: Open.
 *
 * Shape:   text of frame->lines lines, without a newline at the end.
 * Owner:   the caller frees frame->text.
 * Errors:  false without memory; nothing is to be freed.
 * Context: any.
 * Source:  none.
 */
bool run_frame_finish(struct run_frame *frame);

/**
 * run_frame_rows() - Rows that a picture takes in a terminal of another width.
 * @frame:   Finished.
 * @columns: The width now.
 *
 * Shape:   as many as lines where none is wider.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  terminals break lines anew when they become narrower.
 */
unsigned int run_frame_rows(const struct run_frame *frame, unsigned int columns);

#endif
