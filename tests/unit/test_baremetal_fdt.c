/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "ports/baremetal/console.h"
#include "ports/baremetal/fdt_machine.h"
#include "ports/baremetal/options.h"
#include "ports/baremetal/text.h"
#include "support/random.h"

#define TREE_MAX 4096
#define SEEDS 2000

void panic(const char *why)
{
	fail_msg("panic: %s", why);
	abort();
}

/* A tree that is being written, by hand as the specification has it. */
struct tree {
	uint8_t blob[TREE_MAX] __attribute__((__aligned__(8)));
	uint8_t strings[512];
	size_t at;
	size_t strings_len;
};

static void cell(struct tree *tree, uint32_t value)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		tree->blob[tree->at++] = (uint8_t)(value >> shift);
}

static void put_cell(struct tree *tree, size_t at, uint32_t value)
{
	size_t saved = tree->at;

	tree->at = at;
	cell(tree, value);
	tree->at = saved;
}

static void bytes(struct tree *tree, const void *from, size_t len)
{
	memcpy(tree->blob + tree->at, from, len);
	tree->at += len;
	while (tree->at % 4)
		tree->blob[tree->at++] = 0;
}

static void node(struct tree *tree, const char *name)
{
	cell(tree, 1);
	bytes(tree, name, strlen(name) + 1);
}

static void node_end(struct tree *tree)
{
	cell(tree, 2);
}

static void property(struct tree *tree, const char *name, const void *value, size_t len)
{
	cell(tree, 3);
	cell(tree, (uint32_t)len);
	cell(tree, (uint32_t)tree->strings_len);
	memcpy(tree->strings + tree->strings_len, name, strlen(name) + 1);
	tree->strings_len += strlen(name) + 1;
	bytes(tree, value, len);
}

static void text(struct tree *tree, const char *name, const char *value)
{
	property(tree, name, value, strlen(value) + 1);
}

static void cells(struct tree *tree, const char *name, const uint32_t *value, size_t count)
{
	uint8_t big[128];

	for (size_t i = 0; i < 4 * count; i++)
		big[i] = (uint8_t)(value[i / 4] >> (24 - i % 4 * 8));
	property(tree, name, big, 4 * count);
}

#define CELLS(tree, name, ...)                               \
	cells(tree, name, (const uint32_t[]){ __VA_ARGS__ }, \
	      TEST_ARRAY_SIZE(((const uint32_t[]){ __VA_ARGS__ })))

static void begin(struct tree *tree)
{
	memset(tree, 0, sizeof(*tree));
	/* Header, two reservations and their end. */
	tree->at = 40;
	CELLS(tree, "", 0);
	tree->at = 40;
	tree->strings_len = 0;
	cell(tree, 0);
	cell(tree, 0x80000000u);
	cell(tree, 0);
	cell(tree, 0x10000);
	for (int i = 0; i < 4; i++)
		cell(tree, 0);
}

static void end(struct tree *tree)
{
	size_t structure_end;

	cell(tree, 9);
	structure_end = tree->at;
	bytes(tree, tree->strings, tree->strings_len);
	put_cell(tree, 0, 0xd00dfeedu);
	put_cell(tree, 4, (uint32_t)tree->at);
	put_cell(tree, 8, 72);
	put_cell(tree, 12, (uint32_t)structure_end);
	put_cell(tree, 16, 40);
	put_cell(tree, 20, 17);
	put_cell(tree, 24, 16);
	put_cell(tree, 32, (uint32_t)tree->strings_len);
	put_cell(tree, 36, (uint32_t)structure_end - 72);
}

static void write_devices(struct tree *tree)
{
	node(tree, "serial@9000000");
	property(tree, "compatible", "arm,pl011\0arm,primecell", 24);
	CELLS(tree, "reg", 0, 0x9000000, 0, 0x1000);
	CELLS(tree, "interrupts", 0, 1, 4);
	node_end(tree);
	node(tree, "virtio_mmio@a000000");
	text(tree, "compatible", "virtio,mmio");
	CELLS(tree, "reg", 0, 0xa000000, 0, 0x200);
	CELLS(tree, "interrupts", 0, 16, 1);
	node_end(tree);
	node(tree, "intc");
	CELLS(tree, "phandle", 7);
	CELLS(tree, "#address-cells", 2);
	CELLS(tree, "#interrupt-cells", 3);
	node_end(tree);
	node(tree, "pcie");
	text(tree, "compatible", "pci-host-ecam-generic");
	CELLS(tree, "reg", 0x40, 0x10000000, 0, 0x10000000);
	CELLS(tree, "ranges", 0x1000000, 0, 0, 0, 0x3eff0000, 0, 0x10000, 0x2000000, 0, 0x10000000,
	      0, 0x10000000, 0, 0x2eff0000);
	CELLS(tree, "interrupt-map-mask", 0x1800, 0, 0, 7);
	CELLS(tree, "interrupt-map", 0x800, 0, 0, 1, 7, 0, 0, 0, 4, 4, 0x1000, 0, 0, 2, 7, 0, 0, 0,
	      5, 4);
	node_end(tree);
}

static void write_machine(struct tree *tree)
{
	begin(tree);
	node(tree, "");
	CELLS(tree, "#address-cells", 2);
	CELLS(tree, "#size-cells", 2);
	cell(tree, 4);
	node(tree, "memory@80000000");
	text(tree, "device_type", "memory");
	CELLS(tree, "reg", 0, 0x80000000u, 0, 0x20000000);
	node_end(tree);
	node(tree, "reserved-memory");
	CELLS(tree, "#address-cells", 2);
	CELLS(tree, "#size-cells", 2);
	node(tree, "firmware");
	CELLS(tree, "reg", 0, 0x90000000u, 0, 0x1000);
	node_end(tree);
	node_end(tree);
	node(tree, "chosen");
	text(tree, "bootargs", "a=1 b=0x20K c= a=2");
	node_end(tree);
	write_devices(tree);
	node_end(tree);
	end(tree);
}

static void test_machine_is_read(void **state)
{
	struct machine found = { 0 };
	struct tree tree;
	struct fdt fdt;

	(void)state;
	write_machine(&tree);
	assert_true(fdt_open(&fdt, tree.blob));
	fdt_machine_read_uart(&fdt, &found);
	fdt_machine_read(&fdt, &found);
	assert_ptr_equal(found.uart.ops, &uart_pl011);
	assert_int_equal(found.uart.base, 0x9000000);
	assert_true(found.has_uart_line);
	assert_int_equal(found.uart_line, 33);
	assert_int_equal(found.mmio_count, 1);
	assert_int_equal(found.mmio[0].line, 48);
	assert_true(found.mmio[0].is_edge);
	/* The reservation at its beginning, and the hole. */
	assert_int_equal(found.memory.count, 2);
	assert_int_equal(found.memory.area[0].begin, 0x80010000u);
	assert_int_equal(found.memory.area[0].end, 0x90000000u);
	assert_int_equal(found.memory.area[1].begin, 0x90001000u);
	assert_int_equal(found.memory.area[1].end, 0xa0000000u);
}

static void test_pci_is_read(void **state)
{
	struct machine found = { 0 };
	struct tree tree;
	struct fdt fdt;

	(void)state;
	write_machine(&tree);
	assert_true(fdt_open(&fdt, tree.blob));
	fdt_machine_read(&fdt, &found);
	assert_true(found.has_pci);
	assert_int_equal(found.pci.ecam, 0x4010000000);
	assert_int_equal(found.pci.memory.bus, 0x10000000);
	assert_int_equal(found.pci.memory.bytes, 0x2eff0000);
	assert_int_equal(found.pci.io.processor, 0x3eff0000);
	/* Address 0 is none. */
	assert_true(found.pci.io.used > 0);
	assert_int_equal(found.pci.slot_mask, 3);
	assert_int_equal(found.pci.route_count, 2);
	assert_int_equal(found.pci.route[0].slot, 1);
	assert_int_equal(found.pci.route[0].line, 36);
	assert_int_equal(found.pci.route[1].pin, 2);
	assert_int_equal(found.pci.route[1].line, 37);
}

static void test_options_are_words(void **state)
{
	struct machine found = { 0 };
	struct tree tree;
	struct fdt fdt;

	(void)state;
	write_machine(&tree);
	assert_true(fdt_open(&fdt, tree.blob));
	fdt_machine_read(&fdt, &found);
	assert_int_equal(options_number(found.command_line, "a", 9), 2);
	assert_int_equal(options_number(found.command_line, "b", 9), 0x20 << 10);
	assert_int_equal(options_number(found.command_line, "c", 9), 9);
	assert_int_equal(options_number(found.command_line, "d", 9), 9);
	assert_true(options_has(found.command_line, "c"));
	assert_false(options_has(found.command_line, "="));
	assert_true(options_is(found.command_line, "a", "2"));
	assert_false(options_is(found.command_line, "a", ""));
	assert_false(options_is(found.command_line, "b", "0x20"));
}

/* In memory of its own, so that reading past its end is noticed. */
static void read_exactly(const uint8_t *blob, size_t len)
{
	uint8_t *copy = aligned_alloc(8, (len + 7) & ~(size_t)7);
	struct machine found = { 0 };
	struct fdt fdt;

	memcpy(copy, blob, len);
	if (fdt_open(&fdt, copy) && fdt.bytes <= len) {
		fdt_machine_read_uart(&fdt, &found);
		fdt_machine_read(&fdt, &found);
	}
	free(copy);
}

static void test_damaged_trees_are_read_within_their_bounds(void **state)
{
	struct tree tree;
	uint64_t seed;

	(void)state;
	write_machine(&tree);
	for (uint64_t n = 1; test_random_seed(n, SEEDS, &seed); n++) {
		struct test_random random = { seed };
		struct tree damaged = tree;

		for (uint64_t i = 1 + test_random_below(&random, 6); i--;) {
			size_t at = 8 + test_random_below(&random, tree.at - 8);

			damaged.blob[at] = (uint8_t)test_random_next(&random);
		}
		/* Small numbers hit more than large ones. */
		put_cell(&damaged, 40 + 4 * test_random_below(&random, tree.at / 4 - 10),
			 (uint32_t)test_random_below(&random, 12));
		read_exactly(damaged.blob, tree.at);
	}
}

static void test_what_is_no_tree(void **state)
{
	struct tree tree;
	struct fdt fdt;

	(void)state;
	write_machine(&tree);
	assert_false(fdt_open(&fdt, NULL));
	assert_false(fdt_open(&fdt, tree.blob + 4));
	put_cell(&tree, 20, 16);
	assert_false(fdt_open(&fdt, tree.blob));
	put_cell(&tree, 20, 17);
	put_cell(&tree, 36, (uint32_t)tree.at);
	assert_false(fdt_open(&fdt, tree.blob));
	put_cell(&tree, 36, 0);
	assert_true(fdt_open(&fdt, tree.blob));
	put_cell(&tree, 4, 0xffffffffu);
	assert_false(fdt_open(&fdt, tree.blob));
	put_cell(&tree, 0, 0);
	assert_false(fdt_open(&fdt, tree.blob));
}

/* Nested deeper than is looked at: the walk ends, and nothing is written past its arrays. */
static void test_tree_too_deep(void **state)
{
	struct fdt_node at = { 0 };
	struct tree tree;
	struct fdt fdt;
	unsigned int seen = 0;

	(void)state;
	begin(&tree);
	for (int i = 0; i < 40; i++)
		node(&tree, "n");
	for (int i = 0; i < 40; i++)
		node_end(&tree);
	end(&tree);
	assert_true(fdt_open(&fdt, tree.blob));
	while (fdt_next(&fdt, &at))
		seen++;
	assert_int_equal(seen, FDT_DEPTH_MAX);
}

static void test_numbers_of_commands(void **state)
{
	const char *const bad[] = { "", "x", "-1", "0x", "18446744073709551616", "17179869184G" };
	const char *at = "18446744073709551615 ";
	uint64_t number;

	(void)state;
	assert_true(text_read_number(&at, &number));
	assert_true(number == UINT64_MAX && *at == ' ');
	at = "16M";
	assert_true(text_read_number(&at, &number));
	assert_true(number == 16 << 20 && !*at);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(bad); i++) {
		at = bad[i];
		assert_false(text_read_number(&at, &number));
		assert_ptr_equal(at, bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_machine_is_read),
		cmocka_unit_test(test_pci_is_read),
		cmocka_unit_test(test_options_are_words),
		cmocka_unit_test(test_damaged_trees_are_read_within_their_bounds),
		cmocka_unit_test(test_what_is_no_tree),
		cmocka_unit_test(test_tree_too_deep),
		cmocka_unit_test(test_numbers_of_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
