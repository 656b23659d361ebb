/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/gdb_remote.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* The client against a server that says what the test lets it say, byte by byte. */

#define TIMEOUT_MS 300

struct rig {
	uv_loop_t loop;
	struct aero_gdb_remote remote;
	int server;
	char sent[65536]; /* by the client, since the last look */
	size_t sent_len;
	unsigned int stops;
	int signal;
	unsigned int dones;
	enum aero_status status;
	unsigned int ends;
	struct aero_error story;
	bool is_closed;
};

static void on_stopped(void *ctx, int signal)
{
	struct rig *rig = ctx;

	rig->stops++;
	rig->signal = signal;
}

static void on_ended(void *ctx, const struct aero_error *story)
{
	struct rig *rig = ctx;

	rig->ends++;
	rig->story = *story;
}

static void on_closed(void *ctx)
{
	struct rig *rig = ctx;

	rig->is_closed = true;
}

static void on_done(void *ctx, enum aero_status status)
{
	struct rig *rig = ctx;

	rig->dones++;
	rig->status = status;
}

static int setup(void **state)
{
	const struct aero_gdb_events events = { on_stopped, on_ended, on_closed, NULL };
	struct aero_gdb_events own = events;
	struct rig *rig = calloc(1, sizeof(*rig));
	int ends[2];

	own.ctx = rig;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	rig->server = ends[1];
	fcntl(rig->server, F_SETFL, O_NONBLOCK);
	assert_int_equal(uv_loop_init(&rig->loop), 0);
	aero_gdb_remote_start(&rig->remote, &rig->loop, ends[0], TIMEOUT_MS, &own);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	aero_gdb_remote_close(&rig->remote);
	aero_gdb_remote_close(&rig->remote);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_true(rig->is_closed);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	close(rig->server);
	free(rig);
	return 0;
}

static void turn(struct rig *rig)
{
	for (int i = 0; i < 5; i++)
		uv_run(&rig->loop, UV_RUN_NOWAIT);
}

/* The server says something; the client takes it. */
static void say(struct rig *rig, const char *text)
{
	assert_int_equal(write(rig->server, text, strlen(text)), strlen(text));
	turn(rig);
}

/* The same as a packet. */
static void reply(struct rig *rig, const char *data)
{
	char wire[AERO_GDB_WIRE_MAX];
	size_t len;

	assert_int_equal(aero_gdb_frame(data, strlen(data), wire, sizeof(wire) - 1, &len), AERO_OK);
	wire[len] = '\0';
	say(rig, wire);
}

/* What the client has sent since the last look is this. */
static void expect_sent(struct rig *rig, const char *text)
{
	ssize_t got = read(rig->server, rig->sent, sizeof(rig->sent) - 1);

	rig->sent[got > 0 ? got : 0] = '\0';
	assert_string_equal(rig->sent, text);
}

static void expect_end(struct rig *rig, enum aero_status status, const char *part)
{
	assert_int_equal(rig->ends, 1);
	if (rig->story.status != status || !strstr(rig->story.text, part))
		fail_msg("'%s' (%s) does not say '%s'", rig->story.text,
			 aero_status_str(rig->story.status), part);
	assert_int_equal(rig->remote.state, AERO_GDB_ENDED);
}

/* Until the timer has had its turn. */
static void wait_timeout(struct rig *rig)
{
	for (int ms = 0; ms < 20 * TIMEOUT_MS && !rig->ends; ms += 10) {
		uv_run(&rig->loop, UV_RUN_NOWAIT);
		poll(NULL, 0, 10);
	}
}

/* As QEMU does: an unasked word, the answer to '?', and the answer to the first request. */
static void connect_well(struct rig *rig)
{
	expect_sent(rig, "$?#3f");
	say(rig, "$T02thread:01;#04+$T05thread:01;#07");
	assert_int_equal(rig->stops, 0);
	expect_sent(rig, "+$qSupported#37");
	say(rig, "+$PacketSize=1000#f1");
	assert_int_equal(rig->stops, 1);
	assert_int_equal(rig->remote.state, AERO_GDB_STOPPED);
	rig->stops = 0;
}

static void connect_and_go(struct rig *rig)
{
	connect_well(rig);
	assert_int_equal(aero_gdb_remote_continue(&rig->remote), AERO_OK);
	expect_sent(rig, "+$c#63");
	say(rig, "+");
	assert_int_equal(rig->remote.state, AERO_GDB_RUNNING);
}

static void test_start_unasked_stop_is_not_another(void **state)
{
	struct rig *rig = *state;

	connect_well(rig);
	assert_int_equal(rig->signal, 2);
}

/* A machine that stood still already says so only when it is asked. */
static void test_start_on_a_machine_that_stands_still(void **state)
{
	struct rig *rig = *state;

	expect_sent(rig, "$?#3f");
	say(rig, "+$T05thread:01;#07");
	expect_sent(rig, "+$qSupported#37");
	say(rig, "+$#00");
	assert_int_equal(rig->stops, 1);
	assert_int_equal(rig->signal, 5);
}

static void test_stop_comes_between_request_and_answer(void **state)
{
	struct rig *rig = *state;
	struct aero_gdb_registers registers;

	expect_sent(rig, "$?#3f");
	reply(rig, "S05");
	reply(rig, "S02");
	reply(rig, "");
	assert_int_equal(rig->stops, 1);
	assert_int_equal(aero_gdb_remote_read_registers(&rig->remote, &registers, on_done, rig),
			 AERO_OK);
	reply(rig, "S02");
	assert_int_equal(rig->stops, 1);
	reply(rig, "E01");
	assert_int_equal(rig->status, AERO_EREFUSED);
}

static void test_registers_are_read_and_written(void **state)
{
	struct rig *rig = *state;
	struct aero_gdb_registers registers;
	char data[2 * 17 * 8 + 100] = "";
	char wanted[sizeof(data) + 16] = "+$G";
	uint8_t sum = 'G';

	connect_well(rig);
	for (unsigned int i = 0; i < 17; i++)
		snprintf(data + strlen(data), 17, "%02x%02x00000000%02x80", i, i + 0x20, i);
	strcat(data, "4602000010000000");
	assert_int_equal(aero_gdb_remote_read_registers(&rig->remote, &registers, on_done, rig),
			 AERO_OK);
	expect_sent(rig, "+$g#67");
	reply(rig, data);
	assert_int_equal(rig->status, AERO_OK);
	assert_int_equal(registers.ax, 0x8000000000002000);
	assert_int_equal(registers.bx, 0x8001000000002101);
	assert_int_equal(registers.si, 0x8004000000002404);
	assert_int_equal(registers.r8_to_r15[7], 0x800f000000002f0f);
	assert_int_equal(registers.ip, 0x8010000000003010);
	assert_int_equal(aero_gdb_remote_write_registers(&rig->remote, &registers, on_done, rig),
			 AERO_OK);
	memcpy(wanted + 3, data, 2 * 17 * 8);
	for (size_t i = 3; wanted[i]; i++)
		sum = (uint8_t)(sum + (uint8_t)wanted[i]);
	snprintf(wanted + strlen(wanted), 4, "#%02x", sum);
	expect_sent(rig, wanted);
	reply(rig, "OK");
	assert_int_equal(rig->dones, 2);
}

static void test_memory_is_read(void **state)
{
	struct rig *rig = *state;
	uint8_t bytes[4] = { 0 };

	connect_well(rig);
	assert_int_equal(aero_gdb_remote_read_memory(&rig->remote, 0xffffffffc05ce000, bytes, 4,
						     on_done, rig),
			 AERO_OK);
	expect_sent(rig, "+$mffffffffc05ce000,4#1d");
	reply(rig, "e0edee0f");
	assert_int_equal(rig->status, AERO_OK);
	assert_memory_equal(bytes, "\xe0\xed\xee\x0f", 4);
	/* What is not there, in three ways of saying so. */
	(void)aero_gdb_remote_read_memory(&rig->remote, 0, bytes, 4, on_done, rig);
	reply(rig, "E14");
	assert_int_equal(rig->status, AERO_EREFUSED);
	(void)aero_gdb_remote_read_memory(&rig->remote, 0, bytes, 4, on_done, rig);
	reply(rig, "00ed");
	assert_int_equal(rig->status, AERO_EREFUSED);
	(void)aero_gdb_remote_read_memory(&rig->remote, 0, bytes, 4, on_done, rig);
	reply(rig, "");
	assert_int_equal(rig->status, AERO_ENOTSUP);
	assert_int_equal(rig->ends, 0);
}

static void test_memory_of_no_length_is_refused(void **state)
{
	struct rig *rig = *state;
	uint8_t bytes[AERO_GDB_READ_MAX + 1];

	connect_well(rig);
	assert_int_equal(aero_gdb_remote_read_memory(&rig->remote, 0, bytes, 0, on_done, rig),
			 AERO_EINVAL);
	assert_int_equal(aero_gdb_remote_read_memory(&rig->remote, 0, bytes, sizeof(bytes), on_done,
						     rig),
			 AERO_EINVAL);
}

static void test_breakpoints(void **state)
{
	struct rig *rig = *state;

	connect_well(rig);
	assert_int_equal(aero_gdb_remote_break(&rig->remote, 0xab, true, on_done, rig), AERO_OK);
	expect_sent(rig, "+$Z0,ab,1#d6");
	/* One after the other. */
	assert_int_equal(aero_gdb_remote_break(&rig->remote, 0xcd, true, on_done, rig),
			 AERO_ESTATE);
	assert_int_equal(aero_gdb_remote_continue(&rig->remote), AERO_ESTATE);
	reply(rig, "OK");
	assert_int_equal(aero_gdb_remote_break(&rig->remote, 0xab, false, on_done, rig), AERO_OK);
	expect_sent(rig, "+$z0,ab,1#f6");
	reply(rig, "E22");
	assert_int_equal(rig->status, AERO_EREFUSED);
}

static void test_running_machine_is_left_alone(void **state)
{
	struct rig *rig = *state;
	struct aero_gdb_registers registers;

	connect_and_go(rig);
	assert_int_equal(aero_gdb_remote_read_registers(&rig->remote, &registers, on_done, rig),
			 AERO_ESTATE);
	assert_int_equal(aero_gdb_remote_continue(&rig->remote), AERO_ESTATE);
	/* It may run for as long as it likes, and say something. */
	poll(NULL, 0, 2 * TIMEOUT_MS);
	reply(rig, "O48656c6c6f");
	expect_sent(rig, "");
	assert_int_equal(rig->ends + rig->stops, 0);
	reply(rig, "T05thread:01;");
	assert_int_equal(rig->stops, 1);
	/* The word of the stop is acknowledged together with what is asked next. */
	expect_sent(rig, "");
	assert_int_equal(aero_gdb_remote_step(&rig->remote), AERO_OK);
	expect_sent(rig, "+$s#73");
}

static void test_interrupt(void **state)
{
	struct rig *rig = *state;

	connect_and_go(rig);
	aero_gdb_remote_interrupt(&rig->remote);
	aero_gdb_remote_interrupt(&rig->remote);
	expect_sent(rig, "\x03");
	reply(rig, "T02thread:01;");
	assert_int_equal(rig->stops, 1);
	assert_int_equal(rig->signal, AERO_GDB_SIGNAL_INTERRUPT);
	aero_gdb_remote_interrupt(&rig->remote);
	expect_sent(rig, "");
}

static void test_interrupt_without_effect_ends(void **state)
{
	struct rig *rig = *state;

	connect_and_go(rig);
	aero_gdb_remote_interrupt(&rig->remote);
	wait_timeout(rig);
	expect_end(rig, AERO_ETIMEDOUT, "has not answered within 300 ms");
}

/* Somebody else has stopped it: it does not tell when it goes on. */
static void test_leave_then_interrupt_does_not_wait_for_ever(void **state)
{
	struct rig *rig = *state;

	connect_and_go(rig);
	reply(rig, "T02thread:01;");
	assert_int_equal(aero_gdb_remote_leave(&rig->remote), AERO_OK);
	assert_int_equal(rig->remote.state, AERO_GDB_RUNNING);
	aero_gdb_remote_interrupt(&rig->remote);
	for (int ms = 0; ms < 2000 && rig->stops < 2; ms += 10) {
		uv_run(&rig->loop, UV_RUN_NOWAIT);
		poll(NULL, 0, 10);
	}
	assert_int_equal(rig->stops, 2);
	assert_int_equal(rig->signal, AERO_GDB_SIGNAL_NONE);
	assert_int_equal(rig->remote.state, AERO_GDB_STOPPED);
	assert_int_equal(aero_gdb_remote_leave(&rig->remote), AERO_OK);
	reply(rig, "T05thread:01;");
	assert_int_equal(rig->stops, 3);
	assert_int_equal(rig->signal, AERO_GDB_SIGNAL_TRAP);
}

static void test_detach(void **state)
{
	struct rig *rig = *state;

	connect_well(rig);
	assert_int_equal(aero_gdb_remote_detach(&rig->remote, on_done, rig), AERO_OK);
	expect_sent(rig, "+$D#44");
	reply(rig, "OK");
	assert_int_equal(rig->status, AERO_OK);
	/* A byte more would stop the machine again. */
	expect_sent(rig, "");
	close(rig->server);
	rig->server = -1;
	turn(rig);
	assert_int_equal(rig->ends, 0);
	assert_int_equal(aero_gdb_remote_continue(&rig->remote), AERO_ESTATE);
}

static void test_damaged_answer_is_asked_for_again(void **state)
{
	struct rig *rig = *state;

	connect_well(rig);
	(void)aero_gdb_remote_break(&rig->remote, 1, true, on_done, rig);
	expect_sent(rig, "+$Z0,1,1#44");
	say(rig, "+$OK#00");
	expect_sent(rig, "-");
	say(rig, "$OK#9a");
	assert_int_equal(rig->dones, 1);
}

static void test_damaged_request_is_sent_again(void **state)
{
	struct rig *rig = *state;

	connect_well(rig);
	(void)aero_gdb_remote_break(&rig->remote, 1, true, on_done, rig);
	expect_sent(rig, "+$Z0,1,1#44");
	say(rig, "-");
	expect_sent(rig, "$Z0,1,1#44");
	for (int i = 0; i < AERO_GDB_REPEATS_MAX; i++)
		say(rig, "-");
	expect_end(rig, AERO_EPROTO, "damaged again and again");
}

static void test_server_that_is_none_ends(void **state)
{
	struct rig *rig = *state;

	say(rig, "HTTP/1.1 400 Bad Request\r\n");
	expect_end(rig, AERO_EPROTO, "is it the socket of QEMU's -gdb?");
	assert_int_equal(rig->stops, 0);
}

static void test_silent_server_ends(void **state)
{
	struct rig *rig = *state;

	wait_timeout(rig);
	expect_end(rig, AERO_ETIMEDOUT, "has not answered");
}

static void test_closed_connection_ends(void **state)
{
	struct rig *rig = *state;

	connect_and_go(rig);
	close(rig->server);
	rig->server = -1;
	turn(rig);
	expect_end(rig, AERO_EGONE, "it has ended, or was killed");
}

static void test_machine_that_ends_ends(void **state)
{
	struct rig *rig = *state;

	connect_and_go(rig);
	reply(rig, "W00");
	expect_end(rig, AERO_EGONE, "its machine has ended");
}

static void test_answer_of_no_sense_ends(void **state)
{
	struct rig *rig = *state;
	struct aero_gdb_registers registers;

	connect_well(rig);
	(void)aero_gdb_remote_read_registers(&rig->remote, &registers, on_done, rig);
	reply(rig, "00112233");
	expect_end(rig, AERO_EPROTO, "no sense: '00112233'");
	assert_int_equal(rig->dones, 0);
}

static void test_unasked_answer_ends(void **state)
{
	struct rig *rig = *state;

	connect_well(rig);
	reply(rig, "OK");
	expect_end(rig, AERO_EPROTO, "what it was not asked: 'OK'");
}

static void test_memory_answer_too_long_ends(void **state)
{
	struct rig *rig = *state;
	uint8_t bytes[2];

	connect_well(rig);
	(void)aero_gdb_remote_read_memory(&rig->remote, 0, bytes, 2, on_done, rig);
	reply(rig, "001122");
	expect_end(rig, AERO_EPROTO, "no sense");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_start_unasked_stop_is_not_another),
		CASE(test_start_on_a_machine_that_stands_still),
		CASE(test_stop_comes_between_request_and_answer),
		CASE(test_registers_are_read_and_written),
		CASE(test_memory_is_read),
		CASE(test_memory_of_no_length_is_refused),
		CASE(test_breakpoints),
		CASE(test_running_machine_is_left_alone),
		CASE(test_interrupt),
		CASE(test_interrupt_without_effect_ends),
		CASE(test_leave_then_interrupt_does_not_wait_for_ever),
		CASE(test_detach),
		CASE(test_damaged_answer_is_asked_for_again),
		CASE(test_damaged_request_is_sent_again),
		CASE(test_server_that_is_none_ends),
		CASE(test_silent_server_ends),
		CASE(test_closed_connection_ends),
		CASE(test_machine_that_ends_ends),
		CASE(test_answer_of_no_sense_ends),
		CASE(test_unasked_answer_ends),
		CASE(test_memory_answer_too_long_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
