/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "port/broken_ports.h"
#include "port/conformance.h"

#define ROOM 8192

/* What the suite said. */
struct verdict {
	const struct sim_port *sim;
	unsigned int runs;
	unsigned int skipped;
	const char *check; /* the first that failed */
	const char *wrong;
};

static void note(void *ctx, const char *name, const char *wrong)
{
	struct verdict *verdict = ctx;

	verdict->runs++;
	if (wrong == port_conformance_skipped) {
		verdict->skipped++;
	} else if (wrong && !verdict->check) {
		verdict->check = name;
		verdict->wrong = wrong;
	}
}

static uint64_t count_sleeps(void *ctx)
{
	const struct verdict *verdict = ctx;

	return verdict->sim->counters.sleeps;
}

static unsigned int run(const struct aero_port *port, const struct sim_port *sim,
			struct verdict *verdict, uint32_t may_lack)
{
	static aero_frame scratch[ROOM];
	struct port_conformance suite = {
		.port = port,
		.scratch = scratch,
		.room = ROOM,
		.frame_end = sim->config.frames,
		.may_lack = may_lack,
		.sleeps = count_sleeps,
		.print = note,
		.ctx = verdict,
	};

	memset(verdict, 0, sizeof(*verdict));
	verdict->sim = sim;
	return port_conformance_run(&suite);
}

/* Passes the suite, and breaks no rule while it does. */
static void pass(struct sim_port *sim, unsigned int skipped, uint32_t may_lack)
{
	struct verdict verdict;
	unsigned int failed = run(&sim->port, sim, &verdict, may_lack);
	const char *wrong = sim_port_check_empty(sim);

	if (verdict.check)
		fail_msg("%s: %s", verdict.check, verdict.wrong);
	if (wrong)
		fail_msg("the suite itself: %s", wrong);
	assert_int_equal(failed, 0);
	assert_int_equal(verdict.runs, port_check_count);
	assert_int_equal(verdict.skipped, skipped);
	sim_port_fini(sim);
}

static void pass_config(const struct sim_port_config *config, unsigned int skipped)
{
	struct sim_port sim;

	sim_port_init(&sim, config);
	pass(&sim, skipped, 0);
}

static void test_sim_of_64_mib_passes(void **state)
{
	struct sim_port_config config = { 0 };

	(void)state;
	pass_config(&config, 0);
}

static void test_sim_in_any_order_passes(void **state)
{
	struct sim_port_config config = { .frames = 6000, .seed = 11 };

	(void)state;
	config.order = SIM_DESCENDING;
	pass_config(&config, 0);
	config.order = SIM_SHUFFLED;
	pass_config(&config, 0);
}

static void test_sim_with_many_orders_passes(void **state)
{
	struct sim_port_config config = { .frames = SIM_PORT_GIB(1), .orders = 0x7ffff };

	(void)state;
	pass_config(&config, 0);
}

static void test_sim_with_single_frames_only_passes(void **state)
{
	struct sim_port_config config = { .frames = 4096, .orders = 1 };

	(void)state;
	/* There is nothing to split. */
	pass_config(&config, 1);
}

static void test_sim_with_pages_of_64_kib_passes(void **state)
{
	struct sim_port_config config = { .frames = 16384, .orders = 0x210 };

	(void)state;
	pass_config(&config, 0);
}

static void test_sim_without_optional_members_passes(void **state)
{
	struct sim_port_config config = {
		.frames = 4096,
		.without = SIM_PORT_SPLIT | SIM_PORT_SET_OFFLINE | SIM_PORT_ADJUST_MANAGED |
			   SIM_PORT_LOCK | SIM_PORT_LOG,
	};

	(void)state;
	/* Offline, lock, log. */
	pass_config(&config, 3);
}

static void test_sim_of_1_tib_passes(void **state)
{
	struct sim_port_config config = { .frames = SIM_PORT_GIB(1024), .orders = 0x40201 };

	(void)state;
	pass_config(&config, 0);
}

static void test_sim_with_pages_inside_passes(void **state)
{
	struct sim_port_config config = { .frames = 8192, .page_first = 1000, .page_frames = 48 };

	(void)state;
	pass_config(&config, 0);
}

static void test_sim_fragmented_passes(void **state)
{
	struct sim_port_config config = { .frames = 16384, .seed = 5 };
	struct sim_port sim;

	(void)state;
	sim_port_init(&sim, &config);
	sim_port_fragment(&sim, 1000);
	sim.alloc_most = 7;
	/* No block of 2 MiB: so there is no block to split. */
	pass(&sim, 1, 1u << 9);
}

static void test_right_double_passes(void **state)
{
	struct broken_port broken;
	struct verdict verdict;

	(void)state;
	broken_port_init(&broken, NULL);
	assert_int_equal(run(&broken.port, &broken.sim, &verdict, 0), 0);
	assert_int_equal(verdict.skipped, 0);
	broken_port_fini(&broken);
}

static void test_each_defect_is_found_by_its_check(void **state)
{
	struct broken_port broken;
	struct verdict verdict;

	(void)state;
	for (size_t i = 0; i < defect_count; i++) {
		broken_port_init(&broken, &defects[i]);
		run(&broken.port, &broken.sim, &verdict, 0);
		if (!verdict.check)
			fail_msg("not found: %s", defects[i].name);
		print_message("%s: %s: %s\n", defects[i].name, verdict.check, verdict.wrong);
		assert_string_equal(verdict.check, defects[i].check);
		broken_port_fini(&broken);
	}
}

/* A check that no defect needs checks nothing that we know of. */
static void test_each_check_finds_a_defect(void **state)
{
	(void)state;
	for (size_t i = 0; i < port_check_count; i++) {
		const char *name = port_checks[i].name;
		size_t j = 0;

		/* These can only hang or crash. */
		if (!strcmp(name, "lock: pairs") || !strcmp(name, "log: any text"))
			continue;
		while (j < defect_count && strcmp(defects[j].check, name))
			j++;
		if (j == defect_count)
			fail_msg("no defect for the check '%s'", name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sim_of_64_mib_passes),
		cmocka_unit_test(test_sim_in_any_order_passes),
		cmocka_unit_test(test_sim_with_many_orders_passes),
		cmocka_unit_test(test_sim_with_single_frames_only_passes),
		cmocka_unit_test(test_sim_with_pages_of_64_kib_passes),
		cmocka_unit_test(test_sim_without_optional_members_passes),
		cmocka_unit_test(test_sim_of_1_tib_passes),
		cmocka_unit_test(test_sim_with_pages_inside_passes),
		cmocka_unit_test(test_sim_fragmented_passes),
		cmocka_unit_test(test_right_double_passes),
		cmocka_unit_test(test_each_defect_is_found_by_its_check),
		cmocka_unit_test(test_each_check_finds_a_defect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
