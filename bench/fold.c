/* SPDX-License-Identifier: MIT */
/*
 * Folding frame numbers into ranges: in order against a loop that does no more than read them, out
 * of order against what one would write with libc, qsort and a merge.
 */
#include "bench.h"

#include <aerostat/ranges.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many different batches in turn, lest the branch predictor learn one by heart. */
#define BATCHES 64
#define COUNT_MAX 32768

struct folds {
	uint32_t *batches;
	uint32_t *sorted;
	struct aero_range *scratch;
	struct aero_range *out;
	size_t count;
	unsigned int batch_count;
};

static const uint32_t *batch(const struct folds *f, unsigned int round)
{
	return f->batches + (size_t)(round % f->batch_count) * f->count;
}

/* Vectorised where the processor can: nothing reads faster. */
#ifndef __clang__
__attribute__((optimize("O3")))
#endif
static void
read_only(void *ctx, unsigned int round)
{
	const struct folds *f = ctx;
	const uint32_t *frames = batch(f, round);
	uint32_t sum = 0;

	for (size_t i = 0; i < f->count; i++)
		sum += frames[i];
	bench_use(sum);
}

static void fold(void *ctx, unsigned int round)
{
	const struct folds *f = ctx;
	size_t count;

	aero_ranges_fold(batch(f, round), f->count, f->scratch, f->out, &count);
	bench_use(count);
}

static int compare_frames(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void sort_and_merge(void *ctx, unsigned int round)
{
	const struct folds *f = ctx;
	struct aero_range *out = f->out;
	size_t n = 0;

	memcpy(f->sorted, batch(f, round), f->count * sizeof(*f->sorted));
	qsort(f->sorted, f->count, sizeof(*f->sorted), compare_frames);
	for (size_t i = 0; i < f->count; i++) {
		uint64_t end = n ? out[n - 1].first + out[n - 1].count : 0;

		if (n && f->sorted[i] == end) {
			out[n - 1].count++;
		} else if (!n || f->sorted[i] > end) {
			out[n].first = f->sorted[i];
			out[n++].count = 1;
		}
	}
	bench_use(n);
}

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

/* Batches of so many frames, each of ascending runs of so many, holes between them. */
static void fill_runs(struct folds *f, size_t count, size_t run, uint32_t step)
{
	f->count = count;
	f->batch_count = 8;
	for (unsigned int b = 0; b < f->batch_count; b++) {
		uint32_t frame = step == 1 ? b * 1000 : UINT32_MAX - b * 1000;

		for (size_t i = 0; i < count; i++) {
			if (i % run == 0)
				frame += step * (1 + bench_random() % 100);
			f->batches[b * count + i] = frame;
			frame += step;
		}
	}
}

/* Batches of frames at random below a limit. */
static void fill_random(struct folds *f, size_t count, uint32_t limit)
{
	f->count = count;
	f->batch_count = BATCHES;
	for (size_t i = 0; i < count * BATCHES; i++)
		f->batches[i] = bench_random() % limit;
}

static struct bench_result compare_ordered(struct folds *f, size_t run, uint32_t step)
{
	fill_runs(f, COUNT_MAX, run, step);
	return bench_compare(fold, read_only, f, BENCH_ROUNDS);
}

/* The figure is that of sorted frames with a hole after every 256; with fewer holes, less. */
static void compare_ascending(struct folds *f)
{
	static const struct {
		size_t run;
		uint32_t step;
		const char *text;
	} others[] = {
		{ COUNT_MAX, 1, "fold of ascending frames without a hole" },
		{ 64, 1, "fold of ascending runs of 64" },
		{ COUNT_MAX, (uint32_t)-1, "fold of descending frames without a hole" },
		{ 256, (uint32_t)-1, "fold of descending runs of 256" },
		{ 64, (uint32_t)-1, "fold of descending runs of 64" },
	};
	struct bench_result r = compare_ordered(f, 256, 1);

	bench_figure("fold_ascending_vs_read_ratio", r.ratio, "ratio", BENCH_AT_MOST, 3, r.rounds);
	bench_note("fold of ascending runs of 256", r.a_ns / COUNT_MAX, "ns/frame");
	bench_note("reading, vectorised", r.b_ns / COUNT_MAX, "ns/frame");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		r = compare_ordered(f, others[i].run, others[i].step);
		bench_note(others[i].text, r.ratio, "x reading");
	}
}

static void compare_random(struct folds *f, size_t count)
{
	/* Frames of a guest of 4 GiB; and of 1 TiB, where the sort has a byte more to look at. */
	static const struct {
		uint32_t limit;
		const char *text;
	} spaces[] = { { 1u << 20, "4 GiB" }, { 1u << 28, "1 TiB" } };
	double worst = 1e9;
	unsigned int rounds = 0;
	char name[80];

	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
		struct bench_result r;
		char text[80];

		fill_random(f, count, spaces[i].limit);
		r = bench_compare(sort_and_merge, fold, f, BENCH_ROUNDS);
		if (r.ratio < worst)
			worst = r.ratio;
		rounds = r.rounds;
		snprintf(text, sizeof(text), "fold of %zu random frames of %s", count,
			 spaces[i].text);
		bench_note(text, r.b_ns / (double)count, "ns/frame");
	}
	snprintf(name, sizeof(name), "fold_random_vs_qsort_ratio_%zu", count);
	bench_figure(name, worst, "ratio", BENCH_AT_LEAST, 5, rounds);
}

int main(void)
{
	struct folds f = { 0 };

	f.batches = must(calloc((size_t)BATCHES * COUNT_MAX, sizeof(*f.batches)));
	f.sorted = must(calloc(COUNT_MAX, sizeof(*f.sorted)));
	f.scratch = must(calloc(AERO_RANGES_SCRATCH(COUNT_MAX), sizeof(*f.scratch)));
	f.out = must(calloc(COUNT_MAX, sizeof(*f.out)));
	compare_ascending(&f);
	compare_random(&f, 256);
	compare_random(&f, 512);
	compare_random(&f, COUNT_MAX);
	free(f.out);
	free(f.scratch);
	free(f.sorted);
	free(f.batches);
	return 0;
}
