/* SPDX-License-Identifier: MIT */
/* Which index is for what, rings that start and stop, and rings that break. */
#include "test_virtio_balloon_case.h"

static const enum aero_virtio_balloon_role roles[] = { ROLE(STATS), ROLE(HINT), ROLE(REPORTING) };
static const unsigned int features[] = { 1, 3, 5 };

/* A device that offers everything and a driver that takes these of the six. */
static struct balloon_rig *open_with(uint64_t accepted, bool is_compact)
{
	struct balloon_rig_options options = {
		.refused = FEATURES_ALL & ~accepted,
		.is_compact = is_compact,
	};
	struct balloon_rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	balloon_rig_open(rig, &options);
	return rig;
}

static void done(struct balloon_rig *rig)
{
	balloon_rig_close(rig);
	free(rig);
}

static bool has_role(const struct balloon_rig *rig, size_t i)
{
	return balloon_rig_accepted(rig) >> features[i] & 1;
}

static void assert_roles(const struct balloon_rig *rig)
{
	enum aero_virtio_balloon_role want[AERO_VIRTIO_BALLOON_QUEUES] = {
		ROLE(INFLATE), ROLE(DEFLATE), ROLE(NONE), ROLE(NONE), ROLE(NONE),
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(roles); i++) {
		if (has_role(rig, i))
			want[balloon_rig_index(rig, roles[i])] = roles[i];
	}
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		if (rig->dev.queue[i].is_started)
			assert_int_equal(rig->dev.queue[i].role, want[i]);
	}
}

/* One exchange on every queue that a feature brings. */
static void exercise(struct balloon_rig *rig)
{
	static const uint64_t stat[1][2] = { { 4, 5 } };
	struct aero_range range = { 512, 512 };
	uint64_t reports = rig->dev.counters.reports;
	uint64_t buffers = rig->dev.counters.stats_buffers;
	uint64_t stale = rig->dev.counters.hint_stale_buffers;

	balloon_rig_inflate(rig, 0, 3);
	balloon_rig_deflate(rig, 0, 3);
	if (has_role(rig, 0))
		assert_true(balloon_rig_send_stats(rig, stat, 1));
	if (has_role(rig, 1))
		assert_true(balloon_rig_send_ranges(rig, balloon_rig_index(rig, ROLE(HINT)), &range,
						    1));
	if (has_role(rig, 2))
		assert_true(balloon_rig_send_ranges(rig, balloon_rig_index(rig, ROLE(REPORTING)),
						    &range, 1));
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		balloon_rig_kick(rig, i);
	balloon_rig_run(rig);
	assert_int_equal(rig->dev.counters.stats_buffers, buffers + has_role(rig, 0));
	assert_int_equal(rig->dev.counters.hint_stale_buffers, stale + has_role(rig, 1));
	assert_int_equal(rig->dev.counters.reports, reports + has_role(rig, 2));
	assert_int_equal(rig->in_flight, has_role(rig, 0));
}

static void test_numbering_of_every_combination(void **state)
{
	(void)state;
	for (uint64_t accepted = 0; accepted <= FEATURES_ALL; accepted++) {
		for (int is_compact = 0; is_compact < 2; is_compact++) {
			struct balloon_rig *rig = open_with(accepted, is_compact);

			balloon_rig_connect(rig);
			balloon_rig_run(rig);
			assert_roles(rig);
			exercise(rig);
			done(rig);
		}
	}
}

/* The same with the rings started from the last to the first, and live before any of them. */
static void test_numbering_does_not_depend_on_the_order_of_starts(void **state)
{
	(void)state;
	for (uint64_t accepted = 0; accepted <= FEATURES_ALL; accepted++) {
		for (int is_compact = 0; is_compact < 2; is_compact++) {
			struct balloon_rig *rig = open_with(accepted, is_compact);

			balloon_rig_accept(rig);
			balloon_rig_live(rig);
			for (size_t i = TEST_ARRAY_SIZE(roles); i--;) {
				if (has_role(rig, i))
					balloon_rig_start_ring(rig,
							       balloon_rig_index(rig, roles[i]));
				balloon_rig_run(rig);
			}
			balloon_rig_start_ring(rig, DEFLATE);
			balloon_rig_start_ring(rig, INFLATE);
			assert_roles(rig);
			exercise(rig);
			done(rig);
		}
	}
}

/* A front end that starts every ring there is: then drivers close gaps. */
static void test_numbering_with_all_rings_up_is_compact(void **state)
{
	(void)state;
	for (uint64_t accepted = 0; accepted <= FEATURES_ALL; accepted++) {
		struct balloon_rig *rig = open_with(accepted, true);

		balloon_rig_accept(rig);
		for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
			balloon_rig_start_ring(rig, i);
		balloon_rig_live(rig);
		assert_roles(rig);
		exercise(rig);
		done(rig);
	}
}

/* Rings stop one by one: what an index is for does not change meanwhile. */
static void test_numbering_stays_while_rings_stop(void **state)
{
	(void)state;
	for (uint64_t accepted = 0; accepted <= FEATURES_ALL; accepted++) {
		for (int is_compact = 0; is_compact < 2; is_compact++) {
			struct balloon_rig *rig = open_with(accepted, is_compact);

			balloon_rig_connect(rig);
			for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
				if (rig->has_ring[i])
					balloon_rig_stop_ring(rig, i);
				assert_roles(rig);
			}
			for (unsigned int i = AERO_VIRTIO_BALLOON_QUEUES; i--;) {
				if (rig->has_ring[i])
					balloon_rig_start_ring(rig, i);
			}
			assert_roles(rig);
			exercise(rig);
			done(rig);
		}
	}
}

/* The next driver may number differently, with the same features and without a reset. */
static void test_numbering_is_decided_anew_after_all_rings_stopped(void **state)
{
	uint64_t accepted = FEATURE(FREE_PAGE_HINT) | FEATURE(PAGE_REPORTING);
	struct balloon_rig *rig = open_with(accepted, true);

	(void)state;
	balloon_rig_connect(rig);
	assert_roles(rig);
	aero_virtio_balloon_host_detach(&rig->dev);
	aero_virtio_balloon_host_forget(&rig->dev);
	balloon_rig_forget(rig);
	rig->options.is_compact = false;
	balloon_rig_connect(rig);
	assert_roles(rig);
	exercise(rig);
	done(rig);
}

/* What is in a ring, and its kick, waits until it is known what the ring is for. */
static void test_kicks_before_the_decision_are_kept(void **state)
{
	uint64_t accepted = FEATURE(FREE_PAGE_HINT) | FEATURE(PAGE_REPORTING);
	struct balloon_rig *rig = open_with(accepted, false);
	struct aero_range range = { 0, 512 };

	(void)state;
	balloon_rig_accept(rig);
	balloon_rig_start_ring(rig, 3);
	balloon_rig_live(rig);
	assert_true(balloon_rig_send_ranges(rig, 3, &range, 1));
	balloon_rig_kick(rig, 3);
	balloon_rig_run(rig);
	assert_int_equal(rig->dev.queue[3].role, ROLE(UNDECIDED));
	assert_int_equal(rig->answers[3], 0);
	balloon_rig_start_ring(rig, 4);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[3], 1);
	assert_int_equal(rig->dev.counters.hint_stale_buffers, 1);
	done(rig);
}

static void test_kick_before_driver_ok_is_kept(void **state)
{
	struct balloon_rig *rig = *state;

	balloon_rig_accept(rig);
	balloon_rig_start_ring(rig, INFLATE);
	balloon_rig_send_run(rig, INFLATE, 0, 10);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[INFLATE], 0);
	assert_int_equal(aero_ledger_held(&rig->dev.ledger), 0);
	balloon_rig_live(rig);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[INFLATE], 1);
	balloon_rig_check(rig);
}

static void test_kick_of_no_queue_is_ignored(void **state)
{
	struct balloon_rig *rig = *state;

	aero_virtio_balloon_host_kick(&rig->dev, 5);
	aero_virtio_balloon_host_kick(&rig->dev, UINT32_MAX);
	aero_virtio_balloon_host_queue_enable(&rig->dev, 5, true);
	assert_int_equal(aero_virtio_balloon_host_queue_stop(&rig->dev, 5), 0);
	assert_int_equal(aero_virtio_balloon_host_queue_start(&rig->dev, 5, &rig->drv[0].ring),
			 AERO_EINVAL);
	assert_int_equal(rig->dev.counters.kicks, 0);
}

static void test_disabled_ring_is_not_served(void **state)
{
	struct balloon_rig *rig = *state;

	aero_virtio_balloon_host_queue_enable(&rig->dev, INFLATE, false);
	balloon_rig_send_run(rig, INFLATE, 0, 10);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[INFLATE], 0);
	aero_virtio_balloon_host_queue_enable(&rig->dev, INFLATE, true);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[INFLATE], 1);
}

#define RINGS_BYTES (AERO_VIRTIO_BALLOON_QUEUES * BALLOON_RIG_RING_BYTES)

/* All that a front end, an operator and time can do to rings that are set up and disabled. */
static void disturb_disabled_rings(struct balloon_rig *rig)
{
	uint64_t set;

	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		struct aero_virtio_queue_config ring = rig->drv[i].ring;

		if (!rig->has_ring[i])
			continue;
		balloon_rig_kick(rig, i);
		ring.base = aero_virtio_balloon_host_queue_stop(&rig->dev, i);
		assert_int_equal(aero_virtio_balloon_host_queue_start(&rig->dev, i, &ring),
				 AERO_OK);
		balloon_rig_run(rig);
	}
	aero_virtio_balloon_host_memory_changed(&rig->dev);
	(void)aero_virtio_balloon_host_request_stats(&rig->dev);
	(void)aero_virtio_balloon_host_set_target(&rig->dev, 77, &set);
	(void)aero_virtio_balloon_host_hint_start(&rig->dev);
	aero_virtio_balloon_host_flush(&rig->dev);
	aero_virtio_balloon_host_quiesce(&rig->dev);
	balloon_rig_run(rig);
	aero_virtio_balloon_host_resume(&rig->dev);
	rig->now += 10 * AERO_LEDGER_IDLE_NS_DEFAULT;
	balloon_rig_run(rig);
}

/* Linux in UML frees its rings after it has disabled them, and never stops them. */
static void test_disabled_ring_is_not_written(void **state)
{
	struct balloon_rig *rig = *state;
	uint8_t *bytes = calloc(2, RINGS_BYTES);

	assert_non_null(bytes);
	exercise(rig);
	balloon_rig_send_run(rig, INFLATE, 100, 50);
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		aero_virtio_balloon_host_queue_enable(&rig->dev, i, false);
	guest_ram_read(&rig->host.ram, BALLOON_RIG_RINGS, bytes, RINGS_BYTES);
	disturb_disabled_rings(rig);
	guest_ram_read(&rig->host.ram, BALLOON_RIG_RINGS, bytes + RINGS_BYTES, RINGS_BYTES);
	assert_memory_equal(bytes, bytes + RINGS_BYTES, RINGS_BYTES);
	free(bytes);
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		aero_virtio_balloon_host_queue_enable(&rig->dev, i, true);
	balloon_rig_run(rig);
	assert_int_equal(rig->held, 50);
	balloon_rig_check(rig);
}

/* A ring that goes to sleep in the middle of a request finishes it: a pause must come to an end. */
static void test_disable_finishes_the_request(void **state)
{
	struct balloon_rig *rig = *state;

	balloon_rig_send_run(rig, INFLATE, 0, 2000);
	balloon_rig_step(rig);
	assert_true(rig->dev.queue[INFLATE].has_chain);
	aero_virtio_balloon_host_queue_enable(&rig->dev, INFLATE, false);
	balloon_rig_poll(rig);
	assert_int_equal(rig->answers[INFLATE], 1);
	balloon_rig_check(rig);
	aero_virtio_balloon_host_quiesce(&rig->dev);
	balloon_rig_run(rig);
	assert_int_equal(rig->events[EVENT(DRAINED)], 1);
}

static void test_stop_finishes_the_request_and_goes_on_later(void **state)
{
	struct balloon_rig *rig = *state;

	balloon_rig_send_run(rig, INFLATE, 0, 2000);
	balloon_rig_send_run(rig, INFLATE, 5000, 100);
	balloon_rig_step(rig);
	balloon_rig_stop_ring(rig, INFLATE);
	assert_int_equal(rig->answers[INFLATE], 1);
	balloon_rig_check(rig);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[INFLATE], 1);
	balloon_rig_start_ring(rig, INFLATE);
	balloon_rig_run(rig);
	assert_int_equal(rig->answers[INFLATE], 2);
	balloon_rig_check(rig);
	assert_int_equal(rig->held, 2100);
}

static void test_start_of_a_bad_ring_is_refused(void **state)
{
	struct balloon_rig *rig = *state;
	struct aero_virtio_queue_config ring = rig->drv[INFLATE].ring;

	balloon_rig_stop_ring(rig, INFLATE);
	ring.size = 3;
	assert_int_equal(aero_virtio_balloon_host_queue_start(&rig->dev, INFLATE, &ring),
			 AERO_EINVAL);
	ring = rig->drv[INFLATE].ring;
	ring.desc = 1ull << 50;
	assert_int_equal(aero_virtio_balloon_host_queue_start(&rig->dev, INFLATE, &ring),
			 AERO_ERANGE);
	balloon_rig_start_ring(rig, INFLATE);
	ring = rig->drv[INFLATE].ring;
	assert_int_equal(aero_virtio_balloon_host_queue_start(&rig->dev, INFLATE, &ring),
			 AERO_ESTATE);
	balloon_rig_inflate(rig, 0, 1);
}

static void test_broken_ring_is_told_and_others_live_on(void **state)
{
	struct balloon_rig *rig = *state;
	uint64_t notices = rig->config_notified;

	virtio_driver_put_avail_idx(&rig->drv[INFLATE], 5000);
	balloon_rig_kick(rig, INFLATE);
	balloon_rig_run(rig);
	assert_int_equal(rig->events[EVENT(BROKEN)], 1);
	assert_int_equal(rig->event_value[EVENT(BROKEN)], INFLATE);
	assert_int_equal(rig->dev.counters.broken_queues, 1);
	assert_int_equal(rig->config_notified, notices + 1);
	assert_int_equal(aero_virtio_balloon_host_set_status(&rig->dev, 0x0f), 0x4f);
	/* Told once, whatever comes after. */
	balloon_rig_kick(rig, INFLATE);
	aero_virtio_balloon_host_memory_changed(&rig->dev);
	balloon_rig_run(rig);
	assert_int_equal(rig->events[EVENT(BROKEN)], 1);
	balloon_rig_deflate(rig, 0, 10);
	assert_int_equal(rig->dev.ledger.counters.never_given, 10);
	balloon_rig_reset(rig);
	balloon_rig_connect(rig);
	balloon_rig_inflate(rig, 0, 10);
	balloon_rig_check(rig);
}

/* A chain whose second buffer is nowhere: the first one's frames are in, no answer comes. */
static void test_ring_that_breaks_in_a_request_discards_no_more_of_it(void **state)
{
	struct balloon_rig *rig = *state;
	uint32_t first[512];
	struct virtio_driver_buffer buffers[] = {
		{ BALLOON_RIG_DATA, sizeof(first), false },
		{ 1ull << 45, 16, false },
	};
	uint16_t id;

	for (uint32_t i = 0; i < 512; i++)
		first[i] = i;
	for (uint32_t i = 0; i < 512; i++)
		guest_ram_put(&rig->host.ram, BALLOON_RIG_DATA + 4 * i, first[i], 4, false);
	assert_true(virtio_driver_give(&rig->drv[INFLATE], buffers, 2, &id));
	balloon_rig_kick(rig, INFLATE);
	balloon_rig_run(rig);
	assert_int_equal(rig->events[EVENT(BROKEN)], 1);
	assert_int_equal(rig->dev.queue[INFLATE].ring.fault, AERO_VIRTIO_QUEUE_FAULT_ADDRESS);
	assert_int_equal(aero_ledger_held(&rig->dev.ledger), 512);
	assert_int_equal(aero_ledger_pending(&rig->dev.ledger), 0);
	/* The driver mends its ring without a reset. */
	balloon_rig_stop_ring(rig, INFLATE);
	virtio_driver_fini(&rig->drv[INFLATE]);
	rig->has_ring[INFLATE] = false;
	balloon_rig_start_ring(rig, INFLATE);
	balloon_rig_inflate(rig, 2000, 10);
	assert_int_equal(rig->host.discarded_frames, 10);
}

static void test_ring_outside_new_memory_is_broken(void **state)
{
	struct balloon_rig *rig = *state;

	guest_ram_remove(&rig->host.ram, BALLOON_RIG_RINGS);
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		rig->has_ring[i] = false;
	aero_virtio_balloon_host_memory_changed(&rig->dev);
	assert_int_equal(rig->dev.counters.broken_queues, 5);
	balloon_rig_run(rig);
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		virtio_driver_fini(&rig->drv[i]);
}

static void test_ring_is_found_where_new_memory_has_it(void **state)
{
	struct balloon_rig *rig = *state;

	balloon_rig_inflate(rig, 0, 100);
	guest_ram_move(&rig->host.ram, BALLOON_RIG_RINGS);
	aero_virtio_balloon_host_memory_changed(&rig->dev);
	balloon_rig_inflate(rig, 1000, 100);
	balloon_rig_check(rig);
}

/* Interrupts only where the driver asks for them. */
static void test_notices_follow_the_driver(void **state)
{
	struct balloon_rig *rig = *state;
	uint64_t before;

	balloon_rig_inflate(rig, 0, 1);
	before = rig->notified[INFLATE];
	assert_true(before >= 1);
	virtio_driver_set_interrupts(&rig->drv[INFLATE], false);
	balloon_rig_inflate(rig, 10, 1);
	assert_int_equal(rig->notified[INFLATE], before);
	virtio_driver_set_interrupts(&rig->drv[INFLATE], true);
	balloon_rig_inflate(rig, 20, 1);
	assert_int_equal(rig->notified[INFLATE], before + 1);
}

int main(void)
{
	static struct balloon_rig_options request = { .mode = AERO_DISCARD_REQUEST,
						      .refused = FEATURE(MUST_TELL_HOST) };
	static struct balloon_rig_options events = {
		.offered = FEATURES_USUAL | TRANSPORT(EVENT_IDX),
	};
	static struct balloon_rig_options packed = {
		.offered = FEATURES_USUAL | TRANSPORT(EVENT_IDX) | TRANSPORT(RING_PACKED),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbering_of_every_combination),
		cmocka_unit_test(test_numbering_does_not_depend_on_the_order_of_starts),
		cmocka_unit_test(test_numbering_with_all_rings_up_is_compact),
		cmocka_unit_test(test_numbering_stays_while_rings_stop),
		cmocka_unit_test(test_numbering_is_decided_anew_after_all_rings_stopped),
		cmocka_unit_test(test_kicks_before_the_decision_are_kept),
		CASE_OPEN(test_kick_before_driver_ok_is_kept, NULL),
		CASE(test_kick_of_no_queue_is_ignored, NULL),
		CASE(test_disabled_ring_is_not_served, NULL),
		CASE(test_disabled_ring_is_not_written, NULL),
		CASE(test_disabled_ring_is_not_written, &events),
		CASE(test_disabled_ring_is_not_written, &packed),
		CASE(test_disable_finishes_the_request, NULL),
		CASE(test_disable_finishes_the_request, &request),
		CASE(test_stop_finishes_the_request_and_goes_on_later, NULL),
		CASE(test_stop_finishes_the_request_and_goes_on_later, &request),
		CASE(test_stop_finishes_the_request_and_goes_on_later, &packed),
		CASE(test_start_of_a_bad_ring_is_refused, NULL),
		CASE(test_broken_ring_is_told_and_others_live_on, NULL),
		CASE(test_ring_that_breaks_in_a_request_discards_no_more_of_it, &request),
		CASE(test_ring_outside_new_memory_is_broken, NULL),
		CASE(test_ring_is_found_where_new_memory_has_it, NULL),
		CASE(test_ring_is_found_where_new_memory_has_it, &packed),
		CASE(test_notices_follow_the_driver, NULL),
		CASE(test_notices_follow_the_driver, &events),
		CASE(test_notices_follow_the_driver, &packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
