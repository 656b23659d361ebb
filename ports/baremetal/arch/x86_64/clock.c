/* SPDX-License-Identifier: MIT */

/*
 * Time: the processor's time stamp counts it, the local timer ends a sleep. How fast both run is
 * measured against the PC's oscillator once.
 */

#include "arch/arch.h"
#include "console.h"
#include "registers.h"
#include "x86.h"

/* Source: 8254 data sheet; port 0x61 of the PC AT. */
#define PIT_HZ 1193182ull
#define PIT_CHANNEL_2 0x42
#define PIT_MODE 0x43
#define PIT_MODE_COUNT_DOWN 0xb0u /* channel 2, both bytes, interrupt on terminal count */
#define GATE 0x61
#define GATE_ON 0x01u
#define GATE_SPEAKER 0x02u
#define GATE_DONE 0x20u

#define SAMPLE_COUNTS 11932ull /* 10 ms */
#define LOOKS_MAX 100000000u

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

static void wait_sample(void)
{
	unsigned int looks = 0;

	while (!(port_read(GATE, 1) & GATE_DONE)) {
		if (++looks == LOOKS_MAX)
			panic("there is no timer to measure time with");
	}
}

void clock_start(void)
{
	uint64_t ns = SAMPLE_COUNTS * SECOND / PIT_HZ;
	uint32_t gate = (port_read(GATE, 1) & ~GATE_SPEAKER) | GATE_ON;
	uint64_t counts;
	uint32_t ticks;

	port_write(GATE, 1, gate & ~GATE_ON);
	port_write(PIT_MODE, 1, PIT_MODE_COUNT_DOWN);
	port_write(PIT_CHANNEL_2, 1, SAMPLE_COUNTS & 0xff);
	port_write(PIT_CHANNEL_2, 1, SAMPLE_COUNTS >> 8);
	apic_timer_arm(UINT32_MAX);
	port_write(GATE, 1, gate);
	clock.begin = read_counter();
	ticks = apic_timer_left();
	wait_sample();
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
