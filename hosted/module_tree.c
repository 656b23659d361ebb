/* SPDX-License-Identifier: MIT */
#include "hosted/module_tree.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DECOMPRESS_TIMEOUT_MS 10000

static const char *const endings[] = { ".ko", ".ko.xz", ".ko.zst", ".ko.gz" };

/* What a flat directory does not tell: needed modules, the first to load first. */
static const struct {
	const char *module;
	const char *needed;
} flat_needs[] = {
	{ "virtio_balloon", "virtio" },
	{ "virtio_balloon", "virtio_ring" },
	{ "virtio_pci", "virtio_ring" },
	{ "virtio_pci", "virtio" },
	{ "virtio_pci", "virtio_pci_legacy_dev" },
	{ "virtio_pci", "virtio_pci_modern_dev" },
	{ "vmw_balloon", "vmw_vmci" },
};

static bool join(char *out, size_t size, const char *directory, const char *rest)
{
	return (size_t)snprintf(out, size, "%s/%s", directory, rest) < size;
}

/* Whether the file name of path is name with one of the endings; '-' and '_' are the same. */
static bool is_module(const char *path, size_t path_len, const char *name)
{
	const char *base = memrchr(path, '/', path_len);
	size_t name_len = strlen(name);
	size_t base_len;

	base = base ? base + 1 : path;
	base_len = path_len - (size_t)(base - path);
	if (base_len <= name_len || strncmp(base + name_len, ".ko", 3) != 0)
		return false;
	for (size_t i = 0; i < name_len; i++)
		if (base[i] != name[i] && !(base[i] == '-' && name[i] == '_'))
			return false;
	return true;
}

static enum aero_status append(struct aero_module_list *list, const char *directory,
			       const char *path, size_t path_len)
{
	char relative[AERO_MODULE_PATH_MAX];

	if (list->count == AERO_MODULES_MAX || path_len >= sizeof(relative))
		return AERO_ENOSPC;
	memcpy(relative, path, path_len);
	relative[path_len] = '\0';
	/* depmod writes absolute paths for modules outside its directory. */
	if (relative[0] == '/')
		memcpy(list->path[list->count], relative, path_len + 1);
	else if (!join(list->path[list->count], AERO_MODULE_PATH_MAX, directory, relative))
		return AERO_ENOSPC;
	list->count++;
	return AERO_OK;
}

/* Takes the words of a modules.dep line from its end: the last is loaded first. */
static enum aero_status append_line(struct aero_module_list *list, const char *directory,
				    const char *line, const char *end)
{
	enum aero_status status = AERO_OK;

	while (status == AERO_OK && end > line) {
		const char *word = end;

		while (word > line && word[-1] != ' ')
			word--;
		if (word < end)
			status = append(list, directory, word,
					(size_t)(end - word) - (end[-1] == ':'));
		end = word > line ? word - 1 : line;
	}
	return status;
}

static enum aero_status find_in_dep(const char *directory, const char *name,
				    struct aero_module_list *list, struct aero_error *error)
{
	char path[AERO_MODULE_PATH_MAX];
	struct aero_bytes dep;
	enum aero_status status;

	if (!join(path, sizeof(path), directory, "modules.dep"))
		return aero_error_set(error, AERO_ENOSPC, "the path %s is too long", directory);
	status = aero_capture_file(path, &dep, error);
	if (status != AERO_OK)
		return status;
	status = aero_error_set(error, AERO_EIO, "%s does not name %s.ko: is it installed?", path,
				name);
	for (const char *line = dep.data; *line;) {
		const char *end = strchrnul(line, '\n');
		const char *colon = memchr(line, ':', (size_t)(end - line));

		if (colon && is_module(line, (size_t)(colon - line), name)) {
			status = append_line(list, directory, line, end);
			break;
		}
		line = *end ? end + 1 : end;
	}
	if (status == AERO_ENOSPC)
		aero_error_set(error, status, "%s.ko needs too many or too long files", name);
	aero_bytes_free(&dep);
	return status;
}

/* Appends the file of a module lying in a flat directory, if there is one. */
static bool find_flat(const char *directory, const char *name, struct aero_module_list *list)
{
	char file[128];

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		snprintf(file, sizeof(file), "%s%s", name, endings[i]);
		if (list->count < AERO_MODULES_MAX &&
		    join(list->path[list->count], AERO_MODULE_PATH_MAX, directory, file) &&
		    access(list->path[list->count], R_OK) == 0) {
			list->count++;
			return true;
		}
	}
	return false;
}

static bool has_dep(const char *directory)
{
	char path[AERO_MODULE_PATH_MAX];

	return join(path, sizeof(path), directory, "modules.dep") && access(path, R_OK) == 0;
}

enum aero_status aero_module_tree_find(const char *directory, const char *release, const char *name,
				       struct aero_module_list *out_list, struct aero_error *error)
{
	char versioned[AERO_MODULE_PATH_MAX];

	out_list->count = 0;
	if (has_dep(directory))
		return find_in_dep(directory, name, out_list, error);
	if (join(versioned, sizeof(versioned), directory, release) && has_dep(versioned))
		return find_in_dep(versioned, name, out_list, error);
	for (size_t i = 0; i < sizeof(flat_needs) / sizeof(flat_needs[0]); i++)
		if (strcmp(flat_needs[i].module, name) == 0)
			find_flat(directory, flat_needs[i].needed, out_list);
	if (find_flat(directory, name, out_list))
		return AERO_OK;
	return aero_error_set(
		error, AERO_EIO,
		"no %s.ko for kernel %s below %s: neither modules.dep nor %s/modules.dep "
		"nor the file itself is there (Debian's are in the package of the kernel)",
		name, release, directory, release);
}

static const char *decompressor(const char *path)
{
	const char *ending = strrchr(path, '.');

	if (ending && strcmp(ending, ".xz") == 0)
		return "xz";
	if (ending && strcmp(ending, ".gz") == 0)
		return "gzip";
	if (ending && strcmp(ending, ".zst") == 0)
		return "zstd";
	return NULL;
}

enum aero_status aero_module_load(const char *path, struct aero_bytes *out_bytes,
				  struct aero_error *error)
{
	const char *const argv[] = { decompressor(path), "-dcq", path, NULL };
	enum aero_status status;

	if (argv[0])
		status = aero_capture_program(argv, DECOMPRESS_TIMEOUT_MS, out_bytes, error);
	else
		status = aero_capture_file(path, out_bytes, error);
	if (status != AERO_OK && argv[0])
		aero_error_set(error, status,
			       "cannot decompress %s: is it whole, and is %s installed?", path,
			       argv[0]);
	if (status != AERO_OK)
		return status;
	if (out_bytes->len < 4 || memcmp(out_bytes->data, "\177ELF", 4) != 0) {
		aero_bytes_free(out_bytes);
		return aero_error_set(error, AERO_EIO, "%s is no kernel module (no ELF file)",
				      path);
	}
	return AERO_OK;
}
