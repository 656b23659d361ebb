/* SPDX-License-Identifier: MIT */
#ifndef AERO_HOST_LEDGER_INTERNAL_H
#define AERO_HOST_LEDGER_INTERNAL_H

#include <aerostat/host/ledger.h>

/* Note the blocks that a run has completed. */
void aero_ledger_note_ready(struct aero_ledger *ledger, struct aero_range run);

/* Forget all blocks that were noted. */
void aero_ledger_clear_ready(struct aero_ledger *ledger);

#endif
