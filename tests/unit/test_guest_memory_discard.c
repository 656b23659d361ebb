/* SPDX-License-Identifier: MIT */
#include "test_guest_memory_rig.h"

#include <sys/file.h>

/* Discarding ---------------------------------------------------------------------------------- */

static void test_discard_shared_memory_frees_exactly(void **state)
{
	struct rig *rig = *state;
	int fd = set_one(rig, 8 * MIB);
	uint64_t freed = 1;

	memset(at(rig, 0), 0xaa, 8 * MIB);
	assert_int_equal(blocks_bytes(fd), 8 * MIB);
	assert_int_equal(aero_guest_memory_resident_bytes(&rig->mem), 8 * MIB);
	assert_int_equal(discard(rig, FRAMES(MIB), FRAMES(2 * MIB), &freed), AERO_OK);
	assert_int_equal(freed, 2 * MIB);
	assert_int_equal(blocks_bytes(fd), 6 * MIB);
	assert_int_equal(*at(rig, MIB - 1), 0xaa);
	assert_int_equal(*at(rig, MIB), 0);
	assert_int_equal(*at(rig, 3 * MIB - 1), 0);
	assert_int_equal(*at(rig, 3 * MIB), 0xaa);
	close(fd);
}

static void test_discard_of_holes_frees_nothing(void **state)
{
	struct rig *rig = *state;
	uint64_t freed = 1;

	close(set_one(rig, MIB));
	*at(rig, 8192) = 1;
	assert_int_equal(discard(rig, 0, 256, &freed), AERO_OK);
	assert_int_equal(freed, 4096);
	assert_int_equal(discard(rig, 0, 256, &freed), AERO_OK);
	assert_int_equal(freed, 0);
	assert_int_equal(rig->mem.counters.discards, 2);
	assert_int_equal(rig->mem.counters.asked_bytes, 2 * MIB);
	assert_int_equal(rig->mem.counters.freed_bytes, 4096);
	assert_int_equal(rig->mem.counters.failures, 0);
}

static void test_discard_blind_takes_asked_for_freed(void **state)
{
	struct rig *rig = *state;
	uint64_t freed;
	int fd = set_one(rig, MIB);

	aero_guest_memory_set_blind(&rig->mem, true);
	*at(rig, 8192) = 1;
	assert_int_equal(discard(rig, 0, 256, &freed), AERO_OK);
	assert_int_equal(freed, MIB);
	assert_int_equal(rig->mem.counters.freed_bytes, MIB);
	assert_int_equal(blocks_bytes(fd), 0);
	close(fd);
}

static void test_discard_across_regions_frees_in_each(void **state)
{
	struct rig *rig = *state;
	int low = new_memfd(MIB);
	int high = new_memfd(2 * MIB);
	struct aero_guest_region regions[2] = {
		region(0, MIB, 0, low),
		region(MIB, MIB, MIB, high),
	};
	uint64_t freed;

	assert_int_equal(aero_guest_memory_set(&rig->mem, regions, 2), AERO_OK);
	memset(at(rig, 0), 1, MIB);
	memset(at(rig, MIB), 1, MIB);
	assert_int_equal(discard(rig, 200, 100, &freed), AERO_OK);
	assert_int_equal(freed, 100 * 4096);
	assert_int_equal(blocks_bytes(low), 200 * 4096);
	assert_int_equal(blocks_bytes(high), 212 * 4096);
	assert_int_equal(rig->mem.counters.discards, 2);
	close(low);
	close(high);
}

static void test_discard_outside_memory_refused(void **state)
{
	struct rig *rig = *state;
	uint64_t freed;

	close(set_one(rig, MIB));
	assert_int_equal(discard(rig, 256, 1, &freed), AERO_EINVAL);
	assert_int_equal(discard(rig, 255, 2, &freed), AERO_EINVAL);
	assert_int_equal(discard(rig, AERO_FRAME_LIMIT, 1, &freed), AERO_EINVAL);
	assert_int_equal(discard(rig, 0, UINT64_MAX, &freed), AERO_EINVAL);
	assert_int_equal(discard(rig, 0, 0, &freed), AERO_OK);
}

static void test_discard_of_sealed_file_fails_and_is_counted(void **state)
{
	struct rig *rig = *state;
	int fd = set_one(rig, MIB);
	uint64_t freed = 1;

	memset(at(rig, 0), 1, MIB);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	assert_int_equal(discard(rig, 0, 16, &freed), AERO_EIO);
	assert_int_equal(freed, 0);
	assert_int_equal(rig->mem.counters.failures, 1);
	assert_int_equal(blocks_bytes(fd), MIB);
	assert_non_null(strstr(rig->lines, "giving memory back failed"));
	close(fd);
}

static void test_discard_does_not_move_the_front_ends_position(void **state)
{
	struct rig *rig = *state;
	int fd = set_one(rig, MIB);

	assert_int_equal(lseek(fd, 1234, SEEK_SET), 1234);
	assert_int_not_equal(rig->mem.maps[0].region.fd, fd);
	assert_true(lseek(rig->mem.maps[0].region.fd, 0, SEEK_DATA) < 0);
	assert_int_equal(lseek(rig->mem.maps[0].region.fd, 99, SEEK_SET), 99);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 1234);
	close(fd);
}

static void test_anonymous_memory_is_dropped(void **state)
{
	struct rig *rig = *state;
	uint8_t *memory = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct aero_guest_region gone = { 64 * MIB, 4 * MIB, 0, 0, -1 };
	uint64_t freed;

	assert_true(memory != MAP_FAILED);
	madvise(memory, 4 * MIB, MADV_NOHUGEPAGE);
	assert_int_equal(aero_guest_memory_add_anonymous(&rig->mem, 64 * MIB, memory, 4 * MIB),
			 AERO_OK);
	assert_ptr_equal(at(rig, 64 * MIB + 5), memory + 5);
	memset(memory, 0xcc, 2 * MIB);
	assert_int_equal(aero_guest_memory_resident_bytes(&rig->mem), 2 * MIB);
	assert_int_equal(discard(rig, FRAMES(65 * MIB), FRAMES(2 * MIB), &freed), AERO_OK);
	assert_int_equal(freed, MIB);
	assert_int_equal(memory[MIB - 1], 0xcc);
	assert_int_equal(memory[MIB], 0);
	assert_int_equal(aero_guest_memory_remove(&rig->mem, &gone), AERO_OK);
	memory[0] = 1;
	munmap(memory, 4 * MIB);
}

static void test_anonymous_misplaced_refused(void **state)
{
	struct rig *rig = *state;
	uint8_t *memory =
		mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_int_equal(aero_guest_memory_add_anonymous(&rig->mem, 0, memory, MIB), AERO_OK);
	assert_int_equal(aero_guest_memory_add_anonymous(&rig->mem, 4096, memory, MIB),
			 AERO_EINVAL);
	assert_int_equal(aero_guest_memory_add_anonymous(&rig->mem, MIB, memory + 1, 4096),
			 AERO_EINVAL);
	assert_int_equal(aero_guest_memory_add_anonymous(&rig->mem, MIB + 1, memory, 4096),
			 AERO_EINVAL);
	assert_int_equal(aero_guest_memory_add_anonymous(&rig->mem, MIB, memory, 0), AERO_EINVAL);
	assert_int_equal(aero_guest_memory_add_anonymous(&rig->mem, MIB, NULL, 4096), AERO_EINVAL);
	assert_int_equal(aero_guest_memory_add_anonymous(&rig->mem, 1ull << 52, memory, 4096),
			 AERO_EINVAL);
	aero_guest_memory_fini(&rig->mem);
	munmap(memory, MIB);
}

/* Backing ------------------------------------------------------------------------------------- */

static void test_backing_of_ordinary_pages(void **state)
{
	struct rig *rig = *state;
	int fd = set_one(rig, MIB);
	struct stat stat;

	fstat(fd, &stat);
	close(fd);
	if (stat.st_blksize != 4096)
		skip();
	assert_int_equal(rig->mem.host.backing.discard_order, 0);
	assert_int_equal(rig->mem.host.backing.block_order, 0);
	assert_int_equal(rig->mem.maps[0].kind, AERO_GUEST_BACKING_SHMEM);
}

/* A file of bytes in a fresh tmpfs of huge pages, or -1 where one cannot be had. */
static int open_huge_tmpfs(uint64_t bytes)
{
	char dir[] = "/tmp/aero-test-XXXXXX";
	struct stat stat;
	char path[64];
	int fd;

	if (!mkdtemp(dir))
		return -1;
	if (mount("aerostat", dir, "tmpfs", 0, "huge=always,size=64M")) {
		rmdir(dir);
		return -1;
	}
	snprintf(path, sizeof(path), "%s/memory", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	if (fd < 0 || ftruncate(fd, (off_t)bytes) || fstat(fd, &stat) ||
	    stat.st_blksize != 2 << 20) {
		close(fd);
		return -1;
	}
	return fd;
}

static void test_backing_of_transparent_huge_pages(void **state)
{
	struct rig *rig = *state;
	int fd = open_huge_tmpfs(16 * MIB);
	struct aero_guest_region one = region(0, 16 * MIB, 0, fd);
	char text[256];
	uint64_t freed;

	if (fd < 0)
		skip();
	assert_int_equal(aero_guest_memory_set(&rig->mem, &one, 1), AERO_OK);
	assert_int_equal(rig->mem.host.backing.discard_order, 0);
	assert_int_equal(rig->mem.host.backing.block_order, 9);
	memset(at(rig, 0), 1, 4 * MIB);
	assert_int_equal(blocks_bytes(fd), 4 * MIB);
	assert_int_equal(discard(rig, 512, 512, &freed), AERO_OK);
	assert_int_equal(freed, 2 * MIB);
	assert_int_equal(aero_guest_memory_self_test(&rig->mem, text, sizeof(text)), AERO_OK);
	assert_int_equal(blocks_bytes(fd), 2 * MIB);
	close(fd);
}

static void test_backing_incongruent_offset_lowers_block(void **state)
{
	static const struct {
		uint64_t gpa, offset;
		unsigned int order;
	} cases[] = {
		{ 0, 0, 9 },	   { 2 * MIB, 0, 9 },	{ MIB, MIB, 9 },
		{ 0, MIB, 8 },	   { 4096, 0, 0 },	{ 8192, 0, 1 },
		{ 4096, 4096, 9 }, { 3 * MIB, MIB, 9 }, { 0, 4096 * 6, 1 },
	};
	struct rig *rig = *state;
	int fd = open_huge_tmpfs(16 * MIB);

	if (fd < 0)
		skip();
	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		struct aero_guest_region one = region(cases[i].gpa, 8 * MIB, cases[i].offset, fd);

		assert_int_equal(aero_guest_memory_set(&rig->mem, &one, 1), AERO_OK);
		assert_int_equal(rig->mem.host.backing.block_order, cases[i].order);
		assert_int_equal(rig->mem.host.backing.discard_order, 0);
	}
	close(fd);
}

/* A memfd of 2 MiB pages, all of them free at this moment; -1 where there are none. */
static int open_hugetlb(uint64_t bytes)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | 21u << 26);

	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)bytes) || fallocate(fd, 0, 0, (off_t)bytes)) {
		close(fd);
		return -1;
	}
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes),
			 0);
	return fd;
}

/* The kernel's pool of huge pages, locked against other runs of this test until it is put back. */
struct pool {
	int fd;
	char before[32];
};

static void open_pool(struct pool *pool, const char *count)
{
	ssize_t n;

	pool->fd = open("/proc/sys/vm/nr_hugepages", O_RDWR | O_CLOEXEC);
	if (pool->fd < 0 || flock(pool->fd, LOCK_EX))
		return;
	n = pread(pool->fd, pool->before, sizeof(pool->before) - 1, 0);
	pool->before[n > 0 ? n : 0] = '\0';
	assert_int_equal(pwrite(pool->fd, count, strlen(count), 0), strlen(count));
}

static void close_pool(struct pool *pool)
{
	size_t len = strlen(pool->before);

	if (pool->fd < 0)
		return;
	assert_int_equal(pwrite(pool->fd, pool->before, len, 0), len);
	close(pool->fd);
}

static void check_hugetlb(struct rig *rig, int fd)
{
	struct aero_guest_region one = region(0, 8 * MIB, 0, fd);
	char text[256];
	uint64_t freed;

	assert_int_equal(aero_guest_memory_set(&rig->mem, &one, 1), AERO_OK);
	assert_int_equal(rig->mem.host.backing.discard_order, 9);
	assert_int_equal(rig->mem.host.backing.block_order, 9);
	memset(at(rig, 0), 1, 8 * MIB);
	assert_int_equal(aero_guest_memory_resident_bytes(&rig->mem), 8 * MIB);
	assert_int_equal(discard(rig, 1, 600, &freed), AERO_OK);
	assert_int_equal(freed, 0);
	assert_int_equal(*at(rig, 4096), 1);
	assert_int_equal(discard(rig, 1, 1024 + 511, &freed), AERO_OK);
	assert_int_equal(freed, 4 * MIB);
	assert_int_equal(*at(rig, 2 * MIB - 1), 1);
	assert_int_equal(blocks_bytes(fd), 4 * MIB);
	assert_int_equal(aero_guest_memory_self_test(&rig->mem, text, sizeof(text)), AERO_OK);
	assert_int_equal(blocks_bytes(fd), 4 * MIB);
}

static void test_backing_of_hugetlb(void **state)
{
	struct pool pool = { .fd = -1 };
	int fd;

	open_pool(&pool, "12");
	fd = open_hugetlb(8 * MIB);
	if (fd >= 0) {
		check_hugetlb(*state, fd);
		close(fd);
	}
	aero_guest_memory_fini(&((struct rig *)*state)->mem);
	close_pool(&pool);
	if (fd < 0)
		skip();
}

/* Self-test ----------------------------------------------------------------------------------- */

static void test_self_test_passes_and_touches_nothing(void **state)
{
	struct rig *rig = *state;
	int fd = set_one(rig, 4 * MIB);
	char text[256] = "";

	memset(at(rig, 0), 0x77, 4 * MIB);
	assert_int_equal(aero_guest_memory_self_test(&rig->mem, text, sizeof(text)), AERO_OK);
	assert_string_equal(text, "discarding gives memory back");
	assert_int_equal(blocks_bytes(fd), 4 * MIB);
	for (size_t i = 0; i < 4 * MIB; i++)
		assert_int_equal(at(rig, 0)[i], 0x77);
	close(fd);
}

static void test_self_test_of_file_sealed_against_growth_passes(void **state)
{
	struct rig *rig = *state;
	int fd = set_one(rig, MIB);
	char text[256];

	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
	assert_int_equal(aero_guest_memory_self_test(&rig->mem, text, sizeof(text)), AERO_OK);
	assert_int_equal(blocks_bytes(fd), 0);
	close(fd);
}

static void test_self_test_of_file_sealed_against_writing_fails(void **state)
{
	struct rig *rig = *state;
	int fd = set_one(rig, MIB);
	char text[256];

	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	assert_int_equal(aero_guest_memory_self_test(&rig->mem, text, sizeof(text)), AERO_EIO);
	assert_non_null(strstr(text, "region at 0, shared memory: "));
	close(fd);
}

static void test_self_test_of_ordinary_file_leaves_it_alone(void **state)
{
	struct rig *rig = *state;
	char path[] = "/var/tmp/aero-test-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	struct aero_guest_region one = region(0, MIB, 0, fd);
	enum aero_status status;
	char text[256];
	uint64_t before;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)MIB), 0);
	assert_int_equal(fallocate(fd, 0, 0, (off_t)MIB), 0);
	assert_int_equal(aero_guest_memory_set(&rig->mem, &one, 1), AERO_OK);
	if (rig->mem.maps[0].kind != AERO_GUEST_BACKING_FILE) {
		unlink(path);
		close(fd);
		skip();
	}
	memset(at(rig, 0), 0x33, MIB);
	before = blocks_bytes(fd);
	status = aero_guest_memory_self_test(&rig->mem, text, sizeof(text));
	unlink(path);
	assert_int_equal(blocks_bytes(fd), before);
	assert_int_equal(*at(rig, MIB - 1), 0x33);
	if (status == AERO_ENOTSUP) {
		close(fd);
		skip();
	}
	assert_int_equal(status, AERO_OK);
	close(fd);
}

static void test_self_test_of_private_memory_passes(void **state)
{
	struct rig *rig = *state;
	uint8_t *memory =
		mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char text[256];

	memory[0] = 9;
	assert_int_equal(aero_guest_memory_add_anonymous(&rig->mem, 0, memory, MIB), AERO_OK);
	assert_int_equal(aero_guest_memory_self_test(&rig->mem, text, sizeof(text)), AERO_OK);
	assert_int_equal(memory[0], 9);
	aero_guest_memory_fini(&rig->mem);
	munmap(memory, MIB);
}

static void test_self_test_without_memory_says_so(void **state)
{
	struct rig *rig = *state;
	char text[8];

	assert_int_equal(aero_guest_memory_self_test(&rig->mem, text, sizeof(text)), AERO_EAGAIN);
	assert_string_equal(text, "no memo");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_discard_shared_memory_frees_exactly),
		CASE(test_discard_of_holes_frees_nothing),
		CASE(test_discard_blind_takes_asked_for_freed),
		CASE(test_discard_across_regions_frees_in_each),
		CASE(test_discard_outside_memory_refused),
		CASE(test_discard_of_sealed_file_fails_and_is_counted),
		CASE(test_discard_does_not_move_the_front_ends_position),
		CASE(test_anonymous_memory_is_dropped),
		CASE(test_anonymous_misplaced_refused),
		CASE(test_backing_of_ordinary_pages),
		CASE(test_backing_of_transparent_huge_pages),
		CASE(test_backing_incongruent_offset_lowers_block),
		CASE(test_backing_of_hugetlb),
		CASE(test_self_test_passes_and_touches_nothing),
		CASE(test_self_test_of_file_sealed_against_growth_passes),
		CASE(test_self_test_of_file_sealed_against_writing_fails),
		CASE(test_self_test_of_ordinary_file_leaves_it_alone),
		CASE(test_self_test_of_private_memory_passes),
		CASE(test_self_test_without_memory_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
