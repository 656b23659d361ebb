/* SPDX-License-Identifier: MIT */
#include "support/host_double.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void violate(struct host_double *host, const char *what, struct aero_range range)
{
	if (host->violation[0])
		return;
	snprintf(host->violation, sizeof(host->violation), "%s: frames %" PRIu64 " + %" PRIu64,
		 what, range.first, range.count);
}

static bool must_fail(struct host_double *host, unsigned int kind)
{
	if (!(host->fail_kinds & kind))
		return false;
	host->calls++;
	if (!host->fail_at || host->calls < host->fail_at ||
	    (host->calls > host->fail_at && !host->fail_on))
		return false;
	host->failures++;
	return true;
}

static void *translate(void *ctx, aero_gpa gpa, size_t *len, enum aero_access access)
{
	struct host_double *host = ctx;
	struct aero_range range = { gpa >> AERO_FRAME_SHIFT, 1 };

	if (host->is_frozen)
		violate(host, "translated while frozen", range);
	if (must_fail(host, HOST_DOUBLE_TRANSLATE))
		return NULL;
	return host->ram.memory.translate(&host->ram, gpa, len, access);
}

/* A hostile guest asks for much of memory, often. */
static void measure_ram(struct host_double *host)
{
	uint64_t end = host->frames;

	host->ram_end = malloc((size_t)(host->frames + 1) * sizeof(*host->ram_end));
	if (!host->ram_end)
		abort();
	for (uint64_t frame = host->frames; frame--; host->ram_end[frame] = end) {
		if (!(host->state[frame] & HOST_DOUBLE_RAM))
			end = frame;
	}
}

static void forget_ram(struct host_double *host, uint8_t bits)
{
	if (!(bits & HOST_DOUBLE_RAM))
		return;
	free(host->ram_end);
	host->ram_end = NULL;
}

static uint64_t is_ram(void *ctx, struct aero_range range)
{
	struct host_double *host = ctx;
	uint64_t count;

	if (must_fail(host, HOST_DOUBLE_IS_RAM) || range.first >= host->frames)
		return 0;
	if (!host->ram_end)
		measure_ram(host);
	count = host->ram_end[range.first] - range.first;
	return count < range.count ? count : range.count;
}

static void check_discard(struct host_double *host, struct aero_range range)
{
	uint64_t page = 1ull << host->memory.backing.discard_order;

	if (host->is_frozen)
		violate(host, "discarded while frozen", range);
	if (!range.count)
		violate(host, "discarded nothing", range);
	if (range.first % page || range.count % page)
		violate(host, "discarded a part of a backing page", range);
	if (host_double_count(host, range, HOST_DOUBLE_RAM) != range.count)
		violate(host, "discarded what is not guest memory", range);
	else if (host_double_count(host, range, HOST_DOUBLE_MAY) != range.count)
		violate(host, "discarded what is the guest's", range);
}

static enum aero_status discard(void *ctx, struct aero_range range, uint64_t *out_freed_bytes)
{
	struct host_double *host = ctx;

	if (host->before)
		host->before(host->ctx);
	if (!host->is_lax)
		check_discard(host, range);
	host->discards++;
	host->discarded_frames += range.count;
	if (range.count > host->longest)
		host->longest = range.count;
	host_double_set(host, range, HOST_DOUBLE_DISCARDED);
	if (host->after)
		host->after(host->ctx, range);
	if (must_fail(host, HOST_DOUBLE_DISCARD))
		return AERO_EIO;
	*out_freed_bytes = range.count << AERO_FRAME_SHIFT;
	return AERO_OK;
}

static void *get_node(void *ctx)
{
	struct host_double *host = ctx;
	void *node;

	if (must_fail(host, HOST_DOUBLE_NODE))
		return NULL;
	if (posix_memalign(&node, AERO_NODE_BYTES, AERO_NODE_BYTES))
		abort();
	memset(node, 0xa5, AERO_NODE_BYTES);
	if (++host->live_nodes > host->peak_nodes)
		host->peak_nodes = host->live_nodes;
	return node;
}

static void put_node(void *ctx, void *node)
{
	struct host_double *host = ctx;

	host->live_nodes--;
	memset(node, 0x5a, AERO_NODE_BYTES);
	free(node);
}

void host_double_init(struct host_double *host, uint64_t frames, struct aero_backing backing)
{
	memset(host, 0, sizeof(*host));
	guest_ram_init(&host->ram);
	host->memory.ctx = host;
	host->memory.translate = translate;
	host->memory.is_ram = is_ram;
	host->memory.discard = discard;
	host->memory.backing = backing;
	host->nodes.ctx = host;
	host->nodes.get = get_node;
	host->nodes.put = put_node;
	host->frames = frames;
	host->state = malloc(frames ? (size_t)frames : 1);
	if (!host->state)
		abort();
	memset(host->state, HOST_DOUBLE_RAM, (size_t)frames);
}

void host_double_fini(struct host_double *host)
{
	guest_ram_fini(&host->ram);
	free(host->state);
	free(host->ram_end);
}

/* The part of a range that there are states for. */
static struct aero_range clip(const struct host_double *host, struct aero_range range)
{
	if (range.first >= host->frames)
		range.count = 0;
	else if (range.count > host->frames - range.first)
		range.count = host->frames - range.first;
	return range;
}

void host_double_set(struct host_double *host, struct aero_range range, uint8_t bits)
{
	range = clip(host, range);
	forget_ram(host, bits);
	for (uint64_t i = 0; i < range.count; i++)
		host->state[range.first + i] |= bits;
}

void host_double_clear(struct host_double *host, struct aero_range range, uint8_t bits)
{
	range = clip(host, range);
	forget_ram(host, bits);
	for (uint64_t i = 0; i < range.count; i++)
		host->state[range.first + i] &= (uint8_t)~bits;
}

uint64_t host_double_count(const struct host_double *host, struct aero_range range, uint8_t bits)
{
	uint64_t count = 0;

	range = clip(host, range);
	for (uint64_t i = 0; i < range.count; i++)
		count += (host->state[range.first + i] & bits) == bits;
	return count;
}

void host_double_fail(struct host_double *host, unsigned int kinds, uint64_t nth, bool from_then_on)
{
	host->fail_kinds = kinds;
	host->fail_at = nth;
	host->fail_on = from_then_on;
	host->calls = 0;
	host->failures = 0;
}

static enum aero_status write_stream(void *ctx, const void *buf, size_t len)
{
	struct test_stream *stream = ctx;

	if (stream->fail_after && stream->len + len > stream->fail_after)
		return AERO_EIO;
	if (stream->len + len > stream->room) {
		stream->room = 2 * (stream->len + len);
		stream->bytes = realloc(stream->bytes, stream->room);
		if (!stream->bytes)
			abort();
	}
	memcpy(stream->bytes + stream->len, buf, len);
	stream->len += len;
	return AERO_OK;
}

static enum aero_status read_stream(void *ctx, void *buf, size_t len)
{
	struct test_stream *stream = ctx;

	if (stream->fail_after && stream->at + len > stream->fail_after)
		return AERO_EIO;
	if (len > stream->len - stream->at)
		return AERO_EPROTO;
	memcpy(buf, stream->bytes + stream->at, len);
	stream->at += len;
	return AERO_OK;
}

void test_stream_init(struct test_stream *stream)
{
	memset(stream, 0, sizeof(*stream));
	stream->sink.ctx = stream;
	stream->sink.write = write_stream;
	stream->source.ctx = stream;
	stream->source.read = read_stream;
}

void test_stream_fini(struct test_stream *stream)
{
	free(stream->bytes);
}
