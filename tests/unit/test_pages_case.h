/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_UNIT_TEST_PAGES_CASE_H
#define AEROSTAT_TESTS_UNIT_TEST_PAGES_CASE_H

/* Cases of the page core: each gets a simulated kernel and a core of its own, as *state says. */

#include "support/test.h"

#include <aerostat/guest/pages.h>

#include "ports/sim/sim_port.h"

#define ORDER(n) (1u << (n))
#define LISTS 4

struct pages_options {
	struct sim_port_config sim;
	uint32_t orders; /* 0: all of the kernel's */
};

struct pages_case {
	struct sim_port sim;
	struct aero_pages pages;
	struct aero_pages_list list[LISTS];
	aero_frame frames[LISTS][AERO_PAGES_LIST_MAX];
	unsigned int seen; /* whatever a callback counts */
};

/* All that must hold between two calls of the core. Marks are of what was accepted and not left. */
static inline void check_pages(struct pages_case *c)
{
	const char *wrong = sim_port_check(&c->sim);

	if (wrong)
		fail_msg("%s", wrong);
	assert_int_equal(aero_pages_validate(&c->pages), AERO_OK);
	if (c->sim.port.set_offline)
		assert_int_equal(sim_port_offline_frames(&c->sim), aero_pages_frames(&c->pages));
	if (c->sim.port.adjust_managed)
		assert_int_equal(sim_port_taken_frames(&c->sim), aero_pages_frames(&c->pages));
}

static inline int pages_open(void **state)
{
	static const struct pages_options none;
	const struct pages_options *options = *state ? *state : &none;
	struct pages_case *c = calloc(1, sizeof(*c));
	uint32_t orders;

	assert_non_null(c);
	sim_port_init(&c->sim, &options->sim);
	orders = options->orders ? options->orders : c->sim.port.orders;
	assert_int_equal(aero_pages_init(&c->pages, &c->sim.port, orders), AERO_OK);
	for (unsigned int i = 0; i < LISTS; i++)
		aero_pages_list_init(&c->list[i], c->frames[i]);
	*state = c;
	return 0;
}

/* A test that has not emptied the balloon itself has it emptied; nothing may be left then. */
static inline int pages_close(void **state)
{
	struct pages_case *c = *state;
	const char *wrong;

	check_pages(c);
	for (unsigned int i = 0; i < LISTS; i++) {
		assert_int_equal(c->list[i].move, AERO_PAGES_RESTING);
		aero_pages_free(&c->pages, &c->list[i]);
	}
	for (unsigned int i = 0; i < c->pages.size_count; i++)
		while (aero_pages_dequeue(&c->pages, &c->list[0], i, AERO_PAGES_LIST_MAX))
			aero_pages_free(&c->pages, &c->list[0]);
	check_pages(c);
	assert_int_equal(aero_pages_frames(&c->pages), 0);
	for (unsigned int i = 0; i < c->pages.size_count; i++) {
		const struct aero_pages_counters *counters = &c->pages.size[i].counters;

		assert_int_equal(counters->inflated, counters->deflated);
	}
	aero_pages_fini(&c->pages);
	wrong = sim_port_check_empty(&c->sim);
	if (wrong)
		fail_msg("%s", wrong);
	sim_port_fini(&c->sim);
	free(c);
	return 0;
}

/* options may be NULL: 64 MiB, orders 0 and 9, ascending, all members. */
#define CASE(f, options) \
	cmocka_unit_test_prestate_setup_teardown(f, pages_open, pages_close, (void *)(options))

/* Fills a list with count blocks, ascending where the kernel is. */
static inline void take(struct pages_case *c, struct aero_pages_list *list, unsigned int size,
			uint32_t count)
{
	assert_int_equal(aero_pages_alloc(&c->pages, list, size, AERO_EFFORT_RECLAIM, count),
			 count);
	assert_int_equal(list->count, count);
}

/* Puts count blocks into the balloon. */
static inline void put_in(struct pages_case *c, unsigned int size, uint32_t count)
{
	struct aero_pages_list *list = &c->list[LISTS - 1];

	while (count) {
		uint32_t part = count < AERO_PAGES_LIST_MAX ? count : AERO_PAGES_LIST_MAX;

		take(c, list, size, part);
		assert_int_equal(aero_pages_enqueue(&c->pages, list), AERO_OK);
		count -= part;
	}
	check_pages(c);
}

static inline void assert_counters(const struct pages_case *c, unsigned int size, uint64_t inflated,
				   uint64_t deflated, uint64_t migrated)
{
	const struct aero_pages_counters *counters = &c->pages.size[size].counters;

	assert_int_equal(counters->inflated, inflated);
	assert_int_equal(counters->deflated, deflated);
	assert_int_equal(counters->migrated, migrated);
}

#endif
