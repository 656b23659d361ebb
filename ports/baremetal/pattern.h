/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_PATTERN_H
#define AEROSTAT_PORTS_BAREMETAL_PATTERN_H

/*
 * Memory that is in use: frames filled with what only they can have, and looked at later. A frame
 * that the host has taken, or that somebody else was given as well, does not hold it any more.
 */

#include "memory.h"

struct pattern {
	struct frame_bits frames;
	uint64_t seed;
};

/* Fills that many more frames. false: there were not so many; those that there were stay. */
bool pattern_fill(struct pattern *pattern, uint64_t frames);

/* Reads all of it. false: *out_frame is the first that has changed. */
bool pattern_check(const struct pattern *pattern, aero_frame *out_frame);

/* Gives all frames back. */
void pattern_free(struct pattern *pattern);

/* A number that stands for the content. */
uint64_t pattern_digest(const struct pattern *pattern);

#endif
