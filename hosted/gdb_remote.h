/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_GDB_REMOTE_H
#define AEROSTAT_HOSTED_GDB_REMOTE_H

/*
 * A debugger of a virtual machine: a client of QEMU's gdb server, on a stream socket and a libuv
 * loop. x86-64 only. All processors stop and go together.
 *
 * A server stops its machine when a debugger connects, and says so unasked; start() waits for that
 * and takes away the breakpoints of debuggers that were there before. Then one request follows the
 * other: each call below answers at once and tells the outcome through a callback; a second request
 * before that is refused. While the machine runs, only interrupt() is allowed.
 *
 * The peer is not trusted: the length of packets, the time of an answer and the number of
 * repetitions are bounded. Whatever breaks the protocol ends the connection, with a story.
 */

#include "hosted/error.h"
#include "hosted/gdb_remote_packet.h"

#include <uv.h>

/* Bytes of one read of memory: the answer is to fit into what every server can send. */
#define AERO_GDB_READ_MAX 1024
/* How long an answer is awaited by default. A machine of 100 GiB stops within milliseconds. */
#define AERO_GDB_TIMEOUT_MS 5000
#define AERO_GDB_REPEATS_MAX 5

/* How long a machine that may stand still already is waited for. */
#define AERO_GDB_LEFT_TIMEOUT_MS 200

#define AERO_GDB_SIGNAL_NONE 0 /* it stood still already, see aero_gdb_remote_leave() */
#define AERO_GDB_SIGNAL_INTERRUPT 2
#define AERO_GDB_SIGNAL_TRAP 5

/* The general registers in the order of the protocol, then the address of the next instruction. */
struct aero_gdb_registers {
	uint64_t ax, bx, cx, dx, si, di, bp, sp;
	uint64_t r8_to_r15[8];
	uint64_t ip;
};

struct aero_gdb_events {
	/*
	 * The machine has stopped, why: see aero_gdb_stop_parse(). Also first of all, when the
	 * connection is ready: the machine stands still then. Requests may be made from within.
	 */
	void (*stopped)(void *ctx, int signal);
	/* The connection is of no use any more. Not called after close(). */
	void (*ended)(void *ctx, const struct aero_error *story);
	/* After close(): the structure may be freed. */
	void (*closed)(void *ctx);
	void *ctx;
};

/*
 * How a request ended. AERO_OK; AERO_EREFUSED: the server answered with an error (for memory: there
 * is none at that address, seen from what the machine is doing right now); AERO_ENOTSUP: it does
 * not know the request. Another request may be made from within. When the connection ends, ended()
 * is called instead.
 */
typedef void (*aero_gdb_done)(void *ctx, enum aero_status status);

enum aero_gdb_state {
	AERO_GDB_CONNECTING, /* the first stop has not been heard of yet */
	AERO_GDB_STOPPED,
	AERO_GDB_RUNNING,
	AERO_GDB_ENDED,
};

struct aero_gdb_remote;

/* Private. How the answer to a request is read. */
typedef enum aero_status (*aero_gdb_take)(struct aero_gdb_remote *remote, const char *data,
					  size_t len);

/* Private to gdb_remote.c, except that state may be read. */
struct aero_gdb_remote {
	uv_pipe_t stream;
	uv_timer_t timer;
	enum aero_gdb_state state;
	uint32_t timeout_ms;
	struct aero_gdb_parser parser;
	char packet[AERO_GDB_WIRE_MAX]; /* the last one sent, to be repeated */
	size_t packet_len;
	unsigned int repeats;
	bool is_ack_owed; /* sent together with the next packet */
	bool is_interrupting;
	bool is_left;
	bool is_closing;
	unsigned int open_handles;
	int first_signal; /* why the machine stood still when we came; 0: not yet told */
	/* The request under way; take is NULL where there is none. */
	aero_gdb_take take;
	void *out;
	size_t out_len;
	aero_gdb_done done;
	void *done_ctx;
	struct aero_gdb_events events;
	char buffer[4096];
};

/**
 * aero_gdb_remote_start() - Become the debugger at the other end of a socket.
 * @remote:     Storage of the caller.
 * @loop:       Event loop.
 * @fd:         Connected stream socket.
 * @timeout_ms: How long each answer may take; 0: AERO_GDB_TIMEOUT_MS.
 * @events:     What to call; copied. Every member is needed.
 *
 * Shape:   answers at once; events->stopped or events->ended follows.
 * Owner:   @fd belongs to @remote, which must stay in place until events->closed.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  the gdb manual, Remote Protocol; observed with QEMU 7.2.
 */
void aero_gdb_remote_start(struct aero_gdb_remote *remote, uv_loop_t *loop, int fd,
			   uint32_t timeout_ms, const struct aero_gdb_events *events);

/**
 * aero_gdb_remote_read_registers() - Read the registers.
 * @remote: Stopped.
 * @out:    Where to; valid from @done on.
 * @done:   Called once.
 * @ctx:    Handed to @done.
 *
 * Shape:   of the processor that has stopped.
 * Owner:   @out is used until @done.
 * Errors:  AERO_ESTATE: not stopped, or a request is under way.
 * Context: the loop's thread.
 * Source:  the gdb manual, packet 'g'.
 */
enum aero_status aero_gdb_remote_read_registers(struct aero_gdb_remote *remote,
						struct aero_gdb_registers *out, aero_gdb_done done,
						void *ctx);

/**
 * aero_gdb_remote_write_registers() - Write them back.
 * @remote:    Stopped.
 * @registers: All of them; not used after the call.
 * @done:      Called once.
 * @ctx:       Handed to @done.
 *
 * Shape:   segments, flags and the like stay as they are.
 * Owner:   nothing changes hands.
 * Errors:  as read_registers().
 * Context: the loop's thread.
 * Source:  the gdb manual, packet 'G'; QEMU takes one that ends early.
 */
enum aero_status aero_gdb_remote_write_registers(struct aero_gdb_remote *remote,
						 const struct aero_gdb_registers *registers,
						 aero_gdb_done done, void *ctx);

/**
 * aero_gdb_remote_read_memory() - Read memory at an address of the guest's kernel or program.
 * @remote:  Stopped.
 * @address: Virtual, as the processor sees it at this moment.
 * @out:     Where to; valid from @done on if that says AERO_OK.
 * @len:     1 to AERO_GDB_READ_MAX bytes.
 * @done:    Called once. AERO_EREFUSED: at least one byte is not mapped.
 * @ctx:     Handed to @done.
 *
 * Shape:   a kernel with page table isolation has nothing mapped while a program runs.
 * Owner:   @out is used until @done.
 * Errors:  AERO_EINVAL: len. As read_registers().
 * Context: the loop's thread.
 * Source:  the gdb manual, packet 'm'.
 */
enum aero_status aero_gdb_remote_read_memory(struct aero_gdb_remote *remote, uint64_t address,
					     uint8_t *out, size_t len, aero_gdb_done done,
					     void *ctx);

/**
 * aero_gdb_remote_break() - Set or clear a breakpoint.
 * @remote:  Stopped.
 * @address: Virtual.
 * @is_set:  Whether it is to be there.
 * @done:    Called once.
 * @ctx:     Handed to @done.
 *
 * Shape:   a software breakpoint, which QEMU keeps outside of the guest's memory.
 * Owner:   nothing changes hands.
 * Errors:  as read_registers().
 * Context: the loop's thread.
 * Source:  the gdb manual, packets 'Z0' and 'z0'.
 */
enum aero_status aero_gdb_remote_break(struct aero_gdb_remote *remote, uint64_t address,
				       bool is_set, aero_gdb_done done, void *ctx);

/**
 * aero_gdb_remote_continue() - Let the machine go on.
 * @remote: Stopped.
 *
 * Shape:   events->stopped follows, sooner or later.
 * Owner:   nothing changes hands.
 * Errors:  AERO_ESTATE: not stopped, or a request is under way.
 * Context: the loop's thread.
 * Source:  the gdb manual, packet 'c'.
 */
enum aero_status aero_gdb_remote_continue(struct aero_gdb_remote *remote);

/**
 * aero_gdb_remote_step() - Let it execute one instruction.
 * @remote: Stopped.
 *
 * Shape:   as continue(); events->stopped follows with AERO_GDB_SIGNAL_TRAP.
 * Owner:   nothing changes hands.
 * Errors:  as continue().
 * Context: the loop's thread.
 * Source:  the gdb manual, packet 's'.
 */
enum aero_status aero_gdb_remote_step(struct aero_gdb_remote *remote);

/**
 * aero_gdb_remote_leave() - Somebody else has stopped the machine, and is to let it go on.
 * @remote: Stopped.
 *
 * Shape:   counts as running from now on. A server does not tell when it really does, so
 *          interrupt() may end with AERO_GDB_SIGNAL_NONE.
 * Owner:   nothing changes hands.
 * Errors:  AERO_ESTATE: not stopped, or a request is under way.
 * Context: the loop's thread.
 * Source:  observed: `stop` and `cont` of QEMU's monitor.
 */
enum aero_status aero_gdb_remote_leave(struct aero_gdb_remote *remote);

/**
 * aero_gdb_remote_interrupt() - Stop the machine.
 * @remote: Running; otherwise nothing happens.
 *
 * Shape:   events->stopped follows with AERO_GDB_SIGNAL_INTERRUPT, or with another reason if the
 *          machine stopped by itself in the same moment. One interrupt may be under way.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  the gdb manual, Interrupts.
 */
void aero_gdb_remote_interrupt(struct aero_gdb_remote *remote);

/**
 * aero_gdb_remote_detach() - Take all breakpoints away, let the machine go on, and stop to be its
 *			      debugger.
 * @remote: Stopped.
 * @done:   Called once; only close() is left to do then.
 * @ctx:    Handed to @done.
 *
 * Shape:   the machine runs when @done is called.
 * Owner:   nothing changes hands.
 * Errors:  as read_registers().
 * Context: the loop's thread.
 * Source:  the gdb manual, packet 'D'; observed with QEMU 7.2.
 */
enum aero_status aero_gdb_remote_detach(struct aero_gdb_remote *remote, aero_gdb_done done,
					void *ctx);

/**
 * aero_gdb_remote_close() - Hang up.
 * @remote: Started; closing again does nothing.
 *
 * Shape:   without detach() before, a QEMU keeps breakpoints that nobody serves any more.
 * Owner:   the descriptor is closed; a request under way is not told of any more.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_gdb_remote_close(struct aero_gdb_remote *remote);

#endif
