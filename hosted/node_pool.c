/* SPDX-License-Identifier: MIT */
#include "hosted/node_pool.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

static void *get_node(void *ctx)
{
	struct aero_node_pool *pool = ctx;
	void *node;

	if (pool->kept_count) {
		node = pool->kept[--pool->kept_count];
	} else {
		/* Not malloc: 4 KiB alignment would waste a page of heap for each node. */
		node = mmap(NULL, AERO_NODE_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (node == MAP_FAILED)
			return NULL;
	}
	pool->used++;
	return node;
}

static void put_node(void *ctx, void *node)
{
	struct aero_node_pool *pool = ctx;

	pool->used--;
	if (pool->kept_count < AERO_NODE_POOL_KEPT)
		pool->kept[pool->kept_count++] = node;
	else
		munmap(node, AERO_NODE_BYTES);
}

struct aero_node_source aero_node_pool_source(struct aero_node_pool *pool)
{
	struct aero_node_source source = { pool, get_node, put_node };

	return source;
}

void aero_node_pool_fini(struct aero_node_pool *pool)
{
	assert(!pool->used);
	while (pool->kept_count)
		munmap(pool->kept[--pool->kept_count], AERO_NODE_BYTES);
}
