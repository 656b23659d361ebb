/* SPDX-License-Identifier: MIT */
/* The engine: what is to be done next. */
#include "balloon_internal.h"

#define SECOND_NS 1000000000ull
#define COOLDOWN_NS (5 * SECOND_NS)
#define BACKOFF_MIN_NS SECOND_NS
#define BACKOFF_MAX_NS (16 * SECOND_NS)
#define SILENT_NS (2 * SECOND_NS)
#define RETRY_NS SECOND_NS	/* between attempts to start, and after a failed question */
#define ISOLATED_NS 10000000ull /* the kernel moves frames that are to be given back */
#define REFUSAL_LIMIT 16
#define TURNS_MAX 4 /* changes of direction in one round */

/* What is missing to where the balloon should be, and why nothing is done about it. */
struct change {
	uint64_t in;
	uint64_t room; /* for more than in, where blocks do not fit */
	uint64_t out;
	enum aero_stall why;
};

bool aero_balloon_enter(struct aero_balloon *balloon)
{
	return aero_pages_enter(&balloon->pages, &balloon->is_busy);
}

void aero_balloon_exit(struct aero_balloon *balloon)
{
	aero_pages_exit(&balloon->pages, &balloon->is_busy);
}

void aero_balloon_tell(struct aero_balloon *balloon, enum aero_balloon_event_kind kind,
		       uint64_t value)
{
	struct aero_balloon_event event = { kind, value };

	if (balloon->config.event)
		balloon->config.event(balloon->config.event_ctx, &event);
}

aero_noinline uint64_t aero_balloon_later(uint64_t now_ns, uint64_t delay_ns)
{
	return delay_ns < AERO_NEVER - now_ns ? now_ns + delay_ns : AERO_NEVER;
}

static void fill_defaults(struct aero_balloon_config *config)
{
	aero_balloon_default(&config->cooldown_ns, COOLDOWN_NS);
	aero_balloon_default(&config->backoff_min_ns, BACKOFF_MIN_NS);
	aero_balloon_default(&config->backoff_max_ns, BACKOFF_MAX_NS);
	aero_balloon_default(&config->silent_ns, SILENT_NS);
	aero_balloon_default32(&config->refusal_limit, REFUSAL_LIMIT);
	aero_balloon_default32(&config->batches, AERO_BALLOON_BATCHES_MAX);
}

/* The block sizes to keep: pages, and the largest ones where these are too many. */
static uint32_t choose_orders(uint32_t orders)
{
	uint32_t kept = orders & (0 - orders);
	unsigned int count;

	for (count = 1; count < AERO_PAGES_SIZES && orders != kept; count++)
		kept |= 1u << aero_high_bit(orders & ~kept);
	return kept;
}

enum aero_status aero_balloon_init(struct aero_balloon *balloon,
				   const struct aero_balloon_config *config)
{
	const struct aero_channel_ops *channel = config->channel;
	uint32_t orders = config->orders ? config->orders : ~0u;
	enum aero_status status;
	unsigned int i;

	memset(balloon, 0, sizeof(*balloon));
	balloon->config = *config;
	fill_defaults(&balloon->config);
	if (!config->port || !channel || !channel->disarm || !channel->start || !channel->target ||
	    !channel->submit || !channel->stop ||
	    balloon->config.backoff_min_ns > balloon->config.backoff_max_ns ||
	    balloon->config.batches > AERO_BALLOON_BATCHES_MAX)
		return AERO_EINVAL;
	/* The kernel's pages are what everything falls back on. */
	orders &= config->port->orders;
	if (!(orders & config->port->orders & (0 - config->port->orders)))
		return AERO_EINVAL;
	status = aero_pages_init(&balloon->pages, config->port, choose_orders(orders));
	if (status)
		return status;
	for (i = 0; i < balloon->pages.size_count; i++)
		aero_pages_set_init(&balloon->pages, &balloon->refused[i]);
	aero_pages_set_init(&balloon->pages, &balloon->pool);
	if (!aero_balloon_rate_init(balloon))
		return AERO_EINVAL;
	balloon->is_reset_required = true;
	balloon->stall = AERO_STALL_RESET;
	return AERO_OK;
}

void aero_balloon_fini(struct aero_balloon *balloon)
{
	const struct aero_port *port = balloon->config.port;
	unsigned int i;

	while (aero_balloon_release(balloon))
		;
	for (i = 0; i < balloon->batch_count; i++)
		port->page_put(port->ctx, balloon->batch[i].list.frames);
	balloon->batch_count = 0;
	aero_pages_fini(&balloon->pages);
}

void aero_balloon_notify(struct aero_balloon *balloon)
{
	aero_flag_raise(&balloon->notified);
}

void aero_balloon_require_reset(struct aero_balloon *balloon)
{
	balloon->is_reset_required = true;
}

/* What the kernel can spare, in whole pages. */
static uint64_t reachable(const struct aero_balloon *balloon)
{
	const struct aero_port *port = balloon->config.port;
	uint64_t managed = port->managed_frames(port->ctx);
	unsigned int page = balloon->pages.size[0].order;

	if (port->adjust_managed && !balloon->pages.is_managed_kept)
		managed += aero_balloon_frames(balloon);
	if (managed <= balloon->config.floor_frames)
		return 0;
	return (managed - balloon->config.floor_frames) >> page << page;
}

static enum aero_stall why_not_inflate(const struct aero_balloon *balloon)
{
	if (balloon->is_inhibited)
		return AERO_STALL_INHIBITED;
	if (balloon->now_ns < balloon->cool_until_ns)
		return AERO_STALL_COOLING;
	if (balloon->now_ns < balloon->backoff_until_ns)
		return AERO_STALL_NO_MEMORY;
	return AERO_STALL_WORKING;
}

static struct change required(const struct aero_balloon *balloon)
{
	uint64_t have = aero_balloon_frames(balloon) +
			aero_balloon_flying(balloon, AERO_PAGES_JOINING) -
			aero_balloon_flying(balloon, AERO_PAGES_LEAVING);
	uint64_t most = reachable(balloon),
		 rest = ((uint64_t)1 << balloon->pages.size[0].order) - 1;
	uint64_t want = balloon->target < most ? balloon->target : most;
	struct change change = { 0, 0, 0, AERO_STALL_WORKING };

	/* Whole pages, rounded up: one in between would never be reached. */
	want = (want + rest) & ~rest;
	if (have < want) {
		change.why = why_not_inflate(balloon);
		if (change.why == AERO_STALL_WORKING)
			change.in = want - have;
		change.room = most - have;
	} else if (have == want) {
		change.why = want < balloon->target ? AERO_STALL_FLOOR : AERO_STALL_NONE;
	} else if (balloon->target && have <= most && have - want < balloon->limits.slack_frames) {
		change.why = AERO_STALL_SLACK;
	} else {
		change.out = have - want;
	}
	return change;
}

static void begin_round(struct aero_balloon *balloon)
{
	aero_balloon_rewind(balloon);
	balloon->is_in_round = true;
	balloon->is_round_ending = false;
	balloon->is_round_out = false;
	balloon->has_passed_over = balloon->is_second_look = false;
	balloon->is_short = false;
	balloon->refused_now = 0;
	balloon->round_frames = 0;
	balloon->turns = 0;
	aero_balloon_rate_begin(balloon);
	balloon->stage = aero_balloon_rate_stage(balloon);
}

/* Asks what the host wants, and begins a round unless one runs. */
static void ask(struct aero_balloon *balloon)
{
	uint64_t target = balloon->target;
	enum aero_status status;

	if (!balloon->is_in_round)
		balloon->counters.rounds++;
	status = balloon->config.channel->target(balloon->config.channel_ctx, true, &target);
	balloon->poll_due_ns = aero_balloon_later(balloon->now_ns, balloon->limits.poll_ns);
	if (status) {
		if (status == AERO_ERESET)
			balloon->is_reset_required = true;
		else if (balloon->poll_due_ns > balloon->now_ns + RETRY_NS)
			balloon->poll_due_ns = balloon->now_ns + RETRY_NS;
		balloon->stall = status == AERO_ERANGE	 ? AERO_STALL_LIMIT
				 : status == AERO_ERESET ? AERO_STALL_RESET
							 : AERO_STALL_REFUSED;
		return;
	}
	if (!balloon->is_in_round)
		begin_round(balloon);
}

/* The target may have moved with any answer of the host. */
static void follow_target(struct aero_balloon *balloon)
{
	uint64_t target = balloon->target;

	if (balloon->config.channel->target(balloon->config.channel_ctx, false, &target) ||
	    target == balloon->target)
		return;
	balloon->target = target;
	balloon->is_reached_told = false;
	aero_balloon_tell(balloon, AERO_BALLOON_EVENT_TARGET, target);
}

static enum aero_progress move(struct aero_balloon *balloon)
{
	struct change change;

	follow_target(balloon);
	change = required(balloon);
	balloon->stall = change.why;
	if (!change.in && !change.out) {
		if (!aero_balloon_flying(balloon, AERO_PAGES_RESTING))
			return AERO_PROGRESS_DONE;
		/* Nothing is reached before it is answered. */
		balloon->stall = AERO_STALL_WORKING;
		return AERO_PROGRESS_WAIT;
	}
	if (!change.out != !balloon->is_round_out) {
		/* A target that flaps is followed once a poll. */
		if (++balloon->turns > TURNS_MAX)
			return AERO_PROGRESS_DONE;
		balloon->is_round_out = change.out;
		/* What has come in since this round looked last may lie behind. */
		if (balloon->turns > 1)
			aero_pages_rewind(&balloon->pages);
		balloon->stage = change.out ? 0 : aero_balloon_rate_stage(balloon);
		balloon->is_short = false;
		balloon->refused_now = 0;
	}
	if (aero_balloon_flying(balloon, change.in ? AERO_PAGES_LEAVING : AERO_PAGES_JOINING))
		return AERO_PROGRESS_WAIT;
	return change.in ? aero_balloon_inflate(balloon, change.in, change.room)
			 : aero_balloon_deflate(balloon, change.out);
}

/* Whether a round is to be tried again soon; back-off and cool-down have times of their own. */
static bool is_passing(enum aero_stall stall)
{
	return stall == AERO_STALL_WORKING || stall == AERO_STALL_RATE ||
	       stall == AERO_STALL_REFUSED || stall == AERO_STALL_ISOLATED;
}

/* A batch of the round, or of what it leaves behind. Answers whether there is more at once. */
static enum aero_progress go_on(struct aero_balloon *balloon)
{
	enum aero_progress progress;

	if (!balloon->is_round_ending) {
		progress = move(balloon);
		if (progress != AERO_PROGRESS_DONE)
			return progress;
		balloon->is_round_ending = true;
		if (balloon->stall == AERO_STALL_NONE || balloon->stall == AERO_STALL_SLACK)
			balloon->backoff_ns = 0;
		aero_balloon_rate_end(balloon);
	}
	if (aero_balloon_flying(balloon, AERO_PAGES_RESTING))
		return AERO_PROGRESS_WAIT;
	if (aero_balloon_release(balloon))
		return AERO_PROGRESS_MORE;
	balloon->is_in_round = false;
	/* Also where nobody polls: what stands in the way may be gone without a word. */
	if (is_passing(balloon->stall) && balloon->poll_due_ns > balloon->now_ns + RETRY_NS)
		balloon->poll_due_ns = balloon->now_ns + RETRY_NS;
	return AERO_PROGRESS_DONE;
}

uint64_t aero_balloon_silent_due(const struct aero_balloon *balloon)
{
	uint64_t due = AERO_NEVER;
	unsigned int i;

	for (i = 0; i < balloon->batch_count; i++) {
		const struct aero_balloon_batch *batch = &balloon->batch[i];
		uint64_t end = aero_balloon_later(batch->since_ns, balloon->config.silent_ns);

		if (batch->is_flying && end < due)
			due = end;
	}
	return due;
}

static uint64_t wait(struct aero_balloon *balloon)
{
	uint64_t due = aero_balloon_silent_due(balloon);

	if (balloon->now_ns < due)
		return due;
	balloon->stall = AERO_STALL_SILENT;
	/* Its answer may be there, and the word of it lost. */
	return aero_balloon_later(balloon->now_ns, balloon->config.silent_ns);
}

/* When a round is to begin by itself. */
static aero_noinline uint64_t idle_due(const struct aero_balloon *balloon)
{
	uint64_t due = balloon->poll_due_ns;

	if (balloon->stall == AERO_STALL_COOLING && balloon->cool_until_ns < due)
		due = balloon->cool_until_ns;
	if (balloon->stall == AERO_STALL_NO_MEMORY && balloon->backoff_until_ns < due)
		due = balloon->backoff_until_ns;
	return due;
}

static bool is_limits_sane(const struct aero_balloon *balloon)
{
	const struct aero_channel_limits *limits = &balloon->limits;

	return (limits->orders >> balloon->pages.size[0].order & 1) && limits->batch_blocks &&
	       limits->in_flight && limits->poll_ns && limits->batch_blocks <= AERO_PAGES_LIST_MAX;
}

/* Negotiates, with an empty balloon. */
static uint64_t start(struct aero_balloon *balloon)
{
	struct aero_channel_limits *limits = &balloon->limits;
	enum aero_status status = AERO_ENOMEM;

	balloon->is_reset_required = false;
	balloon->retry_ns = balloon->now_ns + RETRY_NS;
	memset(limits, 0, sizeof(*limits));
	if (aero_balloon_add_slots(balloon, 1))
		status = balloon->config.channel->start(balloon->config.channel_ctx, limits);
	if (!status && !is_limits_sane(balloon))
		status = AERO_EREFUSED;
	/* A reset while it starts is one attempt that failed, or it would go on for ever. */
	if (status || balloon->is_reset_required) {
		balloon->is_reset_required = true;
		balloon->is_disarmed = false;
		balloon->stall =
			status == AERO_EREFUSED	   ? AERO_STALL_UNSUPPORTED
			: status == AERO_ENOMEM	   ? AERO_STALL_NO_MEMORY
			: status == AERO_ETIMEDOUT ? AERO_STALL_SILENT
			: status == AERO_EIO || status == AERO_EINVAL || status == AERO_EGONE
				? AERO_STALL_REFUSED
				: AERO_STALL_RESET;
		return balloon->retry_ns;
	}
	balloon->pages.is_managed_kept = limits->is_managed_kept;
	aero_balloon_add_slots(balloon, limits->in_flight);
	/* The sizes up to the first that the protocol cannot name. */
	balloon->size_limit = 1;
	while (balloon->size_limit < balloon->pages.size_count &&
	       limits->orders >> balloon->pages.size[balloon->size_limit].order & 1)
		balloon->size_limit++;
	balloon->stall = AERO_STALL_WORKING;
	balloon->is_started = true;
	balloon->is_disarmed = false;
	balloon->counters.resets++;
	balloon->poll_due_ns = balloon->now_ns;
	aero_balloon_tell(balloon, AERO_BALLOON_EVENT_STARTED, 0);
	return balloon->now_ns;
}

/* After a reset: no wake-ups, nothing in flight, nothing held, an empty balloon, a new start. */
static uint64_t restart(struct aero_balloon *balloon)
{
	if (balloon->now_ns < balloon->retry_ns && !balloon->is_started && !balloon->is_disarmed)
		return balloon->retry_ns;
	if (balloon->stall != AERO_STALL_UNSUPPORTED)
		balloon->stall = AERO_STALL_RESET;
	if (!balloon->is_disarmed) {
		if (balloon->is_started)
			aero_balloon_tell(balloon, AERO_BALLOON_EVENT_RESET,
					  aero_balloon_frames(balloon));
		balloon->is_started = false;
		balloon->config.channel->disarm(balloon->config.channel_ctx);
		balloon->is_disarmed = true;
		balloon->is_in_round = false;
		balloon->is_reached_told = false;
		aero_balloon_collect(balloon);
	}
	if (aero_balloon_flying(balloon, AERO_PAGES_RESTING))
		return wait(balloon);
	if (aero_balloon_release(balloon) || aero_balloon_pop(balloon))
		return balloon->now_ns;
	if (aero_balloon_frames(balloon)) {
		balloon->stall = AERO_STALL_ISOLATED;
		return balloon->now_ns + ISOLATED_NS;
	}
	/* A host that answers every start with a reset gets one a second. */
	return balloon->now_ns < balloon->retry_ns ? balloon->retry_ns : start(balloon);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t work(struct aero_balloon *balloon)
{
	uint64_t due;

	aero_balloon_collect(balloon);
	if (balloon->is_stopped || balloon->is_frozen) {
		balloon->stall = AERO_STALL_INHIBITED;
		return AERO_NEVER;
	}
	if (balloon->is_reset_required)
		return restart(balloon);
	if (aero_flag_take(&balloon->notified) ||
	    (!balloon->is_in_round && balloon->now_ns >= idle_due(balloon)))
		ask(balloon);
	if (balloon->is_in_round && !balloon->is_reset_required) {
		switch (go_on(balloon)) {
		case AERO_PROGRESS_MORE:
			return balloon->now_ns;
		case AERO_PROGRESS_WAIT:
			return wait(balloon);
		case AERO_PROGRESS_DONE:
			break;
		}
	}
	due = idle_due(balloon);
	/* Frames that were reclaimed. */
	if (aero_balloon_flying(balloon, AERO_PAGES_RESTING))
		due = sooner(due, wait(balloon));
	return balloon->is_reset_required || due < balloon->now_ns ? balloon->now_ns : due;
}

static bool is_settled(enum aero_stall stall)
{
	return stall == AERO_STALL_NONE || stall == AERO_STALL_SLACK;
}

/* Says what has changed for those who watch. */
static void tell_changes(struct aero_balloon *balloon)
{
	enum aero_stall shown = aero_balloon_shown(balloon);

	if (is_settled(balloon->stall) && !balloon->is_reached_told) {
		balloon->is_reached_told = true;
		aero_balloon_tell(balloon, AERO_BALLOON_EVENT_REACHED,
				  aero_balloon_frames(balloon));
	}
	if (shown == balloon->told || shown == AERO_STALL_WORKING)
		return;
	balloon->told = shown;
	if (!is_settled(shown))
		aero_balloon_tell(balloon, AERO_BALLOON_EVENT_STALLED, shown);
}

uint64_t aero_balloon_step_inside(struct aero_balloon *balloon, uint64_t now_ns)
{
	uint64_t due;

	balloon->now_ns = now_ns;
	due = work(balloon);
	if (due > now_ns && aero_balloon_flush(balloon))
		due = now_ns;
	tell_changes(balloon);
	/* A doorbell in the meantime. */
	if (!balloon->is_frozen && !balloon->is_stopped &&
	    aero_flag_is_raised(&balloon->notified) && !balloon->is_reset_required)
		due = now_ns;
	return due;
}

uint64_t aero_balloon_step(struct aero_balloon *balloon, uint64_t now_ns)
{
	uint64_t due;

	if (!aero_balloon_enter(balloon))
		return now_ns + AERO_BALLOON_BUSY_NS;
	due = aero_balloon_step_inside(balloon, now_ns);
	aero_balloon_exit(balloon);
	return due;
}
