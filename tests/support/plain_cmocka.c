/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <inttypes.h>

enum outcome {
	PASSED = 0,
	FAILED = 1,
	SKIPPED = 2,
};

/* Where a failed assertion of the running test jumps to. One test at a time, one thread. */
static jmp_buf back;

_Noreturn void plain_fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	printf("# %s:%d: ", file, line);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	longjmp(back, FAILED);
}

_Noreturn void plain_skip(void)
{
	longjmp(back, SKIPPED);
}

void plain_print(const char *format, ...)
{
	va_list args;

	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
}

void plain_compare(const char *file, int line, const char *text, uintmax_t a, uintmax_t b,
		   bool want_equal)
{
	if ((a == b) != want_equal)
		plain_fail(file, line, "%s: %#jx %s %#jx", text, a, want_equal ? "!=" : "==", b);
}

void plain_strings(const char *file, int line, const char *a, const char *b, bool want_equal)
{
	if ((strcmp(a, b) == 0) != want_equal)
		plain_fail(file, line, "\"%s\" %s \"%s\"", a, want_equal ? "!=" : "==", b);
}

void plain_bytes(const char *file, int line, const void *a, const void *b, size_t len,
		 bool want_equal)
{
	const unsigned char *left = a;
	const unsigned char *right = b;
	size_t at = 0;

	while (at < len && left[at] == right[at])
		at++;
	if (at == len && !want_equal)
		plain_fail(file, line, "%zu bytes are equal", len);
	if (at < len && want_equal)
		plain_fail(file, line, "byte %zu: %#x != %#x", at, left[at], right[at]);
}

void plain_range(const char *file, int line, uintmax_t value, uintmax_t low, uintmax_t high,
		 bool want_inside)
{
	if ((value >= low && value <= high) != want_inside)
		plain_fail(file, line, "%#jx %s %#jx..%#jx", value, want_inside ? "not in" : "in",
			   low, high);
}

/* Runs a fixture; a failed assertion in it counts as its failure. */
static int run_fixture(CMFixtureFunction fixture, void **state)
{
	if (!fixture)
		return 0;
	if (setjmp(back))
		return -1;
	return fixture(state);
}

static int run_body(CMUnitTestFunction body, void **state)
{
	int jumped = setjmp(back);

	if (jumped)
		return jumped;
	body(state);
	return PASSED;
}

static int run_one(const struct CMUnitTest *test, void *group_state)
{
	void *state = test->initial_state ? test->initial_state : group_state;
	int outcome;

	if (run_fixture(test->setup_func, &state)) {
		printf("# setup failed\n");
		return FAILED;
	}
	outcome = run_body(test->test_func, &state);
	if (run_fixture(test->teardown_func, &state)) {
		printf("# teardown failed\n");
		return FAILED;
	}
	return outcome;
}

int plain_run_group(const char *name, const struct CMUnitTest *tests, size_t count,
		    CMFixtureFunction setup, CMFixtureFunction teardown)
{
	void *state = NULL;
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# %s\n1..%zu\n", name, count);
	if (run_fixture(setup, &state)) {
		printf("# group setup failed\n");
		return 1;
	}
	for (size_t i = 0; i < count; i++) {
		int outcome = run_one(&tests[i], state);

		failed += outcome == FAILED;
		printf("%s %zu - %s%s\n", outcome == FAILED ? "not ok" : "ok", i + 1, tests[i].name,
		       outcome == SKIPPED ? " # SKIP" : "");
	}
	if (run_fixture(teardown, &state)) {
		printf("# group teardown failed\n");
		failed++;
	}
	return failed;
}
