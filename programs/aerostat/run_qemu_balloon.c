/* SPDX-License-Identifier: MIT */
#include "run_qemu_balloon.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hosted/balloon_json.h"
#include "hosted/qemu.h"

/* How often actual is asked for, on its way and at rest. A question costs QEMU some 50 us. */
#define WAY_MS 5
#define REST_MS 100

#define STATS_POLL_MS 25
#define STATS_INTERVAL_S 1

/* The end ------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void fail(struct run_qemu_balloon *balloon,
						       enum aero_status status, const char *format,
						       ...)
{
	struct aero_error story = { .status = status };
	va_list args;

	if (balloon->is_closing || balloon->has_failed)
		return;
	balloon->has_failed = true;
	va_start(args, format);
	vsnprintf(story.text, sizeof(story.text), format, args);
	va_end(args);
	balloon->events.failed(balloon->events.ctx, &story);
}

/*
 * A command that was not answered well. Of a connection that is gone its end tells, once. Answers
 * whether it was well.
 */
static bool is_good(struct run_qemu_balloon *balloon, const char *what,
		    const struct aero_qmp_answer *answer)
{
	if (answer->status == AERO_EREFUSED)
		fail(balloon, answer->status, "QEMU refuses '%s': %s (%s)", what, answer->text,
		     answer->error_class);
	else if (answer->status == AERO_ETIMEDOUT)
		fail(balloon, answer->status, "%s", answer->text);
	return answer->status == AERO_OK;
}

/* The size ------------------------------------------------------------------------------------ */

static bool is_reached(const struct run_qemu_balloon *balloon)
{
	return balloon->is_known && balloon->actual_frames == balloon->target_frames;
}

static void on_actual(void *ctx, const struct aero_qmp_answer *answer);

static void ask_actual(struct run_qemu_balloon *balloon)
{
	const struct aero_qmp_command command = { .name = "query-balloon" };

	if (balloon->is_asking)
		return;
	/* If it cannot be sent, the connection's end tells. */
	balloon->is_asking = aero_qmp_ask(&balloon->qmp, &balloon->asking, &command, on_actual,
					  balloon) == AERO_OK;
}

static void on_poll(uv_timer_t *timer)
{
	ask_actual(timer->data);
}

/* What is left to the guest, in bytes; what is not in the balloon. */
static bool take_actual(struct run_qemu_balloon *balloon, const json_t *object)
{
	const json_t *actual = json_object_get(object, "actual");
	double left = json_number_value(actual);

	if (!json_is_number(actual) || left < 0 || left > (double)balloon->memory_bytes)
		return false;
	balloon->actual_frames = (balloon->memory_bytes - (uint64_t)left) >> AERO_FRAME_SHIFT;
	return true;
}

static void on_actual(void *ctx, const struct aero_qmp_answer *answer)
{
	struct run_qemu_balloon *balloon = ctx;

	balloon->is_asking = false;
	if (!is_good(balloon, "query-balloon", answer) || balloon->is_closing)
		return;
	if (!take_actual(balloon, answer->result)) {
		fail(balloon, AERO_EPROTO, "QEMU tells no size of the balloon that can be");
		return;
	}
	balloon->is_known = balloon->is_set;
	uv_timer_start(&balloon->poll, on_poll,
		       balloon->is_set && !is_reached(balloon) ? WAY_MS : REST_MS, 0);
}

static void on_event(void *ctx, const char *name, const json_t *data)
{
	struct run_qemu_balloon *balloon = ctx;

	/* At most one a second, says QEMU; what it does not say is asked for. */
	if (strcmp(name, "BALLOON_CHANGE") == 0)
		(void)take_actual(balloon, data);
}

static void send_target(struct run_qemu_balloon *balloon);

static void on_set(void *ctx, const struct aero_qmp_answer *answer)
{
	struct run_qemu_balloon *balloon = ctx;

	if (!is_good(balloon, "balloon", answer) || balloon->is_closing)
		return;
	balloon->is_set = balloon->sent_frames == balloon->target_frames;
	if (balloon->is_set)
		uv_timer_start(&balloon->poll, on_poll, 0, 0);
	else
		send_target(balloon);
}

/* While one is being set, it waits for its answer. */
static void send_target(struct run_qemu_balloon *balloon)
{
	uint64_t left = balloon->memory_bytes - (balloon->target_frames << AERO_FRAME_SHIFT);
	const struct aero_qmp_command command = {
		.name = "balloon",
		.arguments = json_pack("{s:I}", "value", (json_int_t)left),
	};

	if (aero_qmp_ask(&balloon->qmp, &balloon->setting, &command, on_set, balloon) == AERO_OK)
		balloon->sent_frames = balloon->target_frames;
}

void run_qemu_balloon_set_target(struct run_qemu_balloon *balloon, uint64_t frames)
{
	balloon->target_frames = frames;
	balloon->way_frames = balloon->actual_frames;
	balloon->is_set = balloon->is_known = false;
	send_target(balloon);
}

static enum aero_host_stall find_stall(const struct run_qemu_balloon *balloon)
{
	if (is_reached(balloon))
		return AERO_HOST_STALL_NONE;
	return balloon->actual_frames == balloon->way_frames ? AERO_HOST_STALL_SILENT
							     : AERO_HOST_STALL_SHORT;
}

void run_qemu_balloon_numbers(const struct run_qemu_balloon *balloon,
			      struct run_machine_numbers *out_numbers)
{
	*out_numbers = (struct run_machine_numbers){
		.target_frames = balloon->target_frames,
		.actual_frames = balloon->actual_frames,
		.stall = find_stall(balloon),
		.is_reached = is_reached(balloon),
		.is_settled = true,
	};
}

/* Statistics ---------------------------------------------------------------------------------- */

static void end_statistics(struct run_qemu_balloon *balloon, json_t *statistics, const char *why)
{
	if (balloon->is_closing)
		json_decref(statistics);
	else
		balloon->events.statistics(balloon->events.ctx, statistics, why);
}

/* Values by the keys of `aerostat stats`; QEMU has 2^64 - 1 for what the guest does not report. */
static json_t *make_statistics(const json_t *told)
{
	json_t *values = json_object();
	char name[64], key[64];
	uint16_t tag;

	for (tag = 0; aero_virtio_balloon_stat_name(tag); tag++) {
		const json_t *value;

		snprintf(name, sizeof(name), "stat-%s", aero_virtio_balloon_stat_name(tag));
		value = json_object_get(told, name);
		aero_balloon_json_stat_key(tag, key, sizeof(key));
		if (json_is_number(value) && json_number_value(value) >= 0 &&
		    json_number_value(value) < 0x1p63)
			json_object_set_new(values, key,
					    json_integer((json_int_t)json_number_value(value)));
	}
	return json_pack("{s:o, s:{}}", "values", values, "unknown");
}

static void read_statistics(struct run_qemu_balloon *balloon);

static void on_reading_poll(uv_timer_t *timer)
{
	read_statistics(timer->data);
}

/* No more are needed, and asking would disturb what is measured. */
static void on_stopped(void *ctx, const struct aero_qmp_answer *answer)
{
	(void)ctx;
	(void)answer;
}

static void set_interval(struct run_qemu_balloon *balloon, int seconds,
			 struct aero_qmp_request *request, aero_qmp_answered answered)
{
	const struct aero_qmp_command command = {
		.name = "qom-set",
		.arguments =
			json_pack("{s:s, s:s, s:i}", "path", AERO_QEMU_BALLOON_PATH, "property",
				  "guest-stats-polling-interval", "value", seconds),
	};

	/* If it cannot be sent, the connection's end tells. */
	(void)aero_qmp_ask(&balloon->qmp, request, &command, answered, balloon);
}

/* In whole seconds: of the same one, they are waited for until the next. */
static double last_update(const json_t *result)
{
	return json_number_value(json_object_get(result, "last-update"));
}

static void on_statistics(void *ctx, const struct aero_qmp_answer *answer)
{
	struct run_qemu_balloon *balloon = ctx;

	if (answer->status != AERO_OK) {
		end_statistics(balloon, NULL, answer->text);
	} else if (last_update(answer->result) > balloon->last_update) {
		set_interval(balloon, 0, &balloon->stopping, on_stopped);
		end_statistics(balloon, make_statistics(json_object_get(answer->result, "stats")),
			       "");
	} else if (uv_now(balloon->poll.loop) >= balloon->deadline_ms) {
		set_interval(balloon, 0, &balloon->stopping, on_stopped);
		end_statistics(balloon, NULL, "the guest sent no statistics in time");
	} else if (!balloon->is_closing) {
		uv_timer_start(&balloon->reading_poll, on_reading_poll, STATS_POLL_MS, 0);
	}
}

static void get_statistics(struct run_qemu_balloon *balloon, aero_qmp_answered answered)
{
	const struct aero_qmp_command command = {
		.name = "qom-get",
		.arguments = json_pack("{s:s, s:s}", "path", AERO_QEMU_BALLOON_PATH, "property",
				       "guest-stats"),
	};

	/* If it cannot be sent, the connection's end tells. */
	(void)aero_qmp_ask(&balloon->qmp, &balloon->reading, &command, answered, balloon);
}

static void read_statistics(struct run_qemu_balloon *balloon)
{
	get_statistics(balloon, on_statistics);
}

static void on_interval(void *ctx, const struct aero_qmp_answer *answer)
{
	struct run_qemu_balloon *balloon = ctx;

	if (answer->status != AERO_OK)
		end_statistics(balloon, NULL, answer->text);
	else
		read_statistics(balloon);
}

/* A driver hands statistics over when it starts, and QEMU keeps them: those are old. */
static void on_old(void *ctx, const struct aero_qmp_answer *answer)
{
	struct run_qemu_balloon *balloon = ctx;

	if (answer->status != AERO_OK) {
		end_statistics(balloon, NULL, answer->text);
		return;
	}
	balloon->last_update = last_update(answer->result);
	set_interval(balloon, STATS_INTERVAL_S, &balloon->reading, on_interval);
}

void run_qemu_balloon_ask_statistics(struct run_qemu_balloon *balloon, uint32_t timeout_ms)
{
	balloon->deadline_ms = uv_now(balloon->poll.loop) + timeout_ms;
	get_statistics(balloon, on_old);
}

/* Coming and going ---------------------------------------------------------------------------- */

static void on_ready(void *ctx, const char *version)
{
	struct run_qemu_balloon *balloon = ctx;

	(void)version;
	ask_actual(balloon);
	balloon->events.ready(balloon->events.ctx);
}

static void on_ended(void *ctx, const struct aero_error *story)
{
	fail(ctx, story->status, "%s", story->text);
}

static void count_closed(struct run_qemu_balloon *balloon)
{
	if (--balloon->open_parts == 0)
		balloon->events.closed(balloon->events.ctx);
}

static void on_qmp_closed(void *ctx)
{
	count_closed(ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
	count_closed(handle->data);
}

void run_qemu_balloon_open(struct run_qemu_balloon *balloon, uv_loop_t *loop, int fd,
			   uint64_t memory_bytes, const struct run_qemu_balloon_events *events)
{
	const struct aero_qmp_events qmp = { on_ready, on_event, on_ended, on_qmp_closed, balloon };

	memset(balloon, 0, sizeof(*balloon));
	balloon->memory_bytes = memory_bytes;
	balloon->events = *events;
	balloon->open_parts = 3;
	uv_timer_init(loop, &balloon->poll);
	uv_timer_init(loop, &balloon->reading_poll);
	balloon->poll.data = balloon->reading_poll.data = balloon;
	aero_qmp_start(&balloon->qmp, loop, fd, 0, &qmp);
}

void run_qemu_balloon_close(struct run_qemu_balloon *balloon)
{
	if (balloon->is_closing)
		return;
	balloon->is_closing = true;
	uv_close((uv_handle_t *)&balloon->poll, on_timer_closed);
	uv_close((uv_handle_t *)&balloon->reading_poll, on_timer_closed);
	aero_qmp_close(&balloon->qmp);
}
