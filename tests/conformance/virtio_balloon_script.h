/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_CONFORMANCE_VIRTIO_BALLOON_SCRIPT_H
#define AEROSTAT_TESTS_CONFORMANCE_VIRTIO_BALLOON_SCRIPT_H

/* The driver that cases for a device play: a life of it, and what it says in it. */

#include "conformance/virtio_balloon.h"
#include "support/guest_ram.h"
#include "support/virtio_driver.h"

#define SCRIPT_VERSION_1 (1ull << 32)
#define SCRIPT_MUST_TELL 1ull
#define SCRIPT_STATS 2ull
#define SCRIPT_HINTS 8ull
#define SCRIPT_POISON 16ull
#define SCRIPT_REPORTS 32ull
#define SCRIPT_QUEUES 5
#define SCRIPT_RING_BYTES 0x10000u /* for each queue; buffers lie behind */
#define SCRIPT_BUFFERS (SCRIPT_QUEUES * SCRIPT_RING_BYTES)
#define SCRIPT_RING_MOST 64u
#define SCRIPT_WAITS 200
#define SCRIPT_ABSENT 0xffu

/* Offsets of the configuration, and what queues are for. */
enum { NUM_PAGES = 0, ACTUAL = 4, HINT_ID = 8, POISON_VAL = 12 };
enum { INFLATE, DEFLATE, STATS_QUEUE, HINT_QUEUE, REPORT_QUEUE };

struct script {
	const struct conformance_device *device;
	const struct aero_virtio_transport *transport;
	struct conformance_outcome *out;
	struct guest_ram ram;
	uint64_t offered;
	uint64_t features;
	uint32_t ring_most;	      /* entries; legacy devices insist on theirs */
	uint8_t index[SCRIPT_QUEUES]; /* by role */
	bool is_up[SCRIPT_QUEUES];
	struct virtio_driver queue[SCRIPT_QUEUES];
};

/* The first thing that is wrong counts; a case that is skipped is not failed any more. */
__attribute__((format(printf, 2, 3))) void script_fail(struct script *script, const char *format,
						       ...);
void script_skip(struct script *script, const char *why);
void script_expect(struct script *script, const char *what, uint64_t got, uint64_t want);
/* Whether all of these were accepted; else the case is skipped. */
bool script_has(struct script *script, uint64_t features, const char *what);

/*
 * A driver begins with make(), or with begin(), which also starts it; end() resets the device.
 * start() is negotiate(), find_numbers(), go_live(); VERSION_1 and MUST_TELL_HOST are accepted
 * where they are offered. number() says how queues are numbered instead: closed up means over
 * script->offered.
 */
struct script *script_make(const struct conformance_device *device,
			   struct conformance_outcome *out);
struct script *script_begin(const struct conformance_device *device,
			    struct conformance_outcome *out, uint64_t features);
void script_end(struct script *script);
void script_reset(struct script *script);
bool script_negotiate(struct script *script, uint64_t features);
void script_number(struct script *script, bool is_compact);
void script_find_numbers(struct script *script);
void script_go_live(struct script *script);
bool script_start(struct script *script, uint64_t features);

void script_work(struct script *script);
void script_put32(struct script *script, aero_gpa gpa, uint32_t value);

/* Gives a chain and notifies; waits until one comes back. False: none does. */
void script_give(struct script *script, unsigned int role,
		 const struct virtio_driver_buffer *buffers, uint32_t count);
bool script_wait_for(struct script *script, unsigned int role);

/* Numbers from first on as one request of so many buffers; move() waits for the answer. */
void script_put_request(struct script *script, unsigned int role, uint32_t first, uint32_t count,
			uint32_t buffers);
void script_move(struct script *script, unsigned int role, uint32_t first, uint32_t count);
/* What the device knows, if it says so. */
void script_expect_given(struct script *script, uint32_t first, uint32_t count, uint64_t want);

uint32_t script_read_config(struct script *script, uint32_t offset);
void script_write_config(struct script *script, uint32_t offset, uint32_t value);
void script_write_actual(struct script *script, uint32_t frames);
/* False: the operator cannot; the case is skipped. */
bool script_set_target(struct script *script, uint32_t frames);

#endif
