/* SPDX-License-Identifier: MIT */
/* The device before and around its queues: features, configuration space, status, target, stall. */
#include "test_virtio_balloon_case.h"

#define SILENT_NS 2000000000ull

static struct aero_virtio_balloon_config good_config(struct balloon_rig *rig)
{
	struct aero_virtio_balloon_config config = rig->dev.config;

	config.config_bytes = 0;
	return config;
}

static void assert_init(const struct aero_virtio_balloon_config *config, enum aero_status status)
{
	struct aero_virtio_balloon *dev = calloc(1, sizeof(*dev));

	assert_non_null(dev);
	assert_int_equal(aero_virtio_balloon_host_init(dev, config), status);
	if (status == AERO_OK)
		aero_virtio_balloon_host_fini(dev);
	free(dev);
}

static void test_init_refuses_what_is_missing(void **state)
{
	struct balloon_rig *rig = *state;
	struct aero_virtio_balloon_config config = good_config(rig);
	struct aero_host_memory memory = rig->host.memory;
	struct aero_virtio_balloon_ops ops = rig->ops;

	assert_init(&config, AERO_OK);
	config.memory = NULL;
	assert_init(&config, AERO_EINVAL);
	config.memory = &memory;
	memory.translate = NULL;
	assert_init(&config, AERO_EINVAL);
	memory = rig->host.memory;
	memory.is_ram = NULL;
	assert_init(&config, AERO_EINVAL);
	memory = rig->host.memory;
	config.ops = NULL;
	assert_init(&config, AERO_EINVAL);
	config.ops = &ops;
	ops.notify_queue = NULL;
	assert_init(&config, AERO_EINVAL);
	ops = rig->ops;
	ops.notify_config = NULL;
	assert_init(&config, AERO_EINVAL);
	ops = rig->ops;
	ops.event = NULL;
	ops.hint = NULL;
	assert_init(&config, AERO_OK);
	config.nodes.get = NULL;
	assert_init(&config, AERO_EINVAL);
}

static void test_init_refuses_features_it_does_not_have(void **state)
{
	struct balloon_rig *rig = *state;
	uint64_t known = FEATURES_ALL | TRANSPORT(INDIRECT_DESC) | TRANSPORT(EVENT_IDX) |
			 TRANSPORT(VERSION_1) | TRANSPORT(RING_PACKED) | TRANSPORT(IN_ORDER);

	for (unsigned int bit = 0; bit < 128; bit++) {
		struct aero_virtio_balloon_config config = good_config(rig);
		bool is_known = bit < 64 && known >> bit & 1;

		memset(&config.offered, 0, sizeof(config.offered));
		config.offered.word[bit / 64] = 1ull << bit % 64;
		assert_init(&config, is_known ? AERO_OK : AERO_EINVAL);
	}
}

static void test_init_checks_the_size_of_the_configuration(void **state)
{
	struct balloon_rig *rig = *state;

	for (uint64_t features = 0; features <= FEATURES_ALL; features++) {
		uint32_t needed = features & FEATURE(PAGE_POISON)      ? 16
				  : features & FEATURE(FREE_PAGE_HINT) ? 12
								       : 8;

		for (uint32_t bytes = 1; bytes <= 20; bytes++) {
			struct aero_virtio_balloon_config config = good_config(rig);
			bool is_good = bytes >= needed && bytes <= 16 && bytes % 4 == 0;

			config.offered.word[0] = features;
			config.config_bytes = bytes;
			assert_init(&config, is_good ? AERO_OK : AERO_EINVAL);
		}
	}
}

static void test_configuration_is_as_large_as_the_features_need(void **state)
{
	static const struct {
		uint64_t offered;
		uint32_t bytes;
	} cases[] = {
		{ FEATURE(STATS_VQ), 8 },
		{ FEATURE(FREE_PAGE_HINT) | FEATURE(STATS_VQ), 12 },
		{ FEATURE(PAGE_POISON), 16 },
		{ FEATURES_ALL, 16 },
	};

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		struct balloon_rig_options options = { .offered = cases[i].offered };
		struct balloon_rig *rig = calloc(1, sizeof(*rig));
		uint8_t buf[17];

		assert_non_null(rig);
		balloon_rig_open(rig, &options);
		assert_int_equal(aero_virtio_balloon_host_config_read(&rig->dev, 0, buf,
								      cases[i].bytes),
				 AERO_OK);
		assert_int_equal(aero_virtio_balloon_host_config_read(&rig->dev, 0, buf,
								      cases[i].bytes + 1),
				 AERO_ERANGE);
		balloon_rig_close(rig);
		free(rig);
	}
}

static void test_accept_takes_subsets_only(void **state)
{
	struct balloon_rig *rig = *state;
	uint64_t offered = rig->options.offered;

	for (unsigned int bit = 0; bit < 128; bit++) {
		struct aero_virtio_features wish = { { 0, 0 } };
		bool is_offered = bit < 64 && offered >> bit & 1;

		wish.word[bit / 64] = 1ull << bit % 64;
		assert_int_equal(aero_virtio_balloon_host_accept(&rig->dev, &wish),
				 is_offered ? AERO_OK : AERO_ENOTSUP);
		if (is_offered)
			assert_memory_equal(&rig->dev.accepted, &wish, sizeof(wish));
		assert_int_equal(aero_virtio_balloon_host_validate(&rig->dev), AERO_OK);
	}
	/* The last one that was accepted still counts. */
	assert_int_equal(rig->dev.accepted.word[0], TRANSPORT(VERSION_1));
}

static void test_accept_while_live_is_refused(void **state)
{
	struct balloon_rig *rig = *state;
	struct aero_virtio_features none = { { 0, 0 } };

	assert_int_equal(aero_virtio_balloon_host_accept(&rig->dev, &none), AERO_ESTATE);
	assert_int_equal(rig->dev.accepted.word[0], FEATURES_USUAL);
}

/* Collecting is for drivers that ask before they use a frame again, and for no others. */
static void test_mode_follows_must_tell_host(void **state)
{
	struct balloon_rig *rig = *state;
	struct aero_virtio_features features = { { FEATURES_USUAL, 0 } };

	aero_virtio_balloon_host_accept(&rig->dev, &features);
	assert_int_equal(case_report(rig).mode, AERO_DISCARD_COLLECT);
	features.word[0] &= ~FEATURE(MUST_TELL_HOST);
	aero_virtio_balloon_host_accept(&rig->dev, &features);
	assert_int_equal(case_report(rig).mode, AERO_DISCARD_REQUEST);
	assert_int_equal(aero_virtio_balloon_host_set_status(&rig->dev, 0), 0);
	assert_int_equal(aero_virtio_balloon_host_validate(&rig->dev), AERO_OK);
}

static void test_mode_is_never_more_than_configured(void **state)
{
	struct balloon_rig *rig = *state;

	assert_int_equal(case_report(rig).mode, rig->options.mode);
	balloon_rig_reset(rig);
	balloon_rig_connect(rig);
	assert_int_equal(case_report(rig).mode, rig->options.mode);
}

static void test_status_bits_stay_until_reset(void **state)
{
	struct balloon_rig *rig = *state;

	assert_int_equal(aero_virtio_balloon_host_set_status(&rig->dev, 1), 1);
	assert_int_equal(aero_virtio_balloon_host_set_status(&rig->dev, 2), 3);
	/* The device's own bit is not the driver's to set. */
	assert_int_equal(aero_virtio_balloon_host_set_status(&rig->dev, 0x48), 0x0b);
	assert_int_equal(rig->events[EVENT(READY)], 0);
	assert_int_equal(aero_virtio_balloon_host_set_status(&rig->dev, 4), 0x0f);
	assert_int_equal(rig->events[EVENT(READY)], 1);
	assert_int_equal(rig->event_value[EVENT(READY)], 1);
	assert_true(case_report(rig).is_live);
	assert_int_equal(aero_virtio_balloon_host_set_status(&rig->dev, 0), 0);
	assert_int_equal(rig->events[EVENT(READY)], 2);
	assert_int_equal(rig->event_value[EVENT(READY)], 0);
	assert_int_equal(rig->dev.counters.resets, 1);
}

/* Every offset and width against the same bytes read at once. */
static void test_config_read_at_every_offset_and_width(void **state)
{
	struct balloon_rig *rig = *state;
	uint8_t all[16];

	case_target(rig, 0x01020304);
	balloon_rig_write_actual(rig, 0x0a0b0c0d);
	aero_virtio_balloon_host_config_read(&rig->dev, 0, all, 16);
	assert_memory_equal(all, "\x04\x03\x02\x01\x0d\x0c\x0b\x0a", 8);
	for (uint32_t offset = 0; offset <= 40; offset++) {
		for (uint32_t len = 0; len <= 24; len++) {
			bool is_inside = offset + len <= 16;
			uint8_t buf[24];

			memset(buf, 0xee, sizeof(buf));
			assert_int_equal(aero_virtio_balloon_host_config_read(&rig->dev, offset,
									      buf, len),
					 is_inside ? AERO_OK : AERO_ERANGE);
			for (uint32_t i = 0; i < len; i++)
				assert_int_equal(buf[i], is_inside ? all[offset + i] : 0);
			if (len < sizeof(buf))
				assert_int_equal(buf[len], 0xee);
		}
	}
	assert_int_equal(aero_virtio_balloon_host_config_read(&rig->dev, UINT32_MAX, all, 2),
			 AERO_ERANGE);
}

static void test_config_write_outside_changes_nothing(void **state)
{
	struct balloon_rig *rig = *state;
	uint8_t ones[24];

	memset(ones, 0xff, sizeof(ones));
	for (uint32_t offset = 0; offset <= 40; offset++) {
		uint32_t len = offset < 16 ? 17 - offset : 1;

		assert_int_equal(aero_virtio_balloon_host_config_write(&rig->dev, offset, ones,
								       len),
				 AERO_ERANGE);
	}
	assert_int_equal(aero_virtio_balloon_host_config_write(&rig->dev, UINT32_MAX, ones, 2),
			 AERO_ERANGE);
	assert_int_equal(case_config(rig, 4), 0);
	assert_int_equal(rig->dev.counters.actual_writes, 0);
}

static void test_config_write_byte_by_byte_shows_no_value_between(void **state)
{
	static const uint8_t bytes[] = { 0x44, 0x33, 0x22, 0x11 };
	struct balloon_rig *rig = *state;

	balloon_rig_write_actual(rig, 7);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(case_report(rig).actual_frames, 7);
		assert_int_equal(rig->events[EVENT(ACTUAL)], 1);
		aero_virtio_balloon_host_config_write(&rig->dev, 4 + i, &bytes[i], 1);
	}
	assert_int_equal(case_report(rig).actual_frames, 0x11223344);
	assert_int_equal(rig->events[EVENT(ACTUAL)], 2);
	assert_int_equal(rig->event_value[EVENT(ACTUAL)], 0x11223344);
	assert_int_equal(rig->dev.counters.actual_writes, 2);
}

static void test_config_write_in_halves(void **state)
{
	struct balloon_rig *rig = *state;

	aero_virtio_balloon_host_config_write(&rig->dev, 4, "\x01\x02", 2);
	assert_int_equal(rig->events[EVENT(ACTUAL)], 0);
	aero_virtio_balloon_host_config_write(&rig->dev, 6, "\x03\x04", 2);
	assert_int_equal(rig->event_value[EVENT(ACTUAL)], 0x04030201);
}

static void test_config_write_of_the_device_fields_is_ignored(void **state)
{
	struct balloon_rig *rig = *state;
	uint8_t all[16];

	case_target(rig, 1234);
	memset(all, 0x55, sizeof(all));
	assert_int_equal(aero_virtio_balloon_host_config_write(&rig->dev, 0, all, 16), AERO_OK);
	assert_int_equal(case_config(rig, 0), 1234);
	assert_int_equal(case_config(rig, 4), 0x55555555);
	assert_int_equal(case_config(rig, 8), 0);
	assert_int_equal(case_config(rig, 12), 0x55555555);
	assert_int_equal(rig->dev.counters.config_writes_ignored, 1);
	/* The space written back as it was read is no offence. */
	aero_virtio_balloon_host_config_read(&rig->dev, 0, all, 16);
	aero_virtio_balloon_host_config_write(&rig->dev, 0, all, 16);
	assert_int_equal(rig->dev.counters.config_writes_ignored, 1);
	assert_int_equal(case_report(rig).poison_value, 0x55555555);
}

static void test_target_is_shown_and_told(void **state)
{
	struct balloon_rig *rig = *state;
	uint64_t notices = rig->config_notified;

	case_target(rig, 4096);
	assert_int_equal(case_config(rig, 0), 4096);
	assert_int_equal(rig->config_notified, notices + 1);
	assert_int_equal(rig->event_value[EVENT(TARGET)], 4096);
	assert_int_equal(case_report(rig).target_frames, 4096);
}

static void test_target_beyond_the_protocol_is_clamped(void **state)
{
	static const uint64_t targets[] = { 1ull << 32, (1ull << 32) + 5, UINT64_MAX };
	struct balloon_rig *rig = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(targets); i++) {
		uint64_t set = 0;

		assert_int_equal(aero_virtio_balloon_host_set_target(&rig->dev, targets[i], &set),
				 AERO_ERANGE);
		assert_int_equal(set, UINT32_MAX);
		assert_int_equal(case_config(rig, 0), UINT32_MAX);
	}
	case_target(rig, UINT32_MAX);
}

static void test_target_set_without_a_driver_is_told_when_one_comes(void **state)
{
	struct balloon_rig *rig = *state;

	case_target(rig, 100);
	assert_int_equal(rig->config_notified, 0);
	balloon_rig_connect(rig);
	assert_true(rig->config_notified >= 1);
	/* And is kept for the next one. */
	balloon_rig_reset(rig);
	assert_int_equal(case_config(rig, 0), 100);
}

static void test_actual_is_compared_with_the_ledger(void **state)
{
	struct balloon_rig *rig = *state;

	balloon_rig_inflate(rig, 0, 10);
	balloon_rig_write_actual(rig, 10);
	assert_int_equal(rig->events[EVENT(DISAGREE)], 0);
	balloon_rig_write_actual(rig, 11);
	assert_int_equal(rig->events[EVENT(DISAGREE)], 1);
	assert_int_equal(rig->event_value[EVENT(DISAGREE)], 10);
	assert_int_equal(rig->dev.counters.actual_mismatches, 1);
}

static void test_target_reached_is_told_and_ends_the_wait(void **state)
{
	struct balloon_rig *rig = *state;

	case_target(rig, 10);
	balloon_rig_inflate(rig, 0, 10);
	assert_int_equal(rig->host.discards, 0);
	balloon_rig_write_actual(rig, 9);
	balloon_rig_run(rig);
	assert_int_equal(rig->events[EVENT(REACHED)], 0);
	assert_int_equal(rig->host.discards, 0);
	balloon_rig_write_actual(rig, 10);
	balloon_rig_run(rig);
	assert_int_equal(rig->events[EVENT(REACHED)], 1);
	assert_int_equal(case_discarded(rig, 0, 10), 10);
}

static enum aero_host_stall stall(const struct balloon_rig *rig)
{
	return case_report(rig).stall;
}

static void test_stall_without_a_driver(void **state)
{
	struct balloon_rig *rig = *state;

	assert_int_equal(stall(rig), AERO_HOST_STALL_NONE);
	case_target(rig, 1);
	assert_int_equal(stall(rig), AERO_HOST_STALL_NO_DRIVER);
	balloon_rig_connect(rig);
	balloon_rig_step(rig);
	assert_int_equal(stall(rig), AERO_HOST_STALL_WORKING);
}

static void test_stall_of_a_silent_guest(void **state)
{
	struct balloon_rig *rig = *state;

	/* A target is new for a while, however long nothing has happened before. */
	rig->now += 100 * SILENT_NS;
	case_target(rig, 100);
	assert_int_equal(stall(rig), AERO_HOST_STALL_WORKING);
	balloon_rig_run(rig);
	case_pass(rig, SILENT_NS - 1);
	assert_int_equal(stall(rig), AERO_HOST_STALL_WORKING);
	case_pass(rig, 1);
	assert_int_equal(stall(rig), AERO_HOST_STALL_SILENT);
	balloon_rig_inflate(rig, 0, 10);
	assert_int_equal(stall(rig), AERO_HOST_STALL_WORKING);
}

static void test_stall_of_a_guest_short_of_memory(void **state)
{
	struct balloon_rig *rig = *state;

	case_target(rig, 100);
	balloon_rig_inflate(rig, 0, 10);
	balloon_rig_write_actual(rig, 10);
	balloon_rig_run(rig);
	case_pass(rig, SILENT_NS);
	assert_int_equal(stall(rig), AERO_HOST_STALL_SHORT);
	/* The same guest that does not take its memory back is not short of any. */
	case_target(rig, 0);
	balloon_rig_deflate(rig, 0, 5);
	balloon_rig_write_actual(rig, 5);
	balloon_rig_run(rig);
	case_pass(rig, SILENT_NS);
	assert_int_equal(stall(rig), AERO_HOST_STALL_SILENT);
}

static void test_stall_of_a_guest_that_shrinks_the_balloon(void **state)
{
	struct balloon_rig *rig = *state;

	case_target(rig, 100);
	balloon_rig_inflate(rig, 0, 50);
	balloon_rig_write_actual(rig, 50);
	balloon_rig_deflate(rig, 0, 10);
	balloon_rig_write_actual(rig, 40);
	assert_int_equal(stall(rig), AERO_HOST_STALL_SHRINKING);
	balloon_rig_inflate(rig, 0, 60);
	balloon_rig_write_actual(rig, 100);
	assert_int_equal(stall(rig), AERO_HOST_STALL_NONE);
}

static void test_stall_while_paused(void **state)
{
	struct balloon_rig *rig = *state;

	aero_virtio_balloon_host_quiesce(&rig->dev);
	assert_int_equal(stall(rig), AERO_HOST_STALL_NONE);
	case_target(rig, 100);
	assert_int_equal(stall(rig), AERO_HOST_STALL_PAUSED);
	aero_virtio_balloon_host_resume(&rig->dev);
	assert_int_equal(stall(rig), AERO_HOST_STALL_WORKING);
}

static void test_stall_after_a_broken_queue(void **state)
{
	struct balloon_rig *rig = *state;

	case_target(rig, 100);
	virtio_driver_put_avail_idx(&rig->drv[INFLATE], 5000);
	balloon_rig_kick(rig, INFLATE);
	balloon_rig_run(rig);
	assert_int_equal(stall(rig), AERO_HOST_STALL_BROKEN);
}

static void test_stall_has_words_for_every_reason(void **state)
{
	(void)state;
	for (int i = AERO_HOST_STALL_NONE; i <= AERO_HOST_STALL_SHRINKING; i++)
		assert_string_not_equal(aero_host_stall_str((enum aero_host_stall)i),
					"unknown stall");
	assert_string_equal(aero_host_stall_str((enum aero_host_stall)99), "unknown stall");
}

int main(void)
{
	static struct balloon_rig_options request = { .mode = AERO_DISCARD_REQUEST };
	static struct balloon_rig_options none = { .mode = AERO_DISCARD_NONE };
	static struct balloon_rig_options frame = { .mode = AERO_DISCARD_FRAME };
	const struct CMUnitTest tests[] = {
		CASE_OPEN(test_init_refuses_what_is_missing, NULL),
		CASE_OPEN(test_init_refuses_features_it_does_not_have, NULL),
		CASE_OPEN(test_init_checks_the_size_of_the_configuration, NULL),
		cmocka_unit_test(test_configuration_is_as_large_as_the_features_need),
		CASE_OPEN(test_accept_takes_subsets_only, NULL),
		CASE(test_accept_while_live_is_refused, NULL),
		CASE_OPEN(test_mode_follows_must_tell_host, NULL),
		CASE(test_mode_is_never_more_than_configured, &request),
		CASE(test_mode_is_never_more_than_configured, &none),
		CASE(test_mode_is_never_more_than_configured, &frame),
		CASE_OPEN(test_status_bits_stay_until_reset, NULL),
		CASE_OPEN(test_config_read_at_every_offset_and_width, NULL),
		CASE_OPEN(test_config_write_outside_changes_nothing, NULL),
		CASE(test_config_write_byte_by_byte_shows_no_value_between, NULL),
		CASE(test_config_write_in_halves, NULL),
		CASE(test_config_write_of_the_device_fields_is_ignored, NULL),
		CASE(test_target_is_shown_and_told, NULL),
		CASE(test_target_beyond_the_protocol_is_clamped, NULL),
		CASE_OPEN(test_target_set_without_a_driver_is_told_when_one_comes, NULL),
		CASE(test_actual_is_compared_with_the_ledger, NULL),
		CASE(test_target_reached_is_told_and_ends_the_wait, NULL),
		CASE_OPEN(test_stall_without_a_driver, NULL),
		CASE(test_stall_of_a_silent_guest, NULL),
		CASE(test_stall_of_a_guest_short_of_memory, NULL),
		CASE(test_stall_of_a_guest_that_shrinks_the_balloon, NULL),
		CASE(test_stall_while_paused, NULL),
		CASE(test_stall_after_a_broken_queue, NULL),
		cmocka_unit_test(test_stall_has_words_for_every_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
