/* SPDX-License-Identifier: MIT */
#include "run_chart.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_COLUMNS 9 /* "1024 MiB" and a blank */
#define MOST_TIME_TICKS 24

/* One character of the plot. */
struct cell {
	uint8_t dots; /* of a braille character; not 0 where ASCII has a mark */
	uint8_t curve;
};

struct canvas {
	struct cell *cells;
	unsigned int columns, rows;	     /* characters */
	unsigned int dots_across, dots_down; /* in each */
	struct run_span span;
	uint64_t top_bytes;
};

static const enum run_look looks[RUN_CURVES] = { RUN_LOOK_PLAIN, RUN_LOOK_CYAN, RUN_LOOK_MAGENTA };
static const char *const ascii_marks[RUN_CURVES] = { "-", "*", "o" };

/* Painting ------------------------------------------------------------------------------------- */

/* Rows of dots are counted from the bottom. */
static void paint_dot(struct canvas *canvas, unsigned int x, unsigned int y, enum run_curve curve)
{
	/* Unicode 2800: dots 1-8 of a cell, by column and row from the bottom. */
	static const uint8_t bits[2][4] = { { 0x40, 0x04, 0x02, 0x01 },
					    { 0x80, 0x20, 0x10, 0x08 } };
	unsigned int row = canvas->rows - 1 - y / canvas->dots_down;
	struct cell *cell = &canvas->cells[row * canvas->columns + x / canvas->dots_across];

	/* A cell has one colour, so it shows the dots of one curve. */
	if (cell->curve != curve)
		cell->dots = 0;
	cell->curve = (uint8_t)curve;
	cell->dots |= bits[x % canvas->dots_across][y % canvas->dots_down];
}

static unsigned int dot_of_bytes(const struct canvas *canvas, uint64_t bytes)
{
	unsigned int most = canvas->rows * canvas->dots_down - 1;
	double place = (double)bytes / (double)canvas->top_bytes * most + 0.5;

	return place < most ? (unsigned int)place : most;
}

static void paint_curve(struct canvas *canvas, const struct run_samples *samples,
			enum run_curve curve)
{
	unsigned int dots = canvas->columns * canvas->dots_across, x, y, end;
	double width = (canvas->span.end - canvas->span.begin) / dots;
	struct run_span span;
	uint64_t low, high;

	for (x = 0; x < dots; x++) {
		span.begin = canvas->span.begin + width * x;
		span.end = span.begin + width;
		if (!run_curve_range(samples, curve, span, &low, &high))
			continue;
		end = dot_of_bytes(canvas, high);
		for (y = dot_of_bytes(canvas, low); y <= end; y++)
			paint_dot(canvas, x, y, curve);
	}
}

/* Writing -------------------------------------------------------------------------------------- */

static void put_cell(struct run_frame *frame, const struct cell *cell)
{
	const char braille[] = { (char)0xe2, (char)(0xa0 | cell->dots >> 6),
				 (char)(0x80 | (cell->dots & 0x3f)), 0 };

	if (!cell->dots)
		run_frame_put(frame, RUN_LOOK_PLAIN, " ");
	else
		run_frame_put(frame, looks[cell->curve],
			      frame->is_rich ? braille : ascii_marks[cell->curve]);
}

/* The label of a row, where a tick falls into it. */
static bool find_tick(const struct canvas *canvas, unsigned int row, char *label, size_t size)
{
	uint64_t step = run_step_bytes(canvas->top_bytes, canvas->rows / 3), tick;
	struct run_unit unit = run_unit_of(step);

	for (tick = 0; tick <= canvas->top_bytes; tick += step) {
		if (canvas->rows - 1 - dot_of_bytes(canvas, tick) / canvas->dots_down != row)
			continue;
		snprintf(label, size, "%" PRIu64 " %s", tick / unit.bytes, unit.name);
		return true;
	}
	return false;
}

static void put_row(struct run_frame *frame, const struct canvas *canvas, unsigned int row)
{
	char label[32];
	unsigned int x;

	if (find_tick(canvas, row, label, sizeof(label))) {
		if (strlen(label) < LABEL_COLUMNS)
			run_frame_skip(frame, LABEL_COLUMNS - 1 - (unsigned int)strlen(label));
		run_frame_put(frame, RUN_LOOK_PLAIN, label);
		run_frame_skip(frame, LABEL_COLUMNS);
		run_frame_put(frame, RUN_LOOK_FAINT, frame->is_rich ? "┤" : "+");
	} else {
		run_frame_skip(frame, LABEL_COLUMNS);
		run_frame_put(frame, RUN_LOOK_FAINT, frame->is_rich ? "│" : "|");
	}
	for (x = 0; x < canvas->columns; x++)
		put_cell(frame, &canvas->cells[row * canvas->columns + x]);
	run_frame_next(frame);
}

static unsigned int column_of_seconds(const struct canvas *canvas, double seconds)
{
	double place = (seconds - canvas->span.begin) / (canvas->span.end - canvas->span.begin);
	double column = place * canvas->columns;

	if (column < 0)
		return 0;
	return column < canvas->columns - 1 ? (unsigned int)column : canvas->columns - 1;
}

struct time_ticks {
	unsigned int count;
	unsigned int column[MOST_TIME_TICKS];
	char label[MOST_TIME_TICKS][16];
};

static void find_time_ticks(const struct canvas *canvas, struct time_ticks *out)
{
	struct run_ticks ticks = run_time_ticks(canvas->span, canvas->columns / 10);
	int64_t n;

	out->count = 0;
	for (n = ticks.first; n <= ticks.last && out->count < MOST_TIME_TICKS; n++) {
		double tick = ticks.step * (double)n;

		out->column[out->count] = column_of_seconds(canvas, tick);
		snprintf(out->label[out->count++], sizeof(out->label[0]), "%.*f s", ticks.decimals,
			 tick);
	}
}

static bool is_tick(const struct time_ticks *ticks, unsigned int column)
{
	unsigned int i;

	for (i = 0; i < ticks->count; i++)
		if (ticks->column[i] == column)
			return true;
	return false;
}

static void put_time_axis(struct run_frame *frame, const struct canvas *canvas)
{
	struct time_ticks ticks;
	unsigned int x, i, at, length;

	find_time_ticks(canvas, &ticks);
	run_frame_skip(frame, LABEL_COLUMNS);
	run_frame_put(frame, RUN_LOOK_FAINT, frame->is_rich ? "└" : "+");
	for (x = 0; x < canvas->columns; x++)
		if (is_tick(&ticks, x))
			run_frame_put(frame, RUN_LOOK_FAINT, frame->is_rich ? "┬" : "+");
		else
			run_frame_put(frame, RUN_LOOK_FAINT, frame->is_rich ? "─" : "-");
	run_frame_next(frame);
	for (i = 0; i < ticks.count; i++) {
		length = (unsigned int)strlen(ticks.label[i]);
		at = LABEL_COLUMNS + 1 + ticks.column[i] - length / 2;
		if (at + length > frame->columns)
			at = frame->columns - length;
		run_frame_skip(frame, at);
		run_frame_put(frame, RUN_LOOK_PLAIN, ticks.label[i]);
	}
	run_frame_next(frame);
}

static void put_legend(struct run_frame *frame, const struct run_samples *samples, bool is_live)
{
	const struct run_sample *last = samples->count ? &samples->at[samples->count - 1] : NULL;
	bool has_numbers = is_live && last && frame->columns >= 76;
	unsigned int curve;
	char number[32];

	for (curve = 0; curve < RUN_CURVES; curve++) {
		if (curve)
			run_frame_put(frame, RUN_LOOK_PLAIN, has_numbers ? "   " : "  ");
		run_frame_put(frame, looks[curve], frame->is_rich ? "━" : ascii_marks[curve]);
		run_frame_put(frame, RUN_LOOK_PLAIN, " ");
		run_frame_put(frame, RUN_LOOK_PLAIN, run_curve_str(curve));
		if (!has_numbers)
			continue;
		snprintf(number, sizeof(number), " %.1f MiB",
			 (double)run_curve_bytes(last, curve) / 1048576);
		run_frame_put(frame, RUN_LOOK_BOLD, number);
	}
}

bool run_chart_draw(struct run_frame *frame, unsigned int lines, const struct run_samples *samples,
		    struct run_span span, uint64_t top_bytes, bool is_live)
{
	struct canvas canvas = {
		.columns = frame->columns - LABEL_COLUMNS - 1,
		.rows = lines - RUN_CHART_OTHER_LINES,
		.dots_across = frame->is_rich ? 2 : 1,
		.dots_down = frame->is_rich ? 4 : 1,
		.span = span,
		.top_bytes = top_bytes,
	};
	unsigned int row;

	canvas.cells = calloc((size_t)canvas.columns * canvas.rows, sizeof(*canvas.cells));
	if (!canvas.cells)
		return false;
	paint_curve(&canvas, samples, RUN_CURVE_TARGET);
	paint_curve(&canvas, samples, RUN_CURVE_RESIDENT);
	paint_curve(&canvas, samples, RUN_CURVE_ACTUAL);
	for (row = 0; row < canvas.rows; row++)
		put_row(frame, &canvas, row);
	put_time_axis(frame, &canvas);
	put_legend(frame, samples, is_live);
	free(canvas.cells);
	return true;
}
