/* SPDX-License-Identifier: MIT */
/*
 * virtio's driver against our device: every choice of features in both ring formats and both
 * numberings, up, down, and out.
 */
#include "support/test.h"

#include "support/virtio_pair.h"

#define MIB(n) ((uint64_t)(n) << 8)
#define BALLOON_FEATURES 6
#define LATTICE (1u << BALLOON_FEATURES)

static void good(struct virtio_pair *pair, unsigned int features, const char *where)
{
	if (pair->problem[0])
		fail_msg("features %#x, %s: %s", features, where, pair->problem);
}

static void at_rest(struct virtio_pair *pair, unsigned int features, uint64_t frames)
{
	(void)virtio_pair_target(pair, frames);
	(void)virtio_pair_is_settled(pair);
	good(pair, features, "at rest");
	assert_int_equal(virtio_pair_frames(pair), frames);
}

/* What the driver must have accepted of the balloon's features, and where their queues are. */
static void check_choice(struct virtio_pair *pair, unsigned int offered, bool is_compact)
{
	struct aero_virtio_balloon_guest_report report;
	uint8_t next = 2;

	aero_virtio_balloon_guest_report(&pair->drv, &report);
	assert_int_equal(report.features & (LATTICE - 1), offered);
	for (unsigned int role = 2; role < 5; role++) {
		static const uint32_t bits[] = { 1 << 1, 1 << 3, 1 << 5 };
		bool is_there = offered & bits[role - 2];

		assert_int_equal(report.queue_index[role], !is_there	? 0xff
							   : is_compact ? next
									: role);
		next += is_there;
	}
}

/* Everything that the negotiated features are for. */
static void use_features(struct virtio_pair *pair, unsigned int features)
{
	struct aero_virtio_balloon *dev = &pair->virtio.device;
	uint64_t came;

	if (features & VIRTIO_PAIR_F(STATS_VQ))
		for (unsigned int i = 1; i <= 3; i++) {
			uint64_t before = aero_virtio_balloon_host_stats(dev)->sequence;

			assert_int_equal(aero_virtio_balloon_host_request_stats(dev), AERO_OK);
			(void)virtio_pair_settle(pair);
			good(pair, features, "statistics");
			assert_int_equal(aero_virtio_balloon_host_stats(dev)->sequence, before + 1);
			assert_int_equal(aero_virtio_balloon_host_stats(dev)->known, 0x8031);
		}
	if (features & VIRTIO_PAIR_F(FREE_PAGE_HINT)) {
		assert_int_equal(aero_virtio_balloon_host_hint_start(dev), AERO_OK);
		(void)virtio_pair_settle(pair);
		assert_int_equal(dev->hint_state, AERO_HINT_ENDED);
		assert_true(pair->hinted_frames > 0);
		assert_int_equal(aero_virtio_balloon_host_hint_done(dev), AERO_OK);
		(void)virtio_pair_settle(pair);
		assert_int_equal(aero_frame_set_count(&pair->drv.hint.held), 0);
	}
	if (features & VIRTIO_PAIR_F(DEFLATE_ON_OOM)) {
		assert_int_equal(aero_virtio_balloon_guest_reclaim(&pair->drv, AERO_RECLAIM_OOM,
								   600, pair->now, &came),
				 AERO_OK);
		(void)virtio_pair_run(pair, 6 * VIRTIO_PAIR_SECOND);
	}
	good(pair, features, "features");
}

struct variant {
	const char *name;
	uint64_t transport; /* features besides VERSION_1 */
	bool is_compact;
};

static void run_one(const struct variant *variant, unsigned int features)
{
	struct virtio_pair_options options = {
		.sim = { .frames = MIB(8) },
		.guest = { .reporting = { .is_pulling = true, .delay_ns = VIRTIO_PAIR_SECOND },
			   .numbering = variant->is_compact ? AERO_VIRTIO_BALLOON_NUMBERING_COMPACT
							    : AERO_VIRTIO_BALLOON_NUMBERING_AUTO },
		.device = { .offered = features | VIRTIO_PAIR_T(VERSION_1) | variant->transport },
		.stats = 0x8031,
	};
	struct virtio_pair *pair = malloc(sizeof(*pair));
	const char *problem;

	assert_non_null(pair);
	/* Reports of pages that have to keep their poison need both bits. */
	options.guest.has_poison = features & VIRTIO_PAIR_F(PAGE_POISON);
	options.guest.poison = 0xaaaaaaaa;
	virtio_pair_open(pair, &options);
	pair->thorough = 8;
	at_rest(pair, features, 0);
	check_choice(pair, features, variant->is_compact);
	at_rest(pair, features, MIB(6));
	use_features(pair, features);
	at_rest(pair, features, 777);
	at_rest(pair, features, MIB(4) + 1);
	(void)virtio_pair_run(pair, 3 * VIRTIO_PAIR_SECOND);
	good(pair, features, "reports");
	assert_int_equal(pair->drv.counters.reports > 0,
			 !!(features & VIRTIO_PAIR_F(PAGE_REPORTING)));
	at_rest(pair, features, 0);
	at_rest(pair, features, MIB(5));
	problem = virtio_pair_close(pair);
	if (problem)
		fail_msg("%s, features %#x: %s", variant->name, features, problem);
	free(pair);
}

static void test_every_choice_of_features_moves_and_ends(void **state)
{
	static const struct variant variants[] = {
		{ "split", 0, false },
		{ "split, closed up", 0, true },
		{ "packed", VIRTIO_PAIR_T(RING_PACKED), false },
		{ "packed, closed up", VIRTIO_PAIR_T(RING_PACKED), true },
		{ "split, everything",
		  VIRTIO_PAIR_T(EVENT_IDX) | VIRTIO_PAIR_T(INDIRECT_DESC) | VIRTIO_PAIR_T(IN_ORDER),
		  false },
		{ "packed, everything",
		  VIRTIO_PAIR_T(RING_PACKED) | VIRTIO_PAIR_T(EVENT_IDX) |
			  VIRTIO_PAIR_T(INDIRECT_DESC) | VIRTIO_PAIR_T(IN_ORDER),
		  true },
	};

	(void)state;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(variants); i++)
		for (unsigned int features = 0; features < LATTICE; features++)
			run_one(&variants[i], features);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_choice_of_features_moves_and_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
