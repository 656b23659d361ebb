/* SPDX-License-Identifier: MIT */
#include "test_virtio_balloon_guest_case.h"

#include "support/virtio_pair.h"

/*
 * virtio's balloon driver and its kernel: statistics, memory pressure, migration, the count of
 * memory. Where the device has to answer in the middle of a call it is our own.
 */

#define TELL (T(VERSION_1) | F(MUST_TELL_HOST))
#define OOM F(DEFLATE_ON_OOM)
#define STATS 2u

/* Statistics ---------------------------------------------------------------------------------- */

/* The buffer that the device has, as pairs; answers how many. */
static uint32_t take_stats(struct fake_guest *guest, uint16_t *tags, uint64_t *values)
{
	const struct virtio_device_chain *chain = virtio_fake_pop(&guest->fake, STATS);
	const uint8_t *at;
	uint32_t count;

	assert_non_null(chain);
	assert_int_equal(chain->count, 1);
	assert_false(chain->buffers[0].is_writable);
	count = chain->buffers[0].len / 10;
	assert_int_equal(chain->buffers[0].len, 10 * count);
	at = virtio_fake_at(&guest->fake, chain->buffers[0].gpa, 10 * count);
	for (uint32_t i = 0; i < count; i++, at += 10) {
		tags[i] = 0;
		values[i] = 0;
		for (unsigned int n = 0; n < 2; n++)
			tags[i] |= (uint16_t)(at[n] << 8 * n);
		for (unsigned int n = 0; n < 8; n++)
			values[i] |= (uint64_t)at[2 + n] << 8 * n;
	}
	/* One at a time. */
	assert_null(virtio_fake_pop(&guest->fake, STATS));
	return count;
}

static void ask_for_stats(struct fake_guest *guest)
{
	virtio_fake_push(&guest->fake, STATS, 0, 0);
	fake_guest_interrupt(guest, QUEUE_ANSWER);
	fake_guest_settle(guest);
}

static void test_stats_are_those_that_the_kernel_knows(void **state)
{
	static const uint32_t sets[] = { 0xffff, 1, 0x8000, 0x0a5a, 0xffffffff };

	(void)state;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(sets); i++) {
		struct fake_guest_options options = { .stats = sets[i] };
		struct fake_guest *guest = start_guest(&options, TELL | F(STATS_VQ));
		uint16_t tags[16];
		uint64_t values[16];

		for (unsigned int round = 0; round < 5; round++) {
			uint32_t count = take_stats(guest, tags, values), at = 0;

			for (uint16_t tag = 0; tag < 16; tag++) {
				if (!(sets[i] >> tag & 1))
					continue;
				assert_int_equal(tags[at], tag);
				assert_true(values[at] == guest->stats.value[tag]);
				at++;
			}
			/* Absent, not zero. */
			assert_int_equal(at, count);
			for (unsigned int tag = 0; tag < 16; tag++)
				guest->stats.value[tag] += 1000;
			ask_for_stats(guest);
			assert_int_equal(report_of(guest).counters.stats_buffers, round + 2);
		}
		end_guest(guest);
	}
}

static void test_stats_of_a_kernel_that_knows_none_are_declined(void **state)
{
	struct fake_guest_options options = { .stats = 1 };
	struct fake_guest *guest = new_guest(&options);

	(void)state;
	guest->stats.known = 0xffff0000;
	fake_guest_settle(guest);
	assert_int_equal(guest->fake.accepted & F(STATS_VQ), 0);
	end_guest(guest);
}

/* What the first buffer had stays what all have. */
static void test_stats_that_come_and_go_keep_their_number(void **state)
{
	struct fake_guest_options options = { .stats = 0x30 };
	struct fake_guest *guest = start_guest(&options, TELL | F(STATS_VQ));
	uint16_t tags[16];
	uint64_t values[16];

	(void)state;
	assert_int_equal(take_stats(guest, tags, values), 2);
	guest->stats.known = 0xffff;
	ask_for_stats(guest);
	assert_int_equal(take_stats(guest, tags, values), 2);
	assert_int_equal(tags[0], 4);
	assert_int_equal(tags[1], 5);
	end_guest(guest);
}

static void test_stats_of_a_legacy_device_are_in_the_guests_order(void **state)
{
	struct virtio_pair_options options = {
		.device = { .is_legacy = true },
		.stats = 0x8421,
	};
	struct virtio_pair *pair = malloc(sizeof(*pair));
	const struct aero_virtio_balloon_stats *stats;

	(void)state;
	assert_non_null(pair);
	virtio_pair_open(pair, &options);
	assert_true(virtio_pair_target(pair, 1000));
	stats = aero_virtio_balloon_host_stats(&pair->virtio.device);
	for (unsigned int i = 1; i <= 3; i++) {
		assert_int_equal(aero_virtio_balloon_host_request_stats(&pair->virtio.device),
				 AERO_OK);
		assert_true(virtio_pair_settle(pair));
		assert_int_equal(stats->sequence, i);
		assert_int_equal(stats->known, 0x8421);
		assert_true(stats->value[5] == pair->stats.value[5]);
	}
	assert_null(virtio_pair_close(pair));
	free(pair);
}

static void test_the_first_buffer_is_notified_after_driver_ok(void **state)
{
	struct fake_guest_options options = { .stats = 7, .entries = 100 };
	struct fake_guest *guest = start_guest(&options, TELL | F(STATS_VQ));
	uint64_t ok = 0, notified = 0;

	(void)state;
	for (uint64_t i = 0; i < guest->record.total && i < 100; i++) {
		const struct sim_virtio_entry *entry = &guest->record.entries[i];

		if (entry->access == SIM_VIRTIO_SET_STATUS &&
		    entry->value & AERO_VIRTIO_STATUS_DRIVER_OK)
			ok = i + 1;
		if (entry->access == SIM_VIRTIO_NOTIFY && entry->where == STATS)
			notified = i + 1;
	}
	assert_true(ok && notified > ok);
	end_guest(guest);
}

/* Pressure ------------------------------------------------------------------------------------ */

static enum aero_status reclaim(struct fake_guest *guest, enum aero_reclaim kind, uint64_t frames,
				uint64_t *out)
{
	enum aero_status status =
		aero_virtio_balloon_guest_reclaim(&guest->drv, kind, frames, guest->now, out);

	guest->due = guest->now;
	fake_guest_settle(guest);
	return status;
}

static void test_reclaim_without_the_feature_is_refused(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL);
	uint64_t came = 77;

	(void)state;
	fake_guest_target(guest, 3000);
	assert_int_equal(reclaim(guest, AERO_RECLAIM_OOM, 100, &came), AERO_ENOTSUP);
	assert_int_equal(came, 0);
	assert_null(virtio_fake_pop(&guest->fake, 1));
	end_guest(guest);
}

static void test_reclaim_from_an_empty_balloon_is_refused(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL | OOM);
	uint64_t came = 77;

	(void)state;
	assert_int_equal(reclaim(guest, AERO_RECLAIM_OOM, 100, &came), AERO_EREFUSED);
	assert_int_equal(came, 0);
	end_guest(guest);
}

static void test_reclaim_gives_large_blocks_first_and_rests(void **state)
{
	struct fake_guest *guest = start_guest(NULL, T(VERSION_1) | OOM);
	uint64_t came;

	(void)state;
	fake_guest_target(guest, 2 * 512 + 100);
	assert_int_equal(reclaim(guest, AERO_RECLAIM_OOM, 1, &came), AERO_OK);
	assert_int_equal(came, 512);
	assert_int_equal(reclaim(guest, AERO_RECLAIM_PRESSURE, 10, &came), AERO_OK);
	assert_int_equal(came, 10);
	fake_guest_serve(guest);
	assert_int_equal(guest->fake.given_frames, 602);
	assert_int_equal(guest->fake.actual, 602);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_COOLING);
	fake_guest_wait(guest, 4900 * MS);
	fake_guest_serve(guest);
	assert_int_equal(guest->fake.given_frames, 602);
	/* And then the host's wish is followed again. */
	fake_guest_wait(guest, 200 * MS);
	fake_guest_serve(guest);
	assert_int_equal(guest->fake.given_frames, 2 * 512 + 100);
	end_guest(guest);
}

static void test_reclaim_comes_with_the_answer_where_the_device_must_be_told(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL | OOM);
	uint64_t came, free;

	(void)state;
	fake_guest_target(guest, 3000);
	free = sim_port_free_frames(&guest->sim);
	assert_int_equal(reclaim(guest, AERO_RECLAIM_OOM, 512, &came), AERO_OK);
	assert_int_equal(came, 0);
	assert_int_equal(sim_port_free_frames(&guest->sim), free);
	fake_guest_serve(guest);
	assert_int_equal(sim_port_free_frames(&guest->sim), free + 512);
	end_guest(guest);
}

static void test_reclaim_more_than_there_is_gives_all(void **state)
{
	(void)state;
	for (unsigned int tell = 0; tell < 2; tell++) {
		struct fake_guest *guest = start_guest(NULL, (tell ? TELL : T(VERSION_1)) | OOM);
		uint64_t came;

		fake_guest_target(guest, 15000);
		assert_int_equal(reclaim(guest, AERO_RECLAIM_OOM, 1 << 30, &came), AERO_OK);
		fake_guest_serve(guest);
		/* As many batches as there are at one time. */
		while (guest->fake.given_frames) {
			(void)reclaim(guest, AERO_RECLAIM_OOM, 1 << 30, &came);
			fake_guest_serve(guest);
		}
		assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
		assert_int_equal(guest->fake.actual, 0);
		end_guest(guest);
	}
}

struct reentry {
	struct fake_guest *guest;
	unsigned int calls;
	unsigned int again;
};

/* The kernel is short of memory while it is asked for some. */
static void reclaim_within(void *ctx, enum sim_port_call call)
{
	struct reentry *reentry = ctx;
	uint64_t came = 1;

	if (call != SIM_PORT_ALLOC && call != SIM_PORT_PAGE_GET)
		return;
	reentry->calls++;
	if (aero_virtio_balloon_guest_reclaim(&reentry->guest->drv, AERO_RECLAIM_OOM, 100,
					      reentry->guest->now, &came) == AERO_EAGAIN)
		reentry->again++;
	assert_int_equal(came, 0);
}

static void test_reclaim_from_within_an_allocation_answers_again(void **state)
{
	struct fake_guest *guest = start_guest(NULL, TELL | OOM);
	struct reentry reentry = { guest, 0, 0 };

	(void)state;
	fake_guest_target(guest, 600);
	guest->sim.during = reclaim_within;
	guest->sim.during_ctx = &reentry;
	fake_guest_target(guest, 9000);
	assert_true(reentry.calls > 0);
	assert_int_equal(reentry.again, reentry.calls);
	guest->sim.during = NULL;
	assert_int_equal(guest->fake.given_frames, 9000);
	end_guest(guest);
}

static void test_the_kernels_count_stays_where_deflate_on_oom_is_negotiated(void **state)
{
	(void)state;
	for (unsigned int kept = 0; kept < 2; kept++) {
		struct fake_guest *guest = start_guest(NULL, TELL | (kept ? OOM : 0));

		fake_guest_target(guest, 5000);
		assert_int_equal(sim_port_taken_frames(&guest->sim), kept ? 0 : 5000);
		assert_int_equal(sim_port_offline_frames(&guest->sim), 5000);
		/* Another device, that sees it another way. */
		guest->fake.offered ^= OOM;
		guest->fake.extra_status = AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET;
		fake_guest_interrupt(guest, CONFIG_CHANGE);
		fake_guest_settle(guest);
		fake_guest_wait(guest, 2 * SECOND);
		fake_guest_serve(guest);
		assert_int_equal(guest->fake.given_frames, 5000);
		assert_int_equal(sim_port_taken_frames(&guest->sim), kept ? 5000 : 0);
		end_guest(guest);
	}
}

/* Migration ----------------------------------------------------------------------------------- */

static struct virtio_pair *new_pair(const struct virtio_pair_options *options)
{
	struct virtio_pair *pair = malloc(sizeof(*pair));

	assert_non_null(pair);
	virtio_pair_open(pair, options);
	return pair;
}

static void end_pair(struct virtio_pair *pair)
{
	const char *problem = virtio_pair_close(pair);

	if (problem)
		fail_msg("in the end: %s", problem);
	free(pair);
}

static aero_frame any_lent(const struct virtio_pair *pair, unsigned int size)
{
	struct aero_range run;

	assert_true(aero_frame_set_next(&pair->drv.balloon.pages.size[size].lent, 0, 1, &run));
	return run.first << pair->drv.balloon.pages.size[size].order;
}

static void test_migration_inflates_the_new_page_before_the_old_one_leaves(void **state)
{
	static const uint64_t features[] = { T(VERSION_1), TELL,
					     TELL | T(RING_PACKED) | T(EVENT_IDX) };

	(void)state;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(features); i++) {
		struct virtio_pair_options options = { .device = { .offered = features[i] } };
		struct virtio_pair *pair = new_pair(&options);
		aero_frame old_frame, new_frame;

		assert_true(virtio_pair_target(pair, 600));
		for (unsigned int n = 0; n < 100; n++) {
			old_frame = any_lent(pair, 0);
			assert_int_equal(virtio_pair_migrate(pair, 0, old_frame, &new_frame),
					 AERO_OK);
			assert_true(aero_pages_has(&pair->drv.balloon.pages, 0, new_frame));
			assert_false(aero_pages_has(&pair->drv.balloon.pages, 0, old_frame));
			assert_true(virtio_pair_settle(pair));
		}
		assert_true(virtio_pair_is_settled(pair));
		assert_int_equal(virtio_pair_frames(pair), 600);
		assert_int_equal(pair->drv.balloon.pages.size[0].counters.migrated, 100);
		assert_int_equal(pair->drv.counters.inflate_requests, 3 + 100);
		end_pair(pair);
	}
}

static void test_migration_of_pages_of_64_kib(void **state)
{
	struct virtio_pair_options options = {
		.sim = { .orders = 1u << 4, .frames = MIB(64) },
		.device = { .offered = TELL },
	};
	struct virtio_pair *pair = new_pair(&options);
	aero_frame new_frame;

	(void)state;
	assert_true(virtio_pair_target(pair, 1600));
	assert_int_equal(virtio_pair_migrate(pair, 4, any_lent(pair, 0), &new_frame), AERO_OK);
	assert_true(virtio_pair_settle(pair));
	assert_true(virtio_pair_is_settled(pair));
	assert_int_equal(virtio_pair_frames(pair), 1600);
	end_pair(pair);
}

static void test_migration_of_a_block_larger_than_a_request_is_not_supported(void **state)
{
	struct virtio_pair_options options = { .device = { .offered = TELL } };
	struct virtio_pair *pair = new_pair(&options);
	aero_frame new_frame;

	(void)state;
	assert_true(virtio_pair_target(pair, 1024));
	assert_int_equal(virtio_pair_migrate(pair, 9, any_lent(pair, 1), &new_frame), AERO_ENOTSUP);
	assert_true(virtio_pair_is_settled(pair));
	end_pair(pair);
	options.guest.request_frames = 512;
	pair = new_pair(&options);
	assert_true(virtio_pair_target(pair, 1024));
	assert_int_equal(virtio_pair_migrate(pair, 9, any_lent(pair, 1), &new_frame), AERO_OK);
	assert_true(virtio_pair_is_settled(pair));
	end_pair(pair);
}

static void test_migration_while_requests_are_in_flight_is_tried_again(void **state)
{
	struct virtio_pair_options options = { .device = { .offered = TELL } };
	struct virtio_pair *pair = new_pair(&options);
	aero_frame old_frame, new_frame;
	uint64_t told;

	(void)state;
	assert_true(virtio_pair_target(pair, 600));
	old_frame = any_lent(pair, 0);
	pair->is_device_still = true;
	aero_virtio_balloon_host_set_target(&pair->virtio.device, 9000, &told);
	assert_true(virtio_pair_settle(pair));
	assert_int_equal(virtio_pair_migrate(pair, 0, old_frame, &new_frame), AERO_EAGAIN);
	pair->is_device_still = false;
	assert_true(virtio_pair_target(pair, 9000));
	assert_int_equal(virtio_pair_migrate(pair, 0, old_frame, &new_frame), AERO_OK);
	assert_true(virtio_pair_settle(pair));
	assert_true(virtio_pair_is_settled(pair));
	end_pair(pair);
}

static void test_migration_that_is_not_answered_resets_the_device(void **state)
{
	(void)state;
	for (unsigned int tell = 0; tell < 2; tell++) {
		struct virtio_pair_options options = {
			.device = { .offered = tell ? TELL : T(VERSION_1) },
		};
		struct virtio_pair *pair = new_pair(&options);
		aero_frame old_frame, new_frame;

		assert_true(virtio_pair_target(pair, 600));
		old_frame = any_lent(pair, 0);
		pair->is_device_still = true;
		assert_int_equal(virtio_pair_migrate(pair, 0, old_frame, &new_frame),
				 AERO_EREFUSED);
		assert_int_equal(pair->drv.counters.exchange_timeouts, 1);
		/* Nobody knows what the device has done: it has let go of everything. */
		assert_int_equal(virtio_pair_ledger(pair), 0);
		pair->is_device_still = false;
		assert_true(virtio_pair_run(pair, 3 * VIRTIO_PAIR_SECOND));
		assert_true(virtio_pair_is_settled(pair));
		assert_int_equal(virtio_pair_frames(pair), 600);
		end_pair(pair);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stats_are_those_that_the_kernel_knows),
		cmocka_unit_test(test_stats_of_a_kernel_that_knows_none_are_declined),
		cmocka_unit_test(test_stats_that_come_and_go_keep_their_number),
		cmocka_unit_test(test_stats_of_a_legacy_device_are_in_the_guests_order),
		cmocka_unit_test(test_the_first_buffer_is_notified_after_driver_ok),
		cmocka_unit_test(test_reclaim_without_the_feature_is_refused),
		cmocka_unit_test(test_reclaim_from_an_empty_balloon_is_refused),
		cmocka_unit_test(test_reclaim_gives_large_blocks_first_and_rests),
		cmocka_unit_test(test_reclaim_comes_with_the_answer_where_the_device_must_be_told),
		cmocka_unit_test(test_reclaim_more_than_there_is_gives_all),
		cmocka_unit_test(test_reclaim_from_within_an_allocation_answers_again),
		cmocka_unit_test(test_the_kernels_count_stays_where_deflate_on_oom_is_negotiated),
		cmocka_unit_test(test_migration_inflates_the_new_page_before_the_old_one_leaves),
		cmocka_unit_test(test_migration_of_pages_of_64_kib),
		cmocka_unit_test(test_migration_of_a_block_larger_than_a_request_is_not_supported),
		cmocka_unit_test(test_migration_while_requests_are_in_flight_is_tried_again),
		cmocka_unit_test(test_migration_that_is_not_answered_resets_the_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
