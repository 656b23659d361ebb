/* SPDX-License-Identifier: MIT */
#include "test_vhost_user_rig.h"

/* When rings start, run, are disabled and stop, and what becomes of their descriptors. */

#define STARTED_0                                                                               \
	"start 0 size=128 base=0 desc=0x7f0000001000 avail=0x7f0000002000 used=0x7f0000003000 " \
	"kick=fd"

/* Starting ------------------------------------------------------------------------------------ */

static void feed_need(struct rig *rig, int what)
{
	if (what == 0)
		feed_ok(rig, with_state(8, 1, 0, 128), 0);
	else if (what == 1)
		feed_ok(rig, with_addr(0, 0, 0x7f0000001000, 0x7f0000003000, 0x7f0000002000), 0);
	else if (what == 2)
		feed_ok(rig, with_u64(12, 1, 0), 1);
	else
		feed_ok(rig, with_table(1, 1), 1);
}

/* Size, addresses, kick and memory, in every order of the four. */
static void test_ring_starts_once_it_has_everything_in_any_order(void **state)
{
	(void)state;
	for (int order = 0; order < 24; order++) {
		int left[4] = { 0, 1, 2, 3 };
		int code = order;
		struct rig rig;

		rig_open(&rig);
		negotiate(&rig);
		for (int n = 4; n > 0; n--) {
			int pick = code % n;

			assert_null(strstr(rig.calls, "start"));
			feed_need(&rig, left[pick]);
			code /= n;
			left[pick] = left[n - 1];
		}
		assert_non_null(strstr(rig.calls, STARTED_0 "\n"));
		rig_close(&rig);
	}
}

static void test_ring_disabled_until_enabled_with_protocol_features(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	start_ring(rig, 0);
	assert_string_equal(rig->calls, STARTED_0 "\nenable 0\n");
	rig_forget(rig);
	feed_ok(rig, with_state(18, 1, 0, 1), 0);
	assert_string_equal(rig->calls, "");
	feed_ok(rig, with_state(18, 1, 0, 0), 0);
	feed_ok(rig, with_state(18, 1, 0, 0), 0);
	assert_string_equal(rig->calls, "disable 0\n");
}

static void test_ring_enabled_before_start_starts_enabled(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	feed_ok(rig, with_state(18, 1, 0, 1), 0);
	assert_string_equal(rig->calls, "");
	set_up_ring(rig, 0);
	feed_ok(rig, with_u64(12, 1, 0), 1);
	assert_string_equal(rig->calls, STARTED_0 " enabled\n");
}

static void test_rings_enabled_without_protocol_features(void **state)
{
	struct rig *rig = *state;

	feed_ok(rig, with_u64(2, 1, 0x100000001), 0);
	set_memory(rig);
	set_up_ring(rig, 0);
	feed_ok(rig, with_u64(12, 1, 0), 1);
	assert_string_equal(rig->calls, STARTED_0 " enabled\n");
}

static void test_rings_enabled_by_set_features_without_bit_30(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	set_up_ring(rig, 0);
	feed_ok(rig, with_u64(12, 1, 0), 1);
	rig_forget(rig);
	feed_ok(rig, with_u64(2, 1, 0x100000001), 0);
	assert_string_equal(rig->calls, "set_features 0x100000001\nenable 0\n");
}

static void test_ring_without_kick_descriptor_is_polled(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	set_up_ring(rig, 2);
	feed_ok(rig, with_u64(12, 1, 0x102), 0);
	assert_non_null(strstr(rig->calls, "start 2 "));
	assert_non_null(strstr(rig->calls, "kick=poll"));
	assert_true(aero_vhost_user_ring(&rig->conn, 2)->is_polled);
}

static void test_ring_kick_by_message_starts_and_kicks(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	set_up_ring(rig, 1);
	feed_ok(rig, with_state(35, FLAG_ACK, 1, 0), 0);
	expect_u64(rig, 35, 0);
	assert_non_null(strstr(rig->calls, "kick=message\nkick 1\n"));
	rig_forget(rig);
	feed_ok(rig, with_state(35, 1, 1, 0), 0);
	assert_string_equal(rig->calls, "kick 1\n");
}

static void test_ring_kick_by_message_not_set_up_refused(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	feed_violation(rig, with_state(35, 1, 1, 0), 0, "VRING_KICK: ring 1 is not set up");
}

static void test_ring_start_refused_answers_and_can_be_tried_again(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	set_up_ring(rig, 0);
	rig->answer = AERO_ERANGE;
	feed_ok(rig, with_u64(12, FLAG_ACK, 0), 1);
	expect_u64(rig, 12, 1);
	assert_non_null(strstr(rig->lines, "SET_VRING_KICK: ring 0 does not start: "));
	assert_false(aero_vhost_user_ring(&rig->conn, 0)->is_started);
	rig->answer = AERO_OK;
	rig_forget(rig);
	feed_ok(rig, with_u64(12, 1, 0), 1);
	assert_string_equal(rig->calls, STARTED_0 "\n");
}

static void test_ring_start_refused_without_need_reply_closes(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	set_up_ring(rig, 0);
	rig->answer = AERO_ERANGE;
	assert_int_equal(feed_fds(rig, with_u64(12, 1, 0), 1), AERO_ERANGE);
	assert_non_null(strstr(rig->lines, "ring 0 does not start"));
	assert_non_null(strstr(rig->lines, "; connection closed"));
}

/* Stopping ------------------------------------------------------------------------------------ */

static void test_get_base_stops_and_answers_the_devices_position(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	start_ring(rig, 0);
	rig_forget(rig);
	rig->stop_base = 0x1234;
	expect_base(rig, 0, 0x1234);
	assert_string_equal(rig->calls, "stop 0\n");
	assert_int_equal(aero_vhost_user_ring(&rig->conn, 0)->kick_fd, -1);
	expect_base(rig, 0, 0x1234);
	assert_string_equal(rig->calls, "stop 0\n");
	assert_true(aero_vhost_user_ring(&rig->conn, 0)->is_enabled);
}

static void test_get_base_ignores_its_reserved_number(void **state)
{
	struct rig *rig = *state;

	feed_ok(rig, with_state(10, 1, 3, 0xabcd), 0);
	feed_ok(rig, with_state(11, 1, 3, 0x5555), 0);
	assert_int_equal(rig->out[16], 0xcd);
	assert_int_equal(rig->out[17], 0xab);
}

static void test_get_base_of_fresh_ring(void **state)
{
	struct rig *rig = *state;

	expect_base(rig, 0, 0);
	feed_ok(rig, with_u64(2, 1, 1ull << 34), 0);
	expect_base(rig, 0, 0x80008000);
}

static void test_ring_goes_on_where_it_stopped(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	start_ring(rig, 0);
	rig->stop_base = 77;
	expect_base(rig, 0, 77);
	rig_forget(rig);
	feed_ok(rig, with_u64(12, 1, 0), 1);
	assert_non_null(strstr(rig->calls, "start 0 size=128 base=0x4d "));
	assert_non_null(strstr(rig->calls, " enabled\n"));
}

static void test_fini_stops_started_rings_only(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	start_ring(rig, 1);
	set_up_ring(rig, 2);
	start_ring(rig, 4);
	rig_forget(rig);
	aero_vhost_user_fini(&rig->conn);
	assert_string_equal(rig->calls, "stop 1\nstop 4\n");
}

static void test_reset_device_stops_disables_and_resets(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	start_ring(rig, 0);
	rig_forget(rig);
	feed_ok(rig, head(34, FLAG_ACK, 0), 0);
	expect_u64(rig, 34, 0);
	assert_string_equal(rig->calls, "stop 0\nreset\n");
	assert_int_equal(rig->conn.features, 0);
	assert_false(aero_vhost_user_ring(&rig->conn, 0)->is_enabled);
	assert_int_equal(rig->conn.protocol_features, ALL_PROTOCOL_FEATURES);
}

static void test_status_zero_stops_all_and_is_passed_on(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	start_ring(rig, 0);
	start_ring(rig, 1);
	rig_forget(rig);
	feed_ok(rig, with_u64(39, 1, 0), 0);
	assert_string_equal(rig->calls, "stop 0\nstop 1\nset_status 0\n");
	rig->stop_base = 5;
	expect_base(rig, 0, 0);
}

static void test_reset_owner_disables_all(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	start_ring(rig, 0);
	rig_forget(rig);
	feed_ok(rig, head(4, 1, 0), 0);
	assert_string_equal(rig->calls, "disable 0\n");
}

/* Changes while started ----------------------------------------------------------------------- */

static void test_running_ring_cannot_be_set_up(void **state)
{
	const struct {
		struct bytes b;
		const char *text;
	} cases[] = {
		{ with_state(8, 1, 0, 64), "SET_VRING_NUM: ring 0 runs" },
		{ with_state(10, 1, 0, 0), "SET_VRING_BASE: ring 0 runs" },
		{ with_addr(0, 0, 0x1000, 0x7f0000003000, 0x7f0000002000),
		  "SET_VRING_ADDR: ring 0 runs" },
		{ with_addr(0, 0, 0x7f0000001000, 0x1000, 0x7f0000002000),
		  "SET_VRING_ADDR: ring 0 runs" },
		{ with_addr(0, 0, 0x7f0000001000, 0x7f0000003000, 0x1000),
		  "SET_VRING_ADDR: ring 0 runs" },
		{ with_u64(2, 1, 3), "SET_FEATURES: features change to 0x3 while ring 0 runs" },
	};

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		struct rig rig;

		rig_open(&rig);
		negotiate(&rig);
		set_memory(&rig);
		start_ring(&rig, 0);
		rig_forget(&rig);
		feed_violation(&rig, cases[i].b, 0, cases[i].text);
		assert_string_equal(rig.calls, "");
		rig_close(&rig);
	}
}

static void test_running_ring_same_addresses_accepted(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	start_ring(rig, 0);
	rig_forget(rig);
	feed_ok(rig, with_addr(0, 1, 0x7f0000001000, 0x7f0000003000, 0x7f0000002000), 0);
	assert_string_equal(rig->calls, "");
}

static void test_running_ring_same_features_accepted(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	start_ring(rig, 0);
	rig_forget(rig);
	feed_ok(rig, with_u64(2, 1, 0x100000001 | 1ull << 30), 0);
	assert_string_equal(rig->calls, "set_features 0x100000001\n");
}

static void test_disabled_ring_set_up_anew_stops_first(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	start_ring(rig, 0);
	feed_ok(rig, with_state(18, 1, 0, 0), 0);
	rig_forget(rig);
	rig->stop_base = 33;
	set_up_ring(rig, 0);
	assert_string_equal(rig->calls, "stop 0\n");
	feed_ok(rig, with_u64(12, 1, 0), 1);
	assert_string_equal(rig->calls, "stop 0\n" STARTED_0 "\n");
}

static void test_disabled_rings_stop_when_features_change(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	start_ring(rig, 0);
	feed_ok(rig, with_state(18, 1, 0, 0), 0);
	rig_forget(rig);
	feed_ok(rig, with_u64(2, 1, 3 | 1ull << 30), 0);
	assert_string_equal(rig->calls, "stop 0\nset_features 0x3\n");
}

static void test_kick_replaced_while_started(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	start_ring(rig, 0);
	rig_forget(rig);
	feed_ok(rig, with_u64(12, 1, 0), 1);
	feed_ok(rig, with_u64(12, 1, 0x100), 0);
	feed_ok(rig, with_u64(12, 1, 0), 1);
	assert_string_equal(rig->calls,
			    "kick_changed 0 fd\nkick_changed 0 poll\nkick_changed 0 fd\n");
}

static void test_memory_changes_while_started(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	start_ring(rig, 0);
	rig_forget(rig);
	feed_ok(rig, with_table(1, 1), 1);
	feed_ok(rig, with_region(37, 1), 1);
	assert_null(strstr(rig->calls, "stop"));
	assert_null(strstr(rig->calls, "start"));
	assert_int_equal(aero_vhost_user_ring(&rig->conn, 0)->desc, 0x7f0000001000);
}

/* Values -------------------------------------------------------------------------------------- */

static void test_ring_messages_index_outside_refused(void **state)
{
	static const uint32_t states[] = { 8, 10, 11, 18, 35 };
	static const uint32_t indices[] = { 5, 6, 255, 256, 0xffffffff };
	static const uint32_t fds[] = { 12, 13, 14 };

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(indices); i++) {
		for (size_t k = 0; k < TEST_ARRAY_SIZE(states) + 1; k++) {
			struct rig rig;
			char text[40];

			snprintf(text, sizeof(text), "index is %u, there are 5 rings", indices[i]);
			rig_open(&rig);
			negotiate(&rig);
			feed_violation(&rig,
				       k < TEST_ARRAY_SIZE(states)
					       ? with_state(states[k], 1, indices[i], 1)
					       : with_addr(indices[i], 0, 0, 0, 0),
				       0, text);
			rig_close(&rig);
		}
	}
	for (size_t k = 0; k < TEST_ARRAY_SIZE(fds); k++) {
		struct rig rig;

		rig_open(&rig);
		feed_violation(&rig, with_u64(fds[k], 1, 5), 1, "index is 5, there are 5 rings");
		rig_close(&rig);
	}
}

static void test_ring_messages_bad_value_refused(void **state)
{
	const struct {
		struct bytes b;
		unsigned int fds;
		const char *text;
	} cases[] = {
		{ with_state(8, 1, 0, 0), 0, "SET_VRING_NUM: num is 0, not 1 to 32768" },
		{ with_state(8, 1, 0, 32769), 0, "num is 32769, not 1 to 32768" },
		{ with_state(8, 1, 0, 0xffffffff), 0, "num is 4294967295, not 1 to 32768" },
		{ with_state(8, 1, 0, 100), 0, "num is 100, not a power of two" },
		{ with_state(10, 1, 0, 0x10000), 0, "SET_VRING_BASE: num is 0x10000" },
		{ with_state(18, 1, 0, 2), 0, "SET_VRING_ENABLE: num is 2, not 0 or 1" },
		{ with_addr(0, 2, 0, 0, 0), 0, "SET_VRING_ADDR: flags are 0x2" },
		{ with_addr(0, 0, 8, 0, 0), 0, "descriptor is 0x8: misaligned" },
		{ with_addr(0, 0, 0, 2, 0), 0, "used is 0x2: misaligned" },
		{ with_addr(0, 0, 0, 0, 1), 0, "available is 0x1: misaligned" },
		{ with_u64(12, 1, 0x200), 1, "SET_VRING_KICK: value is 0x200: unknown bits" },
		{ with_u64(13, 1, 1ull << 32), 1, "value is 0x100000000: unknown bits" },
		{ with_u64(14, 1, 1ull << 63), 1, "value is 0x8000000000000000: unknown bits" },
		{ with_u64(12, 1, 0), 0, "value is 0 and there are 0 descriptors" },
		{ with_u64(12, 1, 0x100), 1, "value is 0x100 and there are 1 descriptors" },
		{ with_u64(13, 1, 0), 0, "SET_VRING_CALL: value is 0 and there are 0" },
		{ with_u64(13, 1, 0x100), 1, "SET_VRING_CALL: value is 0x100 and there are 1" },
		{ with_u64(14, 1, 0), 0, "SET_VRING_ERR: value is 0 and there are 0" },
		{ with_u64(14, 1, 0x100), 1, "SET_VRING_ERR: value is 0x100 and there are 1" },
	};

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		struct rig rig;

		rig_open(&rig);
		feed_violation(&rig, cases[i].b, cases[i].fds, cases[i].text);
		assert_string_equal(rig.calls, "");
		rig_close(&rig);
	}
}

static void test_ring_sizes_allowed(void **state)
{
	static const uint32_t split[] = { 1, 2, 256, 32768 };
	static const uint32_t packed[] = { 1, 3, 100, 32767, 32768 };
	struct rig *rig = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(split); i++)
		feed_ok(rig, with_state(8, 1, 0, split[i]), 0);
	feed_ok(rig, with_u64(2, 1, 1ull << 34), 0);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(packed); i++)
		feed_ok(rig, with_state(8, 1, 0, packed[i]), 0);
	assert_int_equal(aero_vhost_user_ring(&rig->conn, 0)->size, 32768);
}

static enum aero_status start_packed(struct rig *rig, uint32_t base)
{
	feed_ok(rig, with_u64(2, 1, 1ull << 34), 0);
	feed_ok(rig, with_table(1, 1), 1);
	feed_ok(rig, with_state(8, 1, 0, 100), 0);
	feed_ok(rig, with_state(10, 1, 0, base), 0);
	feed_ok(rig, with_addr(0, 0, 0x1000, 0x2004, 0x2000), 0);
	rig_forget(rig);
	return feed_fds(rig, with_u64(12, 1, 0), 1);
}

static void test_packed_base_inside_the_ring(void **state)
{
	static const struct {
		uint32_t base;
		enum aero_status status;
	} cases[] = {
		{ 0x80008000, AERO_OK },     { 0x00630063, AERO_OK },
		{ 0x80638063, AERO_OK },     { 0x80008064, AERO_ERANGE },
		{ 0x80648000, AERO_ERANGE }, { 0x7fff0000, AERO_ERANGE },
	};

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		struct rig rig;
		char text[64];

		rig_open(&rig);
		assert_int_equal(start_packed(&rig, cases[i].base), cases[i].status);
		snprintf(text, sizeof(text), "start 0 size=100 base=%#x ", cases[i].base);
		assert_int_equal(strstr(rig.calls, text) != NULL, cases[i].status == AERO_OK);
		rig_close(&rig);
	}
}

static void test_packed_ring_says_so(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(start_packed(rig, 0x80008000), AERO_OK);
	assert_non_null(strstr(rig->calls, " packed"));
	assert_true(aero_vhost_user_ring(&rig->conn, 0)->is_packed);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_ring_starts_once_it_has_everything_in_any_order),
		CASE(test_ring_disabled_until_enabled_with_protocol_features),
		CASE(test_ring_enabled_before_start_starts_enabled),
		CASE(test_rings_enabled_without_protocol_features),
		CASE(test_rings_enabled_by_set_features_without_bit_30),
		CASE(test_ring_without_kick_descriptor_is_polled),
		CASE(test_ring_kick_by_message_starts_and_kicks),
		CASE(test_ring_kick_by_message_not_set_up_refused),
		CASE(test_ring_start_refused_answers_and_can_be_tried_again),
		CASE(test_ring_start_refused_without_need_reply_closes),
		CASE(test_get_base_stops_and_answers_the_devices_position),
		CASE(test_get_base_ignores_its_reserved_number),
		CASE(test_get_base_of_fresh_ring),
		CASE(test_ring_goes_on_where_it_stopped),
		CASE(test_fini_stops_started_rings_only),
		CASE(test_reset_device_stops_disables_and_resets),
		CASE(test_status_zero_stops_all_and_is_passed_on),
		CASE(test_reset_owner_disables_all),
		CASE(test_running_ring_cannot_be_set_up),
		CASE(test_running_ring_same_addresses_accepted),
		CASE(test_running_ring_same_features_accepted),
		CASE(test_disabled_ring_set_up_anew_stops_first),
		CASE(test_disabled_rings_stop_when_features_change),
		CASE(test_kick_replaced_while_started),
		CASE(test_memory_changes_while_started),
		CASE(test_ring_messages_index_outside_refused),
		CASE(test_ring_messages_bad_value_refused),
		CASE(test_ring_sizes_allowed),
		CASE(test_packed_base_inside_the_ring),
		CASE(test_packed_ring_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
