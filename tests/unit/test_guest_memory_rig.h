/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_UNIT_TEST_GUEST_MEMORY_RIG_H
#define AEROSTAT_TESTS_UNIT_TEST_GUEST_MEMORY_RIG_H

/* Guest memory under test. The teardown counts descriptors and shared mappings. */

#include "support/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hosted/guest_memory.h"

#define MIB (1ull << 20)
#define FRAMES(bytes) ((bytes) / 4096)

/* Guest memory under test, what it said, and how many descriptors and mappings there were. */
struct rig {
	struct aero_guest_memory mem;
	char lines[4096];
	int fds_before;
	int maps_before;
};

static inline int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Shared mappings only: the allocator makes and drops private ones as it likes. */
static inline int count_maps(void)
{
	FILE *file = fopen("/proc/self/maps", "r");
	char line[512];
	int count = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		count += strstr(line, "rw-s") != NULL;
	fclose(file);
	return count;
}

static inline void keep_line(void *ctx, const char *line)
{
	struct rig *rig = ctx;
	size_t have = strlen(rig->lines);

	snprintf(rig->lines + have, sizeof(rig->lines) - have, "%s\n", line);
}

static inline int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct aero_guest_memory_config config = { .log = keep_line, .ctx = rig };

	if (!rig)
		return -1;
	rig->fds_before = count_fds();
	rig->maps_before = count_maps();
	aero_guest_memory_init(&rig->mem, &config);
	*state = rig;
	return 0;
}

static inline int teardown(void **state)
{
	struct rig *rig = *state;

	aero_guest_memory_fini(&rig->mem);
	assert_int_equal(count_fds(), rig->fds_before);
	assert_int_equal(count_maps(), rig->maps_before);
	free(rig);
	return 0;
}

static inline int new_memfd(uint64_t bytes)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static inline struct aero_guest_region region(aero_gpa gpa, uint64_t bytes, uint64_t offset, int fd)
{
	return (struct aero_guest_region){ gpa, bytes, 0x7f0000000000 + gpa, offset, fd };
}

/* One region of a fresh memfd at guest address 0; its descriptor is closed by the caller. */
static inline int set_one(struct rig *rig, uint64_t bytes)
{
	int fd = new_memfd(bytes);
	struct aero_guest_region one = region(0, bytes, 0, fd);

	assert_int_equal(aero_guest_memory_set(&rig->mem, &one, 1), AERO_OK);
	return fd;
}

static inline uint64_t blocks_bytes(int fd)
{
	struct stat stat;

	assert_int_equal(fstat(fd, &stat), 0);
	return (uint64_t)stat.st_blocks * 512;
}

static inline uint8_t *at(struct rig *rig, aero_gpa gpa)
{
	size_t len = 1;

	return rig->mem.host.translate(rig->mem.host.ctx, gpa, &len, AERO_ACCESS_BOTH);
}

static inline enum aero_status discard(struct rig *rig, aero_frame first, uint64_t count,
				       uint64_t *out_freed)
{
	struct aero_range range = { first, count };

	return rig->mem.host.discard(rig->mem.host.ctx, range, out_freed);
}

static inline uint64_t is_ram(struct rig *rig, aero_frame first, uint64_t count)
{
	struct aero_range range = { first, count };

	return rig->mem.host.is_ram(rig->mem.host.ctx, range);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
