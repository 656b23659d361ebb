/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_MACHINE_H
#define AEROSTAT_PROGRAMS_RUN_MACHINE_H

/*
 * A machine: the guest and the device of one run, of whatever kind. run_scenario.c leads it through
 * the scenario; everything that is particular to a kind is behind this table.
 *
 * Life: create -> start -> ready -> ... -> ended -> close -> closed -> destroy. After a start that
 * failed there is no ended: close follows. Between ended and close the device can still be read.
 *
 * What the guest is asked for (memory, dirty, inspect) is asked one at a time and answered once by
 * events.answered, never from within the call, and not at all once the guest has ended. The
 * scenario limits the time of it all.
 *
 * A new kind: a file run_KIND.c, a line in run_kinds.c, its name in docs/run-json.md.
 */

#include <aerostat/host/balloon.h>
#include <aerostat/host/ledger.h>
#include <uv.h>

#include "hosted/error.h"
#include "hosted/guest_memory.h"
#include "hosted/scratch_dir.h"
#include "hosted/size_text.h"
#include "run.h"

struct run_kind;

/* Options that not every kind has: bits of run_kind.takes. */
#define RUN_TAKES_FEATURES 1u
#define RUN_TAKES_MEMORY_DIR 2u
#define RUN_TAKES_CAPABILITIES 4u
#define RUN_TAKES_LEDGER 8u /* how to discard, and what the guest names */
#define RUN_TAKES_MODULES 16u

struct run_options {
	const struct run_kind *kind;
	uint64_t memory_bytes;
	uint64_t balloon_bytes;
	uint64_t dirty_bytes;	      /* 0: three quarters of the memory */
	const char *kernel;	      /* NULL: Debian's */
	const char *modules;	      /* NULL: Debian's */
	const char *append;	      /* more kernel parameters, or NULL */
	const char *trace;	      /* file for the frames the guest names, or NULL */
	const char *memory_directory; /* where the kernel makes its memory file; NULL: /dev/shm */
	struct aero_virtio_features features;
	uint32_t capabilities; /* of VMware's balloon, the most to grant */
	enum aero_discard_mode mode;
	uint32_t idle_ms;    /* 0: the default of the ledger */
	uint32_t timeout_ms; /* for each phase */
	uint32_t hold_ms;    /* how long the balloon rests at its target */
	bool is_spread;	     /* over all processors */
	bool is_quiet;
	bool is_verbose;
};

/* What the guest answered. */
struct run_answer {
	enum aero_status status; /* not AERO_OK: it could not, or would not; text says why */
	const char *text;
	struct run_guest_memory memory; /* all 0 where it does not tell */
	/* Of inspect(): how many frames the guest itself counts in its balloon. */
	bool has_frames;
	uint64_t frames;
};

struct run_machine_events {
	/* The guest is up with its driver; again after each reboot. kernel: its release, or "". */
	void (*ready)(void *ctx, const char *kernel);
	void (*answered)(void *ctx, const struct run_answer *answer);
	/* A line that is worth showing. */
	void (*log)(void *ctx, const char *line);
	/* The run cannot go on; the guest may still run. */
	void (*failed)(void *ctx, const struct aero_error *story);
	/* The guest is gone. AERO_OK: it was powered off. */
	void (*ended)(void *ctx, const struct aero_error *story);
	void (*closed)(void *ctx);
	void *ctx;
};

/* What a machine is made of. All but the events outlives it. */
struct run_machine_setting {
	const struct run_options *options;
	uv_loop_t *loop;
	const struct aero_scratch_dir
		*scratch;		  /* for sockets, the initrd, and what the guest has */
	FILE *trace;			  /* NULL: none */
	struct run_machine_events events; /* copied */
};

/* The first member of every kind's own structure. */
struct run_machine {
	const struct run_kind *kind;
	struct run_machine_setting setting;
};

/* The balloon as the host sees it. */
struct run_machine_numbers {
	uint64_t target_frames;
	uint64_t actual_frames;
	/* Not known where there is no ledger. */
	uint64_t ledger_frames;
	uint64_t requests; /* since start: what the guest sent that named frames */
	enum aero_host_stall stall;
	bool is_reached; /* a guest that moves blocks may go a little past its target */
	bool is_settled; /* nothing waits to be discarded */
};

struct run_kind {
	const char *name;	   /* of --guest */
	const char *alias;	   /* another name; NULL: none */
	const char *title;	   /* for people, in --help */
	const char *system;	   /* what is booted, for people: "Linux" */
	const void *own;	   /* what the functions of this kind need to know */
	uint64_t memory_bytes;	   /* unless told otherwise */
	struct aero_size balloon;  /* unless told otherwise */
	uint64_t memory_unit;	   /* guest memory is a multiple of this */
	uint64_t minimum_bytes;	   /* of memory */
	unsigned int takes;	   /* RUN_TAKES_* */
	bool is_sharing_processor; /* guest and device are faster on one; unless told otherwise */
	bool has_account;	   /* the guest counts, too, and has to agree */

	struct run_machine *(*create)(const struct run_machine_setting *setting);
	void (*destroy)(struct run_machine *machine);

	/* Answers false, with the error filled in, or the guest boots. Sleeps for a moment. */
	bool (*start)(struct run_machine *machine, struct aero_error *error);
	void (*power_off)(struct run_machine *machine, uint32_t timeout_ms);
	void (*kill)(struct run_machine *machine);
	void (*close)(struct run_machine *machine);

	/* Asking the guest. memory is NULL where there is nobody to ask. */
	void (*memory)(struct run_machine *machine);
	/* Writes to that much memory and gives it back to the guest's allocator. */
	void (*dirty)(struct run_machine *machine, uint64_t bytes);
	/*
	 * The guest's own account, after a phase: RUN_DIRTYING (the balloon is about to grow),
	 * RUN_INFLATING (it is at its target), RUN_DEFLATING (it is empty). NULL: it has none.
	 */
	void (*inspect)(struct run_machine *machine, enum run_phase phase);
	/* What is done when inflated, for people: "Asking the guest for statistics". */
	const char *inspecting;

	/* The device. */
	void (*set_target)(struct run_machine *machine, uint64_t frames);
	void (*numbers)(struct run_machine *machine, struct run_machine_numbers *out_numbers);
	/* NULL: the device is not ours, and nobody knows which frames are in the balloon. */
	const struct aero_ledger *(*ledger)(const struct run_machine *machine);
	const struct aero_guest_memory *(*guest_memory)(const struct run_machine *machine);
	/* Puts what is known by now into the result: features, statistics, counters and so on. */
	void (*report)(struct run_machine *machine, struct run_result *result);
};

/* All kinds, the default first. */
extern const struct run_kind *const run_kinds[];

/**
 * run_kind_find() - A kind by its name.
 * @name: Any text.
 *
 * Shape:   NULL where there is no such kind.
 * Owner:   static storage.
 * Errors:  none.
 * Context: any.
 * Source:  run_kinds.c.
 */
const struct run_kind *run_kind_find(const char *name);

#endif
