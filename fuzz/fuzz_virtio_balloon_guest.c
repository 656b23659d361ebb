/* SPDX-License-Identifier: MIT */

/*
 * A hostile device against virtio's balloon driver, on a kernel with a mind of its own and
 * sometimes no memory. After each step: validate(), the kernel's checks, and an account of every
 * frame, made of what the driver put into its rings and of what was answered: no frame is lost, and
 * none is the kernel's while the device has it. In the end stop() is done in bounded time, with
 * nobody there.
 *
 * Input: eight bytes of configuration, then operations; see operations[] below. What registers
 * answer is read from the end of the input backwards; see hostile(). Where the two meet operations
 * end, and from there on registers behave.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/virtio_fake_guest.h"

#define FRAMES 4096u /* of the kernel: 8 blocks of 2 MiB */
#define SECOND FAKE_GUEST_SECOND
#define STEPS_MAX 64 /* of one operation */
#define ISOLATED 8
#define PAGES 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
	const uint8_t *data;
	size_t front;
	size_t back; /* bytes from front to back are not used yet */
	struct fake_guest guest;
	struct aero_virtio_transport transport; /* between the recorder and the fake */
	const struct aero_virtio_transport *behind;
	aero_frame isolated[ISOLATED];
	unsigned int isolated_order[ISOLATED];
	unsigned int isolated_count;
	struct aero_range pushed[AERO_VIRTIO_BALLOON_GUEST_REPORT_MAX]; /* with the device */
	unsigned int pushed_count;
	unsigned int pushed_calls;
	unsigned int exchanges; /* that nobody may answer, which takes a million polls */
	bool is_answering;	/* each notification is served at once */
	bool is_stopped;
};

/* Input --------------------------------------------------------------------------------------- */

static uint64_t take(struct state *st, unsigned int len)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < len && st->front < st->back; i++)
		value |= (uint64_t)st->data[st->front++] << 8 * i;
	return value;
}

static uint64_t take_answer(struct state *st, unsigned int len)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < len && st->front < st->back; i++)
		value |= (uint64_t)st->data[--st->back] << 8 * i;
	return value;
}

/* Registers ----------------------------------------------------------------------------------- */

/* Whether this read is answered by the input; most are not. */
static bool hostile(struct state *st)
{
	return take_answer(st, 1) >= 0xf8;
}

/* What it says it is from now on: it keeps account of what it said. */
static uint64_t features(void *ctx)
{
	struct state *st = ctx;

	if (hostile(st))
		st->guest.fake.offered = take_answer(st, 8);
	return st->behind->features(st->behind->ctx);
}

static uint8_t status(void *ctx)
{
	struct state *st = ctx;

	return hostile(st) ? (uint8_t)take_answer(st, 1) : st->behind->status(st->behind->ctx);
}

static void config_read(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct state *st = ctx;

	if (hostile(st) && offset + 4 <= sizeof(st->guest.fake.config))
		virtio_fake_set_config(&st->guest.fake, offset, (uint32_t)take_answer(st, 4));
	st->behind->config_read(st->behind->ctx, offset, buf, len);
}

static uint32_t generation(void *ctx)
{
	struct state *st = ctx;

	return hostile(st) ? (uint32_t)take_answer(st, 1) : st->behind->generation(st->behind->ctx);
}

static uint32_t queue_size(void *ctx, unsigned int index)
{
	struct state *st = ctx;

	if (hostile(st) && index < VIRTIO_FAKE_QUEUES)
		st->guest.fake.queue_size[index] = (uint32_t)take_answer(st, 2);
	return st->behind->queue_size(st->behind->ctx, index);
}

static enum aero_status queue_start(void *ctx, unsigned int index,
				    const struct aero_virtio_ring *ring)
{
	struct state *st = ctx;

	return hostile(st) ? AERO_EIO : st->behind->queue_start(st->behind->ctx, index, ring);
}

static void notify(void *ctx, unsigned int index)
{
	struct state *st = ctx;

	st->behind->notify(st->behind->ctx, index);
	if (st->is_answering)
		(void)virtio_fake_serve(&st->guest.fake);
}

static void accept(void *ctx, uint64_t accepted)
{
	struct state *st = ctx;

	st->behind->accept(st->behind->ctx, accepted);
}

static void set_status(void *ctx, uint8_t value)
{
	struct state *st = ctx;

	st->behind->set_status(st->behind->ctx, value);
}

static void config_write(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	struct state *st = ctx;

	st->behind->config_write(st->behind->ctx, offset, buf, len);
}

static void put_between(struct state *st)
{
	st->behind = st->guest.record.behind;
	st->transport = *st->behind;
	st->transport.ctx = st;
	st->transport.features = features;
	st->transport.status = status;
	st->transport.config_read = config_read;
	st->transport.generation = generation;
	st->transport.queue_size = queue_size;
	st->transport.queue_start = queue_start;
	st->transport.notify = notify;
	st->transport.accept = accept;
	st->transport.set_status = set_status;
	st->transport.config_write = config_write;
	st->guest.record.behind = &st->transport;
}

/* Checks -------------------------------------------------------------------------------------- */

static void check_all(struct state *st)
{
	const char *wrong = fake_guest_check(&st->guest);

	if (wrong)
		fprintf(stderr, "%s\n", wrong);
	CHECK(!wrong && !st->guest.sim.is_locked);
}

/* Operations: time and the kernel ------------------------------------------------------------- */

static void step_once(struct state *st)
{
	struct fake_guest *guest = &st->guest;

	guest->due = aero_virtio_balloon_guest_step(&guest->drv, guest->now);
	CHECK(guest->due >= guest->now);
	CHECK(!aero_virtio_balloon_guest_validate(&guest->drv));
}

static void op_step(struct state *st)
{
	step_once(st);
}

/* As long as there is more at once; a device may keep it busy for ever. */
static void op_settle(struct state *st)
{
	unsigned int i = 0;

	do {
		step_once(st);
	} while (st->guest.due == st->guest.now && ++i < STEPS_MAX);
	if (st->guest.due != AERO_NEVER)
		st->guest.now = st->guest.due;
}

static void op_time(struct state *st)
{
	st->guest.now += take(st, 1) * (SECOND / 16);
}

static void op_interrupt(struct state *st)
{
	fake_guest_interrupt(&st->guest, (uint32_t)take(st, 1) & 3);
}

static void op_reclaim(struct state *st)
{
	uint64_t frames = take(st, 2) % 1024, came;
	enum aero_status status = aero_virtio_balloon_guest_reclaim(
		&st->guest.drv, (enum aero_reclaim)(frames & 1), frames, st->guest.now, &came);

	CHECK(status == AERO_OK || status == AERO_EAGAIN || status == AERO_EREFUSED ||
	      status == AERO_ENOTSUP);
	CHECK(came <= frames + 511);
}

static void op_isolate(struct state *st)
{
	struct aero_balloon *balloon = &st->guest.drv.balloon;
	unsigned int index = (unsigned int)take(st, 1) % balloon->pages.size_count;
	struct aero_pages_size *size = &balloon->pages.size[index];
	aero_frame from = take(st, 2) % FRAMES;
	struct aero_range run;

	if (st->isolated_count == ISOLATED ||
	    !aero_frame_set_next(&size->lent, from >> size->order, 1, &run) ||
	    !aero_balloon_isolate(balloon, size->order, run.first << size->order))
		return;
	st->isolated_order[st->isolated_count] = size->order;
	st->isolated[st->isolated_count++] = run.first << size->order;
}

static void op_putback(struct state *st)
{
	if (!st->isolated_count)
		return;
	st->isolated_count--;
	aero_balloon_putback(&st->guest.drv.balloon, st->isolated_order[st->isolated_count],
			     st->isolated[st->isolated_count]);
}

static void op_migrate(struct state *st)
{
	enum aero_status status;
	aero_frame old_frame, new_frame;
	unsigned int order;
	bool is_in = false;

	if (!st->isolated_count || st->exchanges > 1)
		return;
	old_frame = st->isolated[st->isolated_count - 1];
	order = st->isolated_order[st->isolated_count - 1];
	if (!sim_port_migrate_begin(&st->guest.sim, order, old_frame, &new_frame))
		return;
	st->is_answering = take(st, 1) & 7;
	st->exchanges += !st->is_answering || st->guest.fake.queue[0].is_wild ||
			 st->guest.fake.queue[1].is_wild;
	status = aero_balloon_migrate(&st->guest.drv.balloon, order, new_frame, old_frame, &is_in);
	st->is_answering = false;
	CHECK(status == AERO_OK || status == AERO_EAGAIN || status == AERO_EREFUSED ||
	      status == AERO_ENOTSUP);
	sim_port_migrate_end(&st->guest.sim, new_frame, !status, is_in);
	if (!status)
		st->isolated_count--;
}

static void op_inhibit(struct state *st)
{
	aero_balloon_inhibit(&st->guest.drv.balloon, take(st, 1) & 1);
}

static void op_fail(struct state *st)
{
	uint8_t how = (uint8_t)take(st, 1);

	sim_port_fail(&st->guest.sim, SIM_PORT_ALLOC | (how & 0x40 ? SIM_PORT_PAGE_GET : 0),
		      how & 0x3f, how & 0x80);
}

static void op_memory(struct state *st)
{
	uint8_t how = (uint8_t)take(st, 1);

	st->guest.sim.reclaim_floor = (how & 15) * 300;
	st->guest.sim.spare_floor = (uint64_t)(how >> 4) * 300;
}

static void op_pin(struct state *st)
{
	uint8_t how = (uint8_t)take(st, 1);

	if (how & 1)
		sim_port_unpin_all(&st->guest.sim);
	else
		sim_port_pin_random(&st->guest.sim, how);
}

static void op_reporting(struct state *st)
{
	uint8_t how = (uint8_t)take(st, 1);
	struct aero_virtio_balloon_reporting reporting = {
		.is_pulling = how & 1,
		.order = how >> 1 & 31,
		.delay_ns = (uint64_t)(how >> 6) * (SECOND / 4),
		.budget_bytes = take(st, 1) << 18,
	};

	(void)aero_virtio_balloon_guest_set_reporting(&st->guest.drv, &reporting);
}

/* Blocks that were answered are the kernel's again. */
static void free_pushed(struct state *st)
{
	struct fake_guest *guest = &st->guest;

	if (!st->pushed_count || guest->reported_calls == st->pushed_calls)
		return;
	while (st->pushed_count) {
		aero_frame first = st->pushed[--st->pushed_count].first;
		uint64_t frames = st->pushed[st->pushed_count].count;

		guest->port.free(guest->port.ctx, (unsigned int)__builtin_ctzll(frames), &first, 1);
		guest->outside_frames -= frames;
	}
}

static void op_push(struct state *st)
{
	struct fake_guest *guest = &st->guest;
	unsigned int order = (unsigned int)__builtin_ctz(guest->sim.config.orders);
	unsigned int want = 1 + (unsigned int)take(st, 1) % AERO_VIRTIO_BALLOON_GUEST_REPORT_MAX;
	enum aero_status status;
	aero_frame first;

	free_pushed(st);
	if (st->pushed_count)
		return;
	while (st->pushed_count < want &&
	       guest->port.alloc(guest->port.ctx, order, AERO_EFFORT_SPARE, &first, 1)) {
		st->pushed[st->pushed_count].first = first;
		st->pushed[st->pushed_count++].count = 1ull << order;
		guest->outside_frames += 1ull << order;
	}
	st->pushed_calls = guest->reported_calls;
	status = aero_virtio_balloon_guest_report_free(&guest->drv, st->pushed, st->pushed_count);
	CHECK(status == AERO_OK || status == AERO_ENOTSUP || status == AERO_EAGAIN ||
	      status == AERO_EINVAL);
	/* Not taken: there is no answer to come. */
	st->pushed_calls -= status != AERO_OK;
}

static void op_suspend(struct state *st)
{
	for (uint64_t n = 1 + take(st, 1) % 16; n; n--) {
		if (aero_virtio_balloon_guest_suspend(&st->guest.drv, st->guest.now) == AERO_OK) {
			CHECK(sim_port_lent_frames(&st->guest.sim) == st->guest.outside_frames);
			return;
		}
		check_all(st);
	}
}

static void op_resume(struct state *st)
{
	aero_virtio_balloon_guest_resume(&st->guest.drv);
}

static void op_stop(struct state *st)
{
	if (take(st, 1) != 0x5a)
		return;
	st->is_stopped = true;
	(void)aero_virtio_balloon_guest_stop(&st->guest.drv, st->guest.now);
}

/* Operations: the device ---------------------------------------------------------------------- */

static void op_target(struct state *st)
{
	virtio_fake_target(&st->guest.fake, (uint32_t)take(st, 1) * 24);
	fake_guest_interrupt(&st->guest, AERO_VIRTIO_INTERRUPT_CONFIG);
}

static void op_config(struct state *st)
{
	uint32_t offset = (uint32_t)take(st, 1) % 4 * 4;

	virtio_fake_set_config(&st->guest.fake, offset, (uint32_t)take(st, 4));
	fake_guest_interrupt(&st->guest, AERO_VIRTIO_INTERRUPT_CONFIG);
}

static void op_hint(struct state *st)
{
	static const uint32_t ids[] = { 0, 1, 2, 0x80000000 };
	uint8_t how = (uint8_t)take(st, 1);

	virtio_fake_set_config(&st->guest.fake, 8, ids[how & 3] + (how >> 2 & (how & 2 ? 63 : 0)));
	fake_guest_interrupt(&st->guest, AERO_VIRTIO_INTERRUPT_CONFIG);
}

/* A device that does what it should, with frames. */
static void op_serve(struct state *st)
{
	(void)virtio_fake_serve(&st->guest.fake);
	fake_guest_interrupt(&st->guest, AERO_VIRTIO_INTERRUPT_QUEUE);
}

static void op_take(struct state *st)
{
	for (uint64_t n = 1 + take(st, 1) % 16; n; n--) {
		(void)virtio_fake_request(&st->guest.fake, 0);
		(void)virtio_fake_request(&st->guest.fake, 1);
	}
}

/* Answers one that it took, in any order where it may. */
static void op_answer(struct state *st)
{
	struct virtio_fake *fake = &st->guest.fake;
	uint8_t how = (uint8_t)take(st, 1);
	unsigned int index = how & 1, count = fake->queue[index].flying_count;

	if (!count)
		return;
	virtio_fake_answer_nth(fake, index,
			       fake->queue[index].ring.ring.is_in_order ? 0 : (how >> 1) % count,
			       how & 0x80 ? (uint32_t)take(st, 4) : 0);
	if (how & 0x40)
		fake_guest_interrupt(&st->guest, AERO_VIRTIO_INTERRUPT_QUEUE);
}

/* The queues besides: takes what waits, answers some of it. */
static void op_beside(struct state *st)
{
	struct virtio_fake *fake = &st->guest.fake;
	uint8_t how = (uint8_t)take(st, 1);
	unsigned int index = 2 + how % 3;
	unsigned int answers = how >> 2 & 31;

	while (virtio_fake_pop(fake, index))
		;
	while (answers-- && fake->queue[index].flying_count)
		virtio_fake_push(fake, index, 0, how & 0x80 ? (uint32_t)take(st, 2) : 0);
	fake_guest_interrupt(&st->guest, AERO_VIRTIO_INTERRUPT_QUEUE);
}

/* Any used entry; what is in flight there is not to be relied on any more. */
static void op_wild_entry(struct state *st)
{
	struct virtio_fake_queue *queue = &st->guest.fake.queue[take(st, 1) % VIRTIO_FAKE_QUEUES];
	uint32_t id = (uint32_t)take(st, 1);

	if (!queue->is_up)
		return;
	queue->is_wild = true;
	virtio_device_put_used(&queue->ring, id == 0xff ? (uint32_t)take(st, 4) : id,
			       (uint32_t)take(st, 1));
	if (!queue->ring.ring.is_packed)
		queue->ring.used++;
	fake_guest_interrupt(&st->guest, AERO_VIRTIO_INTERRUPT_QUEUE);
}

/* Any bytes, in what the device may write of a ring. */
static void op_scribble(struct state *st)
{
	struct virtio_fake_queue *queue = &st->guest.fake.queue[take(st, 1) % VIRTIO_FAKE_QUEUES];
	const struct aero_virtio_guest_queue_config *ring = &queue->ring.ring;
	uint8_t *area = ring->device;
	size_t bytes = 6 + 8 * (size_t)ring->size;

	if (!queue->is_up)
		return;
	queue->is_wild = true;
	if (ring->is_packed) {
		uint8_t in_ring = (uint8_t)take(st, 1) & 1;

		area = in_ring ? ring->desc : ring->device;
		bytes = in_ring ? 16 * (size_t)ring->size : 4;
	}
	for (uint64_t n = take(st, 1) % 16; n; n--) {
		size_t at = (size_t)take(st, 2) % bytes;

		area[at] = (uint8_t)take(st, 1);
	}
	fake_guest_interrupt(&st->guest, AERO_VIRTIO_INTERRUPT_QUEUE);
}

static void op_kicks(struct state *st)
{
	struct virtio_fake_queue *queue = &st->guest.fake.queue[take(st, 1) % VIRTIO_FAKE_QUEUES];

	if (queue->is_up && !queue->is_wild)
		virtio_device_set_kicks(&queue->ring, take(st, 1) & 1);
}

static void op_status(struct state *st)
{
	uint8_t how = (uint8_t)take(st, 1);
	struct virtio_fake *fake = &st->guest.fake;

	fake->is_gone = false;
	if ((how & 6) == 6)
		virtio_fake_unplug(fake);
	fake->extra_status = how & 1 ? 64 : 0;
	fake->is_refusing = (how & 0x18) == 0x18;
	fake->slow_resets = (how & 0x60) == 0x60 ? (how & 0x80 ? VIRTIO_FAKE_GONE_FOREVER : 3) : 0;
	fake_guest_interrupt(&st->guest, AERO_VIRTIO_INTERRUPT_CONFIG);
}

static void op_offer(struct state *st)
{
	st->guest.fake.offered = take(st, 1) & 0x3f;
	st->guest.fake.offered |= take(st, 1) << 28 | 1ull << 32;
	if (st->guest.fake.transport.is_legacy)
		st->guest.fake.offered &= UINT32_MAX;
}

static void (*const operations[])(struct state *st) = {
	op_settle,     op_step,	     op_time,	 op_target,  op_serve,	   op_take,
	op_answer,     op_beside,    op_config,	 op_hint,    op_interrupt, op_reclaim,
	op_isolate,    op_putback,   op_migrate, op_inhibit, op_fail,	   op_memory,
	op_pin,	       op_reporting, op_push,	 op_suspend, op_resume,	   op_stop,
	op_wild_entry, op_scribble,  op_kicks,	 op_status,  op_offer,
};

/* A whole life -------------------------------------------------------------------------------- */

static void choose_options(struct state *st, struct fake_guest_options *options)
{
	static const uint32_t orders[] = { 1u << 0 | 1u << 9, 1, 1u << 2 | 1u << 9, 1u << 4 };
	uint8_t kernel = (uint8_t)take(st, 1), without = (uint8_t)take(st, 1);
	uint8_t driver = (uint8_t)take(st, 1);

	options->sim.frames = FRAMES;
	options->sim.page_first = FRAMES;
	options->sim.page_frames = PAGES;
	options->sim.orders = orders[kernel & 3];
	options->sim.order = (enum sim_order)((kernel >> 2) % 3);
	options->sim.seed = kernel;
	options->sim.without =
		(without & 1 ? SIM_PORT_LOCK : 0) | (without & 2 ? SIM_PORT_SET_OFFLINE : 0) |
		(without & 4 ? SIM_PORT_ADJUST_MANAGED : 0) | (without & 8 ? SIM_PORT_SPLIT : 0) |
		(without & 16 ? SIM_PORT_LOG : 0);
	options->is_legacy = driver & 1;
	options->is_pushing = driver & 2;
	options->stats = driver & 4 ? 0x35 : 0;
	options->guest.has_poison = driver & 8;
	options->guest.numbering = (enum aero_virtio_balloon_numbering)((driver >> 4) % 3);
	options->guest.reporting.is_pulling = driver & 0x40;
	options->guest.balloon.floor_frames = driver & 0x80 ? 700 : 0;
	options->guest.requests = (uint32_t)take(st, 1) % 65;
	options->guest.request_frames = (uint32_t)take(st, 2) % 16321;
}

static void open_guest(struct state *st)
{
	struct fake_guest_options options = { 0 };

	choose_options(st, &options);
	CHECK(!fake_guest_open(&st->guest, &options));
	put_between(st);
	op_offer(st);
}

/* Nobody answers, and registers behave: it ends all the same. */
static void close_guest(struct state *st)
{
	struct fake_guest *guest = &st->guest;
	uint64_t begin = guest->now;
	const char *lost;

	st->front = st->back;
	while (st->isolated_count)
		op_putback(st);
	while (aero_virtio_balloon_guest_stop(&guest->drv, guest->now) == AERO_EAGAIN) {
		guest->now += 50 * FAKE_GUEST_MS;
		CHECK(guest->now < begin + 6 * SECOND);
	}
	free_pushed(st);
	check_all(st);
	CHECK(!aero_balloon_frames(&guest->drv.balloon) && !st->pushed_count);
	aero_virtio_balloon_guest_fini(&guest->drv);
	lost = sim_port_check_empty(&guest->sim);
	if (lost)
		fprintf(stderr, "%s\n", lost);
	CHECK(!lost);
	sim_port_fini(&guest->sim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state *st = calloc(1, sizeof(*st));

	CHECK(st);
	st->data = data;
	st->back = size;
	open_guest(st);
	while (st->front < st->back) {
		operations[take(st, 1) % (sizeof(operations) / sizeof(operations[0]))](st);
		free_pushed(st);
		check_all(st);
	}
	close_guest(st);
	free(st);
	return 0;
}
