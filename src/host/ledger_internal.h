/* SPDX-License-Identifier: MIT */
#ifndef AERO_HOST_LEDGER_INTERNAL_H
#define AERO_HOST_LEDGER_INTERNAL_H

#include <aerostat/host/ledger.h>

#include "../core/platform.h"

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

/* Memory around a frame that is not remembered: whether there is any; it is remembered then. */
bool aero_ledger_find_ram(struct aero_ledger *ledger, aero_frame frame);

/* How many frames from frame on are guest memory. */
static inline uint64_t aero_ledger_ram_after(struct aero_ledger *ledger, aero_frame frame)
{
	const struct aero_range *ram = &ledger->ram;

	if (aero_unlikely(frame - ram->first >= ram->count) && !aero_ledger_find_ram(ledger, frame))
		return 0;
	return ram->count - (frame - ram->first);
}

/* Whether a set holds all of an aligned block of this order. */
static inline bool aero_ledger_has_block(const struct aero_frame_set *set, aero_frame first,
					 unsigned int order)
{
	struct aero_range block = { first, 1ull << order };

	if (order == AERO_ORDER_2M)
		return aero_frame_set_has_block(set, first);
	return aero_frame_set_count_in(set, block) == block.count;
}

/* Note the blocks that a run has completed. */
void aero_ledger_note_ready(struct aero_ledger *ledger, struct aero_range run);

/* Whether any are noted. */
static inline bool aero_ledger_is_any_ready(const struct aero_ledger *ledger)
{
	return ledger->ready_run.count || aero_frame_set_count(&ledger->ready);
}

/* Blocks with a frame that goes back are not complete any more. */
void aero_ledger_forget_ready(struct aero_ledger *ledger, struct aero_range run);

/* The frames of blocks that are complete, as many as may be discarded at once; false: none. */
bool aero_ledger_take_ready(struct aero_ledger *ledger, struct aero_range *out_run);

/* What becomes of frames that are new in the balloon; without memory they are discarded at once. */
void aero_ledger_schedule(struct aero_ledger *ledger, struct aero_range run, uint64_t now_ns);

/* Forget all blocks that were noted. */
void aero_ledger_clear_ready(struct aero_ledger *ledger);

/*
 * For protocols that answer each block on its own: a run as a whole or not at all.
 *
 * ask_whole() changes and counts nothing. It answers AERO_OK where give_whole() or take_whole() may
 * follow, AERO_ERANGE where a part is not guest memory, AERO_EDUP where a part to give is in the
 * balloon, AERO_ENOENT where a part to take is not. give_whole() answers AERO_ENOMEM where there is
 * no memory to record the run; nothing has changed then. Neither discards, but for FRAME mode.
 * refuse_whole() counts a run that was asked for and refused.
 */
enum aero_status aero_ledger_ask_whole(struct aero_ledger *ledger, struct aero_range run,
				       bool is_give);
enum aero_status aero_ledger_give_whole(struct aero_ledger *ledger, struct aero_range run,
					uint64_t now_ns);
void aero_ledger_take_whole(struct aero_ledger *ledger, struct aero_range run);
void aero_ledger_refuse_whole(struct aero_ledger *ledger, struct aero_range run,
			      enum aero_status why, bool is_give);

/*
 * The quick ways of the same, for frames or blocks of 2 MiB by address that stand alone: each is
 * neither followed by itself nor by a neighbour. They answer how many of them are done, up to the
 * first for which that is not simple; not_this never is.
 */
size_t aero_ledger_give_singles_at(struct aero_ledger *ledger, const aero_gpa *at, size_t count,
				   aero_gpa not_this, uint64_t now_ns);
size_t aero_ledger_give_blocks_at(struct aero_ledger *ledger, const aero_gpa *at, size_t count,
				  aero_gpa not_this, uint64_t now_ns);

#endif
