/* SPDX-License-Identifier: MIT */
/* What a run stands on: loop, device, guest, signals, samples. */
#include "run_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosted/balloon_json.h"

/* Short, because a gigabyte moves in a few of these. */
#define SAMPLE_MS 5

uint64_t run_resident_bytes(const struct run *run)
{
	return aero_guest_memory_resident_bytes(&run->service.memory);
}

void run_sample_now(struct run *run)
{
	struct aero_virtio_balloon_report report;
	struct run_sample sample;

	aero_virtio_balloon_host_report(&run->service.device, uv_hrtime(), &report);
	sample.seconds = run_seconds(run);
	sample.target_bytes = report.target_frames << AERO_FRAME_SHIFT;
	sample.actual_bytes = report.actual_frames << AERO_FRAME_SHIFT;
	sample.resident_bytes = run_resident_bytes(run);
	(void)run_samples_add(run->samples, &sample);
}

const char *run_backing_text(const struct run *run)
{
	const struct aero_guest_memory *memory = &run->service.memory;

	if (!memory->count)
		return "nothing";
	switch (memory->maps[0].kind) {
	case AERO_GUEST_BACKING_HUGETLB:
		return "hugetlb pages";
	case AERO_GUEST_BACKING_SHMEM:
		return memory->host.backing.block_order ? "shared memory, huge pages"
							: "shared memory, 4 KiB pages";
	case AERO_GUEST_BACKING_FILE:
		return "a file";
	case AERO_GUEST_BACKING_ANONYMOUS:
		return "anonymous memory";
	}
	return "unknown";
}

static bool note_range(void *ctx, struct aero_range range)
{
	struct run *run = ctx;
	uint64_t added;

	return aero_frame_set_insert(&run->resident, range, &added) == AERO_OK;
}

void run_note_resident(struct run *run)
{
	struct aero_range all = { 0, AERO_FRAME_LIMIT };
	enum aero_status status =
		aero_guest_memory_for_each_resident(&run->service.memory, all, note_range, run);

	/* Of huge pages of hugetlb nothing is told: all of guest memory counts as resident. */
	if (status == AERO_ENOTSUP) {
		all.count = run->options->memory_bytes >> AERO_FRAME_SHIFT;
		(void)note_range(run, all);
	} else if (status != AERO_OK) {
		run_fail(run, "what is resident cannot be read: %s", aero_status_str(status));
	}
}

static bool count_range(void *ctx, struct aero_range range)
{
	uint64_t *frames = ctx;

	*frames += range.count;
	return true;
}

bool run_resident_left(const struct run *run, uint64_t *out_bytes)
{
	const struct aero_frame_set *held = &run->service.device.ledger.held;
	const struct aero_guest_memory *memory = &run->service.memory;
	enum aero_status status = AERO_OK;
	struct aero_range range = { 0, 0 };
	uint64_t frames = 0;

	while (status == AERO_OK &&
	       aero_frame_set_next(held, range.first + range.count, AERO_FRAME_LIMIT, &range))
		status = aero_guest_memory_for_each_resident(memory, range, count_range, &frames);
	*out_bytes = frames << AERO_FRAME_SHIFT;
	return status == AERO_OK;
}

uint64_t run_resident_under_balloon(const struct run *run)
{
	const struct aero_frame_set *held = &run->service.device.ledger.held;
	struct aero_range range = { 0, 0 };
	uint64_t frames = 0;

	while (aero_frame_set_next(held, range.first + range.count, AERO_FRAME_LIMIT, &range))
		frames += aero_frame_set_count_in(&run->resident, range);
	return frames << AERO_FRAME_SHIFT;
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

static void on_service_event(void *ctx, const struct aero_balloon_service_event *event)
{
	struct run *run = ctx;

	if (event->kind == AERO_BALLOON_SERVICE_DEVICE)
		run_on_device_event(run, &event->device);
}

static void on_service_log(void *ctx, const char *line)
{
	struct run *run = ctx;

	/* That front ends come and go is news in a daemon only. */
	if (run->options->is_verbose || run->result->failure[0] || !strstr(line, "vhost-user"))
		run_view_log(run->view, line);
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

static void on_service_closed(void *ctx)
{
	close_handles(ctx);
}

void run_close_service(struct run *run)
{
	if (!run->has_service)
		return;
	run->has_service = false;
	run->result->counters = aero_balloon_json_counters(&run->service);
	aero_frame_set_fini(&run->resident);
	aero_balloon_service_close(&run->service, on_service_closed, run);
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

/* One line per run of frames, an empty one at the end of each request. */
static void on_trace(void *ctx, bool is_inflate, struct aero_range range)
{
	struct run *run = ctx;

	if (range.count)
		fprintf(run->trace, "%c %" PRIu64 " %" PRIu64 "\n", is_inflate ? '+' : '-',
			range.first, range.count);
	else
		fputc('\n', run->trace);
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

	if (aero_scratch_dir_make(&run->scratch, &error) != AERO_OK) {
		run->scratch.path[0] = '\0';
		run_fail(run, "%s", error.text);
		return false;
	}
	snprintf(run->socket_path, sizeof(run->socket_path), "%s/balloon.sock", run->scratch.path);
	snprintf(run->initrd_path, sizeof(run->initrd_path), "%s/initrd", run->scratch.path);
	return true;
}

static bool start_service(struct run *run)
{
	struct aero_balloon_service_config config = {
		.socket_path = run->socket_path,
		.offered = run->options->features,
		.mode = run->options->mode,
		.idle_ns = (uint64_t)run->options->idle_ms * 1000000,
		.event = on_service_event,
		.log = on_service_log,
		.trace = run->trace ? on_trace : NULL,
		.ctx = run,
	};
	struct aero_node_source nodes;

	if (aero_balloon_service_start(&run->service, &run->loop, &config) != AERO_OK) {
		run_fail(run, "the device cannot listen on %s", run->socket_path);
		return false;
	}
	/* One by one, looking what each discard freed would cost as much again: not a fair peer. */
	aero_guest_memory_set_blind(&run->service.memory, run->options->mode == AERO_DISCARD_FRAME);
	nodes = aero_node_pool_source(&run->service.nodes);
	aero_frame_set_init(&run->resident, &nodes);
	run->has_service = true;
	return true;
}

static bool start_guest(struct run *run)
{
	struct aero_initrd_config initrd = { run->options->kernel, run->options->modules, NULL };
	struct aero_uml_events events = run_uml_events;
	struct aero_uml_config config = {
		.kernel = run->initrd.kernel,
		.initrd = run->initrd_path,
		.socket = run->socket_path,
		.append = run->options->append,
		.memory_bytes = run->options->memory_bytes,
		.memory_directory = run->options->memory_directory,
		.scratch = &run->scratch,
		.ready_timeout_ms = run->options->timeout_ms,
		.is_verbose = run->options->is_verbose,
	};
	struct aero_error error;

	events.ctx = run;
	if (aero_initrd_build(&initrd, run->initrd_path, &run->initrd, &error) != AERO_OK ||
	    aero_uml_start(&run->uml, &run->loop, &config, &events, &error) != AERO_OK) {
		run_fail(run, "%s", error.text);
		return false;
	}
	run->has_uml = true;
	return true;
}

/* The three questions of the run, answered. */
static void judge(struct run *run)
{
	struct run_result *result = run->result;
	uint64_t under = result->resident_under_balloon_bytes;

	if (result->reached < RUN_ASKING)
		return;
	result->is_target_reported = result->actual_bytes == result->target_bytes;
	result->is_ledger_agreed = result->ledger_bytes == result->actual_bytes;
	/*
	 * The guest may report free memory meanwhile, so the fall of the whole is not enough; of
	 * hugetlb pages no more is known.
	 */
	result->is_memory_freed =
		under && (!result->is_left_known || result->resident_left_bytes <= under / 20) &&
		result->resident_before_bytes >= result->resident_inflated_bytes + under / 20 * 19;
}

static const char *const mode_names[] = {
	[AERO_DISCARD_COLLECT] = "collect",
	[AERO_DISCARD_REQUEST] = "request",
	[AERO_DISCARD_FRAME] = "frame",
	[AERO_DISCARD_NONE] = "none",
};

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
	run->begin_ns = uv_hrtime();
	result->memory_bytes = options->memory_bytes;
	result->target_bytes = options->balloon_bytes;
	result->discard_mode = mode_names[options->mode];
	if (!options->is_spread)
		share_processor();
	uv_loop_init(&run->loop);
	/* Before anything is made that a signal would leave behind. */
	open_handles(run);
	run_enter(run, RUN_BOOTING, "Booting Linux with %.0f MiB",
		  (double)options->memory_bytes / (1 << 20));
	if (make_scratch(run) && open_trace(run) && start_service(run))
		(void)start_guest(run);
	else
		close_handles(run);
	uv_run(&run->loop, UV_RUN_DEFAULT);
	uv_loop_close(&run->loop);
	close_trace(run);
	if (run->scratch.path[0])
		aero_scratch_dir_remove(&run->scratch);
	judge(run);
	caught = run->caught;
	free(run);
	return caught;
}
