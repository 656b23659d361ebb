/* SPDX-License-Identifier: MIT */
#include "hosted/vhost_user.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "hosted/vhost_user_internal.h"

#define HEADER_BYTES sizeof(struct aero_vhost_user_wire_header)
#define FLAGS_KNOWN                                                       \
	(AERO_VHOST_USER_FLAG_VERSION_MASK | AERO_VHOST_USER_FLAG_REPLY | \
	 AERO_VHOST_USER_FLAG_NEED_REPLY)

/* Protocol feature that a message needs. */
#define NOTHING (-1)

#define REFUSALS_MAX 100

/*
 * One message: its payload, how many descriptors may come along, the protocol feature that has to
 * be negotiated, and who handles it: nobody, if this back end does not offer it.
 */
struct message {
	const char *name;
	uint16_t size_min;
	uint16_t size_max;
	uint8_t fds_min;
	uint8_t fds_max;
	int8_t feature;
	aero_vhost_user_handler handle;
};

#define STATE sizeof(struct aero_vhost_user_wire_vring_state)
#define ADDR sizeof(struct aero_vhost_user_wire_vring_addr)
#define CONFIG sizeof(struct aero_vhost_user_wire_config)
#define CONFIG_MAX (CONFIG + AERO_VHOST_USER_CONFIG_BYTES_MAX)
#define REGION sizeof(struct aero_vhost_user_wire_region)
#define TABLE sizeof(struct aero_vhost_user_wire_mem_table)
#define TABLE_MAX (TABLE + REGION * AERO_VHOST_USER_MEM_TABLE_REGIONS_MAX)
#define MEM_REG sizeof(struct aero_vhost_user_wire_mem_reg)
#define LOG sizeof(struct aero_vhost_user_wire_log)
#define FDS AERO_VHOST_USER_FDS_MAX
#define FEATURE(name) AERO_VHOST_USER_PROTOCOL_F_##name

/* name, payload bytes from and to, descriptors from and to, feature, handler */
#define MESSAGE(name, size_min, size_max, fds_min, fds_max, feature, handle)                   \
	[AERO_VHOST_USER_##name] = {                                                           \
		#name, size_min, size_max, fds_min, fds_max, feature, aero_vhost_user_##handle \
	}
#define REFUSED(name) [AERO_VHOST_USER_##name] = { #name, 0, 0, 0, 0, NOTHING, NULL }

/*
 * Features that a message needs only to be offered, not negotiated, are checked nowhere: we always
 * offer them (MQ, BACKEND_REQ, RESET_DEVICE, and bit 30 for SET_VRING_ENABLE). REM_MEM_REG may
 * bring a descriptor, because some front ends do.
 */
static const struct message messages[AERO_VHOST_USER_REQUEST_LIMIT] = {
	MESSAGE(GET_FEATURES, 0, 0, 0, 0, NOTHING, get_features),
	MESSAGE(SET_FEATURES, 8, 8, 0, 0, NOTHING, set_features),
	MESSAGE(SET_OWNER, 0, 0, 0, 0, NOTHING, ignore),
	MESSAGE(RESET_OWNER, 0, 0, 0, 0, NOTHING, reset_owner),
	MESSAGE(SET_MEM_TABLE, TABLE, TABLE_MAX, 0, FDS, NOTHING, set_mem_table),
	MESSAGE(SET_LOG_BASE, 8, LOG, 0, 1, NOTHING, ignore),
	MESSAGE(SET_LOG_FD, 0, 8, 0, 1, NOTHING, ignore),
	MESSAGE(SET_VRING_NUM, STATE, STATE, 0, 0, NOTHING, set_vring_num),
	MESSAGE(SET_VRING_ADDR, ADDR, ADDR, 0, 0, NOTHING, set_vring_addr),
	MESSAGE(SET_VRING_BASE, STATE, STATE, 0, 0, NOTHING, set_vring_base),
	MESSAGE(GET_VRING_BASE, STATE, STATE, 0, 0, NOTHING, get_vring_base),
	MESSAGE(SET_VRING_KICK, 8, 8, 0, 1, NOTHING, set_vring_kick),
	MESSAGE(SET_VRING_CALL, 8, 8, 0, 1, NOTHING, set_vring_call),
	MESSAGE(SET_VRING_ERR, 8, 8, 0, 1, NOTHING, set_vring_err),
	MESSAGE(GET_PROTOCOL_FEATURES, 0, 0, 0, 0, NOTHING, get_protocol_features),
	MESSAGE(SET_PROTOCOL_FEATURES, 8, 8, 0, 0, NOTHING, set_protocol_features),
	MESSAGE(GET_QUEUE_NUM, 0, 0, 0, 0, NOTHING, get_queue_num),
	MESSAGE(SET_VRING_ENABLE, STATE, STATE, 0, 0, NOTHING, set_vring_enable),
	REFUSED(SEND_RARP),
	REFUSED(NET_SET_MTU),
	MESSAGE(SET_BACKEND_REQ_FD, 0, 0, 1, 1, NOTHING, set_backend_req_fd),
	REFUSED(IOTLB_MSG),
	REFUSED(SET_VRING_ENDIAN),
	MESSAGE(GET_CONFIG, CONFIG, CONFIG_MAX, 0, 0, FEATURE(CONFIG), get_config),
	MESSAGE(SET_CONFIG, CONFIG, CONFIG_MAX, 0, 0, FEATURE(CONFIG), set_config),
	REFUSED(CREATE_CRYPTO_SESSION),
	REFUSED(CLOSE_CRYPTO_SESSION),
	REFUSED(POSTCOPY_ADVISE),
	REFUSED(POSTCOPY_LISTEN),
	REFUSED(POSTCOPY_END),
	REFUSED(GET_INFLIGHT_FD),
	REFUSED(SET_INFLIGHT_FD),
	REFUSED(GPU_SET_SOCKET),
	MESSAGE(RESET_DEVICE, 0, 0, 0, 0, NOTHING, reset_device),
	MESSAGE(VRING_KICK, STATE, STATE, 0, 0, FEATURE(INBAND_NOTIFICATIONS), vring_kick),
	MESSAGE(GET_MAX_MEM_SLOTS, 0, 0, 0, 0, FEATURE(CONFIGURE_MEM_SLOTS), get_max_mem_slots),
	MESSAGE(ADD_MEM_REG, MEM_REG, MEM_REG, 1, 1, FEATURE(CONFIGURE_MEM_SLOTS), add_mem_reg),
	MESSAGE(REM_MEM_REG, MEM_REG, MEM_REG, 0, 1, FEATURE(CONFIGURE_MEM_SLOTS), rem_mem_reg),
	MESSAGE(SET_STATUS, 8, 8, 0, 0, FEATURE(STATUS), set_status),
	MESSAGE(GET_STATUS, 0, 0, 0, 0, FEATURE(STATUS), get_status),
	REFUSED(GET_SHARED_OBJECT),
	REFUSED(SET_DEVICE_STATE_FD),
	REFUSED(CHECK_DEVICE_STATE),
	REFUSED(GET_SHMEM_CONFIG),
};

static void log_line(struct aero_vhost_user_conn *conn, const char *name, const char *end,
		     const char *format, va_list args)
{
	char text[192];
	char line[256];

	vsnprintf(text, sizeof(text), format, args);
	snprintf(line, sizeof(line), "vhost-user: %s%s%s%s", name ? name : "", name ? ": " : "",
		 text, end);
	conn->io.log(conn->io.ctx, line);
}

void aero_vhost_user_log(struct aero_vhost_user_conn *conn, const char *name, const char *format,
			 ...)
{
	va_list args;

	va_start(args, format);
	log_line(conn, name, "", format, args);
	va_end(args);
}

enum aero_status aero_vhost_user_refuse(struct aero_vhost_user_request *req,
					enum aero_status status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(req->detail, sizeof(req->detail), format, args);
	va_end(args);
	return aero_vhost_user_answer_of(status);
}

enum aero_status aero_vhost_user_violate(struct aero_vhost_user_conn *conn,
					 const struct aero_vhost_user_request *req,
					 const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(conn, req->name, "; connection closed", format, args);
	va_end(args);
	return AERO_EPROTO;
}

static void close_fds(struct aero_vhost_user_conn *conn)
{
	for (unsigned int i = 0; i < conn->fd_count; i++) {
		if (conn->fds[i] >= 0)
			close(conn->fds[i]);
	}
	conn->fd_count = 0;
}

static struct aero_vhost_user_wire_header header_of(const struct aero_vhost_user_conn *conn)
{
	struct aero_vhost_user_wire_header header;

	memcpy(&header, conn->in, sizeof(header));
	return header;
}

static const char *name_of(uint32_t id, char *buf, size_t size)
{
	if (id < AERO_VHOST_USER_REQUEST_LIMIT && messages[id].name)
		return messages[id].name;
	snprintf(buf, size, "message %u", id);
	return buf;
}

static enum aero_status check_flags(struct aero_vhost_user_conn *conn,
				    const struct aero_vhost_user_request *req, uint32_t flags)
{
	uint32_t version = flags & AERO_VHOST_USER_FLAG_VERSION_MASK;

	if (version != AERO_VHOST_USER_VERSION)
		return aero_vhost_user_violate(conn, req, "version is %u, not %u", version,
					       AERO_VHOST_USER_VERSION);
	if (flags & AERO_VHOST_USER_FLAG_REPLY)
		return aero_vhost_user_violate(conn, req, "flags are %#x: a reply to no request",
					       flags);
	if (flags & ~FLAGS_KNOWN)
		return aero_vhost_user_violate(conn, req, "flags are %#x: unknown ones", flags);
	return AERO_OK;
}

static enum aero_status check_kind(struct aero_vhost_user_conn *conn,
				   const struct aero_vhost_user_request *req, uint32_t id,
				   uint32_t size)
{
	const struct message *message;

	if (id >= AERO_VHOST_USER_REQUEST_LIMIT || !messages[id].name)
		return aero_vhost_user_violate(conn, req, "unknown request");
	message = &messages[id];
	if (!message->handle)
		return aero_vhost_user_violate(conn, req, "not supported, and never offered");
	if (message->feature != NOTHING &&
	    !aero_vhost_user_has(conn, (unsigned int)message->feature))
		return aero_vhost_user_violate(conn, req, "protocol feature %d is not negotiated",
					       message->feature);
	if (size < message->size_min || size > message->size_max)
		return aero_vhost_user_violate(conn, req, "size is %u, not %u to %u", size,
					       message->size_min, message->size_max);
	return AERO_OK;
}

/* Before the payload is awaited, so that no size of the peer's is ever trusted. */
static enum aero_status check_header(struct aero_vhost_user_conn *conn)
{
	struct aero_vhost_user_wire_header header = header_of(conn);
	char buf[24];
	struct aero_vhost_user_request req = {
		.name = name_of(header.request, buf, sizeof(buf)),
	};
	enum aero_status status = check_flags(conn, &req, header.flags);

	if (status == AERO_OK)
		status = check_kind(conn, &req, header.request, header.size);
	return status;
}

static enum aero_status send_reply(struct aero_vhost_user_conn *conn,
				   const struct aero_vhost_user_request *req, uint32_t id)
{
	struct aero_vhost_user_wire_header header = {
		.request = id,
		.flags = AERO_VHOST_USER_VERSION | AERO_VHOST_USER_FLAG_REPLY,
		.size = req->reply_size,
	};
	uint8_t out[AERO_VHOST_USER_MESSAGE_MAX];

	memcpy(out, &header, sizeof(header));
	memcpy(out + sizeof(header), req->reply, req->reply_size);
	return conn->io.send(conn->io.ctx, out, sizeof(header) + req->reply_size);
}

/* A front end that is refused over and over would fill the log. */
static enum aero_status note_refusal(struct aero_vhost_user_conn *conn,
				     const struct aero_vhost_user_request *req,
				     enum aero_status status, bool is_answered)
{
	aero_vhost_user_log(conn, req->name, "%s%s%s%s", req->detail, req->detail[0] ? ": " : "",
			    aero_status_str(status), is_answered ? "" : "; connection closed");
	if (!is_answered)
		return status;
	if (++conn->refusals > REFUSALS_MAX)
		return aero_vhost_user_violate(conn, req, "more than %d messages were refused",
					       REFUSALS_MAX);
	return AERO_OK;
}

/*
 * What happens after a message was handled. need_reply counts as REPLY_ACK stands now, after the
 * message: SET_PROTOCOL_FEATURES itself may ask for an answer.
 */
static enum aero_status finish(struct aero_vhost_user_conn *conn,
			       struct aero_vhost_user_request *req, uint32_t id, uint32_t flags,
			       enum aero_status status)
{
	bool is_ack_wanted = flags & AERO_VHOST_USER_FLAG_NEED_REPLY &&
			     aero_vhost_user_has(conn, FEATURE(REPLY_ACK));
	uint64_t result = status != AERO_OK;

	if (status == AERO_EPROTO)
		return status;
	if (status != AERO_OK)
		status = note_refusal(conn, req, status, req->has_reply || is_ack_wanted);
	if (status != AERO_OK)
		return status;
	if (!req->has_reply && is_ack_wanted)
		aero_vhost_user_reply(req, &result, sizeof(result));
	return req->has_reply ? send_reply(conn, req, id) : AERO_OK;
}

static enum aero_status dispatch(struct aero_vhost_user_conn *conn)
{
	struct aero_vhost_user_wire_header header = header_of(conn);
	const struct message *message = &messages[header.request];
	struct aero_vhost_user_request req = {
		.name = message->name,
		.payload = conn->in + HEADER_BYTES,
		.size = header.size,
	};
	enum aero_status status;

	if (conn->fd_count < message->fds_min || conn->fd_count > message->fds_max)
		return aero_vhost_user_violate(conn, &req, "%u descriptors, not %u to %u",
					       conn->fd_count, message->fds_min, message->fds_max);
	status = message->handle(conn, &req);
	return finish(conn, &req, header.request, header.flags, status);
}

/* What is full: the header, then the message. */
static enum aero_status advance(struct aero_vhost_user_conn *conn)
{
	enum aero_status status = AERO_OK;

	if (conn->have == HEADER_BYTES)
		status = check_header(conn);
	if (status != AERO_OK || conn->have < HEADER_BYTES ||
	    conn->have < HEADER_BYTES + header_of(conn).size)
		return status;
	status = dispatch(conn);
	close_fds(conn);
	conn->have = 0;
	return status;
}

static enum aero_status take_fds(struct aero_vhost_user_conn *conn, const int *fds,
				 unsigned int fd_count)
{
	struct aero_vhost_user_request req = { .name = NULL };
	unsigned int room = AERO_VHOST_USER_FDS_MAX - conn->fd_count;

	for (unsigned int i = 0; i < fd_count; i++) {
		if (i < room)
			conn->fds[conn->fd_count++] = fds[i];
		else
			close(fds[i]);
	}
	if (fd_count > room)
		return aero_vhost_user_violate(conn, &req, "more than %u descriptors in a message",
					       AERO_VHOST_USER_FDS_MAX);
	return AERO_OK;
}

static void take_bytes(struct aero_vhost_user_conn *conn, const uint8_t **at, size_t *len)
{
	size_t n = aero_vhost_user_wanted(conn);

	if (n > *len)
		n = *len;
	memcpy(conn->in + conn->have, *at, n);
	conn->have += n;
	*at += n;
	*len -= n;
}

size_t aero_vhost_user_wanted(const struct aero_vhost_user_conn *conn)
{
	if (conn->have < HEADER_BYTES)
		return HEADER_BYTES - conn->have;
	return HEADER_BYTES + header_of(conn).size - conn->have;
}

enum aero_status aero_vhost_user_feed(struct aero_vhost_user_conn *conn, const void *bytes,
				      size_t len, const int *fds, unsigned int fd_count)
{
	const uint8_t *at = bytes;
	enum aero_status status;

	if (conn->is_dead) {
		for (unsigned int i = 0; i < fd_count; i++)
			close(fds[i]);
		return AERO_ESTATE;
	}
	status = take_fds(conn, fds, fd_count);
	while (status == AERO_OK && len > 0) {
		take_bytes(conn, &at, &len);
		status = advance(conn);
	}
	if (status != AERO_OK) {
		conn->is_dead = true;
		close_fds(conn);
	}
	return status;
}

const struct aero_vhost_user_ring *aero_vhost_user_ring(const struct aero_vhost_user_conn *conn,
							unsigned int index)
{
	assert(index < conn->config.ring_count);
	return &conn->rings[index];
}

void aero_vhost_user_init(struct aero_vhost_user_conn *conn,
			  const struct aero_vhost_user_config *config,
			  const struct aero_vhost_user_io *io)
{
	assert(config->ring_count >= 1 && config->ring_count <= AERO_VHOST_USER_RINGS_MAX);
	assert(config->memory_slots >= AERO_VHOST_USER_MEM_TABLE_REGIONS_MAX);
	memset(conn, 0, sizeof(*conn));
	conn->config = *config;
	conn->io = *io;
	aero_vhost_user_rings_init(conn);
	aero_vhost_user_channel_init(conn);
}

void aero_vhost_user_fini(struct aero_vhost_user_conn *conn)
{
	conn->is_dead = true;
	aero_vhost_user_channel_close(conn);
	aero_vhost_user_rings_stop(conn, true);
	aero_vhost_user_rings_fini(conn);
	close_fds(conn);
}
