/* SPDX-License-Identifier: MIT */
/*
 * What a run costs in a frame set that holds 1 GiB and in one that holds 1 TiB, in the same process
 * and in turn. The small set is filled as often as takes as many runs, so that both sides have the
 * same work; nodes come from memory that is resident already.
 */
#include "bench.h"

#include <aerostat/frame_set.h>

#include <stdio.h>
#include <stdlib.h>

#define GIB_FRAMES (1ull << 18)
#define TIB_FRAMES (1ull << 28)
#define ROUNDS 7

/* Sets are full of runs that leave every other as large a hole, or none. */
struct fill {
	struct aero_frame_set small;
	struct aero_frame_set large;
	uint64_t run;
	uint64_t step;
};

static void must(enum aero_status status)
{
	if (status != AERO_OK)
		abort();
}

/* Nanoseconds per run to fill a set up to a frame, so often. */
static double time_fill(struct aero_frame_set *set, const struct fill *fill, uint64_t frames,
			uint64_t times)
{
	uint64_t runs = 0;
	uint64_t ns = 0;

	while (times--) {
		struct aero_range run = { 0, fill->run };
		uint64_t start = bench_cpu_ns();
		uint64_t added;

		for (; run.first < frames; run.first += fill->step) {
			must(aero_frame_set_insert(set, run, &added));
			runs++;
		}
		ns += bench_cpu_ns() - start;
		aero_frame_set_fini(set);
	}
	return (double)ns / (double)runs;
}

static double compare(struct fill *fill, const char *text)
{
	double small[ROUNDS];
	double large[ROUNDS];
	double ratio[ROUNDS];
	char note[100];

	for (int i = -1; i < ROUNDS; i++) {
		int at = i < 0 ? 0 : i;

		if (i % 2)
			large[at] = time_fill(&fill->large, fill, TIB_FRAMES, 1);
		small[at] = time_fill(&fill->small, fill, GIB_FRAMES, TIB_FRAMES / GIB_FRAMES);
		if (i % 2 == 0)
			large[at] = time_fill(&fill->large, fill, TIB_FRAMES, 1);
		ratio[at] = large[at] / small[at];
	}
	snprintf(note, sizeof(note), "insert of %s into 1 GiB", text);
	bench_note(note, bench_median(small, ROUNDS), "ns/run");
	snprintf(note, sizeof(note), "insert of %s into 1 TiB", text);
	bench_note(note, bench_median(large, ROUNDS), "ns/run");
	return bench_median(ratio, ROUNDS);
}

int main(void)
{
	struct bench_nodes nodes;
	struct fill fill;
	double ratio;

	bench_nodes_init(&nodes, TIB_FRAMES / AERO_FRAME_SET_LEAF_FRAMES + 200);
	aero_frame_set_init(&fill.small, &nodes.source);
	aero_frame_set_init(&fill.large, &nodes.source);
	fill.run = 256;
	fill.step = 256;
	ratio = compare(&fill, "contiguous runs of 256");
	bench_figure("frame_set_insert_1tib_vs_1gib_ratio", ratio, "ratio", BENCH_AT_MOST, 1.2,
		     ROUNDS);
	fill.step = 512;
	ratio = compare(&fill, "every other run of 256");
	bench_note("the same, 1 TiB against 1 GiB", ratio, "ratio");
	fill.run = 1;
	fill.step = 64;
	ratio = compare(&fill, "single frames");
	bench_note("the same, 1 TiB against 1 GiB", ratio, "ratio");
	bench_nodes_fini(&nodes);
	return 0;
}
