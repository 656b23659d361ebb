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

/* Reads into buf or, where there is no read, writes from it. */
static void move(aero_virtio_read read, aero_virtio_write write, void *ctx, uint32_t offset,
		 uint8_t *buf, uint32_t len)
{
	unsigned int bytes, i;

	for (; len; len -= bytes, offset += bytes, buf += bytes) {
		uint32_t value = 0;

		bytes = next_width(offset, len);
		if (read)
			value = read(ctx, offset, bytes);
		for (i = 0; i < bytes; i++) {
			if (read)
				buf[i] = (uint8_t)(value >> 8 * i);
			else
				value |= (uint32_t)buf[i] << 8 * i;
		}
		if (!read)
			write(ctx, offset, bytes, value);
	}
}

void aero_virtio_config_read(aero_virtio_read read, void *ctx, uint32_t offset, void *buf,
			     uint32_t len)
{
	move(read, NULL, ctx, offset, buf, len);
}

void aero_virtio_config_write(aero_virtio_write write, void *ctx, uint32_t offset, const void *buf,
			      uint32_t len)
{
	move(NULL, write, ctx, offset, (uint8_t *)(uintptr_t)buf, len);
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
