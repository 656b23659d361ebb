/* SPDX-License-Identifier: MIT */
#include "run.h"

#include <stdlib.h>

#define FIRST_ROOM 256

static bool is_level(const struct run_sample *a, const struct run_sample *b)
{
	return a->target_bytes == b->target_bytes && a->actual_bytes == b->actual_bytes &&
	       a->resident_bytes == b->resident_bytes && a->is_reached == b->is_reached;
}

static bool make_room(struct run_samples *samples)
{
	size_t room = samples->room ? samples->room * 2 : FIRST_ROOM;
	struct run_sample *at;

	if (samples->count < samples->room)
		return true;
	at = realloc(samples->at, room * sizeof(*at));
	if (!at)
		return false;
	samples->at = at;
	samples->room = room;
	return true;
}

bool run_samples_add(struct run_samples *samples, const struct run_sample *sample)
{
	size_t count = samples->count;

	if (count >= 2 && is_level(&samples->at[count - 1], sample) &&
	    is_level(&samples->at[count - 2], sample)) {
		samples->at[count - 1].seconds = sample->seconds;
		return true;
	}
	if (!make_room(samples))
		return false;
	samples->at[samples->count++] = *sample;
	return true;
}
