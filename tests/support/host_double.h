/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_HOST_DOUBLE_H
#define AEROSTAT_TESTS_SUPPORT_HOST_DOUBLE_H

/*
 * Host memory for tests that knows, frame by frame, what may be discarded at each moment, and keeps
 * the first discard that was not allowed. It counts, it can be frozen (any call is a violation
 * then), and its calls and those of its node source fail on demand: the nth, once or from then on.
 */

#include <aerostat/memory.h>
#include <aerostat/stream.h>

#include "support/guest_ram.h"

#define HOST_DOUBLE_RAM 1	/* guest memory, as is_ram() answers */
#define HOST_DOUBLE_MAY 2	/* the guest allows a discard now */
#define HOST_DOUBLE_DISCARDED 4 /* since the test cleared the bit */

/* Kinds of calls that can fail. */
#define HOST_DOUBLE_TRANSLATE 1
#define HOST_DOUBLE_IS_RAM 2
#define HOST_DOUBLE_DISCARD 4
#define HOST_DOUBLE_NODE 8
#define HOST_DOUBLE_ALL 15

struct host_double {
	struct aero_host_memory memory;
	struct aero_node_source nodes;
	struct guest_ram ram; /* what translate() answers from; empty until the test adds some */
	uint8_t *state;	      /* by frame */
	uint64_t frames;      /* frames there are states for */
	uint64_t *ram_end;    /* by frame: where memory without a hole ends; NULL: not known */
	uint64_t discards;
	uint64_t discarded_frames;
	uint64_t longest; /* the longest discard */
	uint64_t live_nodes;
	uint64_t peak_nodes;
	bool is_frozen;
	bool is_lax;	     /* discards are not checked: for memory that does not matter */
	char violation[128]; /* empty: none */

	/* Called before a discard is checked: for tests to look at their rings. */
	void (*before)(void *ctx);
	/* Called after it. */
	void (*after)(void *ctx, struct aero_range range);
	void *ctx;

	/* Faults: of the calls of these kinds the nth fails, counted from 1; 0 none. */
	unsigned int fail_kinds;
	uint64_t fail_at;
	bool fail_on;
	uint64_t calls;
	uint64_t failures;
};

/* frames frames of guest memory from 0 on, none of which may be discarded. */
void host_double_init(struct host_double *host, uint64_t frames, struct aero_backing backing);
void host_double_fini(struct host_double *host);

/* Set or clear bits of a range, as far as there are states. */
void host_double_set(struct host_double *host, struct aero_range range, uint8_t bits);
void host_double_clear(struct host_double *host, struct aero_range range, uint8_t bits);

/* How many frames of a range have all of these bits. */
uint64_t host_double_count(const struct host_double *host, struct aero_range range, uint8_t bits);

/* Count calls of these kinds anew and let the nth fail. */
void host_double_fail(struct host_double *host, unsigned int kinds, uint64_t nth,
		      bool from_then_on);

/* A stream in memory: what save() writes and restore() reads. */
struct test_stream {
	uint8_t *bytes;
	size_t len;
	size_t room;
	size_t at;	   /* of the reader */
	size_t fail_after; /* writes and reads past so many bytes fail with AERO_EIO; 0: never */
	struct aero_sink sink;
	struct aero_source source;
};

void test_stream_init(struct test_stream *stream);
void test_stream_fini(struct test_stream *stream);

#endif
