/* SPDX-License-Identifier: MIT */
#include "test_vhost_user_rig.h"

/*
 * Framing, malformations and the messages that are not about rings. All cases share a fixture that
 * counts open descriptors before and after.
 */

/* The protocol's table, written down a second time. -1: this back end does not offer it. */
struct rule {
	const char *name;
	int size_min;
	int size_max;
	int fds_min;
	int fds_max;
	int feature; /* -1: none */
};

static const struct rule rules[] = {
	[1] = { "GET_FEATURES", 0, 0, 0, 0, -1 },
	[2] = { "SET_FEATURES", 8, 8, 0, 0, -1 },
	[3] = { "SET_OWNER", 0, 0, 0, 0, -1 },
	[4] = { "RESET_OWNER", 0, 0, 0, 0, -1 },
	[5] = { "SET_MEM_TABLE", 8, 264, 0, 8, -1 },
	[6] = { "SET_LOG_BASE", 8, 16, 0, 1, -1 },
	[7] = { "SET_LOG_FD", 0, 8, 0, 1, -1 },
	[8] = { "SET_VRING_NUM", 8, 8, 0, 0, -1 },
	[9] = { "SET_VRING_ADDR", 40, 40, 0, 0, -1 },
	[10] = { "SET_VRING_BASE", 8, 8, 0, 0, -1 },
	[11] = { "GET_VRING_BASE", 8, 8, 0, 0, -1 },
	[12] = { "SET_VRING_KICK", 8, 8, 0, 1, -1 },
	[13] = { "SET_VRING_CALL", 8, 8, 0, 1, -1 },
	[14] = { "SET_VRING_ERR", 8, 8, 0, 1, -1 },
	[15] = { "GET_PROTOCOL_FEATURES", 0, 0, 0, 0, -1 },
	[16] = { "SET_PROTOCOL_FEATURES", 8, 8, 0, 0, -1 },
	[17] = { "GET_QUEUE_NUM", 0, 0, 0, 0, -1 },
	[18] = { "SET_VRING_ENABLE", 8, 8, 0, 0, -1 },
	[19] = { "SEND_RARP", -1, 0, 0, 0, -1 },
	[20] = { "NET_SET_MTU", -1, 0, 0, 0, -1 },
	[21] = { "SET_BACKEND_REQ_FD", 0, 0, 1, 1, -1 },
	[22] = { "IOTLB_MSG", -1, 0, 0, 0, -1 },
	[23] = { "SET_VRING_ENDIAN", -1, 0, 0, 0, -1 },
	[24] = { "GET_CONFIG", 12, 268, 0, 0, 9 },
	[25] = { "SET_CONFIG", 12, 268, 0, 0, 9 },
	[26] = { "CREATE_CRYPTO_SESSION", -1, 0, 0, 0, -1 },
	[27] = { "CLOSE_CRYPTO_SESSION", -1, 0, 0, 0, -1 },
	[28] = { "POSTCOPY_ADVISE", -1, 0, 0, 0, -1 },
	[29] = { "POSTCOPY_LISTEN", -1, 0, 0, 0, -1 },
	[30] = { "POSTCOPY_END", -1, 0, 0, 0, -1 },
	[31] = { "GET_INFLIGHT_FD", -1, 0, 0, 0, -1 },
	[32] = { "SET_INFLIGHT_FD", -1, 0, 0, 0, -1 },
	[33] = { "GPU_SET_SOCKET", -1, 0, 0, 0, -1 },
	[34] = { "RESET_DEVICE", 0, 0, 0, 0, -1 },
	[35] = { "VRING_KICK", 8, 8, 0, 0, 14 },
	[36] = { "GET_MAX_MEM_SLOTS", 0, 0, 0, 0, 15 },
	[37] = { "ADD_MEM_REG", 40, 40, 1, 1, 15 },
	[38] = { "REM_MEM_REG", 40, 40, 0, 1, 15 },
	[39] = { "SET_STATUS", 8, 8, 0, 0, 16 },
	[40] = { "GET_STATUS", 0, 0, 0, 0, 16 },
	[41] = { "GET_SHARED_OBJECT", -1, 0, 0, 0, -1 },
	[42] = { "SET_DEVICE_STATE_FD", -1, 0, 0, 0, -1 },
	[43] = { "CHECK_DEVICE_STATE", -1, 0, 0, 0, -1 },
	[44] = { "GET_SHMEM_CONFIG", -1, 0, 0, 0, -1 },
};

/* A header that must end the connection at its twelfth byte. */
static void expect_header_refused(uint32_t id, uint32_t flags, uint32_t size, const char *name,
				  const char *text)
{
	struct rig rig;

	rig_open(&rig);
	negotiate(&rig);
	feed_violation(&rig, head(id, flags, size), 0, text);
	if (!strstr(rig.lines, name))
		fail_msg("'%s' is not in '%s'", name, rig.lines);
	assert_string_equal(rig.calls, "");
	rig_close(&rig);
}

static void test_header_size_outside_rule_refused(void **state)
{
	(void)state;
	for (uint32_t id = 1; id < TEST_ARRAY_SIZE(rules); id++) {
		const struct rule *rule = &rules[id];

		if (rule->size_min < 0)
			continue;
		if (rule->size_min > 0)
			expect_header_refused(id, 1, (uint32_t)rule->size_min - 1, rule->name,
					      ": size is ");
		expect_header_refused(id, 1, (uint32_t)rule->size_max + 1, rule->name,
				      ": size is ");
		expect_header_refused(id, 1, 0x80000000, rule->name, ": size is 2147483648, not ");
		expect_header_refused(id, 1, 0xffffffff, rule->name, ": size is 4294967295, not ");
	}
}

static void test_header_request_not_offered_refused(void **state)
{
	int count = 0;

	(void)state;
	for (uint32_t id = 1; id < TEST_ARRAY_SIZE(rules); id++) {
		if (rules[id].size_min >= 0)
			continue;
		expect_header_refused(id, 1, 0, rules[id].name, "not supported");
		count++;
	}
	assert_int_equal(count, 16);
}

static void test_header_request_unknown_refused(void **state)
{
	static const uint32_t ids[] = { 0, 45, 46, 1000, 0x80000000, 0xffffffff };

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(ids); i++) {
		char name[32];

		snprintf(name, sizeof(name), "message %u", ids[i]);
		expect_header_refused(ids[i], 1, 0, name, "unknown request");
	}
}

static void test_header_flags_wrong_refused(void **state)
{
	(void)state;
	expect_header_refused(1, 0, 0, "GET_FEATURES", "version is 0, not 1");
	expect_header_refused(1, 2, 0, "GET_FEATURES", "version is 2, not 1");
	expect_header_refused(1, 3, 0, "GET_FEATURES", "version is 3, not 1");
	expect_header_refused(1, 5, 0, "GET_FEATURES", "flags are 0x5: a reply to no request");
	for (uint32_t bit = 4; bit < 32; bit++)
		expect_header_refused(1, 1 | 1u << bit, 0, "GET_FEATURES", ": unknown ones");
}

static void test_message_without_its_feature_refused(void **state)
{
	int count = 0;

	(void)state;
	for (uint32_t id = 1; id < TEST_ARRAY_SIZE(rules); id++) {
		const struct rule *rule = &rules[id];
		uint64_t others = ALL_PROTOCOL_FEATURES & ~(1ull << (rule->feature & 63));
		struct rig rig;
		char text[64];

		if (rule->feature < 0)
			continue;
		rig_open(&rig);
		feed_ok(&rig, with_u64(16, 1, others), 0);
		snprintf(text, sizeof(text), "%s: protocol feature %d is not negotiated",
			 rule->name, rule->feature);
		feed_violation(&rig, head(id, 1, (uint32_t)rule->size_min), 0, text);
		rig_close(&rig);
		count++;
	}
	assert_int_equal(count, 8);
}

static void expect_fds_refused(uint32_t id, unsigned int fd_count, const char *text)
{
	struct rig rig;

	rig_open(&rig);
	negotiate(&rig);
	feed_violation(&rig, blank(id, 1, (uint32_t)rules[id].size_min), fd_count, text);
	if (!strstr(rig.lines, rules[id].name))
		fail_msg("%s", rig.lines);
	assert_string_equal(rig.calls, "");
	rig_close(&rig);
}

static void test_message_descriptor_count_wrong_refused(void **state)
{
	(void)state;
	for (uint32_t id = 1; id < TEST_ARRAY_SIZE(rules); id++) {
		const struct rule *rule = &rules[id];

		if (rule->size_min < 0)
			continue;
		if (rule->fds_min > 0)
			expect_fds_refused(id, (unsigned int)rule->fds_min - 1, "descriptors, not");
		if (rule->fds_max < 8)
			expect_fds_refused(id, (unsigned int)rule->fds_max + 1, "descriptors, not");
		if (rule->fds_max < 8)
			expect_fds_refused(id, 8, "8 descriptors, not");
	}
}

static void test_feed_more_than_eight_descriptors_refused(void **state)
{
	struct rig *rig = *state;

	feed_violation(rig, head(3, 1, 0), 9, "more than 8 descriptors");
}

static void test_feed_descriptors_add_up_within_a_message(void **state)
{
	struct rig *rig = *state;
	struct bytes b = with_table(1, 8);
	int fds[5] = { new_fd(), new_fd(), new_fd(), new_fd(), new_fd() };
	int more[4] = { new_fd(), new_fd(), new_fd(), new_fd() };

	assert_int_equal(aero_vhost_user_feed(&rig->conn, b.at, 5, fds, 5), AERO_OK);
	assert_int_equal(aero_vhost_user_feed(&rig->conn, b.at + 5, 5, more, 4), AERO_EPROTO);
	assert_non_null(strstr(rig->lines, "more than 8 descriptors"));
}

static void test_feed_empty_does_nothing(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(aero_vhost_user_feed(&rig->conn, NULL, 0, NULL, 0), AERO_OK);
	assert_int_equal(aero_vhost_user_wanted(&rig->conn), 12);
}

static void test_feed_after_failure_closes_descriptors(void **state)
{
	struct rig *rig = *state;

	feed_violation(rig, head(99, 1, 0), 0, "unknown request");
	assert_int_equal(feed_fds(rig, head(21, 1, 0), 3), AERO_ESTATE);
}

static void test_fini_mid_message_closes_descriptors(void **state)
{
	struct rig *rig = *state;
	struct bytes b = with_table(1, 2);
	int fds[2] = { new_fd(), new_fd() };

	assert_int_equal(aero_vhost_user_feed(&rig->conn, b.at, 20, fds, 2), AERO_OK);
	assert_int_equal(aero_vhost_user_wanted(&rig->conn), b.len - 20);
}

static void test_feed_send_failure_ends_connection(void **state)
{
	struct rig *rig = *state;

	rig->send_answer = AERO_EGONE;
	assert_int_equal(feed(rig, head(1, 1, 0)), AERO_EGONE);
	assert_int_equal(feed(rig, head(1, 1, 0)), AERO_ESTATE);
}

/* Fragments ----------------------------------------------------------------------------------- */

struct part {
	struct bytes b;
	unsigned int fd_count;
};

/* A whole life of a connection. */
static size_t session(struct part *parts)
{
	size_t n = 0;
	struct bytes config = head(24, 9, 12 + 16);

	put32(&config, 0);
	put32(&config, 16);
	put32(&config, 0);
	config.len += 16;
	parts[n++] = (struct part){ head(1, 1, 0), 0 };
	parts[n++] = (struct part){ head(15, 1, 0), 0 };
	parts[n++] = (struct part){ with_u64(16, 1, ALL_PROTOCOL_FEATURES), 0 };
	parts[n++] = (struct part){ head(3, FLAG_ACK, 0), 0 };
	parts[n++] = (struct part){ with_u64(2, FLAG_ACK, 0x140000001), 0 };
	parts[n++] = (struct part){ with_table(FLAG_ACK, 2), 2 };
	parts[n++] = (struct part){ config, 0 };
	parts[n++] = (struct part){ with_state(8, 1, 1, 64), 0 };
	parts[n++] = (struct part){ with_state(10, 1, 1, 7), 0 };
	parts[n++] = (struct part){ with_addr(1, 0, 0x1000, 0x3000, 0x2000), 0 };
	parts[n++] = (struct part){ with_u64(12, 1, 1), 1 };
	parts[n++] = (struct part){ with_u64(13, 1, 1), 1 };
	parts[n++] = (struct part){ with_state(18, FLAG_ACK, 1, 1), 0 };
	parts[n++] = (struct part){ with_region(37, 1), 1 };
	parts[n++] = (struct part){ with_state(11, 1, 1, 0), 0 };
	return n;
}

/* Feeds a message cut at the given places, descriptors with its first byte. */
static void feed_cut(struct rig *rig, const struct part *part, size_t first, size_t step)
{
	int fds[8] = { 0 };
	unsigned int fd_count = part->fd_count;
	size_t at = 0;

	for (unsigned int i = 0; i < fd_count; i++)
		fds[i] = new_fd();
	while (at < part->b.len) {
		size_t n = at ? step : first;

		if (n > part->b.len - at)
			n = part->b.len - at;
		assert_int_equal(aero_vhost_user_feed(&rig->conn, part->b.at + at, n, fds,
						      at ? 0 : fd_count),
				 AERO_OK);
		at += n;
	}
}

static void run_session(struct rig *rig, size_t first, size_t step)
{
	struct part parts[20];
	size_t count = session(parts);

	rig_open(rig);
	rig->stop_base = 9;
	for (size_t i = 0; i < 16; i++)
		rig->config[i] = (uint8_t)(0xa0 + i);
	for (size_t i = 0; i < count; i++)
		feed_cut(rig, &parts[i], first, step);
	rig_close(rig);
}

static void test_feed_cut_anywhere_is_the_same(void **state)
{
	static struct rig whole;
	static struct rig cut;

	(void)state;
	run_session(&whole, 1024, 1024);
	assert_string_equal(whole.lines, "");
	assert_string_equal(
		whole.calls,
		"set_features 0x100000001\n"
		"set_memory 2 gpa=0 bytes=0x100000 uva=0x7f0000000000 offset=0 fd=open"
		" gpa=0x100000 bytes=0x100000 uva=0x7f0000100000 offset=0x100000 fd=open\n"
		"get_config 0 16\n"
		"start 1 size=64 base=0x7 desc=0x1000 avail=0x2000 used=0x3000 kick=fd\n"
		"enable 1\n"
		"add_memory gpa=0x100000 bytes=0x200000 uva=0x7f1234500000 offset=0x3000 fd=open\n"
		"stop 1\n");
	assert_int_equal(whole.out_len, 20 * 2 + 20 * 4 + 40 + 20);
	for (size_t first = 1; first < 90; first++) {
		run_session(&cut, first, 1024);
		assert_string_equal(cut.calls, whole.calls);
		assert_int_equal(cut.out_len, whole.out_len);
		assert_memory_equal(cut.out, whole.out, whole.out_len);
	}
	run_session(&cut, 1, 1);
	assert_string_equal(cut.calls, whole.calls);
	assert_memory_equal(cut.out, whole.out, whole.out_len);
}

static void test_feed_several_messages_at_once(void **state)
{
	struct rig *rig = *state;
	struct bytes b = head(15, 1, 0);
	struct bytes second = head(1, 1, 0);

	memcpy(b.at + b.len, second.at, second.len);
	b.len += second.len;
	feed_ok(rig, b, 0);
	assert_int_equal(rig->out_len, 40);
	assert_int_equal(rig->out[0], 15);
	assert_int_equal(rig->out[20], 1);
}

static void test_wanted_never_passes_the_message(void **state)
{
	struct rig *rig = *state;
	struct bytes b = with_table(1, 3);
	int fds[3] = { new_fd(), new_fd(), new_fd() };

	assert_int_equal(aero_vhost_user_wanted(&rig->conn), 12);
	assert_int_equal(aero_vhost_user_feed(&rig->conn, b.at, 7, fds, 3), AERO_OK);
	assert_int_equal(aero_vhost_user_wanted(&rig->conn), 5);
	assert_int_equal(aero_vhost_user_feed(&rig->conn, b.at + 7, 5, NULL, 0), AERO_OK);
	assert_int_equal(aero_vhost_user_wanted(&rig->conn), 8 + 3 * 32);
	assert_int_equal(aero_vhost_user_feed(&rig->conn, b.at + 12, b.len - 12, NULL, 0), AERO_OK);
	assert_int_equal(aero_vhost_user_wanted(&rig->conn), 12);
}

/* Features ------------------------------------------------------------------------------------ */

static void test_get_features_masks_transport_bits(void **state)
{
	struct rig *rig = *state;

	feed_ok(rig, head(1, 1, 0), 0);
	expect_u64(rig, 1, 0x53000003f | 1ull << 30);
}

static void test_get_protocol_features_offers_nine(void **state)
{
	struct rig *rig = *state;

	feed_ok(rig, head(15, 1, 0), 0);
	expect_u64(rig, 15, ALL_PROTOCOL_FEATURES);
}

static void test_set_features_subset_reaches_device(void **state)
{
	struct rig *rig = *state;

	feed_ok(rig, with_u64(2, 1, 0x100000003 | 1ull << 30), 0);
	assert_string_equal(rig->calls, "set_features 0x100000003\n");
	assert_int_equal(rig->conn.features, 0x100000003);
	assert_int_equal(rig->out_len, 0);
}

static void test_set_features_not_offered_refused(void **state)
{
	static const unsigned int bits[] = { 6, 26, 31, 33, 35, 63 };

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(bits); i++) {
		struct rig rig;

		rig_open(&rig);
		feed_violation(&rig, with_u64(2, 1, 1ull << bits[i] | 1), 0, "were not offered");
		assert_string_equal(rig.calls, "");
		rig_close(&rig);
	}
}

static void test_set_features_refused_by_device_keeps_old(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	rig->answer = AERO_ESTATE;
	feed_ok(rig, with_u64(2, FLAG_ACK, 3), 0);
	expect_u64(rig, 2, 1);
	assert_int_equal(rig->conn.features, 0x100000001);
}

static void test_set_protocol_features_not_offered_refused(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < 64; bit++) {
		struct rig rig;

		if (ALL_PROTOCOL_FEATURES >> bit & 1)
			continue;
		rig_open(&rig);
		feed_violation(&rig, with_u64(16, 1, 1ull << bit), 0, "were not offered");
		rig_close(&rig);
	}
}

static void test_set_protocol_features_in_band_alone_refused(void **state)
{
	static const uint64_t words[] = { 1 << 14, 1 << 14 | 1 << 3, 1 << 14 | 1 << 5 };

	(void)state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(words); i++) {
		struct rig rig;

		rig_open(&rig);
		feed_violation(&rig, with_u64(16, 1, words[i]), 0,
			       "INBAND_NOTIFICATIONS without BACKEND_REQ and REPLY_ACK");
		rig_close(&rig);
	}
}

/* REPLY_ACK ----------------------------------------------------------------------------------- */

static void test_need_reply_without_reply_ack_ignored(void **state)
{
	struct rig *rig = *state;

	feed_ok(rig, head(3, FLAG_ACK, 0), 0);
	assert_int_equal(rig->out_len, 0);
}

static void test_need_reply_success_answers_zero(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	feed_ok(rig, head(3, FLAG_ACK, 0), 0);
	expect_u64(rig, 3, 0);
	feed_ok(rig, with_table(FLAG_ACK, 1), 1);
	expect_u64(rig, 5, 0);
}

static void test_need_reply_not_set_answers_nothing(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	feed_ok(rig, head(3, 1, 0), 0);
	feed_ok(rig, with_table(1, 1), 1);
	assert_int_equal(rig->out_len, 0);
}

static void test_need_reply_on_own_reply_answers_once(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	feed_ok(rig, head(17, FLAG_ACK, 0), 0);
	expect_u64(rig, 17, 5);
}

static void test_need_reply_counts_from_the_message_that_negotiates_it(void **state)
{
	struct rig *rig = *state;

	feed_ok(rig, with_u64(16, FLAG_ACK, 1 << 3), 0);
	expect_u64(rig, 16, 0);
	feed_ok(rig, with_u64(16, FLAG_ACK, 0), 0);
	assert_int_equal(rig->out_len, 0);
}

static void test_refusal_with_need_reply_keeps_connection(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	rig->answer = AERO_EINVAL;
	feed_ok(rig, with_table(FLAG_ACK, 1), 1);
	expect_u64(rig, 5, 1);
	assert_non_null(strstr(rig->lines, "SET_MEM_TABLE: "));
	assert_null(strstr(rig->lines, "connection closed"));
	rig->answer = AERO_OK;
	feed_ok(rig, with_table(FLAG_ACK, 1), 1);
	expect_u64(rig, 5, 0);
}

static void test_refusal_without_need_reply_ends_connection(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	rig->answer = AERO_EINVAL;
	assert_int_equal(feed_fds(rig, with_table(1, 1), 1), AERO_EINVAL);
	assert_int_equal(rig->out_len, 0);
	assert_non_null(strstr(rig->lines, "SET_MEM_TABLE: "));
	assert_non_null(strstr(rig->lines, "; connection closed"));
	assert_int_equal(feed(rig, head(1, 1, 0)), AERO_ESTATE);
}

static void test_refusal_as_protocol_error_is_still_a_refusal(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	rig->answer = AERO_EPROTO;
	feed_ok(rig, with_table(FLAG_ACK, 1), 1);
	expect_u64(rig, 5, 1);
}

static void test_violation_with_need_reply_gets_no_reply(void **state)
{
	struct rig *rig = *state;

	negotiate(rig);
	feed_violation(rig, with_state(8, FLAG_ACK, 5, 128), 0,
		       "SET_VRING_NUM: index is 5, there are 5 rings");
}

static void test_refusals_without_end_close(void **state)
{
	struct rig *rig = *state;
	int answered = 0;

	negotiate(rig);
	rig->answer = AERO_EINVAL;
	while (answered < 1000 && feed_fds(rig, with_table(FLAG_ACK, 1), 1) == AERO_OK) {
		expect_u64(rig, 5, 1);
		answered++;
	}
	assert_int_equal(answered, 100);
	assert_non_null(strstr(rig->lines, "more than 100 messages were refused"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_header_size_outside_rule_refused),
		CASE(test_header_request_not_offered_refused),
		CASE(test_header_request_unknown_refused),
		CASE(test_header_flags_wrong_refused),
		CASE(test_message_without_its_feature_refused),
		CASE(test_message_descriptor_count_wrong_refused),
		CASE(test_feed_more_than_eight_descriptors_refused),
		CASE(test_feed_descriptors_add_up_within_a_message),
		CASE(test_feed_empty_does_nothing),
		CASE(test_feed_after_failure_closes_descriptors),
		CASE(test_fini_mid_message_closes_descriptors),
		CASE(test_feed_send_failure_ends_connection),
		CASE(test_feed_cut_anywhere_is_the_same),
		CASE(test_feed_several_messages_at_once),
		CASE(test_wanted_never_passes_the_message),
		CASE(test_get_features_masks_transport_bits),
		CASE(test_get_protocol_features_offers_nine),
		CASE(test_set_features_subset_reaches_device),
		CASE(test_set_features_not_offered_refused),
		CASE(test_set_features_refused_by_device_keeps_old),
		CASE(test_set_protocol_features_not_offered_refused),
		CASE(test_set_protocol_features_in_band_alone_refused),
		CASE(test_need_reply_without_reply_ack_ignored),
		CASE(test_need_reply_success_answers_zero),
		CASE(test_need_reply_not_set_answers_nothing),
		CASE(test_need_reply_on_own_reply_answers_once),
		CASE(test_need_reply_counts_from_the_message_that_negotiates_it),
		CASE(test_refusal_with_need_reply_keeps_connection),
		CASE(test_refusal_without_need_reply_ends_connection),
		CASE(test_refusal_as_protocol_error_is_still_a_refusal),
		CASE(test_violation_with_need_reply_gets_no_reply),
		CASE(test_refusals_without_end_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
