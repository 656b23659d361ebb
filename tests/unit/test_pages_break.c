/* SPDX-License-Identifier: MIT */
#include "test_pages_case.h"

#include "src/guest/pages_internal.h"

/* The page core: a lent block becomes its pages, without the host noticing. */

static const struct pages_options large_pages = { .sim = { .orders = ORDER(2) | ORDER(11) } };
static const struct pages_options three_sizes = {
	.sim = { .frames = 3 << 13, .orders = ORDER(4) | ORDER(9) | ORDER(13) },
};
static const struct pages_options huge = {
	.sim = { .frames = SIM_PORT_GIB(2), .orders = ORDER(0) | ORDER(18) },
};
static const struct pages_options bare = {
	.sim = { .without = SIM_PORT_SPLIT | SIM_PORT_SET_OFFLINE | SIM_PORT_ADJUST_MANAGED |
			    SIM_PORT_LOCK },
};

static uint64_t lent(const struct pages_case *c, unsigned int size)
{
	return aero_frame_set_count(&c->pages.size[size].lent);
}

static void lend(struct pages_case *c, unsigned int size, uint32_t count)
{
	take(c, &c->list[0], size, count);
	assert_int_equal(aero_pages_enqueue(&c->pages, &c->list[0]), AERO_OK);
	assert_int_equal(c->list[0].count, 0);
	check_pages(c);
}

static void break_one(struct pages_case *c, unsigned int size)
{
	uint64_t blocks = lent(c, size), pages = lent(c, 0), frames = aero_pages_frames(&c->pages);
	unsigned int order = c->pages.size[size].order - c->pages.size[0].order;
	uint64_t inflated = c->pages.size[0].counters.inflated;

	assert_true(aero_pages_break(&c->pages, &c->list[0], size));
	check_pages(c);
	assert_int_equal(lent(c, size), blocks - 1);
	assert_int_equal(lent(c, 0), pages + (1ull << order));
	assert_int_equal(aero_pages_frames(&c->pages), frames);
	assert_int_equal(c->pages.size[0].counters.inflated, inflated + (1ull << order));
	assert_int_equal(c->list[0].count, 0);
	assert_int_equal(c->list[0].move, AERO_PAGES_RESTING);
}

static void test_break_makes_pages_of_a_block(void **state)
{
	struct pages_case *c = *state;
	unsigned int top = c->pages.size_count - 1;

	lend(c, top, 2);
	lend(c, 0, 3);
	break_one(c, top);
	if (c->sim.port.split)
		assert_int_equal(c->sim.counters.splits, 1);
	break_one(c, top);
	assert_int_equal(lent(c, top), 0);
	/* They leave as pages do, and go back one by one. */
	assert_int_equal(aero_pages_dequeue(&c->pages, &c->list[0], 0, 100), 100);
	aero_pages_free(&c->pages, &c->list[0]);
	check_pages(c);
}

static void test_break_in_the_middle_of_sizes(void **state)
{
	struct pages_case *c = *state;

	lend(c, 2, 1);
	lend(c, 1, 2);
	break_one(c, 1);
	assert_int_equal(lent(c, 2), 1);
	break_one(c, 2);
	assert_int_equal(lent(c, 0), 32 + 512);
}

static void test_break_without_a_block_answers_false(void **state)
{
	struct pages_case *c = *state;

	assert_false(aero_pages_break(&c->pages, &c->list[0], 1));
	lend(c, 1, 1);
	/* The only one is on its way out. */
	assert_int_equal(aero_pages_leave(&c->pages, &c->list[1], 1, 1), 1);
	aero_pages_rewind(&c->pages);
	assert_false(aero_pages_break(&c->pages, &c->list[0], 1));
	check_pages(c);
	assert_int_equal(aero_pages_left(&c->pages, &c->list[1]), 1);
	aero_pages_free(&c->pages, &c->list[1]);
}

static void test_break_passes_over_isolated_blocks(void **state)
{
	struct pages_case *c = *state;
	struct aero_range first;

	lend(c, 1, 2);
	assert_true(aero_frame_set_next(&c->pages.size[1].lent, 0, 1, &first));
	assert_true(aero_pages_isolate(&c->pages, 9, first.first << 9));
	break_one(c, 1);
	aero_pages_rewind(&c->pages);
	assert_false(aero_pages_break(&c->pages, &c->list[0], 1));
	check_pages(c);
	assert_true(aero_pages_has(&c->pages, 9, first.first << 9));
	aero_pages_putback(&c->pages, 9, first.first << 9);
}

static void test_break_without_memory_changes_nothing(void **state)
{
	struct pages_case *c = *state;
	struct aero_range first;
	unsigned int tries = 0;

	lend(c, 1, 2);
	/* An isolated block takes the spare nodes; there is no page of 4 KiB in the balloon yet. */
	assert_true(aero_frame_set_next(&c->pages.size[1].lent, 0, 1, &first));
	assert_true(aero_pages_isolate(&c->pages, 9, first.first << 9));
	while (c->pages.spare_count) {
		void *page = c->pages.spare;

		memcpy(&c->pages.spare, page, sizeof(c->pages.spare));
		c->pages.spare_count--;
		c->sim.port.page_put(&c->sim, page);
	}
	for (uint64_t nth = 1;; nth++) {
		aero_pages_rewind(&c->pages);
		sim_port_fail(&c->sim, SIM_PORT_PAGE_GET, nth, true);
		if (aero_pages_break(&c->pages, &c->list[0], 1))
			break;
		tries++;
		check_pages(c);
		assert_int_equal(lent(c, 1), 2);
		assert_int_equal(lent(c, 0), 0);
		assert_int_equal(c->sim.counters.splits, 0);
		assert_true(nth < 10);
	}
	sim_port_fail(&c->sim, 0, 0, false);
	assert_true(tries > 0);
	assert_int_equal(lent(c, 0), 512);
	aero_pages_putback(&c->pages, 9, first.first << 9);
	check_pages(c);
}

/* Eight leaves of the set, and as many lists of marks as it takes. */
static void test_break_of_a_gigabyte(void **state)
{
	struct pages_case *c = *state;

	lend(c, 1, 1);
	for (uint64_t nth = 1; nth < 40; nth++) {
		aero_pages_rewind(&c->pages);
		sim_port_fail(&c->sim, SIM_PORT_PAGE_GET, nth, true);
		if (aero_pages_break(&c->pages, &c->list[0], 1))
			break;
		check_pages(c);
		assert_int_equal(lent(c, 1), 1);
		assert_int_equal(lent(c, 0), 0);
	}
	sim_port_fail(&c->sim, 0, 0, false);
	check_pages(c);
	assert_int_equal(lent(c, 1), 0);
	assert_int_equal(lent(c, 0), SIM_PORT_GIB(1));
}

static void test_break_of_a_block_lets_its_pages_be_found(void **state)
{
	struct pages_case *c = *state;

	lend(c, 0, 100);
	lend(c, 1, 1);
	/* All pages have left but for the block, which lies before or behind them. */
	assert_int_equal(aero_pages_leave(&c->pages, &c->list[0], 0, 512), 100);
	assert_int_equal(aero_pages_left(&c->pages, &c->list[0]), 100);
	aero_pages_free(&c->pages, &c->list[0]);
	break_one(c, 1);
	assert_int_equal(aero_pages_leave(&c->pages, &c->list[0], 0, 7), 7);
	assert_int_equal(aero_pages_left(&c->pages, &c->list[0]), 7);
	aero_pages_free(&c->pages, &c->list[0]);
	check_pages(c);
}

static const struct pages_options descending = { .sim = { .order = SIM_DESCENDING } };

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_break_makes_pages_of_a_block, NULL),
		CASE(test_break_makes_pages_of_a_block, &large_pages),
		CASE(test_break_makes_pages_of_a_block, &three_sizes),
		CASE(test_break_makes_pages_of_a_block, &bare),
		CASE(test_break_in_the_middle_of_sizes, &three_sizes),
		CASE(test_break_without_a_block_answers_false, NULL),
		CASE(test_break_passes_over_isolated_blocks, NULL),
		CASE(test_break_without_memory_changes_nothing, NULL),
		CASE(test_break_of_a_gigabyte, &huge),
		CASE(test_break_of_a_block_lets_its_pages_be_found, NULL),
		CASE(test_break_of_a_block_lets_its_pages_be_found, &descending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
