/* SPDX-License-Identifier: MIT */
/* VMware's driver: the kernel moves frames; the old one is unlocked first, the new one locked. */
#include "test_vmware_guest_case.h"

/* 100 single frames and a block, whatever lies where. */
static aero_frame fill(struct vmware_script *script, uint32_t grants)
{
	struct aero_range run;

	script->grants = grants;
	settle(script);
	aim(script, 512);
	sim_port_fragment(&script->sim, 1000);
	aim(script, 612);
	assert_frames(script, 612);
	forget(script);
	assert_true(aero_frame_set_next(&script->drv.balloon.pages.size[0].lent, 20, 1, &run));
	return run.first;
}

static char expected[100];

static const char *words(const char *format, aero_frame a, aero_frame b)
{
	snprintf(expected, sizeof(expected), format, (unsigned long long)a, (unsigned long long)b);
	return expected;
}

static void test_move_batched_unlocks_then_locks(void **state)
{
	struct vmware_script *script = *state;
	aero_frame old_frame = fill(script, 0x3e), new_frame;

	assert_int_equal(vmware_script_move(script, 0, old_frame, &new_frame), AERO_OK);
	good(script);
	assert_words(script, "batchUnlock(P,1) batchLock(P,1)");
	assert_int_equal(script->given[old_frame], 0);
	assert_int_equal(script->given[new_frame], 1);
	assert_frames(script, 612);
	assert_int_equal(script->drv.balloon.pages.size[0].counters.migrated, 1);
}

static void test_move_single_unlocks_then_locks(void **state)
{
	struct vmware_script *script = *state;
	aero_frame old_frame = fill(script, CAP(BASIC)), new_frame;

	assert_int_equal(vmware_script_move(script, 0, old_frame, &new_frame), AERO_OK);
	good(script);
	assert_words(script, words("unlock(%llx,1) lock(%llx,1)", old_frame, new_frame));
	/* Blocks there are none of. */
	assert_int_equal(vmware_script_move(script, 9, 0, &new_frame), AERO_EBUG);
}

static void test_move_block_by_2m_commands(void **state)
{
	struct vmware_script *script = *state;
	aero_frame new_frame;

	settle(script);
	aim(script, 512);
	forget(script);
	assert_int_equal(vmware_script_move(script, 9, 0, &new_frame), AERO_OK);
	assert_words(script, "2m-unlock(P,1) 2m-lock(P,1)");
	assert_int_equal(script->given[new_frame], 10);
}

/* Old kept: the kernel puts it back. */
static void test_move_unlock_refused_changes_nothing(void **state)
{
	static const uint32_t failures[] = { 1, 2, 3, 4, 5, 6, 8, 0xffffffff };
	static const uint32_t grants[] = { 0x06, 0x02 };

	(void)state;
	for (unsigned int mode = 0; mode < 2; mode++) {
		uint32_t command = mode ? CMD(UNLOCK) : CMD(BATCHED_UNLOCK);
		struct vmware_script *script;
		void *own = NULL;
		aero_frame old_frame, new_frame;

		vmware_open(&own);
		script = own;
		old_frame = fill(script, grants[mode]);
		for (unsigned int i = 0; i < TEST_ARRAY_SIZE(failures); i++) {
			forget(script);
			script->ax[command] = failures[i];
			assert_int_equal(vmware_script_move(script, 0, old_frame, &new_frame),
					 AERO_EREFUSED);
			assert_null(strchr(script->words, ' '));
			assert_frames(script, 612);
			assert_int_equal(sim_port_owner(&script->sim, new_frame), SIM_OWNER_FREE);
		}
		script->ax[command] = 0;
		assert_int_equal(vmware_script_move(script, 0, old_frame, &new_frame), AERO_OK);
		vmware_close(&own);
	}
}

static uint32_t entry_answer;
static uint32_t entry_command;

static uint32_t judge(struct vmware_script *script, uint32_t command, aero_frame frame)
{
	(void)script;
	(void)frame;
	return command == entry_command ? entry_answer : 0;
}

static void test_move_entry_refused(void **state)
{
	struct vmware_script *script = *state;
	aero_frame old_frame = fill(script, 0x3e), new_frame;

	script->judge = judge;
	entry_command = CMD(BATCHED_UNLOCK);
	entry_answer = AERO_VMWARE_PPN_UNLOCKED;
	assert_int_equal(vmware_script_move(script, 0, old_frame, &new_frame), AERO_EREFUSED);
	assert_words(script, "batchUnlock(P,1)");
	assert_frames(script, 612);
	/* The new one refused: the balloon has one less, and that is a success. */
	entry_command = CMD(BATCHED_LOCK);
	entry_answer = AERO_VMWARE_PPN_PINNED;
	assert_int_equal(vmware_script_move(script, 0, old_frame, &new_frame), AERO_OK);
	assert_words(script, "batchUnlock(P,1) batchLock(P,1)");
	assert_frames(script, 611);
	assert_int_equal(sim_port_owner(&script->sim, old_frame), SIM_OWNER_FREE);
	assert_int_equal(sim_port_owner(&script->sim, new_frame), SIM_OWNER_FREE);
	assert_int_equal(script->drv.balloon.pages.size[0].counters.deflated, 1);
	entry_command = 0;
	/* The next step makes it good. */
	settle(script);
	assert_frames(script, 612);
}

static void test_move_lock_failing_loses_one_frame(void **state)
{
	static const uint32_t grants[] = { 0x06, 0x02 };

	(void)state;
	for (unsigned int mode = 0; mode < 2; mode++) {
		struct vmware_script *script;
		void *own = NULL;
		aero_frame old_frame, new_frame;

		vmware_open(&own);
		script = own;
		old_frame = fill(script, grants[mode]);
		script->at = 2;
		script->at_ax = AERO_VMWARE_BUSY;
		assert_int_equal(vmware_script_move(script, 0, old_frame, &new_frame), AERO_OK);
		good(script);
		assert_frames(script, 611);
		run(script, SECOND);
		assert_frames(script, 612);
		vmware_close(&own);
	}
}

static void test_move_reset_by_either_call(void **state)
{
	(void)state;
	for (uint64_t nth = 1; nth <= 2; nth++) {
		struct vmware_script *script;
		void *own = NULL;
		aero_frame old_frame, new_frame;

		vmware_open(&own);
		script = own;
		old_frame = fill(script, 0x3e);
		script->at = nth;
		script->at_ax = AERO_VMWARE_RESET;
		assert_int_equal(vmware_script_move(script, 0, old_frame, &new_frame),
				 nth == 1 ? AERO_EREFUSED : AERO_OK);
		good(script);
		assert_frames(script, nth == 1 ? 612 : 611);
		assert_true(get_report(script).balloon.is_resetting);
		run(script, 2 * SECOND);
		assert_frames(script, 612);
		assert_int_equal(get_report(script).stats.reset, 2);
		vmware_close(&own);
	}
}

/* Without batches a number of more than 32 bits is refused before the host is asked. */
static void test_move_beyond_32_bits_single(void **state)
{
	struct vmware_script *script = *state;
	const struct aero_channel_ops *ops = script->drv.balloon.config.channel;

	fill(script, CAP(BASIC));
	assert_int_equal(ops->exchange(&script->drv, 0, 5, 0x100000005), AERO_EREFUSED);
	assert_words(script, "");
	script->ax[CMD(UNLOCK)] = AERO_VMWARE_RESET;
	assert_int_equal(ops->exchange(&script->drv, 0, 0x100000005, 5), AERO_ERESET);
	assert_words(script, "unlock(5,1)");
	script->ax[CMD(UNLOCK)] = 0;
	script->tamper = NULL;
}

static void test_move_while_not_started_is_again(void **state)
{
	struct vmware_script *script = *state;
	bool is_in;

	assert_int_equal(aero_balloon_migrate(&script->drv.balloon, 0, 1, 2, &is_in), AERO_EAGAIN);
	fill(script, 0x3e);
	aero_balloon_require_reset(&script->drv.balloon);
	assert_int_equal(aero_balloon_migrate(&script->drv.balloon, 0, 1, 2, &is_in), AERO_EAGAIN);
	assert_words(script, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_move_batched_unlocks_then_locks, NULL),
		CASE(test_move_single_unlocks_then_locks, NULL),
		CASE(test_move_block_by_2m_commands, NULL),
		cmocka_unit_test(test_move_unlock_refused_changes_nothing),
		CASE(test_move_entry_refused, NULL),
		cmocka_unit_test(test_move_lock_failing_loses_one_frame),
		cmocka_unit_test(test_move_reset_by_either_call),
		CASE(test_move_beyond_32_bits_single, NULL),
		CASE(test_move_while_not_started_is_again, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
