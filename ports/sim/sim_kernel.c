/* SPDX-License-Identifier: MIT */

/* What the simulated kernel does with its memory, and what a host may do with it. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ports/sim/sim_internal.h"

enum sim_owner sim_port_owner(const struct sim_port *sim, aero_frame frame)
{
	if (sim_pages_is_used(sim, frame))
		return SIM_OWNER_PAGE;
	if (sim_buddy_free_order(&sim->buddy, frame) >= 0)
		return SIM_OWNER_FREE;
	if (sim_buddy_lent_order(&sim->buddy, frame) >= 0)
		return SIM_OWNER_LENT;
	if (frame < sim->config.frames || sim_pages_has(sim, frame))
		return SIM_OWNER_KERNEL;
	return SIM_OWNER_NONE;
}

uint64_t sim_port_free_frames(const struct sim_port *sim)
{
	return sim->buddy.free_frames;
}

uint64_t sim_port_lent_frames(const struct sim_port *sim)
{
	return sim->buddy.lent_frames;
}

uint64_t sim_port_offline_frames(const struct sim_port *sim)
{
	return sim->buddy.marked_frames[SIM_MARK_OFFLINE];
}

uint64_t sim_port_taken_frames(const struct sim_port *sim)
{
	return sim->buddy.marked_frames[SIM_MARK_TAKEN];
}

uint64_t sim_port_bytes(const struct sim_port *sim)
{
	return sim->buddy.bytes + sim->pinned_room * sizeof(*sim->pinned);
}

static void note_pinned(struct sim_port *sim, aero_frame frame)
{
	if (sim->pinned_count == sim->pinned_room) {
		sim->pinned_room = sim->pinned_room ? 2 * sim->pinned_room : 64;
		sim->pinned = realloc(sim->pinned, sim->pinned_room * sizeof(*sim->pinned));
		if (!sim->pinned)
			abort();
	}
	sim->pinned[sim->pinned_count++] = frame;
}

bool sim_port_pin(struct sim_port *sim, aero_frame frame)
{
	if (sim_buddy_free_order(&sim->buddy, frame) < 0)
		return false;
	sim_buddy_take(&sim->buddy, frame);
	note_pinned(sim, frame);
	return true;
}

/* A block from anywhere. */
static bool take_any(struct sim_port *sim, unsigned int order, aero_frame *out)
{
	enum sim_order usual = sim->buddy.order;
	size_t count;

	sim->buddy.order = SIM_SHUFFLED;
	count = sim_buddy_lend(&sim->buddy, order, out, 1);
	sim->buddy.order = usual;
	return count == 1;
}

uint64_t sim_port_pin_random(struct sim_port *sim, uint64_t count)
{
	uint64_t done = 0;
	aero_frame frame;

	while (done < count && take_any(sim, 0, &frame)) {
		sim_buddy_unlend(&sim->buddy, 0, frame);
		note_pinned(sim, frame);
		done++;
	}
	return done;
}

void sim_port_fragment(struct sim_port *sim, unsigned int per_mille)
{
	struct sim_buddy *buddy = &sim->buddy;

	for (aero_frame first = 0; first < buddy->frames; first += 1u << AERO_ORDER_2M) {
		if (sim_buddy_free_order(buddy, first) < AERO_ORDER_2M)
			continue;
		if (sim_buddy_random(buddy, 1000) < per_mille)
			sim_port_pin(sim, first + sim_buddy_random(buddy, 1u << AERO_ORDER_2M));
	}
}

void sim_port_unpin(struct sim_port *sim, uint64_t count)
{
	while (count-- && sim->pinned_count)
		sim_buddy_free(&sim->buddy, sim->pinned[--sim->pinned_count], 1);
}

void sim_port_unpin_all(struct sim_port *sim)
{
	sim_port_unpin(sim, sim->pinned_count);
}

/* Until the end the new one is as if it was lent, so that the balloon can mark it. */
bool sim_port_migrate_begin(struct sim_port *sim, unsigned int order, aero_frame old_frame,
			    aero_frame *out_new)
{
	struct sim_port_move *move = &sim->pending[sim->pending_count];

	if (sim->pending_count == SIM_PORT_PENDING || !take_any(sim, order, out_new))
		return false;
	move->old_frame = old_frame;
	move->new_frame = *out_new;
	move->order = order;
	sim->pending_count++;
	return true;
}

static void release(struct sim_port *sim, unsigned int order, aero_frame first)
{
	sim_port_split_for(sim, order, first);
	if (!sim_buddy_is_lent(&sim->buddy, order, first)) {
		sim_port_violate(sim, "a moved frame was not lent", first);
		return;
	}
	for (unsigned int i = 0; i < SIM_MARKS; i++) {
		if (!sim_buddy_has_mark(&sim->buddy, (enum sim_mark)i, first))
			continue;
		sim_port_violate(sim, "a frame that left by migration has a mark", first);
		sim_buddy_set_mark(&sim->buddy, (enum sim_mark)i, order, first, false);
	}
	sim_buddy_unlend(&sim->buddy, order, first);
	sim_buddy_free(&sim->buddy, first, 1ull << order);
}

void sim_port_migrate_end(struct sim_port *sim, aero_frame new_frame, bool is_old_out,
			  bool is_new_in)
{
	struct sim_port_move move;
	unsigned int at = 0;

	while (at < sim->pending_count && sim->pending[at].new_frame != new_frame)
		at++;
	if (at == sim->pending_count)
		abort();
	move = sim->pending[at];
	sim->pending[at] = sim->pending[--sim->pending_count];
	if (is_old_out)
		release(sim, move.order, move.old_frame);
	if (!is_new_in)
		release(sim, move.order, move.new_frame);
}

const char *sim_port_check(const struct sim_port *sim)
{
	if (sim->violations)
		return sim->violation;
	if (sim->is_locked)
		return "the lock is held";
	return sim_buddy_validate(&sim->buddy);
}

static const char *name_leftover(const struct sim_port *sim, uint64_t *out_count)
{
	*out_count = sim_port_lent_frames(sim);
	if (*out_count)
		return "frames not given back";
	*out_count = sim->pages;
	if (*out_count)
		return "own pages not given back";
	*out_count = sim->pending_count;
	return *out_count ? "migrations without an end" : NULL;
}

const char *sim_port_check_empty(struct sim_port *sim)
{
	const char *wrong = sim_port_check(sim);
	uint64_t count;

	if (wrong)
		return wrong;
	wrong = name_leftover(sim, &count);
	if (!wrong)
		return NULL;
	snprintf(sim->violation, sizeof(sim->violation), "%s: 0x%" PRIx64, wrong, count);
	return sim->violation;
}

static void *translate(void *ctx, aero_gpa gpa, size_t *len, enum aero_access access)
{
	const struct sim_port *sim = ctx;
	aero_frame frame = gpa >> AERO_FRAME_SHIFT;
	uint64_t rest;

	(void)access;
	if (!sim_pages_has(sim, frame))
		return NULL;
	rest = (sim->config.page_first + sim->config.page_frames) << AERO_FRAME_SHIFT;
	rest -= gpa;
	if (*len > rest)
		*len = (size_t)rest;
	return (uint8_t *)sim_port_ram(sim, frame) + gpa % AERO_FRAME_BYTES;
}

static uint64_t is_ram(void *ctx, struct aero_range range)
{
	const struct sim_port *sim = ctx;
	uint64_t end = range.first;

	if (end < sim->config.frames)
		end = sim->config.frames;
	if (sim_pages_has(sim, end))
		end = sim->config.page_first + sim->config.page_frames;
	if (range.first >= end)
		return 0;
	return range.count < end - range.first ? range.count : end - range.first;
}

static enum aero_status discard(void *ctx, struct aero_range range, uint64_t *out_freed_bytes)
{
	struct sim_port *sim = ctx;
	uint64_t lent = sim_buddy_lent_run(&sim->buddy, range);

	if (lent < range.count)
		sim_port_violate(sim, "the host discards a frame in use", range.first + lent);
	sim->counters.discarded_frames += range.count;
	*out_freed_bytes = range.count << AERO_FRAME_SHIFT;
	return AERO_OK;
}

void sim_memory_init(struct sim_port *sim)
{
	sim->memory.ctx = sim;
	sim->memory.translate = translate;
	sim->memory.is_ram = is_ram;
	sim->memory.discard = discard;
	sim->memory.backing.block_order = AERO_ORDER_2M;
}
