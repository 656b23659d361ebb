/* SPDX-License-Identifier: MIT */
#include "hosted/control_virtio.h"

#include <string.h>

#include "hosted/balloon_json.h"
#include "hosted/balloon_json_text.h"

/*
 * The device knows the time from its last step, which may be long ago. What begins now, such as
 * the patience with a guest that gets a new target, is to be counted from now.
 */
static struct aero_virtio_balloon *present_device(struct aero_balloon_service *service)
{
	(void)aero_virtio_balloon_host_step(&service->device, uv_hrtime());
	return &service->device;
}

static void read_numbers(void *ctx, struct aero_control_numbers *out_numbers)
{
	const struct aero_balloon_service *service = ctx;
	struct aero_virtio_balloon_report report;

	aero_virtio_balloon_host_report(&service->device, uv_hrtime(), &report);
	*out_numbers = (struct aero_control_numbers){
		.target_frames = report.target_frames,
		.actual_frames = report.actual_frames,
		.pending_frames = report.pending_frames,
		.guest_memory_bytes = aero_guest_memory_bytes(&service->memory),
		.stall = report.stall,
		.is_live = report.is_live,
		.is_reached = report.is_live && report.target_frames == report.actual_frames,
		.is_quiesced = report.is_quiesced,
		.is_drained = report.is_drained,
	};
}

static json_t *describe_status(void *ctx)
{
	json_t *out = aero_balloon_json_status(ctx);

	json_object_set_new(out, "counters", aero_balloon_json_counters(ctx));
	return out;
}

static json_t *describe_event(void *ctx, const void *event)
{
	return aero_balloon_json_event(ctx, event);
}

static enum aero_status set_target(void *ctx, uint64_t frames)
{
	struct aero_balloon_service *service = ctx;
	enum aero_status status;
	uint64_t set;

	status = aero_virtio_balloon_host_set_target(present_device(service), frames, &set);
	aero_balloon_service_wake(service);
	return status;
}

/* Statistics ---------------------------------------------------------------------------------- */

static enum aero_status request_stats(void *ctx)
{
	struct aero_balloon_service *service = ctx;
	/* AERO_EAGAIN: asked as soon as there is a buffer to ask with. */
	enum aero_status status = aero_virtio_balloon_host_request_stats(&service->device);

	aero_balloon_service_wake(service);
	return status;
}

static uint64_t stats_sequence(void *ctx)
{
	const struct aero_balloon_service *service = ctx;

	return aero_virtio_balloon_host_stats(&service->device)->sequence;
}

static json_t *describe_stats(void *ctx)
{
	return aero_balloon_json_statistics(ctx);
}

static const char *why_late(void *ctx, const char **out_text)
{
	const struct aero_balloon_service *service = ctx;

	if (service->device.is_quiesced) {
		*out_text = "the device is paused";
		return "paused";
	}
	if (service->device.is_first_stats) {
		*out_text = "the driver has not supplied a buffer";
		return "no_buffer";
	}
	*out_text = "the guest did not answer in time";
	return "timed_out";
}

static const struct aero_control_stats_ops stats_ops = {
	.request = request_stats,
	.sequence = stats_sequence,
	.describe = describe_stats,
	.why_late = why_late,
};

/* Hints --------------------------------------------------------------------------------------- */

static enum aero_status do_hint(struct aero_virtio_balloon *device, const char *action)
{
	if (!strcmp(action, "start"))
		return aero_virtio_balloon_host_hint_start(device);
	if (!strcmp(action, "stop"))
		return aero_virtio_balloon_host_hint_stop(device);
	if (!strcmp(action, "done"))
		return aero_virtio_balloon_host_hint_done(device);
	return AERO_EINVAL;
}

static json_t *run_hint(void *ctx, const char *action, struct aero_control_error *error)
{
	struct aero_balloon_service *service = ctx;
	struct aero_virtio_balloon *device = &service->device;
	enum aero_status status = do_hint(device, action);
	struct aero_control_numbers numbers;

	read_numbers(service, &numbers);
	if (status == AERO_EINVAL)
		aero_control_fail(error, "bad_member",
				  "\"action\" is start, stop or done, not \"%.64s\"", action);
	else if (!numbers.is_live)
		aero_control_fail(error, "no_driver", "no driver has taken the device");
	else if (status == AERO_ENOTSUP)
		aero_control_fail(error, "not_negotiated",
				  "the driver did not negotiate free page hinting");
	else if (status != AERO_OK)
		aero_control_fail(error, "wrong_state", "not while hinting is %s",
				  aero_balloon_hint_text(device->hint_state));
	if (status != AERO_OK)
		return NULL;
	aero_balloon_service_wake(service);
	return json_pack("{s:s, s:I}", "hint_state", aero_balloon_hint_text(device->hint_state),
			 "hint_command", (json_int_t)device->hint_command);
}

/* Rest ---------------------------------------------------------------------------------------- */

static bool quiesce(void *ctx)
{
	struct aero_balloon_service *service = ctx;

	/* Told again if it is drained already. */
	aero_virtio_balloon_host_quiesce(&service->device);
	aero_balloon_service_wake(service);
	return false;
}

static void resume(void *ctx)
{
	aero_virtio_balloon_host_resume(present_device(ctx));
	aero_balloon_service_wake(ctx);
}

static void flush(void *ctx)
{
	struct aero_balloon_service *service = ctx;

	aero_virtio_balloon_host_flush(&service->device);
	aero_balloon_service_wake(service);
}

static void inhibit(void *ctx, uint32_t reasons)
{
	struct aero_balloon_service *service = ctx;

	aero_virtio_balloon_host_inhibit(&service->device, reasons);
	aero_balloon_service_wake(service);
}

/* No reset: DEVICE_NEEDS_RESET is what a device says that broke, not what an operator may want. */
const struct aero_control_ops aero_control_virtio_ops = {
	.name = "virtio-balloon",
	.events = aero_balloon_event_names,
	.numbers = read_numbers,
	.status = describe_status,
	.describe_event = describe_event,
	.set_target = set_target,
	.stats = &stats_ops,
	.hint = run_hint,
	.quiesce = quiesce,
	.resume = resume,
	.flush = flush,
	.inhibit = inhibit,
};

static enum aero_control_turn turn_of(const struct aero_balloon_service_event *event)
{
	if (event->kind == AERO_BALLOON_SERVICE_DISCONNECTED)
		return AERO_CONTROL_GONE;
	if (event->kind != AERO_BALLOON_SERVICE_DEVICE)
		return AERO_CONTROL_NOTHING;
	if (event->device.kind == AERO_VIRTIO_BALLOON_EVENT_STATS)
		return AERO_CONTROL_STATS;
	if (event->device.kind == AERO_VIRTIO_BALLOON_EVENT_DRAINED)
		return AERO_CONTROL_DRAINED;
	if (event->device.kind == AERO_VIRTIO_BALLOON_EVENT_READY && !event->device.value)
		return AERO_CONTROL_GONE;
	return AERO_CONTROL_NOTHING;
}

void aero_control_virtio_event(struct aero_control *control,
			       const struct aero_balloon_service_event *event)
{
	struct aero_control_news news = {
		.event = aero_balloon_event_index(event),
		.turn = turn_of(event),
		.detail = event,
	};

	aero_control_tell(control, &news);
}
