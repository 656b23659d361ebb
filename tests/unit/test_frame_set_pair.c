/* SPDX-License-Identifier: MIT */
/* What the ledger does to two sets at once, and draining, against models of one byte per frame. */
#include "support/test.h"

#include "src/core/frame_set_drain.h"
#include "src/core/frame_set_pair.h"
#include "support/frame_model.h"
#include "support/nodes.h"
#include "support/random.h"

#define WINDOW 90000
#define TABLE (128ull * 32768)
#define SEEDS 12
#define STEPS 400
#define ROOM 64

struct fixture {
	struct test_nodes nodes;
	struct aero_frame_set whole;
	struct aero_frame_set part;
	struct frame_window windows[2][2];
	struct frame_model whole_model;
	struct frame_model part_model;
	struct test_random random;
	struct aero_range bounds;
};

static struct aero_range range(aero_frame first, uint64_t count)
{
	struct aero_range r = { first, count };

	return r;
}

/* Two windows, the second across the end of the first table. */
static struct fixture *open_fixture(uint64_t seed)
{
	struct fixture *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	test_nodes_init(&b->nodes);
	aero_frame_set_init(&b->whole, &b->nodes.source);
	aero_frame_set_init(&b->part, &b->nodes.source);
	for (int i = 0; i < 2; i++) {
		b->windows[i][0] = (struct frame_window){ 0, WINDOW, NULL };
		b->windows[i][1] = (struct frame_window){ TABLE - WINDOW / 2, WINDOW, NULL };
	}
	frame_model_init(&b->whole_model, b->windows[0], 2);
	frame_model_init(&b->part_model, b->windows[1], 2);
	b->random.state = seed;
	b->bounds = range(10, TABLE + WINDOW / 3);
	return b;
}

static void close_fixture(struct fixture *b)
{
	aero_frame_set_fini(&b->whole);
	aero_frame_set_fini(&b->part);
	assert_int_equal(b->nodes.live, 0);
	frame_model_fini(&b->whole_model);
	frame_model_fini(&b->part_model);
	free(b);
}

static uint64_t below(struct fixture *b, uint64_t limit)
{
	return test_random_below(&b->random, limit);
}

static aero_frame pick_frame(struct fixture *b)
{
	return below(b, 3) ? below(b, WINDOW) : TABLE - WINDOW / 2 + below(b, WINDOW);
}

/* A run inside of a window: the models know nothing else. */
static struct aero_range pick_run(struct fixture *b, uint64_t limit)
{
	struct aero_range r = range(pick_frame(b), 1 + below(b, limit));
	aero_frame end = r.first < WINDOW ? WINDOW : TABLE + WINDOW / 2;

	if (r.first + r.count > end)
		r.count = end - r.first;
	return r;
}

static void insert(struct fixture *b, struct aero_frame_set *set, struct frame_model *model,
		   struct aero_range r)
{
	uint64_t added;

	(void)b;
	assert_int_equal(aero_frame_set_insert(set, r, &added), AERO_OK);
	assert_int_equal(added, frame_model_insert(model, r));
}

static struct aero_frame_set_pair begin(struct fixture *b)
{
	struct aero_frame_set_pair pair = { .whole = &b->whole, .part = &b->part };

	aero_frame_set_pair_begin(&pair, b->bounds);
	return pair;
}

static bool is_inside(const struct fixture *b, struct aero_range r)
{
	return r.first >= b->bounds.first && r.first + r.count <= b->bounds.first + b->bounds.count;
}

/* Whether a frame completes the block it is in. */
static bool fills_block(const struct fixture *b, aero_frame frame)
{
	return frame_model_count_in(&b->whole_model, range(frame & ~511ull, 512)) == 512;
}

static void insert_singles(struct fixture *b)
{
	struct aero_frame_set_pair pair = begin(b);
	uint32_t frames[100];
	size_t count = 1 + below(b, 100);
	bool is_full;
	size_t n;

	for (size_t i = 0; i < count; i++)
		frames[i] = (uint32_t)pick_frame(b);
	n = aero_frame_set_insert_singles(&pair, frames, count, &is_full);
	assert_true(n <= count);
	for (size_t i = 0; i < n; i++) {
		struct aero_range one = range(frames[i], 1);

		assert_true(is_inside(b, one));
		assert_int_equal(frame_model_insert(&b->whole_model, one), 1);
		assert_int_equal(frame_model_insert(&b->part_model, one), 1);
		assert_int_equal(fills_block(b, frames[i]), is_full && i + 1 == n);
		if (i + 1 < count)
			assert_true((uint32_t)(frames[i + 1] - frames[i] + 1) > 2);
	}
}

/* The same by address; now and then one of them is not to be taken, or is none of a frame. */
static void insert_singles_at(struct fixture *b)
{
	struct aero_frame_set_pair pair = begin(b);
	size_t count = 1 + below(b, 100);
	size_t odd = below(b, 200);
	aero_gpa not_this = below(b, 100) << 12;
	aero_gpa at[100];
	bool is_full;
	size_t n;

	for (size_t i = 0; i < count; i++)
		at[i] = pick_frame(b) << 12 | (i == odd);
	n = aero_frame_set_insert_singles_at(&pair, at, count, not_this, &is_full);
	assert_true(n <= count && n <= odd);
	for (size_t i = 0; i < n; i++) {
		struct aero_range one = range(at[i] >> 12, 1);

		assert_true(is_inside(b, one) && at[i] != not_this);
		assert_int_equal(frame_model_insert(&b->whole_model, one), 1);
		assert_int_equal(frame_model_insert(&b->part_model, one), 1);
		assert_int_equal(fills_block(b, one.first), is_full && i + 1 == n);
		if (i + 1 < count)
			assert_true(at[i + 1] - at[i] + 4096 > 8192);
	}
}

/* A block that the models know all of. */
static aero_frame pick_block(struct fixture *b)
{
	aero_frame frame = pick_frame(b) & ~511ull;
	aero_frame end = frame < WINDOW ? WINDOW : TABLE + WINDOW / 2;

	if (frame >= WINDOW && frame < TABLE - WINDOW / 2)
		frame += 512;
	return frame + 512 > end ? frame - 512 : frame;
}

static void insert_blocks_at(struct fixture *b)
{
	struct aero_frame_set_pair pair = { .whole = &b->whole, .part = &b->part };
	size_t count = 1 + below(b, 8);
	aero_gpa not_this = below(b, 30) << 21;
	aero_gpa at[8];
	size_t n;

	for (size_t i = 0; i < count; i++)
		at[i] = (pick_block(b) << 12) + (below(b, 20) ? 0 : 4096);
	n = aero_frame_set_insert_blocks_at(&pair, b->bounds, at, count, not_this);
	assert_true(n <= count);
	for (size_t i = 0; i < n; i++) {
		struct aero_range block = range(at[i] >> 12, 512);

		assert_true(is_inside(b, block) && at[i] != not_this && block.first % 512 == 0);
		assert_int_equal(frame_model_insert(&b->whole_model, block), 512);
		assert_int_equal(frame_model_insert(&b->part_model, block), 512);
		if (i + 1 < count)
			assert_true(at[i + 1] - at[i] + (1 << 21) > 2 << 21);
	}
}

/* No block is whole from one to before another. */
static void assert_none_whole(struct fixture *b, aero_frame from, aero_frame end)
{
	for (; from < end; from += 512)
		assert_true(frame_model_count_in(&b->part_model, range(from, 512)) < 512);
}

/* All whole blocks that begin between two places, one answer after the other. */
static void find_whole(struct fixture *b)
{
	aero_frame end = below(b, 4) ? pick_frame(b) : TABLE + WINDOW;
	aero_frame at = below(b, 2) ? 0 : pick_block(b);
	struct aero_range found;

	while (aero_frame_set_next_whole(&b->part, at, end, &found)) {
		assert_true(found.first >= at && found.first < end && found.count);
		assert_int_equal(found.first % 512, 0);
		assert_int_equal(found.count % 512, 0);
		assert_none_whole(b, at, found.first);
		assert_int_equal(frame_model_count_in(&b->part_model, found), found.count);
		at = found.first + found.count;
	}
	assert_none_whole(b, at, end);
}

static void insert_run(struct fixture *b)
{
	struct aero_frame_set_pair pair = begin(b);
	struct aero_range run = pick_run(b, 1500);
	bool has_filled = false;
	bool is_full;
	uint64_t n;

	n = aero_frame_set_insert_run(&pair, run, &is_full);
	assert_true(n <= run.count);
	if (!n)
		return;
	run.count = n;
	assert_true(is_inside(b, run));
	/* Not further than the leaf it begins in. */
	assert_int_equal(run.first / 32768, (run.first + n - 1) / 32768);
	assert_int_equal(frame_model_insert(&b->whole_model, run), n);
	assert_int_equal(frame_model_insert(&b->part_model, run), n);
	for (aero_frame block = run.first & ~511ull; block < run.first + n; block += 512)
		has_filled |= fills_block(b, block);
	assert_int_equal(is_full, has_filled);
}

/* What drain() ought to answer, range by range. */
static size_t model_drain(struct fixture *b, uint64_t max, size_t room, struct aero_range *out)
{
	size_t count = 0;

	while (max && count < room && frame_model_next(&b->part_model, 0, max, &out[count])) {
		frame_model_remove(&b->part_model, out[count]);
		max -= out[count++].count;
	}
	return count;
}

static void drain(struct fixture *b)
{
	static const uint64_t most[] = { 1, 63, 64, 500, 512, 513, 8192, 100000 };
	struct aero_range want[ROOM];
	struct aero_range got[ROOM];
	uint64_t max = most[below(b, TEST_ARRAY_SIZE(most))];
	size_t room = 1 + below(b, ROOM);
	size_t count = model_drain(b, max, room, want);

	assert_int_equal(aero_frame_set_drain(&b->part, max, room, got), count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(got[i].first, want[i].first);
		assert_int_equal(got[i].count, want[i].count);
	}
}

/* What the other functions do in between, so that leaves are there and tables change. */
static void disturb(struct fixture *b)
{
	struct aero_range r = pick_run(b, 600);

	if (below(b, 2)) {
		insert(b, &b->whole, &b->whole_model, r);
		insert(b, &b->part, &b->part_model, r);
	} else {
		assert_int_equal(aero_frame_set_remove(&b->whole, r),
				 frame_model_remove(&b->whole_model, r));
		assert_int_equal(aero_frame_set_remove(&b->part, r),
				 frame_model_remove(&b->part_model, r));
	}
}

static void test_random_steps_agree_with_models(void **state)
{
	static void (*const actions[])(struct fixture * b) = {
		insert_singles,	  insert_singles, insert_singles, insert_singles_at, insert_run,
		insert_run,	  insert_run,	  insert_run,	  disturb,	     disturb,
		insert_blocks_at, drain,	  find_whole,
	};
	uint64_t seed;

	(void)state;
	for (uint64_t n = 1; test_random_seed(n, SEEDS, &seed); n++) {
		struct fixture *b = open_fixture(seed);

		print_message("# seed %llu\n", (unsigned long long)seed);
		for (int step = 0; step < STEPS; step++) {
			actions[below(b, TEST_ARRAY_SIZE(actions))](b);
			if (step % 20 == 0) {
				frame_model_compare(&b->whole_model, &b->whole);
				frame_model_compare(&b->part_model, &b->part);
			}
		}
		frame_model_compare(&b->whole_model, &b->whole);
		frame_model_compare(&b->part_model, &b->part);
		close_fixture(b);
	}
}

static void test_pair_of_empty_sets_takes_nothing(void **state)
{
	static const uint32_t frames[] = { 20, 40 };
	struct fixture *b = open_fixture(1);
	struct aero_frame_set_pair pair = begin(b);
	bool is_full;

	(void)state;
	assert_int_equal(aero_frame_set_insert_singles(&pair, frames, 2, &is_full), 0);
	assert_int_equal(aero_frame_set_insert_run(&pair, range(20, 5), &is_full), 0);
	assert_int_equal(b->nodes.gets, 0);
	close_fixture(b);
}

/* A run that meets a frame of whole is taken up to the word that has it. */
static void test_run_stops_where_it_is_not_new(void **state)
{
	struct fixture *b = open_fixture(1);
	struct aero_frame_set_pair pair;
	bool is_full;

	(void)state;
	insert(b, &b->whole, &b->whole_model, range(300, 1));
	insert(b, &b->part, &b->part_model, range(5000, 1));
	pair = begin(b);
	assert_int_equal(aero_frame_set_insert_run(&pair, range(100, 400), &is_full), 156);
	frame_model_insert(&b->whole_model, range(100, 156));
	frame_model_insert(&b->part_model, range(100, 156));
	frame_model_compare(&b->whole_model, &b->whole);
	frame_model_compare(&b->part_model, &b->part);
	close_fixture(b);
}

static void test_drain_of_an_empty_set_answers_nothing(void **state)
{
	struct fixture *b = open_fixture(1);
	struct aero_range out;

	(void)state;
	assert_int_equal(aero_frame_set_drain(&b->part, 10, 1, &out), 0);
	close_fixture(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pair_of_empty_sets_takes_nothing),
		cmocka_unit_test(test_run_stops_where_it_is_not_new),
		cmocka_unit_test(test_drain_of_an_empty_set_answers_nothing),
		cmocka_unit_test(test_random_steps_agree_with_models),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
