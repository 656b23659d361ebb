/* SPDX-License-Identifier: MIT */
#include "hosted/balloon_json.h"

#include <aerostat/wire/virtio_balloon.h>

#include <stdio.h>

#define DEVICE(name) AERO_JSON_COUNTER(struct aero_virtio_balloon_counters, name, #name)

static const struct aero_json_counter device_counters[] = {
	DEVICE(kicks),
	DEVICE(inflate_requests),
	DEVICE(deflate_requests),
	DEVICE(inflate_frames),
	DEVICE(deflate_frames),
	DEVICE(ragged_requests),
	DEVICE(actual_writes),
	DEVICE(actual_mismatches),
	DEVICE(config_writes_ignored),
	DEVICE(stats_requests),
	DEVICE(stats_buffers),
	DEVICE(stats_extra_buffers),
	DEVICE(stats_unknown_dropped),
	DEVICE(hint_rounds),
	DEVICE(hint_buffers),
	DEVICE(hint_bytes),
	DEVICE(hint_stale_buffers),
	DEVICE(reports),
	DEVICE(report_ranges),
	DEVICE(report_bytes),
	DEVICE(report_skipped_ranges),
	DEVICE(report_discards),
	DEVICE(report_discard_failures),
	DEVICE(report_freed_bytes),
	DEVICE(inhibited_frames),
	DEVICE(notifications),
	DEVICE(config_notifications),
	DEVICE(resets),
	DEVICE(broken_queues),
};

/* A counter that is added to a struct must be added here. */
_Static_assert(sizeof(device_counters) / sizeof(device_counters[0]) * sizeof(uint64_t) ==
		       sizeof(struct aero_virtio_balloon_counters),
	       "a counter of the device is missing");
json_t *aero_balloon_json_counters(const struct aero_balloon_service *service)
{
	json_t *out = json_object();

	json_object_set_new(out, "device",
			    AERO_JSON_COUNTERS(device_counters, &service->device.counters));
	json_object_set_new(out, "ledger",
			    aero_balloon_json_ledger(&service->device.ledger.counters));
	json_object_set_new(out, "memory", aero_balloon_json_memory(&service->memory.counters));
	return out;
}

/* Statistics ---------------------------------------------------------------------------------- */

void aero_balloon_json_stat_key(uint16_t tag, char *out, size_t size)
{
	char *at;

	snprintf(out, size, "%s%s", aero_virtio_balloon_stat_name(tag),
		 aero_virtio_balloon_stat_is_bytes(tag) ? "_bytes" : "");
	for (at = out; *at; at++) {
		if (*at == '-')
			*at = '_';
	}
}

static bool has_negotiated_stats(const struct aero_virtio_balloon *device)
{
	return device->accepted.word[0] >> AERO_VIRTIO_BALLOON_F_STATS_VQ & 1;
}

static json_t *missing(const char *code, const char *text)
{
	return json_pack("{s:s, s:s}", "code", code, "text", text);
}

/* Why a number that is not among the last ones is missing. */
static json_t *why_missing(const struct aero_balloon_service *service)
{
	const struct aero_virtio_balloon *device = &service->device;
	struct aero_virtio_balloon_report report;

	if (device->stats.time_ns)
		return missing("not_reported", "this guest does not report it");
	aero_virtio_balloon_host_report(device, uv_hrtime(), &report);
	if (!report.is_live)
		return missing("no_driver", "no driver has taken the device");
	if (!has_negotiated_stats(device))
		return missing("not_negotiated",
			       "the driver did not negotiate the statistics queue");
	/* Of this driver: the counter knows those of earlier ones. */
	if (device->is_first_stats)
		return missing("no_buffer", "the driver has not supplied a buffer");
	return missing("no_answer", "the driver has the buffer and has not answered");
}

static void put_values(json_t *out, const struct aero_balloon_service *service)
{
	const struct aero_virtio_balloon_stats *stats = &service->device.stats;
	json_t *values = json_object();
	json_t *absent = json_object();
	char name[64];
	uint16_t tag;

	for (tag = 0; tag < AERO_VIRTIO_BALLOON_STATS; tag++) {
		aero_balloon_json_stat_key(tag, name, sizeof(name));
		if (stats->known >> tag & 1)
			json_object_set_new(values, name, aero_json_number(stats->value[tag]));
		else
			json_object_set_new(absent, name, why_missing(service));
	}
	json_object_set_new(out, "values", values);
	json_object_set_new(out, "missing", absent);
}

static json_t *list_unknown(const struct aero_virtio_balloon_stats *stats)
{
	json_t *out = json_object();
	char name[8];
	uint32_t i;

	for (i = 0; i < stats->unknown_count; i++) {
		snprintf(name, sizeof(name), "%u", (unsigned int)stats->unknown[i].tag);
		json_object_set_new(out, name, aero_json_number(stats->unknown[i].value));
	}
	return out;
}

json_t *aero_balloon_json_statistics(const struct aero_balloon_service *service)
{
	const struct aero_virtio_balloon_stats *stats = &service->device.stats;
	uint64_t now = uv_hrtime();
	uint64_t age_ns = now > stats->time_ns ? now - stats->time_ns : 0;
	json_t *out = json_object();

	json_object_set_new(out, "sequence", aero_json_number(stats->sequence));
	json_object_set_new(out, "age_ms",
			    stats->time_ns ? aero_json_number(age_ns / 1000000) : json_null());
	put_values(out, service);
	json_object_set_new(out, "unknown", list_unknown(stats));
	return out;
}
