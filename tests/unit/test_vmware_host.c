/* SPDX-License-Identifier: MIT */
/* The protocol of the VMware host: what each command is answered, by whom it was granted what. */
#include "test_vmware_host_case.h"

static struct aero_vmware_host_config good_config(struct host_double *host)
{
	struct aero_vmware_host_config config = {
		.memory = &host->memory,
		.nodes = host->nodes,
		.capabilities = 0x3e,
	};

	return config;
}

static void test_init_refuses_bad_configurations(void **state)
{
	struct aero_backing backing = { 0, 0 };
	struct host_double host;
	struct aero_vmware_host *dev = calloc(1, sizeof(*dev));
	struct aero_vmware_host_config config;

	(void)state;
	assert_non_null(dev);
	host_double_init(&host, 64, backing);
#define REFUSED(change)                                                             \
	do {                                                                        \
		config = good_config(&host);                                        \
		change;                                                             \
		assert_int_equal(aero_vmware_host_init(dev, &config), AERO_EINVAL); \
	} while (0)
	REFUSED(config.memory = NULL);
	REFUSED(config.nodes.get = NULL);
	REFUSED(config.nodes.put = NULL);
	REFUSED(config.capabilities = 0x3f);
	REFUSED(config.capabilities = 0x40);
	REFUSED(config.capabilities = CAP(BASIC) | CAP(BATCHED_2M));
	REFUSED(config.mode = (enum aero_discard_mode)(AERO_DISCARD_NONE + 1));
	REFUSED(host.memory.translate = NULL);
	host_double_fini(&host);
	host_double_init(&host, 64, backing);
	REFUSED(host.memory.is_ram = NULL);
	host_double_fini(&host);
	host_double_init(&host, 64, backing);
	REFUSED(host.memory.discard = NULL);
	host_double_fini(&host);
	host_double_init(&host, 64, backing);
	config = good_config(&host);
	assert_int_equal(aero_vmware_host_init(dev, &config), AERO_OK);
	assert_int_equal(aero_vmware_host_validate(dev), AERO_OK);
	aero_vmware_host_fini(dev);
	host_double_fini(&host);
	free(dev);
}

static void test_call_for_somebody_else_leaves_the_registers(void **state)
{
	struct vmware_host_rig *rig = *state;
	struct aero_vmware_registers regs[] = {
		{ 0x564d5868, 1, 0, 0x5670, 2, 3 },
		{ 0x456c6d6f, 1, 0, 0x5658, 2, 3 },
		{ 0x456c6d6e, 1, 0, 0x5671, 2, 3 },
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(regs); i++) {
		struct aero_vmware_registers before = regs[i];

		assert_int_equal(aero_vmware_host_call(&rig->dev, &regs[i], 1), AERO_ENOENT);
		assert_memory_equal(&before, &regs[i], sizeof(before));
	}
	assert_int_equal(rig->dev.counters.foreign_calls, 3);
	assert_int_equal(rig->dev.counters.calls[CMD(START)], 0);
	assert_int_equal(rig->traces, 0);
}

static void test_upper_halves_of_registers_are_ignored(void **state)
{
	struct vmware_host_rig *rig = *state;
	struct aero_vmware_registers regs = { 0xffffffff456c6d6f, 0x3e,	  0xabcd0000,
					      0xffff5670,	  0xffff, 0 };

	assert_int_equal(aero_vmware_host_call(&rig->dev, &regs, 1), AERO_OK);
	assert_int_equal(regs.ax, 0x03000000);
	assert_int_equal(regs.cx, 0x3e);
	assert_int_equal(rig->dev.counters.calls[CMD(START)], 1);
	vmware_host_rig_forget(rig);
}

static bool is_wellformed(uint32_t caps)
{
	return !(caps & CAP(BATCHED_2M)) || caps & CAP(BATCHED);
}

/* Every command that needs a capability, answered or refused as the mask says. */
static void check_commands(struct vmware_host_rig *rig, uint32_t caps)
{
	static const uint32_t needs[][2] = {
		{ CMD(LOCK), 0x02 },	     { CMD(UNLOCK), 0x02 },
		{ CMD(BATCHED_LOCK), 0x04 }, { CMD(BATCHED_UNLOCK), 0x04 },
		{ CMD(BATCHED_2M_LOCK), 8 }, { CMD(BATCHED_2M_UNLOCK), 8 },
		{ CMD(DOORBELL_SET), 0x10 },
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(needs); i++) {
		bool is_single = needs[i][0] <= CMD(UNLOCK);
		uint64_t ax;

		vmware_host_rig_put(rig, 0, 1024ull << 12);
		ax = call(rig, needs[i][0], is_single ? 1024 : VMWARE_RIG_PAGE, 1);
		assert_int_equal(ax, caps & needs[i][1] ? 0 : AERO_VMWARE_CMD_INVALID);
	}
	assert_int_equal(call(rig, CMD(GET_TARGET), 1000, 0), 0);
	assert_int_equal(rig->regs.bx, caps & 0x20 ? 1ull << 33 : 0xffffffff);
	assert_int_equal(call(rig, CMD(GUEST_ID), 1, 0), 0);
	assert_int_equal(call(rig, CMD(UNUSED), 0, 0), AERO_VMWARE_CMD_INVALID);
}

/* All subsets a host can have, old or not, against all a guest can want, meaning or not. */
static void test_start_grants_what_both_have(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < 64; n++) {
		struct vmware_host_rig_options options = { .refused = (n & 31) << 1,
							   .is_old = n >> 5 };
		struct vmware_host_rig *rig = calloc(1, sizeof(*rig));
		uint32_t have = 0x3e & ~options.refused;

		assert_non_null(rig);
		if (!is_wellformed(have)) {
			free(rig);
			continue;
		}
		vmware_host_rig_open(rig, &options);
		vmware_host_rig_target(rig, 1ull << 33);
		for (uint32_t want = 1; want < 128; want++) {
			uint32_t granted = options.is_old ? 0x02 : have & want;

			assert_int_equal(call(rig, CMD(START), want, 0),
					 options.is_old ? 0 : 0x03000000);
			assert_int_equal(case_report(rig).capabilities, granted);
			if (!options.is_old)
				assert_int_equal(rig->regs.cx, granted);
			assert_int_equal(rig->event_value[EVENT(STARTED)], granted);
			check_commands(rig, granted);
		}
		assert_int_equal(rig->events[EVENT(STARTED)], 127);
		case_check(rig);
		vmware_host_rig_close(rig);
		free(rig);
	}
}

static void test_version_3_is_basic_only(void **state)
{
	struct vmware_host_rig *rig = *state;

	/* Before capabilities argument 1 was a version: 3 shares one bit with what there is. */
	assert_int_equal(call(rig, CMD(START), 3, 0), 0x03000000);
	assert_int_equal(rig->regs.cx, CAP(BASIC));
}

static void test_start_without_a_doorbell_grants_no_wakeup(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(call(rig, CMD(START), 0x3e, 0), 0x03000000);
	assert_int_equal(rig->regs.cx, 0x2e);
	assert_int_equal(call(rig, CMD(DOORBELL_SET), 1, 2), AERO_VMWARE_CMD_INVALID);
	assert_int_equal(aero_vmware_host_reset(&rig->dev), AERO_OK);
	rig->is_reset_wanted = true;
	assert_int_equal(rig->rings, 0);
}

static void test_start_with_nothing_in_common_serves_what_needs_nothing(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(call(rig, CMD(START), 1, 0), 0x03000000);
	assert_int_equal(rig->regs.cx, 0);
	assert_int_equal(call(rig, CMD(GET_TARGET), 9, 0), 0);
	assert_int_equal(call(rig, CMD(LOCK), 9, 0), AERO_VMWARE_CMD_INVALID);
	vmware_host_rig_target(rig, 5);
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_NO_DRIVER);
}

static void test_start_forgets_everything(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 1000, 1, 512), 0);
	assert_int_equal(call(rig, CMD(GET_TARGET), 60000, 0), 0);
	assert_int_equal(call(rig, CMD(START), 0x06, 0), 0x03000000);
	assert_int_equal(case_report(rig).actual_frames, 0);
	assert_int_equal(case_report(rig).limit_frames, 0);
	assert_int_equal(case_report(rig).guest_id, 0);
	assert_false(case_report(rig).has_doorbell);
	assert_int_equal(rig->host.live_nodes, 0);
	assert_int_equal(rig->event_value[EVENT(ACTUAL)], 0);
	case_pass(rig, 10000000000ull);
	assert_int_equal(rig->host.discards, 0);
	assert_int_equal(call(rig, CMD(UNLOCK), 1000, 1), AERO_VMWARE_PPN_UNLOCKED);
}

static void test_start_zero_leaves(void **state)
{
	struct vmware_host_rig *rig = *state;
	bool is_old = rig->options.is_old;

	assert_int_equal(call(rig, CMD(LOCK), 1000, 1), 0);
	assert_int_equal(call(rig, CMD(START), 0, 0), is_old ? 0 : 0x03000000);
	if (!is_old)
		assert_int_equal(rig->regs.cx, 0x3e);
	assert_int_equal(rig->events[EVENT(LEFT)], 1);
	assert_int_equal(rig->dev.counters.leaves, 1);
	assert_int_equal(rig->dev.counters.starts, 1);
	assert_false(case_report(rig).is_live);
	assert_int_equal(call(rig, CMD(GET_TARGET), 5, 0), AERO_VMWARE_RESET);
	assert_int_equal(rig->dev.counters.resets, 0);
}

static void test_before_start_every_command_is_answered_reset(void **state)
{
	struct vmware_host_rig *rig = *state;

	for (uint32_t command = 1; command < AERO_VMWARE_CMD_COUNT; command++) {
		uint64_t expected =
			command == CMD(UNUSED) ? AERO_VMWARE_CMD_INVALID : AERO_VMWARE_RESET;

		assert_int_equal(call(rig, command, VMWARE_RIG_PAGE, 1), expected);
		assert_int_equal(rig->dev.counters.calls[command], 1);
		assert_int_equal(rig->dev.counters.failed[command], 1);
	}
	/* What Linux says before each START, from 32 and 64 bits, and what is not quite it. */
	assert_int_equal(call(rig, CMD(DOORBELL_SET), NOTHING, NOTHING), AERO_VMWARE_CMD_INVALID);
	assert_int_equal(call(rig, CMD(DOORBELL_SET), 0xffffffff, 0xffffffff),
			 AERO_VMWARE_CMD_INVALID);
	assert_int_equal(call(rig, CMD(DOORBELL_SET), 0xffffffff, 7), AERO_VMWARE_RESET);
	assert_int_equal(rig->dev.counters.resets, 0);
	assert_int_equal(rig->events[EVENT(RESET)], 10);
	assert_false(case_report(rig).is_live);
}

static void test_commands_that_do_not_exist(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(call(rig, CMD(UNUSED), 0, 0), AERO_VMWARE_CMD_INVALID);
	assert_int_equal(call(rig, 11, 0, 0), AERO_VMWARE_CMD_INVALID);
	assert_int_equal(call(rig, 0xffff, 0, 0), AERO_VMWARE_CMD_INVALID);
	assert_int_equal(rig->dev.counters.unknown_calls, 2);
	assert_int_equal(rig->dev.counters.failed[CMD(UNUSED)], 1);
	/* The 17th bit does not count: this is GET_TARGET. */
	assert_int_equal(call(rig, 0x10001, 0, 0), 0);
}

static void test_linux_start_sequence(void **state)
{
	struct vmware_host_rig *rig = *state;

	vmware_host_rig_target(rig, 1024);
	assert_int_equal(call(rig, CMD(DOORBELL_SET), NOTHING, NOTHING), AERO_VMWARE_CMD_INVALID);
	assert_int_equal(call(rig, CMD(START), 0x3e, 0), 0x03000000);
	assert_int_equal(call(rig, CMD(DOORBELL_SET), VMWARE_RIG_CONTEXT, VMWARE_RIG_RESOURCE), 0);
	assert_int_equal(call(rig, CMD(GUEST_ID), 1, 0), 0);
	assert_int_equal(rig->event_value[EVENT(GUEST_ID)], 1);
	assert_int_equal(call(rig, CMD(GET_TARGET), 65536, 0), 0);
	assert_int_equal(rig->regs.bx, 1024);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 512, 512, 2), 0);
	assert_int_equal(rig->events[EVENT(REACHED)], 1);
	assert_int_equal(rig->event_value[EVENT(REACHED)], 1024);
	assert_int_equal(case_report(rig).limit_frames, 65536);
	assert_int_equal(case_report(rig).guest_id, 1);
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_NONE);
}

static void test_limit_has_as_many_bits_as_were_granted(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(call(rig, CMD(GET_TARGET), 0x123456789a, 0), 0);
	assert_int_equal(case_report(rig).limit_frames, 0x123456789a);
	vmware_host_rig_start(rig, 0x1e);
	assert_int_equal(call(rig, CMD(GET_TARGET), 0x123456789a, 0), 0);
	assert_int_equal(case_report(rig).limit_frames, 0x3456789a);
}

static void test_target_is_clamped_to_what_can_be_told(void **state)
{
	struct vmware_host_rig *rig = *state;
	uint64_t told;

	vmware_host_rig_target(rig, UINT64_MAX);
	assert_int_equal(call(rig, CMD(GET_TARGET), 1, 0), 0);
	assert_int_equal(rig->regs.bx, 1ull << 40);
	vmware_host_rig_start(rig, 0x1e);
	assert_int_equal(call(rig, CMD(GET_TARGET), 1, 0), 0);
	assert_int_equal(rig->regs.bx, 0xffffffff);
	assert_int_equal(aero_vmware_host_set_target(&rig->dev, 1ull << 40, &told), AERO_OK);
	assert_int_equal(told, 0xffffffff);
	assert_int_equal(aero_vmware_host_set_target(&rig->dev, (1ull << 40) + 1, &told),
			 AERO_ERANGE);
	assert_int_equal(case_report(rig).target_frames, 1ull << 40);
}

static void test_target_comes_with_each_success_only(void **state)
{
	struct vmware_host_rig *rig = *state;

	vmware_host_rig_target(rig, 4321);
	assert_int_equal(call(rig, CMD(LOCK), 1000, 1), 0);
	assert_int_equal(rig->regs.bx, 4321);
	assert_int_equal(call(rig, CMD(LOCK), 1000, 1), AERO_VMWARE_PPN_LOCKED);
	assert_int_equal(rig->regs.bx, 1000);
	assert_int_equal(call(rig, CMD(UNLOCK), 1000, 1), 0);
	assert_int_equal(rig->regs.bx, 4321);
	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 1000, 0, 3), 0);
	assert_int_equal(rig->regs.bx, 4321);
	assert_int_equal(batch(rig, CMD(BATCHED_UNLOCK), 1000, 0, 3), 0);
	assert_int_equal(rig->regs.bx, 4321);
	assert_int_equal(call(rig, CMD(GUEST_ID), 9, 0), 0);
	assert_int_equal(rig->regs.bx, 9);
}

static void test_doorbell_rings_for_targets_and_resets(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_true(case_report(rig).has_doorbell);
	assert_int_equal(case_report(rig).doorbell_context, VMWARE_RIG_CONTEXT);
	assert_int_equal(case_report(rig).doorbell_resource, VMWARE_RIG_RESOURCE);
	vmware_host_rig_target(rig, 5);
	assert_int_equal(rig->rings, 1);
	assert_int_equal(rig->ring_context, VMWARE_RIG_CONTEXT);
	assert_int_equal(rig->ring_resource, VMWARE_RIG_RESOURCE);
	vmware_host_rig_pause(rig, true);
	vmware_host_rig_pause(rig, false);
	assert_int_equal(rig->rings, 2);
	vmware_host_rig_target(rig, 0);
	vmware_host_rig_pause(rig, true);
	vmware_host_rig_pause(rig, false);
	assert_int_equal(rig->rings, 3);
	vmware_host_rig_reset(rig);
	assert_int_equal(rig->rings, 4);
	assert_int_equal(rig->dev.counters.doorbells, 4);
}

static void test_doorbell_is_compared_by_32_bits(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(call(rig, CMD(DOORBELL_SET), 0xabc00000002, 0xdef00000003), 0);
	assert_int_equal(case_report(rig).doorbell_context, 2);
	assert_int_equal(case_report(rig).doorbell_resource, 3);
	assert_int_equal(call(rig, CMD(DOORBELL_SET), 0xffffffff, NOTHING), 0);
	assert_false(case_report(rig).has_doorbell);
	vmware_host_rig_target(rig, 5);
	assert_int_equal(rig->rings, 0);
}

static void test_reset_answers_the_next_command(void **state)
{
	static const uint32_t commands[] = { CMD(GET_TARGET),	   CMD(LOCK),
					     CMD(UNLOCK),	   CMD(GUEST_ID),
					     CMD(BATCHED_LOCK),	   CMD(BATCHED_UNLOCK),
					     CMD(BATCHED_2M_LOCK), CMD(BATCHED_2M_UNLOCK),
					     CMD(DOORBELL_SET) };
	struct vmware_host_rig *rig = *state;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(commands); i++) {
		vmware_host_rig_start(rig, 0x3e);
		assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 1000, 1, 10), 0);
		vmware_host_rig_reset(rig);
		assert_int_equal(case_report(rig).actual_frames, 10);
		assert_int_equal(call(rig, commands[i], VMWARE_RIG_PAGE, 1), AERO_VMWARE_RESET);
		assert_int_equal(rig->event_value[EVENT(RESET)], commands[i]);
		assert_int_equal(case_report(rig).actual_frames, 0);
		assert_false(case_report(rig).is_live);
		/* Once: what comes next is the guest's start. */
		assert_int_equal(call(rig, CMD(DOORBELL_SET), NOTHING, NOTHING),
				 AERO_VMWARE_CMD_INVALID);
	}
	assert_int_equal(rig->dev.counters.resets, TEST_ARRAY_SIZE(commands));
	assert_int_equal(aero_vmware_host_reset(&rig->dev), AERO_ESTATE);
}

static void test_reset_is_moot_when_the_guest_starts(void **state)
{
	struct vmware_host_rig *rig = *state;

	vmware_host_rig_reset(rig);
	assert_int_equal(call(rig, CMD(UNUSED), 0, 0), AERO_VMWARE_CMD_INVALID);
	assert_int_equal(call(rig, CMD(START), 0x3e, 0), 0x03000000);
	assert_int_equal(call(rig, CMD(GET_TARGET), 0, 0), 0);
	assert_int_equal(rig->dev.counters.resets, 0);
}

/* Every status at every command: nothing is done, and only RESET has an effect. */
static void test_interpose_answers_instead(void **state)
{
	static const uint32_t statuses[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x03000000, 0xffffffff };
	struct vmware_host_rig *rig = *state;

	for (uint32_t command = 0; command < AERO_VMWARE_CMD_COUNT; command++) {
		for (size_t i = 0; i < TEST_ARRAY_SIZE(statuses); i++) {
			bool is_reset = statuses[i] == AERO_VMWARE_RESET;

			rig->interpose_status = AERO_VMWARE_SUCCESS;
			vmware_host_rig_start(rig, 0x3e);
			assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 1000, 1, 10), 0);
			rig->interpose_command = command;
			rig->interpose_status = statuses[i];
			assert_int_equal(call(rig, command, VMWARE_RIG_PAGE, 10), statuses[i]);
			assert_int_equal(case_report(rig).actual_frames, is_reset ? 0 : 10);
			assert_int_equal(case_report(rig).is_live, !is_reset);
			case_check(rig);
		}
	}
	assert_int_equal(rig->dev.counters.resets, AERO_VMWARE_CMD_COUNT);
	assert_int_equal(rig->dev.counters.starts, AERO_VMWARE_CMD_COUNT * 11);
}

static void test_busy_while_quiesced(void **state)
{
	struct vmware_host_rig *rig = *state;

	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 1000, 1, 10), 0);
	vmware_host_rig_pause(rig, true);
	assert_int_equal(call(rig, CMD(LOCK), 2000, 1), AERO_VMWARE_BUSY);
	assert_int_equal(call(rig, CMD(UNLOCK), 1000, 1), AERO_VMWARE_BUSY);
	for (uint32_t command = 6; command < 10; command++)
		assert_int_equal(call(rig, command, VMWARE_RIG_PAGE, 1), AERO_VMWARE_BUSY);
	assert_int_equal(call(rig, CMD(GET_TARGET), 1, 0), 0);
	assert_int_equal(call(rig, CMD(GUEST_ID), 1, 0), 0);
	assert_int_equal(call(rig, CMD(DOORBELL_SET), 5, 6), 0);
	vmware_host_rig_pause(rig, false);
	assert_int_equal(call(rig, CMD(UNLOCK), 1000, 1), 0);
}

static void test_forget_keeps_target_and_counters(void **state)
{
	struct vmware_host_rig *rig = *state;

	vmware_host_rig_target(rig, 10);
	assert_int_equal(batch(rig, CMD(BATCHED_LOCK), 1000, 1, 10), 0);
	vmware_host_rig_forget(rig);
	assert_int_equal(rig->host.live_nodes, 0);
	assert_int_equal(rig->dev.counters.locked_4k, 10);
	assert_int_equal(case_report(rig).target_frames, 10);
	assert_int_equal(case_report(rig).stall, AERO_HOST_STALL_NO_DRIVER);
	assert_int_equal(call(rig, CMD(GET_TARGET), 1, 0), AERO_VMWARE_RESET);
	vmware_host_rig_start(rig, 0x3e);
	assert_int_equal(call(rig, CMD(GET_TARGET), 1, 0), 0);
	assert_int_equal(rig->regs.bx, 10);
}

static void test_events_say_what_changed(void **state)
{
	struct vmware_host_rig *rig = *state;

	vmware_host_rig_target(rig, 700);
	assert_int_equal(rig->events[EVENT(TARGET)], 1);
	assert_int_equal(rig->event_value[EVENT(TARGET)], 700);
	assert_int_equal(call(rig, CMD(GET_TARGET), 1, 0), 0);
	assert_int_equal(rig->events[EVENT(ACTUAL)], 0);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 512, 512, 1), 0);
	assert_int_equal(rig->events[EVENT(ACTUAL)], 1);
	assert_int_equal(rig->event_value[EVENT(ACTUAL)], 512);
	/* Less than a block too much is where guests stop. */
	rig->events[EVENT(REACHED)] = 0;
	assert_int_equal(batch(rig, CMD(BATCHED_2M_LOCK), 1024, 512, 1), 0);
	assert_int_equal(rig->events[EVENT(REACHED)], 1);
	assert_int_equal(rig->event_value[EVENT(REACHED)], 1024);
	/* Moving a page away and back is no news. */
	assert_int_equal(call(rig, CMD(UNLOCK), 512, 1), 0);
	assert_int_equal(call(rig, CMD(LOCK), 9000, 1), 0);
	assert_int_equal(rig->events[EVENT(REACHED)], 1);
	/* Less is too little, and 512 more are too many. */
	vmware_host_rig_target(rig, 512);
	assert_int_equal(call(rig, CMD(GET_TARGET), 1, 0), 0);
	assert_int_equal(rig->events[EVENT(REACHED)], 1);
	assert_int_equal(call(rig, CMD(UNLOCK), 9000, 1), 0);
	assert_int_equal(rig->events[EVENT(REACHED)], 2);
	/* Zero is all of it. */
	vmware_host_rig_target(rig, 0);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_UNLOCK), 1024, 512, 1), 0);
	assert_int_equal(batch(rig, CMD(BATCHED_UNLOCK), 513, 1, 510), 0);
	assert_int_equal(rig->events[EVENT(REACHED)], 2);
	assert_int_equal(call(rig, CMD(UNLOCK), 1023, 1), 0);
	assert_int_equal(rig->events[EVENT(REACHED)], 3);
}

int main(void)
{
	static struct vmware_host_rig_options old = { .is_old = true };
	static struct vmware_host_rig_options no_doorbell = { .has_no_doorbell = true };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init_refuses_bad_configurations),
		CASE_OPEN(test_call_for_somebody_else_leaves_the_registers, NULL),
		CASE_OPEN(test_upper_halves_of_registers_are_ignored, NULL),
		cmocka_unit_test(test_start_grants_what_both_have),
		CASE_OPEN(test_version_3_is_basic_only, NULL),
		CASE_OPEN(test_start_without_a_doorbell_grants_no_wakeup, &no_doorbell),
		CASE_OPEN(test_start_with_nothing_in_common_serves_what_needs_nothing, NULL),
		CASE(test_start_forgets_everything, NULL),
		CASE(test_start_zero_leaves, NULL),
		CASE(test_start_zero_leaves, &old),
		CASE_OPEN(test_before_start_every_command_is_answered_reset, NULL),
		CASE(test_commands_that_do_not_exist, NULL),
		CASE_OPEN(test_linux_start_sequence, NULL),
		CASE(test_limit_has_as_many_bits_as_were_granted, NULL),
		CASE(test_target_is_clamped_to_what_can_be_told, NULL),
		CASE(test_target_comes_with_each_success_only, NULL),
		CASE(test_doorbell_rings_for_targets_and_resets, NULL),
		CASE(test_doorbell_is_compared_by_32_bits, NULL),
		CASE(test_reset_answers_the_next_command, NULL),
		CASE(test_reset_is_moot_when_the_guest_starts, NULL),
		CASE_OPEN(test_interpose_answers_instead, NULL),
		CASE(test_busy_while_quiesced, NULL),
		CASE(test_forget_keeps_target_and_counters, NULL),
		CASE(test_events_say_what_changed, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
