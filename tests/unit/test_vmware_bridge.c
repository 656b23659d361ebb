/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/vmware_bridge.h"
#include "support/gdb_stub.h"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

/* The bridge on a machine that is none: tests/support/gdb_stub.h. */

#define MIB (1ull << 20)
#define MEMORY_BYTES (16 * MIB)
#define TEXT 0xffffffffc0123000ull
#define SITES 3
#define TIMEOUT_MS 500

#define CMD(name) AERO_VMWARE_CMD_##name

static const unsigned int sites[SITES] = { 0x120, 0x1ffc, 0x2345 };

struct rig {
	uv_loop_t loop;
	struct gdb_stub stub;
	int gdb_fd;
	int memory_fd;
	uint8_t *memory;
	struct aero_vmware_bridge bridge;
	struct aero_vmware_bridge_config config;
	struct aero_error error;
	bool is_started;
	bool is_closed;
	unsigned int events[AERO_VMWARE_BRIDGE_ENDED + 1];
	unsigned int host_events[AERO_VMWARE_HOST_EVENT_DRAINED + 1];
	uint64_t value[AERO_VMWARE_BRIDGE_ENDED + 1];
	struct aero_error story;
	char log[4096];
	unsigned int traced;
	uint32_t answer; /* of interpose */
};

static void on_event(void *ctx, const struct aero_vmware_bridge_event *event)
{
	struct rig *rig = ctx;

	rig->events[event->kind]++;
	rig->value[event->kind] = event->value;
	if (event->kind == AERO_VMWARE_BRIDGE_HOST)
		rig->host_events[event->host.kind]++;
	if (event->kind == AERO_VMWARE_BRIDGE_ENDED)
		rig->story = *event->story;
}

static void on_log(void *ctx, const char *line)
{
	struct rig *rig = ctx;
	size_t used = strlen(rig->log);

	snprintf(rig->log + used, sizeof(rig->log) - used, "%s\n", line);
}

static void on_closed(void *ctx)
{
	struct rig *rig = ctx;

	rig->is_closed = true;
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_int_equal(uv_loop_init(&rig->loop), 0);
	rig->gdb_fd = gdb_stub_open(&rig->stub, &rig->loop);
	gdb_stub_write_code(&rig->stub, TEXT, sites, SITES);
	rig->memory_fd = memfd_create("memory", MFD_CLOEXEC);
	assert_int_equal(ftruncate(rig->memory_fd, MEMORY_BYTES), 0);
	rig->memory =
		mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, rig->memory_fd, 0);
	assert_ptr_not_equal(rig->memory, MAP_FAILED);
	rig->config = (struct aero_vmware_bridge_config){
		.gdb_fd = rig->gdb_fd,
		.memory_fd = rig->memory_fd,
		.text = { TEXT, 0 },
		.timeout_ms = TIMEOUT_MS,
		.capabilities = AERO_VMWARE_HOST_CAPABILITIES,
		.mode = AERO_DISCARD_REQUEST,
		.event = on_event,
		.log = on_log,
		.ctx = rig,
	};
	*state = rig;
	return 0;
}

static void turn(struct rig *rig)
{
	struct pollfd ready = { .fd = uv_backend_fd(&rig->loop), .events = POLLIN };

	uv_run(&rig->loop, UV_RUN_NOWAIT);
	/* Sleeps where nothing is to be read, for the sake of timers. */
	poll(&ready, 1, 1);
}

/* Turns the loop until something is so, for at most ten seconds. */
#define UNTIL(rig, condition)                                                               \
	do {                                                                                \
		uint64_t end = uv_hrtime() + 10000000000ull;                                \
		while (!(condition) && uv_hrtime() < end)                                   \
			turn(rig);                                                          \
		if (!(condition))                                                           \
			fail_msg("it never came to '%s'; log: %s", #condition, (rig)->log); \
	} while (0)

static void close_bridge(struct rig *rig)
{
	if (!rig->is_started)
		return;
	aero_vmware_bridge_close(&rig->bridge, on_closed, rig);
	UNTIL(rig, rig->is_closed);
	rig->is_started = false;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	close_bridge(rig);
	gdb_stub_close(&rig->stub);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	munmap(rig->memory, MEMORY_BYTES);
	close(rig->memory_fd);
	free(rig);
	return 0;
}

static void start(struct rig *rig)
{
	if (aero_vmware_bridge_start(&rig->bridge, &rig->loop, &rig->config, &rig->error) !=
	    AERO_OK)
		fail_msg("%s", rig->error.text);
	rig->is_started = true;
}

static void start_well(struct rig *rig)
{
	start(rig);
	UNTIL(rig, rig->events[AERO_VMWARE_BRIDGE_SERVING]);
	UNTIL(rig, rig->stub.is_running);
}

static void expect_log(const struct rig *rig, const char *part)
{
	if (!strstr(rig->log, part))
		fail_msg("'%s' is not in the log: %s", part, rig->log);
}

/* The guest calls at its nth instruction; answers AX. */
static uint64_t call(struct rig *rig, unsigned int site, uint64_t command, uint64_t bx, uint64_t si)
{
	gdb_stub_call(&rig->stub, TEXT + sites[site], command, bx, si);
	UNTIL(rig, !rig->stub.is_calling && rig->stub.is_running);
	return rig->stub.registers[STUB_AX];
}

static void test_start_sets_a_breakpoint_on_each_in(void **state)
{
	struct rig *rig = *state;

	start_well(rig);
	assert_int_equal(rig->value[AERO_VMWARE_BRIDGE_SERVING], SITES);
	assert_int_equal(rig->stub.break_count, SITES);
	for (unsigned int i = 0; i < SITES; i++)
		assert_int_equal(rig->bridge.sites[i], TEXT + sites[i]);
	assert_int_equal(rig->bridge.state, AERO_VMWARE_BRIDGE_ACTIVE);
	assert_int_equal(rig->bridge.counters.pauses, 0);
}

static void test_calls_are_served_at_every_site(void **state)
{
	struct rig *rig = *state;
	uint64_t set;

	start_well(rig);
	(void)aero_vmware_host_set_target(&rig->bridge.host, 77, &set);
	assert_int_equal(call(rig, 0, CMD(START), 0x3e, 0), 0x03000000);
	assert_int_equal(rig->stub.registers[STUB_CX], 0x3e);
	assert_int_equal(rig->stub.registers[STUB_IP], TEXT + sites[0] + 1);
	assert_int_equal(call(rig, 2, CMD(GET_TARGET), 4096, 0), 0);
	assert_int_equal(rig->stub.registers[STUB_BX], 77);
	assert_int_equal(call(rig, 1, CMD(LOCK), 100, 1), 0);
	assert_int_equal(call(rig, 1, CMD(LOCK), 100, 1), AERO_VMWARE_PPN_LOCKED);
	assert_int_equal(rig->bridge.counters.calls, 4);
	assert_int_equal(rig->bridge.counters.foreign_stops, 0);
	assert_int_equal(rig->host_events[AERO_VMWARE_HOST_EVENT_STARTED], 1);
	assert_false(rig->stub.was_executed);
}

static void test_batch_page_is_the_guests_and_frames_are_discarded(void **state)
{
	struct rig *rig = *state;
	uint64_t resident;

	memset(rig->memory, 0x5a, MEMORY_BYTES);
	start_well(rig);
	resident = aero_guest_memory_resident_bytes(&rig->bridge.memory);
	assert_int_equal(resident, MEMORY_BYTES);
	for (uint64_t i = 0; i < 512; i++) {
		uint64_t word = (1024 + i) << 12;

		memcpy(rig->memory + 5 * 4096 + 8 * i, &word, sizeof(word));
	}
	(void)call(rig, 0, CMD(START), 0x3e, 0);
	assert_int_equal(call(rig, 1, CMD(BATCHED_LOCK), 5, 512), 0);
	UNTIL(rig, aero_guest_memory_resident_bytes(&rig->bridge.memory) <= resident - 512 * 4096);
	assert_int_equal(rig->memory[1024 * 4096], 0);
	assert_int_equal(rig->memory[1023 * 4096], 0x5a);
	assert_int_equal(rig->memory[1536 * 4096], 0x5a);
}

/* Linux looks for its blocks of 2 MiB only as long as it was granted them. */
static void test_farewell_is_answered_with_a_mask(void **state)
{
	struct rig *rig = *state;

	start_well(rig);
	(void)call(rig, 0, CMD(START), 0x3e, 0);
	assert_int_equal(call(rig, 0, CMD(START), 0, 0), 0x03000000);
	assert_int_equal(rig->stub.registers[STUB_CX], 0x3e);
	assert_int_equal(rig->host_events[AERO_VMWARE_HOST_EVENT_LEFT], 1);
}

static void test_another_port_is_left_to_the_machine(void **state)
{
	struct rig *rig = *state;

	start_well(rig);
	gdb_stub_call(&rig->stub, TEXT + sites[1], CMD(START), 0x3e, 0);
	rig->stub.registers[STUB_DX] = 0x60;
	UNTIL(rig, !rig->stub.is_calling && rig->stub.is_running);
	assert_true(rig->stub.was_executed);
	assert_int_equal(rig->stub.steps, 1);
	assert_int_equal(rig->bridge.counters.foreign_stops, 1);
	/* The breakpoint is back. */
	assert_int_equal(call(rig, 1, CMD(START), 0x3e, 0), 0x03000000);
	assert_int_equal(rig->stub.break_count, SITES);
}

/* Where the code was, something else lies now. */
static void test_other_code_at_the_site_is_not_served(void **state)
{
	struct rig *rig = *state;

	start_well(rig);
	(void)call(rig, 0, CMD(START), 0x3e, 0);
	rig->stub.code[sites[1]] = 0x90;
	gdb_stub_call(&rig->stub, TEXT + sites[1], CMD(GET_TARGET), 1, 0);
	UNTIL(rig, rig->events[AERO_VMWARE_BRIDGE_NO_CODE]);
	assert_true(rig->stub.was_executed);
	assert_int_equal(rig->stub.break_count, 0);
	assert_false(rig->bridge.host.is_live);
	expect_log(rig, "was unloaded");
	UNTIL(rig, rig->stub.is_running);
}

static void test_unloaded_driver_is_noticed_and_found_again(void **state)
{
	const struct aero_vmware_bridge_text text = { 0xffffffffc0700000ull, 0 };
	struct rig *rig = *state;

	start_well(rig);
	(void)call(rig, 0, CMD(START), 0x3e, 0);
	(void)call(rig, 0, CMD(START), 0, 0);
	rig->stub.code_address = 0;
	UNTIL(rig, rig->events[AERO_VMWARE_BRIDGE_NO_CODE]);
	assert_int_equal(rig->bridge.state, AERO_VMWARE_BRIDGE_IDLE);
	assert_int_equal(rig->stub.break_count, 0);
	UNTIL(rig, rig->stub.is_running);
	gdb_stub_write_code(&rig->stub, text.address, sites, 2);
	assert_int_equal(aero_vmware_bridge_locate(&rig->bridge, text), AERO_OK);
	UNTIL(rig, rig->events[AERO_VMWARE_BRIDGE_SERVING] == 2);
	assert_int_equal(rig->stub.break_count, 2);
	assert_int_equal(rig->bridge.sites[1], text.address + sites[1]);
}

static void test_code_is_searched_for(void **state)
{
	struct rig *rig = *state;

	rig->config.text.address = 0;
	rig->config.is_searching = true;
	start_well(rig);
	assert_int_equal(rig->bridge.site_count, SITES);
	assert_int_equal(rig->bridge.sites[0], TEXT + sites[0]);
	assert_int_equal(call(rig, 2, CMD(START), 0x3e, 0), 0x03000000);
}

static void test_search_finds_nothing_then_something(void **state)
{
	struct rig *rig = *state;

	rig->config.text.address = 0;
	rig->config.is_searching = true;
	rig->stub.code_address = 0;
	start(rig);
	UNTIL(rig, rig->events[AERO_VMWARE_BRIDGE_NO_CODE]);
	expect_log(rig, "no module of the guest is a balloon driver");
	UNTIL(rig, rig->stub.is_running);
	gdb_stub_write_code(&rig->stub, TEXT, sites, SITES);
	UNTIL(rig, rig->events[AERO_VMWARE_BRIDGE_SERVING]);
}

static void test_guest_in_a_program_is_stopped_again(void **state)
{
	struct rig *rig = *state;

	rig->stub.user_stops = 3;
	rig->stub.registers[STUB_IP] = 0x401000;
	start_well(rig);
	assert_int_equal(rig->stub.interrupts, 4);
	assert_int_equal(rig->bridge.counters.interrupts, 4);
}

static void expect_no_code(struct rig *rig, const char *part)
{
	start(rig);
	UNTIL(rig, rig->events[AERO_VMWARE_BRIDGE_NO_CODE]);
	UNTIL(rig, rig->stub.is_running);
	expect_log(rig, part);
	assert_int_equal(rig->stub.break_count, 0);
	assert_int_equal(rig->events[AERO_VMWARE_BRIDGE_SERVING], 0);
	/* Its calls are its own. */
	assert_int_equal(call(rig, 0, CMD(START), 0x3e, 0), 0xffffffff);
}

static void test_address_without_memory(void **state)
{
	struct rig *rig = *state;

	rig->config.text.address = TEXT + 0x100000;
	expect_no_code(rig, "no memory where the driver's code is said to be");
}

static void test_address_of_other_code(void **state)
{
	struct rig *rig = *state;

	for (unsigned int i = 0; i < SITES; i++)
		rig->stub.code[sites[i] - 8] = 0;
	expect_no_code(rig, "no code of a balloon driver");
}

static void test_too_many_sites(void **state)
{
	struct rig *rig = *state;

	memset(rig->stub.code + 0x400, 0xed, AERO_VMWARE_BRIDGE_SITES_MAX);
	expect_no_code(rig, "say how long the code is");
}

static void test_length_of_code_is_respected(void **state)
{
	struct rig *rig = *state;

	rig->config.text.bytes = 0x1000;
	start_well(rig);
	assert_int_equal(rig->bridge.site_count, 1);
}

static void test_close_detaches_and_the_guest_goes_on(void **state)
{
	struct rig *rig = *state;

	start_well(rig);
	(void)call(rig, 0, CMD(START), 0x3e, 0);
	close_bridge(rig);
	assert_true(rig->stub.is_detached);
	assert_true(rig->stub.is_running);
	assert_int_equal(rig->stub.break_count, 0);
	assert_int_equal(rig->events[AERO_VMWARE_BRIDGE_ENDED], 0);
}

static void test_close_during_a_call_answers_it(void **state)
{
	struct rig *rig = *state;

	start_well(rig);
	gdb_stub_call(&rig->stub, TEXT + sites[0], CMD(START), 0x3e, 0);
	uv_run(&rig->loop, UV_RUN_NOWAIT);
	close_bridge(rig);
	assert_false(rig->stub.was_executed);
	assert_int_equal(rig->stub.registers[STUB_AX], 0x03000000);
	assert_true(rig->stub.is_detached);
}

static void test_close_before_anything_was_said(void **state)
{
	struct rig *rig = *state;

	rig->stub.is_mute = true;
	start(rig);
	close_bridge(rig);
}

static void test_close_of_a_mute_machine_ends(void **state)
{
	struct rig *rig = *state;

	start_well(rig);
	rig->stub.is_mute = true;
	close_bridge(rig);
	assert_int_equal(rig->events[AERO_VMWARE_BRIDGE_ENDED], 0);
}

static void test_machine_stopped_by_somebody_else_stays_so(void **state)
{
	struct rig *rig = *state;
	unsigned int continues;

	start_well(rig);
	continues = rig->stub.continues;
	gdb_stub_pause(&rig->stub);
	UNTIL(rig, rig->events[AERO_VMWARE_BRIDGE_PAUSED]);
	assert_int_equal(rig->value[AERO_VMWARE_BRIDGE_PAUSED], 2);
	expect_log(rig, "stopped by somebody else");
	for (int i = 0; i < 50; i++)
		uv_run(&rig->loop, UV_RUN_NOWAIT);
	assert_int_equal(rig->stub.continues, continues);
	assert_false(rig->stub.is_running);
	gdb_stub_unpause(&rig->stub);
	assert_int_equal(call(rig, 0, CMD(START), 0x3e, 0), 0x03000000);
}

static void test_close_leaves_a_paused_machine_paused(void **state)
{
	struct rig *rig = *state;

	start_well(rig);
	gdb_stub_pause(&rig->stub);
	UNTIL(rig, rig->events[AERO_VMWARE_BRIDGE_PAUSED]);
	close_bridge(rig);
	assert_int_equal(rig->stub.break_count, 0);
	assert_false(rig->stub.is_running);
	assert_false(rig->stub.is_detached);
}

static void test_machine_that_is_gone_ends(void **state)
{
	struct rig *rig = *state;

	start_well(rig);
	(void)call(rig, 0, CMD(START), 0x3e, 0);
	gdb_stub_close(&rig->stub);
	UNTIL(rig, rig->events[AERO_VMWARE_BRIDGE_ENDED]);
	assert_int_equal(rig->story.status, AERO_EGONE);
	assert_int_equal(rig->bridge.state, AERO_VMWARE_BRIDGE_OVER);
	assert_int_equal(aero_vmware_bridge_locate(&rig->bridge, rig->config.text), AERO_EGONE);
	close_bridge(rig);
}

static void test_no_breakpoints_ends_and_lets_the_guest_go(void **state)
{
	struct rig *rig = *state;

	rig->stub.refuses_breaks = true;
	start(rig);
	UNTIL(rig, rig->events[AERO_VMWARE_BRIDGE_ENDED]);
	assert_int_equal(rig->story.status, AERO_ENOTSUP);
	close_bridge(rig);
	assert_true(rig->stub.is_detached);
}

static uint32_t on_interpose(void *ctx, uint32_t command)
{
	struct rig *rig = ctx;

	return command == CMD(GET_TARGET) ? rig->answer : 0;
}

static uint32_t on_judge(void *ctx, bool is_lock, struct aero_range block)
{
	(void)ctx;
	return is_lock && block.first == 8 ? AERO_VMWARE_PPN_PINNED : 0;
}

static void on_trace(void *ctx, const struct aero_vmware_registers *before,
		     const struct aero_vmware_registers *after)
{
	struct rig *rig = ctx;

	rig->traced++;
	assert_int_equal(before->ax, AERO_VMWARE_MAGIC);
	assert_int_not_equal(after->ax, AERO_VMWARE_MAGIC);
}

static void test_hooks_reach_the_host(void **state)
{
	struct rig *rig = *state;

	rig->config.interpose = on_interpose;
	rig->config.judge = on_judge;
	rig->config.trace = on_trace;
	rig->answer = AERO_VMWARE_BUSY;
	start_well(rig);
	(void)call(rig, 0, CMD(START), 0x3e, 0);
	assert_int_equal(call(rig, 0, CMD(GET_TARGET), 9, 0), AERO_VMWARE_BUSY);
	assert_int_equal(call(rig, 0, CMD(LOCK), 8, 1), AERO_VMWARE_PPN_PINNED);
	assert_int_equal(call(rig, 0, CMD(LOCK), 9, 1), 0);
	assert_int_equal(rig->traced, 4);
}

static void test_memory_above_the_hole(void **state)
{
	struct rig *rig = *state;
	size_t len = 1;

	rig->config.low_bytes = 4 * MIB;
	memset(rig->memory + 4 * MIB, 0x77, 1);
	start_well(rig);
	assert_int_equal(*(uint8_t *)rig->bridge.memory.host.translate(
				 &rig->bridge.memory, 4ull << 30, &len, AERO_ACCESS_READ),
			 0x77);
	assert_null(rig->bridge.memory.host.translate(&rig->bridge.memory, 4 * MIB, &len,
						      AERO_ACCESS_READ));
	assert_int_equal(aero_vmware_bridge_default_low_bytes(3584 * MIB - 4096),
			 3584 * MIB - 4096);
	assert_int_equal(aero_vmware_bridge_default_low_bytes(3584 * MIB), 3072 * MIB);
}

static void refuse(struct rig *rig, enum aero_status status, const char *part)
{
	assert_int_equal(aero_vmware_bridge_start(&rig->bridge, &rig->loop, &rig->config,
						  &rig->error),
			 status);
	if (!strstr(rig->error.text, part))
		fail_msg("'%s' does not say '%s'", rig->error.text, part);
}

static void test_start_layout_that_does_not_fit(void **state)
{
	struct rig *rig = *state;

	rig->config.memory_bytes = 2 * MEMORY_BYTES;
	refuse(rig, AERO_EINVAL, "do not fit a file of 16777216 bytes");
}

static void test_start_without_memory(void **state)
{
	struct rig *rig = *state;

	rig->config.memory_fd = -1;
	rig->config.memory_path = "/nowhere/memory";
	refuse(rig, AERO_EIO, "/nowhere/memory");
}

static void test_start_capabilities_of_no_host(void **state)
{
	struct rig *rig = *state;

	rig->config.capabilities = AERO_VMWARE_CAP_BATCHED_2M;
	refuse(rig, AERO_EINVAL, "capabilities 0x8");
}

static void test_start_without_socket(void **state)
{
	struct rig *rig = *state;

	close(rig->gdb_fd);
	rig->config.gdb_fd = -1;
	rig->config.gdb_path = "/nowhere/gdb";
	refuse(rig, AERO_EIO, "no QEMU answers at /nowhere/gdb");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_start_sets_a_breakpoint_on_each_in),
		CASE(test_calls_are_served_at_every_site),
		CASE(test_batch_page_is_the_guests_and_frames_are_discarded),
		CASE(test_farewell_is_answered_with_a_mask),
		CASE(test_another_port_is_left_to_the_machine),
		CASE(test_other_code_at_the_site_is_not_served),
		CASE(test_unloaded_driver_is_noticed_and_found_again),
		CASE(test_code_is_searched_for),
		CASE(test_search_finds_nothing_then_something),
		CASE(test_guest_in_a_program_is_stopped_again),
		CASE(test_address_without_memory),
		CASE(test_address_of_other_code),
		CASE(test_too_many_sites),
		CASE(test_length_of_code_is_respected),
		CASE(test_close_detaches_and_the_guest_goes_on),
		CASE(test_close_during_a_call_answers_it),
		CASE(test_close_before_anything_was_said),
		CASE(test_close_of_a_mute_machine_ends),
		CASE(test_machine_stopped_by_somebody_else_stays_so),
		CASE(test_close_leaves_a_paused_machine_paused),
		CASE(test_machine_that_is_gone_ends),
		CASE(test_no_breakpoints_ends_and_lets_the_guest_go),
		CASE(test_hooks_reach_the_host),
		CASE(test_memory_above_the_hole),
		CASE(test_start_layout_that_does_not_fit),
		CASE(test_start_without_memory),
		CASE(test_start_capabilities_of_no_host),
		CASE(test_start_without_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
