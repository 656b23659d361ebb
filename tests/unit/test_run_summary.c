/* SPDX-License-Identifier: MIT */
#include "test_run_rig.h"

static char text[16384];

static void print(void (*function)(FILE *, const struct run_result *),
		  const struct run_result *result)
{
	FILE *out = fmemopen(text, sizeof(text), "w");

	assert_non_null(out);
	function(out, result);
	fclose(out);
	/* Neither escape codes nor blanks at the end of a line. */
	assert_null(strchr(text, '\033'));
	assert_null(strstr(text, " \n"));
}

/* The cells of a row in the summary, blanks as they are. */
static void check_row(const char *row)
{
	if (!strstr(text, row))
		fail_msg("no row '%s' in:\n%s", row, text);
}

static void test_summary_whole_run_has_every_number(void **state)
{
	struct run_result result = rig_result();

	(void)state;
	result.statistics =
		json_pack("{s:{s:I, s:i}, s:{s:i}}", "values", "free_memory_bytes",
			  (json_int_t)(224 * MIB), "major_faults", 1234567, "unknown", "77", 9);
	result.features = rig_features();
	print(run_summary_print, &result);
	run_result_clear(&result);
	check_row("Guest kernel          6.1.176\n");
	check_row("Features              must_tell_host stats_vq version_1 bit_60\n");
	check_row("Time                           2.000 s         1.000 s\n");
	check_row("Rate                        0.12 GiB/s      0.25 GiB/s\n");
	check_row("Time per GiB                   8.000 s         4.000 s\n");
	check_row("Requests                           256             255\n");
	check_row("Frames of 4 KiB                 65,536          65,535\n");
	check_row("Merged runs                        300               -\n");
	check_row("Discard calls                      128               3\n");
	check_row("Discard asked                256.0 MiB         0.0 MiB\n");
	check_row("Really freed                 240.0 MiB         0.0 MiB\n");
	check_row("Guest free                   480.0 MiB       224.0 MiB       479.0 MiB\n");
	check_row("Host-resident                400.0 MiB       160.0 MiB       161.0 MiB\n");
	check_row("free memory                  224.0 MiB\n");
	check_row("major faults                 1,234,567\n");
	check_row("tag 77                               9\n");
	check_row("ok   the guest reports the target: 256.0 of 256.0 MiB\n");
	check_row("ok   the ledger agrees: 65,536 of 65,536 frames\n");
	check_row("240.0 of 241.0 MiB under the balloon (99.6 %)\n");
	check_row("Good: ");
}

static void test_summary_vmware_run_has_calls_and_account(void **state)
{
	struct run_result result = rig_vmware_result();

	(void)state;
	print(run_summary_print, &result);
	check_row("Capabilities          basic batched batched_2m\n");
	check_row("  2m-lock                            1             0             1"
		  "             1\n");
	check_row("The guest's /sys/kernel/debug/vmmemctl at the end\n");
	check_row("    current               :                0\n");
	check_row("ok   the guest's own account agrees with ours\n");
	check_row("Good: ");
	/* Virtio's. */
	assert_null(strstr(text, "Features"));
	assert_null(strstr(text, "Guest statistics"));
	run_result_clear(&result);
}

static void test_summary_without_ledger_shows_what_is_known(void **state)
{
	struct run_result result = rig_qemu_result();

	(void)state;
	print(run_summary_print, &result);
	check_row("Discards              by QEMU\n");
	check_row("Time per GiB                   8.000 s         4.000 s\n");
	check_row("Frames of 4 KiB                 65,536          65,535\n");
	check_row("144.0 of at least 144.0 MiB under the balloon (100.0 %)\n");
	check_row("Good: ");
	assert_null(strstr(text, "Requests"));
	assert_null(strstr(text, "Discard calls"));
	assert_null(strstr(text, "ledger"));
	/* So little was resident that all of it may lie beside the balloon. */
	result.resident_under_balloon_bytes = 0;
	result.is_memory_freed = false;
	print(run_verdict_print, &result);
	check_row(
		"0.0 of at least 0.0 MiB under the balloon; to tell, the guest has to dirty more");
	check_row("Failed: ");
}

static void test_summary_disagreeing_account_names_the_difference(void **state)
{
	struct run_result result = rig_vmware_result();
	json_t *differences = json_object_get(result.account, "differences");

	(void)state;
	result.is_account_agreed = false;
	json_array_append_new(differences, json_string("lock: the guest counts 1 calls"));
	print(run_verdict_print, &result);
	check_row("NOT  the guest's own account agrees with ours\n"
		  "       lock: the guest counts 1 calls\n");
	check_row("Failed: not every check above is ok.\n");
	run_result_put(&result.account, NULL);
	print(run_verdict_print, &result);
	check_row("NOT  the guest's own account agrees with ours: it was never read\n");
	run_result_clear(&result);
}

static void test_summary_early_failure_says_where_and_why(void **state)
{
	struct run_result result = rig_early_result();

	(void)state;
	print(run_summary_print, &result);
	check_row("Failed while booting the guest: timed out: the guest did not go on\n");
	assert_null(strstr(text, "Requests"));
	assert_null(strstr(text, "Host-resident"));
	assert_null(strstr(text, "Good"));
	assert_null(strstr(text, "ok "));
	assert_null(strstr(text, "NOT "));
}

static void test_summary_failed_half_way_has_no_zeros(void **state)
{
	struct run_result result = rig_early_result();

	(void)state;
	result.reached = RUN_INFLATING;
	result.resident_before_bytes = 400 * MIB;
	print(run_summary_print, &result);
	check_row("Failed while inflating: ");
	check_row("Time                                 -               -\n");
	check_row("Requests                             -               -\n");
	check_row("Guest free                           -               -               -\n");
	check_row("Host-resident                400.0 MiB               -               -\n");
	assert_null(strstr(text, "ok "));
}

static void test_summary_failed_check_is_marked(void **state)
{
	struct run_result result = rig_result();

	(void)state;
	result.is_ledger_agreed = false;
	result.ledger_bytes -= AERO_FRAME_BYTES;
	print(run_verdict_print, &result);
	check_row("ok   the guest reports");
	check_row("NOT  the ledger agrees: 65,535 of 65,536 frames\n");
	check_row("Failed: ");
	assert_null(strstr(text, "Good"));
}

static void test_summary_nothing_resident_divides_nothing(void **state)
{
	struct run_result result = rig_result();

	(void)state;
	result.resident_under_balloon_bytes = 0;
	result.is_memory_freed = false;
	result.resident_left_bytes = 0;
	print(run_verdict_print, &result);
	check_row("0.0 of 0.0 MiB under the balloon; 95 % needed\n");
}

static void test_summary_what_is_left_is_unknown_the_fall_counts(void **state)
{
	struct run_result result = rig_result();

	(void)state;
	result.is_left_known = false;
	result.resident_under_balloon_bytes = 100 * MIB;
	result.resident_before_bytes = 300 * MIB;
	result.resident_inflated_bytes = 210 * MIB;
	print(run_verdict_print, &result);
	check_row("90.0 of 100.0 MiB under the balloon (90.0 %)");
	result.resident_inflated_bytes = 10 * MIB;
	print(run_verdict_print, &result);
	check_row("100.0 of 100.0 MiB under the balloon (100.0 %)");
}

static void test_summary_words_of_a_bad_guest_are_cleaned(void **state)
{
	struct run_result result = rig_early_result();

	(void)state;
	strcpy(result.guest_kernel, "6.1\033[31m");
	strcpy(result.failure, "guest: \033]0;title\007");
	print(run_summary_print, &result);
	check_row("6.1?[31m\n");
	check_row("guest: ?]0;title?\n");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_summary_whole_run_has_every_number),
		cmocka_unit_test(test_summary_vmware_run_has_calls_and_account),
		cmocka_unit_test(test_summary_without_ledger_shows_what_is_known),
		cmocka_unit_test(test_summary_disagreeing_account_names_the_difference),
		cmocka_unit_test(test_summary_early_failure_says_where_and_why),
		cmocka_unit_test(test_summary_failed_half_way_has_no_zeros),
		cmocka_unit_test(test_summary_failed_check_is_marked),
		cmocka_unit_test(test_summary_nothing_resident_divides_nothing),
		cmocka_unit_test(test_summary_what_is_left_is_unknown_the_fall_counts),
		cmocka_unit_test(test_summary_words_of_a_bad_guest_are_cleaned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
