/* SPDX-License-Identifier: MIT */
/* The page core: the kernel isolates blocks, puts them back, and moves them. */
#include "test_pages_case.h"

static uint64_t isolated(const struct pages_case *c, unsigned int size)
{
	return aero_frame_set_count(&c->pages.size[size].isolated);
}

static void test_isolate_only_blocks_of_the_balloon(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *held = &c->list[0];

	put_in(c, 0, 3);
	put_in(c, 1, 1);
	take(c, held, 0, 1);
	assert_false(aero_pages_isolate(&c->pages, 0, held->frames[0]));
	assert_false(aero_pages_isolate(&c->pages, 0, 100));
	assert_false(aero_pages_isolate(&c->pages, 9, 0));
	assert_false(aero_pages_isolate(&c->pages, 0, 512));
	assert_false(aero_pages_isolate(&c->pages, 9, 513));
	assert_false(aero_pages_isolate(&c->pages, 1, 0));
	assert_false(aero_pages_isolate(&c->pages, 32, 0));
	assert_false(aero_pages_isolate(&c->pages, 64, 0));
	assert_false(aero_pages_isolate(&c->pages, 0, AERO_FRAME_LIMIT));
	assert_false(aero_pages_isolate(&c->pages, 0, UINT64_MAX));
	assert_int_equal(isolated(c, 0) + isolated(c, 1), 0);

	assert_true(aero_pages_isolate(&c->pages, 9, 512));
	assert_true(aero_pages_isolate(&c->pages, 0, 1));
	assert_false(aero_pages_isolate(&c->pages, 0, 1));
	check_pages(c);
	assert_int_equal(isolated(c, 0), 1);
	assert_int_equal(isolated(c, 1), 1);
	/* Still in the balloon, still marked. */
	assert_true(aero_pages_has(&c->pages, 0, 1));
	assert_int_equal(aero_pages_frames(&c->pages), 3 + 512);
	aero_pages_putback(&c->pages, 0, 1);
	aero_pages_putback(&c->pages, 9, 512);
	assert_int_equal(isolated(c, 0) + isolated(c, 1), 0);
	assert_true(aero_pages_isolate(&c->pages, 0, 1));
	aero_pages_putback(&c->pages, 0, 1);
}

static void test_putback_of_what_is_not_isolated_does_nothing(void **state)
{
	struct pages_case *c = *state;

	put_in(c, 0, 3);
	aero_pages_putback(&c->pages, 0, 1);
	aero_pages_putback(&c->pages, 0, 77);
	aero_pages_putback(&c->pages, 9, 1);
	aero_pages_putback(&c->pages, 5, 0);
	aero_pages_putback(&c->pages, 40, 0);
	check_pages(c);
	assert_int_equal(aero_pages_frames(&c->pages), 3);
}

/* private is NULL: the frame has been deflated meanwhile. */
static void test_isolate_after_deflation_is_false(void **state)
{
	struct pages_case *c = *state;

	put_in(c, 0, 1);
	assert_int_equal(aero_pages_dequeue(&c->pages, &c->list[0], 0, 1), 1);
	assert_false(aero_pages_isolate(&c->pages, 0, 0));
	aero_pages_free(&c->pages, &c->list[0]);
	assert_false(aero_pages_isolate(&c->pages, 0, 0));
	/* Putting back what has left does not bring it in again. */
	aero_pages_putback(&c->pages, 0, 0);
	assert_int_equal(aero_pages_frames(&c->pages), 0);
}

static void test_dequeue_leaves_isolated_blocks_alone(void **state)
{
	struct pages_case *c = *state;
	struct aero_pages_list *list = &c->list[0];

	put_in(c, 0, 600);
	for (aero_frame frame = 0; frame < 600; frame += 3)
		assert_true(aero_pages_isolate(&c->pages, 0, frame));
	assert_int_equal(aero_pages_dequeue(&c->pages, list, 0, 512), 400);
	for (uint32_t i = 0; i < list->count; i++)
		assert_int_not_equal(list->frames[i] % 3, 0);
	aero_pages_free(&c->pages, list);
	/* All that is left is isolated: fewer than asked, none, but no alarm. */
	assert_int_equal(aero_pages_dequeue(&c->pages, list, 0, 1), 0);
	assert_int_equal(aero_pages_frames(&c->pages), 200);
	check_pages(c);
	for (aero_frame frame = 0; frame < 600; frame += 3)
		aero_pages_putback(&c->pages, 0, frame);
	assert_int_equal(aero_pages_dequeue(&c->pages, list, 0, 512), 200);
	assert_counters(c, 0, 600, 600, 0);
	assert_int_equal(isolated(c, 0), 0);
}

static void test_isolate_needs_memory_or_is_false(void **state)
{
	bool is_done = false;
	uint64_t nth;

	(void)state;
	for (nth = 1; !is_done; nth++) {
		void *own = NULL;
		struct pages_case *c;

		pages_open(&own);
		c = own;
		put_in(c, 0, 2);
		sim_port_fail(&c->sim, SIM_PORT_PAGE_GET, nth, false);
		is_done = aero_pages_isolate(&c->pages, 0, 0);
		assert_int_equal(is_done, !c->sim.counters.failures);
		assert_int_equal(isolated(c, 0), is_done);
		check_pages(c);
		/* Once there is memory it goes. */
		assert_int_equal(aero_pages_isolate(&c->pages, 0, 0), !is_done);
		aero_pages_putback(&c->pages, 0, 0);
		pages_close(&own);
	}
	assert_int_equal(nth, 6); /* root, branch, table, leaf; then none fails */
}

/* Migration ----------------------------------------------------------------------------------- */

struct host {
	struct pages_case *c;
	enum aero_status answer;
	unsigned int calls;
	unsigned int order;
	aero_frame old_frame;
	aero_frame new_frame;
	/* Called by the exchange, with the blocks under way. */
	void (*during)(struct host *host);
};

static enum aero_status exchange(void *ctx, unsigned int order, aero_frame new_frame,
				 aero_frame old_frame)
{
	struct host *host = ctx;

	host->calls++;
	host->order = order;
	host->old_frame = old_frame;
	host->new_frame = new_frame;
	assert_false(host->c->sim.is_locked);
	if (host->during)
		host->during(host);
	return host->answer;
}

/* The kernel's part around it. */
static enum aero_status move(struct host *host, unsigned int order, aero_frame old_frame,
			     aero_frame *out_new)
{
	struct pages_case *c = host->c;
	enum aero_status status;
	bool is_in;

	assert_true(sim_port_migrate_begin(&c->sim, order, old_frame, out_new));
	status = aero_pages_migrate(&c->pages, order, *out_new, old_frame, exchange, host);
	is_in = aero_pages_has(&c->pages, order, *out_new);
	sim_port_migrate_end(&c->sim, *out_new, !status, is_in);
	check_pages(c);
	return status;
}

static void test_migrate_new_in_old_out(void **state)
{
	struct pages_case *c = *state;
	struct host host = { .c = c, .answer = AERO_OK };
	aero_frame new_frame;

	put_in(c, 0, 8);
	assert_true(aero_pages_isolate(&c->pages, 0, 5));
	assert_int_equal(move(&host, 0, 5, &new_frame), AERO_OK);
	assert_int_equal(host.calls, 1);
	assert_int_equal(host.order, 0);
	assert_int_equal(host.old_frame, 5);
	assert_int_equal(host.new_frame, new_frame);
	assert_true(aero_pages_has(&c->pages, 0, new_frame));
	assert_false(aero_pages_has(&c->pages, 0, 5));
	assert_int_equal(sim_port_owner(&c->sim, new_frame), SIM_OWNER_LENT);
	assert_int_equal(sim_port_owner(&c->sim, 5), SIM_OWNER_FREE);
	assert_int_equal(isolated(c, 0), 0);
	assert_int_equal(aero_pages_frames(&c->pages), 8);
	assert_counters(c, 0, 8, 0, 1);
	/* It can move on at once. */
	assert_true(aero_pages_isolate(&c->pages, 0, new_frame));
	aero_pages_putback(&c->pages, 0, new_frame);
}

static void test_migrate_new_refused_is_deflation_and_success(void **state)
{
	struct pages_case *c = *state;
	struct host host = { .c = c, .answer = AERO_ENOENT };
	aero_frame new_frame;

	put_in(c, 0, 8);
	assert_true(aero_pages_isolate(&c->pages, 0, 5));
	assert_int_equal(move(&host, 0, 5, &new_frame), AERO_OK);
	assert_false(aero_pages_has(&c->pages, 0, new_frame));
	assert_false(aero_pages_has(&c->pages, 0, 5));
	assert_int_equal(sim_port_owner(&c->sim, new_frame), SIM_OWNER_FREE);
	assert_int_equal(sim_port_owner(&c->sim, 5), SIM_OWNER_FREE);
	assert_int_equal(isolated(c, 0), 0);
	assert_int_equal(aero_pages_frames(&c->pages), 7);
	assert_counters(c, 0, 8, 1, 0);
}

static void test_migrate_failed_changes_nothing(void **state)
{
	struct pages_case *c = *state;
	struct host host = { .c = c };
	aero_frame new_frame;
	unsigned int calls = 0;

	put_in(c, 0, 8);
	for (int status = AERO_EINVAL; status < AERO_STATUS_COUNT; status++) {
		if (status == AERO_ENOENT)
			continue;
		host.answer = (enum aero_status)status;
		assert_true(aero_pages_isolate(&c->pages, 0, 5));
		assert_int_equal(move(&host, 0, 5, &new_frame), status);
		assert_int_equal(host.calls, ++calls);
		assert_false(aero_pages_has(&c->pages, 0, new_frame));
		assert_true(aero_pages_has(&c->pages, 0, 5));
		/* Still isolated: the kernel tries again, or puts back. */
		assert_int_equal(isolated(c, 0), 1);
		assert_false(aero_pages_isolate(&c->pages, 0, 5));
		aero_pages_putback(&c->pages, 0, 5);
		assert_int_equal(isolated(c, 0), 0);
	}
	assert_int_equal(aero_pages_frames(&c->pages), 8);
	assert_counters(c, 0, 8, 0, 0);
}

static void test_migrate_retry_after_again_succeeds(void **state)
{
	struct pages_case *c = *state;
	struct host host = { .c = c, .answer = AERO_EAGAIN };
	aero_frame new_frame;

	put_in(c, 1, 2);
	assert_true(aero_pages_isolate(&c->pages, 9, 512));
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(move(&host, 9, 512, &new_frame), AERO_EAGAIN);
	host.answer = AERO_OK;
	assert_int_equal(move(&host, 9, 512, &new_frame), AERO_OK);
	assert_int_equal(host.order, 9);
	assert_true(aero_pages_has(&c->pages, 9, new_frame));
	assert_counters(c, 1, 2, 0, 1);
	assert_int_equal(aero_pages_frames(&c->pages), 1024);
}

static void test_migrate_what_cannot_be_asks_no_host(void **state)
{
	struct pages_case *c = *state;
	struct host host = { .c = c };
	struct aero_pages_list *held = &c->list[0];

	put_in(c, 0, 4);
	put_in(c, 1, 1);
	take(c, held, 0, 1);
#define REFUSED(order, new_frame, old_frame)                                                  \
	assert_int_equal(aero_pages_migrate(&c->pages, order, new_frame, old_frame, exchange, \
					    &host),                                           \
			 AERO_EINVAL)
	/* Not isolated, not in the balloon, and a new one that is in. */
	REFUSED(0, held->frames[0], 1);
	REFUSED(0, held->frames[0], 300);
	assert_true(aero_pages_isolate(&c->pages, 0, 1));
	REFUSED(0, 2, 1);
	REFUSED(0, 1, 1);
	/* Other orders than there are, not aligned, no frames at all. */
	REFUSED(9, 1024, 1);
	REFUSED(3, 8, 0);
	REFUSED(32, 0, 0);
	REFUSED(64, 0, 0);
	REFUSED(0, AERO_FRAME_LIMIT, 1);
	REFUSED(0, UINT64_MAX, 1);
	assert_true(aero_pages_isolate(&c->pages, 9, 512));
	REFUSED(9, 1025, 512);
	REFUSED(9, 1024, 513);
	REFUSED(9, AERO_FRAME_LIMIT, 512);
	assert_int_equal(host.calls, 0);
	assert_int_equal(isolated(c, 0), 1);
	assert_int_equal(isolated(c, 1), 1);
	check_pages(c);
	aero_pages_putback(&c->pages, 0, 1);
	aero_pages_putback(&c->pages, 9, 512);
}

/* While the host is told, neither of the two is anybody else's; all others are. */
static void meddle(struct host *host)
{
	struct pages_case *c = host->c;
	struct aero_pages_list *list = &c->list[1];

	assert_int_equal(aero_pages_validate(&c->pages), AERO_OK);
	assert_int_equal(aero_pages_frames(&c->pages), 10);
	assert_false(aero_pages_isolate(&c->pages, 0, host->old_frame));
	assert_false(aero_pages_isolate(&c->pages, 0, host->new_frame));
	assert_true(aero_pages_isolate(&c->pages, 0, 9));
	assert_int_equal(aero_pages_dequeue(&c->pages, list, 0, 512), 8);
	for (uint32_t i = 0; i < list->count; i++) {
		assert_int_not_equal(list->frames[i], host->old_frame);
		assert_int_not_equal(list->frames[i], host->new_frame);
		assert_int_not_equal(list->frames[i], 9);
	}
	assert_int_equal(aero_pages_enqueue(&c->pages, list), AERO_OK);
	aero_pages_putback(&c->pages, 0, 9);
}

static void test_migrate_others_meanwhile_touch_all_but_the_two(void **state)
{
	static const enum aero_status answers[] = { AERO_OK, AERO_ENOENT, AERO_EREFUSED };

	(void)state;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(answers); i++) {
		struct host host = { .answer = answers[i], .during = meddle };
		aero_frame new_frame;
		void *own = NULL;

		pages_open(&own);
		host.c = own;
		put_in(host.c, 0, 10);
		assert_true(aero_pages_isolate(&host.c->pages, 0, 3));
		(void)move(&host, 0, 3, &new_frame);
		aero_pages_putback(&host.c->pages, 0, 3);
		assert_counters(host.c, 0, 18, 8 + (answers[i] == AERO_ENOENT), !answers[i]);
		pages_close(&own);
	}
}

/* A frame far away needs a table and a leaf of its own. */
static void test_migrate_without_memory_is_again(void **state)
{
	struct pages_options options = { .sim = { .frames = SIM_PORT_GIB(64), .seed = 1 } };
	enum aero_status status = AERO_EAGAIN;
	uint64_t nth;

	(void)state;
	for (nth = 1; status; nth++) {
		void *own = &options;
		aero_frame new_frame;
		struct host host;

		pages_open(&own);
		host = (struct host){ .c = own };
		put_in(host.c, 0, 1);
		assert_true(aero_pages_isolate(&host.c->pages, 0, 0));
		sim_port_fail(&host.c->sim, SIM_PORT_PAGE_GET, nth, true);
		status = move(&host, 0, 0, &new_frame);
		assert_int_equal(host.calls, !status);
		if (status) {
			assert_int_equal(status, AERO_EAGAIN);
			assert_int_equal(isolated(host.c, 0), 1);
			aero_pages_putback(&host.c->pages, 0, 0);
		}
		assert_int_equal(aero_pages_frames(&host.c->pages), 1);
		pages_close(&own);
	}
	assert_in_range(nth, 3, 4);
}

/* The upstream core moves a count at neither: "drift across nodes, one too high per -ENOENT". */
static void test_migrate_across_zones_moves_marks_and_counts(void **state)
{
	struct pages_case *c = *state;
	struct host host = { .c = c };
	uint64_t managed = c->sim.port.managed_frames(&c->sim);
	aero_frame new_frame = 0;

	put_in(c, 0, 100);
	assert_int_equal(c->sim.port.managed_frames(&c->sim), managed - 100);
	for (aero_frame frame = 0; frame < 100; frame++) {
		host.answer = frame % 4 == 3 ? AERO_ENOENT : AERO_OK;
		assert_true(aero_pages_isolate(&c->pages, 0, frame));
		assert_int_equal(move(&host, 0, frame, &new_frame), AERO_OK);
		assert_false(sim_buddy_has_mark(&c->sim.buddy, SIM_MARK_TAKEN, frame));
		assert_int_equal(sim_buddy_has_mark(&c->sim.buddy, SIM_MARK_TAKEN, new_frame),
				 host.answer == AERO_OK);
	}
	assert_int_equal(c->sim.port.managed_frames(&c->sim), managed - 75);
	assert_int_equal(aero_pages_frames(&c->pages), 75);
	assert_counters(c, 0, 100, 25, 75);
	while (aero_pages_dequeue(&c->pages, &c->list[0], 0, 512))
		aero_pages_free(&c->pages, &c->list[0]);
	assert_int_equal(c->sim.port.managed_frames(&c->sim), managed);
}

static const struct pages_options bare = {
	.sim = { .without = SIM_PORT_SPLIT | SIM_PORT_SET_OFFLINE | SIM_PORT_ADJUST_MANAGED |
			    SIM_PORT_LOCK | SIM_PORT_LOG },
};

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_isolate_only_blocks_of_the_balloon, NULL),
		CASE(test_isolate_only_blocks_of_the_balloon, &bare),
		CASE(test_putback_of_what_is_not_isolated_does_nothing, NULL),
		CASE(test_isolate_after_deflation_is_false, NULL),
		CASE(test_dequeue_leaves_isolated_blocks_alone, NULL),
		cmocka_unit_test(test_isolate_needs_memory_or_is_false),
		CASE(test_migrate_new_in_old_out, NULL),
		CASE(test_migrate_new_in_old_out, &bare),
		CASE(test_migrate_new_refused_is_deflation_and_success, NULL),
		CASE(test_migrate_new_refused_is_deflation_and_success, &bare),
		CASE(test_migrate_failed_changes_nothing, NULL),
		CASE(test_migrate_retry_after_again_succeeds, NULL),
		CASE(test_migrate_what_cannot_be_asks_no_host, NULL),
		cmocka_unit_test(test_migrate_others_meanwhile_touch_all_but_the_two),
		cmocka_unit_test(test_migrate_without_memory_is_again),
		CASE(test_migrate_across_zones_moves_marks_and_counts, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
