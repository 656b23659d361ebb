/* SPDX-License-Identifier: MIT */
/* What the ledger answers and counts; what it discards is in test_ledger_blocks.c. */
#include "test_ledger_rig.h"

#define LIMIT AERO_FRAME_LIMIT

static struct aero_ledger_counters counters(const struct ledger_rig *rig)
{
	return rig->ledger.counters;
}

static void test_init_without_memory_is_refused(void **state)
{
	struct ledger_rig *rig = *state;
	struct aero_host_memory memory = rig->host.memory;
	struct aero_ledger_config config = { &memory, rig->host.nodes, 0 };
	struct aero_ledger ledger;

	memory.is_ram = NULL;
	assert_int_equal(aero_ledger_init(&ledger, &config), AERO_EINVAL);
	memory = rig->host.memory;
	memory.discard = NULL;
	assert_int_equal(aero_ledger_init(&ledger, &config), AERO_EINVAL);
	config.memory = NULL;
	assert_int_equal(aero_ledger_init(&ledger, &config), AERO_EINVAL);
}

static void test_init_checks_orders(void **state)
{
	static const struct {
		struct aero_backing backing;
		enum aero_status status;
	} cases[] = {
		{ { 0, 0 }, AERO_OK },	     { { 0, 9 }, AERO_OK },	 { { 9, 9 }, AERO_OK },
		{ { 18, 18 }, AERO_OK },     { { 9, 0 }, AERO_EINVAL },	 { { 0, 19 }, AERO_EINVAL },
		{ { 19, 19 }, AERO_EINVAL }, { { 18, 9 }, AERO_EINVAL },
	};
	struct ledger_rig *rig = *state;
	struct aero_host_memory memory = rig->host.memory;
	struct aero_ledger_config config = { &memory, rig->host.nodes, 0 };
	struct aero_ledger ledger;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		memory.backing = cases[i].backing;
		assert_int_equal(aero_ledger_init(&ledger, &config), cases[i].status);
		if (cases[i].status == AERO_OK)
			aero_ledger_fini(&ledger);
	}
}

static void test_init_starts_with_requests_and_nothing_held(void **state)
{
	struct ledger_rig *rig = *state;
	struct aero_ledger_config config = { &rig->host.memory, rig->host.nodes, 0 };
	struct aero_ledger ledger;

	assert_int_equal(aero_ledger_init(&ledger, &config), AERO_OK);
	assert_int_equal(ledger.mode, AERO_DISCARD_REQUEST);
	assert_int_equal(aero_ledger_held(&ledger), 0);
	assert_int_equal(aero_ledger_bytes(&ledger), 0);
	assert_int_equal(aero_ledger_due_ns(&ledger), AERO_NEVER);
	assert_false(aero_ledger_discard_whole(&ledger));
	assert_false(aero_ledger_discard_rest(&ledger));
	aero_ledger_fini(&ledger);
}

static void test_give_new_frames_holds_them(void **state)
{
	struct ledger_rig *rig = *state;

	assert_int_equal(rig_give(rig, 100, 256), AERO_OK);
	assert_int_equal(rig_give(rig, 1000, 1), AERO_OK);
	assert_int_equal(aero_ledger_held(&rig->ledger), 257);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 257);
	assert_int_equal(counters(rig).given, 257);
	assert_int_equal(counters(rig).runs, 2);
	assert_int_equal(counters(rig).given_twice, 0);
}

static void test_give_twice_is_told_and_counted(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 100, 10);
	assert_int_equal(rig_give(rig, 100, 10), AERO_EDUP);
	assert_int_equal(rig_give(rig, 95, 10), AERO_EDUP);
	assert_int_equal(rig_give(rig, 109, 2), AERO_EDUP);
	assert_int_equal(counters(rig).given, 16);
	assert_int_equal(counters(rig).given_twice, 16);
	assert_int_equal(aero_ledger_held(&rig->ledger), 16);
}

static void test_give_discarded_frames_again_discards_nothing(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 0, 512);
	rig_discard_whole(rig);
	assert_int_equal(rig_give(rig, 0, 512), AERO_EDUP);
	assert_int_equal(rig_discard_whole(rig) + rig_discard_rest(rig), 0);
	assert_int_equal(rig->host.discards, 1);
}

static void test_give_outside_memory_records_nothing(void **state)
{
	static const struct aero_range outside[] = {
		{ RIG_FRAMES, 1 },	    { LIMIT - 1, 1 },	   { LIMIT, 3 },
		{ UINT64_MAX, 1 },	    { LIMIT, 1ull << 60 }, { UINT64_MAX - 5, 4 },
		{ 1ull << 41, UINT64_MAX },
	};
	struct ledger_rig *rig = *state;
	uint64_t expected = 0;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(outside); i++) {
		assert_int_equal(rig_give(rig, outside[i].first, outside[i].count), AERO_ERANGE);
		expected += outside[i].count;
		assert_int_equal(counters(rig).out_of_range, expected);
	}
	assert_int_equal(aero_ledger_held(&rig->ledger), 0);
	assert_int_equal(rig->host.live_nodes, 0);
}

static void test_give_across_a_hole_records_both_sides(void **state)
{
	struct ledger_rig *rig = *state;

	host_double_clear(&rig->host, range(1000, 24), HOST_DOUBLE_RAM);
	assert_int_equal(rig_give(rig, 900, 300), AERO_ERANGE);
	assert_int_equal(counters(rig).given, 276);
	assert_int_equal(counters(rig).out_of_range, 24);
	assert_int_equal(rig_take(rig, 900, 300), AERO_ERANGE);
	assert_int_equal(counters(rig).returned, 276);
	assert_int_equal(counters(rig).out_of_range, 48);
	assert_int_equal(aero_ledger_held(&rig->ledger), 0);
}

static void test_give_at_the_end_of_memory_is_cut(void **state)
{
	struct ledger_rig *rig = *state;

	assert_int_equal(rig_give(rig, RIG_FRAMES - 3, 8), AERO_ERANGE);
	assert_int_equal(counters(rig).given, 3);
	assert_int_equal(counters(rig).out_of_range, 5);
}

static void test_give_nothing_changes_nothing(void **state)
{
	struct ledger_rig *rig = *state;

	assert_int_equal(rig_give(rig, 5, 0), AERO_OK);
	assert_int_equal(rig_take(rig, 5, 0), AERO_OK);
	assert_int_equal(aero_ledger_held(&rig->ledger), 0);
}

static void test_take_held_frames_returns_them(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 0, 100);
	assert_int_equal(rig_take(rig, 10, 50), AERO_OK);
	assert_int_equal(aero_ledger_held(&rig->ledger), 50);
	assert_int_equal(counters(rig).returned, 50);
	assert_int_equal(counters(rig).cancelled, 50);
}

static void test_take_twice_is_told_and_counted(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 0, 100);
	rig_take(rig, 0, 60);
	assert_int_equal(rig_take(rig, 0, 100), AERO_EDUP);
	assert_int_equal(counters(rig).returned, 100);
	assert_int_equal(counters(rig).returned_twice, 60);
	assert_int_equal(counters(rig).never_given, 0);
}

static void test_take_never_given_is_told_and_counted(void **state)
{
	struct ledger_rig *rig = *state;

	assert_int_equal(rig_take(rig, 0, 10), AERO_ENOENT);
	rig_give(rig, 100, 10);
	assert_int_equal(rig_take(rig, 95, 20), AERO_ENOENT);
	assert_int_equal(counters(rig).never_given, 20);
	assert_int_equal(counters(rig).returned, 10);
	/* Never given is never given, however often it is returned. */
	assert_int_equal(rig_take(rig, 0, 10), AERO_ENOENT);
	assert_int_equal(counters(rig).never_given, 30);
	assert_int_equal(counters(rig).returned_twice, 0);
}

static void test_take_after_a_second_give_is_a_return(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 0, 8);
	rig_take(rig, 0, 8);
	assert_int_equal(rig_give(rig, 0, 8), AERO_OK);
	assert_int_equal(rig_take(rig, 0, 8), AERO_OK);
	assert_int_equal(counters(rig).given, 16);
	assert_int_equal(counters(rig).returned, 16);
	assert_int_equal(counters(rig).returned_twice, 0);
}

static void test_take_costs_nothing_while_pending(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 0, 1024);
	rig_take(rig, 0, 1024);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 0);
	assert_int_equal(counters(rig).cancelled, 1024);
	assert_int_equal(aero_ledger_due_ns(&rig->ledger), AERO_NEVER);
	assert_int_equal(rig_discard_whole(rig) + rig_discard_rest(rig), 0);
	assert_int_equal(rig->host.discards, 0);
}

static void test_take_one_frame_of_a_ready_block_leaves_it_incomplete(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 0, 1024);
	rig_take(rig, 700, 1);
	assert_int_equal(rig_discard_whole(rig), 1);
	assert_int_equal(rig_discarded(rig, 0, 1024), 512);
	assert_int_equal(rig_discard_rest(rig), 2);
	assert_int_equal(rig_discarded(rig, 0, 1024), 1023);
	assert_int_equal(rig_discarded(rig, 700, 1), 0);
}

static void test_due_is_the_idle_time_after_the_last_give(void **state)
{
	struct ledger_rig *rig = *state;

	assert_int_equal(aero_ledger_due_ns(&rig->ledger), AERO_NEVER);
	aero_ledger_give(&rig->ledger, range(0, 1), 5000);
	assert_int_equal(aero_ledger_due_ns(&rig->ledger), 5000 + AERO_LEDGER_IDLE_NS_DEFAULT);
	aero_ledger_give(&rig->ledger, range(9, 1), 7000);
	assert_int_equal(aero_ledger_due_ns(&rig->ledger), 7000 + AERO_LEDGER_IDLE_NS_DEFAULT);
	host_double_set(&rig->host, range(0, 10), HOST_DOUBLE_MAY);
	rig_discard_rest(rig);
	assert_int_equal(aero_ledger_due_ns(&rig->ledger), AERO_NEVER);
}

/* However it came that nothing waits: the bound of those that come later is not the old one's. */
static void test_bound_begins_anew_when_nothing_waits(void **state)
{
	const uint64_t later = 100 * AERO_LEDGER_IDLE_NS_DEFAULT;
	struct ledger_rig *rig = *state;

	host_double_set(&rig->host, range(0, 10), HOST_DOUBLE_MAY);
	aero_ledger_give(&rig->ledger, range(0, 1), 5000);
	/* Once: a device does not ask again where nothing is due. */
	assert_true(aero_ledger_discard_rest(&rig->ledger));
	assert_int_equal(aero_ledger_due_ns(&rig->ledger), AERO_NEVER);
	aero_ledger_give(&rig->ledger, range(2, 1), later);
	assert_int_equal(aero_ledger_due_ns(&rig->ledger), later + AERO_LEDGER_IDLE_NS_DEFAULT);
	assert_int_equal(aero_ledger_take(&rig->ledger, range(2, 1)), AERO_OK);
	aero_ledger_give(&rig->ledger, range(4, 1), 2 * later);
	assert_int_equal(aero_ledger_due_ns(&rig->ledger), 2 * later + AERO_LEDGER_IDLE_NS_DEFAULT);
}

static void test_due_follows_the_configured_idle_time(void **state)
{
	struct ledger_rig *rig = *state;
	struct aero_ledger_config config = { &rig->host.memory, rig->host.nodes, 123 };
	struct aero_ledger ledger;

	assert_int_equal(aero_ledger_init(&ledger, &config), AERO_OK);
	aero_ledger_set_mode(&ledger, AERO_DISCARD_COLLECT);
	aero_ledger_give(&ledger, range(0, 1), 1000);
	assert_int_equal(aero_ledger_due_ns(&ledger), 1123);
	aero_ledger_fini(&ledger);
}

static void test_reset_forgets_frames_and_keeps_counters(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 0, 2000);
	rig_take(rig, 0, 10);
	aero_ledger_reset(&rig->ledger);
	host_double_clear(&rig->host, range(0, RIG_FRAMES), HOST_DOUBLE_MAY);
	assert_int_equal(aero_ledger_held(&rig->ledger), 0);
	assert_int_equal(aero_ledger_bytes(&rig->ledger), 0);
	assert_int_equal(rig->host.live_nodes, 0);
	assert_int_equal(counters(rig).given, 2000);
	assert_int_equal(rig_discard_whole(rig) + rig_discard_rest(rig), 0);
	/* Frames of the guest before are unknown to this one. */
	assert_int_equal(rig_take(rig, 0, 5), AERO_ENOENT);
	assert_int_equal(counters(rig).never_given, 5);
	assert_int_equal(rig_give(rig, 0, 5), AERO_OK);
}

static void test_bytes_are_those_of_the_nodes(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 0, 1);
	assert_int_equal(aero_ledger_bytes(&rig->ledger), rig->host.live_nodes * AERO_NODE_BYTES);
	rig_give(rig, 40000, 5000);
	rig_take(rig, 40000, 1);
	assert_int_equal(aero_ledger_bytes(&rig->ledger), rig->host.live_nodes * AERO_NODE_BYTES);
}

static void test_mode_none_records_and_never_discards(void **state)
{
	struct ledger_rig *rig = *state;

	aero_ledger_set_mode(&rig->ledger, AERO_DISCARD_NONE);
	rig_give(rig, 0, 2048);
	assert_int_equal(aero_ledger_held(&rig->ledger), 2048);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 0);
	assert_int_equal(rig_discard_whole(rig) + rig_discard_rest(rig), 0);
	assert_int_equal(rig_take(rig, 0, 2048), AERO_OK);
}

static void test_mode_frame_discards_each_frame_at_once(void **state)
{
	struct ledger_rig *rig = *state;

	aero_ledger_set_mode(&rig->ledger, AERO_DISCARD_FRAME);
	rig_give(rig, 10, 100);
	assert_int_equal(rig->host.discards, 100);
	assert_int_equal(rig->host.longest, 1);
	assert_int_equal(rig_discarded(rig, 10, 100), 100);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 0);
	aero_ledger_inhibit(&rig->ledger, true);
	rig_give(rig, 200, 5);
	assert_int_equal(rig->host.discards, 100);
	assert_int_equal(counters(rig).dropped, 5);
}

static void test_mode_request_merges_a_request_in_any_order(void **state)
{
	struct ledger_rig *rig = *state;

	aero_ledger_set_mode(&rig->ledger, AERO_DISCARD_REQUEST);
	for (aero_frame frame = 300; frame > 100; frame -= 2)
		rig_give(rig, frame, 1);
	for (aero_frame frame = 101; frame < 300; frame += 2)
		rig_give(rig, frame, 1);
	assert_int_equal(rig_discard_whole(rig), 0);
	assert_int_equal(rig_discard_rest(rig), 1);
	assert_int_equal(rig_discarded(rig, 101, 200), 200);
	assert_int_equal(counters(rig).discard_asked_bytes, 200 * 4096);
	assert_int_equal(counters(rig).discard_freed_bytes, 200 * 4096);
}

static void test_drop_rest_gives_up_on_pending_frames(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 0, 600);
	aero_ledger_drop_rest(&rig->ledger);
	assert_int_equal(counters(rig).dropped, 600);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 0);
	assert_int_equal(aero_ledger_held(&rig->ledger), 600);
	assert_int_equal(rig_discard_whole(rig) + rig_discard_rest(rig), 0);
	assert_int_equal(rig_take(rig, 0, 600), AERO_OK);
	assert_int_equal(counters(rig).cancelled, 0);
}

static void test_inhibit_keeps_frames_pending_until_it_ends(void **state)
{
	struct ledger_rig *rig = *state;

	aero_ledger_inhibit(&rig->ledger, true);
	rig_give(rig, 0, 700);
	assert_int_equal(rig_discard_whole(rig) + rig_discard_rest(rig), 0);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 700);
	rig_take(rig, 600, 100);
	aero_ledger_inhibit(&rig->ledger, false);
	assert_int_equal(rig_discard_whole(rig), 1);
	assert_int_equal(rig_discard_rest(rig), 1);
	assert_int_equal(rig_discarded(rig, 0, 700), 600);
}

static void test_discard_failure_is_counted_and_not_repeated(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 0, 1024);
	rig_give(rig, 2000, 7);
	host_double_fail(&rig->host, HOST_DOUBLE_DISCARD, 1, true);
	assert_int_equal(rig_discard_whole(rig), 1);
	assert_int_equal(rig_discard_rest(rig), 1);
	assert_int_equal(counters(rig).discards, 2);
	assert_int_equal(counters(rig).discard_failures, 2);
	assert_int_equal(counters(rig).discard_asked_bytes, 0);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 0);
	assert_int_equal(aero_ledger_held(&rig->ledger), 1031);
	assert_int_equal(rig_take(rig, 0, 1024), AERO_OK);
}

static enum aero_status boast(void *ctx, struct aero_range r, uint64_t *out_freed_bytes)
{
	(void)ctx;
	(void)r;
	*out_freed_bytes = UINT64_MAX;
	return AERO_OK;
}

static void test_freed_is_never_more_than_asked(void **state)
{
	struct ledger_rig *rig = *state;

	rig->host.memory.discard = boast;
	rig_give(rig, 0, 512);
	rig_discard_whole(rig);
	assert_int_equal(counters(rig).discard_freed_bytes, 512 * 4096);
}

static void test_memory_gone_is_not_discarded(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 0, 512);
	rig_give(rig, 1024, 512);
	rig_give(rig, 3000, 8);
	host_double_clear(&rig->host, range(1024, 2000), HOST_DOUBLE_RAM);
	aero_ledger_memory_changed(&rig->ledger);
	rig_discard_whole(rig);
	rig_discard_rest(rig);
	assert_int_equal(rig->host.discarded_frames, 512);
	assert_int_equal(counters(rig).dropped, 520);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 0);
	assert_int_equal(rig_give(rig, 1024, 1), AERO_ERANGE);
}

static void test_memory_changed_finds_new_memory(void **state)
{
	struct ledger_rig *rig = *state;

	host_double_clear(&rig->host, range(1000, RIG_FRAMES), HOST_DOUBLE_RAM);
	assert_int_equal(rig_give(rig, 900, 101), AERO_ERANGE);
	host_double_set(&rig->host, range(1000, 1000), HOST_DOUBLE_RAM);
	aero_ledger_memory_changed(&rig->ledger);
	assert_int_equal(rig_give(rig, 1000, 1000), AERO_OK);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_init_without_memory_is_refused),
		CASE(test_init_checks_orders),
		CASE(test_init_starts_with_requests_and_nothing_held),
		CASE(test_give_new_frames_holds_them),
		CASE(test_give_twice_is_told_and_counted),
		CASE(test_give_discarded_frames_again_discards_nothing),
		CASE(test_give_outside_memory_records_nothing),
		CASE(test_give_across_a_hole_records_both_sides),
		CASE(test_give_at_the_end_of_memory_is_cut),
		CASE(test_give_nothing_changes_nothing),
		CASE(test_take_held_frames_returns_them),
		CASE(test_take_twice_is_told_and_counted),
		CASE(test_take_never_given_is_told_and_counted),
		CASE(test_take_after_a_second_give_is_a_return),
		CASE(test_take_costs_nothing_while_pending),
		CASE(test_take_one_frame_of_a_ready_block_leaves_it_incomplete),
		CASE(test_due_is_the_idle_time_after_the_last_give),
		CASE(test_bound_begins_anew_when_nothing_waits),
		CASE(test_due_follows_the_configured_idle_time),
		CASE(test_reset_forgets_frames_and_keeps_counters),
		CASE(test_bytes_are_those_of_the_nodes),
		CASE(test_mode_none_records_and_never_discards),
		CASE(test_mode_frame_discards_each_frame_at_once),
		CASE(test_mode_request_merges_a_request_in_any_order),
		CASE(test_drop_rest_gives_up_on_pending_frames),
		CASE(test_inhibit_keeps_frames_pending_until_it_ends),
		CASE(test_discard_failure_is_counted_and_not_repeated),
		CASE(test_freed_is_never_more_than_asked),
		CASE(test_memory_gone_is_not_discarded),
		CASE(test_memory_changed_finds_new_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
