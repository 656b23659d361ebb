/* SPDX-License-Identifier: MIT */
#include "support/virtio_world.h"

#include "ports/sim/sim_virtio_pci.h"

/* The PCI transports, against sequences written by hand and devices that lie. */

#define NO_VECTOR AERO_VIRTIO_PCI_NO_VECTOR

struct pci_case {
	struct virtio_world world;
	struct sim_virtio_pci front;
	struct aero_virtio_pci pci;
	struct aero_virtio_pci_config config;
};

static int open_case(void **state, enum sim_virtio_pci_kind kind, bool is_legacy)
{
	struct pci_case *c = malloc(sizeof(*c));

	assert_non_null(c);
	virtio_world_open(&c->world, is_legacy);
	sim_virtio_pci_init(&c->front, kind, &c->world.virtio.transport, c->world.text,
			    sizeof(c->world.text));
	c->config =
		(struct aero_virtio_pci_config){ &c->front.function, false, NO_VECTOR, NO_VECTOR };
	*state = c;
	return 0;
}

static int open_modern(void **state)
{
	return open_case(state, SIM_VIRTIO_PCI_MODERN, false);
}

static int open_legacy(void **state)
{
	return open_case(state, SIM_VIRTIO_PCI_LEGACY, true);
}

static int open_both(void **state)
{
	return open_case(state, SIM_VIRTIO_PCI_TRANSITIONAL, true);
}

static int close_case(void **state)
{
	struct pci_case *c = *state;

	if (c->front.registers.violations)
		fail_msg("%s", c->front.registers.violation);
	virtio_world_close(&c->world);
	free(c);
	return 0;
}

#define MODERN(f) cmocka_unit_test_setup_teardown(f, open_modern, close_case)
#define LEGACY(f) cmocka_unit_test_setup_teardown(f, open_legacy, close_case)
#define BOTH(f) cmocka_unit_test_setup_teardown(f, open_both, close_case)

static const struct aero_virtio_transport *init(struct pci_case *c)
{
	assert_int_equal(aero_virtio_pci_init(&c->pci, &c->config), AERO_OK);
	sim_registers_clear(&c->front.registers);
	return &c->pci.transport;
}

static void expect_init(struct pci_case *c, enum aero_status status)
{
	assert_int_equal(aero_virtio_pci_init(&c->pci, &c->config), status);
}

static void expect_text(struct pci_case *c, const char *text)
{
	assert_string_equal(c->world.text, text);
	sim_registers_clear(&c->front.registers);
}

static void put(struct pci_case *c, uint32_t offset, unsigned int bytes, uint32_t value)
{
	sim_virtio_pci_put(&c->front, offset, bytes, value);
}

/* A capability of its own at 0xb0, first of all in the list. */
static void put_first(struct pci_case *c, uint32_t type, uint32_t bar, uint32_t offset,
		      uint32_t len)
{
	put(c, 0xb0, 4, 0x00100009 | type << 24 | (uint32_t)c->front.config[0x34] << 8);
	put(c, 0xb4, 4, bar);
	put(c, 0xb8, 4, offset);
	put(c, 0xbc, 4, len);
	put(c, 0x34, 1, 0xb0);
}

/* Works in the end, whatever was put before. */
static void expect_works(struct pci_case *c)
{
	virtio_world_inflate(&c->world, init(c));
}

static void test_start_modern_sequence(void **state)
{
	struct pci_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);

	assert_false(transport->is_legacy);
	virtio_world_inflate(&c->world, transport);
	expect_text(c, "w1 bar4 0x0014 0x00\n" /* reset, until it reads 0 */
		       "r1 bar4 0x0014 0x00\n"
		       "w1 bar4 0x0014 0x01\n"
		       "w1 bar4 0x0014 0x03\n"
		       "w4 bar4 0x0000 0x00000000\n" /* features offered */
		       "r4 bar4 0x0004 0x3000003f\n"
		       "w4 bar4 0x0000 0x00000001\n"
		       "r4 bar4 0x0004 0x0000000d\n"
		       "w4 bar4 0x0008 0x00000000\n" /* and accepted: VERSION_1 */
		       "w4 bar4 0x000c 0x00000000\n"
		       "w4 bar4 0x0008 0x00000001\n"
		       "w4 bar4 0x000c 0x00000001\n"
		       "w1 bar4 0x0014 0x0b\n"
		       "r1 bar4 0x0014 0x0b\n"
		       "w2 bar4 0x0016 0x0000\n" /* queue 0: its size */
		       "r2 bar4 0x0018 0x0080\n"
		       "w2 bar4 0x0016 0x0000\n"
		       "r2 bar4 0x001e 0x0000\n" /* where its notifications go */
		       "w2 bar4 0x0018 0x0080\n"
		       "w4 bar4 0x0020 0x23456000\n" /* addresses in halves */
		       "w4 bar4 0x0024 0x00000001\n"
		       "w4 bar4 0x0028 0x23456800\n"
		       "w4 bar4 0x002c 0x00000001\n"
		       "w4 bar4 0x0030 0x23456a00\n"
		       "w4 bar4 0x0034 0x00000001\n"
		       "w2 bar4 0x001c 0x0001\n"
		       "r2 bar4 0x001c 0x0001\n"
		       "w1 bar4 0x0014 0x0f\n"
		       "w2 bar4 0x3000 0x0000\n");
}

static void test_start_legacy_sequence(void **state)
{
	struct pci_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);

	assert_true(transport->is_legacy);
	assert_int_equal(transport->ring_align, 4096);
	virtio_world_inflate(&c->world, transport);
	expect_text(c, "w1 bar0 0x0012 0x00\n"
		       "r1 bar0 0x0012 0x00\n"
		       "w1 bar0 0x0012 0x01\n"
		       "w1 bar0 0x0012 0x03\n"
		       "r4 bar0 0x0000 0x3000003f\n"
		       "w4 bar0 0x0004 0x00000000\n"
		       "w2 bar0 0x000e 0x0000\n"
		       "r2 bar0 0x000c 0x0080\n"
		       "w2 bar0 0x000e 0x0000\n"
		       "r2 bar0 0x000c 0x0080\n"
		       "r4 bar0 0x0008 0x00000000\n" /* not in use */
		       "w4 bar0 0x0008 0x00123456\n"
		       "r4 bar0 0x0008 0x00123456\n"
		       "w1 bar0 0x0012 0x07\n"
		       "w2 bar0 0x0010 0x0000\n");
}

static void test_msix_modern_vectors_are_told_once_and_after_reset(void **state)
{
	struct pci_case *c = *state;
	const struct aero_virtio_transport *transport;

	c->front.vectors = 2;
	c->config.config_vector = 0;
	c->config.queue_vector = 1;
	transport = init(c);
	assert_null(transport->take_interrupts);
	virtio_world_inflate(&c->world, transport);
	assert_non_null(strstr(c->world.text, "w2 bar4 0x0010 0x0000\n"
					      "r2 bar4 0x0010 0x0000\n"
					      "w2 bar4 0x001a 0x0001\n"
					      "r2 bar4 0x001a 0x0001\n"
					      "w2 bar4 0x001c 0x0001\n"));
	sim_registers_clear(&c->front.registers);
	assert_int_equal(transport->queue_start(transport->ctx, 1,
						&(struct aero_virtio_ring){ 128, 0, 0, 0 }),
			 AERO_EIO);
	assert_null(strstr(c->world.text, "0x0010 "));
	assert_non_null(strstr(c->world.text, "w2 bar4 0x001a 0x0001\n"));
	virtio_world_inflate(&c->world, transport);
	assert_int_equal(c->front.registers.config_vector, 0);
	assert_int_equal(c->front.registers.queue[0].vector, 1);
}

static void test_msix_refused_vector_fails(void **state)
{
	struct pci_case *c = *state;
	const struct aero_virtio_transport *transport;

	c->front.is_msix = true;
	c->front.vectors = 1;
	c->config.config_vector = 0;
	c->config.queue_vector = 1;
	transport = init(c);
	assert_int_equal(virtio_world_start_queue(transport, 128, VIRTIO_WORLD_RING), AERO_EIO);
	c->config.config_vector = 1;
	c->config.queue_vector = NO_VECTOR;
	transport = init(c);
	transport->set_status(transport->ctx, 0);
	assert_int_equal(virtio_world_start_queue(transport, 128, VIRTIO_WORLD_RING), AERO_EIO);
}

static void test_msix_legacy_moves_configuration(void **state)
{
	struct pci_case *c = *state;
	const struct aero_virtio_transport *transport;
	uint64_t frames;
	uint8_t bytes[4];

	c->front.is_msix = true;
	c->front.vectors = 2;
	c->config.config_vector = 1;
	c->config.queue_vector = 0;
	transport = init(c);
	assert_null(transport->take_interrupts);
	virtio_world_inflate(&c->world, transport);
	assert_non_null(strstr(c->world.text, "w4 bar0 0x0008 0x00123456\n"
					      "w2 bar0 0x0014 0x0001\n"
					      "r2 bar0 0x0014 0x0001\n"
					      "w2 bar0 0x0016 0x0000\n"
					      "r2 bar0 0x0016 0x0000\n"));
	aero_virtio_balloon_host_set_target(&c->world.virtio.device, 9, &frames);
	sim_registers_clear(&c->front.registers);
	transport->config_read(transport->ctx, 0, bytes, 4);
	assert_memory_equal(bytes, "\x09\0\0\0", 4);
	expect_text(c, "r4 bar0 0x0018 0x00000009\n");
}

static void test_config_and_interrupts(void **state)
{
	struct pci_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);
	uint64_t frames;
	uint8_t bytes[4];

	virtio_world_inflate(&c->world, transport);
	assert_int_equal(transport->take_interrupts(transport->ctx), AERO_VIRTIO_INTERRUPT_QUEUE);
	aero_virtio_balloon_host_set_target(&c->world.virtio.device, 0xa1b2c3d4, &frames);
	c->world.virtio.generation = 0x55;
	sim_registers_clear(&c->front.registers);
	assert_int_equal(transport->generation(transport->ctx), transport->is_legacy ? 0 : 0x55);
	assert_int_equal(transport->take_interrupts(transport->ctx), AERO_VIRTIO_INTERRUPT_CONFIG);
	transport->config_read(transport->ctx, 0, bytes, 4);
	assert_memory_equal(bytes, "\xd4\xc3\xb2\xa1", 4);
	transport->config_write(transport->ctx, 4, "\x01\x02\x03\x04", 4);
	assert_int_equal(c->world.virtio.device.actual, 0x04030201);
	if (transport->is_legacy)
		expect_text(c, "r1 bar0 0x0013 0x02\n"
			       "r4 bar0 0x0014 0xa1b2c3d4\n"
			       "w4 bar0 0x0018 0x04030201\n");
	else
		expect_text(c, "r1 bar4 0x0015 0x55\n"
			       "r1 bar4 0x1000 0x02\n"
			       "r4 bar4 0x2000 0xa1b2c3d4\n"
			       "w4 bar4 0x2004 0x04030201\n");
}

static void test_config_beyond_its_window_reads_zero(void **state)
{
	struct pci_case *c = *state;
	const struct aero_virtio_transport *transport;
	uint8_t bytes[8];
	uint64_t frames;

	put(c, SIM_VIRTIO_PCI_CAP_DEVICE + 12, 4, 4);
	transport = init(c);
	aero_virtio_balloon_host_set_target(&c->world.virtio.device, 0x01010101, &frames);
	memset(bytes, 0xee, sizeof(bytes));
	transport->config_read(transport->ctx, 0, bytes, 8);
	assert_memory_equal(bytes, "\1\1\1\1\0\0\0\0", 8);
	transport->config_read(transport->ctx, 0xfffffffc, bytes, 4);
	assert_memory_equal(bytes, "\0\0\0\0", 4);
	transport->config_write(transport->ctx, 4, "\1\1\1\1", 4);
	assert_int_equal(c->world.virtio.device.actual, 0);
	expect_text(c, "r4 bar4 0x2000 0x01010101\n");
}

static void test_init_not_virtio_is_refused(void **state)
{
	struct pci_case *c = *state;

	put(c, 0x00, 2, 0x8086);
	expect_init(c, AERO_ENOTSUP);
	put(c, 0x00, 2, 0x1af4);
	put(c, 0x02, 2, 0x0fff);
	expect_init(c, AERO_ENOTSUP);
	put(c, 0x02, 2, 0x1080);
	expect_init(c, AERO_ENOTSUP);
	put(c, 0x00, 4, 0xffffffff);
	expect_init(c, AERO_ENOTSUP);
	/* The first and the last id; what follows the revision and the BAR is another field. */
	put(c, 0x00, 4, 0x10001af4);
	put(c, 0x09, 1, 0x55);
	put(c, 0x35, 1, 0x55);
	put(c, SIM_VIRTIO_PCI_CAP_COMMON + 5, 1, 0x55);
	expect_init(c, AERO_OK);
	put(c, 0x02, 2, 0x107f);
	c->front.bar_bytes[0] = 0;
	if (c->front.config[0x34])
		expect_init(c, AERO_OK);
}

static void test_init_touches_no_register(void **state)
{
	struct pci_case *c = *state;

	expect_init(c, AERO_OK);
	assert_null(strstr(c->world.text, "bar"));
	assert_int_equal(c->front.registers.writes, 0);
}

static void test_init_interface_that_is_not_there_is_refused(void **state)
{
	struct pci_case *c = *state;

	c->config.is_legacy_wanted = true;
	expect_init(c, AERO_ENOTSUP);
	c->config.is_legacy_wanted = false;
	put(c, 0x06, 2, 0);
	expect_init(c, AERO_ENOTSUP);
}

static void test_init_legacy_wants_its_registers(void **state)
{
	struct pci_case *c = *state;

	c->front.bar_bytes[0] = 20;
	expect_init(c, AERO_ENOTSUP);
	c->front.bar_bytes[0] = 64;
	put(c, 0x08, 1, 1);
	expect_init(c, AERO_ENOTSUP);
	put(c, 0x08, 1, 0);
	c->front.bar_bytes[0] = 1ull << 32;
	expect_init(c, AERO_ENOTSUP);
	c->front.bar_bytes[0] = UINT32_MAX;
	expect_init(c, AERO_OK);
	put(c, 0x02, 2, 0x103f);
	expect_init(c, AERO_OK);
	put(c, 0x02, 2, 0x1040);
	expect_init(c, AERO_ENOTSUP);
}

static void test_init_transitional_prefers_modern(void **state)
{
	struct pci_case *c = *state;

	expect_init(c, AERO_OK);
	assert_false(c->pci.transport.is_legacy);
	c->config.is_legacy_wanted = true;
	expect_init(c, AERO_OK);
	assert_true(c->pci.transport.is_legacy);
	expect_works(c);
	/* A BAR that is not mapped leaves the old interface. */
	c->config.is_legacy_wanted = false;
	c->front.bar_bytes[SIM_VIRTIO_PCI_BAR] = 0;
	expect_init(c, AERO_OK);
	assert_true(c->pci.transport.is_legacy);
	expect_works(c);
}

static void test_capability_of_every_kind_is_needed(void **state)
{
	static const uint32_t places[] = { SIM_VIRTIO_PCI_CAP_COMMON, SIM_VIRTIO_PCI_CAP_ISR,
					   SIM_VIRTIO_PCI_CAP_DEVICE, SIM_VIRTIO_PCI_CAP_NOTIFY };
	struct pci_case *c = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(places); i++) {
		put(c, places[i], 1, 0x11);
		expect_init(c, AERO_ENOTSUP);
		put(c, places[i], 1, 0x09);
	}
	expect_works(c);
}

static void test_capability_of_no_use_is_passed_over(void **state)
{
	/* Type, BAR, offset, length. */
	static const uint32_t cases[][4] = {
		{ 0, 4, 0, 0x1000 },
		{ 8, 4, 0, 0x1000 },
		{ 9, 4, 0, 0x1000 },
		{ 255, 4, 0, 0x1000 }, /* types */
		{ 1, 6, 0, 0x1000 },
		{ 1, 255, 0, 0x1000 }, /* BARs */
		{ 1, 3, 0, 0x1000 },   /* one not mapped */
		{ 1, 4, 0, 55 },
		{ 1, 4, 0, 0 },
		{ 3, 4, 0x1000, 0 },
		{ 4, 4, 0x2000, 3 }, /* too short */
		{ 1, 4, 2, 0x1000 },
		{ 4, 4, 0x2001, 16 }, /* odd */
		{ 1, 4, 0x4000, 56 },
		{ 1, 4, 0x3fe0, 56 }, /* outside */
		{ 1, 4, 0xfffffffc, 0x1000 },
		{ 1, 4, 0, 0x4001 },
		{ 1, 4, 4, 0xfffffffc },
		{ 1, 4, 0xffffffc0, 0xffffffff },
	};
	struct pci_case *c = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		put(c, 0x34, 1, SIM_VIRTIO_PCI_CAP_MSIX);
		put_first(c, cases[i][0], cases[i][1], cases[i][2], cases[i][3]);
		expect_works(c);
	}
}

static void test_capability_too_short_for_its_kind_is_passed_over(void **state)
{
	struct pci_case *c = *state;

	put(c, SIM_VIRTIO_PCI_CAP_COMMON + 2, 1, 15);
	expect_init(c, AERO_ENOTSUP);
	put(c, SIM_VIRTIO_PCI_CAP_COMMON + 2, 1, 16);
	put(c, SIM_VIRTIO_PCI_CAP_NOTIFY + 2, 1, 19);
	expect_init(c, AERO_ENOTSUP);
	put(c, SIM_VIRTIO_PCI_CAP_NOTIFY + 2, 1, 20);
	expect_works(c);
	/* At the end of configuration space there is no room for one. */
	put(c, 0xf4, 4, 0x01100009 | SIM_VIRTIO_PCI_CAP_MSIX << 8);
	put(c, 0xfc, 4, 0x40);
	put(c, 0x34, 1, 0xf4);
	expect_works(c);
	/* With the last byte of it there is. */
	put(c, 0xf0, 4, 0x01100009 | SIM_VIRTIO_PCI_CAP_ISR << 8);
	put(c, 0xf4, 4, SIM_VIRTIO_PCI_BAR);
	put(c, 0xf8, 4, 0);
	put(c, 0xfc, 4, 0x1000);
	put(c, 0x34, 1, 0xf0);
	expect_works(c);
	put(c, 0xfc, 4, 0x40000009);
	put(c, 0x34, 1, 0xfc);
	expect_init(c, AERO_ENOTSUP);
}

static void test_capability_first_of_a_kind_is_preferred(void **state)
{
	struct pci_case *c = *state;

	put_first(c, 4, SIM_VIRTIO_PCI_BAR, SIM_VIRTIO_PCI_DEVICE + 4, 8);
	init(c);
	c->pci.transport.config_write(&c->pci, 0, "\1\0\0\0", 4);
	assert_int_equal(c->world.virtio.device.actual, 1);
}

static void test_capability_list_without_end_is_refused(void **state)
{
	struct pci_case *c = *state;

	put(c, SIM_VIRTIO_PCI_CAP_ACCESS + 1, 1, SIM_VIRTIO_PCI_CAP_ACCESS);
	expect_init(c, AERO_EPROTO);
	put(c, SIM_VIRTIO_PCI_CAP_ACCESS + 1, 1, SIM_VIRTIO_PCI_CAP_MSIX);
	expect_init(c, AERO_EPROTO);
	assert_true(c->front.registers.reads < 2000);
	/* Below the first place for one lies the header. */
	put(c, SIM_VIRTIO_PCI_CAP_ACCESS + 1, 1, 0x3c);
	expect_init(c, AERO_EPROTO);
	put(c, SIM_VIRTIO_PCI_CAP_ACCESS + 1, 1, 0);
	/* The two low bits of a place are reserved. */
	put(c, 0x34, 1, SIM_VIRTIO_PCI_CAP_MSIX | 3);
	put(c, SIM_VIRTIO_PCI_CAP_ISR + 1, 1, SIM_VIRTIO_PCI_CAP_DEVICE | 3);
	expect_works(c);
}

static void test_capability_in_the_last_bar(void **state)
{
	struct pci_case *c = *state;

	c->front.bar_bytes[5] = 0x1000;
	put_first(c, AERO_VIRTIO_PCI_CAP_ISR, 5, 0xfff, 1);
	init(c);
	assert_int_equal(c->pci.window[AERO_VIRTIO_PCI_CAP_ISR].bar, 5);
	assert_int_equal(c->pci.window[AERO_VIRTIO_PCI_CAP_ISR].offset, 0xfff);
}

static void test_notify_address_of_each_queue(void **state)
{
	struct pci_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);
	struct aero_virtio_ring ring = { 128, VIRTIO_WORLD_RING, VIRTIO_WORLD_RING + 2048,
					 VIRTIO_WORLD_RING + 2560 };

	assert_int_equal(transport->queue_start(transport->ctx, 3, &ring), AERO_OK);
	sim_registers_clear(&c->front.registers);
	transport->notify(transport->ctx, 3);
	expect_text(c, "w2 bar4 0x300c 0x0003\n");
}

static void test_notify_address_outside_is_refused(void **state)
{
	struct pci_case *c = *state;
	const struct aero_virtio_transport *transport;
	struct aero_virtio_ring ring = { 128, VIRTIO_WORLD_RING, VIRTIO_WORLD_RING + 2048,
					 VIRTIO_WORLD_RING + 2560 };

	transport = init(c);
	assert_int_equal(transport->queue_start(transport->ctx, AERO_VIRTIO_PCI_QUEUES, &ring),
			 AERO_EIO);
	expect_text(c, "");
	put(c, SIM_VIRTIO_PCI_CAP_NOTIFY + 12, 4, 6);
	transport = init(c);
	assert_int_equal(transport->queue_start(transport->ctx, 1, &ring), AERO_OK);
	transport->set_status(transport->ctx, 0);
	put(c, SIM_VIRTIO_PCI_CAP_NOTIFY + 12, 4, 5);
	transport = init(c);
	assert_int_equal(transport->queue_start(transport->ctx, 1, &ring), AERO_EIO);
	put(c, SIM_VIRTIO_PCI_CAP_NOTIFY + 16, 4, 0xffffffff);
	transport = init(c);
	assert_int_equal(transport->queue_start(transport->ctx, 2, &ring), AERO_EIO);
	assert_int_equal(transport->queue_start(transport->ctx, 0, &ring), AERO_OK);
	assert_int_equal(transport->queue_size(transport->ctx, AERO_VIRTIO_PCI_QUEUES), 0);
	assert_int_equal(transport->queue_start(transport->ctx, AERO_VIRTIO_PCI_QUEUES, &ring),
			 AERO_EIO);
}

/* A device that says so makes no access that the port may not do. */
static void test_notify_address_that_is_odd_is_refused(void **state)
{
	struct pci_case *c = *state;
	const struct aero_virtio_transport *transport;
	struct aero_virtio_ring ring = { 128, VIRTIO_WORLD_RING, VIRTIO_WORLD_RING + 2048,
					 VIRTIO_WORLD_RING + 2560 };

	put(c, SIM_VIRTIO_PCI_CAP_NOTIFY + 16, 4, 1);
	transport = init(c);
	assert_int_equal(transport->queue_start(transport->ctx, 1, &ring), AERO_EIO);
	assert_int_equal(transport->queue_start(transport->ctx, 3, &ring), AERO_EIO);
	assert_null(strstr(c->world.text, "0x001c"));
	assert_int_equal(transport->queue_start(transport->ctx, 2, &ring), AERO_OK);
}

static void test_queue_start_legacy_is_checked(void **state)
{
	struct pci_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);

	assert_int_equal(virtio_world_start_queue(transport, 128, VIRTIO_WORLD_RING + 16),
			 AERO_EINVAL);
	assert_int_equal(virtio_world_start_queue(transport, 128, 1ull << 44), AERO_EINVAL);
	assert_int_equal(virtio_world_start_queue(transport, 128, 0), AERO_EINVAL);
	expect_text(c, "");
	/* The last page that can be said; there is no memory. */
	assert_int_equal(virtio_world_start_queue(transport, 128, 0xffffffff000), AERO_EIO);
	assert_int_equal(virtio_world_start_queue(transport, 64, VIRTIO_WORLD_RING), AERO_EIO);
	assert_int_equal(virtio_world_start_queue(transport, 128, 0x5000), AERO_EIO);
	assert_int_equal(virtio_world_start_queue(transport, 128, VIRTIO_WORLD_RING), AERO_OK);
	assert_int_equal(virtio_world_start_queue(transport, 128, VIRTIO_WORLD_RING), AERO_EIO);
}

static void test_gone_device_is_survived(void **state)
{
	struct pci_case *c = *state;
	const struct aero_virtio_transport *transport = init(c);

	c->world.virtio.is_gone = true;
	assert_int_equal(transport->status(transport->ctx), 0xff);
	assert_int_equal(transport->queue_size(transport->ctx, 0), 0xffff);
	assert_int_equal(transport->take_interrupts(transport->ctx), 3);
	assert_int_equal(virtio_world_start_queue(transport, 128, VIRTIO_WORLD_RING), AERO_EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MODERN(test_start_modern_sequence),
		LEGACY(test_start_legacy_sequence),
		MODERN(test_msix_modern_vectors_are_told_once_and_after_reset),
		MODERN(test_msix_refused_vector_fails),
		LEGACY(test_msix_refused_vector_fails),
		LEGACY(test_msix_legacy_moves_configuration),
		MODERN(test_config_and_interrupts),
		LEGACY(test_config_and_interrupts),
		MODERN(test_config_beyond_its_window_reads_zero),
		MODERN(test_init_not_virtio_is_refused),
		LEGACY(test_init_not_virtio_is_refused),
		MODERN(test_init_touches_no_register),
		LEGACY(test_init_touches_no_register),
		MODERN(test_init_interface_that_is_not_there_is_refused),
		LEGACY(test_init_legacy_wants_its_registers),
		BOTH(test_init_transitional_prefers_modern),
		MODERN(test_capability_of_every_kind_is_needed),
		MODERN(test_capability_of_no_use_is_passed_over),
		MODERN(test_capability_too_short_for_its_kind_is_passed_over),
		MODERN(test_capability_first_of_a_kind_is_preferred),
		MODERN(test_capability_list_without_end_is_refused),
		MODERN(test_capability_in_the_last_bar),
		MODERN(test_notify_address_of_each_queue),
		MODERN(test_notify_address_outside_is_refused),
		MODERN(test_notify_address_that_is_odd_is_refused),
		LEGACY(test_queue_start_legacy_is_checked),
		MODERN(test_gone_device_is_survived),
		LEGACY(test_gone_device_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
