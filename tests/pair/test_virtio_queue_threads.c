/* SPDX-License-Identifier: MIT */
/*
 * Both ends of a virtqueue at the same time, on two processors: each sleeps when it has nothing to
 * do and is woken by nothing but the other's kick or interrupt. One that is lost, or an entry that
 * is seen before its content, ends the test. It is a matter of chance: with the full barrier of
 * kick_needed() taken out, about every second run loses a kick.
 */
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include <aerostat/guest/virtio_queue.h>
#include <aerostat/host/virtio_queue.h>

#include "support/guest_ram.h"
#include "support/test.h"

#define RING_GPA 0x123450000ull
#define CHAINS 50000u
#define SLOTS_MAX 64
#define PATIENCE_S 20
#define SPINS 3000 /* before it really sleeps: the faster they take turns, the more is tried */

struct threads {
	struct guest_ram ram;
	struct aero_virtio_guest_queue driver;
	struct aero_virtio_queue device;
	struct aero_virtio_guest_slot slots[SLOTS_MAX];
	uint32_t stride; /* interrupts after so many */
	sem_t kick;
	sem_t interrupt;
	/* Each written by its own thread. */
	const char *driver_problem;
	const char *device_problem;
	uint32_t kicks;
	uint32_t interrupts;
};

static bool sleep_for(sem_t *sem)
{
	struct timespec until;

	for (int i = 0; i < SPINS; i++)
		if (!sem_trywait(sem))
			return true;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	return !sem_timedwait(sem, &until);
}

/* The content of the nth chain: its address tells the number, its length too. */
static aero_gpa gpa_of(uint32_t n)
{
	return 0x1000ull * (n + 1);
}

static uint32_t len_of(uint32_t n)
{
	return 1 + n % 5000;
}

/* One popped chain checked and returned; the device serves in order. */
static const char *serve(struct threads *t, struct aero_virtio_chain *chain, uint32_t n)
{
	struct aero_virtio_segment segment;

	if (aero_virtio_queue_next_segment(&t->device, chain, &segment) != AERO_OK)
		return "device: no segment";
	if (segment.gpa != gpa_of(n) || segment.len != len_of(n) || !segment.is_writable)
		return "device: not what was given";
	if (aero_virtio_queue_push(&t->device, chain, n % segment.len) != AERO_OK)
		return "device: push failed";
	if (aero_virtio_queue_should_notify(&t->device)) {
		t->interrupts++;
		sem_post(&t->interrupt);
	}
	return NULL;
}

/* Asks for kicks only before it sleeps, as a device that polls while there is work. */
static const char *run_device(struct threads *t)
{
	for (uint32_t n = 0; n < CHAINS;) {
		struct aero_virtio_chain chain;
		enum aero_status status = aero_virtio_queue_pop(&t->device, &chain);
		const char *problem = NULL;

		if (status == AERO_OK)
			problem = serve(t, &chain, n++);
		else if (status != AERO_EAGAIN)
			problem = "device: the queue is broken";
		else if (!aero_virtio_queue_set_kicks(&t->device, true) && !sleep_for(&t->kick))
			problem = "device: a kick was lost";
		else
			(void)aero_virtio_queue_set_kicks(&t->device, false);
		if (problem)
			return problem;
	}
	return NULL;
}

static void *device_thread(void *arg)
{
	struct threads *t = arg;

	t->device_problem = run_device(t);
	return NULL;
}

static void give_some(struct threads *t, uint32_t *given)
{
	while (*given < CHAINS) {
		struct aero_virtio_guest_buffer buffer = {
			.gpa = gpa_of(*given),
			.len = len_of(*given),
			.is_writable = true,
		};
		struct aero_virtio_guest_chain chain = {
			.buffers = &buffer,
			.count = 1,
			.token = (uint16_t)*given,
		};

		if (aero_virtio_guest_queue_give(&t->driver, &chain) != AERO_OK)
			break;
		++*given;
	}
	if (aero_virtio_guest_queue_kick_needed(&t->driver)) {
		t->kicks++;
		sem_post(&t->kick);
	}
}

static const char *run_driver(struct threads *t)
{
	uint32_t given = 0;

	for (uint32_t n = 0; n < CHAINS;) {
		struct aero_virtio_guest_used used;
		enum aero_status status;

		give_some(t, &given);
		status = aero_virtio_guest_queue_take(&t->driver, &used);
		if (status == AERO_OK) {
			if (used.token != (uint16_t)n || used.len != n % len_of(n))
				return "driver: not what was returned";
			n++;
		} else if (status != AERO_EAGAIN) {
			return "driver: the queue is broken";
		} else if (!aero_virtio_guest_queue_interrupt_after(&t->driver, t->stride) &&
			   !sleep_for(&t->interrupt)) {
			return "driver: an interrupt was lost";
		}
	}
	return NULL;
}

static void run(const struct aero_virtio_guest_queue_config *format, uint32_t stride)
{
	static struct threads threads;
	struct threads *t = &threads;
	struct aero_virtio_guest_queue_config ring = *format;
	struct aero_virtio_queue_config host = {
		.memory = &t->ram.memory,
		.size = format->size,
		.is_packed = format->is_packed,
		.has_event_idx = format->has_event_idx,
		.desc = RING_GPA,
		.driver = RING_GPA + 0x1000,
		.device = RING_GPA + 0x2000,
		.base = format->is_packed ? 0x80008000u : 0,
	};
	pthread_t thread;

	memset(t, 0, sizeof(*t));
	t->stride = stride;
	guest_ram_init(&t->ram);
	ring.desc = guest_ram_add(&t->ram, RING_GPA, 0x1000);
	ring.driver = guest_ram_add(&t->ram, RING_GPA + 0x1000, 0x1000);
	ring.device = guest_ram_add(&t->ram, RING_GPA + 0x2000, 0x1000);
	ring.slots = t->slots;
	sem_init(&t->kick, 0, 0);
	sem_init(&t->interrupt, 0, 0);
	assert_int_equal(aero_virtio_guest_queue_start(&t->driver, &ring), AERO_OK);
	assert_int_equal(aero_virtio_queue_start(&t->device, &host), AERO_OK);
	assert_int_equal(pthread_create(&thread, NULL, device_thread, t), 0);
	t->driver_problem = run_driver(t);
	pthread_join(thread, NULL);
	if (t->driver_problem || t->device_problem)
		fail_msg("%s; %s", t->driver_problem ? t->driver_problem : "driver: good",
			 t->device_problem ? t->device_problem : "device: good");
	assert_int_equal(aero_virtio_guest_queue_validate(&t->driver), AERO_OK);
	print_message("%u chains, %u kicks, %u interrupts\n", CHAINS, t->kicks, t->interrupts);
	guest_ram_fini(&t->ram);
}

static void test_split_both_at_once(void **state)
{
	(void)state;
	run(&(struct aero_virtio_guest_queue_config){ .size = 64 }, 1);
	run(&(struct aero_virtio_guest_queue_config){ .size = 1 }, 1);
	run(&(struct aero_virtio_guest_queue_config){ .size = 64, .is_in_order = true }, 1);
}

static void test_split_event_both_at_once(void **state)
{
	struct aero_virtio_guest_queue_config ring = { .size = 64, .has_event_idx = true };

	(void)state;
	run(&ring, 1);
	run(&ring, 20);
	ring.size = 1;
	run(&ring, 1);
}

static void test_packed_both_at_once(void **state)
{
	(void)state;
	run(&(struct aero_virtio_guest_queue_config){ .size = 61, .is_packed = true }, 1);
	run(&(struct aero_virtio_guest_queue_config){ .size = 1, .is_packed = true }, 1);
	run(&(struct aero_virtio_guest_queue_config){ .size = 61,
						      .is_packed = true,
						      .is_in_order = true },
	    1);
}

static void test_packed_event_both_at_once(void **state)
{
	struct aero_virtio_guest_queue_config ring = {
		.size = 61,
		.is_packed = true,
		.has_event_idx = true,
	};

	(void)state;
	run(&ring, 1);
	run(&ring, 20);
	ring.is_in_order = true;
	run(&ring, 20);
	ring.size = 1;
	run(&ring, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_both_at_once),
		cmocka_unit_test(test_split_event_both_at_once),
		cmocka_unit_test(test_packed_both_at_once),
		cmocka_unit_test(test_packed_event_both_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
