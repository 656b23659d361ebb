/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <aerostat/status.h>

static void test_status_str_known_has_own_phrase(void **state)
{
	(void)state;
	for (int a = 0; a < AERO_STATUS_COUNT; a++) {
		const char *text = aero_status_str((enum aero_status)a);

		assert_non_null(text);
		assert_true(strlen(text) > 0);
		assert_null(strchr(text, '\n'));
		assert_string_not_equal(text, "unknown status");
		for (int b = 0; b < a; b++)
			assert_string_not_equal(text, aero_status_str((enum aero_status)b));
	}
}

static void test_status_str_unknown_says_so(void **state)
{
	static const int unknown[] = { AERO_STATUS_COUNT, AERO_STATUS_COUNT + 1, -1, 0x7fffffff };

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(unknown); i++)
		assert_string_equal(aero_status_str((enum aero_status)unknown[i]),
				    "unknown status");
}

static void test_status_ok_is_zero(void **state)
{
	(void)state;
	assert_int_equal(AERO_OK, 0);
	assert_string_equal(aero_status_str(AERO_OK), "success");
}

static void test_status_count_at_most_twenty(void **state)
{
	(void)state;
	assert_in_range(AERO_STATUS_COUNT, 1, 20);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_str_known_has_own_phrase),
		cmocka_unit_test(test_status_str_unknown_says_so),
		cmocka_unit_test(test_status_ok_is_zero),
		cmocka_unit_test(test_status_count_at_most_twenty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
