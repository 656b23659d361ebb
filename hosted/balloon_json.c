/* SPDX-License-Identifier: MIT */
#include "hosted/balloon_json.h"

#include <stdio.h>
#include <string.h>

#include "hosted/balloon_json_text.h"
#include "hosted/feature_text.h"

json_t *aero_json_number(uint64_t number)
{
	if (number > INT64_MAX)
		return json_real((double)number);
	return json_integer((json_int_t)number);
}

static void put_number(json_t *out, const char *key, uint64_t number)
{
	json_object_set_new(out, key, aero_json_number(number));
}

static void put_frames(json_t *out, const char *key, uint64_t frames)
{
	put_number(out, key, frames << AERO_FRAME_SHIFT);
}

static void put_text(json_t *out, const char *key, const char *text)
{
	json_object_set_new(out, key, json_string(text));
}

static void put_bool(json_t *out, const char *key, bool is_true)
{
	json_object_set_new(out, key, json_boolean(is_true));
}

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

json_t *aero_balloon_json_inhibits(uint32_t reasons)
{
	json_t *list = json_array();
	unsigned int bit;

	for (bit = 0; aero_inhibit_name(bit); bit++) {
		if (reasons >> bit & 1)
			json_array_append_new(list, json_string(aero_inhibit_name(bit)));
	}
	return list;
}

static json_t *describe_queue(const struct aero_virtio_balloon_queue *queue, unsigned int index)
{
	enum aero_virtio_queue_fault fault = queue->ring.fault;
	json_t *out = json_object();

	put_number(out, "index", index);
	put_text(out, "role", aero_balloon_role_text(queue->role));
	put_number(out, "size", queue->is_started ? queue->ring.config.size : 0);
	put_bool(out, "is_started", queue->is_started);
	put_bool(out, "is_enabled", queue->is_enabled);
	if (fault == AERO_VIRTIO_QUEUE_FAULT_NONE)
		json_object_set_new(out, "fault_text", json_null());
	else
		put_text(out, "fault_text", aero_virtio_queue_fault_str(fault));
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
	put_frames(out, "target_bytes", report->target_frames);
	put_frames(out, "actual_bytes", report->actual_frames);
	put_frames(out, "ledger_bytes", report->ledger_frames);
	put_frames(out, "pending_bytes", report->pending_frames);
}

static void put_memory(json_t *out, const struct aero_balloon_service *service)
{
	const struct aero_guest_memory *memory = &service->memory;
	const struct aero_backing *backing = &memory->host.backing;

	put_number(out, "guest_memory_bytes", aero_guest_memory_bytes(memory));
	put_number(out, "resident_bytes", aero_guest_memory_resident_bytes(memory));
	put_number(out, "memory_regions", memory->count);
	put_frames(out, "discard_unit_bytes", 1ull << backing->discard_order);
	put_frames(out, "block_bytes", 1ull << backing->block_order);
}

static void put_state(json_t *out, const struct aero_virtio_balloon_report *report)
{
	put_bool(out, "is_live", report->is_live);
	put_bool(out, "is_paused", report->is_quiesced);
	put_bool(out, "is_drained", report->is_drained);
	put_text(out, "stall", aero_balloon_stall_text(report->stall));
	put_text(out, "stall_text", aero_host_stall_str(report->stall));
	json_object_set_new(out, "inhibited", aero_balloon_json_inhibits(report->inhibited));
	put_text(out, "discard_mode", aero_discard_mode_text(report->mode));
	put_text(out, "hint_state", aero_balloon_hint_text(report->hint_state));
	put_number(out, "hint_command", report->hint_command);
	put_number(out, "poison_value", report->poison_value);
	put_number(out, "ledger_metadata_bytes", report->ledger_bytes);
}

json_t *aero_balloon_json_status(const struct aero_balloon_service *service)
{
	struct aero_virtio_balloon_report report;
	json_t *out = json_object();

	aero_virtio_balloon_host_report(&service->device, uv_hrtime(), &report);
	put_bool(out, "is_connected", service->conn != NULL);
	put_balloon(out, &report);
	put_memory(out, service);
	put_state(out, &report);
	json_object_set_new(out, "features", aero_balloon_json_feature_list(&report.accepted));
	json_object_set_new(out, "features_offered",
			    aero_balloon_json_feature_list(&service->device.config.offered));
	json_object_set_new(out, "queues", list_queues(service));
	return out;
}

/* Events -------------------------------------------------------------------------------------- */

/* In the order of enum aero_virtio_balloon_event_kind, then of the service's own. */
static const char *const event_names[AERO_BALLOON_EVENT_NAMES] = {
	"actual", "target",   "reached", "stats",     "hint",	      "ready",
	"broken", "disagree", "drained", "connected", "disconnected", "memory",
};

const char *aero_balloon_event_name(const struct aero_balloon_service_event *event)
{
	unsigned int index = (unsigned int)event->device.kind - 1;

	if (event->kind != AERO_BALLOON_SERVICE_DEVICE)
		index = AERO_VIRTIO_BALLOON_EVENT_DRAINED +
			(unsigned int)(event->kind - AERO_BALLOON_SERVICE_CONNECTED);
	return index < AERO_BALLOON_EVENT_NAMES ? event_names[index] : NULL;
}

int aero_balloon_event_index(const char *name)
{
	int i;

	for (i = 0; i < AERO_BALLOON_EVENT_NAMES; i++) {
		if (!strcmp(event_names[i], name))
			return i;
	}
	return -1;
}

static void put_fault(json_t *out, const struct aero_balloon_service *service, uint64_t index)
{
	put_number(out, "queue", index);
	if (index < AERO_VIRTIO_BALLOON_QUEUES)
		put_text(out, "fault_text",
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
		put_text(out, "hint_state",
			 aero_balloon_hint_text((enum aero_hint_state)event->value));
		break;
	case AERO_VIRTIO_BALLOON_EVENT_READY:
		put_bool(out, "is_live", event->value);
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
	const char *name = aero_balloon_event_name(event);
	json_t *out = json_object();

	aero_virtio_balloon_host_report(&service->device, uv_hrtime(), &report);
	put_text(out, "event", name ? name : "unknown");
	put_balloon(out, &report);
	put_number(out, "guest_memory_bytes", aero_guest_memory_bytes(&service->memory));
	if (event->kind == AERO_BALLOON_SERVICE_DEVICE)
		put_device_event(out, service, &event->device);
	return out;
}
