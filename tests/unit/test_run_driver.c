/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "programs/aerostat/run_driver.h"

/* What ports/baremetal answers, and what a guest that lies could. */

#define REPORT "target_frames=131072 actual_frames=131072 metadata_bytes=8192 stall=0"

static struct run_driver_account whole(void)
{
	struct run_driver_account account = { .counters = "notifications=130 config_reads=3" };

	assert_true(run_driver_take_report(&account.before, "actual_frames=0", 0));
	assert_true(run_driver_take_report(&account.inflated, REPORT, 131072));
	run_driver_take_time(&account.inflated, "from_frames=0 to_frames=131072 ns=1500000000");
	assert_true(run_driver_take_report(&account.after, "actual_frames=0", 0));
	run_driver_take_time(&account.after, "from_frames=131072 to_frames=0 ns=0");
	return account;
}

static void test_whole_account_agrees(void **state)
{
	struct run_driver_account account = whole();
	json_t *json = run_driver_account_json(&account);
	json_t *wanted =
		json_pack("{s:s, s:i, s:i, s:f, s:n, s:n, s:[], s:s}", "source", "counters",
			  "frames_inflated", 131072, "frames_after", 0, "inflate_seconds", 1.5,
			  "deflate_seconds", "commands", "differences", "text",
			  "notifications        130\nconfig_reads         3\n");

	(void)state;
	assert_true(run_driver_is_agreed(&account));
	assert_true(json_equal(json, wanted));
	json_decref(json);
	json_decref(wanted);
}

static void test_differences_are_named(void **state)
{
	struct run_driver_account account = whole();
	json_t *json, *differences;

	(void)state;
	account.inflated.guest_frames--;
	account.after.is_taken = false;
	assert_false(run_driver_is_agreed(&account));
	json = run_driver_account_json(&account);
	differences = json_object_get(json, "differences");
	assert_int_equal(json_array_size(differences), 2);
	assert_string_equal(json_string_value(json_array_get(differences, 0)),
			    "inflated: the guest counts 131071 frames, QEMU was told 131072");
	assert_string_equal(json_string_value(json_array_get(differences, 1)),
			    "after: the guest's account could not be read");
	assert_true(json_is_null(json_object_get(json, "frames_after")));
	json_decref(json);
}

static void test_report_without_size_is_none(void **state)
{
	struct run_driver_reading reading = { .ns = 7 };

	(void)state;
	assert_false(run_driver_take_report(&reading, "", 0));
	assert_false(run_driver_take_report(&reading, "actual_frames=many", 0));
	assert_false(run_driver_take_report(&reading, "xactual_frames=5", 0));
	assert_false(reading.is_taken);
	run_driver_take_time(&reading, "ns=-1");
	assert_int_equal(reading.ns, 0);
}

static void test_nothing_read_is_not_known(void **state)
{
	struct run_driver_account account = { .counters = "" };

	(void)state;
	assert_null(run_driver_account_json(&account));
	assert_null(run_driver_counters_json(&account));
	assert_false(run_driver_is_agreed(&account));
}

static void test_counters_that_are_none_are_left_out(void **state)
{
	struct run_driver_account account = { .counters = " a=1  =2 b c= d=x e=18446744073709551615"
							  " f=99999999999999999999 g=0 a=5 " };
	json_t *json = run_driver_counters_json(&account);

	(void)state;
	assert_int_equal(json_object_size(json), 3);
	assert_int_equal(json_integer_value(json_object_get(json, "a")), 5);
	assert_true(json_is_real(json_object_get(json, "e")));
	assert_int_equal(json_integer_value(json_object_get(json, "g")), 0);
	json_decref(json);
}

/* As long as a line of the console may be: nothing is written beyond its place. */
static void test_longest_counters(void **state)
{
	struct run_driver_account account = whole();
	json_t *json;
	size_t used = 0;

	(void)state;
	while (used + 6 < sizeof(account.counters)) {
		memcpy(account.counters + used, "a=111 ", 6);
		account.counters[used] = (char)('a' + used / 6 % 26);
		used += 6;
	}
	account.counters[used] = '\0';
	json = run_driver_account_json(&account);
	assert_non_null(json_string_value(json_object_get(json, "text")));
	json_decref(json);
	/* All of them different. */
	for (used = 0; used + 5 < sizeof(account.counters); used += 5)
		snprintf(account.counters + used, 6, "%c%c=1 ", (char)('a' + used / 5 % 26),
			 (char)('a' + used / 130));
	json = run_driver_account_json(&account);
	assert_true(strlen(json_string_value(json_object_get(json, "text"))) > 1000);
	json_decref(json);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_account_agrees),
		cmocka_unit_test(test_differences_are_named),
		cmocka_unit_test(test_report_without_size_is_none),
		cmocka_unit_test(test_nothing_read_is_not_known),
		cmocka_unit_test(test_counters_that_are_none_are_left_out),
		cmocka_unit_test(test_longest_counters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
