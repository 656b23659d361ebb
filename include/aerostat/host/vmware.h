/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOST_VMWARE_H
#define AEROSTAT_HOST_VMWARE_H

/*
 * The VMware balloon as a hypervisor or a VMM embeds it: the other end of port 0x5670.
 *
 * Whoever catches the guest's read of the port hands over the registers with call(), writes them
 * back and lets the guest go on. A call is answered from memory and never waits for a discard;
 * discards happen in step(), a bounded piece per call, merged over calls, which is legal because a
 * guest asks (UNLOCK) before it uses a frame again. All calls on one host are serialised by the
 * caller. The guest is not trusted.
 */

#include <aerostat/host/balloon.h>
#include <aerostat/host/ledger.h>
#include <aerostat/memory.h>
#include <aerostat/status.h>
#include <aerostat/stream.h>
#include <aerostat/types.h>
#include <aerostat/wire/vmware.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Everything a host can grant. */
#define AERO_VMWARE_HOST_CAPABILITIES 0x3eu

enum aero_vmware_host_event_kind {
	AERO_VMWARE_HOST_EVENT_STARTED = 1, /* value: capabilities granted */
	AERO_VMWARE_HOST_EVENT_LEFT,	    /* the guest said START(0) */
	AERO_VMWARE_HOST_EVENT_GUEST_ID,    /* value: AERO_VMWARE_GUEST_* */
	AERO_VMWARE_HOST_EVENT_TARGET,	    /* value: frames, set by the host */
	AERO_VMWARE_HOST_EVENT_ACTUAL,	    /* value: frames in the balloon, after a call */
	/*
	 * value: frames. Told once for each target and guest, when the guest knows the target and
	 * the balloon is there, or less than 2 MiB above it: guests that inflate by 2 MiB stop so.
	 */
	AERO_VMWARE_HOST_EVENT_REACHED,
	AERO_VMWARE_HOST_EVENT_RESET,	/* value: the command that was answered RESET */
	AERO_VMWARE_HOST_EVENT_DRAINED, /* after quiesce(): memory is stable now */
};

struct aero_vmware_host_event {
	enum aero_vmware_host_event_kind kind;
	uint64_t value;
};

/* What the VMM does and decides. All optional; no member may call back into the host. */
struct aero_vmware_host_ops {
	void (*event)(void *ctx, const struct aero_vmware_host_event *event);
	/* Ring the guest's VMCI doorbell. NULL: SIGNALLED_WAKEUP is not granted. */
	void (*doorbell)(void *ctx, uint32_t context, uint32_t resource);
	/*
	 * Before a command is served: AERO_VMWARE_SUCCESS serves it, anything else is its answer
	 * (BUSY, RESET, an error) and nothing is done. RESET ends the protocol as reset() does.
	 */
	uint32_t (*interpose)(void *ctx, uint32_t command);
	/*
	 * The policy for each block that the ledger would take or give back: AERO_VMWARE_SUCCESS,
	 * or the status it is refused with (PPN_INVALID, PPN_PINNED, PPN_NOTNEEDED).
	 */
	uint32_t (*judge)(void *ctx, bool is_lock, struct aero_range block);
	/* Each call as it was answered, registers before and after. For recording. */
	void (*trace)(void *ctx, const struct aero_vmware_registers *before,
		      const struct aero_vmware_registers *after);
	/* Each run the guest gave or took back, as it was accepted. For recording. */
	void (*runs)(void *ctx, bool is_lock, struct aero_range run);
};

struct aero_vmware_host_config {
	const struct aero_host_memory *memory;	/* outlives the host */
	struct aero_node_source nodes;		/* copied */
	const struct aero_vmware_host_ops *ops; /* outlives the host; NULL: none */
	void *ops_ctx;
	uint32_t capabilities; /* the most to grant, of AERO_VMWARE_HOST_CAPABILITIES */
	bool is_old;	       /* answers START with status 0: BASIC, and no mask */
	/*
	 * COLLECT is legal. REQUEST: step() does not wait for whole blocks. FRAME: frame by frame
	 * in call() itself, for comparison.
	 */
	enum aero_discard_mode mode;
	uint64_t idle_ns;   /* of the ledger; 0: its default */
	uint64_t silent_ns; /* without a call for this long: stalled; 0: 5 s */
};

/* Since init(). Frames are counted by the ledger; these count calls and entries. */
struct aero_vmware_host_counters {
	uint64_t calls[AERO_VMWARE_CMD_COUNT];	/* by command */
	uint64_t failed[AERO_VMWARE_CMD_COUNT]; /* of those, answered with a failure */
	uint64_t unknown_calls;			/* of a command above 10 */
	uint64_t foreign_calls;			/* wrong magic or port: registers untouched */
	uint64_t locked_4k, locked_2m;		/* entries accepted */
	uint64_t unlocked_4k, unlocked_2m;
	uint64_t refused[AERO_VMWARE_BUSY + 1]; /* entries by status, 0 unused */
	uint64_t malformed_entries; /* reserved bits set, unaligned 2M; among the PPN_INVALID */
	uint64_t bad_batches;	    /* a page outside memory, no or too many entries */
	uint64_t starts;	    /* successful, with capabilities */
	uint64_t leaves;	    /* START(0) */
	uint64_t resets;	    /* ended by us: reset() or interpose() */
	uint64_t doorbells;	    /* rung */
};

/* One answer to "how is it?". */
struct aero_vmware_host_report {
	uint64_t target_frames;
	uint64_t actual_frames;	 /* in the ledger */
	uint64_t pending_frames; /* of those, not yet discarded */
	uint64_t limit_frames;	 /* what the guest says it manages; 0: not yet said */
	uint64_t ledger_bytes;	 /* metadata */
	enum aero_host_stall stall;
	uint32_t capabilities; /* granted; 0: none, or no guest */
	uint32_t guest_id;
	uint32_t inhibited; /* bits of enum aero_inhibit */
	uint32_t doorbell_context;
	uint32_t doorbell_resource;
	bool has_doorbell;
	bool is_live; /* a guest has started the protocol */
	bool is_quiesced;
	bool is_drained;
	enum aero_discard_mode mode;
};

/* Private; public only so that it can be embedded. */
struct aero_vmware_host {
	struct aero_vmware_host_config config;
	struct aero_ledger ledger;
	struct aero_vmware_host_counters counters;
	uint64_t entry[AERO_VMWARE_BATCH_ENTRIES]; /* our copy of the batch, read once */
	uint64_t target;
	uint64_t limit;
	uint64_t told;		 /* frames of the last event ACTUAL */
	uint64_t nearest_frames; /* the least the balloon was away from its target */
	uint64_t progress_ns;
	uint64_t heard_ns;
	uint32_t capabilities;
	uint32_t guest_id;
	uint32_t doorbell_context;
	uint32_t doorbell_resource;
	uint32_t inhibited;
	bool is_live;
	bool is_reset_wanted;
	bool is_reached_told;
	bool was_last_unlock;
	bool has_moved; /* since the last step(), which knows the time */
	bool is_quiesced;
	bool is_drained_told;
	bool is_flush_wanted;
};

/**
 * aero_vmware_host_init() - Make a host.
 * @host:   Uninitialised.
 * @config: Copied.
 *
 * Shape:   target 0, no guest.
 * Owner:   the caller owns host and calls fini().
 * Errors:  AERO_EINVAL: memory is missing a member, capabilities has other bits, or 2M without
 *          BATCHED.
 * Context: any.
 * Source:  docs/protocols/vmware-balloon.md.
 */
enum aero_status aero_vmware_host_init(struct aero_vmware_host *host,
				       const struct aero_vmware_host_config *config);

/**
 * aero_vmware_host_fini() - End of a host.
 * @host: Initialised.
 *
 * Shape:   nothing is discarded.
 * Owner:   all nodes go back.
 * Errors:  none.
 * Context: that of nodes.put().
 * Source:  design of Aerostat.
 */
void aero_vmware_host_fini(struct aero_vmware_host *host);

/**
 * aero_vmware_host_call() - The guest read the port.
 * @host:   Initialised.
 * @regs:   As the guest had them; as it is to find them.
 * @now_ns: Monotonic time.
 *
 * Shape:   at most 512 entries of work, no discard. The answer is in regs: AX always; BX with the
 *          target on SUCCESS of a command that carries it; CX with the capabilities after START;
 *          the others stay. Without a guest every command but START is answered RESET, and taking
 *          away a doorbell CMD_INVALID. A batch without a page of memory or with no or too many
 *          entries is answered FAILURE as a whole. Call step() afterwards.
 * Owner:   frames locked are the host's until they are unlocked or the protocol ends.
 * Errors:  AERO_ENOENT: magic or port are not the balloon's; regs are untouched. What the guest did
 *          wrong is in its registers and in the counters, never here.
 * Context: that of memory->translate() and ops.
 * Source:  docs/protocols/vmware-balloon.md.
 */
enum aero_status aero_vmware_host_call(struct aero_vmware_host *host,
				       struct aero_vmware_registers *regs, uint64_t now_ns);

/**
 * aero_vmware_host_step() - Do one bounded piece of work: discards.
 * @host:   Initialised.
 * @now_ns: Monotonic time.
 *
 * Shape:   answers when to call again unless a call comes before: now_ns for at once, a later time,
 *          or AERO_NEVER. A piece is discards of 32 MiB together.
 * Owner:   nothing changes hands.
 * Errors:  none; counters tell.
 * Context: that of memory and ops.
 * Source:  design of Aerostat.
 */
uint64_t aero_vmware_host_step(struct aero_vmware_host *host, uint64_t now_ns);

/**
 * aero_vmware_host_set_target() - How many frames the balloon is to hold.
 * @host:       Initialised.
 * @frames:     Any number.
 * @out_frames: What the guest will be told.
 *
 * Shape:   kept across resets and guests. Rings the doorbell where there is one. Without
 *          64_BIT_TARGET the guest is told at most 2^32 - 1.
 * Owner:   nothing changes hands.
 * Errors:  AERO_ERANGE: above AERO_FRAME_LIMIT, clamped to it and set all the same.
 * Context: that of ops.
 * Source:  docs/protocols/vmware-balloon.md.
 */
enum aero_status aero_vmware_host_set_target(struct aero_vmware_host *host, uint64_t frames,
					     uint64_t *out_frames);

/**
 * aero_vmware_host_reset() - Make the guest start anew.
 * @host: Initialised.
 *
 * Shape:   the next command of the guest that is not START is answered RESET; frames are in the
 *          ledger until then and forgotten with that answer.
 * Owner:   with the answer all frames are the guest's.
 * Errors:  AERO_ESTATE: there is no guest.
 * Context: that of ops->doorbell().
 * Source:  docs/protocols/vmware-balloon.md.
 */
enum aero_status aero_vmware_host_reset(struct aero_vmware_host *host);

/**
 * aero_vmware_host_forget() - The guest is gone without a word: killed, rebooted, unloaded.
 * @host: Initialised.
 *
 * Shape:   as after init(), but that target, counters, pause and inhibitions stay. No event.
 * Owner:   all frames are the guest's.
 * Errors:  none.
 * Context: that of nodes.put().
 * Source:  design of Aerostat.
 */
void aero_vmware_host_forget(struct aero_vmware_host *host);

/**
 * aero_vmware_host_quiesce() - Come to rest, for a snapshot.
 * @host: Initialised.
 *
 * Shape:   commands that move frames are answered BUSY. step() discards what is pending; then an
 *          event says drained, and guest memory is not discarded until resume().
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat, section 4.
 */
void aero_vmware_host_quiesce(struct aero_vmware_host *host);

/**
 * aero_vmware_host_resume() - Go on.
 * @host: Initialised.
 *
 * Shape:   rings the doorbell where the target is not reached.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: that of ops->doorbell().
 * Source:  design of Aerostat, section 4.
 */
void aero_vmware_host_resume(struct aero_vmware_host *host);

/**
 * aero_vmware_host_inhibit() - Set the reasons not to discard.
 * @host:    Initialised.
 * @reasons: Bits of enum aero_inhibit; 0 permits discards again.
 *
 * Shape:   calls are answered, memory stays until discards are permitted.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  passthrough devices and postcopy.
 */
void aero_vmware_host_inhibit(struct aero_vmware_host *host, uint32_t reasons);

/**
 * aero_vmware_host_flush() - The host needs memory: do not wait for whole blocks.
 * @host: Initialised.
 *
 * Shape:   step() discards all that is pending.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat, section 2.
 */
void aero_vmware_host_flush(struct aero_vmware_host *host);

/**
 * aero_vmware_host_memory_changed() - The memory map changed.
 * @host: Initialised.
 *
 * Shape:   frames stay; nothing of the old map is used after this.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  memory hot plug.
 */
void aero_vmware_host_memory_changed(struct aero_vmware_host *host);

/**
 * aero_vmware_host_report() - How it is.
 * @host:       Initialised.
 * @now_ns:     Monotonic time.
 * @out_report: The answer.
 *
 * Shape:   counters are in host->counters and host->ledger.counters.
 * Owner:   a copy.
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat, section 3.
 */
void aero_vmware_host_report(const struct aero_vmware_host *host, uint64_t now_ns,
			     struct aero_vmware_host_report *out_report);

/**
 * aero_vmware_host_save() - Write the host down.
 * @host: Quiesced and drained.
 * @sink: Where to.
 *
 * Shape:   everything: capabilities, target, doorbell, counters, the ledger.
 * Owner:   nothing changes hands; the host can be resumed.
 * Errors:  AERO_ESTATE: not quiesced or not yet drained; those of the sink.
 * Context: that of the sink.
 * Source:  design of Aerostat, section 4.
 */
enum aero_status aero_vmware_host_save(const struct aero_vmware_host *host,
				       const struct aero_sink *sink);

/**
 * aero_vmware_host_restore() - Read a host back.
 * @host:   Fresh from init(), with the same guest memory.
 * @source: What save() wrote, not trusted.
 *
 * Shape:   the host is quiesced, as it was saved; resume() it.
 * Owner:   nodes are taken.
 * Errors:  AERO_EPROTO: no save() wrote this, or it does not fit the configured capabilities or the
 *          memory; AERO_ENOMEM; those of the source. The host is as after init() then.
 * Context: that of the source.
 * Source:  design of Aerostat, section 4.
 */
enum aero_status aero_vmware_host_restore(struct aero_vmware_host *host,
					  const struct aero_source *source);

/**
 * aero_vmware_host_validate() - Check every invariant.
 * @host: Initialised.
 *
 * Shape:   for tests and for doubts; cost grows with the balloon.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EBUG: one does not hold.
 * Context: any.
 * Source:  design of Aerostat.
 */
enum aero_status aero_vmware_host_validate(const struct aero_vmware_host *host);

#ifdef __cplusplus
}
#endif

#endif
