/* SPDX-License-Identifier: MIT */
/*
 * A plugin for QEMU's TCG that counts the instructions a guest executes, into a file that others
 * can read while it runs:
 *
 *	qemu-system-x86_64 -plugin file=qemu_count.so,count=FILE ...
 *
 * FILE holds one 64-bit number, in the order of bytes of this machine. One processor: additions of
 * several are not atomic. Debian has no header for plugins; what is used of version 1 of that
 * interface stands here.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((__visibility__("default")))
#define INTERFACE 1
#define INLINE_ADD_U64 0

struct qemu_plugin_tb;
typedef void (*translated)(uint64_t id, struct qemu_plugin_tb *block);

extern void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, translated call);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int operation,
						     void *number, uint64_t value);

EXPORT extern int qemu_plugin_version;
EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv);

int qemu_plugin_version = INTERFACE;

static uint64_t *count;

static void add_block(uint64_t id, struct qemu_plugin_tb *block)
{
	(void)id;
	qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, count,
						 qemu_plugin_tb_n_insns(block));
}

static uint64_t *map(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *at = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, sizeof(*count)))
		at = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	return at == MAP_FAILED ? NULL : at;
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++)
		if (!strncmp(argv[i], "count=", 6))
			count = map(argv[i] + 6);
	if (!count) {
		fprintf(stderr, "qemu_count: no file: count=FILE\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, add_block);
	return 0;
}
