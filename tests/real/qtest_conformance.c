/* SPDX-License-Identifier: MIT */
/*
 * One case of tests/conformance against QEMU's balloon, whose registers and memory this process
 * drives through QEMU's test protocol. Its operator is whoever started it: a line asks, a line
 * answers.
 *
 *	qtest_conformance SOCKET MEMORY BYTES TRANSPORT CASE
 *
 *	> target 1000		< ok			frames; everything that is asked below
 *	> actual		< 1000			is answered, or "no": that cannot be
 *	> ask			< ok			statistics, at once
 *	> stat 4		< 123456		no: absent
 *	> hint 2		< ok			a round; 0 STOP, 1 DONE
 *	> passed		or: failed WHY, skipped WHY; the last line
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conformance/virtio_balloon.h"
#include "real/qtest_transport.h"

#define GPA (16u << 20)
#define FIRST_FRAME 8192u
#define HINT_ID 8u
/* A migration begins and ends within this many looks, 5 ms each. */
#define LOOKS 2000

struct machine {
	struct aero_qtest qtest;
	struct qtest_transport found;
	const struct aero_virtio_transport *transport;
	uint8_t *ram;
	uint64_t bytes;
	char answer[64];
};

/* Answers false if the operator cannot. */
static bool ask(struct machine *machine, const char *what, uint64_t value)
{
	printf("%s %" PRIu64 "\n", what, value);
	fflush(stdout);
	if (!fgets(machine->answer, sizeof(machine->answer), stdin)) {
		fprintf(stderr, "nobody answers\n");
		exit(1);
	}
	return strcmp(machine->answer, "no\n") != 0;
}

/* QEMU works while nobody looks. */
static void work(void *ctx)
{
	struct machine *machine = ctx;

	poll(NULL, 0, 5);
	(void)aero_qtest_take_irqs(&machine->qtest);
}

static void set_target(void *ctx, uint32_t frames)
{
	(void)ask(ctx, "target", frames);
}

static bool is_actual(void *ctx, uint32_t frames)
{
	struct machine *machine = ctx;

	return ask(machine, "actual", 0) && strtoull(machine->answer, NULL, 10) == frames;
}

static bool ask_stats(void *ctx)
{
	return ask(ctx, "ask", 0);
}

static bool stat(void *ctx, unsigned int tag, uint64_t *out)
{
	struct machine *machine = ctx;

	if (!ask(machine, "stat", tag))
		return false;
	*out = strtoull(machine->answer, NULL, 10);
	return true;
}

static uint32_t hint_id(struct machine *machine)
{
	uint8_t id[4];

	machine->transport->config_read(machine->transport->ctx, HINT_ID, id, sizeof(id));
	return id[0] | (uint32_t)id[1] << 8 | (uint32_t)id[2] << 16 | (uint32_t)id[3] << 24;
}

/* What the operator does takes effect a little later. */
static bool hint(void *ctx, uint32_t what)
{
	struct machine *machine = ctx;

	if (!ask(machine, "hint", what))
		return false;
	for (unsigned int i = 0; i < LOOKS; i++) {
		uint32_t id = hint_id(machine);

		if (what < 2 ? id == what : id >= 2)
			return true;
		work(machine);
	}
	return false;
}

static const char *open_machine(struct machine *machine, char **argv)
{
	int fd = open(argv[2], O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return "the memory file cannot be opened";
	machine->bytes = strtoull(argv[3], NULL, 10);
	machine->ram = mmap(NULL, machine->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (machine->ram == MAP_FAILED)
		return "the memory file cannot be mapped";
	if (aero_qtest_open(&machine->qtest, argv[1], 0))
		return machine->qtest.story.text;
	machine->transport = qtest_transport_find(&machine->found, &machine->qtest, argv[4]);
	return machine->transport ? NULL : "there is no such device";
}

static void run_case(struct machine *machine, unsigned int number)
{
	static const char *const results[] = { "passed", "failed", "skipped" };
	struct conformance_device device = {
		.ctx = machine,
		.transport = machine->transport,
		.memory = machine->ram + GPA,
		.gpa = GPA,
		.first = FIRST_FRAME,
		.work = work,
		.set_target = set_target,
		.most_frames = (uint32_t)(machine->bytes / 4096 - 1),
		.actual = is_actual,
		.ask_stats = ask_stats,
		.stat = stat,
		.hint = hint,
	};
	struct conformance_outcome outcome = { CONFORMANCE_PASSED, "" };

	conformance_device_cases[number].run(&device, &outcome);
	/* A connection that ended makes everything else wrong: it is the reason. */
	if (machine->qtest.story.status)
		printf("failed %s\n", machine->qtest.story.text);
	else
		printf("%s %s\n", results[outcome.result], outcome.why);
}

int main(int argc, char **argv)
{
	static struct machine machine;
	unsigned int number = argc == 6 ? (unsigned int)strtoul(argv[5], NULL, 10) : 0;
	const char *problem;

	if (argc == 2 && !strcmp(argv[1], "--list")) {
		for (number = 0; number < CONFORMANCE_CASES; number++)
			printf("%s\n", conformance_device_cases[number].name);
		return 0;
	}
	if (number < 1 || number > CONFORMANCE_CASES) {
		fprintf(stderr, "usage: see tests/real/test_qtest_conformance.py\n");
		return 2;
	}
	problem = open_machine(&machine, argv);
	if (problem)
		fprintf(stderr, "qtest_conformance: %s\n", problem);
	else
		run_case(&machine, number - 1);
	aero_qtest_close(&machine.qtest);
	if (machine.ram && machine.ram != MAP_FAILED)
		munmap(machine.ram, machine.bytes);
	return problem ? 1 : 0;
}
