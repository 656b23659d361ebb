/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_SIM_PORT_H
#define AEROSTAT_PORTS_SIM_PORT_H

/*
 * A guest kernel for tests, fuzzing, benchmarks and simulations: a buddy allocator over frames that
 * are numbers only, which checks every call against include/aerostat/port.h.
 *
 *	struct sim_port sim;
 *	struct sim_port_config config = { .frames = SIM_PORT_GIB(1024) };
 *
 *	sim_port_init(&sim, &config);
 *	aero_balloon_init(&balloon, &sim.port, ...);	the table is sim.port
 *	sim_port_fragment(&sim, 1000);			no block of 2 MiB is left whole
 *	sim_port_fail(&sim, SIM_PORT_ALLOC, 3, false);	the third alloc() from here on fails
 *	... balloon fini ...
 *	assert_null(sim_port_check_empty(&sim));	all is back and no rule was broken
 *	sim_port_fini(&sim);
 *
 * Violations are counted and the first is kept as text; nothing aborts, so that a fuzzer can
 * report. What breaks a rule has no effect. Everything is deterministic. Nothing is locked: one
 * thread.
 */

#include <aerostat/memory.h>
#include <aerostat/port.h>

#include "ports/sim/sim_buddy.h"

#define SIM_PORT_GIB(n) ((uint64_t)(n) << 18)
#define SIM_PORT_PENDING 16

/* The members of the table, as bits. */
enum sim_port_call {
	SIM_PORT_ALLOC = 1 << 0,
	SIM_PORT_FREE = 1 << 1,
	SIM_PORT_SPLIT = 1 << 2,
	SIM_PORT_SET_OFFLINE = 1 << 3,
	SIM_PORT_ADJUST_MANAGED = 1 << 4,
	SIM_PORT_MANAGED_FRAMES = 1 << 5,
	SIM_PORT_PAGE_GET = 1 << 6,
	SIM_PORT_PAGE_PUT = 1 << 7,
	SIM_PORT_PAGE_FRAME = 1 << 8,
	SIM_PORT_LOCK = 1 << 9,
	SIM_PORT_LOG = 1 << 10,
};

enum sim_owner {
	SIM_OWNER_NONE, /* outside of memory */
	SIM_OWNER_KERNEL,
	SIM_OWNER_FREE,
	SIM_OWNER_LENT, /* given out by alloc(), or a migration's new frame */
	SIM_OWNER_PAGE, /* given out by page_get() */
};

/* Zeroed: 64 MiB, orders 0 and 9, ascending, every optional member there. */
struct sim_port_config {
	uint64_t frames; /* the kernel's memory: frames 0 .. frames - 1 */
	uint32_t orders; /* bits; any of 0 .. 18 */
	enum sim_order order;
	uint64_t seed;	  /* of SIM_SHUFFLED and of fragmentation */
	uint32_t without; /* enum sim_port_call: optional members that are to be NULL */

	/*
	 * Where page_get() takes pages: real memory behind page_frames frames from page_first on,
	 * inside of the kernel's memory (they are the kernel's then) or outside. page_ram is
	 * aligned to 4096. NULL: memory of our own; count 0: enough for a set of all of memory;
	 * count 0 and first 0: right behind the kernel's memory.
	 */
	uint8_t *page_ram;
	aero_frame page_first;
	uint64_t page_frames;
};

struct sim_port_counters {
	uint64_t allocs[SIM_BUDDY_ORDERS]; /* blocks */
	uint64_t frees[SIM_BUDDY_ORDERS];
	uint64_t alloc_calls;
	uint64_t free_calls;
	uint64_t short_allocs; /* answered fewer than asked, injected or not */
	uint64_t sleeps;       /* RECLAIM that took what SPARE leaves alone */
	uint64_t splits;
	uint64_t locks;
	uint64_t logs[AERO_LOG_INFO + 1];
	uint64_t page_gets;
	uint64_t failures; /* injected */
	uint64_t discarded_frames;
	uint64_t peak_pages;
	uint64_t peak_lent_frames;
};

/* Private: a migration that has begun. */
struct sim_port_move {
	aero_frame old_frame;
	aero_frame new_frame;
	unsigned int order;
};

struct sim_port {
	struct aero_port port;

	/* For a host model: own pages can be translated, all of memory is RAM. */
	struct aero_host_memory memory;

	/* To be set at any time. */
	bool is_atomic;		/* the caller may not sleep: alloc(RECLAIM), page_get() are wrong */
	uint64_t spare_floor;	/* free frames that SPARE does not touch */
	uint64_t reclaim_floor; /* and RECLAIM does not */
	size_t alloc_most;	/* blocks that one alloc() answers at most; 0: no limit */
	/* Before each call but lock and unlock: for reentry, traces and changes in the middle. */
	void (*during)(void *ctx, enum sim_port_call call);
	void *during_ctx;

	/* To be read at any time. */
	struct sim_port_counters counters;
	uint64_t violations;
	char violation[160]; /* the first one */
	char last_log[160];
	uint64_t pages; /* given out by page_get() */

	/* Private. */
	struct sim_port_config config;
	struct sim_buddy buddy;
	uint64_t *page_used;
	uint64_t page_hint;
	uint8_t *own_ram;
	aero_frame *pinned;
	size_t pinned_count;
	size_t pinned_room;
	struct sim_port_move pending[SIM_PORT_PENDING];
	unsigned int pending_count;
	uintptr_t lock_state;
	bool is_locked;
	uint32_t fail_calls;
	uint64_t fail_at;
	uint64_t fail_seen;
	bool is_failing_on;
};

void sim_port_init(struct sim_port *sim, const struct sim_port_config *config);
void sim_port_fini(struct sim_port *sim);

/* NULL, or what was not given back or was violated. */
const char *sim_port_check_empty(struct sim_port *sim);

/* NULL, or what is wrong so far: a violation, or books of our own that disagree. */
const char *sim_port_check(const struct sim_port *sim);

/* The nth call from now on of one of these members (ALLOC, PAGE_GET) fails; 0: none. */
void sim_port_fail(struct sim_port *sim, uint32_t calls, uint64_t nth, bool from_then_on);

enum sim_owner sim_port_owner(const struct sim_port *sim, aero_frame frame);
uint64_t sim_port_free_frames(const struct sim_port *sim);
uint64_t sim_port_lent_frames(const struct sim_port *sim);
uint64_t sim_port_offline_frames(const struct sim_port *sim);
uint64_t sim_port_taken_frames(const struct sim_port *sim);
uint64_t sim_port_bytes(const struct sim_port *sim); /* of bookkeeping */

/*
 * The kernel's own use of memory. pin: one frame, false if it is not free. pin_random: so many free
 * frames anywhere; answers how many. fragment: one frame in each free block of 2 MiB, in so many of
 * 1000 of them. unpin: the last ones pinned.
 */
bool sim_port_pin(struct sim_port *sim, aero_frame frame);
uint64_t sim_port_pin_random(struct sim_port *sim, uint64_t count);
void sim_port_fragment(struct sim_port *sim, unsigned int per_mille);
void sim_port_unpin(struct sim_port *sim, uint64_t count);
void sim_port_unpin_all(struct sim_port *sim);

/*
 * The kernel moves a lent block: begin takes a block to move to (false: there is none), the test
 * calls the balloon's migrate, and end says how that went. With is_old_out the old block becomes
 * free, as the kernel's own migration does it; the new one is lent with is_new_in and else free.
 */
bool sim_port_migrate_begin(struct sim_port *sim, unsigned int order, aero_frame old_frame,
			    aero_frame *out_new);
void sim_port_migrate_end(struct sim_port *sim, aero_frame new_frame, bool is_old_out,
			  bool is_new_in);

/* The memory behind an own page's frame; NULL: there is none. */
void *sim_port_ram(const struct sim_port *sim, aero_frame frame);

/*
 * Own pages side by side, as struct aero_virtio_memory wants them:
 *	struct aero_virtio_memory memory = { &sim, sim_port_span_get, sim_port_span_put };
 * They count and fail as page_get() does.
 */
void *sim_port_span_get(void *sim, size_t bytes, aero_gpa *out_gpa);
void sim_port_span_put(void *sim, void *memory, size_t bytes);

/* Notes a violation, for checks of a test's own. */
void sim_port_violate(struct sim_port *sim, const char *what, uint64_t frame);

#endif
