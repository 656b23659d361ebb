/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_UNIT_TEST_VMWARE_HOST_CASE_H
#define AEROSTAT_TESTS_UNIT_TEST_VMWARE_HOST_CASE_H

/* Cases of the VMware host: each gets a rig of its own, opened as *state says. */

#include "support/test.h"

#include "support/vmware_host_rig.h"

#define CMD(name) AERO_VMWARE_CMD_##name
#define CAP(name) AERO_VMWARE_CAP_##name
#define EVENT(name) AERO_VMWARE_HOST_EVENT_##name

#define NOTHING 0xffffffffffffffffull /* both arguments of a doorbell that is none */

static inline int case_open(void **state)
{
	struct vmware_host_rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	vmware_host_rig_open(rig, *state);
	*state = rig;
	return 0;
}

static inline int case_start(void **state)
{
	case_open(state);
	vmware_host_rig_start(*state, 0x3e);
	return 0;
}

static inline int case_close(void **state)
{
	struct vmware_host_rig *rig = *state;

	(void)vmware_host_rig_check(rig);
	assert_string_equal(rig->problem, "");
	vmware_host_rig_close(rig);
	free(rig);
	return 0;
}

/* A host without a guest, and one whose guest asked for everything. options may be NULL. */
#define CASE_OPEN(f, options) \
	cmocka_unit_test_prestate_setup_teardown(f, case_open, case_close, options)
#define CASE(f, options) \
	cmocka_unit_test_prestate_setup_teardown(f, case_start, case_close, options)

static inline uint64_t call(struct vmware_host_rig *rig, uint32_t command, uint64_t bx, uint64_t si)
{
	uint64_t ax = vmware_host_rig_call(rig, command, bx, si);

	assert_string_equal(rig->problem, "");
	return ax;
}

static inline uint64_t batch(struct vmware_host_rig *rig, uint32_t command, uint64_t first,
			     int64_t step, unsigned int count)
{
	uint64_t ax = vmware_host_rig_batch(rig, command, first, step, count);

	assert_string_equal(rig->problem, "");
	return ax;
}

static inline struct aero_vmware_host_report case_report(const struct vmware_host_rig *rig)
{
	struct aero_vmware_host_report report;

	aero_vmware_host_report(&rig->dev, rig->now, &report);
	return report;
}

static inline void case_check(struct vmware_host_rig *rig)
{
	(void)vmware_host_rig_check(rig);
	assert_string_equal(rig->problem, "");
}

/* Time passes, and the host is called when it asked to be. */
static inline void case_pass(struct vmware_host_rig *rig, uint64_t ns)
{
	rig->now += ns;
	vmware_host_rig_run(rig);
}

#endif
