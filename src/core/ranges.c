/* SPDX-License-Identifier: MIT */
#include <aerostat/ranges.h>

#include "platform.h"

/* Buckets of a pass of the radix sort. */
#define BUCKETS 256u

/* Runs that insertion sorts before the buckets are as much as cleared. */
#define FEW_RUNS 32

/* How many places an entry is moved by insertion, on average, before that is too slow. */
#define SETTLE_MOVES 4

/* How the runs of a batch follow each other. */
enum run_order { RUNS_ASCENDING, RUNS_DESCENDING, RUNS_MIXED };

/* The counters lie in scratch, which has another type. */
typedef uint32_t counter __attribute__((__may_alias__));

_Static_assert(2 * BUCKETS * sizeof(counter) <= AERO_RANGES_SCRATCH(0) * sizeof(struct aero_range),
	       "the buckets fit into scratch");

/* Frames compared at a time: without a branch between them. */
#define STRIDE 16

/* Two entries of the array as one number; and the number of two that follow each other. */
static inline uint64_t load_pair(const uint32_t *frames)
{
	uint64_t pair;

	memcpy(&pair, frames, sizeof(pair));
	return pair;
}

static inline uint64_t make_pair(uint32_t first, uint32_t second)
{
	return AERO_HOST_BIG_ENDIAN ? (uint64_t)first << 32 | second
				    : (uint64_t)second << 32 | first;
}

/* What eight entries differ in from those that want begins. */
static inline uint64_t compare_eight(const uint32_t *frames, uint64_t want, uint64_t change)
{
	return (load_pair(frames) ^ want) | (load_pair(frames + 2) ^ (want + change)) |
	       (load_pair(frames + 4) ^ (want + 2 * change)) |
	       (load_pair(frames + 6) ^ (want + 3 * change));
}

/*
 * How many entries step by step, 1 or -1, from each to the next. No number of the run wraps around,
 * so that two of them can be raised or lowered as one.
 */
static size_t run_length(const uint32_t *frames, size_t count, uint32_t step)
{
	uint64_t want = make_pair(frames[0], frames[0] + step);
	uint64_t change = step == 1 ? make_pair(2, 2) : 0 - make_pair(2, 2);
	uint32_t step_want;
	size_t n = 0;

	while (count - n >= STRIDE && !(compare_eight(frames + n, want, change) |
					compare_eight(frames + n + 8, want + 4 * change, change))) {
		want += 8 * change;
		n += STRIDE;
	}
	step_want = frames[0] + (uint32_t)n * step;
	for (; n < count && frames[n] == step_want; n++)
		step_want += step;
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

/*
 * A batch cut into runs, each one number that sorts by its first frame: first << 32 | count. A run
 * of 2^32 frames does not exist. differ has the bits in which first frames are not all alike.
 */
struct cut {
	uint64_t *runs;
	size_t count;
	uint32_t differ;
	enum run_order order;
};

/* Whether b follows a, or a follows b, or they are equal; so also at the end of the numbers. */
static inline bool is_near(uint32_t a, uint32_t b)
{
	return b - a + 1 <= 2;
}

static struct cut cut_runs(const uint32_t *frames, size_t count, uint64_t *runs)
{
	struct cut cut = { runs, 0, 0, RUNS_MIXED };
	size_t falls = 0;
	uint64_t last = 0;
	size_t at = 0;

	while (at < count) {
		uint32_t first = frames[at++];
		uint64_t packed = (uint64_t)first << 32 | 1;

		if (at < count && is_near(first, frames[at])) {
			struct aero_range run;

			at += scan_run(frames + at - 1, count - at + 1, &run) - 1;
			packed = run.first << 32 | run.count;
		}
		falls += packed < last;
		last = packed;
		cut.differ |= (uint32_t)(packed >> 32) ^ frames[0];
		runs[cut.count++] = packed;
	}
	if (!falls)
		cut.order = RUNS_ASCENDING;
	else if (falls == cut.count - 1)
		cut.order = RUNS_DESCENDING;
	return cut;
}

/* From how often to where: the sums of the counters before each. */
static void sum_buckets(counter *low, counter *high)
{
	uint32_t low_at = 0;
	uint32_t high_at = 0;
	size_t i;

	for (i = 0; i < BUCKETS; i++) {
		uint32_t low_here = low[i];
		uint32_t high_here = high[i];

		low[i] = low_at;
		high[i] = high_at;
		low_at += low_here;
		high_at += high_here;
	}
}

/* Two passes of a radix sort: by the 16 bits at shift, to spare and back. */
static void sort_passes(const struct cut *cut, uint64_t *spare, counter *buckets,
			unsigned int shift)
{
	counter *low = buckets;
	counter *high = buckets + BUCKETS;
	uint64_t *runs = cut->runs;
	size_t n = cut->count;
	size_t i;

	memset(buckets, 0, 2 * BUCKETS * sizeof(*buckets));
	for (i = 0; i < n; i++) {
		uint64_t digits = runs[i] >> shift;

		low[digits % BUCKETS]++;
		high[digits / BUCKETS % BUCKETS]++;
	}
	sum_buckets(low, high);
	for (i = 0; i < n; i++)
		spare[low[(runs[i] >> shift) % BUCKETS]++] = runs[i];
	shift += 8;
	for (i = 0; i < n; i++)
		runs[high[(spare[i] >> shift) % BUCKETS]++] = spare[i];
}

/*
 * Insertion sort for runs that are few, or nearly in order: gives up after so many moves, answering
 * false, where they are neither.
 */
static bool settle(uint64_t *runs, size_t n, size_t moves)
{
	size_t i;

	for (i = 1; i < n; i++) {
		uint64_t run = runs[i];
		size_t to = i;

		if (aero_likely(runs[i - 1] <= run))
			continue;
		while (to && runs[to - 1] > run) {
			runs[to] = runs[to - 1];
			to--;
		}
		runs[to] = run;
		if (i - to > moves)
			return false;
		moves -= i - to;
	}
	return true;
}

/*
 * Sort by the upper 16 of the bits that differ, which leaves scattered frames all but in order.
 * Frames that crowd together take the whole sort. Both are linear, whatever a guest sends. spare
 * has room for as many runs.
 */
static void sort_runs(const struct cut *cut, uint64_t *spare, counter *buckets)
{
	unsigned int width = cut->differ ? aero_high_bit(cut->differ) + 1 : 1;

	if (cut->count <= FEW_RUNS && settle(cut->runs, cut->count, FEW_RUNS * FEW_RUNS))
		return;
	sort_passes(cut, spare, buckets, width > 16 ? 32 + width - 16 : 32);
	if (settle(cut->runs, cut->count, cut->count * SETTLE_MOVES))
		return;
	sort_passes(cut, spare, buckets, 32);
	sort_passes(cut, spare, buckets, 48);
}

/* Merge at least one run; they are in the order that the cut says, or sorted. */
static size_t merge_runs(const struct cut *cut, struct aero_range *out)
{
	bool is_descending = cut->order == RUNS_DESCENDING;
	const uint64_t *run = is_descending ? cut->runs + cut->count - 1 : cut->runs;
	uint64_t first = *run >> 32;
	uint64_t end = first + (*run & UINT32_MAX);
	size_t merged = 0;
	size_t i;

	for (i = 1; i < cut->count; i++) {
		uint64_t next;
		uint64_t next_end;

		run += is_descending ? -1 : 1;
		next = *run >> 32;
		next_end = next + (*run & UINT32_MAX);
		if (next > end) {
			out[merged].first = first;
			out[merged++].count = end - first;
			first = next;
			end = next_end;
		} else if (next_end > end) {
			end = next_end;
		}
	}
	out[merged].first = first;
	out[merged++].count = end - first;
	return merged;
}

void aero_ranges_fold(const uint32_t *frames, size_t count, struct aero_range *scratch,
		      struct aero_range *out, size_t *out_count)
{
	/* Runs are half as large as ranges, so the runs and as much to spare fit into scratch. */
	uint64_t *runs = &scratch[AERO_RANGES_SCRATCH(0)].first;
	counter *buckets = (counter *)(void *)scratch;
	struct cut cut = cut_runs(frames, count, runs);

	*out_count = 0;
	if (!cut.count)
		return;
	if (cut.order == RUNS_MIXED)
		sort_runs(&cut, runs + count, buckets);
	*out_count = merge_runs(&cut, out);
}
