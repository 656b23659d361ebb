/* SPDX-License-Identifier: MIT */
#include "work.h"
#include "arch/arch.h"

static volatile uint32_t raised;

void work_raise(uint32_t what)
{
	uintptr_t state = arch_irq_save();

	raised |= what;
	arch_irq_restore(state);
}

uint32_t work_wait(uint64_t until_ns)
{
	uintptr_t state = arch_irq_save();
	uint32_t what;

	/* Interrupts are off between the look and the sleep, and pending ones end the sleep. */
	while (!raised && arch_now_ns() < until_ns)
		arch_sleep(until_ns);
	what = raised;
	raised = 0;
	arch_irq_restore(state);
	return what;
}
