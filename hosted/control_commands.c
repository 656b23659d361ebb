/* SPDX-License-Identifier: MIT */
/* What the requests of the control socket do. */
#include "hosted/control_internal.h"

#include <string.h>

#include "hosted/balloon_json_parts.h"
#include "hosted/balloon_json_text.h"

#define STATS_TIMEOUT_MS 2000
#define PAUSE_TIMEOUT_MS 10000
#define TIMEOUT_MS_MAX 600000

/* Answers NULL, with the error filled in, or the answer; *out_later: it comes later. */
typedef json_t *command_fn(struct aero_control_client *client,
			   const struct aero_control_request *request, bool *out_later,
			   struct aero_control_error *error);

struct command {
	const char *name;
	command_fn *run;
	struct aero_control_member members[3];
};

/* Answering ----------------------------------------------------------------------------------- */

static void answer(struct aero_control_client *client, const json_t *id, bool is_ok,
		   json_t *members)
{
	/* id and ok come first, for people. */
	json_t *message = json_object();

	json_object_set_new(message, "id", id ? json_deep_copy(id) : json_null());
	json_object_set_new(message, "ok", json_boolean(is_ok));
	json_object_update(message, members);
	json_decref(members);
	aero_control_client_send(client, message);
}

void aero_control_succeed(struct aero_control_client *client, const json_t *id, json_t *result)
{
	answer(client, id, true, result);
}

/* A text that was cut off may end within a character. */
static json_t *error_text(const char *text)
{
	json_t *string = json_string(text);
	char plain[sizeof(((struct aero_control_error *)0)->text)];
	size_t i;

	if (string)
		return string;
	for (i = 0; i + 1 < sizeof(plain) && text[i]; i++)
		plain[i] = text[i] & (char)0x80 ? '?' : text[i];
	plain[i] = '\0';
	return json_string(plain);
}

void aero_control_refuse(struct aero_control_client *client, const json_t *id,
			 const struct aero_control_error *error)
{
	answer(client, id, false,
	       json_pack("{s:{s:s, s:o}}", "error", "code", error->code, "text",
			 error_text(error->text)));
}

/* Helpers ------------------------------------------------------------------------------------- */

static const struct aero_control_ops *ops_of(const struct aero_control_client *client)
{
	return client->control->config.ops;
}

static void *balloon_of(const struct aero_control_client *client)
{
	return client->control->config.balloon;
}

static json_t *refuse_missing(const struct aero_control_client *client, const char *what,
			      struct aero_control_error *error)
{
	aero_control_fail(error, "not_supported", "the %s has no %s", ops_of(client)->name, what);
	return NULL;
}

static bool read_timeout(const struct aero_control_request *request, uint64_t fallback_ms,
			 uint64_t *out_deadline_ns, struct aero_control_error *error)
{
	uint64_t ms = aero_control_request_number(request, "timeout_ms", fallback_ms);

	if (ms > TIMEOUT_MS_MAX)
		return aero_control_fail(error, "bad_member", "\"timeout_ms\" is at most %d",
					 TIMEOUT_MS_MAX);
	*out_deadline_ns = uv_hrtime() + ms * 1000000;
	return true;
}

/* target -------------------------------------------------------------------------------------- */

static json_t *describe_target(struct aero_control_client *client, uint64_t wanted_bytes,
			       const char *clamped_by)
{
	struct aero_control_numbers numbers;
	json_t *out;

	ops_of(client)->numbers(balloon_of(client), &numbers);
	out = json_pack("{s:b, s:s, s:s}", "is_reached", numbers.is_reached, "stall",
			aero_balloon_stall_text(numbers.stall), "stall_text",
			aero_host_stall_str(numbers.stall));
	aero_json_put_frames(out, "target_bytes", numbers.target_frames);
	aero_json_put_frames(out, "actual_bytes", numbers.actual_frames);
	aero_json_put_number(out, "guest_memory_bytes", numbers.guest_memory_bytes);
	if (clamped_by) {
		aero_json_put_number(out, "clamped_from_bytes", wanted_bytes);
		aero_json_put_text(out, "clamped_by", clamped_by);
	}
	return out;
}

static json_t *run_target(struct aero_control_client *client,
			  const struct aero_control_request *request, bool *out_later,
			  struct aero_control_error *error)
{
	uint64_t wanted = aero_control_request_number(request, "bytes", 0);
	struct aero_control_numbers numbers;
	const char *clamped_by = NULL;
	uint64_t bytes = wanted;

	(void)out_later;
	(void)error;
	ops_of(client)->numbers(balloon_of(client), &numbers);
	/* Without a guest its memory is not known; the target waits for one. */
	if (numbers.guest_memory_bytes && bytes > numbers.guest_memory_bytes) {
		bytes = numbers.guest_memory_bytes;
		clamped_by = "guest_memory";
	}
	if (ops_of(client)->set_target(balloon_of(client), bytes >> AERO_FRAME_SHIFT) ==
	    AERO_ERANGE)
		clamped_by = "protocol";
	return describe_target(client, wanted, clamped_by);
}

/* status, stats, watch ------------------------------------------------------------------------ */

static json_t *run_status(struct aero_control_client *client,
			  const struct aero_control_request *request, bool *out_later,
			  struct aero_control_error *error)
{
	json_t *out = ops_of(client)->status(balloon_of(client));

	(void)request;
	(void)out_later;
	(void)error;
	aero_json_put_text(out, "version", AERO_VERSION);
	return out;
}

static json_t *run_stats(struct aero_control_client *client,
			 const struct aero_control_request *request, bool *out_later,
			 struct aero_control_error *error)
{
	const struct aero_control_stats_ops *stats = ops_of(client)->stats;
	struct aero_control_wait wait = { .kind = AERO_CONTROL_WAIT_STATS };
	enum aero_status status;

	if (!stats)
		return refuse_missing(client, "statistics", error);
	wait.id = request->id;
	wait.sequence = stats->sequence(balloon_of(client));
	if (!read_timeout(request, STATS_TIMEOUT_MS, &wait.deadline_ns, error))
		return NULL;
	status = stats->request(balloon_of(client));
	if (status == AERO_ESTATE)
		return aero_control_stats_answer(client->control, "no_driver",
						 "no driver has taken the device");
	if (status == AERO_ENOTSUP)
		return aero_control_stats_answer(
			client->control, "not_negotiated",
			"the driver did not negotiate the statistics queue");
	*out_later = aero_control_wait_add(client, &wait, error);
	return NULL;
}

/* Answers the number of an event, -1 where there is none of that name. */
static int find_event(const char *const *events, const char *name)
{
	int i;

	for (i = 0; events[i]; i++) {
		if (!strcmp(events[i], name))
			return i;
	}
	return -1;
}

/* Answers whether every name is an event. */
static bool read_events(const char *const *events, const json_t *names, uint32_t *out_events,
			struct aero_control_error *error)
{
	size_t i;

	*out_events = names ? 0 : UINT32_MAX;
	for (i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));
		int index = find_event(events, name);

		if (index < 0)
			return aero_control_fail(error, "bad_member", "there is no event \"%.64s\"",
						 name);
		*out_events |= 1u << index;
	}
	return true;
}

/* No events at all end the watching. */
static json_t *run_watch(struct aero_control_client *client,
			 const struct aero_control_request *request, bool *out_later,
			 struct aero_control_error *error)
{
	uint32_t events;

	(void)out_later;
	if (!read_events(ops_of(client)->events, json_object_get(request->root, "events"), &events,
			 error))
		return NULL;
	client->watched = events;
	return json_object();
}

/* hint, reset --------------------------------------------------------------------------------- */

static json_t *run_hint(struct aero_control_client *client,
			const struct aero_control_request *request, bool *out_later,
			struct aero_control_error *error)
{
	const char *action = json_string_value(json_object_get(request->root, "action"));

	(void)out_later;
	if (!ops_of(client)->hint)
		return refuse_missing(client, "free page hinting", error);
	return ops_of(client)->hint(balloon_of(client), action, error);
}

static json_t *run_reset(struct aero_control_client *client,
			 const struct aero_control_request *request, bool *out_later,
			 struct aero_control_error *error)
{
	(void)request;
	(void)out_later;
	if (!ops_of(client)->reset)
		return refuse_missing(client, "reset", error);
	if (ops_of(client)->reset(balloon_of(client)) == AERO_OK)
		return json_object();
	aero_control_fail(error, "no_driver", "no driver has taken the device");
	return NULL;
}

/* pause, resume, flush, inhibit --------------------------------------------------------------- */

static json_t *run_pause(struct aero_control_client *client,
			 const struct aero_control_request *request, bool *out_later,
			 struct aero_control_error *error)
{
	struct aero_control_wait wait = { .kind = AERO_CONTROL_WAIT_DRAIN };

	if (!ops_of(client)->quiesce)
		return refuse_missing(client, "pause", error);
	wait.id = request->id;
	if (!read_timeout(request, PAUSE_TIMEOUT_MS, &wait.deadline_ns, error) ||
	    !aero_control_wait_add(client, &wait, error))
		return NULL;
	*out_later = true;
	if (ops_of(client)->quiesce(balloon_of(client)))
		aero_control_wait_end(client->control, AERO_CONTROL_DRAINED);
	return NULL;
}

static json_t *run_resume(struct aero_control_client *client,
			  const struct aero_control_request *request, bool *out_later,
			  struct aero_control_error *error)
{
	(void)request;
	(void)out_later;
	if (!ops_of(client)->resume)
		return refuse_missing(client, "pause", error);
	/* First: it may drain while it learns the time. */
	aero_control_wait_resumed(client->control);
	ops_of(client)->resume(balloon_of(client));
	return aero_control_pause_answer(client->control);
}

static json_t *run_flush(struct aero_control_client *client,
			 const struct aero_control_request *request, bool *out_later,
			 struct aero_control_error *error)
{
	struct aero_control_numbers numbers;
	json_t *out;

	(void)request;
	(void)out_later;
	if (!ops_of(client)->flush)
		return refuse_missing(client, "flush", error);
	ops_of(client)->numbers(balloon_of(client), &numbers);
	ops_of(client)->flush(balloon_of(client));
	out = json_object();
	aero_json_put_frames(out, "pending_bytes", numbers.pending_frames);
	return out;
}

static bool read_reason(const char *name, uint32_t *reasons, struct aero_control_error *error)
{
	unsigned int bit;

	for (bit = 0; aero_inhibit_name(bit); bit++) {
		if (!strcmp(aero_inhibit_name(bit), name)) {
			*reasons |= 1u << bit;
			return true;
		}
	}
	return aero_control_fail(error, "bad_member", "there is no reason \"%.64s\"", name);
}

static json_t *run_inhibit(struct aero_control_client *client,
			   const struct aero_control_request *request, bool *out_later,
			   struct aero_control_error *error)
{
	const json_t *names = json_object_get(request->root, "reasons");
	uint32_t reasons = 0;
	size_t i;

	(void)out_later;
	if (!ops_of(client)->inhibit)
		return refuse_missing(client, "inhibit", error);
	for (i = 0; i < json_array_size(names); i++) {
		if (!read_reason(json_string_value(json_array_get(names, i)), &reasons, error))
			return NULL;
	}
	ops_of(client)->inhibit(balloon_of(client), reasons);
	return json_pack("{s:o}", "inhibited", aero_balloon_json_inhibits(reasons));
}

/* Dispatch ------------------------------------------------------------------------------------ */

#define TIMEOUT                                          \
	{                                                \
		"timeout_ms", AERO_CONTROL_NUMBER, false \
	}

static const struct command commands[] = {
	{ "target", run_target, { { "bytes", AERO_CONTROL_NUMBER, true } } },
	{ "status", run_status, { { NULL, 0, false } } },
	{ "stats", run_stats, { TIMEOUT } },
	{ "watch", run_watch, { { "events", AERO_CONTROL_TEXTS, false } } },
	{ "hint", run_hint, { { "action", AERO_CONTROL_TEXT, true } } },
	{ "reset", run_reset, { { NULL, 0, false } } },
	{ "pause", run_pause, { TIMEOUT } },
	{ "resume", run_resume, { { NULL, 0, false } } },
	{ "flush", run_flush, { { NULL, 0, false } } },
	{ "inhibit", run_inhibit, { { "reasons", AERO_CONTROL_TEXTS, true } } },
};

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

static void run_request(struct aero_control_client *client,
			const struct aero_control_request *request,
			struct aero_control_error *error)
{
	const struct command *command = find_command(request->command);
	bool is_later = false;
	json_t *result;

	if (!command) {
		aero_control_fail(error, "unknown_command", "there is no command \"%.64s\"",
				  request->command);
		return;
	}
	if (!aero_control_request_check(request, command->members, error))
		return;
	result = command->run(client, request, &is_later, error);
	if (is_later)
		return;
	if (result)
		aero_control_succeed(client, request->id, result);
	else if (!error->code)
		aero_control_fail(error, "no_memory", "out of memory");
}

void aero_control_execute(struct aero_control_client *client, const char *line, size_t len)
{
	struct aero_control_request request;
	struct aero_control_error error = { NULL, "" };

	if (aero_control_request_parse(line, len, &request, &error))
		run_request(client, &request, &error);
	if (error.code)
		aero_control_refuse(client, request.id, &error);
	aero_control_request_fini(&request);
}
