/* SPDX-License-Identifier: MIT */

/* Looks at all of an allocator, for tests and doubts. */

#include "buddy.h"
#include "buddy_bits.h"

static unsigned int count_bits(const struct buddy_chunk *chunk)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < BUDDY_CHUNK_WORDS; i++) {
		for (uint64_t word = chunk->free[i]; word; word &= word - 1)
			count++;
	}
	return count;
}

static unsigned int largest(const struct buddy_chunk *chunk)
{
	unsigned int order = 0;

	for (unsigned int i = 0; i < BUDDY_CHUNK_WORDS; i++) {
		if (chunk->free[i] && bits_order(chunk->free[i]) > order)
			order = bits_order(chunk->free[i]);
	}
	for (unsigned int i = 0; i < BUDDY_CHUNK_WORDS; i += 2) {
		if (order < 7 && bits_are_full(chunk->free + i, 2))
			order = 7;
	}
	for (unsigned int i = 0; i < BUDDY_CHUNK_WORDS; i += 4) {
		if (bits_are_full(chunk->free + i, 4))
			order = 8;
	}
	return order;
}

static const char *check_chunk(const struct buddy *buddy, uint32_t index)
{
	const struct buddy_chunk *chunk = &buddy->chunk[index];
	const struct buddy_chunk *other = &buddy->chunk[index ^ 1];

	if (count_bits(chunk) != chunk->count)
		return "a chunk counts other frames than it has";
	if (chunk->count == 0)
		return chunk->list == BUDDY_UNLISTED ? NULL : "an empty chunk is listed";
	if (chunk->count < BUDDY_CHUNK_FRAMES)
		return chunk->list >= largest(chunk) && chunk->list < 9
			       ? NULL
			       : "a chunk is listed as it is not";
	if (chunk->list == 9)
		return other->list == 9 ? "two whole chunks are no pair" : NULL;
	if (chunk->list == 10)
		return index % 2 == 0 && other->list == BUDDY_SECOND ? NULL : "half a pair";
	return chunk->list == BUDDY_SECOND && index % 2 && other->list == 10
		       ? NULL
		       : "a whole chunk is listed as it is not";
}

static const char *check_list(const struct buddy *buddy, unsigned int order, uint32_t *out_listed)
{
	uint32_t prev = BUDDY_NONE;
	uint32_t seen = 0;

	if ((buddy->head[order] != BUDDY_NONE) != (buddy->has >> order & 1))
		return "a list is marked as it is not";
	for (uint32_t i = buddy->head[order]; i != BUDDY_NONE; i = buddy->chunk[i].next) {
		if (i >= buddy->chunk_count || ++seen > buddy->chunk_count)
			return "a list leads astray";
		if (buddy->chunk[i].prev != prev || buddy->chunk[i].list != order)
			return "a list does not lead back";
		prev = i;
	}
	*out_listed += seen;
	return NULL;
}

const char *buddy_validate(const struct buddy *buddy)
{
	const char *wrong = NULL;
	uint64_t frames = 0;
	uint32_t listed = 0;
	uint32_t linked = 0;

	for (uint32_t i = 0; i < buddy->chunk_count && !wrong; i++) {
		wrong = check_chunk(buddy, i);
		frames += buddy->chunk[i].count;
		listed += buddy->chunk[i].list <= BUDDY_ORDER_MAX;
	}
	for (unsigned int order = 0; order <= BUDDY_ORDER_MAX && !wrong; order++)
		wrong = check_list(buddy, order, &linked);
	if (!wrong && listed != linked)
		wrong = "a chunk is in no list";
	if (!wrong && frames != buddy->free_frames)
		wrong = "the sum of free frames is another";
	return wrong;
}
