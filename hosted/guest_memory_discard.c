/* SPDX-License-Identifier: MIT */

/*
 * Giving guest memory back, and asking what is still there.
 *
 * Shared memory and files: a hole is punched in the file and nothing else is done. The hole unmaps
 * the pages from every process; a madvise() on top costs a fifth to a third more and frees nothing.
 * What was freed is the fall of st_blocks around the call. A guest that takes memory at the same
 * moment makes the fall smaller, so the count may be too low, never too high.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hosted/guest_memory_internal.h"

#define BLOCK_BYTES 512 /* of st_blocks, whatever the file system's own */

/* A stretch of one region, in whole pages of what backs it. */
struct stretch {
	const struct aero_guest_mapping *map;
	uint64_t at; /* into the region */
	uint64_t bytes;
};

static uint64_t blocks_bytes(int fd)
{
	struct stat stat;

	return fstat(fd, &stat) ? 0 : (uint64_t)stat.st_blocks * BLOCK_BYTES;
}

uint64_t aero_guest_memory_resident_anonymous(void *addr, uint64_t bytes)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint8_t *at = addr;
	uint64_t resident = 0;
	uint8_t present[4096];

	while (bytes) {
		uint64_t n = bytes < sizeof(present) * page ? bytes : sizeof(present) * page;

		if (mincore(at, n, present))
			return resident;
		for (uint64_t i = 0; i < (n + page - 1) / page; i++)
			resident += present[i] & 1 ? page : 0;
		at += n;
		bytes -= n;
	}
	return resident;
}

/* Pages that lie only partly in it stay out: they cannot be given back. */
static void clip_to_pages(struct stretch *stretch)
{
	const struct aero_guest_mapping *map = stretch->map;
	uint64_t base = map->region.fd < 0 ? (uintptr_t)map->host : map->region.offset;
	uint64_t start = base + stretch->at;
	uint64_t end = start + stretch->bytes;

	start = (start + map->page_bytes - 1) & ~(map->page_bytes - 1);
	end &= ~(map->page_bytes - 1);
	stretch->at = start - base;
	stretch->bytes = end > start ? end - start : 0;
}

static int punch(const struct stretch *stretch)
{
	const struct aero_guest_region *region = &stretch->map->region;
	int result;

	do {
		result = fallocate(region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)(region->offset + stretch->at), (off_t)stretch->bytes);
	} while (result && errno == EINTR);
	return result;
}

static int punch_counted(const struct stretch *stretch, uint64_t *out_freed_bytes)
{
	uint64_t before = blocks_bytes(stretch->map->region.fd);
	uint64_t after;

	if (punch(stretch))
		return -1;
	after = blocks_bytes(stretch->map->region.fd);
	*out_freed_bytes = before > after ? before - after : 0;
	return 0;
}

static int drop(const struct stretch *stretch)
{
	return madvise(stretch->map->host + stretch->at, stretch->bytes, MADV_DONTNEED);
}

static int drop_counted(const struct stretch *stretch, uint64_t *out_freed_bytes)
{
	*out_freed_bytes = aero_guest_memory_resident_anonymous(stretch->map->host + stretch->at,
								stretch->bytes);
	return drop(stretch);
}

static int give_back(const struct aero_guest_memory *mem, const struct stretch *stretch,
		     uint64_t *out_freed_bytes)
{
	bool is_file = stretch->map->region.fd >= 0;

	if (!mem->is_blind)
		return is_file ? punch_counted(stretch, out_freed_bytes)
			       : drop_counted(stretch, out_freed_bytes);
	*out_freed_bytes = stretch->bytes;
	return is_file ? punch(stretch) : drop(stretch);
}

static enum aero_status discard_stretch(struct aero_guest_memory *mem, struct stretch *stretch,
					uint64_t *out_freed_bytes)
{
	uint64_t freed = 0;

	*out_freed_bytes = 0;
	clip_to_pages(stretch);
	if (!stretch->bytes)
		return AERO_OK;
	mem->counters.discards++;
	mem->counters.asked_bytes += stretch->bytes;
	if (give_back(mem, stretch, &freed)) {
		if (mem->counters.failures++ == 0)
			aero_guest_memory_log(mem, "giving memory back failed: %s",
					      strerror(errno));
		return AERO_EIO;
	}
	*out_freed_bytes = freed < stretch->bytes ? freed : stretch->bytes;
	mem->counters.freed_bytes += *out_freed_bytes;
	return AERO_OK;
}

/* The part of bytes from gpa on that lies in one region. Answers false where there is none. */
static bool cut(const struct aero_guest_memory *mem, aero_gpa gpa, uint64_t bytes,
		struct stretch *out)
{
	const struct aero_guest_mapping *map = aero_guest_memory_find(mem, gpa);
	uint64_t left;

	if (!map)
		return false;
	left = map->region.gpa + map->region.bytes - gpa;
	out->map = map;
	out->at = gpa - map->region.gpa;
	out->bytes = bytes < left ? bytes : left;
	return true;
}

enum aero_status aero_guest_memory_discard(void *ctx, struct aero_range range,
					   uint64_t *out_freed_bytes)
{
	struct aero_guest_memory *mem = ctx;
	aero_gpa gpa = range.first << AERO_FRAME_SHIFT;
	uint64_t bytes = range.count << AERO_FRAME_SHIFT;

	*out_freed_bytes = 0;
	if (range.first >= AERO_FRAME_LIMIT || range.count > AERO_FRAME_LIMIT - range.first)
		return AERO_EINVAL;
	while (bytes) {
		struct stretch stretch;
		enum aero_status status;
		uint64_t freed;
		uint64_t taken;

		if (!cut(mem, gpa, bytes, &stretch))
			return AERO_EINVAL;
		taken = stretch.bytes;
		status = discard_stretch(mem, &stretch, &freed);
		if (status != AERO_OK)
			return status;
		*out_freed_bytes += freed;
		gpa += taken;
		bytes -= taken;
	}
	return AERO_OK;
}

/* What is resident ---------------------------------------------------------------------------- */

/* Whether an earlier region is of the same file, whose blocks are counted already. */
static bool is_counted(const struct aero_guest_memory *mem, unsigned int index)
{
	const struct aero_guest_mapping *map = &mem->maps[index];

	for (unsigned int i = 0; i < index; i++) {
		const struct aero_guest_mapping *other = &mem->maps[i];

		if (other->region.fd >= 0 && other->dev == map->dev && other->ino == map->ino)
			return true;
	}
	return false;
}

uint64_t aero_guest_memory_resident_bytes(const struct aero_guest_memory *mem)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < mem->count; i++) {
		const struct aero_guest_mapping *map = &mem->maps[i];

		if (map->region.fd < 0)
			bytes += aero_guest_memory_resident_anonymous(map->host, map->region.bytes);
		else if (!is_counted(mem, i))
			bytes += blocks_bytes(map->region.fd);
	}
	return bytes;
}

/* The walk of a caller, and whether it goes on. */
struct walk {
	aero_guest_memory_range_fn visit;
	void *ctx;
	bool is_over;
};

static void show(struct walk *walk, const struct stretch *in, uint64_t from, uint64_t to)
{
	aero_gpa start = in->map->region.gpa + from;
	aero_gpa end = in->map->region.gpa + to;
	struct aero_range range = { start >> AERO_FRAME_SHIFT, 0 };

	range.count = ((end + AERO_FRAME_BYTES - 1) >> AERO_FRAME_SHIFT) - range.first;
	if (range.count && !walk->visit(walk->ctx, range))
		walk->is_over = true;
}

/* Finds the next data in [*at, end) of a region. Answers AERO_ENOENT where there is none. */
static enum aero_status next_data(const struct aero_guest_region *region, uint64_t *at,
				  uint64_t end, uint64_t *out_to)
{
	off_t data = lseek(region->fd, (off_t)(region->offset + *at), SEEK_DATA);
	off_t hole;

	if (data < 0)
		return errno == ENXIO ? AERO_ENOENT : AERO_EIO;
	if ((uint64_t)data >= region->offset + end)
		return AERO_ENOENT;
	hole = lseek(region->fd, data, SEEK_HOLE);
	if (hole < 0)
		return errno == ENXIO ? AERO_ENOENT : AERO_EIO;
	*at = (uint64_t)data - region->offset;
	*out_to = (uint64_t)hole - region->offset;
	if (*out_to > end)
		*out_to = end;
	return AERO_OK;
}

static enum aero_status walk_file(const struct stretch *in, struct walk *walk)
{
	uint64_t at = in->at;
	uint64_t end = in->at + in->bytes;
	enum aero_status status = AERO_OK;

	while (at < end && !walk->is_over && status == AERO_OK) {
		uint64_t to = end;

		status = next_data(&in->map->region, &at, end, &to);
		if (status == AERO_OK)
			show(walk, in, at, to);
		at = to;
	}
	return status == AERO_ENOENT ? AERO_OK : status;
}

static void walk_anonymous(const struct stretch *in, struct walk *walk)
{
	const uint64_t page = in->map->page_bytes;
	uint64_t end = in->at + in->bytes;
	uint64_t start = in->at & ~(page - 1);
	uint64_t run = end; /* where the present run began; end: none */

	for (uint64_t at = start; at < end && !walk->is_over; at += page) {
		bool is_there = aero_guest_memory_resident_anonymous(in->map->host + at, page) > 0;

		if (is_there && run == end)
			run = at > in->at ? at : in->at;
		if (!is_there && run != end) {
			show(walk, in, run, at);
			run = end;
		}
	}
	if (run != end && !walk->is_over)
		show(walk, in, run, end);
}

static enum aero_status walk_stretch(const struct stretch *in, struct walk *walk)
{
	if (in->map->kind == AERO_GUEST_BACKING_HUGETLB)
		return AERO_ENOTSUP;
	if (in->map->region.fd >= 0)
		return walk_file(in, walk);
	walk_anonymous(in, walk);
	return AERO_OK;
}

enum aero_status aero_guest_memory_for_each_resident(const struct aero_guest_memory *mem,
						     struct aero_range range,
						     aero_guest_memory_range_fn visit, void *ctx)
{
	struct walk walk = { visit, ctx, false };
	aero_gpa start = range.first << AERO_FRAME_SHIFT;
	aero_gpa end;
	enum aero_status status = AERO_OK;

	if (range.first >= AERO_FRAME_LIMIT)
		return AERO_OK;
	if (range.count > AERO_FRAME_LIMIT - range.first)
		range.count = AERO_FRAME_LIMIT - range.first;
	end = start + (range.count << AERO_FRAME_SHIFT);
	for (unsigned int i = 0; i < mem->count && !walk.is_over && status == AERO_OK; i++) {
		const struct aero_guest_mapping *map = &mem->maps[i];
		aero_gpa low = map->region.gpa;
		aero_gpa high = low + map->region.bytes;
		struct stretch in = { .map = map };

		low = low > start ? low : start;
		high = high < end ? high : end;
		if (low >= high)
			continue;
		in.at = low - map->region.gpa;
		in.bytes = high - low;
		status = walk_stretch(&in, &walk);
	}
	return status;
}
