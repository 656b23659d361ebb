/* SPDX-License-Identifier: MIT */
#ifndef AERO_HOST_NUMBERS_H
#define AERO_HOST_NUMBERS_H

/* Saved states are streams of le64 numbers: both ends of that, with the first error kept. */

#include <aerostat/stream.h>

/* Writes count numbers; does nothing where *status is an error already. */
void aero_write_numbers(const struct aero_sink *sink, const uint64_t *numbers, size_t count,
			enum aero_status *status);

/* Reads count numbers; zeroes them where *status is an error already or becomes one. */
void aero_read_numbers(const struct aero_source *source, uint64_t *numbers, size_t count,
		       enum aero_status *status);

#endif
