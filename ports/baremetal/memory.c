/* SPDX-License-Identifier: MIT */
#include "memory.h"
#include "buddy_bits.h"
#include "console.h"

struct memory memory;

static void *need(struct memory_map *map, uint64_t bytes)
{
	void *at = memory_map_take(map, bytes);

	if (!at)
		panic("too little memory to keep account of it");
	return at;
}

static uint32_t *words_of(aero_frame frame)
{
	return (uint32_t *)(uintptr_t)(frame << AERO_FRAME_SHIFT);
}

void memory_poison(aero_frame first, uint64_t count)
{
	uint64_t words = count * AERO_FRAME_BYTES / sizeof(uint32_t);
	uint32_t *word = words_of(first);

	for (uint64_t i = 0; memory.has_poison && i < words; i++)
		word[i] = memory.poison;
}

static void check_poison(aero_frame first, uint64_t count)
{
	uint64_t words = count * AERO_FRAME_BYTES / sizeof(uint32_t);
	const uint32_t *word = words_of(first);

	for (uint64_t i = 0; memory.has_poison && i < words; i++) {
		if (word[i] != memory.poison)
			panic_at("free memory has changed:", "it", word[i], (uintptr_t)&word[i]);
	}
}

bool memory_take(unsigned int order, aero_frame *out_first)
{
	if (!buddy_take(&memory.buddy, order, out_first, 1))
		return false;
	check_poison(*out_first, 1ull << order);
	return true;
}

void memory_give(aero_frame first, uint64_t count)
{
	memory_poison(first, count);
	buddy_give_run(&memory.buddy, first, count);
}

/* Called once, after the last frame_bits_init(). */
void memory_start(struct memory_map *map)
{
	memory.end = memory_map_end(map) >> AERO_FRAME_SHIFT;
	buddy_init(&memory.buddy, need(map, buddy_bytes(memory.end)), memory.end);
	for (size_t i = 0; i < map->count; i++) {
		aero_frame first = map->area[i].begin >> AERO_FRAME_SHIFT;
		uint64_t count = (map->area[i].end >> AERO_FRAME_SHIFT) - first;

		memory_poison(first, count);
		buddy_give_run(&memory.buddy, first, count);
	}
	memory.managed_frames = memory.buddy.free_frames;
	if (!memory.managed_frames)
		panic("there is no memory");
}

void frame_bits_init(struct frame_bits *bits, struct memory_map *map)
{
	uint64_t words = (memory_map_end(map) >> AERO_FRAME_SHIFT) / 64 + 1;

	bits->end = words * 64;
	bits->word = need(map, words * sizeof(*bits->word));
	bits->count = 0;
	for (uint64_t i = 0; i < words; i++)
		bits->word[i] = 0;
}

/* Turns bits that are all the same. */
static void turn(struct frame_bits *bits, aero_frame first, uint64_t count, bool is_set)
{
	if (first >= bits->end || count > bits->end - first)
		panic("a frame was named that is none");
	while (count) {
		unsigned int at = (unsigned int)(first % 64);
		unsigned int here = 64 - at < count ? 64 - at : (unsigned int)count;
		uint64_t mask = bits_mask(at, here);
		uint64_t *word = &bits->word[first / 64];

		if ((*word & mask) != (is_set ? 0 : mask))
			panic(is_set ? "a frame has two owners" : "a frame is not its owner's");
		*word ^= mask;
		first += here;
		count -= here;
	}
}

void frame_bits_add(struct frame_bits *bits, aero_frame first, uint64_t count)
{
	turn(bits, first, count, true);
	bits->count += count;
}

void frame_bits_remove(struct frame_bits *bits, aero_frame first, uint64_t count)
{
	turn(bits, first, count, false);
	bits->count -= count;
}

bool frame_bits_next(const struct frame_bits *bits, aero_frame from, struct aero_range *out_run)
{
	aero_frame at = from;

	while (at < bits->end) {
		uint64_t word = bits->word[at / 64] >> at % 64;

		if (word) {
			at += bits_lowest(word);
			break;
		}
		at = (at | 63) + 1;
	}
	if (at >= bits->end)
		return false;
	out_run->first = at;
	while (at < bits->end) {
		unsigned int run = bits_run(bits->word[at / 64], (unsigned int)(at % 64));

		at += run;
		if (run == 0 || at % 64)
			break;
	}
	out_run->count = at - out_run->first;
	return true;
}
