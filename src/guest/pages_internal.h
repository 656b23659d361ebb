/* SPDX-License-Identifier: MIT */
#ifndef AERO_GUEST_PAGES_INTERNAL_H
#define AERO_GUEST_PAGES_INTERNAL_H

/* What the files of the page core share. */

#include <aerostat/guest/pages.h>

#include "../core/platform.h"

/* The lock guards sets, lists in flight and the spare nodes. Nothing of the port runs under it. */
static inline uintptr_t aero_pages_lock(const struct aero_pages *pages)
{
	const struct aero_port *port = pages->port;

	return port->lock ? port->lock(port->ctx) : 0;
}

static inline void aero_pages_unlock(const struct aero_pages *pages, uintptr_t state)
{
	const struct aero_port *port = pages->port;

	if (port->unlock)
		port->unlock(port->ctx, state);
}

static inline aero_frame aero_pages_block(const struct aero_pages_size *size, aero_frame frame)
{
	return frame >> size->order;
}

/* The size with an order, NULL where there is none or the frame is not aligned to it. */
struct aero_pages_size *aero_pages_find(struct aero_pages *pages, unsigned int order,
					aero_frame frame);

/* One more spare node, outside the lock. AERO_ENOMEM: the port has none. */
enum aero_status aero_pages_refill(struct aero_pages *pages);

/* Gives back the spare nodes that are too many, outside the lock. */
void aero_pages_trim(struct aero_pages *pages);

/*
 * Adds blocks to a set of the core. Called with the lock held, which it drops where it needs
 * memory; *state follows. AERO_ENOMEM: *done says how many blocks are in.
 */
enum aero_status aero_pages_insert(struct aero_pages *pages, struct aero_frame_set *set,
				   struct aero_range blocks, uint64_t *done, uintptr_t *state);

/*
 * Breaks one lent block of a size up into pages; it is the one leave() would take next. The host is
 * not told, nothing changes for it; the kernel is, by split(). list is resting and lends its room.
 * False: there is no such block, or no memory to remember its pages; nothing has changed.
 */
bool aero_pages_break(struct aero_pages *pages, struct aero_pages_list *list, unsigned int size);

/* Lists in flight; with the lock held. */
void aero_pages_fly(struct aero_pages *pages, struct aero_pages_list *list,
		    enum aero_pages_move move);
void aero_pages_land(struct aero_pages *pages, struct aero_pages_list *list);

/* Tells the port that blocks are the host's from now on, or are not any more; outside the lock. */
void aero_pages_mark(const struct aero_pages *pages, unsigned int order, const aero_frame *frames,
		     size_t count, bool is_lent);

#endif
