/* SPDX-License-Identifier: MIT */
/*
 * A scenario of everything the VMware host does, with the nth call of the VMM's failing: once, and
 * from then on, until none is left to fail. After each the host holds together, every frame is
 * where the model has it, no frame of the guest's was discarded, and after a start all is well.
 * AERO_TEST_FAULT=kinds,n,on replays one.
 */
#include "support/test.h"

#include "support/every_fault.h"
#include "support/vmware_host_rig.h"

#define IDLE AERO_LEDGER_IDLE_NS_DEFAULT

static void check(struct vmware_host_rig *rig)
{
	(void)vmware_host_rig_check(rig);
	assert_string_equal(rig->problem, "");
	assert_true(aero_ledger_pending(&rig->dev.ledger) <= rig->held_count);
}

static void pass(struct vmware_host_rig *rig, uint64_t ns)
{
	rig->now += ns;
	vmware_host_rig_run(rig);
	check(rig);
}

/* Frames in order and in none, across the ends of leaves, blocks (two refused), and some back. */
static void move(struct vmware_host_rig *rig, uint64_t shift)
{
	(void)vmware_host_rig_batch(rig, AERO_VMWARE_CMD_BATCHED_LOCK, 32768 - 200 + shift, 1, 500);
	check(rig);
	(void)vmware_host_rig_batch(rig, AERO_VMWARE_CMD_BATCHED_LOCK, 3000 + shift, 7, 30);
	check(rig);
	(void)vmware_host_rig_batch(rig, AERO_VMWARE_CMD_BATCHED_2M_LOCK, 36864, 512, 6);
	(void)vmware_host_rig_batch(rig, AERO_VMWARE_CMD_BATCHED_2M_LOCK, 24576, 2048, 7);
	check(rig);
	(void)vmware_host_rig_call(rig, AERO_VMWARE_CMD_LOCK, 60001, 1);
	pass(rig, 0);
	(void)vmware_host_rig_batch(rig, AERO_VMWARE_CMD_BATCHED_UNLOCK, 32768 - 100, 1, 300);
	(void)vmware_host_rig_batch(rig, AERO_VMWARE_CMD_BATCHED_2M_UNLOCK, 37888, 1024, 2);
	(void)vmware_host_rig_call(rig, AERO_VMWARE_CMD_UNLOCK, 3007 + shift, 1);
	check(rig);
}

/* Pause and resume; save and restore where that is possible. */
static void pause_and_save(struct vmware_host_rig *rig)
{
	struct test_stream stream;

	vmware_host_rig_pause(rig, true);
	pass(rig, 0);
	test_stream_init(&stream);
	if (aero_vmware_host_save(&rig->dev, &stream.sink) == AERO_OK) {
		struct aero_vmware_host *copy = calloc(1, sizeof(*copy));
		uint64_t held = rig->held_count;

		assert_non_null(copy);
		assert_int_equal(aero_vmware_host_init(copy, &rig->dev.config), AERO_OK);
		if (aero_vmware_host_restore(copy, &stream.source) != AERO_OK)
			held = 0;
		assert_int_equal(aero_ledger_held(&copy->ledger), held);
		assert_int_equal(aero_vmware_host_validate(copy), AERO_OK);
		aero_vmware_host_fini(copy);
		free(copy);
	}
	test_stream_fini(&stream);
	check(rig);
	vmware_host_rig_pause(rig, false);
}

static void scenario(struct vmware_host_rig *rig)
{
	vmware_host_rig_start(rig, 0x3e);
	vmware_host_rig_target(rig, 40000);
	move(rig, 0);
	pause_and_save(rig);
	aero_vmware_host_memory_changed(&rig->dev);
	move(rig, 13);
	pass(rig, IDLE);
	vmware_host_rig_reset(rig);
	(void)vmware_host_rig_call(rig, AERO_VMWARE_CMD_GET_TARGET, 65536, 0);
	check(rig);
	vmware_host_rig_start(rig, 0x3e);
	(void)vmware_host_rig_batch(rig, AERO_VMWARE_CMD_BATCHED_LOCK, 5000, -3, 20);
	aero_vmware_host_flush(&rig->dev);
	pass(rig, 0);
	pass(rig, IDLE);
}

/* Whatever had failed: a start makes all of it good. */
static void recover(struct vmware_host_rig *rig)
{
	host_double_fail(&rig->host, 0, 0, false);
	vmware_host_rig_start(rig, 0x3e);
	assert_int_equal(rig->host.live_nodes, 0);
	move(rig, 0);
	pass(rig, IDLE);
	assert_int_equal(rig->held_count, 500 + 30 + 11 * 512 + 1 - 300 - 2 * 512 - 1);
}

/* Answers whether a fault was met. */
static bool run_once(const void *options, unsigned int kinds, uint64_t nth, bool is_on)
{
	struct vmware_host_rig *rig = calloc(1, sizeof(*rig));
	bool has_failed;

	assert_non_null(rig);
	vmware_host_rig_open(rig, options);
	host_double_fail(&rig->host, kinds, nth, is_on);
	scenario(rig);
	has_failed = rig->host.calls >= nth;
	recover(rig);
	vmware_host_rig_close(rig);
	free(rig);
	return has_failed;
}

static void test_every_call_failing(void **state)
{
	test_every_fault(run_once, *state);
}

int main(void)
{
	static struct vmware_host_rig_options usual = { .frames = 65536 };
	static struct vmware_host_rig_options huge = { .frames = 65536, .backing = { 9, 9 } };
	static struct vmware_host_rig_options request = { .mode = AERO_DISCARD_REQUEST };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_every_call_failing, &usual),
		cmocka_unit_test_prestate(test_every_call_failing, &huge),
		cmocka_unit_test_prestate(test_every_call_failing, &request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
