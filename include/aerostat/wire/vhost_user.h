/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_WIRE_VHOST_USER_H
#define AEROSTAT_WIRE_VHOST_USER_H

/*
 * vhost-user: a VMM (the front end) hands a virtio device to another process (the back end) over a
 * UNIX stream socket, file descriptors in the ancillary data.
 *
 * Every number is in the byte order of the machine, because both ends run on it. A message is a
 * header of 12 bytes and a payload; the payload is therefore not aligned to 8 bytes in the stream
 * and is copied before use. Tags name the writer: [GUEST] is the front end, which acts for the
 * guest, [HOST] is the back end, [BOTH] either.
 *
 * Source: the vhost-user protocol document, edition with messages 1-44 and back-end messages 1-10.
 * Feature words have 64 bits there; nothing carries virtio feature bits 64 to 127.
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

/* Header -------------------------------------------------------------------------------------- */

struct aero_vhost_user_wire_header {
	uint32_t request; /* [BOTH] AERO_VHOST_USER_* or AERO_VHOST_USER_BACKEND_*; echoed */
	uint32_t flags;	  /* [BOTH] AERO_VHOST_USER_FLAG_* */
	uint32_t size;	  /* [BOTH] bytes of payload that follow */
};
AERO_WIRE_SIZE(struct aero_vhost_user_wire_header, 12);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_header, request, 0, 4);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_header, flags, 4, 4);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_header, size, 8, 4);

#define AERO_VHOST_USER_VERSION 1u
#define AERO_VHOST_USER_FLAG_VERSION_MASK 0x3u
#define AERO_VHOST_USER_FLAG_REPLY 0x4u
#define AERO_VHOST_USER_FLAG_NEED_REPLY 0x8u /* only with PROTOCOL_F_REPLY_ACK */

/* Feature bits -------------------------------------------------------------------------------- */

/* In the virtio feature word, at two places that virtio leaves unused. */
#define AERO_VHOST_F_LOG_ALL 26
#define AERO_VHOST_USER_F_PROTOCOL_FEATURES 30

/* Protocol feature bits, VHOST_USER_PROTOCOL_F_... */
#define AERO_VHOST_USER_PROTOCOL_F_MQ 0
#define AERO_VHOST_USER_PROTOCOL_F_LOG_SHMFD 1
#define AERO_VHOST_USER_PROTOCOL_F_RARP 2
#define AERO_VHOST_USER_PROTOCOL_F_REPLY_ACK 3
#define AERO_VHOST_USER_PROTOCOL_F_MTU 4
#define AERO_VHOST_USER_PROTOCOL_F_BACKEND_REQ 5 /* formerly SLAVE_REQ */
#define AERO_VHOST_USER_PROTOCOL_F_CROSS_ENDIAN 6
#define AERO_VHOST_USER_PROTOCOL_F_CRYPTO_SESSION 7
#define AERO_VHOST_USER_PROTOCOL_F_PAGEFAULT 8
#define AERO_VHOST_USER_PROTOCOL_F_CONFIG 9
#define AERO_VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD 10 /* formerly SLAVE_SEND_FD */
#define AERO_VHOST_USER_PROTOCOL_F_HOST_NOTIFIER 11
#define AERO_VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD 12
#define AERO_VHOST_USER_PROTOCOL_F_RESET_DEVICE 13
#define AERO_VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS 14
#define AERO_VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS 15
#define AERO_VHOST_USER_PROTOCOL_F_STATUS 16
#define AERO_VHOST_USER_PROTOCOL_F_XEN_MMAP 17
#define AERO_VHOST_USER_PROTOCOL_F_SHARED_OBJECT 18
#define AERO_VHOST_USER_PROTOCOL_F_DEVICE_STATE 19
#define AERO_VHOST_USER_PROTOCOL_F_SHMEM 20
#define AERO_VHOST_USER_PROTOCOL_F_COUNT 21

/* Messages of the front end, VHOST_USER_... --------------------------------------------------- */

#define AERO_VHOST_USER_GET_FEATURES 1
#define AERO_VHOST_USER_SET_FEATURES 2
#define AERO_VHOST_USER_SET_OWNER 3
#define AERO_VHOST_USER_RESET_OWNER 4
#define AERO_VHOST_USER_SET_MEM_TABLE 5
#define AERO_VHOST_USER_SET_LOG_BASE 6
#define AERO_VHOST_USER_SET_LOG_FD 7
#define AERO_VHOST_USER_SET_VRING_NUM 8
#define AERO_VHOST_USER_SET_VRING_ADDR 9
#define AERO_VHOST_USER_SET_VRING_BASE 10
#define AERO_VHOST_USER_GET_VRING_BASE 11
#define AERO_VHOST_USER_SET_VRING_KICK 12
#define AERO_VHOST_USER_SET_VRING_CALL 13
#define AERO_VHOST_USER_SET_VRING_ERR 14
#define AERO_VHOST_USER_GET_PROTOCOL_FEATURES 15
#define AERO_VHOST_USER_SET_PROTOCOL_FEATURES 16
#define AERO_VHOST_USER_GET_QUEUE_NUM 17
#define AERO_VHOST_USER_SET_VRING_ENABLE 18
#define AERO_VHOST_USER_SEND_RARP 19
#define AERO_VHOST_USER_NET_SET_MTU 20
#define AERO_VHOST_USER_SET_BACKEND_REQ_FD 21 /* formerly SET_SLAVE_REQ_FD */
#define AERO_VHOST_USER_IOTLB_MSG 22
#define AERO_VHOST_USER_SET_VRING_ENDIAN 23
#define AERO_VHOST_USER_GET_CONFIG 24
#define AERO_VHOST_USER_SET_CONFIG 25
#define AERO_VHOST_USER_CREATE_CRYPTO_SESSION 26
#define AERO_VHOST_USER_CLOSE_CRYPTO_SESSION 27
#define AERO_VHOST_USER_POSTCOPY_ADVISE 28
#define AERO_VHOST_USER_POSTCOPY_LISTEN 29
#define AERO_VHOST_USER_POSTCOPY_END 30
#define AERO_VHOST_USER_GET_INFLIGHT_FD 31
#define AERO_VHOST_USER_SET_INFLIGHT_FD 32
#define AERO_VHOST_USER_GPU_SET_SOCKET 33
#define AERO_VHOST_USER_RESET_DEVICE 34
#define AERO_VHOST_USER_VRING_KICK 35
#define AERO_VHOST_USER_GET_MAX_MEM_SLOTS 36
#define AERO_VHOST_USER_ADD_MEM_REG 37
#define AERO_VHOST_USER_REM_MEM_REG 38
#define AERO_VHOST_USER_SET_STATUS 39
#define AERO_VHOST_USER_GET_STATUS 40
#define AERO_VHOST_USER_GET_SHARED_OBJECT 41
#define AERO_VHOST_USER_SET_DEVICE_STATE_FD 42
#define AERO_VHOST_USER_CHECK_DEVICE_STATE 43
#define AERO_VHOST_USER_GET_SHMEM_CONFIG 44
#define AERO_VHOST_USER_REQUEST_LIMIT 45

/* Messages of the back end, on the channel of SET_BACKEND_REQ_FD, VHOST_USER_BACKEND_... ------ */

#define AERO_VHOST_USER_BACKEND_IOTLB_MSG 1
#define AERO_VHOST_USER_BACKEND_CONFIG_CHANGE_MSG 2
#define AERO_VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG 3
#define AERO_VHOST_USER_BACKEND_VRING_CALL 4
#define AERO_VHOST_USER_BACKEND_VRING_ERR 5
#define AERO_VHOST_USER_BACKEND_SHARED_OBJECT_ADD 6
#define AERO_VHOST_USER_BACKEND_SHARED_OBJECT_REMOVE 7
#define AERO_VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP 8
#define AERO_VHOST_USER_BACKEND_SHMEM_MAP 9
#define AERO_VHOST_USER_BACKEND_SHMEM_UNMAP 10
#define AERO_VHOST_USER_BACKEND_REQUEST_LIMIT 11

/* Payloads ------------------------------------------------------------------------------------
 *
 * Besides these, many messages carry one bare uint64_t. The session of the crypto device (26, 27)
 * is left out: nothing here speaks of it.
 */

/* A number for a ring: SET_VRING_NUM, _BASE, _ENABLE, _ENDIAN, GET_VRING_BASE, VRING_KICK. */
struct aero_vhost_user_wire_vring_state {
	uint32_t index; /* [BOTH] ring */
	uint32_t num;	/* [BOTH] size, position or flag, by message */
};
AERO_WIRE_SIZE(struct aero_vhost_user_wire_vring_state, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_vring_state, index, 0, 4);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_vring_state, num, 4, 4);

/* num of SET_VRING_BASE and GET_VRING_BASE: a split ring uses bits 0-15, a packed ring all. */
#define AERO_VHOST_USER_BASE_SPLIT_MASK 0xffffu
#define AERO_VHOST_USER_BASE_PACKED_AVAIL_MASK 0x7fffu
#define AERO_VHOST_USER_BASE_PACKED_AVAIL_WRAP 0x8000u
#define AERO_VHOST_USER_BASE_PACKED_USED_SHIFT 16
#define AERO_VHOST_USER_BASE_PACKED_USED_WRAP 0x80000000u

/* SET_VRING_ADDR. Addresses are the front end's own (user addresses), not guest-physical. */
struct aero_vhost_user_wire_vring_addr {
	uint32_t index; /* [GUEST] ring */
	uint32_t flags; /* [GUEST] AERO_VHOST_USER_VRING_F_LOG */
	uint64_t desc;	/* [GUEST] descriptor table, or the packed ring */
	uint64_t used;	/* [GUEST] used ring, or the device event suppression area */
	uint64_t avail; /* [GUEST] available ring, or the driver event suppression area */
	uint64_t log;	/* [GUEST] guest address for logging writes to the used ring */
};
AERO_WIRE_SIZE(struct aero_vhost_user_wire_vring_addr, 40);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_vring_addr, index, 0, 4);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_vring_addr, flags, 4, 4);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_vring_addr, desc, 8, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_vring_addr, used, 16, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_vring_addr, avail, 24, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_vring_addr, log, 32, 8);

#define AERO_VHOST_USER_VRING_F_LOG 0x1u

/* The uint64_t of SET_VRING_KICK, _CALL, _ERR. */
#define AERO_VHOST_USER_VRING_INDEX_MASK 0xffu
#define AERO_VHOST_USER_VRING_NOFD 0x100u /* no descriptor comes along: poll */

struct aero_vhost_user_wire_region {
	uint64_t gpa;	      /* [GUEST] guest-physical address */
	uint64_t size;	      /* [GUEST] bytes */
	uint64_t uva;	      /* [GUEST] the front end's own address */
	uint64_t mmap_offset; /* [GUEST] where the region starts in its file */
};
AERO_WIRE_SIZE(struct aero_vhost_user_wire_region, 32);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_region, gpa, 0, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_region, size, 8, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_region, uva, 16, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_region, mmap_offset, 24, 8);

/* SET_MEM_TABLE; nregions regions follow, and as many descriptors in the same order. */
struct aero_vhost_user_wire_mem_table {
	uint32_t nregions; /* [GUEST] */
	uint32_t reserved; /* [GUEST] padding, any value */
};
AERO_WIRE_SIZE(struct aero_vhost_user_wire_mem_table, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_mem_table, nregions, 0, 4);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_mem_table, reserved, 4, 4);

#define AERO_VHOST_USER_MEM_TABLE_REGIONS_MAX 8
#define AERO_VHOST_USER_FDS_MAX 8

/* ADD_MEM_REG, REM_MEM_REG. */
struct aero_vhost_user_wire_mem_reg {
	uint64_t reserved;			   /* [GUEST] padding, any value */
	struct aero_vhost_user_wire_region region; /* [GUEST] */
};
AERO_WIRE_SIZE(struct aero_vhost_user_wire_mem_reg, 40);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_mem_reg, reserved, 0, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_mem_reg, region, 8, 32);

/* What follows each region when PROTOCOL_F_XEN_MMAP is negotiated. */
struct aero_vhost_user_wire_region_xen {
	uint32_t mmap_flags; /* [GUEST] bit 0 foreign, bit 1 grant, bit 8 no advance mapping */
	uint32_t domid;	     /* [GUEST] */
};
AERO_WIRE_SIZE(struct aero_vhost_user_wire_region_xen, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_region_xen, mmap_flags, 0, 4);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_region_xen, domid, 4, 4);

/* SET_LOG_BASE with PROTOCOL_F_LOG_SHMFD; without it the payload is a bare uint64_t. */
struct aero_vhost_user_wire_log {
	uint64_t mmap_size;   /* [GUEST] */
	uint64_t mmap_offset; /* [GUEST] */
};
AERO_WIRE_SIZE(struct aero_vhost_user_wire_log, 16);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_log, mmap_size, 0, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_log, mmap_offset, 8, 8);

/* IOTLB_MSG of either end. */
struct aero_vhost_user_wire_iotlb {
	uint64_t iova;	     /* [BOTH] */
	uint64_t size;	     /* [BOTH] */
	uint64_t uaddr;	     /* [BOTH] */
	uint8_t perm;	     /* [BOTH] bit 0 read, bit 1 write */
	uint8_t type;	     /* [BOTH] 1 miss, 2 update, 3 invalidate, 4 access fail */
	uint8_t reserved[6]; /* padding */
};
AERO_WIRE_SIZE(struct aero_vhost_user_wire_iotlb, 32);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_iotlb, iova, 0, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_iotlb, size, 8, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_iotlb, uaddr, 16, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_iotlb, perm, 24, 1);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_iotlb, type, 25, 1);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_iotlb, reserved, 26, 6);

/* GET_CONFIG and SET_CONFIG; size bytes of configuration space follow. */
struct aero_vhost_user_wire_config {
	uint32_t offset; /* [GUEST] */
	uint32_t size;	 /* [BOTH] a reply to GET_CONFIG repeats it */
	uint32_t flags;	 /* [GUEST] AERO_VHOST_USER_CONFIG_F_* */
};
AERO_WIRE_SIZE(struct aero_vhost_user_wire_config, 12);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_config, offset, 0, 4);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_config, size, 4, 4);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_config, flags, 8, 4);

#define AERO_VHOST_USER_CONFIG_F_WRITABLE 0u  /* the guest wrote */
#define AERO_VHOST_USER_CONFIG_F_MIGRATION 1u /* restored by migration: read-only fields too */
#define AERO_VHOST_USER_CONFIG_BYTES_MAX 256

/* BACKEND_VRING_HOST_NOTIFIER_MSG. */
struct aero_vhost_user_wire_vring_area {
	uint64_t index_flags; /* [HOST] bits 0-7 ring, bit 8 no descriptor */
	uint64_t size;	      /* [HOST] */
	uint64_t offset;      /* [HOST] */
};
AERO_WIRE_SIZE(struct aero_vhost_user_wire_vring_area, 24);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_vring_area, index_flags, 0, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_vring_area, size, 8, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_vring_area, offset, 16, 8);

/*
 * GET_INFLIGHT_FD, SET_INFLIGHT_FD. Front ends send the structure of their compiler, so 24 bytes
 * with the tail padding or 20 without.
 */
struct aero_vhost_user_wire_inflight {
	uint64_t mmap_size;   /* [BOTH] */
	uint64_t mmap_offset; /* [BOTH] */
	uint16_t num_queues;  /* [GUEST] */
	uint16_t queue_size;  /* [GUEST] */
	uint32_t reserved;    /* tail padding */
};
AERO_WIRE_SIZE(struct aero_vhost_user_wire_inflight, 24);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_inflight, mmap_size, 0, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_inflight, mmap_offset, 8, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_inflight, num_queues, 16, 2);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_inflight, queue_size, 18, 2);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_inflight, reserved, 20, 4);

/* GET_SHARED_OBJECT, BACKEND_SHARED_OBJECT_*. */
struct aero_vhost_user_wire_shared {
	uint8_t uuid[16]; /* [BOTH] first three components big-endian */
};
AERO_WIRE_SIZE(struct aero_vhost_user_wire_shared, 16);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_shared, uuid, 0, 16);

/* SET_DEVICE_STATE_FD; the reply is a uint64_t: bits 0-7 error, bit 8 no descriptor. */
struct aero_vhost_user_wire_device_state {
	uint32_t direction; /* [GUEST] 0 save, 1 load */
	uint32_t phase;	    /* [GUEST] 0 stopped */
};
AERO_WIRE_SIZE(struct aero_vhost_user_wire_device_state, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_device_state, direction, 0, 4);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_device_state, phase, 4, 4);

#define AERO_VHOST_USER_STATE_SAVE 0u
#define AERO_VHOST_USER_STATE_LOAD 1u
#define AERO_VHOST_USER_STATE_PHASE_STOPPED 0u

/* BACKEND_SHMEM_MAP, BACKEND_SHMEM_UNMAP. */
struct aero_vhost_user_wire_mmap {
	uint8_t shmid;	     /* [HOST] */
	uint8_t reserved[7]; /* padding */
	uint64_t fd_offset;  /* [HOST] */
	uint64_t shm_offset; /* [HOST] */
	uint64_t len;	     /* [HOST] */
	uint64_t flags;	     /* [HOST] bit 0 read-write */
};
AERO_WIRE_SIZE(struct aero_vhost_user_wire_mmap, 40);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_mmap, shmid, 0, 1);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_mmap, reserved, 1, 7);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_mmap, fd_offset, 8, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_mmap, shm_offset, 16, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_mmap, len, 24, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_mmap, flags, 32, 8);

/* Reply to GET_SHMEM_CONFIG; 256 uint64_t sizes follow, one for each shared memory id. */
struct aero_vhost_user_wire_shmem_config {
	uint32_t nregions; /* [HOST] */
	uint32_t reserved; /* [HOST] padding, 0 */
};
AERO_WIRE_SIZE(struct aero_vhost_user_wire_shmem_config, 8);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_shmem_config, nregions, 0, 4);
AERO_WIRE_FIELD(struct aero_vhost_user_wire_shmem_config, reserved, 4, 4);

#endif
