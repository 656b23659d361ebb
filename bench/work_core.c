/* SPDX-License-Identifier: MIT */
/*
 * work_core NAME does one workload on the core and prints how many frames it took; what counts is
 * what bench_measure() executes, its own loop included.
 */
#include "bench.h"

#include <aerostat/frame_set.h>
#include <aerostat/ranges.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES 65536
#define GIB_FRAMES (1u << 18)

/* Frames per request of Linux. */
#define REQUEST 256

struct work {
	const char *name;
	/* Prepares what measure() is to find. */
	void (*prepare)(void);
	void (*measure)(void);
};

static struct bench_nodes nodes;
static struct aero_frame_set set;
static uint32_t frames[FRAMES];
static struct aero_range scratch[AERO_RANGES_SCRATCH(REQUEST)];
static struct aero_range out[REQUEST];

static void fill_random(void)
{
	for (size_t i = 0; i < FRAMES; i++)
		frames[i] = bench_random() % (4 * GIB_FRAMES);
}

/* Runs of so many, step 1 or -1, at random places that are multiples of their size. */
static void fill_runs(size_t run, uint32_t step)
{
	uint32_t frame = 0;

	for (size_t i = 0; i < FRAMES; i++) {
		if (i % run == 0)
			frame = (uint32_t)(bench_random() % (4 * GIB_FRAMES) / run * run);
		frames[i] = frame;
		frame += step;
	}
}

static void fill_rising_64(void)
{
	fill_runs(64, 1);
}

static void fill_falling_64(void)
{
	fill_runs(64, (uint32_t)-1);
}

static void fill_falling_256(void)
{
	fill_runs(256, (uint32_t)-1);
}

static void insert_all(void)
{
	uint64_t added;

	for (size_t i = 0; i < FRAMES; i++) {
		struct aero_range one = { frames[i], 1 };

		if (aero_frame_set_insert(&set, one, &added) != AERO_OK)
			abort();
	}
}

static void fill_and_insert(void)
{
	fill_random();
	insert_all();
}

/* Every 64th frame or so, none beside another: FRAMES of them. */
static void insert_isolated(void)
{
	uint64_t added;

	for (uint32_t i = 0; i < FRAMES; i++) {
		struct aero_range one = { i * 64 + bench_random() % 63, 1 };

		frames[i] = (uint32_t)one.first;
		if (aero_frame_set_insert(&set, one, &added) != AERO_OK)
			abort();
	}
}

/* The same, one or two of them in a block. */
static void insert_scattered(void)
{
	uint64_t added;

	for (uint32_t i = 0; i < FRAMES; i++) {
		struct aero_range one = { i * 512 + bench_random() % 511, 1 };

		frames[i] = (uint32_t)one.first;
		if (aero_frame_set_insert(&set, one, &added) != AERO_OK)
			abort();
	}
}

static void scan_all(void)
{
	for (size_t at = 0; at < FRAMES;) {
		struct aero_range run;

		at += aero_ranges_scan(frames + at, FRAMES - at, &run);
		bench_use(run.first);
	}
}

static void scan_and_insert(void)
{
	uint64_t added;

	for (size_t at = 0; at < FRAMES;) {
		struct aero_range run;

		at += aero_ranges_scan(frames + at, FRAMES - at, &run);
		if (aero_frame_set_insert(&set, run, &added) != AERO_OK)
			abort();
	}
}

static void fold_requests(void)
{
	size_t count;

	for (size_t at = 0; at < FRAMES; at += REQUEST) {
		aero_ranges_fold(frames + at, REQUEST, scratch, out, &count);
		bench_use(count);
	}
}

static void remove_all(void)
{
	for (size_t i = 0; i < FRAMES; i++) {
		struct aero_range one = { frames[i], 1 };

		aero_frame_set_remove(&set, one);
	}
}

static void take_all(void)
{
	struct aero_range run;

	while (aero_frame_set_take_first(&set, AERO_FRAME_LIMIT, &run))
		bench_use(run.first);
}

static void take_all_runs(void)
{
	struct aero_range runs[16];
	size_t n;

	while ((n = aero_frame_set_take_runs(&set, AERO_FRAME_LIMIT, 16, runs)) > 0)
		bench_use(runs[n - 1].first);
}

static void take_all_last(void)
{
	struct aero_range run;

	while (aero_frame_set_take_last(&set, AERO_FRAME_LIMIT, &run))
		bench_use(run.first);
}

static void next_and_remove_all(void)
{
	struct aero_range run = { 0, 0 };

	while (aero_frame_set_next(&set, run.first + run.count, AERO_FRAME_LIMIT, &run))
		aero_frame_set_remove(&set, run);
}

/* A set that is empty again after every request. */
static void insert_and_take_requests(void)
{
	uint64_t added;

	for (size_t at = 0; at < FRAMES; at += REQUEST) {
		for (size_t i = 0; i < REQUEST; i++) {
			struct aero_range one = { frames[at + i], 1 };

			if (aero_frame_set_insert(&set, one, &added) != AERO_OK)
				abort();
		}
		take_all_runs();
	}
}

static const struct work works[] = {
	{ "insert_random", fill_random, insert_all },
	{ "insert_runs_64", fill_falling_64, scan_and_insert },
	{ "insert_runs_256", fill_falling_256, scan_and_insert },
	{ "remove_random", fill_and_insert, remove_all },
	{ "take_first_isolated", insert_isolated, take_all },
	{ "take_first_scattered", insert_scattered, take_all },
	{ "take_runs_isolated", insert_isolated, take_all_runs },
	{ "take_runs_scattered", insert_scattered, take_all_runs },
	{ "take_last_isolated", insert_isolated, take_all_last },
	{ "next_remove_isolated", insert_isolated, next_and_remove_all },
	{ "next_remove_scattered", insert_scattered, next_and_remove_all },
	{ "insert_take_requests", fill_random, insert_and_take_requests },
	{ "scan_rising_64", fill_rising_64, scan_all },
	{ "scan_falling_64", fill_falling_64, scan_all },
	{ "scan_falling_256", fill_falling_256, scan_all },
	{ "fold_random_256", fill_random, fold_requests },
	{ "fold_falling_64", fill_falling_64, fold_requests },
};

void bench_measure(const struct work *work);

__attribute__((noinline)) void bench_measure(const struct work *work)
{
	work->measure();
}

int main(int argc, char **argv)
{
	const struct work *work = NULL;

	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
		if (argc == 2 && !strcmp(argv[1], works[i].name))
			work = &works[i];
	}
	if (!work) {
		fprintf(stderr, "usage: work_core WORKLOAD\n");
		return 2;
	}
	bench_nodes_init(&nodes, 4096);
	aero_frame_set_init(&set, &nodes.source);
	work->prepare();
	bench_measure(work);
	aero_frame_set_fini(&set);
	bench_nodes_fini(&nodes);
	printf("%d\n", FRAMES);
	return 0;
}
