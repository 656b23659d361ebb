/* SPDX-License-Identifier: MIT */
/* The page core: lists in flight, with refusals, with each other, and without memory. */
#include "test_pages_case.h"

static void test_joined_refused_stay_held_in_their_order(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];
	aero_frame frames[100];

	take(c, list, 0, 100);
	memcpy(frames, list->frames, sizeof(frames));
	assert_int_equal(aero_pages_join(&c->pages, list), AERO_OK);
	check_pages(c);
	assert_int_equal(list->move, AERO_PAGES_JOINING);
	assert_int_equal(aero_pages_frames(&c->pages), 0);
	assert_int_equal(sim_port_offline_frames(&c->sim), 0);
	for (uint32_t i = 0; i < 100; i++)
		if (i % 7 == 0 || (i > 31 && i < 65))
			aero_pages_refuse(list, i);
	/* Once more says nothing new. */
	aero_pages_refuse(list, 0);
	aero_pages_refuse(list, 33);
	assert_int_equal(list->refused_count, 43);
	assert_int_equal(aero_pages_joined(&c->pages, list), 57);
	check_pages(c);
	assert_int_equal(list->move, AERO_PAGES_RESTING);
	assert_int_equal(list->count, 43);
	for (uint32_t i = 0, kept = 0; i < 100; i++) {
		bool is_refused = i % 7 == 0 || (i > 31 && i < 65);

		assert_int_equal(aero_pages_has(&c->pages, 0, frames[i]), !is_refused);
		if (is_refused)
			assert_int_equal(list->frames[kept++], frames[i]);
	}
	assert_counters(c, 0, 57, 0, 0);
	/* They may be offered again. */
	assert_int_equal(aero_pages_join(&c->pages, list), AERO_OK);
	assert_int_equal(list->refused_count, 0);
	assert_int_equal(aero_pages_joined(&c->pages, list), 43);
	assert_int_equal(list->count, 0);
	assert_int_equal(aero_pages_frames(&c->pages), 100);
}

static void test_joined_all_refused_leaves_no_trace(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];

	take(c, list, 1, 10);
	assert_int_equal(aero_pages_join(&c->pages, list), AERO_OK);
	for (uint32_t i = 0; i < 10; i++)
		aero_pages_refuse(list, i);
	assert_int_equal(aero_pages_joined(&c->pages, list), 0);
	assert_int_equal(list->count, 10);
	assert_int_equal(aero_pages_frames(&c->pages), 0);
	assert_counters(c, 1, 0, 0, 0);
	check_pages(c);
	aero_pages_free(&c->pages, list);
}

static void test_left_refused_are_lent_as_before(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];

	put_in(c, 0, 100);
	assert_int_equal(aero_pages_leave(&c->pages, list, 0, 50), 50);
	check_pages(c);
	assert_int_equal(list->move, AERO_PAGES_LEAVING);
	assert_int_equal(aero_pages_frames(&c->pages), 100);
	for (uint32_t i = 0; i < 50; i += 2)
		aero_pages_refuse(list, i);
	assert_int_equal(aero_pages_left(&c->pages, list), 25);
	assert_int_equal(list->count, 25);
	check_pages(c);
	for (uint32_t i = 0; i < 25; i++) {
		assert_int_equal(list->frames[i], 2 * i + 1);
		assert_true(aero_pages_has(&c->pages, 0, 2 * i));
		assert_false(aero_pages_has(&c->pages, 0, 2 * i + 1));
	}
	/* Upstream counts those that come back as inflated once more. */
	assert_counters(c, 0, 100, 25, 0);
	aero_pages_free(&c->pages, list);

	assert_int_equal(aero_pages_leave(&c->pages, list, 0, 512), 50);
	for (uint32_t i = 0; i < 50; i++)
		aero_pages_refuse(list, i);
	assert_int_equal(aero_pages_left(&c->pages, list), 0);
	assert_int_equal(list->count, 0);
	assert_int_equal(aero_pages_frames(&c->pages), 75);
	assert_counters(c, 0, 100, 25, 0);
}

static void test_leave_goes_on_where_it_ended(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];
	aero_frame first[] = { 0, 10, 20 };

	put_in(c, 0, 25);
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(first); i++) {
		assert_int_equal(aero_pages_leave(&c->pages, list, 0, 10), i < 2 ? 10 : 5);
		assert_int_equal(list->frames[0], first[i]);
		for (uint32_t at = 0; at < list->count; at++)
			aero_pages_refuse(list, at);
		assert_int_equal(aero_pages_left(&c->pages, list), 0);
	}
	assert_int_equal(aero_pages_leave(&c->pages, list, 0, 10), 0);
	assert_int_equal(list->move, AERO_PAGES_RESTING);
	aero_pages_rewind(&c->pages);
	assert_int_equal(aero_pages_leave(&c->pages, list, 0, 10), 10);
	assert_int_equal(list->frames[0], 0);
	assert_int_equal(aero_pages_left(&c->pages, list), 10);
	aero_pages_free(&c->pages, list);
	/* dequeue() begins with the lowest whatever leave() has seen. */
	assert_int_equal(aero_pages_leave(&c->pages, list, 0, 15), 15);
	assert_int_equal(aero_pages_dequeue(&c->pages, &c->list[1], 0, 15), 0);
	for (uint32_t at = 0; at < list->count; at++)
		aero_pages_refuse(list, at);
	assert_int_equal(aero_pages_left(&c->pages, list), 0);
	assert_int_equal(aero_pages_dequeue(&c->pages, list, 0, 15), 15);
}

static void test_isolate_in_flight_is_false(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *in = &c->list[0], *out = &c->list[1];

	put_in(c, 0, 20);
	take(c, in, 0, 10);
	assert_int_equal(aero_pages_join(&c->pages, in), AERO_OK);
	assert_int_equal(aero_pages_leave(&c->pages, out, 0, 10), 10);
	for (uint32_t i = 0; i < 10; i++) {
		assert_false(aero_pages_isolate(&c->pages, 0, in->frames[i]));
		assert_false(aero_pages_isolate(&c->pages, 0, out->frames[i]));
		assert_true(aero_pages_has(&c->pages, 0, in->frames[i]));
		assert_true(aero_pages_has(&c->pages, 0, out->frames[i]));
	}
	assert_true(aero_pages_isolate(&c->pages, 0, 15));
	check_pages(c);
	aero_pages_refuse(out, 4);
	assert_int_equal(aero_pages_left(&c->pages, out), 9);
	assert_int_equal(aero_pages_joined(&c->pages, in), 10);
	assert_true(aero_pages_isolate(&c->pages, 0, 4));
	assert_true(aero_pages_isolate(&c->pages, 0, 20));
	assert_false(aero_pages_isolate(&c->pages, 0, 3));
	check_pages(c);
	aero_pages_putback(&c->pages, 0, 4);
	aero_pages_putback(&c->pages, 0, 15);
	aero_pages_putback(&c->pages, 0, 20);
}

/* Between the lowest and the highest of a list in flight nothing else leaves. */
static void test_leave_passes_windows_in_flight(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *a = &c->list[0], *b = &c->list[1], *all = &c->list[2];

	/* a: 100, 140; b: 200 .. 209; in the balloon: 0 .. 299 without these. */
	take(c, all, 0, 300);
	for (uint32_t i = 0, kept = 0; i < 300; i++) {
		if (i == 100 || i == 140)
			a->frames[a->count++] = i;
		else if (i >= 200 && i < 210)
			b->frames[b->count++] = i;
		else
			all->frames[kept++] = i;
		all->count = kept;
	}
	assert_int_equal(aero_pages_enqueue(&c->pages, all), AERO_OK);
	assert_int_equal(aero_pages_join(&c->pages, b), AERO_OK);
	assert_int_equal(aero_pages_join(&c->pages, a), AERO_OK);
	check_pages(c);
	assert_true(aero_pages_isolate(&c->pages, 0, 50));
	assert_true(aero_pages_isolate(&c->pages, 0, 51));
	assert_int_equal(aero_pages_leave(&c->pages, all, 0, 512), 300 - 41 - 10 - 2);
	for (uint32_t i = 0; i < all->count; i++) {
		aero_frame frame = all->frames[i];

		assert_false(frame >= 100 && frame <= 140);
		assert_false(frame >= 200 && frame < 210);
		assert_false(frame == 50 || frame == 51);
		assert_true(!i || all->frames[i - 1] < frame);
	}
	check_pages(c);
	assert_int_equal(aero_pages_left(&c->pages, all), 247);
	aero_pages_free(&c->pages, all);
	assert_int_equal(aero_pages_joined(&c->pages, a), 2);
	assert_int_equal(aero_pages_joined(&c->pages, b), 10);
	aero_pages_putback(&c->pages, 0, 50);
	aero_pages_putback(&c->pages, 0, 51);
	assert_int_equal(aero_pages_dequeue(&c->pages, all, 0, 512), 53);
}

/* Answered in the order c, a, b; each other list keeps what it has. */
static void test_lists_in_flight_land_in_any_order(void **state)
{
	static const unsigned int orders[][3] = {
		{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 },
	};
	struct pages_case *c = *state;

	put_in(c, 1, 6);
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(orders); i++) {
		uint64_t frames = aero_pages_frames(&c->pages);

		take(c, &c->list[0], 0, 30);
		assert_int_equal(aero_pages_join(&c->pages, &c->list[0]), AERO_OK);
		/* First, for it passes the windows of others. */
		assert_int_equal(aero_pages_leave(&c->pages, &c->list[2], 1, 2), 2);
		take(c, &c->list[1], 1, 3);
		assert_int_equal(aero_pages_join(&c->pages, &c->list[1]), AERO_OK);
		assert_int_equal(aero_pages_frames(&c->pages), frames);
		for (unsigned int n = 0; n < 3; n++) {
			struct aero_pages_list *list = &c->list[orders[i][n]];

			check_pages(c);
			aero_pages_refuse(list, 1);
			if (list->move == AERO_PAGES_JOINING)
				aero_pages_joined(&c->pages, list);
			else
				aero_pages_left(&c->pages, list);
			aero_pages_free(&c->pages, list);
		}
		assert_int_equal(aero_pages_frames(&c->pages), frames + 29 + 512);
		check_pages(c);
		aero_pages_rewind(&c->pages);
	}
}

static const struct pages_options far = {
	.sim = { .frames = SIM_PORT_GIB(64), .order = SIM_SHUFFLED, .seed = 3 },
};

/* Frames scattered over 64 GiB want a leaf each: without memory all of them rest as before. */
static void test_join_memory_missing_at_each_node_rests(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];
	enum aero_status status = AERO_ENOMEM;
	aero_frame before[60];
	uint64_t nth, pages;

	put_in(c, 0, 2);
	take(c, list, 0, 60);
	memcpy(before, list->frames, sizeof(before));
	for (nth = 1; status; nth++) {
		pages = c->sim.pages;
		sim_port_fail(&c->sim, SIM_PORT_PAGE_GET, nth, nth % 2);
		status = aero_pages_join(&c->pages, list);
		if (!status)
			break;
		assert_int_equal(status, AERO_ENOMEM);
		assert_int_equal(c->sim.counters.failures, 1);
		assert_int_equal(list->move, AERO_PAGES_RESTING);
		assert_int_equal(list->count, 60);
		assert_memory_equal(list->frames, before, sizeof(before));
		assert_int_equal(aero_pages_frames(&c->pages), 2);
		assert_in_range(c->sim.pages, 0, pages + 4);
		check_pages(c);
	}
	assert_in_range(nth, 30, 70);
	assert_int_equal(aero_pages_joined(&c->pages, list), 60);
	assert_counters(c, 0, 62, 0, 0);
	/* To leave, nothing is needed. */
	sim_port_fail(&c->sim, SIM_PORT_PAGE_GET | SIM_PORT_ALLOC, 1, true);
	assert_int_equal(aero_pages_leave(&c->pages, list, 0, 512), 62);
	aero_pages_refuse(list, 3);
	assert_int_equal(aero_pages_left(&c->pages, list), 61);
	aero_pages_free(&c->pages, list);
	assert_int_equal(aero_pages_dequeue(&c->pages, list, 0, 512), 1);
	assert_int_equal(c->sim.counters.failures, 0);
}

/*
 * While join() fetches memory it holds no lock: the kernel isolates, puts back, and takes frames
 * out, and none of that concerns frames that are only half in.
 */
static void meddle(void *ctx, enum sim_port_call call)
{
	struct pages_case *c = ctx;
	struct aero_pages_list *joining = &c->list[0], *other = &c->list[1];

	if (call != SIM_PORT_PAGE_GET || c->seen >= 8)
		return;
	c->sim.during = NULL;
	for (uint32_t i = 0; i < joining->count; i++)
		assert_false(aero_pages_isolate(&c->pages, 0, joining->frames[i]));
	if (c->seen++)
		aero_pages_putback(&c->pages, 9, other->frames[0]);
	assert_int_equal(aero_pages_dequeue(&c->pages, other, 1, 1), 1);
	assert_int_equal(aero_pages_enqueue(&c->pages, other), AERO_OK);
	assert_true(aero_pages_isolate(&c->pages, 9, other->frames[0]));
	/* Of this size nothing is certain now, so nothing leaves. */
	assert_int_equal(aero_pages_dequeue(&c->pages, &c->list[2], 0, 512), 0);
	c->sim.during = meddle;
}

static void test_join_others_while_memory_is_fetched(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];

	put_in(c, 0, 5);
	put_in(c, 1, 8);
	take(c, list, 0, 20);
	c->sim.during = meddle;
	c->sim.during_ctx = c;
	assert_int_equal(aero_pages_join(&c->pages, list), AERO_OK);
	c->sim.during = NULL;
	assert_int_equal(c->seen, 8);
	check_pages(c);
	assert_int_equal(aero_pages_joined(&c->pages, list), 20);
	aero_pages_putback(&c->pages, 9, c->list[1].frames[0]);
	assert_int_equal(aero_pages_frames(&c->pages), 25 + 8 * 512);
}

/* A kernel that gives the same frames to two at once: one is refused, and nothing is lost. */
static void join_the_same(void *ctx, enum sim_port_call call)
{
	struct pages_case *c = ctx;
	struct aero_pages_list *other = &c->list[1];

	if (call != SIM_PORT_PAGE_GET || ++c->seen != c->list[2].count)
		return;
	c->sim.during = NULL;
	assert_int_equal(aero_pages_enqueue(&c->pages, other), AERO_OK);
}

static void test_join_the_same_frames_while_memory_is_fetched(void **state)
{
	(void)state;
	for (uint32_t nth = 1; nth <= 4; nth++) {
		struct aero_pages_list *list, *other;
		struct pages_case *c;
		void *own = NULL;

		pages_open(&own);
		c = own;
		list = &c->list[0];
		other = &c->list[1];
		take(c, list, 0, 20);
		/* Some in the middle of the run, and none of them twice in the end. */
		memcpy(other->frames, list->frames + 5, 3 * sizeof(list->frames[0]));
		other->count = 3;
		c->list[2].count = nth;
		c->sim.during = join_the_same;
		c->sim.during_ctx = c;
		assert_int_equal(aero_pages_join(&c->pages, list), AERO_EINVAL);
		assert_int_equal(c->seen, nth);
		c->list[2].count = 0;
		check_pages(c);
		assert_int_equal(aero_pages_frames(&c->pages), 3);
		/* They are the balloon's now; the list has the others only. */
		memmove(list->frames + 5, list->frames + 8, 12 * sizeof(list->frames[0]));
		list->count = 17;
		pages_close(&own);
	}
}

static const struct pages_options bare = {
	.sim = { .without = SIM_PORT_SPLIT | SIM_PORT_SET_OFFLINE | SIM_PORT_ADJUST_MANAGED |
			    SIM_PORT_LOCK | SIM_PORT_LOG },
};

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_joined_refused_stay_held_in_their_order, NULL),
		CASE(test_joined_refused_stay_held_in_their_order, &bare),
		CASE(test_joined_refused_stay_held_in_their_order, &far),
		CASE(test_joined_all_refused_leaves_no_trace, NULL),
		CASE(test_left_refused_are_lent_as_before, NULL),
		CASE(test_left_refused_are_lent_as_before, &bare),
		CASE(test_leave_goes_on_where_it_ended, NULL),
		CASE(test_isolate_in_flight_is_false, NULL),
		CASE(test_leave_passes_windows_in_flight, NULL),
		CASE(test_lists_in_flight_land_in_any_order, NULL),
		CASE(test_lists_in_flight_land_in_any_order, &bare),
		CASE(test_join_memory_missing_at_each_node_rests, &far),
		CASE(test_join_others_while_memory_is_fetched, &far),
		cmocka_unit_test(test_join_the_same_frames_while_memory_is_fetched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
