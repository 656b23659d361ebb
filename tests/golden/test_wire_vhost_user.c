/* SPDX-License-Identifier: MIT */
#include "unit/test_vhost_user_rig.h"

#include <errno.h>
#include <sys/socket.h>

/*
 * Whole messages of vhost-user, written byte by byte from the protocol document, in and out. The
 * protocol speaks the machine's byte order: these are the bytes of a little-endian one.
 */

static void in(struct rig *rig, const uint8_t *bytes, size_t len, unsigned int fd_count)
{
	int fds[8] = { 0 };

	for (unsigned int i = 0; i < fd_count; i++)
		fds[i] = new_fd();
	rig->out_len = 0;
	assert_int_equal(aero_vhost_user_feed(&rig->conn, bytes, len, fds, fd_count), AERO_OK);
}

static void out(struct rig *rig, const uint8_t *bytes, size_t len)
{
	assert_int_equal(rig->out_len, len);
	assert_memory_equal(rig->out, bytes, len);
}

#define IN(fd_count, ...)                                                                   \
	in(rig, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), \
	   fd_count)
#define OUT(...) \
	out(rig, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
#define NO_REPLY() assert_int_equal(rig->out_len, 0)

/* clang-format off */
static void test_negotiation_bytes(void **state)
{
	struct rig *rig = *state;

	/* GET_FEATURES: bits 0-5, 28, 29, 32, 34, and 30, which is ours */
	IN(0,	1, 0, 0, 0,  1, 0, 0, 0,  0, 0, 0, 0);
	OUT(	1, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  0x3f, 0, 0, 0x70, 5, 0, 0, 0);
	/* GET_PROTOCOL_FEATURES */
	IN(0,	15, 0, 0, 0,  1, 0, 0, 0,  0, 0, 0, 0);
	OUT(	15, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  0x29, 0xe6, 1, 0, 0, 0, 0, 0);
	/* SET_PROTOCOL_FEATURES: all of them, with need_reply */
	IN(0,	16, 0, 0, 0,  9, 0, 0, 0,  8, 0, 0, 0,  0x29, 0xe6, 1, 0, 0, 0, 0, 0);
	OUT(	16, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0);
	/* GET_QUEUE_NUM: 5 */
	IN(0,	17, 0, 0, 0,  1, 0, 0, 0,  0, 0, 0, 0);
	OUT(	17, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  5, 0, 0, 0, 0, 0, 0, 0);
	/* GET_MAX_MEM_SLOTS: 32 */
	IN(0,	36, 0, 0, 0,  1, 0, 0, 0,  0, 0, 0, 0);
	OUT(	36, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  32, 0, 0, 0, 0, 0, 0, 0);
	/* SET_OWNER with need_reply */
	IN(0,	3, 0, 0, 0,  9, 0, 0, 0,  0, 0, 0, 0);
	OUT(	3, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0);
	/* SET_FEATURES: VERSION_1, STATS_VQ and bit 30 */
	IN(0,	2, 0, 0, 0,  1, 0, 0, 0,  8, 0, 0, 0,  2, 0, 0, 0x40, 1, 0, 0, 0);
	NO_REPLY();
	assert_string_equal(rig->calls, "set_features 0x100000002\n");
}

static void test_memory_bytes(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	/* SET_MEM_TABLE: one region, 1 GiB at 4 GiB, user 0x7fc012340000, offset 0xc0000000 */
	IN(1,	5, 0, 0, 0,  9, 0, 0, 0,  40, 0, 0, 0,
		1, 0, 0, 0,  0, 0, 0, 0,
		0, 0, 0, 0, 1, 0, 0, 0,
		0, 0, 0, 0x40, 0, 0, 0, 0,
		0, 0, 0x34, 0x12, 0xc0, 0x7f, 0, 0,
		0, 0, 0, 0xc0, 0, 0, 0, 0);
	OUT(	5, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0);
	/* ADD_MEM_REG: eight bytes of padding come first */
	IN(1,	37, 0, 0, 0,  9, 0, 0, 0,  40, 0, 0, 0,
		0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee,
		0, 0, 0x20, 0, 0, 0, 0, 0,
		0, 0, 0x10, 0, 0, 0, 0, 0,
		0, 0, 0x40, 0, 0, 0, 0, 0,
		0, 0x10, 0, 0, 0, 0, 0, 0);
	OUT(	37, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0);
	/* REM_MEM_REG of the same, refused by the device */
	rig->answer = AERO_ENOENT;
	IN(0,	38, 0, 0, 0,  9, 0, 0, 0,  40, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0x20, 0, 0, 0, 0, 0,
		0, 0, 0x10, 0, 0, 0, 0, 0,
		0, 0, 0x40, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0);
	OUT(	38, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  1, 0, 0, 0, 0, 0, 0, 0);
	assert_string_equal(rig->calls,
		"set_memory 1 gpa=0x100000000 bytes=0x40000000 uva=0x7fc012340000 "
		"offset=0xc0000000 fd=open\n"
		"add_memory gpa=0x200000 bytes=0x100000 uva=0x400000 offset=0x1000 fd=open\n"
		"remove_memory gpa=0x200000 bytes=0x100000 uva=0x400000 offset=0 fd=none\n");
}

static void test_ring_bytes(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	set_memory(rig);
	/* Ring 2: SET_VRING_NUM 64, SET_VRING_BASE 0x102 */
	IN(0,	8, 0, 0, 0,  1, 0, 0, 0,  8, 0, 0, 0,  2, 0, 0, 0,  64, 0, 0, 0);
	IN(0,	10, 0, 0, 0,  1, 0, 0, 0,  8, 0, 0, 0,  2, 0, 0, 0,  2, 1, 0, 0);
	/* SET_VRING_ADDR: descriptors, used, available, log */
	IN(0,	9, 0, 0, 0,  1, 0, 0, 0,  40, 0, 0, 0,
		2, 0, 0, 0,  0, 0, 0, 0,
		0, 0x10, 0, 0, 0, 0x7f, 0, 0,
		0, 0x20, 0, 0, 0, 0x7f, 0, 0,
		0x80, 0x14, 0, 0, 0, 0x7f, 0, 0,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
	/* SET_VRING_CALL, SET_VRING_ERR, SET_VRING_KICK, SET_VRING_ENABLE */
	IN(1,	13, 0, 0, 0,  1, 0, 0, 0,  8, 0, 0, 0,  2, 0, 0, 0, 0, 0, 0, 0);
	IN(0,	14, 0, 0, 0,  1, 0, 0, 0,  8, 0, 0, 0,  2, 1, 0, 0, 0, 0, 0, 0);
	IN(1,	12, 0, 0, 0,  9, 0, 0, 0,  8, 0, 0, 0,  2, 0, 0, 0, 0, 0, 0, 0);
	OUT(	12, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0);
	IN(0,	18, 0, 0, 0,  1, 0, 0, 0,  8, 0, 0, 0,  2, 0, 0, 0,  1, 0, 0, 0);
	NO_REPLY();
	/* VRING_KICK */
	IN(0,	35, 0, 0, 0,  9, 0, 0, 0,  8, 0, 0, 0,  2, 0, 0, 0,  0, 0, 0, 0);
	OUT(	35, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0);
	/* GET_VRING_BASE: need_reply changes nothing about its reply */
	rig->stop_base = 0x203;
	IN(0,	11, 0, 0, 0,  9, 0, 0, 0,  8, 0, 0, 0,  2, 0, 0, 0,  0, 0, 0, 0);
	OUT(	11, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  2, 0, 0, 0,  3, 2, 0, 0);
	assert_string_equal(rig->calls,
		"start 2 size=64 base=0x102 desc=0x7f0000001000 avail=0x7f0000001480 "
		"used=0x7f0000002000 kick=fd\nenable 2\nkick 2\nstop 2\n");
}

static void test_config_and_status_bytes(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	/* SET_CONFIG: actual, the word at offset 4, becomes 0x00012345 */
	IN(0,	25, 0, 0, 0,  9, 0, 0, 0,  16, 0, 0, 0,
		4, 0, 0, 0,  4, 0, 0, 0,  0, 0, 0, 0,  0x45, 0x23, 1, 0);
	OUT(	25, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0);
	/* GET_CONFIG of the first eight bytes */
	IN(0,	24, 0, 0, 0,  9, 0, 0, 0,  20, 0, 0, 0,
		0, 0, 0, 0,  8, 0, 0, 0,  0, 0, 0, 0,  9, 9, 9, 9, 9, 9, 9, 9);
	OUT(	24, 0, 0, 0,  5, 0, 0, 0,  20, 0, 0, 0,
		0, 0, 0, 0,  8, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0, 0x45, 0x23, 1, 0);
	/* GET_CONFIG refused: a header alone */
	rig->answer = AERO_EINVAL;
	IN(0,	24, 0, 0, 0,  1, 0, 0, 0,  16, 0, 0, 0,
		0, 0, 0, 0,  4, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0);
	OUT(	24, 0, 0, 0,  5, 0, 0, 0,  0, 0, 0, 0);
	/* SET_STATUS 15, GET_STATUS */
	IN(0,	39, 0, 0, 0,  9, 0, 0, 0,  8, 0, 0, 0,  15, 0, 0, 0, 0, 0, 0, 0);
	OUT(	39, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0);
	IN(0,	40, 0, 0, 0,  1, 0, 0, 0,  0, 0, 0, 0);
	OUT(	40, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  15, 0, 0, 0, 0, 0, 0, 0);
	/* RESET_DEVICE, RESET_OWNER, SET_LOG_FD, SET_LOG_BASE: acknowledged and no more */
	IN(0,	34, 0, 0, 0,  9, 0, 0, 0,  0, 0, 0, 0);
	OUT(	34, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0);
	IN(0,	4, 0, 0, 0,  9, 0, 0, 0,  0, 0, 0, 0);
	OUT(	4, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0);
	IN(1,	7, 0, 0, 0,  9, 0, 0, 0,  0, 0, 0, 0);
	OUT(	7, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0);
	IN(0,	6, 0, 0, 0,  1, 0, 0, 0,  8, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0);
	NO_REPLY();
}

/* What we send on the back-end channel: a change of the configuration, a call of ring 1. */
static void test_channel_bytes(void **state)
{
	static const uint8_t change[] = { 2, 0, 0, 0,  1, 0, 0, 0,  0, 0, 0, 0 };
	static const uint8_t call[] = { 4, 0, 0, 0,  9, 0, 0, 0,  8, 0, 0, 0,
					1, 0, 0, 0,  0, 0, 0, 0 };
	static const uint8_t request[] = { 21, 0, 0, 0,  9, 0, 0, 0,  0, 0, 0, 0 };
	struct rig *rig = *state;
	uint8_t got[64];
	int pair[2];

	negotiate(rig);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(aero_vhost_user_feed(&rig->conn, request, sizeof(request), pair, 1),
			 AERO_OK);
	OUT(	21, 0, 0, 0,  5, 0, 0, 0,  8, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0);
	assert_int_equal(aero_vhost_user_config_changed(&rig->conn), AERO_OK);
	assert_int_equal(recv(pair[1], got, sizeof(got), 0), sizeof(change));
	assert_memory_equal(got, change, sizeof(change));
	aero_vhost_user_call(&rig->conn, 1);
	assert_int_equal(recv(pair[1], got, sizeof(got), 0), sizeof(call));
	assert_memory_equal(got, call, sizeof(call));
	close(pair[1]);
}

/* Structures that no message of ours carries yet, by the offsets of the protocol document. */
static void test_structures_not_in_use_bytes(void **state)
{
	static const uint8_t bytes[40] = {
		 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
		20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39
	};
	struct aero_vhost_user_wire_iotlb iotlb;
	struct aero_vhost_user_wire_inflight inflight;
	struct aero_vhost_user_wire_mmap map;
	struct aero_vhost_user_wire_vring_area area;

	(void)state;
	memcpy(&iotlb, bytes, sizeof(iotlb));
	assert_int_equal(iotlb.uaddr, 0x1716151413121110);
	assert_int_equal(iotlb.perm, 24);
	assert_int_equal(iotlb.type, 25);
	memcpy(&inflight, bytes, sizeof(inflight));
	assert_int_equal(inflight.mmap_offset, 0x0f0e0d0c0b0a0908);
	assert_int_equal(inflight.num_queues, 0x1110);
	assert_int_equal(inflight.queue_size, 0x1312);
	memcpy(&map, bytes, sizeof(map));
	assert_int_equal(map.shmid, 0);
	assert_int_equal(map.fd_offset, 0x0f0e0d0c0b0a0908);
	assert_int_equal(map.flags, 0x2726252423222120);
	memcpy(&area, bytes, sizeof(area));
	assert_int_equal(area.offset, 0x1716151413121110);
}
/* clang-format on */

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_negotiation_bytes), CASE(test_memory_bytes),
		CASE(test_ring_bytes),	      CASE(test_config_and_status_bytes),
		CASE(test_channel_bytes),     CASE(test_structures_not_in_use_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
