/* SPDX-License-Identifier: MIT */
#include "support/virtio_pair.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/virtio_guest_frames.h"

#define PAGES 256	   /* of the kernel's own, by default */
#define POLL_NS 1000000	   /* of one that stops */
#define POLLED_NS 50000000 /* of a kernel without interrupts */
#define STEPS_MAX 400000   /* at one moment: what takes more never ends */

void virtio_pair_complain(struct virtio_pair *pair, const char *what, uint64_t a, uint64_t b)
{
	if (!pair->problem[0])
		snprintf(pair->problem, sizeof(pair->problem), "%s: %" PRIu64 ", %" PRIu64, what, a,
			 b);
}

/* Memory -------------------------------------------------------------------------------------- */

static uint8_t *map_side(int fd, size_t bytes)
{
	void *side = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (side == MAP_FAILED)
		abort();
	return side;
}

/* One memory at two addresses: what one end keeps of its own pointers is of no use to the other. */
static void map_memory(struct virtio_pair *pair, struct sim_port_config *sim)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	if (!sim->page_frames)
		sim->page_frames = PAGES;
	if (!sim->page_first)
		sim->page_first = sim->frames ? sim->frames : SIM_PORT_GIB(1) / 16;
	pair->side_bytes = (size_t)sim->page_frames << AERO_FRAME_SHIFT;
	if (fd < 0 || ftruncate(fd, (off_t)pair->side_bytes))
		abort();
	pair->guest_side = map_side(fd, pair->side_bytes);
	pair->host_side = map_side(fd, pair->side_bytes);
	close(fd);
	sim->page_ram = pair->guest_side;
}

static void *translate(void *ctx, aero_gpa gpa, size_t *len, enum aero_access access)
{
	struct virtio_pair *pair = ctx;
	uint8_t *at = pair->sim.memory.translate(&pair->sim, gpa, len, access);

	return at ? pair->host_side + (at - pair->guest_side) : NULL;
}

static uint64_t is_ram(void *ctx, struct aero_range range)
{
	struct virtio_pair *pair = ctx;

	return pair->sim.memory.is_ram(&pair->sim, range);
}

static enum aero_status discard(void *ctx, struct aero_range range, uint64_t *out_freed_bytes)
{
	struct virtio_pair *pair = ctx;

	return pair->sim.memory.discard(&pair->sim, range, out_freed_bytes);
}

/* Both ends ----------------------------------------------------------------------------------- */

static void interrupt(void *ctx, uint32_t why, unsigned int index)
{
	struct virtio_pair *pair = ctx;

	(void)index;
	if (pair->is_deaf || pair->is_polled)
		return;
	pair->is_interrupted = true;
	pair->driver_interrupts++;
	aero_virtio_balloon_guest_interrupt(&pair->drv, why);
}

static void note_hint(void *ctx, struct aero_range range)
{
	struct virtio_pair *pair = ctx;

	pair->hinted_frames += range.count;
}

static void note_device_event(void *ctx, const struct aero_virtio_balloon_event *event)
{
	struct virtio_pair *pair = ctx;

	pair->device_events[event->kind]++;
}

static void note_event(void *ctx, const struct aero_balloon_event *event)
{
	struct virtio_pair *pair = ctx;

	pair->events[event->kind]++;
	pair->event_value[event->kind] = event->value;
}

static void answer_stats(void *ctx, struct aero_memory_stats *out)
{
	struct virtio_pair *pair = ctx;

	*out = pair->stats;
}

/* The kernel's blocks that were reported are free again. */
static void reported(void *ctx, const struct aero_range *ranges, size_t count, bool is_reported)
{
	struct virtio_pair *pair = ctx;

	pair->reported_calls++;
	for (size_t i = 0; i < count; i++) {
		if (is_reported)
			pair->reported_frames += ranges[i].count;
		else
			pair->unreported_frames += ranges[i].count;
	}
}

/* The guest is whatever this runs on. */
static bool is_big_endian(void)
{
	const uint16_t one = 1;
	uint8_t first;

	memcpy(&first, &one, 1);
	return !first;
}

static void open_device(struct virtio_pair *pair, const struct sim_virtio_config *options)
{
	struct sim_virtio_config config = *options;

	pair->memory = pair->sim.memory;
	pair->memory.ctx = pair;
	pair->memory.translate = translate;
	pair->memory.is_ram = is_ram;
	pair->memory.discard = discard;
	config.memory = &pair->memory;
	config.is_big_endian_guest = is_big_endian();
	config.nodes = pair->nodes.source;
	if (sim_virtio_init(&pair->virtio, &config))
		virtio_pair_complain(pair, "the device does not begin", config.offered, 0);
	pair->virtio.interrupt = interrupt;
	pair->virtio.hint = note_hint;
	pair->virtio.event = note_device_event;
	pair->virtio.hooks_ctx = pair;
}

static void open_driver(struct virtio_pair *pair, const struct virtio_pair_options *options)
{
	struct aero_virtio_balloon_guest_config config = options->guest;

	pair->port = pair->sim.port;
	pair->stats.known = options->stats;
	for (unsigned int i = 0; i < AERO_MEMORY_STATS; i++)
		pair->stats.value[i] = 0x1000000000000ull * (i + 1) + i;
	if (options->stats)
		pair->port.stats = answer_stats;
	pair->spans.ctx = &pair->sim;
	pair->spans.get = sim_port_span_get;
	pair->spans.put = sim_port_span_put;
	config.balloon.port = &pair->port;
	config.balloon.event = note_event;
	config.balloon.event_ctx = pair;
	config.transport = &pair->record.transport;
	if (options->device.is_legacy)
		config.memory = &pair->spans;
	if (options->is_pushing)
		config.reported = reported;
	config.reported_ctx = pair;
	if (aero_virtio_balloon_guest_init(&pair->drv, &config))
		virtio_pair_complain(pair, "the driver does not begin", 0, 0);
}

void virtio_pair_open(struct virtio_pair *pair, const struct virtio_pair_options *options)
{
	static const struct virtio_pair_options none;
	struct sim_virtio_entry *entries = NULL;
	struct sim_port_config sim;

	if (!options)
		options = &none;
	sim = options->sim;
	memset(pair, 0, sizeof(*pair));
	pair->now = VIRTIO_PAIR_SECOND;
	pair->thorough = 1;
	map_memory(pair, &sim);
	sim_port_init(&pair->sim, &sim);
	test_nodes_init(&pair->nodes);
	open_device(pair, &options->device);
	if (options->entries)
		entries = calloc((size_t)options->entries, sizeof(*entries));
	sim_virtio_record_init(&pair->record, &pair->virtio.transport, entries, options->entries);
	open_driver(pair, options);
}

/* Checks -------------------------------------------------------------------------------------- */

static bool is_in_protocol(const struct virtio_pair *pair)
{
	return pair->drv.is_live && !pair->drv.balloon.is_reset_required && !pair->virtio.is_gone;
}

/* Of the batches in flight, frames that the ledger has, and all of them. */
static void count_flying(const struct virtio_pair *pair, uint64_t *out_held, uint64_t *out_all)
{
	const struct aero_balloon *balloon = &pair->drv.balloon;

	*out_held = *out_all = 0;
	for (unsigned int i = 0; i < balloon->batch_count; i++) {
		const struct aero_pages_list *list = &balloon->batch[i].list;
		uint64_t frames = (uint64_t)1 << balloon->pages.size[list->size].order;

		for (uint32_t n = 0; balloon->batch[i].is_flying && n < list->count; n++) {
			struct aero_range block = { list->frames[n], frames };

			*out_held +=
				aero_frame_set_count_in(&pair->virtio.device.ledger.held, block);
			*out_all += frames;
		}
	}
}

/* The kernel has given every block of a run, and the ledger has so many of its frames. */
static uint64_t compare_run(struct virtio_pair *pair, struct aero_range run, unsigned int order)
{
	struct aero_range frames = { run.first << order, run.count << order };

	uint64_t lent = sim_buddy_lent_run(&pair->sim.buddy, frames);

	if (lent < frames.count)
		virtio_pair_complain(pair, "in the balloon and not out of the kernel",
				     frames.first + lent, order);
	return aero_frame_set_count_in(&pair->virtio.device.ledger.held, frames);
}

/*
 * What is lent and not in flight is in the ledger; what is in the ledger is lent, but for what goes
 * out at once where the device need not be asked.
 */
static void compare_books(struct virtio_pair *pair)
{
	const struct aero_balloon *balloon = &pair->drv.balloon;
	uint64_t held = 0, flying_held, flying, ledger = virtio_pair_ledger(pair);
	struct aero_range run;

	for (unsigned int i = 0; i < balloon->pages.size_count; i++) {
		const struct aero_pages_size *size = &balloon->pages.size[i];
		aero_frame from = 0;

		while (aero_frame_set_next(&size->lent, from, UINT64_MAX, &run)) {
			held += compare_run(pair, run, size->order);
			from = run.first + run.count;
		}
	}
	if (!is_in_protocol(pair))
		return;
	count_flying(pair, &flying_held, &flying);
	if (held - flying_held != virtio_guest_frames_lent(balloon) - flying)
		virtio_pair_complain(pair, "lent and at rest, but not in the ledger",
				     virtio_guest_frames_lent(balloon) - flying,
				     held - flying_held);
	if (ledger != held &&
	    (pair->drv.features & VIRTIO_PAIR_F(MUST_TELL_HOST) || !pair->drv.lane[1].flying))
		virtio_pair_complain(pair, "in the ledger, but not lent", ledger, held);
}

/* The sums; enough to see at which step something went wrong. */
static bool check_sums(struct virtio_pair *pair)
{
	const struct aero_balloon *balloon = &pair->drv.balloon;
	uint64_t has = virtio_guest_frames_lent(balloon) + virtio_guest_frames_beside(&pair->drv);
	uint64_t gave = sim_port_lent_frames(&pair->sim) - pair->outside_frames;
	uint64_t marked = aero_balloon_frames(balloon);

	if (pair->sim.violations && !pair->problem[0])
		snprintf(pair->problem, sizeof(pair->problem), "%s", pair->sim.violation);
	if (has != gave)
		virtio_pair_complain(pair, "frames the driver has and that the kernel gave", has,
				     gave);
	if (pair->port.set_offline && sim_port_offline_frames(&pair->sim) != marked)
		virtio_pair_complain(pair, "frames marked offline and in the balloon",
				     sim_port_offline_frames(&pair->sim), marked);
	if (balloon->pages.is_managed_kept || !pair->port.adjust_managed)
		marked = 0;
	if (sim_port_taken_frames(&pair->sim) != marked)
		virtio_pair_complain(pair, "frames that the kernel's count lacks",
				     sim_port_taken_frames(&pair->sim), marked);
	return !pair->problem[0];
}

bool virtio_pair_check(struct virtio_pair *pair)
{
	const char *violation = sim_port_check(&pair->sim);

	if (violation && !pair->problem[0])
		snprintf(pair->problem, sizeof(pair->problem), "%s", violation);
	if (aero_virtio_balloon_guest_validate(&pair->drv))
		virtio_pair_complain(pair, "the driver is not valid", virtio_pair_frames(pair), 0);
	if (aero_ledger_validate(&pair->virtio.device.ledger))
		virtio_pair_complain(pair, "the ledger is not valid", virtio_pair_ledger(pair), 0);
	compare_books(pair);
	return check_sums(pair);
}

bool virtio_pair_is_settled(struct virtio_pair *pair)
{
	const struct aero_virtio_balloon_guest *drv = &pair->drv;
	uint64_t frames = virtio_pair_frames(pair);
	bool is_idle = !drv->lane[0].flying && !drv->lane[1].flying && !drv->balloon.is_in_round;

	if (!virtio_pair_check(pair))
		return false;
	if (!is_idle || virtio_pair_stall(pair) != AERO_STALL_NONE)
		virtio_pair_complain(pair, aero_stall_str(virtio_pair_stall(pair)), is_idle,
				     frames);
	if (virtio_pair_ledger(pair) != frames)
		virtio_pair_complain(pair, "at rest: frames of the driver, of the ledger", frames,
				     virtio_pair_ledger(pair));
	if (pair->virtio.device.actual != frames)
		virtio_pair_complain(pair, "at rest: frames of the driver, actual", frames,
				     pair->virtio.device.actual);
	return !pair->problem[0];
}

/* Time ---------------------------------------------------------------------------------------- */

static void step_driver(struct virtio_pair *pair)
{
	if (pair->is_polled)
		aero_virtio_balloon_guest_interrupt(
			&pair->drv, AERO_VIRTIO_INTERRUPT_QUEUE | AERO_VIRTIO_INTERRUPT_CONFIG);
	pair->is_interrupted = false;
	pair->due = aero_virtio_balloon_guest_step(&pair->drv, pair->now);
	pair->driver_steps++;
	if (pair->due < pair->now)
		virtio_pair_complain(pair, "due in the past", pair->due, pair->now);
	if (pair->is_polled && pair->due > pair->now + POLLED_NS)
		pair->due = pair->now + POLLED_NS;
}

static void step_device(struct virtio_pair *pair)
{
	pair->virtio.now_ns = pair->now;
	pair->device_due = pair->is_device_still ? AERO_NEVER : sim_virtio_step(&pair->virtio);
}

bool virtio_pair_is_busy(const struct virtio_pair *pair)
{
	return pair->is_interrupted || pair->due <= pair->now || pair->device_due <= pair->now;
}

bool virtio_pair_step(struct virtio_pair *pair)
{
	if (pair->is_interrupted || pair->due <= pair->now)
		step_driver(pair);
	step_device(pair);
	return pair->steps++ % pair->thorough ? check_sums(pair) : virtio_pair_check(pair);
}

bool virtio_pair_settle(struct virtio_pair *pair)
{
	unsigned int steps = 0;

	do {
		if (!virtio_pair_step(pair))
			return false;
	} while (virtio_pair_is_busy(pair) && ++steps < STEPS_MAX);
	if (steps == STEPS_MAX)
		virtio_pair_complain(pair, "steps without end", pair->now, pair->due);
	return !pair->problem[0];
}

bool virtio_pair_run(struct virtio_pair *pair, uint64_t ns)
{
	uint64_t end = pair->now + ns;

	while (virtio_pair_settle(pair)) {
		uint64_t next = pair->due < pair->device_due ? pair->due : pair->device_due;

		if (pair->now >= end)
			return true;
		pair->now = next < end ? next : end;
	}
	return false;
}

bool virtio_pair_target(struct virtio_pair *pair, uint64_t frames)
{
	uint64_t told;

	aero_virtio_balloon_host_set_target(&pair->virtio.device, frames, &told);
	return virtio_pair_run(pair, VIRTIO_PAIR_SECOND / 10);
}

/* The end ------------------------------------------------------------------------------------- */

/* A kernel that calls again after an interrupt, or a millisecond later. */
static enum aero_status end(struct virtio_pair *pair, uint64_t ns,
			    enum aero_status (*call)(struct aero_virtio_balloon_guest *drv,
						     uint64_t now_ns))
{
	uint64_t limit = pair->now + ns;
	enum aero_status status;
	unsigned int steps = 0;

	for (;;) {
		pair->is_interrupted = false;
		status = call(&pair->drv, pair->now);
		if (status != AERO_EAGAIN || pair->now > limit)
			return status;
		step_device(pair);
		if (!(pair->steps++ % pair->thorough ? check_sums(pair) : virtio_pair_check(pair)))
			return AERO_EBUG;
		if (!pair->is_interrupted || ++steps % 64 == 0)
			pair->now += POLL_NS;
	}
}

enum aero_status virtio_pair_stop(struct virtio_pair *pair, uint64_t ns)
{
	return end(pair, ns, aero_virtio_balloon_guest_stop);
}

enum aero_status virtio_pair_suspend(struct virtio_pair *pair, uint64_t ns)
{
	return end(pair, ns, aero_virtio_balloon_guest_suspend);
}

const char *virtio_pair_close(struct virtio_pair *pair)
{
	enum aero_status status = virtio_pair_stop(pair, 10 * VIRTIO_PAIR_SECOND);
	const char *lost;

	if (status)
		virtio_pair_complain(pair, "the driver does not stop: status, frames", status,
				     virtio_pair_frames(pair));
	if (!pair->virtio.is_gone && virtio_pair_ledger(pair))
		virtio_pair_complain(pair, "the device still has frames", virtio_pair_ledger(pair),
				     0);
	if (pair->outside_frames)
		virtio_pair_complain(pair, "the test kept frames", pair->outside_frames, 0);
	if (aero_virtio_balloon_guest_validate(&pair->drv))
		virtio_pair_complain(pair, "not valid after stop()", 0, 0);
	aero_virtio_balloon_guest_fini(&pair->drv);
	sim_virtio_fini(&pair->virtio);
	if (pair->nodes.live)
		virtio_pair_complain(pair, "nodes of the device are left", pair->nodes.live, 0);
	lost = sim_port_check_empty(&pair->sim);
	if (lost && !pair->problem[0])
		snprintf(pair->problem, sizeof(pair->problem), "%s", lost);
	sim_port_fini(&pair->sim);
	free(pair->record.entries);
	munmap(pair->guest_side, pair->side_bytes);
	munmap(pair->host_side, pair->side_bytes);
	return pair->problem[0] ? pair->problem : NULL;
}

/* The kernel ---------------------------------------------------------------------------------- */

enum aero_status virtio_pair_migrate(struct virtio_pair *pair, unsigned int order,
				     aero_frame old_frame, aero_frame *out_new)
{
	struct aero_balloon *balloon = &pair->drv.balloon;
	bool was_eager = pair->virtio.is_eager;
	enum aero_status status;
	bool is_in = false;

	if (!aero_balloon_isolate(balloon, order, old_frame))
		return AERO_ENOENT;
	if (!sim_port_migrate_begin(&pair->sim, order, old_frame, out_new)) {
		aero_balloon_putback(balloon, order, old_frame);
		return AERO_ENOMEM;
	}
	pair->virtio.is_eager = !pair->is_device_still;
	status = aero_balloon_migrate(balloon, order, *out_new, old_frame, &is_in);
	pair->virtio.is_eager = was_eager;
	sim_port_migrate_end(&pair->sim, *out_new, !status, is_in);
	if (status)
		aero_balloon_putback(balloon, order, old_frame);
	/* Its step is called soon. */
	pair->due = pair->now;
	return status;
}

uint64_t virtio_pair_frames(const struct virtio_pair *pair)
{
	return aero_balloon_frames(&pair->drv.balloon);
}

uint64_t virtio_pair_ledger(const struct virtio_pair *pair)
{
	return aero_ledger_held(&pair->virtio.device.ledger);
}

enum aero_stall virtio_pair_stall(const struct virtio_pair *pair)
{
	struct aero_balloon_report report;

	aero_balloon_report(&pair->drv.balloon, &report);
	return report.stall;
}
