/* SPDX-License-Identifier: MIT */
#include "test_run_rig.h"

static void check_clean(const char *text, const char *expected)
{
	char out[64];

	assert_string_equal(run_text_clean(text, out, sizeof(out)), expected);
}

static void test_text_clean_keeps_what_may_be_shown(void **state)
{
	(void)state;
	check_clean("", "");
	check_clean("6.1.176 ~<&>'\"", "6.1.176 ~<&>'\"");
	check_clean("\xc3\xa9 \xe2\xa0\xbf \xf0\x9f\x8e\x88",
		    "\xc3\xa9 \xe2\xa0\xbf \xf0\x9f\x8e\x88");
}

static void test_text_clean_replaces_control_characters(void **state)
{
	(void)state;
	check_clean("a\033[2Jb\r\n\t\x7f", "a?[2Jb????");
	/* U+009B is as good as ESC [. */
	check_clean("a\xc2\x9b"
		    "2J",
		    "a??2J");
}

static void test_text_clean_replaces_invalid_bytes(void **state)
{
	(void)state;
	check_clean("\x80\xff", "??");
	check_clean("\xc3", "?");
	check_clean("\xe2\xa0", "??");
	check_clean("\xc0\xaf", "??"); /* longer than needed */
	check_clean("\xe0\x80\xaf", "???");
	check_clean("\xed\xa0\x80", "???");	 /* half of a pair */
	check_clean("\xf4\x90\x80\x80", "????"); /* above 10ffff */
}

static void test_text_clean_cuts_between_characters(void **state)
{
	char out[4];

	(void)state;
	assert_string_equal(run_text_clean("abcdef", out, sizeof(out)), "abc");
	assert_string_equal(run_text_clean("ab\xc3\xa9", out, sizeof(out)), "ab");
	assert_string_equal(run_text_clean("a\xc3\xa9z", out, sizeof(out)), "a\xc3\xa9");
	assert_string_equal(run_text_clean("abc", out, 1), "");
}

static void test_phase_str_each_is_own_word(void **state)
{
	unsigned int a, b;

	(void)state;
	for (a = 0; a < RUN_PHASES; a++)
		for (b = 0; b < a; b++)
			assert_string_not_equal(run_phase_str(a), run_phase_str(b));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_clean_keeps_what_may_be_shown),
		cmocka_unit_test(test_text_clean_replaces_control_characters),
		cmocka_unit_test(test_text_clean_replaces_invalid_bytes),
		cmocka_unit_test(test_text_clean_cuts_between_characters),
		cmocka_unit_test(test_phase_str_each_is_own_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
