/* SPDX-License-Identifier: MIT */
/*
 * The ledger's memory for 1 TiB, and whether its time grows with runs: twice the memory in runs of
 * the same length takes twice as long and not more, which a measurement tells to a per cent or two.
 * Requests are those of Linux, 256 frames falling by one, with everything that inflating does but
 * the host's discard.
 */
#include "bench.h"

#include <aerostat/host/ledger.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GIB_FRAMES (1ull << 18)
#define TIB_FRAMES (1ull << 28)
#define REQUEST 256
#define ROUNDS 31
#define SMALL (16 * GIB_FRAMES)
#define LARGE (32 * GIB_FRAMES)

struct meter {
	struct bench_nodes nodes;
	struct aero_host_memory memory;
	struct aero_ledger ledger;
};

static uint64_t is_ram(void *ctx, struct aero_range range)
{
	(void)ctx;
	return range.first < TIB_FRAMES ? TIB_FRAMES - range.first : 0;
}

static enum aero_status discard(void *ctx, struct aero_range range, uint64_t *out_freed_bytes)
{
	(void)ctx;
	*out_freed_bytes = range.count << AERO_FRAME_SHIFT;
	return AERO_OK;
}

static void open_meter(struct meter *m)
{
	struct aero_ledger_config config = { .memory = &m->memory };

	memset(m, 0, sizeof(*m));
	bench_nodes_init(&m->nodes, TIB_FRAMES / AERO_FRAME_SET_LEAF_FRAMES + 1000);
	m->memory.is_ram = is_ram;
	m->memory.discard = discard;
	config.nodes = m->nodes.source;
	if (aero_ledger_init(&m->ledger, &config) != AERO_OK)
		abort();
	aero_ledger_set_mode(&m->ledger, AERO_DISCARD_COLLECT);
}

/* Inflate by so many frames, in requests whose numbers fall; a hole after each run of so many. */
static void inflate(struct meter *m, uint64_t frames, uint32_t run, uint32_t hole)
{
	uint32_t numbers[REQUEST];
	uint32_t next = (uint32_t)(frames + frames / run * hole - 1);
	uint64_t given;
	uint32_t i;

	for (given = 0; given < frames; given += REQUEST) {
		for (i = 0; i < REQUEST; i++) {
			numbers[i] = next--;
			if ((given + i + 1) % run == 0)
				next -= hole;
		}
		aero_ledger_give_frames(&m->ledger, numbers, REQUEST, 1);
		while (aero_ledger_discard_whole(&m->ledger))
			;
	}
	while (aero_ledger_discard_rest(&m->ledger))
		;
	if (aero_ledger_held(&m->ledger) != frames || aero_ledger_pending(&m->ledger))
		abort();
}

static double time_inflate(struct meter *m, uint64_t frames, uint32_t run, uint32_t hole)
{
	uint64_t start = bench_now_ns();
	double ns;

	inflate(m, frames, run, hole);
	ns = (double)(bench_now_ns() - start);
	aero_ledger_reset(&m->ledger);
	return ns;
}

/* All of a block; a block less a hole; short runs. */
static const struct {
	uint32_t run;
	uint32_t hole;
	const char *text;
} shapes[] = {
	{ 256, 0, "runs of 256, contiguous" },
	{ 256, 300, "runs of 256 with holes" },
	{ 64, 64, "runs of 64 with holes" },
};

#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* One time for all shapes: the largest of three ratios would be above the truth by its noise. */
static double measure_growth(struct meter *m)
{
	double small[SHAPES][ROUNDS];
	double large[SHAPES][ROUNDS];
	double ratio[ROUNDS];
	char note[100];

	for (int i = -1; i < ROUNDS; i++) {
		int at = i < 0 ? 0 : i;
		double small_ns = 0;
		double large_ns = 0;

		for (size_t s = 0; s < SHAPES; s++) {
			small[s][at] = time_inflate(m, SMALL, shapes[s].run, shapes[s].hole);
			large[s][at] = time_inflate(m, LARGE, shapes[s].run, shapes[s].hole);
			small_ns += small[s][at];
			large_ns += large[s][at];
		}
		ratio[at] = large_ns / small_ns;
	}
	for (size_t s = 0; s < SHAPES; s++) {
		snprintf(note, sizeof(note), "ledger: 16 GiB in %s", shapes[s].text);
		bench_note(note, bench_median(small[s], ROUNDS) / SMALL, "ns/frame");
		snprintf(note, sizeof(note), "ledger: 32 GiB in %s", shapes[s].text);
		bench_note(note, bench_median(large[s], ROUNDS) / LARGE, "ns/frame");
	}
	return bench_median(ratio, ROUNDS);
}

int main(void)
{
	struct meter m;
	double growth;

	open_meter(&m);
	inflate(&m, TIB_FRAMES, REQUEST, 0);
	bench_figure("ledger_bytes_1tib", (double)aero_ledger_bytes(&m.ledger), "bytes",
		     BENCH_AT_MOST, 33 * 1048576.0, 1);
	aero_ledger_reset(&m.ledger);
	growth = measure_growth(&m);
	bench_figure("inflate_growth_ratio", growth, "ratio", BENCH_AT_MOST, 2.0, ROUNDS);
	aero_ledger_fini(&m.ledger);
	bench_nodes_fini(&m.nodes);
	return 0;
}
