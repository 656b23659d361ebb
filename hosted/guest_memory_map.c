/* SPDX-License-Identifier: MIT */

/* One region of guest memory: what its descriptor is, how it is mapped, what it can give back. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "hosted/guest_memory_internal.h"

/* Larger regions would not fit the address space of the host either. */
#define BYTES_MAX (1ull << 47)
#define GPA_LIMIT (AERO_FRAME_LIMIT << AERO_FRAME_SHIFT)

#define REFUSE(why, size, ...) (snprintf(why, size, __VA_ARGS__), AERO_EINVAL)

static uint64_t host_page_bytes(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static enum aero_status check_numbers(const struct aero_guest_region *region, char *why,
				      size_t size)
{
	uint64_t bytes = region->bytes;

	if (bytes == 0 || bytes > BYTES_MAX || bytes % AERO_FRAME_BYTES)
		return REFUSE(why, size, "size is %#" PRIx64, bytes);
	if (region->gpa % AERO_FRAME_BYTES || region->gpa > GPA_LIMIT - bytes)
		return REFUSE(why, size, "guest address is %#" PRIx64, region->gpa);
	if (region->uva > UINT64_MAX - bytes)
		return REFUSE(why, size, "user address is %#" PRIx64, region->uva);
	if (region->offset % AERO_FRAME_BYTES || region->offset > INT64_MAX - bytes)
		return REFUSE(why, size, "offset is %#" PRIx64, region->offset);
	return AERO_OK;
}

static enum aero_status check_file(const struct aero_guest_region *region, const struct stat *stat,
				   char *why, size_t size)
{
	int flags = fcntl(region->fd, F_GETFL);

	if (!S_ISREG(stat->st_mode))
		return REFUSE(why, size, "the descriptor is not a regular file (mode %#o)",
			      (unsigned int)stat->st_mode);
	if (flags < 0 || (flags & O_ACCMODE) != O_RDWR)
		return REFUSE(why, size, "the file is not open for reading and writing");
	if ((uint64_t)stat->st_size < region->offset + region->bytes)
		return REFUSE(why, size,
			      "the file has %#" PRIx64 " bytes, the region ends at %#" PRIx64,
			      (uint64_t)stat->st_size, region->offset + region->bytes);
	return AERO_OK;
}

/*
 * A description of our own where the system allows it, because the position that SEEK_DATA moves
 * belongs to the description, and that one is the front end's.
 */
static int own_fd(int fd)
{
	char path[40];
	int own;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	return own >= 0 ? own : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int64_t born_ns(int fd)
{
	struct statx statx_buf;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &statx_buf) ||
	    !(statx_buf.stx_mask & STATX_BTIME))
		return 0;
	return (int64_t)statx_buf.stx_btime.tv_sec * 1000000000 + statx_buf.stx_btime.tv_nsec;
}

static void read_line(const char *path, char *buf, size_t size)
{
	FILE *file = fopen(path, "re");

	if (!file)
		return;
	if (!fgets(buf, (int)size, file))
		buf[0] = '\0';
	fclose(file);
}

static enum aero_guest_backing kind_of(int fd, uint64_t *out_page_bytes)
{
	struct statfs fs;

	*out_page_bytes = host_page_bytes();
	if (fstatfs(fd, &fs))
		return AERO_GUEST_BACKING_FILE;
	if (fs.f_type == HUGETLBFS_MAGIC) {
		*out_page_bytes = (uint64_t)fs.f_bsize;
		return AERO_GUEST_BACKING_HUGETLB;
	}
	return fs.f_type == TMPFS_MAGIC ? AERO_GUEST_BACKING_SHMEM : AERO_GUEST_BACKING_FILE;
}

static unsigned int order_of(uint64_t bytes)
{
	unsigned int order = 0;

	while (AERO_FRAME_BYTES << (order + 1) <= bytes && order < AERO_ORDER_1G)
		order++;
	return order;
}

/*
 * What a block is worth waiting for. A block of the guest's has to be a block of what backs it, so
 * both addresses must agree below its size.
 */
static void find_backing(struct aero_guest_mapping *map, uint64_t place, uint64_t block_bytes)
{
	uint64_t apart = map->region.gpa ^ place;
	unsigned int block = order_of(block_bytes);
	unsigned int page = order_of(map->page_bytes);

	if (block < page)
		block = page;
	while (block > 0 && apart & ((AERO_FRAME_BYTES << block) - 1))
		block--;
	map->backing.block_order = block;
	map->backing.discard_order = page < block ? page : block;
}

/* The file's pages decide where a mapping may begin: a little before the region, if need be. */
static enum aero_status map_file(struct aero_guest_mapping *map, uint64_t file_bytes, char *why,
				 size_t size)
{
	uint64_t start = map->region.offset & ~(map->page_bytes - 1);
	uint64_t end = map->region.offset + map->region.bytes;
	void *addr;

	end = (end + map->page_bytes - 1) & ~(map->page_bytes - 1);
	if (map->kind == AERO_GUEST_BACKING_HUGETLB && end > file_bytes)
		return REFUSE(why, size, "the file ends within a huge page");
	addr = mmap(NULL, end - start, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		    map->region.fd, (off_t)start);
	if (addr == MAP_FAILED) {
		snprintf(why, size, "mapping it: %s", strerror(errno));
		return AERO_EIO;
	}
	map->map = addr;
	map->map_bytes = end - start;
	map->host = map->map + (map->region.offset - start);
	madvise(addr, map->map_bytes, MADV_DONTDUMP);
	return AERO_OK;
}

static enum aero_status open_file(struct aero_guest_mapping *map, const struct stat *stat,
				  char *why, size_t size)
{
	enum aero_status status;

	map->region.fd = own_fd(map->region.fd);
	if (map->region.fd < 0) {
		snprintf(why, size, "duplicating its descriptor: %s", strerror(errno));
		return AERO_EIO;
	}
	map->kind = kind_of(map->region.fd, &map->page_bytes);
	map->dev = stat->st_dev;
	map->ino = stat->st_ino;
	map->born_ns = born_ns(map->region.fd);
	/* Shared memory says by st_blksize that it takes huge pages. */
	find_backing(map, map->region.offset,
		     map->kind == AERO_GUEST_BACKING_SHMEM ? (uint64_t)stat->st_blksize : 0);
	status = map_file(map, (uint64_t)stat->st_size, why, size);
	if (status != AERO_OK)
		close(map->region.fd);
	return status;
}

enum aero_status aero_guest_mapping_open(struct aero_guest_mapping *map,
					 const struct aero_guest_region *region, char *why,
					 size_t size)
{
	enum aero_status status = check_numbers(region, why, size);
	struct stat stat;

	if (status == AERO_OK && fstat(region->fd, &stat))
		status = REFUSE(why, size, "its descriptor: %s", strerror(errno));
	if (status == AERO_OK)
		status = check_file(region, &stat, why, size);
	if (status != AERO_OK)
		return status;
	memset(map, 0, sizeof(*map));
	map->region = *region;
	status = open_file(map, &stat, why, size);
	if (status != AERO_OK)
		return status;
	map->guard = aero_guest_guard_add(map->map, map->map_bytes, map->page_bytes);
	if (map->guard >= 0)
		return AERO_OK;
	aero_guest_mapping_close(map);
	snprintf(why, size, "too many regions in this process");
	return AERO_ENOSPC;
}

/* Size of the huge pages that the kernel puts behind private memory unasked, or 0. */
static uint64_t anonymous_block_bytes(void)
{
	char enabled[64] = "";
	char bytes[32] = "";

	read_line("/sys/kernel/mm/transparent_hugepage/enabled", enabled, sizeof(enabled));
	read_line("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", bytes, sizeof(bytes));
	return strstr(enabled, "[always]") ? strtoull(bytes, NULL, 10) : 0;
}

void aero_guest_mapping_open_anonymous(struct aero_guest_mapping *map, aero_gpa gpa, void *addr,
				       uint64_t bytes)
{
	memset(map, 0, sizeof(*map));
	map->region.gpa = gpa;
	map->region.bytes = bytes;
	map->region.fd = -1;
	map->kind = AERO_GUEST_BACKING_ANONYMOUS;
	map->host = addr;
	map->page_bytes = host_page_bytes();
	map->guard = -1;
	find_backing(map, (uintptr_t)addr, anonymous_block_bytes());
}

void aero_guest_mapping_close(struct aero_guest_mapping *map)
{
	aero_guest_guard_remove(map->guard);
	if (map->map)
		munmap(map->map, map->map_bytes);
	if (map->region.fd >= 0)
		close(map->region.fd);
}
