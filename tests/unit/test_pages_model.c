/* SPDX-License-Identifier: MIT */
/*
 * The page core against one byte per frame, over thousands of random operations of a driver and a
 * kernel: what is where, and what each counter says. AERO_TEST_SEED=N replays one.
 */
#include "test_pages_case.h"

#include "support/random.h"

#define FRAMES 16384u
#define SEEDS 16
#define STEPS 1500

enum where {
	OUTSIDE, /* the kernel's or held */
	JOINING,
	LENT,
	LEAVING,
	ISOLATED,
};

struct model {
	struct pages_case *c;
	struct test_random random;
	uint8_t where[FRAMES]; /* of each block, at its first frame */
	uint8_t order[FRAMES];
	struct aero_pages_counters counters[AERO_PAGES_SIZES];
	uint64_t lent_frames;
	enum aero_status answer; /* of the host, in an exchange */
};

static uint64_t below(struct model *m, uint64_t limit)
{
	return test_random_below(&m->random, limit);
}

static void set(struct model *m, unsigned int size, aero_frame frame, enum where where)
{
	assert_true(frame < FRAMES);
	m->where[frame] = (uint8_t)where;
	m->order[frame] = (uint8_t)m->c->pages.size[size].order;
}

static void begin_join(struct model *m, struct aero_pages_list *list)
{
	struct pages_case *c = m->c;
	unsigned int size = (unsigned int)below(m, c->pages.size_count);
	enum aero_effort effort = below(m, 2) ? AERO_EFFORT_SPARE : AERO_EFFORT_RECLAIM;

	if (!aero_pages_alloc(&c->pages, list, size, effort, 1 + (uint32_t)below(m, 90)))
		return;
	assert_int_equal(aero_pages_join(&c->pages, list), AERO_OK);
	for (uint32_t i = 0; i < list->count; i++) {
		assert_int_equal(m->where[list->frames[i]], OUTSIDE);
		set(m, size, list->frames[i], JOINING);
	}
}

static void begin_leave(struct model *m, struct aero_pages_list *list)
{
	struct pages_case *c = m->c;
	unsigned int size = (unsigned int)below(m, c->pages.size_count);

	if (below(m, 2))
		aero_pages_rewind(&c->pages);
	aero_pages_leave(&c->pages, list, size, 1 + (uint32_t)below(m, 200));
	for (uint32_t i = 0; i < list->count; i++) {
		assert_int_equal(m->where[list->frames[i]], LENT);
		assert_int_equal(m->order[list->frames[i]], c->pages.size[size].order);
		set(m, size, list->frames[i], LEAVING);
	}
}

static void answer(struct model *m, struct aero_pages_list *list)
{
	bool is_joining = list->move == AERO_PAGES_JOINING;
	uint64_t one = 1ull << m->c->pages.size[list->size].order;
	unsigned int of = (unsigned int)below(m, 4); /* refuse all, a half, a third, none */
	uint32_t count = list->count, accepted = 0;

	for (uint32_t i = 0; i < count; i++) {
		bool is_refused = of < 3 && !below(m, of + 1);

		if (is_refused)
			aero_pages_refuse(list, i);
		else
			accepted++;
		set(m, list->size, list->frames[i], is_joining == is_refused ? OUTSIDE : LENT);
	}
	if (is_joining) {
		assert_int_equal(aero_pages_joined(&m->c->pages, list), accepted);
		assert_int_equal(list->count, count - accepted);
		m->counters[list->size].inflated += accepted;
		m->lent_frames += accepted * one;
	} else {
		assert_int_equal(aero_pages_left(&m->c->pages, list), accepted);
		assert_int_equal(list->count, accepted);
		m->counters[list->size].deflated += accepted;
		m->lent_frames -= accepted * one;
	}
	aero_pages_free(&m->c->pages, list);
}

/* A block of the model in some state, from a random place on. */
static bool find(struct model *m, enum where where, aero_frame *out)
{
	aero_frame start = below(m, FRAMES);

	for (aero_frame i = 0; i < FRAMES; i++) {
		*out = (start + i) % FRAMES;
		if (m->where[*out] == where)
			return true;
	}
	return false;
}

static void isolate(struct model *m)
{
	aero_frame frame;
	enum where where = (enum where)below(m, ISOLATED + 1);

	if (!find(m, where, &frame))
		return;
	assert_int_equal(aero_pages_isolate(&m->c->pages, m->order[frame], frame), where == LENT);
	if (where == LENT)
		m->where[frame] = ISOLATED;
}

static void putback(struct model *m)
{
	aero_frame frame;
	enum where where = (enum where)below(m, ISOLATED + 1);

	if (!find(m, where, &frame))
		return;
	aero_pages_putback(&m->c->pages, m->order[frame], frame);
	if (where == ISOLATED)
		m->where[frame] = LENT;
}

static enum aero_status exchange(void *ctx, unsigned int order, aero_frame new_frame,
				 aero_frame old_frame)
{
	struct model *m = ctx;

	assert_int_equal(m->order[old_frame], order);
	assert_int_equal(m->where[new_frame], OUTSIDE);
	return m->answer;
}

static void migrate(struct model *m)
{
	static const enum aero_status answers[] = { AERO_OK, AERO_OK, AERO_ENOENT, AERO_EAGAIN,
						    AERO_EREFUSED };
	struct sim_port *sim = &m->c->sim;
	aero_frame old_frame, new_frame;
	unsigned int order, size = 0;
	enum aero_status status;

	if (!find(m, ISOLATED, &old_frame))
		return;
	order = m->order[old_frame];
	if (!sim_port_migrate_begin(sim, order, old_frame, &new_frame))
		return;
	while (m->c->pages.size[size].order != order)
		size++;
	m->answer = answers[below(m, TEST_ARRAY_SIZE(answers))];
	status = aero_pages_migrate(&m->c->pages, order, new_frame, old_frame, exchange, m);
	assert_int_equal(status, m->answer == AERO_ENOENT ? AERO_OK : m->answer);
	sim_port_migrate_end(sim, new_frame, !status, m->answer == AERO_OK);
	if (status)
		return;
	set(m, size, old_frame, OUTSIDE);
	if (m->answer == AERO_OK) {
		set(m, size, new_frame, LENT);
		m->counters[size].migrated++;
	} else {
		m->counters[size].deflated++;
		m->lent_frames -= 1ull << order;
	}
}

static void step(struct model *m)
{
	struct aero_pages_list *list = &m->c->list[below(m, LISTS)];

	switch (below(m, 6)) {
	case 0:
	case 1:
		if (list->move == AERO_PAGES_RESTING)
			begin_join(m, list);
		else
			answer(m, list);
		break;
	case 2:
		if (list->move == AERO_PAGES_RESTING)
			begin_leave(m, list);
		else
			answer(m, list);
		break;
	case 3:
		isolate(m);
		break;
	case 4:
		putback(m);
		break;
	default:
		migrate(m);
	}
}

static void compare(const struct model *m)
{
	struct aero_pages *pages = &m->c->pages;

	check_pages(m->c);
	assert_int_equal(aero_pages_frames(pages), m->lent_frames);
	for (unsigned int i = 0; i < pages->size_count; i++)
		assert_counters(m->c, i, m->counters[i].inflated, m->counters[i].deflated,
				m->counters[i].migrated);
}

static void compare_frames(const struct model *m)
{
	struct aero_pages *pages = &m->c->pages;

	for (aero_frame frame = 0; frame < FRAMES; frame++) {
		struct aero_range one = { frame >> m->order[frame], 1 };
		unsigned int size = 0;

		if (m->where[frame] == OUTSIDE)
			continue;
		while (pages->size[size].order != m->order[frame])
			size++;
		assert_true(aero_pages_has(pages, m->order[frame], frame));
		assert_int_equal(aero_frame_set_count_in(&pages->size[size].isolated, one),
				 m->where[frame] == ISOLATED);
	}
}

static void finish(struct model *m)
{
	aero_frame frame;

	for (unsigned int i = 0; i < LISTS; i++)
		if (m->c->list[i].move != AERO_PAGES_RESTING)
			answer(m, &m->c->list[i]);
	while (find(m, ISOLATED, &frame)) {
		aero_pages_putback(&m->c->pages, m->order[frame], frame);
		m->where[frame] = LENT;
	}
	compare(m);
}

static void run(uint64_t seed, const struct pages_options *options)
{
	struct model *m = calloc(1, sizeof(*m));
	void *own = (void *)(uintptr_t)options;

	assert_non_null(m);
	pages_open(&own);
	m->c = own;
	m->random.state = seed;
	for (unsigned int i = 0; i < STEPS; i++) {
		step(m);
		compare(m);
		if (i % 64 == 0)
			compare_frames(m);
	}
	compare_frames(m);
	finish(m);
	/* Counters drift by nothing: what came is what went and what is there. */
	pages_close(&own);
	free(m);
}

static void test_random_operations_agree_with_a_model(void **state)
{
	static const uint32_t orders[] = { ORDER(0), ORDER(0) | ORDER(9),
					   ORDER(0) | ORDER(1) | ORDER(4) | ORDER(9) };
	uint64_t seed;

	(void)state;
	for (uint64_t n = 1; test_random_seed(n, SEEDS, &seed); n++) {
		struct pages_options options = {
			.sim = { .frames = FRAMES,
				 .orders = orders[seed % TEST_ARRAY_SIZE(orders)],
				 .order = (enum sim_order)(seed % 3),
				 .seed = seed,
				 .without = seed % 5 ? 0 : SIM_PORT_LOCK | SIM_PORT_SET_OFFLINE },
		};

		print_message("# AERO_TEST_SEED=%llu\n", (unsigned long long)seed);
		run(seed, &options);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_operations_agree_with_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
