/* SPDX-License-Identifier: MIT */
#include "suite.h"
#include "console.h"
#include "port.h"
#include "text.h"

#include "port/conformance.h"

#include <stddef.h>

#define ROOM 4096

static void print(void *ctx, const char *name, const char *wrong)
{
	struct suite_result *result = ctx;
	char buf[256];
	struct text text;

	text_init(&text, buf, sizeof(buf));
	text_add(&text, "conformance: ");
	text_add(&text, name);
	text_add(&text, ": ");
	text_add(&text, wrong ? wrong : "passed");
	console_say(buf);
	if (!wrong)
		result->passed++;
	else if (wrong == port_conformance_skipped)
		result->skipped++;
	else
		result->failed++;
}

/* Nothing in this kernel can sleep within an allocation. */
static uint64_t sleeps(void *ctx)
{
	(void)ctx;
	return 0;
}

void suite_run(struct suite_result *out_result)
{
	static aero_frame scratch[ROOM];
	struct port_conformance suite = {
		.port = &port,
		.scratch = scratch,
		.room = ROOM,
		.frame_end = memory.end,
		.sleeps = sleeps,
		.print = print,
		.ctx = out_result,
	};

	*out_result = (struct suite_result){ 0 };
	port_conformance_run(&suite);
}
