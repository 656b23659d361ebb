/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <aerostat/host/vmware.h>

#include "ports/sim/sim_port.h"
#include "ports/template/driver.h"
#include "support/nodes.h"

/*
 * The loop that kernel authors copy, run: this is the kernel of ports/template/kernel.h, with
 * simulated memory, a host on the other side, and time that passes while the driver waits.
 */

#define SECOND 1000000000ull
#define TARGET (65536 + 100)
#define WAITS_MAX 200

/* What happens while the driver waits: each is called at one wait after the other until it is
 * true, then the next one; after the last the kernel stops the driver. */
typedef bool (*happening)(struct kernel *kernel);

struct kernel {
	struct sim_port sim;
	struct test_nodes nodes;
	struct aero_vmware_host host;
	struct balloon_driver driver;
	uint64_t now;
	const happening *script;
	uint64_t frames; /* in the balloon when it was reached last */
	unsigned int waits;
	unsigned int doorbells;
	bool is_woken;
	bool is_elsewhere;
	bool has_no_vmci;
	bool has_no_alloc;
	bool is_stopping;
};

static void call(void *ctx, struct aero_vmware_registers *regs)
{
	struct kernel *kernel = ctx;

	assert_int_equal(aero_vmware_host_call(&kernel->host, regs, kernel->now), AERO_OK);
}

static enum aero_status create(void *ctx, uint32_t *out_context, uint32_t *out_resource)
{
	struct kernel *kernel = ctx;

	kernel->doorbells++;
	*out_context = 3;
	*out_resource = 4;
	return AERO_OK;
}

static void destroy(void *ctx, uint32_t context, uint32_t resource)
{
	struct kernel *kernel = ctx;

	assert_int_equal(context, 3);
	assert_int_equal(resource, 4);
	kernel->doorbells--;
}

static void ring(void *ctx, uint32_t context, uint32_t resource)
{
	struct kernel *kernel = ctx;

	assert_int_equal(context, 3);
	assert_int_equal(resource, 4);
	balloon_driver_doorbell(&kernel->driver);
}

void kernel_fill_port(struct kernel *kernel, struct aero_port *out_port)
{
	*out_port = kernel->sim.port;
	if (kernel->has_no_alloc)
		out_port->alloc = NULL;
}

void kernel_fill_bus(struct kernel *kernel, struct aero_vmware_bus *out_bus)
{
	out_bus->ctx = kernel;
	out_bus->call = call;
	out_bus->doorbell_create = kernel->has_no_vmci ? NULL : create;
	out_bus->doorbell_destroy = kernel->has_no_vmci ? NULL : destroy;
}

bool kernel_is_on_vmware(struct kernel *kernel)
{
	return !kernel->is_elsewhere;
}

uint64_t kernel_now_ns(struct kernel *kernel)
{
	return kernel->now;
}

void kernel_wake(struct kernel *kernel)
{
	kernel->is_woken = true;
}

void kernel_yield(struct kernel *kernel)
{
	kernel->now += 1000;
}

bool kernel_is_stopping(struct kernel *kernel)
{
	return kernel->is_stopping;
}

static void host_works(struct kernel *kernel)
{
	while (aero_vmware_host_step(&kernel->host, kernel->now) <= kernel->now)
		;
}

void kernel_wait(struct kernel *kernel, uint64_t until_ns)
{
	const char *wrong = sim_port_check(&kernel->sim);

	if (wrong)
		fail_msg("%s", wrong);
	host_works(kernel);
	assert_true(++kernel->waits < WAITS_MAX);
	if (!kernel->is_woken && (*kernel->script)(kernel))
		kernel->script++;
	kernel->is_stopping = !*kernel->script;
	/* A wake-up ends the wait; else time passes, ten seconds where it is for ever. */
	if (!kernel->is_woken)
		kernel->now =
			until_ns < kernel->now + 10 * SECOND ? until_ns : kernel->now + 10 * SECOND;
	kernel->is_woken = false;
}

static void begin(struct kernel *kernel, const happening *script)
{
	static const struct aero_vmware_host_ops ops = { .doorbell = ring };
	struct sim_port_config sim = { .frames = SIM_PORT_GIB(1) };
	struct aero_vmware_host_config config = {
		.memory = &kernel->sim.memory,
		.ops = &ops,
		.ops_ctx = kernel,
		.capabilities = AERO_VMWARE_HOST_CAPABILITIES,
		.mode = AERO_DISCARD_COLLECT,
	};

	memset(kernel, 0, sizeof(*kernel));
	kernel->now = SECOND;
	kernel->script = script;
	sim_port_init(&kernel->sim, &sim);
	/* So that there are blocks and single frames in the balloon. */
	sim_port_fragment(&kernel->sim, 900);
	test_nodes_init(&kernel->nodes);
	config.nodes = kernel->nodes.source;
	assert_int_equal(aero_vmware_host_init(&kernel->host, &config), AERO_OK);
}

static void end(struct kernel *kernel)
{
	const char *wrong = sim_port_check_empty(&kernel->sim);

	if (wrong)
		fail_msg("%s", wrong);
	assert_int_equal(kernel->doorbells, 0);
	assert_int_equal(aero_ledger_held(&kernel->host.ledger), 0);
	aero_vmware_host_fini(&kernel->host);
	assert_int_equal(kernel->nodes.live, 0);
	sim_port_fini(&kernel->sim);
}

/* The happenings. */

static bool wish(struct kernel *kernel, uint64_t frames)
{
	uint64_t told;

	assert_int_equal(aero_vmware_host_set_target(&kernel->host, frames, &told), AERO_OK);
	assert_int_equal(told, frames);
	return true;
}

static bool want_much(struct kernel *kernel)
{
	return wish(kernel, TARGET);
}

static bool want_nothing(struct kernel *kernel)
{
	return wish(kernel, 0);
}

static bool has_reached(struct kernel *kernel)
{
	struct aero_balloon_report report;

	aero_balloon_report(&kernel->driver.vmware.balloon, &report);
	kernel->frames = balloon_driver_count(&kernel->driver);
	assert_int_equal(kernel->frames, aero_ledger_held(&kernel->host.ledger));
	if (report.stall != AERO_STALL_NONE && report.stall != AERO_STALL_SLACK)
		return false;
	/* Less than a block of 2 MiB above it is good enough for VMware. */
	assert_true(kernel->frames - kernel->host.target < 512);
	return true;
}

static bool shrink(struct kernel *kernel)
{
	uint64_t before = sim_port_free_frames(&kernel->sim);
	uint64_t came = balloon_driver_shrink(&kernel->driver, 50);

	assert_int_equal(came, 50);
	assert_int_equal(sim_port_free_frames(&kernel->sim), before + 50);
	/* And rests: nothing comes in before the cool-down is over. */
	kernel->now += 4 * SECOND;
	return true;
}

static bool is_cooling(struct kernel *kernel)
{
	assert_int_equal(balloon_driver_count(&kernel->driver), kernel->frames - 50);
	return true;
}

static bool run_out_of_memory(struct kernel *kernel)
{
	assert_true(balloon_driver_oom(&kernel->driver, 1000) >= 1000);
	return true;
}

static bool move_a_frame(struct kernel *kernel)
{
	struct aero_range run;
	bool is_in = false;
	aero_frame new;

	assert_true(
		aero_frame_set_next(&kernel->driver.vmware.balloon.pages.size[0].lent, 0, 1, &run));
	assert_true(balloon_driver_isolate(&kernel->driver, run.first));
	assert_true(sim_port_migrate_begin(&kernel->sim, 0, run.first, &new));
	assert_int_equal(balloon_driver_migrate(&kernel->driver, new, run.first, &is_in), AERO_OK);
	assert_true(is_in);
	sim_port_migrate_end(&kernel->sim, new, true, is_in);
	assert_int_equal(sim_port_owner(&kernel->sim, run.first), SIM_OWNER_FREE);
	return true;
}

static bool isolate_and_put_back(struct kernel *kernel)
{
	struct aero_range run;

	assert_true(
		aero_frame_set_next(&kernel->driver.vmware.balloon.pages.size[0].lent, 0, 1, &run));
	assert_true(balloon_driver_isolate(&kernel->driver, run.first));
	assert_false(balloon_driver_isolate(&kernel->driver, run.first));
	balloon_driver_putback(&kernel->driver, run.first);
	return true;
}

static bool suspend(struct kernel *kernel)
{
	balloon_driver_suspend(&kernel->driver);
	return want_nothing(kernel);
}

static bool is_as_before(struct kernel *kernel)
{
	assert_int_equal(balloon_driver_count(&kernel->driver), kernel->frames);
	return true;
}

static bool resume(struct kernel *kernel)
{
	balloon_driver_resume(&kernel->driver);
	return true;
}

static void test_run_from_first_to_last_call(void **state)
{
	static const happening script[] = {
		want_much,	   has_reached,	 shrink,      is_cooling,
		has_reached,	   move_a_frame, has_reached, isolate_and_put_back,
		run_out_of_memory, has_reached,	 suspend,     is_as_before,
		is_as_before,	   resume,	 has_reached, want_much,
		has_reached,	   NULL,
	};
	struct kernel kernel;

	(void)state;
	begin(&kernel, script);
	assert_true(balloon_driver_init(&kernel.driver, &kernel));
	balloon_driver_run(&kernel.driver);
	assert_true(kernel.host.counters.locked_2m > 0);
	assert_true(kernel.host.counters.locked_4k > 0);
	assert_int_equal(kernel.host.counters.leaves, 1);
	end(&kernel);
}

static void test_run_without_doorbell_polls(void **state)
{
	static const happening script[] = {
		want_much, has_reached, want_nothing, has_reached, NULL,
	};
	struct kernel kernel;

	(void)state;
	begin(&kernel, script);
	kernel.has_no_vmci = true;
	assert_true(balloon_driver_init(&kernel.driver, &kernel));
	balloon_driver_run(&kernel.driver);
	assert_int_equal(kernel.host.counters.doorbells, 0);
	end(&kernel);
}

static void test_init_elsewhere_touches_no_port(void **state)
{
	struct kernel kernel;

	(void)state;
	begin(&kernel, NULL);
	kernel.is_elsewhere = true;
	assert_false(balloon_driver_init(&kernel.driver, &kernel));
	assert_int_equal(kernel.host.counters.starts, 0);
	end(&kernel);
}

static void test_init_with_an_incomplete_port_fails(void **state)
{
	struct kernel kernel;

	(void)state;
	begin(&kernel, NULL);
	kernel.has_no_alloc = true;
	assert_false(balloon_driver_init(&kernel.driver, &kernel));
	end(&kernel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run_from_first_to_last_call),
		cmocka_unit_test(test_run_without_doorbell_polls),
		cmocka_unit_test(test_init_elsewhere_touches_no_port),
		cmocka_unit_test(test_init_with_an_incomplete_port_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
