/* SPDX-License-Identifier: MIT */
/* QEMU in the guise of VMware, whose balloon is a host model in this process. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosted/balloon_json_vmware.h"
#include "hosted/initrd.h"
#include "hosted/qemu.h"
#include "hosted/vmware_bridge.h"
#include "run_account.h"
#include "run_kinds.h"
#include "run_linux.h"

/* The guest calls once a second, and reading its account takes a fraction of that. */
#define READINGS_MAX 20

/* QEMU's debugger ends a little before QEMU, whose own end tells more. */
#define END_MS 1000

struct vmware_machine {
	struct run_machine base;
	struct run_linux guest;
	struct aero_vmware_bridge bridge;
	struct aero_qemu qemu;
	struct aero_initrd_info initrd;
	struct run_account account;
	struct run_reading *reading; /* the one that is being taken */
	struct aero_vmware_host_counters asked;
	unsigned int attempts;
	uv_timer_t later;
	struct aero_error bridge_story;
	bool has_bridge;
	bool has_qemu;
	bool is_ready; /* told to the scenario */
	bool is_ending;
	unsigned int open_parts;
	char kernel[80];
	char initrd_path[128];
};

static struct vmware_machine *of(struct run_machine *machine)
{
	return (struct vmware_machine *)machine;
}

__attribute__((format(printf, 3, 4))) static void fail(const struct vmware_machine *machine,
						       enum aero_status status, const char *format,
						       ...)
{
	const struct run_machine_events *events = &machine->base.setting.events;
	struct aero_error story = { .status = status };
	va_list args;

	va_start(args, format);
	vsnprintf(story.text, sizeof(story.text), format, args);
	va_end(args);
	events->failed(events->ctx, &story);
}

/* The guest's account -------------------------------------------------------------------------- */

static void take_reading(struct run_linux *guest, const char *text);

static void ask_reading(struct vmware_machine *machine)
{
	machine->asked = machine->bridge.host.counters;
	run_linux_ask(&machine->guest, take_reading, "read " RUN_VMMEMCTL_FILE);
}

static void end_reading(struct vmware_machine *machine)
{
	const struct run_reading *reading = machine->reading;
	struct run_answer answer = {
		.status = AERO_OK,
		.has_frames = reading->is_taken,
		.frames = reading->guest.current,
	};

	run_linux_done(&machine->guest, &answer);
}

static void take_reading(struct run_linux *guest, const char *text)
{
	struct vmware_machine *machine = of(guest->machine);
	const struct aero_vmware_host *host = &machine->bridge.host;
	struct run_vmmemctl parsed;

	if (!run_vmmemctl_parse(text, &parsed)) {
		fail(machine, AERO_EPROTO, "%s of the guest is not what Linux has: '%.80s'",
		     RUN_VMMEMCTL_FILE, text);
		return;
	}
	run_account_keep(&machine->account, text);
	if (run_account_read(machine->reading, text, &machine->asked, &host->counters,
			     aero_ledger_held(&host->ledger)) ||
	    ++machine->attempts == READINGS_MAX)
		end_reading(machine);
	else
		ask_reading(machine);
}

static void vmware_inspect(struct run_machine *base, enum run_phase after)
{
	struct vmware_machine *machine = of(base);

	machine->reading = &machine->account.after;
	if (after == RUN_DIRTYING)
		machine->reading = &machine->account.before;
	if (after == RUN_INFLATING)
		machine->reading = &machine->account.inflated;
	machine->attempts = 0;
	ask_reading(machine);
}

/* The device ----------------------------------------------------------------------------------- */

static void on_served(uv_timer_t *timer)
{
	struct vmware_machine *machine = timer->data;
	const struct run_machine_events *events = &machine->base.setting.events;

	machine->is_ready = true;
	events->ready(events->ctx, machine->kernel);
}

static void on_bridge_end(uv_timer_t *timer)
{
	struct vmware_machine *machine = timer->data;

	fail(machine, machine->bridge_story.status, "%s", machine->bridge_story.text);
}

static void on_host_event(struct vmware_machine *machine,
			  const struct aero_vmware_host_event *event)
{
	/* The driver, which got no answer while it was loaded, tries again each second. */
	if (event->kind == AERO_VMWARE_HOST_EVENT_STARTED && !machine->is_ready)
		uv_timer_start(&machine->later, on_served, 0, 0);
}

static void on_bridge_event(void *ctx, const struct aero_vmware_bridge_event *event)
{
	struct vmware_machine *machine = ctx;

	if (event->kind == AERO_VMWARE_BRIDGE_HOST) {
		on_host_event(machine, &event->host);
	} else if (event->kind == AERO_VMWARE_BRIDGE_NO_CODE && !machine->is_ending) {
		fail(machine, AERO_ENOENT, "the driver's code is not where the guest says it is");
	} else if (event->kind == AERO_VMWARE_BRIDGE_ENDED && !machine->is_ending) {
		machine->bridge_story = *event->story;
		uv_timer_start(&machine->later, on_bridge_end, END_MS, 0);
	}
}

/* Of the bridge, and of the guest. */
static void on_log(void *ctx, const char *line)
{
	struct vmware_machine *machine = ctx;
	const struct run_machine_events *events = &machine->base.setting.events;

	if (machine->base.setting.options->is_verbose)
		events->log(events->ctx, line);
}

/* One line per run of frames, an empty one at the end of each call that had some. */
static void on_runs(void *ctx, bool is_lock, struct aero_range run)
{
	struct vmware_machine *machine = ctx;

	fprintf(machine->base.setting.trace, "%c %" PRIu64 " %" PRIu64 "\n", is_lock ? '+' : '-',
		run.first, run.count);
}

static bool names_frames(uint64_t command)
{
	return command == AERO_VMWARE_CMD_LOCK || command == AERO_VMWARE_CMD_UNLOCK ||
	       (command >= AERO_VMWARE_CMD_BATCHED_LOCK &&
		command <= AERO_VMWARE_CMD_BATCHED_2M_UNLOCK);
}

static void on_call(void *ctx, const struct aero_vmware_registers *before,
		    const struct aero_vmware_registers *after)
{
	struct vmware_machine *machine = ctx;

	(void)after;
	if (names_frames(before->cx & AERO_VMWARE_REGISTER_MASK))
		fputc('\n', machine->base.setting.trace);
}

static bool start_bridge(struct vmware_machine *machine, const char *text, struct aero_error *error)
{
	const struct run_machine_setting *setting = &machine->base.setting;
	struct aero_vmware_bridge_config config = {
		.gdb_fd = -1,
		.memory_fd = -1,
		.capabilities = setting->options->capabilities,
		.mode = setting->options->mode,
		.idle_ns = (uint64_t)setting->options->idle_ms * 1000000,
		.event = on_bridge_event,
		.log = on_log,
		.trace = setting->trace ? on_call : NULL,
		.runs = setting->trace ? on_runs : NULL,
		.ctx = machine,
	};

	if (aero_qemu_bridge_config(&machine->qemu, text, &config) != AERO_OK) {
		aero_error_set(error, AERO_EPROTO,
			       "the guest does not say where its driver's code is: '%s'", text);
		return false;
	}
	machine->has_bridge = aero_vmware_bridge_start(&machine->bridge, setting->loop, &config,
						       error) == AERO_OK;
	/* One by one, looking what each discard freed would cost as much again: not a fair peer. */
	if (machine->has_bridge)
		aero_guest_memory_set_blind(&machine->bridge.memory,
					    setting->options->mode == AERO_DISCARD_FRAME);
	return machine->has_bridge;
}

static void vmware_set_target(struct run_machine *base, uint64_t frames)
{
	struct vmware_machine *machine = of(base);
	uint64_t set;

	(void)aero_vmware_host_set_target(&machine->bridge.host, frames, &set);
	aero_vmware_bridge_wake(&machine->bridge);
}

static uint64_t count_requests(const struct aero_vmware_host_counters *counters)
{
	uint64_t requests = 0;
	uint32_t command;

	for (command = 0; command < AERO_VMWARE_CMD_COUNT; command++)
		requests += names_frames(command) ? counters->calls[command] : 0;
	return requests;
}

static void vmware_numbers(struct run_machine *base, struct run_machine_numbers *out_numbers)
{
	const struct vmware_machine *machine = of(base);
	const struct aero_vmware_host *host = &machine->bridge.host;
	struct aero_vmware_host_report report;

	memset(out_numbers, 0, sizeof(*out_numbers));
	if (!machine->has_bridge)
		return;
	aero_vmware_host_report(host, uv_hrtime(), &report);
	*out_numbers = (struct run_machine_numbers){
		.target_frames = report.target_frames,
		.actual_frames = report.actual_frames,
		.ledger_frames = report.actual_frames,
		.requests = count_requests(&host->counters),
		.stall = report.stall,
		.is_reached = report.is_live && report.stall == AERO_HOST_STALL_NONE,
		.is_settled = aero_ledger_due_ns(&host->ledger) == AERO_NEVER,
	};
}

static const struct aero_ledger *vmware_ledger(const struct run_machine *base)
{
	return &((const struct vmware_machine *)base)->bridge.host.ledger;
}

static const struct aero_guest_memory *vmware_guest_memory(const struct run_machine *base)
{
	return &((const struct vmware_machine *)base)->bridge.memory;
}

static json_t *list_capabilities(uint32_t capabilities)
{
	json_t *list = json_array();
	unsigned int bit;

	for (bit = 0; aero_vmware_capability_name(bit) || !bit; bit++) {
		if (capabilities >> bit & 1)
			json_array_append_new(list, json_string(aero_vmware_capability_name(bit)));
	}
	return list;
}

static void vmware_report(struct run_machine *base, struct run_result *result)
{
	struct vmware_machine *machine = of(base);
	const struct aero_vmware_host *host = &machine->bridge.host;
	json_t *counters;

	if (!machine->has_bridge)
		return;
	/* A guest that is gone has none. */
	if (host->capabilities)
		run_result_put(&result->capabilities, list_capabilities(host->capabilities));
	counters = aero_vmware_json_counters(host, &machine->bridge.memory);
	run_result_put(&result->host_calls, json_incref(json_object_get(counters, "commands")));
	run_result_put(&result->counters, counters);
	run_result_put(&result->account, run_account_json(&machine->account));
	result->is_account_agreed = run_account_is_agreed(&machine->account);
}

/* The guest ------------------------------------------------------------------------------------ */

static void on_ready(void *ctx, const char *text)
{
	struct vmware_machine *machine = ctx;
	const struct run_machine_events *events = &machine->base.setting.events;
	struct aero_error error;

	if (machine->has_bridge) {
		/* Once more: it has rebooted. */
		events->ready(events->ctx, machine->kernel);
		return;
	}
	machine->guest.console = aero_qemu_console(&machine->qemu);
	(void)aero_guest_value(text, "kernel", machine->kernel, sizeof(machine->kernel));
	if (!start_bridge(machine, text, &error))
		events->failed(events->ctx, &error);
}

static void on_ended(void *ctx, const struct aero_error *story)
{
	struct vmware_machine *machine = ctx;
	const struct run_machine_events *events = &machine->base.setting.events;

	machine->has_qemu = false;
	machine->is_ending = true;
	uv_timer_stop(&machine->later);
	events->ended(events->ctx, story);
}

static bool vmware_start(struct run_machine *base, struct aero_error *error)
{
	struct vmware_machine *machine = of(base);
	const struct run_machine_setting *setting = &base->setting;
	const struct aero_initrd_config initrd = {
		.kernel = setting->options->kernel,
		.modules = setting->options->modules,
		.machine = AERO_INITRD_VMWARE,
	};
	const struct aero_guest_process_events events = { on_ready, on_log, on_ended, machine };
	const struct aero_qemu_config config = {
		.kernel = machine->initrd.kernel,
		.initrd = machine->initrd_path,
		.append = setting->options->append,
		.memory_bytes = setting->options->memory_bytes,
		.scratch = setting->scratch,
		.ready_timeout_ms = setting->options->timeout_ms,
		.is_verbose = setting->options->is_verbose,
	};

	machine->has_qemu =
		aero_initrd_build(&initrd, machine->initrd_path, &machine->initrd, error) ==
			AERO_OK &&
		aero_qemu_start(&machine->qemu, setting->loop, &config, &events, error) == AERO_OK;
	return machine->has_qemu;
}

static void vmware_power_off(struct run_machine *base, uint32_t timeout_ms)
{
	struct vmware_machine *machine = of(base);

	machine->is_ending = true;
	aero_qemu_power_off(&machine->qemu, timeout_ms);
}

static void vmware_kill(struct run_machine *base)
{
	struct vmware_machine *machine = of(base);

	machine->is_ending = true;
	uv_timer_stop(&machine->later);
	if (machine->has_qemu)
		aero_qemu_kill(&machine->qemu);
}

static void vmware_memory(struct run_machine *base)
{
	run_linux_memory(&of(base)->guest);
}

static void vmware_dirty(struct run_machine *base, uint64_t bytes)
{
	run_linux_dirty(&of(base)->guest, bytes);
}

/* Coming and going ----------------------------------------------------------------------------- */

static struct run_machine *vmware_create(const struct run_machine_setting *setting)
{
	struct vmware_machine *machine = calloc(1, sizeof(*machine));

	if (!machine)
		return NULL;
	machine->base.kind = &run_kind_vmware;
	machine->base.setting = *setting;
	machine->guest.machine = &machine->base;
	snprintf(machine->initrd_path, sizeof(machine->initrd_path), "%s/initrd",
		 setting->scratch->path);
	uv_timer_init(setting->loop, &machine->later);
	machine->later.data = machine;
	return &machine->base;
}

static void part_closed(void *ctx)
{
	struct vmware_machine *machine = ctx;
	const struct run_machine_events *events = &machine->base.setting.events;

	if (--machine->open_parts == 0)
		events->closed(events->ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
	part_closed(handle->data);
}

static void vmware_close(struct run_machine *base)
{
	struct vmware_machine *machine = of(base);

	machine->open_parts = machine->has_bridge ? 2 : 1;
	if (machine->has_bridge)
		aero_vmware_bridge_close(&machine->bridge, part_closed, machine);
	machine->has_bridge = false;
	uv_close((uv_handle_t *)&machine->later, on_timer_closed);
}

static void vmware_destroy(struct run_machine *base)
{
	free(base);
}

const struct run_kind run_kind_vmware = {
	.name = "vmware",
	.title = "Debian's kernel in QEMU, with our VMware balloon",
	.memory_bytes = 1ull << 30,
	.balloon = { .is_share = true, .share = 500000000 },
	.memory_unit = 2ull << 20,
	.minimum_bytes = 256ull << 20,
	.system = "Linux",
	.takes = RUN_TAKES_CAPABILITIES | RUN_TAKES_LEDGER | RUN_TAKES_MODULES,
	.has_account = true,
	.create = vmware_create,
	.destroy = vmware_destroy,
	.start = vmware_start,
	.power_off = vmware_power_off,
	.kill = vmware_kill,
	.close = vmware_close,
	.memory = vmware_memory,
	.dirty = vmware_dirty,
	.inspect = vmware_inspect,
	.inspecting = "Reading the guest's own account",
	.set_target = vmware_set_target,
	.numbers = vmware_numbers,
	.ledger = vmware_ledger,
	.guest_memory = vmware_guest_memory,
	.report = vmware_report,
};
