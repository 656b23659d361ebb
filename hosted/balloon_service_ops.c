/* SPDX-License-Identifier: MIT */
/* What a vhost-user front end asks, in terms of the device model. */
#include "hosted/balloon_service_internal.h"

#include <aerostat/wire/virtio.h>
#include <aerostat/wire/virtio_balloon.h>

#include <endian.h>
#include <string.h>

/* What a front end means when it enables the first ring. */
#define STATUS_LIVE                                                   \
	(AERO_VIRTIO_STATUS_ACKNOWLEDGE | AERO_VIRTIO_STATUS_DRIVER | \
	 AERO_VIRTIO_STATUS_FEATURES_OK | AERO_VIRTIO_STATUS_DRIVER_OK)

static uint64_t get_features(void *ctx)
{
	struct aero_balloon_service *service = ctx;

	return service->device.config.offered.word[0];
}

static enum aero_status set_features(void *ctx, uint64_t features)
{
	struct aero_balloon_service *service = ctx;
	struct aero_virtio_features accepted = { { features, 0 } };

	/* Sent again with rings running, for bits that are the transport's: nothing changes. */
	if (!memcmp(&accepted, &service->device.accepted, sizeof(accepted)))
		return AERO_OK;
	/* A driver that starts anew; whether it is another one, its rings will tell. */
	aero_virtio_balloon_host_detach(&service->device);
	return aero_virtio_balloon_host_accept(&service->device, &accepted);
}

enum aero_status aero_balloon_service_locate(const struct aero_balloon_service *service,
					     const struct aero_vhost_user_ring *ring,
					     struct aero_virtio_queue_config *out)
{
	const struct aero_guest_memory *memory = &service->memory;
	uint64_t driver_bytes = ring->is_packed ? 4 : AERO_VIRTIO_SPLIT_AVAIL_BYTES(ring->size);
	uint64_t device_bytes = ring->is_packed ? 4 : AERO_VIRTIO_SPLIT_USED_BYTES(ring->size);
	enum aero_status status;

	memset(out, 0, sizeof(*out));
	out->size = ring->size;
	out->base = ring->base;
	status = aero_guest_memory_uva_to_gpa(memory, ring->desc,
					      AERO_VIRTIO_SPLIT_DESC_BYTES(ring->size), &out->desc);
	if (status == AERO_OK)
		status = aero_guest_memory_uva_to_gpa(memory, ring->avail, driver_bytes,
						      &out->driver);
	if (status == AERO_OK)
		status = aero_guest_memory_uva_to_gpa(memory, ring->used, device_bytes,
						      &out->device);
	return status;
}

/* Configuration space as the front end sees it: zeros after its end. */
static enum aero_status get_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct aero_balloon_service *service = ctx;
	uint32_t size = service->device.config.config_bytes;

	memset(buf, 0, len);
	if (offset >= size)
		return AERO_OK;
	return aero_virtio_balloon_host_config_read(&service->device, offset, buf,
						    len < size - offset ? len : size - offset);
}

static enum aero_status set_config(void *ctx, uint32_t offset, const void *buf, uint32_t len,
				   bool is_migration)
{
	struct aero_balloon_service *service = ctx;

	/* A migrated target is the other host's; ours is set by our operator. */
	(void)is_migration;
	aero_balloon_service_wake(service);
	return aero_virtio_balloon_host_config_write(&service->device, offset, buf, len);
}

static const struct aero_virtio_balloon_queue *inflate_ring(
	const struct aero_balloon_service *service)
{
	return &service->device.queue[AERO_VIRTIO_BALLOON_VQ_INFLATE];
}

static bool has_started_ring(const struct aero_balloon_service *service)
{
	unsigned int i;

	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		if (service->device.queue[i].is_started)
			return true;
	}
	return false;
}

/* Position 0 and wrap bit 1 for both sides. */
#define PACKED_FRESH_BASE 0x80008000u

/* Whether the first descriptor of a packed ring has never been used. */
static bool is_packed_ring_new(const struct aero_balloon_service *service, aero_gpa desc)
{
	const struct aero_host_memory *host = &service->memory.host;
	size_t len = sizeof(struct aero_virtio_wire_packed_desc);
	struct aero_virtio_wire_packed_desc first;
	const void *at = host->translate(host->ctx, desc, &len, AERO_ACCESS_READ);

	if (!at || len < sizeof(first))
		return false;
	memcpy(&first, at, sizeof(first));
	return !(le16toh(first.flags) & AERO_VIRTIO_PACKED_DESC_F_USED);
}

/*
 * Whether a ring starts where a new driver starts it. UML starts packed rings too with a base of
 * 0, which would mean wrap bits of 0: mended where the ring itself shows that it is new.
 */
static bool settle_base(const struct aero_balloon_service *service, bool is_packed,
			struct aero_virtio_queue_config *place)
{
	if (!is_packed)
		return place->base == 0;
	if (place->base == 0 && is_packed_ring_new(service, place->desc))
		place->base = PACKED_FRESH_BASE;
	return place->base == PACKED_FRESH_BASE;
}

/*
 * Decide whose balloon the ledger holds, when the inflate ring starts: it goes on for the same
 * memory and a ring that goes on, and is forgotten otherwise. Until then there is no driver, so
 * nothing of an earlier guest's can be discarded in the memory of this one.
 */
static void settle_owner(struct aero_balloon_service *service, bool is_fresh)
{
	struct aero_guest_memory_identity now;
	bool is_other = is_fresh;

	service->is_owned = true;
	if (service->is_dormant) {
		aero_guest_memory_identify(&service->memory, &now);
		is_other = is_other || !aero_guest_memory_same(&service->dormant, &now);
		service->is_dormant = false;
	}
	if (is_other)
		aero_virtio_balloon_host_forget(&service->device);
}

/*
 * A front end has a driver when the inflate ring is up, and not before, whatever the status says:
 * UML has none, and QEMU's generic device negotiates it and stops at FEATURES_OK.
 */
static void find_driver(struct aero_balloon_service *service)
{
	const struct aero_virtio_balloon_queue *q = inflate_ring(service);

	if (q->is_started && q->is_enabled)
		aero_virtio_balloon_host_set_status(&service->device, STATUS_LIVE);
}

static enum aero_status ring_start(void *ctx, unsigned int index,
				   const struct aero_vhost_user_ring *ring)
{
	struct aero_balloon_service *service = ctx;
	struct aero_virtio_queue_config place;
	enum aero_status status = aero_balloon_service_locate(service, ring, &place);
	bool is_fresh;

	if (status != AERO_OK)
		return status;
	is_fresh = settle_base(service, ring->is_packed, &place);
	if (index == AERO_VIRTIO_BALLOON_VQ_INFLATE)
		settle_owner(service, is_fresh);
	status = aero_virtio_balloon_host_queue_start(&service->device, index, &place);
	if (status != AERO_OK)
		return status;
	aero_virtio_balloon_host_queue_enable(&service->device, index, ring->is_enabled);
	aero_balloon_service_watch(service, index, ring);
	find_driver(service);
	aero_balloon_service_wake(service);
	return AERO_OK;
}

static uint32_t ring_stop(void *ctx, unsigned int index)
{
	struct aero_balloon_service *service = ctx;
	uint32_t base = aero_virtio_balloon_host_queue_stop(&service->device, index);

	aero_balloon_service_unwatch(service, index);
	if (!has_started_ring(service))
		aero_virtio_balloon_host_detach(&service->device);
	return base;
}

static void ring_enable(void *ctx, unsigned int index, bool is_enabled)
{
	struct aero_balloon_service *service = ctx;

	aero_virtio_balloon_host_queue_enable(&service->device, index, is_enabled);
	find_driver(service);
	aero_balloon_service_wake(service);
}

static void ring_kick_changed(void *ctx, unsigned int index,
			      const struct aero_vhost_user_ring *ring)
{
	struct aero_balloon_service *service = ctx;

	aero_balloon_service_watch(service, index, ring);
	aero_virtio_balloon_host_kick(&service->device, index);
	aero_balloon_service_wake(service);
}

static void ring_kick(void *ctx, unsigned int index)
{
	struct aero_balloon_service *service = ctx;

	aero_virtio_balloon_host_kick(&service->device, index);
	aero_balloon_service_wake(service);
}

static void set_status(void *ctx, uint8_t status)
{
	struct aero_balloon_service *service = ctx;

	service->status = status;
	if (!status)
		aero_virtio_balloon_host_detach(&service->device);
	else if (!inflate_ring(service)->is_started)
		status &= (uint8_t)~AERO_VIRTIO_STATUS_DRIVER_OK;
	if (status)
		aero_virtio_balloon_host_set_status(&service->device, status);
	aero_balloon_service_wake(service);
}

static uint8_t get_status(void *ctx)
{
	struct aero_balloon_service *service = ctx;

	return service->device.status | service->status;
}

static void reset(void *ctx)
{
	struct aero_balloon_service *service = ctx;

	service->status = 0;
	aero_virtio_balloon_host_set_status(&service->device, 0);
}

const struct aero_vhost_user_ops aero_balloon_service_ops = {
	.get_features = get_features,
	.set_features = set_features,
	.set_memory = aero_balloon_service_set_memory,
	.add_memory = aero_balloon_service_add_memory,
	.remove_memory = aero_balloon_service_remove_memory,
	.get_config = get_config,
	.set_config = set_config,
	.ring_start = ring_start,
	.ring_stop = ring_stop,
	.ring_enable = ring_enable,
	.ring_kick_changed = ring_kick_changed,
	.ring_kick = ring_kick,
	.set_status = set_status,
	.get_status = get_status,
	.reset = reset,
};
