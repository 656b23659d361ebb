/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_BUDDY_BITS_H
#define AEROSTAT_PORTS_BAREMETAL_BUDDY_BITS_H

/* Words with a bit for each free frame. */

#include <stdbool.h>
#include <stdint.h>

/* word is not 0. */
static inline unsigned int bits_lowest(uint64_t word)
{
	return (unsigned int)__builtin_ctzll(word);
}

/* count is 1 to 64, first + count at most 64. */
static inline uint64_t bits_mask(unsigned int first, unsigned int count)
{
	return (~0ull >> (64 - count)) << first;
}

/* How many bits are set from one that is set on. */
static inline unsigned int bits_run(uint64_t word, unsigned int first)
{
	uint64_t rest = ~(word >> first);

	return rest ? bits_lowest(rest) : 64;
}

/* A bit for each free block of an order, at its first frame; order is at most 6. */
static inline uint64_t bits_blocks(uint64_t word, unsigned int order)
{
	static const uint64_t aligned[] = {
		~0ull,
		0x5555555555555555ull,
		0x1111111111111111ull,
		0x0101010101010101ull,
		0x0001000100010001ull,
		0x0000000100000001ull,
		1,
	};

	for (unsigned int i = 0; i < order; i++)
		word &= word >> (1u << i) & aligned[i + 1];
	return word;
}

/* The largest order that a word has blocks of; word is not 0. */
static inline unsigned int bits_order(uint64_t word)
{
	unsigned int order = 0;

	if (word == ~0ull)
		return 6;
	while (bits_blocks(word, order + 1))
		order++;
	return order;
}

static inline bool bits_are_full(const uint64_t *words, unsigned int count)
{
	uint64_t all = ~0ull;

	while (count--)
		all &= *words++;
	return all == ~0ull;
}

#endif
