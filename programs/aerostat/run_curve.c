/* SPDX-License-Identifier: MIT */
#include "run_curve.h"

#define MIB (1ull << 20)

/* A rate is taken over this much of the way, so that it neither jumps nor lags. */
#define RATE_SECONDS 0.5

const char *run_curve_str(enum run_curve curve)
{
	static const char *const names[RUN_CURVES] = { "target", "actual", "host-resident" };

	return names[curve];
}

uint64_t run_curve_bytes(const struct run_sample *sample, enum run_curve curve)
{
	switch (curve) {
	case RUN_CURVE_TARGET:
		return sample->target_bytes;
	case RUN_CURVE_ACTUAL:
		return sample->actual_bytes;
	default:
		return sample->resident_bytes;
	}
}

/* Index of the last sample not later than a time; count must not be 0 nor the time too early. */
static size_t find_before(const struct run_samples *samples, double seconds)
{
	size_t low = 0, high = samples->count - 1;

	while (low < high) {
		size_t middle = high - (high - low) / 2;

		if (samples->at[middle].seconds <= seconds)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

/* The curve at a time that lies within it, index being the sample before that time. */
static uint64_t interpolate(const struct run_samples *samples, enum run_curve curve, size_t index,
			    double seconds)
{
	const struct run_sample *a = &samples->at[index], *b = a + 1;
	double from, to, bytes;

	if (curve == RUN_CURVE_TARGET || index + 1 == samples->count || b->seconds <= a->seconds)
		return run_curve_bytes(a, curve);
	from = (double)run_curve_bytes(a, curve);
	to = (double)run_curve_bytes(b, curve);
	bytes = from + (to - from) * (seconds - a->seconds) / (b->seconds - a->seconds);
	/* Rounding may reach 2^64. */
	return bytes < 0x1p64 ? (uint64_t)bytes : UINT64_MAX;
}

static double earlier(double a, double b)
{
	return a < b ? a : b;
}

static double later(double a, double b)
{
	return a > b ? a : b;
}

static void widen(uint64_t bytes, uint64_t *low, uint64_t *high)
{
	if (bytes < *low)
		*low = bytes;
	if (bytes > *high)
		*high = bytes;
}

bool run_curve_range(const struct run_samples *samples, enum run_curve curve, struct run_span span,
		     uint64_t *out_low, uint64_t *out_high)
{
	double first, last;
	size_t i;

	if (!samples->count)
		return false;
	first = samples->at[0].seconds;
	last = samples->at[samples->count - 1].seconds;
	if (last < span.begin || first > span.end)
		return false;
	first = later(first, span.begin);
	last = earlier(last, span.end);
	i = find_before(samples, first);
	*out_low = *out_high = interpolate(samples, curve, i, first);
	for (i++; i < samples->count && samples->at[i].seconds <= last; i++)
		widen(run_curve_bytes(&samples->at[i], curve), out_low, out_high);
	widen(interpolate(samples, curve, i - 1, last), out_low, out_high);
	return true;
}

uint64_t run_top_bytes(const struct run_samples *samples, uint64_t memory_bytes)
{
	uint64_t low = MIB, top = memory_bytes > MIB ? memory_bytes : MIB;
	unsigned int curve;
	size_t i;

	for (i = 0; i < samples->count; i++)
		for (curve = 0; curve < RUN_CURVES; curve++)
			widen(run_curve_bytes(&samples->at[i], curve), &low, &top);
	return top;
}

uint64_t run_step_bytes(uint64_t top_bytes, unsigned int most)
{
	uint64_t step = MIB;

	while (top_bytes / step > most && step < 1ull << 62)
		step *= 2;
	return step;
}

double run_step_seconds(double seconds, unsigned int most)
{
	static const double steps[] = { 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1,
					0.2,   0.5,   1,     2,	   5,	 10,   20,
					30,    60,    120,   300,  600,	 1800, 3600 };
	static const size_t count = sizeof(steps) / sizeof(steps[0]);
	double step;
	size_t i;

	for (i = 0; i < count; i++)
		if (seconds / steps[i] <= most)
			return steps[i];
	step = steps[count - 1];
	while (seconds / step > most)
		step *= 2;
	return step;
}

struct run_ticks run_time_ticks(struct run_span span, unsigned int most)
{
	double step = run_step_seconds(span.end - span.begin, most);
	double first = span.begin / step, last = span.end / step;
	struct run_ticks ticks = { .step = step };

	/* Forgiving: 0.3 / 0.1 is not 3. */
	ticks.first = (int64_t)(first + 0.999);
	ticks.last = (int64_t)(last + 0.001);
	ticks.decimals = step < 0.01 ? 3 : step < 0.1 ? 2 : step < 1 ? 1 : 0;
	return ticks;
}

struct run_unit run_unit_of(uint64_t step_bytes)
{
	static const struct run_unit units[] = { { "MiB", MIB },
						 { "GiB", MIB << 10 },
						 { "TiB", MIB << 20 } };

	if (step_bytes >= units[2].bytes)
		return units[2];
	return step_bytes >= units[1].bytes ? units[1] : units[0];
}

static double distance(uint64_t a, uint64_t b)
{
	return a < b ? (double)(b - a) : (double)(a - b);
}

/* The first sample with the present target, or count if the target never changed. */
static size_t find_way(const struct run_samples *samples)
{
	uint64_t target = samples->at[samples->count - 1].target_bytes;
	size_t i;

	for (i = samples->count; i > 0; i--)
		if (samples->at[i - 1].target_bytes != target)
			return i;
	return target ? 0 : samples->count;
}

/* Guests that move blocks of 2 MiB may stop a little past their target. */
static bool is_arrived(const struct run_sample *sample)
{
	return sample->is_reached || sample->actual_bytes == sample->target_bytes;
}

/* The first sample of a way that is at the target, or the last of all. */
static size_t find_arrival(const struct run_samples *samples, size_t i)
{
	while (i + 1 < samples->count && !is_arrived(&samples->at[i]))
		i++;
	return i;
}

static double measure_rate(const struct run_samples *samples, size_t begin, size_t end)
{
	const struct run_sample *last = &samples->at[end];
	double seconds;

	/* Arrived: over the whole way. Else over the latest part of it. */
	if (!is_arrived(last))
		while (begin + 1 < end &&
		       samples->at[begin + 1].seconds + RATE_SECONDS <= last->seconds)
			begin++;
	seconds = last->seconds - samples->at[begin].seconds;
	if (seconds <= 0)
		return 0;
	return distance(last->actual_bytes, samples->at[begin].actual_bytes) / seconds;
}

struct run_progress run_progress_of(const struct run_samples *samples)
{
	struct run_progress progress = { 0 };
	const struct run_sample *from, *last;
	size_t begin, end;
	double length;

	begin = samples->count ? find_way(samples) : 0;
	if (begin == samples->count)
		return progress;
	end = find_arrival(samples, begin);
	from = &samples->at[begin];
	last = &samples->at[samples->count - 1];
	progress.is_begun = true;
	progress.is_arrived = is_arrived(last);
	progress.from_bytes = from->actual_bytes;
	progress.to_bytes = last->target_bytes;
	progress.actual_bytes = last->actual_bytes;
	progress.resident_bytes = last->resident_bytes;
	progress.begin = from->seconds;
	length = distance(from->actual_bytes, last->target_bytes);
	progress.fraction = length > 0 && !progress.is_arrived
				    ? 1 - distance(last->actual_bytes, last->target_bytes) / length
				    : 1;
	progress.fraction = earlier(1, later(0, progress.fraction));
	progress.seconds = samples->at[end].seconds - from->seconds;
	progress.bytes_per_second = measure_rate(samples, begin, end);
	return progress;
}
