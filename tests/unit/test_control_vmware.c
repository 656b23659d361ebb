/* SPDX-License-Identifier: MIT */
#include "test_control_rig.h"

#include <sys/mman.h>

#include "hosted/control_vmware.h"
#include "hosted/node_pool.h"

/* A real host of VMware's balloon behind the control socket; the test is its guest. */

#define MEMORY_BYTES (16u << 20)

struct machine {
	struct rig *rig;
	struct aero_node_pool nodes;
	struct aero_guest_memory memory;
	struct aero_vmware_host host;
	struct aero_control_vmware balloon;
	void *bytes;
	unsigned int wakes;
	unsigned int rings;
	bool is_connected;
};

static void on_event(void *ctx, const struct aero_vmware_host_event *event)
{
	struct machine *machine = ctx;

	if (machine->rig->has_control)
		aero_control_vmware_event(&machine->rig->control, event);
}

static void on_doorbell(void *ctx, uint32_t context, uint32_t resource)
{
	struct machine *machine = ctx;

	assert_int_equal(context, 3);
	assert_int_equal(resource, 4);
	machine->rings++;
}

static const struct aero_vmware_host_ops host_ops = { .event = on_event, .doorbell = on_doorbell };

static void wake(void *ctx)
{
	((struct machine *)ctx)->wakes++;
}

static bool is_connected(void *ctx)
{
	return ((struct machine *)ctx)->is_connected;
}

static void make_host(struct machine *machine)
{
	struct aero_guest_memory_config memory = { NULL, NULL };
	struct aero_vmware_host_config config = {
		.memory = &machine->memory.host,
		.nodes = aero_node_pool_source(&machine->nodes),
		.ops = &host_ops,
		.ops_ctx = machine,
		.capabilities = AERO_VMWARE_HOST_CAPABILITIES,
		.mode = AERO_DISCARD_COLLECT,
	};

	machine->bytes = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(machine->bytes != MAP_FAILED);
	aero_guest_memory_init(&machine->memory, &memory);
	assert_int_equal(aero_guest_memory_add_anonymous(&machine->memory, 0, machine->bytes,
							 MEMORY_BYTES),
			 AERO_OK);
	assert_int_equal(aero_vmware_host_init(&machine->host, &config), AERO_OK);
}

static int setup(void **state)
{
	struct machine *machine = calloc(1, sizeof(*machine));
	struct aero_error error;

	make_host(machine);
	machine->is_connected = true;
	machine->balloon = (struct aero_control_vmware){
		.host = &machine->host,
		.memory = &machine->memory,
		.wake = wake,
		.is_connected = is_connected,
		.ctx = machine,
	};
	machine->rig = rig_new();
	machine->rig->ops = &aero_control_vmware_ops;
	machine->rig->balloon = &machine->balloon;
	if (rig_start_control(machine->rig, &error) != AERO_OK)
		fail_msg("%s", error.text);
	*state = machine;
	return 0;
}

static int teardown(void **state)
{
	struct machine *machine = *state;

	rig_teardown((void **)&machine->rig);
	aero_vmware_host_fini(&machine->host);
	aero_guest_memory_fini(&machine->memory);
	aero_node_pool_fini(&machine->nodes);
	munmap(machine->bytes, MEMORY_BYTES);
	free(machine);
	return 0;
}

/* The guest: one call; answers the status. */
static uint64_t call(struct machine *machine, uint32_t command, uint64_t first, uint64_t second)
{
	struct aero_vmware_registers regs = {
		.ax = AERO_VMWARE_MAGIC,
		.bx = first,
		.cx = command,
		.dx = AERO_VMWARE_PORT,
		.si = second,
	};

	assert_int_equal(aero_vmware_host_call(&machine->host, &regs, uv_hrtime()), AERO_OK);
	return regs.ax;
}

static void start_guest(struct machine *machine)
{
	assert_int_equal(call(machine, AERO_VMWARE_CMD_START, 0x3e, 0),
			 AERO_VMWARE_SUCCESS_WITH_CAPABILITIES);
	assert_int_equal(call(machine, AERO_VMWARE_CMD_GUEST_ID, AERO_VMWARE_GUEST_LINUX, 0), 0);
	assert_int_equal(call(machine, AERO_VMWARE_CMD_DOORBELL_SET, 3, 4), 0);
	assert_int_equal(call(machine, AERO_VMWARE_CMD_GET_TARGET, 4096, 0), 0);
}

static json_t *ask_status(struct machine *machine, int fd)
{
	json_t *status;

	rig_send(machine->rig, fd, "{\"command\":\"status\"}\n");
	status = json_loads(rig_line(machine->rig, fd), JSON_REJECT_DUPLICATES, NULL);
	assert_true(json_is_true(json_object_get(status, "ok")));
	return status;
}

static void test_status_has_its_keys(void **state)
{
	static const char *const keys[] = {
		"protocol",
		"is_connected",
		"is_live",
		"target_bytes",
		"actual_bytes",
		"ledger_bytes",
		"pending_bytes",
		"guest_memory_bytes",
		"resident_bytes",
		"memory_regions",
		"discard_unit_bytes",
		"block_bytes",
		"is_paused",
		"is_drained",
		"stall",
		"stall_text",
		"inhibited",
		"discard_mode",
		"ledger_metadata_bytes",
		"capabilities",
		"capabilities_offered",
		"guest_id",
		"guest_type",
		"limit_bytes",
		"doorbell",
		"counters",
		"version",
		"id",
		"ok",
	};
	struct machine *machine = *state;
	int fd = rig_client(machine->rig);
	json_t *status = ask_status(machine, fd);
	size_t i;

	for (i = 0; i < TEST_ARRAY_SIZE(keys); i++) {
		if (!json_object_get(status, keys[i]))
			fail_msg("no \"%s\"", keys[i]);
	}
	assert_int_equal(json_object_size(status), TEST_ARRAY_SIZE(keys));
	/* Nothing of a guest that is not there is known. */
	assert_true(json_is_null(json_object_get(status, "limit_bytes")));
	assert_true(json_is_null(json_object_get(status, "doorbell")));
	assert_int_equal(json_array_size(json_object_get(status, "capabilities")), 0);
	assert_int_equal(json_array_size(json_object_get(status, "capabilities_offered")), 5);
	json_decref(status);
	close(fd);
}

static json_t *descend(json_t *object, const char *first, const char *second, const char *third)
{
	return json_object_get(json_object_get(json_object_get(object, first), second), third);
}

static void test_status_tells_guest_and_counters_in_words(void **state)
{
	struct machine *machine = *state;
	int fd = rig_client(machine->rig);
	json_t *status, *counters, *first;

	start_guest(machine);
	assert_int_equal(call(machine, AERO_VMWARE_CMD_LOCK, 100, 1), 0);
	assert_int_equal(call(machine, AERO_VMWARE_CMD_LOCK, 100, 1), AERO_VMWARE_PPN_LOCKED);
	assert_int_equal(call(machine, AERO_VMWARE_CMD_UNUSED, 0, 0), AERO_VMWARE_CMD_INVALID);
	status = ask_status(machine, fd);
	counters = json_object_get(status, "counters");
	first = json_array_get(json_object_get(status, "capabilities"), 0);
	assert_string_equal(json_string_value(json_object_get(first, "name")), "basic");
	assert_int_equal(json_integer_value(json_object_get(first, "bit")), 1);
	assert_int_equal(json_array_size(json_object_get(status, "capabilities")), 5);
	assert_string_equal(json_string_value(json_object_get(status, "guest_type")), "linux");
	assert_int_equal(json_integer_value(json_object_get(status, "limit_bytes")), MEMORY_BYTES);
	assert_int_equal(json_integer_value(json_object_get(status, "actual_bytes")), 4096);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(status, "doorbell"), "context")),
		3);
	assert_int_equal(json_integer_value(
				 json_object_get(json_object_get(status, "doorbell"), "resource")),
			 4);
	assert_int_equal(json_integer_value(descend(counters, "commands", "lock", "calls")), 2);
	assert_int_equal(json_integer_value(descend(counters, "commands", "lock", "failed")), 1);
	assert_int_equal(json_object_size(json_object_get(counters, "commands")), 10);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(counters, "refused"), "locked")),
		1);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(counters, "ledger"),
							    "given_frames")),
			 1);
	json_decref(status);
	close(fd);
}

static void test_target_reaches_the_guest(void **state)
{
	struct machine *machine = *state;
	struct rig *rig = machine->rig;
	int fd = rig_client(rig);
	int watcher = rig_client(rig);

	start_guest(machine);
	rig_ask(rig, watcher,
		"{\"command\":\"watch\",\"events\":[\"target\",\"actual\",\"reached\"]}",
		"\"ok\":true");
	rig_ask(rig, fd, "{\"command\":\"target\",\"bytes\":4096}", "\"is_reached\":false");
	assert_int_equal(machine->rings, 1);
	assert_true(machine->wakes > 0);
	rig_expect(rig, watcher, "{\"event\":\"target\",\"target_bytes\":4096,\"actual_bytes\":0");
	assert_int_equal(call(machine, AERO_VMWARE_CMD_LOCK, 100, 1), 0);
	rig_expect(rig, watcher, "{\"event\":\"actual\"");
	rig_expect(rig, watcher, "{\"event\":\"reached\"");
	rig_ask(rig, fd, "{\"command\":\"target\",\"bytes\":99999999}",
		"\"clamped_by\":\"guest_memory\"");
	close(fd);
	close(watcher);
}

/* As the guest sees it: a little more than was asked for, and it leaves it at that. */
static void test_target_is_reached_with_a_part_of_a_block_too_much(void **state)
{
	struct machine *machine = *state;
	struct rig *rig = machine->rig;
	uint64_t *batch = machine->bytes;
	int fd = rig_client(rig);

	start_guest(machine);
	batch[0] = 512ull << AERO_VMWARE_BATCH_FRAME_SHIFT;
	rig_ask(rig, fd, "{\"command\":\"target\",\"bytes\":4096}", "\"is_reached\":false");
	assert_int_equal(call(machine, AERO_VMWARE_CMD_BATCHED_2M_LOCK, 0, 1), 0);
	rig_ask(rig, fd, "{\"command\":\"target\",\"bytes\":4096}",
		"\"is_reached\":true,\"stall\":\"none\"");
	rig_ask(rig, fd, "{\"command\":\"status\"}", "\"actual_bytes\":2097152");
	close(fd);
}

static void test_life_of_a_guest_is_told(void **state)
{
	struct machine *machine = *state;
	struct rig *rig = machine->rig;
	int fd = rig_client(rig);

	rig_ask(rig, fd,
		"{\"command\":\"watch\",\"events\":[\"ready\",\"guest\",\"connected\","
		"\"disconnected\"]}",
		"\"ok\":true");
	aero_control_vmware_connection(&rig->control, true);
	rig_expect(rig, fd, "{\"event\":\"connected\"");
	start_guest(machine);
	rig_expect(rig, fd, "{\"event\":\"ready\"");
	rig_expect(rig, fd, "\"guest_type\":\"linux\"");
	assert_int_equal(call(machine, AERO_VMWARE_CMD_START, 0, 0),
			 AERO_VMWARE_SUCCESS_WITH_CAPABILITIES);
	rig_expect(rig, fd, "\"is_live\":false");
	aero_control_vmware_connection(&rig->control, false);
	rig_expect(rig, fd, "{\"event\":\"disconnected\"");
	machine->is_connected = false;
	rig_ask(rig, fd, "{\"command\":\"status\"}", "\"is_connected\":false");
	close(fd);
}

static void test_reset_is_answered_to_the_next_command(void **state)
{
	struct machine *machine = *state;
	struct rig *rig = machine->rig;
	int fd = rig_client(rig);
	int watcher = rig_client(rig);

	rig_ask(rig, fd, "{\"command\":\"reset\"}", "\"code\":\"no_driver\"");
	start_guest(machine);
	assert_int_equal(call(machine, AERO_VMWARE_CMD_LOCK, 100, 1), 0);
	rig_ask(rig, watcher, "{\"command\":\"watch\",\"events\":[\"reset\"]}", "\"ok\":true");
	rig_ask(rig, fd, "{\"command\":\"reset\"}", "\"ok\":true");
	assert_int_equal(call(machine, AERO_VMWARE_CMD_UNLOCK, 100, 1), AERO_VMWARE_RESET);
	rig_expect(rig, watcher, "\"command\":\"unlock\"");
	rig_ask(rig, fd, "{\"command\":\"status\"}", "\"actual_bytes\":0");
	close(fd);
	close(watcher);
}

static void test_pause_waits_for_discards_and_holds_the_guest_off(void **state)
{
	struct machine *machine = *state;
	struct rig *rig = machine->rig;
	int fd = rig_client(rig);

	start_guest(machine);
	assert_int_equal(call(machine, AERO_VMWARE_CMD_LOCK, 100, 1), 0);
	rig_send(rig, fd, "{\"id\":1,\"command\":\"pause\"}\n");
	rig_turn(rig, 5);
	assert_int_equal(recv(fd, &(char){ 0 }, 1, MSG_PEEK), -1);
	while (aero_vmware_host_step(&machine->host, uv_hrtime()) != AERO_NEVER)
		;
	rig_expect(rig, fd, "{\"id\":1,\"ok\":true,\"is_paused\":true,\"is_drained\":true");
	/* Again: at rest, nothing more to wait for. */
	rig_ask(rig, fd, "{\"id\":2,\"command\":\"pause\"}", "\"is_drained\":true");
	assert_int_equal(call(machine, AERO_VMWARE_CMD_UNLOCK, 100, 1), AERO_VMWARE_BUSY);
	rig_ask(rig, fd, "{\"id\":3,\"command\":\"resume\"}", "\"is_paused\":false");
	assert_int_equal(call(machine, AERO_VMWARE_CMD_UNLOCK, 100, 1), 0);
	close(fd);
}

static void test_flush_and_inhibit_reach_the_ledger(void **state)
{
	struct machine *machine = *state;
	struct rig *rig = machine->rig;
	int fd = rig_client(rig);

	start_guest(machine);
	rig_ask(rig, fd, "{\"command\":\"inhibit\",\"reasons\":[\"snapshot\"]}",
		"\"inhibited\":[\"snapshot\"]");
	assert_int_equal(call(machine, AERO_VMWARE_CMD_LOCK, 100, 1), 0);
	rig_ask(rig, fd, "{\"command\":\"flush\"}", "\"pending_bytes\":4096");
	assert_int_equal(aero_vmware_host_step(&machine->host, uv_hrtime()), AERO_NEVER);
	assert_int_equal(machine->host.ledger.counters.discards, 0);
	rig_ask(rig, fd, "{\"command\":\"inhibit\",\"reasons\":[]}", "\"inhibited\":[]");
	rig_ask(rig, fd, "{\"command\":\"flush\"}", "\"pending_bytes\":4096");
	(void)aero_vmware_host_step(&machine->host, uv_hrtime());
	assert_int_equal(machine->host.ledger.counters.discards, 1);
	close(fd);
}

static void test_statistics_and_hints_are_no_part_of_it(void **state)
{
	struct machine *machine = *state;
	int fd = rig_client(machine->rig);

	rig_ask(machine->rig, fd, "{\"command\":\"stats\"}",
		"the VMware balloon has no statistics");
	rig_ask(machine->rig, fd, "{\"command\":\"hint\",\"action\":\"stop\"}",
		"the VMware balloon has no free page hinting");
	close(fd);
}

#define HOST_CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_CASE(test_status_has_its_keys),
		HOST_CASE(test_status_tells_guest_and_counters_in_words),
		HOST_CASE(test_target_reaches_the_guest),
		HOST_CASE(test_target_is_reached_with_a_part_of_a_block_too_much),
		HOST_CASE(test_life_of_a_guest_is_told),
		HOST_CASE(test_reset_is_answered_to_the_next_command),
		HOST_CASE(test_pause_waits_for_discards_and_holds_the_guest_off),
		HOST_CASE(test_flush_and_inhibit_reach_the_ledger),
		HOST_CASE(test_statistics_and_hints_are_no_part_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
