/* SPDX-License-Identifier: MIT */
#include "test_virtio_balloon_guest_case.h"

/* virtio's balloon driver: what it accepts, refuses, and how it copes with odd devices. */

/* Everything that the driver knows; one bit that it must decline, and some that nobody knows. */
#define KNOWN \
	(0x3full | T(INDIRECT_DESC) | T(EVENT_IDX) | T(VERSION_1) | T(RING_PACKED) | T(IN_ORDER))
#define STRANGE (T(ACCESS_PLATFORM) | 7ull << 6 | 1ull << 24 | 1ull << 63)

struct wish {
	bool has_poison;
	bool is_pulling;
	bool is_pushing;
	bool has_stats;
	uint64_t declined;
};

static uint64_t expect_features(const struct wish *wish, uint64_t offered)
{
	uint64_t want = offered & KNOWN & ~wish->declined;

	if (!wish->has_stats)
		want &= ~F(STATS_VQ);
	if (!wish->has_poison)
		want &= ~F(PAGE_POISON);
	/* Free pages are to keep their poison, and the device does not know of it. */
	if (wish->has_poison && !(want & F(PAGE_POISON)))
		want &= ~F(PAGE_REPORTING);
	if (!wish->is_pulling && !wish->is_pushing)
		want &= ~F(PAGE_REPORTING);
	return want;
}

static void check_features(const struct wish *wish, uint64_t offered)
{
	struct fake_guest_options options = {
		.guest = { .has_poison = wish->has_poison,
			   .poison = 0xaabbccdd,
			   .declined = wish->declined,
			   .reporting = { .is_pulling = wish->is_pulling } },
		.is_pushing = wish->is_pushing,
		.stats = wish->has_stats ? 1u << AERO_MEMORY_FREE : 0,
	};
	struct fake_guest *guest = start_guest(&options, offered);
	uint64_t want = expect_features(wish, offered);

	assert_int_equal(guest->fake.accepted, want);
	assert_int_equal(report_of(guest).features, want);
	assert_int_equal(guest->fake.status, 15);
	assert_int_equal(guest->fake.poison_writes, !!(want & F(PAGE_POISON)));
	assert_int_equal(guest->fake.poison, want & F(PAGE_POISON) ? 0xaabbccdd : 0);
	for (unsigned int i = 2; i < 5; i++)
		assert_int_equal(guest->fake.queue[i].is_up, !!(want & 1ull << (2 * i - 3)));
	end_guest(guest);
}

static void test_start_accepts_what_kernel_and_device_have(void **state)
{
	static const struct wish wishes[] = {
		{ false, false, false, false, 0 },
		{ true, true, false, true, 0 },
		{ true, false, true, false, 0 },
		{ false, true, true, true, 0 },
		{ true, false, false, true, 0 },
		{ true, true, true, true, F(MUST_TELL_HOST) | F(FREE_PAGE_HINT) | T(EVENT_IDX) },
		{ true, true, true, true, F(PAGE_POISON) },
		{ false, true, false, true, F(STATS_VQ) | F(DEFLATE_ON_OOM) | T(RING_PACKED) },
	};

	(void)state;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(wishes); i++)
		for (uint64_t offered = 0; offered < 64; offered++) {
			check_features(&wishes[i], offered | T(VERSION_1));
			if (offered % 8 == 7)
				check_features(&wishes[i], offered | KNOWN | STRANGE);
		}
}

/* Said once, however often it is tried. */
static void expect_said(struct fake_guest *guest, const char *line)
{
	fake_guest_wait(guest, 3 * SECOND);
	assert_int_equal(guest->sim.counters.logs[AERO_LOG_ERROR], 1);
	assert_string_equal(guest->sim.last_log, line);
}

static void test_start_without_version_1_on_a_modern_transport_is_unsupported(void **state)
{
	struct fake_guest *guest = new_guest(NULL);

	(void)state;
	guest->fake.offered &= ~T(VERSION_1);
	fake_guest_settle(guest);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_UNSUPPORTED);
	assert_int_equal(guest->due, guest->now + SECOND);
	assert_int_equal(guest->fake.accepted, 0);
	expect_said(guest, "virtio balloon, device: no VERSION_1");
	/* Whoever put it there may do better. */
	guest->fake.offered |= T(VERSION_1);
	fake_guest_wait(guest, SECOND);
	fake_guest_target(guest, 100);
	assert_int_equal(fake_guest_frames(guest), 100);
	end_guest(guest);
}

static void test_start_with_features_refused_fails_and_is_tried_again(void **state)
{
	struct fake_guest_options options = { .entries = 64 };
	struct fake_guest *guest = new_guest(&options);
	uint8_t last = 0;

	(void)state;
	guest->fake.is_refusing = true;
	fake_guest_settle(guest);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_UNSUPPORTED);
	/* It said so before it left. */
	for (uint64_t i = 0; i < guest->record.total; i++)
		if (guest->record.entries[i].access == SIM_VIRTIO_SET_STATUS &&
		    guest->record.entries[i].value)
			last = (uint8_t)guest->record.entries[i].value;
	assert_int_equal(last, 0x8b);
	assert_int_equal(guest->record.count[SIM_VIRTIO_QUEUE_START], 0);
	fake_guest_wait(guest, 5 * SECOND);
	assert_in_range(guest->fake.resets, 6, 18);
	expect_said(guest, "virtio balloon, device: features refused");
	guest->fake.is_refusing = false;
	fake_guest_wait(guest, SECOND);
	assert_true(guest->drv.is_live);
	end_guest(guest);
}

static void test_start_of_a_device_that_is_gone_waits_for_it(void **state)
{
	struct fake_guest *guest = new_guest(NULL);

	(void)state;
	guest->fake.is_gone = true;
	fake_guest_wait(guest, 10 * SECOND);
	assert_false(guest->drv.is_live);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_REFUSED);
	expect_said(guest, "virtio balloon, device: gone");
	assert_int_equal(sim_port_lent_frames(&guest->sim), 0);
	guest->fake.is_gone = false;
	fake_guest_wait(guest, SECOND);
	fake_guest_target(guest, 77);
	assert_int_equal(fake_guest_frames(guest), 77);
	end_guest(guest);
}

static void test_start_with_a_reset_that_never_ends_is_silent_in_bounded_time(void **state)
{
	struct fake_guest *guest = new_guest(NULL);

	(void)state;
	guest->fake.slow_resets = VIRTIO_FAKE_GONE_FOREVER;
	fake_guest_settle(guest);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_SILENT);
	assert_in_range(guest->record.count[SIM_VIRTIO_STATUS], 100, 10000);
	fake_guest_wait(guest, 3 * SECOND);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_SILENT);
	expect_said(guest, "virtio balloon, device: no reset");
	/* Slow is not dead. */
	guest->fake.slow_resets = 50;
	fake_guest_wait(guest, SECOND);
	fake_guest_target(guest, 300);
	assert_int_equal(fake_guest_frames(guest), 300);
	guest->fake.slow_resets = VIRTIO_FAKE_GONE_FOREVER;
	assert_in_range(fake_guest_stop(guest), 0, 6 * SECOND);
	end_guest(guest);
}

static void test_start_with_a_queue_that_is_not_taken_is_tried_again(void **state)
{
	struct fake_guest *guest = new_guest(NULL);

	(void)state;
	guest->fake.is_closed = true;
	fake_guest_wait(guest, 2 * SECOND);
	assert_false(guest->drv.is_live);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_REFUSED);
	expect_said(guest, "virtio balloon, inflate: refused");
	guest->fake.is_closed = false;
	fake_guest_wait(guest, SECOND);
	fake_guest_target(guest, 5);
	assert_int_equal(fake_guest_frames(guest), 5);
	end_guest(guest);
}

static enum aero_status start_no_queue(void *ctx, unsigned int index,
				       const struct aero_virtio_ring *ring)
{
	(void)ctx;
	(void)index;
	(void)ring;
	return AERO_EINVAL;
}

static void test_start_with_a_ring_that_the_transport_cannot_say_is_tried_again(void **state)
{
	struct fake_guest *guest = new_guest(NULL);

	(void)state;
	guest->record.transport.queue_start = start_no_queue;
	fake_guest_settle(guest);
	assert_int_equal(fake_guest_stall(guest), AERO_STALL_REFUSED);
	expect_said(guest, "virtio balloon, inflate: ring too high");
	end_guest(guest);
}

static void move_with_sizes(uint32_t size, bool is_packed, bool is_legacy, uint32_t request_frames)
{
	struct fake_guest_options options = {
		.is_legacy = is_legacy,
		.guest = { .request_frames = request_frames,
			   .declined = is_packed ? T(INDIRECT_DESC)
						 : T(RING_PACKED) | T(INDIRECT_DESC) },
		.stats = 1,
	};
	struct fake_guest *guest = new_guest(&options);

	for (unsigned int i = 0; i < 5; i++)
		guest->fake.queue_size[i] = size;
	fake_guest_serve(guest);
	if (!guest->drv.is_live)
		fail_msg("size %u, packed %d, legacy %d, %u numbers: %s", size, is_packed,
			 is_legacy, request_frames, aero_stall_str(fake_guest_stall(guest)));
	fake_guest_target(guest, 3000);
	assert_int_equal(fake_guest_frames(guest), 3000);
	assert_int_equal(guest->fake.given_frames, 3000);
	fake_guest_target(guest, 11);
	assert_int_equal(guest->fake.given_frames, 11);
	end_guest(guest);
}

static void test_start_with_queues_of_any_size(void **state)
{
	static const uint32_t sizes[] = { 1, 2, 3, 7, 64, 100, 128, 256, 1000, 32768, 65535 };

	(void)state;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		move_with_sizes(sizes[i], true, false, 0);
		move_with_sizes(sizes[i], false, false, 0);
		move_with_sizes(sizes[i], true, false, 4096);
		move_with_sizes(sizes[i], false, false, 16320);
		/* There the ring is as the device says, and has to be a power of two. */
		if (!(sizes[i] & (sizes[i] - 1)) && sizes[i] < 4096)
			move_with_sizes(sizes[i], false, true, 0);
	}
}

static void test_start_without_a_queue_for_frames_is_unsupported(void **state)
{
	(void)state;
	for (unsigned int index = 0; index < 2; index++) {
		struct fake_guest *guest = new_guest(NULL);

		guest->fake.queue_size[index] = 0;
		fake_guest_settle(guest);
		assert_int_equal(fake_guest_stall(guest), AERO_STALL_UNSUPPORTED);
		expect_said(guest, index ? "virtio balloon, deflate: no queue"
					 : "virtio balloon, inflate: no queue");
		end_guest(guest);
	}
}

static void test_start_with_a_feature_without_its_queue_goes_without(void **state)
{
	struct fake_guest_options options = {
		.guest = { .reporting = { .is_pulling = true } },
		.stats = 1,
	};
	struct fake_guest *guest = new_guest(&options);
	struct aero_virtio_balloon_guest_report report;

	(void)state;
	guest->fake.queue_size[2] = guest->fake.queue_size[3] = guest->fake.queue_size[4] = 0;
	fake_guest_target(guest, 1000);
	report = report_of(guest);
	for (unsigned int i = 2; i < 5; i++)
		assert_int_equal(report.queue_index[i], 0xff);
	assert_int_equal(fake_guest_frames(guest), 1000);
	expect_said(guest, "virtio balloon, stats: no queue");
	fake_guest_wait(guest, 10 * SECOND);
	assert_int_equal(report_of(guest).counters.reports, 0);
	end_guest(guest);
}

static void test_start_of_a_legacy_device_accepts_low_bits_without_features_ok(void **state)
{
	struct fake_guest_options options = { .is_legacy = true, .entries = 64, .stats = 3 };
	struct fake_guest *guest = new_guest(&options);

	(void)state;
	guest->fake.offered = KNOWN;
	fake_guest_target(guest, 600);
	assert_int_equal(guest->fake.accepted >> 32, 0);
	assert_int_equal(guest->fake.status, 7);
	assert_int_equal(guest->fake.given_frames, 600);
	for (uint64_t i = 0; i < guest->record.total; i++)
		assert_false(guest->record.entries[i].access == SIM_VIRTIO_SET_STATUS &&
			     guest->record.entries[i].value & AERO_VIRTIO_STATUS_FEATURES_OK);
	end_guest(guest);
}

static void test_start_without_memory_fails_and_is_tried_again(void **state)
{
	(void)state;
	/* Whatever the first start lacks, once or for a while; some it can do without. */
	for (unsigned int i = 0; i < 36; i++) {
		struct fake_guest_options options = { .stats = 1 };
		struct fake_guest *guest = new_guest(&options);

		sim_port_fail(&guest->sim, SIM_PORT_PAGE_GET, 1 + i / 2, i % 2);
		fake_guest_wait(guest, 3 * SECOND);
		sim_port_fail(&guest->sim, 0, 0, false);
		fake_guest_wait(guest, 2 * SECOND);
		fake_guest_target(guest, 2000);
		assert_int_equal(fake_guest_frames(guest), 2000);
		fake_guest_target(guest, 3);
		assert_int_equal(guest->fake.given_frames, 3);
		end_guest(guest);
	}
}

static void refuse(struct aero_virtio_balloon_guest_config guest, bool is_legacy)
{
	struct fake_guest_options options = {
		.guest = guest,
		.is_legacy = is_legacy,
		.has_no_memory = is_legacy,
	};
	struct fake_guest *made = malloc(sizeof(*made));

	assert_non_null(made);
	assert_int_equal(fake_guest_open(made, &options), AERO_EINVAL);
	assert_null(sim_port_check_empty(&made->sim));
	sim_port_fini(&made->sim);
	free(made);
}

static void test_init_with_numbers_out_of_range_is_refused(void **state)
{
	(void)state;
	refuse((struct aero_virtio_balloon_guest_config){ .requests = 65 }, false);
	refuse((struct aero_virtio_balloon_guest_config){ .request_frames = 16321 }, false);
	refuse((struct aero_virtio_balloon_guest_config){ .numbering = 3 }, false);
	refuse((struct aero_virtio_balloon_guest_config){ .reporting = { .order = 4 } }, false);
	refuse((struct aero_virtio_balloon_guest_config){ .reporting = { .order = 31 } }, false);
	refuse((struct aero_virtio_balloon_guest_config){ .balloon = { .batches = 17 } }, false);
	refuse((struct aero_virtio_balloon_guest_config){ 0 }, true);
}

static void test_init_without_a_member_of_the_transport_is_refused(void **state)
{
	struct fake_guest *guest = new_guest(NULL);
	/* Pointers to functions, from the first to the optional last one. */
	size_t first = offsetof(struct aero_virtio_transport, features);
	size_t end = offsetof(struct aero_virtio_transport, take_interrupts);

	(void)state;
	for (size_t at = first; at < end; at += sizeof(void (*)(void))) {
		struct aero_virtio_transport transport = guest->fake.transport;
		struct aero_virtio_balloon_guest_config config = {
			.balloon = { .port = &guest->port },
			.transport = &transport,
		};
		struct aero_virtio_balloon_guest drv;

		memset((uint8_t *)&transport + at, 0, sizeof(void (*)(void)));
		assert_int_equal(aero_virtio_balloon_guest_init(&drv, &config), AERO_EINVAL);
	}
	end_guest(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_accepts_what_kernel_and_device_have),
		cmocka_unit_test(test_start_without_version_1_on_a_modern_transport_is_unsupported),
		cmocka_unit_test(test_start_with_features_refused_fails_and_is_tried_again),
		cmocka_unit_test(test_start_of_a_device_that_is_gone_waits_for_it),
		cmocka_unit_test(test_start_with_a_reset_that_never_ends_is_silent_in_bounded_time),
		cmocka_unit_test(test_start_with_a_queue_that_is_not_taken_is_tried_again),
		cmocka_unit_test(
			test_start_with_a_ring_that_the_transport_cannot_say_is_tried_again),
		cmocka_unit_test(test_start_with_queues_of_any_size),
		cmocka_unit_test(test_start_without_a_queue_for_frames_is_unsupported),
		cmocka_unit_test(test_start_with_a_feature_without_its_queue_goes_without),
		cmocka_unit_test(
			test_start_of_a_legacy_device_accepts_low_bits_without_features_ok),
		cmocka_unit_test(test_start_without_memory_fails_and_is_tried_again),
		cmocka_unit_test(test_init_with_numbers_out_of_range_is_refused),
		cmocka_unit_test(test_init_without_a_member_of_the_transport_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
