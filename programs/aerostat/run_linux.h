/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_LINUX_H
#define AEROSTAT_PROGRAMS_RUN_LINUX_H

/* What machines with our init in them have in common: a guest that is asked on its console. */

#include "hosted/guest_console.h"
#include "run_machine.h"

struct run_linux {
	struct run_machine *machine;
	struct aero_guest_console *console; /* once the guest is up */
	struct aero_guest_request request;
	/* What follows an answer that is good. */
	void (*next)(struct run_linux *guest, const char *text);
};

/* Sends a command; an answer that is bad goes to events.answered, a good one to next. */
void run_linux_ask(struct run_linux *guest, void (*next)(struct run_linux *guest, const char *text),
		   const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The members of struct run_kind for these guests. */
void run_linux_memory(struct run_linux *guest);
void run_linux_dirty(struct run_linux *guest, uint64_t bytes);

/* Answers the scenario: all is well. */
void run_linux_done(struct run_linux *guest, const struct run_answer *answer);

/* Tells the scenario that the guest is up; text: as the console's ready has it. */
void run_linux_ready(struct run_linux *guest, const char *text);

#endif
