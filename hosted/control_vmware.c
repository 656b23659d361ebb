/* SPDX-License-Identifier: MIT */
#include "hosted/control_vmware.h"

#include "hosted/balloon_json_vmware.h"

/* What is behind news->detail. */
struct event {
	int index;
	uint64_t value;
};

static void wake(const struct aero_control_vmware *balloon)
{
	balloon->wake(balloon->ctx);
}

/* The host knows the time from its last step or call; what begins now counts from now. */
static struct aero_vmware_host *present_host(const struct aero_control_vmware *balloon)
{
	(void)aero_vmware_host_step(balloon->host, uv_hrtime());
	return balloon->host;
}

static void read_numbers(void *ctx, struct aero_control_numbers *out_numbers)
{
	const struct aero_control_vmware *balloon = ctx;
	struct aero_vmware_host_report report;

	aero_vmware_host_report(balloon->host, uv_hrtime(), &report);
	*out_numbers = (struct aero_control_numbers){
		.target_frames = report.target_frames,
		.actual_frames = report.actual_frames,
		.pending_frames = report.pending_frames,
		.guest_memory_bytes = aero_guest_memory_bytes(balloon->memory),
		.stall = report.stall,
		.is_live = report.is_live,
		.is_reached = report.is_live && report.stall == AERO_HOST_STALL_NONE,
		.is_quiesced = report.is_quiesced,
		.is_drained = report.is_drained,
	};
}

static json_t *describe_status(void *ctx)
{
	const struct aero_control_vmware *balloon = ctx;
	json_t *out = aero_vmware_json_status(balloon->host, balloon->memory,
					      balloon->is_connected(balloon->ctx));

	json_object_set_new(out, "counters",
			    aero_vmware_json_counters(balloon->host, balloon->memory));
	return out;
}

static json_t *describe_event(void *ctx, const void *detail)
{
	const struct aero_control_vmware *balloon = ctx;
	const struct event *event = detail;

	return aero_vmware_json_event(balloon->host, balloon->memory, event->index, event->value);
}

static enum aero_status set_target(void *ctx, uint64_t frames)
{
	const struct aero_control_vmware *balloon = ctx;
	enum aero_status status;
	uint64_t set;

	status = aero_vmware_host_set_target(present_host(balloon), frames, &set);
	wake(balloon);
	return status;
}

static bool quiesce(void *ctx)
{
	const struct aero_control_vmware *balloon = ctx;
	struct aero_vmware_host_report report;

	aero_vmware_host_quiesce(balloon->host);
	aero_vmware_host_report(balloon->host, uv_hrtime(), &report);
	wake(balloon);
	return report.is_drained;
}

static void resume(void *ctx)
{
	const struct aero_control_vmware *balloon = ctx;

	aero_vmware_host_resume(present_host(balloon));
	wake(balloon);
}

static void flush(void *ctx)
{
	const struct aero_control_vmware *balloon = ctx;

	aero_vmware_host_flush(balloon->host);
	wake(balloon);
}

static void inhibit(void *ctx, uint32_t reasons)
{
	const struct aero_control_vmware *balloon = ctx;

	aero_vmware_host_inhibit(balloon->host, reasons);
	wake(balloon);
}

static enum aero_status reset(void *ctx)
{
	const struct aero_control_vmware *balloon = ctx;

	return aero_vmware_host_reset(balloon->host);
}

const struct aero_control_ops aero_control_vmware_ops = {
	.name = "VMware balloon",
	.events = aero_vmware_event_names,
	.numbers = read_numbers,
	.status = describe_status,
	.describe_event = describe_event,
	.set_target = set_target,
	.quiesce = quiesce,
	.resume = resume,
	.flush = flush,
	.inhibit = inhibit,
	.reset = reset,
};

static enum aero_control_turn turn_of(enum aero_vmware_host_event_kind kind)
{
	if (kind == AERO_VMWARE_HOST_EVENT_DRAINED)
		return AERO_CONTROL_DRAINED;
	if (kind == AERO_VMWARE_HOST_EVENT_LEFT || kind == AERO_VMWARE_HOST_EVENT_RESET)
		return AERO_CONTROL_GONE;
	return AERO_CONTROL_NOTHING;
}

void aero_control_vmware_event(struct aero_control *control,
			       const struct aero_vmware_host_event *event)
{
	struct event detail = { aero_vmware_event_index(event->kind), event->value };
	struct aero_control_news news = { detail.index, turn_of(event->kind), &detail };

	aero_control_tell(control, &news);
}

void aero_control_vmware_connection(struct aero_control *control, bool is_connected)
{
	struct event detail = { is_connected ? AERO_VMWARE_EVENT_CONNECTED
					     : AERO_VMWARE_EVENT_DISCONNECTED,
				0 };
	struct aero_control_news news = { .event = detail.index,
					  .turn = is_connected ? AERO_CONTROL_NOTHING
							       : AERO_CONTROL_GONE,
					  .detail = &detail };

	aero_control_tell(control, &news);
}
