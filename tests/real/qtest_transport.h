/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_REAL_QTEST_TRANSPORT_H
#define AEROSTAT_TESTS_REAL_QTEST_TRANSPORT_H

/* The balloon of a machine of QEMU behind its test protocol, as a transport. */

#include "hosted/qtest_device.h"

struct qtest_transport {
	struct aero_qtest_pci qtest_pci;
	struct aero_qtest_mmio qtest_mmio;
	struct aero_virtio_pci pci;
	struct aero_virtio_mmio mmio;
};

/* pci-modern, pci-legacy or mmio; NULL: there is no such device, or the connection has a story. */
const struct aero_virtio_transport *qtest_transport_find(struct qtest_transport *transport,
							 struct aero_qtest *qtest,
							 const char *name);

#endif
