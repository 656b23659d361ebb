/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_UART_H
#define AEROSTAT_PORTS_BAREMETAL_UART_H

/* A serial line. Firmware has set its speed; machines that are simulated have none. */

#include <stdbool.h>
#include <stdint.h>

struct uart;

struct uart_ops {
	void (*start)(const struct uart *uart);
	/* Waits until the byte is taken. */
	void (*put)(const struct uart *uart, char byte);
	/* A byte that has come, or -1. */
	int (*get)(const struct uart *uart);
	/* Whether a byte that comes interrupts. */
	void (*listen)(const struct uart *uart, bool is_on);
};

struct uart {
	const struct uart_ops *ops; /* NULL: there is none */
	uint64_t base;		    /* address of its registers, or port */
	unsigned int shift;	    /* registers are 2^shift bytes apart */
	bool is_port;
};

extern const struct uart_ops uart_16550;
extern const struct uart_ops uart_pl011;

#endif
