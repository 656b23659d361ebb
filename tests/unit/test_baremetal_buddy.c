/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "ports/baremetal/buddy.h"
#include "ports/baremetal/console.h"
#include "ports/baremetal/memory_map.h"
#include "support/random.h"

#define FRAMES (16 * BUDDY_CHUNK_FRAMES)
#define BLOCKS_MAX 4096
#define SEEDS 20
#define STEPS 3000

static jmp_buf panicked;
static bool is_panic_expected;

void panic(const char *why)
{
	if (!is_panic_expected)
		fail_msg("panic: %s", why);
	longjmp(panicked, 1);
}

/* An allocator, and one byte for each frame: whether it is out. */
struct rig {
	struct buddy buddy;
	void *bookkeeping;
	bool is_out[FRAMES];
	uint64_t out;
	struct {
		aero_frame first;
		unsigned int order;
	} block[BLOCKS_MAX];
	size_t count;
};

static void begin(struct rig *rig, aero_frame first, uint64_t count)
{
	memset(rig, 0, sizeof(*rig));
	rig->bookkeeping = malloc(buddy_bytes(FRAMES));
	buddy_init(&rig->buddy, rig->bookkeeping, FRAMES);
	buddy_give_run(&rig->buddy, first, count);
	assert_null(buddy_validate(&rig->buddy));
	assert_int_equal(rig->buddy.free_frames, count);
}

static void end(struct rig *rig)
{
	free(rig->bookkeeping);
}

static void note(struct rig *rig, unsigned int order, aero_frame first)
{
	assert_int_equal(first % (1u << order), 0);
	assert_true(first + (1u << order) <= FRAMES);
	for (aero_frame frame = first; frame < first + (1u << order); frame++) {
		assert_false(rig->is_out[frame]);
		rig->is_out[frame] = true;
	}
	rig->out += 1u << order;
	rig->block[rig->count].first = first;
	rig->block[rig->count++].order = order;
}

static size_t take(struct rig *rig, unsigned int order, size_t want)
{
	aero_frame frames[600];
	size_t got = buddy_take(&rig->buddy, order, frames, want);

	assert_true(got <= want);
	for (size_t i = 0; i < got; i++)
		note(rig, order, frames[i]);
	return got;
}

static void forget(struct rig *rig, size_t index, unsigned int order, aero_frame first)
{
	for (aero_frame frame = first; frame < first + (1u << order); frame++)
		rig->is_out[frame] = false;
	rig->out -= 1u << order;
	rig->block[index] = rig->block[--rig->count];
}

/* A few that lie anywhere, the way they were taken or frame by frame. */
static void give(struct rig *rig, struct test_random *random)
{
	size_t many = rig->count ? test_random_below(random, 40) : 0;

	while (many-- && rig->count) {
		size_t index = test_random_below(random, rig->count);
		unsigned int order = rig->block[index].order;
		aero_frame first = rig->block[index].first;

		if (test_random_below(random, 4)) {
			buddy_give(&rig->buddy, order, &first, 1);
		} else {
			for (aero_frame i = 1u << order; i--;) {
				aero_frame frame = first + i;

				buddy_give(&rig->buddy, 0, &frame, 1);
			}
		}
		forget(rig, index, order, first);
	}
}

/* With nothing free of that size there is really none, as the bytes have it. */
static bool has_block(const struct rig *rig, unsigned int order)
{
	for (aero_frame first = 0; first < FRAMES; first += 1u << order) {
		aero_frame i = 0;

		while (i < 1u << order && !rig->is_out[first + i])
			i++;
		if (i == 1u << order)
			return true;
	}
	return false;
}

static void step(struct rig *rig, struct test_random *random)
{
	unsigned int order = (unsigned int)test_random_below(random, BUDDY_ORDER_MAX + 1);
	size_t want = 1 + test_random_below(random, order ? 8 : 300);
	size_t got;

	if (rig->count + want > BLOCKS_MAX || test_random_below(random, 2)) {
		give(rig, random);
		return;
	}
	got = take(rig, order, want);
	if (got < want)
		assert_false(has_block(rig, order));
}

static void test_random_steps_agree_with_a_byte_for_each_frame(void **state)
{
	static struct rig rig;
	uint64_t seed;

	(void)state;
	for (uint64_t n = 1; test_random_seed(n, SEEDS, &seed); n++) {
		struct test_random random = { seed };

		begin(&rig, 0, FRAMES);
		for (unsigned int i = 0; i < STEPS; i++) {
			const char *wrong;

			step(&rig, &random);
			wrong = buddy_validate(&rig.buddy);
			if (wrong || rig.buddy.free_frames + rig.out != FRAMES)
				fail_msg("AERO_TEST_SEED=%llu step %u: %s",
					 (unsigned long long)seed, i, wrong ? wrong : "sum");
		}
		end(&rig);
	}
}

static void test_take_of_each_order_takes_all(void **state)
{
	static struct rig rig;

	(void)state;
	for (unsigned int order = 0; order <= BUDDY_ORDER_MAX; order++) {
		begin(&rig, 0, FRAMES);
		for (size_t left = FRAMES >> order; left;) {
			size_t want = left < 500 ? left : 500;

			/* More blocks than the rig has places for, of single frames. */
			rig.count = 0;
			assert_int_equal(take(&rig, order, want), want);
			left -= want;
		}
		assert_int_equal(take(&rig, order, 1), 0);
		assert_int_equal(rig.buddy.free_frames, 0);
		assert_null(buddy_validate(&rig.buddy));
		buddy_give_run(&rig.buddy, 0, FRAMES);
		assert_null(buddy_validate(&rig.buddy));
		end(&rig);
	}
}

/* Single frames come of what is broken already, so that whole blocks last. */
static void test_frames_spare_whole_blocks(void **state)
{
	static struct rig rig;

	(void)state;
	begin(&rig, 0, FRAMES);
	for (unsigned int i = 0; i < BUDDY_CHUNK_FRAMES; i++)
		assert_int_equal(take(&rig, 0, 1), 1);
	assert_int_equal(take(&rig, 9, 100), FRAMES / BUDDY_CHUNK_FRAMES - 1);
	assert_null(buddy_validate(&rig.buddy));
	end(&rig);
}

static void test_memory_with_ragged_ends(void **state)
{
	static struct rig rig;

	(void)state;
	begin(&rig, 5, 3 * BUDDY_CHUNK_FRAMES);
	assert_int_equal(take(&rig, 10, 10), 0);
	assert_int_equal(take(&rig, 9, 10), 2);
	assert_null(buddy_validate(&rig.buddy));
	end(&rig);
}

static void test_frame_freed_twice_panics(void **state)
{
	static struct rig rig;

	(void)state;
	begin(&rig, 0, FRAMES);
	is_panic_expected = true;
	if (!setjmp(panicked)) {
		buddy_give_run(&rig.buddy, 77, 1);
		fail_msg("it did not panic");
	}
	if (!setjmp(panicked)) {
		buddy_give_run(&rig.buddy, 10 * FRAMES, 1);
		fail_msg("it did not panic");
	}
	is_panic_expected = false;
	end(&rig);
}

static void test_memory_map_cuts_and_takes(void **state)
{
	struct memory_map map = { 0 };

	(void)state;
	memory_map_add(&map, 0x100800, 0x4000);
	memory_map_add(&map, 0, 0x8000);
	memory_map_add(&map, 0x102000, 0x1000);
	assert_int_equal(map.count, 2);
	/* Page 0 is nobody's, and half pages are left out. */
	assert_int_equal(map.area[0].begin, 0x1000);
	assert_int_equal(map.area[0].end, 0x8000);
	assert_int_equal(map.area[1].begin, 0x101000);
	assert_int_equal(map.area[1].end, 0x104000);
	memory_map_remove(&map, 0x3fff, 2);
	assert_int_equal(map.count, 3);
	assert_int_equal(map.area[0].end, 0x3000);
	assert_int_equal(map.area[1].begin, 0x5000);
	assert_int_equal((uintptr_t)memory_map_take(&map, 0x2001), 0x5000);
	assert_int_equal(map.count, 2);
	assert_null(memory_map_take(&map, 0x10000));
	memory_map_remove(&map, 0, UINT64_MAX);
	assert_int_equal(map.count, 0);
	assert_int_equal(memory_map_end(&map), 0);
}

static void test_memory_map_that_is_full_leaves_out(void **state)
{
	struct memory_map map = { 0 };

	(void)state;
	for (uint64_t i = 0; i < 2 * MEMORY_MAP_MAX; i++)
		memory_map_add(&map, (1 + 2 * i) << 20, 1 << 20);
	assert_int_equal(map.count, MEMORY_MAP_MAX);
	memory_map_remove(&map, (1ull << 20) + 0x10000, 0x1000);
	assert_int_equal(map.count, MEMORY_MAP_MAX);
	memory_map_add(&map, UINT64_MAX - 10, UINT64_MAX);
	assert_int_equal(map.count, MEMORY_MAP_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_steps_agree_with_a_byte_for_each_frame),
		cmocka_unit_test(test_take_of_each_order_takes_all),
		cmocka_unit_test(test_frames_spare_whole_blocks),
		cmocka_unit_test(test_memory_with_ragged_ends),
		cmocka_unit_test(test_frame_freed_twice_panics),
		cmocka_unit_test(test_memory_map_cuts_and_takes),
		cmocka_unit_test(test_memory_map_that_is_full_leaves_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
