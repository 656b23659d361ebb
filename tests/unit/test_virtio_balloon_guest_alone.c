/* SPDX-License-Identifier: MIT */
#include "test_virtio_balloon_guest_case.h"

/*
 * One call at a time is at the transport. Whenever the driver is there, another thread comes, as it
 * may: the kernel's reclaim and migration while a step is at work, a step while they are.
 */

#define STATS_QUEUE 2u
#define HINT_QUEUE 3u
#define REPORT_QUEUE 4u
#define HINT_ID 8u
#define ALL                                                                                       \
	(T(VERSION_1) | F(STATS_VQ) | F(DEFLATE_ON_OOM) | F(FREE_PAGE_HINT) | F(MUST_TELL_HOST) | \
	 F(PAGE_REPORTING))

struct intruder {
	struct aero_virtio_transport behind;
	struct fake_guest *guest;
	bool is_inside;
	bool is_kernel; /* reclaim() or migrate() is at work, else step() */
	unsigned int visits[SIM_VIRTIO_ACCESSES];
	unsigned int kernel_visits;
};

/* One for all: members of a transport have one ctx, and that is the record's. */
static struct intruder intruder;

static void come_as_kernel(struct aero_virtio_balloon_guest *drv, uint64_t now)
{
	const struct aero_range free_range = { 1, 1 };
	uint64_t came = 1;
	bool is_in;

	assert_int_equal(aero_virtio_balloon_guest_reclaim(drv, AERO_RECLAIM_OOM, 1, now, &came),
			 AERO_EAGAIN);
	assert_int_equal(came, 0);
	assert_int_equal(aero_balloon_migrate(&drv->balloon, 0, 1, 2, &is_in), AERO_EAGAIN);
	assert_int_equal(aero_virtio_balloon_guest_report_free(drv, &free_range, 1), AERO_EAGAIN);
}

static void *come(enum sim_virtio_access access)
{
	struct fake_guest *guest = intruder.guest;

	/* Two at a time. */
	assert_false(intruder.is_inside);
	intruder.is_inside = true;
	intruder.visits[access]++;
	intruder.kernel_visits += intruder.is_kernel;
	if (intruder.is_kernel)
		assert_true(aero_virtio_balloon_guest_step(&guest->drv, guest->now) > guest->now);
	else
		come_as_kernel(&guest->drv, guest->now);
	intruder.is_inside = false;
	return intruder.behind.ctx;
}

static uint64_t features(void *ctx)
{
	(void)ctx;
	return intruder.behind.features(come(SIM_VIRTIO_FEATURES));
}

static void accept(void *ctx, uint64_t accepted)
{
	(void)ctx;
	intruder.behind.accept(come(SIM_VIRTIO_ACCEPT), accepted);
}

static uint8_t status(void *ctx)
{
	(void)ctx;
	return intruder.behind.status(come(SIM_VIRTIO_STATUS));
}

static void set_status(void *ctx, uint8_t value)
{
	(void)ctx;
	intruder.behind.set_status(come(SIM_VIRTIO_SET_STATUS), value);
}

static void config_read(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	(void)ctx;
	intruder.behind.config_read(come(SIM_VIRTIO_CONFIG_READ), offset, buf, len);
}

static void config_write(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	(void)ctx;
	intruder.behind.config_write(come(SIM_VIRTIO_CONFIG_WRITE), offset, buf, len);
}

static uint32_t generation(void *ctx)
{
	(void)ctx;
	return intruder.behind.generation(come(SIM_VIRTIO_GENERATION));
}

static uint32_t queue_size(void *ctx, unsigned int index)
{
	(void)ctx;
	return intruder.behind.queue_size(come(SIM_VIRTIO_QUEUE_SIZE), index);
}

static enum aero_status queue_start(void *ctx, unsigned int index,
				    const struct aero_virtio_ring *ring)
{
	(void)ctx;
	return intruder.behind.queue_start(come(SIM_VIRTIO_QUEUE_START), index, ring);
}

static void notify(void *ctx, unsigned int index)
{
	(void)ctx;
	intruder.behind.notify(come(SIM_VIRTIO_NOTIFY), index);
}

/* Comes whenever the driver is at its transport, from the next call on. */
static void invite(struct fake_guest *guest)
{
	struct aero_virtio_transport *transport = &guest->record.transport;

	memset(&intruder, 0, sizeof(intruder));
	intruder.behind = *transport;
	intruder.guest = guest;
	transport->features = features;
	transport->accept = accept;
	transport->status = status;
	transport->set_status = set_status;
	transport->config_read = config_read;
	transport->config_write = config_write;
	transport->generation = generation;
	transport->queue_size = queue_size;
	transport->queue_start = queue_start;
	transport->notify = notify;
}

static struct fake_guest *new_invited(bool is_pulling)
{
	struct fake_guest_options options = {
		.guest = { .reporting = { .is_pulling = is_pulling, .budget_bytes = 8u << 20 } },
		.stats = 0xffff,
		.is_pushing = true,
	};
	struct fake_guest *guest = new_guest(&options);

	guest->fake.offered = ALL;
	invite(guest);
	fake_guest_serve(guest);
	assert_true(guest->drv.is_live);
	return guest;
}

/* Takes what a queue has, answers it, and lets the driver see it. */
static unsigned int answer(struct fake_guest *guest, unsigned int queue)
{
	unsigned int count = 0;

	while (virtio_fake_pop(&guest->fake, queue)) {
		virtio_fake_push(&guest->fake, queue, 0, 0);
		count++;
	}
	fake_guest_interrupt(guest, QUEUE_ANSWER);
	fake_guest_settle(guest);
	return count;
}

static void test_nobody_else_is_at_the_transport_while_a_step_is(void **state)
{
	struct fake_guest *guest = new_invited(true);

	(void)state;
	fake_guest_target(guest, 3000);
	assert_int_equal(answer(guest, STATS_QUEUE), 1);
	virtio_fake_set_config(&guest->fake, HINT_ID, 0x80000000u);
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	fake_guest_settle(guest);
	assert_true(answer(guest, HINT_QUEUE) > 0);
	virtio_fake_set_config(&guest->fake, HINT_ID, AERO_VIRTIO_BALLOON_HINT_DONE);
	fake_guest_target(guest, 1000);
	fake_guest_wait(guest, 3 * SECOND);
	assert_true(answer(guest, REPORT_QUEUE) > 0);
	/* Every way there is. */
	for (unsigned int access = 0; access < SIM_VIRTIO_INTERRUPTS; access++)
		assert_true(intruder.visits[access] > 0);
	assert_int_equal(guest->fake.actual, 1000);
	assert_int_equal(intruder.kernel_visits, 0);
	end_guest(guest);
}

/* A resize that lasts tells how far it is, and that is not overtaken. */
static void test_progress_is_told_by_one_call_at_a_time(void **state)
{
	struct fake_guest *guest = new_invited(false);
	unsigned int before = intruder.visits[SIM_VIRTIO_CONFIG_WRITE];

	(void)state;
	virtio_fake_target(&guest->fake, 9000);
	fake_guest_interrupt(guest, CONFIG_CHANGE);
	fake_guest_settle(guest);
	for (unsigned int i = 0; i < 30; i++) {
		fake_guest_wait(guest, 500 * MS);
		if (guest->fake.queue[0].flying_count || virtio_fake_request(&guest->fake, 0))
			virtio_fake_answer(&guest->fake, 0, 0);
		fake_guest_interrupt(guest, QUEUE_ANSWER);
		fake_guest_settle(guest);
	}
	assert_true(intruder.visits[SIM_VIRTIO_CONFIG_WRITE] > before + 1);
	fake_guest_serve(guest);
	assert_int_equal(guest->fake.actual, fake_guest_frames(guest));
	end_guest(guest);
}

static void test_no_step_is_at_the_transport_while_the_kernel_is(void **state)
{
	struct fake_guest *guest = new_invited(false);
	struct aero_virtio_balloon_guest *drv = &guest->drv;
	struct aero_range lent;
	aero_frame spare;
	uint64_t came;
	bool is_in;

	(void)state;
	fake_guest_target(guest, 3000);
	assert_int_equal(guest->port.alloc(guest->port.ctx, 0, AERO_EFFORT_SPARE, &spare, 1), 1);
	guest->outside_frames = 1;
	/* What a step would have to do: to ask, and to answer. */
	assert_non_null(virtio_fake_pop(&guest->fake, STATS_QUEUE));
	virtio_fake_push(&guest->fake, STATS_QUEUE, 0, 0);
	virtio_fake_target(&guest->fake, 2900);
	aero_virtio_balloon_guest_interrupt(drv, CONFIG_CHANGE | QUEUE_ANSWER);
	intruder.is_kernel = true;
	assert_int_equal(aero_virtio_balloon_guest_reclaim(drv, AERO_RECLAIM_OOM, 512, guest->now,
							   &came),
			 AERO_OK);
	assert_true(intruder.kernel_visits > 0);
	intruder.is_kernel = false;
	fake_guest_serve(guest);
	assert_true(aero_frame_set_next(&drv->balloon.pages.size[0].lent, 0, 1, &lent));
	intruder.is_kernel = true;
	intruder.kernel_visits = 0;
	/* A migration that is not answered: the device is reset. */
	assert_true(aero_balloon_isolate(&drv->balloon, 0, lent.first));
	assert_int_equal(aero_balloon_migrate(&drv->balloon, 0, spare, lent.first, &is_in),
			 AERO_EREFUSED);
	aero_balloon_putback(&drv->balloon, 0, lent.first);
	assert_true(intruder.kernel_visits > 2);
	intruder.is_kernel = false;
	guest->port.free(guest->port.ctx, 0, &spare, 1);
	guest->outside_frames = 0;
	guest->due = guest->now;
	fake_guest_wait(guest, 2 * SECOND);
	fake_guest_serve(guest);
	assert_true(drv->is_live);
	end_guest(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_else_is_at_the_transport_while_a_step_is),
		cmocka_unit_test(test_progress_is_told_by_one_call_at_a_time),
		cmocka_unit_test(test_no_step_is_at_the_transport_while_the_kernel_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
