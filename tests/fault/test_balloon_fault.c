/* SPDX-License-Identifier: MIT */
/*
 * The engine through a whole life, with the nth call of the port failing, once or from then on, and
 * with the host resetting at the nth exchange. After each step everything must agree; afterwards,
 * with memory again, the target is reached, and in the end nothing is lost.
 */
#include "support/test.h"

#include "support/channel_double.h"

#define SECOND CHANNEL_DOUBLE_SECOND
#define MIB(n) ((uint64_t)(n) << 8)

enum fault {
	FAULT_PORT_ONCE,
	FAULT_PORT_ON,
	FAULT_RESET_RAISED, /* a reset, raised by the nth call of the channel */
	FAULT_BATCH_RESET,  /* the nth batch is answered by a reset */
	FAULT_BATCH_REFUSED,
};

struct life {
	struct channel_double chan;
	uint64_t reset_at;
	bool has_reset;
	bool is_async;
	aero_frame isolated;
	bool is_isolated;
};

static void good(struct life *life)
{
	channel_double_check(&life->chan);
	if (life->chan.problem[0])
		fail_msg("%s", life->chan.problem);
}

static bool some_large(struct channel_double *chan, unsigned int order, aero_frame first)
{
	(void)chan;
	return order ? first / 512 % 2 == 0 : first % 97 == 5;
}

static void count_calls(struct channel_double *chan, const char *word)
{
	struct life *life = (struct life *)chan;

	(void)word;
	if (!life->reset_at || --life->reset_at)
		return;
	life->has_reset = true;
	aero_balloon_require_reset(&chan->balloon);
}

static void live(struct life *life, uint64_t ns)
{
	uint64_t end = life->chan.now + ns;

	do {
		channel_double_settle(&life->chan);
		good(life);
		while (life->chan.flying_count)
			channel_double_answer(&life->chan, life->chan.flying_count - 1, AERO_OK);
		if (life->chan.done_count)
			continue;
		life->chan.now = life->chan.due < end ? life->chan.due : end;
	} while (life->chan.now < end || life->chan.done_count);
	channel_double_settle(&life->chan);
	good(life);
}

static void aim(struct life *life, uint64_t frames)
{
	life->chan.target = frames;
	aero_balloon_notify(&life->chan.balloon);
	live(life, 2 * SECOND);
}

/* The kernel moves three frames, wherever they are. */
static void migrate(struct life *life)
{
	struct aero_pages_size *size = &life->chan.balloon.pages.size[0];
	struct aero_range run = { 0, 0 };

	for (unsigned int i = 0; i < 3; i++) {
		if (!aero_frame_set_next(&size->lent, run.first + 40 * i, 1, &run))
			return;
		life->chan.exchange_status = i == 1 ? AERO_ENOENT : AERO_OK;
		(void)channel_double_move(&life->chan, 0, run.first);
		good(life);
	}
	if (aero_frame_set_next(&size->lent, 0, 1, &run))
		life->is_isolated = aero_balloon_isolate(&life->chan.balloon, 0, run.first);
	life->isolated = run.first;
	good(life);
}

static void reclaim(struct life *life)
{
	uint64_t came;

	(void)aero_balloon_reclaim(&life->chan.balloon, AERO_RECLAIM_PRESSURE, 300, life->chan.now,
				   &came);
	good(life);
	(void)aero_balloon_reclaim(&life->chan.balloon, AERO_RECLAIM_OOM, 300, life->chan.now,
				   &came);
	good(life);
}

static void whole_life(struct life *life)
{
	struct channel_double *chan = &life->chan;

	live(life, SECOND);
	/* Blocks that are refused and split, frames that are refused, and small ones. */
	chan->refuses = some_large;
	aim(life, MIB(12));
	chan->refuses = NULL;
	migrate(life);
	aim(life, MIB(16));
	reclaim(life);
	live(life, SECOND);
	aero_balloon_require_reset(&chan->balloon);
	live(life, SECOND / 50);
	if (life->is_isolated)
		aero_balloon_putback(&chan->balloon, 0, life->isolated);
	life->is_isolated = false;
	live(life, 6 * SECOND);
	aim(life, MIB(3));
	aim(life, MIB(14));
	aim(life, 40);
}

static bool open_life(struct life *life, enum fault fault, uint64_t nth)
{
	struct channel_double *chan = &life->chan;
	struct aero_balloon_config config = { .backoff_max_ns = SECOND };
	struct sim_port_config sim = { .frames = MIB(32) };

	if (channel_double_open(chan, &config, &sim))
		return false;
	chan->limits.batch_blocks = 200;
	chan->is_async = life->is_async;
	chan->during = count_calls;
	for (aero_frame first = MIB(20); first < MIB(32); first += 512)
		sim_port_pin(&chan->sim, first + 100);
	if (fault == FAULT_PORT_ONCE || fault == FAULT_PORT_ON)
		sim_port_fail(&chan->sim, SIM_PORT_ALLOC | SIM_PORT_PAGE_GET, nth,
			      fault == FAULT_PORT_ON);
	if (fault == FAULT_RESET_RAISED)
		life->reset_at = nth;
	if (fault == FAULT_BATCH_RESET || fault == FAULT_BATCH_REFUSED) {
		chan->fail_at = nth;
		chan->fail_status = fault == FAULT_BATCH_RESET ? AERO_ERESET : AERO_EREFUSED;
	}
	return true;
}

/* Whether the fault was met. */
static bool run_with(enum fault fault, uint64_t nth, bool is_async)
{
	struct life *life = calloc(1, sizeof(*life));
	struct channel_double *chan = &life->chan;
	const char *problem;
	bool has_met;

	assert_non_null(life);
	life->is_async = is_async;
	assert_true(open_life(life, fault, nth));
	whole_life(life);
	has_met = chan->sim.counters.failures || life->has_reset ||
		  (fault >= FAULT_BATCH_RESET && !chan->fail_at);
	/* All is well again. */
	sim_port_fail(&chan->sim, 0, 0, false);
	chan->fail_at = 0;
	life->reset_at = 0;
	aim(life, MIB(10));
	live(life, 4 * SECOND);
	if (channel_double_frames(chan) < MIB(10) || channel_double_frames(chan) >= MIB(12))
		fail_msg("fault %d at %llu: %llu frames in the end", (int)fault,
			 (unsigned long long)nth, (unsigned long long)channel_double_frames(chan));
	chan->is_async = false;
	problem = channel_double_close(chan);
	if (problem)
		fail_msg("fault %d at %llu: %s", (int)fault, (unsigned long long)nth, problem);
	free(life);
	return has_met;
}

static void run_all(enum fault fault, bool is_async)
{
	uint64_t nth = 1;

	while (run_with(fault, nth, is_async))
		nth++;
	print_message("# fault %d: %llu places\n", (int)fault, (unsigned long long)nth - 1);
	assert_in_range(nth, 15, 500);
}

static void test_every_port_call_failing_once(void **state)
{
	(void)state;
	run_all(FAULT_PORT_ONCE, false);
	run_all(FAULT_PORT_ONCE, true);
}

static void test_every_port_call_failing_from_then_on(void **state)
{
	(void)state;
	run_all(FAULT_PORT_ON, false);
	run_all(FAULT_PORT_ON, true);
}

static void test_reset_at_every_call_of_the_channel(void **state)
{
	(void)state;
	run_all(FAULT_RESET_RAISED, false);
	run_all(FAULT_RESET_RAISED, true);
}

static void test_every_batch_answered_by_a_reset(void **state)
{
	(void)state;
	run_all(FAULT_BATCH_RESET, false);
}

static void test_every_batch_refused_whole(void **state)
{
	(void)state;
	run_all(FAULT_BATCH_REFUSED, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_port_call_failing_once),
		cmocka_unit_test(test_every_port_call_failing_from_then_on),
		cmocka_unit_test(test_reset_at_every_call_of_the_channel),
		cmocka_unit_test(test_every_batch_answered_by_a_reset),
		cmocka_unit_test(test_every_batch_refused_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
