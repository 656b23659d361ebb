/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_UNIT_TEST_VIRTIO_BALLOON_GUEST_CASE_H
#define AEROSTAT_TESTS_UNIT_TEST_VIRTIO_BALLOON_GUEST_CASE_H

/* What the tests of virtio's balloon driver share: a guest against a device played by hand. */

#include "support/test.h"

#include <aerostat/wire/virtio.h>
#include <aerostat/wire/virtio_balloon.h>

#include "support/virtio_fake_guest.h"

#define MIB(n) ((uint64_t)(n) << 8)
#define MS FAKE_GUEST_MS
#define SECOND FAKE_GUEST_SECOND
#define F(name) (1ull << AERO_VIRTIO_BALLOON_F_##name)
#define T(name) (1ull << AERO_VIRTIO_F_##name)
#define CONFIG_CHANGE AERO_VIRTIO_INTERRUPT_CONFIG
#define QUEUE_ANSWER AERO_VIRTIO_INTERRUPT_QUEUE

/* What the driver sees first is the test's to change before it steps. */
static inline struct fake_guest *new_guest(const struct fake_guest_options *options)
{
	struct fake_guest *guest = malloc(sizeof(*guest));

	assert_non_null(guest);
	assert_int_equal(fake_guest_open(guest, options), AERO_OK);
	return guest;
}

/* And has started, offered so much. */
static inline struct fake_guest *start_guest(const struct fake_guest_options *options,
					     uint64_t offered)
{
	struct fake_guest *guest = new_guest(options);

	guest->fake.offered = offered;
	fake_guest_serve(guest);
	assert_true(guest->drv.is_live);
	return guest;
}

static inline void end_guest(struct fake_guest *guest)
{
	const char *problem = fake_guest_close(guest);

	if (problem)
		fail_msg("in the end: %s", problem);
	free(guest);
}

static inline struct aero_virtio_balloon_guest_report report_of(const struct fake_guest *guest)
{
	struct aero_virtio_balloon_guest_report report;

	aero_virtio_balloon_guest_report(&guest->drv, &report);
	return report;
}

#endif
