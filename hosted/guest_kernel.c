/* SPDX-License-Identifier: MIT */
#include "hosted/guest_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOTS 3
#define SYSTEM_CACHE "/var/cache/aerostat/linux"

/* The head of a bzImage: the version lies within the first sectors. */
#define HEAD_BYTES 32768
#define MAGIC_AT 0x202
#define VERSION_AT 0x20e
#define VERSION_BASE 0x200

/* Directories in the order in which they are looked at; "" is "/". */
static void list_roots(char roots[ROOTS][AERO_GUEST_KERNEL_PATH])
{
	const char *cache = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");

	roots[0][0] = roots[2][0] = '\0';
	snprintf(roots[1], AERO_GUEST_KERNEL_PATH, SYSTEM_CACHE);
	if (cache && cache[0] == '/')
		snprintf(roots[2], AERO_GUEST_KERNEL_PATH, "%s/aerostat/linux", cache);
	else if (home && home[0] == '/')
		snprintf(roots[2], AERO_GUEST_KERNEL_PATH, "%s/.cache/aerostat/linux", home);
}

/* Whether the module is there, compressed or not. */
static bool has_module(const char *root, const char *release, const char *module)
{
	char pattern[PATH_MAX];
	glob_t found;
	bool is_there;

	snprintf(pattern, sizeof(pattern), "%s/lib/modules/%s/%s*", root, release, module);
	is_there = glob(pattern, 0, NULL, &found) == 0;
	if (is_there)
		globfree(&found);
	return is_there;
}

static bool find_below(const char *root, const char *module, char *out_path, size_t size)
{
	char pattern[AERO_GUEST_KERNEL_PATH + 32];
	const char *best = NULL;
	size_t prefix;
	glob_t found;
	size_t i;

	prefix = (size_t)snprintf(pattern, sizeof(pattern), "%s/boot/vmlinuz-*", root) - 1;
	if (glob(pattern, 0, NULL, &found))
		return false;
	for (i = 0; i < found.gl_pathc; i++) {
		const char *path = found.gl_pathv[i];

		if (access(path, R_OK) == 0 && has_module(root, path + prefix, module) &&
		    (!best || strverscmp(path, best) > 0))
			best = path;
	}
	if (best)
		snprintf(out_path, size, "%s", best);
	globfree(&found);
	return best;
}

enum aero_status aero_guest_kernel_find(const char *module, struct aero_guest_kernel *out_kernel,
					struct aero_error *error)
{
	char roots[ROOTS][AERO_GUEST_KERNEL_PATH];
	char path[AERO_GUEST_KERNEL_PATH];
	size_t i;

	list_roots(roots);
	for (i = 0; i < ROOTS; i++) {
		/* An empty first root is "/"; an empty last one is not known. */
		if ((i == 0 || roots[i][0]) && find_below(roots[i], module, path, sizeof(path)))
			return aero_guest_kernel_read(path, out_kernel, error);
	}
	return aero_error_set(error, AERO_EIO,
			      "no Linux kernel with %s: scripts/guest-kernel fetches Debian's, or "
			      "install the package linux-image-amd64",
			      module);
}

static ssize_t read_head(const char *path, unsigned char *head)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? read(fd, head, HEAD_BYTES) : -1;

	if (fd >= 0)
		close(fd);
	return got;
}

/* The first word at the place where the head says that the version is. */
static bool read_release(const unsigned char *head, size_t len, char *out_release)
{
	size_t at, end;

	if (len < VERSION_AT + 2 || memcmp(head + MAGIC_AT, "HdrS", 4) != 0)
		return false;
	at = VERSION_BASE + head[VERSION_AT] + 256u * head[VERSION_AT + 1];
	for (end = at; end < len && end - at < AERO_GUEST_KERNEL_RELEASE - 1; end++) {
		if (head[end] <= ' ' || head[end] >= 127 || head[end] == '/')
			break;
	}
	if (at == VERSION_BASE || end >= len || end == at || head[end] != ' ')
		return false;
	memcpy(out_release, head + at, end - at);
	out_release[end - at] = '\0';
	return true;
}

/* Cuts the last part off a path. */
static void to_parent(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash)
		*slash = '\0';
}

/* ROOT/boot/vmlinuz: ROOT/lib/modules. */
static bool set_paths(const char *path, struct aero_guest_kernel *out)
{
	static const char modules[] = "/lib/modules";
	size_t len = strlen(path);

	if (len + sizeof(modules) > sizeof(out->path))
		return false;
	memcpy(out->path, path, len + 1);
	memcpy(out->modules, path, len + 1);
	to_parent(out->modules);
	to_parent(out->modules);
	memcpy(out->modules + strlen(out->modules), modules, sizeof(modules));
	return true;
}

enum aero_status aero_guest_kernel_read(const char *path, struct aero_guest_kernel *out_kernel,
					struct aero_error *error)
{
	unsigned char head[HEAD_BYTES];
	char absolute[PATH_MAX];
	ssize_t got;

	if (!realpath(path, absolute))
		return aero_error_set(error, AERO_EIO, "no kernel at %s: %s", path,
				      strerror(errno));
	got = read_head(absolute, head);
	if (got < 0)
		return aero_error_set(error, AERO_EIO, "cannot read the kernel %s: %s", path,
				      strerror(errno));
	if (!read_release(head, (size_t)got, out_kernel->release))
		return aero_error_set(error, AERO_EIO, "%s is no Linux kernel for x86 (bzImage)",
				      path);
	if (!set_paths(absolute, out_kernel))
		return aero_error_set(error, AERO_EIO, "the path %s is too long", path);
	return AERO_OK;
}
