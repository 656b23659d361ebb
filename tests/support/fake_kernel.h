/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_FAKE_KERNEL_H
#define AEROSTAT_TESTS_SUPPORT_FAKE_KERNEL_H

/* A directory for one test, and shell scripts that answer like a User Mode Linux kernel. */

#include <stddef.h>

#define TEST_DIR_MAX 64
#define TEST_PATH_MAX 512

/* A configuration with all that a guest needs; the balloon driver is a module. */
#define FAKE_CONFIG                                                      \
	"CONFIG_BLK_DEV_INITRD=y\nCONFIG_VIRTIO_UML=y\nCONFIG_TMPFS=y\n" \
	"CONFIG_VIRTIO_BALLOON=m\n"
#define FAKE_RELEASE "6.9.9-test"

/*
 * All of these fail the running test if they do not succeed. Paths are put together in out, of
 * TEST_PATH_MAX bytes, which is also the answer.
 */
void test_dir_make(char dir[TEST_DIR_MAX]);
void test_dir_remove(const char *dir);
char *test_path(char *out, const char *dir, const char *name);
void test_write(const char *dir, const char *name, const void *data, size_t len);
void test_write_text(const char *dir, const char *name, const char *text, unsigned int mode);

/* Runs a shell command; answers its exit status. */
int test_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * A "kernel" called name in dir: answers --version and --showconfig, else runs body, a shell script
 * with the guest's console as descriptor 3.
 */
void test_fake_kernel(const char *dir, const char *name, const char *config, const char *body);

#endif
