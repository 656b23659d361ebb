/* SPDX-License-Identifier: MIT */
#ifndef AERO_HOST_PROGRESS_H
#define AERO_HOST_PROGRESS_H

/* Whether a balloon gets on, as every host sees it. */

#include <stdbool.h>
#include <stdint.h>

/* A balloon that is this much further away again is on another way: 16 MiB. */
#define AERO_HOST_PROGRESS_SLACK 4096

/*
 * Whether the balloon is nearer to its target than ever since that was set. A guest at its limit
 * gives and takes for ever: that is no progress. *nearest_frames follows; UINT64_MAX at first.
 */
static inline bool aero_host_is_progress(uint64_t target, uint64_t held, uint64_t *nearest_frames)
{
	uint64_t missing = target > held ? target - held : held - target;
	bool is_nearer = missing < *nearest_frames;

	if (is_nearer || missing - *nearest_frames > AERO_HOST_PROGRESS_SLACK)
		*nearest_frames = missing;
	return is_nearer;
}

#endif
