/* SPDX-License-Identifier: MIT */
/*
 * A driver and a device, years of both in a second: random requests on all queues, some of them
 * wrong, and everything an operator and a front end can do in between. After each step no discard
 * was wrong and the device holds together; whenever no request is half done, the ledger and the
 * driver's own record agree frame by frame. AERO_TEST_SEED=N replays one.
 */
#include "support/test.h"

#include "support/balloon_rig.h"
#include "support/random.h"

#define STEPS 1200
#define SEEDS 4
#define FRAMES 8192
#define MOST 700

struct life {
	struct balloon_rig rig;
	struct test_random random;
	bool is_paused;
	bool is_sloppy; /* names frames it should not */
	bool is_up[AERO_VIRTIO_BALLOON_QUEUES];
};

static uint64_t below(struct life *l, uint64_t limit)
{
	return test_random_below(&l->random, limit);
}

static bool is_wanted(struct life *l, unsigned int index, uint64_t frame)
{
	const struct balloon_rig *rig = &l->rig;

	if (l->is_sloppy && below(l, 4) == 0)
		return true;
	if (frame >= FRAMES)
		return false;
	return index == DEFLATE ? rig->in_balloon[frame]
				: !rig->in_balloon[frame] && !rig->named[frame];
}

/* Runs in either direction and frames alone, of those that fit. */
static size_t pick_frames(struct life *l, unsigned int index, uint32_t *frames)
{
	size_t want = 1 + below(l, below(l, 4) ? 300 : MOST);
	size_t count = 0;

	for (int tries = 0; tries < 40 && count < want; tries++) {
		uint64_t first = below(l, FRAMES + (l->is_sloppy ? 200 : 0));
		uint64_t run = below(l, 3) ? 1 + below(l, 300) : 1;
		bool is_falling = below(l, 4);

		for (uint64_t i = 0; i < run && count < want; i++) {
			uint64_t frame = is_falling ? first - i : first + i;

			if (is_wanted(l, index, frame))
				frames[count++] = (uint32_t)frame;
		}
	}
	return count;
}

static void send_frames(struct life *l, unsigned int index)
{
	static const uint32_t cuts[] = { 0, 0, 0, 4, 6, 100, 1024 };
	uint32_t frames[MOST];
	size_t count = pick_frames(l, index, frames);

	(void)balloon_rig_send_frames(&l->rig, index, frames, count,
				      cuts[below(l, TEST_ARRAY_SIZE(cuts))]);
	balloon_rig_kick(&l->rig, index);
}

static void send_ranges(struct life *l, enum aero_virtio_balloon_role role)
{
	unsigned int index = balloon_rig_index(&l->rig, role);
	struct aero_range ranges[4];
	uint32_t count = 0;

	for (uint32_t i = 0; i < 4; i++) {
		struct aero_range r = { below(l, FRAMES), 1 + below(l, 600) };
		uint64_t n = 0;

		while (n < r.count && r.first + n < FRAMES && !l->rig.in_balloon[r.first + n] &&
		       !l->rig.named[r.first + n])
			n++;
		r.count = n;
		if (n)
			ranges[count++] = r;
	}
	/* Those already chosen are not chosen twice: one range where they overlap. */
	if (count && l->rig.has_ring[index])
		(void)balloon_rig_send_ranges(&l->rig, index, ranges, 1);
	balloon_rig_kick(&l->rig, index);
}

static void send_stats(struct life *l)
{
	const uint64_t entries[][2] = { { 4, below(l, 1000) }, { 99, 1 } };
	unsigned int index = balloon_rig_index(&l->rig, AERO_VIRTIO_BALLOON_ROLE_STATS);

	if (l->rig.has_ring[index] && below(l, 3) == 0)
		(void)balloon_rig_send_stats(&l->rig, entries, (uint32_t)below(l, 3));
	balloon_rig_kick(&l->rig, index);
}

static void toggle_ring(struct life *l)
{
	unsigned int index = (unsigned int)below(l, AERO_VIRTIO_BALLOON_QUEUES);

	if (!l->rig.has_ring[index])
		return;
	if (l->is_up[index])
		balloon_rig_stop_ring(&l->rig, index);
	else
		balloon_rig_start_ring(&l->rig, index);
	l->is_up[index] = !l->is_up[index];
}

static void all_up(struct life *l)
{
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		if (l->rig.has_ring[i] && !l->is_up[i])
			balloon_rig_start_ring(&l->rig, i);
		l->is_up[i] = l->rig.has_ring[i];
	}
}

static void reconnect(struct life *l)
{
	balloon_rig_connect(&l->rig);
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		l->is_up[i] = l->rig.has_ring[i];
}

/* The front end goes away and comes back, with the driver it had or with another. */
static void detach(struct life *l)
{
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		if (l->is_up[i])
			balloon_rig_stop_ring(&l->rig, i);
	}
	aero_virtio_balloon_host_detach(&l->rig.dev);
	balloon_rig_run(&l->rig);
	if (below(l, 3) == 0) {
		aero_virtio_balloon_host_forget(&l->rig.dev);
		balloon_rig_forget(&l->rig);
	}
	reconnect(l);
}

static void move_house(struct life *l)
{
	struct test_stream stream;

	aero_virtio_balloon_host_quiesce(&l->rig.dev);
	balloon_rig_run(&l->rig);
	test_stream_init(&stream);
	assert_int_equal(aero_virtio_balloon_host_save(&l->rig.dev, &stream.sink), AERO_OK);
	balloon_rig_replace(&l->rig);
	assert_int_equal(aero_virtio_balloon_host_restore(&l->rig.dev, &stream.source), AERO_OK);
	test_stream_fini(&stream);
	l->is_paused = true;
}

static void pause_or_resume(struct life *l)
{
	l->is_paused = !l->is_paused;
	if (l->is_paused)
		aero_virtio_balloon_host_quiesce(&l->rig.dev);
	else
		aero_virtio_balloon_host_resume(&l->rig.dev);
}

static void operate(struct life *l)
{
	struct aero_virtio_balloon *dev = &l->rig.dev;
	uint64_t set;

	switch (below(l, 12)) {
	case 0:
	case 1:
		(void)aero_virtio_balloon_host_set_target(dev, below(l, FRAMES), &set);
		break;
	case 2:
		aero_virtio_balloon_host_inhibit(dev, below(l, 3) ? 0 : AERO_INHIBIT_OPERATOR);
		break;
	case 3:
		aero_virtio_balloon_host_flush(dev);
		break;
	case 4:
		(void)aero_virtio_balloon_host_request_stats(dev);
		break;
	case 5:
		(void)aero_virtio_balloon_host_hint_start(dev);
		break;
	case 6:
		(void)aero_virtio_balloon_host_hint_stop(dev);
		break;
	case 7:
		(void)aero_virtio_balloon_host_hint_done(dev);
		break;
	case 8:
		guest_ram_move(&l->rig.host.ram, BALLOON_RIG_RINGS);
		aero_virtio_balloon_host_memory_changed(dev);
		break;
	case 9:
		pause_or_resume(l);
		break;
	case 10:
		toggle_ring(l);
		break;
	default:
		balloon_rig_write_actual(&l->rig, (uint32_t)(l->rig.held + below(l, 2)));
		break;
	}
}

static void upheave(struct life *l)
{
	switch (below(l, 4)) {
	case 0:
		balloon_rig_reset(&l->rig);
		reconnect(l);
		break;
	case 1:
		detach(l);
		break;
	case 2:
		move_house(l);
		break;
	default:
		all_up(l);
		break;
	}
}

static void act(struct life *l)
{
	uint64_t choice = below(l, 100);

	if (choice < 25)
		send_frames(l, INFLATE);
	else if (choice < 40)
		send_frames(l, DEFLATE);
	else if (choice < 45)
		send_ranges(l, AERO_VIRTIO_BALLOON_ROLE_HINT);
	else if (choice < 50)
		send_ranges(l, AERO_VIRTIO_BALLOON_ROLE_REPORTING);
	else if (choice < 54)
		send_stats(l);
	else if (choice < 80)
		(void)balloon_rig_step(&l->rig);
	else if (choice < 86)
		(void)balloon_rig_run(&l->rig);
	else if (choice < 89)
		l->rig.now += below(l, 2 * AERO_LEDGER_IDLE_NS_DEFAULT);
	else if (choice < 99)
		operate(l);
	else
		upheave(l);
}

/* No request of frames is half read. */
static bool is_between_requests(const struct life *l)
{
	return !l->rig.dev.queue[INFLATE].has_chain && !l->rig.dev.queue[DEFLATE].has_chain;
}

static void compare_frames(struct life *l)
{
	const struct aero_frame_set *held = &l->rig.dev.ledger.held;

	for (aero_frame frame = 0; frame < FRAMES; frame++) {
		struct aero_range one = { frame, 1 };

		assert_int_equal(aero_frame_set_count_in(held, one), l->rig.in_balloon[frame]);
	}
}

static void check(struct life *l, unsigned int step)
{
	assert_string_equal(l->rig.host.violation, "");
	assert_false(l->rig.is_ring_broken);
	assert_int_equal(l->rig.dev.counters.broken_queues, 0);
	if (!is_between_requests(l))
		return;
	balloon_rig_check(&l->rig);
	if (step % 16 == 0)
		compare_frames(l);
}

/* Everything on, and time: all is answered, all is discarded that can be. */
static void finish(struct life *l)
{
	unsigned int order = l->rig.host.memory.backing.discard_order;

	aero_virtio_balloon_host_inhibit(&l->rig.dev, 0);
	aero_virtio_balloon_host_resume(&l->rig.dev);
	all_up(l);
	balloon_rig_run(&l->rig);
	l->rig.now += AERO_LEDGER_IDLE_NS_DEFAULT;
	balloon_rig_run(&l->rig);
	assert_true(is_between_requests(l));
	balloon_rig_check(&l->rig);
	compare_frames(l);
	/* But for the statistics buffer. */
	assert_true(l->rig.in_flight <= 1);
	if (!order)
		assert_int_equal(aero_ledger_pending(&l->rig.dev.ledger), 0);
}

static void live(const struct balloon_rig_options *options, uint64_t seed)
{
	struct life *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	print_message("# seed %llu\n", (unsigned long long)seed);
	l->random.state = seed;
	l->is_sloppy = seed % 2;
	balloon_rig_open(&l->rig, options);
	host_double_clear(&l->rig.host, (struct aero_range){ 3000, 100 }, HOST_DOUBLE_RAM);
	reconnect(l);
	for (unsigned int step = 0; step < STEPS; step++) {
		act(l);
		check(l, step);
	}
	finish(l);
	balloon_rig_close(&l->rig);
	free(l);
}

static void test_random_life_keeps_every_promise(void **state)
{
	uint64_t seed;

	for (uint64_t n = 1; test_random_seed(n, SEEDS, &seed); n++)
		live(*state, seed);
}

int main(void)
{
	static struct balloon_rig_options collect = { .frames = FRAMES, .data_bytes = 1 << 21 };
	static struct balloon_rig_options request = { .frames = FRAMES,
						      .data_bytes = 1 << 21,
						      .refused = FEATURE(MUST_TELL_HOST) };
	static struct balloon_rig_options thp = { .frames = FRAMES,
						  .data_bytes = 1 << 21,
						  .backing = { 0, 9 } };
	static struct balloon_rig_options huge = { .frames = FRAMES,
						   .data_bytes = 1 << 21,
						   .backing = { 9, 9 } };
	static struct balloon_rig_options big_pages = { .frames = FRAMES,
							.data_bytes = 1 << 21,
							.backing = { 4, 4 } };
	static struct balloon_rig_options packed = {
		.frames = FRAMES,
		.data_bytes = 1 << 21,
		.offered = FEATURES_USUAL | TRANSPORT(RING_PACKED) | TRANSPORT(EVENT_IDX),
		.ring_size = 21,
	};
	static struct balloon_rig_options compact = {
		.frames = FRAMES,
		.data_bytes = 1 << 21,
		.offered = FEATURES_USUAL | TRANSPORT(EVENT_IDX),
		.refused = FEATURE(STATS_VQ),
		.is_compact = true,
	};
	static struct balloon_rig_options legacy = {
		.frames = FRAMES,
		.data_bytes = 1 << 21,
		.offered = FEATURES_ALL | TRANSPORT(INDIRECT_DESC),
		.is_big_endian = true,
		.ring_size = 32,
	};
#define CASE(options) cmocka_unit_test_prestate(test_random_life_keeps_every_promise, options)
	const struct CMUnitTest tests[] = {
		CASE(&collect),	  CASE(&request), CASE(&thp),	  CASE(&huge),
		CASE(&big_pages), CASE(&packed),  CASE(&compact), CASE(&legacy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
