/* SPDX-License-Identifier: MIT */
/* The interface of PCI devices before VERSION_1: ports behind BAR 0. */
#include "virtio_pci_internal.h"

#define REG(name) AERO_VIRTIO_PCI_LEGACY_##name

static uint64_t read_features(void *ctx)
{
	return aero_virtio_pci_get(ctx, REG(DEVICE_FEATURES), 4);
}

static void accept_features(void *ctx, uint64_t features)
{
	aero_virtio_pci_put32(ctx, REG(DRIVER_FEATURES), (uint32_t)features);
}

static uint32_t no_generation(void *ctx)
{
	(void)ctx;
	return 0;
}

static uint32_t read_queue_size(void *ctx, unsigned int index)
{
	aero_virtio_pci_put16(ctx, REG(QUEUE_SELECT), index);
	return aero_virtio_pci_get16(ctx, REG(QUEUE_SIZE));
}

static enum aero_status start_queue(void *ctx, unsigned int index,
				    const struct aero_virtio_ring *ring)
{
	struct aero_virtio_pci *pci = ctx;
	uint64_t pfn = ring->desc >> REG(PFN_SHIFT);

	if (ring->desc % REG(ALIGN) || !pfn || pfn > UINT32_MAX)
		return AERO_EINVAL;
	aero_virtio_pci_put16(pci, REG(QUEUE_SELECT), index);
	if (aero_virtio_pci_get16(pci, REG(QUEUE_SIZE)) != ring->size ||
	    aero_virtio_pci_get(pci, REG(QUEUE_PFN), 4))
		return AERO_EIO;
	aero_virtio_pci_put32(pci, REG(QUEUE_PFN), (uint32_t)pfn);
	if (!aero_virtio_pci_set_vectors(pci, REG(CONFIG_VECTOR), REG(QUEUE_VECTOR)))
		return AERO_EIO;
	return aero_virtio_pci_get(pci, REG(QUEUE_PFN), 4) == pfn ? AERO_OK : AERO_EIO;
}

static void notify(void *ctx, unsigned int index)
{
	aero_virtio_pci_put16(ctx, REG(QUEUE_NOTIFY), index);
}

static void set_window(struct aero_virtio_pci *pci, unsigned int type, uint32_t offset,
		       uint32_t len)
{
	pci->window[type] = (struct aero_virtio_pci_window){ offset, len, REG(BAR) };
}

enum aero_status aero_virtio_pci_init_legacy(struct aero_virtio_pci *pci)
{
	const struct aero_pci_function *function = pci->config.function;
	struct aero_virtio_transport *transport = &pci->transport;
	uint32_t config = pci->is_msix ? REG(CONFIG_MSIX) : REG(CONFIG);
	uint64_t bytes = function->bar_bytes(function->ctx, REG(BAR));

	if (bytes <= config || bytes > UINT32_MAX)
		return AERO_ENOTSUP;
	set_window(pci, AERO_VIRTIO_PCI_CAP_COMMON, 0, (uint32_t)bytes);
	set_window(pci, AERO_VIRTIO_PCI_CAP_ISR, REG(ISR), 1);
	set_window(pci, AERO_VIRTIO_PCI_CAP_DEVICE, config, (uint32_t)bytes - config);
	pci->status_register = REG(STATUS);
	transport->is_legacy = true;
	transport->ring_align = REG(ALIGN);
	transport->features = read_features;
	transport->accept = accept_features;
	transport->generation = no_generation;
	transport->queue_size = read_queue_size;
	transport->queue_start = start_queue;
	transport->notify = notify;
	return AERO_OK;
}
