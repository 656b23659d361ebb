/* SPDX-License-Identifier: MIT */

/*
 * QEMU's "virt" machine, and others with a device tree, SBI firmware and a PLIC.
 * Source: RISC-V SBI Specification 1.0; RISC-V Privileged Architecture 1.12.
 */

#include "arch/arch.h"
#include "console.h"
#include "fdt_machine.h"
#include "lines.h"
#include "plic.h"
#include "registers.h"
#include "text.h"

#define SBI_TIME 0x54494d45ul
#define SBI_RESET 0x53525354ul
#define SBI_RESET_OFF 0ul
#define SBI_RESET_COLD 1ul
#define SBI_RESET_FAILURE 1ul

/* SiFive's test finisher, which QEMU has too: a failure with a code, 1. */
#define FINISHER_FAILED 0x13333u

#define STATUS_INTERRUPTS 0x2ul /* sstatus.SIE */
#define CAUSE_INTERRUPT (1ul << 63)
#define CAUSE_TIMER 5ul
#define CAUSE_EXTERNAL 9ul

#define SECOND 1000000000ull
#define SLEEP_MAX (10 * SECOND)

const char arch_name[] = "riscv64";

/* Filled in by boot.S. */
uint64_t boot_processor;

static uint64_t ns_per_count; /* in 2^-32 */
static uint64_t hz;
static uint64_t finisher; /* 0: there is none */

void trap(uint64_t cause, uint64_t at, uint64_t address);

static void call_firmware(uint64_t extension, uint64_t first, uint64_t second)
{
	register uint64_t a0 __asm__("a0") = first;
	register uint64_t a1 __asm__("a1") = second;
	register uint64_t a6 __asm__("a6") = 0;
	register uint64_t a7 __asm__("a7") = extension;

	__asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a6), "r"(a7) : "memory");
}

static void read_finisher(const struct fdt *fdt)
{
	struct fdt_node node;
	uint64_t bytes;

	if (fdt_find(fdt, "sifive,test0", &node) || fdt_find(fdt, "sifive,test1", &node))
		fdt_reg(fdt, &node, 0, &finisher, &bytes);
}

static void read_clock(const struct fdt *fdt)
{
	struct fdt_node node = { 0 };

	while (fdt_next(fdt, &node)) {
		if (node.depth == 2 && text_is_equal(node.name, "cpus"))
			hz = fdt_number(fdt, &node, "timebase-frequency", 0);
	}
	if (!hz || hz > SECOND)
		panic("nothing says how fast the timer is");
	ns_per_count = (SECOND << 32) / hz;
}

void arch_discover(struct machine *out_machine, uintptr_t boot_data)
{
	struct fdt fdt;

	if (!fdt_open(&fdt, (const void *)boot_data))
		arch_power_off(true);
	fdt_machine_read_uart(&fdt, out_machine);
	console_start(&out_machine->uart);
	read_finisher(&fdt);
	read_clock(&fdt);
	if (!plic_find(&fdt, boot_processor))
		panic("there is no interrupt controller that is known");
	fdt_machine_read(&fdt, out_machine);
	/* What lies below the kernel is the firmware's, whether it says so or not. */
	memory_map_remove(&out_machine->memory, 0, (uintptr_t)kernel_begin);
}

void arch_start(void)
{
	plic_start();
	__asm__ volatile("csrs sie, %0" ::"r"(1ul << CAUSE_EXTERNAL));
}

static uint64_t read_counter(void)
{
	uint64_t count;

	__asm__ volatile("rdtime %0" : "=r"(count)::"memory");
	return count;
}

uint64_t arch_now_ns(void)
{
	return (uint64_t)((unsigned __int128)read_counter() * ns_per_count >> 32) + 1;
}

void arch_sleep(uint64_t until_ns)
{
	uint64_t now = arch_now_ns();
	uint64_t ns = until_ns - now;

	if (until_ns <= now)
		return;
	/* Rounded up, and a sleep may end early. */
	ns = ns > SLEEP_MAX ? SLEEP_MAX : ns;
	call_firmware(SBI_TIME, read_counter() + ns * hz / SECOND + 1, 0);
	__asm__ volatile("csrs sie, %0" ::"r"(1ul << CAUSE_TIMER));
	/* A masked interrupt that is pending ends the wait, and is let in behind it. */
	__asm__ volatile("wfi; csrs sstatus, %0; csrc sstatus, %0" ::"r"(STATUS_INTERRUPTS)
			 : "memory");
	__asm__ volatile("csrc sie, %0" ::"r"(1ul << CAUSE_TIMER));
}

void trap(uint64_t cause, uint64_t at, uint64_t address)
{
	unsigned int line;

	if (cause == (CAUSE_INTERRUPT | CAUSE_TIMER)) {
		__asm__ volatile("csrc sie, %0" ::"r"(1ul << CAUSE_TIMER));
		return;
	}
	if (cause != (CAUSE_INTERRUPT | CAUSE_EXTERNAL))
		panic_at("exception", address ? "for address" : "cause", address ? address : cause,
			 at);
	line = plic_take();
	if (!line)
		return;
	lines_call(line);
	plic_end(line);
}

bool arch_irq_connect(unsigned int line, enum irq_trigger trigger, irq_handler handler, void *ctx)
{
	/* The controller treats both kinds alike. */
	(void)trigger;
	if (!line || line >= PLIC_LINES || !lines_add(line, handler, ctx))
		return false;
	plic_enable(line);
	return true;
}

/* That takes an IMSIC; devices have lines as well. */
bool arch_message_connect(irq_handler handler, void *ctx, struct arch_message *out_message)
{
	(void)handler;
	(void)ctx;
	(void)out_message;
	return false;
}

uintptr_t arch_irq_save(void)
{
	uintptr_t state;

	__asm__ volatile("csrrc %0, sstatus, %1" : "=r"(state) : "r"(STATUS_INTERRUPTS) : "memory");
	return state;
}

void arch_irq_restore(uintptr_t state)
{
	if (state & STATUS_INTERRUPTS)
		__asm__ volatile("csrs sstatus, %0" ::"r"(STATUS_INTERRUPTS) : "memory");
}

void arch_irq_enable(void)
{
	__asm__ volatile("csrs sstatus, %0" ::"r"(STATUS_INTERRUPTS) : "memory");
}

void arch_power_off(bool has_failed)
{
	/* The firmware knows of failures, but hands no code on. */
	if (has_failed && finisher)
		register_write(finisher, 4, FINISHER_FAILED);
	call_firmware(SBI_RESET, SBI_RESET_OFF, has_failed ? SBI_RESET_FAILURE : 0);
	for (;;)
		__asm__ volatile("wfi");
}

void arch_reboot(void)
{
	call_firmware(SBI_RESET, SBI_RESET_COLD, 0);
	for (;;)
		__asm__ volatile("wfi");
}
