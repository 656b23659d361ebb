/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_SIM_BUDDY_H
#define AEROSTAT_PORTS_SIM_BUDDY_H

/*
 * A buddy allocator over frames 0 .. frames - 1, of nothing but bookkeeping: which blocks are free,
 * which are lent, and two marks per lent block. What is neither free nor lent is the kernel's.
 *
 * Two levels of the same tree: a region covers 1 GiB in sections of 2 MiB, a leaf one section in
 * frames. Regions that are free whole and sections that are free or lent whole have nothing below
 * them, so that 1 TiB in blocks of 2 MiB costs 6 MiB.
 */

#include <aerostat/types.h>

#define SIM_BUDDY_ORDERS 19
#define SIM_BUDDY_TOP (SIM_BUDDY_ORDERS - 1)

/* Which of the blocks that fit is taken. */
enum sim_order {
	SIM_ASCENDING,	/* the lowest of the smallest size that fits */
	SIM_DESCENDING, /* the highest */
	SIM_SHUFFLED,	/* any free frame as likely as any other */
};

enum sim_mark {
	SIM_MARK_OFFLINE,
	SIM_MARK_TAKEN,
	SIM_MARKS,
};

struct sim_region;
struct sim_leaf;

struct sim_buddy {
	uint64_t frames;
	uint64_t free_frames;
	uint64_t lent_frames;
	uint64_t marked_frames[SIM_MARKS];
	uint64_t count[SIM_BUDDY_ORDERS]; /* free blocks by order */
	uint64_t bytes;			  /* of bookkeeping, now */
	uint64_t random;
	enum sim_order order;

	/* By region. has: which ones have free blocks of an order; low, high: in which words. */
	struct sim_region **region;
	uint64_t *has[SIM_BUDDY_ORDERS];
	size_t low[SIM_BUDDY_ORDERS];
	size_t high[SIM_BUDDY_ORDERS];
	size_t regions;
	size_t words;
	struct sim_leaf *spare;
};

/* All frames free. */
void sim_buddy_init(struct sim_buddy *buddy, uint64_t frames, enum sim_order order, uint64_t seed);
void sim_buddy_fini(struct sim_buddy *buddy);

uint64_t sim_buddy_random(struct sim_buddy *buddy, uint64_t below);

/* Lends blocks; answers how many there were. */
size_t sim_buddy_lend(struct sim_buddy *buddy, unsigned int order, aero_frame *out, size_t count);

/* Whether a block of exactly this order is lent. */
bool sim_buddy_is_lent(const struct sim_buddy *buddy, unsigned int order, aero_frame first);

/* The order of the lent, or free, block around a frame; -1: it is none. */
int sim_buddy_lent_order(const struct sim_buddy *buddy, aero_frame frame);
int sim_buddy_free_order(const struct sim_buddy *buddy, aero_frame frame);

/* How many frames from the first of a range on are lent, without a hole. */
uint64_t sim_buddy_lent_run(const struct sim_buddy *buddy, struct aero_range range);

/* A lent block without marks becomes the kernel's, and the kernel's block becomes lent. */
void sim_buddy_unlend(struct sim_buddy *buddy, unsigned int order, aero_frame first);
void sim_buddy_relend(struct sim_buddy *buddy, unsigned int order, aero_frame first);

/* Makes free what is the kernel's: count frames, in the largest blocks that fit. */
void sim_buddy_free(struct sim_buddy *buddy, aero_frame first, uint64_t count);

/* Takes one free frame for the kernel. */
void sim_buddy_take(struct sim_buddy *buddy, aero_frame frame);

/* A lent block becomes lent blocks of a smaller order, with its marks. */
void sim_buddy_split(struct sim_buddy *buddy, unsigned int order, aero_frame first,
		     unsigned int into);

/* Marks of lent blocks. */
bool sim_buddy_has_mark(const struct sim_buddy *buddy, enum sim_mark mark, aero_frame frame);
void sim_buddy_set_mark(struct sim_buddy *buddy, enum sim_mark mark, unsigned int order,
			aero_frame first, bool is_set);

/* Counts everything anew; answers what disagrees, or NULL. */
const char *sim_buddy_validate(const struct sim_buddy *buddy);

#endif
