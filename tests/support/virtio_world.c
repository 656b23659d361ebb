/* SPDX-License-Identifier: MIT */
#include "support/virtio_world.h"

#define SIZE 128u
#define AVAIL (16 * SIZE)
#define LEGACY_USED 4096u
#define USED (AVAIL + 512)
#define REQUEST 3584u /* behind the parts of the ring, in its first page */

void virtio_world_open(struct virtio_world *world, bool is_legacy)
{
	struct sim_port_config sim = { .page_first = VIRTIO_WORLD_PAGES, .page_frames = 16 };
	struct sim_virtio_config config = { .memory = &world->sim.memory, .is_legacy = is_legacy };

	memset(world, 0, sizeof(*world));
	sim_port_init(&world->sim, &sim);
	assert_int_equal(sim_virtio_init(&world->virtio, &config), AERO_OK);
	world->ring = world->sim.port.page_get(&world->sim);
	assert_ptr_equal(world->sim.port.page_get(&world->sim), world->ring + 4096);
	memset(world->ring, 0, 8192);
}

void virtio_world_close(struct virtio_world *world)
{
	sim_virtio_fini(&world->virtio);
	sim_port_fini(&world->sim);
}

static void put_le(uint8_t *at, uint64_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

/* Descriptor 0: frames 5, 6 and 9. */
static void put_request(uint8_t *ring, aero_gpa gpa)
{
	put_le(ring + REQUEST, 5, 4);
	put_le(ring + REQUEST + 4, 6, 4);
	put_le(ring + REQUEST + 8, 9, 4);
	put_le(ring, gpa + REQUEST, 8);
	put_le(ring + 8, 12, 4);
	put_le(ring + AVAIL + 4, 0, 2);
	put_le(ring + AVAIL + 2, 1, 2);
}

enum aero_status virtio_world_start_queue(const struct aero_virtio_transport *transport,
					  uint32_t size, aero_gpa desc)
{
	struct aero_virtio_ring ring = { size, desc, desc + AVAIL, desc + USED };

	return transport->queue_start(transport->ctx, 0, &ring);
}

void virtio_world_inflate(struct virtio_world *world, const struct aero_virtio_transport *transport)
{
	void *ctx = transport->ctx;
	uint32_t used = transport->is_legacy ? LEGACY_USED : USED;
	uint64_t version_1 = transport->is_legacy ? 0 : 1ull << 32;

	memset(world->ring, 0, 8192);
	transport->set_status(ctx, 0);
	assert_int_equal(transport->status(ctx), 0);
	transport->set_status(ctx, 1);
	transport->set_status(ctx, 3);
	assert_int_equal(transport->features(ctx) & version_1, version_1);
	transport->accept(ctx, version_1);
	if (version_1) {
		transport->set_status(ctx, 11);
		assert_int_equal(transport->status(ctx), 11);
	}
	assert_int_equal(transport->queue_size(ctx, 0), SIZE);
	assert_int_equal(virtio_world_start_queue(transport, SIZE, VIRTIO_WORLD_RING), AERO_OK);
	transport->set_status(ctx, version_1 ? 15 : 7);

	put_request(world->ring, VIRTIO_WORLD_RING);
	transport->notify(ctx, 0);
	sim_virtio_run(&world->virtio);
	assert_int_equal(world->ring[used + 2], 1);
	assert_int_equal(aero_ledger_held(&world->virtio.device.ledger), 3);
}
