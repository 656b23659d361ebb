/* SPDX-License-Identifier: MIT */
#include "conformance/virtio_balloon_play.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION_1 (1ull << 32)

void play_fail(struct play *play, const char *format, ...)
{
	va_list list;

	if (play->out->result)
		return;
	play->out->result = CONFORMANCE_FAILED;
	va_start(list, format);
	vsnprintf(play->out->why, sizeof(play->out->why), format, list);
	va_end(list);
}

void play_expect(struct play *play, const char *what, uint64_t got, uint64_t want)
{
	if (got != want)
		play_fail(play, "%s: %" PRIu64 ", not %" PRIu64, what, got, want);
}

void play_settle(struct play *play)
{
	unsigned int steps = 0;

	while (play->driver->step(play->driver->ctx) && ++steps < PLAY_STEPS)
		;
	if (steps == PLAY_STEPS)
		play_fail(play, "the driver does not come to rest");
	if (play->fake.problem[0])
		play_fail(play, "%s", play->fake.problem);
}

void play_interrupt(struct play *play, uint32_t why)
{
	play->driver->interrupt(play->driver->ctx, why);
	play_settle(play);
}

/* The device answers frames until there is nothing more. */
void play_serve(struct play *play)
{
	unsigned int rounds = 0;

	play_settle(play);
	while (virtio_fake_serve(&play->fake) && ++rounds < PLAY_STEPS)
		play_interrupt(play, AERO_VIRTIO_INTERRUPT_QUEUE);
	if (rounds == PLAY_STEPS)
		play_fail(play, "the driver never settles");
}

void play_aim(struct play *play, uint32_t frames)
{
	virtio_fake_target(&play->fake, frames);
	play_interrupt(play, AERO_VIRTIO_INTERRUPT_CONFIG);
}

void play_pass(struct play *play, uint64_t ns)
{
	play->driver->pass(play->driver->ctx, ns);
	play_settle(play);
}

/* What driver and device agree on. */
void play_expect_settled(struct play *play, uint64_t frames)
{
	play_expect(play, "frames given", play->fake.given_frames, frames);
	play_expect(play, "actual", play->fake.actual, frames);
	play_expect(play, "frames as the driver says", play->driver->frames(play->driver->ctx),
		    frames);
}

/* A kernel, a device that offers this, and a driver to be. NULL: there is no such kernel. */
struct play *play_make(const struct conformance_driver *driver, struct conformance_outcome *out,
		       const struct conformance_kernel *kernel, uint64_t offered)
{
	struct play *play = calloc(1, sizeof(*play));
	const struct aero_host_memory *memory;
	aero_gpa gpa;

	if (!play)
		abort();
	play->driver = driver;
	play->out = out;
	if (!driver->open_kernel(driver->ctx, kernel, &memory, &gpa)) {
		out->result = CONFORMANCE_SKIPPED;
		snprintf(out->why, sizeof(out->why), "there is no such kernel");
		free(play);
		return NULL;
	}
	virtio_fake_init(&play->fake, memory, gpa, kernel->is_legacy);
	play->fake.offered = kernel->is_legacy ? offered & UINT32_MAX : offered | VERSION_1;
	return play;
}

void play_begin(struct play *play)
{
	if (!play->driver->open(play->driver->ctx, &play->fake.transport))
		play_fail(play, "the driver does not begin");
	play_serve(play);
}

void play_end(struct play *play)
{
	const char *lost = play->driver->close(play->driver->ctx);

	if (play->fake.problem[0])
		play_fail(play, "%s", play->fake.problem);
	if (lost)
		play_fail(play, "%s", lost);
	free(play);
}

struct play *play_open(const struct conformance_driver *driver, struct conformance_outcome *out,
		       const struct conformance_kernel *kernel, uint64_t offered)
{
	struct play *play = play_make(driver, out, kernel, offered);

	if (play)
		play_begin(play);
	return play;
}

uint64_t play_free(struct play *play)
{
	return play->driver->free(play->driver->ctx);
}

void play_leave(struct play *play, bool is_served)
{
	unsigned int ms = 0;

	while (!play->driver->leave(play->driver->ctx) && ++ms < 10000) {
		if (is_served)
			(void)virtio_fake_serve(&play->fake);
		play->driver->pass(play->driver->ctx, PLAY_MS);
	}
	if (ms == 10000)
		play_fail(play, "the driver does not leave");
	play_expect(play, "status in the end", play->fake.status, 0);
}
