/* SPDX-License-Identifier: MIT */
#include "hosted/balloon_json_vmware.h"

#include <aerostat/vmware.h>
#include <uv.h>

#include "hosted/balloon_json_text.h"

/* clang-format off */
#define DEVICE(name) AERO_JSON_COUNTER(struct aero_vmware_host_counters, name, #name)
#define REFUSED(status, key) { key, offsetof(struct aero_vmware_host_counters, refused[status]) }
/* clang-format on */

static const struct aero_json_counter device_counters[] = {
	DEVICE(unknown_calls),
	DEVICE(foreign_calls),
	DEVICE(locked_4k),
	DEVICE(locked_2m),
	DEVICE(unlocked_4k),
	DEVICE(unlocked_2m),
	DEVICE(malformed_entries),
	DEVICE(bad_batches),
	DEVICE(starts),
	DEVICE(leaves),
	DEVICE(resets),
	DEVICE(doorbells),
};

/* Entries by the status they were refused with. */
static const struct aero_json_counter refused_counters[] = {
	REFUSED(AERO_VMWARE_CMD_INVALID, "command_invalid"),
	REFUSED(AERO_VMWARE_PPN_INVALID, "invalid"),
	REFUSED(AERO_VMWARE_PPN_LOCKED, "locked"),
	REFUSED(AERO_VMWARE_PPN_UNLOCKED, "unlocked"),
	REFUSED(AERO_VMWARE_PPN_PINNED, "pinned"),
	REFUSED(AERO_VMWARE_PPN_NOTNEEDED, "not_needed"),
	REFUSED(AERO_VMWARE_RESET, "reset"),
	REFUSED(AERO_VMWARE_BUSY, "busy"),
};

/* A counter that is added to the struct must be added here. */
#define COUNTERS                                                                                \
	(sizeof(device_counters) / sizeof(device_counters[0]) + 2 * AERO_VMWARE_CMD_COUNT + 1 + \
	 sizeof(refused_counters) / sizeof(refused_counters[0]))
_Static_assert(COUNTERS * sizeof(uint64_t) == sizeof(struct aero_vmware_host_counters),
	       "a counter of the host is missing");

static json_t *list_commands(const struct aero_vmware_host_counters *counters)
{
	json_t *out = json_object();
	uint32_t command;

	for (command = 0; command < AERO_VMWARE_CMD_COUNT; command++) {
		const char *name = aero_vmware_command_name(command);

		if (name)
			json_object_set_new(out, name,
					    json_pack("{s:o, s:o}", "calls",
						      aero_json_number(counters->calls[command]),
						      "failed",
						      aero_json_number(counters->failed[command])));
	}
	return out;
}

json_t *aero_vmware_json_counters(const struct aero_vmware_host *host,
				  const struct aero_guest_memory *memory)
{
	const struct aero_vmware_host_counters *counters = &host->counters;
	json_t *out = json_object();

	json_object_set_new(out, "commands", list_commands(counters));
	json_object_set_new(out, "refused", AERO_JSON_COUNTERS(refused_counters, counters));
	json_object_set_new(out, "device", AERO_JSON_COUNTERS(device_counters, counters));
	json_object_set_new(out, "ledger", aero_balloon_json_ledger(&host->ledger.counters));
	json_object_set_new(out, "memory", aero_balloon_json_memory(&memory->counters));
	return out;
}

/* Words --------------------------------------------------------------------------------------- */

json_t *aero_vmware_json_capabilities(uint32_t capabilities)
{
	json_t *list = json_array();
	unsigned int bit;

	for (bit = 0; bit < 32; bit++) {
		if (!(capabilities >> bit & 1))
			continue;
		json_array_append_new(list, json_pack("{s:i, s:s?}", "bit", (int)bit, "name",
						      aero_vmware_capability_name(bit)));
	}
	return list;
}

static const char *guest_text(uint64_t guest)
{
	static const char *const names[] = {
		[AERO_VMWARE_GUEST_UNKNOWN] = "unknown",
		[AERO_VMWARE_GUEST_LINUX] = "linux",
		[AERO_VMWARE_GUEST_BSD] = "bsd",
		[AERO_VMWARE_GUEST_WINDOWS_NT4] = "windows_nt4",
		[AERO_VMWARE_GUEST_WINDOWS_NT5] = "windows_nt5",
		[AERO_VMWARE_GUEST_SOLARIS] = "solaris",
		[AERO_VMWARE_GUEST_MACOS] = "macos",
		[AERO_VMWARE_GUEST_FROBOS] = "frobos",
	};

	return guest < sizeof(names) / sizeof(names[0]) ? names[guest] : "unknown";
}

/* Status -------------------------------------------------------------------------------------- */

static void put_balloon(json_t *out, const struct aero_vmware_host_report *report)
{
	aero_json_put_frames(out, "target_bytes", report->target_frames);
	/* The guest has no number of its own to tell: what it gave is what the ledger has. */
	aero_json_put_frames(out, "actual_bytes", report->actual_frames);
	aero_json_put_frames(out, "ledger_bytes", report->actual_frames);
	aero_json_put_frames(out, "pending_bytes", report->pending_frames);
}

static void put_guest(json_t *out, const struct aero_vmware_host *host,
		      const struct aero_vmware_host_report *report)
{
	json_object_set_new(out, "capabilities",
			    aero_vmware_json_capabilities(report->capabilities));
	json_object_set_new(out, "capabilities_offered",
			    aero_vmware_json_capabilities(host->config.capabilities));
	aero_json_put_number(out, "guest_id", report->guest_id);
	aero_json_put_text(out, "guest_type", guest_text(report->guest_id));
	if (report->limit_frames)
		aero_json_put_frames(out, "limit_bytes", report->limit_frames);
	else
		json_object_set_new(out, "limit_bytes", json_null());
	json_object_set_new(out, "doorbell",
			    report->has_doorbell
				    ? json_pack("{s:I, s:I}", "context",
						(json_int_t)report->doorbell_context, "resource",
						(json_int_t)report->doorbell_resource)
				    : json_null());
}

static void put_state(json_t *out, const struct aero_vmware_host_report *report)
{
	aero_json_put_bool(out, "is_live", report->is_live);
	aero_json_put_bool(out, "is_paused", report->is_quiesced);
	aero_json_put_bool(out, "is_drained", report->is_drained);
	aero_json_put_text(out, "stall", aero_balloon_stall_text(report->stall));
	aero_json_put_text(out, "stall_text", aero_host_stall_str(report->stall));
	json_object_set_new(out, "inhibited", aero_balloon_json_inhibits(report->inhibited));
	aero_json_put_text(out, "discard_mode", aero_discard_mode_text(report->mode));
	aero_json_put_number(out, "ledger_metadata_bytes", report->ledger_bytes);
}

json_t *aero_vmware_json_status(const struct aero_vmware_host *host,
				const struct aero_guest_memory *memory, bool is_connected)
{
	struct aero_vmware_host_report report;
	json_t *out = json_object();

	aero_vmware_host_report(host, uv_hrtime(), &report);
	aero_json_put_text(out, "protocol", "vmware");
	aero_json_put_bool(out, "is_connected", is_connected);
	put_balloon(out, &report);
	aero_balloon_json_put_memory(out, memory);
	put_state(out, &report);
	put_guest(out, host, &report);
	return out;
}

/* Events -------------------------------------------------------------------------------------- */

enum { READY, GUEST, TARGET, ACTUAL, REACHED, RESET, DRAINED };

const char *const aero_vmware_event_names[] = {
	[READY] = "ready",
	[GUEST] = "guest",
	[TARGET] = "target",
	[ACTUAL] = "actual",
	[REACHED] = "reached",
	[RESET] = "reset",
	[DRAINED] = "drained",
	[AERO_VMWARE_EVENT_CONNECTED] = "connected",
	[AERO_VMWARE_EVENT_DISCONNECTED] = "disconnected",
	NULL,
};

int aero_vmware_event_index(enum aero_vmware_host_event_kind kind)
{
	switch (kind) {
	case AERO_VMWARE_HOST_EVENT_STARTED:
	case AERO_VMWARE_HOST_EVENT_LEFT:
		return READY;
	case AERO_VMWARE_HOST_EVENT_GUEST_ID:
		return GUEST;
	case AERO_VMWARE_HOST_EVENT_TARGET:
		return TARGET;
	case AERO_VMWARE_HOST_EVENT_ACTUAL:
		return ACTUAL;
	case AERO_VMWARE_HOST_EVENT_REACHED:
		return REACHED;
	case AERO_VMWARE_HOST_EVENT_RESET:
		return RESET;
	case AERO_VMWARE_HOST_EVENT_DRAINED:
		return DRAINED;
	}
	return -1;
}

static void put_reset(json_t *out, uint64_t command)
{
	const char *name = command < AERO_VMWARE_CMD_COUNT
				   ? aero_vmware_command_name((uint32_t)command)
				   : NULL;

	aero_json_put_text(out, "command", name ? name : "unknown");
}

json_t *aero_vmware_json_event(const struct aero_vmware_host *host,
			       const struct aero_guest_memory *memory, int index, uint64_t value)
{
	struct aero_vmware_host_report report;
	json_t *out = json_object();

	aero_vmware_host_report(host, uv_hrtime(), &report);
	aero_json_put_text(out, "event", aero_vmware_event_names[index]);
	put_balloon(out, &report);
	aero_json_put_number(out, "guest_memory_bytes", aero_guest_memory_bytes(memory));
	if (index == READY) {
		aero_json_put_bool(out, "is_live", report.is_live);
		json_object_set_new(out, "capabilities",
				    aero_vmware_json_capabilities(report.capabilities));
	} else if (index == GUEST) {
		aero_json_put_text(out, "guest_type", guest_text(value));
	} else if (index == RESET) {
		put_reset(out, value);
	}
	return out;
}
