/* SPDX-License-Identifier: MIT */
/* What the requests of the control socket do. */
#include "hosted/control_internal.h"

#include <string.h>

#include "hosted/balloon_json.h"
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

static struct aero_balloon_service *service_of(struct aero_control_client *client)
{
	return client->control->config.service;
}

/*
 * The device knows the time from its last step, which may be long ago. What begins now, such as
 * the patience with a guest that gets a new target, is to be counted from now.
 */
static struct aero_virtio_balloon *present_device(struct aero_control_client *client)
{
	struct aero_balloon_service *service = service_of(client);

	(void)aero_virtio_balloon_host_step(&service->device, uv_hrtime());
	return &service->device;
}

static bool is_live(struct aero_control_client *client)
{
	struct aero_virtio_balloon_report report;

	aero_virtio_balloon_host_report(&service_of(client)->device, uv_hrtime(), &report);
	return report.is_live;
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
	const struct aero_balloon_service *service = service_of(client);
	struct aero_virtio_balloon_report report;
	json_t *out;

	aero_virtio_balloon_host_report(&service->device, uv_hrtime(), &report);
	out = json_pack("{s:b, s:s, s:s}", "is_reached",
			report.is_live && report.target_frames == report.actual_frames, "stall",
			aero_balloon_stall_text(report.stall), "stall_text",
			aero_host_stall_str(report.stall));
	json_object_set_new(out, "target_bytes",
			    aero_json_number(report.target_frames << AERO_FRAME_SHIFT));
	json_object_set_new(out, "actual_bytes",
			    aero_json_number(report.actual_frames << AERO_FRAME_SHIFT));
	json_object_set_new(out, "guest_memory_bytes",
			    aero_json_number(aero_guest_memory_bytes(&service->memory)));
	if (clamped_by) {
		json_object_set_new(out, "clamped_from_bytes", aero_json_number(wanted_bytes));
		json_object_set_new(out, "clamped_by", json_string(clamped_by));
	}
	return out;
}

static json_t *run_target(struct aero_control_client *client,
			  const struct aero_control_request *request, bool *out_later,
			  struct aero_control_error *error)
{
	struct aero_balloon_service *service = service_of(client);
	uint64_t wanted = aero_control_request_number(request, "bytes", 0);
	uint64_t memory = aero_guest_memory_bytes(&service->memory);
	const char *clamped_by = NULL;
	uint64_t bytes = wanted;
	uint64_t frames;

	(void)out_later;
	(void)error;
	/* Without a front end its memory is not known; the target waits for one. */
	if (memory && bytes > memory) {
		bytes = memory;
		clamped_by = "guest_memory";
	}
	if (aero_virtio_balloon_host_set_target(present_device(client), bytes >> AERO_FRAME_SHIFT,
						&frames) == AERO_ERANGE)
		clamped_by = "protocol";
	aero_balloon_service_wake(service);
	return describe_target(client, wanted, clamped_by);
}

/* status, stats, watch ------------------------------------------------------------------------ */

static json_t *run_status(struct aero_control_client *client,
			  const struct aero_control_request *request, bool *out_later,
			  struct aero_control_error *error)
{
	const struct aero_balloon_service *service = service_of(client);
	json_t *out = aero_balloon_json_status(service);

	(void)request;
	(void)out_later;
	(void)error;
	json_object_set_new(out, "counters", aero_balloon_json_counters(service));
	json_object_set_new(out, "version", json_string(AERO_VERSION));
	return out;
}

static json_t *run_stats(struct aero_control_client *client,
			 const struct aero_control_request *request, bool *out_later,
			 struct aero_control_error *error)
{
	struct aero_virtio_balloon *device = &service_of(client)->device;
	struct aero_control_wait wait = { .kind = AERO_CONTROL_WAIT_STATS };
	enum aero_status status;

	wait.id = request->id;
	wait.sequence = aero_virtio_balloon_host_stats(device)->sequence;
	if (!read_timeout(request, STATS_TIMEOUT_MS, &wait.deadline_ns, error))
		return NULL;
	status = aero_virtio_balloon_host_request_stats(device);
	aero_balloon_service_wake(service_of(client));
	if (status == AERO_ESTATE)
		return aero_control_stats_answer(client->control, "no_driver",
						 "no driver has taken the device");
	if (status == AERO_ENOTSUP)
		return aero_control_stats_answer(
			client->control, "not_negotiated",
			"the driver did not negotiate the statistics queue");
	/* AERO_EAGAIN: asked as soon as there is a buffer to ask with. */
	*out_later = aero_control_wait_add(client, &wait, error);
	return NULL;
}

/* Answers whether every name is an event. */
static bool read_events(const json_t *names, uint32_t *out_events, struct aero_control_error *error)
{
	size_t i;

	if (!names)
		*out_events = (1u << AERO_BALLOON_EVENT_NAMES) - 1;
	for (i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));
		int index = aero_balloon_event_index(name);

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
	uint32_t events = 0;

	(void)out_later;
	if (!read_events(json_object_get(request->root, "events"), &events, error))
		return NULL;
	client->watched = events;
	return json_object();
}

/* hint ---------------------------------------------------------------------------------------- */

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

static json_t *run_hint(struct aero_control_client *client,
			const struct aero_control_request *request, bool *out_later,
			struct aero_control_error *error)
{
	const char *action = json_string_value(json_object_get(request->root, "action"));
	struct aero_virtio_balloon *device = &service_of(client)->device;
	enum aero_status status = do_hint(device, action);

	(void)out_later;
	if (status == AERO_EINVAL)
		aero_control_fail(error, "bad_member",
				  "\"action\" is start, stop or done, not \"%.64s\"", action);
	else if (!is_live(client))
		aero_control_fail(error, "no_driver", "no driver has taken the device");
	else if (status == AERO_ENOTSUP)
		aero_control_fail(error, "not_negotiated",
				  "the driver did not negotiate free page hinting");
	else if (status != AERO_OK)
		aero_control_fail(error, "wrong_state", "not while hinting is %s",
				  aero_balloon_hint_text(device->hint_state));
	if (status != AERO_OK)
		return NULL;
	aero_balloon_service_wake(service_of(client));
	return json_pack("{s:s, s:I}", "hint_state", aero_balloon_hint_text(device->hint_state),
			 "hint_command", (json_int_t)device->hint_command);
}

/* pause, resume, flush, inhibit --------------------------------------------------------------- */

static json_t *run_pause(struct aero_control_client *client,
			 const struct aero_control_request *request, bool *out_later,
			 struct aero_control_error *error)
{
	struct aero_control_wait wait = { .kind = AERO_CONTROL_WAIT_DRAIN };

	wait.id = request->id;
	if (!read_timeout(request, PAUSE_TIMEOUT_MS, &wait.deadline_ns, error) ||
	    !aero_control_wait_add(client, &wait, error))
		return NULL;
	*out_later = true;
	/* Told again if it is drained already. */
	aero_virtio_balloon_host_quiesce(&service_of(client)->device);
	aero_balloon_service_wake(service_of(client));
	return NULL;
}

static json_t *run_resume(struct aero_control_client *client,
			  const struct aero_control_request *request, bool *out_later,
			  struct aero_control_error *error)
{
	(void)request;
	(void)out_later;
	(void)error;
	/* First: the device may drain while it learns the time. */
	aero_control_wait_resumed(client->control);
	aero_virtio_balloon_host_resume(present_device(client));
	aero_balloon_service_wake(service_of(client));
	return aero_control_pause_answer(client->control);
}

static json_t *run_flush(struct aero_control_client *client,
			 const struct aero_control_request *request, bool *out_later,
			 struct aero_control_error *error)
{
	struct aero_balloon_service *service = service_of(client);
	uint64_t pending = aero_ledger_pending(&service->device.ledger);

	(void)request;
	(void)out_later;
	(void)error;
	aero_virtio_balloon_host_flush(&service->device);
	aero_balloon_service_wake(service);
	return json_pack("{s:o}", "pending_bytes", aero_json_number(pending << AERO_FRAME_SHIFT));
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
	struct aero_balloon_service *service = service_of(client);
	uint32_t reasons = 0;
	size_t i;

	(void)out_later;
	for (i = 0; i < json_array_size(names); i++) {
		if (!read_reason(json_string_value(json_array_get(names, i)), &reasons, error))
			return NULL;
	}
	aero_virtio_balloon_host_inhibit(&service->device, reasons);
	aero_balloon_service_wake(service);
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
