/* SPDX-License-Identifier: MIT */

/*
 * Interrupt controllers: the processor's own (local APIC) and those of lines (I/O APIC). Messages
 * go to the local one without detour. Source: Intel SDM 3A, chapter 11; 82093AA data sheet.
 */

#include "console.h"
#include "registers.h"
#include "x86.h"

#define LOCAL 0xfee00000ull
#define LOCAL_ID 0x20
#define LOCAL_EOI 0xb0
#define LOCAL_SPURIOUS 0xf0
#define LOCAL_ON 0x100u
#define LOCAL_LVT_TIMER 0x320
#define LOCAL_LVT_LINT0 0x350
#define LOCAL_LVT_LINT1 0x360
#define LOCAL_LVT_MASKED 0x10000u
#define LOCAL_TIMER_COUNT 0x380
#define LOCAL_TIMER_LEFT 0x390
#define LOCAL_TIMER_DIVIDE 0x3e0
#define LOCAL_TIMER_DIVIDE_BY_1 0xbu

#define IO_SELECT 0x00
#define IO_WINDOW 0x10
#define IO_VERSION 1u
#define IO_ENTRY 0x10u
#define IO_LEVEL 0x8000u
#define IO_MASKED 0x10000u

/* 8259: out of the way. */
#define OLD_MASK_1 0x21
#define OLD_MASK_2 0xa1

static uint32_t own_id(void)
{
	return register_read(LOCAL + LOCAL_ID, 4) >> 24;
}

void apic_start(void)
{
	port_write(OLD_MASK_1, 1, 0xff);
	port_write(OLD_MASK_2, 1, 0xff);
	register_write(LOCAL + LOCAL_LVT_LINT0, 4, LOCAL_LVT_MASKED);
	register_write(LOCAL + LOCAL_LVT_LINT1, 4, LOCAL_LVT_MASKED);
	register_write(LOCAL + LOCAL_SPURIOUS, 4, LOCAL_ON | VECTOR_SPURIOUS);
	register_write(LOCAL + LOCAL_TIMER_DIVIDE, 4, LOCAL_TIMER_DIVIDE_BY_1);
	register_write(LOCAL + LOCAL_LVT_TIMER, 4, VECTOR_TIMER);
}

void apic_end_of_interrupt(void)
{
	register_write(LOCAL + LOCAL_EOI, 4, 0);
}

void apic_timer_arm(uint32_t count)
{
	register_write(LOCAL + LOCAL_TIMER_COUNT, 4, count);
}

uint32_t apic_timer_left(void)
{
	return register_read(LOCAL + LOCAL_TIMER_LEFT, 4);
}

static void io_write(uint64_t base, uint32_t index, uint32_t value)
{
	register_write(base + IO_SELECT, 4, index);
	register_write(base + IO_WINDOW, 4, value);
}

static uint32_t io_lines(uint64_t base)
{
	register_write(base + IO_SELECT, 4, IO_VERSION);
	return (register_read(base + IO_WINDOW, 4) >> 16 & 0xff) + 1;
}

bool arch_irq_connect(unsigned int line, enum irq_trigger trigger, irq_handler handler, void *ctx)
{
	for (unsigned int i = 0; i < acpi.ioapic_count; i++) {
		uint64_t base = acpi.ioapic[i].address;
		unsigned int vector;
		uint32_t entry;

		if (line < acpi.ioapic[i].first_line ||
		    line - acpi.ioapic[i].first_line >= io_lines(base))
			continue;
		vector = trap_vector(handler, ctx);
		if (!vector)
			return false;
		entry = IO_ENTRY + 2 * (line - acpi.ioapic[i].first_line);
		io_write(base, entry, IO_MASKED);
		io_write(base, entry + 1, own_id() << 24);
		io_write(base, entry, vector | (trigger == IRQ_LEVEL ? IO_LEVEL : 0));
		return true;
	}
	return false;
}

bool arch_message_connect(irq_handler handler, void *ctx, struct arch_message *out_message)
{
	unsigned int vector = trap_vector(handler, ctx);

	out_message->address = LOCAL | own_id() << 12;
	out_message->data = vector;
	return vector != 0;
}
