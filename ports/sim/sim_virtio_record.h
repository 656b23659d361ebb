/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_SIM_VIRTIO_RECORD_H
#define AEROSTAT_PORTS_SIM_VIRTIO_RECORD_H

/*
 * A transport that passes everything on to another one, counts it and, with an array for them,
 * remembers each access in its order.
 */

#include <aerostat/guest/virtio_transport.h>

enum sim_virtio_access {
	SIM_VIRTIO_FEATURES,
	SIM_VIRTIO_ACCEPT,	 /* value: features */
	SIM_VIRTIO_STATUS,	 /* value: what was read */
	SIM_VIRTIO_SET_STATUS,	 /* value: what is written */
	SIM_VIRTIO_CONFIG_READ,	 /* where: offset, bytes; value: little-endian, at most 8 bytes */
	SIM_VIRTIO_CONFIG_WRITE, /* likewise */
	SIM_VIRTIO_GENERATION,
	SIM_VIRTIO_QUEUE_SIZE,	/* where: index; value: entries */
	SIM_VIRTIO_QUEUE_START, /* where: index, bytes: entries; value: address of desc */
	SIM_VIRTIO_NOTIFY,	/* where: index */
	SIM_VIRTIO_INTERRUPTS,	/* value: what was taken */
	SIM_VIRTIO_ACCESSES,
};

struct sim_virtio_entry {
	enum sim_virtio_access access;
	uint32_t where;
	uint32_t bytes;
	uint64_t value;
};

struct sim_virtio_record {
	struct aero_virtio_transport transport;
	const struct aero_virtio_transport *behind;
	uint64_t count[SIM_VIRTIO_ACCESSES];
	uint64_t total; /* entries that there were, also those without room */
	struct sim_virtio_entry *entries;
	uint64_t room;
};

/* behind outlives it. entries: room for so many, the first are kept; NULL and 0: only counts. */
void sim_virtio_record_init(struct sim_virtio_record *record,
			    const struct aero_virtio_transport *behind,
			    struct sim_virtio_entry *entries, uint64_t room);

/* Counts and entries start anew. */
void sim_virtio_record_clear(struct sim_virtio_record *record);

/* Accesses that leave a guest: notifications, reads and writes of configuration space. */
uint64_t sim_virtio_record_exits(const struct sim_virtio_record *record);

#endif
