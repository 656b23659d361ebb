/* SPDX-License-Identifier: MIT */
/* A driver under test: statistics, hints and reports. */
#include "conformance/virtio_balloon_play.h"

#include <inttypes.h>
#include <string.h>

#define STATS_QUEUE 2u
#define HINT_QUEUE 3u
#define REPORT_QUEUE 4u
#define REPORT_MOST 32u
#define ROUND 0x80000000u
#define STOP 0u
#define DONE 1u

/* 6 ------------------------------------------------------------------------------------------- */

#define TAGS 0x8035u

/* Different for each tag and each buffer, in both halves. */
static uint64_t stat_value(unsigned int tag, unsigned int round)
{
	return (uint64_t)(round + 1) << 40 | (tag + 1) << 16 | round;
}

static void set_stats(struct play *play, unsigned int round)
{
	for (unsigned int tag = 0; tag < 16; tag++)
		if (TAGS >> tag & 1)
			play->driver->set_stat(play->driver->ctx, tag, stat_value(tag, round));
}

/* A number of an entry, in the driver's order. */
static uint64_t entry_number(struct play *play, const uint8_t *at, unsigned int bytes)
{
	const uint16_t one = 1;
	bool is_big = play->fake.transport.is_legacy && !*(const uint8_t *)&one;
	uint64_t value = 0;

	for (unsigned int i = 0; i < bytes; i++)
		value |= (uint64_t)at[is_big ? bytes - 1 - i : i] << 8 * i;
	return value;
}

/* One buffer, with the same tags as every other, and the kernel's numbers of its time. */
static void expect_stats(struct play *play, const struct virtio_device_chain *chain,
			 unsigned int round)
{
	uint32_t seen = 0;

	if (!chain || chain->count != 1 || chain->buffers[0].is_writable ||
	    chain->buffers[0].len % 10) {
		play_fail(play, "no buffer, or one that is none");
		return;
	}
	for (uint32_t at = 0; at < chain->buffers[0].len; at += 10) {
		const uint8_t *entry = virtio_fake_at(&play->fake, chain->buffers[0].gpa + at, 10);
		unsigned int tag = (unsigned int)entry_number(play, entry, 2);

		if (tag >= 16 || seen >> tag & 1) {
			play_fail(play, "tag %u, unknown or twice", tag);
			return;
		}
		seen |= 1u << tag;
		play_expect(play, "a statistic", entry_number(play, entry + 2, 8),
			    stat_value(tag, round));
	}
	play_expect(play, "tags", seen, TAGS);
}

static void statistics_with(const struct conformance_driver *driver,
			    struct conformance_outcome *out, bool is_legacy)
{
	struct conformance_kernel kernel = { .stats = TAGS, .is_legacy = is_legacy };
	struct play *play = play_make(driver, out, &kernel, PLAY_MUST_TELL | PLAY_STATS);

	if (!play)
		return;
	set_stats(play, 0);
	play_begin(play);
	for (unsigned int round = 0; round < 4 && !out->result; round++) {
		expect_stats(play, virtio_fake_pop(&play->fake, STATS_QUEUE), round);
		if (virtio_fake_pop(&play->fake, STATS_QUEUE))
			play_fail(play, "two buffers at a time");
		if (out->result)
			break;
		set_stats(play, round + 1);
		virtio_fake_push(&play->fake, STATS_QUEUE, 0, 0);
		play_interrupt(play, AERO_VIRTIO_INTERRUPT_QUEUE);
	}
	play_end(play);
}

void play_statistics(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	statistics_with(driver, out, false);
	if (!out->result)
		statistics_with(driver, out, true);
}

/* 7 ------------------------------------------------------------------------------------------- */

/* What came on the queue of hints. */
struct hinted {
	uint32_t blocks;
	uint64_t frames;
	uint64_t least; /* frames of the smallest block */
};

static void say_hint(struct play *play, uint32_t id)
{
	virtio_fake_set_config(&play->fake, 8, id);
	play_interrupt(play, AERO_VIRTIO_INTERRUPT_CONFIG);
}

static void note_blocks(struct play *play, const struct virtio_device_chain *chain,
			struct hinted *hinted)
{
	for (uint32_t i = 0; i < chain->count; i++) {
		uint64_t frames = chain->buffers[i].len / 4096;

		if (!chain->buffers[i].is_writable || !frames || chain->buffers[i].len % 4096 ||
		    chain->buffers[i].gpa % 4096)
			play_fail(play, "a block that is none: %u bytes", chain->buffers[i].len);
		hinted->blocks++;
		hinted->frames += frames;
		if (!hinted->least || frames < hinted->least)
			hinted->least = frames;
	}
}

/* Takes and answers buffers until an id, which is the answer, or so many blocks: UINT32_MAX. */
static uint32_t next_id(struct play *play, struct hinted *hinted, uint32_t most)
{
	for (unsigned int empty = 0; empty < 3 && hinted->blocks < most;) {
		const struct virtio_device_chain *chain = virtio_fake_pop(&play->fake, HINT_QUEUE);
		uint32_t id = UINT32_MAX;

		empty = chain ? 0 : empty + 1;
		if (!chain) {
			play_interrupt(play, AERO_VIRTIO_INTERRUPT_QUEUE);
			continue;
		}
		if (chain->buffers[0].is_writable) {
			note_blocks(play, chain, hinted);
		} else {
			play_expect(play, "bytes of an id", chain->buffers[0].len, 4);
			id = virtio_fake_read32(&play->fake, chain->buffers[0].gpa);
		}
		virtio_fake_push(&play->fake, HINT_QUEUE, 0, 0);
		if (id != UINT32_MAX)
			return id;
	}
	return UINT32_MAX;
}

/* A whole round: all free blocks of a size, which stay out of use until DONE. */
static void whole_round(struct play *play)
{
	uint64_t free = play_free(play);
	struct hinted hinted = { 0 };

	say_hint(play, ROUND);
	play_expect(play, "id of a round", next_id(play, &hinted, UINT32_MAX), ROUND);
	play_expect(play, "blocks before the id", hinted.blocks, 0);
	play_expect(play, "its end", next_id(play, &hinted, UINT32_MAX), STOP);
	if (!hinted.blocks)
		play_fail(play, "a round without blocks");
	play_expect(play, "frames hinted", hinted.frames, free - play_free(play));
	if (play_free(play) >= hinted.least)
		play_fail(play, "a block is free that is not hinted");
	say_hint(play, DONE);
	play_expect(play, "free after DONE", play_free(play), free);
}

/* Another id before the driver has said the last one: that one, or this one, then this. */
static void change_ids(struct play *play)
{
	struct hinted hinted = { 0 };

	say_hint(play, ROUND + 1);
	say_hint(play, ROUND + 2);
	for (uint32_t id = 0; id != ROUND + 2;) {
		id = next_id(play, &hinted, UINT32_MAX);
		if (id != STOP && id != ROUND + 1 && id != ROUND + 2) {
			play_fail(play, "an id that was not said: %#x", id);
			return;
		}
	}
	say_hint(play, DONE);
	while (next_id(play, &hinted, UINT32_MAX) != UINT32_MAX)
		;
}

/* In the middle of a round: no more blocks than were in the ring; the end is said for STOP. */
static void end_in_the_middle(struct play *play, uint32_t id, uint32_t end, uint32_t size)
{
	uint64_t free = play_free(play);
	struct hinted hinted = { 0 }, after = { 0 };

	say_hint(play, id);
	play_expect(play, "id of a round", next_id(play, &hinted, UINT32_MAX), id);
	(void)next_id(play, &hinted, 2);
	play_expect(play, "blocks in the middle", hinted.blocks, 2);
	say_hint(play, end);
	id = next_id(play, &after, UINT32_MAX);
	if (id != STOP && (end == STOP || id != UINT32_MAX))
		play_fail(play, "the end of a round is %#x", id);
	play_expect(play, "behind the end", next_id(play, &after, UINT32_MAX), UINT32_MAX);
	if (after.blocks > size)
		play_fail(play, "%u blocks after a round's end, a ring of %u", after.blocks, size);
	if (end == STOP) {
		play_expect(play, "frames that STOP leaves out of use", free - play_free(play),
			    hinted.frames + after.frames);
		say_hint(play, DONE);
	}
	play_expect(play, "free after DONE", play_free(play), free);
}

static void hints_with(const struct conformance_driver *driver, struct conformance_outcome *out,
		       uint32_t size, bool is_legacy)
{
	struct conformance_kernel kernel = { .is_legacy = is_legacy };
	struct play *play = play_make(driver, out, &kernel, PLAY_MUST_TELL | PLAY_HINTS);

	if (!play)
		return;
	play->fake.queue_size[HINT_QUEUE] = size;
	virtio_fake_set_config(&play->fake, 8, DONE);
	play_begin(play);
	whole_round(play);
	change_ids(play);
	end_in_the_middle(play, ROUND + 3, STOP, size);
	end_in_the_middle(play, ROUND + 4, DONE, size);
	play_end(play);
}

void play_hints(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	static const uint32_t sizes[] = { 128, 4, 2, 1 };

	for (unsigned int i = 0; i < 8 && !out->result; i++)
		hints_with(driver, out, sizes[i / 2], i & 1);
}

/* 8 ------------------------------------------------------------------------------------------- */

/* Takes and answers reports until no more come; answers how many blocks the longest had. */
static uint32_t take_reports(struct play *play, struct hinted *reported)
{
	const struct virtio_device_chain *chain;
	uint32_t longest = 0;

	for (unsigned int i = 0; i < 1000; i++) {
		chain = virtio_fake_pop(&play->fake, REPORT_QUEUE);
		if (!chain)
			break;
		note_blocks(play, chain, reported);
		longest = chain->count > longest ? chain->count : longest;
		virtio_fake_push(&play->fake, REPORT_QUEUE, 0, 0);
		play_interrupt(play, AERO_VIRTIO_INTERRUPT_QUEUE);
	}
	return longest;
}

/* Of 10 s; a report does not wait for its answer long enough to be given up. */
static uint32_t wait_for_reports(struct play *play, struct hinted *reported)
{
	uint32_t longest = 0;

	for (unsigned int i = 0; i < 100 && !longest; i++) {
		longest = take_reports(play, reported);
		if (!longest)
			play_pass(play, 100 * PLAY_MS);
	}
	return longest;
}

static void reports_with(const struct conformance_driver *driver, struct conformance_outcome *out,
			 uint32_t size, bool has_poison, bool is_known)
{
	struct conformance_kernel kernel = { .is_reporting = true, .has_poison = has_poison };
	struct play *play =
		play_make(driver, out, &kernel, PLAY_REPORTS | (is_known ? PLAY_POISON : 0));
	/* Pages that keep their poison are not for a device that does not know of it. */
	bool is_wanted = !has_poison || is_known;
	uint32_t most = size < REPORT_MOST ? size : REPORT_MOST;

	if (!play)
		return;
	play->fake.queue_size[REPORT_QUEUE] = size;
	for (unsigned int pass = 0; pass < 2; pass++) {
		struct hinted reported = { 0 };
		uint64_t free = play_free(play);

		if (!pass)
			play_begin(play);
		play_expect(play, "blocks of the longest report", wait_for_reports(play, &reported),
			    is_wanted ? most : 0);
		play_expect(play, "frames reported", reported.frames, is_wanted ? free : 0);
		play_expect(play, "free after reports", play_free(play), free);
	}
	play_end(play);
}

void play_reports(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	for (unsigned int how = 0; how < 8 && !out->result; how++)
		reports_with(driver, out, how & 1 ? 1 : 64, how & 2, how & 4);
}
