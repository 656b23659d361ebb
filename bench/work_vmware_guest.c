/* SPDX-License-Identifier: MIT */
/*
 * work_vmware_guest NAME inflates VMware's balloon by what NAME says and deflates it again, against
 * a host that grants everything and takes every frame, and prints how many frames that was. What
 * bench_measure() executes is the work of the engine, its page core and the driver: the port copies
 * block numbers that were made before, and the host does nothing.
 */
#include "bench.h"

#include <aerostat/guest/vmware.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES 65536u /* of 4 KiB, or as many in blocks */

struct work {
	const char *name;
	void (*fill)(void);
	bool is_large;
	bool is_back_left; /* deflating is not measured */
};

static struct bench_nodes nodes;
static struct aero_vmware_guest drv;
static aero_frame blocks[FRAMES];
static uint32_t taken;
static uint64_t target;
static bool is_large;

static void fill_rising(void)
{
	for (uint32_t i = 0; i < FRAMES; i++)
		blocks[i] = i;
}

static void fill_falling(void)
{
	for (uint32_t i = 0; i < FRAMES; i++)
		blocks[i] = FRAMES - i;
}

/* Exchanges places at random, in groups of so many that stay together. */
static void shuffle(uint32_t group)
{
	for (uint32_t i = FRAMES / group - 1; i; i--) {
		uint32_t other = bench_random() % (i + 1);

		for (uint32_t k = 0; k < group; k++) {
			aero_frame block = blocks[i * group + k];

			blocks[i * group + k] = blocks[other * group + k];
			blocks[other * group + k] = block;
		}
	}
}

static void fill_groups(void)
{
	fill_rising();
	shuffle(64);
}

static void fill_random(void)
{
	fill_rising();
	shuffle(1);
}

static size_t port_alloc(void *ctx, unsigned int order, enum aero_effort effort, aero_frame *out,
			 size_t count)
{
	(void)ctx;
	(void)effort;
	if (is_large != !!order)
		return 0;
	if (count > FRAMES - taken)
		count = FRAMES - taken;
	memcpy(out, blocks + taken, count * sizeof(*out));
	taken += (uint32_t)count;
	return count;
}

static void port_free(void *ctx, unsigned int order, const aero_frame *frames, size_t count)
{
	(void)ctx;
	(void)order;
	(void)frames;
	(void)count;
}

static uint64_t port_managed(void *ctx)
{
	(void)ctx;
	return 1ull << 40;
}

static void *port_page_get(void *ctx)
{
	(void)ctx;
	return nodes.source.get(nodes.source.ctx);
}

static void port_page_put(void *ctx, void *page)
{
	(void)ctx;
	nodes.source.put(nodes.source.ctx, page);
}

static aero_frame port_page_frame(void *ctx, void *page)
{
	(void)ctx;
	(void)page;
	return 1;
}

static const struct aero_port port = {
	.orders = 1u << AERO_ORDER_4K | 1u << AERO_ORDER_2M,
	.alloc = port_alloc,
	.free = port_free,
	.managed_frames = port_managed,
	.page_get = port_page_get,
	.page_put = port_page_put,
	.page_frame = port_page_frame,
};

static void host_call(void *ctx, struct aero_vmware_registers *regs)
{
	(void)ctx;
	if (regs->cx == AERO_VMWARE_CMD_START) {
		regs->ax = AERO_VMWARE_SUCCESS_WITH_CAPABILITIES;
		regs->cx = regs->bx;
	} else {
		regs->ax = AERO_VMWARE_SUCCESS;
		regs->bx = target;
	}
}

static const struct aero_vmware_bus bus = { .call = host_call };

static const struct work works[] = {
	{ "rising", fill_rising, false, false },      { "falling", fill_falling, false, false },
	{ "groups", fill_groups, false, false },      { "random", fill_random, false, false },
	{ "random_in", fill_random, false, true },    { "rising_in", fill_rising, false, true },
	{ "large_rising", fill_rising, true, false }, { "large_random", fill_random, true, false },
};

static void move_to(uint64_t frames)
{
	uint64_t now = 1;

	target = frames;
	aero_balloon_notify(&drv.balloon);
	while (aero_balloon_step(&drv.balloon, now) == now)
		;
}

__attribute__((__noinline__)) static void bench_measure(const struct work *work, uint64_t frames)
{
	move_to(frames);
	if (!work->is_back_left)
		move_to(0);
}

int main(int argc, char **argv)
{
	struct aero_vmware_guest_config config = { .balloon = { .port = &port }, .bus = &bus };
	uint64_t frames;
	size_t i;

	for (i = 0; i < sizeof(works) / sizeof(*works); i++)
		if (argc == 2 && !strcmp(argv[1], works[i].name))
			break;
	if (i == sizeof(works) / sizeof(*works)) {
		fprintf(stderr, "work_vmware_guest: which? See bench/bench_vmware_guest.py\n");
		return 2;
	}
	works[i].fill();
	is_large = works[i].is_large;
	for (uint32_t k = 0; is_large && k < FRAMES; k++)
		blocks[k] <<= AERO_ORDER_2M;
	frames = (uint64_t)FRAMES << (is_large ? AERO_ORDER_2M : 0);
	bench_nodes_init(&nodes, 8192);
	if (aero_vmware_guest_init(&drv, &config))
		return 1;
	move_to(0);
	bench_measure(&works[i], frames);
	if (taken != FRAMES ||
	    aero_balloon_frames(&drv.balloon) != (works[i].is_back_left ? frames : 0)) {
		fprintf(stderr, "work_vmware_guest: %u of %u blocks, %llu frames left\n", taken,
			FRAMES, (unsigned long long)aero_balloon_frames(&drv.balloon));
		return 1;
	}
	printf("%llu\n", (unsigned long long)frames);
	return 0;
}
