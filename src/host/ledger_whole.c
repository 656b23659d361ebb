/* SPDX-License-Identifier: MIT */
/* Runs as a whole or not at all, for protocols that answer each block on its own. */
#include "ledger_internal.h"

#include "../core/frame_set_pair.h"

#define BLOCK_FRAMES ((uint64_t)AERO_FRAME_SET_BLOCK_FRAMES)

enum aero_status aero_ledger_ask_whole(struct aero_ledger *ledger, struct aero_range run,
				       bool is_give)
{
	uint64_t held;

	if (aero_ledger_ram_after(ledger, run.first) < run.count)
		return AERO_ERANGE;
	held = aero_frame_set_count_in(&ledger->held, run);
	if (is_give)
		return held ? AERO_EDUP : AERO_OK;
	return held == run.count ? AERO_OK : AERO_ENOENT;
}

/* Insert a run of which the set holds nothing, all of it or nothing. */
static bool insert_whole(struct aero_frame_set *set, struct aero_range run)
{
	uint64_t added;

	if (aero_likely(aero_frame_set_insert(set, run, &added) == AERO_OK))
		return true;
	aero_frame_set_remove(set, run);
	return false;
}

enum aero_status aero_ledger_give_whole(struct aero_ledger *ledger, struct aero_range run,
					uint64_t now_ns)
{
	bool is_kept = ledger->mode <= AERO_DISCARD_REQUEST;

	if (!insert_whole(&ledger->held, run))
		return AERO_ENOMEM;
	if (is_kept && !insert_whole(&ledger->pending, run)) {
		aero_frame_set_remove(&ledger->held, run);
		return AERO_ENOMEM;
	}
	ledger->counters.runs++;
	ledger->counters.given += run.count;
	if (aero_frame_set_count(&ledger->returned))
		aero_frame_set_remove(&ledger->returned, run);
	if (is_kept)
		aero_ledger_note_given(ledger, run.first, now_ns);
	else
		aero_ledger_schedule(ledger, run, now_ns);
	if (ledger->mode == AERO_DISCARD_COLLECT)
		aero_ledger_note_ready(ledger, run);
	return AERO_OK;
}

void aero_ledger_refuse_whole(struct aero_ledger *ledger, struct aero_range run,
			      enum aero_status why, bool is_give)
{
	struct aero_ledger_counters *counters = &ledger->counters;
	uint64_t held = aero_frame_set_count_in(&ledger->held, run);
	uint64_t twice;

	if (why == AERO_ERANGE) {
		counters->out_of_range += run.count;
	} else if (why == AERO_ENOMEM) {
		counters->unrecorded += run.count;
	} else if (is_give) {
		counters->given_twice += held;
	} else {
		twice = aero_frame_set_count_in(&ledger->returned, run);
		counters->returned_twice += twice;
		counters->never_given += run.count - held - twice;
	}
}

/* What was put into both sets, one by one. */
static void record_singles(struct aero_ledger *ledger, const aero_gpa *at, size_t count,
			   uint64_t frames, uint64_t now_ns)
{
	bool was_any_returned = aero_frame_set_count(&ledger->returned) != 0;
	struct aero_range one = { at[0] >> AERO_FRAME_SHIFT, frames };
	size_t i;

	ledger->counters.runs += count;
	ledger->counters.given += count * frames;
	aero_ledger_note_given(ledger, one.first, now_ns);
	if (!was_any_returned && !ledger->rest_cursor)
		return;
	for (i = 0; i < count; i++) {
		one.first = at[i] >> AERO_FRAME_SHIFT;
		aero_ledger_note_given(ledger, one.first, now_ns);
		if (was_any_returned)
			aero_frame_set_remove(&ledger->returned, one);
	}
}

size_t aero_ledger_give_singles_at(struct aero_ledger *ledger, const aero_gpa *at, size_t count,
				   aero_gpa not_this, uint64_t now_ns)
{
	struct aero_frame_set_pair pair = { .whole = &ledger->held, .part = &ledger->pending };
	struct aero_range last = { 0, 1 };
	bool is_full;
	size_t n;

	if (ledger->mode > AERO_DISCARD_REQUEST)
		return 0;
	aero_frame_set_pair_begin(&pair, ledger->ram);
	n = aero_frame_set_insert_singles_at(&pair, at, count, not_this, &is_full);
	if (!n)
		return 0;
	record_singles(ledger, at, n, 1, now_ns);
	last.first = at[n - 1] >> AERO_FRAME_SHIFT;
	if (is_full && ledger->mode == AERO_DISCARD_COLLECT)
		aero_ledger_note_ready(ledger, last);
	return n;
}

/* Whole blocks are pending somewhere around a frame: found when they are discarded. */
static void note_whole(struct aero_ledger *ledger, aero_frame frame)
{
	struct aero_range *whole = &ledger->whole;

	if (!whole->count) {
		whole->first = frame;
		whole->count = 1;
	} else if (frame < whole->first) {
		whole->count += whole->first - frame;
		whole->first = frame;
	} else if (frame - whole->first >= whole->count) {
		whole->count = frame - whole->first + 1;
	}
}

size_t aero_ledger_give_blocks_at(struct aero_ledger *ledger, const aero_gpa *at, size_t count,
				  aero_gpa not_this, uint64_t now_ns)
{
	struct aero_frame_set_pair pair = { .whole = &ledger->held, .part = &ledger->pending };
	size_t n;
	size_t i;

	if (ledger->mode != AERO_DISCARD_COLLECT || ledger->block_order != AERO_ORDER_2M)
		return 0;
	n = aero_frame_set_insert_blocks_at(&pair, ledger->ram, at, count, not_this);
	if (!n)
		return 0;
	record_singles(ledger, at, n, BLOCK_FRAMES, now_ns);
	for (i = 0; i < n; i++)
		note_whole(ledger, at[i] >> AERO_FRAME_SHIFT);
	return n;
}
