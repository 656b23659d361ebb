/* SPDX-License-Identifier: MIT */
#include "hosted/vmware_bridge_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Pieces of work before the loop gets a turn: the guest waits no longer than this. */
#define STEPS_PER_TURN 16

/* A driver asks each second. Without a word for so long its code is looked at. */
#define DOUBT_MS 1000
#define DOUBT_AFTER_NS 900000000ull
#define DOUBT_LIVE_NS 4000000000ull

/* A guest that stops for each call is slow: its batches come 20 ms apart, at best. */
#define IDLE_NS 300000000ull

#define HOLE_END (4ull << 30)
#define PC_WITHOUT_SPLIT (7ull << 29)

uint64_t aero_vmware_bridge_default_low_bytes(uint64_t memory_bytes)
{
	return memory_bytes < PC_WITHOUT_SPLIT ? memory_bytes : AERO_VMWARE_BRIDGE_PC_SPLIT;
}

/* What is told -------------------------------------------------------------------------------- */

void aero_vmware_bridge_log(struct aero_vmware_bridge *bridge, const char *format, ...)
{
	char line[512];
	va_list args;

	if (!bridge->config.log)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	bridge->config.log(bridge->config.ctx, line);
}

static void log_line(void *ctx, const char *line)
{
	aero_vmware_bridge_log(ctx, "%s", line);
}

static void emit(struct aero_vmware_bridge *bridge, const struct aero_vmware_bridge_event *event)
{
	if (bridge->config.event && !bridge->is_closing)
		bridge->config.event(bridge->config.ctx, event);
}

void aero_vmware_bridge_emit(struct aero_vmware_bridge *bridge,
			     enum aero_vmware_bridge_event_kind kind, uint64_t value)
{
	struct aero_vmware_bridge_event event = { .kind = kind, .value = value };

	emit(bridge, &event);
}

static void host_event(void *ctx, const struct aero_vmware_host_event *host)
{
	struct aero_vmware_bridge_event event = { .kind = AERO_VMWARE_BRIDGE_HOST, .host = *host };

	emit(ctx, &event);
}

/* QEMU has no VMCI device whose doorbell could be rung: the driver asks each second anyhow. */
static void host_doorbell(void *ctx, uint32_t context, uint32_t resource)
{
	(void)ctx;
	(void)context;
	(void)resource;
}

static uint32_t host_interpose(void *ctx, uint32_t command)
{
	struct aero_vmware_bridge *bridge = ctx;

	return bridge->config.interpose(bridge->config.ctx, command);
}

static uint32_t host_judge(void *ctx, bool is_lock, struct aero_range block)
{
	struct aero_vmware_bridge *bridge = ctx;

	return bridge->config.judge(bridge->config.ctx, is_lock, block);
}

static void host_trace(void *ctx, const struct aero_vmware_registers *before,
		       const struct aero_vmware_registers *after)
{
	struct aero_vmware_bridge *bridge = ctx;

	bridge->config.trace(bridge->config.ctx, before, after);
}

static void host_runs(void *ctx, bool is_lock, struct aero_range run)
{
	struct aero_vmware_bridge *bridge = ctx;

	bridge->config.runs(bridge->config.ctx, is_lock, run);
}

/* The host's own work ------------------------------------------------------------------------- */

static void on_due(uv_timer_t *timer);

static void work(struct aero_vmware_bridge *bridge)
{
	uint64_t now = uv_hrtime();
	uint64_t next = AERO_NEVER;
	unsigned int i;

	for (i = 0; i < STEPS_PER_TURN; i++) {
		next = aero_vmware_host_step(&bridge->host, now);
		if (next > now)
			break;
		now = uv_hrtime();
	}
	uv_idle_stop(&bridge->idle);
	uv_timer_stop(&bridge->due);
	if (next <= now)
		aero_vmware_bridge_wake(bridge);
	else if (next != AERO_NEVER)
		uv_timer_start(&bridge->due, on_due, (next - now) / 1000000 + 1, 0);
	/* Logs its own line, once. */
	(void)aero_guest_memory_has_lost(&bridge->memory);
}

static void on_due(uv_timer_t *timer)
{
	work(timer->data);
}

static void on_idle(uv_idle_t *idle)
{
	work(idle->data);
}

void aero_vmware_bridge_wake(struct aero_vmware_bridge *bridge)
{
	if (!bridge->closed)
		uv_idle_start(&bridge->idle, on_idle);
}

/* The end ------------------------------------------------------------------------------------- */

static void part_closed(struct aero_vmware_bridge *bridge)
{
	if (--bridge->open_parts)
		return;
	aero_vmware_host_fini(&bridge->host);
	aero_node_pool_fini(&bridge->nodes);
	aero_guest_memory_fini(&bridge->memory);
	bridge->closed(bridge->closed_ctx);
}

static void on_handle_closed(uv_handle_t *handle)
{
	part_closed(handle->data);
}

static void on_remote_closed(void *ctx)
{
	part_closed(ctx);
}

static void tear_down(struct aero_vmware_bridge *bridge)
{
	bridge->state = AERO_VMWARE_BRIDGE_OVER;
	bridge->open_parts = 5;
	uv_close((uv_handle_t *)&bridge->idle, on_handle_closed);
	uv_close((uv_handle_t *)&bridge->due, on_handle_closed);
	uv_close((uv_handle_t *)&bridge->look, on_handle_closed);
	uv_close((uv_handle_t *)&bridge->doubt, on_handle_closed);
	aero_gdb_remote_close(&bridge->remote);
}

static void on_detached(void *ctx, enum aero_status status)
{
	struct aero_vmware_bridge *bridge = ctx;

	if (status != AERO_OK)
		aero_vmware_bridge_log(bridge, "QEMU does not let its debugger go: the guest may "
					       "stand still");
	tear_down(bridge);
}

/* A machine that somebody else has stopped is to stay so: detaching would let it go. */
static void leave_machine(struct aero_vmware_bridge *bridge)
{
	if (bridge->is_paused)
		aero_vmware_bridge_clear(bridge, tear_down);
	else
		(void)aero_gdb_remote_detach(&bridge->remote, on_detached, bridge);
}

static void on_remote_ended(void *ctx, const struct aero_error *story)
{
	struct aero_vmware_bridge *bridge = ctx;
	struct aero_vmware_bridge_event event = { .kind = AERO_VMWARE_BRIDGE_ENDED,
						  .story = &bridge->story };

	if (bridge->is_closing) {
		tear_down(bridge);
		return;
	}
	bridge->story = *story;
	bridge->state = AERO_VMWARE_BRIDGE_OVER;
	uv_timer_stop(&bridge->look);
	uv_timer_stop(&bridge->doubt);
	aero_vmware_bridge_log(bridge, "%s", story->text);
	emit(bridge, &event);
}

void aero_vmware_bridge_end(struct aero_vmware_bridge *bridge, enum aero_status status,
			    const char *format, ...)
{
	struct aero_error story = { .status = status };
	va_list args;

	va_start(args, format);
	vsnprintf(story.text, sizeof(story.text), format, args);
	va_end(args);
	on_remote_ended(bridge, &story);
}

void aero_vmware_bridge_close(struct aero_vmware_bridge *bridge, void (*closed)(void *ctx),
			      void *ctx)
{
	bridge->closed = closed;
	bridge->closed_ctx = ctx;
	bridge->is_closing = true;
	uv_idle_stop(&bridge->idle);
	uv_timer_stop(&bridge->due);
	uv_timer_stop(&bridge->doubt);
	switch (bridge->remote.state) {
	case AERO_GDB_CONNECTING:
	case AERO_GDB_ENDED:
		tear_down(bridge);
		break;
	case AERO_GDB_STOPPED:
		/* Otherwise something is under way that leads to next(). */
		if (bridge->state == AERO_VMWARE_BRIDGE_OVER)
			leave_machine(bridge);
		break;
	case AERO_GDB_RUNNING:
		aero_vmware_bridge_interrupt(bridge);
		break;
	}
}

/* What is done while the machine stands still ------------------------------------------------- */

void aero_vmware_bridge_interrupt(struct aero_vmware_bridge *bridge)
{
	if (bridge->remote.state != AERO_GDB_RUNNING)
		return;
	bridge->is_interrupting = true;
	aero_gdb_remote_interrupt(&bridge->remote);
}

void aero_vmware_bridge_next(struct aero_vmware_bridge *bridge)
{
	bool may_look = !uv_is_active((uv_handle_t *)&bridge->look);

	if (bridge->is_closing)
		leave_machine(bridge);
	else if (bridge->wants_look && may_look)
		aero_vmware_bridge_look(bridge);
	else if (bridge->wants_doubt && may_look && bridge->state == AERO_VMWARE_BRIDGE_ACTIVE)
		aero_vmware_bridge_doubt(bridge);
	else if (bridge->is_paused)
		(void)aero_gdb_remote_leave(&bridge->remote);
	else
		(void)aero_gdb_remote_continue(&bridge->remote);
}

static void on_look(uv_timer_t *timer)
{
	aero_vmware_bridge_interrupt(timer->data);
}

void aero_vmware_bridge_look_in(struct aero_vmware_bridge *bridge, uint64_t ms)
{
	uv_timer_start(&bridge->look, on_look, ms, 0);
}

static void on_doubt(uv_timer_t *timer)
{
	struct aero_vmware_bridge *bridge = timer->data;
	uint64_t limit = bridge->host.is_live ? DOUBT_LIVE_NS : DOUBT_AFTER_NS;

	if (bridge->state != AERO_VMWARE_BRIDGE_ACTIVE || bridge->is_paused ||
	    uv_hrtime() - bridge->called_ns < limit)
		return;
	bridge->wants_doubt = true;
	aero_vmware_bridge_interrupt(bridge);
}

enum aero_status aero_vmware_bridge_locate(struct aero_vmware_bridge *bridge,
					   struct aero_vmware_bridge_text text)
{
	if (bridge->state == AERO_VMWARE_BRIDGE_OVER || bridge->is_closing)
		return AERO_EGONE;
	bridge->text = text;
	bridge->wants_look = true;
	bridge->look_pause_ms = 0;
	uv_timer_stop(&bridge->look);
	aero_vmware_bridge_interrupt(bridge);
	return AERO_OK;
}

/* The beginning ------------------------------------------------------------------------------- */

static enum aero_status connect_gdb(const struct aero_vmware_bridge_config *config, int *out_fd,
				    struct aero_error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = config->gdb_fd;

	if (fd >= 0) {
		*out_fd = fd;
		return AERO_OK;
	}
	if (!config->gdb_path || strlen(config->gdb_path) >= sizeof(address.sun_path))
		return aero_error_set(error, AERO_EINVAL,
				      "the path of QEMU's debugger is missing or too long");
	memcpy(address.sun_path, config->gdb_path, strlen(config->gdb_path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		aero_error_set(error, AERO_EIO,
			       "no QEMU answers at %s: %s (it is to be started with "
			       "-gdb unix:%s,server=on,wait=off)",
			       config->gdb_path, strerror(errno), config->gdb_path);
		if (fd >= 0)
			close(fd);
		return AERO_EIO;
	}
	*out_fd = fd;
	return AERO_OK;
}

static enum aero_status set_regions(struct aero_vmware_bridge *bridge, int fd,
				    struct aero_error *error)
{
	const struct aero_vmware_bridge_config *config = &bridge->config;
	struct stat file;
	uint64_t all, low;
	enum aero_status status;

	if (fstat(fd, &file))
		return aero_error_set(error, AERO_EIO, "the memory file is unreadable: %s",
				      strerror(errno));
	all = config->memory_bytes ? config->memory_bytes : (uint64_t)file.st_size;
	low = config->low_bytes ? config->low_bytes : aero_vmware_bridge_default_low_bytes(all);
	if (low > all || low > HOLE_END || all > (uint64_t)file.st_size)
		return aero_error_set(error, AERO_EINVAL,
				      "%llu bytes of memory, %llu of them below the hole, do not "
				      "fit a file of %llu bytes",
				      (unsigned long long)all, (unsigned long long)low,
				      (unsigned long long)file.st_size);
	status = aero_guest_memory_set(
		&bridge->memory,
		(const struct aero_guest_region[]){
			{ .gpa = 0, .bytes = low, .uva = 0, .offset = 0, .fd = fd },
			{ .gpa = HOLE_END,
			  .bytes = all - low,
			  .uva = HOLE_END,
			  .offset = low,
			  .fd = fd },
		},
		low < all ? 2 : 1);
	if (status != AERO_OK)
		aero_error_set(error, status, "the memory file cannot be used: %s",
			       aero_status_str(status));
	return status;
}

static enum aero_status start_memory(struct aero_vmware_bridge *bridge, struct aero_error *error)
{
	const struct aero_vmware_bridge_config *config = &bridge->config;
	int fd = config->memory_fd;
	enum aero_status status;

	if (fd < 0 && config->memory_path)
		fd = open(config->memory_path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return aero_error_set(error, AERO_EIO, "no memory file %s: %s",
				      config->memory_path ? config->memory_path : "",
				      config->memory_path ? strerror(errno) : "none is given");
	status = set_regions(bridge, fd, error);
	if (fd != config->memory_fd)
		close(fd);
	return status;
}

static void fill_ops(struct aero_vmware_bridge *bridge)
{
	const struct aero_vmware_bridge_config *config = &bridge->config;
	bool has_wakeup = config->capabilities & AERO_VMWARE_CAP_SIGNALLED_WAKEUP;

	bridge->ops = (struct aero_vmware_host_ops){
		.event = host_event,
		.doorbell = has_wakeup ? host_doorbell : NULL,
		.interpose = config->interpose ? host_interpose : NULL,
		.judge = config->judge ? host_judge : NULL,
		.trace = config->trace ? host_trace : NULL,
		.runs = config->runs ? host_runs : NULL,
	};
}

static enum aero_status start_host(struct aero_vmware_bridge *bridge, struct aero_error *error)
{
	const struct aero_vmware_bridge_config *config = &bridge->config;
	struct aero_vmware_host_config host = {
		.memory = &bridge->memory.host,
		.nodes = aero_node_pool_source(&bridge->nodes),
		.ops = &bridge->ops,
		.ops_ctx = bridge,
		.capabilities = config->capabilities,
		.is_old = config->is_old,
		.mode = config->mode,
		.idle_ns = config->idle_ns ? config->idle_ns : IDLE_NS,
		.silent_ns = config->silent_ns,
	};
	enum aero_status status;

	fill_ops(bridge);
	status = aero_vmware_host_init(&bridge->host, &host);
	if (status != AERO_OK)
		aero_error_set(error, status, "there is no host with the capabilities 0x%x: %s",
			       config->capabilities, aero_status_str(status));
	return status;
}

static void start_parts(struct aero_vmware_bridge *bridge, int gdb_fd)
{
	const struct aero_gdb_events events = {
		.stopped = aero_vmware_bridge_stopped,
		.ended = on_remote_ended,
		.closed = on_remote_closed,
		.ctx = bridge,
	};

	uv_idle_init(bridge->loop, &bridge->idle);
	uv_timer_init(bridge->loop, &bridge->due);
	uv_timer_init(bridge->loop, &bridge->look);
	uv_timer_init(bridge->loop, &bridge->doubt);
	bridge->idle.data = bridge;
	bridge->due.data = bridge;
	bridge->look.data = bridge;
	bridge->doubt.data = bridge;
	uv_timer_start(&bridge->doubt, on_doubt, DOUBT_MS, DOUBT_MS);
	aero_gdb_remote_start(&bridge->remote, bridge->loop, gdb_fd, bridge->config.timeout_ms,
			      &events);
}

enum aero_status aero_vmware_bridge_start(struct aero_vmware_bridge *bridge, uv_loop_t *loop,
					  const struct aero_vmware_bridge_config *config,
					  struct aero_error *error)
{
	struct aero_guest_memory_config memory = { log_line, bridge };
	enum aero_status status;
	int gdb_fd = -1;

	memset(bridge, 0, sizeof(*bridge));
	bridge->config = *config;
	bridge->loop = loop;
	bridge->text = config->text;
	bridge->wants_look = config->text.address || config->is_searching;
	aero_guest_memory_init(&bridge->memory, &memory);
	status = connect_gdb(config, &gdb_fd, error);
	if (status == AERO_OK)
		status = start_memory(bridge, error);
	if (status == AERO_OK)
		status = start_host(bridge, error);
	if (status == AERO_OK) {
		start_parts(bridge, gdb_fd);
		return AERO_OK;
	}
	if (gdb_fd >= 0)
		close(gdb_fd);
	aero_guest_memory_fini(&bridge->memory);
	return status;
}
