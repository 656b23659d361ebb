/* SPDX-License-Identifier: MIT */
#include "support/virtio_fake.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* As the specification numbers them. */
#define ACKNOWLEDGE 1u
#define DRIVER 2u
#define DRIVER_OK 4u
#define FEATURES_OK 8u
#define VERSION_1 (1ull << 32)
#define EVERYTHING (0x3full | 1ull << 28 | 1ull << 29 | VERSION_1 | 1ull << 34 | 1ull << 35)
#define LEGACY_ALIGN 4096u

enum { NUM_PAGES = 0, ACTUAL = 4, HINT_ID = 8, POISON = 12 };

void virtio_fake_complain(struct virtio_fake *fake, const char *what, uint64_t value)
{
	/* Of a device that is another one a driver knows nothing. */
	if (!fake->problem[0] && !fake->is_another)
		snprintf(fake->problem, sizeof(fake->problem), "%s: 0x%" PRIx64, what, value);
}

uint8_t *virtio_fake_at(struct virtio_fake *fake, aero_gpa gpa, size_t len)
{
	size_t got = len;
	uint8_t *at = fake->memory->translate(fake->memory->ctx, gpa, &got, AERO_ACCESS_READ);

	return at && got >= len ? at : NULL;
}

static bool is_big_endian(const struct virtio_fake *fake)
{
	const uint16_t one = 1;
	uint8_t first;

	memcpy(&first, &one, 1);
	return fake->transport.is_legacy && !first;
}

uint32_t virtio_fake_read32(struct virtio_fake *fake, aero_gpa gpa)
{
	const uint8_t *at = virtio_fake_at(fake, gpa, 4);
	uint32_t value = 0;

	if (!at) {
		virtio_fake_complain(fake, "a buffer outside of memory", gpa);
		return 0;
	}
	for (unsigned int i = 0; i < 4; i++)
		value |= (uint32_t)at[is_big_endian(fake) ? 3 - i : i] << 8 * i;
	return value;
}

/* Registers ----------------------------------------------------------------------------------- */

static uint64_t features(void *ctx)
{
	struct virtio_fake *fake = ctx;

	if (fake->is_gone)
		return UINT64_MAX;
	if (!(fake->status & DRIVER))
		virtio_fake_complain(fake, "features read before DRIVER", fake->status);
	return fake->offered;
}

static void accept(void *ctx, uint64_t accepted)
{
	struct virtio_fake *fake = ctx;

	if (fake->is_gone)
		return;
	if (accepted & ~fake->offered)
		virtio_fake_complain(fake, "accepted and not offered", accepted & ~fake->offered);
	if (fake->status != (ACKNOWLEDGE | DRIVER))
		virtio_fake_complain(fake, "accepted at another time", fake->status);
	fake->accepted = accepted;
}

static uint8_t status(void *ctx)
{
	struct virtio_fake *fake = ctx;

	if (fake->is_gone)
		return 0xff;
	if (fake->slow_reads) {
		fake->slow_reads -= fake->slow_reads != VIRTIO_FAKE_GONE_FOREVER;
		return fake->old_status | ACKNOWLEDGE;
	}
	return fake->status | fake->extra_status;
}

static void reset(struct virtio_fake *fake)
{
	fake->old_status = fake->status;
	fake->slow_reads = fake->slow_resets;
	fake->extra_status = 0;
	fake->status = 0;
	fake->accepted = 0;
	fake->resets++;
	fake->given_frames = 0;
	memset(fake->frame, VIRTIO_FAKE_GUEST, fake->frame_end);
	for (unsigned int i = 0; i < VIRTIO_FAKE_QUEUES; i++) {
		fake->queue[i].is_up = false;
		fake->queue[i].flying_count = 0;
	}
}

void virtio_fake_unplug(struct virtio_fake *fake)
{
	reset(fake);
	fake->is_gone = true;
	fake->is_another = true;
}

/* One that refuses may have lied about it. */
static bool is_negotiated(const struct virtio_fake *fake)
{
	return fake->transport.is_legacy || fake->is_refusing || fake->status & FEATURES_OK;
}

static void set_status(void *ctx, uint8_t value)
{
	struct virtio_fake *fake = ctx;
	uint8_t added = (uint8_t)(value & ~fake->status);

	if (fake->is_gone)
		return;
	if (!value) {
		reset(fake);
		fake->is_another = false;
		return;
	}
	if (fake->status & ~value & ~fake->extra_status)
		virtio_fake_complain(fake, "status bits cleared", value);
	if (added & DRIVER && !(value & ACKNOWLEDGE))
		virtio_fake_complain(fake, "DRIVER before ACKNOWLEDGE", value);
	if (added & DRIVER_OK && !is_negotiated(fake))
		virtio_fake_complain(fake, "DRIVER_OK before FEATURES_OK", value);
	if (fake->is_refusing)
		value &= (uint8_t)~FEATURES_OK;
	fake->status = value;
}

static void config_read(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct virtio_fake *fake = ctx;

	memset(buf, 0xff, len);
	if (fake->is_gone)
		return;
	fake->config_reads++;
	if (offset % 4 || len != 4 || offset + len > fake->config_bytes) {
		virtio_fake_complain(fake, "a read of configuration at", offset);
		return;
	}
	if (fake->config_read)
		fake->config_read(fake->ctx, offset);
	memcpy(buf, fake->config + offset, len);
	fake->generation += fake->is_restless;
}

static void config_write(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	struct virtio_fake *fake = ctx;
	const uint8_t *bytes = buf;
	uint32_t value;

	if (fake->is_gone)
		return;
	if ((offset != ACTUAL && offset != POISON) || len != 4 || offset + len > fake->config_bytes)
		virtio_fake_complain(fake, "a write of configuration at", offset);
	value = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
		(uint32_t)bytes[3] << 24;
	if (offset == ACTUAL) {
		fake->actual = value;
		fake->actual_writes++;
		return;
	}
	if (fake->status & DRIVER_OK || !(fake->accepted & 1 << 4))
		virtio_fake_complain(fake, "poison written at another time", fake->status);
	fake->poison = value;
	fake->poison_writes++;
}

static uint32_t generation(void *ctx)
{
	struct virtio_fake *fake = ctx;

	return fake->transport.is_legacy ? 0 : fake->generation & 0xff;
}

static uint32_t queue_size(void *ctx, unsigned int index)
{
	struct virtio_fake *fake = ctx;

	if (fake->is_gone)
		return UINT16_MAX;
	return index < VIRTIO_FAKE_QUEUES ? fake->queue_size[index] : 0;
}

/* The ring's parts as the device reaches them; false: it is none. */
static bool place(struct virtio_fake *fake, const struct aero_virtio_ring *ring,
		  struct aero_virtio_guest_queue_config *out)
{
	size_t size = ring->size;
	aero_gpa driver = ring->driver, device = ring->device;

	if (fake->transport.is_legacy) {
		driver = ring->desc + 16 * size;
		device = (driver + 6 + 2 * size + LEGACY_ALIGN - 1) & ~(aero_gpa)(LEGACY_ALIGN - 1);
	}
	out->size = ring->size;
	out->is_packed = fake->accepted >> 34 & 1;
	out->has_event_idx = fake->accepted >> 29 & 1;
	out->has_indirect = fake->accepted >> 28 & 1;
	out->is_in_order = fake->accepted >> 35 & 1;
	out->is_big_endian = is_big_endian(fake);
	out->desc = virtio_fake_at(fake, ring->desc, 16 * size);
	out->driver = virtio_fake_at(fake, driver, out->is_packed ? 4 : 6 + 2 * size);
	out->device = virtio_fake_at(fake, device, out->is_packed ? 4 : 6 + 8 * size);
	if (ring->desc % 16 || driver % (out->is_packed ? 4 : 2) || device % 4 ||
	    (!out->is_packed && size & (size - 1)))
		virtio_fake_complain(fake, "a ring that is no ring, of size", size);
	return out->desc && out->driver && out->device;
}

static enum aero_status queue_start(void *ctx, unsigned int index,
				    const struct aero_virtio_ring *ring)
{
	struct virtio_fake *fake = ctx;
	struct aero_virtio_guest_queue_config config = { 0 };
	struct virtio_fake_queue *queue;

	if (fake->is_gone || fake->is_closed)
		return AERO_EIO;
	if (index >= VIRTIO_FAKE_QUEUES || !ring->size || ring->size > fake->queue_size[index] ||
	    (fake->transport.is_legacy && ring->size != fake->queue_size[index])) {
		virtio_fake_complain(fake, "a queue that there is not, or of another size", index);
		return AERO_EIO;
	}
	queue = &fake->queue[index];
	if (queue->is_up || fake->status & DRIVER_OK || !is_negotiated(fake))
		virtio_fake_complain(fake, "a queue started at another time", index);
	if (!place(fake, ring, &config)) {
		virtio_fake_complain(fake, "a ring outside of memory", ring->desc);
		return AERO_EIO;
	}
	virtio_device_init(&queue->ring, &config);
	queue->ring.tables_gpa = fake->memory_gpa;
	queue->ring.tables = virtio_fake_at(fake, fake->memory_gpa, 1);
	queue->is_up = true;
	queue->is_wild = false;
	return AERO_OK;
}

static void notify(void *ctx, unsigned int index)
{
	struct virtio_fake *fake = ctx;

	if (fake->is_gone)
		return;
	if (index >= VIRTIO_FAKE_QUEUES || !fake->queue[index].is_up ||
	    !(fake->status & DRIVER_OK)) {
		virtio_fake_complain(fake, "a notification at another time", index);
		return;
	}
	fake->queue[index].notified++;
}

static const struct aero_virtio_transport table = {
	.features = features,
	.accept = accept,
	.status = status,
	.set_status = set_status,
	.config_read = config_read,
	.config_write = config_write,
	.generation = generation,
	.queue_size = queue_size,
	.queue_start = queue_start,
	.notify = notify,
};

void virtio_fake_init(struct virtio_fake *fake, const struct aero_host_memory *memory,
		      aero_gpa memory_gpa, bool is_legacy)
{
	memset(fake, 0, sizeof(*fake));
	fake->transport = table;
	fake->transport.ctx = fake;
	fake->transport.is_legacy = is_legacy;
	fake->transport.ring_align = is_legacy ? LEGACY_ALIGN : 0;
	fake->offered = is_legacy ? EVERYTHING & UINT32_MAX : EVERYTHING;
	fake->config_bytes = 16;
	fake->memory = memory;
	fake->memory_gpa = memory_gpa;
	for (unsigned int i = 0; i < VIRTIO_FAKE_QUEUES; i++)
		fake->queue_size[i] = 128;
}

void virtio_fake_set_config(struct virtio_fake *fake, uint32_t offset, uint32_t value)
{
	for (unsigned int i = 0; i < 4; i++)
		fake->config[offset + i] = (uint8_t)(value >> 8 * i);
	fake->generation++;
}

void virtio_fake_target(struct virtio_fake *fake, uint32_t frames)
{
	virtio_fake_set_config(fake, NUM_PAGES, frames);
}

/* Queues -------------------------------------------------------------------------------------- */

struct virtio_device_chain *virtio_fake_pop(struct virtio_fake *fake, unsigned int index)
{
	struct virtio_fake_queue *queue = &fake->queue[index];

	if (!queue->is_up || queue->is_wild || !(fake->status & DRIVER_OK) ||
	    queue->flying_count == VIRTIO_FAKE_FLYING)
		return NULL;
	if (!virtio_device_pop(&queue->ring, &queue->flying[queue->flying_count])) {
		virtio_device_set_kicks(&queue->ring, true);
		return NULL;
	}
	return &queue->flying[queue->flying_count++];
}

void virtio_fake_push(struct virtio_fake *fake, unsigned int index, unsigned int nth,
		      uint32_t written)
{
	struct virtio_fake_queue *queue = &fake->queue[index];

	virtio_device_push(&queue->ring, &queue->flying[nth], written);
	queue->answered++;
	queue->flying_count--;
	memmove(&queue->flying[nth], &queue->flying[nth + 1],
		(queue->flying_count - nth) * sizeof(queue->flying[0]));
}

/* Where the nth number of a request lies: buffers are cut anywhere between numbers. */
static aero_gpa number_at(struct virtio_fake *fake, const struct virtio_device_chain *chain,
			  uint32_t nth)
{
	uint64_t offset = 4ull * nth;

	for (uint32_t i = 0; i < chain->count; i++) {
		const struct aero_virtio_guest_buffer *buffer = &chain->buffers[i];

		if (buffer->is_writable || buffer->len % 4)
			virtio_fake_complain(fake, "a request with a buffer that is none", i);
		if (offset < buffer->len)
			return buffer->gpa + offset;
		offset -= buffer->len;
	}
	return 0;
}

/* One frame of a request moves from one state to the next; another one must not be asked for. */
static void move_frame(struct virtio_fake *fake, uint32_t number, enum virtio_fake_frame from,
		       enum virtio_fake_frame to)
{
	if (number >= VIRTIO_FAKE_FRAMES) {
		virtio_fake_complain(fake, "a frame outside of memory", number);
		return;
	}
	if (number >= fake->frame_end)
		fake->frame_end = number + 1;
	/* Where the test has answered what it never took, nobody knows. */
	if (fake->frame[number] != from && !fake->queue[0].is_wild && !fake->queue[1].is_wild)
		virtio_fake_complain(fake, "a frame that is elsewhere", number);
	fake->frame[number] = (uint8_t)to;
	fake->given_frames += to == VIRTIO_FAKE_GIVEN;
	fake->given_frames -= from == VIRTIO_FAKE_LEAVING;
}

static void move_all(struct virtio_fake *fake, const struct virtio_device_chain *chain,
		     enum virtio_fake_frame from, enum virtio_fake_frame to)
{
	aero_gpa gpa;
	uint32_t i;

	for (i = 0; (gpa = number_at(fake, chain, i)); i++)
		move_frame(fake, virtio_fake_read32(fake, gpa), from, to);
}

uint32_t virtio_fake_request(struct virtio_fake *fake, unsigned int index)
{
	const struct virtio_device_chain *chain = virtio_fake_pop(fake, index);
	uint32_t count = 0;
	aero_gpa gpa;

	if (!chain)
		return 0;
	while (count < VIRTIO_FAKE_NUMBERS && (gpa = number_at(fake, chain, count)))
		fake->numbers[count++] = virtio_fake_read32(fake, gpa);
	move_all(fake, chain, index ? VIRTIO_FAKE_GIVEN : VIRTIO_FAKE_GUEST,
		 index ? VIRTIO_FAKE_LEAVING : VIRTIO_FAKE_ASKED);
	return count;
}

void virtio_fake_answer_nth(struct virtio_fake *fake, unsigned int index, unsigned int nth,
			    uint32_t written)
{
	move_all(fake, &fake->queue[index].flying[nth],
		 index ? VIRTIO_FAKE_LEAVING : VIRTIO_FAKE_ASKED,
		 index ? VIRTIO_FAKE_GUEST : VIRTIO_FAKE_GIVEN);
	virtio_fake_push(fake, index, nth, written);
}

void virtio_fake_answer(struct virtio_fake *fake, unsigned int index, uint32_t written)
{
	virtio_fake_answer_nth(fake, index, 0, written);
}

unsigned int virtio_fake_serve(struct virtio_fake *fake)
{
	unsigned int served = 0;

	for (unsigned int index = 0; index < 2; index++) {
		while (fake->queue[index].flying_count || virtio_fake_request(fake, index)) {
			virtio_fake_answer(fake, index, 0);
			served++;
		}
	}
	return served;
}
