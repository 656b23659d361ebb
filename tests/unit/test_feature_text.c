/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/feature_text.h"

/* Bits 0 to 5, 28, 29, 32, 34. */
#define ALL 0x53000003full
#define RINGS 0x530000000ull

static const struct aero_virtio_features all = { { ALL, 0 } };

static void assert_list(const char *text, uint64_t word)
{
	struct aero_virtio_features features;
	struct aero_error error;

	if (aero_feature_list_parse(text, &all, &features, &error) != AERO_OK)
		fail_msg("\"%s\" refused: %s", text, error.text);
	assert_int_equal(features.word[0], word);
	assert_int_equal(features.word[1], 0);
}

static void assert_refused(const char *text, enum aero_status status, const char *said)
{
	struct aero_virtio_features features = { { 77, 77 } };
	struct aero_error error;

	assert_int_equal(aero_feature_list_parse(text, &all, &features, &error), status);
	if (!strstr(error.text, said))
		fail_msg("\"%s\": \"%s\" does not say \"%s\"", text, error.text, said);
	assert_int_equal(features.word[0], 77);
}

static void test_names_choose_and_leave_rings(void **state)
{
	(void)state;
	assert_list("stats_vq", RINGS | 2);
	assert_list("must_tell_host,stats_vq", RINGS | 3);
	assert_list("MUST-TELL-HOST , Stats_VQ", RINGS | 3);
	assert_list("reporting", RINGS | 0x20);
	assert_list("page_reporting", RINGS | 0x20);
	assert_list("5", RINGS | 0x20);
	assert_list("0,1,2,3,4,5", ALL);
}

static void test_signs_change_the_default(void **state)
{
	(void)state;
	assert_list("-stats_vq", ALL & ~2ull);
	assert_list("-0,-1", ALL & ~3ull);
	assert_list("-page-reporting,-ring-packed", ALL & ~0x400000020ull);
	assert_list("-stats_vq,+stats_vq", ALL);
	/* Not the device's: there is nothing to take away. */
	assert_list("-access_platform", ALL);
}

static void test_none_and_default(void **state)
{
	(void)state;
	assert_list("none", 0);
	assert_list("default", ALL);
	assert_list("none,version_1", 1ull << 32);
	assert_list("none,32,0", 1ull << 32 | 1);
	assert_list("default,-free_page_hint", ALL & ~8ull);
}

static void test_refusals_name_the_item(void **state)
{
	(void)state;
	assert_refused("stats", AERO_EINVAL, "\"stats\" (position 1");
	assert_refused("stats_vq,nope", AERO_EINVAL, "\"nope\" (position 10");
	assert_refused("stats_vq, -nope", AERO_EINVAL, "\"nope\" (position 11");
	assert_refused("128", AERO_EINVAL, "\"128\"");
	assert_refused("99999999999", AERO_EINVAL, "\"99999999999\"");
	assert_refused("", AERO_EINVAL, "\"\"");
	assert_refused(",", AERO_EINVAL, "\"\"");
	assert_refused("stats_vq,", AERO_EINVAL, "\"\" (position 10");
	assert_refused("-", AERO_EINVAL, "\"\" (position 1");
	assert_refused("+none", AERO_EINVAL, "\"none\"");
	assert_refused("stats vq", AERO_EINVAL, "position 1");
	assert_refused("a_name_that_is_longer_than_any_feature_has", AERO_EINVAL, "position 1");
	assert_refused("33", AERO_ENOTSUP, "feature 33");
	assert_refused("6", AERO_ENOTSUP, "feature 6");
	assert_refused("127", AERO_ENOTSUP, "feature 127");
}

static void test_every_name_is_understood(void **state)
{
	const struct aero_virtio_features any = { { UINT64_MAX, UINT64_MAX } };
	struct aero_virtio_features features;
	unsigned int named = 0;
	unsigned int bit;
	char list[64];

	(void)state;
	for (bit = 0; bit < 128; bit++) {
		if (!aero_feature_name(bit))
			continue;
		named++;
		snprintf(list, sizeof(list), "none,%s", aero_feature_name(bit));
		assert_int_equal(aero_feature_list_parse(list, &any, &features, NULL), AERO_OK);
		assert_int_equal(features.word[bit / 64], 1ull << bit % 64);
		assert_int_equal(features.word[1 - bit / 64], 0);
	}
	assert_int_equal(named, 21);
	assert_null(aero_feature_name(6));
	assert_null(aero_feature_name(128));
	assert_null(aero_feature_name(UINT32_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_choose_and_leave_rings),
		cmocka_unit_test(test_signs_change_the_default),
		cmocka_unit_test(test_none_and_default),
		cmocka_unit_test(test_refusals_name_the_item),
		cmocka_unit_test(test_every_name_is_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
