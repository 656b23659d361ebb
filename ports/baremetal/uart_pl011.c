/* SPDX-License-Identifier: MIT */

/* Arm's PL011. Source: PrimeCell UART (PL011) Technical Reference Manual. */

#include "registers.h"
#include "uart.h"

#define DATA 0x000	 /* UARTDR */
#define FLAGS 0x018	 /* UARTFR */
#define LINE 0x02c	 /* UARTLCR_H */
#define CONTROL 0x030	 /* UARTCR */
#define INTERRUPTS 0x038 /* UARTIMSC */

#define FLAGS_RECEIVE_EMPTY 0x10u
#define FLAGS_TRANSMIT_FULL 0x20u
#define LINE_8_FIFO 0x70u
#define CONTROL_ON 0x301u	  /* UARTEN, TXE, RXE */
#define INTERRUPTS_RECEIVED 0x50u /* a full FIFO, or bytes that wait in it */

static void start(const struct uart *uart)
{
	register_write(uart->base + CONTROL, 4, 0);
	register_write(uart->base + INTERRUPTS, 4, 0);
	register_write(uart->base + LINE, 4, LINE_8_FIFO);
	register_write(uart->base + CONTROL, 4, CONTROL_ON);
}

static void put(const struct uart *uart, char byte)
{
	while (register_read(uart->base + FLAGS, 4) & FLAGS_TRANSMIT_FULL)
		;
	register_write(uart->base + DATA, 4, (unsigned char)byte);
}

static int get(const struct uart *uart)
{
	if (register_read(uart->base + FLAGS, 4) & FLAGS_RECEIVE_EMPTY)
		return -1;
	return (int)(register_read(uart->base + DATA, 4) & 0xff);
}

static void listen(const struct uart *uart, bool is_on)
{
	register_write(uart->base + INTERRUPTS, 4, is_on ? INTERRUPTS_RECEIVED : 0);
}

const struct uart_ops uart_pl011 = { start, put, get, listen };
