/* SPDX-License-Identifier: MIT */
#ifndef AERO_GUEST_PAGES_INTERNAL_H
#define AERO_GUEST_PAGES_INTERNAL_H

/* What the files of the page core share. */

#include <aerostat/guest/pages.h>

#include "../core/frame_set_near.h"
#include "../core/platform.h"

static inline aero_frame aero_pages_block(const struct aero_pages_size *size, aero_frame frame)
{
	return frame >> size->order;
}

/* Whether the host refused a block of a list. */
static inline bool aero_pages_is_refused(const struct aero_pages_list *list, uint32_t index)
{
	return list->refused[index / 32] >> index % 32 & 1;
}

/* pages_nodes.c */

/* The lock guards sets, lists in flight and the spare nodes. Nothing of the port runs under it. */
void aero_pages_lock(struct aero_pages *pages);
void aero_pages_unlock(struct aero_pages *pages);

/* One at a time: whether the caller may, false while another does. */
bool aero_pages_enter(struct aero_pages *pages, bool *is_busy);
void aero_pages_exit(struct aero_pages *pages, bool *is_busy);

/* An empty set whose nodes are the core's. */
void aero_pages_set_init(struct aero_pages *pages, struct aero_frame_set *set);

/* One more spare node, outside the lock. AERO_ENOMEM: the port has none. */
enum aero_status aero_pages_refill(struct aero_pages *pages);

/* Gives back the spare nodes that are too many, outside the lock. */
void aero_pages_trim(struct aero_pages *pages);
void aero_pages_trim_to(struct aero_pages *pages, unsigned int kept);

/*
 * Adds blocks to a set of the core, or none of them. Called with the lock held, which it drops
 * where it needs memory. AERO_ENOMEM; AERO_EINVAL: one is there already, or is out of range.
 */
enum aero_status aero_pages_insert(struct aero_pages *pages, struct aero_frame_set *set,
				   struct aero_range blocks);

/*
 * Adds blocks to a set one by one, the last one first. Answers how many there was no memory for: so
 * many are left at the begin of frames.
 */
uint32_t aero_pages_keep(struct aero_pages *pages, struct aero_frame_set *set, unsigned int order,
			 const aero_frame *frames, uint32_t count);

/* pages.c */

/* Takes the lowest blocks out of such a set, at most count; answers how many. */
uint32_t aero_pages_take(struct aero_pages *pages, struct aero_frame_set *set, unsigned int order,
			 aero_frame *out, uint32_t count);

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
