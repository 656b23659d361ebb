/* SPDX-License-Identifier: MIT */
#include "test_run_rig.h"

static void check_range(const struct run_samples *samples, enum run_curve curve,
			struct run_span span, uint64_t low, uint64_t high)
{
	uint64_t found_low = 1, found_high = 0;

	assert_true(run_curve_range(samples, curve, span, &found_low, &found_high));
	assert_int_equal(found_low, low);
	assert_int_equal(found_high, high);
}

static void test_curve_range_no_samples_is_false(void **state)
{
	struct run_samples none = { NULL, 0, 0 };
	struct run_span span = { 0, 1 };
	uint64_t low, high;

	(void)state;
	assert_false(run_curve_range(&none, RUN_CURVE_ACTUAL, span, &low, &high));
}

static void test_curve_range_one_sample_only_where_it_is(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	struct run_span with = { 0, 2 }, before = { 0, 0.5 }, after = { 1.5, 2 };
	uint64_t low, high;

	(void)state;
	rig_add(&samples, 1, 7, 8, 9);
	check_range(&samples, RUN_CURVE_TARGET, with, 7, 7);
	check_range(&samples, RUN_CURVE_ACTUAL, with, 8, 8);
	check_range(&samples, RUN_CURVE_RESIDENT, with, 9, 9);
	assert_false(run_curve_range(&samples, RUN_CURVE_ACTUAL, before, &low, &high));
	assert_false(run_curve_range(&samples, RUN_CURVE_ACTUAL, after, &low, &high));
	free(samples.at);
}

static void test_curve_range_between_samples_is_straight_but_target_steps(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	struct run_span middle = { 0.25, 0.5 }, whole = { -1, 3 };

	(void)state;
	rig_add(&samples, 0, 0, 0, 1000);
	rig_add(&samples, 1, 1000, 1000, 0);
	check_range(&samples, RUN_CURVE_TARGET, middle, 0, 0);
	check_range(&samples, RUN_CURVE_ACTUAL, middle, 250, 500);
	check_range(&samples, RUN_CURVE_RESIDENT, middle, 500, 750);
	check_range(&samples, RUN_CURVE_TARGET, whole, 0, 1000);
	free(samples.at);
}

static void test_curve_range_peak_within_piece_is_seen(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	struct run_span span = { 0.5, 3.5 };

	(void)state;
	rig_add(&samples, 0, 0, 100, 0);
	rig_add(&samples, 1, 0, 100, 0);
	rig_add(&samples, 2, 0, TIB, 0);
	rig_add(&samples, 3, 0, 5, 0);
	rig_add(&samples, 4, 0, 100, 0);
	check_range(&samples, RUN_CURVE_ACTUAL, span, 5, TIB);
	free(samples.at);
}

static void test_curve_range_samples_at_one_time_are_all_seen(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	struct run_span span = { 1, 1 };

	(void)state;
	rig_add(&samples, 0, 0, 0, 0);
	rig_add(&samples, 1, 0, 0, 0);
	rig_add(&samples, 1, 900, 0, 0);
	check_range(&samples, RUN_CURVE_TARGET, span, 900, 900);
	span.begin = 0.5;
	check_range(&samples, RUN_CURVE_TARGET, span, 0, 900);
	free(samples.at);
}

static void test_top_bytes_covers_memory_and_samples(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };

	(void)state;
	assert_int_equal(run_top_bytes(&samples, 0), MIB);
	assert_int_equal(run_top_bytes(&samples, 512 * MIB), 512 * MIB);
	rig_add(&samples, 0, 1, TIB, 1);
	assert_int_equal(run_top_bytes(&samples, 512 * MIB), TIB);
	free(samples.at);
}

static void test_step_bytes_is_round_and_not_too_many(void **state)
{
	static const uint64_t tops[] = { 0,	    1,	     MIB, 3 * MIB,	512 * MIB,
					 600 * MIB, 2 * GIB, TIB, 16 * TIB - 1, UINT64_MAX };
	unsigned int most;
	size_t i;

	(void)state;
	for (i = 0; i < TEST_ARRAY_SIZE(tops); i++) {
		for (most = 1; most < 12; most++) {
			uint64_t step = run_step_bytes(tops[i], most);

			assert_int_equal(step & (step - 1), 0);
			assert_true(step >= MIB);
			assert_true(step == 1ull << 62 || tops[i] / step <= most);
			assert_true(step == MIB || tops[i] / (step / 2) > most);
		}
	}
	assert_int_equal(run_step_bytes(512 * MIB, 4), 128 * MIB);
}

static void test_step_seconds_is_not_too_many(void **state)
{
	unsigned int most, i;
	double seconds = 0.001;

	(void)state;
	for (i = 0; i < 44; i++) {
		for (most = 1; most < 12; most++)
			assert_true(seconds / run_step_seconds(seconds, most) <= most);
		seconds *= 1.7;
	}
	assert_true(seconds > 1e7);
	assert_true(run_step_seconds(10, 10) == 1);
	assert_true(run_step_seconds(10.5, 10) == 2);
	assert_true(run_step_seconds(0.25, 6) == 0.05);
	assert_true(run_step_seconds(100, 4) == 30);
}

static void check_ticks(double begin, double end, int64_t first, int64_t last, int decimals)
{
	struct run_span span = { begin, end };
	struct run_ticks ticks = run_time_ticks(span, 5);

	assert_int_equal(ticks.first, first);
	assert_int_equal(ticks.last, last);
	assert_int_equal(ticks.decimals, decimals);
}

static void test_time_ticks_lie_within_span(void **state)
{
	(void)state;
	check_ticks(0, 5, 0, 5, 0);
	check_ticks(0.1, 4.9, 1, 4, 0);
	check_ticks(0.3, 0.7, 3, 7, 1);		  /* both ends, in spite of rounding */
	check_ticks(99.31, 99.39, 4966, 4969, 2); /* 99.32 to 99.38 */
	check_ticks(100, 100.004, 100000, 100004, 3);
}

static void test_unit_of_step_divides_it(void **state)
{
	(void)state;
	assert_string_equal(run_unit_of(MIB).name, "MiB");
	assert_string_equal(run_unit_of(512 * MIB).name, "MiB");
	assert_string_equal(run_unit_of(GIB).name, "GiB");
	assert_string_equal(run_unit_of(256 * GIB).name, "GiB");
	assert_string_equal(run_unit_of(4 * TIB).name, "TiB");
	assert_int_equal(run_unit_of(4 * TIB).bytes, TIB);
}

static void test_progress_without_target_has_not_begun(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };

	(void)state;
	assert_false(run_progress_of(&samples).is_begun);
	rig_add(&samples, 1, 0, 0, 5);
	assert_false(run_progress_of(&samples).is_begun);
	rig_add(&samples, 2, 0, 0, 6);
	assert_false(run_progress_of(&samples).is_begun);
	free(samples.at);
}

static void test_progress_half_way_counts_latest_half_second(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	struct run_progress progress;

	(void)state;
	rig_add(&samples, 0, 0, 0, 0);
	rig_add(&samples, 1, 200 * MIB, 0, 0);
	rig_add(&samples, 2, 200 * MIB, 50 * MIB, 0);
	rig_add(&samples, 2.5, 200 * MIB, 100 * MIB, 9);
	progress = run_progress_of(&samples);
	assert_true(progress.is_begun);
	assert_false(progress.is_arrived);
	assert_true(progress.begin == 1);
	assert_true(progress.seconds == 1.5);
	assert_true(progress.fraction == 0.5);
	assert_true(progress.bytes_per_second == 100.0 * MIB);
	assert_int_equal(progress.resident_bytes, 9);
	free(samples.at);
}

static void test_progress_arrived_counts_whole_way(void **state)
{
	struct run_samples samples = rig_curve();
	struct run_progress progress = run_progress_of(&samples);

	(void)state;
	assert_true(progress.is_arrived);
	assert_int_equal(progress.from_bytes, 256 * MIB);
	assert_int_equal(progress.to_bytes, 0);
	assert_true(progress.fraction == 1);
	assert_true(progress.seconds == 1);
	assert_true(progress.bytes_per_second == 256.0 * MIB);
	free(samples.at);
}

static void test_progress_beyond_target_stays_within_bounds(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	struct run_progress progress;

	(void)state;
	rig_add(&samples, 0, 0, 0, 0);
	rig_add(&samples, 1, 100, 0, 0);
	rig_add(&samples, 2, 100, 350, 0);
	progress = run_progress_of(&samples);
	assert_false(progress.is_arrived);
	assert_true(progress.fraction == 0);
	/* At the target already when it was set. */
	rig_add(&samples, 3, 350, 350, 0);
	progress = run_progress_of(&samples);
	assert_true(progress.is_arrived);
	assert_true(progress.fraction == 1);
	assert_true(progress.bytes_per_second == 0);
	free(samples.at);
}

static void test_progress_a_little_past_target_can_be_arrived(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	struct run_progress progress;

	(void)state;
	rig_add(&samples, 0, 0, 0, 0);
	rig_add(&samples, 1, 33 * MIB, 0, 0);
	rig_add(&samples, 3, 33 * MIB, 34 * MIB, 0);
	assert_false(run_progress_of(&samples).is_arrived);
	samples.at[2].is_reached = true;
	progress = run_progress_of(&samples);
	assert_true(progress.is_arrived);
	assert_true(progress.fraction == 1);
	assert_true(progress.bytes_per_second == 17.0 * MIB);
	free(samples.at);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_curve_range_no_samples_is_false),
		cmocka_unit_test(test_curve_range_one_sample_only_where_it_is),
		cmocka_unit_test(test_curve_range_between_samples_is_straight_but_target_steps),
		cmocka_unit_test(test_curve_range_peak_within_piece_is_seen),
		cmocka_unit_test(test_curve_range_samples_at_one_time_are_all_seen),
		cmocka_unit_test(test_top_bytes_covers_memory_and_samples),
		cmocka_unit_test(test_step_bytes_is_round_and_not_too_many),
		cmocka_unit_test(test_step_seconds_is_not_too_many),
		cmocka_unit_test(test_time_ticks_lie_within_span),
		cmocka_unit_test(test_unit_of_step_divides_it),
		cmocka_unit_test(test_progress_without_target_has_not_begun),
		cmocka_unit_test(test_progress_half_way_counts_latest_half_second),
		cmocka_unit_test(test_progress_arrived_counts_whole_way),
		cmocka_unit_test(test_progress_beyond_target_stays_within_bounds),
		cmocka_unit_test(test_progress_a_little_past_target_can_be_arrived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
