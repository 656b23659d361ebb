/* SPDX-License-Identifier: MIT */

/*
 * Rings of the vhost-user engine.
 *
 * A ring starts as soon as it has a size, addresses, a kick descriptor (or polling, or a kick by
 * message) and there is guest memory, in whatever order these arrive. It stops at GET_VRING_BASE,
 * and also where a front end sets it up anew after disabling it: virtio_uml does that when its
 * driver is loaded a second time.
 */

#include <aerostat/wire/virtio.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hosted/vhost_user_internal.h"

#define PACKED_BASE_FRESH \
	(AERO_VHOST_USER_BASE_PACKED_AVAIL_WRAP | AERO_VHOST_USER_BASE_PACKED_USED_WRAP)

static bool is_packed(const struct aero_vhost_user_conn *conn)
{
	return conn->features >> AERO_VIRTIO_F_RING_PACKED & 1;
}

static void replace_fd(int *at, int fd)
{
	if (*at >= 0)
		close(*at);
	*at = fd;
}

void aero_vhost_user_rings_init(struct aero_vhost_user_conn *conn)
{
	for (unsigned int i = 0; i < AERO_VHOST_USER_RINGS_MAX; i++) {
		conn->rings[i].kick_fd = -1;
		conn->rings[i].call_fd = -1;
		conn->rings[i].err_fd = -1;
	}
}

void aero_vhost_user_rings_fini(struct aero_vhost_user_conn *conn)
{
	for (unsigned int i = 0; i < AERO_VHOST_USER_RINGS_MAX; i++) {
		replace_fd(&conn->rings[i].kick_fd, -1);
		replace_fd(&conn->rings[i].call_fd, -1);
		replace_fd(&conn->rings[i].err_fd, -1);
	}
}

/* A stopped ring waits for another kick; size, addresses and the way to call stay. */
static void drop_kick(struct aero_vhost_user_ring *ring)
{
	replace_fd(&ring->kick_fd, -1);
	ring->has_kick = false;
	ring->is_polled = false;
}

static void stop(struct aero_vhost_user_conn *conn, unsigned int index)
{
	struct aero_vhost_user_ring *ring = &conn->rings[index];

	if (ring->is_started) {
		ring->base = conn->config.ops->ring_stop(conn->config.ctx, index);
		ring->has_base = true;
		ring->is_started = false;
	}
	drop_kick(ring);
}

void aero_vhost_user_rings_stop(struct aero_vhost_user_conn *conn, bool is_all)
{
	for (unsigned int i = 0; i < conn->config.ring_count; i++) {
		if (is_all || (conn->rings[i].is_started && !conn->rings[i].is_enabled))
			stop(conn, i);
	}
}

static void enable(struct aero_vhost_user_conn *conn, unsigned int index, bool is_enabled)
{
	struct aero_vhost_user_ring *ring = &conn->rings[index];

	if (ring->is_enabled == is_enabled)
		return;
	ring->is_enabled = is_enabled;
	if (ring->is_started)
		conn->config.ops->ring_enable(conn->config.ctx, index, is_enabled);
}

void aero_vhost_user_rings_enable(struct aero_vhost_user_conn *conn, bool is_enabled)
{
	for (unsigned int i = 0; i < conn->config.ring_count; i++)
		enable(conn, i, is_enabled);
}

int aero_vhost_user_rings_running(const struct aero_vhost_user_conn *conn)
{
	for (unsigned int i = 0; i < conn->config.ring_count; i++) {
		if (conn->rings[i].is_started && conn->rings[i].is_enabled)
			return (int)i;
	}
	return -1;
}

/* Packed positions lie inside the ring; split ones run freely. */
static bool is_base_inside(const struct aero_vhost_user_ring *ring)
{
	uint32_t avail = ring->base & AERO_VHOST_USER_BASE_PACKED_AVAIL_MASK;
	uint32_t used = ring->base >> AERO_VHOST_USER_BASE_PACKED_USED_SHIFT &
			AERO_VHOST_USER_BASE_PACKED_AVAIL_MASK;

	return !ring->is_packed || (avail < ring->size && used < ring->size);
}

static enum aero_status start(struct aero_vhost_user_conn *conn,
			      struct aero_vhost_user_request *req, unsigned int index)
{
	struct aero_vhost_user_ring *ring = &conn->rings[index];
	enum aero_status status = AERO_ERANGE;

	if (ring->is_started || !ring->has_size || !ring->has_addr || !ring->has_kick ||
	    !conn->has_memory)
		return AERO_OK;
	ring->is_packed = is_packed(conn);
	if (!ring->has_base)
		ring->base = ring->is_packed ? PACKED_BASE_FRESH : 0;
	if (is_base_inside(ring))
		status = conn->config.ops->ring_start(conn->config.ctx, index, ring);
	if (status != AERO_OK) {
		drop_kick(ring);
		return aero_vhost_user_refuse(req, status, "ring %u does not start", index);
	}
	ring->is_started = true;
	return AERO_OK;
}

enum aero_status aero_vhost_user_rings_start(struct aero_vhost_user_conn *conn,
					     struct aero_vhost_user_request *req)
{
	enum aero_status status = AERO_OK;

	for (unsigned int i = 0; i < conn->config.ring_count && status == AERO_OK; i++)
		status = start(conn, req, i);
	return status;
}

enum aero_status aero_vhost_user_reset_owner(struct aero_vhost_user_conn *conn,
					     struct aero_vhost_user_request *req)
{
	(void)req;
	aero_vhost_user_rings_enable(conn, false);
	return AERO_OK;
}

static enum aero_status check_index(struct aero_vhost_user_conn *conn,
				    const struct aero_vhost_user_request *req, uint32_t index)
{
	if (index < conn->config.ring_count)
		return AERO_OK;
	return aero_vhost_user_violate(conn, req, "index is %u, there are %u rings", index,
				       conn->config.ring_count);
}

static enum aero_status parse_state(struct aero_vhost_user_conn *conn,
				    const struct aero_vhost_user_request *req,
				    struct aero_vhost_user_wire_vring_state *out)
{
	memcpy(out, req->payload, sizeof(*out));
	return check_index(conn, req, out->index);
}

/* Size, addresses and base change only where the ring does not run. */
static enum aero_status make_idle(struct aero_vhost_user_conn *conn,
				  const struct aero_vhost_user_request *req, uint32_t index)
{
	const struct aero_vhost_user_ring *ring = &conn->rings[index];

	if (ring->is_started && ring->is_enabled)
		return aero_vhost_user_violate(conn, req, "ring %u runs", index);
	if (ring->is_started)
		stop(conn, index);
	return AERO_OK;
}

enum aero_status aero_vhost_user_set_vring_num(struct aero_vhost_user_conn *conn,
					       struct aero_vhost_user_request *req)
{
	struct aero_vhost_user_wire_vring_state state;
	enum aero_status status = parse_state(conn, req, &state);

	if (status != AERO_OK)
		return status;
	if (state.num < 1 || state.num > AERO_VHOST_USER_RING_SIZE_MAX)
		return aero_vhost_user_violate(conn, req, "num is %u, not 1 to %u", state.num,
					       AERO_VHOST_USER_RING_SIZE_MAX);
	if (!is_packed(conn) && state.num & (state.num - 1))
		return aero_vhost_user_violate(conn, req, "num is %u, not a power of two",
					       state.num);
	status = make_idle(conn, req, state.index);
	if (status != AERO_OK)
		return status;
	conn->rings[state.index].size = state.num;
	conn->rings[state.index].has_size = true;
	return start(conn, req, state.index);
}

static enum aero_status check_addr(struct aero_vhost_user_conn *conn,
				   const struct aero_vhost_user_request *req,
				   const struct aero_vhost_user_wire_vring_addr *addr)
{
	unsigned int avail =
		is_packed(conn) ? AERO_VIRTIO_PACKED_EVENT_ALIGN : AERO_VIRTIO_SPLIT_AVAIL_ALIGN;
	enum aero_status status = check_index(conn, req, addr->index);

	if (status != AERO_OK)
		return status;
	if (addr->flags & ~AERO_VHOST_USER_VRING_F_LOG)
		return aero_vhost_user_violate(conn, req, "flags are %#x: unknown ones",
					       addr->flags);
	if (addr->desc % AERO_VIRTIO_SPLIT_DESC_ALIGN)
		return aero_vhost_user_violate(conn, req, "descriptor is %#" PRIx64 ": misaligned",
					       addr->desc);
	if (addr->avail % avail)
		return aero_vhost_user_violate(conn, req, "available is %#" PRIx64 ": misaligned",
					       addr->avail);
	if (addr->used % AERO_VIRTIO_SPLIT_USED_ALIGN)
		return aero_vhost_user_violate(conn, req, "used is %#" PRIx64 ": misaligned",
					       addr->used);
	return AERO_OK;
}

/* Sent again while the ring runs, to switch logging: nothing to do where nothing else changes. */
enum aero_status aero_vhost_user_set_vring_addr(struct aero_vhost_user_conn *conn,
						struct aero_vhost_user_request *req)
{
	struct aero_vhost_user_wire_vring_addr addr;
	struct aero_vhost_user_ring *ring;
	enum aero_status status;

	memcpy(&addr, req->payload, sizeof(addr));
	status = check_addr(conn, req, &addr);
	if (status != AERO_OK)
		return status;
	ring = &conn->rings[addr.index];
	if (ring->is_started && ring->is_enabled && ring->desc == addr.desc &&
	    ring->avail == addr.avail && ring->used == addr.used)
		return AERO_OK;
	status = make_idle(conn, req, addr.index);
	if (status != AERO_OK)
		return status;
	ring->desc = addr.desc;
	ring->avail = addr.avail;
	ring->used = addr.used;
	ring->has_addr = true;
	return start(conn, req, addr.index);
}

enum aero_status aero_vhost_user_set_vring_base(struct aero_vhost_user_conn *conn,
						struct aero_vhost_user_request *req)
{
	struct aero_vhost_user_wire_vring_state state;
	enum aero_status status = parse_state(conn, req, &state);

	if (status != AERO_OK)
		return status;
	if (!is_packed(conn) && state.num & ~AERO_VHOST_USER_BASE_SPLIT_MASK)
		return aero_vhost_user_violate(conn, req, "num is %#x, a split ring has 16 bits",
					       state.num);
	status = make_idle(conn, req, state.index);
	if (status != AERO_OK)
		return status;
	conn->rings[state.index].base = state.num;
	conn->rings[state.index].has_base = true;
	return start(conn, req, state.index);
}

enum aero_status aero_vhost_user_get_vring_base(struct aero_vhost_user_conn *conn,
						struct aero_vhost_user_request *req)
{
	struct aero_vhost_user_wire_vring_state state;
	enum aero_status status = parse_state(conn, req, &state);
	const struct aero_vhost_user_ring *ring;

	if (status != AERO_OK)
		return status;
	stop(conn, state.index);
	ring = &conn->rings[state.index];
	state.num = ring->base;
	if (!ring->has_base)
		state.num = is_packed(conn) ? PACKED_BASE_FRESH : 0;
	aero_vhost_user_reply(req, &state, sizeof(state));
	return AERO_OK;
}

/* Index, and whether a descriptor comes along: -1 where the front end says there is none. */
static enum aero_status parse_fd(struct aero_vhost_user_conn *conn,
				 const struct aero_vhost_user_request *req, uint32_t *out_index,
				 int *out_fd)
{
	uint64_t word = aero_vhost_user_u64(req);
	uint32_t index = (uint32_t)(word & AERO_VHOST_USER_VRING_INDEX_MASK);
	bool has_fd = !(word & AERO_VHOST_USER_VRING_NOFD);
	enum aero_status status;

	if (word & ~(uint64_t)(AERO_VHOST_USER_VRING_INDEX_MASK | AERO_VHOST_USER_VRING_NOFD))
		return aero_vhost_user_violate(conn, req, "value is %#" PRIx64 ": unknown bits",
					       word);
	status = check_index(conn, req, index);
	if (status != AERO_OK)
		return status;
	if (conn->fd_count != has_fd)
		return aero_vhost_user_violate(conn, req,
					       "value is %#" PRIx64 " and there are %u descriptors",
					       word, conn->fd_count);
	*out_index = index;
	*out_fd = has_fd ? aero_vhost_user_take_fd(conn, 0) : -1;
	return AERO_OK;
}

enum aero_status aero_vhost_user_set_vring_kick(struct aero_vhost_user_conn *conn,
						struct aero_vhost_user_request *req)
{
	struct aero_vhost_user_ring *ring;
	uint32_t index = 0;
	int old;
	int fd = -1;
	enum aero_status status = parse_fd(conn, req, &index, &fd);

	if (status != AERO_OK)
		return status;
	ring = &conn->rings[index];
	old = ring->kick_fd;
	ring->kick_fd = fd;
	ring->is_polled = fd < 0;
	ring->has_kick = true;
	if (ring->is_started)
		conn->config.ops->ring_kick_changed(conn->config.ctx, index, ring);
	else
		status = start(conn, req, index);
	replace_fd(&old, -1);
	return status;
}

/* Adds 1 to an eventfd, or 8 bytes to a pipe; never waits for room. */
static void signal_fd(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	const uint64_t one = 1;
	ssize_t n;

	do {
		n = poll(&poll_fd, 1, 0);
		/* A pipe nobody reads would answer with SIGPIPE. */
		if (n == 1 && (poll_fd.revents & (POLLOUT | POLLERR)) == POLLOUT)
			n = write(fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
}

enum aero_status aero_vhost_user_set_vring_call(struct aero_vhost_user_conn *conn,
						struct aero_vhost_user_request *req)
{
	struct aero_vhost_user_ring *ring;
	uint32_t index = 0;
	int fd = -1;
	enum aero_status status = parse_fd(conn, req, &index, &fd);

	if (status != AERO_OK)
		return status;
	ring = &conn->rings[index];
	replace_fd(&ring->call_fd, fd);
	ring->is_call_polled = fd < 0;
	if (fd >= 0 && ring->is_call_pending)
		signal_fd(fd);
	ring->is_call_pending = false;
	return AERO_OK;
}

enum aero_status aero_vhost_user_set_vring_err(struct aero_vhost_user_conn *conn,
					       struct aero_vhost_user_request *req)
{
	uint32_t index = 0;
	int fd = -1;
	enum aero_status status = parse_fd(conn, req, &index, &fd);

	if (status == AERO_OK)
		replace_fd(&conn->rings[index].err_fd, fd);
	return status;
}

enum aero_status aero_vhost_user_set_vring_enable(struct aero_vhost_user_conn *conn,
						  struct aero_vhost_user_request *req)
{
	struct aero_vhost_user_wire_vring_state state;
	enum aero_status status = parse_state(conn, req, &state);

	if (status != AERO_OK)
		return status;
	if (state.num > 1)
		return aero_vhost_user_violate(conn, req, "num is %u, not 0 or 1", state.num);
	enable(conn, state.index, state.num == 1);
	return AERO_OK;
}

enum aero_status aero_vhost_user_vring_kick(struct aero_vhost_user_conn *conn,
					    struct aero_vhost_user_request *req)
{
	struct aero_vhost_user_wire_vring_state state;
	enum aero_status status = parse_state(conn, req, &state);
	struct aero_vhost_user_ring *ring;

	if (status != AERO_OK)
		return status;
	ring = &conn->rings[state.index];
	ring->has_kick = true;
	status = start(conn, req, state.index);
	if (status != AERO_OK)
		return status;
	if (!ring->is_started)
		return aero_vhost_user_violate(conn, req, "ring %u is not set up", state.index);
	conn->config.ops->ring_kick(conn->config.ctx, state.index);
	return AERO_OK;
}

void aero_vhost_user_call(struct aero_vhost_user_conn *conn, unsigned int index)
{
	struct aero_vhost_user_ring *ring = &conn->rings[index];

	if (ring->call_fd >= 0)
		signal_fd(ring->call_fd);
	else if (ring->is_call_polled)
		return;
	else if (aero_vhost_user_has(conn, AERO_VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS))
		aero_vhost_user_channel_call(conn, index);
	else
		ring->is_call_pending = true;
}

void aero_vhost_user_error(struct aero_vhost_user_conn *conn, unsigned int index)
{
	if (conn->rings[index].err_fd >= 0)
		signal_fd(conn->rings[index].err_fd);
	else if (aero_vhost_user_has(conn, AERO_VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS))
		aero_vhost_user_channel_error(conn, index);
}

/*
 * The descriptor is shared with the front end, so its O_NONBLOCK is not ours to set, and another
 * reader may be faster than our poll(): RWF_NOWAIT makes the single read safe.
 */
enum aero_status aero_vhost_user_drain(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	uint8_t buf[512];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	ssize_t n = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

	if (n < 0 && errno == EOPNOTSUPP) {
		n = poll(&poll_fd, 1, 0);
		if (n == 0)
			return AERO_EAGAIN;
		if (n > 0)
			n = read(fd, buf, sizeof(buf));
	}
	if (n > 0)
		return AERO_OK;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return AERO_EAGAIN;
	return AERO_EGONE;
}
