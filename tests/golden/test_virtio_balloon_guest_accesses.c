/* SPDX-License-Identifier: MIT */
/*
 * virtio's balloon driver: every access to the device, in its order, written by hand from the
 * specification: 3.1.1 Device Initialization, 5.5.5, 5.5.6. Memory of rings is not among them.
 */
#include "support/test.h"

#include "support/virtio_fake_guest.h"

#define VERSION_1 (1ull << 32)
#define MUST_TELL 1ull
#define STATS 2ull
#define POISON 16ull

struct golden {
	enum sim_virtio_access access;
	uint32_t where;
	uint64_t value;
};

static const char *const names[] = {
	[SIM_VIRTIO_FEATURES] = "features",	  [SIM_VIRTIO_ACCEPT] = "accept",
	[SIM_VIRTIO_STATUS] = "status",		  [SIM_VIRTIO_SET_STATUS] = "set_status",
	[SIM_VIRTIO_CONFIG_READ] = "config_read", [SIM_VIRTIO_CONFIG_WRITE] = "config_write",
	[SIM_VIRTIO_GENERATION] = "generation",	  [SIM_VIRTIO_QUEUE_SIZE] = "queue_size",
	[SIM_VIRTIO_QUEUE_START] = "queue_start", [SIM_VIRTIO_NOTIFY] = "notify",
	[SIM_VIRTIO_INTERRUPTS] = "interrupts",
};

/* Sizes are asked for as often as the driver likes, and where a ring lies is its own affair. */
static bool is_compared(const struct sim_virtio_entry *entry)
{
	return entry->access != SIM_VIRTIO_QUEUE_SIZE;
}

static void expect(struct fake_guest *guest, const struct golden *golden, size_t count)
{
	size_t at = 0;

	assert_true(guest->record.total < guest->record.room);
	for (uint64_t i = 0; i < guest->record.total; i++) {
		const struct sim_virtio_entry *got = &guest->record.entries[i];
		uint64_t value = got->access == SIM_VIRTIO_QUEUE_START ? got->bytes : got->value;

		if (!is_compared(got))
			continue;
		if (at == count)
			fail_msg("one more: %s %u %#llx", names[got->access], got->where,
				 (unsigned long long)value);
		if (got->access != golden[at].access || got->where != golden[at].where ||
		    value != golden[at].value)
			fail_msg("%zu: %s %u %#llx, not %s %u %#llx", at, names[got->access],
				 got->where, (unsigned long long)value, names[golden[at].access],
				 golden[at].where, (unsigned long long)golden[at].value);
		at++;
	}
	assert_int_equal(at, count);
	sim_virtio_record_clear(&guest->record);
}

#define EXPECT(guest, ...)                                                   \
	do {                                                                 \
		static const struct golden golden[] = { __VA_ARGS__ };       \
		expect(guest, golden, sizeof(golden) / sizeof((golden)[0])); \
	} while (0)

static struct fake_guest *open_guest(uint64_t offered, bool is_legacy)
{
	struct fake_guest_options options = {
		.guest = { .has_poison = true, .poison = 0x01020304 },
		.is_legacy = is_legacy,
		.stats = 0xffff,
		.entries = 4096,
	};
	struct fake_guest *guest = malloc(sizeof(*guest));

	assert_non_null(guest);
	assert_int_equal(fake_guest_open(guest, &options), AERO_OK);
	guest->fake.offered = offered;
	return guest;
}

static void close_guest(struct fake_guest *guest)
{
	assert_null(fake_guest_close(guest));
	free(guest);
}

/* The initialisation as 3.1.1 and 5.5.5 number its steps. */
static void test_start_of_a_modern_device(void **state)
{
	struct fake_guest *guest = open_guest(VERSION_1 | MUST_TELL | STATS | POISON, false);

	(void)state;
	/* Up to DRIVER_OK. */
	while (!guest->drv.is_live)
		(void)fake_guest_step(guest);
	fake_guest_settle(guest);
	EXPECT(guest, { SIM_VIRTIO_SET_STATUS, 0, 0 }, { SIM_VIRTIO_STATUS, 0, 0 },
	       { SIM_VIRTIO_SET_STATUS, 0, 0 }, { SIM_VIRTIO_STATUS, 0, 0 },
	       { SIM_VIRTIO_SET_STATUS, 0, 1 }, { SIM_VIRTIO_SET_STATUS, 0, 3 },
	       { SIM_VIRTIO_FEATURES, 0, 0x100000013 }, { SIM_VIRTIO_ACCEPT, 0, 0x100000013 },
	       { SIM_VIRTIO_SET_STATUS, 0, 11 }, { SIM_VIRTIO_STATUS, 0, 11 },
	       { SIM_VIRTIO_QUEUE_START, 0, 8 }, { SIM_VIRTIO_QUEUE_START, 1, 8 },
	       { SIM_VIRTIO_QUEUE_START, 2, 1 }, { SIM_VIRTIO_CONFIG_WRITE, 12, 0x01020304 },
	       { SIM_VIRTIO_SET_STATUS, 0, 15 }, { SIM_VIRTIO_NOTIFY, 2, 0 },
	       /* That there is nothing yet, whether it is still there, and what it wants. */
	       { SIM_VIRTIO_CONFIG_WRITE, 4, 0 }, { SIM_VIRTIO_STATUS, 0, 15 },
	       { SIM_VIRTIO_GENERATION, 0, 0 }, { SIM_VIRTIO_CONFIG_READ, 0, 0 });
	close_guest(guest);
}

static void test_start_of_a_legacy_device(void **state)
{
	struct fake_guest *guest = open_guest(MUST_TELL | STATS, true);

	(void)state;
	fake_guest_settle(guest);
	EXPECT(guest, { SIM_VIRTIO_SET_STATUS, 0, 0 }, { SIM_VIRTIO_STATUS, 0, 0 },
	       { SIM_VIRTIO_SET_STATUS, 0, 0 }, { SIM_VIRTIO_STATUS, 0, 0 },
	       { SIM_VIRTIO_SET_STATUS, 0, 1 }, { SIM_VIRTIO_SET_STATUS, 0, 3 },
	       { SIM_VIRTIO_FEATURES, 0, 3 }, { SIM_VIRTIO_ACCEPT, 0, 3 },
	       { SIM_VIRTIO_QUEUE_START, 0, 128 }, { SIM_VIRTIO_QUEUE_START, 1, 128 },
	       { SIM_VIRTIO_QUEUE_START, 2, 128 }, { SIM_VIRTIO_SET_STATUS, 0, 7 },
	       { SIM_VIRTIO_NOTIFY, 2, 0 }, { SIM_VIRTIO_CONFIG_WRITE, 4, 0 },
	       { SIM_VIRTIO_STATUS, 0, 7 }, { SIM_VIRTIO_GENERATION, 0, 0 },
	       { SIM_VIRTIO_CONFIG_READ, 0, 0 });
	close_guest(guest);
}

static void test_one_inflation(void **state)
{
	struct fake_guest *guest = open_guest(VERSION_1 | MUST_TELL, false);

	(void)state;
	fake_guest_settle(guest);
	sim_virtio_record_clear(&guest->record);
	virtio_fake_target(&guest->fake, 300);
	fake_guest_interrupt(guest, AERO_VIRTIO_INTERRUPT_CONFIG);
	fake_guest_settle(guest);
	EXPECT(guest, { SIM_VIRTIO_STATUS, 0, 15 }, { SIM_VIRTIO_GENERATION, 0, 1 },
	       { SIM_VIRTIO_CONFIG_READ, 0, 300 }, { SIM_VIRTIO_NOTIFY, 0, 0 });
	fake_guest_serve(guest);
	EXPECT(guest, { SIM_VIRTIO_CONFIG_WRITE, 4, 300 });
	close_guest(guest);
}

static void test_one_deflation(void **state)
{
	struct fake_guest *guest = open_guest(VERSION_1 | MUST_TELL, false);

	(void)state;
	fake_guest_target(guest, 300);
	sim_virtio_record_clear(&guest->record);
	fake_guest_target(guest, 20);
	EXPECT(guest, { SIM_VIRTIO_STATUS, 0, 15 }, { SIM_VIRTIO_GENERATION, 0, 2 },
	       { SIM_VIRTIO_CONFIG_READ, 0, 20 }, { SIM_VIRTIO_NOTIFY, 1, 0 },
	       { SIM_VIRTIO_CONFIG_WRITE, 4, 20 });
	close_guest(guest);
}

static void test_statistics(void **state)
{
	struct fake_guest *guest = open_guest(VERSION_1 | STATS, false);

	(void)state;
	fake_guest_settle(guest);
	sim_virtio_record_clear(&guest->record);
	for (unsigned int i = 0; i < 3; i++) {
		assert_non_null(virtio_fake_pop(&guest->fake, 2));
		virtio_fake_push(&guest->fake, 2, 0, 0);
		fake_guest_interrupt(guest, AERO_VIRTIO_INTERRUPT_QUEUE);
		fake_guest_settle(guest);
		EXPECT(guest, { SIM_VIRTIO_NOTIFY, 2, 0 });
	}
	close_guest(guest);
}

static void test_stop(void **state)
{
	struct fake_guest *guest = open_guest(VERSION_1 | MUST_TELL, false);

	(void)state;
	fake_guest_target(guest, 100);
	sim_virtio_record_clear(&guest->record);
	while (aero_virtio_balloon_guest_stop(&guest->drv, guest->now) == AERO_EAGAIN)
		(void)virtio_fake_serve(&guest->fake);
	EXPECT(guest, { SIM_VIRTIO_NOTIFY, 1, 0 }, { SIM_VIRTIO_CONFIG_WRITE, 4, 0 },
	       { SIM_VIRTIO_SET_STATUS, 0, 0 }, { SIM_VIRTIO_STATUS, 0, 0 });
	close_guest(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_of_a_modern_device),
		cmocka_unit_test(test_start_of_a_legacy_device),
		cmocka_unit_test(test_one_inflation),
		cmocka_unit_test(test_one_deflation),
		cmocka_unit_test(test_statistics),
		cmocka_unit_test(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
