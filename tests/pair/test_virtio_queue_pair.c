/* SPDX-License-Identifier: MIT */
/*
 * The driver's end of a virtqueue against the device's, on random schedules: chains of any shape
 * given, popped, returned in any order and taken, kicks and interrupts asked for and refused, both
 * ends asleep until they are told, rings of all formats and sizes, resets. The driver reaches guest
 * memory at its own addresses, the device through translations.
 *
 * A model knows every chain. After every step: the order and the content of what went over, both
 * ends' own checks, and that nobody sleeps while there is work that the other was to tell of.
 *
 * AERO_TEST_SEED=N replays one schedule.
 */
#include <aerostat/guest/virtio_queue.h>
#include <aerostat/host/virtio_queue.h>

#include "support/guest_ram.h"
#include "support/random.h"
#include "support/test.h"

/* Other machines are slow to emulate and sanitizers take their time: they replay the first ones. */
#if defined(__has_feature)
#define HAS_SANITIZER __has_feature(address_sanitizer)
#else
#define HAS_SANITIZER 0
#endif
#if defined(AERO_TEST_PLAIN)
#define SCHEDULES 60
#elif HAS_SANITIZER
#define SCHEDULES 300
#else
#define SCHEDULES 2000
#endif
#define STEPS 600

#define RING_GPA 0x123450000ull
#define TABLES_GPA 0x7000000000ull
#define DATA_GPA 0x4567890000ull
#define TABLES 32
#define TABLE_BYTES (16 * AERO_VIRTIO_GUEST_CHAIN_MAX)
#define BUFFERS 12

/* One chain; its number is its token. */
struct flight {
	struct aero_virtio_guest_buffer buffers[BUFFERS];
	struct aero_virtio_chain chain; /* the device's */
	uint32_t count;
	uint32_t writable;
	uint32_t len; /* what the device says */
	int table;    /* -1: none */
	bool is_used;
};

struct fifo {
	uint16_t *tokens;
	uint32_t head;
	uint32_t count;
};

struct pair {
	struct test_random random;
	struct guest_ram ram;
	uint8_t *tables;
	struct aero_virtio_guest_queue_config ring;
	struct aero_virtio_queue_config host_ring;
	struct aero_virtio_guest_queue driver;
	struct aero_virtio_queue device;
	struct flight *flights;
	uint16_t next_token;
	struct fifo given;    /* not yet popped */
	struct fifo held;     /* by the device */
	struct fifo returned; /* not yet taken */
	bool is_table_used[TABLES];
	bool is_device_asleep; /* until a kick */
	bool is_driver_asleep; /* until an interrupt */
	bool has_kicks;	       /* the device asks for kicks */
	bool is_kick_owed;     /* given, and kick_needed() not asked since */
	bool is_notify_owed;   /* pushed, and should_notify() not asked since */
	uint32_t wanted;       /* asleep: until so many are back */
	uint64_t passed;
};

static uint32_t below(struct pair *p, uint32_t limit)
{
	return (uint32_t)test_random_below(&p->random, limit);
}

static void append(const struct pair *p, struct fifo *fifo, uint16_t token)
{
	assert_true(fifo->count < p->ring.size);
	fifo->tokens[(fifo->head + fifo->count++) % p->ring.size] = token;
}

/* Takes the nth away; those before it move up. */
static uint16_t pick(const struct pair *p, struct fifo *fifo, uint32_t nth)
{
	uint32_t size = p->ring.size;
	uint16_t token = fifo->tokens[(fifo->head + nth) % size];

	assert_true(nth < fifo->count);
	for (; nth; nth--)
		fifo->tokens[(fifo->head + nth) % size] =
			fifo->tokens[(fifo->head + nth - 1) % size];
	fifo->head = (fifo->head + 1) % size;
	fifo->count--;
	return token;
}

/* Nobody sleeps while the other has told of everything and there is work. */
static void check(struct pair *p)
{
	if (p->ring.size <= 256 || !below(p, 200))
		assert_int_equal(aero_virtio_guest_queue_validate(&p->driver), AERO_OK);
	assert_int_equal(p->driver.fault, AERO_VIRTIO_GUEST_QUEUE_FAULT_NONE);
	assert_int_equal(p->device.fault, AERO_VIRTIO_QUEUE_FAULT_NONE);
	assert_int_equal(p->driver.in_flight, p->given.count + p->held.count + p->returned.count);
	if (p->is_device_asleep && !p->is_kick_owed)
		assert_int_equal(p->given.count, 0);
	if (p->is_driver_asleep && !p->is_notify_owed)
		assert_true(p->returned.count < p->wanted);
}

/* Set-up -------------------------------------------------------------------------------------- */

static uint32_t choose_size(struct pair *p)
{
	static const uint32_t few[] = { 1, 2, 4, 8, 16, 64, 256 };

	if (!below(p, 100))
		return 32768;
	if (p->ring.is_packed && below(p, 3))
		return 1 + below(p, 40);
	return few[below(p, TEST_ARRAY_SIZE(few))];
}

static void start(struct pair *p)
{
	p->is_device_asleep = true;
	p->is_driver_asleep = true;
	p->is_kick_owed = false;
	p->is_notify_owed = false;
	p->has_kicks = true;
	p->wanted = 1;
	assert_int_equal(aero_virtio_guest_queue_start(&p->driver, &p->ring), AERO_OK);
	memset(&p->device, 0, sizeof(p->device));
	assert_int_equal(aero_virtio_queue_start(&p->device, &p->host_ring), AERO_OK);
	assert_false(aero_virtio_queue_set_kicks(&p->device, true));
}

static void *array(uint32_t count, size_t bytes)
{
	void *entries = calloc(count, bytes);

	assert_non_null(entries);
	return entries;
}

static void open_pair(struct pair *p, uint64_t seed)
{
	uint32_t size;
	size_t driver;
	size_t device;
	uint8_t *memory;

	memset(p, 0, sizeof(*p));
	p->random.state = seed;
	p->ring.is_packed = below(p, 2);
	p->ring.has_event_idx = below(p, 2);
	p->ring.has_indirect = below(p, 2);
	p->ring.is_in_order = below(p, 2);
	p->ring.is_big_endian = !p->ring.is_packed && !below(p, 3);
	p->ring.size = size = choose_size(p);
	driver = p->ring.is_packed ? 4 : 6 + 2 * (size_t)size;
	device = p->ring.is_packed ? 4 : 6 + 8 * (size_t)size;
	guest_ram_init(&p->ram);
	/* Each part in memory of its own: nothing is beyond its end. */
	memory = guest_ram_add(&p->ram, RING_GPA, 16 * (size_t)size);
	p->ring.desc = memory;
	p->ring.driver = guest_ram_add(&p->ram, RING_GPA + 0x100000, driver);
	p->ring.device = guest_ram_add(&p->ram, RING_GPA + 0x200000, device);
	p->tables = guest_ram_add(&p->ram, TABLES_GPA, TABLES * TABLE_BYTES);
	p->ring.slots = array(size, sizeof(*p->ring.slots));
	p->flights = array(size, sizeof(*p->flights));
	p->given.tokens = array(size, sizeof(uint16_t));
	p->held.tokens = array(size, sizeof(uint16_t));
	p->returned.tokens = array(size, sizeof(uint16_t));
	p->host_ring = (struct aero_virtio_queue_config){
		.memory = &p->ram.memory,
		.size = size,
		.is_packed = p->ring.is_packed,
		.has_event_idx = p->ring.has_event_idx,
		.has_indirect = p->ring.has_indirect,
		.is_big_endian = p->ring.is_big_endian,
		.desc = RING_GPA,
		.driver = RING_GPA + 0x100000,
		.device = RING_GPA + 0x200000,
		.base = p->ring.is_packed ? 0x80008000u : 0,
	};
	start(p);
}

static void close_pair(struct pair *p)
{
	guest_ram_fini(&p->ram);
	free(p->ring.slots);
	free(p->flights);
	free(p->given.tokens);
	free(p->held.tokens);
	free(p->returned.tokens);
}

/* The driver ---------------------------------------------------------------------------------- */

static int find_table(const struct pair *p)
{
	for (int i = 0; i < TABLES; i++)
		if (!p->is_table_used[i])
			return i;
	return -1;
}

static void draw_chain(struct pair *p, struct flight *flight)
{
	uint32_t writable_from;

	memset(flight, 0, sizeof(*flight));
	flight->count = below(p, 2) ? 1 : 1 + below(p, BUFFERS);
	writable_from = below(p, 2) ? flight->count : below(p, flight->count + 1);
	flight->table = below(p, 3) ? -1 : find_table(p);
	for (uint32_t i = 0; i < flight->count; i++) {
		struct aero_virtio_guest_buffer *buffer = &flight->buffers[i];

		buffer->gpa = DATA_GPA + test_random_below(&p->random, 1ull << 40);
		buffer->len = 1 + below(p, 0x10000);
		buffer->is_writable = i >= writable_from;
		flight->writable += buffer->is_writable ? buffer->len : 0;
	}
}

static uint16_t free_token(const struct pair *p)
{
	uint32_t token = p->next_token;

	while (p->flights[token].is_used)
		token = (token + 1) % p->ring.size;
	return (uint16_t)token;
}

static void act_give(struct pair *p)
{
	struct flight flight;
	struct aero_virtio_guest_chain chain = { .buffers = flight.buffers };
	bool is_indirect;
	uint32_t entries;
	enum aero_status status;

	draw_chain(p, &flight);
	if (p->driver.in_flight == p->ring.size)
		return;
	chain.token = free_token(p);
	chain.count = flight.count;
	is_indirect = flight.table >= 0 && p->ring.has_indirect && flight.count > 1;
	entries = is_indirect ? 1 : flight.count;
	if (flight.table >= 0) {
		chain.table = p->tables + (size_t)flight.table * TABLE_BYTES;
		chain.table_gpa = TABLES_GPA + (aero_gpa)flight.table * TABLE_BYTES;
	}
	status = aero_virtio_guest_queue_give(&p->driver, &chain);
	if (entries > p->ring.size) {
		assert_int_equal(status, AERO_EINVAL);
		return;
	}
	if (status != AERO_OK) {
		assert_int_equal(status, AERO_EAGAIN);
		assert_true(entries > p->driver.free_entries);
		return;
	}
	flight.is_used = true;
	if (flight.table >= 0)
		p->is_table_used[flight.table] = true;
	p->flights[chain.token] = flight;
	p->next_token = (uint16_t)((chain.token + 1u) % p->ring.size);
	append(p, &p->given, chain.token);
	p->is_kick_owed = true;
}

static void act_kick(struct pair *p)
{
	if (aero_virtio_guest_queue_kick_needed(&p->driver))
		p->is_device_asleep = false;
	p->is_kick_owed = false;
}

static void forget(struct pair *p, uint16_t token)
{
	struct flight *flight = &p->flights[token];

	assert_true(flight->is_used);
	flight->is_used = false;
	if (flight->table >= 0)
		p->is_table_used[flight->table] = false;
}

/* Everything that is back, in the order of the device. */
static void act_take(struct pair *p)
{
	uint32_t count = below(p, 4) ? UINT32_MAX : below(p, 4);
	struct aero_virtio_guest_used used;

	if (p->is_driver_asleep && below(p, 4))
		return;
	for (; count; count--) {
		enum aero_status status = aero_virtio_guest_queue_take(&p->driver, &used);

		assert_int_equal(status, p->returned.count ? AERO_OK : AERO_EAGAIN);
		if (status != AERO_OK)
			return;
		assert_int_equal(used.token, pick(p, &p->returned, 0));
		assert_int_equal(used.len, p->flights[used.token].len);
		forget(p, used.token);
		p->passed++;
	}
}

static void act_sleep(struct pair *p)
{
	uint32_t count = below(p, 3) ? 1 : below(p, 10);

	if (aero_virtio_guest_queue_interrupt_after(&p->driver, count)) {
		assert_true(count && p->returned.count);
		p->is_driver_asleep = false;
		return;
	}
	p->wanted = count < p->driver.in_flight ? count : p->driver.in_flight;
	if (!p->wanted)
		p->wanted = 1;
	p->is_driver_asleep = count;
}

/* The device ---------------------------------------------------------------------------------- */

static void check_chain(struct pair *p, struct flight *flight)
{
	struct aero_virtio_segment segment;

	for (uint32_t i = 0; i < flight->count; i++) {
		const struct aero_virtio_guest_buffer *buffer = &flight->buffers[i];

		assert_int_equal(aero_virtio_queue_next_segment(&p->device, &flight->chain,
								&segment),
				 AERO_OK);
		assert_int_equal(segment.gpa, buffer->gpa);
		assert_int_equal(segment.len, buffer->len);
		assert_int_equal(segment.is_writable, buffer->is_writable);
	}
	assert_int_equal(aero_virtio_queue_next_segment(&p->device, &flight->chain, &segment),
			 AERO_ENOENT);
}

/* Where kicks are asked for, a ring that is empty lets the device sleep. */
static void act_pop(struct pair *p)
{
	struct aero_virtio_chain chain;
	enum aero_status status;
	uint16_t token;

	if (p->is_device_asleep)
		return;
	status = aero_virtio_queue_pop(&p->device, &chain);
	assert_int_equal(status, p->given.count ? AERO_OK : AERO_EAGAIN);
	if (status != AERO_OK) {
		p->is_device_asleep = p->has_kicks;
		return;
	}
	token = pick(p, &p->given, 0);
	p->flights[token].chain = chain;
	check_chain(p, &p->flights[token]);
	append(p, &p->held, token);
}

static void act_push(struct pair *p)
{
	uint16_t token;
	struct flight *flight;

	if (!p->held.count)
		return;
	token = pick(p, &p->held, p->ring.is_in_order ? 0 : below(p, p->held.count));
	flight = &p->flights[token];
	flight->len = below(p, 2) ? flight->writable : below(p, flight->writable + 1);
	assert_int_equal(aero_virtio_queue_push(&p->device, &flight->chain, flight->len), AERO_OK);
	append(p, &p->returned, token);
	p->is_notify_owed = true;
}

static void act_notify(struct pair *p)
{
	if (aero_virtio_queue_should_notify(&p->device))
		p->is_driver_asleep = false;
	p->is_notify_owed = false;
}

static void act_set_kicks(struct pair *p)
{
	bool is_waiting;

	p->has_kicks = below(p, 3);
	is_waiting = aero_virtio_queue_set_kicks(&p->device, p->has_kicks);
	assert_int_equal(is_waiting, p->given.count > 0);
	p->is_device_asleep = p->has_kicks && !is_waiting;
}

/* Both ends ------------------------------------------------------------------------------------ */

static void act_reset(struct pair *p)
{
	uint16_t token = 0;

	if (below(p, 20))
		return;
	(void)aero_virtio_queue_stop(&p->device);
	while (aero_virtio_guest_queue_stop(&p->driver, &token)) {
		if (p->ring.size <= 256)
			assert_int_equal(aero_virtio_guest_queue_validate(&p->driver), AERO_OK);
		forget(p, token);
	}
	for (uint32_t i = 0; i < p->ring.size; i++)
		assert_false(p->flights[i].is_used);
	p->given.count = 0;
	p->held.count = 0;
	p->returned.count = 0;
	start(p);
}

/* All that is in flight comes home, each end waking the other and nothing else. */
static void drain(struct pair *p)
{
	if (aero_virtio_queue_set_kicks(&p->device, true))
		p->is_device_asleep = false;
	p->has_kicks = true;
	for (uint32_t i = 0; p->driver.in_flight; i++) {
		assert_true(i < 4 * p->ring.size + 100);
		act_kick(p);
		while (!p->is_device_asleep)
			act_pop(p);
		while (p->held.count)
			act_push(p);
		act_notify(p);
		check(p);
		if (!p->is_driver_asleep)
			act_take(p);
		act_sleep(p);
		check(p);
	}
	assert_int_equal(p->driver.free_entries, p->ring.size);
}

static void (*const actions[])(struct pair *p) = {
	act_give,  act_give,   act_give,   act_kick,	  act_take,  act_take,
	act_sleep, act_pop,    act_pop,	   act_pop,	  act_push,  act_push,
	act_push,  act_notify, act_notify, act_set_kicks, act_reset,
};

static uint64_t running_seed;

static void test_queue_random_schedules(void **state)
{
	uint64_t passed = 0;
	uint64_t seed;

	(void)state;
	for (uint64_t n = 1; test_random_seed(n, SCHEDULES, &seed); n++) {
		struct pair p;

		running_seed = seed;
		open_pair(&p, seed);
		for (int step = 0; step < STEPS; step++) {
			actions[below(&p, TEST_ARRAY_SIZE(actions))](&p);
			check(&p);
		}
		drain(&p);
		passed += p.passed;
		close_pair(&p);
	}
	running_seed = 0;
	assert_true(getenv("AERO_TEST_SEED") || passed > 40 * SCHEDULES);
}

/* What replays a schedule that failed. */
static int print_seed(void **state)
{
	(void)state;
	if (running_seed)
		print_error("AERO_TEST_SEED=%llu\n", (unsigned long long)running_seed);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_queue_random_schedules, print_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
