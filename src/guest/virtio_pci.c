/* SPDX-License-Identifier: MIT */
/* virtio over PCI: capabilities, the modern interface, and what both share. */
#include "virtio_pci_internal.h"

#include "../core/platform.h"

#define COMMON(name) AERO_VIRTIO_PCI_COMMON_##name
#define CAP(name) AERO_VIRTIO_PCI_CAP_##name
#define PCI(name) AERO_VIRTIO_PCI_CONFIG_##name

/* As many as have room. */
#define CAPABILITIES_MAX ((PCI(BYTES) - AERO_VIRTIO_PCI_CAPABILITY_FIRST) / 4)

/* A notification is 2 bytes. */
#define NOTIFY_BYTES 2u

/* What each type of structure must have at least. */
static const struct {
	unsigned char bytes;
	unsigned char align;
} needs[] = {
	[CAP(COMMON)] = { COMMON(BYTES), 4 },
	[CAP(NOTIFY)] = { NOTIFY_BYTES, NOTIFY_BYTES },
	[CAP(ISR)] = { 1, 1 },
	[CAP(DEVICE)] = { 4, 4 },
};

static uint32_t bar_get(const struct aero_virtio_pci *pci,
			const struct aero_virtio_pci_window *window, uint32_t offset,
			unsigned int bytes)
{
	const struct aero_pci_function *function = pci->config.function;

	return function->bar_read(function->ctx, window->bar, window->offset + offset, bytes);
}

static void bar_put(const struct aero_virtio_pci *pci, const struct aero_virtio_pci_window *window,
		    uint32_t offset, unsigned int bytes, uint32_t value)
{
	const struct aero_pci_function *function = pci->config.function;

	function->bar_write(function->ctx, window->bar, window->offset + offset, bytes, value);
}

uint32_t aero_virtio_pci_get(const struct aero_virtio_pci *pci, uint32_t offset, unsigned int bytes)
{
	return bar_get(pci, &pci->window[CAP(COMMON)], offset, bytes);
}

uint32_t aero_virtio_pci_get16(const struct aero_virtio_pci *pci, uint32_t offset)
{
	return aero_virtio_pci_get(pci, offset, 2);
}

void aero_virtio_pci_put16(const struct aero_virtio_pci *pci, uint32_t offset, uint32_t value)
{
	bar_put(pci, &pci->window[CAP(COMMON)], offset, 2, value);
}

void aero_virtio_pci_put32(const struct aero_virtio_pci *pci, uint32_t offset, uint32_t value)
{
	bar_put(pci, &pci->window[CAP(COMMON)], offset, 4, value);
}

/* Whether the device took a number. */
static aero_noinline bool put_checked(const struct aero_virtio_pci *pci, uint32_t offset,
				      uint32_t value)
{
	aero_virtio_pci_put16(pci, offset, value);
	return aero_virtio_pci_get16(pci, offset) == value;
}

static uint32_t device_features(const struct aero_virtio_pci *pci, uint32_t word)
{
	aero_virtio_pci_put32(pci, COMMON(DEVICE_FEATURE_SELECT), word);
	return aero_virtio_pci_get(pci, COMMON(DEVICE_FEATURE), 4);
}

static uint64_t read_features(void *ctx)
{
	uint64_t features = device_features(ctx, 0);

	return features | (uint64_t)device_features(ctx, 1) << 32;
}

static void accept_features(void *ctx, uint64_t features)
{
	aero_virtio_pci_put32(ctx, COMMON(DRIVER_FEATURE_SELECT), 0);
	aero_virtio_pci_put32(ctx, COMMON(DRIVER_FEATURE), (uint32_t)features);
	aero_virtio_pci_put32(ctx, COMMON(DRIVER_FEATURE_SELECT), 1);
	aero_virtio_pci_put32(ctx, COMMON(DRIVER_FEATURE), (uint32_t)(features >> 32));
}

static uint8_t read_status(void *ctx)
{
	const struct aero_virtio_pci *pci = ctx;

	return (uint8_t)aero_virtio_pci_get(pci, pci->status_register, 1);
}

static void write_status(void *ctx, uint8_t status)
{
	struct aero_virtio_pci *pci = ctx;

	if (!status)
		pci->is_config_vector = false;
	bar_put(pci, &pci->window[CAP(COMMON)], pci->status_register, 1, status);
}

static uint32_t read_generation(void *ctx)
{
	return aero_virtio_pci_get(ctx, COMMON(GENERATION), 1);
}

static uint32_t read_queue_size(void *ctx, unsigned int index)
{
	if (index >= AERO_VIRTIO_PCI_QUEUES)
		return 0;
	aero_virtio_pci_put16(ctx, COMMON(QUEUE_SELECT), index);
	return aero_virtio_pci_get16(ctx, COMMON(QUEUE_SIZE));
}

static void put_address(const struct aero_virtio_pci *pci, uint32_t offset, aero_gpa gpa)
{
	aero_virtio_pci_put32(pci, offset, (uint32_t)gpa);
	aero_virtio_pci_put32(pci, offset + 4, (uint32_t)(gpa >> 32));
}

/* Where notifications of the selected queue go; the device says it, so it is checked. */
static bool find_notify_offset(struct aero_virtio_pci *pci, unsigned int index)
{
	uint64_t offset = aero_virtio_pci_get16(pci, COMMON(QUEUE_NOTIFY_OFF));

	offset *= pci->notify_multiplier;
	if (offset % NOTIFY_BYTES || offset + NOTIFY_BYTES > pci->window[CAP(NOTIFY)].len)
		return false;
	pci->notify_offset[index] = (uint32_t)offset;
	return true;
}

static enum aero_status start_queue(void *ctx, unsigned int index,
				    const struct aero_virtio_ring *ring)
{
	struct aero_virtio_pci *pci = ctx;

	if (index >= AERO_VIRTIO_PCI_QUEUES)
		return AERO_EIO;
	aero_virtio_pci_put16(pci, COMMON(QUEUE_SELECT), index);
	if (!find_notify_offset(pci, index))
		return AERO_EIO;
	aero_virtio_pci_put16(pci, COMMON(QUEUE_SIZE), ring->size);
	put_address(pci, COMMON(QUEUE_DESC), ring->desc);
	put_address(pci, COMMON(QUEUE_DRIVER), ring->driver);
	put_address(pci, COMMON(QUEUE_DEVICE), ring->device);
	if (!aero_virtio_pci_set_vectors(pci, COMMON(CONFIG_VECTOR), COMMON(QUEUE_VECTOR)))
		return AERO_EIO;
	return put_checked(pci, COMMON(QUEUE_ENABLE), 1) ? AERO_OK : AERO_EIO;
}

static void notify(void *ctx, unsigned int index)
{
	const struct aero_virtio_pci *pci = ctx;

	bar_put(pci, &pci->window[CAP(NOTIFY)], pci->notify_offset[index % AERO_VIRTIO_PCI_QUEUES],
		NOTIFY_BYTES, index);
}

bool aero_virtio_pci_set_vectors(struct aero_virtio_pci *pci, uint32_t config_register,
				 uint32_t queue_register)
{
	if (!pci->is_msix)
		return true;
	if (!pci->is_config_vector) {
		if (!put_checked(pci, config_register, pci->config.config_vector))
			return false;
		pci->is_config_vector = true;
	}
	return put_checked(pci, queue_register, pci->config.queue_vector);
}

/* Bytes of configuration space that are there, of len from an offset on. */
static uint32_t config_room(const struct aero_virtio_pci *pci, uint32_t offset, uint32_t len)
{
	uint32_t end = pci->window[CAP(DEVICE)].len;
	uint32_t room = offset < end ? end - offset : 0;

	return len < room ? len : room;
}

static uint32_t device_get(void *ctx, uint32_t offset, unsigned int bytes)
{
	const struct aero_virtio_pci *pci = ctx;

	return bar_get(pci, &pci->window[CAP(DEVICE)], offset, bytes);
}

static void device_put(void *ctx, uint32_t offset, unsigned int bytes, uint32_t value)
{
	const struct aero_virtio_pci *pci = ctx;

	bar_put(pci, &pci->window[CAP(DEVICE)], offset, bytes, value);
}

static void read_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	uint32_t room = config_room(ctx, offset, len);

	aero_virtio_config_read(device_get, ctx, offset, buf, room);
	memset((uint8_t *)buf + room, 0, len - room);
}

static void write_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	aero_virtio_config_write(device_put, ctx, offset, buf, config_room(ctx, offset, len));
}

static uint32_t take_interrupts(void *ctx)
{
	const struct aero_virtio_pci *pci = ctx;

	return bar_get(pci, &pci->window[CAP(ISR)], 0, 1) &
	       (AERO_VIRTIO_PCI_ISR_QUEUE | AERO_VIRTIO_PCI_ISR_CONFIG);
}

static const struct aero_virtio_transport modern = {
	.features = read_features,
	.accept = accept_features,
	.status = read_status,
	.set_status = write_status,
	.config_read = read_config,
	.config_write = write_config,
	.generation = read_generation,
	.queue_size = read_queue_size,
	.queue_start = start_queue,
	.notify = notify,
	.take_interrupts = take_interrupts,
};

/* Configuration space is read by words of 4 bytes, and what they hold by its own offset. */
static uint32_t pci_get(const struct aero_virtio_pci *pci, uint32_t offset)
{
	const struct aero_pci_function *function = pci->config.function;

	return function->config_read(function->ctx, offset & ~3u, 4);
}

static uint32_t byte_at(uint32_t word, uint32_t offset)
{
	return word >> offset % 4 * 8 & 0xff;
}

static uint32_t half_at(uint32_t word, uint32_t offset)
{
	return word >> offset % 4 * 8 & 0xffff;
}

/* Takes a capability with this head at offset at, unless it is of no use or there was a better. */
static aero_noinline void take_capability(struct aero_virtio_pci *pci, uint32_t at, uint32_t head)
{
	const struct aero_pci_function *function = pci->config.function;
	uint32_t type = byte_at(head, CAP(TYPE));
	uint32_t need = type == CAP(NOTIFY) ? CAP(NOTIFY_BYTES) : CAP(BYTES);
	struct aero_virtio_pci_window *window, found;

	if (type < CAP(COMMON) || type > CAP(DEVICE))
		return;
	window = &pci->window[type];
	if (window->len)
		return;
	if (byte_at(head, CAP(LEN)) < need || at + need > PCI(BYTES))
		return;
	found.bar = (uint8_t)byte_at(pci_get(pci, at + CAP(BAR)), CAP(BAR));
	found.offset = pci_get(pci, at + CAP(OFFSET));
	found.len = pci_get(pci, at + CAP(LENGTH));
	if (found.bar > CAP(BAR_LAST) || found.len < needs[type].bytes ||
	    found.offset & (needs[type].align - 1u))
		return;
	if ((uint64_t)found.offset + found.len > function->bar_bytes(function->ctx, found.bar))
		return;
	*window = found;
	if (type == CAP(NOTIFY))
		pci->notify_multiplier = pci_get(pci, at + CAP(MULTIPLIER));
}

/* Every capability once. The list is the device's, so its length is ours to bound. */
static enum aero_status walk_capabilities(struct aero_virtio_pci *pci)
{
	uint32_t at, head;
	unsigned int i;

	head = half_at(pci_get(pci, PCI(STATUS)), PCI(STATUS));
	if (!(head & AERO_VIRTIO_PCI_STATUS_CAPABILITIES))
		return AERO_OK;
	at = pci_get(pci, PCI(CAPABILITIES)) & 0xfc;
	for (i = 0; at && i < CAPABILITIES_MAX; i++) {
		if (at < AERO_VIRTIO_PCI_CAPABILITY_FIRST)
			return AERO_EPROTO;
		head = pci_get(pci, at);
		if (byte_at(head, 0) == AERO_VIRTIO_PCI_CAP_ID)
			take_capability(pci, at, head);
		at = byte_at(head, CAP(NEXT)) & 0xfc;
	}
	return at ? AERO_EPROTO : AERO_OK;
}

/* The id of a virtio device, 0 of others. */
static uint32_t device_id(const struct aero_virtio_pci *pci)
{
	uint32_t ids = pci_get(pci, PCI(VENDOR)), device = half_at(ids, PCI(DEVICE));

	if (half_at(ids, PCI(VENDOR)) != AERO_VIRTIO_PCI_VENDOR ||
	    device < AERO_VIRTIO_PCI_DEVICE_FIRST || device > AERO_VIRTIO_PCI_DEVICE_LAST)
		return 0;
	return device;
}

/* Legacy has the device id for it and, unlike a coincidence of numbers, the revision. */
static bool has_legacy(const struct aero_virtio_pci *pci, uint32_t device)
{
	return device < AERO_VIRTIO_PCI_DEVICE_MODERN &&
	       !byte_at(pci_get(pci, PCI(REVISION)), PCI(REVISION));
}

static bool has_modern(const struct aero_virtio_pci *pci)
{
	unsigned int type;

	for (type = CAP(COMMON); type <= CAP(DEVICE); type++) {
		if (!pci->window[type].len)
			return false;
	}
	return true;
}

enum aero_status aero_virtio_pci_init(struct aero_virtio_pci *pci,
				      const struct aero_virtio_pci_config *config)
{
	enum aero_status status;
	uint32_t device;

	memset(pci, 0, sizeof(*pci));
	pci->config = *config;
	pci->is_msix = config->config_vector != AERO_VIRTIO_PCI_NO_VECTOR ||
		       config->queue_vector != AERO_VIRTIO_PCI_NO_VECTOR;
	device = device_id(pci);
	if (!device)
		return AERO_ENOTSUP;
	if (!config->is_legacy_wanted) {
		status = walk_capabilities(pci);
		if (status != AERO_OK)
			return status;
	}
	pci->status_register = COMMON(STATUS);
	pci->transport = modern;
	if (!has_modern(pci) &&
	    (!has_legacy(pci, device) || aero_virtio_pci_init_legacy(pci) != AERO_OK))
		return AERO_ENOTSUP;
	pci->transport.ctx = pci;
	if (pci->is_msix)
		pci->transport.take_interrupts = NULL;
	return AERO_OK;
}
