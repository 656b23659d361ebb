/* SPDX-License-Identifier: MIT */
#include "support/gdb_stub.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN 0xed
#define PAGE 4096u
#define KERNEL_IP 0xffffffff81000000ull
#define USER_IP 0x401000ull

static void send_text(struct gdb_stub *stub, const char *text, size_t len)
{
	uv_buf_t buf = uv_buf_init((char *)text, (unsigned int)len);

	(void)uv_try_write((uv_stream_t *)&stub->pipe, &buf, 1);
}

static void reply(struct gdb_stub *stub, const char *data)
{
	char wire[8192];
	uint8_t sum = 0;

	for (size_t i = 0; data[i]; i++)
		sum = (uint8_t)(sum + (uint8_t)data[i]);
	send_text(stub, wire, (size_t)snprintf(wire, sizeof(wire), "$%s#%02x", data, sum));
}

static void stop(struct gdb_stub *stub, int signal)
{
	char text[32];

	stub->is_running = false;
	snprintf(text, sizeof(text), "T%02xthread:01;", (unsigned int)signal);
	reply(stub, text);
}

static bool has_break(const struct gdb_stub *stub, uint64_t address)
{
	for (unsigned int i = 0; i < stub->break_count; i++)
		if (stub->breaks[i] == address)
			return true;
	return false;
}

/* Executes what stands at the instruction pointer, if the guest is about to call. */
static void execute(struct gdb_stub *stub)
{
	stub->registers[STUB_AX] = 0xffffffff;
	stub->registers[STUB_IP]++;
	stub->is_calling = false;
	stub->was_executed = true;
}

/* Lets the machine run from where it stands. */
static void go(struct gdb_stub *stub)
{
	uint64_t ip = stub->registers[STUB_IP];

	stub->is_running = true;
	if (!stub->is_calling)
		return;
	/* The debugger has moved it over the instruction. */
	if (stub->code[(ip - 1 - stub->code_address) % GDB_STUB_CODE_MAX] == IN &&
	    !has_break(stub, ip) && ip - 1 - stub->code_address < stub->code_len &&
	    stub->code[(ip - stub->code_address) % GDB_STUB_CODE_MAX] != IN) {
		stub->is_calling = false;
		return;
	}
	if (has_break(stub, ip))
		stop(stub, 5);
	else
		execute(stub);
}

static void step(struct gdb_stub *stub)
{
	stub->steps++;
	if (stub->is_calling)
		execute(stub);
	stop(stub, 5);
}

/* One that is going on as soon as it may. */
static void rest(struct gdb_stub *stub)
{
	stub->registers[STUB_IP] = stub->user_stops ? USER_IP : KERNEL_IP;
	if (stub->user_stops)
		stub->user_stops--;
}

/* Packets ------------------------------------------------------------------------------------ */

static void read_registers(struct gdb_stub *stub)
{
	char text[STUB_REGISTERS * 16 + 17] = "";

	for (unsigned int i = 0; i < STUB_REGISTERS; i++)
		for (unsigned int b = 0; b < 8; b++)
			snprintf(text + i * 16 + b * 2, 3, "%02x",
				 (unsigned int)(stub->registers[i] >> 8 * b & 0xff));
	/* The flags and more follow. */
	strcat(text, "4602000010000000");
	reply(stub, text);
}

static void write_registers(struct gdb_stub *stub, const char *text)
{
	memset(stub->registers, 0, sizeof(stub->registers));
	for (unsigned int i = 0; i < STUB_REGISTERS * 8; i++) {
		char digits[3] = { text[2 * i], text[2 * i + 1], '\0' };

		stub->registers[i / 8] |= (uint64_t)strtoul(digits, NULL, 16) << i % 8 * 8;
	}
	reply(stub, "OK");
}

static bool is_mapped(const struct gdb_stub *stub, uint64_t address)
{
	uint64_t mapped = (stub->code_len + PAGE - 1) / PAGE * PAGE;

	/* With page table isolation a program does not see the kernel. */
	return stub->code_address && stub->registers[STUB_IP] != USER_IP &&
	       address >= stub->code_address && address - stub->code_address < mapped;
}

static void read_memory(struct gdb_stub *stub, const char *text)
{
	char out[2 * 4096 + 1] = "";
	char *comma;
	uint64_t address = strtoull(text, &comma, 16);
	uint64_t len = strtoull(comma + 1, NULL, 16);

	for (uint64_t i = 0; i < len; i++) {
		if (!is_mapped(stub, address + i)) {
			reply(stub, "E14");
			return;
		}
		snprintf(out + 2 * i, 3, "%02x", stub->code[address + i - stub->code_address]);
	}
	reply(stub, out);
}

static void set_break(struct gdb_stub *stub, const char *text)
{
	if (stub->refuses_breaks || stub->break_count == GDB_STUB_BREAKS_MAX) {
		reply(stub, "E22");
		return;
	}
	stub->breaks[stub->break_count++] = strtoull(text, NULL, 16);
	reply(stub, "OK");
}

static void clear_break(struct gdb_stub *stub, const char *text)
{
	uint64_t address = strtoull(text, NULL, 16);

	for (unsigned int i = 0; i < stub->break_count; i++) {
		if (stub->breaks[i] != address)
			continue;
		stub->breaks[i] = stub->breaks[--stub->break_count];
		reply(stub, "OK");
		return;
	}
	reply(stub, "E22");
}

static void detach(struct gdb_stub *stub)
{
	stub->break_count = 0;
	stub->is_detached = true;
	go(stub);
	reply(stub, "OK");
}

static void obey(struct gdb_stub *stub)
{
	const char *text = stub->packet;

	send_text(stub, "+", 1);
	if (!strcmp(text, "?")) {
		stub->break_count = 0;
		stop(stub, 5);
	} else if (!strcmp(text, "g")) {
		read_registers(stub);
	} else if (text[0] == 'G') {
		write_registers(stub, text + 1);
	} else if (text[0] == 'm') {
		read_memory(stub, text + 1);
	} else if (!strncmp(text, "Z0,", 3)) {
		set_break(stub, text + 3);
	} else if (!strncmp(text, "z0,", 3)) {
		clear_break(stub, text + 3);
	} else if (!strcmp(text, "c")) {
		stub->continues++;
		go(stub);
	} else if (!strcmp(text, "s")) {
		step(stub);
	} else if (!strcmp(text, "D")) {
		detach(stub);
	} else {
		reply(stub, "");
	}
}

/* As QEMU does: a byte that comes while the machine runs stops it. */
static void take_byte(struct gdb_stub *stub, char byte)
{
	if (stub->is_running) {
		stub->interrupts++;
		rest(stub);
		stop(stub, 2);
		return;
	}
	if (byte == '$') {
		stub->packet_len = 0;
		stub->packet[stub->packet_len++] = byte;
		return;
	}
	if (!stub->packet_len || stub->packet_len == sizeof(stub->packet) - 1)
		return;
	stub->packet[stub->packet_len++] = byte;
	if (stub->packet_len < 4 || stub->packet[stub->packet_len - 3] != '#')
		return;
	stub->packet[stub->packet_len - 3] = '\0';
	memmove(stub->packet, stub->packet + 1, stub->packet_len);
	stub->packet_len = 0;
	obey(stub);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct gdb_stub *stub = handle->data;

	(void)suggested;
	*buf = uv_buf_init(stub->buffer, sizeof(stub->buffer));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
	struct gdb_stub *stub = stream->data;

	if (got < 0)
		uv_read_stop(stream);
	for (ssize_t i = 0; i < got && !stub->is_mute; i++)
		take_byte(stub, buf->base[i]);
}

static void on_closed(uv_handle_t *handle)
{
	struct gdb_stub *stub = handle->data;

	stub->is_closed = true;
}

int gdb_stub_open(struct gdb_stub *stub, uv_loop_t *loop)
{
	int ends[2];

	memset(stub, 0, sizeof(*stub));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		abort();
	stub->registers[STUB_IP] = KERNEL_IP;
	uv_pipe_init(loop, &stub->pipe, 0);
	stub->pipe.data = stub;
	uv_pipe_open(&stub->pipe, ends[1]);
	uv_read_start((uv_stream_t *)&stub->pipe, on_alloc, on_read);
	/* A debugger has come: the machine stops, unasked. */
	stop(stub, 2);
	return ends[0];
}

void gdb_stub_close(struct gdb_stub *stub)
{
	if (!uv_is_closing((uv_handle_t *)&stub->pipe))
		uv_close((uv_handle_t *)&stub->pipe, on_closed);
}

void gdb_stub_write_code(struct gdb_stub *stub, uint64_t address, const unsigned int *sites,
			 unsigned int count)
{
	static const uint8_t load[] = { 0xb8, 0x6f, 0x6d, 0x6c, 0x45 };

	memset(stub->code, 0x90, sizeof(stub->code));
	stub->code_address = address;
	stub->code_len = 0;
	for (unsigned int i = 0; i < count; i++) {
		memcpy(stub->code + sites[i] - 10, load, sizeof(load));
		stub->code[sites[i]] = IN;
		stub->code_len = sites[i] + 100;
	}
}

void gdb_stub_call(struct gdb_stub *stub, uint64_t address, uint64_t command, uint64_t bx,
		   uint64_t si)
{
	stub->registers[STUB_AX] = 0x456c6d6f;
	stub->registers[STUB_BX] = bx;
	stub->registers[STUB_CX] = command;
	stub->registers[STUB_DX] = 0x5670;
	stub->registers[STUB_SI] = si;
	stub->registers[STUB_IP] = address;
	stub->is_calling = true;
	stub->was_executed = false;
	if (stub->is_running)
		go(stub);
}

void gdb_stub_pause(struct gdb_stub *stub)
{
	stop(stub, 2);
}

void gdb_stub_unpause(struct gdb_stub *stub)
{
	go(stub);
}
