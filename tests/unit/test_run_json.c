/* SPDX-License-Identifier: MIT */
#include "test_run_rig.h"

/* Keys of docs/run-json.md: what its tables have between back quotes in their first column. */
static json_t *read_documented(const char *after, const char *until)
{
	FILE *file = fopen(AERO_SOURCE_ROOT "/docs/run-json.md", "r");
	json_t *keys = json_object();
	bool is_within = !after;
	char line[512];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (after && strstr(line, after))
			is_within = true;
		else if (is_within && until && strstr(line, until))
			break;
		if (is_within && !strncmp(line, "| `", 3))
			json_object_set_new(keys, strtok(line + 3, "`"), json_true());
	}
	fclose(file);
	assert_true(json_object_size(keys) > 0);
	return keys;
}

static void check_keys(json_t *object, json_t *documented)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		if (!json_object_get(documented, key))
			fail_msg("%s is not documented", key);
	}
	json_object_foreach(documented, key, value)
	{
		if (!json_object_get(object, key))
			fail_msg("%s is documented and not there", key);
	}
	json_decref(documented);
}

static uint64_t number_of(const json_t *json, const char *key)
{
	json_t *value = json_object_get(json, key);

	if (!json_is_integer(value))
		fail_msg("%s is no whole number", key);
	return (uint64_t)json_integer_value(value);
}

static json_t *make_whole(void)
{
	struct run_result result = rig_result();
	json_t *json;

	result.statistics =
		json_pack("{s:{s:i, s:i}, s:{}, s:{s:i}, s:i}", "values", "free_memory_bytes",
			  12345, "major_faults", 0, "missing", "unknown", "77", 9, "sequence", 2);
	result.counters = json_pack("{s:{s:i}}", "device", "kicks", 514);
	result.features = rig_features();
	json = run_json_make(&result);
	run_result_clear(&result);
	assert_non_null(json);
	return json;
}

static void test_json_whole_run_has_exactly_documented_keys(void **state)
{
	json_t *json = make_whole();

	(void)state;
	check_keys(json, read_documented(NULL, "| key in"));
	check_keys(json_object_get(json, "phases"),
		   read_documented("| key in `phases`", "| key in"));
	check_keys(json_object_get(json, "verdict"),
		   read_documented("| key in `verdict`", "| key in"));
	json_decref(json);
}

/* The keys are the same for every kind; what a kind does not have is null. */
static void test_json_vmware_run_has_exactly_documented_keys(void **state)
{
	struct run_result result = rig_vmware_result();
	json_t *json = run_json_make(&result);

	(void)state;
	check_keys(json, read_documented(NULL, "| key in"));
	check_keys(json_object_get(json, "guest_account"),
		   read_documented("| key in `guest_account`", "| key in"));
	assert_string_equal(json_string_value(json_object_get(json, "guest")), "vmware");
	assert_true(json_is_true(json_object_get(json, "good")));
	assert_true(json_is_null(json_object_get(json, "features")));
	assert_true(json_is_null(json_object_get(json, "guest_stats")));
	assert_true(json_equal(json_object_get(json, "capabilities"), result.capabilities));
	assert_true(json_equal(json_object_get(json, "host_calls"), result.host_calls));
	assert_true(json_is_true(
		json_object_get(json_object_get(json, "verdict"), "is_account_agreed")));
	json_decref(json);
	run_result_clear(&result);
}

static void test_json_virtio_run_has_nulls_for_what_it_lacks(void **state)
{
	static const char *const keys[] = { "capabilities", "host_calls", "guest_account" };
	json_t *json = make_whole();
	size_t i;

	(void)state;
	for (i = 0; i < TEST_ARRAY_SIZE(keys); i++)
		assert_true(json_is_null(json_object_get(json, keys[i])));
	assert_true(json_is_null(
		json_object_get(json_object_get(json, "verdict"), "is_account_agreed")));
	json_decref(json);
}

/* What only our devices know is null for QEMU's, whatever lies in the result. */
static void test_json_run_without_ledger_has_nulls_for_what_it_would_tell(void **state)
{
	static const char *const keys[] = {
		"ledger_bytes",
		"requests",
		"runs",
		"discards",
		"discard_asked_bytes",
		"discard_freed_bytes",
		"deflate_requests",
		"deflate_discards",
		"resident_under_balloon_bytes",
		"discard_mode",
		"resident_left_bytes",
	};
	struct run_result result = rig_qemu_result();
	json_t *json = run_json_make(&result);
	size_t i;

	(void)state;
	check_keys(json, read_documented(NULL, "| key in"));
	for (i = 0; i < TEST_ARRAY_SIZE(keys); i++) {
		if (!json_is_null(json_object_get(json, keys[i])))
			fail_msg("%s is not null", keys[i]);
	}
	assert_true(json_is_null(
		json_object_get(json_object_get(json, "verdict"), "is_ledger_agreed")));
	assert_true(json_is_true(json_object_get(json, "good")));
	assert_int_equal(number_of(json, "frames"), 65536);
	assert_int_equal(number_of(json, "deflate_frames"), 65535);
	json_decref(json);
	/* A driver of ours counts its requests itself. */
	result.has_requests = true;
	json = run_json_make(&result);
	assert_int_equal(number_of(json, "requests"), 256);
	assert_int_equal(number_of(json, "deflate_requests"), 255);
	assert_true(json_is_null(json_object_get(json, "runs")));
	json_decref(json);
	result.is_memory_freed = false;
	assert_false(run_result_is_good(&result));
}

static void test_json_disagreeing_account_is_not_good(void **state)
{
	struct run_result result = rig_vmware_result();
	json_t *json;

	(void)state;
	result.is_account_agreed = false;
	json = run_json_make(&result);
	assert_true(json_is_false(json_object_get(json, "good")));
	assert_true(json_is_false(
		json_object_get(json_object_get(json, "verdict"), "is_account_agreed")));
	json_decref(json);
	run_result_clear(&result);
}

static void test_json_early_failure_has_same_keys(void **state)
{
	struct run_result result = rig_early_result();
	json_t *json = run_json_make(&result);

	(void)state;
	check_keys(json, read_documented(NULL, "| key in"));
	json_decref(json);
}

static void test_json_whole_run_holds_its_numbers(void **state)
{
	json_t *json = make_whole();

	(void)state;
	assert_true(json_is_true(json_object_get(json, "good")));
	assert_true(json_is_null(json_object_get(json, "failure")));
	assert_int_equal(number_of(json, "memory_bytes"), 512 * MIB);
	assert_int_equal(number_of(json, "resident_inflated_bytes"), 160 * MIB);
	assert_int_equal(number_of(json, "resident_after_bytes"), 161 * MIB);
	assert_int_equal(number_of(json, "requests"), 256);
	assert_int_equal(number_of(json, "frames"), 65536);
	assert_int_equal(number_of(json, "runs"), 300);
	assert_int_equal(number_of(json, "discards"), 128);
	assert_int_equal(number_of(json, "discard_asked_bytes"), 256 * MIB);
	assert_int_equal(number_of(json, "discard_freed_bytes"), 240 * MIB);
	assert_int_equal(number_of(json, "deflate_requests"), 255);
	assert_int_equal(number_of(json, "deflate_frames"), 65535);
	assert_int_equal(number_of(json, "deflate_discards"), 3);
	assert_int_equal(number_of(json, "guest_free_inflated_bytes"), 224 * MIB);
	assert_true(json_real_value(json_object_get(json, "inflate_bytes_per_second")) ==
		    128.0 * MIB);
	/* 256 MiB in 2 s, and a frame less in 1 s. */
	assert_true(json_real_value(json_object_get(json, "inflate_seconds_per_gib")) == 8);
	assert_true(json_real_value(json_object_get(json, "deflate_seconds_per_gib")) > 4);
	assert_true(json_real_value(json_object_get(json, "deflate_seconds_per_gib")) < 4.001);
	assert_true(json_real_value(
			    json_object_get(json_object_get(json, "phases"), "power_off")) == 9.25);
	assert_int_equal(number_of(json_object_get(json_object_get(json, "counters"), "device"),
				   "kicks"),
			 514);
	json_decref(json);
}

static void test_json_features_are_names(void **state)
{
	json_t *json = make_whole(), *features = json_object_get(json, "features");
	json_t *expected =
		json_pack("[s, s, s, s]", "must_tell_host", "stats_vq", "version_1", "bit_60");

	(void)state;
	assert_true(json_equal(features, expected));
	json_decref(expected);
	json_decref(json);
}

static void test_json_guest_stats_absent_is_absent(void **state)
{
	json_t *json = make_whole();
	json_t *expected = json_pack("{s:i, s:i, s:{s:i}}", "free_memory_bytes", 12345,
				     "major_faults", 0, "unknown", "77", 9);

	(void)state;
	assert_true(json_equal(json_object_get(json, "guest_stats"), expected));
	json_decref(expected);
	json_decref(json);
}

static void test_json_early_failure_is_null_not_zero(void **state)
{
	static const char *const measured[] = { "aerostat_version", "good",
						"failure",	    "guest",
						"phases",	    "memory_bytes",
						"target_bytes" };
	struct run_result result = rig_early_result();
	json_t *json = run_json_make(&result), *value;
	const char *key;
	size_t i;

	(void)state;
	assert_true(json_is_false(json_object_get(json, "good")));
	assert_string_equal(json_string_value(json_object_get(json, "failure")), result.failure);
	value = json_object_get(json, "phases");
	assert_true(json_is_real(json_object_get(value, "boot")));
	assert_true(json_is_null(json_object_get(value, "dirty")));
	for (i = 0; i < TEST_ARRAY_SIZE(measured); i++)
		assert_int_equal(json_object_del(json, measured[i]), 0);
	json_object_foreach(json, key, value)
	{
		if (!json_is_null(value))
			fail_msg("%s was not measured and is not null", key);
	}
	json_decref(json);
}

static void test_json_failure_while_deflating_keeps_what_was_measured(void **state)
{
	struct run_result result = rig_result();
	json_t *json;

	(void)state;
	result.reached = RUN_DEFLATING;
	result.deflate.seconds = 0;
	memset(&result.guest_after, 0, sizeof(result.guest_after));
	json = run_json_make(&result);
	assert_int_equal(number_of(json, "discards"), 128);
	assert_true(json_is_null(json_object_get(json, "deflate_discards")));
	assert_true(json_is_null(json_object_get(json, "resident_after_bytes")));
	assert_true(json_is_null(json_object_get(json, "guest_free_after_bytes")));
	assert_true(json_is_false(json_object_get(json, "good")));
	json_decref(json);
}

static void test_json_words_of_a_bad_guest_are_still_json(void **state)
{
	struct run_result result = rig_result();
	json_t *json;
	char *text;

	(void)state;
	strcpy(result.guest_kernel, "6\xff\xfe\033\"\\");
	strcpy(result.failure, "guest: \xc3(");
	json = run_json_make(&result);
	text = json_dumps(json, JSON_COMPACT);
	assert_non_null(text);
	assert_string_equal(json_string_value(json_object_get(json, "guest_kernel")), "6???\"\\");
	assert_string_equal(json_string_value(json_object_get(json, "failure")), "guest: ?(");
	free(text);
	json_decref(json);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_whole_run_has_exactly_documented_keys),
		cmocka_unit_test(test_json_vmware_run_has_exactly_documented_keys),
		cmocka_unit_test(test_json_virtio_run_has_nulls_for_what_it_lacks),
		cmocka_unit_test(test_json_run_without_ledger_has_nulls_for_what_it_would_tell),
		cmocka_unit_test(test_json_disagreeing_account_is_not_good),
		cmocka_unit_test(test_json_early_failure_has_same_keys),
		cmocka_unit_test(test_json_whole_run_holds_its_numbers),
		cmocka_unit_test(test_json_features_are_names),
		cmocka_unit_test(test_json_guest_stats_absent_is_absent),
		cmocka_unit_test(test_json_early_failure_is_null_not_zero),
		cmocka_unit_test(test_json_failure_while_deflating_keeps_what_was_measured),
		cmocka_unit_test(test_json_words_of_a_bad_guest_are_still_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
