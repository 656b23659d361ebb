/* SPDX-License-Identifier: MIT */
/*
 * The real instruction. A process may not touch ports, so the processor traps; what lies in the
 * registers then is what the hypervisor would see, and what is put there is what it would answer.
 */
#include "support/test.h"

#include <aerostat/guest/vmware.h>

#if defined(__x86_64__) || defined(__i386__)

#include <signal.h>
#include <ucontext.h>

#if defined(__x86_64__)
#define REG(context, name) ((context)->uc_mcontext.gregs[REG_R##name])
#else
#define REG(context, name) ((context)->uc_mcontext.gregs[REG_E##name])
#endif

#define IN_EAX_DX 0xed

static struct aero_vmware_registers seen;
static unsigned int traps;
static uint64_t *shared;

static void trap(int signal, siginfo_t *info, void *context)
{
	ucontext_t *cpu = context;

	(void)info;
	if (*(const uint8_t *)REG(cpu, IP) != IN_EAX_DX)
		abort();
	traps++;
	(void)signal;
	seen.ax = (uintptr_t)REG(cpu, AX);
	seen.bx = (uintptr_t)REG(cpu, BX);
	seen.cx = (uintptr_t)REG(cpu, CX);
	seen.dx = (uintptr_t)REG(cpu, DX);
	seen.si = (uintptr_t)REG(cpu, SI);
	seen.di = (uintptr_t)REG(cpu, DI);
	REG(cpu, AX) = (greg_t)(uintptr_t)0x8182838485868788;
	REG(cpu, BX) = (greg_t)(uintptr_t)0x9192939495969798;
	REG(cpu, CX) = (greg_t)(uintptr_t)0xa1a2a3a4a5a6a7a8;
	REG(cpu, DX) = (greg_t)(uintptr_t)0xb1b2b3b4b5b6b7b8;
	REG(cpu, SI) = (greg_t)(uintptr_t)0xc1c2c3c4c5c6c7c8;
	REG(cpu, DI) = (greg_t)(uintptr_t)0xd1d2d3d4d5d6d7d8;
	*shared += 1;
	REG(cpu, IP) += 1;
}

static void test_call_hands_all_registers_over_and_back(void **state)
{
	struct sigaction action = { .sa_sigaction = trap, .sa_flags = SA_SIGINFO }, old;
	struct aero_vmware_registers regs = {
		.ax = AERO_VMWARE_MAGIC,
		.bx = 0x1112131415161718,
		.cx = 0x2122232425262728,
		.dx = AERO_VMWARE_PORT,
		.si = 0x3132333435363738,
		.di = 0x4142434445464748,
	};
	uint64_t page = 41;

	(void)state;
	shared = &page;
	assert_int_equal(sigaction(SIGSEGV, &action, &old), 0);
	aero_vmware_backdoor_call(NULL, &regs);
	assert_int_equal(sigaction(SIGSEGV, &old, NULL), 0);
	assert_int_equal(traps, 1);
	/* Memory may have changed under the instruction. */
	assert_int_equal(page, 42);
	assert_int_equal(seen.ax, 0x456c6d6f);
	assert_int_equal(seen.dx, 0x5670);
	assert_int_equal(seen.bx, (uintptr_t)0x1112131415161718);
	assert_int_equal(seen.cx, (uintptr_t)0x2122232425262728);
	assert_int_equal(seen.si, (uintptr_t)0x3132333435363738);
	assert_int_equal(seen.di, (uintptr_t)0x4142434445464748);
	/* The native width, zero-extended. */
	assert_int_equal(regs.ax, (uintptr_t)0x8182838485868788);
	assert_int_equal(regs.bx, (uintptr_t)0x9192939495969798);
	assert_int_equal(regs.cx, (uintptr_t)0xa1a2a3a4a5a6a7a8);
	assert_int_equal(regs.dx, (uintptr_t)0xb1b2b3b4b5b6b7b8);
	assert_int_equal(regs.si, (uintptr_t)0xc1c2c3c4c5c6c7c8);
	assert_int_equal(regs.di, (uintptr_t)0xd1d2d3d4d5d6d7d8);
}

static void test_is_present_only_on_vmware(void **state)
{
	bool is_first = aero_vmware_backdoor_is_present();
	FILE *info = fopen("/sys/class/dmi/id/sys_vendor", "r");
	char vendor[64] = "";

	(void)state;
	if (info && !fgets(vendor, sizeof(vendor), info))
		vendor[0] = '\0';
	if (info)
		fclose(info);
	assert_int_equal(aero_vmware_backdoor_is_present(), is_first);
	if (strncmp(vendor, "VMware", 6) != 0)
		assert_false(is_first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call_hands_all_registers_over_and_back),
		cmocka_unit_test(test_is_present_only_on_vmware),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

/* Not on this processor: then the text of a driver says so too, by needing a bus. */
static void test_init_without_a_bus_is_refused(void **state)
{
	struct aero_vmware_guest_config config = { 0 };
	struct aero_vmware_guest drv;

	(void)state;
	assert_int_equal(aero_vmware_guest_init(&drv, &config), AERO_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init_without_a_bus_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
