/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_UNIT_TEST_VIRTIO_BALLOON_CASE_H
#define AEROSTAT_TESTS_UNIT_TEST_VIRTIO_BALLOON_CASE_H

/* Cases of the virtio-balloon device: each gets a rig of its own, opened as *state says. */

#include "support/test.h"

#include "support/balloon_rig.h"

#define ROLE(name) AERO_VIRTIO_BALLOON_ROLE_##name
#define EVENT(name) AERO_VIRTIO_BALLOON_EVENT_##name

static inline int case_open(void **state)
{
	struct balloon_rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	balloon_rig_open(rig, *state);
	*state = rig;
	return 0;
}

static inline int case_connect(void **state)
{
	case_open(state);
	balloon_rig_connect(*state);
	balloon_rig_run(*state);
	return 0;
}

static inline int case_close(void **state)
{
	balloon_rig_close(*state);
	free(*state);
	return 0;
}

/* A device without a driver, and one whose driver is there. options may be NULL. */
#define CASE_OPEN(f, options) \
	cmocka_unit_test_prestate_setup_teardown(f, case_open, case_close, options)
#define CASE(f, options) \
	cmocka_unit_test_prestate_setup_teardown(f, case_connect, case_close, options)

static inline uint64_t case_discarded(const struct balloon_rig *rig, aero_frame first,
				      uint64_t count)
{
	struct aero_range range = { first, count };

	return host_double_count(&rig->host, range, HOST_DOUBLE_DISCARDED);
}

static inline struct aero_virtio_balloon_report case_report(const struct balloon_rig *rig)
{
	struct aero_virtio_balloon_report report;

	aero_virtio_balloon_host_report(&rig->dev, rig->now, &report);
	return report;
}

static inline uint32_t case_config(const struct balloon_rig *rig, uint32_t offset)
{
	uint8_t b[4];

	assert_int_equal(aero_virtio_balloon_host_config_read(&rig->dev, offset, b, 4), AERO_OK);
	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

/* Time passes, and the device is called when it asked to be. */
static inline void case_pass(struct balloon_rig *rig, uint64_t ns)
{
	rig->now += ns;
	balloon_rig_run(rig);
}

static inline void case_target(struct balloon_rig *rig, uint64_t frames)
{
	uint64_t set;

	assert_int_equal(aero_virtio_balloon_host_set_target(&rig->dev, frames, &set), AERO_OK);
	assert_int_equal(set, frames);
}

#endif
