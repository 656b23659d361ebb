/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_NAMES_H
#define AEROSTAT_PROGRAMS_RUN_NAMES_H

/* Names and numbers as `aerostat run` shows them. */

#include "run.h"

/* Of a phase, one word: in the plot and as a key in the JSON. */
const char *run_phase_str(enum run_phase phase);

/* Of a feature bit, or NULL. */
const char *run_feature_str(unsigned int bit);

/* Of a statistic, or NULL. */
const char *run_stat_str(unsigned int tag);

static inline bool run_has_feature(const struct aero_virtio_features *features, unsigned int bit)
{
	return features->word[bit / 64] >> bit % 64 & 1;
}

#endif
