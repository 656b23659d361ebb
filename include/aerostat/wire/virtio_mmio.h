/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_WIRE_VIRTIO_MMIO_H
#define AEROSTAT_WIRE_VIRTIO_MMIO_H

/*
 * virtio over memory mapped registers: version 2, and the legacy version 1.
 *
 * Every register is 32 bits wide, little-endian and accessed whole; configuration space behind them
 * is accessed in the width of its fields. Tags as in virtio.h: [GUEST] the driver writes, [HOST]
 * the device writes, [BOTH] the driver writes and the device answers in the same register.
 *
 * Source: VIRTIO 1.4, "Virtio Over MMIO" and its legacy interface.
 */

#define AERO_VIRTIO_MMIO_MAGIC 0x000u	  /* [HOST] MagicValue */
#define AERO_VIRTIO_MMIO_VERSION 0x004u	  /* [HOST] */
#define AERO_VIRTIO_MMIO_DEVICE_ID 0x008u /* [HOST] 0: a placeholder, no device */
#define AERO_VIRTIO_MMIO_VENDOR_ID 0x00cu /* [HOST] */

#define AERO_VIRTIO_MMIO_MAGIC_VALUE 0x74726976u /* "virt" */
#define AERO_VIRTIO_MMIO_VERSION_LEGACY 1u
#define AERO_VIRTIO_MMIO_VERSION_MODERN 2u

/* Bits 32 * selector and up; the legacy interface has selector 0 alone. */
#define AERO_VIRTIO_MMIO_DEVICE_FEATURES 0x010u	       /* [HOST] */
#define AERO_VIRTIO_MMIO_DEVICE_FEATURES_SELECT 0x014u /* [GUEST] DeviceFeaturesSel */
#define AERO_VIRTIO_MMIO_DRIVER_FEATURES 0x020u	       /* [GUEST] */
#define AERO_VIRTIO_MMIO_DRIVER_FEATURES_SELECT 0x024u /* [GUEST] DriverFeaturesSel */

/*
 * Registers of a queue are those of the queue selected.
 *
 *   1. write QueueSel                         4. write QueueSize
 *   2. read QueueReady (PFN): it is 0         5. write the addresses (QueueAlign, QueuePFN)
 *   3. read QueueSizeMax: 0 is no queue       6. write 1 to QueueReady
 */
#define AERO_VIRTIO_MMIO_QUEUE_SELECT 0x030u   /* [GUEST] QueueSel */
#define AERO_VIRTIO_MMIO_QUEUE_SIZE_MAX 0x034u /* [HOST] */
#define AERO_VIRTIO_MMIO_QUEUE_SIZE 0x038u     /* [GUEST] */
#define AERO_VIRTIO_MMIO_QUEUE_READY 0x044u    /* [BOTH] */
#define AERO_VIRTIO_MMIO_QUEUE_NOTIFY 0x050u   /* [GUEST] index of a queue */
#define AERO_VIRTIO_MMIO_QUEUE_DESC 0x080u     /* [GUEST] low half; the high half follows */
#define AERO_VIRTIO_MMIO_QUEUE_DRIVER 0x090u   /* [GUEST] likewise */
#define AERO_VIRTIO_MMIO_QUEUE_DEVICE 0x0a0u   /* [GUEST] likewise */

/* The legacy interface's own. */
#define AERO_VIRTIO_MMIO_GUEST_PAGE_SIZE 0x028u /* [GUEST] the unit of QueuePFN, in bytes */
#define AERO_VIRTIO_MMIO_QUEUE_ALIGN 0x03cu	/* [GUEST] of the used ring in its area */
#define AERO_VIRTIO_MMIO_QUEUE_PFN 0x040u	/* [BOTH] address of the area; 0: stop */

#define AERO_VIRTIO_MMIO_INTERRUPT_STATUS 0x060u /* [HOST] */
#define AERO_VIRTIO_MMIO_INTERRUPT_ACK 0x064u	 /* [GUEST] the bits that were handled */
#define AERO_VIRTIO_MMIO_INTERRUPT_QUEUE 0x1u
#define AERO_VIRTIO_MMIO_INTERRUPT_CONFIG 0x2u

#define AERO_VIRTIO_MMIO_STATUS 0x070u	   /* [BOTH] device status; 0 resets */
#define AERO_VIRTIO_MMIO_GENERATION 0x0fcu /* [HOST] ConfigGeneration, not legacy */
#define AERO_VIRTIO_MMIO_CONFIG 0x100u	   /* the device's configuration space */

#endif
