/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_QEMU_BALLOON_H
#define AEROSTAT_PROGRAMS_RUN_QEMU_BALLOON_H

/*
 * QEMU's own virtio-balloon device, from the host's side: all that QMP has of it. It keeps no
 * account of frames: what the guest last wrote as its size is all that is known.
 */

#include "hosted/qmp.h"
#include "run_machine.h"

struct run_qemu_balloon_events {
	/* QEMU talks: targets may be set. */
	void (*ready)(void *ctx);
	/* After ask_statistics(): as of aero_balloon_json_statistics(); NULL: none came, why. */
	void (*statistics)(void *ctx, json_t *statistics, const char *why);
	/* QEMU refuses what it is told, or is gone; once. */
	void (*failed)(void *ctx, const struct aero_error *story);
	void (*closed)(void *ctx);
	void *ctx;
};

/* Private to run_qemu_balloon.c. */
struct run_qemu_balloon {
	struct aero_qmp qmp;
	struct aero_qmp_request setting;
	struct aero_qmp_request asking;
	struct aero_qmp_request reading; /* statistics */
	struct aero_qmp_request stopping;
	uv_timer_t poll;
	uv_timer_t reading_poll;
	struct run_qemu_balloon_events events;
	uint64_t memory_bytes;
	uint64_t target_frames;
	uint64_t sent_frames; /* of the target, what QEMU was told last */
	uint64_t actual_frames;
	uint64_t way_frames;  /* actual when the target was set */
	double last_update;   /* of the statistics that were there before */
	uint64_t deadline_ms; /* of the statistics that are awaited */
	bool is_set;	      /* QEMU has the target */
	bool is_known;	      /* and has told actual since */
	bool is_asking;
	bool has_failed;
	bool is_closing;
	unsigned int open_parts;
};

/**
 * run_qemu_balloon_open() - Begin to talk.
 * @balloon:      Storage of the caller.
 * @loop:         Event loop.
 * @fd:           Of aero_qemu_take_control().
 * @memory_bytes: Of the machine.
 * @events:       Copied; every member is needed.
 *
 * Shape:   answers at once; events->ready or events->failed follows.
 * Owner:   @fd is @balloon's, which must stay in place until events->closed.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void run_qemu_balloon_open(struct run_qemu_balloon *balloon, uv_loop_t *loop, int fd,
			   uint64_t memory_bytes, const struct run_qemu_balloon_events *events);

/**
 * run_qemu_balloon_set_target() - How much the balloon is to hold.
 * @balloon: Ready.
 * @frames:  Less than the machine's memory.
 *
 * Shape:   from now on actual is asked for often, until it is there.
 * Owner:   nothing changes hands.
 * Errors:  by events->failed.
 * Context: the loop's thread.
 * Source:  QMP `balloon`, whose value is what is left to the guest.
 */
void run_qemu_balloon_set_target(struct run_qemu_balloon *balloon, uint64_t frames);

/**
 * run_qemu_balloon_numbers() - The balloon as QEMU sees it.
 * @balloon:     Open.
 * @out_numbers: All but what a ledger would tell.
 *
 * Shape:   QEMU discards before it answers the guest, so all is settled that was reported.
 * Owner:   a copy.
 * Errors:  none.
 * Context: any.
 * Source:  QMP `query-balloon`, event BALLOON_CHANGE.
 */
void run_qemu_balloon_numbers(const struct run_qemu_balloon *balloon,
			      struct run_machine_numbers *out_numbers);

/**
 * run_qemu_balloon_ask_statistics() - Have the guest asked for fresh statistics.
 * @balloon:    Ready; one question at a time.
 * @timeout_ms: How long they are waited for.
 *
 * Shape:   events->statistics follows, not from within.
 * Owner:   nothing changes hands.
 * Errors:  by events->statistics.
 * Context: the loop's thread.
 * Source:  the device's properties guest-stats and guest-stats-polling-interval.
 */
void run_qemu_balloon_ask_statistics(struct run_qemu_balloon *balloon, uint32_t timeout_ms);

/**
 * run_qemu_balloon_close() - End the talk.
 * @balloon: Open; closing again does nothing.
 *
 * Shape:   events->closed follows; nothing else does.
 * Owner:   the descriptor is closed.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void run_qemu_balloon_close(struct run_qemu_balloon *balloon);

#endif
