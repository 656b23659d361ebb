/* SPDX-License-Identifier: MIT */
/* The device written down and read back. */
#include "test_virtio_balloon_case.h"

#include "support/random.h"

static const uint64_t stat[][2] = { { 4, 5 }, { 7, 0 }, { 300, 9 } };

/* Work on every queue; the driver says the same things in the same order each time. */
static void send_work(struct balloon_rig *rig)
{
	static const struct aero_range report = { 20000, 9000 };
	static const struct aero_range hint = { 0, 512 };
	unsigned int hints = balloon_rig_index(rig, ROLE(HINT));
	unsigned int reports = balloon_rig_index(rig, ROLE(REPORTING));

	balloon_rig_send_run(rig, INFLATE, 100, 2000);
	balloon_rig_send_run(rig, INFLATE, 5000, 10);
	balloon_rig_send_run(rig, DEFLATE, 150, 900);
	balloon_rig_send_run(rig, INFLATE, 7000, 300);
	if (balloon_rig_accepted(rig) & FEATURE(STATS_VQ))
		assert_true(balloon_rig_send_stats(rig, stat, 3));
	if (balloon_rig_accepted(rig) & FEATURE(FREE_PAGE_HINT))
		assert_true(balloon_rig_send_ranges(rig, hints, &hint, 1));
	if (balloon_rig_accepted(rig) & FEATURE(PAGE_REPORTING))
		assert_true(balloon_rig_send_ranges(rig, reports, &report, 1));
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		balloon_rig_kick(rig, i);
}

static struct balloon_rig *open_working(const struct balloon_rig_options *options)
{
	struct balloon_rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	balloon_rig_open(rig, options);
	balloon_rig_connect(rig);
	balloon_rig_run(rig);
	case_target(rig, 5000);
	send_work(rig);
	return rig;
}

static void close_rig(struct balloon_rig *rig)
{
	balloon_rig_close(rig);
	free(rig);
}

static void quiesce(struct balloon_rig *rig)
{
	aero_virtio_balloon_host_quiesce(&rig->dev);
	balloon_rig_run(rig);
	assert_true(case_report(rig).is_drained);
}

static void save(struct balloon_rig *rig, struct test_stream *stream)
{
	test_stream_init(stream);
	assert_int_equal(aero_virtio_balloon_host_save(&rig->dev, &stream->sink), AERO_OK);
}

static enum aero_status restore(struct balloon_rig *rig, struct test_stream *stream)
{
	stream->at = 0;
	return aero_virtio_balloon_host_restore(&rig->dev, &stream->source);
}

static void assert_same_device(const struct balloon_rig *a, const struct balloon_rig *b)
{
	struct aero_virtio_balloon_report ra = case_report(a);
	struct aero_virtio_balloon_report rb = case_report(b);

	assert_memory_equal(&ra, &rb, sizeof(ra));
	assert_memory_equal(&a->dev.counters, &b->dev.counters, sizeof(a->dev.counters));
	assert_memory_equal(&a->dev.ledger.counters, &b->dev.ledger.counters,
			    sizeof(a->dev.ledger.counters));
	assert_int_equal(a->dev.stats.known, b->dev.stats.known);
	assert_int_equal(a->dev.stats.sequence, b->dev.stats.sequence);
	assert_memory_equal(a->dev.stats.value, b->dev.stats.value, sizeof(a->dev.stats.value));
	assert_int_equal(a->dev.stats.unknown_count, b->dev.stats.unknown_count);
	assert_memory_equal(a->dev.config_space, b->dev.config_space, 16);
}

/* More of everything: a hint round, statistics wanted, deflation. */
static void go_on(struct balloon_rig *rig)
{
	aero_virtio_balloon_host_resume(&rig->dev);
	balloon_rig_run(rig);
	(void)aero_virtio_balloon_host_request_stats(&rig->dev);
	(void)aero_virtio_balloon_host_hint_start(&rig->dev);
	balloon_rig_run(rig);
	send_work(rig);
	balloon_rig_run(rig);
	balloon_rig_write_actual(rig, 1000);
	balloon_rig_deflate(rig, 100, 700);
	case_pass(rig, AERO_LEDGER_IDLE_NS_DEFAULT);
	balloon_rig_check(rig);
}

/* One rig is paused and resumed at a step, the other saved and restored: no difference after. */
static bool save_at(const struct balloon_rig_options *options, unsigned int step)
{
	struct balloon_rig *kept = open_working(options);
	struct balloon_rig *moved = open_working(options);
	struct test_stream stream;
	bool is_over = false;

	for (unsigned int i = 0; i < step; i++) {
		balloon_rig_step(kept);
		is_over = balloon_rig_step(moved) > moved->now;
	}
	quiesce(kept);
	quiesce(moved);
	save(moved, &stream);
	balloon_rig_replace(moved);
	assert_int_equal(restore(moved, &stream), AERO_OK);
	assert_int_equal(stream.at, stream.len);
	balloon_rig_run(moved);
	assert_same_device(kept, moved);
	go_on(kept);
	go_on(moved);
	assert_same_device(kept, moved);
	assert_int_equal(kept->held, moved->held);
	assert_int_equal(kept->in_flight, moved->in_flight);
	assert_memory_equal(kept->host.state, moved->host.state, (size_t)kept->host.frames);
	test_stream_fini(&stream);
	close_rig(kept);
	close_rig(moved);
	return is_over;
}

static void test_saved_at_every_step_goes_on_the_same(void **state)
{
	unsigned int step = 0;

	while (!save_at(*state, step))
		step++;
	assert_true(step > 10);
}

static void test_save_needs_a_drained_device(void **state)
{
	struct balloon_rig *rig = *state;
	struct test_stream stream;

	test_stream_init(&stream);
	assert_int_equal(aero_virtio_balloon_host_save(&rig->dev, &stream.sink), AERO_ESTATE);
	send_work(rig);
	balloon_rig_step(rig);
	aero_virtio_balloon_host_quiesce(&rig->dev);
	assert_int_equal(aero_virtio_balloon_host_save(&rig->dev, &stream.sink), AERO_ESTATE);
	assert_int_equal(stream.len, 0);
	balloon_rig_run(rig);
	assert_int_equal(aero_virtio_balloon_host_save(&rig->dev, &stream.sink), AERO_OK);
	test_stream_fini(&stream);
}

/* Saving is looking: no byte of guest memory, no call of the host, and the device can go on. */
static void test_save_touches_nothing(void **state)
{
	struct balloon_rig *rig = *state;
	struct guest_ram_region *rings = &rig->host.ram.region[0];
	uint8_t *before = malloc(rings->bytes);
	struct test_stream first;
	struct test_stream second;

	assert_non_null(before);
	send_work(rig);
	quiesce(rig);
	virtio_driver_set_interrupts(&rig->drv[0], false);
	memcpy(before, rings->host, rings->bytes);
	rig->host.is_frozen = true;
	save(rig, &first);
	save(rig, &second);
	rig->host.is_frozen = false;
	assert_memory_equal(before, rings->host, rings->bytes);
	assert_int_equal(first.len, second.len);
	assert_memory_equal(first.bytes, second.bytes, first.len);
	go_on(rig);
	test_stream_fini(&first);
	test_stream_fini(&second);
	free(before);
}

/* Restored and saved again: the same stream. */
static void test_restored_device_saves_the_same(void **state)
{
	struct balloon_rig *rig = *state;
	struct test_stream first;
	struct test_stream second;

	send_work(rig);
	quiesce(rig);
	save(rig, &first);
	balloon_rig_replace(rig);
	assert_int_equal(restore(rig, &first), AERO_OK);
	balloon_rig_run(rig);
	save(rig, &second);
	assert_int_equal(first.len, second.len);
	assert_memory_equal(first.bytes, second.bytes, first.len);
	test_stream_fini(&first);
	test_stream_fini(&second);
}

static void test_broken_ring_stays_broken(void **state)
{
	struct balloon_rig *rig = *state;
	struct test_stream stream;

	virtio_driver_put_avail_idx(&rig->drv[DEFLATE], 5000);
	balloon_rig_kick(rig, DEFLATE);
	balloon_rig_run(rig);
	quiesce(rig);
	save(rig, &stream);
	assert_int_equal(rig->dev.queue[DEFLATE].ring.fault, AERO_VIRTIO_QUEUE_FAULT_INDEX);
	balloon_rig_replace(rig);
	assert_int_equal(restore(rig, &stream), AERO_OK);
	assert_int_equal(rig->dev.queue[DEFLATE].ring.fault, AERO_VIRTIO_QUEUE_FAULT_INDEX);
	aero_virtio_balloon_host_resume(&rig->dev);
	balloon_rig_run(rig);
	assert_int_equal(rig->dev.counters.broken_queues, 1);
	balloon_rig_inflate(rig, 0, 10);
	assert_int_equal(aero_virtio_balloon_host_set_status(&rig->dev, 0x0f), 0x4f);
	test_stream_fini(&stream);
}

/* Rings that were going down when the state was saved have the roles they had. */
static void test_numbering_of_stopped_rings_is_kept(void **state)
{
	struct balloon_rig *rig = *state;
	struct test_stream stream;

	balloon_rig_stop_ring(rig, 2);
	quiesce(rig);
	save(rig, &stream);
	balloon_rig_replace(rig);
	assert_int_equal(restore(rig, &stream), AERO_OK);
	assert_int_equal(rig->dev.queue[3].role, ROLE(REPORTING));
	aero_virtio_balloon_host_resume(&rig->dev);
	balloon_rig_start_ring(rig, 2);
	assert_int_equal(rig->dev.queue[2].role, ROLE(HINT));
	test_stream_fini(&stream);
}

/* As after init(), and fit for a driver. */
static void assert_fresh(struct balloon_rig *rig)
{
	assert_int_equal(aero_ledger_held(&rig->dev.ledger), 0);
	assert_int_equal(rig->host.live_nodes, 0);
	assert_false(case_report(rig).is_live);
	assert_int_equal(rig->dev.counters.kicks, 0);
	assert_int_equal(case_config(rig, 0), 0);
	assert_int_equal(aero_virtio_balloon_host_validate(&rig->dev), AERO_OK);
}

static void save_busy(struct balloon_rig *rig, struct test_stream *stream)
{
	send_work(rig);
	balloon_rig_run(rig);
	aero_virtio_balloon_host_inhibit(&rig->dev, AERO_INHIBIT_OPERATOR);
	balloon_rig_inflate(rig, 9000, 20);
	quiesce(rig);
	save(rig, stream);
	balloon_rig_replace(rig);
}

static void test_restore_of_every_shorter_stream_is_refused(void **state)
{
	struct balloon_rig *rig = *state;
	struct test_stream stream;
	size_t len;

	save_busy(rig, &stream);
	for (len = stream.len; len--;) {
		stream.len = len;
		assert_int_equal(restore(rig, &stream), AERO_EPROTO);
		assert_fresh(rig);
	}
	test_stream_fini(&stream);
}

/*
 * Whatever the bytes say: refused, or a device that holds together and can be run, with a driver
 * that knows nothing of it.
 */
static void restore_changed(struct balloon_rig *rig, struct test_stream *stream,
			    unsigned int *refused)
{
	enum aero_status status = restore(rig, stream);

	assert_true(status == AERO_OK || status == AERO_EPROTO);
	assert_int_equal(aero_virtio_balloon_host_validate(&rig->dev), AERO_OK);
	if (status == AERO_EPROTO) {
		(*refused)++;
		assert_fresh(rig);
		return;
	}
	aero_virtio_balloon_host_resume(&rig->dev);
	for (int i = 0; i < 40; i++)
		aero_virtio_balloon_host_step(&rig->dev, rig->now);
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		aero_virtio_balloon_host_queue_stop(&rig->dev, i);
	assert_int_equal(aero_virtio_balloon_host_validate(&rig->dev), AERO_OK);
	balloon_rig_replace(rig);
}

static void test_restore_with_any_byte_changed_is_refused_or_valid(void **state)
{
	static const uint8_t flips[] = { 0x01, 0x80, 0xff };
	struct balloon_rig *rig = *state;
	struct test_stream stream;
	unsigned int refused = 0;

	save_busy(rig, &stream);
	/* The driver's record is of no use any more, nor what it would find in its rings. */
	balloon_rig_forget(rig);
	rig->host.is_lax = true;
	for (size_t i = 0; i < stream.len; i++) {
		for (size_t n = 0; n < TEST_ARRAY_SIZE(flips); n++) {
			stream.bytes[i] ^= flips[n];
			restore_changed(rig, &stream, &refused);
			stream.bytes[i] ^= flips[n];
		}
	}
	print_message("# %u of %zu changed streams refused\n", refused, 3 * stream.len);
	assert_true(refused > 200);
	test_stream_fini(&stream);
}

static void test_restore_checks_that_features_are_offered(void **state)
{
	struct balloon_rig *rig = *state;
	struct test_stream stream;

	save_busy(rig, &stream);
	aero_virtio_balloon_host_fini(&rig->dev);
	rig->options.offered &= ~FEATURE(STATS_VQ);
	{
		struct aero_virtio_balloon_config config = rig->dev.config;

		config.offered.word[0] = rig->options.offered;
		config.config_bytes = 0;
		assert_int_equal(aero_virtio_balloon_host_init(&rig->dev, &config), AERO_OK);
	}
	assert_int_equal(restore(rig, &stream), AERO_EPROTO);
	assert_fresh(rig);
	test_stream_fini(&stream);
}

static void test_restore_checks_that_rings_and_frames_are_memory(void **state)
{
	struct balloon_rig *rig = *state;
	struct aero_range frame = { 9010, 1 };
	struct test_stream stream;

	save_busy(rig, &stream);
	host_double_clear(&rig->host, frame, HOST_DOUBLE_RAM);
	assert_int_equal(restore(rig, &stream), AERO_EPROTO);
	assert_fresh(rig);
	host_double_set(&rig->host, frame, HOST_DOUBLE_RAM);
	for (uint64_t nth = 1; nth <= 6; nth++) {
		host_double_fail(&rig->host, HOST_DOUBLE_TRANSLATE, nth, false);
		assert_int_equal(restore(rig, &stream), AERO_EPROTO);
		assert_fresh(rig);
	}
	host_double_fail(&rig->host, 0, 0, false);
	assert_int_equal(restore(rig, &stream), AERO_OK);
	test_stream_fini(&stream);
}

static void test_restore_without_memory_leaves_a_fresh_device(void **state)
{
	struct balloon_rig *rig = *state;
	enum aero_status status = AERO_ENOMEM;
	struct test_stream stream;
	uint64_t nth;

	save_busy(rig, &stream);
	for (nth = 1; status == AERO_ENOMEM; nth++) {
		host_double_fail(&rig->host, HOST_DOUBLE_NODE, nth, false);
		status = restore(rig, &stream);
		if (status == AERO_ENOMEM)
			assert_fresh(rig);
	}
	assert_int_equal(status, AERO_OK);
	assert_true(nth > 4);
	test_stream_fini(&stream);
}

static void test_save_passes_failures_on(void **state)
{
	struct balloon_rig *rig = *state;
	struct test_stream whole;

	send_work(rig);
	quiesce(rig);
	save(rig, &whole);
	for (size_t len = 1; len < whole.len; len += 7) {
		struct test_stream part;

		test_stream_init(&part);
		part.fail_after = len;
		assert_int_equal(aero_virtio_balloon_host_save(&rig->dev, &part.sink), AERO_EIO);
		test_stream_fini(&part);
	}
	go_on(rig);
	test_stream_fini(&whole);
}

static void test_inhibition_is_kept(void **state)
{
	struct balloon_rig *rig = *state;
	struct test_stream stream;

	save_busy(rig, &stream);
	assert_int_equal(restore(rig, &stream), AERO_OK);
	aero_virtio_balloon_host_resume(&rig->dev);
	case_pass(rig, AERO_LEDGER_IDLE_NS_DEFAULT);
	assert_int_equal(case_discarded(rig, 9000, 20), 0);
	aero_virtio_balloon_host_inhibit(&rig->dev, 0);
	balloon_rig_run(rig);
	assert_int_equal(case_discarded(rig, 9000, 20), 20);
	test_stream_fini(&stream);
}

int main(void)
{
	static struct balloon_rig_options usual;
	static struct balloon_rig_options request = { .refused = FEATURE(MUST_TELL_HOST) };
	static struct balloon_rig_options huge = { .backing = { 9, 9 } };
	static struct balloon_rig_options packed = {
		.offered = FEATURES_USUAL | TRANSPORT(EVENT_IDX) | TRANSPORT(RING_PACKED),
		.ring_size = 13,
	};
	static struct balloon_rig_options legacy = {
		.offered = FEATURES_ALL | TRANSPORT(INDIRECT_DESC),
		.is_big_endian = true,
	};
	static struct balloon_rig_options compact = { .refused = FEATURE(STATS_VQ),
						      .is_compact = true };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_saved_at_every_step_goes_on_the_same, &usual),
		cmocka_unit_test_prestate(test_saved_at_every_step_goes_on_the_same, &request),
		cmocka_unit_test_prestate(test_saved_at_every_step_goes_on_the_same, &huge),
		cmocka_unit_test_prestate(test_saved_at_every_step_goes_on_the_same, &packed),
		cmocka_unit_test_prestate(test_saved_at_every_step_goes_on_the_same, &legacy),
		cmocka_unit_test_prestate(test_saved_at_every_step_goes_on_the_same, &compact),
		CASE(test_save_needs_a_drained_device, NULL),
		CASE(test_save_touches_nothing, NULL),
		CASE(test_save_touches_nothing, &packed),
		CASE(test_restored_device_saves_the_same, NULL),
		CASE(test_restored_device_saves_the_same, &packed),
		CASE(test_broken_ring_stays_broken, NULL),
		CASE(test_numbering_of_stopped_rings_is_kept, &compact),
		CASE(test_restore_of_every_shorter_stream_is_refused, NULL),
		CASE(test_restore_with_any_byte_changed_is_refused_or_valid, NULL),
		CASE(test_restore_with_any_byte_changed_is_refused_or_valid, &packed),
		CASE(test_restore_checks_that_features_are_offered, NULL),
		CASE(test_restore_checks_that_rings_and_frames_are_memory, NULL),
		CASE(test_restore_without_memory_leaves_a_fresh_device, NULL),
		CASE(test_save_passes_failures_on, NULL),
		CASE(test_inhibition_is_kept, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
