/* SPDX-License-Identifier: MIT */
#include "run.h"

#include <stdlib.h>

#define MIB 1048576.0

struct run_view {
	FILE *out;
	bool is_quiet;
	double next_line;
};

struct run_view *run_view_open(FILE *out, bool is_quiet, uint64_t memory_bytes)
{
	struct run_view *view = calloc(1, sizeof(*view));

	(void)memory_bytes;
	if (!view)
		return NULL;
	view->out = out;
	view->is_quiet = is_quiet;
	return view;
}

void run_view_phase(struct run_view *view, enum run_phase phase, const char *text)
{
	(void)phase;
	run_view_log(view, text);
}

void run_view_update(struct run_view *view, const struct run_samples *samples)
{
	const struct run_sample *last = samples->count ? &samples->at[samples->count - 1] : NULL;

	if (view->is_quiet || !last || last->seconds < view->next_line)
		return;
	view->next_line = last->seconds + 1;
	fprintf(view->out, "target %.1f MiB, actual %.1f MiB, resident %.1f MiB\n",
		(double)last->target_bytes / MIB, (double)last->actual_bytes / MIB,
		(double)last->resident_bytes / MIB);
	fflush(view->out);
}

void run_view_log(struct run_view *view, const char *line)
{
	if (view->is_quiet)
		return;
	fprintf(view->out, "%s\n", line);
	fflush(view->out);
}

void run_view_close(struct run_view *view, const struct run_samples *samples)
{
	(void)samples;
	free(view);
}
