/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOST_LEDGER_H
#define AEROSTAT_HOST_LEDGER_H

/*
 * The host's record of a balloon, and the collector that turns it into discards.
 *
 * The ledger knows every frame a guest has given. So a frame given twice, returned twice, never
 * given or outside guest memory is an answer, not a guess, and a guest whose own count disagrees is
 * seen. It serves every protocol.
 *
 * It also decides when host memory is discarded, because one discard of a whole block costs far
 * less per byte than its parts: 5 times less for ordinary pages, 300 times less for huge pages.
 * Frames given are pending until they are discarded; pending frames that are returned cost nothing.
 * How long a frame may be pending is the protocol's to say: see aero_discard_mode.
 */

#include <aerostat/frame_set.h>
#include <aerostat/memory.h>
#include <aerostat/status.h>
#include <aerostat/stream.h>
#include <aerostat/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum aero_discard_mode {
	/*
	 * Collect blocks across requests. Legal only where the guest asks before it uses a frame
	 * again (virtio: MUST_TELL_HOST negotiated).
	 */
	AERO_DISCARD_COLLECT = 0,
	/* Discard all of a request, merged, before it is answered. Always legal. */
	AERO_DISCARD_REQUEST,
	/* Frame by frame as they come, as other devices do. For comparison in measurements. */
	AERO_DISCARD_FRAME,
	/* Record only. For measurements, and for memory that must stay. */
	AERO_DISCARD_NONE,
};

/* Frames in one discard at most, so that a discard never takes long: 32 MiB. */
#define AERO_LEDGER_DISCARD_FRAMES 8192

/* Calls of the host that one step of discarding what is scattered makes at most. */
#define AERO_LEDGER_DISCARD_CALLS 64

#define AERO_LEDGER_IDLE_NS_DEFAULT 50000000ull

struct aero_ledger_config {
	const struct aero_host_memory *memory; /* outlives the ledger */
	struct aero_node_source nodes;	       /* for the sets; copied */
	uint64_t idle_ns; /* pending frames are discarded after this; 0: the default */
};

/* Everything since init() or the last reset of the counters by restore(). Frames unless said. */
struct aero_ledger_counters {
	uint64_t given;		 /* newly in the balloon */
	uint64_t given_twice;	 /* given while already in it */
	uint64_t returned;	 /* taken out of it */
	uint64_t returned_twice; /* returned while not in it, after having been */
	uint64_t never_given;	 /* returned without ever having been in it */
	uint64_t out_of_range;	 /* not guest memory, given or returned */
	uint64_t unrecorded;	 /* given, but there was no memory to record them */
	uint64_t runs;		 /* runs given, after merging neighbours within a request */
	uint64_t cancelled;	 /* returned while pending: no discard was needed */
	/* acknowledged without a discard: not a whole backing page, inhibited, or memory gone */
	uint64_t dropped;
	uint64_t discards;	      /* calls */
	uint64_t discard_failures;    /* calls that the host failed */
	uint64_t discard_asked_bytes; /* of the calls that succeeded */
	uint64_t discard_freed_bytes; /* what the host said it got back */
	uint64_t blocks_whole;	      /* blocks of the backing discarded whole */
	uint64_t blocks_split;	      /* discards that took only a part of a block */
};

/* Private; public only so that it can be embedded. */
struct aero_ledger {
	struct aero_ledger_config config;
	enum aero_discard_mode mode;
	unsigned int block_order;
	bool is_inhibited;
	struct aero_frame_set held;
	struct aero_frame_set pending;
	struct aero_frame_set returned;
	struct aero_range ready_run; /* of blocks: frame number >> block_order */
	struct aero_frame_set ready; /* of those that are no neighbours of the run */
	struct aero_range whole;     /* where whole blocks are pending that were not noted */
	struct aero_range ram;	     /* the last answer of memory->is_ram() */
	struct aero_ledger_counters counters;
	uint64_t given_ns;   /* when the last frame came that is pending */
	uint64_t waiting_ns; /* since when there is something that waits; 0: nothing */
	aero_frame rest_cursor;
	struct aero_range runs[AERO_LEDGER_DISCARD_CALLS]; /* being discarded */
};

/**
 * aero_ledger_init() - Make an empty ledger.
 * @ledger: Uninitialised.
 * @config: Copied.
 *
 * Shape:   the mode is AERO_DISCARD_REQUEST until set_mode().
 * Owner:   the caller owns ledger and calls fini().
 * Errors:  AERO_EINVAL: memory without is_ram or discard, or orders above AERO_ORDER_1G or out of
 *          order.
 * Context: any.
 * Source:  design of Aerostat.
 */
enum aero_status aero_ledger_init(struct aero_ledger *ledger,
				  const struct aero_ledger_config *config);

/**
 * aero_ledger_fini() - Forget everything and give back all nodes.
 * @ledger: Initialised.
 *
 * Shape:   pending frames are not discarded.
 * Owner:   nothing of the ledger's is left.
 * Errors:  none.
 * Context: that of nodes.put().
 * Source:  design of Aerostat.
 */
void aero_ledger_fini(struct aero_ledger *ledger);

/**
 * aero_ledger_reset() - The guest's balloon is gone: a reset device, another guest.
 * @ledger: Initialised.
 *
 * Shape:   every frame is the guest's again; counters stay. Reads memory->backing anew.
 * Owner:   all nodes go back.
 * Errors:  none.
 * Context: that of nodes.put().
 * Source:  VIRTIO 1.4, 2.4: device reset.
 */
void aero_ledger_reset(struct aero_ledger *ledger);

/**
 * aero_ledger_set_mode() - When to discard.
 * @ledger: Initialised.
 * @mode:   What the negotiated protocol allows.
 *
 * Shape:   pending frames stay pending; leaving AERO_DISCARD_COLLECT the caller discards the rest.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  specs of the protocols.
 */
void aero_ledger_set_mode(struct aero_ledger *ledger, enum aero_discard_mode mode);

/**
 * aero_ledger_inhibit() - Turn discards off or on.
 * @ledger:       Initialised.
 * @is_inhibited: Whether they are off; false after init().
 *
 * Shape:   while they are off no call makes one: what is given waits in COLLECT and REQUEST mode,
 *          and is dropped in FRAME mode and where there is no memory to remember it.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  enum aero_inhibit of virtio_balloon_types.h.
 */
void aero_ledger_inhibit(struct aero_ledger *ledger, bool is_inhibited);

/**
 * aero_ledger_memory_changed() - The memory map changed.
 * @ledger: Initialised.
 *
 * Shape:   forgets what it remembered of the map and reads memory->backing; frames stay.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  memory hot plug.
 */
void aero_ledger_memory_changed(struct aero_ledger *ledger);

/**
 * aero_ledger_give() - The guest gives a run of frames.
 * @ledger: Initialised.
 * @range:  The run; not checked by the caller.
 * @now_ns: Monotonic time.
 *
 * Shape:   every frame lands in exactly one counter. What is new is pending.
 * Owner:   the host may discard the frames until they are returned.
 * Errors:  AERO_ERANGE: some are not guest memory; AERO_EDUP: some were already in the balloon;
 *          AERO_ENOMEM: some could not be recorded and stay undiscarded. The others are done.
 * Context: that of memory->is_ram(), memory->discard() and nodes.get().
 * Source:  design of Aerostat.
 */
enum aero_status aero_ledger_give(struct aero_ledger *ledger, struct aero_range range,
				  uint64_t now_ns);

/**
 * aero_ledger_give_frames() - The guest gives frames by number.
 * @ledger: Initialised.
 * @frames: Their numbers, as the guest sent them.
 * @count:  How many.
 * @now_ns: Monotonic time.
 *
 * Shape:   as give() of each run of them, for less where they are scattered.
 * Owner:   the host may discard the frames until they are returned.
 * Errors:  counted, not answered.
 * Context: that of give().
 * Source:  requests of virtio-balloon are arrays of 32-bit frame numbers.
 */
void aero_ledger_give_frames(struct aero_ledger *ledger, const uint32_t *frames, size_t count,
			     uint64_t now_ns);

/**
 * aero_ledger_take() - The guest wants a run of frames back.
 * @ledger: Initialised.
 * @range:  The run; not checked by the caller.
 *
 * Shape:   every frame lands in exactly one counter. No discard touches them after this.
 * Owner:   the frames are the guest's.
 * Errors:  AERO_ERANGE: some are not guest memory; AERO_EDUP: some were already back;
 *          AERO_ENOENT: some were never given. The others are done.
 * Context: that of memory->is_ram(), nodes.get() and nodes.put().
 * Source:  design of Aerostat.
 */
enum aero_status aero_ledger_take(struct aero_ledger *ledger, struct aero_range range);

/**
 * aero_ledger_discard_whole() - Discard complete blocks, one call of the host at most.
 * @ledger: Initialised.
 *
 * Shape:   answers whether it did anything: call again until it answers false, with other work in
 *          between. At most AERO_LEDGER_DISCARD_FRAMES or one block, whichever is more.
 * Owner:   nothing changes hands.
 * Errors:  counted, not answered.
 * Context: that of memory->discard().
 * Source:  docs/decisions.md.
 */
bool aero_ledger_discard_whole(struct aero_ledger *ledger);

/**
 * aero_ledger_discard_rest() - Discard incomplete blocks too.
 * @ledger: Initialised.
 *
 * Shape:   as discard_whole(), but AERO_LEDGER_DISCARD_CALLS calls at most, of as many frames
 *          together. Parts of a backing page that cannot be discarded alone stay pending
 *          (AERO_DISCARD_COLLECT) until the page is complete.
 * Owner:   nothing changes hands.
 * Errors:  counted, not answered.
 * Context: that of memory->discard().
 * Source:  docs/decisions.md.
 */
bool aero_ledger_discard_rest(struct aero_ledger *ledger);

/**
 * aero_ledger_drop_rest() - Give up on what is pending.
 * @ledger: Initialised.
 *
 * Shape:   the frames stay in the balloon and their host memory stays too; counted as dropped. For
 *          the end of a request that has to be answered now.
 * Owner:   nodes of the pending set go back.
 * Errors:  none.
 * Context: that of nodes.put().
 * Source:  VIRTIO 1.4, 5.5.6: without MUST_TELL_HOST nothing may be discarded later.
 */
void aero_ledger_drop_rest(struct aero_ledger *ledger);

/**
 * aero_ledger_forget() - Memory of the guest is gone: unplugged, or another lies there now.
 * @ledger: Initialised.
 * @range:  What went. Call memory_changed() afterwards.
 *
 * Shape:   answers how many of its frames were in the balloon; they are as if never given. Nothing
 *          of it may be pending: see aero_virtio_balloon_host_settle().
 * Owner:   nodes that become empty go back.
 * Errors:  none.
 * Context: that of nodes.put().
 * Source:  memory hot plug.
 */
uint64_t aero_ledger_forget(struct aero_ledger *ledger, struct aero_range range);

/**
 * aero_ledger_due_ns() - When discard_rest() is to be called.
 * @ledger: Initialised.
 *
 * Shape:   a time, or AERO_NEVER where it would find nothing to do.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat: pending frames wait a bounded time.
 */
uint64_t aero_ledger_due_ns(const struct aero_ledger *ledger);

/**
 * aero_ledger_held() - Frames in the balloon.
 * @ledger: Initialised.
 *
 * Shape:   frames.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat.
 */
uint64_t aero_ledger_held(const struct aero_ledger *ledger);

/**
 * aero_ledger_pending() - Frames in the balloon whose host memory is not yet discarded.
 * @ledger: Initialised.
 *
 * Shape:   frames.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat.
 */
uint64_t aero_ledger_pending(const struct aero_ledger *ledger);

/**
 * aero_ledger_bytes() - Memory the ledger uses.
 * @ledger: Initialised.
 *
 * Shape:   bytes of nodes.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat.
 */
uint64_t aero_ledger_bytes(const struct aero_ledger *ledger);

/**
 * aero_ledger_save() - Write the ledger down.
 * @ledger: Initialised.
 * @sink:   Where to.
 *
 * Shape:   frames held, pending and returned, mode and counters.
 * Owner:   nothing changes hands.
 * Errors:  those of the sink.
 * Context: that of the sink.
 * Source:  design of Aerostat.
 */
enum aero_status aero_ledger_save(const struct aero_ledger *ledger, const struct aero_sink *sink);

/**
 * aero_ledger_restore() - Read it back.
 * @ledger: Initialised; what it holds is forgotten.
 * @source: What save() wrote, not trusted.
 *
 * Shape:   the ledger is as it was; pending frames are due at once.
 * Owner:   nodes are taken.
 * Errors:  AERO_EPROTO: no save() wrote this; AERO_ENOMEM; those of the source. The ledger is empty
 *          then.
 * Context: that of the source and nodes.get().
 * Source:  design of Aerostat.
 */
enum aero_status aero_ledger_restore(struct aero_ledger *ledger, const struct aero_source *source);

/**
 * aero_ledger_validate() - Check every invariant.
 * @ledger: Initialised.
 *
 * Shape:   pending is part of held, returned and held are disjoint, counters add up.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EBUG: one does not hold.
 * Context: any; cost grows with what is held.
 * Source:  design of Aerostat.
 */
enum aero_status aero_ledger_validate(const struct aero_ledger *ledger);

#ifdef __cplusplus
}
#endif

#endif
