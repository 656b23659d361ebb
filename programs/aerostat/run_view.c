/* SPDX-License-Identifier: MIT */
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "run_chart.h"
#include "run_text.h"

#define MIB 1048576.0
#define REDRAW_NS 100000000ull

/* Headline and bar. */
#define BAR_LINES 2
#define BAR_MIN_COLUMNS 24

/* More would be blank space, not more to see. */
#define CHART_MAX_COLUMNS 132
#define CHART_MAX_LINES 24

/* The chart's time axis is at least this long, so that it does not race at the start. */
#define MIN_SECONDS 1.5

/* And so much of what came before the balloon it shows. */
#define BEFORE_SECONDS 1.0

/*
 * Around a picture: a terminal that knows synchronised updates shows it at once, others hide the
 * cursor meanwhile. Between pictures the cursor is visible, so that nothing has to be mended
 * however the program ends.
 */
static const char picture_begin[] = "\033[?2026h\033[?25l";
static const char picture_end[] = "\033[?25h\033[?2026l";

/* What there is room for. */
enum room { ROOM_LINES, ROOM_BAR, ROOM_CHART };

struct run_view {
	FILE *out;
	bool is_quiet;
	bool is_terminal;
	bool is_rich;
	uint64_t memory_bytes;
	uint64_t begin_ns;
	enum run_phase phase;
	char headline[160];

	/* Pictures. */
	bool has_frame; /* frame is on the screen */
	struct run_frame frame;
	struct winsize size; /* when it was drawn */
	uint64_t drawn_ns;
	double chart_begin; /* seconds */

	/* Plain lines. */
	double way_begin; /* of the way that next_line is about */
	double next_line;
	bool is_way_told; /* its end */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static double elapsed(const struct run_view *view)
{
	return (double)(now_ns() - view->begin_ns) / 1e9;
}

static bool is_set(const char *name)
{
	const char *value = getenv(name);

	return value && value[0];
}

static bool is_terminal(FILE *out)
{
	const char *term = getenv("TERM");

	return fileno(out) >= 0 && isatty(fileno(out)) && term && term[0] &&
	       strcmp(term, "dumb") != 0;
}

/* The user's own locale, whether or not the program has set it. */
static bool is_utf8(void)
{
	locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	bool answer;

	if (!locale)
		return false;
	answer = !strcmp(nl_langinfo_l(CODESET, locale), "UTF-8");
	freelocale(locale);
	return answer;
}

struct run_view *run_view_open(FILE *out, bool is_quiet, uint64_t memory_bytes)
{
	struct run_view *view = calloc(1, sizeof(*view));

	if (!view)
		return NULL;
	view->out = out;
	view->is_quiet = is_quiet;
	view->is_terminal = is_terminal(out);
	view->is_rich = view->is_terminal && is_utf8() && !is_set("NO_COLOR");
	view->memory_bytes = memory_bytes;
	view->begin_ns = now_ns();
	view->way_begin = -1;
	return view;
}

/* Lines ---------------------------------------------------------------------------------------- */

/* How far: of the target when it grows, what is left to give back when it shrinks. */
static void describe_amount(const struct run_progress *progress, char *out, size_t size)
{
	double actual = (double)progress->actual_bytes / MIB, to = (double)progress->to_bytes / MIB;

	if (progress->to_bytes < progress->from_bytes)
		snprintf(out, size, "%.1f MiB to go", actual > to ? actual - to : 0);
	else
		snprintf(out, size, "%.1f of %.1f MiB", actual, to);
}

static void describe_progress(const struct run_progress *progress, char *out, size_t size)
{
	double rate = progress->bytes_per_second / MIB;
	double resident = (double)progress->resident_bytes / MIB;
	char amount[64];

	describe_amount(progress, amount, sizeof(amount));
	if (progress->is_arrived)
		snprintf(out, size,
			 "  reached %.1f MiB in %.2f s, %.1f MiB/s, host-resident %.1f MiB",
			 (double)progress->to_bytes / MIB, progress->seconds, rate, resident);
	else
		snprintf(out, size, "  %s (%.0f %%), %.1f MiB/s, host-resident %.1f MiB", amount,
			 progress->fraction * 100, rate, resident);
}

static void print_line(struct run_view *view, const char *text)
{
	fprintf(view->out, "%7.2f s  %s\n", elapsed(view), text);
	fflush(view->out);
}

static void update_lines(struct run_view *view, const struct run_samples *samples)
{
	struct run_progress progress = run_progress_of(samples);
	double now = elapsed(view);
	char text[160];

	if (!progress.is_begun)
		return;
	if (progress.begin != view->way_begin) {
		view->way_begin = progress.begin;
		view->next_line = now + 1;
		view->is_way_told = false;
	}
	if (view->is_way_told)
		return;
	if (!progress.is_arrived && now < view->next_line)
		return;
	view->is_way_told = progress.is_arrived;
	view->next_line = now + 1;
	describe_progress(&progress, text, sizeof(text));
	print_line(view, text);
}

/* Pictures ------------------------------------------------------------------------------------- */

static struct winsize read_size(const struct run_view *view)
{
	struct winsize size;

	if (ioctl(fileno(view->out), TIOCGWINSZ, &size) || !size.ws_col || !size.ws_row) {
		size.ws_col = 80;
		size.ws_row = 24;
	}
	return size;
}

static enum room find_room(const struct run_view *view, struct winsize size)
{
	if (!view->is_terminal || size.ws_col <= BAR_MIN_COLUMNS || size.ws_row <= BAR_LINES)
		return ROOM_LINES;
	if (size.ws_col <= RUN_CHART_MIN_COLUMNS || size.ws_row <= BAR_LINES + RUN_CHART_MIN_LINES)
		return ROOM_BAR;
	return ROOM_CHART;
}

/* Goes back to where the picture on the screen begins, if there is one. */
static void rewind_frame(const struct run_view *view, FILE *pen, struct winsize size)
{
	unsigned int rows;

	if (!view->has_frame)
		return;
	rows = run_frame_rows(&view->frame, size.ws_col);
	/* Where it no longer fits, its upper part has left the screen: take a fresh one. */
	if (rows > size.ws_row)
		fputs("\033[H\033[2J", pen);
	else if (rows > 1)
		fprintf(pen, "\r\033[%uA", rows - 1);
	else
		fputs("\r", pen);
	/* After a change of size lines may lie anywhere; else each is cleared as it is drawn. */
	if (size.ws_col != view->size.ws_col || size.ws_row != view->size.ws_row)
		fputs("\033[J", pen);
}

static void write_frame(const struct run_frame *frame, FILE *pen)
{
	const char *text = frame->text, *end;

	for (; (end = strchr(text, '\n')); text = end + 1) {
		fwrite(text, 1, (size_t)(end - text), pen);
		fputs("\033[K\n", pen);
	}
	fprintf(pen, "%s\033[J", text);
}

/* Puts a line, if any, and then a picture, if any, in place of the picture on the screen. */
static void show(struct run_view *view, const char *line, const struct run_frame *frame,
		 struct winsize size)
{
	char *text;
	size_t len;
	FILE *pen = open_memstream(&text, &len);

	if (!pen)
		return;
	fputs(picture_begin, pen);
	rewind_frame(view, pen, size);
	if (line)
		fprintf(pen, "%s\033[K\n", line);
	if (frame)
		write_frame(frame, pen);
	else
		fputs("\033[J", pen);
	fputs(picture_end, pen);
	/* At once: standard error has no buffer. */
	if (!fclose(pen)) {
		fwrite(text, 1, len, view->out);
		fflush(view->out);
		free(text);
	}
	view->size = size;
}

static void forget_frame(struct run_view *view)
{
	if (view->has_frame)
		free(view->frame.text);
	view->has_frame = false;
}

static void put_headline(struct run_frame *frame, const struct run_view *view)
{
	char seconds[32];
	int length = snprintf(seconds, sizeof(seconds), "%.1f s", elapsed(view));

	run_frame_put(frame, RUN_LOOK_BOLD, view->headline);
	run_frame_put(frame, RUN_LOOK_PLAIN, "  ");
	if (frame->columns > (unsigned int)length)
		run_frame_skip(frame, frame->columns - (unsigned int)length);
	run_frame_put(frame, RUN_LOOK_FAINT, seconds);
	run_frame_next(frame);
}

static void put_bar(struct run_frame *frame, double fraction, unsigned int columns)
{
	/* Eighths of a character. */
	static const char *const parts[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	double filled = fraction * (columns - 2);
	unsigned int i;

	run_frame_put(frame, RUN_LOOK_FAINT, frame->is_rich ? "▕" : "[");
	for (i = 0; i < (unsigned int)filled; i++)
		run_frame_put(frame, RUN_LOOK_CYAN, frame->is_rich ? "█" : "#");
	if (frame->is_rich)
		run_frame_put(frame, RUN_LOOK_CYAN, parts[(unsigned int)(filled * 8) % 8]);
	run_frame_skip(frame, columns - 1);
	run_frame_put(frame, RUN_LOOK_FAINT, frame->is_rich ? "▏" : "]");
}

/* What stands beside the bar, shorter where there is little room. */
static void describe_bar(const struct run_progress *progress, unsigned int columns, char *out,
			 size_t size)
{
	double percent = progress->fraction * 100, rate = progress->bytes_per_second / MIB;
	char amount[64];

	describe_amount(progress, amount, sizeof(amount));
	if (columns >= 64)
		snprintf(out, size, " %3.0f %%  %s  %.1f MiB/s", percent, amount, rate);
	else if (columns >= 36)
		snprintf(out, size, " %3.0f %%  %.0f MiB  %.0f MiB/s", percent,
			 (double)progress->actual_bytes / MIB, rate);
	else
		snprintf(out, size, " %3.0f %%", percent);
}

static void put_progress(struct run_frame *frame, const struct run_samples *samples)
{
	struct run_progress progress = run_progress_of(samples);
	unsigned int length;
	char text[128];

	if (!progress.is_begun) {
		run_frame_put(frame, RUN_LOOK_FAINT, "the balloon is empty");
		return;
	}
	describe_bar(&progress, frame->columns, text, sizeof(text));
	length = (unsigned int)strlen(text);
	if (length + 6 < frame->columns)
		put_bar(frame, progress.fraction, frame->columns - length);
	run_frame_put(frame, RUN_LOOK_PLAIN, text);
}

/* The piece of time that the chart shows: to the next round number, so that it moves rarely. */
static struct run_span find_span(const struct run_view *view, const struct run_samples *samples,
				 bool is_last)
{
	struct run_span span = { view->chart_begin, view->chart_begin };
	double step;

	if (samples->count)
		span.end = samples->at[samples->count - 1].seconds;
	if (is_last && span.end > span.begin)
		return span;
	if (span.end < span.begin + MIN_SECONDS)
		span.end = span.begin + MIN_SECONDS;
	step = run_step_seconds(span.end - span.begin, 8);
	span.end = span.begin + step * (double)(int64_t)((span.end - span.begin) / step + 1);
	return span;
}

static unsigned int chart_lines(struct winsize size)
{
	unsigned int lines = size.ws_col / 6 + RUN_CHART_OTHER_LINES;
	unsigned int room = size.ws_row - BAR_LINES - 1;

	if (lines < RUN_CHART_MIN_LINES)
		lines = RUN_CHART_MIN_LINES;
	if (lines > CHART_MAX_LINES)
		lines = CHART_MAX_LINES;
	return lines < room ? lines : room;
}

static bool put_chart(struct run_view *view, struct run_frame *frame, struct winsize size,
		      const struct run_samples *samples, bool is_last)
{
	run_frame_next(frame);
	return run_chart_draw(frame, chart_lines(size), samples, find_span(view, samples, is_last),
			      run_top_bytes(samples, view->memory_bytes), !is_last);
}

/* Draws what there is room for: at least a bar. */
static void draw(struct run_view *view, const struct run_samples *samples, struct winsize size,
		 bool is_last)
{
	unsigned int columns = size.ws_col - 1u;
	struct run_frame frame;
	bool is_whole = true;

	if (columns > CHART_MAX_COLUMNS)
		columns = CHART_MAX_COLUMNS;
	if (!run_frame_open(&frame, columns, view->is_rich))
		return;
	put_headline(&frame, view);
	put_progress(&frame, samples);
	if (find_room(view, size) == ROOM_CHART)
		is_whole = put_chart(view, &frame, size, samples, is_last);
	if (!run_frame_finish(&frame))
		return;
	if (!is_whole) {
		free(frame.text);
		return;
	}
	show(view, NULL, &frame, size);
	forget_frame(view);
	view->frame = frame;
	view->has_frame = true;
}

static void drop_picture(struct run_view *view)
{
	if (view->has_frame)
		show(view, NULL, NULL, read_size(view));
	forget_frame(view);
}

/* A chart of the boot says nothing about a balloon, and dirtying takes longer than inflating. */
static void begin_chart(struct run_view *view, enum run_phase phase)
{
	double now = elapsed(view);

	if (phase == RUN_DIRTYING)
		view->chart_begin = now;
	if (phase == RUN_INFLATING && view->chart_begin < now - BEFORE_SECONDS)
		view->chart_begin = now - BEFORE_SECONDS;
}

/* The interface -------------------------------------------------------------------------------- */

void run_view_phase(struct run_view *view, enum run_phase phase, const char *text)
{
	if (view->is_quiet)
		return;
	view->phase = phase;
	run_text_clean(text, view->headline, sizeof(view->headline));
	begin_chart(view, phase);
	if (find_room(view, read_size(view)) == ROOM_LINES)
		print_line(view, view->headline);
}

void run_view_update(struct run_view *view, const struct run_samples *samples)
{
	uint64_t now = now_ns();
	struct winsize size;

	if (view->is_quiet)
		return;
	if (!view->is_terminal) {
		update_lines(view, samples);
		return;
	}
	if (view->drawn_ns && now - view->drawn_ns < REDRAW_NS)
		return;
	view->drawn_ns = now;
	size = read_size(view);
	if (find_room(view, size) != ROOM_LINES) {
		draw(view, samples, size, false);
		return;
	}
	drop_picture(view);
	update_lines(view, samples);
}

void run_view_log(struct run_view *view, const char *line)
{
	char text[1024];

	if (view->is_quiet)
		return;
	run_text_clean(line, text, sizeof(text));
	if (view->has_frame) {
		show(view, text, &view->frame, read_size(view));
		return;
	}
	fprintf(view->out, "%s\n", text);
	fflush(view->out);
}

void run_view_close(struct run_view *view, const struct run_samples *samples)
{
	struct winsize size;

	if (!view)
		return;
	size = read_size(view);
	if (samples && !view->is_quiet && find_room(view, size) != ROOM_LINES)
		draw(view, samples, size, true);
	else
		drop_picture(view);
	if (view->has_frame)
		fputs("\n", view->out);
	fflush(view->out);
	forget_frame(view);
	free(view);
}
