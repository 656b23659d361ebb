/* SPDX-License-Identifier: MIT */
/*
 * VMware's driver on a simulated kernel against VMware's host, in one process: calls per GiB, time
 * and metadata of a guest of 1 TiB, and what migration does to the way back.
 *
 * No memory lies behind the frames, so this is the cost of the protocol at both ends.
 */
#include "bench.h"

#include <aerostat/guest/vmware.h>
#include <aerostat/host/vmware.h>

#include "ports/sim/sim_port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GIB_FRAMES (1ull << 18)
#define HOST_NODES 32768
#define MIGRATION_FRAMES (4 * GIB_FRAMES)
#define ROUNDS 5

struct rig {
	struct sim_port sim;
	struct bench_nodes nodes;
	struct aero_vmware_host_ops ops;
	struct aero_vmware_host host;
	struct aero_vmware_bus bus;
	struct aero_vmware_guest drv;
	uint64_t now;
	uint64_t wanted; /* by the host that only says yes */
};

static void must(bool is_good, const char *what)
{
	if (is_good)
		return;
	fprintf(stderr, "bench_vmware: %s\n", what);
	exit(1);
}

static void call(void *ctx, struct aero_vmware_registers *regs)
{
	struct rig *rig = ctx;

	must(!aero_vmware_host_call(&rig->host, regs, rig->now), "not the balloon's port");
}

/* A host that only says yes: where the guest's own cost is meant, or no ledger so large. */
static void say_yes(void *ctx, struct aero_vmware_registers *regs)
{
	struct rig *rig = ctx;

	regs->bx = rig->wanted;
	if (regs->cx == AERO_VMWARE_CMD_START) {
		regs->ax = AERO_VMWARE_SUCCESS_WITH_CAPABILITIES;
		regs->cx = AERO_VMWARE_HOST_CAPABILITIES;
	} else {
		regs->ax = AERO_VMWARE_SUCCESS;
	}
}

static void open_rig(struct rig *rig, uint64_t frames, uint32_t orders)
{
	struct sim_port_config sim = { .frames = frames, .orders = orders };
	struct aero_vmware_host_config host = {
		.memory = &rig->sim.memory,
		.ops = &rig->ops,
		.ops_ctx = rig,
		.capabilities = AERO_VMWARE_HOST_CAPABILITIES,
		.mode = AERO_DISCARD_NONE,
	};
	struct aero_vmware_guest_config guest = { .bus = &rig->bus };

	memset(rig, 0, sizeof(*rig));
	rig->now = 1;
	sim_port_init(&rig->sim, &sim);
	bench_nodes_init(&rig->nodes, HOST_NODES);
	host.nodes = rig->nodes.source;
	must(!aero_vmware_host_init(&rig->host, &host), "no host");
	rig->bus.ctx = rig;
	rig->bus.call = call;
	guest.balloon.port = &rig->sim.port;
	must(!aero_vmware_guest_init(&rig->drv, &guest), "no driver");
}

static void close_rig(struct rig *rig)
{
	while (aero_balloon_stop(&rig->drv.balloon) == AERO_EAGAIN)
		;
	aero_vmware_guest_fini(&rig->drv);
	aero_vmware_host_fini(&rig->host);
	must(!sim_port_check_empty(&rig->sim), sim_port_check_empty(&rig->sim));
	sim_port_fini(&rig->sim);
	bench_nodes_fini(&rig->nodes);
}

/* Answers the seconds of this thread that it took. */
static double move_to(struct rig *rig, uint64_t frames)
{
	bool is_real = rig->bus.call == call;
	uint64_t told, begin;

	rig->wanted = frames;
	if (is_real)
		aero_vmware_host_set_target(&rig->host, frames, &told);
	aero_balloon_notify(&rig->drv.balloon);
	begin = bench_cpu_ns();
	while (aero_balloon_step(&rig->drv.balloon, rig->now) == rig->now)
		;
	must(aero_balloon_frames(&rig->drv.balloon) == frames, "the target is not reached");
	must(!is_real || aero_ledger_held(&rig->host.ledger) == frames, "the ledger disagrees");
	return (double)(bench_cpu_ns() - begin) / 1e9;
}

static uint64_t lock_calls(const struct rig *rig)
{
	const uint64_t *calls = rig->host.counters.calls;

	return calls[AERO_VMWARE_CMD_LOCK] + calls[AERO_VMWARE_CMD_BATCHED_LOCK] +
	       calls[AERO_VMWARE_CMD_BATCHED_2M_LOCK];
}

static void measure_calls(const char *name, uint32_t orders, double most)
{
	struct rig rig;

	open_rig(&rig, 16 * GIB_FRAMES, orders);
	move_to(&rig, 8 * GIB_FRAMES);
	bench_figure(name, (double)lock_calls(&rig) / 8, "calls", BENCH_AT_MOST, most, 1);
	close_rig(&rig);
}

static double inflate_seconds(uint64_t gib, double *out_metadata)
{
	struct aero_vmware_guest_report report;
	struct rig rig;
	double seconds;

	open_rig(&rig, (gib + 1) * GIB_FRAMES, 1u | 1u << AERO_ORDER_2M);
	seconds = move_to(&rig, gib * GIB_FRAMES);
	aero_vmware_guest_report(&rig.drv, &report);
	*out_metadata = (double)report.balloon.metadata_bytes;
	close_rig(&rig);
	return seconds;
}

static void measure_large(void)
{
	double whole[ROUNDS], quarter[ROUNDS], metadata, seconds, part;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		quarter[i] = inflate_seconds(256, &metadata);
		whole[i] = inflate_seconds(1024, &metadata);
	}
	seconds = bench_median(whole, ROUNDS);
	part = bench_median(quarter, ROUNDS);
	bench_figure("inflate_1tib_2m_seconds", seconds, "s", BENCH_AT_MOST, 2, ROUNDS);
	bench_note("simulated 1 TiB in 2 MiB blocks, both ends", 1024 / seconds, "GiB/s");
	bench_note("time of 1 TiB by that of 256 GiB; linear is 4", seconds / part, "");
	bench_figure("guest_metadata_bytes_1tib_2m", metadata, "bytes", BENCH_AT_MOST, 128 * 1024,
		     1);
}

static void measure_small(void)
{
	struct aero_vmware_guest_report report;
	struct rig rig;

	open_rig(&rig, 1025 * GIB_FRAMES, 1);
	rig.bus.call = say_yes;
	move_to(&rig, 1024 * GIB_FRAMES);
	aero_vmware_guest_report(&rig.drv, &report);
	bench_figure("guest_metadata_bytes_1tib_4k", (double)report.balloon.metadata_bytes, "bytes",
		     BENCH_AT_MOST, 33.0 * 1048576, 1);
	close_rig(&rig);
}

/* Moves so many frames of the balloon, chosen at random, to where the kernel likes. */
static void migrate(struct rig *rig, uint64_t frames, uint64_t moves)
{
	uint64_t random = 88172645463325252ull;
	aero_frame old_frame, new_frame;
	bool is_in;

	while (moves) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		old_frame = random % frames;
		if (!aero_balloon_isolate(&rig->drv.balloon, 0, old_frame))
			continue;
		must(sim_port_migrate_begin(&rig->sim, 0, old_frame, &new_frame), "no new frame");
		must(!aero_balloon_migrate(&rig->drv.balloon, 0, new_frame, old_frame, &is_in) &&
			     is_in,
		     "a frame does not move");
		sim_port_migrate_end(&rig->sim, new_frame, true, true);
		moves--;
	}
}

static double deflate_seconds(bool is_migrated, bool is_host_real)
{
	struct rig rig;
	double seconds;

	open_rig(&rig, 2 * MIGRATION_FRAMES, 1);
	if (!is_host_real)
		rig.bus.call = say_yes;
	move_to(&rig, MIGRATION_FRAMES);
	if (is_migrated)
		migrate(&rig, MIGRATION_FRAMES, MIGRATION_FRAMES / 10);
	seconds = move_to(&rig, 0);
	close_rig(&rig);
	return seconds;
}

/* The figure is the guest's: driver and simulated kernel. The note has the host's ledger too. */
static void measure_migration(void)
{
	double guest[ROUNDS], both[ROUNDS];

	for (unsigned int i = 0; i < ROUNDS; i++) {
		guest[i] = deflate_seconds(false, false);
		guest[i] = deflate_seconds(true, false) / guest[i];
		both[i] = deflate_seconds(false, true);
		both[i] = deflate_seconds(true, true) / both[i];
	}
	bench_figure("deflate_after_migration_ratio", bench_median(guest, ROUNDS), "x",
		     BENCH_AT_MOST, 1.5, ROUNDS);
	bench_note("deflating after migration, the host's ledger included",
		   bench_median(both, ROUNDS), "x");
}

int main(void)
{
	measure_calls("vmware_host_calls_per_gib_2m", 1u | 1u << AERO_ORDER_2M, 1);
	measure_calls("vmware_host_calls_per_gib_4k", 1, 512);
	measure_large();
	measure_small();
	measure_migration();
	return 0;
}
