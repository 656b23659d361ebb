/* SPDX-License-Identifier: MIT */
#include "qtest_transport.h"

#include <string.h>

#include <aerostat/wire/virtio.h>

static const struct aero_virtio_transport *find_pci(struct qtest_transport *transport,
						    struct aero_qtest *qtest, bool is_legacy)
{
	static const uint16_t devices[] = { AERO_VIRTIO_PCI_BALLOON_MODERN,
					    AERO_VIRTIO_PCI_BALLOON_TRANSITIONAL };
	struct aero_virtio_pci_config config = {
		.function = &transport->qtest_pci.function,
		.is_legacy_wanted = is_legacy,
		.config_vector = AERO_VIRTIO_PCI_NO_VECTOR,
		.queue_vector = AERO_VIRTIO_PCI_NO_VECTOR,
	};

	if (aero_qtest_pci_open(&transport->qtest_pci, qtest, AERO_VIRTIO_PCI_VENDOR, devices, 2) !=
	    AERO_OK)
		return NULL;
	if (aero_virtio_pci_init(&transport->pci, &config) != AERO_OK ||
	    transport->pci.transport.is_legacy != is_legacy)
		return NULL;
	return &transport->pci.transport;
}

static const struct aero_virtio_transport *find_mmio(struct qtest_transport *transport,
						     struct aero_qtest *qtest)
{
	if (aero_qtest_mmio_open(&transport->qtest_mmio, qtest, AERO_VIRTIO_ID_BALLOON) !=
		    AERO_OK ||
	    aero_virtio_mmio_init(&transport->mmio, &transport->qtest_mmio.registers,
				  AERO_VIRTIO_ID_BALLOON) != AERO_OK)
		return NULL;
	return &transport->mmio.transport;
}

const struct aero_virtio_transport *qtest_transport_find(struct qtest_transport *transport,
							 struct aero_qtest *qtest, const char *name)
{
	if (!strcmp(name, "mmio"))
		return find_mmio(transport, qtest);
	return find_pci(transport, qtest, !strcmp(name, "pci-legacy"));
}
