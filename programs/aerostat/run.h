/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_H
#define AEROSTAT_PROGRAMS_RUN_H

/*
 * What `aerostat run` measures, and who shows it.
 *
 * run.c reads options and owns the parts; run_scenario.c leads a machine (guest and device, see
 * run_machine.h) through the scenario; run_view.c shows it while it happens (progress and chart, or
 * plain lines); run_summary.c prints the table at the end; run_json.c and run_plot.c write the
 * files.
 */

#include <aerostat/host/virtio_balloon.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* One moment. */
struct run_sample {
	double seconds; /* since the run began */
	uint64_t target_bytes;
	uint64_t actual_bytes;
	uint64_t resident_bytes;
	bool is_reached; /* as the machine sees it; a target that is met exactly is, in any case */
};

/* The curve of the whole run, ascending in time. */
struct run_samples {
	struct run_sample *at;
	size_t count;
	size_t room;
};

/* Phases in their order; the view names them, the plot marks where they begin. */
enum run_phase {
	RUN_BOOTING,
	RUN_DIRTYING,
	RUN_INFLATING,
	RUN_ASKING, /* for what the guest itself says */
	RUN_DEFLATING,
	RUN_ENDING,
	RUN_OVER,
	RUN_PHASES
};

/* The guest's own numbers at one moment; all 0 where it has not told them. */
struct run_guest_memory {
	uint64_t total_bytes;
	uint64_t free_bytes;
	uint64_t available_bytes;
};

/* A counter's movement over a phase, and everything else of one way of the balloon. */
struct run_way {
	double seconds; /* from the new target until actual = target and nothing is pending */
	uint64_t frames;
	/* Not known where the device keeps no ledger. */
	uint64_t requests;
	uint64_t runs;
	uint64_t discards;
	uint64_t discard_asked_bytes;
	uint64_t discard_freed_bytes;
};

/* Everything the end of a run says. Valid as far as reached says. */
struct run_result {
	enum run_phase reached; /* RUN_OVER: the whole scenario was run */
	const char *guest;	/* which kind, as of --guest */
	char guest_kernel[80];
	uint64_t memory_bytes;
	uint64_t target_bytes;
	uint64_t actual_bytes; /* when inflated */
	/* The device is ours and knows the frames; else what it alone can tell is not known. */
	bool has_ledger;
	bool has_requests;     /* without one the driver's own count of them is known */
	uint64_t ledger_bytes; /* when inflated: frames in the ledger, in bytes */
	uint64_t resident_before_bytes;
	uint64_t resident_inflated_bytes;
	uint64_t resident_after_bytes;
	/* Of before: what lay where the balloon then was; without a ledger, at least so much. */
	uint64_t resident_under_balloon_bytes;
	uint64_t resident_left_bytes; /* of inflated: what still lies where the balloon is */
	bool is_left_known;	      /* of hugetlb pages it is not */
	struct run_guest_memory guest_before;
	struct run_guest_memory guest_inflated;
	struct run_guest_memory guest_after;
	struct run_way inflate;
	struct run_way deflate;
	double phase_begin[RUN_PHASES]; /* seconds; of those reached */

	/* What not every kind has, or has not yet; owned. NULL: it is not known. */
	json_t *features;     /* names of virtio features that the driver accepted */
	json_t *capabilities; /* names of VMware capabilities that the host granted */
	json_t *statistics;   /* as of aero_balloon_json_statistics() */
	json_t *counters;     /* at the end, as under "counters" of a control socket's status */
	json_t *host_calls;   /* at the end: by command, calls and failed */
	json_t *account;      /* the guest's own, against ours: run_account_json() */

	const char *discard_mode; /* collect, request, frame, none; or NULL */
	const char *backing;	  /* what the guest's memory is backed by, for people */

	/* The verdict. */
	bool is_target_reported; /* the guest reported the target */
	bool is_ledger_agreed;	 /* and the ledger holds exactly as many frames */
	bool is_memory_freed;	 /* and the host got 95 % of what was resident under it */
	bool has_account;	 /* the guest counts, too */
	bool is_account_agreed;	 /* and has counted what we have */
	char failure[512];	 /* why the scenario stopped early; empty: it did not */
};

/* Whether a way was gone to its end: only then its numbers mean anything. */
static inline bool run_way_is_done(const struct run_way *way)
{
	return way->seconds > 0;
}

/* Of a way that was gone to its end. */
static inline double run_way_bytes_per_second(const struct run_way *way)
{
	return run_way_is_done(way) ? (double)way->frames * AERO_FRAME_BYTES / way->seconds : 0;
}

/* Of a way that was gone to its end: what makes two guests comparable. */
static inline double run_way_seconds_per_gib(const struct run_way *way)
{
	double rate = run_way_bytes_per_second(way);

	return rate > 0 ? 1073741824.0 / rate : 0;
}

/* Whether the run is a success: exit status 0. */
static inline bool run_result_is_good(const struct run_result *result)
{
	return result->reached == RUN_OVER && !result->failure[0] && result->is_target_reported &&
	       (!result->has_ledger || result->is_ledger_agreed) && result->is_memory_freed &&
	       (!result->has_account || result->is_account_agreed);
}

/**
 * run_result_put() - Put what is known by now into a result.
 * @place: One of the members that a result owns.
 * @json:  A reference, which is taken; NULL: nothing is known.
 *
 * Shape:   what was there before is dropped.
 * Owner:   the result's.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
static inline void run_result_put(json_t **place, json_t *json)
{
	json_decref(*place);
	*place = json;
}

/**
 * run_result_clear() - Free what a result owns.
 * @result: Complete or not.
 *
 * Shape:   nothing is known any more.
 * Owner:   all references are dropped.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
static inline void run_result_clear(struct run_result *result)
{
	run_result_put(&result->features, NULL);
	run_result_put(&result->capabilities, NULL);
	run_result_put(&result->statistics, NULL);
	run_result_put(&result->counters, NULL);
	run_result_put(&result->host_calls, NULL);
	run_result_put(&result->account, NULL);
}

/* run_view.c: progress while it happens. ----------------------------------------------------- */

struct run_view;

/**
 * run_view_open() - Begin to show a run.
 * @out:          Where to; a terminal gets a progress bar and a chart that redraw in place, at most
 *                10 times a second, anything else plain lines.
 * @is_quiet:     Show nothing.
 * @memory_bytes: The guest's memory: the top of the chart.
 *
 * Shape:   NULL only without memory.
 * Owner:   the caller's until run_view_close(). @out stays the caller's.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
struct run_view *run_view_open(FILE *out, bool is_quiet, uint64_t memory_bytes);

/**
 * run_view_phase() - A phase began.
 * @view:  Open.
 * @phase: Which.
 * @text:  What happens, one line, e.g. "Inflating to 256 MiB".
 *
 * Shape:   a plain line, or the headline above the chart.
 * Owner:   copied.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void run_view_phase(struct run_view *view, enum run_phase phase, const char *text);

/**
 * run_view_update() - The curve grew.
 * @view:    Open.
 * @samples: All samples so far.
 *
 * Shape:   redraws when it is time to; plain output gets a line a second and at the end of a way.
 * Owner:   read only during the call.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void run_view_update(struct run_view *view, const struct run_samples *samples);

/**
 * run_view_log() - A line that must not be lost in the redrawing.
 * @view: Open.
 * @line: One line without its end.
 *
 * Shape:   printed above the chart.
 * Owner:   copied.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void run_view_log(struct run_view *view, const char *line);

/**
 * run_view_close() - Leave the terminal as it was.
 * @view:    Open, or NULL.
 * @samples: The whole curve: drawn once more, to stay on the screen; NULL leaves the chart out.
 *
 * Shape:   cursor visible, line ended; safe after Ctrl-C.
 * Owner:   @view is freed.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void run_view_close(struct run_view *view, const struct run_samples *samples);

/* run_samples.c: the curve. ------------------------------------------------------------------- */

/**
 * run_samples_add() - Add a moment to the curve.
 * @samples: Zeroed, or with samples that are not later.
 * @sample:  Copied.
 *
 * Shape:   a sample like the two before it only moves the end of that level piece, so that waiting
 *          costs nothing; the curve stays exact.
 * Owner:   the caller frees samples->at.
 * Errors:  false without memory; the curve stays as it was.
 * Context: any.
 * Source:  none.
 */
bool run_samples_add(struct run_samples *samples, const struct run_sample *sample);

/* run_summary.c, run_json.c, run_plot.c: what stays. ----------------------------------------- */

/**
 * run_summary_print() - The table at the end.
 * @out:    Where to.
 * @result: Complete or not; a run that stopped early says where and why.
 *
 * Shape:   aligned, with units; ends with the verdict.
 * Owner:   read only.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void run_summary_print(FILE *out, const struct run_result *result);

/**
 * run_verdict_print() - Only how it ended.
 * @out:    Where to.
 * @result: Complete or not.
 *
 * Shape:   the end of the table: each check with its numbers as far as reached, and one line that
 *          says good or failed and why.
 * Owner:   read only.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void run_verdict_print(FILE *out, const struct run_result *result);

/**
 * run_json_make() - The same for programs; keys in docs/run-json.md.
 * @result: Complete or not.
 *
 * Shape:   one object; a number that was not measured is null, never 0.
 * Owner:   a new reference, NULL without memory.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
json_t *run_json_make(const struct run_result *result);

/**
 * run_plot_write() - The three curves as SVG.
 * @path:    File to write.
 * @result:  For the title and the phases.
 * @samples: The curve.
 *
 * Shape:   one file without references to others; readable in light and dark surroundings.
 * Owner:   read only.
 * Errors:  false, with a message on stderr that names the file.
 * Context: sleep.
 * Source:  none.
 */
bool run_plot_write(const char *path, const struct run_result *result,
		    const struct run_samples *samples);

#endif
