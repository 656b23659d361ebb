/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_CONTROL_VMWARE_H
#define AEROSTAT_HOSTED_CONTROL_VMWARE_H

/* A host of VMware's balloon behind a control socket. */

#include <aerostat/host/vmware.h>

#include "hosted/control.h"
#include "hosted/guest_memory.h"

/* The context of aero_control_vmware_ops. All of it outlives the control. */
struct aero_control_vmware {
	struct aero_vmware_host *host;
	const struct aero_guest_memory *memory; /* the guest's */
	/* The host was told something: let it step(). */
	void (*wake)(void *ctx);
	/* Whether there is a machine whose calls are served. */
	bool (*is_connected)(void *ctx);
	void *ctx;
};

/* The context is a struct aero_control_vmware. */
extern const struct aero_control_ops aero_control_vmware_ops;

/**
 * aero_control_vmware_event() - The host tells something.
 * @control: Started with aero_control_vmware_ops; closing is allowed.
 * @event:   As the host's event() got it.
 *
 * Shape:   as of aero_control_tell().
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: the loop's thread, from within the host's event(): the host is only read.
 * Source:  docs/control.md.
 */
void aero_control_vmware_event(struct aero_control *control,
			       const struct aero_vmware_host_event *event);

/**
 * aero_control_vmware_connection() - The machine came, or went.
 * @control:      As of event().
 * @is_connected: Which.
 *
 * Shape:   as of aero_control_tell().
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  docs/control.md.
 */
void aero_control_vmware_connection(struct aero_control *control, bool is_connected);

#endif
