/* SPDX-License-Identifier: MIT */
/* The engine: how many frames a round may allocate, whether it may sleep for them; defaults. */
#include "balloon_internal.h"

void aero_balloon_default(uint64_t *value, uint64_t otherwise)
{
	if (!*value)
		*value = otherwise;
}

void aero_balloon_default32(uint32_t *value, uint32_t otherwise)
{
	if (!*value)
		*value = otherwise;
}

bool aero_balloon_rate_init(struct aero_balloon *balloon)
{
	struct aero_balloon_rates *rates = &balloon->config.rates;

	aero_balloon_default32(&rates->spare_frames, 16384);
	aero_balloon_default32(&rates->sleep_min, 512);
	aero_balloon_default32(&rates->sleep_max, 2048);
	aero_balloon_default32(&rates->step, 16);
	aero_balloon_default32(&rates->slow_rounds, 4);
	balloon->rate = rates->sleep_max;
	return rates->sleep_min <= rates->sleep_max;
}

void aero_balloon_rate_begin(struct aero_balloon *balloon)
{
	balloon->is_sleeping = !balloon->config.rates.is_limited || balloon->slow_rounds;
	if (balloon->slow_rounds)
		balloon->slow_rounds--;
}

unsigned int aero_balloon_rate_stage(const struct aero_balloon *balloon)
{
	if (balloon->config.rates.is_limited && balloon->is_sleeping)
		return 0;
	return balloon->size_limit - 1;
}

uint64_t aero_balloon_rate_left(const struct aero_balloon *balloon)
{
	const struct aero_balloon_rates *rates = &balloon->config.rates;
	uint64_t budget = balloon->is_sleeping ? balloon->rate : rates->spare_frames;

	if (!rates->is_limited)
		return UINT64_MAX;
	return budget > balloon->round_frames ? budget - balloon->round_frames : 0;
}

bool aero_balloon_rate_failed(struct aero_balloon *balloon)
{
	const struct aero_balloon_rates *rates = &balloon->config.rates;

	if (!rates->is_limited)
		return false;
	if (!balloon->is_sleeping) {
		balloon->is_sleeping = true;
		balloon->slow_rounds = rates->slow_rounds;
		return true;
	}
	balloon->rate /= 2;
	if (balloon->rate < rates->sleep_min)
		balloon->rate = rates->sleep_min;
	return false;
}

void aero_balloon_rate_end(struct aero_balloon *balloon)
{
	const struct aero_balloon_rates *rates = &balloon->config.rates;
	uint32_t multiple;

	if (!rates->is_limited || !balloon->is_sleeping || balloon->is_round_out ||
	    balloon->stall == AERO_STALL_NO_MEMORY || balloon->stall == AERO_STALL_REFUSED ||
	    balloon->round_frames < balloon->rate)
		return;
	/* A sleeping round allocates at most rate frames and one block. */
	multiple = (uint32_t)balloon->round_frames / balloon->rate;
	balloon->rate += rates->step * multiple;
	if (balloon->rate > rates->sleep_max)
		balloon->rate = rates->sleep_max;
}
