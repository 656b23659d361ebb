/* SPDX-License-Identifier: MIT */
/*
 * work_virtio_pair NAME inflates and deflates our driver against our device by what NAME says, and
 * prints how many frames that was. bench_measure() executes both ends.
 */
#include "virtio_pair.h"

#include <stdio.h>
#include <string.h>

#define SMALL_FRAMES (1u << 16)
#define LARGE_FRAMES (1u << 20)

struct work {
	const char *name;
	struct virtio_pair_config config;
};

static const struct work works[] = {
	{ "split_4k", { .frames = SMALL_FRAMES } },
	{ "split_4k_falling", { .frames = SMALL_FRAMES, .is_falling = true } },
	{ "packed_4k", { .frames = SMALL_FRAMES, .is_packed = true } },
	{ "packed_4k_falling", { .frames = SMALL_FRAMES, .is_packed = true, .is_falling = true } },
	{ "split_2m", { .frames = LARGE_FRAMES, .is_large = true } },
	{ "packed_2m", { .frames = LARGE_FRAMES, .is_large = true, .is_packed = true } },
};

static struct virtio_pair pair;

/* Not static: a compiler that changes what it takes changes its name, too. */
void bench_measure(const struct work *work);

__attribute__((__noinline__)) void bench_measure(const struct work *work)
{
	virtio_pair_move(&pair, work->config.frames);
	virtio_pair_move(&pair, 0);
}

int main(int argc, char **argv)
{
	size_t i;

	for (i = 0; i < sizeof(works) / sizeof(*works); i++)
		if (argc == 2 && !strcmp(argv[1], works[i].name))
			break;
	if (i == sizeof(works) / sizeof(*works)) {
		fprintf(stderr, "work_virtio_pair: which? See bench/bench_virtio_guest.py\n");
		return 2;
	}
	virtio_pair_open(&pair, &works[i].config);
	bench_measure(&works[i]);
	if (pair.discarded != pair.config.frames) {
		fprintf(stderr, "work_virtio_pair: %llu frames discarded\n",
			(unsigned long long)pair.discarded);
		return 1;
	}
	virtio_pair_close(&pair);
	printf("%u\n", works[i].config.frames);
	return 0;
}
