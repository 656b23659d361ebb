/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_SIM_INTERNAL_H
#define AEROSTAT_PORTS_SIM_INTERNAL_H

#include "ports/sim/sim_port.h"

/* Own pages: a small arena with real memory behind it. put, frame: false if it is none of them. */
void sim_pages_init(struct sim_port *sim);
void sim_pages_fini(struct sim_port *sim);
void *sim_pages_get(struct sim_port *sim);
void *sim_pages_get_span(struct sim_port *sim, uint64_t count);
bool sim_pages_put(struct sim_port *sim, void *page);
bool sim_pages_frame(const struct sim_port *sim, void *page, aero_frame *out_frame);

/* Whether a frame lies in the arena, and whether it is given out. */
bool sim_pages_has(const struct sim_port *sim, aero_frame frame);
bool sim_pages_is_used(const struct sim_port *sim, aero_frame frame);

/* Where split() is NULL, naming a part of a block splits it. */
void sim_port_split_for(struct sim_port *sim, unsigned int order, aero_frame first);

/* The table for host models. */
void sim_memory_init(struct sim_port *sim);

#endif
