/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_BENCH_TRACE_H
#define AEROSTAT_BENCH_TRACE_H

/* The requests of a real guest, recorded with `aerostat run --trace` (bench/traces). */

#include <aerostat/types.h>

#include <stddef.h>

struct bench_trace {
	struct aero_range *runs; /* an empty one ends each request */
	size_t count;
	uint64_t frames;
	aero_frame end; /* above every frame */
};

/* Ends the program with a message where the file is missing or not a trace. */
void bench_trace_read(struct bench_trace *trace, const char *path);
void bench_trace_free(struct bench_trace *trace);

#endif
