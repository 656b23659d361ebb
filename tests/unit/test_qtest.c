/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/qtest.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The client against a server that has answered before it was asked: the client is synchronous, so
 * what it sent can be looked at afterwards.
 */

#define TIMEOUT_MS 100

struct rig {
	struct aero_qtest qtest;
	int server;
	char sent[2 * AERO_QTEST_LINE_MAX];
};

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	int ends[2];

	assert_non_null(rig);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	rig->server = ends[1];
	fcntl(rig->server, F_SETFL, O_NONBLOCK);
	aero_qtest_start(&rig->qtest, ends[0], TIMEOUT_MS);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	aero_qtest_close(&rig->qtest);
	aero_qtest_close(&rig->qtest);
	assert_int_equal(rig->qtest.fd, -1);
	if (rig->server >= 0)
		close(rig->server);
	free(rig);
	return 0;
}

static void say(struct rig *rig, const char *text)
{
	assert_int_equal(write(rig->server, text, strlen(text)), strlen(text));
}

static void expect_sent(struct rig *rig, const char *text)
{
	ssize_t len = read(rig->server, rig->sent, sizeof(rig->sent) - 1);

	rig->sent[len > 0 ? len : 0] = '\0';
	assert_string_equal(rig->sent, text);
}

/* The connection has ended with this story, nothing is sent any more, and reads are ones. */
static void expect_ended(struct rig *rig, enum aero_status status, const char *words)
{
	uint8_t bytes[3] = { 0, 0, 0 };

	assert_int_equal(rig->qtest.story.status, status);
	if (!strstr(rig->qtest.story.text, words))
		fail_msg("%s", rig->qtest.story.text);
	assert_int_equal(rig->qtest.fd, -1);
	assert_int_equal(aero_qtest_in(&rig->qtest, 1, 4), UINT32_MAX);
	assert_int_equal(aero_qtest_read(&rig->qtest, 1, 4), UINT32_MAX);
	aero_qtest_out(&rig->qtest, 1, 1, 1);
	aero_qtest_read_block(&rig->qtest, 1, bytes, 3);
	assert_memory_equal(bytes, "\377\377\377", 3);
	assert_int_equal(aero_qtest_take_irqs(&rig->qtest), 0);
	assert_int_equal(rig->qtest.story.status, status);
}

static void test_ports(void **state)
{
	struct rig *rig = *state;

	say(rig, "OK\nOK\nOK\nOK 0x0012\nOK 0x3456\nOK 0xffffffff\n");
	aero_qtest_out(&rig->qtest, 0xcf8, 1, 0xab);
	aero_qtest_out(&rig->qtest, 0xcf8, 2, 0xabcd);
	aero_qtest_out(&rig->qtest, 0xcf8, 4, 0x80000000);
	assert_int_equal(aero_qtest_in(&rig->qtest, 0xcfc, 1), 0x12);
	assert_int_equal(aero_qtest_in(&rig->qtest, 0xcfc, 2), 0x3456);
	assert_int_equal(aero_qtest_in(&rig->qtest, 0xcfc, 4), 0xffffffff);
	expect_sent(rig, "outb 0xcf8 0xab\noutw 0xcf8 0xabcd\noutl 0xcf8 0x80000000\n"
			 "inb 0xcfc\ninw 0xcfc\ninl 0xcfc\n");
	assert_int_equal(rig->qtest.exchanges, 6);
	assert_int_equal(rig->qtest.story.status, AERO_OK);
}

static void test_registers_in_memory(void **state)
{
	struct rig *rig = *state;

	say(rig, "OK 0x0000000000000005\nOK 0x0000000000001234\nOK 0x0000000074726976\nOK\n");
	assert_int_equal(aero_qtest_read(&rig->qtest, 0xfeb00e70, 1), 5);
	assert_int_equal(aero_qtest_read(&rig->qtest, 0xfeb00e70, 2), 0x1234);
	assert_int_equal(aero_qtest_read(&rig->qtest, 0x12345678abcd, 4), 0x74726976);
	aero_qtest_write(&rig->qtest, 0xe0000000, 2, 0xffff);
	expect_sent(rig, "readb 0xfeb00e70\nreadw 0xfeb00e70\nreadl 0x12345678abcd\n"
			 "writew 0xe0000000 0xffff\n");
}

static void test_blocks(void **state)
{
	struct rig *rig = *state;
	uint8_t bytes[4];

	say(rig, "OK 0x00fF\nOK 0x00ff7f80\nOK\n");
	aero_qtest_read_block(&rig->qtest, 0x1000, bytes, 2);
	/* Digits are small in this protocol. */
	assert_int_equal(rig->qtest.story.status, AERO_EPROTO);
	teardown(state);
	setup(state);
	rig = *state;
	say(rig, "OK 0x00ff7f80\nOK\n");
	aero_qtest_read_block(&rig->qtest, 0x1000, bytes, 4);
	assert_memory_equal(bytes, "\x00\xff\x7f\x80", 4);
	aero_qtest_write_block(&rig->qtest, 0x2000, "\x00\xff\x7f", 3);
	expect_sent(rig, "read 0x1000 0x4\nwrite 0x2000 0x3 0x00ff7f\n");
	assert_int_equal(rig->qtest.story.status, AERO_OK);
}

static void test_block_of_the_largest_size(void **state)
{
	static uint8_t bytes[AERO_QTEST_BLOCK_MAX];
	static uint8_t back[AERO_QTEST_BLOCK_MAX];
	static char line[2 * AERO_QTEST_BLOCK_MAX + 64];
	struct rig *rig = *state;
	char *hex;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	say(rig, "OK\n");
	aero_qtest_write_block(&rig->qtest, UINT64_MAX, bytes, sizeof(bytes));
	assert_int_equal(rig->qtest.story.status, AERO_OK);
	assert_int_equal(read(rig->server, rig->sent, sizeof(rig->sent)), 34 + 2 * 4096 + 1);
	hex = strstr(rig->sent, "0x1000 0x");
	assert_non_null(hex);
	snprintf(line, sizeof(line), "OK %.*s\n", 2 + 2 * AERO_QTEST_BLOCK_MAX, hex + 7);
	say(rig, line);
	aero_qtest_read_block(&rig->qtest, 0, back, sizeof(back));
	assert_memory_equal(back, bytes, sizeof(bytes));
}

static void test_block_of_another_length_ends_it(void **state)
{
	struct rig *rig = *state;
	uint8_t bytes[2];

	say(rig, "OK 0x001122\n");
	aero_qtest_read_block(&rig->qtest, 0, bytes, 2);
	assert_memory_equal(bytes, "\377\377", 2);
	expect_ended(rig, AERO_EPROTO, "not 2 bytes");
}

static void test_interrupts_between_answers(void **state)
{
	struct rig *rig = *state;

	say(rig, "OK\nIRQ raise 10\nIRQ lower 10\nIRQ raise 63\nOK 0x01\nIRQ raise 0\n");
	assert_int_equal(aero_qtest_intercept(&rig->qtest, "ioapic"), AERO_OK);
	assert_int_equal(aero_qtest_in(&rig->qtest, 1, 1), 1);
	assert_int_equal(aero_qtest_take_irqs(&rig->qtest), 1ull << 63 | 1u << 10 | 1);
	assert_int_equal(aero_qtest_take_irqs(&rig->qtest), 0);
	assert_true(rig->qtest.irq_level == (1ull << 63 | 1));
	expect_sent(rig, "irq_intercept_in ioapic\ninb 0x1\n");
	/* Half a line is not lost. */
	say(rig, "IRQ ra");
	assert_int_equal(aero_qtest_take_irqs(&rig->qtest), 0);
	say(rig, "ise 5\n");
	assert_int_equal(aero_qtest_take_irqs(&rig->qtest), 1u << 5);
}

static void test_interrupt_that_is_none_ends_it(void **state)
{
	static const char *const lines[] = { "IRQ raise 64\n", "IRQ raise\n", "IRQ raise 1x\n",
					     "IRQ toggle 1\n", "IRQ raise -1\n" };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(lines); i++) {
		struct rig *rig = *state;

		say(rig, lines[i]);
		assert_int_equal(aero_qtest_take_irqs(&rig->qtest), 0);
		expect_ended(rig, AERO_EPROTO, "unasked: IRQ");
		teardown(state);
		setup(state);
	}
}

static void test_refusal_is_told(void **state)
{
	struct rig *rig = *state;

	say(rig, "FAIL Unknown device\n");
	assert_int_equal(aero_qtest_intercept(&rig->qtest, "nothing"), AERO_EREFUSED);
	expect_ended(rig, AERO_EREFUSED, "irq_intercept_in nothing : FAIL Unknown device");
}

static void test_hang_up_is_told(void **state)
{
	struct rig *rig = *state;

	close(rig->server);
	rig->server = -1;
	assert_int_equal(aero_qtest_in(&rig->qtest, 1, 1), UINT32_MAX);
	expect_ended(rig, AERO_EGONE, "hung up");
}

static void test_hang_up_between_commands_is_told(void **state)
{
	struct rig *rig = *state;

	close(rig->server);
	rig->server = -1;
	assert_int_equal(aero_qtest_take_irqs(&rig->qtest), 0);
	expect_ended(rig, AERO_EGONE, "hung up");
}

static void test_silence_is_bounded(void **state)
{
	struct rig *rig = *state;

	say(rig, "OK 0x");
	assert_int_equal(aero_qtest_in(&rig->qtest, 0x70, 1), UINT32_MAX);
	expect_ended(rig, AERO_ETIMEDOUT, "no answer within 100 ms to: inb 0x70");
}

static void test_interrupts_do_not_make_time_endless(void **state)
{
	struct rig *rig = *state;

	for (int i = 0; i < 100; i++)
		say(rig, "IRQ raise 1\nIRQ lower 1\n");
	assert_int_equal(aero_qtest_in(&rig->qtest, 0x70, 1), UINT32_MAX);
	assert_int_equal(rig->qtest.story.status, AERO_ETIMEDOUT);
}

static void test_answer_that_is_none_ends_it(void **state)
{
	static const char *const lines[] = { "\n",   "OKAY\n", "ok 1\n",      "HELLO\n",
					     "OK\n", "OK x\n", "OK 0x1 0x2\n" };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(lines); i++) {
		struct rig *rig = *state;

		say(rig, lines[i]);
		assert_int_equal(aero_qtest_in(&rig->qtest, 1, 1), UINT32_MAX);
		expect_ended(rig, AERO_EPROTO, "qtest: not a");
		teardown(state);
		setup(state);
	}
}

static void test_answer_to_a_write_ends_it(void **state)
{
	struct rig *rig = *state;

	say(rig, "OK 0x1\n");
	aero_qtest_out(&rig->qtest, 1, 1, 1);
	expect_ended(rig, AERO_EPROTO, "an answer to a write: 0x1");
}

static void test_line_without_end_ends_it(void **state)
{
	static char line[AERO_QTEST_LINE_MAX + 1];
	struct rig *rig = *state;

	memset(line, 'x', sizeof(line) - 1);
	say(rig, line);
	assert_int_equal(aero_qtest_in(&rig->qtest, 1, 1), UINT32_MAX);
	expect_ended(rig, AERO_EPROTO, "a line of more than");
}

static void test_open_of_nothing_is_told(void **state)
{
	char path[300];
	struct aero_qtest qtest;

	(void)state;
	assert_int_equal(aero_qtest_open(&qtest, "/nowhere/socket", 0), AERO_EIO);
	assert_string_equal(qtest.story.text, "/nowhere/socket: No such file or directory");
	assert_int_equal(qtest.timeout_ms, AERO_QTEST_TIMEOUT_MS);
	aero_qtest_close(&qtest);
	assert_int_equal(qtest.story.status, AERO_EIO);
	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(aero_qtest_open(&qtest, path, 0), AERO_EINVAL);
	aero_qtest_close(&qtest);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_ports),
		CASE(test_registers_in_memory),
		CASE(test_blocks),
		CASE(test_block_of_the_largest_size),
		CASE(test_block_of_another_length_ends_it),
		CASE(test_interrupts_between_answers),
		CASE(test_interrupt_that_is_none_ends_it),
		CASE(test_refusal_is_told),
		CASE(test_hang_up_is_told),
		CASE(test_hang_up_between_commands_is_told),
		CASE(test_silence_is_bounded),
		CASE(test_interrupts_do_not_make_time_endless),
		CASE(test_answer_that_is_none_ends_it),
		CASE(test_answer_to_a_write_ends_it),
		CASE(test_line_without_end_ends_it),
		cmocka_unit_test(test_open_of_nothing_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
