/* SPDX-License-Identifier: MIT */
#include "ports/sim/sim_virtio_record.h"

#include <string.h>

static void note(struct sim_virtio_record *record, const struct sim_virtio_entry *entry)
{
	record->count[entry->access]++;
	if (record->total < record->room)
		record->entries[record->total] = *entry;
	record->total++;
}

static uint64_t note_value(struct sim_virtio_record *record, enum sim_virtio_access access,
			   uint32_t where, uint64_t value)
{
	struct sim_virtio_entry entry = { access, where, 0, value };

	note(record, &entry);
	return value;
}

/* The bytes as a number, the first 8 of them. */
static void note_config(struct sim_virtio_record *record, enum sim_virtio_access access,
			uint32_t offset, const void *buf, uint32_t len)
{
	struct sim_virtio_entry entry = { access, offset, len, 0 };

	for (uint32_t i = 0; i < len && i < 8; i++)
		entry.value |= (uint64_t)((const uint8_t *)buf)[i] << 8 * i;
	note(record, &entry);
}

static uint64_t pass_features(void *ctx)
{
	struct sim_virtio_record *record = ctx;

	return note_value(record, SIM_VIRTIO_FEATURES, 0,
			  record->behind->features(record->behind->ctx));
}

static void pass_accept(void *ctx, uint64_t features)
{
	struct sim_virtio_record *record = ctx;

	note_value(record, SIM_VIRTIO_ACCEPT, 0, features);
	record->behind->accept(record->behind->ctx, features);
}

static uint8_t pass_status(void *ctx)
{
	struct sim_virtio_record *record = ctx;

	return (uint8_t)note_value(record, SIM_VIRTIO_STATUS, 0,
				   record->behind->status(record->behind->ctx));
}

static void pass_set_status(void *ctx, uint8_t status)
{
	struct sim_virtio_record *record = ctx;

	note_value(record, SIM_VIRTIO_SET_STATUS, 0, status);
	record->behind->set_status(record->behind->ctx, status);
}

static void pass_config_read(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct sim_virtio_record *record = ctx;

	record->behind->config_read(record->behind->ctx, offset, buf, len);
	note_config(record, SIM_VIRTIO_CONFIG_READ, offset, buf, len);
}

static void pass_config_write(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	struct sim_virtio_record *record = ctx;

	note_config(record, SIM_VIRTIO_CONFIG_WRITE, offset, buf, len);
	record->behind->config_write(record->behind->ctx, offset, buf, len);
}

static uint32_t pass_generation(void *ctx)
{
	struct sim_virtio_record *record = ctx;

	return (uint32_t)note_value(record, SIM_VIRTIO_GENERATION, 0,
				    record->behind->generation(record->behind->ctx));
}

static uint32_t pass_queue_size(void *ctx, unsigned int index)
{
	struct sim_virtio_record *record = ctx;

	return (uint32_t)note_value(record, SIM_VIRTIO_QUEUE_SIZE, index,
				    record->behind->queue_size(record->behind->ctx, index));
}

static enum aero_status pass_queue_start(void *ctx, unsigned int index,
					 const struct aero_virtio_ring *ring)
{
	struct sim_virtio_record *record = ctx;
	struct sim_virtio_entry entry = { SIM_VIRTIO_QUEUE_START, index, ring->size, ring->desc };

	note(record, &entry);
	return record->behind->queue_start(record->behind->ctx, index, ring);
}

static void pass_notify(void *ctx, unsigned int index)
{
	struct sim_virtio_record *record = ctx;

	note_value(record, SIM_VIRTIO_NOTIFY, index, 0);
	record->behind->notify(record->behind->ctx, index);
}

static uint32_t pass_interrupts(void *ctx)
{
	struct sim_virtio_record *record = ctx;

	return (uint32_t)note_value(record, SIM_VIRTIO_INTERRUPTS, 0,
				    record->behind->take_interrupts(record->behind->ctx));
}

static const struct aero_virtio_transport recording = {
	.features = pass_features,
	.accept = pass_accept,
	.status = pass_status,
	.set_status = pass_set_status,
	.config_read = pass_config_read,
	.config_write = pass_config_write,
	.generation = pass_generation,
	.queue_size = pass_queue_size,
	.queue_start = pass_queue_start,
	.notify = pass_notify,
	.take_interrupts = pass_interrupts,
};

void sim_virtio_record_init(struct sim_virtio_record *record,
			    const struct aero_virtio_transport *behind,
			    struct sim_virtio_entry *entries, uint64_t room)
{
	memset(record, 0, sizeof(*record));
	record->transport = recording;
	record->transport.ctx = record;
	record->transport.is_legacy = behind->is_legacy;
	record->transport.ring_align = behind->ring_align;
	if (!behind->take_interrupts)
		record->transport.take_interrupts = NULL;
	record->behind = behind;
	record->entries = entries;
	record->room = room;
}

void sim_virtio_record_clear(struct sim_virtio_record *record)
{
	memset(record->count, 0, sizeof(record->count));
	record->total = 0;
}

uint64_t sim_virtio_record_exits(const struct sim_virtio_record *record)
{
	return record->count[SIM_VIRTIO_NOTIFY] + record->count[SIM_VIRTIO_CONFIG_READ] +
	       record->count[SIM_VIRTIO_CONFIG_WRITE];
}
