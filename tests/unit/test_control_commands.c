/* SPDX-License-Identifier: MIT */
#include "test_control_rig.h"

/* What each command answers where no front end is connected, and events. */

static void test_target_is_set_and_clamped_by_the_protocol(void **state)
{
	struct rig *rig = *state;
	struct aero_virtio_balloon_report report;
	int fd = rig_client(rig);

	rig_ask(rig, fd, "{\"command\":\"target\",\"bytes\":1048577}",
		"\"target_bytes\":1048576,\"actual_bytes\":0");
	aero_virtio_balloon_host_report(&rig->service.device, uv_hrtime(), &report);
	assert_int_equal(report.target_frames, 256);
	rig_ask(rig, fd, "{\"command\":\"target\",\"bytes\":17592186044416}",
		"\"clamped_from_bytes\":17592186044416,\"clamped_by\":\"protocol\"");
	rig_ask(rig, fd, "{\"command\":\"status\"}", "\"target_bytes\":17592186040320");
	rig_ask(rig, fd, "{\"command\":\"status\"}", "\"stall\":\"no_driver\"");
	close(fd);
}

/* Every documented key of status is there, once. */
static void test_status_has_its_keys(void **state)
{
	static const char *const keys[] = {
		"protocol",
		"is_connected",
		"target_bytes",
		"actual_bytes",
		"ledger_bytes",
		"pending_bytes",
		"is_live",
		"guest_memory_bytes",
		"resident_bytes",
		"memory_regions",
		"block_bytes",
		"discard_unit_bytes",
		"is_paused",
		"is_drained",
		"stall",
		"stall_text",
		"inhibited",
		"discard_mode",
		"hint_state",
		"hint_command",
		"poison_value",
		"features",
		"queues",
		"ledger_metadata_bytes",
		"features_offered",
		"counters",
		"version",
		"id",
		"ok",
	};
	struct rig *rig = *state;
	int fd = rig_client(rig);
	json_t *status;
	size_t i;

	rig_send(rig, fd, "{\"id\":0,\"command\":\"status\"}\n");
	status = json_loads(rig_line(rig, fd), JSON_REJECT_DUPLICATES, NULL);
	for (i = 0; i < TEST_ARRAY_SIZE(keys); i++) {
		if (!json_object_get(status, keys[i]))
			fail_msg("no \"%s\"", keys[i]);
	}
	assert_int_equal(json_object_size(status), TEST_ARRAY_SIZE(keys));
	assert_int_equal(json_array_size(json_object_get(status, "queues")), 5);
	assert_int_equal(json_object_size(json_object_get(status, "counters")), 3);
	json_decref(status);
	close(fd);
}

static void test_stats_say_why_there_are_none(void **state)
{
	struct rig *rig = *state;
	int fd = rig_client(rig);
	json_t *answer, *statistics;

	rig_send(rig, fd, "{\"command\":\"stats\"}\n");
	answer = json_loads(rig_line(rig, fd), JSON_REJECT_DUPLICATES, NULL);
	statistics = json_object_get(answer, "statistics");
	assert_true(json_is_false(json_object_get(answer, "is_fresh")));
	assert_string_equal(json_string_value(json_object_get(answer, "reason")), "no_driver");
	assert_true(json_is_null(json_object_get(statistics, "age_ms")));
	assert_int_equal(json_object_size(json_object_get(statistics, "values")), 0);
	assert_int_equal(json_object_size(json_object_get(statistics, "missing")), 16);
	json_decref(answer);
	close(fd);
}

static void test_pause_answers_when_drained(void **state)
{
	struct rig *rig = *state;
	int fd = rig_client(rig);
	int other = rig_client(rig);

	rig_ask(rig, other, "{\"command\":\"watch\",\"events\":[\"drained\"]}", "\"ok\":true");
	rig_ask(rig, fd, "{\"id\":1,\"command\":\"pause\"}",
		"{\"id\":1,\"ok\":true,\"is_paused\":true,\"is_drained\":true");
	rig_expect(rig, other, "{\"event\":\"drained\"");
	/* Already paused: answered again. */
	rig_ask(rig, fd, "{\"id\":2,\"command\":\"pause\"}", "\"is_drained\":true");
	rig_ask(rig, fd, "{\"id\":3,\"command\":\"status\"}", "\"is_paused\":true");
	rig_ask(rig, fd, "{\"id\":4,\"command\":\"resume\"}", "\"is_paused\":false");
	rig_ask(rig, fd, "{\"id\":5,\"command\":\"status\"}", "\"is_paused\":false");
	close(fd);
	close(other);
}

/* In one piece, so that the device does not get to drain in between. */
static void test_resume_ends_a_pause_that_waits(void **state)
{
	struct rig *rig = *state;
	int fd = rig_client(rig);

	rig_send(rig, fd, "{\"id\":1,\"command\":\"pause\"}\n{\"id\":2,\"command\":\"resume\"}\n");
	rig_expect(rig, fd, "\"code\":\"resumed\"");
	rig_expect(rig, fd, "{\"id\":2,\"ok\":true,\"is_paused\":false");
	close(fd);
}

static void test_pause_ends_in_time_and_still_pauses(void **state)
{
	static const char request[] = "{\"id\":1,\"command\":\"pause\",\"timeout_ms\":30}\n";
	struct rig *rig = *state;
	uint64_t begin = uv_hrtime();
	int fd = rig_client(rig);

	assert_int_equal(send(fd, request, sizeof(request) - 1, 0), sizeof(request) - 1);
	while (uv_hrtime() < begin + 20000000)
		rig_turn_without_device(rig, 1);
	assert_int_equal(recv(fd, &(char){ 0 }, 1, MSG_PEEK), -1);
	while (uv_hrtime() < begin + 60000000)
		rig_turn_without_device(rig, 1);
	rig_expect(rig, fd, "\"code\":\"timed_out\"");
	rig_ask(rig, fd, "{\"command\":\"status\"}", "\"is_paused\":true");
	close(fd);
}

static void test_inhibit_sets_all_reasons_at_once(void **state)
{
	struct rig *rig = *state;
	struct aero_virtio_balloon_report report;
	int fd = rig_client(rig);

	rig_ask(rig, fd, "{\"command\":\"inhibit\",\"reasons\":[\"snapshot\",\"operator\"]}",
		"\"inhibited\":[\"operator\",\"snapshot\"]");
	aero_virtio_balloon_host_report(&rig->service.device, uv_hrtime(), &report);
	assert_int_equal(report.inhibited, AERO_INHIBIT_SNAPSHOT | AERO_INHIBIT_OPERATOR);
	/* A list with a mistake changes nothing. */
	rig_ask(rig, fd, "{\"command\":\"inhibit\",\"reasons\":[\"migration\",\"x\"]}",
		"\"ok\":false");
	aero_virtio_balloon_host_report(&rig->service.device, uv_hrtime(), &report);
	assert_int_equal(report.inhibited, AERO_INHIBIT_SNAPSHOT | AERO_INHIBIT_OPERATOR);
	rig_ask(rig, fd, "{\"command\":\"inhibit\",\"reasons\":[]}", "\"inhibited\":[]");
	close(fd);
}

static void test_events_go_to_those_who_watch_them(void **state)
{
	struct rig *rig = *state;
	int all = rig_client(rig);
	int some = rig_client(rig);
	int none = rig_client(rig);

	rig_ask(rig, all, "{\"command\":\"watch\"}", "\"ok\":true");
	rig_ask(rig, some, "{\"command\":\"watch\",\"events\":[\"drained\"]}", "\"ok\":true");
	rig_ask(rig, none, "{\"command\":\"target\",\"bytes\":8192}", "\"target_bytes\":8192");
	rig_expect(rig, all, "{\"event\":\"target\",\"target_bytes\":8192,\"actual_bytes\":0");
	rig_ask(rig, none, "{\"command\":\"pause\"}", "\"ok\":true");
	rig_expect(rig, some, "{\"event\":\"drained\"");
	rig_expect(rig, all, "{\"event\":\"drained\"");
	/* No events end the watching; the first line is the answer then. */
	rig_ask(rig, all, "{\"command\":\"watch\",\"events\":[]}", "\"ok\":true");
	rig_ask(rig, none, "{\"command\":\"target\",\"bytes\":0}", "\"target_bytes\":0");
	rig_ask(rig, all, "{\"id\":\"next\",\"command\":\"flush\"}", "\"id\":\"next\"");
	close(all);
	close(some);
	close(none);
}

/* A front end that connects and leaves, as events tell it. */
static void test_front_end_comes_and_goes(void **state)
{
	struct rig *rig = *state;
	int watcher = rig_client(rig);
	int front_end;

	rig_ask(rig, watcher, "{\"command\":\"watch\"}", "\"ok\":true");
	front_end = rig_connect(rig->socket_path);
	assert_true(front_end >= 0);
	rig_expect(rig, watcher, "{\"event\":\"connected\"");
	rig_ask(rig, watcher, "{\"command\":\"status\"}", "\"is_connected\":true");
	close(front_end);
	rig_expect(rig, watcher, "{\"event\":\"disconnected\"");
	rig_ask(rig, watcher, "{\"command\":\"status\"}", "\"is_connected\":false");
	close(watcher);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_target_is_set_and_clamped_by_the_protocol),
		CASE(test_status_has_its_keys),
		CASE(test_stats_say_why_there_are_none),
		CASE(test_pause_answers_when_drained),
		CASE(test_resume_ends_a_pause_that_waits),
		CASE(test_pause_ends_in_time_and_still_pauses),
		CASE(test_inhibit_sets_all_reasons_at_once),
		CASE(test_events_go_to_those_who_watch_them),
		CASE(test_front_end_comes_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
