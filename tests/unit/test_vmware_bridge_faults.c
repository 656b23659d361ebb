/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/vmware_bridge_faults.h"

#define CMD(name) AERO_VMWARE_CMD_##name

static struct aero_vmware_faults faults;
static struct aero_error error;

static int setup(void **state)
{
	(void)state;
	memset(&faults, 0, sizeof(faults));
	memset(&error, 0, sizeof(error));
	return 0;
}

static void inject(const char *text)
{
	if (aero_vmware_faults_inject(&faults, text, &error) != AERO_OK)
		fail_msg("%s: %s", text, error.text);
}

static void refuse(const char *text)
{
	if (aero_vmware_faults_refuse(&faults, text, &error) != AERO_OK)
		fail_msg("%s: %s", text, error.text);
}

static uint32_t ask(uint32_t command)
{
	return aero_vmware_faults_interpose(&faults, command);
}

static uint32_t judge(bool is_lock, aero_frame first, uint64_t count)
{
	return aero_vmware_faults_judge(&faults, is_lock, (struct aero_range){ first, count });
}

static void test_inject_once_at_the_first_call(void **state)
{
	(void)state;
	inject("RESET@batchLock");
	assert_int_equal(ask(CMD(GET_TARGET)), 0);
	assert_int_equal(ask(CMD(BATCHED_LOCK)), AERO_VMWARE_RESET);
	assert_int_equal(ask(CMD(BATCHED_LOCK)), 0);
}

static void test_inject_nth_and_count(void **state)
{
	(void)state;
	inject("busy@target:2x3");
	inject("command_invalid@2m-lock:1x1");
	assert_int_equal(ask(CMD(GET_TARGET)), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(CMD(GET_TARGET)), AERO_VMWARE_BUSY);
	assert_int_equal(ask(CMD(GET_TARGET)), 0);
	assert_int_equal(ask(CMD(BATCHED_2M_LOCK)), AERO_VMWARE_CMD_INVALID);
	assert_int_equal(ask(CMD(BATCHED_2M_LOCK)), 0);
}

static void test_inject_one_after_the_other(void **state)
{
	(void)state;
	inject("reset@lock");
	inject("failure@lock:2");
	assert_int_equal(ask(CMD(LOCK)), AERO_VMWARE_RESET);
	assert_int_equal(ask(CMD(LOCK)), 0);
	assert_int_equal(ask(CMD(LOCK)), AERO_VMWARE_FAILURE);
}

static void test_inject_nonsense_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"reset",
		"reset@",
		"reset@Lock",
		"reset@unused",
		"success@lock",
		"capabilities@start",
		"resets@lock",
		"reset@lock:",
		"reset@lock:0",
		"reset@lock:1x0",
		"reset@lockx",
		"reset@lock:-1",
		"reset@lock:1x1x",
		"reset@lock 1",
		"reset@lock:99999999999999999999",
	};

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(texts); i++) {
		error.text[0] = '\0';
		if (aero_vmware_faults_inject(&faults, texts[i], &error) != AERO_EINVAL)
			fail_msg("'%s' was taken", texts[i]);
		assert_int_not_equal(strlen(error.text), 0);
	}
	assert_int_equal(faults.injection_count, 0);
}

static void test_too_many_are_refused(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < AERO_VMWARE_FAULTS_MAX; i++) {
		inject("reset@lock");
		refuse("1=pinned");
	}
	assert_int_equal(aero_vmware_faults_inject(&faults, "reset@lock", &error), AERO_ENOSPC);
	assert_int_equal(aero_vmware_faults_refuse(&faults, "1=pinned", &error), AERO_ENOSPC);
}

static void test_refuse_blocks_that_touch(void **state)
{
	(void)state;
	refuse("4096-4099=pinned");
	assert_int_equal(judge(true, 4095, 1), 0);
	assert_int_equal(judge(true, 4096, 1), AERO_VMWARE_PPN_PINNED);
	assert_int_equal(judge(true, 4099, 1), AERO_VMWARE_PPN_PINNED);
	assert_int_equal(judge(true, 4100, 1), 0);
	assert_int_equal(judge(true, 4096, 512), AERO_VMWARE_PPN_PINNED);
	assert_int_equal(judge(true, 3584, 512), 0);
	assert_int_equal(judge(true, 3588, 512), AERO_VMWARE_PPN_PINNED);
	assert_int_equal(judge(false, 4096, 1), 0);
}

static void test_refuse_with_steps(void **state)
{
	(void)state;
	refuse("7-0xfff/512=invalid");
	for (aero_frame frame = 0; frame < 5000; frame++) {
		bool is_one = frame % 512 == 7 && frame < 4096;

		assert_int_equal(judge(true, frame, 1), is_one ? AERO_VMWARE_PPN_INVALID : 0);
	}
	assert_int_equal(judge(true, 512, 512), AERO_VMWARE_PPN_INVALID);
	assert_int_equal(judge(true, 520, 511), 0);
	assert_int_equal(judge(true, 520, 512), AERO_VMWARE_PPN_INVALID);
	assert_int_equal(judge(true, 4096, 512), 0);
}

static void test_refuse_to_give_back(void **state)
{
	(void)state;
	refuse("0x10=busy@unlock");
	assert_int_equal(judge(false, 16, 1), AERO_VMWARE_BUSY);
	assert_int_equal(judge(true, 16, 1), 0);
}

static void test_refuse_nonsense_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"1",
		"1=",
		"=pinned",
		"a=pinned",
		"2-1=pinned",
		"1-=pinned",
		"1-5/0=pinned",
		"1-5/=pinned",
		"1=pinned@lock",
		"1=success",
		"1=pinned ",
		"-1=pinned",
		"1 =pinned",
		"0x10000000000=pinned",
		"1/2=pinned",
		"1-5/0x10000000001=pinned",
	};

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(texts); i++) {
		error.text[0] = '\0';
		if (aero_vmware_faults_refuse(&faults, texts[i], &error) != AERO_EINVAL)
			fail_msg("'%s' was taken", texts[i]);
		assert_int_not_equal(strlen(error.text), 0);
	}
	assert_int_equal(faults.refusal_count, 0);
}

static void expect_line(struct aero_vmware_registers before, struct aero_vmware_registers after,
			uint64_t accepted, const char *wanted)
{
	char line[AERO_VMWARE_TRACE_LINE];

	assert_string_equal(aero_vmware_trace_format(&before, &after, accepted, line), wanted);
}

static void test_trace_of_calls(void **state)
{
	(void)state;
	expect_line((struct aero_vmware_registers){ .bx = 0x3e },
		    (struct aero_vmware_registers){ .ax = 0x03000000, .bx = 0x3e, .cx = 0x1e }, 0,
		    "start 0x3e 0x0 capabilities 0x1e 0");
	expect_line((struct aero_vmware_registers){ .bx = 5, .cx = 6, .si = 512 },
		    (struct aero_vmware_registers){ .ax = 0, .bx = 0x2000, .cx = 6 }, 511,
		    "batchLock 0x5 0x200 success 0x2000 511");
	expect_line((struct aero_vmware_registers){ .bx = 5, .cx = 0xabc0001, .si = 0 },
		    (struct aero_vmware_registers){ .ax = 7, .bx = 5 }, 0,
		    "target 0x5 0x0 reset - 0");
	expect_line((struct aero_vmware_registers){ .bx = ~0ull, .cx = 10, .si = ~0ull },
		    (struct aero_vmware_registers){ .ax = 0 }, 0,
		    "doorbellSet 0xffffffffffffffff 0xffffffffffffffff success - 0");
	expect_line((struct aero_vmware_registers){ .cx = 99 },
		    (struct aero_vmware_registers){ .ax = 0x77 }, 0, "99 0x0 0x0 0x77 - 0");
}

static void test_trace_of_runs(void **state)
{
	char line[AERO_VMWARE_TRACE_LINE];

	(void)state;
	assert_string_equal(aero_vmware_trace_run(true, (struct aero_range){ 16, 512 }, line),
			    "+ 0x10 0x200");
	assert_string_equal(aero_vmware_trace_run(false, (struct aero_range){ 1, 1 }, line),
			    "- 0x1 0x1");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		CASE(test_inject_once_at_the_first_call),
		CASE(test_inject_nth_and_count),
		CASE(test_inject_one_after_the_other),
		CASE(test_inject_nonsense_is_refused),
		CASE(test_too_many_are_refused),
		CASE(test_refuse_blocks_that_touch),
		CASE(test_refuse_with_steps),
		CASE(test_refuse_to_give_back),
		CASE(test_refuse_nonsense_is_refused),
		CASE(test_trace_of_calls),
		CASE(test_trace_of_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
