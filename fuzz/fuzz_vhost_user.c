/* SPDX-License-Identifier: MIT */

/*
 * A hostile front end against the vhost-user engine with real guest memory.
 *
 * Input: operations, see run_operation(): raw bytes with descriptors, well-formed messages with
 * values of the input's choice, calls from the device, traffic on the back-end channel, and which
 * device operation refuses next. The device is a model: it knows which calls are legal in which
 * state and aborts at any other. Replies must be well-formed, and at the end no descriptor is left.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/vhost_user.h"
#include "support/check.h"

#define RINGS 5
#define OPERATIONS 400
#define MEMORY_BYTES (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
	const uint8_t *data;
	size_t left;
	struct aero_vhost_user_conn conn;
	struct aero_guest_memory memory;
	int peer; /* our end of the back-end channel, or -1 */
	int watched;
	unsigned int refuse_in; /* operations until one refuses; 0: none */
	bool is_started[RINGS];
	bool is_enabled[RINGS];
	int kick_fd[RINGS];
	bool has_memory;
	bool is_dead;
};

/* Input --------------------------------------------------------------------------------------- */

static uint32_t take(struct state *st, unsigned int len)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < len && st->left; i++, st->left--)
		value |= (uint32_t)*st->data++ << (8 * i);
	return value;
}

/* The device ---------------------------------------------------------------------------------- */

static enum aero_status answer(struct state *st)
{
	if (st->refuse_in && --st->refuse_in == 0)
		return AERO_EINVAL;
	return AERO_OK;
}

static uint64_t get_features(void *ctx)
{
	(void)ctx;
	return ~0ull;
}

static enum aero_status set_features(void *ctx, uint64_t features)
{
	CHECK(!(features & (1ull << 26 | 1ull << 30 | 1ull << 33)));
	return answer(ctx);
}

static enum aero_status set_memory(void *ctx, const struct aero_guest_region *regions,
				   unsigned int count)
{
	struct state *st = ctx;
	enum aero_status status = answer(st);

	CHECK(count >= 1 && count <= 8);
	for (unsigned int i = 0; i < count; i++)
		CHECK(fcntl(regions[i].fd, F_GETFD) == FD_CLOEXEC);
	if (status == AERO_OK)
		status = aero_guest_memory_set(&st->memory, regions, count);
	st->has_memory = st->has_memory || status == AERO_OK;
	return status;
}

static enum aero_status add_memory(void *ctx, const struct aero_guest_region *region)
{
	struct state *st = ctx;
	enum aero_status status = answer(st);

	CHECK(fcntl(region->fd, F_GETFD) == FD_CLOEXEC);
	if (status == AERO_OK)
		status = aero_guest_memory_add(&st->memory, region);
	st->has_memory = st->has_memory || status == AERO_OK;
	return status;
}

static enum aero_status remove_memory(void *ctx, const struct aero_guest_region *region)
{
	struct state *st = ctx;
	enum aero_status status = answer(st);

	CHECK(region->fd == -1);
	return status == AERO_OK ? aero_guest_memory_remove(&st->memory, region) : status;
}

static enum aero_status get_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	CHECK(len >= 1 && (uint64_t)offset + len <= 256);
	memset(buf, 0x5a, len);
	return answer(ctx);
}

static enum aero_status set_config(void *ctx, uint32_t offset, const void *buf, uint32_t len,
				   bool is_migration)
{
	uint8_t copy[256];

	(void)is_migration;
	CHECK(len >= 1 && (uint64_t)offset + len <= 256);
	memcpy(copy, buf, len);
	return answer(ctx);
}

static enum aero_status ring_start(void *ctx, unsigned int index,
				   const struct aero_vhost_user_ring *ring)
{
	struct state *st = ctx;
	enum aero_status status = answer(st);

	CHECK(index < RINGS && !st->is_started[index] && st->has_memory);
	CHECK(ring->size >= 1 && ring->size <= AERO_VHOST_USER_RING_SIZE_MAX);
	CHECK(ring->is_enabled == st->is_enabled[index] || ring->is_enabled);
	CHECK(ring->desc % 16 == 0 && ring->used % 4 == 0 && ring->avail % 2 == 0);
	CHECK(!ring->is_packed || (ring->base & 0x7fff) < ring->size);
	CHECK(ring->kick_fd < 0 || fcntl(ring->kick_fd, F_GETFD) == FD_CLOEXEC);
	CHECK(ring->kick_fd < 0 || !ring->is_polled);
	if (status != AERO_OK)
		return status;
	st->is_started[index] = true;
	st->is_enabled[index] = ring->is_enabled;
	st->kick_fd[index] = ring->kick_fd;
	return AERO_OK;
}

static uint32_t ring_stop(void *ctx, unsigned int index)
{
	struct state *st = ctx;

	CHECK(index < RINGS && st->is_started[index]);
	CHECK(st->kick_fd[index] < 0 || fcntl(st->kick_fd[index], F_GETFD) == FD_CLOEXEC);
	st->is_started[index] = false;
	st->is_enabled[index] = false;
	return take(st, 2);
}

static void ring_enable(void *ctx, unsigned int index, bool is_enabled)
{
	struct state *st = ctx;

	CHECK(index < RINGS && st->is_started[index] && st->is_enabled[index] != is_enabled);
	st->is_enabled[index] = is_enabled;
}

static void ring_kick_changed(void *ctx, unsigned int index,
			      const struct aero_vhost_user_ring *ring)
{
	struct state *st = ctx;

	CHECK(index < RINGS && st->is_started[index]);
	/* The old one must still be open, so that it can be taken out of an event loop. */
	CHECK(st->kick_fd[index] < 0 || fcntl(st->kick_fd[index], F_GETFD) == FD_CLOEXEC);
	st->kick_fd[index] = ring->kick_fd;
}

static void ring_kick(void *ctx, unsigned int index)
{
	struct state *st = ctx;

	CHECK(index < RINGS && st->is_started[index]);
}

static void set_status(void *ctx, uint8_t status)
{
	struct state *st = ctx;

	for (unsigned int i = 0; i < RINGS; i++)
		CHECK(status || !st->is_started[i]);
}

static uint8_t get_status(void *ctx)
{
	return (uint8_t)take(ctx, 1);
}

static void reset(void *ctx)
{
	struct state *st = ctx;

	for (unsigned int i = 0; i < RINGS; i++)
		CHECK(!st->is_started[i]);
}

static const struct aero_vhost_user_ops ops = {
	.get_features = get_features,
	.set_features = set_features,
	.set_memory = set_memory,
	.add_memory = add_memory,
	.remove_memory = remove_memory,
	.get_config = get_config,
	.set_config = set_config,
	.ring_start = ring_start,
	.ring_stop = ring_stop,
	.ring_enable = ring_enable,
	.ring_kick_changed = ring_kick_changed,
	.ring_kick = ring_kick,
	.set_status = set_status,
	.get_status = get_status,
	.reset = reset,
};

/* Surroundings -------------------------------------------------------------------------------- */

static enum aero_status send_reply(void *ctx, const void *bytes, size_t len)
{
	struct state *st = ctx;
	uint32_t header[3];

	CHECK(len >= sizeof(header) && len <= AERO_VHOST_USER_MESSAGE_MAX && !st->is_dead);
	memcpy(header, bytes, sizeof(header));
	CHECK(header[0] >= 1 && header[0] < AERO_VHOST_USER_REQUEST_LIMIT);
	CHECK(header[1] == 5 && header[2] == len - sizeof(header));
	CHECK(header[2] == 0 || header[2] == 8 || header[0] == AERO_VHOST_USER_GET_CONFIG);
	return answer(st) == AERO_OK ? AERO_OK : AERO_EGONE;
}

static void watch(void *ctx, int fd, bool is_write_wanted)
{
	struct state *st = ctx;

	(void)is_write_wanted;
	CHECK(fd < 0 || fcntl(fd, F_GETFD) >= 0);
	st->watched = fd;
}

static void log_line(void *ctx, const char *line)
{
	(void)ctx;
	CHECK(line[0] && !strchr(line, '\n') && strlen(line) < 256);
}

/* The front end ------------------------------------------------------------------------------- */

static int new_memory(void)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	CHECK(fd >= 0 && !ftruncate(fd, MEMORY_BYTES));
	return fd;
}

/* One end for the engine; ours replaces the one before. */
static int new_channel(struct state *st)
{
	int pair[2];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
	if (st->peer >= 0)
		close(st->peer);
	st->peer = pair[1];
	return pair[0];
}

static int new_fd(struct state *st, uint32_t kind)
{
	int fd;

	if (kind % 4 == 0)
		return new_memory();
	if (kind % 4 == 1)
		return new_channel(st);
	fd = kind % 4 == 2 ? eventfd(0, EFD_CLOEXEC) : open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

static void feed(struct state *st, const uint8_t *bytes, size_t len, uint32_t kind, uint32_t count)
{
	int fds[12];
	enum aero_status status;

	for (uint32_t i = 0; i < count; i++)
		fds[i] = new_fd(st, kind);
	status = aero_vhost_user_feed(&st->conn, bytes, len, fds, count);
	CHECK(!st->is_dead || status == AERO_ESTATE);
	st->is_dead = status != AERO_OK;
	CHECK(aero_vhost_user_wanted(&st->conn) >= 1 || st->is_dead);
}

static void feed_raw(struct state *st)
{
	uint32_t len = take(st, 1);
	uint32_t fds = take(st, 1);

	if (len > st->left)
		len = (uint32_t)st->left;
	/* Ahead of the call, because the device takes input as well. */
	st->data += len;
	st->left -= len;
	feed(st, st->data - len, len, fds >> 4, (fds & 15) % 12);
}

struct writer {
	uint8_t bytes[512];
	uint32_t len;
};

static void put(struct writer *w, uint64_t value, uint32_t len)
{
	memcpy(w->bytes + w->len, &value, len);
	w->len += len;
}

static void put_region(struct state *st, struct writer *w)
{
	uint32_t place = take(st, 1);

	put(w, (uint64_t)place << 16, 8);
	put(w, (uint64_t)(take(st, 1) & 31) << 12, 8);
	put(w, 0x7f0000000000 + ((uint64_t)place << 16), 8);
	put(w, (uint64_t)(take(st, 1) & 63) << 12, 8);
}

/* The payload of a message, by its form. */
static void put_payload(struct state *st, struct writer *w, uint32_t id)
{
	uint32_t count;

	switch (id) {
	case AERO_VHOST_USER_SET_MEM_TABLE:
		count = take(st, 1) % 10;
		put(w, count, 8);
		for (uint32_t i = 0; i < count; i++)
			put_region(st, w);
		break;
	case AERO_VHOST_USER_ADD_MEM_REG:
	case AERO_VHOST_USER_REM_MEM_REG:
		put(w, 0, 8);
		put_region(st, w);
		break;
	case AERO_VHOST_USER_SET_VRING_ADDR:
		put(w, take(st, 1) % 6, 8);
		put(w, (uint64_t)take(st, 1) << 4, 8);
		put(w, (uint64_t)take(st, 1) << 2, 8);
		put(w, (uint64_t)take(st, 1) << 2, 8);
		put(w, 0, 8);
		break;
	case AERO_VHOST_USER_GET_CONFIG:
	case AERO_VHOST_USER_SET_CONFIG:
		put(w, take(st, 1), 4);
		count = take(st, 2) % 260;
		put(w, count, 4);
		put(w, take(st, 1) & 1, 4);
		w->len += count;
		break;
	case AERO_VHOST_USER_SET_FEATURES:
	case AERO_VHOST_USER_SET_PROTOCOL_FEATURES:
	case AERO_VHOST_USER_SET_STATUS:
		put(w, take(st, 4), 4);
		put(w, take(st, 1), 4);
		break;
	case AERO_VHOST_USER_SET_VRING_KICK:
	case AERO_VHOST_USER_SET_VRING_CALL:
	case AERO_VHOST_USER_SET_VRING_ERR:
		count = take(st, 1);
		put(w, (count & 7) | (count & 128) << 1, 8);
		break;
	case AERO_VHOST_USER_SET_VRING_NUM:
	case AERO_VHOST_USER_SET_VRING_BASE:
	case AERO_VHOST_USER_GET_VRING_BASE:
	case AERO_VHOST_USER_SET_VRING_ENABLE:
	case AERO_VHOST_USER_VRING_KICK:
		put(w, take(st, 1) % 6, 4);
		put(w, take(st, 2), 4);
		break;
	default:
		break;
	}
}

/* The descriptors that a message is supposed to bring. */
static uint32_t usual_fds(const struct writer *w, uint32_t id, uint32_t *out_kind)
{
	*out_kind = 2;
	switch (id) {
	case AERO_VHOST_USER_SET_MEM_TABLE:
		*out_kind = 0;
		return w->bytes[12] % 12;
	case AERO_VHOST_USER_ADD_MEM_REG:
		*out_kind = 0;
		return 1;
	case AERO_VHOST_USER_SET_BACKEND_REQ_FD:
		*out_kind = 1;
		return 1;
	case AERO_VHOST_USER_SET_VRING_KICK:
	case AERO_VHOST_USER_SET_VRING_CALL:
	case AERO_VHOST_USER_SET_VRING_ERR:
		return !(w->bytes[13] & 1);
	default:
		return 0;
	}
}

/* A well-formed message, cut in two at a place of the input's choice. */
static void feed_message(struct state *st)
{
	uint32_t id = take(st, 1) % 48;
	uint32_t how = take(st, 1);
	struct writer w = { .len = 12 };
	uint32_t header[3] = { id, how & 1 ? 9 : 1, 0 };
	uint32_t kind;
	uint32_t fds;
	size_t cut;

	put_payload(st, &w, id);
	header[2] = w.len - 12;
	memcpy(w.bytes, header, sizeof(header));
	fds = usual_fds(&w, id, &kind);
	cut = how & 2 ? take(st, 1) % w.len : 0;
	if (how & 4 && how & 8)
		fds = (fds + 1) % 12;
	feed(st, w.bytes, cut ? cut : w.len, kind, fds);
	if (cut)
		feed(st, w.bytes + cut, w.len - cut, 0, 0);
}

/* What the front end does on the back-end channel: read it empty, write, acknowledge, close. */
static void use_channel(struct state *st)
{
	uint32_t what = take(st, 1);
	uint8_t buf[64];
	ssize_t n;

	if (st->peer < 0)
		return;
	if (what & 1) {
		while (recv(st->peer, buf, sizeof(buf), MSG_DONTWAIT) > 0)
			continue;
	}
	if (what & 2) {
		uint32_t ack[5] = { take(st, 1) % 6, what & 32 ? 1 : 5, 8, take(st, 1), 0 };

		n = send(st->peer, ack, sizeof(ack), MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)n;
	}
	if (what & 4) {
		close(st->peer);
		st->peer = -1;
	}
	if (st->watched >= 0)
		aero_vhost_user_channel_ready(&st->conn);
}

static void run_operation(struct state *st)
{
	uint32_t op = take(st, 1);

	switch (op & 7) {
	case 0:
		feed_raw(st);
		break;
	case 1:
	case 2:
	case 3:
		feed_message(st);
		break;
	case 4:
		aero_vhost_user_call(&st->conn, (op >> 3) % RINGS);
		break;
	case 5:
		aero_vhost_user_error(&st->conn, (op >> 3) % RINGS);
		break;
	case 6:
		if (op & 8)
			st->refuse_in = 1 + (op >> 4);
		else
			(void)aero_vhost_user_config_changed(&st->conn);
		break;
	default:
		use_channel(st);
		break;
	}
}

static void validate(struct state *st)
{
	for (unsigned int i = 0; i < RINGS; i++) {
		const struct aero_vhost_user_ring *ring = aero_vhost_user_ring(&st->conn, i);

		CHECK(ring->is_started == st->is_started[i]);
		CHECK(!ring->is_started || ring->is_enabled == st->is_enabled[i]);
		CHECK(!ring->is_started || (ring->has_size && ring->has_addr && ring->has_kick));
	}
	CHECK(st->watched == st->conn.channel.fd);
}

static void run(struct state *st)
{
	const struct aero_vhost_user_config config = {
		.ops = &ops,
		.ctx = st,
		.ring_count = RINGS,
		.memory_slots = 8,
		.is_inband_off = take(st, 1) & 1,
	};
	const struct aero_vhost_user_io io = { st, send_reply, watch, log_line };
	const struct aero_guest_memory_config memory = { log_line, st };

	aero_guest_memory_init(&st->memory, &memory);
	aero_vhost_user_init(&st->conn, &config, &io);
	for (int i = 0; i < OPERATIONS && st->left && !st->is_dead; i++) {
		run_operation(st);
		validate(st);
	}
	aero_vhost_user_fini(&st->conn);
	for (unsigned int i = 0; i < RINGS; i++)
		CHECK(!st->is_started[i]);
	CHECK(st->watched == -1);
	aero_guest_memory_fini(&st->memory);
	if (st->peer >= 0)
		close(st->peer);
}

/* Descriptors are given out lowest first, so a leak is seen as a higher one. */
static int lowest_free_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct state st;
	int before = lowest_free_fd();

	memset(&st, 0, sizeof(st));
	st.data = data;
	st.left = size;
	st.peer = -1;
	st.watched = -1;
	run(&st);
	CHECK(lowest_free_fd() == before);
	return 0;
}
