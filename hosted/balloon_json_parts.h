/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_BALLOON_JSON_PARTS_H
#define AEROSTAT_HOSTED_BALLOON_JSON_PARTS_H

/* Pieces of JSON that balloons of all protocols have. The keys are those of docs/control.md. */

#include <aerostat/host/ledger.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hosted/guest_memory.h"

/* A counter of a struct: its key, and where it is. All of them are uint64_t. */
struct aero_json_counter {
	const char *key;
	size_t offset;
};

/* clang-format off */
#define AERO_JSON_COUNTER(type, member, key) { key, offsetof(type, member) }
/* clang-format on */

/* All counters of a table as an object. */
#define AERO_JSON_COUNTERS(table, from) \
	aero_json_counters(table, sizeof(table) / sizeof((table)[0]), from)

/**
 * aero_json_counters() - Counters of a struct.
 * @table: Which, in order.
 * @count: How many.
 * @from:  The struct.
 *
 * Shape:   an object, name to number. See AERO_JSON_COUNTERS().
 * Owner:   a new reference. Without memory it is NULL, or members are missing.
 * Errors:  none.
 * Context: any.
 * Source:  docs/control.md.
 */
json_t *aero_json_counters(const struct aero_json_counter *table, size_t count, const void *from);

/**
 * aero_json_number() - A counter as JSON.
 * @number: Any number.
 *
 * Shape:   an integer below 2^63, else the nearest real number.
 * Owner:   a new reference. Without memory it is NULL, or members are missing.
 * Errors:  none.
 * Context: any.
 * Source:  Jansson's integers are signed.
 */
json_t *aero_json_number(uint64_t number);

/* Members of an object; frames are put as bytes. */
void aero_json_put_number(json_t *out, const char *key, uint64_t number);
void aero_json_put_frames(json_t *out, const char *key, uint64_t frames);
void aero_json_put_text(json_t *out, const char *key, const char *text);
void aero_json_put_bool(json_t *out, const char *key, bool is_true);

/* Members of "status" about the guest's memory. */
void aero_balloon_json_put_memory(json_t *out, const struct aero_guest_memory *memory);

/* The objects "ledger" and "memory" of the counters. */
json_t *aero_balloon_json_ledger(const struct aero_ledger_counters *counters);
json_t *aero_balloon_json_memory(const struct aero_guest_memory_counters *counters);

/**
 * aero_balloon_json_inhibits() - Reasons not to discard.
 * @reasons: Bits of enum aero_inhibit.
 *
 * Shape:   an array of names.
 * Owner:   a new reference. Without memory it is NULL, or members are missing.
 * Errors:  none.
 * Context: any.
 * Source:  docs/control.md.
 */
json_t *aero_balloon_json_inhibits(uint32_t reasons);

/**
 * aero_inhibit_name() - The name of a reason not to discard.
 * @bit: Number of the bit in enum aero_inhibit, from 0.
 *
 * Shape:   such as "snapshot"; NULL for others than 0 to 3.
 * Owner:   static storage.
 * Errors:  none.
 * Context: any.
 * Source:  docs/control.md.
 */
const char *aero_inhibit_name(unsigned int bit);

#endif
