/* SPDX-License-Identifier: MIT */
#include "trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void add_run(struct bench_trace *trace, struct aero_range run)
{
	if (trace->count % 1024 == 0)
		trace->runs = realloc(trace->runs, (trace->count + 1024) * sizeof(*trace->runs));
	if (!trace->runs)
		abort();
	trace->runs[trace->count++] = run;
	trace->frames += run.count;
	if (trace->end < run.first + run.count)
		trace->end = run.first + run.count;
}

void bench_trace_read(struct bench_trace *trace, const char *path)
{
	FILE *file = fopen(path, "r");
	char line[128];

	*trace = (struct bench_trace){ NULL, 0, 0, 0 };
	if (!file) {
		perror(path);
		exit(1);
	}
	while (fgets(line, sizeof(line), file)) {
		struct aero_range run = { 0, 0 };

		if (line[0] == '#')
			continue;
		if (line[0] != '\n' &&
		    sscanf(line, "%" SCNu64 " %" SCNu64, &run.first, &run.count) != 2) {
			fprintf(stderr, "%s: not a run of frames: %s", path, line);
			exit(1);
		}
		add_run(trace, run);
	}
	fclose(file);
}

void bench_trace_free(struct bench_trace *trace)
{
	free(trace->runs);
}
