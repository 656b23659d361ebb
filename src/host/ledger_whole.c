/* SPDX-License-Identifier: MIT */
/* Runs as a whole or not at all, for protocols that answer each block on its own. */
#include "ledger_internal.h"

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
