/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <aerostat/frame_set.h>

#include "src/core/frame_set_tree.h"
#include "support/frame_model.h"
#include "support/nodes.h"
#include "support/random.h"

#define LIMIT AERO_FRAME_LIMIT

/* Where one word, block, leaf, table and branch end and the next begins. */
static const aero_frame edges[] = {
	64, 512, 32768, 1ull << 22, 1ull << 31, LIMIT - (1ull << 31), LIMIT - (1ull << 22),
};

/* A set, what it ought to hold, and where its nodes come from. */
struct fixture {
	struct test_nodes nodes;
	struct aero_frame_set set;
	struct frame_model model;
	struct frame_window windows[4];
};

static int setup(void **state)
{
	static const struct frame_window windows[] = {
		{ 0, 100000, NULL },
		{ (1ull << 22) - 40000, 80000, NULL },
		{ (1ull << 31) - 40000, 80000, NULL },
		{ LIMIT - 70000, 70000, NULL },
	};
	struct fixture *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	memcpy(b->windows, windows, sizeof(windows));
	test_nodes_init(&b->nodes);
	aero_frame_set_init(&b->set, &b->nodes.source);
	frame_model_init(&b->model, b->windows, TEST_ARRAY_SIZE(windows));
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *b = *state;

	aero_frame_set_fini(&b->set);
	assert_int_equal(b->nodes.live, 0);
	frame_model_fini(&b->model);
	free(b);
	return 0;
}

static struct aero_range range(aero_frame first, uint64_t count)
{
	struct aero_range r = { first, count };

	return r;
}

static uint64_t insert(struct fixture *b, aero_frame first, uint64_t count)
{
	uint64_t added;

	assert_int_equal(aero_frame_set_insert(&b->set, range(first, count), &added), AERO_OK);
	return added;
}

static void assert_range(struct aero_range got, aero_frame first, uint64_t count)
{
	assert_int_equal(got.first, first);
	assert_int_equal(got.count, count);
}

static void assert_only(struct fixture *b, aero_frame first, uint64_t count)
{
	struct aero_range got;

	assert_int_equal(aero_frame_set_validate(&b->set), AERO_OK);
	assert_int_equal(aero_frame_set_count(&b->set), count);
	assert_int_equal(b->nodes.live * AERO_NODE_BYTES, aero_frame_set_bytes(&b->set));
	assert_int_equal(aero_frame_set_next(&b->set, 0, UINT64_MAX, &got), count > 0);
	if (count)
		assert_range(got, first, count);
	else
		assert_int_equal(b->nodes.live, 0);
}

static void test_init_takes_no_node(void **state)
{
	struct fixture *b = *state;

	assert_only(b, 0, 0);
	assert_int_equal(b->nodes.gets, 0);
}

static void test_insert_empty_range_takes_no_node(void **state)
{
	struct fixture *b = *state;

	assert_int_equal(insert(b, 7, 0), 0);
	assert_int_equal(insert(b, LIMIT, 0), 0);
	assert_int_equal(b->nodes.gets, 0);
}

static void test_insert_past_limit_adds_nothing(void **state)
{
	static const struct aero_range outside[] = {
		{ LIMIT, 1 },	   { LIMIT - 1, 2 },	  { 0, LIMIT + 1 },	 { UINT64_MAX, 1 },
		{ UINT64_MAX, 0 }, { 5, UINT64_MAX },	  { LIMIT - 64, 65 },	 { LIMIT + 64, 64 },
		{ 1ull << 63, 1 }, { 5, UINT64_MAX - 4 }, { LIMIT, UINT64_MAX },
	};
	struct fixture *b = *state;

	insert(b, LIMIT - 1, 1);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(outside); i++) {
		uint64_t added = 99;

		assert_int_equal(aero_frame_set_insert(&b->set, outside[i], &added), AERO_ERANGE);
		assert_int_equal(added, 0);
	}
	assert_only(b, LIMIT - 1, 1);
}

static void test_insert_twice_counts_new_frames_only(void **state)
{
	struct fixture *b = *state;

	assert_int_equal(insert(b, 100, 1), 1);
	assert_int_equal(insert(b, 100, 1), 0);
	assert_int_equal(insert(b, 90, 30), 29);
	assert_int_equal(insert(b, 64, 64), 34);
	assert_int_equal(insert(b, 0, 1000), 936);
	assert_int_equal(insert(b, 0, 1000), 0);
	assert_only(b, 0, 1000);
}

static void test_insert_remove_at_every_edge(void **state)
{
	struct fixture *b = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(edges); i++) {
		aero_frame e = edges[i];

		assert_int_equal(insert(b, e - 3, 6), 6);
		assert_only(b, e - 3, 6);
		assert_int_equal(aero_frame_set_count_in(&b->set, range(e - 4, 4)), 3);
		assert_int_equal(aero_frame_set_count_in(&b->set, range(e, 1)), 1);
		assert_int_equal(aero_frame_set_remove(&b->set, range(e, 10)), 3);
		assert_only(b, e - 3, 3);
		assert_int_equal(insert(b, e - 1, 3), 2);
		assert_only(b, e - 3, 5);
		assert_int_equal(aero_frame_set_remove(&b->set, range(e - 10, 10)), 3);
		assert_only(b, e, 2);
		assert_int_equal(aero_frame_set_remove(&b->set, range(0, UINT64_MAX)), 2);
		assert_only(b, 0, 0);
	}
}

static void test_last_frame_of_all_is_a_frame_like_others(void **state)
{
	struct aero_range got;
	struct fixture *b = *state;

	assert_int_equal(insert(b, LIMIT - 1, 1), 1);
	assert_int_equal(aero_frame_set_count_in(&b->set, range(LIMIT - 1, UINT64_MAX)), 1);
	assert_true(aero_frame_set_next(&b->set, LIMIT - 1, 1, &got));
	assert_range(got, LIMIT - 1, 1);
	assert_false(aero_frame_set_next(&b->set, LIMIT, 1, &got));
	assert_false(aero_frame_set_next(&b->set, UINT64_MAX, 1, &got));
	assert_true(aero_frame_set_take_last(&b->set, UINT64_MAX, &got));
	assert_range(got, LIMIT - 1, 1);
	assert_only(b, 0, 0);
}

static void test_remove_outside_removes_nothing(void **state)
{
	struct fixture *b = *state;

	assert_int_equal(aero_frame_set_remove(&b->set, range(0, UINT64_MAX)), 0);
	insert(b, 32768, 1);
	assert_int_equal(aero_frame_set_remove(&b->set, range(32767, 1)), 0);
	assert_int_equal(aero_frame_set_remove(&b->set, range(32768, 0)), 0);
	assert_int_equal(aero_frame_set_remove(&b->set, range(32769, 1)), 0);
	assert_int_equal(aero_frame_set_remove(&b->set, range(32769, UINT64_MAX)), 0);
	assert_int_equal(aero_frame_set_remove(&b->set, range(LIMIT, 1)), 0);
	assert_int_equal(aero_frame_set_remove(&b->set, range(UINT64_MAX, 1)), 0);
	assert_only(b, 32768, 1);
}

static void test_has_block_only_when_full(void **state)
{
	struct fixture *b = *state;

	for (size_t i = 1; i < TEST_ARRAY_SIZE(edges); i++) {
		aero_frame e = edges[i];

		insert(b, e, 511);
		assert_false(aero_frame_set_has_block(&b->set, e));
		insert(b, e + 511, 1);
		assert_true(aero_frame_set_has_block(&b->set, e));
		assert_true(aero_frame_set_has_block(&b->set, e + 511));
		assert_false(aero_frame_set_has_block(&b->set, e - 1));
		assert_false(aero_frame_set_has_block(&b->set, e + 512));
		aero_frame_set_remove(&b->set, range(e + 77, 1));
		assert_false(aero_frame_set_has_block(&b->set, e));
		aero_frame_set_remove(&b->set, range(e, 512));
	}
	assert_false(aero_frame_set_has_block(&b->set, LIMIT));
	assert_false(aero_frame_set_has_block(&b->set, UINT64_MAX));
}

static void test_next_every_max_and_start(void **state)
{
	struct fixture *b = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(edges); i++) {
		aero_frame first = edges[i] - 40;

		insert(b, first, 80);
		for (uint64_t from = 0; from < 80; from++) {
			for (uint64_t max = 1; max <= 82; max++) {
				struct aero_range got;

				assert_true(aero_frame_set_next(&b->set, first + from, max, &got));
				assert_range(got, first + from, max < 80 - from ? max : 80 - from);
			}
		}
		aero_frame_set_remove(&b->set, range(first, 80));
	}
}

static void test_take_first_every_max(void **state)
{
	struct fixture *b = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(edges); i++) {
		for (uint64_t max = 1; max <= 150; max++) {
			aero_frame first = edges[i] - 40;
			uint64_t left = 140;
			struct aero_range got;

			insert(b, first, left);
			while (left) {
				uint64_t n = max < left ? max : left;

				assert_true(aero_frame_set_take_first(&b->set, max, &got));
				assert_range(got, first, n);
				first += n;
				left -= n;
				assert_only(b, first, left);
			}
			assert_false(aero_frame_set_take_first(&b->set, max, &got));
		}
	}
}

static void test_take_runs_every_max_and_room(void **state)
{
	struct fixture *b = *state;

	for (uint64_t max = 1; max <= 12; max++) {
		for (size_t room = 1; room <= 30; room++) {
			struct aero_range got[30];
			aero_frame next = 0;
			size_t n;

			/* A pair, a frame that ends a word, and a run over the edge of a leaf. */
			insert(b, 1, 2);
			insert(b, 63, 1);
			insert(b, 200, 64);
			insert(b, 32760, 20);
			while ((n = aero_frame_set_take_runs(&b->set, max, room, got)) > 0) {
				for (size_t i = 0; i < n; i++) {
					assert_true(got[i].first >= next);
					assert_in_range(got[i].count, 1, max);
					next = got[i].first + got[i].count;
				}
				assert_true(n == room || !aero_frame_set_count(&b->set));
				assert_int_equal(aero_frame_set_validate(&b->set), AERO_OK);
			}
			assert_only(b, 0, 0);
		}
	}
	assert_int_equal(aero_frame_set_take_runs(&b->set, 1, 0, NULL), 0);
}

static void test_take_last_every_max(void **state)
{
	struct fixture *b = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(edges); i++) {
		for (uint64_t max = 1; max <= 150; max++) {
			aero_frame first = edges[i] - 40;
			uint64_t left = 140;
			struct aero_range got;

			insert(b, first, left);
			while (left) {
				assert_true(aero_frame_set_take_last(&b->set, max, &got));
				left -= got.count;
				assert_int_equal(got.first, first + left);
				/* Less than max only at the end or where a leaf begins. */
				assert_in_range(got.count, 1, max);
				assert_true(got.count == max || !left ||
					    got.first % LEAF_FRAMES == 0);
				assert_only(b, first, left);
			}
			assert_false(aero_frame_set_take_last(&b->set, max, &got));
		}
	}
}

static void test_long_run_crosses_every_level(void **state)
{
	aero_frame first = (1ull << 31) - (1ull << 22) - 5;
	uint64_t count = (2ull << 22) + 12;
	struct aero_range got;
	struct fixture *b = *state;

	assert_int_equal(insert(b, first, count), count);
	assert_only(b, first, count);
	assert_int_equal(aero_frame_set_count_in(&b->set, range(0, LIMIT)), count);
	for (uint64_t max = 1; max < count; max = max * 2 + 1) {
		assert_true(aero_frame_set_next(&b->set, first, max, &got));
		assert_range(got, first, max);
	}
	assert_true(aero_frame_set_take_first(&b->set, UINT64_MAX, &got));
	assert_range(got, first, count);
	assert_only(b, 0, 0);
}

static void test_bytes_of_one_tib_at_most_33_mib(void **state)
{
	struct fixture *b = *state;

	assert_int_equal(insert(b, 0, 1ull << 28), 1ull << 28);
	assert_in_range(aero_frame_set_bytes(&b->set), 32 << 20, 33 << 20);
	assert_only(b, 0, 1ull << 28);
	assert_int_equal(aero_frame_set_remove(&b->set, range(0, LIMIT)), 1ull << 28);
	assert_only(b, 0, 0);
}

static void test_fini_leaves_a_usable_set(void **state)
{
	struct fixture *b = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(edges); i++)
		insert(b, edges[i], 1);
	aero_frame_set_fini(&b->set);
	assert_only(b, 0, 0);
	insert(b, 1ull << 31, 2);
	assert_only(b, 1ull << 31, 2);
}

/* A damaged set is noticed: what damages it is undone before the next. */
static void test_validate_finds_damage(void **state)
{
	struct aero_frame_set_entry *e;
	struct aero_frame_set good;
	struct fixture *b = *state;

	insert(b, 0, 512);
	insert(b, 600, 1);
	assert_int_equal(aero_frame_set_validate(&b->set), AERO_OK);
	e = aero_frame_set_find_entry(&b->set, 0);
	good = b->set;

#define ASSERT_NOTICED(damage, repair)                                         \
	do {                                                                   \
		damage;                                                        \
		assert_int_equal(aero_frame_set_validate(&b->set), AERO_EBUG); \
		repair;                                                        \
		assert_int_equal(aero_frame_set_validate(&b->set), AERO_OK);   \
	} while (0)

	ASSERT_NOTICED(e->any ^= 1, e->any ^= 1);
	ASSERT_NOTICED(e->any ^= 4, e->any ^= 4);
	ASSERT_NOTICED(e->full ^= 1, e->full ^= 1);
	ASSERT_NOTICED(e->full ^= 2, e->full ^= 2);
	ASSERT_NOTICED(e->count++, e->count--);
	ASSERT_NOTICED(e->leaf[9] ^= 8, e->leaf[9] ^= 8);
	ASSERT_NOTICED(e->leaf[15] ^= 8, e->leaf[15] ^= 8);
	ASSERT_NOTICED(e[1].any = 1, e[1].any = 0);
	ASSERT_NOTICED(e->leaves++, e->leaves--);
	ASSERT_NOTICED(b->set.count--, b->set = good);
	ASSERT_NOTICED(b->set.node_count++, b->set = good);
	ASSERT_NOTICED(b->set.hint++, b->set = good);
	ASSERT_NOTICED(b->set.hint_index++, b->set = good);
	ASSERT_NOTICED(b->set.low++, b->set = good);
	ASSERT_NOTICED(b->set.high--, b->set = good);
#undef ASSERT_NOTICED
}

/* A place near an edge of a word, block or leaf of a window, or anywhere in it. */
static aero_frame random_place(struct test_random *random, const struct frame_window *window)
{
	static const uint64_t steps[] = { 1, 64, 512, 32768 };
	uint64_t step = steps[test_random_below(random, TEST_ARRAY_SIZE(steps))];
	aero_frame place = window->first + test_random_below(random, window->count);

	if (step > 1)
		place = place / step * step + test_random_below(random, 5) - 2;
	if (place < window->first || place >= window->first + window->count)
		place = window->first;
	return place;
}

/* A range in one window; wild 0 to 3 is how long ranges get. */
static struct aero_range random_range(struct test_random *random, struct fixture *b,
				      unsigned int wild)
{
	static const uint64_t lengths[] = { 2, 70, 1100, 70000, 64, 512, 32768 };
	const struct frame_window *window = &b->windows[test_random_below(random, 4)];
	struct aero_range r = { random_place(random, window), 1 };
	unsigned int kind = (unsigned int)test_random_below(random, wild + 2);
	uint64_t room = window->first + window->count - r.first;

	if (kind <= wild)
		r.count = test_random_below(random, lengths[kind]);
	else
		r.count = lengths[4 + test_random_below(random, wild ? wild : 1)];
	if (r.count > room)
		r.count = room;
	return r;
}

static void step_insert(struct test_random *random, struct fixture *b, unsigned int wild)
{
	struct aero_range r = random_range(random, b, wild);

	assert_int_equal(insert(b, r.first, r.count), frame_model_insert(&b->model, r));
}

static void step_remove(struct test_random *random, struct fixture *b, unsigned int wild)
{
	struct aero_range r = random_range(random, b, wild);

	/* Seldom something that spans windows, or everything. */
	if (test_random_below(random, 64) == 0)
		r.count = test_random_next(random) >> test_random_below(random, 64);
	assert_int_equal(aero_frame_set_remove(&b->set, r), frame_model_remove(&b->model, r));
}

static void step_take_first(struct test_random *random, struct fixture *b, unsigned int wild)
{
	uint64_t max = random_range(random, b, wild).count + 1;
	struct aero_range want;
	struct aero_range got;
	bool is_some = frame_model_next(&b->model, 0, max, &want);

	assert_int_equal(aero_frame_set_take_first(&b->set, max, &got), is_some);
	if (!is_some)
		return;
	assert_range(got, want.first, want.count);
	frame_model_remove(&b->model, want);
}

/* As many calls of take_first() in the model, in one. */
static void step_take_runs(struct test_random *random, struct fixture *b, unsigned int wild)
{
	uint64_t max = random_range(random, b, wild).count + 1;
	size_t room = test_random_below(random, 40);
	struct aero_range got[40];
	struct aero_range want;
	size_t n = aero_frame_set_take_runs(&b->set, max, room, got);

	assert_in_range(n, 0, room);
	for (size_t i = 0; i < n; i++) {
		assert_true(frame_model_next(&b->model, 0, max, &want));
		assert_range(got[i], want.first, want.count);
		frame_model_remove(&b->model, want);
	}
	assert_true(n == room || b->model.count == 0);
}

static void step_take_last(struct test_random *random, struct fixture *b, unsigned int wild)
{
	uint64_t max = random_range(random, b, wild).count + 1;
	struct aero_range want;
	struct aero_range got;
	bool is_some = frame_model_last(&b->model, &want);
	aero_frame end = want.first + want.count;

	assert_int_equal(aero_frame_set_take_last(&b->set, max, &got), is_some);
	if (!is_some)
		return;
	assert_int_equal(got.first + got.count, end);
	assert_true(got.first == want.first || got.count == max ||
		    (got.first % LEAF_FRAMES == 0 && got.count < max));
	assert_in_range(got.count, 1, want.count < max ? want.count : max);
	frame_model_remove(&b->model, got);
}

static void step_ask(struct test_random *random, struct fixture *b, unsigned int wild)
{
	struct aero_range r = random_range(random, b, wild);
	struct aero_range block = range(r.first / 512 * 512, 512);
	struct aero_range want;
	struct aero_range got;
	bool is_some;

	if (test_random_below(random, 16) == 0)
		r.count = test_random_next(random) >> test_random_below(random, 64);
	assert_int_equal(aero_frame_set_count_in(&b->set, r), frame_model_count_in(&b->model, r));
	assert_int_equal(aero_frame_set_has_block(&b->set, r.first),
			 frame_model_count_in(&b->model, block) == 512);
	is_some = frame_model_next(&b->model, r.first, r.count + 1, &want);
	assert_int_equal(aero_frame_set_next(&b->set, r.first, r.count + 1, &got), is_some);
	if (is_some)
		assert_range(got, want.first, want.count);
}

static void run_steps(struct fixture *b, uint64_t seed, unsigned int steps)
{
	struct test_random random = { seed };
	unsigned int wild = (unsigned int)(seed % 4);

	for (unsigned int i = 1; i <= steps; i++) {
		uint64_t kind = test_random_below(&random, 16);

		if (kind < 8)
			step_insert(&random, b, wild);
		else if (kind < 12)
			step_remove(&random, b, wild);
		else if (kind < 13)
			step_take_first(&random, b, wild);
		else if (kind < 14)
			step_take_runs(&random, b, wild);
		else
			step_take_last(&random, b, wild);
		step_ask(&random, b, wild);
		assert_int_equal(aero_frame_set_validate(&b->set), AERO_OK);
		assert_int_equal(aero_frame_set_count(&b->set), b->model.count);
		if (i % 64 == 0)
			frame_model_compare(&b->model, &b->set);
	}
}

static void test_random_steps_agree_with_model(void **state)
{
	struct fixture *b = *state;
	uint64_t seed;

	for (uint64_t n = 1; test_random_seed(n, 16, &seed); n++) {
		print_message("# AERO_TEST_SEED=%llu replays what follows\n",
			      (unsigned long long)seed);
		run_steps(b, seed, 512);
		frame_model_compare(&b->model, &b->set);
		assert_int_equal(aero_frame_set_remove(&b->set, range(0, LIMIT)), b->model.count);
		frame_model_remove(&b->model, range(0, LIMIT));
		assert_only(b, 0, 0);
	}
}

/* Small ranges only, then all taken from both ends: leaves come and go one by one. */
static void test_sparse_set_taken_from_both_ends(void **state)
{
	struct test_random random = { 1 };
	struct fixture *b = *state;

	for (unsigned int i = 0; i < 2000; i++)
		step_insert(&random, b, 0);
	frame_model_compare(&b->model, &b->set);
	for (unsigned int i = 0; b->model.count; i++) {
		if (i % 3 == 0)
			step_take_first(&random, b, 1);
		else if (i % 3 == 1)
			step_take_last(&random, b, 1);
		else
			step_take_runs(&random, b, 1);
		assert_int_equal(aero_frame_set_count(&b->set), b->model.count);
		if (i % 64 == 0)
			frame_model_compare(&b->model, &b->set);
	}
	assert_only(b, 0, 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_init_takes_no_node),
		CASE(test_insert_empty_range_takes_no_node),
		CASE(test_insert_past_limit_adds_nothing),
		CASE(test_insert_twice_counts_new_frames_only),
		CASE(test_insert_remove_at_every_edge),
		CASE(test_last_frame_of_all_is_a_frame_like_others),
		CASE(test_remove_outside_removes_nothing),
		CASE(test_has_block_only_when_full),
		CASE(test_next_every_max_and_start),
		CASE(test_take_first_every_max),
		CASE(test_take_runs_every_max_and_room),
		CASE(test_take_last_every_max),
		CASE(test_long_run_crosses_every_level),
		CASE(test_bytes_of_one_tib_at_most_33_mib),
		CASE(test_fini_leaves_a_usable_set),
		CASE(test_validate_finds_damage),
		CASE(test_random_steps_agree_with_model),
		CASE(test_sparse_set_taken_from_both_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
