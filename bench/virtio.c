/* SPDX-License-Identifier: MIT */
/*
 * Our virtio-balloon driver against our device, in one process: how much memory a second goes in
 * and out, what a guest has to leave for, and how soon a changed target shows. No memory lies
 * behind the frames, so this is the cost of the protocol at both ends.
 */
#include "virtio_pair.h"

#include <stdio.h>
#include <stdlib.h>

#define GIB_FRAMES (1u << 18)
#define ROUNDS 5
#define LONG_REQUEST 4096

static struct virtio_pair pair;

/* GiB/s in and out of one balloon of 1 GiB (4 KiB) or 16 GiB (2 MiB). */
static void measure_speed(const char *name, bool is_packed, bool is_large)
{
	struct virtio_pair_config config = {
		.frames = is_large ? 16 * GIB_FRAMES : GIB_FRAMES,
		.is_packed = is_packed,
		.is_large = is_large,
	};
	double in[ROUNDS], out[ROUNDS], gib = config.frames / (double)GIB_FRAMES;
	char text[64];

	virtio_pair_open(&pair, &config);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t began = bench_now_ns(), turned;

		virtio_pair_move(&pair, config.frames);
		turned = bench_now_ns();
		virtio_pair_move(&pair, 0);
		in[i] = gib * 1e9 / (double)(turned - began);
		out[i] = gib * 1e9 / (double)(bench_now_ns() - turned);
	}
	virtio_pair_close(&pair);
	snprintf(text, sizeof(text), "virtio pair, %s: inflate", name);
	bench_note(text, bench_median(in, ROUNDS), "GiB/s");
	snprintf(text, sizeof(text), "virtio pair, %s: deflate", name);
	bench_note(text, bench_median(out, ROUNDS), "GiB/s");
}

/* Notifications, and accesses to configuration space, for one GiB that goes in. */
static double count_exits(uint32_t request_frames, bool is_large)
{
	struct virtio_pair_config config = {
		.frames = GIB_FRAMES,
		.request_frames = request_frames,
		.is_large = is_large,
	};
	double exits;

	virtio_pair_open(&pair, &config);
	sim_virtio_record_clear(&pair.record);
	virtio_pair_move(&pair, GIB_FRAMES);
	exits = (double)sim_virtio_record_exits(&pair.record);
	if (pair.record.count[SIM_VIRTIO_CONFIG_WRITE] != 1) {
		fprintf(stderr, "bench_virtio: actual was written %llu times\n",
			(unsigned long long)pair.record.count[SIM_VIRTIO_CONFIG_WRITE]);
		exit(1);
	}
	virtio_pair_close(&pair);
	return exits;
}

/* Steps from a changed target until the device has been told of frames. */
static double count_steps(void)
{
	struct virtio_pair_config config = { .frames = 4096 };
	uint64_t kicks, set, steps = 0;

	virtio_pair_open(&pair, &config);
	kicks = pair.record.count[SIM_VIRTIO_NOTIFY];
	aero_virtio_balloon_host_set_target(&pair.virtio.device, 4096, &set);
	aero_virtio_balloon_guest_interrupt(&pair.drv, AERO_VIRTIO_INTERRUPT_CONFIG);
	for (; pair.record.count[SIM_VIRTIO_NOTIFY] == kicks && steps < 100; steps++)
		if (pair.drv.counters.inflate_requests)
			break;
		else
			aero_virtio_balloon_guest_step(&pair.drv, pair.now);
	virtio_pair_move(&pair, 0);
	virtio_pair_close(&pair);
	return (double)steps;
}

int main(void)
{
	measure_speed("split, 4 KiB", false, false);
	measure_speed("packed, 4 KiB", true, false);
	measure_speed("split, 2 MiB", false, true);
	measure_speed("packed, 2 MiB", true, true);
	bench_figure("virtio_notifications_per_gib", count_exits(0, false), "accesses",
		     BENCH_AT_MOST, 160, 1);
	bench_note("the same in blocks of 2 MiB", count_exits(0, true), "accesses");
	bench_figure("virtio_notifications_per_gib_long", count_exits(LONG_REQUEST, true),
		     "accesses", BENCH_AT_MOST, 20, 1);
	bench_note("the same in frames of 4 KiB", count_exits(LONG_REQUEST, false), "accesses");
	bench_figure("virtio_steps_to_first_frame", count_steps(), "steps", BENCH_AT_MOST, 2, 1);
	return 0;
}
