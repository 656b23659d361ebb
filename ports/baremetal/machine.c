/* SPDX-License-Identifier: MIT */
#include "machine.h"

struct machine machine;

void machine_add_mmio(struct machine *out, const struct mmio_slot *slot)
{
	if (out->mmio_count < MACHINE_MMIO_MAX)
		out->mmio[out->mmio_count++] = *slot;
}
