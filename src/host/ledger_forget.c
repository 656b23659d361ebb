/* SPDX-License-Identifier: MIT */
/* Memory that is no longer the guest's takes its frames out of the ledger. */
#include <aerostat/host/ledger.h>

uint64_t aero_ledger_forget(struct aero_ledger *ledger, struct aero_range range)
{
	/* What is pending has to be settled before: it must not be discarded in other memory. */
	aero_frame_set_remove(&ledger->pending, range);
	aero_frame_set_remove(&ledger->returned, range);
	return aero_frame_set_remove(&ledger->held, range);
}
