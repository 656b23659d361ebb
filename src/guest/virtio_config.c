/* SPDX-License-Identifier: MIT */
/* What all transports have in common: configuration space through registers, a whole table. */
#include "virtio_config.h"

/* Of an access at this offset: 4, or as much as is aligned and left. */
static unsigned int next_width(uint32_t offset, uint32_t len)
{
	unsigned int bytes = 4;

	while (offset % bytes || bytes > len)
		bytes /= 2;
	return bytes;
}

void aero_virtio_config_read(aero_virtio_read read, void *ctx, uint32_t offset, void *buf,
			     uint32_t len)
{
	uint8_t *to = buf;
	unsigned int bytes;
	unsigned int i;

	for (; len; len -= bytes, offset += bytes) {
		uint32_t value;

		bytes = next_width(offset, len);
		value = read(ctx, offset, bytes);
		for (i = 0; i < bytes; i++)
			*to++ = (uint8_t)(value >> 8 * i);
	}
}

void aero_virtio_config_write(aero_virtio_write write, void *ctx, uint32_t offset, const void *buf,
			      uint32_t len)
{
	const uint8_t *from = buf;
	unsigned int bytes;
	unsigned int i;

	for (; len; len -= bytes, offset += bytes) {
		uint32_t value = 0;

		bytes = next_width(offset, len);
		for (i = 0; i < bytes; i++)
			value |= (uint32_t)*from++ << 8 * i;
		write(ctx, offset, bytes, value);
	}
}

bool aero_virtio_transport_is_complete(const struct aero_virtio_transport *transport)
{
	return transport && transport->features && transport->accept && transport->status &&
	       transport->set_status && transport->config_read && transport->config_write &&
	       transport->generation && transport->queue_size && transport->queue_start &&
	       transport->notify &&
	       (!transport->is_legacy ||
		(transport->ring_align && !(transport->ring_align & (transport->ring_align - 1))));
}
