/* SPDX-License-Identifier: MIT */

/* Source: Arm GIC Architecture Specification, versions 2.0 (IHI 0048) and 3 (IHI 0069). */

#include "gic.h"
#include "registers.h"

#define LINES_OWN 32u

#define D_CONTROL 0x000
#define D_CONTROL_ON 0x1u
#define D_CONTROL_ON_V3 0x12u /* affinity routing, group 1 */
#define D_GROUP 0x080
#define D_ENABLE 0x100
#define D_PRIORITY 0x400
#define D_TARGET 0x800
#define D_CONFIG 0xc00
#define D_ROUTER 0x6000

#define PRIORITY 0xa0u

/* Version 2, the processor's interface. */
#define C_CONTROL 0x00
#define C_PRIORITY_MASK 0x04
#define C_TAKE 0x0c
#define C_END 0x10

/* Version 3: the redistributor, and its second half for own lines. */
#define R_WAKER 0x14
#define R_WAKER_SLEEPS 0x2u
#define R_WAKER_IS_ASLEEP 0x4u
#define R_OWN 0x10000

static struct gic gic;

static void start_v2(void)
{
	register_write(gic.processor + C_PRIORITY_MASK, 4, 0xff);
	register_write(gic.processor + C_CONTROL, 4, 1);
	register_write(gic.distributor + D_CONTROL, 4, D_CONTROL_ON);
}

/* System registers by their encoding: ICC_SRE, PMR, IGRPEN1 of EL1. */
static void start_v3(void)
{
	uint32_t waker = register_read(gic.processor + R_WAKER, 4);

	register_write(gic.distributor + D_CONTROL, 4, D_CONTROL_ON_V3);
	register_write(gic.processor + R_WAKER, 4, waker & ~R_WAKER_SLEEPS);
	while (register_read(gic.processor + R_WAKER, 4) & R_WAKER_IS_ASLEEP)
		;
	__asm__ volatile("msr s3_0_c12_c12_5, %0; isb" ::"r"(1ul) : "memory");
	__asm__ volatile("msr s3_0_c4_c6_0, %0" ::"r"(0xfful) : "memory");
	__asm__ volatile("msr s3_0_c12_c12_7, %0; isb" ::"r"(1ul) : "memory");
}

void gic_start(const struct gic *found)
{
	gic = *found;
	if (gic.is_v3)
		start_v3();
	else
		start_v2();
}

void gic_enable(unsigned int line, bool is_edge)
{
	bool is_own = line < LINES_OWN;
	uint64_t base = gic.is_v3 && is_own ? gic.processor + R_OWN : gic.distributor;
	uint64_t config = base + D_CONFIG + line / 16 * 4;
	uint32_t edge = 2u << line % 16 * 2;
	uint32_t value = register_read(config, 4);

	if (!is_own)
		register_write(config, 4, is_edge ? value | edge : value & ~edge);
	register_write(base + D_PRIORITY + line, 1, PRIORITY);
	if (gic.is_v3) {
		uint64_t group = base + D_GROUP + line / 32 * 4;

		register_write(group, 4, register_read(group, 4) | 1u << line % 32);
		/* To the processor with affinity 0, which is this one. */
		if (!is_own) {
			register_write(base + D_ROUTER + 8ull * line, 4, 0);
			register_write(base + D_ROUTER + 8ull * line + 4, 4, 0);
		}
	} else if (!is_own) {
		register_write(base + D_TARGET + line, 1, 1);
	}
	register_write(base + D_ENABLE + line / 32 * 4, 4, 1u << line % 32);
}

unsigned int gic_take(void)
{
	uint64_t line;

	if (!gic.is_v3)
		return register_read(gic.processor + C_TAKE, 4) & 0x3ff;
	__asm__ volatile("mrs %0, s3_0_c12_c12_0; dsb sy" : "=r"(line)::"memory");
	return (unsigned int)line & 0xffffff;
}

void gic_end(unsigned int line)
{
	if (!gic.is_v3) {
		register_write(gic.processor + C_END, 4, line);
		return;
	}
	__asm__ volatile("msr s3_0_c12_c12_1, %0; isb" ::"r"((uint64_t)line) : "memory");
}
