/* SPDX-License-Identifier: MIT */
/* Blocks that are complete and wait to be discarded whole. */
#include "ledger_internal.h"

#include "../core/frame_set_drain.h"

void aero_ledger_clear_ready(struct aero_ledger *ledger)
{
	ledger->ready_run.count = 0;
	ledger->whole.count = 0;
	aero_frame_set_fini(&ledger->ready);
}

/*
 * Note complete blocks, none of which was noted before but where there is only one. They are
 * completed in order, mostly: a run of them needs no set, and so no nodes that come and go.
 */
static void note_blocks(struct aero_ledger *ledger, struct aero_range blocks)
{
	struct aero_range *run = &ledger->ready_run;
	uint64_t added;

	if (!run->count) {
		*run = blocks;
	} else if (blocks.first + blocks.count == run->first) {
		run->first = blocks.first;
		run->count += blocks.count;
	} else if (blocks.first == run->first + run->count) {
		run->count += blocks.count;
	} else if (blocks.first - run->first >= run->count) {
		/* Without memory to note them, blocks are discarded with the rest. */
		(void)aero_frame_set_insert(&ledger->ready, blocks, &added);
	}
}

/* Note one block where it is complete. */
static void note_if_complete(struct aero_ledger *ledger, uint64_t block)
{
	unsigned int order = ledger->block_order;
	struct aero_range one = { block, 1 };

	if (aero_ledger_has_block(&ledger->held, block << order, order))
		note_blocks(ledger, one);
}

void aero_ledger_note_ready(struct aero_ledger *ledger, struct aero_range run)
{
	uint64_t mask = (1ull << ledger->block_order) - 1;
	uint64_t first = run.first >> ledger->block_order;
	uint64_t end = (run.first + run.count) >> ledger->block_order;
	bool has_head = run.first & mask;
	bool has_tail = (run.first + run.count) & mask;
	struct aero_range inner = { first + has_head, 0 };

	/* Parts of a block at the ends, or of one only, and complete blocks between. */
	if (has_head)
		note_if_complete(ledger, first);
	if (inner.first < end) {
		inner.count = end - inner.first;
		note_blocks(ledger, inner);
	}
	if (has_tail && (end != first || !has_head))
		note_if_complete(ledger, end);
}

/* Take blocks out of the run that was noted. What was noted above them goes to the set. */
static void forget_run(struct aero_ledger *ledger, struct aero_range blocks)
{
	struct aero_range *run = &ledger->ready_run;
	uint64_t run_end = run->first + run->count;
	uint64_t end = blocks.first + blocks.count;
	struct aero_range above = { end, 0 };
	uint64_t added;

	if (blocks.first >= run_end || end <= run->first)
		return;
	if (end < run_end)
		above.count = run_end - end;
	run->count = blocks.first > run->first ? blocks.first - run->first : 0;
	if (!run->count)
		*run = above;
	else if (above.count)
		(void)aero_frame_set_insert(&ledger->ready, above, &added);
}

/* Blocks with a frame that goes back are not complete any more. */
void aero_ledger_forget_ready(struct aero_ledger *ledger, struct aero_range run)
{
	struct aero_range blocks;

	blocks.first = run.first >> ledger->block_order;
	blocks.count = ((run.first + run.count - 1) >> ledger->block_order) - blocks.first + 1;
	if (ledger->ready_run.count)
		forget_run(ledger, blocks);
	if (aero_frame_set_count(&ledger->ready))
		aero_frame_set_remove(&ledger->ready, blocks);
}

/* Take blocks that are pending whole and were not noted, as many as may be discarded at once. */
static bool take_whole(struct aero_ledger *ledger, struct aero_range *out_run)
{
	struct aero_range *whole = &ledger->whole;
	aero_frame end = whole->first + whole->count;

	if (!whole->count ||
	    !aero_frame_set_next_whole(&ledger->pending, whole->first, end, out_run)) {
		whole->count = 0;
		return false;
	}
	if (out_run->count > AERO_LEDGER_DISCARD_FRAMES)
		out_run->count = AERO_LEDGER_DISCARD_FRAMES;
	whole->first = out_run->first + out_run->count;
	whole->count = whole->first < end ? end - whole->first : 0;
	return true;
}

/* Take blocks that were noted. */
static bool take_noted(struct aero_ledger *ledger, struct aero_range *out_blocks)
{
	uint64_t max = AERO_LEDGER_DISCARD_FRAMES >> ledger->block_order;
	struct aero_range *run = &ledger->ready_run;

	if (!max)
		max = 1;
	if (!run->count)
		return aero_frame_set_count(&ledger->ready) &&
		       aero_frame_set_take_first(&ledger->ready, max, out_blocks);
	*out_blocks = *run;
	if (out_blocks->count > max)
		out_blocks->count = max;
	run->first += out_blocks->count;
	run->count -= out_blocks->count;
	return true;
}

bool aero_ledger_take_ready(struct aero_ledger *ledger, struct aero_range *out_run)
{
	struct aero_range blocks;

	/* What was noted comes first: it may be pending whole as well. */
	if (!take_noted(ledger, &blocks))
		return take_whole(ledger, out_run);
	out_run->first = blocks.first << ledger->block_order;
	out_run->count = blocks.count << ledger->block_order;
	return true;
}
