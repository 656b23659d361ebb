/* SPDX-License-Identifier: MIT */
/*
 * floor_qemu MIB: what QEMU's virtio-balloon cannot do without, on this machine and now. For each
 * page that is given it punches a hole into the file behind guest memory and tells the kernel once
 * more with madvise(); for each that is taken back it advises that the page will be needed. Prints
 * the seconds of both for so much memory, all of it backed, with nothing else around the calls.
 */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u

static void must(bool is_good, const char *what)
{
	if (is_good)
		return;
	perror(what);
	exit(1);
}

static double give_all(int fd, uint8_t *at, size_t bytes)
{
	uint64_t began = bench_now_ns();

	for (size_t i = 0; i < bytes; i += PAGE) {
		must(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)i, PAGE),
		     "fallocate");
		must(!madvise(at + i, PAGE, MADV_REMOVE), "madvise");
	}
	return (double)(bench_now_ns() - began) / 1e9;
}

static double take_all(uint8_t *at, size_t bytes)
{
	uint64_t began = bench_now_ns();

	for (size_t i = 0; i < bytes; i += PAGE)
		must(!madvise(at + i, PAGE, MADV_WILLNEED), "madvise");
	return (double)(bench_now_ns() - began) / 1e9;
}

int main(int argc, char **argv)
{
	size_t bytes = argc == 2 ? strtoul(argv[1], NULL, 10) << 20 : 0;
	int fd = memfd_create("floor", MFD_CLOEXEC);
	double in, out;
	uint8_t *at;

	if (!bytes) {
		fprintf(stderr, "usage: floor_qemu MIB\n");
		return 2;
	}
	must(fd >= 0 && !ftruncate(fd, (off_t)bytes), "memfd_create");
	at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(at != MAP_FAILED, "mmap");
	memset(at, 1, bytes);
	in = give_all(fd, at, bytes);
	out = take_all(at, bytes);
	printf("%.6f %.6f\n", in, out);
	return 0;
}
