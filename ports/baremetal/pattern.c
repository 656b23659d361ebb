/* SPDX-License-Identifier: MIT */
#include "pattern.h"
#include "arch/arch.h"

#define WORDS (AERO_FRAME_BYTES / sizeof(uint64_t))
#define ORDER_LARGE 9u

/* Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (SplitMix64). */
static uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint64_t *words_of(aero_frame frame)
{
	return (uint64_t *)(uintptr_t)(frame << AERO_FRAME_SHIFT);
}

/* Odd, as is what is added for each word: the words of a frame are all different. */
static uint64_t first_word(const struct pattern *pattern, aero_frame frame)
{
	return mix(pattern->seed ^ mix(frame)) | 1;
}

static void fill_frame(const struct pattern *pattern, aero_frame frame)
{
	uint64_t *word = words_of(frame);
	uint64_t value = first_word(pattern, frame);
	uint64_t step = value << 1 | 1;

	for (size_t i = 0; i < WORDS; i += 4) {
		word[i] = value;
		word[i + 1] = value + step;
		word[i + 2] = value + 2 * step;
		word[i + 3] = value + 3 * step;
		value += 4 * step;
	}
}

static bool has_kept(const struct pattern *pattern, aero_frame frame)
{
	const uint64_t *word = words_of(frame);
	uint64_t value = first_word(pattern, frame);
	uint64_t step = value << 1 | 1;
	uint64_t wrong = 0;

	for (size_t i = 0; i < WORDS; i += 4) {
		wrong |= word[i] ^ value;
		wrong |= word[i + 1] ^ (value + step);
		wrong |= word[i + 2] ^ (value + 2 * step);
		wrong |= word[i + 3] ^ (value + 3 * step);
		value += 4 * step;
	}
	return wrong == 0;
}

static bool take_block(struct pattern *pattern, unsigned int order)
{
	aero_frame first;

	if (!memory_take(order, &first)) {
		memory.large_failures += order == ORDER_LARGE;
		return false;
	}
	memory.large_blocks += order == ORDER_LARGE;
	frame_bits_add(&pattern->frames, first, 1ull << order);
	for (uint64_t i = 0; i < 1ull << order; i++)
		fill_frame(pattern, first + i);
	return true;
}

bool pattern_fill(struct pattern *pattern, uint64_t frames)
{
	uint64_t page = 1ull << memory.page_order;
	uint64_t wanted = pattern->frames.count + ((frames + page - 1) & ~(page - 1));

	if (!pattern->frames.count)
		pattern->seed = mix(arch_now_ns());
	while (pattern->frames.count < wanted) {
		bool is_large = wanted - pattern->frames.count >= 1u << ORDER_LARGE;

		if (is_large && take_block(pattern, ORDER_LARGE))
			continue;
		if (take_block(pattern, memory.page_order))
			continue;
		return false;
	}
	return true;
}

bool pattern_check(const struct pattern *pattern, aero_frame *out_frame)
{
	struct aero_range run = { 0, 0 };

	while (frame_bits_next(&pattern->frames, run.first + run.count, &run)) {
		for (uint64_t i = 0; i < run.count; i++) {
			if (has_kept(pattern, run.first + i))
				continue;
			*out_frame = run.first + i;
			return false;
		}
	}
	return true;
}

void pattern_free(struct pattern *pattern)
{
	struct aero_range run = { 0, 0 };

	while (frame_bits_next(&pattern->frames, run.first + run.count, &run)) {
		frame_bits_remove(&pattern->frames, run.first, run.count);
		memory_give(run.first, run.count);
	}
}

uint64_t pattern_digest(const struct pattern *pattern)
{
	struct aero_range run = { 0, 0 };
	uint64_t digest = pattern->seed;

	while (frame_bits_next(&pattern->frames, run.first + run.count, &run)) {
		for (uint64_t i = 0; i < run.count; i++)
			digest = mix(digest ^ words_of(run.first + i)[i % WORDS]);
	}
	return digest;
}
