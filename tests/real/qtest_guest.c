/* SPDX-License-Identifier: MIT */
#include "qtest_guest.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* The first MiB has holes and firmware; the kernel's own pages, 8 MiB, lie behind it. */
#define LOW_FRAMES 256u
#define OWN_FRAMES 2048u

/* How often a device without interrupts is asked. */
#define POLL_NS 2000000u
#define WAIT_MAX_MS 100

uint64_t guest_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t *frame_words(const struct guest *guest, aero_frame frame)
{
	return (uint64_t *)(void *)(guest->ram + (frame << AERO_FRAME_SHIFT));
}

static uint64_t mark_of(aero_frame frame, unsigned int word)
{
	return (frame + 1) * 0x9e3779b97f4a7c15ull + word;
}

uint64_t guest_mark(struct guest *guest)
{
	uint64_t count = 0;

	for (aero_frame frame = LOW_FRAMES; frame < guest->frames; frame++) {
		if (sim_port_owner(&guest->sim, frame) != SIM_OWNER_FREE)
			continue;
		frame_words(guest, frame)[0] = mark_of(frame, 0);
		frame_words(guest, frame)[511] = mark_of(frame, 511);
		guest->marked[frame / 64] |= 1ull << frame % 64;
		count++;
	}
	return count;
}

uint64_t guest_check_marks(const struct guest *guest)
{
	uint64_t wrong = 0;

	for (aero_frame frame = 0; frame < guest->frames; frame++) {
		if (!(guest->marked[frame / 64] >> frame % 64 & 1))
			continue;
		wrong += frame_words(guest, frame)[0] != mark_of(frame, 0) ||
			 frame_words(guest, frame)[511] != mark_of(frame, 511);
	}
	return wrong;
}

/* What the kernel gives away has no known content any more. */
static size_t alloc_blocks(void *ctx, unsigned int order, enum aero_effort effort, aero_frame *out,
			   size_t count)
{
	struct guest *guest = ctx;
	size_t done = guest->sim.port.alloc(&guest->sim, order, effort, out, count);

	for (size_t i = 0; i < done; i++) {
		for (aero_frame frame = out[i]; frame < out[i] + (1ull << order); frame++)
			guest->marked[frame / 64] &= ~(1ull << frame % 64);
	}
	return done;
}

/* With poison, free memory must have it: whoever frees writes it. */
static void fill_poison(struct guest *guest, aero_frame frame)
{
	uint64_t word = (uint64_t)guest->options.poison << 32 | guest->options.poison;

	for (unsigned int i = 0; i < 512; i++)
		frame_words(guest, frame)[i] = word;
}

static void free_blocks(void *ctx, unsigned int order, const aero_frame *frames, size_t count)
{
	struct guest *guest = ctx;

	guest->sim.port.free(&guest->sim, order, frames, count);
	if (!guest->options.has_poison)
		return;
	for (size_t i = 0; i < count; i++) {
		for (aero_frame frame = frames[i]; frame < frames[i] + (1ull << order); frame++)
			fill_poison(guest, frame);
	}
}

/* What a command or an option has set, and two numbers that the simulated kernel knows. */
static void read_stats(void *ctx, struct aero_memory_stats *out_stats)
{
	struct guest *guest = ctx;

	out_stats->value[AERO_MEMORY_FREE] = sim_port_free_frames(&guest->sim) << AERO_FRAME_SHIFT;
	out_stats->value[AERO_MEMORY_TOTAL] = guest->options.bytes;
	out_stats->known = 1u << AERO_MEMORY_FREE | 1u << AERO_MEMORY_TOTAL;
	for (unsigned int tag = 0; tag < AERO_MEMORY_STATS; tag++) {
		if (guest->stats.known >> tag & 1)
			out_stats->value[tag] = guest->stats.value[tag];
	}
	out_stats->known |= guest->stats.known;
}

static void open_kernel(struct guest *guest)
{
	struct sim_port_config config = {
		.frames = guest->frames,
		.orders = guest->options.orders,
		.page_ram = guest->ram + ((size_t)LOW_FRAMES << AERO_FRAME_SHIFT),
		.page_first = LOW_FRAMES,
		.page_frames = OWN_FRAMES,
	};

	sim_port_init(&guest->sim, &config);
	for (aero_frame frame = 0; frame < LOW_FRAMES; frame++)
		sim_port_pin(&guest->sim, frame);
	guest->port = guest->sim.port;
	guest->port.alloc = alloc_blocks;
	guest->port.free = free_blocks;
	guest->port.stats = read_stats;
	memset(guest->marked, 0, guest->frames / 8);
}

static const char *map_memory(struct guest *guest)
{
	int fd = open(guest->options.memory, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return "the memory file cannot be opened";
	guest->frames = guest->options.bytes >> AERO_FRAME_SHIFT;
	guest->ram = mmap(NULL, guest->options.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (guest->ram == MAP_FAILED)
		return "the memory file cannot be mapped";
	guest->marked = calloc(guest->frames / 64, sizeof(*guest->marked));
	return guest->marked ? NULL : "no memory";
}

static const char *open_driver(struct guest *guest)
{
	const struct guest_options *options = &guest->options;
	const struct aero_virtio_transport *transport =
		qtest_transport_find(&guest->device, &guest->qtest, options->transport);

	if (!transport)
		return guest->qtest.story.status ? guest->qtest.story.text
						 : "there is no such device";
	sim_virtio_record_init(&guest->record, transport, NULL, 0);
	guest->span =
		(struct aero_virtio_memory){ &guest->sim, sim_port_span_get, sim_port_span_put };
	guest->config = (struct aero_virtio_balloon_guest_config){
		.balloon.port = &guest->port,
		.balloon.cooldown_ns = 300000000,
		.transport = &guest->record.transport,
		.memory = &guest->span,
		.declined = options->declined,
		.requests = options->requests,
		.request_frames = options->request_frames,
		.numbering = options->numbering,
		.has_poison = options->has_poison,
		.poison = options->poison,
		.reporting = { .is_pulling = options->is_pulling, .delay_ns = 50000000 },
	};
	guest->is_stopped = false;
	return aero_virtio_balloon_guest_init(&guest->drv, &guest->config) == AERO_OK
		       ? NULL
		       : "the driver does not take the configuration";
}

const char *guest_open(struct guest *guest, const struct guest_options *options)
{
	const char *problem;

	guest->options = *options;
	if (options->stats && !guest_set_stats(guest, options->stats))
		return "statistics: TAG VALUE ...";
	problem = map_memory(guest);
	if (problem)
		return problem;
	if (aero_qtest_open(&guest->qtest, options->socket, 0) != AERO_OK)
		return guest->qtest.story.text;
	if (options->has_irq && aero_qtest_intercept(&guest->qtest, "ioapic") != AERO_OK)
		return guest->qtest.story.text;
	open_kernel(guest);
	return open_driver(guest);
}

const char *guest_reboot(struct guest *guest)
{
	sim_port_fini(&guest->sim);
	open_kernel(guest);
	return open_driver(guest);
}

/* Until the device has answered, or a second has passed after which the driver gives up anyway. */
static const char *stop_driver(struct guest *guest)
{
	uint64_t until_ns = guest_now_ns() + 20000000000u;

	while (aero_virtio_balloon_guest_stop(&guest->drv, guest_now_ns()) != AERO_OK) {
		if (guest_now_ns() > until_ns)
			return "the driver does not stop";
		poll(NULL, 0, 1);
		aero_virtio_balloon_guest_interrupt(&guest->drv, AERO_VIRTIO_INTERRUPT_QUEUE);
	}
	return NULL;
}

const char *guest_close(struct guest *guest)
{
	const char *problem = stop_driver(guest);

	if (problem)
		return problem;
	aero_virtio_balloon_guest_fini(&guest->drv);
	sim_port_unpin_all(&guest->sim);
	problem = sim_port_check_empty(&guest->sim);
	if (!problem && guest_check_marks(guest))
		problem = "memory changed that was nobody's to change";
	/* problem may be a text of sim's, which stays where it is. */
	sim_port_fini(&guest->sim);
	aero_qtest_close(&guest->qtest);
	munmap(guest->ram, guest->options.bytes);
	free(guest->marked);
	return problem ? problem : guest->problem;
}

static uint32_t look_for_interrupts(struct guest *guest)
{
	const struct aero_virtio_transport *transport = &guest->record.transport;

	if (guest->options.has_irq &&
	    !(aero_qtest_take_irqs(&guest->qtest) | guest->qtest.irq_level))
		return 0;
	return transport->take_interrupts(transport->ctx);
}

uint64_t guest_step(struct guest *guest)
{
	uint64_t now_ns = guest_now_ns();
	uint32_t why = look_for_interrupts(guest);
	uint64_t next_ns;

	if (why) {
		guest->irqs++;
		aero_virtio_balloon_guest_interrupt(&guest->drv, why);
	}
	if (guest->is_stopped)
		return AERO_NEVER;
	next_ns = aero_virtio_balloon_guest_step(&guest->drv, now_ns);
	guest->steps++;
	if (!guest->problem && aero_virtio_balloon_guest_validate(&guest->drv) != AERO_OK)
		guest->problem = "the driver's invariants do not hold";
	if (!guest->options.has_irq && next_ns > now_ns + POLL_NS)
		next_ns = now_ns + POLL_NS;
	return next_ns;
}

static void answer(struct guest *guest, char *line)
{
	json_t *object = guest_command(guest, line);

	json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(object);
}

/* Reads what has come and does every whole line of it. */
static void obey(struct guest *guest)
{
	static char buffer[1024];
	static size_t have;
	ssize_t got = read(STDIN_FILENO, buffer + have, sizeof(buffer) - have);
	char *end;

	if (got <= 0)
		guest->is_over = true;
	else
		have += (size_t)got;
	while (!guest->is_over && (end = memchr(buffer, '\n', have))) {
		*end = '\0';
		answer(guest, buffer);
		have -= (size_t)(end + 1 - buffer);
		memmove(buffer, end + 1, have);
	}
}

static void run(struct guest *guest)
{
	struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .events = POLLIN } };

	while (!guest->is_over) {
		uint64_t next_ns = guest_step(guest);
		uint64_t now_ns = guest_now_ns();
		uint64_t wait_ms = next_ns > now_ns ? (next_ns - now_ns) / 1000000 + 1 : 0;

		/* poll() leaves out a descriptor that is not there any more. */
		fds[1].fd = guest->qtest.fd;
		if (poll(fds, 2, wait_ms < WAIT_MAX_MS ? (int)wait_ms : WAIT_MAX_MS) > 0 &&
		    fds[0].revents)
			obey(guest);
	}
}

static bool take_option(struct guest_options *options, int letter, char *argument)
{
	const char *value = argument;
	static const char *const numberings[] = { "auto", "spec", "compact" };
	uint64_t number = value ? strtoull(value, NULL, 0) : 0;

	switch (letter) {
	case 's':
		options->socket = value;
		break;
	case 'm':
		options->memory = value;
		break;
	case 't':
		options->transport = value;
		break;
	case 'b':
		options->bytes = number;
		break;
	case 'd':
		options->declined = number;
		break;
	case 'r':
		options->requests = (uint32_t)number;
		break;
	case 'f':
		options->request_frames = (uint32_t)number;
		break;
	case 'o':
		options->orders = (uint32_t)number;
		break;
	case 'n':
		while (options->numbering < 2 && strcmp(numberings[options->numbering], value))
			options->numbering++;
		break;
	case 'i':
		options->has_irq = true;
		break;
	case 'p':
		options->has_poison = true;
		options->poison = (uint32_t)number;
		break;
	case 'S':
		options->stats = argument;
		break;
	case 'P':
		options->is_pulling = true;
		break;
	default:
		return false;
	}
	return true;
}

static bool take_options(struct guest_options *options, int argc, char **argv)
{
	static const struct option names[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "memory", required_argument, NULL, 'm' },
		{ "transport", required_argument, NULL, 't' },
		{ "bytes", required_argument, NULL, 'b' },
		{ "decline", required_argument, NULL, 'd' },
		{ "requests", required_argument, NULL, 'r' },
		{ "request-frames", required_argument, NULL, 'f' },
		{ "orders", required_argument, NULL, 'o' },
		{ "numbering", required_argument, NULL, 'n' },
		{ "irq", no_argument, NULL, 'i' },
		{ "poison", required_argument, NULL, 'p' },
		{ "stats", required_argument, NULL, 'S' },
		{ "pull", no_argument, NULL, 'P' },
		{ NULL, 0, NULL, 0 },
	};
	int letter;

	while ((letter = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (!take_option(options, letter, optarg))
			return false;
	}
	return optind == argc && options->socket && options->memory && options->transport &&
	       options->bytes >= 32u << 20;
}

int main(int argc, char **argv)
{
	static struct guest guest;
	struct guest_options options = { 0 };
	const char *problem;

	if (!take_options(&options, argc, argv)) {
		fprintf(stderr, "usage: see tests/real/qtest_machine.py\n");
		return 2;
	}
	problem = guest_open(&guest, &options);
	if (!problem) {
		printf("{\"ready\":true}\n");
		fflush(stdout);
		run(&guest);
		problem = guest_close(&guest);
	}
	if (problem)
		fprintf(stderr, "qtest_guest: %s\n", problem);
	return problem ? 1 : 0;
}
