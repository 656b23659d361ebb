/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_BALLOON_SERVICE_INTERNAL_H
#define AEROSTAT_HOSTED_BALLOON_SERVICE_INTERNAL_H

/* What the files of the balloon service share. */

#include "hosted/balloon_service.h"

/* A watched kick descriptor; lives until libuv has let go of it. */
struct aero_balloon_service_poll {
	uv_poll_t handle;
	struct aero_balloon_service *service;
	unsigned int index;
	int fd;
};

/* The operations that the vhost-user engine calls; ctx is the service. */
extern const struct aero_vhost_user_ops aero_balloon_service_ops;

/* Addresses of a ring in guest memory. */
enum aero_status aero_balloon_service_locate(const struct aero_balloon_service *service,
					     const struct aero_vhost_user_ring *ring,
					     struct aero_virtio_queue_config *out);

/* Of the operations: what changes the memory map. */
enum aero_status aero_balloon_service_set_memory(void *ctx, const struct aero_guest_region *regions,
						 unsigned int count);
enum aero_status aero_balloon_service_add_memory(void *ctx, const struct aero_guest_region *region);
enum aero_status aero_balloon_service_remove_memory(void *ctx,
						    const struct aero_guest_region *region);

/* One line in the log. */
void aero_balloon_service_log(struct aero_balloon_service *service, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

void aero_balloon_service_emit(struct aero_balloon_service *service,
			       enum aero_balloon_service_event_kind kind);

/* Wait for the kicks of a ring as it wants it now: by its descriptor, or by looking. */
void aero_balloon_service_watch(struct aero_balloon_service *service, unsigned int index,
				const struct aero_vhost_user_ring *ring);

/* Not any more. */
void aero_balloon_service_unwatch(struct aero_balloon_service *service, unsigned int index);

#endif
