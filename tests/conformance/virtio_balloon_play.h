/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_CONFORMANCE_VIRTIO_BALLOON_PLAY_H
#define AEROSTAT_TESTS_CONFORMANCE_VIRTIO_BALLOON_PLAY_H

/* The device that cases for a driver play: what it offers, and what it does in its time. */

#include "conformance/virtio_balloon.h"
#include "support/virtio_fake.h"

#define PLAY_MS 1000000ull
#define PLAY_SECOND (1000 * PLAY_MS)
#define PLAY_STEPS 100000
#define PLAY_MUST_TELL 1ull
#define PLAY_STATS 2ull
#define PLAY_HINTS 8ull
#define PLAY_POISON 16ull
#define PLAY_REPORTS 32ull

/* One driver on one device. */
struct play {
	const struct conformance_driver *driver;
	struct conformance_outcome *out;
	struct virtio_fake fake;
};

/* The first thing that is wrong counts. */
__attribute__((format(printf, 2, 3))) void play_fail(struct play *play, const char *format, ...);
void play_expect(struct play *play, const char *what, uint64_t got, uint64_t want);

/*
 * A kernel, a device that offers this and VERSION_1, and a driver to be. NULL: there is no such
 * kernel. begin() is the driver's start; open() is both; end() is the end of driver and kernel.
 */
struct play *play_make(const struct conformance_driver *driver, struct conformance_outcome *out,
		       const struct conformance_kernel *kernel, uint64_t offered);
void play_begin(struct play *play);
struct play *play_open(const struct conformance_driver *driver, struct conformance_outcome *out,
		       const struct conformance_kernel *kernel, uint64_t offered);
void play_end(struct play *play);

/* Until the driver has nothing more to do; serve() answers inflate and deflate meanwhile. */
void play_settle(struct play *play);
void play_serve(struct play *play);
void play_interrupt(struct play *play, uint32_t why);
void play_aim(struct play *play, uint32_t frames);
void play_pass(struct play *play, uint64_t ns);

/* The driver goes; is_served: its requests are answered while it does. */
void play_leave(struct play *play, bool is_served);

/* What driver, device and kernel agree on. */
void play_expect_settled(struct play *play, uint64_t frames);
uint64_t play_free(struct play *play);

/* Cases of another file. */
void play_statistics(const struct conformance_driver *driver, struct conformance_outcome *out);
void play_hints(const struct conformance_driver *driver, struct conformance_outcome *out);
void play_reports(const struct conformance_driver *driver, struct conformance_outcome *out);

#endif
