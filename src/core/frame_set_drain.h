/* SPDX-License-Identifier: MIT */
#ifndef AERO_CORE_FRAME_SET_DRAIN_H
#define AERO_CORE_FRAME_SET_DRAIN_H

#include <aerostat/frame_set.h>

/*
 * Removes the lowest merged ranges, max frames of them together and room ranges at most. Answers
 * how many ranges; 0 where the set is empty. Only the last can be a part of a longer range. max and
 * room are at least 1.
 */
size_t aero_frame_set_drain(struct aero_frame_set *set, uint64_t max, size_t room,
			    struct aero_range *out);

#endif
