/* SPDX-License-Identifier: MIT */
/* The real port, where the processor has one. */
#include <aerostat/guest/vmware.h>

#include "../core/platform.h"

#if defined(__x86_64__) || defined(__i386__)

#define HYPERVISOR_LEAF 0x40000000u
#define FEATURE_LEAF 1u
#define FEATURE_HYPERVISOR (1u << 31) /* of ECX */

void aero_vmware_backdoor_call(void *ctx, struct aero_vmware_registers *regs)
{
	uintptr_t ax = (uintptr_t)regs->ax, bx = (uintptr_t)regs->bx, cx = (uintptr_t)regs->cx;
	uintptr_t dx = (uintptr_t)regs->dx, si = (uintptr_t)regs->si, di = (uintptr_t)regs->di;

	(void)ctx;
	/* The host reads and writes the batch page while the instruction runs. */
	__asm__ volatile("inl %%dx, %%eax"
			 : "+a"(ax), "+b"(bx), "+c"(cx), "+d"(dx), "+S"(si), "+D"(di)
			 :
			 : "memory", "cc");
	regs->ax = ax;
	regs->bx = bx;
	regs->cx = cx;
	regs->dx = dx;
	regs->si = si;
	regs->di = di;
}

static void cpuid(uint32_t leaf, uint32_t out[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
			 : "a"(leaf), "c"(0));
}

bool aero_vmware_backdoor_is_present(void)
{
	uint32_t r[4];

	cpuid(FEATURE_LEAF, r);
	if (!(r[2] & FEATURE_HYPERVISOR))
		return false;
	cpuid(HYPERVISOR_LEAF, r);
	return !memcmp(&r[1], "VMwareVMware", 12);
}

#endif
