/* SPDX-License-Identifier: MIT */
/* A driver under test: the cases are its device. */
#include "conformance/virtio_balloon.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/virtio_fake.h"

#define MS 1000000ull
#define SECOND (1000 * MS)
#define STEPS_MAX 100000
#define VERSION_1 (1ull << 32)
#define MUST_TELL 1ull
#define STATS 2ull
#define HINTS 8ull
#define POISON 16ull
#define REPORTS 32ull
#define HINT_QUEUE 3u
#define REPORT_QUEUE 4u
#define ROUND 0x80000000u

/* One driver on one device. */
struct script {
	const struct conformance_driver *driver;
	struct conformance_outcome *out;
	struct virtio_fake fake;
};

__attribute__((format(printf, 2, 3))) static void fail(struct script *script, const char *format,
						       ...)
{
	va_list list;

	if (script->out->result)
		return;
	script->out->result = CONFORMANCE_FAILED;
	va_start(list, format);
	vsnprintf(script->out->why, sizeof(script->out->why), format, list);
	va_end(list);
}

static void expect(struct script *script, const char *what, uint64_t got, uint64_t want)
{
	if (got != want)
		fail(script, "%s: %" PRIu64 ", not %" PRIu64, what, got, want);
}

static void settle(struct script *script)
{
	unsigned int steps = 0;

	while (script->driver->step(script->driver->ctx) && ++steps < STEPS_MAX)
		;
	if (steps == STEPS_MAX)
		fail(script, "the driver does not come to rest");
	if (script->fake.problem[0])
		fail(script, "%s", script->fake.problem);
}

static void interrupt(struct script *script, uint32_t why)
{
	script->driver->interrupt(script->driver->ctx, why);
	settle(script);
}

/* The device answers frames until there is nothing more. */
static void serve(struct script *script)
{
	unsigned int rounds = 0;

	settle(script);
	while (virtio_fake_serve(&script->fake) && ++rounds < STEPS_MAX)
		interrupt(script, AERO_VIRTIO_INTERRUPT_QUEUE);
	if (rounds == STEPS_MAX)
		fail(script, "the driver never settles");
}

static void aim(struct script *script, uint32_t frames)
{
	virtio_fake_target(&script->fake, frames);
	interrupt(script, AERO_VIRTIO_INTERRUPT_CONFIG);
}

static void pass(struct script *script, uint64_t ns)
{
	script->driver->pass(script->driver->ctx, ns);
	settle(script);
}

/* What driver and device agree on. */
static void expect_settled(struct script *script, uint64_t frames)
{
	expect(script, "frames given", script->fake.given_frames, frames);
	expect(script, "actual", script->fake.actual, frames);
	expect(script, "frames as the driver says", script->driver->frames(script->driver->ctx),
	       frames);
}

/* A kernel, a device that offers this, and a driver to be. NULL: there is no such kernel. */
static struct script *make(const struct conformance_driver *driver, struct conformance_outcome *out,
			   const struct conformance_kernel *kernel, uint64_t offered)
{
	struct script *script = calloc(1, sizeof(*script));
	const struct aero_host_memory *memory;
	aero_gpa gpa;

	if (!script)
		abort();
	script->driver = driver;
	script->out = out;
	if (!driver->open_kernel(driver->ctx, kernel, &memory, &gpa)) {
		out->result = CONFORMANCE_SKIPPED;
		snprintf(out->why, sizeof(out->why), "there is no such kernel");
		free(script);
		return NULL;
	}
	virtio_fake_init(&script->fake, memory, gpa, kernel->is_legacy);
	script->fake.offered = kernel->is_legacy ? offered & UINT32_MAX : offered | VERSION_1;
	return script;
}

static void begin(struct script *script)
{
	if (!script->driver->open(script->driver->ctx, &script->fake.transport))
		fail(script, "the driver does not begin");
	serve(script);
}

static void end(struct script *script)
{
	const char *lost = script->driver->close(script->driver->ctx);

	if (script->fake.problem[0])
		fail(script, "%s", script->fake.problem);
	if (lost)
		fail(script, "%s", lost);
	free(script);
}

static struct script *open_with(const struct conformance_driver *driver,
				struct conformance_outcome *out,
				const struct conformance_kernel *kernel, uint64_t offered)
{
	struct script *script = make(driver, out, kernel, offered);

	if (script)
		begin(script);
	return script;
}

/* 1 ------------------------------------------------------------------------------------------- */

static void config_bytes(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	for (unsigned int legacy = 0; legacy < 2 && !out->result; legacy++) {
		struct conformance_kernel kernel = { .is_legacy = legacy };
		struct script *script = open_with(driver, out, &kernel, MUST_TELL);

		if (!script)
			return;
		/* The fake keeps and reads both fields byte by byte. */
		aim(script, 0x0102);
		serve(script);
		expect_settled(script, 0x0102);
		aim(script, 0x0201);
		serve(script);
		expect_settled(script, 0x0201);
		end(script);
	}
}

/* 2 ------------------------------------------------------------------------------------------- */

static void inflate_and_deflate(struct script *script, uint32_t count, uint32_t written)
{
	uint32_t seen;

	for (unsigned int index = 0; index < 2; index++) {
		uint32_t total = 0;

		aim(script, index ? 0 : count);
		while ((seen = virtio_fake_request(&script->fake, index))) {
			if (seen > 256)
				fail(script, "a request of %u numbers", seen);
			total += seen;
			/* Lengths mean nothing: old devices say how much they have read. */
			virtio_fake_answer(&script->fake, index, written);
			interrupt(script, AERO_VIRTIO_INTERRUPT_QUEUE);
		}
		expect(script, index ? "deflated" : "inflated", total, count);
	}
	expect_settled(script, 0);
}

static void requests(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	static const uint32_t counts[] = { 1, 255, 256, 257 };
	static const struct conformance_kernel kernel;
	struct script *script = open_with(driver, out, &kernel, MUST_TELL);

	if (!script)
		return;
	for (unsigned int i = 0; i < 4; i++)
		for (unsigned int odd = 0; odd < 2; odd++)
			inflate_and_deflate(script, counts[i], odd ? 4 * counts[i] + 1 : 0);
	end(script);
}

/* 3 ------------------------------------------------------------------------------------------- */

static void targets(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	static const uint32_t beyond[] = { 0x00ffffff, 0x7fffffff, 0xffffffff };
	static const struct conformance_kernel kernel;
	struct script *script = open_with(driver, out, &kernel, MUST_TELL);

	if (!script)
		return;
	aim(script, 3000);
	serve(script);
	aim(script, 0);
	serve(script);
	expect_settled(script, 0);
	for (unsigned int i = 0; i < 3; i++) {
		aim(script, beyond[i]);
		serve(script);
		/* As much as there is, and no end to it. */
		if (!script->fake.given_frames)
			fail(script, "nothing for a target beyond memory");
		aim(script, 5);
		serve(script);
		expect_settled(script, 5);
	}
	/* In the middle: some are answered, some not, and then it wants less. */
	aim(script, 9000);
	(void)virtio_fake_request(&script->fake, 0);
	(void)virtio_fake_request(&script->fake, 0);
	virtio_fake_answer(&script->fake, 0, 0);
	interrupt(script, AERO_VIRTIO_INTERRUPT_QUEUE);
	aim(script, 100);
	serve(script);
	expect_settled(script, 100);
	end(script);
}

/* 4 ------------------------------------------------------------------------------------------- */

static void large_pages(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	static const uint32_t counts[] = { 1, 17, 1000, 9999, 15, 0 };

	for (uint64_t features = 0; features < 2 && !out->result; features++) {
		static const struct conformance_kernel kernel = { .page_order = 4 };
		struct script *script = open_with(driver, out, &kernel, features);

		if (!script)
			return;
		for (unsigned int i = 0; i < 6; i++) {
			aim(script, counts[i]);
			serve(script);
			/* Up, as Linux does it: down would never be reached either. */
			expect_settled(script, (counts[i] + 15) / 16 * 16);
			pass(script, 5 * SECOND);
			expect(script, "requests while at rest", virtio_fake_serve(&script->fake),
			       0);
		}
		end(script);
	}
}

/* 5 ------------------------------------------------------------------------------------------- */

static void silence(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	for (uint64_t features = 0; features < 2 && !out->result; features++) {
		static const struct conformance_kernel kernel;
		struct script *script = open_with(driver, out, &kernel, features);
		unsigned int ms = 0;

		if (!script)
			return;
		aim(script, 3000);
		serve(script);
		aim(script, features ? 0 : 9000);
		pass(script, 60 * SECOND);
		/* It can be made to leave all the same. */
		while (!driver->leave(driver->ctx) && ++ms < 10000)
			driver->pass(driver->ctx, MS);
		if (ms == 10000)
			fail(script, "the driver waits for a device that says nothing");
		expect(script, "status in the end", script->fake.status, 0);
		end(script);
	}
}

/* 6 ------------------------------------------------------------------------------------------- */

static void statistics(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	struct conformance_kernel kernel = { .stats = 0x8035 };
	struct script *script = open_with(driver, out, &kernel, MUST_TELL | STATS);

	if (!script)
		return;
	for (unsigned int round = 0; round < 4; round++) {
		const struct virtio_device_chain *chain = virtio_fake_pop(&script->fake, 2);
		uint32_t seen = 0;

		if (!chain || chain->count != 1 || chain->buffers[0].is_writable ||
		    chain->buffers[0].len % 10) {
			fail(script, "no buffer, or one that is none");
			break;
		}
		for (uint32_t at = 0; at < chain->buffers[0].len; at += 10) {
			const uint8_t *entry =
				virtio_fake_at(&script->fake, chain->buffers[0].gpa + at, 10);
			unsigned int tag = entry[0] | entry[1] << 8;

			seen |= tag < 16 ? 1u << tag : 1u << 31;
		}
		/* The same subset in every buffer, and one buffer at a time. */
		expect(script, "tags", seen, 0x8035);
		if (virtio_fake_pop(&script->fake, 2))
			fail(script, "two buffers at a time");
		virtio_fake_push(&script->fake, 2, 0, 0);
		interrupt(script, AERO_VIRTIO_INTERRUPT_QUEUE);
	}
	end(script);
}

/* 7 ------------------------------------------------------------------------------------------- */

static void say_hint(struct script *script, uint32_t id)
{
	virtio_fake_set_config(&script->fake, 8, id);
	interrupt(script, AERO_VIRTIO_INTERRUPT_CONFIG);
}

/* Takes and answers buffers until an id; UINT32_MAX: none comes. */
static uint32_t next_id(struct script *script)
{
	for (unsigned int empty = 0; empty < 3;) {
		const struct virtio_device_chain *chain =
			virtio_fake_pop(&script->fake, HINT_QUEUE);
		uint32_t id = UINT32_MAX;

		if (chain && !chain->buffers[0].is_writable) {
			expect(script, "bytes of an id", chain->buffers[0].len, 4);
			id = virtio_fake_read32(&script->fake, chain->buffers[0].gpa);
		}
		if (chain)
			virtio_fake_push(&script->fake, HINT_QUEUE, 0, 0);
		if (id != UINT32_MAX)
			return id;
		empty = chain ? 0 : empty + 1;
		if (!chain)
			interrupt(script, AERO_VIRTIO_INTERRUPT_QUEUE);
	}
	return UINT32_MAX;
}

static void hints_with(const struct conformance_driver *driver, struct conformance_outcome *out,
		       uint32_t size)
{
	static const struct conformance_kernel kernel;
	struct script *script = make(driver, out, &kernel, MUST_TELL | HINTS);

	if (!script)
		return;
	script->fake.queue_size[HINT_QUEUE] = size;
	virtio_fake_set_config(&script->fake, 8, 1);
	begin(script);
	/* A whole round. */
	say_hint(script, ROUND);
	expect(script, "id of a round", next_id(script), ROUND);
	expect(script, "its end", next_id(script), 0);
	/* Another id before the driver has said the last one: that one, or this one, then this. */
	say_hint(script, 1);
	say_hint(script, ROUND + 1);
	say_hint(script, ROUND + 2);
	for (uint32_t id = 0; id != ROUND + 2;) {
		id = next_id(script);
		if (id != 0 && id != ROUND + 1 && id != ROUND + 2) {
			fail(script, "an id that was not said: %#x", id);
			break;
		}
	}
	/* STOP in the middle: nothing more but the end. DONE without STOP: all is free again. */
	say_hint(script, 0);
	(void)next_id(script);
	say_hint(script, ROUND + 3);
	say_hint(script, 1);
	while (next_id(script) != UINT32_MAX)
		;
	end(script);
}

static void hints(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	static const uint32_t sizes[] = { 128, 2, 1 };

	for (unsigned int i = 0; i < 3 && !out->result; i++)
		hints_with(driver, out, sizes[i]);
}

/* 8 ------------------------------------------------------------------------------------------- */

static uint64_t take_reports(struct script *script, uint32_t most)
{
	const struct virtio_device_chain *chain;
	uint64_t frames = 0;

	for (unsigned int i = 0; i < 1000; i++) {
		chain = virtio_fake_pop(&script->fake, REPORT_QUEUE);
		if (!chain)
			break;
		if (chain->count > most)
			fail(script, "a report of %u blocks", chain->count);
		for (uint32_t n = 0; n < chain->count; n++) {
			const struct aero_virtio_guest_buffer *buffer = &chain->buffers[n];

			if (!buffer->is_writable || buffer->len % 4096 || buffer->gpa % 4096)
				fail(script, "a block that is none: %u bytes", buffer->len);
			frames += buffer->len / 4096;
		}
		virtio_fake_push(&script->fake, REPORT_QUEUE, 0, 0);
		interrupt(script, AERO_VIRTIO_INTERRUPT_QUEUE);
	}
	return frames;
}

static void reports(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	for (unsigned int how = 0; how < 6 && !out->result; how++) {
		struct conformance_kernel kernel = {
			.is_reporting = true,
			.has_poison = how & 2,
		};
		bool is_known = how & 4;
		uint32_t size = how & 1 ? 1 : 32;
		struct script *script =
			make(driver, out, &kernel, REPORTS | (is_known ? POISON : 0));
		uint64_t frames;

		if (!script)
			return;
		script->fake.queue_size[REPORT_QUEUE] = size;
		begin(script);
		frames = take_reports(script, size);
		pass(script, 10 * SECOND);
		frames += take_reports(script, size);
		/* Pages that keep their poison are not for a device that does not know of it. */
		if (!frames != (kernel.has_poison && !is_known))
			fail(script, "%" PRIu64 " frames reported, poison %d, known %d", frames,
			     kernel.has_poison, is_known);
		end(script);
	}
}

/* 9 ------------------------------------------------------------------------------------------- */

static void expect_numbers(struct script *script, const uint8_t *indices, unsigned int count)
{
	for (uint8_t index = 2; index < 5; index++) {
		bool is_wanted = false;

		for (unsigned int i = 0; i < count; i++)
			is_wanted |= indices[i] == index;
		if (script->fake.queue[index].is_up != is_wanted)
			fail(script, "queue %u is %s", index, is_wanted ? "missing" : "used");
	}
}

static void numbers_of(const struct conformance_driver *driver, struct conformance_outcome *out,
		       uint64_t features, bool is_compact)
{
	static const uint64_t bits[] = { STATS, HINTS, REPORTS };
	struct conformance_kernel kernel = { .is_reporting = true, .stats = 1 };
	struct script *script = make(driver, out, &kernel, MUST_TELL | features);
	uint8_t indices[3], count = 0;

	if (!script)
		return;
	for (uint8_t i = 0; i < 3; i++)
		if (features & bits[i]) {
			indices[count] = is_compact ? 2 + count : 2 + i;
			count++;
		}
	memset(&script->fake.queue_size[2], 0, 3 * sizeof(uint32_t));
	for (uint8_t i = 0; i < count; i++)
		script->fake.queue_size[indices[i]] = 64;
	begin(script);
	expect_numbers(script, indices, count);
	aim(script, 300);
	serve(script);
	end(script);
}

static void numbers(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	for (unsigned int i = 0; i < 16 && !out->result; i++)
		numbers_of(driver, out,
			   (i & 1 ? STATS : 0) | (i & 2 ? HINTS : 0) | (i & 4 ? REPORTS : 0),
			   i & 8);
}

/* 10 ------------------------------------------------------------------------------------------ */

static void resets(const struct conformance_driver *driver, struct conformance_outcome *out)
{
	static const struct conformance_kernel kernel;
	struct script *script = open_with(driver, out, &kernel, MUST_TELL);
	unsigned int ms = 0;
	uint64_t resets_before;

	if (!script)
		return;
	/* In the middle of an inflation the device says that it has to be reset. */
	aim(script, 9000);
	(void)virtio_fake_request(&script->fake, 0);
	virtio_fake_answer(&script->fake, 0, 0);
	(void)virtio_fake_request(&script->fake, 0);
	resets_before = script->fake.resets;
	script->fake.extra_status = 64;
	interrupt(script, AERO_VIRTIO_INTERRUPT_CONFIG);
	if (script->fake.resets == resets_before)
		fail(script, "DEVICE_NEEDS_RESET and no reset");
	expect(script, "frames after a reset", script->fake.given_frames, 0);
	pass(script, 5 * SECOND);
	serve(script);
	expect_settled(script, 9000);
	/* The driver is removed with frames in the balloon. */
	while (!driver->leave(driver->ctx) && ++ms < 10000) {
		(void)virtio_fake_serve(&script->fake);
		driver->pass(driver->ctx, MS);
	}
	expect(script, "frames of a driver that is gone", script->fake.given_frames, 0);
	expect(script, "status of a driver that is gone", script->fake.status, 0);
	end(script);
}

const struct conformance_driver_case conformance_driver_cases[CONFORMANCE_CASES] = {
	{ "conformance-1 the configuration is little-endian", config_bytes },
	{ "conformance-2 requests of 1, 255, 256, 257 frames", requests },
	{ "conformance-3 targets that nobody can follow", targets },
	{ "conformance-4 64K pages settle", large_pages },
	{ "conformance-5 a device that says nothing", silence },
	{ "conformance-6 statistics in entries of 10 bytes", statistics },
	{ "conformance-7 hints: ids that change, STOP, DONE, a ring of 1", hints },
	{ "conformance-8 reports: poison, a ring of 1", reports },
	{ "conformance-9 numbers of queues", numbers },
	{ "conformance-10 a reset in the middle, the end with frames", resets },
};
