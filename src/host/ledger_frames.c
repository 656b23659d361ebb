/* SPDX-License-Identifier: MIT */
/*
 * Frames by number, the way of most of them: new, in memory that was asked for before, where both
 * sets have a leaf. All others take give()'s way.
 */
#include "ledger_internal.h"

#include <aerostat/ranges.h>

#include "../core/frame_set_pair.h"
#include "../core/platform.h"

/* Frames that were put into both sets: what else give() does. */
static void record(struct aero_ledger *ledger, struct aero_range run, uint64_t now_ns, bool is_full)
{
	ledger->counters.given += run.count;
	aero_ledger_note_given(ledger, run.first, now_ns);
	if (aero_frame_set_count(&ledger->returned))
		aero_frame_set_remove(&ledger->returned, run);
	if (aero_unlikely(is_full) && ledger->mode == AERO_DISCARD_COLLECT)
		aero_ledger_note_ready(ledger, run);
}

/* Frames that stand alone; answers how many. The last may have filled a block. */
static size_t give_singles(struct aero_ledger *ledger, const struct aero_frame_set_pair *pair,
			   const uint32_t *frames, size_t count, uint64_t now_ns)
{
	bool is_full;
	size_t n = aero_frame_set_insert_singles(pair, frames, count, &is_full);
	struct aero_range one = { 0, 1 };
	size_t i;

	if (!n)
		return 0;
	ledger->counters.runs += n;
	if (!ledger->rest_cursor && !aero_frame_set_count(&ledger->returned)) {
		/* Nothing to look at frame by frame. */
		ledger->counters.given += n - 1;
		frames += n - 1;
		count = 1;
	} else {
		count = n;
	}
	for (i = 0; i < count; i++) {
		one.first = frames[i];
		record(ledger, one, now_ns, is_full && i + 1 == count);
	}
	return n;
}

/* A run, or as much of it as is simple; answers whether that is all. */
static inline bool give_run(struct aero_ledger *ledger, const struct aero_frame_set_pair *pair,
			    struct aero_range *run, uint64_t now_ns)
{
	struct aero_range done = *run;
	bool is_full;

	done.count = aero_frame_set_insert_run(pair, *run, &is_full);
	if (aero_unlikely(!done.count))
		return false;
	record(ledger, done, now_ns, is_full);
	run->first += done.count;
	run->count -= done.count;
	return !run->count;
}

void aero_ledger_give_frames(struct aero_ledger *ledger, const uint32_t *frames, size_t count,
			     uint64_t now_ns)
{
	bool is_simple = ledger->mode <= AERO_DISCARD_REQUEST;
	struct aero_frame_set_pair pair = { .whole = &ledger->held, .part = &ledger->pending };
	size_t at = 0;

	if (is_simple)
		aero_frame_set_pair_begin(&pair, ledger->ram);
	while (at < count) {
		bool is_run = at + 1 < count && aero_frame_set_is_near(frames[at], frames[at + 1]);
		size_t n =
			is_run ? 0 : give_singles(ledger, &pair, frames + at, count - at, now_ns);
		struct aero_range run;

		at += n;
		if (n)
			continue;
		at += aero_ranges_scan(frames + at, count - at, &run);
		if (is_run && give_run(ledger, &pair, &run, now_ns)) {
			ledger->counters.runs++;
			continue;
		}
		(void)aero_ledger_give(ledger, run, now_ns);
		if (is_simple)
			aero_frame_set_pair_begin(&pair, ledger->ram);
	}
}
