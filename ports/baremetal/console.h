/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_CONSOLE_H
#define AEROSTAT_PORTS_BAREMETAL_CONSOLE_H

/* Lines out and lines in, over the machine's serial line. */

#include "uart.h"

#include <stdbool.h>
#include <stddef.h>

/* The longest command with its number, and one more for the terminator. */
#define CONSOLE_LINE_MAX 1024

/* From here on console_say() works. */
void console_start(const struct uart *uart);

/* From here on lines come in, at interrupts. false: the machine has no line for it. */
bool console_listen(unsigned int line);

/* A line out; newline is added. From any context. */
void console_say(const char *line);

/* A line that has come in, without its end; NULL: none is complete. Valid until the next call. */
const char *console_line(void);

/* Says why and turns the machine off. */
_Noreturn void panic(const char *why);
_Noreturn void panic_at(const char *why, const char *what, uint64_t value, uint64_t place);

#endif
