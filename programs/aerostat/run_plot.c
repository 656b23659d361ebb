/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "options.h"
#include "run_curve.h"
#include "run_text.h"

#define MIB 1048576.0
#define GIB (MIB * 1024)

/* The picture and the plot within it, in pixels. */
#define WIDTH 960
#define HEIGHT 540
#define LEFT 84
#define RIGHT 928
#define TOP 146
#define BOTTOM 472
#define BAND_LABEL_Y (TOP - 8)

/* Of text of 13 pixels, for what must fit into a width. */
#define CHARACTER_WIDTH 7.4

/* Room for a number beside a curve. */
#define NOTE_WIDTH 76

#define BYTE_STEPS 6
#define TIME_STEPS 10

/*
 * The plot has a background of its own, so that it looks the same on a light and on a dark page.
 * No two curves differ in colour alone: the target is dashed, actual has an area below it.
 */
static const char style[] =
	"<style>\n"
	"text { font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif;\n"
	"  font-size: 13px; fill: #4a5361; font-variant-numeric: tabular-nums; }\n"
	".title { font-size: 21px; font-weight: 600; fill: #1b2430; }\n"
	".sub { font-size: 14px; }\n"
	".bad { font-size: 14px; fill: #b3261e; font-weight: 600; }\n"
	".band { font-size: 12px; fill: #66707f; }\n"
	".note { font-weight: 600; fill: #a3268e; paint-order: stroke; stroke: #fff;\n"
	"  stroke-width: 4px; stroke-linejoin: round; }\n"
	".grid { stroke: #dfe3e9; stroke-width: 1; }\n"
	".axis { stroke: #8a94a3; stroke-width: 1.2; }\n"
	".target { fill: none; stroke: #4a5361; stroke-width: 2; stroke-dasharray: 6 4; }\n"
	".actual { fill: none; stroke: #087e9b; stroke-width: 2.6; stroke-linejoin: round; }\n"
	".area { fill: #087e9b; fill-opacity: 0.12; }\n"
	".resident { fill: none; stroke: #a3268e; stroke-width: 2.6; stroke-linejoin: round; }\n"
	"</style>\n";

struct plot {
	FILE *out;
	const struct run_result *result;
	const struct run_samples *samples;
	struct run_span span;
	uint64_t top_bytes;
};

static double x_of(const struct plot *plot, double seconds)
{
	double share = (seconds - plot->span.begin) / (plot->span.end - plot->span.begin);

	return LEFT + share * (RIGHT - LEFT);
}

static double y_of(const struct plot *plot, uint64_t bytes)
{
	return BOTTOM - (double)bytes / (double)plot->top_bytes * (BOTTOM - TOP);
}

static void put_escaped(FILE *out, const char *text)
{
	char clean[512];
	const char *at;

	for (at = run_text_clean(text, clean, sizeof(clean)); *at; at++) {
		if (*at == '<')
			fputs("&lt;", out);
		else if (*at == '>')
			fputs("&gt;", out);
		else if (*at == '&')
			fputs("&amp;", out);
		else
			fputc(*at, out);
	}
}

/* Words ---------------------------------------------------------------------------------------- */

static void put_title(const struct plot *plot)
{
	const struct run_result *result = plot->result;

	fprintf(plot->out, "<text class='title' x='28' y='42'>");
	if (result->guest_kernel[0])
		fputs("Linux ", plot->out);
	put_escaped(plot->out, result->guest_kernel[0] ? result->guest_kernel : "A guest");
	fprintf(plot->out, " of %.0f MiB, a balloon of %.0f MiB</text>\n",
		(double)result->memory_bytes / MIB, (double)result->target_bytes / MIB);
}

static void put_way(FILE *out, const char *name, const struct run_way *way)
{
	fprintf(out, "%s in %.0f ms, %.2f GiB/s", name, way->seconds * 1000,
		run_way_bytes_per_second(way) / GIB);
}

static void put_subtitle(const struct plot *plot)
{
	const struct run_result *result = plot->result;

	if (result->failure[0]) {
		fprintf(plot->out, "<text class='bad' x='28' y='68'>Failed: ");
		put_escaped(plot->out, result->failure);
		fprintf(plot->out, "</text>\n");
		return;
	}
	fprintf(plot->out, "<text class='sub' x='28' y='68'>");
	if (run_way_is_done(&result->inflate)) {
		put_way(plot->out, "Inflated", &result->inflate);
		fprintf(plot->out, ", %" PRIu64 " discards", result->inflate.discards);
	}
	if (run_way_is_done(&result->deflate))
		put_way(plot->out, ". Deflated", &result->deflate);
	fprintf(plot->out, "</text>\n");
}

static void put_legend(const struct plot *plot)
{
	static const char *const classes[RUN_CURVES] = { "target", "actual", "resident" };
	static const char *const words[RUN_CURVES] = { "target: what the host wants",
						       "actual: what the guest has given",
						       "host-resident memory of the guest" };
	static const int x[RUN_CURVES] = { LEFT, LEFT + 262, LEFT + 550 };
	unsigned int curve;

	for (curve = 0; curve < RUN_CURVES; curve++) {
		fprintf(plot->out, "<path class='%s' d='M%d 98h34'/>", classes[curve], x[curve]);
		fprintf(plot->out, "<text x='%d' y='102'>%s</text>\n", x[curve] + 42, words[curve]);
	}
}

/* Axes ----------------------------------------------------------------------------------------- */

static void put_byte_axis(const struct plot *plot)
{
	uint64_t step = run_step_bytes(plot->top_bytes, BYTE_STEPS), tick;
	struct run_unit unit = run_unit_of(step);

	for (tick = 0; tick <= plot->top_bytes; tick += step) {
		double y = y_of(plot, tick);

		fprintf(plot->out, "<path class='grid' d='M%d %.1fH%d'/>", LEFT, y, RIGHT);
		fprintf(plot->out,
			"<text x='%d' y='%.1f' text-anchor='end'>%" PRIu64 " %s</text>\n", LEFT - 9,
			y + 4.5, tick / unit.bytes, unit.name);
	}
}

static void put_time_axis(const struct plot *plot)
{
	struct run_ticks ticks = run_time_ticks(plot->span, TIME_STEPS);
	int64_t n;

	fprintf(plot->out, "<path class='axis' d='M%d %dH%d'/>\n", LEFT, BOTTOM, RIGHT);
	for (n = ticks.first; n <= ticks.last; n++) {
		double x = x_of(plot, ticks.step * (double)n);

		fprintf(plot->out, "<path class='axis' d='M%.1f %dv6'/>", x, BOTTOM);
		fprintf(plot->out, "<text x='%.1f' y='%d' text-anchor='middle'>%.*f</text>\n", x,
			BOTTOM + 22, ticks.decimals, ticks.step * (double)n);
	}
	fprintf(plot->out, "<text x='%d' y='%d' text-anchor='middle'>%s</text>\n",
		(LEFT + RIGHT) / 2, BOTTOM + 48, "seconds since the start of the run");
}

/* Phases --------------------------------------------------------------------------------------- */

static void put_band_label(const struct plot *plot, const char *text, double left, double right)
{
	double middle = (left + right) / 2;

	if (right - left >= CHARACTER_WIDTH * (double)strlen(text))
		fprintf(plot->out,
			"<text class='band' x='%.1f' y='%d' text-anchor='middle'>%s</text>\n",
			middle, BAND_LABEL_Y, text);
	else if (right - left >= 15)
		fprintf(plot->out,
			"<text class='band' text-anchor='end' transform='translate(%.1f %d) "
			"rotate(-90)'>%s</text>\n",
			middle + 4, TOP + 8, text);
}

static void put_band(const struct plot *plot, enum run_phase phase, double begin, double end)
{
	static const char *const names[RUN_PHASES] = {
		[RUN_BOOTING] = "boot",
		[RUN_DIRTYING] = "guest dirties memory",
		[RUN_INFLATING] = "inflate",
		[RUN_ASKING] = "inflated",
		[RUN_DEFLATING] = "deflate",
		[RUN_ENDING] = "power off",
		[RUN_OVER] = "",
	};
	/* Phases of the balloon stand out, and neighbours differ. */
	static const char *const fills[RUN_PHASES] = {
		"#eef1f5", "#f5f6f8", "#e2edf3", "#eef1f5", "#ebe6f2", "#f5f6f8", "",
	};
	double left, right;

	if (end <= plot->span.begin || begin >= plot->span.end || end <= begin)
		return;
	left = x_of(plot, begin < plot->span.begin ? plot->span.begin : begin);
	right = x_of(plot, end > plot->span.end ? plot->span.end : end);
	fprintf(plot->out, "<rect x='%.1f' y='%d' width='%.1f' height='%d' fill='%s'/>\n", left,
		TOP - 26, right - left, BOTTOM - TOP + 26, fills[phase]);
	put_band_label(plot, names[phase], left, right);
}

static void put_bands(const struct plot *plot)
{
	const struct run_result *result = plot->result;
	unsigned int phase;

	for (phase = 0; phase < RUN_OVER && phase <= result->reached; phase++) {
		double end =
			phase < result->reached ? result->phase_begin[phase + 1] : plot->span.end;

		put_band(plot, phase, result->phase_begin[phase], end);
	}
}

/* Curves --------------------------------------------------------------------------------------- */

static void put_steps(const struct plot *plot)
{
	size_t i;

	fprintf(plot->out, "<path class='target' d='");
	for (i = 0; i < plot->samples->count; i++) {
		const struct run_sample *sample = &plot->samples->at[i];
		double x = x_of(plot, sample->seconds), y = y_of(plot, sample->target_bytes);

		if (!i)
			fprintf(plot->out, "M%.1f %.1f", x, y);
		else
			fprintf(plot->out, "H%.1fV%.1f", x, y);
	}
	fprintf(plot->out, "'/>\n");
}

static void put_points(const struct plot *plot, enum run_curve curve)
{
	size_t i;

	for (i = 0; i < plot->samples->count; i++) {
		const struct run_sample *sample = &plot->samples->at[i];

		fprintf(plot->out, "%s%.1f %.1f", i ? "L" : "", x_of(plot, sample->seconds),
			y_of(plot, run_curve_bytes(sample, curve)));
	}
}

static void put_area(const struct plot *plot)
{
	const struct run_samples *samples = plot->samples;

	fprintf(plot->out, "<path class='area' d='M%.1f %dL", x_of(plot, samples->at[0].seconds),
		BOTTOM);
	put_points(plot, RUN_CURVE_ACTUAL);
	fprintf(plot->out, "L%.1f %dZ'/>\n", x_of(plot, samples->at[samples->count - 1].seconds),
		BOTTOM);
}

static void put_line(const struct plot *plot, const char *name, enum run_curve curve)
{
	fprintf(plot->out, "<path class='%s' d='M", name);
	put_points(plot, curve);
	fprintf(plot->out, "'/>\n");
}

static void put_curves(const struct plot *plot)
{
	if (!plot->samples->count)
		return;
	/* A curve may begin before the plot does. */
	fprintf(plot->out, "<clipPath id='plot'><rect x='%d' y='%d' width='%d' height='%d'/>", LEFT,
		TOP - 2, RIGHT - LEFT, BOTTOM - TOP + 4);
	fprintf(plot->out, "</clipPath>\n<g clip-path='url(#plot)'>\n");
	put_area(plot);
	put_steps(plot);
	put_line(plot, "resident", RUN_CURVE_RESIDENT);
	put_line(plot, "actual", RUN_CURVE_ACTUAL);
	fprintf(plot->out, "</g>\n");
}

static void put_note(const struct plot *plot, double x, double y, const char *anchor,
		     uint64_t bytes)
{
	fprintf(plot->out,
		"<text class='note' x='%.1f' y='%.1f' text-anchor='%s'>%.0f MiB</text>\n", x, y,
		anchor, (double)bytes / MIB);
}

/* The two numbers that the run is about, beside the curve. */
static void put_notes(const struct plot *plot)
{
	const struct run_result *result = plot->result;
	uint64_t before = result->resident_before_bytes;
	uint64_t inflated = result->resident_inflated_bytes;
	double left, right;

	if (!run_way_is_done(&result->inflate))
		return;
	left = x_of(plot, result->phase_begin[RUN_INFLATING]);
	put_note(plot, left - 6, y_of(plot, before) - 9, "end", before);
	if (result->reached < RUN_DEFLATING)
		return;
	left = x_of(plot, result->phase_begin[RUN_ASKING]);
	right = x_of(plot, result->phase_begin[RUN_DEFLATING]);
	if (right - left >= NOTE_WIDTH)
		put_note(plot, (left + right) / 2, y_of(plot, inflated) + 20, "middle", inflated);
	else
		put_note(plot, left - 8, y_of(plot, inflated) + 20, "end", inflated);
}

/* The whole ------------------------------------------------------------------------------------ */

/*
 * The plot is about the balloon: of the time before it at most twice as much as it took, and
 * nothing of the boot.
 */
static struct run_span find_span(const struct run_result *result, const struct run_samples *samples)
{
	struct run_span span = { 0, 0 };
	double begin = result->phase_begin[RUN_INFLATING];

	if (samples->count)
		span.end = samples->at[samples->count - 1].seconds;
	if (result->reached >= RUN_INFLATING && span.end > begin) {
		span.begin = begin - 2 * (span.end - begin);
		if (span.begin < result->phase_begin[RUN_DIRTYING])
			span.begin = result->phase_begin[RUN_DIRTYING];
	}
	if (span.end <= span.begin)
		span.end = span.begin + 1;
	return span;
}

static void put_plot(const struct plot *plot)
{
	fprintf(plot->out,
		"<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' "
		"viewBox='0 0 %d %d' role='img'>\n<title>",
		WIDTH, HEIGHT, WIDTH, HEIGHT);
	fprintf(plot->out,
		"Target, actual and host-resident memory during an aerostat run</title>\n%s",
		style);
	fprintf(plot->out,
		"<rect x='0.5' y='0.5' width='%d' height='%d' rx='10' fill='#fff' "
		"stroke='#d5dae1'/>\n",
		WIDTH - 1, HEIGHT - 1);
	put_title(plot);
	put_subtitle(plot);
	put_legend(plot);
	put_bands(plot);
	put_byte_axis(plot);
	put_time_axis(plot);
	put_curves(plot);
	put_notes(plot);
	fprintf(plot->out, "</svg>\n");
}

bool run_plot_write(const char *path, const struct run_result *result,
		    const struct run_samples *samples)
{
	struct plot plot = {
		.out = fopen(path, "w"),
		.result = result,
		.samples = samples,
		.span = find_span(result, samples),
		.top_bytes = run_top_bytes(samples, result->memory_bytes),
	};
	bool is_written;

	if (!plot.out) {
		aero_complain("run", "%s: %s", path, strerror(errno));
		return false;
	}
	put_plot(&plot);
	is_written = !ferror(plot.out);
	if (fclose(plot.out) || !is_written) {
		aero_complain("run", "%s: cannot be written: %s", path, strerror(errno));
		return false;
	}
	return true;
}
