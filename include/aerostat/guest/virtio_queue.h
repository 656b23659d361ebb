/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_GUEST_VIRTIO_QUEUE_H
#define AEROSTAT_GUEST_VIRTIO_QUEUE_H

/*
 * A virtqueue as the driver sees it: split or packed, indirect descriptors, event index.
 *
 * Buffers are known by a number of the caller's, the token. Many can be in flight; give() makes
 * them available, kick_needed() says once for all of them whether the device wants to be told.
 *
 * The device is not trusted. What it writes is an id and a length, both checked against our own
 * record: an id that is not in flight, a length above what is writable, a used index that jumps
 * break the queue, for good, until it is started again. Addresses and lengths are never read back
 * from the ring.
 *
 *	start -> give, give, kick_needed -> notify the transport ... interrupt -> take, take
 *	  ^						      |
 *	  +------------ reset of the device <-- broken, silent, stop
 *
 * Nothing is locked: one context at a time.
 */

#include <aerostat/status.h>
#include <aerostat/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Entries a chain can have: buffers of one give(). */
#define AERO_VIRTIO_GUEST_CHAIN_MAX 64

/* Our own record of one ring entry; private. */
struct aero_virtio_guest_slot {
	uint16_t token;
	uint16_t next;	   /* of the free list or of the chain; with IN_ORDER all make one circle */
	uint16_t entries;  /* of the ring that the chain takes; 0: not the head of one in flight */
	uint16_t last;	   /* split: the chain's last descriptor; packed: the id itself */
	uint32_t writable; /* bytes the device may write */
};

struct aero_virtio_guest_queue_config {
	uint32_t size;	    /* entries, 1 to 32768; split: a power of two */
	bool is_packed;	    /* RING_PACKED negotiated */
	bool has_event_idx; /* EVENT_IDX negotiated */
	bool has_indirect;  /* INDIRECT_DESC negotiated */
	bool is_in_order;   /* IN_ORDER negotiated */
	bool is_big_endian; /* a legacy device of a big-endian guest; else little-endian */
	/*
	 * Lengths that come back mean nothing: old devices say there how much they have read. More
	 * than was writable is then cut to that, instead of breaking the queue.
	 */
	bool is_length_ignored;
	/* The parts of the ring, as the driver reaches them; aligned as the format wants. */
	void *desc;   /* split: descriptor table; packed: the ring */
	void *driver; /* split: available ring; packed: driver area */
	void *device; /* split: used ring; packed: device area */
	/* size records, of any content. */
	struct aero_virtio_guest_slot *slots;
};

/* Why a queue broke. */
enum aero_virtio_guest_queue_fault {
	AERO_VIRTIO_GUEST_QUEUE_FAULT_NONE = 0,
	AERO_VIRTIO_GUEST_QUEUE_FAULT_INDEX,  /* more used than in flight */
	AERO_VIRTIO_GUEST_QUEUE_FAULT_ID,     /* an id outside the ring */
	AERO_VIRTIO_GUEST_QUEUE_FAULT_TWICE,  /* an id that is not in flight */
	AERO_VIRTIO_GUEST_QUEUE_FAULT_LENGTH, /* more written than there was room */
};

/* Private; public only so that it can be embedded. */
struct aero_virtio_guest_queue {
	struct aero_virtio_guest_queue_config config;
	uint32_t free_entries;
	uint32_t in_flight; /* chains */
	uint32_t given;	    /* since kick_needed() was last asked; split: chains, packed: entries */
	uint32_t batch_len; /* IN_ORDER: what the used entry at work says of its last chain */
	uint16_t batch_last; /* IN_ORDER: that chain */
	uint16_t order_head; /* IN_ORDER: the oldest in flight */
	uint16_t free_head;  /* split: descriptors, packed: ids */
	uint16_t avail;	     /* next to give; split: runs freely, packed: a position */
	uint16_t used;	     /* next to take, likewise; stopped: next slot to look at */
	bool avail_wrap;
	bool used_wrap;
	bool has_batch;	 /* IN_ORDER: the last used entry answered more than was taken */
	bool is_swapped; /* the ring's byte order is not ours */
	bool is_started;
	enum aero_virtio_guest_queue_fault fault;
};

/* One buffer of a chain. Readable ones come before writable ones. */
struct aero_virtio_guest_buffer {
	aero_gpa gpa;
	uint32_t len;
	bool is_writable;
};

/* A chain to be given. */
struct aero_virtio_guest_chain {
	const struct aero_virtio_guest_buffer *buffers;
	uint32_t count; /* 1 to AERO_VIRTIO_GUEST_CHAIN_MAX */
	uint16_t token;
	/*
	 * Where an indirect table may go: 16 * count bytes, aligned to 16, the caller's until the
	 * chain comes back. NULL: the chain takes count entries of the ring.
	 */
	void *table;
	aero_gpa table_gpa;
};

/* What came back. */
struct aero_virtio_guest_used {
	uint16_t token;
	uint32_t len; /* that the device says it has written; at most what was writable */
};

/**
 * aero_virtio_guest_queue_start() - Make an empty ring.
 * @queue:  Uninitialised, or stopped.
 * @config: The ring; copied.
 *
 * Shape:   zeroes all parts of the ring, of the lengths the format says (wire/virtio.h:
 *          AERO_VIRTIO_SPLIT_DESC_BYTES and so on); tell the transport afterwards. An interrupt
 *          is wanted for the first chain that comes back, as after interrupt_after(1).
 * Owner:   slots are the queue's until stop() has answered false; the parts too, and the device's
 *          once it knows of them.
 * Errors:  AERO_EINVAL: size, alignment, a missing part, or a packed ring that is big-endian;
 *          nothing is written, the queue is as it was.
 * Context: any; the caller serialises all calls on one queue.
 * Source:  VIRTIO 1.4, Split Virtqueues and Packed Virtqueues.
 */
enum aero_status aero_virtio_guest_queue_start(struct aero_virtio_guest_queue *queue,
					       const struct aero_virtio_guest_queue_config *config);

/**
 * aero_virtio_guest_queue_stop() - Forget a ring.
 * @queue:     Started, stopped or zeroed; the device is reset.
 * @out_token: A chain that was in flight.
 *
 * Shape:   each call answers true with one chain that take() has not answered, in any order, then
 *          false; the queue is stopped from the first call on. out_token is written with true only.
 * Owner:   buffers, then the ring's memory, are the caller's again.
 * Errors:  none.
 * Context: any.
 * Source:  VIRTIO 1.4, Device Reset: after it the device touches no queue.
 */
bool aero_virtio_guest_queue_stop(struct aero_virtio_guest_queue *queue, uint16_t *out_token);

/**
 * aero_virtio_guest_queue_give() - Make a chain available.
 * @queue: Started.
 * @chain: What to give; copied.
 *
 * Shape:   the device may see it at once; kick_needed() tells whether it has to be told. A chain
 *          of more than one buffer goes into its table, if it has one and the ring may have it,
 *          and takes one entry then. Tokens need not differ.
 * Owner:   the buffers and the table are the device's until take() or stop() answers the token.
 * Errors:  AERO_EAGAIN: the ring has no room now. AERO_EINVAL: count, or more entries than the ring
 *          has; an empty buffer, a readable one behind a writable one, 4 GiB or more in all; a
 *          table that is not aligned. AERO_ESTATE: not started, or broken. Nothing was given.
 * Context: any.
 * Source:  VIRTIO 1.4, Supplying Buffers to The Device.
 */
enum aero_status aero_virtio_guest_queue_give(struct aero_virtio_guest_queue *queue,
					      const struct aero_virtio_guest_chain *chain);

/**
 * aero_virtio_guest_queue_kick_needed() - Whether to notify the device.
 * @queue: Started.
 *
 * Shape:   for all that was given since the last call; false where nothing was, and where the
 *          queue is not started.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  VIRTIO 1.4, notification suppression.
 */
bool aero_virtio_guest_queue_kick_needed(struct aero_virtio_guest_queue *queue);

/**
 * aero_virtio_guest_queue_take() - A chain that the device has returned.
 * @queue:    Started.
 * @out_used: The answer.
 *
 * Shape:   in the order of the device. Where it answered several chains with one entry (IN_ORDER),
 *          all but the last count as written to the end.
 * Owner:   the chain's buffers are the caller's again.
 * Errors:  AERO_EAGAIN: none now. AERO_EPROTO: the device broke the ring; fault says how, and
 *          what is in flight stays so until stop(). AERO_ESTATE: not started.
 * Context: any.
 * Source:  VIRTIO 1.4, Receiving Used Buffers From The Device; In-order use of descriptors.
 */
enum aero_status aero_virtio_guest_queue_take(struct aero_virtio_guest_queue *queue,
					      struct aero_virtio_guest_used *out_used);

/**
 * aero_virtio_guest_queue_interrupt_after() - When to be interrupted.
 * @queue: Started.
 * @count: 0: not at all; else when this many of the chains in flight have come back; more than
 *         there are: when all have, none in flight: the next one.
 *
 * Shape:   with EVENT_IDX for one interrupt, then ask again; without at each chain that comes back.
 *          Never later than asked for, so that nothing waits for ever; sooner and more often as it
 *          pleases the device, and in a packed ring where chains take more than one entry.
 *          Answers true where an interrupt may not follow, because enough came back before this
 *          was asked: take() them, then ask again. Packed rings with IN_ORDER: one is enough. A
 *          queue that is not started answers false.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  VIRTIO 1.4, Used Buffer Notification Suppression; Driver and Device Event Suppression.
 */
bool aero_virtio_guest_queue_interrupt_after(struct aero_virtio_guest_queue *queue, uint32_t count);

/**
 * aero_virtio_guest_queue_validate() - Check every invariant of our own record.
 * @queue: Started or not.
 *
 * Shape:   entries in flight and free ones make up the ring, each exactly once.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EBUG: one does not hold.
 * Context: any.
 * Source:  design of Aerostat.
 */
enum aero_status aero_virtio_guest_queue_validate(const struct aero_virtio_guest_queue *queue);

#ifdef __cplusplus
}
#endif

#endif
