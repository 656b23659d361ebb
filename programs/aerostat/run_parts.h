/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_PARTS_H
#define AEROSTAT_PROGRAMS_RUN_PARTS_H

/* Between the scenario (run_scenario.c) and what it stands on (run_parts.c, run_resident.c). */

#include "run_scenario.h"

/* Give up with a reason; whatever runs is ended. */
void run_fail(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A phase begins; its time limit too. */
void run_enter(struct run *run, enum run_phase phase, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Since the run began. */
double run_seconds(const struct run *run);

/* The balloon as the host sees it now. */
struct run_machine_numbers run_numbers(const struct run *run);

/* Host memory that the guest holds now. */
uint64_t run_resident_bytes(const struct run *run);

/* What guest memory is backed by, for people. */
const char *run_backing_text(const struct run *run);

/*
 * Remember what is resident, and how much of it the balloon then covered; at least, where nobody
 * knows which frames that are.
 */
void run_note_resident(struct run *run);
uint64_t run_resident_under_balloon(const struct run *run);

/*
 * Host memory that still lies under the balloon, of a kind with a ledger. False: the host does not
 * tell where memory is.
 */
bool run_resident_left(const struct run *run, uint64_t *out_bytes);

/* Add a point to the curve, now. */
void run_sample_now(struct run *run);

/* End the machine, and with it the loop. */
void run_close_machine(struct run *run);

/* Called by the parts at every turn of the loop. */
void run_on_turn(struct run *run);

/* What the machine tells, but for closed and ctx, which are the parts' own. */
extern const struct run_machine_events run_scenario_events;

#endif
