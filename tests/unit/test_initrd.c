/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/capture.h"
#include "hosted/cpio.h"
#include "hosted/initrd.h"
#include "hosted/module_tree.h"
#include "support/fake_kernel.h"

#include <sys/stat.h>
#include <unistd.h>

#define ELF_A "\177ELF module a"
#define ELF_B "\177ELF module b"

/* One entry of an archive, read without the code under test. */
struct entry {
	const char *data;
	unsigned int mode;
	unsigned int len;
	unsigned int major;
	unsigned int minor;
};

struct rig {
	char dir[TEST_DIR_MAX];
	char kernel[TEST_PATH_MAX];
	char initrd[TEST_PATH_MAX];
	struct aero_initrd_config config;
	struct aero_initrd_info info;
	struct aero_error error;
	struct aero_bytes archive;
};

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	test_dir_make(rig->dir);
	test_path(rig->initrd, rig->dir, "initrd");
	rig->config.kernel = test_path(rig->kernel, rig->dir, "kernel");
	rig->config.modules = rig->dir;
	rig->config.busybox = "/bin/busybox";
	test_fake_kernel(rig->dir, "kernel", FAKE_CONFIG, "exit 1");
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	aero_bytes_free(&rig->archive);
	test_dir_remove(rig->dir);
	free(rig);
	return 0;
}

static enum aero_status build(struct rig *rig)
{
	return aero_initrd_build(&rig->config, rig->initrd, &rig->info, &rig->error);
}

static void build_well(struct rig *rig)
{
	if (build(rig) != AERO_OK)
		fail_msg("%s", rig->error.text);
	assert_int_equal(aero_capture_file(rig->initrd, &rig->archive, &rig->error), AERO_OK);
}

static void build_badly(struct rig *rig, enum aero_status status, const char *part)
{
	assert_int_equal(build(rig), status);
	assert_int_equal(rig->error.status, status);
	if (!strstr(rig->error.text, part))
		fail_msg("'%s' does not say '%s'", rig->error.text, part);
}

static unsigned int field(const char *header, int index)
{
	char digits[9] = "";

	memcpy(digits, header + 6 + index * 8, 8);
	return (unsigned int)strtoul(digits, NULL, 16);
}

/* Walks the archive to a path; fails on a broken one. */
static bool find(const struct aero_bytes *archive, const char *path, struct entry *out)
{
	const char *at = archive->data;

	while (true) {
		const char *name = at + 110;
		unsigned int name_len = field(at, 11);
		size_t body = ((size_t)(name + name_len - archive->data) + 3) & ~(size_t)3;

		assert_memory_equal(at, "070701", 6);
		assert_int_equal(strlen(name) + 1, name_len);
		*out = (struct entry){ .data = archive->data + body,
				       .mode = field(at, 1),
				       .len = field(at, 6),
				       .major = field(at, 9),
				       .minor = field(at, 10) };
		assert_true(body + out->len <= archive->len);
		if (strcmp(name, path) == 0)
			return true;
		if (strcmp(name, "TRAILER!!!") == 0)
			return false;
		at = archive->data + ((body + out->len + 3) & ~(size_t)3);
	}
}

static void expect_file(struct rig *rig, const char *path, const char *content)
{
	struct entry entry;

	if (!find(&rig->archive, path, &entry))
		fail_msg("no %s in the archive", path);
	assert_int_equal(entry.len, strlen(content));
	assert_memory_equal(entry.data, content, entry.len);
}

static void test_cpio_file_has_bytes_of_the_format(void **state)
{
	static const char wanted[] = "070701"
				     "00000001"
				     "000081a4"
				     "00000000"
				     "00000000"
				     "00000001"
				     "00000000"
				     "00000003"
				     "00000000"
				     "00000000"
				     "00000000"
				     "00000000"
				     "00000003"
				     "00000000"
				     "hi\0\0\0\0abc\0"; /* 110 + 3 is padded to 116 */
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct aero_cpio cpio;

	(void)state;
	aero_cpio_init(&cpio, out);
	assert_int_equal(aero_cpio_file(&cpio, "hi", 0644, "abc", 3), AERO_OK);
	assert_int_equal(fflush(out), 0);
	assert_int_equal(len, 120);
	assert_memory_equal(text, wanted, 113);
	assert_memory_equal(text + 113, "\0\0\0abc\0", 7);
	assert_int_equal(aero_cpio_finish(&cpio), AERO_OK);
	assert_int_equal(len, 512);
	fclose(out);
	free(text);
}

static void test_cpio_full_device_is_io_error(void **state)
{
	FILE *out = fopen("/dev/full", "w");
	struct aero_cpio cpio;

	(void)state;
	aero_cpio_init(&cpio, out);
	(void)aero_cpio_directory(&cpio, "x", 0755);
	assert_int_equal(aero_cpio_finish(&cpio), AERO_EIO);
	fclose(out);
}

static void test_initrd_flat_modules_in_order(void **state)
{
	struct rig *rig = *state;
	struct entry entry;

	test_write_text(rig->dir, "virtio_balloon.ko", ELF_A, 0644);
	test_write_text(rig->dir, "virtio_ring.ko", ELF_B, 0644);
	build_well(rig);
	assert_string_equal(rig->info.release, FAKE_RELEASE);
	assert_int_equal(rig->info.module_count, 2);
	assert_false(rig->info.is_built_in);
	expect_file(rig, "modules/order", "virtio_ring\nvirtio_balloon\n");
	expect_file(rig, "modules/virtio_balloon.ko", ELF_A);
	expect_file(rig, "modules/virtio_ring.ko", ELF_B);
	assert_true(find(&rig->archive, "init", &entry));
	assert_int_equal(entry.mode, S_IFREG | 0755);
	assert_memory_equal(entry.data, "#!/bin/busybox sh\n", 18);
	assert_true(find(&rig->archive, "dev/tty1", &entry));
	assert_int_equal(entry.mode, S_IFCHR | 0600);
	assert_int_equal(entry.major, 4);
	assert_int_equal(entry.minor, 1);
	assert_true(find(&rig->archive, "proc", &entry));
	assert_int_equal(entry.mode, S_IFDIR | 0755);
}

static void test_initrd_is_read_by_another_cpio(void **state)
{
	struct rig *rig = *state;

	test_write_text(rig->dir, "virtio_balloon.ko", ELF_A, 0644);
	build_well(rig);
	assert_int_equal(test_shell("cd '%s' && mkdir out && cd out && "
				    "busybox cpio -id <../initrd 2>/dev/null && "
				    "cmp bin/busybox /bin/busybox && "
				    "cmp modules/virtio_balloon.ko ../virtio_balloon.ko && "
				    "busybox sh -n init",
				    rig->dir),
			 0);
}

static void test_initrd_is_private(void **state)
{
	struct rig *rig = *state;
	struct stat file;

	test_write_text(rig->dir, "virtio_balloon.ko", ELF_A, 0644);
	build_well(rig);
	assert_int_equal(stat(rig->initrd, &file), 0);
	assert_int_equal(file.st_mode & 0777, 0600);
}

static void test_initrd_compressed_modules_are_unpacked(void **state)
{
	static const char *const commands[] = { "xz", "gzip", "zstd --rm" };
	struct rig *rig = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(commands); i++) {
		aero_bytes_free(&rig->archive);
		test_write_text(rig->dir, "virtio_balloon.ko", ELF_A, 0644);
		assert_int_equal(
			test_shell("cd '%s' && %s -q virtio_balloon.ko", rig->dir, commands[i]), 0);
		build_well(rig);
		expect_file(rig, "modules/virtio_balloon.ko", ELF_A);
		assert_int_equal(test_shell("rm '%s'/virtio_balloon.ko.*", rig->dir), 0);
	}
}

static void test_initrd_damaged_module_is_named(void **state)
{
	struct rig *rig = *state;

	test_write_text(rig->dir, "virtio_balloon.ko.xz", "no xz at all", 0644);
	build_badly(rig, AERO_EIO, "virtio_balloon.ko.xz");
	assert_int_equal(test_shell("rm '%s'/*.xz", rig->dir), 0);
	test_write_text(rig->dir, "virtio_balloon.ko", "no ELF", 0644);
	build_badly(rig, AERO_EIO, "virtio_balloon.ko is no kernel module");
}

static void test_initrd_missing_module_is_named(void **state)
{
	struct rig *rig = *state;

	build_badly(rig, AERO_EIO, "no virtio_balloon.ko for kernel " FAKE_RELEASE);
	test_write_text(rig->dir, "modules.dep", "kernel/other.ko:\n", 0644);
	build_badly(rig, AERO_EIO, "modules.dep does not name virtio_balloon.ko");
	test_write_text(rig->dir, "modules.dep", "kernel/virtio_balloon.ko:\n", 0644);
	build_badly(rig, AERO_EIO, "kernel/virtio_balloon.ko");
}

static void test_initrd_built_in_needs_no_modules(void **state)
{
	struct rig *rig = *state;

	test_fake_kernel(rig->dir, "kernel",
			 "CONFIG_BLK_DEV_INITRD=y\nCONFIG_VIRTIO_UML=y\nCONFIG_TMPFS=y\n"
			 "CONFIG_VIRTIO_BALLOON=y\n",
			 "exit 1");
	rig->config.modules = "/nonexistent";
	build_well(rig);
	assert_true(rig->info.is_built_in);
	assert_int_equal(rig->info.module_count, 0);
	expect_file(rig, "modules/order", "");
}

static void test_initrd_kernel_without_support_is_refused(void **state)
{
	struct rig *rig = *state;

	test_fake_kernel(rig->dir, "kernel",
			 "CONFIG_BLK_DEV_INITRD=y\nCONFIG_VIRTIO_UML=y\nCONFIG_TMPFS=y\n"
			 "# CONFIG_VIRTIO_BALLOON is not set\n",
			 "exit 1");
	build_badly(rig, AERO_ENOTSUP, "without CONFIG_VIRTIO_BALLOON");
	test_fake_kernel(rig->dir, "kernel",
			 "CONFIG_BLK_DEV_INITRD=y\nCONFIG_VIRTIO_UML=m\nCONFIG_TMPFS=y\n",
			 "exit 1");
	build_badly(rig, AERO_ENOTSUP, "without CONFIG_VIRTIO_UML=y");
}

static void test_initrd_relative_kernel_becomes_absolute(void **state)
{
	struct rig *rig = *state;
	char here[TEST_PATH_MAX];
	char wanted[TEST_PATH_MAX];

	test_write_text(rig->dir, "virtio_balloon.ko", ELF_A, 0644);
	assert_non_null(getcwd(here, sizeof(here)));
	assert_int_equal(chdir(rig->dir), 0);
	rig->config.kernel = "./kernel";
	build_well(rig);
	assert_int_equal(chdir(here), 0);
	assert_string_equal(rig->info.kernel, test_path(wanted, rig->dir, "./kernel"));
}

static void test_initrd_wrong_kernel_file_is_told(void **state)
{
	struct rig *rig = *state;

	rig->config.kernel = "/nonexistent/linux";
	build_badly(rig, AERO_EIO, "no kernel at /nonexistent/linux");
	rig->config.kernel = "no-such-kernel";
	build_badly(rig, AERO_EIO, "install the package user-mode-linux");
	rig->config.kernel = "/etc/passwd";
	build_badly(rig, AERO_EIO, "/etc/passwd cannot be executed");
	rig->config.kernel = "/bin/sh";
	build_badly(rig, AERO_EIO, "/bin/sh is no User Mode Linux kernel");
	rig->config.kernel = "/bin/cat";
	build_badly(rig, AERO_EIO, "/bin/cat is no User Mode Linux kernel");
	rig->config.kernel = rig->kernel;
	test_write_text(rig->dir, "kernel", "\177ELF but not really", 0755);
	build_badly(rig, AERO_EIO, "is no User Mode Linux kernel");
}

static void test_initrd_wrong_busybox_is_told(void **state)
{
	struct rig *rig = *state;

	test_write_text(rig->dir, "virtio_balloon.ko", ELF_A, 0644);
	rig->config.busybox = "/nonexistent/busybox";
	build_badly(rig, AERO_EIO, "install the package busybox-static");
	rig->config.busybox = "/bin/cat";
	build_badly(rig, AERO_ENOTSUP, "not statically linked");
	rig->config.busybox = "/etc/passwd";
	build_badly(rig, AERO_ENOTSUP, "not statically linked");
}

static void test_initrd_unwritable_file_is_named(void **state)
{
	struct rig *rig = *state;

	test_write_text(rig->dir, "virtio_balloon.ko", ELF_A, 0644);
	strcpy(rig->initrd, "/nonexistent/initrd");
	build_badly(rig, AERO_EIO, "cannot write /nonexistent/initrd");
	strcpy(rig->initrd, "/dev/full");
	build_badly(rig, AERO_EIO, "cannot write /dev/full");
}

static void test_module_tree_dependencies_last_first(void **state)
{
	struct rig *rig = *state;
	struct aero_module_list list;
	char path[TEST_PATH_MAX];

	test_path(path, rig->dir, FAKE_RELEASE);
	assert_int_equal(mkdir(path, 0755), 0);
	test_write_text(path, "modules.dep",
			"kernel/virtio-ring.ko.xz: kernel/virtio.ko\n"
			"kernel/not_virtio_balloon.ko: kernel/no.ko\n"
			"kernel/virtio-balloon.ko: kernel/virtio-ring.ko.xz kernel/virtio.ko\n"
			"kernel/virtio_balloon_more.ko: kernel/no.ko\n",
			0644);
	assert_int_equal(aero_module_tree_find(rig->dir, FAKE_RELEASE, "virtio_balloon", &list,
					       &rig->error),
			 AERO_OK);
	assert_int_equal(list.count, 3);
	assert_string_equal(strrchr(list.path[0], '/'), "/virtio.ko");
	assert_string_equal(strrchr(list.path[1], '/'), "/virtio-ring.ko.xz");
	assert_string_equal(strrchr(list.path[2], '/'), "/virtio-balloon.ko");
	assert_memory_equal(list.path[2], path, strlen(path));
	/* The directory itself may be named, too. */
	assert_int_equal(aero_module_tree_find(path, FAKE_RELEASE, "virtio", &list, &rig->error),
			 AERO_EIO);
	assert_int_equal(aero_module_tree_find(path, "other", "virtio_ring", &list, &rig->error),
			 AERO_OK);
	assert_int_equal(list.count, 2);
}

static void test_module_tree_too_many_dependencies_is_told(void **state)
{
	struct rig *rig = *state;
	struct aero_module_list list;
	char text[1024] = "a.ko:";

	for (int i = 0; i < AERO_MODULES_MAX; i++)
		strcat(text, " b.ko");
	test_write_text(rig->dir, "modules.dep", text, 0644);
	assert_int_equal(aero_module_tree_find(rig->dir, "", "a", &list, &rig->error), AERO_ENOSPC);
}

static void test_capture_program_hang_times_out(void **state)
{
	static const char *const hang[] = { "sleep", "100", NULL };
	static const char *const silent[] = { "sh", "-c", "exec >&-; exec sleep 100", NULL };
	struct rig *rig = *state;

	assert_int_equal(aero_capture_program(hang, 50, &rig->archive, &rig->error),
			 AERO_ETIMEDOUT);
	assert_int_equal(aero_capture_program(silent, 50, &rig->archive, &rig->error),
			 AERO_ETIMEDOUT);
}

static void test_capture_program_large_output_is_whole(void **state)
{
	static const char *const many[] = { "sh", "-c", "yes | head -c 300001", NULL };
	static const char *const failing[] = { "sh", "-c", "echo x; exit 3", NULL };
	struct rig *rig = *state;

	assert_int_equal(aero_capture_program(many, 10000, &rig->archive, &rig->error), AERO_OK);
	assert_int_equal(rig->archive.len, 300001);
	assert_int_equal(strlen(rig->archive.data), 300001);
	aero_bytes_free(&rig->archive);
	assert_int_equal(aero_capture_program(failing, 10000, &rig->archive, &rig->error),
			 AERO_EIO);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpio_file_has_bytes_of_the_format),
		cmocka_unit_test(test_cpio_full_device_is_io_error),
		CASE(test_initrd_flat_modules_in_order),
		CASE(test_initrd_is_read_by_another_cpio),
		CASE(test_initrd_is_private),
		CASE(test_initrd_compressed_modules_are_unpacked),
		CASE(test_initrd_damaged_module_is_named),
		CASE(test_initrd_missing_module_is_named),
		CASE(test_initrd_built_in_needs_no_modules),
		CASE(test_initrd_kernel_without_support_is_refused),
		CASE(test_initrd_relative_kernel_becomes_absolute),
		CASE(test_initrd_wrong_kernel_file_is_told),
		CASE(test_initrd_wrong_busybox_is_told),
		CASE(test_initrd_unwritable_file_is_named),
		CASE(test_module_tree_dependencies_last_first),
		CASE(test_module_tree_too_many_dependencies_is_told),
		CASE(test_capture_program_hang_times_out),
		CASE(test_capture_program_large_output_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
