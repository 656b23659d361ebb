/* SPDX-License-Identifier: MIT */
#ifndef AERO_GUEST_VIRTIO_CONFIG_H
#define AERO_GUEST_VIRTIO_CONFIG_H

#include <aerostat/guest/virtio_transport.h>

#include <stdbool.h>
#include <stdint.h>

/* One access to a register of 1, 2 or 4 bytes, as struct aero_virtio_mmio_registers has it. */
typedef uint32_t (*aero_virtio_read)(void *ctx, uint32_t offset, unsigned int bytes);
typedef void (*aero_virtio_write)(void *ctx, uint32_t offset, unsigned int bytes, uint32_t value);

/* Configuration space as bytes, in the fewest accesses that are aligned. */
void aero_virtio_config_read(aero_virtio_read read, void *ctx, uint32_t offset, void *buf,
			     uint32_t len);
void aero_virtio_config_write(aero_virtio_write write, void *ctx, uint32_t offset, const void *buf,
			      uint32_t len);

/* Whether all members are there that drivers call, and a legacy ring can be aligned. */
bool aero_virtio_transport_is_complete(const struct aero_virtio_transport *transport);

#endif
