/* SPDX-License-Identifier: MIT */
#include "support/channel_double.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND CHANNEL_DOUBLE_SECOND

static void complain(struct channel_double *chan, const char *what, uint64_t a, uint64_t b)
{
	if (!chan->problem[0])
		snprintf(chan->problem, sizeof(chan->problem), "%s: %#" PRIx64 " %#" PRIx64, what,
			 a, b);
}

static void append(char *text, size_t size, const char *word)
{
	size_t len = strlen(text);

	if (len + strlen(word) + 2 < size)
		snprintf(text + len, size - len, "%s%s", len ? " " : "", word);
}

static void note(struct channel_double *chan, const char *word)
{
	if (chan->sim.is_locked)
		complain(chan, "the channel is called with the lock held", 0, 0);
	append(chan->words, sizeof(chan->words), word);
	if (chan->during)
		chan->during(chan, word);
}

/* The book ----------------------------------------------------------------------------------- */

static void give(struct channel_double *chan, unsigned int order, aero_frame first)
{
	if (first >= CHANNEL_DOUBLE_FRAMES || first & ((1ull << order) - 1)) {
		complain(chan, "no block is given", first, order);
	} else if (chan->given[first]) {
		complain(chan, "a block is given twice", first, order);
	} else {
		chan->given[first] = (uint8_t)(1 + order);
		chan->given_frames += 1ull << order;
	}
}

/* Without slack the engine breaks blocks up, and the host knows pages by their numbers only. */
static void follow_break(struct channel_double *chan, unsigned int order, aero_frame first)
{
	for (unsigned int up = order + 1; up <= AERO_ORDER_1G; up++) {
		aero_frame block = first >> up << up;

		if (chan->limits.slack_frames || chan->given[block] != 1 + up)
			continue;
		for (uint64_t i = 0; i < 1ull << up; i += 1ull << order)
			chan->given[block + i] = (uint8_t)(1 + order);
	}
}

static void take_back(struct channel_double *chan, unsigned int order, aero_frame first)
{
	if (first < CHANNEL_DOUBLE_FRAMES)
		follow_break(chan, order, first);
	if (first >= CHANNEL_DOUBLE_FRAMES || chan->given[first] != 1 + order) {
		complain(chan, "a block comes back that was not given", first, order);
	} else {
		chan->given[first] = 0;
		chan->given_frames -= 1ull << order;
	}
}

static void forget_all(struct channel_double *chan)
{
	memset(chan->given, 0, CHANNEL_DOUBLE_FRAMES);
	chan->given_frames = 0;
}

static bool is_refused(struct channel_double *chan, unsigned int order, aero_frame first)
{
	struct aero_range bad = chan->refuse;

	if (bad.count && first < bad.first + bad.count && bad.first < first + (1ull << order))
		return true;
	return chan->refuses && chan->refuses(chan, order, first);
}

/* What the host does with a batch when it answers. */
static void serve(struct channel_double *chan, struct aero_balloon_batch *batch,
		  enum aero_status status)
{
	struct aero_pages_list *list = &batch->list;
	unsigned int order = chan->balloon.pages.size[list->size].order;

	for (uint32_t i = 0; !status && i < list->count; i++) {
		if (is_refused(chan, order, list->frames[i]))
			aero_pages_refuse(list, i);
		else if (list->move == AERO_PAGES_JOINING)
			give(chan, order, list->frames[i]);
		else
			take_back(chan, order, list->frames[i]);
	}
}

/* The channel --------------------------------------------------------------------------------- */

static void disarm(void *ctx)
{
	struct channel_double *chan = ctx;

	note(chan, "disarm");
	while (!chan->are_kept_at_disarm && chan->flying_count)
		channel_double_answer(chan, 0, AERO_ERESET);
}

static enum aero_status start(void *ctx, struct aero_channel_limits *out_limits)
{
	struct channel_double *chan = ctx;

	note(chan, "start");
	if (chan->flying_count || chan->done_count)
		complain(chan, "starts with batches in flight", chan->flying_count, 0);
	if (aero_balloon_frames(&chan->balloon))
		complain(chan, "starts with a balloon that is not empty",
			 aero_balloon_frames(&chan->balloon), 0);
	forget_all(chan);
	*out_limits = chan->limits;
	if (chan->is_reset_raised)
		aero_balloon_require_reset(&chan->balloon);
	chan->starts += !chan->start_status;
	return chan->start_status;
}

static enum aero_status target(void *ctx, bool is_fresh, uint64_t *out_frames)
{
	struct channel_double *chan = ctx;

	if (is_fresh)
		note(chan, "ask");
	*out_frames = chan->target;
	return is_fresh ? chan->target_status : AERO_OK;
}

static void check_batch(struct channel_double *chan, const struct aero_balloon_batch *batch,
			unsigned int order)
{
	const struct aero_pages_list *list = &batch->list;

	if (!list->count || list->count > chan->limits.batch_blocks)
		complain(chan, "a batch of a wrong size", list->count, chan->limits.batch_blocks);
	if (!(chan->limits.orders >> order & 1))
		complain(chan, "a batch of an order that the channel lacks", order, 0);
	if (list->move == AERO_PAGES_RESTING || !batch->is_flying || list->refused_count)
		complain(chan, "a batch that is not on its way", list->move, list->refused_count);
	if (batch->since_ns > chan->now)
		complain(chan, "a batch of the future", batch->since_ns, chan->now);
	if (chan->flying_count >= chan->limits.in_flight)
		complain(chan, "too many batches in flight", chan->flying_count, 0);
}

static enum aero_status submit(void *ctx, struct aero_balloon_batch *batch)
{
	struct channel_double *chan = ctx;
	unsigned int order = chan->balloon.pages.size[batch->list.size].order;
	enum aero_status status = chan->submit_status;
	char word[32];

	check_batch(chan, batch, order);
	chan->batches++;
	snprintf(word, sizeof(word), "%c%ux%u", batch->list.move == AERO_PAGES_JOINING ? '+' : '-',
		 order, batch->list.count);
	note(chan, word);
	if (chan->fail_at && !--chan->fail_at)
		status = chan->fail_status;
	if (chan->is_async) {
		chan->flying[chan->flying_count++] = batch;
		if (chan->flying_count > chan->peak_flying)
			chan->peak_flying = chan->flying_count;
		return AERO_EAGAIN;
	}
	serve(chan, batch, status);
	return status;
}

static struct aero_balloon_batch *complete(void *ctx, enum aero_status *out_status)
{
	struct channel_double *chan = ctx;
	struct aero_balloon_batch *batch = chan->done[0];

	if (!chan->done_count)
		return NULL;
	*out_status = chan->done_status[0];
	chan->done_count--;
	memmove(chan->done, chan->done + 1, chan->done_count * sizeof(chan->done[0]));
	memmove(chan->done_status, chan->done_status + 1,
		chan->done_count * sizeof(chan->done_status[0]));
	return batch;
}

static enum aero_status exchange(void *ctx, unsigned int order, aero_frame new_frame,
				 aero_frame old_frame)
{
	struct channel_double *chan = ctx;
	char word[16];

	snprintf(word, sizeof(word), "~%u", order);
	note(chan, word);
	if (chan->exchange_status && chan->exchange_status != AERO_ENOENT)
		return chan->exchange_status;
	take_back(chan, order, old_frame);
	if (!chan->exchange_status)
		give(chan, order, new_frame);
	return chan->exchange_status;
}

static void stop(void *ctx)
{
	struct channel_double *chan = ctx;

	note(chan, "stop");
	forget_all(chan);
}

static void take_event(void *ctx, const struct aero_balloon_event *event)
{
	static const char *const names[] = {
		"?", "started", "target", "reached", "stalled", "reset"
	};
	struct channel_double *chan = ctx;
	char word[40];

	if (event->kind < AERO_BALLOON_EVENT_STARTED || event->kind > AERO_BALLOON_EVENT_RESET) {
		complain(chan, "an event that there is not", event->kind, event->value);
		return;
	}
	if (event->kind == AERO_BALLOON_EVENT_STARTED)
		snprintf(word, sizeof(word), "started");
	else
		snprintf(word, sizeof(word), "%s:%" PRIu64, names[event->kind], event->value);
	append(chan->events, sizeof(chan->events), word);
	if (event->kind == AERO_BALLOON_EVENT_STARTED && event->value)
		complain(chan, "started with a value", event->value, 0);
}

/* The rig ------------------------------------------------------------------------------------- */

enum aero_status channel_double_open(struct channel_double *chan,
				     const struct aero_balloon_config *config,
				     const struct sim_port_config *sim)
{
	static const struct sim_port_config no_sim;
	static const struct aero_balloon_config no_config;
	struct aero_balloon_config full = config ? *config : no_config;

	memset(chan, 0, sizeof(*chan));
	chan->ops = (struct aero_channel_ops){
		.disarm = disarm,
		.start = start,
		.target = target,
		.submit = submit,
		.complete = complete,
		.exchange = exchange,
		.stop = stop,
	};
	chan->limits = (struct aero_channel_limits){
		.orders = 1u << AERO_ORDER_4K | 1u << AERO_ORDER_2M,
		.batch_blocks = AERO_PAGES_LIST_MAX,
		.in_flight = 4,
		.slack_frames = 512,
		.poll_ns = SECOND,
	};
	chan->now = SECOND;
	chan->given = calloc(1, CHANNEL_DOUBLE_FRAMES);
	if (!chan->given)
		abort();
	sim_port_init(&chan->sim, sim ? sim : &no_sim);
	if (!full.port)
		full.port = &chan->sim.port;
	if (!full.channel)
		full.channel = &chan->ops;
	full.channel_ctx = chan;
	full.event = take_event;
	full.event_ctx = chan;
	return aero_balloon_init(&chan->balloon, &full);
}

void channel_double_drop(struct channel_double *chan)
{
	sim_port_fini(&chan->sim);
	free(chan->given);
}

const char *channel_double_close(struct channel_double *chan)
{
	unsigned int rounds = 1000000;
	const char *lost;

	while (aero_balloon_stop(&chan->balloon) == AERO_EAGAIN && --rounds)
		channel_double_check(chan);
	if (!rounds)
		complain(chan, "the balloon does not become empty", channel_double_frames(chan), 0);
	channel_double_check(chan);
	aero_balloon_fini(&chan->balloon);
	lost = sim_port_check_empty(&chan->sim);
	if (lost && !chan->problem[0])
		snprintf(chan->problem, sizeof(chan->problem), "%s", lost);
	channel_double_drop(chan);
	return chan->problem[0] ? chan->problem : NULL;
}

/* Frames the engine holds back for the length of a round, and those on their way in. */
static uint64_t held_frames(const struct channel_double *chan)
{
	const struct aero_balloon *balloon = &chan->balloon;
	uint64_t frames = aero_frame_set_count(&balloon->pool);

	for (unsigned int i = 0; i < balloon->pages.size_count; i++) {
		const struct aero_pages_size *size = &balloon->pages.size[i];

		frames += (aero_frame_set_count(&balloon->refused[i]) + size->joining)
			  << size->order;
	}
	return frames;
}

/* Each block of the balloon is in the book; together with equal counts the two are the same. */
static void compare_sets(struct channel_double *chan, const struct aero_pages_size *size)
{
	struct aero_range run;
	aero_frame from = 0;
	uint64_t missing = 0;

	while (aero_frame_set_next(&size->lent, from, UINT64_MAX, &run)) {
		for (uint64_t i = 0; i < run.count; i++)
			follow_break(chan, size->order, (run.first + i) << size->order);
		for (uint64_t i = 0; i < run.count; i++)
			missing += chan->given[(run.first + i) << size->order] != 1 + size->order;
		if (sim_port_owner(&chan->sim, run.first << size->order) != SIM_OWNER_LENT)
			complain(chan, "in the balloon and not out of the kernel",
				 run.first << size->order, 0);
		from = run.first + run.count;
	}
	/* Answers that wait to be collected are in the book and not in the engine. */
	if (missing && !chan->flying_count && !chan->done_count)
		complain(chan, "blocks that the host does not have", missing, size->order);
}

/* What breaks a rule is noted at once; the kernel's own books are long, and checked at times. */
static const char *check_kernel(struct channel_double *chan)
{
	if (chan->checks++ % 16 == 0)
		return sim_port_check(&chan->sim);
	if (chan->sim.is_locked)
		return "the lock is held";
	return chan->sim.violations ? chan->sim.violation : NULL;
}

bool channel_double_check(struct channel_double *chan)
{
	const struct aero_balloon *balloon = &chan->balloon;
	uint64_t frames = aero_balloon_frames(balloon);
	const char *violation = check_kernel(chan);
	bool is_live = balloon->is_started && !balloon->is_reset_required;

	if (violation && !chan->problem[0])
		snprintf(chan->problem, sizeof(chan->problem), "%s", violation);
	if (aero_balloon_validate(balloon))
		complain(chan, "the balloon is not valid", frames, 0);
	if (is_live && !chan->done_count && frames != chan->given_frames)
		complain(chan, "frames of engine and host", frames, chan->given_frames);
	for (unsigned int i = 0; is_live && i < balloon->pages.size_count; i++)
		compare_sets(chan, &balloon->pages.size[i]);
	if (frames + held_frames(chan) != sim_port_lent_frames(&chan->sim))
		complain(chan, "frames the engine has and that the kernel gave",
			 frames + held_frames(chan), sim_port_lent_frames(&chan->sim));
	if (chan->sim.port.set_offline && sim_port_offline_frames(&chan->sim) != frames)
		complain(chan, "frames and offline marks", frames,
			 sim_port_offline_frames(&chan->sim));
	if (chan->sim.port.adjust_managed && sim_port_taken_frames(&chan->sim) != frames)
		complain(chan, "frames and managed count", frames,
			 sim_port_taken_frames(&chan->sim));
	return !chan->problem[0];
}

bool channel_double_step(struct channel_double *chan)
{
	chan->due = aero_balloon_step(&chan->balloon, chan->now);
	if (chan->due < chan->now)
		complain(chan, "due in the past", chan->due, chan->now);
	if (chan->due != AERO_NEVER)
		chan->now = chan->due;
	return channel_double_check(chan);
}

bool channel_double_settle(struct channel_double *chan)
{
	uint64_t steps = 1000000;

	do {
		uint64_t now = chan->now;
		bool is_good = channel_double_step(chan);

		chan->now = now;
		if (!is_good)
			return false;
	} while (chan->due == chan->now && --steps);
	if (!steps)
		complain(chan, "steps without end", chan->now, 0);
	return steps;
}

bool channel_double_run(struct channel_double *chan, uint64_t ns)
{
	uint64_t end = chan->now + ns;

	while (channel_double_settle(chan)) {
		if (chan->due > end) {
			chan->now = end;
			return true;
		}
		chan->now = chan->due;
	}
	return false;
}

void channel_double_answer(struct channel_double *chan, unsigned int nth, enum aero_status status)
{
	struct aero_balloon_batch *batch;

	if (nth >= chan->flying_count)
		abort();
	batch = chan->flying[nth];
	chan->flying_count--;
	memmove(chan->flying + nth, chan->flying + nth + 1,
		(chan->flying_count - nth) * sizeof(chan->flying[0]));
	serve(chan, batch, status);
	chan->done[chan->done_count] = batch;
	chan->done_status[chan->done_count++] = status;
}

void channel_double_answer_all(struct channel_double *chan)
{
	while (chan->flying_count)
		channel_double_answer(chan, 0, AERO_OK);
}

enum aero_status channel_double_move(struct channel_double *chan, unsigned int order,
				     aero_frame frame)
{
	enum aero_status status = AERO_EINVAL;
	bool is_in = false;
	aero_frame new_frame;

	if (!aero_balloon_isolate(&chan->balloon, order, frame))
		return AERO_EBUG;
	if (sim_port_migrate_begin(&chan->sim, order, frame, &new_frame)) {
		status = aero_balloon_migrate(&chan->balloon, order, new_frame, frame, &is_in);
		sim_port_migrate_end(&chan->sim, new_frame, !status, is_in);
	}
	if (status)
		aero_balloon_putback(&chan->balloon, order, frame);
	channel_double_check(chan);
	return status;
}

void channel_double_forget(struct channel_double *chan)
{
	chan->words[0] = '\0';
	chan->events[0] = '\0';
}

uint64_t channel_double_frames(const struct channel_double *chan)
{
	return aero_balloon_frames(&chan->balloon);
}

enum aero_stall channel_double_stall(const struct channel_double *chan)
{
	struct aero_balloon_report report;

	aero_balloon_report(&chan->balloon, &report);
	return report.stall;
}
