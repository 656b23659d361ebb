/* SPDX-License-Identifier: MIT */
/* What the ledger discards, block by block, on every kind of backing. */
#include "test_ledger_rig.h"

#define GIB_FRAMES (1ull << 18)

static void test_collect_discards_a_block_when_its_last_frame_comes(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 512, 256);
	rig_give(rig, 769, 255);
	assert_int_equal(rig_discard_whole(rig), 0);
	rig_give(rig, 768, 1);
	assert_int_equal(rig_discard_whole(rig), 1);
	assert_int_equal(rig_discarded(rig, 512, 512), 512);
	assert_int_equal(rig->host.discarded_frames, 512);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 0);
}

static void test_collect_merges_neighbouring_blocks(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 512 * 3, 512 * 5);
	rig_give(rig, 512 * 20, 512);
	assert_int_equal(rig_discard_whole(rig), 2);
	assert_int_equal(rig->host.longest, 512 * 5);
}

static void test_collect_leaves_partial_blocks_to_the_rest(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 500, 1000);
	assert_int_equal(rig_discard_whole(rig), 1);
	assert_int_equal(rig_discarded(rig, 512, 512), 512);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 488);
	assert_int_equal(rig_discard_rest(rig), 2);
	assert_int_equal(rig_discarded(rig, 500, 1000), 1000);
	assert_int_equal(rig->host.discarded_frames, 1000);
}

static void test_rest_is_found_below_where_it_was_last(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 5000, 3);
	rig_discard_rest(rig);
	rig_give(rig, 100, 3);
	assert_int_not_equal(aero_ledger_due_ns(&rig->ledger), AERO_NEVER);
	assert_int_equal(rig_discard_rest(rig), 1);
	assert_int_equal(rig_discarded(rig, 100, 3), 3);
}

static void test_discards_are_bounded(void **state)
{
	struct ledger_rig *rig = *state;
	uint64_t frames = RIG_FRAMES - 600;

	rig_give(rig, 300, frames);
	rig_discard_whole(rig);
	assert_int_equal(rig->host.longest, AERO_LEDGER_DISCARD_FRAMES);
	rig_discard_rest(rig);
	assert_int_equal(rig->host.discarded_frames, frames);
	assert_int_equal(rig->host.longest, AERO_LEDGER_DISCARD_FRAMES);
	/* 7 whole, one of what is left over, 2 of the ends. */
	assert_true(rig->host.discards <= 10);
}

static void test_request_discards_are_bounded(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 300, 20000);
	assert_int_equal(rig_discard_whole(rig), 0);
	assert_int_equal(rig_discard_rest(rig), 3);
	assert_int_equal(rig->host.discarded_frames, 20000);
	assert_true(rig->host.longest <= AERO_LEDGER_DISCARD_FRAMES);
}

/* A discard that is cut at the limit must not split a huge page that is given whole. */
static void test_request_cut_keeps_huge_pages_whole(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 300, 20000);
	rig_discard_rest(rig);
	assert_int_equal(rig->host.discarded_frames, 20000);
	/* 512 to 19968 are whole; the two ends are not. */
	assert_int_equal(rig->ledger.counters.blocks_whole, 38);
	assert_int_equal(rig->ledger.counters.blocks_split, 2);
}

static void test_whole_blocks_are_counted(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 512, 1024);
	rig_give(rig, 4000, 10);
	rig_discard_whole(rig);
	rig_discard_rest(rig);
	assert_int_equal(rig->ledger.counters.blocks_whole, 2);
	assert_int_equal(rig->ledger.counters.blocks_split, 1);
}

static void test_ordinary_pages_have_no_blocks_to_count(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 512, 1030);
	rig_discard_whole(rig);
	rig_discard_rest(rig);
	assert_int_equal(rig->ledger.counters.blocks_whole, 0);
	assert_int_equal(rig->ledger.counters.blocks_split, 0);
}

/* 64 KiB pages: the rest goes out in whole pages, what is left of them waits. */
static void test_64k_rest_discards_whole_pages_only(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 5, 60);
	assert_int_equal(rig_discard_whole(rig), 0);
	assert_int_equal(rig_discard_rest(rig), 1);
	assert_int_equal(rig_discarded(rig, 16, 48), 48);
	assert_int_equal(rig->host.discarded_frames, 48);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 12);
	assert_int_equal(aero_ledger_due_ns(&rig->ledger), AERO_NEVER);
	/* Its other frames make a page discardable, whatever was discarded of it. */
	rig_give(rig, 0, 5);
	assert_int_equal(rig_discard_rest(rig), 1);
	assert_int_equal(rig_discarded(rig, 0, 16), 16);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 1);
}

static void test_64k_request_drops_partial_pages(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 0, 5);
	rig_discard_rest(rig);
	aero_ledger_drop_rest(&rig->ledger);
	/* These frames come to a page whose first ones may be the guest's again by now. */
	rig_give(rig, 5, 27);
	host_double_clear(&rig->host, range(0, 5), HOST_DOUBLE_MAY);
	assert_int_equal(rig_discard_rest(rig), 1);
	assert_int_equal(rig->host.discarded_frames, 16);
	assert_int_equal(rig_discarded(rig, 16, 16), 16);
	aero_ledger_drop_rest(&rig->ledger);
	assert_int_equal(rig->ledger.counters.dropped, 16);
}

static void test_hugetlb_waits_for_the_page(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 512, 511);
	assert_int_equal(rig_discard_whole(rig) + rig_discard_rest(rig), 0);
	assert_int_equal(aero_ledger_due_ns(&rig->ledger), AERO_NEVER);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 511);
	rig_give(rig, 1023, 1);
	assert_int_equal(rig_discard_whole(rig), 1);
	assert_int_equal(rig->host.discarded_frames, 512);
	assert_int_equal(rig->ledger.counters.blocks_whole, 1);
	assert_int_equal(rig->ledger.counters.blocks_split, 0);
}

static void test_hugetlb_page_given_backwards_is_discarded(void **state)
{
	struct ledger_rig *rig = *state;

	for (aero_frame frame = 1023; frame >= 512; frame--) {
		rig_give(rig, frame, 1);
		if (frame % 100 == 0)
			assert_int_equal(rig_discard_rest(rig), 0);
	}
	assert_int_equal(rig_discard_whole(rig), 1);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 0);
}

/* The note that a block is complete may be lost to want of memory: the rest finds it. */
static void test_hugetlb_page_is_found_without_its_note(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 512, 300);
	assert_int_equal(rig_discard_rest(rig), 0);
	/* A block that is noted already, far from this one. */
	rig_give(rig, 5120, 512);
	host_double_fail(&rig->host, HOST_DOUBLE_NODE, 1, true);
	rig_give(rig, 812, 212);
	host_double_fail(&rig->host, 0, 0, false);
	assert_int_equal(rig_discard_whole(rig), 1);
	assert_int_equal(rig_discarded(rig, 512, 512), 0);
	assert_int_equal(rig_discard_rest(rig), 1);
	assert_int_equal(rig->host.discarded_frames, 1024);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 0);
}

/* Blocks are noted in any order; a frame taken from one in the middle leaves the others. */
static void test_ready_blocks_in_any_order(void **state)
{
	static const aero_frame blocks[] = { 20, 21, 19, 40, 30, 22, 41, 10, 18, 0 };
	struct ledger_rig *rig = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(blocks); i++) {
		rig_give(rig, blocks[i] * 512, 512);
		assert_int_equal(aero_ledger_validate(&rig->ledger), AERO_OK);
	}
	rig_take(rig, 20 * 512 + 7, 1);
	rig_take(rig, 40 * 512, 512);
	rig_take(rig, 18 * 512 + 511, 1);
	assert_int_equal(aero_ledger_validate(&rig->ledger), AERO_OK);
	rig_discard_whole(rig);
	assert_int_equal(rig->host.discarded_frames, 7 * 512);
	assert_int_equal(rig_discarded(rig, 20 * 512, 512), 0);
	rig_give(rig, 20 * 512 + 7, 1);
	rig_discard_whole(rig);
	assert_int_equal(rig->host.discarded_frames, 8 * 512);
}

static void test_hugetlb_page_with_a_frame_taken_waits_again(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 512, 512);
	rig_take(rig, 600, 1);
	assert_int_equal(rig_discard_whole(rig) + rig_discard_rest(rig), 0);
	rig_give(rig, 600, 1);
	assert_int_equal(rig_discard_whole(rig), 1);
}

/* A page discarded before, then partly returned and given again, is in use: discard it again. */
static void test_hugetlb_page_refilled_is_discarded_again(void **state)
{
	struct ledger_rig *rig = *state;

	rig_give(rig, 512, 512);
	rig_discard_whole(rig);
	rig_take(rig, 700, 10);
	rig_give(rig, 700, 10);
	assert_int_equal(rig_discard_whole(rig), 1);
	assert_int_equal(rig->host.discards, 2);
}

static void test_gigabyte_page_is_one_discard(void **state)
{
	struct ledger_rig *rig = calloc(1, sizeof(*rig));

	(void)state;
	assert_non_null(rig);
	rig_open(rig, (struct aero_backing){ 18, 18 }, 3 * GIB_FRAMES);
	aero_ledger_set_mode(&rig->ledger, AERO_DISCARD_COLLECT);
	rig_give(rig, 100, GIB_FRAMES);
	assert_int_equal(rig_discard_whole(rig) + rig_discard_rest(rig), 0);
	for (aero_frame frame = 2 * GIB_FRAMES; frame > GIB_FRAMES + 100; frame -= 256) {
		aero_frame first = frame - 256 > GIB_FRAMES + 100 ? frame - 256 : GIB_FRAMES + 100;

		assert_int_equal(rig_discard_whole(rig), 0);
		rig_give(rig, first, frame - first);
	}
	assert_int_equal(rig_discard_whole(rig), 1);
	assert_int_equal(rig->host.discarded_frames, GIB_FRAMES);
	assert_int_equal(rig_discarded(rig, GIB_FRAMES, GIB_FRAMES), GIB_FRAMES);
	assert_int_equal(aero_ledger_pending(&rig->ledger), GIB_FRAMES - 100);
	rig_close(rig);
	free(rig);
}

/*
 * As Linux inflates: requests of 256 frames that fall by one, from free areas of about 24 MiB that
 * begin and end anywhere in a block. The idle time does not pass while it lasts.
 */
static void test_trace_of_linux_needs_few_discards(void **state)
{
	struct ledger_rig *rig = calloc(1, sizeof(*rig));
	const uint64_t area = 6100;
	aero_frame top = 0;
	uint64_t given;

	(void)state;
	assert_non_null(rig);
	rig_open(rig, (struct aero_backing){ 0, 0 }, 2 * GIB_FRAMES);
	aero_ledger_set_mode(&rig->ledger, AERO_DISCARD_COLLECT);
	for (given = 0; given < GIB_FRAMES; given += 256) {
		/* Areas in a scattered order, each with frames of somebody else's behind it. */
		aero_frame base = given / area * 29 % 43 * (area + 300) + 133;
		uint64_t in_area = given % area;
		uint64_t first = area - in_area < 256 ? area - in_area : 256;

		top = base + area - in_area;
		rig_give(rig, top - first, first);
		base = (given + 256) / area * 29 % 43 * (area + 300) + 133;
		if (first < 256)
			rig_give(rig, base + area - (256 - first), 256 - first);
		(void)aero_ledger_discard_whole(&rig->ledger);
	}
	rig_discard_whole(rig);
	rig_discard_rest(rig);
	print_message("# 1 GiB as Linux gives it: %llu discards\n",
		      (unsigned long long)rig->host.discards);
	assert_in_range(rig->host.discards, 400, 600);
	assert_int_equal(rig->ledger.counters.given, GIB_FRAMES);
	assert_int_equal(rig->host.discarded_frames, GIB_FRAMES);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 0);
	rig_close(rig);
	free(rig);
}

int main(void)
{
	static struct ledger_setting thp = { { 0, 9 }, AERO_DISCARD_COLLECT };
	static struct ledger_setting thp_request = { { 0, 9 }, AERO_DISCARD_REQUEST };
	static struct ledger_setting big = { { 4, 4 }, AERO_DISCARD_COLLECT };
	static struct ledger_setting big_request = { { 4, 4 }, AERO_DISCARD_REQUEST };
	static struct ledger_setting huge = { { 9, 9 }, AERO_DISCARD_COLLECT };
	static struct ledger_setting request = { { 0, 0 }, AERO_DISCARD_REQUEST };
#define CASE(f, setting) \
	cmocka_unit_test_prestate_setup_teardown(f, rig_setup, rig_teardown, setting)
	const struct CMUnitTest tests[] = {
		CASE(test_collect_discards_a_block_when_its_last_frame_comes, NULL),
		CASE(test_collect_discards_a_block_when_its_last_frame_comes, &thp),
		CASE(test_collect_discards_a_block_when_its_last_frame_comes, &big),
		CASE(test_collect_discards_a_block_when_its_last_frame_comes, &huge),
		CASE(test_collect_merges_neighbouring_blocks, NULL),
		CASE(test_collect_merges_neighbouring_blocks, &huge),
		CASE(test_collect_leaves_partial_blocks_to_the_rest, NULL),
		CASE(test_collect_leaves_partial_blocks_to_the_rest, &thp),
		CASE(test_rest_is_found_below_where_it_was_last, NULL),
		CASE(test_discards_are_bounded, NULL),
		CASE(test_discards_are_bounded, &thp),
		CASE(test_request_discards_are_bounded, &request),
		CASE(test_request_cut_keeps_huge_pages_whole, &thp_request),
		CASE(test_whole_blocks_are_counted, &thp),
		CASE(test_ordinary_pages_have_no_blocks_to_count, NULL),
		CASE(test_64k_rest_discards_whole_pages_only, &big),
		CASE(test_64k_request_drops_partial_pages, &big_request),
		CASE(test_hugetlb_waits_for_the_page, &huge),
		CASE(test_hugetlb_page_given_backwards_is_discarded, &huge),
		CASE(test_hugetlb_page_is_found_without_its_note, &huge),
		CASE(test_ready_blocks_in_any_order, &huge),
		CASE(test_ready_blocks_in_any_order, NULL),
		CASE(test_hugetlb_page_with_a_frame_taken_waits_again, &huge),
		CASE(test_hugetlb_page_refilled_is_discarded_again, &huge),
		cmocka_unit_test(test_gigabyte_page_is_one_discard),
		cmocka_unit_test(test_trace_of_linux_needs_few_discards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
