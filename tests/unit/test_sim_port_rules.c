/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "ports/sim/sim_port.h"

/* Each rule of the port, broken once: it is named, and has no effect. */

#define MEMBERS_ALL 0
#define BLOCK 512

/* A simulation with a block (0 .. 511) and a frame (512) lent. */
struct rig {
	struct sim_port sim;
	const struct aero_port *port;
	aero_frame block;
	aero_frame frame;
};

static void begin(struct rig *rig, uint32_t without)
{
	struct sim_port_config config = { .frames = 4096, .orders = 0x209, .without = without };

	sim_port_init(&rig->sim, &config);
	rig->port = &rig->sim.port;
	assert_int_equal(rig->port->alloc(rig->port->ctx, 9, AERO_EFFORT_SPARE, &rig->block, 1), 1);
	assert_int_equal(rig->port->alloc(rig->port->ctx, 0, AERO_EFFORT_SPARE, &rig->frame, 1), 1);
	assert_int_equal(rig->block, 0);
	assert_int_equal(rig->frame, 512);
}

/* There was this violation, and frames so many are lent. */
static void expect(struct rig *rig, const char *text, uint64_t lent)
{
	assert_int_equal(rig->sim.violations, 1);
	assert_string_equal(rig->sim.violation, text);
	assert_string_equal(sim_port_check_empty(&rig->sim), text);
	rig->sim.violations = 0;
	assert_null(sim_port_check(&rig->sim));
	assert_int_equal(sim_port_lent_frames(&rig->sim), lent);
	sim_port_fini(&rig->sim);
}

static void test_free_twice(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->free(rig.port->ctx, 0, &rig.frame, 1);
	rig.port->free(rig.port->ctx, 0, &rig.frame, 1);
	expect(&rig, "free() of a free frame, order 0: 0x200", BLOCK);
}

static void test_free_twice_in_one_call(void **state)
{
	struct rig rig;
	aero_frame frames[2] = { 512, 512 };

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->free(rig.port->ctx, 0, frames, 2);
	expect(&rig, "free() of a frame never allocated, order 0: 0x200", BLOCK);
}

static void test_free_of_the_kernels(void **state)
{
	struct rig rig;
	aero_frame frame = 1000;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	assert_true(sim_port_pin(&rig.sim, frame));
	rig.port->free(rig.port->ctx, 0, &frame, 1);
	expect(&rig, "free() of a frame never allocated, order 0: 0x3e8", BLOCK + 1);
}

static void test_free_outside_of_memory(void **state)
{
	struct rig rig;
	aero_frame frame = AERO_FRAME_LIMIT;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->free(rig.port->ctx, 0, &frame, 1);
	expect(&rig, "free() of a frame never allocated, order 0: 0x10000000000", BLOCK + 1);
}

static void test_free_with_a_larger_order(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->free(rig.port->ctx, 9, &rig.frame, 1);
	expect(&rig, "free() with order 9 of a block of order 0: 0x200", BLOCK + 1);
}

static void test_free_with_an_order_beyond_all(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->free(rig.port->ctx, 64, &rig.block, 1);
	expect(&rig, "free() with order 64 of a block of order 9: 0x0", BLOCK + 1);
}

static void test_free_of_a_part_without_split(void **state)
{
	struct rig rig;
	aero_frame part = 3;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->free(rig.port->ctx, 0, &part, 1);
	expect(&rig, "free() with order 0 of a block of order 9: 0x3", BLOCK + 1);
}

static void test_free_of_the_whole_after_split(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->split(rig.port->ctx, 9, rig.block);
	rig.port->free(rig.port->ctx, 9, &rig.block, 1);
	expect(&rig, "free() with order 9 of a block of order 0: 0x0", BLOCK + 1);
}

static void test_free_of_the_whole_after_a_part(void **state)
{
	struct rig rig;
	aero_frame part = 3;

	(void)state;
	begin(&rig, SIM_PORT_SPLIT);
	rig.port->free(rig.port->ctx, 0, &part, 1);
	rig.port->free(rig.port->ctx, 9, &rig.block, 1);
	expect(&rig, "free() with order 9 of a block of order 0: 0x0", BLOCK);
}

static void test_free_while_offline(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->set_offline(rig.port->ctx, 9, &rig.block, 1, true);
	rig.port->free(rig.port->ctx, 9, &rig.block, 1);
	expect(&rig, "free() of an offline frame: 0x0", 1);
}

static void test_free_while_taken(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->adjust_managed(rig.port->ctx, 0, &rig.frame, 1, true);
	rig.port->free(rig.port->ctx, 0, &rig.frame, 1);
	expect(&rig, "free() of a frame taken from the count: 0x200", BLOCK);
}

static void test_free_while_moving(void **state)
{
	struct rig rig;
	aero_frame new;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	assert_true(sim_port_migrate_begin(&rig.sim, 0, rig.frame, &new));
	rig.port->free(rig.port->ctx, 0, &rig.frame, 1);
	assert_int_equal(rig.sim.violations, 1);
	sim_port_migrate_end(&rig.sim, new, true, false);
	expect(&rig, "free() of a frame that the kernel is moving: 0x200", BLOCK);
}

static void test_migrate_leaves_a_mark(void **state)
{
	struct rig rig;
	aero_frame new;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->set_offline(rig.port->ctx, 0, &rig.frame, 1, true);
	assert_true(sim_port_migrate_begin(&rig.sim, 0, rig.frame, &new));
	sim_port_migrate_end(&rig.sim, new, true, true);
	expect(&rig, "a frame that left by migration has a mark: 0x200", BLOCK + 1);
}

static void test_split_of_a_single_frame(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->split(rig.port->ctx, 0, rig.frame);
	expect(&rig, "split() of a single page: 0x200", BLOCK + 1);
}

static void test_split_of_what_is_not_lent(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->split(rig.port->ctx, 9, 1024);
	expect(&rig, "split() of a free frame, order 9: 0x400", BLOCK + 1);
}

static void test_split_twice(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->split(rig.port->ctx, 9, rig.block);
	rig.port->split(rig.port->ctx, 9, rig.block);
	expect(&rig, "split() with order 9 of a block of order 0: 0x0", BLOCK + 1);
}

static void test_set_offline_twice(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->set_offline(rig.port->ctx, 9, &rig.block, 1, true);
	rig.port->set_offline(rig.port->ctx, 9, &rig.block, 1, true);
	expect(&rig, "set_offline() twice the same way: 0x0", BLOCK + 1);
}

static void test_set_offline_back_without_there(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->set_offline(rig.port->ctx, 0, &rig.frame, 1, false);
	expect(&rig, "set_offline() twice the same way: 0x200", BLOCK + 1);
}

static void test_set_offline_of_a_part(void **state)
{
	struct rig rig;
	aero_frame part = 7;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->set_offline(rig.port->ctx, 0, &part, 1, true);
	expect(&rig, "set_offline() with order 0 of a block of order 9: 0x7", BLOCK + 1);
}

static void test_adjust_managed_of_a_free_frame(void **state)
{
	struct rig rig;
	aero_frame frame = 600;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->adjust_managed(rig.port->ctx, 0, &frame, 1, true);
	expect(&rig, "adjust_managed() of a free frame, order 0: 0x258", BLOCK + 1);
}

static void test_adjust_managed_twice(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->adjust_managed(rig.port->ctx, 0, &rig.frame, 1, true);
	rig.port->adjust_managed(rig.port->ctx, 0, &rig.frame, 1, true);
	expect(&rig, "adjust_managed() twice the same way: 0x200", BLOCK + 1);
}

static void test_alloc_of_an_order_that_there_is_not(void **state)
{
	struct rig rig;
	aero_frame frame;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	assert_int_equal(rig.port->alloc(rig.port->ctx, 5, AERO_EFFORT_SPARE, &frame, 1), 0);
	expect(&rig, "alloc() of an order that there is not: 0x5", BLOCK + 1);
}

static void test_alloc_sleeping_in_atomic_context(void **state)
{
	struct rig rig;
	aero_frame frame;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.sim.is_atomic = true;
	assert_int_equal(rig.port->alloc(rig.port->ctx, 0, AERO_EFFORT_SPARE, &frame, 1), 1);
	assert_int_equal(rig.sim.violations, 0);
	assert_int_equal(rig.port->alloc(rig.port->ctx, 0, AERO_EFFORT_RECLAIM, &frame, 1), 1);
	expect(&rig, "alloc() may sleep here: order: 0x0", BLOCK + 3);
}

static void test_page_get_in_atomic_context(void **state)
{
	struct rig rig;
	void *page;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.sim.is_atomic = true;
	page = rig.port->page_get(rig.port->ctx);
	rig.port->page_put(rig.port->ctx, page);
	expect(&rig, "page_get() may sleep here: call: 0x1", BLOCK + 1);
}

static void test_page_put_twice(void **state)
{
	struct rig rig;
	void *page;
	char text[64];

	(void)state;
	begin(&rig, MEMBERS_ALL);
	page = rig.port->page_get(rig.port->ctx);
	rig.port->page_put(rig.port->ctx, page);
	rig.port->page_put(rig.port->ctx, page);
	snprintf(text, sizeof(text), "page_put() of a page never got: 0x%jx",
		 (uintmax_t)(uintptr_t)page);
	expect(&rig, text, BLOCK + 1);
}

static void test_page_put_of_a_foreign_page(void **state)
{
	struct rig rig;
	char text[64];

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->page_put(rig.port->ctx, &rig);
	snprintf(text, sizeof(text), "page_put() of a page never got: 0x%jx",
		 (uintmax_t)(uintptr_t)&rig);
	expect(&rig, text, BLOCK + 1);
}

static void test_page_frame_of_a_foreign_page(void **state)
{
	struct rig rig;
	char text[64];
	char *page;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	page = rig.port->page_get(rig.port->ctx);
	rig.port->page_frame(rig.port->ctx, page + 8);
	rig.port->page_put(rig.port->ctx, page);
	snprintf(text, sizeof(text), "page_frame() of a page never got: 0x%jx",
		 (uintmax_t)(uintptr_t)(page + 8));
	expect(&rig, text, BLOCK + 1);
}

static void test_lock_twice(void **state)
{
	struct rig rig;
	uintptr_t held;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->lock(rig.port->ctx);
	held = rig.port->lock(rig.port->ctx);
	rig.port->unlock(rig.port->ctx, held);
	expect(&rig, "lock() with the lock held: lock: 0x1", BLOCK + 1);
}

static void test_unlock_without_lock(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	rig.port->unlock(rig.port->ctx, 0);
	expect(&rig, "unlock() without lock(): lock: 0x0", BLOCK + 1);
}

static void test_unlock_with_a_wrong_state(void **state)
{
	struct rig rig;
	uintptr_t held;
	char text[64];

	(void)state;
	begin(&rig, MEMBERS_ALL);
	held = rig.port->lock(rig.port->ctx);
	rig.port->unlock(rig.port->ctx, held + 1);
	snprintf(text, sizeof(text), "unlock() with another lock's state: 0x%jx",
		 (uintmax_t)(held + 1));
	expect(&rig, text, BLOCK + 1);
}

/* Every member but unlock(), called with the lock held. */
static void call_member(struct rig *rig, enum sim_port_call call)
{
	const struct aero_port *port = rig->port;
	aero_frame frame;
	static char foreign[1];

	switch (call) {
	case SIM_PORT_ALLOC:
		port->alloc(port->ctx, 0, AERO_EFFORT_SPARE, &frame, 0);
		break;
	case SIM_PORT_FREE:
		port->free(port->ctx, 0, &frame, 0);
		break;
	case SIM_PORT_SPLIT:
		port->split(port->ctx, 9, rig->block);
		break;
	case SIM_PORT_SET_OFFLINE:
		port->set_offline(port->ctx, 0, &frame, 0, true);
		break;
	case SIM_PORT_ADJUST_MANAGED:
		port->adjust_managed(port->ctx, 0, &frame, 0, true);
		break;
	case SIM_PORT_MANAGED_FRAMES:
		port->managed_frames(port->ctx);
		break;
	case SIM_PORT_PAGE_GET:
		port->page_get(port->ctx);
		break;
	case SIM_PORT_PAGE_PUT:
		port->page_put(port->ctx, foreign);
		break;
	case SIM_PORT_PAGE_FRAME:
		port->page_frame(port->ctx, foreign);
		break;
	case SIM_PORT_LOG:
		port->log(port->ctx, AERO_LOG_INFO, "text");
		break;
	default:
		break;
	}
}

static void test_any_member_with_the_lock_held(void **state)
{
	static const struct {
		enum sim_port_call call;
		const char *text;
	} rows[] = {
		{ SIM_PORT_ALLOC, "alloc() with the lock held: 0x1" },
		{ SIM_PORT_FREE, "free() with the lock held: 0x2" },
		{ SIM_PORT_SPLIT, "split() with the lock held: 0x4" },
		{ SIM_PORT_SET_OFFLINE, "set_offline() with the lock held: 0x8" },
		{ SIM_PORT_ADJUST_MANAGED, "adjust_managed() with the lock held: 0x10" },
		{ SIM_PORT_MANAGED_FRAMES, "managed_frames() with the lock held: 0x20" },
		{ SIM_PORT_PAGE_GET, "page_get() with the lock held: 0x40" },
		{ SIM_PORT_PAGE_PUT, "page_put() with the lock held: 0x80" },
		{ SIM_PORT_PAGE_FRAME, "page_frame() with the lock held: 0x100" },
		{ SIM_PORT_LOG, "log() with the lock held: 0x400" },
	};
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		uintptr_t held;

		begin(&rig, MEMBERS_ALL);
		held = rig.port->lock(rig.port->ctx);
		call_member(&rig, rows[i].call);
		rig.port->unlock(rig.port->ctx, held);
		assert_string_equal(rig.sim.violation, rows[i].text);
		sim_port_fini(&rig.sim);
	}
}

static void test_check_empty_names_what_is_left(void **state)
{
	struct rig rig;
	aero_frame new;
	void *page;

	(void)state;
	begin(&rig, MEMBERS_ALL);
	assert_string_equal(sim_port_check_empty(&rig.sim), "frames not given back: 0x201");
	rig.port->free(rig.port->ctx, 9, &rig.block, 1);
	rig.port->free(rig.port->ctx, 0, &rig.frame, 1);
	page = rig.port->page_get(rig.port->ctx);
	assert_string_equal(sim_port_check_empty(&rig.sim), "own pages not given back: 0x1");
	rig.port->page_put(rig.port->ctx, page);
	rig.port->lock(rig.port->ctx);
	assert_string_equal(sim_port_check_empty(&rig.sim), "the lock is held");
	rig.port->unlock(rig.port->ctx, rig.sim.lock_state);
	assert_int_equal(rig.port->alloc(rig.port->ctx, 0, AERO_EFFORT_SPARE, &rig.frame, 1), 1);
	assert_true(sim_port_migrate_begin(&rig.sim, 0, rig.frame, &new));
	sim_port_migrate_end(&rig.sim, new, true, false);
	assert_null(sim_port_check_empty(&rig.sim));
	sim_port_fini(&rig.sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_free_twice),
		cmocka_unit_test(test_free_twice_in_one_call),
		cmocka_unit_test(test_free_of_the_kernels),
		cmocka_unit_test(test_free_outside_of_memory),
		cmocka_unit_test(test_free_with_a_larger_order),
		cmocka_unit_test(test_free_with_an_order_beyond_all),
		cmocka_unit_test(test_free_of_a_part_without_split),
		cmocka_unit_test(test_free_of_the_whole_after_split),
		cmocka_unit_test(test_free_of_the_whole_after_a_part),
		cmocka_unit_test(test_free_while_offline),
		cmocka_unit_test(test_free_while_taken),
		cmocka_unit_test(test_free_while_moving),
		cmocka_unit_test(test_migrate_leaves_a_mark),
		cmocka_unit_test(test_split_of_a_single_frame),
		cmocka_unit_test(test_split_of_what_is_not_lent),
		cmocka_unit_test(test_split_twice),
		cmocka_unit_test(test_set_offline_twice),
		cmocka_unit_test(test_set_offline_back_without_there),
		cmocka_unit_test(test_set_offline_of_a_part),
		cmocka_unit_test(test_adjust_managed_of_a_free_frame),
		cmocka_unit_test(test_adjust_managed_twice),
		cmocka_unit_test(test_alloc_of_an_order_that_there_is_not),
		cmocka_unit_test(test_alloc_sleeping_in_atomic_context),
		cmocka_unit_test(test_page_get_in_atomic_context),
		cmocka_unit_test(test_page_put_twice),
		cmocka_unit_test(test_page_put_of_a_foreign_page),
		cmocka_unit_test(test_page_frame_of_a_foreign_page),
		cmocka_unit_test(test_lock_twice),
		cmocka_unit_test(test_unlock_without_lock),
		cmocka_unit_test(test_unlock_with_a_wrong_state),
		cmocka_unit_test(test_any_member_with_the_lock_held),
		cmocka_unit_test(test_check_empty_names_what_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
