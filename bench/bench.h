/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_BENCH_BENCH_H
#define AEROSTAT_BENCH_BENCH_H

/*
 * What the measuring programs share: a clock, medians, alternation, and the rows that bench/run
 * reads (its head says what they mean).
 */

#include <aerostat/memory.h>

#include <stddef.h>
#include <stdint.h>

/* Rounds of a comparison when nothing speaks for another number; odd, for the median. */
#define BENCH_ROUNDS 31

enum bench_goal { BENCH_AT_MOST, BENCH_AT_LEAST };

/* Time as it passes, and as this thread has the processor: what others take does not count. */
uint64_t bench_now_ns(void);
uint64_t bench_cpu_ns(void);

/* Of count values, which it sorts. */
double bench_median(double *values, size_t count);

/* One side of a comparison: does the work once; round says which of prepared inputs to take. */
typedef void (*bench_side)(void *ctx, unsigned int round);

/* Medians over the rounds: of each side's time, and of the ratio a / b within a round. */
struct bench_result {
	double a_ns;
	double b_ns;
	double ratio;
	unsigned int rounds;
};

/*
 * Run both sides in turn, the one that begins alternating, each as often per round as takes about a
 * millisecond of this thread's time. So what disturbs the machine disturbs both.
 */
struct bench_result bench_compare(bench_side a, bench_side b, void *ctx, unsigned int rounds);

/* Random numbers, the same in every run (xorshift32). */
uint32_t bench_random(void);

/* A figure with a goal. */
void bench_figure(const char *name, double value, const char *unit, enum bench_goal goal,
		  double bound, unsigned int runs);

/* A number that explains figures: shown in the table, not kept. */
void bench_note(const char *text, double value, const char *unit);

/* Make the compiler believe that value is needed, and that memory was looked at. */
#define bench_use(value) __asm__ volatile("" : : "g"(value) : "memory")

/* Nodes for frame sets from a pool of so many, all of them resident from the start. */
struct bench_nodes {
	struct aero_node_source source;
	void *memory;
	size_t bytes;
	void *first_free;
};

void bench_nodes_init(struct bench_nodes *nodes, size_t count);
void bench_nodes_fini(struct bench_nodes *nodes);

#endif
