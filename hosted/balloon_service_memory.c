/* SPDX-License-Identifier: MIT */
/*
 * The memory map changes under a running device. While it does, no ring is served and nothing is
 * pending: what the old map still has to see is done before, and frames of memory that went are
 * taken out of the ledger after.
 */
#include "hosted/balloon_service_internal.h"

#include <string.h>

/* What was stopped for a change. */
struct rest {
	struct aero_guest_memory_identity before;
	unsigned int rings; /* bits of those that were started */
	uint32_t base[AERO_VIRTIO_BALLOON_QUEUES];
};

static void come_to_rest(struct aero_balloon_service *service, struct rest *rest)
{
	struct aero_virtio_balloon *device = &service->device;
	unsigned int i;

	rest->rings = 0;
	aero_guest_memory_identify(&service->memory, &rest->before);
	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		if (!device->queue[i].is_started)
			continue;
		rest->base[i] = aero_virtio_balloon_host_queue_stop(device, i);
		rest->rings |= 1u << i;
	}
	/* Until it starts the inflate ring the ledger may be another's, and of other memory. */
	if (service->is_owned)
		aero_virtio_balloon_host_settle(device);
}

/* Whether both are of one file, which lies at the same guest addresses. */
static bool is_same_file(const struct aero_guest_region_identity *a,
			 const struct aero_guest_region_identity *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->born_ns == b->born_ns &&
	       a->gpa - a->offset == b->gpa - b->offset;
}

/*
 * How much of a region, from a guest address on, is still there or, if its start is not, is gone. A
 * map may be cut into regions in another way than before and still be the same memory.
 */
static uint64_t measure(const struct aero_guest_memory_identity *now,
			const struct aero_guest_region_identity *region, aero_gpa from,
			bool *out_is_there)
{
	uint64_t left = region->gpa + region->bytes - from;
	unsigned int i;

	*out_is_there = false;
	for (i = 0; i < now->count && !*out_is_there; i++) {
		const struct aero_guest_region_identity *other = &now->regions[i];

		if (!is_same_file(region, other) || other->gpa + other->bytes <= from)
			continue;
		*out_is_there = other->gpa <= from;
		if (*out_is_there && other->gpa + other->bytes - from < left)
			left = other->gpa + other->bytes - from;
		else if (!*out_is_there && other->gpa - from < left)
			left = other->gpa - from;
	}
	return left;
}

static void forget_what_went(struct aero_balloon_service *service,
			     const struct aero_guest_memory_identity *before)
{
	struct aero_guest_memory_identity now;
	unsigned int i;

	aero_guest_memory_identify(&service->memory, &now);
	for (i = 0; i < before->count; i++) {
		const struct aero_guest_region_identity *region = &before->regions[i];
		uint64_t done = 0;

		while (done < region->bytes) {
			aero_gpa from = region->gpa + done;
			bool is_there;
			uint64_t bytes = measure(&now, region, from, &is_there);
			struct aero_range range = { from >> AERO_FRAME_SHIFT,
						    bytes >> AERO_FRAME_SHIFT };

			if (!is_there)
				(void)aero_ledger_forget(&service->device.ledger, range);
			done += bytes;
		}
	}
}

static void start_ring(struct aero_balloon_service *service, unsigned int index, uint32_t base)
{
	const struct aero_vhost_user_ring *ring = aero_vhost_user_ring(service->conn, index);
	struct aero_virtio_balloon *device = &service->device;
	struct aero_virtio_queue_config place;
	enum aero_status status = aero_balloon_service_locate(service, ring, &place);

	place.base = base;
	if (status == AERO_OK)
		status = aero_virtio_balloon_host_queue_start(device, index, &place);
	if (status == AERO_OK)
		aero_virtio_balloon_host_queue_enable(device, index, ring->is_enabled);
	else
		aero_balloon_service_log(service, "ring %u is lost: not in the new memory map",
					 index);
}

/* Once per front end: does a discard free anything here? */
static void test_memory(struct aero_balloon_service *service)
{
	enum aero_status status;
	char text[256];

	if (service->is_memory_tested)
		return;
	service->is_memory_tested = true;
	status = aero_guest_memory_self_test(&service->memory, text, sizeof(text));
	if (status != AERO_OK)
		aero_balloon_service_log(service, "discard self-test: %s", text);
}

/* Go on, in the new map or, where the change was refused, in the old one. */
static enum aero_status go_on(struct aero_balloon_service *service, const struct rest *rest,
			      enum aero_status status)
{
	unsigned int i;

	if (status == AERO_OK && service->is_owned)
		forget_what_went(service, &rest->before);
	aero_virtio_balloon_host_memory_changed(&service->device);
	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		if (rest->rings >> i & 1)
			start_ring(service, i, rest->base[i]);
	}
	if (status == AERO_OK) {
		test_memory(service);
		aero_balloon_service_emit(service, AERO_BALLOON_SERVICE_MEMORY);
	}
	aero_balloon_service_wake(service);
	return status;
}

enum aero_status aero_balloon_service_set_memory(void *ctx, const struct aero_guest_region *regions,
						 unsigned int count)
{
	struct aero_balloon_service *service = ctx;
	struct rest rest;

	come_to_rest(service, &rest);
	return go_on(service, &rest, aero_guest_memory_set(&service->memory, regions, count));
}

enum aero_status aero_balloon_service_add_memory(void *ctx, const struct aero_guest_region *region)
{
	struct aero_balloon_service *service = ctx;
	struct rest rest;

	come_to_rest(service, &rest);
	return go_on(service, &rest, aero_guest_memory_add(&service->memory, region));
}

enum aero_status aero_balloon_service_remove_memory(void *ctx,
						    const struct aero_guest_region *region)
{
	struct aero_balloon_service *service = ctx;
	struct rest rest;

	come_to_rest(service, &rest);
	return go_on(service, &rest, aero_guest_memory_remove(&service->memory, region));
}
