/* SPDX-License-Identifier: MIT */
/* A driver under test: the cases are its device. Those of pages and numbers are in another file. */
#include "conformance/virtio_balloon_play.h"

#include <string.h>

/* 1 ------------------------------------------------------------------------------------------- */

static void config_bytes(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	for (unsigned int legacy = 0; legacy < 2 && !out->result; legacy++) {
		struct conformance_kernel kernel = { .is_legacy = legacy };
		struct play *play = play_open(driver, out, &kernel, PLAY_MUST_TELL);

		if (!play)
			return;
		/* The fake keeps and reads both fields byte by byte. */
		play_aim(play, 0x0102);
		play_serve(play);
		play_expect_settled(play, 0x0102);
		play_aim(play, 0x0201);
		play_serve(play);
		play_expect_settled(play, 0x0201);
		play_end(play);
	}
}

/* 2 ------------------------------------------------------------------------------------------- */

static void inflate_and_deflate(struct play *play, uint32_t count, uint32_t written)
{
	uint32_t seen;

	for (unsigned int index = 0; index < 2; index++) {
		uint32_t total = 0;

		play_aim(play, index ? 0 : count);
		while ((seen = virtio_fake_request(&play->fake, index))) {
			if (seen > 256)
				play_fail(play, "a request of %u numbers", seen);
			total += seen;
			/* Lengths mean nothing: old devices say how much they have read. */
			virtio_fake_answer(&play->fake, index, written);
			play_interrupt(play, AERO_VIRTIO_INTERRUPT_QUEUE);
		}
		play_expect(play, index ? "deflated" : "inflated", total, count);
	}
	play_expect_settled(play, 0);
}

static void requests(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	static const uint32_t counts[] = { 1, 255, 256, 257 };
	static const struct conformance_kernel kernel;
	struct play *play = play_open(driver, out, &kernel, PLAY_MUST_TELL);

	if (!play)
		return;
	for (unsigned int i = 0; i < 4; i++)
		for (unsigned int odd = 0; odd < 2; odd++)
			inflate_and_deflate(play, counts[i], odd ? 4 * counts[i] + 1 : 0);
	play_end(play);
}

/* 3 ------------------------------------------------------------------------------------------- */

static void expect_stall(struct play *play, enum conformance_stall want)
{
	play_expect(play, "why it is not at its target", play->driver->stall(play->driver->ctx),
		    want);
}

/* All that the kernel has, no end to wanting it, and the reason. */
static void aim_beyond(struct play *play, uint32_t target)
{
	uint64_t all = play_free(play) + play->fake.given_frames;

	play_aim(play, target);
	play_serve(play);
	play_pass(play, 2 * PLAY_SECOND);
	play_serve(play);
	play_expect(play, "frames that the kernel has left", play_free(play), 0);
	play_expect_settled(play, all);
	expect_stall(play, CONFORMANCE_NO_MORE);
}

static void targets(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	static const uint32_t beyond[] = { 0x00ffffff, 0x7fffffff, 0xffffffff };
	static const struct conformance_kernel kernel;
	struct play *play = play_open(driver, out, &kernel, PLAY_MUST_TELL);
	uint64_t all;

	if (!play)
		return;
	all = play_free(play);
	play_aim(play, 3000);
	play_serve(play);
	play_expect_settled(play, 3000);
	play_expect(play, "frames that the kernel has left", play_free(play), all - 3000);
	play_aim(play, 0);
	play_serve(play);
	play_expect_settled(play, 0);
	for (unsigned int i = 0; i < 3; i++) {
		aim_beyond(play, beyond[i]);
		play_aim(play, 5);
		play_serve(play);
		play_expect_settled(play, 5);
		play_expect(play, "frames that the kernel has left", play_free(play), all - 5);
		expect_stall(play, CONFORMANCE_AT_EASE);
	}
	/* In the middle: some are answered, some not, and then it wants less. */
	play_aim(play, 9000);
	(void)virtio_fake_request(&play->fake, 0);
	(void)virtio_fake_request(&play->fake, 0);
	virtio_fake_answer(&play->fake, 0, 0);
	play_interrupt(play, AERO_VIRTIO_INTERRUPT_QUEUE);
	play_aim(play, 100);
	play_serve(play);
	play_expect_settled(play, 100);
	play_end(play);
}

/* 4 ------------------------------------------------------------------------------------------- */

static void large_pages(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	static const uint32_t counts[] = { 1, 17, 1000, 9999, 15, 0 };

	for (uint64_t features = 0; features < 2 && !out->result; features++) {
		static const struct conformance_kernel kernel = { .page_order = 4 };
		struct play *play = play_open(driver, out, &kernel, features);

		if (!play)
			return;
		for (unsigned int i = 0; i < 6; i++) {
			play_aim(play, counts[i]);
			play_serve(play);
			/* Up, as Linux does it: down would never be reached either. */
			play_expect_settled(play, (counts[i] + 15) / 16 * 16);
			play_pass(play, 5 * PLAY_SECOND);
			play_expect(play, "requests while at rest", virtio_fake_serve(&play->fake),
				    0);
		}
		play_end(play);
	}
}

/* 5 ------------------------------------------------------------------------------------------- */

/* A request, in whichever direction, that is never answered. */
static void silence_with(const struct conformance_driver *driver, struct conformance_outcome *out,
			 uint64_t features, uint32_t target)
{
	static const struct conformance_kernel kernel;
	struct play *play = play_open(driver, out, &kernel, features);

	if (!play)
		return;
	play_aim(play, 3000);
	play_serve(play);
	expect_stall(play, CONFORMANCE_AT_EASE);
	play_aim(play, target);
	play_pass(play, 60 * PLAY_SECOND);
	expect_stall(play, CONFORMANCE_HOST_SILENT);
	/* It can be made to leave all the same. */
	play_leave(play, false);
	play_end(play);
}

static void silence(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	for (unsigned int how = 0; how < 4 && !out->result; how++)
		silence_with(driver, out, how & 1 ? PLAY_MUST_TELL : 0, how & 2 ? 0 : 9000);
}

/* 9 ------------------------------------------------------------------------------------------- */

static void expect_numbers(struct play *play, const uint8_t *indices, unsigned int count)
{
	for (uint8_t index = 2; index < 5; index++) {
		bool is_wanted = false;

		for (unsigned int i = 0; i < count; i++)
			is_wanted |= indices[i] == index;
		if (play->fake.queue[index].is_up != is_wanted)
			play_fail(play, "queue %u is %s", index, is_wanted ? "missing" : "used");
	}
}

static void numbers_of(const struct conformance_driver *driver, struct conformance_outcome *out,
		       uint64_t features, bool is_compact)
{
	static const uint64_t bits[] = { PLAY_STATS, PLAY_HINTS, PLAY_REPORTS };
	struct conformance_kernel kernel = { .is_reporting = true, .stats = 1 };
	struct play *play = play_make(driver, out, &kernel, PLAY_MUST_TELL | features);
	uint8_t indices[3], count = 0;

	if (!play)
		return;
	for (uint8_t i = 0; i < 3; i++)
		if (features & bits[i]) {
			indices[count] = is_compact ? 2 + count : 2 + i;
			count++;
		}
	memset(&play->fake.queue_size[2], 0, 3 * sizeof(uint32_t));
	for (uint8_t i = 0; i < count; i++)
		play->fake.queue_size[indices[i]] = 64;
	play_begin(play);
	expect_numbers(play, indices, count);
	play_aim(play, 300);
	play_serve(play);
	play_end(play);
}

static void numbers(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	for (unsigned int i = 0; i < 16 && !out->result; i++)
		numbers_of(driver, out,
			   (i & 1 ? PLAY_STATS : 0) | (i & 2 ? PLAY_HINTS : 0) |
				   (i & 4 ? PLAY_REPORTS : 0),
			   i & 8);
}

/* 10 ------------------------------------------------------------------------------------------ */

static void resets(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	static const struct conformance_kernel kernel;
	struct play *play = play_open(driver, out, &kernel, PLAY_MUST_TELL);
	uint64_t resets_before;

	if (!play)
		return;
	/* In the middle of an inflation the device says that it has to be reset. */
	play_aim(play, 9000);
	(void)virtio_fake_request(&play->fake, 0);
	virtio_fake_answer(&play->fake, 0, 0);
	(void)virtio_fake_request(&play->fake, 0);
	resets_before = play->fake.resets;
	play->fake.extra_status = 64;
	play_interrupt(play, AERO_VIRTIO_INTERRUPT_CONFIG);
	if (play->fake.resets == resets_before)
		play_fail(play, "DEVICE_NEEDS_RESET and no reset");
	play_expect(play, "frames after a reset", play->fake.given_frames, 0);
	play_pass(play, 5 * PLAY_SECOND);
	play_serve(play);
	play_expect_settled(play, 9000);
	/* The driver is removed with frames in the balloon. */
	play_leave(play, true);
	play_expect(play, "frames of a driver that is gone", play->fake.given_frames, 0);
	play_end(play);
}

const struct conformance_driver_case conformance_driver_cases[CONFORMANCE_CASES] = {
	{ "conformance-1 the configuration is little-endian", config_bytes },
	{ "conformance-2 requests of 1, 255, 256, 257 frames", requests },
	{ "conformance-3 targets that nobody can follow", targets },
	{ "conformance-4 64K pages settle", large_pages },
	{ "conformance-5 a device that says nothing", silence },
	{ "conformance-6 statistics in entries of 10 bytes", play_statistics },
	{ "conformance-7 hints: ids that change, STOP, DONE, a ring of 1", play_hints },
	{ "conformance-8 reports: poison, a ring of 1", play_reports },
	{ "conformance-9 numbers of queues", numbers },
	{ "conformance-10 a reset in the middle, the end with frames", resets },
};
