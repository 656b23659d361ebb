/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <aerostat/wire/virtio_mmio.h>
#include <aerostat/wire/virtio_pci.h>

/*
 * Registers and capabilities written by hand, byte by byte, from the virtio specification, looked
 * at through our offsets.
 */

static uint64_t le(const uint8_t *at, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

#define CAP(name) AERO_VIRTIO_PCI_CAP_##name
#define COMMON(name) AERO_VIRTIO_PCI_COMMON_##name
#define LEGACY(name) AERO_VIRTIO_PCI_LEGACY_##name
#define MMIO(name) AERO_VIRTIO_MMIO_##name

static void test_pci_identity_bytes(void **state)
{
	/* A transitional balloon: vendor, device, command, status, revision 0, class 00ff00. */
	static const uint8_t header[] = { 0xf4, 0x1a, 0x02, 0x10, 0x07, 0x01,
					  0x10, 0x00, 0x00, 0x00, 0xff, 0x00 };

	(void)state;
	assert_int_equal(le(header + AERO_VIRTIO_PCI_CONFIG_VENDOR, 2), AERO_VIRTIO_PCI_VENDOR);
	assert_int_equal(le(header + AERO_VIRTIO_PCI_CONFIG_DEVICE, 2),
			 AERO_VIRTIO_PCI_BALLOON_TRANSITIONAL);
	assert_int_equal(le(header + AERO_VIRTIO_PCI_CONFIG_STATUS, 2),
			 AERO_VIRTIO_PCI_STATUS_CAPABILITIES);
	assert_int_equal(le(header + AERO_VIRTIO_PCI_CONFIG_REVISION, 1), 0);
	assert_int_equal(AERO_VIRTIO_PCI_BALLOON_MODERN, 0x1040 + 5);
	assert_int_equal(AERO_VIRTIO_PCI_CONFIG_CAPABILITIES, 0x34);
	assert_int_equal(AERO_VIRTIO_PCI_CAPABILITY_FIRST, 0x40);
}

static void test_pci_notify_capability_bytes(void **state)
{
	/* Vendor-specific, next at 0x40, 20 bytes, notify, BAR 4, id 0, offset 0x3000, length
	 * 0x1000, multiplier 4 */
	static const uint8_t bytes[] = {
		0x09, 0x40, 0x14, 0x02, 0x04, 0x00, 0x00, 0x00, 0x00, 0x30,
		0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00
	};

	(void)state;
	assert_int_equal(CAP(NOTIFY_BYTES), sizeof(bytes));
	assert_int_equal(CAP(BYTES), sizeof(bytes) - 4);
	assert_int_equal(bytes[0], CAP(ID));
	assert_int_equal(bytes[CAP(NEXT)], 0x40);
	assert_int_equal(bytes[CAP(LEN)], 20);
	assert_int_equal(bytes[CAP(TYPE)], CAP(NOTIFY));
	assert_int_equal(bytes[CAP(BAR)], 4);
	assert_int_equal(le(bytes + CAP(OFFSET), 4), 0x3000);
	assert_int_equal(le(bytes + CAP(LENGTH), 4), 0x1000);
	assert_int_equal(le(bytes + CAP(MULTIPLIER), 4), 4);
}

static void test_pci_capability_types(void **state)
{
	(void)state;
	assert_int_equal(CAP(COMMON), 1);
	assert_int_equal(CAP(NOTIFY), 2);
	assert_int_equal(CAP(ISR), 3);
	assert_int_equal(CAP(DEVICE), 4);
	assert_int_equal(CAP(PCI), 5);
	assert_int_equal(CAP(BAR_LAST), 5);
}

static void test_pci_common_configuration_bytes(void **state)
{
	static const uint8_t bytes[] = {
		0x01, 0x00, 0x00, 0x00, /* device_feature_select 1 */
		0x0d, 0x00, 0x00, 0x00, /* device_feature: bits 32, 34, 35 */
		0x00, 0x00, 0x00, 0x00, /* driver_feature_select 0 */
		0x3f, 0x00, 0x00, 0x30, /* driver_feature */
		0x00, 0x00,		/* config_msix_vector 0 */
		0x05, 0x00,		/* num_queues */
		0x0f,			/* device_status */
		0x2a,			/* config_generation */
		0x03, 0x00,		/* queue_select */
		0x80, 0x00,		/* queue_size 128 */
		0xff, 0xff,		/* queue_msix_vector: none */
		0x01, 0x00,		/* queue_enable */
		0x07, 0x00,		/* queue_notify_off */
		0x00, 0x60, 0x45, 0x23, 0x01, 0x00, 0x00, 0x00, /* queue_desc */
		0x00, 0x68, 0x45, 0x23, 0x01, 0x00, 0x00, 0x00, /* queue_driver */
		0x00, 0x70, 0x45, 0x23, 0x01, 0x00, 0x00, 0x00, /* queue_device */
	};

	(void)state;
	assert_int_equal(sizeof(bytes), COMMON(BYTES));
	assert_int_equal(le(bytes + COMMON(DEVICE_FEATURE_SELECT), 4), 1);
	assert_int_equal(le(bytes + COMMON(DEVICE_FEATURE), 4), 0xd);
	assert_int_equal(le(bytes + COMMON(DRIVER_FEATURE_SELECT), 4), 0);
	assert_int_equal(le(bytes + COMMON(DRIVER_FEATURE), 4), 0x3000003f);
	assert_int_equal(le(bytes + COMMON(CONFIG_VECTOR), 2), 0);
	assert_int_equal(le(bytes + COMMON(NUM_QUEUES), 2), 5);
	assert_int_equal(bytes[COMMON(STATUS)], 0x0f);
	assert_int_equal(bytes[COMMON(GENERATION)], 0x2a);
	assert_int_equal(le(bytes + COMMON(QUEUE_SELECT), 2), 3);
	assert_int_equal(le(bytes + COMMON(QUEUE_SIZE), 2), 128);
	assert_int_equal(le(bytes + COMMON(QUEUE_VECTOR), 2), AERO_VIRTIO_PCI_NO_VECTOR);
	assert_int_equal(le(bytes + COMMON(QUEUE_ENABLE), 2), 1);
	assert_int_equal(le(bytes + COMMON(QUEUE_NOTIFY_OFF), 2), 7);
	assert_int_equal(le(bytes + COMMON(QUEUE_DESC), 8), 0x123456000);
	assert_int_equal(le(bytes + COMMON(QUEUE_DRIVER), 8), 0x123456800);
	assert_int_equal(le(bytes + COMMON(QUEUE_DEVICE), 8), 0x123457000);
}

static void test_pci_legacy_registers_bytes(void **state)
{
	static const uint8_t bytes[] = {
		0x3f, 0x00, 0x00, 0x30, /* device features */
		0x02, 0x00, 0x00, 0x10, /* guest features */
		0x56, 0x34, 0x12, 0x00, /* queue address */
		0x80, 0x00,		/* queue size */
		0x01, 0x00,		/* queue select */
		0x02, 0x00,		/* queue notify */
		0x07,			/* status */
		0x03,			/* ISR */
		0x00, 0x00,		/* configuration vector, with MSI-X */
		0x01, 0x00,		/* queue vector */
		0x99,			/* configuration space */
	};

	(void)state;
	assert_int_equal(le(bytes + LEGACY(DEVICE_FEATURES), 4), 0x3000003f);
	assert_int_equal(le(bytes + LEGACY(DRIVER_FEATURES), 4), 0x10000002);
	assert_int_equal(le(bytes + LEGACY(QUEUE_PFN), 4), 0x123456);
	assert_int_equal(le(bytes + LEGACY(QUEUE_SIZE), 2), 128);
	assert_int_equal(le(bytes + LEGACY(QUEUE_SELECT), 2), 1);
	assert_int_equal(le(bytes + LEGACY(QUEUE_NOTIFY), 2), 2);
	assert_int_equal(bytes[LEGACY(STATUS)], 7);
	assert_int_equal(bytes[LEGACY(ISR)],
			 AERO_VIRTIO_PCI_ISR_QUEUE | AERO_VIRTIO_PCI_ISR_CONFIG);
	assert_int_equal(le(bytes + LEGACY(CONFIG_VECTOR), 2), 0);
	assert_int_equal(le(bytes + LEGACY(QUEUE_VECTOR), 2), 1);
	assert_int_equal(bytes[LEGACY(CONFIG_MSIX)], 0x99);
	assert_int_equal(LEGACY(CONFIG), LEGACY(CONFIG_VECTOR));
	assert_int_equal(LEGACY(ALIGN), 1 << LEGACY(PFN_SHIFT));
}

static void test_mmio_identity_bytes(void **state)
{
	/* Magic "virt", version 2, a balloon of vendor "QEMU". */
	static const uint8_t bytes[] = { 'v',  'i',  'r',  't',	 0x02, 0x00, 0x00, 0x00,
					 0x05, 0x00, 0x00, 0x00, 'Q',  'E',  'M',  'U' };

	(void)state;
	assert_int_equal(le(bytes + MMIO(MAGIC), 4), MMIO(MAGIC_VALUE));
	assert_int_equal(le(bytes + MMIO(VERSION), 4), MMIO(VERSION_MODERN));
	assert_int_equal(le(bytes + MMIO(DEVICE_ID), 4), 5);
	assert_int_equal(le(bytes + MMIO(VENDOR_ID), 4), 0x554d4551);
	assert_int_equal(MMIO(VERSION_LEGACY), 1);
}

static void test_mmio_register_offsets(void **state)
{
	/* In the order of the specification's table. */
	static const uint32_t ours[] = {
		MMIO(DEVICE_FEATURES),	MMIO(DEVICE_FEATURES_SELECT),
		MMIO(DRIVER_FEATURES),	MMIO(DRIVER_FEATURES_SELECT),
		MMIO(GUEST_PAGE_SIZE),	MMIO(QUEUE_SELECT),
		MMIO(QUEUE_SIZE_MAX),	MMIO(QUEUE_SIZE),
		MMIO(QUEUE_ALIGN),	MMIO(QUEUE_PFN),
		MMIO(QUEUE_READY),	MMIO(QUEUE_NOTIFY),
		MMIO(INTERRUPT_STATUS), MMIO(INTERRUPT_ACK),
		MMIO(STATUS),		MMIO(QUEUE_DESC),
		MMIO(QUEUE_DRIVER),	MMIO(QUEUE_DEVICE),
		MMIO(GENERATION),	MMIO(CONFIG),
	};
	static const uint32_t table[] = { 0x010, 0x014, 0x020, 0x024, 0x028, 0x030, 0x034,
					  0x038, 0x03c, 0x040, 0x044, 0x050, 0x060, 0x064,
					  0x070, 0x080, 0x090, 0x0a0, 0x0fc, 0x100 };

	(void)state;
	assert_int_equal(sizeof(ours), sizeof(table));
	for (size_t i = 0; i < TEST_ARRAY_SIZE(table); i++)
		assert_int_equal(ours[i], table[i]);
	assert_int_equal(MMIO(INTERRUPT_QUEUE), 1);
	assert_int_equal(MMIO(INTERRUPT_CONFIG), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pci_identity_bytes),
		cmocka_unit_test(test_pci_notify_capability_bytes),
		cmocka_unit_test(test_pci_capability_types),
		cmocka_unit_test(test_pci_common_configuration_bytes),
		cmocka_unit_test(test_pci_legacy_registers_bytes),
		cmocka_unit_test(test_mmio_identity_bytes),
		cmocka_unit_test(test_mmio_register_offsets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
