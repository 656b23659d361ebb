/* SPDX-License-Identifier: MIT */
#include "test_vhost_user_rig.h"

/* Messages about memory, the configuration space and the status. */

/* Memory -------------------------------------------------------------------------------------- */

static void test_set_mem_table_every_count(void **state)
{
	struct rig *rig = *state;

	for (uint32_t count = 1; count <= 8; count++) {
		char text[32];

		rig_forget(rig);
		feed_ok(rig, with_table(1, count), count);
		snprintf(text, sizeof(text), "set_memory %u gpa=0 ", count);
		assert_ptr_equal(strstr(rig->calls, text), rig->calls);
		assert_null(strstr(rig->calls, "closed"));
	}
}

static void test_set_mem_table_all_slots_sent_uses_some(void **state)
{
	struct rig *rig = *state;
	struct bytes b = blank(5, 1, 264);

	b.at[12] = 1;
	b.at[12 + 8 + 8 + 2] = 0x10;
	feed_ok(rig, b, 1);
	assert_string_equal(rig->calls,
			    "set_memory 1 gpa=0 bytes=0x100000 uva=0 offset=0 fd=open\n");
}

static void test_set_mem_table_malformed_refused(void **state)
{
	static const struct {
		uint32_t regions;
		uint32_t size;
		unsigned int fds;
		const char *text;
	} cases[] = {
		{ 0, 8, 0, "0 regions, not 1 to 8" },
		{ 9, 264, 8, "9 regions, not 1 to 8" },
		{ 0xffffffff, 264, 8, "4294967295 regions" },
		{ 0x08000001, 40, 1, "134217729 regions" },
		{ 2, 40, 2, "size is 40, 2 regions need 72" },
		{ 1, 39, 1, "size is 39, 1 regions need 40" },
		{ 1, 8, 1, "size is 8, 1 regions need 40" },
		{ 1, 40, 0, "0 descriptors for 1 regions" },
		{ 1, 40, 2, "2 descriptors for 1 regions" },
		{ 3, 104, 2, "2 descriptors for 3 regions" },
	};

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		struct rig rig;
		struct bytes b = blank(5, 1, cases[i].size);

		memcpy(b.at + 12, &cases[i].regions, 4);
		rig_open(&rig);
		feed_violation(&rig, b, cases[i].fds, cases[i].text);
		assert_string_equal(rig.calls, "");
		rig_close(&rig);
	}
}

static void test_mem_reg_add_and_remove(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	feed_ok(rig, with_region(37, FLAG_ACK), 1);
	expect_u64(rig, 37, 0);
	feed_ok(rig, with_region(38, FLAG_ACK), 0);
	expect_u64(rig, 38, 0);
	feed_ok(rig, with_region(38, FLAG_ACK), 1);
	expect_u64(rig, 38, 0);
	assert_string_equal(rig->calls,
			    "add_memory gpa=0x100000 bytes=0x200000 uva=0x7f1234500000 "
			    "offset=0x3000 fd=open\n"
			    "remove_memory gpa=0x100000 bytes=0x200000 uva=0x7f1234500000 "
			    "offset=0x3000 fd=none\n"
			    "remove_memory gpa=0x100000 bytes=0x200000 uva=0x7f1234500000 "
			    "offset=0x3000 fd=none\n");
}

static void test_mem_reg_refused_answers_one(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	rig->answer = AERO_ENOENT;
	feed_ok(rig, with_region(38, FLAG_ACK), 0);
	expect_u64(rig, 38, 1);
	feed_ok(rig, with_region(37, FLAG_ACK), 1);
	expect_u64(rig, 37, 1);
}

static void test_get_max_mem_slots_answers_config(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	feed_ok(rig, head(36, 1, 0), 0);
	expect_u64(rig, 36, 32);
}

static void test_log_messages_are_harmless(void **state)
{
	struct rig *rig = *state;

	feed_ok(rig, with_u64(6, 1, 0x1234), 0);
	feed_ok(rig, blank(6, 1, 16), 1);
	feed_ok(rig, head(7, 1, 0), 1);
	feed_ok(rig, with_u64(7, 1, 0), 0);
	assert_string_equal(rig->calls, "");
	assert_int_equal(rig->out_len, 0);
}

/* Configuration space ------------------------------------------------------------------------- */

static struct bytes with_config(uint32_t id, uint32_t size, uint32_t offset, uint32_t bytes,
				uint32_t flags)
{
	struct bytes b = blank(id, 1, size);

	memcpy(b.at + 12, &offset, 4);
	memcpy(b.at + 16, &bytes, 4);
	memcpy(b.at + 20, &flags, 4);
	return b;
}

static void test_get_config_answers_as_asked(void **state)
{
	static const uint32_t sizes[] = { 1, 2, 4, 8, 12, 16, 60, 256 };
	struct rig *rig = *state;

	negotiate(rig);
	for (size_t i = 0; i < 256; i++)
		rig->config[i] = (uint8_t)i;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		uint32_t size = sizes[i];
		uint32_t offset = size == 256 ? 0 : 4;
		struct bytes want = with_config(24, 12 + size, offset, size, 0);

		want.at[4] = 5;
		memcpy(want.at + 24, rig->config + offset, size);
		rig->out_len = 0;
		feed_ok(rig, with_config(24, 12 + size, offset, size, 0), 0);
		assert_int_equal(rig->out_len, want.len);
		assert_memory_equal(rig->out, want.at, want.len);
	}
}

static void test_get_config_without_bytes_answers_them(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	feed_ok(rig, with_config(24, 12, 8, 4, 0), 0);
	assert_int_equal(rig->out_len, 12 + 12 + 4);
	assert_string_equal(rig->calls, "get_config 8 4\n");
}

static void test_get_config_refused_answers_empty(void **state)
{
	static const uint8_t want[12] = { 24, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0 };
	struct rig *rig = *state;

	negotiate(rig);
	rig->answer = AERO_EINVAL;
	feed_ok(rig, with_config(24, 16, 0, 4, 0), 0);
	assert_int_equal(rig->out_len, 12);
	assert_memory_equal(rig->out, want, 12);
}

static void test_set_config_reaches_device(void **state)
{
	struct rig *rig = *state;
	struct bytes b = with_config(25, 16, 4, 4, 0);

	negotiate(rig);
	memcpy(b.at + 24, "\x78\x56\x34\x12", 4);
	feed_ok(rig, b, 0);
	assert_string_equal(rig->calls, "set_config 4 4\n");
	assert_memory_equal(rig->config + 4, "\x78\x56\x34\x12", 4);
	rig_forget(rig);
	feed_ok(rig, with_config(25, 28, 0, 16, 1), 0);
	assert_string_equal(rig->calls, "set_config 0 16 migration\n");
	assert_int_equal(rig->out_len, 0);
}

static void test_config_malformed_refused(void **state)
{
	static const struct {
		uint32_t id, size, offset, bytes, flags;
		const char *text;
	} cases[] = {
		{ 24, 12, 0, 0, 0, "GET_CONFIG: 0 bytes from offset 0 on" },
		{ 24, 12, 0, 257, 0, "257 bytes from offset 0 on" },
		{ 24, 12, 256, 1, 0, "1 bytes from offset 256 on" },
		{ 24, 12, 0xffffffff, 2, 0, "2 bytes from offset 4294967295 on" },
		{ 24, 12, 1, 0xffffffff, 0, "4294967295 bytes from offset 1 on" },
		{ 24, 12, 0, 4, 2, "flags are 0x2, not 0 or 1" },
		{ 24, 15, 0, 4, 0, "size is 15, 4 bytes were asked for" },
		{ 24, 20, 0, 4, 0, "size is 20, 4 bytes were asked for" },
		{ 25, 12, 0, 4, 0, "SET_CONFIG: size is 12, 4 bytes were announced" },
		{ 25, 15, 0, 4, 0, "size is 15, 4 bytes were announced" },
		{ 25, 17, 0, 4, 0, "size is 17, 4 bytes were announced" },
		{ 25, 16, 253, 4, 0, "4 bytes from offset 253 on" },
		{ 25, 16, 0, 4, 0x80000000, "flags are 0x80000000" },
	};

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		struct rig rig;

		rig_open(&rig);
		negotiate(&rig);
		feed_violation(&rig,
			       with_config(cases[i].id, cases[i].size, cases[i].offset,
					   cases[i].bytes, cases[i].flags),
			       0, cases[i].text);
		assert_string_equal(rig.calls, "");
		rig_close(&rig);
	}
}

/* Status -------------------------------------------------------------------------------------- */

static void test_status_set_and_get(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	feed_ok(rig, with_u64(39, 1, 15), 0);
	feed_ok(rig, head(40, 1, 0), 0);
	expect_u64(rig, 40, 15);
	assert_string_equal(rig->calls, "set_status 0xf\n");
}

static void test_status_wider_than_a_byte_refused(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	feed_violation(rig, with_u64(39, 1, 256), 0, "SET_STATUS: status is 0x100, not a byte");
}

static void test_get_queue_num_answers_ring_count(void **state)
{
	struct rig *rig = *state;

	feed_ok(rig, head(17, 1, 0), 0);
	expect_u64(rig, 17, 5);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_set_mem_table_every_count),
		CASE(test_set_mem_table_all_slots_sent_uses_some),
		CASE(test_set_mem_table_malformed_refused),
		CASE(test_mem_reg_add_and_remove),
		CASE(test_mem_reg_refused_answers_one),
		CASE(test_get_max_mem_slots_answers_config),
		CASE(test_log_messages_are_harmless),
		CASE(test_get_config_answers_as_asked),
		CASE(test_get_config_without_bytes_answers_them),
		CASE(test_get_config_refused_answers_empty),
		CASE(test_set_config_reaches_device),
		CASE(test_config_malformed_refused),
		CASE(test_status_set_and_get),
		CASE(test_status_wider_than_a_byte_refused),
		CASE(test_get_queue_num_answers_ring_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
