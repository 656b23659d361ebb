/* SPDX-License-Identifier: MIT */
#include "buddy.h"
#include "buddy_bits.h"
#include "console.h"

#define WHOLE 9u /* order of a chunk, and of a pair of them */
#define PAIR 10u

uint64_t buddy_bytes(aero_frame end)
{
	return (end / BUDDY_CHUNK_FRAMES + 2) * sizeof(struct buddy_chunk);
}

void buddy_init(struct buddy *buddy, void *bookkeeping, aero_frame end)
{
	buddy->chunk = bookkeeping;
	/* An even number, so that each chunk has its other half. */
	buddy->chunk_count = (uint32_t)(end / BUDDY_CHUNK_FRAMES + 2) & ~1u;
	buddy->has = 0;
	buddy->free_frames = 0;
	for (unsigned int order = 0; order <= BUDDY_ORDER_MAX; order++)
		buddy->head[order] = BUDDY_NONE;
	for (uint32_t i = 0; i < buddy->chunk_count; i++)
		buddy->chunk[i] = (struct buddy_chunk){ .list = BUDDY_UNLISTED };
}

static void unlist(struct buddy *buddy, uint32_t index)
{
	struct buddy_chunk *chunk = &buddy->chunk[index];

	if (chunk->list <= BUDDY_ORDER_MAX) {
		if (chunk->next != BUDDY_NONE)
			buddy->chunk[chunk->next].prev = chunk->prev;
		if (chunk->prev != BUDDY_NONE)
			buddy->chunk[chunk->prev].next = chunk->next;
		else
			buddy->head[chunk->list] = chunk->next;
		if (buddy->head[chunk->list] == BUDDY_NONE)
			buddy->has &= ~(1u << chunk->list);
	}
	chunk->list = BUDDY_UNLISTED;
}

static void enlist(struct buddy *buddy, uint32_t index, unsigned int order)
{
	struct buddy_chunk *chunk = &buddy->chunk[index];

	chunk->list = (uint8_t)order;
	chunk->prev = BUDDY_NONE;
	chunk->next = buddy->head[order];
	if (chunk->next != BUDDY_NONE)
		buddy->chunk[chunk->next].prev = index;
	buddy->head[order] = index;
	buddy->has |= 1u << order;
}

/* A chunk that is whole now. With its other half it makes a pair; the first stands for both. */
static void enlist_whole(struct buddy *buddy, uint32_t index)
{
	uint32_t other = index ^ 1;

	unlist(buddy, index);
	if (buddy->chunk[other].list != WHOLE) {
		enlist(buddy, index, WHOLE);
		return;
	}
	unlist(buddy, other);
	enlist(buddy, index & ~1u, PAIR);
	buddy->chunk[index | 1].list = BUDDY_SECOND;
}

/* Out of its list, for blocks to be taken: a pair is parted. */
static void take_out(struct buddy *buddy, uint32_t index)
{
	bool is_pair = buddy->chunk[index].list == PAIR;

	unlist(buddy, index);
	if (is_pair)
		enlist(buddy, index + 1, WHOLE);
}

static void take_whole(struct buddy *buddy, uint32_t index)
{
	struct buddy_chunk *chunk = &buddy->chunk[index];

	take_out(buddy, index);
	for (unsigned int i = 0; i < BUDDY_CHUNK_WORDS; i++)
		chunk->free[i] = 0;
	chunk->count = 0;
	buddy->free_frames -= BUDDY_CHUNK_FRAMES;
}

/* Unrolled: for single frames this loop is most of what taking them costs. */
static void write_run(aero_frame *out, aero_frame first, size_t count)
{
	for (; count >= 8; count -= 8, out += 8, first += 8) {
		out[0] = first;
		out[1] = first + 1;
		out[2] = first + 2;
		out[3] = first + 3;
		out[4] = first + 4;
		out[5] = first + 5;
		out[6] = first + 6;
		out[7] = first + 7;
	}
	while (count--)
		*out++ = first++;
}

static size_t take_frames(struct buddy_chunk *chunk, aero_frame base, aero_frame *out, size_t count)
{
	size_t got = 0;

	for (unsigned int i = 0; i < BUDDY_CHUNK_WORDS; i++, base += 64) {
		while (chunk->free[i] && got < count) {
			unsigned int at = bits_lowest(chunk->free[i]);
			unsigned int run = bits_run(chunk->free[i], at);

			if (run > count - got)
				run = (unsigned int)(count - got);
			write_run(out + got, base + at, run);
			chunk->free[i] &= ~bits_mask(at, run);
			got += run;
		}
	}
	return got;
}

/* Blocks within a word. */
static size_t take_small(struct buddy_chunk *chunk, unsigned int order, aero_frame base,
			 aero_frame *out, size_t count)
{
	size_t got = 0;

	for (unsigned int i = 0; i < BUDDY_CHUNK_WORDS; i++, base += 64) {
		uint64_t starts = bits_blocks(chunk->free[i], order);

		for (; starts && got < count; starts &= starts - 1) {
			unsigned int at = bits_lowest(starts);

			out[got++] = base + at;
			chunk->free[i] &= ~bits_mask(at, 1u << order);
		}
	}
	return got;
}

/* Blocks of several words. */
static size_t take_words(struct buddy_chunk *chunk, unsigned int order, aero_frame base,
			 aero_frame *out, size_t count)
{
	unsigned int words = 1u << (order - 6);
	size_t got = 0;

	for (unsigned int i = 0; i < BUDDY_CHUNK_WORDS && got < count; i += words) {
		if (!bits_are_full(chunk->free + i, words))
			continue;
		for (unsigned int j = 0; j < words; j++)
			chunk->free[i + j] = 0;
		out[got++] = base + 64 * i;
	}
	return got;
}

/* From a chunk that may have some; one that has not is listed lower. */
static size_t take_from(struct buddy *buddy, uint32_t index, unsigned int order, aero_frame *out,
			size_t count)
{
	struct buddy_chunk *chunk = &buddy->chunk[index];
	aero_frame base = (aero_frame)index * BUDDY_CHUNK_FRAMES;
	size_t got;

	if (chunk->list >= WHOLE) {
		take_out(buddy, index);
		enlist(buddy, index, WHOLE - 1);
	}
	if (order == 0)
		got = take_frames(chunk, base, out, count);
	else if (order <= 6)
		got = take_small(chunk, order, base, out, count);
	else
		got = take_words(chunk, order, base, out, count);
	chunk->count = (uint16_t)(chunk->count - (got << order));
	buddy->free_frames -= (uint64_t)got << order;
	/* Emptied, of everything or of blocks this large. */
	if (!chunk->count || got < count) {
		unlist(buddy, index);
		if (chunk->count)
			enlist(buddy, index, order - 1);
	}
	return got;
}

static size_t take_chunks(struct buddy *buddy, unsigned int order, aero_frame *out, size_t count)
{
	size_t got = 0;

	for (; got < count && buddy->has >> order; got++) {
		uint32_t index = buddy->head[bits_lowest(buddy->has >> order) + order];

		take_whole(buddy, index);
		if (order == PAIR)
			take_whole(buddy, index + 1);
		out[got] = (aero_frame)index * BUDDY_CHUNK_FRAMES;
	}
	return got;
}

size_t buddy_take(struct buddy *buddy, unsigned int order, aero_frame *out, size_t count)
{
	size_t got = 0;

	if (order > BUDDY_ORDER_MAX)
		return 0;
	if (order >= WHOLE)
		return take_chunks(buddy, order, out, count);
	while (got < count && buddy->has >> order) {
		uint32_t index = buddy->head[bits_lowest(buddy->has >> order) + order];

		got += take_from(buddy, index, order, out + got, count - got);
	}
	return got;
}

/* The order of the largest block that holds a word which has changed. */
static unsigned int order_around(const struct buddy_chunk *chunk, unsigned int word)
{
	unsigned int order = bits_order(chunk->free[word]);

	if (order == 6 && bits_are_full(chunk->free + (word & ~1u), 2))
		order = bits_are_full(chunk->free + (word & ~3u), 4) ? 8 : 7;
	return order;
}

/* Frames of one chunk; answers the order that it has now. */
static unsigned int give_bits(struct buddy_chunk *chunk, unsigned int at, unsigned int count)
{
	unsigned int order = 0;

	while (count) {
		unsigned int word = at / 64;
		unsigned int bits = 64 - at % 64 < count ? 64 - at % 64 : count;
		uint64_t mask = bits_mask(at % 64, bits);
		unsigned int here;

		if (chunk->free[word] & mask)
			panic("a frame was freed twice");
		chunk->free[word] |= mask;
		here = order_around(chunk, word);
		order = here > order ? here : order;
		at += bits;
		count -= bits;
	}
	return order;
}

static void give_in_chunk(struct buddy *buddy, uint32_t index, unsigned int at, unsigned int count)
{
	struct buddy_chunk *chunk = &buddy->chunk[index];
	unsigned int order = give_bits(chunk, at, count);

	chunk->count = (uint16_t)(chunk->count + count);
	buddy->free_frames += count;
	if (chunk->count == BUDDY_CHUNK_FRAMES) {
		enlist_whole(buddy, index);
	} else if (chunk->list == BUDDY_UNLISTED || chunk->list < order) {
		unlist(buddy, index);
		enlist(buddy, index, order);
	}
}

void buddy_give_run(struct buddy *buddy, aero_frame first, uint64_t count)
{
	while (count) {
		unsigned int at = (unsigned int)(first % BUDDY_CHUNK_FRAMES);
		unsigned int here = BUDDY_CHUNK_FRAMES - at;

		if (first / BUDDY_CHUNK_FRAMES >= buddy->chunk_count)
			panic("a frame was freed that is none");
		if (here > count)
			here = (unsigned int)count;
		give_in_chunk(buddy, (uint32_t)(first / BUDDY_CHUNK_FRAMES), at, here);
		first += here;
		count -= here;
	}
}

/* Mostly neighbours come back together. */
void buddy_give(struct buddy *buddy, unsigned int order, const aero_frame *frames, size_t count)
{
	aero_frame step = (aero_frame)1 << order;

	while (count) {
		aero_frame first = *frames;
		size_t run = 1;

		while (run < count && frames[run] == first + run * step)
			run++;
		buddy_give_run(buddy, first, (uint64_t)run << order);
		frames += run;
		count -= run;
	}
}
