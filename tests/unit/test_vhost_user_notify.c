/* SPDX-License-Identifier: MIT */
#include "test_vhost_user_rig.h"

#include <errno.h>
#include <sys/socket.h>

/* What the back end tells the front end: calls, errors, changes of the configuration. */

/* Calls --------------------------------------------------------------------------------------- */

static void test_call_signals_the_descriptor(void **state)
{
	struct rig *rig = *state;
	int fd = new_fd();

	feed_with(rig, with_u64(13, 1, 2), fd);
	assert_int_equal(read_event(fd), 0);
	aero_vhost_user_call(&rig->conn, 2);
	aero_vhost_user_call(&rig->conn, 2);
	assert_int_equal(read_event(fd), 2);
	aero_vhost_user_call(&rig->conn, 1);
	assert_int_equal(read_event(fd), 0);
	close(fd);
}

static void test_call_changed_while_started(void **state)
{
	struct rig *rig = *state;
	int first = new_fd();
	int second = new_fd();

	negotiate(rig);
	set_memory(rig);
	feed_with(rig, with_u64(13, 1, 0), first);
	start_ring(rig, 0);
	feed_with(rig, with_u64(13, 1, 0), second);
	aero_vhost_user_call(&rig->conn, 0);
	assert_int_equal(read_event(first), 0);
	assert_int_equal(read_event(second), 1);
	feed_ok(rig, with_u64(13, 1, 0x100), 0);
	aero_vhost_user_call(&rig->conn, 0);
	assert_int_equal(read_event(second), 0);
	close(first);
	close(second);
}

static void test_call_before_descriptor_is_made_up_for(void **state)
{
	struct rig *rig = *state;
	int fd = new_fd();

	aero_vhost_user_call(&rig->conn, 0);
	feed_with(rig, with_u64(13, 1, 0), fd);
	assert_int_equal(read_event(fd), 1);
	feed_with(rig, with_u64(13, 1, 0), fd);
	assert_int_equal(read_event(fd), 0);
	close(fd);
}

static void test_call_survives_get_base(void **state)
{
	struct rig *rig = *state;
	int fd = new_fd();

	negotiate(rig);
	set_memory(rig);
	feed_with(rig, with_u64(13, 1, 0), fd);
	start_ring(rig, 0);
	expect_base(rig, 0, 0);
	aero_vhost_user_call(&rig->conn, 0);
	assert_int_equal(read_event(fd), 1);
	close(fd);
}

static void test_call_full_descriptor_does_not_block(void **state)
{
	struct rig *rig = *state;
	const uint64_t full = UINT64_MAX - 1;
	int fd = eventfd(0, EFD_CLOEXEC);
	int pipe_fds[2];
	char page[4096] = "";

	assert_int_equal(write(fd, &full, 8), 8);
	feed_with(rig, with_u64(13, 1, 0), fd);
	aero_vhost_user_call(&rig->conn, 0);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	while (write(pipe_fds[1], page, sizeof(page)) > 0)
		continue;
	fcntl(pipe_fds[1], F_SETFL, 0);
	feed_with(rig, with_u64(13, 1, 1), pipe_fds[1]);
	aero_vhost_user_call(&rig->conn, 1);
	close(fd);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void test_call_closed_pipe_is_harmless(void **state)
{
	struct rig *rig = *state;
	int pipe_fds[2];

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	feed_with(rig, with_u64(13, 1, 1), pipe_fds[1]);
	aero_vhost_user_call(&rig->conn, 1);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	aero_vhost_user_call(&rig->conn, 1);
}

static void test_error_signals_the_descriptor(void **state)
{
	struct rig *rig = *state;
	int fd = new_fd();

	aero_vhost_user_error(&rig->conn, 3);
	feed_with(rig, with_u64(14, 1, 3), fd);
	assert_int_equal(read_event(fd), 0);
	aero_vhost_user_error(&rig->conn, 3);
	assert_int_equal(read_event(fd), 1);
	close(fd);
}

static void test_drain_eventfd_pipe_and_end(void **state)
{
	const uint64_t three = 3;
	int fd = eventfd(0, EFD_CLOEXEC);
	int pipe_fds[2];

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(aero_vhost_user_drain(fd), AERO_EAGAIN);
	assert_int_equal(write(fd, &three, 8), 8);
	assert_int_equal(aero_vhost_user_drain(fd), AERO_OK);
	assert_int_equal(aero_vhost_user_drain(fd), AERO_EAGAIN);
	assert_int_equal(aero_vhost_user_drain(pipe_fds[0]), AERO_EAGAIN);
	assert_int_equal(write(pipe_fds[1], &three, 8), 8);
	assert_int_equal(aero_vhost_user_drain(pipe_fds[0]), AERO_OK);
	assert_int_equal(aero_vhost_user_drain(pipe_fds[0]), AERO_EAGAIN);
	close(pipe_fds[1]);
	assert_int_equal(aero_vhost_user_drain(pipe_fds[0]), AERO_EGONE);
	close(pipe_fds[0]);
	assert_int_equal(aero_vhost_user_drain(pipe_fds[0]), AERO_EGONE);
	close(fd);
}

/* The back-end channel ------------------------------------------------------------------------ */

/* Gives the engine one end of a pair, answers the other. */
static int open_channel(struct rig *rig)
{
	int pair[2];
	struct bytes b = head(21, 1, 0);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(aero_vhost_user_feed(&rig->conn, b.at, b.len, &pair[0], 1), AERO_OK);
	return pair[1];
}

/* The bytes waiting at our end must be exactly these. */
static void expect_message(int fd, struct bytes want)
{
	uint8_t got[256];
	ssize_t n = recv(fd, got, want.len, MSG_DONTWAIT);

	assert_int_equal(n, want.len);
	assert_memory_equal(got, want.at, want.len);
}

static void expect_silence(int fd)
{
	uint8_t byte;

	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static void acknowledge(struct rig *rig, int fd, uint32_t id, uint64_t result)
{
	struct bytes b = with_u64(id, 5, result);

	assert_int_equal(send(fd, b.at, b.len, 0), b.len);
	aero_vhost_user_channel_ready(&rig->conn);
}

static void test_config_change_is_one_header(void **state)
{
	struct rig *rig = *state;
	int fd;

	negotiate(rig);
	fd = open_channel(rig);
	assert_int_equal(rig->watch_fd, rig->conn.channel.fd);
	assert_int_equal(aero_vhost_user_config_changed(&rig->conn), AERO_OK);
	expect_message(fd, head(2, 1, 0));
	expect_silence(fd);
	close(fd);
}

static void test_config_change_not_negotiated_says_so(void **state)
{
	struct rig *rig = *state;
	int fd;

	feed_ok(rig, with_u64(16, 1, 1 << 9), 0);
	assert_int_equal(aero_vhost_user_config_changed(&rig->conn), AERO_ENOTSUP);
	feed_ok(rig, with_u64(16, 1, 1 << 5), 0);
	fd = open_channel(rig);
	assert_int_equal(aero_vhost_user_config_changed(&rig->conn), AERO_ENOTSUP);
	expect_silence(fd);
	close(fd);
}

static void test_config_change_before_channel_follows(void **state)
{
	struct rig *rig = *state;
	int fd;

	negotiate(rig);
	assert_int_equal(aero_vhost_user_config_changed(&rig->conn), AERO_EAGAIN);
	assert_int_equal(aero_vhost_user_config_changed(&rig->conn), AERO_EAGAIN);
	fd = open_channel(rig);
	expect_message(fd, head(2, 1, 0));
	expect_silence(fd);
	close(fd);
}

/* Fills the channel until it takes no more. Answers how many messages went in. */
static unsigned int flood(struct rig *rig)
{
	unsigned int count = 0;

	while (!rig->is_write_wanted) {
		assert_int_equal(aero_vhost_user_config_changed(&rig->conn), AERO_OK);
		assert_true(++count < 1000000);
	}
	return count;
}

static void test_config_changes_on_full_channel_become_one(void **state)
{
	struct rig *rig = *state;
	unsigned int sent;
	int fd;

	negotiate(rig);
	fd = open_channel(rig);
	sent = flood(rig);
	for (int i = 0; i < 100; i++)
		assert_int_equal(aero_vhost_user_config_changed(&rig->conn), AERO_OK);
	for (unsigned int i = 0; i < sent - 1; i++)
		expect_message(fd, head(2, 1, 0));
	expect_silence(fd);
	aero_vhost_user_channel_ready(&rig->conn);
	assert_false(rig->is_write_wanted);
	/* The one that did not fit, and one for the hundred. */
	expect_message(fd, head(2, 1, 0));
	expect_message(fd, head(2, 1, 0));
	expect_silence(fd);
	close(fd);
}

static void test_channel_closed_by_front_end_leaves_connection(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	close(open_channel(rig));
	aero_vhost_user_channel_ready(&rig->conn);
	assert_int_equal(rig->watch_fd, -1);
	assert_non_null(strstr(rig->lines, "back-end channel: the front end closed it"));
	assert_int_equal(aero_vhost_user_config_changed(&rig->conn), AERO_EAGAIN);
	feed_ok(rig, head(17, 1, 0), 0);
	expect_u64(rig, 17, 5);
}

static void test_channel_write_failure_leaves_connection(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	close(open_channel(rig));
	assert_int_equal(aero_vhost_user_config_changed(&rig->conn), AERO_OK);
	assert_int_equal(rig->watch_fd, -1);
	assert_non_null(strstr(rig->lines, "; channel closed"));
	feed_ok(rig, head(3, 1, 0), 0);
}

static void test_channel_replaced_closes_old(void **state)
{
	struct rig *rig = *state;
	int first;
	int second;
	uint8_t byte;

	negotiate(rig);
	first = open_channel(rig);
	second = open_channel(rig);
	assert_int_equal(recv(first, &byte, 1, MSG_DONTWAIT), 0);
	assert_int_equal(aero_vhost_user_config_changed(&rig->conn), AERO_OK);
	expect_message(second, head(2, 1, 0));
	close(first);
	close(second);
}

static void test_channel_not_a_socket_refused(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	feed_violation(rig, head(21, 1, 0), 1,
		       "SET_BACKEND_REQ_FD: the descriptor is not a socket");
}

static void test_in_band_calls_wait_for_acknowledgement(void **state)
{
	struct rig *rig = *state;
	int fd;

	negotiate(rig);
	fd = open_channel(rig);
	aero_vhost_user_call(&rig->conn, 2);
	expect_message(fd, with_state(4, 9, 2, 0));
	aero_vhost_user_call(&rig->conn, 2);
	aero_vhost_user_call(&rig->conn, 2);
	aero_vhost_user_call(&rig->conn, 0);
	aero_vhost_user_error(&rig->conn, 1);
	expect_silence(fd);
	acknowledge(rig, fd, 4, 0);
	expect_message(fd, with_state(4, 9, 0, 0));
	expect_silence(fd);
	acknowledge(rig, fd, 4, 0);
	expect_message(fd, with_state(4, 9, 2, 0));
	acknowledge(rig, fd, 4, 0);
	expect_message(fd, with_state(5, 9, 1, 0));
	acknowledge(rig, fd, 5, 0);
	expect_silence(fd);
	assert_string_equal(rig->lines, "");
	close(fd);
}

static void test_in_band_waiting_does_not_hold_up_config_change(void **state)
{
	struct rig *rig = *state;
	int fd;

	negotiate(rig);
	fd = open_channel(rig);
	aero_vhost_user_call(&rig->conn, 0);
	expect_message(fd, with_state(4, 9, 0, 0));
	assert_int_equal(aero_vhost_user_config_changed(&rig->conn), AERO_OK);
	expect_message(fd, head(2, 1, 0));
	close(fd);
}

static void test_in_band_descriptor_is_preferred(void **state)
{
	struct rig *rig = *state;
	int event = new_fd();
	int fd;

	negotiate(rig);
	fd = open_channel(rig);
	feed_with(rig, with_u64(13, 1, 0), event);
	aero_vhost_user_call(&rig->conn, 0);
	assert_int_equal(read_event(event), 1);
	expect_silence(fd);
	feed_ok(rig, with_u64(13, 1, 0x100), 0);
	aero_vhost_user_call(&rig->conn, 0);
	expect_silence(fd);
	close(event);
	close(fd);
}

static void test_in_band_refused_call_is_logged(void **state)
{
	struct rig *rig = *state;
	int fd;

	negotiate(rig);
	fd = open_channel(rig);
	aero_vhost_user_call(&rig->conn, 0);
	acknowledge(rig, fd, 4, 7);
	assert_non_null(strstr(rig->lines, "message 4 was refused with 7"));
	assert_int_equal(rig->watch_fd, rig->conn.channel.fd);
	close(fd);
}

static void test_in_band_not_offered_when_off(void **state)
{
	struct rig *rig = *state;

	rig->conn.config.is_inband_off = true;
	feed_ok(rig, head(15, 1, 0), 0);
	expect_u64(rig, 15, ALL_PROTOCOL_FEATURES & ~(1ull << 14));
	feed_violation(rig, with_u64(16, 1, ALL_PROTOCOL_FEATURES), 0,
		       "of which 0x4000 were not offered");
}

static void test_acknowledgement_in_pieces(void **state)
{
	struct rig *rig = *state;
	struct bytes b = with_u64(4, 5, 0);
	int fd;

	negotiate(rig);
	fd = open_channel(rig);
	aero_vhost_user_call(&rig->conn, 0);
	aero_vhost_user_call(&rig->conn, 1);
	expect_message(fd, with_state(4, 9, 0, 0));
	for (size_t i = 0; i < b.len; i++) {
		expect_silence(fd);
		assert_int_equal(send(fd, b.at + i, 1, 0), 1);
		aero_vhost_user_channel_ready(&rig->conn);
	}
	expect_message(fd, with_state(4, 9, 1, 0));
	close(fd);
}

static void test_acknowledgement_of_config_change_is_ignored(void **state)
{
	struct rig *rig = *state;
	int fd;

	negotiate(rig);
	fd = open_channel(rig);
	acknowledge(rig, fd, 2, 0);
	assert_string_equal(rig->lines, "");
	assert_int_equal(rig->watch_fd, rig->conn.channel.fd);
	close(fd);
}

static void test_acknowledgement_malformed_closes_channel(void **state)
{
	const struct {
		struct bytes b;
		const char *text;
	} cases[] = {
		{ with_u64(4, 4, 0), "not a reply of version 1" },
		{ with_u64(4, 6, 0), "not a reply of version 1" },
		{ with_u64(4, 1, 0), "not a reply of version 1" },
		{ blank(4, 5, 9), "a reply is not 8 bytes long" },
		{ with_u64(3, 5, 0), "a reply to no request" },
		{ with_u64(99, 5, 0), "a reply to no request" },
	};

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases) + 1; i++) {
		bool is_unasked = i == TEST_ARRAY_SIZE(cases);
		struct bytes b = is_unasked ? with_u64(4, 5, 0) : cases[i].b;
		const char *text = is_unasked ? "a reply to no request" : cases[i].text;
		struct rig rig;
		int fd;

		rig_open(&rig);
		negotiate(&rig);
		fd = open_channel(&rig);
		if (!is_unasked)
			aero_vhost_user_call(&rig.conn, 0);
		assert_int_equal(send(fd, b.at, b.len, 0), b.len);
		aero_vhost_user_channel_ready(&rig.conn);
		assert_int_equal(rig.watch_fd, -1);
		if (!strstr(rig.lines, text))
			fail_msg("'%s' is not in '%s'", text, rig.lines);
		feed_ok(&rig, head(3, 1, 0), 0);
		close(fd);
		rig_close(&rig);
	}
}

static void test_descriptors_on_channel_are_not_kept(void **state)
{
	struct rig *rig = *state;
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct bytes b = with_u64(2, 5, 0);
	struct iovec iov = { b.at, b.len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c;
	int before;
	int fd;
	int one = 1;

	negotiate(rig);
	fd = open_channel(rig);
	before = rig_count_fds();
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &one, sizeof(one));
	assert_int_equal(sendmsg(fd, &msg, 0), b.len);
	aero_vhost_user_channel_ready(&rig->conn);
	assert_int_equal(rig_count_fds(), before);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_call_signals_the_descriptor),
		CASE(test_call_changed_while_started),
		CASE(test_call_before_descriptor_is_made_up_for),
		CASE(test_call_survives_get_base),
		CASE(test_call_full_descriptor_does_not_block),
		CASE(test_call_closed_pipe_is_harmless),
		CASE(test_error_signals_the_descriptor),
		CASE(test_drain_eventfd_pipe_and_end),
		CASE(test_config_change_is_one_header),
		CASE(test_config_change_not_negotiated_says_so),
		CASE(test_config_change_before_channel_follows),
		CASE(test_config_changes_on_full_channel_become_one),
		CASE(test_channel_closed_by_front_end_leaves_connection),
		CASE(test_channel_write_failure_leaves_connection),
		CASE(test_channel_replaced_closes_old),
		CASE(test_channel_not_a_socket_refused),
		CASE(test_in_band_calls_wait_for_acknowledgement),
		CASE(test_in_band_waiting_does_not_hold_up_config_change),
		CASE(test_in_band_descriptor_is_preferred),
		CASE(test_in_band_refused_call_is_logged),
		CASE(test_in_band_not_offered_when_off),
		CASE(test_acknowledgement_in_pieces),
		CASE(test_acknowledgement_of_config_change_is_ignored),
		CASE(test_acknowledgement_malformed_closes_channel),
		CASE(test_descriptors_on_channel_are_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
