/* SPDX-License-Identifier: MIT */

/*
 * Runs a fuzz target over stored inputs, as a test: replay_x DIRECTORY... prints TAP, one case per
 * file and one for the empty input. The name is printed first, so that a crash tells its input.
 */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Answers an exact-size heap copy of the file, so that a read past its end is seen. */
static uint8_t *load(const char *path, size_t *out_size)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	long size;

	if (!file)
		return NULL;
	if (fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET))
		goto out;
	data = malloc(size ? (size_t)size : 1);
	if (data && fread(data, 1, (size_t)size, file) != (size_t)size) {
		free(data);
		data = NULL;
	}
	*out_size = (size_t)size;
out:
	fclose(file);
	return data;
}

static int replay_file(int number, const char *folder, const char *name)
{
	char path[4096];
	size_t size = 0;
	uint8_t *data;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	printf("# %s\n", path);
	data = load(path, &size);
	if (!data) {
		printf("not ok %d - %s cannot be read\n", number, name);
		return 1;
	}
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	printf("ok %d - %s\n", number, name);
	return 0;
}

struct folder {
	const char *path;
	struct dirent **names;
	int count; /* an empty folder is a failure, it tests nothing */
};

static struct folder list(const char *path)
{
	struct folder folder = { .path = path };

	folder.count = scandir(path, &folder.names, is_input, alphasort);
	return folder;
}

static int cases_of(const struct folder *folder)
{
	return folder->count > 0 ? folder->count : 1;
}

/* Answers how many cases failed; number is that of the first. */
static int replay_folder(int number, struct folder *folder)
{
	int failed = 0;

	printf("# %s\n", folder->path);
	if (folder->count <= 0) {
		printf("not ok %d - %s has no input\n", number, folder->path);
		failed = 1;
	}
	for (int i = 0; i < folder->count; i++) {
		failed += replay_file(number + i, folder->path, folder->names[i]->d_name);
		free(folder->names[i]);
	}
	free(folder->names);
	return failed;
}

int main(int argc, char **argv)
{
	struct folder *folders = calloc((size_t)argc, sizeof(*folders));
	uint8_t nothing = 0;
	int number = 1;
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc && folders; i++) {
		folders[i] = list(argv[i]);
		number += cases_of(&folders[i]);
	}
	printf("1..%d\n# the empty input\n", number);
	LLVMFuzzerTestOneInput(&nothing, 0);
	printf("ok 1 - empty input\n");
	number = 2;
	for (int i = 1; i < argc && folders; i++) {
		int count = cases_of(&folders[i]);

		failed += replay_folder(number, &folders[i]);
		number += count;
	}
	free(folders);
	return failed || number == 2;
}
