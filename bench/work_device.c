/* SPDX-License-Identifier: MIT */
/*
 * work_device NAME has the virtio-balloon device serve requests of 256 frames, one available at a
 * time as Linux does it, and prints how many frames they named. What bench_measure() executes is
 * the device's own work from kick to answer, rings and the decision what to discard included, and
 * all of the discarding but the host's call, which does nothing here. Workloads that end with
 * _answered leave out what waits for whole blocks when the last request is answered.
 */
#include "bench.h"

#include <aerostat/host/virtio_balloon.h>
#include <aerostat/wire/virtio.h>
#include <aerostat/wire/virtio_balloon.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES 65536
#define REQUEST 256
#define REQUESTS (FRAMES / REQUEST)
#define GIB_FRAMES (1u << 18)
#define RING 256

/* Guest-physical: rings and requests lie above what is ballooned. */
#define MEMORY 0x400000000ull
#define RING_GPA(index) (MEMORY + (index)*0x10000ull)
#define REQUEST_GPA(n) (MEMORY + 0x20000ull + (n)*1024ull)
#define MEMORY_BYTES 0x100000u

struct work {
	const char *name;
	void (*fill)(void);
	unsigned int queue; /* 0: inflate is measured, 1: deflate */
	enum aero_discard_mode mode;
	unsigned int block_order;
	bool is_rest_left; /* what waits is not measured */
};

static struct bench_nodes nodes;
static struct aero_virtio_balloon dev;
static uint8_t *memory;
static uint32_t frames[FRAMES];
static uint64_t now = 1;
static uint64_t discards;

/* Falling runs of so many at random places, as a guest with its memory in pieces gives them. */
static void fill_runs(uint32_t run)
{
	for (uint32_t i = 0; i < FRAMES; i++) {
		if (i % run == 0)
			frames[i] = bench_random() % (4 * GIB_FRAMES / run) * run + run - 1;
		else
			frames[i] = frames[i - 1] - 1;
	}
}

static void fill_64(void)
{
	fill_runs(64);
}

static void fill_256(void)
{
	fill_runs(256);
}

/* As Linux gives a GiB: falling, a hole now and then, whole blocks in the end. */
static void fill_linux(void)
{
	uint32_t next = GIB_FRAMES + 77;

	for (uint32_t i = 0; i < FRAMES; i++) {
		if (i % 6100 == 6099)
			next -= 700;
		frames[i] = next--;
	}
}

/* Anywhere in 4 GiB: hardly two of them next to each other. */
static void fill_random(void)
{
	for (uint32_t i = 0; i < FRAMES; i++)
		frames[i] = bench_random() % (4 * GIB_FRAMES);
}

/* The frames of 256 MiB in any order: whole blocks in the end. */
static void fill_shuffled(void)
{
	for (uint32_t i = 0; i < FRAMES; i++)
		frames[i] = i;
	for (uint32_t i = FRAMES - 1; i; i--) {
		uint32_t other = bench_random() % (i + 1);
		uint32_t frame = frames[i];

		frames[i] = frames[other];
		frames[other] = frame;
	}
}

static void *translate(void *ctx, aero_gpa gpa, size_t *len, enum aero_access access)
{
	(void)ctx;
	(void)len;
	(void)access;
	return memory + (gpa - MEMORY);
}

static uint64_t is_ram(void *ctx, struct aero_range range)
{
	(void)ctx;
	return range.first < 4 * GIB_FRAMES ? 4 * GIB_FRAMES - range.first : 0;
}

static enum aero_status discard(void *ctx, struct aero_range range, uint64_t *out_freed_bytes)
{
	(void)ctx;
	discards++;
	*out_freed_bytes = range.count << AERO_FRAME_SHIFT;
	return AERO_OK;
}

static void notify_queue(void *ctx, unsigned int index)
{
	(void)ctx;
	(void)index;
}

static void notify_config(void *ctx)
{
	(void)ctx;
}

static const struct aero_virtio_balloon_ops ops = {
	.notify_queue = notify_queue,
	.notify_config = notify_config,
};

/* All descriptors and ring entries ahead; what is left to do is to raise avail.idx. */
static void start_ring(unsigned int index)
{
	struct aero_virtio_queue_config ring = {
		.size = RING,
		.desc = RING_GPA(index),
		.driver = RING_GPA(index) + 0x4000,
		.device = RING_GPA(index) + 0x8000,
	};

	for (uint32_t i = 0; i < RING; i++) {
		struct aero_virtio_wire_desc desc = { .addr = REQUEST_GPA(i), .len = 4 * REQUEST };
		uint16_t head = (uint16_t)i;

		memcpy(memory + (ring.desc - MEMORY) + 16 * i, &desc, sizeof(desc));
		memcpy(memory + (ring.driver - MEMORY) + 4 + 2 * i, &head, sizeof(head));
	}
	if (aero_virtio_balloon_host_queue_start(&dev, index, &ring) != AERO_OK)
		abort();
	aero_virtio_balloon_host_queue_enable(&dev, index, true);
}

static struct aero_host_memory host = {
	.translate = translate,
	.is_ram = is_ram,
	.discard = discard,
};

static void start_device(const struct work *work)
{
	struct aero_virtio_balloon_config config = {
		.memory = &host,
		.nodes = nodes.source,
		.ops = &ops,
		.mode = work->mode,
	};

	config.offered.word[0] = 1ull << AERO_VIRTIO_BALLOON_F_MUST_TELL_HOST |
				 1ull << AERO_VIRTIO_F_VERSION_1 | 1ull << AERO_VIRTIO_F_EVENT_IDX;
	host.backing.block_order = work->block_order;
	if (aero_virtio_balloon_host_init(&dev, &config) != AERO_OK ||
	    aero_virtio_balloon_host_accept(&dev, &config.offered) != AERO_OK)
		abort();
	start_ring(0);
	start_ring(1);
	aero_virtio_balloon_host_set_status(&dev, 0x0f);
	while (aero_virtio_balloon_host_step(&dev, now) <= now)
		;
}

/* What waits for whole blocks that will not come. */
static void serve_rest(void)
{
	now += 1000000000;
	while (aero_virtio_balloon_host_step(&dev, now) <= now)
		;
}

/* Each request on its own. */
static void serve(unsigned int index)
{
	uint16_t *avail = (uint16_t *)(void *)(memory + (RING_GPA(index) + 0x4002 - MEMORY));

	for (uint16_t i = 1; i <= REQUESTS; i++) {
		*(volatile uint16_t *)avail = i;
		aero_virtio_balloon_host_kick(&dev, index);
		while (aero_virtio_balloon_host_step(&dev, now) <= now)
			;
	}
}

void bench_measure(const struct work *work);

__attribute__((noinline)) void bench_measure(const struct work *work)
{
	serve(work->queue);
	if (!work->is_rest_left)
		serve_rest();
}

static const struct work works[] = {
	{ "inflate_runs_64", fill_64, 0, AERO_DISCARD_COLLECT, 0, false },
	{ "inflate_runs_256", fill_256, 0, AERO_DISCARD_COLLECT, 0, false },
	{ "inflate_linux", fill_linux, 0, AERO_DISCARD_COLLECT, 0, false },
	{ "inflate_linux_thp", fill_linux, 0, AERO_DISCARD_COLLECT, 9, false },
	{ "inflate_random", fill_random, 0, AERO_DISCARD_COLLECT, 0, false },
	{ "inflate_random_answered", fill_random, 0, AERO_DISCARD_COLLECT, 0, true },
	{ "inflate_shuffled", fill_shuffled, 0, AERO_DISCARD_COLLECT, 0, false },
	{ "deflate_runs_64", fill_64, 1, AERO_DISCARD_COLLECT, 0, false },
	{ "deflate_linux", fill_linux, 1, AERO_DISCARD_COLLECT, 0, false },
	{ "deflate_random", fill_random, 1, AERO_DISCARD_COLLECT, 0, false },
	{ "request_runs_64", fill_64, 0, AERO_DISCARD_REQUEST, 0, false },
	{ "request_linux", fill_linux, 0, AERO_DISCARD_REQUEST, 0, false },
	{ "request_random", fill_random, 0, AERO_DISCARD_REQUEST, 0, false },
};

int main(int argc, char **argv)
{
	const struct work *work = NULL;

	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
		if (argc == 2 && !strcmp(argv[1], works[i].name))
			work = &works[i];
	}
	if (!work) {
		fprintf(stderr, "usage: work_device WORKLOAD\n");
		return 2;
	}
	bench_nodes_init(&nodes, 4096);
	memory = calloc(1, MEMORY_BYTES);
	if (!memory)
		abort();
	work->fill();
	memcpy(memory + (REQUEST_GPA(0) - MEMORY), frames, sizeof(frames));
	start_device(work);
	if (work->queue == 1) {
		serve(0);
		serve_rest();
	}
	discards = 0;
	bench_measure(work);
	serve_rest();
	/* Nothing was left out. */
	if (aero_ledger_pending(&dev.ledger) ||
	    (work->queue == 0 ? dev.counters.inflate_frames : dev.counters.deflate_frames) !=
		    FRAMES)
		abort();
	printf("%d\n", FRAMES);
	fprintf(stderr, "%llu discards\n", (unsigned long long)discards);
	aero_virtio_balloon_host_fini(&dev);
	bench_nodes_fini(&nodes);
	free(memory);
	return 0;
}
