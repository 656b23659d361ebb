/* SPDX-License-Identifier: MIT */
#include "hosted/scratch_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "aerostat-scratch-"
#define SUFFIX_LEN 6
#define TREE_FDS 8
#define ATTEMPTS 16

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *place)
{
	(void)info;
	(void)type;
	(void)place;
	/* Goes on after a failure: what can be removed should be. */
	remove(path);
	return 0;
}

static void remove_tree(const char *path)
{
	nftw(path, remove_entry, TREE_FDS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* Opens and locks a directory; -1 if somebody else holds it or it is not ours. */
static int lock_directory(const char *path, int how)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat held;
	struct stat named;

	if (fd < 0)
		return -1;
	/* While we waited for the lock its former holder may have removed the directory. */
	if (flock(fd, how) == 0 && fstat(fd, &held) == 0 && lstat(path, &named) == 0 &&
	    held.st_ino == named.st_ino && held.st_dev == named.st_dev && held.st_uid == geteuid())
		return fd;
	close(fd);
	return -1;
}

static void remove_stale(const char *base)
{
	char path[AERO_SCRATCH_PATH_MAX];
	DIR *list = opendir(base);
	struct dirent *entry;

	while (list && (entry = readdir(list))) {
		int fd;

		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 ||
		    strlen(entry->d_name) != strlen(PREFIX) + SUFFIX_LEN ||
		    snprintf(path, sizeof(path), "%s/%s", base, entry->d_name) >= (int)sizeof(path))
			continue;
		fd = lock_directory(path, LOCK_EX | LOCK_NB);
		if (fd < 0)
			continue;
		remove_tree(path);
		close(fd);
	}
	if (list)
		closedir(list);
}

/* The name must leave room for the sockets that are made in the directory. */
static bool make_in(const char *base, struct aero_scratch_dir *dir)
{
	if (!base || base[0] != '/')
		return false;
	remove_stale(base);
	for (int i = 0; i < ATTEMPTS; i++) {
		if (snprintf(dir->path, sizeof(dir->path), "%s/" PREFIX "XXXXXX", base) >=
		    (int)sizeof(dir->path))
			return false;
		if (!mkdtemp(dir->path))
			return false;
		/* Another process may take it for stale before it is locked: then try again. */
		dir->lock_fd = lock_directory(dir->path, LOCK_EX);
		if (dir->lock_fd >= 0)
			return true;
		rmdir(dir->path);
	}
	return false;
}

enum aero_status aero_scratch_dir_make(struct aero_scratch_dir *out_dir, struct aero_error *error)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (make_in(runtime, out_dir) || make_in("/tmp", out_dir))
		return AERO_OK;
	out_dir->path[0] = '\0';
	out_dir->lock_fd = -1;
	return aero_error_set(error, AERO_EIO,
			      "cannot make a directory in $XDG_RUNTIME_DIR or /tmp: %s",
			      strerror(errno));
}

void aero_scratch_dir_remove(struct aero_scratch_dir *dir)
{
	if (dir->path[0])
		remove_tree(dir->path);
	if (dir->lock_fd >= 0)
		close(dir->lock_fd);
	dir->path[0] = '\0';
	dir->lock_fd = -1;
}
