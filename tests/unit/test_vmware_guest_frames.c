/* SPDX-License-Identifier: MIT */
/* VMware's driver: frames on their way, and hosts that refuse them, fail, or lie. */
#include "test_vmware_guest_case.h"

static uint64_t get_entry(const struct vmware_script *script, uint32_t index)
{
	const uint8_t *bytes = (const uint8_t *)&script->drv.page->entry[index];
	uint64_t value = 0;

	for (unsigned int i = 0; i < 8; i++)
		value |= (uint64_t)bytes[i] << 8 * i;
	return value;
}

static void set_entry(struct vmware_script *script, uint32_t index, uint64_t value)
{
	uint8_t *bytes = (uint8_t *)&script->drv.page->entry[index];

	for (unsigned int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
}

/* Batches ------------------------------------------------------------------------------------- */

static void test_batch_words_are_frame_numbers_in_little_endian(void **state)
{
	static const uint8_t second[8] = { 0, 0, 0x20, 0, 0, 0, 0, 0 };
	struct vmware_script *script = *state;

	settle(script);
	aim(script, MIB(6));
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(get_entry(script, i), (uint64_t)i * 512 << 12);
	assert_memory_equal(&script->drv.page->entry[1], second, sizeof(second));
	/* The rest of the page is not written. */
	set_entry(script, 3, 0x123456789abcdef0);
	sim_port_fragment(&script->sim, 1000);
	aim(script, MIB(6) + 3);
	assert_int_equal(get_entry(script, 3), 0x123456789abcdef0);
}

static void test_batch_page_starts_as_zeros(void **state)
{
	struct vmware_script *script = *state;
	static const uint8_t zeros[4096];

	settle(script);
	assert_non_null(script->drv.page);
	assert_memory_equal(script->drv.page, zeros, sizeof(zeros));
	assert_int_equal(get_report(script).balloon.metadata_bytes, script->sim.pages * 4096);
}

static uint32_t bits_to_set;

/* The status as it should be, and reserved bits. */
static void set_reserved(struct vmware_script *script, uint32_t command,
			 struct aero_vmware_registers *regs)
{
	uint32_t count = regs->ax ? 0 : 3;

	if (command >= CMD(BATCHED_LOCK) && command <= CMD(BATCHED_2M_UNLOCK))
		for (uint32_t i = 0; i < count; i++)
			set_entry(script, i, get_entry(script, i) | bits_to_set);
}

static void test_batch_reserved_bits_are_no_status(void **state)
{
	struct vmware_script *script = *state;

	settle(script);
	script->tamper = set_reserved;
	bits_to_set = 0xfe0;
	aim(script, MIB(6));
	assert_frames(script, MIB(6));
	assert_int_equal(get_report(script).stats.refused[1], 0);
	aim(script, 0);
	assert_frames(script, 0);
	/* Each of the five bits is one. */
	for (uint32_t bit = 1; bit < 0x20; bit <<= 1) {
		uint64_t refused = get_report(script).stats.refused[1];

		bits_to_set = bit | 0xfe0;
		aim(script, MIB(6));
		/* All three, six times; then they are over the limit. */
		assert_int_equal(get_report(script).stats.refused[1] - refused, 18);
		bits_to_set = 0;
		aim(script, 0);
	}
}

/* Foreign frames where ours were: the answer is about what we sent. */
static void rewrite_frames(struct vmware_script *script, uint32_t command,
			   struct aero_vmware_registers *regs)
{
	(void)regs;
	if (command < CMD(BATCHED_LOCK) || command > CMD(BATCHED_2M_UNLOCK))
		return;
	for (uint32_t i = 0; i < 512; i++)
		set_entry(script, i, (uint64_t)(0x100000 + i) << 12 | (i == 1 ? 5 : 0));
}

static void test_batch_with_frames_rewritten_by_the_host(void **state)
{
	struct vmware_script *script = *state;

	settle(script);
	forget(script);
	script->tamper = rewrite_frames;
	aim(script, MIB(10));
	/* Block 1 of each batch is refused, the others are ours and no others. */
	assert_frames(script, MIB(10));
	for (aero_frame frame = 0; frame < MIB(12); frame += 512)
		assert_int_equal(aero_pages_has(&script->drv.balloon.pages, 9, frame),
				 frame != 512);
	assert_int_equal(sim_port_lent_frames(&script->sim), MIB(10));
	aim(script, 0);
	run(script, 10 * SECOND);
	assert_in_range(aero_balloon_frames(&script->drv.balloon), 0, MIB(2));
	assert_null(sim_port_check(&script->sim));
}

/* Both answers are read from memory that the host may change at any time. */
static void test_batch_call_failing_overrides_the_entries(void **state)
{
	static const uint32_t failures[] = {
		AERO_VMWARE_FAILURE,
		AERO_VMWARE_CMD_INVALID,
		AERO_VMWARE_PPN_INVALID,
		AERO_VMWARE_PPN_LOCKED,
		AERO_VMWARE_PPN_UNLOCKED,
		AERO_VMWARE_PPN_PINNED,
		AERO_VMWARE_PPN_NOTNEEDED,
		AERO_VMWARE_BUSY,
		0x03000000,
		9,
		31,
	};
	struct vmware_script *script = *state;

	settle(script);
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(failures); i++) {
		uint64_t refused = get_report(script).stats.refused[1];
		uint64_t failed = get_report(script).stats.failed[CMD(BATCHED_2M_LOCK)];

		forget(script);
		script->ax[CMD(BATCHED_2M_LOCK)] = failures[i];
		aim(script, MIB(6));
		assert_words(script, "target(4000,0) 2m-lock(P,3)");
		assert_frames(script, 0);
		assert_stall(script, STALL(REFUSED));
		assert_int_equal(get_report(script).stats.refused[1], refused + 3);
		/* 0x03000000 is no success here, and no failure of the statistics. */
		assert_int_equal(get_report(script).stats.failed[CMD(BATCHED_2M_LOCK)],
				 failed + (failures[i] != 0x03000000));
		script->ax[CMD(BATCHED_2M_LOCK)] = 0;
		run(script, SECOND);
		assert_frames(script, MIB(6));
		script->ax[CMD(BATCHED_2M_UNLOCK)] = failures[i];
		aim(script, 0);
		assert_frames(script, MIB(6));
		assert_int_equal(get_report(script).stats.refused[1], refused + 6);
		script->ax[CMD(BATCHED_2M_UNLOCK)] = 0;
		run(script, SECOND);
		assert_frames(script, 0);
	}
}

static uint32_t bad_frames(struct vmware_script *script, uint32_t command, aero_frame frame)
{
	(void)script;
	if (command == CMD(BATCHED_2M_LOCK))
		return frame < 16 * 512 ? AERO_VMWARE_PPN_PINNED : AERO_VMWARE_SUCCESS;
	return frame < 16 * 512 && frame % 512 == 9 ? AERO_VMWARE_PPN_INVALID : 0;
}

/* The bad frame of each block is refused on its own. */
static void test_refused_blocks_come_back_as_single_frames(void **state)
{
	struct vmware_script *script = *state;

	script->judge = bad_frames;
	settle(script);
	forget(script);
	aim(script, MIB(64));
	assert_frames(script, MIB(64) - 16);
	assert_int_equal(get_report(script).stats.refused[1], 16);
	assert_int_equal(get_report(script).stats.refused[0], 16);
	assert_int_equal(get_report(script).stats.calls[CMD(BATCHED_2M_LOCK)], 1);
	assert_int_equal(get_report(script).stats.calls[CMD(BATCHED_LOCK)], 16);
	assert_int_equal(get_report(script).stats.alloc[0], 0);
	assert_stall(script, STALL(REFUSED));
}

/* Each status of a frame is a refusal, in batches of every remainder of four. */
static uint32_t third_is(struct vmware_script *script, uint32_t command, aero_frame frame)
{
	(void)command;
	return frame % 3 == 0 ? (uint32_t)script->at_ax : 0;
}

static void test_each_status_of_a_frame_is_a_refusal(void **state)
{
	struct vmware_script *script = *state;
	uint64_t before, expected;

	script->grants = CAP(BATCHED);
	settle(script);
	for (uint32_t status = 1; status < 32; status++) {
		uint32_t count = 1 + status % 20;

		script->at_ax = status;
		script->judge = third_is;
		before = get_report(script).stats.refused[0];
		aim(script, count);
		assert_frames(script, count);
		expected = get_report(script).stats.refused[0] - before;
		assert_in_range(expected, 1, count);
		assert_int_equal(get_report(script).stats.refused_free[0],
				 get_report(script).stats.refused[0]);
		script->judge = NULL;
		aim(script, 0);
		assert_frames(script, 0);
	}
}

/* Single frames ------------------------------------------------------------------------------- */

static void test_single_refused_frames_end_the_round_at_sixteen(void **state)
{
	static const uint32_t of_frames[] = { 2, 3, 4, 5, 6 };
	struct vmware_script *script = *state;

	script->grants = CAP(BASIC);
	settle(script);
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(of_frames); i++) {
		uint64_t calls = get_report(script).stats.calls[CMD(LOCK)];

		script->ax[CMD(LOCK)] = of_frames[i];
		aim(script, 100);
		assert_int_equal(get_report(script).stats.calls[CMD(LOCK)] - calls, 16);
		assert_int_equal(get_report(script).stats.refused[0], 16 * (i + 1));
		assert_int_equal(get_report(script).stats.failed[CMD(LOCK)], 16 * (i + 1));
		assert_frames(script, 0);
		run(script, SECOND);
		aim(script, 0);
		script->drv.balloon.counters.size[0].refused -= 16;
		script->drv.stats.failed[CMD(LOCK)] -= 16;
	}
}

static void test_single_call_failing_ends_the_round(void **state)
{
	static const uint64_t failures[] = { 1, 8, 0xffffffff, UINT64_MAX, 0x03000000, 9 };
	struct vmware_script *script = *state;

	script->grants = CAP(BASIC);
	settle(script);
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(failures); i++) {
		forget(script);
		script->ax[CMD(LOCK)] = failures[i];
		aim(script, 100);
		assert_words(script, "target(4000,0) lock(0,1)");
		assert_stall(script, STALL(REFUSED));
		script->ax[CMD(LOCK)] = 0;
		aim(script, 0);
	}
}

/* Nothing is sent for it, and the host's answer is made up. */
static void test_single_frames_beyond_32_bits_are_refused_without_a_call(void **state)
{
	struct vmware_script *script = *state;
	struct aero_balloon_batch batch = { .list = { .count = 1 } };
	aero_frame frame = 0x100000000;
	uint64_t calls;

	script->grants = CAP(BASIC);
	settle(script);
	calls = script->calls;
	batch.list.frames = &frame;
	for (int move = AERO_PAGES_JOINING; move <= AERO_PAGES_LEAVING; move++) {
		const struct aero_channel_ops *ops = script->drv.balloon.config.channel;

		batch.list.move = (enum aero_pages_move)move;
		batch.list.refused_count = 0;
		batch.list.refused[0] = 0;
		assert_int_equal(ops->submit(&script->drv, &batch), AERO_OK);
		assert_int_equal(batch.list.refused_count, 1);
	}
	assert_int_equal(script->calls, calls);
	/* The last one that fits is sent; this host does not know it. */
	frame = 0xffffffff;
	script->ax[CMD(LOCK)] = AERO_VMWARE_PPN_INVALID;
	batch.list.move = AERO_PAGES_JOINING;
	assert_int_equal(script->drv.balloon.config.channel->submit(&script->drv, &batch), AERO_OK);
	assert_int_equal(script->calls, calls + 1);
	script->ax[CMD(LOCK)] = 0;
}

/* In batches they have 52 bits. */
static void test_batch_frames_beyond_32_bits_are_sent(void **state)
{
	struct vmware_script *script = *state;
	struct aero_balloon_batch batch = { .list = { .count = 2, .move = AERO_PAGES_JOINING } };
	aero_frame frames[] = { 0x100000000, AERO_FRAME_LIMIT - 1 };

	settle(script);
	script->ax[CMD(BATCHED_LOCK)] = AERO_VMWARE_BUSY;
	batch.list.frames = frames;
	assert_int_equal(script->drv.balloon.config.channel->submit(&script->drv, &batch),
			 AERO_EREFUSED);
	assert_int_equal(get_entry(script, 0), 0x100000000000);
	assert_int_equal(get_entry(script, 1), 0x000ffffffffff000);
	script->ax[CMD(BATCHED_LOCK)] = 0;
}

/* Resets -------------------------------------------------------------------------------------- */

/* A script of all that a driver ever sends; answers how many calls it took. */
static uint64_t whole_life(struct vmware_script *script)
{
	uint64_t unit = script->grants & CAP(BATCHED) ? 512 : 6;
	aero_frame new_frame;

	settle(script);
	aim(script, 3 * unit);
	run(script, 2 * SECOND);
	sim_port_fragment(&script->sim, 1000);
	aim(script, 4 * unit + unit / 6);
	run(script, 2 * SECOND);
	for (aero_frame frame = 0; frame < MIB(64); frame++) {
		if (!aero_pages_has(&script->drv.balloon.pages, 0, frame))
			continue;
		(void)vmware_script_move(script, 0, frame, &new_frame);
		good(script);
		break;
	}
	run(script, 3 * SECOND);
	aim(script, unit + 3);
	run(script, 3 * SECOND);
	aim(script, 0);
	run(script, 3 * SECOND);
	return script->calls;
}

static void reset_at_each_call(uint32_t grants, uint64_t ax)
{
	uint64_t last = 1, nth;

	for (nth = 1; nth <= last; nth++) {
		struct vmware_script *script;
		void *own = NULL;

		vmware_open(&own);
		script = own;
		script->grants = grants;
		script->at = nth;
		script->at_ax = ax;
		last = whole_life(script);
		/* Whatever was interrupted, it is well again in the end. */
		assert_frames(script, 0);
		aim(script, 40);
		run(script, 3 * SECOND);
		assert_int_equal(script->at, 0);
		assert_in_range(aero_balloon_frames(&script->drv.balloon), 40, 512);
		assert_int_equal(aero_balloon_frames(&script->drv.balloon), script->given_frames);
		vmware_close(&own);
	}
	assert_in_range(nth, 20, 200);
}

static void test_reset_at_every_call_is_survived(void **state)
{
	(void)state;
	reset_at_each_call(0x3e, AERO_VMWARE_RESET);
	reset_at_each_call(0x06, AERO_VMWARE_RESET);
	reset_at_each_call(0x12, AERO_VMWARE_RESET);
}

static void test_failure_at_every_call_is_survived(void **state)
{
	(void)state;
	reset_at_each_call(0x3e, AERO_VMWARE_BUSY);
	reset_at_each_call(0x3e, UINT64_MAX);
	reset_at_each_call(0x12, AERO_VMWARE_FAILURE);
	reset_at_each_call(0x06, AERO_VMWARE_PPN_PINNED);
}

/* A reset forgets what was in flight as well as what is in. */
static void test_reset_of_a_batch_frees_all_without_unlock(void **state)
{
	static const uint32_t grants[] = { 0x3e, 0x06, 0x02 };

	(void)state;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(grants); i++) {
		struct vmware_script *script;
		void *own = NULL;

		vmware_open(&own);
		script = own;
		script->grants = grants[i];
		settle(script);
		aim(script, 512);
		run(script, SECOND);
		forget(script);
		script->target = 2048;
		script->at = 2;
		script->at_ax = AERO_VMWARE_RESET;
		aero_vmware_guest_doorbell(&script->drv);
		step(script);
		assert_int_equal(script->at, 0);
		assert_frames(script, 512);
		assert_stall(script, STALL(RESET));
		settle(script);
		assert_null(strstr(script->words, "nlock"));
		assert_frames(script, 2048);
		vmware_close(&own);
	}
}

static const struct vmware_options all = { .config = { .capabilities = 0x3e } };

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_batch_words_are_frame_numbers_in_little_endian, NULL),
		CASE(test_batch_page_starts_as_zeros, NULL),
		CASE(test_batch_reserved_bits_are_no_status, NULL),
		CASE(test_batch_with_frames_rewritten_by_the_host, NULL),
		CASE(test_batch_call_failing_overrides_the_entries, NULL),
		CASE(test_refused_blocks_come_back_as_single_frames, NULL),
		CASE(test_each_status_of_a_frame_is_a_refusal, NULL),
		CASE(test_single_refused_frames_end_the_round_at_sixteen, NULL),
		CASE(test_single_call_failing_ends_the_round, NULL),
		CASE(test_single_frames_beyond_32_bits_are_refused_without_a_call, NULL),
		CASE(test_batch_frames_beyond_32_bits_are_sent, &all),
		cmocka_unit_test(test_reset_at_every_call_is_survived),
		cmocka_unit_test(test_failure_at_every_call_is_survived),
		cmocka_unit_test(test_reset_of_a_batch_frees_all_without_unlock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
