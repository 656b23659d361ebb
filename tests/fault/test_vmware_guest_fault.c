/* SPDX-License-Identifier: MIT */
/*
 * VMware's driver through a whole life, with the nth call of the port failing, once or from then
 * on, and with the nth exchange answered by a reset or a failure, in each mode of the protocol.
 */
#include "support/test.h"

#include "support/vmware_script.h"

#define SECOND VMWARE_SCRIPT_SECOND
#define MIB(n) ((uint64_t)(n) << 8)

struct fault {
	uint32_t calls; /* of the port */
	bool from_then_on;
	uint64_t ax; /* of the nth exchange; 0: none */
};

static void good(const struct vmware_script *script)
{
	if (script->problem[0])
		fail_msg("%s", script->problem);
}

static void live(struct vmware_script *script, uint64_t ns)
{
	vmware_script_run(script, ns);
	good(script);
}

static void aim(struct vmware_script *script, uint64_t frames)
{
	script->target = frames;
	aero_vmware_guest_doorbell(&script->drv);
	live(script, 2 * SECOND);
}

static uint32_t judge(struct vmware_script *script, uint32_t command, aero_frame frame)
{
	(void)script;
	if (command == AERO_VMWARE_CMD_BATCHED_2M_LOCK)
		return frame / 512 % 2 ? AERO_VMWARE_SUCCESS : AERO_VMWARE_PPN_PINNED;
	return frame % 61 == 5 ? AERO_VMWARE_PPN_INVALID : AERO_VMWARE_SUCCESS;
}

static void whole_life(struct vmware_script *script, uint64_t unit)
{
	struct aero_balloon *balloon = &script->drv.balloon;
	struct aero_range run;
	aero_frame new_frame;
	uint64_t came;

	live(script, SECOND);
	script->judge = judge;
	aim(script, 5 * unit);
	script->judge = NULL;
	if (aero_frame_set_next(&balloon->pages.size[0].lent, 0, 1, &run))
		(void)vmware_script_move(script, 0, run.first, &new_frame);
	(void)aero_balloon_reclaim(balloon, AERO_RECLAIM_PRESSURE, unit, script->now, &came);
	vmware_script_check(script);
	good(script);
	live(script, 6 * SECOND);
	aero_balloon_require_reset(balloon);
	live(script, 2 * SECOND);
	(void)aero_balloon_freeze(balloon);
	aim(script, 0);
	aero_balloon_thaw(balloon);
	live(script, 2 * SECOND);
	aim(script, 2 * unit);
	aim(script, unit / 2);
}

/* Whether the fault was met. */
static bool run_with(const struct fault *fault, uint32_t grants, uint64_t nth)
{
	struct aero_vmware_guest_config config = {
		.balloon = { .backoff_max_ns = SECOND },
		.guest_type = AERO_VMWARE_GUEST_LINUX,
		.capabilities = 0x3e,
	};
	struct sim_port_config sim = { .frames = MIB(16) };
	struct vmware_script *script = calloc(1, sizeof(*script));
	uint64_t unit = grants & AERO_VMWARE_CAP_BATCHED ? 512 : 6;
	const char *problem;
	bool has_met;

	assert_non_null(script);
	assert_int_equal(vmware_script_open(script, &config, &sim), AERO_OK);
	script->grants = grants;
	script->at = fault->ax ? nth : 0;
	script->at_ax = fault->ax;
	sim_port_fail(&script->sim, fault->calls, fault->ax ? 0 : nth, fault->from_then_on);
	whole_life(script, unit);
	has_met = fault->ax ? !script->at : script->sim.counters.failures > 0;
	/* All is well again. */
	script->at = 0;
	sim_port_fail(&script->sim, 0, 0, false);
	aim(script, 4 * unit);
	live(script, 4 * SECOND);
	if (aero_balloon_frames(&script->drv.balloon) != script->given_frames ||
	    script->given_frames < 4 * unit || script->given_frames >= 4 * unit + 512)
		fail_msg("grants %#x, place %llu: %llu frames in the end", grants,
			 (unsigned long long)nth, (unsigned long long)script->given_frames);
	problem = vmware_script_close(script);
	if (problem)
		fail_msg("grants %#x, place %llu: %s", grants, (unsigned long long)nth, problem);
	free(script);
	return has_met;
}

static void run_all(struct fault fault)
{
	static const uint32_t grants[] = { 0x3e, 0x06, 0x32 };

	for (unsigned int i = 0; i < TEST_ARRAY_SIZE(grants); i++) {
		uint64_t nth = 1;

		while (run_with(&fault, grants[i], nth))
			nth++;
		print_message("# grants %#x: %llu places\n", grants[i],
			      (unsigned long long)nth - 1);
		assert_in_range(nth, 2, 2000);
	}
}

static void test_every_port_call_failing_once(void **state)
{
	(void)state;
	run_all((struct fault){ SIM_PORT_ALLOC, false, 0 });
	run_all((struct fault){ SIM_PORT_PAGE_GET, false, 0 });
}

static void test_every_port_call_failing_from_then_on(void **state)
{
	(void)state;
	run_all((struct fault){ SIM_PORT_ALLOC | SIM_PORT_PAGE_GET, true, 0 });
	run_all((struct fault){ SIM_PORT_PAGE_GET, true, 0 });
}

static void test_every_exchange_answered_by_a_reset(void **state)
{
	(void)state;
	run_all((struct fault){ 0, false, AERO_VMWARE_RESET });
}

static void test_every_exchange_failing(void **state)
{
	(void)state;
	run_all((struct fault){ 0, false, AERO_VMWARE_FAILURE });
	run_all((struct fault){ 0, false, AERO_VMWARE_PPN_INVALID });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_port_call_failing_once),
		cmocka_unit_test(test_every_port_call_failing_from_then_on),
		cmocka_unit_test(test_every_exchange_answered_by_a_reset),
		cmocka_unit_test(test_every_exchange_failing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
