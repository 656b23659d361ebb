/* SPDX-License-Identifier: MIT */
/*
 * What discarding costs by when and how it is done: the frames of a real guest's requests,
 * collected by the ledger, merged per request, or one by one, against single big hole punches over
 * as much resident memory. On 4 KiB pages (a memfd) and on huge pages (a tmpfs mounted huge=always
 * in a mount namespace of our own).
 */
#include "bench.h"
#include "trace.h"

#include "hosted/guest_memory.h"
#include "hosted/node_pool.h"

#include <aerostat/host/ledger.h>

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS 11
#define TRACE_PATH "bench/traces/linux-6.1-1gib.txt"
/* UML's memory does not begin at 0, so 2 GiB end higher. */
#define GUEST_BYTES (10ull << 28)
#define SINGLE_BYTES (32ull << 20)

enum way { COLLECT, REQUEST, FRAME, SINGLE, WAYS };

static const enum aero_discard_mode modes[] = {
	[COLLECT] = AERO_DISCARD_COLLECT,
	[REQUEST] = AERO_DISCARD_REQUEST,
	[FRAME] = AERO_DISCARD_FRAME,
};

struct rig {
	struct aero_guest_memory memory;
	struct aero_node_pool nodes;
	struct bench_trace trace;
	struct aero_ledger_counters last;
	int fd;
};

static void log_line(void *ctx, const char *line)
{
	(void)ctx;
	puts(line);
}

static void check(bool is_fine, const char *what)
{
	if (is_fine)
		return;
	perror(what);
	exit(1);
}

/* Back all of guest memory, as a guest does that touches it. */
static void fill(struct rig *rig)
{
	check(!madvise(rig->memory.maps[0].host, GUEST_BYTES, MADV_POPULATE_WRITE), "populate");
}

static void rig_init(struct rig *rig, int fd)
{
	struct aero_guest_memory_config config = { log_line, NULL };
	struct aero_guest_region region = { 0, GUEST_BYTES, 1ull << 40, 0, fd };

	memset(rig, 0, sizeof(*rig));
	bench_trace_read(&rig->trace, TRACE_PATH);
	rig->fd = fd;
	aero_guest_memory_init(&rig->memory, &config);
	check(rig->trace.end << AERO_FRAME_SHIFT <= GUEST_BYTES, "trace beyond guest memory");
	check(aero_guest_memory_set(&rig->memory, &region, 1) == AERO_OK, "guest memory");
}

static void rig_fini(struct rig *rig)
{
	aero_guest_memory_fini(&rig->memory);
	aero_node_pool_fini(&rig->nodes);
	bench_trace_free(&rig->trace);
	close(rig->fd);
}

/* What the device does at the end of a request. */
static void end_request(struct aero_ledger *ledger, enum way way)
{
	if (way == COLLECT) {
		while (aero_ledger_discard_whole(ledger))
			;
	} else if (way == REQUEST) {
		while (aero_ledger_discard_rest(ledger))
			;
		aero_ledger_drop_rest(ledger);
	}
}

static double replay(struct rig *rig, enum way way)
{
	struct aero_ledger_config config = { &rig->memory.host, aero_node_pool_source(&rig->nodes),
					     0 };
	struct aero_ledger ledger;
	uint64_t begin;
	double ns;
	size_t i;

	check(aero_ledger_init(&ledger, &config) == AERO_OK, "ledger");
	aero_ledger_set_mode(&ledger, modes[way]);
	begin = bench_now_ns();
	for (i = 0; i < rig->trace.count; i++) {
		if (rig->trace.runs[i].count)
			(void)aero_ledger_give(&ledger, rig->trace.runs[i], begin);
		else
			end_request(&ledger, way);
	}
	while (way == COLLECT && aero_ledger_discard_rest(&ledger))
		;
	ns = (double)(bench_now_ns() - begin);
	rig->last = ledger.counters;
	aero_ledger_fini(&ledger);
	return ns;
}

/* The same amount in big pieces, at one stretch. */
static double punch(struct rig *rig)
{
	uint64_t bytes = rig->trace.frames << AERO_FRAME_SHIFT;
	uint64_t begin = bench_now_ns();
	uint64_t at;

	for (at = 0; at < bytes; at += SINGLE_BYTES)
		check(!fallocate(rig->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
				 SINGLE_BYTES),
		      "punch");
	return (double)(bench_now_ns() - begin);
}

static double measure(struct rig *rig, enum way way)
{
	struct stat before;
	struct stat after;
	double ns;

	fill(rig);
	/* Others do not look what a discard freed; one by one that would cost as much again. */
	aero_guest_memory_set_blind(&rig->memory, way == FRAME);
	check(!fstat(rig->fd, &before), "fstat");
	ns = way == SINGLE ? punch(rig) : replay(rig, way);
	check(!fstat(rig->fd, &after), "fstat");
	/* A discard that frees nothing is quick: such a time is not to be reported. */
	check((uint64_t)(before.st_blocks - after.st_blocks) * 512 >=
		      (rig->trace.frames << AERO_FRAME_SHIFT) / 100 * 99,
	      "memory was not freed");
	return ns;
}

struct times {
	double ns[WAYS][ROUNDS];
	double ratio[WAYS][ROUNDS]; /* to COLLECT, of the same round */
};

static void run_rounds(struct rig *rig, struct times *times)
{
	unsigned int round;
	unsigned int i;

	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < WAYS; i++) {
			enum way way = (enum way)((round + i) % WAYS);

			times->ns[way][round] = measure(rig, way);
		}
		for (i = 0; i < WAYS; i++)
			times->ratio[i][round] = times->ns[i][round] / times->ns[COLLECT][round];
	}
}

static void note_times(const char *backing, struct times *times)
{
	static const char *const names[] = { "collected across requests", "merged per request",
					     "frame by frame", "single big punches" };
	char text[96];
	unsigned int i;

	for (i = 0; i < WAYS; i++) {
		snprintf(text, sizeof(text), "1 GiB on %s, %s", backing, names[i]);
		bench_note(text, bench_median(times->ns[i], ROUNDS) / 1e6, "ms");
	}
}

static void bench_small_pages(void)
{
	int fd = memfd_create("bench-discard", MFD_CLOEXEC);
	struct times times;
	struct rig rig;

	check(fd >= 0 && !ftruncate(fd, (off_t)GUEST_BYTES), "memfd");
	rig_init(&rig, fd);
	run_rounds(&rig, &times);
	note_times("4 KiB pages", &times);
	bench_figure("discard_vs_single_punch_ratio", bench_median(times.ratio[SINGLE], ROUNDS),
		     "x", BENCH_AT_LEAST, 0.9, ROUNDS);
	bench_figure("discard_vs_per_page_ratio", bench_median(times.ratio[FRAME], ROUNDS), "x",
		     BENCH_AT_LEAST, 3.5, ROUNDS);
	rig_fini(&rig);
}

/* A file on a tmpfs of huge pages that nobody else sees; -1 where that is not to be had. */
static int open_huge_file(void)
{
	char path[] = "/tmp/aerostat-bench-XXXXXX";
	char file[64];
	int fd = -1;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    !mkdtemp(path))
		return -1;
	if (!mount("tmpfs", path, "tmpfs", 0, "huge=always,size=4G")) {
		snprintf(file, sizeof(file), "%s/memory", path);
		fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		unlink(file);
		umount2(path, MNT_DETACH);
	}
	rmdir(path);
	return fd;
}

/* 2 MiB blocks that the trace gives whole. */
static uint64_t count_whole_blocks(const struct bench_trace *trace)
{
	uint16_t *held = calloc(trace->end / 512 + 1, sizeof(*held));
	uint64_t whole = 0;
	size_t i;
	uint64_t f;

	check(held, "memory");
	for (i = 0; i < trace->count; i++) {
		for (f = 0; f < trace->runs[i].count; f++)
			whole += ++held[(trace->runs[i].first + f) / 512] == 512;
	}
	free(held);
	return whole;
}

static void bench_huge_pages(void)
{
	int fd = open_huge_file();
	struct times times;
	struct rig rig;
	uint64_t whole;

	if (fd < 0) {
		puts("{\"skip\": \"no tmpfs with huge pages can be mounted: needs root\"}");
		return;
	}
	check(!ftruncate(fd, (off_t)GUEST_BYTES), "ftruncate");
	rig_init(&rig, fd);
	run_rounds(&rig, &times);
	note_times("huge pages", &times);
	whole = count_whole_blocks(&rig.trace);
	(void)measure(&rig, COLLECT);
	bench_note("huge pages given whole", (double)whole, "");
	bench_note("of them discarded whole", (double)rig.last.blocks_whole, "");
	check(rig.last.blocks_whole == whole, "a huge page given whole was split");
	bench_figure("discard_thp_vs_per_page_ratio", bench_median(times.ratio[FRAME], ROUNDS), "x",
		     BENCH_AT_LEAST, 80, ROUNDS);
	rig_fini(&rig);
}

int main(void)
{
	bench_small_pages();
	bench_huge_pages();
	return 0;
}
