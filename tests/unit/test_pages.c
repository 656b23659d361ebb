/* SPDX-License-Identifier: MIT */
/* The page core: blocks are allocated, enter the balloon and leave it again. */
#include "test_pages_case.h"

static void test_init_bad_arguments_are_refused(void **state)
{
	struct sim_port_config config = { .orders = 0x3ff };
	struct aero_pages pages;
	struct aero_port port;
	struct sim_port sim;

	(void)state;
	sim_port_init(&sim, &config);
#define REFUSED(change, orders)                                                        \
	do {                                                                           \
		port = sim.port;                                                       \
		change;                                                                \
		assert_int_equal(aero_pages_init(&pages, &port, orders), AERO_EINVAL); \
	} while (0)
	REFUSED((void)0, 0);
	REFUSED((void)0, ORDER(0) | ORDER(10));
	REFUSED((void)0, ORDER(0) | ORDER(31));
	REFUSED((void)0, ORDER(0) | ORDER(1) | ORDER(2) | ORDER(3) | ORDER(4));
	REFUSED(port.alloc = NULL, 1);
	REFUSED(port.free = NULL, 1);
	REFUSED(port.managed_frames = NULL, 1);
	REFUSED(port.page_get = NULL, 1);
	REFUSED(port.page_put = NULL, 1);
	REFUSED(port.page_frame = NULL, 1);
	REFUSED(port.lock = NULL, 1);
	REFUSED(port.unlock = NULL, 1);
	assert_null(sim_port_check_empty(&sim));
	sim_port_fini(&sim);
}

static void test_init_sizes_are_ascending_and_empty(void **state)
{
	static const unsigned int orders[] = { 0, 4, 9, 18 };
	struct pages_case *c = *state;

	assert_int_equal(c->pages.size_count, TEST_ARRAY_SIZE(orders));
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(orders); i++) {
		assert_int_equal(c->pages.size[i].order, orders[i]);
		assert_counters(c, i, 0, 0, 0);
	}
	assert_int_equal(aero_pages_frames(&c->pages), 0);
	assert_int_equal(aero_pages_bytes(&c->pages), 0);
	check_pages(c);
}

static void test_alloc_fills_up_to_count_and_says_how_many_came(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];

	take(c, list, 0, 3);
	assert_int_equal(aero_pages_alloc(&c->pages, list, 0, AERO_EFFORT_SPARE, 5), 2);
	assert_int_equal(list->count, 5);
	for (uint32_t i = 0; i < list->count; i++)
		assert_int_equal(sim_port_owner(&c->sim, list->frames[i]), SIM_OWNER_LENT);
	/* Held is held: not marked, not counted. */
	assert_int_equal(sim_port_offline_frames(&c->sim), 0);
	assert_int_equal(aero_pages_frames(&c->pages), 0);
	assert_counters(c, 0, 0, 0, 0);
	assert_int_equal(aero_pages_alloc(&c->pages, list, 0, AERO_EFFORT_SPARE, 5), 0);
	assert_int_equal(aero_pages_alloc(&c->pages, list, 0, AERO_EFFORT_SPARE, 4), 0);
	assert_int_equal(aero_pages_alloc(&c->pages, list, 1, AERO_EFFORT_SPARE, 9), 0);
	assert_int_equal(list->count, 5);
}

static void test_alloc_more_than_a_list_is_a_list(void **state)
{
	struct pages_case *c = *state;

	assert_int_equal(aero_pages_alloc(&c->pages, &c->list[0], 0, AERO_EFFORT_SPARE, UINT32_MAX),
			 AERO_PAGES_LIST_MAX);
	assert_int_equal(c->list[0].count, AERO_PAGES_LIST_MAX);
}

static void test_alloc_asks_the_kernel_for_what_it_was_told(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];

	c->sim.spare_floor = c->sim.config.frames;
	assert_int_equal(aero_pages_alloc(&c->pages, list, 0, AERO_EFFORT_SPARE, 8), 0);
	assert_int_equal(list->count, 0);
	take(c, list, 0, 8);
	/* The last ones: fewer come than were asked for. */
	c->sim.reclaim_floor = sim_port_free_frames(&c->sim) - 5;
	assert_int_equal(aero_pages_alloc(&c->pages, list, 0, AERO_EFFORT_RECLAIM, 100), 5);
	assert_int_equal(list->count, 13);
	aero_pages_free(&c->pages, list);
	assert_int_equal(list->count, 0);
	assert_int_equal(c->sim.counters.free_calls, 1);
	aero_pages_free(&c->pages, list);
	assert_int_equal(c->sim.counters.free_calls, 1);
}

static void test_enqueue_one_is_marked_and_counted_once(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];
	aero_frame frame;

	take(c, list, 0, 1);
	frame = list->frames[0];
	assert_false(aero_pages_has(&c->pages, 0, frame));
	assert_int_equal(aero_pages_enqueue(&c->pages, list), AERO_OK);
	check_pages(c);
	assert_int_equal(list->count, 0);
	assert_int_equal(list->move, AERO_PAGES_RESTING);
	assert_true(aero_pages_has(&c->pages, 0, frame));
	assert_false(aero_pages_has(&c->pages, 9, frame));
	assert_false(aero_pages_has(&c->pages, 3, frame));
	assert_int_equal(aero_pages_frames(&c->pages), 1);
	assert_int_equal(sim_port_offline_frames(&c->sim), 1);
	assert_int_equal(sim_port_taken_frames(&c->sim), 1);
	assert_counters(c, 0, 1, 0, 0);

	assert_int_equal(aero_pages_dequeue(&c->pages, list, 0, 1), 1);
	check_pages(c);
	assert_int_equal(list->frames[0], frame);
	assert_false(aero_pages_has(&c->pages, 0, frame));
	assert_int_equal(aero_pages_frames(&c->pages), 0);
	assert_int_equal(sim_port_offline_frames(&c->sim), 0);
	assert_int_equal(sim_port_owner(&c->sim, frame), SIM_OWNER_LENT);
	assert_counters(c, 0, 1, 1, 0);
	aero_pages_free(&c->pages, list);
	assert_int_equal(sim_port_owner(&c->sim, frame), SIM_OWNER_FREE);
}

static void test_enqueue_nothing_does_nothing(void **state)
{
	struct pages_case *c = *state;

	assert_int_equal(aero_pages_enqueue(&c->pages, &c->list[0]), AERO_OK);
	assert_int_equal(aero_pages_join(&c->pages, &c->list[0]), AERO_OK);
	assert_int_equal(aero_pages_joined(&c->pages, &c->list[0]), 0);
	assert_int_equal(c->list[0].move, AERO_PAGES_RESTING);
	assert_int_equal(aero_pages_leave(&c->pages, &c->list[0], 0, 10), 0);
	assert_int_equal(aero_pages_left(&c->pages, &c->list[0]), 0);
	assert_int_equal(aero_pages_dequeue(&c->pages, &c->list[0], 1, 10), 0);
	assert_int_equal(aero_pages_bytes(&c->pages), 0);
	assert_counters(c, 0, 0, 0, 0);
}

/* Lists as kernels give them: shuffled, descending, ascending, in runs of every length. */
static void test_enqueue_list_in_any_order_holds_all(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];
	aero_frame frames[AERO_PAGES_LIST_MAX];

	for (uint32_t count = 1; count <= AERO_PAGES_LIST_MAX; count += count < 20 ? 1 : 82) {
		take(c, list, 0, count);
		memcpy(frames, list->frames, sizeof(frames));
		assert_int_equal(aero_pages_enqueue(&c->pages, list), AERO_OK);
		check_pages(c);
		assert_int_equal(aero_pages_frames(&c->pages), count);
		for (uint32_t i = 0; i < count; i++)
			assert_true(aero_pages_has(&c->pages, 0, frames[i]));
		assert_int_equal(aero_pages_dequeue(&c->pages, list, 0, AERO_PAGES_LIST_MAX),
				 count);
		for (uint32_t i = 1; i < count; i++)
			assert_true(list->frames[i - 1] < list->frames[i]);
		check_pages(c);
		aero_pages_free(&c->pages, list);
	}
}

/* Two ascending runs and a descending one, with neighbours that belong to none. */
static void test_enqueue_runs_up_and_down_hold_exactly_those(void **state)
{
	static const aero_frame offsets[] = { 10, 11, 12, 13, 14, 15, 40, 39, 38, 37, 36, 20,
					      22, 21, 30, 31, 50, 60, 59, 61, 63, 62, 64, 8 };
	const uint32_t used = TEST_ARRAY_SIZE(offsets);
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0], *rest = &c->list[1];
	aero_frame base;
	uint32_t inside = 0;

	take(c, list, 0, 70);
	base = list->frames[0];
	for (uint32_t i = 0; i < used; i++)
		list->frames[i] = base + offsets[i];
	list->count = used;
	assert_int_equal(aero_pages_enqueue(&c->pages, list), AERO_OK);
	check_pages(c);
	for (aero_frame offset = 0; offset < 70; offset++) {
		bool is_in = false;

		for (uint32_t i = 0; i < used; i++)
			is_in |= offsets[i] == offset;
		assert_int_equal(aero_pages_has(&c->pages, 0, base + offset), is_in);
		inside += is_in;
		if (!is_in)
			rest->frames[rest->count++] = base + offset;
	}
	assert_int_equal(inside, used);
	assert_int_equal(aero_pages_frames(&c->pages), used);
}

/* Answers that the list was refused and is as it was. */
static void assert_join_refused(struct pages_case *c, struct aero_pages_list *list)
{
	uint64_t frames = aero_pages_frames(&c->pages);
	aero_frame before[AERO_PAGES_LIST_MAX];
	uint32_t count = list->count;

	memcpy(before, list->frames, sizeof(before));
	assert_int_equal(aero_pages_join(&c->pages, list), AERO_EINVAL);
	assert_int_equal(list->count, count);
	assert_int_equal(list->move, AERO_PAGES_RESTING);
	assert_memory_equal(list->frames, before, count * sizeof(before[0]));
	assert_int_equal(aero_pages_frames(&c->pages), frames);
	check_pages(c);
	assert_int_equal(aero_pages_enqueue(&c->pages, list), AERO_EINVAL);
	assert_int_equal(list->count, count);
	check_pages(c);
}

static void test_join_frames_twice_in_a_list_is_refused(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];
	aero_frame spare;

	take(c, list, 0, 40);
	for (uint32_t twice = 0; twice < 39; twice += 3) {
		spare = list->frames[39];
		list->frames[39] = list->frames[twice];
		assert_join_refused(c, list);
		list->frames[39] = spare;
	}
	assert_int_equal(aero_pages_enqueue(&c->pages, list), AERO_OK);
}

static void test_join_frames_in_the_balloon_is_refused(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];

	put_in(c, 0, 20);
	take(c, list, 0, 20);
	for (uint32_t i = 0; i < 20; i++) {
		aero_frame own = list->frames[i];

		/* Alone, and within a run. */
		list->frames[i] = i;
		assert_join_refused(c, list);
		list->frames[i] = own;
	}
	assert_int_equal(aero_pages_enqueue(&c->pages, list), AERO_OK);
}

/* A block that begins with a frame of the balloon, and one around it. */
static void test_join_run_over_the_balloon_is_refused(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];
	aero_frame base;

	take(c, list, 0, 30);
	base = list->frames[0];
	list->frames[0] = base + 10;
	list->count = 1;
	assert_int_equal(aero_pages_enqueue(&c->pages, list), AERO_OK);
	for (uint32_t i = 0; i < 30; i++)
		list->frames[i] = base + i;
	list->count = 30;
	assert_join_refused(c, list);
	list->frames[10] = base + 29;
	list->count = 29;
	assert_int_equal(aero_pages_enqueue(&c->pages, list), AERO_OK);
	assert_int_equal(aero_pages_frames(&c->pages), 30);
}

static void test_join_blocks_that_are_none_is_refused(void **state)
{
	static const aero_frame none[] = { AERO_FRAME_LIMIT, AERO_FRAME_LIMIT + 512, UINT64_MAX,
					   UINT64_MAX - 511, 1ull << 52 };
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];
	aero_frame own;

	take(c, list, 1, 4);
	own = list->frames[2];
	for (uint32_t i = 1; i < 512; i *= 2) {
		list->frames[2] = own + i;
		assert_join_refused(c, list);
	}
	for (uint32_t i = 0; i < TEST_ARRAY_SIZE(none); i++) {
		list->frames[2] = none[i];
		assert_join_refused(c, list);
	}
	list->frames[2] = own;
	assert_int_equal(aero_pages_enqueue(&c->pages, list), AERO_OK);
}

static void test_dequeue_more_than_there_is_takes_what_there_is(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];

	put_in(c, 0, 700);
	put_in(c, 1, 2);
	assert_int_equal(aero_pages_dequeue(&c->pages, list, 0, UINT32_MAX), AERO_PAGES_LIST_MAX);
	aero_pages_free(&c->pages, list);
	assert_int_equal(aero_pages_dequeue(&c->pages, list, 0, 100), 100);
	aero_pages_free(&c->pages, list);
	assert_int_equal(aero_pages_dequeue(&c->pages, list, 0, 512), 88);
	aero_pages_free(&c->pages, list);
	assert_int_equal(aero_pages_dequeue(&c->pages, list, 0, 512), 0);
	assert_int_equal(aero_pages_dequeue(&c->pages, list, 1, 0), 0);
	assert_int_equal(aero_pages_dequeue(&c->pages, list, 1, 1), 1);
	check_pages(c);
	assert_int_equal(aero_pages_frames(&c->pages), 512);
	aero_pages_free(&c->pages, list);
	assert_counters(c, 0, 700, 700, 0);
	assert_counters(c, 1, 2, 1, 0);
}

/* Nothing else than one leaf and its way from the root: metadata is of the set, not of frames. */
static void test_bytes_are_those_taken_from_the_port(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];

	put_in(c, 0, 5000);
	assert_int_equal(aero_pages_bytes(&c->pages), c->sim.pages * 4096);
	assert_in_range(c->sim.pages, 4, 8);
	while (aero_pages_dequeue(&c->pages, list, 0, 512))
		aero_pages_free(&c->pages, list);
	/* A few are kept for the next time. */
	assert_int_equal(aero_pages_bytes(&c->pages), c->sim.pages * 4096);
	assert_in_range(c->sim.pages, 0, 4);
	c->sim.counters.page_gets = 0;
	put_in(c, 0, 500);
	assert_int_equal(c->sim.counters.page_gets, 0);
}

static const struct pages_options shuffled = { .sim = { .order = SIM_SHUFFLED, .seed = 5 } };
static const struct pages_options falling = { .sim = { .order = SIM_DESCENDING } };
static const struct pages_options four_sizes = {
	.sim = { .frames = SIM_PORT_GIB(4), .orders = ORDER(0) | ORDER(4) | ORDER(9) | ORDER(18) },
};

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init_bad_arguments_are_refused),
		CASE(test_init_sizes_are_ascending_and_empty, &four_sizes),
		CASE(test_alloc_fills_up_to_count_and_says_how_many_came, NULL),
		CASE(test_alloc_more_than_a_list_is_a_list, NULL),
		CASE(test_alloc_asks_the_kernel_for_what_it_was_told, NULL),
		CASE(test_enqueue_one_is_marked_and_counted_once, NULL),
		CASE(test_enqueue_nothing_does_nothing, NULL),
		CASE(test_enqueue_list_in_any_order_holds_all, NULL),
		CASE(test_enqueue_list_in_any_order_holds_all, &shuffled),
		CASE(test_enqueue_list_in_any_order_holds_all, &falling),
		CASE(test_enqueue_runs_up_and_down_hold_exactly_those, NULL),
		CASE(test_join_frames_twice_in_a_list_is_refused, NULL),
		CASE(test_join_frames_twice_in_a_list_is_refused, &shuffled),
		CASE(test_join_frames_in_the_balloon_is_refused, NULL),
		CASE(test_join_run_over_the_balloon_is_refused, NULL),
		CASE(test_join_blocks_that_are_none_is_refused, NULL),
		CASE(test_dequeue_more_than_there_is_takes_what_there_is, NULL),
		CASE(test_bytes_are_those_taken_from_the_port, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
