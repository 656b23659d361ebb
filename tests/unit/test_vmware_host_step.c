/* SPDX-License-Identifier: MIT */
/* When the VMware host discards, when it rests, and how it says that it is. */
#include "test_vmware_host_case.h"

#define IDLE AERO_LEDGER_IDLE_NS_DEFAULT
#define SECOND 1000000000ull

static void test_calls_do_not_discard(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 512, 512, 100), 0);
	assert_int_equal(rig->host.discards, 0);
	assert_int_equal(case_report(rig).pending_frames, 51200);
	/* 32 MiB a piece, and it says that there is more. */
	assert_int_equal(aero_vmware_host_step(&rig->dev, rig->now), rig->now);
	assert_int_equal(rig->host.discards, 1);
	assert_int_equal(rig->host.longest, AERO_LEDGER_DISCARD_FRAMES);
	vmware_host_rig_run(rig);
	assert_int_equal(rig->host.discards, 7);
	assert_int_equal(vmware_host_rig_discarded(rig, 512, 51200), 51200);
	assert_int_equal(case_report(rig).pending_frames, 0);
	assert_int_equal(aero_vmware_host_step(&rig->dev, rig->now), AERO_NEVER);
}

static void test_blocks_are_collected_over_calls(void **state)
{
	struct vmware_host_rig *rig = *state;

	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 2048 + 100 * i, 1, 100), 0);
		vmware_host_rig_run(rig);
		assert_int_equal(rig->host.discards, 0);
	}
	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 2348, 1, 300), 0);
	vmware_host_rig_run(rig);
	assert_int_equal(rig->host.discards, 1);
	assert_int_equal(vmware_host_rig_discarded(rig, 2048, 600), 512);
	/* The rest is given up on after a while, at the time that step() answers. */
	assert_int_equal(aero_vmware_host_step(&rig->dev, rig->now), rig->now + IDLE);
	case_pass(rig, IDLE);
	assert_int_equal(vmware_host_rig_discarded(rig, 2048, 600), 600);
	assert_int_equal(rig->host.discards, 2);
}

static void test_frames_back_before_the_discard_cost_none(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 1024, 512, 4), 0);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_UNLOCK), 1024, 512, 4), 0);
	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 9000, -1, 300), 0);
	assert_int_equal(batch(rig, CMD(BATCHED_UNLOCK), 9000, -1, 300), 0);
	case_pass(rig, 10 * IDLE);
	assert_int_equal(rig->host.discards, 0);
	assert_int_equal(rig->dev.ledger.counters.cancelled, 2348);
}

static void test_reaching_the_target_discards_the_rest(void **state)
{
	struct vmware_host_rig *rig = *state;

	vmware_host_rig_target(rig, 20);
	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 1000, 2, 10), 0);
	vmware_host_rig_run(rig);
	assert_int_equal(rig->host.discards, 0);
	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 1001, 2, 10), 0);
	vmware_host_rig_run(rig);
	assert_int_equal(rig->host.discards, 1);
	assert_int_equal(vmware_host_rig_discarded(rig, 1000, 20), 20);
}

static void test_flush_discards_the_rest_once(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 1000, 1, 10), 0);
	aero_vmware_host_flush(&rig->dev);
	vmware_host_rig_run(rig);
	assert_int_equal(vmware_host_rig_discarded(rig, 1000, 10), 10);
	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 2000, 1, 10), 0);
	vmware_host_rig_run(rig);
	assert_int_equal(vmware_host_rig_discarded(rig, 2000, 10), 0);
	/* One from before the guest went is not one for the next guest. */
	aero_vmware_host_flush(&rig->dev);
	vmware_host_rig_forget(rig);
	vmware_host_rig_start(rig, 0x3e);
	vmware_host_rig_target(rig, 1000);
	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 2000, 1, 10), 0);
	vmware_host_rig_run(rig);
	assert_int_equal(vmware_host_rig_discarded(rig, 2000, 10), 0);
}

static void test_huge_pages_are_discarded_whole_only(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 5120, 1, 511), 0);
	case_pass(rig, 10 * IDLE);
	assert_int_equal(rig->host.discards, 0);
	assert_int_equal(call(rig, CMD(LOCK), 5120 + 511, 1), 0);
	vmware_host_rig_run(rig);
	assert_int_equal(rig->host.discards, 1);
	assert_int_equal(rig->host.longest, 512);
}

static void test_modes_that_do_not_collect(void **state)
{
	struct vmware_host_rig *rig = *state;
	enum aero_discard_mode mode = rig->options.mode;

	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 1000, 1, 10), 0);
	assert_int_equal(rig->host.discards, mode == AERO_DISCARD_FRAME ? 10 : 0);
	vmware_host_rig_run(rig);
	if (mode == AERO_DISCARD_REQUEST)
		assert_int_equal(rig->host.discards, 1);
	assert_int_equal(vmware_host_rig_discarded(rig, 1000, 10),
			 mode == AERO_DISCARD_NONE ? 0 : 10);
	assert_int_equal(case_report(rig).pending_frames, 0);
	assert_int_equal(case_report(rig).mode, mode);
	vmware_host_rig_pause(rig, true);
	vmware_host_rig_run(rig);
	assert_true(case_report(rig).is_drained);
}

static void test_quiesced_it_drains_and_rests(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 512, 512, 50), 0);
	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 40000, 3, 100), 0);
	vmware_host_rig_pause(rig, true);
	assert_false(case_report(rig).is_drained);
	assert_int_equal(rig->events[EVENT(DRAINED)], 0);
	vmware_host_rig_run(rig);
	assert_int_equal(rig->events[EVENT(DRAINED)], 1);
	assert_true(case_report(rig).is_drained);
	assert_int_equal(case_report(rig).pending_frames, 0);
	/* From here on nothing may touch memory. */
	rig->host.is_frozen = true;
	assert_int_equal(call(rig, CMD(BATCHED_LOCK), VMWARE_RIG_PAGE, 5), AERO_VMWARE_BUSY);
	aero_vmware_host_flush(&rig->dev);
	case_pass(rig, 10 * SECOND);
	assert_int_equal(rig->events[EVENT(DRAINED)], 1);
	vmware_host_rig_pause(rig, false);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 51200, 512, 5), 0);
	vmware_host_rig_run(rig);
	assert_int_equal(vmware_host_rig_discarded(rig, 51200, 2560), 2560);
	/* The second time is told as well. */
	vmware_host_rig_pause(rig, true);
	vmware_host_rig_run(rig);
	assert_int_equal(rig->events[EVENT(DRAINED)], 2);
}

static void test_inhibited_memory_stays_until_it_is_permitted(void **state)
{
	struct vmware_host_rig *rig = *state;

	aero_vmware_host_inhibit(&rig->dev, AERO_INHIBIT_PASSTHROUGH | AERO_INHIBIT_SNAPSHOT);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 512, 512, 5), 0);
	assert_int_equal(call(rig, CMD(LOCK), 9999, 1), 0);
	case_pass(rig, 10 * SECOND);
	assert_int_equal(aero_vmware_host_step(&rig->dev, rig->now), AERO_NEVER);
	assert_int_equal(rig->host.discards, 0);
	assert_int_equal(case_report(rig).inhibited, 10);
	assert_int_equal(case_report(rig).pending_frames, 2561);
	/* Then it is at rest at once. */
	vmware_host_rig_pause(rig, true);
	vmware_host_rig_run(rig);
	assert_int_equal(rig->events[EVENT(DRAINED)], 1);
	vmware_host_rig_pause(rig, false);
	aero_vmware_host_inhibit(&rig->dev, 0);
	vmware_host_rig_run(rig);
	assert_int_equal(rig->host.discarded_frames, 2561);
}

static void test_memory_that_went_is_not_discarded(void **state)
{
	struct vmware_host_rig *rig = *state;
	struct aero_range gone = { 1024, 512 };

	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 512, 512, 3), 0);
	host_double_clear(&rig->host, gone, HOST_DOUBLE_RAM);
	aero_vmware_host_memory_changed(&rig->dev);
	vmware_host_rig_run(rig);
	assert_int_equal(vmware_host_rig_discarded(rig, 1024, 512), 0);
	assert_int_equal(rig->dev.ledger.counters.dropped, 3 * 512);
	assert_int_equal(case_report(rig).actual_frames, 3 * 512);
}

static void test_nobody_is_stalled_without_a_target(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_NONE);
	vmware_host_rig_target(rig, 100);
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_NO_DRIVER);
	vmware_host_rig_start(rig, 0x3e);
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_WORKING);
	vmware_host_rig_pause(rig, true);
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_PAUSED);
	vmware_host_rig_pause(rig, false);
	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 1000, 1, 100), 0);
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_NONE);
}

static void test_a_guest_that_does_not_call_is_silent(void **state)
{
	struct vmware_host_rig *rig = *state;

	vmware_host_rig_target(rig, 100);
	case_pass(rig, 0);
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_WORKING);
	case_pass(rig, 5 * SECOND);
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_SILENT);
	assert_int_equal(call(rig, CMD(GET_TARGET), 1, 0), 0);
	/* It speaks, and has none to give. */
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_SHORT);
	assert_int_equal(call(rig, CMD(LOCK), 1000, 1), 0);
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_WORKING);
	rig->now += 4 * SECOND;
	assert_int_equal(call(rig, CMD(GET_TARGET), 1, 0), 0);
	rig->now += 4 * SECOND;
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_SHORT);
	assert_int_equal(call(rig, CMD(UNLOCK), 1000, 1), 0);
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_SHRINKING);
	/* Giving and taking the same frame again and again is no progress. */
	assert_int_equal(call(rig, CMD(LOCK), 1000, 1), 0);
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_SHORT);
}

static void test_a_guest_that_keeps_too_much_out_is_seen(void **state)
{
	struct vmware_host_rig *rig = *state;

	vmware_host_rig_target(rig, 5000);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 512, 512, 10), 0);
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_NONE);
	vmware_host_rig_target(rig, 0);
	case_pass(rig, 0);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_UNLOCK), 512, 512, 1), 0);
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_WORKING);
	rig->now += 6 * SECOND;
	assert_int_equal(call(rig, CMD(GET_TARGET), 1, 0), 0);
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_SILENT);
}

static void test_discards_that_fail_are_counted(void **state)
{
	struct vmware_host_rig *rig = *state;

	host_double_fail(&rig->host, HOST_DOUBLE_DISCARD, 1, true);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 512, 512, 5), 0);
	case_pass(rig, IDLE);
	assert_int_equal(rig->dev.ledger.counters.discard_failures, 1);
	assert_int_equal(case_report(rig).actual_frames, 2560);
	assert_int_equal(aero_vmware_host_step(&rig->dev, rig->now), AERO_NEVER);
}

int main(void)
{
	static struct vmware_host_rig_options huge = { .backing = { 9, 9 } };
	static struct vmware_host_rig_options request = { .mode = AERO_DISCARD_REQUEST };
	static struct vmware_host_rig_options frame = { .mode = AERO_DISCARD_FRAME };
	static struct vmware_host_rig_options none = { .mode = AERO_DISCARD_NONE };
	const struct CMUnitTest tests[] = {
		CASE(test_calls_do_not_discard, NULL),
		CASE(test_blocks_are_collected_over_calls, NULL),
		CASE(test_frames_back_before_the_discard_cost_none, NULL),
		CASE(test_reaching_the_target_discards_the_rest, NULL),
		CASE(test_flush_discards_the_rest_once, NULL),
		CASE(test_huge_pages_are_discarded_whole_only, &huge),
		CASE(test_modes_that_do_not_collect, &request),
		CASE(test_modes_that_do_not_collect, &frame),
		CASE(test_modes_that_do_not_collect, &none),
		CASE(test_quiesced_it_drains_and_rests, NULL),
		CASE(test_inhibited_memory_stays_until_it_is_permitted, NULL),
		CASE(test_memory_that_went_is_not_discarded, NULL),
		CASE_OPEN(test_nobody_is_stalled_without_a_target, NULL),
		CASE(test_a_guest_that_does_not_call_is_silent, NULL),
		CASE(test_a_guest_that_keeps_too_much_out_is_seen, NULL),
		CASE(test_discards_that_fail_are_counted, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
