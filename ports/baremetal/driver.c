/* SPDX-License-Identifier: MIT */
#include "driver.h"
#include "arch/arch.h"
#include "bus.h"
#include "console.h"
#include "options.h"
#include "port.h"
#include "work.h"

#define MS 1000000ull
#define SECOND (1000 * MS)

/* How long a device may take to start, or to let go. */
#define PATIENCE (5 * SECOND)
/* How often a device that cannot interrupt is asked. */
#define POLL (10 * MS)
/* What is left to this kernel whatever the host wants. */
#define FLOOR_BYTES (4ull << 20)

static struct {
	struct bus bus;
	struct aero_virtio_balloon_guest guest;
	struct driver_resize resize;
	uint64_t resize_begin;
	bool is_found;
	volatile bool is_loaded;
} driver;

/* From interrupts. */
static void on_interrupt(void *ctx, uint32_t why)
{
	(void)ctx;
	if (driver.is_loaded)
		aero_virtio_balloon_guest_interrupt(&driver.guest, why);
	work_raise(WORK_BALLOON);
}

static void on_event(void *ctx, const struct aero_balloon_event *event)
{
	uint64_t now = arch_now_ns();

	(void)ctx;
	if (event->kind == AERO_BALLOON_EVENT_TARGET) {
		driver.resize.from_frames = aero_balloon_frames(&driver.guest.balloon);
		driver.resize.to_frames = event->value;
		driver.resize.ns = 0;
		driver.resize_begin = now;
	} else if (event->kind == AERO_BALLOON_EVENT_REACHED && !driver.resize.ns) {
		driver.resize.ns = now - driver.resize_begin;
	}
}

/* Rings of old devices are larger than a page. */
static unsigned int order_of(size_t bytes)
{
	unsigned int order = 0;

	while ((size_t)AERO_FRAME_BYTES << order < bytes)
		order++;
	return order;
}

static void *get_contiguous(void *ctx, size_t bytes, aero_gpa *out_gpa)
{
	aero_frame first;

	(void)ctx;
	if (!memory_take(order_of(bytes), &first))
		return NULL;
	*out_gpa = first << AERO_FRAME_SHIFT;
	return (void *)(uintptr_t)*out_gpa;
}

static void put_contiguous(void *ctx, void *at, size_t bytes)
{
	(void)ctx;
	memory_give((uintptr_t)at >> AERO_FRAME_SHIFT, 1ull << order_of(bytes));
}

static void configure(struct aero_virtio_balloon_guest_config *config, const char *options)
{
	static const struct aero_virtio_memory contiguous = { NULL, get_contiguous,
							      put_contiguous };
	uint64_t floor = options_number(options, "floor", FLOOR_BYTES);

	*config = (struct aero_virtio_balloon_guest_config){
		.balloon.port = &port,
		.balloon.floor_frames = floor >> AERO_FRAME_SHIFT,
		.balloon.batches = (uint32_t)options_number(options, "batches", 0),
		.balloon.event = on_event,
		.transport = driver.bus.transport,
		.memory = &contiguous,
		.declined = options_number(options, "declined", 0),
		.requests = (uint32_t)options_number(options, "requests", 0),
		.request_frames = (uint32_t)options_number(options, "request_frames", 0),
		.numbering = options_is(options, "numbering", "spec")
				     ? AERO_VIRTIO_BALLOON_NUMBERING_SPEC
			     : options_is(options, "numbering", "compact")
				     ? AERO_VIRTIO_BALLOON_NUMBERING_COMPACT
				     : AERO_VIRTIO_BALLOON_NUMBERING_AUTO,
		.has_poison = memory.has_poison,
		.poison = memory.poison,
		.reporting.is_pulling = options_number(options, "pull", 0) != 0,
		.reporting.order = (unsigned int)options_number(options, "pull_order", 0),
		.reporting.delay_ns = options_number(options, "pull_ms", 0) * MS,
		.reporting.budget_bytes = options_number(options, "pull_budget", 0),
	};
}

static bool is_started(void)
{
	struct aero_balloon_report report;

	aero_balloon_report(&driver.guest.balloon, &report);
	return report.is_started;
}

bool driver_load(void)
{
	struct aero_virtio_balloon_guest_config config;
	uint64_t end = arch_now_ns() + PATIENCE;

	if (!driver.is_found)
		return false;
	if (!driver.is_loaded) {
		configure(&config, machine.command_line);
		if (aero_virtio_balloon_guest_init(&driver.guest, &config) != AERO_OK)
			return false;
		driver.is_loaded = true;
	}
	while (!is_started() && arch_now_ns() < end) {
		uint64_t due = driver_step();

		work_wait(due < end ? due : end);
	}
	return is_started();
}

void driver_start(void)
{
	driver.is_found = bus_find(&driver.bus, &machine, on_interrupt, NULL);
	if (driver.is_found && !driver_load())
		console_say("balloon: the device does not start");
}

static bool is_polled(void)
{
	return driver.bus.interrupt[0] == 'p';
}

/* Whether the configuration has changed is the device's to say, where there is a way to ask it. */
static void poll(void)
{
	const struct aero_virtio_transport *transport = driver.bus.transport;
	uint32_t why = AERO_VIRTIO_INTERRUPT_CONFIG;

	if (transport->take_interrupts)
		why = transport->take_interrupts(transport->ctx);
	aero_virtio_balloon_guest_interrupt(&driver.guest, why | AERO_VIRTIO_INTERRUPT_QUEUE);
}

uint64_t driver_step(void)
{
	uint64_t now = arch_now_ns();
	uint64_t due;

	if (!driver.is_loaded)
		return AERO_NEVER;
	if (is_polled())
		poll();
	due = aero_virtio_balloon_guest_step(&driver.guest, now);
	return is_polled() && due > now + POLL ? now + POLL : due;
}

bool driver_unload(void)
{
	uint64_t end = arch_now_ns() + PATIENCE;

	if (!driver.is_loaded)
		return true;
	while (aero_virtio_balloon_guest_stop(&driver.guest, arch_now_ns()) != AERO_OK) {
		if (arch_now_ns() > end)
			return false;
		work_wait(arch_now_ns() + MS);
	}
	driver.is_loaded = false;
	aero_virtio_balloon_guest_fini(&driver.guest);
	return true;
}

/* Free blocks of this kernel that the device has, and gives back when it has answered. */
static bool is_borrowed_from(void)
{
	struct aero_virtio_balloon_guest_report report;

	aero_virtio_balloon_guest_report(&driver.guest, &report);
	return report.held_frames;
}

uint64_t driver_reclaim(uint64_t frames)
{
	uint64_t before = memory.buddy.free_frames;
	uint64_t end = arch_now_ns() + PATIENCE;
	enum aero_status status = AERO_EAGAIN;
	uint64_t came;

	if (!driver.is_loaded)
		return 0;
	while (memory.buddy.free_frames == before && arch_now_ns() < end) {
		if (status == AERO_EAGAIN)
			status = aero_virtio_balloon_guest_reclaim(&driver.guest, AERO_RECLAIM_OOM,
								   frames, arch_now_ns(), &came);
		if (status != AERO_OK && status != AERO_EAGAIN && !is_borrowed_from())
			return 0;
		/* With MUST_TELL_HOST they come when the device has answered, and reports too. */
		if (memory.buddy.free_frames == before)
			driver_step();
	}
	came = memory.buddy.free_frames - before;
	memory.reclaimed_frames += came;
	return came;
}

enum driver_state driver_state(void)
{
	if (!driver.is_found)
		return DRIVER_ABSENT;
	return driver.is_loaded && is_started() ? DRIVER_BOUND : DRIVER_UNBOUND;
}

const char *driver_bus_name(void)
{
	return driver.is_found ? driver.bus.name : "none";
}

const char *driver_interrupt_name(void)
{
	return driver.is_found ? driver.bus.interrupt : "none";
}

bool driver_report(struct aero_virtio_balloon_guest_report *out_report)
{
	if (driver.is_loaded)
		aero_virtio_balloon_guest_report(&driver.guest, out_report);
	return driver.is_loaded;
}

const struct driver_resize *driver_resize(void)
{
	return &driver.resize;
}

const char *driver_validate(void)
{
	if (driver.is_loaded && aero_virtio_balloon_guest_validate(&driver.guest) != AERO_OK)
		return "the balloon is not as it should be";
	return NULL;
}
