/* SPDX-License-Identifier: MIT */
#include "test_run_rig.h"

static void test_samples_add_level_piece_keeps_both_ends(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	int i;

	(void)state;
	rig_add(&samples, 0, 1, 2, 3);
	for (i = 1; i <= 1000; i++)
		rig_add(&samples, i, 1, 2, 4);
	assert_int_equal(samples.count, 3);
	assert_true(samples.at[1].seconds == 1);
	assert_true(samples.at[2].seconds == 1000);
	rig_add(&samples, 1001, 5, 2, 4);
	assert_int_equal(samples.count, 4);
	assert_true(samples.at[2].seconds == 1000);
	assert_int_equal(samples.at[3].target_bytes, 5);
	free(samples.at);
}

static void test_samples_add_many_keeps_each(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	uint64_t i;

	(void)state;
	for (i = 0; i < 5000; i++)
		rig_add(&samples, (double)i, i, 2 * i, 3 * i);
	assert_int_equal(samples.count, 5000);
	for (i = 0; i < 5000; i++) {
		assert_int_equal(samples.at[i].target_bytes, i);
		assert_int_equal(samples.at[i].actual_bytes, 2 * i);
		assert_int_equal(samples.at[i].resident_bytes, 3 * i);
	}
	free(samples.at);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples_add_level_piece_keeps_both_ends),
		cmocka_unit_test(test_samples_add_many_keeps_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
