/* SPDX-License-Identifier: MIT */
/*
 * Random schedules of everything a ledger can be asked, against one byte per frame.
 * AERO_TEST_SEED=N replays one.
 */
#include "test_ledger_rig.h"

#include <aerostat/ranges.h>

#include "support/random.h"

#define FRAMES 6000
#define STEPS 1200
#define SEEDS 5

#define HELD 1
#define PENDING 2
#define RETURNED 4

struct model {
	struct ledger_rig rig;
	struct test_random random;
	struct aero_ledger_counters want;
	uint8_t state[FRAMES];
	uint64_t seed;
	unsigned int step;
};

static bool is_ram(const struct model *m, aero_frame frame)
{
	return frame < FRAMES && m->rig.host.state[frame] & HOST_DOUBLE_RAM;
}

static uint64_t count(const struct model *m, uint8_t bit)
{
	uint64_t n = 0;

	for (size_t i = 0; i < FRAMES; i++)
		n += (m->state[i] & bit) != 0;
	return n;
}

static void after_discard(void *ctx, struct aero_range r)
{
	struct model *m = ctx;

	m->want.discards++;
	m->want.discard_asked_bytes += r.count * 4096;
	m->want.discard_freed_bytes += r.count * 4096;
	for (aero_frame frame = r.first; frame < r.first + r.count; frame++)
		m->state[frame] &= (uint8_t)~PENDING;
}

static void model_give_frame(struct model *m, aero_frame frame)
{
	if (!is_ram(m, frame)) {
		m->want.out_of_range++;
	} else if (m->state[frame] & HELD) {
		m->want.given_twice++;
	} else {
		m->want.given++;
		m->state[frame] = HELD | PENDING;
	}
}

static enum aero_status model_give(struct model *m, struct aero_range r)
{
	struct aero_ledger_counters before = m->want;

	m->want.runs++;
	for (aero_frame frame = r.first; frame < r.first + r.count; frame++)
		model_give_frame(m, frame);
	if (m->want.out_of_range != before.out_of_range)
		return AERO_ERANGE;
	return m->want.given_twice != before.given_twice ? AERO_EDUP : AERO_OK;
}

static void model_take_frame(struct model *m, aero_frame frame)
{
	uint8_t state = m->state[frame];

	if (state & HELD) {
		m->want.returned++;
		m->want.cancelled += (state & PENDING) != 0;
		m->state[frame] = RETURNED;
	} else if (state & RETURNED) {
		m->want.returned_twice++;
	} else {
		m->want.never_given++;
	}
}

static bool is_take_answer_right(const struct model *m, const struct aero_ledger_counters *before,
				 enum aero_status status)
{
	bool is_outside = m->want.out_of_range != before->out_of_range;
	bool is_twice = m->want.returned_twice != before->returned_twice;
	bool is_never = m->want.never_given != before->never_given;

	if (is_outside)
		return status == AERO_ERANGE;
	if (!is_twice && !is_never)
		return status == AERO_OK;
	/* Where both are true of a range, either may be told. */
	return (is_twice && status == AERO_EDUP) || (is_never && status == AERO_ENOENT);
}

static struct aero_range pick(struct model *m)
{
	static const uint64_t sizes[] = { 1, 1, 3, 64, 256, 512, 1500 };
	uint64_t size = sizes[test_random_below(&m->random, TEST_ARRAY_SIZE(sizes))];

	return range(test_random_below(&m->random, FRAMES + 300),
		     1 + test_random_below(&m->random, size));
}

static void give(struct model *m)
{
	struct aero_range r = pick(m);

	assert_int_equal(rig_give(&m->rig, r.first, r.count), model_give(m, r));
}

/* As a request names them: runs either way, frames alone, some of them twice. */
static size_t pick_frames(struct model *m, uint32_t *frames, size_t room)
{
	size_t count = 0;

	while (count < room) {
		struct aero_range r = pick(m);
		bool is_falling = test_random_below(&m->random, 2);

		r.count = test_random_below(&m->random, 3) ? 1 : r.count % 100 + 1;
		for (uint64_t i = 0; i < r.count && count < room; i++)
			frames[count++] =
				(uint32_t)(is_falling ? r.first + r.count - 1 - i : r.first + i);
	}
	return count;
}

static void give_frames(struct model *m)
{
	uint32_t frames[300];
	size_t count = pick_frames(m, frames, 1 + test_random_below(&m->random, 300));
	struct aero_range run;

	for (size_t i = 0; i < count; i++) {
		host_double_set(&m->rig.host, range(frames[i], 1), HOST_DOUBLE_MAY);
		model_give_frame(m, frames[i]);
	}
	for (size_t at = 0; at < count; m->want.runs++)
		at += aero_ranges_scan(frames + at, count - at, &run);
	aero_ledger_give_frames(&m->rig.ledger, frames, count, RIG_NOW);
}

static void take(struct model *m)
{
	struct aero_ledger_counters before = m->want;
	struct aero_range r = pick(m);

	for (aero_frame frame = r.first; frame < r.first + r.count; frame++) {
		if (is_ram(m, frame))
			model_take_frame(m, frame);
		else
			m->want.out_of_range++;
	}
	assert_true(is_take_answer_right(m, &before, rig_take(&m->rig, r.first, r.count)));
}

static void drop(struct model *m)
{
	m->want.dropped += count(m, PENDING);
	for (size_t i = 0; i < FRAMES; i++)
		m->state[i] &= (uint8_t)~PENDING;
	aero_ledger_drop_rest(&m->rig.ledger);
}

static void reset(struct model *m)
{
	memset(m->state, 0, sizeof(m->state));
	host_double_clear(&m->rig.host, range(0, FRAMES), HOST_DOUBLE_MAY);
	aero_ledger_reset(&m->rig.ledger);
}

/* All that can be discarded is, and what stays pending is less than a backing page of a run. */
static void discard_all(struct model *m)
{
	unsigned int order = m->rig.host.memory.backing.discard_order;

	rig_discard_whole(&m->rig);
	rig_discard_rest(&m->rig);
	if (!order)
		assert_int_equal(count(m, PENDING), 0);
	for (aero_frame page = 0; page + (1u << order) <= FRAMES; page += 1u << order) {
		unsigned int held = 0;
		unsigned int pending = 0;

		for (aero_frame frame = page; frame < page + (1u << order); frame++) {
			held += (m->state[frame] & HELD) != 0;
			pending += (m->state[frame] & PENDING) != 0;
		}
		if (m->rig.ledger.mode == AERO_DISCARD_COLLECT && held == 1u << order)
			assert_int_equal(pending, 0);
	}
}

static void act(struct model *m)
{
	uint64_t choice = test_random_below(&m->random, 100);

	/* Every other seed seldom takes: what is pending grows, little is known as returned. */
	if (m->seed % 2 && choice >= 45 && choice < 74)
		choice = 90;

	if (choice < 25)
		give(m);
	else if (choice < 45)
		give_frames(m);
	else if (choice < 75)
		take(m);
	else if (choice < 88)
		(void)aero_ledger_discard_whole(&m->rig.ledger);
	else if (choice < 94)
		(void)aero_ledger_discard_rest(&m->rig.ledger);
	else if (choice < 97)
		discard_all(m);
	else if (choice < 98)
		aero_ledger_memory_changed(&m->rig.ledger);
	else if (choice < 99)
		drop(m);
	else if (test_random_below(&m->random, 10) == 0)
		reset(m);
}

static void check(struct model *m)
{
	struct aero_ledger_counters got = m->rig.ledger.counters;

	/* How blocks are counted is in test_ledger_blocks.c. */
	got.blocks_whole = 0;
	got.blocks_split = 0;
	assert_string_equal(m->rig.host.violation, "");
	assert_memory_equal(&got, &m->want, sizeof(got));
	assert_int_equal(aero_ledger_held(&m->rig.ledger), count(m, HELD));
	assert_int_equal(aero_ledger_pending(&m->rig.ledger), count(m, PENDING));
	assert_int_equal(aero_ledger_validate(&m->rig.ledger), AERO_OK);
}

static void run_seed(const struct ledger_setting *setting, uint64_t seed)
{
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	print_message("# seed %llu\n", (unsigned long long)seed);
	m->seed = seed;
	m->random.state = seed;
	rig_open(&m->rig, setting->backing, FRAMES);
	m->rig.host.after = after_discard;
	m->rig.host.ctx = m;
	aero_ledger_set_mode(&m->rig.ledger, setting->mode);
	/* Two holes, one of them in a block and one across two. */
	host_double_clear(&m->rig.host, range(700, 5), HOST_DOUBLE_RAM);
	host_double_clear(&m->rig.host, range(2040, 700), HOST_DOUBLE_RAM);
	for (m->step = 0; m->step < STEPS; m->step++) {
		act(m);
		check(m);
	}
	rig_close(&m->rig);
	free(m);
}

static void test_random_schedule_agrees_with_model(void **state)
{
	uint64_t seed;

	for (uint64_t n = 1; test_random_seed(n, SEEDS, &seed); n++)
		run_seed(*state, seed);
}

int main(void)
{
	static struct ledger_setting settings[] = {
		{ { 0, 0 }, AERO_DISCARD_COLLECT },  { { 4, 4 }, AERO_DISCARD_COLLECT },
		{ { 0, 9 }, AERO_DISCARD_COLLECT },  { { 9, 9 }, AERO_DISCARD_COLLECT },
		{ { 0, 10 }, AERO_DISCARD_COLLECT }, { { 10, 10 }, AERO_DISCARD_COLLECT },
		{ { 0, 9 }, AERO_DISCARD_REQUEST },  { { 4, 4 }, AERO_DISCARD_REQUEST },
	};
#define CASE(i) cmocka_unit_test_prestate(test_random_schedule_agrees_with_model, &settings[i])
	const struct CMUnitTest tests[] = {
		CASE(0), CASE(1), CASE(2), CASE(3), CASE(4), CASE(5), CASE(6), CASE(7),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
