/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <aerostat/frame_set.h>
#include <aerostat/stream.h>

#include "support/frame_model.h"
#include "support/nodes.h"
#include "support/random.h"

#define TAPE_BYTES (1u << 20)

/* A stream in memory: written, then read from the start. */
struct tape {
	uint8_t bytes[TAPE_BYTES];
	size_t len;
	size_t at;
	/* Writing past this fails as a full disk does. */
	size_t room;
};

struct fixture {
	struct test_nodes nodes;
	struct aero_frame_set set;
	struct aero_frame_set copy;
	struct tape tape;
	struct aero_sink sink;
	struct aero_source source;
};

static enum aero_status write_tape(void *ctx, const void *buf, size_t len)
{
	struct tape *tape = ctx;

	if (len > tape->room - tape->len)
		return AERO_EIO;
	memcpy(tape->bytes + tape->len, buf, len);
	tape->len += len;
	return AERO_OK;
}

static enum aero_status read_tape(void *ctx, void *buf, size_t len)
{
	struct tape *tape = ctx;

	if (len > tape->len - tape->at)
		return AERO_EPROTO;
	memcpy(buf, tape->bytes + tape->at, len);
	tape->at += len;
	return AERO_OK;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	test_nodes_init(&f->nodes);
	aero_frame_set_init(&f->set, &f->nodes.source);
	aero_frame_set_init(&f->copy, &f->nodes.source);
	f->tape.room = TAPE_BYTES;
	f->sink.ctx = &f->tape;
	f->sink.write = write_tape;
	f->source.ctx = &f->tape;
	f->source.read = read_tape;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	aero_frame_set_fini(&f->set);
	aero_frame_set_fini(&f->copy);
	assert_int_equal(f->nodes.live, 0);
	free(f);
	return 0;
}

static void insert(struct aero_frame_set *set, aero_frame first, uint64_t count)
{
	struct aero_range range = { first, count };
	uint64_t added;

	assert_int_equal(aero_frame_set_insert(set, range, &added), AERO_OK);
}

static void put_number(struct tape *tape, uint64_t number)
{
	for (unsigned int i = 0; i < 8; i++)
		tape->bytes[tape->len++] = (uint8_t)(number >> (8 * i));
}

static void assert_same(const struct aero_frame_set *a, const struct aero_frame_set *b)
{
	struct aero_range in_a = { 0, 0 };
	struct aero_range in_b = { 0, 0 };

	assert_int_equal(aero_frame_set_validate(b), AERO_OK);
	assert_int_equal(aero_frame_set_count(a), aero_frame_set_count(b));
	while (aero_frame_set_next(a, in_a.first + in_a.count, UINT64_MAX, &in_a)) {
		assert_true(aero_frame_set_next(b, in_b.first + in_b.count, UINT64_MAX, &in_b));
		assert_int_equal(in_a.first, in_b.first);
		assert_int_equal(in_a.count, in_b.count);
	}
}

/* Save the set, restore the copy. */
static void round_trip(struct fixture *f)
{
	f->tape.len = 0;
	f->tape.at = 0;
	assert_int_equal(aero_frame_set_save(&f->set, &f->sink), AERO_OK);
	assert_int_equal(aero_frame_set_restore(&f->copy, &f->source), AERO_OK);
	assert_int_equal(f->tape.at, f->tape.len);
	assert_same(&f->set, &f->copy);
	aero_frame_set_fini(&f->copy);
}

/* Runs, a leaf with holes everywhere, and the edges of the number space. */
static void fill(struct aero_frame_set *set)
{
	insert(set, 0, 3);
	insert(set, 32760, 100000);
	for (aero_frame frame = 1u << 22; frame < (1u << 22) + 4096; frame += 3)
		insert(set, frame, 1);
	insert(set, (1ull << 31) - 1, 2);
	insert(set, AERO_FRAME_LIMIT - 1, 1);
}

static void test_save_empty_set_is_one_number(void **state)
{
	struct fixture *f = *state;

	round_trip(f);
	assert_int_equal(f->tape.len, 8);
}

static void test_save_one_range_has_these_bytes(void **state)
{
	static const uint8_t want[] = {
		6, 0, 0, 0, 0, 0, 0, 0, 0x34, 0x12, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	};
	struct fixture *f = *state;

	insert(&f->set, 0x100001234, 3);
	round_trip(f);
	assert_int_equal(f->tape.len, sizeof(want));
	assert_memory_equal(f->tape.bytes, want, sizeof(want));
}

static void test_save_restore_every_kind_of_set(void **state)
{
	struct test_random random = { 9 };
	struct fixture *f = *state;

	fill(&f->set);
	round_trip(f);
	for (unsigned int i = 0; i < 60; i++) {
		insert(&f->set, test_random_below(&random, 1u << 18),
		       test_random_below(&random, 1u << (i % 12)) + 1);
		round_trip(f);
	}
}

static void test_save_ragged_leaf_costs_its_bitmap(void **state)
{
	struct fixture *f = *state;

	for (aero_frame frame = 0; frame < 32768; frame += 2)
		insert(&f->set, frame, 1);
	round_trip(f);
	assert_int_equal(f->tape.len, 8 + 4096 + 8);
}

static void test_save_full_sink_answers_its_status(void **state)
{
	struct fixture *f = *state;
	size_t len;

	fill(&f->set);
	round_trip(f);
	len = f->tape.len;
	for (f->tape.room = 0; f->tape.room < len; f->tape.room += 7) {
		f->tape.len = 0;
		assert_int_equal(aero_frame_set_save(&f->set, &f->sink), AERO_EIO);
	}
}

static void test_restore_truncated_stream_is_refused(void **state)
{
	struct fixture *f = *state;
	size_t len;

	fill(&f->set);
	round_trip(f);
	len = f->tape.len;
	for (f->tape.len = 0; f->tape.len < len; f->tape.len += 5) {
		f->tape.at = 0;
		assert_int_equal(aero_frame_set_restore(&f->copy, &f->source), AERO_EPROTO);
		assert_int_equal(aero_frame_set_validate(&f->copy), AERO_OK);
		aero_frame_set_fini(&f->copy);
	}
}

static void test_restore_numbers_no_save_wrote_are_refused(void **state)
{
	static const uint64_t heads[][2] = {
		{ 2, AERO_FRAME_LIMIT },     { 2, UINT64_MAX },
		{ 4, AERO_FRAME_LIMIT - 1 }, { 32769ull << 1, 0 },
		{ UINT64_MAX - 1, 0 },	     { (AERO_FRAME_LIMIT / 32768) << 1 | 1, 0 },
		{ UINT64_MAX, 0 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(heads); i++) {
		f->tape.len = 0;
		f->tape.at = 0;
		put_number(&f->tape, heads[i][0]);
		put_number(&f->tape, heads[i][1]);
		put_number(&f->tape, 0);
		assert_int_equal(aero_frame_set_restore(&f->copy, &f->source), AERO_EPROTO);
		assert_int_equal(aero_frame_set_count(&f->copy), 0);
	}
}

static void test_restore_damaged_stream_leaves_a_valid_set(void **state)
{
	struct fixture *f = *state;
	struct tape *good = malloc(sizeof(*good));
	uint64_t seed;

	assert_non_null(good);
	fill(&f->set);
	round_trip(f);
	memcpy(good, &f->tape, sizeof(*good));
	for (uint64_t n = 1; test_random_seed(n, 300, &seed); n++) {
		struct test_random random = { seed };

		memcpy(f->tape.bytes, good->bytes, good->len);
		for (unsigned int i = 0; i < 4; i++)
			f->tape.bytes[test_random_below(&random, good->len)] ^=
				(uint8_t)test_random_next(&random);
		f->tape.at = 0;
		(void)aero_frame_set_restore(&f->copy, &f->source);
		assert_int_equal(aero_frame_set_validate(&f->copy), AERO_OK);
		aero_frame_set_fini(&f->copy);
	}
	free(good);
}

static void test_restore_without_memory_keeps_a_valid_set(void **state)
{
	struct fixture *f = *state;
	bool has_failed = true;

	fill(&f->set);
	round_trip(f);
	for (uint64_t nth = 1; has_failed; nth++) {
		enum aero_status status;

		test_nodes_fail(&f->nodes, nth, nth % 2);
		f->tape.at = 0;
		status = aero_frame_set_restore(&f->copy, &f->source);
		has_failed = f->nodes.failures > 0;
		assert_int_equal(status, has_failed ? AERO_ENOMEM : AERO_OK);
		assert_int_equal(aero_frame_set_validate(&f->copy), AERO_OK);
		aero_frame_set_fini(&f->copy);
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_save_empty_set_is_one_number),
		CASE(test_save_one_range_has_these_bytes),
		CASE(test_save_restore_every_kind_of_set),
		CASE(test_save_ragged_leaf_costs_its_bitmap),
		CASE(test_save_full_sink_answers_its_status),
		CASE(test_restore_truncated_stream_is_refused),
		CASE(test_restore_numbers_no_save_wrote_are_refused),
		CASE(test_restore_damaged_stream_leaves_a_valid_set),
		CASE(test_restore_without_memory_keeps_a_valid_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
