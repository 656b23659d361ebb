/* SPDX-License-Identifier: MIT */
/* A device under test: the cases are its driver. */
#include "conformance/virtio_balloon_script.h"

#include <inttypes.h>
#include <string.h>

/* 1 ------------------------------------------------------------------------------------------- */

static void config_bytes(const struct conformance_device *device, struct conformance_outcome *out)
{
	struct script *script = script_begin(device, out, 0);

	if (script_set_target(script, 0x0102)) {
		script_expect(script, "num_pages", script_read_config(script, NUM_PAGES), 0x0102);
		script_write_actual(script, 0x0201);
		script_write_actual(script, 0);
		(void)script_set_target(script, 0);
		script_expect(script, "num_pages", script_read_config(script, NUM_PAGES), 0);
	}
	script_end(script);
}

/* 2 ------------------------------------------------------------------------------------------- */

static void requests(const struct conformance_device *device, struct conformance_outcome *out)
{
	static const uint32_t counts[] = { 1, 255, 256, 257 };
	struct script *script = script_begin(device, out, 0);

	for (unsigned int i = 0; i < 4 && !out->result; i++) {
		/* One request, and where numbers are cut into buffers means nothing. */
		for (uint32_t buffers = 1; buffers <= 3 && buffers <= counts[i]; buffers += 2) {
			script_put_request(script, INFLATE, device->first, counts[i], buffers);
			if (!script_wait_for(script, INFLATE))
				script_fail(script, "%u frames are not answered", counts[i]);
			script_expect_given(script, device->first, CONFORMANCE_FRAMES, counts[i]);
			script_put_request(script, DEFLATE, device->first, counts[i], buffers);
			if (!script_wait_for(script, DEFLATE))
				script_fail(script, "%u frames back are not answered", counts[i]);
			script_expect_given(script, device->first, CONFORMANCE_FRAMES, 0);
		}
	}
	script_end(script);
}

/* 3 ------------------------------------------------------------------------------------------- */

static void targets(const struct conformance_device *device, struct conformance_outcome *out)
{
	struct script *script = script_begin(device, out, 0);
	uint32_t most = device->most_frames ? device->most_frames : 0xffffffff;

	if (!script_set_target(script, 1000))
		goto out;
	script_move(script, INFLATE, device->first, 1000);
	script_write_actual(script, 1000);
	/* All of it back, then all there is and more, then something else in the middle. */
	(void)script_set_target(script, 0);
	script_expect(script, "num_pages", script_read_config(script, NUM_PAGES), 0);
	script_move(script, DEFLATE, device->first, 1000);
	script_write_actual(script, 0);
	(void)script_set_target(script, most);
	script_expect(script, "num_pages", script_read_config(script, NUM_PAGES), most);
	script_put_request(script, INFLATE, device->first, 512, 1);
	(void)script_set_target(script, 256);
	if (!script_wait_for(script, INFLATE))
		script_fail(script, "a target in the middle of a request");
	script_expect(script, "num_pages", script_read_config(script, NUM_PAGES), 256);
	script_write_actual(script, 512);
	script_move(script, DEFLATE, device->first + 256, 256);
	script_write_actual(script, 256);
	script_expect_given(script, device->first, CONFORMANCE_FRAMES, 256);
	(void)script_set_target(script, 0);
out:
	script_end(script);
}

/* 4 ------------------------------------------------------------------------------------------- */

static void large_pages(const struct conformance_device *device, struct conformance_outcome *out)
{
	struct script *script = script_begin(device, out, 0);

	if (!script_set_target(script, 1000))
		goto out;
	/* 63 pages of 64 KiB, the first target that such a guest can reach. */
	for (uint32_t page = 0; page < 63 && !out->result; page++)
		script_move(script, INFLATE, device->first + 16 * page, 16);
	script_write_actual(script, 1008);
	/* That is above the target, and stays so without anybody minding. */
	script_expect(script, "num_pages", script_read_config(script, NUM_PAGES), 1000);
	script_expect_given(script, device->first, CONFORMANCE_FRAMES, 1008);
	for (uint32_t page = 0; page < 63 && !out->result; page++)
		script_move(script, DEFLATE, device->first + 16 * page, 16);
	script_write_actual(script, 0);
	script_expect_given(script, device->first, CONFORMANCE_FRAMES, 0);
	(void)script_set_target(script, 0);
out:
	script_end(script);
}

/* 5 ------------------------------------------------------------------------------------------- */

static void silence(const struct conformance_device *device, struct conformance_outcome *out)
{
	struct script *script =
		script_begin(device, out, SCRIPT_STATS | SCRIPT_HINTS | SCRIPT_REPORTS);

	/* A driver that has taken the device and does nothing: it can be taken again. */
	(void)script_set_target(script, 1000);
	for (unsigned int i = 0; i < 20; i++)
		script_work(script);
	if (script->out->result == CONFORMANCE_SKIPPED)
		script->out->result = CONFORMANCE_PASSED;
	if (script_start(script, 0)) {
		script_move(script, INFLATE, device->first, 300);
		script_expect_given(script, device->first, CONFORMANCE_FRAMES, 300);
	}
	if (device->set_target)
		(void)script_set_target(script, 0);
	script_end(script);
}

/* 6 ------------------------------------------------------------------------------------------- */

static void put_stat(struct script *script, uint32_t at, uint16_t tag, uint64_t value)
{
	aero_gpa gpa = script->device->gpa + SCRIPT_BUFFERS + 10 * at;
	bool is_swapped = script->transport->is_legacy && script->device->is_big_endian;

	guest_ram_put(&script->ram, gpa, tag, 2, is_swapped);
	guest_ram_put(&script->ram, gpa + 2, value, 8, is_swapped);
}

static void give_stats(struct script *script, uint32_t bytes)
{
	struct virtio_driver_buffer buffer = { script->device->gpa + SCRIPT_BUFFERS, bytes, false };

	script_give(script, STATS_QUEUE, &buffer, 1);
	script_work(script);
}

static void expect_stat(struct script *script, unsigned int tag, bool is_there, uint64_t want)
{
	uint64_t value = 0;
	bool got = !is_there;

	for (unsigned int i = 0; i < SCRIPT_WAITS && got != is_there; i++) {
		script_work(script);
		got = script->device->stat(script->device->ctx, tag, &value);
	}
	if (got != is_there || (is_there && value != want))
		script_fail(script, "statistic %u: %d, %#" PRIx64, tag, got, value);
}

static void statistics(const struct conformance_device *device, struct conformance_outcome *out)
{
	struct script *script = script_begin(device, out, SCRIPT_STATS);

	if (!script_has(script, SCRIPT_STATS, "no statistics") || !device->ask_stats ||
	    !device->stat) {
		script_skip(script, "nobody asks for statistics");
		goto out;
	}
	/* A legacy driver's first buffer may be anything. */
	put_stat(script, 0, 4, 1);
	give_stats(script, 10);
	if (!device->ask_stats(device->ctx) || !script_wait_for(script, STATS_QUEUE))
		script_fail(script, "the first buffer does not come back");
	/* In no order, with tags that nobody knows, and not all of them. */
	put_stat(script, 0, 5, 0x1122334455667788);
	put_stat(script, 1, 0x7abc, 99);
	put_stat(script, 2, 0, 3);
	put_stat(script, 3, 4, 0);
	give_stats(script, 40);
	expect_stat(script, 5, true, 0x1122334455667788);
	expect_stat(script, 0, true, 3);
	expect_stat(script, 4, true, 0);
	expect_stat(script, 6, false, 0);
	if (!device->ask_stats(device->ctx) || !script_wait_for(script, STATS_QUEUE))
		script_fail(script, "a buffer does not come back");
	/* Less than an entry. */
	give_stats(script, 9);
	expect_stat(script, 5, false, 0);
	if (!device->ask_stats(device->ctx) || !script_wait_for(script, STATS_QUEUE))
		script_fail(script, "an empty buffer does not come back");
out:
	script_end(script);
}

/* 7 ------------------------------------------------------------------------------------------- */

static void give_id(struct script *script, uint32_t id)
{
	struct virtio_driver_buffer buffer = { script->device->gpa + SCRIPT_BUFFERS, 4, false };

	script_put32(script, buffer.gpa, id);
	script_give(script, HINT_QUEUE, &buffer, 1);
	if (!script_wait_for(script, HINT_QUEUE))
		script_fail(script, "an id is not answered");
}

static void give_hint(struct script *script, uint32_t at)
{
	struct virtio_driver_buffer buffer = { (aero_gpa)(script->device->first + 512 * at) << 12,
					       2 << 20, true };

	script_give(script, HINT_QUEUE, &buffer, 1);
	if (!script_wait_for(script, HINT_QUEUE))
		script_fail(script, "a hint is not answered");
}

static void expect_hinted(struct script *script, uint64_t want)
{
	if (script->device->hinted)
		script_expect(script, "frames hinted", script->device->hinted(script->device->ctx),
			      want);
}

/* By STOP; by DONE, where the operator has no STOP. */
static void end_round(struct script *script)
{
	const struct conformance_device *device = script->device;

	if (device->hint(device->ctx, 0)) {
		script_expect(script, "STOP", script_read_config(script, HINT_ID), 0);
		return;
	}
	if (!device->hint(device->ctx, 1))
		script_fail(script, "a round without an end");
	script_expect(script, "DONE", script_read_config(script, HINT_ID), 1);
}

static void hints_with(const struct conformance_device *device, struct conformance_outcome *out,
		       uint32_t ring_most)
{
	struct script *script = script_make(device, out);
	uint64_t before = device->hinted ? device->hinted(device->ctx) : 0;
	uint32_t id, next;

	script->ring_most = ring_most;
	(void)script_start(script, SCRIPT_HINTS);
	if (!script_has(script, SCRIPT_HINTS, "no hints") || !device->hint ||
	    !device->hint(device->ctx, 2)) {
		script_skip(script, "nobody begins a round");
		goto out;
	}
	id = script_read_config(script, HINT_ID);
	if (id < 2)
		script_fail(script, "a round with the id %u", id);
	give_id(script, id);
	give_hint(script, 0);
	expect_hinted(script, before + 512);
	/* The driver's own STOP: what comes behind it is of no round. */
	give_id(script, 0);
	give_hint(script, 1);
	expect_hinted(script, before + 512);
	end_round(script);
	/* Another round: what comes under the old id does not count. */
	if (!device->hint(device->ctx, 2))
		script_fail(script, "no other round");
	next = script_read_config(script, HINT_ID);
	if (next == id || next < 2)
		script_fail(script, "the next round has the id %#x", next);
	give_id(script, id);
	give_hint(script, 1);
	expect_hinted(script, before + 512);
	give_id(script, next);
	give_hint(script, 2);
	expect_hinted(script, before + 1024);
	/* DONE in the middle of it. */
	if (!device->hint(device->ctx, 1))
		script_fail(script, "no DONE");
	script_expect(script, "DONE", script_read_config(script, HINT_ID), 1);
	give_hint(script, 3);
	expect_hinted(script, before + 1024);
out:
	script_end(script);
}

static void hints(const struct conformance_device *device, struct conformance_outcome *out)
{
	hints_with(device, out, SCRIPT_RING_MOST);
	/* A legacy ring is as long as the device says. */
	if (!out->result && !device->transport->is_legacy)
		hints_with(device, out, 1);
}

/* 8 ------------------------------------------------------------------------------------------- */

static void report(struct script *script, aero_gpa gpa, uint32_t bytes, uint32_t count)
{
	struct virtio_driver_buffer buffers[4];

	for (uint32_t i = 0; i < count; i++) {
		buffers[i].gpa = gpa + (aero_gpa)i * bytes;
		buffers[i].len = bytes;
		buffers[i].is_writable = true;
	}
	script_give(script, REPORT_QUEUE, buffers, count);
	if (!script_wait_for(script, REPORT_QUEUE))
		script_fail(script, "a report of %u bytes at %#" PRIx64 " is not answered", bytes,
			    gpa);
}

static void reports_with(const struct conformance_device *device, struct conformance_outcome *out,
			 uint32_t ring_most, bool has_poison)
{
	struct script *script = script_make(device, out);
	aero_gpa gpa = (aero_gpa)device->first << 12;

	script->ring_most = ring_most;
	if (script_negotiate(script, SCRIPT_REPORTS | (has_poison ? SCRIPT_POISON : 0))) {
		if (script->features & SCRIPT_POISON)
			script_write_config(script, POISON_VAL, 0xaaaaaaaa);
		script_find_numbers(script);
		script_go_live(script);
	}
	if (script_has(script, SCRIPT_REPORTS, "no reports")) {
		report(script, gpa, 2 << 20, 1);
		report(script, gpa, 4096, 1);
		/* Neither begins nor ends with a page. */
		report(script, gpa + 512, 4096, 1);
		report(script, gpa + 512, 512, 1);
		if (ring_most > 1)
			report(script, gpa, 2 << 20, 4);
		/* What is reported is free, not in the balloon. */
		script_expect_given(script, device->first, CONFORMANCE_FRAMES, 0);
		script_move(script, INFLATE, device->first, 512);
		script_expect_given(script, device->first, CONFORMANCE_FRAMES, 512);
	}
	script_end(script);
}

static void reports(const struct conformance_device *device, struct conformance_outcome *out)
{
	reports_with(device, out, SCRIPT_RING_MOST, false);
	if (!out->result)
		reports_with(device, out, SCRIPT_RING_MOST, true);
	if (!out->result && !device->transport->is_legacy)
		reports_with(device, out, 1, false);
}

/* 9 ------------------------------------------------------------------------------------------- */

/* Each queue answers as what it is. */
static void use_queues(struct script *script)
{
	const struct conformance_device *device = script->device;

	script_move(script, INFLATE, device->first, 16);
	if (script->features & SCRIPT_REPORTS)
		report(script, (aero_gpa)(device->first + 1024) << 12, 4096, 1);
	if (script->features & SCRIPT_STATS && device->ask_stats) {
		put_stat(script, 0, 4, 7);
		give_stats(script, 10);
		if (!device->ask_stats(device->ctx) || !script_wait_for(script, STATS_QUEUE))
			script_fail(script, "statistics at %u", script->index[STATS_QUEUE]);
	}
	if (script->features & SCRIPT_HINTS && device->hint && device->hint(device->ctx, 2)) {
		give_id(script, script_read_config(script, HINT_ID));
		(void)device->hint(device->ctx, 1);
	}
	script_move(script, DEFLATE, device->first, 16);
}

static void numbers_of(const struct conformance_device *device, struct conformance_outcome *out,
		       uint64_t features, bool is_compact)
{
	struct script *script = script_make(device, out);

	if (script_negotiate(script, features)) {
		/* Closed up over what was accepted, as Linux's transports do it. */
		if (device->serves_both) {
			script->offered &= script->features;
			script_number(script, is_compact);
		} else {
			script_find_numbers(script);
		}
		script_go_live(script);
	}
	if (!out->result)
		use_queues(script);
	script_end(script);
}

static void numbers(const struct conformance_device *device, struct conformance_outcome *out)
{
	for (unsigned int i = 0; i < 16 && !out->result; i++)
		numbers_of(device, out,
			   (i & 1 ? SCRIPT_STATS : 0) | (i & 2 ? SCRIPT_HINTS : 0) |
				   (i & 4 ? SCRIPT_REPORTS : 0),
			   i & 8);
}

/* 10 ------------------------------------------------------------------------------------------ */

static void resets(const struct conformance_device *device, struct conformance_outcome *out)
{
	struct script *script = script_begin(device, out, 0);

	/* In the middle of an inflation, and with frames in the balloon. */
	script_move(script, INFLATE, device->first, 600);
	script_put_request(script, INFLATE, device->first + 600, 256, 1);
	script_reset(script);
	script_expect_given(script, device->first, CONFORMANCE_FRAMES, 0);
	/* Nothing of that life is left: the same frames are given again, and others. */
	if (script_start(script, 0)) {
		script_expect_given(script, device->first, CONFORMANCE_FRAMES, 0);
		script_move(script, INFLATE, device->first, 1000);
		script_expect_given(script, device->first, CONFORMANCE_FRAMES, 1000);
		script_write_actual(script, 1000);
	}
	script_reset(script);
	script_expect_given(script, device->first, CONFORMANCE_FRAMES, 0);
	/* And the next driver is one that leaves at once. */
	if (script_start(script, 0))
		script_write_actual(script, 0);
	script_end(script);
}

const struct conformance_device_case conformance_device_cases[CONFORMANCE_CASES] = {
	{ "conformance-1 the configuration is little-endian", config_bytes },
	{ "conformance-2 requests of 1, 255, 256, 257 frames", requests },
	{ "conformance-3 targets that change", targets },
	{ "conformance-4 64K pages settle", large_pages },
	{ "conformance-5 a driver that says nothing", silence },
	{ "conformance-6 statistics in any order, unknown, empty", statistics },
	{ "conformance-7 hints: ids that change, STOP, DONE, a ring of 1", hints },
	{ "conformance-8 reports: unaligned, poison, a ring of 1", reports },
	{ "conformance-9 numbers of queues", numbers },
	{ "conformance-10 a reset in the middle, another driver", resets },
};
