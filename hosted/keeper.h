/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_KEEPER_H
#define AEROSTAT_HOSTED_KEEPER_H

/*
 * A child program that cannot outlive us, however we die.
 *
 * Killing a program is not enough where it has children of its own: of a User Mode Linux whose
 * first process is killed, helper processes stay and hold the guest's memory. So a small process
 * of ours, the keeper, stands between:
 *
 *     we ---socket--- keeper --- program (own process group) --- its children
 *
 * The keeper is forked, not executed. It waits for the program's end, our order, or the end of
 * our side of the socket (our death by whatever cause); then it kills the whole group, collects
 * every process, removes the scratch directory, and only then reports. If the keeper itself is
 * killed, the kernel kills the program and we kill the group and remove the directory.
 * The keeper leaves our session, so a terminal's Ctrl-C reaches us only, and calls itself
 * guest-keeper. Only SIGKILL to us and to the keeper in the same moment leaves processes behind.
 */

#include "hosted/error.h"
#include "hosted/scratch_dir.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#define AERO_KEEPER_FDS 8

/* How it ended. Exactly one of the members says it. */
struct aero_keeper_end {
	int exec_errno;	     /* not 0: the program could not be started */
	int wait_status;     /* of the program, see waitpid(2) */
	bool is_keeper_lost; /* the keeper was killed; wait_status is unknown */
};

struct aero_keeper_config {
	/* Program, looked up nowhere, and arguments; environment; both NULL-terminated. */
	const char *const *argv;
	const char *const *envp;
	/* Descriptor n of the program is a copy of fds[n]; nothing else stays open in it. */
	int fds[AERO_KEEPER_FDS];
	unsigned int fd_count;
	/* Working directory of the program, removed when all is dead; NULL: "/". */
	const struct aero_scratch_dir *scratch;
	/* Called once, when no process is left. The keeper may be started again or freed in it. */
	void (*ended)(void *ctx, const struct aero_keeper_end *end);
	void *ctx;
};

/* Private to keeper.c, public for its size. */
struct aero_keeper {
	uv_pipe_t control;
	pid_t pid;
	pid_t child;
	uint32_t got;
	int32_t report[3];
	char scratch[AERO_SCRATCH_PATH_MAX];
	struct aero_keeper_end end;
	void (*ended)(void *ctx, const struct aero_keeper_end *end);
	void *ctx;
};

/**
 * aero_keeper_start() - Start a program under a keeper.
 * @keeper: Storage of the caller.
 * @loop:   Event loop on which config->ended is called.
 * @config: What to start.
 * @error:  The story of a failure, or NULL.
 *
 * Shape:   answers as soon as the keeper is forked; a program that cannot be executed is reported
 *          through config->ended.
 * Owner:   @keeper must stay in place until config->ended. The descriptors of config->fds stay the
 *          caller's, who closes its copies. The directory is removed by the keeper from now on.
 * Errors:  AERO_EIO (no socket or no process), AERO_EINVAL (too many descriptors); then ended is
 *          not called and nothing is left.
 * Context: sleep. The loop's thread. The process is forked: memory mapped MAP_SHARED stays mapped
 *          in the keeper until the end.
 * Source:  prctl(2): PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER.
 */
enum aero_status aero_keeper_start(struct aero_keeper *keeper, uv_loop_t *loop,
				   const struct aero_keeper_config *config,
				   struct aero_error *error);

/**
 * aero_keeper_kill() - Have everything killed.
 * @keeper: Started keeper.
 *
 * Shape:   answers at once; the end comes through config->ended. May be called again.
 * Owner:   nothing changes.
 * Errors:  none.
 * Context: the loop's thread, not after config->ended.
 * Source:  none.
 */
void aero_keeper_kill(struct aero_keeper *keeper);

#endif
