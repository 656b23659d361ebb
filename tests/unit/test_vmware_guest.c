/* SPDX-License-Identifier: MIT */
/* VMware's driver: negotiation, doorbell, target, and the protocol's end. */
#include "test_vmware_guest_case.h"

/* What a 64-bit guest asks for, and a 32-bit one. */
#define ASKED (sizeof(uintptr_t) == 8 ? "3e" : "1e")

static const char *with_asked(const char *format)
{
	static char text[400];

	snprintf(text, sizeof(text), format, ASKED, ASKED);
	return text;
}

static void test_init_bad_configurations_are_refused(void **state)
{
	struct vmware_script script, other;
	struct aero_vmware_bus bus;

	(void)state;
	assert_int_equal(vmware_script_open(&other, NULL, NULL), AERO_OK);
#define REFUSED(...)                                                                       \
	do {                                                                               \
		struct aero_vmware_guest_config config = { __VA_ARGS__ };                  \
		assert_int_equal(vmware_script_open(&script, &config, NULL), AERO_EINVAL); \
		vmware_script_drop(&script);                                               \
	} while (0)
	bus = other.bus;
	bus.call = NULL;
	REFUSED(.bus = &bus);
	bus = other.bus;
	bus.doorbell_create = NULL;
	REFUSED(.bus = &bus);
	bus = other.bus;
	bus.doorbell_destroy = NULL;
	REFUSED(.bus = &bus);
	REFUSED(.capabilities = 0x3f);
	REFUSED(.capabilities = 0x01);
	REFUSED(.capabilities = 0x40);
	REFUSED(.capabilities = 0x80000002);
	REFUSED(.balloon = { .batches = 17 });
	assert_null(vmware_script_close(&other));
}

static void test_init_bus_is_required(void **state)
{
	struct aero_vmware_guest_config config = { .guest_type = 1 };
	struct aero_vmware_guest drv;

	(void)state;
	assert_int_equal(aero_vmware_guest_init(&drv, &config), AERO_EINVAL);
}

/* spec 8: doorbell cleanup always, START, doorbell, GUEST_ID, GET_TARGET with the limit. */
static void test_start_sequence_is_exact(void **state)
{
	struct vmware_script *script = *state;

	assert_words(script, "");
	settle(script);
	assert_words(script, with_asked("doorbellSet(~,~) start(%s,0) create doorbellSet(7,400) "
					"guestType(1,0) target(4000,0)"));
	assert_int_equal(script->due, 2 * SECOND);
	assert_true(script->drv.has_doorbell);
}

static void test_reset_sequence_is_exact(void **state)
{
	struct vmware_script *script = *state;

	settle(script);
	aim(script, MIB(6));
	run(script, SECOND);
	forget(script);
	script->ax[CMD(GET_TARGET)] = AERO_VMWARE_RESET;
	aero_vmware_guest_doorbell(&script->drv);
	step(script);
	script->ax[CMD(GET_TARGET)] = 0;
	settle(script);
	/* The old doorbell goes first, all frames without UNLOCK, then as at the beginning. */
	assert_words(script,
		     with_asked("target(4000,0) doorbellSet(~,~) destroy start(%s,0) create "
				"doorbellSet(7,400) guestType(1,0) target(4000,0) "
				"2m-lock(P,3)"));
	assert_string_equal(script->events, "stalled:10 reset:1536 started reached:1536");
	assert_frames(script, MIB(6));
	assert_int_equal(get_report(script).stats.reset, 2);
}

static void test_stop_sequence_is_exact(void **state)
{
	struct vmware_script *script = *state;

	settle(script);
	aim(script, MIB(6));
	forget(script);
	assert_int_equal(aero_balloon_stop(&script->drv.balloon), AERO_EAGAIN);
	/* Before the first frame is used again the host has forgotten all. */
	assert_words(script, "doorbellSet(~,~) destroy start(0,0)");
	assert_frames(script, 0);
	assert_int_equal(aero_balloon_stop(&script->drv.balloon), AERO_OK);
	assert_words(script, "");
	assert_int_equal(script->destroys, script->creates);
	assert_int_equal(get_report(script).used_capabilities, 0);
}

static void test_start_old_host_is_basic_only(void **state)
{
	struct vmware_script *script = *state;

	script->is_old = true;
	settle(script);
	assert_words(script,
		     with_asked("doorbellSet(~,~) start(%s,0) guestType(1,0) target(4000,0)"));
	assert_int_equal(get_report(script).used_capabilities, 2);
	aim(script, 3);
	assert_words(script, "target(4000,0) lock(0,1) lock(1,1) lock(2,1)");
	aim(script, 0);
	assert_words(script, "target(4000,0) unlock(0,1) unlock(1,1) unlock(2,1)");
	assert_false(get_report(script).is_batched);
	assert_null(script->drv.page);
}

/* What each host grants decides what is sent. All 32 subsets, asked for all. */
static void test_start_every_subset_of_capabilities(void **state)
{
	(void)state;
	for (uint32_t subset = 0; subset < 32; subset++) {
		struct vmware_options options = { .config = { .capabilities = 0x3e } };
		uint32_t grants = subset << 1;
		bool is_batched = grants & CAP(BATCHED);
		bool is_large = is_batched && grants & CAP(BATCHED_2M);
		struct vmware_script *script;
		void *own = &options;

		vmware_open(&own);
		script = own;
		script->grants = grants;
		script->target = MIB(4);
		settle(script);
		assert_int_equal(get_report(script).used_capabilities, grants);
		if (!is_batched && !(grants & CAP(BASIC))) {
			assert_stall(script, STALL(UNSUPPORTED));
			vmware_close(&own);
			continue;
		}
		assert_frames(script, MIB(4));
		assert_stall(script, STALL(NONE));
		assert_int_equal(script->creates, !!(grants & CAP(SIGNALLED_WAKEUP)));
		assert_int_equal(!!script->drv.page, is_batched);
		assert_int_equal(get_report(script).stats.calls[CMD(LOCK)],
				 is_batched ? 0 : MIB(4));
		assert_int_equal(get_report(script).stats.calls[CMD(BATCHED_LOCK)],
				 is_batched && !is_large ? 2 : 0);
		assert_int_equal(get_report(script).stats.calls[CMD(BATCHED_2M_LOCK)], is_large);
		aim(script, 0);
		assert_frames(script, 0);
		assert_int_equal(script->given_frames, 0);
		vmware_close(&own);
	}
}

/* What was not asked for is not used, whatever the host says. */
static void test_start_only_what_was_asked_for(void **state)
{
	struct vmware_script *script = *state;

	script->grants = 0xffffffff;
	settle(script);
	assert_int_equal(get_report(script).used_capabilities, 0x06);
	assert_int_equal(get_report(script).known_capabilities, 0x06);
	assert_words(script, "doorbellSet(~,~) start(6,0) guestType(1,0) target(4000,0)");
	aim(script, 512);
	assert_words(script, "target(4000,0) batchLock(P,200)");
}

static void test_start_failures_are_tried_each_second(void **state)
{
	static const uint64_t failures[] = {
		AERO_VMWARE_FAILURE,
		UINT64_MAX,
		AERO_VMWARE_CMD_INVALID,
		AERO_VMWARE_BUSY,
		AERO_VMWARE_PPN_INVALID,
		0x03000001,
		0x12345678,
		AERO_VMWARE_RESET,
	};
	struct vmware_script *script = *state;

	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(failures); i++) {
		script->ax[CMD(START)] = failures[i];
		settle(script);
		assert_words(script, with_asked("doorbellSet(~,~) start(%s,0)"));
		assert_stall(script, STALL(RESET));
		assert_true(get_report(script).balloon.is_resetting);
		assert_int_equal(get_report(script).stats.failed[CMD(START)], i + 1);
		assert_int_equal(script->due, script->now + SECOND);
		script->now = script->due;
	}
	script->ax[CMD(START)] = 0;
	settle(script);
	assert_stall(script, STALL(NONE));
	assert_int_equal(get_report(script).stats.reset, 1);
}

/* Doorbell ------------------------------------------------------------------------------------ */

static void test_doorbell_that_cannot_be_created(void **state)
{
	struct vmware_script *script = *state;

	script->is_create_failing = true;
	settle(script);
	assert_words(script, with_asked("doorbellSet(~,~) start(%s,0) doorbellSet(~,~) "
					"guestType(1,0) target(4000,0)"));
	assert_false(get_report(script).has_doorbell);
	assert_int_equal(script->destroys, 0);
	/* Said once, however often it starts. */
	assert_int_equal(script->sim.counters.logs[AERO_LOG_WARNING], 1);
	run(script, SECOND);
	aero_balloon_require_reset(&script->drv.balloon);
	settle(script);
	assert_int_equal(script->creates, 2);
	assert_int_equal(script->sim.counters.logs[AERO_LOG_WARNING], 1);
	/* It polls. */
	script->target = MIB(2);
	run(script, SECOND);
	assert_frames(script, MIB(2));
}

static void test_doorbell_that_the_host_does_not_take(void **state)
{
	struct vmware_script *script = *state;

	script->ax[CMD(DOORBELL_SET)] = AERO_VMWARE_CMD_INVALID;
	settle(script);
	assert_words(script, with_asked("doorbellSet(~,~) start(%s,0) create doorbellSet(7,400) "
					"doorbellSet(~,~) destroy guestType(1,0) target(4000,0)"));
	assert_false(get_report(script).has_doorbell);
	assert_int_equal(script->sim.counters.logs[AERO_LOG_WARNING], 1);
	assert_int_equal(get_report(script).stats.failed[CMD(DOORBELL_SET)], 3);
	assert_stall(script, STALL(NONE));
}

static void test_doorbell_of_a_kernel_without_vmci(void **state)
{
	struct vmware_script *script = *state;

	script->bus.doorbell_create = NULL;
	script->bus.doorbell_destroy = NULL;
	settle(script);
	assert_words(script,
		     with_asked("doorbellSet(~,~) start(%s,0) guestType(1,0) target(4000,0)"));
	assert_int_equal(script->sim.counters.logs[AERO_LOG_WARNING], 0);
}

static void test_doorbell_rings_are_counted_and_looked_at(void **state)
{
	struct vmware_script *script = *state;

	settle(script);
	forget(script);
	for (unsigned int i = 0; i < 3; i++)
		aero_vmware_guest_doorbell(&script->drv);
	settle(script);
	/* Three rings are one question; without a change it is all. */
	assert_words(script, "target(4000,0)");
	assert_int_equal(get_report(script).stats.doorbell, 3);
	aero_vmware_guest_doorbell(&script->drv);
	assert_int_equal(get_report(script).stats.doorbell, 4);
	assert_int_equal(get_report(script).stats.doorbell, 4);
}

static void test_guest_type_that_the_host_does_not_take(void **state)
{
	struct vmware_script *script = *state;

	script->ax[CMD(GUEST_ID)] = AERO_VMWARE_CMD_INVALID;
	settle(script);
	assert_stall(script, STALL(NONE));
	run(script, SECOND);
	aero_balloon_require_reset(&script->drv.balloon);
	run(script, SECOND);
	assert_int_equal(script->sim.counters.logs[AERO_LOG_WARNING], 1);
	assert_int_equal(get_report(script).stats.failed[CMD(GUEST_ID)], 2);
	assert_string_equal(script->sim.last_log,
			    "vmware balloon: the host does not take the guest's type");
}

/* Target -------------------------------------------------------------------------------------- */

static void test_target_limit_is_all_memory_also_with_a_balloon(void **state)
{
	struct vmware_script *script = *state;

	settle(script);
	aim(script, MIB(20));
	forget(script);
	run(script, SECOND);
	assert_words(script, "target(4000,0)");
}

static uint64_t target_for_batches;

static void other_target(struct vmware_script *script, uint32_t command,
			 struct aero_vmware_registers *regs)
{
	(void)script;
	if (command != CMD(START) && command != CMD(GET_TARGET) && command != CMD(GUEST_ID) &&
	    command != CMD(DOORBELL_SET))
		regs->bx = target_for_batches;
}

static void test_target_is_refreshed_by_each_single_call(void **state)
{
	struct vmware_script *script = *state;

	script->grants = CAP(BASIC);
	settle(script);
	forget(script);
	script->tamper = other_target;
	target_for_batches = 3;
	aim(script, 1024);
	assert_words(script, "target(4000,0) lock(0,1) lock(1,1) lock(2,1)");
	target_for_batches = 2;
	aim(script, 0);
	assert_words(script, "target(4000,0) unlock(0,1)");
	assert_frames(script, 2);
}

static void test_target_is_refreshed_by_each_batch(void **state)
{
	struct vmware_script *script = *state;

	script->grants = CAP(BATCHED);
	settle(script);
	forget(script);
	script->tamper = other_target;
	target_for_batches = 512;
	aim(script, 1024);
	assert_words(script, "target(4000,0) batchLock(P,200)");
	aim(script, 0);
	assert_words(script, "target(4000,0) batchUnlock(P,200) batchLock(P,200)");
	assert_frames(script, 512);
}

static void test_target_in_any_answer_counts_from_the_next_batch(void **state)
{
	struct vmware_script *script = *state;

	settle(script);
	forget(script);
	script->tamper = other_target;
	target_for_batches = MIB(2);
	/* Asked: 40 MiB; the answer to the first batch says 2. */
	aim(script, MIB(40));
	assert_words(script, "target(4000,0) 2m-lock(P,14) 2m-unlock(P,13)");
	assert_frames(script, MIB(2));
	assert_int_equal(get_report(script).balloon.target_frames, MIB(2));
}

static void wrong_targets(struct vmware_script *script, uint32_t command,
			  struct aero_vmware_registers *regs)
{
	(void)script;
	/* In what carries no target, whatever lies there is none. */
	if (command == CMD(START) || command == CMD(GUEST_ID) || command == CMD(DOORBELL_SET))
		regs->bx = MIB(30);
}

static void test_target_only_in_commands_that_carry_it(void **state)
{
	struct vmware_script *script = *state;

	script->tamper = wrong_targets;
	script->target = MIB(2);
	settle(script);
	assert_frames(script, MIB(2));
	/* And not in failures: the script says 0x7777 there. */
	script->ax[CMD(GET_TARGET)] = AERO_VMWARE_BUSY;
	run(script, 3 * SECOND);
	assert_int_equal(get_report(script).balloon.target_frames, MIB(2));
	assert_stall(script, STALL(REFUSED));
	assert_int_equal(get_report(script).stats.failed[CMD(GET_TARGET)], 3);
	script->ax[CMD(GET_TARGET)] = 0;
	run(script, SECOND);
	assert_stall(script, STALL(NONE));
}

static void test_target_beyond_32_bits(void **state)
{
	struct vmware_script *script = *state;

	script->grants = 0x3e;
	settle(script);
	aim(script, 0x300000000);
	assert_int_equal(get_report(script).balloon.target_frames, 0x300000000);
	assert_stall(script, STALL(FLOOR));
	aim(script, UINT64_MAX);
	assert_int_equal(get_report(script).balloon.target_frames, UINT64_MAX);
	/* Without the capability the upper half of the register says nothing. */
	script->grants = 0x1e;
	script->target = 0x300000400;
	aero_balloon_require_reset(&script->drv.balloon);
	run(script, SECOND);
	assert_int_equal(get_report(script).balloon.target_frames, 0x400);
	assert_frames(script, 0x400);
}

/* A kernel that keeps no count, no marks and no log. */
static void test_target_limit_without_an_adjusted_count(void **state)
{
	struct vmware_script *script = *state;

	script->is_create_failing = true;
	settle(script);
	aim(script, MIB(20));
	forget(script);
	run(script, SECOND);
	assert_words(script, "target(4000,0)");
	assert_frames(script, MIB(20));
	aim(script, MIB(200));
	assert_frames(script, MIB(64));
}

static const struct vmware_options bare = {
	.sim = { .without = SIM_PORT_SPLIT | SIM_PORT_SET_OFFLINE | SIM_PORT_ADJUST_MANAGED |
			    SIM_PORT_LOCK | SIM_PORT_LOG },
};
static const struct vmware_options linux_type = {
	.config = { .guest_type = AERO_VMWARE_GUEST_LINUX },
};
static const struct vmware_options batched_only = {
	.config = { .guest_type = 1, .capabilities = 0x06 },
};
static const struct vmware_options all = { .config = { .capabilities = 0x3e } };

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init_bad_configurations_are_refused),
		cmocka_unit_test(test_init_bus_is_required),
		CASE(test_start_sequence_is_exact, &linux_type),
		CASE(test_reset_sequence_is_exact, &linux_type),
		CASE(test_stop_sequence_is_exact, &linux_type),
		CASE(test_start_old_host_is_basic_only, &linux_type),
		cmocka_unit_test(test_start_every_subset_of_capabilities),
		CASE(test_start_only_what_was_asked_for, &batched_only),
		CASE(test_start_failures_are_tried_each_second, NULL),
		CASE(test_doorbell_that_cannot_be_created, &linux_type),
		CASE(test_doorbell_that_the_host_does_not_take, &linux_type),
		CASE(test_doorbell_of_a_kernel_without_vmci, &linux_type),
		CASE(test_doorbell_rings_are_counted_and_looked_at, NULL),
		CASE(test_guest_type_that_the_host_does_not_take, NULL),
		CASE(test_target_limit_is_all_memory_also_with_a_balloon, NULL),
		CASE(test_target_is_refreshed_by_each_single_call, NULL),
		CASE(test_target_is_refreshed_by_each_batch, NULL),
		CASE(test_target_in_any_answer_counts_from_the_next_batch, NULL),
		CASE(test_target_only_in_commands_that_carry_it, NULL),
		CASE(test_target_beyond_32_bits, &all),
		CASE(test_target_limit_without_an_adjusted_count, &bare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
