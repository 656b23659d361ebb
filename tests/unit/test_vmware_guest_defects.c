/* SPDX-License-Identifier: MIT */
/* What is wrong in upstream drivers and must not be here: each case is named after one. */
#include "test_vmware_guest_case.h"

/* Each reset in batched mode allocates a new batch page over the old one; unload leaks the last. */
static void test_defect_batch_page_leaked_at_each_reset(void **state)
{
	struct vmware_script *script = *state;
	struct aero_vmware_wire_batch *page;
	uint64_t pages;

	settle(script);
	page = script->drv.page;
	pages = script->sim.pages;
	for (unsigned int i = 0; i < 20; i++) {
		/* In between without batches, and without the page being asked for. */
		script->grants = i % 3 ? 0x3e : 0x02;
		aero_balloon_require_reset(&script->drv.balloon);
		run(script, 2 * SECOND);
		assert_ptr_equal(script->drv.page, page);
		assert_int_equal(script->sim.pages, pages);
	}
	assert_int_equal(get_report(script).stats.reset, 21);
	/* The close of this case sees that none is left. */
}

/* With neither BASIC nor BATCHED the inflate loop asks for zero pages for ever. */
static void test_defect_endless_loop_without_capabilities(void **state)
{
	static const uint32_t none[] = { 0, 0x08, 0x10, 0x20, 0x38, 0x01, 0xc0 };
	struct vmware_script *script = *state;

	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(none); i++) {
		uint64_t calls = script->calls;

		script->grants = none[i];
		script->target = MIB(10);
		run(script, 10 * SECOND);
		assert_stall(script, STALL(UNSUPPORTED));
		assert_in_range(script->calls - calls, 18, 24);
		assert_int_equal(script->sim.counters.alloc_calls, 0);
		assert_false(get_report(script).balloon.is_started);
	}
	/* A host that learned it meanwhile is found out. */
	script->grants = 0x3e;
	run(script, SECOND);
	assert_frames(script, MIB(10));
}

/* All entries name the frame of our own batch page, and one that is the kernel's. */
static void lie(struct vmware_script *script, uint32_t command, struct aero_vmware_registers *regs)
{
	(void)regs;
	if (command < CMD(BATCHED_LOCK) || command > CMD(BATCHED_2M_UNLOCK))
		return;
	for (uint32_t i = 0; i < 512; i++) {
		uint8_t *bytes = (uint8_t *)&script->drv.page->entry[i];
		uint64_t word = (i % 2 ? script->drv.page_frame : 12345) << 12;

		word |= i % 5 == 0 ? AERO_VMWARE_PPN_PINNED : 0;
		for (unsigned int at = 0; at < 8; at++)
			bytes[at] = (uint8_t)(word >> 8 * at);
	}
}

/* The page behind the frame number that comes back is the one that is freed or kept. */
static void test_defect_frame_taken_from_memory_the_host_writes(void **state)
{
	struct vmware_script *script = *state;

	assert_true(sim_port_pin(&script->sim, 12345));
	script->tamper = lie;
	script->grants = CAP(BATCHED);
	settle(script);
	for (unsigned int i = 0; i < 6; i++) {
		/* check() of each step: each frame is where the kernel knows it to be. */
		aim(script, i % 2 ? 0 : 900);
		run(script, SECOND);
		assert_false(aero_pages_has(&script->drv.balloon.pages, 0, 12345));
		assert_int_equal(sim_port_owner(&script->sim, 12345), SIM_OWNER_KERNEL);
		assert_false(aero_pages_has(&script->drv.balloon.pages, 0, script->drv.page_frame));
	}
}

/* 16 TiB and more at a host without 64_BIT_TARGET: nothing is sent, and nothing is said. */
static void test_defect_silent_limit_of_16_tib(void **state)
{
	struct vmware_script *script = *state;

	script->grants = 0x1e;
	script->target = MIB(4);
	run(script, 10 * SECOND);
	assert_stall(script, STALL(LIMIT));
	assert_int_equal(get_report(script).stats.calls[CMD(GET_TARGET)], 0);
	assert_frames(script, 0);
	assert_int_equal(script->sim.counters.logs[AERO_LOG_WARNING], 1);
	assert_string_equal(script->sim.last_log,
			    "vmware balloon: this host serves guests of less than 16 TiB only");
	assert_string_equal(script->events, "started stalled:12");
	/* With it, all is well, and the limit is whole. */
	script->grants = 0x3e;
	aero_balloon_require_reset(&script->drv.balloon);
	forget(script);
	run(script, SECOND);
	assert_non_null(strstr(script->words, "target(100000000,0)"));
	assert_frames(script, MIB(4));
}

static uint64_t managed;

static uint64_t get_managed(void *ctx)
{
	(void)ctx;
	return managed;
}

static void test_limit_just_below_16_tib_is_sent(void **state)
{
	struct vmware_script *script = *state;

	script->sim.port.managed_frames = get_managed;
	managed = 0xffffffff;
	script->grants = 0x1e;
	settle(script);
	assert_non_null(strstr(script->words, "target(ffffffff,0)"));
	managed = 0x100000000;
	forget(script);
	run(script, SECOND);
	assert_string_equal(script->words, "");
	assert_stall(script, STALL(LIMIT));
	managed = 1000;
	run(script, SECOND);
	assert_stall(script, STALL(NONE));
}

static uint32_t refuse_ten(struct vmware_script *script, uint32_t command, aero_frame frame)
{
	(void)script;
	return command == CMD(BATCHED_2M_LOCK) && frame < 10 * 512 ? AERO_VMWARE_PPN_PINNED : 0;
}

/* errFree counts the occasions on which refused pages were freed, not the pages. */
static void test_defect_err_free_counts_releases(void **state)
{
	struct vmware_script *script = *state;

	script->judge = refuse_ten;
	settle(script);
	aim(script, MIB(22));
	assert_frames(script, MIB(22));
	assert_int_equal(get_report(script).stats.refused[1], 10);
	assert_int_equal(get_report(script).stats.refused_free[1], 10);
}

/* Refused pages that come back into the balloon are counted as inflated once more. */
static void test_defect_events_drift_at_refused_unlocks(void **state)
{
	struct vmware_script *script = *state;
	const struct aero_pages_counters *counters = &script->drv.balloon.pages.size[1].counters;

	settle(script);
	aim(script, MIB(20));
	script->ax[CMD(BATCHED_2M_UNLOCK)] = AERO_VMWARE_BUSY;
	aim(script, 0);
	run(script, 20 * SECOND);
	assert_int_equal(counters->inflated, 10);
	assert_int_equal(counters->deflated, 0);
	script->ax[CMD(BATCHED_2M_UNLOCK)] = 0;
	run(script, SECOND);
	assert_int_equal(counters->deflated, 10);
}

/* A doorbell created again by a reset that runs while the driver is being unloaded. */
static void test_defect_doorbell_again_after_cleanup(void **state)
{
	struct vmware_script *script = *state;

	settle(script);
	aim(script, MIB(8));
	assert_true(aero_balloon_isolate(&script->drv.balloon, 9, 512));
	assert_int_equal(aero_balloon_stop(&script->drv.balloon), AERO_EAGAIN);
	forget(script);
	aero_balloon_require_reset(&script->drv.balloon);
	aero_vmware_guest_doorbell(&script->drv);
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(aero_balloon_step(&script->drv.balloon, script->now), AERO_NEVER);
		assert_int_equal(aero_balloon_stop(&script->drv.balloon), AERO_EAGAIN);
	}
	assert_words(script, "");
	assert_int_equal(script->creates, script->destroys);
	aero_balloon_putback(&script->drv.balloon, 9, 512);
}

/* Popping spins while frames are isolated, and migration waits for the lock that pop holds. */
static void test_defect_pop_spins_on_isolated_frames(void **state)
{
	struct vmware_script *script = *state;
	uint64_t calls;

	settle(script);
	aim(script, MIB(8));
	run(script, SECOND);
	assert_true(aero_balloon_isolate(&script->drv.balloon, 9, 512));
	aero_balloon_require_reset(&script->drv.balloon);
	settle(script);
	calls = script->calls;
	assert_stall(script, STALL(ISOLATED));
	assert_int_equal(script->due, script->now + SECOND / 100);
	run(script, SECOND);
	assert_int_equal(script->calls, calls);
	aero_balloon_putback(&script->drv.balloon, 9, 512);
	run(script, SECOND);
	assert_frames(script, MIB(8));
}

/* Full-width AX compared with constants: a monitor that writes EAX only, or sign-extends. */
static void test_defect_status_depends_on_sign_extension(void **state)
{
	static const uint64_t failures[] = { 0xffffffff, UINT64_MAX, 0x5555555500000008 };
	struct vmware_script *script = *state;

	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(failures); i++) {
		script->ax[CMD(GET_TARGET)] = failures[i];
		run(script, SECOND);
		assert_stall(script, STALL(REFUSED));
		script->ax[CMD(GET_TARGET)] = 0;
		run(script, SECOND);
		assert_stall(script, STALL(NONE));
	}
}

/* Without a batch page: START(0), and a second negotiation without batches. */
static void test_batch_page_missing_is_a_downgrade(void **state)
{
	struct vmware_script *script = *state;

	/* The first page is for the engine's list. */
	sim_port_fail(&script->sim, SIM_PORT_PAGE_GET, 2, true);
	settle(script);
	assert_words(script, "doorbellSet(~,~) start(3e,0) start(0,0) start(32,0) create "
			     "doorbellSet(7,400) guestType(1,0) target(4000,0)");
	assert_true(get_report(script).is_downgraded);
	assert_false(get_report(script).is_batched);
	assert_int_equal(get_report(script).used_capabilities, 0x32);
	sim_port_fail(&script->sim, 0, 0, false);
	aim(script, 3);
	assert_words(script, "target(4000,0) lock(0,1) lock(1,1) lock(2,1)");
	/* The next start tries again. */
	run(script, SECOND);
	aero_balloon_require_reset(&script->drv.balloon);
	run(script, SECOND);
	assert_false(get_report(script).is_downgraded);
	assert_true(get_report(script).is_batched);
	assert_int_equal(get_report(script).used_capabilities, 0x3e);
}

static void test_batch_page_missing_and_no_basic_is_tried_again(void **state)
{
	struct vmware_script *script = *state;

	script->grants = CAP(BATCHED) | CAP(BATCHED_2M);
	sim_port_fail(&script->sim, SIM_PORT_PAGE_GET, 2, true);
	settle(script);
	assert_words(script, "doorbellSet(~,~) start(3e,0) start(0,0)");
	assert_stall(script, STALL(NO_MEMORY));
	assert_int_equal(script->due, script->now + SECOND);
	sim_port_fail(&script->sim, 0, 0, false);
	run(script, SECOND);
	assert_stall(script, STALL(NONE));
	assert_true(get_report(script).is_batched);
}

/* RESET and failures in the middle of the downgrade. */
static void test_batch_page_missing_and_the_host_resets(void **state)
{
	(void)state;
	for (uint64_t nth = 2; nth <= 7; nth++) {
		struct vmware_options options = {
			.config = { .guest_type = 1, .capabilities = 0x3e },
		};
		struct vmware_script *script;
		void *own = &options;

		vmware_open(&own);
		script = own;
		sim_port_fail(&script->sim, SIM_PORT_PAGE_GET, 2, true);
		script->at = nth;
		script->at_ax = AERO_VMWARE_RESET;
		settle(script);
		assert_int_equal(script->at, 0);
		sim_port_fail(&script->sim, 0, 0, false);
		script->target = MIB(4);
		run(script, 3 * SECOND);
		assert_frames(script, MIB(4));
		assert_int_equal(script->creates - script->destroys, 1);
		vmware_close(&own);
	}
}

static const struct vmware_options huge = {
	.config = { .capabilities = 0x3e },
	.sim = { .frames = SIM_PORT_GIB(16384) },
};
static const struct vmware_options linux_type = {
	.config = { .guest_type = AERO_VMWARE_GUEST_LINUX, .capabilities = 0x3e },
};

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_defect_batch_page_leaked_at_each_reset, NULL),
		CASE(test_defect_endless_loop_without_capabilities, NULL),
		CASE(test_defect_frame_taken_from_memory_the_host_writes, NULL),
		CASE(test_defect_silent_limit_of_16_tib, &huge),
		CASE(test_limit_just_below_16_tib_is_sent, NULL),
		CASE(test_defect_err_free_counts_releases, NULL),
		CASE(test_defect_events_drift_at_refused_unlocks, NULL),
		CASE(test_defect_doorbell_again_after_cleanup, NULL),
		CASE(test_defect_pop_spins_on_isolated_frames, NULL),
		CASE(test_defect_status_depends_on_sign_extension, NULL),
		CASE(test_batch_page_missing_is_a_downgrade, &linux_type),
		CASE(test_batch_page_missing_and_no_basic_is_tried_again, &linux_type),
		cmocka_unit_test(test_batch_page_missing_and_the_host_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
