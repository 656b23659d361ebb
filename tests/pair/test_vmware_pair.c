/* SPDX-License-Identifier: MIT */
/* VMware's driver against VMware's host: what one does is what the other sees. */
#include <stdio.h>

#include "support/test.h"
#include "support/vmware_pair.h"

#define MIB(n) ((uint64_t)(n) << 8)

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inflate_whole_blocks_is_one_call_per_512),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
