/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_VHOST_USER_H
#define AEROSTAT_HOSTED_VHOST_USER_H

/*
 * The vhost-user back end protocol, as a state machine without sockets.
 *
 * Bytes and descriptors of the front end go in through feed(), in fragments of any size; replies go
 * out through io->send(); the device is called through a table of operations. The engine keeps the
 * state of the rings (size, addresses, descriptors, started, enabled), so the device sees clean
 * calls: start, enable, stop. hosted/vhost_user_socket.h puts it on a UNIX socket.
 *
 * Whatever the front end sends that is malformed, out of order or not negotiated ends the
 * connection: one line in the log names message, field and value, feed() answers AERO_EPROTO, and
 * fini() is the only call left. What the device refuses is answered with a negative
 * acknowledgement where the front end asked for one, and ends the connection where it did not.
 *
 * Which messages and features are supported: docs/protocols/vhost-user.md.
 */

#include <aerostat/status.h>
#include <aerostat/types.h>
#include <aerostat/wire/vhost_user.h>

#include "hosted/guest_memory.h"

#define AERO_VHOST_USER_RINGS_MAX 16
#define AERO_VHOST_USER_RING_SIZE_MAX 32768u
#define AERO_VHOST_USER_PAYLOAD_MAX 268u /* SET_CONFIG: 12 bytes and 256 of configuration */
#define AERO_VHOST_USER_MESSAGE_MAX (12u + AERO_VHOST_USER_PAYLOAD_MAX)

/*
 * One ring. The engine writes; a device reads the first block, which holds while it is started.
 */
struct aero_vhost_user_ring {
	uint32_t size;	 /* entries; a power of two unless packed, at most RING_SIZE_MAX */
	uint32_t base;	 /* where to go on, as in SET_VRING_BASE */
	uint64_t desc;	 /* the front end's own addresses: aero_guest_memory_uva_to_gpa() */
	uint64_t avail;	 /* packed: the driver's event suppression area */
	uint64_t used;	 /* packed: the device's event suppression area */
	int kick_fd;	 /* readable when the guest added buffers; -1: none */
	bool is_polled;	 /* nobody kicks: look at the ring from time to time */
	bool is_packed;	 /* RING_PACKED is negotiated */
	bool is_enabled; /* started and disabled: leave the ring alone, keep it */
	bool is_started;

	/* The engine's own. */
	int call_fd;
	int err_fd;
	bool has_size;
	bool has_base;
	bool has_addr;
	bool has_kick;
	bool is_call_polled;
	bool is_call_pending;
};

/*
 * The device. Every operation is called from within feed() or fini() and must not call feed() or
 * fini(); call(), error() and config_changed() are allowed. A status other than AERO_OK refuses the
 * message. All are required.
 */
struct aero_vhost_user_ops {
	/* Virtio features on offer. Bits 26, 30 and 33 belong to the transport and are masked. */
	uint64_t (*get_features)(void *ctx);

	/*
	 * The driver's choice, a subset of get_features(). Sent again for each new driver: where
	 * the front end has no STATUS, this is the only sign that a driver came or went.
	 */
	enum aero_status (*set_features)(void *ctx, uint64_t features);

	/*
	 * The memory map, whole or by region. Descriptors are borrowed for the call. Rings may be
	 * started: their addresses have to be looked up again (ring()), pointers are dead.
	 */
	enum aero_status (*set_memory)(void *ctx, const struct aero_guest_region *regions,
				       unsigned int count);
	enum aero_status (*add_memory)(void *ctx, const struct aero_guest_region *region);
	enum aero_status (*remove_memory)(void *ctx, const struct aero_guest_region *region);

	/*
	 * Configuration space. offset + len is at most 256 and may pass the end of the device's:
	 * read zeros there, refuse writes. is_migration: fields the guest cannot write may be.
	 */
	enum aero_status (*get_config)(void *ctx, uint32_t offset, void *buf, uint32_t len);
	enum aero_status (*set_config)(void *ctx, uint32_t offset, const void *buf, uint32_t len,
				       bool is_migration);

	/*
	 * A ring has all it needs. kick_fd is the engine's and stays open until ring_stop() or
	 * ring_kick_changed() return. It may be enabled from the start (is_enabled).
	 */
	enum aero_status (*ring_start)(void *ctx, unsigned int index,
				       const struct aero_vhost_user_ring *ring);

	/* Answers the base to go on from later; buffers held are not taken. Forget kick_fd. */
	uint32_t (*ring_stop)(void *ctx, unsigned int index);

	/* A started ring becomes enabled or disabled. */
	void (*ring_enable)(void *ctx, unsigned int index, bool is_enabled);

	/* The kick descriptor of a started ring was replaced; the old one is closed on return. */
	void (*ring_kick_changed)(void *ctx, unsigned int index,
				  const struct aero_vhost_user_ring *ring);

	/* The guest added buffers, said by message instead of descriptor. The ring is started. */
	void (*ring_kick)(void *ctx, unsigned int index);

	/*
	 * Device status, only from front ends that negotiate STATUS. At 0 all rings are stopped;
	 * QEMU sends it whenever it stops the device, also to pause the machine, so it says nothing
	 * about the driver's frames: reset() does, and rings that start anew at a fresh base.
	 */
	void (*set_status)(void *ctx, uint8_t status);
	uint8_t (*get_status)(void *ctx);

	/* Back to the state after power-on. All rings are stopped; the memory map stays. */
	void (*reset)(void *ctx);
};

struct aero_vhost_user_config {
	const struct aero_vhost_user_ops *ops;
	void *ctx;
	unsigned int ring_count; /* 1 to AERO_VHOST_USER_RINGS_MAX */
	uint64_t memory_slots;	 /* answer to GET_MAX_MEM_SLOTS, at least 8 */
	/* Do not offer kicks by message: UML prefers them to eventfds, and waits for each. */
	bool is_inband_off;
};

/* What surrounds the engine. All are required. */
struct aero_vhost_user_io {
	void *ctx;

	/* Take a reply, whole. Another status than AERO_OK ends the connection. */
	enum aero_status (*send)(void *ctx, const void *bytes, size_t len);

	/*
	 * The back-end channel: call channel_ready() when fd is readable or, if asked, writable. A
	 * new call replaces the old; fd -1 ends watching, and the old descriptor is closed then.
	 */
	void (*watch)(void *ctx, int fd, bool is_write_wanted);

	/* One line, without newline. */
	void (*log)(void *ctx, const char *line);
};

/* The back-end channel; the engine's own. Bit n of the words is ring n. */
struct aero_vhost_user_channel {
	int fd;
	uint32_t calls;
	uint32_t errors;
	bool is_config_pending;
	bool is_reply_awaited;
	bool is_write_wanted;
	uint8_t out[20];
	size_t out_len;
	size_t out_at;
	uint8_t in[20];
	size_t in_len;
};

/* One connection. Read features and protocol_features; the rest is the engine's own. */
struct aero_vhost_user_conn {
	uint64_t features;	    /* negotiated virtio features, without transport bits */
	uint64_t protocol_features; /* negotiated, AERO_VHOST_USER_PROTOCOL_F_* */

	struct aero_vhost_user_config config;
	struct aero_vhost_user_io io;
	struct aero_vhost_user_ring rings[AERO_VHOST_USER_RINGS_MAX];
	struct aero_vhost_user_channel channel;
	bool has_memory;
	bool is_dead;
	bool is_enable_unsaid; /* PROTOCOL_FEATURES is not accepted: no SET_VRING_ENABLE comes */
	unsigned int refusals;
	int fds[AERO_VHOST_USER_FDS_MAX]; /* of the message being received */
	unsigned int fd_count;
	size_t have;
	uint8_t in[AERO_VHOST_USER_MESSAGE_MAX];
};

/**
 * aero_vhost_user_init() - A new connection.
 * @conn:   Uninitialised.
 * @config: The device; copied.
 * @io:     The surroundings; copied.
 *
 * Shape:   no ring is started, nothing is negotiated.
 * Owner:   the caller's; fini() ends it.
 * Errors:  none; a config outside its ranges is an assertion.
 * Context: any.
 * Source:  vhost-user protocol.
 */
void aero_vhost_user_init(struct aero_vhost_user_conn *conn,
			  const struct aero_vhost_user_config *config,
			  const struct aero_vhost_user_io *io);

/**
 * aero_vhost_user_fini() - The connection ended.
 * @conn: Initialised, whether feed() failed or not.
 *
 * Shape:   every started ring is stopped through ops->ring_stop().
 * Owner:   every descriptor received and not yet closed is closed.
 * Errors:  none.
 * Context: as ops.
 * Source:  none.
 */
void aero_vhost_user_fini(struct aero_vhost_user_conn *conn);

/**
 * aero_vhost_user_wanted() - How many bytes end the part being received.
 * @conn: Initialised.
 *
 * Shape:   what is missing of the header, or of the payload; never 0. Reading at most this much at
 *          a time keeps descriptors with the message they came with.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  recvmsg(2) on stream sockets joins messages.
 */
size_t aero_vhost_user_wanted(const struct aero_vhost_user_conn *conn);

/**
 * aero_vhost_user_feed() - Bytes of the front end.
 * @conn:     Initialised.
 * @bytes:    What was received.
 * @len:      Bytes, any number.
 * @fds:      Descriptors that came with them.
 * @fd_count: Their number.
 *
 * Shape:   descriptors belong to the message that the first byte is part of.
 * Owner:   the engine's from here on, whatever it answers.
 * Errors:  AERO_EPROTO: the front end broke the protocol. Others: the device refused and nobody
 *          asked for an answer, or io->send() failed. AERO_ESTATE: it had failed before. After each
 *          call fini().
 * Context: as ops.
 * Source:  vhost-user protocol, Message Specification.
 */
enum aero_status aero_vhost_user_feed(struct aero_vhost_user_conn *conn, const void *bytes,
				      size_t len, const int *fds, unsigned int fd_count);

/**
 * aero_vhost_user_ring() - State of a ring.
 * @conn:  Initialised.
 * @index: Below ring_count.
 *
 * Shape:   for looking up addresses again after the memory map changed.
 * Owner:   the engine's; valid until fini().
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
const struct aero_vhost_user_ring *aero_vhost_user_ring(const struct aero_vhost_user_conn *conn,
							unsigned int index);

/**
 * aero_vhost_user_call() - Tell the guest that buffers were used.
 * @conn:  Initialised.
 * @index: Below ring_count.
 *
 * Shape:   through the ring's descriptor, else by message where IN-BAND is negotiated, else not at
 *          all if the front end polls. Before the front end gave a descriptor it is remembered.
 * Owner:   nothing changes hands.
 * Errors:  none; a descriptor that fails is left to the front end.
 * Context: as ops; never blocks on an honest front end's descriptor.
 * Source:  SET_VRING_CALL, BACKEND_VRING_CALL.
 */
void aero_vhost_user_call(struct aero_vhost_user_conn *conn, unsigned int index);

/**
 * aero_vhost_user_error() - Tell the front end that a ring is broken.
 * @conn:  Initialised.
 * @index: Below ring_count.
 *
 * Shape:   as call(); without descriptor and IN-BAND nobody is told.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: as call().
 * Source:  SET_VRING_ERR, BACKEND_VRING_ERR.
 */
void aero_vhost_user_error(struct aero_vhost_user_conn *conn, unsigned int index);

/**
 * aero_vhost_user_config_changed() - Tell the guest that the configuration space changed.
 * @conn: Initialised.
 *
 * Shape:   a message on the back-end channel, now or when the channel takes it; several changes
 *          become one message then.
 * Owner:   nothing changes hands.
 * Errors:  AERO_ENOTSUP: the front end did not negotiate CONFIG and BACKEND_REQ. AERO_EAGAIN: it
 *          did, and gave no channel yet; the message follows when it does.
 * Context: as ops; never blocks.
 * Source:  BACKEND_CONFIG_CHANGE_MSG.
 */
enum aero_status aero_vhost_user_config_changed(struct aero_vhost_user_conn *conn);

/**
 * aero_vhost_user_channel_ready() - The watched descriptor is readable or writable.
 * @conn: Initialised.
 *
 * Shape:   reads acknowledgements, writes what waits. A channel that ends or sends nonsense is
 *          closed with a line in the log; the connection stays.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: as ops; never blocks.
 * Source:  vhost-user protocol, Back-end communication.
 */
void aero_vhost_user_channel_ready(struct aero_vhost_user_conn *conn);

/**
 * aero_vhost_user_drain() - Take the kicks of a descriptor.
 * @fd: kick_fd of a ring, readable or not.
 *
 * Shape:   eventfd, pipe or socket.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EAGAIN: there was none. AERO_EGONE: it is at its end or fails: stop watching it.
 * Context: any; never blocks.
 * Source:  vhost-user protocol, "Support for platforms other than Linux".
 */
enum aero_status aero_vhost_user_drain(int fd);

#endif
