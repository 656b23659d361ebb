/* SPDX-License-Identifier: MIT */
#include "test_guest_memory_rig.h"

/* Regions ------------------------------------------------------------------------------------- */

static void test_set_maps_the_file_at_its_offset(void **state)
{
	struct rig *rig = *state;
	int fd = new_memfd(8 * MIB);
	struct aero_guest_region regions[2] = {
		region(4 * MIB, 2 * MIB, 1 * MIB, fd),
		region(0, 1 * MIB, 0, fd),
	};

	assert_int_equal(pwrite(fd, "abc", 3, (off_t)MIB + 5), 3);
	assert_int_equal(aero_guest_memory_set(&rig->mem, regions, 2), AERO_OK);
	assert_memory_equal(at(rig, 4 * MIB + 5), "abc", 3);
	*at(rig, 7) = 0x42;
	close(fd);
	assert_int_equal(*at(rig, 7), 0x42);
	assert_int_equal(aero_guest_memory_bytes(&rig->mem), 3 * MIB);
	assert_string_equal(rig->lines, "");
}

static void test_translate_ends_with_the_region(void **state)
{
	struct rig *rig = *state;
	int fd = set_one(rig, 1 * MIB);
	struct aero_guest_region next = region(1 * MIB, 4096, 0, fd);
	size_t len = 100;

	assert_int_equal(aero_guest_memory_add(&rig->mem, &next), AERO_OK);
	close(fd);
	assert_non_null(
		rig->mem.host.translate(rig->mem.host.ctx, MIB - 10, &len, AERO_ACCESS_READ));
	assert_int_equal(len, 10);
	len = 100;
	assert_non_null(rig->mem.host.translate(rig->mem.host.ctx, MIB, &len, AERO_ACCESS_READ));
	assert_int_equal(len, 100);
	len = SIZE_MAX;
	assert_non_null(rig->mem.host.translate(rig->mem.host.ctx, 0, &len, AERO_ACCESS_READ));
	assert_int_equal(len, MIB);
}

static void test_translate_outside_is_null(void **state)
{
	static const aero_gpa nowhere[] = { 3 * MIB,	       4 * MIB - 1, 5 * MIB,
					    5 * MIB + 4096,    1ull << 40,  UINT64_MAX,
					    UINT64_MAX - 4095, 1ull << 63 };
	struct rig *rig = *state;
	int fd = new_memfd(4 * MIB);
	struct aero_guest_region regions[2] = {
		region(0, 3 * MIB, 0, fd),
		region(4 * MIB, MIB, 3 * MIB, fd),
	};

	assert_int_equal(aero_guest_memory_set(&rig->mem, regions, 2), AERO_OK);
	close(fd);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(nowhere); i++) {
		size_t len = 1;

		assert_null(rig->mem.host.translate(rig->mem.host.ctx, nowhere[i], &len,
						    AERO_ACCESS_READ));
	}
	assert_non_null(at(rig, 3 * MIB - 1));
	assert_non_null(at(rig, 5 * MIB - 1));
}

static void test_is_ram_counts_up_to_the_first_hole(void **state)
{
	struct rig *rig = *state;
	int fd = new_memfd(4 * MIB);
	struct aero_guest_region regions[3] = {
		region(0, MIB, 0, fd),
		region(MIB, MIB, MIB, fd),
		region(4 * MIB, MIB, 2 * MIB, fd),
	};

	assert_int_equal(aero_guest_memory_set(&rig->mem, regions, 3), AERO_OK);
	close(fd);
	assert_int_equal(is_ram(rig, 0, 1), 1);
	assert_int_equal(is_ram(rig, 0, 512), 512);
	assert_int_equal(is_ram(rig, 0, 513), 512);
	assert_int_equal(is_ram(rig, 255, 10000), 257);
	assert_int_equal(is_ram(rig, 512, 1), 0);
	assert_int_equal(is_ram(rig, 1023, 5), 0);
	assert_int_equal(is_ram(rig, 1024, UINT64_MAX), 256);
	assert_int_equal(is_ram(rig, 1280, 1), 0);
	assert_int_equal(is_ram(rig, AERO_FRAME_LIMIT, 1), 0);
	assert_int_equal(is_ram(rig, UINT64_MAX, 1), 0);
	assert_int_equal(is_ram(rig, 0, 0), 0);
}

static void test_set_bad_region_refused_and_old_kept(void **state)
{
	struct rig *rig = *state;
	int fd = new_memfd(MIB);
	int read_only = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int device = open("/dev/zero", O_RDWR | O_CLOEXEC);
	const struct {
		struct aero_guest_region region;
		const char *text;
	} cases[] = {
		{ { 0, 0, 0, 0, fd }, "size is 0" },
		{ { 0, 4095, 0, 0, fd }, "size is 0xfff" },
		{ { 0, UINT64_MAX & ~4095ull, 0, 0, fd }, "size is 0xfffffffffffff000" },
		{ { 1, 4096, 0, 0, fd }, "guest address is 0x1" },
		{ { UINT64_MAX & ~4095ull, 4096, 0, 0, fd },
		  "guest address is 0xfffffffffffff000" },
		{ { (1ull << 52) - 4096, 8192, 0, 0, fd }, "guest address is 0xffffffffff000" },
		{ { 0, 4096, UINT64_MAX - 100, 0, fd }, "user address is" },
		{ { 0, 4096, 0, 100, fd }, "offset is 0x64" },
		{ { 0, 4096, 0, UINT64_MAX & ~4095ull, fd }, "offset is 0xfffffffffffff000" },
		{ { 0, 4096, 0, (uint64_t)INT64_MAX & ~4095ull, fd }, "offset is" },
		{ { 0, MIB + 4096, 0, 0, fd }, "the file has 0x100000 bytes" },
		{ { 0, 4096, 0, MIB, fd }, "the file has 0x100000 bytes" },
		{ { 0, 4096, 0, 0, -1 }, "its descriptor" },
		{ { 0, 4096, 0, 0, read_only }, "not open for reading and writing" },
		{ { 0, 4096, 0, 0, device }, "not a regular file" },
	};
	int good = set_one(rig, 2 * MIB);

	close(good);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		rig->lines[0] = '\0';
		assert_int_equal(aero_guest_memory_set(&rig->mem, &cases[i].region, 1),
				 AERO_EINVAL);
		if (!strstr(rig->lines, cases[i].text))
			fail_msg("'%s' is not in '%s'", cases[i].text, rig->lines);
		assert_int_equal(aero_guest_memory_bytes(&rig->mem), 2 * MIB);
		assert_non_null(at(rig, 2 * MIB - 1));
		assert_int_equal(aero_guest_memory_add(&rig->mem, &cases[i].region), AERO_EINVAL);
	}
	close(fd);
	close(read_only);
	close(device);
}

static void test_set_overlap_refused(void **state)
{
	struct rig *rig = *state;
	int fd = new_memfd(4 * MIB);
	static const aero_gpa starts[] = { 2 * MIB - 4096, 2 * MIB, 2 * MIB + 4096, 3 * MIB - 4096,
					   1 * MIB };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(starts); i++) {
		struct aero_guest_region regions[2] = {
			{ 2 * MIB, MIB, 1ull << 40, 0, fd },
			{ starts[i], starts[i] == MIB ? 3 * MIB : MIB, 1ull << 41, 0, fd },
		};

		assert_int_equal(aero_guest_memory_set(&rig->mem, regions, 2), AERO_EINVAL);
		assert_non_null(strstr(rig->lines, "overlaps another region"));
	}
	assert_int_equal(aero_guest_memory_bytes(&rig->mem), 0);
	close(fd);
}

static void test_set_overlapping_user_addresses_refused(void **state)
{
	struct rig *rig = *state;
	int fd = new_memfd(4 * MIB);
	struct aero_guest_region regions[2] = {
		{ 0, MIB, 0x10000000, 0, fd },
		{ MIB, MIB, 0x10000000 + MIB - 4096, MIB, fd },
	};

	assert_int_equal(aero_guest_memory_set(&rig->mem, regions, 2), AERO_EINVAL);
	regions[1].uva += 4096;
	assert_int_equal(aero_guest_memory_set(&rig->mem, regions, 2), AERO_OK);
	close(fd);
}

static void test_set_too_many_refused(void **state)
{
	struct aero_guest_region regions[AERO_GUEST_MEMORY_REGIONS_MAX + 1];
	struct rig *rig = *state;
	int fd = new_memfd(MIB);

	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(regions); i++)
		regions[i] = region(i * 8192ull, 4096, i * 4096ull, fd);
	assert_int_equal(aero_guest_memory_set(&rig->mem, regions, TEST_ARRAY_SIZE(regions)),
			 AERO_ENOSPC);
	assert_int_equal(rig->mem.count, 0);
	assert_int_equal(aero_guest_memory_set(&rig->mem, regions, AERO_GUEST_MEMORY_REGIONS_MAX),
			 AERO_OK);
	assert_int_equal(aero_guest_memory_add(&rig->mem, &regions[32]), AERO_ENOSPC);
	assert_int_equal(aero_guest_memory_set(&rig->mem, NULL, 0), AERO_OK);
	assert_int_equal(rig->mem.count, 0);
	close(fd);
}

static void test_add_and_remove_leave_the_others(void **state)
{
	struct rig *rig = *state;
	int fd = new_memfd(4 * MIB);
	struct aero_guest_region low = region(0, MIB, 0, fd);
	struct aero_guest_region mid = region(MIB, MIB, MIB, fd);
	struct aero_guest_region high = region(3 * MIB, MIB, 2 * MIB, fd);
	struct aero_guest_region wrong = mid;
	uint8_t *first;

	assert_int_equal(aero_guest_memory_add(&rig->mem, &high), AERO_OK);
	assert_int_equal(aero_guest_memory_add(&rig->mem, &low), AERO_OK);
	first = at(rig, 0);
	assert_int_equal(aero_guest_memory_add(&rig->mem, &mid), AERO_OK);
	close(fd);
	assert_int_equal(is_ram(rig, 0, 10000), 512);
	wrong.bytes = 4096;
	assert_int_equal(aero_guest_memory_remove(&rig->mem, &wrong), AERO_ENOENT);
	wrong = mid;
	wrong.uva++;
	assert_int_equal(aero_guest_memory_remove(&rig->mem, &wrong), AERO_ENOENT);
	wrong = mid;
	wrong.gpa += 4096;
	assert_int_equal(aero_guest_memory_remove(&rig->mem, &wrong), AERO_ENOENT);
	mid.fd = -1;
	mid.offset = 77;
	assert_int_equal(aero_guest_memory_remove(&rig->mem, &mid), AERO_OK);
	assert_int_equal(aero_guest_memory_remove(&rig->mem, &mid), AERO_ENOENT);
	assert_ptr_equal(at(rig, 0), first);
	assert_null(at(rig, MIB));
	assert_non_null(at(rig, 3 * MIB));
	assert_int_equal(is_ram(rig, 0, 10000), 256);
}

static void test_uva_to_gpa_stays_in_one_region(void **state)
{
	struct rig *rig = *state;
	int fd = new_memfd(4 * MIB);
	struct aero_guest_region regions[2] = {
		{ 16 * MIB, MIB, 0x10000000, 0, fd },
		{ 0, MIB, 0x10000000 + MIB, MIB, fd },
	};
	aero_gpa gpa = 1;

	assert_int_equal(aero_guest_memory_set(&rig->mem, regions, 2), AERO_OK);
	close(fd);
	assert_int_equal(aero_guest_memory_uva_to_gpa(&rig->mem, 0x10000010, 16, &gpa), AERO_OK);
	assert_int_equal(gpa, 16 * MIB + 16);
	assert_int_equal(aero_guest_memory_uva_to_gpa(&rig->mem, 0x10000000, MIB, &gpa), AERO_OK);
	assert_int_equal(aero_guest_memory_uva_to_gpa(&rig->mem, 0x10000000, MIB + 1, &gpa),
			 AERO_ERANGE);
	assert_int_equal(aero_guest_memory_uva_to_gpa(&rig->mem, 0x10000001, MIB, &gpa),
			 AERO_ERANGE);
	assert_int_equal(aero_guest_memory_uva_to_gpa(&rig->mem, 0x10000000 + MIB, 1, &gpa),
			 AERO_OK);
	assert_int_equal(gpa, 0);
	assert_int_equal(aero_guest_memory_uva_to_gpa(&rig->mem, 0xfffffff, 1, &gpa), AERO_ERANGE);
	assert_int_equal(aero_guest_memory_uva_to_gpa(&rig->mem, 0x10000000 + 2 * MIB, 1, &gpa),
			 AERO_ERANGE);
	assert_int_equal(aero_guest_memory_uva_to_gpa(&rig->mem, 0x10000000, UINT64_MAX, &gpa),
			 AERO_ERANGE);
}

/* Residency ----------------------------------------------------------------------------------- */

struct seen {
	struct aero_range ranges[16];
	unsigned int count;
	unsigned int stop_after;
};

static bool see(void *ctx, struct aero_range range)
{
	struct seen *seen = ctx;

	assert_true(seen->count < 16);
	seen->ranges[seen->count++] = range;
	return seen->count != seen->stop_after;
}

static void expect_seen(struct rig *rig, aero_frame first, uint64_t count, const uint64_t *want,
			unsigned int want_count)
{
	struct aero_range range = { first, count };
	struct seen seen = { .count = 0 };

	assert_int_equal(aero_guest_memory_for_each_resident(&rig->mem, range, see, &seen),
			 AERO_OK);
	assert_int_equal(seen.count, want_count);
	for (unsigned int i = 0; i < want_count; i++) {
		assert_int_equal(seen.ranges[i].first, want[2 * i]);
		assert_int_equal(seen.ranges[i].count, want[2 * i + 1]);
	}
}

static void test_resident_ranges_of_shared_memory(void **state)
{
	static const uint64_t all[] = { 0, 1, 10, 20, 255, 1, 512, 3 };
	static const uint64_t some[] = { 15, 10 };
	struct rig *rig = *state;
	int fd = new_memfd(2 * MIB);
	struct aero_guest_region regions[2] = {
		region(0, MIB, 0, fd),
		region(2 * MIB, MIB, MIB, fd),
	};
	struct seen seen = { .stop_after = 2 };
	struct aero_range everything = { 0, UINT64_MAX };

	assert_int_equal(aero_guest_memory_set(&rig->mem, regions, 2), AERO_OK);
	close(fd);
	*at(rig, 0) = 1;
	memset(at(rig, 10 * 4096), 1, 20 * 4096);
	*at(rig, 255 * 4096) = 1;
	memset(at(rig, 2 * MIB), 1, 3 * 4096);
	expect_seen(rig, 0, UINT64_MAX, all, 4);
	expect_seen(rig, 15, 10, some, 1);
	expect_seen(rig, 30, 200, NULL, 0);
	expect_seen(rig, 256, 200, NULL, 0);
	assert_int_equal(aero_guest_memory_for_each_resident(&rig->mem, everything, see, &seen),
			 AERO_OK);
	assert_int_equal(seen.count, 2);
}

static void test_resident_ranges_of_private_memory(void **state)
{
	static const uint64_t all[] = { 2, 3, 255, 1 };
	static const uint64_t some[] = { 3, 1 };
	struct rig *rig = *state;
	uint8_t *memory =
		mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	madvise(memory, MIB, MADV_NOHUGEPAGE);
	assert_int_equal(aero_guest_memory_add_anonymous(&rig->mem, 0, memory, MIB), AERO_OK);
	memset(memory + 2 * 4096, 1, 3 * 4096);
	memory[MIB - 1] = 1;
	expect_seen(rig, 0, 256, all, 2);
	expect_seen(rig, 3, 1, some, 1);
	aero_guest_memory_fini(&rig->mem);
	munmap(memory, MIB);
}

static void test_resident_bytes_count_a_file_once(void **state)
{
	struct rig *rig = *state;
	int fd = new_memfd(2 * MIB);
	struct aero_guest_region regions[2] = {
		region(0, MIB, 0, fd),
		region(2 * MIB, MIB, MIB, fd),
	};

	assert_int_equal(aero_guest_memory_set(&rig->mem, regions, 2), AERO_OK);
	close(fd);
	memset(at(rig, 0), 1, MIB);
	memset(at(rig, 2 * MIB), 1, MIB / 2);
	assert_int_equal(aero_guest_memory_resident_bytes(&rig->mem), MIB + MIB / 2);
}

/* Truncation ---------------------------------------------------------------------------------- */

/* cmocka puts its own handler in force for each test; a later init() has to put ours back. */
static void take_sigbus_back(void)
{
	struct aero_guest_memory_config config = { NULL, NULL };
	struct aero_guest_memory other;

	aero_guest_memory_init(&other, &config);
	aero_guest_memory_fini(&other);
}

static void test_truncated_file_reads_zeros_and_says_so_once(void **state)
{
	struct rig *rig = *state;
	int fd = set_one(rig, MIB);
	volatile uint8_t *memory = at(rig, 0);

	take_sigbus_back();
	memset(at(rig, 0), 0xee, MIB);
	assert_false(aero_guest_memory_has_lost(&rig->mem));
	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(memory[8191], 0xee);
	assert_false(aero_guest_memory_has_lost(&rig->mem));
	assert_int_equal(memory[8192], 0);
	memory[MIB - 1] = 5;
	assert_int_equal(memory[MIB - 1], 5);
	assert_true(aero_guest_memory_has_lost(&rig->mem));
	assert_true(aero_guest_memory_has_lost(&rig->mem));
	assert_non_null(strstr(rig->lines, "region at 0: a page is gone from its file"));
	assert_ptr_equal(strchr(rig->lines, '\n'), rig->lines + strlen(rig->lines) - 1);
	close(fd);
}

static void test_truncated_file_can_still_be_discarded(void **state)
{
	struct rig *rig = *state;
	int fd = set_one(rig, MIB);
	uint64_t freed;

	memset(at(rig, 0), 0xee, MIB);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(discard(rig, 0, 256, &freed), AERO_OK);
	assert_int_equal(freed, 0);
	close(fd);
}

static void test_new_regions_are_not_lost(void **state)
{
	struct rig *rig = *state;
	int fd = set_one(rig, MIB);

	take_sigbus_back();
	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
	*(volatile uint8_t *)at(rig, 0) = 1;
	assert_true(aero_guest_memory_has_lost(&rig->mem));
	close(set_one(rig, MIB));
	assert_false(aero_guest_memory_has_lost(&rig->mem));
}

/* Touches a page of a truncated file that is not guest memory. */
static int child_of_foreign_fault(void)
{
	int fd = new_memfd(4096);
	volatile uint8_t *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	if (ftruncate(fd, 0))
		return 99;
	return page[0];
}

static void test_foreign_sigbus_still_kills(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		signal(SIGBUS, SIG_DFL);
		take_sigbus_back();
		_exit(child_of_foreign_fault());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
}

static void exit_42(int number)
{
	(void)number;
	_exit(42);
}

static void test_foreign_sigbus_reaches_earlier_handler(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		signal(SIGBUS, exit_42);
		take_sigbus_back();
		_exit(child_of_foreign_fault());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
}

/* Identity ------------------------------------------------------------------------------------ */

static void test_same_memory_is_recognised_by_file(void **state)
{
	struct rig *rig = *state;
	int fd = new_memfd(2 * MIB);
	int other = new_memfd(2 * MIB);
	struct aero_guest_region one = region(0, MIB, 0, fd);
	struct aero_guest_memory_identity first;
	struct aero_guest_memory_identity again;

	aero_guest_memory_identify(&rig->mem, &first);
	assert_false(aero_guest_memory_same(&first, &first));
	assert_int_equal(aero_guest_memory_set(&rig->mem, &one, 1), AERO_OK);
	aero_guest_memory_identify(&rig->mem, &first);
	assert_true(aero_guest_memory_same(&first, &first));
	one.uva += 4096;
	assert_int_equal(aero_guest_memory_set(&rig->mem, &one, 1), AERO_OK);
	aero_guest_memory_identify(&rig->mem, &again);
	assert_true(aero_guest_memory_same(&first, &again));
	for (int i = 0; i < 4; i++) {
		struct aero_guest_region changed = one;

		changed.fd = i == 0 ? other : fd;
		changed.gpa = i == 1 ? MIB : 0;
		changed.offset = i == 2 ? MIB : 0;
		changed.bytes = i == 3 ? MIB / 2 : MIB;
		assert_int_equal(aero_guest_memory_set(&rig->mem, &changed, 1), AERO_OK);
		aero_guest_memory_identify(&rig->mem, &again);
		assert_false(aero_guest_memory_same(&first, &again));
	}
	close(fd);
	close(other);
}

static void test_private_memory_is_never_the_same(void **state)
{
	struct rig *rig = *state;
	struct aero_guest_memory_identity id;
	uint8_t *memory =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	close(set_one(rig, MIB));
	assert_int_equal(aero_guest_memory_add_anonymous(&rig->mem, MIB, memory, 4096), AERO_OK);
	aero_guest_memory_identify(&rig->mem, &id);
	assert_false(aero_guest_memory_same(&id, &id));
	aero_guest_memory_fini(&rig->mem);
	munmap(memory, 4096);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_set_maps_the_file_at_its_offset),
		CASE(test_translate_ends_with_the_region),
		CASE(test_translate_outside_is_null),
		CASE(test_is_ram_counts_up_to_the_first_hole),
		CASE(test_set_bad_region_refused_and_old_kept),
		CASE(test_set_overlap_refused),
		CASE(test_set_overlapping_user_addresses_refused),
		CASE(test_set_too_many_refused),
		CASE(test_add_and_remove_leave_the_others),
		CASE(test_uva_to_gpa_stays_in_one_region),
		CASE(test_resident_ranges_of_shared_memory),
		CASE(test_resident_ranges_of_private_memory),
		CASE(test_resident_bytes_count_a_file_once),
		CASE(test_truncated_file_reads_zeros_and_says_so_once),
		CASE(test_truncated_file_can_still_be_discarded),
		CASE(test_new_regions_are_not_lost),
		CASE(test_foreign_sigbus_still_kills),
		CASE(test_foreign_sigbus_reaches_earlier_handler),
		CASE(test_same_memory_is_recognised_by_file),
		CASE(test_private_memory_is_never_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
