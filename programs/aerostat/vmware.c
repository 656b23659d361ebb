/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/commands.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "hosted/control_vmware.h"
#include "hosted/sd_notify.h"
#include "hosted/size_text.h"
#include "hosted/vmware_bridge.h"
#include "hosted/vmware_bridge_faults.h"
#include "programs/aerostat/options.h"
#include "programs/aerostat/vmware_options.h"

#define NAME "vmware"

/* The whole process; main thread only. */
struct hypervisor {
	uv_loop_t loop;
	struct aero_vmware_bridge bridge;
	struct aero_control control;
	struct aero_control_vmware controlled;
	struct aero_vmware_options options;
	struct aero_error story; /* why it ended */
	FILE *trace;
	uint64_t accepted; /* entries, up to the last line of the trace */
	uv_signal_t signals[3];
	uv_async_t end; /* ending out of an event */
	bool has_control;
	bool is_ending;
};

static void log_line(void *ctx, const char *line)
{
	(void)ctx;
	fprintf(stderr, "aerostat vmware: %s\n", line);
}

/* Ending -------------------------------------------------------------------------------------- */

static void part_closed(void *ctx)
{
	(void)ctx;
}

static void end(struct hypervisor *all, const char *why)
{
	int i;

	if (all->is_ending)
		return;
	all->is_ending = true;
	fprintf(stderr, "aerostat vmware: %s, ending\n", why);
	(void)aero_sd_notify("STOPPING=1");
	for (i = 0; i < 3; i++)
		uv_close((uv_handle_t *)&all->signals[i], NULL);
	uv_close((uv_handle_t *)&all->end, NULL);
	aero_vmware_bridge_close(&all->bridge, part_closed, NULL);
	if (all->has_control)
		aero_control_close(&all->control, part_closed, NULL);
}

static void on_end(uv_async_t *handle)
{
	end(handle->data, "the machine is gone");
}

/* SIGHUP: the guest has loaded its driver anew. */
static void on_signal(uv_signal_t *handle, int number)
{
	struct hypervisor *all = handle->data;

	if (number == SIGHUP)
		(void)aero_vmware_bridge_locate(&all->bridge, all->options.bridge.text);
	else
		end(all, number == SIGINT ? "interrupted" : "terminated");
}

/* What happens -------------------------------------------------------------------------------- */

/* One line for `systemctl status`. */
static void tell_manager(struct hypervisor *all)
{
	struct aero_vmware_host_report report;
	char actual[AERO_SIZE_TEXT_BYTES], target[AERO_SIZE_TEXT_BYTES];
	char status[192];

	aero_vmware_host_report(&all->bridge.host, uv_hrtime(), &report);
	snprintf(status, sizeof(status), "STATUS=%s, balloon %s of %s",
		 all->bridge.state == AERO_VMWARE_BRIDGE_ACTIVE ? "serving a driver"
								: "waiting for a driver",
		 aero_size_format(report.actual_frames << AERO_FRAME_SHIFT, actual),
		 aero_size_format(report.target_frames << AERO_FRAME_SHIFT, target));
	(void)aero_sd_notify(status);
}

static void host_event(struct hypervisor *all, const struct aero_vmware_host_event *event)
{
	if (all->has_control)
		aero_control_vmware_event(&all->control, event);
	/* Inflation brings one every few milliseconds; these are rare. */
	if (event->kind == AERO_VMWARE_HOST_EVENT_TARGET ||
	    event->kind == AERO_VMWARE_HOST_EVENT_REACHED)
		tell_manager(all);
}

static void connection(struct hypervisor *all, bool is_connected)
{
	if (all->has_control)
		aero_control_vmware_connection(&all->control, is_connected);
	tell_manager(all);
}

static void on_event(void *ctx, const struct aero_vmware_bridge_event *event)
{
	struct hypervisor *all = ctx;

	switch (event->kind) {
	case AERO_VMWARE_BRIDGE_HOST:
		host_event(all, &event->host);
		break;
	case AERO_VMWARE_BRIDGE_SERVING:
		connection(all, true);
		break;
	case AERO_VMWARE_BRIDGE_NO_CODE:
		connection(all, false);
		break;
	case AERO_VMWARE_BRIDGE_PAUSED:
		break;
	case AERO_VMWARE_BRIDGE_ENDED:
		all->story = *event->story;
		connection(all, false);
		uv_async_send(&all->end);
		break;
	}
}

static uint32_t on_interpose(void *ctx, uint32_t command)
{
	struct hypervisor *all = ctx;

	return aero_vmware_faults_interpose(&all->options.faults, command);
}

static uint32_t on_judge(void *ctx, bool is_lock, struct aero_range block)
{
	struct hypervisor *all = ctx;

	return aero_vmware_faults_judge(&all->options.faults, is_lock, block);
}

static void on_trace(void *ctx, const struct aero_vmware_registers *before,
		     const struct aero_vmware_registers *after)
{
	struct hypervisor *all = ctx;
	const struct aero_vmware_host_counters *counters = &all->bridge.host.counters;
	uint64_t accepted = counters->locked_4k + counters->locked_2m + counters->unlocked_4k +
			    counters->unlocked_2m;
	char line[AERO_VMWARE_TRACE_LINE];

	fprintf(all->trace, "%s\n",
		aero_vmware_trace_format(before, after, accepted - all->accepted, line));
	all->accepted = accepted;
}

static void on_runs(void *ctx, bool is_lock, struct aero_range run)
{
	struct hypervisor *all = ctx;
	char line[AERO_VMWARE_TRACE_LINE];

	fprintf(all->trace, "%s\n", aero_vmware_trace_run(is_lock, run, line));
}

/* Starting ------------------------------------------------------------------------------------ */

static void watch_signals(struct hypervisor *all)
{
	static const int numbers[3] = { SIGINT, SIGTERM, SIGHUP };
	int i;

	for (i = 0; i < 3; i++) {
		uv_signal_init(&all->loop, &all->signals[i]);
		all->signals[i].data = all;
		uv_signal_start(&all->signals[i], on_signal, numbers[i]);
	}
	uv_async_init(&all->loop, &all->end, on_end);
	all->end.data = all;
}

static void wake(void *ctx)
{
	struct hypervisor *all = ctx;

	aero_vmware_bridge_wake(&all->bridge);
}

static bool is_connected(void *ctx)
{
	const struct hypervisor *all = ctx;

	return all->bridge.state == AERO_VMWARE_BRIDGE_ACTIVE;
}

static bool start_control(struct hypervisor *all)
{
	struct aero_control_config config = {
		.path = all->options.control_path,
		.ops = &aero_control_vmware_ops,
		.balloon = &all->controlled,
		.log = log_line,
		.ctx = all,
	};
	struct aero_error error;

	all->controlled = (struct aero_control_vmware){
		.host = &all->bridge.host,
		.memory = &all->bridge.memory,
		.wake = wake,
		.is_connected = is_connected,
		.ctx = all,
	};
	if (!config.path)
		return true;
	all->has_control =
		aero_control_start(&all->control, &all->loop, &config, &error) == AERO_OK;
	if (!all->has_control)
		aero_complain(NAME, "control: %s", error.text);
	return all->has_control;
}

static bool start_bridge(struct hypervisor *all)
{
	struct aero_vmware_bridge_config *config = &all->options.bridge;
	struct aero_error error;
	uint64_t target;

	config->event = on_event;
	config->log = log_line;
	config->interpose = on_interpose;
	config->judge = on_judge;
	config->trace = all->trace ? on_trace : NULL;
	config->runs = all->trace ? on_runs : NULL;
	config->ctx = all;
	if (aero_vmware_bridge_start(&all->bridge, &all->loop, config, &error) != AERO_OK) {
		aero_complain(NAME, "%s", error.text);
		return false;
	}
	target =
		aero_size_bytes(&all->options.target, aero_guest_memory_bytes(&all->bridge.memory));
	(void)aero_vmware_host_set_target(&all->bridge.host, target >> AERO_FRAME_SHIFT, &target);
	return true;
}

/* Answers the exit status. */
static int serve(struct hypervisor *all)
{
	if (!start_bridge(all))
		return AERO_EXIT_FAILED;
	if (!start_control(all)) {
		aero_vmware_bridge_close(&all->bridge, part_closed, NULL);
		uv_run(&all->loop, UV_RUN_DEFAULT);
		return AERO_EXIT_FAILED;
	}
	watch_signals(all);
	log_line(NULL, "ready");
	(void)aero_sd_notify("READY=1\nSTATUS=waiting for a driver");
	uv_run(&all->loop, UV_RUN_DEFAULT);
	return all->story.status == AERO_OK ? AERO_EXIT_OK : AERO_EXIT_FAILED;
}

/* Lines are complete at all times: whoever reads along waits for one. */
static bool open_trace(struct hypervisor *all)
{
	const char *path = all->options.trace_path;

	if (!path)
		return true;
	all->trace = fopen(path, "we");
	if (!all->trace) {
		aero_complain(NAME, "cannot write the trace %s", path);
		return false;
	}
	setvbuf(all->trace, NULL, _IOLBF, 0);
	return true;
}

static int run_hypervisor(const struct aero_vmware_options *options)
{
	/* Not on the stack: it is large, and libuv keeps pointers into it. */
	static struct hypervisor all;
	int result = AERO_EXIT_FAILED;

	/* Clients and machines that leave are seen in the results of calls. */
	signal(SIGPIPE, SIG_IGN);
	all.options = *options;
	if (!open_trace(&all))
		return result;
	if (uv_loop_init(&all.loop))
		return aero_complain(NAME, "no event loop");
	result = serve(&all);
	uv_loop_close(&all.loop);
	if (all.trace && fclose(all.trace))
		result = aero_complain(NAME, "the trace was not written to its end");
	return result;
}

int command_vmware(int argc, char **argv)
{
	struct aero_vmware_options options;
	int result = aero_vmware_options_read(argc, argv, &options);

	if (result != AERO_VMWARE_OPTIONS_FINE)
		return result;
	return run_hypervisor(&options);
}
