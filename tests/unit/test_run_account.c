/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "programs/aerostat/run_account.h"

/* As Linux 6.1 prints it, with '|' between lines as the console has it. */
static const char text_before[] = "balloon capabilities  :             0x3e|"
				  "used capabilities     :             0x2e|"
				  "is resetting          :                n|"
				  "target                :                0|"
				  "current               :                0|"
				  "start                 :                0 (0 failed)|"
				  "target                :                0 (0 failed)|"
				  "lock                  :                0 (0 failed)|"
				  "unlock                :                0 (0 failed)|"
				  "guestType             :                0 (0 failed)|"
				  "batchLock             :                0 (0 failed)|"
				  "batchUnlock           :                0 (0 failed)|"
				  "2m-lock               :                0 (0 failed)|"
				  "2m-unlock             :                0 (0 failed)|"
				  "doorbellSet           :                0 (0 failed)|"
				  "timer                 :                0|"
				  "alloc             (4k):                0|"
				  "free              (2M):                0";

static const char text_after[] = "balloon capabilities  :             0x3e\n"
				 "used capabilities     :             0x2e\n"
				 "is resetting          :                n\n"
				 "target                :           131072\n"
				 "current               :              512\n"
				 "start                 :                0 (0 failed)\n"
				 "target                :               12 (0 failed)\n"
				 "lock                  :                0 (0 failed)\n"
				 "unlock                :                0 (0 failed)\n"
				 "guestType             :                0 (0 failed)\n"
				 "batchLock             :                4 (1 failed)\n"
				 "batchUnlock           :                3 (0 failed)\n"
				 "2m-lock               :                2 (0 failed)\n"
				 "2m-unlock             :                1 (0 failed)\n"
				 "doorbellSet           :                0 (0 failed)\n"
				 "timer                 :               12\n"
				 "alloc             (4k):             2048\n"
				 "free              (2M):                1\n";

static void test_parse_reads_sizes_and_every_command(void **state)
{
	struct run_vmmemctl out;

	(void)state;
	assert_true(run_vmmemctl_parse(text_after, &out));
	assert_int_equal(out.target, 131072);
	assert_int_equal(out.current, 512);
	assert_int_equal(out.calls[AERO_VMWARE_CMD_GET_TARGET], 12);
	assert_int_equal(out.calls[AERO_VMWARE_CMD_BATCHED_LOCK], 4);
	assert_int_equal(out.failed[AERO_VMWARE_CMD_BATCHED_LOCK], 1);
	assert_int_equal(out.calls[AERO_VMWARE_CMD_BATCHED_2M_UNLOCK], 1);
	assert_int_equal(out.commands, 10);
	assert_true(run_vmmemctl_parse(text_before, &out));
	assert_int_equal(out.current, 0);
}

static void test_parse_refuses_what_is_not_whole(void **state)
{
	struct run_vmmemctl out;
	char text[sizeof(text_after)];
	size_t length;

	(void)state;
	assert_false(run_vmmemctl_parse("", &out));
	assert_false(run_vmmemctl_parse("cat: no such file", &out));
	/* Cut off anywhere before the last command it has not all of them. */
	for (length = 0; length < sizeof(text); length++) {
		memcpy(text, text_after, length);
		text[length] = '\0';
		if (run_vmmemctl_parse(text, &out))
			assert_non_null(strstr(text, "doorbellSet           :                0 "
						     "(0 failed)"));
	}
}

static void test_parse_survives_any_line(void **state)
{
	static char line[5000];
	struct run_vmmemctl out;

	(void)state;
	memset(line, 'x', sizeof(line) - 1);
	assert_false(run_vmmemctl_parse(line, &out));
	memset(line, '|', sizeof(line) - 1);
	assert_false(run_vmmemctl_parse(line, &out));
	assert_false(run_vmmemctl_parse("target : 99999999999999999999999 (x failed)", &out));
}

/* Both readings, and between them what text_after says was called. */
static struct run_account make_account(void)
{
	struct aero_vmware_host_counters host = { .calls = { [AERO_VMWARE_CMD_START] = 1 } };
	struct run_account account;

	memset(&account, 0, sizeof(account));
	assert_true(run_account_read(&account.before, text_before, &host, &host, 0));
	host.calls[AERO_VMWARE_CMD_GET_TARGET] += 12;
	host.calls[AERO_VMWARE_CMD_BATCHED_LOCK] += 4;
	host.failed[AERO_VMWARE_CMD_BATCHED_LOCK] += 1;
	host.calls[AERO_VMWARE_CMD_BATCHED_UNLOCK] += 3;
	host.calls[AERO_VMWARE_CMD_BATCHED_2M_LOCK] += 2;
	host.calls[AERO_VMWARE_CMD_BATCHED_2M_UNLOCK] += 1;
	assert_true(run_account_read(&account.inflated, text_after, &host, &host, 512));
	assert_true(run_account_read(&account.after, text_after, &host, &host, 512));
	run_account_keep(&account, text_after);
	return account;
}

static void test_account_agrees_from_the_first_reading_on(void **state)
{
	struct run_account account = make_account();
	json_t *json = run_account_json(&account), *batch;

	(void)state;
	assert_true(run_account_is_agreed(&account));
	assert_int_equal(json_array_size(json_object_get(json, "differences")), 0);
	assert_int_equal(json_integer_value(json_object_get(json, "frames_inflated")), 512);
	batch = json_object_get(json_object_get(json, "commands"), "batchLock");
	assert_int_equal(json_integer_value(json_object_get(batch, "guest_calls")), 4);
	assert_int_equal(json_integer_value(json_object_get(batch, "host_calls")), 4);
	assert_int_equal(json_integer_value(json_object_get(batch, "guest_failed")), 1);
	assert_string_equal(json_string_value(json_object_get(json, "text")), text_after);
	json_decref(json);
}

static void check_difference(const struct run_account *account, const char *text)
{
	json_t *json = run_account_json(account);
	const json_t *differences = json_object_get(json, "differences");

	assert_false(run_account_is_agreed(account));
	assert_int_equal(json_array_size(differences), 1);
	assert_string_equal(json_string_value(json_array_get(differences, 0)), text);
	json_decref(json);
}

static void test_account_names_each_difference(void **state)
{
	struct run_account account = make_account();

	(void)state;
	account.after.host.calls[AERO_VMWARE_CMD_GET_TARGET]++;
	check_difference(&account, "target: the guest counts 12 calls, the host 13");
	account = make_account();
	account.after.host.failed[AERO_VMWARE_CMD_BATCHED_LOCK]--;
	check_difference(&account, "batchLock: the guest counts 1 failures, the host 0");
	account = make_account();
	account.inflated.ledger_frames = 511;
	check_difference(&account, "inflated: the guest counts 512 frames, the ledger 511");
	account = make_account();
	account.after.ledger_frames = 0;
	check_difference(&account, "after: the guest counts 512 frames, the ledger 0");
	account = make_account();
	account.inflated.is_taken = false;
	check_difference(&account, "inflated: the guest's account could not be read");
}

static void test_account_without_last_reading_is_no_agreement(void **state)
{
	struct run_account account = make_account();
	json_t *json;

	(void)state;
	account.after.is_taken = false;
	assert_false(run_account_is_agreed(&account));
	json = run_account_json(&account);
	assert_true(json_is_null(json_object_get(json, "commands")));
	assert_true(json_is_null(json_object_get(json, "frames_after")));
	json_decref(json);
	account.before.is_taken = false;
	assert_null(run_account_json(&account));
}

/* A call between question and answer: nobody knows on which side of the answer it fell. */
static void test_read_with_a_call_meanwhile_is_none(void **state)
{
	struct aero_vmware_host_counters asked = { .calls = { 0 } }, now = { .calls = { 0 } };
	struct run_reading reading = { .is_taken = false };

	(void)state;
	now.calls[AERO_VMWARE_CMD_GET_TARGET] = 1;
	assert_false(run_account_read(&reading, text_before, &asked, &now, 0));
	assert_false(reading.is_taken);
	assert_false(run_account_read(&reading, "nonsense", &asked, &asked, 0));
	assert_true(run_account_read(&reading, text_before, &now, &now, 7));
	assert_int_equal(reading.ledger_frames, 7);
}

static char printed[16384];

static void test_print_shows_calls_and_text(void **state)
{
	struct run_account account = make_account();
	json_t *json = run_account_json(&account);
	json_t *calls = json_pack("{s:{s:i, s:i}, s:{s:i, s:i}}", "batchLock", "calls", 4, "failed",
				  1, "lock", "calls", 0, "failed", 0);
	FILE *out = fmemopen(printed, sizeof(printed), "w");

	(void)state;
	run_account_print(out, calls, json);
	run_account_print_verdict(out, NULL);
	fclose(out);
	assert_non_null(strstr(printed, "  batchLock                          4             1"
					"             4             4\n"));
	assert_null(strstr(printed, "\n  lock "));
	assert_non_null(strstr(printed, "/sys/kernel/debug/vmmemctl at the end\n"));
	assert_non_null(strstr(printed, "    current               :              512\n"));
	assert_non_null(strstr(printed, ": it was never read\n"));
	json_decref(calls);
	json_decref(json);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_reads_sizes_and_every_command),
		cmocka_unit_test(test_parse_refuses_what_is_not_whole),
		cmocka_unit_test(test_parse_survives_any_line),
		cmocka_unit_test(test_account_agrees_from_the_first_reading_on),
		cmocka_unit_test(test_account_names_each_difference),
		cmocka_unit_test(test_account_without_last_reading_is_no_agreement),
		cmocka_unit_test(test_read_with_a_call_meanwhile_is_none),
		cmocka_unit_test(test_print_shows_calls_and_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
