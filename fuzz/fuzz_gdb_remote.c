/* SPDX-License-Identifier: MIT */

/*
 * A hostile debugger's end: packets, and the bridge that believes it speaks to QEMU.
 *
 * Input: a byte that chooses the target. Even: the rest are bytes on the wire for the parser, whose
 * packets must survive being framed and parsed again. Odd: operations, see run_operation(): answers
 * as they should be, with values of the input's choice, others, raw bytes, stops at any time, and
 * an operator who interferes. The host model must stay valid, and the bridge must end.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/vmware_bridge.h"
#include "support/check.h"

#define OPERATIONS 300
#define MEMORY_BYTES (1u << 20)
#define TEXT 0xffffffffc0123000ull
#define CODE_BYTES 8192u
#define REGISTERS 17

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
	const uint8_t *data;
	size_t left;
	uv_loop_t loop;
	struct aero_vmware_bridge bridge;
	int server;
	char heard[8192]; /* the last packet of the client's */
	bool is_closed;
};

static uint8_t next(struct state *state)
{
	if (!state->left)
		return 0;
	state->left--;
	return *state->data++;
}

/* The parser ---------------------------------------------------------------------------------- */

static void check_packet(const struct aero_gdb_parser *parser)
{
	static struct aero_gdb_parser again;
	static char wire[2 * AERO_GDB_PACKET_MAX + 4];
	size_t len, i;

	CHECK(parser->len <= AERO_GDB_PACKET_MAX && !parser->data[parser->len]);
	CHECK(aero_gdb_frame(parser->data, parser->len, wire, sizeof(wire), &len) == AERO_OK);
	/* Escaped it may be longer than what a peer may send. */
	if (len > AERO_GDB_WIRE_MAX)
		return;
	memset(&again, 0, sizeof(again));
	for (i = 0; i + 1 < len; i++)
		CHECK(aero_gdb_parser_feed(&again, (uint8_t)wire[i]) == AERO_GDB_NOTHING);
	CHECK(aero_gdb_parser_feed(&again, (uint8_t)wire[i]) == AERO_GDB_PACKET);
	CHECK(again.len == parser->len && !memcmp(again.data, parser->data, again.len));
}

static void parse(struct state *state)
{
	static struct aero_gdb_parser parser;
	uint8_t bytes[AERO_GDB_PACKET_MAX];
	int signal;

	memset(&parser, 0, sizeof(parser));
	while (state->left) {
		if (aero_gdb_parser_feed(&parser, next(state)) != AERO_GDB_PACKET)
			continue;
		check_packet(&parser);
		(void)aero_gdb_stop_parse(parser.data, parser.len, &signal);
		(void)aero_gdb_hex_decode(parser.data, parser.len, bytes);
	}
}

/* The bridge ---------------------------------------------------------------------------------- */

static void say(struct state *state, const char *bytes, size_t len)
{
	/* A client that does not read any more has ended. */
	if (send(state->server, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

static void reply(struct state *state, const char *data)
{
	char wire[8192];
	size_t len;

	if (aero_gdb_frame(data, strlen(data), wire, sizeof(wire), &len) == AERO_OK)
		say(state, wire, len);
}

/* What the client asked last; its answers are acknowledgements. */
static char hear(struct state *state)
{
	ssize_t got = recv(state->server, state->heard, sizeof(state->heard) - 1, MSG_DONTWAIT);
	char *last;

	state->heard[got > 0 ? got : 0] = '\0';
	last = strrchr(state->heard, '$');
	/* An interrupt is a byte of its own. */
	if (strchr(last ? last : state->heard, '\x03'))
		return '\x03';
	return last ? last[1] : '\0';
}

/* Registers at one of the calls, or anywhere; arguments small enough to mean something. */
static void say_registers(struct state *state)
{
	uint64_t values[REGISTERS] = { 0x456c6d6f, 0, 0, 0x5670, 0, 0 };
	uint8_t bytes[sizeof(values)];
	char text[2 * sizeof(bytes) + 1];
	unsigned int i;

	values[1] = next(state);
	values[2] = next(state) % 12;
	values[4] = next(state);
	values[16] = TEXT + 0x100 * (uint64_t)(next(state) % 16) + 10;
	if (next(state) % 8 == 0)
		values[next(state) % REGISTERS] = ~(uint64_t)next(state);
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(values[i / 8] >> i % 8 * 8);
	aero_gdb_hex_encode(bytes, sizeof(bytes), text);
	reply(state, text);
}

/* Code with a call every 256 bytes, in two pages at TEXT. */
static uint8_t code_at(uint64_t offset)
{
	static const uint8_t call[] = { 0xb8, 0x6f, 0x6d, 0x6c, 0x45, 0x66,
					0xba, 0x70, 0x56, 0,	0xed };

	return offset % 256 < sizeof(call) && offset < 4096 ? call[offset % 256] : 0x90;
}

static void say_memory(struct state *state)
{
	const char *packet = strrchr(state->heard, '$');
	char text[2 * AERO_GDB_READ_MAX + 1] = "";
	unsigned long long address = 0, len = 0;
	uint64_t i;

	if (!packet || sscanf(packet, "$m%llx,%llx", &address, &len) != 2 ||
	    len > AERO_GDB_READ_MAX || address < TEXT || address + len > TEXT + CODE_BYTES) {
		reply(state, "E14");
		return;
	}
	for (i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", code_at(address + i - TEXT));
	reply(state, text);
}

static void answer(struct state *state)
{
	switch (hear(state)) {
	case '?':
	case 'c':
	case 's':
	case '\x03':
		reply(state, "T05thread:01;");
		break;
	case 'g':
		say_registers(state);
		break;
	case 'm':
		say_memory(state);
		break;
	case 'q':
		reply(state, "PacketSize=1000");
		break;
	case '\0':
		break;
	default:
		reply(state, "OK");
	}
}

static void say_raw(struct state *state)
{
	char bytes[64];
	size_t len = next(state) % sizeof(bytes);
	size_t i;

	for (i = 0; i < len; i++)
		bytes[i] = (char)next(state);
	say(state, bytes, len);
}

static void interfere(struct state *state)
{
	struct aero_vmware_bridge_text text = { 0, 0 };
	uint8_t choice = next(state);
	uint64_t set;

	switch (choice % 4) {
	case 0:
		text.address = TEXT + (choice & 0xf0);
		text.bytes = choice & 0xf0;
		(void)aero_vmware_bridge_locate(&state->bridge, text);
		break;
	case 1:
		(void)aero_vmware_host_set_target(&state->bridge.host, choice, &set);
		break;
	case 2:
		(void)aero_vmware_host_reset(&state->bridge.host);
		break;
	case 3:
		aero_vmware_host_forget(&state->bridge.host);
		break;
	}
	aero_vmware_bridge_wake(&state->bridge);
}

static void run_operation(struct state *state)
{
	uint8_t operation = next(state);

	switch (operation % 8) {
	case 5:
		reply(state, operation & 8 ? "T02thread:01;" : "T05");
		break;
	case 6:
		reply(state, operation & 8 ? "E22" : "");
		break;
	case 7:
		if (operation & 8)
			interfere(state);
		else
			say_raw(state);
		break;
	default:
		answer(state);
	}
	uv_run(&state->loop, UV_RUN_NOWAIT);
	uv_run(&state->loop, UV_RUN_NOWAIT);
	CHECK(aero_vmware_host_validate(&state->bridge.host) == AERO_OK);
}

static void on_closed(void *ctx)
{
	struct state *state = ctx;

	state->is_closed = true;
}

static void run_bridge(struct state *state)
{
	struct aero_vmware_bridge_config config = {
		.memory_fd = memfd_create("memory", MFD_CLOEXEC),
		.text = { TEXT, 4096 },
		.timeout_ms = 10,
		.capabilities = AERO_VMWARE_HOST_CAPABILITIES,
	};
	int ends[2];
	unsigned int i;

	CHECK(ftruncate(config.memory_fd, MEMORY_BYTES) == 0 && uv_loop_init(&state->loop) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	config.gdb_fd = ends[0];
	state->server = ends[1];
	config.is_old = next(state) & 1;
	config.is_searching = next(state) & 1;
	CHECK(aero_vmware_bridge_start(&state->bridge, &state->loop, &config, NULL) == AERO_OK);
	for (i = 0; i < OPERATIONS && state->left; i++)
		run_operation(state);
	aero_vmware_bridge_close(&state->bridge, on_closed, state);
	uv_run(&state->loop, UV_RUN_DEFAULT);
	CHECK(state->is_closed && uv_loop_close(&state->loop) == 0);
	close(state->server);
	close(config.memory_fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct state state;

	memset(&state, 0, sizeof(state));
	state.data = data;
	state.left = size;
	if (next(&state) & 1)
		run_bridge(&state);
	else
		parse(&state);
	return 0;
}
