/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_VHOST_USER_INTERNAL_H
#define AEROSTAT_HOSTED_VHOST_USER_INTERNAL_H

/* What the files of the vhost-user engine share. Not for users of the engine. */

#include <string.h>

#include "hosted/vhost_user.h"

/* The message being handled. payload is not aligned: copy out of it. */
struct aero_vhost_user_request {
	const char *name;
	const uint8_t *payload;
	uint32_t size;
	char detail[64]; /* why the device refused, or empty */
	bool has_reply;
	uint32_t reply_size;
	uint8_t reply[AERO_VHOST_USER_PAYLOAD_MAX];
};

/* Answers AERO_EPROTO from violate(), or what the device answered by way of answer_of(). */
typedef enum aero_status (*aero_vhost_user_handler)(struct aero_vhost_user_conn *conn,
						    struct aero_vhost_user_request *req);

/* One line in the log; name may be NULL. */
void aero_vhost_user_log(struct aero_vhost_user_conn *conn, const char *name, const char *format,
			 ...) __attribute__((format(printf, 3, 4)));

/* Logs field and value, answers AERO_EPROTO. */
enum aero_status aero_vhost_user_violate(struct aero_vhost_user_conn *conn,
					 const struct aero_vhost_user_request *req,
					 const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Notes what the device refused; answers its status, which is never AERO_EPROTO. */
enum aero_status aero_vhost_user_refuse(struct aero_vhost_user_request *req,
					enum aero_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A device cannot make the front end a culprit. */
static inline enum aero_status aero_vhost_user_answer_of(enum aero_status status)
{
	return status == AERO_EPROTO ? AERO_EREFUSED : status;
}

static inline bool aero_vhost_user_has(const struct aero_vhost_user_conn *conn, unsigned int bit)
{
	return conn->protocol_features >> bit & 1;
}

static inline uint64_t aero_vhost_user_u64(const struct aero_vhost_user_request *req)
{
	uint64_t value;

	memcpy(&value, req->payload, sizeof(value));
	return value;
}

static inline void aero_vhost_user_reply(struct aero_vhost_user_request *req, const void *bytes,
					 uint32_t size)
{
	memcpy(req->reply, bytes, size);
	req->reply_size = size;
	req->has_reply = true;
}

/* The descriptor at index becomes the caller's. */
static inline int aero_vhost_user_take_fd(struct aero_vhost_user_conn *conn, unsigned int index)
{
	int fd = conn->fds[index];

	conn->fds[index] = -1;
	return fd;
}

/* vhost_user_message.c */
enum aero_status aero_vhost_user_get_features(struct aero_vhost_user_conn *conn,
					      struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_set_features(struct aero_vhost_user_conn *conn,
					      struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_get_protocol_features(struct aero_vhost_user_conn *conn,
						       struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_set_protocol_features(struct aero_vhost_user_conn *conn,
						       struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_ignore(struct aero_vhost_user_conn *conn,
					struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_set_mem_table(struct aero_vhost_user_conn *conn,
					       struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_add_mem_reg(struct aero_vhost_user_conn *conn,
					     struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_rem_mem_reg(struct aero_vhost_user_conn *conn,
					     struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_get_max_mem_slots(struct aero_vhost_user_conn *conn,
						   struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_get_queue_num(struct aero_vhost_user_conn *conn,
					       struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_get_config(struct aero_vhost_user_conn *conn,
					    struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_set_config(struct aero_vhost_user_conn *conn,
					    struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_get_status(struct aero_vhost_user_conn *conn,
					    struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_set_status(struct aero_vhost_user_conn *conn,
					    struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_reset_device(struct aero_vhost_user_conn *conn,
					      struct aero_vhost_user_request *req);

/* vhost_user_ring.c */
enum aero_status aero_vhost_user_reset_owner(struct aero_vhost_user_conn *conn,
					     struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_set_vring_num(struct aero_vhost_user_conn *conn,
					       struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_set_vring_addr(struct aero_vhost_user_conn *conn,
						struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_set_vring_base(struct aero_vhost_user_conn *conn,
						struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_get_vring_base(struct aero_vhost_user_conn *conn,
						struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_set_vring_kick(struct aero_vhost_user_conn *conn,
						struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_set_vring_call(struct aero_vhost_user_conn *conn,
						struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_set_vring_err(struct aero_vhost_user_conn *conn,
					       struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_set_vring_enable(struct aero_vhost_user_conn *conn,
						  struct aero_vhost_user_request *req);
enum aero_status aero_vhost_user_vring_kick(struct aero_vhost_user_conn *conn,
					    struct aero_vhost_user_request *req);

void aero_vhost_user_rings_init(struct aero_vhost_user_conn *conn);
void aero_vhost_user_rings_fini(struct aero_vhost_user_conn *conn);

/* Starts every ring that waits for nothing but memory. */
enum aero_status aero_vhost_user_rings_start(struct aero_vhost_user_conn *conn,
					     struct aero_vhost_user_request *req);

/* Stops started rings: all, or only those that are disabled. */
void aero_vhost_user_rings_stop(struct aero_vhost_user_conn *conn, bool is_all);

void aero_vhost_user_rings_enable(struct aero_vhost_user_conn *conn, bool is_enabled);

/* Index of a ring that is started and enabled, or -1. */
int aero_vhost_user_rings_running(const struct aero_vhost_user_conn *conn);

/* vhost_user_channel.c */
enum aero_status aero_vhost_user_set_backend_req_fd(struct aero_vhost_user_conn *conn,
						    struct aero_vhost_user_request *req);
void aero_vhost_user_channel_init(struct aero_vhost_user_conn *conn);
void aero_vhost_user_channel_close(struct aero_vhost_user_conn *conn);
void aero_vhost_user_channel_call(struct aero_vhost_user_conn *conn, unsigned int index);
void aero_vhost_user_channel_error(struct aero_vhost_user_conn *conn, unsigned int index);

#endif
