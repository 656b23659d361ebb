/* SPDX-License-Identifier: MIT */
/* The ledger written down and read back, with want of memory at every node, and what it uses. */
#include "test_ledger_rig.h"

#include "support/random.h"

#define TIB_FRAMES (1ull << 28)
#define LEAF AERO_FRAME_SET_LEAF_FRAMES

/* Frames of every kind: pending, discarded, returned, a ready block. */
static void fill(struct ledger_rig *rig)
{
	rig_give(rig, 100, 300);
	rig_give(rig, 33000, 2000);
	rig_discard_whole(rig);
	rig_discard_rest(rig);
	rig_take(rig, 150, 20);
	rig_take(rig, 60000, 3);
	rig_give(rig, 5000, 77);
	rig_give(rig, 1024, 512);
	rig_give(rig, RIG_FRAMES, 2);
}

static void assert_same(const struct aero_ledger *a, const struct aero_ledger *b)
{
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(aero_ledger_held(a), aero_ledger_held(b));
	assert_int_equal(aero_ledger_pending(a), aero_ledger_pending(b));
	assert_int_equal(aero_ledger_bytes(a), aero_ledger_bytes(b));
	assert_memory_equal(&a->counters, &b->counters, sizeof(a->counters));
	assert_int_equal(aero_ledger_validate(b), AERO_OK);
}

static void save(const struct aero_ledger *ledger, struct test_stream *stream)
{
	test_stream_init(stream);
	assert_int_equal(aero_ledger_save(ledger, &stream->sink), AERO_OK);
}

/* A second ledger on the host of the first. */
static void open_twin(struct ledger_rig *rig, struct aero_ledger *twin)
{
	struct aero_ledger_config config = { &rig->host.memory, rig->host.nodes, 0 };

	assert_int_equal(aero_ledger_init(twin, &config), AERO_OK);
}

static void test_restore_answers_what_was_saved(void **state)
{
	struct ledger_rig *rig = *state;
	struct aero_ledger twin;
	struct test_stream stream;

	fill(rig);
	save(&rig->ledger, &stream);
	open_twin(rig, &twin);
	assert_int_equal(aero_ledger_restore(&twin, &stream.source), AERO_OK);
	assert_int_equal(stream.at, stream.len);
	assert_same(&rig->ledger, &twin);
	/* What was pending is due, and goes out as it would have. */
	assert_true(aero_ledger_due_ns(&twin) <= AERO_LEDGER_IDLE_NS_DEFAULT);
	assert_true(aero_ledger_discard_whole(&twin));
	assert_true(aero_ledger_discard_rest(&twin));
	assert_false(aero_ledger_discard_rest(&twin));
	assert_int_equal(aero_ledger_pending(&twin), 0);
	/* Returned is remembered as returned, not as never given. */
	assert_int_equal(aero_ledger_take(&twin, range(150, 20)), AERO_EDUP);
	aero_ledger_fini(&twin);
	test_stream_fini(&stream);
}

static void test_restore_forgets_what_was_there(void **state)
{
	struct ledger_rig *rig = *state;
	struct test_stream stream;

	save(&rig->ledger, &stream);
	fill(rig);
	assert_int_equal(aero_ledger_restore(&rig->ledger, &stream.source), AERO_OK);
	assert_int_equal(aero_ledger_held(&rig->ledger), 0);
	assert_int_equal(rig->ledger.counters.given, 0);
	assert_int_equal(rig->host.live_nodes, 0);
	test_stream_fini(&stream);
}

/* The stream is the same on every machine: the head and the counters, le64 each. */
static void test_save_begins_with_version_mode_and_counters(void **state)
{
	static const uint8_t head[] = {
		1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* version, COLLECT */
		3, 0, 0, 0, 0, 0, 0, 0,				/* given */
	};
	struct ledger_rig *rig = *state;
	struct test_stream stream;

	rig_give(rig, 7, 3);
	save(&rig->ledger, &stream);
	assert_true(stream.len > sizeof(head));
	assert_memory_equal(stream.bytes, head, sizeof(head));
	test_stream_fini(&stream);
}

static void assert_empty(const struct aero_ledger *ledger)
{
	static const struct aero_ledger_counters none;

	assert_int_equal(aero_ledger_held(ledger), 0);
	assert_int_equal(aero_ledger_bytes(ledger), 0);
	assert_memory_equal(&ledger->counters, &none, sizeof(none));
	assert_int_equal(aero_ledger_validate(ledger), AERO_OK);
}

static void test_restore_of_every_shorter_stream_is_refused(void **state)
{
	struct ledger_rig *rig = *state;
	struct aero_ledger twin;
	struct test_stream stream;
	size_t len;

	fill(rig);
	save(&rig->ledger, &stream);
	open_twin(rig, &twin);
	for (len = stream.len; len--;) {
		stream.len = len;
		stream.at = 0;
		assert_int_equal(aero_ledger_restore(&twin, &stream.source), AERO_EPROTO);
		assert_empty(&twin);
	}
	aero_ledger_fini(&twin);
	test_stream_fini(&stream);
}

/* Whatever the bytes say: refused, or a ledger that holds and can be used. */
static void test_restore_with_any_byte_changed_is_refused_or_valid(void **state)
{
	static const uint8_t flips[] = { 0x01, 0x80, 0xff };
	struct ledger_rig *rig = *state;
	struct aero_ledger twin;
	struct test_stream stream;
	unsigned int refused = 0;

	fill(rig);
	save(&rig->ledger, &stream);
	open_twin(rig, &twin);
	for (size_t i = 0; i < stream.len * TEST_ARRAY_SIZE(flips); i++) {
		enum aero_status status;
		uint8_t *byte = &stream.bytes[i / TEST_ARRAY_SIZE(flips)];

		*byte ^= flips[i % TEST_ARRAY_SIZE(flips)];
		stream.at = 0;
		status = aero_ledger_restore(&twin, &stream.source);
		*byte ^= flips[i % TEST_ARRAY_SIZE(flips)];
		assert_true(status == AERO_OK || status == AERO_EPROTO);
		assert_int_equal(aero_ledger_validate(&twin), AERO_OK);
		if (status == AERO_EPROTO)
			assert_empty(&twin);
		refused += status == AERO_EPROTO;
		aero_ledger_take(&twin, range(0, RIG_FRAMES));
		assert_int_equal(aero_ledger_held(&twin), 0);
		assert_int_equal(aero_ledger_validate(&twin), AERO_OK);
	}
	/* The version, the mode, and the heads of the sets are not for changing. */
	assert_true(refused > 16);
	aero_ledger_fini(&twin);
	test_stream_fini(&stream);
}

static void test_restore_outside_memory_is_refused(void **state)
{
	struct ledger_rig *rig = *state;
	struct test_stream stream;

	fill(rig);
	save(&rig->ledger, &stream);
	host_double_clear(&rig->host, range(33500, 1), HOST_DOUBLE_RAM);
	assert_int_equal(aero_ledger_restore(&rig->ledger, &stream.source), AERO_EPROTO);
	assert_empty(&rig->ledger);
	test_stream_fini(&stream);
}

static void test_save_and_restore_pass_failures_on(void **state)
{
	struct ledger_rig *rig = *state;
	struct test_stream stream;
	struct test_stream short_stream;

	fill(rig);
	save(&rig->ledger, &stream);
	for (size_t len = 1; len < stream.len; len++) {
		test_stream_init(&short_stream);
		short_stream.fail_after = len;
		assert_int_equal(aero_ledger_save(&rig->ledger, &short_stream.sink), AERO_EIO);
		test_stream_fini(&short_stream);
	}
	stream.fail_after = stream.len - 1;
	assert_int_equal(aero_ledger_restore(&rig->ledger, &stream.source), AERO_EIO);
	assert_empty(&rig->ledger);
	test_stream_fini(&stream);
}

static void test_restore_without_memory_leaves_it_empty(void **state)
{
	struct ledger_rig *rig = *state;
	struct test_stream stream;
	enum aero_status status = AERO_ENOMEM;
	uint64_t nth;

	fill(rig);
	save(&rig->ledger, &stream);
	for (nth = 1; status == AERO_ENOMEM; nth++) {
		host_double_fail(&rig->host, HOST_DOUBLE_NODE, nth, false);
		stream.at = 0;
		status = aero_ledger_restore(&rig->ledger, &stream.source);
		if (status == AERO_ENOMEM)
			assert_empty(&rig->ledger);
	}
	assert_int_equal(status, AERO_OK);
	assert_true(nth > 8);
	test_stream_fini(&stream);
}

/* Every call, and every frame of it in one counter, whatever fails. */
static void run_without_memory(struct ledger_rig *rig)
{
	struct aero_ledger_counters *c = &rig->ledger.counters;
	uint64_t given = 0;
	uint64_t taken = 0;

	for (aero_frame frame = 0; frame < RIG_FRAMES; frame += 9000) {
		rig_give(rig, frame + 100, 1500);
		rig_take(rig, frame + 700, 300);
		rig_give(rig, frame + 600, 500);
		rig_give(rig, frame + 20, 3);
		rig_discard_whole(rig);
		rig_take(rig, frame + 20, 1);
		rig_take(rig, frame + 600, 300);
		given += 2003;
		taken += 601;
		assert_int_equal(aero_ledger_validate(&rig->ledger), AERO_OK);
	}
	rig_discard_rest(rig);
	assert_int_equal(c->out_of_range, 0);
	assert_int_equal(c->given + c->given_twice + c->unrecorded, given);
	assert_int_equal(c->returned + c->returned_twice + c->never_given, taken);
	assert_int_equal(aero_ledger_held(&rig->ledger), c->given - c->returned);
	assert_string_equal(rig->host.violation, "");
	assert_int_equal(aero_ledger_validate(&rig->ledger), AERO_OK);
}

static void run_failing(const struct ledger_setting *setting, uint64_t nth, bool is_failing_on,
			uint64_t *out_failures)
{
	struct ledger_rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig_open(rig, setting->backing, RIG_FRAMES);
	aero_ledger_set_mode(&rig->ledger, setting->mode);
	host_double_fail(&rig->host, HOST_DOUBLE_NODE, nth, is_failing_on);
	run_without_memory(rig);
	*out_failures = rig->host.failures;
	host_double_fail(&rig->host, 0, 0, false);
	rig_close(rig);
	free(rig);
}

/* Each node that is asked for is refused once, alone, and with all after it. */
static void test_want_of_memory_at_every_node_loses_nothing(void **state)
{
	for (int on = 0; on < 2; on++) {
		uint64_t failures = 1;
		uint64_t nth;

		for (nth = 1; failures; nth++)
			run_failing(*state, nth, on, &failures);
		print_message("# %llu requests for nodes, failing %s\n",
			      (unsigned long long)nth - 2, on ? "from then on" : "once");
		assert_true(nth > 10);
	}
}

/* Frames that could not be recorded stay the guest's: nothing of them is discarded. */
static void test_give_without_memory_is_unrecorded(void **state)
{
	struct ledger_rig *rig = *state;

	host_double_fail(&rig->host, HOST_DOUBLE_NODE, 1, true);
	assert_int_equal(aero_ledger_give(&rig->ledger, range(0, 1000), RIG_NOW), AERO_ENOMEM);
	assert_int_equal(rig->ledger.counters.unrecorded, 1000);
	assert_int_equal(rig->ledger.counters.given, 0);
	assert_int_equal(rig_discard_whole(rig) + rig_discard_rest(rig), 0);
}

/* Held but not pending: discarded at once, where that frees anything. */
static void test_give_without_memory_for_pending_discards_at_once(void **state)
{
	struct ledger_rig *rig = *state;
	unsigned int order = rig->host.memory.backing.discard_order;

	/* Leaves of 2^15 frames exist in both sets below it, and in neither above. */
	rig_give(rig, 0, 1);
	rig_take(rig, 0, 1);
	rig_give(rig, LEAF, 512);
	rig_discard_whole(rig);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 0);
	host_double_fail(&rig->host, HOST_DOUBLE_NODE, 1, true);
	assert_int_equal(rig_give(rig, LEAF + 1024, 700), AERO_OK);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 0);
	assert_int_equal(rig_discarded(rig, LEAF + 1024, 700), order ? 512 : 700);
	assert_int_equal(rig->ledger.counters.dropped, order ? 188 : 0);
	host_double_fail(&rig->host, HOST_DOUBLE_NODE, 1, true);
	aero_ledger_inhibit(&rig->ledger, true);
	rig_give(rig, LEAF + 4096, 512);
	assert_int_equal(rig_discarded(rig, LEAF + 4096, 512), 0);
	assert_int_equal(rig->ledger.counters.dropped, (order ? 188 : 0) + 512);
}

/* Memory without states: the whole of 1 TiB is the guest's, and discards are not looked at. */
static uint64_t all_ram(void *ctx, struct aero_range r)
{
	(void)ctx;
	return r.first < TIB_FRAMES ? TIB_FRAMES - r.first : 0;
}

static void open_tib(struct ledger_rig *rig)
{
	rig_open(rig, (struct aero_backing){ 0, 0 }, 0);
	rig->host.is_lax = true;
	rig->host.memory.is_ram = all_ram;
	aero_ledger_set_mode(&rig->ledger, AERO_DISCARD_COLLECT);
}

static void report_tib(struct ledger_rig *rig, const char *order)
{
	uint64_t bytes = aero_ledger_bytes(&rig->ledger);

	print_message("# 1 TiB given %s: %.2f MiB of metadata, %.2f MiB at the most\n", order,
		      (double)bytes / 1048576,
		      (double)rig->host.peak_nodes * AERO_NODE_BYTES / 1048576);
	assert_int_equal(aero_ledger_held(&rig->ledger), TIB_FRAMES);
	assert_int_equal(aero_ledger_pending(&rig->ledger), 0);
	assert_true(bytes <= 33u << 20);
	rig_close(rig);
	free(rig);
}

static struct ledger_rig *new_tib(void)
{
	struct ledger_rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	open_tib(rig);
	return rig;
}

static void test_tib_in_order_needs_33_mib(void **state)
{
	struct ledger_rig *rig = new_tib();

	(void)state;
	for (aero_frame frame = 0; frame < TIB_FRAMES; frame += 4096) {
		aero_ledger_give(&rig->ledger, range(frame, 4096), RIG_NOW);
		rig_discard_whole(rig);
	}
	report_tib(rig, "in order");
}

/* One half of every leaf before the other, so that all of it is pending in parts for long. */
static void test_tib_in_halves_needs_33_mib_in_the_end(void **state)
{
	struct ledger_rig *rig = new_tib();

	(void)state;
	for (int half = 0; half < 2; half++) {
		for (aero_frame leaf = 0; leaf < TIB_FRAMES; leaf += LEAF)
			aero_ledger_give(&rig->ledger,
					 range(leaf + (half ? 300 : 0), half ? LEAF - 300 : 300),
					 RIG_NOW);
		if (half)
			rig_discard_whole(rig);
	}
	report_tib(rig, "in two parts per leaf");
}

/* The same with frames returned and given again: all three sets have all leaves in between. */
static void test_tib_with_returns_needs_33_mib_in_the_end(void **state)
{
	struct ledger_rig *rig = new_tib();

	(void)state;
	for (aero_frame leaf = 0; leaf < TIB_FRAMES; leaf += LEAF) {
		aero_ledger_give(&rig->ledger, range(leaf, 300), RIG_NOW);
		aero_ledger_take(&rig->ledger, range(leaf, 100));
	}
	for (aero_frame leaf = 0; leaf < TIB_FRAMES; leaf += LEAF)
		aero_ledger_give(&rig->ledger, range(leaf + 300, LEAF - 300), RIG_NOW);
	for (aero_frame leaf = 0; leaf < TIB_FRAMES; leaf += LEAF)
		aero_ledger_give(&rig->ledger, range(leaf, 100), RIG_NOW);
	rig_discard_whole(rig);
	report_tib(rig, "with returns in between");
}

int main(void)
{
	static struct ledger_setting huge = { { 9, 9 }, AERO_DISCARD_COLLECT };
	static struct ledger_setting ordinary = { { 0, 0 }, AERO_DISCARD_COLLECT };
	static struct ledger_setting request = { { 0, 0 }, AERO_DISCARD_REQUEST };
#define CASE(f, setting) \
	cmocka_unit_test_prestate_setup_teardown(f, rig_setup, rig_teardown, setting)
	const struct CMUnitTest tests[] = {
		CASE(test_restore_answers_what_was_saved, NULL),
		CASE(test_restore_forgets_what_was_there, NULL),
		CASE(test_save_begins_with_version_mode_and_counters, NULL),
		CASE(test_restore_of_every_shorter_stream_is_refused, NULL),
		CASE(test_restore_with_any_byte_changed_is_refused_or_valid, NULL),
		CASE(test_restore_with_any_byte_changed_is_refused_or_valid, &huge),
		CASE(test_restore_outside_memory_is_refused, NULL),
		CASE(test_save_and_restore_pass_failures_on, NULL),
		CASE(test_restore_without_memory_leaves_it_empty, NULL),
		cmocka_unit_test_prestate(test_want_of_memory_at_every_node_loses_nothing,
					  &ordinary),
		cmocka_unit_test_prestate(test_want_of_memory_at_every_node_loses_nothing, &huge),
		cmocka_unit_test_prestate(test_want_of_memory_at_every_node_loses_nothing,
					  &request),
		CASE(test_give_without_memory_is_unrecorded, NULL),
		CASE(test_give_without_memory_for_pending_discards_at_once, NULL),
		CASE(test_give_without_memory_for_pending_discards_at_once, &huge),
		cmocka_unit_test(test_tib_in_order_needs_33_mib),
		cmocka_unit_test(test_tib_in_halves_needs_33_mib_in_the_end),
		cmocka_unit_test(test_tib_with_returns_needs_33_mib_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
