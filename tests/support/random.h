/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_RANDOM_H
#define AEROSTAT_TESTS_SUPPORT_RANDOM_H

/*
 * Random numbers that a seed replays on every machine (splitmix64), and the seeds of a test:
 * AERO_TEST_SEED=N runs that one only.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct test_random {
	uint64_t state;
};

static inline uint64_t test_random_next(struct test_random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* 0 .. limit - 1; limit is not 0. */
static inline uint64_t test_random_below(struct test_random *random, uint64_t limit)
{
	return test_random_next(random) % limit;
}

/* Whether the nth of count seeds, starting at 1, is to run; *out_seed is it. */
static inline bool test_random_seed(uint64_t n, uint64_t count, uint64_t *out_seed)
{
	const char *text = getenv("AERO_TEST_SEED");

	*out_seed = text ? strtoull(text, NULL, 0) : n;
	return n <= (text ? 1 : count);
}

#endif
