/* SPDX-License-Identifier: MIT */

/*
 * Time: the processor's time stamp counts it, the local timer ends a sleep. How fast both run is
 * measured against the PC's oscillator once.
 */

#include "arch/arch.h"
#include "console.h"
#include "registers.h"
#include "x86.h"

/* Source: 8254 data sheet. Channel 0, because that one runs without a gate. */
#define PIT_HZ 1193182ull
#define PIT_CHANNEL_0 0x40
#define PIT_MODE 0x43
#define PIT_COUNT_DOWN 0x30u /* channel 0, both bytes, mode 0 */
#define PIT_LATCH 0x00u	     /* channel 0 */
#define PIT_BEGIN 0xffffu

#define SAMPLE_COUNTS 11932u /* 10 ms */
#define LOOKS_MAX 1000000u

#define SECOND 1000000000ull

static struct {
	uint64_t begin;
	uint64_t ns_per_count;	/* of the time stamp, in 2^-32 */
	uint64_t counts_per_ns; /* of the timer, in 2^-32 */
} clock;

static uint64_t read_counter(void)
{
	uint32_t low;
	uint32_t high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static uint32_t oscillator_left(void)
{
	uint32_t low;

	port_write(PIT_MODE, 1, PIT_LATCH);
	low = port_read(PIT_CHANNEL_0, 1);
	return port_read(PIT_CHANNEL_0, 1) << 8 | low;
}

/* Answers how many counts have passed since it was left. */
static uint32_t wait_sample(uint32_t left)
{
	uint32_t passed = 0;

	for (unsigned int i = 0; i < LOOKS_MAX && passed < SAMPLE_COUNTS; i++)
		passed = (left - oscillator_left()) & 0xffff;
	if (passed < SAMPLE_COUNTS)
		panic("there is no oscillator to measure time with");
	return passed;
}

void clock_start(void)
{
	uint64_t counts;
	uint32_t ticks;
	uint32_t left;
	uint64_t ns;

	port_write(PIT_MODE, 1, PIT_COUNT_DOWN);
	port_write(PIT_CHANNEL_0, 1, PIT_BEGIN & 0xff);
	port_write(PIT_CHANNEL_0, 1, PIT_BEGIN >> 8);
	apic_timer_arm(UINT32_MAX);
	left = oscillator_left();
	clock.begin = read_counter();
	ticks = apic_timer_left();
	ns = wait_sample(left) * SECOND / PIT_HZ;
	counts = read_counter() - clock.begin;
	ticks -= apic_timer_left();
	apic_timer_arm(0);
	if (!counts || !ticks)
		panic("time stands still");
	clock.ns_per_count = (ns << 32) / counts;
	clock.counts_per_ns = ((uint64_t)ticks << 32) / ns;
}

uint64_t arch_now_ns(void)
{
	unsigned __int128 counts = read_counter() - clock.begin;

	return (uint64_t)(counts * clock.ns_per_count >> 32) + 1;
}

void arch_sleep(uint64_t until_ns)
{
	uint64_t now = arch_now_ns();
	unsigned __int128 counts = until_ns - now;

	if (until_ns <= now)
		return;
	counts = (counts * clock.counts_per_ns >> 32) + 1;
	apic_timer_arm(counts > UINT32_MAX ? UINT32_MAX : (uint32_t)counts);
	/* Interrupts are let in behind the instruction after sti: none is missed. */
	__asm__ volatile("sti; hlt; cli" ::: "memory");
	apic_timer_arm(0);
}
