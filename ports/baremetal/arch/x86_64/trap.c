/* SPDX-License-Identifier: MIT */

/* Vectors: exceptions end the kernel, interrupts call who asked for them. */

#include "console.h"
#include "x86.h"

#include <stddef.h>

#define CODE_SEGMENT 8
#define GATE_INTERRUPT 0x8e00u
#define ENTRY_BYTES 16

/* As trap.S pushes it. */
struct trap_frame {
	uint64_t scratch[9]; /* rax, rcx, rdx, rsi, rdi, r8 to r11 */
	uint64_t vector;
	uint64_t error;
	uint64_t rip;
};

struct gate {
	uint16_t low;
	uint16_t segment;
	uint16_t type;
	uint16_t middle;
	uint32_t high;
	uint32_t reserved;
};
_Static_assert(sizeof(struct gate) == 16, "Intel SDM 3A, figure 6-8");

struct table_pointer {
	uint16_t limit;
	uint64_t address;
} __attribute__((__packed__));

extern const char trap_entries[];
void trap(const struct trap_frame *frame);

static struct gate gates[VECTOR_COUNT];
static struct {
	irq_handler handler;
	void *ctx;
} handlers[VECTOR_COUNT];

void trap(const struct trap_frame *frame)
{
	uint64_t address;

	if (frame->vector < VECTOR_FIRST) {
		__asm__ volatile("movq %%cr2, %0" : "=r"(address));
		panic_at("exception", frame->vector == 14 ? "page fault for" : "vector",
			 frame->vector == 14 ? address : frame->vector, frame->rip);
	}
	if (frame->vector == VECTOR_SPURIOUS)
		return;
	if (handlers[frame->vector].handler)
		handlers[frame->vector].handler(handlers[frame->vector].ctx);
	apic_end_of_interrupt();
}

unsigned int trap_vector(irq_handler handler, void *ctx)
{
	for (unsigned int vector = VECTOR_TIMER + 1; vector < VECTOR_SPURIOUS; vector++) {
		if (handlers[vector].handler)
			continue;
		handlers[vector].ctx = ctx;
		handlers[vector].handler = handler;
		return vector;
	}
	return 0;
}

/* An entry is at most 16 bytes and begins at a multiple of 16. */
void trap_start(void)
{
	struct table_pointer pointer = { sizeof(gates) - 1, (uintptr_t)gates };

	for (unsigned int i = 0; i < VECTOR_COUNT; i++) {
		uint64_t entry = (uintptr_t)trap_entries + (uint64_t)i * ENTRY_BYTES;

		gates[i] = (struct gate){
			.low = (uint16_t)entry,
			.segment = CODE_SEGMENT,
			.type = GATE_INTERRUPT,
			.middle = (uint16_t)(entry >> 16),
			.high = (uint32_t)(entry >> 32),
		};
	}
	__asm__ volatile("lidt %0" ::"m"(pointer));
}

uintptr_t arch_irq_save(void)
{
	uintptr_t flags;

	__asm__ volatile("pushfq; popq %0; cli" : "=r"(flags)::"memory");
	return flags;
}

void arch_irq_restore(uintptr_t state)
{
	if (state & 0x200)
		__asm__ volatile("sti" ::: "memory");
}

void arch_irq_enable(void)
{
	__asm__ volatile("sti" ::: "memory");
}
