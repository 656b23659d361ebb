/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_GUEST_CONSOLE_H
#define AEROSTAT_HOSTED_GUEST_CONSOLE_H

/*
 * Asking a test guest to do something: one command a line, one answer a line, numbered. The other
 * end is guest_init.sh, or ports/baremetal, whose commands.h says where it differs.
 *
 *     guest: AEROSTAT ready kernel=6.1.176 driver=bound features=... total=... free=... ...
 *     host:  7 dirty 402653184
 *     guest: AEROSTAT ok 7 total=... free=... available=...
 *            AEROSTAT error 7 refused: ...
 *
 * Commands, and the keys of their answers in bytes where not said otherwise:
 *
 *     memory          total, free, available
 *     dirty BYTES     fills that much more memory with non-zero data; answers as memory does;
 *                     refuses what does not fit into the available memory
 *     free            frees what dirty filled; answers as memory does
 *     sum BYTES       keeps that much random data; md5
 *     check           md5, or an error if what sum keeps has changed
 *     drop            frees what sum keeps
 *     pressure BYTES  one process allocates and touches that much at once; exit (137: it was
 *                     killed for lack of memory)
 *     vmstat PREFIX   the counters of /proc/vmstat that start so, by name
 *     read FILE       its lines, joined by '|'
 *     sh COMMAND      any shell command; exit, output (lines joined by '|')
 *     driver          driver (bound, unbound, absent), features (a digit for each bit, 0 first)
 *     unload, load    takes the balloon module out or in; answers as driver does
 *     reboot, poweroff  answered, then done; the next thing heard is a ready line or the end
 *
 * Commands are worked off in order, one at a time; several may be waiting.
 */

#include "hosted/line_reader.h"

#include <stdbool.h>
#include <stdint.h>

/* Longest command with its number and newline: what a terminal takes at once. */
#define AERO_GUEST_COMMAND_MAX 1024

/*
 * The answer to a command. AERO_OK: text is what followed "ok NUMBER ". AERO_EREFUSED: the guest
 * could not or would not, text says why. AERO_ETIMEDOUT, AERO_ERESET (the guest has rebooted),
 * AERO_EGONE (the console was closed): text says so. text is valid during the call. Another
 * command may be sent from it, with the same request.
 */
typedef void (*aero_guest_answered)(void *ctx, enum aero_status status, const char *text);

/* Private, public for its size: one waiting command. */
struct aero_guest_request {
	struct aero_guest_request *next;
	uint32_t number;
	uint64_t deadline_ms;
	aero_guest_answered answered;
	void *ctx;
};

struct aero_guest_console_events {
	/* The guest is up, also again after a reboot. text: key=value pairs as above. */
	void (*ready)(void *ctx, const char *text);
	/* Any other line of the guest. */
	void (*log)(void *ctx, const char *line);
	/* The guest has closed its end. */
	void (*end)(void *ctx);
	/* After aero_guest_console_close(): the console may be freed. */
	void (*closed)(void *ctx);
	void *ctx;
};

/* Private, public for its size and for has_ended. */
struct aero_guest_console {
	struct aero_line_reader reader;
	uv_timer_t timer;
	struct aero_guest_request *waiting;
	uint32_t next_number;
	bool is_ready;
	bool has_ended; /* the guest has closed its end */
	bool is_closing;
	unsigned int open_handles;
	struct aero_guest_console_events events;
};

/**
 * aero_guest_console_open() - Start to listen to a guest.
 * @console: Storage of the caller.
 * @loop:    Event loop.
 * @fd:      Stream socket to the guest's console.
 * @events:  What to call; copied. Every member is needed.
 *
 * Shape:   the guest counts as not ready.
 * Owner:   @fd belongs to the console. @console must stay in place until events->closed.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_guest_console_open(struct aero_guest_console *console, uv_loop_t *loop, int fd,
			     const struct aero_guest_console_events *events);

/**
 * aero_guest_console_ask() - Send a command.
 * @console:    Open console.
 * @request:    Storage of the caller for as long as the answer is awaited.
 * @command:    Command and arguments, one line without its end.
 * @timeout_ms: How long to wait for the answer, at least 1.
 * @answered:   Called exactly once if this call succeeds, never from within it.
 * @ctx:        Handed to @answered.
 *
 * Shape:   a command that timed out is not taken back; a late answer is ignored.
 * Owner:   @request is the console's until @answered is called.
 * Errors:  AERO_EINVAL (line too long, contains a newline), AERO_ESTATE (the guest is not ready or
 *          the console is closing), AERO_EGONE (the guest does not read any more).
 * Context: the loop's thread.
 * Source:  none.
 */
enum aero_status aero_guest_console_ask(struct aero_guest_console *console,
					struct aero_guest_request *request, const char *command,
					uint32_t timeout_ms, aero_guest_answered answered,
					void *ctx);

/**
 * aero_guest_console_close() - Hang up.
 * @console: Open console; closing again does nothing.
 *
 * Shape:   waiting requests are answered AERO_EGONE from within; then events->closed is called,
 *          from the loop. A guest that still runs powers itself off.
 * Owner:   the descriptor is closed.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_guest_console_close(struct aero_guest_console *console);

/**
 * aero_guest_value() - A word of an answer.
 * @text:      key=value pairs, separated by spaces.
 * @key:       Which one.
 * @out_value: The value up to the next space.
 * @size:      Of @out_value, in bytes.
 *
 * Shape:   the first pair with that key counts.
 * Owner:   copied.
 * Errors:  AERO_ENOENT (no such key), AERO_ENOSPC (longer than @size - 1).
 * Context: any.
 * Source:  none.
 */
enum aero_status aero_guest_value(const char *text, const char *key, char *out_value, size_t size);

/**
 * aero_guest_number() - A number of an answer.
 * @text:       key=value pairs, separated by spaces.
 * @key:        Which one.
 * @out_number: The number.
 *
 * Shape:   decimal, without sign.
 * Owner:   nothing.
 * Errors:  AERO_ENOENT (no such key), AERO_EPROTO (no number, or above 64 bits).
 * Context: any.
 * Source:  none.
 */
enum aero_status aero_guest_number(const char *text, const char *key, uint64_t *out_number);

#endif
