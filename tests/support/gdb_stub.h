/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_GDB_STUB_H
#define AEROSTAT_TESTS_SUPPORT_GDB_STUB_H

/*
 * A QEMU as its debugger sees it: one processor, a piece of memory with code in it, breakpoints.
 * The guest does nothing but what gdb_stub_call() tells it to. On the loop of the test, with a
 * parser of packets of its own.
 */

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define GDB_STUB_CODE_MAX 16384
#define GDB_STUB_BREAKS_MAX 256

enum gdb_stub_register {
	STUB_AX,
	STUB_BX,
	STUB_CX,
	STUB_DX,
	STUB_SI,
	STUB_DI,
	STUB_IP = 16,
	STUB_REGISTERS,
};

struct gdb_stub {
	uv_pipe_t pipe;
	char buffer[8192];
	char packet[8192];
	size_t packet_len;

	uint64_t registers[STUB_REGISTERS];
	uint64_t code_address; /* a multiple of 4096; 0: there is no code */
	uint8_t code[GDB_STUB_CODE_MAX];
	size_t code_len; /* mapped in whole pages */
	uint64_t breaks[GDB_STUB_BREAKS_MAX];
	unsigned int break_count;
	unsigned int user_stops; /* so many interrupts find it in a program */

	bool is_running;
	bool is_calling;   /* stands before its `in`, or is stopped there */
	bool was_executed; /* by the machine itself, which read all ones */
	bool is_detached;
	bool is_mute; /* answers nothing any more */
	bool refuses_breaks;
	bool is_closed;
	unsigned int steps;
	unsigned int interrupts;
	unsigned int continues;
};

/* Answers the debugger's end. */
int gdb_stub_open(struct gdb_stub *stub, uv_loop_t *loop);
void gdb_stub_close(struct gdb_stub *stub);

/* Writes `in` instructions into the middle of nothing, each after its magic number. */
void gdb_stub_write_code(struct gdb_stub *stub, uint64_t address, const unsigned int *sites,
			 unsigned int count);

/* The guest calls: registers as given, at an address. Turn the loop until is_calling is false. */
void gdb_stub_call(struct gdb_stub *stub, uint64_t address, uint64_t command, uint64_t bx,
		   uint64_t si);

/* Somebody else stops it, or lets it go on. */
void gdb_stub_pause(struct gdb_stub *stub);
void gdb_stub_unpause(struct gdb_stub *stub);

#endif
