/* SPDX-License-Identifier: MIT */
/* The VMware host written down and read back. */
#include "test_vmware_host_case.h"

#define IDLE AERO_LEDGER_IDLE_NS_DEFAULT

/* Something of everything: frames of both sizes, some back, refusals, a doorbell, a target. */
static void work(struct vmware_host_rig *rig)
{
	vmware_host_rig_target(rig, 5000);
	(void)vmware_host_rig_call(rig, CMD(GET_TARGET), 65536, 0);
	(void)vmware_host_rig_batch(rig, CMD(BATCHED_LOCK), 1000, 1, 400);
	(void)vmware_host_rig_batch(rig, CMD(BATCHED_2M_LOCK), 32768 - 1024, 512, 4);
	(void)vmware_host_rig_batch(rig, CMD(BATCHED_UNLOCK), 1100, 3, 60);
	(void)vmware_host_rig_batch(rig, CMD(BATCHED_2M_UNLOCK), 32768 - 512, 512, 2);
	(void)vmware_host_rig_call(rig, CMD(LOCK), 1000, 1);
	(void)vmware_host_rig_call(rig, CMD(UNLOCK), 9, 1);
	(void)vmware_host_rig_call(rig, 12, 9, 1);
}

static void quiesce(struct vmware_host_rig *rig)
{
	vmware_host_rig_pause(rig, true);
	vmware_host_rig_run(rig);
	case_check(rig);
}

static void save(struct vmware_host_rig *rig, struct test_stream *stream)
{
	test_stream_init(stream);
	assert_int_equal(aero_vmware_host_save(&rig->dev, &stream->sink), AERO_OK);
}

static enum aero_status restore(struct vmware_host_rig *rig, struct test_stream *stream)
{
	stream->at = 0;
	return aero_vmware_host_restore(&rig->dev, &stream->source);
}

static void test_save_needs_a_drained_host(void **state)
{
	struct vmware_host_rig *rig = *state;
	struct test_stream stream;

	test_stream_init(&stream);
	assert_int_equal(aero_vmware_host_save(&rig->dev, &stream.sink), AERO_ESTATE);
	work(rig);
	vmware_host_rig_pause(rig, true);
	assert_int_equal(aero_vmware_host_save(&rig->dev, &stream.sink), AERO_ESTATE);
	vmware_host_rig_run(rig);
	assert_int_equal(stream.len, 0);
	assert_int_equal(aero_vmware_host_save(&rig->dev, &stream.sink), AERO_OK);
	assert_true(stream.len > 0);
	test_stream_fini(&stream);
}

static void test_restored_it_goes_on_the_same(void **state)
{
	struct vmware_host_rig *rig = *state;
	struct aero_vmware_host_counters counters;
	struct aero_ledger_counters ledger;
	struct aero_vmware_host_report before;
	struct aero_vmware_host_report after;
	struct test_stream stream;

	work(rig);
	quiesce(rig);
	before = case_report(rig);
	counters = rig->dev.counters;
	ledger = rig->dev.ledger.counters;
	save(rig, &stream);
	vmware_host_rig_replace(rig);
	assert_int_equal(restore(rig, &stream), AERO_OK);
	assert_int_equal(stream.at, stream.len);
	/* What cannot be discarded is looked at once more. */
	vmware_host_rig_run(rig);
	after = case_report(rig);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_memory_equal(&counters, &rig->dev.counters, sizeof(counters));
	assert_memory_equal(&ledger, &rig->dev.ledger.counters, sizeof(ledger));
	case_check(rig);
	assert_int_equal(call(rig, CMD(LOCK), 20000, 1), AERO_VMWARE_BUSY);
	rig->rings = 0;
	vmware_host_rig_pause(rig, false);
	assert_int_equal(rig->rings, 1);
	assert_int_equal(rig->ring_resource, VMWARE_RIG_RESOURCE);
	assert_int_equal(call(rig, CMD(LOCK), 1000, 1), AERO_VMWARE_PPN_LOCKED);
	assert_int_equal(batch(rig, CMD(BATCHED_2M_UNLOCK), 32768 - 1024, 512, 1), 0);
	/* Returned before the save is known as such. */
	assert_int_equal(call(rig, CMD(UNLOCK), 1100, 1), AERO_VMWARE_PPN_UNLOCKED);
	assert_int_equal(rig->dev.ledger.counters.returned_twice, ledger.returned_twice + 1);
	case_pass(rig, IDLE);
	case_check(rig);
	test_stream_fini(&stream);
}

static void test_reset_wanted_survives(void **state)
{
	struct vmware_host_rig *rig = *state;
	struct test_stream stream;

	work(rig);
	vmware_host_rig_reset(rig);
	quiesce(rig);
	save(rig, &stream);
	vmware_host_rig_replace(rig);
	assert_int_equal(restore(rig, &stream), AERO_OK);
	vmware_host_rig_pause(rig, false);
	assert_int_equal(call(rig, CMD(GET_TARGET), 1, 0), AERO_VMWARE_RESET);
	test_stream_fini(&stream);
}

static void test_inhibited_it_stays_inhibited(void **state)
{
	struct vmware_host_rig *rig = *state;
	struct test_stream stream;

	aero_vmware_host_inhibit(&rig->dev, AERO_INHIBIT_MIGRATION);
	work(rig);
	quiesce(rig);
	save(rig, &stream);
	vmware_host_rig_replace(rig);
	assert_int_equal(restore(rig, &stream), AERO_OK);
	vmware_host_rig_pause(rig, false);
	case_pass(rig, 10 * IDLE);
	assert_int_equal(rig->host.discards, 0);
	assert_int_equal(case_report(rig).inhibited, AERO_INHIBIT_MIGRATION);
	assert_true(case_report(rig).pending_frames > 0);
	aero_vmware_host_inhibit(&rig->dev, 0);
	case_pass(rig, 10 * IDLE);
	assert_int_equal(case_report(rig).pending_frames, 0);
	test_stream_fini(&stream);
}

static void test_without_a_guest_too(void **state)
{
	struct vmware_host_rig *rig = *state;
	struct test_stream stream;

	vmware_host_rig_target(rig, 77);
	quiesce(rig);
	save(rig, &stream);
	vmware_host_rig_replace(rig);
	assert_int_equal(restore(rig, &stream), AERO_OK);
	case_check(rig);
	assert_int_equal(case_report(rig).target_frames, 77);
	test_stream_fini(&stream);
}

/* After a stream that was refused the host is as after init(). */
static void check_fresh(struct vmware_host_rig *rig)
{
	struct aero_vmware_host_report report = case_report(rig);

	assert_int_equal(aero_vmware_host_validate(&rig->dev), AERO_OK);
	assert_int_equal(rig->host.live_nodes, 0);
	assert_int_equal(report.target_frames, 0);
	assert_int_equal(report.actual_frames, 0);
	assert_int_equal(report.capabilities, 0);
	assert_false(report.is_live);
	assert_false(report.is_quiesced);
	assert_int_equal(rig->dev.counters.starts, 0);
	assert_int_equal(rig->dev.ledger.counters.given, 0);
}

/* The host that a changed stream made, if it made one, holds together and can be used. */
static void use_restored(struct vmware_host_rig *rig)
{
	uint64_t told;

	assert_int_equal(aero_vmware_host_validate(&rig->dev), AERO_OK);
	rig->host.is_lax = true;
	aero_vmware_host_resume(&rig->dev);
	(void)aero_vmware_host_set_target(&rig->dev, 1, &told);
	vmware_host_rig_run(rig);
	assert_int_equal(aero_vmware_host_validate(&rig->dev), AERO_OK);
}

static struct vmware_host_rig *open_saved(struct vmware_host_rig_options *options,
					  struct test_stream *stream)
{
	struct vmware_host_rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	vmware_host_rig_open(rig, options);
	vmware_host_rig_start(rig, 0x3e);
	work(rig);
	quiesce(rig);
	save(rig, stream);
	vmware_host_rig_replace(rig);
	return rig;
}

static void close_rig(struct vmware_host_rig *rig)
{
	vmware_host_rig_close(rig);
	free(rig);
}

static void test_streams_with_a_byte_flipped_are_refused_or_whole(void **state)
{
	static const uint8_t flips[] = { 1, 0x80, 0xff };
	struct test_stream stream;
	struct vmware_host_rig *rig = open_saved(*state, &stream);
	unsigned int refused = 0;

	for (size_t at = 0; at < stream.len; at++) {
		for (size_t f = 0; f < TEST_ARRAY_SIZE(flips); f++) {
			enum aero_status status;

			stream.bytes[at] ^= flips[f];
			status = restore(rig, &stream);
			if (status == AERO_OK) {
				use_restored(rig);
				vmware_host_rig_replace(rig);
			} else {
				assert_int_equal(status, AERO_EPROTO);
				check_fresh(rig);
				refused++;
			}
			stream.bytes[at] ^= flips[f];
		}
	}
	print_message("# %u of %u refused\n", refused, 3 * (unsigned int)stream.len);
	assert_true(refused > stream.len / 2);
	test_stream_fini(&stream);
	close_rig(rig);
}

static void test_streams_that_end_early_are_refused(void **state)
{
	struct test_stream stream;
	struct vmware_host_rig *rig = open_saved(*state, &stream);
	size_t len = stream.len;

	for (stream.len = 0; stream.len < len; stream.len++) {
		assert_int_equal(restore(rig, &stream), AERO_EPROTO);
		check_fresh(rig);
	}
	assert_int_equal(restore(rig, &stream), AERO_OK);
	test_stream_fini(&stream);
	close_rig(rig);
}

static void test_failing_streams_are_passed_on(void **state)
{
	struct test_stream stream;
	struct vmware_host_rig *rig = open_saved(*state, &stream);

	for (size_t at = 1; at < stream.len; at += 7) {
		stream.fail_after = at;
		assert_int_equal(restore(rig, &stream), AERO_EIO);
		check_fresh(rig);
	}
	stream.fail_after = 0;
	for (uint64_t nth = 1; nth <= 6; nth++) {
		host_double_fail(&rig->host, HOST_DOUBLE_NODE, nth, true);
		assert_int_equal(restore(rig, &stream), AERO_ENOMEM);
		check_fresh(rig);
	}
	host_double_fail(&rig->host, 0, 0, false);
	assert_int_equal(restore(rig, &stream), AERO_OK);
	/* And on the way out. */
	for (size_t at = 1; at < stream.len; at += 7) {
		struct test_stream out;

		test_stream_init(&out);
		out.fail_after = at;
		assert_int_equal(aero_vmware_host_save(&rig->dev, &out.sink), AERO_EIO);
		test_stream_fini(&out);
	}
	assert_int_equal(aero_vmware_host_validate(&rig->dev), AERO_OK);
	test_stream_fini(&stream);
	close_rig(rig);
}

static void test_a_stream_has_to_fit_the_host(void **state)
{
	static struct vmware_host_rig_options others[] = {
		{ .refused = CAP(SIGNALLED_WAKEUP) },
		{ .refused = CAP(BATCHED_2M) },
		{ .has_no_doorbell = true },
		{ .is_old = true },
		{ .frames = 2048 },
	};
	struct test_stream stream;
	struct vmware_host_rig *rig = open_saved(NULL, &stream);

	(void)state;
	close_rig(rig);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(others); i++) {
		rig = calloc(1, sizeof(*rig));
		assert_non_null(rig);
		vmware_host_rig_open(rig, &others[i]);
		assert_int_equal(restore(rig, &stream), AERO_EPROTO);
		check_fresh(rig);
		close_rig(rig);
	}
	test_stream_fini(&stream);
}

static void test_validate_sees_what_is_wrong(void **state)
{
	struct vmware_host_rig *rig = *state;
	struct aero_vmware_host *dev = &rig->dev;

	work(rig);
#define WRONG(field, value)                                                  \
	do {                                                                 \
		uint64_t kept = (uint64_t)dev->field;                        \
		dev->field = (value);                                        \
		assert_int_equal(aero_vmware_host_validate(dev), AERO_EBUG); \
		dev->field = kept;                                           \
		assert_int_equal(aero_vmware_host_validate(dev), AERO_OK);   \
	} while (0)
	WRONG(capabilities, 0x3f);
	WRONG(capabilities, 0x0e);
	WRONG(is_live, false);
	WRONG(target, (1ull << 40) + 1);
	WRONG(inhibited, 1);
	WRONG(told, 1);
	WRONG(counters.failed[3], 1000);
	WRONG(counters.locked_4k, 0);
	WRONG(counters.unlocked_2m, 7);
	WRONG(ledger.held.count, 5);
}

int main(void)
{
	static struct vmware_host_rig_options huge = { .backing = { 9, 9 } };
	static struct vmware_host_rig_options old = { .is_old = true };
	const struct CMUnitTest tests[] = {
		CASE(test_save_needs_a_drained_host, NULL),
		CASE(test_restored_it_goes_on_the_same, NULL),
		CASE(test_restored_it_goes_on_the_same, &huge),
		CASE(test_reset_wanted_survives, NULL),
		CASE(test_inhibited_it_stays_inhibited, NULL),
		CASE_OPEN(test_without_a_guest_too, NULL),
		CASE(test_without_a_guest_too, &old),
		cmocka_unit_test(test_streams_with_a_byte_flipped_are_refused_or_whole),
		cmocka_unit_test(test_streams_that_end_early_are_refused),
		cmocka_unit_test(test_failing_streams_are_passed_on),
		cmocka_unit_test(test_a_stream_has_to_fit_the_host),
		CASE(test_validate_sees_what_is_wrong, NULL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
