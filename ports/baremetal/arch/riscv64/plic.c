/* SPDX-License-Identifier: MIT */

/* Source: RISC-V PLIC Specification 1.0; binding sifive,plic-1.0.0. */

#include "plic.h"
#include "registers.h"
#include "text.h"

#define ENABLE 0x2000u
#define ENABLE_CONTEXT 0x80u
#define CONTEXT 0x200000u
#define CONTEXT_BYTES 0x1000u
#define THRESHOLD 0u
#define CLAIM 4u

#define SUPERVISOR_EXTERNAL 9u

static uint64_t base;
static uint32_t context;

/* The handle of the interrupt controller inside a processor: the node behind its own. */
static uint32_t find_processor(const struct fdt *fdt, uint64_t processor)
{
	struct fdt_node node = { 0 };
	bool is_it = false;
	uint64_t number;
	uint64_t bytes;

	while (fdt_next(fdt, &node)) {
		if (is_it && fdt_is(fdt, &node, "riscv,cpu-intc"))
			return fdt_number(fdt, &node, "phandle", 0);
		if (text_begins(node.name, "cpu@"))
			is_it = fdt_reg(fdt, &node, 0, &number, &bytes) && number == processor;
	}
	return 0;
}

bool plic_find(const struct fdt *fdt, uint64_t processor)
{
	uint32_t handle = find_processor(fdt, processor);
	struct fdt_property to;
	struct fdt_node node;
	uint64_t bytes;

	if ((!fdt_find(fdt, "sifive,plic-1.0.0", &node) && !fdt_find(fdt, "riscv,plic0", &node)) ||
	    !fdt_reg(fdt, &node, 0, &base, &bytes) ||
	    !fdt_get(fdt, &node, "interrupts-extended", &to))
		return false;
	/* Pairs of a controller and its line; the place is the number of the context. */
	for (context = 0; 2 * context + 1 < to.bytes / 4; context++) {
		if (fdt_cells(&to, 2 * context, 1) == handle &&
		    fdt_cells(&to, 2 * context + 1, 1) == SUPERVISOR_EXTERNAL)
			return true;
	}
	return false;
}

static uint64_t context_register(uint32_t which)
{
	return base + CONTEXT + (uint64_t)context * CONTEXT_BYTES + which;
}

void plic_start(void)
{
	register_write(context_register(THRESHOLD), 4, 0);
}

void plic_enable(unsigned int line)
{
	uint64_t enable = base + ENABLE + context * ENABLE_CONTEXT + line / 32 * 4;

	register_write(base + 4ull * line, 4, 1);
	register_write(enable, 4, register_read(enable, 4) | 1u << line % 32);
}

unsigned int plic_take(void)
{
	return register_read(context_register(CLAIM), 4);
}

void plic_end(unsigned int line)
{
	register_write(context_register(CLAIM), 4, line);
}
