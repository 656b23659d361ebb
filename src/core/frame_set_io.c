/* SPDX-License-Identifier: MIT */
/*
 * A frame set as a stream of records, each a le64 head and what it announces:
 *
 *     head = 0                 the end
 *     head = count << 1        one range: le64 first follows
 *     head = leaf << 1 | 1     one leaf: 512 le64 words follow
 */
#include "frame_set_tree.h"
#include "platform.h"

/* A leaf with more runs than this is shorter as a bitmap. */
#define RUNS_MAX (AERO_NODE_BYTES / 16)

/* Words in one write, to keep the stack small. */
#define CHUNK_WORDS 32

static enum aero_status write_number(const struct aero_sink *sink, uint64_t number)
{
	uint8_t bytes[8];

	aero_put_le64(bytes, number);
	return sink->write(sink->ctx, bytes, sizeof(bytes));
}

static enum aero_status read_number(const struct aero_source *source, uint64_t *out)
{
	uint8_t bytes[8];
	enum aero_status status = source->read(source->ctx, bytes, sizeof(bytes));

	if (status == AERO_OK)
		*out = aero_get_le64(bytes);
	return status;
}

static enum aero_status write_range(const struct aero_sink *sink, struct aero_range range)
{
	enum aero_status status = write_number(sink, range.count << 1);

	return status == AERO_OK ? write_number(sink, range.first) : status;
}

static enum aero_status write_leaf(const struct aero_sink *sink, uint64_t leaf,
				   const struct aero_frame_set_entry *e)
{
	uint8_t bytes[CHUNK_WORDS * 8];
	enum aero_status status = write_number(sink, leaf << 1 | 1);
	unsigned int w;
	unsigned int i;

	for (w = 0; w < LEAF_WORDS && status == AERO_OK; w += CHUNK_WORDS) {
		for (i = 0; i < CHUNK_WORDS; i++)
			aero_put_le64(bytes + i * 8, aero_frame_set_word(e, w + i));
		status = sink->write(sink->ctx, bytes, sizeof(bytes));
	}
	return status;
}

/* Whether a leaf has so many runs that its bitmap is shorter: counts rising edges. */
static bool is_ragged(const struct aero_frame_set_entry *e)
{
	unsigned int runs = 0;
	uint64_t carry = 0;
	unsigned int w;

	for (w = 0; w < LEAF_WORDS; w++) {
		uint64_t word = aero_frame_set_word(e, w);

		runs += aero_popcount(word & ~(word << 1 | carry));
		carry = word >> 63;
	}
	return runs > RUNS_MAX;
}

enum aero_status aero_frame_set_save(const struct aero_frame_set *set, const struct aero_sink *sink)
{
	struct aero_frame_set_entry *e;
	enum aero_status status = AERO_OK;
	uint64_t leaf;

	for (leaf = 0; status == AERO_OK && (e = aero_frame_set_entry_from(set, &leaf)); leaf++) {
		struct aero_range run = { leaf * LEAF_FRAMES, 0 };
		aero_frame end = run.first + LEAF_FRAMES;

		if (is_ragged(e)) {
			status = write_leaf(sink, leaf, e);
			continue;
		}
		while (status == AERO_OK && run.first + run.count < end &&
		       aero_frame_set_next(set, run.first + run.count, LEAF_FRAMES, &run) &&
		       run.first < end) {
			if (run.count > end - run.first)
				run.count = end - run.first;
			status = write_range(sink, run);
		}
	}
	return status == AERO_OK ? write_number(sink, 0) : status;
}

/* Insert the set bits of one word. */
static enum aero_status insert_word(struct aero_frame_set *set, aero_frame first, uint64_t word)
{
	enum aero_status status = AERO_OK;
	uint64_t added;

	while (word && status == AERO_OK) {
		unsigned int lo = aero_low_bit(word);
		uint64_t above = ~(word >> lo);
		unsigned int n = above ? aero_low_bit(above) : WORD_BITS;
		struct aero_range run = { first + lo, n };

		status = aero_frame_set_insert(set, run, &added);
		word &= ~aero_bits(lo, n);
	}
	return status;
}

static enum aero_status read_leaf(struct aero_frame_set *set, const struct aero_source *source,
				  uint64_t leaf)
{
	enum aero_status status = leaf < LEAF_LIMIT ? AERO_OK : AERO_EPROTO;
	unsigned int w;

	for (w = 0; w < LEAF_WORDS && status == AERO_OK; w++) {
		uint64_t word;

		status = read_number(source, &word);
		if (status == AERO_OK)
			status = insert_word(set, leaf * LEAF_FRAMES + w * WORD_BITS, word);
	}
	return status;
}

static enum aero_status read_range(struct aero_frame_set *set, const struct aero_source *source,
				   uint64_t count)
{
	struct aero_range range = { 0, count };
	enum aero_status status = read_number(source, &range.first);
	uint64_t added;

	/* A save() cuts ranges at leaves; this bounds the work that one record can ask for. */
	if (status == AERO_OK && count > LEAF_FRAMES)
		status = AERO_EPROTO;
	if (status == AERO_OK)
		status = aero_frame_set_insert(set, range, &added);
	return status == AERO_ERANGE ? AERO_EPROTO : status;
}

enum aero_status aero_frame_set_restore(struct aero_frame_set *set,
					const struct aero_source *source)
{
	for (;;) {
		uint64_t head;
		enum aero_status status = read_number(source, &head);

		if (status != AERO_OK || !head)
			return status;
		if (head & 1)
			status = read_leaf(set, source, head >> 1);
		else
			status = read_range(set, source, head >> 1);
		if (status != AERO_OK)
			return status;
	}
}
