/* SPDX-License-Identifier: MIT */
#include "support/virtio_world.h"

#include "ports/sim/sim_virtio_record.h"

/* The transports of the simulated kernel: the loopback to our device, and the recorder. */

static int open_modern(void **state)
{
	struct virtio_world *world = malloc(sizeof(*world));

	assert_non_null(world);
	virtio_world_open(world, false);
	*state = world;
	return 0;
}

static int open_legacy(void **state)
{
	struct virtio_world *world = malloc(sizeof(*world));

	assert_non_null(world);
	virtio_world_open(world, true);
	*state = world;
	return 0;
}

static int close_world(void **state)
{
	virtio_world_close(*state);
	free(*state);
	return 0;
}

#define MODERN(f) cmocka_unit_test_setup_teardown(f, open_modern, close_world)
#define LEGACY(f) cmocka_unit_test_setup_teardown(f, open_legacy, close_world)

static void test_loopback_request_reaches_device(void **state)
{
	struct virtio_world *world = *state;

	virtio_world_inflate(world, &world->virtio.transport);
	assert_int_equal(world->virtio.queue_interrupts[0], 1);
	assert_int_equal(world->virtio.transport.take_interrupts(&world->virtio), 1);
	assert_int_equal(world->virtio.transport.take_interrupts(&world->virtio), 0);
	/* And once more after a reset. */
	virtio_world_inflate(world, &world->virtio.transport);
	assert_int_equal(world->virtio.resets, 2);
}

static void test_loopback_legacy_offers_low_features_only(void **state)
{
	struct virtio_world *world = *state;
	const struct aero_virtio_transport *transport = &world->virtio.transport;

	assert_true(transport->is_legacy);
	assert_int_equal(transport->ring_align, 4096);
	assert_int_equal(transport->features(transport->ctx) >> 32, 0);
	assert_int_equal(virtio_world_start_queue(transport, 64, VIRTIO_WORLD_RING), AERO_EIO);
}

static void test_loopback_features_not_offered_are_refused(void **state)
{
	struct virtio_world *world = *state;
	const struct aero_virtio_transport *transport = &world->virtio.transport;

	transport->set_status(transport->ctx, 3);
	transport->accept(transport->ctx, 1ull << 33);
	transport->set_status(transport->ctx, 11);
	assert_int_equal(transport->status(transport->ctx), 3);
	transport->set_status(transport->ctx, 0);
	transport->set_status(transport->ctx, 3);
	transport->accept(transport->ctx, 1ull << 32);
	transport->set_status(transport->ctx, 11);
	assert_int_equal(transport->status(transport->ctx), 11);
}

static void test_loopback_config_change_is_told(void **state)
{
	struct virtio_world *world = *state;
	const struct aero_virtio_transport *transport = &world->virtio.transport;
	uint8_t bytes[4];
	uint64_t frames;
	uint32_t generation;

	virtio_world_inflate(world, transport);
	transport->take_interrupts(transport->ctx);
	generation = transport->generation(transport->ctx);
	aero_virtio_balloon_host_set_target(&world->virtio.device, 0x01020304, &frames);
	assert_int_equal(transport->take_interrupts(transport->ctx), AERO_VIRTIO_INTERRUPT_CONFIG);
	assert_int_not_equal(transport->generation(transport->ctx), generation);
	transport->config_read(transport->ctx, 0, bytes, 4);
	assert_memory_equal(bytes, "\4\3\2\1", 4);
}

static void test_loopback_gone_reads_ones(void **state)
{
	struct virtio_world *world = *state;
	const struct aero_virtio_transport *transport = &world->virtio.transport;
	uint8_t bytes[4];

	world->virtio.is_gone = true;
	assert_int_equal(transport->status(transport->ctx), 0xff);
	assert_true(transport->features(transport->ctx) == UINT64_MAX);
	transport->config_read(transport->ctx, 0, bytes, 4);
	assert_memory_equal(bytes, "\377\377\377\377", 4);
	assert_int_equal(virtio_world_start_queue(transport, 128, VIRTIO_WORLD_RING), AERO_EIO);
}

static void test_loopback_slow_reset_ends(void **state)
{
	struct virtio_world *world = *state;
	const struct aero_virtio_transport *transport = &world->virtio.transport;

	world->virtio.slow_resets = 2;
	transport->set_status(transport->ctx, 3);
	transport->set_status(transport->ctx, 0);
	assert_int_equal(transport->status(transport->ctx), 3);
	assert_int_equal(transport->status(transport->ctx), 3);
	assert_int_equal(transport->status(transport->ctx), 0);
}

static void test_loopback_need_reset_until_reset(void **state)
{
	struct virtio_world *world = *state;
	const struct aero_virtio_transport *transport = &world->virtio.transport;

	transport->set_status(transport->ctx, 3);
	sim_virtio_need_reset(&world->virtio);
	assert_int_equal(transport->status(transport->ctx), 0x43);
	assert_int_equal(transport->take_interrupts(transport->ctx), AERO_VIRTIO_INTERRUPT_CONFIG);
	transport->set_status(transport->ctx, 0);
	assert_int_equal(transport->status(transport->ctx), 0);
}

static void test_loopback_queues_of_both_numberings(void **state)
{
	struct virtio_world *world = *state;
	static const struct {
		uint64_t offered;
		unsigned int there; /* bits */
	} cases[] = {
		{ 0, 0x1f },						 /* all features */
		{ 1ull << 32, 0x3 }, { 1u << 1, 0x7 }, { 1u << 3, 0xf }, /* hint: 2 or 3 */
		{ 1u << 5, 0x17 },					 /* reporting: 2 or 4 */
		{ 0x22, 0x1f }, /* stats and reporting: 3 or 4 */
		{ 0x28, 0x1f }, /* hint and reporting: 2, 3 or 3, 4 */
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		struct sim_virtio_config config = { .memory = &world->sim.memory,
						    .offered = cases[i].offered };
		struct sim_virtio virtio;

		assert_int_equal(sim_virtio_init(&virtio, &config), AERO_OK);
		for (unsigned int index = 0; index < 6; index++)
			assert_int_equal(virtio.transport.queue_size(&virtio, index) != 0,
					 cases[i].there >> index & 1);
		sim_virtio_fini(&virtio);
	}
}

static void test_record_counts_and_remembers(void **state)
{
	struct virtio_world *world = *state;
	struct sim_virtio_entry entries[16];
	struct sim_virtio_record record;
	uint8_t actual[4] = { 0x78, 0x56, 0x34, 0x12 };

	sim_virtio_record_init(&record, &world->virtio.transport, entries, 16);
	virtio_world_inflate(world, &record.transport);
	record.transport.config_write(&record, 4, actual, 4);
	assert_int_equal(record.count[SIM_VIRTIO_SET_STATUS], 5);
	assert_int_equal(record.count[SIM_VIRTIO_QUEUE_START], 1);
	assert_int_equal(sim_virtio_record_exits(&record), 2);
	assert_int_equal(record.total, 13);
	assert_int_equal(entries[11].access, SIM_VIRTIO_NOTIFY);
	assert_int_equal(entries[12].access, SIM_VIRTIO_CONFIG_WRITE);
	assert_int_equal(entries[12].where, 4);
	assert_int_equal(entries[12].bytes, 4);
	assert_int_equal(entries[12].value, 0x12345678);
	assert_int_equal(world->virtio.device.actual, 0x12345678);
	sim_virtio_record_clear(&record);
	assert_int_equal(sim_virtio_record_exits(&record), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MODERN(test_loopback_request_reaches_device),
		LEGACY(test_loopback_request_reaches_device),
		LEGACY(test_loopback_legacy_offers_low_features_only),
		MODERN(test_loopback_features_not_offered_are_refused),
		MODERN(test_loopback_config_change_is_told),
		MODERN(test_loopback_gone_reads_ones),
		MODERN(test_loopback_slow_reset_ends),
		MODERN(test_loopback_need_reset_until_reset),
		MODERN(test_loopback_queues_of_both_numberings),
		MODERN(test_record_counts_and_remembers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
