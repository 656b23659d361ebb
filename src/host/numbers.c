/* SPDX-License-Identifier: MIT */
#include "numbers.h"

#include "../core/platform.h"

void aero_write_numbers(const struct aero_sink *sink, const uint64_t *numbers, size_t count,
			enum aero_status *status)
{
	uint8_t bytes[8];
	size_t i;

	for (i = 0; i < count && *status == AERO_OK; i++) {
		aero_put_le64(bytes, numbers[i]);
		*status = sink->write(sink->ctx, bytes, sizeof(bytes));
	}
}

void aero_read_numbers(const struct aero_source *source, uint64_t *numbers, size_t count,
		       enum aero_status *status)
{
	uint8_t bytes[8];
	size_t i;

	for (i = 0; i < count; i++) {
		if (*status == AERO_OK)
			*status = source->read(source->ctx, bytes, sizeof(bytes));
		numbers[i] = *status == AERO_OK ? aero_get_le64(bytes) : 0;
	}
}
