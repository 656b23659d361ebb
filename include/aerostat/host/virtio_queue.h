/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOST_VIRTIO_QUEUE_H
#define AEROSTAT_HOST_VIRTIO_QUEUE_H

/*
 * A virtqueue as the device sees it: split or packed, indirect descriptors, event index.
 *
 * The driver is not trusted. Every address goes through the VMM's translate; a descriptor is copied
 * once, the copy is checked and used; loops, lengths and indices out of bounds break the queue with
 * a reason and nothing else. A broken queue stays broken until it is started again.
 *
 * Work is bounded by the caller: pop() takes one chain, reading it is a stream with a cursor, so a
 * request of any length can be served in pieces, with other work between them.
 */

#include <aerostat/memory.h>
#include <aerostat/status.h>
#include <aerostat/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct aero_virtio_queue_config {
	const struct aero_host_memory *memory; /* outlives the queue's run */
	uint32_t size;			       /* entries, 1 to 32768; split: a power of two */
	bool is_packed;			       /* RING_PACKED negotiated */
	bool has_event_idx;		       /* EVENT_IDX negotiated */
	bool has_indirect;		       /* INDIRECT_DESC negotiated */
	bool is_big_endian;		       /* a legacy driver of a big-endian guest */
	aero_gpa desc;			       /* split: descriptor table; packed: the ring */
	aero_gpa driver;		       /* split: available ring; packed: driver area */
	aero_gpa device;		       /* split: used ring; packed: device area */
	/*
	 * Where to go on. Split: bits 0-15 the next available index. Packed: bits 0-14 position and
	 * bit 15 wrap bit of the next available, the same of the next used in bits 16-31. A fresh
	 * ring starts with 0 (split) or 0x80008000 (packed).
	 */
	uint32_t base;
};

/* Why a queue broke. */
enum aero_virtio_queue_fault {
	AERO_VIRTIO_QUEUE_FAULT_NONE = 0,
	AERO_VIRTIO_QUEUE_FAULT_RING,	  /* the ring itself is not guest memory any more */
	AERO_VIRTIO_QUEUE_FAULT_INDEX,	  /* available index jumped by more than the size */
	AERO_VIRTIO_QUEUE_FAULT_HEAD,	  /* head, id or next outside the table */
	AERO_VIRTIO_QUEUE_FAULT_LOOP,	  /* more descriptors than a chain can have */
	AERO_VIRTIO_QUEUE_FAULT_INDIRECT, /* nested, not negotiated, empty, ragged or too long */
	AERO_VIRTIO_QUEUE_FAULT_ORDER,	  /* a readable descriptor after a writable one */
	AERO_VIRTIO_QUEUE_FAULT_ADDRESS,  /* a buffer outside guest memory */
	AERO_VIRTIO_QUEUE_FAULT_LENGTH,	  /* a chain longer than 2^32 bytes */
};

/* Private; public only so that it can be embedded. */
struct aero_virtio_queue {
	struct aero_virtio_queue_config config;
	uint8_t *desc;
	uint8_t *driver;
	uint8_t *device;
	uint32_t in_flight; /* ring entries popped and not pushed */
	uint32_t pushed;    /* ring entries pushed since should_notify() was last asked */
	uint16_t avail;	    /* next to pop; split: runs freely, packed: a position */
	uint16_t used;	    /* next to push, likewise */
	bool avail_wrap;
	bool used_wrap;
	bool is_swapped; /* the ring's byte order is not the host's */
	bool is_started;
	bool is_kick_off;
	bool has_signalled; /* should_notify() was asked since start() */
	enum aero_virtio_queue_fault fault;
};

/* One buffer of a chain, addresses checked to be guest memory by whoever touches it. */
struct aero_virtio_segment {
	aero_gpa gpa;
	uint32_t len;
	bool is_writable;
};

/*
 * A chain taken from the queue, with the cursor of its reader. The caller owns it (it holds no
 * pointer into guest memory) and hands it back with push(). It can be saved and restored bytewise
 * within one build.
 */
struct aero_virtio_chain {
	struct aero_virtio_segment segment; /* what is left of the one being read */
	aero_gpa table;			    /* indirect table, if table_len is not 0 */
	uint64_t total;			    /* bytes seen so far, against the limit */
	uint32_t table_len;		    /* descriptors in it; 0: the ring itself */
	uint32_t next;			    /* next descriptor */
	uint32_t left;			    /* descriptors that may still come; 0: the end */
	uint16_t id;			    /* what the driver knows the chain by */
	uint16_t ring_slots;		    /* ring entries it takes; split: 1 */
	bool was_writable;
};

/**
 * aero_virtio_queue_start() - Begin to serve a ring.
 * @queue:  Zeroed, or stopped.
 * @config: The ring; copied.
 *
 * Shape:   the index of used entries is read from the ring itself (split), so that a ring can be
 *          taken over from another device. Nothing is written: a ring may be set up whose memory
 *          the driver does not give yet, or has freed. Call set_kicks() when it is to be served.
 * Owner:   guest memory stays the VMM's; stop() ends the use of it.
 * Errors:  AERO_EINVAL: size, base, alignment or combination is not allowed. AERO_ERANGE: a part of
 *          the ring is not contiguous guest memory. AERO_ESTATE: it is started. The queue stays
 *          stopped; stop() then answers the base of the config, but after AERO_EINVAL.
 * Context: that of memory->translate(); the caller serialises all calls on one queue.
 * Source:  VIRTIO 1.4, Split Virtqueues and Packed Virtqueues.
 */
enum aero_status aero_virtio_queue_start(struct aero_virtio_queue *queue,
					 const struct aero_virtio_queue_config *config);

/**
 * aero_virtio_queue_stop() - End serving a ring.
 * @queue: Started or not.
 *
 * Shape:   answers the base to start again from; the last one where it is not started.
 * Owner:   no pointer into guest memory is kept.
 * Errors:  none. Chains popped and not pushed are the caller's to account for.
 * Context: any.
 * Source:  vhost-user GET_VRING_BASE.
 */
uint32_t aero_virtio_queue_stop(struct aero_virtio_queue *queue);

/**
 * aero_virtio_queue_memory_changed() - Find the ring again after the memory map changed.
 * @queue: Started or not.
 *
 * Shape:   call before anything else touches the queue.
 * Owner:   pointers of the old map are forgotten.
 * Errors:  AERO_ERANGE: the ring is not guest memory any more; the queue is broken.
 * Context: that of memory->translate().
 * Source:  vhost-user ADD_MEM_REG and REM_MEM_REG of a running device.
 */
enum aero_status aero_virtio_queue_memory_changed(struct aero_virtio_queue *queue);

/**
 * aero_virtio_queue_pop() - Take the next chain.
 * @queue:     Started.
 * @out_chain: The chain, its cursor at its first byte.
 *
 * Shape:   read it with read() or next_segment(), then push() it. Where kicks are asked for,
 *          AERO_EAGAIN means that the next chain will bring one.
 * Owner:   the driver's buffers belong to the device until push(). A used entry of a packed ring
 *          may overwrite descriptors of other chains: whoever pushes out of order must have
 *          read every chain of more than one ring descriptor to its end before.
 * Errors:  AERO_EAGAIN: there is none now. AERO_ESTATE: not started. AERO_EPROTO: the queue is
 *          broken, queue->fault says why; it stays so.
 * Context: that of memory->translate().
 * Source:  VIRTIO 1.4, 2.7.14 and 2.8.21.
 */
enum aero_status aero_virtio_queue_pop(struct aero_virtio_queue *queue,
				       struct aero_virtio_chain *out_chain);

/**
 * aero_virtio_queue_unpop() - Put the chain popped last back as if it had not been taken.
 * @queue: Started.
 * @chain: The chain popped last, of which nothing was pushed since.
 *
 * Shape:   for held buffers when a device stops: the next pop() answers it again.
 * Owner:   the buffers are the driver's again.
 * Errors:  none.
 * Context: any.
 * Source:  the statistics queue, whose buffer the device holds between requests.
 */
void aero_virtio_queue_unpop(struct aero_virtio_queue *queue,
			     const struct aero_virtio_chain *chain);

/**
 * aero_virtio_queue_next_segment() - The next buffer of a chain, without touching its bytes.
 * @queue:       The queue it came from.
 * @chain:       Popped.
 * @out_segment: What is left of the current buffer, or the next one; empty buffers are passed by.
 *
 * Shape:   the cursor moves behind it.
 * Owner:   nothing changes hands.
 * Errors:  AERO_ENOENT: the chain ends. AERO_EPROTO: the queue is broken. AERO_ESTATE: not started.
 * Context: that of memory->translate().
 * Source:  free page hints and reports, where the buffer is the message.
 */
enum aero_status aero_virtio_queue_next_segment(struct aero_virtio_queue *queue,
						struct aero_virtio_chain *chain,
						struct aero_virtio_segment *out_segment);

/**
 * aero_virtio_queue_read() - Copy the next bytes of a chain's readable part.
 * @queue:   The queue it came from.
 * @chain:   Popped.
 * @buf:     Room for len bytes.
 * @len:     At least 1.
 * @out_len: Bytes copied; less than len only where the readable part ends.
 *
 * Shape:   buffers of a chain are one stream, whatever their lengths.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EPROTO: the queue is broken; nothing of buf counts. AERO_ESTATE: not started.
 * Context: that of memory->translate().
 * Source:  VIRTIO 1.4, 2.6.4: framing is not to be relied on.
 */
enum aero_status aero_virtio_queue_read(struct aero_virtio_queue *queue,
					struct aero_virtio_chain *chain, void *buf, uint32_t len,
					uint32_t *out_len);

/**
 * aero_virtio_queue_push() - Return a chain to the driver.
 * @queue:   The queue it came from.
 * @chain:   Popped, read or not.
 * @written: Bytes the device wrote; 0 for every balloon request.
 *
 * Shape:   the driver may see it at once; ask should_notify() afterwards.
 * Owner:   the buffers are the driver's again.
 * Errors:  AERO_EPROTO: the queue is broken, the driver does not get it. AERO_ESTATE: not started.
 *          AERO_EINVAL: no chain of this ring takes so many entries.
 * Context: any.
 * Source:  VIRTIO 1.4, 2.7.8 and 2.8.22.
 */
enum aero_status aero_virtio_queue_push(struct aero_virtio_queue *queue,
					const struct aero_virtio_chain *chain, uint32_t written);

/**
 * aero_virtio_queue_should_notify() - Whether the driver wants an interrupt for what was pushed.
 * @queue: Started.
 *
 * Shape:   call once after one or more push(); the answer covers all since the last call. The first
 *          one after start() is true unless the driver wants none at all: it may be owed one.
 * Owner:   nothing changes hands.
 * Errors:  none; a stopped or broken queue answers false.
 * Context: any.
 * Source:  VIRTIO 1.4, 2.7.7 and 2.8.10.
 */
bool aero_virtio_queue_should_notify(struct aero_virtio_queue *queue);

/**
 * aero_virtio_queue_set_kicks() - Ask the driver for notifications, or not to send any.
 * @queue:      Started.
 * @is_enabled: Whether kicks are wanted.
 *
 * Shape:   answers whether chains are waiting: after asking for kicks, look again when it is true.
 * Owner:   nothing changes hands.
 * Errors:  none; a stopped or broken queue answers false.
 * Context: any.
 * Source:  VIRTIO 1.4, 2.7.10 and 2.8.10.
 */
bool aero_virtio_queue_set_kicks(struct aero_virtio_queue *queue, bool is_enabled);

/**
 * aero_virtio_queue_fault_str() - Name of a fault, for people.
 * @fault: Any value.
 *
 * Shape:   a static English phrase.
 * Owner:   static storage.
 * Errors:  none.
 * Context: any.
 * Source:  the list above.
 */
const char *aero_virtio_queue_fault_str(enum aero_virtio_queue_fault fault);

#ifdef __cplusplus
}
#endif

#endif
