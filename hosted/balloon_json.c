/* SPDX-License-Identifier: MIT */
#include "hosted/balloon_json.h"

#include <stdio.h>
#include <string.h>

#include "hosted/balloon_json_text.h"
#include "hosted/feature_text.h"

json_t *aero_balloon_json_feature_list(const struct aero_virtio_features *features)
{
	json_t *list = json_array();
	unsigned int bit;

	for (bit = 0; bit < 128; bit++) {
		if (!(features->word[bit / 64] >> bit % 64 & 1))
			continue;
		json_array_append_new(list, json_pack("{s:i, s:s?}", "bit", (int)bit, "name",
						      aero_feature_name(bit)));
	}
	return list;
}

json_t *aero_balloon_json_features(const struct aero_balloon_service *service)
{
	return aero_balloon_json_feature_list(&service->device.accepted);
}

static json_t *describe_queue(const struct aero_virtio_balloon_queue *queue, unsigned int index)
{
	enum aero_virtio_queue_fault fault = queue->ring.fault;
	json_t *out = json_object();

	aero_json_put_number(out, "index", index);
	aero_json_put_text(out, "role", aero_balloon_role_text(queue->role));
	aero_json_put_number(out, "size", queue->is_started ? queue->ring.config.size : 0);
	aero_json_put_bool(out, "is_started", queue->is_started);
	aero_json_put_bool(out, "is_enabled", queue->is_enabled);
	if (fault == AERO_VIRTIO_QUEUE_FAULT_NONE)
		json_object_set_new(out, "fault_text", json_null());
	else
		aero_json_put_text(out, "fault_text", aero_virtio_queue_fault_str(fault));
	return out;
}

static json_t *list_queues(const struct aero_balloon_service *service)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		json_array_append_new(list, describe_queue(&service->device.queue[i], i));
	return list;
}

static void put_balloon(json_t *out, const struct aero_virtio_balloon_report *report)
{
	aero_json_put_frames(out, "target_bytes", report->target_frames);
	aero_json_put_frames(out, "actual_bytes", report->actual_frames);
	aero_json_put_frames(out, "ledger_bytes", report->ledger_frames);
	aero_json_put_frames(out, "pending_bytes", report->pending_frames);
}

static void put_state(json_t *out, const struct aero_virtio_balloon_report *report)
{
	aero_json_put_bool(out, "is_live", report->is_live);
	aero_json_put_bool(out, "is_paused", report->is_quiesced);
	aero_json_put_bool(out, "is_drained", report->is_drained);
	aero_json_put_text(out, "stall", aero_balloon_stall_text(report->stall));
	aero_json_put_text(out, "stall_text", aero_host_stall_str(report->stall));
	json_object_set_new(out, "inhibited", aero_balloon_json_inhibits(report->inhibited));
	aero_json_put_text(out, "discard_mode", aero_discard_mode_text(report->mode));
	aero_json_put_text(out, "hint_state", aero_balloon_hint_text(report->hint_state));
	aero_json_put_number(out, "hint_command", report->hint_command);
	aero_json_put_number(out, "poison_value", report->poison_value);
	aero_json_put_number(out, "ledger_metadata_bytes", report->ledger_bytes);
}

json_t *aero_balloon_json_status(const struct aero_balloon_service *service)
{
	struct aero_virtio_balloon_report report;
	json_t *out = json_object();

	aero_virtio_balloon_host_report(&service->device, uv_hrtime(), &report);
	aero_json_put_text(out, "protocol", "virtio");
	aero_json_put_bool(out, "is_connected", service->conn != NULL);
	put_balloon(out, &report);
	aero_balloon_json_put_memory(out, &service->memory);
	put_state(out, &report);
	json_object_set_new(out, "features", aero_balloon_json_feature_list(&report.accepted));
	json_object_set_new(out, "features_offered",
			    aero_balloon_json_feature_list(&service->device.config.offered));
	json_object_set_new(out, "queues", list_queues(service));
	return out;
}

/* Events -------------------------------------------------------------------------------------- */

/* In the order of enum aero_virtio_balloon_event_kind, then of the service's own. */
const char *const aero_balloon_event_names[] = {
	"actual",   "target",  "reached",   "stats",	    "hint",   "ready", "broken",
	"disagree", "drained", "connected", "disconnected", "memory", NULL,
};

#define EVENTS (sizeof(aero_balloon_event_names) / sizeof(aero_balloon_event_names[0]) - 1)

int aero_balloon_event_index(const struct aero_balloon_service_event *event)
{
	unsigned int index = (unsigned int)event->device.kind - 1;

	if (event->kind != AERO_BALLOON_SERVICE_DEVICE)
		index = AERO_VIRTIO_BALLOON_EVENT_DRAINED +
			(unsigned int)(event->kind - AERO_BALLOON_SERVICE_CONNECTED);
	return index < EVENTS ? (int)index : -1;
}

static void put_fault(json_t *out, const struct aero_balloon_service *service, uint64_t index)
{
	aero_json_put_number(out, "queue", index);
	if (index < AERO_VIRTIO_BALLOON_QUEUES)
		aero_json_put_text(
			out, "fault_text",
			aero_virtio_queue_fault_str(service->device.queue[index].ring.fault));
}

static void put_device_event(json_t *out, const struct aero_balloon_service *service,
			     const struct aero_virtio_balloon_event *event)
{
	switch (event->kind) {
	case AERO_VIRTIO_BALLOON_EVENT_STATS:
		json_object_set_new(out, "statistics", aero_balloon_json_statistics(service));
		break;
	case AERO_VIRTIO_BALLOON_EVENT_HINT:
		aero_json_put_text(out, "hint_state",
				   aero_balloon_hint_text((enum aero_hint_state)event->value));
		break;
	case AERO_VIRTIO_BALLOON_EVENT_READY:
		aero_json_put_bool(out, "is_live", event->value);
		break;
	case AERO_VIRTIO_BALLOON_EVENT_BROKEN:
		put_fault(out, service, event->value);
		break;
	case AERO_VIRTIO_BALLOON_EVENT_ACTUAL:
	case AERO_VIRTIO_BALLOON_EVENT_TARGET:
	case AERO_VIRTIO_BALLOON_EVENT_REACHED:
	case AERO_VIRTIO_BALLOON_EVENT_DISAGREE:
	case AERO_VIRTIO_BALLOON_EVENT_DRAINED:
		break; /* The amounts that every event carries say it. */
	}
}

json_t *aero_balloon_json_event(const struct aero_balloon_service *service,
				const struct aero_balloon_service_event *event)
{
	struct aero_virtio_balloon_report report;
	int index = aero_balloon_event_index(event);
	json_t *out = json_object();

	aero_virtio_balloon_host_report(&service->device, uv_hrtime(), &report);
	aero_json_put_text(out, "event", index < 0 ? "unknown" : aero_balloon_event_names[index]);
	put_balloon(out, &report);
	aero_json_put_number(out, "guest_memory_bytes", aero_guest_memory_bytes(&service->memory));
	if (event->kind == AERO_BALLOON_SERVICE_DEVICE)
		put_device_event(out, service, &event->device);
	return out;
}
