/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_UNIT_TEST_BALLOON_CASE_H
#define AEROSTAT_TESTS_UNIT_TEST_BALLOON_CASE_H

/* Cases of the engine: each gets a channel double and a kernel of its own, as *state says. */

#include "support/test.h"

#include "support/channel_double.h"

#define SECOND CHANNEL_DOUBLE_SECOND
#define MIB(n) ((uint64_t)(n) << 8) /* in frames */
#define ORDER(n) (1u << (n))
#define STALL(name) AERO_STALL_##name

struct balloon_options {
	struct aero_balloon_config config;
	struct sim_port_config sim;
};

static inline void good(const struct channel_double *chan)
{
	if (chan->problem[0])
		fail_msg("%s", chan->problem);
}

static inline int balloon_open(void **state)
{
	static const struct balloon_options none;
	const struct balloon_options *options = *state ? *state : &none;
	struct channel_double *chan = calloc(1, sizeof(*chan));

	assert_non_null(chan);
	assert_int_equal(channel_double_open(chan, &options->config, &options->sim), AERO_OK);
	good(chan);
	*state = chan;
	return 0;
}

static inline int balloon_close(void **state)
{
	struct channel_double *chan = *state;
	const char *problem;

	chan->is_async = false;
	chan->during = NULL;
	problem = channel_double_close(chan);
	if (problem)
		fail_msg("%s", problem);
	free(chan);
	return 0;
}

/* options may be NULL: 64 MiB, orders 0 and 9, all defaults. */
#define CASE(f, options) \
	cmocka_unit_test_prestate_setup_teardown(f, balloon_open, balloon_close, (void *)(options))

static inline void step(struct channel_double *chan)
{
	channel_double_step(chan);
	good(chan);
}

static inline void settle(struct channel_double *chan)
{
	channel_double_settle(chan);
	good(chan);
}

static inline void run(struct channel_double *chan, uint64_t ns)
{
	channel_double_run(chan, ns);
	good(chan);
}

/* A new target, seen at once. */
static inline void aim(struct channel_double *chan, uint64_t frames)
{
	chan->target = frames;
	aero_balloon_notify(&chan->balloon);
	settle(chan);
}

static inline void assert_frames(const struct channel_double *chan, uint64_t frames)
{
	assert_int_equal(channel_double_frames(chan), frames);
}

static inline void assert_stall(const struct channel_double *chan, enum aero_stall stall)
{
	assert_int_equal(channel_double_stall(chan), stall);
}

/* What the channel was asked since the last time. */
static inline void assert_words(struct channel_double *chan, const char *words)
{
	assert_string_equal(chan->words, words);
	chan->words[0] = '\0';
}

static inline void assert_events(struct channel_double *chan, const char *events)
{
	assert_string_equal(chan->events, events);
	chan->events[0] = '\0';
}

#endif
