/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_CURVE_H
#define AEROSTAT_PROGRAMS_RUN_CURVE_H

/* What the chart on the terminal and the plot in a file share: curves, axes, progress. */

#include "run.h"

enum run_curve { RUN_CURVE_TARGET, RUN_CURVE_ACTUAL, RUN_CURVE_RESIDENT, RUN_CURVES };

/* A unit of bytes. */
struct run_unit {
	const char *name;
	uint64_t bytes;
};

/* A piece of time, in seconds since the run began. */
struct run_span {
	double begin;
	double end;
};

/* Ticks of an axis of time: step * n for first <= n <= last. */
struct run_ticks {
	double step;
	int64_t first;
	int64_t last;
	int decimals; /* to write them with */
};

/* How far a way of the balloon is. */
struct run_progress {
	bool is_begun;	 /* a target was set; else the rest means nothing */
	bool is_arrived; /* actual is the target, or as near as the guest goes */
	uint64_t from_bytes;
	uint64_t to_bytes;
	uint64_t actual_bytes;
	uint64_t resident_bytes;
	double begin;	 /* when the target was set; tells ways apart */
	double fraction; /* of the way, 0 to 1 */
	double seconds;	 /* since the target was set; until it was reached */
	double bytes_per_second;
};

/**
 * run_curve_str() - Name of a curve, for people.
 * @curve: Below RUN_CURVES.
 *
 * Shape:   lower case.
 * Owner:   static storage.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
const char *run_curve_str(enum run_curve curve);

/**
 * run_curve_bytes() - A curve's number at a sample.
 * @sample: One moment.
 * @curve:  Below RUN_CURVES.
 *
 * Shape:   bytes.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
uint64_t run_curve_bytes(const struct run_sample *sample, enum run_curve curve);

/**
 * run_curve_range() - Lowest and highest of a curve within a piece of time.
 * @samples: The whole curve.
 * @curve:   Which; the target is a step line, the others are straight between samples.
 * @span:    The piece.
 * @out_low: Bytes.
 * @out_high: Bytes.
 *
 * Shape:   false where the curve does not reach into the piece.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
bool run_curve_range(const struct run_samples *samples, enum run_curve curve, struct run_span span,
		     uint64_t *out_low, uint64_t *out_high);

/**
 * run_top_bytes() - The top of the vertical axis.
 * @samples:      The whole curve.
 * @memory_bytes: The guest's memory.
 *
 * Shape:   the memory, or the highest sample if that is more; at least 1 MiB.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
uint64_t run_top_bytes(const struct run_samples *samples, uint64_t memory_bytes);

/**
 * run_step_bytes() - Distance of the ticks of an axis of bytes.
 * @top_bytes: Its end.
 * @most:      Steps at most, at least 1.
 *
 * Shape:   a power of two, at least 1 MiB.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
uint64_t run_step_bytes(uint64_t top_bytes, unsigned int most);

/**
 * run_step_seconds() - Distance of the ticks of an axis of time.
 * @seconds: Its length.
 * @most:    Steps at most, at least 1.
 *
 * Shape:   1, 2 or 5 times a power of ten; from 10 s on what a clock has.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
double run_step_seconds(double seconds, unsigned int most);

/**
 * run_time_ticks() - The ticks of an axis of time.
 * @span: From 0 on, not shorter than a millisecond.
 * @most: Steps at most, at least 1.
 *
 * Shape:   all within the span, both ends included; where it is short there may be none.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
struct run_ticks run_time_ticks(struct run_span span, unsigned int most);

/**
 * run_unit_of() - The unit to write a step and its multiples in.
 * @step_bytes: A power of two.
 *
 * Shape:   the largest of MiB, GiB, TiB that divides it.
 * Owner:   static storage.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
struct run_unit run_unit_of(uint64_t step_bytes);

/**
 * run_progress_of() - How far the latest way is.
 * @samples: The whole curve.
 *
 * Shape:   a way begins where the target last changed.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
struct run_progress run_progress_of(const struct run_samples *samples);

#endif
