/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_EVERY_FAULT_H
#define AEROSTAT_TESTS_SUPPORT_EVERY_FAULT_H

/*
 * A scenario again and again, with the nth call of each kind to the host's memory failing: once,
 * and from then on, until none is left to fail. AERO_TEST_FAULT=kinds,n,on replays one.
 */

#include "support/host_double.h"
#include "support/test.h"

/* The scenario with host_double_fail(kinds, nth, is_on); answers whether the fault was met. */
typedef bool (*test_fault_run)(const void *options, unsigned int kinds, uint64_t nth, bool is_on);

/* The last line before a failure is what replays it. */
static inline void test_faults_of_kind(test_fault_run run, const void *options, unsigned int kinds,
				       unsigned int on)
{
	bool has_failed = true;
	unsigned long n;

	for (n = 1; has_failed; n++) {
		if (n % 50 == 1)
			print_message("# AERO_TEST_FAULT=%u,%lu,%u and on\n", kinds, n, on);
		has_failed = run(options, kinds, n, on);
	}
	assert_true(n > 3);
}

static inline void test_every_fault(test_fault_run run, const void *options)
{
	static const unsigned int kinds[] = { HOST_DOUBLE_TRANSLATE, HOST_DOUBLE_IS_RAM,
					      HOST_DOUBLE_DISCARD, HOST_DOUBLE_NODE,
					      HOST_DOUBLE_ALL };
	const char *replay = getenv("AERO_TEST_FAULT");
	unsigned int kind, on;
	unsigned long n;

	if (replay) {
		assert_int_equal(sscanf(replay, "%u,%lu,%u", &kind, &n, &on), 3);
		run(options, kind, n, on);
		return;
	}
	/* Of all kinds together once is what each kind has had. */
	for (size_t i = 0; i < TEST_ARRAY_SIZE(kinds); i++)
		for (on = kinds[i] == HOST_DOUBLE_ALL; on < 2; on++)
			test_faults_of_kind(run, options, kinds[i], on);
}

#endif
