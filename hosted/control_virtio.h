/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_CONTROL_VIRTIO_H
#define AEROSTAT_HOSTED_CONTROL_VIRTIO_H

/* The virtio-balloon service behind a control socket. */

#include "hosted/balloon_service.h"
#include "hosted/control.h"

/* The context is the struct aero_balloon_service. */
extern const struct aero_control_ops aero_control_virtio_ops;

/**
 * aero_control_virtio_event() - The service tells something.
 * @control: Started with aero_control_virtio_ops; closing is allowed.
 * @event:   As the service's event() got it.
 *
 * Shape:   as of aero_control_tell().
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: the loop's thread, from within the service's event().
 * Source:  docs/control.md.
 */
void aero_control_virtio_event(struct aero_control *control,
			       const struct aero_balloon_service_event *event);

#endif
