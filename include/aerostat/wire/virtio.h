/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_WIRE_VIRTIO_H
#define AEROSTAT_WIRE_VIRTIO_H

/*
 * virtio: what every device type shares. Status, feature bits, split and packed rings.
 *
 * Every number on this wire is little-endian, whatever the two ends are, once VERSION_1 is
 * negotiated; a device of the legacy interface uses the guest's own order for the rings. The
 * fields below are therefore raw: convert at each access. Tags name the writer of a field:
 * [GUEST] the driver, [HOST] the device, [BOTH] either, by the rule in the comment. What a
 * device reads from a [GUEST] field can change under it: copy once, check the copy, use the copy.
 *
 * Source: Virtual I/O Device (VIRTIO) version 1.4, "Basic Facilities of a Virtio Device" and
 * "Reserved Feature Bits". The specification's own spelling stands in the comments.
 */

#include <stddef.h>
#include <stdint.h>

#ifndef AERO_WIRE_ASSERT
#ifdef __cplusplus
#define AERO_WIRE_ASSERT(cond) static_assert(cond, #cond)
#else
#define AERO_WIRE_ASSERT(cond) _Static_assert(cond, #cond)
#endif
#define AERO_WIRE_SIZE(type, bytes) AERO_WIRE_ASSERT(sizeof(type) == (bytes))
#define AERO_WIRE_FIELD(type, field, offset, bytes) \
	AERO_WIRE_ASSERT(offsetof(type, field) == (offset) && sizeof(((type *)0)->field) == (bytes))
#endif

/* Identity ------------------------------------------------------------------------------------ */

#define AERO_VIRTIO_ID_BALLOON 5 /* "traditional memory balloon" */

/* Device status -------------------------------------------------------------------------------
 *
 * One byte. [GUEST] sets bits one after the other and clears them only by writing 0 (reset);
 * [HOST] may refuse FEATURES_OK by not keeping it, and sets DEVICE_NEEDS_RESET.
 *
 *   1. write 0, read until 0          4. write the accepted subset of the features
 *   2. set ACKNOWLEDGE, set DRIVER    5. set FEATURES_OK, read back: still set?
 *   3. read the offered features      6. set up rings and configuration, set DRIVER_OK
 */
#define AERO_VIRTIO_STATUS_ACKNOWLEDGE 0x01u
#define AERO_VIRTIO_STATUS_DRIVER 0x02u
#define AERO_VIRTIO_STATUS_DRIVER_OK 0x04u
#define AERO_VIRTIO_STATUS_FEATURES_OK 0x08u
#define AERO_VIRTIO_STATUS_SUSPEND 0x10u /* since 1.4, with F_SUSPEND */
#define AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET 0x40u
#define AERO_VIRTIO_STATUS_FAILED 0x80u

/* Feature bits --------------------------------------------------------------------------------
 *
 * Numbers, not masks: bits go up to 127, wider than any integer of C. Bits 0-23, 41-42 and 50-127
 * belong to the device type; 24-40 and 43-49 are reserved for transport and rings.
 */
#define AERO_VIRTIO_FEATURE_COUNT 128

#define AERO_VIRTIO_F_DEVICE_FIRST 0
#define AERO_VIRTIO_F_DEVICE_LAST 23
#define AERO_VIRTIO_F_NOTIFY_ON_EMPTY 24 /* legacy only */
#define AERO_VIRTIO_F_ANY_LAYOUT 27	 /* legacy only; implied by VERSION_1 */
#define AERO_VIRTIO_F_INDIRECT_DESC 28	 /* VIRTIO_F_INDIRECT_DESC (VIRTIO_RING_F_...) */
#define AERO_VIRTIO_F_EVENT_IDX 29	 /* VIRTIO_F_EVENT_IDX (VIRTIO_RING_F_...) */
#define AERO_VIRTIO_F_UNUSED 30		 /* never a virtio feature; vhost-user uses the bit */
#define AERO_VIRTIO_F_VERSION_1 32
#define AERO_VIRTIO_F_ACCESS_PLATFORM 33
#define AERO_VIRTIO_F_RING_PACKED 34
#define AERO_VIRTIO_F_IN_ORDER 35
#define AERO_VIRTIO_F_ORDER_PLATFORM 36
#define AERO_VIRTIO_F_SR_IOV 37
#define AERO_VIRTIO_F_NOTIFICATION_DATA 38
#define AERO_VIRTIO_F_NOTIF_CONFIG_DATA 39
#define AERO_VIRTIO_F_RING_RESET 40
#define AERO_VIRTIO_F_ADMIN_VQ 41 /* numbered inside a range of the device types */
#define AERO_VIRTIO_F_SUSPEND 43  /* since 1.4 */

/* Split virtqueue -----------------------------------------------------------------------------
 *
 * Three parts, each anywhere in guest memory at its own alignment. The ring size N is a power of
 * two, at most 32768. The idx fields run freely and wrap at 65536; an entry is at idx mod N.
 *
 * Driver gives a chain:                     Device returns it:
 *   1. write the descriptors                  1. write the buffer's bytes
 *   2. write the head into avail.ring[]       2. write id and len into used.ring[]
 *   3. write barrier                          3. write barrier
 *   4. avail.idx += 1                         4. used.idx += 1
 *   5. full barrier                           5. full barrier
 *   6. read used.flags or avail_event,        6. read avail.flags or used_event,
 *      notify unless suppressed                  interrupt unless suppressed
 * Steps 3 pair with the reader's read barrier between idx and the entry; steps 5 pair with each
 * other, so that of "new entry" and "do not notify" at least one is seen.
 */
#define AERO_VIRTIO_SPLIT_SIZE_MAX 32768u

#define AERO_VIRTIO_SPLIT_DESC_ALIGN 16
#define AERO_VIRTIO_SPLIT_AVAIL_ALIGN 2
#define AERO_VIRTIO_SPLIT_USED_ALIGN 4

/* Flags of a descriptor; the numbers are the same for both ring formats. */
#define AERO_VIRTIO_DESC_F_NEXT 0x0001u
#define AERO_VIRTIO_DESC_F_WRITE 0x0002u /* the device writes this buffer */
#define AERO_VIRTIO_DESC_F_INDIRECT 0x0004u

struct aero_virtio_wire_desc {
	uint64_t addr;	/* [GUEST] le64 guest-physical address */
	uint32_t len;	/* [GUEST] le32 bytes */
	uint16_t flags; /* [GUEST] le16 AERO_VIRTIO_DESC_F_* */
	uint16_t next;	/* [GUEST] le16 index, if flags has NEXT */
};
AERO_WIRE_SIZE(struct aero_virtio_wire_desc, 16);
AERO_WIRE_FIELD(struct aero_virtio_wire_desc, addr, 0, 8);
AERO_WIRE_FIELD(struct aero_virtio_wire_desc, len, 8, 4);
AERO_WIRE_FIELD(struct aero_virtio_wire_desc, flags, 12, 2);
AERO_WIRE_FIELD(struct aero_virtio_wire_desc, next, 14, 2);

#define AERO_VIRTIO_AVAIL_F_NO_INTERRUPT 0x0001u

/* Followed by le16 ring[N] and, with EVENT_IDX, le16 used_event, all [GUEST]. */
struct aero_virtio_wire_avail {
	uint16_t flags; /* [GUEST] le16 AERO_VIRTIO_AVAIL_F_*; 0 with EVENT_IDX */
	uint16_t idx;	/* [GUEST] le16 */
};
AERO_WIRE_SIZE(struct aero_virtio_wire_avail, 4);
AERO_WIRE_FIELD(struct aero_virtio_wire_avail, flags, 0, 2);
AERO_WIRE_FIELD(struct aero_virtio_wire_avail, idx, 2, 2);

struct aero_virtio_wire_used_elem {
	uint32_t id;  /* [HOST] le32 index of the chain's head */
	uint32_t len; /* [HOST] le32 bytes written, never more than really written */
};
AERO_WIRE_SIZE(struct aero_virtio_wire_used_elem, 8);
AERO_WIRE_FIELD(struct aero_virtio_wire_used_elem, id, 0, 4);
AERO_WIRE_FIELD(struct aero_virtio_wire_used_elem, len, 4, 4);

#define AERO_VIRTIO_USED_F_NO_NOTIFY 0x0001u

/* Followed by the elements ring[N] and, with EVENT_IDX, le16 avail_event, all [HOST]. */
struct aero_virtio_wire_used {
	uint16_t flags; /* [HOST] le16 AERO_VIRTIO_USED_F_*; 0 with EVENT_IDX */
	uint16_t idx;	/* [HOST] le16 */
};
AERO_WIRE_SIZE(struct aero_virtio_wire_used, 4);
AERO_WIRE_FIELD(struct aero_virtio_wire_used, flags, 0, 2);
AERO_WIRE_FIELD(struct aero_virtio_wire_used, idx, 2, 2);

/* Bytes of the parts, and offsets of what follows the fixed structures; n is the ring size. */
#define AERO_VIRTIO_SPLIT_DESC_BYTES(n) ((size_t)16 * (n))
#define AERO_VIRTIO_SPLIT_AVAIL_BYTES(n) ((size_t)6 + (size_t)2 * (n))
#define AERO_VIRTIO_SPLIT_USED_BYTES(n) ((size_t)6 + (size_t)8 * (n))
#define AERO_VIRTIO_SPLIT_AVAIL_RING(i) ((size_t)4 + (size_t)2 * (i))
#define AERO_VIRTIO_SPLIT_USED_RING(i) ((size_t)4 + (size_t)8 * (i))
#define AERO_VIRTIO_SPLIT_USED_EVENT(n) AERO_VIRTIO_SPLIT_AVAIL_RING(n)
#define AERO_VIRTIO_SPLIT_AVAIL_EVENT(n) AERO_VIRTIO_SPLIT_USED_RING(n)

/* Packed virtqueue ----------------------------------------------------------------------------
 *
 * One ring of N descriptors that both sides overwrite, and an event suppression structure for
 * each side. N is at most 32768 and need not be a power of two. Each side keeps a wrap bit, 1 at
 * first, toggled when its position passes the end of the ring.
 *
 * A descriptor is available when AVAIL equals the driver's wrap bit and USED does not; it is used
 * when both equal the device's wrap bit.
 *
 * Driver gives a list:                      Device returns it:
 *   1. write all but the first's flags        1. write the buffer's bytes
 *      (id in the last descriptor)            2. write id and len at the device's position
 *   2. write barrier                          3. write barrier
 *   3. write the first's flags                4. write flags, skip the length of the list
 *   4. full barrier                           5. full barrier
 *   5. read the device's event structure,     6. read the driver's event structure,
 *      notify unless suppressed                  interrupt unless suppressed
 */
#define AERO_VIRTIO_PACKED_SIZE_MAX 32768u

#define AERO_VIRTIO_PACKED_DESC_ALIGN 16
#define AERO_VIRTIO_PACKED_EVENT_ALIGN 4

#define AERO_VIRTIO_PACKED_DESC_F_AVAIL 0x0080u
#define AERO_VIRTIO_PACKED_DESC_F_USED 0x8000u

struct aero_virtio_wire_packed_desc {
	uint64_t addr;	/* [GUEST] le64 guest-physical address; not changed by the device */
	uint32_t len;	/* [BOTH] le32 bytes; the device puts the bytes written in a used one */
	uint16_t id;	/* [BOTH] le16 buffer id, copied by the device into the used one */
	uint16_t flags; /* [BOTH] le16; who owns the descriptor, see above */
};
AERO_WIRE_SIZE(struct aero_virtio_wire_packed_desc, 16);
AERO_WIRE_FIELD(struct aero_virtio_wire_packed_desc, addr, 0, 8);
AERO_WIRE_FIELD(struct aero_virtio_wire_packed_desc, len, 8, 4);
AERO_WIRE_FIELD(struct aero_virtio_wire_packed_desc, id, 12, 2);
AERO_WIRE_FIELD(struct aero_virtio_wire_packed_desc, flags, 14, 2);

/*
 * Event suppression. The driver's area is [GUEST] and rules interrupts, the device's area is
 * [HOST] and rules notifications.
 */
struct aero_virtio_wire_packed_event {
	uint16_t off_wrap; /* le16 bits 0-14 position, bit 15 wrap bit; only with FLAG_DESC */
	uint16_t flags;	   /* le16 bits 0-1 AERO_VIRTIO_PACKED_EVENT_FLAG_*, the rest reserved */
};
AERO_WIRE_SIZE(struct aero_virtio_wire_packed_event, 4);
AERO_WIRE_FIELD(struct aero_virtio_wire_packed_event, off_wrap, 0, 2);
AERO_WIRE_FIELD(struct aero_virtio_wire_packed_event, flags, 2, 2);

#define AERO_VIRTIO_PACKED_EVENT_FLAG_ENABLE 0u	 /* RING_EVENT_FLAGS_ENABLE */
#define AERO_VIRTIO_PACKED_EVENT_FLAG_DISABLE 1u /* RING_EVENT_FLAGS_DISABLE */
#define AERO_VIRTIO_PACKED_EVENT_FLAG_DESC 2u	 /* RING_EVENT_FLAGS_DESC, needs EVENT_IDX */
#define AERO_VIRTIO_PACKED_EVENT_FLAG_MASK 3u
#define AERO_VIRTIO_PACKED_EVENT_OFF_MASK 0x7fffu
#define AERO_VIRTIO_PACKED_EVENT_WRAP 0x8000u

#define AERO_VIRTIO_PACKED_DESC_BYTES(n) ((size_t)16 * (n))

#endif
