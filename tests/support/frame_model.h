/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_FRAME_MODEL_H
#define AEROSTAT_TESTS_SUPPORT_FRAME_MODEL_H

/*
 * What a frame set ought to answer, the slow way: one byte per frame of a few windows of frame
 * numbers. Windows are ascending and neither overlap nor touch; frames outside are never in.
 */

#include <aerostat/frame_set.h>

struct frame_window {
	aero_frame first;
	uint64_t count;
	uint8_t *held;
};

struct frame_model {
	struct frame_window *windows;
	size_t window_count;
	uint64_t count;
};

/* Windows are given with first and count. */
void frame_model_init(struct frame_model *model, struct frame_window *windows, size_t count);
void frame_model_fini(struct frame_model *model);

/* Put a range in or take it out, or only count it; answers how many frames that changed. */
uint64_t frame_model_insert(struct frame_model *model, struct aero_range range);
uint64_t frame_model_remove(struct frame_model *model, struct aero_range range);
uint64_t frame_model_count_in(const struct frame_model *model, struct aero_range range);

bool frame_model_next(const struct frame_model *model, aero_frame from, uint64_t max,
		      struct aero_range *out_range);

/* The last merged range; false where there is none. */
bool frame_model_last(const struct frame_model *model, struct aero_range *out_range);

/* Fails the test unless set holds the same frames, is valid, and uses no node it does not need. */
void frame_model_compare(const struct frame_model *model, const struct aero_frame_set *set);

/* How many nodes a set of what the model holds needs. */
uint64_t frame_model_nodes(const struct frame_model *model);

#endif
