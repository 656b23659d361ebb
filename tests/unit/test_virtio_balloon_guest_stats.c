/* SPDX-License-Identifier: MIT */
#include "test_virtio_balloon_guest_case.h"

/*
 * virtio's balloon driver: statistics of a kernel that does not always know the same. The queue has
 * the specification's number.
 */

#define STATS 2u
#define OFFERED (T(VERSION_1) | F(STATS_VQ))

/* The value of a tag in the buffer that the device has; false: it is not there. */
static bool find(struct fake_guest *guest, uint16_t tag, uint64_t *out_value)
{
	const struct virtio_device_chain *chain = &guest->fake.queue[STATS].flying[0];
	uint32_t len = chain->buffers[0].len;
	const uint8_t *at = virtio_fake_at(&guest->fake, chain->buffers[0].gpa, len);

	assert_int_equal(len % 10, 0);
	for (uint32_t i = 0; i < len; i += 10, at += 10) {
		if (at[0] != tag || at[1])
			continue;
		*out_value = 0;
		for (unsigned int n = 0; n < 8; n++)
			*out_value |= (uint64_t)at[2 + n] << 8 * n;
		return true;
	}
	return false;
}

static void check(struct fake_guest *guest, uint16_t tag, uint64_t value)
{
	uint64_t is = 0;

	assert_true(find(guest, tag, &is));
	assert_true(is == value);
}

static uint32_t take(struct fake_guest *guest)
{
	const struct virtio_device_chain *chain = virtio_fake_pop(&guest->fake, STATS);

	assert_non_null(chain);
	return chain->buffers[0].len;
}

static uint32_t ask(struct fake_guest *guest, uint32_t written)
{
	virtio_fake_push(&guest->fake, STATS, 0, written);
	fake_guest_interrupt(guest, QUEUE_ANSWER);
	fake_guest_settle(guest);
	return take(guest);
}

/* As a port is asked: what it does not know is zero. */
static void know(struct fake_guest *guest, uint32_t known, uint64_t value)
{
	guest->stats.known = known;
	for (unsigned int tag = 0; tag < AERO_MEMORY_STATS; tag++)
		guest->stats.value[tag] = known >> tag & 1 ? value + tag : 0;
}

static void test_a_value_that_is_no_longer_known_is_the_last_one(void **state)
{
	struct fake_guest_options options = { .stats = 0x31 };
	struct fake_guest *guest = new_guest(&options);
	uint64_t value;

	(void)state;
	guest->fake.offered = OFFERED;
	know(guest, 0x31, 1000);
	fake_guest_serve(guest);
	assert_int_equal(take(guest), 30);
	know(guest, 0x20, 2000);
	assert_int_equal(ask(guest, 0), 30);
	check(guest, 0, 1000);
	check(guest, 4, 1004);
	check(guest, 5, 2005);
	know(guest, 0, 3000);
	assert_int_equal(ask(guest, 0), 30);
	check(guest, 0, 1000);
	check(guest, 4, 1004);
	check(guest, 5, 2005);
	/* And known again; what is new is not told, or the buffers would differ. */
	know(guest, 0xffff, 4000);
	assert_int_equal(ask(guest, 0), 30);
	check(guest, 0, 4000);
	check(guest, 4, 4004);
	check(guest, 5, 4005);
	assert_false(find(guest, 6, &value));
	end_guest(guest);
}

static void test_a_new_start_tells_what_is_known_then(void **state)
{
	struct fake_guest_options options = { .stats = 0x31 };
	struct fake_guest *guest = start_guest(&options, OFFERED);
	uint64_t value;

	(void)state;
	assert_int_equal(take(guest), 30);
	know(guest, 0x42, 5000);
	guest->fake.extra_status = AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET;
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	fake_guest_settle(guest);
	fake_guest_wait(guest, 2 * SECOND);
	assert_int_equal(take(guest), 20);
	check(guest, 1, 5001);
	check(guest, 6, 5006);
	assert_false(find(guest, 4, &value));
	end_guest(guest);
}

/* Knows all when it is asked first, and nothing afterwards. */
static void forget(void *ctx, struct aero_memory_stats *out)
{
	struct fake_guest *guest = ctx;

	*out = guest->stats;
	know(guest, 0, 0);
}

static void test_the_first_buffer_has_what_was_known_at_negotiation(void **state)
{
	struct fake_guest_options options = { .stats = 0xffff };
	struct fake_guest *guest = new_guest(&options);

	(void)state;
	guest->fake.offered = OFFERED;
	guest->port.stats = forget;
	know(guest, 0xffff, 7000);
	fake_guest_serve(guest);
	assert_int_equal(take(guest), 160);
	for (uint16_t tag = 0; tag < 16; tag++)
		check(guest, tag, 7000u + tag);
	end_guest(guest);
}

/* There is nothing in it to write to. Old devices say how much they have read. */
static void test_an_answer_with_a_length_is_a_broken_queue_unless_legacy(void **state)
{
	(void)state;
	for (unsigned int legacy = 0; legacy < 2; legacy++) {
		struct fake_guest_options options = { .stats = 3, .is_legacy = legacy };
		struct fake_guest *guest = start_guest(&options, legacy ? F(STATS_VQ) : OFFERED);

		uint64_t resets = guest->fake.resets;

		assert_int_equal(take(guest), 20);
		virtio_fake_push(&guest->fake, STATS, 0, 20);
		fake_guest_interrupt(guest, QUEUE_ANSWER);
		fake_guest_settle(guest);
		assert_int_equal(report_of(guest).counters.broken_queues, !legacy);
		fake_guest_wait(guest, 2 * SECOND);
		assert_int_equal(guest->fake.resets == resets, legacy);
		assert_int_equal(take(guest), 20);
		end_guest(guest);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_value_that_is_no_longer_known_is_the_last_one),
		cmocka_unit_test(test_a_new_start_tells_what_is_known_then),
		cmocka_unit_test(test_the_first_buffer_has_what_was_known_at_negotiation),
		cmocka_unit_test(test_an_answer_with_a_length_is_a_broken_queue_unless_legacy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
