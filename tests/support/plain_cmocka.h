/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_PLAIN_CMOCKA_H
#define AEROSTAT_TESTS_SUPPORT_PLAIN_CMOCKA_H

/*
 * The part of cmocka's interface that tests of src/ use, for targets that Debian has no cmocka
 * for. Prints TAP. A crash is not caught: the plan stays short and scripts/run-tests counts what
 * is missing as failed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
	const char *name;
	CMUnitTestFunction test_func;
	CMFixtureFunction setup_func;
	CMFixtureFunction teardown_func;
	void *initial_state;
};

#define cmocka_unit_test_prestate_setup_teardown(f, setup, teardown, state) \
	{                                                                   \
#f, f, setup, teardown, state                               \
	}
#define cmocka_unit_test(f) cmocka_unit_test_prestate_setup_teardown(f, NULL, NULL, NULL)
#define cmocka_unit_test_prestate(f, state) \
	cmocka_unit_test_prestate_setup_teardown(f, NULL, NULL, state)
#define cmocka_unit_test_setup(f, setup) \
	cmocka_unit_test_prestate_setup_teardown(f, setup, NULL, NULL)
#define cmocka_unit_test_teardown(f, teardown) \
	cmocka_unit_test_prestate_setup_teardown(f, NULL, teardown, NULL)
#define cmocka_unit_test_setup_teardown(f, setup, teardown) \
	cmocka_unit_test_prestate_setup_teardown(f, setup, teardown, NULL)

#define cmocka_run_group_tests(tests, setup, teardown) \
	plain_run_group(#tests, tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)
#define cmocka_run_group_tests_name(name, tests, setup, teardown) \
	plain_run_group(name, tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

int plain_run_group(const char *name, const struct CMUnitTest *tests, size_t count,
		    CMFixtureFunction setup, CMFixtureFunction teardown);

_Noreturn void plain_fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
_Noreturn void plain_skip(void);
void plain_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

void plain_compare(const char *file, int line, const char *text, uintmax_t a, uintmax_t b,
		   bool want_equal);
void plain_strings(const char *file, int line, const char *a, const char *b, bool want_equal);
void plain_bytes(const char *file, int line, const void *a, const void *b, size_t len,
		 bool want_equal);
void plain_range(const char *file, int line, uintmax_t value, uintmax_t low, uintmax_t high,
		 bool want_inside);

#define fail() plain_fail(__FILE__, __LINE__, "fail()")
#define fail_msg(...) plain_fail(__FILE__, __LINE__, __VA_ARGS__)
#define skip() plain_skip()
#define print_message plain_print
#define print_error plain_print

#define PLAIN_TRUTH(c, text) ((c) ? (void)0 : plain_fail(__FILE__, __LINE__, "%s", text))
#define assert_true(c) PLAIN_TRUTH(c, #c " is false")
#define assert_false(c) PLAIN_TRUTH(!(c), #c " is true")
#define assert_null(p) PLAIN_TRUTH(!(p), #p " is not NULL")
#define assert_non_null(p) PLAIN_TRUTH(p, #p " is NULL")
#define assert_return_code(rc, error) PLAIN_TRUTH((rc) >= 0, #rc " is negative")

#define PLAIN_NUMBERS(a, b, want) \
	plain_compare(__FILE__, __LINE__, #a ", " #b, (uintmax_t)(a), (uintmax_t)(b), want)
#define PLAIN_POINTERS(a, b, want) PLAIN_NUMBERS((uintptr_t)(a), (uintptr_t)(b), want)
#define assert_int_equal(a, b) PLAIN_NUMBERS(a, b, true)
#define assert_int_not_equal(a, b) PLAIN_NUMBERS(a, b, false)
#define assert_ptr_equal(a, b) PLAIN_POINTERS(a, b, true)
#define assert_ptr_not_equal(a, b) PLAIN_POINTERS(a, b, false)
#define assert_string_equal(a, b) plain_strings(__FILE__, __LINE__, a, b, true)
#define assert_string_not_equal(a, b) plain_strings(__FILE__, __LINE__, a, b, false)
#define assert_memory_equal(a, b, len) plain_bytes(__FILE__, __LINE__, a, b, len, true)
#define assert_memory_not_equal(a, b, len) plain_bytes(__FILE__, __LINE__, a, b, len, false)
#define assert_in_range(v, low, high) plain_range(__FILE__, __LINE__, v, low, high, true)
#define assert_not_in_range(v, low, high) plain_range(__FILE__, __LINE__, v, low, high, false)

#endif
