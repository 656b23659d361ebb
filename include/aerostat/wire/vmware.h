/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_WIRE_VMWARE_H
#define AEROSTAT_WIRE_VMWARE_H

/*
 * VMware: the balloon of the backdoor.
 *
 * One 32-bit read of an I/O port is a call. Arguments and results are general registers in their
 * full native width, and one page of guest memory for commands that name many frames:
 *
 *	       on entry			     on return
 *	  AX   AERO_VMWARE_MAGIC	     status
 *	  BX   argument 1		     result: the target, where the command carries it
 *	  CX   command, low 16 bits	     START: capabilities granted; else clobbered
 *	  DX   AERO_VMWARE_PORT, low 16 bits clobbered
 *	  SI   argument 2		     clobbered
 *
 * Tags: [GUEST] the driver writes, [HOST] the hypervisor writes.
 *
 * Source: open-vm-tools, balloon_def.h; observed calls of Linux's driver.
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

#define AERO_VMWARE_MAGIC 0x456c6d6fu
#define AERO_VMWARE_PORT 0x5670u
#define AERO_VMWARE_REGISTER_MASK 0xffffu /* of DX and CX, only this counts */

/* The general backdoor, by which a guest finds out that it runs on VMware at all. */
#define AERO_VMWARE_GENERAL_MAGIC 0x564d5868u
#define AERO_VMWARE_GENERAL_PORT 0x5658u
#define AERO_VMWARE_GENERAL_CMD_GETVERSION 10u

/*
 * The registers of one call, zero-extended to 64 bits. They never lie in memory that both ends see;
 * this is what a bus hands from one to the other. di is not used by the balloon.
 */
struct aero_vmware_registers {
	uint64_t ax; /* [BOTH] */
	uint64_t bx; /* [BOTH] */
	uint64_t cx; /* [BOTH] */
	uint64_t dx; /* [GUEST] */
	uint64_t si; /* [GUEST] */
	uint64_t di; /* [GUEST] */
};

/* Commands: argument 1; argument 2. Those marked T carry the target when they succeed. */
#define AERO_VMWARE_CMD_START 0u	     /* capabilities wanted, 0 to leave; 0 */
#define AERO_VMWARE_CMD_GET_TARGET 1u	     /* T: frames the guest manages; 0 */
#define AERO_VMWARE_CMD_LOCK 2u		     /* T: frame number; 1 (Linux) or 0 (open-vm-tools) */
#define AERO_VMWARE_CMD_UNLOCK 3u	     /* T: the same */
#define AERO_VMWARE_CMD_GUEST_ID 4u	     /* AERO_VMWARE_GUEST_*; 0 */
#define AERO_VMWARE_CMD_UNUSED 5u	     /* never to be used again */
#define AERO_VMWARE_CMD_BATCHED_LOCK 6u	     /* T: frame number of the batch page; entries */
#define AERO_VMWARE_CMD_BATCHED_UNLOCK 7u    /* T: the same */
#define AERO_VMWARE_CMD_BATCHED_2M_LOCK 8u   /* T: the same, entries are blocks of 512 frames */
#define AERO_VMWARE_CMD_BATCHED_2M_UNLOCK 9u /* T: the same */
#define AERO_VMWARE_CMD_DOORBELL_SET 10u     /* VMCI context; VMCI resource; both ~0: none */
#define AERO_VMWARE_CMD_COUNT 11u

/* Capabilities, as masks. Bit 0 is never set: it told versions from masks. */
#define AERO_VMWARE_CAP_BASIC 0x02u	       /* BALLOON_BASIC_CMDS: LOCK, UNLOCK */
#define AERO_VMWARE_CAP_BATCHED 0x04u	       /* BALLOON_BATCHED_CMDS: commands 6, 7 */
#define AERO_VMWARE_CAP_BATCHED_2M 0x08u       /* BALLOON_BATCHED_2M_CMDS: commands 8, 9 */
#define AERO_VMWARE_CAP_SIGNALLED_WAKEUP 0x10u /* BALLOON_SIGNALLED_WAKEUP_CMD: command 10 */
#define AERO_VMWARE_CAP_64_BIT_TARGET 0x20u    /* BALLOON_64_BIT_TARGET */

/* Status. Whatever is neither of the two successes is a failure. */
#define AERO_VMWARE_SUCCESS 0u
#define AERO_VMWARE_FAILURE 0xffffffffu /* -1; the upper half of a wide register is not defined */
#define AERO_VMWARE_CMD_INVALID 1u	/* unknown or not available now */
#define AERO_VMWARE_PPN_INVALID 2u	/* the frame cannot be ballooned */
#define AERO_VMWARE_PPN_LOCKED 3u	/* it is in the balloon */
#define AERO_VMWARE_PPN_UNLOCKED 4u	/* it is not in the balloon */
#define AERO_VMWARE_PPN_PINNED 5u	/* the host cannot take it now */
#define AERO_VMWARE_PPN_NOTNEEDED 6u	/* the host has enough */
#define AERO_VMWARE_RESET 7u		/* the guest must start anew */
#define AERO_VMWARE_BUSY 8u		/* later */
#define AERO_VMWARE_SUCCESS_WITH_CAPABILITIES 0x03000000u /* of START only */

/* What GUEST_ID tells. */
#define AERO_VMWARE_GUEST_UNKNOWN 0u
#define AERO_VMWARE_GUEST_LINUX 1u
#define AERO_VMWARE_GUEST_BSD 2u
#define AERO_VMWARE_GUEST_WINDOWS_NT4 3u
#define AERO_VMWARE_GUEST_WINDOWS_NT5 4u
#define AERO_VMWARE_GUEST_SOLARIS 5u
#define AERO_VMWARE_GUEST_MACOS 6u
#define AERO_VMWARE_GUEST_FROBOS 7u

/* The id of no doorbell. A 64-bit guest passes 64 ones; the low 32 count. */
#define AERO_VMWARE_DOORBELL_NONE 0xffffffffu

/*
 * The batch page. An entry is a little-endian word: frame number from bit 12 on, 7 reserved bits,
 * 5 bits of status. The guest writes whole words with status 0; the host changes status bits only.
 *
 * Recipe of a batched command:
 *	1. [GUEST] write entries 0 to n - 1
 *	2. [GUEST] compiler barrier; the call is one instruction on the same processor
 *	3. [HOST]  read each entry once, write its status
 *	4. [GUEST] if AX is SUCCESS, read the status bits of entries 0 to n - 1, nothing else
 */
#define AERO_VMWARE_BATCH_ENTRIES 512u
#define AERO_VMWARE_BATCH_FRAME_SHIFT 12
#define AERO_VMWARE_BATCH_STATUS_MASK 0x1fu
#define AERO_VMWARE_BATCH_RESERVED_MASK 0xfe0u

struct aero_vmware_wire_batch {
	uint64_t entry[AERO_VMWARE_BATCH_ENTRIES]; /* [GUEST] le64, its status [HOST] */
};
AERO_WIRE_SIZE(struct aero_vmware_wire_batch, 4096);

#endif
