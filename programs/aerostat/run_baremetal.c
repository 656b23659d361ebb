/* SPDX-License-Identifier: MIT */
/* ports/baremetal in QEMU: our driver in a kernel of our own, against QEMU's own device. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run_kinds.h"
#include "run_qemu.h"

static const char *const arches[] = {
	[AERO_QEMU_X86_64] = "x86_64",
	[AERO_QEMU_AARCH64] = "aarch64",
	[AERO_QEMU_RISCV64] = "riscv64",
};

/* Below the directory of the program: where it was built, and where it was installed. */
static const char *const places[] = { "ports/baremetal", "../share/aerostat", "../lib/aerostat" };

/* Where this program lies; without a slash at the end. */
static bool find_home(char *out, size_t size)
{
	ssize_t len = readlink("/proc/self/exe", out, size - 1);
	char *slash;

	if (len <= 0)
		return false;
	out[len] = '\0';
	slash = strrchr(out, '/');
	if (slash)
		*slash = '\0';
	return slash;
}

static bool take(const char *path, struct run_qemu_boot *boot)
{
	char absolute[PATH_MAX];

	return realpath(path, absolute) && access(absolute, R_OK) == 0 &&
	       (size_t)snprintf(boot->kernel, sizeof(boot->kernel), "%s", absolute) <
		       sizeof(boot->kernel);
}

static bool find_kernel(const char *arch, struct run_qemu_boot *boot, struct aero_error *error)
{
	char home[PATH_MAX];
	char path[PATH_MAX + 64];
	size_t i;

	for (i = 0; find_home(home, sizeof(home)) && i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s/aerostat-%s.elf", home, places[i], arch);
		if (take(path, boot))
			return true;
	}
	aero_error_set(error, AERO_EIO,
		       "no aerostat-%s.elf beside this program: it is built if the packages clang "
		       "and lld are there; or give --kernel FILE",
		       arch);
	return false;
}

/* What a file is QEMU finds out, and says. */
static bool prepare(const struct run_qemu_guest *guest, const struct run_options *options,
		    struct run_qemu_boot *boot, struct aero_error *error)
{
	boot->initrd[0] = '\0';
	if (!options->kernel)
		return find_kernel(arches[guest->arch], boot, error);
	if (take(options->kernel, boot))
		return true;
	aero_error_set(error, AERO_EIO, "no kernel at %s: %s", options->kernel, strerror(errno));
	return false;
}

static const struct run_qemu_guest x86_64 = {
	.arch = AERO_QEMU_X86_64,
	.is_ours = true,
	.prepare = prepare,
};

static const struct run_qemu_guest aarch64 = {
	.arch = AERO_QEMU_AARCH64,
	.is_ours = true,
	.prepare = prepare,
};

static const struct run_qemu_guest riscv64 = {
	.arch = AERO_QEMU_RISCV64,
	.is_ours = true,
	.prepare = prepare,
};

const struct run_kind run_kind_baremetal_x86_64 = {
	.name = "baremetal-x86_64",
	.alias = "baremetal",
	.title = "our own small kernel in QEMU, a PC, with QEMU's own virtio-balloon",
	.system = "the bare-metal kernel",
	.own = &x86_64,
	.memory_bytes = 1ull << 30,
	.minimum_bytes = 64ull << 20,
	.has_account = true,
	RUN_QEMU_KIND,
};

const struct run_kind run_kind_baremetal_aarch64 = {
	.name = "baremetal-aarch64",
	.title = "the same on 64-bit Arm",
	.system = "the bare-metal kernel",
	.own = &aarch64,
	.memory_bytes = 1ull << 30,
	.minimum_bytes = 64ull << 20,
	.has_account = true,
	RUN_QEMU_KIND,
};

const struct run_kind run_kind_baremetal_riscv64 = {
	.name = "baremetal-riscv64",
	.title = "the same on 64-bit RISC-V",
	.system = "the bare-metal kernel",
	.own = &riscv64,
	.memory_bytes = 1ull << 30,
	.minimum_bytes = 64ull << 20,
	.has_account = true,
	RUN_QEMU_KIND,
};
