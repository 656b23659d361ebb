/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_PORT_H
#define AEROSTAT_PORTS_BAREMETAL_PORT_H

/* The port of Aerostat: include/aerostat/port.h around this kernel's allocator. */

#include "memory.h"

#include <aerostat/port.h>

struct port_options {
	uint32_t orders; /* to offer; 0: pages and 2 MiB */
	bool has_marks;	 /* keep a book of frames that have left, and check it */
};

/* Before memory_start(), which takes the map. */
void port_init(const struct port_options *options, struct memory_map *map);

extern struct aero_port port;

/* Frames that are marked as gone, where there are marks, and the first run of them from one on. */
uint64_t port_marked_frames(void);
bool port_marked_run(aero_frame from, struct aero_range *out_run);

#endif
