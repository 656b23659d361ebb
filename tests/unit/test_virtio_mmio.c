/* SPDX-License-Identifier: MIT */
#include "support/virtio_world.h"

#include "ports/sim/sim_virtio_mmio.h"

/* The transport over memory mapped registers, against sequences written by hand. */

struct mmio_case {
	struct virtio_world world;
	struct sim_virtio_mmio front;
	struct aero_virtio_mmio mmio;
};

static int open_case(void **state, bool is_legacy)
{
	struct mmio_case *c = malloc(sizeof(*c));

	assert_non_null(c);
	virtio_world_open(&c->world, is_legacy);
	sim_virtio_mmio_init(&c->front, &c->world.virtio.transport, c->world.text,
			     sizeof(c->world.text));
	*state = c;
	return 0;
}

static int open_modern(void **state)
{
	return open_case(state, false);
}

static int open_legacy(void **state)
{
	return open_case(state, true);
}

static int close_case(void **state)
{
	struct mmio_case *c = *state;

	if (c->front.registers.violations)
		fail_msg("%s", c->front.registers.violation);
	virtio_world_close(&c->world);
	free(c);
	return 0;
}

#define MODERN(f) cmocka_unit_test_setup_teardown(f, open_modern, close_case)
#define LEGACY(f) cmocka_unit_test_setup_teardown(f, open_legacy, close_case)

static const struct aero_virtio_transport *init(struct mmio_case *c)
{
	assert_int_equal(aero_virtio_mmio_init(&c->mmio, &c->front.window, 5), AERO_OK);
	return &c->mmio.transport;
}

static void expect_text(struct mmio_case *c, const char *text)
{
	assert_string_equal(c->world.text, text);
	sim_registers_clear(&c->front.registers);
}

static void test_init_reads_identity(void **state)
{
	struct mmio_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);

	assert_false(transport->is_legacy);
	assert_int_equal(transport->ring_align, 0);
	expect_text(c, "r4 mmio 0x0000 0x74726976\n"
		       "r4 mmio 0x0004 0x00000002\n"
		       "r4 mmio 0x0008 0x00000005\n");
}

static void test_init_legacy_is_known_by_version(void **state)
{
	struct mmio_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);

	assert_true(transport->is_legacy);
	assert_int_equal(transport->ring_align, 4096);
}

static void test_init_another_device_is_refused(void **state)
{
	struct mmio_case *c = *state;
	struct sim_virtio_mmio *front = &c->front;

	assert_int_equal(aero_virtio_mmio_init(&c->mmio, &front->window, 4), AERO_ENOTSUP);
	front->device_id = 0;
	assert_int_equal(aero_virtio_mmio_init(&c->mmio, &front->window, 5), AERO_ENOTSUP);
	assert_int_equal(aero_virtio_mmio_init(&c->mmio, &front->window, 0), AERO_ENOTSUP);
	front->device_id = 5;
	front->version = 3;
	assert_int_equal(aero_virtio_mmio_init(&c->mmio, &front->window, 5), AERO_ENOTSUP);
	front->version = 0;
	assert_int_equal(aero_virtio_mmio_init(&c->mmio, &front->window, 5), AERO_ENOTSUP);
	front->version = 2;
	front->magic = 0xffffffff;
	assert_int_equal(aero_virtio_mmio_init(&c->mmio, &front->window, 5), AERO_ENOTSUP);
}

static void test_start_modern_sequence(void **state)
{
	struct mmio_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);

	sim_registers_clear(&c->front.registers);
	virtio_world_inflate(&c->world, transport);
	expect_text(c, "w4 mmio 0x0070 0x00000000\n" /* reset, until it reads 0 */
		       "r4 mmio 0x0070 0x00000000\n"
		       "w4 mmio 0x0070 0x00000001\n"
		       "w4 mmio 0x0070 0x00000003\n"
		       "w4 mmio 0x0014 0x00000000\n" /* features offered */
		       "r4 mmio 0x0010 0x3000003f\n"
		       "w4 mmio 0x0014 0x00000001\n"
		       "r4 mmio 0x0010 0x0000000d\n"
		       "w4 mmio 0x0024 0x00000000\n" /* and accepted: VERSION_1 */
		       "w4 mmio 0x0020 0x00000000\n"
		       "w4 mmio 0x0024 0x00000001\n"
		       "w4 mmio 0x0020 0x00000001\n"
		       "w4 mmio 0x0070 0x0000000b\n"
		       "r4 mmio 0x0070 0x0000000b\n"
		       "w4 mmio 0x0030 0x00000000\n" /* queue 0: its largest size */
		       "r4 mmio 0x0034 0x00000080\n"
		       "w4 mmio 0x0030 0x00000000\n" /* not in use */
		       "r4 mmio 0x0044 0x00000000\n"
		       "w4 mmio 0x0038 0x00000080\n"
		       "w4 mmio 0x0080 0x23456000\n" /* addresses in halves */
		       "w4 mmio 0x0084 0x00000001\n"
		       "w4 mmio 0x0090 0x23456800\n"
		       "w4 mmio 0x0094 0x00000001\n"
		       "w4 mmio 0x00a0 0x23456a00\n"
		       "w4 mmio 0x00a4 0x00000001\n"
		       "w4 mmio 0x0044 0x00000001\n"
		       "r4 mmio 0x0044 0x00000001\n"
		       "w4 mmio 0x0070 0x0000000f\n"
		       "w4 mmio 0x0050 0x00000000\n");
}

static void test_start_legacy_sequence(void **state)
{
	struct mmio_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);

	sim_registers_clear(&c->front.registers);
	virtio_world_inflate(&c->world, transport);
	expect_text(c, "w4 mmio 0x0070 0x00000000\n"
		       "r4 mmio 0x0070 0x00000000\n"
		       "w4 mmio 0x0070 0x00000001\n"
		       "w4 mmio 0x0070 0x00000003\n"
		       "w4 mmio 0x0014 0x00000000\n"
		       "r4 mmio 0x0010 0x3000003f\n"
		       "w4 mmio 0x0024 0x00000000\n"
		       "w4 mmio 0x0020 0x00000000\n"
		       "w4 mmio 0x0030 0x00000000\n"
		       "r4 mmio 0x0034 0x00000080\n"
		       "w4 mmio 0x0028 0x00001000\n" /* page size */
		       "w4 mmio 0x0030 0x00000000\n"
		       "r4 mmio 0x0040 0x00000000\n" /* not in use */
		       "w4 mmio 0x0038 0x00000080\n"
		       "w4 mmio 0x003c 0x00001000\n"
		       "w4 mmio 0x0040 0x00123456\n"
		       "r4 mmio 0x0040 0x00123456\n"
		       "w4 mmio 0x0070 0x00000007\n"
		       "w4 mmio 0x0050 0x00000000\n");
}

static void test_config_widths(void **state)
{
	struct mmio_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);
	uint8_t bytes[16];
	uint64_t frames;

	aero_virtio_balloon_host_set_target(&c->world.virtio.device, 0xa1b2c3d4, &frames);
	sim_registers_clear(&c->front.registers);
	transport->config_read(transport->ctx, 0, bytes, 4);
	assert_memory_equal(bytes, "\xd4\xc3\xb2\xa1", 4);
	transport->config_write(transport->ctx, 4, "\x01\x02\x03\x04", 4);
	assert_int_equal(c->world.virtio.device.actual, 0x04030201);
	/* From the middle on: 1 byte, 2 bytes, 4 bytes, 2 bytes. */
	transport->config_read(transport->ctx, 1, bytes, 9);
	assert_memory_equal(bytes, "\xc3\xb2\xa1\x01\x02\x03\x04\x00\x00", 9);
	expect_text(c, "r4 mmio 0x0100 0xa1b2c3d4\n"
		       "w4 mmio 0x0104 0x04030201\n"
		       "r1 mmio 0x0101 0xc3\n"
		       "r2 mmio 0x0102 0xa1b2\n"
		       "r4 mmio 0x0104 0x04030201\n"
		       "r2 mmio 0x0108 0x0000\n");
	transport->config_write(transport->ctx, 5, "\x11\x12\x13\x14\x15\x16\x17\x18", 8);
	expect_text(c, "w1 mmio 0x0105 0x11\n"
		       "w2 mmio 0x0106 0x1312\n"
		       "w4 mmio 0x0108 0x17161514\n"
		       "w1 mmio 0x010c 0x18\n");
}

static void test_generation_is_read_where_there_is_one(void **state)
{
	struct mmio_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);

	c->world.virtio.generation = 7;
	sim_registers_clear(&c->front.registers);
	assert_int_equal(transport->generation(transport->ctx), transport->is_legacy ? 0 : 7);
	expect_text(c, transport->is_legacy ? "" : "r4 mmio 0x00fc 0x00000007\n");
}

static void test_interrupts_are_acknowledged(void **state)
{
	struct mmio_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);

	virtio_world_inflate(&c->world, transport);
	sim_registers_clear(&c->front.registers);
	assert_int_equal(transport->take_interrupts(transport->ctx), AERO_VIRTIO_INTERRUPT_QUEUE);
	assert_int_equal(transport->take_interrupts(transport->ctx), 0);
	expect_text(c, "r4 mmio 0x0060 0x00000001\n"
		       "w4 mmio 0x0064 0x00000001\n"
		       "r4 mmio 0x0060 0x00000000\n");
}

static void test_queue_start_in_use_fails(void **state)
{
	struct mmio_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);

	virtio_world_inflate(&c->world, transport);
	assert_int_equal(virtio_world_start_queue(transport, 128, VIRTIO_WORLD_RING), AERO_EIO);
}

static void test_queue_start_not_taken_fails(void **state)
{
	struct mmio_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);

	/* Where there is no memory the device cannot start it. */
	assert_int_equal(virtio_world_start_queue(transport, 128, 0x5000), AERO_EIO);
	assert_int_equal(transport->queue_size(transport->ctx, 5), 0);
	assert_int_equal(transport->queue_size(transport->ctx, 1u << 20), 0);
}

static void test_queue_start_legacy_address_is_checked(void **state)
{
	struct mmio_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);

	sim_registers_clear(&c->front.registers);
	assert_int_equal(virtio_world_start_queue(transport, 128, VIRTIO_WORLD_RING + 16),
			 AERO_EINVAL);
	assert_int_equal(virtio_world_start_queue(transport, 128, 1ull << 44), AERO_EINVAL);
	assert_int_equal(virtio_world_start_queue(transport, 128, 0), AERO_EINVAL);
	expect_text(c, "");
	/* The last page that can be said; there is no memory. */
	assert_int_equal(virtio_world_start_queue(transport, 128, 0xffffffff000), AERO_EIO);
}

static void test_gone_device_is_survived(void **state)
{
	struct mmio_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);

	c->world.virtio.is_gone = true;
	assert_int_equal(transport->status(transport->ctx), 0xff);
	assert_int_equal(transport->take_interrupts(transport->ctx), 3);
	assert_int_equal(virtio_world_start_queue(transport, 128, VIRTIO_WORLD_RING), AERO_EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MODERN(test_init_reads_identity),
		LEGACY(test_init_legacy_is_known_by_version),
		MODERN(test_init_another_device_is_refused),
		MODERN(test_start_modern_sequence),
		LEGACY(test_start_legacy_sequence),
		MODERN(test_config_widths),
		LEGACY(test_config_widths),
		MODERN(test_generation_is_read_where_there_is_one),
		LEGACY(test_generation_is_read_where_there_is_one),
		MODERN(test_interrupts_are_acknowledged),
		LEGACY(test_interrupts_are_acknowledged),
		MODERN(test_queue_start_in_use_fails),
		LEGACY(test_queue_start_in_use_fails),
		MODERN(test_queue_start_not_taken_fails),
		LEGACY(test_queue_start_not_taken_fails),
		LEGACY(test_queue_start_legacy_address_is_checked),
		MODERN(test_gone_device_is_survived),
		LEGACY(test_gone_device_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
