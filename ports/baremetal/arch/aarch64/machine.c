/* SPDX-License-Identifier: MIT */

/*
 * QEMU's "virt" machine, and others with a device tree, a GIC, Arm's generic timer and PSCI.
 * Source: Arm Architecture Reference Manual, D12 (timer); Arm DEN0022 (PSCI).
 */

#include "arch/arch.h"
#include "console.h"
#include "fdt_machine.h"
#include "gic.h"
#include "lines.h"

#define TREE_DEFAULT 0x40000000u /* where QEMU leaves it for kernels in ELF */

#define TIMER_VIRTUAL 2u /* of the interrupts of arm,armv8-timer */
#define TIMER_ON 1ul
#define TIMER_OFF 0ul

#define PSCI_SYSTEM_OFF 0x84000008ul
#define PSCI_SYSTEM_RESET 0x84000009ul

#define SECOND 1000000000ull
#define SLEEP_MAX (10 * SECOND)
#define IRQ_MASKED 0x80u

const char arch_name[] = "aarch64";

static struct gic gic;
static unsigned int timer_line;
static bool is_psci_by_smc;
static uint64_t ns_per_count; /* in 2^-32 */
static uint64_t hz;

void interrupt(void);
_Noreturn void fault(uint64_t syndrome, uint64_t at, uint64_t address);

static void read_gic(const struct fdt *fdt)
{
	struct fdt_node node;
	uint64_t bytes;

	gic.is_v3 = fdt_find(fdt, "arm,gic-v3", &node);
	if (!gic.is_v3 && !fdt_find(fdt, "arm,cortex-a15-gic", &node) &&
	    !fdt_find(fdt, "arm,gic-400", &node))
		panic("there is no interrupt controller that is known");
	if (!fdt_reg(fdt, &node, 0, &gic.distributor, &bytes) ||
	    !fdt_reg(fdt, &node, 1, &gic.processor, &bytes))
		panic("the interrupt controller has no registers");
}

static void read_timer(const struct fdt *fdt)
{
	struct fdt_property interrupts;
	struct fdt_line line;
	struct fdt_node node;

	if (!fdt_find(fdt, "arm,armv8-timer", &node) ||
	    !fdt_get(fdt, &node, "interrupts", &interrupts) ||
	    !fdt_line(&interrupts, TIMER_VIRTUAL * 3, 3, &line))
		panic("there is no timer");
	timer_line = line.number;
}

static void read_psci(const struct fdt *fdt)
{
	struct fdt_property method;
	struct fdt_node node;

	if (fdt_find(fdt, "arm,psci-0.2", &node) && fdt_get(fdt, &node, "method", &method))
		is_psci_by_smc = method.bytes && method.value[0] == 's';
}

void arch_discover(struct machine *out_machine, uintptr_t boot_data)
{
	struct fdt fdt;

	if (!fdt_open(&fdt, (const void *)boot_data) &&
	    !fdt_open(&fdt, (const void *)(uintptr_t)TREE_DEFAULT))
		arch_power_off(true);
	fdt_machine_read_uart(&fdt, out_machine);
	console_start(&out_machine->uart);
	read_gic(&fdt);
	read_timer(&fdt);
	read_psci(&fdt);
	fdt_machine_read(&fdt, out_machine);
}

static uint64_t read_counter(void)
{
	uint64_t count;

	__asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(count)::"memory");
	return count;
}

static void arm_timer(uint64_t control)
{
	__asm__ volatile("msr cntv_ctl_el0, %0; isb" ::"r"(control) : "memory");
}

void arch_start(void)
{
	gic_start(&gic);
	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	if (!hz || hz > SECOND)
		panic("the timer does not say how fast it is");
	ns_per_count = (SECOND << 32) / hz;
	gic_enable(timer_line, false);
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
	__asm__ volatile("msr cntv_cval_el0, %0" ::"r"(read_counter() + ns * hz / SECOND + 1));
	arm_timer(TIMER_ON);
	/* A masked interrupt that is pending ends the wait, and is let in behind it. */
	__asm__ volatile("wfi; msr daifclr, #2; isb; msr daifset, #2" ::: "memory");
	arm_timer(TIMER_OFF);
}

void interrupt(void)
{
	unsigned int line = gic_take();

	if (line >= 1020)
		return;
	if (line == timer_line)
		arm_timer(TIMER_OFF);
	else
		lines_call(line);
	gic_end(line);
}

void fault(uint64_t syndrome, uint64_t at, uint64_t address)
{
	/* Classes 0x20 to 0x25: of an address. */
	if (syndrome >> 29 == 1)
		panic_at("exception", "for address", address, at);
	panic_at("exception", "syndrome", syndrome, at);
}

bool arch_irq_connect(unsigned int line, enum irq_trigger trigger, irq_handler handler, void *ctx)
{
	if (line >= 1020 || !lines_add(line, handler, ctx))
		return false;
	gic_enable(line, trigger == IRQ_EDGE);
	return true;
}

/* That takes an ITS or a frame of a GICv2m; devices have lines as well. */
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

	__asm__ volatile("mrs %0, daif; msr daifset, #2" : "=r"(state)::"memory");
	return state;
}

void arch_irq_restore(uintptr_t state)
{
	if (!(state & IRQ_MASKED))
		__asm__ volatile("msr daifclr, #2" ::: "memory");
}

void arch_irq_enable(void)
{
	__asm__ volatile("msr daifclr, #2" ::: "memory");
}

static _Noreturn void call_firmware(uint64_t function)
{
	register uint64_t x0 __asm__("x0") = function;

	if (is_psci_by_smc)
		__asm__ volatile("smc #0" : "+r"(x0)::"memory");
	else
		__asm__ volatile("hvc #0" : "+r"(x0)::"memory");
	for (;;)
		__asm__ volatile("wfi");
}

/* PSCI cannot say that something failed: the line that panic() has printed does. */
void arch_power_off(bool has_failed)
{
	(void)has_failed;
	call_firmware(PSCI_SYSTEM_OFF);
}

void arch_reboot(void)
{
	call_firmware(PSCI_SYSTEM_RESET);
}
