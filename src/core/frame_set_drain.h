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

/*
 * The first whole blocks of 2 MiB at or after a frame, which is one of these, that begin before
 * another. Looks at summaries only. The answer ends with the leaf it begins in, at the latest.
 */
bool aero_frame_set_next_whole(const struct aero_frame_set *set, aero_frame from, aero_frame end,
			       struct aero_range *out_range);

#endif
