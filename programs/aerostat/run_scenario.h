/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_SCENARIO_H
#define AEROSTAT_PROGRAMS_RUN_SCENARIO_H

/*
 * A guest led through one scenario: boot, make the host back its memory, inflate, ask for
 * statistics, deflate, power off. The device is in this process, the guest is User Mode Linux.
 */

#include "hosted/balloon_service.h"
#include "hosted/initrd.h"
#include "hosted/scratch_dir.h"
#include "hosted/uml.h"
#include "run.h"

struct run_options {
	uint64_t memory_bytes;
	uint64_t balloon_bytes;
	uint64_t dirty_bytes;	      /* 0: three quarters of the memory */
	const char *kernel;	      /* NULL: Debian's */
	const char *modules;	      /* NULL: Debian's */
	const char *append;	      /* more kernel parameters, or NULL */
	const char *trace;	      /* file for the frames the guest names, or NULL */
	const char *memory_directory; /* where the kernel makes its memory file; NULL: /dev/shm */
	struct aero_virtio_features features;
	enum aero_discard_mode mode;
	uint32_t idle_ms;    /* 0: the default of the ledger */
	uint32_t timeout_ms; /* for each phase */
	uint32_t hold_ms;    /* how long the balloon rests at its target */
	bool is_spread;	     /* over all processors */
	bool is_quiet;
	bool is_verbose;
};

struct run;

/* What follows an answer of the guest. */
typedef void (*run_next)(struct run *run, const char *text);

/* Counters when a way began. */
struct run_mark {
	uint64_t time_ns;
	uint64_t requests;
	struct aero_ledger_counters ledger;
};

struct run {
	const struct run_options *options;
	struct run_result *result;
	struct run_samples *samples;
	struct run_view *view;

	/* Private. */
	uv_loop_t loop;
	struct aero_scratch_dir scratch;
	struct aero_initrd_info initrd;
	struct aero_balloon_service service;
	struct aero_uml uml;
	uv_signal_t signals[3];
	uv_timer_t sampler;
	uv_timer_t limit; /* of the phase */
	uv_prepare_t watch;
	struct aero_guest_request request;
	run_next next;
	struct aero_frame_set resident; /* what was resident before the balloon grew */
	struct run_mark mark;
	FILE *trace;
	uint64_t begin_ns;
	uint64_t stats_sequence;
	enum run_phase phase;
	int caught; /* signal */
	bool has_uml;
	bool has_service;
	bool is_moving; /* a way of the balloon is being waited for */
	char socket_path[128];
	char initrd_path[128];
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
 * Owner:   the caller frees samples->at.
 * Errors:  in result->failure.
 * Context: sleep.
 * Source:  none.
 */
int run_scenario(const struct run_options *options, struct run_view *view,
		 struct run_result *result, struct run_samples *samples);

#endif
