/* SPDX-License-Identifier: MIT */
#include "run_scenario.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "run_parts.h"

#define MIB (1024.0 * 1024.0)
#define POWER_OFF_MS 20000

/* What the guest keeps for itself when it is asked to dirty most of its memory. */
#define GUEST_RESERVE_BYTES (24ull << 20)

double run_seconds(const struct run *run)
{
	return (double)(uv_hrtime() - run->begin_ns) / 1e9;
}

void run_fail(struct run *run, const char *format, ...)
{
	va_list args;

	/* The first reason is the one that counts. */
	if (!run->result->failure[0]) {
		va_start(args, format);
		vsnprintf(run->result->failure, sizeof(run->result->failure), format, args);
		va_end(args);
	}
	run->is_moving = false;
	if (run->has_guest)
		run->kind->kill(run->machine);
	else
		run_close_machine(run);
}

static void on_limit(uv_timer_t *timer)
{
	struct run *run = timer->data;
	struct run_machine_numbers numbers = run_numbers(run);
	char ledger[48] = "";

	if (run->result->has_ledger)
		snprintf(ledger, sizeof(ledger), ", ledger %.1f MiB",
			 (double)numbers.ledger_frames / 256);
	run_fail(run, "timed out: %s (target %.1f MiB, actual %.1f MiB%s)",
		 run->is_moving ? aero_host_stall_str(numbers.stall) : "the guest did not go on",
		 (double)numbers.target_frames / 256, (double)numbers.actual_frames / 256, ledger);
}

void run_enter(struct run *run, enum run_phase phase, const char *format, ...)
{
	char text[160];
	va_list args;

	/* A phase that goes on with something else began before. */
	if (run->phase != phase)
		run->result->phase_begin[phase] = run_seconds(run);
	run->phase = phase;
	run->result->reached = phase;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	run_view_phase(run->view, phase, text);
	uv_timer_start(&run->limit, on_limit, run->options->timeout_ms, 0);
}

/* Asking the guest ----------------------------------------------------------------------------- */

static void on_answered(void *ctx, const struct run_answer *answer)
{
	struct run *run = ctx;

	if (run->result->failure[0])
		return;
	if (answer->status != AERO_OK)
		run_fail(run, "guest: %s", answer->text);
	else
		run->next(run, answer);
}

/* Where there is nobody to ask, next is called at once. */
static void ask_memory(struct run *run, run_next next)
{
	static const struct run_answer nothing = { .status = AERO_OK };

	run->next = next;
	if (run->kind->memory)
		run->kind->memory(run->machine);
	else
		next(run, &nothing);
}

static void inspect(struct run *run, enum run_phase after, run_next next)
{
	static const struct run_answer nothing = { .status = AERO_OK };

	run->next = next;
	if (run->kind->inspect)
		run->kind->inspect(run->machine, after);
	else
		next(run, &nothing);
}

/* Ways of the balloon -------------------------------------------------------------------------- */

static void begin_way(struct run *run, uint64_t target_bytes)
{
	struct run_machine_numbers numbers = run_numbers(run);

	run->mark.requests = numbers.requests;
	run->mark.actual_frames = numbers.actual_frames;
	if (run->kind->ledger)
		run->mark.ledger = run->kind->ledger(run->machine)->counters;
	run->mark.time_ns = uv_hrtime();
	run->is_moving = true;
	run_sample_now(run);
	run->kind->set_target(run->machine, target_bytes >> AERO_FRAME_SHIFT);
	run_sample_now(run);
}

static void count_ledger(struct run *run, struct run_way *way)
{
	const struct aero_ledger_counters *now = &run->kind->ledger(run->machine)->counters;
	const struct aero_ledger_counters *then = &run->mark.ledger;

	way->requests = run_numbers(run).requests - run->mark.requests;
	way->frames = now->given - then->given + (now->returned - then->returned);
	way->runs = now->runs - then->runs;
	way->discards = now->discards - then->discards;
	way->discard_asked_bytes = now->discard_asked_bytes - then->discard_asked_bytes;
	way->discard_freed_bytes = now->discard_freed_bytes - then->discard_freed_bytes;
}

static void end_way(struct run *run, struct run_way *way)
{
	uint64_t then = run->mark.actual_frames, now = run_numbers(run).actual_frames;

	way->seconds = (double)(uv_hrtime() - run->mark.time_ns) / 1e9;
	if (run->kind->ledger)
		count_ledger(run, way);
	else
		way->frames = now > then ? now - then : then - now;
}

/* The scenario, from its end to its start ------------------------------------------------------ */

static void power_off(struct run *run, const struct run_answer *answer)
{
	run->result->guest_after = answer->memory;
	run_enter(run, RUN_ENDING, "Powering the guest off");
	uv_timer_stop(&run->limit);
	run->kind->power_off(run->machine, POWER_OFF_MS);
}

static void inspected_after(struct run *run, const struct run_answer *answer)
{
	(void)answer;
	ask_memory(run, power_off);
}

static void deflated(struct run *run)
{
	run->result->resident_after_bytes = run_resident_bytes(run);
	end_way(run, &run->result->deflate);
	inspect(run, RUN_DEFLATING, inspected_after);
}

static void deflate(struct run *run)
{
	run_enter(run, RUN_DEFLATING, "Deflating to 0");
	begin_way(run, 0);
}

static void on_held(uv_timer_t *timer)
{
	deflate(timer->data);
}

/* Rest for a moment, for somebody who watches. */
static void hold(struct run *run, const struct run_answer *answer)
{
	/* The guest's own number, where it has one that is not what the host has seen. */
	if (answer->has_frames)
		run->result->actual_bytes = answer->frames << AERO_FRAME_SHIFT;
	run_enter(run, RUN_ASKING, "Inflated: the memory is the host's");
	uv_timer_start(&run->limit, on_held, run->options->hold_ms, 0);
}

static void ask_guest(struct run *run, const struct run_answer *answer)
{
	run->result->guest_inflated = answer->memory;
	if (run->kind->inspect)
		run_enter(run, RUN_ASKING, "%s", run->kind->inspecting);
	inspect(run, RUN_INFLATING, hold);
}

static void inflated(struct run *run)
{
	struct run_result *result = run->result;
	struct run_machine_numbers numbers = run_numbers(run);

	end_way(run, &result->inflate);
	result->is_target_reported = numbers.is_reached;
	result->actual_bytes = numbers.actual_frames << AERO_FRAME_SHIFT;
	result->resident_inflated_bytes = run_resident_bytes(run);
	result->resident_under_balloon_bytes = run_resident_under_balloon(run);
	if (run->kind->ledger) {
		result->ledger_bytes = numbers.ledger_frames << AERO_FRAME_SHIFT;
		result->is_left_known = run_resident_left(run, &result->resident_left_bytes);
	}
	ask_memory(run, ask_guest);
}

static void inflate(struct run *run, const struct run_answer *answer)
{
	struct run_result *result = run->result;

	(void)answer;
	result->resident_before_bytes = run_resident_bytes(run);
	run_note_resident(run);
	/* That may have failed. */
	if (result->failure[0])
		return;
	run_enter(run, RUN_INFLATING, "Inflating to %.0f MiB",
		  (double)run->options->balloon_bytes / MIB);
	begin_way(run, run->options->balloon_bytes);
}

static void inspect_before(struct run *run, const struct run_answer *answer)
{
	run->result->guest_before = answer->memory;
	inspect(run, RUN_DIRTYING, inflate);
}

static uint64_t choose_dirty_bytes(const struct run *run, uint64_t available_bytes)
{
	uint64_t bytes = run->options->dirty_bytes;

	if (bytes)
		return bytes;
	/* Where nobody knows what the balloon holds, all of it is to be backed before. */
	bytes = run->options->memory_bytes / 4 * (run->kind->ledger ? 3 : 4);
	/* A guest that does not tell has to know itself. */
	if (!available_bytes || bytes + GUEST_RESERVE_BYTES <= available_bytes)
		return bytes;
	return available_bytes > 2 * GUEST_RESERVE_BYTES ? available_bytes - GUEST_RESERVE_BYTES
							 : available_bytes / 2;
}

static void dirty(struct run *run, const struct run_answer *answer)
{
	uint64_t bytes = choose_dirty_bytes(run, answer->memory.available_bytes);

	run_enter(run, RUN_DIRTYING, "Guest dirties %.0f MiB and frees them", (double)bytes / MIB);
	run->next = inspect_before;
	run->kind->dirty(run->machine, bytes);
}

/* What the machine tells ----------------------------------------------------------------------- */

static void on_ready(void *ctx, const char *kernel)
{
	struct run *run = ctx;

	if (run->phase != RUN_BOOTING) {
		run_fail(run, "the guest has rebooted");
		return;
	}
	snprintf(run->result->guest_kernel, sizeof(run->result->guest_kernel), "%s", kernel);
	run->result->backing = run_backing_text(run);
	run->kind->report(run->machine, run->result);
	ask_memory(run, dirty);
}

static void on_log(void *ctx, const char *line)
{
	struct run *run = ctx;

	run_view_log(run->view, line);
}

static void on_failed(void *ctx, const struct aero_error *story)
{
	run_fail(ctx, "%s", story->text);
}

static void on_ended(void *ctx, const struct aero_error *story)
{
	struct run *run = ctx;

	run->has_guest = false;
	if (story->status != AERO_OK)
		run_fail(run, "%s", story->text);
	else if (run->phase != RUN_ENDING)
		run_fail(run, "the guest powered itself off");
	else
		run_enter(run, RUN_OVER, "Done");
	run_close_machine(run);
}

const struct run_machine_events run_scenario_events = {
	.ready = on_ready,
	.answered = on_answered,
	.log = on_log,
	.failed = on_failed,
	.ended = on_ended,
};

/* Whether the balloon is where it was sent, and nothing of it waits to be discarded. */
static bool has_arrived(const struct run *run)
{
	struct run_machine_numbers numbers = run_numbers(run);

	return numbers.is_reached && numbers.is_settled;
}

void run_on_turn(struct run *run)
{
	if (!run->is_moving || !has_arrived(run))
		return;
	run->is_moving = false;
	run_sample_now(run);
	run_view_update(run->view, run->samples);
	if (run->phase == RUN_INFLATING)
		inflated(run);
	else
		deflated(run);
}
