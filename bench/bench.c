/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* A round of one side takes about this long. */
#define ROUND_NS 1000000

static uint64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t bench_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t bench_cpu_ns(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare_doubles);
	if (count % 2)
		return values[count / 2];
	return (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* Nanoseconds per call over so many calls. */
static double time_side(bench_side side, void *ctx, unsigned int round, uint64_t calls)
{
	uint64_t start = bench_cpu_ns();

	for (uint64_t i = 0; i < calls; i++)
		side(ctx, round + (unsigned int)i);
	return (double)(bench_cpu_ns() - start) / (double)calls;
}

/* How many calls make a round; they also warm the caches. */
static uint64_t calls_per_round(bench_side side, void *ctx)
{
	uint64_t calls = 1;

	while (time_side(side, ctx, 0, calls) * (double)calls < ROUND_NS)
		calls *= 2;
	return calls;
}

struct bench_result bench_compare(bench_side a, bench_side b, void *ctx, unsigned int rounds)
{
	double *values = calloc((size_t)rounds * 3, sizeof(*values));
	uint64_t a_calls = calls_per_round(a, ctx);
	uint64_t b_calls = calls_per_round(b, ctx);
	struct bench_result result;

	if (!values)
		abort();
	for (unsigned int i = 0; i < rounds; i++) {
		double *a_ns = &values[i];
		double *b_ns = &values[rounds + i];

		if (i % 2)
			*b_ns = time_side(b, ctx, i, b_calls);
		*a_ns = time_side(a, ctx, i, a_calls);
		if (i % 2 == 0)
			*b_ns = time_side(b, ctx, i, b_calls);
		values[2 * rounds + i] = *a_ns / *b_ns;
	}
	result.a_ns = bench_median(values, rounds);
	result.b_ns = bench_median(values + rounds, rounds);
	result.ratio = bench_median(values + 2 * rounds, rounds);
	result.rounds = rounds;
	free(values);
	return result;
}

uint32_t bench_random(void)
{
	static uint32_t state = 1;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

void bench_figure(const char *name, double value, const char *unit, enum bench_goal goal,
		  double bound, unsigned int runs)
{
	printf("{\"figure\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", \"%s\": %.6g, "
	       "\"runs\": %u}\n",
	       name, value, unit, goal == BENCH_AT_MOST ? "at_most" : "at_least", bound, runs);
	fflush(stdout);
}

void bench_note(const char *text, double value, const char *unit)
{
	printf("{\"note\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"}\n", text, value, unit);
	fflush(stdout);
}

static void *get_node(void *ctx)
{
	struct bench_nodes *nodes = ctx;
	void *node = nodes->first_free;

	if (node)
		memcpy(&nodes->first_free, node, sizeof(void *));
	return node;
}

static void put_node(void *ctx, void *node)
{
	struct bench_nodes *nodes = ctx;

	memcpy(node, &nodes->first_free, sizeof(void *));
	nodes->first_free = node;
}

void bench_nodes_init(struct bench_nodes *nodes, size_t count)
{
	nodes->source.ctx = nodes;
	nodes->source.get = get_node;
	nodes->source.put = put_node;
	nodes->bytes = count * AERO_NODE_BYTES;
	nodes->first_free = NULL;
	nodes->memory = mmap(NULL, nodes->bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (nodes->memory == MAP_FAILED)
		abort();
	for (size_t i = count; i > 0; i--)
		put_node(nodes, (char *)nodes->memory + (i - 1) * AERO_NODE_BYTES);
}

void bench_nodes_fini(struct bench_nodes *nodes)
{
	munmap(nodes->memory, nodes->bytes);
}
