/* SPDX-License-Identifier: MIT */
#include "run.h"

#include <errno.h>
#include <string.h>

#define WIDTH 960.0
#define HEIGHT 480.0

struct curve {
	const char *colour;
	size_t offset; /* of the number in struct run_sample */
};

static const struct curve curves[] = {
	{ "#888888", offsetof(struct run_sample, target_bytes) },
	{ "#0072b2", offsetof(struct run_sample, actual_bytes) },
	{ "#d55e00", offsetof(struct run_sample, resident_bytes) },
};

static uint64_t value_of(const struct run_sample *sample, const struct curve *curve)
{
	return *(const uint64_t *)((const char *)sample + curve->offset);
}

static void write_curve(FILE *out, const struct curve *curve, uint64_t top_bytes,
			const struct run_samples *samples)
{
	double end = samples->count ? samples->at[samples->count - 1].seconds : 1;
	size_t i;

	fprintf(out, "<polyline fill='none' stroke='%s' points='", curve->colour);
	for (i = 0; i < samples->count; i++)
		fprintf(out, "%.1f,%.1f ", samples->at[i].seconds / end * WIDTH,
			HEIGHT - (double)value_of(&samples->at[i], curve) / (double)top_bytes *
					 HEIGHT);
	fprintf(out, "'/>\n");
}

bool run_plot_write(const char *path, const struct run_result *result,
		    const struct run_samples *samples)
{
	FILE *out = fopen(path, "w");
	bool is_written;
	size_t i;

	if (!out) {
		fprintf(stderr, "aerostat: %s: %s\n", path, strerror(errno));
		return false;
	}
	fprintf(out, "<svg xmlns='http://www.w3.org/2000/svg' width='%g' height='%g'>\n", WIDTH,
		HEIGHT);
	for (i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
		write_curve(out, &curves[i], result->memory_bytes, samples);
	fprintf(out, "</svg>\n");
	is_written = !ferror(out);
	if (fclose(out) || !is_written) {
		fprintf(stderr, "aerostat: %s: %s\n", path, strerror(errno));
		return false;
	}
	return true;
}
