/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_GUEST_PAGES_H
#define AEROSTAT_GUEST_PAGES_H

/*
 * The page core: which frames are in a balloon, and the kernel's view of them.
 *
 * The engine (guest/balloon.h) is built on it; a kernel with drivers of its own can use it alone.
 * Frames are kept in sets, one per block size, so there is no metadata per page. The core talks to
 * no host: a driver lets a list of blocks join, tells the host, and says what came of it.
 *
 *	       join		     joined: accepted
 *	held --------> in flight ------------------------> lent <---------+
 *	  ^		   | refused			   |  ^  |	  | putback
 *	  +<---------------+			     leave |  |  | isolate|
 *	  |						   v  |	 +---> isolated
 *	  +<------------ left: accepted --------- in flight --+		  |
 *	  |						      refused	  |
 *	free <---------------------- migrate: the old one ----------------+
 *
 * Held blocks are the driver's: alloc() fills a list with them, free() returns them. Blocks in
 * flight stay in the set until the answer is there, so no frame is ever lost for want of memory:
 * only join() needs any, before the host has heard of the frame.
 *
 * Every call takes the port's lock itself and holds it for at most one list.
 */

#include <aerostat/frame_set.h>
#include <aerostat/port.h>
#include <aerostat/status.h>
#include <aerostat/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Block sizes in one balloon at most, and blocks in one list. */
#define AERO_PAGES_SIZES 4
#define AERO_PAGES_LIST_MAX 512

/* What a list is in the middle of. */
enum aero_pages_move {
	AERO_PAGES_RESTING = 0, /* its blocks are held */
	AERO_PAGES_JOINING,
	AERO_PAGES_LEAVING,
};

/*
 * Blocks of one size on their way. The numbers in frames are the guest's own record: a driver
 * copies them into what the host can see and never reads them back from there.
 */
struct aero_pages_list {
	aero_frame *frames; /* the first frame of each block; room for AERO_PAGES_LIST_MAX */
	uint32_t count;
	uint32_t refused_count;
	uint32_t refused[AERO_PAGES_LIST_MAX / 32]; /* bit n: the host refused frames[n] */
	unsigned int size;			    /* index of the block size, 0 the smallest */
	enum aero_pages_move move;

	/* Private: of blocks in flight. */
	aero_frame lowest;
	aero_frame highest;
	struct aero_pages_list *next;
};

/* Blocks of one size. Events since init(), in blocks; they never drift. */
struct aero_pages_counters {
	uint64_t inflated; /* joined and accepted, or come of breaking up a larger one */
	uint64_t deflated; /* left and accepted, lost in a migration, or broken up */
	uint64_t migrated;
};

struct aero_pages_size {
	unsigned int order;
	struct aero_frame_set lent;	/* of blocks: frame >> order; those in flight as well */
	struct aero_frame_set isolated; /* a part of lent */
	uint64_t joining;		/* of lent: the host has not yet accepted them */
	aero_frame cursor;		/* leave() goes on from this block */
	struct aero_pages_counters counters;
	uint64_t reserved[6]; /* 256 bytes where pointers have 8: an index is a shift */
};

/* Private but for size[]; public so that it can be embedded. */
struct aero_pages {
	const struct aero_port *port;
	unsigned int size_count;
	unsigned int spare_count;
	void *spare; /* nodes for the sets, taken and given back outside the lock */
	struct aero_pages_list *flying;
	uintptr_t lock_state; /* of whoever holds the lock */
	bool is_managed_kept; /* adjust_managed() is not called; changed only while empty */
	struct aero_pages_size size[AERO_PAGES_SIZES]; /* ascending */
};

/**
 * aero_pages_init() - Make an empty core.
 * @pages:  Uninitialised.
 * @port:   Outlives the core.
 * @orders: Bit n: blocks of 2^n frames. At least one bit, at most AERO_PAGES_SIZES.
 *
 * Shape:   size[0] are the kernel's pages: the lowest of the orders.
 * Owner:   the caller owns pages and calls fini().
 * Errors:  AERO_EINVAL: orders, or the port lacks a member that is not optional, or one of the
 *          orders.
 * Context: any.
 * Source:  Linux's balloon page core, without its metadata per page.
 */
enum aero_status aero_pages_init(struct aero_pages *pages, const struct aero_port *port,
				 uint32_t orders);

/**
 * aero_pages_fini() - End of a core.
 * @pages: Initialised, nothing in flight.
 *
 * Shape:   frames still lent stay lost to the kernel: empty the balloon before.
 * Owner:   all metadata goes back to the port.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void aero_pages_fini(struct aero_pages *pages);

/**
 * aero_pages_list_init() - Make an empty list.
 * @list:   Uninitialised.
 * @frames: Room for AERO_PAGES_LIST_MAX numbers; outlives the list.
 *
 * Shape:   resting.
 * Owner:   both stay the caller's; a list in flight must not move.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void aero_pages_list_init(struct aero_pages_list *list, aero_frame *frames);

/**
 * aero_pages_refuse() - The host refused a block of a list.
 * @list:  In flight.
 * @index: Which; below list->count.
 *
 * Shape:   between join() or leave() and joined() or left().
 * Owner:   nothing changes hands yet.
 * Errors:  none.
 * Context: any.
 * Source:  VMware's hosts answer for each frame.
 */
void aero_pages_refuse(struct aero_pages_list *list, uint32_t index);

/**
 * aero_pages_alloc() - Take blocks from the kernel.
 * @pages:  Initialised.
 * @list:   Resting; blocks are added to those it holds, which must be of the same size.
 * @size:   Index of the block size.
 * @effort: How hard the kernel is to try.
 * @count:  The list is filled up to this many; at most AERO_PAGES_LIST_MAX.
 *
 * Shape:   answers how many came; fewer than asked means there are no more now.
 * Owner:   they are held in the list.
 * Errors:  none.
 * Context: that of port->alloc(); may end in reclaim() or migrate() of the same balloon.
 * Source:  balloon page core: alloc.
 */
uint32_t aero_pages_alloc(struct aero_pages *pages, struct aero_pages_list *list, unsigned int size,
			  enum aero_effort effort, uint32_t count);

/**
 * aero_pages_free() - Give the blocks of a list back to the kernel.
 * @pages: Initialised.
 * @list:  Resting.
 *
 * Shape:   the list is empty afterwards.
 * Owner:   the frames are the kernel's, no longer marked offline.
 * Errors:  none.
 * Context: any.
 * Source:  balloon page core: what drivers do after dequeue.
 */
void aero_pages_free(struct aero_pages *pages, struct aero_pages_list *list);

/**
 * aero_pages_join() - Blocks are on their way into the balloon.
 * @pages: Initialised.
 * @list:  Resting.
 *
 * Shape:   next: tell the host, refuse() what it refuses, joined().
 * Owner:   in flight.
 * Errors:  AERO_ENOMEM: no memory for the sets; the list rests as before. AERO_EINVAL: a block is
 *          in the balloon already, or is no block of its size; the list rests as before.
 * Context: that of port->page_get().
 * Source:  design of Aerostat, section 3.
 */
enum aero_status aero_pages_join(struct aero_pages *pages, struct aero_pages_list *list);

/**
 * aero_pages_joined() - The host has answered for blocks that joined.
 * @pages: Initialised.
 * @list:  Joining.
 *
 * Shape:   answers how many were accepted: these are lent, marked offline and counted as inflated.
 *          The refused ones stay in the list, which rests.
 * Owner:   accepted ones are the balloon's, refused ones held.
 * Errors:  none.
 * Context: any.
 * Source:  balloon page core: enqueue.
 */
uint32_t aero_pages_joined(struct aero_pages *pages, struct aero_pages_list *list);

/**
 * aero_pages_leave() - Choose blocks to leave the balloon.
 * @pages: Initialised.
 * @list:  Resting and empty.
 * @size:  Index of the block size.
 * @count: At most this many, and at most AERO_PAGES_LIST_MAX.
 *
 * Shape:   answers how many were found: ascending from where the last call ended, without those
 *          isolated or in flight. Next: tell the host, refuse() what it refuses, left().
 * Owner:   in flight; in the balloon until left().
 * Errors:  none; it needs no memory.
 * Context: any.
 * Source:  balloon page core: dequeue.
 */
uint32_t aero_pages_leave(struct aero_pages *pages, struct aero_pages_list *list, unsigned int size,
			  uint32_t count);

/**
 * aero_pages_left() - The host has answered for blocks that were to leave.
 * @pages: Initialised.
 * @list:  Leaving.
 *
 * Shape:   answers how many were accepted: these are counted as deflated and stay in the list,
 *          which rests, to be freed. The refused ones are lent as before and no event is counted.
 * Owner:   accepted ones are held.
 * Errors:  none; it needs no memory.
 * Context: any.
 * Source:  balloon page core: dequeue; its events drift at refusals.
 */
uint32_t aero_pages_left(struct aero_pages *pages, struct aero_pages_list *list);

/**
 * aero_pages_rewind() - Let leave() begin with the lowest block again.
 * @pages: Initialised.
 *
 * Shape:   of all sizes; those refused are found again.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void aero_pages_rewind(struct aero_pages *pages);

/**
 * aero_pages_enqueue() - Put held blocks into the balloon; the host knows them already.
 * @pages: Initialised.
 * @list:  Resting; empty afterwards.
 *
 * Shape:   join() and joined() with nothing refused, for protocols and drivers that ask no host.
 * Owner:   lent.
 * Errors:  those of join(); the list rests as before then.
 * Context: that of join().
 * Source:  balloon page core: enqueue and list_enqueue.
 */
enum aero_status aero_pages_enqueue(struct aero_pages *pages, struct aero_pages_list *list);

/**
 * aero_pages_dequeue() - Take blocks out of the balloon without asking.
 * @pages: Initialised.
 * @list:  Resting and empty.
 * @size:  Index of the block size.
 * @count: At most this many, and at most AERO_PAGES_LIST_MAX.
 *
 * Shape:   leave() and left() with nothing refused. Fewer than asked where the rest is isolated or
 *          in flight, or where there are no more.
 * Owner:   held.
 * Errors:  none; it needs no memory.
 * Context: any.
 * Source:  balloon page core: dequeue and list_dequeue.
 */
uint32_t aero_pages_dequeue(struct aero_pages *pages, struct aero_pages_list *list,
			    unsigned int size, uint32_t count);

/**
 * aero_pages_frames() - How many frames are in the balloon.
 * @pages: Initialised.
 *
 * Shape:   frames of all sizes that the host has accepted and not yet given back. While join()
 *          fetches memory, blocks of its list may be among them.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
uint64_t aero_pages_frames(const struct aero_pages *pages);

/**
 * aero_pages_bytes() - Memory the core uses.
 * @pages: Initialised.
 *
 * Shape:   bytes of pages taken from the port and not given back.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
uint64_t aero_pages_bytes(const struct aero_pages *pages);

/**
 * aero_pages_validate() - Check every invariant.
 * @pages: Initialised.
 *
 * Shape:   each frame in exactly one state, sums agree; for tests and for doubts.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EBUG: one does not hold.
 * Context: any, serialised by the caller: it takes no lock.
 * Source:  none.
 */
enum aero_status aero_pages_validate(const struct aero_pages *pages);

/**
 * aero_pages_isolate() - The kernel wants to move a block.
 * @pages: Initialised.
 * @order: Of the block.
 * @frame: Its first frame.
 *
 * Shape:   true: nobody else touches it until putback() or migrate(). False: it is not in the
 *          balloon, is in flight, or is isolated already, or there was no memory to remember it.
 * Owner:   isolated, still in the balloon.
 * Errors:  none.
 * Context: that of port->page_get().
 * Source:  balloon page core: isolate.
 */
bool aero_pages_isolate(struct aero_pages *pages, unsigned int order, aero_frame frame);

/**
 * aero_pages_putback() - The kernel does not move a block after all.
 * @pages: Initialised.
 * @order: Of the block.
 * @frame: Its first frame.
 *
 * Shape:   does nothing where it is not isolated.
 * Owner:   lent.
 * Errors:  none.
 * Context: any.
 * Source:  balloon page core: putback.
 */
void aero_pages_putback(struct aero_pages *pages, unsigned int order, aero_frame frame);

/*
 * What the driver does at the host for a migration. AERO_OK: the new block is in the balloon, the
 * old one is out. AERO_ENOENT: the old one is out, the new one not in. Others: nothing has changed;
 * AERO_EAGAIN means that the kernel may try again at once. No lock is held.
 */
typedef enum aero_status (*aero_pages_exchange)(void *ctx, unsigned int order, aero_frame new_frame,
						aero_frame old_frame);

/**
 * aero_pages_migrate() - Put a block in the place of an isolated one.
 * @pages:     Initialised.
 * @order:     Of both.
 * @new_frame: Held by the kernel.
 * @old_frame: Isolated.
 * @exchange:  The driver's part.
 * @ctx:       Handed to exchange.
 *
 * Shape:   a new block that the host did not take is a deflation by one block and reported as
 *          success: has() tells whether the new one is in.
 * Owner:   after AERO_OK the old block is the kernel's, not marked offline (the kernel's own
 *          migration releases it, free() is not called), and the new one is lent, or stays the
 *          kernel's where the host did not take it. After an error nothing has changed and the old
 *          block is still isolated.
 * Errors:  AERO_EAGAIN: no memory, or the driver said so. AERO_EINVAL: old is not isolated, or new
 *          is in the balloon. Others: what exchange answered.
 * Context: that of exchange and port->page_get().
 * Source:  balloon page core: migrate; its counts drift across nodes and at a lost block.
 */
enum aero_status aero_pages_migrate(struct aero_pages *pages, unsigned int order,
				    aero_frame new_frame, aero_frame old_frame,
				    aero_pages_exchange exchange, void *ctx);

/**
 * aero_pages_has() - Whether a block is in the balloon.
 * @pages: Initialised.
 * @order: Of the block.
 * @frame: Its first frame.
 *
 * Shape:   in flight and isolated count as in.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
bool aero_pages_has(const struct aero_pages *pages, unsigned int order, aero_frame frame);

#ifdef __cplusplus
}
#endif

#endif
