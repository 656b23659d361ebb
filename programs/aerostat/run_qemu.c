/* SPDX-License-Identifier: MIT */
#include "run_qemu.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_driver.h"
#include "run_linux.h"
#include "run_qemu_balloon.h"
#include "run_text.h"

#define STATS_MS 5000

/* Of the memory, what a guest that can check keeps in use: one part in so many. */
#define KEPT_SHARE 16

/* QMP ends a little before QEMU, whose own end tells more. */
#define END_MS 1000

struct qemu_machine {
	struct run_machine base;
	struct run_linux guest;
	struct run_qemu_balloon balloon;
	struct aero_qemu qemu;
	struct aero_guest_memory memory;
	uv_timer_t later;
	struct aero_error story; /* of what later tells */
	json_t *features;
	json_t *statistics;
	struct run_driver_account account;
	enum run_phase inspecting;
	bool has_qemu;
	bool has_balloon;
	bool is_up;	 /* the guest */
	bool is_talking; /* QEMU */
	bool is_ending;
	unsigned int open_parts;
	char ready[AERO_LINE_MAX];
	struct run_qemu_boot boot;
};

static struct qemu_machine *of(struct run_machine *machine)
{
	return (struct qemu_machine *)machine;
}

static const struct run_qemu_guest *guest_of(const struct qemu_machine *machine)
{
	return machine->base.kind->own;
}

static const struct run_machine_events *events_of(const struct qemu_machine *machine)
{
	return &machine->base.setting.events;
}

static void tell_failure(uv_timer_t *timer)
{
	struct qemu_machine *machine = timer->data;

	if (!machine->is_ending)
		events_of(machine)->failed(events_of(machine)->ctx, &machine->story);
}

static void fail_later(struct qemu_machine *machine, const struct aero_error *story, uint64_t ms)
{
	machine->story = *story;
	uv_timer_start(&machine->later, tell_failure, ms, 0);
}

/* The device ---------------------------------------------------------------------------------- */

/* Both have to be there: the guest with its driver, and QEMU to talk to. */
static void tell_ready(struct qemu_machine *machine)
{
	if (machine->is_up && machine->is_talking)
		run_linux_ready(&machine->guest, machine->ready);
}

static void on_balloon_ready(void *ctx)
{
	struct qemu_machine *machine = ctx;

	machine->is_talking = true;
	tell_ready(machine);
}

static void on_balloon_failed(void *ctx, const struct aero_error *story)
{
	fail_later(ctx, story, story->status == AERO_EGONE ? END_MS : 0);
}

static void on_statistics(void *ctx, json_t *statistics, const char *why)
{
	struct run_answer answer = { .status = AERO_OK };
	struct qemu_machine *machine = ctx;

	if (!statistics)
		events_of(machine)->log(events_of(machine)->ctx, why);
	json_decref(machine->statistics);
	machine->statistics = statistics;
	run_linux_done(&machine->guest, &answer);
}

static void on_nothing(uv_timer_t *timer)
{
	struct run_answer answer = { .status = AERO_OK };
	struct qemu_machine *machine = timer->data;

	run_linux_done(&machine->guest, &answer);
}

/* Virtio's account is the number that the driver writes; there is more only while inflated. */
static void inspect_device(struct qemu_machine *machine)
{
	if (machine->inspecting == RUN_INFLATING)
		run_qemu_balloon_ask_statistics(&machine->balloon, STATS_MS);
	else
		uv_timer_start(&machine->later, on_nothing, 0, 0);
}

static struct run_driver_reading *reading_of(struct qemu_machine *machine)
{
	if (machine->inspecting == RUN_DIRTYING)
		return &machine->account.before;
	return machine->inspecting == RUN_INFLATING ? &machine->account.inflated
						    : &machine->account.after;
}

static void take_time(struct run_linux *guest, const char *text)
{
	struct qemu_machine *machine = of(guest->machine);

	run_driver_take_time(reading_of(machine), text);
	inspect_device(machine);
}

static void take_counters(struct run_linux *guest, const char *text)
{
	struct qemu_machine *machine = of(guest->machine);

	snprintf(machine->account.counters, sizeof(machine->account.counters), "%s", text);
	run_linux_ask(guest, take_time, "time");
}

static void take_report(struct run_linux *guest, const char *text)
{
	struct qemu_machine *machine = of(guest->machine);

	(void)run_driver_take_report(reading_of(machine), text, machine->balloon.actual_frames);
	run_linux_ask(guest, take_counters, "counters");
}

static void look_at_account(struct run_linux *guest, const char *text)
{
	(void)text;
	run_linux_ask(guest, take_report, "report");
}

static void look_at_books(struct run_linux *guest, const char *text)
{
	(void)text;
	run_linux_ask(guest, look_at_account, "validate");
}

void run_qemu_inspect(struct run_machine *base, enum run_phase phase)
{
	struct qemu_machine *machine = of(base);

	machine->inspecting = phase;
	if (guest_of(machine)->is_ours)
		run_linux_ask(&machine->guest, look_at_books, "check");
	else
		inspect_device(machine);
}

void run_qemu_set_target(struct run_machine *base, uint64_t frames)
{
	run_qemu_balloon_set_target(&of(base)->balloon, frames);
}

void run_qemu_numbers(struct run_machine *base, struct run_machine_numbers *out_numbers)
{
	memset(out_numbers, 0, sizeof(*out_numbers));
	if (of(base)->has_balloon)
		run_qemu_balloon_numbers(&of(base)->balloon, out_numbers);
}

const struct aero_guest_memory *run_qemu_guest_memory(const struct run_machine *base)
{
	return &((const struct qemu_machine *)base)->memory;
}

/* One way there and one back: what was counted in all is of these. */
static void report_driver(struct qemu_machine *machine, struct run_result *result)
{
	json_t *counters = run_driver_counters_json(&machine->account);

	run_result_put(&result->account, run_driver_account_json(&machine->account));
	result->is_account_agreed = run_driver_is_agreed(&machine->account);
	if (!counters)
		return;
	result->has_requests = true;
	result->inflate.requests =
		(uint64_t)json_number_value(json_object_get(counters, "inflate_requests"));
	result->deflate.requests =
		(uint64_t)json_number_value(json_object_get(counters, "deflate_requests"));
	run_result_put(&result->counters, json_pack("{s:o}", "driver", counters));
}

void run_qemu_report(struct run_machine *base, struct run_result *result)
{
	struct qemu_machine *machine = of(base);

	run_result_put(&result->features, json_incref(machine->features));
	run_result_put(&result->statistics, json_incref(machine->statistics));
	if (guest_of(machine)->is_ours)
		report_driver(machine, result);
}

/* The guest ----------------------------------------------------------------------------------- */

/* A digit for each bit, that of feature 0 first. */
static json_t *parse_features(const char *text)
{
	struct aero_virtio_features features = { { 0, 0 } };
	char digits[129];
	size_t i;

	if (aero_guest_value(text, "features", digits, sizeof(digits)) != AERO_OK)
		return NULL;
	for (i = 0; digits[i]; i++)
		features.word[i / 64] |= (uint64_t)(digits[i] == '1') << i % 64;
	return run_feature_names(&features);
}

static void on_ready(void *ctx, const char *text)
{
	struct qemu_machine *machine = ctx;

	machine->guest.console = aero_qemu_console(&machine->qemu);
	snprintf(machine->ready, sizeof(machine->ready), "%s", text);
	json_decref(machine->features);
	machine->features = parse_features(text);
	machine->is_up = true;
	tell_ready(machine);
}

static void on_log(void *ctx, const char *line)
{
	struct qemu_machine *machine = ctx;

	if (machine->base.setting.options->is_verbose)
		events_of(machine)->log(events_of(machine)->ctx, line);
}

static void on_ended(void *ctx, const struct aero_error *story)
{
	struct qemu_machine *machine = ctx;

	machine->has_qemu = false;
	machine->is_ending = true;
	uv_timer_stop(&machine->later);
	events_of(machine)->ended(events_of(machine)->ctx, story);
}

/* Where the guest sees which part of it does not matter: only how much there is, is asked. */
static void map_memory(struct qemu_machine *machine)
{
	const struct aero_guest_region region = {
		.bytes = machine->base.setting.options->memory_bytes,
		.fd = aero_qemu_memory_fd(&machine->qemu),
	};
	enum aero_status status = aero_guest_memory_add(&machine->memory, &region);
	struct aero_error story;

	if (status == AERO_OK)
		return;
	aero_error_set(&story, status, "the guest's memory cannot be mapped: %s",
		       aero_status_str(status));
	fail_later(machine, &story, 0);
}

static void part_closed(void *ctx)
{
	struct qemu_machine *machine = ctx;

	if (--machine->open_parts == 0)
		events_of(machine)->closed(events_of(machine)->ctx);
}

static void open_balloon(struct qemu_machine *machine)
{
	const struct run_machine_setting *setting = &machine->base.setting;
	const struct run_qemu_balloon_events events = {
		.ready = on_balloon_ready,
		.statistics = on_statistics,
		.failed = on_balloon_failed,
		.closed = part_closed,
		.ctx = machine,
	};

	run_qemu_balloon_open(&machine->balloon, setting->loop,
			      aero_qemu_take_control(&machine->qemu),
			      setting->options->memory_bytes, &events);
	machine->has_balloon = true;
}

/* What the kind gives its kernel, then what was asked for. */
static bool join_parameters(const struct qemu_machine *machine, char *out, size_t size)
{
	const char *own = guest_of(machine)->append;
	const char *more = machine->base.setting.options->append;

	return (size_t)snprintf(out, size, "%s%s%s", own ? own : "", own && more ? " " : "",
				more ? more : "") < size;
}

static bool boot(struct qemu_machine *machine, struct aero_error *error)
{
	const struct run_options *options = machine->base.setting.options;
	const struct aero_guest_process_events events = { on_ready, on_log, on_ended, machine };
	char append[1024];
	const struct aero_qemu_config config = {
		.machine = AERO_QEMU_BALLOON,
		.arch = guest_of(machine)->arch,
		.kernel = machine->boot.kernel,
		.initrd = machine->boot.initrd[0] ? machine->boot.initrd : NULL,
		.append = append,
		.memory_bytes = options->memory_bytes,
		.scratch = machine->base.setting.scratch,
		.ready_timeout_ms = options->timeout_ms,
		.is_verbose = options->is_verbose,
	};

	if (!join_parameters(machine, append, sizeof(append))) {
		aero_error_set(error, AERO_EINVAL, "too long kernel parameters");
		return false;
	}
	return aero_qemu_start(&machine->qemu, machine->base.setting.loop, &config, &events,
			       error) == AERO_OK;
}

bool run_qemu_start(struct run_machine *base, struct aero_error *error)
{
	struct qemu_machine *machine = of(base);

	machine->has_qemu = guest_of(machine)->prepare(guest_of(machine), base->setting.options,
						       &machine->boot, error) &&
			    boot(machine, error);
	if (!machine->has_qemu)
		return false;
	map_memory(machine);
	open_balloon(machine);
	return true;
}

void run_qemu_power_off(struct run_machine *base, uint32_t timeout_ms)
{
	struct qemu_machine *machine = of(base);

	machine->is_ending = true;
	aero_qemu_power_off(&machine->qemu, timeout_ms);
}

void run_qemu_kill(struct run_machine *base)
{
	struct qemu_machine *machine = of(base);

	machine->is_ending = true;
	uv_timer_stop(&machine->later);
	if (machine->has_qemu)
		aero_qemu_kill(&machine->qemu);
}

void run_qemu_memory(struct run_machine *base)
{
	run_linux_memory(&of(base)->guest);
}

static void on_kept(struct run_linux *guest, const char *text)
{
	(void)text;
	run_linux_memory(guest);
}

/* What is kept before the balloon grows has to be there when it is large, and when it is empty. */
static void keep(struct run_linux *guest, const char *text)
{
	const struct run_options *options = guest->machine->setting.options;
	uint64_t beside = options->memory_bytes - options->balloon_bytes;
	uint64_t bytes = options->memory_bytes / KEPT_SHARE;

	(void)text;
	run_linux_ask(guest, on_kept, "sum %" PRIu64, bytes < beside / 4 ? bytes : beside / 4);
}

static void free_dirty(struct run_linux *guest, const char *text)
{
	(void)text;
	run_linux_ask(guest, keep, "free");
}

void run_qemu_dirty(struct run_machine *base, uint64_t bytes)
{
	struct qemu_machine *machine = of(base);

	if (guest_of(machine)->is_ours)
		run_linux_ask(&machine->guest, free_dirty, "dirty %" PRIu64, bytes);
	else
		run_linux_dirty(&machine->guest, bytes);
}

/* Coming and going ---------------------------------------------------------------------------- */

struct run_machine *run_qemu_create(const struct run_machine_setting *setting)
{
	const struct aero_guest_memory_config memory = { NULL, NULL };
	struct qemu_machine *machine = calloc(1, sizeof(*machine));

	if (!machine)
		return NULL;
	machine->base.kind = setting->options->kind;
	machine->base.setting = *setting;
	machine->guest.machine = &machine->base;
	snprintf(machine->boot.initrd, sizeof(machine->boot.initrd), "%s/initrd",
		 setting->scratch->path);
	aero_guest_memory_init(&machine->memory, &memory);
	uv_timer_init(setting->loop, &machine->later);
	machine->later.data = machine;
	return &machine->base;
}

static void on_timer_closed(uv_handle_t *handle)
{
	part_closed(handle->data);
}

void run_qemu_close(struct run_machine *base)
{
	struct qemu_machine *machine = of(base);

	machine->is_ending = true;
	machine->open_parts = machine->has_balloon ? 2 : 1;
	if (machine->has_balloon)
		run_qemu_balloon_close(&machine->balloon);
	machine->has_balloon = false;
	uv_close((uv_handle_t *)&machine->later, on_timer_closed);
}

void run_qemu_destroy(struct run_machine *base)
{
	struct qemu_machine *machine = of(base);

	json_decref(machine->features);
	json_decref(machine->statistics);
	aero_guest_memory_fini(&machine->memory);
	free(machine);
}
