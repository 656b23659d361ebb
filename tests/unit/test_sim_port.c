/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "ports/sim/sim_port.h"

/* What the simulation does for a balloon that keeps the rules. */

static aero_frame lend_one(struct sim_port *sim, unsigned int order)
{
	aero_frame frame = UINT64_MAX;

	assert_int_equal(sim->port.alloc(sim, order, AERO_EFFORT_RECLAIM, &frame, 1), 1);
	return frame;
}

static void end(struct sim_port *sim)
{
	const char *wrong = sim_port_check_empty(sim);

	if (wrong)
		fail_msg("%s", wrong);
	sim_port_fini(sim);
}

static void test_init_zeroed_config_has_every_member(void **state)
{
	struct sim_port_config config = { 0 };
	struct sim_port sim;

	(void)state;
	sim_port_init(&sim, &config);
	assert_int_equal(sim.port.orders, 1u | 1u << 9);
	assert_int_equal(sim.port.managed_frames(&sim), 16384);
	assert_int_equal(sim_port_free_frames(&sim), 16384);
	assert_non_null(sim.port.split);
	assert_non_null(sim.port.set_offline);
	assert_non_null(sim.port.adjust_managed);
	assert_non_null(sim.port.lock);
	assert_non_null(sim.port.unlock);
	assert_non_null(sim.port.log);
	assert_int_equal(sim_port_owner(&sim, 16383), SIM_OWNER_FREE);
	end(&sim);
}

static void test_init_without_members_leaves_them_null(void **state)
{
	struct sim_port_config config = {
		.without = SIM_PORT_SPLIT | SIM_PORT_SET_OFFLINE | SIM_PORT_ADJUST_MANAGED |
			   SIM_PORT_LOCK | SIM_PORT_LOG,
	};
	struct sim_port sim;

	(void)state;
	sim_port_init(&sim, &config);
	assert_null(sim.port.split);
	assert_null(sim.port.set_offline);
	assert_null(sim.port.adjust_managed);
	assert_null(sim.port.lock);
	assert_null(sim.port.unlock);
	assert_null(sim.port.log);
	end(&sim);
}

static void test_alloc_ascending_answers_lowest_first(void **state)
{
	struct sim_port_config config = { .frames = 2048 };
	struct sim_port sim;
	aero_frame frames[8];

	(void)state;
	sim_port_init(&sim, &config);
	assert_int_equal(sim.port.alloc(&sim, 9, AERO_EFFORT_SPARE, frames, 8), 4);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(frames[i], 512 * i);
	assert_int_equal(sim.counters.short_allocs, 1);
	sim.port.free(&sim, 9, frames, 4);
	assert_int_equal(sim.port.alloc(&sim, 0, AERO_EFFORT_SPARE, frames, 7), 7);
	for (unsigned int i = 0; i < 7; i++)
		assert_int_equal(frames[i], i);
	sim.port.free(&sim, 0, frames, 7);
	end(&sim);
}

static void test_alloc_descending_answers_highest_first(void **state)
{
	struct sim_port_config config = { .frames = 2048 + 3, .order = SIM_DESCENDING };
	struct sim_port sim;
	aero_frame frames[8];

	(void)state;
	sim_port_init(&sim, &config);
	assert_int_equal(sim.port.alloc(&sim, 0, AERO_EFFORT_SPARE, frames, 8), 8);
	assert_int_equal(frames[0], 2050);
	assert_int_equal(frames[3], 2047);
	assert_int_equal(frames[7], 2043);
	sim.port.free(&sim, 0, frames, 8);
	assert_int_equal(sim.port.alloc(&sim, 9, AERO_EFFORT_SPARE, frames, 2), 2);
	assert_int_equal(frames[0], 1536);
	assert_int_equal(frames[1], 1024);
	sim.port.free(&sim, 9, frames, 2);
	end(&sim);
}

static void test_alloc_shuffled_same_seed_same_frames(void **state)
{
	struct sim_port_config config = { .frames = SIM_PORT_GIB(4),
					  .order = SIM_SHUFFLED,
					  .seed = 7 };
	struct sim_port one;
	struct sim_port two;
	aero_frame a[64];
	aero_frame b[64];
	uint64_t high = 0;

	(void)state;
	sim_port_init(&one, &config);
	sim_port_init(&two, &config);
	assert_int_equal(one.port.alloc(&one, 0, AERO_EFFORT_SPARE, a, 64), 64);
	assert_int_equal(two.port.alloc(&two, 0, AERO_EFFORT_SPARE, b, 64), 64);
	assert_memory_equal(a, b, sizeof(a));
	/* Anywhere in memory: not all 64 lie in one half. */
	for (unsigned int i = 0; i < 64; i++)
		high += a[i] >= SIM_PORT_GIB(2);
	assert_in_range(high, 16, 48);
	one.port.free(&one, 0, a, 64);
	two.port.free(&two, 0, b, 64);
	end(&one);
	end(&two);
}

static void test_split_lets_frames_be_freed_one_by_one(void **state)
{
	struct sim_port_config config = { 0 };
	struct sim_port sim;
	aero_frame block;

	(void)state;
	sim_port_init(&sim, &config);
	block = lend_one(&sim, 9);
	sim.port.set_offline(&sim, 9, &block, 1, true);
	sim.port.split(&sim, 9, block);
	assert_int_equal(sim_port_offline_frames(&sim), 512);
	for (aero_frame frame = block; frame < block + 512; frame++) {
		sim.port.set_offline(&sim, 0, &frame, 1, false);
		sim.port.free(&sim, 0, &frame, 1);
	}
	end(&sim);
}

static void test_free_without_split_takes_parts(void **state)
{
	struct sim_port_config config = { .without = SIM_PORT_SPLIT };
	struct sim_port sim;
	aero_frame block;

	(void)state;
	sim_port_init(&sim, &config);
	block = lend_one(&sim, 9);
	for (aero_frame frame = block; frame < block + 512; frame++)
		sim.port.free(&sim, 0, &frame, 1);
	end(&sim);
}

static void test_adjust_managed_changes_managed_frames(void **state)
{
	struct sim_port_config config = { 0 };
	struct sim_port sim;
	aero_frame block;

	(void)state;
	sim_port_init(&sim, &config);
	block = lend_one(&sim, 9);
	sim.port.adjust_managed(&sim, 9, &block, 1, true);
	assert_int_equal(sim.port.managed_frames(&sim), 16384 - 512);
	sim.port.adjust_managed(&sim, 9, &block, 1, false);
	assert_int_equal(sim.port.managed_frames(&sim), 16384);
	sim.port.free(&sim, 9, &block, 1);
	end(&sim);
}

static void test_alloc_spare_fails_before_reclaim(void **state)
{
	struct sim_port_config config = { .frames = 64 };
	struct sim_port sim;
	aero_frame frames[64];
	size_t count;

	(void)state;
	sim_port_init(&sim, &config);
	sim.spare_floor = 16;
	sim.reclaim_floor = 4;
	count = sim.port.alloc(&sim, 0, AERO_EFFORT_SPARE, frames, 64);
	assert_int_equal(count, 48);
	count += sim.port.alloc(&sim, 0, AERO_EFFORT_RECLAIM, frames + count, 64 - count);
	assert_int_equal(count, 60);
	assert_int_equal(sim.port.alloc(&sim, 0, AERO_EFFORT_RECLAIM, frames + count, 1), 0);
	sim.port.free(&sim, 0, frames, count);
	end(&sim);
}

static void test_alloc_most_answers_fewer(void **state)
{
	struct sim_port_config config = { 0 };
	struct sim_port sim;
	aero_frame frames[16];

	(void)state;
	sim_port_init(&sim, &config);
	sim.alloc_most = 3;
	assert_int_equal(sim.port.alloc(&sim, 0, AERO_EFFORT_SPARE, frames, 16), 3);
	assert_int_equal(sim.counters.short_allocs, 1);
	sim.port.free(&sim, 0, frames, 3);
	end(&sim);
}

static void test_fail_nth_call_once_and_from_then_on(void **state)
{
	struct sim_port_config config = { 0 };
	struct sim_port sim;
	aero_frame frame;
	void *page;

	(void)state;
	sim_port_init(&sim, &config);
	sim_port_fail(&sim, SIM_PORT_ALLOC, 1, false);
	assert_int_equal(sim.port.alloc(&sim, 0, AERO_EFFORT_SPARE, &frame, 1), 0);
	assert_int_equal(sim.port.alloc(&sim, 0, AERO_EFFORT_SPARE, &frame, 1), 1);
	assert_int_equal(sim.counters.failures, 1);
	sim_port_fail(&sim, SIM_PORT_PAGE_GET, 2, true);
	page = sim.port.page_get(&sim);
	assert_non_null(page);
	assert_null(sim.port.page_get(&sim));
	assert_null(sim.port.page_get(&sim));
	assert_int_equal(sim.counters.failures, 2);
	sim.port.page_put(&sim, page);
	sim.port.free(&sim, 0, &frame, 1);
	end(&sim);
}

static void test_fragment_leaves_no_block_whole(void **state)
{
	struct sim_port_config config = { .frames = SIM_PORT_GIB(1) };
	struct sim_port sim;
	aero_frame frame;

	(void)state;
	sim_port_init(&sim, &config);
	sim_port_fragment(&sim, 1000);
	assert_int_equal(sim.port.alloc(&sim, 9, AERO_EFFORT_RECLAIM, &frame, 1), 0);
	assert_int_equal(sim_port_free_frames(&sim), SIM_PORT_GIB(1) - 512);
	sim_port_unpin(&sim, 1);
	frame = lend_one(&sim, 9);
	sim.port.free(&sim, 9, &frame, 1);
	sim_port_unpin_all(&sim);
	assert_int_equal(sim_port_free_frames(&sim), SIM_PORT_GIB(1));
	end(&sim);
}

static void test_pin_random_takes_free_frames(void **state)
{
	struct sim_port_config config = { .frames = 1000, .seed = 3 };
	struct sim_port sim;

	(void)state;
	sim_port_init(&sim, &config);
	assert_int_equal(sim_port_pin_random(&sim, 300), 300);
	assert_int_equal(sim_port_free_frames(&sim), 700);
	assert_int_equal(sim_port_pin_random(&sim, 5000), 700);
	assert_false(sim_port_pin(&sim, 0));
	assert_int_equal(sim_port_owner(&sim, 0), SIM_OWNER_KERNEL);
	sim_port_unpin_all(&sim);
	end(&sim);
}

static void test_pages_lie_in_their_arena(void **state)
{
	struct sim_port_config config = { .frames = 1024, .page_first = 512, .page_frames = 8 };
	struct sim_port sim;
	void *page[8];

	(void)state;
	sim_port_init(&sim, &config);
	assert_int_equal(sim_port_free_frames(&sim), 1016);
	for (unsigned int i = 0; i < 8; i++) {
		page[i] = sim.port.page_get(&sim);
		assert_int_equal(sim.port.page_frame(&sim, page[i]), 512 + i);
		assert_ptr_equal(sim_port_ram(&sim, 512 + i), page[i]);
		assert_int_equal(sim_port_owner(&sim, 512 + i), SIM_OWNER_PAGE);
	}
	assert_null(sim.port.page_get(&sim));
	assert_null(sim_port_ram(&sim, 520));
	for (unsigned int i = 0; i < 8; i++)
		sim.port.page_put(&sim, page[i]);
	end(&sim);
}

static void test_span_lies_side_by_side(void **state)
{
	struct sim_port_config config = { .page_first = 0x200000, .page_frames = 8 };
	struct sim_port sim;
	aero_gpa gpa = 0;
	void *page;
	void *span;

	(void)state;
	sim_port_init(&sim, &config);
	page = sim.port.page_get(&sim);
	span = sim_port_span_get(&sim, 3 * 4096 + 1, &gpa);
	assert_ptr_equal(span, sim_port_ram(&sim, 0x200001));
	assert_int_equal(gpa, 0x200001000);
	assert_null(sim_port_span_get(&sim, 4 * 4096, &gpa));
	/* The gap before it is too small for two, and is taken for one. */
	sim.port.page_put(&sim, page);
	assert_ptr_equal(sim_port_span_get(&sim, 8192, &gpa), sim_port_ram(&sim, 0x200005));
	assert_ptr_equal(sim.port.page_get(&sim), page);
	assert_null(sim_port_span_get(&sim, 0, &gpa));
	sim.port.page_put(&sim, page);
	sim_port_span_put(&sim, sim_port_ram(&sim, 0x200005), 8192);
	sim_port_fail(&sim, SIM_PORT_PAGE_GET, 1, false);
	assert_null(sim_port_span_get(&sim, 4096, &gpa));
	sim_port_span_put(&sim, span, 3 * 4096 + 1);
	assert_int_equal(sim.violations, 0);
	sim_port_span_put(&sim, span, 4096);
	assert_int_equal(sim.violations, 1);
	sim_port_fini(&sim);
}

static void test_migrate_used_frame_is_lent(void **state)
{
	struct sim_port_config config = { 0 };
	struct sim_port sim;
	aero_frame old;
	aero_frame new;

	(void)state;
	sim_port_init(&sim, &config);
	old = lend_one(&sim, 0);
	sim.port.set_offline(&sim, 0, &old, 1, true);
	assert_true(sim_port_migrate_begin(&sim, 0, old, &new));
	assert_int_not_equal(old, new);
	sim.port.set_offline(&sim, 0, &new, 1, true);
	sim.port.set_offline(&sim, 0, &old, 1, false);
	sim_port_migrate_end(&sim, new, true, true);
	assert_int_equal(sim_port_owner(&sim, old), SIM_OWNER_FREE);
	assert_int_equal(sim_port_owner(&sim, new), SIM_OWNER_LENT);
	sim.port.set_offline(&sim, 0, &new, 1, false);
	sim.port.free(&sim, 0, &new, 1);
	end(&sim);
}

static void test_migrate_that_fails_keeps_the_old_frame(void **state)
{
	struct sim_port_config config = { .orders = 1u | 1u << 9 };
	struct sim_port sim;
	aero_frame old;
	aero_frame new;

	(void)state;
	sim_port_init(&sim, &config);
	old = lend_one(&sim, 9);
	assert_true(sim_port_migrate_begin(&sim, 9, old, &new));
	sim_port_migrate_end(&sim, new, false, false);
	assert_int_equal(sim_port_owner(&sim, old), SIM_OWNER_LENT);
	assert_int_equal(sim_port_owner(&sim, new), SIM_OWNER_FREE);
	assert_true(sim_port_migrate_begin(&sim, 9, old, &new));
	sim_port_migrate_end(&sim, new, true, false);
	assert_int_equal(sim_port_lent_frames(&sim), 0);
	end(&sim);
}

struct guest {
	struct sim_port sim;
	aero_frame held;
	bool is_held;
	unsigned int calls;
};

/* A reclaim within an allocation: a frame that was held comes back just in time. */
static void reclaim(void *ctx, enum sim_port_call call)
{
	struct guest *guest = ctx;

	guest->calls |= call;
	if (call != SIM_PORT_ALLOC || !guest->is_held)
		return;
	guest->is_held = false;
	guest->sim.port.free(&guest->sim, 0, &guest->held, 1);
}

static void test_during_may_call_the_port(void **state)
{
	struct sim_port_config config = { .frames = 1, .orders = 1 };
	struct guest guest = { .is_held = true };

	(void)state;
	sim_port_init(&guest.sim, &config);
	guest.held = lend_one(&guest.sim, 0);
	guest.sim.during = reclaim;
	guest.sim.during_ctx = &guest;
	assert_int_equal(lend_one(&guest.sim, 0), guest.held);
	assert_int_equal(guest.calls, SIM_PORT_ALLOC | SIM_PORT_FREE);
	guest.sim.port.log(&guest.sim, AERO_LOG_INFO, "a line");
	assert_int_equal(guest.calls, SIM_PORT_ALLOC | SIM_PORT_FREE | SIM_PORT_LOG);
	assert_string_equal(guest.sim.last_log, "a line");
	guest.sim.port.free(&guest.sim, 0, &guest.held, 1);
	end(&guest.sim);
}

static void test_counters_of_a_short_life(void **state)
{
	struct sim_port_config config = { .frames = 1024 };
	struct sim_port sim;
	aero_frame frames[1024];

	(void)state;
	sim_port_init(&sim, &config);
	sim.spare_floor = 100;
	assert_int_equal(sim.port.alloc(&sim, 0, AERO_EFFORT_RECLAIM, frames, 900), 900);
	assert_int_equal(sim.counters.sleeps, 0);
	assert_int_equal(sim.port.alloc(&sim, 0, AERO_EFFORT_RECLAIM, frames + 900, 100), 100);
	assert_int_equal(sim.counters.sleeps, 1);
	assert_int_equal(sim.counters.peak_lent_frames, 1000);
	assert_int_equal(sim.counters.allocs[0], 1000);
	sim.port.free(&sim, 0, frames, 1000);
	assert_int_equal(sim.counters.frees[0], 1000);
	assert_int_equal(sim.counters.alloc_calls, 2);
	assert_int_equal(sim.counters.free_calls, 1);
	sim.port.unlock(&sim, sim.port.lock(&sim));
	assert_int_equal(sim.counters.locks, 1);
	end(&sim);
}

static void test_memory_for_a_host(void **state)
{
	struct sim_port_config config = { .frames = 4096 };
	struct sim_port sim;
	const struct aero_host_memory *memory = &sim.memory;
	struct aero_range range = { 0, 1024 };
	uint64_t freed = 0;
	size_t len = 8192;
	aero_frame blocks[2];
	void *page;

	(void)state;
	sim_port_init(&sim, &config);
	page = sim.port.page_get(&sim);
	assert_ptr_equal(memory->translate(&sim, 4096ull << 12, &len, AERO_ACCESS_BOTH), page);
	assert_int_equal(len, 8192);
	assert_null(memory->translate(&sim, 0, &len, AERO_ACCESS_BOTH));
	assert_int_equal(memory->is_ram(&sim, range), 1024);
	range.first = 5000;
	assert_int_equal(memory->is_ram(&sim, range), 0);
	assert_int_equal(sim.port.alloc(&sim, 9, AERO_EFFORT_SPARE, blocks, 2), 2);
	range.first = 0;
	assert_int_equal(memory->discard(&sim, range, &freed), AERO_OK);
	assert_int_equal(freed, 4u << 20);
	assert_int_equal(sim.violations, 0);
	range.count++;
	assert_int_equal(memory->discard(&sim, range, &freed), AERO_OK);
	assert_string_equal(sim.violation, "the host discards a frame in use: 0x400");
	sim_port_fini(&sim);
}

/* Also that 1 TiB is no matter of gigabytes of books. */
static void test_alloc_of_1_tib_in_2m_blocks(void **state)
{
	struct sim_port_config config = { .frames = SIM_PORT_GIB(1024), .orders = 0x40201 };
	size_t count = (size_t)(config.frames >> 9);
	aero_frame *frames = malloc(count * sizeof(*frames));
	struct sim_port sim;
	size_t done = 0;

	(void)state;
	assert_non_null(frames);
	sim_port_init(&sim, &config);
	while (done < count) {
		size_t got = sim.port.alloc(&sim, 9, AERO_EFFORT_SPARE, frames + done,
					    count - done < 512 ? count - done : 512);

		assert_true(got > 0);
		done += got;
	}
	assert_int_equal(sim_port_free_frames(&sim), 0);
	assert_true(sim_port_bytes(&sim) < 6u << 20);
	if (sim_port_check(&sim))
		fail_msg("%s", sim_port_check(&sim));
	for (size_t i = 0; i < count; i += 512)
		sim.port.free(&sim, 9, frames + i, 512);
	assert_int_equal(sim.port.alloc(&sim, 18, AERO_EFFORT_SPARE, frames, 1025), 1024);
	sim.port.free(&sim, 18, frames, 1024);
	end(&sim);
	free(frames);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init_zeroed_config_has_every_member),
		cmocka_unit_test(test_init_without_members_leaves_them_null),
		cmocka_unit_test(test_alloc_ascending_answers_lowest_first),
		cmocka_unit_test(test_alloc_descending_answers_highest_first),
		cmocka_unit_test(test_alloc_shuffled_same_seed_same_frames),
		cmocka_unit_test(test_split_lets_frames_be_freed_one_by_one),
		cmocka_unit_test(test_free_without_split_takes_parts),
		cmocka_unit_test(test_adjust_managed_changes_managed_frames),
		cmocka_unit_test(test_alloc_spare_fails_before_reclaim),
		cmocka_unit_test(test_alloc_most_answers_fewer),
		cmocka_unit_test(test_fail_nth_call_once_and_from_then_on),
		cmocka_unit_test(test_fragment_leaves_no_block_whole),
		cmocka_unit_test(test_pin_random_takes_free_frames),
		cmocka_unit_test(test_pages_lie_in_their_arena),
		cmocka_unit_test(test_span_lies_side_by_side),
		cmocka_unit_test(test_migrate_used_frame_is_lent),
		cmocka_unit_test(test_migrate_that_fails_keeps_the_old_frame),
		cmocka_unit_test(test_during_may_call_the_port),
		cmocka_unit_test(test_counters_of_a_short_life),
		cmocka_unit_test(test_memory_for_a_host),
		cmocka_unit_test(test_alloc_of_1_tib_in_2m_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
