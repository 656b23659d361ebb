/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "support/nodes.h"

static void *get_page(void *ctx)
{
	struct test_nodes *nodes = ctx;
	void *page = NULL;

	nodes->gets++;
	if (nodes->fail_at &&
	    (nodes->gets == nodes->fail_at || (nodes->fail_on && nodes->gets > nodes->fail_at))) {
		nodes->failures++;
		return NULL;
	}
	if (posix_memalign(&page, AERO_NODE_BYTES, AERO_NODE_BYTES))
		abort();
	memset(page, 0xa5, AERO_NODE_BYTES);
	nodes->live++;
	return page;
}

static void put_page(void *ctx, void *page)
{
	struct test_nodes *nodes = ctx;

	assert_non_null(page);
	assert_int_equal((uintptr_t)page % AERO_NODE_BYTES, 0);
	assert_true(nodes->live > 0);
	nodes->live--;
	memset(page, 0x5a, AERO_NODE_BYTES);
	free(page);
}

void test_nodes_init(struct test_nodes *nodes)
{
	memset(nodes, 0, sizeof(*nodes));
	nodes->source.ctx = nodes;
	nodes->source.get = get_page;
	nodes->source.put = put_page;
}

void test_nodes_fail(struct test_nodes *nodes, uint64_t nth, bool from_then_on)
{
	nodes->gets = 0;
	nodes->fail_at = nth;
	nodes->fail_on = from_then_on;
	nodes->failures = 0;
}
