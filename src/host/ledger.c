/* SPDX-License-Identifier: MIT */
#include "ledger_internal.h"

#include "../core/frame_set_drain.h"
#include "../core/platform.h"

/* What is worth collecting even where every frame can be discarded alone: a 2 MiB block. */
#define COLLECT_ORDER_MIN AERO_ORDER_2M

/* Idle times that incomplete blocks wait at most while other frames keep coming. */
#define WAIT_IDLES_MAX 10

enum aero_status aero_ledger_init(struct aero_ledger *ledger,
				  const struct aero_ledger_config *config)
{
	const struct aero_host_memory *memory = config->memory;

	if (!memory || !memory->is_ram || !memory->discard)
		return AERO_EINVAL;
	if (memory->backing.block_order > AERO_ORDER_1G ||
	    memory->backing.discard_order > memory->backing.block_order)
		return AERO_EINVAL;
	memset(ledger, 0, sizeof(*ledger));
	ledger->config = *config;
	if (!ledger->config.idle_ns)
		ledger->config.idle_ns = AERO_LEDGER_IDLE_NS_DEFAULT;
	ledger->mode = AERO_DISCARD_REQUEST;
	aero_frame_set_init(&ledger->held, &config->nodes);
	aero_frame_set_init(&ledger->pending, &config->nodes);
	aero_frame_set_init(&ledger->returned, &config->nodes);
	aero_frame_set_init(&ledger->ready, &config->nodes);
	aero_ledger_memory_changed(ledger);
	return AERO_OK;
}

void aero_ledger_fini(struct aero_ledger *ledger)
{
	aero_frame_set_fini(&ledger->held);
	aero_frame_set_fini(&ledger->pending);
	aero_frame_set_fini(&ledger->returned);
	aero_ledger_clear_ready(ledger);
	ledger->waiting_ns = 0;
}

void aero_ledger_reset(struct aero_ledger *ledger)
{
	aero_ledger_fini(ledger);
	aero_ledger_memory_changed(ledger);
}

void aero_ledger_inhibit(struct aero_ledger *ledger, bool is_inhibited)
{
	ledger->is_inhibited = is_inhibited;
}

void aero_ledger_set_mode(struct aero_ledger *ledger, enum aero_discard_mode mode)
{
	ledger->mode = mode;
	/* Blocks complete by frames of several requests may be discarded only when collecting. */
	if (mode != AERO_DISCARD_COLLECT)
		aero_ledger_clear_ready(ledger);
}

void aero_ledger_memory_changed(struct aero_ledger *ledger)
{
	const struct aero_backing *backing = &ledger->config.memory->backing;
	struct aero_range run = { 0, 0 };

	ledger->ram.count = 0;
	ledger->rest_cursor = 0;
	ledger->block_order = backing->block_order;
	if (ledger->block_order < COLLECT_ORDER_MIN)
		ledger->block_order = COLLECT_ORDER_MIN;
	aero_ledger_clear_ready(ledger);
	if (ledger->mode != AERO_DISCARD_COLLECT)
		return;
	while (aero_frame_set_next(&ledger->pending, run.first + run.count, AERO_FRAME_LIMIT, &run))
		aero_ledger_note_ready(ledger, run);
}

/* Ask for guest memory from a frame on, and remember it where it reaches to another. */
static bool ask_ram(struct aero_ledger *ledger, aero_frame from, aero_frame to)
{
	const struct aero_host_memory *memory = ledger->config.memory;
	struct aero_range ask = { from, AERO_FRAME_LIMIT - from };

	ask.count = memory->is_ram(memory->ctx, ask);
	if (to - from >= ask.count)
		return false;
	ledger->ram = ask;
	return true;
}

/*
 * Memory around a frame that is not remembered. Guests give their frames falling, so that memory
 * from that frame on would have to be asked for again with the next: ask from further down first.
 */
aero_noinline bool aero_ledger_find_ram(struct aero_ledger *ledger, aero_frame frame)
{
	if (frame >= AERO_FRAME_LIMIT)
		return false;
	return ask_ram(ledger, frame & ~((1ull << 22) - 1), frame) ||
	       ask_ram(ledger, frame & ~((1ull << AERO_ORDER_1G) - 1), frame) ||
	       ask_ram(ledger, frame, frame);
}

/*
 * Cut the start of a run off that is guest memory. Frames before it that are not are counted and
 * dropped. The answer is empty where nothing is left.
 */
static struct aero_range cut_ram(struct aero_ledger *ledger, struct aero_range *run)
{
	struct aero_range piece = { run->first, 0 };

	while (run->count) {
		uint64_t skip = run->first < AERO_FRAME_LIMIT ? 1 : run->count;

		piece.first = run->first;
		piece.count = aero_ledger_ram_after(ledger, run->first);
		if (piece.count)
			break;
		ledger->counters.out_of_range += skip;
		run->first += skip;
		run->count -= skip;
	}
	if (piece.count > run->count)
		piece.count = run->count;
	run->first += piece.count;
	run->count -= piece.count;
	return piece;
}

/* Count the blocks of the backing that a discard takes whole, or only a part of. */
static void count_blocks(struct aero_ledger *ledger, struct aero_range range)
{
	unsigned int order = ledger->config.memory->backing.block_order;
	uint64_t size = 1ull << order;
	aero_frame start = (range.first + size - 1) & ~(size - 1);
	aero_frame end = (range.first + range.count) & ~(size - 1);

	if (start < end)
		ledger->counters.blocks_whole += (end - start) >> order;
	if (start > end || start != range.first || end != range.first + range.count)
		ledger->counters.blocks_split++;
}

/* One call of the host. The memory may have gone since the frames were given. */
static void discard(struct aero_ledger *ledger, struct aero_range range)
{
	const struct aero_host_memory *memory = ledger->config.memory;
	struct aero_ledger_counters *counters = &ledger->counters;
	uint64_t asked = range.count << AERO_FRAME_SHIFT;
	uint64_t freed = 0;

	if (aero_unlikely(aero_ledger_ram_after(ledger, range.first) < range.count)) {
		counters->dropped += range.count;
		return;
	}
	if (memory->backing.block_order)
		count_blocks(ledger, range);
	counters->discards++;
	if (aero_unlikely(memory->discard(memory->ctx, range, &freed) != AERO_OK)) {
		counters->discard_failures++;
		return;
	}
	counters->discard_asked_bytes += asked;
	counters->discard_freed_bytes += freed < asked ? freed : asked;
}

static void discard_each(struct aero_ledger *ledger, struct aero_range run)
{
	struct aero_range frame = { run.first, 1 };

	for (; frame.first < run.first + run.count; frame.first++)
		discard(ledger, frame);
}

/* The whole backing pages of a pending run and the frames around it; may be empty. */
static struct aero_range whole_pages(const struct aero_ledger *ledger, struct aero_range run)
{
	unsigned int order = ledger->config.memory->backing.discard_order;
	const struct aero_frame_set *given =
		ledger->mode == AERO_DISCARD_COLLECT ? &ledger->held : &ledger->pending;
	uint64_t size = 1ull << order;
	aero_frame start = run.first & ~(size - 1);
	aero_frame end = (run.first + run.count + size - 1) & ~(size - 1);

	if (start != run.first && !aero_ledger_has_block(given, start, order))
		start += size;
	if (start < end && end != run.first + run.count &&
	    !aero_ledger_has_block(given, end - size, order))
		end -= size;
	run.first = start;
	run.count = start < end ? end - start : 0;
	return run;
}

/*
 * Not more than one discard may take: a backing page, or as many frames as the limit says. What is
 * cut off ends where a block does, so that the next discard does not split one.
 */
static struct aero_range cut_pages(const struct aero_ledger *ledger, struct aero_range pages)
{
	const struct aero_backing *backing = &ledger->config.memory->backing;
	uint64_t limit = 1ull << backing->discard_order;
	aero_frame end;

	if (limit < AERO_LEDGER_DISCARD_FRAMES)
		limit = AERO_LEDGER_DISCARD_FRAMES;
	if (pages.count < limit)
		return pages;
	end = (pages.first + limit) & ~((1ull << backing->block_order) - 1);
	pages.count = end > pages.first ? end - pages.first : limit;
	return pages;
}

/* Frames are pending no more; with the last of them the time ends that others have waited. */
static uint64_t remove_pending(struct aero_ledger *ledger, struct aero_range range)
{
	uint64_t removed = aero_frame_set_remove(&ledger->pending, range);

	if (!aero_frame_set_count(&ledger->pending))
		ledger->waiting_ns = 0;
	return removed;
}

/* There is no memory to remember these frames: they are discarded now or never. */
static void discard_now(struct aero_ledger *ledger, struct aero_range run)
{
	struct aero_range pages = whole_pages(ledger, run);
	aero_frame end = pages.first + pages.count;

	remove_pending(ledger, run);
	if (ledger->is_inhibited || !pages.count) {
		ledger->counters.dropped += run.count;
		return;
	}
	remove_pending(ledger, pages);
	if (pages.first > run.first)
		ledger->counters.dropped += pages.first - run.first;
	if (end < run.first + run.count)
		ledger->counters.dropped += run.first + run.count - end;
	while (pages.count) {
		struct aero_range piece = cut_pages(ledger, pages);

		discard(ledger, piece);
		pages.first += piece.count;
		pages.count -= piece.count;
	}
}

/* What becomes of frames that are new in the balloon. */
void aero_ledger_schedule(struct aero_ledger *ledger, struct aero_range run, uint64_t now_ns)
{
	uint64_t added;

	if (ledger->mode == AERO_DISCARD_NONE)
		return;
	if (ledger->mode == AERO_DISCARD_FRAME) {
		if (ledger->is_inhibited)
			ledger->counters.dropped += run.count;
		else
			discard_each(ledger, run);
		return;
	}
	if (aero_frame_set_insert(&ledger->pending, run, &added) != AERO_OK) {
		discard_now(ledger, run);
		return;
	}
	aero_ledger_note_given(ledger, run.first, now_ns);
	if (ledger->mode == AERO_DISCARD_COLLECT)
		aero_ledger_note_ready(ledger, run);
}

/* Record a run of which nothing is in the balloon. */
static enum aero_status give_new(struct aero_ledger *ledger, struct aero_range run, uint64_t now_ns)
{
	struct aero_ledger_counters *counters = &ledger->counters;
	enum aero_status status;
	uint64_t added;

	status = aero_frame_set_insert(&ledger->held, run, &added);
	counters->given += added;
	/* The end of the run is not in the balloon as far as we know: leave it alone. */
	counters->unrecorded += run.count - added;
	run.count = added;
	if (aero_frame_set_count(&ledger->returned))
		aero_frame_set_remove(&ledger->returned, run);
	if (run.count)
		aero_ledger_schedule(ledger, run, now_ns);
	return status;
}

/* Record what is new of a run that is in the balloon in parts. */
static enum aero_status give_gaps(struct aero_ledger *ledger, struct aero_range run,
				  uint64_t now_ns)
{
	aero_frame end = run.first + run.count;
	enum aero_status status = AERO_EDUP;
	struct aero_range held;

	while (run.first < end) {
		struct aero_range gap = { run.first, end - run.first };

		if (aero_frame_set_next(&ledger->held, run.first, gap.count, &held) &&
		    held.first < end) {
			gap.count = held.first - gap.first;
			run.first = held.first + held.count;
		} else {
			run.first = end;
		}
		if (gap.count && give_new(ledger, gap, now_ns) != AERO_OK)
			status = AERO_ENOMEM;
	}
	return status;
}

static enum aero_status give_ram(struct aero_ledger *ledger, struct aero_range run, uint64_t now_ns)
{
	uint64_t held = aero_frame_set_count_in(&ledger->held, run);

	ledger->counters.given_twice += held;
	if (aero_likely(!held))
		return give_new(ledger, run, now_ns);
	return held == run.count ? AERO_EDUP : give_gaps(ledger, run, now_ns);
}

enum aero_status aero_ledger_give(struct aero_ledger *ledger, struct aero_range range,
				  uint64_t now_ns)
{
	enum aero_status status = AERO_OK;
	uint64_t out_of_range = ledger->counters.out_of_range;

	ledger->counters.runs++;
	while (range.count) {
		struct aero_range run = cut_ram(ledger, &range);
		enum aero_status result = run.count ? give_ram(ledger, run, now_ns) : AERO_OK;

		if (result != AERO_OK)
			status = result;
	}
	return ledger->counters.out_of_range != out_of_range ? AERO_ERANGE : status;
}

/*
 * Remember what the balloon holds of a run as returned, to tell "returned twice" from "never
 * given". Without memory a second return counts as never given; nothing else depends on it.
 */
static void note_returned(struct aero_ledger *ledger, struct aero_range run)
{
	struct aero_range held = { run.first, 0 };
	aero_frame end = run.first + run.count;
	uint64_t added;

	while (aero_frame_set_next(&ledger->held, held.first + held.count, run.count, &held) &&
	       held.first < end) {
		if (held.count > end - held.first)
			held.count = end - held.first;
		(void)aero_frame_set_insert(&ledger->returned, held, &added);
	}
}

/* A run leaves the balloon of which so many frames are in it; these are known as returned. */
static void take_held(struct aero_ledger *ledger, struct aero_range run, uint64_t held)
{
	aero_frame_set_remove(&ledger->held, run);
	if (aero_frame_set_count(&ledger->pending))
		ledger->counters.cancelled += remove_pending(ledger, run);
	if (aero_ledger_is_any_ready(ledger))
		aero_ledger_forget_ready(ledger, run);
	ledger->counters.returned += held;
}

void aero_ledger_take_whole(struct aero_ledger *ledger, struct aero_range run)
{
	uint64_t added;

	(void)aero_frame_set_insert(&ledger->returned, run, &added);
	take_held(ledger, run, run.count);
}

static enum aero_status take_ram(struct aero_ledger *ledger, struct aero_range run)
{
	struct aero_ledger_counters *counters = &ledger->counters;
	uint64_t held = aero_frame_set_count_in(&ledger->held, run);
	uint64_t missing = run.count - held;
	uint64_t twice;

	if (aero_likely(!missing)) {
		aero_ledger_take_whole(ledger, run);
		return AERO_OK;
	}
	twice = aero_frame_set_count_in(&ledger->returned, run);
	note_returned(ledger, run);
	take_held(ledger, run, held);
	counters->returned_twice += twice;
	counters->never_given += missing - twice;
	return twice ? AERO_EDUP : AERO_ENOENT;
}

enum aero_status aero_ledger_take(struct aero_ledger *ledger, struct aero_range range)
{
	enum aero_status status = AERO_OK;
	uint64_t out_of_range = ledger->counters.out_of_range;

	while (range.count) {
		struct aero_range run = cut_ram(ledger, &range);
		enum aero_status result = run.count ? take_ram(ledger, run) : AERO_OK;

		if (result != AERO_OK)
			status = result;
	}
	return ledger->counters.out_of_range != out_of_range ? AERO_ERANGE : status;
}

bool aero_ledger_discard_whole(struct aero_ledger *ledger)
{
	struct aero_range run;

	if (ledger->is_inhibited || !aero_ledger_take_ready(ledger, &run))
		return false;
	remove_pending(ledger, run);
	discard(ledger, run);
	return true;
}

/*
 * Where the last of the runs was cut off inside of a block, its end goes back to what is pending,
 * so that the next discard does not split the block.
 */
static void keep_block(struct aero_ledger *ledger, struct aero_range *run)
{
	uint64_t size = 1ull << ledger->config.memory->backing.block_order;
	struct aero_range tail = { run->first + run->count, 0 };
	struct aero_range next;
	uint64_t added;

	tail.count = tail.first & (size - 1);
	if (!tail.count || tail.count >= run->count ||
	    !aero_frame_set_next(&ledger->pending, tail.first, 1, &next) ||
	    next.first != tail.first)
		return;
	tail.first -= tail.count;
	if (aero_frame_set_insert(&ledger->pending, tail, &added) == AERO_OK)
		run->count -= tail.count;
	else
		aero_frame_set_remove(&ledger->pending, tail);
}

/* The lowest pending frames, where every frame can be discarded alone. */
static bool discard_runs(struct aero_ledger *ledger)
{
	struct aero_range *runs = ledger->runs;
	size_t count = aero_frame_set_drain(&ledger->pending, AERO_LEDGER_DISCARD_FRAMES,
					    AERO_LEDGER_DISCARD_CALLS, runs);
	size_t i;

	if (!count)
		return false;
	if (ledger->config.memory->backing.block_order)
		keep_block(ledger, &runs[count - 1]);
	if (aero_ledger_is_any_ready(ledger)) {
		for (i = 0; i < count; i++)
			aero_ledger_forget_ready(ledger, runs[i]);
	}
	ledger->rest_cursor = 0;
	for (i = 0; i < count; i++)
		discard(ledger, runs[i]);
	return true;
}

/* The lowest pending backing pages that are complete, if there is one within a few runs. */
static bool discard_pages(struct aero_ledger *ledger)
{
	unsigned int looks = AERO_LEDGER_DISCARD_CALLS;
	struct aero_range run;

	while (aero_frame_set_next(&ledger->pending, ledger->rest_cursor,
				   AERO_LEDGER_DISCARD_FRAMES, &run)) {
		struct aero_range pages = cut_pages(ledger, whole_pages(ledger, run));

		ledger->rest_cursor = run.first + run.count;
		if (!pages.count) {
			if (!--looks)
				return true;
			continue;
		}
		if (pages.first + pages.count < ledger->rest_cursor)
			ledger->rest_cursor = pages.first + pages.count;
		aero_frame_set_remove(&ledger->pending, pages);
		aero_ledger_forget_ready(ledger, pages);
		discard(ledger, pages);
		return true;
	}
	return false;
}

bool aero_ledger_discard_rest(struct aero_ledger *ledger)
{
	bool has_worked;

	if (ledger->is_inhibited)
		return false;
	has_worked = ledger->config.memory->backing.discard_order ? discard_pages(ledger)
								  : discard_runs(ledger);
	/* What is left can only wait for other frames: with those its time begins anew. */
	if (aero_ledger_due_ns(ledger) == AERO_NEVER)
		ledger->waiting_ns = 0;
	return has_worked;
}

void aero_ledger_drop_rest(struct aero_ledger *ledger)
{
	ledger->counters.dropped += aero_frame_set_count(&ledger->pending);
	ledger->rest_cursor = 0;
	ledger->waiting_ns = 0;
	aero_frame_set_fini(&ledger->pending);
	aero_ledger_clear_ready(ledger);
}

uint64_t aero_ledger_due_ns(const struct aero_ledger *ledger)
{
	struct aero_range run;
	uint64_t bound;
	uint64_t due;

	if (!aero_frame_set_count(&ledger->pending))
		return AERO_NEVER;
	/* Parts of backing pages are below the cursor, and wait for the rest of their page. */
	if (ledger->rest_cursor &&
	    !aero_frame_set_next(&ledger->pending, ledger->rest_cursor, 1, &run))
		return AERO_NEVER;
	/* A guest that never pauses does not make others wait for ever. */
	bound = ledger->waiting_ns + WAIT_IDLES_MAX * ledger->config.idle_ns;
	due = ledger->given_ns + ledger->config.idle_ns;
	return due < bound ? due : bound;
}

uint64_t aero_ledger_held(const struct aero_ledger *ledger)
{
	return aero_frame_set_count(&ledger->held);
}

uint64_t aero_ledger_pending(const struct aero_ledger *ledger)
{
	return aero_frame_set_count(&ledger->pending);
}

uint64_t aero_ledger_bytes(const struct aero_ledger *ledger)
{
	return aero_frame_set_bytes(&ledger->held) + aero_frame_set_bytes(&ledger->pending) +
	       aero_frame_set_bytes(&ledger->returned) + aero_frame_set_bytes(&ledger->ready);
}
