/* SPDX-License-Identifier: MIT */
/*
 * virtio's driver through a whole life, with the nth call of the port failing, once or from then
 * on, and with the device doing something else than it should at the nth access. Whatever happens
 * no frame is lost, and when all is well again the balloon gets where it should be: without another
 * word where the protocol lets a driver find out, else when the device says that it needs a reset.
 * AERO_TEST_FAULT=kind,variant,nth replays one.
 */
#include "support/test.h"

#include "support/virtio_pair.h"

/* Other machines are slow to emulate and sanitizers take their time: one place in five. */
#if defined(__has_feature)
#define HAS_SANITIZER __has_feature(address_sanitizer)
#else
#define HAS_SANITIZER 0
#endif
#if defined(AERO_TEST_PLAIN) || HAS_SANITIZER
#define STRIDE 5
#else
#define STRIDE 1
#endif
#define SECOND VIRTIO_PAIR_SECOND
#define FRAMES 4096
#define NEVER_THOROUGH 0x7fffffffu

enum kind {
	ALLOC_ONCE,
	PAGE_ONCE,
	PAGE_ON,
	BOTH_ON,
	PORT_KINDS, /* below are calls of the port, above accesses of the device */
	NEEDS_RESET = PORT_KINDS,
	RESETS_ITSELF,
	GONE,
	SILENT,
	GARBAGE_ONCE,
	GARBAGE_ON,
	DROPPED,
	KINDS,
};

struct life {
	struct virtio_pair pair;
	struct aero_virtio_transport transport; /* between the recorder and the loopback */
	const struct aero_virtio_transport *behind;
	enum kind kind;
	uint64_t left; /* accesses before the fault; 0: it was */
	unsigned int variant;
	uint64_t nth;
	bool has_met;
	bool is_misled; /* by what no driver can find out: the device must say that it is unwell */
	bool is_over;
	uint64_t garbage;
};

/* Faults of the device ------------------------------------------------------------------------ */

/* Whether this access is hit. */
static bool is_hit(struct life *life)
{
	if (life->kind < PORT_KINDS || life->is_over)
		return false;
	if (life->left) {
		life->left--;
		if (life->left)
			return false;
		life->has_met = true;
		return true;
	}
	return life->kind == GARBAGE_ON;
}

static uint64_t garbage(struct life *life)
{
	life->garbage = life->garbage * 6364136223846793005ull + 1442695040888963407ull;
	return life->garbage >> 16;
}

/* What the device does at its moment; answers whether the access goes wrong as well. */
static bool strike(struct life *life)
{
	struct virtio_pair *pair = &life->pair;

	if (!is_hit(life))
		return false;
	switch (life->kind) {
	case NEEDS_RESET:
		sim_virtio_need_reset(&pair->virtio);
		return false;
	case RESETS_ITSELF:
		(void)aero_virtio_balloon_host_set_status(&pair->virtio.device, 0);
		life->is_misled = true;
		return false;
	case GONE:
		/* What comes back later is another one. */
		(void)aero_virtio_balloon_host_set_status(&pair->virtio.device, 0);
		life->is_misled = true;
		pair->virtio.is_gone = true;
		return false;
	case SILENT:
		pair->is_device_still = true;
		return false;
	default:
		return true;
	}
}

static bool is_garbage(struct life *life)
{
	return strike(life) && life->kind != DROPPED;
}

static bool is_dropped(struct life *life)
{
	return strike(life) && life->kind == DROPPED;
}

/* A legacy device does not say what it thinks of an answer that was made out of this. */
static bool is_garbage_believed(struct life *life)
{
	bool is_it = is_garbage(life);

	life->is_misled |= is_it && life->behind->is_legacy;
	return is_it;
}

/* A device that was not told of anything does nothing. */
static bool is_order_dropped(struct life *life)
{
	bool is_it = is_dropped(life);

	life->is_misled |= is_it;
	return is_it;
}

static uint64_t features(void *ctx)
{
	struct life *life = ctx;

	return is_garbage_believed(life) ? garbage(life)
					 : life->behind->features(life->behind->ctx);
}

static void accept(void *ctx, uint64_t accepted)
{
	struct life *life = ctx;

	(void)strike(life);
	life->behind->accept(life->behind->ctx, accepted);
}

static uint8_t status(void *ctx)
{
	struct life *life = ctx;

	return is_garbage(life) ? (uint8_t)garbage(life) : life->behind->status(life->behind->ctx);
}

static void set_status(void *ctx, uint8_t value)
{
	struct life *life = ctx;

	if (!is_order_dropped(life))
		life->behind->set_status(life->behind->ctx, value);
}

static void config_read(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct life *life = ctx;
	uint64_t value = 0;

	if (is_garbage(life)) {
		value = garbage(life);
		memcpy(buf, &value, len < 8 ? len : 8);
		/* A round of hints that only this driver knows of has no end. */
		life->is_misled |= offset == offsetof(struct aero_virtio_balloon_wire_config,
						      free_page_hint_cmd_id);
		return;
	}
	life->behind->config_read(life->behind->ctx, offset, buf, len);
}

static void config_write(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	struct life *life = ctx;

	if (!is_dropped(life))
		life->behind->config_write(life->behind->ctx, offset, buf, len);
}

static uint32_t generation(void *ctx)
{
	struct life *life = ctx;

	return is_garbage(life) ? (uint32_t)garbage(life)
				: life->behind->generation(life->behind->ctx);
}

static uint32_t queue_size(void *ctx, unsigned int index)
{
	struct life *life = ctx;

	return is_garbage_believed(life) ? (uint16_t)garbage(life)
					 : life->behind->queue_size(life->behind->ctx, index);
}

static enum aero_status queue_start(void *ctx, unsigned int index,
				    const struct aero_virtio_ring *ring)
{
	struct life *life = ctx;

	return is_garbage(life) ? AERO_EIO
				: life->behind->queue_start(life->behind->ctx, index, ring);
}

static void notify(void *ctx, unsigned int index)
{
	struct life *life = ctx;

	if (!is_order_dropped(life))
		life->behind->notify(life->behind->ctx, index);
}

static void put_between(struct life *life)
{
	life->transport = *life->pair.record.behind;
	life->behind = life->pair.record.behind;
	life->transport.ctx = life;
	life->transport.features = features;
	life->transport.accept = accept;
	life->transport.status = status;
	life->transport.set_status = set_status;
	life->transport.config_read = config_read;
	life->transport.config_write = config_write;
	life->transport.generation = generation;
	life->transport.queue_size = queue_size;
	life->transport.queue_start = queue_start;
	life->transport.notify = notify;
	life->pair.record.behind = &life->transport;
}

/* A whole life -------------------------------------------------------------------------------- */

static void good(struct life *life, const char *where)
{
	if (life->pair.problem[0])
		fail_msg("AERO_TEST_FAULT=%d,%u,%llu, %s: %s", life->kind, life->variant,
			 (unsigned long long)life->nth, where, life->pair.problem);
}

static void live(struct life *life, uint64_t ns)
{
	(void)virtio_pair_run(&life->pair, ns);
	good(life, "life");
}

static void aim(struct life *life, uint64_t frames)
{
	(void)virtio_pair_target(&life->pair, frames);
	good(life, "target");
	live(life, 3 * SECOND);
}

static void move_one(struct life *life)
{
	struct aero_balloon *balloon = &life->pair.drv.balloon;
	struct aero_range run;
	aero_frame new_frame;

	/* An answer that never comes costs a million polls: once in a life is enough. */
	if (life->pair.is_device_still || life->pair.virtio.is_gone || life->kind == DROPPED ||
	    life->kind == RESETS_ITSELF)
		return;
	if (aero_frame_set_next(&balloon->pages.size[0].lent, 0, 1, &run))
		(void)virtio_pair_migrate(&life->pair, 0, run.first, &new_frame);
}

static void whole_life(struct life *life)
{
	struct virtio_pair *pair = &life->pair;
	struct aero_virtio_balloon *dev = &pair->virtio.device;
	uint64_t came;

	live(life, SECOND);
	aim(life, 1000);
	(void)aero_virtio_balloon_host_request_stats(dev);
	aim(life, 2500);
	move_one(life);
	live(life, SECOND);
	(void)aero_virtio_balloon_host_hint_start(dev);
	live(life, SECOND);
	(void)aero_virtio_balloon_host_hint_done(dev);
	(void)aero_virtio_balloon_guest_reclaim(&pair->drv, AERO_RECLAIM_OOM, 600, pair->now,
						&came);
	pair->due = pair->now;
	live(life, 6 * SECOND);
	aim(life, 100);
	if (virtio_pair_suspend(pair, 10 * SECOND))
		virtio_pair_complain(pair, "no end of suspend()", 0, 0);
	good(life, "suspend");
	aero_virtio_balloon_guest_resume(&pair->drv);
	pair->due = pair->now;
	live(life, 2 * SECOND);
	aim(life, 700);
}

/* All is well again: the balloon has to follow. */
static void recover(struct life *life)
{
	struct virtio_pair *pair = &life->pair;

	life->is_over = true;
	sim_port_fail(&pair->sim, 0, 0, false);
	pair->is_device_still = pair->virtio.is_gone = false;
	/* Everything else a driver finds out by itself. */
	if (life->is_misled) {
		sim_virtio_need_reset(&pair->virtio);
		live(life, 3 * SECOND);
	}
	aim(life, 900);
	live(life, 40 * SECOND);
	(void)virtio_pair_is_settled(pair);
	good(life, "in the end");
	if (virtio_pair_frames(pair) != 900)
		virtio_pair_complain(pair, "frames", virtio_pair_frames(pair), 900);
	good(life, "frames");
}

static const struct virtio_pair_options variants[] = {
	{ .device = { .offered = VIRTIO_PAIR_T(VERSION_1) | 0x3f } },
	{ .device = { .offered = VIRTIO_PAIR_T(VERSION_1) | VIRTIO_PAIR_T(RING_PACKED) |
				 VIRTIO_PAIR_T(EVENT_IDX) | VIRTIO_PAIR_T(INDIRECT_DESC) | 0x2e } },
	{ .device = { .offered = 0x27, .is_legacy = true },
	  .guest = { .requests = 2, .request_frames = 1500 } },
};

static const uint32_t port_calls[PORT_KINDS] = {
	[ALLOC_ONCE] = SIM_PORT_ALLOC,
	[PAGE_ONCE] = SIM_PORT_PAGE_GET,
	[PAGE_ON] = SIM_PORT_PAGE_GET,
	[BOTH_ON] = SIM_PORT_ALLOC | SIM_PORT_PAGE_GET,
};

/* Whether the fault was met. */
static bool run_with(enum kind kind, unsigned int variant, uint64_t nth)
{
	struct virtio_pair_options options = variants[variant];
	struct life *life = calloc(1, sizeof(*life));
	bool has_met;

	assert_non_null(life);
	options.sim.frames = FRAMES;
	options.guest.reporting.is_pulling = true;
	options.guest.reporting.delay_ns = 4 * SECOND;
	options.guest.balloon.backoff_max_ns = SECOND;
	options.stats = 0x33;
	virtio_pair_open(&life->pair, &options);
	/* The books of both ends may differ on the way: it is the device that forgets. */
	life->pair.thorough = kind < PORT_KINDS ? 16 : NEVER_THOROUGH;
	life->kind = kind;
	life->left = life->nth = nth;
	life->variant = variant;
	life->garbage = nth;
	put_between(life);
	if (kind < PORT_KINDS)
		sim_port_fail(&life->pair.sim, port_calls[kind], nth, kind >= PAGE_ON);
	whole_life(life);
	has_met = life->has_met || (kind < PORT_KINDS && life->pair.sim.counters.failures);
	recover(life);
	(void)virtio_pair_close(&life->pair);
	good(life, "closed");
	free(life);
	return has_met;
}

static void run_all(enum kind kind)
{
	const char *replay = getenv("AERO_TEST_FAULT");
	unsigned int wanted, variant;
	unsigned long nth;

	if (replay) {
		assert_int_equal(sscanf(replay, "%u,%u,%lu", &wanted, &variant, &nth), 3);
		if (wanted == kind)
			(void)run_with(kind, variant, nth);
		return;
	}
	for (variant = 0; variant < TEST_ARRAY_SIZE(variants); variant++) {
		/* The last line before a failure is what replays it, or nearly. */
		for (nth = 1 + variant % STRIDE;; nth += STRIDE) {
			if (nth / STRIDE % 50 == 0)
				print_message("# AERO_TEST_FAULT=%u,%u,%lu and on\n", kind, variant,
					      nth);
			if (!run_with(kind, variant, nth))
				break;
		}
		assert_in_range(nth, 10, 3000);
	}
}

static void test_every_allocation_failing_once(void **state)
{
	(void)state;
	run_all(ALLOC_ONCE);
}

static void test_every_page_failing_once(void **state)
{
	(void)state;
	run_all(PAGE_ONCE);
}

static void test_every_call_failing_from_then_on(void **state)
{
	(void)state;
	run_all(PAGE_ON);
	run_all(BOTH_ON);
}

static void test_the_device_needs_a_reset_at_every_access(void **state)
{
	(void)state;
	run_all(NEEDS_RESET);
}

static void test_the_device_resets_itself_at_every_access(void **state)
{
	(void)state;
	run_all(RESETS_ITSELF);
}

static void test_the_device_is_gone_at_every_access(void **state)
{
	(void)state;
	run_all(GONE);
}

static void test_the_device_falls_silent_at_every_access(void **state)
{
	(void)state;
	run_all(SILENT);
}

static void test_every_access_answers_garbage(void **state)
{
	(void)state;
	run_all(GARBAGE_ONCE);
	run_all(GARBAGE_ON);
}

static void test_every_write_is_lost(void **state)
{
	(void)state;
	run_all(DROPPED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_allocation_failing_once),
		cmocka_unit_test(test_every_page_failing_once),
		cmocka_unit_test(test_every_call_failing_from_then_on),
		cmocka_unit_test(test_the_device_needs_a_reset_at_every_access),
		cmocka_unit_test(test_the_device_resets_itself_at_every_access),
		cmocka_unit_test(test_the_device_is_gone_at_every_access),
		cmocka_unit_test(test_the_device_falls_silent_at_every_access),
		cmocka_unit_test(test_every_access_answers_garbage),
		cmocka_unit_test(test_every_write_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
