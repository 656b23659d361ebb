/* SPDX-License-Identifier: MIT */
#include <aerostat/ranges.h>

#include "platform.h"

/* How the runs of a batch follow each other. */
enum run_order { RUNS_ASCENDING, RUNS_DESCENDING, RUNS_MIXED };

/* Frames compared at a time: without a branch between them. */
#define STRIDE 8

/* How many entries step by step, 1 or -1, from each to the next. */
static size_t run_length(const uint32_t *frames, size_t count, uint32_t step)
{
	uint32_t want = frames[0];
	size_t n = 0;

	while (count - n >= STRIDE) {
		uint32_t differ = 0;
		uint32_t i;

		for (i = 0; i < STRIDE; i++)
			differ |= frames[n + i] ^ (want + i * step);
		if (differ)
			break;
		want += STRIDE * step;
		n += STRIDE;
	}
	while (n < count && frames[n] == want) {
		want += step;
		n++;
	}
	return n;
}

/*
 * The run that at least two entries begin with. It ends where the number space does, and looks no
 * further: numbers that wrap around must not cost more than others.
 */
static size_t scan_run(const uint32_t *frames, size_t count, struct aero_range *out_run)
{
	uint32_t first = frames[0];
	bool is_rising = frames[1] == first + 1;
	size_t room = is_rising ? UINT32_MAX - first : first;
	size_t n = 1;

	if (count - 1 > room)
		count = room + 1;
	if (is_rising || frames[1] == first - 1)
		n = run_length(frames, count, is_rising ? 1 : (uint32_t)-1);
	out_run->first = is_rising ? first : first - (uint32_t)(n - 1);
	out_run->count = n;
	return n;
}

size_t aero_ranges_scan(const uint32_t *frames, size_t count, struct aero_range *out_run)
{
	if (count > 1)
		return scan_run(frames, count, out_run);
	out_run->first = frames[0];
	out_run->count = 1;
	return 1;
}

/* A run as one number that sorts by its first frame. A run of 2^32 frames does not exist. */
static uint64_t pack_run(const struct aero_range *run)
{
	return run->first << 32 | run->count;
}

/*
 * Sort n packed runs by the byte at shift, from src to dst. Answers false, having moved nothing,
 * where that byte is the same in all of them.
 */
static bool sort_pass(const uint64_t *src, uint64_t *dst, size_t n, unsigned int shift,
		      uint32_t *buckets)
{
	uint32_t at = 0;
	size_t i;

	memset(buckets, 0, 256 * sizeof(*buckets));
	for (i = 0; i < n; i++)
		buckets[(src[i] >> shift) & 255]++;
	if (buckets[(src[0] >> shift) & 255] == n)
		return false;
	for (i = 0; i < 256; i++) {
		uint32_t here = buckets[i];

		buckets[i] = at;
		at += here;
	}
	for (i = 0; i < n; i++)
		dst[buckets[(src[i] >> shift) & 255]++] = src[i];
	return true;
}

/* Sort n packed runs in a; b is as large. Answers which of the two has the result. */
static uint64_t *sort_runs(uint64_t *a, uint64_t *b, size_t n, uint32_t *buckets)
{
	unsigned int shift;

	for (shift = 32; shift < 64; shift += 8) {
		if (sort_pass(a, b, n, shift, buckets)) {
			uint64_t *t = a;

			a = b;
			b = t;
		}
	}
	return a;
}

/* Append a run that does not begin before the last range of out. Answers the new count. */
static size_t append_run(struct aero_range *out, size_t n, uint64_t first, uint64_t count)
{
	if (n && first <= out[n - 1].first + out[n - 1].count) {
		uint64_t old_end = out[n - 1].first + out[n - 1].count;
		uint64_t end = first + count;

		if (end > old_end)
			out[n - 1].count = end - out[n - 1].first;
		return n;
	}
	out[n].first = first;
	out[n].count = count;
	return n + 1;
}

/* Cut the batch into packed runs and say how they are ordered. */
static enum run_order cut_runs(const uint32_t *frames, size_t count, uint64_t *runs, size_t *out_n)
{
	bool rises = true;
	bool falls = true;
	size_t n = 0;
	size_t at = 0;

	while (at < count) {
		struct aero_range run;

		at += aero_ranges_scan(frames + at, count - at, &run);
		runs[n] = pack_run(&run);
		if (n) {
			rises = rises && runs[n] > runs[n - 1];
			falls = falls && runs[n] < runs[n - 1];
		}
		n++;
	}
	*out_n = n;
	if (rises)
		return RUNS_ASCENDING;
	return falls ? RUNS_DESCENDING : RUNS_MIXED;
}

void aero_ranges_fold(const uint32_t *frames, size_t count, struct aero_range *scratch,
		      struct aero_range *out, size_t *out_count)
{
	/* Packed runs are half as large as ranges, so both halves of a sort fit into scratch. */
	uint64_t *runs = &scratch[64].first;
	uint32_t *buckets = (uint32_t *)(void *)scratch;
	enum run_order order;
	size_t merged = 0;
	size_t n;
	size_t i;

	order = cut_runs(frames, count, runs, &n);
	if (order == RUNS_MIXED)
		runs = sort_runs(runs, runs + count, n, buckets);
	for (i = 0; i < n; i++) {
		uint64_t run = order == RUNS_DESCENDING ? runs[n - 1 - i] : runs[i];

		merged = append_run(out, merged, run >> 32, run & UINT32_MAX);
	}
	*out_count = merged;
}
