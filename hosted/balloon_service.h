/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_BALLOON_SERVICE_H
#define AEROSTAT_HOSTED_BALLOON_SERVICE_H

/*
 * The virtio-balloon back end of this process: the device model of src/host on a vhost-user socket,
 * with guest memory from the front end's descriptors, driven by a libuv loop.
 *
 * Front ends come and go; the target stays. The balloon of a front end that reconnects with the
 * very same memory is known again; another guest starts with an empty one.
 *
 * The parts are public: read service->device and service->memory, call the operator's side of the
 * device (aero_virtio_balloon_host_set_target() and so on), then aero_balloon_service_wake().
 */

#include <aerostat/host/virtio_balloon.h>
#include <aerostat/host/virtio_balloon_state.h>
#include <uv.h>

#include "hosted/guest_memory.h"
#include "hosted/node_pool.h"
#include "hosted/vhost_user.h"
#include "hosted/vhost_user_socket.h"

enum aero_balloon_service_event_kind {
	AERO_BALLOON_SERVICE_DEVICE = 1,   /* device: what the device model tells */
	AERO_BALLOON_SERVICE_CONNECTED,	   /* a front end is there */
	AERO_BALLOON_SERVICE_DISCONNECTED, /* it is gone, or broke the protocol */
	AERO_BALLOON_SERVICE_MEMORY,	   /* the memory map changed */
};

struct aero_balloon_service_event {
	enum aero_balloon_service_event_kind kind;
	struct aero_virtio_balloon_event device;
};

struct aero_balloon_service_config {
	const char *socket_path;
	struct aero_virtio_features offered; /* of aero_virtio_balloon_host_features() */
	enum aero_discard_mode mode;
	uint64_t idle_ns;	    /* 0: the ledger's default */
	uint32_t stats_interval_ms; /* ask for statistics this often; 0: only when told to */
	/* Both are called from the loop; neither may end the service. Optional. */
	void (*event)(void *ctx, const struct aero_balloon_service_event *event);
	void (*log)(void *ctx, const char *line);
	/* As in aero_virtio_balloon_ops. Optional. */
	void (*trace)(void *ctx, bool is_inflate, struct aero_range run);
	void *ctx;
};

struct aero_balloon_service_poll;

struct aero_balloon_service {
	struct aero_balloon_service_config config;
	uv_loop_t *loop;
	struct aero_node_pool nodes;
	struct aero_guest_memory memory;
	struct aero_virtio_balloon device;
	struct aero_vhost_user_conn *conn; /* NULL: no front end */

	/* Private. */
	struct aero_virtio_balloon_ops ops;
	struct aero_vhost_user_socket socket;
	struct aero_guest_memory_identity dormant; /* whose balloon the ledger has, while away */
	bool is_dormant;
	bool is_owned;	/* this front end has started the inflate ring */
	uint8_t status; /* as the front end set it; DRIVER_OK reaches the device with a ring */
	bool is_memory_tested;
	struct aero_balloon_service_poll *poll[AERO_VIRTIO_BALLOON_QUEUES];
	uv_idle_t idle;
	uv_timer_t due;
	uv_timer_t stats;
	uv_timer_t poller;
	unsigned int polled; /* bit n: ring n has nobody who kicks */
	unsigned int open_parts;
	void (*closed)(void *ctx);
	void *closed_ctx;
};

/**
 * aero_balloon_service_start() - Listen for front ends.
 * @service: Uninitialised; must not move until it is closed.
 * @loop:    Event loop for everything.
 * @config:  Copied; the path too.
 *
 * Shape:   answers when the socket accepts connections.
 * Owner:   the caller's; close() ends it.
 * Errors:  AERO_EINVAL: features the device does not have. AERO_EIO: the socket could not be made;
 *          the log says why. Nothing is left then.
 * Context: sleep; the loop's thread.
 * Source:  docs/protocols/vhost-user.md.
 */
enum aero_status aero_balloon_service_start(struct aero_balloon_service *service, uv_loop_t *loop,
					    const struct aero_balloon_service_config *config);

/**
 * aero_balloon_service_wake() - The device was told something: let it work.
 * @service: Started.
 *
 * Shape:   work happens later, in the loop.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_balloon_service_wake(struct aero_balloon_service *service);

/**
 * aero_balloon_service_close() - End it.
 * @service: Started; not closing.
 * @closed:  Called from the loop when all is gone and service may be freed.
 * @ctx:     Handed to closed.
 *
 * Shape:   the front end is disconnected and the socket's file removed at once.
 * Owner:   all descriptors, mappings and nodes are given back before closed is called.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_balloon_service_close(struct aero_balloon_service *service, void (*closed)(void *ctx),
				void *ctx);

#endif
