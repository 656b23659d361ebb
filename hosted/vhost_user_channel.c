/* SPDX-License-Identifier: MIT */

/*
 * The back-end channel of vhost-user: what we tell the front end unasked.
 *
 * Nothing here waits. What cannot be sent now is kept as a flag, so that any number of changes is
 * one message later. Notifications in-band ask for an acknowledgement, as the protocol demands, and
 * one is under way at a time: a front end that does not keep up slows them down and nothing else. A
 * change of the configuration asks for none, so that a front end that forgets to acknowledge cannot
 * hold it up.
 */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hosted/vhost_user_internal.h"

#define ACK_BYTES (sizeof(struct aero_vhost_user_wire_header) + sizeof(uint64_t))

void aero_vhost_user_channel_init(struct aero_vhost_user_conn *conn)
{
	conn->channel.fd = -1;
}

static void watch(struct aero_vhost_user_conn *conn, bool is_write_wanted)
{
	conn->channel.is_write_wanted = is_write_wanted;
	conn->io.watch(conn->io.ctx, conn->channel.fd, is_write_wanted);
}

void aero_vhost_user_channel_close(struct aero_vhost_user_conn *conn)
{
	struct aero_vhost_user_channel *channel = &conn->channel;
	int fd = channel->fd;

	if (fd < 0)
		return;
	channel->fd = -1;
	channel->out_len = 0;
	channel->out_at = 0;
	channel->in_len = 0;
	channel->is_reply_awaited = false;
	watch(conn, false);
	close(fd);
}

static void put_message(struct aero_vhost_user_channel *channel, uint32_t request, uint32_t flags,
			const void *payload, uint32_t size)
{
	struct aero_vhost_user_wire_header header = {
		.request = request,
		.flags = AERO_VHOST_USER_VERSION | flags,
		.size = size,
	};

	memcpy(channel->out, &header, sizeof(header));
	if (size)
		memcpy(channel->out + sizeof(header), payload, size);
	channel->out_len = sizeof(header) + size;
	channel->out_at = 0;
}

static void put_notification(struct aero_vhost_user_channel *channel, uint32_t request,
			     uint32_t *rings)
{
	struct aero_vhost_user_wire_vring_state state = {
		.index = (uint32_t)__builtin_ctz(*rings),
	};

	*rings &= *rings - 1;
	channel->is_reply_awaited = true;
	put_message(channel, request, AERO_VHOST_USER_FLAG_NEED_REPLY, &state, sizeof(state));
}

/* Answers false where nothing may be sent now. */
static bool put_next(struct aero_vhost_user_channel *channel)
{
	if (channel->is_config_pending) {
		channel->is_config_pending = false;
		put_message(channel, AERO_VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, 0, NULL, 0);
		return true;
	}
	if (channel->is_reply_awaited)
		return false;
	if (channel->calls)
		put_notification(channel, AERO_VHOST_USER_BACKEND_VRING_CALL, &channel->calls);
	else if (channel->errors)
		put_notification(channel, AERO_VHOST_USER_BACKEND_VRING_ERR, &channel->errors);
	return channel->out_len > 0;
}

/* Sends what is put. Answers false where it has to wait or the channel is gone. */
static bool send_some(struct aero_vhost_user_conn *conn)
{
	struct aero_vhost_user_channel *channel = &conn->channel;
	ssize_t n = send(channel->fd, channel->out + channel->out_at,
			 channel->out_len - channel->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN) {
		if (!channel->is_write_wanted)
			watch(conn, true);
		return false;
	}
	if (n < 0) {
		aero_vhost_user_log(conn, NULL, "back-end channel: %s; channel closed",
				    strerror(errno));
		aero_vhost_user_channel_close(conn);
		return false;
	}
	channel->out_at += (size_t)n;
	if (channel->out_at == channel->out_len)
		channel->out_len = 0;
	return true;
}

static void pump(struct aero_vhost_user_conn *conn)
{
	struct aero_vhost_user_channel *channel = &conn->channel;

	while (channel->fd >= 0 && (channel->out_len || put_next(channel))) {
		if (!send_some(conn))
			return;
	}
	if (channel->fd >= 0 && channel->is_write_wanted)
		watch(conn, false);
}

enum aero_status aero_vhost_user_set_backend_req_fd(struct aero_vhost_user_conn *conn,
						    struct aero_vhost_user_request *req)
{
	struct stat stat;

	if (fstat(conn->fds[0], &stat) || !S_ISSOCK(stat.st_mode))
		return aero_vhost_user_violate(conn, req, "the descriptor is not a socket");
	aero_vhost_user_channel_close(conn);
	conn->channel.fd = aero_vhost_user_take_fd(conn, 0);
	watch(conn, false);
	pump(conn);
	return AERO_OK;
}

enum aero_status aero_vhost_user_config_changed(struct aero_vhost_user_conn *conn)
{
	if (!aero_vhost_user_has(conn, AERO_VHOST_USER_PROTOCOL_F_CONFIG) ||
	    !aero_vhost_user_has(conn, AERO_VHOST_USER_PROTOCOL_F_BACKEND_REQ))
		return AERO_ENOTSUP;
	conn->channel.is_config_pending = true;
	if (conn->channel.fd < 0)
		return AERO_EAGAIN;
	pump(conn);
	return AERO_OK;
}

void aero_vhost_user_channel_call(struct aero_vhost_user_conn *conn, unsigned int index)
{
	conn->channel.calls |= 1u << index;
	pump(conn);
}

void aero_vhost_user_channel_error(struct aero_vhost_user_conn *conn, unsigned int index)
{
	conn->channel.errors |= 1u << index;
	pump(conn);
}

/* An acknowledgement is whole. Answers what is wrong with it, or NULL. */
static const char *check_ack(struct aero_vhost_user_conn *conn)
{
	struct aero_vhost_user_channel *channel = &conn->channel;
	struct aero_vhost_user_wire_header header;
	uint64_t result;

	memcpy(&header, channel->in, sizeof(header));
	memcpy(&result, channel->in + sizeof(header), sizeof(result));
	if ((header.flags & AERO_VHOST_USER_FLAG_VERSION_MASK) != AERO_VHOST_USER_VERSION ||
	    !(header.flags & AERO_VHOST_USER_FLAG_REPLY))
		return "not a reply of version 1";
	if (header.size != sizeof(result))
		return "a reply is not 8 bytes long";
	channel->in_len = 0;
	/* Nobody asked for it, and nobody minds. */
	if (header.request == AERO_VHOST_USER_BACKEND_CONFIG_CHANGE_MSG)
		return NULL;
	if (!channel->is_reply_awaited || (header.request != AERO_VHOST_USER_BACKEND_VRING_CALL &&
					   header.request != AERO_VHOST_USER_BACKEND_VRING_ERR))
		return "a reply to no request";
	if (result)
		aero_vhost_user_log(conn, NULL,
				    "back-end channel: message %u was refused with %" PRIu64,
				    header.request, result);
	channel->is_reply_awaited = false;
	return NULL;
}

/* Answers false where there is nothing more to read, or the channel is gone. */
static bool receive_some(struct aero_vhost_user_conn *conn)
{
	struct aero_vhost_user_channel *channel = &conn->channel;
	ssize_t n = recv(channel->fd, channel->in + channel->in_len, ACK_BYTES - channel->in_len,
			 MSG_DONTWAIT);
	const char *wrong = NULL;

	static_assert(sizeof(channel->in) == ACK_BYTES, "room for one acknowledgement");
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0)
		wrong = n ? strerror(errno) : "the front end closed it";
	else
		channel->in_len += (size_t)n;
	if (!wrong && channel->in_len == ACK_BYTES)
		wrong = check_ack(conn);
	if (!wrong)
		return true;
	aero_vhost_user_log(conn, NULL, "back-end channel: %s; channel closed", wrong);
	aero_vhost_user_channel_close(conn);
	return false;
}

void aero_vhost_user_channel_ready(struct aero_vhost_user_conn *conn)
{
	/* At most one acknowledgement is due, so more than a few pieces is a flood. */
	for (int i = 0; i < 8 && conn->channel.fd >= 0; i++) {
		if (!receive_some(conn))
			break;
	}
	pump(conn);
}
