/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_SIM_VIRTIO_MMIO_H
#define AEROSTAT_PORTS_SIM_VIRTIO_MMIO_H

/*
 * The memory mapped registers of a virtio balloon in front of any device: version 1 if the
 * transport behind is legacy, else version 2.
 */

#include <aerostat/guest/virtio_mmio.h>

#include "ports/sim/sim_registers.h"

struct sim_virtio_mmio {
	struct aero_virtio_mmio_registers window;
	struct sim_registers registers;
	/* What the first registers say; may be changed. */
	uint32_t magic;
	uint32_t version;
	uint32_t device_id;
	/* Legacy, as the driver wrote them. */
	uint32_t page_bytes;
	uint32_t align;
};

void sim_virtio_mmio_init(struct sim_virtio_mmio *mmio, const struct aero_virtio_transport *behind,
			  char *text, size_t room);

#endif
