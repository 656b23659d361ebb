/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/capability_text.h"

static void assert_list(const char *text, uint32_t mask)
{
	struct aero_error error;
	uint32_t found = 0xffff;

	if (aero_vmware_capability_list_parse(text, &found, &error) != AERO_OK)
		fail_msg("\"%s\" refused: %s", text, error.text);
	assert_int_equal(found, mask);
}

static void assert_refused(const char *text, const char *said)
{
	struct aero_error error;
	uint32_t found = 77;

	assert_int_equal(aero_vmware_capability_list_parse(text, &found, &error), AERO_EINVAL);
	if (!strstr(error.text, said))
		fail_msg("\"%s\": \"%s\" does not say \"%s\"", text, error.text, said);
	assert_int_equal(found, 77);
}

static void test_name_is_known_for_each_capability_and_no_other(void **state)
{
	unsigned int bit;

	(void)state;
	assert_string_equal(aero_vmware_capability_name(1), "basic");
	assert_string_equal(aero_vmware_capability_name(5), "64_bit_target");
	for (bit = 0; bit < 70; bit++)
		assert_true(!aero_vmware_capability_name(bit) == (bit < 1 || bit > 5));
}

static void test_parse_takes_names_between_commas(void **state)
{
	(void)state;
	assert_list("", 0);
	assert_list("basic", AERO_VMWARE_CAP_BASIC);
	assert_list("batched,basic", AERO_VMWARE_CAP_BASIC | AERO_VMWARE_CAP_BATCHED);
	assert_list("basic,batched,batched_2m,signalled_wakeup,64_bit_target", 0x3e);
}

static void test_parse_names_what_is_wrong(void **state)
{
	static char text[300];

	(void)state;
	assert_refused("basi", "no \"basi\"");
	assert_refused("basic,,batched", "no \"\"");
	assert_refused("basic,more", "no \"more\"");
	assert_refused("basic,batched_2m", "batched_2m needs batched");
	memset(text, 'x', sizeof(text) - 1);
	assert_refused(text, "xxx");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name_is_known_for_each_capability_and_no_other),
		cmocka_unit_test(test_parse_takes_names_between_commas),
		cmocka_unit_test(test_parse_names_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
