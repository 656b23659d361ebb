/* SPDX-License-Identifier: MIT */

/* The 16550 of PCs and of RISC-V's "virt" machine. Source: PC16550D data sheet. */

#include "registers.h"
#include "uart.h"

#define DATA 0
#define INTERRUPTS 1 /* IER */
#define FIFO 2	     /* FCR */
#define LINE 3	     /* LCR */
#define MODEM 4	     /* MCR */
#define STATE 5	     /* LSR */

#define INTERRUPTS_RECEIVED 0x01u
#define FIFO_ON 0x01u
#define LINE_8N1 0x03u
#define MODEM_READY 0x0bu /* DTR, RTS, and OUT2, which lets interrupts out of a PC's UART */
#define STATE_RECEIVED 0x01u
#define STATE_ROOM 0x20u

static void write(const struct uart *uart, unsigned int index, uint32_t value)
{
#if defined(__x86_64__)
	if (uart->is_port) {
		port_write((uint16_t)(uart->base + index), 1, value);
		return;
	}
#endif
	register_write(uart->base + ((uint64_t)index << uart->shift), 1, value);
}

static uint32_t read(const struct uart *uart, unsigned int index)
{
#if defined(__x86_64__)
	if (uart->is_port)
		return port_read((uint16_t)(uart->base + index), 1);
#endif
	return register_read(uart->base + ((uint64_t)index << uart->shift), 1);
}

static void start(const struct uart *uart)
{
	write(uart, INTERRUPTS, 0);
	write(uart, LINE, LINE_8N1);
	write(uart, FIFO, FIFO_ON);
	write(uart, MODEM, MODEM_READY);
}

static void put(const struct uart *uart, char byte)
{
	while (!(read(uart, STATE) & STATE_ROOM))
		;
	write(uart, DATA, (unsigned char)byte);
}

static int get(const struct uart *uart)
{
	return read(uart, STATE) & STATE_RECEIVED ? (int)read(uart, DATA) : -1;
}

static void listen(const struct uart *uart, bool is_on)
{
	write(uart, INTERRUPTS, is_on ? INTERRUPTS_RECEIVED : 0);
}

const struct uart_ops uart_16550 = { start, put, get, listen };
