/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_NODES_H
#define AEROSTAT_TESTS_SUPPORT_NODES_H

/*
 * A node source that counts, hands out dirty pages, checks what comes back, and fails at the nth
 * request: once, or from then on.
 */

#include <aerostat/memory.h>

struct test_nodes {
	struct aero_node_source source;
	uint64_t live;
	uint64_t gets;
	/* The number of the request that fails, counted from 1; 0 is none. */
	uint64_t fail_at;
	bool fail_on;
	uint64_t failures;
};

void test_nodes_init(struct test_nodes *nodes);

/* Count requests anew and let the nth fail. */
void test_nodes_fail(struct test_nodes *nodes, uint64_t nth, bool from_then_on);

#endif
