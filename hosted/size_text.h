/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_SIZE_TEXT_H
#define AEROSTAT_HOSTED_SIZE_TEXT_H

/* Amounts of memory as people write and read them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hosted/error.h"

/* A size that may depend on how much memory there is. */
struct aero_size {
	bool is_share;	/* of the whole: look at share; else at bytes */
	uint64_t bytes; /* fewer than 2^63: what JSON can carry */
	uint64_t share; /* billionths, at most 10^9 */
};

/* Room for what aero_size_format() writes. */
#define AERO_SIZE_TEXT_BYTES 32

/**
 * aero_size_parse() - Read a size.
 * @text:     Such as "268435456", "256M", "1.5GiB", "40%".
 * @out_size: The size.
 * @error:    What is wrong with it, with the position; may be NULL.
 *
 * Shape:   digits, then one of K M G T (powers of 1024; lower case and a following "iB" are fine)
 *          or %. Up to six decimals before a unit or %.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EINVAL: not a size. AERO_ERANGE: 2^63 bytes or more, or more than 100 %.
 * Context: any.
 * Source:  docs/aerostat.1.
 */
enum aero_status aero_size_parse(const char *text, struct aero_size *out_size,
				 struct aero_error *error);

/**
 * aero_size_bytes() - A size in bytes.
 * @size:        Parsed.
 * @whole_bytes: What a share is of.
 *
 * Shape:   rounded down to whole bytes.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
uint64_t aero_size_bytes(const struct aero_size *size, uint64_t whole_bytes);

/**
 * aero_size_format() - Write a size for people.
 * @bytes: Any number.
 * @out:   Room for AERO_SIZE_TEXT_BYTES.
 *
 * Shape:   "256 MiB" where that is exact, else two decimals. Answers out.
 * Owner:   out stays the caller's.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
const char *aero_size_format(uint64_t bytes, char out[AERO_SIZE_TEXT_BYTES]);

#endif
