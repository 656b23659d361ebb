/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_SCRATCH_DIR_H
#define AEROSTAT_HOSTED_SCRATCH_DIR_H

/*
 * A private directory for the files and sockets of one run, which must not outlive it.
 *
 * It lies in $XDG_RUNTIME_DIR, else in /tmp, is called aerostat-scratch-XXXXXX and open to its
 * owner only. Its owner holds a lock on it; processes forked by the owner hold the same lock by
 * inheriting lock_fd. A directory whose lock nobody holds was left behind by a death that nothing
 * could catch, and the next aero_scratch_dir_make() removes it.
 */

#include "hosted/error.h"

/* Paths stay short, because socket addresses hold 107 characters. */
#define AERO_SCRATCH_PATH_MAX 64

struct aero_scratch_dir {
	char path[AERO_SCRATCH_PATH_MAX];
	int lock_fd;
};

/**
 * aero_scratch_dir_make() - Make a directory, and remove those that nobody holds any more.
 * @out_dir: The new directory.
 * @error:   The story of a failure, or NULL.
 *
 * Shape:   empty, mode 0700; out_dir->lock_fd is closed on exec.
 * Owner:   the caller ends it with aero_scratch_dir_remove(). Of left-over directories only those
 *          of the same user are touched.
 * Errors:  AERO_EIO (neither place lets us make a directory).
 * Context: sleep; blocks on files.
 * Source:  flock(2): a lock lives until the last descriptor of the open file is closed.
 */
enum aero_status aero_scratch_dir_make(struct aero_scratch_dir *out_dir, struct aero_error *error);

/**
 * aero_scratch_dir_remove() - Remove the directory with all that is in it.
 * @dir: Directory; may be gone already. path is empty afterwards.
 *
 * Shape:   does not follow symbolic links and stays on its file system.
 * Owner:   the lock is given up, by this process only.
 * Errors:  none; what cannot be removed stays for the next aero_scratch_dir_make().
 * Context: sleep; blocks on files.
 * Source:  none.
 */
void aero_scratch_dir_remove(struct aero_scratch_dir *dir);

#endif
