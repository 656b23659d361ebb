/* SPDX-License-Identifier: MIT */
#include "hosted/balloon_service_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Pieces of work before the loop gets a turn: kicks and commands wait no longer than this. */
#define STEPS_PER_TURN 64

/* How often rings are looked at whose front end does not kick. */
#define POLL_MS 2

/* Enough for guests with memory in many pieces, and for hot-plugged modules. */
#define MEMORY_SLOTS AERO_GUEST_MEMORY_REGIONS_MAX

void aero_balloon_service_log(struct aero_balloon_service *service, const char *format, ...)
{
	char line[512];
	va_list args;

	if (!service->config.log)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	service->config.log(service->config.ctx, line);
}

static void log_line(void *ctx, const char *line)
{
	aero_balloon_service_log(ctx, "%s", line);
}

static void emit(struct aero_balloon_service *service,
		 const struct aero_balloon_service_event *event)
{
	if (service->config.event)
		service->config.event(service->config.ctx, event);
}

void aero_balloon_service_emit(struct aero_balloon_service *service,
			       enum aero_balloon_service_event_kind kind)
{
	struct aero_balloon_service_event event = { .kind = kind };

	emit(service, &event);
}

static void on_due(uv_timer_t *timer);

/* Let the device work for a while, then say when it goes on. */
static void work(struct aero_balloon_service *service)
{
	uint64_t now = uv_hrtime();
	uint64_t next = AERO_NEVER;
	unsigned int i;

	for (i = 0; i < STEPS_PER_TURN; i++) {
		next = aero_virtio_balloon_host_step(&service->device, now);
		if (next > now)
			break;
		now = uv_hrtime();
	}
	uv_idle_stop(&service->idle);
	uv_timer_stop(&service->due);
	if (next <= now)
		aero_balloon_service_wake(service);
	else if (next != AERO_NEVER)
		uv_timer_start(&service->due, on_due, (next - now) / 1000000 + 1, 0);
	/* Logs its own line, once. */
	(void)aero_guest_memory_has_lost(&service->memory);
}

static void on_due(uv_timer_t *timer)
{
	work(timer->data);
}

static void on_idle(uv_idle_t *idle)
{
	work(idle->data);
}

void aero_balloon_service_wake(struct aero_balloon_service *service)
{
	if (!service->closed)
		uv_idle_start(&service->idle, on_idle);
}

static void on_stats_timer(uv_timer_t *timer)
{
	struct aero_balloon_service *service = timer->data;

	/* Without a driver, or while it still has the buffer, there is nothing to ask for. */
	(void)aero_virtio_balloon_host_request_stats(&service->device);
}

/* Kicks ---------------------------------------------------------------------------------------- */

static void on_kick(uv_poll_t *handle, int status, int events)
{
	struct aero_balloon_service_poll *poll = handle->data;
	struct aero_balloon_service *service = poll->service;

	(void)events;
	if (status < 0 || aero_vhost_user_drain(poll->fd) == AERO_EGONE) {
		aero_balloon_service_log(service, "ring %u: its kick descriptor is gone",
					 poll->index);
		aero_balloon_service_unwatch(service, poll->index);
		return;
	}
	aero_virtio_balloon_host_kick(&service->device, poll->index);
	work(service);
}

static void free_poll(uv_handle_t *handle)
{
	free(handle->data);
}

/* Look into the rings that nobody kicks. */
static void on_poller(uv_timer_t *timer)
{
	struct aero_balloon_service *service = timer->data;
	unsigned int i;

	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		if (service->polled >> i & 1)
			aero_virtio_balloon_host_kick(&service->device, i);
	}
	work(service);
}

void aero_balloon_service_unwatch(struct aero_balloon_service *service, unsigned int index)
{
	struct aero_balloon_service_poll *poll = service->poll[index];

	service->polled &= ~(1u << index);
	if (!service->polled)
		uv_timer_stop(&service->poller);
	if (!poll)
		return;
	uv_poll_stop(&poll->handle);
	uv_close((uv_handle_t *)&poll->handle, free_poll);
	service->poll[index] = NULL;
}

static void watch_fd(struct aero_balloon_service *service, unsigned int index, int fd)
{
	struct aero_balloon_service_poll *poll = calloc(1, sizeof(*poll));

	if (!poll || uv_poll_init(service->loop, &poll->handle, fd) < 0) {
		aero_balloon_service_log(service, "ring %u: its kicks cannot be watched", index);
		free(poll);
		return;
	}
	poll->handle.data = poll;
	poll->service = service;
	poll->index = index;
	poll->fd = fd;
	service->poll[index] = poll;
	uv_poll_start(&poll->handle, UV_READABLE, on_kick);
}

void aero_balloon_service_watch(struct aero_balloon_service *service, unsigned int index,
				const struct aero_vhost_user_ring *ring)
{
	aero_balloon_service_unwatch(service, index);
	if (ring->kick_fd >= 0) {
		watch_fd(service, index, ring->kick_fd);
	} else if (ring->is_polled) {
		service->polled |= 1u << index;
		uv_timer_start(&service->poller, on_poller, POLL_MS, POLL_MS);
	}
}

/* What the device tells ------------------------------------------------------------------------ */

static void notify_queue(void *ctx, unsigned int index)
{
	struct aero_balloon_service *service = ctx;

	if (service->conn)
		aero_vhost_user_call(service->conn, index);
}

static void notify_config(void *ctx)
{
	struct aero_balloon_service *service = ctx;

	if (service->conn && aero_vhost_user_config_changed(service->conn) == AERO_ENOTSUP)
		aero_balloon_service_log(service, "the front end takes no configuration changes: "
						  "the guest will not hear of a new target");
}

static void log_broken(struct aero_balloon_service *service, unsigned int index)
{
	enum aero_virtio_queue_fault fault = service->device.queue[index].ring.fault;

	aero_balloon_service_log(service, "ring %u is broken: %s", index,
				 aero_virtio_queue_fault_str(fault));
	if (service->conn)
		aero_vhost_user_error(service->conn, index);
}

static void device_event(void *ctx, const struct aero_virtio_balloon_event *device)
{
	struct aero_balloon_service *service = ctx;
	struct aero_balloon_service_event event = { AERO_BALLOON_SERVICE_DEVICE, *device };

	if (device->kind == AERO_VIRTIO_BALLOON_EVENT_BROKEN)
		log_broken(service, (unsigned int)device->value);
	emit(service, &event);
}

static void trace(void *ctx, bool is_inflate, struct aero_range run)
{
	struct aero_balloon_service *service = ctx;

	service->config.trace(service->config.ctx, is_inflate, run);
}

/* Front ends come and go ----------------------------------------------------------------------- */

static void connected(void *ctx, struct aero_vhost_user_conn *conn)
{
	struct aero_balloon_service *service = ctx;

	service->conn = conn;
	service->is_memory_tested = false;
	service->is_owned = false;
	service->status = 0;
	aero_balloon_service_emit(service, AERO_BALLOON_SERVICE_CONNECTED);
}

/* The engine has stopped all rings. The memory goes; whose it was is remembered. */
static void disconnected(void *ctx)
{
	struct aero_balloon_service *service = ctx;

	service->conn = NULL;
	aero_virtio_balloon_host_detach(&service->device);
	/* One that only looked in does not change whose balloon it is. */
	if (service->is_owned) {
		aero_guest_memory_identify(&service->memory, &service->dormant);
		service->is_dormant = true;
	}
	(void)aero_guest_memory_set(&service->memory, NULL, 0);
	aero_virtio_balloon_host_memory_changed(&service->device);
	aero_balloon_service_emit(service, AERO_BALLOON_SERVICE_DISCONNECTED);
}

static enum aero_status start_device(struct aero_balloon_service *service)
{
	const struct aero_balloon_service_config *config = &service->config;
	struct aero_virtio_balloon_config device = {
		.memory = &service->memory.host,
		.nodes = aero_node_pool_source(&service->nodes),
		.ops = &service->ops,
		.ops_ctx = service,
		.offered = config->offered,
		.mode = config->mode,
		.idle_ns = config->idle_ns,
	};

	service->ops.notify_queue = notify_queue;
	service->ops.notify_config = notify_config;
	service->ops.event = device_event;
	service->ops.trace = config->trace ? trace : NULL;
	return aero_virtio_balloon_host_init(&service->device, &device);
}

static void start_timers(struct aero_balloon_service *service)
{
	uint32_t interval = service->config.stats_interval_ms;

	uv_idle_init(service->loop, &service->idle);
	uv_timer_init(service->loop, &service->due);
	uv_timer_init(service->loop, &service->stats);
	uv_timer_init(service->loop, &service->poller);
	service->idle.data = service;
	service->due.data = service;
	service->stats.data = service;
	service->poller.data = service;
	if (interval)
		uv_timer_start(&service->stats, on_stats_timer, interval, interval);
}

static enum aero_status start_socket(struct aero_balloon_service *service)
{
	struct aero_vhost_user_socket_config config = {
		.path = service->config.socket_path,
		.device = {
			.ops = &aero_balloon_service_ops,
			.ctx = service,
			.ring_count = AERO_VIRTIO_BALLOON_QUEUES,
			.memory_slots = MEMORY_SLOTS,
			.is_inband_off = true,
		},
		.connected = connected,
		.disconnected = disconnected,
		.log = log_line,
		.ctx = service,
	};

	return aero_vhost_user_socket_listen(&service->socket, service->loop, &config);
}

enum aero_status aero_balloon_service_start(struct aero_balloon_service *service, uv_loop_t *loop,
					    const struct aero_balloon_service_config *config)
{
	struct aero_guest_memory_config memory = { log_line, service };
	enum aero_status status;

	memset(service, 0, sizeof(*service));
	service->config = *config;
	service->loop = loop;
	aero_guest_memory_init(&service->memory, &memory);
	status = start_device(service);
	if (status != AERO_OK)
		goto no_device;
	status = start_socket(service);
	if (status != AERO_OK)
		goto no_socket;
	start_timers(service);
	return AERO_OK;
no_socket:
	aero_virtio_balloon_host_fini(&service->device);
	aero_node_pool_fini(&service->nodes);
no_device:
	aero_guest_memory_fini(&service->memory);
	return status;
}

/* One of the parts that close by themselves has done so. */
static void part_closed(struct aero_balloon_service *service)
{
	if (--service->open_parts)
		return;
	aero_virtio_balloon_host_fini(&service->device);
	aero_node_pool_fini(&service->nodes);
	aero_guest_memory_fini(&service->memory);
	service->closed(service->closed_ctx);
}

static void on_handle_closed(uv_handle_t *handle)
{
	part_closed(handle->data);
}

static void on_socket_closed(void *ctx)
{
	part_closed(ctx);
}

void aero_balloon_service_close(struct aero_balloon_service *service, void (*closed)(void *ctx),
				void *ctx)
{
	service->closed = closed;
	service->closed_ctx = ctx;
	service->open_parts = 5;
	uv_close((uv_handle_t *)&service->idle, on_handle_closed);
	uv_close((uv_handle_t *)&service->due, on_handle_closed);
	uv_close((uv_handle_t *)&service->stats, on_handle_closed);
	uv_close((uv_handle_t *)&service->poller, on_handle_closed);
	aero_vhost_user_socket_close(&service->socket, on_socket_closed, service);
}
