/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <inttypes.h>

#include "support/virtio_fake_guest.h"
#include "support/virtio_guest_frames.h"

#define PAGES 512
#define STEPS_MAX 100000

static void complain(struct fake_guest *guest, const char *what, uint64_t a, uint64_t b)
{
	if (!guest->problem[0])
		snprintf(guest->problem, sizeof(guest->problem), "%s: %" PRIu64 ", %" PRIu64, what,
			 a, b);
}

static void answer_stats(void *ctx, struct aero_memory_stats *out)
{
	struct fake_guest *guest = ctx;

	*out = guest->stats;
}

static void reported(void *ctx, const struct aero_range *ranges, size_t count, bool is_reported)
{
	struct fake_guest *guest = ctx;

	guest->reported_calls++;
	for (size_t i = 0; i < count; i++) {
		if (is_reported)
			guest->reported_frames += ranges[i].count;
		else
			guest->unreported_frames += ranges[i].count;
	}
}

static void open_kernel(struct fake_guest *guest, const struct fake_guest_options *options)
{
	struct sim_port_config sim = options->sim;

	if (!sim.page_frames) {
		sim.page_frames = PAGES;
		sim.page_first = sim.frames ? sim.frames : SIM_PORT_GIB(1) / 16;
	}
	sim_port_init(&guest->sim, &sim);
	guest->port = guest->sim.port;
	guest->stats.known = options->stats;
	for (unsigned int i = 0; i < AERO_MEMORY_STATS; i++)
		guest->stats.value[i] = 0x0102030405060700ull + i;
	if (options->stats)
		guest->port.stats = answer_stats;
	guest->spans.ctx = &guest->sim;
	guest->spans.get = sim_port_span_get;
	guest->spans.put = sim_port_span_put;
}

enum aero_status fake_guest_open(struct fake_guest *guest, const struct fake_guest_options *options)
{
	static const struct fake_guest_options none;
	struct aero_virtio_balloon_guest_config config;
	struct sim_virtio_entry *entries = NULL;

	if (!options)
		options = &none;
	config = options->guest;
	memset(guest, 0, sizeof(*guest));
	guest->now = guest->due = FAKE_GUEST_SECOND;
	open_kernel(guest, options);
	virtio_fake_init(&guest->fake, &guest->sim.memory,
			 guest->sim.config.page_first << AERO_FRAME_SHIFT, options->is_legacy);
	if (options->entries)
		entries = calloc((size_t)options->entries, sizeof(*entries));
	sim_virtio_record_init(&guest->record, &guest->fake.transport, entries, options->entries);
	config.balloon.port = &guest->port;
	config.transport = &guest->record.transport;
	if (options->is_legacy && !options->has_no_memory)
		config.memory = &guest->spans;
	if (options->is_pushing)
		config.reported = reported;
	config.reported_ctx = guest;
	return aero_virtio_balloon_guest_init(&guest->drv, &config);
}

/* Whether the kernel may have a frame: what leaves is its own early, where that is allowed. */
static bool may_be_used(const struct fake_guest *guest, uint32_t frame)
{
	/* What the device has not seen yet, too. */
	bool may_be_early = !(guest->drv.features & 1) && guest->drv.lane[1].flying;
	uint8_t state = guest->fake.frame[frame];

	return state == VIRTIO_FAKE_GUEST || (state != VIRTIO_FAKE_ASKED && may_be_early);
}

/* What the device has is lent, run by run. */
static void compare_frames(struct fake_guest *guest)
{
	uint32_t end = guest->fake.frame_end;

	for (uint32_t frame = 0; frame < end; frame++) {
		struct aero_range run = { frame, 0 };
		uint64_t lent;

		while (frame < end && !may_be_used(guest, frame)) {
			run.count++;
			frame++;
		}
		lent = run.count ? sim_buddy_lent_run(&guest->sim.buddy, run) : 0;
		if (lent < run.count)
			complain(guest, "the device has a frame that the kernel uses",
				 run.first + lent, guest->fake.frame[run.first + lent]);
	}
}

const char *fake_guest_check(struct fake_guest *guest)
{
	const char *wrong = sim_port_check(&guest->sim);
	uint64_t has = virtio_guest_frames_lent(&guest->drv.balloon) +
		       virtio_guest_frames_beside(&guest->drv);
	uint64_t gave = sim_port_lent_frames(&guest->sim) - guest->outside_frames;

	if (wrong)
		return wrong;
	if (guest->fake.problem[0])
		return guest->fake.problem;
	if (aero_virtio_balloon_guest_validate(&guest->drv))
		complain(guest, "the driver is not valid: frames", has, 0);
	if (has != gave)
		complain(guest, "frames the driver has and that the kernel gave", has, gave);
	if (guest->drv.is_live && !guest->fake.queue[0].is_wild && !guest->fake.queue[1].is_wild)
		compare_frames(guest);
	return guest->problem[0] ? guest->problem : NULL;
}

void fake_guest_interrupt(struct fake_guest *guest, uint32_t why)
{
	aero_virtio_balloon_guest_interrupt(&guest->drv, why);
	guest->due = guest->now;
}

bool fake_guest_step(struct fake_guest *guest)
{
	const char *wrong;

	guest->due = aero_virtio_balloon_guest_step(&guest->drv, guest->now);
	assert_true(guest->due >= guest->now);
	/* All frames are looked at, which takes its time. */
	wrong = guest->steps++ % 8 ? NULL : fake_guest_check(guest);
	if (wrong)
		fail_msg("step %" PRIu64 ": %s", guest->steps, wrong);
	return guest->due == guest->now;
}

void fake_guest_settle(struct fake_guest *guest)
{
	unsigned int steps = 0;
	const char *wrong;

	while (fake_guest_step(guest))
		assert_true(++steps < STEPS_MAX);
	wrong = fake_guest_check(guest);
	if (wrong)
		fail_msg("settled: %s", wrong);
}

void fake_guest_serve(struct fake_guest *guest)
{
	unsigned int rounds = 0;

	fake_guest_settle(guest);
	while (virtio_fake_serve(&guest->fake)) {
		assert_true(++rounds < STEPS_MAX);
		fake_guest_interrupt(guest, AERO_VIRTIO_INTERRUPT_QUEUE);
		fake_guest_settle(guest);
	}
}

void fake_guest_wait(struct fake_guest *guest, uint64_t ns)
{
	uint64_t end = guest->now + ns;

	while (guest->due <= end) {
		if (guest->due > guest->now)
			guest->now = guest->due;
		fake_guest_settle(guest);
	}
	guest->now = end;
}

void fake_guest_target(struct fake_guest *guest, uint32_t frames)
{
	virtio_fake_target(&guest->fake, frames);
	fake_guest_interrupt(guest, AERO_VIRTIO_INTERRUPT_CONFIG);
	fake_guest_serve(guest);
}

static uint64_t end(struct fake_guest *guest,
		    enum aero_status (*call)(struct aero_virtio_balloon_guest *drv,
					     uint64_t now_ns))
{
	uint64_t begin = guest->now;
	enum aero_status status;

	while ((status = call(&guest->drv, guest->now)) == AERO_EAGAIN) {
		guest->now += FAKE_GUEST_MS;
		if (guest->now > begin + 60 * FAKE_GUEST_SECOND)
			fail_msg("no end: %s", aero_stall_str(fake_guest_stall(guest)));
	}
	assert_int_equal(status, AERO_OK);
	assert_null(fake_guest_check(guest));
	return guest->now - begin;
}

uint64_t fake_guest_stop(struct fake_guest *guest)
{
	return end(guest, aero_virtio_balloon_guest_stop);
}

uint64_t fake_guest_suspend(struct fake_guest *guest)
{
	return end(guest, aero_virtio_balloon_guest_suspend);
}

const char *fake_guest_close(struct fake_guest *guest)
{
	const char *lost;

	(void)fake_guest_stop(guest);
	aero_virtio_balloon_guest_fini(&guest->drv);
	lost = guest->fake.problem[0] ? guest->fake.problem : sim_port_check_empty(&guest->sim);
	if (lost && !guest->problem[0])
		memcpy(guest->problem, lost, strlen(lost) + 1);
	sim_port_fini(&guest->sim);
	free(guest->record.entries);
	return guest->problem[0] ? guest->problem : NULL;
}

uint64_t fake_guest_frames(const struct fake_guest *guest)
{
	return aero_balloon_frames(&guest->drv.balloon);
}

enum aero_stall fake_guest_stall(const struct fake_guest *guest)
{
	struct aero_balloon_report report;

	aero_balloon_report(&guest->drv.balloon, &report);
	return report.stall;
}
