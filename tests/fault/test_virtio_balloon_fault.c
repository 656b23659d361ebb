/* SPDX-License-Identifier: MIT */
/*
 * A scenario of everything the device does, with the nth call of the host failing: once, and from
 * then on, until none is left to fail. After each the device holds together, every frame is in one
 * counter, no frame of the guest's was discarded, and after a reset all is well.
 * AERO_TEST_FAULT=kinds,n,on replays one.
 */
#include "support/test.h"

#include "support/balloon_rig.h"
#include "support/every_fault.h"

#define STATS 2
#define HINTS 3
#define REPORTS 4

static void check(struct balloon_rig *rig)
{
	const struct aero_ledger_counters *c = &rig->dev.ledger.counters;

	assert_string_equal(rig->host.violation, "");
	assert_false(rig->is_ring_broken);
	assert_int_equal(aero_virtio_balloon_host_validate(&rig->dev), AERO_OK);
	assert_int_equal(c->given + c->given_twice + c->unrecorded + c->returned +
				 c->returned_twice + c->never_given + c->out_of_range,
			 rig->dev.counters.inflate_frames + rig->dev.counters.deflate_frames);
	assert_int_equal(aero_ledger_held(&rig->dev.ledger), c->given - c->returned);
}

static void run(struct balloon_rig *rig)
{
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		balloon_rig_kick(rig, i);
	balloon_rig_run(rig);
	check(rig);
}

static void start_rings(struct balloon_rig *rig)
{
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		(void)balloon_rig_try_ring(rig, i);
}

static void send(struct balloon_rig *rig, uint32_t shift)
{
	static const uint64_t stat[1][2] = { { 4, 5 } };
	struct aero_range report[] = { { 20000 + shift, 8200 }, { 17, 3 } };
	struct aero_range hint = { 512, 512 };

	/* Across a boundary of the sets' leaves, so that nodes come and go. */
	balloon_rig_send_run(rig, INFLATE, 32000 + shift, 1500);
	balloon_rig_send_run(rig, INFLATE, 100 + shift, 300);
	balloon_rig_send_run(rig, DEFLATE, 32100 + shift, 900);
	assert_true(balloon_rig_send_stats(rig, stat, 1));
	assert_true(balloon_rig_send_ranges(rig, HINTS, &hint, 1));
	assert_true(balloon_rig_send_ranges(rig, REPORTS, report, 2));
}

/* Pause and resume; save and restore where that is possible. */
static void move(struct balloon_rig *rig)
{
	struct test_stream stream;

	aero_virtio_balloon_host_quiesce(&rig->dev);
	run(rig);
	test_stream_init(&stream);
	if (aero_virtio_balloon_host_save(&rig->dev, &stream.sink) == AERO_OK) {
		struct aero_virtio_balloon old = rig->dev;
		uint64_t held = aero_ledger_held(&rig->dev.ledger);
		struct aero_virtio_balloon_config config = rig->dev.config;
		struct aero_virtio_balloon *copy = calloc(1, sizeof(*copy));

		assert_non_null(copy);
		assert_int_equal(aero_virtio_balloon_host_init(copy, &config), AERO_OK);
		if (aero_virtio_balloon_host_restore(copy, &stream.source) == AERO_OK)
			assert_int_equal(aero_ledger_held(&copy->ledger), held);
		else
			assert_int_equal(aero_ledger_held(&copy->ledger), 0);
		assert_int_equal(aero_virtio_balloon_host_validate(copy), AERO_OK);
		aero_virtio_balloon_host_fini(copy);
		free(copy);
		assert_memory_equal(&old, &rig->dev, sizeof(old));
	}
	test_stream_fini(&stream);
	aero_virtio_balloon_host_resume(&rig->dev);
}

static void scenario(struct balloon_rig *rig)
{
	struct aero_virtio_features accepted = { { balloon_rig_accepted(rig), 0 } };
	uint64_t set;

	(void)aero_virtio_balloon_host_accept(&rig->dev, &accepted);
	start_rings(rig);
	balloon_rig_live(rig);
	(void)aero_virtio_balloon_host_set_target(&rig->dev, 5000, &set);
	(void)aero_virtio_balloon_host_hint_start(&rig->dev);
	send(rig, 0);
	run(rig);
	(void)aero_virtio_balloon_host_request_stats(&rig->dev);
	balloon_rig_write_actual(rig, 5000);
	run(rig);
	move(rig);
	aero_virtio_balloon_host_memory_changed(&rig->dev);
	send(rig, 77);
	run(rig);
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		balloon_rig_stop_ring(rig, i);
	check(rig);
	start_rings(rig);
	run(rig);
	rig->now += AERO_LEDGER_IDLE_NS_DEFAULT;
	run(rig);
}

/* Whatever had failed: a reset makes all of it good. */
static void recover(struct balloon_rig *rig)
{
	host_double_fail(&rig->host, 0, 0, false);
	balloon_rig_reset(rig);
	assert_int_equal(aero_ledger_held(&rig->dev.ledger), 0);
	assert_int_equal(rig->host.live_nodes, 0);
	balloon_rig_connect(rig);
	balloon_rig_inflate(rig, 1000, 2000);
	balloon_rig_deflate(rig, 1500, 100);
	rig->now += AERO_LEDGER_IDLE_NS_DEFAULT;
	balloon_rig_run(rig);
	balloon_rig_check(rig);
	assert_int_equal(rig->held, 1900);
}

/* Answers whether a fault was met. */
static bool run_once(const void *options, unsigned int kinds, uint64_t nth, bool is_on)
{
	struct balloon_rig *rig = calloc(1, sizeof(*rig));
	bool has_failed;

	assert_non_null(rig);
	balloon_rig_open(rig, options);
	host_double_fail(&rig->host, kinds, nth, is_on);
	scenario(rig);
	has_failed = rig->host.failures > 0;
	recover(rig);
	balloon_rig_close(rig);
	free(rig);
	return has_failed;
}

static void test_every_call_failing(void **state)
{
	test_every_fault(run_once, *state);
}

int main(void)
{
	static struct balloon_rig_options usual = { .frames = 65536 };
	static struct balloon_rig_options request = { .frames = 65536,
						      .refused = FEATURE(MUST_TELL_HOST) };
	static struct balloon_rig_options huge = { .frames = 65536, .backing = { 9, 9 } };
	static struct balloon_rig_options packed = {
		.frames = 65536,
		.offered = FEATURES_USUAL | TRANSPORT(RING_PACKED) | TRANSPORT(EVENT_IDX),
	};
#define CASE(options) cmocka_unit_test_prestate(test_every_call_failing, options)
	const struct CMUnitTest tests[] = {
		CASE(&usual),
		CASE(&request),
		CASE(&huge),
		CASE(&packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
