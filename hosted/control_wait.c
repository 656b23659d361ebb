/* SPDX-License-Identifier: MIT */
/* Answers that a client of the control socket is owed, until what they wait for happens. */
#include "hosted/control_internal.h"

#include <string.h>

#include "hosted/balloon_json_parts.h"

static void on_deadline(uv_timer_t *timer);

static void drop(struct aero_control_wait *wait)
{
	json_decref(wait->id);
	memset(wait, 0, sizeof(*wait));
}

/* Sets the timer for the wait that ends first. */
static void arm(struct aero_control *control)
{
	uint64_t first = AERO_NEVER;
	uint64_t now = uv_hrtime();
	unsigned int i, j;

	for (i = 0; i < AERO_CONTROL_CLIENTS_MAX; i++) {
		struct aero_control_client *client = control->clients[i];

		for (j = 0; client && j < AERO_CONTROL_WAITS_MAX; j++) {
			if (client->waits[j].kind && client->waits[j].deadline_ns < first)
				first = client->waits[j].deadline_ns;
		}
	}
	if (first == AERO_NEVER)
		uv_timer_stop(&control->deadline);
	else
		uv_timer_start(&control->deadline, on_deadline,
			       first > now ? (first - now) / 1000000 + 1 : 0, 0);
}

bool aero_control_wait_add(struct aero_control_client *client, const struct aero_control_wait *wait,
			   struct aero_control_error *error)
{
	unsigned int i;

	for (i = 0; i < AERO_CONTROL_WAITS_MAX && client->waits[i].kind; i++)
		;
	if (i == AERO_CONTROL_WAITS_MAX)
		return aero_control_fail(error, "too_many_waits",
					 "%d answers are awaited by this client already",
					 AERO_CONTROL_WAITS_MAX);
	client->waits[i] = *wait;
	json_incref(wait->id);
	arm(client->control);
	return true;
}

bool aero_control_wait_has_any(const struct aero_control_client *client)
{
	unsigned int i;

	for (i = 0; i < AERO_CONTROL_WAITS_MAX; i++) {
		if (client->waits[i].kind)
			return true;
	}
	return false;
}

void aero_control_wait_drop_all(struct aero_control_client *client)
{
	unsigned int i;

	for (i = 0; i < AERO_CONTROL_WAITS_MAX; i++)
		drop(&client->waits[i]);
}

json_t *aero_control_stats_answer(const struct aero_control *control, const char *reason,
				  const char *reason_text)
{
	const struct aero_control_config *config = &control->config;

	return json_pack("{s:b, s:s?, s:s?, s:o}", "is_fresh", !reason, "reason", reason,
			 "reason_text", reason_text, "statistics",
			 config->ops->stats->describe(config->balloon));
}

json_t *aero_control_pause_answer(const struct aero_control *control)
{
	struct aero_control_numbers numbers;

	control->config.ops->numbers(control->config.balloon, &numbers);
	return json_pack("{s:b, s:b, s:o}", "is_paused", numbers.is_quiesced, "is_drained",
			 numbers.is_drained, "pending_bytes",
			 aero_json_number(numbers.pending_frames << AERO_FRAME_SHIFT));
}

/* What a wait ends with. A reason of NULL: with success. */
static void finish(struct aero_control_client *client, struct aero_control_wait *wait,
		   const char *reason, const char *text)
{
	struct aero_control_wait done = *wait;
	struct aero_control_error error;

	memset(wait, 0, sizeof(*wait));
	if (done.kind == AERO_CONTROL_WAIT_STATS) {
		aero_control_succeed(client, done.id,
				     aero_control_stats_answer(client->control, reason, text));
	} else if (!reason) {
		aero_control_succeed(client, done.id, aero_control_pause_answer(client->control));
	} else {
		aero_control_fail(&error, reason, "%s", text);
		aero_control_refuse(client, done.id, &error);
	}
	drop(&done);
	aero_control_client_settle(client);
}

static void finish_late(struct aero_control_client *client, struct aero_control_wait *wait)
{
	const struct aero_control_config *config = &client->control->config;
	const char *reason, *text;

	if (wait->kind == AERO_CONTROL_WAIT_DRAIN) {
		finish(client, wait, "timed_out", "not drained in time; still pausing");
		return;
	}
	reason = config->ops->stats->why_late(config->balloon, &text);
	finish(client, wait, reason, text);
}

typedef void wait_fn(struct aero_control_client *client, struct aero_control_wait *wait,
		     const void *ctx);

static void for_each(struct aero_control *control, wait_fn *visit, const void *ctx)
{
	unsigned int i, j;

	for (i = 0; i < AERO_CONTROL_CLIENTS_MAX; i++) {
		for (j = 0; control->clients[i] && j < AERO_CONTROL_WAITS_MAX; j++)
			visit(control->clients[i], &control->clients[i]->waits[j], ctx);
	}
	arm(control);
}

static void check_deadline(struct aero_control_client *client, struct aero_control_wait *wait,
			   const void *ctx)
{
	const uint64_t *now = ctx;

	if (wait->kind && wait->deadline_ns <= *now)
		finish_late(client, wait);
}

static void on_deadline(uv_timer_t *timer)
{
	uint64_t now = uv_hrtime();

	for_each(timer->data, check_deadline, &now);
}

static void check_stats(struct aero_control_client *client, struct aero_control_wait *wait,
			const void *ctx)
{
	const uint64_t *sequence = ctx;

	if (wait->kind == AERO_CONTROL_WAIT_STATS && *sequence > wait->sequence)
		finish(client, wait, NULL, NULL);
}

static void check_driver(struct aero_control_client *client, struct aero_control_wait *wait,
			 const void *ctx)
{
	(void)ctx;
	if (wait->kind == AERO_CONTROL_WAIT_STATS)
		finish(client, wait, "no_driver", "the driver went away");
}

static void check_drain(struct aero_control_client *client, struct aero_control_wait *wait,
			const void *ctx)
{
	(void)ctx;
	if (wait->kind == AERO_CONTROL_WAIT_DRAIN)
		finish(client, wait, NULL, NULL);
}

static void check_resumed(struct aero_control_client *client, struct aero_control_wait *wait,
			  const void *ctx)
{
	(void)ctx;
	if (wait->kind == AERO_CONTROL_WAIT_DRAIN)
		finish(client, wait, "resumed", "another client resumed the device");
}

void aero_control_wait_resumed(struct aero_control *control)
{
	for_each(control, check_resumed, NULL);
}

static void end_stats(struct aero_control *control)
{
	const struct aero_control_config *config = &control->config;
	uint64_t sequence = config->ops->stats->sequence(config->balloon);

	for_each(control, check_stats, &sequence);
}

void aero_control_wait_end(struct aero_control *control, enum aero_control_turn turn)
{
	switch (turn) {
	case AERO_CONTROL_NOTHING:
		break;
	case AERO_CONTROL_STATS:
		end_stats(control);
		break;
	case AERO_CONTROL_DRAINED:
		for_each(control, check_drain, NULL);
		break;
	case AERO_CONTROL_GONE:
		for_each(control, check_driver, NULL);
		break;
	}
}
