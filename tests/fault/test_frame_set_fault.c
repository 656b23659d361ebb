/* SPDX-License-Identifier: MIT */
/* Frame sets whose source of nodes fails at the nth request, once or from then on. */
#include "support/test.h"

#include <aerostat/frame_set.h>

#include "support/nodes.h"

#define LEAF AERO_FRAME_SET_LEAF_FRAMES

/* Ranges that need nodes of every level, one after the other. They neither overlap nor touch. */
static const struct aero_range ranges[] = {
	{ 5, 1 },
	{ LEAF - 10, 20 },
	{ (1ull << 22) - 100, 3 * LEAF },
	{ (1ull << 31) - LEAF - 3, 2 * LEAF + 6 },
	{ AERO_FRAME_LIMIT - LEAF - 1, LEAF + 1 },
};

/* How many nodes a set needs, counted from what it says it holds. */
static uint64_t needed_nodes(const struct aero_frame_set *set)
{
	static const unsigned int shifts[] = { 15, 22, 31 };
	uint64_t last[] = { UINT64_MAX, UINT64_MAX, UINT64_MAX };
	struct aero_range frame = { 0, 0 };
	aero_frame from = 0;
	uint64_t nodes = 0;

	while (aero_frame_set_next(set, from, 1, &frame)) {
		for (size_t i = 0; i < TEST_ARRAY_SIZE(shifts); i++) {
			nodes += last[i] != frame.first >> shifts[i];
			last[i] = frame.first >> shifts[i];
		}
		from = (frame.first / LEAF + 1) * LEAF;
	}
	return nodes ? nodes + 1 : 0;
}

static void check_set(const struct aero_frame_set *set, const struct test_nodes *nodes)
{
	assert_int_equal(aero_frame_set_validate(set), AERO_OK);
	assert_int_equal(nodes->live, needed_nodes(set));
	assert_int_equal(aero_frame_set_bytes(set), nodes->live * AERO_NODE_BYTES);
}

/* After a failure: what came before the missing node is in the set, what comes after is not. */
static void check_partial(const struct aero_frame_set *set, struct aero_range range, uint64_t added)
{
	struct aero_range rest = { range.first + added, range.count - added };
	struct aero_range done = { range.first, added };

	assert_true(added < range.count);
	assert_int_equal(aero_frame_set_count_in(set, done), added);
	assert_int_equal(aero_frame_set_count_in(set, rest), 0);
	if (added)
		assert_int_equal(rest.first % LEAF, 0);
}

/* Insert a range; where that fails, check what is left and insert again. */
static void insert_at_last(struct aero_frame_set *set, struct test_nodes *nodes,
			   struct aero_range range)
{
	uint64_t before = aero_frame_set_count(set);
	uint64_t added = UINT64_MAX;
	enum aero_status status = aero_frame_set_insert(set, range, &added);

	if (status != AERO_OK) {
		assert_int_equal(status, AERO_ENOMEM);
		assert_int_equal(nodes->failures, 1);
		check_partial(set, range, added);
		assert_int_equal(aero_frame_set_count(set), before + added);
		check_set(set, nodes);
		/* Memory is there again. */
		test_nodes_fail(nodes, 0, false);
		before += added;
		assert_int_equal(aero_frame_set_insert(set, range, &added), AERO_OK);
	}
	assert_int_equal(aero_frame_set_count(set), before + added);
	assert_int_equal(aero_frame_set_count_in(set, range), range.count);
	check_set(set, nodes);
}

static void empty(struct aero_frame_set *set, struct test_nodes *nodes)
{
	struct aero_range all = { 0, UINT64_MAX };
	uint64_t count = aero_frame_set_count(set);

	/* Taking out never needs a node. */
	test_nodes_fail(nodes, 1, true);
	assert_int_equal(aero_frame_set_remove(set, all), count);
	assert_int_equal(nodes->gets, 0);
	assert_int_equal(aero_frame_set_count(set), 0);
	assert_int_equal(nodes->live, 0);
	assert_int_equal(aero_frame_set_validate(set), AERO_OK);
}

static void test_insert_nth_node_missing_once_goes_on(void **state)
{
	struct test_nodes nodes;
	struct aero_frame_set set;
	bool has_failed = true;

	(void)state;
	test_nodes_init(&nodes);
	aero_frame_set_init(&set, &nodes.source);
	for (uint64_t nth = 1; has_failed; nth++) {
		test_nodes_fail(&nodes, nth, false);
		for (size_t i = 0; i < TEST_ARRAY_SIZE(ranges); i++)
			insert_at_last(&set, &nodes, ranges[i]);
		has_failed = nodes.fail_at == 0;
		print_message("# node %llu %s\n", (unsigned long long)nth,
			      has_failed ? "missing" : "never asked for");
		empty(&set, &nodes);
		assert_true(nth < 100);
	}
}

static void test_insert_nodes_missing_from_nth_on_keeps_what_it_has(void **state)
{
	struct test_nodes nodes;
	struct aero_frame_set set;
	bool has_failed = true;

	(void)state;
	test_nodes_init(&nodes);
	aero_frame_set_init(&set, &nodes.source);
	for (uint64_t nth = 1; has_failed; nth++) {
		uint64_t total = 0;

		test_nodes_fail(&nodes, nth, true);
		for (size_t i = 0; i < TEST_ARRAY_SIZE(ranges); i++) {
			uint64_t added;
			enum aero_status status = aero_frame_set_insert(&set, ranges[i], &added);

			if (status == AERO_ENOMEM)
				check_partial(&set, ranges[i], added);
			else
				assert_int_equal(status, AERO_OK);
			total += added;
			assert_int_equal(aero_frame_set_count(&set), total);
			check_set(&set, &nodes);
		}
		has_failed = nodes.failures > 0;
		empty(&set, &nodes);
		assert_true(nth < 100);
	}
}

/* Frames of leaves that exist need no node, whatever fails. */
static void test_insert_into_existing_leaf_needs_no_node(void **state)
{
	struct test_nodes nodes;
	struct aero_frame_set set;
	struct aero_range range = { 7, 1 };
	uint64_t added;

	(void)state;
	test_nodes_init(&nodes);
	aero_frame_set_init(&set, &nodes.source);
	assert_int_equal(aero_frame_set_insert(&set, range, &added), AERO_OK);
	test_nodes_fail(&nodes, 1, true);
	range.first = 0;
	range.count = LEAF;
	assert_int_equal(aero_frame_set_insert(&set, range, &added), AERO_OK);
	assert_int_equal(added, LEAF - 1);
	/* One more does; all before it are in. */
	range.count = LEAF + 1;
	assert_int_equal(aero_frame_set_insert(&set, range, &added), AERO_ENOMEM);
	assert_int_equal(added, 0);
	assert_int_equal(aero_frame_set_count(&set), LEAF);
	check_set(&set, &nodes);
	empty(&set, &nodes);
}

/* The frames that come before the missing node count as added only where they were not in. */
static void test_insert_failing_counts_new_frames_only(void **state)
{
	struct test_nodes nodes;
	struct aero_frame_set set;
	struct aero_range range = { 100, 50 };
	uint64_t added;

	(void)state;
	test_nodes_init(&nodes);
	aero_frame_set_init(&set, &nodes.source);
	assert_int_equal(aero_frame_set_insert(&set, range, &added), AERO_OK);
	test_nodes_fail(&nodes, 2, true);
	range.first = 0;
	range.count = 3 * LEAF;
	assert_int_equal(aero_frame_set_insert(&set, range, &added), AERO_ENOMEM);
	assert_int_equal(added, 2 * LEAF - 50);
	assert_int_equal(aero_frame_set_count(&set), 2 * LEAF);
	check_set(&set, &nodes);
	aero_frame_set_fini(&set);
	assert_int_equal(nodes.live, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_insert_nth_node_missing_once_goes_on),
		cmocka_unit_test(test_insert_nodes_missing_from_nth_on_keeps_what_it_has),
		cmocka_unit_test(test_insert_into_existing_leaf_needs_no_node),
		cmocka_unit_test(test_insert_failing_counts_new_frames_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
