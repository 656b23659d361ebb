/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hosted/node_pool.h"
#include "programs/aerostat/run_scenario.h"

/* The scenario with a machine that is none: its guest is a timer, its balloon a real ledger. */

#define MIB (1ull << 20)
#define MEMORY_BYTES (64 * MIB)
#define BALLOON_BYTES (16 * MIB)

/* What goes wrong; one thing at a time. */
enum trouble {
	NO_TROUBLE,
	START_FAILS,
	DIES_BOOTING,
	DIES_DIRTYING,
	DIES_INFLATING,
	REBOOTS,
	REFUSES_DIRTYING,
	FAILS_BY_ITSELF,
	NEVER_READY,
	NEVER_INFLATES,
	POWERS_ITSELF_OFF,
	COUNTS_WRONG,
	KEEPS_MEMORY,
	DISAGREES,
	SIGNALLED,
};

static struct {
	enum trouble trouble;
	bool is_mute; /* a guest that tells nothing of itself */
	unsigned int created, destroyed, closed, killed, powered_off, inspected;
	uint64_t dirtied_bytes;
	struct run_options options;
} plan;

struct double_machine {
	struct run_machine base;
	struct aero_node_pool nodes;
	struct aero_guest_memory memory;
	struct aero_ledger ledger;
	uint64_t target;
	uint8_t *bytes;
	uv_timer_t step;
	void (*next)(struct double_machine *machine);
	bool is_over;
};

static struct double_machine *of(struct run_machine *machine)
{
	return (struct double_machine *)machine;
}

static const struct run_machine_events *events_of(const struct double_machine *machine)
{
	return &machine->base.setting.events;
}

static void on_step(uv_timer_t *timer)
{
	struct double_machine *machine = timer->data;

	if (!machine->is_over)
		machine->next(machine);
}

static void later(struct double_machine *machine, void (*next)(struct double_machine *machine))
{
	machine->next = next;
	uv_timer_start(&machine->step, on_step, 1, 0);
}

static void end(struct double_machine *machine, enum aero_status status, const char *text)
{
	struct aero_error story = { .status = status };

	machine->is_over = true;
	snprintf(story.text, sizeof(story.text), "%s", text);
	events_of(machine)->ended(events_of(machine)->ctx, &story);
}

static void die(struct double_machine *machine)
{
	end(machine, AERO_EGONE, "the guest died");
}

/* Booting -------------------------------------------------------------------------------------- */

static void tell_ready(struct double_machine *machine)
{
	events_of(machine)->ready(events_of(machine)->ctx, "9.9-double");
}

static void boot(struct double_machine *machine)
{
	struct aero_error story = { .status = AERO_EIO, .text = "the bridge broke" };

	if (plan.trouble == DIES_BOOTING) {
		die(machine);
	} else if (plan.trouble == POWERS_ITSELF_OFF) {
		end(machine, AERO_OK, "");
	} else if (plan.trouble == FAILS_BY_ITSELF) {
		events_of(machine)->failed(events_of(machine)->ctx, &story);
	} else if (plan.trouble == SIGNALLED) {
		raise(SIGINT);
	} else if (plan.trouble != NEVER_READY) {
		tell_ready(machine);
	}
}

static bool double_start(struct run_machine *base, struct aero_error *error)
{
	if (plan.trouble == START_FAILS) {
		aero_error_set(error, AERO_EIO, "no such kernel");
		return false;
	}
	later(of(base), boot);
	return true;
}

/* Asking --------------------------------------------------------------------------------------- */

static void answer(struct double_machine *machine)
{
	struct run_answer answer = { .status = AERO_OK };

	if (!plan.is_mute)
		answer.memory = (struct run_guest_memory){ MEMORY_BYTES, MEMORY_BYTES / 2,
							   MEMORY_BYTES / 2 };
	events_of(machine)->answered(events_of(machine)->ctx, &answer);
}

static void answer_dirty(struct double_machine *machine)
{
	struct run_answer refusal = { .status = AERO_EREFUSED, .text = "no room" };

	memset(machine->bytes, 1, MEMORY_BYTES);
	if (plan.trouble == DIES_DIRTYING)
		die(machine);
	else if (plan.trouble == REBOOTS)
		tell_ready(machine);
	else if (plan.trouble == REFUSES_DIRTYING)
		events_of(machine)->answered(events_of(machine)->ctx, &refusal);
	else
		answer(machine);
}

static void answer_account(struct double_machine *machine)
{
	struct run_answer answer = {
		.status = AERO_OK,
		.has_frames = true,
		.frames = aero_ledger_held(&machine->ledger) + (plan.trouble == COUNTS_WRONG),
	};

	events_of(machine)->answered(events_of(machine)->ctx, &answer);
}

static void double_memory(struct run_machine *base)
{
	later(of(base), answer);
}

static void double_dirty(struct run_machine *base, uint64_t bytes)
{
	plan.dirtied_bytes = bytes;
	later(of(base), answer_dirty);
}

static void double_inspect(struct run_machine *base, enum run_phase after)
{
	static const enum run_phase order[] = { RUN_DIRTYING, RUN_INFLATING, RUN_DEFLATING };

	assert_true(plan.inspected < TEST_ARRAY_SIZE(order));
	assert_int_equal(after, order[plan.inspected]);
	plan.inspected++;
	later(of(base), answer_account);
}

/* The device ----------------------------------------------------------------------------------- */

/* A quarter of the way, or to the end of it. */
static void move(struct double_machine *machine)
{
	uint64_t held = aero_ledger_held(&machine->ledger);
	struct aero_range range = { held, 1024 };

	if (plan.trouble == DIES_INFLATING) {
		die(machine);
		return;
	}
	if (plan.trouble == NEVER_INFLATES)
		return;
	if (held < machine->target) {
		(void)aero_ledger_give(&machine->ledger, range, uv_hrtime());
	} else if (held > machine->target) {
		range.first = held - range.count;
		(void)aero_ledger_take(&machine->ledger, range);
	}
	while (aero_ledger_discard_rest(&machine->ledger))
		;
	if (aero_ledger_held(&machine->ledger) != machine->target)
		later(machine, move);
}

static void double_set_target(struct run_machine *base, uint64_t frames)
{
	of(base)->target = frames;
	later(of(base), move);
}

static void double_numbers(struct run_machine *base, struct run_machine_numbers *out)
{
	const struct double_machine *machine = of(base);
	uint64_t held = aero_ledger_held(&machine->ledger);

	*out = (struct run_machine_numbers){
		.target_frames = machine->target,
		.actual_frames = held,
		.ledger_frames = held,
		.requests = machine->ledger.counters.runs,
		.stall = AERO_HOST_STALL_SHORT,
		.is_reached = held == machine->target,
		.is_settled = aero_ledger_due_ns(&machine->ledger) == AERO_NEVER,
	};
}

static const struct aero_ledger *double_ledger(const struct run_machine *base)
{
	return &((const struct double_machine *)base)->ledger;
}

static const struct aero_guest_memory *double_guest_memory(const struct run_machine *base)
{
	return &((const struct double_machine *)base)->memory;
}

static void double_report(struct run_machine *base, struct run_result *result)
{
	(void)base;
	run_result_put(&result->counters, json_object());
	result->is_account_agreed = plan.trouble != DISAGREES;
}

/* Coming and going ----------------------------------------------------------------------------- */

static void make_memory(struct double_machine *machine)
{
	struct aero_guest_memory_config config = { NULL, NULL };
	struct aero_ledger_config ledger = {
		.memory = &machine->memory.host,
		.nodes = aero_node_pool_source(&machine->nodes),
	};

	machine->bytes = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(machine->bytes != MAP_FAILED);
	aero_guest_memory_init(&machine->memory, &config);
	assert_int_equal(aero_guest_memory_add_anonymous(&machine->memory, 0, machine->bytes,
							 MEMORY_BYTES),
			 AERO_OK);
	assert_int_equal(aero_ledger_init(&machine->ledger, &ledger), AERO_OK);
	aero_ledger_set_mode(&machine->ledger, plan.trouble == KEEPS_MEMORY ? AERO_DISCARD_NONE
									    : AERO_DISCARD_COLLECT);
}

static struct run_machine *double_create(const struct run_machine_setting *setting)
{
	struct double_machine *machine = calloc(1, sizeof(*machine));

	plan.created++;
	machine->base.kind = setting->options->kind;
	machine->base.setting = *setting;
	make_memory(machine);
	uv_timer_init(setting->loop, &machine->step);
	machine->step.data = machine;
	return &machine->base;
}

static void double_destroy(struct run_machine *base)
{
	struct double_machine *machine = of(base);

	plan.destroyed++;
	aero_ledger_fini(&machine->ledger);
	aero_guest_memory_fini(&machine->memory);
	aero_node_pool_fini(&machine->nodes);
	munmap(machine->bytes, MEMORY_BYTES);
	free(machine);
}

static void tell_killed(struct double_machine *machine)
{
	end(machine, AERO_EGONE, "the guest was killed");
}

static void double_kill(struct run_machine *base)
{
	plan.killed++;
	later(of(base), tell_killed);
}

static void tell_off(struct double_machine *machine)
{
	end(machine, AERO_OK, "");
}

static void double_power_off(struct run_machine *base, uint32_t timeout_ms)
{
	assert_true(timeout_ms > 0);
	plan.powered_off++;
	later(of(base), tell_off);
}

static void on_closed(uv_handle_t *handle)
{
	struct double_machine *machine = handle->data;

	events_of(machine)->closed(events_of(machine)->ctx);
}

static void double_close(struct run_machine *base)
{
	plan.closed++;
	uv_close((uv_handle_t *)&of(base)->step, on_closed);
}

static const struct run_kind talking_kind = {
	.name = "double",
	.system = "a double",
	.has_account = true,
	.create = double_create,
	.destroy = double_destroy,
	.start = double_start,
	.power_off = double_power_off,
	.kill = double_kill,
	.close = double_close,
	.memory = double_memory,
	.dirty = double_dirty,
	.inspect = double_inspect,
	.inspecting = "Asking the double",
	.set_target = double_set_target,
	.numbers = double_numbers,
	.ledger = double_ledger,
	.guest_memory = double_guest_memory,
	.report = double_report,
};

/* The tests ------------------------------------------------------------------------------------ */

static struct run_result result;
static struct run_samples samples;

/* Answers the signal that ended it. */
static int run(const struct run_kind *kind, enum trouble trouble)
{
	struct run_options options = {
		.kind = kind,
		.memory_bytes = MEMORY_BYTES,
		.balloon_bytes = BALLOON_BYTES,
		.timeout_ms = trouble == NEVER_READY || trouble == NEVER_INFLATES ? 50 : 5000,
		.is_spread = true,
	};
	struct run_view *view = run_view_open(stderr, true, MEMORY_BYTES);
	bool is_mute = plan.is_mute;
	int caught;

	memset(&plan, 0, sizeof(plan));
	memset(&result, 0, sizeof(result));
	plan.trouble = trouble;
	plan.is_mute = is_mute;
	caught = run_scenario(&options, view, &result, &samples);
	run_view_close(view, NULL);
	free(samples.at);
	memset(&samples, 0, sizeof(samples));
	run_result_clear(&result);
	/* Whatever happened, it is all over. */
	assert_int_equal(plan.created, plan.destroyed);
	assert_int_equal(plan.created, plan.closed);
	return caught;
}

static void check_failure(enum trouble trouble, enum run_phase reached, const char *text)
{
	assert_int_equal(run(&talking_kind, trouble), 0);
	if (!strstr(result.failure, text))
		fail_msg("\"%s\" is not in: %s", text, result.failure);
	assert_int_equal(result.reached, reached);
	assert_false(run_result_is_good(&result));
}

static void test_whole_scenario_is_good(void **state)
{
	(void)state;
	assert_int_equal(run(&talking_kind, NO_TROUBLE), 0);
	assert_string_equal(result.failure, "");
	assert_int_equal(result.reached, RUN_OVER);
	assert_true(run_result_is_good(&result));
	assert_string_equal(result.guest, "double");
	assert_string_equal(result.guest_kernel, "9.9-double");
	assert_string_equal(result.backing, "anonymous memory");
	assert_int_equal(result.actual_bytes, BALLOON_BYTES);
	assert_int_equal(result.ledger_bytes, BALLOON_BYTES);
	assert_int_equal(result.inflate.frames, BALLOON_BYTES / 4096);
	assert_int_equal(result.deflate.frames, BALLOON_BYTES / 4096);
	assert_int_equal(result.inflate.requests, 4);
	assert_int_equal(result.resident_before_bytes, MEMORY_BYTES);
	assert_int_equal(result.resident_inflated_bytes, MEMORY_BYTES - BALLOON_BYTES);
	assert_int_equal(result.resident_under_balloon_bytes, BALLOON_BYTES);
	assert_true(result.is_left_known);
	assert_int_equal(result.resident_left_bytes, 0);
	assert_int_equal(result.guest_inflated.free_bytes, MEMORY_BYTES / 2);
	assert_int_equal(plan.inspected, 3);
	assert_int_equal(plan.powered_off, 1);
	assert_int_equal(plan.killed, 0);
	/* Three quarters of the memory would not leave the guest enough: half of what is free. */
	assert_int_equal(plan.dirtied_bytes, MEMORY_BYTES / 4);
}

/* Nothing to ask: no memory, no account, and so nothing of them in the result. */
static void test_mute_guest_is_led_through_all_the_same(void **state)
{
	struct run_kind kind = talking_kind;

	(void)state;
	kind.memory = NULL;
	kind.inspect = NULL;
	kind.has_account = false;
	plan.is_mute = true;
	assert_int_equal(run(&kind, DISAGREES), 0);
	plan.is_mute = false;
	assert_string_equal(result.failure, "");
	assert_true(run_result_is_good(&result));
	assert_int_equal(result.guest_before.total_bytes, 0);
	assert_int_equal(plan.dirtied_bytes, MEMORY_BYTES / 4 * 3);
	assert_int_equal(plan.inspected, 0);
}

/* A device that keeps no account: what the guest reports and what is resident has to do. */
static void test_device_without_ledger(void **state)
{
	struct run_kind kind = talking_kind;

	(void)state;
	kind.ledger = NULL;
	assert_int_equal(run(&kind, NO_TROUBLE), 0);
	assert_string_equal(result.failure, "");
	assert_true(run_result_is_good(&result));
	assert_false(result.has_ledger);
	assert_int_equal(result.actual_bytes, BALLOON_BYTES);
	assert_int_equal(result.inflate.frames, BALLOON_BYTES / 4096);
	assert_int_equal(result.deflate.frames, BALLOON_BYTES / 4096);
	assert_int_equal(result.resident_under_balloon_bytes, BALLOON_BYTES);
	assert_int_equal(run(&kind, KEEPS_MEMORY), 0);
	assert_false(result.is_memory_freed);
	assert_false(run_result_is_good(&result));
	/* All of its memory is to be backed before. */
	plan.is_mute = true;
	assert_int_equal(run(&kind, NO_TROUBLE), 0);
	plan.is_mute = false;
	assert_int_equal(plan.dirtied_bytes, MEMORY_BYTES);
	assert_int_equal(run(&kind, NEVER_INFLATES), 0);
	assert_non_null(strstr(result.failure, "actual 0.0 MiB)"));
}

static void test_failures_of_the_guest_are_told_with_their_phase(void **state)
{
	(void)state;
	check_failure(START_FAILS, RUN_BOOTING, "no such kernel");
	check_failure(DIES_BOOTING, RUN_BOOTING, "the guest died");
	check_failure(POWERS_ITSELF_OFF, RUN_BOOTING, "powered itself off");
	check_failure(DIES_DIRTYING, RUN_DIRTYING, "the guest died");
	check_failure(REFUSES_DIRTYING, RUN_DIRTYING, "guest: no room");
	check_failure(REBOOTS, RUN_DIRTYING, "the guest has rebooted");
	check_failure(DIES_INFLATING, RUN_INFLATING, "the guest died");
}

/* The first reason counts, not that of the killing that follows. */
static void test_guest_is_killed_where_the_run_cannot_go_on(void **state)
{
	(void)state;
	check_failure(FAILS_BY_ITSELF, RUN_BOOTING, "the bridge broke");
	assert_int_equal(plan.killed, 1);
	check_failure(REFUSES_DIRTYING, RUN_DIRTYING, "guest: no room");
	assert_int_equal(plan.killed, 1);
	check_failure(DIES_BOOTING, RUN_BOOTING, "the guest died");
	assert_int_equal(plan.killed, 0);
}

static void test_time_of_a_phase_is_limited(void **state)
{
	(void)state;
	check_failure(NEVER_READY, RUN_BOOTING, "timed out: the guest did not go on");
	check_failure(NEVER_INFLATES, RUN_INFLATING, aero_host_stall_str(AERO_HOST_STALL_SHORT));
	assert_int_equal(plan.killed, 1);
}

static void check_verdict(enum trouble trouble)
{
	assert_int_equal(run(&talking_kind, trouble), 0);
	assert_string_equal(result.failure, "");
	assert_int_equal(result.reached, RUN_OVER);
	assert_false(run_result_is_good(&result));
}

static void test_each_check_alone_fails_the_run(void **state)
{
	(void)state;
	check_verdict(COUNTS_WRONG);
	assert_false(result.is_ledger_agreed);
	assert_int_equal(result.actual_bytes, BALLOON_BYTES + 4096);
	check_verdict(KEEPS_MEMORY);
	assert_true(result.is_ledger_agreed);
	assert_false(result.is_memory_freed);
	check_verdict(DISAGREES);
	assert_true(result.is_ledger_agreed && result.is_memory_freed && result.is_target_reported);
	assert_false(result.is_account_agreed);
}

static void test_signal_ends_the_run(void **state)
{
	(void)state;
	assert_int_equal(run(&talking_kind, SIGNALLED), SIGINT);
	assert_non_null(strstr(result.failure, "stopped by signal 2"));
	assert_int_equal(plan.killed, 1);
}

static void test_kinds_are_found_by_name_and_whole(void **state)
{
	size_t i;

	(void)state;
	assert_ptr_equal(run_kind_find("uml"), run_kinds[0]);
	assert_null(run_kind_find("nonesuch"));
	for (i = 0; run_kinds[i]; i++) {
		const struct run_kind *kind = run_kinds[i];

		assert_ptr_equal(run_kind_find(kind->name), kind);
		assert_true(kind->create && kind->destroy && kind->start && kind->close);
		assert_true(kind->kill && kind->power_off && kind->dirty && kind->set_target);
		assert_true(kind->numbers && kind->guest_memory && kind->report && kind->system);
		assert_true(!kind->ledger == !(kind->takes & RUN_TAKES_LEDGER));
		assert_true(!kind->alias || run_kind_find(kind->alias) == kind);
		assert_true(kind->memory_bytes >= kind->minimum_bytes && kind->memory_unit >= 4096);
		/* What is compared has to be asked for. */
		assert_true(kind->inspect || !kind->has_account);
		assert_true(!kind->inspect == !kind->inspecting);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_scenario_is_good),
		cmocka_unit_test(test_mute_guest_is_led_through_all_the_same),
		cmocka_unit_test(test_device_without_ledger),
		cmocka_unit_test(test_failures_of_the_guest_are_told_with_their_phase),
		cmocka_unit_test(test_guest_is_killed_where_the_run_cannot_go_on),
		cmocka_unit_test(test_time_of_a_phase_is_limited),
		cmocka_unit_test(test_each_check_alone_fails_the_run),
		cmocka_unit_test(test_signal_ends_the_run),
		cmocka_unit_test(test_kinds_are_found_by_name_and_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
