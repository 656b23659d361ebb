/* SPDX-License-Identifier: MIT */
/* VMware's driver against VMware's host: what one does is what the other sees. */
#include <stdio.h>

#include "support/test.h"
#include "support/vmware_pair.h"

#define MIB(n) ((uint64_t)(n) << 8)
#define SECOND 1000000000ull

static void assert_good(struct vmware_pair *pair, bool is_good)
{
	if (!is_good)
		fail_msg("%s", pair->problem);
}

static void assert_closed(struct vmware_pair *pair)
{
	const char *problem = vmware_pair_close(pair);

	if (problem)
		fail_msg("%s", problem);
}

static void test_inflate_whole_blocks_is_one_call_per_512(void **state)
{
	struct vmware_pair pair;

	(void)state;
	vmware_pair_open(&pair, NULL);
	assert_good(&pair, vmware_pair_target(&pair, MIB(32)));
	assert_int_equal(vmware_pair_frames(&pair), MIB(32));
	assert_int_equal(vmware_pair_stall(&pair), AERO_STALL_NONE);
	assert_int_equal(pair.host.counters.calls[AERO_VMWARE_CMD_BATCHED_2M_LOCK], 1);
	assert_int_equal(pair.host.counters.calls[AERO_VMWARE_CMD_BATCHED_LOCK], 0);
	assert_int_equal(pair.events[AERO_BALLOON_EVENT_REACHED], 1);
	assert_good(&pair, vmware_pair_target(&pair, 0));
	assert_int_equal(vmware_pair_frames(&pair), 0);
	assert_closed(&pair);
}

/* What a granted mask means for a balloon of 8 MiB and some frames, on a kernel with blocks. */
static void check_capabilities(uint32_t lacks, bool is_old, uint32_t asks)
{
	struct vmware_pair_options options = {
		.lacks = lacks,
		.is_old = is_old,
		.guest.capabilities = asks,
	};
	uint32_t granted =
		is_old ? AERO_VMWARE_CAP_BASIC : asks & AERO_VMWARE_HOST_CAPABILITIES & ~lacks;
	bool is_batched = granted & AERO_VMWARE_CAP_BATCHED;
	bool is_large = is_batched && granted & AERO_VMWARE_CAP_BATCHED_2M;
	const uint64_t *calls;
	struct vmware_pair pair;
	uint64_t frames = MIB(8);

	vmware_pair_open(&pair, &options);
	pair.thorough = is_batched ? 1 : 64;
	calls = pair.host.counters.calls;
	assert_good(&pair, vmware_pair_target(&pair, frames));
	assert_int_equal(pair.drv.capabilities, granted);
	if (!(granted & (AERO_VMWARE_CAP_BASIC | AERO_VMWARE_CAP_BATCHED))) {
		assert_int_equal(pair.creates, 0);
		assert_int_equal(vmware_pair_frames(&pair), 0);
		assert_int_equal(vmware_pair_stall(&pair), AERO_STALL_UNSUPPORTED);
		/* Asked again each second, not for ever in a loop. */
		assert_in_range(calls[AERO_VMWARE_CMD_START], 5, 15);
	} else {
		assert_int_equal(vmware_pair_frames(&pair), frames);
		assert_int_equal(calls[AERO_VMWARE_CMD_LOCK], is_batched ? 0 : frames);
		assert_int_equal(calls[AERO_VMWARE_CMD_BATCHED_LOCK],
				 is_batched && !is_large ? frames / 512 : 0);
		assert_int_equal(calls[AERO_VMWARE_CMD_BATCHED_2M_LOCK], is_large);
		assert_int_equal(pair.doorbells,
				 granted & AERO_VMWARE_CAP_SIGNALLED_WAKEUP ? 1 : 0);
	}
	assert_closed(&pair);
}

static void test_capabilities_every_subset_of_both_hosts(void **state)
{
	uint32_t bits;

	(void)state;
	for (bits = 0; bits < 32; bits++) {
		uint32_t lacks = bits << 1;

		/* A host that has 2M without batches is none that can be configured. */
		if (lacks & AERO_VMWARE_CAP_BATCHED)
			lacks |= AERO_VMWARE_CAP_BATCHED_2M;
		check_capabilities(lacks, false, 0x3e);
		check_capabilities(lacks, false, 0x1e);
		check_capabilities(lacks, true, 0x3e);
		if (bits)
			check_capabilities(0, false, bits << 1);
	}
}

static void test_target_changes_in_the_middle_are_followed_within_a_batch(void **state)
{
	struct vmware_pair_options options = { .sim.orders = 1 };
	struct vmware_pair pair;
	uint64_t told, at;

	(void)state;
	vmware_pair_open(&pair, &options);
	aero_vmware_host_set_target(&pair.host, MIB(32), &told);
	while (vmware_pair_frames(&pair) < MIB(8))
		assert_good(&pair, vmware_pair_step(&pair));
	/* Lower than what is there: no batch more goes in. */
	at = pair.host.counters.calls[AERO_VMWARE_CMD_BATCHED_LOCK];
	aero_vmware_host_set_target(&pair.host, MIB(4), &told);
	assert_good(&pair, vmware_pair_run(&pair, SECOND));
	assert_int_equal(vmware_pair_frames(&pair), MIB(4));
	assert_in_range(pair.host.counters.calls[AERO_VMWARE_CMD_BATCHED_LOCK], at, at + 1);
	/* And up again while it goes down. */
	aero_vmware_host_set_target(&pair.host, 0, &told);
	assert_good(&pair, vmware_pair_step(&pair));
	assert_good(&pair, vmware_pair_step(&pair));
	aero_vmware_host_set_target(&pair.host, MIB(16), &told);
	assert_good(&pair, vmware_pair_run(&pair, SECOND));
	assert_int_equal(vmware_pair_frames(&pair), MIB(16));
	assert_closed(&pair);
}

static void test_refused_frames_inside_of_blocks_cost_only_themselves(void **state)
{
	struct vmware_pair pair;
	const struct aero_balloon_counters *counters;
	uint64_t told;

	(void)state;
	vmware_pair_open(&pair, NULL);
	counters = &pair.drv.balloon.counters;
	pair.refuse.first = 512 * 17 + 9;
	pair.refuse.count = 1;
	pair.refuse_status = AERO_VMWARE_PPN_PINNED;
	assert_good(&pair, vmware_pair_step(&pair));
	/* All of memory is wanted, so the block with the bad frame must be opened. */
	aero_vmware_host_set_target(&pair.host, MIB(64), &told);
	assert_good(&pair, vmware_pair_run(&pair, 30 * SECOND));
	assert_int_equal(vmware_pair_frames(&pair), MIB(64) - 1);
	assert_int_equal(counters->size[1].refused, 1);
	assert_true(counters->size[0].refused >= 1);
	assert_int_equal(vmware_pair_stall(&pair), AERO_STALL_NO_MEMORY);
	assert_closed(&pair);
}

static void test_reset_at_every_command_of_a_life_is_survived(void **state)
{
	bool is_over = false;
	uint64_t nth;

	(void)state;
	for (nth = 1; !is_over; nth++) {
		struct vmware_pair_options options = { .sim.orders = 1 };
		struct vmware_pair pair;

		vmware_pair_open(&pair, &options);
		vmware_pair_inject(&pair, VMWARE_PAIR_ANY, AERO_VMWARE_RESET, nth);
		assert_good(&pair, vmware_pair_target(&pair, MIB(16)));
		assert_int_equal(vmware_pair_frames(&pair), MIB(16));
		assert_good(&pair, vmware_pair_target(&pair, MIB(4)));
		assert_good(&pair, vmware_pair_target(&pair, 0));
		assert_int_equal(vmware_pair_frames(&pair), 0);
		is_over = pair.inject_at;
		assert_closed(&pair);
	}
	/* Start, doorbell, type, targets, batches in both directions. */
	assert_true(nth > 40);
}

static void test_doorbell_brings_the_target_without_waiting_for_the_poll(void **state)
{
	struct vmware_pair pair;
	uint64_t told, before;

	(void)state;
	vmware_pair_open(&pair, NULL);
	assert_good(&pair, vmware_pair_target(&pair, MIB(2)));
	before = pair.now;
	aero_vmware_host_set_target(&pair.host, MIB(6), &told);
	while (vmware_pair_frames(&pair) != MIB(6)) {
		assert_true(aero_balloon_step(&pair.drv.balloon, before) <= before + SECOND);
		assert_good(&pair, vmware_pair_check(&pair));
	}
	assert_true(pair.drv.rings > 0);
	assert_closed(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inflate_whole_blocks_is_one_call_per_512),
		cmocka_unit_test(test_capabilities_every_subset_of_both_hosts),
		cmocka_unit_test(test_target_changes_in_the_middle_are_followed_within_a_batch),
		cmocka_unit_test(test_refused_frames_inside_of_blocks_cost_only_themselves),
		cmocka_unit_test(test_reset_at_every_command_of_a_life_is_survived),
		cmocka_unit_test(test_doorbell_brings_the_target_without_waiting_for_the_poll),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
