/* SPDX-License-Identifier: MIT */
#include "support/balloon_oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK BALLOON_ORACLE_CHECK

#define CONFIG_TARGET 0
#define CONFIG_ACTUAL 4
#define CONFIG_HINT 8
#define CONFIG_POISON 12

/* As much as one step may do. */
#define STEP_FRAMES 512
#define STEP_HINTS 64

/* Enough for all that a record can follow. */
#define FINISH_STEPS 100000

void balloon_oracle_check_that(bool is_true, const char *where, const char *what)
{
	if (is_true)
		return;
	fprintf(stderr, "%s: not true: %s\n", where, what);
	abort();
}

static void put32(uint8_t *p, uint32_t value)
{
	for (unsigned int i = 0; i < 4; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool is_live(const struct balloon_oracle *o)
{
	return o->status & AERO_VIRTIO_STATUS_DRIVER_OK;
}

static uint64_t page_frames(const struct balloon_oracle *o)
{
	return 1ull << o->rig.host.memory.backing.discard_order;
}

/* Discards ---------------------------------------------------------------------------------- */

/* Whether a range is the piece of a report that was just begun. */
static bool is_of_report(const struct balloon_oracle *o, struct aero_range range)
{
	if (o->accepted.word[0] & FEATURE(PAGE_POISON) && get32(o->config_space + CONFIG_POISON))
		return false;
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		const struct aero_virtio_balloon_queue *q = &o->rig.dev.queue[i];

		if (q->has_chain && q->role == AERO_VIRTIO_BALLOON_ROLE_REPORTING &&
		    q->rest.first == range.first + range.count)
			return true;
	}
	return false;
}

/* What must hold of a discard even where the record is not true. */
static void after_discard(void *ctx, struct aero_range range)
{
	struct balloon_oracle *o = ctx;
	const struct aero_frame_set *held = &o->rig.dev.ledger.held;

	CHECK(range.count > 0);
	CHECK(host_double_count(&o->rig.host, range, HOST_DOUBLE_RAM) == range.count);
	CHECK(range.first % page_frames(o) == 0 && range.count % page_frames(o) == 0);
	CHECK(is_live(o) && !o->inhibited);
	CHECK(o->rig.options.mode != AERO_DISCARD_NONE);
	CHECK(aero_frame_set_count_in(held, range) == range.count || is_of_report(o, range));
}

/* Trust ------------------------------------------------------------------------------------- */

void balloon_oracle_distrust(struct balloon_oracle *o)
{
	o->is_record_true = false;
	o->is_counted = false;
	o->rig.host.is_lax = true;
}

/* Nothing is given, no ring is there, no call fails: the record begins anew. */
static void trust(struct balloon_oracle *o)
{
	host_double_fail(&o->rig.host, 0, 0, false);
	balloon_rig_forget(&o->rig);
	o->rig.is_ring_broken = false;
	o->broken = o->rig.dev.counters.broken_queues;
	memset(o->is_up, 0, sizeof(o->is_up));
	o->is_record_true = true;
	o->is_counted = true;
	o->is_forged = false;
	o->rig.host.is_lax = false;
}

void balloon_oracle_fail(struct balloon_oracle *o, unsigned int kinds, uint64_t nth, bool on)
{
	/* Which frames are in the balloon is not to be known when memory comes and goes. */
	if (nth && kinds & HOST_DOUBLE_IS_RAM)
		balloon_oracle_distrust(o);
	host_double_fail(&o->rig.host, kinds, nth, on);
}

bool balloon_oracle_is_used(const struct balloon_oracle *o, unsigned int index)
{
	static const enum aero_virtio_balloon_role roles[3] = {
		AERO_VIRTIO_BALLOON_ROLE_STATS,
		AERO_VIRTIO_BALLOON_ROLE_HINT,
		AERO_VIRTIO_BALLOON_ROLE_REPORTING,
	};
	static const uint64_t features[3] = { FEATURE(STATS_VQ), FEATURE(FREE_PAGE_HINT),
					      FEATURE(PAGE_REPORTING) };

	if (index <= DEFLATE)
		return true;
	for (unsigned int i = 0; i < 3; i++) {
		if (balloon_rig_accepted(&o->rig) & features[i] &&
		    index == balloon_rig_index(&o->rig, roles[i]))
			return true;
	}
	return false;
}

/* Checks ------------------------------------------------------------------------------------ */

static void check_config(struct balloon_oracle *o)
{
	uint32_t bytes = o->rig.dev.config.config_bytes;
	uint8_t space[16];

	for (uint32_t i = 0; i < bytes; i++) {
		CHECK(aero_virtio_balloon_host_config_read(&o->rig.dev, i, &space[i], 1) ==
		      AERO_OK);
		if (i / 4 != CONFIG_HINT / 4)
			CHECK(space[i] == o->config_space[i]);
	}
}

static void check_report(struct balloon_oracle *o)
{
	struct aero_virtio_balloon_report report;

	aero_virtio_balloon_host_report(&o->rig.dev, o->rig.now, &report);
	CHECK(report.target_frames == get32(o->config_space + CONFIG_TARGET));
	CHECK(report.actual_frames <= UINT32_MAX && report.stall <= AERO_HOST_STALL_SHRINKING);
	CHECK(report.pending_frames <= report.ledger_frames);
	CHECK(report.inhibited == o->inhibited);
	CHECK(o->rig.dev.ledger.is_inhibited == (o->inhibited != 0));
	CHECK(report.is_live == is_live(o));
	CHECK(report.is_quiesced == o->is_quiesced);
	CHECK(!o->is_drained || report.is_drained);
	CHECK(report.hint_state <= AERO_HINT_DONE);
	CHECK(!memcmp(&report.accepted, &o->accepted, sizeof(o->accepted)));
	CHECK((o->rig.dev.status & ~AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET) == o->status);
}

static void check_stats(const struct balloon_oracle *o)
{
	const struct aero_virtio_balloon_stats *stats = aero_virtio_balloon_host_stats(&o->rig.dev);

	CHECK(stats->known <= UINT16_MAX);
	CHECK(stats->unknown_count <= AERO_VIRTIO_BALLOON_STATS_UNKNOWN);
	for (uint32_t i = 0; i < stats->unknown_count; i++)
		CHECK(stats->unknown[i].tag >= AERO_VIRTIO_BALLOON_STATS || !o->is_record_true);
}

static bool is_between_requests(const struct balloon_oracle *o)
{
	const struct aero_virtio_balloon_queue *queue = o->rig.dev.queue;

	return !queue[INFLATE].has_chain && !queue[DEFLATE].has_chain;
}

/* Without MUST_TELL_HOST what a request gave is the guest's again when it is answered. */
static void check_pending(const struct balloon_oracle *o)
{
	const struct aero_virtio_balloon *dev = &o->rig.dev;

	if (dev->ledger.mode == AERO_DISCARD_COLLECT || dev->queue[INFLATE].has_chain)
		return;
	CHECK(!aero_ledger_pending(&dev->ledger) || o->is_forged);
}

static void check_frames(const struct balloon_oracle *o)
{
	struct aero_range run = { 0, 0 };

	while (aero_frame_set_next(&o->rig.dev.ledger.held, run.first + run.count, AERO_FRAME_LIMIT,
				   &run)) {
		CHECK(run.first + run.count <= o->rig.options.frames);
		CHECK(!memchr(o->rig.in_balloon + run.first, 0, (size_t)run.count));
	}
}

void balloon_oracle_check(struct balloon_oracle *o, bool has_frames)
{
	balloon_rig_poll(&o->rig);
	if (o->rig.host.failures)
		o->is_counted = false;
	CHECK(aero_virtio_balloon_host_validate(&o->rig.dev) == AERO_OK);
	check_config(o);
	check_report(o);
	check_stats(o);
	check_pending(o);
	if (o->rig.host.violation[0]) {
		fprintf(stderr, "%s\n", o->rig.host.violation);
		abort();
	}
	if (!o->is_record_true)
		return;
	CHECK(!o->rig.is_ring_broken);
	if (!o->is_counted)
		return;
	CHECK(o->rig.dev.counters.broken_queues == o->broken);
	if (!is_between_requests(o))
		return;
	CHECK(aero_ledger_held(&o->rig.dev.ledger) == o->rig.held);
	if (has_frames)
		check_frames(o);
}

/* Steps ------------------------------------------------------------------------------------- */

/* What a step has done so far, of what is bounded. */
struct work {
	uint64_t frames;
	uint64_t hints;
	uint64_t reports;
	uint64_t stats;
	uint64_t discards;
	uint64_t discarded;
};

static struct work measure(const struct balloon_oracle *o)
{
	const struct aero_virtio_balloon_counters *c = &o->rig.dev.counters;
	struct work work = {
		.frames = c->inflate_frames + c->deflate_frames,
		.hints = c->hint_buffers + c->hint_stale_buffers,
		.reports = c->report_ranges,
		.stats = c->stats_buffers,
		.discards = o->rig.host.discards,
		.discarded = o->rig.host.discarded_frames,
	};

	return work;
}

static void check_work(const struct balloon_oracle *o, const struct work *before)
{
	struct work after = measure(o);
	bool is_single = o->rig.options.mode == AERO_DISCARD_FRAME;
	uint64_t most = page_frames(o);

	if (most < AERO_LEDGER_DISCARD_FRAMES)
		most = AERO_LEDGER_DISCARD_FRAMES;
	CHECK(after.frames - before->frames <= STEP_FRAMES);
	CHECK(after.hints - before->hints <= STEP_HINTS);
	CHECK(after.reports - before->reports <= 1);
	/* Without memory to note frames they are discarded as they come. */
	if (o->rig.host.failures)
		return;
	CHECK(after.discarded - before->discarded <= most);
	CHECK(after.discards - before->discards <=
	      (is_single ? STEP_FRAMES : AERO_LEDGER_DISCARD_CALLS));
}

/* Whether a request is in hand; a held statistics buffer is not. */
static bool is_busy(const struct balloon_oracle *o)
{
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		const struct aero_virtio_balloon_queue *q = &o->rig.dev.queue[i];

		if (q->has_chain && q->role != AERO_VIRTIO_BALLOON_ROLE_STATS)
			return true;
	}
	return false;
}

/* A paused device begins nothing. */
static void check_paused(const struct balloon_oracle *o, const struct work *before)
{
	struct work after = measure(o);

	CHECK(after.frames == before->frames && after.hints == before->hints);
	CHECK(after.reports == before->reports && after.stats == before->stats && !is_busy(o));
	CHECK(after.discards == before->discards || !o->is_drained);
}

static bool step(struct balloon_oracle *o)
{
	bool must_rest = o->is_quiesced && !is_busy(o);
	uint64_t told = o->rig.events[AERO_VIRTIO_BALLOON_EVENT_DRAINED];
	struct work before = measure(o);
	uint64_t next;

	o->rig.host.is_frozen = o->is_drained;
	next = balloon_rig_step(&o->rig);
	o->rig.host.is_frozen = false;
	check_work(o, &before);
	if (must_rest)
		check_paused(o, &before);
	CHECK(next >= o->rig.now);
	if (o->rig.events[AERO_VIRTIO_BALLOON_EVENT_DRAINED] != told) {
		CHECK(o->is_quiesced && !o->is_drained);
		o->is_drained = true;
	}
	return next > o->rig.now;
}

bool balloon_oracle_run(struct balloon_oracle *o, unsigned int steps)
{
	bool is_at_rest = false;

	while (steps-- && !is_at_rest)
		is_at_rest = step(o);
	return is_at_rest;
}

/* The driver -------------------------------------------------------------------------------- */

static bool has_rings(const struct balloon_oracle *o)
{
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		if (o->rig.has_ring[i])
			return true;
	}
	return false;
}

void balloon_oracle_accept(struct balloon_oracle *o, const struct aero_virtio_features *features)
{
	uint64_t offered = o->rig.options.offered;
	bool is_subset = !(features->word[0] & ~offered) && !features->word[1];
	bool is_new = features->word[0] != o->accepted.word[0];
	enum aero_status want = is_live(o) ? AERO_ESTATE : is_subset ? AERO_OK : AERO_ENOTSUP;

	CHECK(aero_virtio_balloon_host_accept(&o->rig.dev, features) == want);
	if (want != AERO_OK)
		return;
	o->accepted = *features;
	o->rig.options.refused = offered & ~features->word[0];
	/* Rings and frames were promised under other features. */
	if (is_new && (has_rings(o) || o->rig.held))
		balloon_oracle_distrust(o);
}

/* Whether a device can serve the driver's rings with the features it has accepted. */
static bool can_have_rings(const struct balloon_oracle *o)
{
	uint64_t accepted = balloon_rig_accepted(&o->rig);
	uint32_t size = o->rig.options.ring_size;

	if (accepted & TRANSPORT(RING_PACKED))
		return accepted & TRANSPORT(VERSION_1) || !o->rig.options.is_big_endian;
	return !(size & (size - 1));
}

void balloon_oracle_start_ring(struct balloon_oracle *o, unsigned int index)
{
	enum aero_status want = can_have_rings(o) ? AERO_OK : AERO_EINVAL;
	enum aero_status status;

	if (o->is_up[index])
		return;
	/* The driver means other features than it has told. */
	if (o->accepted.word[0] != balloon_rig_accepted(&o->rig))
		balloon_oracle_distrust(o);
	status = balloon_rig_try_ring(&o->rig, index);
	CHECK(status == want || o->rig.host.failures || !o->is_record_true);
	o->is_up[index] = status == AERO_OK;
}

void balloon_oracle_stop_ring(struct balloon_oracle *o, unsigned int index)
{
	if (!o->is_up[index])
		return;
	balloon_rig_stop_ring(&o->rig, index);
	o->is_up[index] = false;
}

void balloon_oracle_connect(struct balloon_oracle *o)
{
	struct aero_virtio_features features = { { balloon_rig_accepted(&o->rig), 0 } };

	if (!is_live(o))
		balloon_oracle_accept(o, &features);
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		if (!balloon_oracle_is_used(o, i))
			continue;
		balloon_oracle_start_ring(o, i);
		aero_virtio_balloon_host_queue_enable(&o->rig.dev, i, true);
	}
	balloon_oracle_set_status(o, 0x0f);
}

static void clear_driver_fields(struct balloon_oracle *o)
{
	put32(o->config_space + CONFIG_ACTUAL, 0);
}

void balloon_oracle_set_status(struct balloon_oracle *o, uint8_t status)
{
	const uint8_t broken = AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET;
	uint8_t answer = aero_virtio_balloon_host_set_status(&o->rig.dev, status);

	if (status) {
		o->status |= status & (uint8_t)~broken;
		CHECK((answer & ~broken) == o->status);
		return;
	}
	CHECK(!answer);
	o->status = 0;
	memset(&o->accepted, 0, sizeof(o->accepted));
	clear_driver_fields(o);
	put32(o->config_space + CONFIG_POISON, 0);
	trust(o);
}

void balloon_oracle_write_config(struct balloon_oracle *o, uint32_t offset, const uint8_t *bytes,
				 uint32_t len)
{
	uint32_t size = o->rig.dev.config.config_bytes;
	bool is_inside = offset <= size && len <= size - offset;
	enum aero_status want = is_inside ? AERO_OK : AERO_ERANGE;

	CHECK(aero_virtio_balloon_host_config_write(&o->rig.dev, offset, bytes, len) == want);
	for (uint32_t i = 0; is_inside && i < len; i++) {
		if ((offset + i) / 4 == CONFIG_ACTUAL / 4 || (offset + i) / 4 == CONFIG_POISON / 4)
			o->config_space[offset + i] = bytes[i];
	}
	if (is_inside && len && offset <= CONFIG_ACTUAL + 3 && offset + len > CONFIG_ACTUAL + 3)
		CHECK(o->rig.dev.actual == get32(o->config_space + CONFIG_ACTUAL));
}

/* The operator ------------------------------------------------------------------------------ */

void balloon_oracle_set_target(struct balloon_oracle *o, uint64_t frames)
{
	uint32_t want = frames > UINT32_MAX ? UINT32_MAX : (uint32_t)frames;
	uint64_t set = 0;

	CHECK(aero_virtio_balloon_host_set_target(&o->rig.dev, frames, &set) ==
	      (want == frames ? AERO_OK : AERO_ERANGE));
	CHECK(set == want);
	put32(o->config_space + CONFIG_TARGET, want);
}

void balloon_oracle_inhibit(struct balloon_oracle *o, uint32_t reasons)
{
	aero_virtio_balloon_host_inhibit(&o->rig.dev, reasons);
	o->inhibited = reasons;
}

void balloon_oracle_pause(struct balloon_oracle *o, bool is_paused)
{
	if (is_paused)
		aero_virtio_balloon_host_quiesce(&o->rig.dev);
	else
		aero_virtio_balloon_host_resume(&o->rig.dev);
	o->is_quiesced = is_paused;
	o->is_drained = false;
}

void balloon_oracle_detach(struct balloon_oracle *o)
{
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		balloon_oracle_stop_ring(o, i);
	aero_virtio_balloon_host_detach(&o->rig.dev);
	o->status = 0;
}

void balloon_oracle_forget(struct balloon_oracle *o)
{
	aero_virtio_balloon_host_forget(&o->rig.dev);
	clear_driver_fields(o);
	trust(o);
}

static void take_frames_out(struct balloon_oracle *o, struct aero_range range)
{
	struct balloon_rig *rig = &o->rig;
	uint64_t gone = 0;
	uint64_t forgotten;

	for (uint64_t i = range.first; i < range.first + range.count; i++) {
		struct aero_range one = { i, 1 };

		gone += rig->in_balloon[i];
		rig->in_balloon[i] = 0;
		if (!rig->named[i])
			host_double_clear(&rig->host, one, HOST_DOUBLE_MAY);
	}
	rig->held -= gone;
	forgotten = aero_ledger_forget(&rig->dev.ledger, range);
	CHECK(forgotten == gone || !o->is_counted);
}

void balloon_oracle_plug(struct balloon_oracle *o, struct aero_range range, bool is_there)
{
	bool was_up[AERO_VIRTIO_BALLOON_QUEUES];

	memcpy(was_up, o->is_up, sizeof(was_up));
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		balloon_oracle_stop_ring(o, i);
	o->is_counted = o->is_counted && !o->rig.host.failures;
	aero_virtio_balloon_host_settle(&o->rig.dev);
	CHECK(!aero_ledger_pending(&o->rig.dev.ledger));
	if (is_there) {
		host_double_set(&o->rig.host, range, HOST_DOUBLE_RAM);
	} else {
		take_frames_out(o, range);
		host_double_clear(&o->rig.host, range, HOST_DOUBLE_RAM);
	}
	aero_virtio_balloon_host_memory_changed(&o->rig.dev);
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		if (was_up[i])
			balloon_oracle_start_ring(o, i);
	}
}

/* Another device ---------------------------------------------------------------------------- */

/* The device is as after init(). */
static void begin_afresh(struct balloon_oracle *o)
{
	trust(o);
	memset(o->config_space, 0, sizeof(o->config_space));
	memset(&o->accepted, 0, sizeof(o->accepted));
	o->status = 0;
	o->inhibited = 0;
	o->is_quiesced = false;
	o->is_drained = false;
}

/* Nobody but the forger knows what the device is like now. */
static void believe(struct balloon_oracle *o)
{
	const struct aero_virtio_balloon *dev = &o->rig.dev;

	balloon_oracle_distrust(o);
	o->is_forged = true;
	memcpy(o->config_space, dev->config_space, sizeof(o->config_space));
	o->accepted = dev->accepted;
	o->rig.options.refused = o->rig.options.offered & ~dev->accepted.word[0];
	o->status = dev->status & (uint8_t)~AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET;
	o->inhibited = dev->inhibited;
	for (unsigned int i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		o->is_up[i] = o->rig.has_ring[i] && dev->queue[i].is_started;
}

void balloon_oracle_replace(struct balloon_oracle *o, struct test_stream *stream, bool is_forged)
{
	struct balloon_rig *rig = &o->rig;
	enum aero_status status;

	aero_virtio_balloon_host_fini(&rig->dev);
	CHECK(!rig->host.live_nodes);
	balloon_rig_replace(rig);
	status = aero_virtio_balloon_host_restore(&rig->dev, &stream->source);
	if (status != AERO_OK) {
		CHECK(status == AERO_EPROTO || status == AERO_ENOMEM || status == AERO_EIO);
		CHECK(is_forged || stream->fail_after || rig->host.failures || !o->is_record_true);
		CHECK(!rig->host.live_nodes);
		begin_afresh(o);
		return;
	}
	if (is_forged)
		believe(o);
	o->is_quiesced = true;
	o->is_drained = false;
}

/* Beginning and end ------------------------------------------------------------------------- */

void balloon_oracle_open(struct balloon_oracle *o, const struct balloon_rig_options *options)
{
	memset(o, 0, sizeof(*o));
	balloon_rig_open(&o->rig, options);
	o->rig.host.after = after_discard;
	o->is_record_true = true;
	o->is_counted = true;
}

/* A driver that goes on to be honest is served, and what it gave is discarded. */
static void finish(struct balloon_oracle *o)
{
	struct aero_virtio_balloon *dev = &o->rig.dev;

	balloon_oracle_inhibit(o, 0);
	balloon_oracle_pause(o, false);
	balloon_oracle_connect(o);
	if (!can_have_rings(o))
		return;
	CHECK(balloon_oracle_run(o, FINISH_STEPS));
	o->rig.now += AERO_LEDGER_IDLE_NS_DEFAULT;
	CHECK(balloon_oracle_run(o, FINISH_STEPS));
	balloon_oracle_check(o, true);
	CHECK(is_between_requests(o));
	CHECK(o->rig.in_flight == o->rig.stats_in_flight && o->rig.in_flight <= 1);
	if (page_frames(o) == 1)
		CHECK(!aero_ledger_pending(&dev->ledger));
}

void balloon_oracle_close(struct balloon_oracle *o)
{
	if (o->is_counted && o->is_record_true) {
		host_double_fail(&o->rig.host, 0, 0, false);
		finish(o);
	}
	aero_virtio_balloon_host_fini(&o->rig.dev);
	CHECK(!o->rig.host.live_nodes);
	o->rig.is_ring_broken = false;
	balloon_rig_close(&o->rig);
}
