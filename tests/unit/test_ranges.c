/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <aerostat/ranges.h>

#include "support/random.h"

#define COUNT_MAX 4096

/* Buffers of their exact size on the heap, so that a sanitizer sees every step outside. */
struct fold {
	uint32_t *frames;
	struct aero_range *scratch;
	struct aero_range *out;
	size_t count;
};

static void *exact(size_t count, size_t size)
{
	void *p = malloc(count ? count * size : 1);

	assert_non_null(p);
	memset(p, 0xa5, count * size);
	return p;
}

static struct fold make_fold(size_t count)
{
	struct fold f;

	f.frames = exact(count, sizeof(*f.frames));
	f.scratch = exact(AERO_RANGES_SCRATCH(count), sizeof(*f.scratch));
	f.out = exact(count, sizeof(*f.out));
	f.count = count;
	return f;
}

static void free_fold(struct fold *f)
{
	free(f->frames);
	free(f->scratch);
	free(f->out);
}

static int compare_frames(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* What fold() ought to answer: qsort and merge. */
static size_t fold_slowly(const struct fold *f, struct aero_range *out)
{
	uint32_t *sorted = exact(f->count, sizeof(*sorted));
	size_t n = 0;

	memcpy(sorted, f->frames, f->count * sizeof(*sorted));
	qsort(sorted, f->count, sizeof(*sorted), compare_frames);
	for (size_t i = 0; i < f->count; i++) {
		uint64_t end = n ? out[n - 1].first + out[n - 1].count : 0;

		if (n && sorted[i] == end) {
			out[n - 1].count++;
		} else if (!n || sorted[i] > end) {
			out[n].first = sorted[i];
			out[n++].count = 1;
		}
	}
	free(sorted);
	return n;
}

/* Fold and compare; the frames must be untouched. */
static void check_fold(struct fold *f)
{
	struct aero_range *want = exact(f->count, sizeof(*want));
	uint32_t *before = exact(f->count, sizeof(*before));
	size_t want_count = fold_slowly(f, want);
	size_t got_count = 12345;

	memcpy(before, f->frames, f->count * sizeof(*before));
	aero_ranges_fold(f->frames, f->count, f->scratch, f->out, &got_count);
	assert_int_equal(got_count, want_count);
	for (size_t i = 0; i < want_count; i++) {
		assert_int_equal(f->out[i].first, want[i].first);
		assert_int_equal(f->out[i].count, want[i].count);
	}
	assert_memory_equal(f->frames, before, f->count * sizeof(*before));
	free(before);
	free(want);
}

/* Scan to the end and compare every run with the definition, entry by entry. */
static void check_scan(const struct fold *f)
{
	size_t at = 0;

	while (at < f->count) {
		const uint32_t *frames = f->frames + at;
		struct aero_range run;
		size_t n = aero_ranges_scan(frames, f->count - at, &run);
		bool is_rising = n > 1 && frames[1] == frames[0] + 1;

		assert_in_range(n, 1, f->count - at);
		assert_int_equal(run.count, n);
		assert_int_equal(run.first, is_rising || n == 1 ? frames[0] : frames[n - 1]);
		/* No run wraps, and none ends although the next entry goes on. */
		assert_true(run.first + run.count <= 1ull << 32);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(frames[i],
					 is_rising ? run.first + i : run.first + n - 1 - i);
		if (at + n < f->count && (n == 1 || is_rising))
			assert_true(frames[n] != (uint64_t)frames[n - 1] + 1);
		if (at + n < f->count && (n == 1 || !is_rising))
			assert_true((uint64_t)frames[n] + 1 != frames[n - 1]);
		at += n;
	}
	assert_int_equal(at, f->count);
}

static void check(struct fold *f)
{
	check_scan(f);
	check_fold(f);
}

static void check_list(const uint32_t *frames, size_t count)
{
	struct fold f = make_fold(count);

	memcpy(f.frames, frames, count * sizeof(*frames));
	check(&f);
	free_fold(&f);
}

#define CHECK_LIST(...)                                         \
	do {                                                    \
		static const uint32_t list[] = { __VA_ARGS__ }; \
		check_list(list, TEST_ARRAY_SIZE(list));        \
	} while (0)

static void test_fold_nothing_answers_nothing(void **state)
{
	struct fold f = make_fold(0);

	(void)state;
	check_fold(&f);
	free_fold(&f);
}

static void test_fold_one_frame(void **state)
{
	(void)state;
	CHECK_LIST(0);
	CHECK_LIST(7);
	CHECK_LIST(UINT32_MAX);
}

static void test_fold_few_frames_every_shape(void **state)
{
	(void)state;
	CHECK_LIST(1, 2);
	CHECK_LIST(2, 1);
	CHECK_LIST(1, 1);
	CHECK_LIST(1, 3);
	CHECK_LIST(3, 1);
	CHECK_LIST(1, 2, 1);
	CHECK_LIST(2, 1, 2);
	CHECK_LIST(5, 6, 7, 7, 6, 5);
	CHECK_LIST(10, 11, 12, 9, 8, 7);
	CHECK_LIST(1, 2, 3, 5, 6, 7, 4);
}

static void test_fold_wraps_nowhere(void **state)
{
	(void)state;
	CHECK_LIST(UINT32_MAX, 0);
	CHECK_LIST(0, UINT32_MAX);
	CHECK_LIST(UINT32_MAX - 1, UINT32_MAX, 0, 1);
	CHECK_LIST(1, 0, UINT32_MAX, UINT32_MAX - 1);
	CHECK_LIST(UINT32_MAX, UINT32_MAX, 0, 0);
	CHECK_LIST(0, 1, 2, UINT32_MAX, UINT32_MAX - 1);
}

/* Runs of every length around the stride of the scan, ending at both ends of the numbers. */
static void test_fold_runs_of_every_length(void **state)
{
	(void)state;
	for (size_t n = 1; n <= 70; n++) {
		for (size_t cut = 0; cut <= n; cut += 3) {
			struct fold f = make_fold(n);

			for (size_t i = 0; i < n; i++)
				f.frames[i] = (uint32_t)(cut - n + i);
			check(&f);
			for (size_t i = 0; i < n; i++)
				f.frames[i] = (uint32_t)(n - cut - i);
			check(&f);
			free_fold(&f);
		}
	}
}

static void test_fold_descending_blocks_of_descending_runs(void **state)
{
	static const size_t sizes[] = { 1, 2, 7, 8, 9, 64, 256, 1000, COUNT_MAX };

	(void)state;
	for (size_t s = 0; s < TEST_ARRAY_SIZE(sizes); s++) {
		for (uint32_t gap = 0; gap < 3; gap++) {
			struct fold f = make_fold(COUNT_MAX);
			uint32_t next = 1u << 20;

			for (size_t i = 0; i < f.count; i++) {
				if (i % sizes[s] == 0)
					next -= gap;
				f.frames[i] = next--;
			}
			check(&f);
			free_fold(&f);
		}
	}
}

static void test_fold_repeated_frames_merge(void **state)
{
	struct fold f = make_fold(COUNT_MAX);

	(void)state;
	for (size_t i = 0; i < f.count; i++)
		f.frames[i] = 77;
	check(&f);
	for (size_t i = 0; i < f.count; i++)
		f.frames[i] = (uint32_t)(i / 3);
	check(&f);
	for (size_t i = 0; i < f.count; i++)
		f.frames[i] = (uint32_t)(i % 100);
	check(&f);
	free_fold(&f);
}

/*
 * Entries that rise over the end of the numbers again and again: a scan that reads such a run anew
 * for each of its entries would take hours.
 */
static void test_fold_wrapping_runs_cost_no_more(void **state)
{
	size_t count = 1u << 20;
	struct fold f = make_fold(count);
	size_t n;

	(void)state;
	for (size_t i = 0; i < count; i++)
		f.frames[i] = (uint32_t)(i - count + 1);
	aero_ranges_fold(f.frames, count, f.scratch, f.out, &n);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < count; i++)
		f.frames[i] = (uint32_t)(count - 2 - i);
	aero_ranges_fold(f.frames, count, f.scratch, f.out, &n);
	assert_int_equal(n, 2);
	assert_int_equal(f.out[0].first, 0);
	assert_int_equal(f.out[0].count, count - 1);
	assert_int_equal(f.out[1].first, UINT32_MAX);
	free_fold(&f);
}

/* Runs of random length and direction at random places of a space of 2^bits frames. */
static void fill(struct fold *f, struct test_random *random, unsigned int bits, uint64_t longest)
{
	uint64_t space = 1ull << bits;
	size_t i = 0;

	while (i < f->count) {
		uint64_t n = 1 + test_random_below(random, longest);
		uint32_t frame = (uint32_t)test_random_below(random, space);
		uint32_t step = test_random_below(random, 2) ? 1 : (uint32_t)-1;

		for (; n && i < f->count; n--, i++) {
			f->frames[i] = frame;
			frame += step;
		}
	}
}

static void test_fold_random_batches_agree_with_qsort(void **state)
{
	static const unsigned int bits[] = { 3, 8, 12, 16, 20, 24, 31, 32 };
	static const uint64_t longest[] = { 1, 2, 20, 300 };
	uint64_t seed;

	(void)state;
	for (uint64_t n = 1; test_random_seed(n, 4, &seed); n++) {
		struct test_random random = { seed };

		print_message("# AERO_TEST_SEED=%llu replays what follows\n",
			      (unsigned long long)seed);
		for (unsigned int i = 0; i < 400; i++) {
			/* Small batches, too: they have other ends. */
			size_t max = i % 4 ? 300 : COUNT_MAX;
			struct fold f = make_fold(test_random_below(&random, max) + 1);

			fill(&f, &random, bits[i % 8], longest[i / 8 % 4]);
			check(&f);
			free_fold(&f);
		}
	}
}

/* One frame far off, the others where the sort by the upper bits cannot tell them apart. */
static void test_fold_crowded_frames_agree_with_qsort(void **state)
{
	struct test_random random = { 3 };

	(void)state;
	for (unsigned int bits = 8; bits <= 20; bits++) {
		struct fold f = make_fold(COUNT_MAX);

		fill(&f, &random, bits, 1);
		f.frames[test_random_below(&random, f.count)] = UINT32_MAX;
		check(&f);
		for (size_t i = 0; i < f.count; i++)
			f.frames[i] = (uint32_t)(f.count - i) * 3 + (i % 2 ? 1u << 31 : 0);
		check(&f);
		free_fold(&f);
	}
}

static void test_fold_largest_batch(void **state)
{
	struct test_random random = { 5 };
	struct fold f = make_fold(32768);

	(void)state;
	fill(&f, &random, 32, 1);
	check(&f);
	fill(&f, &random, 16, 1);
	check(&f);
	for (size_t i = 0; i < f.count; i++)
		f.frames[i] = (uint32_t)i * 2;
	check(&f);
	for (size_t i = 0; i < f.count; i++)
		f.frames[i] = (uint32_t)(f.count - i) * 2;
	check(&f);
	free_fold(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fold_nothing_answers_nothing),
		cmocka_unit_test(test_fold_one_frame),
		cmocka_unit_test(test_fold_few_frames_every_shape),
		cmocka_unit_test(test_fold_wraps_nowhere),
		cmocka_unit_test(test_fold_runs_of_every_length),
		cmocka_unit_test(test_fold_descending_blocks_of_descending_runs),
		cmocka_unit_test(test_fold_repeated_frames_merge),
		cmocka_unit_test(test_fold_wrapping_runs_cost_no_more),
		cmocka_unit_test(test_fold_random_batches_agree_with_qsort),
		cmocka_unit_test(test_fold_crowded_frames_agree_with_qsort),
		cmocka_unit_test(test_fold_largest_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
