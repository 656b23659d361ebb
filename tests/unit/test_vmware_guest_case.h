/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_UNIT_TEST_VMWARE_GUEST_CASE_H
#define AEROSTAT_TESTS_UNIT_TEST_VMWARE_GUEST_CASE_H

/* Cases of VMware's driver: each gets a scripted host and a kernel of its own, as *state says. */

#include "support/test.h"

#include "support/vmware_script.h"

#define SECOND VMWARE_SCRIPT_SECOND
#define MIB(n) ((uint64_t)(n) << 8) /* in frames */
#define CMD(name) AERO_VMWARE_CMD_##name
#define CAP(name) AERO_VMWARE_CAP_##name
#define STALL(name) AERO_STALL_##name

struct vmware_options {
	struct aero_vmware_guest_config config;
	struct sim_port_config sim;
};

static inline void good(const struct vmware_script *script)
{
	if (script->problem[0])
		fail_msg("%s", script->problem);
}

static inline int vmware_open(void **state)
{
	static const struct vmware_options none;
	const struct vmware_options *options = *state ? *state : &none;
	struct vmware_script *script = calloc(1, sizeof(*script));

	assert_non_null(script);
	assert_int_equal(vmware_script_open(script, &options->config, &options->sim), AERO_OK);
	*state = script;
	return 0;
}

static inline int vmware_close(void **state)
{
	struct vmware_script *script = *state;
	const char *problem;

	script->tamper = NULL;
	problem = vmware_script_close(script);
	if (problem)
		fail_msg("%s", problem);
	free(script);
	return 0;
}

/* options may be NULL: 64 MiB, all that can be asked for, guest type 0. */
#define CASE(f, options) \
	cmocka_unit_test_prestate_setup_teardown(f, vmware_open, vmware_close, (void *)(options))

static inline void step(struct vmware_script *script)
{
	vmware_script_step(script);
	good(script);
}

static inline void settle(struct vmware_script *script)
{
	vmware_script_settle(script);
	good(script);
}

static inline void run(struct vmware_script *script, uint64_t ns)
{
	vmware_script_run(script, ns);
	good(script);
}

/* Another target, found out by a doorbell. */
static inline void aim(struct vmware_script *script, uint64_t frames)
{
	script->target = frames;
	aero_vmware_guest_doorbell(&script->drv);
	settle(script);
}

static inline void forget(struct vmware_script *script)
{
	script->words[0] = '\0';
	script->events[0] = '\0';
}

static inline void assert_words(struct vmware_script *script, const char *words)
{
	assert_string_equal(script->words, words);
	script->words[0] = '\0';
}

static inline void assert_frames(const struct vmware_script *script, uint64_t frames)
{
	assert_int_equal(aero_balloon_frames(&script->drv.balloon), frames);
}

static inline void assert_stall(const struct vmware_script *script, enum aero_stall stall)
{
	struct aero_balloon_report report;

	aero_balloon_report(&script->drv.balloon, &report);
	assert_int_equal(report.stall, stall);
}

static inline struct aero_vmware_guest_report get_report(struct vmware_script *script)
{
	struct aero_vmware_guest_report report;

	aero_vmware_guest_report(&script->drv, &report);
	return report;
}

#endif
