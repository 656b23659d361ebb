/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_UNIT_TEST_VHOST_USER_RIG_H
#define AEROSTAT_TESTS_UNIT_TEST_VHOST_USER_RIG_H

/*
 * A vhost-user engine with a device that writes down every call, and surroundings that keep every
 * byte and line. Messages are built from raw numbers, never through the wire structures.
 */

#include "support/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hosted/vhost_user.h"

#define FLAG_ACK 9u /* version 1 and need_reply */

/* Offered by the rig's device: balloon bits 0-5, INDIRECT, EVENT_IDX, VERSION_1, PACKED. */
#define RIG_FEATURES 0x53000003full
/* And bits the engine must not pass on: LOG_ALL, PROTOCOL_FEATURES, ACCESS_PLATFORM. */
#define RIG_FEATURES_TOO_MANY (1ull << 26 | 1ull << 30 | 1ull << 33)

#define ALL_PROTOCOL_FEATURES 0x1e629ull

struct rig {
	struct aero_vhost_user_conn conn;
	struct aero_vhost_user_ops ops;
	char calls[16384];
	char lines[16384];
	uint8_t out[16384];
	size_t out_len;
	int watch_fd;
	bool is_write_wanted;
	enum aero_status answer; /* of every operation that can refuse */
	enum aero_status send_answer;
	uint32_t stop_base;
	uint8_t status;
	uint8_t config[256];
	int fds_before;
};

static inline int rig_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

__attribute__((format(printf, 2, 3))) static inline void rig_note(struct rig *rig,
								  const char *format, ...)
{
	size_t have = strlen(rig->calls);
	va_list args;

	va_start(args, format);
	vsnprintf(rig->calls + have, sizeof(rig->calls) - have, format, args);
	va_end(args);
}

static inline uint64_t rig_get_features(void *ctx)
{
	(void)ctx;
	return RIG_FEATURES | RIG_FEATURES_TOO_MANY;
}

static inline enum aero_status rig_set_features(void *ctx, uint64_t features)
{
	struct rig *rig = ctx;

	rig_note(rig, "set_features %#llx\n", (unsigned long long)features);
	return rig->answer;
}

static inline void rig_note_region(struct rig *rig, const struct aero_guest_region *region)
{
	rig_note(rig, " gpa=%#llx bytes=%#llx uva=%#llx offset=%#llx fd=%s",
		 (unsigned long long)region->gpa, (unsigned long long)region->bytes,
		 (unsigned long long)region->uva, (unsigned long long)region->offset,
		 region->fd < 0			   ? "none"
		 : fcntl(region->fd, F_GETFD) >= 0 ? "open"
						   : "closed");
}

static inline enum aero_status rig_set_memory(void *ctx, const struct aero_guest_region *regions,
					      unsigned int count)
{
	struct rig *rig = ctx;

	rig_note(rig, "set_memory %u", count);
	for (unsigned int i = 0; i < count; i++)
		rig_note_region(rig, &regions[i]);
	rig_note(rig, "\n");
	return rig->answer;
}

static inline enum aero_status rig_add_memory(void *ctx, const struct aero_guest_region *region)
{
	struct rig *rig = ctx;

	rig_note(rig, "add_memory");
	rig_note_region(rig, region);
	rig_note(rig, "\n");
	return rig->answer;
}

static inline enum aero_status rig_remove_memory(void *ctx, const struct aero_guest_region *region)
{
	struct rig *rig = ctx;

	rig_note(rig, "remove_memory");
	rig_note_region(rig, region);
	rig_note(rig, "\n");
	return rig->answer;
}

static inline enum aero_status rig_get_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct rig *rig = ctx;

	rig_note(rig, "get_config %u %u\n", offset, len);
	memcpy(buf, rig->config + offset, len);
	return rig->answer;
}

static inline enum aero_status rig_set_config(void *ctx, uint32_t offset, const void *buf,
					      uint32_t len, bool is_migration)
{
	struct rig *rig = ctx;

	rig_note(rig, "set_config %u %u%s\n", offset, len, is_migration ? " migration" : "");
	memcpy(rig->config + offset, buf, len);
	return rig->answer;
}

static inline enum aero_status rig_ring_start(void *ctx, unsigned int index,
					      const struct aero_vhost_user_ring *ring)
{
	struct rig *rig = ctx;

	rig_note(rig, "start %u size=%u base=%#x desc=%#llx avail=%#llx used=%#llx kick=%s%s%s\n",
		 index, ring->size, ring->base, (unsigned long long)ring->desc,
		 (unsigned long long)ring->avail, (unsigned long long)ring->used,
		 ring->kick_fd >= 0 ? "fd"
		 : ring->is_polled  ? "poll"
				    : "message",
		 ring->is_packed ? " packed" : "", ring->is_enabled ? " enabled" : "");
	return rig->answer;
}

static inline uint32_t rig_ring_stop(void *ctx, unsigned int index)
{
	struct rig *rig = ctx;

	rig_note(rig, "stop %u\n", index);
	return rig->stop_base;
}

static inline void rig_ring_enable(void *ctx, unsigned int index, bool is_enabled)
{
	rig_note(ctx, "%s %u\n", is_enabled ? "enable" : "disable", index);
}

static inline void rig_ring_kick_changed(void *ctx, unsigned int index,
					 const struct aero_vhost_user_ring *ring)
{
	rig_note(ctx, "kick_changed %u %s\n", index, ring->kick_fd >= 0 ? "fd" : "poll");
}

static inline void rig_ring_kick(void *ctx, unsigned int index)
{
	rig_note(ctx, "kick %u\n", index);
}

static inline void rig_set_status(void *ctx, uint8_t status)
{
	struct rig *rig = ctx;

	rig->status = status;
	rig_note(rig, "set_status %#x\n", status);
}

static inline uint8_t rig_get_status(void *ctx)
{
	return ((struct rig *)ctx)->status;
}

static inline void rig_reset(void *ctx)
{
	rig_note(ctx, "reset\n");
}

static inline enum aero_status rig_send(void *ctx, const void *bytes, size_t len)
{
	struct rig *rig = ctx;

	assert_true(rig->out_len + len <= sizeof(rig->out));
	memcpy(rig->out + rig->out_len, bytes, len);
	rig->out_len += len;
	return rig->send_answer;
}

static inline void rig_watch(void *ctx, int fd, bool is_write_wanted)
{
	struct rig *rig = ctx;

	rig->watch_fd = fd;
	rig->is_write_wanted = is_write_wanted;
}

static inline void rig_log(void *ctx, const char *line)
{
	struct rig *rig = ctx;
	size_t have = strlen(rig->lines);

	assert_null(strchr(line, '\n'));
	snprintf(rig->lines + have, sizeof(rig->lines) - have, "%s\n", line);
}

static inline void rig_open(struct rig *rig)
{
	static const struct aero_vhost_user_ops ops = {
		.get_features = rig_get_features,
		.set_features = rig_set_features,
		.set_memory = rig_set_memory,
		.add_memory = rig_add_memory,
		.remove_memory = rig_remove_memory,
		.get_config = rig_get_config,
		.set_config = rig_set_config,
		.ring_start = rig_ring_start,
		.ring_stop = rig_ring_stop,
		.ring_enable = rig_ring_enable,
		.ring_kick_changed = rig_ring_kick_changed,
		.ring_kick = rig_ring_kick,
		.set_status = rig_set_status,
		.get_status = rig_get_status,
		.reset = rig_reset,
	};
	const struct aero_vhost_user_io io = { rig, rig_send, rig_watch, rig_log };
	struct aero_vhost_user_config config = {
		.ctx = rig,
		.ring_count = 5,
		.memory_slots = 32,
	};

	memset(rig, 0, sizeof(*rig));
	rig->fds_before = rig_count_fds();
	rig->watch_fd = -1;
	rig->ops = ops;
	config.ops = &rig->ops;
	aero_vhost_user_init(&rig->conn, &config, &io);
}

/* Every test ends here: nothing may be left open. */
static inline void rig_close(struct rig *rig)
{
	aero_vhost_user_fini(&rig->conn);
	assert_int_equal(rig->watch_fd, -1);
	assert_int_equal(rig_count_fds(), rig->fds_before);
}

static inline void rig_forget(struct rig *rig)
{
	rig->calls[0] = '\0';
	rig->lines[0] = '\0';
	rig->out_len = 0;
}

static inline int rig_setup(void **state)
{
	struct rig *rig = malloc(sizeof(*rig));

	if (!rig)
		return -1;
	rig_open(rig);
	*state = rig;
	return 0;
}

static inline int rig_teardown(void **state)
{
	rig_close(*state);
	free(*state);
	return 0;
}

/* Messages ------------------------------------------------------------------------------------ */

struct bytes {
	uint8_t at[1024];
	size_t len;
};

static inline void put32(struct bytes *b, uint32_t value)
{
	memcpy(b->at + b->len, &value, 4);
	b->len += 4;
}

static inline void put64(struct bytes *b, uint64_t value)
{
	memcpy(b->at + b->len, &value, 8);
	b->len += 8;
}

static inline struct bytes head(uint32_t id, uint32_t flags, uint32_t size)
{
	struct bytes b = { .len = 0 };

	put32(&b, id);
	put32(&b, flags);
	put32(&b, size);
	return b;
}

/* A message of size zero bytes. */
static inline struct bytes blank(uint32_t id, uint32_t flags, uint32_t size)
{
	struct bytes b = head(id, flags, size);

	memset(b.at + b.len, 0, size);
	b.len += size;
	return b;
}

static inline struct bytes with_u64(uint32_t id, uint32_t flags, uint64_t value)
{
	struct bytes b = head(id, flags, 8);

	put64(&b, value);
	return b;
}

static inline struct bytes with_state(uint32_t id, uint32_t flags, uint32_t index, uint32_t num)
{
	struct bytes b = head(id, flags, 8);

	put32(&b, index);
	put32(&b, num);
	return b;
}

static inline struct bytes with_addr(uint32_t index, uint32_t flags, uint64_t desc, uint64_t used,
				     uint64_t avail)
{
	struct bytes b = head(9, 1, 40);

	put32(&b, index);
	put32(&b, flags);
	put64(&b, desc);
	put64(&b, used);
	put64(&b, avail);
	put64(&b, 0);
	return b;
}

/* SET_MEM_TABLE of count regions of 1 MiB. */
static inline struct bytes with_table(uint32_t flags, uint32_t count)
{
	struct bytes b = head(5, flags, 8 + count * 32);

	put32(&b, count);
	put32(&b, 0);
	for (uint32_t i = 0; i < count; i++) {
		put64(&b, (uint64_t)i << 20);
		put64(&b, 1 << 20);
		put64(&b, 0x7f0000000000 + ((uint64_t)i << 20));
		put64(&b, (uint64_t)i << 20);
	}
	return b;
}

static inline struct bytes with_region(uint32_t id, uint32_t flags)
{
	struct bytes b = head(id, flags, 40);

	put64(&b, 0);
	put64(&b, 0x100000);
	put64(&b, 0x200000);
	put64(&b, 0x7f1234500000);
	put64(&b, 0x3000);
	return b;
}

static inline int new_fd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

/* Feeds a message in one piece with fresh descriptors. */
static inline enum aero_status feed_fds(struct rig *rig, struct bytes b, unsigned int fd_count)
{
	int fds[16] = { 0 };

	for (unsigned int i = 0; i < fd_count; i++)
		fds[i] = new_fd();
	return aero_vhost_user_feed(&rig->conn, b.at, b.len, fds, fd_count);
}

static inline enum aero_status feed(struct rig *rig, struct bytes b)
{
	return feed_fds(rig, b, 0);
}

static inline void feed_ok(struct rig *rig, struct bytes b, unsigned int fd_count)
{
	enum aero_status status = feed_fds(rig, b, fd_count);

	if (status != AERO_OK)
		print_message("%s", rig->lines);
	assert_int_equal(status, AERO_OK);
}

/* The message must be refused: connection dead, one line that holds text, no reply. */
static inline void feed_violation(struct rig *rig, struct bytes b, unsigned int fd_count,
				  const char *text)
{
	size_t out_len = rig->out_len;

	rig->lines[0] = '\0';
	assert_int_equal(feed_fds(rig, b, fd_count), AERO_EPROTO);
	assert_int_equal(rig->conn.fd_count, 0);
	if (!strstr(rig->lines, text) || !strstr(rig->lines, "; connection closed\n"))
		fail_msg("'%s' is not in '%s'", text, rig->lines);
	assert_ptr_equal(strchr(rig->lines, '\n'), rig->lines + strlen(rig->lines) - 1);
	assert_int_equal(rig->out_len, out_len);
	assert_int_equal(feed(rig, head(1, 1, 0)), AERO_ESTATE);
}

/* The only reply so far: id, and a 64-bit payload. */
static inline void expect_u64(struct rig *rig, uint32_t id, uint64_t value)
{
	struct bytes b = with_u64(id, 5, value);

	assert_int_equal(rig->out_len, b.len);
	assert_memory_equal(rig->out, b.at, b.len);
	rig->out_len = 0;
}

static inline void negotiate(struct rig *rig)
{
	feed_ok(rig, with_u64(16, 1, ALL_PROTOCOL_FEATURES), 0);
	feed_ok(rig, with_u64(2, 1, 0x100000001 | 1ull << 30), 0);
	rig_forget(rig);
}

/* Everything a ring needs but the kick. */
static inline void set_up_ring(struct rig *rig, uint32_t index)
{
	feed_ok(rig, with_state(8, 1, index, 128), 0);
	feed_ok(rig, with_state(10, 1, index, 0), 0);
	feed_ok(rig, with_addr(index, 0, 0x7f0000001000, 0x7f0000003000, 0x7f0000002000), 0);
}

static inline void start_ring(struct rig *rig, uint32_t index)
{
	set_up_ring(rig, index);
	feed_ok(rig, with_u64(12, 1, index), 1);
	feed_ok(rig, with_state(18, 1, index, 1), 0);
}

static inline uint64_t read_event(int fd)
{
	uint64_t value = 0;

	return read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

/* Feeds a message with a duplicate of fd, so that the test keeps its own end. */
static inline void feed_with(struct rig *rig, struct bytes b, int fd)
{
	int copy = dup(fd);

	assert_true(copy >= 0);
	assert_int_equal(aero_vhost_user_feed(&rig->conn, b.at, b.len, &copy, 1), AERO_OK);
}

static inline void set_memory(struct rig *rig)
{
	feed_ok(rig, with_table(1, 1), 1);
	rig_forget(rig);
}

static inline void expect_base(struct rig *rig, uint32_t index, uint32_t base)
{
	struct bytes want = with_state(11, 5, index, base);

	rig->out_len = 0;
	feed_ok(rig, with_state(11, 1, index, 0), 0);
	assert_int_equal(rig->out_len, want.len);
	assert_memory_equal(rig->out, want.at, want.len);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

#endif
