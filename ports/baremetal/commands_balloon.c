/* SPDX-License-Identifier: MIT */
#include "commands_balloon.h"
#include "driver.h"
#include "port.h"

#include <stddef.h>

#define FEATURES 64u

/* As Linux shows them in sysfs: a digit for each bit, bit 0 first. */
static void add_features(struct text *answer, uint64_t features)
{
	text_add(answer, " features=");
	for (unsigned int i = 0; i < FEATURES; i++)
		text_add(answer, features >> i & 1 ? "1" : "0");
}

bool command_driver(const char *argument, struct text *answer)
{
	static const char *const words[] = {
		[DRIVER_ABSENT] = "absent",
		[DRIVER_UNBOUND] = "unbound",
		[DRIVER_BOUND] = "bound",
	};
	struct aero_virtio_balloon_guest_report report;

	(void)argument;
	text_add(answer, "driver=");
	text_add(answer, words[driver_state()]);
	if (driver_report(&report))
		add_features(answer, report.features);
	text_add(answer, " bus=");
	text_add(answer, driver_bus_name());
	text_add(answer, " interrupt=");
	text_add(answer, driver_interrupt_name());
	return true;
}

bool command_load(const char *argument, struct text *answer)
{
	if (driver_load())
		return command_driver(argument, answer);
	text_add(answer, "there is no device, or it does not start");
	return false;
}

bool command_unload(const char *argument, struct text *answer)
{
	if (driver_unload())
		return command_driver(argument, answer);
	text_add(answer, "the device does not let go");
	return false;
}

static bool need_report(struct aero_virtio_balloon_guest_report *report, struct text *answer)
{
	if (driver_report(report))
		return true;
	text_add(answer, "the driver is not loaded");
	return false;
}

bool command_report(const char *argument, struct text *answer)
{
	struct aero_virtio_balloon_guest_report report;

	(void)argument;
	if (!need_report(&report, answer))
		return false;
	text_add_pair(answer, "target_frames", report.balloon.target_frames);
	text_add_pair(answer, " actual_frames", report.balloon.actual_frames);
	text_add_pair(answer, " metadata_bytes", report.balloon.metadata_bytes);
	text_add_pair(answer, " stall", report.balloon.stall);
	text_add_pair(answer, " is_started", report.balloon.is_started);
	text_add_pair(answer, " status", report.status);
	text_add_pair(answer, " is_compact", report.is_compact);
	text_add_pair(answer, " held_frames", report.held_frames);
	text_add_pair(answer, " hint_id", report.hint_id);
	text_add_pair(answer, " marked_frames", port_marked_frames());
	return true;
}

bool command_counters(const char *argument, struct text *answer)
{
	struct aero_virtio_balloon_guest_report report;
	const struct aero_virtio_balloon_guest_counters *counters = &report.counters;

	(void)argument;
	if (!need_report(&report, answer))
		return false;
	text_add_pair(answer, "notifications", counters->notifications);
	text_add_pair(answer, " config_reads", counters->config_reads);
	text_add_pair(answer, " config_writes", counters->config_writes);
	text_add_pair(answer, " interrupts", counters->interrupts);
	text_add_pair(answer, " inflate_requests", counters->inflate_requests);
	text_add_pair(answer, " deflate_requests", counters->deflate_requests);
	text_add_pair(answer, " stats_buffers", counters->stats_buffers);
	text_add_pair(answer, " hint_rounds", counters->hint_rounds);
	text_add_pair(answer, " hint_frames", counters->hint_frames);
	text_add_pair(answer, " reports", counters->reports);
	text_add_pair(answer, " report_frames", counters->report_frames);
	text_add_pair(answer, " report_passes", counters->report_passes);
	text_add_pair(answer, " broken_queues", counters->broken_queues);
	text_add_pair(answer, " device_resets", counters->device_resets);
	return true;
}

bool command_lent(const char *argument, struct text *answer)
{
	struct aero_range run = { 0, 0 };
	uint64_t from;

	if (!text_read_number(&argument, &from)) {
		text_add(answer, "not a frame");
		return false;
	}
	port_marked_run(from, &run);
	text_add_pair(answer, "first", run.first);
	text_add_pair(answer, " count", run.count);
	return true;
}

/* The number, and behind it the words, in which blanks are no separators. */
bool command_stall(const char *argument, struct text *answer)
{
	struct aero_virtio_balloon_guest_report report;

	(void)argument;
	if (!need_report(&report, answer))
		return false;
	text_add_pair(answer, "stall", report.balloon.stall);
	text_add(answer, " text=");
	text_add(answer, aero_stall_str(report.balloon.stall));
	return true;
}

bool command_time(const char *argument, struct text *answer)
{
	const struct driver_resize *resize = driver_resize();

	(void)argument;
	text_add_pair(answer, "from_frames", resize->from_frames);
	text_add_pair(answer, " to_frames", resize->to_frames);
	text_add_pair(answer, " ns", resize->ns);
	return true;
}
