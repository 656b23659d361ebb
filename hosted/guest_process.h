/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_GUEST_PROCESS_H
#define AEROSTAT_HOSTED_GUEST_PROCESS_H

/*
 * A guest as a process, whatever runs it: what User Mode Linux and QEMU have in common. Its life,
 * its log, the console to its init, and a story of its end.
 *
 * Life: start -> ready (again after each reboot of the guest) -> ended. ended always comes, once,
 * and when it does no process, file or socket of the guest is left; see keeper.h for how.
 */

#include "hosted/guest_console.h"
#include "hosted/keeper.h"
#include "hosted/scratch_dir.h"

#include <stdbool.h>
#include <stdint.h>

/* The program's descriptors: standard input is empty, both outputs are the log. */
#define AERO_GUEST_PROCESS_CONSOLE_FD 3
#define AERO_GUEST_PROCESS_EXTRA_FD 4 /* the first of those that the caller adds */
#define AERO_GUEST_PROCESS_EXTRA_MAX 2

struct aero_guest_process_events {
	/* The guest obeys commands from now on. text: see guest_console.h. */
	void (*ready)(void *ctx, const char *text);
	/* A line of the kernel, of the guest's programs, or of what runs it. */
	void (*log)(void *ctx, const char *line);
	/*
	 * All is over, and the structure may be freed. AERO_OK: the guest was powered off.
	 * AERO_EIO: the program could not be started. AERO_ETIMEDOUT: the guest was not ready in
	 * time. AERO_EREFUSED: it is up without what it is to have. AERO_EGONE: it panicked or was
	 * killed. story->text tells it in one line.
	 */
	void (*ended)(void *ctx, const struct aero_error *story);
	void *ctx;
};

struct aero_guest_process_config {
	const char *program; /* for people: "the kernel" */
	const char *const *argv;
	const char *const *envp;
	int extra[AERO_GUEST_PROCESS_EXTRA_MAX]; /* borrowed */
	unsigned int extra_count;
	const struct aero_scratch_dir *scratch; /* the keeper removes it at the end */
	uint32_t ready_timeout_ms;
	/* Whether a line tells more about an end than those that follow. */
	bool (*is_telling)(const char *line);
	/* What is wrong with a guest that says so when it is ready; NULL: nothing. */
	const char *(*find_fault)(void *fault_ctx, const char *text);
	void *fault_ctx;
	struct aero_guest_process_events events;
};

/* Private, public for its size. */
struct aero_guest_process {
	struct aero_keeper keeper;
	struct aero_guest_console console;
	struct aero_line_reader log;
	struct aero_guest_request power_off;
	uv_timer_t timer;
	struct aero_guest_process_config config; /* without argv and the like */
	unsigned int open_parts;
	bool is_power_off_asked;
	bool is_killed;
	char hint[256]; /* the line that tells most about its end */
	bool is_hint_final;
	struct aero_error story;
};

/**
 * aero_guest_process_start() - Start a guest.
 * @process: Storage of the caller.
 * @loop:    Event loop for all callbacks.
 * @config:  Copied as far as it is needed later; every event is needed.
 * @error:   The story of a failure, or NULL.
 *
 * Shape:   answers at once; see events->ready and events->ended.
 * Owner:   @process must stay in place until events->ended.
 * Errors:  AERO_EIO: no descriptors or processes; then no callback comes.
 * Context: sleep. The loop's thread.
 * Source:  none.
 */
enum aero_status aero_guest_process_start(struct aero_guest_process *process, uv_loop_t *loop,
					  const struct aero_guest_process_config *config,
					  struct aero_error *error);

/**
 * aero_guest_process_power_off() - Ask the guest to power off.
 * @process:    Started guest.
 * @timeout_ms: When to kill it if it has not ended by itself.
 *
 * Shape:   answers at once; the end comes through events->ended. A guest that is not ready is
 *          killed.
 * Owner:   nothing changes.
 * Errors:  none.
 * Context: the loop's thread, not after events->ended.
 * Source:  none.
 */
void aero_guest_process_power_off(struct aero_guest_process *process, uint32_t timeout_ms);

/**
 * aero_guest_process_kill() - Kill the guest.
 * @process: Started guest.
 *
 * Shape:   answers at once; the end comes through events->ended, as AERO_EGONE.
 * Owner:   nothing changes.
 * Errors:  none.
 * Context: the loop's thread, not after events->ended.
 * Source:  none.
 */
void aero_guest_process_kill(struct aero_guest_process *process);

#endif
