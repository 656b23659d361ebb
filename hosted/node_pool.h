/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_NODE_POOL_H
#define AEROSTAT_HOSTED_NODE_POOL_H

/* Nodes for frame sets: pages of this process, a few of them kept for the next set that grows. */

#include <aerostat/memory.h>

#define AERO_NODE_POOL_KEPT 64

struct aero_node_pool {
	void *kept[AERO_NODE_POOL_KEPT];
	unsigned int kept_count;
	uint64_t used; /* nodes handed out */
};

/**
 * aero_node_pool_source() - What a frame set takes its nodes from.
 * @pool: Zeroed at first; outlives every set that uses it.
 *
 * Shape:   ordinary pages, given back to the operating system above a small stock.
 * Owner:   the answer points to @pool.
 * Errors:  none; get() answers NULL where the system has no memory.
 * Context: the nodes' functions are for one thread at a time.
 * Source:  none.
 */
struct aero_node_source aero_node_pool_source(struct aero_node_pool *pool);

/**
 * aero_node_pool_fini() - Give the stock back.
 * @pool: One whose sets are all empty.
 *
 * Shape:   the pool can be used again.
 * Owner:   nothing is left.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void aero_node_pool_fini(struct aero_node_pool *pool);

#endif
