/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "ports/sim/sim_port.h"
#include "support/random.h"

/*
 * The simulation against one byte per frame: whatever is done, in whatever order, what is lent was
 * free before, nothing overlaps, and owners and sums are those of the bytes.
 */

#define BLOCKS_MAX 4096
#define STEPS 1500

enum byte {
	FREE,
	KERNEL,
	LENT,
};

struct block {
	aero_frame first;
	unsigned int order;
	bool is_offline;
};

struct rig {
	struct sim_port sim;
	struct test_random random;
	uint8_t *byte;
	uint64_t frames;
	struct block block[BLOCKS_MAX];
	size_t count;
	uint64_t offline;
	uint64_t pinned;
};

static uint64_t below(struct rig *rig, uint64_t limit)
{
	return test_random_below(&rig->random, limit);
}

/* Blocks small and large, some of them bigger than a section of the simulation. */
static unsigned int any_order(struct rig *rig)
{
	static const unsigned int orders[] = { 0, 0, 0, 1, 3, 8, 9, 9, 10, 12 };

	return orders[below(rig, TEST_ARRAY_SIZE(orders))];
}

static void paint(struct rig *rig, aero_frame first, uint64_t count, enum byte from, enum byte to)
{
	assert_true(first + count <= rig->frames);
	for (uint64_t i = 0; i < count; i++) {
		assert_int_equal(rig->byte[first + i], from);
		rig->byte[first + i] = (uint8_t)to;
	}
}

static bool has_room_for(const struct rig *rig, unsigned int order)
{
	uint64_t size = 1ull << order;

	for (uint64_t first = 0; first + size <= rig->frames; first += size) {
		uint64_t i = 0;

		while (i < size && rig->byte[first + i] == FREE)
			i++;
		if (i == size)
			return true;
	}
	return false;
}

static void lend(struct rig *rig)
{
	unsigned int order = any_order(rig);
	size_t want = 1 + (size_t)below(rig, 64);
	aero_frame out[64];
	size_t got;

	if (rig->count + want > BLOCKS_MAX)
		return;
	got = rig->sim.port.alloc(&rig->sim, order, AERO_EFFORT_RECLAIM, out, want);
	for (size_t i = 0; i < got; i++) {
		struct block *block = &rig->block[rig->count++];

		assert_int_equal(out[i] & ((1ull << order) - 1), 0);
		paint(rig, out[i], 1ull << order, FREE, LENT);
		block->first = out[i];
		block->order = order;
		block->is_offline = false;
	}
	if (got < want)
		assert_false(has_room_for(rig, order));
}

static void drop(struct rig *rig, size_t at)
{
	rig->block[at] = rig->block[--rig->count];
}

static void set_offline(struct rig *rig, size_t at)
{
	struct block *block = &rig->block[at];
	uint64_t frames = 1ull << block->order;

	block->is_offline = !block->is_offline;
	rig->sim.port.set_offline(&rig->sim, block->order, &block->first, 1, block->is_offline);
	rig->offline += block->is_offline ? frames : 0 - frames;
}

static void give_back(struct rig *rig, size_t at)
{
	struct block block;

	if (rig->block[at].is_offline)
		set_offline(rig, at);
	block = rig->block[at];
	rig->sim.port.free(&rig->sim, block.order, &block.first, 1);
	paint(rig, block.first, 1ull << block.order, LENT, FREE);
	drop(rig, at);
}

static int compare_frames(const void *a, const void *b)
{
	aero_frame x = *(const aero_frame *)a;
	aero_frame y = *(const aero_frame *)b;

	return (x > y) - (x < y);
}

/* Single frames in one call, ascending: what lies side by side is freed as one. */
static void give_back_many(struct rig *rig)
{
	aero_frame frames[512];
	size_t count = 0;

	for (size_t i = rig->count; i-- && count < 512;) {
		struct block block = rig->block[i];

		if (block.order || block.is_offline)
			continue;
		frames[count++] = block.first;
		paint(rig, block.first, 1, LENT, FREE);
		drop(rig, i);
	}
	qsort(frames, count, sizeof(*frames), compare_frames);
	rig->sim.port.free(&rig->sim, 0, frames, count);
}

static void split(struct rig *rig, size_t at)
{
	struct block block = rig->block[at];
	uint64_t frames = 1ull << block.order;

	if (!block.order || rig->count + frames > BLOCKS_MAX)
		return;
	rig->sim.port.split(&rig->sim, block.order, block.first);
	drop(rig, at);
	for (uint64_t i = 0; i < frames; i++) {
		struct block part = { block.first + i, 0, block.is_offline };

		rig->block[rig->count++] = part;
	}
}

static void migrate(struct rig *rig, size_t at)
{
	struct block *block = &rig->block[at];
	bool is_in = below(rig, 4) != 0;
	aero_frame new;

	if (block->is_offline ||
	    !sim_port_migrate_begin(&rig->sim, block->order, block->first, &new))
		return;
	paint(rig, new, 1ull << block->order, FREE, LENT);
	paint(rig, block->first, 1ull << block->order, LENT, FREE);
	sim_port_migrate_end(&rig->sim, new, true, is_in);
	block->first = new;
	if (is_in)
		return;
	paint(rig, new, 1ull << block->order, LENT, FREE);
	drop(rig, at);
}

static void pin(struct rig *rig)
{
	aero_frame frame = below(rig, rig->frames);
	bool is_free = rig->byte[frame] == FREE;

	assert_int_equal(sim_port_pin(&rig->sim, frame), is_free);
	if (is_free)
		paint(rig, frame, 1, FREE, KERNEL);
	rig->pinned += is_free;
}

static void unpin(struct rig *rig)
{
	for (uint64_t i = 0; i < rig->frames; i++) {
		if (rig->byte[i] == KERNEL)
			rig->byte[i] = FREE;
	}
	rig->pinned = 0;
	sim_port_unpin_all(&rig->sim);
}

static void act(struct rig *rig)
{
	size_t at = rig->count ? (size_t)below(rig, rig->count) : 0;
	uint64_t what = below(rig, 100);

	if (what < 35 || !rig->count)
		lend(rig);
	else if (what < 60)
		give_back(rig, at);
	else if (what < 65)
		give_back_many(rig);
	else if (what < 70)
		split(rig, at);
	else if (what < 80)
		set_offline(rig, at);
	else if (what < 90)
		migrate(rig, at);
	else if (what < 99)
		pin(rig);
	else
		unpin(rig);
}

static void compare(struct rig *rig)
{
	static const enum sim_owner owner[] = { SIM_OWNER_FREE, SIM_OWNER_KERNEL, SIM_OWNER_LENT };
	uint64_t count[3] = { 0 };
	const char *wrong = sim_port_check(&rig->sim);

	if (wrong)
		fail_msg("%s", wrong);
	for (uint64_t i = 0; i < rig->frames; i++)
		count[rig->byte[i]]++;
	assert_int_equal(sim_port_free_frames(&rig->sim), count[FREE]);
	assert_int_equal(sim_port_lent_frames(&rig->sim), count[LENT]);
	assert_int_equal(sim_port_offline_frames(&rig->sim), rig->offline);
	assert_int_equal(rig->pinned, count[KERNEL]);
	for (unsigned int i = 0; i < 64; i++) {
		aero_frame frame = below(rig, rig->frames);

		assert_int_equal(sim_port_owner(&rig->sim, frame), owner[rig->byte[frame]]);
	}
}

/* With everything back, memory is as whole as it was. */
static void check_whole(struct rig *rig)
{
	unsigned int order = 18;
	aero_frame frame;

	while (1ull << order > rig->frames)
		order--;
	assert_int_equal(sim_port_free_frames(&rig->sim), rig->frames);
	assert_int_equal(rig->sim.port.alloc(&rig->sim, order, AERO_EFFORT_SPARE, &frame, 1), 1);
	rig->sim.port.free(&rig->sim, order, &frame, 1);
}

static void run_one(uint64_t seed)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct sim_port_config config = { .orders = 0x7ffff, .seed = seed };

	assert_non_null(rig);
	print_message("seed %llu\n", (unsigned long long)seed);
	rig->random.state = seed;
	rig->frames = 1 + below(rig, 300000) / (1 + below(rig, 30));
	rig->byte = calloc(1, (size_t)rig->frames);
	assert_non_null(rig->byte);
	config.frames = rig->frames;
	config.order = (enum sim_order)below(rig, 3);
	sim_port_init(&rig->sim, &config);
	for (unsigned int i = 0; i < STEPS; i++) {
		act(rig);
		if (i % 50 == 0)
			compare(rig);
	}
	while (rig->count)
		give_back(rig, rig->count - 1);
	unpin(rig);
	compare(rig);
	check_whole(rig);
	assert_null(sim_port_check_empty(&rig->sim));
	sim_port_fini(&rig->sim);
	free(rig->byte);
	free(rig);
}

static void test_random_calls_agree_with_bytes(void **state)
{
	uint64_t seed;

	(void)state;
	for (uint64_t i = 1; test_random_seed(i, 30, &seed); i++)
		run_one(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_calls_agree_with_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
