/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_BALLOON_JSON_VMWARE_H
#define AEROSTAT_HOSTED_BALLOON_JSON_VMWARE_H

/*
 * A host of VMware's balloon as JSON, with the keys of docs/control.md. Functions answer a new
 * reference; without memory it is NULL, or members are missing. They only read: allowed in events.
 */

#include <aerostat/host/vmware.h>

#include "hosted/balloon_json_parts.h"
#include "hosted/capability_text.h"

/* Of the host's events and of the connection; ends with NULL. */
extern const char *const aero_vmware_event_names[];

enum {
	AERO_VMWARE_EVENT_CONNECTED = 7,
	AERO_VMWARE_EVENT_DISCONNECTED = 8,
};

/**
 * aero_vmware_json_status() - How the balloon is.
 * @host:         Initialised.
 * @memory:       The guest's.
 * @is_connected: Whether there is a machine.
 *
 * Shape:   an object, without counters.
 * Owner:   a new reference.
 * Errors:  none.
 * Context: sleep.
 * Source:  docs/control.md.
 */
json_t *aero_vmware_json_status(const struct aero_vmware_host *host,
				const struct aero_guest_memory *memory, bool is_connected);

/**
 * aero_vmware_json_counters() - Everything that is counted.
 * @host:   Initialised.
 * @memory: The guest's.
 *
 * Shape:   an object of the objects commands, refused, device, ledger and memory.
 * Owner:   a new reference.
 * Errors:  none.
 * Context: any.
 * Source:  docs/control.md.
 */
json_t *aero_vmware_json_counters(const struct aero_vmware_host *host,
				  const struct aero_guest_memory *memory);

/**
 * aero_vmware_json_capabilities() - A set of capabilities in words.
 * @capabilities: Bits.
 *
 * Shape:   an array of objects {"bit": number, "name": text}; the name is null where it has none.
 * Owner:   a new reference.
 * Errors:  none.
 * Context: any.
 * Source:  docs/control.md.
 */
json_t *aero_vmware_json_capabilities(uint32_t capabilities);

/**
 * aero_vmware_event_index() - Which event it is.
 * @kind: Of the host.
 *
 * Shape:   an index of aero_vmware_event_names; -1 for a kind we do not know.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  docs/control.md.
 */
int aero_vmware_event_index(enum aero_vmware_host_event_kind kind);

/**
 * aero_vmware_json_event() - An event.
 * @host:   Initialised.
 * @memory: The guest's.
 * @index:  Which, of aero_vmware_event_names.
 * @value:  As the host told it.
 *
 * Shape:   an object whose "event" is the name; the rest depends on it.
 * Owner:   a new reference.
 * Errors:  none.
 * Context: any.
 * Source:  docs/control.md.
 */
json_t *aero_vmware_json_event(const struct aero_vmware_host *host,
			       const struct aero_guest_memory *memory, int index, uint64_t value);

#endif
