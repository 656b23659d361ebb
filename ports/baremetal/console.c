/* SPDX-License-Identifier: MIT */
#include "console.h"
#include "arch/arch.h"
#include "text.h"
#include "work.h"

/* Bytes that have come and were not looked at; a power of two. */
#define RING 4096u

static struct {
	const struct uart *uart;
	/* Written by interrupts, up to head; read by console_line(), from tail. */
	char ring[RING];
	volatile uint32_t head;
	volatile uint32_t tail;
	volatile bool is_full;
	char line[CONSOLE_LINE_MAX];
	size_t len;
	bool is_too_long;
} console;

void console_start(const struct uart *uart)
{
	if (!uart->ops)
		return;
	uart->ops->start(uart);
	console.uart = uart;
}

void console_say(const char *line)
{
	uintptr_t state = arch_irq_save();

	if (console.uart) {
		for (; *line; line++)
			console.uart->ops->put(console.uart, *line);
		console.uart->ops->put(console.uart, '\n');
	}
	arch_irq_restore(state);
}

/* A ring that is full leaves the rest in the line, whose other end then waits. */
static void on_interrupt(void *ctx)
{
	int byte;

	(void)ctx;
	while (console.head - console.tail < RING) {
		byte = console.uart->ops->get(console.uart);
		if (byte < 0)
			break;
		console.ring[console.head % RING] = (char)byte;
		console.head++;
	}
	if (console.head - console.tail == RING) {
		console.uart->ops->listen(console.uart, false);
		console.is_full = true;
	}
	work_raise(WORK_CONSOLE);
}

bool console_listen(unsigned int line)
{
	if (!console.uart || !arch_irq_connect(line, IRQ_LEVEL, on_interrupt, NULL))
		return false;
	console.uart->ops->listen(console.uart, true);
	return true;
}

static int next_byte(void)
{
	int byte;

	if (console.tail == console.head)
		return -1;
	byte = (unsigned char)console.ring[console.tail % RING];
	console.tail++;
	if (console.is_full) {
		console.is_full = false;
		console.uart->ops->listen(console.uart, true);
	}
	return byte;
}

/* Lines that are too long are no commands. */
const char *console_line(void)
{
	int byte;

	while ((byte = next_byte()) >= 0) {
		if (byte == '\r')
			continue;
		if (byte != '\n') {
			console.is_too_long |= console.len == CONSOLE_LINE_MAX - 1;
			if (!console.is_too_long)
				console.line[console.len++] = (char)byte;
			continue;
		}
		console.line[console.len] = '\0';
		console.len = 0;
		if (!console.is_too_long)
			return console.line;
		console.is_too_long = false;
	}
	return NULL;
}

void panic(const char *why)
{
	char buf[256];
	struct text text;

	text_init(&text, buf, sizeof(buf));
	text_add(&text, "panic: ");
	text_add(&text, why);
	arch_irq_save();
	console_say(buf);
	arch_power_off(true);
}

void panic_at(const char *why, const char *what, uint64_t value, uint64_t place)
{
	char buf[256];
	struct text text;

	text_init(&text, buf, sizeof(buf));
	text_add(&text, why);
	text_add(&text, " ");
	text_add(&text, what);
	text_add(&text, "=");
	text_add_hex(&text, value);
	text_add(&text, " at ");
	text_add_hex(&text, place);
	panic(buf);
}
