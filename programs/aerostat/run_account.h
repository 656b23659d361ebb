/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_ACCOUNT_H
#define AEROSTAT_PROGRAMS_RUN_ACCOUNT_H

/*
 * A guest that counts, too: its account compared with ours.
 *
 * Linux begins to count its calls when its file is read for the first time, so it is read once
 * before the balloon grows. A reading counts only if the host saw no call between asking for it and
 * getting it: then both speak of the same moment. What is compared is what was added from the first
 * such reading to the last.
 */

#include <aerostat/host/vmware.h>
#include <jansson.h>
#include <stdio.h>

#include "run_vmmemctl.h"

/* Both at one moment. */
struct run_reading {
	bool is_taken;
	struct run_vmmemctl guest;
	struct aero_vmware_host_counters host;
	uint64_t ledger_frames;
};

struct run_account {
	struct run_reading before;
	struct run_reading inflated;
	struct run_reading after;
	char text[4096]; /* the guest's at the last reading, lines ended by newlines */
};

/**
 * run_account_read() - Take a reading.
 * @reading: Where.
 * @text:    What the guest said.
 * @asked:   The host's counters when it was asked.
 * @now:     The host's counters now.
 * @frames:  The ledger's now.
 *
 * Shape:   answers whether it is one; false with is_taken unchanged: ask again.
 * Owner:   copies.
 * Errors:  false: there were calls meanwhile, or the text cannot be read.
 * Context: any.
 * Source:  none.
 */
bool run_account_read(struct run_reading *reading, const char *text,
		      const struct aero_vmware_host_counters *asked,
		      const struct aero_vmware_host_counters *now, uint64_t frames);

/**
 * run_account_keep() - Keep the guest's text for people.
 * @account: Zeroed or used.
 * @text:    As the console has it.
 *
 * Shape:   '|' becomes a newline; cut off where it is too long.
 * Owner:   a copy.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void run_account_keep(struct run_account *account, const char *text);

/**
 * run_account_json() - The account and how it compares.
 * @account: As far as it was taken.
 *
 * Shape:   keys of docs/run-json.md; "differences" is empty where both agree. NULL before the first
 *          reading.
 * Owner:   a new reference.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
json_t *run_account_json(const struct run_account *account);

/**
 * run_account_is_agreed() - Whether guest and host have counted the same.
 * @account: As far as it was taken.
 *
 * Shape:   only if all three readings were taken.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
bool run_account_is_agreed(const struct run_account *account);

/**
 * run_account_print() - Calls and account, for people.
 * @out:        Where to.
 * @host_calls: By command, as in the result; NULL: nothing is printed of them.
 * @account:    As of run_account_json(); NULL: nothing is printed of it.
 *
 * Shape:   a table of the commands that were used, then the guest's text.
 * Owner:   read only.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void run_account_print(FILE *out, json_t *host_calls, const json_t *account);

/**
 * run_account_print_verdict() - The rest of the line of the check.
 * @out:     Where to.
 * @account: As of run_account_json(); may be NULL.
 *
 * Shape:   ends the line; a line for each difference follows.
 * Owner:   read only.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void run_account_print_verdict(FILE *out, const json_t *account);

#endif
