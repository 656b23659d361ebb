/* SPDX-License-Identifier: MIT */
#include "qtest_guest.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 4

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *failed(const char *text)
{
	return json_pack("{s:s}", "error", text);
}

static json_t *done(void)
{
	return json_pack("{s:b}", "ok", true);
}

static json_t *status_answer(enum aero_status status)
{
	return status == AERO_OK ? done() : failed(aero_status_str(status));
}

static void add(json_t *object, const char *name, uint64_t value)
{
	json_object_set_new(object, name, number(value));
}

static json_t *counters_object(const struct aero_virtio_balloon_guest_counters *counters)
{
	json_t *object = json_object();

	add(object, "notifications", counters->notifications);
	add(object, "config_reads", counters->config_reads);
	add(object, "config_writes", counters->config_writes);
	add(object, "interrupts", counters->interrupts);
	add(object, "inflate_requests", counters->inflate_requests);
	add(object, "deflate_requests", counters->deflate_requests);
	add(object, "stats_buffers", counters->stats_buffers);
	add(object, "hint_rounds", counters->hint_rounds);
	add(object, "hint_frames", counters->hint_frames);
	add(object, "reports", counters->reports);
	add(object, "report_frames", counters->report_frames);
	add(object, "report_passes", counters->report_passes);
	add(object, "broken_queues", counters->broken_queues);
	add(object, "device_resets", counters->device_resets);
	return object;
}

/* What the driver did, as the transport saw it. */
static json_t *accesses_object(const struct sim_virtio_record *record)
{
	json_t *object = json_object();

	add(object, "notifications", record->count[SIM_VIRTIO_NOTIFY]);
	add(object, "config_reads", record->count[SIM_VIRTIO_CONFIG_READ]);
	add(object, "config_writes", record->count[SIM_VIRTIO_CONFIG_WRITE]);
	add(object, "queue_starts", record->count[SIM_VIRTIO_QUEUE_START]);
	add(object, "interrupts", record->count[SIM_VIRTIO_INTERRUPTS]);
	return object;
}

static json_t *indices(const struct aero_virtio_balloon_guest_report *report)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_GUEST_QUEUES; i++)
		json_array_append_new(array, number(report->queue_index[i]));
	return array;
}

static json_t *report(struct guest *guest)
{
	struct aero_virtio_balloon_guest_report report;
	json_t *object = json_object();

	aero_virtio_balloon_guest_report(&guest->drv, &report);
	add(object, "target", report.balloon.target_frames);
	add(object, "actual", report.balloon.actual_frames);
	json_object_set_new(object, "stall", json_string(aero_stall_str(report.balloon.stall)));
	json_object_set_new(object, "is_started", json_boolean(report.balloon.is_started));
	add(object, "features", report.features);
	add(object, "held", report.held_frames);
	add(object, "hint_id", report.hint_id);
	add(object, "status", report.status);
	json_object_set_new(object, "is_compact", json_boolean(report.is_compact));
	json_object_set_new(object, "is_legacy", json_boolean(guest->record.transport.is_legacy));
	json_object_set_new(object, "queue_index", indices(&report));
	json_object_set_new(object, "counters", counters_object(&report.counters));
	json_object_set_new(object, "accesses", accesses_object(&guest->record));
	add(object, "free", sim_port_free_frames(&guest->sim));
	add(object, "lent", sim_port_lent_frames(&guest->sim));
	add(object, "irqs", guest->irqs);
	add(object, "steps", guest->steps);
	add(object, "resets", guest->drv.balloon.counters.resets);
	add(object, "exchanges", guest->qtest.exchanges);
	json_object_set_new(object, "qtest", json_string(guest->qtest.story.text));
	json_object_set_new(object, "problem",
			    guest->problem	    ? json_string(guest->problem)
			    : guest->sim.violations ? json_string(guest->sim.violation)
						    : json_null());
	return object;
}

static json_t *do_mark(struct guest *guest, char **words)
{
	(void)words;
	return json_pack("{s:I}", "frames", (json_int_t)guest_mark(guest));
}

static json_t *do_check(struct guest *guest, char **words)
{
	(void)words;
	return json_pack("{s:I}", "wrong", (json_int_t)guest_check_marks(guest));
}

static json_t *do_report(struct guest *guest, char **words)
{
	(void)words;
	return report(guest);
}

static json_t *do_reclaim(struct guest *guest, char **words)
{
	enum aero_reclaim kind =
		words[1] && !strcmp(words[1], "oom") ? AERO_RECLAIM_OOM : AERO_RECLAIM_PRESSURE;
	uint64_t frames;
	enum aero_status status;

	if (!words[1] || !words[2])
		return failed("reclaim oom|pressure FRAMES");
	status = aero_virtio_balloon_guest_reclaim(&guest->drv, kind, strtoull(words[2], NULL, 0),
						   guest_now_ns(), &frames);
	return json_pack("{s:s, s:I}", "status", aero_status_str(status), "frames",
			 (json_int_t)frames);
}

/* In place of steps, until it is done. */
static json_t *leave(struct guest *guest,
		     enum aero_status (*leaving)(struct aero_virtio_balloon_guest *, uint64_t))
{
	uint64_t until_ns = guest_now_ns() + 20000000000u;
	enum aero_status status;

	while ((status = leaving(&guest->drv, guest_now_ns())) == AERO_EAGAIN) {
		if (guest_now_ns() > until_ns)
			return failed("it takes too long");
		poll(NULL, 0, 1);
		aero_virtio_balloon_guest_interrupt(&guest->drv, AERO_VIRTIO_INTERRUPT_QUEUE);
	}
	guest->is_stopped = true;
	return status_answer(status);
}

static json_t *do_suspend(struct guest *guest, char **words)
{
	(void)words;
	return leave(guest, aero_virtio_balloon_guest_suspend);
}

static json_t *do_resume(struct guest *guest, char **words)
{
	(void)words;
	aero_virtio_balloon_guest_resume(&guest->drv);
	guest->is_stopped = false;
	return done();
}

static json_t *do_stop(struct guest *guest, char **words)
{
	(void)words;
	return leave(guest, aero_virtio_balloon_guest_stop);
}

/* The kernel stands still, as one whose machine is being reset. */
static json_t *do_pause(struct guest *guest, char **words)
{
	(void)words;
	guest->is_stopped = true;
	return done();
}

static json_t *do_reboot(struct guest *guest, char **words)
{
	const char *problem = guest_reboot(guest);

	(void)words;
	return problem ? failed(problem) : done();
}

bool guest_set_stats(struct guest *guest, char *text)
{
	char *value;

	memset(&guest->stats, 0, sizeof(guest->stats));
	while (*text) {
		unsigned long tag = strtoul(text, &value, 0);

		if (tag >= AERO_MEMORY_STATS || value == text)
			return false;
		guest->stats.known |= 1u << tag;
		guest->stats.value[tag] = strtoull(value, &text, 0);
		if (value == text)
			return false;
	}
	return true;
}

static json_t *do_reporting(struct guest *guest, char **words)
{
	struct aero_virtio_balloon_reporting reporting = { .delay_ns = 50000000 };

	if (!words[1])
		return failed("reporting on|off [ORDER [BYTES]]");
	reporting.is_pulling = !strcmp(words[1], "on");
	if (words[2])
		reporting.order = (uint32_t)strtoul(words[2], NULL, 0);
	if (words[2] && words[3])
		reporting.budget_bytes = strtoull(words[3], NULL, 0);
	return status_answer(aero_virtio_balloon_guest_set_reporting(&guest->drv, &reporting));
}

static json_t *do_pin(struct guest *guest, char **words)
{
	uint64_t count = words[1] ? strtoull(words[1], NULL, 0) : 0;

	return json_pack("{s:I}", "frames", (json_int_t)sim_port_pin_random(&guest->sim, count));
}

static json_t *do_unpin(struct guest *guest, char **words)
{
	sim_port_unpin(&guest->sim, words[1] ? strtoull(words[1], NULL, 0) : 0);
	return done();
}

/* What QEMU's processor would see, to prove that the mapped file is the machine's memory. */
static json_t *do_memory(struct guest *guest, char **words)
{
	aero_frame frame = words[1] ? strtoull(words[1], NULL, 0) : 0;
	uint8_t bytes[64];

	if (frame >= guest->frames)
		return failed("memory FRAME");
	aero_qtest_read_block(&guest->qtest, frame << AERO_FRAME_SHIFT, bytes, sizeof(bytes));
	return json_pack("{s:b}", "is_same",
			 !memcmp(bytes, guest->ram + (frame << AERO_FRAME_SHIFT), sizeof(bytes)));
}

static json_t *do_quit(struct guest *guest, char **words)
{
	(void)words;
	guest->is_over = true;
	return done();
}

static const struct {
	const char *name;
	json_t *(*command)(struct guest *guest, char **words);
} commands[] = {
	{ "mark", do_mark },	       { "check", do_check },	  { "report", do_report },
	{ "reclaim", do_reclaim },     { "suspend", do_suspend }, { "resume", do_resume },
	{ "stop", do_stop },	       { "reboot", do_reboot },	  { "pause", do_pause },
	{ "reporting", do_reporting }, { "pin", do_pin },	  { "unpin", do_unpin },
	{ "memory", do_memory },       { "quit", do_quit },
};

json_t *guest_command(struct guest *guest, char *line)
{
	char *words[WORDS_MAX + 1] = { NULL };
	char *rest = line;

	if (!strncmp(line, "stats ", 6))
		return guest_set_stats(guest, line + 6) ? done() : failed("no such statistic");
	for (size_t i = 0; i < WORDS_MAX; i++)
		words[i] = strtok_r(i ? NULL : line, " ", &rest);
	for (size_t i = 0; words[0] && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(words[0], commands[i].name))
			return commands[i].command(guest, words);
	}
	return failed("no such command");
}
