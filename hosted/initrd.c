/* SPDX-License-Identifier: MIT */
#include "hosted/initrd.h"
#include "hosted/capture.h"
#include "hosted/cpio.h"
#include "hosted/guest_init.h"
#include "hosted/guest_kernel.h"
#include "hosted/module_tree.h"
#include "hosted/program_path.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_KERNEL "linux.uml"
#define DEFAULT_MODULES "/usr/lib/uml/modules"
#define DEFAULT_BUSYBOX "/bin/busybox"
#define VMWARE_MODULE "kernel/drivers/misc/vmw_balloon.ko"
#define VIRTIO_MODULE "kernel/drivers/virtio/virtio_balloon.ko"
#define ASK_TIMEOUT_MS 5000

/* What goes into the archive, by machine. */
struct source {
	const char *drivers[2]; /* in the order of loading; the second may be NULL */
	char modules[AERO_GUEST_KERNEL_PATH];
	const unsigned char *machine; /* text of guest_machine_*.sh */
	size_t machine_len;
};

/* Makes a path absolute: the kernel will run in another directory. */
static bool make_absolute(const char *path, char *out, size_t size)
{
	char here[PATH_MAX];

	if (path[0] == '/')
		return (size_t)snprintf(out, size, "%s", path) < size;
	return getcwd(here, sizeof(here)) &&
	       (size_t)snprintf(out, size, "%s/%s", here, path) < size;
}

static bool find_program(const char *name, char *out, size_t size)
{
	return strchr(name, '/') ? make_absolute(name, out, size)
				 : aero_program_find(name, out, size);
}

static enum aero_status find_kernel(const char *name, struct aero_initrd_info *info,
				    struct aero_error *error)
{
	struct stat file;

	if (!find_program(name, info->kernel, sizeof(info->kernel)))
		return aero_error_set(error, AERO_EIO,
				      "no %s in PATH: install the package user-mode-linux", name);
	if (stat(info->kernel, &file))
		return aero_error_set(error, AERO_EIO, "no kernel at %s: %s", info->kernel,
				      strerror(errno));
	if (!S_ISREG(file.st_mode) || access(info->kernel, X_OK))
		return aero_error_set(
			error, AERO_EIO,
			"%s cannot be executed: a User Mode Linux kernel is a program",
			info->kernel);
	return AERO_OK;
}

static enum aero_status ask_release(struct aero_initrd_info *info, struct aero_error *error)
{
	const char *const argv[] = { info->kernel, "--version", NULL };
	struct aero_error why;
	struct aero_bytes answer;
	enum aero_status status = aero_capture_program(argv, ASK_TIMEOUT_MS, &answer, &why);
	size_t len;

	if (status != AERO_OK)
		return aero_error_set(error, status,
				      "%s is no User Mode Linux kernel that runs here: %s",
				      info->kernel, why.text);
	len = strcspn(answer.data, "\r\n");
	if (len == 0 || len >= sizeof(info->release) || strspn(answer.data, "0123456789") == 0 ||
	    strcspn(answer.data, " ") < len)
		status = aero_error_set(error, AERO_EIO,
					"%s is no User Mode Linux kernel: its version is '%.*s'",
					info->kernel, len > 60 ? 60 : (int)len, answer.data);
	else
		snprintf(info->release, sizeof(info->release), "%.*s", (int)len, answer.data);
	aero_bytes_free(&answer);
	return status;
}

/* Whether a line "name=value" stands in the configuration. */
static bool is_set(const char *config, const char *line)
{
	size_t len = strlen(line);

	for (const char *at = config; (at = strstr(at, line)); at += len)
		if ((at == config || at[-1] == '\n') && (at[len] == '\n' || at[len] == '\0'))
			return true;
	return false;
}

static enum aero_status check_config(const char *config, struct aero_initrd_info *info,
				     struct aero_error *error)
{
	static const char *const needed[] = { "CONFIG_BLK_DEV_INITRD=y", "CONFIG_VIRTIO_UML=y",
					      "CONFIG_TMPFS=y" };

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!is_set(config, needed[i]))
			return aero_error_set(error, AERO_ENOTSUP,
					      "the kernel %s was built without %s", info->kernel,
					      needed[i]);
	info->is_built_in = is_set(config, "CONFIG_VIRTIO_BALLOON=y");
	if (!info->is_built_in && !is_set(config, "CONFIG_VIRTIO_BALLOON=m"))
		return aero_error_set(error, AERO_ENOTSUP,
				      "the kernel %s was built without CONFIG_VIRTIO_BALLOON",
				      info->kernel);
	return AERO_OK;
}

static enum aero_status ask_config(struct aero_initrd_info *info, struct aero_error *error)
{
	const char *const argv[] = { info->kernel, "--showconfig", NULL };
	struct aero_bytes answer;
	enum aero_status status = aero_capture_program(argv, ASK_TIMEOUT_MS, &answer, error);

	if (status != AERO_OK)
		return status;
	status = check_config(answer.data, info, error);
	aero_bytes_free(&answer);
	return status;
}

/* A dynamically linked busybox would need an interpreter that the guest does not have. */
static bool is_static_elf(const struct aero_bytes *file)
{
	Elf64_Ehdr head;
	Elf64_Phdr part;

	if (file->len < sizeof(head) || memcmp(file->data, ELFMAG, SELFMAG) != 0)
		return false;
	memcpy(&head, file->data, sizeof(head));
	for (size_t i = 0; i < head.e_phnum; i++) {
		size_t at = head.e_phoff + i * sizeof(part);

		if (head.e_phoff > file->len || at + sizeof(part) > file->len)
			return false;
		memcpy(&part, file->data + at, sizeof(part));
		if (part.p_type == PT_INTERP)
			return false;
	}
	return true;
}

static enum aero_status add_busybox(struct aero_cpio *cpio, const char *path,
				    struct aero_error *error)
{
	struct aero_bytes file;
	enum aero_status status = aero_capture_file(path, &file, error);

	if (status != AERO_OK)
		return aero_error_set(error, status,
				      "cannot read %s: install the package busybox-static", path);
	if (is_static_elf(&file))
		status = aero_cpio_file(cpio, "bin/busybox", 0755, file.data, file.len);
	else
		status = aero_error_set(error, AERO_ENOTSUP,
					"%s is not statically linked: install the package "
					"busybox-static",
					path);
	aero_bytes_free(&file);
	return status;
}

static enum aero_status add_module(struct aero_cpio *cpio, const char *path, const char *name,
				   struct aero_error *error)
{
	char target[160];
	struct aero_bytes file;
	enum aero_status status = aero_module_load(path, &file, error);

	if (status != AERO_OK)
		return status;
	snprintf(target, sizeof(target), "modules/%s.ko", name);
	status = aero_cpio_file(cpio, target, 0644, file.data, file.len);
	aero_bytes_free(&file);
	return status;
}

/* The name a module has in /proc/modules: its file's, without endings and with underscores. */
static void module_name(const char *path, char *out, size_t size)
{
	const char *base = strrchr(path, '/');
	char *ending;

	snprintf(out, size, "%s", base ? base + 1 : path);
	ending = strstr(out, ".ko");
	if (ending)
		*ending = '\0';
	for (char *at = out; (at = strchr(at, '-'));)
		*at = '_';
}

static bool has_path(const struct aero_module_list *list, const char *path)
{
	size_t i = 0;

	while (i < list->count && strcmp(list->path[i], path) != 0)
		i++;
	return i < list->count;
}

/* All drivers with what they need, each file once. */
static enum aero_status find_modules(const struct source *source, const char *release,
				     struct aero_module_list *out, struct aero_error *error)
{
	enum aero_status status = AERO_OK;
	struct aero_module_list one;

	for (size_t i = 0; status == AERO_OK && i < 2 && source->drivers[i]; i++) {
		status = aero_module_tree_find(source->modules, release, source->drivers[i], &one,
					       error);
		for (size_t k = 0; status == AERO_OK && k < one.count; k++) {
			if (has_path(out, one.path[k]))
				continue;
			if (out->count == AERO_MODULES_MAX)
				return aero_error_set(error, AERO_ENOSPC, "%s needs too many files",
						      source->drivers[i]);
			memcpy(out->path[out->count++], one.path[k], sizeof(one.path[k]));
		}
	}
	return status;
}

/* Adds the modules and the file "modules/order", one name a line, the first to load first. */
static enum aero_status add_modules(struct aero_cpio *cpio, const struct source *source,
				    struct aero_initrd_info *info, struct aero_error *error)
{
	struct aero_module_list list = { 0 };
	char order[AERO_MODULES_MAX * 128];
	enum aero_status status = AERO_OK;
	size_t used = 0;

	if (!info->is_built_in)
		status = find_modules(source, info->release, &list, error);
	for (size_t i = 0; status == AERO_OK && i < list.count; i++) {
		char name[120];

		module_name(list.path[i], name, sizeof(name));
		used += (size_t)snprintf(order + used, sizeof(order) - used, "%s\n", name);
		status = add_module(cpio, list.path[i], name, error);
	}
	info->module_count = list.count;
	if (status == AERO_OK)
		status = aero_cpio_file(cpio, "modules/order", 0644, order, used);
	return status;
}

/* What init needs before it can mount anything: numbers from Linux's admin-guide/devices. */
static enum aero_status add_skeleton(struct aero_cpio *cpio)
{
	static const char *const directories[] = { "bin", "dev", "mnt", "modules", "proc", "sys" };
	static const struct {
		const char *path;
		uint32_t major;
		uint32_t minor;
	} nodes[] = {
		{ "dev/console", 5, 1 }, { "dev/null", 1, 3 }, { "dev/zero", 1, 5 },
		{ "dev/urandom", 1, 9 }, { "dev/tty1", 4, 1 }, { "dev/ttyS1", 4, 65 },
	};
	enum aero_status status = AERO_OK;

	for (size_t i = 0; status == AERO_OK && i < sizeof(directories) / sizeof(*directories); i++)
		status = aero_cpio_directory(cpio, directories[i], 0755);
	for (size_t i = 0; status == AERO_OK && i < sizeof(nodes) / sizeof(*nodes); i++)
		status = aero_cpio_character_device(cpio, nodes[i].path, 0600, nodes[i].major,
						    nodes[i].minor);
	if (status == AERO_OK)
		status = aero_cpio_file(cpio, "init", 0755, aero_guest_init, aero_guest_init_len);
	return status;
}

static enum aero_status fill(struct aero_cpio *cpio, const struct aero_initrd_config *config,
			     const struct source *source, struct aero_initrd_info *info,
			     struct aero_error *error)
{
	enum aero_status status = add_skeleton(cpio);

	if (status == AERO_OK)
		status =
			aero_cpio_file(cpio, "machine", 0644, source->machine, source->machine_len);
	if (status == AERO_OK)
		status = add_busybox(cpio, config->busybox ? config->busybox : DEFAULT_BUSYBOX,
				     error);
	if (status == AERO_OK)
		status = add_modules(cpio, source, info, error);
	if (status == AERO_OK)
		status = aero_cpio_finish(cpio);
	return status;
}

static enum aero_status write_archive(const struct aero_initrd_config *config, const char *path,
				      const struct source *source, struct aero_initrd_info *info,
				      struct aero_error *error)
{
	struct aero_cpio cpio;
	enum aero_status status;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (!out) {
		status = aero_error_set(error, AERO_EIO, "cannot write %s: %s", path,
					strerror(errno));
		if (fd >= 0)
			close(fd);
		return status;
	}
	aero_cpio_init(&cpio, out);
	status = fill(&cpio, config, source, info, error);
	if (status == AERO_EIO && ferror(out))
		aero_error_set(error, status, "cannot write %s: %s", path, strerror(errno));
	if (fclose(out) && status == AERO_OK)
		status = aero_error_set(error, AERO_EIO, "cannot write %s: %s", path,
					strerror(errno));
	return status;
}

static enum aero_status find_uml(const struct aero_initrd_config *config, struct source *out,
				 struct aero_initrd_info *info, struct aero_error *error)
{
	enum aero_status status;

	*out = (struct source){
		.drivers = { "virtio_balloon" },
		.machine = aero_guest_machine_uml,
		.machine_len = aero_guest_machine_uml_len,
	};
	snprintf(out->modules, sizeof(out->modules), "%s", DEFAULT_MODULES);
	status = find_kernel(config->kernel ? config->kernel : DEFAULT_KERNEL, info, error);
	if (status == AERO_OK)
		status = ask_release(info, error);
	if (status == AERO_OK)
		status = ask_config(info, error);
	return status;
}

/* A kernel as distributions package it. */
static enum aero_status find_packaged(const struct aero_initrd_config *config, struct source *out,
				      struct aero_initrd_info *info, struct aero_error *error)
{
	static const struct source vmware = { .drivers = { "vmw_balloon" } };
	static const struct source virtio = { .drivers = { "virtio_pci", "virtio_balloon" } };
	bool is_vmware = config->machine == AERO_INITRD_VMWARE;
	struct aero_guest_kernel kernel;
	enum aero_status status;

	*out = is_vmware ? vmware : virtio;
	out->machine = is_vmware ? aero_guest_machine_vmware : aero_guest_machine_qemu;
	out->machine_len = is_vmware ? aero_guest_machine_vmware_len : aero_guest_machine_qemu_len;
	if (config->kernel)
		status = aero_guest_kernel_read(config->kernel, &kernel, error);
	else
		status = aero_guest_kernel_find(is_vmware ? VMWARE_MODULE : VIRTIO_MODULE, &kernel,
						error);
	if (status != AERO_OK)
		return status;
	snprintf(info->kernel, sizeof(info->kernel), "%s", kernel.path);
	snprintf(info->release, sizeof(info->release), "%s", kernel.release);
	snprintf(out->modules, sizeof(out->modules), "%s", kernel.modules);
	return AERO_OK;
}

enum aero_status aero_initrd_build(const struct aero_initrd_config *config, const char *path,
				   struct aero_initrd_info *out_info, struct aero_error *error)
{
	struct source source;
	enum aero_status status;

	memset(out_info, 0, sizeof(*out_info));
	if (config->machine == AERO_INITRD_UML)
		status = find_uml(config, &source, out_info, error);
	else
		status = find_packaged(config, &source, out_info, error);
	if (status != AERO_OK)
		return status;
	if (config->modules && (size_t)snprintf(source.modules, sizeof(source.modules), "%s",
						config->modules) >= sizeof(source.modules))
		return aero_error_set(error, AERO_ENOSPC, "the path %s is too long",
				      config->modules);
	return write_archive(config, path, &source, out_info, error);
}
