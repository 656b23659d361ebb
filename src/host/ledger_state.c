/* SPDX-License-Identifier: MIT */
/* The ledger written down, read back, and checked. */
#include <aerostat/host/ledger.h>

#include "../core/platform.h"
#include "numbers.h"

#define LEDGER_VERSION 1

/* The counters as they stand in the stream: all of them are 64-bit numbers. */
#define COUNTERS (sizeof(struct aero_ledger_counters) / sizeof(uint64_t))

enum aero_status aero_ledger_save(const struct aero_ledger *ledger, const struct aero_sink *sink)
{
	uint64_t head[2] = { LEDGER_VERSION, ledger->mode };
	enum aero_status status = AERO_OK;

	aero_write_numbers(sink, head, 2, &status);
	aero_write_numbers(sink, &ledger->counters.given, COUNTERS, &status);
	if (status == AERO_OK)
		status = aero_frame_set_save(&ledger->held, sink);
	if (status == AERO_OK)
		status = aero_frame_set_save(&ledger->pending, sink);
	if (status == AERO_OK)
		status = aero_frame_set_save(&ledger->returned, sink);
	return status;
}

/* Whether every frame of a set is guest memory now. */
static bool is_all_ram(const struct aero_ledger *ledger, const struct aero_frame_set *set)
{
	const struct aero_host_memory *memory = ledger->config.memory;
	struct aero_range run = { 0, 0 };

	while (aero_frame_set_next(set, run.first + run.count, AERO_FRAME_LIMIT, &run)) {
		if (memory->is_ram(memory->ctx, run) != run.count)
			return false;
	}
	return true;
}

static enum aero_status restore(struct aero_ledger *ledger, const struct aero_source *source)
{
	uint64_t head[2];
	enum aero_status status = AERO_OK;

	aero_read_numbers(source, head, 2, &status);
	if (status == AERO_OK && (head[0] != LEDGER_VERSION || head[1] > AERO_DISCARD_NONE))
		status = AERO_EPROTO;
	aero_read_numbers(source, &ledger->counters.given, COUNTERS, &status);
	if (status == AERO_OK)
		status = aero_frame_set_restore(&ledger->held, source);
	if (status == AERO_OK)
		status = aero_frame_set_restore(&ledger->pending, source);
	if (status == AERO_OK)
		status = aero_frame_set_restore(&ledger->returned, source);
	if (status == AERO_OK && !is_all_ram(ledger, &ledger->held))
		status = AERO_EPROTO;
	if (status == AERO_OK && aero_ledger_validate(ledger) != AERO_OK)
		status = AERO_EPROTO;
	if (status == AERO_OK)
		ledger->mode = (enum aero_discard_mode)head[1];
	return status;
}

enum aero_status aero_ledger_restore(struct aero_ledger *ledger, const struct aero_source *source)
{
	enum aero_status status;

	aero_ledger_fini(ledger);
	status = restore(ledger, source);
	ledger->given_ns = 0;
	if (status != AERO_OK) {
		aero_ledger_fini(ledger);
		memset(&ledger->counters, 0, sizeof(ledger->counters));
	}
	aero_ledger_memory_changed(ledger);
	return status;
}

/* Whether all frames of a set are in another. */
static bool is_part(const struct aero_frame_set *part, const struct aero_frame_set *whole)
{
	struct aero_range run = { 0, 0 };

	while (aero_frame_set_next(part, run.first + run.count, AERO_FRAME_LIMIT, &run)) {
		if (aero_frame_set_count_in(whole, run) != run.count)
			return false;
	}
	return true;
}

/* Whether two sets have no frame in common. */
static bool is_apart(const struct aero_frame_set *a, const struct aero_frame_set *b)
{
	struct aero_range run = { 0, 0 };

	while (aero_frame_set_next(a, run.first + run.count, AERO_FRAME_LIMIT, &run)) {
		if (aero_frame_set_count_in(b, run))
			return false;
	}
	return true;
}

/* Whether the blocks that wait to be discarded whole are in the balloon whole. */
static bool are_blocks_held(const struct aero_ledger *ledger)
{
	unsigned int order = ledger->block_order;
	struct aero_range run = ledger->ready_run;
	bool is_more = true;

	for (; is_more; is_more = aero_frame_set_next(&ledger->ready, run.first + run.count,
						      AERO_FRAME_LIMIT, &run)) {
		struct aero_range frames = { run.first << order, run.count << order };

		if (aero_frame_set_count_in(&ledger->held, frames) != frames.count)
			return false;
	}
	return true;
}

enum aero_status aero_ledger_validate(const struct aero_ledger *ledger)
{
	const struct aero_ledger_counters *counters = &ledger->counters;

	if (aero_frame_set_validate(&ledger->held) != AERO_OK ||
	    aero_frame_set_validate(&ledger->pending) != AERO_OK ||
	    aero_frame_set_validate(&ledger->returned) != AERO_OK ||
	    aero_frame_set_validate(&ledger->ready) != AERO_OK)
		return AERO_EBUG;
	if (!is_part(&ledger->pending, &ledger->held) ||
	    !is_apart(&ledger->returned, &ledger->held))
		return AERO_EBUG;
	/* reset() empties the balloon without a return, so it may hold less, never more. */
	if (counters->returned > counters->given ||
	    aero_frame_set_count(&ledger->held) > counters->given - counters->returned)
		return AERO_EBUG;
	if (ledger->mode != AERO_DISCARD_COLLECT &&
	    (ledger->ready_run.count || aero_frame_set_count(&ledger->ready)))
		return AERO_EBUG;
	if (!are_blocks_held(ledger))
		return AERO_EBUG;
	return AERO_OK;
}
