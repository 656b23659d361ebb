/* SPDX-License-Identifier: MIT */
/*
 * VMware's balloon as it stands on the wire: registers and batch pages written by hand from the
 * specification, not through our constants, and what the host makes of them byte by byte.
 */
#include "support/test.h"

#include <aerostat/host/vmware.h>

#include "support/nodes.h"

/* Guest memory is all there can be, but for the frames of one hole; the batch page is one frame. */
#define HOLE 0x7000ull
#define PAGE 0x321ull

struct fixture {
	struct test_nodes nodes;
	struct aero_host_memory memory;
	struct aero_vmware_host host;
	uint8_t page[4096];
};

static void *translate(void *ctx, aero_gpa gpa, size_t *len, enum aero_access access)
{
	struct fixture *f = ctx;

	assert_int_equal(access, AERO_ACCESS_BOTH);
	if (gpa != 0x321000)
		return NULL;
	*len = sizeof(f->page);
	return f->page;
}

static uint64_t is_ram(void *ctx, struct aero_range range)
{
	(void)ctx;
	if (range.first == HOLE)
		return 0;
	return range.first < HOLE && HOLE - range.first < range.count ? HOLE - range.first
								      : range.count;
}

static enum aero_status discard(void *ctx, struct aero_range range, uint64_t *out_freed_bytes)
{
	(void)ctx;
	*out_freed_bytes = range.count << 12;
	return AERO_OK;
}

static void doorbell(void *ctx, uint32_t context, uint32_t resource)
{
	(void)ctx;
	(void)context;
	(void)resource;
}

static const struct aero_vmware_host_ops ops = { .doorbell = doorbell };

static int open_fixture(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct aero_vmware_host_config config = { .ops = &ops, .capabilities = 0x3e };

	assert_non_null(f);
	test_nodes_init(&f->nodes);
	f->memory = (struct aero_host_memory){ f, translate, is_ram, discard, { 0, 0 } };
	config.memory = &f->memory;
	config.nodes = f->nodes.source;
	config.is_old = *state != NULL;
	assert_int_equal(aero_vmware_host_init(&f->host, &config), AERO_OK);
	*state = f;
	return 0;
}

static int close_fixture(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(aero_vmware_host_validate(&f->host), AERO_OK);
	aero_vmware_host_fini(&f->host);
	assert_int_equal(f->nodes.live, 0);
	free(f);
	return 0;
}

/* AX BX CX DX SI DI before a call and after it. */
struct image {
	uint64_t before[6];
	uint64_t after[6];
};

static void assert_image(struct fixture *f, const struct image *image)
{
	struct aero_vmware_registers regs = {
		image->before[0], image->before[1], image->before[2],
		image->before[3], image->before[4], image->before[5]
	};

	assert_int_equal(aero_vmware_host_call(&f->host, &regs, 1), AERO_OK);
	assert_int_equal(regs.ax, image->after[0]);
	assert_int_equal(regs.bx, image->after[1]);
	assert_int_equal(regs.cx, image->after[2]);
	assert_int_equal(regs.dx, image->after[3]);
	assert_int_equal(regs.si, image->after[4]);
	assert_int_equal(regs.di, image->after[5]);
}

static void assert_images(struct fixture *f, const struct image *images, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_image(f, &images[i]);
}

#define M 0x456c6d6f
#define P 0x5670
#define NONE 0xffffffffffffffff

static void test_constants_are_those_of_the_specification(void **state)
{
	static const uint64_t pairs[][2] = {
		{ AERO_VMWARE_MAGIC, 0x456c6d6f },
		{ AERO_VMWARE_PORT, 0x5670 },
		{ AERO_VMWARE_REGISTER_MASK, 0xffff },
		{ AERO_VMWARE_GENERAL_MAGIC, 0x564d5868 },
		{ AERO_VMWARE_GENERAL_PORT, 0x5658 },
		{ AERO_VMWARE_GENERAL_CMD_GETVERSION, 10 },
		{ AERO_VMWARE_CMD_START, 0 },
		{ AERO_VMWARE_CMD_GET_TARGET, 1 },
		{ AERO_VMWARE_CMD_LOCK, 2 },
		{ AERO_VMWARE_CMD_UNLOCK, 3 },
		{ AERO_VMWARE_CMD_GUEST_ID, 4 },
		{ AERO_VMWARE_CMD_UNUSED, 5 },
		{ AERO_VMWARE_CMD_BATCHED_LOCK, 6 },
		{ AERO_VMWARE_CMD_BATCHED_UNLOCK, 7 },
		{ AERO_VMWARE_CMD_BATCHED_2M_LOCK, 8 },
		{ AERO_VMWARE_CMD_BATCHED_2M_UNLOCK, 9 },
		{ AERO_VMWARE_CMD_DOORBELL_SET, 10 },
		{ AERO_VMWARE_CMD_COUNT, 11 },
		{ AERO_VMWARE_CAP_BASIC, 1 << 1 },
		{ AERO_VMWARE_CAP_BATCHED, 1 << 2 },
		{ AERO_VMWARE_CAP_BATCHED_2M, 1 << 3 },
		{ AERO_VMWARE_CAP_SIGNALLED_WAKEUP, 1 << 4 },
		{ AERO_VMWARE_CAP_64_BIT_TARGET, 1 << 5 },
		{ AERO_VMWARE_SUCCESS, 0 },
		{ AERO_VMWARE_FAILURE, 0xffffffff },
		{ AERO_VMWARE_CMD_INVALID, 1 },
		{ AERO_VMWARE_PPN_INVALID, 2 },
		{ AERO_VMWARE_PPN_LOCKED, 3 },
		{ AERO_VMWARE_PPN_UNLOCKED, 4 },
		{ AERO_VMWARE_PPN_PINNED, 5 },
		{ AERO_VMWARE_PPN_NOTNEEDED, 6 },
		{ AERO_VMWARE_RESET, 7 },
		{ AERO_VMWARE_BUSY, 8 },
		{ AERO_VMWARE_SUCCESS_WITH_CAPABILITIES, 0x03000000 },
		{ AERO_VMWARE_GUEST_UNKNOWN, 0 },
		{ AERO_VMWARE_GUEST_LINUX, 1 },
		{ AERO_VMWARE_GUEST_BSD, 2 },
		{ AERO_VMWARE_GUEST_WINDOWS_NT4, 3 },
		{ AERO_VMWARE_GUEST_WINDOWS_NT5, 4 },
		{ AERO_VMWARE_GUEST_SOLARIS, 5 },
		{ AERO_VMWARE_GUEST_MACOS, 6 },
		{ AERO_VMWARE_GUEST_FROBOS, 7 },
		{ AERO_VMWARE_DOORBELL_NONE, 0xffffffff },
		{ AERO_VMWARE_BATCH_ENTRIES, 512 },
		{ AERO_VMWARE_BATCH_FRAME_SHIFT, 12 },
		{ AERO_VMWARE_BATCH_STATUS_MASK, 0x1f },
		{ AERO_VMWARE_BATCH_RESERVED_MASK, 0xfe0 },
		{ sizeof(struct aero_vmware_wire_batch), 4096 },
	};

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(pairs); i++)
		assert_int_equal(pairs[i][0], pairs[i][1]);
}

/* What a 64-bit Linux says from its load to its unload, without batches. */
static void test_registers_of_a_session(void **state)
{
	static const struct image images[] = {
		{ { M, NONE, 10, P, NONE, 0 }, { 1, NONE, 10, P, NONE, 0 } },
		{ { M, 0x3e, 0, P, 0, 0 }, { 0x03000000, 0x3e, 0x3e, P, 0, 0 } },
		{ { M, 5, 10, P, 1030, 0 }, { 0, 5, 10, P, 1030, 0 } },
		{ { M, 1, 4, P, 0, 0 }, { 0, 1, 4, P, 0, 0 } },
		{ { M, 0x40000, 1, P, 0, 0 }, { 0, 0x1234, 1, P, 0, 0 } },
		{ { M, 0x12345, 2, P, 1, 0 }, { 0, 0x1234, 2, P, 1, 0 } },
		{ { M, 0x12345, 2, P, 1, 0 }, { 3, 0x12345, 2, P, 1, 0 } },
		{ { M, 0x7000, 2, P, 1, 0 }, { 2, 0x7000, 2, P, 1, 0 } },
		{ { M, 0x12345, 3, P, 1, 0 }, { 0, 0x1234, 3, P, 1, 0 } },
		{ { M, 0x12345, 3, P, 1, 0 }, { 4, 0x12345, 3, P, 1, 0 } },
		{ { M, 0, 5, P, 0, 0 }, { 1, 0, 5, P, 0, 0 } },
		{ { M, 0, 11, P, 0, 0 }, { 1, 0, 11, P, 0, 0 } },
		{ { M, 0, 6, P, 1, 0 }, { 0xffffffff, 0, 6, P, 1, 0 } },
		{ { M, 0, 0, P, 0, 0 }, { 0x03000000, 0, 0x3e, P, 0, 0 } },
		{ { M, 0x40000, 1, P, 0, 0 }, { 7, 0x40000, 1, P, 0, 0 } },
	};
	struct fixture *f = *state;
	uint64_t told;

	assert_int_equal(aero_vmware_host_set_target(&f->host, 0x1234, &told), AERO_OK);
	assert_images(f, images, TEST_ARRAY_SIZE(images));
}

static void test_registers_of_an_old_host(void **state)
{
	static const struct image images[] = {
		{ { M, 2, 0, P, 0, 0 }, { 0, 2, 0, P, 0, 0 } },
		{ { M, 9, 1, P, 0, 0 }, { 0, 0xffffffff, 1, P, 0, 0 } },
		{ { M, 0x12345, 2, P, 1, 0 }, { 0, 0xffffffff, 2, P, 1, 0 } },
		{ { M, PAGE, 6, P, 1, 0 }, { 1, PAGE, 6, P, 1, 0 } },
		{ { M, NONE, 10, P, NONE, 0 }, { 1, NONE, 10, P, NONE, 0 } },
		{ { M, 0, 0, P, 0, 0 }, { 0, 0, 0, P, 0, 0 } },
	};
	struct fixture *f = *state;
	uint64_t told;

	assert_int_equal(aero_vmware_host_set_target(&f->host, 0x123456789, &told), AERO_OK);
	assert_images(f, images, TEST_ARRAY_SIZE(images));
}

static const struct image start = { { M, 0x3e, 0, P, 0, 0 }, { 0x03000000, 0x3e, 0x3e, P, 0, 0 } };

static void test_batch_of_frames(void **state)
{
	/* Frames 0x12345 0x12346 0x12344, 0x1_2345_6789, the hole, 0x12345 again, the page
	 * itself, a frame with status 1, one with reserved bit 5, one with bit 11, 2^40. */
	static const uint8_t before[] = {
		0x00, 0x50, 0x34, 0x12, 0x00, 0x00, 0x00, 0x00, 0x00, 0x60, 0x34, 0x12, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x40, 0x34, 0x12, 0x00, 0x00, 0x00, 0x00, 0x00, 0x90, 0x78, 0x56,
		0x34, 0x12, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x50,
		0x34, 0x12, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x32, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x01, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x20, 0x10, 0x40, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x28, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x10, 0x00, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a,
	};
	static const uint8_t locked[] = {
		0x00, 0x50, 0x34, 0x12, 0x00, 0x00, 0x00, 0x00, 0x00, 0x60, 0x34, 0x12, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x40, 0x34, 0x12, 0x00, 0x00, 0x00, 0x00, 0x00, 0x90, 0x78, 0x56,
		0x34, 0x12, 0x00, 0x00, 0x02, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x03, 0x50,
		0x34, 0x12, 0x00, 0x00, 0x00, 0x00, 0x02, 0x10, 0x32, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x02, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x22, 0x10, 0x40, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x02, 0x28, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x10, 0x00, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a,
	};
	static const uint8_t unlocked[] = {
		0x00, 0x50, 0x34, 0x12, 0x00, 0x00, 0x00, 0x00, 0x00, 0x60, 0x34, 0x12, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x40, 0x34, 0x12, 0x00, 0x00, 0x00, 0x00, 0x00, 0x90, 0x78, 0x56,
		0x34, 0x12, 0x00, 0x00, 0x02, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x04, 0x50,
		0x34, 0x12, 0x00, 0x00, 0x00, 0x00, 0x02, 0x10, 0x32, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x02, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x22, 0x10, 0x40, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x02, 0x28, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x10, 0x00, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a,
	};
	static const struct image lock = { { M, PAGE, 6, P, 11, 0 }, { 0, 0, 6, P, 11, 0 } };
	static const struct image unlock = { { M, PAGE, 7, P, 11, 0 }, { 0, 0, 7, P, 11, 0 } };
	struct fixture *f = *state;

	assert_image(f, &start);
	memcpy(f->page, before, sizeof(before));
	assert_image(f, &lock);
	assert_memory_equal(f->page, locked, sizeof(locked));
	assert_int_equal(aero_ledger_held(&f->host.ledger), 4);
	memcpy(f->page, before, sizeof(before));
	assert_image(f, &unlock);
	assert_memory_equal(f->page, unlocked, sizeof(unlocked));
	assert_int_equal(aero_ledger_held(&f->host.ledger), 0);
}

static void test_batch_of_blocks(void **state)
{
	/* 2 MiB at 0x8000000000, the one before, one that is 4 KiB off, the one with the hole. */
	static const uint8_t before[] = {
		0x00, 0x00, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0xe0,
		0xff, 0x7f, 0x00, 0x00, 0x00, 0x00, 0x10, 0x40, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00,
	};
	static const uint8_t after[] = {
		0x00, 0x00, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0xe0,
		0xff, 0x7f, 0x00, 0x00, 0x00, 0x02, 0x10, 0x40, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x02, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00,
	};
	static const struct image lock = { { M, PAGE, 8, P, 4, 0 }, { 0, 0, 8, P, 4, 0 } };
	static const struct image unlock = { { M, PAGE, 9, P, 4, 0 }, { 0, 0, 9, P, 4, 0 } };
	/* The first frame of a block is in the balloon with all the others. */
	static const struct image one = { { M, 0x8000000, 2, P, 1, 0 },
					  { 3, 0x8000000, 2, P, 1, 0 } };
	struct fixture *f = *state;

	assert_image(f, &start);
	memcpy(f->page, before, sizeof(before));
	assert_image(f, &lock);
	assert_memory_equal(f->page, after, sizeof(after));
	assert_int_equal(aero_ledger_held(&f->host.ledger), 1024);
	assert_image(f, &one);
	memcpy(f->page, before, sizeof(before));
	assert_image(f, &unlock);
	assert_memory_equal(f->page, after, sizeof(after));
	assert_int_equal(aero_ledger_held(&f->host.ledger), 0);
}

int main(void)
{
	static int old;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_constants_are_those_of_the_specification),
		cmocka_unit_test_setup_teardown(test_registers_of_a_session, open_fixture,
						close_fixture),
		cmocka_unit_test_prestate_setup_teardown(test_registers_of_an_old_host,
							 open_fixture, close_fixture, &old),
		cmocka_unit_test_setup_teardown(test_batch_of_frames, open_fixture, close_fixture),
		cmocka_unit_test_setup_teardown(test_batch_of_blocks, open_fixture, close_fixture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
