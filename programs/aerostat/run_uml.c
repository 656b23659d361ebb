/* SPDX-License-Identifier: MIT */
/* User Mode Linux, whose virtio-balloon is a vhost-user back end in this process. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosted/balloon_json.h"
#include "hosted/balloon_service.h"
#include "hosted/initrd.h"
#include "hosted/uml.h"
#include "run_kinds.h"
#include "run_linux.h"
#include "run_text.h"

#define STATS_MS 5000

struct uml_machine {
	struct run_machine base;
	struct run_linux guest;
	struct aero_balloon_service service;
	struct aero_uml uml;
	struct aero_initrd_info initrd;
	uv_timer_t patience; /* for statistics */
	json_t *statistics;
	uint64_t stats_sequence; /* later ones are awaited; UINT64_MAX: none are */
	bool has_service;
	bool has_uml;
	bool is_killed;
	unsigned int open_parts;
	char socket_path[128];
	char initrd_path[128];
};

static struct uml_machine *of(struct run_machine *machine)
{
	return (struct uml_machine *)machine;
}

static void tell(const struct uml_machine *machine, const char *line)
{
	const struct run_machine_events *events = &machine->base.setting.events;

	events->log(events->ctx, line);
}

/* Statistics ---------------------------------------------------------------------------------- */

static void answer_statistics(struct uml_machine *machine)
{
	struct run_answer answer = { .status = AERO_OK };

	/* Once: a guest may send more, or too late. */
	machine->stats_sequence = UINT64_MAX;
	uv_timer_stop(&machine->patience);
	run_linux_done(&machine->guest, &answer);
}

static void on_stats_late(uv_timer_t *timer)
{
	struct uml_machine *machine = timer->data;

	tell(machine, "the guest sent no statistics in time");
	answer_statistics(machine);
}

static void on_stats_never(uv_timer_t *timer)
{
	answer_statistics(timer->data);
}

static void on_stats(struct uml_machine *machine, uint64_t sequence)
{
	if (sequence <= machine->stats_sequence)
		return;
	json_decref(machine->statistics);
	machine->statistics = aero_balloon_json_statistics(&machine->service);
	answer_statistics(machine);
}

static void ask_statistics(struct uml_machine *machine)
{
	struct aero_virtio_balloon *device = &machine->service.device;
	enum aero_status status;

	machine->stats_sequence = device->stats.sequence;
	status = aero_virtio_balloon_host_request_stats(device);
	if (status == AERO_OK || status == AERO_EAGAIN) {
		aero_balloon_service_wake(&machine->service);
		uv_timer_start(&machine->patience, on_stats_late, STATS_MS, 0);
		return;
	}
	tell(machine, "no statistics: the driver has not negotiated them");
	uv_timer_start(&machine->patience, on_stats_never, 0, 0);
}

/* Virtio's account is the number that the driver writes; there is more only while inflated. */
static void uml_inspect(struct run_machine *base, enum run_phase phase)
{
	struct uml_machine *machine = of(base);

	if (phase == RUN_INFLATING)
		ask_statistics(machine);
	else
		uv_timer_start(&machine->patience, on_stats_never, 0, 0);
}

/* The device ---------------------------------------------------------------------------------- */

static void on_service_event(void *ctx, const struct aero_balloon_service_event *event)
{
	struct uml_machine *machine = ctx;

	if (event->kind == AERO_BALLOON_SERVICE_DEVICE &&
	    event->device.kind == AERO_VIRTIO_BALLOON_EVENT_STATS)
		on_stats(machine, event->device.value);
}

static void on_service_log(void *ctx, const char *line)
{
	struct uml_machine *machine = ctx;

	/* That front ends come and go is news in a daemon only. */
	if (machine->base.setting.options->is_verbose || machine->is_killed ||
	    !strstr(line, "vhost-user"))
		tell(machine, line);
}

/* One line per run of frames, an empty one at the end of each request. */
static void on_trace(void *ctx, bool is_inflate, struct aero_range range)
{
	struct uml_machine *machine = ctx;
	FILE *trace = machine->base.setting.trace;

	if (range.count)
		fprintf(trace, "%c %" PRIu64 " %" PRIu64 "\n", is_inflate ? '+' : '-', range.first,
			range.count);
	else
		fputc('\n', trace);
}

static bool start_service(struct uml_machine *machine, struct aero_error *error)
{
	const struct run_machine_setting *setting = &machine->base.setting;
	struct aero_balloon_service_config config = {
		.socket_path = machine->socket_path,
		.offered = setting->options->features,
		.mode = setting->options->mode,
		.idle_ns = (uint64_t)setting->options->idle_ms * 1000000,
		.event = on_service_event,
		.log = on_service_log,
		.trace = setting->trace ? on_trace : NULL,
		.ctx = machine,
	};

	if (aero_balloon_service_start(&machine->service, setting->loop, &config) != AERO_OK) {
		aero_error_set(error, AERO_EIO, "the device cannot listen on %s",
			       machine->socket_path);
		return false;
	}
	/* One by one, looking what each discard freed would cost as much again: not a fair peer. */
	aero_guest_memory_set_blind(&machine->service.memory,
				    setting->options->mode == AERO_DISCARD_FRAME);
	machine->has_service = true;
	return true;
}

static void uml_set_target(struct run_machine *base, uint64_t frames)
{
	struct aero_balloon_service *service = &of(base)->service;
	uint64_t set;

	(void)aero_virtio_balloon_host_set_target(&service->device, frames, &set);
	aero_balloon_service_wake(service);
}

static void uml_numbers(struct run_machine *base, struct run_machine_numbers *out_numbers)
{
	const struct aero_virtio_balloon *device = &of(base)->service.device;
	struct aero_virtio_balloon_report report;

	aero_virtio_balloon_host_report(device, uv_hrtime(), &report);
	*out_numbers = (struct run_machine_numbers){
		.target_frames = report.target_frames,
		.actual_frames = report.actual_frames,
		.ledger_frames = report.ledger_frames,
		.requests = device->counters.inflate_requests + device->counters.deflate_requests,
		.stall = report.stall,
		.is_reached = report.actual_frames == report.target_frames,
		.is_settled = aero_ledger_due_ns(&device->ledger) == AERO_NEVER,
	};
}

static const struct aero_ledger *uml_ledger(const struct run_machine *base)
{
	return &((const struct uml_machine *)base)->service.device.ledger;
}

static const struct aero_guest_memory *uml_guest_memory(const struct run_machine *base)
{
	return &((const struct uml_machine *)base)->service.memory;
}

static void uml_report(struct run_machine *base, struct run_result *result)
{
	struct uml_machine *machine = of(base);

	if (!machine->has_service)
		return;
	if (machine->service.device.accepted.word[0])
		run_result_put(&result->features,
			       run_feature_names(&machine->service.device.accepted));
	run_result_put(&result->counters, aero_balloon_json_counters(&machine->service));
	run_result_put(&result->statistics, json_incref(machine->statistics));
}

/* The guest ----------------------------------------------------------------------------------- */

static void on_ready(void *ctx, const char *text)
{
	struct uml_machine *machine = ctx;
	const struct run_machine_events *events = &machine->base.setting.events;
	struct aero_error story;

	machine->guest.console = aero_uml_console(&machine->uml);
	if (!machine->service.memory.count) {
		aero_error_set(&story, AERO_EPROTO,
			       "the guest is up, but its kernel has not handed over its memory");
		events->failed(events->ctx, &story);
		return;
	}
	run_linux_ready(&machine->guest, text);
}

static void on_log(void *ctx, const char *line)
{
	struct uml_machine *machine = ctx;

	if (machine->base.setting.options->is_verbose)
		tell(machine, line);
}

static void on_ended(void *ctx, const struct aero_error *story)
{
	struct uml_machine *machine = ctx;
	const struct run_machine_events *events = &machine->base.setting.events;

	machine->has_uml = false;
	uv_timer_stop(&machine->patience);
	events->ended(events->ctx, story);
}

static bool start_guest(struct uml_machine *machine, struct aero_error *error)
{
	const struct run_machine_setting *setting = &machine->base.setting;
	const struct run_options *options = setting->options;
	const struct aero_initrd_config initrd = {
		.kernel = options->kernel,
		.modules = options->modules,
		.machine = AERO_INITRD_UML,
	};
	const struct aero_guest_process_events events = { on_ready, on_log, on_ended, machine };
	struct aero_uml_config config = {
		.kernel = machine->initrd.kernel,
		.initrd = machine->initrd_path,
		.socket = machine->socket_path,
		.append = options->append,
		.memory_bytes = options->memory_bytes,
		.memory_directory = options->memory_directory,
		.scratch = setting->scratch,
		.ready_timeout_ms = options->timeout_ms,
		.is_verbose = options->is_verbose,
	};

	machine->has_uml =
		aero_initrd_build(&initrd, machine->initrd_path, &machine->initrd, error) ==
			AERO_OK &&
		aero_uml_start(&machine->uml, setting->loop, &config, &events, error) == AERO_OK;
	return machine->has_uml;
}

static bool uml_start(struct run_machine *base, struct aero_error *error)
{
	struct uml_machine *machine = of(base);

	return start_service(machine, error) && start_guest(machine, error);
}

static void uml_power_off(struct run_machine *base, uint32_t timeout_ms)
{
	aero_uml_power_off(&of(base)->uml, timeout_ms);
}

static void uml_kill(struct run_machine *base)
{
	struct uml_machine *machine = of(base);

	machine->is_killed = true;
	if (machine->has_uml)
		aero_uml_kill(&machine->uml);
}

static void uml_memory(struct run_machine *base)
{
	run_linux_memory(&of(base)->guest);
}

static void uml_dirty(struct run_machine *base, uint64_t bytes)
{
	run_linux_dirty(&of(base)->guest, bytes);
}

/* Coming and going ---------------------------------------------------------------------------- */

static struct run_machine *uml_create(const struct run_machine_setting *setting)
{
	struct uml_machine *machine = calloc(1, sizeof(*machine));
	const char *path = setting->scratch->path;

	if (!machine)
		return NULL;
	machine->base.kind = &run_kind_uml;
	machine->base.setting = *setting;
	machine->guest.machine = &machine->base;
	machine->stats_sequence = UINT64_MAX;
	snprintf(machine->socket_path, sizeof(machine->socket_path), "%s/balloon.sock", path);
	snprintf(machine->initrd_path, sizeof(machine->initrd_path), "%s/initrd", path);
	uv_timer_init(setting->loop, &machine->patience);
	machine->patience.data = machine;
	return &machine->base;
}

static void part_closed(void *ctx)
{
	struct uml_machine *machine = ctx;
	const struct run_machine_events *events = &machine->base.setting.events;

	if (--machine->open_parts == 0)
		events->closed(events->ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
	part_closed(handle->data);
}

static void uml_close(struct run_machine *base)
{
	struct uml_machine *machine = of(base);

	machine->open_parts = machine->has_service ? 2 : 1;
	if (machine->has_service)
		aero_balloon_service_close(&machine->service, part_closed, machine);
	machine->has_service = false;
	uv_close((uv_handle_t *)&machine->patience, on_timer_closed);
}

static void uml_destroy(struct run_machine *base)
{
	json_decref(of(base)->statistics);
	free(base);
}

const struct run_kind run_kind_uml = {
	.name = "uml",
	.title = "User Mode Linux, with our virtio-balloon device",
	.memory_bytes = 512ull << 20,
	.balloon = { .is_share = true, .share = 500000000 },
	.memory_unit = AERO_FRAME_BYTES,
	.minimum_bytes = 64ull << 20,
	.system = "Linux",
	.takes = RUN_TAKES_FEATURES | RUN_TAKES_MEMORY_DIR | RUN_TAKES_LEDGER | RUN_TAKES_MODULES,
	.is_sharing_processor = true,
	.create = uml_create,
	.destroy = uml_destroy,
	.start = uml_start,
	.power_off = uml_power_off,
	.kill = uml_kill,
	.close = uml_close,
	.memory = uml_memory,
	.dirty = uml_dirty,
	.inspect = uml_inspect,
	.inspecting = "Asking the guest for statistics",
	.set_target = uml_set_target,
	.numbers = uml_numbers,
	.ledger = uml_ledger,
	.guest_memory = uml_guest_memory,
	.report = uml_report,
};
