/* SPDX-License-Identifier: MIT */
#include "hosted/balloon_json_parts.h"

#define LEDGER(name, key) AERO_JSON_COUNTER(struct aero_ledger_counters, name, key)
#define MEMORY(name, key) AERO_JSON_COUNTER(struct aero_guest_memory_counters, name, key)

static const struct aero_json_counter ledger_counters[] = {
	LEDGER(given, "given_frames"),
	LEDGER(given_twice, "given_twice_frames"),
	LEDGER(returned, "returned_frames"),
	LEDGER(returned_twice, "returned_twice_frames"),
	LEDGER(never_given, "never_given_frames"),
	LEDGER(out_of_range, "out_of_range_frames"),
	LEDGER(unrecorded, "unrecorded_frames"),
	LEDGER(runs, "runs"),
	LEDGER(cancelled, "cancelled_frames"),
	LEDGER(dropped, "dropped_frames"),
	LEDGER(discards, "discards"),
	LEDGER(discard_failures, "discard_failures"),
	LEDGER(discard_asked_bytes, "discard_asked_bytes"),
	LEDGER(discard_freed_bytes, "discard_freed_bytes"),
	LEDGER(blocks_whole, "blocks_whole"),
	LEDGER(blocks_split, "blocks_split"),
};

static const struct aero_json_counter memory_counters[] = {
	MEMORY(discards, "discards"),
	MEMORY(asked_bytes, "discard_asked_bytes"),
	MEMORY(freed_bytes, "discard_freed_bytes"),
	MEMORY(failures, "discard_failures"),
};

/* A counter that is added to a struct must be added here. */
_Static_assert(sizeof(ledger_counters) / sizeof(ledger_counters[0]) * sizeof(uint64_t) ==
		       sizeof(struct aero_ledger_counters),
	       "a counter of the ledger is missing");
_Static_assert(sizeof(memory_counters) / sizeof(memory_counters[0]) * sizeof(uint64_t) ==
		       sizeof(struct aero_guest_memory_counters),
	       "a counter of the memory is missing");

json_t *aero_json_counters(const struct aero_json_counter *table, size_t count, const void *from)
{
	json_t *out = json_object();
	size_t i;

	for (i = 0; i < count; i++) {
		const void *at = (const char *)from + table[i].offset;

		aero_json_put_number(out, table[i].key, *(const uint64_t *)at);
	}
	return out;
}

json_t *aero_json_number(uint64_t number)
{
	if (number > INT64_MAX)
		return json_real((double)number);
	return json_integer((json_int_t)number);
}

void aero_json_put_number(json_t *out, const char *key, uint64_t number)
{
	json_object_set_new(out, key, aero_json_number(number));
}

void aero_json_put_frames(json_t *out, const char *key, uint64_t frames)
{
	aero_json_put_number(out, key, frames << AERO_FRAME_SHIFT);
}

void aero_json_put_text(json_t *out, const char *key, const char *text)
{
	json_object_set_new(out, key, json_string(text));
}

void aero_json_put_bool(json_t *out, const char *key, bool is_true)
{
	json_object_set_new(out, key, json_boolean(is_true));
}

void aero_balloon_json_put_memory(json_t *out, const struct aero_guest_memory *memory)
{
	const struct aero_backing *backing = &memory->host.backing;

	aero_json_put_number(out, "guest_memory_bytes", aero_guest_memory_bytes(memory));
	aero_json_put_number(out, "resident_bytes", aero_guest_memory_resident_bytes(memory));
	aero_json_put_number(out, "memory_regions", memory->count);
	aero_json_put_frames(out, "discard_unit_bytes", 1ull << backing->discard_order);
	aero_json_put_frames(out, "block_bytes", 1ull << backing->block_order);
}

json_t *aero_balloon_json_ledger(const struct aero_ledger_counters *counters)
{
	return AERO_JSON_COUNTERS(ledger_counters, counters);
}

json_t *aero_balloon_json_memory(const struct aero_guest_memory_counters *counters)
{
	return AERO_JSON_COUNTERS(memory_counters, counters);
}

json_t *aero_balloon_json_inhibits(uint32_t reasons)
{
	json_t *list = json_array();
	unsigned int bit;

	for (bit = 0; aero_inhibit_name(bit); bit++) {
		if (reasons >> bit & 1)
			json_array_append_new(list, json_string(aero_inhibit_name(bit)));
	}
	return list;
}
