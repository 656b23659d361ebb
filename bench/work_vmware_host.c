/* SPDX-License-Identifier: MIT */
/*
 * work_vmware_host NAME has the VMware host serve batches of 512 entries, each followed by step()
 * until there is nothing to do, and prints how many entries there were. What bench_measure()
 * executes is all of the host's own work, from the registers to the last discard, but for the call
 * that discards, which does nothing here. Workloads that end with _calls leave step() out.
 */
#include "bench.h"

#include <aerostat/host/vmware.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES 65536
#define BATCH AERO_VMWARE_BATCH_ENTRIES
#define BATCHES (ENTRIES / BATCH)
#define BLOCK_FRAMES 512ull

/* Blocks of 2 MiB are shuffled within so much each, which is 16 GiB; frames within all there is. */
#define WINDOW 8192

/* Guest memory: all the blocks there are, and the batch pages above them. */
#define FRAMES (ENTRIES * BLOCK_FRAMES)
#define PAGES FRAMES

struct work {
	const char *name;
	bool is_2m;
	bool is_shuffled;
	bool is_falling;
	bool is_unlock;	   /* locked before, not measured */
	bool is_step_left; /* only the calls are measured */
};

static struct bench_nodes nodes;
static struct aero_vmware_host host;
static uint8_t *pages;
static uint64_t now = 1;
static uint64_t discards;

static void *translate(void *ctx, aero_gpa gpa, size_t *len, enum aero_access access)
{
	(void)ctx;
	(void)len;
	(void)access;
	return pages + (gpa - (PAGES << AERO_FRAME_SHIFT));
}

static uint64_t is_ram(void *ctx, struct aero_range range)
{
	(void)ctx;
	return range.first < FRAMES + BATCHES ? FRAMES + BATCHES - range.first : 0;
}

static enum aero_status discard(void *ctx, struct aero_range range, uint64_t *out_freed_bytes)
{
	(void)ctx;
	discards++;
	*out_freed_bytes = range.count << AERO_FRAME_SHIFT;
	return AERO_OK;
}

static const struct aero_host_memory memory = {
	.translate = translate,
	.is_ram = is_ram,
	.discard = discard,
};

static void start_host(void)
{
	struct aero_vmware_host_config config = {
		.memory = &memory,
		.nodes = nodes.source,
		.capabilities = AERO_VMWARE_HOST_CAPABILITIES,
		.mode = AERO_DISCARD_COLLECT,
	};
	struct aero_vmware_registers regs = {
		.ax = AERO_VMWARE_MAGIC,
		.bx = AERO_VMWARE_HOST_CAPABILITIES,
		.cx = AERO_VMWARE_CMD_START,
		.dx = AERO_VMWARE_PORT,
	};
	uint64_t told;

	if (aero_vmware_host_init(&host, &config) != AERO_OK)
		abort();
	(void)aero_vmware_host_set_target(&host, 2 * FRAMES, &told);
	(void)aero_vmware_host_call(&host, &regs, now);
	if (regs.ax != AERO_VMWARE_SUCCESS_WITH_CAPABILITIES)
		abort();
}

/* The blocks of all batches, in the order the guest names them. */
static void fill(const struct work *work)
{
	uint64_t *entry = (uint64_t *)(void *)pages;
	uint64_t step = work->is_2m ? BLOCK_FRAMES : 1;

	for (uint32_t i = 0; i < ENTRIES; i++)
		entry[i] = work->is_falling ? ENTRIES - 1 - i : i;
	for (uint32_t i = ENTRIES - 1; work->is_shuffled && i; i--) {
		uint32_t low = work->is_2m ? i & ~(WINDOW - 1u) : 0;
		uint32_t other = low + bench_random() % (i + 1 - low);
		uint64_t block = entry[i];

		entry[i] = entry[other];
		entry[other] = block;
	}
	for (uint32_t i = 0; i < ENTRIES; i++)
		entry[i] = entry[i] * step << AERO_VMWARE_BATCH_FRAME_SHIFT;
}

static void step(void)
{
	while (aero_vmware_host_step(&host, now) <= now)
		;
}

static void serve(const struct work *work, bool is_lock, bool is_stepped)
{
	uint32_t command = is_lock ? AERO_VMWARE_CMD_BATCHED_LOCK : AERO_VMWARE_CMD_BATCHED_UNLOCK;

	for (uint32_t i = 0; i < BATCHES; i++) {
		struct aero_vmware_registers regs = {
			.ax = AERO_VMWARE_MAGIC,
			.bx = PAGES + i,
			.cx = command + (work->is_2m ? 2 : 0),
			.dx = AERO_VMWARE_PORT,
			.si = BATCH,
		};

		(void)aero_vmware_host_call(&host, &regs, now);
		if (regs.ax != AERO_VMWARE_SUCCESS)
			abort();
		if (is_stepped)
			step();
	}
}

/* What waits for whole blocks that will not come. */
static void serve_rest(void)
{
	now += 1000000000;
	step();
}

void bench_measure(const struct work *work);

__attribute__((noinline)) void bench_measure(const struct work *work)
{
	serve(work, !work->is_unlock, !work->is_step_left);
	if (!work->is_step_left)
		serve_rest();
}

static const struct work works[] = {
	{ .name = "lock_4k_rising" },
	{ .name = "lock_4k_falling", .is_falling = true },
	{ .name = "lock_4k_shuffled", .is_shuffled = true },
	{ .name = "lock_4k_rising_calls", .is_step_left = true },
	{ .name = "lock_4k_shuffled_calls", .is_shuffled = true, .is_step_left = true },
	{ .name = "unlock_4k_rising", .is_unlock = true },
	{ .name = "unlock_4k_shuffled", .is_unlock = true, .is_shuffled = true },
	{ .name = "lock_2m_rising", .is_2m = true },
	{ .name = "lock_2m_falling", .is_2m = true, .is_falling = true },
	{ .name = "lock_2m_shuffled", .is_2m = true, .is_shuffled = true },
	{ .name = "lock_2m_rising_calls", .is_2m = true, .is_step_left = true },
	{ .name = "lock_2m_shuffled_calls",
	  .is_2m = true,
	  .is_shuffled = true,
	  .is_step_left = true },
	{ .name = "unlock_2m_rising", .is_2m = true, .is_unlock = true },
	{ .name = "unlock_2m_shuffled", .is_2m = true, .is_unlock = true, .is_shuffled = true },
};

static const struct work *find_work(const char *name)
{
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
		if (!strcmp(name, works[i].name))
			return &works[i];
	}
	return NULL;
}

/* Nothing was left out, and nothing refused. */
static void check(const struct work *work)
{
	const struct aero_vmware_host_counters *counters = &host.counters;
	uint64_t locked = work->is_2m ? counters->locked_2m : counters->locked_4k;
	uint64_t unlocked = work->is_2m ? counters->unlocked_2m : counters->unlocked_4k;

	if (aero_ledger_pending(&host.ledger) || locked != ENTRIES ||
	    unlocked != (work->is_unlock ? ENTRIES : 0))
		abort();
	if (host.ledger.counters.discard_asked_bytes >> AERO_FRAME_SHIFT !=
	    ENTRIES * (work->is_2m ? BLOCK_FRAMES : 1))
		abort();
}

int main(int argc, char **argv)
{
	const struct work *work = argc == 2 ? find_work(argv[1]) : NULL;

	if (!work) {
		fprintf(stderr, "usage: work_vmware_host WORKLOAD\n");
		return 2;
	}
	bench_nodes_init(&nodes, 8192);
	pages = malloc(ENTRIES * sizeof(uint64_t));
	if (!pages)
		abort();
	fill(work);
	start_host();
	if (work->is_unlock) {
		serve(work, true, true);
		serve_rest();
	}
	discards = 0;
	bench_measure(work);
	serve_rest();
	check(work);
	printf("%d\n", ENTRIES);
	fprintf(stderr, "%llu discards\n", (unsigned long long)discards);
	aero_vmware_host_fini(&host);
	bench_nodes_fini(&nodes);
	free(pages);
	return 0;
}
