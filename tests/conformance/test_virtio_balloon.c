/* SPDX-License-Identifier: MIT */
/* Both ends of ours against the list: docs/protocols/virtio-balloon.md. */
#include "support/test.h"

#include <aerostat/guest/virtio_balloon.h>

#include "conformance/virtio_balloon.h"
#include "ports/sim/sim_port.h"
#include "ports/sim/sim_virtio.h"
#include "support/virtio_guest_frames.h"

#define SECOND 1000000000ull
#define FRAMES 16384u
#define OWN_PAGES 512u

/* Our driver ---------------------------------------------------------------------------------- */

struct ours {
	struct sim_port sim; /* first: the port's ctx */
	struct aero_port port;
	struct aero_virtio_memory spans;
	struct aero_virtio_balloon_guest drv;
	struct conformance_kernel kernel;
	uint64_t stat[AERO_MEMORY_STATS];
	uint64_t now;
	uint64_t due;
	bool is_open;
};

static void answer_stats(void *ctx, struct aero_memory_stats *out)
{
	struct ours *ours = ctx;

	out->known = ours->kernel.stats;
	for (unsigned int i = 0; i < AERO_MEMORY_STATS; i++)
		out->value[i] = ours->stat[i];
}

static bool open_kernel(void *ctx, const struct conformance_kernel *kernel,
			const struct aero_host_memory **out_memory, aero_gpa *out_gpa)
{
	struct ours *ours = ctx;
	struct sim_port_config config = {
		.frames = FRAMES,
		.orders = 1u << kernel->page_order | 1u << 9,
		.page_first = FRAMES,
		.page_frames = OWN_PAGES,
	};

	memset(ours, 0, sizeof(*ours));
	ours->kernel = *kernel;
	ours->now = SECOND;
	sim_port_init(&ours->sim, &config);
	ours->port = ours->sim.port;
	if (kernel->stats)
		ours->port.stats = answer_stats;
	*out_memory = &ours->sim.memory;
	*out_gpa = (aero_gpa)FRAMES << AERO_FRAME_SHIFT;
	return true;
}

static bool open_driver(void *ctx, const struct aero_virtio_transport *transport)
{
	struct ours *ours = ctx;
	struct aero_virtio_balloon_guest_config config = {
		.balloon = { .port = &ours->port },
		.transport = transport,
		.has_poison = ours->kernel.has_poison,
		.poison = 0xaaaaaaaa,
		.reporting = { .is_pulling = ours->kernel.is_reporting },
	};

	ours->spans.ctx = &ours->sim;
	ours->spans.get = sim_port_span_get;
	ours->spans.put = sim_port_span_put;
	if (transport->is_legacy)
		config.memory = &ours->spans;
	ours->is_open = !aero_virtio_balloon_guest_init(&ours->drv, &config);
	return ours->is_open;
}

static void interrupt(void *ctx, uint32_t why)
{
	struct ours *ours = ctx;

	aero_virtio_balloon_guest_interrupt(&ours->drv, why);
}

static bool step(void *ctx)
{
	struct ours *ours = ctx;

	ours->due = aero_virtio_balloon_guest_step(&ours->drv, ours->now);
	return ours->due == ours->now;
}

static void pass(void *ctx, uint64_t ns)
{
	struct ours *ours = ctx;
	uint64_t end = ours->now + ns;

	while (ours->due <= end) {
		if (ours->due > ours->now)
			ours->now = ours->due;
		(void)step(ours);
	}
	ours->now = end;
}

static bool leave(void *ctx)
{
	struct ours *ours = ctx;

	return aero_virtio_balloon_guest_stop(&ours->drv, ours->now) == AERO_OK;
}

static uint64_t frames(void *ctx)
{
	struct ours *ours = ctx;

	return aero_balloon_frames(&ours->drv.balloon);
}

static enum conformance_stall stall(void *ctx)
{
	struct ours *ours = ctx;
	struct aero_virtio_balloon_guest_report report;

	aero_virtio_balloon_guest_report(&ours->drv, &report);
	switch (report.balloon.stall) {
	case AERO_STALL_NONE:
		return CONFORMANCE_AT_EASE;
	case AERO_STALL_NO_MEMORY:
	case AERO_STALL_FLOOR:
		return CONFORMANCE_NO_MORE;
	case AERO_STALL_SILENT:
		return CONFORMANCE_HOST_SILENT;
	default:
		return CONFORMANCE_OTHER;
	}
}

static uint64_t free_frames(void *ctx)
{
	struct ours *ours = ctx;

	return sim_port_free_frames(&ours->sim);
}

static void set_stat(void *ctx, unsigned int tag, uint64_t value)
{
	struct ours *ours = ctx;

	ours->stat[tag] = value;
}

static const char *close_driver(void *ctx)
{
	struct ours *ours = ctx;
	const char *lost = NULL;
	static char text[200];

	for (unsigned int i = 0; ours->is_open && !leave(ours) && i < 10000; i++)
		ours->now += SECOND / 1000;
	if (ours->is_open) {
		if (aero_virtio_balloon_guest_validate(&ours->drv))
			lost = "the driver is not valid";
		aero_virtio_balloon_guest_fini(&ours->drv);
	}
	if (!lost)
		lost = sim_port_check_empty(&ours->sim);
	if (lost)
		snprintf(text, sizeof(text), "%s", lost);
	sim_port_fini(&ours->sim);
	return lost ? text : NULL;
}

static void run_driver(void **state)
{
	const struct conformance_driver_case *one = *state;
	struct ours *ours = malloc(sizeof(*ours));
	struct conformance_driver driver = {
		.ctx = ours,
		.open_kernel = open_kernel,
		.open = open_driver,
		.interrupt = interrupt,
		.step = step,
		.pass = pass,
		.leave = leave,
		.frames = frames,
		.stall = stall,
		.free = free_frames,
		.set_stat = set_stat,
		.close = close_driver,
	};
	struct conformance_outcome outcome = { CONFORMANCE_PASSED, "" };

	assert_non_null(ours);
	one->run(&driver, &outcome);
	free(ours);
	if (outcome.result)
		fail_msg("%s: %s", one->name, outcome.why);
}

/* Our device ---------------------------------------------------------------------------------- */

struct device {
	struct sim_port sim;
	struct sim_virtio virtio;
	uint8_t *ram;
	uint64_t hinted;
};

static void work(void *ctx)
{
	struct device *device = ctx;

	device->virtio.now_ns += SECOND / 1000;
	(void)sim_virtio_run(&device->virtio);
}

static void set_target(void *ctx, uint32_t count)
{
	struct device *device = ctx;
	uint64_t told;

	(void)aero_virtio_balloon_host_set_target(&device->virtio.device, count, &told);
}

static bool is_actual(void *ctx, uint32_t count)
{
	struct device *device = ctx;

	return device->virtio.device.actual == count;
}

static bool ask_stats(void *ctx)
{
	struct device *device = ctx;

	work(device);
	return aero_virtio_balloon_host_request_stats(&device->virtio.device) == AERO_OK;
}

static bool stat(void *ctx, unsigned int tag, uint64_t *out)
{
	struct device *device = ctx;
	const struct aero_virtio_balloon_stats *stats =
		aero_virtio_balloon_host_stats(&device->virtio.device);

	*out = stats->value[tag];
	return stats->known >> tag & 1;
}

static bool hint(void *ctx, uint32_t what)
{
	struct device *device = ctx;
	struct aero_virtio_balloon *dev = &device->virtio.device;

	if (what == 0)
		return aero_virtio_balloon_host_hint_stop(dev) == AERO_OK;
	return (what == 1 ? aero_virtio_balloon_host_hint_done(dev)
			  : aero_virtio_balloon_host_hint_start(dev)) == AERO_OK;
}

static void note_hint(void *ctx, struct aero_range range)
{
	struct device *device = ctx;

	device->hinted += range.count;
}

static uint64_t hinted(void *ctx)
{
	struct device *device = ctx;

	return device->hinted;
}

static uint64_t given(void *ctx, uint32_t first, uint32_t count)
{
	struct device *device = ctx;
	struct aero_range range = { first, count };

	return aero_frame_set_count_in(&device->virtio.device.ledger.held, range);
}

static bool is_big_endian(void)
{
	const uint16_t one = 1;
	uint8_t first;

	memcpy(&first, &one, 1);
	return !first;
}

/* The driver of the cases keeps no books of a kernel: all its frames are lent before. */
static uint32_t lend_frames(struct device *device)
{
	aero_frame first[CONFORMANCE_FRAMES / 512];

	assert_int_equal(device->sim.port.alloc(&device->sim, 9, AERO_EFFORT_SPARE, first,
						TEST_ARRAY_SIZE(first)),
			 TEST_ARRAY_SIZE(first));
	assert_int_equal(first[TEST_ARRAY_SIZE(first) - 1] - first[0], CONFORMANCE_FRAMES - 512);
	return (uint32_t)first[0];
}

static void run_on(const struct conformance_device_case *one, bool is_legacy)
{
	struct device *device = calloc(1, sizeof(*device));
	struct sim_port_config sim = { .page_first = FRAMES,
				       .page_frames = CONFORMANCE_BYTES / 4096 };
	struct sim_virtio_config virtio = { .is_legacy = is_legacy,
					    .is_big_endian_guest = is_big_endian() };
	struct conformance_device under_test = {
		.ctx = device,
		.gpa = (aero_gpa)FRAMES << AERO_FRAME_SHIFT,
		.is_big_endian = is_big_endian(),
		.serves_both = true,
		.work = work,
		.set_target = set_target,
		.actual = is_actual,
		.ask_stats = ask_stats,
		.stat = stat,
		.hint = hint,
		.hinted = hinted,
		.given = given,
	};
	struct conformance_outcome outcome = { CONFORMANCE_PASSED, "" };

	assert_non_null(device);
	sim_port_init(&device->sim, &sim);
	virtio.memory = &device->sim.memory;
	assert_int_equal(sim_virtio_init(&device->virtio, &virtio), AERO_OK);
	device->virtio.hint = note_hint;
	device->virtio.hooks_ctx = device;
	under_test.transport = &device->virtio.transport;
	under_test.memory = sim_port_ram(&device->sim, FRAMES);
	under_test.first = lend_frames(device);
	one->run(&under_test, &outcome);
	if (device->sim.violations && !outcome.result) {
		outcome.result = CONFORMANCE_FAILED;
		snprintf(outcome.why, sizeof(outcome.why), "%s", device->sim.violation);
	}
	sim_virtio_fini(&device->virtio);
	sim_port_fini(&device->sim);
	free(device);
	if (outcome.result)
		fail_msg("%s, legacy %d: %s", one->name, is_legacy, outcome.why);
}

static void run_device(void **state)
{
	run_on(*state, false);
	run_on(*state, true);
}

int main(void)
{
	struct CMUnitTest tests[2 * CONFORMANCE_CASES];
	static char names[2 * CONFORMANCE_CASES][100];

	for (unsigned int i = 0; i < CONFORMANCE_CASES; i++) {
		snprintf(names[2 * i], sizeof(names[0]), "%s [driver]",
			 conformance_driver_cases[i].name);
		snprintf(names[2 * i + 1], sizeof(names[0]), "%s [device]",
			 conformance_device_cases[i].name);
		tests[2 * i] =
			(struct CMUnitTest){ names[2 * i], run_driver, NULL, NULL,
					     (void *)(uintptr_t)&conformance_driver_cases[i] };
		tests[2 * i + 1] =
			(struct CMUnitTest){ names[2 * i + 1], run_device, NULL, NULL,
					     (void *)(uintptr_t)&conformance_device_cases[i] };
	}
	return cmocka_run_group_tests_name("conformance", tests, NULL, NULL);
}
