/* SPDX-License-Identifier: MIT */
/* What a run stands on: loop, machine, signals, samples. */
#include "run_parts.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosted/balloon_json_text.h"

/* Short, because a gigabyte moves in a few of these. */
#define SAMPLE_MS 5

struct run_machine_numbers run_numbers(const struct run *run)
{
	struct run_machine_numbers numbers;

	run->kind->numbers(run->machine, &numbers);
	return numbers;
}

void run_sample_now(struct run *run)
{
	struct run_machine_numbers numbers;
	struct run_sample sample;

	if (!run->has_machine)
		return;
	numbers = run_numbers(run);
	sample.seconds = run_seconds(run);
	sample.target_bytes = numbers.target_frames << AERO_FRAME_SHIFT;
	sample.actual_bytes = numbers.actual_frames << AERO_FRAME_SHIFT;
	sample.resident_bytes = run_resident_bytes(run);
	sample.is_reached = numbers.is_reached;
	(void)run_samples_add(run->samples, &sample);
}

static void on_sample(uv_timer_t *timer)
{
	struct run *run = timer->data;

	run_sample_now(run);
	run_view_update(run->view, run->samples);
}

static void on_turn(uv_prepare_t *watch)
{
	run_on_turn(watch->data);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct run *run = handle->data;

	run->caught = number;
	run_fail(run, "stopped by signal %d (%s)", number, strsignal(number));
}

/* Handles of our own, in one place: they keep the loop alive until they are closed. */
static void close_handles(struct run *run)
{
	size_t i;

	for (i = 0; i < sizeof(run->signals) / sizeof(run->signals[0]); i++)
		uv_close((uv_handle_t *)&run->signals[i], NULL);
	uv_close((uv_handle_t *)&run->sampler, NULL);
	uv_close((uv_handle_t *)&run->limit, NULL);
	uv_close((uv_handle_t *)&run->watch, NULL);
}

static void on_closed(void *ctx)
{
	close_handles(ctx);
}

void run_close_machine(struct run *run)
{
	if (!run->has_machine)
		return;
	run->kind->report(run->machine, run->result);
	run->has_machine = false;
	run->is_moving = false;
	uv_timer_stop(&run->limit);
	aero_frame_set_fini(&run->resident);
	run->kind->close(run->machine);
}

static void open_handles(struct run *run)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		uv_signal_init(&run->loop, &run->signals[i]);
		run->signals[i].data = run;
		uv_signal_start(&run->signals[i], on_signal, numbers[i]);
	}
	uv_timer_init(&run->loop, &run->sampler);
	uv_timer_init(&run->loop, &run->limit);
	uv_prepare_init(&run->loop, &run->watch);
	run->sampler.data = run;
	run->limit.data = run;
	run->watch.data = run;
	uv_timer_start(&run->sampler, on_sample, SAMPLE_MS, SAMPLE_MS);
	uv_prepare_start(&run->watch, on_turn);
}

static bool open_trace(struct run *run)
{
	if (!run->options->trace)
		return true;
	run->trace = fopen(run->options->trace, "w");
	if (!run->trace)
		run_fail(run, "%s: %s", run->options->trace, strerror(errno));
	return run->trace;
}

static void close_trace(struct run *run)
{
	if (run->trace && fclose(run->trace) != 0)
		run_fail(run, "%s: %s", run->options->trace, strerror(errno));
}

static bool make_scratch(struct run *run)
{
	struct aero_error error;

	if (aero_scratch_dir_make(&run->scratch, &error) == AERO_OK)
		return true;
	run->scratch.path[0] = '\0';
	run_fail(run, "%s", error.text);
	return false;
}

static bool make_machine(struct run *run)
{
	struct run_machine_setting setting = {
		.options = run->options,
		.loop = &run->loop,
		.scratch = &run->scratch,
		.trace = run->trace,
		.events = run_scenario_events,
	};
	struct aero_node_source nodes = aero_node_pool_source(&run->nodes);

	setting.events.closed = on_closed;
	setting.events.ctx = run;
	run->machine = run->kind->create(&setting);
	if (!run->machine) {
		run_fail(run, "no memory");
		return false;
	}
	aero_frame_set_init(&run->resident, &nodes);
	run->has_machine = true;
	return true;
}

static void start_machine(struct run *run)
{
	struct aero_error error;

	run->has_guest = run->kind->start(run->machine, &error);
	if (!run->has_guest)
		run_fail(run, "%s", error.text);
}

/* The questions of the run, answered. */
static void judge(struct run *run)
{
	struct run_result *result = run->result;
	uint64_t under = result->resident_under_balloon_bytes;

	if (result->reached < RUN_ASKING)
		return;
	result->is_ledger_agreed = result->ledger_bytes == result->actual_bytes;
	/*
	 * The guest may report free memory meanwhile, so the fall of the whole is not enough; of
	 * hugetlb pages no more is known.
	 */
	result->is_memory_freed =
		under && (!result->is_left_known || result->resident_left_bytes <= under / 20) &&
		result->resident_before_bytes >= result->resident_inflated_bytes + under / 20 * 19;
}

/*
 * Guest and device take turns, three times for each MiB. Between two processes on one processor
 * that takes a tenth of the time that it takes across processors that fall asleep.
 */
static void share_processor(void)
{
	int cpu = sched_getcpu();
	cpu_set_t one;

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return;
	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	/* Where it is not allowed it is only slower. */
	(void)sched_setaffinity(0, sizeof(one), &one);
}

static void begin(struct run *run)
{
	struct run_result *result = run->result;

	run->kind = run->options->kind;
	run->begin_ns = uv_hrtime();
	result->guest = run->kind->name;
	result->has_account = run->kind->has_account;
	result->memory_bytes = run->options->memory_bytes;
	result->target_bytes = run->options->balloon_bytes;
	result->has_ledger = run->kind->ledger != NULL;
	if (run->kind->takes & RUN_TAKES_LEDGER)
		result->discard_mode = aero_discard_mode_text(run->options->mode);
	if (!run->options->is_spread)
		share_processor();
}

static void end(struct run *run)
{
	close_trace(run);
	if (run->scratch.path[0])
		aero_scratch_dir_remove(&run->scratch);
	judge(run);
	if (run->machine)
		run->kind->destroy(run->machine);
	aero_node_pool_fini(&run->nodes);
}

int run_scenario(const struct run_options *options, struct run_view *view,
		 struct run_result *result, struct run_samples *samples)
{
	struct run *run = calloc(1, sizeof(*run));
	int caught;

	if (!run) {
		snprintf(result->failure, sizeof(result->failure), "no memory");
		return 0;
	}
	run->options = options;
	run->view = view;
	run->result = result;
	run->samples = samples;
	begin(run);
	uv_loop_init(&run->loop);
	/* Before anything is made that a signal would leave behind. */
	open_handles(run);
	run_enter(run, RUN_BOOTING, "Booting %s with %.0f MiB", run->kind->system,
		  (double)options->memory_bytes / (1 << 20));
	if (make_scratch(run) && open_trace(run) && make_machine(run))
		start_machine(run);
	else
		close_handles(run);
	uv_run(&run->loop, UV_RUN_DEFAULT);
	uv_loop_close(&run->loop);
	end(run);
	caught = run->caught;
	free(run);
	return caught;
}
