/* SPDX-License-Identifier: MIT */
#ifndef AERO_HOST_LEDGER_INTERNAL_H
#define AERO_HOST_LEDGER_INTERNAL_H

#include <aerostat/host/ledger.h>

/* Something pending came, from a frame on. */
static inline void aero_ledger_note_given(struct aero_ledger *ledger, aero_frame first,
					  uint64_t now_ns)
{
	ledger->given_ns = now_ns;
	if (!ledger->waiting_ns)
		ledger->waiting_ns = now_ns;
	if (first < ledger->rest_cursor)
		ledger->rest_cursor = first;
}

/* Note the blocks that a run has completed. */
void aero_ledger_note_ready(struct aero_ledger *ledger, struct aero_range run);

/* Forget all blocks that were noted. */
void aero_ledger_clear_ready(struct aero_ledger *ledger);

#endif
