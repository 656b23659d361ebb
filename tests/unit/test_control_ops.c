/* SPDX-License-Identifier: MIT */
#include "test_control_rig.h"

/* The control socket in front of a balloon that is none: one with everything, one with nothing. */

struct double_balloon {
	struct aero_control_numbers numbers;
	uint64_t sequence;
	uint32_t reasons;
	unsigned int flushed;
	unsigned int resumed;
	enum aero_status answer; /* of what can fail */
};

static void double_numbers(void *ctx, struct aero_control_numbers *out)
{
	*out = ((struct double_balloon *)ctx)->numbers;
}

static json_t *double_status(void *ctx)
{
	(void)ctx;
	return json_pack("{s:s}", "protocol", "double");
}

static json_t *double_event(void *ctx, const void *event)
{
	(void)ctx;
	return json_pack("{s:s}", "event", (const char *)event);
}

static enum aero_status double_set_target(void *ctx, uint64_t frames)
{
	struct double_balloon *balloon = ctx;

	balloon->numbers.target_frames = frames;
	return balloon->answer;
}

static enum aero_status double_request(void *ctx)
{
	return ((struct double_balloon *)ctx)->answer;
}

static uint64_t double_sequence(void *ctx)
{
	return ((struct double_balloon *)ctx)->sequence;
}

static const char *double_why_late(void *ctx, const char **out_text)
{
	(void)ctx;
	*out_text = "it sleeps";
	return "asleep";
}

static json_t *double_hint(void *ctx, const char *action, struct aero_control_error *error)
{
	(void)ctx;
	if (!strcmp(action, "start"))
		return json_pack("{s:s}", "hint_state", "begun");
	aero_control_fail(error, "wrong_state", "not %s", action);
	return NULL;
}

static bool double_quiesce(void *ctx)
{
	struct double_balloon *balloon = ctx;

	balloon->numbers.is_quiesced = true;
	return balloon->numbers.is_drained;
}

static void double_resume(void *ctx)
{
	struct double_balloon *balloon = ctx;

	balloon->resumed++;
	balloon->numbers.is_quiesced = false;
}

static void double_flush(void *ctx)
{
	((struct double_balloon *)ctx)->flushed++;
}

static void double_inhibit(void *ctx, uint32_t reasons)
{
	((struct double_balloon *)ctx)->reasons = reasons;
}

static const char *const events[] = { "one", "two", NULL };

static const struct aero_control_stats_ops whole_stats = {
	.request = double_request,
	.sequence = double_sequence,
	.describe = double_status,
	.why_late = double_why_late,
};

static const struct aero_control_ops whole = {
	.name = "double",
	.events = events,
	.numbers = double_numbers,
	.status = double_status,
	.describe_event = double_event,
	.set_target = double_set_target,
	.stats = &whole_stats,
	.hint = double_hint,
	.quiesce = double_quiesce,
	.resume = double_resume,
	.flush = double_flush,
	.inhibit = double_inhibit,
	.reset = double_request,
};

/* What every protocol has, and no more. */
static const struct aero_control_ops bare = {
	.name = "bare double",
	.events = events,
	.numbers = double_numbers,
	.status = double_status,
	.describe_event = double_event,
	.set_target = double_set_target,
};

static struct rig *start(const struct aero_control_ops *ops, struct double_balloon *balloon)
{
	struct rig *rig = rig_new();
	struct aero_error error;

	memset(balloon, 0, sizeof(*balloon));
	rig->ops = ops;
	rig->balloon = balloon;
	if (rig_start_control(rig, &error) != AERO_OK)
		fail_msg("%s", error.text);
	return rig;
}

static void test_missing_members_are_refused_by_name(void **state)
{
	static const char *const requests[][2] = {
		{ "{\"command\":\"stats\"}", "the bare double has no statistics" },
		{ "{\"command\":\"hint\",\"action\":\"start\"}",
		  "the bare double has no free page hinting" },
		{ "{\"command\":\"reset\"}", "the bare double has no reset" },
		{ "{\"command\":\"pause\"}", "the bare double has no pause" },
		{ "{\"command\":\"resume\"}", "the bare double has no pause" },
		{ "{\"command\":\"flush\"}", "the bare double has no flush" },
		{ "{\"command\":\"inhibit\",\"reasons\":[]}", "the bare double has no inhibit" },
	};
	struct double_balloon balloon;
	struct rig *rig = start(&bare, &balloon);
	int fd = rig_client(rig);
	size_t i;

	(void)state;
	for (i = 0; i < TEST_ARRAY_SIZE(requests); i++) {
		rig_ask(rig, fd, requests[i][0], requests[i][1]);
		rig_ask(rig, fd, requests[i][0], "\"code\":\"not_supported\"");
	}
	/* Mistakes in a request are told first. */
	rig_ask(rig, fd, "{\"command\":\"hint\"}", "\"code\":\"missing_member\"");
	rig_ask(rig, fd, "{\"command\":\"status\"}", "\"protocol\":\"double\"");
	close(fd);
	rig_teardown((void **)&rig);
}

static void test_target_is_lowered_to_memory_and_by_the_protocol(void **state)
{
	struct double_balloon balloon;
	struct rig *rig = start(&whole, &balloon);
	int fd = rig_client(rig);

	(void)state;
	balloon.numbers.guest_memory_bytes = 1 << 20;
	balloon.numbers.stall = AERO_HOST_STALL_SHORT;
	rig_ask(rig, fd, "{\"command\":\"target\",\"bytes\":2097152}",
		"\"clamped_from_bytes\":2097152,\"clamped_by\":\"guest_memory\"");
	assert_int_equal(balloon.numbers.target_frames, 256);
	rig_ask(rig, fd, "{\"command\":\"target\",\"bytes\":8191}", "\"stall\":\"short\"");
	assert_int_equal(balloon.numbers.target_frames, 1);
	balloon.answer = AERO_ERANGE;
	rig_ask(rig, fd, "{\"command\":\"target\",\"bytes\":4096}", "\"clamped_by\":\"protocol\"");
	/* Whether it is reached is the balloon's to say. */
	balloon.answer = AERO_OK;
	balloon.numbers.actual_frames = 1;
	rig_ask(rig, fd, "{\"command\":\"target\",\"bytes\":4096}", "\"is_reached\":false");
	balloon.numbers.is_reached = true;
	rig_ask(rig, fd, "{\"command\":\"target\",\"bytes\":4096}", "\"is_reached\":true");
	close(fd);
	rig_teardown((void **)&rig);
}

static void tell(struct rig *rig, int event, enum aero_control_turn turn)
{
	struct aero_control_news news = { event, turn, event < 0 ? NULL : events[event] };

	aero_control_tell(&rig->control, &news);
}

static void test_events_have_the_names_of_the_balloon(void **state)
{
	struct double_balloon balloon;
	struct rig *rig = start(&whole, &balloon);
	int all = rig_client(rig);
	int two = rig_client(rig);

	(void)state;
	rig_ask(rig, all, "{\"command\":\"watch\"}", "\"ok\":true");
	rig_ask(rig, two, "{\"command\":\"watch\",\"events\":[\"two\"]}", "\"ok\":true");
	rig_ask(rig, two, "{\"command\":\"watch\",\"events\":[\"actual\"]}", "no event \\\"actual");
	tell(rig, 0, AERO_CONTROL_NOTHING);
	tell(rig, -1, AERO_CONTROL_NOTHING);
	tell(rig, 1, AERO_CONTROL_NOTHING);
	rig_expect(rig, all, "{\"event\":\"one\",\"time_ms\":");
	rig_expect(rig, all, "{\"event\":\"two\",\"time_ms\":");
	rig_expect(rig, two, "{\"event\":\"two\",\"time_ms\":");
	close(all);
	close(two);
	rig_teardown((void **)&rig);
}

static void test_statistics_end_by_news_by_time_or_at_once(void **state)
{
	struct double_balloon balloon;
	struct rig *rig = start(&whole, &balloon);
	int fd = rig_client(rig);

	(void)state;
	rig_send(rig, fd, "{\"id\":1,\"command\":\"stats\"}\n");
	rig_turn(rig, 5);
	/* Old news. */
	tell(rig, -1, AERO_CONTROL_STATS);
	balloon.sequence++;
	rig_turn(rig, 5);
	tell(rig, -1, AERO_CONTROL_STATS);
	rig_expect(rig, fd, "{\"id\":1,\"ok\":true,\"is_fresh\":true");
	rig_ask(rig, fd, "{\"id\":2,\"command\":\"stats\",\"timeout_ms\":10}",
		"\"is_fresh\":false,\"reason\":\"asleep\",\"reason_text\":\"it sleeps\"");
	rig_send(rig, fd, "{\"id\":3,\"command\":\"stats\"}\n");
	rig_turn(rig, 5);
	tell(rig, -1, AERO_CONTROL_GONE);
	rig_expect(rig, fd, "\"reason\":\"no_driver\"");
	balloon.answer = AERO_ENOTSUP;
	rig_ask(rig, fd, "{\"command\":\"stats\"}", "\"reason\":\"not_negotiated\"");
	close(fd);
	rig_teardown((void **)&rig);
}

static void test_pause_ends_at_once_where_it_rests_already(void **state)
{
	struct double_balloon balloon;
	struct rig *rig = start(&whole, &balloon);
	int fd = rig_client(rig);

	(void)state;
	rig_send(rig, fd, "{\"id\":1,\"command\":\"pause\"}\n");
	rig_turn(rig, 5);
	assert_int_equal(recv(fd, &(char){ 0 }, 1, MSG_PEEK), -1);
	balloon.numbers.is_drained = true;
	tell(rig, -1, AERO_CONTROL_DRAINED);
	rig_expect(rig, fd, "{\"id\":1,\"ok\":true,\"is_paused\":true,\"is_drained\":true");
	/* Nothing tells it once more. */
	rig_ask(rig, fd, "{\"id\":2,\"command\":\"pause\"}", "\"is_drained\":true");
	rig_ask(rig, fd, "{\"command\":\"resume\"}", "\"is_paused\":false");
	assert_int_equal(balloon.resumed, 1);
	close(fd);
	rig_teardown((void **)&rig);
}

static void test_hint_flush_inhibit_reset_reach_the_balloon(void **state)
{
	struct double_balloon balloon;
	struct rig *rig = start(&whole, &balloon);
	int fd = rig_client(rig);

	(void)state;
	rig_ask(rig, fd, "{\"command\":\"hint\",\"action\":\"start\"}", "\"hint_state\":\"begun\"");
	rig_ask(rig, fd, "{\"command\":\"hint\",\"action\":\"stop\"}", "\"text\":\"not stop\"");
	balloon.numbers.pending_frames = 2;
	rig_ask(rig, fd, "{\"command\":\"flush\"}", "\"pending_bytes\":8192");
	assert_int_equal(balloon.flushed, 1);
	rig_ask(rig, fd, "{\"command\":\"inhibit\",\"reasons\":[\"snapshot\"]}",
		"\"inhibited\":[\"snapshot\"]");
	assert_int_equal(balloon.reasons, AERO_INHIBIT_SNAPSHOT);
	rig_ask(rig, fd, "{\"id\":9,\"command\":\"reset\"}", "{\"id\":9,\"ok\":true}");
	balloon.answer = AERO_ESTATE;
	rig_ask(rig, fd, "{\"command\":\"reset\"}", "\"code\":\"no_driver\"");
	close(fd);
	rig_teardown((void **)&rig);
}

/* A virtio device has no such thing: the command is known, and refused. */
static void test_reset_of_virtio_is_refused(void **state)
{
	struct rig *rig = *state;
	int fd = rig_client(rig);

	rig_ask(rig, fd, "{\"command\":\"reset\"}", "the virtio-balloon has no reset");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_missing_members_are_refused_by_name),
		cmocka_unit_test(test_target_is_lowered_to_memory_and_by_the_protocol),
		cmocka_unit_test(test_events_have_the_names_of_the_balloon),
		cmocka_unit_test(test_statistics_end_by_news_by_time_or_at_once),
		cmocka_unit_test(test_pause_ends_at_once_where_it_rests_already),
		cmocka_unit_test(test_hint_flush_inhibit_reset_reach_the_balloon),
		CASE(test_reset_of_virtio_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
