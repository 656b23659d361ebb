/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_UNIT_TEST_VIRTIO_BALLOON_GUEST_REPORTS_CASE_H
#define AEROSTAT_TESTS_UNIT_TEST_VIRTIO_BALLOON_GUEST_REPORTS_CASE_H

/* What the tests of reports share; the queue has the specification's number. */

#include "test_virtio_balloon_guest_case.h"

#define REPORTS 4u
#define OFFERED (T(VERSION_1) | F(MUST_TELL_HOST) | F(PAGE_REPORTING))
#define MIB_BYTES(n) ((uint64_t)(n) << 20)

static inline struct fake_guest *guest_with(const struct fake_guest_options *options, uint32_t size,
					    uint64_t features)
{
	struct fake_guest *guest = new_guest(options);

	guest->fake.offered = OFFERED | features;
	guest->fake.queue_size[REPORTS] = size;
	fake_guest_settle(guest);
	fake_guest_serve(guest);
	return guest;
}

static inline struct fake_guest *pushing_guest(uint32_t size, uint64_t features)
{
	static const struct fake_guest_options options = { .is_pushing = true };

	return guest_with(&options, size, features);
}

static inline struct fake_guest *pulling_guest(uint64_t budget_bytes, unsigned int order,
					       uint64_t features)
{
	struct fake_guest_options options = {
		.sim = { .orders = 1u << 0 | 1u << 3 | 1u << 9 },
		.guest = { .reporting = { .is_pulling = true,
					  .order = order,
					  .delay_ns = SECOND,
					  .budget_bytes = budget_bytes } },
	};

	return guest_with(&options, 32, features);
}

/* Takes the report that is with the device; how many blocks it has, 0: none. */
static inline uint32_t take(struct fake_guest *guest, uint64_t *out_frames)
{
	const struct virtio_device_chain *chain = virtio_fake_pop(&guest->fake, REPORTS);
	uint64_t frames = 0;

	if (!chain)
		return 0;
	for (uint32_t i = 0; i < chain->count; i++) {
		assert_true(chain->buffers[i].is_writable);
		assert_int_equal(chain->buffers[i].len % 4096, 0);
		assert_int_equal(chain->buffers[i].gpa % 4096, 0);
		assert_int_equal(sim_port_owner(&guest->sim, chain->buffers[i].gpa >> 12),
				 SIM_OWNER_LENT);
		frames += chain->buffers[i].len / 4096;
	}
	*out_frames += frames;
	return chain->count;
}

static inline void answer(struct fake_guest *guest)
{
	virtio_fake_push(&guest->fake, REPORTS, 0, 0);
	fake_guest_interrupt(guest, QUEUE_ANSWER);
	fake_guest_settle(guest);
}

/* Takes and answers until a pass is over; answers how many frames it had. */
static inline uint64_t whole_pass(struct fake_guest *guest)
{
	uint64_t frames = 0;

	while (take(guest, &frames))
		answer(guest);
	return frames;
}

/* Blocks that the kernel has to report. */
static inline void take_blocks(struct fake_guest *guest, struct aero_range *out, unsigned int count)
{
	aero_frame first;

	for (unsigned int i = 0; i < count; i++) {
		assert_int_equal(
			guest->port.alloc(guest->port.ctx, 9, AERO_EFFORT_SPARE, &first, 1), 1);
		out[i].first = first;
		out[i].count = 512;
		guest->outside_frames += 512;
	}
}

static inline void free_blocks(struct fake_guest *guest, const struct aero_range *ranges,
			       unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		guest->port.free(guest->port.ctx, 9, &ranges[i].first, 1);
		guest->outside_frames -= 512;
	}
}

#endif
