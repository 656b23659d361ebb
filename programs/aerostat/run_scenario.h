/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_SCENARIO_H
#define AEROSTAT_PROGRAMS_RUN_SCENARIO_H

/*
 * A guest led through one scenario: boot, make the host back its memory, inflate, ask the guest how
 * it sees that, deflate, power off. What guest and device are is behind run_machine.h.
 */

#include "hosted/node_pool.h"
#include "hosted/scratch_dir.h"
#include "run.h"
#include "run_machine.h"

struct run;

/* What follows an answer of the guest. */
typedef void (*run_next)(struct run *run, const struct run_answer *answer);

/* Counters when a way began. */
struct run_mark {
	uint64_t time_ns;
	uint64_t requests;
	uint64_t actual_frames;
	struct aero_ledger_counters ledger;
};

struct run {
	const struct run_options *options;
	const struct run_kind *kind;
	struct run_result *result;
	struct run_samples *samples;
	struct run_view *view;

	/* Private. */
	uv_loop_t loop;
	struct aero_scratch_dir scratch;
	struct run_machine *machine;
	struct aero_node_pool nodes;
	uv_signal_t signals[3];
	uv_timer_t sampler;
	uv_timer_t limit; /* of the phase */
	uv_prepare_t watch;
	run_next next;
	struct aero_frame_set resident; /* what was resident before the balloon grew */
	struct run_mark mark;
	FILE *trace;
	uint64_t begin_ns;
	enum run_phase phase;
	int caught;	  /* signal */
	bool has_machine; /* and it is not closing */
	bool has_guest;
	bool is_moving; /* a way of the balloon is being waited for */
};

/**
 * run_scenario() - Do it all.
 * @options: What was asked for.
 * @view:    Where to show it.
 * @result:  Zeroed; what was measured.
 * @samples: Empty; the curve.
 *
 * Shape:   answers the number of a signal that ended it, or 0. Whatever happens, no process, file
 *          or socket is left.
 * Owner:   the caller frees samples->at, and run_result_clear().
 * Errors:  in result->failure.
 * Context: sleep.
 * Source:  none.
 */
int run_scenario(const struct run_options *options, struct run_view *view,
		 struct run_result *result, struct run_samples *samples);

#endif
