/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_VMWARE_BRIDGE_H
#define AEROSTAT_HOSTED_VMWARE_BRIDGE_H

/*
 * VMware's balloon for a guest under QEMU without hardware virtualisation: QEMU does not serve port
 * 0x5670, so a debugger stops the guest at every read of it and does what a hypervisor does.
 *
 * The instructions are found in the driver's code as it lies in the guest's memory. A byte that
 * only looks like one costs a breakpoint that is never hit; a stop that is no call of the balloon
 * is left to the guest. Until the code is found the driver's calls read all ones, which is a
 * failure that a driver tries again a second later.
 *
 * The parts are public: read bridge->host and bridge->memory, call the operator's side of the host
 * (aero_vmware_host_set_target() and so on), then aero_vmware_bridge_wake().
 */

#include <aerostat/host/vmware.h>
#include <uv.h>

#include "hosted/error.h"
#include "hosted/gdb_remote.h"
#include "hosted/guest_memory.h"
#include "hosted/node_pool.h"

/* Breakpoints, and bytes of code in which they are looked for. */
#define AERO_VMWARE_BRIDGE_SITES_MAX 128
#define AERO_VMWARE_BRIDGE_TEXT_MAX 65536
/* What aero_vmware_bridge_default_low_bytes() splits at. */
#define AERO_VMWARE_BRIDGE_PC_SPLIT (3ull << 30)

enum aero_vmware_bridge_event_kind {
	AERO_VMWARE_BRIDGE_HOST = 1, /* host: what the host model tells */
	AERO_VMWARE_BRIDGE_SERVING,  /* value: breakpoints; the driver's calls are served now */
	AERO_VMWARE_BRIDGE_NO_CODE,  /* the driver's code is not or no longer where it was: it was
					unloaded, or the address is wrong. locate() goes on. */
	AERO_VMWARE_BRIDGE_PAUSED,   /* value: signal; somebody else has stopped the machine */
	AERO_VMWARE_BRIDGE_ENDED,    /* story: QEMU is gone or broke the protocol; close() it */
};

struct aero_vmware_bridge_event {
	enum aero_vmware_bridge_event_kind kind;
	struct aero_vmware_host_event host;
	uint64_t value;
	const struct aero_error *story;
};

/* Where the driver's code lies, as the guest's /sys/module/vmw_balloon/sections/.text tells. */
struct aero_vmware_bridge_text {
	uint64_t address; /* 0: not known */
	uint64_t bytes;	  /* 0: AERO_VMWARE_BRIDGE_TEXT_MAX, or up to where memory ends */
};

struct aero_vmware_bridge_config {
	/* QEMU's gdb server: a connected socket, which becomes the bridge's, or else its path. */
	int gdb_fd; /* -1: none */
	const char *gdb_path;
	/* The file behind the machine's memory: a descriptor, only borrowed, or else its path. */
	int memory_fd; /* -1: none */
	const char *memory_path;
	uint64_t memory_bytes; /* 0: all of the file */
	uint64_t low_bytes;    /* of these below the hole that ends at 4 GiB; 0: as a pc has them */
	/* Known code; or none, then with is_searching it is looked for in the area of modules. */
	struct aero_vmware_bridge_text text;
	bool is_searching;
	uint32_t timeout_ms; /* of each answer of QEMU; 0: AERO_GDB_TIMEOUT_MS */
	/* Of the host model. SIGNALLED_WAKEUP may be granted, but QEMU has nothing to ring. */
	uint32_t capabilities;
	bool is_old;
	enum aero_discard_mode mode;
	uint64_t idle_ns; /* 0: 300 ms */
	uint64_t silent_ns;
	/* All are called from the loop and none may end the bridge. Optional. */
	void (*event)(void *ctx, const struct aero_vmware_bridge_event *event);
	void (*log)(void *ctx, const char *line);
	/* As in struct aero_vmware_host_ops. Optional. */
	uint32_t (*interpose)(void *ctx, uint32_t command);
	uint32_t (*judge)(void *ctx, bool is_lock, struct aero_range block);
	void (*trace)(void *ctx, const struct aero_vmware_registers *before,
		      const struct aero_vmware_registers *after);
	void (*runs)(void *ctx, bool is_lock, struct aero_range run);
	void *ctx;
};

enum aero_vmware_bridge_state {
	AERO_VMWARE_BRIDGE_CONNECTING, /* QEMU has not said anything yet */
	AERO_VMWARE_BRIDGE_IDLE,       /* the guest runs, nothing is served: code is not known */
	AERO_VMWARE_BRIDGE_LOOKING,    /* for code */
	AERO_VMWARE_BRIDGE_ACTIVE,     /* calls are served */
	AERO_VMWARE_BRIDGE_OVER,       /* nothing happens any more */
};

/* Since start(). */
struct aero_vmware_bridge_counters {
	uint64_t stops;		/* of the guest at a breakpoint */
	uint64_t calls;		/* of these, served */
	uint64_t foreign_stops; /* of these, left to the guest */
	uint64_t pauses;	/* by somebody else */
	uint64_t interrupts;	/* the guest was stopped by us */
	uint64_t serve_ns;	/* the guest stood still at breakpoints */
};

struct aero_vmware_bridge {
	struct aero_vmware_bridge_config config;
	uv_loop_t *loop;
	struct aero_node_pool nodes;
	struct aero_guest_memory memory;
	struct aero_vmware_host host;
	struct aero_vmware_bridge_counters counters;
	enum aero_vmware_bridge_state state;
	uint64_t sites[AERO_VMWARE_BRIDGE_SITES_MAX]; /* addresses of breakpoints */
	unsigned int site_count;

	/* Private. */
	struct aero_vmware_host_ops ops;
	struct aero_gdb_remote remote;
	struct aero_gdb_registers registers;
	struct aero_error story;
	struct aero_vmware_bridge_text text; /* where to look next */
	uv_idle_t idle;
	uv_timer_t due;
	uv_timer_t look; /* looking goes on, or is to be repeated */
	uv_timer_t doubt;
	bool is_paused; /* by somebody else */
	bool is_interrupting;
	bool is_stepping;
	bool is_closing;
	bool wants_look;
	bool wants_doubt; /* is the code still there? */
	uint8_t site_byte;
	unsigned int looked_at;	 /* sites that were set, or doubted */
	unsigned int user_stops; /* in a row: the guest was stopped outside of its kernel */
	uint64_t look_pause_ms;
	uint64_t page;	/* of the search */
	uint64_t first; /* the first of a run of pages that are mapped */
	size_t code_len;
	size_t piece;
	void (*on_clear)(struct aero_vmware_bridge *bridge);
	uint64_t stopped_ns;
	uint64_t called_ns;
	unsigned int open_parts;
	void (*closed)(void *ctx);
	void *closed_ctx;
	uint8_t code[AERO_VMWARE_BRIDGE_TEXT_MAX];
};

/**
 * aero_vmware_bridge_start() - Become the hypervisor of a machine.
 * @bridge: Uninitialised; must not move until it is closed.
 * @loop:   Event loop for everything.
 * @config: Copied; paths are not used after the call.
 * @error:  The story of a failure, or NULL.
 *
 * Shape:   the guest stands still for a moment while breakpoints are set.
 * Owner:   the caller's; close() ends it. gdb_fd is the bridge's, also after a failure.
 * Errors:  AERO_EINVAL: capabilities, or the layout does not fit the file. AERO_EIO: no such socket
 *          or file, nobody listens. AERO_ENOMEM. Nothing is left then.
 * Context: sleep; the loop's thread.
 * Source:  docs/vmware-bridge.md.
 */
enum aero_status aero_vmware_bridge_start(struct aero_vmware_bridge *bridge, uv_loop_t *loop,
					  const struct aero_vmware_bridge_config *config,
					  struct aero_error *error);

/**
 * aero_vmware_bridge_locate() - The driver's code lies here now.
 * @bridge: Started.
 * @text:   Where; address 0: look for it.
 *
 * Shape:   breakpoints move there; event SERVING or NO_CODE follows. A balloon that is in force
 *          stays: what becomes of it is between the driver and the host.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EGONE: the bridge is over.
 * Context: the loop's thread.
 * Source:  docs/vmware-bridge.md.
 */
enum aero_status aero_vmware_bridge_locate(struct aero_vmware_bridge *bridge,
					   struct aero_vmware_bridge_text text);

/**
 * aero_vmware_bridge_wake() - The host was told something: let it work.
 * @bridge: Started.
 *
 * Shape:   work happens later, in the loop. The guest hears of a new target when it asks, which
 *          Linux does each second.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_vmware_bridge_wake(struct aero_vmware_bridge *bridge);

/**
 * aero_vmware_bridge_close() - End it.
 * @bridge: Started; not closing.
 * @closed: Called from the loop when all is gone and bridge may be freed.
 * @ctx:    Handed to closed.
 *
 * Shape:   breakpoints are taken away and the guest runs on without a balloon host, unless it is
 *          gone. That takes a few milliseconds, at most config.timeout_ms.
 * Owner:   all descriptors, mappings and nodes are given back before closed is called.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_vmware_bridge_close(struct aero_vmware_bridge *bridge, void (*closed)(void *ctx),
			      void *ctx);

/**
 * aero_vmware_bridge_default_low_bytes() - How much memory of a machine lies below its hole.
 * @memory_bytes: All of it.
 *
 * Shape:   of QEMU's -machine pc: everything if it is less than 3.5 GiB, else 3 GiB. The rest
 *          begins at 4 GiB, in the file right behind.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  observed: `info mtree` of QEMU 7.2.
 */
uint64_t aero_vmware_bridge_default_low_bytes(uint64_t memory_bytes);

#endif
