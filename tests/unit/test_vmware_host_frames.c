/* SPDX-License-Identifier: MIT */
/* Frames of the VMware host: what each block is answered, alone and in batches. */
#include "test_vmware_host_case.h"

#include "support/random.h"

#define PAGE VMWARE_RIG_PAGE
#define FRAMES VMWARE_RIG_FRAMES

static void test_lock_and_unlock_of_one_frame(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(call(rig, CMD(LOCK), 1000, 1), 0);
	assert_int_equal(call(rig, CMD(LOCK), 1000, 0), AERO_VMWARE_PPN_LOCKED);
	assert_int_equal(call(rig, CMD(UNLOCK), 1001, 1), AERO_VMWARE_PPN_UNLOCKED);
	assert_int_equal(call(rig, CMD(UNLOCK), 1000, 1), 0);
	assert_int_equal(call(rig, CMD(UNLOCK), 1000, 1), AERO_VMWARE_PPN_UNLOCKED);
	assert_int_equal(call(rig, CMD(LOCK), FRAMES - 1, 1), 0);
	assert_int_equal(call(rig, CMD(LOCK), FRAMES, 1), AERO_VMWARE_PPN_INVALID);
	assert_int_equal(call(rig, CMD(LOCK), 1ull << 40, 1), AERO_VMWARE_PPN_INVALID);
	assert_int_equal(call(rig, CMD(LOCK), UINT64_MAX, 1), AERO_VMWARE_PPN_INVALID);
	assert_int_equal(call(rig, CMD(UNLOCK), 0x100000000ull | 1000, 1), AERO_VMWARE_PPN_INVALID);
	assert_int_equal(rig->dev.counters.locked_4k, 2);
	assert_int_equal(rig->dev.counters.unlocked_4k, 1);
	assert_int_equal(rig->dev.counters.refused[AERO_VMWARE_PPN_INVALID], 4);
	assert_int_equal(rig->dev.counters.refused[AERO_VMWARE_PPN_LOCKED], 1);
	assert_int_equal(rig->dev.counters.refused[AERO_VMWARE_PPN_UNLOCKED], 2);
	assert_int_equal(rig->dev.ledger.counters.given_twice, 1);
	assert_int_equal(rig->dev.ledger.counters.returned_twice, 1);
	assert_int_equal(rig->dev.ledger.counters.never_given, 1);
	assert_int_equal(rig->dev.ledger.counters.out_of_range, 4);
	assert_int_equal(rig->dev.counters.failed[CMD(LOCK)], 4);
	assert_int_equal(rig->dev.counters.failed[CMD(UNLOCK)], 3);
}

static void test_neighbours_reach_the_ledger_as_one_run(void **state)
{
	static const struct {
		uint32_t command;
		uint64_t first;
		int64_t step;
		struct aero_range run;
	} cases[] = {
		{ CMD(BATCHED_LOCK), 1000, 1, { 1000, 512 } },
		{ CMD(BATCHED_UNLOCK), 1511, -1, { 1000, 512 } },
		{ CMD(BATCHED_LOCK), 2511, -1, { 2000, 512 } },
		{ CMD(BATCHED_2M_LOCK), 3 * 512 * 8, 512, { 3 * 512 * 8, 64 * 512 } },
		{ CMD(BATCHED_2M_UNLOCK), 87 * 512, -512, { 24 * 512, 64 * 512 } },
	};
	struct vmware_host_rig *rig = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		bool is_2m = cases[i].command >= CMD(BATCHED_2M_LOCK);

		assert_int_equal(batch(rig, cases[i].command, cases[i].first, cases[i].step,
				       is_2m ? 64 : 512),
				 0);
		assert_int_equal(rig->runs, i + 1);
		assert_memory_equal(&rig->last_run, &cases[i].run, sizeof(cases[i].run));
		case_check(rig);
	}
	assert_int_equal(rig->dev.counters.locked_4k, 1024);
	assert_int_equal(rig->dev.counters.unlocked_4k, 512);
	assert_int_equal(rig->dev.counters.locked_2m, 64);
	assert_int_equal(rig->dev.counters.unlocked_2m, 64);
	assert_int_equal(rig->host.discards, 0);
}

static void test_bad_entries_do_not_spoil_their_neighbours(void **state)
{
	struct vmware_host_rig *rig = *state;
	static const uint64_t words[] = {
		1000ull << 12,
		1001ull << 12,
		1001ull << 12,
		(1002ull << 12) | 1,
		(1002ull << 12) | 1 << 5,
		1003ull << 12 | 0x800,
		1002ull << 12,
		1001ull << 12,
		FRAMES << 12,
		0xfffffffffffff000,
		0,
		0xffffffffffffffff,
	};
	static const uint32_t statuses[] = { 0, 0, 3, 2, 2, 2, 0, 3, 2, 2, 0, 2 };

	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(words); i++)
		vmware_host_rig_put(rig, i, words[i]);
	assert_int_equal(call(rig, CMD(BATCHED_LOCK), PAGE, TEST_ARRAY_SIZE(words)), 0);
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(words); i++)
		assert_int_equal(vmware_host_rig_status(rig, i), statuses[i]);
	/* The reserved bits are the guest's, right or wrong. */
	assert_int_equal(vmware_host_rig_word(rig, 11), 0xffffffffffffffe2);
	assert_int_equal(rig->dev.counters.malformed_entries, 4);
	assert_int_equal(rig->dev.counters.refused[AERO_VMWARE_PPN_INVALID], 6);
	assert_int_equal(case_report(rig).actual_frames, 4);
}

static void test_runs_that_pass_the_ends_of_numbers_are_refused(void **state)
{
	struct vmware_host_rig *rig = *state;
	static const uint64_t rising[] = { 0xffffffffffffe000, 0xfffffffffffff000, 0, 0x1000 };
	static const uint64_t falling[] = { 0x1000, 0, 0xfffffffffffff000, 0xffffffffffffe000 };

	for (unsigned int i = 0; i < 4; i++)
		vmware_host_rig_put(rig, i, rising[i]);
	assert_int_equal(call(rig, CMD(BATCHED_LOCK), PAGE, 4), 0);
	assert_int_equal(vmware_host_rig_status(rig, 1), 2);
	assert_int_equal(vmware_host_rig_status(rig, 2), 0);
	for (unsigned int i = 0; i < 4; i++)
		vmware_host_rig_put(rig, i, falling[i]);
	assert_int_equal(call(rig, CMD(BATCHED_UNLOCK), PAGE, 4), 0);
	assert_int_equal(vmware_host_rig_status(rig, 1), 0);
	assert_int_equal(vmware_host_rig_status(rig, 2), 2);
	assert_int_equal(case_report(rig).actual_frames, 0);
}

static void test_memory_with_holes_is_refused_frame_by_frame(void **state)
{
	struct vmware_host_rig *rig = *state;
	struct aero_range hole = { 2100, 10 };

	host_double_clear(&rig->host, hole, HOST_DOUBLE_RAM);
	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 2090, 1, 30), 0);
	for (unsigned int i = 0; i < 30; i++)
		assert_int_equal(vmware_host_rig_status(rig, i), i < 10 || i >= 20 ? 0 : 2);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 1536, 512, 3), 0);
	assert_int_equal(vmware_host_rig_status(rig, 0), 0);
	assert_int_equal(vmware_host_rig_status(rig, 1), 2);
	assert_int_equal(vmware_host_rig_status(rig, 2), 0);
	assert_int_equal(case_report(rig).actual_frames, 20 + 1024);
	host_double_set(&rig->host, hole, HOST_DOUBLE_RAM);
}

static void test_2m_blocks_move_as_a_whole_or_not(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(call(rig, CMD(LOCK), 1024 + 511, 1), 0);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 512, 512, 3), 0);
	assert_int_equal(vmware_host_rig_status(rig, 0), 0);
	assert_int_equal(vmware_host_rig_status(rig, 1), AERO_VMWARE_PPN_LOCKED);
	assert_int_equal(vmware_host_rig_status(rig, 2), 0);
	assert_int_equal(case_report(rig).actual_frames, 1025);
	assert_int_equal(call(rig, CMD(UNLOCK), 512, 1), 0);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_UNLOCK), 512, 512, 3), 0);
	assert_int_equal(vmware_host_rig_status(rig, 0), AERO_VMWARE_PPN_UNLOCKED);
	assert_int_equal(vmware_host_rig_status(rig, 1), AERO_VMWARE_PPN_UNLOCKED);
	assert_int_equal(vmware_host_rig_status(rig, 2), 0);
	assert_int_equal(case_report(rig).actual_frames, 512);
	assert_int_equal(rig->dev.ledger.counters.given_twice, 1);
	/* One was returned before, the others of both blocks never were given. */
	assert_int_equal(rig->dev.ledger.counters.returned_twice, 1);
	assert_int_equal(rig->dev.ledger.counters.never_given, 511);
}

static void test_2m_blocks_have_to_be_aligned(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 513, 512, 4), 0);
	assert_int_equal(vmware_host_rig_status(rig, 3), AERO_VMWARE_PPN_INVALID);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 768, 256, 4), 0);
	assert_int_equal(vmware_host_rig_status(rig, 0), AERO_VMWARE_PPN_INVALID);
	assert_int_equal(vmware_host_rig_status(rig, 1), 0);
	assert_int_equal(rig->dev.counters.malformed_entries, 6);
	assert_int_equal(case_report(rig).actual_frames, 1024);
}

static void test_the_batch_page_itself_is_refused(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), PAGE - 2, 1, 5), 0);
	assert_int_equal(vmware_host_rig_status(rig, 1), 0);
	assert_int_equal(vmware_host_rig_status(rig, 2), AERO_VMWARE_PPN_INVALID);
	assert_int_equal(vmware_host_rig_status(rig, 3), 0);
	/* With another page it is a frame as all are. */
	rig->page = VMWARE_RIG_PAGE_CUT;
	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), PAGE, 1, 1), 0);
	assert_int_equal(vmware_host_rig_status(rig, 0), 0);
	rig->page = PAGE;
	assert_int_equal(batch(rig, CMD(BATCHED_UNLOCK), PAGE - 2, 1, 5), 0);
	assert_int_equal(vmware_host_rig_status(rig, 2), AERO_VMWARE_PPN_INVALID);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 0, 512, 2), 0);
	assert_int_equal(vmware_host_rig_status(rig, 0), AERO_VMWARE_PPN_INVALID);
	assert_int_equal(vmware_host_rig_status(rig, 1), 0);
	assert_int_equal(case_report(rig).actual_frames, 513);
}

static void test_batches_that_are_none_fail_as_a_whole(void **state)
{
	struct vmware_host_rig *rig = *state;

	vmware_host_rig_put(rig, 0, 1000ull << 12);
	for (uint32_t command = 6; command < 10; command++) {
		assert_int_equal(call(rig, command, PAGE, 0), AERO_VMWARE_FAILURE);
		assert_int_equal(call(rig, command, PAGE, 513), AERO_VMWARE_FAILURE);
		assert_int_equal(call(rig, command, PAGE, 0xffffffff), AERO_VMWARE_FAILURE);
		/* No memory, a piece of a page, and what is no frame number at all. */
		assert_int_equal(call(rig, command, 50, 1), AERO_VMWARE_FAILURE);
		assert_int_equal(call(rig, command, VMWARE_RIG_PAGE_CUT + 1, 1),
				 AERO_VMWARE_FAILURE);
		assert_int_equal(call(rig, command, 1ull << 52 | PAGE, 1), AERO_VMWARE_FAILURE);
		assert_int_equal(call(rig, command, UINT64_MAX, 1), AERO_VMWARE_FAILURE);
	}
	assert_int_equal(rig->dev.counters.bad_batches, 28);
	assert_int_equal(case_report(rig).actual_frames, 0);
	rig->host.ram.region[0].is_read_only = true;
	host_double_fail(&rig->host, HOST_DOUBLE_TRANSLATE, 1, false);
	assert_int_equal(call(rig, CMD(BATCHED_LOCK), PAGE, 1), AERO_VMWARE_FAILURE);
	rig->host.ram.region[0].is_read_only = false;
	/* A pointer of 64 bits has a size in its lower half. */
	assert_int_equal(call(rig, CMD(BATCHED_LOCK), PAGE, 1ull << 32 | 1), 0);
}

static void test_policy_refuses_single_blocks(void **state)
{
	static const uint32_t statuses[] = { 2, 3, 4, 5, 6 };
	struct vmware_host_rig *rig = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(statuses); i++) {
		memset(rig->dev.counters.refused, 0, sizeof(rig->dev.counters.refused));
		vmware_host_rig_judge(rig, 1003, statuses[i], NULL);
		assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 1000, 1, 8), 0);
		assert_int_equal(vmware_host_rig_status(rig, 3), statuses[i]);
		assert_int_equal(case_report(rig).actual_frames, 7);
		assert_int_equal(call(rig, CMD(LOCK), 1003, 1), statuses[i]);
		assert_int_equal(rig->dev.counters.refused[statuses[i]], 2);
		vmware_host_rig_judge(rig, 1005, statuses[i], NULL);
		assert_int_equal(batch(rig, CMD(BATCHED_UNLOCK), 1000, 1, 8), 0);
		assert_int_equal(vmware_host_rig_status(rig, 3), AERO_VMWARE_PPN_UNLOCKED);
		assert_int_equal(vmware_host_rig_status(rig, 5), statuses[i]);
		vmware_host_rig_judge(rig, 0, 0, NULL);
		assert_int_equal(call(rig, CMD(UNLOCK), 1005, 1), 0);
	}
	/* A whole 2 MiB block for one frame in it, as a guest has to see it to split it. */
	vmware_host_rig_judge(rig, 2049, AERO_VMWARE_PPN_PINNED, NULL);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 1536, 512, 3), 0);
	assert_int_equal(vmware_host_rig_status(rig, 1), AERO_VMWARE_PPN_PINNED);
	assert_int_equal(case_report(rig).actual_frames, 1024);
}

static void test_policy_cannot_answer_what_is_no_status_of_a_block(void **state)
{
	static const uint32_t statuses[] = { 1, 7, 8, 31, 32, 0x03000000, 0xffffffff };
	struct vmware_host_rig *rig = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(statuses); i++) {
		vmware_host_rig_judge(rig, 1003, statuses[i], NULL);
		assert_int_equal(call(rig, CMD(LOCK), 1003, 1), AERO_VMWARE_PPN_PINNED);
	}
	assert_true(case_report(rig).is_live);
}

/* Another processor of the guest, while the host serves the batch. */
static void rewrite_page(struct vmware_host_rig *rig)
{
	rig->judge_hook = NULL;
	for (unsigned int i = 0; i < AERO_VMWARE_BATCH_ENTRIES; i++)
		vmware_host_rig_put(rig, i, 60000ull << 12);
}

static void test_entries_are_read_once(void **state)
{
	struct vmware_host_rig *rig = *state;
	struct aero_range run = { 1000, 512 };

	/* All are judged after the page was written anew; what counts is what was there before. */
	vmware_host_rig_judge(rig, 1001, AERO_VMWARE_PPN_PINNED, rewrite_page);
	rig->is_page_loose = true;
	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), run.first, 1, 512), 0);
	run.count = 1;
	assert_int_equal(aero_frame_set_count_in(&rig->dev.ledger.held, run), 1);
	run.first = 60000;
	assert_int_equal(aero_frame_set_count_in(&rig->dev.ledger.held, run), 0);
	assert_int_equal(case_report(rig).actual_frames, 511);
}

static void test_without_nodes_blocks_are_pinned_and_nothing_is_lost(void **state)
{
	struct vmware_host_rig *rig = *state;

	/* Two sets, each with root, branch, table and two leaves: the nth is missing, once. */
	for (uint64_t nth = 1; nth <= 11; nth++) {
		host_double_fail(&rig->host, HOST_DOUBLE_NODE, nth, false);
		assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 32768 - 256, 1, 512), 0);
		assert_int_equal(rig->host.failures, nth <= 10);
		assert_int_equal(case_report(rig).actual_frames, 512);
		case_check(rig);
		vmware_host_rig_start(rig, 0x3e);
	}
	/* There are leaves for the first half, and no others. */
	host_double_fail(&rig->host, 0, 0, false);
	assert_int_equal(call(rig, CMD(LOCK), 20000, 1), 0);
	host_double_fail(&rig->host, HOST_DOUBLE_NODE, 1, true);
	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 32768 - 256, 1, 512), 0);
	assert_int_equal(vmware_host_rig_status(rig, 255), 0);
	assert_int_equal(vmware_host_rig_status(rig, 256), AERO_VMWARE_PPN_PINNED);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 32768 - 1024, 512, 3), 0);
	assert_int_equal(vmware_host_rig_status(rig, 0), 0);
	assert_int_equal(vmware_host_rig_status(rig, 1), AERO_VMWARE_PPN_LOCKED);
	assert_int_equal(vmware_host_rig_status(rig, 2), AERO_VMWARE_PPN_PINNED);
	assert_int_equal(call(rig, CMD(LOCK), 40000, 1), AERO_VMWARE_PPN_PINNED);
	assert_int_equal(case_report(rig).actual_frames, 1 + 256 + 512);
	assert_int_equal(rig->dev.counters.refused[AERO_VMWARE_PPN_PINNED], 256 + 1 + 1);
	assert_int_equal(rig->dev.ledger.counters.unrecorded, 256 + 512 + 1);
	assert_int_equal(rig->host.discards, 0);
}

/* Batches ----------------------------------------------------------------------------------- */

/* Blocks of both sizes, none beside the one before, come, are discarded, go, and come again. */
static void test_blocks_in_any_order(void **state)
{
	struct vmware_host_rig *rig = *state;
	static const struct {
		uint32_t lock, unlock;
		uint64_t frames, of;
		unsigned int count;
	} sizes[] = {
		{ CMD(BATCHED_LOCK), CMD(BATCHED_UNLOCK), 1, 512, 300 },
		{ CMD(BATCHED_2M_LOCK), CMD(BATCHED_2M_UNLOCK), 512, 126, 110 },
	};

	for (unsigned int n = 0; n < 6; n++) {
		const unsigned int count = sizes[n % 2].count;
		const uint64_t frames = sizes[n % 2].frames;

		for (unsigned int i = 0; i < count; i++) {
			uint64_t frame = 1024 + i * 37ull % sizes[n % 2].of * frames;

			vmware_host_rig_put(rig, i, frame << 12);
		}
		assert_int_equal(call(rig, sizes[n % 2].lock, VMWARE_RIG_PAGE, count), 0);
		case_check(rig);
		if (n < 4) {
			vmware_host_rig_run(rig);
			case_pass(rig, AERO_LEDGER_IDLE_NS_DEFAULT);
			assert_int_equal(case_report(rig).pending_frames, 0);
		}
		assert_int_equal(case_report(rig).actual_frames, count * frames);
		assert_int_equal(call(rig, sizes[n % 2].unlock, VMWARE_RIG_PAGE, count), 0);
		assert_int_equal(case_report(rig).actual_frames, 0);
		case_check(rig);
	}
	assert_int_equal(rig->host.discarded_frames, 2 * (300 + 110 * 512));
}

/* A word that is good, or nearly so. */
static uint64_t random_word(struct test_random *random, uint64_t frames, uint64_t near)
{
	uint64_t frame = test_random_below(random, 4)
				 ? near + test_random_below(random, 64) * frames
				 : test_random_next(random) >> 24;
	uint64_t word;

	if (test_random_below(random, 8))
		frame = frame / frames * frames;
	word = frame << 12;
	if (!test_random_below(random, 30))
		word |= 1ull << test_random_below(random, 12);
	return word;
}

static void random_batch(struct vmware_host_rig *rig, struct test_random *random)
{
	uint32_t command = 6 + (uint32_t)test_random_below(random, 4);
	uint64_t frames = command >= 8 ? 512 : 1;
	uint64_t near = test_random_below(random, FRAMES);
	unsigned int count = 1 + (unsigned int)test_random_below(random, 512);
	uint64_t step = test_random_below(random, 2) ? frames << 12 : 0 - (frames << 12);
	uint64_t word = 0;

	rig->page = test_random_below(random, 4) ? PAGE + test_random_below(random, 8)
						 : VMWARE_RIG_PAGE_CUT;
	for (unsigned int i = 0; i < count; i++) {
		word += step;
		if (!i || !test_random_below(random, 20))
			word = random_word(random, frames, near);
		vmware_host_rig_put(rig, i, word);
	}
	(void)call(rig, command, rig->page, count);
}

static void test_random_batches_agree_with_the_model(void **state)
{
	uint64_t seed;

	for (uint64_t n = 1; test_random_seed(n, 40, &seed); n++) {
		struct test_random random = { seed };
		struct vmware_host_rig *rig = calloc(1, sizeof(*rig));

		assert_non_null(rig);
		print_message("# AERO_TEST_SEED=%u\n", (unsigned int)seed);
		vmware_host_rig_open(rig, *state);
		vmware_host_rig_start(rig, 0x3e);
		for (unsigned int i = 0; i < 60; i++) {
			random_batch(rig, &random);
			if (!test_random_below(&random, 3))
				case_pass(rig, test_random_below(&random, 100) * 1000000);
			if (!test_random_below(&random, 10))
				case_check(rig);
		}
		case_check(rig);
		vmware_host_rig_close(rig);
		free(rig);
	}
}

int main(void)
{
	static struct vmware_host_rig_options huge = { .backing = { 9, 9 } };
	const struct CMUnitTest tests[] = {
		CASE(test_lock_and_unlock_of_one_frame, NULL),
		CASE(test_neighbours_reach_the_ledger_as_one_run, NULL),
		CASE(test_bad_entries_do_not_spoil_their_neighbours, NULL),
		CASE(test_runs_that_pass_the_ends_of_numbers_are_refused, NULL),
		CASE(test_memory_with_holes_is_refused_frame_by_frame, NULL),
		CASE(test_2m_blocks_move_as_a_whole_or_not, NULL),
		CASE(test_2m_blocks_have_to_be_aligned, NULL),
		CASE(test_the_batch_page_itself_is_refused, NULL),
		CASE(test_batches_that_are_none_fail_as_a_whole, NULL),
		CASE(test_policy_refuses_single_blocks, NULL),
		CASE(test_policy_cannot_answer_what_is_no_status_of_a_block, NULL),
		CASE(test_entries_are_read_once, NULL),
		CASE(test_blocks_in_any_order, NULL),
		CASE(test_without_nodes_blocks_are_pinned_and_nothing_is_lost, NULL),
		cmocka_unit_test_prestate(test_random_batches_agree_with_the_model, NULL),
		cmocka_unit_test_prestate(test_random_batches_agree_with_the_model, &huge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
