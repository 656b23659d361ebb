/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_CHART_H
#define AEROSTAT_PROGRAMS_RUN_CHART_H

/* The curves as a chart of characters: braille and colours, or ASCII. */

#include "run_curve.h"
#include "run_frame.h"

/* Smaller than this a chart says nothing. */
#define RUN_CHART_MIN_COLUMNS 36
#define RUN_CHART_MIN_LINES 7

/* Of the lines, those that are not the plot itself: axis, its labels, legend. */
#define RUN_CHART_OTHER_LINES 3

/**
 * run_chart_draw() - Draw the chart into a picture.
 * @frame:     Open, at the begin of a line. Its width is the chart's.
 * @lines:     Height, at least RUN_CHART_MIN_LINES.
 * @samples:   The curve; may be empty.
 * @span:      The piece of time to show; longer than 0.
 * @top_bytes: Of the vertical axis, at least the highest sample.
 * @is_live:   Whether the last numbers are of interest: they stand in the legend.
 *
 * Shape:   plot with axes, labels in round numbers with units, and a legend. Ends within its
 *          last line. Where curves meet, actual covers host-resident covers target.
 * Owner:   read only.
 * Errors:  false without memory; the picture is incomplete then.
 * Context: any.
 * Source:  none.
 */
bool run_chart_draw(struct run_frame *frame, unsigned int lines, const struct run_samples *samples,
		    struct run_span span, uint64_t top_bytes, bool is_live);

#endif
