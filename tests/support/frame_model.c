/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "support/frame_model.h"

/* Frames below one leaf, one table and one branch of the tree. */
#define LEAF_SHIFT 15
#define TABLE_SHIFT 22
#define BRANCH_SHIFT 31

void frame_model_init(struct frame_model *model, struct frame_window *windows, size_t count)
{
	model->windows = windows;
	model->window_count = count;
	model->count = 0;
	for (size_t i = 0; i < count; i++) {
		windows[i].held = calloc(windows[i].count, 1);
		assert_non_null(windows[i].held);
	}
}

void frame_model_fini(struct frame_model *model)
{
	for (size_t i = 0; i < model->window_count; i++)
		free(model->windows[i].held);
}

/* The part of a range in a window, as an index into held. */
static struct aero_range cut(const struct frame_window *window, struct aero_range range)
{
	aero_frame end =
		range.count > UINT64_MAX - range.first ? UINT64_MAX : range.first + range.count;
	aero_frame window_end = window->first + window->count;
	struct aero_range part = { 0, 0 };

	if (range.first >= window_end || end <= window->first)
		return part;
	if (range.first > window->first)
		part.first = range.first - window->first;
	if (end > window_end)
		end = window_end;
	part.count = end - window->first - part.first;
	return part;
}

static uint64_t change(struct frame_model *model, struct aero_range range, uint8_t to)
{
	uint64_t changed = 0;

	for (size_t i = 0; i < model->window_count; i++) {
		struct aero_range part = cut(&model->windows[i], range);
		uint8_t *held = model->windows[i].held + part.first;

		for (uint64_t n = 0; n < part.count; n++) {
			changed += held[n] != to;
			held[n] = to;
		}
	}
	return changed;
}

uint64_t frame_model_insert(struct frame_model *model, struct aero_range range)
{
	uint64_t added = change(model, range, 1);

	model->count += added;
	return added;
}

uint64_t frame_model_remove(struct frame_model *model, struct aero_range range)
{
	uint64_t removed = change(model, range, 0);

	model->count -= removed;
	return removed;
}

uint64_t frame_model_count_in(const struct frame_model *model, struct aero_range range)
{
	uint64_t count = 0;

	for (size_t i = 0; i < model->window_count; i++) {
		struct aero_range part = cut(&model->windows[i], range);

		for (uint64_t n = 0; n < part.count; n++)
			count += model->windows[i].held[part.first + n];
	}
	return count;
}

bool frame_model_next(const struct frame_model *model, aero_frame from, uint64_t max,
		      struct aero_range *out_range)
{
	struct aero_range rest = { from, UINT64_MAX };

	for (size_t i = 0; i < model->window_count; i++) {
		const struct frame_window *window = &model->windows[i];
		struct aero_range part = cut(window, rest);
		uint64_t end = part.first + part.count;
		uint64_t at = part.first;
		uint64_t n = 0;

		while (at < end && !window->held[at])
			at++;
		while (at + n < end && n < max && window->held[at + n])
			n++;
		if (n) {
			out_range->first = window->first + at;
			out_range->count = n;
			return true;
		}
	}
	return false;
}

bool frame_model_last(const struct frame_model *model, struct aero_range *out_range)
{
	for (size_t i = model->window_count; i > 0; i--) {
		const struct frame_window *window = &model->windows[i - 1];
		uint64_t end = window->count;
		uint64_t start;

		while (end && !window->held[end - 1])
			end--;
		for (start = end; start && window->held[start - 1];)
			start--;
		if (start < end) {
			out_range->first = window->first + start;
			out_range->count = end - start;
			return true;
		}
	}
	return false;
}

uint64_t frame_model_nodes(const struct frame_model *model)
{
	static const unsigned int shifts[] = { LEAF_SHIFT, TABLE_SHIFT, BRANCH_SHIFT };
	uint64_t last[] = { UINT64_MAX, UINT64_MAX, UINT64_MAX };
	struct aero_range leaf;
	aero_frame from = 0;
	uint64_t nodes = 0;

	while (frame_model_next(model, from, 1, &leaf)) {
		for (size_t i = 0; i < TEST_ARRAY_SIZE(shifts); i++) {
			nodes += last[i] != leaf.first >> shifts[i];
			last[i] = leaf.first >> shifts[i];
		}
		from = ((leaf.first >> LEAF_SHIFT) + 1) << LEAF_SHIFT;
	}
	/* The root. */
	return nodes ? nodes + 1 : 0;
}

void frame_model_compare(const struct frame_model *model, const struct aero_frame_set *set)
{
	struct aero_range want = { 0, 0 };
	struct aero_range got = { 0, 0 };

	assert_int_equal(aero_frame_set_validate(set), AERO_OK);
	assert_int_equal(aero_frame_set_count(set), model->count);
	while (frame_model_next(model, want.first + want.count, UINT64_MAX, &want)) {
		assert_true(aero_frame_set_next(set, got.first + got.count, UINT64_MAX, &got));
		assert_int_equal(got.first, want.first);
		assert_int_equal(got.count, want.count);
	}
	assert_false(aero_frame_set_next(set, got.first + got.count, UINT64_MAX, &got));
	assert_int_equal(aero_frame_set_bytes(set), frame_model_nodes(model) * AERO_NODE_BYTES);
}
