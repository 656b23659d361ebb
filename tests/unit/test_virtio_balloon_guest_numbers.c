/* SPDX-License-Identifier: MIT */
#include "test_virtio_balloon_guest_case.h"

/*
 * virtio's balloon driver: which queue is whose. The specification leaves holes for features that
 * are absent, most devices close them, over what they offer or over what was accepted, and none
 * says which it does. What a device has at an index is all that a driver can see.
 */

#define STATS_BIT 1u
#define HINT_BIT 2u
#define REPORTING_BIT 4u

enum layout {
	SPEC_OFFERED,	  /* holes, queues for all that is offered */
	SPEC_ACCEPTED,	  /* holes, queues for what was accepted */
	COMPACT_OFFERED,  /* closed up over what is offered: QEMU, Firecracker, Cloud Hypervisor */
	COMPACT_ACCEPTED, /* closed up over what was accepted: Linux's transports */
	LAYOUTS,
};

/* Where a device with this layout has the queue of a bit; 0: nowhere. */
static unsigned int index_of(enum layout layout, unsigned int bit, unsigned int offered,
			     unsigned int accepted)
{
	unsigned int has = layout == SPEC_OFFERED || layout == COMPACT_OFFERED ? offered : accepted;
	unsigned int index = 2;

	if (!(has & bit))
		return 0;
	for (unsigned int lower = 1; lower < bit; lower *= 2)
		index += layout <= SPEC_ACCEPTED || has & lower;
	return index;
}

static uint64_t features_of(unsigned int bits)
{
	return (bits & STATS_BIT ? F(STATS_VQ) : 0) | (bits & HINT_BIT ? F(FREE_PAGE_HINT) : 0) |
	       (bits & REPORTING_BIT ? F(PAGE_REPORTING) : 0);
}

static struct fake_guest *guest_with(unsigned int offered, unsigned int accepted,
				     enum aero_virtio_balloon_numbering numbering)
{
	struct fake_guest_options options = {
		.guest = { .numbering = numbering,
			   .declined = features_of(offered & ~accepted),
			   .reporting = { .is_pulling = true } },
		.stats = 1,
	};
	struct fake_guest *guest = new_guest(&options);

	guest->fake.offered = T(VERSION_1) | features_of(offered);
	memset(guest->fake.queue_size + 2, 0, 3 * sizeof(guest->fake.queue_size[0]));
	return guest;
}

static void expect_indices(struct fake_guest *guest, enum layout layout, unsigned int offered,
			   unsigned int accepted)
{
	struct aero_virtio_balloon_guest_report report;

	fake_guest_settle(guest);
	report = report_of(guest);
	assert_int_equal(report.features, T(VERSION_1) | features_of(accepted));
	for (unsigned int role = 2; role < 5; role++) {
		unsigned int bit = 1u << (role - 2);
		unsigned int want =
			accepted & bit ? index_of(layout, bit, offered, accepted) : 0xff;

		if (report.queue_index[role] != want)
			fail_msg("layout %d, offered %u, accepted %u: role %u is at %u, not %u",
				 layout, offered, accepted, role, report.queue_index[role], want);
	}
}

static void set_sizes(struct fake_guest *guest, enum layout layout, unsigned int offered,
		      unsigned int accepted)
{
	for (unsigned int bit = 1; bit < 8; bit *= 2) {
		unsigned int index = index_of(layout, bit, offered, accepted);

		if (index)
			guest->fake.queue_size[index] = 64;
	}
}

static void test_numbers_are_found_out_of_what_is_there(void **state)
{
	(void)state;
	for (unsigned int offered = 0; offered < 8; offered++)
		for (unsigned int accepted = 0; accepted < 8; accepted++)
			for (unsigned int layout = 0; layout < LAYOUTS; layout++) {
				struct fake_guest *guest;

				if (accepted & ~offered)
					continue;
				guest = guest_with(offered, accepted,
						   AERO_VIRTIO_BALLOON_NUMBERING_AUTO);
				set_sizes(guest, (enum layout)layout, offered, accepted);
				expect_indices(guest, (enum layout)layout, offered, accepted);
				end_guest(guest);
			}
}

static void test_numbers_of_a_device_that_serves_both_are_the_specifications(void **state)
{
	(void)state;
	for (unsigned int features = 0; features < 8; features++) {
		struct fake_guest *guest =
			guest_with(features, features, AERO_VIRTIO_BALLOON_NUMBERING_AUTO);

		set_sizes(guest, SPEC_OFFERED, features, features);
		set_sizes(guest, COMPACT_OFFERED, features, features);
		expect_indices(guest, SPEC_OFFERED, features, features);
		assert_false(report_of(guest).is_compact);
		end_guest(guest);
	}
}

static void test_numbers_that_the_kernel_orders_are_used(void **state)
{
	(void)state;
	for (unsigned int features = 0; features < 8; features++)
		for (unsigned int is_compact = 0; is_compact < 2; is_compact++) {
			struct fake_guest *guest =
				guest_with(features, features,
					   is_compact ? AERO_VIRTIO_BALLOON_NUMBERING_COMPACT
						      : AERO_VIRTIO_BALLOON_NUMBERING_SPEC);

			for (unsigned int i = 2; i < 5; i++)
				guest->fake.queue_size[i] = 64;
			expect_indices(guest, is_compact ? COMPACT_ACCEPTED : SPEC_ACCEPTED,
				       features, features);
			assert_int_equal(report_of(guest).is_compact, is_compact);
			end_guest(guest);
		}
}

struct known {
	const char *name;
	unsigned int offered;
	uint32_t size[5];
	uint8_t index[3]; /* of statistics, hints, reports; 0xff: none */
};

/* As their sources have it, at least for what is offered by default and in the usual choices. */
static void test_numbers_of_known_devices(void **state)
{
	static const struct known devices[] = {
		{ "QEMU", STATS_BIT, { 128, 128, 128, 0, 0 }, { 2, 0xff, 0xff } },
		{ "QEMU, reports",
		  STATS_BIT | REPORTING_BIT,
		  { 128, 128, 128, 32, 0 },
		  { 2, 0xff, 3 } },
		{ "QEMU, hints", STATS_BIT | HINT_BIT, { 128, 128, 128, 1024, 0 }, { 2, 3, 0xff } },
		{ "QEMU, both", 7, { 128, 128, 128, 1024, 32 }, { 2, 3, 4 } },
		{ "Firecracker", 0, { 256, 256, 0, 0, 0 }, { 0xff, 0xff, 0xff } },
		{ "Firecracker, reports",
		  REPORTING_BIT,
		  { 256, 256, 256, 0, 0 },
		  { 0xff, 0xff, 2 } },
		{ "Firecracker, hints and reports",
		  HINT_BIT | REPORTING_BIT,
		  { 256, 256, 256, 256, 0 },
		  { 0xff, 2, 3 } },
		{ "Firecracker, everything", 7, { 256, 256, 256, 256, 256 }, { 2, 3, 4 } },
		{ "Cloud Hypervisor", REPORTING_BIT, { 128, 128, 32, 0, 0 }, { 0xff, 0xff, 2 } },
		{ "crosvm", STATS_BIT | REPORTING_BIT, { 128, 128, 128, 128, 0 }, { 2, 0xff, 3 } },
	};

	(void)state;
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(devices); i++) {
		struct fake_guest *guest = guest_with(devices[i].offered, devices[i].offered,
						      AERO_VIRTIO_BALLOON_NUMBERING_AUTO);
		struct aero_virtio_balloon_guest_report report;

		memcpy(guest->fake.queue_size, devices[i].size, sizeof(devices[i].size));
		fake_guest_target(guest, 500);
		report = report_of(guest);
		if (memcmp(report.queue_index + 2, devices[i].index, 3) != 0)
			fail_msg("%s: %u %u %u", devices[i].name, report.queue_index[2],
				 report.queue_index[3], report.queue_index[4]);
		end_guest(guest);
	}
}

/* The driver of a kernel that reports nothing, on a device that closes up over what it offers. */
static void test_numbers_with_a_feature_declined_do_not_move(void **state)
{
	struct fake_guest *guest =
		guest_with(HINT_BIT | REPORTING_BIT, HINT_BIT, AERO_VIRTIO_BALLOON_NUMBERING_AUTO);

	(void)state;
	guest->fake.queue_size[2] = guest->fake.queue_size[3] = 256;
	fake_guest_settle(guest);
	assert_int_equal(report_of(guest).queue_index[3], 2);
	assert_true(guest->fake.queue[2].is_up);
	assert_false(guest->fake.queue[3].is_up);
	end_guest(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_are_found_out_of_what_is_there),
		cmocka_unit_test(test_numbers_of_a_device_that_serves_both_are_the_specifications),
		cmocka_unit_test(test_numbers_that_the_kernel_orders_are_used),
		cmocka_unit_test(test_numbers_of_known_devices),
		cmocka_unit_test(test_numbers_with_a_feature_declined_do_not_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
