/* SPDX-License-Identifier: MIT */
#include "run_scenario.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "hosted/balloon_json.h"
#include "run_parts.h"

#define MIB (1024.0 * 1024.0)
#define SAMPLE_MS 20
#define POWER_OFF_MS 20000
#define STATS_MS 5000

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
	if (run->has_uml)
		aero_uml_kill(&run->uml);
	else
		run_close_service(run);
}

static void on_limit(uv_timer_t *timer)
{
	struct run *run = timer->data;
	struct aero_virtio_balloon_report report;

	aero_virtio_balloon_host_report(&run->service.device, uv_hrtime(), &report);
	run_fail(run, "timed out: %s (target %.1f MiB, actual %.1f MiB, ledger %.1f MiB)",
		 run->is_moving ? aero_host_stall_str(report.stall) : "the guest did not go on",
		 (double)report.target_frames / 256, (double)report.actual_frames / 256,
		 (double)report.ledger_frames / 256);
}

void run_enter(struct run *run, enum run_phase phase, const char *format, ...)
{
	char text[160];
	va_list args;

	run->phase = phase;
	run->result->reached = phase;
	run->result->phase_begin[phase] = run_seconds(run);
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	run_view_phase(run->view, phase, text);
	uv_timer_start(&run->limit, on_limit, run->options->timeout_ms, 0);
}

/* Asking the guest ----------------------------------------------------------------------------- */

static void on_answer(void *ctx, enum aero_status status, const char *text)
{
	struct run *run = ctx;

	/* Of a guest that is gone the story of its end tells more, and comes in any case. */
	if (run->result->failure[0] || status == AERO_EGONE)
		return;
	if (status != AERO_OK)
		run_fail(run, "guest: %s", text);
	else
		run->next(run, text);
}

static void ask(struct run *run, run_next next, const char *format, ...)
{
	enum aero_status status;
	char command[128];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	run->next = next;
	status = aero_guest_console_ask(aero_uml_console(&run->uml), &run->request, command,
					run->options->timeout_ms, on_answer, run);
	if (status != AERO_OK)
		run_fail(run, "guest: '%s' could not be sent: %s", command,
			 aero_status_str(status));
}

/* The guest's own numbers; false where the answer does not hold them. */
static bool read_memory(struct run *run, const char *text, struct run_guest_memory *out)
{
	if (aero_guest_number(text, "total", &out->total_bytes) == AERO_OK &&
	    aero_guest_number(text, "free", &out->free_bytes) == AERO_OK &&
	    aero_guest_number(text, "available", &out->available_bytes) == AERO_OK)
		return true;
	run_fail(run, "guest: an answer without its memory: '%s'", text);
	return false;
}

/* Ways of the balloon -------------------------------------------------------------------------- */

static uint64_t count_requests(const struct run *run)
{
	const struct aero_virtio_balloon_counters *counters = &run->service.device.counters;

	return counters->inflate_requests + counters->deflate_requests;
}

static void begin_way(struct run *run, uint64_t target_bytes)
{
	uint64_t set;

	run->mark.requests = count_requests(run);
	run->mark.ledger = run->service.device.ledger.counters;
	run->mark.time_ns = uv_hrtime();
	run->is_moving = true;
	run_sample_now(run);
	(void)aero_virtio_balloon_host_set_target(&run->service.device,
						  target_bytes >> AERO_FRAME_SHIFT, &set);
	run_sample_now(run);
	aero_balloon_service_wake(&run->service);
}

static void end_way(struct run *run, struct run_way *way)
{
	const struct aero_ledger_counters *now = &run->service.device.ledger.counters;
	const struct aero_ledger_counters *then = &run->mark.ledger;

	way->seconds = (double)(uv_hrtime() - run->mark.time_ns) / 1e9;
	way->requests = count_requests(run) - run->mark.requests;
	way->frames = now->given - then->given + (now->returned - then->returned);
	way->runs = now->runs - then->runs;
	way->discards = now->discards - then->discards;
	way->discard_asked_bytes = now->discard_asked_bytes - then->discard_asked_bytes;
	way->discard_freed_bytes = now->discard_freed_bytes - then->discard_freed_bytes;
}

/* Whether actual is the target and nothing of it waits to be discarded. */
static bool has_arrived(const struct run *run)
{
	const struct aero_virtio_balloon *device = &run->service.device;
	struct aero_virtio_balloon_report report;

	aero_virtio_balloon_host_report(device, uv_hrtime(), &report);
	return report.actual_frames == report.target_frames &&
	       aero_ledger_due_ns(&device->ledger) == AERO_NEVER;
}

/* The scenario, from its end to its start ------------------------------------------------------ */

static void power_off(struct run *run, const char *text)
{
	if (!read_memory(run, text, &run->result->guest_after))
		return;
	run_enter(run, RUN_ENDING, "Powering the guest off");
	uv_timer_stop(&run->limit);
	aero_uml_power_off(&run->uml, POWER_OFF_MS);
}

static void deflated(struct run *run)
{
	run->result->resident_after_bytes = run_resident_bytes(run);
	end_way(run, &run->result->deflate);
	ask(run, power_off, "memory");
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
static void hold(struct run *run)
{
	run_enter(run, RUN_ASKING, "Inflated: the memory is the host's");
	uv_timer_start(&run->limit, on_held, run->options->hold_ms, 0);
}

static void on_stats_late(uv_timer_t *timer)
{
	struct run *run = timer->data;

	run_view_log(run->view, "the guest sent no statistics in time");
	run->stats_sequence = UINT64_MAX;
	hold(run);
}

static void ask_statistics(struct run *run, const char *text)
{
	enum aero_status status;

	if (!read_memory(run, text, &run->result->guest_inflated))
		return;
	run_enter(run, RUN_ASKING, "Asking the guest for statistics");
	run->stats_sequence = run->service.device.stats.sequence;
	status = aero_virtio_balloon_host_request_stats(&run->service.device);
	if (status == AERO_OK || status == AERO_EAGAIN) {
		uv_timer_start(&run->limit, on_stats_late, STATS_MS, 0);
	} else {
		run_view_log(run->view, "no statistics: the driver has not negotiated them");
		hold(run);
	}
}

static void inflated(struct run *run)
{
	struct run_result *result = run->result;
	const struct aero_virtio_balloon *device = &run->service.device;
	struct aero_virtio_balloon_report report;

	end_way(run, &result->inflate);
	aero_virtio_balloon_host_report(device, uv_hrtime(), &report);
	result->actual_bytes = report.actual_frames << AERO_FRAME_SHIFT;
	result->ledger_bytes = report.ledger_frames << AERO_FRAME_SHIFT;
	result->resident_inflated_bytes = run_resident_bytes(run);
	result->resident_under_balloon_bytes = run_resident_under_balloon(run);
	result->is_left_known = run_resident_left(run, &result->resident_left_bytes);
	ask(run, ask_statistics, "memory");
}

static void inflate(struct run *run, const char *text)
{
	struct run_result *result = run->result;

	if (!read_memory(run, text, &result->guest_before))
		return;
	result->resident_before_bytes = run_resident_bytes(run);
	run_note_resident(run);
	run_enter(run, RUN_INFLATING, "Inflating to %.0f MiB",
		  (double)run->options->balloon_bytes / MIB);
	begin_way(run, run->options->balloon_bytes);
}

static void free_dirty(struct run *run, const char *text)
{
	(void)text;
	ask(run, inflate, "free");
}

static void dirty(struct run *run, const char *text)
{
	uint64_t bytes = run->options->dirty_bytes;
	struct run_guest_memory memory;

	if (!read_memory(run, text, &memory))
		return;
	if (!bytes) {
		bytes = run->options->memory_bytes / 4 * 3;
		if (bytes + GUEST_RESERVE_BYTES > memory.available_bytes)
			bytes = memory.available_bytes > 2 * GUEST_RESERVE_BYTES
					? memory.available_bytes - GUEST_RESERVE_BYTES
					: memory.available_bytes / 2;
	}
	run_enter(run, RUN_DIRTYING, "Guest dirties %.0f MiB and frees them", (double)bytes / MIB);
	ask(run, free_dirty, "dirty %" PRIu64, bytes);
}

static void on_ready(void *ctx, const char *text)
{
	struct run *run = ctx;

	if (run->phase != RUN_BOOTING) {
		run_fail(run, "the guest has rebooted");
		return;
	}
	(void)aero_guest_value(text, "kernel", run->result->guest_kernel,
			       sizeof(run->result->guest_kernel));
	run->result->features = run->service.device.accepted;
	run->result->backing = run_backing_text(run);
	if (!run->service.memory.count)
		run_fail(run, "the guest is up, but its kernel has not handed over its memory");
	else
		ask(run, dirty, "memory");
}

static void on_uml_log(void *ctx, const char *line)
{
	struct run *run = ctx;

	if (run->options->is_verbose)
		run_view_log(run->view, line);
}

static void on_uml_ended(void *ctx, const struct aero_error *story)
{
	struct run *run = ctx;

	run->has_uml = false;
	if (story->status != AERO_OK)
		run_fail(run, "%s", story->text);
	else if (run->phase != RUN_ENDING)
		run_fail(run, "the guest powered itself off");
	else
		run_enter(run, RUN_OVER, "Done");
	run_close_service(run);
}

const struct aero_uml_events run_uml_events = {
	.ready = on_ready,
	.log = on_uml_log,
	.ended = on_uml_ended,
};

void run_on_device_event(struct run *run, const struct aero_virtio_balloon_event *event)
{
	if (event->kind != AERO_VIRTIO_BALLOON_EVENT_STATS || run->phase != RUN_ASKING ||
	    event->value <= run->stats_sequence)
		return;
	/* Once: a guest may send more, or too late. */
	run->stats_sequence = UINT64_MAX;
	run->result->statistics = aero_balloon_json_statistics(&run->service);
	hold(run);
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
