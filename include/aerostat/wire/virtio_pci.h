/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_WIRE_VIRTIO_PCI_H
#define AEROSTAT_WIRE_VIRTIO_PCI_H

/*
 * virtio over PCI: identity, capabilities, and the registers of both interfaces.
 *
 * Registers are accessed in their own width, never through a structure, so that they stand here as
 * offsets; all are little-endian. Tags as in virtio.h: [GUEST] the driver writes, [HOST] the device
 * writes, [BOTH] the driver writes and the device answers in the same register.
 *
 * Source: VIRTIO 1.4, "Virtio Over PCI Bus", "PCI-specific Initialization And Device Operation" and
 * their legacy parts.
 */

/* Identity ------------------------------------------------------------------------------------ */

#define AERO_VIRTIO_PCI_VENDOR 0x1af4u
#define AERO_VIRTIO_PCI_BALLOON_MODERN 0x1045u	     /* 0x1040 and the device id */
#define AERO_VIRTIO_PCI_BALLOON_TRANSITIONAL 0x1002u /* revision 0 */

/* Transitional devices, which have both interfaces; modern ones follow up to 0x107f. */
#define AERO_VIRTIO_PCI_DEVICE_FIRST 0x1000u
#define AERO_VIRTIO_PCI_DEVICE_MODERN 0x1040u
#define AERO_VIRTIO_PCI_DEVICE_LAST 0x107fu

/* What is read of the PCI configuration space. */
#define AERO_VIRTIO_PCI_CONFIG_VENDOR 0x00u	  /* 2 bytes */
#define AERO_VIRTIO_PCI_CONFIG_DEVICE 0x02u	  /* 2 bytes */
#define AERO_VIRTIO_PCI_CONFIG_STATUS 0x06u	  /* 2 bytes */
#define AERO_VIRTIO_PCI_CONFIG_REVISION 0x08u	  /* 1 byte */
#define AERO_VIRTIO_PCI_CONFIG_CAPABILITIES 0x34u /* 1 byte: offset of the first one */
#define AERO_VIRTIO_PCI_CONFIG_BYTES 256u

#define AERO_VIRTIO_PCI_STATUS_CAPABILITIES 0x0010u /* the list is there */
#define AERO_VIRTIO_PCI_CAPABILITY_FIRST 0x40u	    /* none lies below */

/* Capabilities --------------------------------------------------------------------------------
 *
 * struct virtio_pci_cap, [HOST]. A driver passes over those with a BAR above 5, of a type that it
 * does not know, or that are too short, and takes the first one of a type that it can use.
 */
#define AERO_VIRTIO_PCI_CAP_ID 0x09u /* PCI_CAP_ID_VNDR, in byte 0 */

#define AERO_VIRTIO_PCI_CAP_NEXT 1u    /* 1 byte: offset of the next one, 0: the last */
#define AERO_VIRTIO_PCI_CAP_LEN 2u     /* 1 byte: of this capability */
#define AERO_VIRTIO_PCI_CAP_TYPE 3u    /* 1 byte: cfg_type */
#define AERO_VIRTIO_PCI_CAP_BAR 4u     /* 1 byte */
#define AERO_VIRTIO_PCI_CAP_OFFSET 8u  /* 4 bytes */
#define AERO_VIRTIO_PCI_CAP_LENGTH 12u /* 4 bytes: of the structure in the BAR */
#define AERO_VIRTIO_PCI_CAP_BYTES 16u
#define AERO_VIRTIO_PCI_CAP_MULTIPLIER 16u /* 4 bytes: notify_off_multiplier, of NOTIFY alone */
#define AERO_VIRTIO_PCI_CAP_NOTIFY_BYTES 20u
#define AERO_VIRTIO_PCI_CAP_BAR_LAST 5u

#define AERO_VIRTIO_PCI_CAP_COMMON 1u /* VIRTIO_PCI_CAP_COMMON_CFG */
#define AERO_VIRTIO_PCI_CAP_NOTIFY 2u /* VIRTIO_PCI_CAP_NOTIFY_CFG */
#define AERO_VIRTIO_PCI_CAP_ISR 3u    /* VIRTIO_PCI_CAP_ISR_CFG */
#define AERO_VIRTIO_PCI_CAP_DEVICE 4u /* VIRTIO_PCI_CAP_DEVICE_CFG */
#define AERO_VIRTIO_PCI_CAP_PCI 5u    /* VIRTIO_PCI_CAP_PCI_CFG */

/* Common configuration ------------------------------------------------------------------------
 *
 * struct virtio_pci_common_cfg. Registers of a queue are those of the queue selected.
 *
 *   1. write queue_select                     4. write the three addresses, each as two halves
 *   2. read queue_size: 0 is no queue         5. write queue_msix_vector, read back
 *   3. write a smaller queue_size, if wanted  6. write 1 to queue_enable
 */
#define AERO_VIRTIO_PCI_COMMON_DEVICE_FEATURE_SELECT 0u /* 4 bytes [GUEST] */
#define AERO_VIRTIO_PCI_COMMON_DEVICE_FEATURE 4u	/* 4 bytes [HOST] */
#define AERO_VIRTIO_PCI_COMMON_DRIVER_FEATURE_SELECT 8u /* 4 bytes [GUEST] */
#define AERO_VIRTIO_PCI_COMMON_DRIVER_FEATURE 12u	/* 4 bytes [GUEST] */
#define AERO_VIRTIO_PCI_COMMON_CONFIG_VECTOR 16u	/* 2 bytes [BOTH] config_msix_vector */
#define AERO_VIRTIO_PCI_COMMON_NUM_QUEUES 18u		/* 2 bytes [HOST] */
#define AERO_VIRTIO_PCI_COMMON_STATUS 20u		/* 1 byte [BOTH] device_status */
#define AERO_VIRTIO_PCI_COMMON_GENERATION 21u		/* 1 byte [HOST] config_generation */
#define AERO_VIRTIO_PCI_COMMON_QUEUE_SELECT 22u		/* 2 bytes [GUEST] */
#define AERO_VIRTIO_PCI_COMMON_QUEUE_SIZE 24u		/* 2 bytes [BOTH] */
#define AERO_VIRTIO_PCI_COMMON_QUEUE_VECTOR 26u		/* 2 bytes [BOTH] queue_msix_vector */
#define AERO_VIRTIO_PCI_COMMON_QUEUE_ENABLE 28u		/* 2 bytes [BOTH] never written with 0 */
#define AERO_VIRTIO_PCI_COMMON_QUEUE_NOTIFY_OFF 30u	/* 2 bytes [HOST] */
#define AERO_VIRTIO_PCI_COMMON_QUEUE_DESC 32u		/* 8 bytes [GUEST] */
#define AERO_VIRTIO_PCI_COMMON_QUEUE_DRIVER 40u		/* 8 bytes [GUEST] */
#define AERO_VIRTIO_PCI_COMMON_QUEUE_DEVICE 48u		/* 8 bytes [GUEST] */
#define AERO_VIRTIO_PCI_COMMON_BYTES 56u		/* what VIRTIO 1.0 has; later ones grow */

/* No vector, and what a device answers that has none left. VIRTIO_MSI_NO_VECTOR. */
#define AERO_VIRTIO_PCI_NO_VECTOR 0xffffu

/* Interrupt status, 1 byte [HOST]; reading clears it. Not used with MSI-X. */
#define AERO_VIRTIO_PCI_ISR_QUEUE 0x01u
#define AERO_VIRTIO_PCI_ISR_CONFIG 0x02u

/* The legacy interface -------------------------------------------------------------------------
 *
 * BAR 0, ports. Feature bits 0 to 31 only; no FEATURES_OK, no generation; a ring is one area of the
 * size that the device says.
 */
#define AERO_VIRTIO_PCI_LEGACY_BAR 0u
#define AERO_VIRTIO_PCI_LEGACY_DEVICE_FEATURES 0u /* 4 bytes [HOST] */
#define AERO_VIRTIO_PCI_LEGACY_DRIVER_FEATURES 4u /* 4 bytes [GUEST] */
#define AERO_VIRTIO_PCI_LEGACY_QUEUE_PFN 8u	  /* 4 bytes [BOTH] address of the area / 4096 */
#define AERO_VIRTIO_PCI_LEGACY_QUEUE_SIZE 12u	  /* 2 bytes [HOST] */
#define AERO_VIRTIO_PCI_LEGACY_QUEUE_SELECT 14u	  /* 2 bytes [GUEST] */
#define AERO_VIRTIO_PCI_LEGACY_QUEUE_NOTIFY 16u	  /* 2 bytes [GUEST] */
#define AERO_VIRTIO_PCI_LEGACY_STATUS 18u	  /* 1 byte [BOTH] */
#define AERO_VIRTIO_PCI_LEGACY_ISR 19u		  /* 1 byte [HOST] */
/* Only while MSI-X is enabled; the device's configuration space follows, or starts here. */
#define AERO_VIRTIO_PCI_LEGACY_CONFIG_VECTOR 20u /* 2 bytes [BOTH] */
#define AERO_VIRTIO_PCI_LEGACY_QUEUE_VECTOR 22u	 /* 2 bytes [BOTH] */
#define AERO_VIRTIO_PCI_LEGACY_CONFIG 20u
#define AERO_VIRTIO_PCI_LEGACY_CONFIG_MSIX 24u
#define AERO_VIRTIO_PCI_LEGACY_PFN_SHIFT 12
#define AERO_VIRTIO_PCI_LEGACY_ALIGN 4096u /* of the used ring in its area */

#endif
