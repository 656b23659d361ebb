/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_QTEST_H
#define AEROSTAT_HOSTED_QTEST_H

/*
 * A client of QEMU's test protocol: a machine whose processor never runs, and whose ports and
 * memory this process drives instead.
 *
 *     qemu-system-x86_64 -accel tcg -S -qtest unix:PATH,server=on,wait=off ...
 *
 * It is synchronous: lines of text, one answer each, and between them what the interrupt controller
 * sees, once that is intercepted. The peer is not trusted: the length of a line and the time of an
 * answer are bounded. The first failure ends the connection, with a story; from then on reads
 * answer ones, as from a device that was unplugged, and writes do nothing.
 */

#include "hosted/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long an answer is awaited by default. */
#define AERO_QTEST_TIMEOUT_MS 10000

/* Bytes of one read or write of memory. */
#define AERO_QTEST_BLOCK_MAX 4096
/* "OK 0x", two digits a byte, and some more. */
#define AERO_QTEST_LINE_MAX (2 * AERO_QTEST_BLOCK_MAX + 64)

/* Lines of an interrupt controller. */
#define AERO_QTEST_IRQS 64

struct aero_qtest {
	int fd; /* to wait for, in poll(); -1 when the connection has ended */
	uint32_t timeout_ms;
	uint64_t exchanges;
	uint64_t irq_level;	 /* bits of the lines that are raised, as far as read */
	uint64_t irq_raised;	 /* and of those that were since take_irqs() */
	struct aero_error story; /* status AERO_OK while it works */
	/* Private. */
	size_t have;
	char in[AERO_QTEST_LINE_MAX];
	char out[AERO_QTEST_LINE_MAX];
};

/**
 * aero_qtest_open() - Connect to a socket.
 * @qtest:      Uninitialised.
 * @path:       Of the socket, which must be there.
 * @timeout_ms: How long each answer may take; 0: AERO_QTEST_TIMEOUT_MS.
 *
 * Shape:   QEMU serves one client at a time.
 * Owner:   the caller calls close(), also after a failure.
 * Errors:  AERO_EINVAL: the path does not fit an address. AERO_EIO: nobody listens. The story says
 *          more.
 * Context: sleep.
 * Source:  QEMU's documentation of qtest.
 */
enum aero_status aero_qtest_open(struct aero_qtest *qtest, const char *path, uint32_t timeout_ms);

/**
 * aero_qtest_start() - Use a connected socket.
 * @qtest:      Uninitialised.
 * @fd:         Stream socket.
 * @timeout_ms: As of open().
 *
 * Shape:   as open().
 * Owner:   @fd is the client's.
 * Errors:  none.
 * Context: any.
 * Source:  as open().
 */
void aero_qtest_start(struct aero_qtest *qtest, int fd, uint32_t timeout_ms);

/**
 * aero_qtest_close() - Hang up.
 * @qtest: Opened, or started.
 *
 * Shape:   the machine stays as it is. Closing again does nothing.
 * Owner:   the descriptor is closed; the story stays.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void aero_qtest_close(struct aero_qtest *qtest);

/**
 * aero_qtest_in() - Read a port.
 * @qtest: Open.
 * @port:  Number.
 * @bytes: 1, 2 or 4.
 *
 * Shape:   ones if it failed; look at the story.
 * Owner:   nothing changes hands.
 * Errors:  into the story. AERO_EGONE: QEMU hung up. AERO_ETIMEDOUT. AERO_EREFUSED: it answered
 *          with an error. AERO_EPROTO: it answered something else.
 * Context: sleep.
 * Source:  as open().
 */
uint32_t aero_qtest_in(struct aero_qtest *qtest, uint32_t port, unsigned int bytes);

/**
 * aero_qtest_out() - Write a port.
 * @qtest: Open.
 * @port:  Number.
 * @bytes: 1, 2 or 4.
 * @value: To be written.
 *
 * Shape:   done when it returns.
 * Owner:   nothing changes hands.
 * Errors:  into the story, as in().
 * Context: sleep.
 * Source:  as open().
 */
void aero_qtest_out(struct aero_qtest *qtest, uint32_t port, unsigned int bytes, uint32_t value);

/**
 * aero_qtest_read() - Read a register in memory.
 * @qtest:   Open.
 * @address: Physical.
 * @bytes:   1, 2 or 4.
 *
 * Shape:   ones if it failed; look at the story.
 * Owner:   nothing changes hands.
 * Errors:  into the story, as in().
 * Context: sleep.
 * Source:  as open().
 */
uint32_t aero_qtest_read(struct aero_qtest *qtest, uint64_t address, unsigned int bytes);

/**
 * aero_qtest_write() - Write a register in memory.
 * @qtest:   Open.
 * @address: Physical.
 * @bytes:   1, 2 or 4.
 * @value:   To be written.
 *
 * Shape:   done when it returns.
 * Owner:   nothing changes hands.
 * Errors:  into the story, as in().
 * Context: sleep.
 * Source:  as open().
 */
void aero_qtest_write(struct aero_qtest *qtest, uint64_t address, unsigned int bytes,
		      uint32_t value);

/**
 * aero_qtest_read_block() - Read memory.
 * @qtest:   Open.
 * @address: Physical.
 * @buf:     Room for len bytes; ones if it failed.
 * @len:     1 to AERO_QTEST_BLOCK_MAX.
 *
 * Shape:   bytes as they lie there.
 * Owner:   nothing changes hands.
 * Errors:  into the story, as in().
 * Context: sleep.
 * Source:  as open().
 */
void aero_qtest_read_block(struct aero_qtest *qtest, uint64_t address, void *buf, size_t len);

/**
 * aero_qtest_write_block() - Write memory.
 * @qtest:   Open.
 * @address: Physical.
 * @buf:     The bytes.
 * @len:     1 to AERO_QTEST_BLOCK_MAX.
 *
 * Shape:   done when it returns.
 * Owner:   nothing changes hands.
 * Errors:  into the story, as in().
 * Context: sleep.
 * Source:  as open().
 */
void aero_qtest_write_block(struct aero_qtest *qtest, uint64_t address, const void *buf,
			    size_t len);

/**
 * aero_qtest_intercept() - See the lines that lead into an interrupt controller.
 * @qtest: Open.
 * @name:  Of the controller among QEMU's objects, "ioapic" on a PC.
 *
 * Shape:   of one controller, once for a machine's life. It sees nothing of them any more.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EREFUSED: there is no such object; and as in(). They end the connection.
 * Context: sleep.
 * Source:  as open(), irq_intercept_in.
 */
enum aero_status aero_qtest_intercept(struct aero_qtest *qtest, const char *name);

/**
 * aero_qtest_take_irqs() - Lines that were raised since the last call.
 * @qtest: Open.
 *
 * Shape:   bits; reads what has come, without waiting. To wait, poll() for the descriptor.
 * Owner:   nothing changes hands.
 * Errors:  into the story, as in().
 * Context: any.
 * Source:  as open().
 */
uint64_t aero_qtest_take_irqs(struct aero_qtest *qtest);

#endif
