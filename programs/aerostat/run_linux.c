/* SPDX-License-Identifier: MIT */
#include "run_linux.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void run_linux_done(struct run_linux *guest, const struct run_answer *answer)
{
	const struct run_machine_events *events = &guest->machine->setting.events;

	events->answered(events->ctx, answer);
}

static void fail(struct run_linux *guest, enum aero_status status, const char *text)
{
	struct run_answer answer = { .status = status, .text = text };

	run_linux_done(guest, &answer);
}

static void on_answer(void *ctx, enum aero_status status, const char *text)
{
	struct run_linux *guest = ctx;

	/* Of a guest that is gone the story of its end tells more, and comes in any case. */
	if (status == AERO_EGONE)
		return;
	if (status != AERO_OK)
		fail(guest, status, text);
	else
		guest->next(guest, text);
}

void run_linux_ask(struct run_linux *guest, void (*next)(struct run_linux *guest, const char *text),
		   const char *format, ...)
{
	const struct run_machine_events *events = &guest->machine->setting.events;
	enum aero_status status;
	struct aero_error story;
	char command[128];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	guest->next = next;
	status = aero_guest_console_ask(guest->console, &guest->request, command,
					guest->machine->setting.options->timeout_ms, on_answer,
					guest);
	if (status == AERO_OK)
		return;
	aero_error_set(&story, status, "guest: '%s' could not be sent: %s", command,
		       aero_status_str(status));
	events->failed(events->ctx, &story);
}

/* An answer with the guest's own numbers. */
static void take_memory(struct run_linux *guest, const char *text)
{
	struct run_answer answer = { .status = AERO_OK };
	char why[256];

	if (aero_guest_number(text, "total", &answer.memory.total_bytes) == AERO_OK &&
	    aero_guest_number(text, "free", &answer.memory.free_bytes) == AERO_OK &&
	    aero_guest_number(text, "available", &answer.memory.available_bytes) == AERO_OK) {
		run_linux_done(guest, &answer);
		return;
	}
	snprintf(why, sizeof(why), "an answer without its memory: '%s'", text);
	fail(guest, AERO_EPROTO, why);
}

void run_linux_memory(struct run_linux *guest)
{
	run_linux_ask(guest, take_memory, "memory");
}

static void free_dirty(struct run_linux *guest, const char *text)
{
	(void)text;
	run_linux_ask(guest, take_memory, "free");
}

void run_linux_dirty(struct run_linux *guest, uint64_t bytes)
{
	run_linux_ask(guest, free_dirty, "dirty %" PRIu64, bytes);
}

void run_linux_ready(struct run_linux *guest, const char *text)
{
	const struct run_machine_events *events = &guest->machine->setting.events;
	char kernel[80] = "";

	(void)aero_guest_value(text, "kernel", kernel, sizeof(kernel));
	events->ready(events->ctx, kernel);
}
