/* SPDX-License-Identifier: MIT */
/* VMware's driver about itself: every counter, and when counting begins. */
#include "test_vmware_guest_case.h"

static const struct aero_vmware_guest_stats nothing;

static void assert_stats(struct vmware_script *script, const struct aero_vmware_guest_stats *should)
{
	struct aero_vmware_guest_report report = get_report(script);
	const uint64_t *a = (const uint64_t *)&report.stats, *b = (const uint64_t *)should;

	for (size_t i = 0; i < sizeof(*should) / sizeof(*a); i++)
		if (a[i] != b[i])
			fail_msg("counter %u is %llu, not %llu", (unsigned int)i,
				 (unsigned long long)a[i], (unsigned long long)b[i]);
}

static void test_capabilities_asked_for_are_those_of_the_registers(void **state)
{
	struct vmware_script *script = *state;

	assert_int_equal(get_report(script).known_capabilities,
			 sizeof(uintptr_t) == 8 ? 0x3e : 0x1e);
	settle(script);
	assert_int_equal(get_report(script).used_capabilities,
			 sizeof(uintptr_t) == 8 ? 0x3e : 0x1e);
}

static void test_counters_of_a_plain_life(void **state)
{
	struct vmware_script *script = *state;
	struct aero_vmware_guest_stats stats = nothing;
	uint64_t came;

	settle(script);
	stats.calls[CMD(DOORBELL_SET)] = 2;
	stats.calls[CMD(START)] = stats.calls[CMD(GUEST_ID)] = stats.calls[CMD(GET_TARGET)] = 1;
	stats.reset = stats.timer = 1;
	assert_stats(script, &stats);
	/* Three blocks; the timer counts rounds, whoever began them. */
	aim(script, MIB(6));
	stats.doorbell = 1;
	stats.timer++;
	stats.calls[CMD(GET_TARGET)]++;
	stats.calls[CMD(BATCHED_2M_LOCK)] = 1;
	stats.alloc[1] = 3;
	assert_stats(script, &stats);
	/* Frames, after a block that could not be had. */
	sim_port_fragment(&script->sim, 1000);
	aim(script, MIB(6) + 700);
	stats.doorbell++;
	stats.timer++;
	stats.calls[CMD(GET_TARGET)]++;
	stats.alloc[1]++;
	stats.alloc_fail[1] = 1;
	stats.alloc[0] = 700;
	stats.calls[CMD(BATCHED_LOCK)] = 2;
	assert_stats(script, &stats);
	/* Pressure. */
	assert_int_equal(aero_balloon_reclaim(&script->drv.balloon, AERO_RECLAIM_PRESSURE, 800,
					      script->now, &came),
			 AERO_OK);
	assert_int_equal(came, 700 + 512);
	stats.shrink = 1;
	stats.shrink_free = 1212;
	stats.calls[CMD(BATCHED_UNLOCK)] = 2;
	stats.calls[CMD(BATCHED_2M_UNLOCK)] = 1;
	stats.freed[0] = 700;
	stats.freed[1] = 1;
	assert_stats(script, &stats);
	/* And out. */
	aim(script, 0);
	stats.doorbell++;
	stats.timer++;
	stats.calls[CMD(GET_TARGET)]++;
	stats.calls[CMD(BATCHED_2M_UNLOCK)]++;
	stats.freed[1] = 3;
	assert_stats(script, &stats);
}

static void test_counters_of_failures(void **state)
{
	struct vmware_script *script = *state;
	struct aero_vmware_guest_stats before, after;

	settle(script);
	before = get_report(script).stats;
	/* A refused reclaim counts, and frees nothing. */
	aim(script, MIB(4));
	script->ax[CMD(BATCHED_2M_UNLOCK)] = AERO_VMWARE_PPN_UNLOCKED;
	assert_int_equal(aero_balloon_reclaim(&script->drv.balloon, AERO_RECLAIM_OOM, 1024,
					      script->now, &(uint64_t){ 0 }),
			 AERO_EREFUSED);
	after = get_report(script).stats;
	assert_int_equal(after.shrink, before.shrink + 1);
	assert_int_equal(after.shrink_free, 0);
	assert_int_equal(after.freed[1], 0);
	/* errAlloc counts on the way out as well. */
	assert_int_equal(after.refused[1], 2);
	assert_int_equal(after.refused_free[1], 0);
	assert_int_equal(after.failed[CMD(BATCHED_2M_UNLOCK)], 1);
	/* No memory. */
	script->ax[CMD(BATCHED_2M_UNLOCK)] = 0;
	run(script, 6 * SECOND);
	script->sim.reclaim_floor = MIB(64);
	before = get_report(script).stats;
	aim(script, MIB(10));
	after = get_report(script).stats;
	assert_int_equal(after.alloc[0] - before.alloc[0], 1);
	assert_int_equal(after.alloc_fail[0] - before.alloc_fail[0], 1);
	assert_int_equal(after.alloc[1] - before.alloc[1], 1);
	assert_int_equal(after.alloc_fail[1] - before.alloc_fail[1], 1);
	/* Emptying at a reset is freeing too. */
	aero_balloon_require_reset(&script->drv.balloon);
	settle(script);
	assert_int_equal(get_report(script).stats.freed[1], 2);
	assert_int_equal(get_report(script).stats.reset, 2);
}

/* Each command's own counters, and RESET is a failure of it too. */
static void test_each_command_counts_its_failures(void **state)
{
	static const uint32_t at_start[] = { CMD(START), CMD(GET_TARGET), CMD(GUEST_ID),
					     CMD(DOORBELL_SET) };

	(void)state;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(at_start); i++) {
		struct aero_vmware_guest_stats stats;
		struct vmware_script *script;
		void *own = NULL;

		vmware_open(&own);
		script = own;
		script->ax[at_start[i]] = i % 2 ? AERO_VMWARE_RESET : AERO_VMWARE_BUSY;
		step(script);
		step(script);
		stats = get_report(script).stats;
		for (uint32_t command = 0; command < AERO_VMWARE_CMD_COUNT; command++) {
			if (command == at_start[i])
				assert_true(stats.failed[command] > 0);
			else
				assert_int_equal(stats.failed[command], 0);
			assert_true(stats.failed[command] <= stats.calls[command]);
		}
		script->ax[at_start[i]] = 0;
		vmware_close(&own);
	}
}

static void test_counting_late_begins_with_the_first_report(void **state)
{
	struct vmware_script *script = *state;
	struct aero_vmware_guest_stats stats = nothing;

	settle(script);
	aim(script, MIB(6));
	aim(script, 0);
	assert_stats(script, &nothing);
	assert_stats(script, &nothing);
	aim(script, MIB(6));
	stats.doorbell = stats.timer = 1;
	stats.calls[CMD(GET_TARGET)] = stats.calls[CMD(BATCHED_2M_LOCK)] = 1;
	stats.alloc[1] = 3;
	assert_stats(script, &stats);
	/* What is no counter is told as it is. */
	assert_int_equal(get_report(script).balloon.actual_frames, MIB(6));
	assert_int_equal(get_report(script).balloon.target_frames, MIB(6));
}

static void test_counting_late_begins_with_the_first_text(void **state)
{
	struct vmware_script *script = *state;
	char text[2048];

	settle(script);
	aim(script, MIB(6));
	aero_vmware_guest_report_text(&script->drv, text, sizeof(text));
	assert_non_null(strstr(text, "doorbell              :                0\n"));
	assert_non_null(strstr(text, "current               :             1536\n"));
	aim(script, 0);
	aero_vmware_guest_report_text(&script->drv, text, sizeof(text));
	assert_non_null(strstr(text, "doorbell              :                1\n"));
	assert_non_null(strstr(text, "free              (2M):                3\n"));
}

static void test_counting_rings_wraps_with_nobody_noticing(void **state)
{
	struct vmware_script *script = *state;

	script->drv.rings = UINT32_MAX - 1;
	script->drv.rings_seen = UINT32_MAX - 1;
	for (unsigned int i = 0; i < 5; i++)
		aero_vmware_guest_doorbell(&script->drv);
	assert_int_equal(get_report(script).stats.doorbell, 5);
}

static void test_report_says_what_was_negotiated(void **state)
{
	struct vmware_script *script = *state;
	struct aero_vmware_guest_report report = get_report(script);

	assert_false(report.has_doorbell || report.is_batched || report.is_downgraded);
	assert_false(report.balloon.is_started);
	assert_true(report.balloon.is_resetting);
	assert_int_equal(report.used_capabilities, 0);
	assert_int_equal(report.balloon.metadata_bytes, 0);
	settle(script);
	report = get_report(script);
	assert_true(report.has_doorbell && report.is_batched && !report.is_downgraded);
	assert_true(report.balloon.is_started && !report.balloon.is_resetting);
	/* The list of the engine, and the batch page. */
	assert_int_equal(report.balloon.metadata_bytes, 2 * 4096);
	aim(script, MIB(6));
	assert_int_equal(get_report(script).balloon.metadata_bytes, script->sim.pages * 4096);
	script->grants = CAP(BASIC);
	aero_balloon_require_reset(&script->drv.balloon);
	run(script, SECOND);
	report = get_report(script);
	assert_false(report.has_doorbell || report.is_batched || report.is_downgraded);
	assert_int_equal(report.used_capabilities, 2);
	assert_int_equal(report.balloon.actual_frames, MIB(6));
}

static const struct vmware_options late = { .config = { .are_stats_late = true } };

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_capabilities_asked_for_are_those_of_the_registers, NULL),
		CASE(test_counters_of_a_plain_life, NULL),
		CASE(test_counters_of_failures, NULL),
		cmocka_unit_test(test_each_command_counts_its_failures),
		CASE(test_counting_late_begins_with_the_first_report, &late),
		CASE(test_counting_late_begins_with_the_first_text, &late),
		CASE(test_counting_rings_wraps_with_nobody_noticing, NULL),
		CASE(test_report_says_what_was_negotiated, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
