/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/guest_kernel.h"
#include "hosted/initrd.h"
#include "support/fake_kernel.h"

#include <unistd.h>

/* Found nowhere but where the test puts it. */
#define OWN_MODULE "kernel/test/aerostat_only.ko"

struct rig {
	char dir[TEST_DIR_MAX];
	char path[TEST_PATH_MAX];
	struct aero_guest_kernel kernel;
	struct aero_error error;
};

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	test_dir_make(rig->dir);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	test_dir_remove(rig->dir);
	free(rig);
	return 0;
}

/* The head of a bzImage with its version at 0x200 + offset. */
static void write_kernel(struct rig *rig, const char *name, const char *version, uint16_t offset)
{
	uint8_t image[4096] = { 0 };

	memcpy(image + 0x202, "HdrS", 4);
	image[0x20e] = (uint8_t)offset;
	image[0x20f] = (uint8_t)(offset >> 8);
	memcpy(image + 0x200 + offset, version, strlen(version) + 1);
	test_write(rig->dir, name, image, sizeof(image));
	test_path(rig->path, rig->dir, name);
}

static void refuse(struct rig *rig, const char *path, const char *part)
{
	assert_int_equal(aero_guest_kernel_read(path, &rig->kernel, &rig->error), AERO_EIO);
	if (!strstr(rig->error.text, part))
		fail_msg("'%s' does not say '%s'", rig->error.text, part);
}

static void test_read_takes_the_release_from_the_file(void **state)
{
	struct rig *rig = *state;
	char wanted[TEST_PATH_MAX];

	assert_int_equal(test_shell("mkdir '%s/boot'", rig->dir), 0);
	write_kernel(rig, "boot/vmlinuz-other", "6.1.0-56-amd64 (debian) #1 SMP", 0x3456 % 2048);
	assert_int_equal(aero_guest_kernel_read(rig->path, &rig->kernel, &rig->error), AERO_OK);
	assert_string_equal(rig->kernel.release, "6.1.0-56-amd64");
	assert_string_equal(rig->kernel.path, rig->path);
	test_path(wanted, rig->dir, "lib/modules");
	assert_string_equal(rig->kernel.modules, wanted);
}

static void test_read_refuses_what_is_no_kernel(void **state)
{
	struct rig *rig = *state;

	refuse(rig, "/nowhere/vmlinuz", "no kernel at /nowhere/vmlinuz");
	refuse(rig, "/bin/busybox", "no Linux kernel for x86");
	refuse(rig, rig->dir, "");
	write_kernel(rig, "k", "6.1.0 x", 0x100);
	assert_int_equal(truncate(rig->path, 0x209), 0);
	refuse(rig, rig->path, "no Linux kernel for x86");
}

static void test_read_does_not_trust_the_version(void **state)
{
	static const char *const versions[] = { "", " 6.1", "../../etc x", "6.1\n x", "6.1" };
	struct rig *rig = *state;
	char endless[200];

	for (size_t i = 0; i < TEST_ARRAY_SIZE(versions); i++) {
		write_kernel(rig, "k", versions[i], 0x100);
		refuse(rig, rig->path, "no Linux kernel for x86");
	}
	memset(endless, '6', sizeof(endless) - 1);
	endless[sizeof(endless) - 1] = '\0';
	write_kernel(rig, "k", endless, 0x100);
	refuse(rig, rig->path, "no Linux kernel for x86");
	/* One that is said to lie behind the file's end. */
	write_kernel(rig, "k", "6.1 x", 0x100);
	assert_int_equal(test_shell("printf '\\377\\377' | dd of='%s' bs=1 seek=%d conv=notrunc "
				    "2>/dev/null",
				    rig->path, 0x20e),
			 0);
	refuse(rig, rig->path, "no Linux kernel for x86");
}

static void add_cached(struct rig *rig, const char *release, const char *module)
{
	char name[128], version[128];

	assert_int_equal(test_shell("cd '%s' && mkdir -p aerostat/linux/boot && cd aerostat/linux "
				    "&& mkdir -p lib/modules/%s/%s && rmdir lib/modules/%s/%s && "
				    "echo x >lib/modules/%s/%s",
				    rig->dir, release, module, release, module, release, module),
			 0);
	snprintf(name, sizeof(name), "aerostat/linux/boot/vmlinuz-%s", release);
	snprintf(version, sizeof(version), "%s (x)", release);
	write_kernel(rig, name, version, 0x100);
}

static void test_find_takes_the_newest_that_has_the_module(void **state)
{
	struct rig *rig = *state;

	setenv("XDG_CACHE_HOME", rig->dir, 1);
	assert_int_equal(aero_guest_kernel_find(OWN_MODULE, &rig->kernel, &rig->error), AERO_EIO);
	assert_non_null(strstr(rig->error.text, "scripts/guest-kernel"));
	add_cached(rig, "6.1.0-9-amd64", OWN_MODULE);
	add_cached(rig, "6.1.0-56-amd64", OWN_MODULE ".xz");
	add_cached(rig, "6.12.0-1-amd64", "kernel/other.ko");
	assert_int_equal(aero_guest_kernel_find(OWN_MODULE, &rig->kernel, &rig->error), AERO_OK);
	assert_string_equal(rig->kernel.release, "6.1.0-56-amd64");
	unsetenv("XDG_CACHE_HOME");
}

static void test_initrd_of_a_vmware_guest(void **state)
{
	struct rig *rig = *state;
	struct aero_initrd_config config = { .machine = AERO_INITRD_VMWARE };
	struct aero_initrd_info info;
	char initrd[TEST_PATH_MAX];

	write_kernel(rig, "vmlinuz", "6.9.9-test #1", 0x100);
	test_write_text(rig->dir, "vmw_balloon.ko", "\177ELFa", 0644);
	test_write_text(rig->dir, "vmw_vmci.ko", "\177ELFb", 0644);
	config.kernel = rig->path;
	config.modules = rig->dir;
	test_path(initrd, rig->dir, "initrd");
	if (aero_initrd_build(&config, initrd, &info, &rig->error) != AERO_OK)
		fail_msg("%s", rig->error.text);
	assert_string_equal(info.release, "6.9.9-test");
	assert_string_equal(info.kernel, rig->path);
	assert_int_equal(info.module_count, 2);
	assert_int_equal(test_shell("cd '%s' && mkdir out && cd out && busybox cpio -id <../initrd "
				    "2>/dev/null && printf 'vmw_vmci\\nvmw_balloon\\n' | "
				    "cmp - modules/order && grep -q ttyS1 machine && "
				    "busybox sh -n machine",
				    rig->dir),
			 0);
}

/* virtio_pci first, and what both drivers need once. */
static void test_initrd_of_a_guest_with_virtio_on_pci(void **state)
{
	static const char *const modules[] = { "virtio.ko",	    "virtio_ring.ko",
					       "virtio_pci.ko",	    "virtio_pci_legacy_dev.ko",
					       "virtio_balloon.ko", "virtio_pci_modern_dev.ko" };
	struct rig *rig = *state;
	struct aero_initrd_config config = { .machine = AERO_INITRD_QEMU };
	struct aero_initrd_info info;
	char initrd[TEST_PATH_MAX];

	write_kernel(rig, "vmlinuz", "6.9.9-test #1", 0x100);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(modules); i++)
		test_write_text(rig->dir, modules[i], "\177ELFa", 0644);
	config.kernel = rig->path;
	config.modules = rig->dir;
	test_path(initrd, rig->dir, "initrd");
	if (aero_initrd_build(&config, initrd, &info, &rig->error) != AERO_OK)
		fail_msg("%s", rig->error.text);
	assert_int_equal(info.module_count, 6);
	assert_int_equal(test_shell("cd '%s' && mkdir out && cd out && busybox cpio -id <../initrd "
				    "2>/dev/null && printf '%%s\\n' virtio_ring virtio "
				    "virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci "
				    "virtio_balloon | cmp - modules/order && "
				    "grep -q ttyS1 machine && grep -q find_driver machine && "
				    "busybox sh -n machine",
				    rig->dir),
			 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_read_takes_the_release_from_the_file),
		CASE(test_read_refuses_what_is_no_kernel),
		CASE(test_read_does_not_trust_the_version),
		CASE(test_find_takes_the_newest_that_has_the_module),
		CASE(test_initrd_of_a_vmware_guest),
		CASE(test_initrd_of_a_guest_with_virtio_on_pci),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
