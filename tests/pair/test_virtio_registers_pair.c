/* SPDX-License-Identifier: MIT */
/*
 * virtio's driver against our device with registers between them: each transport in front of each
 * kind of register, with interrupts and without. The registers note every access against the rules.
 */
#include "support/test.h"

#include "ports/sim/sim_virtio_mmio.h"
#include "ports/sim/sim_virtio_pci.h"
#include "support/virtio_pair.h"

#define MIB(n) ((uint64_t)(n) << 8)

enum kind {
	PCI_MODERN,
	PCI_MODERN_MSIX,
	PCI_LEGACY,
	PCI_LEGACY_MSIX,
	MMIO,
	MMIO_LEGACY,
};

struct registers_case {
	struct virtio_pair pair;
	struct sim_virtio_pci pci_front;
	struct sim_virtio_mmio mmio_front;
	struct aero_virtio_pci pci;
	struct aero_virtio_mmio mmio;
	struct sim_registers *registers;
};

static const char *const names[] = {
	"PCI", "PCI, MSI-X", "PCI legacy", "PCI legacy, MSI-X", "MMIO", "MMIO legacy",
};

static bool is_legacy(enum kind kind)
{
	return kind == PCI_LEGACY || kind == PCI_LEGACY_MSIX || kind == MMIO_LEGACY;
}

static const struct aero_virtio_transport *open_pci(struct registers_case *c, enum kind kind)
{
	bool is_msix = kind == PCI_MODERN_MSIX || kind == PCI_LEGACY_MSIX;
	struct aero_virtio_pci_config config = { .function = &c->pci_front.function };

	sim_virtio_pci_init(&c->pci_front,
			    is_legacy(kind) ? SIM_VIRTIO_PCI_LEGACY : SIM_VIRTIO_PCI_MODERN,
			    &c->pair.virtio.transport, NULL, 0);
	c->pci_front.is_msix = is_msix;
	c->pci_front.vectors = is_msix ? 2 : 0;
	config.config_vector = is_msix ? 0 : AERO_VIRTIO_PCI_NO_VECTOR;
	config.queue_vector = is_msix ? 1 : AERO_VIRTIO_PCI_NO_VECTOR;
	assert_int_equal(aero_virtio_pci_init(&c->pci, &config), AERO_OK);
	c->registers = &c->pci_front.registers;
	return &c->pci.transport;
}

static const struct aero_virtio_transport *open_mmio(struct registers_case *c)
{
	sim_virtio_mmio_init(&c->mmio_front, &c->pair.virtio.transport, NULL, 0);
	assert_int_equal(aero_virtio_mmio_init(&c->mmio, &c->mmio_front.window,
					       AERO_VIRTIO_ID_BALLOON),
			 AERO_OK);
	c->registers = &c->mmio_front.registers;
	return &c->mmio.transport;
}

/* The recorder that is in front of the loopback goes in front of the transport instead. */
static void open_case(struct registers_case *c, enum kind kind, bool is_polled, uint64_t declined)
{
	struct virtio_pair_options options = {
		.device.is_legacy = is_legacy(kind),
		.device.is_big_endian_guest = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__,
		.guest.declined = declined,
		.guest.reporting.is_pulling = true,
		.stats = 0x8031,
	};

	virtio_pair_open(&c->pair, &options);
	c->pair.thorough = 64;
	c->pair.record.behind = kind < MMIO ? open_pci(c, kind) : open_mmio(c);
	assert_int_equal(c->pair.record.behind->is_legacy, is_legacy(kind));
	c->pair.is_polled = is_polled;
	if (!c->pair.record.behind->take_interrupts)
		c->pair.record.transport.take_interrupts = NULL;
}

static void good(const struct registers_case *c, enum kind kind, const char *where)
{
	if (c->pair.problem[0])
		fail_msg("%s, %s: %s", names[kind], where, c->pair.problem);
	if (c->registers->violations)
		fail_msg("%s, %s: %s", names[kind], where, c->registers->violation);
}

static void close_case(struct registers_case *c, enum kind kind)
{
	const char *problem = virtio_pair_close(&c->pair);

	if (problem)
		fail_msg("%s: %s", names[kind], problem);
}

static void resize(struct registers_case *c, enum kind kind, uint64_t frames)
{
	(void)virtio_pair_target(&c->pair, frames);
	(void)virtio_pair_run(&c->pair, 2 * VIRTIO_PAIR_SECOND);
	(void)virtio_pair_is_settled(&c->pair);
	good(c, kind, "a resize");
	assert_int_equal(virtio_pair_frames(&c->pair), frames);
}

static void test_resizes_on_every_transport(void **state)
{
	static const uint64_t declined[] = { 0, VIRTIO_PAIR_T(RING_PACKED),
					     VIRTIO_PAIR_T(INDIRECT_DESC) |
						     VIRTIO_PAIR_T(EVENT_IDX) };
	struct registers_case *c = calloc(1, sizeof(*c));

	(void)state;
	assert_non_null(c);
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(names) * TEST_ARRAY_SIZE(declined) * 2; i++) {
		enum kind kind = (enum kind)(i % TEST_ARRAY_SIZE(names));
		bool is_polled = i / TEST_ARRAY_SIZE(names) % 2;

		/* With MSI-X there is nothing to be asked. */
		if (is_polled && (kind == PCI_MODERN_MSIX || kind == PCI_LEGACY_MSIX))
			continue;
		open_case(c, kind, is_polled, declined[i / TEST_ARRAY_SIZE(names) / 2]);
		resize(c, kind, MIB(9));
		resize(c, kind, MIB(3) + 1);
		resize(c, kind, MIB(20));
		resize(c, kind, 0);
		close_case(c, kind);
	}
	free(c);
}

static void test_vectors_are_where_they_belong(void **state)
{
	static const enum kind kinds[] = { PCI_MODERN_MSIX, PCI_LEGACY_MSIX };
	struct registers_case *c = calloc(1, sizeof(*c));

	(void)state;
	assert_non_null(c);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(kinds); i++) {
		open_case(c, kinds[i], false, 0);
		resize(c, kinds[i], MIB(4));
		assert_int_equal(c->registers->config_vector, 0);
		for (unsigned int queue = 0; queue < SIM_REGISTERS_QUEUES; queue++)
			assert_int_equal(c->registers->queue[queue].vector,
					 c->registers->queue[queue].is_ready ? 1 : 0xffff);
		close_case(c, kinds[i]);
	}
	free(c);
}

static void test_device_that_needs_a_reset_gets_one(void **state)
{
	struct registers_case *c = calloc(1, sizeof(*c));

	(void)state;
	assert_non_null(c);
	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(names); i++) {
		enum kind kind = (enum kind)i;

		open_case(c, kind, false, 0);
		resize(c, kind, MIB(8));
		sim_virtio_need_reset(&c->pair.virtio);
		(void)virtio_pair_run(&c->pair, 5 * VIRTIO_PAIR_SECOND);
		resize(c, kind, MIB(9));
		assert_true(c->pair.virtio.resets >= 2);
		close_case(c, kind);
	}
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resizes_on_every_transport),
		cmocka_unit_test(test_vectors_are_where_they_belong),
		cmocka_unit_test(test_device_that_needs_a_reset_gets_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
