/* SPDX-License-Identifier: MIT */
#include "support/virtio_rig.h"

/* Start, stop and changes of the memory map. */

static void start_expect(const struct virtio_rig *rig,
			 const struct aero_virtio_queue_config *config, enum aero_status expected)
{
	struct aero_virtio_queue queue;

	(void)rig;
	memset(&queue, 0, sizeof(queue));
	assert_int_equal(aero_virtio_queue_start(&queue, config), expected);
	assert_int_equal(queue.is_started, expected == AERO_OK);
}

static void test_start_size_not_allowed_einval(void **state)
{
	static const uint32_t split[] = { 0, 3, 7, 24, 32769, 65536, 0x80000000u, UINT32_MAX };
	static const uint32_t packed[] = { 0, 32769, 65536, UINT32_MAX };
	struct virtio_rig rig;
	struct aero_virtio_queue_config config;

	(void)state;
	virtio_rig_open(&rig, &(struct aero_virtio_queue_config){ .size = 8 });
	config = rig.drv.ring;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(split); i++) {
		config.size = split[i];
		start_expect(&rig, &config, AERO_EINVAL);
	}
	config.is_packed = true;
	config.base = 0x80008000u;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(packed); i++) {
		config.size = packed[i];
		start_expect(&rig, &config, AERO_EINVAL);
	}
	virtio_rig_close(&rig);
}

static void test_start_every_size_ok(void **state)
{
	static const uint32_t split[] = { 1, 2, 4, 256, 32768 };
	static const uint32_t packed[] = { 1, 2, 3, 5, 1000, 32767, 32768 };
	struct virtio_rig rig;

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(split); i++) {
		virtio_rig_open(&rig, &(struct aero_virtio_queue_config){ .size = split[i] });
		virtio_rig_close(&rig);
	}
	for (size_t i = 0; i < TEST_ARRAY_SIZE(packed); i++) {
		virtio_rig_open(&rig, &(struct aero_virtio_queue_config){ .size = packed[i],
									  .is_packed = true });
		virtio_rig_close(&rig);
	}
}

/* The largest shift that still counts as aligned, and one below it. */
static void check_alignment(struct virtio_rig *rig, aero_gpa *part, unsigned int align)
{
	aero_gpa good = *part;

	for (unsigned int shift = 1; shift < 2 * align; shift++) {
		*part = good + shift;
		start_expect(rig, &rig->drv.ring, shift == align ? AERO_OK : AERO_EINVAL);
	}
	*part = good;
}

static void test_start_misaligned_part_einval(void **state)
{
	bool is_packed = virtio_rig_ring(state)->is_packed;
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	check_alignment(&rig, &rig.drv.ring.desc, 16);
	if (is_packed) {
		check_alignment(&rig, &rig.drv.ring.driver, 4);
		check_alignment(&rig, &rig.drv.ring.device, 4);
	} else {
		rig.drv.ring.driver += 2;
		start_expect(&rig, &rig.drv.ring, AERO_OK);
		rig.drv.ring.driver -= 1;
		start_expect(&rig, &rig.drv.ring, AERO_EINVAL);
		rig.drv.ring.driver -= 1;
		check_alignment(&rig, &rig.drv.ring.device, 4);
	}
	virtio_rig_close(&rig);
}

static void test_start_no_memory_einval(void **state)
{
	struct aero_host_memory nothing;
	struct virtio_rig rig;

	memset(&nothing, 0, sizeof(nothing));
	virtio_rig_open(&rig, virtio_rig_ring(state));
	rig.drv.ring.memory = NULL;
	start_expect(&rig, &rig.drv.ring, AERO_EINVAL);
	rig.drv.ring.memory = &nothing;
	start_expect(&rig, &rig.drv.ring, AERO_EINVAL);
	virtio_rig_close(&rig);
}

static void test_start_base_outside_ring_einval(void **state)
{
	struct virtio_rig rig;
	struct aero_virtio_queue_config *ring = &rig.drv.ring;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	if (ring->is_packed) {
		ring->base = 0x80008000u | ring->size;
		start_expect(&rig, ring, AERO_EINVAL);
		ring->base = 0x80008000u | ring->size << 16;
		start_expect(&rig, ring, AERO_EINVAL);
		ring->base = 0x80008000u | (ring->size - 1) << 16 | (ring->size - 1);
		start_expect(&rig, ring, AERO_OK);
	} else {
		ring->base = 0x10000;
		start_expect(&rig, ring, AERO_EINVAL);
		ring->base = 0xffff;
		start_expect(&rig, ring, AERO_OK);
	}
	virtio_rig_close(&rig);
}

static void test_start_packed_big_endian_einval(void **state)
{
	struct virtio_rig rig;

	(void)state;
	virtio_rig_open(&rig, &(struct aero_virtio_queue_config){ .size = 8, .is_packed = true });
	rig.drv.ring.is_big_endian = true;
	start_expect(&rig, &rig.drv.ring, AERO_EINVAL);
	virtio_rig_close(&rig);
}

static void test_start_part_across_regions_erange(void **state)
{
	struct virtio_rig rig;
	struct aero_virtio_queue_config config;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	config = rig.drv.ring;
	config.desc = VIRTIO_RIG_SEAM - 16;
	start_expect(&rig, &config, AERO_ERANGE);
	config.desc = VIRTIO_RIG_SEAM - 16 * config.size;
	start_expect(&rig, &config, AERO_OK);
	config.driver = VIRTIO_RIG_SEAM - (config.is_packed ? 0 : 4);
	start_expect(&rig, &config, config.is_packed ? AERO_OK : AERO_ERANGE);
	config.driver = VIRTIO_RIG_END - (config.is_packed ? 0 : 4);
	start_expect(&rig, &config, AERO_ERANGE);
	config.driver = rig.drv.ring.driver;
	config.device = VIRTIO_RIG_END;
	start_expect(&rig, &config, AERO_ERANGE);
	virtio_rig_close(&rig);
}

/* The event fields exist only where they were negotiated. */
static void test_start_split_event_field_beyond_region_erange(void **state)
{
	struct virtio_rig rig;
	struct aero_virtio_queue_config config;

	(void)state;
	virtio_rig_open(&rig, &(struct aero_virtio_queue_config){ .size = 8 });
	config = rig.drv.ring;
	config.driver = VIRTIO_RIG_END - (4 + 2 * 8);
	start_expect(&rig, &config, AERO_OK);
	config.has_event_idx = true;
	start_expect(&rig, &config, AERO_ERANGE);
	config.driver = rig.drv.ring.driver;
	config.device = VIRTIO_RIG_END - (4 + 8 * 8);
	start_expect(&rig, &config, AERO_ERANGE);
	config.has_event_idx = false;
	start_expect(&rig, &config, AERO_OK);
	virtio_rig_close(&rig);
}

static void test_start_read_only_memory_erange(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	rig.ram.region[0].is_read_only = true;
	start_expect(&rig, &rig.drv.ring, AERO_ERANGE);
	virtio_rig_close(&rig);
}

/* A VMM that maps a region at an odd host address. */
static void *translate_askew(void *ctx, aero_gpa gpa, size_t *len, enum aero_access access)
{
	struct guest_ram *ram = ctx;

	return (uint8_t *)ram->memory.translate(ram, gpa, len, access) + 1;
}

static void test_start_odd_host_address_erange(void **state)
{
	struct aero_host_memory askew = { .translate = translate_askew };
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	askew.ctx = &rig.ram;
	rig.drv.ring.memory = &askew;
	start_expect(&rig, &rig.drv.ring, AERO_ERANGE);
	virtio_rig_close(&rig);
}

static void test_start_translate_fails_keeps_base(void **state)
{
	struct aero_virtio_queue_config config;
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	config = rig.drv.ring;
	config.base = config.is_packed ? 0x00058003u : 0x1234;
	for (unsigned long nth = 1; nth <= 3; nth++) {
		struct aero_virtio_queue queue;

		memset(&queue, 0, sizeof(queue));
		rig.ram.fail_at = rig.ram.translations + nth;
		assert_int_equal(aero_virtio_queue_start(&queue, &config), AERO_ERANGE);
		assert_false(queue.is_started);
		assert_int_equal(aero_virtio_queue_stop(&queue), config.base);
		rig.ram.fail_at = 0;
		assert_int_equal(aero_virtio_queue_start(&queue, &config), AERO_OK);
		assert_int_equal(aero_virtio_queue_stop(&queue), config.base);
	}
	virtio_rig_close(&rig);
}

static void test_start_twice_estate(void **state)
{
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	assert_int_equal(aero_virtio_queue_start(&rig.queue, &rig.drv.ring), AERO_ESTATE);
	assert_int_equal(aero_virtio_queue_stop(&rig.queue), rig.drv.ring.base);
	assert_int_equal(aero_virtio_queue_start(&rig.queue, &rig.drv.ring), AERO_OK);
	virtio_rig_close(&rig);
}

static void test_start_after_fault_works_again(void **state)
{
	struct virtio_driver_buffer good = { VIRTIO_RIG_DATA, 4, false };
	struct virtio_driver_buffer bad = { VIRTIO_RIG_END, 4, false };
	struct virtio_rig rig;
	struct aero_virtio_chain chain;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	virtio_rig_give(&rig, &bad, 1);
	virtio_rig_expect_fault(&rig, AERO_VIRTIO_QUEUE_FAULT_ADDRESS);
	rig.drv.ring.base = aero_virtio_queue_stop(&rig.queue);
	assert_int_equal(rig.queue.fault, AERO_VIRTIO_QUEUE_FAULT_ADDRESS);
	assert_int_equal(aero_virtio_queue_start(&rig.queue, &rig.drv.ring), AERO_OK);
	assert_int_equal(rig.queue.fault, AERO_VIRTIO_QUEUE_FAULT_NONE);
	virtio_rig_give(&rig, &good, 1);
	chain = virtio_rig_pop(&rig);
	assert_int_equal(virtio_rig_drain(&rig, &chain), AERO_ENOENT);
	virtio_rig_close(&rig);
}

static void test_stop_never_started_is_zero(void **state)
{
	struct aero_virtio_queue queue;

	(void)state;
	memset(&queue, 0, sizeof(queue));
	assert_int_equal(aero_virtio_queue_stop(&queue), 0);
	assert_int_equal(aero_virtio_queue_memory_changed(&queue), AERO_OK);
}

static void test_stop_refuses_all_use(void **state)
{
	struct virtio_driver_buffer buffer = { VIRTIO_RIG_DATA, 4, false };
	struct aero_virtio_chain chain;
	struct aero_virtio_segment segment;
	struct virtio_rig rig;
	uint8_t buf[4];
	uint32_t len;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	virtio_rig_give(&rig, &buffer, 1);
	chain = virtio_rig_pop(&rig);
	aero_virtio_queue_stop(&rig.queue);
	assert_int_equal(aero_virtio_queue_pop(&rig.queue, &chain), AERO_ESTATE);
	assert_int_equal(aero_virtio_queue_push(&rig.queue, &chain, 0), AERO_ESTATE);
	assert_int_equal(aero_virtio_queue_read(&rig.queue, &chain, buf, 4, &len), AERO_ESTATE);
	assert_int_equal(aero_virtio_queue_next_segment(&rig.queue, &chain, &segment), AERO_ESTATE);
	assert_false(aero_virtio_queue_should_notify(&rig.queue));
	assert_false(aero_virtio_queue_set_kicks(&rig.queue, true));
	virtio_rig_close(&rig);
}

static void test_memory_changed_moved_goes_on(void **state)
{
	struct virtio_driver_buffer buffer = { VIRTIO_RIG_DATA, 4, false };
	struct aero_virtio_chain chain;
	struct virtio_rig rig;
	uint32_t len;
	uint16_t id;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	id = virtio_rig_give(&rig, &buffer, 1);
	chain = virtio_rig_pop(&rig);
	guest_ram_move(&rig.ram, VIRTIO_RIG_RING);
	guest_ram_move(&rig.ram, VIRTIO_RIG_DATA);
	assert_int_equal(aero_virtio_queue_memory_changed(&rig.queue), AERO_OK);
	assert_int_equal(virtio_rig_drain(&rig, &chain), AERO_ENOENT);
	virtio_rig_push(&rig, &chain, 0);
	assert_int_equal(virtio_rig_take(&rig, &len), id);
	virtio_rig_close(&rig);
}

static void test_memory_changed_gone_breaks_ring(void **state)
{
	struct aero_virtio_chain chain;
	struct virtio_rig rig;

	virtio_rig_open(&rig, virtio_rig_ring(state));
	guest_ram_remove(&rig.ram, VIRTIO_RIG_RING);
	assert_int_equal(aero_virtio_queue_memory_changed(&rig.queue), AERO_ERANGE);
	assert_int_equal(rig.queue.fault, AERO_VIRTIO_QUEUE_FAULT_RING);
	assert_int_equal(aero_virtio_queue_pop(&rig.queue, &chain), AERO_EPROTO);
	assert_false(aero_virtio_queue_set_kicks(&rig.queue, true));
	assert_false(aero_virtio_queue_should_notify(&rig.queue));
	assert_int_equal(aero_virtio_queue_stop(&rig.queue), rig.drv.ring.base);
	virtio_rig_close(&rig);
}

static void test_fault_str_known_has_own_phrase(void **state)
{
	(void)state;
	for (int a = 0; a <= AERO_VIRTIO_QUEUE_FAULT_LENGTH; a++) {
		const char *text = aero_virtio_queue_fault_str((enum aero_virtio_queue_fault)a);

		assert_non_null(text);
		assert_string_not_equal(text, "unknown fault");
		for (int b = 0; b < a; b++)
			assert_string_not_equal(
				text, aero_virtio_queue_fault_str((enum aero_virtio_queue_fault)b));
	}
	assert_string_equal(aero_virtio_queue_fault_str((enum aero_virtio_queue_fault)99),
			    "unknown fault");
	assert_string_equal(aero_virtio_queue_fault_str((enum aero_virtio_queue_fault) - 1),
			    "unknown fault");
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		cmocka_unit_test(test_start_misaligned_part_einval),
		cmocka_unit_test(test_start_no_memory_einval),
		cmocka_unit_test(test_start_base_outside_ring_einval),
		cmocka_unit_test(test_start_part_across_regions_erange),
		cmocka_unit_test(test_start_read_only_memory_erange),
		cmocka_unit_test(test_start_odd_host_address_erange),
		cmocka_unit_test(test_start_translate_fails_keeps_base),
		cmocka_unit_test(test_start_twice_estate),
		cmocka_unit_test(test_start_after_fault_works_again),
		cmocka_unit_test(test_stop_refuses_all_use),
		cmocka_unit_test(test_memory_changed_moved_goes_on),
		cmocka_unit_test(test_memory_changed_gone_breaks_ring),
	};
	static const struct CMUnitTest once[] = {
		cmocka_unit_test(test_start_size_not_allowed_einval),
		cmocka_unit_test(test_start_every_size_ok),
		cmocka_unit_test(test_start_packed_big_endian_einval),
		cmocka_unit_test(test_start_split_event_field_beyond_region_erange),
		cmocka_unit_test(test_stop_never_started_is_zero),
		cmocka_unit_test(test_fault_str_known_has_own_phrase),
	};
	struct CMUnitTest
		tests[TEST_ARRAY_SIZE(cases) * VIRTIO_RIG_VARIANTS + TEST_ARRAY_SIZE(once)];

	virtio_rig_expand(tests, cases, TEST_ARRAY_SIZE(cases));
	memcpy(&tests[TEST_ARRAY_SIZE(cases) * VIRTIO_RIG_VARIANTS], once, sizeof(once));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
