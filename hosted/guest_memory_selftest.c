/* SPDX-License-Identifier: MIT */

/*
 * Whether a discard gives memory back, found out without touching what the guest may be using.
 *
 * The very file is the best subject: seals, mount options and quotas are its own. Beyond its end
 * there is nothing of the guest's, and shared memory and hugetlbfs do keep blocks there, so one is
 * allocated, seen in st_blocks, punched and seen gone. What cannot be seen there is that the range
 * reads back as zeros, and a file sealed against growth refuses; then the test runs on a scratch
 * object of the same kind, with content, and the file itself is only asked to punch where nothing
 * is. Ordinary file systems ignore a hole beyond the end: they get a scratch file in the same
 * directory.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hosted/guest_memory_internal.h"

#define TRIES 5
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

/* What is being tested, and the line that tells about it. */
struct test {
	const struct aero_guest_mapping *map;
	uint64_t bytes; /* one block */
	char *text;
	size_t size;
};

static const char *kind_name(enum aero_guest_backing kind)
{
	static const char *const names[] = {
		[AERO_GUEST_BACKING_SHMEM] = "shared memory",
		[AERO_GUEST_BACKING_HUGETLB] = "hugetlb memory",
		[AERO_GUEST_BACKING_FILE] = "a file",
		[AERO_GUEST_BACKING_ANONYMOUS] = "private memory",
	};

	return names[kind];
}

static enum aero_status tell(struct test *test, enum aero_status status, const char *what,
			     const char *why)
{
	snprintf(test->text, test->size, "region at %#" PRIx64 ", %s: %s%s%s",
		 test->map->region.gpa, kind_name(test->map->kind), what, why ? ": " : "",
		 why ? why : "");
	return status;
}

static enum aero_status tell_no_effect(struct test *test)
{
	return tell(test, AERO_ENOEFFECT,
		    "discarding succeeds but gives no memory back to the host", NULL);
}

static uint64_t blocks_of(int fd)
{
	struct stat stat;

	return fstat(fd, &stat) ? 0 : (uint64_t)stat.st_blocks * 512;
}

/* Out of memory or huge pages, over quota, sealed: that says nothing about discarding. */
static bool is_inconclusive(int error)
{
	return error == ENOSPC || error == ENOMEM || error == EDQUOT || error == EPERM ||
	       error == EFBIG || error == EOPNOTSUPP;
}

/* A guest that takes memory meanwhile hides the fall, hence more than one try. */
static enum aero_status beyond_end_once(struct test *test, off_t at)
{
	int fd = test->map->region.fd;
	uint64_t full;

	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, at, (off_t)test->bytes))
		return is_inconclusive(errno) ? AERO_ENOTSUP : AERO_EIO;
	full = blocks_of(fd);
	if (fallocate(fd, PUNCH, at, (off_t)test->bytes))
		return AERO_EIO;
	return full >= blocks_of(fd) + test->bytes ? AERO_OK : AERO_ENOEFFECT;
}

static enum aero_status test_beyond_end(struct test *test)
{
	enum aero_status status = AERO_ENOEFFECT;
	struct stat stat;
	off_t at;

	if (fstat(test->map->region.fd, &stat))
		return tell(test, AERO_EIO, "reading its size", strerror(errno));
	at = (off_t)(((uint64_t)stat.st_size + test->bytes - 1) / test->bytes * test->bytes);
	for (int i = 0; i < TRIES && status == AERO_ENOEFFECT; i++)
		status = beyond_end_once(test, at);
	if (status == AERO_EIO)
		return tell(test, AERO_EIO, "discarding fails", strerror(errno));
	return status == AERO_ENOEFFECT ? tell_no_effect(test) : status;
}

/* Scratch objects ----------------------------------------------------------------------------- */

static bool is_zero(const uint8_t *at, uint64_t bytes)
{
	return at[0] == 0 && !memcmp(at, at + 1, bytes - 1);
}

static enum aero_status test_scratch_content(struct test *test, int fd, uint8_t *at)
{
	uint64_t full;

	memset(at, 0x5a, test->bytes);
	full = blocks_of(fd);
	if (fallocate(fd, PUNCH, 0, (off_t)test->bytes))
		return tell(test, AERO_EIO, "discarding fails", strerror(errno));
	if (full < blocks_of(fd) + test->bytes)
		return tell_no_effect(test);
	if (!is_zero(at, test->bytes))
		return tell(test, AERO_EIO, "discarded memory does not read as zeros", NULL);
	return AERO_OK;
}

/* Blocks are allocated first, so that writing through the mapping cannot fault. */
static enum aero_status test_scratch_file(struct test *test, int fd)
{
	enum aero_status status;
	uint8_t *at;

	if (ftruncate(fd, (off_t)test->bytes) || fallocate(fd, 0, 0, (off_t)test->bytes))
		return tell(test, AERO_ENOTSUP, "not tested: no memory for a scratch file",
			    strerror(errno));
	at = mmap(NULL, test->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return tell(test, AERO_ENOTSUP, "not tested: mapping a scratch file",
			    strerror(errno));
	status = test_scratch_content(test, fd, at);
	munmap(at, test->bytes);
	return status;
}

static int open_scratch(const struct aero_guest_mapping *map)
{
	char path[40];
	char name[512];
	char *slash;
	ssize_t len;

	if (map->kind == AERO_GUEST_BACKING_SHMEM)
		return memfd_create("aerostat-self-test", MFD_CLOEXEC);
	if (map->kind == AERO_GUEST_BACKING_HUGETLB)
		return memfd_create("aerostat-self-test",
				    MFD_CLOEXEC | MFD_HUGETLB |
					    (unsigned int)__builtin_ctzll(map->page_bytes)
						    << MAP_HUGE_SHIFT);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", map->region.fd);
	len = readlink(path, name, sizeof(name) - 1);
	name[len > 0 ? len : 0] = '\0';
	slash = strrchr(name, '/');
	if (!slash || name[0] != '/')
		return -1;
	slash[slash == name] = '\0';
	return open(name, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static enum aero_status test_on_scratch(struct test *test)
{
	int fd = open_scratch(test->map);
	enum aero_status status;
	struct stat stat;

	if (fd < 0)
		return tell(test, AERO_ENOTSUP, "not tested: no scratch file", strerror(errno));
	status = test_scratch_file(test, fd);
	close(fd);
	if (status != AERO_OK)
		return status;
	/* Where nothing is, the file itself must at least let itself be punched. */
	if (fstat(test->map->region.fd, &stat) ||
	    fallocate(test->map->region.fd, PUNCH,
		      (off_t)(((uint64_t)stat.st_size + test->bytes) / test->bytes * test->bytes),
		      (off_t)test->bytes))
		return tell(test, AERO_EIO, "the file refuses to be discarded", strerror(errno));
	return AERO_OK;
}

static enum aero_status test_private_content(struct test *test, uint8_t *at)
{
	memset(at, 0x5a, test->bytes);
	if (madvise(at, test->bytes, MADV_DONTNEED))
		return tell(test, AERO_EIO, "discarding fails", strerror(errno));
	if (aero_guest_memory_resident_anonymous(at, test->bytes))
		return tell_no_effect(test);
	if (!is_zero(at, test->bytes))
		return tell(test, AERO_EIO, "discarded memory does not read as zeros", NULL);
	return AERO_OK;
}

static enum aero_status test_private(struct test *test)
{
	uint8_t *at =
		mmap(NULL, test->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	enum aero_status status;

	if (at == MAP_FAILED)
		return tell(test, AERO_ENOTSUP, "not tested: no scratch memory", strerror(errno));
	status = test_private_content(test, at);
	munmap(at, test->bytes);
	return status;
}

static enum aero_status test_mapping(struct test *test)
{
	enum aero_status status = AERO_ENOTSUP;

	if (test->map->kind == AERO_GUEST_BACKING_ANONYMOUS)
		return test_private(test);
	if (test->map->kind != AERO_GUEST_BACKING_FILE)
		status = test_beyond_end(test);
	return status == AERO_ENOTSUP ? test_on_scratch(test) : status;
}

/* What the kernel allocates at once: part of a huge page may stay whatever is punched out of it. */
static uint64_t block_of(const struct aero_guest_mapping *map)
{
	struct stat stat;

	if (map->kind == AERO_GUEST_BACKING_SHMEM && !fstat(map->region.fd, &stat) &&
	    (uint64_t)stat.st_blksize > map->page_bytes)
		return (uint64_t)stat.st_blksize;
	return map->page_bytes;
}

enum aero_status aero_guest_memory_self_test(const struct aero_guest_memory *mem, char *text,
					     size_t size)
{
	enum aero_status result = AERO_OK;
	char line[224];

	snprintf(text, size, "%s", mem->count ? "discarding gives memory back" : "no memory");
	for (unsigned int i = 0; i < mem->count; i++) {
		struct test test = { &mem->maps[i], block_of(&mem->maps[i]), line, sizeof(line) };
		enum aero_status status = test_mapping(&test);

		/* A region that could not be tested must not hide one that fails. */
		if (status == AERO_OK || (status == AERO_ENOTSUP && result != AERO_OK))
			continue;
		snprintf(text, size, "%s", line);
		result = status;
		if (status != AERO_ENOTSUP)
			break;
	}
	return mem->count ? result : AERO_EAGAIN;
}
